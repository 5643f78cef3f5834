//! Servers that hang, restart or wait.

use crate::postgres_server::Database;
use crate::relay::Relay;
use crate::{ACT, call, connect, execute, name_of, open, options, run, state};
use std::time::Duration;
use tandem_model::{CallRecord, Record};
use tandem_store::{CallFilter, DatabaseError, OpenError, Part, Store, WriteError};
use tokio::time::Instant;

/// How long anything may take while the server is silent.
const FEW_SECONDS: Duration = Duration::from_secs(8);

/// From here the clock runs only while nothing else does, so that waiting for a silent server takes no time.
fn silence(relay: &Relay) -> Instant {
    relay.set_frozen(true);
    tokio::time::pause();
    Instant::now()
}

fn speech(relay: &Relay) {
    tokio::time::resume();
    relay.set_frozen(false);
}

#[tokio::test]
async fn a_silent_server_is_an_error_within_seconds_and_forgotten_when_it_speaks() {
    let (database, relay) = (Database::create().await, Relay::start().await);
    let store = Store::open(&relay.url(&database), options(1)).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    // More than the buffers of a socket hold, so that it hangs while it is written.
    let large: Vec<Record> = (0..3_000)
        .map(|number| state(CallRecord { to_uri: Some("sip:".repeat(1_000)), ..call(account.id, number) }))
        .collect();

    let started = silence(&relay);
    let WriteError::Database(error) = store.write_records(&large).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(started.elapsed() < FEW_SECONDS, "{:?}", started.elapsed());

    // However many asked, none of the pool's places is lost.
    let questions = (0..30).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.account_by_name("admin").await.is_err() })
    });
    let started = Instant::now();
    for question in questions.collect::<Vec<_>>() {
        assert!(question.await.unwrap());
    }
    assert!(started.elapsed() < FEW_SECONDS, "{:?}", started.elapsed());

    speech(&relay);
    assert_eq!(store.account_by_name("admin").await.unwrap(), Some(account.clone()));
    store.write_records(&large).await.unwrap();
    let listed = store.calls(account.id, &CallFilter::default(), &Part::page(2_990, 100)).await.unwrap().rows;
    assert_eq!(listed.len(), 10);
    store.close().await;
}

#[tokio::test]
async fn once_a_look_finds_no_answer_nothing_waits_until_one_does() {
    let (database, relay) = (Database::create().await, Relay::start().await);
    let store = Store::open(&relay.url(&database), options(1)).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let _ = store.revision().await.unwrap();
    assert!(store.answers());

    let started = silence(&relay);
    // What waits already is given up with the look, though its own limit is far off.
    let records = [state(call(account.id, 1))];
    let (looked, asked, written) =
        tokio::join!(store.revision(), store.account_by_name("admin"), store.write_records(&records));
    assert!(looked.unwrap_err().is_transient());
    assert!(asked.unwrap_err().is_transient());
    let WriteError::Database(error) = written.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(started.elapsed() < Duration::from_millis(2_500), "{:?}", started.elapsed());
    assert!(!store.answers());
    // What comes after it does not wait at all.
    let started = Instant::now();
    assert!(store.account_by_name("admin").await.unwrap_err().is_transient());
    let WriteError::Database(error) = store.write_records(&records).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());

    speech(&relay);
    let _ = store.revision().await.unwrap();
    assert!(store.answers());
    assert_eq!(store.account_by_name("admin").await.unwrap(), Some(account.clone()));
    store.write_records(&records).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_connection_that_ended_is_no_server_that_is_away() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let name = name_of(&database);
    for _ in 0..2 {
        let _ = store.revision().await.unwrap();
        execute(
            &database,
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
            ),
        )
        .await;
    }
    let _ = store.revision().await.unwrap();
    assert!(store.answers());
    store.close().await;
}

