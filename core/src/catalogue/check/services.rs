//! Services, their recipients and their gates.

use url::{Host, Url};

use super::Check;
use crate::catalogue::declare::{GateDecl, RecipientDecl, ServiceDecl};
use crate::catalogue::gate::{Attestation, ConsentException, Exceptions, Gate, category_id};
use crate::catalogue::lint::Rule;
use crate::catalogue::own::{OWN_SERVICE, OwnNames};
use crate::catalogue::text::Text;
use crate::catalogue::{Recipient, Service};

/// What can be seen of an endpoint before its name is resolved.
fn endpoint_is_public(endpoint: &str) -> Result<(), &'static str> {
    let url = Url::parse(endpoint).map_err(|_| "it is no URL")?;
    if url.scheme() != "https" {
        return Err("it is not `https`");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("it has a user or a fragment");
    }
    match url.host() {
        Some(Host::Domain(name)) if name.contains('.') && !name.ends_with('.') && !is_local_name(name) => {
            Ok(())
        }
        Some(Host::Ipv4(ip)) if crate::ip::is_public(ip.into()) => Ok(()),
        Some(Host::Ipv6(ip)) if crate::ip::is_public(ip.into()) => Ok(()),
        _ => Err("its host is not on the Internet"),
    }
}

/// Names that lead nowhere else (RFC 6761, RFC 6762, RFC 8375).
fn is_local_name(name: &str) -> bool {
    ["localhost", "local", "internal", "home.arpa"]
        .iter()
        .any(|top| name.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

impl Check<'_> {
    pub(super) fn recipient(&mut self, decl: &RecipientDecl) -> Recipient {
        let at = format!("recipient {}", decl.id);
        if decl.name.trim().is_empty() {
            self.find(
                Rule::TextMissing,
                &at,
                "the name is missing",
                "write `name = \"…\"`: recipients are named (GDPR Art. 13(1)(e))",
            );
        }
        let country = decl.country.to_ascii_uppercase();
        if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
            self.find(
                Rule::BadCountry,
                &at,
                "the country is missing or no ISO 3166-1 code",
                "write `country = \"NL\"`",
            );
        }
        for field in &decl.fields {
            let plain = !field.is_empty()
                && field.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            if !plain
                || matches!(field.as_str(), "ip" | "address" | "ip_address" | "client_ip" | "remote_addr")
            {
                self.find(Rule::BadField, &at, format!("field `{}` cannot be given to anybody", field.escape_default()), "name plain fields; for the address write `address = \"keyed-hash\"` and the field `pseudonym`");
            }
        }
        let headers: Vec<_> = decl.headers.iter().map(|h| h.to_ascii_lowercase()).collect();
        for header in &headers {
            if crate::ip::carries_address(header)
                || matches!(
                    header.as_str(),
                    "cookie" | "authorization" | "set-cookie" | "proxy-authorization"
                )
            {
                self.find(
                    Rule::BadField,
                    &at,
                    format!("header `{header}` cannot be given to anybody"),
                    "take it off `headers`: it carries an address or a secret",
                );
            }
        }
        if let Some(endpoint) = &decl.withdrawal_endpoint
            && let Err(why) = endpoint_is_public(endpoint)
        {
            self.find(
                Rule::BadEndpoint,
                &at,
                format!("nobody can be told of a withdrawal at `{}`: {why}", endpoint.escape_default()),
                "write an `https` URL of a host on the Internet, without user and without fragment",
            );
        }
        Recipient {
            id: decl.id.clone(),
            name: decl.name.clone(),
            country,
            safeguard: decl.safeguard.clone(),
            purpose: self.text(&at, "purpose", decl.purpose.clone()),
            fields: decl.fields.clone(),
            headers,
            address: decl.address,
            withdrawal_endpoint: decl.withdrawal_endpoint.clone(),
        }
    }

    pub(super) fn service(&mut self, mut decl: ServiceDecl, own: &OwnNames) -> Option<Service> {
        let at = format!("service {}", decl.id);
        let from_privet = decl.id == OWN_SERVICE;
        if decl.provider.trim().is_empty() {
            if from_privet {
                decl.provider.clone_from(&self.controller.name);
            } else {
                self.find(
                    Rule::ProviderMissing,
                    &at,
                    "the provider is missing",
                    "write `provider = \"…\"`: the visitor has to know who sets it",
                );
            }
        }
        if decl.legal_basis.is_none() {
            self.find(
                Rule::LegalBasisMissing,
                &at,
                "the legal basis is missing",
                "write `legal_basis = \"consent\"` or another of GDPR Art. 6(1)",
            );
        }
        let purpose = self.text(&at, "purpose", std::mem::take(&mut decl.purpose));
        let label = if decl.label.is_empty() {
            let mut label = Text::default();
            label.set(Some(self.languages[0].clone()), decl.id.clone());
            label
        } else {
            self.text(&at, "label", std::mem::take(&mut decl.label))
        };
        for recipient in &decl.recipients {
            if !self.recipient_ids.contains(recipient) {
                self.find(
                    Rule::UnknownRecipient,
                    &at,
                    format!("recipient `{recipient}` is not declared"),
                    format!("write `[[recipient]]` with `id = \"{recipient}\"`"),
                );
            }
        }
        if decl.external_content && decl.external_hosts.is_empty() {
            self.find(
                Rule::ExternalSourceUnnamed,
                &at,
                "external content is announced and no source is named",
                "write `external_hosts = [\"…\"]`, or take `external_content` away",
            );
        }
        let gate = decl.gate.take().and_then(|g| self.gate(&at, &g));
        let entries = std::mem::take(&mut decl.entries);
        let entries: Vec<_> = entries.iter().filter_map(|e| self.entry(&decl, e, own, from_privet)).collect();
        let forwarded = !decl.recipients.is_empty();
        if let Some(gate) = &gate {
            self.exception_is_not_shared(&at, gate, forwarded || !decl.third_party_access.is_empty());
        }
        for entry in &entries {
            let at = format!("entry {}/{}", decl.id, entry.name);
            self.exception_is_not_shared(&at, &entry.gate, forwarded || !entry.third_party_access.is_empty());
        }
        Some(Service {
            id: decl.id,
            label,
            provider: decl.provider,
            purpose,
            purpose_version: decl.purpose_version.unwrap_or(1),
            legal_basis: decl.legal_basis?,
            gate,
            recipients: decl.recipients,
            external_hosts: decl.external_hosts,
            entries,
        })
    }

    pub(super) fn gate(&mut self, at: &str, decl: &GateDecl) -> Option<Gate> {
        let given = [
            decl.exempt.is_some(),
            decl.activation.is_some(),
            decl.consent.is_some(),
            decl.unless_objected.is_some(),
        ];
        if given.iter().filter(|g| **g).count() != 1 {
            self.find(
                Rule::BadGate,
                at,
                "the gate names none or several of `exempt`, `activation`, `consent`, `unless_objected`",
                "name exactly one",
            );
            return None;
        }
        if let Some(reason) = decl.exempt {
            let justification = decl.justification.clone().unwrap_or_default();
            if justification.trim().is_empty() {
                self.find(Rule::ExemptUnjustified, at, "an exemption is claimed and not justified", "write `justification = \"…\"`: why the visitor's own request cannot be served without it; or ask for consent");
                return None;
            }
            return Some(Gate::Exempt { reason, justification });
        }
        if let Some(service) = &decl.activation {
            if !self.service_ids.contains(service) {
                self.find(
                    Rule::UnknownService,
                    at,
                    format!("service `{service}` is not declared"),
                    format!("write `[[service]]` with `id = \"{service}\"`, or name a declared one"),
                );
                return None;
            }
            return Some(Gate::Activation { service: service.clone() });
        }
        let category = decl.consent.as_ref().or(decl.unless_objected.as_ref())?;
        if category == category_id::NECESSARY {
            self.find(
                Rule::NecessaryIsNotAsked,
                at,
                "what is necessary is not asked for",
                "write `gate = { exempt = \"…\", justification = \"…\" }`",
            );
            return None;
        }
        let Some(code) = self.codes.get(category).copied() else {
            self.find(
                Rule::UnknownCategory,
                at,
                format!("category `{category}` is not declared"),
                format!("write `[[category]]` with `id = \"{category}\"`, or name a declared one"),
            );
            return None;
        };
        self.used_categories.insert(category.clone());
        if decl.consent.is_some() {
            return Some(Gate::Consent(code));
        }
        let exceptions = self.exceptions(at, decl);
        Some(Gate::UnlessObjected { category: code, exceptions })
    }

    /// What a gate that is open until the visitor objects stands on; without any it needs consent everywhere.
    fn exceptions(&mut self, at: &str, decl: &GateDecl) -> Exceptions {
        if decl.exceptions.is_empty() {
            self.find(
                Rule::ExceptionMissing,
                at,
                "it is to be open unless the visitor objects, and names no exception, so that it needs consent everywhere",
                "name what it stands on: `exceptions = [\"uk-statistics\"]`; or write `gate = { consent = \"…\" }`",
            );
        }
        let missing: Vec<_> = Attestation::ALL.iter().filter(|a| !decl.attests.contains(a)).collect();
        if decl.exceptions.contains(&ConsentException::FrAudienceMeasurement) && !missing.is_empty() {
            let missing: Vec<_> = missing.iter().map(|a| a.as_str()).collect();
            self.find(
                Rule::ExceptionNotAttested,
                at,
                format!(
                    "`fr-audience-measurement` is claimed, and these are not attested: {}",
                    missing.join(", ")
                ),
                "write them into `attests` if they are true, each of them; else ask for consent",
            );
        }
        Exceptions::of(&decl.exceptions)
    }

    /// Statistics that need no consent are shared with nobody.
    fn exception_is_not_shared(&mut self, at: &str, gate: &Gate, shared: bool) {
        let Gate::UnlessObjected { exceptions, .. } = gate else { return };
        let own_use = [ConsentException::UkStatistics, ConsentException::FrAudienceMeasurement];
        if shared && exceptions.meet(Exceptions::of(&own_use)) {
            self.find(
                Rule::ExceptionShared,
                at,
                "statistics are to need no consent, and others can read them or receive them",
                "share them with nobody, or write `gate = { consent = \"…\" }`",
            );
        }
    }
}
