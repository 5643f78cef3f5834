//! What a seed stands for: who there is, how they are configured, and what happens when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tandem_lab::setup::{Seeded, account, account_id, start, trunk, trunk_id};
use tandem_model::{Connect, InboundRouting, InboundRule, Money, Trunk};
use tandem_switch::ResolveError;

use crate::Mutation;
use crate::actions::{Action, Due};
use crate::carrier_host::CarrierHost;
use crate::configuration::Configuration;
use crate::credit::Credit;
use crate::far_end::FarEnd;
use crate::habits::{self, Habits};
use crate::network::{Link, Network};
use crate::node::{FEW_PORTS, Node, Own};
use crate::occupancy::Occupancy;
use crate::signalling::Signalling;
use crate::world::{NEVER, World};

impl World {
    pub(crate) fn draw(seed: u64, calls: usize, mutation: Option<Mutation>, is_traced: bool) -> Self {
        let mut random = Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51e0);
        let own = Own { ports: if random.below(8) == 0 { FEW_PORTS } else { 400 }, has_v6: random.below(3) > 0 };
        let link = Link {
            delay_ms: 1 + random.below(60),
            jitter_ms: random.below(90),
            loss_percent: random.below(18).saturating_sub(6),
            repeat_percent: random.below(16).saturating_sub(8),
        };
        let actions = draw_actions(&mut random, calls);
        let span_ms = u64::try_from(actions.back().unwrap().0.duration_since(start()).as_millis()).unwrap();
        let far_ends = draw_far_ends(&mut random, own, span_ms);
        let carrier = (random.below(3) > 0).then(|| CarrierHost::new(random.next(), start()));
        let accounts = vec![
            account(1, 4 + u32::try_from(random.below(50)).unwrap()),
            account(2, 2 + u32::try_from(random.below(8)).unwrap()),
        ];
        let trunks = draw_trunks(&mut random, &far_ends, carrier.is_some());
        let mut deaths_due = VecDeque::new();
        if random.below(2) == 0 {
            let mut at = 0;
            for _ in 0..=random.below(3) {
                at += 1_000 + random.below(span_ms / 3);
                deaths_due.push_back(start() + Duration::from_millis(at));
            }
        }
        Self {
            now: start(),
            network: Network::new(link, Seeded(random.next())),
            node: Node::new(own, random.next()),
            names: draw_names(&mut random, &far_ends),
            credit: Credit::draw(seed),
            configuration: Configuration::new(accounts, trunks, start()),
            far_ends,
            carrier,
            is_draining: false,
            deciding_ms: if random.below(4) == 0 { random.below(400) } else { 0 },
            actions,
            deaths_due,
            restart_at: Some(start()),
            deaths: Vec::new(),
            torn: BTreeSet::new(),
            mutation,
            asked: BTreeMap::new(),
            replies: 0,
            inputs: Vec::new(),
            lookups: BTreeMap::new(),
            questions: BTreeMap::new(),
            later: 0,
            steps: 0,
            placed: 0,
            next_tag: 0,
            ordered: Vec::new(),
            connects: BTreeMap::new(),
            owners: BTreeMap::new(),
            tags: BTreeMap::new(),
            calls_of: BTreeMap::<_, BTreeSet<_>>::new(),
            occupancy: Occupancy::default(),
            signalling: Signalling::default(),
            reached: BTreeSet::new(),
            faults: Vec::new(),
            is_traced,
            random,
        }
    }
}

fn draw_actions(random: &mut Seeded, calls: usize) -> VecDeque<Due> {
    let mut actions: VecDeque<Due> = VecDeque::new();
    let pause_ms = 100 + random.below(1_500);
    let (mut at, mut begun) = (0, 0);
    while begun < calls {
        at += random.below(2 * pause_ms);
        let action = Action::draw(random);
        begun += usize::from(action.is_call());
        actions.push_back((start() + Duration::from_millis(at), action));
    }
    if random.below(4) == 0 {
        let drained = start() + Duration::from_millis(at / 2);
        actions.push_back((drained, Action::Drain));
        actions.push_back((drained + Duration::from_millis(random.below(8_000)), Action::Stop));
    }
    for check in (0..at + 60_000).step_by(2_000) {
        actions.push_back((start() + Duration::from_millis(check), Action::CheckHearing));
    }
    actions.make_contiguous().sort_by_key(|(at, _)| *at);
    actions
}

fn draw_far_ends(random: &mut Seeded, own: Own, span_ms: u64) -> Vec<FarEnd> {
    let far_end = |number: u8, random: &mut Seeded| {
        let is_v6 = own.has_v6 && random.below(2) == 0;
        let host: IpAddr = if is_v6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, u16::from(number)).into()
        } else {
            Ipv4Addr::new(192, 0, 2, 10 + number).into()
        };
        let habits = Habits::draw(random, own);
        let sleep = habits::sleep(random, start(), span_ms);
        FarEnd::new(SocketAddr::new(host, 5_060), number, habits, sleep, random.next())
    };
    let count = 4 + u8::try_from(random.below(4)).unwrap();
    (1..=count).map(|number| far_end(number, random)).collect()
}

