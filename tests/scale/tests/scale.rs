//! 100,000 calls in each backend: the answers are right, and none reads more than it must.
//!
//! What an answer costs in time is measured by `make bench-scale`, over millions of calls; here it is shown, and judged by what was read.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails where it goes wrong, and shows its figures"
)]

use serde_json::Value;
use std::time::Instant;
use tandem_e2e::Postgres;
use tandem_scale::{Database, Filled, Incoming, MONTH_DAYS, Node, Random, questions};

const CALLS: u64 = 100_000;
/// Enough for every trunk, prefix and cause; each is counted row by row.
const FEW_CALLS: u64 = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_answers_rightly_over_many_calls_while_more_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::file_in(folder.path());
    let filled = database.fill(CALLS).await;
    answers_rightly(&database, &filled).await;
    is_answered_while_calls_come_in(&database, &filled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_answers_rightly_over_many_calls_while_more_come_in() {
    let server = Postgres::start();
    let database = Database::Postgres(server.url());
    let filled = database.fill(CALLS).await;
    answers_rightly(&database, &filled).await;
    reads_no_more_than_it_must(&database, &filled).await;
    is_answered_while_calls_come_in(&database, &filled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filled_in_is_what_the_store_counts() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start();
    for database in [Database::file_in(folder.path()), Database::Postgres(server.url())] {
        let _ = database.fill(FEW_CALLS).await;
        adds_up_as_the_store_counts(&database).await;
    }
}

/// The database was filled past the store; so it counts all of it anew, as it would after an update.
async fn adds_up_as_the_store_counts(database: &Database) {
    database
        .run(
            "CREATE TABLE filled AS SELECT * FROM traffic; DELETE FROM traffic; UPDATE call_logs SET counted = FALSE;
             UPDATE traffic_backfill SET done = FALSE",
        )
        .await;
    let nil = match database {
        Database::Sqlite(_) => "zeroblob(16)",
        Database::Postgres(_) => "'00000000-0000-0000-0000-000000000000'",
    };
    database.run(&format!("UPDATE traffic_backfill SET counted_to = {nil}")).await;
    let store = database.open().await;
    while store.count_earlier_calls().await.unwrap() {}
    store.close().await;
    // The oldest minutes may have grown too old meanwhile.
    let newest = "SELECT max(began_at) FROM traffic WHERE grain = 'hour'";
    let kept = format!("(grain <> 'minute' OR began_at > ({newest}) - 46 * 3600000000)");
    for (some, others) in [("filled", "traffic"), ("traffic", "filled")] {
        let missing = format!(
            "SELECT count(*) FROM (SELECT * FROM {some} WHERE {kept} EXCEPT SELECT * FROM {others} WHERE {kept}) AS missing"
        );
        assert_eq!(database.number(&missing).await, 0, "{some} without {others}");
    }
    assert!(database.number("SELECT count(*) FROM traffic").await > 10_000);
}

async fn answers_rightly(database: &Database, filled: &Filled) {
    let store = database.open().await;
    let node = Node::new(&store, filled);
    let month = format!("start_date={}&end_date={}", filled.from, filled.to);
    let told = node.get(&format!("/analytics?group_by=hour&{month}")).await;
    let buckets = told["buckets"].as_array().unwrap();
    assert_eq!(i64::try_from(buckets.len()).unwrap(), MONTH_DAYS * 24);
    let sum =
        |buckets: &[Value], column: &str| buckets.iter().map(|bucket| bucket[column].as_i64().unwrap()).sum::<i64>();
    let calls = i64::try_from(CALLS).unwrap();
    assert_eq!((sum(buckets, "calls"), sum(buckets, "answered_calls")), (calls, calls * 6 / 10));
    assert_eq!(told["totals"]["asr_percent"], 60.0);
    assert_eq!(told["totals"]["ner_percent"], 80.0);
    assert_eq!(told["totals"]["quality_score_average"], 4.0);
    for group_by in ["trunk", "prefix", "cause", "day", "trunk,cause"] {
        let told = node.get(&format!("/analytics?group_by={group_by}&{month}")).await;
        assert_eq!(sum(told["buckets"].as_array().unwrap(), "calls"), calls, "{group_by}");
    }
    let dashboard = node.get("/dashboard").await;
    assert_eq!(dashboard["total_trunks"], 10);
    let trunks = dashboard["trunk_stats"].as_array().unwrap();
    let last_day: i64 = trunks.iter().map(|trunk| trunk["last_24h_calls"].as_i64().unwrap()).sum();
    // A day, less what of this hour is over.
    let a_day = calls / MONTH_DAYS;
    assert!((a_day * 22 / 24..=a_day).contains(&last_day), "{last_day}");
    // One hour of each day; where the month began, some hours back, it is a little less.
    let uptime = trunks[0]["uptime_percent"].as_f64().unwrap();
    assert!((95.0..97.0).contains(&uptime), "{uptime}");

    let mut random = Random::new(0x5ca1_e001);
    let trunk = filled.trunk(&mut random);
    let listed = node.get(&format!("/calls?trunk_id={trunk}")).await;
    assert!(listed.as_array().unwrap().iter().all(|call| call["sip_trunk_id"] == trunk.to_string()));
    let number = format!("+{}", filled.number(&mut random));
    let listed = node.get(&format!("/calls?to={}", number.replace('+', "%2B"))).await;
    let listed = listed.as_array().unwrap();
    assert!(!listed.is_empty() && listed.iter().all(|call| call["to_number"] == number.as_str()), "{listed:?}");
    store.close().await;
}

/// By the counters of the server: no table that grows with calls is read through, and few rows are.
async fn reads_no_more_than_it_must(database: &Database, filled: &Filled) {
    for question in questions() {
        let read = rows_read(database, filled, async |node| {
            let mut random = Random::new(0x5ca1_e002);
            let _ = node.get(&question.path(filled, &mut random)).await;
        });
        let read = read.await;
        println!("postgres, {}: {read} rows read", question.name);
        let most = if question.has_budget { MOST_ROWS } else { A_SCAN };
        assert!(read > 0 && read < most, "{}: {read}", question.name);
    }
    let read = rows_read(database, filled, async |node| {
        let _ = node.look_for_alerts().await;
    });
    let read = read.await;
    println!("postgres, a look for alerts: {read} rows read");
    // The minutes of an hour, and the hours of a week.
    assert!(read > 60 + 7 * 24 && read < MOST_ROWS, "a look for alerts: {read}");
}

/// How many rows that takes at a node that has just started; a scan of a whole table counts as a million.
async fn rows_read(database: &Database, filled: &Filled, ask: impl AsyncFnOnce(&Node)) -> i64 {
    let counted = async || {
        // What a connection has counted is there once it is closed.
        let counted = "SELECT coalesce(sum(seq_scan * 1000000 + idx_tup_fetch), 0)::bigint FROM pg_stat_user_tables
             WHERE relname IN ('call_logs', 'call_legs', 'traffic')";
        database.number(counted).await
    };
    let before = counted().await;
    let store = database.open().await;
    ask(&Node::new(&store, filled)).await;
    store.close().await;
    let mut read = counted().await - before;
    for _ in 0..100 {
        if read > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        read = counted().await - before;
    }
    read
}

async fn is_answered_while_calls_come_in(database: &Database, filled: &Filled) {
    let store = database.open().await;
    let node = Node::new(&store, filled);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let incoming = tokio::spawn(Incoming { calls_per_second: 1_000 }.run(store.clone(), filled.clone(), stopped));
    let mut random = Random::new(0x5ca1_e003);
    for question in questions() {
        let began = Instant::now();
        for _ in 0..5 {
            let _ = node.get(&question.path(filled, &mut random)).await;
        }
        println!("{}: {:.1} ms", question.name, began.elapsed().as_secs_f64() * 1_000.0 / 5.0);
    }
    let mut looks = Vec::new();
    for _ in 0..20 {
        looks.push(node.look_for_alerts().await);
    }
    looks.sort_unstable();
    println!("a look for alerts: {:?} at most, 19 of 20 times", looks[18]);
    stop.send(()).unwrap();
    let recorded = incoming.await.unwrap();
    println!("{recorded:?}");
    assert!(recorded.calls > 0);
    store.close().await;
    let stored = database.number("SELECT count(*) FROM call_logs").await;
    assert_eq!(stored.unsigned_abs(), CALLS + recorded.calls, "all that came in is stored");
    let counted =
        database.number("SELECT CAST(sum(calls) AS BIGINT) FROM traffic WHERE view = 'all' AND grain = 'hour'").await;
    assert_eq!(counted, stored, "and counted");
}

/// A month of hours in two directions is 1,440 rows, a dashboard of ten trunks reads less than 5,000.
const MOST_ROWS: i64 = 10_000;
/// As one scan of a whole table is counted.
const A_SCAN: i64 = 1_000_000;
