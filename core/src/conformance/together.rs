#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;

use super::fixture::{ANALYTICS, CONTACTS, Dice, Fixture, at, digest, everything, scope, start};
use crate::consent::{Act, ConsentRecord, Method};
use crate::contact::{Contact, ContactId, ConversationId, FenceEpoch, MessageId, Owner, Sealed};
use crate::error::{Error, Result};
use crate::scope::Scope;
use crate::store::{
    Adoption, ConsentProof, ContactQuery, ContactTouch, KeptRecord, MessageToStore, NewRecord, OwnerProof,
    Resealed, Store, StoredMessage, SubjectDigest, record_digest,
};

/// What a task knows of a device: its record, and its contact.
type Device = (ConsentRecord, Option<Contact>);

/// Few subjects, for many tasks.
struct Crowd<'s> {
    store: &'s dyn Store,
    scope: &'s Scope,
    devices: Mutex<Vec<Device>>,
    ids: AtomicU32,
    said: Mutex<Vec<StoredMessage>>,
    adopted: Mutex<BTreeSet<ConversationId>>,
}

const DEVICES: usize = 3;
const VISITS: u8 = 3;
const TASKS: u64 = 64;
const UNITS: u32 = 12;

impl Crowd<'_> {
    fn f(&self) -> Fixture<'_> {
        Fixture::new(self.store, self.scope)
    }

    fn fresh(&self) -> [u8; 16] {
        let mut id = [0xee; 16];
        id[..4].copy_from_slice(&self.ids.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        id
    }

    fn device(&self, n: usize) -> (Device, ConsentProof) {
        let device = self.devices.lock().unwrap()[n].clone();
        let proof = self.f().proof(&device.0, CONTACTS);
        (device, proof)
    }

    /// A message of a device or a visit, into the conversation that runs, or a new one.
    async fn say(&self, owner: &OwnerProof, whose: Owner) {
        let now = everything(at(100));
        let running = self.store.running_conversation(self.scope, whose, start(), &now).await.unwrap();
        let id = running.as_ref().map_or_else(|| ConversationId::from_bytes(self.fresh()), |c| c.id);
        let message = MessageToStore {
            conversation: id,
            opens: running.is_none(),
            id: MessageId::from_bytes(self.fresh()),
            ..self.f().message(1, 1, at(100))
        };
        let (first, again) = (
            self.store.record_message(self.scope, owner, &message, start(), &now),
            self.store.record_message(self.scope, owner, &message, start(), &now),
        );
        // As if the answer had been lost and the visitor had sent it again, at once.
        for stored in join_all([first, again]).await {
            self.said.lock().unwrap().extend(taken(stored));
        }
    }

    async fn append(&self, n: usize, granted: bool) {
        let ((record, _), _) = self.device(n);
        let mut new = self.f().record(if granted { &[CONTACTS, ANALYTICS] } else { &[ANALYTICS] }, at(100));
        new.act = if granted { Act::Grant } else { Act::Withdrawal };
        let new = NewRecord::new(new, Some(record.id));
        let until = at(400 * 86_400);
        // The same record twice at once is one.
        let both = (0..2).map(|_| self.store.append_record(&new, CONTACTS, until));
        for appended in join_all(both).await {
            let record = appended.unwrap().record;
            let device = &mut self.devices.lock().unwrap()[n];
            if record.subject != device.0.subject {
                // A line of its own, since the one before was cut: its contact is another one.
                device.1 = None;
            }
            device.0 = record;
        }
    }

    async fn open(&self, n: usize) {
        let ((record, _), proof) = self.device(n);
        let id = ContactId::from_bytes(self.fresh());
        let subject = SubjectDigest::from_bytes(*id.as_bytes());
        let contact = Contact::opened(id, FenceEpoch::FIRST, subject, at(50), proof.record, at(50));
        if let Some(opened) = taken(self.store.open_contact(&proof, &contact).await) {
            let device = &mut self.devices.lock().unwrap()[n];
            if device.0.subject == record.subject {
                device.1 = Some(opened);
            }
        }
    }

    async fn adopt(&self, n: usize, visit: u8) {
        let ((_, contact), proof) = self.device(n);
        let (Some(contact), now) = (contact, everything(at(100))) else { return };
        let from = Owner::Session(digest(visit));
        let Some(running) = self.store.running_conversation(self.scope, from, start(), &now).await.unwrap()
        else {
            return;
        };
        let messages = self.store.messages(self.scope, running.id, 0, 1_000, &now).await.unwrap();
        let texts = messages.iter().map(|m| Resealed {
            number: m.number,
            body: Sealed::from_bytes(vec![9]),
            page: None,
        });
        let adoption = Adoption {
            contact: contact.id,
            epoch: contact.epoch,
            subject: contact.subject,
            from,
            conversation: running.id,
            texts: texts.collect(),
            at: at(100),
            proof,
        };
        if taken(self.store.adopt_conversation(&adoption, &now).await).is_some() {
            self.adopted.lock().unwrap().insert(running.id);
        }
    }

    async fn erase(&self, step: u32) {
        let marked = self.store.erasing(Some(&self.scope.tenant), 5).await.unwrap();
        self.store.erase_step(&marked, step).await.unwrap();
    }

    async fn unit(&self, dice: &mut Dice) {
        let n = usize::try_from(dice.roll(DEVICES as u64)).unwrap();
        let visit = u8::try_from(dice.roll(VISITS.into())).unwrap() + 1;
        let ((record, contact), proof) = self.device(n);
        match (dice.roll(24), contact) {
            (0..=6, Some(contact)) => {
                self.say(&self.f().by_contact(&contact, &proof), Owner::Contact(contact.id)).await;
            }
            (7..=10, _) => self.say(&self.f().by_session(visit, visit), Owner::Session(digest(visit))).await,
            (11..=12, Some(contact)) => {
                let touch = |seconds| ContactTouch {
                    scope: self.scope.clone(),
                    id: contact.id,
                    epoch: contact.epoch,
                    at: at(seconds),
                    gone_before: start(),
                };
                let seconds = 100 + dice.roll(100);
                self.store.touch_contacts(&[touch(seconds), touch(seconds + 1)]).await.unwrap();
            }
            (13..=14, _) => self.append(n, true).await,
            (15, _) => self.append(n, false).await,
            (16, _) => {
                let latest = self.store.latest_record(self.scope, record.id).await.unwrap();
                let revocation =
                    latest.map(|l| l.refusing(CONTACTS.bit(), Act::Revocation, Method::Server, at(100)));
                if let Some(revocation) = revocation {
                    let new = NewRecord::new(revocation.unwrap(), Some(record.id));
                    let until = at(400 * 86_400);
                    self.store.append_record(&new, CONTACTS, until).await.unwrap();
                }
            }
            (17..=18, _) => self.erase(1 + u32::try_from(dice.roll(9)).unwrap()).await,
            (19, Some(contact)) => {
                let now = everything(at(100));
                let owner = Owner::Contact(contact.id);
                let running =
                    self.store.running_conversation(self.scope, owner, start(), &now).await.unwrap();
                if let Some(running) = running {
                    self.store.begin_conversation_erasure(self.scope, running.id).await.unwrap();
                }
            }
            (20, Some(contact)) => {
                let now = everything(at(100));
                let owner = Owner::Contact(contact.id);
                for found in self.store.conversations(self.scope, owner, 2, &now).await.unwrap() {
                    let answer = MessageToStore {
                        conversation: found.id,
                        opens: false,
                        id: MessageId::from_bytes(self.fresh()),
                        ..self.f().message(1, 1, at(100))
                    };
                    let answered = taken(self.store.answer(self.scope, &answer, &now).await);
                    self.said.lock().unwrap().extend(answered);
                }
            }
            (21, _) => self.adopt(n, visit).await,
            _ => {
                assert_eq!(proof.record, record.id);
                self.open(n).await;
            }
        }
    }

    /// What is there afterwards is what some order of the units, one after the other, leaves.
    async fn check(&self) {
        let (store, now) = (self.store, everything(at(300)));
        self.f().erase_everything_marked(7).await;
        let contacts = store.contacts(self.scope, &ContactQuery::first(500), &now).await.unwrap();
        let mut lines = BTreeSet::new();
        for listed in &contacts {
            let contact = store.contact(self.scope, listed.id, &now).await.unwrap().unwrap();
            let latest = store.latest_record(self.scope, contact.consent).await.unwrap().unwrap();
            assert!(latest.grants(CONTACTS, at(300)), "nobody stands on a consent that was withdrawn");
            assert!(lines.insert(latest.subject), "a line has one contact");
        }
        let mut kept = BTreeMap::new();
        let visits = (1..=VISITS).map(|n| Owner::Session(digest(n)));
        for owner in contacts.iter().map(|c| Owner::Contact(c.id)).chain(visits) {
            let conversations = store.conversations(self.scope, owner, 1_000, &now).await.unwrap();
            // Of those that it opened itself.
            let adopted = self.adopted.lock().unwrap().clone();
            let own = conversations.iter().filter(|c| !adopted.contains(&c.id)).count();
            assert!(own <= 1, "one runs at a time");
            if let Owner::Contact(id) = owner {
                let counted = contacts.iter().find(|c| c.id == id).map(|c| c.conversations as usize);
                assert_eq!(counted, Some(conversations.len()), "the counter is a recount");
            }
            for c in conversations {
                let messages = store.messages(self.scope, c.id, 0, 10_000, &now).await.unwrap();
                let numbers: Vec<_> = messages.iter().map(|m| m.number).collect();
                assert_eq!(numbers, (1..=c.messages).collect::<Vec<_>>(), "each has a number of its own");
                let ids: BTreeSet<_> = messages.iter().map(|m| *m.id.as_bytes()).collect();
                assert_eq!(ids.len(), messages.len(), "none is there twice");
                kept.insert(c.id, messages);
            }
        }
        for said in self.said.lock().unwrap().iter() {
            if let Some(messages) = kept.get(&said.conversation) {
                let there = messages.iter().any(|m| (m.number, m.id) == (said.number, said.id));
                assert!(there, "what was acknowledged is there");
            }
        }
        self.check_chain().await;
    }

    async fn check_chain(&self) {
        let mut before = None;
        for (n, chained) in (1..).zip(self.store.chain(&self.scope.tenant, None, 10_000).await.unwrap()) {
            let link = chained.link;
            assert_eq!((link.seq, link.hash), (n, link.hash_after(before.as_ref(), &self.scope.tenant)));
            let digest = match chained.record {
                KeptRecord::Whole(record, salt) => salt.digest(&record),
                KeptRecord::Severed(record, commitment) => record_digest(&record, &commitment),
                other => unreachable!("nothing was purged: {other:?}"),
            };
            assert_eq!(digest, link.digest);
            before = Some(link);
        }
        assert_eq!(self.store.unchained_records(&self.scope.tenant).await.unwrap(), 0);
        let heads = self.store.chain_heads().await.unwrap();
        assert!(heads.iter().any(|(t, link)| *t == self.scope.tenant && Some(*link) == before));
    }
}

