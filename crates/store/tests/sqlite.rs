//! What only SQLite files can do or suffer.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

mod call_lists;
#[path = "conformance/samples.rs"]
#[expect(dead_code, reason = "other tests need more of them")]
mod samples;

use base64::Engine;
use std::fs;
use std::path::Path;
use tandem_model::*;
use tandem_store::{Act, CallKey, DatabaseUrl, MasterKey, OpenError, Store, StoreOptions, TrafficQuery};
use uuid::Uuid;

/// Who does everything here.
static ACT: Act = Act::system("test", Timestamp::from_unix_micros(0));
const PASSWORD: &str = "a-very-secret-sip-password";

fn options(key: u8) -> StoreOptions {
    StoreOptions {
        master_key: MasterKey::from_bytes([key; 32]),
        node_id: NodeId::from_uuid(Uuid::from_u128(1)),
        boot_id: BootId::from_uuid(Uuid::from_u128(2)),
    }
}

async fn open(path: &Path, key: u8) -> Result<Store, OpenError> {
    Store::open(&DatabaseUrl::sqlite(path), options(key)).await
}

async fn refusal(path: &Path) -> OpenError {
    open(path, 1).await.err().expect("it must not open")
}

fn trunk(account_id: AccountId, number: u128) -> Trunk {
    Trunk {
        id: TrunkId::from_uuid(Uuid::from_u128(number)),
        account_id,
        name: format!("trunk {number}"),
        description: None,
        provider: Provider::Custom,
        status: TrunkStatus::Active,
        sip_domain: "sip.example.com".into(),
        sip_port: 5060,
        sip_proxy: None,
        sip_username: "user".into(),
        sip_password: Secret::new(PASSWORD),
        auth_username: None,
        auth_password: Some(Secret::new(PASSWORD)),
        call_direction: CallDirection::Bidirectional,
        max_concurrent_calls: 10,
        inbound_routing: serde_json::json!({}),
        inbound: Default::default(),
        outbound_routing: serde_json::json!({}),
        outbound: OutboundRouting::default(),
        codec_preferences: Vec::new(),
        dtmf_mode: DtmfMode::Rfc2833,
        cost_per_minute: Money::ZERO,
        monthly_cost: Money::ZERO,
        allowed_ips: Vec::new(),
        encryption_enabled: true,
        failover_trunk_id: None,
        custom_headers: std::collections::BTreeMap::new(),
        advanced_config: serde_json::Map::new(),
        priority: 1,
        health: TrunkHealth::UNKNOWN,
        created_at: Timestamp::from_unix_micros(1),
        updated_at: Timestamp::from_unix_micros(1),
    }
}

/// Every byte that the database keeps on disk.
fn bytes_on_disk(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.flat_map(|path| fs::read(path).unwrap()).collect()
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn no_secret_is_on_disk_in_any_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("tandem.db"), 1).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    store.insert_trunk(&ACT, &trunk(account, 1), 10).await.unwrap();
    let (_, key) = store.create_api_key(&ACT, account, "key").await.unwrap();

    let look = |bytes: &[u8], when: &str| {
        assert!(holds(bytes, b"sip.example.com"), "the search finds what is there, {when}");
        for secret in [PASSWORD.as_bytes(), key.expose().as_bytes(), &[1; 32]] {
            let padded = base64::engine::general_purpose::STANDARD.encode(secret);
            // A base64 text ends differently when more follows, so only whole groups are looked for.
            let groups = &padded.as_bytes()[..secret.len() / 3 * 4];
            assert!(!holds(bytes, secret), "{when}");
            assert!(!holds(bytes, groups), "{when}");
            assert!(!holds(bytes, hex::encode(secret).as_bytes()), "{when}");
            assert!(!holds(bytes, hex::encode_upper(secret).as_bytes()), "{when}");
        }
    };
    let open_bytes = bytes_on_disk(folder.path());
    assert!(fs::metadata(folder.path().join("tandem.db-wal")).unwrap().len() > 0);
    look(&open_bytes, "with a write-ahead log");
    store.close().await;
    look(&bytes_on_disk(folder.path()), "after closing");
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let store = open(&path, 1).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    store.insert_trunk(&ACT, &trunk(account, 1), 10).await.unwrap();
    let revision = store.revision().await.unwrap();
    store.close().await;
    assert!(!folder.path().join("tandem.db-wal").exists(), "the log is folded into the file");

    let store = open(&path, 1).await.unwrap();
    let snapshot = store.routing_snapshot().await.unwrap();
    assert_eq!(snapshot.revision, revision);
    assert_eq!(snapshot.trunks[0].sip_password.expose(), PASSWORD);
    store.close().await;
}

