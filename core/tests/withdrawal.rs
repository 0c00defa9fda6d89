//! What a withdrawal, a lapse or a change of what is asked does to what is held on the consent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use std::time::Duration;

use common::{Answered, Browser, save, start};
use futures_executor::block_on;
use privet::catalogue::{CatalogueBuilder, LegalBasis, Rule};
use privet::consent::{Act, Answer, Decision};
use privet::contact::{Channel, NewMessage, PageRequest};
use privet::legal::{Figure, LegalFigures};
use privet::portal::{Operator, Role};
use privet::store::Storage;
use privet::{Catalogue, Error, FakeClock, Privet, Scope, Tenant};

const DAY: Duration = Duration::from_secs(86_400);

const KEPT: &str = r#"purpose = { en = "Recognises you in the chat.", de = "Erkennt Sie im Chat wieder." }

    [category.on_withdrawal]
    keep = "legal-obligation"
    reason = { en = "Kept for ten years, as tax law wants.", de = "Zehn Jahre aufbewahrt, wie das Steuerrecht es will." }"#;

/// Does more on the consent to contacts.
const CRM: &str = r#"
    [[service]]
    id = "crm"
    provider = "Other Ltd"
    purpose = { en = "Follows up.", de = "Fragt nach." }
    label = { en = "CRM", de = "CRM" }
    legal_basis = "consent"
    recipients = ["desk"]
    gate = { consent = "contacts" }
"#;

fn built(toml: &str, storage: &Storage, clock: &FakeClock) -> Privet {
    let catalogue = Catalogue::from_toml(toml).unwrap();
    block_on(Privet::builder(catalogue).storage(storage.clone()).clock(clock.clone()).build()).unwrap()
}

fn kept_toml() -> String {
    let plain = r#"purpose = { en = "Recognises you in the chat.", de = "Erkennt Sie im Chat wieder." }"#;
    assert!(common::CATALOGUE.contains(plain));
    common::CATALOGUE.replace(plain, KEPT)
}

fn post(browser: &mut Browser, privet: &Privet, text: &str) {
    let (visit, _) = browser.open(privet);
    let message = NewMessage::new(Channel::AiSearch, text).unwrap();
    block_on(visit.visitor().post("chat", message)).unwrap();
    browser.close(&visit, Answered::new(200));
}

fn listed(privet: &Privet) -> Vec<privet::contact::Contact> {
    let page = block_on(privet.contacts(&Scope::default(), &PageRequest::first(50))).unwrap();
    page.contacts.iter().map(|c| block_on(privet.contact(&Scope::default(), c.id)).unwrap()).collect()
}

/// WDR-03: kept on the basis that was declared, which is recorded and which the visitor read before they agreed; nothing is
/// added to it, and a request to erase it is carried out.
#[test]
fn wdr_03_kept_on_another_basis_if_that_was_told_before() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let privet = built(&kept_toml(), &storage, &clock);
    let mut browser = Browser::default();
    let visit = browser.open(&privet).0;
    let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().notice.clone();
    let contacts = notice.categories.iter().find(|c| c.id == "contacts").unwrap();
    assert_eq!(
        contacts.on_withdrawal.as_deref(),
        Some("Kept for ten years, as tax law wants. (GDPR Art. 6(1)(c))")
    );
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    post(&mut browser, &privet, "my order");
    let withdrawn = browser.withdraw(&privet, &[]).0.unwrap();
    assert!(withdrawn.removed.is_nothing());
    assert!(!browser.cookies.contains_key("__Host-privet-contact"), "the browser is not recognised any more");
    let [kept] = listed(&privet).try_into().unwrap();
    assert_eq!(kept.kept_on, Some(LegalBasis::LegalObligation));
    post(&mut browser, &privet, "another one");
    assert_eq!(listed(&privet)[0].conversations, 1, "nothing is added");
    clock.advance(200 * DAY);
    block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!(listed(&privet).len(), 1, "no consent that could lapse");
    block_on(privet.erase_contact(&Scope::default(), kept.id)).unwrap();
    assert_eq!(listed(&privet), []);
    // Without the declaration it is erased at once.
    let privet = built(common::CATALOGUE, &Storage::in_memory().unwrap(), &clock);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    post(&mut browser, &privet, "my order");
    assert_eq!(browser.withdraw(&privet, &["contacts"]).0.unwrap().removed.contacts, 1);
    assert_eq!(listed(&privet), []);
}

