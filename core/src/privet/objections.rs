//! Objections by Global Privacy Control that reach further than the device: a contact whose browser sends the signal is
//! not sold any more, also when the browser stops sending it (11 CCR 7025(c)(1)).

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::Privet;
use crate::consent::{Act, Method, RecordId};
use crate::error::Result;
use crate::scope::Scope;

/// More than these are not remembered: a signal that is not, is seen again with the next request.
const MAX_HELD: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Objections(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    waiting: BTreeSet<(Scope, RecordId)>,
    /// Recorded: each further request of theirs says the same.
    done: BTreeSet<(Scope, RecordId)>,
}

impl Objections {
    fn locked<T>(&self, f: impl FnOnce(&mut Held) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Privet {
    /// The browser of a contact sent the signal, and its line of consent grants a sale.
    pub(crate) fn note_objection(&self, scope: &Scope, record: RecordId) {
        self.0.objections.locked(|held| {
            let objection = (scope.clone(), record);
            if !held.done.contains(&objection) && held.waiting.len() < MAX_HELD {
                held.waiting.insert(objection);
            }
        });
    }

    /// Records objections of contacts by Global Privacy Control: [`run`](Self::run) does it every few seconds.
    ///
    /// # Errors
    /// What the store says; what was not recorded waits for the next time.
    pub async fn record_objections(&self) -> Result<()> {
        let waiting = self.0.objections.locked(|held| held.waiting.clone());
        for objection in waiting {
            self.object(&objection.0, objection.1).await?;
            self.0.objections.locked(|held| {
                held.waiting.remove(&objection);
                if held.done.len() >= MAX_HELD {
                    held.done.pop_first();
                }
                held.done.insert(objection);
            });
        }
        Ok(())
    }

    async fn object(&self, scope: &Scope, record: RecordId) -> Result<()> {
        let site = self.site(scope)?;
        let now = self.now();
        let Some(latest) = self.store().latest_record(scope, record).await? else { return Ok(()) };
        let sold = latest
            .decisions
            .iter()
            .any(|d| site.sales & d.category.bit() != 0 && latest.grants(d.category, now));
        // A grant that names a sale while the signal is sent stands above it.
        if !sold || (latest.gpc && latest.act == Act::Grant) {
            return Ok(());
        }
        let objection = latest.refusing(site.sales, Act::Objection, Method::Signal, now)?;
        let appended = self.append_to_line(site, objection, Some(latest.id), site.keeps).await?;
        self.erase_now(&appended.erasing).await;
        Ok(())
    }
}
