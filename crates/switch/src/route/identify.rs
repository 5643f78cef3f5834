use super::sources::{Match, Sources};
use super::table::{RouteTable, RoutedTrunk};
use std::net::SocketAddr;
use std::sync::Arc;
use tandem_model::{AccountId, CallDirection, Closeness, Identified, IdentifiedBy};

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

/// Finds the trunk by which a call comes in, and never guesses: by direction, source, Request-URI and called number, in this order.
///
/// `named` are the addresses that host names of trunks stand for now.
pub(crate) fn identify(table: &RouteTable, named: &Sources, invited: &Invited) -> Identification {
    let mut steps = Vec::new();
    let mut trunks = match by_source(table, named, invited.source) {
        Ok((how, trunks)) => {
            let (by, matched) = match how {
                Match::Target(target) => (IdentifiedBy::Target, target.to_string()),
                Match::Range(range) => (IdentifiedBy::AllowedIps, range.to_string()),
            };
            steps.push(step(by, matched, &trunks));
            trunks
        }
        Err(outbound_only) if outbound_only.is_empty() => return Identification::Stranger,
        Err(outbound_only) => return Identification::OutboundOnly(outbound_only),
    };
    if trunks.len() > 1 {
        let named = |trunk: &RoutedTrunk| {
            trunk.trunk.sip_domain.eq_ignore_ascii_case(&invited.host) || trunk.trunk.sip_username == invited.user
        };
        narrow(&mut trunks, named, IdentifiedBy::RequestUri, &format!("{}@{}", invited.user, invited.host), &mut steps);
    }
    if trunks.len() > 1 {
        by_called_number(table, &mut trunks, invited, &mut steps);
    }
    match <[_; 1]>::try_from(trunks) {
        Ok([trunk]) => Identification::Trunk(trunk, steps),
        Err(trunks) => Identification::Ambiguous(trunks, steps),
    }
}

/// The trunks of the closest group that agrees with the source and has any that takes calls.
///
/// # Errors
/// Those that agree but take no calls; empty for a stranger.
fn by_source(table: &RouteTable, named: &Sources, source: SocketAddr) -> Result<(Match, Trunks), Trunks> {
    let mut groups: Vec<_> = table.sources().matching(source).chain(named.matching(source)).collect();
    groups.sort_by_key(|(how, _)| how.distance());
    let mut outbound_only: Vec<Arc<RoutedTrunk>> = Vec::new();
    for of_one_distance in groups.chunk_by(|(one, _), (other, _)| one.distance() == other.distance()) {
        let ids = of_one_distance.iter().flat_map(|(_, trunks)| trunks.iter());
        let mut taking: Vec<Arc<RoutedTrunk>> = Vec::new();
        for trunk in ids.filter_map(|id| table.trunk(*id)) {
            let of_its_kind =
                if trunk.trunk.call_direction == CallDirection::Outbound { &mut outbound_only } else { &mut taking };
            if of_its_kind.len() < MAX_CANDIDATES && of_its_kind.iter().all(|known| known.trunk.id != trunk.trunk.id) {
                of_its_kind.push(Arc::clone(trunk));
            }
        }
        if let (Some((how, _)), false) = (of_one_distance.first(), taking.is_empty()) {
            return Ok((*how, taking));
        }
    }
    Err(outbound_only)
}

