-- What operators see and do.

ALTER TABLE contacts ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
-- what the app knows the contact as: a keyed digest, and the text, sealed
ALTER TABLE contacts ADD COLUMN identity BLOB;
ALTER TABLE contacts ADD COLUMN identity_text BLOB;
CREATE INDEX contacts_identity ON contacts (tenant, site, identity) WHERE identity IS NOT NULL;
-- What is shown is counted from the index alone.
DROP INDEX contacts_recent;
CREATE INDEX contacts_recent ON contacts (tenant, site, last_seen DESC, id DESC, consent_until, erasing, frozen_until);
CREATE INDEX contacts_country ON contacts (tenant, site, country, last_seen DESC, id DESC, consent_until, erasing, frozen_until);
CREATE INDEX contacts_created ON contacts (tenant, site, created);

ALTER TABLE conversations ADD COLUMN awaits_answer INTEGER NOT NULL DEFAULT 0;
CREATE INDEX conversations_open ON conversations (tenant, site, live_support, last_message DESC, id DESC) WHERE closed IS NULL;
CREATE INDEX conversations_opened ON conversations (tenant, site, opened);

CREATE INDEX consent_records_at ON consent_records (tenant, site, at);

CREATE TABLE notes (
    tenant  TEXT    NOT NULL,
    site    TEXT    NOT NULL,
    contact BLOB    NOT NULL,
    id      BLOB    NOT NULL,
    at      INTEGER NOT NULL,
    author  TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    PRIMARY KEY (tenant, site, contact, id)
) WITHOUT ROWID;

-- What operators asked for; names no visitor but by a keyed digest.
CREATE TABLE audit_events (
    tenant   TEXT    NOT NULL,
    id       BLOB    NOT NULL,
    site     TEXT,
    at       INTEGER NOT NULL,
    operator TEXT    NOT NULL,
    verb     INTEGER NOT NULL,
    subject  BLOB,
    outcome  INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX audit_events_recent ON audit_events (tenant, at DESC, id DESC);
