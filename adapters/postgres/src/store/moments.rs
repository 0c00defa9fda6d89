//! The moments that are being read from. There are few at once, and one that nobody reads on ends: it keeps the server from tidying
//! up, and from locks on its tables.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use privet::{Error, Result};
use sqlx::PgConnection;

use super::NAME;

/// So many moments are open at once: each has a connection, and is a transaction for as long as somebody downloads.
pub(super) const MOST: usize = 4;
/// A moment from which nobody read for so long is let go.
pub(super) const IDLE: Duration = Duration::from_secs(60);

enum State {
    /// The connection, while nobody reads from it, and since when.
    Free(PgConnection, Instant),
    Read,
    Ended,
}

/// The connection of one moment.
#[derive(Clone)]
pub(super) struct Moment(Arc<Mutex<State>>);

impl Moment {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection, to read from it. Whoever goes away with it ends the moment.
    pub(super) fn take(&self) -> Result<PgConnection> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Read) {
            State::Free(connection, _) => Ok(connection),
            State::Read | State::Ended => {
                *state = State::Ended;
                Err(gone())
            }
        }
    }

    pub(super) fn give(&self, connection: PgConnection) {
        *self.state() = State::Free(connection, Instant::now());
    }

    pub(super) fn end(&self) {
        *self.state() = State::Ended;
    }

    /// Whether it is over, by now at the latest.
    fn is_over(&self) -> bool {
        let mut state = self.state();
        if matches!(&*state, State::Free(_, since) if since.elapsed() >= IDLE) {
            *state = State::Ended;
        }
        matches!(&*state, State::Ended)
    }

    #[cfg(test)]
    pub(super) fn was_left(&self, ago: Duration) {
        if let (State::Free(_, since), Some(then)) = (&mut *self.state(), Instant::now().checked_sub(ago)) {
            *since = then;
        }
    }
}

/// The moments that are open.
#[derive(Clone, Default)]
pub(super) struct Moments(Arc<Mutex<Vec<Weak<Mutex<State>>>>>);

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moments").finish_non_exhaustive()
    }
}

impl Moments {
    /// A place for another one. Those that nobody reads on make room: the server has ended them already.
    pub(super) fn place(&self) -> Result<Moment> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|moment| moment.upgrade().is_some_and(|state| !Moment(state).is_over()));
        if open.len() >= MOST {
            return Err(Error::unavailable(
                NAME,
                format!(
                    "{MOST} exports are being read, which is as many as there may be at once; wait until one ends"
                ),
            ));
        }
        let moment = Moment(Arc::new(Mutex::new(State::Read)));
        open.push(Arc::downgrade(&moment.0));
        Ok(moment)
    }

    #[cfg(test)]
    pub(super) fn first(&self) -> Option<Moment> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.first().and_then(Weak::upgrade).map(Moment)
    }
}

/// What somebody is told who reads on from a moment that has ended.
pub(super) fn gone() -> Error {
    Error::unavailable(
        NAME,
        "the moment that was read from is closed: nobody read on for a minute, a read broke off, or the connection was lost; begin anew",
    )
}
