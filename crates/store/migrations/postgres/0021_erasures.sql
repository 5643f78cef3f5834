-- Numbers that are taken out of what accounts have of past calls. Which number it is stands in `subject`, sealed, and only until it is done.
CREATE TABLE erasures (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    requested_at BIGINT NOT NULL,
    pseudonym TEXT NOT NULL,
    subject BYTEA,
    progress TEXT NOT NULL, -- JSON
    erased TEXT NOT NULL, -- JSON: rows by kind
    waits_for TEXT,
    claimed_node UUID,
    claimed_boot UUID,
    claimed_until BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX erasures_of_account ON erasures (account_id, requested_at, id);
CREATE INDEX erasures_going_on ON erasures (claimed_until) WHERE subject IS NOT NULL;

-- Up to when all that a node has recorded is in the database: told while something waits for it.
ALTER TABLE running_nodes ADD COLUMN recorded_to BIGINT NOT NULL DEFAULT 0;
