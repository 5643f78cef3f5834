-- Numbers of accounts; no two have the same. connect is JSON, read by routing.
CREATE TABLE numbers (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    number TEXT COLLATE "C" NOT NULL,
    label TEXT,
    connect TEXT NOT NULL,
    trunk_id UUID,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX numbers_by_number ON numbers (number);
CREATE INDEX numbers_of_account ON numbers (account_id, number);
