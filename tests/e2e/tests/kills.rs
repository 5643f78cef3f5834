//! `kill -9` at random instants under twenty calls a second, placed by the API and coming in, and what the far ends saw of it
//! compared with what is on record afterwards.
//!
//! The far ends' own logs are the truth. What has to hold, and where a crash leaves two answers open:
//!
//! - An INVITE that a callee saw is the one leg of the log with that Call-ID. A leg of the log that has a Call-ID was seen by its
//!   callee: as an INVITE, or, when the node died between writing and sending, as the CANCEL of one.
//! - A leg to a callee that is answered on record was answered. One that was answered is so on record, unless the answer was not
//!   acknowledged before the kill (it met a dead node, or one that died before it could write it down), or a CANCEL crossed it; then
//!   it got its ACK and BYE.
//! - A caller who heard more than 100 is on record once, and answered on record if it got a 2xx. It is answered on record without
//!   one only if the node died between writing and sending; then it got a 500.
//! - What the API promised with a 201 is on record; what it did not is so at most once.
//! - Afterwards no call is open, no far end is left in a call, and no caller is left waiting. The ACK before a BYE may be missing: it died
//!   with a node that had written the answer down, or over UDP a busy machine had no room for it. Such a callee has its BYE all the same.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem_e2e::{
    Api, CalleeManners, CallerManners, FarCall, FarEnd, Network, Options, Tandem, eventually, pause, text_at,
};
use tandem_model::Transport;

#[test]
fn the_log_and_the_far_ends_agree_whenever_the_node_dies() {
    survive(15, Transport::Udp);
}

#[test]
fn the_log_and_the_far_ends_agree_whenever_the_node_dies_over_tcp() {
    survive(5, Transport::Tcp);
}

#[test]
#[ignore = "takes a minute: make test-long"]
fn the_log_and_the_far_ends_agree_after_50_kills() {
    survive(50, Transport::Udp);
}

#[test]
#[ignore = "takes a minute: make test-long"]
fn the_log_and_the_far_ends_agree_after_50_kills_over_tcp() {
    survive(50, Transport::Tcp);
}

/// Kills the node so many times, and compares.
fn survive(kills: u32, transport: Transport) {
    let network = Network::claim();
    let host = network.host(1);
    let listen = if transport == Transport::Tcp { format!("tcp:{host}:5060") } else { format!("udp:{host}:5060") };
    let options = Options::default().env("TANDEM_SIP_LISTEN", &listen).env("TANDEM_RTP_PORTS", "20000-21999");
    let mut tandem = Tandem::start(&network, &options);
    let mut dice = Dice::thrown();
    let load = Arc::new(Load::new(&network, &tandem, transport));
    let is_over = Arc::new(AtomicBool::new(false));
    let steady = load.start(Dice(dice.next(u64::MAX) | 1), Arc::clone(&is_over));

    let mut deaths = Vec::new();
    for round in 0..kills {
        pause(LEAST_LIFE + dice.span(LEAST_LIFE));
        if round % 2 == 0 {
            // While a call is on its way in or out.
            load.begin(dice.next(u64::MAX));
            pause(dice.span(IN_FLIGHT));
        }
        tandem.kill();
        // What the dead process had sent is read by now.
        pause(GRACE);
        deaths.push(Instant::now());
        tandem.restart();
    }
    is_over.store(true, Ordering::Relaxed);
    steady.join().expect("the load goes on whatever becomes of the node");
    load.finish();
    Outcome::of(&load, deaths).check(kills);
}

/// What calls, and is called.
struct Load {
    api: Api,
    sip: std::net::SocketAddr,
    callees: FarEnd,
    callers: FarEnd,
    trunk: String,
    number: AtomicU32,
    /// The number of every order, with the id that was promised for it.
    orders: Mutex<BTreeMap<u64, Option<String>>>,
    dials: Mutex<Vec<JoinHandle<()>>>,
    transport: Transport,
    began: Instant,
}

