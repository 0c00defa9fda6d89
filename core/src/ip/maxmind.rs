use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use maxminddb::{PathElement, Reader};

use super::country::{CountryCode, CountryLookup};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A country file in MaxMind's format: GeoLite2, GeoIP2, DB-IP, IPinfo, ip-location-db. It is read into memory;
/// city files work and give no more than the country.
///
/// [`reload`](Self::reload) puts a new file in the old one's place; when the new one is bad, the old one goes on
/// serving.
pub struct MaxmindCountries {
    path: PathBuf,
    loaded: ArcSwap<Loaded>,
}

struct Loaded {
    reader: Reader<Vec<u8>>,
    schema: Schema,
}

/// Where a file keeps the code. Decoding with the wrong schema finds nothing and says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schema {
    /// `country.iso_code`, as GeoLite2 and DB-IP.
    Nested,
    /// `country_code`, as ip-location-db.
    Flat,
    /// `country`, as IPinfo.
    Plain,
}

impl Schema {
    const ALL: [Self; 3] = [Self::Nested, Self::Flat, Self::Plain];

    fn path(self) -> &'static [PathElement<'static>] {
        match self {
            Self::Nested => &[PathElement::Key("country"), PathElement::Key("iso_code")],
            Self::Flat => &[PathElement::Key("country_code")],
            Self::Plain => &[PathElement::Key("country")],
        }
    }
}

impl fmt::Debug for MaxmindCountries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaxmindCountries").field("path", &self.path).finish_non_exhaustive()
    }
}

fn bad(path: &Path, what: impl fmt::Display, cure: &str) -> Error {
    Error::CountryFile { what: format!("{}: {what}", path.display()), cure: cure.to_owned() }
}

impl MaxmindCountries {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Error::CountryFile`] when it cannot be read, is damaged, or holds no country codes.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let loaded = load(&path)?;
        Ok(Self { path, loaded: ArcSwap::from_pointee(loaded) })
    }

    /// Reads the file again and serves the new data, if they are good. True when they are newer than before.
    ///
    /// # Errors
    /// [`Error::CountryFile`] when the new file is bad; the old data are served on.
    pub fn reload(&self) -> Result<bool> {
        let fresh = load(&self.path)?;
        let newer = fresh.reader.metadata().build_epoch > self.loaded.load().reader.metadata().build_epoch;
        self.loaded.store(Arc::new(fresh));
        Ok(newer)
    }

    /// When the data that are served were made.
    #[must_use]
    pub fn built(&self) -> Timestamp {
        let seconds = self.loaded.load().reader.metadata().build_epoch;
        Timestamp::from_millis(i64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
    }
}

impl CountryLookup for MaxmindCountries {
    fn lookup(&self, ip: IpAddr) -> Option<CountryCode> {
        let loaded = self.loaded.load();
        code(&loaded.reader, loaded.schema, ip)
    }
}

fn code(reader: &Reader<Vec<u8>>, schema: Schema, ip: IpAddr) -> Option<CountryCode> {
    let found = reader.lookup(ip).ok()?;
    found.decode_path::<&str>(schema.path()).ok().flatten().and_then(CountryCode::new)
}

/// Opens a file and walks all of it: a half-written file opens, since its metadata stands at the end, and
/// fails at each look-up. `Reader::verify` is not asked, since it refuses good files that have no description.
fn load(path: &Path) -> Result<Loaded> {
    const CURE: &str = "download it again and put it in place by renaming, not by writing over the old one";
    let bytes = std::fs::read(path)
        .map_err(|e| bad(path, e, "check that it exists and that this user may read it"))?;
    let reader = Reader::from_source(bytes).map_err(|e| bad(path, e, CURE))?;
    let mut seen = std::collections::HashSet::new();
    let mut schema = None;
    for network in reader.networks(maxminddb::WithinOptions::default()).map_err(|e| bad(path, e, CURE))? {
        let found = network.map_err(|e| bad(path, e, CURE))?;
        let Some(offset) = found.offset() else { continue };
        // A file has some hundred distinct records and a million networks.
        if !seen.insert(offset) {
            continue;
        }
        found.decode::<serde::de::IgnoredAny>().map_err(|e| bad(path, e, CURE))?;
        if schema.is_none() {
            schema =
                Schema::ALL.into_iter().find(|s| matches!(found.decode_path::<&str>(s.path()), Ok(Some(_))));
        }
    }
    match schema {
        Some(schema) => Ok(Loaded { reader, schema }),
        None => Err(bad(
            path,
            "it holds no country codes",
            "use a country or city file, not one of networks or connection types",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_country_file_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let missing = MaxmindCountries::open(dir.path().join("none.mmdb")).unwrap_err().to_string();
        assert!(missing.contains("none.mmdb") && missing.contains("check that it exists"), "{missing}");
        let path = dir.path().join("bad.mmdb");
        for content in [&b""[..], b"not a database", &[0xff; 5000], b"\xab\xcd\xefMaxMind.com"] {
            std::fs::write(&path, content).unwrap();
            let error = MaxmindCountries::open(&path).unwrap_err();
            assert!(matches!(error, Error::CountryFile { .. }), "{error}");
        }
    }
}