#[tokio::test]
async fn another_master_key_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    open(&path, 1).await.unwrap().close().await;
    let error = open(&path, 2).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongMasterKey));
    assert!(error.to_string().contains("TANDEM_MASTER_KEY_FILE"));
    open(&path, 1).await.unwrap().close().await;
}

#[tokio::test]
async fn a_sealed_value_moved_to_another_row_does_not_open_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let store = open(&path, 1).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    for number in [1, 2] {
        store.insert_trunk(&ACT, &trunk(account, number), 10).await.unwrap();
    }
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::query("UPDATE trunks SET sip_password = (SELECT sip_password FROM trunks WHERE name = 'trunk 1') WHERE name = 'trunk 2'")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;

    let moved = trunk(account, 2).id;
    let error = store.trunk(account, moved).await.err().unwrap().to_string();
    assert!(error.contains("trunks.sip_password") && !error.contains(PASSWORD), "{error}");
    let snapshot = store.routing_snapshot().await.unwrap();
    assert_eq!(snapshot.trunks.len(), 1);
    assert_eq!(snapshot.unreadable.len(), 1);
    assert_eq!(snapshot.unreadable[0].0, moved);
    store.close().await;
}

#[tokio::test]
async fn a_deleted_trunk_keeps_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let store = open(&path, 1).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    store.insert_trunk(&ACT, &trunk(account, 1), 10).await.unwrap();
    store.delete_trunk(&ACT, account, trunk(account, 1).id, Timestamp::from_unix_micros(5)).await.unwrap();
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.unwrap();
    let (sip, auth): (Vec<u8>, Option<Vec<u8>>) =
        sqlx::query_as("SELECT sip_password, auth_password FROM trunks").fetch_one(&pool).await.unwrap();
    assert_eq!((sip, auth), (Vec::new(), None));
    pool.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let error = refusal(Path::new("/nonexistent/folder/tandem.db")).await;
    assert!(matches!(&error, OpenError::FolderMissing { folder } if folder == Path::new("/nonexistent/folder")));
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    // Nobody can make files in /proc, not even root, which tests may run as.
    assert!(matches!(refusal(Path::new("/proc/tandem.db")).await, OpenError::NotWritable { .. }));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(folder.path()).await, OpenError::NotADatabase { .. }));
}

#[tokio::test]
async fn files_of_other_programs_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    let words = "no database, but longer than the header of one: ".repeat(40);
    fs::write(&text, &words).unwrap();
    assert!(matches!(refusal(&text).await, OpenError::NotADatabase { .. }));
    assert_eq!(fs::read_to_string(&text).unwrap(), words);

    let foreign = folder.path().join("foreign.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&pool).await.unwrap();
    assert!(matches!(refusal(&foreign).await, OpenError::NotADatabase { .. }));
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&pool).await.unwrap();
    assert_eq!(tables, 1);
    pool.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let url = DatabaseUrl::sqlite(&path);
    let made = Store::migrate(&url).await.unwrap();
    assert_eq!((made.from, Store::migrate(&url).await.unwrap()), (0, tandem_store::Migrated { from: made.to, ..made }));

    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations SELECT 9999, 'from the future', installed_on, 1, checksum, 1 FROM _sqlx_migrations LIMIT 1")
        .execute(&pool)
        .await
        .unwrap();
    assert!(matches!(refusal(&path).await, OpenError::NewerSchema { found: 9999, known } if known == made.to));
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 9999").execute(&pool).await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").execute(&pool).await.unwrap();
    assert!(matches!(refusal(&path).await, OpenError::ForeignSchema { version: 1 }));
    pool.close().await;
}

