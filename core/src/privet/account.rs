//! The consent of a person who signs in: one choice for all their devices, for as long as they are signed in.

use super::Privet;
use super::site::SiteState;
use crate::catalogue::CategoryCode;
use crate::consent::cookie::AccountState;
use crate::consent::{Act, Choice, ConsentRecord, ConsentState, Decision, Kept, Method, RecordedDecision};
use crate::error::{Error, Result};
use crate::store::SubjectDigest;
use crate::visit::Visit;

impl Privet {
    /// Lets the choice of a person hold who has signed in: `account` is the app's lasting name for them, and goes no
    /// further than a keyed digest. Call it where the app signs somebody in, and wherever a session goes on that
    /// privet does not know of ([`Visit::signed_in`] says no); it asks the store once, and the answer stands in a
    /// session cookie from then on.
    ///
    /// Until the person decides while they are signed in, the stricter of two choices holds: the one of this device and
    /// the one of the account; where only one has decided, that one. What they decide then, a grant, a refusal or a
    /// withdrawal, is recorded for the account and holds on every device on which they sign in (CNIL, deliberation
    /// 2025-131). The device's own choice stays as it was, and is back after [`sign_out`](Self::sign_out); only what they take
    /// [back](Self::withdraw) of what the device itself granted, while their account says nothing about it, is withdrawn on
    /// the device as well, and for what was queued on that grant.
    ///
    /// With Global Privacy Control, what is sold or shared ends for the account too, and stays so until the person
    /// grants it by name (11 CCR 7025(c)(1)).
    ///
    /// # Errors
    /// [`Error::Config`] when the site does not declare [`account_consent`](crate::SiteDecl::account_consent),
    /// [`Error::HeadSent`], or what the store says: then nobody is signed in as far as consent goes.
    pub async fn sign_in(&self, visit: &Visit, account: &str) -> Result<()> {
        visit.still_open()?;
        let site = visit.site();
        if !site.accounts {
            return Err(Error::config(
                format!("site `{}` does not keep the consent of accounts", site.scope),
                "declare it: `.account_consent()` on the builder or the site",
            ));
        }
        let line = self.keys().account_digest(&site.scope, account).await?;
        if visit.line().is_some_and(|signed_in| signed_in != line) {
            // Its cookie would go, and with it what somebody took back.
            self.record_pending_of(visit).await?;
        }
        if let Some(state) = self.record_pending_of_account(&site.scope, line).await {
            return visit.keep_account(Some(AccountState { line, decided: false, state }));
        }
        let mut latest = self.store().line_head(&site.scope, line).await?;
        if let Some(objection) = self.objection_of(visit, line, latest.as_ref())? {
            let follows = latest.map(|r| r.id);
            let appended = self.append_to_line(site, objection, follows, site.keeps).await?;
            self.erase_now(&appended.erasing).await;
            latest = Some(appended.record);
        }
        let state = kept_state(site, latest.as_ref(), visit);
        visit.keep_account(Some(AccountState { line, decided: false, state }))
    }

    /// Ends what [`sign_in`](Self::sign_in) began: the device's own choice holds again. A withdrawal of the account that
    /// waits to be recorded is recorded first. What was said under a contact of the device itself stays the device's, and can
    /// be read on it again.
    ///
    /// # Errors
    /// [`Error::HeadSent`], or what the store says about a withdrawal that waits: then its cookie stays, and with it what the
    /// person took back.
    pub async fn sign_out(&self, visit: &Visit) -> Result<()> {
        if visit.signed_in() {
            self.record_pending_of(visit).await?;
        }
        visit.keep_account(None)
    }

    /// What the browser's signal ends for an account: every sale that the person has not granted in spite of it.
    fn objection_of(
        &self,
        visit: &Visit,
        line: SubjectDigest,
        latest: Option<&ConsentRecord>,
    ) -> Result<Option<ConsentRecord>> {
        let site = visit.site();
        if !visit.gpc() || site.sales == 0 {
            return Ok(None);
        }
        let now = visit.now();
        let Some(latest) = latest else {
            let sales = site.catalogue.categories().iter().filter(|c| c.sale_or_share);
            let refused = sales.map(|c| RecordedDecision::new(c.code, Decision::Refused, c.fingerprint()));
            let empty = ConsentRecord::of_signal(site, line, visit.regime(), now, refused.collect())?;
            return Ok(Some(empty));
        };
        let sold = |c: CategoryCode| site.sales & c.bit() != 0;
        let in_spite = latest.gpc && latest.act == Act::Grant;
        if in_spite || !latest.decisions.iter().any(|d| sold(d.category) && latest.grants(d.category, now)) {
            return Ok(None);
        }
        latest.refusing(site.sales, Act::Objection, Method::Signal, now).map(Some)
    }
}

/// What a line of records stands for today, as a cookie keeps it; nothing, when it has lapsed.
fn kept_state(site: &SiteState, latest: Option<&ConsentRecord>, visit: &Visit) -> ConsentState {
    let now = visit.now();
    let empty = || ConsentState::new(visit.regime(), now.day());
    let Some(record) = latest else { return empty() };
    let grants = record.decisions.iter().any(|d| record.grants(d.category, now));
    let lapsed = record.decisions.iter().any(|d| d.decision == Decision::Granted) && !grants;
    // A refusal is kept as long as a yes.
    let day = if grants { (record.until - site.choice_life).day().min(now.day()) } else { record.at.day() };
    let lapsed = lapsed || now >= day.start() + site.choice_life;
    let mut state = ConsentState::new(record.regime, day);
    for d in &record.decisions {
        let despite = record.gpc && record.act == Act::Grant && site.sales & d.category.bit() != 0;
        let kept = match d.decision {
            Decision::Unknown => continue,
            Decision::Refused => Kept::Refused,
            Decision::Granted if despite => Kept::GrantedDespiteSignal,
            Decision::Granted => Kept::Granted,
        };
        state.set(Choice { code: d.category, kept, fingerprint: d.fingerprint });
    }
    state.record = state.grants_something().then_some(record.id);
    if lapsed {
        // Whoever objected is not taken for somebody who was never asked, however long ago that was.
        state.day = (now - site.choice_life).day();
        state = state.lapsed();
    }
    state
}
