-- What calls and their legs add up to, kept in the transactions that write them. `view` says which of trunk, prefix and cause a row is of,
-- `grain` how long it is; times are UTC. Without a trunk `trunk_id` is all zeros. The rows of calls and legs say whether they are in here.
CREATE TABLE traffic (
    account_id BLOB NOT NULL,
    view TEXT NOT NULL,
    grain TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    trunk_id BLOB NOT NULL,
    direction TEXT NOT NULL,
    detail TEXT NOT NULL, -- the cause, or the digits of the prefix
    calls INTEGER NOT NULL,
    calls_answered INTEGER NOT NULL,
    calls_failed INTEGER NOT NULL,
    calls_timed INTEGER NOT NULL,
    calls_ms INTEGER NOT NULL,
    calls_cost_micros INTEGER NOT NULL,
    scores INTEGER NOT NULL,
    scores_millis INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    attempts_answered INTEGER NOT NULL,
    attempts_failed INTEGER NOT NULL,
    attempts_effective INTEGER NOT NULL,
    attempts_timed INTEGER NOT NULL,
    attempts_ms INTEGER NOT NULL,
    attempts_cost_micros INTEGER NOT NULL,
    billed_seconds INTEGER NOT NULL,
    rung INTEGER NOT NULL,
    rung_us INTEGER NOT NULL,
    PRIMARY KEY (account_id, view, grain, began_at, trunk_id, direction, detail)
) STRICT, WITHOUT ROWID;
-- Rows of minutes are removed after a while.
CREATE INDEX traffic_minutes ON traffic (began_at) WHERE grain = 'minute';

ALTER TABLE call_logs ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_legs ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;

-- How far the rows that were there before have been counted, by the id of the call.
CREATE TABLE traffic_backfill (
    subject TEXT NOT NULL PRIMARY KEY,
    counted_to BLOB NOT NULL,
    done INTEGER NOT NULL
) STRICT;
INSERT INTO traffic_backfill (subject, counted_to, done)
VALUES ('calls', zeroblob(16), 0), ('legs', zeroblob(16), 0);
