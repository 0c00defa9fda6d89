//! The request head: whose visit it is, what the device brought, and what goes on to the handlers.

use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex};

use super::cookies::pairs;
use super::head::{Refusal, RequestHead, Rewrite};
use super::violation::Enforcement;
use super::{Inner, Live, Visit, opens};
use crate::catalogue::EntryId;
use crate::clock::Timestamp;
use crate::consent::Standing;
use crate::consent::cookie::{ActiveSession, ContactCookie, ReadConsent};
use crate::ip::{PeerHider, carries_address};
use crate::privet::{Privet, SiteState};

/// More than anything that was set here: servers commonly take 8 KiB of one header.
const MAX_COOKIE_BYTES: usize = 32 * 1024;

/// What one pass over the head's lines finds.
#[derive(Default)]
struct Lines<'a> {
    cookies: Vec<&'a [u8]>,
    cookie_bytes: usize,
    proxied: Vec<&'a [u8]>,
    remove: Vec<String>,
    gpc: bool,
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

/// A cookie of the request, by its bytes and by what the catalogue says of it.
struct Sent<'a> {
    raw: &'a [u8],
    name: &'a [u8],
    entry: Option<EntryId>,
}

#[derive(Default)]
struct Cookies<'a> {
    consent: Once<'a>,
    active: Once<'a>,
    contact: Once<'a>,
    sent: Vec<Sent<'a>>,
}

impl<'a> Cookies<'a> {
    fn read(site: &SiteState, lines: &[&'a [u8]]) -> Self {
        let mut cookies = Self::default();
        for pair in lines.iter().flat_map(|line| pairs(line)) {
            if pair.name == site.names.consent.as_bytes() {
                cookies.consent.add(pair.value);
            } else if pair.name == site.names.active.as_bytes() {
                cookies.active.add(pair.value);
            } else if pair.name == site.names.contact.as_bytes() {
                cookies.contact.add(pair.value);
            }
            cookies.sent.push(Sent {
                raw: pair.raw,
                name: pair.name,
                entry: site.catalogue.find_cookie(pair.name),
            });
        }
        cookies
    }
}

impl Privet {
    /// Opens the visit of a request: whose it is, what the device brought, and how the request goes on.
    ///
    /// # Errors
    /// A [`Refusal`] when the request is not to be served at all.
    pub fn visit(&self, head: &dyn RequestHead) -> Result<(Visit, Rewrite), Refusal> {
        let site = self.site_of(head).ok_or(Refusal::UnknownSite)?;
        let now = self.now();
        let lines = self.read_lines(head);
        if lines.cookie_bytes > MAX_COOKIE_BYTES {
            tracing::warn!(
                bytes = lines.cookie_bytes,
                "a request brought more cookies than this site can have set; answered with 431"
            );
            return Err(Refusal::CookiesTooLarge);
        }
        let client = self.proxies().client(head.peer(), lines.proxied.iter().copied());
        if self.is_insecure_dev() && !client.is_local() {
            return Err(Refusal::PublicPeerInDevelopment);
        }
        let cookies = Cookies::read(&site, &lines.cookies);
        let brought = Brought::read(&site, &cookies, now, lines.gpc);
        let (closed, cookie) = self.close(&site, &cookies, &brought);
        let rewrite = Rewrite {
            remove: lines.remove,
            cookie,
            peer: self.hides_addresses().then(|| PeerHider::hide(&client, now.day(), self.epoch_keys())),
        };
        let visit = Visit(Arc::new(Inner {
            privet: self.clone(),
            now,
            gpc: lines.gpc,
            newer: brought.newer,
            state: brought.state,
            standing: brought.standing,
            session: brought.session,
            contact: brought.contact,
            closed,
            flags: AtomicU8::new(0),
            live: Mutex::new(Live {
                client,
                country: None,
                decided: None,
                activated: None,
                contact: None,
                set: Vec::new(),
            }),
            site,
        }));
        self.settle_pending(&visit);
        Ok((visit, rewrite))
    }

    fn read_lines<'a>(&self, head: &'a dyn RequestHead) -> Lines<'a> {
        let mut lines = Lines::default();
        let proxy_header = self.proxies().header_name();
        head.headers(&mut |name, value| {
            if name == "cookie" {
                lines.cookie_bytes += value.len();
                lines.cookies.push(value);
            } else if name == "sec-gpc" {
                // Exactly `1`, in any of several lines (W3C GPC, "The Sec-GPC Header Field").
                lines.gpc |= value == b"1";
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

    /// The cookies that handlers shall not see, and the line without them.
    #[allow(clippy::type_complexity, reason = "the two halves of one answer")]
    fn close(
        &self,
        site: &SiteState,
        cookies: &Cookies<'_>,
        brought: &Brought,
    ) -> (Vec<(EntryId, Box<str>)>, Option<Option<Vec<u8>>>) {
        if self.enforcement() == Enforcement::Report {
            return (Vec::new(), None);
        }
        let is_open = |sent: &Sent<'_>| {
            sent.entry.is_some_and(|id| {
                opens(site, site.catalogue.entry_gate(id), brought.standing, brought.session.as_ref())
            })
        };
        if cookies.sent.iter().all(is_open) {
            return (Vec::new(), None);
        }
        let mut closed = Vec::new();
        let mut kept: Vec<u8> = Vec::new();
        for sent in &cookies.sent {
            if is_open(sent) {
                if !kept.is_empty() {
                    kept.extend(b"; ");
                }
                kept.extend(sent.raw);
            } else if let (Some(id), Ok(name)) = (sent.entry, std::str::from_utf8(sent.name)) {
                closed.push((id, name.into()));
            }
        }
        (closed, Some((!kept.is_empty()).then_some(kept)))
    }
}

/// What the device brought, as far as it is authentic.
struct Brought {
    newer: bool,
    state: Option<crate::consent::ConsentState>,
    standing: Standing,
    session: Option<ActiveSession>,
    contact: Option<ContactCookie>,
}

impl Brought {
    fn read(site: &SiteState, cookies: &Cookies<'_>, now: Timestamp, gpc: bool) -> Self {
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
        Self {
            newer,
            standing: state.as_ref().map(|s| Standing::of(s, &site.catalogue, gpc)).unwrap_or_default(),
            state,
            session: cookies.active.value().and_then(|v| codec.decode_active(v, now)),
            contact: cookies.contact.value().and_then(|v| codec.decode_contact(v, now)),
        }
    }
}
