//! Operators at work: who may do what, what is written down of it, and what visitors and inspectors see of it afterwards.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Answered, Browser, CATALOGUE, IDENTITY, save, start};
use futures_executor::block_on;
use privet::conformance::FaultyStore;
use privet::contact::{
    Author, Channel, ContactFilter, ContactId, ConversationId, MessageId, NewMessage, NoteId, PageRequest,
    TimeSpan,
};
use privet::portal::{Figures, Operator, Outcome, Permission, Portal, Role, Verb};
use privet::store::{ErasureCause, LedgerEntry, MemoryStore, Storage};
use privet::{Catalogue, Error, FakeClock, Privet, Scope, Site, SiteDecl, Tenant, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);

/// Three tenants, one of them with two sites; every visitor is of `main`.
fn installation(storage: Storage) -> (Privet, FakeClock) {
    let clock = FakeClock::at(start());
    let catalogue = || Catalogue::from_toml(CATALOGUE).unwrap();
    let scope = |tenant: &str, site: &str| Scope::new(Tenant::new(tenant).unwrap(), Site::new(site).unwrap());
    let builder = Privet::builder(catalogue())
        .storage(storage)
        .clock(clock.clone())
        .countries(common::CountryFile)
        .site(SiteDecl::new(scope("acme", "shop"), catalogue()))
        .site(SiteDecl::new(scope("acme", "blog"), catalogue()))
        .site(SiteDecl::new(scope("other", "shop"), catalogue()));
    let main = Scope::default();
    (block_on(builder.resolver(move |_| Some(main.clone())).build()).unwrap(), clock)
}

fn plain() -> (Privet, FakeClock) {
    installation(Storage::in_memory().unwrap())
}

fn at(privet: &Privet, tenant: &str, site: &str, role: Role) -> Portal {
    let operator =
        Operator::new(Tenant::new(tenant).unwrap(), format!("{role:?} of {tenant}"), role).unwrap();
    privet.portal(&operator, &Site::new(site).unwrap()).unwrap()
}

/// A visitor of `main`, with consent to contacts, who asks a person something.
fn asks(privet: &Privet, text: &str) -> (Browser, ContactId, ConversationId) {
    let mut browser = Browser::default();
    browser.answer(privet, &save(&["contacts"])).0.unwrap();
    let (visit, _) = browser.open(privet);
    let message = NewMessage::new(Channel::LiveSupport, text).unwrap();
    let posted = block_on(visit.visitor().post("chat", message)).unwrap();
    browser.close(&visit, Answered::new(200));
    (browser, posted.contact.unwrap(), posted.conversation)
}

