//! What asks visitors anew, and what does not: two catalogues over one store, and a device that decided under the first.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use common::{Browser, start};
use futures_executor::block_on;
use privet::catalogue::{ChangeKind, ChangedRow, Language, MaterialChange};
use privet::consent::{Answer, ConsentStatus, Decision};
use privet::store::Storage;
use privet::{Catalogue, FakeClock, Privet, Scope};
use std::collections::BTreeMap;
use std::time::Duration;

const BEFORE: &str = r#"
    languages = ["en", "de"]

    [controller]
    name = "Garden Shop"
    contact = "privacy@garden.example"

    [[category]]
    id = "analytics"
    purpose = { en = "Counts visits.", de = "Zählt Besuche." }

    [[category]]
    id = "marketing"
    purpose = { en = "Shows advertising.", de = "Zeigt Werbung." }

    [[recipient]]
    id = "desk"
    name = "Desk Ltd"
    country = "NL"
    purpose = { en = "Answers.", de = "Antwortet." }
    fields = ["text"]
    address = "keyed-hash"

    [[recipient]]
    id = "lab"
    name = "Lab Inc"
    country = "US"
    purpose = { en = "Counts.", de = "Zählt." }

    [[service]]
    id = "counter"
    provider = "Garden Shop"
    purpose = { en = "Counts.", de = "Zählt." }
    label = { en = "Counter", de = "Zähler" }
    legal_basis = "consent"
    recipients = ["desk"]

    [[service.entry]]
    name = "visits"
    purpose = { en = "Counts.", de = "Zählt." }
    duration = "30 days"
    trigger = "server"
    gate = { consent = "analytics" }

    [[service.entry]]
    name = "first"
    purpose = { en = "First.", de = "Erst." }
    duration = "30 days"
    trigger = "server"
    gate = { consent = "analytics" }

    [[service]]
    id = "ads"
    provider = "Garden Shop"
    purpose = { en = "Ads.", de = "Werbung." }
    label = { en = "Ads", de = "Werbung" }
    legal_basis = "consent"
    recipients = ["lab"]
    external_hosts = ["ads.example"]
    gate = { consent = "marketing" }
"#;

fn built(toml: &str, storage: &Storage, clock: &FakeClock) -> Privet {
    let catalogue = Catalogue::from_toml(toml).unwrap_or_else(|e| panic!("{e}"));
    block_on(Privet::builder(catalogue).storage(storage.clone()).clock(clock.clone()).build()).unwrap()
}

/// The catalogue with some lines otherwise.
fn with(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(BEFORE.to_owned(), |toml, (from, to)| {
        assert!(toml.contains(from), "{from}");
        toml.replacen(from, to, 1)
    })
}

const ENTRY: &str = "[[service.entry]]\n    name = \"visits\"";
const MORE: &str = "[[service.entry]]\n    name = \"more\"\n    purpose = { en = \"x\", de = \"x\" }\n    duration = \"1 day\"\n    trigger = \"server\"\n    gate = { consent = \"analytics\" }\n\n    [[service.entry]]\n    name = \"visits\"";

