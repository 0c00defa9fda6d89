//! After the fact: what the files, the log and the recipient hold.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::routing::post;
use privet_tests::client::{Sending, Visitor};
use privet_tests::server::{Framework, Starting, contacts, files, folder};
use rstest::rstest;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");

/// What a recipient got: every byte of it.
#[derive(Clone, Default)]
struct Got(Arc<Mutex<Vec<u8>>>);

async fn receive(State(got): State<Got>, OriginalUri(uri): OriginalUri, headers: HeaderMap, body: Bytes) {
    let mut all = got.0.lock().unwrap();
    all.extend(uri.to_string().as_bytes());
    for (name, value) in &headers {
        all.extend(format!("\n{name}: ").as_bytes());
        all.extend(value.as_bytes());
    }
    all.extend(b"\n\n");
    all.extend(&body[..]);
    all.extend(b"\n----\n");
}

async fn recipient() -> (String, Got) {
    let got = Got::default();
    let app = Router::new().route("/tickets", post(receive)).with_state(got.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/tickets", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, got)
}

/// Every notation in which an address could stand somewhere.
fn notations(ip: IpAddr) -> Vec<Vec<u8>> {
    let mapped = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let segments = mapped.segments();
    let full = segments.map(|s| format!("{s:04x}")).join(":");
    let short = segments.map(|s| format!("{s:x}")).join(":");
    let hex: String = mapped.octets().iter().map(|b| format!("{b:02x}")).collect();
    let mut texts = vec![ip.to_string(), mapped.to_string(), full, short, hex.clone(), hex.to_uppercase()];
    let mut raw = vec![mapped.octets().to_vec()];
    if let IpAddr::V4(v4) = ip {
        let o = v4.octets();
        let number = u32::from(v4);
        let hex: String = o.iter().map(|b| format!("{b:02x}")).collect();
        texts.extend([
            number.to_string(),
            format!("0x{hex}"),
            format!("::ffff:{hex4}:{low}", hex4 = &hex[..4], low = &hex[4..]),
            o.map(|b| format!("{b:03}")).join("."),
            format!("{}.{}.{}.{}.in-addr.arpa", o[3], o[2], o[1], o[0]),
            o.map(|b| b.to_string()).join("-"),
            o.map(|b| b.to_string()).join("%2e"),
            o.map(|b| b.to_string()).join(", "),
        ]);
        raw.push([&[0xff, 0xff][..], &o].concat());
    } else {
        texts.push(segments[..4].iter().map(|s| format!("{s:x}")).collect::<Vec<_>>().join(":"));
    }
    raw.into_iter().chain(texts.into_iter().map(String::into_bytes)).collect()
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|w| w == needle)
}

