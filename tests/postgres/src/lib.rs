//! A PostgreSQL of the tests' own, in a temporary folder, beside whatever runs on the machine. The first test that asks
//! starts it, all processes of a test run share it, and it ends by itself a while after the last of them.
//!
//! `PRIVET_TEST_POSTGRES_URL` names another server to use, with a database that is there for tests. What needs more of a server
//! than a URL, such as its roles and its socket, still uses our own ([`own_server`]).

mod authority;
mod cluster;
mod whole;

pub use authority::Authority;
pub use cluster::Cluster;
pub use whole::ORPHANS;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The password of every role of the tests' server, where it asks for one.
pub const PASSWORD: &str = "test-Pa55word";

/// A server that tests may use.
pub struct Server {
    url: String,
    /// The folder and the port, of one that is our own.
    own: Option<(PathBuf, u16)>,
    /// Held for as long as this process lives, so that the server does.
    _user: Option<File>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Server {
    /// The URL of a database for tests, for a role that may do everything.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same, for connections that the server is told this name of.
    #[must_use]
    pub fn named_url(&self, application: &str) -> String {
        let and = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{and}application_name={application}", self.url)
    }

    #[allow(clippy::print_stderr, reason = "this is how a test says what it lacks")]
    fn own(&self) -> Option<&(PathBuf, u16)> {
        if self.own.is_none() {
            assert!(!is_ci(), "{FOREIGN}");
            eprintln!("not run: {FOREIGN}");
        }
        self.own.as_ref()
    }

    /// Of our own server, the URL of the database over TCP for a role, which the server asks for [`PASSWORD`]. None, after
    /// saying so, of another one.
    ///
    /// # Panics
    /// When it is another one and `CI` is `true`.
    #[must_use]
    pub fn tcp_url(&self, role: &str) -> Option<String> {
        self.own().map(|(_, port)| format!("postgres://{role}:{PASSWORD}@127.0.0.1:{port}/postgres"))
    }

    /// Of our own server, the folder of its socket, and its port. None, after saying so, of another one.
    ///
    /// # Panics
    /// When it is another one and `CI` is `true`.
    #[must_use]
    pub fn socket(&self) -> Option<(&Path, u16)> {
        self.own().map(|(folder, port)| (folder.as_path(), *port))
    }
}

/// The server, which is started if it does not run. None when there is no PostgreSQL on this machine, after saying so.
///
/// # Panics
/// When there is none and `CI` is `true`, or when it does not start.
#[must_use]
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(find).as_ref()
}

/// Our own server, whichever other one is named for the other tests. None when there is no PostgreSQL on this machine, after
/// saying so.
///
/// # Panics
/// As [`server`].
#[must_use]
pub fn own_server() -> Option<&'static Server> {
    static OWN: OnceLock<Option<Server>> = OnceLock::new();
    match server() {
        Some(server) if server.own.is_none() => OWN.get_or_init(find_own).as_ref(),
        server => server,
    }
}

/// A name for a schema that nobody has.
#[must_use]
pub fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    format!("t{}_{}_{}", nanos, std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

const MISSING: &str = "PostgreSQL is not installed: run `apt-get install postgresql`, or, for the tests that are content with a \
     database, set PRIVET_TEST_POSTGRES_URL to the URL of one";

const FOREIGN: &str =
    "this takes a PostgreSQL of the tests' own, and PRIVET_TEST_POSTGRES_URL names another one";

fn is_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

fn find() -> Option<Server> {
    match std::env::var("PRIVET_TEST_POSTGRES_URL") {
        Ok(url) => Some(Server { url, own: None, _user: None }),
        Err(_) => find_own(),
    }
}

#[allow(clippy::panic, clippy::print_stderr, reason = "this is how a test says what it lacks")]
fn find_own() -> Option<Server> {
    let Some(programs) = programs() else {
        assert!(!is_ci(), "{MISSING}");
        eprintln!("not run: {MISSING}");
        return None;
    };
    match start(&programs) {
        Ok(server) => Some(server),
        Err(why) => panic!("the tests' PostgreSQL does not start: {why}"),
    }
}

/// The folder with the newest `initdb`.
fn programs() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = installed
        .filter_map(Result::ok)
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// PostgreSQL does not run as root: root hands it to the user of its package.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

fn unprivileged(program: &Path, root: bool) -> Command {
    if root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn said(what: &str, done: std::io::Result<Output>) -> Result<(), String> {
    match done {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(format!("{what}: {}", String::from_utf8_lossy(&out.stderr))),
        Err(e) => Err(format!("{what}: {e}")),
    }
}

fn open(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new().create(true).append(true).read(true).open(path);
    file.map_err(|e| format!("{}: {e}", path.display()))
}

fn start(programs: &Path) -> Result<Server, String> {
    let root = is_root();
    let user = std::env::var("USER").unwrap_or_else(|_| if root { "root" } else { "tests" }.to_owned());
    // A socket's path has to be short.
    let folder = std::env::temp_dir().join(format!("privet-pg-{user}"));
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let text = |e: std::io::Error| e.to_string();
    let user = open(&folder.join("users.lock"))?;
    // Waits while the keeper stops an older one.
    user.lock_shared().map_err(text)?;
    let starting = open(&folder.join("start.lock"))?;
    starting.lock().map_err(text)?;
    let cluster = folder.join("cluster");
    let mut status = unprivileged(&programs.join("pg_ctl"), root);
    let runs = status.arg("-D").arg(&cluster).arg("status").output().is_ok_and(|out| out.status.success());
    let port_file = folder.join("port");
    if !runs {
        let _ = std::fs::remove_dir_all(&cluster);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(text)?.port();
        std::fs::write(&port_file, port.to_string()).map_err(text)?;
        create(programs, root, &folder, &cluster, port)?;
        keeper(programs, root, &folder)?;
    }
    let port = std::fs::read_to_string(&port_file).map_err(text)?;
    let port: u16 = port.trim().parse().map_err(|_| "its port is not known".to_owned())?;
    let url = format!("postgres://postgres@localhost:{port}/postgres?host={}", cluster.display());
    Ok(Server { url, own: Some((cluster, port)), _user: Some(user) })
}

fn create(programs: &Path, root: bool, folder: &Path, cluster: &Path, port: u16) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    std::fs::create_dir_all(cluster).map_err(text)?;
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD).map_err(text)?;
    if root {
        let mut chown = Command::new("chown");
        said("chown", chown.arg("postgres").arg(cluster).arg(&password).output())?;
    }
    let mut initdb = unprivileged(&programs.join("initdb"), root);
    initdb
        .args([
            "--username=postgres",
            "--encoding=UTF8",
            "--no-sync",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
        ])
        .arg("--pwfile")
        .arg(&password)
        .arg("-D")
        .arg(cluster)
        .current_dir(folder);
    said("initdb", initdb.output())?;
    let settings = format!(
        "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nmax_connections = 400\n\
         fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nmax_locks_per_transaction = 512\n\
         shared_buffers = 128MB\nlog_min_messages = warning\n",
        cluster.display()
    );
    let mut conf = OpenOptions::new().append(true).open(cluster.join("postgresql.conf")).map_err(text)?;
    conf.write_all(settings.as_bytes()).map_err(text)?;
    let mut start = unprivileged(&programs.join("pg_ctl"), root);
    start
        .arg("-D")
        .arg(cluster)
        .arg("-l")
        .arg(cluster.join("server.log"))
        .args(["-w", "start"])
        .current_dir(folder)
        // It stays, and would keep open what is read to its end.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = start.status().map_err(text)?;
    if started.success() { Ok(()) } else { Err(format!("see {}/server.log", cluster.display())) }
}

