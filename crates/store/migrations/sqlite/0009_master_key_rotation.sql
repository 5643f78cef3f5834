-- The master key that takes the place of another; one row, also once it is done. The new key is sealed by the old one, so that every
-- node learns of it, and goes from here when everything is sealed by it.
CREATE TABLE master_key_rotation (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    old_key TEXT NOT NULL,
    new_key TEXT NOT NULL,
    sealed_key BLOB,
    phase TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    retire_at INTEGER
) STRICT;

-- Which nodes run, and how far each is with the key.
CREATE TABLE running_nodes (
    node_id BLOB NOT NULL PRIMARY KEY,
    boot_id BLOB NOT NULL,
    seen_at INTEGER NOT NULL,
    key_state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
