CREATE TABLE webhook_endpoints (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    event_types TEXT NOT NULL, -- JSON; all when empty
    enabled BOOLEAN NOT NULL,
    disabled_reason TEXT,
    secret BYTEA NOT NULL, -- sealed
    previous_secret BYTEA, -- sealed
    previous_secret_until BIGINT,
    fanned_out BIGINT NOT NULL, -- the number of the last event that was looked at
    failures BIGINT NOT NULL, -- in a row
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX webhook_endpoints_of_account ON webhook_endpoints (account_id, created_at, id);

CREATE TABLE webhook_deliveries (
    id UUID NOT NULL PRIMARY KEY,
    endpoint_id UUID NOT NULL REFERENCES webhook_endpoints (id),
    account_id UUID NOT NULL REFERENCES accounts (id),
    sequence BIGINT NOT NULL, -- of the event
    event_id UUID NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL, -- far away while an earlier one of its subject is pending
    give_up_at BIGINT NOT NULL,
    claimed_by UUID, -- a start of a process
    claimed_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    attempted_at BIGINT,
    finished_at BIGINT,
    last_status BIGINT,
    last_error TEXT,
    last_duration_ms BIGINT
);
CREATE UNIQUE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (endpoint_id, sequence);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_of_subject ON webhook_deliveries (endpoint_id, subject, sequence) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_claimed ON webhook_deliveries (account_id, claimed_until) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
