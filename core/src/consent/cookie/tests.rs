use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::scope::{Site, Tenant};

const LIFE: Duration = crate::legal::Figure::ChoiceLife.built_in();

fn keys() -> KeyRing {
    KeyRing::from_hex("9f1c0e6a5b7d48e2a3c4f5061728394a5b6c7d8e9fa0b1c2d3e4f50617283945").unwrap()
}

fn scope(tenant: &str, site: &str) -> Scope {
    Scope::new(Tenant::new(tenant).unwrap(), Site::new(site).unwrap())
}

fn codec() -> CookieCodec {
    CookieCodec::new(&keys(), &scope("main", "main"))
}

fn day(n: i64) -> Day {
    Day::from_number(n)
}

fn state(choices: &[(u8, Kept)], record: Option<u8>) -> ConsentState {
    let mut s = ConsentState::new(Regime::OptIn, day(20_500));
    s.record = record.map(|b| RecordId::from_bytes([b; 16]));
    for (code, kept) in choices {
        s.set(Choice {
            code: CategoryCode::new(*code).unwrap(),
            kept: *kept,
            fingerprint: [*code, 0xaa, 0x55],
        });
    }
    s
}

fn now() -> Timestamp {
    day(20_500).start() + Duration::from_secs(40_000)
}

fn read(codec: &CookieCodec, text: &str) -> ReadConsent {
    codec.decode_consent(text.as_bytes(), now(), LIFE)
}

/// The published vectors: what an edge worker written from the format's description must agree with.
#[derive(Deserialize)]
struct Vectors {
    key: String,
    consent: Vec<ConsentVector>,
    active: Vec<ActiveVector>,
    contact: Vec<ContactVector>,
    account: Vec<AccountVector>,
}

#[derive(Deserialize)]
struct ConsentVector {
    tenant: String,
    site: String,
    regime: u8,
    day: i64,
    record: Option<String>,
    pending: bool,
    choices: Vec<(u8, u8, String)>,
    value: String,
}

#[derive(Deserialize)]
struct ActiveVector {
    minute: i64,
    session: String,
    services: Vec<String>,
    value: String,
}

#[derive(Deserialize)]
struct ContactVector {
    epoch: u32,
    until: i64,
    id: String,
    value: String,
}

#[derive(Deserialize)]
struct AccountVector {
    decided: bool,
    line: String,
    regime: u8,
    day: i64,
    record: Option<String>,
    choices: Vec<(u8, u8, String)>,
    value: String,
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
}

#[test]
fn published_vectors() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../../vectors/cookies.json")).unwrap();
    let keys = KeyRing::from_hex(&vectors.key).unwrap();
    for v in &vectors.consent {
        let codec = CookieCodec::new(&keys, &scope(&v.tenant, &v.site));
        let mut s = ConsentState::new(Regime::from_code(v.regime).unwrap(), day(v.day));
        s.record = v.record.as_ref().map(|r| RecordId::from_bytes(bytes(r)));
        s.pending = v.pending;
        for (code, bits, fingerprint) in &v.choices {
            let kept = Kept::from_bits(*bits).unwrap();
            s.set(Choice { code: CategoryCode::new(*code).unwrap(), kept, fingerprint: bytes(fingerprint) });
        }
        assert_eq!(codec.encode_consent(&s), v.value);
        assert_eq!(codec.decode_consent(v.value.as_bytes(), day(v.day).start(), LIFE), ReadConsent::State(s));
    }
    let codec = CookieCodec::new(&keys, &scope("main", "main"));
    for v in &vectors.account {
        let mut state = ConsentState::new(Regime::from_code(v.regime).unwrap(), day(v.day));
        state.record = v.record.as_ref().map(|r| RecordId::from_bytes(bytes(r)));
        for (code, bits, fingerprint) in &v.choices {
            let kept = Kept::from_bits(*bits).unwrap();
            state.set(Choice {
                code: CategoryCode::new(*code).unwrap(),
                kept,
                fingerprint: bytes(fingerprint),
            });
        }
        let line = SubjectDigest::from_bytes(bytes(&v.line));
        let account = AccountState { line, decided: v.decided, state };
        assert_eq!(codec.encode_account(&account), v.value);
        let now = day(v.day).start();
        assert_eq!(codec.decode_account(v.value.as_bytes(), now, LIFE).as_ref(), Some(&account));
        let left = codec.decode_account(v.value.as_bytes(), now + LIFE, LIFE).unwrap();
        assert_eq!((left.line, left.state), (line, account.state.lapsed()), "past its time");
        for at in 0..v.value.len() {
            let mut broken = v.value.clone().into_bytes();
            broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(codec.decode_account(&broken, now, LIFE), None, "byte {at}");
            assert_eq!(codec.decode_account(&v.value.as_bytes()[..at], now, LIFE), None, "cut at {at}");
        }
        assert_eq!(
            codec.decode_consent(v.value.as_bytes(), now, LIFE),
            ReadConsent::Absent,
            "another cookie"
        );
    }
    for v in &vectors.active {
        let now = Timestamp::from_millis(v.minute * 60_000);
        let mut session = ActiveSession::new(SessionId::from_bytes(bytes(&v.session)), now);
        v.services.iter().for_each(|s| session.activate(s));
        assert_eq!(codec.encode_active(&session), v.value);
        assert_eq!(codec.decode_active(v.value.as_bytes(), now), Some(session));
    }
    for v in &vectors.contact {
        let contact = ContactCookie {
            id: ContactId::from_bytes(bytes(&v.id)),
            epoch: FenceEpoch::new(v.epoch),
            until: day(v.until),
            line: None,
        };
        assert_eq!(codec.encode_contact(&contact), v.value);
        assert_eq!(codec.decode_contact(v.value.as_bytes(), day(v.until).start(), None), Some(contact));
        let line = SubjectDigest::from_bytes([7; 16]);
        let of_account = ContactCookie { line: Some(line), ..contact };
        let text = codec.encode_contact(&of_account);
        let read = |who| codec.decode_contact(text.as_bytes(), day(v.until).start(), who);
        assert_eq!(read(Some(line)), Some(of_account));
        assert_eq!(
            (read(None), read(Some(SubjectDigest::from_bytes([8; 16])))),
            (None, None),
            "somebody else's"
        );
    }
}

