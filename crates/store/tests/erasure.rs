//! Nothing of an erased number is left in the database, whoever looks at it however closely.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

#[path = "postgres_server/mod.rs"]
mod postgres_server;
#[path = "conformance/samples.rs"]
#[expect(dead_code, reason = "other tests need more of them")]
mod samples;
#[path = "conformance/traces.rs"]
mod traces;

use crate::samples::with_trunk;
use crate::traces::{DIGITS, NUMBER, act, leave, wall_clock, work};
use postgres_server::{Database, socket_folder};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tandem_model::{BootId, NodeId};
use tandem_store::{DatabaseUrl, ErasureStep, MasterKey, Store, StoreOptions};
use uuid::Uuid;

async fn open(url: &DatabaseUrl) -> Store {
    let options = StoreOptions {
        master_key: MasterKey::from_bytes([7; 32]),
        node_id: NodeId::from_uuid(Uuid::from_u128(0x51)),
        boot_id: BootId::from_uuid(Uuid::from_u128(0x52)),
    };
    Store::open(url, options).await.unwrap()
}

/// Leaves traces of the number, among them those of calls whose states replaced each other, and erases it.
async fn leave_and_erase(store: &Store, before: impl AsyncFnOnce()) {
    let (ours, _) = with_trunk(store, 1).await;
    leave(store, ours, 1).await;
    leave_states(store, ours).await;
    before().await;
    store.insert_erasure(&act(), ours, &NUMBER.parse().unwrap(), &[DIGITS.to_owned()]).await.unwrap();
    let soon = wall_clock().saturating_add(Duration::from_secs(60));
    assert_eq!(work(store, soon).await, Some(ErasureStep::Finished));
    assert!(store.verify_audit_log().await.unwrap().is_whole());
}

/// States of calls that grow, so that rows move and leave what they were behind.
async fn leave_states(store: &Store, ours: tandem_model::AccountId) {
    use tandem_model::{CallRecord, Record};
    for length in [0, 50, 500, 5_000, 50, 9_000] {
        let states = (200..230).map(|number| {
            let plain = samples::call(number, ours);
            Record::Call(Box::new(CallRecord {
                from_number: NUMBER.into(),
                to_uri: Some(format!("sip:{NUMBER}@{}.example.com", "a".repeat(length))),
                ..plain
            }))
        });
        store.write_records(&states.collect::<Vec<_>>()).await.unwrap();
    }
}

fn holds(folder: &Path) -> Vec<String> {
    let mut holding = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(DIGITS.len()).filter(|window| *window == DIGITS.as_bytes()).count();
        let apart = bytes.windows(8).filter(|window| *window == b"555-0142").count();
        if found + apart > 0 {
            holding.push(format!("{} holds it {found} times, and {apart} times apart", path.display()));
        }
    }
    holding
}

#[tokio::test(flavor = "multi_thread")]
async fn no_octet_of_the_files_of_sqlite_holds_the_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&DatabaseUrl::sqlite(folder.path().join("tandem.db"))).await;
    leave_and_erase(&store, async || assert!(!holds(folder.path()).is_empty(), "it is there before")).await;
    assert_eq!(holds(folder.path()), [""; 0], "while the store is open, with its write-ahead log");
    store.close().await;
    assert_eq!(holds(folder.path()), [""; 0]);
}

#[tokio::test]
async fn no_row_of_postgresql_holds_the_number() {
    let database = Database::create().await;
    let store = open(&database.url()).await;
    let tables = async || {
        let mut connection = connect(&database).await;
        let names: Vec<String> =
            sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'tandem'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        assert!(names.len() > 20, "{names:?}");
        let mut holding = Vec::new();
        for name in names {
            let statement = format!(
                "SELECT count(*) FROM tandem.{name} AS line WHERE line::text LIKE '%{DIGITS}%' OR line::text LIKE '%555-0142%'"
            );
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap();
            if rows > 0 {
                holding.push(name);
            }
        }
        connection.close().await.unwrap();
        holding.sort();
        holding
    };
    let before = async || {
        let holding = tables().await;
        let expected = [
            "alerts",
            "audit_log",
            "call_ids",
            "call_legs",
            "call_logs",
            "call_timelines",
            "credit_entries",
            "events",
            "mails",
            "refusals",
            "trunks",
        ];
        assert_eq!(holding, expected, "it is there before");
    };
    leave_and_erase(&store, before).await;
    assert_eq!(tables().await, [""; 0]);
    store.close().await;
}

async fn connect(database: &Database) -> PgConnection {
    let (url, folder) = (database.url().to_string(), socket_folder().display());
    let name = url.rsplit('/').next().unwrap();
    PgConnection::connect(&format!("postgresql:///{name}?host={folder}&user=postgres")).await.unwrap()
}
