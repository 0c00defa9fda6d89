-- Tenant first in every key; the site second where a thing belongs to a site. Times are integers, in
-- milliseconds since 1970, UTC. Texts of visitors are sealed.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE notices (
    tenant   TEXT NOT NULL,
    site     TEXT NOT NULL,
    id       BLOB NOT NULL,
    language TEXT NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (tenant, site, id)
) WITHOUT ROWID;

CREATE TABLE statements (
    tenant TEXT    NOT NULL,
    site   TEXT    NOT NULL,
    number INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    hash   BLOB    NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (tenant, site, number)
) WITHOUT ROWID;

-- Appended, never changed, but for the person, who can be cut from a record. A segment is a month; `seq` counts per
-- tenant, through all segments.
CREATE TABLE consent_records (
    tenant    TEXT    NOT NULL,
    segment   INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    site      TEXT    NOT NULL,
    id        BLOB    NOT NULL,
    subject   BLOB    NOT NULL,
    act       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    until     INTEGER NOT NULL,
    notice    BLOB    NOT NULL,
    language  TEXT    NOT NULL,
    regime    INTEGER NOT NULL,
    method    INTEGER NOT NULL,
    gesture   INTEGER NOT NULL,
    gpc       INTEGER NOT NULL,
    -- per category: code, decision, three bytes of fingerprint
    decisions BLOB    NOT NULL,
    -- what hides the subject in the chain
    salt      BLOB    NOT NULL,
    -- what stands for the person in the chain, once id, subject and salt are nobody's; null before
    commitment BLOB,
    PRIMARY KEY (tenant, segment, seq)
) WITHOUT ROWID;

-- The chain over the records: it stays when a record is purged.
CREATE TABLE consent_links (
    tenant  TEXT    NOT NULL,
    segment INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    digest  BLOB    NOT NULL,
    hash    BLOB    NOT NULL,
    PRIMARY KEY (tenant, segment, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX consent_records_id ON consent_records (tenant, site, id);
CREATE INDEX consent_records_line ON consent_records (tenant, site, subject, seq);
CREATE INDEX consent_records_until ON consent_records (tenant, until);

-- How often, per day (days since 1970, UTC), something was shown or refused that leaves no record.
CREATE TABLE consent_counts (
    tenant TEXT    NOT NULL,
    site   TEXT    NOT NULL,
    day    INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    notice BLOB    NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (tenant, site, day, kind, notice)
) WITHOUT ROWID;

CREATE TABLE contacts (
    tenant        TEXT    NOT NULL,
    site          TEXT    NOT NULL,
    id            BLOB    NOT NULL,
    subject       BLOB    NOT NULL,
    epoch         INTEGER NOT NULL,
    country       TEXT,
    created       INTEGER NOT NULL,
    last_seen     INTEGER NOT NULL,
    conversations INTEGER NOT NULL,
    consent       BLOB    NOT NULL,
    consent_line  BLOB    NOT NULL,
    consent_until INTEGER NOT NULL,
    -- the fingerprint of what the consent was about
    material      BLOB    NOT NULL,
    -- frozen, and until when; null while it is not
    frozen_until  INTEGER,
    -- the basis it is kept on since the consent was withdrawn; null while it stands on consent
    kept_on       INTEGER,
    -- why it is being erased; null while it is there
    erasing       INTEGER,
    PRIMARY KEY (tenant, site, id)
) WITHOUT ROWID;
CREATE INDEX contacts_recent ON contacts (tenant, site, last_seen DESC, id DESC);
CREATE INDEX contacts_line ON contacts (tenant, site, consent_line);
CREATE INDEX contacts_until ON contacts (tenant, consent_until);
CREATE INDEX contacts_frozen ON contacts (tenant, site, frozen_until) WHERE frozen_until IS NOT NULL;
CREATE INDEX contacts_erasing ON contacts (tenant, site, id) WHERE erasing IS NOT NULL;

CREATE TABLE conversations (
    tenant       TEXT    NOT NULL,
    site         TEXT    NOT NULL,
    id           BLOB    NOT NULL,
    -- 1: a contact's, owner is its id; 2: a visit's, owner is the digest of its session
    owner_kind   INTEGER NOT NULL,
    owner        BLOB    NOT NULL,
    -- whose key its texts are sealed with, if it is a visit's
    subject      BLOB,
    opened       INTEGER NOT NULL,
    closed       INTEGER,
    last_message INTEGER NOT NULL,
    messages     INTEGER NOT NULL,
    live_support INTEGER NOT NULL,
    erasing      INTEGER,
    PRIMARY KEY (tenant, site, id)
) WITHOUT ROWID;
CREATE INDEX conversations_owner ON conversations (tenant, site, owner_kind, owner, last_message DESC, id DESC);
CREATE INDEX conversations_age ON conversations (tenant, owner_kind, live_support, last_message);
CREATE INDEX conversations_erasing ON conversations (tenant, site, id) WHERE erasing IS NOT NULL;

CREATE TABLE messages (
    tenant       TEXT    NOT NULL,
    site         TEXT    NOT NULL,
    conversation BLOB    NOT NULL,
    number       INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    at           INTEGER NOT NULL,
    channel      INTEGER NOT NULL,
    author       INTEGER NOT NULL,
    body         BLOB    NOT NULL,
    page         BLOB,
    PRIMARY KEY (tenant, site, conversation, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX messages_id ON messages (tenant, site, conversation, id);
CREATE INDEX messages_age ON messages (tenant, at);

CREATE TABLE fences (
    tenant  TEXT    NOT NULL,
    subject BLOB    NOT NULL,
    epoch   INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject)
) WITHOUT ROWID;
CREATE INDEX fences_until ON fences (until);

-- Notifications to recipients, written with the record that they tell of.
CREATE TABLE outbox (
    tenant       TEXT    NOT NULL,
    site         TEXT    NOT NULL,
    id           BLOB    NOT NULL,
    recipient    TEXT    NOT NULL,
    act          INTEGER NOT NULL,
    -- bits by code
    categories   INTEGER NOT NULL,
    -- what the recipient knows the consent by
    subject      BLOB    NOT NULL,
    at           INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    problem      TEXT,
    -- when it is to be sent; null when it is settled
    due          INTEGER,
    leased_until INTEGER,
    settled      INTEGER,
    delivered    INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (tenant, due) WHERE due IS NOT NULL;
CREATE INDEX outbox_recent ON outbox (tenant, at DESC, id DESC);
CREATE INDEX outbox_settled ON outbox (tenant, settled) WHERE settled IS NOT NULL;

CREATE TABLE retention_rules (
    tenant    TEXT    NOT NULL,
    class     TEXT    NOT NULL,
    period_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, class)
) WITHOUT ROWID;
