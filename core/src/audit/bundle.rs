//! What a site says of itself, in files for an inspector: that the mechanism is what it is said to be (CNIL,
//! recommendation 2020-092: screenshots, code in escrow, audits).

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::AuditReport;
use crate::catalogue::Catalogue;
use crate::consent::Regime;
use crate::error::{Error, Result};
use crate::privet::{Privet, SiteState};
use crate::retention::RetentionRule;
use crate::scope::Scope;

/// Name of the file with the hashes of all others.
const SUMS: &str = "SHA256SUMS";

/// Files with what a site says of itself: byte-identical for an identical catalogue and configuration, whenever and
/// wherever it is made. Two of them are compared with `diff`, and one is checked with `sha256sum --check SHA256SUMS`.
///
/// | file | what |
/// |---|---|
/// | `notices/<language>.json` | the notice as visitors were shown it and as the store keeps it; its SHA-256 is the id that consent records name |
/// | `statement/<language>.json` | the cookie statement |
/// | `catalogue.json` | the catalogue, with privet's own cookies |
/// | `configuration.json` | what holds beside it: paths, regimes, figures with a legal origin, retention; no secret |
/// | `versions.json` | of privet and of the formats |
/// | `report.json` | what was seen, if a report was [added](Self::with_report) |
/// | `SHA256SUMS` | the hashes of all others |
#[derive(Clone, PartialEq, Eq)]
#[must_use = "write it to a folder"]
pub struct AuditBundle(BTreeMap<String, Vec<u8>>);

impl fmt::Debug for AuditBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl AuditBundle {
    /// Its files in the order of their names: name, with `/` between folders, and bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// The bytes of a file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The same with what was seen of the site, as `report.json`.
    pub fn with_report(mut self, report: &AuditReport) -> Self {
        self.0.insert("report.json".to_owned(), report.to_json().into_bytes());
        self.sum()
    }

    fn sum(mut self) -> Self {
        self.0.remove(SUMS);
        let lines = self
            .0
            .iter()
            .map(|(name, bytes)| format!("{}  {name}\n", HEXLOWER.encode(&Sha256::digest(bytes))));
        let sums: String = lines.collect();
        self.0.insert(SUMS.to_owned(), sums.into_bytes());
        self
    }

    /// Writes the files into a folder, which is made; what is there already would be taken for a part of it.
    ///
    /// # Errors
    /// [`Error::Config`] when the folder holds something, or cannot be written.
    pub fn write_to(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let failed = |at: &Path, e: io::Error| {
            Error::config(
                format!("{} cannot be written: {e}", at.display()),
                "name a new folder that you may write to",
            )
        };
        fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        if fs::read_dir(folder).map_err(|e| failed(folder, e))?.next().is_some() {
            return Err(Error::config(
                format!("{} holds something already", folder.display()),
                "name a new or an empty folder, so that nothing else is taken for a part of the bundle",
            ));
        }
        for (name, bytes) in &self.0 {
            let file = folder.join(name);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
            }
            fs::write(&file, bytes).map_err(|e| failed(&file, e))?;
        }
        Ok(())
    }
}

