//! What a developer writes down: the declarations that [`CatalogueBuilder`](super::CatalogueBuilder) takes,
//! from TOML or from Rust. Nothing here is checked yet; `lint()` and `build()` do that.

use serde::Deserialize;

use super::gate::{Attestation, ConsentException, Exemption, LegalBasis, SameSite, StorageKind, Trigger};
use super::text::{Language, Text};
use crate::ip::Strategy;

/// One value or a list of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "OneOrManyForm")]
pub(crate) struct OneOrMany(pub(crate) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrManyForm {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrManyForm> for OneOrMany {
    fn from(form: OneOrManyForm) -> Self {
        Self(match form {
            OneOrManyForm::One(v) => vec![v],
            OneOrManyForm::Many(v) => v,
        })
    }
}

macro_rules! text_setter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// A `language` that is no tag is reported by `build()` as a missing text.
        #[must_use]
        pub fn $name(mut self, language: &str, text: impl Into<String>) -> Self {
            if let Ok(language) = Language::new(language) {
                self.$name.set(Some(language), text.into());
            }
            self
        }
    };
}

macro_rules! setter {
    ($(#[$doc:meta])* $name:ident: $kind:ty) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$kind>) -> Self {
            self.$name = $name.into();
            self
        }
    };
}

macro_rules! pusher {
    ($(#[$doc:meta])* $name:ident => $field:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<String>) -> Self {
            self.$field.push($name.into());
            self
        }
    };
}

/// The operator of the site (GDPR Art. 4(7), 13(1)(a)): who answers for it, and where to reach them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Controller {
    /// Name of the person or company.
    #[serde(default)]
    pub name: String,
    /// How to reach them: an e-mail address, a URL, a telephone number.
    #[serde(default)]
    pub contact: String,
    /// Postal address.
    #[serde(default)]
    pub address: Option<String>,
    /// How to reach the data protection officer, where one is appointed (Art. 13(1)(b)).
    #[serde(default)]
    pub data_protection_officer: Option<String>,
}

impl Controller {
    /// A controller with the two things nobody can leave out.
    #[must_use]
    pub fn new(name: impl Into<String>, contact: impl Into<String>) -> Self {
        Self { name: name.into(), contact: contact.into(), ..Self::default() }
    }
}

/// A category as declared: one purpose, asked and withdrawn on its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryDecl {
    pub(crate) id: String,
    pub(crate) code: Option<u8>,
    #[serde(default)]
    pub(crate) label: Text,
    #[serde(default)]
    pub(crate) purpose: Text,
    #[serde(default)]
    pub(crate) sale_or_share: bool,
    pub(crate) purpose_version: Option<u16>,
    pub(crate) on_withdrawal: Option<KeepDecl>,
}

/// What becomes of data that privet holds on a consent, when that is withdrawn: it is erased, unless this says on what
/// other basis it is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeepDecl {
    pub(crate) keep: LegalBasis,
    #[serde(default)]
    pub(crate) reason: Text,
}

impl CategoryDecl {
    /// A category. The built-in ids are in [`category_id`](super::category_id); another id needs a
    /// [`code`](Self::code).
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// The stable number of a category of the app's own, 8 to 63; never give it to another category.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    text_setter! {
        /// The name a visitor reads. The built-in categories have one in six languages.
        label
    }

    text_setter! {
        /// What the visitor agrees to, in plain words (GDPR Art. 7(2), 12(1)).
        purpose
    }

    /// Keeps what privet holds under `contacts` when the consent is withdrawn, on another basis, for a reason that the
    /// visitor reads before they consent; without it, it is erased (GDPR Art. 17(1)(b)).
    #[must_use]
    pub fn keep_on_withdrawal(
        mut self,
        basis: LegalBasis,
        language: &str,
        reason: impl Into<String>,
    ) -> Self {
        let mut kept = self.on_withdrawal.take().unwrap_or(KeepDecl { keep: basis, reason: Text::default() });
        kept.keep = basis;
        if let Ok(language) = Language::new(language) {
            kept.reason.set(Some(language), reason.into());
        }
        self.on_withdrawal = Some(kept);
        self
    }

    /// Raise it when the purpose becomes another one, and not only its words: visitors are then asked anew (EDPB Guidelines
    /// 05/2020, para 110). 1, if nothing is said.
    #[must_use]
    pub fn purpose_version(mut self, version: u16) -> Self {
        self.purpose_version = Some(version);
        self
    }

    /// Marks the category as sale or sharing of data, which Global Privacy Control switches off.
    #[must_use]
    pub fn sale_or_share(mut self) -> Self {
        self.sale_or_share = true;
        self
    }
}

