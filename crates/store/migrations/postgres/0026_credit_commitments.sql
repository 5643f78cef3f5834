-- What the calls of a node have cost from the beginning on, with what those that are up may still cost, as it has told the others, and until
-- when they go by it.
ALTER TABLE credit_settlements ADD COLUMN committed_micros BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credit_settlements ADD COLUMN committed_until BIGINT NOT NULL DEFAULT 0;
