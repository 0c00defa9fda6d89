//! The handle: [`Privet`], made by a [`Builder`] that checks everything at `build()`.

mod account;
mod act;
mod builder;
mod counts;
mod floods;
mod history;
mod lease;
mod objections;
mod outbox;
mod pending;
mod proof;
mod run;
mod site;
mod site_decl;

pub use act::{Answer, Decided, Provenance, Withdrawn};
pub use builder::Builder;
pub use outbox::{DeliveryProblem, DeliveryReport, DeliveryRequest, RecipientChannel};
pub use proof::{ChainReport, Damage, verify_chain};
pub use site::SiteNotice;
pub use site_decl::{SiteDecl, SiteRequest};

pub(crate) use act::contacts_code;
pub(crate) use site::SiteState;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::clock::{Clock, Timestamp};
use crate::consent::RecordId;
use crate::contact::Touches;
use crate::error::{Error, Result};
use crate::ip::{ClientIp, Country, CountryLookup, EpochKeys, Pseudonymizer, TrustedProxies, country_of};
use crate::key::Mac;
use crate::legal::LegalFigures;
use crate::retention::{RetentionRule, Rules, horizon};
use crate::scope::{Scope, Tenant};
use crate::store::{ConsentProof, Horizon, Keys, Ledger, Store};
use crate::visit::{Enforcement, RequestHead, Violation, ViolationKind, Violations};
use floods::Floods;
use objections::Objections;
use pending::Pending;

/// A fence outlives every cookie (400 days) and buffer that could write for the erased.
pub(crate) const FENCE_LIFE: Duration = Duration::from_secs(400 * 86_400);

/// An installation: the catalogue of each site, the keys, the store. A clone is the same installation.
///
/// ```
/// # futures_executor::block_on(async {
/// use privet::{Catalogue, Privet};
///
/// let catalogue = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"")?;
/// let privet = Privet::builder(catalogue).build().await?;
/// assert_eq!(privet.base_path(), "/privacy");
/// # Ok::<(), privet::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Privet(Arc<Inner>);

