-- Of each account that anybody ever listened to, the sequence number of its latest event, and whether anybody listens: an event is written
-- only then. Its row is locked by who writes events until that is committed, so that they become visible in their order.
CREATE TABLE event_streams (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts (id),
    last_sequence INTEGER NOT NULL,
    endpoints INTEGER NOT NULL, -- webhook endpoints that are enabled
    listening_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    sequence INTEGER NOT NULL, -- without gaps, but where events were removed or nobody listened
    id BLOB NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    written_at INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (account_id, sequence)
) STRICT;
CREATE INDEX events_by_age ON events (written_at);

-- The states of a call that were told as events, as bits.
ALTER TABLE call_logs ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
