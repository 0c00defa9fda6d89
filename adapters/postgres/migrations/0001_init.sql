-- The tenant leads every primary key, foreign key and unique index; the site is second where a thing belongs to a site.
-- Times are milliseconds since 1970, UTC. Texts of visitors are sealed. `privet.` stands for the schema of the app's choice.

-- The installation's own facts, which are no tenant's.
CREATE TABLE privet.meta (
    key   TEXT  COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

-- A notice and a statement are kept byte by byte: a text here has no room for every byte.
CREATE TABLE privet.notices (
    tenant   TEXT  COLLATE "C" NOT NULL,
    site     TEXT  COLLATE "C" NOT NULL,
    id       BYTEA NOT NULL,
    language TEXT  NOT NULL,
    body     BYTEA NOT NULL,
    PRIMARY KEY (tenant, site, id)
);

CREATE TABLE privet.statements (
    tenant TEXT   COLLATE "C" NOT NULL,
    site   TEXT   COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    since  BIGINT NOT NULL,
    hash   BYTEA  NOT NULL,
    body   BYTEA  NOT NULL,
    PRIMARY KEY (tenant, site, number)
);

-- Appended, never changed, but for the person, who can be cut from a record. A segment is a month; `seq` counts per
-- tenant, through all segments.
CREATE TABLE privet.consent_records (
    tenant    TEXT     COLLATE "C" NOT NULL,
    segment   BIGINT   NOT NULL,
    seq       BIGINT   NOT NULL,
    site      TEXT     COLLATE "C" NOT NULL,
    id        BYTEA    NOT NULL,
    subject   BYTEA    NOT NULL,
    act       SMALLINT NOT NULL,
    at        BIGINT   NOT NULL,
    until     BIGINT   NOT NULL,
    notice    BYTEA    NOT NULL,
    language  TEXT     NOT NULL,
    regime    SMALLINT NOT NULL,
    method    SMALLINT NOT NULL,
    gesture   BOOLEAN  NOT NULL,
    gpc       BOOLEAN  NOT NULL,
    -- per category: code, decision, three bytes of fingerprint
    decisions BYTEA    NOT NULL,
    -- what hides the subject in the chain
    salt      BYTEA    NOT NULL,
    -- what stands for the person in the chain, once id, subject and salt are nobody's; null before
    commitment BYTEA,
    PRIMARY KEY (tenant, segment, seq)
);
CREATE UNIQUE INDEX consent_records_id ON privet.consent_records (tenant, site, id);
CREATE INDEX consent_records_line ON privet.consent_records (tenant, site, subject, seq);
CREATE INDEX consent_records_until ON privet.consent_records (tenant, until);
CREATE INDEX consent_records_at ON privet.consent_records (tenant, site, at);

-- The chain over the records: it stays when a record is purged.
CREATE TABLE privet.consent_links (
    tenant  TEXT   COLLATE "C" NOT NULL,
    segment BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    until   BIGINT NOT NULL,
    digest  BYTEA  NOT NULL,
    hash    BYTEA  NOT NULL,
    PRIMARY KEY (tenant, segment, seq)
);

-- The last link of each chain: whoever appends locks it, last of all that it locks.
CREATE TABLE privet.consent_heads (
    tenant  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    segment BIGINT,
    seq     BIGINT,
    until   BIGINT,
    digest  BYTEA,
    hash    BYTEA
) WITH (fillfactor = 50);

-- How often, per day (days since 1970, UTC), something was shown or refused that leaves no record.
CREATE TABLE privet.consent_counts (
    tenant TEXT     COLLATE "C" NOT NULL,
    site   TEXT     COLLATE "C" NOT NULL,
    day    BIGINT   NOT NULL,
    kind   SMALLINT NOT NULL,
    notice BYTEA    NOT NULL,
    count  BIGINT   NOT NULL,
    PRIMARY KEY (tenant, site, day, kind, notice)
);
CREATE INDEX consent_counts_day ON privet.consent_counts (tenant, day);

CREATE TABLE privet.contacts (
    tenant        TEXT     COLLATE "C" NOT NULL,
    site          TEXT     COLLATE "C" NOT NULL,
    id            BYTEA    NOT NULL,
    subject       BYTEA    NOT NULL,
    epoch         BIGINT   NOT NULL,
    country       TEXT     COLLATE "C",
    created       BIGINT   NOT NULL,
    last_seen     BIGINT   NOT NULL,
    conversations BIGINT   NOT NULL,
    consent       BYTEA    NOT NULL,
    consent_line  BYTEA    NOT NULL,
    consent_until BIGINT   NOT NULL,
    -- the fingerprint of what the consent was about
    material      BYTEA    NOT NULL,
    -- frozen, and until when; null while it is not
    frozen_until  BIGINT,
    -- the basis it is kept on since the consent was withdrawn; null while it stands on consent
    kept_on       SMALLINT,
    -- why it is being erased; null while it is there
    erasing       SMALLINT,
    blocked       BOOLEAN  NOT NULL DEFAULT FALSE,
    -- what the app knows the contact as: a keyed digest, and the text, sealed
    identity      BYTEA,
    identity_text BYTEA,
    PRIMARY KEY (tenant, site, id)
);
CREATE INDEX contacts_recent ON privet.contacts (tenant, site, last_seen, id);
CREATE INDEX contacts_country ON privet.contacts (tenant, site, country, last_seen, id);
CREATE INDEX contacts_line ON privet.contacts (tenant, site, consent_line);
CREATE INDEX contacts_until ON privet.contacts (tenant, site, consent_until);
CREATE INDEX contacts_created ON privet.contacts (tenant, site, created);
CREATE INDEX contacts_frozen ON privet.contacts (tenant, site, frozen_until) WHERE frozen_until IS NOT NULL;
CREATE INDEX contacts_erasing ON privet.contacts (tenant, site, id) WHERE erasing IS NOT NULL;
CREATE INDEX contacts_identity ON privet.contacts (tenant, site, identity) WHERE identity IS NOT NULL;

CREATE TABLE privet.conversations (
    tenant        TEXT     COLLATE "C" NOT NULL,
    site          TEXT     COLLATE "C" NOT NULL,
    id            BYTEA    NOT NULL,
    -- 1: a contact's, owner is its id; 2: a visit's, owner is the digest of its session
    owner_kind    SMALLINT NOT NULL,
    owner         BYTEA    NOT NULL,
    -- whose key its texts are sealed with, if it is a visit's
    subject       BYTEA,
    opened        BIGINT   NOT NULL,
    closed        BIGINT,
    last_message  BIGINT   NOT NULL,
    messages      BIGINT   NOT NULL,
    live_support  BOOLEAN  NOT NULL,
    awaits_answer BOOLEAN  NOT NULL DEFAULT FALSE,
    erasing       SMALLINT,
    PRIMARY KEY (tenant, site, id)
);
CREATE INDEX conversations_owner ON privet.conversations (tenant, site, owner_kind, owner, last_message, id);
CREATE INDEX conversations_age ON privet.conversations (tenant, owner_kind, live_support, last_message);
CREATE INDEX conversations_open ON privet.conversations (tenant, site, last_message, id)
    WHERE live_support AND closed IS NULL;
CREATE INDEX conversations_opened ON privet.conversations (tenant, site, opened);
CREATE INDEX conversations_erasing ON privet.conversations (tenant, site, id) WHERE erasing IS NOT NULL;

-- By month, so that whole months can be dropped. A partition of a month is made ahead where somebody may; what has none
-- goes to the default one. Numbers and ids are kept unique by the lock on the conversation, since a unique index
-- across partitions has to have `at`.
CREATE TABLE privet.messages (
    tenant       TEXT     COLLATE "C" NOT NULL,
    site         TEXT     COLLATE "C" NOT NULL,
    conversation BYTEA    NOT NULL,
    number       BIGINT   NOT NULL,
    id           BYTEA    NOT NULL,
    at           BIGINT   NOT NULL,
    channel      SMALLINT NOT NULL,
    author       SMALLINT NOT NULL,
    body         BYTEA    NOT NULL,
    page         BYTEA,
    PRIMARY KEY (tenant, site, conversation, number, at)
) PARTITION BY RANGE (at);
CREATE INDEX messages_id ON privet.messages (tenant, site, conversation, id);
CREATE INDEX messages_age ON privet.messages (tenant, at);
CREATE TABLE privet.messages_default PARTITION OF privet.messages DEFAULT;

-- The ids of messages that were taken out one by one: who sends one of them again, into whichever conversation, is told that
-- it is there, and it does not come back. They go with the conversation that they were of.
CREATE TABLE privet.erased_messages (
    tenant       TEXT   COLLATE "C" NOT NULL,
    site         TEXT   COLLATE "C" NOT NULL,
    id           BYTEA  NOT NULL,
    conversation BYTEA  NOT NULL,
    number       BIGINT NOT NULL,
    PRIMARY KEY (tenant, site, id)
);
CREATE INDEX erased_messages_conversation ON privet.erased_messages (tenant, site, conversation);

CREATE TABLE privet.fences (
    tenant  TEXT   COLLATE "C" NOT NULL,
    subject BYTEA  NOT NULL,
    epoch   BIGINT NOT NULL,
    until   BIGINT NOT NULL,
    PRIMARY KEY (tenant, subject)
);
CREATE INDEX fences_until ON privet.fences (tenant, until);

-- Notifications to recipients, written with the record that they tell of.
CREATE TABLE privet.outbox (
    tenant       TEXT     COLLATE "C" NOT NULL,
    site         TEXT     COLLATE "C" NOT NULL,
    id           BYTEA    NOT NULL,
    recipient    TEXT     NOT NULL,
    act          SMALLINT NOT NULL,
    -- bits by code
    categories   BIGINT   NOT NULL,
    -- what the recipient knows the consent by
    subject      BYTEA    NOT NULL,
    at           BIGINT   NOT NULL,
    attempts     BIGINT   NOT NULL,
    problem      TEXT,
    -- when it is to be sent; null when it is settled
    due          BIGINT,
    leased_until BIGINT,
    settled      BIGINT,
    delivered    BOOLEAN  NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX outbox_due ON privet.outbox (tenant, due) WHERE due IS NOT NULL;
CREATE INDEX outbox_recent ON privet.outbox (tenant, at, id);
CREATE INDEX outbox_settled ON privet.outbox (tenant, settled) WHERE settled IS NOT NULL;

CREATE TABLE privet.retention_rules (
    tenant    TEXT   COLLATE "C" NOT NULL,
    class     TEXT   NOT NULL,
    period_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, class)
);

CREATE TABLE privet.notes (
    tenant  TEXT   COLLATE "C" NOT NULL,
    site    TEXT   COLLATE "C" NOT NULL,
    contact BYTEA  NOT NULL,
    id      BYTEA  NOT NULL,
    at      BIGINT NOT NULL,
    author  TEXT   NOT NULL,
    body    BYTEA  NOT NULL,
    PRIMARY KEY (tenant, site, contact, id)
);

-- What operators asked for; names no visitor but by a keyed digest.
CREATE TABLE privet.audit_events (
    tenant   TEXT     COLLATE "C" NOT NULL,
    id       BYTEA    NOT NULL,
    site     TEXT     COLLATE "C",
    at       BIGINT   NOT NULL,
    operator TEXT     NOT NULL,
    verb     SMALLINT NOT NULL,
    subject  BYTEA,
    outcome  SMALLINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX audit_events_recent ON privet.audit_events (tenant, at, id);