/// Keeps the trunks whose rules name the number, or whose account has it: whole, if any does; else those with a pattern, else those with a default. Among trunks
/// of one account the closest pattern wins; between accounts only a whole number decides, for a pattern may be anybody's.
fn by_called_number(
    table: &RouteTable,
    trunks: &mut Vec<Arc<RoutedTrunk>>,
    invited: &Invited,
    steps: &mut Vec<Identified>,
) {
    let closeness = |trunk: &RoutedTrunk| {
        let rules = &trunk.trunk.inbound;
        let called = rules.normalised(&invited.user);
        match table.number(&trunk.trunk, &called) {
            // As close as a rule for it, and no closer: that an account has put down a number does not make another's rule void.
            Some(_) => Some(Closeness::Exact),
            None => rules.names(&called, &rules.normalised(&invited.from_user)),
        }
    };
    let closest = trunks.iter().filter_map(|trunk| closeness(trunk)).max();
    let is_of_one_account = accounts_of(trunks).len() == 1;
    let keeps = |trunk: &RoutedTrunk| match closest {
        Some(closest) if is_of_one_account || closest == Closeness::Exact => closeness(trunk) == Some(closest),
        Some(_) => closeness(trunk).is_some(),
        None => trunk.trunk.inbound.default.is_some(),
    };
    narrow(trunks, keeps, IdentifiedBy::CalledNumber, &invited.user, steps);
    // One account is left: what was not decided between accounts can be within it.
    if let (false, Some(closest), 1) = (is_of_one_account, closest, accounts_of(trunks).len()) {
        narrow(trunks, |trunk| closeness(trunk) == Some(closest), IdentifiedBy::CalledNumber, &invited.user, steps);
    }
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

fn step(by: IdentifiedBy, matched: String, trunks: &[Arc<RoutedTrunk>]) -> Identified {
    Identified { by, matched, trunks_left: u32::try_from(trunks.len()).unwrap_or(u32::MAX) }
}

/// Trunks that are compared for one INVITE. Where more name one address, the called number of a call does not tell them apart cheaply
/// enough; what is left then is ambiguous.
const MAX_CANDIDATES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{account, trunk};
    use serde_json::json;
    use tandem_model::{InboundRouting, NumberRoute, Trunk, TrunkId};

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
        let accounts: Vec<_> = (1..=2).map(account).collect();
        RouteTable::new(1, &accounts, trunks).0
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
    fn two_accounts_of_one_carrier_are_told_apart_by_the_called_number() {
        let ours = with(trunk(1, 1), "192.0.2.10", &[], rules(&["+12025550100"]));
        let theirs = with(trunk(2, 2), "192.0.2.10", &[], rules(&["+12025550200", "+1303*"]));
        let (one, two) = (ours.id, theirs.id);
        let table = table(vec![ours, theirs]);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Ok(one));
        assert_eq!(found(&table, "192.0.2.10:5060", "12025550200"), Ok(two));
        assert_eq!(found(&table, "192.0.2.10:5060", "+13035550100"), Ok(two));
        assert_eq!(found(&table, "192.0.2.10:5060", "+14045550100"), Err(2));
    }

    #[test]
    fn a_number_that_an_account_has_names_its_trunks() {
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
        ];
        let table = table(vec![ours, second, theirs]).with_numbers(numbers);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Ok(one));
        assert_eq!(found(&table, "192.0.2.10:5060", "12025550100"), Ok(one));
        assert_eq!(found(&table, "192.0.2.10:5060", "+13035550100"), Ok(one), "a whole number before a pattern");
        assert_eq!(found(&table, "192.0.2.10:5060", "+13035550101"), Ok(three));
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550300"), Err(2), "both name it whole");
        assert_eq!(
            found(&table, "192.0.2.10:5060", "+12025550400"),
            Ok(one),
            "only by its trunk, which is not the one"
        );
    }

    #[test]
    fn between_accounts_only_a_whole_number_decides() {
        let prefix = with(trunk(1, 1), "192.0.2.10", &[], rules(&["+1202*"]));
        let longer = with(trunk(2, 2), "192.0.2.10", &[], rules(&["+1202555*", "+12025550199"]));
        let (_, two) = (prefix.id, longer.id);
        let table = table(vec![prefix, longer]);
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550100"), Err(2));
        assert_eq!(found(&table, "192.0.2.10:5060", "+12025550199"), Ok(two));
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
        let other = with(trunk(2, 2), "192.0.2.10", &[], json!({}));
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
