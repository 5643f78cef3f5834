//! Many calls through a bad network: nothing is left, nothing hangs.

use crate::network::{Network, Weather};
use tandem_sip::endpoint::{Counts, Ending};

fn storm(seed: u64, weather: Weather, calls: usize) -> Network {
    let mut network = Network::new(seed, weather);
    for call in 0..calls {
        network.call(call % 2);
    }
    network.run();
    assert_eq!(network.counts(), [Counts::default(); 2], "seed {seed}");
    for side in 0..2 {
        assert!(network.endings(side).iter().all(Option::is_some), "seed {seed}: every session ends");
    }
    network
}

#[test]
fn calls_over_a_clear_network_all_end_as_they_should() {
    for seed in 0..20 {
        let network = storm(seed, Weather { loss: 0, repeat: 0 }, 20);
        for side in 0..2 {
            for ending in network.endings(side).into_iter().flatten() {
                // A re-INVITE may still cross a BYE, and find the dialog gone.
                assert!(!matches!(ending, Ending::NoAck | Ending::LocalByeUnconfirmed), "seed {seed}: {ending:?}");
            }
        }
    }
}

#[test]
fn calls_over_a_network_that_repeats_everything_end_the_same_way() {
    for seed in 0..20 {
        let network = storm(seed, Weather { loss: 0, repeat: 100 }, 20);
        for side in 0..2 {
            for ending in network.endings(side).into_iter().flatten() {
                // A re-INVITE may still cross a BYE, and find the dialog gone.
                assert!(!matches!(ending, Ending::NoAck | Ending::LocalByeUnconfirmed), "seed {seed}: {ending:?}");
            }
        }
    }
}

#[test]
fn calls_over_a_lossy_network_leave_nothing_behind() {
    for seed in 0..60 {
        storm(seed, Weather { loss: 25, repeat: 10 }, 20);
    }
}

#[test]
fn calls_over_a_network_that_hardly_works_leave_nothing_behind() {
    for seed in 0..30 {
        storm(seed, Weather { loss: 75, repeat: 0 }, 20);
    }
}

#[test]
fn a_run_repeats_from_its_seed() {
    let weather = Weather { loss: 20, repeat: 20 };
    assert_eq!(storm(42, weather, 10).log(), storm(42, weather, 10).log());
}
