//! The numbers of a node as a real Prometheus reads them, and what comes with them in `deploy/`.

use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tandem_e2e::{Network, Options, Peer, Prometheus, Tandem, eventually, text_at};

#[test]
fn the_utilisation_alert_fires_and_resolves() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("narrow", peer.address(), &json!({"max_concurrent_calls": 5}));
    let _ = api.create_trunk("wide", peer.address(), &json!({"max_concurrent_calls": 50}));
    let node = SocketAddr::new(network.host(1), 8080);
    let prometheus =
        Prometheus::start(SocketAddr::new(network.host(9), 9090), node, &deploy("prometheus/tandem.rules.yml"));
    eventually("node that is scraped", SCRAPED, || (prometheus.number("tandem_ready") == Some(1.0)).then_some(()));
    assert_eq!(prometheus.alerts(ALERT), Vec::<Value>::new());

    let order = json!({"sip_trunk_id": trunk});
    // Four of five are 80 %, which is not above it.
    let mut calls: Vec<String> = (0..4).map(|_| text_at(&api.dial(&peer.uri("echo"), &order), "/id")).collect();
    let of_trunk = |metric: &str| prometheus.number(&format!("{metric}{{trunk=\"{trunk}\"}}"));
    let utilisation = "trunk:tandem_utilisation:ratio";
    eventually("trunk that is four fifths full", SCRAPED, || (of_trunk(utilisation) == Some(0.8)).then_some(()));
    assert_eq!(prometheus.alerts(ALERT), Vec::<Value>::new());
    calls.push(text_at(&api.dial(&peer.uri("echo"), &order), "/id"));
    let alert = eventually("alert that fires", SCRAPED, || {
        prometheus.alerts(ALERT).into_iter().find(|alert| alert["state"] == "firing")
    });
    assert_eq!((&alert["labels"]["name"], &alert["labels"]["trunk"]), (&json!("narrow"), &json!(trunk)), "{alert}");
    assert_eq!(alert["annotations"]["summary"], "Trunk narrow is 100% full", "{alert}");

    for id in &calls {
        let _ = api.wait_for_status(id, "answered", Duration::from_secs(5));
        let _ = api.hang_up(id).expect(200);
        let _ = api.wait_for_end(id, Duration::from_secs(5));
    }
    let busy = text_at(&api.dial(&peer.uri("s486"), &order), "/id");
    let _ = api.wait_for_end(&busy, Duration::from_secs(5));
    eventually("alert that is resolved", SCRAPED, || prometheus.alerts(ALERT).is_empty().then_some(()));

    // What was counted of all that.
    let attempts = |outcome: &str| {
        prometheus
            .number(&format!("tandem_attempts_total{{trunk=\"{trunk}\",direction=\"outbound\",outcome=\"{outcome}\"}}"))
    };
    eventually("attempt that was counted", SCRAPED, || (attempts("user_busy") == Some(1.0)).then_some(()));
    assert_eq!(attempts("answered"), Some(5.0));
    assert_eq!(of_trunk("tandem_setup_delay_seconds_count"), Some(5.0), "a 486 says nothing of a telephone that rings");
    assert!(of_trunk("tandem_rtp_packets_sent_total").is_some());
    assert_eq!(prometheus.number("tandem_calls_total{direction=\"outbound\",status=\"completed\"}"), Some(5.0));
    assert_eq!(prometheus.number("tandem_calls_total{direction=\"outbound\",status=\"busy\"}"), Some(1.0));
    assert_eq!(of_trunk("tandem_trunk_calls_active"), Some(0.0));
    let states = format!("sum(tandem_trunk_health{{trunk=\"{trunk}\"}})");
    assert_eq!(prometheus.number(&states), Some(1.0), "a trunk is of one status");
    assert_eq!(of_trunk("tandem_trunk_takes_calls"), Some(1.0));
    every_query_of_the_dashboard_is_understood(&prometheus, &trunk);
    it_was_scraped_for_a_minute(&prometheus);
}

