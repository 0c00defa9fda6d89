//! The response head: every cookie judged, our own set, caches told, the address gone.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cookie::Cookie;
use zeroize::Zeroize;

use super::head::{ResponseHead, ResponseHeader};
use super::judge::{Judge, same_site};
use super::violation::{Enforcement, ViolationKind};
use super::{BANNER_SHOWN, CLOSED, CONSENT_READ, ContactChange, Live, SEALED, Visit};
use crate::catalogue::{CookieEntry, Exceptions, StorageKind};
use crate::clock::Day;
use crate::consent::{Decision, Kept, Standing};

/// Closes a visit when it is dropped: for adapters, whose request may end without an answer when the client goes
/// away or a handler panics.
#[derive(Debug)]
pub struct CloseOnDrop(pub Visit);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What becomes of the response.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a denied response must not leave"]
pub enum Sealing {
    /// It may leave as it is now.
    Sealed,
    /// It may not leave: answer 500 with this instead. Only under [`Enforcement::Deny`].
    Denied(Deny),
}

/// The cookie for which a response may not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deny {
    /// Its name.
    pub cookie: String,
    /// What was wrong.
    pub kind: ViolationKind,
}

impl std::fmt::Display for Deny {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cookie `{}` is not allowed by the catalogue ({:?}); the log names the cure",
            self.cookie.escape_default(),
            self.kind
        )
    }
}

impl Visit {
    /// Seals the response head: judges each `Set-Cookie`, adds our own, tells caches, and overwrites the
    /// visitor's address. What this visit gave out opens nothing afterwards. Sealing twice changes nothing.
    pub fn seal(&self, head: &mut dyn ResponseHead) -> Sealing {
        if self.0.flags.fetch_or(SEALED, Ordering::Relaxed) & SEALED != 0 {
            return Sealing::Sealed;
        }
        let standing = self.standing();
        let judged = self.judge_all(head, standing);
        let ours = {
            let mut live = self.live();
            live.client.zeroize();
            self.own_lines(&mut live, standing)
        };
        let Judged { lines, changed } = match judged {
            Ok(judged) => judged,
            Err(deny) => return Sealing::Denied(deny),
        };
        let touched = changed || !ours.is_empty();
        if touched {
            head.remove(ResponseHeader::SetCookie);
            for line in lines.into_iter().chain(ours.into_iter().map(String::into_bytes)) {
                head.append(ResponseHeader::SetCookie, line.into());
            }
        }
        if touched || self.has(CONSENT_READ) {
            self.tell_caches(head);
        }
        self.warn_without_banner(head, standing);
        self.note_touch(head);
        Sealing::Sealed
    }

    /// Ends the visit of a request that gets no answer: the address is overwritten, and what the visit gave out
    /// opens nothing any more. A response that comes all the same still has to be [sealed](Self::seal), and is
    /// judged like any other.
    pub fn close(&self) {
        if self.0.flags.fetch_or(CLOSED, Ordering::Relaxed) & CLOSED == 0 {
            self.live().client.zeroize();
        }
    }

    fn judge_all(&self, head: &dyn ResponseHead, standing: Standing) -> Result<Judged, Deny> {
        let mut lines = Vec::new();
        head.lines(ResponseHeader::SetCookie, &mut |line| lines.push(line));
        if lines.is_empty() {
            return Ok(Judged::default());
        }
        let privet = &self.0.privet;
        let site = &self.0.site;
        let session = self.live().activated.clone().or_else(|| self.0.session.clone());
        let judge = Judge {
            catalogue: &site.catalogue,
            is_own: &|name| site.names.is_own(name),
            is_open: &|gate| self.opens(gate, standing, session.as_ref()),
            renews: &|id| {
                let granted =
                    site.catalogue.entry(id).gate.category().is_some_and(|c| standing.opens(c.bit()));
                !granted && self.0.unrenewable.contains(&id)
            },
            now: privet.now(),
            secure: site.secure,
        };
        let mut judged = Judged::default();
        for line in lines {
            let verdict = judge.judge(line);
            if let Some(kind) = verdict.kind {
                privet.note_violation(&verdict.name, kind);
                match privet.enforcement() {
                    Enforcement::Enforce => {}
                    Enforcement::Report => {
                        judged.lines.push(line.to_vec());
                        continue;
                    }
                    Enforcement::Deny => return Err(Deny { cookie: verdict.name, kind }),
                }
            }
            match verdict.line {
                Some(written) => {
                    judged.changed |= written != line;
                    judged.lines.push(written);
                }
                None => judged.changed = true,
            }
        }
        // A response that sets a cookie is one visitor's, whoever set it.
        self.flag(CONSENT_READ);
        Ok(judged)
    }

