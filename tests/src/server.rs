//! The chat example as a process of its own, with its output kept.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::Sending;

pub const OPERATOR: &str = "an-operators-token-for-tests";
const PATIENCE: Duration = Duration::from_secs(30);

/// What an example is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    Axum,
    ActixWeb,
}

impl Framework {
    pub const VARIABLE: &str = "PRIVET_TEST_FRAMEWORK";

    pub const fn name(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::ActixWeb => "actix-web",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Axum, Self::ActixWeb].into_iter().find(|f| f.name() == name)
    }
}

#[derive(Debug)]
pub struct Server {
    pub addr: SocketAddr,
    /// What it printed before it listened.
    pub printed: String,
    child: Child,
    out: JoinHandle<Vec<u8>>,
    err: JoinHandle<Vec<u8>>,
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
}

impl Ended {
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A process that is to be started.
#[derive(Debug)]
pub struct Starting {
    command: Command,
}

impl Starting {
    /// `program` is the path that cargo gives as `CARGO_BIN_EXE_chat-under-test`. It runs on axum, if nothing else is
    /// said.
    pub fn new(program: &str, data: &Path) -> Self {
        Self::from(Command::new(program), data)
    }

    /// Behind another program, such as a shell that sets limits.
    pub fn from(mut command: Command, data: &Path) -> Self {
        command
            .env("PRIVET_ADDR", "127.0.0.1:0")
            .env("PRIVET_DATA", data)
            .env("PRIVET_OPERATOR_TOKEN", OPERATOR)
            .env(Framework::VARIABLE, Framework::Axum.name())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for name in ["PRIVET_COUNTRY_DB", "PRIVET_TRUSTED_PROXIES", "PRIVET_SUPPORT_URL"] {
            command.env_remove(name);
        }
        Self { command }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn on(self, framework: Framework) -> Self {
        self.env(Framework::VARIABLE, framework.name())
    }

    pub fn uid(mut self, uid: u32) -> Self {
        self.command.uid(uid).gid(uid);
        self
    }

    /// Starts it and waits until it listens, or ends.
    pub async fn start(mut self) -> Result<Server, Ended> {
        let mut child = self.command.spawn().expect("the program is there");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut err = child.stderr.take().expect("piped");
        let err = tokio::spawn(async move {
            let mut bytes = Vec::new();
            let _ = err.read_to_end(&mut bytes).await;
            bytes
        });
        let (found, listening) = oneshot::channel();
        let out = tokio::spawn(async move {
            let (mut bytes, mut found) = (Vec::new(), Some(found));
            loop {
                let from = bytes.len();
                match out.read_until(b'\n', &mut bytes).await {
                    Ok(0) | Err(_) => return bytes,
                    Ok(_) => {}
                }
                let line = String::from_utf8_lossy(&bytes[from..]);
                if let Some(addr) =
                    line.trim().strip_prefix("listening on http://").and_then(|a| a.parse().ok())
                    && let Some(found) = found.take()
                {
                    let _ = found.send((addr, String::from_utf8_lossy(&bytes).into_owned()));
                }
            }
        });
        match timeout(PATIENCE, listening).await.expect("it listens or ends in time") {
            Ok((addr, printed)) => Ok(Server { addr, printed, child, out, err }),
            Err(_) => {
                let status = child.wait().await.expect("it ended");
                Err(Ended { status, out: out.await.unwrap_or_default(), err: err.await.unwrap_or_default() })
            }
        }
    }

    pub async fn running(self) -> Server {
        match self.start().await {
            Ok(server) => server,
            Err(ended) => panic!("the server did not start: {}", ended.said()),
        }
    }
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends a signal by its name, such as `INT`, `HUP` or `KILL`.
    pub async fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().await;
        assert!(sent.is_ok_and(|s| s.success()), "kill -{name}");
    }

    /// Ctrl-C, and what is left behind.
    pub async fn stop(self) -> Ended {
        self.signal("INT").await;
        self.ended().await
    }

    /// SIGKILL: no chance to tidy up.
    pub async fn kill(self) -> Ended {
        self.signal("KILL").await;
        self.ended().await
    }

    pub async fn ended(mut self) -> Ended {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").expect("it ended");
        Ended { status, out: self.out.await.unwrap_or_default(), err: self.err.await.unwrap_or_default() }
    }

    /// The contact list, as an operator reads it.
    pub async fn contacts(&self) -> Vec<serde_json::Value> {
        contacts(self.addr).await
    }
}

pub async fn contacts(addr: SocketAddr) -> Vec<serde_json::Value> {
    let request = Sending::get("/contacts?limit=500")
        .header("authorization", format!("Bearer {OPERATOR}"))
        .header("accept", "application/json");
    request.to(addr).await.json()["contacts"].as_array().expect("a list").clone()
}

/// Every file below a folder with its bytes.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                all.push((path, bytes));
            }
        }
    }
    all
}
