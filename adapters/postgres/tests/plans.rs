//! How lists and acts find their rows: none reads through a table or a tenant, with row-level security and without it. The server
//! counts what it reads, rows of a table and entries of an index; each piece of work is done so often on one connection that its
//! statements are planned for all values.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod filled;
mod roles;

use std::time::Duration;

use futures_executor::block_on;
use privet::contact::{ContactFilter, ContactId, Owner, TimeSpan};
use privet::ip::CountryCode;
use privet::retention::DataClass;
use privet::store::{
    ConsentStore as _, ContactCursor, ContactQuery, ContactStore as _, ConversationStore as _, Direction,
    Horizon, OutboxStore as _, PortalStore as _, RetentionStore as _,
};
use privet::{Scope, Tenant};
use privet_test_postgres::server;
use sqlx::AssertSqlSafe;

use common::{Browser, save, start};
use filled::Filled;

/// With nothing that is due, which is what a sweep finds most of the time.
fn horizon() -> Horizon {
    let mut horizon = Horizon::unlimited(start());
    let long_ago = start() - Duration::from_secs(400 * 86_400);
    (horizon.contacts, horizon.conversations, horizon.sessions) = (long_ago, long_ago, long_ago);
    (horizon.support, horizon.messages, horizon.records) = (long_ago, long_ago, long_ago);
    (horizon.counts, horizon.notifications, horizon.audit) = (long_ago, long_ago, long_ago);
    horizon
}

fn lists(it: &mut Filled) {
    let scope = Scope::default();
    let (list, all) = (ContactQuery::first(50), ContactFilter::default());
    let deep =
        ContactCursor { last_seen: start() - Duration::from_secs(5_000), id: ContactId::from_bytes([9; 16]) };
    let few = all.clone().country(CountryCode::new("LI").unwrap());
    let span = TimeSpan {
        from: Some(start() - Duration::from_secs(20)),
        before: Some(start() - Duration::from_secs(10)),
    };
    for (what, query) in [
        ("the first page of the list", list.clone()),
        ("a page deep in the list", list.clone().after(Some(deep))),
        ("the page before it", list.clone().after(Some(deep)).towards(Direction::Newer)),
        ("the few of a country", list.clone().only(few.clone())),
        ("those seen in a span", list.clone().only(all.clone().last_seen(span))),
        ("those opened in a span", list.clone().only(all.clone().created(span))),
        ("an id by its beginning", list.clone().only(all.clone().id("00f".parse().unwrap()))),
    ] {
        it.work(what, |on| {
            assert!(
                !block_on(on.store.contacts(&scope, &query, &horizon())).unwrap().is_empty()
                    || what.contains("opened"),
                "{what}"
            );
        });
    }
    it.work("how many there are of a country", |on| {
        assert_eq!(block_on(on.store.count_contacts(&scope, &few, start(), 1_000, &horizon())).unwrap(), 20);
    });
    it.work("one contact", |on| {
        assert!(block_on(on.store.contact(&scope, on.other.0, &horizon())).unwrap().is_some());
    });
    it.work("what goes with a contact", |on| {
        assert!(block_on(on.store.contact_contents(&scope, on.other.0, &horizon())).unwrap().is_some());
    });
    it.work("a contact as an operator sees it", |on| {
        assert_eq!(block_on(on.olga.contact(on.contact)).unwrap().conversations.len(), 1);
    });
    it.work("a conversation", |on| {
        assert!(block_on(on.store.conversation(&scope, on.other.1, &horizon())).unwrap().is_some());
    });
    it.work("a conversation as an operator sees it", |on| {
        assert!(!block_on(on.olga.conversation(on.conversation)).unwrap().1.is_empty());
    });
    it.work("messages", |on| {
        assert_eq!(block_on(on.store.messages(&scope, on.other.1, 0, 50, &horizon())).unwrap().len(), 1);
    });
    it.work("what a visitor reads", |on| assert!(!on.browser.texts(on.privet).is_empty()));
    it.work("a contact's conversations", |on| {
        let owner = Owner::Contact(on.other.0);
        assert_eq!(block_on(on.store.conversations(&scope, owner, 50, &horizon())).unwrap().len(), 1);
    });
    it.work("the one that runs", |on| {
        let owner = Owner::Contact(on.other.0);
        block_on(on.store.running_conversation(&scope, owner, start(), &horizon())).unwrap();
    });
    it.work("conversations that wait", |on| {
        assert!(!block_on(on.store.open_conversations(&scope, 50, &horizon())).unwrap().is_empty());
    });
    it.work("notes", |on| drop(block_on(on.store.notes(&scope, on.other.0, &horizon())).unwrap()));
    it.work("what operators did", |on| {
        assert_eq!(block_on(on.store.audit(&scope.tenant, None, 50)).unwrap().len(), 50);
    });
    it.work("notifications", |on| {
        assert_eq!(block_on(on.store.notifications(&scope.tenant, None, 50)).unwrap().len(), 50);
    });
    it.work("a page of the chain", |on| {
        assert_eq!(block_on(on.store.chain(&scope.tenant, None, 50)).unwrap().len(), 50);
    });
    it.work("a line of consent", |on| {
        let contact = block_on(on.store.contact(&scope, on.other.0, &horizon())).unwrap().unwrap();
        assert_eq!(block_on(on.store.line(&scope, contact.consent)).unwrap().len(), 1);
        assert!(block_on(on.store.latest_record(&scope, contact.consent)).unwrap().is_some());
        assert!(block_on(on.store.record(&scope, contact.consent)).unwrap().is_some());
    });
}

