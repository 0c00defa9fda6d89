//! What there is to move, as both schemas have it. A test holds it against both catalogues.

/// How a column is kept on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text, in the order of its bytes.
    Text,
    /// A text that PostgreSQL orders otherwise, unless it is told.
    Word,
    /// A text in SQLite, bytes in PostgreSQL.
    Body,
    /// Bytes.
    Bytes,
    /// A number of 64 bits.
    Int,
    /// A number that PostgreSQL keeps in 16 bits.
    Small,
    /// Nought or one in SQLite.
    Bool,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, on both sides.
    pub name: &'static str,
    /// So many of its columns say what is moved as one group, such as a tenant.
    pub group: usize,
    /// So many of its columns, the group first, name a row.
    pub key: usize,
    /// Columns that no two rows have alike, beside what names them.
    pub unique: &'static [&'static str],
    /// All of them.
    pub columns: &'static [(&'static str, Kind)],
}

impl Table {
    /// The columns that order the rows of a group.
    #[must_use]
    pub fn order(&self) -> &'static [(&'static str, Kind)] {
        self.columns.get(self.group..self.key).unwrap_or_default()
    }

    /// The columns that name a row.
    #[must_use]
    pub fn names(&self) -> &'static [(&'static str, Kind)] {
        self.columns.get(..self.key).unwrap_or_default()
    }
}

use Kind::{Body, Bool, Bytes, Int, Small, Text, Word};

/// Subjects' keys: a file of their own in SQLite.
pub const KEYS: Table = Table {
    name: "keys",
    group: 2,
    key: 3,
    unique: &[],
    columns: &[("kind", Small), ("tenant", Text), ("id", Bytes), ("wrapped", Bytes)],
};

/// The ledger: lines of a file, numbered from one.
pub const LEDGER: Table =
    Table { name: "ledger", group: 0, key: 1, unique: &[], columns: &[("seq", Int), ("line", Text)] };

/// The tables of the database, but for `meta`, which says whose installation it is and is written last.
pub const TABLES: &[Table] = &[
    Table {
        name: "notices",
        group: 1,
        key: 3,
        unique: &[],
        columns: &[("tenant", Text), ("site", Text), ("id", Bytes), ("language", Text), ("body", Body)],
    },
    Table {
        name: "statements",
        group: 1,
        key: 3,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("site", Text),
            ("number", Int),
            ("since", Int),
            ("hash", Bytes),
            ("body", Body),
        ],
    },
    Table {
        name: "retention_rules",
        group: 1,
        key: 2,
        unique: &[],
        columns: &[("tenant", Text), ("class", Word), ("period_ms", Int)],
    },
    Table {
        name: "consent_links",
        group: 1,
        key: 3,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("segment", Int),
            ("seq", Int),
            ("until", Int),
            ("digest", Bytes),
            ("hash", Bytes),
        ],
    },
    Table {
        name: "consent_records",
        group: 1,
        key: 3,
        unique: &["tenant", "site", "id"],
        columns: &[
            ("tenant", Text),
            ("segment", Int),
            ("seq", Int),
            ("site", Text),
            ("id", Bytes),
            ("subject", Bytes),
            ("act", Small),
            ("at", Int),
            ("until", Int),
            ("notice", Bytes),
            ("language", Text),
            ("regime", Small),
            ("method", Small),
            ("gesture", Bool),
            ("gpc", Bool),
            ("decisions", Bytes),
            ("salt", Bytes),
            ("commitment", Bytes),
        ],
    },
    Table {
        name: "consent_counts",
        group: 1,
        key: 5,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("site", Text),
            ("day", Int),
            ("kind", Small),
            ("notice", Bytes),
            ("count", Int),
        ],
    },
    Table {
        name: "contacts",
        group: 1,
        key: 3,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("site", Text),
            ("id", Bytes),
            ("subject", Bytes),
            ("epoch", Int),
            ("country", Text),
            ("created", Int),
            ("last_seen", Int),
            ("conversations", Int),
            ("consent", Bytes),
            ("consent_line", Bytes),
            ("consent_until", Int),
            ("material", Bytes),
            ("frozen_until", Int),
            ("kept_on", Small),
            ("erasing", Small),
            ("blocked", Bool),
            ("identity", Bytes),
            ("identity_text", Bytes),
        ],
    },
    Table {
        name: "conversations",
        group: 1,
        key: 3,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("site", Text),
            ("id", Bytes),
            ("owner_kind", Small),
            ("owner", Bytes),
            ("subject", Bytes),
            ("opened", Int),
            ("closed", Int),
            ("last_message", Int),
            ("messages", Int),
            ("live_support", Bool),
            ("awaits_answer", Bool),
            ("erasing", Small),
        ],
    },
    Table {
        name: "messages",
        group: 1,
        key: 4,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("site", Text),
            ("conversation", Bytes),
            ("number", Int),
            ("id", Bytes),
            ("at", Int),
            ("channel", Small),
            ("author", Small),
            ("body", Bytes),
            ("page", Bytes),
        ],
    },
    Table {
        name: "erased_messages",
        group: 1,
        key: 3,
        unique: &[],
        columns: &[("tenant", Text), ("site", Text), ("id", Bytes), ("conversation", Bytes), ("number", Int)],
    },
    Table {
        name: "fences",
        group: 1,
        key: 2,
        unique: &[],
        columns: &[("tenant", Text), ("subject", Bytes), ("epoch", Int), ("until", Int)],
    },
    Table {
        name: "outbox",
        group: 1,
        key: 2,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("id", Bytes),
            ("site", Text),
            ("recipient", Text),
            ("act", Small),
            ("categories", Int),
            ("subject", Bytes),
            ("at", Int),
            ("attempts", Int),
            ("problem", Text),
            ("due", Int),
            ("leased_until", Int),
            ("settled", Int),
            ("delivered", Bool),
        ],
    },
    Table {
        name: "notes",
        group: 1,
        key: 4,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("site", Text),
            ("contact", Bytes),
            ("id", Bytes),
            ("at", Int),
            ("author", Text),
            ("body", Bytes),
        ],
    },
    Table {
        name: "audit_events",
        group: 1,
        key: 2,
        unique: &[],
        columns: &[
            ("tenant", Text),
            ("id", Bytes),
            ("site", Text),
            ("at", Int),
            ("operator", Text),
            ("verb", Small),
            ("subject", Bytes),
            ("outcome", Small),
        ],
    },
];
