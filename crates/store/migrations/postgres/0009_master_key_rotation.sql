-- The master key that takes the place of another; one row, also once it is done. The new key is sealed by the old one, so that every
-- node learns of it, and goes from here when everything is sealed by it.
CREATE TABLE master_key_rotation (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    old_key TEXT NOT NULL,
    new_key TEXT NOT NULL,
    sealed_key BYTEA,
    phase TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    retire_at BIGINT
);

-- Which nodes run, and how far each is with the key.
CREATE TABLE running_nodes (
    node_id UUID NOT NULL PRIMARY KEY,
    boot_id UUID NOT NULL,
    seen_at BIGINT NOT NULL,
    key_state TEXT NOT NULL
);
