//! What goes wrong for real: a process that is killed, a disk that is full, a folder that cannot be written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use privet_tests::client::{Sending, Visitor};
use privet_tests::server::{Framework, Server, Starting, contacts, folder};
use privet_tests::until;
use rstest::rstest;
use tokio::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");

fn integrity(file: &Path) -> String {
    let db = rusqlite::Connection::open(file).unwrap();
    db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

/// What one visitor was told is done.
#[derive(Debug, Default)]
struct Acknowledged {
    granted: bool,
    said: Vec<String>,
    withdrawn: bool,
}

/// P8: SIGKILL in the middle of load; everything that was acknowledged is there, the files open and are whole.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_to_sigkill(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let mut visitors: Vec<(Visitor, Acknowledged)> = Vec::new();
    let mut grants = 0;
    for round in 0..3u8 {
        let server = Starting::new(PROGRAM, data.path()).on(framework).running().await;
        let addr = server.addr;
        let acts = Arc::new(AtomicU64::new(0));
        let running: Vec<_> = (0..24u8)
            .map(|n| {
                let acts = acts.clone();
                tokio::spawn(async move {
                    let mut visitor = Visitor::new(addr);
                    let mut acknowledged = Acknowledged::default();
                    let _ = one_visitor(&mut visitor, &mut acknowledged, n, round, &acts).await;
                    (visitor, acknowledged)
                })
            })
            .collect();
        // In the middle: some hundred acts are done, and as many are under way.
        until("there is load", async || acts.load(Ordering::Relaxed) > 300).await;
        server.kill().await;
        for visitor in running {
            visitors.push(visitor.await.unwrap());
        }
        assert_eq!(integrity(&data.path().join("privet.db")), "ok", "round {round}");
        assert_eq!(integrity(&data.path().join("keys.db")), "ok", "round {round}");

        let server = Starting::new(PROGRAM, data.path()).on(framework).running().await;
        let mut expected_contacts = 0;
        for (visitor, acknowledged) in &mut visitors {
            visitor.addr = server.addr;
            if acknowledged.withdrawn {
                assert!(!visitor.cookies.contains_key("__Host-privet-contact"));
                continue;
            }
            expected_contacts += usize::from(acknowledged.granted && !acknowledged.said.is_empty());
            let read = visitor.get("/chat/messages").await.json();
            let read: Vec<_> =
                read["messages"].as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap()).collect();
            for said in &acknowledged.said {
                assert!(
                    read.contains(&said.as_str()),
                    "round {round}: `{said}` was acknowledged and is gone; there is {read:?}"
                );
            }
        }
        let there = contacts(server.addr).await;
        assert!(there.len() >= expected_contacts, "round {round}: {} of {expected_contacts}", there.len());
        assert!(there.iter().all(|c| c["conversations"] == 1), "round {round}: a counter is off: {there:?}");
        assert!(server.stop().await.status.success());
        grants = visitors.iter().filter(|(_, a)| a.granted).count();
        let db = rusqlite::Connection::open(data.path().join("privet.db")).unwrap();
        let records: u32 =
            db.query_row("SELECT count(*) FROM consent_records WHERE act = 1", [], |r| r.get(0)).unwrap();
        assert!(
            records as usize >= grants,
            "round {round}: {records} records of {grants} acknowledged grants"
        );
        let orphans: u32 = db
            .query_row("SELECT count(*) FROM messages m WHERE NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = m.conversation)", [], |r| r.get(0))
            .unwrap();
        assert_eq!(orphans, 0, "round {round}");
    }
    assert!(grants > 20, "there was load: {grants}");
}

