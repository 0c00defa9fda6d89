//! Which rules a visitor is under, and what they change: by country, with exceptions, with the browser's signal, and for
//! people who sign in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use std::time::Duration;

use common::{
    Answered, Browser, DE, EXCEPTIONS, FR, GB, GUADELOUPE, Head, NOWHERE, TOR, US, catalogue, regional, save,
    with_exceptions,
};
use futures_executor::block_on;
use privet::catalogue::{CatalogueBuilder, Rule, Severity};
use privet::consent::{Act, Answer, Decision, Method, Regime, Regimes};

use privet::legal::{Figure, LegalFigures};
use privet::store::Storage;
use privet::visit::ViolationKind;
use privet::{Analytics, Catalogue, Contacts, Error, FakeClock, Marketing, Privet};

const DAY: Duration = Duration::from_secs(86_400);

fn installed(regimes: Regimes, storage: Storage) -> (Privet, FakeClock) {
    regional(&with_exceptions(), regimes, storage)
}

fn by_country() -> (Privet, FakeClock) {
    let regimes = Regimes::by_country().established_in("US".parse().unwrap());
    installed(regimes, Storage::in_memory().unwrap())
}

/// The names of the cookies that come through, of those that a handler sets.
fn pass(privet: &Privet, browser: &mut Browser, from: &str) -> Vec<String> {
    let (visit, _) = privet.visit(&browser.head("/").peer(from)).unwrap();
    let names = ["sid", "visits", "ad", "stat", "look", "audience"];
    let answer = names.iter().fold(Answered::new(200), |a, n| {
        a.header("set-cookie", &format!("{n}=1; Path=/; Max-Age=1000; Secure; HttpOnly; SameSite=Lax"))
    });
    let answered = browser.close(&visit, answer);
    let set = answered.cookies().into_iter().filter(|l| !l.contains("Max-Age=0"));
    set.map(|l| l.split('=').next().unwrap().to_owned()).filter(|n| names.contains(&n.as_str())).collect()
}

fn regime(privet: &Privet, browser: &Browser, from: &str) -> Regime {
    privet.visit(&browser.head("/").peer(from)).unwrap().0.regime()
}

/// Answers the form that is shown there.
fn answer(privet: &Privet, browser: &mut Browser, from: &str, answer: &Answer) {
    let (visit, _) = privet.visit(&browser.head("/").peer(from)).unwrap();
    let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().clone();
    let token = visit.notice_token(&notice);
    let provenance = privet::consent::Provenance::new(Method::Form, true);
    block_on(privet.decide(&visit, answer, &token, provenance)).unwrap();
    browser.close(&visit, Answered::new(303));
}

/// JUR-01, JUR-02, JUR-04, GATE-08: a truth table of who may do what before anybody decided, and after an objection.
#[test]
fn jur_04_what_needs_no_consent_by_country() {
    let (privet, _) = by_country();
    for (from, expected, before) in [
        (DE, Regime::OptIn, &["sid"][..]),
        (GB, Regime::Uk, &["sid", "stat", "look"]),
        (FR, Regime::France, &["sid", "audience"]),
        (US, Regime::OptOut, &["sid", "visits", "ad", "stat", "look", "audience"]),
        (TOR, Regime::OptIn, &["sid"]),
        (GUADELOUPE, Regime::OptIn, &["sid"]),
        (NOWHERE, Regime::OptIn, &["sid"]),
    ] {
        let mut browser = Browser::default();
        assert_eq!(regime(&privet, &browser, from), expected, "{from}");
        assert_eq!(pass(&privet, &mut browser, from), before, "{from}, before a choice");
        // The objection takes away what stands on it.
        let (visit, _) = privet.visit(&browser.head("/").peer(from)).unwrap();
        let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().clone();
        let token = visit.notice_token(&notice);
        let provenance = privet::consent::Provenance::new(Method::Form, true);
        block_on(privet.decide(&visit, &Answer::RejectAll, &token, provenance)).unwrap();
        browser.close(&visit, Answered::new(303));
        let left: Vec<_> = browser.cookies.keys().cloned().collect();
        assert_eq!(left, ["__Host-privet", "sid"], "{from}: expired");
        assert_eq!(pass(&privet, &mut browser, from), ["sid"], "{from}, after an objection");
        answer(&privet, &mut browser, from, &save(&["analytics"]));
        let granted = ["sid", "visits", "stat", "look", "audience"];
        assert_eq!(pass(&privet, &mut browser, from), granted, "{from}, after a grant");
    }
}