/// Once a second, without a failure, and each time with the series of every trunk.
fn it_was_scraped_for_a_minute(prometheus: &Prometheus) {
    eventually("a minute of scrapes", A_MINUTE + SCRAPED, || {
        prometheus.number("count_over_time(up[2m])").filter(|scrapes| *scrapes >= 60.0)
    });
    assert_eq!(prometheus.number("min_over_time(up[1m])"), Some(1.0));
    assert_eq!(prometheus.number("min_over_time(count(tandem_trunk_info)[50s:1s])"), Some(2.0));
    assert_eq!(prometheus.number("resets(process_start_time_seconds[1m])"), Some(0.0));
    assert!(prometheus.number("rate(process_cpu_seconds_total[1m])").is_some_and(|cores| cores > 0.0));
}

fn every_query_of_the_dashboard_is_understood(prometheus: &Prometheus, trunk: &str) {
    let dashboard = std::fs::read_to_string(deploy("grafana/tandem.json")).expect("the dashboard is there");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("a dashboard is JSON");
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = text_at(target, "/expr");
            let filled =
                ["$job", "$instance"].iter().fold(query.replace("$trunk", trunk), |q, name| q.replace(name, ".*"));
            let filled = filled.replace("$__rate_interval", "30s");
            asked += 1;
            // Nothing was refused, and nothing was lost.
            if ["refused", "lost", "external"].iter().any(|word| filled.contains(word)) {
                let _ = prometheus.query(&filled);
                continue;
            }
            // A rate needs two scrapes.
            let what = format!("answer to {filled} of the panel {}", panel["title"]);
            eventually(&what, SCRAPED, || (!prometheus.query(&filled).is_empty()).then_some(()));
        }
    }
    assert!(asked > 20, "{asked}");
}

#[test]
fn promtool_has_nothing_against_the_metrics_and_the_rules() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::demo());
    let api = tandem.api();
    let ended = text_at(&api.dial("+12025550100", &json!({})), "/id");
    let _ = api.wait_for_status(&ended, "answered", Duration::from_secs(5));
    let _ = api.hang_up(&ended).expect(200);
    let answer = api.get("/metrics");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut lint = promtool(&["check", "metrics"]).stdin(Stdio::piped()).spawn().expect(INSTALL);
    // The pipe is closed once it is written.
    lint.stdin.take().expect("it is piped").write_all(answer.text.as_bytes()).expect("promtool reads");
    passed(&lint.wait_with_output().expect("promtool ends"));

    for arguments in [["check", "rules", "tandem.rules.yml"], ["test", "rules", "tandem.rules.test.yml"]] {
        passed(&promtool(&arguments).output().expect(INSTALL));
    }
    passed(&promtool(&["check", "config", "prometheus.yml"]).output().expect(INSTALL));
}

#[test]
fn the_service_may_do_little() {
    let analyze = |arguments: &[&str]| {
        let unit = deploy("systemd/tandem.service");
        Command::new("systemd-analyze").args(arguments).arg(unit).env("LC_ALL", "C.UTF-8").output()
    };
    // A host without systemd has no such service either.
    let Ok(rated) = analyze(&["security", "--offline=yes", "--threshold=20", "--no-pager"]) else { return };
    // Of 0 to 10, in tenths: without any of the restrictions it would be 96.
    passed(&rated);
}

fn promtool(arguments: &[&str]) -> Command {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).current_dir(deploy("prometheus")).stdout(Stdio::piped()).stderr(Stdio::piped());
    promtool
}

fn passed(output: &Output) {
    let [said, complained] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{}\n{said}{complained}", output.status);
}

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

const ALERT: &str = "TandemTrunkUtilisation";
const INSTALL: &str = "promtool is installed: apt-get install prometheus";
const A_MINUTE: Duration = Duration::from_secs(60);
/// A scrape and an evaluation each second; a busy machine takes a few more.
const SCRAPED: Duration = Duration::from_secs(20);
