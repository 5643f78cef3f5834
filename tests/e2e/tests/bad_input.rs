//! What a person or a peer can get wrong.

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