/// JUR-01: nothing else is declared, so nobody leaves opt-in; and opt-out needs the word of the operator.
#[test]
fn jur_01_without_a_declaration_everybody_is_asked() {
    let (privet, _) = installed(Regimes::opt_in(), Storage::in_memory().unwrap());
    for from in [DE, GB, FR, US, TOR, NOWHERE] {
        assert_eq!(pass(&privet, &mut Browser::default(), from), ["sid"]);
    }
    let (privet, _) = installed(Regimes::by_country(), Storage::in_memory().unwrap());
    assert_eq!(regime(&privet, &Browser::default(), US), Regime::OptIn);
    let canada = Regimes::by_country().with("CA".parse().unwrap(), Regime::OptOut);
    let refused = block_on(Privet::builder(catalogue()).regimes(canada).build());
    assert!(matches!(refused, Err(Error::Config { .. })));
}

/// JUR-12: a changed place never turns a refusal into permission, and what was allowed where nobody asks is no consent
/// where somebody has to.
#[test]
fn jur_12_a_refusal_travels_and_an_opt_out_grant_does_not() {
    let (privet, _) = by_country();
    let mut browser = Browser::default();
    answer(&privet, &mut browser, DE, &Answer::RejectAll);
    for from in [DE, GB, FR, US] {
        assert_eq!(pass(&privet, &mut browser, from), ["sid"], "refused in Germany, seen from {from}");
    }
    let mut browser = Browser::default();
    answer(&privet, &mut browser, US, &Answer::AcceptAll);
    assert_eq!(pass(&privet, &mut browser, US).len(), 6);
    assert_eq!(pass(&privet, &mut browser.clone(), DE), ["sid"], "unknown in an opt-in country");
    let visit = privet.visit(&browser.head("/").peer(DE)).unwrap().0;
    assert!(visit.asks() && !visit.consent().decided());
    assert!(matches!(visit.granted::<Analytics>(), Err(Error::NotGranted { .. })));
    // A no from there is a no here.
    answer(&privet, &mut browser, US, &save(&["analytics"]));
    let visit = privet.visit(&browser.head("/").peer(DE)).unwrap().0;
    assert_eq!(visit.consent().decision("marketing"), Decision::Refused);
    assert_eq!(visit.consent().decision("analytics"), Decision::Unknown);
    // What was granted after somebody asked holds everywhere.
    let mut browser = Browser::default();
    answer(&privet, &mut browser, DE, &save(&["analytics"]));
    assert!(privet.visit(&browser.head("/").peer(US)).unwrap().0.granted::<Analytics>().is_ok());
}

/// Under opt-out nobody is asked, and yet no contact comes to be without a recorded consent.
#[test]
fn opt_out_is_no_consent() {
    let (privet, _) = by_country();
    let browser = Browser::default();
    let visit = privet.visit(&browser.head("/").peer(US)).unwrap().0;
    assert!(!visit.asks());
    assert!(visit.consent().allows("analytics") && visit.consent().allows("marketing"));
    assert!(!visit.consent().allows("contacts"));
    assert_eq!(visit.consent().decision("analytics"), Decision::Unknown);
    assert!(matches!(visit.granted::<Contacts>(), Err(Error::NotGranted { .. })));
    assert!(
        matches!(visit.granted::<Analytics>(), Err(Error::NotGranted { .. })),
        "there is no record of it"
    );
}

