-- A row of an index, which is what a table WITHOUT ROWID is, may keep a quarter of a page; most timelines have more, and each then had a
-- page of its own for the rest. In a table with rowids three share a page, and the index is small.
CREATE TABLE timelines_by_rowid (
    call_log_id BLOB NOT NULL,
    last_number INTEGER NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    events TEXT NOT NULL,
    PRIMARY KEY (call_log_id, last_number)
) STRICT;

INSERT INTO timelines_by_rowid (call_log_id, last_number, account_id, events)
SELECT call_log_id, last_number, account_id, events FROM call_timelines;

DROP TABLE call_timelines;

ALTER TABLE timelines_by_rowid RENAME TO call_timelines;
