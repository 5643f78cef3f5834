-- Of each account that anybody ever listened to, the sequence number of its latest event, and whether anybody listens: an event is written
-- only then. Its row is locked by who writes events until that is committed, so that they become visible in their order.
CREATE TABLE event_streams (
    account_id UUID NOT NULL PRIMARY KEY REFERENCES accounts (id),
    last_sequence BIGINT NOT NULL,
    endpoints BIGINT NOT NULL, -- webhook endpoints that are enabled
    listening_until BIGINT NOT NULL
);

-- Without a foreign key, as calls are.
CREATE TABLE events (
    account_id UUID NOT NULL,
    sequence BIGINT NOT NULL, -- without gaps, but where events were removed or nobody listened
    id UUID NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    at BIGINT NOT NULL,
    written_at BIGINT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (account_id, sequence)
);
CREATE INDEX events_by_age ON events (written_at);

-- The states of a call that were told as events, as bits.
ALTER TABLE call_logs ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