fn draw_trunks(random: &mut Seeded, far_ends: &[FarEnd], has_carrier: bool) -> Vec<Trunk> {
    let carrier = if has_carrier { vec![CarrierHost::FIRST, CarrierHost::SECOND] } else { Vec::new() };
    let addresses = far_ends.iter().map(|far_end| far_end.address).chain(carrier);
    let mut trunks: Vec<Trunk> =
        (1..).zip(addresses).map(|(number, address)| draw_trunk(random, number, address)).collect();
    if random.below(6) == 0 {
        // Two trunks that one carrier may call by.
        let address = far_ends[habits::pick(random, far_ends.len())].address;
        let number = u8::try_from(trunks.len() + 1).unwrap();
        trunks.push(draw_trunk(random, number, address));
    }
    let count = u64::try_from(trunks.len()).unwrap();
    for trunk in &mut trunks {
        let other = 1 + u8::try_from(random.below(count)).unwrap();
        trunk.failover_trunk_id = (random.below(2) == 0).then(|| trunk_id(other));
    }
    trunks
}

fn draw_trunk(random: &mut Seeded, number: u8, address: SocketAddr) -> Trunk {
    let mut trunk = trunk(number, address);
    trunk.account_id = account_id(1 + u8::from(random.below(6) == 0));
    trunk.max_concurrent_calls = 1 + u32::try_from(random.below(15)).unwrap();
    trunk.priority = 1 + u8::try_from(random.below(3)).unwrap();
    trunk.cost_per_minute = Money::from_micros(i64::try_from(random.below(90_000)).unwrap());
    trunk.outbound.progress_timeout = Duration::from_secs(1 + random.below(12));
    trunk.outbound.max_cps = (random.below(5) == 0).then_some(3);
    trunk.outbound.failover_on = vec![404, 484];
    trunk.advanced_config.insert("rtp_timeout".into(), (random.below(3) * 15).into());
    trunk.advanced_config.insert("billing_increment".into(), [1, 6, 30, 60][habits::pick(random, 4)].into());
    let rule = |(to, connect): (&str, Connect)| InboundRule { to: Some(to.parse().unwrap()), from: None, connect };
    trunk.inbound = InboundRouting::new(None, inbound_rules().map(rule).collect(), None);
    match random.below(8) {
        0 => trunk.sip_domain = "carrier.example.com".into(),
        1 => trunk.sip_proxy = Some(address.to_string()),
        2 if random.below(3) == 0 => trunk.sip_domain = NEVER.into(),
        _ => {}
    }
    trunk.advanced_config.insert("options_interval".into(), [0, 30, 1, 0, 5][usize::from(number) % 5].into());
    trunk
}

fn draw_names(random: &mut Seeded, far_ends: &[FarEnd]) -> BTreeMap<String, (u64, tandem_switch::Resolved)> {
    let mut name = |host: &str| {
        let one = |random: &mut Seeded| far_ends[habits::pick(random, far_ends.len())].address.ip();
        let resolved = match random.below(6) {
            0 => Err(ResolveError::Unavailable),
            1 => Ok(vec![one(random), one(random)]),
            _ => Ok(vec![one(random)]),
        };
        (host.to_owned(), (random.below(6_000), resolved))
    };
    BTreeMap::from([name("carrier.example.com"), name("phones.example.com")])
}

fn inbound_rules() -> impl Iterator<Item = (&'static str, Connect)> {
    INBOUND_NUMBERS.iter().filter_map(|(number, _)| Some((*number, inbound_connect(number)?)))
}

/// What callers of that number are connected to.
pub(crate) fn inbound_connect(number: &str) -> Option<Connect> {
    let (_, meets) = INBOUND_NUMBERS.iter().find(|(known, _)| *known == number)?;
    match *meets {
        "echo" => Some(Connect::Echo),
        "play" => Some(Connect::Play { tone: "1000".into() }),
        "sip" => Some(Connect::Sip { uri: "sip:desk@phones.example.com".into() }),
        "number" => Some(Connect::Number { number: "+12025550100".parse().unwrap() }),
        "forward" => Some(Connect::Forward),
        _ => None,
    }
}

/// The numbers that far ends call, and what they meet there. One is forwarded that the simulated carrier has too.
pub(crate) const INBOUND_NUMBERS: [(&str, &str); 7] = [
    ("+12025550181", "echo"),
    ("+12025550182", "play"),
    ("+12025550183", "sip"),
    ("+12025550184", "number"),
    ("+12025550100", "forward"),
    ("+12025550186", "forward"),
    ("+12025550187", "nobody"),
];
/// At the simulated carrier.
pub(crate) const BUSY: &str = "+12025550102";
pub(crate) const RINGS_FOR_EVER: &str = "+12025550103";
/// The numbers that we call: those of the simulated carrier, which other far ends take as any.
pub(crate) const CALLED_BY_US: [&str; 10] = [
    "+12025550100",
    "+12025550100",
    "+12025550101",
    BUSY,
    RINGS_FOR_EVER,
    "+12025550104",
    "+12025550105",
    "+12025550106",
    "+12025550109",
    "+12025550186",
];