async fn one_visitor(
    visitor: &mut Visitor,
    acknowledged: &mut Acknowledged,
    n: u8,
    round: u8,
    acts: &AtomicU64,
) -> std::io::Result<()> {
    let state = visitor.try_send(Sending::get("/privacy/consent")).await?;
    let token = state.json()["notice"].as_str().unwrap().to_owned();
    let granted = visitor
        .try_send(Sending::form("/privacy/consent", format!("action=accept_all&notice={token}")))
        .await?;
    acknowledged.granted = granted.status == 303;
    acts.fetch_add(1, Ordering::Relaxed);
    for m in 0..2000 {
        let text = format!("round {round} visitor {n} message {m}");
        let body = serde_json::json!({ "text": text, "channel": "live-support", "page": "/" });
        let said = visitor.try_send(Sending::json("/chat/messages", &body)).await?;
        if said.status == 200 {
            acknowledged.said.push(text);
        }
        acts.fetch_add(1, Ordering::Relaxed);
        if n.is_multiple_of(6) && m == 5 {
            let withdrawn = visitor.try_send(Sending::form("/privacy/withdraw", "")).await?;
            acknowledged.withdrawn = withdrawn.status == 303;
            return Ok(());
        }
    }
    Ok(())
}

/// A disk that can be filled without harm to others.
enum SmallDisk {
    /// A few megabytes that only the server has mounted, seen through its process.
    Mounted(PathBuf),
    /// Where nothing may be mounted, as in many containers: no file of this process may grow. SQLite cannot write
    /// then, either.
    Limited(PathBuf, u32),
}

async fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().await.is_ok_and(|o| o.status.success())
}

impl SmallDisk {
    async fn start(folder: &Path) -> (Server, Self) {
        let data = folder.join("data");
        let try_mount = "mount -t tmpfs -o size=6m,mode=700 tmpfs /tmp";
        for namespaces in ["-rm", "-m"] {
            if !works("unshare", &[namespaces, "sh", "-c", try_mount]).await {
                continue;
            }
            let mut command = Command::new("unshare");
            command
                .arg(namespaces)
                .args(["sh", "-c", "mount -t tmpfs -o size=6m,mode=700 tmpfs \"$1\" && exec \"$2\"", "sh"])
                .arg(folder)
                .arg(PROGRAM);
            let server = Starting::from(command, &data).running().await;
            let seen = PathBuf::from(format!("/proc/{}/root{}", server.pid(), folder.display()));
            return (server, Self::Mounted(seen));
        }
        let mut command = Command::new("sh");
        // The limit is to be an error of the write, not the end of the process.
        command.args(["-c", "trap '' XFSZ; exec \"$1\"", "sh", PROGRAM]);
        let server = Starting::from(command, &data).running().await;
        let pid = server.pid();
        (server, Self::Limited(folder.to_owned(), pid))
    }

    /// Where the data are.
    fn data(&self) -> PathBuf {
        match self {
            Self::Mounted(folder) | Self::Limited(folder, _) => folder.join("data"),
        }
    }

    async fn fill(&self) {
        match self {
            Self::Mounted(folder) => {
                let mut ballast = std::fs::File::create(folder.join("ballast")).unwrap();
                let block = [0x5a; 4096];
                while ballast.write_all(&block).is_ok() {}
                // To the last byte.
                while ballast.write_all(&[0x5a]).is_ok() {}
            }
            Self::Limited(_, pid) => limit(*pid, "1").await,
        }
    }

    async fn make_room(&self) {
        match self {
            Self::Mounted(folder) => std::fs::remove_file(folder.join("ballast")).unwrap(),
            Self::Limited(_, pid) => limit(*pid, "unlimited").await,
        }
    }
}

async fn limit(pid: u32, bytes: &str) {
    let limited = works("prlimit", &["--pid", &pid.to_string(), &format!("--fsize={bytes}:")]).await;
    assert!(limited, "`prlimit` is of util-linux");
}

