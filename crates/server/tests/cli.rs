//! The binary, run as people run it: what it prints, what it refuses, and the status it exits with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use tempfile::TempDir;

#[test]
fn wrong_usage_exits_with_2_and_failure_with_1() {
    let place = Place::new();
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["account"],
        &["account", "add", ""],
        &["account", "add", "acme", "--tier", "gold"],
        &["account", "set", "acme"],
        &["account", "set", "acme", "--max-calls", "-1"],
        &["user", "add", "nobody"],
        &["key", "revoke", "not-an-id"],
        &["call", "+12025550100", "--echo", "--sip", "sip:a@b"],
        &["calls", "--limit", "0"],
        &["calls", "--api", "https://127.0.0.1"],
        &["refusals", "--limit", "1001"],
        &["carrier", "--listen", "127.0.0.2:5060"],
        &["completions", "tcsh-of-1980"],
    ] {
        let run = place.tandem(arguments);
        assert_eq!(run.status.code(), Some(2), "{arguments:?}: {}", stderr(&run));
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{arguments:?}");
    }
    let run = place.tandem(&["account", "list"]);
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(stderr(&run).lines().count(), 1);
    assert!(stderr(&run).starts_with("tandem: there is no database at") && stderr(&run).contains("tandem migrate"));
    assert!(!place.path("data").exists(), "a question makes no database");
}

#[test]
fn help_and_version_are_no_failures() {
    let place = Place::new();
    for arguments in [&["--help"][..], &["--version"], &["account", "set", "--help"]] {
        assert!(!place.succeeds(arguments).is_empty());
    }
}

#[test]
fn the_help_of_the_carrier_tells_its_numbers() {
    let help = Place::new().succeeds(&["carrier", "--help"]);
    for told in
        ["+12025550100  rings 1 s, answers, echoes audio", "+12025550110  answers, plays a steady tone with 5 % loss"]
    {
        assert!(help.contains(told), "{told}: {help}");
    }
}

#[test]
fn check_shows_every_setting_with_its_origin() {
    let place = Place::new();
    fs::write(place.path("tandem.toml"), "currency = \"EUR\"\nrtp_ports = \"40000-40099\"\n").unwrap();
    let mut command = place.command(&["--json", "check"]);
    command.env("TANDEM_RTP_PORTS", "41000-41099").env("TANDEM_ADMIN_API_KEY", "hunter2hunter2hunter2hunter2hunter2");
    let run = command.output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    assert!(!String::from_utf8_lossy(&run.stdout).contains("hunter2"));
    let checked = json_of(&run);
    let setting = |key: &str| {
        let settings = checked["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["key"] == key).cloned().unwrap()
    };
    assert_eq!(setting("currency")["value"], "EUR");
    assert_eq!(setting("currency")["origin"], "tandem.toml:1: currency");
    assert_eq!(setting("rtp_ports")["value"], "41000-41099");
    assert_eq!(setting("rtp_ports")["origin"], "TANDEM_RTP_PORTS");
    assert_eq!(setting("log")["origin"], "default");
    assert_eq!(setting("admin_api_key")["value"], "(set)");

    let table = place.succeeds(&["check", "--demo"]);
    assert!(table.starts_with("SETTING"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("peer_allow") && line.contains("127.0.0.0/8")), "{table}");
    assert!(!place.path("data").exists(), "check makes nothing");
}

#[test]
fn check_shows_the_addresses_of_both_families_and_warns_of_one_of_no_use() {
    let place = Place::new();
    let check = |listen: &str| {
        let mut command = place.command(&["--json", "check"]);
        command.env("TANDEM_SIP_LISTEN", listen).env("TANDEM_MEDIA_ADDRESS", "::1,127.0.0.1");
        json_of(&command.output().unwrap())
    };
    let both = check("udp:127.0.0.1:5060,udp:[::1]:5060");
    let settings = both["settings"].as_array().unwrap();
    for key in ["media_address", "public_address"] {
        assert!(
            settings.iter().any(|setting| setting["key"] == key && setting["value"] == "127.0.0.1,::1"),
            "{both:#}"
        );
    }
    let of_no_use = |checked: &Value| {
        let warnings = checked["warnings"].as_array().unwrap();
        warnings.iter().any(|warning| warning.as_str().unwrap().contains("::1 is of no use"))
    };
    assert!(!of_no_use(&both) && of_no_use(&check("udp:127.0.0.1:5060")));
}

#[test]
fn check_tells_every_problem_on_a_line_of_its_own() {
    let place = Place::new();
    fs::write(place.path("other.toml"), "\nhttp_listn = \"x\"\n").unwrap();
    let mut command = place.command(&["--config", "other.toml", "--json", "check"]);
    let run = command.env("TANDEM_LOG_FORMAT", "xml").output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    let lines: Vec<String> = stderr(&run).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.contains(&"tandem: other.toml:2: http_listn: unknown key; did you mean http_listen?".to_owned()));
    assert_eq!(json_of(&run)["problems"].as_array().unwrap().len(), 2);

    let mut command = place.command(&["--config", "other.toml", "check"]);
    let run = command.env("TANDEM_LOG_FORMAT", "xml").env("TANDEM_CURRENCY", "EUR").output().unwrap();
    assert_eq!((run.status.code(), stderr(&run).lines().count()), (Some(1), 2), "{}", stderr(&run));
    let table = String::from_utf8(run.stdout).unwrap();
    let row = |key: &str| {
        let row = table.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {table}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("currency"), ["currency", "EUR", "TANDEM_CURRENCY"]);
    assert_eq!(row("log_format"), ["log_format", "(not", "in", "force)", "TANDEM_LOG_FORMAT"]);
    assert_eq!(row("rtp_ports")[2], "default");

    let run = place.tandem(&["--config", "missing.toml", "check"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).starts_with("tandem: missing.toml: cannot be read"), "{}", stderr(&run));
}

