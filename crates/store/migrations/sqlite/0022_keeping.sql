-- More kinds of data that are kept for so many days.
ALTER TABLE retention ADD COLUMN timelines_days INTEGER;
ALTER TABLE retention ADD COLUMN events_days INTEGER;
ALTER TABLE retention ADD COLUMN trunk_health_days INTEGER;

-- Up to which call, by when they began, the timelines of an account are removed: calls stay, and are not all looked at again each time.
CREATE TABLE timelines_removed (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts (id),
    began_at INTEGER NOT NULL,
    call_log_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