/// IP-01, IP-03, IP-07, GEO-02: an hour of mixed traffic by the server's clock. No file below the data folder, not the
/// log and not the recipient holds an address that was used, in any notation.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ip_03_an_hour_of_traffic_leaves_no_address_anywhere(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let (support, got) = recipient().await;
    let server = Starting::new(PROGRAM, data.path())
        .on(framework)
        .env("PRIVET_TRUSTED_PROXIES", "127.0.0.9/32")
        .env("PRIVET_SUPPORT_URL", &support)
        .env("PRIVET_TEST_STEP_MS", "2200")
        .env("RUST_LOG", "trace")
        .running()
        .await;
    let addr = server.addr;
    // Addresses that occur nowhere by chance, of both families, through a proxy; and peers that come directly.
    let mut visitors: Vec<(IpAddr, Visitor)> = Vec::new();
    for n in 0..12u8 {
        let ip: IpAddr = if n % 3 == 2 {
            Ipv6Addr::new(0x2a0f, 0x5c4a, 0x9b7d, 0xe100 + u16::from(n), 0x1d2c, 0x3b4a, 0x5968, 0x7786)
                .into()
        } else {
            [193, 137, 201 + n, 173].into()
        };
        visitors.push((ip, Visitor::new(addr).behind_proxy([127, 0, 0, 9], &ip.to_string())));
    }
    for peer in [[127, 83, 149, 211], [127, 197, 61, 113]] {
        let visitor = Visitor { from: peer, ..Visitor::new(addr) };
        visitors.push((peer.into(), visitor));
    }
    let started = Visitor::new(addr).get("/privacy/consent").await;
    assert_eq!(started.status, 200);
    let articles =
        ["/", "/articles/roses", "/articles/cutting?ref=mail", "/nowhere", "/privacy", "/privacy/cookies.md"];
    let mut first = None;
    for round in 0..24usize {
        if round == 2 {
            first = contacts(addr).await.first().map(|c| c["created"].as_str().unwrap().to_owned());
        }
        for (n, (ip, visitor)) in visitors.iter_mut().enumerate() {
            assert_ne!(visitor.get(articles[(round + n) % articles.len()]).await.status, 500);
            match (round + n) % 8 {
                0 => drop(visitor.decide("accept_all", &[]).await),
                1 => drop(visitor.say("my order has not come", "live-support").await),
                2 => drop(visitor.say("when do I cut roses?", "ai-search").await),
                3 => drop(visitor.get("/chat/messages").await),
                4 => drop(visitor.decide("save", &["contacts"]).await),
                5 => drop(visitor.say("where is my plant?", "live-support").await),
                6 => drop(visitor.withdraw().await),
                _ => drop(visitor.decide("reject_all", &[]).await),
            }
            // Headers that a proxy of somebody else would add, and requests that are refused.
            let forged = Sending::get("/")
                .header("x-real-ip", ip.to_string())
                .header("forwarded", format!("for=\"{ip}\""))
                .header("true-client-ip", ip.to_string())
                .header("user-agent", "a browser");
            visitor.send(forged).await;
            let refused = Sending::new("POST", "/privacy/consent").header("x-client-ip", ip.to_string());
            assert_eq!(visitor.send(refused).await.status, 403);
            visitor.send(Sending::get("/").header("cookie", "x".repeat(40_000))).await;
        }
    }
    for (_, visitor) in visitors.iter_mut().take(4) {
        visitor.decide("accept_all", &[]).await;
        assert_eq!(visitor.say("the last word", "live-support").await.status, 200);
    }
    let listed = contacts(addr).await;
    assert!(listed.len() >= 4 && listed.iter().any(|c| c["country"] == "PT"), "{listed:?}");
    let last = listed.iter().map(|c| c["last_seen"].as_str().unwrap()).max().unwrap().to_owned();
    let first = first.unwrap();
    let running = files(data.path());
    let ended = server.stop().await;
    assert!(ended.status.success(), "{}", ended.said());

    let received = got.0.lock().unwrap().clone();
    assert!(
        holds(&received, b"the last word") && holds(&received, b"ph1."),
        "it was forwarded, with a pseudonym"
    );
    assert!(
        !holds(&received, b"a browser") && !holds(&received, b"privet="),
        "and nothing of the visitor's headers"
    );
    let mut places: Vec<_> =
        running.into_iter().chain(files(data.path())).map(|(p, b)| (p.display().to_string(), b)).collect();
    places.push(("standard output".into(), ended.out));
    places.push(("standard error".into(), ended.err));
    places.push(("the recipient".into(), received));
    assert!(places.len() > 10 && places.iter().map(|(_, b)| b.len()).sum::<usize>() > 200_000);
    for (ip, _) in &visitors {
        for notation in notations(*ip) {
            for (place, bytes) in &places {
                assert!(
                    !holds(bytes, &notation),
                    "{place} holds {ip} as `{}`",
                    String::from_utf8_lossy(&notation)
                );
            }
        }
    }
    // The clock of the server ran for most of an hour.
    let minutes = |t: &str| t[11..13].parse::<u32>().unwrap() * 60 + t[14..16].parse::<u32>().unwrap();
    let passed = (minutes(&last) + 1440 - minutes(&first)) % 1440;
    assert!((45..180).contains(&passed), "{first} to {last}");
}

