//! A visitor decides: the one way from an answer to the device's cookie and to the proof.

use std::collections::BTreeSet;

use super::pending::PendingWithdrawal;
use super::{Privet, SiteState};
use crate::catalogue::{CategoryCode, Language, LegalBasis, category_id};
use crate::clock::Timestamp;
use crate::consent::cookie::{AccountState, ContactCookie, last_day};
use crate::consent::{
    Act, Choice, ConsentRecord, ConsentState, CountKind, Decision, Kept, Method, NoticeId, RecordId,
    RecordedDecision, Standing,
};
use crate::contact::Removed;
use crate::error::{Error, Result};
use crate::store::{AppendedRecord, ErasureCause, Horizon, NewRecord, SubjectDigest};
use crate::visit::{ConsentCategory, Identity, Visit};

/// What a visitor answers to a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Grants every category shown. Categories that Global Privacy Control switches off stay refused: they have
    /// to be named.
    AcceptAll,
    /// Refuses every category shown.
    RejectAll,
    /// Grants the categories named, by id, and refuses the others. None named is a refusal of all.
    Save(BTreeSet<String>),
}

/// How an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// By a form or by a script.
    pub method: Method,
    /// Whether the browser said that a person did it (`Sec-Fetch-User: ?1`).
    pub gesture: bool,
}

impl Provenance {
    /// By a form or by a script, with or without a person's gesture.
    #[must_use]
    pub fn new(method: Method, gesture: bool) -> Self {
        Self { method, gesture }
    }
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decided {
    /// The form stands for something else than is asked today, or is too old, or is none of ours: nothing was
    /// recorded, and the visitor has to be shown the notice of today.
    StaleNotice,
    /// It holds, on the device and, if there was something to record, in the store.
    Done(Withdrawn),
}

/// What went with a withdrawal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Withdrawn {
    /// The store did not take the record now; the device carries it until it does.
    pub pending: bool,
    /// What was erased.
    pub removed: Removed,
}

impl Privet {
    /// Takes a visitor's answer to the notice that its form stood under. A grant is durable before this returns;
    /// when the store does not take it, nothing is acknowledged. A refusal or withdrawal takes effect on the
    /// device in any case.
    ///
    /// # Errors
    /// [`Error::UnknownCategory`], [`Error::Conflict`] when the device has decided under a later version of
    /// privet, [`Error::HeadSent`], or, for a grant, [`Error::TooManyGrants`] or what the store says.
    pub async fn decide(
        &self,
        visit: &Visit,
        answer: &Answer,
        token: &str,
        provenance: Provenance,
    ) -> Result<Decided> {
        let site = visit.site();
        if visit.brought_newer_cookie() {
            return Err(Error::Conflict { what: "the device's decision" });
        }
        let wanted = self.wanted(visit, answer)?;
        // A no counts from wherever its form comes; a yes is a yes to the notice of the visitor's own regime.
        let token = match site.current_token(token, visit.now()) {
            Some(token) if token.regime == visit.regime() || !wanted.grants_something() => token,
            _ => return Ok(Decided::StaleNotice),
        };
        if site.catalogue.categories().is_empty() {
            // Nothing is asked, so there is nothing to remember, and the statement names no cookie for it.
            return Ok(Decided::Done(Withdrawn::default()));
        }
        let holder = Holder::of(visit, true);
        let before = visit.state();
        if wanted.grants_something() && before.as_ref().is_some_and(|s| s.pending) {
            // A withdrawal that waits comes before what is granted now, or it would undo it later.
            if let Err(error) = self.record_pending_of(visit).await {
                return self.only_take_away(visit, &holder, &wanted, provenance, error).map(Decided::Done);
            }
        }
        let before = visit.state().unwrap_or_else(|| ConsentState::new(visit.regime(), visit.now().day()));
        let nothing_held = !wanted.grants_something() && (before.record.is_none() || before.pending);
        if nothing_held && (!visit.signed_in() || before.pending) {
            return self.refuse_on_device(visit, &holder, wanted, &before, token.notice).map(Decided::Done);
        }
        // Of an account, what the device alone granted before is new.
        let held = if visit.signed_in() { granted_mask(&before) } else { u64::MAX };
        let adds = granted_mask(&wanted) & !(visit.standing().granted & held);
        let withdrawn = granted_mask(&before) & !granted_mask(&wanted);
        let act = if wanted.grants_something() && (adds != 0 || withdrawn == 0) {
            Act::Grant
        } else if nothing_held {
            // Of an account, so that it holds on its other devices.
            Act::Refusal
        } else {
            Act::Withdrawal
        };
        if act == Act::Grant && self.is_repeated(visit, &wanted, &before, token.notice).await {
            holder.keep(visit, before)?;
            return Ok(Decided::Done(Withdrawn::default()));
        }
        let facts = Facts::of(visit, &holder, act, token.notice, provenance);
        let recorded = match self.admit(visit, act) {
            Ok(_under_way) => self.record(visit, &holder, &wanted, before.record, facts).await,
            Err(error) => Err(error),
        };
        match recorded {
            Err(error) if (withdrawn != 0 || nothing_held) && !error.is_misuse() => {
                self.only_take_away(visit, &holder, &wanted, provenance, error).map(Decided::Done)
            }
            recorded => recorded.map(Decided::Done),
        }
    }

