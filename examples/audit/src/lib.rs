//! Holds HAR files against a catalogue: `cargo run -p audit -- --catalogue privet.toml visit.har`.
//!
//! Each file is one visit, recorded from its first request on in a new profile; the stage (before the choice, after
//! refusal, grant, withdrawal) moves with the visitor's own decisions. See [`privet::audit`].

use std::fmt;
use std::fs;
use std::io::Write;
use std::time::Duration;

use privet::audit::{Audit, Stage};
use privet::catalogue::StorageKind;
use privet::consent::Regime;
use privet::{Catalogue, Error, Privet, Scope};

/// How it is called.
pub const USAGE: &str = "\
audit --catalogue privet.toml [options] FILE.har…

  --catalogue FILE      the catalogue of the site
  --base-path PATH      where privet's routes are; /privacy, if nothing is said
  --site ORIGIN         an origin of the site, such as https://shop.example, also several times; every other host is
                        somebody else's. The host of a file's first request, if nothing is said
  --stage STAGE         each file was made at this stage, whatever is decided in it: before-choice, after-refusal,
                        after-grant, after-withdrawal
  --regime REGIME       the visitors are under opt-in (if nothing is said), opt-out, uk or france
  --seen STAGE:KIND:KEY something that no HAR file has was found: kind local-storage, session-storage or indexed-db
  --choice-life DAYS    how long the site keeps a choice; 180, if nothing is said
  --shared-domain HOST  the site has one choice for all subdomains
  --accounts            the site keeps choices of accounts
  --insecure-dev        the site was run with insecure_dev()
  --json                the report as JSON

exit code: 0 everything is allowed, 1 something is not, 2 the input cannot be judged";

/// Why nothing could be judged.
#[derive(Debug)]
pub struct BadInput(String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for BadInput {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

fn bad(what: impl Into<String>) -> BadInput {
    BadInput(what.into())
}

#[derive(Default)]
struct Options {
    catalogue: Option<String>,
    base_path: Option<String>,
    sites: Vec<String>,
    stage: Option<Stage>,
    regime: Regime,
    seen: Vec<(Stage, StorageKind, String)>,
    choice_life: Option<Duration>,
    shared_domain: Option<String>,
    accounts: bool,
    insecure_dev: bool,
    json: bool,
    files: Vec<String>,
}

impl Options {
    fn read(args: impl IntoIterator<Item = String>) -> Result<Self, BadInput> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| bad(format!("{arg} needs a value\n\n{USAGE}")));
            match arg.as_str() {
                "--catalogue" => options.catalogue = Some(value()?),
                "--base-path" => options.base_path = Some(value()?),
                "--site" => options.sites.push(value()?),
                "--stage" => options.stage = Some(stage(&value()?)?),
                "--regime" => options.regime = regime(&value()?)?,
                "--seen" => options.seen.push(seen(&value()?)?),
                "--choice-life" => options.choice_life = Some(days(&value()?)?),
                "--shared-domain" => options.shared_domain = Some(value()?),
                "--accounts" => options.accounts = true,
                "--insecure-dev" => options.insecure_dev = true,
                "--json" => options.json = true,
                _ if arg.starts_with('-') => return Err(bad(format!("there is no option {arg}\n\n{USAGE}"))),
                _ => options.files.push(arg),
            }
        }
        if options.files.is_empty() && options.seen.is_empty() {
            return Err(bad(format!("no HAR file is named\n\n{USAGE}")));
        }
        Ok(options)
    }

    fn audit(&self) -> Result<Audit, BadInput> {
        let path = self.catalogue.as_ref().ok_or_else(|| bad(format!("no catalogue is named\n\n{USAGE}")))?;
        let catalogue = Catalogue::from_file(path).map_err(|e| bad(format!("{path}: {e}")))?;
        let mut builder = Privet::builder(catalogue);
        if let Some(path) = &self.base_path {
            builder = builder.base_path(path);
        }
        if let Some(life) = self.choice_life {
            builder = builder.choice_life(life);
        }
        if let Some(domain) = &self.shared_domain {
            builder = builder.shared_domain(domain);
        }
        if self.accounts {
            builder = builder.account_consent();
        }
        if self.insecure_dev {
            builder = builder.insecure_dev();
        }
        // An installation in memory, so that the names of its cookies and its paths are checked and made as the app's.
        let privet = futures_executor::block_on(builder.build())?;
        let audit = privet.audit(&Scope::default())?.regime(self.regime);
        Ok(self.sites.iter().try_fold(audit, Audit::site)?)
    }
}

fn stage(name: &str) -> Result<Stage, BadInput> {
    Stage::named(name).ok_or_else(|| bad(format!("there is no stage `{name}`\n\n{USAGE}")))
}

fn regime(name: &str) -> Result<Regime, BadInput> {
    let found = Regime::ALL.iter().copied().find(|r| r.rules().id == name);
    found.ok_or_else(|| bad(format!("there is no regime `{name}`\n\n{USAGE}")))
}

fn days(text: &str) -> Result<Duration, BadInput> {
    let days: u32 = text.parse().map_err(|_| bad(format!("`{text}` is no number of days\n\n{USAGE}")))?;
    Ok(Duration::from_secs(86_400 * u64::from(days)))
}

fn seen(text: &str) -> Result<(Stage, StorageKind, String), BadInput> {
    let unreadable = || bad(format!("`{text}` is no STAGE:KIND:KEY\n\n{USAGE}"));
    let mut parts = text.splitn(3, ':');
    let mut part = || parts.next().filter(|p| !p.is_empty()).ok_or_else(unreadable);
    let (at, kind, key) = (stage(part()?)?, part()?, part()?);
    use StorageKind::{Cookie, IndexedDb, LocalStorage, SessionStorage};
    let kinds = [Cookie, LocalStorage, SessionStorage, IndexedDb];
    let kind = kinds.into_iter().find(|k| k.as_str() == kind).ok_or_else(unreadable)?;
    Ok((at, kind, key.to_owned()))
}

/// Judges, writes the report, and says whether everything is allowed.
///
/// # Errors
/// [`BadInput`] for an option or a file that cannot be understood, with its name and the reason; no report is written then.
pub fn run(args: impl IntoIterator<Item = String>, out: &mut dyn Write) -> Result<bool, BadInput> {
    let options = Options::read(args)?;
    let mut audit = options.audit()?;
    for file in &options.files {
        let named = |what: &dyn fmt::Display| bad(format!("{file}: {what}"));
        let har = fs::read(file).map_err(|e| named(&e))?;
        match options.stage {
            Some(stage) => audit.har_at(stage, &har),
            None => audit.har(&har),
        }
        .map_err(|e| named(&e))?;
    }
    for (stage, kind, key) in &options.seen {
        audit.seen(*stage, *kind, key);
    }
    let report = audit.report();
    let text = if options.json { report.to_json() } else { report.to_string() };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| bad(format!("the report: {e}")))?;
    Ok(report.is_clean())
}
