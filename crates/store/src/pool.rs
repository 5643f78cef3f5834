use crate::postgres::PostgresPools;
use crate::sqlite::SqlitePools;

/// The connections, per backend.
///
/// Each backend has the pools `reader` and `writer`, and
/// - `begin`: a transaction that changes accounts, trunks or keys. No other of its kind comes between, on any node, so that what it
///   reads stays true until it writes.
/// - `begin_calls`: a transaction that writes calls. Others may write other calls meanwhile; `hold_call` keeps one call as it is
///   until the transaction ends.
/// - `snapshot`: a transaction that reads, everything as of one moment.
/// - `look`: a row, asked for to see whether the database answers; and `answers`, what the last look found.
/// - `spare_writer`: a connection for what is not worth waiting for.
/// - `write_records`: a batch of the call path in one transaction.
pub(crate) enum Pool {
    Sqlite(SqlitePools),
    Postgres(PostgresPools),
}

/// Expands its body once per backend, so that both run the same text: `$1` parameters, UUIDs and booleans bound as such.
macro_rules! on_pool {
    ($store:expr, $pools:ident => $body:expr) => {
        match $store.pool() {
            crate::pool::Pool::Sqlite($pools) => $body,
            crate::pool::Pool::Postgres($pools) => $body,
        }
    };
}

pub(crate) use on_pool;