/// CON-07: which changes ask whom, end to end.
#[test]
fn con_07_which_changes_ask_anew() {
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("a typo in a purpose", &[("Counts visits.", "Counts visits!")], &[]),
        ("a typo in a service's purpose", &[("en = \"Ads.\"", "en = \"Advertising.\"")], &[]),
        ("another word for the label", &[("en = \"Counter\"", "en = \"Visit counter\"")], &[]),
        ("another contact", &[("privacy@garden.example", "mail@garden.example")], &[]),
        (
            "a corrected name of the controller",
            &[("name = \"Garden Shop\"", "name = \"Garden Shop Ltd\"")],
            &[],
        ),
        ("a recipient's name, corrected", &[("Desk Ltd", "Desk Limited")], &[]),
        ("a comment", &[("[controller]", "# said before\n    [controller]")], &[]),
        ("one language less", &[("[\"en\", \"de\"]", "[\"en\"]")], &[]),
        ("a safeguard, named", &[("country = \"US\"", "country = \"US\"\n    safeguard = \"SCC\"")], &[]),
        (
            "entries in another order",
            &[
                ("name = \"visits\"", "name = \"x1\""),
                ("name = \"first\"", "name = \"visits\""),
                ("name = \"x1\"", "name = \"first\""),
            ],
            &[],
        ),
        ("a shorter duration", &[("duration = \"30 days\"", "duration = \"1 day\"")], &[]),
        ("a session instead", &[("duration = \"30 days\"", "duration = \"session\"")], &[]),
        ("a recipient less", &[("recipients = [\"desk\"]", "recipients = []")], &[]),
        ("a host less", &[("external_hosts = [\"ads.example\"]", "external_hosts = []")], &[]),
        ("less data", &[("fields = [\"text\"]", "fields = []")], &[]),
        ("no address any more", &[("address = \"keyed-hash\"", "address = \"drop\"")], &[]),
        (
            "a category less",
            &[
                (
                    "[[category]]\n    id = \"marketing\"\n    purpose = { en = \"Shows advertising.\", de = \"Zeigt Werbung.\" }",
                    "",
                ),
                ("external_hosts = [\"ads.example\"]\n    gate = { consent = \"marketing\" }", ""),
            ],
            &[],
        ),
        ("a longer duration", &[("duration = \"30 days\"", "duration = \"31 days\"")], &["analytics"]),
        (
            "from a session to a day",
            &[
                ("duration = \"30 days\"", "duration = \"session\""),
                ("duration = \"session\"", "duration = \"31 days\""),
            ],
            &["analytics"],
        ),
        ("a new entry", &[(ENTRY, MORE)], &["analytics"]),
        (
            "a new recipient",
            &[("recipients = [\"desk\"]", "recipients = [\"desk\", \"lab\"]")],
            &["analytics"],
        ),
        ("a recipient in a third country", &[("country = \"NL\"", "country = \"US\"")], &["analytics"]),
        ("more data", &[("fields = [\"text\"]", "fields = [\"text\", \"mail\"]")], &["analytics"]),
        (
            "the address in another form",
            &[("address = \"keyed-hash\"", "address = \"truncate\"")],
            &["analytics"],
        ),
        (
            "another provider",
            &[(
                "id = \"counter\"\n    provider = \"Garden Shop\"",
                "id = \"counter\"\n    provider = \"Lab Inc\"",
            )],
            &["analytics"],
        ),
        (
            "somebody who can read it",
            &[(
                "legal_basis = \"consent\"\n    recipients = [\"desk\"]",
                "legal_basis = \"consent\"\n    third_party_access = [\"Lab Inc\"]\n    recipients = [\"desk\"]",
            )],
            &["analytics"],
        ),
        (
            "a service that had only entries, and runs now",
            &[("recipients = [\"desk\"]", "recipients = [\"desk\"]\n    gate = { consent = \"analytics\" }")],
            &["analytics"],
        ),
        (
            "another legal basis",
            &[(
                "legal_basis = \"consent\"\n    recipients = [\"lab\"]",
                "legal_basis = \"legitimate-interests\"\n    recipients = [\"lab\"]",
            )],
            &["marketing"],
        ),
        (
            "another purpose",
            &[("id = \"analytics\"", "id = \"analytics\"\n    purpose_version = 2")],
            &["analytics"],
        ),
        (
            "another purpose of a service",
            &[("id = \"ads\"", "id = \"ads\"\n    purpose_version = 2")],
            &["marketing"],
        ),
        ("a new host", &[("[\"ads.example\"]", "[\"ads.example\", \"cdn.example\"]")], &["marketing"]),
        ("a sale", &[("id = \"marketing\"", "id = \"marketing\"\n    sale_or_share = true")], &["marketing"]),
        (
            "both",
            &[
                ("id = \"marketing\"", "id = \"marketing\"\n    sale_or_share = true"),
                ("duration = \"30 days\"", "duration = \"31 days\""),
            ],
            &["analytics", "marketing"],
        ),
    ];
    for (what, changes, asked) in cases {
        let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
        let before = built(BEFORE, &storage, &clock);
        let (mut yes, mut no) = (Browser::default(), Browser::default());
        yes.answer(&before, &Answer::AcceptAll).0.unwrap();
        no.answer(&before, &Answer::RejectAll).0.unwrap();
        let record = yes.open(&before).0.consent().record().unwrap();
        clock.advance(Duration::from_secs(86_400));
        let after = built(&with(changes), &storage, &clock);
        let all: Vec<_> =
            after.catalogue(&Scope::default()).unwrap().categories().iter().map(|c| c.id.clone()).collect();
        let stand: Vec<_> = all.iter().filter(|c| !asked.contains(&c.as_str())).cloned().collect();
        assert_eq!(yes.granted(&after), stand, "{what}");
        for browser in [&yes, &no] {
            assert_eq!(browser.open(&after).0.asks(), !asked.is_empty(), "{what}");
        }
        for category in &all {
            let granted = block_on(after.still_granted(&Scope::default(), record, category)).unwrap();
            assert_eq!(granted, !asked.contains(&category.as_str()), "{what}: queued work");
            let receipt = block_on(after.receipt(&yes.open(&after).0)).unwrap().unwrap();
            let code = after.catalogue(&Scope::default()).unwrap().category(category).unwrap().code;
            let status = receipt.standpoints.iter().find(|s| s.category == code).unwrap().status;
            let given = status == ConsentStatus::ConsentGiven;
            assert!(given || status == ConsentStatus::ConsentInvalidated, "{what}: {status:?}");
            assert_eq!(given, !asked.contains(&category.as_str()), "{what}: the receipt");
            let news = yes.open(&after).0.consent().news(category);
            assert_eq!(news.is_empty(), !asked.contains(&category.as_str()), "{what}: {news:?}");
            assert!(news.iter().all(|n| n.category == *category && n.kind.asks_anew()), "{what}");
        }
        // A choice made under today's catalogue is no choice about more than it, once the change is taken back.
        let back = built(BEFORE, &storage, &clock);
        assert_eq!(yes.granted(&back), ["analytics", "marketing"], "{what}: back again");
    }
}

