-- Keys that were there before scopes could do everything, and still can.
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'read calls write admin';
ALTER TABLE api_keys ADD COLUMN expires_at BIGINT;

-- Argon2id in the PHC string format; without one nobody signs in by password.
ALTER TABLE users ADD COLUMN password_hash TEXT;

-- Whose admins may act for other accounts: that of the node's operator.
ALTER TABLE accounts ADD COLUMN node_admin BOOLEAN NOT NULL DEFAULT false;
UPDATE accounts SET node_admin = true WHERE name = 'admin';
-- When the platform token was issued that last set the tier: an older one changes nothing.
ALTER TABLE accounts ADD COLUMN tier_claimed_at BIGINT;

-- A session has one refresh token at a time; its first half stays, so that a spent one can be told from a guess.
CREATE TABLE sessions (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    user_id UUID NOT NULL REFERENCES users (id),
    family_sha256 BYTEA NOT NULL,
    refresh_sha256 BYTEA NOT NULL,
    client_address TEXT,
    created_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_of_account ON sessions (account_id, created_at, id);
CREATE INDEX sessions_of_user ON sessions (user_id, refreshed_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE sign_in_links (
    token_sha256 BYTEA NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    user_id UUID NOT NULL REFERENCES users (id),
    expires_at BIGINT NOT NULL
);
CREATE INDEX sign_in_links_of_user ON sign_in_links (user_id);
CREATE INDEX sign_in_links_by_expiry ON sign_in_links (expires_at);

-- By the address that somebody wrote, whether a user has it or not: an answer must not tell. So it belongs to no account.
CREATE TABLE sign_in_failures (
    email_sha256 BYTEA NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    locked_until BIGINT NOT NULL
);
CREATE INDEX sign_in_failures_by_age ON sign_in_failures (failed_at);
