//! Runs one seed of the simulation and shows every SIP message that our side hears (`>`) and sends (`<`).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is for people to read")]

use std::process::ExitCode;

use tandem_sim::{Options, run};

fn main() -> ExitCode {
    let Some(seed) = std::env::args().nth(1).and_then(|text| text.parse().ok()) else {
        eprintln!("usage: replay SEED");
        return ExitCode::from(2);
    };
    let report = run(seed, &Options { is_traced: true, ..Options::default() });
    println!("{} calls, {} of them on record, {} packets", report.placed, report.on_record, report.packets);
    for fault in &report.faults {
        println!("{fault}");
    }
    if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