#[test]
fn check_shows_what_is_in_force_beside_what_is_wrong() {
    let place = Place::new();
    let check = |file: &str| {
        fs::write(place.path("tandem.toml"), file).unwrap();
        let run = place.tandem(&["--json", "check"]);
        assert_eq!(run.status.code(), Some(1));
        let checked = json_of(&run);
        assert_eq!((&checked["ok"], checked["problems"].as_array().unwrap().len()), (&json!(false), 1), "{checked:#}");
        move |key: &str| {
            let settings = checked["settings"].as_array().unwrap();
            settings.iter().find(|setting| setting["key"] == key).cloned().unwrap()
        }
    };
    // No value at all.
    let shown = check("currency = \"EUR\"\nrtp_ports = 4.5\n");
    assert_eq!(shown("currency")["value"], "EUR");
    assert_eq!(
        (&shown("rtp_ports")["value"], &shown("rtp_ports")["origin"]),
        (&Value::Null, &json!("tandem.toml:2: rtp_ports"))
    );
    // A value that is not in force as others are missing.
    let shown = check("jwt_issuer = \"https://id.example\"\n");
    assert_eq!((&shown("jwt_issuer")["value"], &shown("jwt_audience")["value"]), (&Value::Null, &json!("")));
    // Values that contradict each other are shown.
    let shown =
        check("sip_listen = \"udp:127.0.0.1:40010\"\nmedia_address = \"127.0.0.1\"\nrtp_ports = \"40000-40099\"\n");
    assert_eq!(shown("rtp_ports")["value"], "40000-40099");
    assert_eq!(shown("sip_listen")["value"], "udp:127.0.0.1:40010");
}

#[test]
fn a_server_with_a_wrong_name_in_its_environment_does_not_start() {
    let place = Place::new();
    let run = place.command(&["serve"]).env("TANDEM_HTTP_LISTENS", "127.0.0.1:0").output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(stderr(&run), "tandem: TANDEM_HTTP_LISTENS: unknown variable; did you mean TANDEM_HTTP_LISTEN?\n");
}

