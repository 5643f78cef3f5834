-- The steps of a call that were stored together are one row, under the number of the last of them: a step a row cost more than all else
-- that is stored of a call. Each is an array of its number, its leg, its time in microseconds, its kind and its detail.
CREATE TABLE call_timelines (
    call_log_id UUID NOT NULL,
    last_number BIGINT NOT NULL,
    account_id UUID NOT NULL REFERENCES accounts (id),
    events TEXT NOT NULL,
    PRIMARY KEY (call_log_id, last_number)
);

INSERT INTO call_timelines (call_log_id, last_number, account_id, events)
SELECT call_log_id, number, account_id,
    json_build_array(json_build_array(number, replace(leg_id::text, '-', ''), at, kind, detail::json))::text
FROM call_events;

DROP TABLE call_events;

-- Calls that the switch carries are named by their own id, which needs no second place.
DELETE FROM call_ids WHERE call_log_id IN (SELECT id FROM call_logs WHERE carried_by = 'tandem');
