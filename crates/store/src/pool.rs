use crate::sqlite::SqlitePools;

/// The connections, per backend.
pub(crate) enum Pool {
    Sqlite(SqlitePools),
}
