-- Keys that were there before scopes could do everything, and still can.
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'read calls write admin';
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;

-- Argon2id in the PHC string format; without one nobody signs in by password.
ALTER TABLE users ADD COLUMN password_hash TEXT;

-- Whose admins may act for other accounts: that of the node's operator.
ALTER TABLE accounts ADD COLUMN node_admin INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET node_admin = 1 WHERE name = 'admin';
-- When the platform token was issued that last set the tier: an older one changes nothing.
ALTER TABLE accounts ADD COLUMN tier_claimed_at INTEGER;

-- A session has one refresh token at a time; its first half stays, so that a spent one can be told from a guess.
CREATE TABLE sessions (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    user_id BLOB NOT NULL REFERENCES users (id),
    family_sha256 BLOB NOT NULL,
    refresh_sha256 BLOB NOT NULL,
    client_address TEXT,
    created_at INTEGER NOT NULL,
    refreshed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_account ON sessions (account_id, created_at, id);
CREATE INDEX sessions_of_user ON sessions (user_id, refreshed_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE sign_in_links (
    token_sha256 BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    user_id BLOB NOT NULL REFERENCES users (id),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_links_of_user ON sign_in_links (user_id);
CREATE INDEX sign_in_links_by_expiry ON sign_in_links (expires_at);

-- By the address that somebody wrote, whether a user has it or not: an answer must not tell. So it belongs to no account.
CREATE TABLE sign_in_failures (
    email_sha256 BLOB NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    failed_at INTEGER NOT NULL,
    locked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_failures_by_age ON sign_in_failures (failed_at);
