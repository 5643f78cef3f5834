use crate::sqlite::SqlitePools;

/// The connections, per backend.
///
/// Each backend has `reader` and `writer` pools; `begin`, which starts a transaction that no other writer can come between, so that
/// what it reads stays true until it writes; and the bulk statements `known_accounts` and `write_batch`.
pub(crate) enum Pool {
    Sqlite(SqlitePools),
}

/// Expands its body once per backend, so that both run the same text: `$1` parameters, UUIDs and booleans bound as such.
macro_rules! on_pool {
    ($store:expr, $pools:ident => $body:expr) => {
        match $store.pool() {
            crate::pool::Pool::Sqlite($pools) => $body,
        }
    };
}

pub(crate) use on_pool;
