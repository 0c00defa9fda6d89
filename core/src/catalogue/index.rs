//! Finding the entry of a cookie by its name, on the path of every request.

use super::{Exceptions, Gate, NamePattern, Service, StorageKind};

/// An active cookie entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        for (s, service) in services.iter().enumerate() {
            for (e, entry) in service.entries.iter().enumerate() {
                if entry.storage != StorageKind::Cookie {
                    continue;
                }
                let gate = match &entry.gate {
                    Gate::Exempt { .. } => EntryGate::Open,
                    Gate::Consent(code) => EntryGate::Category(code.bit()),
                    Gate::UnlessObjected { category, exceptions } => {
                        EntryGate::UnlessObjected(category.bit(), *exceptions)
                    }
                    Gate::Activation { service } => services
                        .iter()
                        .position(|other| other.id == *service)
                        .map_or(EntryGate::Closed, |n| EntryGate::Service(number(n))),
                };
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

    pub(super) fn gate(&self, id: EntryId) -> EntryGate {
        self.entries[usize::from(id.0)].gate
    }

    pub(super) fn place(&self, id: EntryId) -> (usize, usize) {
        let at = &self.entries[usize::from(id.0)];
        (at.service.into(), at.entry.into())
    }
}
