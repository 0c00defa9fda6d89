//! What recipients have to know is in the file with the record that it tells of, and is told by whoever comes next.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, abort};
use std::sync::{Arc, Barrier, Mutex};

use async_trait::async_trait;
use privet::conformance::block_on;
use privet::consent::{Answer, Provenance};
use privet::consent::{DeliveryProblem, DeliveryRequest, Method, RecipientChannel};
use privet::store::{Delivery, NotificationId};
use privet::visit::{RequestHead, ResponseHead, ResponseHeader, Sealing};
use privet::{Catalogue, Privet, Scope, Tenant, Visit};

/// So many recipients have to be told: more than are claimed at once.
const RECIPIENTS: usize = 100;

/// A request and a response, with cookies and nothing else.
#[derive(Debug, Default)]
struct Heads {
    cookies: String,
    set: Vec<(String, Vec<u8>)>,
}

impl RequestHead for Heads {
    fn peer(&self) -> Option<IpAddr> {
        None
    }
    fn method(&self) -> &'static str {
        "POST"
    }
    fn path(&self) -> &'static str {
        "/"
    }
    fn host(&self) -> Option<&str> {
        None
    }
    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8])) {
        if !self.cookies.is_empty() {
            each("cookie", self.cookies.as_bytes());
        }
    }
}

impl ResponseHead for Heads {
    fn status(&self) -> u16 {
        303
    }
    fn lines<'a>(&'a self, header: ResponseHeader, each: &mut dyn FnMut(&'a [u8])) {
        self.set.iter().filter(|(n, _)| n == header.name()).for_each(|(_, v)| each(v));
    }
    fn remove(&mut self, header: ResponseHeader) {
        self.set.retain(|(n, _)| n != header.name());
    }
    fn append(&mut self, header: ResponseHeader, line: Cow<'static, [u8]>) {
        self.set.push((header.name().to_owned(), line.into_owned()));
    }
}

/// A recipient that keeps what it got, and waits before its first answer until others have come as far.
#[derive(Clone, Debug, Default)]
struct Partner {
    got: Arc<Mutex<Vec<DeliveryRequest>>>,
    together: Arc<Mutex<Option<Arc<Barrier>>>>,
}

#[async_trait]
impl RecipientChannel for Partner {
    async fn deliver(&self, request: &DeliveryRequest) -> Result<(), DeliveryProblem> {
        let together = self.together.lock().unwrap().take();
        if let Some(together) = together {
            together.wait();
        }
        self.got.lock().unwrap().push(request.clone());
        Ok(())
    }
}

async fn installation(folder: &Path, partner: &Partner) -> Privet {
    use std::fmt::Write as _;
    let (mut recipients, mut ids) = (String::new(), Vec::new());
    for n in 0..RECIPIENTS {
        write!(
            recipients,
            "[[recipient]]\nid = \"r{n}\"\nname = \"R\"\ncountry = \"NL\"\npurpose = \"Sells places.\"\nwithdrawal_endpoint = \"https://r{n}.example/w\"\n"
        )
        .unwrap();
        ids.push(format!("\"r{n}\""));
    }
    let toml = format!(
        "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"\n[[category]]\nid = \"marketing\"\npurpose = \"Advertising.\"\n{recipients}[[service]]\nid = \"ads\"\nprovider = \"R\"\npurpose = \"Advertising.\"\nlegal_basis = \"consent\"\nrecipients = [{}]\ngate = {{ consent = \"marketing\" }}\n",
        ids.join(", ")
    );
    let storage = privet_sqlite::open(folder).await.unwrap();
    let builder = Privet::builder(Catalogue::from_toml(&toml).unwrap()).storage(storage);
    builder.recipient_channel(partner.clone()).build().await.unwrap()
}

fn seal(visit: &Visit, heads: &mut Heads) {
    assert_eq!(visit.seal(heads), Sealing::Sealed);
    let cookies: Vec<_> = heads
        .set
        .drain(..)
        .filter(|(n, _)| n == "set-cookie")
        .map(|(_, line)| {
            let line = String::from_utf8(line).unwrap();
            line.split_once(';').map_or(line.clone(), |(pair, _)| pair.to_owned())
        })
        .collect();
    heads.cookies = cookies.join("; ");
}