/// CON-07: less than was agreed to is covered over several versions, more again is not.
#[test]
fn con_07_coverage_goes_over_versions() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let one = built(&with(&[("duration = \"30 days\"", "duration = \"90 days\"")]), &storage, &clock);
    let mut early = Browser::default();
    early.answer(&one, &Answer::AcceptAll).0.unwrap();
    let two = built(&with(&[("duration = \"30 days\"", "duration = \"10 days\"")]), &storage, &clock);
    let mut late = Browser::default();
    late.answer(&two, &Answer::AcceptAll).0.unwrap();
    let three = built(&with(&[("duration = \"30 days\"", "duration = \"60 days\"")]), &storage, &clock);
    assert_eq!(early.granted(&three), ["analytics", "marketing"], "agreed to 90");
    assert_eq!(late.granted(&three), ["marketing"], "agreed to 10");
    let news = late.open(&three).0.consent().news("analytics");
    let longer =
        ChangeKind::LongerDuration { entry: "visits (cookie)".into(), from: 10 * 86_400, to: 60 * 86_400 };
    assert_eq!(news.into_iter().map(|n| n.kind).collect::<Vec<_>>(), [longer]);
}

/// CON-07: what a category opens of a service is that category's: hosts that another one opens ask nobody else, and a
/// service that moves to another category asks there, though it stored something under it before.
#[test]
fn con_07_a_service_of_two_categories_asks_where_it_changed() {
    let both = with(&[(
        "gate = { consent = \"marketing\" }",
        "gate = { consent = \"marketing\" }\n\n    [[service.entry]]\n    name = \"seen\"\n    purpose = { en = \"x\", de = \"x\" }\n    duration = \"1 day\"\n    trigger = \"server\"\n    gate = { consent = \"analytics\" }",
    )]);
    let cases = [
        ("[\"ads.example\"]", "[\"ads.example\", \"cdn.example\"]", "marketing"),
        ("gate = { consent = \"marketing\" }", "gate = { consent = \"analytics\" }", "analytics"),
        ("duration = \"1 day\"", "duration = \"2 days\"", "analytics"),
    ];
    for (from, to, asked) in cases {
        let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
        let mut browser = Browser::default();
        browser.answer(&built(&both, &storage, &clock), &Answer::AcceptAll).0.unwrap();
        let after = built(&both.replacen(from, to, 1), &storage, &clock);
        let consent = browser.open(&after).0.consent();
        let unknown: Vec<_> =
            consent.decisions().filter(|(_, d)| *d == Decision::Unknown).map(|(c, _)| &c.id).collect();
        assert_eq!(unknown, [asked], "{to}");
        assert!(!consent.news(asked).is_empty(), "{to}");
    }
}