/// WDR-03: only another basis is one, and only of what privet holds.
#[test]
fn wdr_03_consent_is_no_other_basis() {
    let rules = |toml: &str| {
        let found = CatalogueBuilder::from_toml(toml).unwrap().lint();
        found
            .iter()
            .map(|f| f.rule)
            .filter(|r| *r == Rule::BadKeep || *r == Rule::TextMissing)
            .collect::<Vec<_>>()
    };
    assert_eq!(rules(&kept_toml()), []);
    assert_eq!(
        rules(&kept_toml().replace("keep = \"legal-obligation\"", "keep = \"consent\"")),
        [Rule::BadKeep]
    );
    let elsewhere = common::CATALOGUE.replacen(
        "purpose = { en = \"Counts visits.\", de = \"Zählt Besuche.\" }",
        "purpose = { en = \"Counts visits.\", de = \"Zählt Besuche.\" }\non_withdrawal = { keep = \"contract\", reason = { en = \"x\", de = \"x\" } }",
        1,
    );
    assert_eq!(rules(&elsewhere), [Rule::BadKeep]);
    let silent = kept_toml().replace("    reason = {", "    # reason = {");
    assert_eq!(rules(&silent), [Rule::TextMissing], "the visitor has to read why");
}

/// WDR-03, CON-07: contacts whose visitors agreed to something else are frozen, come back when the visitor agrees anew, and
/// are erased when they do not.
#[test]
fn con_07_a_material_change_freezes_and_then_erases() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let before = built(common::CATALOGUE, &storage, &clock);
    let (mut returns, mut stays_away) = (Browser::default(), Browser::default());
    for browser in [&mut returns, &mut stays_away] {
        browser.answer(&before, &save(&["contacts"])).0.unwrap();
        post(browser, &before, "hello");
    }
    let more = format!("{}{CRM}", common::CATALOGUE);
    let after = built(&more, &storage, &clock);
    block_on(after.sweep(after.now())).unwrap();
    assert_eq!(listed(&after), [], "frozen");
    let visit = returns.open(&after).0;
    assert_eq!(visit.consent().decision("contacts"), Decision::Unknown);
    assert!(visit.asks());
    clock.advance(10 * DAY);
    returns.answer(&after, &save(&["contacts"])).0.unwrap();
    let [back] = listed(&after).try_into().unwrap();
    assert_eq!((back.conversations, back.frozen_until), (1, None));
    clock.advance(19 * DAY);
    block_on(after.sweep(after.now())).unwrap();
    assert_eq!(block_on(storage.store.erasing(None, 9)).unwrap(), []);
    clock.advance(2 * DAY);
    let swept = block_on(after.sweep(after.now())).unwrap();
    assert_eq!((swept.removed.contacts, swept.removed.messages), (1, 1), "the other one stayed away");
    assert_eq!(listed(&after).len(), 1);
}

/// CON-07: while two versions of an app change places, the older one freezes nobody on what the newer one asked.
#[test]
fn con_07_an_older_instance_freezes_nobody() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let more = format!("{}{CRM}", common::CATALOGUE);
    let older = built(common::CATALOGUE, &storage, &clock);
    let newer = built(&more, &storage, &clock);
    let mut browser = Browser::default();
    browser.answer(&newer, &Answer::AcceptAll).0.unwrap();
    post(&mut browser, &newer, "hello");
    block_on(older.sweep(older.now())).unwrap();
    assert_eq!(listed(&newer).len(), 1);
    // Once the older catalogue is the one that is in use, what it does not ask is not done.
    let back = built(common::CATALOGUE, &storage, &clock);
    block_on(back.sweep(back.now())).unwrap();
    assert_eq!(listed(&back).len(), 1, "less than was agreed to");
}

/// CON-07: nor does the older one end what the newer one froze: what its visitor goes on writing there is kept with the visit,
/// and everything is there again when they agree anew.
#[test]
fn con_07_an_older_instance_ends_nobody_whom_a_newer_one_froze() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let older = built(&format!("{}{}", common::CATALOGUE, common::IDENTITY), &storage, &clock);
    let newer = built(&format!("{}{}{CRM}", common::CATALOGUE, common::IDENTITY), &storage, &clock);
    let mut browser = Browser::default();
    let say = |browser: &mut Browser, privet: &Privet, text: &str| {
        let (visit, _) = browser.open(privet);
        let message = NewMessage::new(Channel::AiSearch, text).unwrap();
        let posted = block_on(visit.visitor().post("chat", message)).unwrap();
        browser.close(&visit, Answered::new(200));
        posted.contact
    };
    let identify = |browser: &mut Browser, privet: &Privet| {
        let (visit, _) = browser.open(privet);
        let (contacts, identity) =
            (visit.granted::<privet::Contacts>().unwrap(), visit.granted::<privet::Identity>().unwrap());
        let signature = privet.sign_identity(&Scope::default(), "customer 7").unwrap();
        let done = block_on(visit.visitor().identify(&contacts, &identity, "customer 7", &signature));
        browser.close(&visit, Answered::new(200));
        done
    };
    let desk = |privet: &Privet| {
        let ann = Operator::new(Tenant::default(), "ann", Role::PrivacyOfficer).unwrap();
        privet.portal(&ann, &Scope::default().site).unwrap()
    };
    browser.answer(&older, &Answer::AcceptAll).0.unwrap();
    let id = say(&mut browser, &older, "before").unwrap();
    identify(&mut browser, &older).unwrap();
    block_on(desk(&older).add_note(id, "calls back")).unwrap();
    block_on(newer.sweep(newer.now())).unwrap();
    assert_eq!(listed(&older), [], "frozen");

    assert_eq!(say(&mut browser, &older, "meanwhile"), None, "nothing is added to what is frozen");
    let refused = identify(&mut browser, &older);
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    // Nor does the line get another contact, from a browser that lost the contact's cookie.
    let mut bare = browser.clone();
    bare.cookies.remove("__Host-privet-contact").unwrap();
    assert_eq!(say(&mut bare, &older, "without it"), None);

    clock.advance(Duration::from_secs(60));
    browser.answer(&newer, &Answer::AcceptAll).0.unwrap();
    let [back] = listed(&newer).try_into().unwrap();
    assert_eq!(back.id, id);
    assert_eq!(browser.texts(&newer), ["before"], "what it holds is read again");
    let details = block_on(desk(&newer).contact(id)).unwrap();
    assert_eq!(details.identity.as_deref(), Some("customer 7"));
    assert_eq!(details.notes.len(), 1);
    assert_eq!(say(&mut browser, &newer, "afterwards"), Some(id));
}