/// What a unit answers when it was taken; none when the rules said no.
fn taken<T>(answered: Result<T>) -> Option<T> {
    match answered {
        Ok(value) => Some(value),
        Err(
            Error::NotGranted { .. }
            | Error::Fenced
            | Error::Blocked
            | Error::NotFound { .. }
            | Error::Conflict { .. },
        ) => None,
        Err(error) => unreachable!("who meets others is told no, and nothing else: {error}"),
    }
}

/// Many units about few subjects at once, each atomic: writing, deciding, adopting, erasing.
pub async fn units_at_once_are_one_after_the_other(store: &dyn Store) {
    let scopes = [scope("a", "x"), scope("b", "x")];
    let mut crowds = Vec::new();
    for scope in &scopes {
        let crowd = Crowd {
            store,
            scope,
            devices: Mutex::default(),
            ids: AtomicU32::new(0),
            said: Mutex::default(),
            adopted: Mutex::default(),
        };
        for _ in 0..DEVICES {
            let (record, _) = crowd.f().granted().await;
            crowd.devices.lock().unwrap().push((record, None));
        }
        crowds.push(crowd);
    }
    let tasks = (1..=TASKS).map(|seed| {
        let crowd = &crowds[usize::from(seed % 4 == 0)];
        async move {
            let mut dice = Dice::new(seed);
            for _ in 0..UNITS {
                crowd.unit(&mut dice).await;
            }
        }
    });
    join_all(tasks).await;
    for crowd in &crowds {
        crowd.check().await;
    }
}

