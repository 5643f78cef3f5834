//! Runs of the simulation: the seeds that once failed, and as many others as are asked for.

#![expect(clippy::print_stdout, reason = "a run says what there was")]

use tandem_sim::{FOUND, Options, Report, run};

/// Seeds in an ordinary run; `SIM_SEEDS` asks for more.
const SEEDS: u64 = 100;
/// The tests that share them, so that they run at once.
const SHARES: u64 = 4;

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
fn a_seed_runs_the_same_way_each_time() {
    let tell = |report: &Report| (report.placed, report.on_record, report.packets);
    let (first, second) = (run(3, &Options::default()), run(3, &Options::default()));
    assert_eq!(tell(&first), tell(&second));
}
