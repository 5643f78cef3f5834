-- `inbound_routing`, parsed.
ALTER TABLE trunks ADD COLUMN inbound TEXT NOT NULL DEFAULT '{}';

-- INVITEs that were refused, so that no call began.
CREATE TABLE refusals (
    id BLOB NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    at INTEGER NOT NULL,
    trunk_id BLOB,
    from_number TEXT NOT NULL,
    to_number TEXT NOT NULL,
    sip_call_id TEXT NOT NULL,
    sip_status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    receipt TEXT NOT NULL,
    PRIMARY KEY (account_id, id) -- an ambiguous one concerns several accounts
) STRICT;
CREATE INDEX refusals_of_account ON refusals (account_id, at);
CREATE INDEX refusals_of_trunk ON refusals (trunk_id, at) WHERE trunk_id IS NOT NULL;
