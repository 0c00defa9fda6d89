//! What changed of what a consent depends on, and whether visitors have to be asked anew.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::LegalBasis;
use super::material::{Material, MaterialService};

/// One change of one category, from one version of the catalogue to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MaterialChange {
    /// The category's id.
    pub category: String,
    /// What changed.
    #[serde(flatten)]
    pub kind: ChangeKind,
}

/// What changed of a category. Services and recipients stand by their ids, entries by name and storage, durations in
/// seconds, 0 for a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// The category itself is new.
    NewCategory,
    /// It serves another purpose, or one of its services does.
    OtherPurpose {
        /// The service; none for the category itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// It is a sale or sharing now.
    NowSold,
    /// What becomes of data after a withdrawal is another thing than was told.
    OtherEnd,
    /// It opens another service.
    NewService {
        /// The service.
        service: String,
    },
    /// A service is provided by somebody else.
    OtherProvider {
        /// The service.
        service: String,
        /// Who provides it now.
        provider: String,
    },
    /// A service processes personal data on another legal basis: other rights come with it (GDPR Art. 13(1)(c)).
    OtherBasis {
        /// The service.
        service: String,
        /// The basis now.
        basis: LegalBasis,
    },
    /// The browser loads something from another host.
    NewHost {
        /// The host.
        host: String,
    },
    /// Data goes to somebody else too.
    NewRecipient {
        /// The recipient.
        recipient: String,
        /// Its country, ISO 3166-1.
        country: String,
    },
    /// A recipient is in another country.
    OtherCountry {
        /// The recipient.
        recipient: String,
        /// The country before.
        from: String,
        /// The country now.
        to: String,
    },
    /// A recipient gets something else in place of the visitor's address.
    OtherAddress {
        /// The recipient.
        recipient: String,
        /// What it gets now.
        to: String,
    },
    /// A recipient gets more.
    MoreData {
        /// The recipient.
        recipient: String,
        /// The field or header.
        what: String,
    },
    /// Something else is stored too.
    NewEntry {
        /// The entry.
        entry: String,
    },
    /// Something is kept longer.
    LongerDuration {
        /// The entry.
        entry: String,
        /// How long before.
        from: u64,
        /// How long now.
        to: u64,
    },
    /// Somebody else can read something.
    NewAccess {
        /// The entry.
        entry: String,
        /// Who.
        who: String,
    },
    /// Less is done than was agreed to.
    Less {
        /// What is less, or no more.
        what: String,
    },
}

impl ChangeKind {
    /// Whether visitors who decided before have to be asked anew.
    #[must_use]
    pub const fn asks_anew(&self) -> bool {
        !matches!(self, Self::Less { .. })
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewCategory => f.write_str("is new"),
            Self::OtherPurpose { service: None } => f.write_str("serves another purpose"),
            Self::OtherPurpose { service: Some(service) } => {
                write!(f, "has a service that serves another purpose: {service}")
            }
            Self::NowSold => f.write_str("is a sale or sharing now"),
            Self::OtherEnd => f.write_str("keeps other data after a withdrawal"),
            Self::NewService { service } => write!(f, "opens a new service: {service}"),
            Self::OtherProvider { service, provider } => {
                write!(f, "has a service of another provider: {service} of {provider}")
            }
            Self::OtherBasis { service, basis } => {
                write!(f, "has a service on another legal basis: {service} on {}", basis.article())
            }
            Self::NewHost { host } => write!(f, "loads from a new host: {host}"),
            Self::NewRecipient { recipient, country } => {
                write!(f, "has a new recipient: {recipient} ({country})")
            }
            Self::OtherCountry { recipient, from, to } => {
                write!(f, "has a recipient in another country: {recipient} ({from}, now {to})")
            }
            Self::OtherAddress { recipient, to } => {
                write!(f, "gives the address in another form: {recipient} ({to})")
            }
            Self::MoreData { recipient, what } => write!(f, "gives a recipient more: {recipient} ({what})"),
            Self::NewEntry { entry } => write!(f, "stores something new: {entry}"),
            Self::LongerDuration { entry, from: 0, to } => {
                write!(f, "keeps something longer: {entry}, {to} s instead of the session")
            }
            Self::LongerDuration { entry, from, to: 0 } => {
                write!(f, "keeps something for the session instead of {from} s: {entry}")
            }
            Self::LongerDuration { entry, from, to } => {
                write!(f, "keeps something longer: {entry}, {to} s instead of {from} s")
            }
            Self::NewAccess { entry, who } => write!(f, "lets others read something: {entry}, {who}"),
            Self::Less { what } => write!(f, "does less: {what}"),
        }
    }
}

impl fmt::Display for MaterialChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.category, self.kind)
    }
}

impl Material {
    /// Whether what is done under `today` is no more than somebody decided about under this. A decision about more
    /// stands: a recipient that is gone, a shorter duration or an entry less asks nobody.
    #[must_use]
    pub fn covers(&self, today: &Self) -> bool {
        self.same_form(today) && self.changes(today).iter().all(|c| !c.kind.asks_anew())
    }