/// A process that stops the server when no test uses it any more.
fn keeper(programs: &Path, root: bool, folder: &Path) -> Result<(), String> {
    let mut stop = unprivileged(&programs.join("pg_ctl"), root);
    stop.arg("-D").arg("cluster").args(["-m", "immediate", "stop"]);
    let words: Vec<_> = std::iter::once(stop.get_program()).chain(stop.get_args()).collect();
    let stop = words.join(std::ffi::OsStr::new(" "));
    let script = format!(
        "while sleep 20; do flock -n users.lock sh -c '{}; rm -rf cluster password' && exit; done",
        stop.display()
    );
    let mut keeper = Command::new("setsid");
    keeper
        .args(["sh", "-c", &script])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    keeper.spawn().map(drop).map_err(|e| format!("setsid: {e}"))
}

/// PgBouncer in transaction mode before our own server, for as long as this is held.
#[derive(Debug)]
pub struct Pooler {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Pooler {
    /// The URL of the database for tests, through the pooler.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts a pooler with so many connections to the server: fewer than its clients have, so that they change servers. None when
/// there is no PgBouncer or no PostgreSQL on this machine, after saying so.
///
/// # Panics
/// When there is none and `CI` is `true`, or when it does not start.
#[must_use]
pub fn pooler(servers: u32) -> Option<Pooler> {
    pooler_for("postgres", servers)
}

/// The same, whose connections to the server are this role's.
///
/// # Panics
/// As [`pooler`].
#[must_use]
#[allow(clippy::panic, clippy::print_stderr, reason = "this is how a test says what it lacks")]
pub fn pooler_for(role: &str, servers: u32) -> Option<Pooler> {
    let (cluster, port) = own_server()?.socket()?;
    let program =
        ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().map(Path::new).find(|p| p.exists());
    let Some(program) = program else {
        let missing = "PgBouncer is not installed: run `apt-get install pgbouncer`";
        assert!(!is_ci(), "{missing}");
        eprintln!("not run: {missing}");
        return None;
    };
    match start_pooler(program, role, servers, cluster, port) {
        Ok(pooler) => Some(pooler),
        Err(why) => panic!("the tests' PgBouncer does not start: {why}"),
    }
}

fn start_pooler(
    program: &Path,
    role: &str,
    servers: u32,
    cluster: &Path,
    server: u16,
) -> Result<Pooler, String> {
    let text = |e: std::io::Error| e.to_string();
    let folder = std::env::temp_dir().join(format!("privet-pgbouncer-{}", fresh_name()));
    std::fs::create_dir_all(&folder).map_err(text)?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(text)?.port();
    let settings = format!(
        "[databases]\npostgres = host={} port={server} user={role}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = {servers}\n",
        cluster.display()
    );
    let file = folder.join("pgbouncer.ini");
    std::fs::write(&file, settings).map_err(text)?;
    let root = is_root();
    let log = File::create(folder.join("log")).map_err(text)?;
    let mut command = if root {
        // It does not run as root either, and is to die with the process that is killed here.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let process = command.spawn().map_err(text)?;
    let pooler = Pooler { process, folder, port };
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(pooler);
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    let log = std::fs::read_to_string(pooler.folder.join("log")).unwrap_or_default();
    Err(format!("nobody listens; it said: {log}"))
}
