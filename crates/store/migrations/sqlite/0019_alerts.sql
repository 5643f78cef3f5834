-- What somebody should look at. While a row holds, its condition has not been away since it was raised: then nothing like it is raised
-- again, not even after a person has resolved it.
CREATE TABLE alerts (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    rule TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL,
    state TEXT NOT NULL,
    summary TEXT NOT NULL,
    measured TEXT NOT NULL, -- JSON
    threshold INTEGER NOT NULL,
    node_id BLOB NOT NULL, -- that raised it
    raised_at INTEGER NOT NULL,
    holds INTEGER NOT NULL,
    acknowledged_at INTEGER,
    acknowledged_by TEXT,
    resolved_at INTEGER,
    resolved_by TEXT,
    note TEXT
) STRICT;
CREATE UNIQUE INDEX alerts_holding ON alerts (account_id, rule, subject) WHERE holds;
CREATE INDEX alerts_of_account ON alerts (account_id, raised_at, id);
CREATE INDEX alerts_resolved ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;

-- What accounts want to be told of, as far as they have said.
CREATE TABLE alert_settings (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts (id),
    settings TEXT NOT NULL -- JSON
) STRICT;