impl Load {
    fn new(network: &Network, tandem: &Tandem, transport: Transport) -> Self {
        // Calls that ring add up while a restart takes long.
        let api = tandem.add_account("busy", &["--tier", "enterprise", "--max-calls", "500"]);
        let callees = FarEnd::start(transport, network.sip(2), callee);
        let callers = FarEnd::start(transport, network.sip(3), |_| CalleeManners::default());
        let more = |direction: &str, routing: Value| {
            json!({
                "call_direction": direction, "max_concurrent_calls": 500, "inbound_routing": routing,
                "advanced_config": {"transport": transport.to_string()},
            })
        };
        let trunk = api.create_trunk("callees", callees.address(), &more("outbound", json!({})));
        let rules = json!({
            "rules": [{"to": ECHO, "connect": {"type": "echo"}}],
            "default": {"type": "forward"},
        });
        let _ = api.create_trunk("callers", callers.address(), &more("inbound", rules));
        Self {
            api,
            sip: tandem.sip(),
            callees,
            callers,
            trunk,
            number: AtomicU32::new(0),
            orders: Mutex::default(),
            dials: Mutex::default(),
            transport,
            began: Instant::now(),
        }
    }

    /// Twenty calls a second, whether there is a node or not.
    fn start(self: &Arc<Self>, mut dice: Dice, is_over: Arc<AtomicBool>) -> JoinHandle<()> {
        let load = Arc::clone(self);
        std::thread::spawn(move || {
            let began = Instant::now();
            for number in 1.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                load.begin(dice.next(u64::MAX));
                pause((BETWEEN_CALLS * number).saturating_sub(began.elapsed()));
            }
        })
    }

    /// Begins one call: every other one comes in.
    fn begin(self: &Arc<Self>, chance: u64) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let called = |chance: u64| format!("+120255501{:02}", 10 + chance % CALLEES);
        if number.is_multiple_of(2) {
            let manners = match chance % 5 {
                0 => CallerManners { gives_up_after: Some(Duration::from_millis(100)), ..CallerManners::default() },
                1 => CallerManners { leaves_after: Some(Duration::from_millis(150)), ..CallerManners::default() },
                _ => CallerManners::default(),
            };
            let user = if chance.is_multiple_of(3) { ECHO.to_owned() } else { called(chance / 15) };
            let _ = self.callers.call(number, self.sip, &user, manners);
            return;
        }
        let connect = match chance % 3 {
            0 => json!({"type": "number", "number": called(chance / 3 / CALLEES)}),
            _ => json!({"type": "echo"}),
        };
        let body = json!({
            "to_number": called(chance / 3), "sip_trunk_id": self.trunk, "connect": connect, "metadata": {"order": number},
        });
        let load = Arc::clone(self);
        // A dial waits for its answer, and the next one does not wait for that.
        let dial = std::thread::spawn(move || {
            let answer = load.api.try_send("POST", "/calls/dial", Some(body.to_string()));
            let promised = answer.ok().filter(|answer| answer.status == 201).map(|answer| text_at(&answer.json, "/id"));
            load.orders.lock().unwrap_or_else(PoisonError::into_inner).insert(number.into(), promised);
        });
        self.dials.lock().unwrap_or_else(PoisonError::into_inner).push(dial);
    }

    /// Waits until every dial has its answer.
    fn finish(&self) {
        for dial in self.dials.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            dial.join().expect("a dial that fails is no panic");
        }
    }
}

/// What a callee does, by the last digit of its number.
fn callee(user: &str) -> CalleeManners {
    let answers = |ms| Some(Duration::from_millis(ms));
    let quiet = CalleeManners::default();
    match user.bytes().last() {
        Some(b'0') => CalleeManners { rings: true, answers_after: answers(40), ..quiet },
        Some(b'1') => CalleeManners { rings: true, ..quiet },
        Some(b'2') => CalleeManners { answers_after: answers(0), leaves_after: answers(200), ..quiet },
        Some(b'3') => CalleeManners { refuses: Some(486), ..quiet },
        Some(b'4') => CalleeManners { rings: true, answers_after: answers(200), ..quiet },
        Some(b'5') => quiet,
        _ => CalleeManners { answers_after: answers(2_500), ..quiet },
    }
}

