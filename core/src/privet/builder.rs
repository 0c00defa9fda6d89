use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::floods::{Floods, GrantRate};
use super::pending::Pending;
use super::{Inner, Privet, RecipientChannel, Resolver, Settings, SiteDecl, SiteRequest, SiteState};
use crate::catalogue::Catalogue;
use crate::clock::{Clock, SystemClock};
use crate::consent::Regimes;
use crate::contact::Touches;
use crate::error::{Error, Result};
use crate::ip::{CountryLookup, EpochKeys, Pseudonymizer, TrustedProxies};
use crate::legal::LegalFigures;
use crate::scope::Scope;
use crate::store::{Keys, OpenInfo, Storage};
use crate::visit::Enforcement;

/// An installation in the making. [`build`](Self::build) checks everything.
pub struct Builder {
    /// The site that the builder began with.
    first: SiteDecl,
    more: Vec<SiteDecl>,
    resolver: Option<Box<Resolver>>,
    storage: Option<Storage>,
    countries: Option<Arc<dyn CountryLookup>>,
    pseudonymizers: BTreeMap<String, Arc<dyn Pseudonymizer>>,
    channel: Option<Arc<dyn RecipientChannel>>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    last_seen_every: Duration,
    grant_rate: GrantRate,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self {
            first: SiteDecl::new(Scope::default(), catalogue),
            more: Vec::new(),
            resolver: None,
            storage: None,
            countries: None,
            pseudonymizers: BTreeMap::new(),
            channel: None,
            clock: Arc::new(SystemClock),
            settings: Settings {
                base_path: "/privacy".to_owned(),
                proxies: TrustedProxies::none(),
                address_headers: Vec::new(),
                hide_addresses: true,
                insecure_dev: false,
                enforcement: Enforcement::Enforce,
                conversation_gap: Duration::from_secs(86_400),
                figures: LegalFigures::default(),
            },
            last_seen_every: Duration::from_secs(60),
            grant_rate: GrantRate::default(),
        }
    }

    /// Names tenant and site; `main/main`, if nothing is said.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.first.scope = scope;
        self
    }

    /// Adds a site with a catalogue of its own. Needs a [`resolver`](Self::resolver).
    ///
    /// ```
    /// use privet::{Catalogue, Privet, Scope, Site, SiteDecl, Tenant};
    ///
    /// # privet::conformance::block_on(async {
    /// let toml = "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"";
    /// let blog = Scope::new(Tenant::default(), Site::new("blog")?);
    /// let privet = Privet::builder(Catalogue::from_toml(toml)?)
    ///     .site(SiteDecl::new(blog.clone(), Catalogue::from_toml(toml)?).public_origin("https://blog.example"))
    ///     .resolver(move |request| match request.host()? {
    ///         "shop.example" => Some(Scope::default()),
    ///         "blog.example" => Some(blog.clone()),
    ///         _ => None,
    ///     })
    ///     .build()
    ///     .await?;
    /// assert_eq!(privet.scopes().count(), 2);
    /// # Ok::<(), privet::Error>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn site(mut self, site: SiteDecl) -> Self {
        self.more.push(site);
        self
    }

    /// Finds the scope of a request. A request without scope, or with one that is not declared, is not served.
    #[must_use]
    pub fn resolver(
        mut self,
        resolver: impl Fn(&SiteRequest<'_>) -> Option<Scope> + Send + Sync + 'static,
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

    /// [`SiteDecl::public_origin`] of the first site.
    #[must_use]
    pub fn public_origin(mut self, origin: impl Into<String>) -> Self {
        self.first = self.first.public_origin(origin);
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

    /// How recipients are told of withdrawals that concern them: those with a
    /// [`withdrawal_endpoint`](crate::catalogue::RecipientDecl::withdrawal_endpoint).
    #[must_use]
    pub fn recipient_channel(mut self, channel: impl RecipientChannel + 'static) -> Self {
        self.channel = Some(Arc::new(channel));
        self
    }

    /// What happens to a cookie that the catalogue does not allow; it is taken out, if nothing is said.
    #[must_use]
    pub fn enforcement(mut self, enforcement: Enforcement) -> Self {
        self.settings.enforcement = enforcement;
        self
    }

    /// [`SiteDecl::choice_life`] of the first site.
    #[must_use]
    pub fn choice_life(mut self, life: Duration) -> Self {
        self.first = self.first.choice_life(life);
        self
    }

    /// [`SiteDecl::regimes`] of the first site.
    #[must_use]
    pub fn regimes(mut self, regimes: Regimes) -> Self {
        self.first = self.first.regimes(regimes);
        self
    }

    /// [`SiteDecl::account_consent`] of the first site.
    #[must_use]
    pub fn account_consent(mut self) -> Self {
        self.first = self.first.account_consent();
        self
    }

    /// [`SiteDecl::promises_gpc`] of the first site.
    #[must_use]
    pub fn promises_gpc(mut self, since: impl Into<String>) -> Self {
        self.first = self.first.promises_gpc(since);
        self
    }

    /// Other figures than those of the [table](crate::legal).
    #[must_use]
    pub fn legal_figures(mut self, figures: LegalFigures) -> Self {
        self.settings.figures = figures;
        self
    }

    /// How coarse a contact's last-seen is; 60 s, if nothing is said. Coarser is less to write and to know.
    #[must_use]
    pub fn last_seen_every(mut self, every: Duration) -> Self {
        self.last_seen_every = every;
        self
    }

    /// How many grants one address may send to this instance: so many at once, and then so many a second; 600 and 10, if nothing
    /// is said.
    /// IPv6 counts by /64; all visitors whose address is unknown share one. A grant beyond is answered with 429, and
    /// nothing is acknowledged; whoever refuses or withdraws is never kept waiting. The address stands for it in memory,
    /// replaced by its stand-in of the day, and nowhere else.
    #[must_use]
    pub fn grants_per_address(mut self, burst: u32, per_second: u32) -> Self {
        self.grant_rate = GrantRate { burst, per_second };
        self
    }

    /// After so long a silence a message begins a new conversation; a day, if nothing is said.
    #[must_use]
    pub fn conversation_gap(mut self, gap: Duration) -> Self {
        self.settings.conversation_gap = gap;
        self
    }

    /// [`SiteDecl::shared_domain`] of the first site.
    #[must_use]
    pub fn shared_domain(mut self, domain: impl Into<String>) -> Self {
        self.first = self.first.shared_domain(domain);
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
    /// [`Error::Config`] for settings that cannot work, [`Error::Key`] for another key than the store's, and for a key store
    /// that does not have what the store's records were made with, [`Error::Catalogue`], or what the store says.
    pub async fn build(self) -> Result<Privet> {
        self.check()?;
        let storage = match self.storage.clone() {
            Some(storage) => storage,
            None => Storage::in_memory()?,
        };
        let mut sites = BTreeMap::new();
        for decl in self.sites() {
            let site =
                SiteState::new(decl, self.settings.insecure_dev, &storage.key_ring, &self.settings.figures)?;
            let scope = &decl.scope;
            if site.notifies() && self.channel.is_none() {
                tracing::warn!(site = %scope, "recipients are to be told of withdrawals, and nothing can tell them; give the builder a `recipient_channel`, such as `privet_web::HttpsChannel`: until then what they have to know waits in the outbox");
            }
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
        let keys = Keys::new(storage.keys.clone(), &storage.key_ring);
        for tenant in sites.keys().map(|scope| &scope.tenant).collect::<BTreeSet<_>>() {
            keys.check(&*storage.store, tenant).await?;
        }
        for site in sites.values_mut() {
            if let Some(site) = Arc::get_mut(site) {
                site.publish(&*storage.store, self.clock.now()).await?;
            }
        }
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
            keys,
            cursor_key: storage.key_ring.mac("cursor/contacts", &[]),
            epoch_keys: EpochKeys::new(&[]),
            touches: Touches::new(self.last_seen_every),
            violations: Default::default(),
            pending: Pending::default(),
            floods: Floods::new(self.grant_rate),
            objections: Default::default(),
            channel: self.channel,
            rules: Mutex::default(),
            anchored: Mutex::default(),
            banner_warned: AtomicBool::new(false),
            site_warned: AtomicBool::new(false),
            running: AtomicBool::new(false),
            housekeeper: super::lease::Housekeeper::new()?,
            counting: super::counts::Counting::new()?,
            store: storage.store,
            ledger: storage.ledger,
        }));
        privet.load_epoch_keys().await?;
        Ok(privet)
    }

    fn sites(&self) -> impl Iterator<Item = &SiteDecl> {
        std::iter::once(&self.first).chain(&self.more)
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
        self.grant_rate.check()?;
        if self.last_seen_every > Duration::from_secs(86_400) {
            return Err(Error::config("last-seen is to be coarser than a day", "set at most a day"));
        }
        if !self.more.is_empty() && self.resolver.is_none() {
            return Err(Error::config(
                "several sites are declared, and nothing tells them apart",
                "give the builder a `resolver`",
            ));
        }
        for site in self.sites() {
            site.check(self.settings.insecure_dev)?;
        }
        let recipients = |id: &String| self.sites().any(|s| s.catalogue.recipient(id).is_ok());
        if let Some(unknown) = self.pseudonymizers.keys().find(|id| !recipients(id)) {
            return Err(Error::UnknownRecipient { recipient: unknown.clone() });
        }
        Ok(())
    }
}
