-- What a POST with an Idempotency-Key was answered, so that the same request is answered the same. The key stands in a hash with its
-- account and with who sent it: those of two actors never meet.
CREATE TABLE idempotency_keys (
    key_sha256 BYTEA NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    request_sha256 BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    -- Who carries the request out, and until when nobody else does.
    claimed_node UUID NOT NULL,
    claimed_boot UUID NOT NULL,
    claimed_until BIGINT NOT NULL,
    -- Sealed; NULL until it is known.
    answer BYTEA
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_of_account ON idempotency_keys (account_id, created_at);
