//! What lists and statistics cost over millions of calls while 1,000 calls a second come in: `make bench-scale`.
//!
//! `SCALE_POSTGRES_CALLS` (10,000,000) and `SCALE_SQLITE_CALLS` (1,000,000) say how many calls there are, 0 leaves a backend out;
//! `SCALE_SECONDS` (60) for how long each backend is asked, `SCALE_CALLS_PER_SECOND` (1,000) how many come in meanwhile. Ten million
//! calls take some 7 GB below `/tmp`, which are given back in the end.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails where it goes wrong, and tells its result"
)]

use std::time::{Duration, Instant};
use tandem_e2e::Postgres;
use tandem_scale::{Database, Filled, Incoming, Node, Random, questions};

#[tokio::main]
async fn main() {
    let number = |name: &str, default: u64| std::env::var(name).ok().map_or(default, |text| text.parse().unwrap());
    let calls = number("SCALE_POSTGRES_CALLS", 10_000_000);
    if calls > 0 {
        let server = Postgres::start_with(SETTINGS);
        measure("PostgreSQL", &Database::Postgres(server.url()), calls, number).await;
    }
    let calls = number("SCALE_SQLITE_CALLS", 1_000_000);
    if calls > 0 {
        let folder = tempfile::tempdir().unwrap();
        measure("SQLite", &Database::file_in(folder.path()), calls, number).await;
    }
}

async fn measure(name: &str, database: &Database, calls: u64, number: impl Fn(&str, u64) -> u64) {
    let began = Instant::now();
    let filled = database.fill(calls).await;
    println!("\n{name}: {calls} calls, filled in {:.0} s", began.elapsed().as_secs_f64());
    let store = database.open().await;
    let node = Node::new(&store, filled.owner.clone());
    let seconds = Duration::from_secs(number("SCALE_SECONDS", 60));
    let quiet = ask(&node, &filled, seconds / 4).await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let incoming = Incoming { calls_per_second: number("SCALE_CALLS_PER_SECOND", 1_000) };
    let incoming = tokio::spawn(incoming.run(store.clone(), filled.clone(), stopped));
    let busy = ask(&node, &filled, seconds).await;
    stop.send(()).unwrap();
    let recorded = incoming.await.unwrap();
    println!(
        "meanwhile {} calls were stored in {:.0} s, {:.0} a second; the longest batch took {:.0} ms",
        recorded.calls,
        recorded.time.as_secs_f64(),
        recorded.calls as f64 / recorded.time.as_secs_f64(),
        recorded.longest.as_secs_f64() * 1_000.0
    );
    println!("| {name}, {calls} calls | asked | p50 ms | p95 ms | p99 ms | p95 at rest | within {BUDGET_MS} ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for ((question, mut times), (_, mut at_rest)) in busy.into_iter().zip(quiet) {
        let p95 = percentile(&mut times, 95);
        let verdict = match (question.has_budget, p95 <= BUDGET_MS) {
            (true, true) => "yes",
            (true, false) => "no",
            (false, _) => "",
        };
        println!(
            "| {} | {} | {:.1} | {p95:.1} | {:.1} | {:.1} | {verdict} |",
            question.name,
            times.len(),
            percentile(&mut times, 50),
            percentile(&mut times, 99),
            percentile(&mut at_rest, 95),
        );
    }
    store.close().await;
}

/// Each question in turn, for so long; gives how many milliseconds each answer took.
async fn ask(node: &Node, filled: &Filled, time: Duration) -> Vec<(&'static tandem_scale::Question, Vec<f64>)> {
    let mut random = Random::new(0x5ca1_e000);
    let mut times: Vec<_> = questions().iter().map(|question| (question, Vec::new())).collect();
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < time {
        for (question, times) in &mut times {
            let path = question.path(filled, &mut random);
            let asked = Instant::now();
            let _ = node.ask(&path).await;
            // The first answers fill caches and prepare statements.
            if rounds >= WARM_UP {
                times.push(asked.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        rounds += 1;
        // Not as fast as can be: somebody looks at what he got.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    times
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

const BUDGET_MS: f64 = 20.0;
const WARM_UP: usize = 5;
/// As an operator would set them on a machine with 4 GB to spare, and as durable as it gets.
const SETTINGS: &str = "-c shared_buffers=1GB -c effective_cache_size=3GB -c fsync=on -c synchronous_commit=on \
     -c full_page_writes=on -c autovacuum=on -c max_wal_size=1GB -c random_page_cost=1.1";
