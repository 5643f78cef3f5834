-- Times are microseconds since 1970 in UTC, money is millionths of the currency unit. JSON is text, so that it comes back as it was
-- written: jsonb refuses \u0000 and rounds numbers. Texts that are ordered or looked up collate by bytes, as in SQLite, so that lists
-- have the same order everywhere and no index breaks with an upgrade of the operating system.
-- Each index below stands for a query that exists; add one only together with its query.

-- A known text, sealed by the master key: shows a wrong key before anything is written with it.
CREATE TABLE master_key_checks (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    sealed BYTEA NOT NULL
);

-- Counts the changes of what routing and authentication read.
CREATE TABLE routing_revision (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO routing_revision (id, revision) VALUES (1, 1);

CREATE TABLE accounts (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    tier TEXT NOT NULL,
    max_trunks BIGINT,
    max_calls BIGINT,
    data_key BYTEA NOT NULL, -- sealed by the master key; seals the secrets of the account
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    email TEXT COLLATE "C" NOT NULL, -- in lower case
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_by_email ON users (email);
CREATE INDEX users_of_account ON users (account_id, email);

CREATE TABLE api_keys (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    key_sha256 BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (key_sha256);
CREATE INDEX api_keys_of_account ON api_keys (account_id, created_at, id);

CREATE TABLE trunks (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    description TEXT,
    provider TEXT NOT NULL,
    status TEXT NOT NULL,
    sip_domain TEXT NOT NULL,
    sip_port BIGINT NOT NULL,
    sip_proxy TEXT,
    sip_username TEXT NOT NULL,
    sip_password BYTEA NOT NULL, -- sealed
    auth_username TEXT,
    auth_password BYTEA, -- sealed
    call_direction TEXT NOT NULL,
    max_concurrent_calls BIGINT NOT NULL,
    inbound_routing TEXT NOT NULL,
    outbound_routing TEXT NOT NULL, -- as the client sent it
    outbound TEXT NOT NULL, -- what it means
    codec_preferences TEXT NOT NULL,
    dtmf_mode TEXT NOT NULL,
    cost_per_minute_micros BIGINT NOT NULL,
    monthly_cost_micros BIGINT NOT NULL,
    allowed_ips TEXT NOT NULL,
    encryption_enabled BOOLEAN NOT NULL,
    failover_trunk_id UUID REFERENCES trunks (id),
    custom_headers TEXT NOT NULL,
    advanced_config TEXT NOT NULL,
    priority BIGINT NOT NULL,
    health_status TEXT NOT NULL,
    health_checked_at BIGINT,
    health_latency_us BIGINT,
    health_loss_basis_points BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX trunks_by_name ON trunks (account_id, name) WHERE deleted_at IS NULL;
CREATE INDEX trunks_of_account ON trunks (account_id, priority, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX trunks_by_failover ON trunks (failover_trunk_id) WHERE failover_trunk_id IS NOT NULL;

-- Calls name trunks without a foreign key, and legs and events name calls without one: a record of the call path is never
-- held up, and call_logs can be split by time. They name accounts without one too: whoever writes them has looked the account up,
-- accounts are never deleted, and a foreign key would lock the account's row once for each row that is written.
CREATE TABLE call_logs (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    call_id TEXT NOT NULL,
    trunk_id UUID,
    direction TEXT NOT NULL,
    carried_by TEXT NOT NULL,
    conversation_id UUID,
    from_number TEXT NOT NULL,
    to_number TEXT NOT NULL,
    to_uri TEXT,
    started_at BIGINT NOT NULL,
    answered_at BIGINT,
    ended_at BIGINT,
    duration_ms BIGINT,
    status TEXT NOT NULL,
    hangup_cause TEXT,
    sip_status BIGINT,
    hung_up_by TEXT,
    quality_score DOUBLE PRECISION,
    codec_used TEXT,
    sip_call_id TEXT,
    remote_ip TEXT,
    cost_micros BIGINT,
    credits_used_micros BIGINT,
    metadata TEXT NOT NULL,
    receipt TEXT,
    node_id UUID NOT NULL, -- who stored it first
    boot_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
-- The whole order of the lists, so that the planner never has a reason to sort.
CREATE INDEX call_logs_of_account ON call_logs (account_id, started_at, created_at, id);
CREATE INDEX call_logs_of_trunk ON call_logs (trunk_id, account_id, started_at, created_at, id) WHERE trunk_id IS NOT NULL;
CREATE INDEX call_logs_open_external ON call_logs (updated_at, id) WHERE carried_by = 'external' AND ended_at IS NULL;

-- Holds the client's ids of calls unique, which call_logs cannot do itself once it is split by time.
CREATE TABLE call_ids (
    account_id UUID NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    call_log_id UUID NOT NULL,
    PRIMARY KEY (account_id, call_id)
);

CREATE TABLE call_legs (
    call_log_id UUID NOT NULL,
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    trunk_id UUID,
    direction TEXT NOT NULL,
    request_uri TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ringing_at BIGINT,
    answered_at BIGINT,
    ended_at BIGINT,
    duration_ms BIGINT,
    status TEXT NOT NULL,
    cause TEXT,
    sip_status BIGINT,
    hung_up_by TEXT,
    codec TEXT,
    sip_call_id TEXT NOT NULL,
    transport TEXT NOT NULL,
    remote_address TEXT,
    billed_seconds BIGINT,
    cost_micros BIGINT,
    media TEXT,
    PRIMARY KEY (call_log_id, id)
);
CREATE INDEX call_legs_of_trunk ON call_legs (trunk_id, started_at) WHERE trunk_id IS NOT NULL;

CREATE TABLE call_events (
    call_log_id UUID NOT NULL,
    number BIGINT NOT NULL,
    account_id UUID NOT NULL,
    leg_id UUID,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (call_log_id, number)
);

-- How far each journal is stored; moves in the transaction that stores its records.
CREATE TABLE journal_positions (
    node_id UUID NOT NULL,
    shard BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    PRIMARY KEY (node_id, shard)
);
