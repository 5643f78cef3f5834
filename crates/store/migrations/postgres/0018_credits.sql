-- What accounts may spend. controlled_since is NULL while their calls are not paid for by credit.
CREATE TABLE credits (
    account_id UUID NOT NULL PRIMARY KEY REFERENCES accounts (id),
    controlled_since BIGINT,
    granted_micros BIGINT NOT NULL
);

-- What calls have cost, by the node that carried them; the nil node stands for calls that something else carried. So nodes that store
-- their calls do not wait for one another, and each knows its own sum.
CREATE TABLE credit_settlements (
    account_id UUID NOT NULL REFERENCES accounts (id),
    node_id UUID NOT NULL,
    settled_micros BIGINT NOT NULL,
    PRIMARY KEY (account_id, node_id)
);

-- Every change, never changed again: the entries of an account sum to granted_micros less its settled_micros. Ids sort by time.
CREATE TABLE credit_entries (
    account_id UUID NOT NULL REFERENCES accounts (id),
    id UUID NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    amount_micros BIGINT NOT NULL,
    call_log_id UUID,
    note TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX credit_entries_of_call ON credit_entries (call_log_id) WHERE call_log_id IS NOT NULL;
