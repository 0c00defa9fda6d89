//! One request's privacy context: [`Visit`].
//!
//! An adapter makes it from the request head ([`Privet::visit`](crate::Privet::visit)), applies the [`Rewrite`]
//! to the request, hands the visit to the handlers, and seals the response head with it
//! ([`Visit::seal`]). Both ends are pure computation: no IO and no lock that somebody else holds for long.

pub(crate) mod cookies;
mod granted;
mod head;
pub(crate) mod judge;
mod open;
mod seal;
mod violation;

pub use granted::{Analytics, ConsentCategory, Contacts, Functional, Granted, Identity, Marketing};
pub use head::{Refusal, RequestHead, ResponseHead, ResponseHeader, Rewrite, host_without_port};
pub use seal::{CloseOnDrop, Deny, Sealing};
pub use violation::{Enforcement, Violation, ViolationKind};

pub(crate) use violation::Violations;

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalogue::{
    Catalogue, Category, CategoryCode, EntryGate, EntryId, Gate, MaterialChange, category_id,
};
use crate::clock::Timestamp;
use crate::consent::cookie::{AccountState, ActiveSession, ContactCookie};
use crate::consent::{ConsentState, Decision, RecordId, Regime, Standing};
use crate::contact::SessionId;
use crate::error::{Error, Result};
use crate::ip::{ClientIp, Country};
use crate::privet::{Privet, SiteState};
use crate::scope::Scope;
use crate::store::SubjectDigest;

const CONSENT_READ: u8 = 1;
const BANNER_SHOWN: u8 = 2;
const SEALED: u8 = 4;
const CLOSED: u8 = 8;
const SHOWING_COUNTED: u8 = 16;

/// One request's privacy context. A clone is the same visit.
///
/// It holds the visitor's address, privately, until the response head is sealed; then the address is
/// overwritten, and what the visit gave out opens nothing any more.
#[derive(Clone)]
pub struct Visit(Arc<Inner>);

struct Inner {
    privet: Privet,
    site: Arc<SiteState>,
    now: Timestamp,
    gpc: bool,
    regime: Regime,
    /// A later version of privet wrote the device's cookie: it must not be overwritten.
    newer: bool,
    /// What the device itself decided.
    device: Option<ConsentState>,
    account: Option<Box<AccountState>>,
    standing: Standing,
    session: Option<ActiveSession>,
    contact: Option<ContactCookie>,
    /// Cookies that the gate closed and the browser sent: their entry and name.
    closed: Vec<(EntryId, Box<str>)>,
    /// Cookies that the browser sent and whose names are of a pattern, so that a withdrawal finds them.
    patterned: Vec<(EntryId, Box<str>)>,
    /// Cookies that the browser sent and whose life visits must not extend.
    unrenewable: Vec<EntryId>,
    flags: AtomicU8,
    live: Mutex<Live>,
}

/// What changes while the visit lasts.
struct Live {
    client: ClientIp,
    country: Option<Country>,
    /// The decision of the device that was made in this visit.
    decided: Option<ConsentState>,
    /// Who signed in in this visit, or decided for their account; or that they signed out.
    account: Option<Option<Box<AccountState>>>,
    activated: Option<ActiveSession>,
    contact: Option<ContactChange>,
    /// Set-Cookie lines made from the catalogue, with the category that each needs.
    set: Vec<(CategoryCode, String)>,
    /// A mistake of the app's own code, which has to be the answer.
    insisted: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContactChange {
    Set(ContactCookie),
    Expire,
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("scope", &self.0.site.scope)
            .field("gpc", &self.0.gpc)
            .finish_non_exhaustive()
    }
}

impl Visit {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flag(&self, flag: u8) {
        self.0.flags.fetch_or(flag, Ordering::Relaxed);
    }

    fn has(&self, flag: u8) -> bool {
        self.0.flags.load(Ordering::Relaxed) & flag != 0
    }

    pub(crate) fn still_open(&self) -> Result<()> {
        if self.has(SEALED | CLOSED) { Err(Error::HeadSent) } else { Ok(()) }
    }

    /// Notes a mistake of the app's own code that must not end as a silent `None`, with its cure: for adapters whose
    /// framework makes one of whatever an extractor fails with.
    pub fn insist(&self, cure: impl Into<String>) {
        self.live().insisted.get_or_insert_with(|| cure.into());
    }

    /// What was [insisted](Self::insist) on: the answer is a 500 that says it.
    #[must_use]
    pub fn insisted(&self) -> Option<String> {
        self.live().insisted.clone()
    }

    /// The installation this visit belongs to.
    #[must_use]
    pub fn privet(&self) -> &Privet {
        &self.0.privet
    }

