//! Runs of the simulation: the seeds that once failed, and as many others as are asked for.

#![expect(clippy::print_stdout, reason = "a run says what there was")]

use std::collections::BTreeSet;

use tandem_sim::{FOUND, Options, Report, run};

/// Seeds in an ordinary run; `SIM_SEEDS` asks for more.
const SEEDS: u64 = 100;
/// The tests that share them, so that they run at once.
const SHARES: u64 = 4;

/// What calls of the simulation must come to.
const FLOWS: [&str; 30] = [
    "cause: authentication_failed",
    "cause: canceled",
    "cause: incompatible_destination",
    "cause: max_duration",
    "cause: media_timeout",
    "cause: no_answer",
    "cause: no_circuit_available",
    "cause: node_restarted",
    "cause: normal_clearing",
    "cause: protocol_error",
    "cause: temporary_failure",
    "cause: unallocated_number",
    "cause: user_busy",
    "event: connected",
    "event: held",
    "event: leg_early_media",
    "event: media_latched",
    "event: resumed",
    "outcome: answered",
    "outcome: canceled",
    "outcome: final_status",
    "outcome: no_progress",
    "outcome: no_response",
    "outcome: retryable_status",
    "outcome: ring_timeout",
    "outcome: transport_error",
    "outcome: unresolvable",
    "refused: 403",
    "refused: 404",
    "refused: 503",
];

fn seeds() -> u64 {
    std::env::var("SIM_SEEDS").map_or(SEEDS, |text| text.parse().expect("SIM_SEEDS is a number of seeds"))
}

/// Runs seeds, and tells what there was.
fn expect_no_faults(seeds: impl IntoIterator<Item = u64>) {
    let (mut runs, mut placed, mut on_record, mut packets) = (0, 0, 0, 0);
    let mut bad: Vec<Report> = Vec::new();
    for seed in seeds {
        let report = run(seed, &Options::default());
        runs += 1;
        placed += report.placed;
        on_record += report.on_record;
        packets += report.packets;
        if !report.faults.is_empty() {
            // A run of hours says so at once.
            println!("{}", tell(&report));
            bad.push(report);
        }
    }
    println!("{runs} seeds, {placed} calls, {on_record} of them on record, {packets} packets");
    assert!(bad.is_empty(), "{}", bad.iter().map(tell).collect::<Vec<_>>().join("\n"));
}

fn tell(report: &Report) -> String {
    let seed = report.seed;
    let faults: Vec<String> = report.faults.iter().map(|fault| format!("  {fault}")).collect();
    format!("seed {seed} (cargo run -p tandem-sim --example replay -- {seed}):\n{}", faults.join("\n"))
}

fn share(number: u64) {
    expect_no_faults((0..seeds()).filter(|seed| seed % SHARES == number));
}

#[test]
fn nothing_leaks_and_all_is_recorded_once_in_the_first_share() {
    share(0);
}

#[test]
fn nothing_leaks_and_all_is_recorded_once_in_the_second_share() {
    share(1);
}

#[test]
fn nothing_leaks_and_all_is_recorded_once_in_the_third_share() {
    share(2);
}

#[test]
fn nothing_leaks_and_all_is_recorded_once_in_the_fourth_share() {
    share(3);
}

#[test]
fn what_was_found_once_stays_mended() {
    for (name, seed) in FOUND {
        println!("{name}");
        expect_no_faults([*seed]);
    }
}

#[test]
fn a_few_seeds_come_to_every_flow() {
    let reached: BTreeSet<String> = (0..12).flat_map(|seed| run(seed, &Options::default()).reached).collect();
    let missing: Vec<_> = FLOWS.iter().filter(|flow| !reached.contains(**flow)).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {reached:#?}");
}

#[test]
fn a_seed_runs_the_same_way_each_time() {
    let tell = |report: &Report| (report.placed, report.on_record, report.packets);
    let (first, second) = (run(3, &Options::default()), run(3, &Options::default()));
    assert_eq!(tell(&first), tell(&second));
}
