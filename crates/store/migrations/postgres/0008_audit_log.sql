-- Who did what. Entries are only added; of the details a hash stays when they are taken away. A log belongs to an account, or to the
-- node: then its account is all zeros, so that there is no reference.
CREATE TABLE audit_log (
    account_id UUID NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id UUID,
    actor_name TEXT NOT NULL,
    actor_account_id UUID,
    on_behalf_of UUID,
    source TEXT,
    request_id TEXT,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    node_id UUID NOT NULL,
    redacts TEXT,
    details TEXT,
    details_salt BYTEA,
    details_sha256 BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (account_id, number)
);
CREATE INDEX audit_log_by_resource ON audit_log (account_id, resource_id, number);
CREATE INDEX audit_log_by_actor ON audit_log (account_id, actor_id, number);
CREATE INDEX audit_log_by_action ON audit_log (account_id, action, number);

-- Where each log begins and ends, under a key that is not in the database.
CREATE TABLE audit_heads (
    account_id UUID NOT NULL PRIMARY KEY,
    first_number BIGINT NOT NULL,
    anchor BYTEA NOT NULL,
    last_number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    mac BYTEA NOT NULL
);
