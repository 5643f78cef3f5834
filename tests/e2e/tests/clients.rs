//! Clients that are generated from the OpenAPI document, and a prober that takes it at its word, against a real node.

use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use tandem_e2e::{Network, Options, Tandem};

/// Runs one of `tests/clients` against a node of its own.
#[expect(clippy::print_stdout, reason = "how many cases a prober tried is part of its result")]
fn run(client: &str, key: impl FnOnce(&Tandem) -> String) {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::demo());
    let small = tandem.add_account("small", &["--tier", "free"]);
    let peer: SocketAddr = network.sip(2);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/run.sh");
    let ran = Command::new(script)
        .arg(client)
        .env("TANDEM_URL", format!("http://{}:8080", network.host(1)))
        .env("TANDEM_KEY", key(&tandem))
        .env("TANDEM_SMALL_KEY", small.key())
        .env("TANDEM_PEER", peer.to_string())
        .output()
        .expect("the script is there");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        ran.status.success(),
        "{client} failed; `make client-tools` installs what it needs\n{}\n{}",
        told(&ran.stdout),
        told(&ran.stderr)
    );
    println!("{}", told(&ran.stdout));
    let live = tandem.api().get("/health/live");
    assert_eq!((live.status, &live.json["status"]), (200, &json!("live")), "{}", live.text);
}

fn big(tandem: &Tandem) -> String {
    tandem.add_account("big", &["--tier", "enterprise"]).key().to_owned()
}

#[test]
fn a_generated_python_client_runs_the_wire_contract() {
    run("python", big);
}

#[test]
fn a_generated_typescript_client_runs_the_wire_contract() {
    run("typescript", big);
}

#[test]
fn no_answer_is_a_server_error_or_outside_of_the_document() {
    run("schemathesis", big);
}
