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
