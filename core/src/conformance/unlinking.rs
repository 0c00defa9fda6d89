#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use std::time::Duration;

use super::fixture::{ANALYTICS, CONTACTS, Fixture, LIFE, at, everything, scope, start};
use crate::consent::{Act, ConsentRecord, Method};
use crate::contact::Removed;
use crate::retention::DataClass;
use crate::scope::Scope;
use crate::store::{Chained, KeptRecord, Store, record_digest};

/// Every link with the commitment of its record and whether it is cut from its person, after it was verified.
async fn chain(store: &dyn Store, scope: &Scope) -> Vec<([u8; 32], bool)> {
    let mut before = None;
    let mut all = Vec::new();
    for Chained { link, record } in store.chain(&scope.tenant, None, 100).await.unwrap() {
        assert_eq!(link.hash, link.hash_after(before.as_ref(), &scope.tenant));
        let (record, commitment, severed) = match record {
            KeptRecord::Whole(record, salt) => {
                let commitment = salt.commitment(record.id, record.subject);
                (record, commitment, false)
            }
            KeptRecord::Severed(record, commitment) => (record, commitment, true),
            KeptRecord::Gone | KeptRecord::Unreadable => unreachable!("it is there: {record:?}"),
        };
        assert_eq!((record_digest(&record, &commitment), record.until), (link.digest, link.until));
        all.push((commitment, severed));
        before = Some(link);
    }
    assert_eq!(store.unchained_records(&scope.tenant).await.unwrap(), 0);
    all
}

fn revocation(of: &ConsentRecord, seconds: u64) -> ConsentRecord {
    of.refusing(CONTACTS.bit(), Act::Revocation, Method::Server, at(seconds)).unwrap()
}

/// Rule 16: what the person held finds nothing any more, what is anchored stays true, and nobody else is touched.
pub async fn an_erasure_on_request_cuts_the_line(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    let (other, other_proof) = f.contact(2, start()).await;
    f.say(&f.by_contact(&contact, &proof), &f.message(1, 1, at(1))).await.unwrap();
    let renewed = f.append(f.record(&[CONTACTS, ANALYTICS], at(2)), Some(proof.record)).await;
    let revoked = f.append(revocation(&renewed, 3), Some(renewed.id)).await;
    let before = chain(store, &here).await;
    assert_eq!(before.iter().filter(|(_, severed)| *severed).count(), 0);

    let (removed, _) = f.erase_everything_marked(100).await;
    assert_eq!(removed, Removed { severed: 3, ..Removed::new(1, 1, 1, 0) });
    for id in [proof.record, renewed.id, revoked.id] {
        assert_eq!(store.record(&here, id).await.unwrap(), None);
        assert_eq!(store.latest_record(&here, id).await.unwrap(), None);
        assert_eq!(store.line(&here, id).await.unwrap(), []);
    }
    assert_eq!(store.line_head(&here, renewed.subject).await.unwrap(), None);
    assert!(!store.holds(&f.proof(&renewed, ANALYTICS), at(4)).await.unwrap());
    let after = chain(store, &here).await;
    let commitments = |chain: &[([u8; 32], bool)]| chain.iter().map(|(c, _)| *c).collect::<Vec<_>>();
    assert_eq!(commitments(&after), commitments(&before), "what stands for the person is the same");
    assert_eq!(after.iter().map(|(_, severed)| *severed).collect::<Vec<_>>(), [true, false, true, true]);
    assert!(store.holds(&other_proof, at(4)).await.unwrap(), "another person's line");
    assert!(store.contact(&here, other.id, &everything(at(4))).await.unwrap().is_some());

    // The device goes on with an id that is nobody's: its acts begin lines of their own, and give nothing back.
    let withdrawal = f.append(f.record(&[], at(5)), Some(renewed.id)).await;
    assert_ne!(withdrawal.subject, renewed.subject);
    let again = f.append(f.record(&[CONTACTS], at(6)), Some(renewed.id)).await;
    assert_eq!(store.line(&here, again.id).await.unwrap(), [again]);
    assert_eq!(chain(store, &here).await.len(), 6);

    // They end as any record does.
    let over = at(10) + LIFE + Duration::from_secs(1);
    let all = everything(over).with(DataClass::ConsentRecords, over);
    assert_eq!(store.purge_step(&here.tenant, DataClass::ConsentRecords, 100, &all, at(0)).await.unwrap(), 6);
    let left = store.chain(&here.tenant, None, 100).await.unwrap();
    assert!(left.iter().all(|c| matches!(c.record, KeptRecord::Gone)));
}

/// Rule 16: the cut goes in steps too, the last record goes with the contact, and what was decided anew after the
/// revocation stays with who decided it.
pub async fn a_cut_goes_in_bounded_steps(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (_, proof) = f.contact(1, start()).await;
    let mut latest = store.record(&here, proof.record).await.unwrap().unwrap();
    for n in 1..10 {
        latest = f.append(f.record(&[CONTACTS], at(n)), Some(latest.id)).await;
    }
    let revoked = f.append(revocation(&latest, 20), Some(latest.id)).await;
    let anew = f.append(f.record(&[CONTACTS, ANALYTICS], at(30)), Some(revoked.id)).await;
    let anew_proof = f.proof(&anew, CONTACTS);
    let second = store.open_contact(&anew_proof, &f.new_contact(2, &anew_proof, at(31))).await.unwrap();

    let marked = store.erasing(Some(&here.tenant), 10).await.unwrap();
    assert_eq!(marked.len(), 1);
    let first = store.erase_step(&marked, 4).await.unwrap();
    assert_eq!((first.done, first.removed), (0, Removed { severed: 4, ..Removed::default() }));
    assert_eq!(store.record(&here, proof.record).await.unwrap(), None);
    assert!(store.record(&here, revoked.id).await.unwrap().is_some(), "the revocation stands to the last");
    let (rest, _) = f.erase_everything_marked(1).await;
    assert_eq!(rest, Removed { severed: 7, ..Removed::new(1, 0, 0, 0) });
    assert_eq!(store.line(&here, anew.id).await.unwrap(), std::slice::from_ref(&anew));
    assert!(store.holds(&anew_proof, at(32)).await.unwrap());
    assert!(store.contact(&here, second.id, &everything(at(32))).await.unwrap().is_some());
    assert_eq!(chain(store, &here).await.iter().filter(|(_, severed)| *severed).count(), 11);
}

/// Rule 16: who withdraws keeps the proof, and so does the controller, for as long as it is kept (GDPR Art. 17(3)(e)).
pub async fn a_withdrawal_cuts_nothing(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (_, proof) = f.contact(1, start()).await;
    let withdrawal = f.append(f.record(&[], at(1)), Some(proof.record)).await;
    assert_eq!(f.erase_everything_marked(100).await.0, Removed::new(1, 0, 0, 0));
    assert_eq!(store.line(&here, proof.record).await.unwrap().len(), 2);
    assert_eq!(store.latest_record(&here, proof.record).await.unwrap(), Some(withdrawal));
    assert!(chain(store, &here).await.iter().all(|(_, severed)| !severed));
}
