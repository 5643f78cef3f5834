-- What a trunk costs a month, since when: the cost of a time that is past does not change with the price.
CREATE TABLE trunk_monthly_prices (
    trunk_id BLOB NOT NULL REFERENCES trunks (id),
    account_id BLOB NOT NULL,
    since INTEGER NOT NULL,
    monthly_cost_micros INTEGER NOT NULL,
    PRIMARY KEY (trunk_id, since)
) STRICT, WITHOUT ROWID;
-- What it was earlier nobody wrote down.
INSERT INTO trunk_monthly_prices (trunk_id, account_id, since, monthly_cost_micros)
SELECT id, account_id, created_at, monthly_cost_micros FROM trunks;

-- Those that are gone are asked for as well.
CREATE INDEX trunks_ever_of_account ON trunks (account_id, created_at, id);
