use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The migrations of SQLite, oldest first. One that was released is never edited: its checksum is kept in every database.
const SQLITE: &[(i64, &str, &str)] = &[(1, "first schema", include_str!("../migrations/sqlite/0001_first_schema.sql"))];

/// The migrations of SQLite, ready to run.
pub(crate) fn sqlite() -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(SQLITE.iter().map(migration).collect())
}

/// The newest schema that this build knows.
pub(crate) fn newest() -> i64 {
    SQLITE.last().map_or(0, |(version, ..)| *version)
}
