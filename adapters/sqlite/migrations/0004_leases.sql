-- Work that one process at a time does; a row stays when its lease is given back, so that its token only grows.
CREATE TABLE leases (
    name  TEXT    NOT NULL PRIMARY KEY,
    owner BLOB,
    until INTEGER NOT NULL,
    token INTEGER NOT NULL
) WITHOUT ROWID;