    /// Withdraws categories by id, or all when none is named: one act, without a notice (GDPR Art. 7(3)).
    ///
    /// Of somebody who is signed in it takes back what their account grants; and where the account says nothing about a
    /// category, so that this device's own grant was what the visit stood on, that grant, for good.
    ///
    /// # Errors
    /// [`Error::UnknownCategory`], [`Error::Conflict`] as [`decide`](Self::decide), or [`Error::HeadSent`].
    pub async fn withdraw(
        &self,
        visit: &Visit,
        categories: &BTreeSet<String>,
        language: &Language,
        provenance: Provenance,
    ) -> Result<Withdrawn> {
        let site = visit.site();
        if visit.brought_newer_cookie() {
            return Err(Error::Conflict { what: "the device's decision" });
        }
        let named =
            categories.iter().try_fold(0, |codes, id| visit.category(id).map(|c| codes | c.code.bit()))?;
        let codes = if categories.is_empty() { u64::MAX } else { named };
        if site.catalogue.categories().is_empty() {
            return Ok(Withdrawn::default());
        }
        let notice = site.notice(language).map_or(NoticeId::NONE, |n| n.snapshot.id);
        let below = device_grants_below(visit, codes);
        let contact = visit.contact();
        let mut withdrawn = self.withdraw_as(visit, codes, notice, provenance).await?;
        if let Some((device, codes)) = below {
            // Whatever the account is about, this is about the device.
            let ends = codes & contacts_code(site).bit() != 0;
            let holder = Holder { account: None, answers: false, contact: contact.filter(|_| ends) };
            let wanted = device.withdrawing(codes, visit.now().day());
            let more = if device.pending {
                self.refuse_on_device(visit, &holder, wanted, &device, notice)?
            } else {
                let facts = Facts::of(visit, &holder, Act::Withdrawal, notice, provenance);
                self.take_back(visit, &holder, &wanted, device.record, facts).await?
            };
            withdrawn.pending |= more.pending;
            withdrawn.removed += more.removed;
        }
        Ok(withdrawn)
    }

