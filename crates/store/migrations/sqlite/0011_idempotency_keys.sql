-- What a POST with an Idempotency-Key was answered, so that the same request is answered the same. The key stands in a hash with its
-- account and with who sent it: those of two actors never meet.
CREATE TABLE idempotency_keys (
    key_sha256 BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    request_sha256 BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    -- Who carries the request out, and until when nobody else does.
    claimed_node BLOB NOT NULL,
    claimed_boot BLOB NOT NULL,
    claimed_until INTEGER NOT NULL,
    -- Sealed; NULL until it is known.
    answer BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_of_account ON idempotency_keys (account_id, created_at);
