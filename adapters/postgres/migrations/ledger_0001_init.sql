-- What was erased, and how far each chain went: appended, never changed. The primary key keeps two who append at once from
-- forking it, and the hash in each line shows what was changed.
CREATE TABLE privet.ledger (
    seq  BIGINT NOT NULL PRIMARY KEY,
    line TEXT   NOT NULL
);