impl Privet {
    /// What a site says of itself, for an inspector: notices, catalogue, configuration and versions, without a secret and
    /// without the time of its making.
    ///
    /// ```
    /// # privet::conformance::block_on(async {
    /// use privet::{Catalogue, Privet, Scope};
    ///
    /// let catalogue = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"")?;
    /// let privet = Privet::builder(catalogue).build().await?;
    /// let bundle = privet.audit_bundle(&Scope::default()).await?;
    /// assert_eq!(bundle, privet.audit_bundle(&Scope::default()).await?);
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path().join("bundle");
    /// bundle.write_to(&folder)?;
    /// assert!(folder.join("SHA256SUMS").is_file());
    /// # Ok::<(), privet::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownSite`], [`Error::Corrupt`] when a notice is not kept as it is shown, or what the store says.
    pub async fn audit_bundle(&self, scope: &Scope) -> Result<AuditBundle> {
        let site = self.site(scope)?;
        let mut files = BTreeMap::new();
        for shown in &site.notices {
            let id = shown.snapshot.id;
            let kept = self.notice(scope, id).await?.filter(|kept| kept.is_whole() && kept.id == id);
            let kept = kept.ok_or_else(|| {
                Error::corrupt(
                    self.store().name(),
                    format!("the notice {id} is not kept as it is shown"),
                    "start the app anew: `build()` keeps every notice that it is about to show",
                )
            })?;
            files.insert(format!("notices/{}.json", kept.language), kept.body.into_bytes());
        }
        for language in site.catalogue.languages() {
            files
                .insert(format!("statement/{language}.json"), canonical(&site.catalogue.statement(language)));
        }
        let rules = self.retention(&scope.tenant).await?;
        files.insert("catalogue.json".to_owned(), canonical(&catalogue(&site.catalogue)));
        files.insert("configuration.json".to_owned(), canonical(&self.configuration(site, &rules)));
        let versions = json!({
            "bundle": 1,
            "privet": env!("CARGO_PKG_VERSION"),
            "notice": site.notices.iter().map(|n| (n.notice.language.as_str(), n.notice.format)).collect::<BTreeMap<_, _>>(),
            "catalogue": HEXLOWER.encode(site.catalogue.material()),
        });
        files.insert("versions.json".to_owned(), canonical(&versions));
        Ok(AuditBundle(files).sum())
    }

    fn configuration(&self, site: &SiteState, rules: &[RetentionRule]) -> Value {
        let rules: BTreeMap<_, _> =
            rules.iter().map(|r| (r.class().as_str(), r.period().as_secs())).collect();
        json!({
            "tenant": site.scope.tenant.as_str(),
            "site": site.scope.site.as_str(),
            "public_origins": site.public_origins,
            "base_path": self.base_path(),
            "enforcement": self.enforcement(),
            "addresses_hidden": self.hides_addresses(),
            // How many, and not which: where the proxies are is nobody's but the operator's.
            "trusted_proxies": {
                "networks": self.proxies().networks(),
                "header": self.proxies().header_name(),
            },
            "insecure_dev": self.is_insecure_dev(),
            "cookies": {
                "consent": site.names.consent,
                "active": site.names.active,
                "contact": site.names.contact,
                "account": site.accounts.then_some(&site.names.account),
                "domain": site.domain,
                "secure": site.secure,
            },
            "choice_life_seconds": site.choice_life.as_secs(),
            "account_consent": site.accounts,
            "gpc_promised_since": site.gpc_promise,
            "regimes": {
                "of_visitors": site.regimes,
                "rules": Regime::ALL.iter().map(|r| r.rules()).collect::<Vec<_>>(),
            },
            "conversation_gap_seconds": self.conversation_gap().as_secs(),
            "last_seen_every_seconds": self.touches().every().as_secs(),
            "legal_figures": self.legal_figures().table(),
            "retention_seconds": rules,
        })
    }
}

/// Order as declared, which visitors see; each text under its language.
fn catalogue(catalogue: &Catalogue) -> Value {
    let recipients = catalogue.recipients().iter().map(|recipient| {
        let mut shown = recipient.clone();
        // Its path and query may hold what lets somebody in.
        let endpoint = recipient.withdrawal_endpoint.as_ref().and_then(|url| Url::parse(url).ok());
        shown.withdrawal_endpoint = endpoint.map(|url| url.origin().ascii_serialization());
        shown
    });
    json!({
        "controller": catalogue.controller(),
        "languages": catalogue.languages(),
        "categories": catalogue.categories(),
        "services": catalogue.services(),
        "recipients": recipients.collect::<Vec<_>>(),
        "warnings": catalogue.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// JSON with its keys in order, whichever way a build of `serde_json` keeps them.
fn canonical(value: &impl Serialize) -> Vec<u8> {
    // A structure of strings and numbers always has a JSON form.
    let value = sorted(serde_json::to_value(value).unwrap_or_default());
    let mut bytes = serde_json::to_vec_pretty(&value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(map) => {
            let map: BTreeMap<_, _> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect::<Map<_, _>>())
        }
        plain => plain,
    }
}
