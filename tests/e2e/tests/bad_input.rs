//! What a person or a peer can get wrong.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;
use tandem_e2e::{Finished, Network, Options, Peer, SmallDisk, Tandem, environment, eventually, run};

/// Starts a node that must not start, and returns its one line.
fn refused_start(network: &Network, options: &Options, folder: &Path) -> String {
    let finished = run(&["serve"], &environment(network, folder, options), folder);
    one_line(&finished)
}

fn one_line(finished: &Finished) -> String {
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    // A log line may come before it; the last line is the reason.
    let complaints: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("tandem: ")).collect();
    assert_eq!(complaints.len(), 1, "{finished:?}");
    complaints[0].to_owned()
}

fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}

#[test]
fn a_wrong_setting_is_told_with_the_right_name() {
    let network = Network::claim();
    let folder = tempfile::tempdir().unwrap();
    let line = refused_start(&network, &Options::default().env("TANDEM_RTP_PORT", "20000-20010"), folder.path());
    assert_says(&line, &["TANDEM_RTP_PORT", "TANDEM_RTP_PORTS"]);
    std::fs::write(folder.path().join("tandem.toml"), "data_dirr = \"x\"\n").unwrap();
    let line = refused_start(&network, &Options::default(), folder.path());
    assert_says(&line, &["data_dirr", "data_dir", "tandem.toml"]);
    std::fs::remove_file(folder.path().join("tandem.toml")).unwrap();
    let line = refused_start(&network, &Options::default().env("TANDEM_RTP_PORTS", "20010-20000"), folder.path());
    assert_says(&line, &["TANDEM_RTP_PORTS"]);
    let line =
        refused_start(&network, &Options::default().env("TANDEM_SIP_LISTEN", "tls:127.0.0.1:5061"), folder.path());
    assert_says(&line, &["TANDEM_SIP_LISTEN", "not built yet"]);
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[test]
fn a_taken_port_is_told_with_the_setting_that_names_it() {
    let network = Network::claim();
    let folder = tempfile::tempdir().unwrap();
    let http = TcpListener::bind((network.host(1), 8080)).unwrap();
    assert_says(&refused_start(&network, &Options::default(), folder.path()), &["8080", "TANDEM_HTTP_LISTEN"]);
    drop(http);
    let sip = std::net::UdpSocket::bind(network.sip(1)).unwrap();
    assert_says(&refused_start(&network, &Options::default(), folder.path()), &["5060", "TANDEM_SIP_LISTEN"]);
    drop(sip);
}

#[test]
fn a_database_that_cannot_be_opened_is_told() {
    let network = Network::claim();
    let folder = tempfile::tempdir().unwrap();
    for (url, parts) in [
        ("mysql://localhost/tandem", &["DATABASE_URL", "sqlite://"][..]),
        ("sqlite:///nowhere/at/all/tandem.db", &["/nowhere/at/all"][..]),
    ] {
        let line = refused_start(&network, &Options::default().env("DATABASE_URL", url), folder.path());
        assert_says(&line, parts);
    }
    // A password in a URL is not told.
    let line = refused_start(
        &network,
        &Options::default().env("DATABASE_URL", "nosql://tandem:hunter2hunter2@db/x"),
        folder.path(),
    );
    assert!(!line.contains("hunter2"), "{line}");
    let not_a_database = folder.path().join("text.db");
    std::fs::write(&not_a_database, "this is no database, but a text that is long enough to be looked at\n".repeat(50))
        .unwrap();
    let url = format!("sqlite://{}", not_a_database.display());
    let line = refused_start(&network, &Options::default().env("DATABASE_URL", &url), folder.path());
    assert_says(&line, &["text.db"]);
}

#[test]
fn a_full_disk_at_the_start_is_told() {
    let network = Network::claim();
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path().join("data"), 1 << 20);
    // All but the last pages are gone: the small files still fit, the database does not.
    let fill = vec![0; (1 << 20) - (5 << 12)];
    std::fs::write(disk.path().join("fill"), fill).unwrap();
    let line = refused_start(&network, &Options::default(), folder.path());
    assert_says(&line, &["full"]);
    assert!(line.contains("free") || line.contains("space") || line.contains("TANDEM_DATA_DIR"), "what to do: {line}");
    // Nor does anything at all.
    std::fs::write(disk.path().join("more"), vec![0; 4 << 12]).unwrap_err();
    let line = refused_start(&network, &Options::default(), folder.path());
    assert!(line.contains("full") || line.contains("No space"), "{line}");
}

