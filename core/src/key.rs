//! The installation's secret and what is derived from it: [`KeyRing`].
//!
//! One 32-byte secret per installation. Every purpose gets its own key by HKDF-SHA256 (RFC 5869), so that a
//! key that leaks from one use says nothing about another. Nothing here prints or serialises.

use std::fmt;
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{Error, Result};

const SECRET_LEN: usize = 32;

/// Length in bytes of every authentication tag that privet writes.
pub(crate) const TAG_LEN: usize = 16;

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret([u8; SECRET_LEN]);

impl Secret {
    pub(crate) fn new(bytes: [u8; SECRET_LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }

    /// HKDF-SHA256 with a purpose and its parameters as `info`; every part is length-prefixed, so that no two
    /// lists of parts meet.
    pub(crate) fn derive(&self, purpose: &str, parts: &[&[u8]]) -> Self {
        let mut info = Zeroizing::new(Vec::with_capacity(64));
        info.extend_from_slice(b"privet/v1");
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            info.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            info.extend_from_slice(part);
        }
        let mut out = [0; SECRET_LEN];
        // 32 bytes are far below HKDF's limit of 255 blocks, the only error there is.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(&info, &mut out);
        let secret = Self(out);
        out.zeroize();
        secret
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The current secret of an installation, and the one before it while a rotation runs.
///
/// What is written uses the current secret; what is read may also be under the previous one.
///
/// ```
/// use privet::KeyRing;
///
/// let keys = KeyRing::from_hex("9f1c0e6a5b7d48e2a3c4f5061728394a5b6c7d8e9fa0b1c2d3e4f50617283945")?;
/// assert_eq!(format!("{keys:?}"), "KeyRing(..)");
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    current: Secret,
    previous: Option<Secret>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing(..)")
    }
}

fn key_error(what: impl Into<String>, cure: impl Into<String>) -> Error {
    Error::Key { what: what.into(), cure: cure.into(), source: None }
}

fn io_error(what: String, cure: &str, source: std::io::Error) -> Error {
    Error::Key { what, cure: cure.to_owned(), source: Some(Box::new(source)) }
}

impl KeyRing {
    /// Draws a new secret.
    ///
    /// # Errors
    /// [`Error::Key`] when the operating system gives no randomness.
    pub fn generate() -> Result<Self> {
        Ok(Self { current: Secret(random_bytes()?), previous: None })
    }

    /// Takes 32 secret bytes.
    ///
    /// # Errors
    /// [`Error::Key`] when the bytes are no secret: all the same, or counted up as in an example.
    pub fn from_bytes(bytes: [u8; SECRET_LEN]) -> Result<Self> {
        let step = bytes[1].wrapping_sub(bytes[0]);
        if bytes.windows(2).all(|w| w[1].wrapping_sub(w[0]) == step) {
            return Err(key_error(
                "the key is a pattern, not a secret",
                "draw 32 random bytes, for instance with `openssl rand -hex 32`",
            ));
        }
        Ok(Self { current: Secret(bytes), previous: None })
    }

    /// Takes 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Key`] when it is not 64 hexadecimal digits, or no secret.
    pub fn from_hex(hex: &str) -> Result<Self> {
        let bytes = Zeroizing::new(HEXLOWER_PERMISSIVE.decode(hex.trim().as_bytes()).unwrap_or_default());
        let bytes: [u8; SECRET_LEN] = bytes.as_slice().try_into().map_err(|_| {
            key_error(
                "the key is not 64 hexadecimal digits",
                "write 32 bytes as hex, as `openssl rand -hex 32` does",
            )
        })?;
        Self::from_bytes(bytes)
    }