/// A service as declared: who sets things, why, and who gets what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceDecl {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) label: Text,
    #[serde(default)]
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) purpose: Text,
    pub(crate) purpose_version: Option<u16>,
    pub(crate) legal_basis: Option<LegalBasis>,
    /// The gate of what the service does beside its entries: embeds, scripts, server-side work.
    pub(crate) gate: Option<GateDecl>,
    #[serde(default)]
    pub(crate) recipients: Vec<String>,
    #[serde(default)]
    pub(crate) external_content: bool,
    #[serde(default)]
    pub(crate) external_hosts: Vec<String>,
    #[serde(default)]
    pub(crate) activated_by: Vec<String>,
    #[serde(default)]
    pub(crate) no_storage_before_activation: bool,
    #[serde(default)]
    pub(crate) third_party_access: Vec<String>,
    #[serde(default, rename = "entry")]
    pub(crate) entries: Vec<EntryDecl>,
}

impl ServiceDecl {
    /// A service and who provides it.
    #[must_use]
    pub fn new(id: impl Into<String>, provider: impl Into<String>) -> Self {
        Self { id: id.into(), provider: provider.into(), ..Self::default() }
    }

    text_setter! {
        /// The name a visitor reads; the id, if none is given.
        label
    }

    text_setter! {
        /// What the service is for.
        purpose
    }

    /// Raise it when the purpose becomes another one, and not only its words: visitors are then asked anew (EDPB Guidelines
    /// 05/2020, para 110). 1, if nothing is said.
    #[must_use]
    pub fn purpose_version(mut self, version: u16) -> Self {
        self.purpose_version = Some(version);
        self
    }

    /// Why the service may process personal data.
    #[must_use]
    pub fn legal_basis(mut self, basis: LegalBasis) -> Self {
        self.legal_basis = Some(basis);
        self
    }

    /// What opens the service itself: its external content, and what it does on the server.
    #[must_use]
    pub fn gate(mut self, gate: GateDecl) -> Self {
        self.gate = Some(gate);
        self
    }

    pusher! {
        /// A recipient of this service's data, by id.
        recipient => recipients
    }

    pusher! {
        /// A host that the visitor's browser loads something from.
        external_host => external_hosts
    }

    pusher! {
        /// A gesture that starts the service, such as `open-widget`; entries name the gesture that makes them.
        activated_by => activated_by
    }

    pusher! {
        /// A third party that can read what this service stores (CJEU C-673/17).
        third_party_access => third_party_access
    }

    /// Promises that the service stores nothing before the visitor starts it; entries that say otherwise are
    /// refused.
    #[must_use]
    pub fn no_storage_before_activation(mut self) -> Self {
        self.no_storage_before_activation = true;
        self
    }

    /// An entry of the service.
    #[must_use]
    pub fn entry(mut self, entry: EntryDecl) -> Self {
        self.entries.push(entry);
        self
    }
}

/// A gate as declared: exactly one of the four kinds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateDecl {
    pub(crate) exempt: Option<Exemption>,
    pub(crate) justification: Option<String>,
    pub(crate) activation: Option<String>,
    pub(crate) consent: Option<String>,
    pub(crate) unless_objected: Option<String>,
    #[serde(default)]
    pub(crate) exceptions: Vec<ConsentException>,
    #[serde(default)]
    pub(crate) attests: Vec<Attestation>,
}

impl GateDecl {
    /// Needs no consent, and why.
    #[must_use]
    pub fn exempt(reason: Exemption, justification: impl Into<String>) -> Self {
        Self { exempt: Some(reason), justification: Some(justification.into()), ..Self::default() }
    }

    /// Open from the visitor's own gesture on.
    #[must_use]
    pub fn activation(service: impl Into<String>) -> Self {
        Self { activation: Some(service.into()), ..Self::default() }
    }

    /// Open while the visitor grants the category.
    #[must_use]
    pub fn consent(category: impl Into<String>) -> Self {
        Self { consent: Some(category.into()), ..Self::default() }
    }

    /// Open unless the visitor objects, in regimes that know one of the exceptions; elsewhere it needs consent.
    #[must_use]
    pub fn unless_objected(
        category: impl Into<String>,
        exceptions: impl IntoIterator<Item = ConsentException>,
    ) -> Self {
        Self {
            unless_objected: Some(category.into()),
            exceptions: exceptions.into_iter().collect(),
            ..Self::default()
        }
    }

