//! Certificates for a server of the tests' own, made by `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{fresh_name, said};

/// The names that a server's certificate is for.
const NAMES: &str = "DNS:localhost, IP:127.0.0.1";

/// A certificate authority that nobody else trusts, in a temporary folder, which goes when this is dropped.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    root: PathBuf,
}

impl Authority {
    /// A new one. None when there is no `openssl` on this machine, after saying so.
    ///
    /// # Panics
    /// When there is none and `CI` is `true`, or when it makes no certificate.
    #[must_use]
    #[allow(clippy::panic, clippy::print_stderr, reason = "this is how a test says what it lacks")]
    pub fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            let missing = "openssl is not installed: run `apt-get install openssl`";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
            eprintln!("not run: {missing}");
            return None;
        }
        match Self::made() {
            Ok(authority) => Some(authority),
            Err(why) => panic!("a certificate authority for a test is not made: {why}"),
        }
    }

    /// The file with its own certificate, as `sslrootcert` takes it.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn made() -> Result<Self, String> {
        let name = fresh_name();
        let folder = std::env::temp_dir().join(format!("privet-ca-{name}"));
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let authority = Self { root: folder.join("root.crt"), folder };
        let settings = format!(
            "[req]\ndistinguished_name = name\nx509_extensions = root\nprompt = no\n[name]\nCN = {name}\n\
             [root]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
             [server]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth\nsubjectAltName = {NAMES}\n"
        );
        fs::write(authority.folder.join("settings"), settings).map_err(|e| e.to_string())?;
        authority.openssl(
            "req -x509 -config settings -newkey rsa:2048 -nodes -days 2 -keyout root.key -out root.crt",
        )?;
        Ok(authority)
    }

    /// A certificate for `localhost` and `127.0.0.1`, and its key.
    pub(crate) fn certificate(&self) -> Result<(PathBuf, PathBuf), String> {
        self.openssl("req -config settings -newkey rsa:2048 -nodes -keyout server.key -out server.csr")?;
        self.openssl(
            "x509 -req -in server.csr -CA root.crt -CAkey root.key -CAcreateserial -days 2 -extfile settings -extensions server -out server.crt",
        )?;
        Ok((self.folder.join("server.crt"), self.folder.join("server.key")))
    }

    fn openssl(&self, words: &str) -> Result<(), String> {
        let mut command = Command::new("openssl");
        said("openssl", command.args(words.split(' ')).current_dir(&self.folder).output())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
