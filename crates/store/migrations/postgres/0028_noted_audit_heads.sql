-- The last entry of a log that the node's log has noted.
ALTER TABLE audit_heads ADD COLUMN noted_number BIGINT NOT NULL DEFAULT 0;
