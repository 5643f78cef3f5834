//! What rules find in the figures that they are given: pure, and only of what was measured.

use super::judge::{Place, Standing, share_above, share_below};
use crate::Readiness;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tandem_model::{
    AccountId, AccountLoad, AlertRule, AlertSettings, AlertThresholds, HangupCause, LegTraffic, Money, NodeId,
    Timestamp, Traffic, TrunkId, TrunkLoad, TrunkPlace,
};
use tandem_store::RecentTraffic;

/// What was found of a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) place: Place,
    pub(super) standing: Standing,
    pub(super) threshold: u32,
    /// What was found, for people; empty unless it is beyond the threshold.
    pub(super) summary: String,
    /// The same for programs.
    pub(super) measured: Map<String, Value>,
}

/// What accounts want to be told of.
pub(super) struct Wishes<'a>(pub(super) &'a HashMap<AccountId, AlertSettings>);

impl Wishes<'_> {
    /// How a rule goes for an account.
    pub(super) fn of(&self, account: AccountId, rule: AlertRule) -> AlertThresholds {
        self.0.get(&account).map_or_else(|| AlertSettings::default().of(rule), |settings| settings.of(rule))
    }

    fn wanted(&self, account: AccountId, rule: AlertRule) -> Option<AlertThresholds> {
        Some(self.of(account, rule)).filter(|thresholds| thresholds.enabled)
    }
}

/// How full trunks are, and whether their probes have answers.
pub(super) fn of_trunks(loads: &[TrunkLoad], wishes: &Wishes<'_>) -> Vec<Reading> {
    let mut readings = Vec::new();
    for load in loads {
        let subject = trunk_subject(load.id);
        if let Some(wanted) = wishes.wanted(load.account_id, AlertRule::TrunkUtilisation).filter(|_| load.max > 0) {
            let standing = share_above(load.active.into(), load.max.into(), wanted.threshold);
            let place = place(load.account_id, AlertRule::TrunkUtilisation, &subject);
            readings.push(reading(place, standing, wanted, || {
                let percent = percent(load.active.into(), load.max.into());
                let summary = format!("The trunk {:?} carries {} of its {} calls.", load.name, load.active, load.max);
                (summary, json!({"active_calls": load.active, "max_calls": load.max, "percent": percent}))
            }));
        }
        let wanted = wishes.wanted(load.account_id, AlertRule::ProbesFailing);
        if let (Some(wanted), Some(failed)) = (wanted, load.failed_probes) {
            let standing = match failed {
                0 => Standing::Clear,
                failed if failed >= wanted.threshold => Standing::Over,
                _ => Standing::Between,
            };
            let place = place(load.account_id, AlertRule::ProbesFailing, &subject);
            readings.push(reading(place, standing, wanted, || {
                let summary = format!("{failed} probes of the trunk {:?} in a row had no good answer.", load.name);
                (summary, json!({"failed_probes": failed, "health_status": load.health}))
            }));
        }
    }
    readings
}

/// How full accounts are.
pub(super) fn of_accounts(loads: &[AccountLoad], wishes: &Wishes<'_>) -> Vec<Reading> {
    let mut readings = Vec::new();
    for load in loads.iter().filter(|load| load.max > 0) {
        let Some(wanted) = wishes.wanted(load.id, AlertRule::AccountUtilisation) else { continue };
        let standing = share_above(load.active.into(), load.max.into(), wanted.threshold);
        let place = place(load.id, AlertRule::AccountUtilisation, &format!("accounts/{}", load.id));
        readings.push(reading(place, standing, wanted, || {
            let percent = percent(load.active.into(), load.max.into());
            let summary = format!("The account has {} of its {} calls.", load.active, load.max);
            (summary, json!({"active_calls": load.active, "max_calls": load.max, "percent": percent}))
        }));
    }
    readings
}

/// How many of the attempts over each trunk were answered. Where there were too few, nothing is found.
pub(super) fn of_success(recent: &[RecentTraffic], names: &Names, wishes: &Wishes<'_>) -> Vec<Reading> {
    let mut readings = Vec::new();
    for RecentTraffic { account, trunk, answered, failed, .. } in recent {
        let Some(wanted) = wishes.wanted(*account, AlertRule::SuccessRate) else { continue };
        let attempts = answered.saturating_add(*failed);
        if attempts == 0 || attempts < u64::from(wanted.minimum) {
            continue;
        }
        let standing = share_below(*answered, attempts, wanted.threshold);
        let place = place(*account, AlertRule::SuccessRate, &trunk_subject(*trunk));
        readings.push(reading(place, standing, wanted, || {
            let name = names.of(*trunk);
            let summary = format!(
                "Of the last {attempts} attempts over the trunk {name} within 15 minutes {answered} were answered."
            );
            (summary, json!({"attempts": attempts, "answered": answered, "percent": percent(*answered, attempts)}))
        }));
    }
    readings
}

