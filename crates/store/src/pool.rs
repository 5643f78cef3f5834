use crate::sqlite::SqlitePools;

/// The connections, per backend. Each backend has `reader` and `writer` pools and `begin`, which starts a transaction that writes.
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