    /// Withdraws what is the account's of somebody who is signed in, or else the device's.
    async fn withdraw_as(
        &self,
        visit: &Visit,
        codes: u64,
        notice: NoticeId,
        provenance: Provenance,
    ) -> Result<Withdrawn> {
        let holder = Holder::of(visit, false);
        let before = visit.state().unwrap_or_else(|| ConsentState::new(visit.regime(), visit.now().day()));
        let mut wanted = before.withdrawing(codes, visit.now().day());
        // Whoever withdraws what was never asked has refused it.
        refuse_unknown(&mut wanted, visit.site(), codes);
        let nothing_held = before.record.is_none() || before.pending;
        if nothing_held && (!visit.signed_in() || before.pending) {
            return self.refuse_on_device(visit, &holder, wanted, &before, notice);
        }
        let takes = !nothing_held && granted_mask(&wanted) != granted_mask(&before);
        // What an account refuses beside its grants holds on its other devices too.
        let says = visit.signed_in() && (nothing_held || decisions(&wanted) != decisions(&before));
        if !takes && !says {
            holder.keep(visit, wanted)?;
            return Ok(Withdrawn::default());
        }
        let act = if takes { Act::Withdrawal } else { Act::Refusal };
        let facts = Facts::of(visit, &holder, act, notice, provenance);
        self.take_back(visit, &holder, &wanted, before.record, facts).await
    }

    /// Ends the device's own consent to contacts, since its contact was moved to the account of whoever is signed in: it is
    /// withdrawn, and not refused, so that it does not stand against the account's when they sign in again.
    pub(crate) async fn end_contacts_of_device(
        &self,
        visit: &Visit,
        contact: ContactCookie,
        provenance: Provenance,
    ) -> Result<()> {
        let (site, today) = (visit.site(), visit.now().day());
        let Some(device) = visit.device_state() else { return Ok(()) };
        let code = contacts_code(site);
        let holder = Holder { account: None, answers: false, contact: Some(contact) };
        let notice = site.notices.first().map_or(NoticeId::NONE, |n| n.snapshot.id);
        let facts = Facts::of(visit, &holder, Act::Withdrawal, notice, provenance);
        let wanted = device.withdrawing(code.bit(), today);
        let ended = self.take_back(visit, &holder, &wanted, device.record, facts).await?;
        if !ended.pending
            && let Some(state) = visit.device_state()
        {
            visit.decide_for_device(state.without(code, today))?;
        }
        if let Some(account) = visit.account() {
            visit.keep_account(Some(AccountState { decided: true, ..account }))?;
        }
        Ok(())
    }

    /// Records a state that only takes away, or keeps it on the device until it can be.
    async fn take_back(
        &self,
        visit: &Visit,
        holder: &Holder,
        wanted: &ConsentState,
        follows: Option<RecordId>,
        facts: Facts,
    ) -> Result<Withdrawn> {
        let provenance = facts.provenance;
        match self.record(visit, holder, wanted, follows, facts).await {
            Err(error) if !error.is_misuse() => {
                let wanted = wanted.clone().standing_on(follows);
                self.withdraw_on_device(visit, holder, &wanted, 0, provenance, &error)
            }
            recorded => recorded,
        }
    }

    /// Whether a device sends the grant again that its latest record holds, on the same day and under the same notice:
    /// a button pressed twice is one act, and one row.
    async fn is_repeated(
        &self,
        visit: &Visit,
        wanted: &ConsentState,
        before: &ConsentState,
        notice: NoticeId,
    ) -> bool {
        let Some(id) = before.record else { return false };
        let mut same = before.clone();
        same.record = None;
        // What the store does not say now, it says when the grant is recorded.
        same == *wanted
            && self.store().latest_record(visit.scope(), id).await.ok().flatten().is_some_and(|latest| {
                let act = (latest.id, latest.act, latest.notice, latest.gpc);
                act == (id, Act::Grant, notice, visit.gpc())
                    && latest.at.day() == visit.now().day()
                    && latest.decisions == decisions(wanted)
            })
    }