/// Whether the last hour of an account has cost enough to be told of, so that it matters what an hour usually costs.
pub(super) fn may_be_a_spike(account: AccountId, cost: Money, wishes: &Wishes<'_>) -> bool {
    wishes.wanted(account, AlertRule::CostSpike).is_some_and(|wanted| cost.micros() > least_cost(wanted))
}

/// In millionths of a unit of the currency.
fn least_cost(wanted: AlertThresholds) -> i64 {
    i64::from(wanted.minimum).saturating_mul(MICROS)
}

/// What the calls of an account cost in the last hour, against what an hour usually costs: the median of those hours of the last week
/// that cost anything. Without enough of them nobody knows what is usual, and only what is below the least amount is known to be no spike.
pub(super) fn of_cost(
    account: AccountId,
    cost: Money,
    hours: &[Money],
    currency: &str,
    wishes: &Wishes<'_>,
) -> Option<Reading> {
    let wanted = wishes.wanted(account, AlertRule::CostSpike)?;
    let least = least_cost(wanted);
    let baseline = median(hours);
    let standing = if cost.micros() <= least {
        Standing::Clear
    } else {
        let mark = baseline?.micros().saturating_mul(wanted.threshold.into()).max(least);
        if cost.micros() > mark {
            Standing::Over
        } else if cost.micros() < mark / 5 * 4 {
            Standing::Clear
        } else {
            Standing::Between
        }
    };
    let place = place(account, AlertRule::CostSpike, &format!("accounts/{account}"));
    Some(reading(place, standing, wanted, || {
        let usual = baseline.unwrap_or(Money::from_micros(0));
        let summary = format!(
            "The calls of the last hour cost {} {currency}; an hour usually costs {}.",
            cost.to_decimal(),
            usual.to_decimal()
        );
        (summary, json!({"cost": amount(cost), "usual_cost": amount(usual), "hours": hours.len()}))
    }))
}

/// How long the oldest record waits for the database, and how long that has been away.
pub(super) fn of_node(
    readiness: &Readiness,
    away_for: Option<Duration>,
    operator: AccountId,
    node: NodeId,
    wishes: &Wishes<'_>,
) -> Vec<Reading> {
    let subject = format!("nodes/{node}");
    let mut readings = Vec::new();
    if let Some(wanted) = wishes.wanted(operator, AlertRule::DatabaseAway) {
        let standing = match away_for {
            None => Standing::Clear,
            Some(away) if away.as_secs() >= wanted.threshold.into() => Standing::Over,
            Some(_) => Standing::Between,
        };
        readings.push(reading(place(operator, AlertRule::DatabaseAway, &subject), standing, wanted, || {
            let seconds = away_for.unwrap_or_default().as_secs();
            let summary = format!("The database has not answered this node for {seconds} s.");
            (summary, json!({"away_seconds": seconds}))
        }));
    }
    if let Some(wanted) = wishes.wanted(operator, AlertRule::JournalBacklog) {
        let seconds = readiness.journal.oldest_unstored_age_ms.unwrap_or(0) / 1_000;
        let standing = if seconds >= wanted.threshold.into() {
            Standing::Over
        } else if seconds < u64::from(wanted.threshold) / 2 {
            Standing::Clear
        } else {
            Standing::Between
        };
        readings.push(reading(place(operator, AlertRule::JournalBacklog, &subject), standing, wanted, || {
            let summary = format!("The oldest record in the journal has waited for the database for {seconds} s.");
            let measured = json!({
                "oldest_unstored_seconds": seconds,
                "backlog_bytes": readiness.journal.backlog_bytes,
                "records_unstored": readiness.live.records_unstored,
            });
            (summary, measured)
        }));
    }
    readings
}

/// What far ends answered within the last minutes, out of counts that only grow.
#[derive(Debug, Default)]
pub(super) struct ProviderErrors {
    /// Of each trunk the counts of earlier moments, the oldest first: the last one from before the window, and those in it.
    trunks: BTreeMap<TrunkId, VecDeque<Sample>>,
}