#[test]
fn migrate_makes_the_database_once() {
    let place = Place::new();
    let first: Value = serde_json::from_str(&place.succeeds(&["--json", "migrate"])).unwrap();
    assert_eq!(first["from"], 0);
    let again: Value = serde_json::from_str(&place.succeeds(&["--json", "migrate"])).unwrap();
    assert_eq!(again["from"], first["to"]);
    assert_eq!(mode(&place.path("data")), 0o700);
}

#[test]
fn an_account_lives_through_add_set_and_list() {
    let place = Place::new();
    let added = place.succeeds(&["account", "add", "acme", "--tier", "pro"]);
    assert!(added.starts_with("ID") && added.contains("acme"), "{added}");
    let taken = place.tandem(&["account", "add", "acme"]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(stderr(&taken).contains("\"acme\" exists"), "{}", stderr(&taken));

    place.succeeds(&["account", "set", "acme", "--tier", "enterprise", "--max-calls", "7"]);
    let listed: Value = serde_json::from_str(&place.succeeds(&["--json", "account", "list"])).unwrap();
    let [account] = listed.as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&account["tier"], &account["max_calls"]), (&json!("enterprise"), &json!(7)));
    assert_eq!(account["limits"], json!({"max_trunks": 50, "max_calls": 7}));
    let table = place.succeeds(&["account", "list"]);
    assert!(
        table.contains("7*") && table.ends_with("* set for the account, in place of its tier's limit\n"),
        "{table}"
    );

    let id = account["id"].as_str().unwrap();
    let back: Value =
        serde_json::from_str(&place.succeeds(&["account", "set", id, "--max-calls", "tier", "--json"])).unwrap();
    assert_eq!((&back["max_calls"], &back["limits"]["max_calls"]), (&Value::Null, &json!(50)));

    let unknown = place.tandem(&["account", "set", "nobody", "--tier", "free"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("tandem account list"), "{}", stderr(&unknown));
}

