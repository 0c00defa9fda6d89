use std::borrow::Cow;
use std::time::Duration;

use time::Date;
use time::macros::format_description;
use url::Url;

use crate::catalogue::{Catalogue, MAX_COOKIE_LIFE, OwnCookies, OwnNames};
use crate::consent::Regimes;
use crate::error::{Error, Result};
use crate::legal::{Figure, LegalFigures};
use crate::scope::Scope;
use crate::visit::RequestHead;

const MIN_CHOICE_LIFE: Duration = Duration::from_secs(86_400);

/// A site of an installation with several: its catalogue and what holds for it alone.
#[derive(Clone, Debug)]
#[must_use]
pub struct SiteDecl {
    pub(super) scope: Scope,
    pub(super) catalogue: Catalogue,
    pub(super) tag: Option<String>,
    pub(super) public_origins: Vec<String>,
    pub(super) shared_domain: Option<String>,
    pub(super) choice_life: Option<Duration>,
    pub(super) regimes: Regimes,
    pub(super) gpc_promise: Option<String>,
    pub(super) accounts: bool,
}

impl SiteDecl {
    /// A site with its catalogue.
    pub fn new(scope: Scope, catalogue: Catalogue) -> Self {
        Self {
            scope,
            catalogue,
            tag: None,
            public_origins: Vec::new(),
            shared_domain: None,
            choice_life: None,
            regimes: Regimes::opt_in(),
            gpc_promise: None,
            accounts: false,
        }
    }

    /// Tells its cookies apart from those of another site on the same host: it stands in their names. 1 to 16
    /// letters and digits.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// An origin under which visitors reach it, such as `https://shop.example`: browsers that send no
    /// `Sec-Fetch-Site` are checked against it.
    pub fn public_origin(mut self, origin: impl Into<String>) -> Self {
        self.public_origins.push(origin.into());
        self
    }

    /// One choice for all subdomains of a domain: privet's cookies are then named `__Secure-` and carry it. Every
    /// host of the domain can then plant cookies that it got itself, and so share its own visit with a visitor:
    /// do it only where all of them are trusted alike.
    pub fn shared_domain(mut self, domain: impl Into<String>) -> Self {
        self.shared_domain = Some(domain.into());
        self
    }

    /// How long a choice is kept, the same for a yes and a no: 1 to 400 days; [`Figure::ChoiceLife`], if nothing is
    /// said.
    pub fn choice_life(mut self, life: Duration) -> Self {
        self.choice_life = Some(life);
        self
    }

    /// Which regime a visitor is under, by country; everybody is asked first, if nothing is said.
    pub fn regimes(mut self, regimes: Regimes) -> Self {
        self.regimes = regimes;
        self
    }

    /// Lets the choice of somebody who signs in hold for their account, on each device on which they are signed in: see
    /// [`Privet::sign_in`](crate::Privet::sign_in).
    pub fn account_consent(mut self) -> Self {
        self.accounts = true;
        self
    }

    /// Promises in public to honour Global Privacy Control, since a day such as `2026-11-27`: `/.well-known/gpc.json`
    /// then says so (W3C GPC, "GPC Support Resource"). privet honours the signal in any case; the promise is the
    /// operator's, also for what happens outside of privet.
    pub fn promises_gpc(mut self, since: impl Into<String>) -> Self {
        self.gpc_promise = Some(since.into());
        self
    }

    pub(super) fn own_cookies(&self, insecure_dev: bool, figures: &LegalFigures) -> OwnCookies {
        let prefix = match (&self.shared_domain, insecure_dev) {
            (_, true) => "",
            (Some(_), false) => "__Secure-",
            (None, false) => "__Host-",
        };
        OwnCookies {
            names: OwnNames::new(prefix, self.tag.as_deref()),
            domain: self.shared_domain.clone(),
            choice_life: self.choice_life.unwrap_or(figures.get(Figure::ChoiceLife)),
            consent_life: if self.regimes.is_opt_in() { Duration::ZERO } else { MAX_COOKIE_LIFE },
            accounts: self.accounts,
        }
    }

    pub(super) fn check(&self, insecure_dev: bool) -> Result<()> {
        for origin in &self.public_origins {
            check_origin(origin)?;
        }
        self.regimes.check()?;
        let is_day = |d: &String| Date::parse(d, format_description!("[year]-[month]-[day]")).is_ok();
        if let Some(since) = self.gpc_promise.as_ref().filter(|d| !is_day(d)) {
            return Err(Error::config(
                format!("`{}` is no day", since.escape_default()),
                "write the day of the promise like `2026-11-27`",
            ));
        }
        if self.choice_life.is_some_and(|life| !(MIN_CHOICE_LIFE..=MAX_COOKIE_LIFE).contains(&life)) {
            return Err(Error::config(
                "a choice is to be kept for less than a day or more than 400 days",
                "set 180 days, as the default is, or another time in these bounds",
            ));
        }
        let fits = |t: &String| (1..=16).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric());
        if self.tag.as_ref().is_some_and(|t| !fits(t)) {
            return Err(Error::config(
                format!("the cookie tag of `{}` is empty, long, or not plain", self.scope),
                "use 1 to 16 letters and digits",
            ));
        }
        if let Some(domain) = &self.shared_domain {
            let plain = domain.contains('.')
                && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
            if !plain || super::is_address(domain) || domain.starts_with('.') || insecure_dev {
                return Err(Error::config(
                    format!("`{}` cannot be shared by cookies", domain.escape_default()),
                    "name a domain with a dot in it, no address, and do not combine it with `insecure_dev`",
                ));
            }
        }
        Ok(())
    }
}

fn check_origin(origin: &str) -> Result<()> {
    let serial = Url::parse(origin).ok().map(|u| u.origin().ascii_serialization());
    if serial.as_deref() == Some(origin) && origin.starts_with("http") {
        return Ok(());
    }
    Err(Error::config(
        format!("public origin `{}` is no origin", origin.escape_default()),
        "write scheme, host and, if it is not the usual one, port, as browsers do: `https://shop.example`",
    ))
}

/// What tells one site from another: see [`Builder::resolver`](crate::Builder::resolver).
#[derive(Debug)]
pub struct SiteRequest<'a> {
    host: Option<Cow<'a, str>>,
    path: &'a str,
}

impl<'a> SiteRequest<'a> {
    pub(super) fn of(head: &'a dyn RequestHead) -> Self {
        let host = head.host().map(|host| {
            let host = host.strip_suffix('.').unwrap_or(host);
            if host.bytes().any(|b| b.is_ascii_uppercase()) {
                Cow::Owned(host.to_ascii_lowercase())
            } else {
                Cow::Borrowed(host)
            }
        });
        Self { host, path: head.path() }
    }

    /// The host that the request names, in lower case, without port and without a dot at its end. It is the
    /// client's word.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The path, without query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path
    }
}