/// JUR-03, GATE-04: the French audience tracker ends 13 months after it was set, however often its visitor comes back; with
/// a grant it may be renewed.
#[test]
fn gate_04_visits_do_not_extend_an_audience_tracker() {
    let (privet, clock) = by_country();
    let mut browser = Browser::default();
    let line = "audience=1; Path=/; Max-Age=34128000; Secure; HttpOnly; SameSite=Lax";
    let set = |browser: &mut Browser, from: &str| {
        let (visit, _) = privet.visit(&browser.head("/").peer(from)).unwrap();
        let answered = browser.close(&visit, Answered::new(200).header("set-cookie", line));
        answered.cookies().iter().any(|l| l.starts_with("audience=1"))
    };
    assert!(set(&mut browser, FR), "the first time");
    clock.advance(DAY);
    assert!(!set(&mut browser, FR), "it is there, and is not set anew");
    assert_eq!(browser.cookies["audience"], "1", "and stays");
    assert!(privet.violations().iter().any(|v| v.cookie == "audience" && v.kind == ViolationKind::Renewed));
    let handler = privet.visit(&browser.head("/").peer(FR)).unwrap().1;
    assert_eq!(handler.cookie, None, "the handler sees it");
    answer(&privet, &mut browser, FR, &save(&["analytics"]));
    assert!(set(&mut browser, FR), "granted");
    // Longer than the figure is refused at the start; the figure is the operator's to set.
    let longer =
        Catalogue::from_toml(&format!("{}{EXCEPTIONS}", common::CATALOGUE).replace("395 days", "396 days"));
    let longer = longer.unwrap();
    let built = block_on(Privet::builder(longer.clone()).build());
    assert!(matches!(built, Err(Error::Config { .. })));
    let figures = LegalFigures::default().with(Figure::AudienceTrackerLife, 396 * DAY).unwrap();
    assert!(block_on(Privet::builder(longer).legal_figures(figures).build()).is_ok());
}

/// JUR-03, JUR-04: each missing condition, and each way of sharing, takes the exception away.
#[test]
fn jur_03_exceptions_have_conditions() {
    let with = |from: &str, to: &str| {
        let toml = format!("{}{EXCEPTIONS}", common::CATALOGUE);
        assert!(toml.contains(from), "{from}");
        let findings = CatalogueBuilder::from_toml(&toml.replacen(from, to, 1)).unwrap().lint();
        findings.iter().filter(|f| f.severity() == Severity::Error).map(|f| f.rule).collect::<Vec<_>>()
    };
    assert_eq!(with("\"sole-purpose\"", "\"sole-purpose\""), []);
    let attested = [
        "sole-purpose",
        "for-the-publisher-only",
        "anonymous-statistics",
        "no-cross-site",
        "no-matching",
        "not-shared",
    ];
    for attestation in attested {
        assert_eq!(with(&format!("\"{attestation}\", "), ""), [Rule::ExceptionNotAttested], "{attestation}");
    }
    assert_eq!(with(", \"address-cut\"]", "]"), [Rule::ExceptionNotAttested]);
    let shared = "legal_basis = \"legitimate-interests\"";
    let both = [Rule::ExceptionShared; 2];
    assert_eq!(
        with(shared, &format!("{shared}\nthird_party_access = [\"Other\"]")),
        both,
        "appearance may be read"
    );
    assert_eq!(with(shared, &format!("{shared}\nrecipients = [\"desk\"]")), both);
    let none = CatalogueBuilder::from_toml(&format!(
        "{}{}",
        common::CATALOGUE,
        EXCEPTIONS.replacen("exceptions = [\"uk-statistics\"]", "exceptions = []", 1)
    ));
    assert!(none.unwrap().lint().iter().any(|f| f.rule == Rule::ExceptionMissing));
}