#[test]
fn a_key_is_shown_once_and_can_be_revoked() {
    let place = Place::new();
    place.succeeds(&["account", "add", "acme"]);
    let run = place.tandem(&["key", "create", "--name", "ci"]);
    let key = String::from_utf8(run.stdout).unwrap();
    assert!(key.starts_with("tdm_") && key.lines().count() == 1, "the key stands alone on standard output");

    let listed = place.succeeds(&["--json", "key", "list", "--account", "acme"]);
    assert!(!listed.contains(key.trim()));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["name"], "ci");
    assert!(key.starts_with(listed[0]["prefix"].as_str().unwrap()));

    let id = listed[0]["id"].as_str().unwrap();
    place.succeeds(&["key", "revoke", id]);
    let listed: Value = serde_json::from_str(&place.succeeds(&["--json", "key", "list"])).unwrap();
    assert!(listed[0]["revoked_at"].is_string());

    let unknown = place.tandem(&["key", "revoke", "00000000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("there is no key"), "{}", stderr(&unknown));
}

#[test]
fn a_key_may_do_what_its_scopes_say_until_it_expires() {
    let place = Place::new();
    place.succeeds(&["account", "add", "acme"]);
    let made = place.succeeds(&["--json", "key", "create", "--scope", "read,calls", "--expires", "90d"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["scopes"], json!(["read", "calls"]));
    assert!(made["expires_at"].is_string() && made["key"].is_string());
    let all: Value = serde_json::from_str(&place.succeeds(&["--json", "key", "create"])).unwrap();
    assert_eq!((&all["scopes"], &all["expires_at"]), (&json!(["read", "calls", "write", "admin"]), &Value::Null));
    let listed = place.succeeds(&["key", "list"]);
    assert!(listed.contains("read calls  ") && listed.contains("read calls write admin"), "{listed}");

    assert_eq!(place.tandem(&["key", "create", "--scope", "everything"]).status.code(), Some(2));
    assert_eq!(place.tandem(&["key", "create", "--expires", "soon"]).status.code(), Some(2));
    let past = place.tandem(&["key", "create", "--expires", "2020-01-01T00:00:00Z"]);
    assert_eq!(past.status.code(), Some(1));
    assert!(stderr(&past).contains("before it begins"), "{}", stderr(&past));
}

#[test]
fn a_user_gets_the_password_that_was_piped_in_or_one_that_is_shown_once() {
    let place = Place::new();
    place.succeeds(&["account", "add", "acme", "--id", "018f0000-0000-7000-8000-000000000001"]);
    let made = place.succeeds(&["user", "add", "ann@example.com"]);
    assert!(made.trim().len() >= 32 && made.lines().count() == 1, "the password stands alone: {made}");

    fs::write(place.path("password"), "correct horse battery\n").unwrap();
    let file = place.path("password");
    let file = file.to_str().unwrap();
    let added = place.succeeds(&["--json", "user", "add", "bob@example.com", "--password-file", file]);
    let added: Value = serde_json::from_str(&added).unwrap();
    assert_eq!(added["user_id"], "018f0000-0000-7000-8000-000000000001");
    assert!(added.get("password").is_none());

    fs::write(place.path("password"), "too short\n").unwrap();
    let short = place.tandem(&["user", "add", "eve@example.com", "--password-file", file]);
    assert_eq!(short.status.code(), Some(1));
    assert!(stderr(&short).contains("12 to 128"), "{}", stderr(&short));

    let link: Value = serde_json::from_str(&place.succeeds(&["--json", "user", "link", "Ann@example.com"])).unwrap();
    let token = link["link_token"].as_str().unwrap();
    assert!(link["link"].as_str().unwrap().ends_with(&format!("/#sign-in={token}")));
    let unknown = place.tandem(&["user", "link", "eve@example.com"]);
    assert!(stderr(&unknown).contains("tandem user list"), "{}", stderr(&unknown));
}

#[test]
fn which_account_is_asked_for_when_there_are_two() {
    let place = Place::new();
    place.succeeds(&["account", "add", "acme"]);
    place.succeeds(&["account", "add", "globex"]);
    let run = place.tandem(&["key", "create"]);
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(stderr(&run), "tandem: there are 2 accounts; say which by --account\n");
    place.succeeds(&["key", "create", "--account", "globex"]);
}

#[test]
fn users_are_unique_by_their_address() {
    let place = Place::new();
    place.succeeds(&["account", "add", "acme"]);
    place.succeeds(&["user", "add", "Ann@Example.com", "--name", "Ann", "--role", "operator"]);
    let taken = place.tandem(&["user", "add", "ann@example.com"]);
    assert_eq!(taken.status.code(), Some(1));
    let listed: Value = serde_json::from_str(&place.succeeds(&["--json", "user", "list"])).unwrap();
    let [user] = listed.as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&user["email"], &user["role"]), (&json!("ann@example.com"), &json!("operator")));
}

#[test]
fn prints_the_openapi_document_and_completions() {
    let place = Place::new();
    let document: Value = serde_json::from_str(&place.succeeds(&["openapi"])).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"].as_object().unwrap().contains_key("/api/v1/telephony/calls/dial"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.succeeds(&["completions", shell]).contains("tandem"));
    }
}

#[test]
fn without_a_key_or_a_server_it_says_what_to_do() {
    let place = Place::new();
    let run = place.tandem(&["calls"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("TANDEM_API_KEY"), "{}", stderr(&run));

    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let run = place.tandem(&["calls", "--key", "tdm_1", "--api", &url]);
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("is the server running there?"), "{}", stderr(&run));
    assert_eq!(stderr(&run).lines().count(), 1);
}

