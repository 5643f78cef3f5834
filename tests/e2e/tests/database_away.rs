//! The database or a disk is away, and calls go on: nothing is lost, nothing is told twice, and what must wait is told so.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_e2e::{
    Answer, Api, CalleeManners, CallerManners, Done, FarCall, FarEnd, Load, Network, Options, Peer, Postgres,
    SmallDisk, Tandem, eventually, pause, text_at,
};
use tandem_model::Transport;

#[test]
fn nothing_is_lost_while_postgresql_is_stopped() {
    postgres_away(Away::Stopped, SHORT);
}

#[test]
fn nothing_is_lost_while_postgresql_is_frozen() {
    postgres_away(Away::Frozen, SHORT);
}

#[test]
#[ignore = "it takes two minutes: make test-long"]
fn nothing_is_lost_while_postgresql_is_stopped_for_a_minute() {
    postgres_away(Away::Stopped, LONG);
}

#[test]
#[ignore = "it takes two minutes: make test-long"]
fn nothing_is_lost_while_postgresql_is_frozen_for_a_minute() {
    postgres_away(Away::Frozen, LONG);
}

#[test]
fn a_node_that_is_started_without_its_database_waits_for_it() {
    let network = Network::claim();
    let postgres = Postgres::start();
    let mut tandem = Tandem::start(&network, &quiet().env("DATABASE_URL", &postgres.url()));
    let api = roomy_account(&tandem);
    let peer = Peer::start(network.sip(4));
    let trunk = api.create_trunk("peer", peer.address(), &json!({}));
    let held = text_at(&api.dial(&peer.uri("tone1000"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = api.wait_for_status(&held, "answered", SOON);
    tandem.kill();
    postgres.halt();

    tandem.start_again();
    let waiting = eventually("a node that waits", STARTS, || {
        api.try_send("GET", "/health/ready", None).ok().filter(|answer| answer.status == 503)
    });
    let told = &waiting.json;
    assert_eq!((&told["ready"], &told["refuses_because"]), (&json!(false), &json!("database_unavailable")), "{told:#}");
    assert_eq!(api.get("/health/live").expect(200), json!({"status": "live"}));
    let refused = api.get("/trunks");
    assert_eq!((refused.status, refused.code()), (503, "database_unavailable"), "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after") && refused.headers.contains_key("x-request-id"));
    assert!(std::net::UdpSocket::bind(network.sip(1)).is_ok(), "nobody listens for SIP");
    eventually("a line in the log", SOON, || {
        tandem.log().contains("starts as soon as its database answers").then_some(())
    });
    // It may be told to stop, and starts to wait again.
    tandem.terminate();
    assert!(tandem.wait_for_exit(SOON).success(), "to wait is no failure");
    tandem.start_again();
    let _ = eventually("a node that waits", STARTS, || {
        api.try_send("GET", "/health/ready", None).ok().filter(|answer| answer.status == 503)
    });

    postgres.resume();
    tandem.wait_until_ready();
    let call = api.wait_for_end(&held, STARTS);
    assert_eq!(call["hangup_cause"], "node_restarted", "{call:#}");
    let again = text_at(&api.dial(&peer.uri("tone1000"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = api.wait_for_status(&again, "answered", SOON);
    let _ = api.hang_up(&again).expect(200);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Stopped,
    Frozen,
}

fn postgres_away(away: Away, length: Duration) {
    let network = Network::claim();
    let postgres = Postgres::start();
    let tandem = Tandem::start(&network, &quiet().env("DATABASE_URL", &postgres.url()));
    let api = roomy_account(&tandem);
    let callee = callee(&network);
    let trunk = api.create_trunk("callee", callee.address(), &json!({"max_concurrent_calls": 500}));
    // Stored long before: its records come from the database alone.
    let old = text_at(&api.dial(&uri(&callee, "busy"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = api.wait_for_end(&old, SOON);
    // Somebody who plays something: a call without media ends after a minute.
    let peer = Peer::start(network.sip(4));
    let held = text_at(&api.dial(&peer.uri("tone1000"), &json!({})), "/id");
    let _ = api.wait_for_status(&held, "answered", SOON);
    let _ = wait_until_stored(&api);

    let caller = Calling::start(&network, &tandem, &api);
    let load = start_load(&api, &callee, &trunk);
    pause(BEFORE);
    match away {
        Away::Stopped => postgres.halt(),
        Away::Frozen => postgres.freeze(),
    }
    let since = Instant::now();
    // The first that are asked have to find it out.
    let (first, told) = (Instant::now(), api.get("/calls?limit=1"));
    expect_told(&told, first.elapsed());
    let ready = eventually("database that is known to be away", PATIENCE, || {
        let ready = api.get("/health/ready").expect(200);
        (ready["database"]["answers"] == false).then_some(ready)
    });
    assert_eq!((&ready["ready"], &ready["refuses_because"]), (&json!(true), &Value::Null), "{ready:#}");
    let mut waits = Vec::new();
    while since.elapsed() < length {
        waits.extend(expect_to_wait(&api, &trunk, &old));
        expect_to_go_on(&api, &callee, &trunk, &held);
        pause(Duration::from_millis(500));
    }
    // Most of them: a busy machine may hold up any of them for a while.
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < AT_ONCE, "{waits:?}");
    let ready = api.get("/health/ready").expect(200);
    let age = ready["journal"]["oldest_unstored_age_ms"].as_u64().expect("a record waits");
    let least = u64::try_from((length / 2).as_millis()).expect("seconds");
    let most = u64::try_from((since.elapsed() + Duration::from_secs(2)).as_millis()).expect("seconds");
    assert!((least..=most).contains(&age), "{age} ms: {ready:#}");
    assert!(ready["journal"]["backlog_bytes"].as_u64() > Some(10_000), "{ready:#}");
    assert_eq!(ready["database"], json!({"answers": false, "takes_records": false}), "{ready:#}");
    assert!(ready["live"]["records_unstored"].as_u64() > Some(10), "{ready:#}");

    match away {
        Away::Stopped => postgres.resume(),
        Away::Frozen => postgres.thaw(),
    }
    let back = Instant::now();
    eventually("write that is taken again", PATIENCE, || {
        let answer = api.put(&format!("/trunks/{trunk}"), &json!({"priority": 7}));
        (answer.status == 200).then_some(())
    });
    pause(AFTER);
    let _ = api.hang_up(&held).expect(200);
    let placed = load.finish();
    let callers = caller.finish();
    let _ = wait_until_stored(&api);
    assert!(back.elapsed() < RETURN + AFTER, "{:?} after its return", back.elapsed());

    let dials = placed.len();
    assert!(dials > usize::try_from(length.as_secs()).expect("seconds") * 18, "{dials} calls: the load was too slow");
    let mut taken = taken(&placed);
    assert_eq!(
        taken.len(),
        dials,
        "a call failed by it: {:#?}",
        placed.iter().find(|done| done.result.answer.status != 201)
    );
    let slowest = placed.iter().map(|done| done.result.took).max().unwrap_or_default();
    assert!(slowest < PATIENCE, "a dial took {slowest:?}");
    taken.extend([old, held]);
    let held = peer.calls();
    let held = Known { answered: true, hung_up_by: Some("api"), ..Known::of(held[0].invite.call_id(), "completed") };
    assert!(callers.len() > dials / 2, "{} calls came in: the load was too slow", callers.len());
    for (table, expected) in expect_on_record(&api, &taken, &[callee.calls(), callers], Some(held)) {
        let query = match table {
            "calls" => "SELECT count(*)::text FROM tandem.call_logs WHERE $1 <> ''",
            "legs" => "SELECT count(*)::text FROM tandem.call_legs WHERE $1 <> ''",
            _ => "SELECT sum(json_array_length(events::json))::text FROM tandem.call_timelines WHERE $1 <> ''",
        };
        assert_eq!(postgres.column(query, "all").pop().flatten(), Some(expected.to_string()), "{table}");
    }
}

#[test]
fn nothing_is_lost_while_the_disk_of_the_database_is_full() {
    let network = Network::claim();
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    // The journal is on another one.
    let disk = SmallDisk::mount(folder.path().join("disk"), 16 << 20);
    let database = format!("sqlite://{}", disk.path().join("tandem.db").display());
    let tandem = Tandem::start(&network, &quiet().env("DATABASE_URL", &database));
    let api = roomy_account(&tandem);
    let callee = callee(&network);
    let trunk = api.create_trunk("callee", callee.address(), &json!({"max_concurrent_calls": 500}));
    let caller = Calling::start(&network, &tandem, &api);
    let load = start_load(&api, &callee, &trunk);
    pause(BEFORE);
    disk.fill_up();
    let since = Instant::now();
    // It can be read all the time, and written until the pages that it has set aside are used up.
    eventually("database that takes no records", SHORT, || {
        let ready = api.get("/health/ready").expect(200);
        (ready["database"] == json!({"answers": true, "takes_records": false})).then_some(())
    });
    // What is smaller than a batch of records may still find a page.
    eventually("a change that is refused", SHORT, || {
        let asked = Instant::now();
        let answer = api.put(&format!("/trunks/{trunk}"), &json!({"priority": 7}));
        (answer.status != 200).then(|| expect_told(&answer, asked.elapsed()))
    });
    assert_eq!(api.get("/trunks").status, 200);
    pause(SHORT.saturating_sub(since.elapsed()));
    let age = api.get("/health/ready").expect(200)["journal"]["oldest_unstored_age_ms"].clone();
    assert!(age.as_u64() > Some(1_000), "{age}");
    disk.free();
    let back = Instant::now();
    pause(AFTER);
    let placed = load.finish();
    let callers = caller.finish();
    let _ = wait_until_stored(&api);
    assert!(back.elapsed() < RETURN + AFTER, "{:?} after there was room", back.elapsed());
    let taken = taken(&placed);
    assert_eq!(taken.len(), placed.len(), "{:#?}", placed.iter().find(|done| done.result.answer.status != 201));
    let _ = expect_on_record(&api, &taken, &[callee.calls(), callers], None);
    let _ = api.put(&format!("/trunks/{trunk}"), &json!({"priority": 7})).expect(200);
}

#[test]
fn calls_that_are_up_go_on_while_the_disk_of_the_journal_is_full_and_are_on_record_afterwards() {
    let network = Network::claim();
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    // More than the 64 MB below which new calls are refused; the database is on another one.
    let disk = SmallDisk::mount(folder.path().join("data"), 90_000_000);
    let database = format!("sqlite://{}", folder.path().join("tandem.db").display());
    let data_dir = disk.path().display().to_string();
    let options = quiet().env("TANDEM_DATA_DIR", &data_dir).env("DATABASE_URL", &database);
    let tandem = Tandem::start(&network, &options);
    let api = roomy_account(&tandem);
    let callee = callee(&network);
    let trunk = api.create_trunk("callee", callee.address(), &json!({"max_concurrent_calls": 500}));
    let order = json!({"sip_trunk_id": trunk});
    let held: Vec<String> = (0..20).map(|_| text_at(&api.dial(&uri(&callee, "stays"), &order), "/id")).collect();
    for id in &held {
        let _ = api.wait_for_status(id, "answered", SOON);
    }
    let load = start_load(&api, &callee, &trunk);
    pause(BEFORE);
    let wait_for_refusals = |reason: &str| {
        eventually(&format!("node that is not ready: {reason}"), SOON, || {
            let ready = api.get("/health/ready");
            (ready.status == 503 && ready.json["refuses_because"] == reason).then_some(ready.json)
        })
    };
    disk.fill(50_000_000);
    let ready = wait_for_refusals("low_disk");
    assert!(ready["journal"]["free_bytes"].as_u64() < Some(64_000_000), "{ready:#}");
    assert_eq!(ready["journal"]["writable"], true, "{ready:#}");
    disk.fill_up();
    let ready = wait_for_refusals("journal_unwritable");
    assert_eq!(ready["journal"]["writable"], false, "{ready:#}");
    // Some end now, some later, some by their far end: none waits for a disk.
    for id in held.iter().take(10) {
        let _ = api.hang_up(id).expect(200);
    }
    eventually("BYE of ten calls", SOON, || {
        let ended = callee.calls().iter().filter(|call| call.received("BYE").is_some()).count();
        (ended >= 10).then_some(())
    });
    let waiting = api.get("/health/ready").json["journal"]["entries_unwritten"].clone();
    assert!((1..2_000).contains(&waiting.as_u64().unwrap_or_default()), "{waiting}");
    assert_eq!(api.get("/health/live").status, 200);
    pause(SHORT / 2);
    disk.free();
    let back = Instant::now();
    eventually("node that is ready", SOON, || (api.get("/health/ready").status == 200).then_some(()));
    pause(AFTER);
    let placed = load.finish();
    for id in held.iter().skip(10) {
        let _ = api.hang_up(id).expect(200);
    }
    let ready = wait_until_stored(&api);
    assert!(back.elapsed() < RETURN + AFTER, "{:?} after there was room", back.elapsed());
    assert_eq!((&ready["journal"]["entries_unwritten"], &ready["journal"]["writable"]), (&json!(0), &json!(true)));

    let mut reasons = BTreeMap::new();
    for done in placed.iter().filter(|done| done.result.answer.status != 201) {
        let answer = &done.result.answer;
        assert_eq!((answer.status, answer.code()), (503, "node_unavailable"), "{}", answer.text);
        *reasons.entry(text_at(&answer.json, "/receipt/refusal/reason/code")).or_insert(0) += 1;
    }
    assert_eq!(reasons.keys().collect::<Vec<_>>(), ["journal_unwritable", "low_disk"], "{reasons:?}");
    let mut taken = taken(&placed);
    assert!(taken.len() > 40, "{}", taken.len());
    taken.extend(held);
    let _ = expect_on_record(&api, &taken, &[callee.calls()], None);
}

/// A node that has ports for the calls of the load, and tells little.
fn quiet() -> Options {
    Options::default().env("TANDEM_LOG", "info").env("TANDEM_RTP_PORTS", "20000-22399")
}

/// A client of an account that may have the calls of the load, whatever a busy machine makes of it.
fn roomy_account(tandem: &Tandem) -> Api {
    tandem.add_account("roomy", &["--tier", "enterprise", "--max-calls", "500"])
}

/// The answer to a dial, and how long it took.
#[derive(Clone, Debug)]
struct Dialled {
    answer: Answer,
    took: Duration,
}

/// Twenty calls a second by the API. Of four, one is busy, two are ended by the far end, one by the API.
fn start_load(api: &Api, callee: &FarEnd, trunk: &str) -> Load<Dialled> {
    let api = api.clone();
    let targets = ["busy", "leaves300", "leaves1500", "stays"].map(|user| (user, uri(callee, user)));
    let order = json!({"sip_trunk_id": trunk});
    Load::start(PER_SECOND, move |number| {
        let (user, target) = &targets[usize::try_from(number).unwrap_or_default() % targets.len()];
        let began = Instant::now();
        let answer = api.try_dial(target, &order);
        let took = began.elapsed();
        if *user == "stays" && answer.status == 201 {
            let id = text_at(&answer.json, "/id");
            let _ = api.wait_for_status(&id, "answered", SOON);
            pause(Duration::from_millis(700));
            let _ = api.hang_up(&id).expect(200);
        }
        Dialled { answer, took }
    })
}

/// Whom the load calls.
fn callee(network: &Network) -> FarEnd {
    FarEnd::start(Transport::Udp, network.sip(2), |user| match user {
        "busy" => CalleeManners { refuses: Some(486), ..CalleeManners::default() },
        user => CalleeManners {
            rings: true,
            answers_after: Some(Duration::from_millis(20)),
            leaves_after: user.strip_prefix("leaves").and_then(|ms| ms.parse().ok()).map(Duration::from_millis),
            ..CalleeManners::default()
        },
    })
}

fn uri(far_end: &FarEnd, user: &str) -> String {
    format!("sip:{user}@{}", far_end.address())
}

/// Twenty calls a second that come in from the address of a trunk. Each is answered, and hung up by its caller.
struct Calling {
    far_end: Arc<FarEnd>,
    load: Load<String>,
}

impl Calling {
    fn start(network: &Network, tandem: &Tandem, api: &Api) -> Self {
        let nobody = |_: &str| CalleeManners { refuses: Some(404), ..CalleeManners::default() };
        let far_end = Arc::new(FarEnd::start(Transport::Udp, network.sip(3), nobody));
        let routing = json!({"default": {"type": "echo"}});
        let more = json!({"call_direction": "inbound", "inbound_routing": routing, "max_concurrent_calls": 500});
        let _ = api.create_trunk("caller", far_end.address(), &more);
        let (calling, node) = (Arc::clone(&far_end), tandem.sip());
        let load = Load::start(PER_SECOND, move |number| {
            let leaves_after = Some(Duration::from_millis(if number % 2 == 0 { 300 } else { 1_200 }));
            calling.call(number, node, "+12025550100", CallerManners { leaves_after, ..CallerManners::default() })
        });
        Self { far_end, load }
    }

    /// Waits until all are over, and gives what their caller saw of each.
    fn finish(self) -> Vec<FarCall> {
        let placed = self.load.finish();
        let calls = eventually("end of every call that came in", SOON, || {
            let calls = self.far_end.calls();
            let is_over = |call: &FarCall| call.received("200 BYE").is_some();
            (calls.len() == placed.len() && calls.iter().all(is_over)).then_some(calls)
        });
        for call in &calls {
            let (asked, answered) = (call.sent("INVITE").expect("it calls"), call.answered_at().expect("it was over"));
            assert!(answered - asked < PATIENCE, "{}", call.history(asked));
        }
        calls
    }
}

fn taken(placed: &[Done<Dialled>]) -> BTreeSet<String> {
    let answers = placed.iter().map(|done| &done.result.answer).filter(|answer| answer.status == 201);
    answers.map(|answer| text_at(&answer.json, "/id")).collect()
}

/// What needs the database is told to come again, soon.
#[track_caller]
fn expect_told(answer: &Answer, took: Duration) {
    assert_eq!((answer.status, answer.code()), (503, "database_unavailable"), "{}", answer.text);
    assert_eq!(answer.headers.get("retry-after").map(String::as_str), Some("2"), "{:?}", answer.headers);
    assert_eq!(answer.headers.get("content-type").map(String::as_str), Some("application/problem+json"));
    assert!(took < PATIENCE, "it took {took:?}");
}

/// Everything that needs the database is told so; in which time each.
fn expect_to_wait(api: &Api, trunk: &str, stored: &str) -> Vec<Duration> {
    let trunk_path = format!("/trunks/{trunk}");
    let external = json!({
        "sip_trunk_id": trunk, "call_id": "away", "direction": "outbound", "from_number": "1", "to_number": "2",
        "started_at": "2026-01-01T00:00:00Z", "status": "answered",
    });
    let requests = [
        ("GET", "/trunks".to_owned(), None),
        ("PUT", trunk_path.clone(), Some(json!({"priority": 3}))),
        ("DELETE", trunk_path, None),
        ("GET", "/calls".to_owned(), None),
        ("POST", "/calls".to_owned(), Some(external)),
        ("GET", format!("/calls/{stored}"), None),
        ("GET", format!("/calls/{stored}/legs"), None),
    ];
    let ask = |(method, path, body): (&str, String, Option<Value>)| {
        let began = Instant::now();
        let answer = api.send(method, &path, body.map(|body| body.to_string()));
        expect_told(&answer, began.elapsed());
        began.elapsed()
    };
    requests.into_iter().map(ask).collect()
}

fn expect_to_go_on(api: &Api, callee: &FarEnd, trunk: &str, held: &str) {
    assert_eq!(api.get("/health/live").status, 200);
    let call = api.call(held);
    assert_eq!(call["status"], "answered", "{call:#}");
    assert_eq!(api.legs(held).len(), 1);
    assert!(api.timeline(held).len() > 1);
    assert_eq!(api.receipt(held)["attempts"][0]["outcome"]["code"], "answered");
    let receipt = api.explain(&uri(callee, "stays"), &json!({"sip_trunk_id": trunk}));
    assert_eq!(receipt["refusal"], Value::Null, "{receipt:#}");
}

/// Waits until no call is up and the database has everything, and gives what `/health/ready` says then.
fn wait_until_stored(api: &Api) -> Value {
    eventually("database that has everything", RETURN, || {
        pause(Duration::from_millis(220));
        let ready = api.get("/health/ready");
        let live = &ready.json["live"];
        let is_stored = ["records_unstored", "unstored_calls"].iter().all(|name| live[*name] == 0);
        let journal = &ready.json["journal"];
        // A sign of life is no record.
        let is_read = journal["oldest_unstored_age_ms"].is_null() && journal["backlog_bytes"].as_u64() < Some(1_000);
        let is_well = ready.json["database"] == json!({"answers": true, "takes_records": true});
        (is_stored && is_read && is_well).then_some(ready.json)
    })
}

/// What a far end knows of a call, as it must be on record.
struct Known {
    sip_call_id: String,
    answered: bool,
    status: &'static str,
    cause: &'static str,
    hung_up_by: Option<&'static str>,
}

impl Known {
    fn of(sip_call_id: &str, status: &'static str) -> Self {
        let cause = if status == "busy" { "user_busy" } else { "normal_clearing" };
        Self { sip_call_id: sip_call_id.to_owned(), answered: false, status, cause, hung_up_by: None }
    }

    fn by(call: &FarCall) -> Self {
        if call.answered_at().is_none() {
            return Self::of(&call.call_id, "busy");
        }
        let hung_up_by = match (call.received("BYE").is_some(), call.is_caller) {
            (true, _) => "api",
            (false, true) => "caller",
            (false, false) => "callee",
        };
        Self { answered: true, hung_up_by: Some(hung_up_by), ..Self::of(&call.call_id, "completed") }
    }
}

/// Every call that was taken, and every one that a far end knows, is stored once, with its legs and events, as the far end saw it, and
/// nothing else is. Gives how many of each there are.
fn expect_on_record(
    api: &Api,
    taken: &BTreeSet<String>,
    far_calls: &[Vec<FarCall>],
    more: Option<Known>,
) -> [(&'static str, usize); 3] {
    eventually("end of every call", SOON, || (api.ready_numbers()["calls"] == 0).then_some(()));
    let _ = wait_until_stored(api);
    let calls = all_calls(api);
    let ids: BTreeSet<String> = calls.iter().map(|call| text_at(call, "/id")).collect();
    assert_eq!(ids.len(), calls.len(), "a call is there twice");
    assert!(taken.is_subset(&ids), "missing: {:?}", taken.difference(&ids).collect::<Vec<_>>());

    let known = far_calls.iter().flatten().map(Known::by).chain(more);
    let mut known: BTreeMap<String, Known> = known.map(|call| (call.sip_call_id.clone(), call)).collect();
    let mut events = 0;
    let legs_known = known.len();
    for call in &calls {
        let id = text_at(call, "/id");
        assert!(call["ended_at"].is_string(), "{call:#}");
        let legs = api.legs(&id);
        assert_eq!(legs.len(), 1, "{call:#} {legs:#?}");
        let leg = &legs[0];
        // Taken out: a second leg of this Call-ID is unknown then.
        let far = known.remove(&text_at(leg, "/sip_call_id")).unwrap_or_else(|| panic!("no far end knows {leg:#}"));
        assert_eq!((&call["status"], &call["hangup_cause"]), (&json!(far.status), &json!(far.cause)), "{call:#}");
        assert!(far.hung_up_by.is_none_or(|by| call["hung_up_by"] == by), "{call:#}");
        let answered = [call, leg].map(|record| record["answered_at"].is_string());
        assert_eq!(answered, [far.answered; 2], "{call:#} {leg:#}");
        assert!(leg["ended_at"].is_string(), "{leg:#}");
        assert!(leg["media"].is_object(), "its counters are there: {leg:#}");
        let timeline = api.timeline(&id);
        events += timeline.len();
        let numbers = timeline.iter().map(|event| event["number"].as_u64());
        assert!(numbers.eq((1..).map(Some).take(timeline.len())), "{timeline:#?}");
        let count = |kind: &str| timeline.iter().filter(|event| event["kind"] == kind).count();
        assert_eq!(["initiated", "leg_ended", "ended"].map(count), [1, 1, 1], "{timeline:#?}");
    }
    assert!(known.is_empty(), "far ends saw calls that are not on record: {:?}", known.keys().collect::<Vec<_>>());
    [("calls", calls.len()), ("legs", legs_known), ("events", events)]
}

fn all_calls(api: &Api) -> Vec<Value> {
    let mut calls = Vec::new();
    loop {
        let page = api.get(&format!("/calls?skip={}&limit={PAGE}", calls.len())).expect(200);
        let page = page.as_array().cloned().unwrap_or_default();
        let is_last = page.len() < PAGE;
        calls.extend(page);
        if is_last {
            return calls;
        }
    }
}

/// How long it is away.
const SHORT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);
/// Load before and after that.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(2);
const PER_SECOND: u32 = 20;
/// What a request waits at most until the database is found to be away: two seconds, and what a busy machine adds.
const PATIENCE: Duration = Duration::from_millis(3_500);
/// A start on a busy machine.
const STARTS: Duration = Duration::from_secs(20);
/// Once that is known.
const AT_ONCE: Duration = Duration::from_millis(100);
/// In which everything is stored after it is back.
const RETURN: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(5);
/// Calls of one page of the list.
const PAGE: usize = 1_000;