/// What is on record, beside what the far ends saw.
struct Outcome {
    calls: BTreeMap<String, Value>,
    /// By Call-ID.
    legs: BTreeMap<String, Vec<Value>>,
    callees: Vec<FarCall>,
    callers: Vec<FarCall>,
    orders: BTreeMap<u64, Option<String>>,
    deaths: Vec<Instant>,
    transport: Transport,
    began: Instant,
    wrong: Vec<String>,
}

impl Outcome {
    /// Waits until everything has come to its end, and reads it.
    fn of(load: &Load, deaths: Vec<Instant>) -> Self {
        let api = &load.api;
        let released = |load: &Load| {
            load.callees.calls().iter().chain(&load.callers.calls()).filter(|call| !is_released(call)).count()
        };
        // Calls of the last process go on until somebody hangs up.
        let deadline = Instant::now() + RELEASE;
        let hang_up_at = Instant::now() + Duration::from_secs(3);
        let mut has_hung_up = false;
        loop {
            if !has_hung_up && Instant::now() >= hang_up_at {
                has_hung_up = true;
                for call in api.open_calls() {
                    // It may end by itself meanwhile.
                    drop(api.hang_up(&text_at(&call, "/id")));
                }
            }
            if (has_hung_up && released(load) == 0) || Instant::now() >= deadline {
                break;
            }
            pause(Duration::from_millis(50));
        }
        let orders = load.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let promised: BTreeSet<String> = orders.values().flatten().cloned().collect();
        eventually("every call that was promised, on record and over", SOON, || {
            let known: BTreeSet<String> = api.all_calls().iter().map(|call| text_at(call, "/id")).collect();
            (promised.is_subset(&known) && api.open_calls().is_empty()).then_some(())
        });
        assert_nothing_is_held(api);
        let calls: BTreeMap<_, _> = api.all_calls().into_iter().map(|call| (text_at(&call, "/id"), call)).collect();
        let mut legs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (id, call) in &calls {
            for leg in api.legs(id) {
                if leg["ended_at"].is_null() {
                    wrong.push(format!("a leg is open: {call:#} {leg:#}"));
                }
                if let Some(call_id) = leg["sip_call_id"].as_str().filter(|call_id| !call_id.is_empty()) {
                    legs.entry(call_id.to_owned()).or_default().push(leg);
                }
            }
            wrong.extend(what_is_wrong_with_timeline(&api.timeline(id)));
        }
        let (callees, callers) = (load.callees.calls(), load.callers.calls());
        Self { calls, legs, callees, callers, orders, deaths, transport: load.transport, began: load.began, wrong }
    }

