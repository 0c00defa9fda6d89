-- The ids of messages that were taken out one by one: who sends one of them again, into whichever conversation, is told that
-- it is there, and it does not come back. They go with the conversation that they were of.
CREATE TABLE erased_messages (
    tenant       TEXT    NOT NULL,
    site         TEXT    NOT NULL,
    id           BLOB    NOT NULL,
    conversation BLOB    NOT NULL,
    number       INTEGER NOT NULL,
    PRIMARY KEY (tenant, site, id)
) WITHOUT ROWID;
CREATE INDEX erased_messages_conversation ON erased_messages (tenant, site, conversation);

-- A page of the list is read from an index alone.
DROP INDEX contacts_recent;
CREATE INDEX contacts_recent ON contacts
    (tenant, site, last_seen DESC, id DESC, consent_until, erasing, frozen_until, country, created, conversations);
DROP INDEX contacts_country;
CREATE INDEX contacts_country ON contacts
    (tenant, site, country, last_seen DESC, id DESC, consent_until, erasing, frozen_until, created, conversations);

-- Figures for the planner, made up and meant to last: one large tenant with one large site. Without any it takes a site to
-- have a handful of contacts, and looks for one by walking through all of them; with those of a database that is still
-- empty it would do so for ever.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('consent_records', 'consent_records', '1000000 1000000 50000 1'),
    ('consent_records', 'consent_records_id', '1000000 1000000 1000000 1'),
    ('consent_records', 'consent_records_line', '1000000 1000000 1000000 3 1'),
    ('consent_records', 'consent_records_until', '1000000 1000000 2'),
    ('consent_records', 'consent_records_at', '1000000 1000000 1000000 2'),
    ('consent_links', 'consent_links', '1000000 1000000 50000 1'),
    ('contacts', 'contacts', '1000000 1000000 1000000 1'),
    ('contacts', 'contacts_recent', '1000000 1000000 1000000 20 1 1 1 1 1 1 1'),
    ('contacts', 'contacts_country', '1000000 1000000 1000000 50000 5 1 1 1 1 1 1'),
    ('contacts', 'contacts_line', '1000000 1000000 1000000 1'),
    ('contacts', 'contacts_until', '1000000 1000000 2'),
    ('contacts', 'contacts_created', '1000000 1000000 1000000 2'),
    ('contacts', 'contacts_identity', '100000 100000 100000 1'),
    ('contacts', 'contacts_frozen', '1000 1000 1000 2'),
    ('contacts', 'contacts_erasing', '1000 1000 1000 1'),
    ('conversations', 'conversations', '1000000 1000000 1000000 1'),
    ('conversations', 'conversations_owner', '1000000 1000000 1000000 500000 2 1 1'),
    ('conversations', 'conversations_age', '1000000 1000000 500000 250000 2'),
    ('conversations', 'conversations_open', '1000 1000 1000 500 2 1'),
    ('conversations', 'conversations_opened', '1000000 1000000 1000000 2'),
    ('conversations', 'conversations_erasing', '1000 1000 1000 1'),
    ('messages', 'messages', '5000000 5000000 5000000 5 1'),
    ('messages', 'messages_id', '5000000 5000000 5000000 5 1'),
    ('messages', 'messages_age', '5000000 5000000 2'),
    ('erased_messages', 'erased_messages', '1000 1000 1000 1'),
    ('erased_messages', 'erased_messages_conversation', '1000 1000 1000 2'),
    ('fences', 'fences', '100000 100000 1'),
    ('fences', 'fences_until', '100000 2'),
    ('outbox', 'outbox', '100000 100000 1'),
    ('outbox', 'outbox_due', '1000 1000 2'),
    ('outbox', 'outbox_recent', '100000 100000 2 1'),
    ('outbox', 'outbox_settled', '100000 100000 2'),
    ('notes', 'notes', '100000 100000 100000 2 1'),
    ('audit_events', 'audit_events', '1000000 1000000 1'),
    ('audit_events', 'audit_events_recent', '1000000 1000000 2 1');
ANALYZE sqlite_schema;