    /// The lines that privet adds.
    fn own_lines(&self, live: &mut Live, standing: Standing) -> Vec<String> {
        let decided = live.decided.is_some() || live.account.is_some();
        let changed = decided || live.activated.is_some() || live.contact.is_some();
        if !changed && live.set.is_empty() && self.0.closed.is_empty() {
            return Vec::new();
        }
        let site = &self.0.site;
        let set = std::mem::take(&mut live.set);
        let mut lines: Vec<_> =
            set.into_iter().filter(|(c, _)| standing.granted & c.bit() != 0).map(|(_, line)| line).collect();
        if let Some(state) = &live.decided {
            let kept = if state.choices().any(|c| c.kept == Kept::Refused) {
                site.consent_life
            } else {
                site.choice_life
            };
            let life = (state.day.start() + kept).since(self.0.now);
            lines.push(self.own_cookie(&site.names.consent, site.codec.encode_consent(state), Some(life)));
        }
        match &live.account {
            Some(Some(account)) => {
                // A withdrawal that waits outlives the browser's session: the device carries it until it is recorded.
                let life = account.state.pending.then_some(site.choice_life);
                lines.push(self.own_cookie(&site.names.account, site.codec.encode_account(account), life));
            }
            Some(None) => lines.extend(self.own_expiries(&site.names.account)),
            None => {}
        }
        if decided {
            lines.extend(self.expiries_after(self.0.standing, standing));
        }
        if let Some(active) = &live.activated {
            lines.push(self.own_cookie(&site.names.active, site.codec.encode_active(active), None));
        }
        match live.contact {
            Some(ContactChange::Set(contact)) if self.contact_is_granted(standing) => {
                let life = Day::from_number(contact.until.number() + 1).start().since(self.0.now);
                lines.push(self.own_cookie(
                    &site.names.contact,
                    site.codec.encode_contact(&contact),
                    Some(life),
                ));
            }
            Some(ContactChange::Expire) => lines.extend(self.own_expiries(&site.names.contact)),
            _ => {}
        }
        // A contact that is let go is both withdrawn and expired.
        let mut seen = BTreeSet::new();
        let keeps = self.keeps_contact_of_device(live);
        let kept = |name: &str| keeps && name == site.names.contact;
        lines.retain(|line| !line.split('=').next().is_some_and(kept));
        lines.retain(|line| seen.insert(line.clone()));
        // What the browser still sends although its visitor refused it.
        for (id, name) in &self.0.closed {
            let entry = site.catalogue.entry(*id);
            let refused = entry.gate.category().is_some_and(|c| standing.refused & c.bit() != 0);
            if refused && !kept(name) && !lines.iter().any(|l| l.starts_with(&format!("{name}="))) {
                lines.extend(expiries(entry, name, site.secure));
            }
        }
        lines
    }

    /// Whether the browser's contact stands on the device's own grant below an account that says something else: it is not
    /// seen, and is back after the account signs out.
    fn keeps_contact_of_device(&self, live: &Live) -> bool {
        let signed_in = live.account.as_ref().unwrap_or(&self.0.account).is_some();
        let device = live.decided.as_ref().or(self.0.device.as_ref());
        let contacts = crate::privet::contacts_code(&self.0.site);
        signed_in
            && live.contact.is_none()
            && self.0.contact.is_some_and(|c| c.line.is_none())
            && device.is_some_and(|state| self.grants_today(state, contacts))
    }

    /// What a decision closed: every declared variant of every cookie behind it.
    fn expiries_after(&self, before: Standing, after: Standing) -> Vec<String> {
        let site = &self.0.site;
        let mut lines = Vec::new();
        for category in site.catalogue.categories() {
            let bit = category.code.bit();
            let objects =
                after.exceptions != Exceptions::NONE && after.objected & !before.objected & bit != 0;
            if !objects && (!before.opens(bit) || after.opens(bit)) {
                continue;
            }
            let gated = site.catalogue.cookies_of(category.code);
            lines.extend(gated.filter_map(|e| Some(expiries(e, e.name.literal()?, site.secure))).flatten());
            for (id, name) in &self.0.patterned {
                let entry = site.catalogue.entry(*id);
                if entry.gate.category() == Some(category.code) {
                    lines.extend(expiries(entry, name, site.secure));
                }
            }
        }
        lines
    }

    fn own_expiries(&self, name: &str) -> Vec<String> {
        let site = &self.0.site;
        let entry = site.catalogue.find_cookie(name.as_bytes()).map(|id| site.catalogue.entry(id));
        entry.map(|e| expiries(e, name, site.secure)).unwrap_or_default()
    }

    fn contact_is_granted(&self, standing: Standing) -> bool {
        let contacts = self.catalogue().category(crate::catalogue::category_id::CONTACTS);
        contacts.is_some_and(|c| standing.decision(c) == Decision::Granted)
    }

