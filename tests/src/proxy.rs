//! A real nginx in front of instances.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{server::folder, until};

const MISSING: &str = "nginx is not installed: run `apt-get install nginx`";

/// An nginx in the foreground, for as long as this is held.
#[derive(Debug)]
pub struct Nginx {
    pub addr: SocketAddr,
    _process: Child,
    folder: TempDir,
}

fn program() -> Option<&'static Path> {
    ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().map(Path::new).find(|p| p.exists())
}

impl Nginx {
    /// With these blocks of its `http` part, which listen on this port. None when there is no nginx on this machine, after
    /// saying so.
    ///
    /// # Panics
    /// When there is none and `CI` is `true`, or when it does not listen.
    #[allow(clippy::print_stderr, reason = "this is how a test says what it lacks")]
    pub async fn start(blocks: &str, port: u16) -> Option<Self> {
        let Some(program) = program() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{MISSING}");
            eprintln!("not run: {MISSING}");
            return None;
        };
        let folder = folder();
        let at = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {at}/{name};\n"))
            .concat();
        // One process, which ends with the test; and whom each request came to.
        let settings = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\nhttp {{\n{temporary}    \
             log_format whom $upstream_addr;\n    access_log {at}/access.log whom;\n{blocks}}}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings).expect("a file");
        let process = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program is there");
        let nginx = Self { addr: SocketAddr::from(([127, 0, 0, 1], port)), _process: process, folder };
        until("nginx listens", async || tokio::net::TcpStream::connect(nginx.addr).await.is_ok()).await;
        Some(nginx)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    /// The instances that requests came to, in their order.
    pub fn reached(&self) -> Vec<SocketAddr> {
        let log = std::fs::read_to_string(self.log()).expect("a log");
        log.lines().filter_map(|line| line.parse().ok()).collect()
    }
}