    /// Reads a key file: the current key as a line of 64 hexadecimal digits, the previous one, if any, as a
    /// second line.
    ///
    /// # Errors
    /// [`Error::Key`] when the file cannot be read, is open to others than its owner, or holds no key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        check_private(path)?;
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| {
            io_error(
                format!("key file {} cannot be read", path.display()),
                "check that it exists and that this user may read it",
                e,
            )
        })?);
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        let current = Self::from_hex(lines.next().unwrap_or(""))?;
        match lines.next() {
            None => Ok(current),
            Some(hex) => Ok(current.with_previous(&Self::from_hex(hex)?)),
        }
    }

    /// Reads a key file, or draws a key and creates the file, readable by its owner only. Of several processes that start at
    /// once one draws the key, and the others read it.
    ///
    /// # Errors
    /// As [`KeyRing::from_file`], or when the file cannot be created.
    pub fn from_file_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.exists() {
            return Self::from_file(path);
        }
        let fresh = Self::generate()?;
        // Whole when it gets its name: whoever sees the file sees the key.
        let draft =
            path.with_extension(format!("{}.draft", HEXLOWER_PERMISSIVE.encode(&random_bytes::<8>()?)));
        let placed = fresh.write_to(&draft).and_then(|()| std::fs::hard_link(&draft, path));
        let _ = std::fs::remove_file(&draft);
        match placed {
            Ok(()) => Ok(fresh),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Self::from_file(path),
            Err(e) => Err(io_error(
                format!("key file {} cannot be created", path.display()),
                "check that the folder exists, that this user may write there, and that the disk has room",
                e,
            )),
        }
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        use std::io::Write as _;
        let mut file = create_private(path)?;
        let mut line = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(self.current.as_bytes()));
        line.push('\n');
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all())
    }

    /// The same current secret, with another ring's current one accepted for reading.
    #[must_use]
    pub fn with_previous(mut self, previous: &Self) -> Self {
        self.previous = Some(previous.current.clone());
        self
    }

    /// Names the current key without telling anything about it. A store remembers it and refuses another.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.current)
    }

    /// The fingerprint of the key before this one, while a rotation runs.
    #[must_use]
    pub fn previous_fingerprint(&self) -> Option<Fingerprint> {
        self.previous.as_ref().map(fingerprint)
    }

    pub(crate) fn mac(&self, purpose: &str, parts: &[&[u8]]) -> Mac {
        let key = |s: &Secret| prepared(s.derive(purpose, parts).as_bytes());
        Mac { current: key(&self.current), previous: self.previous.as_ref().map(key) }
    }

    pub(crate) fn derive(&self, purpose: &str, parts: &[&[u8]]) -> Derived {
        let key = |s: &Secret| s.derive(purpose, parts);
        Derived { current: key(&self.current), previous: self.previous.as_ref().map(key) }
    }
}

/// A derived secret under the current key and, while a rotation runs, under the previous one.
pub(crate) struct Derived {
    pub(crate) current: Secret,
    pub(crate) previous: Option<Secret>,
}

/// The name of a key: 8 bytes that are derived from it and do not lead back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// What a store keeps in the place of a key's name while an installation is being moved into it: no app starts on half
    /// of one. It is the name of no key, but for a chance of 1 in 2⁶⁴.
    pub const MOVING: Self = Self(*b"(moving)");
    /// The same of a store that an installation was moved out of: no app goes on with what is left there.
    pub const MOVED: Self = Self(*b"(moved!)");

    /// The bytes, as a store keeps them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// A fingerprint that a store kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

fn fingerprint(secret: &Secret) -> Fingerprint {
    let mut out = [0; 8];
    out.copy_from_slice(&secret.derive("fingerprint", &[]).as_bytes()[..8]);
    Fingerprint(out)
}

/// HMAC-SHA256 with its key schedule prepared once: a tag over at most 55 bytes costs two compressions.
#[derive(Clone)]
pub(crate) struct Mac {
    current: Hmac<Sha256>,
    previous: Option<Hmac<Sha256>>,
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

fn prepared(key: &[u8; SECRET_LEN]) -> Hmac<Sha256> {
    // HMAC fills a key up to a block with zeros (RFC 2104), which is the form that cannot fail.
    let mut block = Zeroizing::new([0; 64]);
    block[..SECRET_LEN].copy_from_slice(key);
    Hmac::new((&*block).into())
}

impl Mac {
    pub(crate) fn from_key(key: &Secret) -> Self {
        Self { current: prepared(key.as_bytes()), previous: None }
    }

