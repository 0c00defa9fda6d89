//! Finding the entry of a cookie by its name, on the path of every request.

use super::{Exceptions, Gate, NamePattern, Service, StorageKind};
use crate::consent::Standing;

/// An active cookie entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId(u16);

/// What the gate of an entry asks for, without text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryGate {
    Open,
    Category(u64),
    UnlessObjected(u64, Exceptions),
    Service(u16),
    /// Activation by a service that is not in the catalogue: never.
    Closed,
}

impl EntryGate {
    pub(crate) fn of(gate: &Gate, services: &[Service]) -> Self {
        match gate {
            Gate::Exempt { .. } => Self::Open,
            Gate::Consent(code) => Self::Category(code.bit()),
            Gate::UnlessObjected { category, exceptions } => {
                Self::UnlessObjected(category.bit(), *exceptions)
            }
            Gate::Activation { service } => services
                .iter()
                .position(|other| other.id == *service)
                .map_or(Self::Closed, |n| Self::Service(number(n))),
        }
    }

    /// Whether it is open under a standing; `is_active` says it of a service, by its place in the catalogue.
    pub(crate) fn opens(self, standing: Standing, is_active: impl FnOnce(usize) -> bool) -> bool {
        match self {
            Self::Open => true,
            Self::Closed => false,
            Self::Category(bit) => standing.opens(bit),
            Self::UnlessObjected(bit, exceptions) => {
                standing.opens(bit) || (exceptions.meet(standing.exceptions) && standing.objected & bit == 0)
            }
            Self::Service(n) => is_active(n.into()),
        }
    }
}

fn number(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

#[derive(Clone, Debug)]
struct Indexed {
    service: u16,
    entry: u16,
    gate: EntryGate,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    entries: Vec<Indexed>,
    /// Plain names, sorted by length and then by bytes.
    literals: Vec<(Vec<u8>, EntryId)>,
    /// First literal of each length; names longer than the last have none.
    by_len: Vec<u16>,
    patterns: Vec<(NamePattern, EntryId)>,
}

impl Index {
    pub(super) fn new(services: &[Service]) -> Self {
        let mut index = Self::default();
        for (s, service) in services.iter().enumerate() {
            for (e, entry) in service.entries.iter().enumerate() {
                if entry.storage != StorageKind::Cookie {
                    continue;
                }
                let gate = EntryGate::of(&entry.gate, services);
                let id = EntryId(number(index.entries.len()));
                index.entries.push(Indexed { service: number(s), entry: number(e), gate });
                match entry.name.literal() {
                    Some(name) => index.literals.push((name.as_bytes().to_vec(), id)),
                    None => index.patterns.push((entry.name.clone(), id)),
                }
            }
        }
        // Stable: of two entries with one name the first declared stands.
        index.literals.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        index.literals.dedup_by(|(later, _), (first, _)| later == first);
        let longest = index.literals.last().map_or(0, |(name, _)| name.len());
        index.by_len = (0..=longest + 1)
            .map(|len| number(index.literals.partition_point(|(name, _)| name.len() < len)))
            .collect();
        index
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<EntryId> {
        if let (Some(&from), Some(&to)) = (self.by_len.get(name.len()), self.by_len.get(name.len() + 1)) {
            for (literal, id) in &self.literals[usize::from(from)..usize::from(to)] {
                // Of names of one length most differ in the first byte: cheaper to see than to compare.
                if literal.first() == name.first() && literal.as_slice() == name {
                    return Some(*id);
                }
            }
        }
        self.patterns.iter().find(|(p, _)| p.matches_bytes(name)).map(|(_, id)| *id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = EntryId> + use<> {
        (0..self.entries.len()).map(|n| EntryId(number(n)))
    }

    pub(super) fn gate(&self, id: EntryId) -> EntryGate {
        self.entries[usize::from(id.0)].gate
    }

    pub(super) fn place(&self, id: EntryId) -> (usize, usize) {
        let at = &self.entries[usize::from(id.0)];
        (at.service.into(), at.entry.into())
    }
}
