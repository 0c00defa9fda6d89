//! The cookies that privet sets: their format, for edge workers and auditors.
//!
//! Each value is base64url (RFC 4648, section 5) without padding. The last 16 bytes are a tag: the first 16
//! bytes of HMAC-SHA256 (RFC 2104) over all bytes before them. The key of the tag is
//! `HKDF-SHA256(ikm = installation secret, salt = none, info)` (RFC 5869) with
//! `info = "privet/v1" ‖ field(purpose) ‖ field(tenant) ‖ field(site)` and
//! `field(x) = length of x as 4 bytes, big endian ‖ x`, so a cookie of one site is nothing on another. Numbers
//! are big endian.
//!
//! **Consent**, `__Host-privet`, purpose `cookie/consent`:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, `0x10`; plus 1 if a record id follows, plus 2 if a withdrawal is not recorded yet |
//! | 1 | code of the regime: 1 opt-in, 2 opt-out, 3 United Kingdom, 4 France |
//! | 2 | day of the decision, days since 1970-01-01 |
//! | 16 | record id, if there is one: only while something is granted, or a withdrawal is not recorded yet |
//! | 4 each | per category, in the order of codes: code × 4 + decision (0 refused, 1 granted, 2 granted despite Global Privacy Control), then the first 3 bytes of the category's material hash |
//! | 16 | tag |
//!
//! Up to seven categories this is at most 100 bytes with the name, and up to eight the tag is over one SHA-256
//! block. Two refusals of one day are the same bytes.
//!
//! **Activation**, `__Host-privet-active`, purpose `cookie/active`: version `0x10` (1) · minute of the first
//! activation since 1970 (4) · session id (16) · per activated service the first 3 bytes of the SHA-256 of its
//! id, sorted (3 each) · tag (16).
//!
//! **Contact**, `__Host-privet-contact`, purpose `cookie/contact`: version `0x10` (1) · fence epoch (4) · last
//! day of the choice, days since 1970 (2) · contact id (16) · tag (16). The tag of a contact that came to be while somebody
//! was signed in is over these bytes and the keyed digest of their account (16), so that it is nothing to anybody else.
//!
//! **Account**, `__Host-privet-account`, purpose `cookie/account`: 1 if the person decided since they signed in, else 0
//! (1) · keyed digest of the account (16) · the bytes of a consent cookie up to its tag, with the decisions of the
//! account, which may be none · tag (16).
//!
//! What does not fit exactly, has another tag, stands twice in one request or is past its time counts as
//! absent; of an account's choice past its time, and of a device's where refusals are kept as objections, what was refused
//! is left. A consent cookie of a later version than one's own also counts as absent, and is not overwritten.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::record::RecordId;
use super::regime::Regime;
use super::state::{Choice, ConsentState, Kept};
use crate::catalogue::{CategoryCode, MAX_CATEGORIES};
use crate::clock::{Day, Timestamp};
use crate::contact::{ContactId, FenceEpoch, SessionId};
use crate::key::{KeyRing, Mac, TAG_LEN};
use crate::scope::Scope;
use crate::store::SubjectDigest;

const VERSION: u8 = 0x10;
const VERSION_MASK: u8 = 0xf0;
const HAS_RECORD: u8 = 1;
const PENDING: u8 = 2;

/// A visit's services and its id end a day after the first activation, whatever the browser calls a session and
/// however busy it is.
pub(crate) const ACTIVE_LIFE: Duration = Duration::from_secs(86_400);

/// More services than this are not kept active at once.
pub(crate) const MAX_ACTIVE_SERVICES: usize = 16;

const MAX_STATE: usize = 4 + 16 + 4 * MAX_CATEGORIES;
const MAX_BODY: usize = 1 + 16 + MAX_STATE;
const MAX_BYTES: usize = MAX_BODY + TAG_LEN;
const MAX_TEXT: usize = MAX_BYTES.div_ceil(3) * 4;

/// Enciphers nothing: encodes, decodes and authenticates the cookies of one site.
#[derive(Clone, Debug)]
pub(crate) struct CookieCodec {
    consent: Mac,
    active: Mac,
    contact: Mac,
    account: Mac,
    /// How long refusals are kept as objections after the choice has lapsed, from the decision on; zero where everybody is
    /// asked anyway.
    objections: Duration,
}

/// What a consent cookie turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadConsent {
    Absent,
    /// Written by a later version of privet: nobody here may overwrite it.
    Newer,
    State(ConsentState),
}

/// The services that a visitor started, under one session id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveSession {
    pub(crate) id: SessionId,
    pub(crate) since: Timestamp,
    services: Vec<[u8; 3]>,
}

/// What a signed-in person decided, on whichever device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountState {
    /// The line of the account.
    pub(crate) line: SubjectDigest,
    /// Whether the person decided since they signed in: then the device's own choice does not count.
    pub(crate) decided: bool,
    pub(crate) state: ConsentState,
}