/// CON-07: the controller's name, which privet's own cookies are told under, may be corrected.
#[test]
fn con_07_a_corrected_controller_asks_nobody_about_contacts() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let mut browser = Browser::default();
    browser.answer(&built(common::CATALOGUE, &storage, &clock), &Answer::AcceptAll).0.unwrap();
    let corrected = common::CATALOGUE.replacen("name = \"Garden Shop\"", "name = \"Garden Shop Ltd\"", 1);
    assert_ne!(corrected, common::CATALOGUE);
    assert!(!browser.open(&built(&corrected, &storage, &clock)).0.asks());
}

/// CON-08: six months after the decision the contact is hidden at once, and erased by the next sweep; the figure is the
/// operator's.
#[test]
fn con_08_what_lapsed_is_hidden_and_then_erased() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let figures = LegalFigures::default().with(Figure::ChoiceLife, 90 * DAY).unwrap();
    for (figures, days) in [(LegalFigures::default(), 180), (figures, 90)] {
        let builder = Privet::builder(common::catalogue())
            .storage(storage.clone())
            .clock(clock.clone())
            .legal_figures(figures);
        let privet = block_on(builder.build()).unwrap();
        let mut browser = Browser::default();
        browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
        let mut no = Browser::default();
        no.answer(&privet, &Answer::RejectAll).0.unwrap();
        post(&mut browser, &privet, "hello");
        clock.advance(DAY * (days - 1));
        assert_eq!(listed(&privet).len(), 1);
        assert!(!browser.open(&privet).0.asks() && !no.open(&privet).0.asks());
        clock.advance(DAY);
        assert_eq!(listed(&privet), [], "hidden before anything was swept");
        assert!(browser.open(&privet).0.asks() && no.open(&privet).0.asks(), "a no is kept as long as a yes");
        assert_eq!(block_on(privet.sweep(privet.now())).unwrap().removed.contacts, 1);
    }
}

/// REC-07, ACC-01: what is recorded of the consent is in the visitor's own copy, with everything else; nothing of anybody
/// else's is.
#[test]
fn rec_07_ones_own_data_has_the_history_of_consent() {
    let (privet, clock) = common::installation(privet::Builder::account_consent);
    let mut browser = Browser::default();
    let data = |browser: &Browser| block_on(browser.open(&privet).0.visitor().data()).unwrap();
    assert!(data(&browser).is_nothing(), "said, rather than an error");
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    for n in 0..600 {
        post(&mut browser, &privet, &format!("line {n}"));
    }
    clock.advance(DAY / 2);
    browser.withdraw(&privet, &["analytics"]).0.unwrap();
    let mut other = Browser::default();
    other.answer(&privet, &Answer::AcceptAll).0.unwrap();
    post(&mut other, &privet, "a secret");
    let own = data(&browser);
    let acts: Vec<_> = own.consent.iter().map(|r| (r.act, r.regime)).collect();
    assert_eq!(acts, [(Act::Grant, "opt-in"), (Act::Withdrawal, "opt-in")]);
    assert_eq!(own.consent[1].decisions[0].decision, Decision::Refused);
    assert_eq!(own.conversations.iter().map(|c| c.messages.len()).sum::<usize>(), 600, "all of it");
    assert_eq!(own.contact.as_ref().unwrap().conversations, 1);
    let text = serde_json::to_string(&own).unwrap();
    assert!(text.contains("line 599") && !text.contains("a secret"));
    assert!(!format!("{own:?}").contains("line"), "{own:?}");
}