    pub(crate) fn site(&self) -> &Arc<SiteState> {
        &self.0.site
    }

    /// Tenant and site.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.0.site.scope
    }

    /// The origins under which visitors reach the site.
    #[must_use]
    pub fn public_origins(&self) -> &[String] {
        &self.0.site.public_origins
    }

    /// The catalogue of the site.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.site.catalogue
    }

    /// When the request came.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now
    }

    /// Whether Global Privacy Control is honoured in this visit: the browser sends it, and the site has something that
    /// it switches off and that the visitor has not granted in spite of it. It has to be shown (11 CCR 7025(c)(6)).
    #[must_use]
    pub fn signal_honoured(&self) -> bool {
        self.0.gpc && self.standing().refused & self.0.site.sales != 0
    }

    /// Whether the visitor is to be asked: something is undecided, and the regime asks.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.flag(CONSENT_READ);
        self.0.regime.rules().asks && !self.0.site.is_decided(self.standing())
    }

    /// When the site promised in public to honour Global Privacy Control, if it did.
    #[must_use]
    pub fn gpc_promise(&self) -> Option<&str> {
        self.0.site.gpc_promise.as_deref()
    }

    /// Whether the browser sent Global Privacy Control: the header `Sec-GPC` with exactly `1`.
    #[must_use]
    pub fn gpc(&self) -> bool {
        self.0.gpc
    }

    /// The rule set that the visitor is under.
    #[must_use]
    pub fn regime(&self) -> Regime {
        self.0.regime
    }

    /// What the visitor decided. Reading it makes the response private to the visitor.
    #[must_use]
    pub fn consent(&self) -> Consent {
        self.flag(CONSENT_READ);
        Consent { visit: self.clone() }
    }

    /// Says that the answer shows the choice, or need not, so that nobody is warned about its absence.
    pub fn banner_shown(&self) {
        self.flag(BANNER_SHOWN);
    }

    /// True once per visit.
    pub(crate) fn first_showing(&self) -> bool {
        self.0.flags.fetch_or(SHOWING_COUNTED, Ordering::Relaxed) & SHOWING_COUNTED == 0
    }

    /// The country that the visitor is likely in. It is looked up when it is asked for, and kept nowhere. Asking
    /// makes the response private to the visitor.
    #[must_use]
    pub fn country(&self) -> Country {
        self.flag(CONSENT_READ);
        let mut live = self.live();
        if let Some(country) = live.country {
            return country;
        }
        let country = self.0.privet.country_of(&live.client);
        live.country = Some(country);
        country
    }

    /// Uses the address, which is unknown once the head is sealed.
    pub(crate) fn with_client<T>(&self, use_client: impl FnOnce(&ClientIp) -> T) -> T {
        use_client(&self.live().client)
    }

    fn account_of(&self, live: &Live) -> Option<AccountState> {
        live.account.as_ref().unwrap_or(&self.0.account).as_deref().cloned()
    }

    pub(crate) fn account(&self) -> Option<AccountState> {
        self.account_of(&self.live())
    }

    /// The line of records of the account that is signed in.
    pub(crate) fn line(&self) -> Option<SubjectDigest> {
        self.account().map(|a| a.line)
    }

    /// Whether somebody is signed in, so that what they decide holds for their account: see
    /// [`Privet::sign_in`](crate::Privet::sign_in).
    #[must_use]
    pub fn signed_in(&self) -> bool {
        self.flag(CONSENT_READ);
        self.account().is_some()
    }

    /// The decisions of the device itself.
    pub(crate) fn device_state(&self) -> Option<ConsentState> {
        self.live().decided.clone().or_else(|| self.0.device.clone())
    }

    /// The decisions that a decision of this visit takes the place of: those of the account of somebody who is signed
    /// in, or else those of the device.
    pub(crate) fn state(&self) -> Option<ConsentState> {
        match self.account() {
            Some(account) => Some(account.state),
            None => self.device_state(),
        }
    }

    /// Whether a withdrawal waits to be recorded, of the device or of the account that is signed in.
    pub(crate) fn is_pending(&self) -> bool {
        let live = self.live();
        let account = live.account.as_ref().unwrap_or(&self.0.account);
        let device = live.decided.as_ref().or(self.0.device.as_ref());
        account.as_ref().is_some_and(|a| a.state.pending) || device.is_some_and(|s| s.pending)
    }

    pub(crate) fn standing(&self) -> Standing {
        let live = self.live();
        if live.decided.is_none() && live.account.is_none() {
            return self.0.standing;
        }
        let device = live.decided.as_ref().or(self.0.device.as_ref());
        let account = live.account.as_ref().unwrap_or(&self.0.account);
        Standing::of_both(device, account.as_deref(), &self.0.site, self.0.regime, self.0.gpc)
    }

    /// The record that a granted category stands on: the account's, where the account grants it. A contact is the
    /// device's, as long as the device itself grants it, and so is whom it is known as.
    pub(crate) fn record_of(&self, code: CategoryCode) -> Option<RecordId> {
        let (account, device) = (self.account().map(|a| a.state), self.device_state());
        let identity = self.catalogue().category(<Identity as ConsentCategory>::ID).map(|c| c.code);
        let of_device = code == crate::privet::contacts_code(&self.0.site) || Some(code) == identity;
        let states = if of_device { [device, account] } else { [account, device] };
        states.into_iter().flatten().find(|s| self.grants_today(s, code)).and_then(|s| s.record)
    }

    /// The account that contacts stand on in this visit; none where it is the device itself.
    pub(crate) fn contacts_line(&self) -> Option<SubjectDigest> {
        let contacts = crate::privet::contacts_code(&self.0.site);
        let of_device = self.device_state().is_some_and(|s| self.grants_today(&s, contacts));
        self.account().filter(|_| !of_device).map(|a| a.line)
    }

    /// The record on which the account that is signed in grants contacts itself.
    pub(crate) fn account_record_of_contacts(&self) -> Option<RecordId> {
        let contacts = crate::privet::contacts_code(&self.0.site);
        let state = self.account().map(|a| a.state).filter(|s| !s.pending && !s.lapsed)?;
        self.grants_today(&state, contacts).then_some(state.record).flatten()
    }

    /// Whether a state grants what is done today, under the visitor's regime.
    fn grants_today(&self, state: &ConsentState, code: CategoryCode) -> bool {
        let counts = state.regime == self.0.regime || state.regime != Regime::OptOut;
        counts
            && state.choices().any(|c| {
                c.code == code && c.kept.is_granted() && self.0.site.stands_for_code(code, c.fingerprint)
            })
    }

    pub(crate) fn brought_newer_cookie(&self) -> bool {
        self.0.newer
    }

    pub(crate) fn decide_for_device(&self, state: ConsentState) -> Result<()> {
        self.still_open()?;
        self.live().decided = Some(state);
        Ok(())
    }

    pub(crate) fn keep_account(&self, account: Option<AccountState>) -> Result<()> {
        self.still_open()?;
        self.live().account = Some(account.map(Box::new));
        Ok(())
    }

    /// The session in which the visitor started something, if there is one.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.flag(CONSENT_READ);
        self.live().activated.as_ref().or(self.0.session.as_ref()).map(|s| s.id)
    }

    /// Whether the visitor started a service, in this visit or before.
    #[must_use]
    pub fn is_active(&self, service: &str) -> bool {
        self.flag(CONSENT_READ);
        self.live().activated.as_ref().or(self.0.session.as_ref()).is_some_and(|s| s.holds(service))
    }

    /// Takes the visitor's own gesture, in this very request, as the start of a service. Call it where a
    /// request can only come from such a gesture: never on load, never by a timer.
    ///
    /// # Errors
    /// [`Error::UnknownService`], [`Error::HeadSent`], or [`Error::Key`] without randomness.
    pub fn activate(&self, service: &str) -> Result<()> {
        self.still_open()?;
        if self.catalogue().service(service).is_none() {
            return Err(Error::UnknownService { service: service.to_owned() });
        }
        let mut live = self.live();
        let mut session = match live.activated.take().or_else(|| self.0.session.clone()) {
            Some(session) => session,
            None => ActiveSession::new(SessionId::generate()?, self.0.now),
        };
        session.activate(service);
        live.activated = Some(session);
        Ok(())
    }

    /// The contact that the browser is recognised as; only while contacts are granted.
    pub(crate) fn contact(&self) -> Option<ContactCookie> {
        self.flag(CONSENT_READ);
        let granted = self.decision(category_id::CONTACTS) == Some(Decision::Granted);
        let brought = match self.live().contact {
            Some(ContactChange::Set(contact)) => Some(contact),
            Some(ContactChange::Expire) => None,
            None => self.0.contact,
        };
        // Somebody else's, who was signed in here, is nobody's.
        brought.filter(|contact| granted && contact.line == self.contacts_line())
    }

    pub(crate) fn set_contact(&self, contact: ContactCookie) {
        self.live().contact = Some(ContactChange::Set(contact));
    }

    pub(crate) fn expire_contact(&self) {
        self.live().contact = Some(ContactChange::Expire);
    }

    fn decision(&self, category: &str) -> Option<Decision> {
        self.catalogue().category(category).map(|c| self.standing().decision(c))
    }

    pub(crate) fn category(&self, id: &str) -> Result<&Category> {
        self.catalogue().category(id).ok_or_else(|| Error::UnknownCategory { category: id.to_owned() })
    }

    /// Whether a gate is open under a standing.
    fn opens(&self, gate: EntryGate, standing: Standing, session: Option<&ActiveSession>) -> bool {
        opens(&self.0.site, gate, standing, session)
    }
}