#[test]
fn the_demo_key_is_used_on_this_host_and_goes_nowhere_else() {
    let place = Place::new();
    fs::create_dir(place.path("data")).unwrap();
    fs::write(place.path("data/demo.key"), "tdm_of_the_demo\n").unwrap();
    let server = Scripted::answering([(200, json!([]))]);
    place.succeeds(&["calls", "--api", &server.url]);
    let [request] = <[Request; 1]>::try_from(server.requests()).unwrap();
    assert_eq!(request.authorization, "Bearer tdm_of_the_demo");
    assert_eq!(request.line, "GET /api/v1/telephony/calls?limit=20 HTTP/1.1");

    // 192.0.2.1 is for documentation (RFC 5737): nothing is sent, so nothing has to time out.
    let run = place.tandem(&["calls", "--api", "http://192.0.2.1:8080"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("no API key"), "{}", stderr(&run));
}

#[test]
fn a_call_is_dialled_with_an_echo_over_the_trunk_that_is_named() {
    let place = Place::new();
    let call = json!({"id": "c-1", "started_at": "2026-01-31T12:00:00.000001Z", "direction": "outbound",
        "from_number": "demo", "to_number": "+12025550100", "status": "initiated"});
    let server = Scripted::answering([(200, json!([{"id": "t-1", "name": "main"}])), (201, call)]);
    let arguments =
        ["call", "+12025550100", "--from", "+12025550199", "--trunk", "main", "--key", "tdm_1", "--api", &server.url];
    let table = place.succeeds(&arguments);
    assert!(table.contains("2026-01-31T12:00:00Z") && table.contains("initiated"), "{table}");
    let [_, dial] = <[Request; 2]>::try_from(server.requests()).unwrap();
    assert_eq!(dial.line, "POST /api/v1/telephony/calls/dial HTTP/1.1");
    assert_eq!(
        dial.body,
        json!({"to_number": "+12025550100", "from_number": "+12025550199", "sip_trunk_id": "t-1", "connect": {"type": "echo"}})
    );
}

#[test]
fn a_refused_call_shows_its_receipt() {
    let place = Place::new();
    let problem = json!({"type": "/docs/errors/no_trunk_available", "title": "t", "status": 503, "code": "no_trunk_available",
        "detail": "none can take a call now", "request_id": "r", "receipt": {"considered": [{"trunk_name": "main",
        "verdict": "skipped", "reason": {"code": "trunk_full", "limit": 3}, "explanation": "all its 3 slots are taken"}]}});
    let server = Scripted::answering([(503, problem.clone()), (503, problem)]);
    let run = place.tandem(&["call", "+12025550100", "--key", "tdm_1", "--api", &server.url]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stdout.is_empty());
    let told = stderr(&run);
    assert!(told.starts_with("tandem: none can take a call now (no_trunk_available)\n"), "{told}");
    assert!(told.contains("trunk_full  all its 3 slots are taken"), "{told}");

    let run = place.tandem(&["--json", "call", "+12025550100", "--key", "tdm_1", "--api", &server.url]);
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(json_of(&run)["receipt"]["considered"][0]["reason"]["limit"], 3);
}

#[test]
fn waiting_for_a_call_tells_how_it_ended() {
    let place = Place::new();
    let call = |status: &str, ended: Value| json!({"id": "c-1", "status": status, "ended_at": ended, "hangup_cause": "user_busy"});
    let route = json!({"attempts": [{"trunk_name": "main", "request_uri": "sip:1@192.0.2.1", "outcome": {"code": "final_status"}}]});
    let server = Scripted::answering([
        (201, call("initiated", Value::Null)),
        (200, call("ringing", Value::Null)),
        (200, call("busy", json!("2026-01-31T12:00:00Z"))),
        (200, route),
    ]);
    let run = place.tandem(&["call", "+12025550102", "--wait", "--key", "tdm_1", "--api", &server.url]);
    assert_eq!(run.status.code(), Some(1));
    let told = stderr(&run);
    assert_eq!(told, "c-1 initiated\nc-1 ringing\nc-1 busy\ntandem: the call ended busy (user_busy)\n");
    assert!(String::from_utf8_lossy(&run.stdout).contains("final_status"));
}

#[test]
fn a_trunk_is_added_with_its_password_from_a_file() {
    let place = Place::new();
    fs::write(place.path("password"), "hunter2\n").unwrap();
    let server = Scripted::answering([(201, json!({"id": "t-1", "name": "main", "warnings": ["look here"]}))]);
    let run = place.tandem(&[
        "trunk",
        "add",
        "main",
        "--domain",
        "sip.example.com",
        "--username",
        "acme",
        "--password-file",
        "password",
        "--prefix",
        "+44",
        "--prefix",
        "+1",
        "--key",
        "tdm_1",
        "--api",
        &server.url,
    ]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(stderr(&run), "warning: look here\n");
    let [request] = <[Request; 1]>::try_from(server.requests()).unwrap();
    assert_eq!(
        request.body,
        json!({"name": "main", "provider": "custom", "sip_domain": "sip.example.com", "sip_username": "acme",
            "sip_password": "hunter2", "outbound_routing": {"prefixes": ["+44", "+1"]}})
    );
}

#[test]
fn testing_a_trunk_that_does_not_answer_fails() {
    let place = Place::new();
    let found =
        json!({"trunk_id": "t-1", "status": "unhealthy", "latency_ms": null, "details": {"failure": "no answer"}});
    let server = Scripted::answering([(200, json!([{"id": "t-1", "name": "main"}])), (200, found)]);
    let run = place.tandem(&["trunk", "test", "main", "--key", "tdm_1", "--api", &server.url]);
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).starts_with("tandem: the trunk is unhealthy: no answer"), "{}", stderr(&run));

    let server = Scripted::answering([(200, json!([]))]);
    let run = place.tandem(&["trunk", "show", "other", "--key", "tdm_1", "--api", &server.url]);
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("there is no trunk \"other\""), "{}", stderr(&run));
}

