use super::sources::{Match, Sources};
use super::table::{RouteTable, RoutedTrunk};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tandem_model::{AccountId, Closeness, Identified, IdentifiedBy};

/// What of an INVITE tells who is calling.
#[derive(Clone, Debug)]
pub(crate) struct Invited {
    /// Where it came from.
    pub(crate) source: SocketAddr,
    /// Host of its Request-URI, lower case.
    pub(crate) host: String,
    /// User of its Request-URI: whom it calls.
    pub(crate) user: String,
    /// User of its From: who calls.
    pub(crate) from_user: String,
}

type Trunks = Vec<Arc<RoutedTrunk>>;

/// Which trunk is calling.
#[derive(Debug)]
pub(crate) enum Identification {
    /// No trunk knows that address.
    Stranger,
    /// Trunks know it, but none of them takes calls.
    OutboundOnly(Vec<Arc<RoutedTrunk>>),
    /// More than one trunk may be the one.
    Ambiguous(Vec<Arc<RoutedTrunk>>, Vec<Identified>),
    /// This one.
    Trunk(Arc<RoutedTrunk>, Vec<Identified>),
}

/// Finds the trunk by which a call comes in, and never guesses: whose call it is first, then by source, Request-URI and called number
/// among the trunks of that account.
///
/// `named` are the addresses that host names of trunks stand for now.
pub(crate) fn identify(table: &RouteTable, named: &Sources, invited: &Invited) -> Identification {
    let (taking, outbound_only): (Vec<_>, Vec<_>) =
        agreeing(table, named, invited.source).into_iter().partition(|agreeing| agreeing.trunk.trunk.takes_calls());
    if taking.is_empty() {
        return match distinct(&outbound_only) {
            strangers if strangers.is_empty() => Identification::Stranger,
            trunks => Identification::OutboundOnly(trunks),
        };
    }
    let mut steps = Vec::new();
    let mut trunks = if is_of_one_account(&taking) {
        closest(&taking, &mut steps)
    } else if table.is_shared(invited.source.ip()) {
        of_shared_carrier(table, &taking, invited, &mut steps)
    } else {
        closest(&of_owner(taking, invited.source, &mut steps), &mut steps)
    };
    if trunks.len() > 1 && accounts_of(&trunks).len() == 1 {
        let named = |trunk: &RoutedTrunk| {
            trunk.trunk.sip_domain.eq_ignore_ascii_case(&invited.host) || trunk.trunk.sip_username == invited.user
        };
        narrow(&mut trunks, named, IdentifiedBy::RequestUri, &format!("{}@{}", invited.user, invited.host), &mut steps);
        by_called_number(table, &mut trunks, invited, &mut steps);
    }
    match <[_; 1]>::try_from(trunks) {
        Ok([trunk]) => Identification::Trunk(trunk, steps),
        Err(trunks) => Identification::Ambiguous(trunks, steps),
    }
}

/// A trunk that agrees with the source of a call.
#[derive(Clone, Copy, Debug)]
struct Agreeing<'a> {
    trunk: &'a Arc<RoutedTrunk>,
    how: Match,
    /// Its configuration has the address, as its target or in a range; else a host name of it stands for the address now.
    is_written: bool,
}

impl Agreeing<'_> {
    fn account(&self) -> AccountId {
        self.trunk.trunk.account_id
    }
}

/// The trunks that agree with a source, the closest first. One that does in more than one way is there more than once.
fn agreeing<'a>(table: &'a RouteTable, named: &'a Sources, source: SocketAddr) -> Vec<Agreeing<'a>> {
    let written = table.sources().matching(source).map(|group| (group, true));
    let named = named.matching(source).map(|group| (group, false));
    let mut agreeing: Vec<_> = written
        .chain(named)
        .flat_map(|((how, ids), is_written)| {
            let trunks = ids.iter().filter_map(|id| table.trunk(*id));
            trunks.map(move |trunk| Agreeing { trunk, how, is_written })
        })
        .collect();
    agreeing.sort_by_key(|agreeing| agreeing.how.distance());
    agreeing
}

