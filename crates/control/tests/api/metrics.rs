use crate::harness::{ACT, Api, Reply, at};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tandem_control::{ClientAddress, DatabaseState, JournalState, LiveNumbers, Readiness};
use tandem_model::{
    AccountId, CallDirection, CallStatus, HangupCause, HealthStatus, LegMedia, Permission, Permissions, RefusedPeer,
    Traffic, TrunkId, TrunkLoad,
};
use tandem_store::NewApiKey;

/// Asks from an address, with a bearer and other headers.
async fn ask(api: &Api, from: &str, key: Option<&str>, more: Option<(&str, &str)>) -> Reply {
    let mut request = Request::builder().method(Method::GET).uri("/metrics");
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    if let Some((name, value)) = more {
        request = request.header(name, value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ClientAddress(from.parse::<IpAddr>().unwrap()));
    api.send_request(request).await
}

pub(crate) async fn read(api: &Api) -> String {
    let reply = ask(api, "127.0.0.1", None, None).await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    reply.expect(200).as_str().unwrap().to_owned()
}

/// The value of a series, as it is written.
#[track_caller]
fn value(text: &str, series: &str) -> String {
    let of_series = |line: &str| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned);
    text.lines().find_map(of_series).unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

fn trunk(number: u8) -> TrunkId {
    TrunkId::new(at(0), [number; 10])
}

fn counted() -> (Traffic, Vec<TrunkLoad>) {
    let mut traffic = Traffic::default();
    traffic.set_trunks([trunk(1), trunk(2)].into_iter());
    let out = CallDirection::Outbound;
    traffic.set_up(Some(trunk(1)), Duration::from_millis(1_500));
    traffic.leg_answered(Some(trunk(1)), out);
    traffic.leg_ended(Some(trunk(1)), out, HangupCause::NormalClearing, Some(Duration::from_millis(12_500)));
    traffic.leg_ended(Some(trunk(1)), out, HangupCause::UserBusy, None);
    traffic.leg_ended(None, out, HangupCause::NoAnswer, None);
    traffic.call_ended(CallDirection::Inbound, CallStatus::Completed);
    traffic.invite_refused(RefusedPeer { is_stranger: true, sip_status: 403 });
    traffic.order_refused("no_route");
    let media = LegMedia {
        packets_received: 625,
        bytes_received: 100_000,
        packets_sent: 600,
        bytes_sent: 96_000,
        packets_lost: Some(-3),
        jitter_us: Some(4_000),
        round_trip_us: None,
        packets_refused: 0,
        remote_rtp: None,
    };
    traffic.caller_answered(Some(trunk(1)), Duration::from_secs(7));
    traffic.media_ended(Some(trunk(1)), &media);
    traffic.media_ended(Some(trunk(1)), &LegMedia { packets_lost: Some(5), ..media });
    let account_id = AccountId::new(at(0), [9; 10]);
    let load = |id, name: &str, active, max| TrunkLoad {
        id,
        account_id,
        name: name.to_owned(),
        active,
        max,
        health: HealthStatus::Degraded,
        takes_calls: active > 0,
        failed_probes: Some(0),
    };
    (traffic, vec![load(trunk(1), "main \"one\"", 8, 10), load(trunk(2), "spare", 0, 4)])
}

#[tokio::test]
async fn what_the_switch_counted_is_shown_by_trunk() {
    let api = Api::start().await;
    api.switchboard.script(|script| script.traffic = counted());
    let text = read(&api).await;
    let (one, two, account) = (trunk(1), trunk(2), AccountId::new(at(0), [9; 10]));
    let expected = [
        (format!("tandem_trunk_info{{trunk=\"{one}\",name=\"main \\\"one\\\"\",account=\"{account}\"}}"), "1"),
        (format!("tandem_trunk_calls_active{{trunk=\"{one}\"}}"), "8"),
        (format!("tandem_trunk_calls_max{{trunk=\"{two}\"}}"), "4"),
        (format!("tandem_attempts_total{{trunk=\"{one}\",direction=\"outbound\",outcome=\"answered\"}}"), "1"),
        (format!("tandem_attempts_total{{trunk=\"{one}\",direction=\"outbound\",outcome=\"user_busy\"}}"), "1"),
        (format!("tandem_trunk_health{{trunk=\"{one}\",status=\"degraded\"}}"), "1"),
        (format!("tandem_trunk_health{{trunk=\"{one}\",status=\"healthy\"}}"), "0"),
        (format!("tandem_trunk_takes_calls{{trunk=\"{one}\"}}"), "1"),
        (format!("tandem_trunk_takes_calls{{trunk=\"{two}\"}}"), "0"),
        ("tandem_calls_total{direction=\"outbound\",status=\"busy\"}".to_owned(), "0"),
        // So that its first call is seen as a rise.
        (format!("tandem_attempts_total{{trunk=\"{two}\",direction=\"inbound\",outcome=\"answered\"}}"), "0"),
        ("tandem_attempts_total{trunk=\"none\",direction=\"outbound\",outcome=\"no_answer\"}".to_owned(), "1"),
        (format!("tandem_connected_seconds_total{{trunk=\"{one}\",direction=\"outbound\"}}"), "12.5"),
        (format!("tandem_setup_delay_seconds_bucket{{trunk=\"{one}\",le=\"1\"}}"), "0"),
        (format!("tandem_setup_delay_seconds_bucket{{trunk=\"{one}\",le=\"2\"}}"), "1"),
        (format!("tandem_answer_delay_seconds_bucket{{trunk=\"{one}\",le=\"5\"}}"), "0"),
        (format!("tandem_answer_delay_seconds_bucket{{trunk=\"{one}\",le=\"10\"}}"), "1"),
        (format!("tandem_rtp_packets_received_total{{trunk=\"{one}\"}}"), "1250"),
        // A repeat is no loss that another leg could be excused by.
        (format!("tandem_rtp_packets_lost_total{{trunk=\"{one}\"}}"), "5"),
        (format!("tandem_rtp_jitter_seconds_sum{{trunk=\"{one}\"}}"), "0.008"),
        ("tandem_calls_total{direction=\"inbound\",status=\"completed\"}".to_owned(), "1"),
        ("tandem_refused_invites_total{from=\"stranger\",sip_status=\"403\"}".to_owned(), "1"),
        ("tandem_refused_orders_total{code=\"no_route\"}".to_owned(), "1"),
        ("tandem_call_path_up".to_owned(), "1"),
    ];
    for (series, number) in expected {
        assert_eq!(value(&text, &series), number, "{series}");
    }
}

#[tokio::test]
async fn the_numbers_of_readiness_are_gauges() {
    let api = Api::start().await;
    let journal = JournalState {
        writable: true,
        free_bytes: None,
        backlog_bytes: Some(7_000),
        oldest_unstored_age_ms: Some(2_500),
        ..JournalState::default()
    };
    let live = LiveNumbers { calls: 2, server_transactions: 4, ..LiveNumbers::default() };
    let database = DatabaseState { answers: true, takes_records: false };
    let readiness = Readiness { ready: true, journal, live, database, ..Readiness::default() };
    api.switchboard.script(|script| script.readiness = readiness);
    let text = read(&api).await;
    for (series, number) in [
        ("tandem_ready", "1"),
        ("tandem_calls_active", "2"),
        ("tandem_sip_transactions{role=\"server\"}", "4"),
        ("tandem_journal_lag_seconds", "2.5"),
        ("tandem_journal_backlog_bytes", "7000"),
        ("tandem_database_up", "1"),
        ("tandem_database_takes_records", "0"),
        ("tandem_queue_depth{queue=\"commands\"}", "0"),
    ] {
        assert_eq!(value(&text, series), number, "{series}");
    }
    assert!(!text.lines().any(|line| line.starts_with("tandem_journal_free_bytes ")), "it is not known:\n{text}");
}

#[tokio::test]
async fn a_call_path_that_is_silent_has_no_numbers_rather_than_zeros() {
    let api = Api::start().await;
    api.switchboard.script(|script| script.silent = true);
    let text = read(&api).await;
    assert_eq!(value(&text, "tandem_call_path_up"), "0");
    for name in [
        "tandem_calls_active",
        "tandem_media_ports",
        "tandem_sip_transactions",
        "tandem_attempts_total",
        "tandem_calls_total",
    ] {
        let samples =
            text.lines().filter(|line| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{")));
        assert_eq!(samples.count(), 0, "{name}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_what_a_client_wrote() {
    let api = Api::start().await;
    let id = api.trunk(json!({})).await;
    for path in [format!("/trunks/{id}"), format!("/trunks/{}", trunk(7))] {
        drop(api.get(&path).await);
    }
    for path in ["//no/such/path", "//another"] {
        api.send(Method::GET, path, None, None).await.expect(404);
    }
    drop(api.send(Method::from_bytes(b"BREW").unwrap(), "/trunks", None, None).await);
    let text = read(&api).await;
    let route = "/api/v1/telephony/trunks/{id}";
    let requests = |route: &str, method: &str, status: &str| {
        value(
            &text,
            &format!("tandem_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}"),
        )
    };
    assert_eq!(requests(route, "GET", "2xx"), "1");
    assert_eq!(requests(route, "GET", "4xx"), "1");
    assert_eq!(requests("unknown", "GET", "4xx"), "2");
    assert_eq!(requests("/api/v1/telephony/trunks", "other", "4xx"), "1");
    let took = format!("tandem_http_request_duration_seconds_count{{route=\"{route}\",method=\"GET\"}}");
    assert_eq!(value(&text, &took), "2");
    assert!(!text.contains(&id) && !text.contains("BREW") && !text.contains("another"), "{text}");
}

#[tokio::test]
async fn from_elsewhere_it_takes_a_key_of_the_operator() {
    let api = Api::start().await;
    let node = api.store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let key = async |scope| {
        let scopes = Permissions::of(&[scope]);
        let new = NewApiKey { account_id: node.id, name: "prometheus", scopes, expires_at: None };
        api.store.create_limited_api_key(&ACT, new).await.unwrap().1.expose().to_owned()
    };
    let (reads, calls) = (key(Permission::Read).await, key(Permission::Calls).await);
    let far = "192.0.2.1";
    let known = ask(&api, far, Some(&reads), None).await.expect(200);
    assert!(known.as_str().unwrap().contains("tandem_ready"));
    ask(&api, far, None, None).await.expect_problem(401, "unauthorized");
    ask(&api, far, Some("tdm_wrong"), None).await.expect_problem(401, "unauthorized");
    ask(&api, far, Some(&calls), None).await.expect_problem(403, "forbidden");
    let problem = ask(&api, far, Some(&api.mine.key), None).await.expect_problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("operator"), "{problem}");
    let other = api.other.account.id.to_string();
    let acting = ask(&api, far, Some(&reads), Some(("x-act-as", &other))).await;
    acting.expect_problem(403, "forbidden");

    ask(&api, "::1", None, None).await.expect(200);
    let passed_on = ask(&api, "127.0.0.1", None, Some(("x-forwarded-for", far))).await;
    passed_on.expect_problem(401, "unauthorized");
    // Whoever has the connection says where it comes from; unless it does, nobody is local.
    api.send(Method::GET, "//metrics", None, None).await.expect_problem(401, "unauthorized");
}

/// Name and type of each metric of the answer.
async fn exposed() -> BTreeMap<String, String> {
    let api = Api::start().await;
    let text = read(&api).await;
    let of_line = |line: &str| {
        line.strip_prefix("# TYPE ")?.split_once(' ').map(|(name, kind)| (name.to_owned(), kind.to_owned()))
    };
    text.lines().filter_map(of_line).collect()
}

fn file(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test]
async fn every_metric_has_its_row_in_the_documentation() {
    let documentation = file("docs/metrics.md");
    let rows: BTreeMap<String, String> = documentation
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim);
            let name = cells.nth(1)?.strip_prefix('`')?.strip_suffix('`')?;
            let is_metric = name.starts_with("tandem_") || name.starts_with("process_");
            is_metric.then_some((name.to_owned(), cells.next()?.to_owned()))
        })
        .collect();
    assert_eq!(rows, exposed().await);
}

#[tokio::test]
async fn rules_and_dashboards_name_only_metrics_that_are_there() {
    let exposed = exposed().await;
    for path in ["deploy/prometheus/tandem.rules.yml", "deploy/grafana/tandem.json", "docs/metrics.md"] {
        let text = file(path);
        let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || "_:".contains(character)));
        let mut named = 0;
        for word in words.filter(|word| word.starts_with("tandem_") && *word != "tandem_") {
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
            assert!(
                exposed.contains_key(word) || exposed.get(base).is_some_and(|kind| kind == "histogram"),
                "{path}: {word}"
            );
            named += 1;
        }
        assert!(named > 10, "{path} names {named} metrics");
    }
}
