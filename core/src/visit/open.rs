//! The request head: whose visit it is, what the device brought, and what goes on to the handlers.

use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex};

use super::cookies::pairs;
use super::head::{Refusal, RequestHead, Rewrite};
use super::judge::SentBy;
use super::violation::Enforcement;
use super::{Inner, Live, Visit, opens};
use crate::catalogue::{EntryGate, EntryId};
use crate::clock::Timestamp;
use crate::consent::cookie::{AccountState, ActiveSession, ContactCookie, ReadConsent};
use crate::consent::{Regime, Standing};
use crate::ip::{Country, PeerHider, carries_address};
use crate::privet::{Privet, SiteState};

/// More than anything that was set here: servers commonly take 8 KiB of one header.
const MAX_COOKIE_BYTES: usize = 32 * 1024;

/// What one pass over the head's lines finds.
#[derive(Default)]
struct Lines<'a> {
    cookies: Cookies<'a>,
    cookie_bytes: usize,
    proxied: Vec<&'a [u8]>,
    remove: Vec<String>,
    gpc: bool,
    /// `Sec-Fetch-Site` says that no other site had a part in the request.
    same_site: Option<bool>,
}

/// A value that must stand once: a second one, which another host of the domain may have planted, voids both.
#[derive(Clone, Copy, Default)]
enum Once<'a> {
    #[default]
    Absent,
    Found(&'a [u8]),
    Repeated,
}

impl<'a> Once<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Found(value),
            Self::Found(_) | Self::Repeated => Self::Repeated,
        };
    }

    fn value(self) -> Option<&'a [u8]> {
        match self {
            Self::Found(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }
}

/// The request's cookies: privet's own, and what the others need so that all of them may pass.
#[derive(Default)]
struct Cookies<'a> {
    consent: Once<'a>,
    active: Once<'a>,
    contact: Once<'a>,
    account: Once<'a>,
    /// Categories that have to be granted.
    needs: u64,
    /// Something needs more than a grant, or is not declared.
    needs_more: bool,
    patterned: Vec<(EntryId, Box<str>)>,
    unrenewable: Vec<EntryId>,
}

impl<'a> Cookies<'a> {
    fn read(&mut self, site: &SiteState, line: &'a [u8]) {
        for pair in pairs(line) {
            let own = &site.names;
            // Most names are not ours: their first letter says so, which is cheaper to see than four names.
            if pair.name.first() == own.consent.as_bytes().first() {
                if pair.name == own.consent.as_bytes() {
                    self.consent.add(pair.value());
                    continue;
                } else if pair.name == own.active.as_bytes() {
                    self.active.add(pair.value());
                    continue;
                } else if pair.name == own.contact.as_bytes() {
                    self.contact.add(pair.value());
                } else if site.accounts && pair.name == own.account.as_bytes() {
                    self.account.add(pair.value());
                    continue;
                }
            }
            let Some(id) = site.catalogue.find_cookie(pair.name) else {
                self.needs_more = true;
                continue;
            };
            match site.catalogue.entry_gate(id) {
                EntryGate::Open => continue,
                EntryGate::Category(bit) => self.needs |= bit,
                EntryGate::UnlessObjected(..) => {
                    self.needs_more = true;
                    if !site.catalogue.entry(id).may_be_renewed() {
                        self.unrenewable.push(id);
                    }
                }
                _ => self.needs_more = true,
            }
            if site.catalogue.entry(id).name.literal().is_none()
                && let Ok(name) = std::str::from_utf8(pair.name)
            {
                self.patterned.push((id, name.into()));
            }
        }
    }

    fn all_open(&self, standing: Standing) -> bool {
        !self.needs_more && standing.opens(self.needs)
    }
}

impl Privet {
    /// Opens the visit of a request: whose it is, what the device brought, and how the request goes on.
    ///
    /// # Errors
    /// A [`Refusal`] when the request is not to be served at all.
    pub fn visit(&self, head: &dyn RequestHead) -> Result<(Visit, Rewrite), Refusal> {
        let Some(site) = self.site_of(head) else {
            self.warn_unknown_site(head);
            return Err(Refusal::UnknownSite);
        };
        let now = self.now();
        let lines = self.read_lines(&site, head);
        if lines.cookie_bytes > MAX_COOKIE_BYTES {
            tracing::warn!(
                bytes = lines.cookie_bytes,
                "a request brought more cookies than this site can have set; answered with 431"
            );
            return Err(Refusal::CookiesTooLarge);
        }
        let mut unrenewable = lines.cookies.unrenewable.clone();
        if !site.unrenewable.is_empty() {
            let sent = SentBy::new(head.method(), head.path(), lines.same_site == Some(true));
            let hidden = |id: &&EntryId| !sent.would_bring(site.catalogue.entry(**id));
            unrenewable.extend(site.unrenewable.iter().filter(hidden));
        }
        let client = self.proxies().client(head.peer(), lines.proxied.iter().copied());
        if self.is_insecure_dev() && !client.is_local() {
            return Err(Refusal::PublicPeerInDevelopment);
        }
        let brought = Brought::read(&site, &lines.cookies, now, lines.gpc, || self.country_of(&client));
        let passes = self.enforcement() == Enforcement::Report || lines.cookies.all_open(brought.standing);
        let (closed, cookie) = if passes { (Vec::new(), None) } else { close(&site, head, &brought) };
        let rewrite = Rewrite {
            remove: lines.remove,
            cookie,
            peer: self.hides_addresses().then(|| PeerHider::hide(&client, now.day(), self.epoch_keys())),
        };
        let visit = Visit(Arc::new(Inner {
            privet: self.clone(),
            now,
            gpc: lines.gpc,
            regime: brought.regime,
            newer: brought.newer,
            device: brought.state,
            account: brought.account,
            standing: brought.standing,
            session: brought.session,
            contact: brought.contact,
            closed,
            patterned: lines.cookies.patterned,
            unrenewable,
            flags: AtomicU8::new(0),
            live: Mutex::new(Live {
                client,
                country: brought.country,
                decided: None,
                account: None,
                activated: None,
                contact: None,
                set: Vec::new(),
                insisted: None,
            }),
            site,
        }));
        self.settle_pending(&visit);
        Ok((visit, rewrite))
    }