#[tokio::test]
async fn two_processes_share_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let (server, cli) = (open(&path, 1).await.unwrap(), open(&path, 1).await.unwrap());
    let account = cli.ensure_admin_account(&ACT, "admin").await.unwrap();
    let before = server.revision().await.unwrap();
    let (_, key) = cli.create_api_key(&ACT, account.id, "key").await.unwrap();
    assert!(server.revision().await.unwrap() > before);
    assert_eq!(server.authenticate(key.expose()).await.unwrap().unwrap().account, account);

    let writes = (1..=20).map(|number| {
        let store = if number % 2 == 0 { server.clone() } else { cli.clone() };
        let trunk = trunk(account.id, number);
        tokio::spawn(async move { store.insert_trunk(&ACT, &trunk, 100).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    assert_eq!(server.trunks(account.id, 0, 100).await.unwrap().len(), 20);
    server.close().await;
    cli.close().await;
}

/// As a file looks that an earlier build has filled.
#[tokio::test]
async fn calls_of_an_earlier_build_are_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let store = open(&path, 1).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    store.insert_trunk(&ACT, &trunk(account, 1), 10).await.unwrap();
    for number in 1..=3_u8 {
        store.insert_external_call(&ACT, &logged(account, number)).await.unwrap();
    }
    let query = TrafficQuery::new(account, Timestamp::from_unix_micros(0), Timestamp::from_unix_micros(1_000_000));
    let before = store.traffic(&query).await.unwrap();
    assert_eq!(before[0].sums.calls, 3);
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::raw_sql(
        "UPDATE call_logs SET counted = FALSE; DELETE FROM traffic;
         UPDATE traffic_backfill SET done = FALSE, counted_to = zeroblob(16)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let change = |call: &mut CallRecord| {
        call.status = CallStatus::Ringing;
        Ok::<(), std::convert::Infallible>(())
    };
    store.update_call(&ACT, account, &CallKey::Id(logged(account, 2).id), change).await.unwrap();
    while store.count_earlier_calls().await.unwrap() {}
    assert_eq!(store.traffic(&query).await.unwrap(), before);
    store.close().await;
}

/// As a file looks that an earlier build has filled, which did not work out how legs sounded.
#[tokio::test]
async fn the_sound_of_a_leg_counts_from_when_it_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let store = open(&path, 1).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    let counted = samples::leg(1, &logged(account, 1));
    let late = samples::leg(2, &logged(account, 2));
    let legs = [Record::Leg(Box::new(counted)), Record::Leg(Box::new(late))];
    store.write_records(&legs).await.unwrap();
    let query = TrafficQuery::new(account, samples::at(0), samples::at(3_600));
    let before = store.traffic(&query).await.unwrap();
    assert_eq!((before[0].sums.heard, before[0].sums.heard_mos_millis), (2, 2 * 4_410));
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::raw_sql(
        "UPDATE traffic SET attempts = 1, heard = 0, heard_mos_millis = 0;
         UPDATE call_legs SET mos_millis = NULL, counted = (number = 1);
         UPDATE traffic_backfill SET done = FALSE, counted_to = zeroblob(16)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    while store.count_earlier_calls().await.unwrap() {}
    let heard = async || {
        let sums = store.traffic(&query).await.unwrap()[0].sums;
        (sums.attempts, sums.heard, sums.heard_mos_millis)
    };
    assert_eq!(heard().await, (2, 0, 0));
    store.write_records(&legs[..1]).await.unwrap();
    assert_eq!(heard().await, (2, 1, 4_410));
    store.write_records(&legs).await.unwrap();
    assert_eq!(store.traffic(&query).await.unwrap()[0].sums.heard, 2);
    store.close().await;
}

/// A call that something else carries, over the first trunk.
fn logged(account_id: AccountId, number: u8) -> CallRecord {
    let at = Timestamp::from_unix_micros(i64::from(number));
    CallRecord {
        id: CallId::from_uuid(Uuid::from_u128(u128::from(number))),
        account_id,
        call_id: format!("call {number}"),
        trunk_id: Some(TrunkId::from_uuid(Uuid::from_u128(1))),
        direction: CallDirection::Outbound,
        carried_by: CarriedBy::External,
        conversation_id: None,
        from_number: "+12025550100".into(),
        to_number: "+442079460000".into(),
        to_uri: None,
        started_at: at,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status: CallStatus::Initiated,
        hangup_cause: None,
        sip_status: None,
        hung_up_by: None,
        quality_score: None,
        codec_used: None,
        sip_call_id: None,
        remote_ip: None,
        cost: None,
        credits_used: None,
        metadata: serde_json::Map::new(),
        receipt: None,
        created_at: at,
    }
}

#[tokio::test]
async fn lists_walk_their_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    Store::migrate(&DatabaseUrl::sqlite(&path)).await.unwrap();
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.unwrap();
    for (query, index) in [
        (
            "SELECT id FROM call_logs WHERE carried_by = 'external' AND ended_at IS NULL AND (updated_at, id) > (?1, ?2) ORDER BY updated_at, id",
            "call_logs_open_external",
        ),
        ("SELECT * FROM call_legs WHERE call_log_id = ?1 AND account_id = ?2 ORDER BY number, id", "PRIMARY KEY"),
        (
            "SELECT * FROM call_timelines WHERE call_log_id = ?1 AND account_id = ?2 ORDER BY last_number",
            "sqlite_autoindex_call_timelines_1",
        ),
        (
            "SELECT * FROM trunks WHERE account_id = ?1 AND deleted_at IS NULL ORDER BY priority, created_at, id",
            "trunks_of_account",
        ),
        (
            "SELECT SUM(calls) FROM traffic WHERE account_id = ?1 AND view = ?2 AND grain = ?3 AND began_at >= ?4 AND began_at < ?5",
            "PRIMARY KEY (account_id=? AND view=? AND grain=? AND began_at>? AND began_at<?)",
        ),
        ("DELETE FROM traffic WHERE grain = 'minute' AND began_at < ?1", "traffic_minutes"),
        ("SELECT * FROM api_keys WHERE account_id = ?1 ORDER BY created_at DESC, id DESC", "api_keys_of_account"),
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"))).fetch_all(&pool).await.unwrap();
        let plan: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).collect();
        assert!(plan[0].starts_with("SEARCH") && plan[0].contains(index), "{query}: {plan:?}");
    }
    pool.close().await;
}

#[tokio::test]
async fn calls_are_listed_along_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("tandem.db"), 1).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    for (list, index, plan) in call_lists::plans(&store, account).await {
        // The rows themselves, then the end of the walk.
        let walks: Vec<&String> = plan.iter().filter(|step| step.contains("call_logs")).collect();
        assert_eq!(walks.len(), 2, "{list}: {plan:#?}");
        assert!(walks.iter().all(|step| step.starts_with("SEARCH") && step.contains(index)), "{list}: {plan:#?}");
        // Only those that began in the same microsecond are sorted.
        let sorts: Vec<&String> = plan.iter().filter(|step| step.contains("B-TREE")).collect();
        assert!(sorts.iter().all(|step| step.contains("LAST 2 TERMS")), "{list}: {plan:#?}");
    }
    store.close().await;
}