/// Counts of calls out over a trunk since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    at: Timestamp,
    attempts: u64,
    errors: u64,
}

impl Sample {
    fn of(counted: &LegTraffic, at: Timestamp) -> Self {
        let unanswered: u64 = counted.unanswered.values().sum();
        let errors = counted.unanswered.iter().filter(|(cause, _)| is_of_provider(**cause)).map(|(_, count)| count);
        Self { at, attempts: counted.answered.saturating_add(unanswered), errors: errors.sum() }
    }
}

impl ProviderErrors {
    /// Takes the counts of this moment; gives what was found of each trunk that is counted by itself.
    pub(super) fn look(
        &mut self,
        traffic: &Traffic,
        loads: &[TrunkLoad],
        wishes: &Wishes<'_>,
        now: Timestamp,
    ) -> Vec<Reading> {
        let loads: HashMap<TrunkId, &TrunkLoad> = loads.iter().map(|load| (load.id, load)).collect();
        self.trunks.retain(|id, _| loads.contains_key(id));
        let mut readings = Vec::new();
        for (place_of, counted) in traffic.places() {
            let TrunkPlace::Trunk(id) = place_of else { continue };
            let Some(load) = loads.get(&id) else { continue };
            let newest = Sample::of(&counted.outbound, now);
            let samples = self.trunks.entry(id).or_default();
            while samples.get(1).is_some_and(|next| now.since(next.at) >= WINDOW) {
                samples.pop_front();
            }
            let before = samples.front().copied().unwrap_or(newest);
            if samples.back().is_none_or(|last| now.since(last.at) >= SAMPLE_EVERY) {
                samples.push_back(newest);
            }
            let Some(wanted) = wishes.wanted(load.account_id, AlertRule::ProviderErrors) else { continue };
            let attempts = newest.attempts.saturating_sub(before.attempts);
            let errors = newest.errors.saturating_sub(before.errors);
            let standing = if errors.saturating_mul(2) < u64::from(wanted.minimum) {
                Standing::Clear
            } else {
                match share_above(errors, attempts, wanted.threshold) {
                    Standing::Over if errors < wanted.minimum.into() => Standing::Between,
                    standing @ (Standing::Over | Standing::Between | Standing::Clear) => standing,
                }
            };
            let place = place(load.account_id, AlertRule::ProviderErrors, &trunk_subject(id));
            readings.push(reading(place, standing, wanted, || {
                let summary = format!(
                    "Of the last {attempts} calls out over the trunk {:?} within 15 minutes {errors} were refused by the far end, or it failed.",
                    load.name
                );
                (summary, json!({"attempts": attempts, "errors": errors, "percent": percent(errors, attempts)}))
            }));
        }
        readings
    }
}

/// Whether the carrier and not the callee is to be asked: 401, 402, 403 and 407 (and 603, which has the same cause), 5xx, and no answer.
const fn is_of_provider(cause: HangupCause) -> bool {
    match cause {
        HangupCause::CallRejected
        | HangupCause::AuthenticationFailed
        | HangupCause::NetworkOutOfOrder
        | HangupCause::TemporaryFailure
        | HangupCause::RecoveryOnTimerExpiry => true,
        HangupCause::UnallocatedNumber
        | HangupCause::NoRouteToDestination
        | HangupCause::NormalClearing
        | HangupCause::UserBusy
        | HangupCause::NoUserResponding
        | HangupCause::NoAnswer
        | HangupCause::NumberChanged
        | HangupCause::ExchangeRoutingError
        | HangupCause::InvalidNumberFormat
        | HangupCause::NormalUnspecified
        | HangupCause::NoCircuitAvailable
        | HangupCause::ServiceOrOptionUnavailable
        | HangupCause::ServiceOrOptionNotImplemented
        | HangupCause::IncompatibleDestination
        | HangupCause::Interworking
        | HangupCause::Canceled
        | HangupCause::MaxDuration
        | HangupCause::CreditExhausted
        | HangupCause::MediaTimeout
        | HangupCause::NodeShutdown
        | HangupCause::NodeRestarted
        | HangupCause::Stale
        | HangupCause::ProtocolError => false,
    }
}

/// What trunks are called.
pub(super) struct Names(HashMap<TrunkId, String>);