/// SEC-05, TEN-02: every act by every role; what is not allowed is refused, and both are written down before anything is done.
#[test]
fn sec_05_roles_decide_and_everything_is_written_down() {
    let (privet, _) = plain();
    let (_, contact, conversation) = asks(&privet, "hello");
    let nobody = ContactId::from_bytes([9; 16]);
    for role in [Role::Viewer, Role::Agent, Role::PrivacyOfficer] {
        let p = at(&privet, "main", "main", role);
        let outcomes = [
            (Verb::ListContacts, Permission::SeeContacts, block_on(p.contacts(&PageRequest::first(9))).err()),
            (Verb::SeeContact, Permission::SeeContacts, block_on(p.contact(contact)).err()),
            (
                Verb::SeeFigures,
                Permission::SeeFigures,
                block_on(p.figures(start().day(), start().day(), 5)).err(),
            ),
            (Verb::ReadConversation, Permission::ReadMessages, block_on(p.conversation(conversation)).err()),
            (Verb::ListConversations, Permission::ReadMessages, block_on(p.open_conversations()).err()),
            (Verb::Answer, Permission::Answer, block_on(p.answer(conversation, "hi")).err()),
            (Verb::AddNote, Permission::Annotate, block_on(p.add_note(contact, "polite")).err()),
            (Verb::Block, Permission::Annotate, block_on(p.set_blocked(contact, true)).err()),
            (Verb::Unblock, Permission::Annotate, block_on(p.set_blocked(contact, false)).err()),
            (Verb::PreviewErasure, Permission::Erase, block_on(p.preview_erasure(contact)).err()),
            (Verb::EraseStale, Permission::Erase, block_on(p.erase_stale(start() - DAY, 9)).err()),
            (Verb::ExportContact, Permission::Export, block_on(p.export_contact(contact)).err()),
            (Verb::ExportContacts, Permission::Export, block_on(p.export_contacts()).err()),
            (Verb::ExportConversations, Permission::Export, block_on(p.export_conversations()).err()),
            (Verb::ReadAudit, Permission::ReadAudit, block_on(p.audit_log(None, 9)).err()),
        ];
        for (verb, permission, error) in &outcomes {
            match error {
                None => assert!(role.may(*permission), "{role:?} did {verb:?}"),
                Some(Error::NotAllowed { permission: missing }) => {
                    assert!(!role.may(*permission) && missing == permission, "{role:?} {verb:?}");
                }
                other => panic!("{role:?} {verb:?}: {other:?}"),
            }
        }
        // What is not there, with a role that may: written down too.
        let missing = block_on(p.contact(nobody)).unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }), "{missing:?}");
        let log =
            block_on(at(&privet, "main", "main", Role::PrivacyOfficer).audit_log(None, 500)).unwrap().events;
        for (verb, permission, _) in outcomes {
            let outcome = if role.may(permission) { Outcome::Allowed } else { Outcome::Refused };
            let name = format!("{role:?} of main");
            let found = log.iter().filter(|e| e.operator == name && e.verb == verb);
            assert!(
                found.clone().count() >= 1 && found.clone().all(|e| e.outcome == outcome),
                "{name} {verb:?}"
            );
        }
        let told = format!("{log:?}");
        assert!(!told.contains(&contact.to_string()) && !told.contains("hello"), "names nobody");
    }
    assert!(!Role::Viewer.may(Permission::ReadMessages) && !Role::Agent.may(Permission::Erase));
}

/// What cannot be written down is not done.
#[test]
fn sec_05_no_act_without_its_event() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = store.clone();
    let (privet, _) = installation(storage);
    let (_, contact, _) = asks(&privet, "hello");
    let officer = at(&privet, "main", "main", Role::PrivacyOfficer);
    store.fail(true);
    assert!(matches!(block_on(officer.erase_contact(contact)), Err(Error::Unavailable { .. })));
    store.fail(false);
    assert!(block_on(officer.contact(contact)).is_ok());
}

/// CTC-06, TEN-01: an operator of one tenant finds nothing of another, nor of another site; a foreign id is a missing id.
#[test]
fn ctc_06_a_foreign_thing_is_a_missing_thing() {
    let (privet, _) = plain();
    let (_, contact, conversation) = asks(&privet, "hello");
    let officers = [
        at(&privet, "acme", "shop", Role::PrivacyOfficer),
        at(&privet, "acme", "blog", Role::PrivacyOfficer),
        at(&privet, "other", "shop", Role::PrivacyOfficer),
    ];
    let home = at(&privet, "main", "main", Role::PrivacyOfficer);
    let cursor = {
        asks(&privet, "a second one");
        block_on(home.contacts(&PageRequest::first(1))).unwrap().next.unwrap()
    };
    let log_cursor = block_on(home.audit_log(None, 1)).unwrap().next.unwrap();
    for p in &officers {
        let gone = [
            block_on(p.contact(contact)).err(),
            block_on(p.conversation(conversation)).err(),
            block_on(p.messages_after(conversation, 0)).err(),
            block_on(p.answer(conversation, "hi")).err(),
            block_on(p.close_conversation(conversation)).err(),
            block_on(p.preview_erasure(contact)).err(),
            block_on(p.erase_contact(contact)).err(),
            block_on(p.erase_conversation(conversation)).err(),
            block_on(p.erase_message(conversation, 1)).err(),
            block_on(p.set_blocked(contact, true)).err(),
            block_on(p.add_note(contact, "x")).err(),
            block_on(p.erase_note(contact, NoteId::from_bytes([1; 16]))).err(),
            block_on(p.export_contact(contact)).err(),
        ];
        for error in gone {
            assert!(matches!(error, Some(Error::NotFound { .. })), "{:?}: {error:?}", p.scope());
        }
        assert!(block_on(p.contacts(&PageRequest::first(9))).unwrap().contacts.is_empty());
        assert!(block_on(p.open_conversations()).unwrap().is_empty());
        assert!(block_on(block_on(p.export_contacts()).unwrap().next_contacts()).unwrap().is_empty());
        assert!(block_on(block_on(p.export_conversations()).unwrap().next_conversation()).unwrap().is_none());
        let forged = block_on(p.contacts(&PageRequest::first(9).after(cursor.clone())));
        assert!(matches!(forged, Err(Error::Invalid { .. })), "{forged:?}");
        let log = block_on(p.audit_log(None, 500)).unwrap().events;
        assert!(log.iter().all(|e| e.tenant == p.scope().tenant));
        assert!(matches!(block_on(p.audit_log(Some(&log_cursor), 9)), Err(Error::Invalid { .. })));
    }
    let acme = Operator::new(Tenant::new("acme").unwrap(), "ann", Role::Viewer).unwrap();
    let sites: Vec<_> = privet.portal_sites(&acme).iter().map(ToString::to_string).collect();
    assert_eq!(sites, ["blog", "shop"]);
    for site in ["main", "nowhere"] {
        let none = privet.portal(&acme, &Site::new(site).unwrap());
        assert!(matches!(none, Err(Error::NotFound { .. })));
    }
}