/// JUR-05, JUR-08: the signal ends what is sold or shared from the first response on, in the whole of the country, and
/// nothing else; nothing of it is stored on the device.
#[test]
fn jur_05_the_signal_counts_from_the_first_response() {
    let (privet, _) = by_country();
    let mut browser = Browser { gpc: true, ..Browser::default() };
    let visit = privet.visit(&browser.head("/").peer(US)).unwrap().0;
    assert!(visit.signal_honoured() && visit.gpc());
    assert!(visit.consent().allows("analytics") && !visit.consent().allows("marketing"));
    let mut without_ad = pass(&privet, &mut browser, US);
    without_ad.retain(|n| n == "ad");
    assert_eq!(without_ad, [] as [&str; 0]);
    assert!(!browser.cookies.keys().any(|n| n.contains("privet")), "{:?}", browser.cookies.keys());
    browser.gpc = false;
    assert!(
        privet.visit(&browser.head("/").peer(US)).unwrap().0.consent().allows("marketing"),
        "it was the signal"
    );
}

/// JUR-06: it is shown if, and only if, something was switched off by it.
#[test]
fn jur_06_shown_only_when_processed() {
    let (privet, _) = by_country();
    for from in [US, DE, GB] {
        let mut browser = Browser::default();
        let honoured = |b: &Browser| privet.visit(&b.head("/").peer(from)).unwrap().0.signal_honoured();
        assert!(!honoured(&browser), "no signal");
        browser.gpc = true;
        assert!(honoured(&browser));
        answer(&privet, &mut browser, from, &save(&["marketing", "analytics"]));
        assert!(!honoured(&browser), "granted in spite of it");
        let withdrawn = browser.withdraw(&privet, &["marketing"]);
        withdrawn.0.unwrap();
        assert!(honoured(&browser));
    }
    let plain = Catalogue::from_toml(&common::CATALOGUE.replace("sale_or_share = true", "")).unwrap();
    let privet = block_on(Privet::builder(plain).build()).unwrap();
    let visit = privet.visit(&Head::get("/").header("sec-gpc", "1")).unwrap().0;
    assert!(visit.gpc() && !visit.signal_honoured(), "nothing is sold");
}

/// JUR-05: what a contact's browser said once holds for the contact when the browser stops saying it; a later choice that
/// names the sale stands above it, and can be withdrawn.
#[test]
fn jur_05_the_signal_is_kept_on_the_contact() {
    let (privet, _) = by_country();
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let record = browser.open(&privet).0.consent().record().unwrap();
    let (visit, _) = browser.open(&privet);
    let message = privet::contact::NewMessage::new(privet::contact::Channel::AiSearch, "Hello").unwrap();
    block_on(visit.visitor().post("chat", message)).unwrap();
    browser.close(&visit, Answered::new(200));
    let scope = visit.scope().clone();
    let sold = || block_on(privet.still_granted(&scope, record, "marketing")).unwrap();
    assert!(sold());
    browser.gpc = true;
    let before = browser.cookies.clone();
    let (visit, _) = browser.open(&privet);
    browser.close(&visit, Answered::new(200));
    assert_eq!(browser.cookies, before, "the device keeps nothing of it");
    block_on(privet.record_objections()).unwrap();
    assert!(!sold(), "the contact is not sold any more");
    assert!(block_on(privet.still_granted(&scope, record, "contacts")).unwrap(), "nothing else changed");
    let history = block_on(privet.consent_record(&scope, record)).unwrap().unwrap();
    assert_eq!(history.act, Act::Grant, "what was recorded stays as it was");
    browser.gpc = false;
    let (visit, _) = browser.open(&privet);
    browser.close(&visit, Answered::new(200));
    block_on(privet.record_objections()).unwrap();
    assert!(!sold(), "without the signal it is still off");
    browser.gpc = true;
    browser.answer(&privet, &save(&["marketing", "contacts"])).0.unwrap();
    let (visit, _) = browser.open(&privet);
    let named = visit.consent().record().unwrap();
    assert!(visit.granted::<Marketing>().is_ok());
    browser.close(&visit, Answered::new(200));
    block_on(privet.record_objections()).unwrap();
    let sold = || block_on(privet.still_granted(&scope, named, "marketing")).unwrap();
    assert!(sold(), "named in spite of the signal");
    browser.withdraw(&privet, &["marketing"]).0.unwrap();
    assert!(!sold());
}