/// A visitor who agrees, and takes it back.
async fn grant_and_withdraw(privet: &Privet) {
    let mut heads = Heads::default();
    let by_form = Provenance::new(Method::Form, true);
    let visit = privet.visit(&heads).unwrap().0;
    let language = visit.catalogue().languages()[0].clone();
    let notice = visit.notice(&language).unwrap().clone();
    let token = visit.notice_token(&notice);
    privet.decide(&visit, &Answer::AcceptAll, &token, by_form).await.unwrap();
    seal(&visit, &mut heads);
    let visit = privet.visit(&heads).unwrap().0;
    assert!(!privet.withdraw(&visit, &BTreeSet::new(), &language, by_form).await.unwrap().pending);
}

/// The process of the next test, which ends as by a power cut once the withdrawal is acknowledged.
#[test]
#[ignore = "ends the process; the test after it runs it"]
fn a_process_that_ends_before_it_tells() {
    let folder = std::env::var_os("PRIVET_TEST_FOLDER").unwrap();
    block_on(async {
        let privet = installation(Path::new(&folder), &Partner::default()).await;
        grant_and_withdraw(&privet).await;
    });
    abort();
}

/// WDR-04: a process that ends between the record and the telling takes nothing with it; the next one tells.
#[test]
fn wdr_04_told_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "a_process_that_ends_before_it_tells", "--ignored", "--nocapture"]);
    let ended = process.env("PRIVET_TEST_FOLDER", folder.path()).output().unwrap();
    assert_eq!(ended.status.code(), None, "by a signal: {}", String::from_utf8_lossy(&ended.stdout));
    block_on(async {
        let partner = Partner::default();
        let privet = installation(folder.path(), &partner).await;
        assert_eq!(privet.deliver_notifications().await.unwrap().delivered, RECIPIENTS as u64);
        assert_eq!(privet.deliver_notifications().await.unwrap().delivered, 0);
        let told: BTreeSet<_> = partner.got.lock().unwrap().iter().map(|r| r.endpoint.clone()).collect();
        assert_eq!((told.len(), partner.got.lock().unwrap().len()), (RECIPIENTS, RECIPIENTS));
        let of_tenant = Tenant::default();
        let kept = privet.notifications(&of_tenant, None, 500).await.unwrap();
        assert!(kept.iter().all(|n| matches!(n.delivery, Delivery::Delivered { .. }) && n.attempts == 1));
        assert!(kept.iter().all(|n| n.scope == Scope::default()));
        // Page by page, each once.
        let (mut ids, mut after) = (BTreeSet::<NotificationId>::new(), None);
        loop {
            let page = privet.notifications(&of_tenant, after.as_ref(), 30).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.iter().all(|n| ids.insert(n.id)));
            after = Some(last.clone());
        }
        assert_eq!(ids.len(), RECIPIENTS);
    });
}

/// WDR-04: two that send at once, over one file, send each once.
#[test]
fn wdr_04_two_runners_send_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let partners = [Partner::default(), Partner::default()];
    let runners = partners.each_ref().map(|partner| block_on(installation(folder.path(), partner)));
    block_on(grant_and_withdraw(&runners[0]));
    // Nobody goes on before both are sending.
    let both = Arc::new(Barrier::new(2));
    partners.iter().for_each(|p| *p.together.lock().unwrap() = Some(both.clone()));
    let delivered = std::thread::scope(|threads| {
        let sending = runners
            .each_ref()
            .map(|r| threads.spawn(|| block_on(r.deliver_notifications()).unwrap().delivered));
        sending.map(|thread| thread.join().unwrap())
    });
    assert!(delivered.iter().all(|n| *n > 0), "{delivered:?}");
    assert_eq!(delivered.iter().sum::<u64>(), RECIPIENTS as u64);
    let mut sent = BTreeMap::<String, u32>::new();
    for partner in &partners {
        for request in partner.got.lock().unwrap().iter() {
            *sent.entry(request.endpoint.clone()).or_default() += 1;
        }
    }
    assert_eq!(sent.len(), RECIPIENTS);
    assert!(sent.values().all(|n| *n == 1), "{sent:?}");
}
