//! What an operator does while a node runs, and at night.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tandem_e2e::{Api, Network, Options, Peer, Tandem, text_at};

fn cli(tandem: &Tandem, arguments: &[&str]) -> Value {
    let ran = tandem.cli(&[&["--json"], arguments].concat());
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn the_master_key_is_replaced_during_calls_and_nobody_notices() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let secrets = json!({"sip_password": "Xq7-sip-password-Tk2Vh9", "auth_username": "e2e"});
    let trunk = api.create_trunk("asks for a password", peer.address(), &secrets);
    let user = cli(&tandem, &["user", "add", "zoe@example.com", "--role", "viewer", "--account", "admin"]);
    let credentials = json!({"email": "zoe@example.com", "password": text_at(&user, "/password")});
    let tokens = api.post("/sessions", &credentials).expect(201);
    let person = api.with_key(&text_at(&tokens, "/access_token"));
    let old_file = std::fs::read_to_string(tandem.data_dir().join("master.key")).expect("the node has made its key");

    // Calls that each need the password, one after the other, from before until after.
    let stop = AtomicBool::new(false);
    let (placed, rotated, read, signed_in) = std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut placed = 0;
            while !stop.load(Ordering::SeqCst) || placed < 5 {
                let id = text_at(&api.dial(&peer.uri("auth"), &json!({"sip_trunk_id": trunk})), "/id");
                let _ = api.wait_for_status(&id, "answered", Duration::from_secs(5));
                let _ = api.hang_up(&id);
                placed += 1;
            }
            placed
        });
        let rotated = tandem.cli(&["--json", "keys", "rotate", "--retire-after", "3"]);
        // What was signed before counts on, until the old key goes.
        let read = person.get("/trunks");
        let signed_in = api.post("/sessions", &credentials);
        stop.store(true, Ordering::SeqCst);
        (calls.join().expect("every call was answered"), rotated, read, signed_in)
    });
    assert!(placed >= 5);
    assert!(rotated.status.success(), "{rotated:?}");
    let rotated: Value = serde_json::from_str(&rotated.stdout).expect("its answer is JSON");
    assert!(rotated["resealed"].as_u64() >= Some(1), "{rotated}");
    let _ = (read.expect(200), signed_in.expect(201));

    // The server takes the old key out of its file by itself.
    let gone = tandem_e2e::eventually("the old key is gone", Duration::from_secs(15), || {
        let file = std::fs::read_to_string(tandem.data_dir().join("master.key")).ok()?;
        (!file.contains(old_file.trim())).then_some(file)
    });
    assert_eq!(gone.trim().len(), 64);
    assert_eq!(cli(&tandem, &["keys", "list"]).as_array().map(Vec::len), Some(1));
    let id = text_at(&api.dial(&peer.uri("auth"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = api.wait_for_status(&id, "answered", Duration::from_secs(5));
    let _ = api.hang_up(&id);
    let verified = cli(&tandem, &["audit", "verify"]);
    assert_eq!(verified["whole"], true, "{verified:#}");

    tandem.terminate();
    tandem.restart();
    let id = text_at(&tandem.api().dial(&peer.uri("auth"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = tandem.api().wait_for_status(&id, "answered", Duration::from_secs(5));
    let _ = tandem.api().hang_up(&id);
}

#[test]
fn a_rotation_that_is_killed_again_and_again_is_finished_by_the_next_and_everything_opens() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let secrets = json!({"sip_password": "Xq7-sip-password-Tk2Vh9", "auth_username": "e2e"});
    let trunk = api.create_trunk("asks for a password", peer.address(), &secrets);
    for name in ["one", "two", "three"] {
        let _ = tandem.add_account(name, &[]);
    }
    let old_file = std::fs::read_to_string(tandem.data_dir().join("master.key")).expect("the node has made its key");
    let call = |api: &Api| {
        let id = text_at(&api.dial(&peer.uri("auth"), &json!({"sip_trunk_id": trunk})), "/id");
        let _ = api.wait_for_status(&id, "answered", Duration::from_secs(10));
        let _ = api.hang_up(&id);
    };
    // How long a rotation takes depends on the node, which looks for a new key twice a second: each cut is a little later, and
    // the last ones come after its end. With what was cut off the next goes on.
    for cut_after in [0, 10, 30, 60, 120, 240, 480, 700, 900, 1_200] {
        let mut rotation = tandem.begin_cli(&["keys", "rotate", "--retire-after", "1"]);
        tandem_e2e::pause(Duration::from_millis(cut_after));
        // It may have ended.
        drop(rotation.kill());
        drop(rotation.wait());
        call(&api);
        assert_eq!(cli(&tandem, &["audit", "verify"])["whole"], true, "cut after {cut_after} ms");
        if cut_after == 240 {
            // The node dies as well, with a rotation in whatever state it is.
            tandem.kill();
            tandem.restart();
            call(&api);
        }
    }
    let rotated = tandem_e2e::eventually("a rotation to the end", Duration::from_secs(30), || {
        let ran = tandem.cli(&["--json", "keys", "rotate", "--retire-after", "1"]);
        ran.status.success().then_some(ran.stdout)
    });
    assert!(rotated.contains("retire_at"), "{rotated}");
    tandem_e2e::eventually("one key that is not the old one", Duration::from_secs(15), || {
        let file = std::fs::read_to_string(tandem.data_dir().join("master.key")).ok()?;
        (file.lines().count() == 1 && file != old_file).then_some(())
    });
    call(&api);
    tandem.terminate();
    tandem.restart();
    call(&tandem.api());
    assert_eq!(cli(&tandem, &["audit", "verify"])["whole"], true);
    assert_eq!(cli(&tandem, &["keys", "list"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_backup_is_made_while_the_node_runs_and_restored_while_it_is_stopped() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("peer", peer.address(), &json!({}));
    let place = |count: usize| {
        let dial = || text_at(&api.dial(&peer.uri("s486"), &json!({"sip_trunk_id": trunk})), "/id");
        let ids: Vec<String> = (0..count).map(|_| dial()).collect();
        for id in &ids {
            let _ = api.wait_for_end(id, Duration::from_secs(5));
        }
        ids
    };
    let before = place(5);
    tandem_e2e::eventually("all are stored", Duration::from_secs(5), || (api.all_calls().len() == 5).then_some(()));
    let file = tandem.data_dir().join("backup.db").display().to_string();
    let made = cli(&tandem, &["backup", &file]);
    assert!(made["bytes"].as_u64() > Some(100_000), "{made}");
    let later = place(3);
    tandem_e2e::eventually("all are stored", Duration::from_secs(5), || (api.all_calls().len() == 8).then_some(()));
    let told: Vec<Value> = before.iter().chain(&later).map(|id| api.call(id)).collect();

    let refused = tandem.cli(&["restore", &file]);
    assert!(!refused.status.success() && refused.stderr.contains("stop it first"), "{refused:?}");
    let again = tandem.cli(&["backup", &file]);
    assert!(!again.status.success() && again.stderr.contains("is there already"), "{again:?}");

    // Everything is lost but the backup, the key and the journal, which still holds the calls that came later.
    tandem.kill();
    let restored = cli(&tandem, &["restore", &file]);
    assert!(std::path::Path::new(&text_at(&restored, "/replaced")).is_file(), "{restored}");
    tandem.restart();
    let api = tandem.api();
    tandem_e2e::eventually("the journal is read", Duration::from_secs(5), || {
        (api.all_calls().len() == 8).then_some(())
    });
    for (id, told) in before.iter().chain(&later).zip(&told) {
        assert_eq!(api.call(id), *told);
    }
    let verified = cli(&tandem, &["audit", "verify"]);
    assert_eq!(verified["whole"], true, "{verified:#}");
}
