-- When it was told that the credit does not pay for a call; NULL again as soon as some is added.
ALTER TABLE credits ADD COLUMN exhausted_at INTEGER;

-- What was given up, and what is pending, is looked for among much that was delivered.
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (endpoint_id, state, sequence);

CREATE INDEX trunks_by_age ON trunks (account_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX trunks_by_cost ON trunks (account_id, cost_per_minute_micros, id) WHERE deleted_at IS NULL;