    /// A refusal of a device that granted nothing, or whose withdrawal still waits: no new record. The former is counted.
    fn refuse_on_device(
        &self,
        visit: &Visit,
        holder: &Holder,
        mut wanted: ConsentState,
        before: &ConsentState,
        notice: NoticeId,
    ) -> Result<Withdrawn> {
        wanted.pending = before.pending;
        wanted.record = before.record;
        if wanted.pending {
            self.keep_pending(PendingWithdrawal::of(visit, &wanted, holder.account, None));
        }
        let pending = wanted.pending;
        self.let_contact_go(visit, holder, &wanted);
        holder.keep(visit, wanted)?;
        if !pending {
            visit.site().count(visit.now().day(), CountKind::Refusal, notice);
        }
        Ok(Withdrawn { pending, removed: Removed::default() })
    }

    fn wanted(&self, visit: &Visit, answer: &Answer) -> Result<ConsentState> {
        let site = visit.site();
        if let Answer::Save(ids) = answer {
            for id in ids {
                visit.category(id)?;
            }
        }
        let mut state = ConsentState::new(visit.regime(), visit.now().day());
        for category in site.catalogue.categories() {
            let signalled = visit.gpc() && category.sale_or_share;
            let kept = match answer {
                Answer::RejectAll => Kept::Refused,
                Answer::AcceptAll if signalled => Kept::Refused,
                Answer::Save(ids) if !ids.contains(&category.id) => Kept::Refused,
                Answer::Save(_) if signalled => Kept::GrantedDespiteSignal,
                Answer::AcceptAll | Answer::Save(_) => Kept::Granted,
            };
            state.set(Choice { code: category.code, kept, fingerprint: category.fingerprint() });
        }
        Ok(state)
    }

    /// Appends the record of a state, erases what no longer stands on anything, and puts the state on the device.
    async fn record(
        &self,
        visit: &Visit,
        holder: &Holder,
        wanted: &ConsentState,
        follows: Option<RecordId>,
        facts: Facts,
    ) -> Result<Withdrawn> {
        let (record, mut removed) = self.append(visit.site(), wanted, follows, facts).await?;
        // What the line does not grant any more, since another withdrawal came first, the device does not either.
        let lost = wanted.choices().filter(|c| !record.grants(c.code, record.at));
        let lost = lost.fold(0, |codes, c| codes | c.code.bit());
        let mut state = wanted.withdrawing(lost, visit.now().day());
        state.pending = false;
        state.record = state.grants_something().then_some(record.id);
        let contacts = contacts_code(visit.site());
        let granted = record.grants(contacts, record.at);
        self.let_contact_go(visit, holder, &state);
        match holder.contact {
            // The cookie ends with the choice, also with a choice that was renewed.
            Some(contact) if granted => {
                visit.set_contact(ContactCookie { until: last_day(record.until), ..contact });
            }
            // It may stand on another line than the one that ends here, if the device lost its cookie in between.
            Some(contact) => {
                let (now, scope) = (visit.now(), visit.scope());
                if let Some(there) = self.store().contact(scope, contact.id, &Horizon::unlimited(now)).await?
                    && there.kept_on.is_some()
                {
                    return holder.keep(visit, state).map(|()| Withdrawn { pending: false, removed });
                }
                let cause = ErasureCause::Withdrawal;
                let left =
                    self.store().begin_contact_erasure(scope, contact.id, cause, Self::fence_until(now));
                removed += self.erase_now(left.await?.as_slice()).await;
            }
            None => {}
        }
        holder.keep(visit, state)?;
        Ok(Withdrawn { pending: false, removed })
    }

