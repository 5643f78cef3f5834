-- Numbers of accounts; no two have the same. connect is JSON, read by routing.
CREATE TABLE numbers (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    number TEXT NOT NULL,
    label TEXT,
    connect TEXT NOT NULL,
    trunk_id BLOB,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX numbers_by_number ON numbers (number);
CREATE INDEX numbers_of_account ON numbers (account_id, number);