    fn read_lines<'a>(&self, site: &SiteState, head: &'a dyn RequestHead) -> Lines<'a> {
        let mut lines = Lines::default();
        let proxy_header = self.proxies().header_name();
        head.headers(&mut |name, value| {
            if name == "cookie" {
                lines.cookie_bytes += value.len();
                if lines.cookie_bytes <= MAX_COOKIE_BYTES {
                    lines.cookies.read(site, value);
                }
            } else if name == "sec-gpc" {
                // Exactly `1`, in any of several lines (W3C GPC, "The Sec-GPC Header Field").
                lines.gpc |= value == b"1";
            } else if !site.unrenewable.is_empty() && name == "sec-fetch-site" {
                lines.same_site = Some(lines.same_site.unwrap_or(true) && SentBy::is_same_site(value));
            } else {
                if name == proxy_header {
                    lines.proxied.push(value);
                }
                let carries =
                    carries_address(name) || name == proxy_header || self.more_address_headers(name);
                if carries && self.hides_addresses() && !lines.remove.iter().any(|r| r == name) {
                    lines.remove.push(name.to_owned());
                }
            }
        });
        lines
    }
}

/// The cookies that handlers shall not see, and the line without them.
#[allow(clippy::type_complexity, reason = "the two halves of one answer")]
fn close(
    site: &SiteState,
    head: &dyn RequestHead,
    brought: &Brought,
) -> (Vec<(EntryId, Box<str>)>, Option<Option<Vec<u8>>>) {
    let mut closed = Vec::new();
    let mut kept: Vec<u8> = Vec::new();
    let mut changed = false;
    head.headers(&mut |header, line| {
        for pair in pairs(line).take_while(|_| header == "cookie") {
            let entry = site.catalogue.find_cookie(pair.name);
            let gate = entry.map_or(EntryGate::Closed, |id| site.catalogue.entry_gate(id));
            if opens(site, gate, brought.standing, brought.session.as_ref()) {
                if !kept.is_empty() {
                    kept.extend(b"; ");
                }
                kept.extend(pair.raw());
            } else {
                changed = true;
                if let (Some(id), Ok(name)) = (entry, std::str::from_utf8(pair.name)) {
                    closed.push((id, name.into()));
                }
            }
        }
    });
    (closed, changed.then(|| (!kept.is_empty()).then_some(kept)))
}

/// What the device brought, as far as it is authentic.
struct Brought {
    newer: bool,
    state: Option<crate::consent::ConsentState>,
    account: Option<Box<AccountState>>,
    standing: Standing,
    regime: Regime,
    /// If it had to be looked up.
    country: Option<Country>,
    session: Option<ActiveSession>,
    contact: Option<ContactCookie>,
}

impl Brought {
    fn read(
        site: &SiteState,
        cookies: &Cookies<'_>,
        now: Timestamp,
        gpc: bool,
        country: impl FnOnce() -> Country,
    ) -> Self {
        let codec = &site.codec;
        let consent = match cookies.consent.value() {
            Some(value) => codec.decode_consent(value, now, site.choice_life),
            None => ReadConsent::Absent,
        };
        let newer = consent == ReadConsent::Newer;
        let state = match consent {
            ReadConsent::State(state) => Some(state),
            ReadConsent::Absent | ReadConsent::Newer => None,
        };
        let decided = state.as_ref();
        let account = cookies.account.value();
        let account = account.and_then(|v| codec.decode_account(v, now, site.choice_life)).map(Box::new);
        let line = account.as_ref().map(|a| a.line);
        let contact = cookies.contact.value().and_then(|v| codec.decode_contact(v, now, line));
        let standing = |regime| Standing::of_both(decided, account.as_deref(), site, regime, gpc);
        let regime = site.one_regime.or_else(|| {
            // Where everything is decided, and was asked first, the regime of the decision stands: no look-up.
            let regime = decided.map(|s| s.regime).filter(|r| r.rules().asks)?;
            site.is_decided(standing(regime)).then_some(regime)
        });
        let (regime, country) = match regime {
            Some(regime) => (regime, None),
            None => {
                let country = country();
                (site.regimes.of_country(country), Some(country))
            }
        };
        Self {
            newer,
            standing: standing(regime),
            regime,
            country,
            account,
            state,
            session: cookies.active.value().and_then(|v| codec.decode_active(v, now)),
            contact,
        }
    }
}
