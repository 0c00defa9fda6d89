//! A start without the keys that the records were made with.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

#[path = "../../../core/tests/common/mod.rs"]
mod common;

use std::path::Path;

use common::{Browser, catalogue, save};
use futures_executor::block_on;
use privet::contact::PageRequest;
use privet::{Error, Privet, Scope};

fn started(folder: &Path) -> privet::Result<Privet> {
    let storage = block_on(privet_sqlite::open(folder))?;
    block_on(Privet::builder(catalogue()).storage(storage).build())
}

/// P7: with keys that are drawn anew nobody who was erased would be known, and an old cookie would write them again.
#[test]
fn a_lost_key_store_is_not_taken_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, aside) = (dir.path().join("data"), dir.path().join("aside"));
    // On an empty store any key store will do, also after a start that recorded nothing.
    drop(started(&folder).unwrap());
    std::fs::remove_file(folder.join("keys.db")).unwrap();
    let privet = started(&folder).unwrap();
    let mut browser = Browser::default();
    browser.answer(&privet, &save(&["contacts"])).0.unwrap();
    browser.say(&privet, "forget me");
    let mut old = browser.clone();
    browser.withdraw(&privet, &[]).0.unwrap();
    drop(privet);

    let files = ["keys.db", "keys.db-wal", "keys.db-shm"].map(|name| (folder.join(name), name));
    let moved = |back: bool| {
        for (file, name) in &files {
            let (from, to) = (file.clone(), aside.join(name));
            let (from, to) = if back { (to, from) } else { (from, to) };
            if from.exists() {
                std::fs::rename(from, to).unwrap();
            } else if to.exists() {
                std::fs::remove_file(to).unwrap();
            }
        }
    };
    std::fs::create_dir(&aside).unwrap();
    moved(false);
    for _ in 0..2 {
        let refused = started(&folder).unwrap_err();
        assert!(matches!(refused, Error::Key { .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains("has consent records of tenant `main`") && text.contains("backup"), "{text}");
    }
    moved(true);
    let privet = started(&folder).unwrap();
    old.say(&privet, "hello again");
    let contacts = block_on(privet.contacts(&Scope::default(), &PageRequest::first(9))).unwrap().contacts;
    assert!(contacts.is_empty(), "{contacts:?}");
}
