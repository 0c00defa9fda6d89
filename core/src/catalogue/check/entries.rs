//! Entries: name, lifetime, trigger, attributes.

use std::time::Duration;

use super::{COOKIE_SIZE_LIMIT, Check};
use crate::catalogue::CookieEntry;
use crate::catalogue::declare::{EntryDecl, ServiceDecl};
use crate::catalogue::gate::{Exemption, Gate, SameSite, StorageKind, Trigger};
use crate::catalogue::lifetime::{BadLifetime, Lifetime, MAX_COOKIE_LIFE};
use crate::catalogue::lint::Rule;
use crate::catalogue::own::OwnNames;
use crate::catalogue::pattern::NamePattern;

impl Check<'_> {
    pub(super) fn entry(
        &mut self,
        service: &ServiceDecl,
        decl: &EntryDecl,
        own: &OwnNames,
        from_privet: bool,
    ) -> Option<CookieEntry> {
        let at = format!("entry {}/{}", service.id, decl.name);
        let name = match NamePattern::parse(&decl.name) {
            Ok(name) => Some(name),
            Err(e) => {
                self.find(Rule::BadName, &at, e.to_string(), "write the name as it is set");
                None
            }
        };
        if let Some(name) = &name {
            self.name_fits(&at, name, decl, from_privet, own);
        }
        let gate = match &decl.gate {
            None => {
                self.find(Rule::BadGate, &at, "the gate is missing", "write `gate = { consent = \"…\" }`, `{ activation = \"…\" }` or `{ exempt = \"…\", justification = \"…\" }`");
                None
            }
            Some(gate) => self.gate(&at, gate),
        };
        let lifetime = self.lifetime(&at, decl);
        let trigger = decl.trigger.or_else(|| decl.gesture.as_ref().map(|_| Trigger::Gesture));
        if trigger.is_none() {
            self.find(
                Rule::TriggerMissing,
                &at,
                "what makes it come into being is not said",
                "write `trigger = \"load\"`, `\"timer\"`, `\"gesture\"` or `\"server\"`",
            );
        }
        let purpose = self.text(&at, "purpose", decl.purpose.clone());
        if let (Some(gate), Some(trigger)) = (&gate, trigger) {
            self.trigger_fits(&at, service, decl, gate, trigger);
        }
        if let (Some(Gate::Exempt { reason, .. }), Some(lifetime), false) = (&gate, lifetime, from_privet) {
            self.exempt_is_short(&at, *reason, lifetime);
        }
        let mut third_party_access = decl.third_party_access.clone();
        third_party_access.extend(service.third_party_access.iter().cloned());
        third_party_access.sort();
        third_party_access.dedup();
        Some(CookieEntry {
            name: name?,
            storage: decl.storage,
            purpose,
            lifetime: lifetime?,
            gate: gate?,
            trigger: trigger?,
            condition: decl.condition.clone(),
            third_party_access,
            paths: if decl.path.0.is_empty() { vec!["/".to_owned()] } else { decl.path.0.clone() },
            domains: decl.domain.0.iter().map(|d| d.trim_start_matches('.').to_ascii_lowercase()).collect(),
            http_only: decl.http_only.unwrap_or(true),
            same_site: decl.same_site.unwrap_or(SameSite::Lax),
            partitioned: decl.partitioned,
        })
    }

    pub(super) fn name_fits(
        &mut self,
        at: &str,
        name: &NamePattern,
        decl: &EntryDecl,
        from_privet: bool,
        own: &OwnNames,
    ) {
        if !from_privet
            && (own.is_own(name.as_str().as_bytes()) || OwnNames::default().is_own(name.as_str().as_bytes()))
        {
            self.find(
                Rule::ReservedName,
                at,
                "privet sets this cookie itself",
                "remove the entry; it is in the catalogue and in the statement already",
            );
        }
        if name.literal().is_none() && name.fixed_len() < 3 {
            self.find(
                Rule::PatternTooWide,
                at,
                "fewer than three characters of the name are fixed",
                "fix more of it, or cookies of others are taken for this one",
            );
        }
        if decl.storage != StorageKind::Cookie {
            return;
        }
        // RFC 6265bis, section 4.1.1: a cookie name is a token.
        let token = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
        let sample = name.as_str().replace(['<', '>'], "");
        if !sample.bytes().all(token) {
            self.find(
                Rule::BadName,
                at,
                "a cookie name holds a character that browsers or servers refuse",
                "use letters, digits and `!#$%&'*+-.^_`|~`",
            );
        }
        if name.as_str().len() > COOKIE_SIZE_LIMIT {
            self.find(
                Rule::BadName,
                at,
                format!("browsers ignore a cookie of more than {COOKIE_SIZE_LIMIT} octets of name and value"),
                "shorten the name",
            );
        }
        let lower = name.as_str().to_ascii_lowercase();
        let has_domain = decl.domain.0.iter().any(|d| !d.trim().is_empty());
        let has_path = decl.path.0.iter().any(|p| p != "/");
        if lower.starts_with("__host-") && (has_domain || has_path) {
            self.find(
                Rule::BadName,
                at,
                "a `__Host-` cookie has no Domain and the path `/`",
                "take `domain` and `path` away, or name it `__Secure-…`",
            );
        }
        let http_prefix = lower.starts_with("__http-") || lower.starts_with("__host-http-");
        if http_prefix && decl.http_only == Some(false) {
            self.find(
                Rule::BadName,
                at,
                "a `__Http-` cookie is kept away from scripts",
                "take `http_only = false` away, or name it otherwise",
            );
        }
    }

    pub(super) fn lifetime(&mut self, at: &str, decl: &EntryDecl) -> Option<Lifetime> {
        match Lifetime::parse(&decl.duration) {
            Ok(Lifetime::Exactly(d)) if decl.storage == StorageKind::Cookie && d > MAX_COOKIE_LIFE => {
                self.find(
                    Rule::DurationOverLimit,
                    at,
                    format!("`{}` is longer than browsers keep a cookie", decl.duration),
                    "write at most `400 days`",
                );
                None
            }
            Ok(lifetime) => Some(lifetime),
            Err(BadLifetime::Missing) => {
                let what = if decl.duration.trim().is_empty() {
                    "the duration is missing".to_owned()
                } else {
                    format!("`{}` names no period", decl.duration)
                };
                self.find(
                    Rule::DurationMissing,
                    at,
                    what,
                    "write how long it lives: `duration = \"180 days\"`, or `\"session\"`",
                );
                None
            }
            Err(BadLifetime::Inexact) => {
                self.find(
                    Rule::DurationInexact,
                    at,
                    format!("`{}` has no exact length", decl.duration),
                    "write it in days: 395 days for 13 months, 365 days for a year",
                );
                None
            }
            Err(BadLifetime::Unreadable) => {
                self.find(
                    Rule::DurationInexact,
                    at,
                    format!("`{}` is no duration", decl.duration.escape_default()),
                    "write a number and a unit: seconds, minutes, hours, days or weeks",
                );
                None
            }
        }
    }

    pub(super) fn trigger_fits(
        &mut self,
        at: &str,
        service: &ServiceDecl,
        decl: &EntryDecl,
        gate: &Gate,
        trigger: Trigger,
    ) {
        let before_the_visitor_acts = matches!(trigger, Trigger::Load | Trigger::Timer);
        if before_the_visitor_acts && gate.category().is_none() && service.no_storage_before_activation {
            self.find(
                Rule::PromiseBroken,
                at,
                "it is set before the visitor acts, and the service promises to store nothing before that",
                "set it after the visitor starts the service (`trigger = \"gesture\"`), ask for consent (`gate = { consent = \"…\" }`), or keep it in the page's memory and remove the entry",
            );
            return;
        }
        let Gate::Activation { service: waits_for } = gate else { return };
        if before_the_visitor_acts {
            self.find(
                Rule::ActivationWithoutGesture,
                at,
                "it waits for the visitor to start the service and is set by load or timer",
                "set it on the visitor's gesture",
            );
        } else if let (Trigger::Gesture, Some(gesture)) = (trigger, &decl.gesture)
            && *waits_for == service.id
            && !service.activated_by.contains(gesture)
        {
            self.find(
                Rule::GestureIsNotActivation,
                at,
                format!("`{gesture}` is a gesture of the visitor that does not start the service"),
                "set it only once the service is started, or keep the state in the page's memory until then",
            );
        }
    }

    pub(super) fn exempt_is_short(&mut self, at: &str, reason: Exemption, lifetime: Lifetime) {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        let (limit, word) = match reason {
            Exemption::Transmission | Exemption::LoadBalancing | Exemption::MediaPlayer => {
                (Duration::ZERO, "the session")
            }
            Exemption::UserInput | Exemption::RequestedService => (days(1), "the session or a few hours"),
            Exemption::UiPreference => (days(31), "the session or slightly longer"),
            Exemption::ChoiceMemory => (days(184), "six months"),
            Exemption::Auth | Exemption::Security => return,
        };
        if lifetime.exactly().is_some_and(|d| d > limit) {
            self.find(
                Rule::ExemptTooLong,
                at,
                format!("it lives for {lifetime}, and its reason needs {word}"),
                "shorten the duration, or ask for consent",
            );
        }
    }
}
