-- Numbers that are taken out of what accounts have of past calls. Which number it is stands in `subject`, sealed, and only until it is done.
CREATE TABLE erasures (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    requested_at INTEGER NOT NULL,
    pseudonym TEXT NOT NULL,
    subject BLOB,
    progress TEXT NOT NULL, -- JSON
    erased TEXT NOT NULL, -- JSON: rows by kind
    waits_for TEXT,
    claimed_node BLOB,
    claimed_boot BLOB,
    claimed_until INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX erasures_of_account ON erasures (account_id, requested_at, id);
CREATE INDEX erasures_going_on ON erasures (claimed_until) WHERE subject IS NOT NULL;

-- Up to when all that a node has recorded is in the database: told while something waits for it.
ALTER TABLE running_nodes ADD COLUMN recorded_to INTEGER NOT NULL DEFAULT 0;
