-- Mails that are to be sent, one for each address, written with what they tell.
CREATE TABLE mails (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    give_up_at BIGINT NOT NULL,
    claimed_by UUID, -- a node
    claimed_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    last_error TEXT
);
CREATE INDEX mails_due ON mails (due_at) WHERE state = 'pending';
CREATE INDEX mails_finished ON mails (finished_at) WHERE finished_at IS NOT NULL;

-- How much accounts were told by mail, and what was left out because it was too much.
CREATE TABLE mail_limits (
    account_id UUID NOT NULL PRIMARY KEY REFERENCES accounts (id),
    window_began BIGINT NOT NULL,
    sent BIGINT NOT NULL,
    left_out BIGINT NOT NULL
);