    fn own_cookie(&self, name: &str, value: String, life: Option<Duration>) -> String {
        let site = &self.0.site;
        let mut cookie = Cookie::build((name, value))
            .http_only(true)
            .same_site(cookie::SameSite::Lax)
            .secure(site.secure)
            .path("/");
        if let Some(domain) = &site.domain {
            cookie = cookie.domain(domain.clone());
        }
        if let Some(life) = life {
            cookie = cookie.max_age(time::Duration::seconds(i64::try_from(life.as_secs()).unwrap_or(0)));
        }
        cookie.build().to_string()
    }

    /// `Vary` and `private`, where an answer depends on the visitor.
    fn tell_caches(&self, head: &mut dyn ResponseHead) {
        let mut varies = false;
        head.lines(ResponseHeader::Vary, &mut |line| {
            varies |= members(line).any(|v| v.eq_ignore_ascii_case(b"cookie") || v == b"*");
        });
        if !varies {
            head.append(ResponseHeader::Vary, Cow::Borrowed(b"Cookie"));
        }
        if self.site().sales != 0 {
            head.append(ResponseHeader::Vary, Cow::Borrowed(b"Sec-GPC"));
        }
        let mut kept = Vec::new();
        let mut said = false;
        head.lines(ResponseHeader::CacheControl, &mut |line| {
            said = true;
            kept.extend(members(line).filter(|d| !is_about_sharing(d)));
        });
        let nowhere = kept.iter().any(|d| d.eq_ignore_ascii_case(b"no-store"));
        let control = if kept.is_empty() {
            Cow::Borrowed(b"private".as_slice())
        } else {
            kept.insert(0, b"private");
            Cow::Owned(kept.join(b", ".as_slice()))
        };
        // They would go before it.
        head.remove(ResponseHeader::CdnCacheControl);
        head.remove(ResponseHeader::SurrogateControl);
        if nowhere {
            return;
        }
        if said {
            head.remove(ResponseHeader::CacheControl);
        }
        head.append(ResponseHeader::CacheControl, control);
    }

    fn warn_without_banner(&self, head: &dyn ResponseHead, standing: Standing) {
        let asks = self.0.regime.rules().asks && !self.site().is_decided(standing);
        if !asks || self.has(BANNER_SHOWN) || head.status() != 200 {
            return;
        }
        let mut html = false;
        head.lines(ResponseHeader::ContentType, &mut |line| html |= line.starts_with(b"text/html"));
        if html {
            self.0.privet.warn_missing_banner();
        }
    }

    fn note_touch(&self, head: &dyn ResponseHead) {
        self.note_objection();
        if self.0.contact.is_some()
            && head.status() < 500
            && let Some(contact) = self.contact()
        {
            self.0.privet.touches().note(self.scope(), contact.id, contact.epoch, self.0.now);
        }
    }
}

impl Visit {
    /// The browser of a contact, or of somebody who is signed in, sends Global Privacy Control, and something that it
    /// switches off was granted before.
    fn note_objection(&self) {
        let sales = self.site().sales;
        if !self.0.gpc || sales == 0 {
            return;
        }
        let of_contact = if self.0.contact.is_some() { self.device_state() } else { None };
        let of_account = self.account().map(|a| a.state);
        for state in [of_contact, of_account].into_iter().flatten() {
            let sold = state.choices().any(|c| c.kept == Kept::Granted && c.code.bit() & sales != 0);
            if let (true, Some(record)) = (sold, state.record) {
                self.0.privet.note_objection(self.scope(), record);
            }
        }
    }
}

/// The `Set-Cookie` lines of a response as they may leave.
#[derive(Default)]
struct Judged {
    lines: Vec<Vec<u8>>,
    changed: bool,
}

/// The members of a header that is a list (RFC 9110, section 5.6.1).
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let outside = move |b: &u8| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    };
    line.split(outside).map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether a cache directive says who may share the answer, which privet says itself.
fn is_about_sharing(directive: &[u8]) -> bool {
    let name = directive.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
    [b"public".as_slice(), b"s-maxage", b"private"].iter().any(|d| name.eq_ignore_ascii_case(d))
}

/// A line that expires a cookie, for each way in which it may have been set: every declared path and domain,
/// the host alone, partitioned or not.
fn expiries(entry: &CookieEntry, name: &str, secure: bool) -> Vec<String> {
    if entry.storage != StorageKind::Cookie {
        return Vec::new();
    }
    let domains = std::iter::once(None).chain(entry.domains.iter().map(Some));
    let mut lines = Vec::new();
    for domain in domains {
        for path in &entry.paths {
            let mut cookie = Cookie::build((name, ""))
                .path(path.as_str())
                .http_only(entry.http_only)
                .same_site(same_site(entry.same_site))
                .partitioned(entry.partitioned)
                .secure(secure)
                .max_age(time::Duration::ZERO);
            if let Some(domain) = domain {
                cookie = cookie.domain(domain.as_str());
            }
            lines.push(cookie.build().to_string());
        }
    }
    lines
}
