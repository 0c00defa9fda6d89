//! A primary and its standbys, in a temporary folder: for what happens between servers. Each ends when it is dropped.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Authority, MISSING, PASSWORD, fresh_name, is_root, programs, said, unprivileged};

/// What a server for a test needs, and what a standby may follow.
const SMALL: &str = "max_connections = 100\nshared_buffers = 32MB\nwal_level = replica\n";

/// A server of a test's own.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    root: bool,
    folder: PathBuf,
    port: u16,
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
fn text(e: std::io::Error) -> String {
    e.to_string()
}

impl Cluster {
    /// A primary that standbys may copy. None when there is no PostgreSQL on this machine, after saying so.
    ///
    /// # Panics
    /// When there is none and `CI` is `true`, or when it does not start.
    #[must_use]
    pub fn primary() -> Option<Self> {
        Self::started(|cluster| cluster.create(SMALL))
    }

    /// A primary with settings of one's own, as lines of `postgresql.conf`. It writes through to the disk, and listens on its
    /// socket alone.
    ///
    /// # Panics
    /// As [`primary`](Self::primary).
    #[must_use]
    pub fn primary_with(settings: &str) -> Option<Self> {
        Self::started(|cluster| cluster.create(settings))
    }

    /// A primary that is reached over TCP as well, by who has [`PASSWORD`] and encrypts: its certificate is for `localhost` and
    /// `127.0.0.1`, and it also listens on `127.0.0.2`. Its standbys are reached in the same way.
    ///
    /// # Panics
    /// As [`primary`](Self::primary).
    #[must_use]
    pub fn encrypted(authority: &Authority) -> Option<Self> {
        Self::started(|cluster| cluster.create_encrypted(authority))
    }