/// CON-10: the refusal of an account holds on another device with a grant of its own, while the person is signed in; the
/// device's own choice is back afterwards, untouched.
#[test]
fn con_10_an_account_decides_for_every_device() {
    let (privet, _) = by_country();
    let mut phone = Browser::default();
    phone.sign_in(&privet, "ann");
    assert_eq!(phone.granted(&privet), [] as [&str; 0]);
    assert!(phone.open(&privet).0.signed_in());
    phone.answer(&privet, &Answer::RejectAll).0.unwrap();
    assert!(!phone.cookies.contains_key("__Host-privet"), "the phone itself decided nothing");

    let mut desk = Browser::default();
    desk.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let own = desk.cookies["__Host-privet"].clone();
    desk.sign_in(&privet, "ann");
    assert_eq!(desk.granted(&privet), [] as [&str; 0], "the stricter of the two");
    assert!(matches!(desk.open(&privet).0.granted::<Analytics>(), Err(Error::NotGranted { .. })));
    assert_eq!(desk.cookies["__Host-privet"], own);
    // The person decides: it counts alone, here and on the phone.
    desk.answer(&privet, &save(&["analytics"])).0.unwrap();
    assert_eq!(desk.granted(&privet), ["analytics"]);
    assert_eq!(desk.cookies["__Host-privet"], own);
    desk.sign_out(&privet);
    assert!(!desk.cookies.contains_key("__Host-privet-account"));
    assert_eq!(desk.granted(&privet), ["analytics", "marketing", "contacts"], "the device's own, as it was");

    phone.sign_in(&privet, "ann");
    assert_eq!(phone.granted(&privet), ["analytics"], "a grant reaches as far as a refusal");
    let record = phone.open(&privet).0.granted::<Analytics>().unwrap().record();
    phone.withdraw(&privet, &[]).0.unwrap();
    let scope = phone.open(&privet).0.scope().clone();
    assert!(!block_on(privet.still_granted(&scope, record, "analytics")).unwrap());
    desk.sign_in(&privet, "ann");
    assert_eq!(desk.granted(&privet), [] as [&str; 0], "and so does a withdrawal");
    desk.sign_in(&privet, "bob");
    assert_eq!(desk.granted(&privet), ["analytics", "marketing", "contacts"], "bob has decided nothing");
    let report = block_on(privet.verify_consent(&privet::Tenant::default())).unwrap();
    assert_eq!(report.damage, None);
}

/// CON-10: what an account keeps ends as what a device keeps does, and is nobody else's.
#[test]
fn con_10_an_accounts_choice_lapses_and_is_its_own() {
    let (privet, clock) = by_country();
    let mut browser = Browser::default();
    browser.sign_in(&privet, "ann");
    browser.answer(&privet, &save(&["analytics"])).0.unwrap();
    let stolen = browser.cookies["__Host-privet-account"].clone();
    let mut other = Browser::default();
    other.sign_in(&privet, "bob");
    assert_eq!(other.granted(&privet), [] as [&str; 0]);
    // Broken, or another cookie's text: nobody is signed in.
    for text in [&stolen[1..], &browser.cookies["__Host-privet-account"].replace(&stolen[..4], "AAAA"), "x"] {
        let mut broken = Browser::default();
        broken.cookies.insert("__Host-privet-account".to_owned(), text.to_owned());
        assert!(!broken.open(&privet).0.signed_in());
        broken.cookies.insert("__Host-privet".to_owned(), stolen.clone());
        assert_eq!(broken.granted(&privet), [] as [&str; 0]);
    }
    clock.advance(181 * DAY);
    assert_eq!(browser.granted(&privet), [] as [&str; 0]);
    browser.sign_in(&privet, "ann");
    assert_eq!(browser.granted(&privet), [] as [&str; 0]);
    assert!(browser.open(&privet).0.asks());
    // A site that did not declare it says so.
    let (plain, _) = common::installation(|b| b);
    let visit = Browser::default().open(&plain).0;
    assert!(matches!(block_on(plain.sign_in(&visit, "ann")), Err(Error::Config { .. })));
}