#[test]
fn sizes() {
    let codec = codec();
    for categories in 0..=7u8 {
        let choices: Vec<_> = (1..=categories).map(|c| (c, Kept::Granted)).collect();
        let value = codec.encode_consent(&state(&choices, (categories > 0).then_some(9)));
        assert!("__Host-privet=".len() + value.len() <= 100, "{categories} categories: {}", value.len());
    }
}

#[test]
fn two_refusals_of_a_day_are_the_same_bytes() {
    let refusal = state(&[(2, Kept::Refused), (4, Kept::Refused)], None);
    let values: std::collections::BTreeSet<_> = (0..1000).map(|_| codec().encode_consent(&refusal)).collect();
    assert_eq!(values.len(), 1);
}

#[test]
fn foreign_keys_tenants_and_sites_are_nothing() {
    let value = codec().encode_consent(&state(&[(2, Kept::Granted)], Some(1)));
    let mut other = [3; 32];
    other[0] = 9;
    let other = KeyRing::from_bytes(other).unwrap();
    assert_eq!(read(&CookieCodec::new(&other, &scope("main", "main")), &value), ReadConsent::Absent);
    for (tenant, site) in [("other", "main"), ("main", "other"), ("mainm", "ain")] {
        assert_eq!(read(&CookieCodec::new(&keys(), &scope(tenant, site)), &value), ReadConsent::Absent);
    }
    let rotated = CookieCodec::new(&other.with_previous(&keys()), &scope("main", "main"));
    assert!(matches!(read(&rotated, &value), ReadConsent::State(_)));
}

#[test]
fn every_tampered_byte_is_found() {
    let codec = codec();
    let value = codec.encode_consent(&state(&[(2, Kept::Granted), (3, Kept::Refused)], Some(1)));
    for at in 0..value.len() {
        let mut broken = value.clone().into_bytes();
        broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(codec.decode_consent(&broken, now(), LIFE), ReadConsent::Absent, "byte {at}");
    }
    for len in 0..value.len() {
        assert_eq!(read(&codec, &value[..len]), ReadConsent::Absent);
    }
}

#[test]
fn a_choice_ends_after_its_life_and_does_not_begin_before_its_day() {
    let codec = codec();
    let value = codec.encode_consent(&state(&[(2, Kept::Refused)], None));
    let at = |n: i64| codec.decode_consent(value.as_bytes(), day(n).start(), LIFE);
    assert!(matches!(at(20_500), ReadConsent::State(_)));
    assert!(matches!(at(20_679), ReadConsent::State(_)));
    assert_eq!(at(20_680), ReadConsent::Absent);
    assert!(matches!(at(20_499), ReadConsent::State(_)), "a neighbour instance's midnight");
    assert_eq!(at(20_498), ReadConsent::Absent);
}