fn is_of_one_account(agreeing: &[Agreeing<'_>]) -> bool {
    agreeing.windows(2).all(|pair| matches!(pair, [one, other] if one.account() == other.account()))
}

/// Those of the one account that calls from the source belong to. An address that is written down counts before one that a name stands
/// for, as anybody can have a name stand for any address; then the older trunk, so that nobody takes what somebody has by coming later.
fn of_owner<'a>(mut agreeing: Vec<Agreeing<'a>>, source: SocketAddr, steps: &mut Vec<Identified>) -> Vec<Agreeing<'a>> {
    let by_age = |agreeing: &&Agreeing<'_>| {
        let trunk = &agreeing.trunk.trunk;
        (!agreeing.is_written, trunk.created_at, trunk.id)
    };
    if let Some(owner) = agreeing.iter().min_by_key(by_age).map(Agreeing::account) {
        agreeing.retain(|agreeing| agreeing.account() == owner);
        steps.push(step(IdentifiedBy::Account, source.ip().to_canonical().to_string(), &distinct(&agreeing)));
    }
    agreeing
}

/// The closest group of trunks of one account.
fn closest(agreeing: &[Agreeing<'_>], steps: &mut Vec<Identified>) -> Trunks {
    let Some(Agreeing { how, .. }) = agreeing.first() else { return Trunks::new() };
    let trunks = distinct(closest_of(agreeing));
    steps.push(by_source(*how, &trunks));
    trunks
}

/// Those that are as close as the first.
fn closest_of<'s, 'a>(agreeing: &'s [Agreeing<'a>]) -> &'s [Agreeing<'a>] {
    agreeing.chunk_by(|one, other| one.how.distance() == other.how.distance()).next().unwrap_or_default()
}

