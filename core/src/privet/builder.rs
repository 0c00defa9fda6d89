use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use url::Url;

use super::pending::Pending;
use super::{Inner, Privet, Resolver, Settings, SiteState};
use crate::catalogue::{Catalogue, MAX_COOKIE_LIFE, OwnCookies, OwnNames};
use crate::clock::{Clock, SystemClock};
use crate::consent::DEFAULT_CHOICE_LIFE;
use crate::contact::Touches;
use crate::error::{Error, Result};
use crate::ip::{CountryLookup, EpochKeys, Pseudonymizer, TrustedProxies};
use crate::scope::Scope;
use crate::store::{Keys, OpenInfo, Storage};
use crate::visit::Enforcement;

/// An installation in the making. [`build`](Self::build) checks everything.
pub struct Builder {
    sites: Vec<(Scope, Catalogue, Option<String>)>,
    resolver: Option<Box<Resolver>>,
    storage: Option<Storage>,
    countries: Option<Arc<dyn CountryLookup>>,
    pseudonymizers: BTreeMap<String, Arc<dyn Pseudonymizer>>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    choice_life: Duration,
    last_seen_every: Duration,
    shared_domain: Option<String>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

const MIN_CHOICE_LIFE: Duration = Duration::from_secs(86_400);

impl Builder {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self {
            sites: vec![(Scope::default(), catalogue, None)],
            resolver: None,
            storage: None,
            countries: None,
            pseudonymizers: BTreeMap::new(),
            clock: Arc::new(SystemClock),
            settings: Settings {
                base_path: "/privacy".to_owned(),
                public_origins: Vec::new(),
                proxies: TrustedProxies::none(),
                address_headers: Vec::new(),
                hide_addresses: true,
                insecure_dev: false,
                enforcement: Enforcement::Enforce,
                conversation_gap: Duration::from_secs(86_400),
            },
            choice_life: DEFAULT_CHOICE_LIFE,
            last_seen_every: Duration::from_secs(60),
            shared_domain: None,
        }
    }