/// CON-07: a change says what it is, for the log and for programs.
#[test]
fn con_07_a_change_says_what_it_is() {
    let facts =
        |toml: &str| Catalogue::from_toml(toml).unwrap().category("analytics").unwrap().facts().clone();
    let more = with(&[
        ("recipients = [\"desk\"]", "recipients = [\"desk\", \"lab\"]"),
        ("duration = \"30 days\"", "duration = \"31 days\""),
        ("country = \"NL\"", "country = \"US\""),
    ]);
    let (before, after) = (facts(BEFORE), facts(&more));
    let changes = before.changes(&after);
    let said: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "`analytics` has a recipient in another country: desk (NL, now US)",
            "`analytics` has a new recipient: lab (US)",
            "`analytics` keeps something longer: visits (cookie), 2678400 s instead of 2592000 s",
        ]
    );
    assert_eq!(
        serde_json::to_value(&changes[1]).unwrap(),
        serde_json::json!({ "category": "analytics", "kind": "new-recipient", "recipient": "lab", "country": "US" })
    );
    assert!(!before.covers(&after) && before.covers(&before));
    let less = after.changes(&before);
    assert!(less.iter().any(|c| !c.kind.asks_anew()), "{less:?}");
    assert!(!after.covers(&before), "the other country is another one in both directions");
}

/// STM-05: versions are numbered and dated, the same catalogue is the same version, and the difference says which rows came,
/// went and changed, and for whom that is material.
#[test]
fn stm_05_versions_with_their_differences() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let one = built(BEFORE, &storage, &clock);
    assert_eq!(one.statement_versions(&Scope::default()).unwrap().len(), 1);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(built(BEFORE, &storage, &clock).statement_versions(&Scope::default()).unwrap().len(), 1);
    let changed = with(&[
        ("name = \"first\"", "name = \"second\""),
        ("duration = \"30 days\"", "duration = \"31 days\""),
        ("recipients = [\"lab\"]", "recipients = []"),
        (
            "[[recipient]]\n    id = \"lab\"\n    name = \"Lab Inc\"\n    country = \"US\"\n    purpose = { en = \"Counts.\", de = \"Zählt.\" }",
            "",
        ),
    ]);
    let two = built(&changed, &storage, &clock);
    let versions = two.statement_versions(&Scope::default()).unwrap();
    assert_eq!(
        versions.iter().map(|v| (v.number, v.since)).collect::<Vec<_>>(),
        [(1, start()), (2, start() + Duration::from_secs(86_400))]
    );
    let en = Language::new("en").unwrap();
    let diff = versions[0].diff(&versions[1], &en);
    assert_eq!((&diff.added, &diff.removed), (&vec!["second".to_owned()], &vec!["first".to_owned()]));
    assert_eq!(diff.changed.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["visits"]);
    assert_eq!(diff.changed[0].fields, ["duration", "seconds"]);
    let gone = ChangeKind::Less { what: "lab".into() };
    let longer = |c: &MaterialChange| {
        matches!(c.kind, ChangeKind::LongerDuration { from: 2_592_000, to: 2_678_400, .. })
    };
    assert!(diff.material.iter().any(|c| c.category == "analytics" && longer(c)), "{:?}", diff.material);
    assert!(diff.material.iter().any(|c| c.category == "marketing" && c.kind == gone), "{:?}", diff.material);
    assert!(diff.is_material() && diff.recipients_changed.is_empty() && diff.controller.is_empty());
    assert_eq!(diff.recipients_removed, ["Lab Inc (US)"]);
    assert_eq!(diff.recipients_added, [] as [&str; 0]);
    // Other words are another version, and ask nobody.
    let three = built(&changed.replacen("en = \"Counts.\"", "en = \"It counts.\"", 3), &storage, &clock);
    let versions = three.statement_versions(&Scope::default()).unwrap();
    let diff = versions[1].diff(&versions[2], &en);
    assert!(!diff.is_material() && !diff.changed.is_empty() && diff.material.is_empty());
    // The first version is still what it was.
    assert_eq!(versions[0], one.statement_versions(&Scope::default()).unwrap()[0]);
    // What is prepared for the page is the same.
    let told: Vec<_> = three
        .statement_changes(&Scope::default(), &en)
        .unwrap()
        .map(|(v, d)| (v.number, d.cloned()))
        .collect();
    let by_hand = |n: usize| Some(versions[n - 1].diff(&versions[n], &en));
    assert_eq!(told, [(1, None), (2, by_hand(1)), (3, by_hand(2))]);
}

