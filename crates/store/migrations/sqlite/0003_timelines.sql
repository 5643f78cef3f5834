-- The steps of a call that were stored together are one row, under the number of the last of them: a step a row cost more than all else
-- that is stored of a call. Each is an array of its number, its leg, its time in microseconds, its kind and its detail.
CREATE TABLE call_timelines (
    call_log_id BLOB NOT NULL,
    last_number INTEGER NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    events TEXT NOT NULL,
    PRIMARY KEY (call_log_id, last_number)
) STRICT, WITHOUT ROWID;

INSERT INTO call_timelines (call_log_id, last_number, account_id, events)
SELECT call_log_id, number, account_id,
    json_array(json_array(number,
        CASE WHEN leg_id IS NULL THEN NULL ELSE lower(hex(leg_id)) END, at, kind, json(detail)))
FROM call_events;

DROP TABLE call_events;

-- Calls that the switch carries are named by their own id, which needs no second place.
DELETE FROM call_ids WHERE call_log_id IN (SELECT id FROM call_logs WHERE carried_by = 'tandem');