    fn check(mut self, kills: u32) {
        self.check_orders();
        let mut tally = Tally { calls: self.calls.len(), ..Tally::default() };
        for call in std::mem::take(&mut self.callees) {
            self.check_callee(&call, &mut tally);
        }
        for call in std::mem::take(&mut self.callers) {
            self.check_caller(&call, &mut tally);
        }
        // What is left was seen by nobody.
        for (call_id, legs) in std::mem::take(&mut self.legs) {
            self.wrong.push(format!("no far end has seen {call_id}: {legs:#?}"));
        }
        say(&format!("{kills} kills: {tally:#?}"));
        assert!(self.wrong.is_empty(), "{} are wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        // Else nothing was shown.
        let least = usize::try_from(kills).expect("a few") * 3;
        assert!(tally.calls > least && tally.callers > least && tally.ended_by_restart > kills.try_into().unwrap_or(0));
    }

    fn check_orders(&mut self) {
        let mut of_order: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for (id, call) in &self.calls {
            if let Some(order) = call.pointer("/metadata/order").and_then(Value::as_u64) {
                of_order.entry(order).or_default().push(id);
            }
        }
        for (order, promised) in &self.orders {
            let found = of_order.get(order).cloned().unwrap_or_default();
            let is_right = match promised {
                Some(id) => found == [id.as_str()],
                None => found.len() <= 1,
            };
            if !is_right {
                self.wrong.push(format!("order {order} was promised {promised:?}, and {found:?} are on record"));
            }
        }
    }

    /// The one leg of this Call-ID.
    fn take_leg(&mut self, call: &FarCall) -> Option<Value> {
        let mut legs = self.legs.remove(&call.call_id)?;
        if legs.len() > 1 {
            self.complain("it is on record more than once", call, &legs);
        }
        legs.pop()
    }

    fn check_callee(&mut self, call: &FarCall, tally: &mut Tally) {
        let leg = self.take_leg(call);
        let Some(leg) = leg else { return self.complain("it is not on record", call, &[]) };
        if leg["hangup_cause"] == "node_restarted" {
            tally.ended_by_restart += 1;
        }
        if !is_released(call) {
            self.complain("the callee was left in it", call, std::slice::from_ref(&leg));
        }
        let Some(invited) = call.received("INVITE") else {
            // The node died between writing and sending, or the INVITE was lost.
            tally.never_sent += 1;
            if !leg["answered_at"].is_null() {
                self.complain("it was never called", call, &[leg]);
            }
            return;
        };
        tally.callees += 1;
        if call.answered_at().is_some() && call.received("ACK").is_none() {
            tally.acks_lost += 1;
            let died_with_the_node = leg["answered_at"].is_string() && leg["hangup_cause"] == "node_restarted";
            if self.transport == Transport::Tcp && !died_with_the_node {
                self.complain("its answer was not acknowledged", call, std::slice::from_ref(&leg));
            }
        }
        let answered = call.answered_at();
        match (answered, leg["answered_at"].is_string()) {
            (Some(_), true) => tally.answered_callees += 1,
            (None, false) => {}
            (None, true) => self.complain("it was not answered", call, &[leg]),
            (Some(answered), false) => {
                let acknowledged = call.received("ACK");
                let died = self.deaths.iter().find(|death| **death > invited);
                let before_its_death = acknowledged.is_some_and(|at| died.is_none_or(|died| at < *died));
                let is_crossed = call.received("CANCEL").is_some_and(|canceled| canceled >= answered);
                if !before_its_death {
                    tally.answers_to_the_dead += 1;
                } else if !is_crossed {
                    self.complain("it was answered and acknowledged", call, &[leg]);
                }
            }
        }
    }

    fn check_caller(&mut self, call: &FarCall, tally: &mut Tally) {
        tally.callers += 1;
        let leg = self.take_leg(call);
        if !is_released(call) {
            self.complain("the caller was left in it", call, leg.as_slice());
        }
        let heard = call.answers().map(|(_, status)| status).max();
        let Some(leg) = leg else {
            // Nobody has written down what nobody answered.
            if heard.is_some_and(|status| status > 100) {
                self.complain("it is not on record", call, &[]);
            }
            return;
        };
        if leg["hangup_cause"] == "node_restarted" {
            tally.ended_by_restart += 1;
        }
        let final_answer = call.final_answer().map(|(_, status)| status);
        if final_answer == Some(500) {
            tally.callers_told_of_the_restart += 1;
        }
        match (call.answered_at().is_some(), leg["answered_at"].is_string()) {
            (true, true) => tally.answered_callers += 1,
            (false, false) => {}
            (true, false) => self.complain("the caller was answered", call, &[leg]),
            (false, true) => {
                tally.answers_never_sent += 1;
                if final_answer.is_none() || leg["hangup_cause"] != "node_restarted" {
                    self.complain("the caller was not answered", call, &[leg]);
                }
            }
        }
        // Who comes from a trunk that is known and has room is taken, whenever that is.
        let is_usual = |status| matches!(status, 200 | 408 | 480 | 486 | 487 | 500 | 504);
        if !final_answer.is_none_or(is_usual) {
            self.complain("that is no answer to this caller", call, &[]);
        }
    }

    fn complain(&mut self, what: &str, call: &FarCall, legs: &[Value]) {
        let deaths: Vec<f64> =
            self.deaths.iter().map(|at| at.saturating_duration_since(self.began).as_secs_f64()).collect();
        let legs: Vec<String> = legs.iter().map(ToString::to_string).collect();
        self.wrong.push(format!("{what}:\n{}legs {legs:#?}\ndeaths {deaths:.3?}", call.history(self.began)));
    }
}

/// How often each case was met.
#[derive(Debug, Default)]
struct Tally {
    calls: usize,
    callees: usize,
    callers: usize,
    answered_callees: usize,
    answered_callers: usize,
    ended_by_restart: usize,
    callers_told_of_the_restart: usize,
    /// The node died between writing and sending an INVITE, or it was lost.
    never_sent: usize,
    acks_lost: usize,
    /// The callee answered a node that was dead, or died of it.
    answers_to_the_dead: usize,
    /// The node died between writing and sending a 2xx.
    answers_never_sent: usize,
}

/// Whether the far end is rid of the call, and knows it.
fn is_released(call: &FarCall) -> bool {
    // Over TCP nothing is resent: the answer to a BYE may end with its connection.
    let is_lossless =
        call.seen.first().and_then(|seen| seen.text.header("Via")).is_some_and(|via| via.starts_with("SIP/2.0/TCP"));
    let is_answered = || ["200 BYE", "481 BYE"].iter().any(|what| call.received(what).is_some());
    let has_left = call.sent("BYE").is_some() && (is_lossless || is_answered());
    let is_hung_up = call.received("BYE").is_some() || has_left;
    match (call.is_caller, call.final_answer()) {
        (true, None) => call.failed_over,
        (true, Some((_, 200..300))) => is_hung_up,
        (true, Some(_)) => true,
        (false, Some((_, 200..300))) => is_hung_up,
        // Who refuses holds nothing, though the ACK may have died with the node.
        (false, Some(_)) => true,
        // It knew nothing but the CANCEL.
        (false, None) => call.received("INVITE").is_none() && call.received("CANCEL").is_some(),
    }
}

/// No event is missing, and none is told twice.
fn what_is_wrong_with_timeline(timeline: &[Value]) -> Option<String> {
    let numbers = timeline.iter().map(|event| event["number"].as_u64());
    let is_gapless = numbers.eq((1..).map(Some).take(timeline.len()));
    let count = |kind: &str| timeline.iter().filter(|event| event["kind"] == kind).count();
    let starts = count("leg_started");
    let is_whole = count("initiated") == 1 && count("ended") == 1 && count("leg_ended") == starts;
    let ends = timeline.last().is_some_and(|event| event["kind"] == "ended");
    (!is_gapless || !is_whole || !ends).then(|| format!("a timeline is not whole: {timeline:#?}"))
}

fn assert_nothing_is_held(api: &Api) {
    eventually("node that holds nothing", SOON, || {
        let numbers = api.ready_numbers();
        let held = ["calls", "media_ports_in_use", "trunk_slots", "account_slots", "legs", "unstored_records"];
        held.iter().all(|name| numbers.get(*name).is_none_or(|value| *value == 0)).then_some(())
    });
}

/// xorshift64: any spread will do.
struct Dice(u64);

impl Dice {
    /// `TANDEM_TEST_SEED`, or the usual one; told, so that a failure can be repeated as far as instants can.
    fn thrown() -> Self {
        let given = std::env::var("TANDEM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(SEED);
        say(&format!("seed: TANDEM_TEST_SEED={seed}"));
        Self(seed | 1)
    }

    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn span(&mut self, below: Duration) -> Duration {
        Duration::from_micros(self.next(u64::try_from(below.as_micros()).expect("a second")))
    }
}

#[expect(clippy::print_stderr, reason = "shown when the test fails, or with --no-capture")]
fn say(what: &str) {
    eprintln!("{what}");
}

/// Of all that is left to chance.
const SEED: u64 = 0x5EED_0E2E_C4A5_0001;
/// Twenty a second.
const BETWEEN_CALLS: Duration = Duration::from_millis(50);
/// A node lives as long once it is ready, and up to twice that.
const LEAST_LIFE: Duration = Duration::from_millis(350);
/// How soon after a call has begun some nodes die.
const IN_FLIGHT: Duration = Duration::from_millis(10);
/// What is in the socket of a far end is read in this time.
const GRACE: Duration = Duration::from_millis(20);
/// For what needs no timer of SIP.
const SOON: Duration = Duration::from_secs(10);
/// 64 × T1: after that nobody waits for anything any more.
const RELEASE: Duration = Duration::from_secs(40);
/// A caller of this number hears an echo.
const ECHO: &str = "+12025550100";
/// Numbers of callees end in so many digits.
const CALLEES: u64 = 7;
