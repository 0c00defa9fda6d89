-- Wrapped keys, in a file of their own: back it up elsewhere than the database, and not for as long.
CREATE TABLE keys (
    kind    INTEGER NOT NULL,
    tenant  TEXT    NOT NULL,
    id      BLOB    NOT NULL,
    wrapped BLOB    NOT NULL,
    PRIMARY KEY (kind, tenant, id)
) WITHOUT ROWID;
