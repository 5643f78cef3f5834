-- Spans of time in which a trunk was of one health, cut at least once an hour.
CREATE TABLE trunk_health_history (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    trunk_id BLOB NOT NULL REFERENCES trunks (id),
    began_at INTEGER NOT NULL,
    until_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    latency_us INTEGER,
    loss_basis_points INTEGER,
    PRIMARY KEY (trunk_id, began_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX trunk_health_history_by_end ON trunk_health_history (until_at);