impl Names {
    pub(super) fn new(loads: &[TrunkLoad]) -> Self {
        Self(loads.iter().map(|load| (load.id, load.name.clone())).collect())
    }

    /// In quotes; the id where the name is not known.
    fn of(&self, id: TrunkId) -> String {
        self.0.get(&id).map_or_else(|| id.to_string(), |name| format!("{name:?}"))
    }
}

pub(super) fn trunk_subject(id: TrunkId) -> String {
    format!("trunks/{id}")
}

fn place(account: AccountId, rule: AlertRule, subject: &str) -> Place {
    Place { account, rule, subject: subject.to_owned() }
}

/// What is found beyond the threshold is described, and nothing else.
fn reading(
    place: Place,
    standing: Standing,
    wanted: AlertThresholds,
    describe: impl FnOnce() -> (String, Value),
) -> Reading {
    let (summary, measured) = match standing {
        Standing::Over => describe(),
        Standing::Between | Standing::Clear => (String::new(), Value::Null),
    };
    let measured = measured.as_object().cloned().unwrap_or_default();
    Reading { place, standing, threshold: wanted.threshold, summary, measured }
}

/// To a tenth.
fn percent(part: u64, whole: u64) -> Value {
    let tenths = u128::from(part) * 1_000 / u128::from(whole.max(1));
    serde_json::from_str(&format!("{}.{}", tenths / 10, tenths % 10)).unwrap_or_default()
}

fn amount(money: Money) -> Value {
    serde_json::from_str(&money.to_decimal()).unwrap_or_default()
}

/// The middle one of those that cost anything; `None` of too few.
fn median(hours: &[Money]) -> Option<Money> {
    if hours.len() < LEAST_HOURS {
        return None;
    }
    let mut micros: Vec<i64> = hours.iter().map(|cost| cost.micros()).collect();
    micros.sort_unstable();
    micros.get(micros.len() / 2).map(|micros| Money::from_micros(*micros))
}

