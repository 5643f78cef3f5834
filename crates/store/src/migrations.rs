use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Version, name and statements.
type Step = (i64, &'static str, &'static str);

/// The migrations of SQLite, oldest first. One that was released is never edited: its checksum is kept in every database.
const SQLITE: &[Step] = &[
    (1, "first schema", include_str!("../migrations/sqlite/0001_first_schema.sql")),
    (2, "inbound calls", include_str!("../migrations/sqlite/0002_inbound_calls.sql")),
    (3, "timelines", include_str!("../migrations/sqlite/0003_timelines.sql")),
    (4, "legs without trunk index", include_str!("../migrations/sqlite/0004_legs_without_trunk_index.sql")),
    (5, "access", include_str!("../migrations/sqlite/0005_access.sql")),
    (6, "timelines by rowid", include_str!("../migrations/sqlite/0006_timelines_by_rowid.sql")),
    (7, "trunk health history", include_str!("../migrations/sqlite/0007_trunk_health_history.sql")),
    (8, "audit log", include_str!("../migrations/sqlite/0008_audit_log.sql")),
    (9, "master key rotation", include_str!("../migrations/sqlite/0009_master_key_rotation.sql")),
    (10, "retention", include_str!("../migrations/sqlite/0010_retention.sql")),
    (11, "idempotency keys", include_str!("../migrations/sqlite/0011_idempotency_keys.sql")),
    (12, "call lists", include_str!("../migrations/sqlite/0012_call_lists.sql")),
    (13, "numbers", include_str!("../migrations/sqlite/0013_numbers.sql")),
    (14, "traffic", include_str!("../migrations/sqlite/0014_traffic.sql")),
    (15, "trunk prices", include_str!("../migrations/sqlite/0015_trunk_prices.sql")),
    (16, "events", include_str!("../migrations/sqlite/0016_events.sql")),
    (17, "webhooks", include_str!("../migrations/sqlite/0017_webhooks.sql")),
    (18, "credits", include_str!("../migrations/sqlite/0018_credits.sql")),
    (19, "alerts", include_str!("../migrations/sqlite/0019_alerts.sql")),
    (20, "mails", include_str!("../migrations/sqlite/0020_mails.sql")),
    (21, "erasures", include_str!("../migrations/sqlite/0021_erasures.sql")),
    (22, "keeping", include_str!("../migrations/sqlite/0022_keeping.sql")),
    (23, "lists and credit events", include_str!("../migrations/sqlite/0023_lists_and_credit_events.sql")),
    (24, "listening quality", include_str!("../migrations/sqlite/0024_listening_quality.sql")),
    (25, "unseen passwords", include_str!("../migrations/sqlite/0025_unseen_passwords.sql")),
    (26, "credit commitments", include_str!("../migrations/sqlite/0026_credit_commitments.sql")),
    (27, "rights that end", include_str!("../migrations/sqlite/0027_rights_that_end.sql")),
    (28, "noted audit heads", include_str!("../migrations/sqlite/0028_noted_audit_heads.sql")),
];

/// The migrations of PostgreSQL: the same versions, under the same rule.
const POSTGRES: &[Step] = &[
    (1, "first schema", include_str!("../migrations/postgres/0001_first_schema.sql")),
    (2, "inbound calls", include_str!("../migrations/postgres/0002_inbound_calls.sql")),
    (3, "timelines", include_str!("../migrations/postgres/0003_timelines.sql")),
    (4, "legs without trunk index", include_str!("../migrations/postgres/0004_legs_without_trunk_index.sql")),
    (5, "access", include_str!("../migrations/postgres/0005_access.sql")),
    (6, "timelines by rowid", include_str!("../migrations/postgres/0006_timelines_by_rowid.sql")),
    (7, "trunk health history", include_str!("../migrations/postgres/0007_trunk_health_history.sql")),
    (8, "audit log", include_str!("../migrations/postgres/0008_audit_log.sql")),
    (9, "master key rotation", include_str!("../migrations/postgres/0009_master_key_rotation.sql")),
    (10, "retention", include_str!("../migrations/postgres/0010_retention.sql")),
    (11, "idempotency keys", include_str!("../migrations/postgres/0011_idempotency_keys.sql")),
    (12, "call lists", include_str!("../migrations/postgres/0012_call_lists.sql")),
    (13, "numbers", include_str!("../migrations/postgres/0013_numbers.sql")),
    (14, "traffic", include_str!("../migrations/postgres/0014_traffic.sql")),
    (15, "trunk prices", include_str!("../migrations/postgres/0015_trunk_prices.sql")),
    (16, "events", include_str!("../migrations/postgres/0016_events.sql")),
    (17, "webhooks", include_str!("../migrations/postgres/0017_webhooks.sql")),
    (18, "credits", include_str!("../migrations/postgres/0018_credits.sql")),
    (19, "alerts", include_str!("../migrations/postgres/0019_alerts.sql")),
    (20, "mails", include_str!("../migrations/postgres/0020_mails.sql")),
    (21, "erasures", include_str!("../migrations/postgres/0021_erasures.sql")),
    (22, "keeping", include_str!("../migrations/postgres/0022_keeping.sql")),
    (23, "lists and credit events", include_str!("../migrations/postgres/0023_lists_and_credit_events.sql")),
    (24, "listening quality", include_str!("../migrations/postgres/0024_listening_quality.sql")),
    (25, "unseen passwords", include_str!("../migrations/postgres/0025_unseen_passwords.sql")),
    (26, "credit commitments", include_str!("../migrations/postgres/0026_credit_commitments.sql")),
    (27, "rights that end", include_str!("../migrations/postgres/0027_rights_that_end.sql")),
    (28, "noted audit heads", include_str!("../migrations/postgres/0028_noted_audit_heads.sql")),
];

/// The migrations of SQLite, ready to run.
pub(crate) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

/// The migrations of PostgreSQL, ready to run.
pub(crate) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

/// The newest schema that this build knows, the same for every backend.
pub(crate) fn newest() -> i64 {
    SQLITE.last().map_or(0, |(version, ..)| *version)
}

fn migrator(steps: &'static [Step]) -> Migrator {
    let migration = |&(version, name, sql): &Step| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_backends_have_the_same_versions() {
        let versions = |steps: &[Step]| steps.iter().map(|(version, name, _)| (*version, *name)).collect::<Vec<_>>();
        assert_eq!(versions(SQLITE), versions(POSTGRES));
    }
}