#[test]
fn broken_datagrams_get_the_answer_they_deserve_and_the_node_lives() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let _ = api.create_trunk("peer", peer.address(), &json!({"allowed_ips": [network.host(2).to_string()]}));
    let before = api.ready_numbers();

    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/torture");
    let index = std::fs::read(data.join("index.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&index).unwrap();
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let octets = std::fs::read(data.join(case["file"].as_str().unwrap())).unwrap();
        let seen = peer.others().len();
        peer.send(tandem.sip(), &octets);
        // Datagrams of one socket are handled in order: once this is answered, the case was looked at.
        let probe = format!("probe-{number}");
        peer.send(tandem.sip(), options(&network, &probe).as_bytes());
        let answers = eventually("answer to OPTIONS", Duration::from_secs(2), || {
            let answers: Vec<_> = peer.others().into_iter().skip(seen).map(|(_, text)| text).collect();
            answers.iter().any(|text| text.call_id() == probe && text.status() == Some(200)).then_some(answers)
        });
        // What is resent for an earlier case has another Call-ID; one that could not be read may have none.
        let finals: Vec<u16> = answers
            .iter()
            .filter(|text| !text.call_id().starts_with("probe-") && belongs(text.call_id(), &octets))
            .filter_map(|text| text.status())
            .filter(|status| *status >= 200)
            .collect();
        if let Some(complaint) = judge(case, &finals) {
            wrong.push(format!("{}: {complaint}", case["id"]));
        }
    }
    assert!(tandem.is_running());
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() > 100);

    // Nothing of it is left: no call, no leg, no port, no dialog.
    let numbers = |all: BTreeMap<String, u64>| -> BTreeMap<String, u64> {
        all.into_iter().filter(|(name, _)| !name.contains("transactions")).collect()
    };
    let before = numbers(before);
    eventually("node at rest", Duration::from_secs(3), || (numbers(api.ready_numbers()) == before).then_some(()));
}

fn belongs(call_id: &str, octets: &[u8]) -> bool {
    call_id.is_empty() || octets.windows(call_id.len()).any(|window| window == call_id.as_bytes())
}

/// What is wrong with the final answers to a case.
fn judge(case: &Value, finals: &[u16]) -> Option<String> {
    let answer = &case["answer"];
    let list = |name: &str| -> Option<Vec<u64>> {
        answer[name].as_array().map(|list| list.iter().filter_map(Value::as_u64).collect())
    };
    let must = case["must"] == true;
    let silence = answer["silence"].as_str().unwrap_or_default();
    let Some(status) = finals.first() else {
        let may_be_silent =
            silence == "required" || silence == "ok-if-unanswerable" || answer["or"].is_string() || !must;
        return (!may_be_silent).then(|| format!("no answer; wanted {answer}"));
    };
    if silence == "required" {
        return Some(format!("answered {status}, and must not be"));
    }
    let status = u64::from(*status);
    let is_right = match (list("any_of"), list("not")) {
        (Some(good), _) => good.contains(&status) || (answer["or"].is_string() && status != 500),
        (None, Some(bad)) => !bad.contains(&status),
        (None, None) => true,
    };
    (must && !is_right).then(|| format!("answered {status}; wanted {answer}"))
}

fn options(network: &Network, call_id: &str) -> String {
    let (us, peer) = (network.sip(1), network.sip(2));
    format!(
        "OPTIONS sip:{us} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n\
         From: <sip:peer@{peer}>;tag=1\r\nTo: <sip:{us}>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_strangers_invite_is_refused_and_takes_nothing() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let stranger = Peer::start(network.sip(9));
    let before = api.ready_numbers();
    let (us, them) = (network.sip(1), stranger.address());
    let invite = format!(
        "INVITE sip:+12025550100@{us} SIP/2.0\r\nVia: SIP/2.0/UDP {them};branch=z9hG4bKstranger\r\nMax-Forwards: 70\r\n\
         From: <sip:who@{them}>;tag=1\r\nTo: <sip:+12025550100@{us}>\r\nCall-ID: stranger\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:who@{them}>\r\nContent-Length: 0\r\n\r\n"
    );
    stranger.send(us, invite.as_bytes());
    let answer = eventually("answer", Duration::from_secs(2), || {
        stranger
            .others()
            .into_iter()
            .map(|(_, text)| text)
            .find(|text| text.status().is_some_and(|status| status >= 200))
    });
    assert_eq!(answer.status(), Some(403), "{answer:?}");
    assert!(answer.body.is_empty());
    let now = api.ready_numbers();
    for name in ["calls", "legs", "media_ports_in_use", "trunk_slots", "account_slots"] {
        assert_eq!(now.get(name), before.get(name), "{name}");
    }
}