#[test]
fn a_test_call_that_nobody_answered_is_told_apart_from_one_that_was_not_heard() {
    let place = Place::new();
    let tested = |call: Value| {
        let found = json!({"trunk_id": "t-1", "status": "healthy", "latency_ms": 2, "details": {}, "call": call});
        let server = Scripted::answering([(200, json!([{"id": "t-1", "name": "main"}])), (200, found)]);
        let arguments =
            ["--json", "trunk", "test", "main", "--call", "+12025550101", "--key", "tdm_1", "--api", &server.url];
        let run = place.tandem(&arguments);
        assert_eq!(run.status.code(), Some(1));
        assert_eq!(json_of(&run)["trunk_id"], "t-1", "the answer is told once, as it was");
        stderr(&run)
    };
    let busy = tested(
        json!({"status": "busy", "passed": false, "sip_status": 486, "hangup_cause": "user_busy", "heard": null}),
    );
    let told = "tandem: the test call was not answered: it ended busy (user_busy, 486); call a number that answers with an echo\n";
    assert_eq!(busy, told);
    let silent =
        tested(json!({"status": "completed", "passed": false, "hangup_cause": "normal_clearing", "heard": "silence"}));
    assert!(silent.starts_with("tandem: the test call was answered, and silence came back instead"), "{silent}");
}

#[test]
fn machines_are_told_of_every_failure() {
    let place = Place::new();
    let gone = Scripted::answering([(200, json!([]))]);
    let unknown = place.tandem(&["--json", "trunk", "show", "other", "--key", "tdm_1", "--api", &gone.url]);
    let unreachable = place.tandem(&["--json", "trunk", "list", "--key", "tdm_1", "--api", "http://127.0.0.1:1"]);
    place.succeeds(&["account", "add", "acme"]);
    let taken = place.tandem(&["--json", "account", "add", "acme"]);
    for (run, told) in [(unknown, "there is no trunk"), (unreachable, "http://127.0.0.1:1"), (taken, "\"acme\" exists")]
    {
        assert_eq!(run.status.code(), Some(1));
        let answer = json_of(&run);
        assert_eq!(answer["ok"], false, "{answer}");
        assert!(answer["problems"][0].as_str().unwrap().contains(told), "{answer}");
        assert!(stderr(&run).contains(told), "{}", stderr(&run));
    }
}

