//! Turns: looks at all figures, and writes what comes of it.

use super::judge::{Judge, Place, Standing, Verdict};
use super::measure::{self, Names, ProviderErrors, Reading, WINDOW, Wishes};
use super::{Alerts, text};
use crate::service::id_bits;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;
use tandem_model::{
    AccountId, Alert, AlertId, AlertRule, AlertSettings, AlertState, JsonText, Money, NodeId, Timestamp, TrunkLoad,
};
use tandem_store::{DatabaseError, OpenAlert};

/// What is remembered from one turn to the next.
#[derive(Default)]
pub(super) struct Watch {
    judge: Judge,
    errors: ProviderErrors,
    /// What the database said when it was last asked.
    known: Known,
    /// Since when the database has not answered.
    away_since: Option<Timestamp>,
    /// Alerts that the database could not take: it is told as soon as it answers.
    unwritten: BTreeMap<Place, Alert>,
    /// When the statistics were last read.
    statistics_at: Option<Timestamp>,
}

#[derive(Default)]
struct Known {
    operator: Option<AccountId>,
    settings: HashMap<AccountId, AlertSettings>,
    open: BTreeMap<Place, OpenAlert>,
    nodes: HashSet<NodeId>,
}

impl Alerts {
    /// Looks at everything once, and raises and clears what is to be. [`Services::run_jobs`](crate::Services::run_jobs) does it every ten
    /// seconds.
    ///
    /// # Errors
    /// [`DatabaseError`]; the next turn finds what this one has not written.
    pub(crate) async fn turn(&self) -> Result<(), DatabaseError> {
        let mut watch = self.watch.lock().await;
        let outcome = self.turn_of(&mut watch).await;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = watch.counts();
        outcome
    }

    async fn turn_of(&self, watch: &mut Watch) -> Result<(), DatabaseError> {
        let readiness = self.core.switchboard.readiness().await;
        let now = self.core.now();
        let answers = readiness.database.answers;
        let away_since = if answers { None } else { Some(watch.away_since.unwrap_or(now)) };
        watch.away_since = away_since;
        if answers {
            self.write_unwritten(watch).await?;
            watch.known = self.ask(now).await?;
        }
        let mut readings = Vec::new();
        if let Some(operator) = watch.known.operator {
            let away_for = away_since.map(|since| now.since(since));
            let (node, wishes) = (self.core.store.node_id(), Wishes(&watch.known.settings));
            readings.extend(measure::of_node(&readiness, away_for, operator, node, &wishes));
        }
        if !answers {
            for reading in readings {
                self.keep_unwritten(watch, reading, away_since, now)?;
            }
            return Ok(());
        }
        // A call path that does not answer has measured nothing.
        let traffic = self.core.switchboard.traffic().await.ok();
        let wishes = Wishes(&watch.known.settings);
        if let Some((traffic, loads)) = &traffic {
            readings.extend(measure::of_trunks(loads, &wishes));
            readings.extend(watch.errors.look(traffic, loads, &wishes, now));
        }
        if let Ok(loads) = self.core.switchboard.account_loads().await {
            readings.extend(measure::of_accounts(&loads, &wishes));
        }
        if watch.statistics_at.is_none_or(|at| now.since(at) >= STATISTICS_EVERY) {
            let loads = traffic.as_ref().map_or(&[] as &[TrunkLoad], |(_, loads)| loads.as_slice());
            readings.extend(self.of_statistics(loads, &watch.known, now).await?);
            watch.statistics_at = Some(now);
        }
        for reading in readings {
            self.follow(watch, reading, now).await?;
        }
        self.clear_gone(watch, traffic.as_ref().map(|(_, loads)| loads.as_slice()), now).await
    }

    async fn ask(&self, now: Timestamp) -> Result<Known, DatabaseError> {
        let store = &self.core.store;
        let (operator, settings, open, nodes) = tokio::try_join!(
            store.operators_account(),
            store.every_alert_settings(),
            store.open_alerts(),
            store.running_nodes(now)
        )?;
        let place =
            |alert: &OpenAlert| Place { account: alert.account_id, rule: alert.rule, subject: alert.subject.clone() };
        let open = open.into_iter().map(|alert| (place(&alert), alert)).collect();
        Ok(Known { operator, settings, open, nodes: nodes.into_iter().collect() })
    }

