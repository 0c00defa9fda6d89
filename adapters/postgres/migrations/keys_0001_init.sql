-- Wrapped keys: in another database than the data where you can, backed up elsewhere, and not for as long. The tenant is
-- empty for keys of the installation.
CREATE TABLE privet.keys (
    tenant  TEXT     COLLATE "C" NOT NULL,
    kind    SMALLINT NOT NULL,
    id      BYTEA    NOT NULL,
    wrapped BYTEA    NOT NULL,
    PRIMARY KEY (tenant, kind, id)
);
