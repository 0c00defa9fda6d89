//! People who use a site of many instances, and what they were told is done.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use privet::consent::{CountKind, RecordId};
use privet::contact::ContactId;
use privet::store::{ContactStore as _, Horizon, SubjectDigest};
use privet::{Clock as _, Scope, Storage, SystemClock};
use privet_tests::client::{Response, Sending, Visitor};
use privet_tests::server::{OPERATOR, Server};
use privet_tests::until;
use tokio::task::JoinHandle;

/// Messages of one of them, as many as a visitor is shown: others would not be looked at.
const MOST: usize = 200;
/// So many chats of a visit are looked at again.
const CHATS: usize = 20;

/// Where an instance is now, and which process it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    addr: SocketAddr,
    pid: u32,
}

impl Place {
    fn of(server: &Server) -> Self {
        Self { addr: server.addr, pid: server.pid() }
    }
}

/// What one of them does all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Agrees and writes.
    Stays,
    /// And withdraws now and then.
    Withdraws,
    /// And has an operator erase them now and then.
    IsErased,
    /// Refuses, and writes all the same, as somebody new each time.
    Refuses,
}

/// What a visitor was told is done.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) sent: BTreeSet<String>,
    /// Withdrawn, and nothing said since.
    pub(crate) withdrawn: bool,
    /// The record of each grant; none of somebody whose records are cut from them by and by.
    pub(crate) grants: BTreeSet<RecordId>,
    /// What ended with each withdrawal, and with each erasure.
    pub(crate) withdrawals: Vec<Held>,
    pub(crate) erasures: Vec<Held>,
    /// Chats of visits, with what was said there.
    pub(crate) chats: Vec<(Visitor, String)>,
    pub(crate) counted: Vec<Counted>,
}

/// The contact that somebody was recognised as, and the record it stood on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) contact: ContactId,
    pub(crate) subject: SubjectDigest,
    pub(crate) record: RecordId,
}

/// Something that leaves no record but counts, and the process that was to count it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) kind: CountKind,
    pub(crate) pid: u32,
    pub(crate) acknowledged: bool,
}

/// The instances, and people who are at it.
#[derive(Debug)]
pub(crate) struct Town {
    places: Vec<RwLock<Place>>,
    enough: AtomicBool,
    /// What was acknowledged, by anybody to anybody.
    acts: AtomicUsize,
    /// Where the test itself looks things up.
    storage: Storage,
}

pub(crate) type People = Vec<JoinHandle<(Visitor, Told)>>;

impl Town {
    /// So many of those who agree, and a sixth on top who refuse.
    pub(crate) fn with_people(servers: &[Server], storage: Storage, count: u8) -> (Arc<Self>, People) {
        let places = servers.iter().map(|server| RwLock::new(Place::of(server))).collect();
        let town = Self { places, enough: AtomicBool::new(false), acts: AtomicUsize::new(0), storage };
        let town = Arc::new(town);
        let people = (0..count + count / 6).map(|n| {
            let habit = match n % 3 {
                _ if n >= count => Habit::Refuses,
                0 => Habit::Withdraws,
                1 => Habit::IsErased,
                _ => Habit::Stays,
            };
            tokio::spawn(town.clone().live(n, habit))
        });
        (town.clone(), people.collect())
    }

    fn place(&self, n: usize) -> Place {
        *self.places[n % self.places.len()].read().unwrap()
    }

    /// Another process is at a place from now on.
    pub(crate) fn moves(&self, n: usize, to: &Server) {
        *self.places[n].write().unwrap() = Place::of(to);
    }

    /// Until so many further acts are acknowledged, however slow the machine is, as long as there are some all the time.
    pub(crate) async fn goes_on(&self, acts: usize) {
        let before = self.acts.load(Ordering::Relaxed);
        for more in (0..=acts).step_by(10) {
            until("there is load", async || self.acts.load(Ordering::Relaxed) >= before + more).await;
        }
    }

    /// Everybody ends what they are at, and tells.
    pub(crate) async fn ends(&self, people: People) -> Vec<(Visitor, Told)> {
        self.enough.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for one in people {
            all.push(one.await.unwrap());
        }
        all
    }

    fn is_done(&self, answer: std::io::Result<Response>, wanted: u16) -> bool {
        let done = answer.is_ok_and(|answer| answer.status == wanted);
        self.acts.fetch_add(usize::from(done), Ordering::Relaxed);
        done
    }

