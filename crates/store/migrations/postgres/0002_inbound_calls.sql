-- `inbound_routing`, parsed.
ALTER TABLE trunks ADD COLUMN inbound TEXT NOT NULL DEFAULT '{}';

-- INVITEs that were refused, so that no call began.
CREATE TABLE refusals (
    id UUID NOT NULL,
    account_id UUID NOT NULL REFERENCES accounts (id),
    at BIGINT NOT NULL,
    trunk_id UUID,
    from_number TEXT NOT NULL,
    to_number TEXT NOT NULL,
    sip_call_id TEXT NOT NULL,
    sip_status BIGINT NOT NULL,
    reason TEXT NOT NULL,
    receipt TEXT NOT NULL,
    PRIMARY KEY (account_id, id) -- an ambiguous one concerns several accounts
);
CREATE INDEX refusals_of_account ON refusals (account_id, at);
CREATE INDEX refusals_of_trunk ON refusals (trunk_id, at) WHERE trunk_id IS NOT NULL;
