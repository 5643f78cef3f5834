-- For how many days an account's data is kept; what is null is as for the node, whose row has an account of zeros and for which null is
-- for ever. So there is no reference.
CREATE TABLE retention (
    account_id UUID NOT NULL PRIMARY KEY,
    calls_days BIGINT,
    refusals_days BIGINT,
    audit_log_days BIGINT
);