/// A full disk: a grant is refused and acknowledges nothing; a withdrawal takes effect on the device, says that it is
/// pending, and is recorded once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_grants_and_keeps_withdrawals() {
    let mount = folder();
    let (server, disk) = SmallDisk::start(mount.path()).await;
    let mut anna = Visitor::new(server.addr);
    assert_eq!(anna.decide("accept_all", &[]).await.status, 303);
    assert_eq!(anna.say("hello", "ai-search").await.status, 200);
    assert_eq!(contacts(server.addr).await.len(), 1);

    disk.fill().await;
    let mut ben = Visitor::new(server.addr);
    let refused = ben.decide("accept_all", &[]).await;
    assert_eq!(refused.status, 503);
    assert!(refused.cookies().is_empty(), "nothing is acknowledged");
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert!(!refused.text().to_lowercase().contains("sqlite"), "nothing of the inside: {}", refused.text());
    assert_eq!(ben.state().await["decided"], false);
    assert_eq!(ben.say("hello", "ai-search").await.status, 503, "a message is not acknowledged, either");
    // A refusal needs no disk.
    let mut carla = Visitor::new(server.addr);
    assert_eq!(carla.decide("reject_all", &[]).await.status, 303);
    assert_eq!(carla.state().await["decided"], true);

    let withdrawn = anna.withdraw().await;
    assert_eq!((withdrawn.status, withdrawn.header("location")), (303, Some("/privacy")));
    assert!(!anna.cookies.contains_key("__Host-privet-contact"));
    let state = anna.state().await;
    assert_eq!((&state["pending"], &state["categories"]["contacts"]), (&true.into(), &"refused".into()));
    assert!(anna.get("/privacy").await.text().contains("could not be recorded yet"));

    disk.make_room().await;
    until("the withdrawal is recorded and the contact gone", async || contacts(server.addr).await.is_empty())
        .await;
    until("the device is told", async || anna.state().await["pending"].is_null()).await;
    let state = anna.state().await;
    assert_eq!(state["categories"]["contacts"], "refused");
    assert_eq!(anna.cookies["__Host-privet"], carla.cookies["__Host-privet"], "no identifier is left");
    assert_eq!(ben.decide("accept_all", &[]).await.status, 303);
    assert_eq!(ben.say("hello", "ai-search").await.status, 200);
    assert_eq!(contacts(server.addr).await.len(), 1);
    assert!(server.stop().await.status.success());
}

/// The device carries a pending withdrawal over a restart of the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_pending_withdrawal_survives_the_server() {
    let mount = folder();
    let (server, disk) = SmallDisk::start(mount.path()).await;
    let mut anna = Visitor::new(server.addr);
    anna.decide("accept_all", &[]).await;
    anna.say("hello", "ai-search").await;
    disk.fill().await;
    assert_eq!(anna.withdraw().await.status, 303);
    // What is on the small disk is copied off it before its mount goes with the process.
    let copied = folder();
    let seen = disk.data();
    server.signal("STOP").await;
    for entry in std::fs::read_dir(seen).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copied.path().join(entry.file_name())).unwrap();
    }
    server.kill().await;
    let server = Starting::new(PROGRAM, copied.path()).running().await;
    assert_eq!(contacts(server.addr).await.len(), 1, "the server knows nothing of it");
    anna.addr = server.addr;
    assert_eq!(anna.get("/").await.status, 200);
    until("it is recorded", async || contacts(server.addr).await.is_empty()).await;
    until("the device is told", async || anna.state().await["pending"].is_null()).await;
    assert!(server.stop().await.status.success());
}

/// A folder that cannot be written, and one that is no folder: an error that names it, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_cannot_be_written_is_said_at_the_start() {
    let data = folder();
    let file = data.path().join("a-file");
    std::fs::write(&file, "not a folder").unwrap();
    let ended = Starting::new(PROGRAM, &file).start().await.unwrap_err();
    assert!(!ended.status.success());
    assert!(ended.said().contains("a-file") && ended.said().contains("check the path"), "{}", ended.said());

    let locked = data.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    // For root no folder is read-only, so a user who is nobody tries.
    let nobody = 65_534;
    std::fs::set_permissions(data.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let starting = if root {
        // Somewhere that nobody may look into.
        let program = data.path().join("program");
        std::fs::copy(PROGRAM, &program).unwrap();
        Starting::new(program.to_str().unwrap(), &locked).uid(nobody)
    } else {
        Starting::new(PROGRAM, &locked)
    };
    let ended = starting.start().await.unwrap_err();
    assert!(!ended.status.success());
    assert!(
        ended.said().contains("privet.db") && ended.said().contains("this user may write there"),
        "{}",
        ended.said()
    );
    assert!(std::fs::read_dir(&locked).unwrap().next().is_none());
}

