-- Mails that are to be sent, one for each address, written with what they tell.
CREATE TABLE mails (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    give_up_at INTEGER NOT NULL,
    claimed_by BLOB, -- a node
    claimed_until INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    last_error TEXT
) STRICT;
CREATE INDEX mails_due ON mails (due_at) WHERE state = 'pending';
CREATE INDEX mails_finished ON mails (finished_at) WHERE finished_at IS NOT NULL;

-- How much accounts were told by mail, and what was left out because it was too much.
CREATE TABLE mail_limits (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts (id),
    window_began INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    left_out INTEGER NOT NULL
) STRICT;
