-- Spans of time in which a trunk was of one health, cut at least once an hour.
CREATE TABLE trunk_health_history (
    account_id UUID NOT NULL REFERENCES accounts (id),
    trunk_id UUID NOT NULL REFERENCES trunks (id),
    began_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    latency_us BIGINT,
    loss_basis_points BIGINT,
    PRIMARY KEY (trunk_id, began_at)
);
CREATE INDEX trunk_health_history_by_end ON trunk_health_history (until_at);