/// Rule 11: another key than the database's is refused, and nothing is changed.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_than_the_databases_is_refused() {
    let data = folder();
    let server = Starting::new(PROGRAM, data.path()).running().await;
    let mut anna = Visitor::new(server.addr);
    anna.decide("accept_all", &[]).await;
    anna.say("hello", "ai-search").await;
    assert!(server.stop().await.status.success());
    let key = data.path().join("privet.key");
    let own = std::fs::read(&key).unwrap();
    std::fs::write(&key, "7be2d95c0a6f4e1389b7c2d4e6f80913a5b7c9dbedf0e2143658799aabbccdd1\n").unwrap();
    let ended = Starting::new(PROGRAM, data.path()).start().await.unwrap_err();
    assert!(!ended.status.success());
    assert!(
        ended.said().contains("another installation key") && ended.said().contains("second"),
        "{}",
        ended.said()
    );
    // A rotation: the new key first, the old one below.
    let mut both = b"7be2d95c0a6f4e1389b7c2d4e6f80913a5b7c9dbedf0e2143658799aabbccdd1\n".to_vec();
    both.extend(&own);
    for (keys, works) in [(&b"not a key\n"[..], false), (&both, true)] {
        std::fs::write(&key, keys).unwrap();
        match Starting::new(PROGRAM, data.path()).start().await {
            Ok(server) => {
                assert!(works);
                anna.addr = server.addr;
                let read = anna.get("/chat/messages").await.json();
                assert_eq!(read["messages"][0]["text"], "hello", "cookies and texts of before still open");
                assert!(server.stop().await.status.success());
            }
            Err(ended) => {
                assert!(!works && ended.said().contains("64 hexadecimal digits"), "{}", ended.said());
            }
        }
    }
}

/// Files that are damaged or somebody else's are refused by name, and left as they are.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_none_are_refused() {
    for name in ["privet.db", "keys.db", "ledger.jsonl"] {
        let data = folder();
        let garbage =
            b"this is no such file, however long it is looked at; it is only some text\n".repeat(80);
        std::fs::write(data.path().join(name), &garbage).unwrap();
        let ended = Starting::new(PROGRAM, data.path()).start().await.unwrap_err();
        assert!(!ended.status.success(), "{name}");
        assert!(ended.said().contains(name) && ended.said().contains("backup"), "{name}: {}", ended.said());
        assert_eq!(std::fs::read(data.path().join(name)).unwrap(), garbage, "{name} is left as it is");
    }
}

/// A stop under load: what was noted is written, open connections end, the program says that it stopped.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_flushes_touches_and_ends_cleanly(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let server =
        Starting::new(PROGRAM, data.path()).on(framework).env("PRIVET_TEST_STEP_MS", "2000").running().await;
    let mut anna = Visitor::new(server.addr);
    anna.decide("accept_all", &[]).await;
    anna.say("hello", "ai-search").await;
    let before = contacts(server.addr).await[0]["last_seen"].as_str().unwrap().to_owned();
    // Some minutes of page views by the fast clock, faster than the flush that runs every few seconds.
    for _ in 0..60 {
        anna.get("/articles/roses").await;
    }
    let busy = Arc::new(AtomicBool::new(true));
    let load = {
        let (busy, addr) = (busy.clone(), server.addr);
        tokio::spawn(async move {
            while busy.load(Ordering::Relaxed) {
                let _ = Sending::get("/").try_to(addr).await;
            }
        })
    };
    let ended = server.stop().await;
    busy.store(false, Ordering::Relaxed);
    load.await.unwrap();
    assert!(ended.status.success(), "{}", ended.said());
    assert!(String::from_utf8_lossy(&ended.out).ends_with("stopped\n"));
    let server = Starting::new(PROGRAM, data.path()).on(framework).running().await;
    let after = contacts(server.addr).await[0]["last_seen"].as_str().unwrap().to_owned();
    assert!(after > before, "{after} is not after {before}");
    assert!(server.stop().await.status.success());
}