    /// Names tenant and site of the first catalogue; `main/main`, if nothing is said.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        if let Some(first) = self.sites.first_mut() {
            first.0 = scope;
        }
        self
    }

    /// Adds a site with a catalogue of its own. Needs a [`resolver`](Self::resolver).
    #[must_use]
    pub fn site(mut self, scope: Scope, catalogue: Catalogue) -> Self {
        self.sites.push((scope, catalogue, None));
        self
    }

    /// Adds a site that shares its host with another one: its cookies have the tag in their names.
    #[must_use]
    pub fn site_with_tag(mut self, scope: Scope, catalogue: Catalogue, tag: impl Into<String>) -> Self {
        self.sites.push((scope, catalogue, Some(tag.into())));
        self
    }

    /// Finds the scope of a request from its host, without port, and its path. A request without scope is not
    /// served.
    #[must_use]
    pub fn resolver(
        mut self,
        resolver: impl Fn(Option<&str>, &str) -> Option<Scope> + Send + Sync + 'static,
    ) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// Where everything is kept; in memory, if nothing is said.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Where privet's own pages are; `/privacy`, if nothing is said.
    #[must_use]
    pub fn base_path(mut self, path: impl Into<String>) -> Self {
        self.settings.base_path = path.into();
        self
    }

    /// An origin under which visitors reach the app, such as `https://shop.example`: browsers that send no
    /// `Sec-Fetch-Site` are checked against it.
    #[must_use]
    pub fn public_origin(mut self, origin: impl Into<String>) -> Self {
        self.settings.public_origins.push(origin.into());
        self
    }

    /// The proxies whose word about the visitor's address counts; none, if nothing is said.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.settings.proxies = proxies;
        self
    }

    /// A further request header that carries an address and is taken out.
    #[must_use]
    pub fn address_header(mut self, name: impl AsRef<str>) -> Self {
        self.settings.address_headers.push(name.as_ref().to_ascii_lowercase());
        self
    }

    /// Lets handlers and middleware behind the layer see the visitor's address. It is hidden, if nothing is
    /// said.
    #[must_use]
    pub fn show_addresses(mut self) -> Self {
        self.settings.hide_addresses = false;
        self
    }

    /// Where countries are looked up; every country is unknown, if nothing is said.
    #[must_use]
    pub fn countries(mut self, countries: impl CountryLookup + 'static) -> Self {
        self.countries = Some(Arc::new(countries));
        self
    }

    /// As [`countries`](Self::countries), for a lookup that the app keeps, to reload it.
    #[must_use]
    pub fn shared_countries(mut self, countries: Arc<dyn CountryLookup>) -> Self {
        self.countries = Some(countries);
        self
    }

    /// A way of one's own to make the pseudonyms for a recipient.
    #[must_use]
    pub fn pseudonymizer(
        mut self,
        recipient: impl Into<String>,
        pseudonymizer: impl Pseudonymizer + 'static,
    ) -> Self {
        self.pseudonymizers.insert(recipient.into(), Arc::new(pseudonymizer));
        self
    }

    /// What happens to a cookie that the catalogue does not allow; it is taken out, if nothing is said.
    #[must_use]
    pub fn enforcement(mut self, enforcement: Enforcement) -> Self {
        self.settings.enforcement = enforcement;
        self
    }

    /// How long a choice is kept, the same for a yes and a no: 1 to 400 days; 180, if nothing is said.
    #[must_use]
    pub fn choice_life(mut self, life: Duration) -> Self {
        self.choice_life = life;
        self
    }

    /// How coarse a contact's last-seen is; 60 s, if nothing is said. Coarser is less to write and to know.
    #[must_use]
    pub fn last_seen_every(mut self, every: Duration) -> Self {
        self.last_seen_every = every;
        self
    }

    /// After so long a silence a message begins a new conversation; a day, if nothing is said.
    #[must_use]
    pub fn conversation_gap(mut self, gap: Duration) -> Self {
        self.settings.conversation_gap = gap;
        self
    }

    /// One choice for all subdomains of a domain: privet's cookies are then named `__Secure-` and carry it.
    #[must_use]
    pub fn shared_domain(mut self, domain: impl Into<String>) -> Self {
        self.shared_domain = Some(domain.into());
        self
    }

    /// For development over plain http in browsers that refuse `__Host-` cookies there: other names, no
    /// `Secure`, and no answer to a peer that is not local.
    #[must_use]
    pub fn insecure_dev(mut self) -> Self {
        self.settings.insecure_dev = true;
        self
    }

    /// Another clock: for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks everything, opens the store, and keeps the notices that are about to be shown.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot work, [`Error::Key`] for another key than the store's,
    /// [`Error::Catalogue`], or what the store says.
    pub async fn build(self) -> Result<Privet> {
        self.check()?;
        let storage = match self.storage.clone() {
            Some(storage) => storage,
            None => Storage::in_memory()?,
        };
        let mut sites = BTreeMap::new();
        for (scope, catalogue, tag) in &self.sites {
            let site = SiteState::new(
                scope.clone(),
                catalogue,
                self.own_cookies(tag.as_deref()),
                !self.settings.insecure_dev,
                &storage.key_ring,
            )?;
            for warning in site.catalogue.warnings() {
                tracing::warn!(site = %scope, "{warning}");
            }
            if sites.insert(scope.clone(), site).is_some() {
                return Err(Error::config(
                    format!("site `{scope}` is declared twice"),
                    "give each site a scope of its own",
                ));
            }
        }
        storage.store.open(&OpenInfo::new(&storage.key_ring)).await?;
        for site in sites.values() {
            for notice in &site.notices {
                storage.store.publish_notice(&site.scope, &notice.snapshot).await?;
            }
        }
        let privet = Privet(Arc::new(Inner {
            only: if sites.len() == 1 { sites.values().next().cloned() } else { None },
            sites,
            resolver: self.resolver,
            settings: self.settings,
            countries: self.countries,
            pseudonymizers: self.pseudonymizers,
            clock: self.clock,
            keys: Keys::new(storage.keys.clone(), &storage.key_ring),
            cursor_key: storage.key_ring.mac("cursor/contacts", &[]),
            epoch_keys: EpochKeys::new(&[]),
            touches: Touches::new(self.last_seen_every),
            violations: Default::default(),
            pending: Pending::default(),
            rules: Mutex::default(),
            banner_warned: AtomicBool::new(false),
            running: AtomicBool::new(false),
            store: storage.store,
            ledger: storage.ledger,
        }));
        privet.load_epoch_keys().await?;
        Ok(privet)
    }

    fn own_cookies(&self, tag: Option<&str>) -> OwnCookies {
        let prefix = match (&self.shared_domain, self.settings.insecure_dev) {
            (_, true) => "",
            (Some(_), false) => "__Secure-",
            (None, false) => "__Host-",
        };
        OwnCookies {
            names: OwnNames::new(prefix, tag),
            domain: self.shared_domain.clone(),
            choice_life: self.choice_life,
        }
    }

    fn check(&self) -> Result<()> {
        let base = &self.settings.base_path;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.');
        if !base.starts_with('/') || base.ends_with('/') || base.contains("//") || !base.bytes().all(plain) {
            return Err(Error::config(
                format!("base path `{}` is no path", base.escape_default()),
                "write it like `/privacy`: with a slash before it and none behind",
            ));
        }
        for origin in &self.settings.public_origins {
            check_origin(origin)?;
        }
        if !(MIN_CHOICE_LIFE..=MAX_COOKIE_LIFE).contains(&self.choice_life) {
            return Err(Error::config(
                "a choice is to be kept for less than a day or more than 400 days",
                "set 180 days, as the default is, or another time in these bounds",
            ));
        }
        if self.last_seen_every > Duration::from_secs(86_400) {
            return Err(Error::config("last-seen is to be coarser than a day", "set at most a day"));
        }
        if self.sites.len() > 1 && self.resolver.is_none() {
            return Err(Error::config(
                "several sites are declared, and nothing tells them apart",
                "give the builder a `resolver`",
            ));
        }
        for (scope, _, tag) in &self.sites {
            let fits =
                |t: &String| (1..=16).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric());
            if tag.as_ref().is_some_and(|t| !fits(t)) {
                return Err(Error::config(
                    format!("the cookie tag of `{scope}` is empty, long, or not plain"),
                    "use 1 to 16 letters and digits",
                ));
            }
        }
        if let Some(domain) = &self.shared_domain {
            let plain = domain.contains('.')
                && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
            if !plain || super::is_address(domain) || domain.starts_with('.') || self.settings.insecure_dev {
                return Err(Error::config(
                    format!("`{}` cannot be shared by cookies", domain.escape_default()),
                    "name a domain with a dot in it, no address, and do not combine it with `insecure_dev`",
                ));
            }
        }
        let recipients = |id: &String| self.sites.iter().any(|(_, c, _)| c.recipient(id).is_ok());
        if let Some(unknown) = self.pseudonymizers.keys().find(|id| !recipients(id)) {
            return Err(Error::UnknownRecipient { recipient: unknown.clone() });
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