    /// What the operator can say of a measurement of the own audience; the French exception needs all of them.
    #[must_use]
    pub fn attests(mut self, attestations: impl IntoIterator<Item = Attestation>) -> Self {
        self.attests.extend(attestations);
        self
    }
}

/// An entry as declared: one item of storage on the visitor's terminal.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryDecl {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) storage: StorageKind,
    #[serde(default)]
    pub(crate) purpose: Text,
    #[serde(default)]
    pub(crate) duration: String,
    pub(crate) gate: Option<GateDecl>,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) gesture: Option<String>,
    pub(crate) condition: Option<String>,
    #[serde(default)]
    pub(crate) third_party_access: Vec<String>,
    #[serde(default)]
    pub(crate) path: OneOrMany,
    #[serde(default)]
    pub(crate) domain: OneOrMany,
    pub(crate) http_only: Option<bool>,
    pub(crate) same_site: Option<SameSite>,
    #[serde(default)]
    pub(crate) partitioned: bool,
}

impl EntryDecl {
    /// An entry by its name, which may hold placeholders.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    setter! {
        /// Where it is stored; a cookie, if nothing is said.
        storage: StorageKind
    }

    text_setter! {
        /// What it is for.
        purpose
    }

    setter! {
        /// How long it lives: `session`, or a number with a unit from seconds to weeks.
        duration: String
    }

    /// What opens it.
    #[must_use]
    pub fn gate(mut self, gate: GateDecl) -> Self {
        self.gate = Some(gate);
        self
    }

    /// What makes it come into being.
    #[must_use]
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.trigger = Some(trigger);
        self
    }

    /// The visitor's gesture that makes it come into being.
    #[must_use]
    pub fn gesture(mut self, gesture: impl Into<String>) -> Self {
        self.trigger = Some(Trigger::Gesture);
        self.gesture = Some(gesture.into());
        self
    }

    /// The feature that has to be switched on for this entry to exist.
    #[must_use]
    pub fn condition(mut self, feature: impl Into<String>) -> Self {
        self.condition = Some(feature.into());
        self
    }

    pusher! {
        /// A third party that can read it.
        third_party_access => third_party_access
    }

    /// A path it is set with; `/`, if nothing is said. A withdrawal expires every one.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path.0.push(path.into());
        self
    }

    /// A domain it is set with; the host alone, if nothing is said. A withdrawal expires every one.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain.0.push(domain.into());
        self
    }

    /// Whether scripts are kept away from it; they are, if nothing is said.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = Some(http_only);
        self
    }

    /// Its SameSite attribute; Lax, if nothing is said.
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = Some(same_site);
        self
    }

    /// Marks it as partitioned by top-level site (CHIPS).
    #[must_use]
    pub fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }
}

/// A recipient as declared (GDPR Art. 13(1)(e)): whom the app forwards something to, and what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientDecl {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) country: String,
    #[serde(default)]
    pub(crate) safeguard: Option<String>,
    #[serde(default)]
    pub(crate) purpose: Text,
    #[serde(default)]
    pub(crate) fields: Vec<String>,
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    #[serde(default)]
    pub(crate) address: Strategy,
    pub(crate) withdrawal_endpoint: Option<String>,
}

impl RecipientDecl {
    /// A recipient: its id, its name, and the ISO 3166-1 code of its country. Another recipient gets another id, by which
    /// visitors are asked anew; under the same id another name is taken for a correction.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>, country: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), country: country.into(), ..Self::default() }
    }

    text_setter! {
        /// What it gets the data for.
        purpose
    }

    pusher! {
        /// A field it may get. Others are left out (GDPR Art. 5(1)(c)). `pseudonym` and `consent_subject` are made by
        /// [`Forwarder`](crate::ip::Forwarder).
        field => fields
    }

    pusher! {
        /// A header of the visitor's request it may get. None is passed unless it is listed.
        header => headers
    }

    /// Where it is told when a visitor takes a consent back that concerns it (GDPR Art. 7(3), 19): an `https` URL.
    #[must_use]
    pub fn withdrawal_endpoint(mut self, url: impl Into<String>) -> Self {
        self.withdrawal_endpoint = Some(url.into());
        self
    }

    /// What it gets in place of the visitor's address; nothing, if nothing is said.
    #[must_use]
    pub fn address(mut self, strategy: Strategy) -> Self {
        self.address = strategy;
        self
    }

    /// The safeguard of a transfer to a third country (GDPR Art. 13(1)(f)).
    #[must_use]
    pub fn safeguard(mut self, safeguard: impl Into<String>) -> Self {
        self.safeguard = Some(safeguard.into());
        self
    }
}