/// JUR-05: the signal follows the account, also to where the browser does not send it; the person's own word stands above
/// it.
#[test]
fn jur_05_the_signal_follows_the_account() {
    let (privet, _) = by_country();
    let mut signalling = Browser { gpc: true, ..Browser::default() };
    signalling.sign_in(&privet, "ann");
    let mut silent = Browser::default();
    silent.answer(&privet, &Answer::AcceptAll).0.unwrap();
    silent.sign_in(&privet, "ann");
    assert_eq!(silent.granted(&privet), ["analytics", "contacts"]);
    let state = silent.state(&privet).into_iter().find(|(c, _)| c == "marketing").unwrap();
    assert_eq!(state.1, Decision::Refused);
    signalling.answer(&privet, &save(&["marketing"])).0.unwrap();
    signalling.sign_in(&privet, "ann");
    assert_eq!(signalling.granted(&privet), ["marketing"]);
    let mut third = Browser { gpc: true, ..Browser::default() };
    third.sign_in(&privet, "ann");
    assert_eq!(third.granted(&privet), ["marketing"]);
    third.withdraw(&privet, &[]).0.unwrap();
    silent.sign_in(&privet, "ann");
    assert_eq!(silent.granted(&privet), [] as [&str; 0]);
}

/// JUR-05: the signal beside each thing that may stand on the device, with and without it, in an order of acts.
#[test]
fn jur_05_the_signal_beside_what_is_stored() {
    type Step<'a> = (bool, Option<Answer>, &'a str, &'a [&'a str]);
    let named = || Some(save(&["marketing", "analytics"]));
    let cases: &[(&str, &[Step<'_>])] = &[
        (
            "a stored grant",
            &[
                (false, Some(Answer::AcceptAll), "granted", &["analytics", "marketing", "contacts"]),
                (true, None, "refused", &["analytics", "contacts"]),
                (false, None, "granted", &["analytics", "marketing", "contacts"]),
            ],
        ),
        (
            "a stored refusal",
            &[
                (false, Some(Answer::RejectAll), "refused", &[]),
                (true, None, "refused", &[]),
                (true, Some(Answer::AcceptAll), "refused", &["analytics", "contacts"]),
                (false, None, "refused", &["analytics", "contacts"]),
            ],
        ),
        ("nothing stored", &[(true, None, "refused", &[]), (false, None, "unknown", &[])]),
        (
            "a later choice by name",
            &[
                (false, Some(Answer::AcceptAll), "granted", &["analytics", "marketing", "contacts"]),
                (true, named(), "granted", &["analytics", "marketing"]),
                (false, None, "granted", &["analytics", "marketing"]),
                (true, None, "granted", &["analytics", "marketing"]),
                (true, Some(save(&["analytics"])), "refused", &["analytics"]),
                (false, None, "refused", &["analytics"]),
            ],
        ),
        (
            "a choice by name without the signal is none in spite of it",
            &[
                (false, named(), "granted", &["analytics", "marketing"]),
                (true, None, "refused", &["analytics"]),
            ],
        ),
    ];
    for (what, steps) in cases {
        let (privet, _) = installed(Regimes::opt_in(), Storage::in_memory().unwrap());
        let mut browser = Browser::default();
        for (n, (gpc, act, marketing, granted)) in steps.iter().enumerate() {
            browser.gpc = *gpc;
            if let Some(act) = act {
                browser.answer(&privet, act).0.unwrap();
            }
            let decided = browser.open(&privet).0.consent().decision("marketing");
            assert_eq!(serde_json::to_value(decided).unwrap(), *marketing, "{what}, step {n}");
            assert_eq!(browser.granted(&privet), *granted, "{what}, step {n}");
        }
    }
}