    /// Appends the record of a state to its line, and erases what no longer stands on anything.
    pub(super) async fn append(
        &self,
        site: &SiteState,
        state: &ConsentState,
        follows: Option<RecordId>,
        facts: Facts,
    ) -> Result<(ConsentRecord, Removed)> {
        let id = RecordId::generate()?;
        let record = ConsentRecord {
            id,
            scope: site.scope.clone(),
            subject: match facts.account {
                Some(line) => line,
                None => self.keys().line_digest(&site.scope.tenant, id.as_bytes()).await?,
            },
            act: facts.act,
            at: facts.at,
            until: site.lapses(state, facts.at),
            notice: facts.notice,
            language: facts.language,
            regime: state.regime,
            method: facts.provenance.method,
            gesture: facts.provenance.gesture,
            gpc: facts.gpc,
            decisions: decisions(state),
        };
        // What another device of the account recorded meanwhile, this one's cookie does not know.
        // Nor does a line have what a device began while the store was down.
        let follows = match facts.account {
            Some(line) => {
                let known = match follows {
                    Some(id) => self.store().record(&site.scope, id).await?,
                    None => None,
                };
                match known {
                    Some(known) => Some(known.id),
                    None => self.store().line_head(&site.scope, line).await?.map(|r| r.id),
                }
            }
            None => follows,
        };
        let appended = self.append_to_line(site, record, follows, site.keeps).await?;
        let removed = self.erase_now(&appended.erasing).await;
        Ok((appended.record, removed))
    }

    /// Appends a record to its line, whoever acted, with what goes with it: whom to tell, and the contacts that it no
    /// longer grants, which are erased unless they are kept on another basis.
    pub(crate) async fn append_to_line(
        &self,
        site: &SiteState,
        record: ConsentRecord,
        follows: Option<RecordId>,
        keeps: Option<LegalBasis>,
    ) -> Result<AppendedRecord> {
        let notify = self.notifications_for(site, &record, follows).await?;
        let identity = site.catalogue.category(<Identity as ConsentCategory>::ID).map(|c| c.code);
        let grants = |code| record.grants(code, record.at);
        let forgets = identity.is_some_and(|code| !grants(code)) || !grants(contacts_code(site));
        let new = NewRecord::new(record, follows).keeping(keeps).notifying(notify).forgetting(forgets);
        self.store().append_record(&new, contacts_code(site), Self::fence_until(self.now())).await
    }

    /// An answer that cannot be recorded: what it takes away holds at once, what it would add does not.
    fn only_take_away(
        &self,
        visit: &Visit,
        holder: &Holder,
        wanted: &ConsentState,
        provenance: Provenance,
        error: Error,
    ) -> Result<Withdrawn> {
        let before = visit.state().unwrap_or_else(|| ConsentState::new(wanted.regime, visit.now().day()));
        let (had, wants) = (granted_mask(&before), granted_mask(wanted));
        // Whoever refuses everything has also refused what was not decided before.
        let before = if wants == 0 { wanted.clone().standing_on(before.record) } else { before };
        let taken = self.withdraw_on_device(visit, holder, &before, had & !wants, provenance, &error)?;
        if wants & !had == 0 { Ok(taken) } else { Err(error) }
    }

    fn withdraw_on_device(
        &self,
        visit: &Visit,
        holder: &Holder,
        before: &ConsentState,
        codes: u64,
        provenance: Provenance,
        error: &Error,
    ) -> Result<Withdrawn> {
        tracing::error!("a withdrawal took effect on the device and is not recorded yet: {error}");
        let mut state = before.withdrawing(codes, visit.now().day());
        state.pending = true;
        // An account that had granted nothing has no record to follow: the new one begins its line.
        state.record = Some(match before.record {
            Some(record) => record,
            None => RecordId::generate()?,
        });
        self.let_contact_go(visit, holder, &state);
        self.keep_pending(PendingWithdrawal::of(visit, &state, holder.account, Some(provenance)));
        holder.keep(visit, state)?;
        Ok(Withdrawn { pending: true, removed: Removed::default() })
    }

    /// Ends the recognition of a contact that a state no longer grants.
    fn let_contact_go(&self, visit: &Visit, holder: &Holder, state: &ConsentState) {
        let contacts = contacts_code(visit.site());
        let granted = state.choices().any(|c| c.code == contacts && c.kept.is_granted());
        if let (Some(contact), false) = (holder.contact, granted) {
            self.touches().forget(visit.scope(), contact.id);
            visit.expire_contact();
        }
    }
}