/// SEC-01, ERA-02: the files hold no text of a visitor, and after an erasure no trace of the contact.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn sec_01_texts_are_sealed_and_erased_ones_leave_no_bytes(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let server = Starting::new(PROGRAM, data.path()).on(framework).running().await;
    let mut anna = Visitor::new(server.addr);
    anna.decide("accept_all", &[]).await;
    let secret = "my-cat-is-called-Xylophone-and-lives-at-number-seven";
    anna.say(secret, "live-support").await;
    let mut ben = Visitor::new(server.addr);
    ben.decide("accept_all", &[]).await;
    ben.say("somebody else entirely", "ai-search").await;
    let listed = contacts(server.addr).await;
    let id = listed[1]["id"].as_str().unwrap().to_owned();
    let raw = id.replace('-', "");
    let raw: Vec<u8> = (0..16).map(|n| u8::from_str_radix(&raw[2 * n..2 * n + 2], 16).unwrap()).collect();
    let there = |needle: &[u8]| {
        files(data.path()).into_iter().filter(|(_, b)| holds(b, needle)).map(|(p, _)| p).collect::<Vec<_>>()
    };
    for text in [secret.as_bytes(), b"somebody else entirely", b"/articles/roses"] {
        assert_eq!(there(text), [] as [std::path::PathBuf; 0], "a text stands in the clear");
    }
    assert!(!there(&raw).is_empty(), "the contact is there");
    let cookie = anna.cookies["__Host-privet-contact"].clone();
    assert!(there(cookie.as_bytes()).is_empty(), "no cookie is kept");
    assert_eq!(anna.withdraw().await.status, 303);
    assert_eq!(contacts(server.addr).await.len(), 1);
    assert_eq!(there(&raw), [] as [std::path::PathBuf; 0], "while the server runs");
    assert!(server.stop().await.status.success());
    assert_eq!(there(&raw), [] as [std::path::PathBuf; 0], "and after it ended");
    // The ledger tells that something was erased, and not what.
    let ledger = std::fs::read_to_string(data.path().join("ledger.jsonl")).unwrap();
    assert!(ledger.contains("\"cause\":\"withdrawal\"") && !ledger.contains(&id));
}

/// ERA-02, REC-05: after an erasure on request no file holds the id that the browser still has, nor the line of the
/// person's records, nor the salt that hid them; the records themselves are there, and the chain is whole.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn era_02_an_erased_person_is_cut_from_the_proof_in_the_files(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let server = Starting::new(PROGRAM, data.path()).on(framework).running().await;
    let mut anna = Visitor::new(server.addr);
    anna.decide("accept_all", &[]).await;
    anna.say("hello", "live-support").await;
    anna.decide("save", &["contacts", "analytics"]).await;
    let mut ben = Visitor::new(server.addr);
    ben.decide("accept_all", &[]).await;
    let names = || -> Vec<([u8; 16], [u8; 16], [u8; 16])> {
        let db = rusqlite::Connection::open(data.path().join("privet.db")).unwrap();
        let mut rows = db.prepare("SELECT id, subject, salt FROM consent_records ORDER BY seq").unwrap();
        let rows = rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let before = names();
    assert_eq!(before.len(), 3);
    let there = |needle: &[u8]| files(data.path()).iter().any(|(_, bytes)| holds(bytes, needle));
    for (id, subject, salt) in &before {
        assert!(there(id) && there(subject) && there(salt));
    }
    let id = contacts(server.addr).await[0]["id"].as_str().unwrap().to_owned();
    let erased = Sending::new("DELETE", &format!("/contacts/{id}"))
        .header("authorization", format!("Bearer {}", privet_tests::server::OPERATOR));
    assert!(erased.to(server.addr).await.status < 300);
    let receipt = anna.get("/privacy/receipt").await;
    assert_eq!(receipt.status, 404, "as for somebody of whom nothing is recorded");
    let gone = |when: &str| {
        for (id, subject, salt) in &before[..2] {
            assert!(!there(id) && !there(subject) && !there(salt), "{when}");
        }
        let (id, subject, salt) = &before[2];
        assert!(there(id) && there(subject) && there(salt), "{when}: another person's");
    };
    gone("while the server runs");
    assert!(server.stop().await.status.success());
    gone("after it ended");
    assert_eq!(names().len(), 4, "two grants, a revocation, and another person's grant");

    let storage = privet_sqlite::open(data.path()).await.unwrap();
    let catalogue = privet::Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let privet = privet::Privet::builder(catalogue).storage(storage).build().await.unwrap();
    let report = privet.verify_consent(&privet::Tenant::default()).await.unwrap();
    assert_eq!((report.records, report.severed, report.damage), (1, 3, None));
}

/// GATE-10: files are for their owner only.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = folder();
    let inside = data.path().join("chat-data");
    let server = Starting::new(PROGRAM, &inside).running().await;
    Visitor::new(server.addr).decide("accept_all", &[]).await;
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inside), 0o700);
    for (path, _) in files(&inside) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert!(server.stop().await.status.success());
}
