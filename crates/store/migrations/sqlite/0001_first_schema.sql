-- Ids are UUIDs as 16 bytes, times microseconds since 1970 in UTC, money millionths of the currency unit, JSON is text.
-- Each index below stands for a query that exists; add one only together with its query.

-- "TNDM": tells a database of Tandem from any other SQLite file.
PRAGMA application_id = 1414415437;

-- A known text, sealed by the master key: shows a wrong key before anything is written with it.
CREATE TABLE master_key_checks (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sealed BLOB NOT NULL
) STRICT;

-- Counts the changes of what routing and authentication read.
CREATE TABLE routing_revision (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO routing_revision (id, revision) VALUES (1, 1);

CREATE TABLE accounts (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    tier TEXT NOT NULL,
    max_trunks INTEGER,
    max_calls INTEGER,
    data_key BLOB NOT NULL, -- sealed by the master key; seals the secrets of the account
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    email TEXT NOT NULL, -- in lower case
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX users_by_email ON users (email);
CREATE INDEX users_of_account ON users (account_id, email);

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    key_sha256 BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (key_sha256);
CREATE INDEX api_keys_of_account ON api_keys (account_id, created_at);

CREATE TABLE trunks (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT,
    provider TEXT NOT NULL,
    status TEXT NOT NULL,
    sip_domain TEXT NOT NULL,
    sip_port INTEGER NOT NULL,
    sip_proxy TEXT,
    sip_username TEXT NOT NULL,
    sip_password BLOB NOT NULL, -- sealed
    auth_username TEXT,
    auth_password BLOB, -- sealed
    call_direction TEXT NOT NULL,
    max_concurrent_calls INTEGER NOT NULL,
    inbound_routing TEXT NOT NULL,
    outbound_routing TEXT NOT NULL, -- as the client sent it
    outbound TEXT NOT NULL, -- what it means
    codec_preferences TEXT NOT NULL,
    dtmf_mode TEXT NOT NULL,
    cost_per_minute_micros INTEGER NOT NULL,
    monthly_cost_micros INTEGER NOT NULL,
    allowed_ips TEXT NOT NULL,
    encryption_enabled INTEGER NOT NULL,
    failover_trunk_id BLOB REFERENCES trunks (id),
    custom_headers TEXT NOT NULL,
    advanced_config TEXT NOT NULL,
    priority INTEGER NOT NULL,
    health_status TEXT NOT NULL,
    health_checked_at INTEGER,
    health_latency_us INTEGER,
    health_loss_basis_points INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE UNIQUE INDEX trunks_by_name ON trunks (account_id, name) WHERE deleted_at IS NULL;
CREATE INDEX trunks_of_account ON trunks (account_id, priority, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX trunks_by_failover ON trunks (failover_trunk_id) WHERE failover_trunk_id IS NOT NULL;

-- Calls name trunks without a foreign key, and legs and events name calls without one: a record of the call path is never
-- held up, and call_logs can be split by time.
CREATE TABLE call_logs (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    call_id TEXT NOT NULL,
    trunk_id BLOB,
    direction TEXT NOT NULL,
    carried_by TEXT NOT NULL,
    conversation_id BLOB,
    from_number TEXT NOT NULL,
    to_number TEXT NOT NULL,
    to_uri TEXT,
    started_at INTEGER NOT NULL,
    answered_at INTEGER,
    ended_at INTEGER,
    duration_ms INTEGER,
    status TEXT NOT NULL,
    hangup_cause TEXT,
    sip_status INTEGER,
    hung_up_by TEXT,
    quality_score REAL,
    codec_used TEXT,
    sip_call_id TEXT,
    remote_ip TEXT,
    cost_micros INTEGER,
    credits_used_micros INTEGER,
    metadata TEXT NOT NULL,
    receipt TEXT,
    node_id BLOB NOT NULL, -- who stored it first
    boot_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX call_logs_of_account ON call_logs (account_id, started_at);
CREATE INDEX call_logs_of_trunk ON call_logs (trunk_id, started_at) WHERE trunk_id IS NOT NULL;
CREATE INDEX call_logs_open_external ON call_logs (updated_at, id) WHERE carried_by = 'external' AND ended_at IS NULL;

-- Holds the client's ids of calls unique, which call_logs cannot do itself once it is split by time.
CREATE TABLE call_ids (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    call_id TEXT NOT NULL,
    call_log_id BLOB NOT NULL,
    PRIMARY KEY (account_id, call_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE call_legs (
    call_log_id BLOB NOT NULL,
    id BLOB NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    trunk_id BLOB,
    direction TEXT NOT NULL,
    request_uri TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ringing_at INTEGER,
    answered_at INTEGER,
    ended_at INTEGER,
    duration_ms INTEGER,
    status TEXT NOT NULL,
    cause TEXT,
    sip_status INTEGER,
    hung_up_by TEXT,
    codec TEXT,
    sip_call_id TEXT NOT NULL,
    transport TEXT NOT NULL,
    remote_address TEXT,
    billed_seconds INTEGER,
    cost_micros INTEGER,
    media TEXT,
    PRIMARY KEY (call_log_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX call_legs_of_trunk ON call_legs (trunk_id, started_at) WHERE trunk_id IS NOT NULL;

CREATE TABLE call_events (
    call_log_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    leg_id BLOB,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (call_log_id, number)
) STRICT, WITHOUT ROWID;

-- How far each journal is stored; moves in the transaction that stores its records.
CREATE TABLE journal_positions (
    node_id BLOB NOT NULL,
    shard INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    PRIMARY KEY (node_id, shard)
) STRICT, WITHOUT ROWID;