fn due(it: &mut Filled) {
    let tenant = Tenant::default();
    it.work("who there is", |on| assert_eq!(block_on(on.store.tenants()).unwrap().len(), 11));
    it.work("what is marked", |on| {
        assert!(block_on(on.store.erasing(None, 50)).unwrap().is_empty());
        assert!(block_on(on.store.erasing(Some(&tenant), 50)).unwrap().is_empty());
    });
    for class in DataClass::ALL {
        it.work(&format!("what is over of {class:?}"), |on| {
            let horizon = horizon();
            let step = on.store.purge_step(&tenant, *class, 500, &horizon, start());
            assert_eq!(block_on(step).unwrap(), 0, "{class:?}");
        });
    }
    for class in [DataClass::Messages, DataClass::Conversations, DataClass::Contacts] {
        let mut time = 0;
        it.work(&format!("what is taken of {class:?}"), |on| {
            // The oldest hundred seconds of those that are left.
            time += 1;
            let (mut horizon, oldest) = (horizon(), start() - Duration::from_secs(20_000 - 100 * time));
            (horizon.messages, horizon.conversations, horizon.contacts) = (oldest, oldest, oldest);
            let step = on.store.purge_step(&tenant, class, 20, &horizon, start() + Duration::from_secs(1));
            assert!(block_on(step).unwrap() > 10, "{class:?}");
        });
    }
    it.work("what is marked is erased", |on| {
        let marked = block_on(on.store.erasing(None, 20)).unwrap();
        assert_eq!(block_on(on.store.erase_step(&marked, 500)).unwrap().done, 20);
    });
    it.work("fences that are over", |on| assert_eq!(block_on(on.store.purge_fences(start())).unwrap(), 0));
    it.work("what is to be sent", |on| {
        let until = start() + Duration::from_secs(60);
        assert!(block_on(on.store.claim_notifications(start(), until, 50)).unwrap().is_empty());
    });
    it.work("the ends of the chains", |on| assert_eq!(block_on(on.store.chain_heads()).unwrap().len(), 1));
    it.work("a whole sweep", |on| drop(block_on(on.privet.sweep(on.privet.now())).unwrap()));
}

fn acts(it: &mut Filled) {
    it.work("a message", |on| on.browser.say(on.privet, "one more"));
    it.work("a visit", |on| {
        on.browser.open(on.privet);
        block_on(on.privet.flush()).unwrap();
    });
    it.work("a new contact that takes its consent back", |on| {
        let mut browser = Browser::default();
        browser.answer(on.privet, &save(&["contacts"])).0.unwrap();
        browser.say(on.privet, "hello");
        browser.withdraw(on.privet, &[]).0.unwrap();
    });
    it.work("a visit without consent", |on| Browser::default().say(on.privet, "only looking"));
    it.work("an answer", |on| {
        block_on(on.olga.answer(on.conversation, "in aisle three")).unwrap();
    });
    it.work("a note", |on| {
        let note = block_on(on.olga.add_note(on.contact, "polite")).unwrap();
        block_on(on.olga.erase_note(on.contact, note.id)).unwrap();
    });
    it.work("a block", |on| block_on(on.olga.set_blocked(on.other.0, true)).unwrap());
    it.work("a close", |on| block_on(on.olga.close_conversation(on.other.1)).unwrap());
    it.work("a message that goes", |on| {
        block_on(on.store.erase_message(&Scope::default(), on.other.1, 1)).unwrap();
    });
    it.work("a conversation that goes", |on| {
        assert!(!block_on(on.olga.erase_conversation(on.other.1)).unwrap().is_nothing());
    });
    it.work("a contact that goes", |on| {
        assert!(!block_on(on.olga.erase_contact(on.other.0)).unwrap().is_nothing());
    });
}

/// What reads through a table shows.
fn a_walk_is_seen(it: &Filled) {
    let before = it.counted()["contacts"].0;
    let pool = it.pool_to(server().unwrap().url());
    let walk = format!("SELECT count(*) FROM \"{}\".contacts WHERE conversations = 77", it.schema);
    it.rt.block_on(sqlx::raw_sql(AssertSqlSafe(walk)).execute(&pool)).unwrap();
    it.closed(&pool);
    assert!(it.counted()["contacts"].0 - before > 19_000);
}

fn nothing_is_read_through(walled: bool) {
    let Some(mut filled) = Filled::new(walled) else { return };
    a_walk_is_seen(&filled);
    lists(&mut filled);
    due(&mut filled);
    acts(&mut filled);
    assert!(filled.works > 40, "{}", filled.works);
    assert!(filled.walks.is_empty(), "{}", filled.walks.join("\n"));
}

#[test]
fn nothing_is_found_by_reading_through_a_table() {
    nothing_is_read_through(false);
}

#[test]
fn nothing_is_found_by_reading_through_a_table_behind_the_wall() {
    nothing_is_read_through(true);
}
