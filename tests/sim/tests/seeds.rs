//! Runs of the simulation.

use tandem_sim::{Options, Report, run};

#[test]
fn a_few_seeds() {
    let from: u64 = std::env::var("SIM_FROM").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let is_traced = std::env::var("SIM_TRACE").is_ok();
    for seed in from..from + count {
        let Report { calls, packets, faults, .. } = run(seed, &Options { is_traced, ..Options::default() });
        println!("seed {seed}: {calls} calls, {packets} packets, {} faults", faults.len());
        for fault in faults.iter().take(3) {
            println!("    {}", fault.to_string().chars().take(1200).collect::<String>());
        }
    }
}
