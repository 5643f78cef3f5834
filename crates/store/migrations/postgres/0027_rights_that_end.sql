-- Who made a key, as the audit log names actors. A key that a key has made ends with it.
ALTER TABLE api_keys ADD COLUMN created_by_kind TEXT;
ALTER TABLE api_keys ADD COLUMN created_by_id UUID;
CREATE INDEX api_keys_by_maker ON api_keys (created_by_id);

-- Wrong passwords for an e-mail address by where they came from: an address, or a network of IPv6. Those of sign_in_failures are from
-- everywhere, within an hour. It belongs to no account, as that table does.
CREATE TABLE sign_in_sources (
    email_sha256 BYTEA NOT NULL,
    source TEXT NOT NULL,
    failures BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    locked_until BIGINT NOT NULL,
    -- When somebody last signed in from there.
    signed_in_at BIGINT,
    -- When nothing of it counts any more.
    keep_until BIGINT NOT NULL,
    PRIMARY KEY (email_sha256, source)
);
CREATE INDEX sign_in_sources_by_age ON sign_in_sources (keep_until);