#[test]
fn following_the_calls_shows_each_change_once() {
    let place = Place::new();
    let call = |id: &str, status: &str| json!({"id": id, "status": status});
    let server = Scripted::answering([
        (200, json!([call("c-2", "ringing"), call("c-1", "completed")])),
        (200, json!([call("c-3", "initiated"), call("c-2", "answered"), call("c-1", "completed")])),
        (401, json!({"code": "unauthorized", "detail": "the key is wrong", "title": "t"})),
    ]);
    let run = place.tandem(&["--json", "calls", "--follow", "--limit", "1", "--key", "tdm_1", "--api", &server.url]);
    assert_eq!(run.status.code(), Some(1));
    let lines = String::from_utf8(run.stdout).unwrap();
    let shown: Vec<(String, String)> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|call| Some((call["id"].as_str()?.to_owned(), call["status"].as_str()?.to_owned())))
        .collect();
    let expected = [("c-2", "ringing"), ("c-2", "answered"), ("c-3", "initiated")];
    assert_eq!(shown, expected.map(|(id, status)| (id.to_owned(), status.to_owned())));
}

#[test]
fn refusals_are_shown_with_their_reasons() {
    let place = Place::new();
    let refused = json!({
        "id": "r-1", "at": "2026-01-31T12:00:00.000001Z", "sip_trunk_id": "t-1", "from_number": "+442079460018",
        "to_number": "+13035550100", "sip_call_id": "abc", "sip_status": 404,
        "receipt": {
            "inbound": {"source": "192.0.2.1:5060", "trunk_name": "main", "steps": []},
            "refusal": {"kind": "no_route", "reason": {"code": "no_inbound_rule"}, "explanation": "no rule names it"},
        },
    });
    let server = Scripted::answering([
        (200, json!([{"id": "t-1", "name": "main"}])),
        (200, json!([refused])),
        (200, json!([refused])),
    ]);
    let arguments = ["--key", "tdm_1", "--api", &server.url];
    let table = place.succeeds(&[&["refusals", "--trunk", "main"][..], &arguments].concat());
    assert!(table.contains("no_inbound_rule") && table.contains("192.0.2.1:5060"), "{table}");
    let json: Value =
        serde_json::from_str(&place.succeeds(&[&["--json", "refusals"][..], &arguments].concat())).unwrap();
    assert_eq!(json, json!([refused]));
    let lines: Vec<String> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines[1], "GET /api/v1/telephony/refusals?limit=20&trunk_id=t-1 HTTP/1.1");
    assert_eq!(lines[2], "GET /api/v1/telephony/refusals?limit=20 HTTP/1.1");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let mut child = place.command(&["openapi"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert!(run.status.success() && run.stderr.is_empty(), "{}", stderr(&run));
}

/// A folder of its own, in which the binary runs without the environment of the tests.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(arguments).current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command
    }

    fn tandem(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let run = self.tandem(arguments);
        assert!(run.status.success(), "{arguments:?}: {}", stderr(&run));
        String::from_utf8(run.stdout).unwrap()
    }
}

/// A server that gives these answers, one to each connection, and keeps what was asked.
struct Scripted {
    url: String,
    asked: JoinHandle<Vec<Request>>,
}

#[derive(Debug)]
struct Request {
    line: String,
    authorization: String,
    body: Value,
}

impl Scripted {
    fn answering(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<_> = answers.into_iter().collect();
        let asked = std::thread::spawn(move || answers.iter().map(|answer| answer_one(&listener, answer)).collect());
        Self { url, asked }
    }

    /// What was asked, once every answer is given.
    fn requests(self) -> Vec<Request> {
        self.asked.join().unwrap()
    }
}

fn answer_one(listener: &TcpListener, (status, answer): &(u16, Value)) -> Request {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(&stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let request_line = line();
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let header = line();
        let Some((name, value)) = header.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let text = answer.to_string();
    let head = format!("HTTP/1.1 {status} Scripted\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
    (&stream).write_all((head + &text).as_bytes()).unwrap();
    Request { line: request_line, authorization, body: serde_json::from_slice(&body).unwrap_or_default() }
}

fn json_of(run: &Output) -> Value {
    serde_json::from_slice(&run.stdout).unwrap()
}

fn stderr(run: &Output) -> String {
    String::from_utf8_lossy(&run.stderr).into_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
