-- Work of the installation that one instance at a time does; a row stays when its lease is given back, so that its token only
-- grows.
CREATE TABLE privet.leases (
    name  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    owner BYTEA,
    until BIGINT NOT NULL,
    token BIGINT NOT NULL
) WITH (fillfactor = 50);
