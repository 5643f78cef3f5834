//! A trunk that is read from memory is as true as one that is read from the database.

use serde_json::json;
use std::time::{Duration, Instant};
use tandem_e2e::{Network, Options, Tandem, eventually};

/// Within which every reader sees a change, whoever made it.
const SEEN_WITHIN: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(10);

#[test]
fn what_a_node_has_written_is_in_its_next_answer() {
    let node = Tandem::start(&Network::claim(), &Options::demo());
    let id = healthy_trunk(&node);
    let path = format!("/trunks/{id}");
    for priority in (1..=100).chain(1..=100) {
        node.api().change_trunk(&id, &json!({"priority": priority}));
        assert_eq!(node.api().get(&path).expect(200)["priority"], priority);
    }
}

#[test]
fn what_another_process_has_written_is_in_every_answer_100_ms_later() {
    let node = Tandem::start(&Network::claim(), &Options::demo());
    let id = healthy_trunk(&node);
    let path = format!("/trunks/{id}");
    for priority in 2..=40 {
        node.write_priority_behind_its_back(&id, priority);
        let written = Instant::now();
        // Asked without a pause, so that an answer from memory would be met while it is too old.
        eventually("an answer with the change", SOON, || {
            let asked = written.elapsed();
            let shown = node.api().get(&path).expect(200)["priority"].clone();
            let shows_it = shown == priority;
            let what = format!("{priority} was written; asked {asked:?} later, the answer has {shown}");
            assert!(shows_it || asked < SEEN_WITHIN, "{what}");
            shows_it.then_some(())
        });
    }
}

#[test]
fn the_calls_of_a_trunk_are_those_of_the_moment() {
    let node = Tandem::start(&Network::claim(), &Options::demo());
    let id = healthy_trunk(&node);
    let active = || node.api().get(&format!("/trunks/{id}")).expect(200)["current_active_calls"].clone();
    for _ in 0..20 {
        let order = json!({"sip_trunk_id": id, "connect": {"type": "echo"}});
        let call = node.api().dial("+12025550103", &order)["id"].as_str().unwrap_or_default().to_owned();
        assert_eq!(active(), 1);
        assert_eq!(node.api().hang_up(&call).status, 200);
        let _ended = node.api().wait_for_end(&call, SOON);
        assert_eq!(active(), 0);
    }
}

fn healthy_trunk(node: &Tandem) -> String {
    eventually("a healthy trunk", SOON, || {
        let trunks = node.api().get("/trunks").expect(200);
        let healthy = trunks.as_array()?.iter().find(|trunk| trunk["health_status"] == "healthy")?;
        healthy["id"].as_str().map(str::to_owned)
    })
}