/// The closest group of each account, for a range of one that is longer than another's says nothing; and of these the trunks of the
/// account whose number is called. Only a whole number tells between accounts: one that an account has put down, which no other can
/// have, before one in its rules.
fn of_shared_carrier(
    table: &RouteTable,
    agreeing: &[Agreeing<'_>],
    invited: &Invited,
    steps: &mut Vec<Identified>,
) -> Trunks {
    let mut accounts: BTreeMap<AccountId, Vec<Agreeing<'_>>> = BTreeMap::new();
    for one in agreeing {
        accounts.entry(one.account()).or_default().push(*one);
    }
    let mut closest: Vec<&[Agreeing<'_>]> = accounts.values().map(|of_account| closest_of(of_account)).collect();
    let matched = |groups: &[&[Agreeing<'_>]], by, matched: String| {
        let left: usize = groups.iter().map(|group| distinct(group).len()).sum();
        Identified { by, matched, trunks_left: u32::try_from(left).unwrap_or(u32::MAX) }
    };
    // The range of one account is nothing to show to another.
    let is_target = closest.iter().all(|group| matches!(group, [Agreeing { how: Match::Target(_), .. }, ..]));
    let (by, source) = match is_target {
        true => (IdentifiedBy::Target, invited.source.to_string()),
        false => (IdentifiedBy::AllowedIps, invited.source.ip().to_canonical().to_string()),
    };
    steps.push(matched(&closest, by, source));

    let is_put_down =
        |trunk: &RoutedTrunk| table.has_number(trunk.trunk.account_id, &trunk.trunk.inbound.normalised(&invited.user));
    let is_in_rules = |trunk: &RoutedTrunk| {
        let rules = &trunk.trunk.inbound;
        let names = rules.names(&rules.normalised(&invited.user), &rules.normalised(&invited.from_user));
        names == Some(Closeness::Exact)
    };
    let tests: [&dyn Fn(&RoutedTrunk) -> bool; 2] = [&is_put_down, &is_in_rules];
    for test in tests {
        let is_named = |group: &&[Agreeing<'_>]| group.iter().any(|agreeing| test(agreeing.trunk));
        let named: Vec<_> = closest.iter().copied().filter(is_named).collect();
        if (1..closest.len()).contains(&named.len()) {
            closest = named;
            steps.push(matched(&closest, IdentifiedBy::CalledNumber, invited.user.clone()));
        }
    }
    closest.into_iter().flat_map(distinct).collect()
}

/// The trunks, each once.
fn distinct(agreeing: &[Agreeing<'_>]) -> Trunks {
    let mut trunks: Vec<_> = agreeing.iter().map(|agreeing| agreeing.trunk).collect();
    trunks.sort_unstable_by_key(|trunk| trunk.trunk.id);
    trunks.dedup_by_key(|trunk| trunk.trunk.id);
    trunks.into_iter().take(MAX_CANDIDATES).map(Arc::clone).collect()
}

/// Keeps the trunks of one account whose rules name the number, or for which the account has put it down: the closest, a whole number
/// before a pattern; where none names it, those with a default.
fn by_called_number(
    table: &RouteTable,
    trunks: &mut Vec<Arc<RoutedTrunk>>,
    invited: &Invited,
    steps: &mut Vec<Identified>,
) {
    if trunks.len() < 2 {
        return;
    }
    let closeness = |trunk: &RoutedTrunk| {
        let rules = &trunk.trunk.inbound;
        let called = rules.normalised(&invited.user);
        match table.number(&trunk.trunk, &called) {
            // As close as a rule for it, and no closer.
            Some(_) => Some(Closeness::Exact),
            None => rules.names(&called, &rules.normalised(&invited.from_user)),
        }
    };
    let closest = trunks.iter().filter_map(|trunk| closeness(trunk)).max();
    let keeps = |trunk: &RoutedTrunk| match closest {
        Some(_) => closeness(trunk) == closest,
        None => trunk.trunk.inbound.default.is_some(),
    };
    narrow(trunks, keeps, IdentifiedBy::CalledNumber, &invited.user, steps);
}

/// Keeps the trunks that agree, if any does and not all do.
fn narrow(
    trunks: &mut Vec<Arc<RoutedTrunk>>,
    agrees: impl Fn(&RoutedTrunk) -> bool,
    by: IdentifiedBy,
    matched: &str,
    steps: &mut Vec<Identified>,
) {
    let agreeing = trunks.iter().filter(|trunk| agrees(trunk)).count();
    if (1..trunks.len()).contains(&agreeing) {
        trunks.retain(|trunk| agrees(trunk));
        steps.push(step(by, matched.to_owned(), trunks));
    }
}

/// The accounts of some trunks, each once.
pub(crate) fn accounts_of(trunks: &[Arc<RoutedTrunk>]) -> Vec<AccountId> {
    let mut accounts: Vec<AccountId> = trunks.iter().map(|trunk| trunk.trunk.account_id).collect();
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}

fn by_source(how: Match, trunks: &[Arc<RoutedTrunk>]) -> Identified {
    match how {
        Match::Target(target) => step(IdentifiedBy::Target, target.to_string(), trunks),
        Match::Range(range) => step(IdentifiedBy::AllowedIps, range.to_string(), trunks),
    }
}

fn step(by: IdentifiedBy, matched: String, trunks: &[Arc<RoutedTrunk>]) -> Identified {
    Identified { by, matched, trunks_left: u32::try_from(trunks.len()).unwrap_or(u32::MAX) }
}

/// Trunks of one account that are compared for one INVITE. Where more name one address, the called number of a call does not tell them
/// apart cheaply enough; what is left then is ambiguous.
const MAX_CANDIDATES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{account, trunk};
    use ipnet::IpNet;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeSet;
    use tandem_model::{AddressRanges, CallDirection, InboundRouting, NumberRoute, Timestamp, Trunk, TrunkId};

    fn with(base: Trunk, domain: &str, allowed: &[&str], inbound: serde_json::Value) -> Trunk {
        let parsed: InboundRouting = serde_json::from_value(inbound).unwrap();
        Trunk {
            sip_domain: domain.to_owned(),
            allowed_ips: allowed.iter().map(|range| range.parse().unwrap()).collect(),
            inbound: InboundRouting::new(parsed.country_code, parsed.rules, parsed.default),
            ..base
        }
    }

    fn table(trunks: Vec<Trunk>) -> RouteTable {
        let accounts: Vec<_> = (1..=4).map(account).collect();
        RouteTable::new(1, &accounts, trunks).0
    }

    /// The same where calls for several accounts may come from all addresses that the tests use.
    fn shared(trunks: Vec<Trunk>) -> RouteTable {
        let carriers: Vec<IpNet> = ["192.0.2.0/24", "2001:db8::/32"].map(|range| range.parse().unwrap()).into();
        table(trunks).with_shared_carriers(AddressRanges::new(&carriers))
    }

    /// A trunk made so many seconds after the first.
    fn made_at(second: i64, base: Trunk) -> Trunk {
        Trunk { created_at: Timestamp::from_unix_micros(second * 1_000_000), ..base }
    }

    fn invited(source: &str, user: &str) -> Invited {
        Invited {
            source: source.parse().unwrap(),
            host: "203.0.113.5".to_owned(),
            user: user.to_owned(),
            from_user: "+4930901820".to_owned(),
        }
    }

    fn found(table: &RouteTable, source: &str, user: &str) -> Result<TrunkId, usize> {
        match identify(table, &Sources::default(), &invited(source, user)) {
            Identification::Trunk(trunk, _) => Ok(trunk.trunk.id),
            Identification::Ambiguous(trunks, _) => Err(trunks.len()),
            Identification::Stranger => Err(0),
            Identification::OutboundOnly(trunks) => Err(1_000 + trunks.len()),
        }
    }

    fn rules(to: &[&str]) -> serde_json::Value {
        let rules: Vec<_> = to.iter().map(|to| json!({"to": to, "connect": {"type": "echo"}})).collect();
        json!({ "rules": rules })
    }

    #[test]
    fn the_exact_target_comes_before_ranges_and_the_longest_range_before_others() {
        let exact = with(trunk(1, 1), "192.0.2.10", &[], json!({}));
        let host = with(trunk(2, 1), "192.0.2.99", &["192.0.2.10/32"], json!({}));
        let wide = with(trunk(3, 2), "192.0.2.98", &["192.0.0.0/16"], json!({}));
        let (one, two, three) = (exact.id, host.id, wide.id);
        let table = table(vec![exact, host, wide]);
        assert_eq!(found(&table, "192.0.2.10:5060", "x"), Ok(one));
        // From another port the target counts as a range of one, as the other's does.
        assert_eq!(found(&table, "192.0.2.10:40000", "x"), Err(2));
        assert_eq!(found(&table, "192.0.2.99:1", "x"), Ok(two));
        assert_eq!(found(&table, "192.0.3.1:5060", "x"), Ok(three));
        assert_eq!(found(&table, "198.51.100.1:5060", "x"), Err(0));
        assert_eq!(found(&table, "[::ffff:192.0.2.10]:5060", "x"), Ok(one));
    }

    #[test]
    fn a_range_that_is_too_wide_identifies_nobody() {
        let everybody = with(trunk(1, 1), "192.0.2.10", &["0.0.0.0/0", "::/0"], json!({}));
        let table = table(vec![everybody]);
        assert_eq!(found(&table, "198.51.100.1:5060", "x"), Err(0));
        assert_eq!(found(&table, "[2001:db8::1]:5060", "x"), Err(0));
    }

    #[test]
    fn two_accounts_of_a_shared_carrier_are_told_apart_by_the_called_number() {
        let ours = with(trunk(1, 1), "192.0.2.10", &[], rules(&["+12025550100"]));
        let theirs = with(trunk(2, 2), "192.0.2.10", &[], rules(&["+12025550200", "+1303*"]));
        let (one, two) = (ours.id, theirs.id);
        let table = shared(vec![ours, theirs]);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Ok(one));
        assert_eq!(found(&table, "192.0.2.10:5060", "12025550200"), Ok(two));
        assert_eq!(found(&table, "192.0.2.10:5060", "+13035550100"), Err(2), "a pattern may be anybody's");
        assert_eq!(found(&table, "192.0.2.10:5060", "+14045550100"), Err(2));
        let invited = invited("192.0.2.10:5060", "+12025550100");
        let Identification::Trunk(_, steps) = identify(&table, &Sources::default(), &invited) else {
            panic!("it is ours")
        };
        let steps: Vec<_> = steps.iter().map(|step| (step.by, step.trunks_left)).collect();
        assert_eq!(steps, [(IdentifiedBy::Target, 2), (IdentifiedBy::CalledNumber, 1)]);
    }

    #[test]
    fn a_number_that_an_account_has_put_down_is_its_own_on_a_shared_carrier() {
        let ours = with(trunk(1, 1), "192.0.2.10", &[], json!({"default": {"type": "echo"}}));
        let second = with(trunk(2, 1), "192.0.2.11", &["192.0.2.10/32"], json!({}));
        let theirs = with(trunk(3, 2), "192.0.2.10", &[], rules(&["+12025550300", "+1303*"]));
        let (one, three) = (ours.id, theirs.id);
        let number = |number: &str, account, trunk_id| NumberRoute {
            number: number.parse().unwrap(),
            account_id: crate::route::tests::account(account).id,
            trunk_id,
            connect: tandem_model::Connect::Echo,
        };
        let numbers = [
            number("+12025550100", 1, None),
            number("+13035550100", 1, Some(one)),
            number("+12025550300", 1, None),
            number("+12025550400", 1, Some(second.id)),
            number("+12025550500", 2, None),
        ];
        let table = shared(vec![ours, second, theirs]).with_numbers(numbers);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Ok(one));
        assert_eq!(found(&table, "192.0.2.10:5060", "12025550100"), Ok(one));
        assert_eq!(found(&table, "192.0.2.10:5060", "+13035550100"), Ok(one), "before a pattern of the other");
        assert_eq!(found(&table, "192.0.2.10:5060", "+13035550101"), Err(2), "a pattern and a default");
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550300"), Ok(one), "before a rule of the other for it");
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550400"), Ok(one), "whichever trunk it is put down for");
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550500"), Ok(three), "a default is no number");
    }

    #[test]
    fn between_accounts_only_a_whole_number_decides() {
        let prefix = with(trunk(1, 1), "192.0.2.10", &[], rules(&["+1202*"]));
        let longer = with(trunk(2, 2), "192.0.2.10", &[], rules(&["+1202555*", "+12025550199"]));
        let (_, two) = (prefix.id, longer.id);
        let table = shared(vec![prefix, longer]);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Err(2));
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550199"), Ok(two));
    }

    #[test]
    fn on_a_shared_carrier_neither_a_longer_range_nor_a_target_nor_a_user_takes_calls_of_another_account() {
        let ours = with(trunk(1, 1), "192.0.2.200", &["192.0.2.0/28"], rules(&["+12025550100"]));
        let ours_id = ours.id;
        let named_like_the_call =
            Trunk { sip_username: "+12025550100".into(), ..with(trunk(2, 2), "192.0.2.10", &[], json!({})) };
        let exact = with(trunk(3, 3), "203.0.113.5", &["192.0.2.10/32"], json!({"default": {"type": "echo"}}));
        let table = shared(vec![ours, named_like_the_call, exact]);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Ok(ours_id));
        let Identification::Ambiguous(trunks, steps) =
            identify(&table, &Sources::default(), &invited("192.0.2.10:5060", "+12025550199"))
        else {
            panic!("nobody has the number")
        };
        assert_eq!((trunks.len(), steps.len()), (3, 1));
        assert_eq!(
            (steps[0].by, steps[0].matched.as_str()),
            (IdentifiedBy::AllowedIps, "192.0.2.10"),
            "nobody's range"
        );
    }

    #[test]
    fn within_one_account_of_a_shared_carrier_its_own_closest_trunk_takes_the_call() {
        let wide = with(trunk(1, 1), "192.0.2.200", &["192.0.2.0/24"], rules(&["+12025550100"]));
        let close = with(trunk(2, 1), "192.0.2.10", &[], rules(&["+12025550100"]));
        let other = with(trunk(3, 2), "192.0.2.10", &[], json!({"default": {"type": "echo"}}));
        let two = close.id;
        let table = shared(vec![wide, close, other]);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Ok(two));
    }

    #[test]
    fn who_comes_later_takes_no_call_from_an_address_that_is_not_shared() {
        let victim = || made_at(1, with(trunk(1, 1), "192.0.2.10", &["192.0.2.0/28"], rules(&["+1202*"])));
        let longer = with(trunk(2, 2), "203.0.113.5", &["192.0.2.12/32"], json!({"default": {"type": "echo"}}));
        let target = with(trunk(3, 2), "192.0.2.12", &[], json!({"default": {"type": "echo"}}));
        let number = with(trunk(4, 2), "203.0.113.5", &["192.0.2.0/28"], rules(&["+12025550100"]));
        let default = with(trunk(5, 2), "203.0.113.5", &["192.0.2.0/28"], json!({"default": {"type": "echo"}}));
        let user = Trunk {
            sip_username: "+12025550100".into(),
            ..with(trunk(6, 2), "203.0.113.5", &["192.0.2.0/28"], json!({}))
        };
        for attacker in [longer, target, number, default, user] {
            let later = attacker.id;
            let table = table(vec![victim(), made_at(2, attacker)]);
            let invited = invited("192.0.2.12:5060", "+12025550100");
            let Identification::Trunk(trunk, steps) = identify(&table, &Sources::default(), &invited) else {
                panic!("{later} makes it nobody's call")
            };
            assert_eq!(trunk.trunk.id, victim().id, "{later}");
            let steps: Vec<_> = steps.iter().map(|step| (step.by, step.matched.as_str(), step.trunks_left)).collect();
            let range = (IdentifiedBy::AllowedIps, "192.0.2.0/28", 1);
            assert_eq!(steps, [(IdentifiedBy::Account, "192.0.2.12", 1), range], "{later}");
        }
    }

    #[test]
    fn an_address_that_is_written_down_counts_before_a_name_and_among_names_the_older_trunk() {
        let by_name = |number, account| {
            made_at(i64::from(number), with(trunk(number, account), "sip.example.com", &[], json!({})))
        };
        let written = made_at(9, with(trunk(9, 3), "203.0.113.5", &["192.0.2.0/24"], json!({})));
        let (one, two, nine) = (by_name(1, 1), by_name(2, 2), written.id);
        let mut named = Sources::default();
        named.add_target(one.id, "192.0.2.10:5060".parse().unwrap());
        named.add_target(two.id, "192.0.2.10:5060".parse().unwrap());
        let whose = |trunks| {
            let found = identify(&table(trunks), &named, &invited("192.0.2.10:5060", "x"));
            let Identification::Trunk(trunk, _) = found else { panic!("an address has an owner: {found:?}") };
            trunk.trunk.id
        };
        assert_eq!(whose(vec![two.clone(), one.clone()]), one.id);
        assert_eq!(whose(vec![one, two, written]), nine);
    }

    #[test]
    fn a_trunk_that_takes_no_calls_makes_no_address_its_account_s() {
        let outbound = made_at(1, with(trunk(1, 1), "192.0.2.10", &[], json!({})));
        let outbound = Trunk { call_direction: CallDirection::Outbound, ..outbound };
        let taking = made_at(2, with(trunk(2, 2), "203.0.113.5", &["192.0.2.0/28"], json!({})));
        let later = made_at(3, with(trunk(3, 3), "192.0.2.10", &[], json!({})));
        let two = taking.id;
        assert_eq!(found(&table(vec![outbound, taking, later]), "192.0.2.10:5060", "x"), Ok(two));
    }

    fn any_trunk(number: u8) -> impl Strategy<Value = Trunk> {
        let host = prop::sample::select(vec!["192.0.2.1", "192.0.2.2", "198.51.100.1", "sip.example.com"]);
        let ranges = vec!["192.0.2.0/24", "192.0.2.0/30", "192.0.2.1/32", "192.0.0.0/16", "198.51.100.0/24"];
        let ranges = prop::collection::vec(prop::sample::select(ranges), 0..3);
        let to = vec!["+12025550100", "+12025550200", "+1202*", "*"];
        let to = prop::collection::vec(prop::sample::select(to), 0..3);
        let user = prop::sample::select(vec!["tandem", "+12025550100"]);
        (1u8..=4, host, ranges, to, user, any::<bool>(), 0u8..5).prop_map(
            move |(account, host, ranges, to, user, has_default, outbound)| {
                let mut inbound = rules(&to);
                if has_default {
                    inbound["default"] = json!({"type": "echo"});
                }
                let direction = if outbound == 0 { CallDirection::Outbound } else { CallDirection::Bidirectional };
                let made = made_at(i64::from(number), with(trunk(number, account), host, &ranges, inbound));
                Trunk { sip_username: user.to_owned(), call_direction: direction, ..made }
            },
        )
    }

    fn any_trunks() -> impl Strategy<Value = Vec<Trunk>> {
        (1u8..6).prop_flat_map(|count| (0..count).map(any_trunk).collect::<Vec<_>>())
    }

    /// Whose call it is; nobody's if it is refused, and then it must be of one account for all that.
    fn whose(table: &RouteTable, invited: &Invited) -> BTreeSet<AccountId> {
        match identify(table, &Sources::default(), invited) {
            Identification::Trunk(trunk, _) => BTreeSet::from([trunk.trunk.account_id]),
            Identification::Ambiguous(trunks, _) => accounts_of(&trunks).into_iter().collect(),
            Identification::Stranger | Identification::OutboundOnly(_) => BTreeSet::new(),
        }
    }

    proptest! {
        #[test]
        fn a_call_from_an_address_that_is_not_shared_is_one_account_s_whoever_comes_later(
            trunks in any_trunks(),
            later in any_trunk(9),
            source in prop::sample::select(vec!["192.0.2.1:5060", "192.0.2.2:40000", "192.0.9.9:5060", "198.51.100.1:5060"]),
            user in prop::sample::select(vec!["+12025550100", "+12025550200", "12025550300", "support"]),
        ) {
            let invited = invited(source, user);
            let before = whose(&table(trunks.clone()), &invited);
            prop_assert!(before.len() <= 1, "{:?}", before);
            let with_later = table(trunks.into_iter().chain([later]).collect());
            let after = whose(&with_later, &invited);
            prop_assert!(after.len() <= 1, "{:?}", after);
            if !before.is_empty() {
                prop_assert_eq!(&after, &before);
            }
            // As an IPv4-mapped address of a socket of both families, too.
            let address: SocketAddr = source.parse().unwrap();
            let mapped = format!("[::ffff:{}]:{}", address.ip(), address.port());
            prop_assert_eq!(whose(&with_later, &Invited { source: mapped.parse().unwrap(), ..invited }), after);
        }

        #[test]
        fn on_a_shared_carrier_a_later_trunk_without_the_number_takes_no_call(
            trunks in any_trunks(),
            later in any_trunk(9),
            source in prop::sample::select(vec!["192.0.2.1:5060", "192.0.2.2:40000"]),
        ) {
            // Nobody's rules name it whole; the first account has put it down.
            let invited = invited(source, "+12025550300");
            let number = NumberRoute {
                number: "+12025550300".parse().unwrap(),
                account_id: account(1).id,
                trunk_id: None,
                connect: tandem_model::Connect::Echo,
            };
            let is_known = trunks.iter().any(|trunk| {
                let alone = whose(&shared(vec![trunk.clone()]), &invited);
                alone == BTreeSet::from([account(1).id])
            });
            let all = shared(trunks.into_iter().chain([later]).collect()).with_numbers([number]);
            if is_known {
                prop_assert_eq!(whose(&all, &invited), BTreeSet::from([account(1).id]));
            }
        }
    }

    #[test]
    fn within_an_account_the_closest_pattern_decides() {
        let prefix = with(trunk(1, 1), "192.0.2.10", &[], rules(&["+1202*"]));
        let longer = with(trunk(2, 1), "192.0.2.10", &[], rules(&["+1202555*"]));
        let two = longer.id;
        let table = table(vec![prefix, longer]);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Ok(two));
    }

    #[test]
    fn the_request_uri_names_the_trunk_by_its_domain_or_its_user() {
        let by_user = Trunk { sip_username: "agent7".into(), ..with(trunk(1, 1), "192.0.2.10", &[], json!({})) };
        let other = with(trunk(2, 1), "192.0.2.10", &[], json!({}));
        let one = by_user.id;
        let table = table(vec![by_user, other]);
        assert_eq!(found(&table, "192.0.2.10:5060", "agent7"), Ok(one));
        assert_eq!(found(&table, "192.0.2.10:5060", "agent8"), Err(2));
    }

    #[test]
    fn a_trunk_that_takes_no_calls_does_not_stand_in_the_way() {
        let outbound =
            Trunk { call_direction: CallDirection::Outbound, ..with(trunk(1, 1), "192.0.2.10", &[], json!({})) };
        let taking = with(trunk(2, 2), "192.0.2.77", &["192.0.2.0/24"], json!({}));
        let two = taking.id;
        assert_eq!(found(&table(vec![outbound.clone(), taking]), "192.0.2.10:5060", "x"), Ok(two));
        assert_eq!(found(&table(vec![outbound]), "192.0.2.10:5060", "x"), Err(1_001));
    }

    #[test]
    fn addresses_of_a_name_count_once_they_are_known() {
        let by_name = with(trunk(1, 1), "sip.example.com", &[], json!({}));
        let id = by_name.id;
        let table = table(vec![by_name]);
        let mut named = Sources::default();
        assert!(matches!(identify(&table, &named, &invited("192.0.2.10:5060", "x")), Identification::Stranger));
        named.add_target(id, "192.0.2.10:5060".parse().unwrap());
        let Identification::Trunk(trunk, steps) = identify(&table, &named, &invited("192.0.2.10:5060", "x")) else {
            panic!("a name leads to its addresses")
        };
        assert_eq!((trunk.trunk.id, steps[0].by), (id, IdentifiedBy::Target));
    }
}
