//! What the tables hold, and how it is found.

use crate::postgres_server::Database;
use crate::{ACT, PASSWORD, call, call_lists, connect, execute, open, run, state, trunk};
use sqlx::AssertSqlSafe;
use tandem_model::{Account, AccountId, CallRecord, Record, Tier, Timestamp};
use tandem_store::{CallFilter, CallKey, Part, TrafficQuery};
use uuid::Uuid;

#[tokio::test]
async fn everything_is_in_schema_tandem() {
    let database = Database::create().await;
    open(&database).await.unwrap().close().await;
    let mut connection = connect(&database).await;
    let schemas: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT schemaname::text FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(schemas, ["tandem"]);
}

#[tokio::test]
async fn no_secret_is_in_a_table_in_any_spelling() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    store.insert_trunk(&ACT, &trunk(account, 1), 10).await.unwrap();
    let (_, key) = store.create_api_key(&ACT, account, "laptop").await.unwrap();
    let mut connection = connect(&database).await;
    for table in ["trunks", "api_keys", "accounts"] {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {table}::text FROM {table}")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            // Bytes are shown in hexadecimal digits.
            for secret in [PASSWORD, key.expose()] {
                assert!(!row.contains(secret) && !row.contains(&hex::encode(secret)), "{table}");
            }
        }
    }
    let deleted = trunk(account, 1).id;
    store.delete_trunk(&ACT, account, deleted, Timestamp::from_unix_micros(5)).await.unwrap();
    let (sip, auth): (Vec<u8>, Option<Vec<u8>>) =
        sqlx::query_as("SELECT sip_password, auth_password FROM trunks").fetch_one(&mut connection).await.unwrap();
    assert_eq!((sip, auth), (Vec::new(), None));
    store.close().await;
}

#[tokio::test]
async fn names_are_ordered_by_bytes_whatever_the_database_collates_by() {
    let database = Database::create_with("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'").await;
    let store = open(&database).await.unwrap();
    for (number, name) in [(1, "b"), (2, "B"), (3, "a"), (4, "ä")] {
        let account = Account {
            id: AccountId::from_uuid(Uuid::from_u128(number)),
            name: name.into(),
            tier: Tier::Pro,
            max_trunks: None,
            max_calls: None,
            created_at: Timestamp::from_unix_micros(1),
        };
        store.insert_account(&ACT, &account).await.unwrap();
    }
    let listed = store.accounts(0, 10).await.unwrap();
    assert_eq!(listed.iter().map(|account| account.name.as_str()).collect::<Vec<_>>(), ["B", "a", "b", "ä"]);
    store.close().await;
}

#[tokio::test]
async fn a_nul_from_a_peer_holds_up_no_batch() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    let odd = CallRecord { to_uri: Some("sip:a\0b@example.com".into()), ..call(account, 1) };
    store.write_records(&[state(odd.clone()), state(call(account, 2))]).await.unwrap();
    let stored = store.call(account, &CallKey::Id(odd.id)).await.unwrap().unwrap();
    assert_eq!(stored.to_uri.as_deref(), Some("sip:a\u{fffd}b@example.com"));
    assert_eq!(store.calls(account, &CallFilter::default(), &Part::page(0, 10)).await.unwrap().rows.len(), 2);
    store.close().await;
}

#[tokio::test]
async fn lists_walk_their_indexes() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let mut accounts = Vec::new();
    for name in ["one", "two", "three"] {
        accounts.push(store.ensure_admin_account(&ACT, name).await.unwrap().id);
    }
    let calls: Vec<_> =
        (0..6_000).zip(accounts.iter().cycle()).map(|(number, account)| state(call(*account, number))).collect();
    store.write_records(&calls).await.unwrap();
    store.close().await;
    execute(&database, "ANALYZE").await;

    let mut connection = connect(&database).await;
    // As a statement that is used often is planned: for any value.
    run(&mut connection, "SET plan_cache_mode TO force_generic_plan").await;
    for (number, (parameters, query, index)) in [(
        "bigint, uuid, bigint",
        "SELECT id FROM call_logs WHERE carried_by = 'external' AND ended_at IS NULL AND (updated_at, id) > ($1, $2)
             ORDER BY updated_at, id LIMIT $3",
        "call_logs_open_external",
    )]
    .into_iter()
    .enumerate()
    {
        run(&mut connection, &format!("PREPARE list_{number} ({parameters}) AS {query}")).await;
        let nulls = vec!["NULL"; parameters.split(',').count()].join(", ");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN EXECUTE list_{number} ({nulls})")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("Sort") && !plan.contains("Seq Scan"), "{plan}");
    }
}

/// As a database looks that an earlier build has filled.
#[tokio::test]
async fn calls_of_an_earlier_build_are_counted_once() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    let records: Vec<Record> = (0..1_200).map(|number| state(call(account, number))).collect();
    store.write_records(&records).await.unwrap();
    let query = TrafficQuery::new(account, Timestamp::from_unix_micros(0), Timestamp::from_unix_micros(1_000_000));
    let before = store.traffic(&query).await.unwrap();
    assert_eq!(before[0].sums.calls, 1_200);
    execute(
        &database,
        "UPDATE call_logs SET counted = FALSE; DELETE FROM traffic;
         UPDATE traffic_backfill SET done = FALSE, counted_to = '00000000-0000-0000-0000-000000000000'",
    )
    .await;
    // One of them is written meanwhile.
    store.write_records(&records[700..701]).await.unwrap();
    // Two nodes start at once.
    let count = async || while store.count_earlier_calls().await.unwrap() {};
    tokio::join!(count(), count());
    assert_eq!(store.traffic(&query).await.unwrap(), before);
    store.close().await;
}

#[tokio::test]
async fn calls_are_listed_along_indexes() {
    let database = Database::create().await;
    // The table of a test is so small that reading and sorting all of it is cheap.
    let name = crate::name_of(&database);
    let large = ["enable_seqscan", "enable_bitmapscan"].map(|way| format!("ALTER DATABASE {name} SET {way} TO off;"));
    execute(&database, &large.concat()).await;
    let store = open(&database).await.unwrap();
    let mut accounts = Vec::new();
    for name in ["one", "two", "three"] {
        accounts.push(store.ensure_admin_account(&ACT, name).await.unwrap().id);
    }
    let calls = (0..12_000_u64).zip(accounts.iter().cycle()).map(|(number, account)| {
        state(CallRecord {
            from_number: format!("+1202555{:04}", number % 50),
            to_number: format!("+4420794{:05}", number % 3_000),
            conversation_id: (number % 7 == 0).then(|| Uuid::from_u128(u128::from(number % 210))),
            ..call(*account, number)
        })
    });
    store.write_records(&calls.collect::<Vec<_>>()).await.unwrap();
    execute(&database, "ANALYZE").await;
    for (list, index, plan) in call_lists::plans(&store, accounts[0]).await {
        let plan = plan.join("\n");
        assert!(plan.matches(index).count() >= 2 && !plan.contains("Seq Scan"), "{list}: {plan}");
    }
    store.close().await;
}