/// STM-05: what is told of recipients, categories and the controller is compared too, by what stays the same of it, and
/// a language that was not there before makes nothing look changed.
#[test]
fn stm_05_differences_beside_the_entries() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let one_language = with(&[("[\"en\", \"de\"]", "[\"de\"]")]);
    built(&one_language, &storage, &clock);
    built(BEFORE, &storage, &clock);
    let changed = with(&[
        ("name = \"Garden Shop\"", "name = \"Garden Shop Ltd\""),
        ("en = \"Counts visits.\"", "en = \"Counts the visits.\""),
        ("name = \"Desk Ltd\"", "name = \"Desk Limited\""),
        ("country = \"US\"", "country = \"US\"\n    safeguard = \"SCC\""),
        ("gate = { consent = \"analytics\" }", "gate = { exempt = \"auth\", justification = \"Signs in.\" }"),
    ]);
    let privet = built(&changed, &storage, &clock);
    let en = Language::new("en").unwrap();
    let diffs: Vec<_> = privet.statement_changes(&Scope::default(), &en).unwrap().map(|(_, d)| d).collect();
    let [None, Some(language), Some(words)] = diffs[..] else { panic!("{diffs:?}") };
    assert_eq!(*language, privet::catalogue::StatementDiff::default(), "a language more");
    let rows = |rows: &[ChangedRow]| -> Vec<_> {
        rows.iter().map(|r| (r.name.clone(), r.fields.join(" "))).collect()
    };
    let row = |name: &str, fields: &str| (name.to_owned(), fields.to_owned());
    assert_eq!(words.controller, ["name"]);
    assert_eq!(rows(&words.groups_changed), [row("Statistics", "purpose")]);
    assert_eq!(
        rows(&words.recipients_changed),
        [row("Desk Limited (NL)", "name"), row("Lab Inc (US)", "safeguard")]
    );
    // Own cookies are told under the controller's name.
    assert_eq!(rows(&words.changed), [row("visits", "gate justification"), row("__Host-privet", "provider")]);
    assert!(!words.is_material(), "{:?}", words.material);
}

/// Two versions may share a fingerprint, which is short. Then nobody knows which of them was decided about, and the visitor is
/// asked.
#[test]
fn a_fingerprint_that_two_versions_share_stands_for_neither() {
    const TODAY: u64 = 10_000_000;
    let lasting = |seconds: u64| BEFORE.replacen("\"30 days\"", &format!("\"{seconds} seconds\""), 1);
    let catalogue = Catalogue::from_toml(&lasting(TODAY)).unwrap();
    let mut facts = catalogue.category("analytics").unwrap().facts().clone();
    let mut fingerprint = |seconds: u64| {
        let entries = &mut facts.services.get_mut("counter").unwrap().entries;
        entries.get_mut("visits (cookie)").unwrap().seconds = seconds;
        facts.fingerprint()
    };
    // Longer ones asked for no less than today's, shorter ones for less.
    let longer: BTreeMap<_, _> = (TODAY + 1..).take(16_000).map(|s| (fingerprint(s), s)).collect();
    let mut shorter = (1..TODAY).rev().take(16_000);
    let (short, long) = shorter.find_map(|s| Some((s, *longer.get(&fingerprint(s))?))).unwrap();
    let anew = |versions: &[u64]| {
        let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
        let mut browser = Browser::default();
        let first = built(&lasting(versions[0]), &storage, &clock);
        browser.answer(&first, &Answer::AcceptAll).0.unwrap();
        for seconds in &versions[1..] {
            clock.advance(Duration::from_secs(1));
            drop(built(&lasting(*seconds), &storage, &clock));
        }
        let today = built(&lasting(TODAY), &storage, &clock);
        !browser.granted(&today).contains(&"analytics".to_owned())
    };
    assert_eq!((anew(&[long]), anew(&[short])), (false, true), "as it is without the other");
    assert!(anew(&[long, short]) && anew(&[short, long]));
}

/// A session ends when the browser says so: some minutes do not stand for it, and it for no duration.
#[test]
fn a_session_is_longer_than_minutes() {
    let changed = |from: &str, to: &str| {
        let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
        let lasting = |life: &str| BEFORE.replacen("\"30 days\"", &format!("\"{life}\""), 1);
        let mut browser = Browser::default();
        browser.answer(&built(&lasting(from), &storage, &clock), &Answer::AcceptAll).0.unwrap();
        !browser.granted(&built(&lasting(to), &storage, &clock)).contains(&"analytics".to_owned())
    };
    assert!(changed("session", "10 minutes") && changed("10 minutes", "session"));
    assert!(
        !changed("10 minutes", "9 minutes") && !changed("session", "session") && !changed("1 day", "session")
    );
}