fn opens(site: &SiteState, gate: EntryGate, standing: Standing, session: Option<&ActiveSession>) -> bool {
    gate.opens(standing, |n| {
        session.is_some_and(|s| site.catalogue.services().get(n).is_some_and(|service| s.holds(&service.id)))
    })
}

/// What the visitor decided, for handlers.
///
/// What is not granted is not allowed: unknown, refused, lapsed, about something else than what is done today.
#[derive(Clone, Debug)]
pub struct Consent {
    visit: Visit,
}

impl Consent {
    /// Whether what needs a category may happen: the visitor grants it now, or is under a regime that allows it and has
    /// not objected. A category that the catalogue does not have is never granted, and said aloud.
    #[must_use]
    pub fn allows(&self, category: &str) -> bool {
        match self.visit.catalogue().category(category) {
            Some(found) => self.visit.standing().opens(found.code.bit()),
            None => self.decision(category) == Decision::Granted,
        }
    }

    /// Whether a declared item of storage beside cookies, or a service, that stands on an exception from consent is open.
    pub(crate) fn is_excepted(&self, gate: &Gate) -> bool {
        let Gate::UnlessObjected { category, exceptions } = gate else { return false };
        let standing = self.visit.standing();
        exceptions.meet(standing.exceptions) && standing.objected & category.bit() == 0
    }