/// The contact that a browser is recognised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContactCookie {
    pub(crate) id: ContactId,
    pub(crate) epoch: FenceEpoch,
    pub(crate) until: Day,
    /// The line of the account that it came to be under: it is nothing while anybody else, or nobody, is signed in.
    pub(crate) line: Option<SubjectDigest>,
}

fn service_mark(id: &str) -> [u8; 3] {
    let hash = Sha256::digest(id.as_bytes());
    [hash[0], hash[1], hash[2]]
}

impl ActiveSession {
    pub(crate) fn new(id: SessionId, since: Timestamp) -> Self {
        Self { id, since: since.floor_to(Duration::from_secs(60)), services: Vec::new() }
    }

    pub(crate) fn holds(&self, service: &str) -> bool {
        self.services.contains(&service_mark(service))
    }

    pub(crate) fn activate(&mut self, service: &str) {
        let mark = service_mark(service);
        if let Err(at) = self.services.binary_search(&mark)
            && self.services.len() < MAX_ACTIVE_SERVICES
        {
            self.services.insert(at, mark);
        }
    }
}

impl CookieCodec {
    pub(crate) fn new(keys: &KeyRing, scope: &Scope) -> Self {
        let mac =
            |purpose| keys.mac(purpose, &[scope.tenant.as_str().as_bytes(), scope.site.as_str().as_bytes()]);
        Self {
            consent: mac("cookie/consent"),
            active: mac("cookie/active"),
            contact: mac("cookie/contact"),
            account: mac("cookie/account"),
            objections: Duration::ZERO,
        }
    }

    /// Keeps refusals as objections for so long.
    pub(crate) fn keeping_objections(mut self, life: Duration) -> Self {
        self.objections = life;
        self
    }

    pub(crate) fn encode_consent(&self, state: &ConsentState) -> String {
        let mut bytes = Vec::with_capacity(MAX_BYTES);
        write_state(&mut bytes, state);
        seal(&self.consent, bytes)
    }

    /// On the path of every request of a decided visitor: no allocation.
    pub(crate) fn decode_consent(&self, text: &[u8], now: Timestamp, choice_life: Duration) -> ReadConsent {
        let mut buffer = [0; MAX_BYTES];
        let Some(body) = open(&self.consent, text, &mut buffer) else { return ReadConsent::Absent };
        if body[0] & VERSION_MASK > VERSION {
            return ReadConsent::Newer;
        }
        let state = read_state(body, now, choice_life).filter(|s| !s.lapsed || self.keeps_objections(s, now));
        state.map_or(ReadConsent::Absent, ReadConsent::State)
    }

    fn keeps_objections(&self, lapsed: &ConsentState, now: Timestamp) -> bool {
        lapsed.choices().next().is_some() && now < lapsed.day.start() + self.objections
    }

    pub(crate) fn encode_account(&self, account: &AccountState) -> String {
        let mut bytes = Vec::with_capacity(MAX_BYTES);
        bytes.push(u8::from(account.decided));
        bytes.extend(account.line.as_bytes());
        write_state(&mut bytes, &account.state);
        seal(&self.account, bytes)
    }

    pub(crate) fn decode_account(
        &self,
        text: &[u8],
        now: Timestamp,
        choice_life: Duration,
    ) -> Option<AccountState> {
        let mut buffer = [0; MAX_BYTES];
        let (&decided, rest) = open(&self.account, text, &mut buffer)?.split_first()?;
        let (line, state) = rest.split_first_chunk::<16>()?;
        let state = read_state(state, now, choice_life)?;
        (decided <= 1).then(|| AccountState {
            line: SubjectDigest::from_bytes(*line),
            decided: decided == 1,
            state,
        })
    }

    pub(crate) fn encode_active(&self, session: &ActiveSession) -> String {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(VERSION);
        bytes.extend(u32::try_from(session.since.as_millis() / 60_000).unwrap_or(0).to_be_bytes());
        bytes.extend(session.id.as_bytes());
        bytes.extend(session.services.iter().flatten());
        seal(&self.active, bytes)
    }

    pub(crate) fn decode_active(&self, text: &[u8], now: Timestamp) -> Option<ActiveSession> {
        let mut buffer = [0; MAX_BYTES];
        let body = open(&self.active, text, &mut buffer)?;
        let (head, services) = body.split_at_checked(21)?;
        let (services, rest) = services.as_chunks::<3>();
        let sorted = services.windows(2).all(|w| w[0] < w[1]);
        if head[0] != VERSION || !rest.is_empty() || !sorted || services.len() > MAX_ACTIVE_SERVICES {
            return None;
        }
        let minutes = u32::from_be_bytes(head[1..5].try_into().ok()?);
        let since = Timestamp::from_millis(i64::from(minutes) * 60_000);
        let id = SessionId::from_bytes(head[5..21].try_into().ok()?);
        (now.since(since) < ACTIVE_LIFE).then(|| ActiveSession { id, since, services: services.to_vec() })
    }

