-- What calls and their legs add up to, kept in the transactions that write them. `view` says which of trunk, prefix and cause a row is of,
-- `grain` how long it is; times are UTC. Without a trunk `trunk_id` is all zeros. The rows of calls and legs say whether they are in here.
CREATE TABLE traffic (
    account_id UUID NOT NULL,
    view TEXT COLLATE "C" NOT NULL,
    grain TEXT COLLATE "C" NOT NULL,
    began_at BIGINT NOT NULL,
    trunk_id UUID NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL, -- the cause, or the digits of the prefix
    calls BIGINT NOT NULL,
    calls_answered BIGINT NOT NULL,
    calls_failed BIGINT NOT NULL,
    calls_timed BIGINT NOT NULL,
    calls_ms BIGINT NOT NULL,
    calls_cost_micros BIGINT NOT NULL,
    scores BIGINT NOT NULL,
    scores_millis BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    attempts_answered BIGINT NOT NULL,
    attempts_failed BIGINT NOT NULL,
    attempts_effective BIGINT NOT NULL,
    attempts_timed BIGINT NOT NULL,
    attempts_ms BIGINT NOT NULL,
    attempts_cost_micros BIGINT NOT NULL,
    billed_seconds BIGINT NOT NULL,
    rung BIGINT NOT NULL,
    rung_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, view, grain, began_at, trunk_id, direction, detail)
)
-- The rows of this hour are written again and again: with room beside them they stay on their page, and no index learns of it.
WITH (fillfactor = 50);
-- Rows of minutes are removed after a while.
CREATE INDEX traffic_minutes ON traffic (began_at) WHERE grain = 'minute';

ALTER TABLE call_logs ADD COLUMN counted BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE call_legs ADD COLUMN counted BOOLEAN NOT NULL DEFAULT FALSE;

-- How far the rows that were there before have been counted, by the id of the call.
CREATE TABLE traffic_backfill (
    subject TEXT NOT NULL PRIMARY KEY,
    counted_to UUID NOT NULL,
    done BOOLEAN NOT NULL
);
INSERT INTO traffic_backfill (subject, counted_to, done)
VALUES ('calls', '00000000-0000-0000-0000-000000000000', FALSE), ('legs', '00000000-0000-0000-0000-000000000000', FALSE);