    async fn of_statistics(
        &self,
        loads: &[TrunkLoad],
        known: &Known,
        now: Timestamp,
    ) -> Result<Vec<Reading>, DatabaseError> {
        let (store, wishes) = (&self.core.store, &Wishes(&known.settings));
        let recent = store.recent_traffic(now.saturating_sub(WINDOW), now.saturating_sub(HOUR)).await?;
        let mut readings = measure::of_success(&recent, &Names::new(loads), wishes);
        // Who had no calls within the hour has spent nothing, which matters where somebody was told otherwise.
        let told = known.open.keys().filter(|place| place.rule == AlertRule::CostSpike);
        let mut costs: BTreeMap<AccountId, Money> = told.map(|place| (place.account, Money::from_micros(0))).collect();
        for traffic in &recent {
            let cost = costs.entry(traffic.account).or_insert(Money::from_micros(0));
            *cost = Money::from_micros(cost.micros().saturating_add(traffic.cost.micros()));
        }
        for (account, cost) in costs {
            // The hours of the week are read of those only who have spent enough for a spike.
            let hours = if measure::may_be_a_spike(account, cost, wishes) {
                let hours = store.hourly_costs(account, now.saturating_sub(WEEK), now.saturating_sub(HOUR)).await?;
                hours.into_iter().map(|hour| hour.cost).collect()
            } else {
                Vec::new()
            };
            readings.extend(measure::of_cost(account, cost, &hours, &self.currency, wishes));
        }
        Ok(readings)
    }

    /// Judges what was found, and writes what comes of it.
    async fn follow(&self, watch: &mut Watch, reading: Reading, now: Timestamp) -> Result<(), DatabaseError> {
        let open = watch.known.open.get(&reading.place);
        if let Some(open) = open {
            let is_ours = open.node_id == self.core.store.node_id() || !watch.known.nodes.contains(&open.node_id);
            if reading.place.rule.is_measured_by_node() && !is_ours {
                // What another node has seen is not over because this one does not see it.
                return Ok(());
            }
        }
        let id = open.map(|open| open.id);
        match watch.judge.judge(&reading.place, id.is_some(), reading.standing, now) {
            None => {}
            Some(Verdict::Raise(since)) => {
                let place = reading.place.clone();
                let alert = self.new_alert(reading, since, now)?;
                if self.write(&alert).await? {
                    watch.known.open.insert(place, open_alert(&alert));
                }
            }
            Some(Verdict::Clear) => {
                if let Some(id) = id {
                    self.clear(&reading.place, id, now).await?;
                    watch.known.open.remove(&reading.place);
                }
            }
        }
        Ok(())
    }

    /// Judges what was found while the database is away. What is raised is told in the log and by the metrics, and written once it is
    /// back.
    fn keep_unwritten(
        &self,
        watch: &mut Watch,
        reading: Reading,
        away_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let is_open = watch.known.open.contains_key(&reading.place) || watch.unwritten.contains_key(&reading.place);
        if is_open || reading.standing != Standing::Over {
            return Ok(());
        }
        if let Some(Verdict::Raise(since)) = watch.judge.judge(&reading.place, false, reading.standing, now) {
            let place = reading.place.clone();
            let since = away_since.filter(|_| place.rule == AlertRule::DatabaseAway).unwrap_or(since);
            let alert = self.new_alert(reading, since, now)?;
            tracing::error!(rule = %alert.rule, subject = %alert.subject, since = %alert.raised_at, "an alert was raised that cannot be written yet: {}", alert.summary);
            watch.unwritten.insert(place, alert);
        }
        Ok(())
    }

    async fn write_unwritten(&self, watch: &mut Watch) -> Result<(), DatabaseError> {
        while let Some((place, alert)) = watch.unwritten.first_key_value() {
            let place = place.clone();
            self.write(alert).await?;
            watch.unwritten.remove(&place);
        }
        Ok(())
    }

    fn new_alert(&self, reading: Reading, since: Timestamp, now: Timestamp) -> Result<Alert, DatabaseError> {
        Ok(Alert {
            id: AlertId::new(now, id_bits()?),
            account_id: reading.place.account,
            rule: reading.place.rule,
            subject: reading.place.subject,
            severity: reading.place.rule.severity(),
            state: AlertState::Raised,
            summary: reading.summary,
            measured: JsonText::new(&reading.measured),
            threshold: reading.threshold,
            node_id: self.core.store.node_id(),
            raised_at: since,
            acknowledged_at: None,
            acknowledged_by: None,
            resolved_at: None,
            resolved_by: None,
            note: None,
        })
    }