#[tokio::test]
async fn a_refusal_tells_whether_the_values_or_the_database_are_to_blame() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let record = state(call(account.id, 1));
    execute(&database, "ALTER TABLE call_logs RENAME TO elsewhere").await;
    let WriteError::Database(error) = store.write_records(&[record]).await.unwrap_err();
    assert!(!error.is_about_values(), "{error}");
    execute(&database, "ALTER TABLE elsewhere RENAME TO call_logs").await;
    execute(&database, "ALTER TABLE call_logs ADD CHECK (from_number <> 'never')").await;
    let never = CallRecord { from_number: "never".to_owned(), ..call(account.id, 2) };
    let WriteError::Database(error) = store.write_records(&[state(never)]).await.unwrap_err();
    assert!(error.is_about_values(), "{error}");
    store.close().await;
}

#[tokio::test]
async fn a_statement_that_hangs_under_way_is_given_up() {
    let (database, relay) = (Database::create().await, Relay::start().await);
    let store = Store::open(&relay.url(&database), options(1)).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    // The change is asked for inside a transaction, after its first answers.
    let call = call(account.id, 1);
    store.write_records(&[state(call.clone())]).await.unwrap();
    let mut started = None;
    let changed = store
        .update_call(&ACT, account.id, &tandem_store::CallKey::Id(call.id), |call| {
            call.hangup_cause = Some("never written".into());
            started = Some(silence(&relay));
            Ok::<(), std::convert::Infallible>(())
        })
        .await;
    assert!(matches!(changed, Err(tandem_store::UpdateCallError::Database(error)) if error.is_transient()));
    assert!(started.unwrap().elapsed() < FEW_SECONDS);
    speech(&relay);
    let stored = store.calls(account.id, &CallFilter::default(), &Part::page(0, 10)).await.unwrap().rows;
    assert_eq!(stored, [call]);
    store.close().await;
}

#[tokio::test]
async fn a_silent_server_delays_neither_opening_nor_closing_for_long() {
    let (database, relay) = (Database::create().await, Relay::start().await);
    let url = relay.url(&database);
    let store = Store::open(&url, options(1)).await.unwrap();

    let started = silence(&relay);
    let error = Store::open(&url, options(1)).await.err().unwrap();
    assert!(matches!(error, OpenError::ServerUnreachable { .. }), "{error}");
    assert!(started.elapsed() < FEW_SECONDS, "{:?}", started.elapsed());
    let (_, started) = (store.revision().await.unwrap_err(), Instant::now());
    store.close().await;
    assert!(started.elapsed() <= FEW_SECONDS, "{:?}", started.elapsed());
}

#[tokio::test]
async fn connections_that_the_server_ended_are_replaced() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let name = name_of(&database);
    for _ in 0..3 {
        execute(
            &database,
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
            ),
        )
        .await;
        // Those that were used a moment ago are not asked whether they live: each may fail once.
        let mut failures = 0;
        let found = loop {
            match store.account_by_name("admin").await {
                Ok(found) => break found,
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    failures += 1;
                    assert!(failures <= 6);
                }
            }
        };
        assert_eq!(found, Some(account.clone()));
    }
    store.close().await;
}

#[tokio::test]
async fn what_is_locked_for_long_is_busy() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let mut other = connect(&database).await;
    run(&mut other, "BEGIN; LOCK TABLE call_logs").await;
    let (all, part) = (CallFilter::default(), Part::page(0, 10));
    let (listed, written) = tokio::join!(store.calls(account.id, &all, &part), async {
        store.write_records(&[state(call(account.id, 1))]).await
    });
    assert!(matches!(listed, Err(DatabaseError::Busy)));
    assert!(matches!(written, Err(WriteError::Database(DatabaseError::Busy))));
    run(&mut other, "ROLLBACK").await;
    store.write_records(&[state(call(account.id, 1))]).await.unwrap();
    assert_eq!(store.calls(account.id, &all, &part).await.unwrap().rows.len(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_table_that_a_newer_node_changed_is_read_again() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    execute(&database, "ALTER TABLE accounts ADD COLUMN colour TEXT").await;
    // Each connection fails once with the statements that it has prepared, and is replaced.
    let mut failures = 0;
    while store.account_by_name("admin").await.ok().flatten().as_ref() != Some(&account) {
        failures += 1;
        assert!(failures <= 6);
    }
    store.close().await;
}
