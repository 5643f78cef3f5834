-- The last entry of a log that the node's log has noted.
ALTER TABLE audit_heads ADD COLUMN noted_number INTEGER NOT NULL DEFAULT 0;