    async fn live(self: Arc<Self>, n: u8, habit: Habit) -> (Visitor, Told) {
        let mut visitor = Visitor { from: [127, 0, 2, n], ..Visitor::new(self.place(0).addr) };
        let (mut told, mut round, mut granted) = (Told::default(), 0, false);
        while !self.enough.load(Ordering::Relaxed) {
            round += 1;
            let place = self.place(usize::from(n) + round);
            visitor.addr = place.addr;
            let time_for_it = round.is_multiple_of(5);
            match habit {
                Habit::Refuses => self.refuse(&visitor, place, &format!("{n}-{round}"), &mut told).await,
                _ if !granted => granted = self.agree(&mut visitor, habit, &mut told).await,
                Habit::IsErased if time_for_it => self.be_erased(&mut visitor, &mut told).await,
                Habit::Withdraws if time_for_it => {
                    self.withdraw(&mut visitor, &mut told).await;
                    granted = !told.withdrawn;
                }
                _ if told.sent.len() >= MOST => {
                    let _ = visitor.try_send(Sending::get("/privacy/consent")).await;
                }
                _ => granted &= self.write(&mut visitor, format!("{n}-{round}"), &mut told).await,
            }
        }
        (visitor, told)
    }

    /// The token of a form; none while nobody answers.
    async fn token(visitor: &mut Visitor) -> Option<String> {
        let state = visitor.try_send(Sending::get("/privacy/consent")).await.ok()?;
        (state.status == 200).then(|| state.json()["notice"].as_str().unwrap().to_owned())
    }

    /// Whether it was acknowledged.
    async fn agree(&self, visitor: &mut Visitor, habit: Habit, told: &mut Told) -> bool {
        let Some(token) = Self::token(visitor).await else { return false };
        let form = format!("action=accept_all&notice={token}");
        let answer = visitor.try_send(Sending::form("/privacy/consent", form)).await;
        let granted = self.is_done(answer, 303);
        if granted && habit != Habit::IsErased {
            told.grants.extend(visitor.record());
        }
        granted
    }

    /// Whether the visitor is still recognised after it.
    async fn write(&self, visitor: &mut Visitor, text: String, told: &mut Told) -> bool {
        let body = serde_json::json!({ "text": text, "channel": "ai-search" });
        let answer = visitor.try_send(Sending::json("/chat/messages", &body)).await;
        if !self.is_done(answer, 200) {
            return true;
        }
        // What a withdrawal without an answer ended goes on in a chat of the visit.
        let granted = visitor.cookies.contains_key("__Host-privet-contact");
        if granted {
            told.sent.insert(text);
            told.withdrawn = false;
        }
        granted
    }

    /// What is held of the visitor now; none while nobody answers, and of somebody who has said nothing yet.
    async fn held(&self, visitor: &mut Visitor) -> Option<Held> {
        let me =
            visitor.try_send(Sending::get("/privacy/me")).await.ok().filter(|me| me.status == 200)?.json();
        let contact: ContactId = me["contact"]["id"].as_str()?.parse().unwrap();
        let id = me["consent"].as_array()?.last()?["id"].as_str()?.to_owned();
        let bytes: Vec<_> =
            (0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()).collect();
        let (scope, horizon) = (Scope::default(), Horizon::unlimited(SystemClock.now()));
        let there = self.storage.store.contact(&scope, contact, &horizon).await.ok()??;
        let record = RecordId::from_bytes(bytes.try_into().unwrap());
        Some(Held { contact, subject: there.subject, record })
    }

    async fn withdraw(&self, visitor: &mut Visitor, told: &mut Told) {
        let held = self.held(visitor).await;
        let answer = visitor.try_send(Sending::form("/privacy/withdraw", "")).await;
        // Without an answer it may have happened or not: nothing said before can be counted on.
        told.sent.clear();
        told.withdrawn = self.is_done(answer, 303);
        told.withdrawals.extend(held.filter(|_| told.withdrawn));
    }

    /// An operator erases the visitor, at the instance where the visitor is.
    async fn be_erased(&self, visitor: &mut Visitor, told: &mut Told) {
        let Some(held) = self.held(visitor).await else { return };
        told.sent.clear();
        let erase = Sending::new("DELETE", &format!("/contacts/{}", held.contact))
            .header("authorization", format!("Bearer {OPERATOR}"));
        if self.is_done(erase.try_to(visitor.addr).await, 200) {
            told.erasures.push(held);
        }
    }

    /// Somebody new is asked, refuses, and writes all the same.
    async fn refuse(&self, at: &Visitor, place: Place, text: &str, told: &mut Told) {
        let mut visitor = Visitor { from: at.from, ..Visitor::new(place.addr) };
        let mut count =
            |kind, acknowledged| told.counted.push(Counted { kind, pid: place.pid, acknowledged });
        let shown = visitor.try_send(Sending::get("/")).await;
        count(CountKind::BannerShown, shown.is_ok_and(|page| page.status == 200));
        let Some(token) = Self::token(&mut visitor).await else { return };
        let form = format!("action=reject_all&notice={token}");
        let answer = visitor.try_send(Sending::form("/privacy/consent", form)).await;
        let refused = self.is_done(answer, 303);
        count(CountKind::Refusal, refused);
        let body = serde_json::json!({ "text": text, "channel": "ai-search" });
        let answer = visitor.try_send(Sending::json("/chat/messages", &body)).await;
        if self.is_done(answer, 200) {
            if told.chats.len() == CHATS {
                told.chats.remove(0);
            }
            told.chats.push((visitor, text.to_owned()));
        }
    }
}
