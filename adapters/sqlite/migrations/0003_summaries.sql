-- The ids of messages that were taken out one by one: who sends one of them again is told that it is there, and it does
-- not come back. They go with their conversation.
CREATE TABLE erased_messages (
    tenant       TEXT    NOT NULL,
    site         TEXT    NOT NULL,
    conversation BLOB    NOT NULL,
    id           BLOB    NOT NULL,
    number       INTEGER NOT NULL,
    PRIMARY KEY (tenant, site, conversation, id)
) WITHOUT ROWID;

-- A page of the list is read from an index alone.
DROP INDEX contacts_recent;
CREATE INDEX contacts_recent ON contacts
    (tenant, site, last_seen DESC, id DESC, consent_until, erasing, frozen_until, country, created, conversations);
DROP INDEX contacts_country;
CREATE INDEX contacts_country ON contacts
    (tenant, site, country, last_seen DESC, id DESC, consent_until, erasing, frozen_until, created, conversations);