    /// The first 16 bytes of the tag over the parts, which the caller keeps unambiguous.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut mac = self.current.clone();
        for part in parts {
            mac.update(part);
        }
        let full = mac.finalize().into_bytes();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }

    /// Constant-time check under the current key, then under the previous one.
    pub(crate) fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        tag.len() == TAG_LEN
            && [Some(&self.current), self.previous.as_ref()].into_iter().flatten().any(|key| {
                let mut mac = key.clone();
                mac.update(message);
                mac.verify_truncated_left(tag).is_ok()
            })
    }
}

/// Fresh bytes from the operating system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        key_error(
            format!("the operating system gives no randomness ({e})"),
            "check the sandbox that this process runs in",
        )
    })?;
    Ok(bytes)
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::metadata(path) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => Err(key_error(
            format!("key file {} can be read by others than its owner", path.display()),
            format!("run `chmod 600 {}`", path.display()),
        )),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(byte: u8) -> KeyRing {
        let mut bytes = [byte; 32];
        bytes[7] ^= 0x5a;
        KeyRing::from_bytes(bytes).unwrap()
    }

    #[test]
    fn whoever_starts_at_once_has_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("privet.key");
        let rings: Vec<_> = std::thread::scope(|threads| {
            let start = |_| threads.spawn(|| KeyRing::from_file_or_create(&path).unwrap().fingerprint());
            let starting: Vec<_> = (0..32).map(start).collect();
            starting.into_iter().map(|s| s.join().unwrap()).collect()
        });
        assert!(rings.iter().all(|f| *f == rings[0]), "all have the one that is kept");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn patterns_are_not_keys() {
        let counted: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        for bad in [[0; 32], [0xff; 32], counted] {
            assert!(matches!(KeyRing::from_bytes(bad), Err(Error::Key { .. })));
        }
        assert!(KeyRing::from_hex("abc").is_err());
        assert!(KeyRing::from_hex(&"zz".repeat(32)).is_err());
    }

    /// HKDF-SHA256 of RFC 5869 over published inputs: the same function that the vectors of the project use.
    #[test]
    fn hkdf_is_rfc_5869() {
        let master: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let mut out = [0; 16];
        Hkdf::<Sha256>::new(None, &master).expand(b"ipcrypt-deterministic", &mut out).unwrap();
        assert_eq!(HEXLOWER_PERMISSIVE.encode(&out), "fbabbc96708846ac1bce23bac6593ad3");
    }

    #[test]
    fn purposes_and_parts_do_not_meet() {
        let s = Secret([9; 32]);
        let keys = [
            s.derive("a", &[b"bc"]),
            s.derive("ab", &[b"c"]),
            s.derive("a", &[b"b", b"c"]),
            s.derive("a", &[b"bc", b""]),
        ];
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i + 1..] {
                assert_ne!(a.as_bytes(), b.as_bytes());
            }
        }
    }

    #[test]
    fn the_previous_key_is_read_and_not_written() {
        let (old, new) = (ring(1), ring(2));
        let both = new.clone().with_previous(&old);
        let tag = old.mac("t", &[]).tag(&[b"m"]);
        assert!(both.mac("t", &[]).verify(b"m", &tag));
        assert!(!new.mac("t", &[]).verify(b"m", &tag));
        assert_eq!(both.mac("t", &[]).tag(&[b"m"]), new.mac("t", &[]).tag(&[b"m"]));
        assert!(!both.mac("t", &[]).verify(b"m", &tag[..15]));
        assert_ne!(old.fingerprint(), new.fingerprint());
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_private_and_comes_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = KeyRing::from_file_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyRing::from_file_or_create(&path).unwrap().fingerprint(), made.fingerprint());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyRing::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