/// CTC-07: pages both ways, of one instant: nobody twice, also while people are active, and each cursor is of its own filter.
#[test]
fn ctc_07_a_pass_shows_nobody_twice() {
    let (privet, clock) = plain();
    let mut visitors = Vec::new();
    for n in 0..10 {
        clock.advance(Duration::from_secs(61));
        visitors.push(asks(&privet, &format!("hello {n}")));
    }
    let viewer = at(&privet, "main", "main", Role::Viewer);
    let page = |cursor: Option<String>, filter: ContactFilter| {
        let request = PageRequest::first(3).only(filter);
        let request = match cursor {
            Some(cursor) => request.after(cursor),
            None => request,
        };
        block_on(viewer.contacts(&request))
    };
    let first = page(None, ContactFilter::default()).unwrap();
    assert_eq!((first.as_of, first.previous.clone()), (clock_now(&privet), None));
    // Somebody of a page below becomes active.
    clock.advance(Duration::from_secs(61));
    let (browser, active, _) = &mut visitors[4];
    browser.say(&privet, "again");
    let mut seen: Vec<_> = first.contacts.iter().map(|c| c.id).collect();
    let (mut next, mut last) = (first.next.clone(), first.clone());
    while let Some(cursor) = next {
        last = page(Some(cursor), ContactFilter::default()).unwrap();
        assert_eq!(last.as_of, first.as_of);
        seen.extend(last.contacts.iter().map(|c| c.id));
        next = last.next.clone();
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!((once.len(), seen.len()), (9, 9), "nobody twice; who was active is at the top of a new list");
    assert_eq!(page(None, ContactFilter::default()).unwrap().contacts[0].id, *active);
    let mut back = Vec::new();
    while let Some(cursor) = last.previous.clone() {
        last = page(Some(cursor), ContactFilter::default()).unwrap();
        back.splice(0..0, last.contacts.iter().map(|c| c.id));
    }
    assert_eq!(back, seen[..back.len()], "and back to the first page");
    let cursor = first.next.unwrap();
    let other = page(Some(cursor), ContactFilter::default().with_open_conversation());
    assert!(matches!(other, Err(Error::Invalid { .. })), "{other:?}");
}

fn clock_now(privet: &Privet) -> Timestamp {
    privet.now()
}

/// An operator's answer is the visitor's to read, closes with the conversation, and reaches nobody who has withdrawn.
#[test]
fn an_answer_reaches_its_visitor() {
    let (privet, _) = plain();
    let (mut browser, contact, conversation) = asks(&privet, "is it in stock?");
    let agent = at(&privet, "main", "main", Role::Agent);
    let open = block_on(agent.open_conversations()).unwrap();
    assert_eq!(open.len(), 1);
    assert!(open[0].conversation.awaits_answer);
    assert_eq!(open[0].last.as_ref().unwrap().text, "is it in stock?");
    block_on(agent.answer(conversation, "yes, three")).unwrap();
    let (visit, _) = browser.open(&privet);
    let read: Vec<_> =
        block_on(visit.visitor().messages()).unwrap().into_iter().map(|m| (m.author, m.text)).collect();
    assert_eq!(read, [(Author::Visitor, "is it in stock?".into()), (Author::Agent, "yes, three".to_owned())]);
    let (_, messages) = block_on(agent.messages_after(conversation, 1)).unwrap();
    assert_eq!(messages.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["yes, three"]);
    let read = || {
        let log = block_on(at(&privet, "main", "main", Role::PrivacyOfficer).audit_log(None, 500)).unwrap();
        log.events.iter().filter(|e| e.verb == Verb::ReadConversation).count()
    };
    let before = read();
    assert!(block_on(agent.messages_after(conversation, 2)).unwrap().1.is_empty());
    assert_eq!(read(), before, "it showed nothing");
    block_on(agent.messages_after(conversation, 0)).unwrap();
    let viewer = at(&privet, "main", "main", Role::Viewer);
    assert!(matches!(block_on(viewer.messages_after(conversation, 0)), Err(Error::NotAllowed { .. })));
    assert_eq!(read(), before + 2, "what is read is written down, and so is who may not");
    block_on(agent.close_conversation(conversation)).unwrap();
    assert!(matches!(block_on(agent.answer(conversation, "more")), Err(Error::Conflict { .. })));
    for bad in ["", " ", &"x".repeat(20_000)] {
        assert!(matches!(block_on(agent.answer(conversation, bad)), Err(Error::Invalid { .. })));
    }
    browser.withdraw(&privet, &[]).0.unwrap();
    assert!(matches!(block_on(agent.answer(conversation, "late")), Err(Error::NotFound { .. })));
    assert!(matches!(block_on(agent.add_note(contact, "late")), Err(Error::NotFound { .. })));
}

/// CTC-02, WDR-03: notes are the visitor's to see, sealed, and go with the contact; a blocked contact writes nothing.
#[test]
fn notes_and_blocks() {
    let (privet, _) = plain();
    let (mut browser, contact, _) = asks(&privet, "hello");
    let agent = at(&privet, "main", "main", Role::Agent);
    let note = block_on(agent.add_note(contact, "prefers roses")).unwrap();
    assert_eq!(block_on(agent.contact(contact)).unwrap().notes, std::slice::from_ref(&note));
    let viewer = at(&privet, "main", "main", Role::Viewer);
    assert!(block_on(viewer.contact(contact)).unwrap().notes.is_empty(), "they may hold what was said");
    let data = serde_json::to_string(&block_on(browser.open(&privet).0.visitor().data()).unwrap()).unwrap();
    assert!(data.contains("prefers roses") && !data.contains("Agent of main"), "{data}");
    assert!(matches!(block_on(agent.add_note(contact, " ")), Err(Error::Invalid { .. })));
    block_on(agent.erase_note(contact, note.id)).unwrap();
    block_on(agent.set_blocked(contact, true)).unwrap();
    let (visit, _) = browser.open(&privet);
    let refused = block_on(visit.visitor().post("chat", NewMessage::new(Channel::AiSearch, "spam").unwrap()));
    assert!(matches!(refused, Err(Error::Blocked)), "{refused:?}");
    browser.close(&visit, Answered::new(403));
    assert_eq!(browser.texts(&privet), ["hello"]);
    block_on(agent.set_blocked(contact, false)).unwrap();
    browser.say(&privet, "sorry");
}

/// ERA, CTC-09: what a preview says is what goes; a clean-up takes only who was not seen for long.
#[test]
fn ctc_09_a_preview_is_what_goes() {
    let (privet, clock) = plain();
    let (_, old, _) = asks(&privet, "old");
    clock.advance(10 * DAY);
    let (mut browser, contact, conversation) = asks(&privet, "new");
    browser.say(&privet, "more");
    let officer = at(&privet, "main", "main", Role::PrivacyOfficer);
    block_on(officer.add_note(contact, "x")).unwrap();
    let preview = block_on(officer.preview_erasure(contact)).unwrap();
    assert_eq!((preview.contacts, preview.conversations, preview.messages, preview.notes), (1, 1, 2, 1));
    assert_eq!(block_on(officer.erase_message(conversation, 1)).unwrap().messages, 1);
    assert_eq!(browser.texts(&privet), ["more"]);
    let stale = block_on(officer.preview_stale(clock_now(&privet) - DAY, 100)).unwrap();
    assert_eq!((stale.count, stale.more), (1, false));
    let removed = block_on(officer.erase_stale(clock_now(&privet) - DAY, 100)).unwrap();
    assert_eq!((removed.contacts, removed.messages), (1, 1));
    assert!(matches!(block_on(officer.contact(old)), Err(Error::NotFound { .. })));
    let preview = block_on(officer.preview_erasure(contact)).unwrap();
    let removed = block_on(officer.erase_contact(contact)).unwrap();
    assert_eq!(
        (removed.contacts, removed.conversations, removed.messages, removed.notes),
        (preview.contacts, preview.conversations, preview.messages, preview.notes)
    );
    assert!(browser.texts(&privet).is_empty());
}

/// ERA-08: whatever an operator erases alone is in the ledger before it goes, by a digest; a sender who missed the answer does
/// not bring it back.
#[test]
fn what_is_erased_alone_is_in_the_ledger() {
    let storage = Storage::in_memory().unwrap();
    let ledger = storage.ledger.clone();
    let (privet, _) = installation(storage);
    let (mut browser, contact, conversation) = asks(&privet, "hello");
    let agent = at(&privet, "main", "main", Role::Agent);
    let officer = at(&privet, "main", "main", Role::PrivacyOfficer);
    let entries = || {
        block_on(ledger.entries()).unwrap().into_iter().filter(|e| matches!(e, LedgerEntry::Erased { .. }))
    };
    let message = NewMessage::new(Channel::LiveSupport, "my card is 4111").unwrap();
    let message = message.id(MessageId::generate().unwrap());
    let mut sends = |message: &NewMessage| {
        let (visit, _) = browser.open(&privet);
        block_on(visit.visitor().post("chat", message.clone())).unwrap();
        browser.close(&visit, Answered::new(200));
        browser.texts(&privet)
    };
    assert_eq!(sends(&message), ["hello", "my card is 4111"]);
    for (wrong, number) in [(conversation, 0), (conversation, 3), (ConversationId::generate().unwrap(), 2)] {
        assert!(matches!(block_on(officer.erase_message(wrong, number)), Err(Error::NotFound { .. })));
    }
    let note = block_on(agent.add_note(contact, "x")).unwrap();
    assert!(matches!(
        block_on(agent.erase_note(contact, NoteId::generate().unwrap())),
        Err(Error::NotFound { .. })
    ));
    assert_eq!(entries().count(), 0, "nothing was erased yet");
    block_on(officer.erase_message(conversation, 2)).unwrap();
    assert_eq!(sends(&message), ["hello"]);
    block_on(officer.close_conversation(conversation)).unwrap();
    assert_eq!(sends(&message), ["hello"], "nor into another conversation");
    block_on(agent.erase_note(contact, note.id)).unwrap();
    block_on(officer.erase_conversation(conversation)).unwrap();
    let erased: std::collections::BTreeSet<_> = entries()
        .map(|e| match e {
            LedgerEntry::Erased { subject, cause: ErasureCause::Request, .. } => subject,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(erased.len(), 3, "each by a digest of its own");
}

/// GEO-06: a country with few contacts is not told apart from the others, nor are the others if they are few.
#[test]
fn geo_06_small_groups_are_put_together() {
    let (privet, _) = plain();
    let says = |from: &str| {
        let mut browser = Browser::default();
        browser.answer(&privet, &save(&["contacts"])).0.unwrap();
        let visit = privet.visit(&browser.head("/").peer(from)).unwrap().0;
        block_on(visit.visitor().post("chat", NewMessage::new(Channel::AiSearch, "x").unwrap())).unwrap();
    };
    for (from, times) in [(common::DE, 6), (common::FR, 2), (common::GB, 3)] {
        (0..times).for_each(|_| says(from));
    }
    Browser::default().answer(&privet, &privet::consent::Answer::RejectAll).0.unwrap();
    let viewer = at(&privet, "main", "main", Role::Viewer);
    let today = start().day();
    block_on(privet.flush_counts()).unwrap();
    let figures = block_on(viewer.figures(today, today, 5)).unwrap();
    let shown: Vec<_> =
        figures.countries.iter().map(|c| (c.country.unwrap().to_string(), c.contacts)).collect();
    assert_eq!((shown, figures.other_countries), (vec![("DE".to_owned(), 6)], Some(5)));
    let figures_of_six = block_on(viewer.figures(today, today, 6)).unwrap();
    assert_eq!(figures_of_six.other_countries, None, "even together they are few");
    assert_eq!((figures.contacts[0].count, figures.conversations[0].count), (11, 11));
    let of = |figures: &Figures, category: &str| -> Vec<(u64, u64)> {
        let (_, spans) = figures.consent.iter().find(|(id, _)| id == category).unwrap();
        spans.iter().map(|s| (s.granted, s.refused)).collect()
    };
    assert_eq!(of(&figures, "analytics"), [(0, 12)]);
    assert_eq!(of(&figures, "contacts"), [], "one who refused");
    let exact = block_on(viewer.figures(today, today, 1)).unwrap();
    assert_eq!(of(&exact, "contacts"), [(11, 1)]);
}

/// An export is of one moment, whole, whatever happens meanwhile.
#[test]
fn an_export_is_of_one_moment() {
    let (privet, _) = plain();
    let visitors: Vec<_> = (0..4).map(|n| asks(&privet, &format!("text {n}"))).collect();
    let officer = at(&privet, "main", "main", Role::PrivacyOfficer);
    let mut contacts = block_on(officer.export_contacts()).unwrap();
    let mut conversations = block_on(officer.export_conversations()).unwrap();
    block_on(officer.erase_contact(visitors[0].1)).unwrap();
    asks(&privet, "late");
    assert_eq!(block_on(contacts.next_contacts()).unwrap().len(), 4);
    assert!(block_on(contacts.next_contacts()).unwrap().is_empty());
    let mut texts = Vec::new();
    while let Some(piece) = block_on(conversations.next_conversation()).unwrap() {
        texts.extend(piece.messages.into_iter().map(|m| m.text));
    }
    texts.sort();
    assert_eq!(texts, ["text 1", "text 2", "text 3"], "the key of whoever is erased is gone at once");
    let whole = block_on(officer.export_contact(visitors[1].1)).unwrap();
    assert_eq!(whole.conversations[0].messages[0].text, "text 1");
}

/// Filters over the whole list, with their count.
#[test]
fn the_list_is_filtered_and_counted() {
    let (privet, clock) = plain();
    let (_, first, _) = asks(&privet, "one");
    clock.advance(2 * DAY);
    let (_, second, conversation) = asks(&privet, "two");
    let officer = at(&privet, "main", "main", Role::PrivacyOfficer);
    block_on(officer.close_conversation(conversation)).unwrap();
    let now = clock_now(&privet);
    let found = |filter: ContactFilter| {
        let count = block_on(officer.count_contacts(&filter, now, 1)).unwrap();
        let page = block_on(officer.contacts(&PageRequest::first(9).only(filter))).unwrap();
        assert_eq!((count.count as usize, count.more), (page.contacts.len().min(1), page.contacts.len() > 1));
        page.contacts.into_iter().map(|c| c.id).collect::<Vec<_>>()
    };
    let none = ContactFilter::default;
    assert_eq!(found(none()), [second, first]);
    assert_eq!(found(none().with_open_conversation()), [first]);
    let recent = TimeSpan { from: Some(now - DAY), before: None };
    assert_eq!(found(none().created(recent)), [second]);
    assert_eq!(found(none().id(second.to_string()[..8].parse().unwrap())), [second]);
    assert_eq!(found(none().country("DE".parse().unwrap())), []);
    assert_eq!(found(block_on(officer.known_as(none(), "ann@example.com")).unwrap()), []);
}

/// An operator has a name that can be written down.
#[test]
fn operators_have_names() {
    let named = |name: &str| Operator::new(Tenant::default(), name, Role::Viewer);
    for bad in ["", "  ", "a\nb", "\u{0}", &"x".repeat(65)] {
        assert!(matches!(named(bad), Err(Error::Invalid { .. })), "{bad:?}");
    }
    assert_eq!(named("Änne").unwrap().to_string(), "Änne");
    for role in [Role::Viewer, Role::Agent, Role::PrivacyOfficer] {
        assert_eq!(Role::named(role.as_str()), Some(role));
    }
    assert_eq!(Role::named("root"), None);
}

/// CTC-10: a contact is known to operators as whom the app says it is, by the app's signature and on a consent of its own; it
/// is found by that, and forgotten with that consent.
#[test]
fn ctc_10_a_contact_is_known_by_the_apps_word_only() {
    let clock = FakeClock::at(start());
    let catalogue = Catalogue::from_toml(&format!("{CATALOGUE}{IDENTITY}")).unwrap();
    let builder = Privet::builder(catalogue).storage(Storage::in_memory().unwrap()).clock(clock.clone());
    let privet = block_on(builder.build()).unwrap();
    let scope = Scope::default();
    let identify = |browser: &mut Browser, who: &str, signature: &str| {
        let (visit, _) = browser.open(&privet);
        let contacts = visit.granted::<privet::Contacts>().unwrap();
        let identity = visit.granted::<privet::Identity>()?;
        let done = block_on(visit.visitor().identify(&contacts, &identity, who, signature));
        browser.close(&visit, Answered::new(200));
        done
    };
    let sign = |who: &str| privet.sign_identity(&scope, who).unwrap();
    let mut browser = Browser::default();
    browser.answer(&privet, &save(&["contacts"])).0.unwrap();
    let refused = identify(&mut browser, "customer 7", &sign("customer 7"));
    assert!(matches!(refused, Err(Error::NotGranted { .. })), "{refused:?}");
    browser.answer(&privet, &save(&["contacts", "identity"])).0.unwrap();

    let tampered = sign("customer 7").replace("v1.1", "v1.2");
    let other_site = { privet.sign_identity(&scope, "customer 8").unwrap() };
    for (who, signature) in [
        ("customer 7", ""),
        ("customer 7", "v1.x.y"),
        ("customer 7", "customer 7"),
        ("customer 7", tampered.as_str()),
        ("customer 7", other_site.as_str()),
        ("", sign("").as_str()),
        ("a\nb", sign("a\nb").as_str()),
        (&"x".repeat(300), sign(&"x".repeat(300)).as_str()),
    ] {
        let refused = identify(&mut browser, who, signature);
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{who:?} {signature}: {refused:?}");
    }
    let old = sign("customer 7");
    clock.advance(Duration::from_secs(3_601));
    assert!(matches!(identify(&mut browser, "customer 7", &old), Err(Error::Invalid { .. })));
    let id = identify(&mut browser, "customer 7", &sign("customer 7")).unwrap();

    let agent = at(&privet, "main", "main", Role::Agent);
    assert_eq!(block_on(agent.contact(id)).unwrap().identity.as_deref(), Some("customer 7"));
    let found = |who: &str| {
        let filter = block_on(agent.known_as(ContactFilter::default(), who)).unwrap();
        let count = block_on(agent.count_contacts(&filter, clock_now(&privet), 9)).unwrap();
        let found = block_on(agent.contacts(&PageRequest::first(9).only(filter))).unwrap().contacts.len();
        assert_eq!(count.count as usize, found);
        found
    };
    assert_eq!((found("customer 7"), found("customer"), found("customer 8")), (1, 0, 0));
    let before = clock_now(&privet);
    clock.advance(Duration::from_secs(120));
    browser.say(&privet, "hello again");
    let filter = block_on(agent.known_as(ContactFilter::default(), "customer 7")).unwrap();
    let count = block_on(agent.count_contacts(&filter, before, 9)).unwrap();
    assert_eq!(count.count, 0, "the list as of then shows nobody who was seen since");
    let viewer = at(&privet, "main", "main", Role::Viewer);
    assert_eq!(block_on(viewer.contact(id)).unwrap().identity, None);
    let data = serde_json::to_value(block_on(browser.open(&privet).0.visitor().data()).unwrap()).unwrap();
    assert_eq!(data["contact"]["identity"], "customer 7");

    browser.withdraw(&privet, &["identity"]).0.unwrap();
    assert_eq!(block_on(agent.contact(id)).unwrap().identity, None, "the contact stays, and is nobody");
    assert_eq!(found("customer 7"), 0);
}

/// CTC-03, TEN-04: the id of a contact is random, and one browser has another one on every site, of one tenant or of two.
#[test]
fn ctc_03_ids_are_random_and_of_one_site() {
    let mut ids = Vec::new();
    let clock = FakeClock::at(start());
    let scopes: Vec<_> = [("acme", "shop"), ("acme", "blog"), ("other", "shop")]
        .map(|(tenant, site)| Scope::new(Tenant::new(tenant).unwrap(), Site::new(site).unwrap()))
        .to_vec();
    let catalogue = || Catalogue::from_toml(CATALOGUE).unwrap();
    let builder = Privet::builder(catalogue()).storage(Storage::in_memory().unwrap()).clock(clock);
    let builder = scopes.iter().fold(builder, |b, scope| b.site(SiteDecl::new(scope.clone(), catalogue())));
    let of_path = scopes.clone();
    let builder =
        builder.resolver(move |request| of_path.get(request.path()[1..].parse::<usize>().ok()?).cloned());
    let privet = block_on(builder.build()).unwrap();
    let mut browser = Browser::default();
    for (n, scope) in scopes.iter().enumerate() {
        let open = |browser: &Browser| privet.visit(&browser.head(&format!("/{n}"))).unwrap().0;
        let visit = open(&browser);
        assert!(visit.visitor().contact().is_none(), "known from another site");
        let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().clone();
        let (token, by) = (
            visit.notice_token(&notice),
            privet::consent::Provenance::new(privet::consent::Method::Form, true),
        );
        block_on(privet.decide(&visit, &save(&["contacts"]), &token, by)).unwrap();
        browser.close(&visit, Answered::new(303));
        let visit = open(&browser);
        let message = NewMessage::new(Channel::AiSearch, "hello").unwrap();
        let id = block_on(visit.visitor().post("chat", message)).unwrap().contact.unwrap();
        browser.close(&visit, Answered::new(200));
        assert_eq!(id.as_uuid().get_version_num(), 4, "nothing of time or machine in it");
        assert_eq!(visit.scope(), scope);
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), scopes.len());
}

/// CTC-05: a contact that is not seen any more ends, hidden at once and gone with the sweep; one that is seen does not.
#[test]
fn ctc_05_contacts_end_by_inactivity() {
    let (privet, clock) = plain();
    let (_, idle, _) = asks(&privet, "idle");
    let (mut active, kept, _) = asks(&privet, "active");
    let rule =
        privet::retention::RetentionRule::new(privet::retention::DataClass::Contacts, 30 * DAY).unwrap();
    block_on(privet.set_retention(&Tenant::default(), rule)).unwrap();
    for _ in 0..4 {
        clock.advance(10 * DAY);
        active.say(&privet, "still here");
    }
    let viewer = at(&privet, "main", "main", Role::Viewer);
    assert!(matches!(block_on(viewer.contact(idle)), Err(Error::NotFound { .. })), "hidden before any sweep");
    block_on(privet.sweep(privet.now())).unwrap();
    let left: Vec<_> = block_on(viewer.contacts(&PageRequest::first(9)))
        .unwrap()
        .contacts
        .into_iter()
        .map(|c| c.id)
        .collect();
    assert_eq!(left, [kept]);
}

/// Whoever was seen by an instance whose clock is ahead is in the list all the same.
#[test]
fn a_clock_that_is_ahead_hides_nobody() {
    let (privet, clock) = plain();
    clock.advance(DAY);
    let (_, ahead, _) = asks(&privet, "from tomorrow");
    clock.set(start());
    asks(&privet, "from today");
    let viewer = at(&privet, "main", "main", Role::Viewer);
    let first = block_on(viewer.contacts(&PageRequest::first(1))).unwrap();
    assert_eq!(first.contacts[0].id, ahead);
    assert_eq!(first.as_of, first.contacts[0].last_seen);
    let count = block_on(viewer.count_contacts(&ContactFilter::default(), first.as_of, 9)).unwrap();
    assert_eq!(count.count, 2);
    let next = block_on(viewer.contacts(&PageRequest::first(1).after(first.next.unwrap()))).unwrap();
    assert_eq!((next.contacts.len(), next.next), (1, None));
}