    /// Whether a gate is open in this visit, without a service's activation being looked at.
    #[must_use]
    pub fn opens(&self, gate: &Gate) -> bool {
        match gate {
            Gate::Exempt { .. } => true,
            Gate::Activation { service } => self.visit.is_active(service),
            Gate::Consent(code) => self.visit.standing().opens(code.bit()),
            Gate::UnlessObjected { category, .. } => {
                self.visit.standing().opens(category.bit()) || self.is_excepted(gate)
            }
        }
    }

    /// The decision about a category.
    #[must_use]
    pub fn decision(&self, category: &str) -> Decision {
        self.visit.decision(category).unwrap_or_else(|| {
            let error = Error::UnknownCategory { category: category.to_owned() };
            tracing::error!("{error}");
            Decision::Unknown
        })
    }

    /// What is new of a category since the visitor decided about it, where that is why they are asked anew.
    #[must_use]
    pub fn news(&self, category: &str) -> Vec<MaterialChange> {
        let site = self.visit.site();
        let Some(category) = site.catalogue.category(category) else { return Vec::new() };
        let state = self.visit.state();
        let mut kept = state.iter().flat_map(ConsentState::choices).filter(|c| c.code == category.code);
        let kept = kept.next().map(|c| c.fingerprint).filter(|kept| !site.stands_for(category, *kept));
        kept.map(|kept| site.news(category, kept)).unwrap_or_default()
    }

    /// Whether every category has an answer.
    #[must_use]
    pub fn decided(&self) -> bool {
        self.visit.site().is_decided(self.visit.standing())
    }

    /// Every category with its decision, in the order of the catalogue.
    pub fn decisions(&self) -> impl Iterator<Item = (&Category, Decision)> {
        let standing = self.visit.standing();
        self.visit.catalogue().categories().iter().map(move |c| (c, standing.decision(c)))
    }

    /// Whether a withdrawal took effect on the device and is not recorded yet.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.visit.is_pending()
    }

    /// The record that proves what was granted.
    #[must_use]
    pub fn record(&self) -> Option<RecordId> {
        let account = self.visit.account().and_then(|a| a.state.record);
        account.or_else(|| self.visit.device_state().and_then(|s| s.record))
    }

    /// Hosts that the page may load something from: those of services whose gate is open. For a
    /// Content-Security-Policy.
    #[must_use]
    pub fn external_hosts(&self) -> Vec<&str> {
        self.visit
            .catalogue()
            .services()
            .iter()
            .filter(|s| s.gate.as_ref().is_some_and(|gate| self.opens(gate)))
            .flat_map(|s| s.external_hosts.iter().map(String::as_str))
            .collect()
    }

    /// The visit it belongs to.
    #[must_use]
    pub fn visit(&self) -> &Visit {
        &self.visit
    }
}
