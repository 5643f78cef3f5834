//! Calls that are paid for by credit: a race for the last of it, and what is left of it after a crash.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tandem_e2e::{Api, Network, Options, Peer, Postgres, Tandem, eventually, text_at};

/// Millionths, which no float gets wrong that was sent with at most six digits.
fn micros(value: &Value) -> i64 {
    let amount = value.as_f64().unwrap_or_else(|| panic!("{value} is a number"));
    #[expect(clippy::cast_possible_truncation, reason = "amounts of a test are small")]
    let micros = (amount * 1e6).round() as i64;
    micros
}

/// All entries of the ledger.
fn ledger(api: &Api) -> Vec<Value> {
    let mut entries = Vec::new();
    loop {
        let page = api.get(&format!("/credits/ledger?limit=1000&skip={}", entries.len())).expect(200);
        let page = page.as_array().cloned().unwrap_or_default();
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

/// Each is called over the trunk.
fn over(trunk: &str) -> Value {
    json!({"sip_trunk_id": trunk})
}

/// A node on a database, with an account that has so much credit and a trunk to a peer; a minute costs 0.60.
fn node_with(network: &Network, options: &Options, amount: &str) -> (Tandem, Api, Peer, String) {
    let tandem = Tandem::start(network, options);
    let peer = Peer::start(network.sip(2));
    let (api, trunk) = payer(&tandem, "payer", &peer, amount);
    (tandem, api, peer, trunk)
}

/// An account whose calls are paid for by so much credit, and its trunk, which is there before: its price is the operator's then.
fn payer(tandem: &Tandem, name: &str, peer: &Peer, amount: &str) -> (Api, String) {
    let api = tandem.add_account(name, &["--tier", "enterprise", "--max-calls", "1000"]);
    // Several accounts call one peer; none is called by it.
    let more = json!({
        "call_direction": "outbound", "cost_per_minute": 0.6, "max_concurrent_calls": 1000, "advanced_config": {"rtp_timeout": 0},
    });
    let trunk = api.create_trunk("peer", peer.address(), &more);
    for change in [
        ["account", "credit", name, "--add", amount, "--note", "all there is"].as_slice(),
        ["account", "set", name, "--credit-control", "on"].as_slice(),
    ] {
        let done = tandem.cli(change);
        assert!(done.status.success(), "{done:?}");
    }
    eventually("credit control at the call path", Duration::from_secs(5), || {
        api.get("/credits").expect(200)["available"].is_number().then_some(())
    });
    (api, trunk)
}

#[test]
fn a_thousand_dials_race_for_the_last_credit() {
    race(&Options::default());
}

#[test]
fn a_thousand_dials_race_for_the_last_credit_on_postgresql() {
    let postgres = Postgres::start();
    race(&Options::default().env("DATABASE_URL", &postgres.url()));
}

fn race(options: &Options) {
    const DIALS: usize = 1_000;
    const THREADS: usize = 8;
    let network = Network::claim();
    // Of a minute for 0.60 there are never more than three at once, and each call costs 0.01 a second.
    let (_tandem, api, peer, trunk) = node_with(&network, options, "2");
    let (placed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (api, peer, trunk, placed, refused) = (&api, &peer, &trunk, &placed, &refused);
            scope.spawn(move || {
                for number in 0..DIALS / THREADS {
                    let user = if (thread + number) % 4 == 3 { "s486" } else { "echo" };
                    let answer = api.try_dial(&peer.uri(user), &over(trunk));
                    if answer.status == 201 {
                        placed.fetch_add(1, Ordering::Relaxed);
                        let id = text_at(&answer.json, "/id");
                        // Some are given up before they are answered, and some are over by themselves.
                        if number % 3 != 0 {
                            let is_decided =
                                |call: &Value| call["status"] != "initiated" && call["status"] != "ringing";
                            let _ = api.wait_for_call(&id, "a decision", Duration::from_secs(10), is_decided);
                        }
                        let _ = api.hang_up(&id);
                    } else {
                        assert_eq!((answer.status, answer.code()), (402, "credit_exhausted"), "{}", answer.text);
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (placed, refused) = (placed.into_inner(), refused.into_inner());
    assert_eq!(placed + refused, DIALS);
    assert!(placed >= 3 && refused > 0, "{placed} placed, {refused} refused");

    // Once everything is stored, the database and the call path agree to the millionth.
    let credit = eventually("settled calls", Duration::from_secs(20), || {
        let credit = api.get("/credits").expect(200);
        (micros(&credit["reserved"]) == 0 && credit["available"] == credit["balance"] && api.open_calls().is_empty())
            .then_some(credit)
    });
    let calls = api.all_calls();
    let costs: Vec<i64> = calls.iter().map(|call| micros(&call["cost"])).collect();
    let balance = micros(&credit["balance"]);
    assert_eq!((balance, micros(&credit["settled"])), (2_000_000 - costs.iter().sum::<i64>(), costs.iter().sum()));
    assert!(balance >= 0, "{credit}");
    for call in &calls {
        // A credit is 0.01.
        assert_eq!(call["credits_used"].as_i64(), Some((micros(&call["cost"]) + 9_999) / 10_000), "{call:#}");
    }
    let entries = ledger(&api);
    assert_eq!(entries.iter().map(|entry| micros(&entry["amount"])).sum::<i64>(), balance);
    let of_calls = entries.iter().filter(|entry| entry["kind"] == "call").count();
    assert_eq!((of_calls, entries.len()), (costs.iter().filter(|cost| **cost != 0).count(), of_calls + 1));
}

#[test]
fn what_calls_hold_on_one_node_is_not_there_on_the_other() {
    let postgres = Postgres::start();
    let networks = [Network::claim(), Network::claim()];
    let options = Options::default().env("DATABASE_URL", &postgres.url());
    // Of a minute for 0.60 there are two at once.
    let (one, api, peer, trunk) = node_with(&networks[0], &options, "1.5");
    let master_key = one.data_dir().join("master.key").display().to_string();
    let other = Tandem::start(&networks[1], &options.env("TANDEM_MASTER_KEY_FILE", &master_key));
    let there = other.api().with_key(api.key());
    let available = |micros_left: i64| {
        eventually("what is left on the other node", Duration::from_secs(5), || {
            let credit = there.get("/credits").expect(200);
            (credit["available"].is_number() && micros(&credit["available"]) == micros_left).then_some(credit)
        })
    };
    let _ = available(1_500_000);

    let ids = [(); 2].map(|()| text_at(&api.dial(&peer.uri("echo"), &over(&trunk)), "/id"));
    let told = available(300_000);
    assert_eq!(
        (micros(&told["balance"]), micros(&told["reserved"])),
        (1_500_000, 0),
        "nothing is spent, nor held here"
    );
    let refused = there.try_dial(&peer.uri("echo"), &over(&trunk));
    assert_eq!((refused.status, refused.code()), (402, "credit_exhausted"), "{}", refused.text);

    for id in ids {
        let _ = api.hang_up(&id);
    }
    eventually("all of it on both nodes", Duration::from_secs(10), || {
        let credit = there.get("/credits").expect(200);
        (credit == api.get("/credits").expect(200) && credit["available"] == credit["balance"]).then_some(())
    });
    assert_eq!(api.open_calls(), [0; 0]);
}

#[test]
fn what_a_process_that_dies_had_reserved_is_there_for_the_next() {
    let network = Network::claim();
    let (mut tandem, api, peer, trunk) = node_with(&network, &Options::default(), "1");
    let id = text_at(&api.dial(&peer.uri("echo"), &over(&trunk)), "/id");
    let _ = api.wait_for_status(&id, "answered", Duration::from_secs(5));
    assert_eq!(micros(&api.get("/credits").expect(200)["reserved"]), 600_000);
    assert_eq!(api.try_dial(&peer.uri("echo"), &over(&trunk)).code(), "credit_exhausted");
    tandem.kill();
    tandem.restart();
    let call = api.wait_for_end(&id, Duration::from_secs(10));
    assert_eq!(call["hangup_cause"], "node_restarted");
    let expected = 1_000_000 - micros(&call["cost"]);
    let credit = eventually("a settled call", Duration::from_secs(10), || {
        let credit = api.get("/credits").expect(200);
        (micros(&credit["balance"]) == expected && micros(&credit["available"]) == expected).then_some(credit)
    });
    assert_eq!(micros(&credit["reserved"]), 0, "{credit}");
}

#[test]
fn rows_beyond_all_amounts_stop_neither_a_start_nor_other_accounts() {
    let network = Network::claim();
    let (mut tandem, absurd, peer, absurd_trunk) = node_with(&network, &Options::default(), "1");
    let (good, trunk) = payer(&tandem, "good", &peer, "1");
    tandem.execute_behind_its_back(
        "INSERT INTO credit_settlements (account_id, node_id, settled_micros, committed_micros, committed_until)
         SELECT id, column1, 9223372036854775807, 9223372036854775807, 9223372036854775807
         FROM accounts, (VALUES (x'00000000000000000000000000000000'), (x'000000000000000000000000000000ff'))
         WHERE name = 'payer'",
    );
    tandem.kill();
    tandem.restart();
    let refused = absurd.try_dial(&peer.uri("echo"), &over(&absurd_trunk));
    assert_eq!((refused.status, refused.code()), (402, "credit_exhausted"), "{}", refused.text);

    let id = text_at(&good.dial(&peer.uri("echo"), &over(&trunk)), "/id");
    let _ = good.wait_for_status(&id, "answered", Duration::from_secs(5));
    let _ = good.hang_up(&id);
    let call = good.wait_for_end(&id, Duration::from_secs(10));
    eventually("a settled call", Duration::from_secs(10), || {
        let balance = micros(&good.get("/credits").expect(200)["balance"]);
        (micros(&call["cost"]) > 0 && balance == 1_000_000 - micros(&call["cost"])).then_some(())
    });
}

#[test]
fn who_sets_the_price_does_not_dial_for_nothing() {
    let network = Network::claim();
    let (_tandem, api, peer, trunk) = node_with(&network, &Options::default(), "0.5");
    assert_eq!(api.try_dial(&peer.uri("echo"), &over(&trunk)).code(), "credit_exhausted");
    let answer = api.put(&format!("/trunks/{trunk}"), &json!({"cost_per_minute": 0}));
    assert_eq!((answer.status, answer.code()), (403, "prices_are_the_operators"), "{}", answer.text);
    assert_eq!(api.try_dial(&peer.uri("echo"), &over(&trunk)).code(), "credit_exhausted");
}
