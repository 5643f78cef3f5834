CREATE TABLE webhook_endpoints (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    event_types TEXT NOT NULL, -- JSON; all when empty
    enabled INTEGER NOT NULL,
    disabled_reason TEXT,
    secret BLOB NOT NULL, -- sealed
    previous_secret BLOB, -- sealed
    previous_secret_until INTEGER,
    fanned_out INTEGER NOT NULL, -- the number of the last event that was looked at
    failures INTEGER NOT NULL, -- in a row
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_endpoints_of_account ON webhook_endpoints (account_id, created_at, id);

CREATE TABLE webhook_deliveries (
    id BLOB NOT NULL PRIMARY KEY,
    endpoint_id BLOB NOT NULL REFERENCES webhook_endpoints (id),
    account_id BLOB NOT NULL REFERENCES accounts (id),
    sequence INTEGER NOT NULL, -- of the event
    event_id BLOB NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL, -- far away while an earlier one of its subject is pending
    give_up_at INTEGER NOT NULL,
    claimed_by BLOB, -- a start of a process
    claimed_until INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    attempted_at INTEGER,
    finished_at INTEGER,
    last_status INTEGER,
    last_error TEXT,
    last_duration_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (endpoint_id, sequence);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_of_subject ON webhook_deliveries (endpoint_id, subject, sequence) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_claimed ON webhook_deliveries (account_id, claimed_until) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