    async fn write(&self, alert: &Alert) -> Result<bool, DatabaseError> {
        let written = self.core.store.raise_alert(alert, self.compose).await?;
        if written {
            tracing::warn!(account = %alert.account_id, rule = %alert.rule, subject = %alert.subject, alert = %alert.id, "an alert was raised: {}", alert.summary);
        }
        Ok(written)
    }

    async fn clear(&self, place: &Place, id: AlertId, now: Timestamp) -> Result<(), DatabaseError> {
        if self.core.store.clear_alert(id, now, self.compose).await? {
            tracing::info!(account = %place.account, rule = %place.rule, subject = %place.subject, alert = %id, "an alert is over");
        }
        Ok(())
    }

    /// Clears what nobody measures any more: rules that were switched off, trunks that are gone or not probed any more, nodes that have
    /// left.
    async fn clear_gone(
        &self,
        watch: &mut Watch,
        loads: Option<&[TrunkLoad]>,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let probed: Option<HashMap<String, bool>> = loads.map(|loads| {
            loads.iter().map(|load| (measure::trunk_subject(load.id), load.failed_probes.is_some())).collect()
        });
        let wishes = Wishes(&watch.known.settings);
        let is_gone = |place: &Place| {
            if !wishes.of(place.account, place.rule).enabled {
                return true;
            }
            match place.rule {
                AlertRule::ProbesFailing => {
                    probed.as_ref().is_some_and(|probed| probed.get(&place.subject) != Some(&true))
                }
                AlertRule::TrunkUtilisation | AlertRule::SuccessRate | AlertRule::ProviderErrors => {
                    probed.as_ref().is_some_and(|probed| !probed.contains_key(&place.subject))
                }
                AlertRule::JournalBacklog | AlertRule::DatabaseAway => {
                    let node = place.subject.strip_prefix("nodes/").and_then(|id| id.parse().ok());
                    node.is_none_or(|node: NodeId| !watch.known.nodes.contains(&node))
                }
                AlertRule::AccountUtilisation | AlertRule::CostSpike => false,
            }
        };
        let gone: Vec<(Place, AlertId)> = watch
            .known
            .open
            .iter()
            .filter(|(place, _)| is_gone(place))
            .map(|(place, open)| (place.clone(), open.id))
            .collect();
        for (place, id) in gone {
            self.clear(&place, id, now).await?;
            watch.known.open.remove(&place);
        }
        watch.judge.retain(|place| !is_gone_place(place, probed.as_ref()));
        Ok(())
    }

    /// Tells how many alerts accounts were not told of by mail, once the hour is over.
    pub(crate) async fn tell_left_out(&self) -> Result<usize, DatabaseError> {
        match self.compose {
            Some(_) => self.core.store.tell_left_out(self.core.now(), text::left_out).await,
            None => Ok(0),
        }
    }
}

impl Watch {
    fn counts(&self) -> BTreeMap<(AlertRule, AlertState), u64> {
        let mut counts = BTreeMap::new();
        let open = self.known.open.values().map(|open| (open.rule, open.state));
        let unwritten = self.unwritten.values().map(|alert| (alert.rule, alert.state));
        for key in open.chain(unwritten).filter(|(_, state)| *state != AlertState::Resolved) {
            *counts.entry(key).or_insert(0) += 1;
        }
        counts
    }
}

/// Whether a place is a trunk that is gone: nothing of it is remembered.
fn is_gone_place(place: &Place, trunks: Option<&HashMap<String, bool>>) -> bool {
    place.subject.starts_with("trunks/") && trunks.is_some_and(|trunks| !trunks.contains_key(&place.subject))
}

fn open_alert(alert: &Alert) -> OpenAlert {
    OpenAlert {
        id: alert.id,
        account_id: alert.account_id,
        rule: alert.rule,
        subject: alert.subject.clone(),
        state: alert.state,
        node_id: alert.node_id,
    }
}

/// How often the statistics are read, whose finest rows are minutes.
const STATISTICS_EVERY: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
