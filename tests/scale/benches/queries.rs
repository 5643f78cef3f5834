//! What lists, statistics and a look for alerts cost over millions of calls while 1,000 calls a second come in: `make bench-scale`.
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
    let node = Node::new(&store, &filled);
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
    println!("| {name}, {calls} calls | asked | p50 ms | p95 ms | p99 ms | p95 at rest | at most, ms | kept |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (mut measured, mut at_rest) in busy.into_iter().zip(quiet) {
        let (times, at_rest) = (&mut measured.times, &mut at_rest.times);
        let p95 = percentile(times, 95);
        let (budget, verdict) = match measured.budget_ms {
            Some(budget) => (budget.to_string(), if p95 <= budget { "yes" } else { "no" }),
            None => (String::new(), ""),
        };
        println!(
            "| {} | {} | {:.1} | {p95:.1} | {:.1} | {:.1} | {budget} | {verdict} |",
            measured.name,
            times.len(),
            percentile(times, 50),
            percentile(times, 99),
            percentile(at_rest, 95),
        );
    }
    store.close().await;
}

/// What something took that was done again and again.
struct Measured {
    name: &'static str,
    /// What 95 of 100 times may be at most.
    budget_ms: Option<f64>,
    /// Milliseconds.
    times: Vec<f64>,
}

/// Each question in turn, for so long, and a look for alerts after them.
async fn ask(node: &Node, filled: &Filled, time: Duration) -> Vec<Measured> {
    let mut random = Random::new(0x5ca1_e000);
    let of = |name, budget_ms| Measured { name, budget_ms, times: Vec::new() };
    let mut answers: Vec<_> =
        questions().iter().map(|question| of(question.name, question.has_budget.then_some(BUDGET_MS))).collect();
    let mut looks = of("a look for alerts", Some(ALERTS_BUDGET_MS));
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < time {
        // The first answers fill caches and prepare statements.
        let counts = rounds >= WARM_UP;
        let keep = |measured: &mut Measured, time: Duration| {
            if counts {
                measured.times.push(time.as_secs_f64() * 1_000.0);
            }
        };
        for (question, answers) in questions().iter().zip(&mut answers) {
            let path = question.path(filled, &mut random);
            let asked = Instant::now();
            let _ = node.ask(&path).await;
            keep(answers, asked.elapsed());
        }
        keep(&mut looks, node.look_for_alerts().await);
        rounds += 1;
        // Not as fast as can be: somebody looks at what he got.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    answers.push(looks);
    answers
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

const BUDGET_MS: f64 = 20.0;
/// A hundredth of the ten seconds from one look to the next.
const ALERTS_BUDGET_MS: f64 = 100.0;
const WARM_UP: usize = 5;
/// As an operator would set them on a machine with 4 GB to spare, and as durable as it gets.
const SETTINGS: &str = "-c shared_buffers=1GB -c effective_cache_size=3GB -c fsync=on -c synchronous_commit=on \
     -c full_page_writes=on -c autovacuum=on -c max_wal_size=1GB -c random_page_cost=1.1";
