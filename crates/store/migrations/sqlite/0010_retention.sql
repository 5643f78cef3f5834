-- For how many days an account's data is kept; what is null is as for the node, whose row has an account of zeros and for which null is
-- for ever. So there is no reference.
CREATE TABLE retention (
    account_id BLOB NOT NULL PRIMARY KEY,
    calls_days INTEGER,
    refusals_days INTEGER,
    audit_log_days INTEGER
) STRICT, WITHOUT ROWID;