    #[allow(clippy::panic, clippy::print_stderr, reason = "this is how a test says what it lacks")]
    fn started(create: impl FnOnce(Self) -> Result<Self, String>) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{MISSING}");
            eprintln!("not run: {MISSING}");
            return None;
        };
        match Self::folder(programs).and_then(create) {
            Ok(cluster) => Some(cluster),
            Err(why) => panic!("a PostgreSQL for a test does not start: {why}"),
        }
    }

    /// A standby that streams from this one, which knows it as `name`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    #[allow(clippy::panic, reason = "this is how a test says that it cannot go on")]
    pub fn standby(&self, name: &str) -> Self {
        match Self::folder(self.programs.clone()).and_then(|standby| self.copy_to(standby, name)) {
            Ok(standby) => standby,
            Err(why) => panic!("a standby for a test does not start: {why}"),
        }
    }

    /// The URL of its database for a role that may do everything.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost:{}/postgres?host={}", self.port, self.folder.display())
    }

    /// Of an [`encrypted`](Self::encrypted) one, the URL of its database by TCP, at one of its hosts, for the same role.
    #[must_use]
    pub fn tcp_url(&self, host: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@{host}:{}/postgres", self.port)
    }

    /// Makes a standby a primary, and waits until it is one.
    ///
    /// # Panics
    /// When it does not become one.
    #[allow(clippy::panic, reason = "this is how a test says that it cannot go on")]
    pub fn promote(&self) {
        let promoted = self.control(&["-w", "promote"]).status();
        assert!(promoted.is_ok_and(|s| s.success()), "not promoted: see {}", self.log().display());
    }

    /// Kills the server's first process, which ends the others, as they notice.
    ///
    /// # Panics
    /// When it does not run.
    #[allow(clippy::expect_used, reason = "this is how a test says that it cannot go on")]
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.join("postmaster.pid")).expect("it runs");
        let pid = pid.lines().next().expect("a process").trim();
        let killed = Command::new("kill").args(["-9", pid]).status();
        assert!(killed.is_ok_and(|s| s.success()), "not killed");
    }

    /// Stops the server where it stands, as when its machine is cut off: it takes what it is sent, and says nothing any more. It
    /// stays so until it is dropped.
    ///
    /// # Panics
    /// When it does not run.
    #[allow(clippy::expect_used, reason = "this is how a test says that it cannot go on")]
    pub fn silence(&self) {
        // The first one before the others, so that it starts none meanwhile.
        assert!(self.signal("-STOP").expect("it runs"), "not stopped");
    }

    /// Sends a signal to the server's first process, and then to those that it started.
    fn signal(&self, signal: &str) -> Option<bool> {
        let pid = std::fs::read_to_string(self.folder.join("postmaster.pid")).ok()?;
        let pid = pid.lines().next()?.trim();
        let first = Command::new("kill").args([signal, pid]).status();
        let others = Command::new("pkill").args([signal, "-P", pid]).status();
        Some([first, others].into_iter().all(|s| s.is_ok_and(|s| s.success())))
    }

    /// Starts a server again that was killed. What is left of it may keep its folder for a moment: it is tried until that is
    /// gone.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        let from = Instant::now();
        let log = self.log().display().to_string();
        let mut start = self.control(&["-l", &log, "-w", "start"]);
        while !start.status().is_ok_and(|s| s.success()) {
            assert!(from.elapsed() < Duration::from_secs(30), "not started again: see {log}");
        }
    }

    fn folder(programs: PathBuf) -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(text)?.port();
        // A socket's path has to be short.
        let folder = std::env::temp_dir().join(format!("pg-{}", fresh_name()));
        std::fs::create_dir_all(&folder).map_err(text)?;
        // A server takes no folder that others may look into.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).map_err(text)?;
        let root = is_root();
        if root {
            said("chown", Command::new("chown").arg("postgres").arg(&folder).output())?;
        }
        Ok(Self { programs, root, folder, port })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = unprivileged(&self.programs.join(name), self.root);
        command.current_dir(std::env::temp_dir());
        command
    }

    fn control(&self, words: &[&str]) -> Command {
        let mut command = self.program("pg_ctl");
        command.arg("-D").arg(&self.folder).args(words);
        // It stays, and would keep open what is read to its end.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn init(&self, listen: &str, settings: &str) -> Result<(), String> {
        let mut initdb = self.program("initdb");
        initdb.args(["--username=postgres", "--encoding=UTF8", "--no-sync", "--auth=trust", "-D"]);
        said("initdb", initdb.arg(&self.folder).output())?;
        self.settings(&format!("listen_addresses = '{listen}'\n{settings}"))
    }

    fn create(self, settings: &str) -> Result<Self, String> {
        self.init("", settings)?;
        self.start()
    }

    fn create_encrypted(self, authority: &Authority) -> Result<Self, String> {
        self.init("localhost, 127.0.0.2", &format!("{SMALL}ssl = on\n"))?;
        let (certificate, key) = authority.certificate()?;
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = self.folder.join(name);
            std::fs::copy(from, &to).map_err(text)?;
            // A server takes no key that others may read.
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).map_err(text)?;
            if self.root {
                said("chown", Command::new("chown").arg("postgres").arg(&to).output())?;
            }
        }
        let hosts = "local all all trust\nlocal replication all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n";
        std::fs::write(self.folder.join("pg_hba.conf"), hosts).map_err(text)?;
        let cluster = self.start()?;
        let mut psql = cluster.program("psql");
        psql.args(["--quiet", "--dbname", &cluster.url(), "--command"]);
        said("psql", psql.arg(format!("ALTER ROLE postgres PASSWORD '{PASSWORD}'")).output())?;
        Ok(cluster)
    }

    fn copy_to(&self, standby: Self, name: &str) -> Result<Self, String> {
        let from = format!(
            "host={} port={} user=postgres application_name={name}",
            self.folder.display(),
            self.port
        );
        let mut copy = self.program("pg_basebackup");
        copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d"]).arg(from).arg("-D");
        said("pg_basebackup", copy.arg(&standby.folder).output())?;
        standby.settings("")?;
        standby.start()
    }

    fn settings(&self, more: &str) -> Result<(), String> {
        let own =
            format!("port = {}\nunix_socket_directories = '{}'\n{more}", self.port, self.folder.display());
        let file: &Path = &self.folder.join("postgresql.conf");
        let mut file = OpenOptions::new().append(true).open(file).map_err(text)?;
        file.write_all(own.as_bytes()).map_err(text)
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    fn start(self) -> Result<Self, String> {
        let log = self.log().display().to_string();
        let started = self.control(&["-l", &log, "-w", "start"]).status().map_err(text)?;
        if started.success() { Ok(self) } else { Err(std::fs::read_to_string(&log).unwrap_or(log)) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // One that was stopped hears nothing else.
        let _ = self.signal("-CONT");
        let _ = self.control(&["-m", "immediate", "-w", "stop"]).status();
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_file(self.log());
    }
}