/// What is authentic and still makes no sense: it would take a defect of ours to write it.
#[test]
fn unsound_states_are_nothing() {
    let codec = codec();
    let signed = |body: &[u8]| seal(&codec.consent, body.to_vec());
    let head = |flags: u8| vec![VERSION | flags, 1, 0x50, 0x14];
    let granted = [2 << 2 | 1, 1, 1, 1];
    let refused = [2 << 2, 1, 1, 1];
    let join = |parts: &[&[u8]]| parts.concat();
    let bad = [
        join(&[&head(0), &granted]),
        join(&[&head(HAS_RECORD), &[7; 16], &refused]),
        join(&[&head(HAS_RECORD), &[7; 15]]),
        join(&[&head(0), &refused, &refused]),
        join(&[&head(0), &[3 << 2, 1, 1, 1], &refused]),
        join(&[&head(0), &[2 << 2 | 3, 1, 1, 1]]),
        join(&[&head(0), &[0, 1, 1, 1]]),
        join(&[&head(0), &[1, 2, 3]]),
        join(&[&head(4), &refused]),
        vec![VERSION, 99, 0x50, 0x14],
        vec![VERSION],
        vec![0x00, 1, 0x50, 0x14],
    ];
    for body in bad {
        assert_eq!(read(&codec, &signed(&body)), ReadConsent::Absent, "{body:?}");
    }
    assert!(matches!(read(&codec, &signed(&head(0))), ReadConsent::State(_)));
    assert_eq!(read(&codec, &signed(&[0x20, 1, 0x50, 0x14, 1, 2])), ReadConsent::Newer);
}

#[test]
fn an_active_session_lives_a_day_from_the_last_gesture() {
    let codec = codec();
    let t = Timestamp::from_millis(1_771_000_020_000);
    let mut session = ActiveSession::new(SessionId::from_bytes([4; 16]), t);
    session.activate("webwidget");
    session.activate("webwidget");
    session.activate("map");
    let value = codec.encode_active(&session);
    let read = codec.decode_active(value.as_bytes(), t).unwrap();
    assert!(read.holds("webwidget") && read.holds("map") && !read.holds("video"));
    assert!(codec.decode_active(value.as_bytes(), t + ACTIVE_LIFE - Duration::from_secs(60)).is_some());
    assert!(codec.decode_active(value.as_bytes(), t + ACTIVE_LIFE).is_none());
    for n in 0..40 {
        session.activate(&format!("s{n}"));
    }
    assert!(codec.decode_active(codec.encode_active(&session).as_bytes(), t).is_some());
}

#[test]
fn a_cookie_of_one_kind_is_none_of_another() {
    let codec = codec();
    let contact = codec.encode_contact(&ContactCookie {
        id: ContactId::from_bytes([1; 16]),
        epoch: FenceEpoch::new(1),
        until: day(30_000),
        line: None,
    });
    assert_eq!(read(&codec, &contact), ReadConsent::Absent);
    assert!(codec.decode_active(contact.as_bytes(), now()).is_none());
}

proptest! {
    #[test]
    fn decoding_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let codec = codec();
        let _ = codec.decode_consent(&text, now(), LIFE);
        let _ = codec.decode_active(&text, now());
        let _ = codec.decode_contact(&text, now(), None);
        // Authentic nonsense as well.
        let _ = codec.decode_consent(seal(&codec.consent, text.clone()).as_bytes(), now(), LIFE);
        let _ = codec.decode_active(seal(&codec.active, text.clone()).as_bytes(), now());
        let _ = codec.decode_contact(seal(&codec.contact, text).as_bytes(), now(), None);
    }

    #[test]
    fn states_come_back(
        codes in proptest::collection::btree_map(1u8..=63, (0u8..=2, any::<[u8; 3]>()), 0..MAX_CATEGORIES),
        n in 20_400i64..=20_500,
        id in any::<[u8; 16]>(),
        pending in any::<bool>(),
    ) {
        let mut s = ConsentState::new(Regime::OptIn, day(n));
        for (code, (bits, fingerprint)) in codes {
            s.set(Choice { code: CategoryCode::new(code).unwrap(), kept: Kept::from_bits(bits).unwrap(), fingerprint });
        }
        s.pending = pending;
        s.record = (s.grants_something() || pending).then_some(RecordId::from_bytes(id));
        prop_assert_eq!(read(&codec(), &codec().encode_consent(&s)), ReadConsent::State(s));
    }
}