/// The time in which answers of far ends are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How often counts are kept: a window ends within this of where it should.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// Hours that cost anything of which a week must have so many before anybody knows what an hour usually costs: a day and a half of work.
const LEAST_HOURS: usize = 12;
/// In a unit of money.
const MICROS: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tandem_model::{AlertRuleSettings, CallDirection, HealthStatus};

    fn account() -> AccountId {
        AccountId::from_uuid(uuid::Uuid::from_u128(1))
    }

    fn trunk(number: u128) -> TrunkId {
        TrunkId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn minute(minute: u64) -> Timestamp {
        Timestamp::from_unix_micros(0).saturating_add(Duration::from_secs(minute * 60))
    }

    fn load(active: u32, max: u32, failed_probes: Option<u32>) -> TrunkLoad {
        TrunkLoad {
            id: trunk(1),
            account_id: account(),
            name: "main".to_owned(),
            active,
            max,
            health: HealthStatus::Healthy,
            takes_calls: true,
            failed_probes,
        }
    }

    fn standings(readings: &[Reading]) -> Vec<(AlertRule, Standing)> {
        readings.iter().map(|reading| (reading.place.rule, reading.standing)).collect()
    }

    #[test]
    fn a_full_trunk_and_lost_probes_are_told_with_their_numbers() {
        let none = HashMap::new();
        let readings = of_trunks(&[load(9, 10, Some(3))], &Wishes(&none));
        let over = Standing::Over;
        assert_eq!(standings(&readings), [(AlertRule::TrunkUtilisation, over), (AlertRule::ProbesFailing, over)]);
        assert_eq!(readings[0].summary, "The trunk \"main\" carries 9 of its 10 calls.");
        assert_eq!(
            Value::Object(readings[0].measured.clone()),
            json!({"active_calls": 9, "max_calls": 10, "percent": 90.0})
        );
        let calm = of_trunks(&[load(0, 10, Some(1))], &Wishes(&none));
        assert_eq!(
            standings(&calm),
            [(AlertRule::TrunkUtilisation, Standing::Clear), (AlertRule::ProbesFailing, Standing::Between)]
        );
        // Nobody probes it, and nobody may call over it: nothing is measured.
        assert_eq!(of_trunks(&[load(0, 0, None)], &Wishes(&none)), []);
    }

    #[test]
    fn what_an_account_does_not_want_to_be_told_of_is_not_looked_at() {
        let off = AlertRuleSettings { enabled: Some(false), ..AlertRuleSettings::default() };
        let mut settings = AlertSettings::default();
        settings.rules.insert(AlertRule::TrunkUtilisation, off);
        let settings = HashMap::from([(account(), settings)]);
        let readings = of_trunks(&[load(9, 10, Some(0))], &Wishes(&settings));
        assert_eq!(standings(&readings), [(AlertRule::ProbesFailing, Standing::Clear)]);
    }

    #[test]
    fn too_few_attempts_are_no_measure() {
        let none = HashMap::new();
        let recent = |answered, failed| RecentTraffic {
            account: account(),
            trunk: trunk(1),
            answered,
            failed,
            cost: Money::from_micros(0),
        };
        let found = |recent| of_success(&[recent], &Names::new(&[]), &Wishes(&none));
        assert_eq!(found(recent(0, 19)), []);
        assert_eq!(standings(&found(recent(9, 11))), [(AlertRule::SuccessRate, Standing::Over)]);
        assert_eq!(standings(&found(recent(10, 10))), [(AlertRule::SuccessRate, Standing::Between)]);
    }

    #[test]
    fn nobody_is_told_of_a_spike_before_it_is_known_what_is_usual() {
        let none = HashMap::new();
        let units = |units: i64| Money::from_micros(units * MICROS);
        let found = |cost, hours: &[Money]| of_cost(account(), units(cost), hours, "USD", &Wishes(&none));
        assert_eq!(found(1_000, &[units(2); 11]), None, "too few hours");
        let usual = [units(5); 12];
        let standing = |cost| found(cost, &usual).map(|reading| reading.standing);
        assert_eq!(standing(16), Some(Standing::Over));
        assert_eq!(standing(15), Some(Standing::Between));
        assert_eq!(standing(11), Some(Standing::Clear));
        assert_eq!(found(9, &[]).map(|reading| reading.standing), Some(Standing::Clear), "below the least amount");
        // One expensive hour of the week does not make all that follow look cheap.
        let mut spiked = [units(5); 13];
        spiked[4] = units(10_000);
        assert_eq!(found(16, &spiked).map(|reading| reading.standing), Some(Standing::Over));
    }

    #[test]
    fn errors_of_the_far_end_count_for_a_quarter_of_an_hour() {
        let none = HashMap::new();
        let mut traffic = Traffic::default();
        traffic.set_trunks([trunk(1)].into_iter());
        let fails = |traffic: &mut Traffic, cause, times| {
            for _ in 0..times {
                traffic.leg_ended(Some(trunk(1)), CallDirection::Outbound, cause, None);
            }
        };
        fails(&mut traffic, HangupCause::CallRejected, 50);
        let mut errors = ProviderErrors::default();
        let mut at = |traffic: &Traffic, now| {
            standings(&errors.look(traffic, &[load(0, 10, None)], &Wishes(&none), minute(now)))[0].1
        };
        assert_eq!(at(&traffic, 0), Standing::Clear, "what came before is not known to be new");
        fails(&mut traffic, HangupCause::CallRejected, 9);
        assert_eq!(at(&traffic, 1), Standing::Between, "too few");
        fails(&mut traffic, HangupCause::TemporaryFailure, 1);
        assert_eq!(at(&traffic, 2), Standing::Over);
        fails(&mut traffic, HangupCause::UserBusy, 40);
        assert_eq!(at(&traffic, 3), Standing::Clear, "one of five is less than 30 %");
        for now in 4..=18 {
            at(&traffic, now);
        }
        assert_eq!(at(&traffic, 19), Standing::Clear);
    }

    #[test]
    fn a_database_that_is_away_is_told_after_a_while() {
        let none = HashMap::new();
        let node = NodeId::from_uuid(uuid::Uuid::from_u128(7));
        let found = |away: Option<u64>, age_ms| {
            let mut readiness = Readiness::default();
            readiness.journal.oldest_unstored_age_ms = age_ms;
            let away = away.map(Duration::from_secs);
            let readings = of_node(&readiness, away, account(), node, &Wishes(&none));
            (readings[0].standing, readings[1].standing)
        };
        assert_eq!(found(None, None), (Standing::Clear, Standing::Clear));
        assert_eq!(found(Some(14), Some(30_000)), (Standing::Between, Standing::Between));
        assert_eq!(found(Some(15), Some(60_000)), (Standing::Over, Standing::Over));
    }
}