    pub(crate) fn encode_contact(&self, contact: &ContactCookie) -> String {
        let mut bytes = Vec::with_capacity(23 + TAG_LEN);
        bytes.push(VERSION);
        bytes.extend(contact.epoch.get().to_be_bytes());
        bytes.extend(day_bytes(contact.until));
        bytes.extend(contact.id.as_bytes());
        let tag = match &contact.line {
            None => self.contact.tag(&[&bytes]),
            Some(line) => self.contact.tag(&[&bytes, line.as_bytes()]),
        };
        bytes.extend(tag);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// `account` is the line of whoever is signed in.
    pub(crate) fn decode_contact(
        &self,
        text: &[u8],
        now: Timestamp,
        account: Option<SubjectDigest>,
    ) -> Option<ContactCookie> {
        let mut buffer = [0; MAX_BYTES];
        let (body, tag) = unsealed(text, &mut buffer)?;
        let body: &[u8; 23] = body.try_into().ok()?;
        let of_account =
            |line: &SubjectDigest| self.contact.verify(&[&body[..], line.as_bytes()].concat(), tag);
        let line = if self.contact.verify(body, tag) { None } else { Some(account.filter(of_account)?) };
        let &[version, e1, e2, e3, e4, d1, d2, ref id @ ..] = body;
        let until = read_day([d1, d2]);
        let id = ContactId::from_bytes(*id);
        let epoch = FenceEpoch::new(u32::from_be_bytes([e1, e2, e3, e4]));
        (version == VERSION && now.day() <= until).then_some(ContactCookie { id, epoch, until, line })
    }
}

fn write_state(bytes: &mut Vec<u8>, state: &ConsentState) {
    let flags = if state.record.is_some() { HAS_RECORD } else { 0 } | if state.pending { PENDING } else { 0 };
    bytes.extend([VERSION | flags, state.regime.rules().code]);
    bytes.extend(day_bytes(state.day));
    if let Some(record) = &state.record {
        bytes.extend(record.as_bytes());
    }
    for choice in state.choices() {
        bytes.push(choice.code.get() << 2 | choice.kept.bits());
        bytes.extend(choice.fingerprint);
    }
}

/// Past its time, what is left of it.
fn read_state(body: &[u8], now: Timestamp, choice_life: Duration) -> Option<ConsentState> {
    let &[head, regime, d1, d2, ref rest @ ..] = body else { return None };
    if head & VERSION_MASK != VERSION || head & !(VERSION_MASK | HAS_RECORD | PENDING) != 0 {
        return None;
    }
    let mut state = ConsentState::new(Regime::from_code(regime)?, read_day([d1, d2]));
    state.pending = head & PENDING != 0;
    let choices = if head & HAS_RECORD != 0 {
        let (id, choices) = rest.split_first_chunk::<16>()?;
        state.record = Some(RecordId::from_bytes(*id));
        choices
    } else {
        rest
    };
    let (choices, rest) = choices.as_chunks::<4>();
    let mut last = 0;
    for (place, &[head, f1, f2, f3]) in choices.iter().enumerate() {
        let code = CategoryCode::new(head >> 2).filter(|c| c.get() > last)?;
        last = code.get();
        let choice = Choice { code, kept: Kept::from_bits(head & 3)?, fingerprint: [f1, f2, f3] };
        state.put(place, choice).then_some(())?;
    }
    // A grant without a record proves nothing; a record without a grant is an identifier for nothing.
    let sound = state.record.is_some() == (state.grants_something() || state.pending);
    // A day of grace into the future: instances around midnight.
    if !rest.is_empty() || !sound || state.day.number() > now.day().number() + 1 {
        return None;
    }
    Some(if now < state.day.start() + choice_life { state } else { state.lapsed() })
}

/// The last day on which something holds that lapses at an instant.
pub(crate) fn last_day(until: Timestamp) -> Day {
    (until - Duration::from_millis(1)).day()
}

fn day_bytes(day: Day) -> [u8; 2] {
    u16::try_from(day.number()).unwrap_or(0).to_be_bytes()
}

fn read_day(bytes: [u8; 2]) -> Day {
    Day::from_number(u16::from_be_bytes(bytes).into())
}

fn seal(key: &Mac, mut bytes: Vec<u8>) -> String {
    let tag = key.tag(&[&bytes]);
    bytes.extend(tag);
    BASE64URL_NOPAD.encode(&bytes)
}

/// The bytes and the tag of a cookie, of which nobody has looked at yet whether they belong together.
fn unsealed<'b>(text: &[u8], buffer: &'b mut [u8; MAX_BYTES]) -> Option<(&'b [u8], &'b [u8])> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let len = BASE64URL_NOPAD.decode_len(text.len()).ok().filter(|n| *n <= MAX_BYTES && *n > TAG_LEN)?;
    BASE64URL_NOPAD.decode_mut(text, &mut buffer[..len]).ok()?;
    Some(buffer[..len].split_at(len - TAG_LEN))
}

fn open<'b>(key: &Mac, text: &[u8], buffer: &'b mut [u8; MAX_BYTES]) -> Option<&'b [u8]> {
    let (body, tag) = unsealed(text, buffer)?;
    key.verify(body, tag).then_some(body)
}

#[cfg(test)]
mod tests;