/// Whose choice an act is about.
struct Holder {
    /// The line of the account that is signed in; none where it is the device itself.
    account: Option<SubjectDigest>,
    /// Whether it answers what was asked. From then on an account's choice counts alone; to take something back is no
    /// answer about the rest.
    answers: bool,
    /// The contact that stands on it: a device's own is none of an account's.
    contact: Option<ContactCookie>,
}

impl Holder {
    fn of(visit: &Visit, answers: bool) -> Self {
        let account = visit.line();
        Self { account, answers, contact: visit.contact().filter(|contact| contact.line == account) }
    }

    /// Keeps what was decided.
    fn keep(&self, visit: &Visit, state: ConsentState) -> Result<()> {
        match visit.account().filter(|a| self.account == Some(a.line)) {
            Some(account) => {
                let decided = account.decided || self.answers;
                visit.keep_account(Some(AccountState { decided, state, ..account }))
            }
            None => visit.decide_for_device(state),
        }
    }
}

/// What the device itself grants of some categories, and the visit of somebody who is signed in stands on.
fn device_grants_below(visit: &Visit, codes: u64) -> Option<(ConsentState, u64)> {
    let account = visit.account()?.state;
    let device = visit.device_state()?;
    let refused = account.choices().filter(|c| !c.kept.is_granted());
    let refused = refused.fold(0, |mask, c| mask | c.code.bit());
    let granted = device.choices().filter(|c| c.kept.is_granted()).map(|c| c.code);
    let stands = granted
        .filter(|code| (codes & !refused) & code.bit() != 0 && visit.record_of(*code) == device.record)
        .fold(0, |mask, code| mask | code.bit());
    (stands != 0).then_some((device, stands))
}

/// What a record says beside the decisions.
pub(super) struct Facts {
    pub(super) act: Act,
    pub(super) at: Timestamp,
    pub(super) notice: NoticeId,
    pub(super) language: Language,
    pub(super) provenance: Provenance,
    pub(super) gpc: bool,
    /// The line of the account that is signed in.
    pub(super) account: Option<SubjectDigest>,
}

impl Facts {
    fn of(visit: &Visit, holder: &Holder, act: Act, notice: NoticeId, provenance: Provenance) -> Self {
        let site = visit.site();
        let shown = site.notices.iter().find(|n| n.snapshot.id == notice).or(site.notices.first());
        let language =
            shown.map_or_else(|| site.catalogue.languages()[0].clone(), |n| n.notice.language.clone());
        let account = holder.account;
        Self { act, at: visit.now(), notice, language, provenance, gpc: visit.gpc(), account }
    }
}

fn decisions(state: &ConsentState) -> Vec<RecordedDecision> {
    state
        .choices()
        .map(|c| {
            let decision = if c.kept.is_granted() { Decision::Granted } else { Decision::Refused };
            RecordedDecision::new(c.code, decision, c.fingerprint)
        })
        .collect()
}

/// The code that stores know contacts by.
pub(crate) fn contacts_code(site: &SiteState) -> CategoryCode {
    let declared = site.catalogue.category(category_id::CONTACTS).map(|c| c.code);
    declared.or_else(|| CategoryCode::built_in(category_id::CONTACTS)).unwrap_or(CONTACTS)
}

const CONTACTS: CategoryCode = match CategoryCode::new(4) {
    Some(code) => code,
    None => unreachable!(),
};

pub(super) fn granted_mask(state: &ConsentState) -> u64 {
    state.choices().filter(|c| c.kept.is_granted()).fold(0, |mask, c| mask | c.code.bit())
}

fn refuse_unknown(state: &mut ConsentState, site: &SiteState, codes: u64) {
    let standing = Standing::of(Some(state), site, state.regime, false);
    for category in site.catalogue.categories() {
        if codes & category.code.bit() != 0 && standing.decision(category) == Decision::Unknown {
            state.set(Choice {
                code: category.code,
                kept: Kept::Refused,
                fingerprint: category.fingerprint(),
            });
        }
    }
}