    /// What changed from this to `today`, in a stable order.
    #[must_use]
    pub fn changes(&self, today: &Self) -> Vec<MaterialChange> {
        let mut found = Found { category: &today.id, changes: Vec::new() };
        if self.id != today.id || self.purpose_version != today.purpose_version {
            found.add(ChangeKind::OtherPurpose { service: None });
        }
        match (self.sale_or_share, today.sale_or_share) {
            (false, true) => found.add(ChangeKind::NowSold),
            (true, false) => found.less("sale or sharing"),
            _ => {}
        }
        match (self.kept_on, today.kept_on) {
            (before, after) if before == after => {}
            (Some(_), None) => found.less("kept after a withdrawal"),
            _ => found.add(ChangeKind::OtherEnd),
        }
        for (id, service) in &today.services {
            match self.services.get(id) {
                Some(before) => before.changes(service, id, &mut found),
                None => {
                    found.add(ChangeKind::NewService { service: id.clone() });
                    service.emptied().changes(service, id, &mut found);
                }
            }
        }
        found.gone(&self.services, &today.services);
        found.changes
    }
}

struct Found<'a> {
    category: &'a str,
    changes: Vec<MaterialChange>,
}

impl Found<'_> {
    fn add(&mut self, kind: ChangeKind) {
        let change = MaterialChange { category: self.category.to_owned(), kind };
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    fn less(&mut self, what: &str) {
        self.add(ChangeKind::Less { what: what.to_owned() });
    }

    fn gone<T>(&mut self, before: &BTreeMap<String, T>, after: &BTreeMap<String, T>) {
        before.keys().filter(|id| !after.contains_key(*id)).for_each(|id| self.less(id));
    }

    /// What is in one set and not in the other.
    fn compare(
        &mut self,
        before: &BTreeSet<String>,
        after: &BTreeSet<String>,
        more: impl Fn(String) -> ChangeKind,
    ) {
        after.difference(before).for_each(|item| self.add(more(item.clone())));
        before.difference(after).for_each(|item| self.less(item));
    }
}

impl MaterialService {
    /// The same service before it did anything: what a new one does is all of it new.
    fn emptied(&self) -> Self {
        Self { hosts: BTreeSet::new(), recipients: BTreeMap::new(), entries: BTreeMap::new(), ..self.clone() }
    }

    fn changes(&self, today: &Self, id: &str, found: &mut Found<'_>) {
        let service = || id.to_owned();
        if self.provider != today.provider {
            found.add(ChangeKind::OtherProvider { service: service(), provider: today.provider.clone() });
        }
        if self.purpose_version != today.purpose_version {
            found.add(ChangeKind::OtherPurpose { service: Some(service()) });
        }
        if self.legal_basis != today.legal_basis {
            found.add(ChangeKind::OtherBasis { service: service(), basis: today.legal_basis });
        }
        match (self.runs, today.runs) {
            (false, true) => found.add(ChangeKind::NewService { service: service() }),
            (true, false) => found.less(id),
            _ => {}
        }
        found.compare(&self.hosts, &today.hosts, |host| ChangeKind::NewHost { host });
        self.changed_recipients(today, found);
        self.changed_entries(today, found);
    }

    fn changed_recipients(&self, today: &Self, found: &mut Found<'_>) {
        for (id, now) in &today.recipients {
            let recipient = || id.clone();
            let Some(before) = self.recipients.get(id) else {
                found.add(ChangeKind::NewRecipient { recipient: recipient(), country: now.country.clone() });
                continue;
            };
            if before.country != now.country {
                let (from, to) = (before.country.clone(), now.country.clone());
                found.add(ChangeKind::OtherCountry { recipient: recipient(), from, to });
            }
            if before.address != now.address {
                if now.address == crate::ip::Strategy::Drop.as_str() {
                    found.less(&format!("{id}: address"));
                } else {
                    found.add(ChangeKind::OtherAddress { recipient: recipient(), to: now.address.clone() });
                }
            }
            let more = |what| ChangeKind::MoreData { recipient: recipient(), what };
            found.compare(&before.fields, &now.fields, more);
            found.compare(&before.headers, &now.headers, more);
        }
        found.gone(&self.recipients, &today.recipients);
    }

    fn changed_entries(&self, today: &Self, found: &mut Found<'_>) {
        for (name, now) in &today.entries {
            let entry = || name.clone();
            let Some(before) = self.entries.get(name) else {
                found.add(ChangeKind::NewEntry { entry: entry() });
                continue;
            };
            match longer(before.seconds, now.seconds) {
                Ordering::Greater => {
                    let (from, to) = (before.seconds, now.seconds);
                    found.add(ChangeKind::LongerDuration { entry: entry(), from, to });
                }
                Ordering::Less => found.less(name),
                Ordering::Equal => {}
            }
            let access = |who| ChangeKind::NewAccess { entry: entry(), who };
            found.compare(&before.third_party_access, &now.third_party_access, access);
        }
        found.gone(&self.entries, &today.entries);
    }
}

/// Whether something is kept longer than before; 0 is a session, which ends when the browser says so: rarely after more than a
/// day, but after any number of minutes.
fn longer(before: u64, now: u64) -> Ordering {
    const DAY: u64 = 86_400;
    match (before, now) {
        (1..DAY, 0) => Ordering::Greater,
        _ => now.cmp(&before),
    }
}