/// Many who decide and write at the same moment, as a store that lets them share a commit meets them: each gets its own answer,
/// and a "no" to one is nobody else's.
pub async fn many_at_once_each_get_their_own_answer(store: &dyn Store) {
    const MANY: u8 = 90;
    let scope = scope("a", "x");
    let f = Fixture::new(store, &scope);
    let now = everything(at(100));
    let grants: Vec<_> = (0..MANY).map(|_| f.record(&[CONTACTS], start())).collect();
    let appended = join_all(grants.iter().map(|grant| f.append(grant.clone(), None))).await;
    assert_eq!(appended, grants);
    let opened = join_all((0..MANY).map(|n| {
        let proof = f.proof(&grants[usize::from(n)], CONTACTS);
        async move {
            let contact = store.open_contact(&proof, &f.new_contact(n, &proof, start())).await.unwrap();
            (contact, proof)
        }
    }))
    .await;
    // Every third withdraws, every third is blocked.
    let withdrawals = (0..MANY)
        .step_by(3)
        .map(|n| f.append_counting(f.record(&[], at(50)), Some(grants[usize::from(n)].id)));
    for (n, (withdrawn, erasing)) in (0..MANY).step_by(3).zip(join_all(withdrawals).await) {
        assert_eq!(
            (withdrawn.subject, erasing),
            (grants[usize::from(n)].subject, 1),
            "each marks its own contact"
        );
    }
    let blocked = opened.iter().skip(1).step_by(3);
    join_all(blocked.map(|(contact, _)| store.set_blocked(&scope, contact.id, true, &now))).await;
    // Each writes twice at once; the second one may meet a conversation that is not there yet, and is sent again.
    let said = |n: u8, id: u8| {
        let (contact, proof) = &opened[usize::from(n)];
        let owner = f.by_contact(contact, proof);
        async move {
            loop {
                let message = f.message(n, id, at(60));
                let since = start();
                match store.record_message(f.scope, &owner, &message, since, &everything(at(60))).await {
                    Err(Error::Conflict { .. }) => {}
                    answered => return answered,
                }
            }
        }
    };
    let answers = join_all((0..MANY).flat_map(|n| [said(n, 1), said(n, 2)])).await;
    for (n, both) in (0..MANY).zip(answers.chunks(2)) {
        match (n % 3, both) {
            (0, [Err(Error::NotGranted { .. }), Err(Error::NotGranted { .. })])
            | (1, [Err(Error::Blocked), Err(Error::Blocked)]) => {}
            (2, [Ok(first), Ok(second)]) => {
                assert_eq!([first.id, second.id].map(|id| id.as_bytes()[0]), [1, 2]);
                assert_eq!(BTreeSet::from([first.number, second.number]), BTreeSet::from([1, 2]));
                assert_eq!(first.conversation, ConversationId::from_bytes([n; 16]));
                assert_eq!(f.counter(ContactId::from_bytes([n; 16]), at(100)).await, Some(1));
            }
            (_, other) => unreachable!("contact {n} was answered {other:?}"),
        }
    }
    // One conversation, many messages at once: each has a number of its own.
    let (contact, proof) = &opened[2];
    let owner = f.by_contact(contact, proof);
    let more = join_all((10..10 + MANY).map(|id| {
        let (owner, message) = (owner.clone(), f.message(2, id, at(70)));
        async move { f.say(&owner, &message).await.unwrap().number }
    }))
    .await;
    assert_eq!(more.into_iter().collect::<BTreeSet<_>>(), (3..3 + u32::from(MANY)).collect());
    // A visit opens one conversation, however many of its messages come at once.
    let visit = f.by_session(1, 120);
    let opening = join_all((0..20).map(|n| {
        let (owner, message) = (visit.clone(), f.message(120 + n % 2, n, at(80)));
        async move { f.say(&owner, &message).await }
    }))
    .await;
    let kept: BTreeSet<_> = opening.into_iter().filter_map(taken).map(|m| m.conversation).collect();
    assert_eq!(kept.len(), 1);
    let crowd = Crowd {
        store,
        scope: &scope,
        devices: Mutex::default(),
        ids: AtomicU32::new(0),
        said: Mutex::default(),
        adopted: Mutex::default(),
    };
    crowd.check_chain().await;
}