/// Finds the scope of a request by its host and path.
type Resolver = dyn Fn(&SiteRequest<'_>) -> Option<Scope> + Send + Sync;

struct Inner {
    sites: BTreeMap<Scope, Arc<SiteState>>,
    /// The one site, when there is only one: nobody has to be asked.
    only: Option<Arc<SiteState>>,
    resolver: Option<Box<Resolver>>,
    settings: Settings,
    countries: Option<Arc<dyn CountryLookup>>,
    pseudonymizers: BTreeMap<String, Arc<dyn Pseudonymizer>>,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    keys: Keys,
    cursor_key: Mac,
    epoch_keys: EpochKeys,
    touches: Touches,
    violations: Violations,
    pending: Pending,
    floods: Floods,
    objections: Objections,
    channel: Option<Arc<dyn RecipientChannel>>,
    rules: Mutex<KnownRules>,
    /// The last link of each chain that this process wrote into the ledger.
    anchored: Mutex<BTreeMap<Tenant, u64>>,
    banner_warned: AtomicBool,
    site_warned: AtomicBool,
    running: AtomicBool,
    housekeeper: lease::Housekeeper,
    counting: counts::Counting,
}

#[derive(Debug)]
struct Settings {
    base_path: String,
    proxies: TrustedProxies,
    address_headers: Vec<String>,
    hide_addresses: bool,
    insecure_dev: bool,
    enforcement: Enforcement,
    conversation_gap: Duration,
    figures: LegalFigures,
}

impl fmt::Debug for Privet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Privet")
            .field("sites", &self.0.sites.keys().collect::<Vec<_>>())
            .field("store", &self.0.store.name())
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// What was read of tenants' rules.
#[derive(Debug, Default)]
struct KnownRules {
    of: BTreeMap<Tenant, Arc<Rules>>,
    /// How often it was forgotten.
    forgotten: u64,
}

impl Privet {
    /// Begins an installation with the catalogue of its site.
    #[must_use]
    pub fn builder(catalogue: Catalogue) -> Builder {
        Builder::new(catalogue)
    }

    /// Now, by the installation's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Where privet's own pages are, without a slash at the end.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.0.settings.base_path
    }

    /// The figures with a legal origin that hold here.
    #[must_use]
    pub fn legal_figures(&self) -> &LegalFigures {
        &self.0.settings.figures
    }

    /// Whether some site promises to honour Global Privacy Control, so that `/.well-known/gpc.json` is there.
    #[must_use]
    pub fn promises_gpc(&self) -> bool {
        self.0.sites.values().any(|s| s.gpc_promise.is_some())
    }

    /// What happens to a cookie that the catalogue does not allow.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.0.settings.enforcement
    }

    /// The scopes that are declared.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.0.sites.keys()
    }

    /// The catalogue of a site, with privet's own cookies as they are set there.
    ///
    /// # Errors
    /// [`Error::UnknownSite`].
    pub fn catalogue(&self, scope: &Scope) -> Result<&Catalogue> {
        self.0.sites.get(scope).map(|s| &s.catalogue).ok_or(Error::UnknownSite)
    }

    /// Cookies that the app tried to set against the catalogue since the start.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.0.violations.all()
    }

    /// Whether a record still grants a category: what queued work asks when it runs, with the record id it
    /// kept.
    ///
    /// # Errors
    /// [`Error::UnknownSite`], [`Error::UnknownCategory`], or what the store says.
    pub async fn still_granted(&self, scope: &Scope, record: RecordId, category: &str) -> Result<bool> {
        let site = self.site(scope)?;
        let found = site.catalogue.category(category);
        let found = found.ok_or_else(|| Error::UnknownCategory { category: category.to_owned() })?;
        let proof = ConsentProof { scope: scope.clone(), record, category: found.code };
        if !self.store().holds(&proof, self.now()).await? {
            return Ok(false);
        }
        // About something else than what is done today, it is no consent to that.
        let latest = self.store().latest_record(scope, record).await?;
        let decisions = latest.iter().flat_map(|r| &r.decisions);
        let mut decisions = decisions.filter(|d| d.category == found.code);
        Ok(decisions.any(|d| site.stands_for(found, d.fingerprint)))
    }

    /// A consent record, for whoever has to show it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn consent_record(
        &self,
        scope: &Scope,
        record: RecordId,
    ) -> Result<Option<crate::consent::ConsentRecord>> {
        self.store().record(scope, record).await
    }

    /// A notice as it was shown, byte by byte.
    ///
    /// # Errors
    /// What the store says.
    pub async fn notice(
        &self,
        scope: &Scope,
        id: crate::consent::NoticeId,
    ) -> Result<Option<crate::consent::NoticeSnapshot>> {
        self.store().notice(scope, id).await
    }

    /// The rules of a tenant, one per class of data.
    ///
    /// # Errors
    /// What the store says.
    pub async fn retention(&self, tenant: &Tenant) -> Result<Vec<RetentionRule>> {
        Ok(self.rules(tenant).await?.all().to_vec())
    }

    /// Sets a rule of a tenant. It holds at once, for what is there as well.
    ///
    /// # Errors
    /// What the store says.
    pub async fn set_retention(&self, tenant: &Tenant, rule: RetentionRule) -> Result<()> {
        self.store().set_rule(tenant, &rule).await?;
        self.forget_rules();
        tracing::info!(tenant = %tenant, class = rule.class().as_str(), seconds = rule.period().as_secs(), "retention was set");
        Ok(())
    }

    fn known_rules(&self) -> std::sync::MutexGuard<'_, KnownRules> {
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn rules(&self, tenant: &Tenant) -> Result<Arc<Rules>> {
        let forgotten = {
            let known = self.known_rules();
            if let Some(rules) = known.of.get(tenant) {
                return Ok(rules.clone());
            }
            known.forgotten
        };
        let rules = Arc::new(Rules::new(&self.store().rules(tenant).await?));
        let mut known = self.known_rules();
        // What was read before somebody set a rule may be of before it.
        if known.forgotten == forgotten {
            known.of.insert(tenant.clone(), rules.clone());
        }
        Ok(rules)
    }

    /// Forgets what was read of tenants' rules, so that what was set since is seen.
    pub(crate) fn forget_rules(&self) {
        let mut known = self.known_rules();
        known.forgotten += 1;
        known.of.clear();
    }

    pub(crate) async fn horizon(&self, tenant: &Tenant, now: Timestamp) -> Result<Horizon> {
        Ok(horizon(self.rules(tenant).await?.as_ref(), now, self.0.touches.every()))
    }

    /// When a class of a tenant's data has to be gone that is new now.
    pub(crate) fn fence_until(now: Timestamp) -> Timestamp {
        now + FENCE_LIFE
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.0.ledger
    }

    /// What a list says, and how old that is already, about, where it was read from a copy of the database.
    pub(crate) async fn listed<T>(
        &self,
        listing: impl Future<Output = Result<T>> + Send,
    ) -> Result<(T, Option<Duration>)> {
        let before = self.store().lists_behind().await?;
        let list = listing.await?;
        // Whichever of both answered: a copy may be given up in between, or taken up again.
        Ok((list, before.max(self.store().lists_behind().await?)))
    }

    fn anchored(&self) -> &Mutex<BTreeMap<Tenant, u64>> {
        &self.0.anchored
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn cursor_key(&self) -> &Mac {
        &self.0.cursor_key
    }

    pub(crate) fn touches(&self) -> &Touches {
        &self.0.touches
    }

    pub(crate) fn epoch_keys(&self) -> &EpochKeys {
        &self.0.epoch_keys
    }

    pub(crate) fn proxies(&self) -> &TrustedProxies {
        &self.0.settings.proxies
    }

    pub(crate) fn more_address_headers(&self, name: &str) -> bool {
        self.0.settings.address_headers.iter().any(|h| h == name)
    }

    pub(crate) fn hides_addresses(&self) -> bool {
        self.0.settings.hide_addresses
    }

    pub(crate) fn is_insecure_dev(&self) -> bool {
        self.0.settings.insecure_dev
    }

    pub(crate) fn conversation_gap(&self) -> Duration {
        self.0.settings.conversation_gap
    }

    pub(crate) fn pseudonymizer(&self, recipient: &str) -> Option<&Arc<dyn Pseudonymizer>> {
        self.0.pseudonymizers.get(recipient)
    }

    pub(crate) fn country_of(&self, client: &ClientIp) -> Country {
        country_of(client, self.0.countries.as_deref())
    }

    pub(crate) fn site_of(&self, head: &dyn RequestHead) -> Option<Arc<SiteState>> {
        match (&self.0.only, &self.0.resolver) {
            (Some(only), None) => Some(only.clone()),
            (_, Some(resolver)) => self.0.sites.get(&resolver(&SiteRequest::of(head))?).cloned(),
            (None, None) => None,
        }
    }

    pub(crate) fn site(&self, scope: &Scope) -> Result<&Arc<SiteState>> {
        self.0.sites.get(scope).ok_or(Error::UnknownSite)
    }

    pub(crate) fn note_violation(&self, cookie: &str, kind: ViolationKind) {
        self.0.violations.note(cookie, kind, self.enforcement());
    }

    /// Once per process: everybody who asks under such a host gets a 404 and no reason.
    pub(crate) fn warn_unknown_site(&self, head: &dyn RequestHead) {
        if !self.0.site_warned.swap(true, Ordering::Relaxed) {
            let host = head.host().unwrap_or("").escape_default().to_string();
            tracing::warn!(
                host,
                "a request belongs to no declared site and was answered with 404; if it should, let the resolver name a declared scope for its host"
            );
        }
    }

    /// Once per process: the visitor of such a page can never agree to anything.
    pub(crate) fn warn_missing_banner(&self) {
        if !self.0.banner_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "an HTML page went to a visitor who has not decided, and it showed no banner; take the `Banner` extractor in its handler and put it into the page, or load `{}/banner` into it",
                self.base_path()
            );
        }
    }
}

/// Whether an address text would parse: the guard of what a builder takes as an origin.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}
