use crate::text_enum::text_enum;
use crate::{AccountId, AlertId, JsonText, NodeId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

text_enum! {
    /// What is watched. `docs/alerts.md` says what each measures and what to do about it.
    pub enum AlertRule, error ParseAlertRuleError("rule of alerts") {
        /// A trunk carries nearly as many calls as it may.
        TrunkUtilisation = "trunk_utilisation",
        /// An account has nearly as many calls as it may.
        AccountUtilisation = "account_utilisation",
        /// Probes of a trunk fail one after the other.
        ProbesFailing = "probes_failing",
        /// Few attempts over a trunk are answered.
        SuccessRate = "success_rate",
        /// The calls of an account cost far more than they usually do.
        CostSpike = "cost_spike",
        /// The far end of a trunk refuses calls or fails.
        ProviderErrors = "provider_errors",
        /// The database does not get what calls write.
        JournalBacklog = "journal_backlog",
        /// The database does not answer.
        DatabaseAway = "database_away",
    }
}

text_enum! {
    /// Where an alert is.
    pub enum AlertState, error ParseAlertStateError("state of an alert") {
        /// Nobody has looked at it yet.
        Raised = "raised",
        /// Somebody sees to it.
        Acknowledged = "acknowledged",
        /// It is over.
        Resolved = "resolved",
    }
}

text_enum! {
    /// How bad it is.
    pub enum AlertSeverity, error ParseAlertSeverityError("severity of an alert") {
        /// Calls go on; somebody should look.
        Warning = "warning",
        /// Calls fail, or records are at risk.
        Critical = "critical",
    }
}

/// A number that a rule goes by, and that an account may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSetting {
    /// Its name on the wire, which ends in its unit.
    pub name: &'static str,
    /// What it is unless somebody has set it.
    pub default: u32,
    /// What it may be.
    pub range: RangeInclusive<u32>,
}

impl AlertRule {
    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> AlertSeverity {
        match self {
            Self::TrunkUtilisation | Self::AccountUtilisation | Self::SuccessRate | Self::CostSpike => {
                AlertSeverity::Warning
            }
            Self::ProbesFailing | Self::ProviderErrors | Self::JournalBacklog | Self::DatabaseAway => {
                AlertSeverity::Critical
            }
        }
    }

    /// Whether it is about the node: its alerts are those of the operator's account.
    #[must_use]
    pub const fn is_of_node(self) -> bool {
        matches!(self, Self::JournalBacklog | Self::DatabaseAway)
    }

    /// Whether each node measures for itself, so that no other can say that it is over. What is read from the database is the same
    /// for all.
    #[must_use]
    pub const fn is_measured_by_node(self) -> bool {
        match self {
            Self::TrunkUtilisation
            | Self::AccountUtilisation
            | Self::ProbesFailing
            | Self::ProviderErrors
            | Self::JournalBacklog
            | Self::DatabaseAway => true,
            Self::SuccessRate | Self::CostSpike => false,
        }
    }

    /// From where on, or for a rate below which, an alert is raised.
    #[must_use]
    pub const fn threshold(self) -> AlertSetting {
        let (name, default, range) = match self {
            Self::TrunkUtilisation | Self::AccountUtilisation => ("threshold_percent", 80, 1..=99),
            Self::ProbesFailing => ("threshold_probes", 3, 1..=100),
            Self::SuccessRate => ("threshold_percent", 50, 1..=100),
            Self::CostSpike => ("threshold_factor", 3, 2..=100),
            Self::ProviderErrors => ("threshold_percent", 30, 1..=100),
            Self::JournalBacklog => ("threshold_seconds", 60, 10..=86_400),
            Self::DatabaseAway => ("threshold_seconds", 15, 1..=3_600),
        };
        AlertSetting { name, default, range }
    }

    /// How much there must be at all before it is judged: so that two calls out of three are no trend.
    #[must_use]
    pub const fn minimum(self) -> Option<AlertSetting> {
        let (name, default, range) = match self {
            Self::SuccessRate => ("minimum_attempts", 20, 1..=1_000_000),
            Self::ProviderErrors => ("minimum_errors", 10, 1..=1_000_000),
            Self::CostSpike => ("minimum_amount", 10, 0..=1_000_000),
            Self::TrunkUtilisation
            | Self::AccountUtilisation
            | Self::ProbesFailing
            | Self::JournalBacklog
            | Self::DatabaseAway => return None,
        };
        Some(AlertSetting { name, default, range })
    }
}

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Whose.
    pub account_id: AccountId,
    /// Which rule raised it.
    pub rule: AlertRule,
    /// What it is about: the path of it below that of the API, as `trunks/0199…`.
    pub subject: String,
    /// How bad it is.
    pub severity: AlertSeverity,
    /// Where it is.
    pub state: AlertState,
    /// What was found, in a sentence for people.
    pub summary: String,
    /// What was measured when it was raised, by name; and what it was measured against.
    pub measured: JsonText<Map<String, Value>>,
    /// The threshold that was crossed, in the unit of the rule.
    pub threshold: u32,
    /// The node that raised it.
    pub node_id: NodeId,
    /// Since when it is so.
    pub raised_at: Timestamp,
    /// When somebody took it on.
    pub acknowledged_at: Option<Timestamp>,
    /// Who did.
    pub acknowledged_by: Option<String>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// Who said so: a person or key, or `rule`.
    pub resolved_by: Option<String>,
    /// What people wrote about it.
    pub note: Option<String>,
}

/// What an account wants to be told of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSettings {
    /// The rules for which something was set.
    pub rules: BTreeMap<AlertRule, AlertRuleSettings>,
    /// Where mails about alerts go.
    pub mail_to: Vec<String>,
}

/// How a rule goes for an account. What is `None` is as the rule has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRuleSettings {
    /// Whether it is watched.
    pub enabled: Option<bool>,
    /// [`AlertRule::threshold`].
    pub threshold: Option<u32>,
    /// [`AlertRule::minimum`].
    pub minimum: Option<u32>,
}

/// How a rule goes, with everything said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertThresholds {
    /// Whether it is watched.
    pub enabled: bool,
    /// From where on, or below which, an alert is raised.
    pub threshold: u32,
    /// How much there must be at all; 0 for rules that ask for nothing.
    pub minimum: u32,
}

impl AlertSettings {
    /// How a rule goes.
    #[must_use]
    pub fn of(&self, rule: AlertRule) -> AlertThresholds {
        let set = self.rules.get(&rule).copied().unwrap_or_default();
        AlertThresholds {
            enabled: set.enabled.unwrap_or(true),
            threshold: set.threshold.unwrap_or(rule.threshold().default),
            minimum: set.minimum.or(rule.minimum().map(|minimum| minimum.default)).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_set_is_as_the_rule_has_it() {
        let mut settings = AlertSettings::default();
        let of = |settings: &AlertSettings| settings.of(AlertRule::SuccessRate);
        assert_eq!(of(&settings), AlertThresholds { enabled: true, threshold: 50, minimum: 20 });
        let set = AlertRuleSettings { threshold: Some(40), ..AlertRuleSettings::default() };
        settings.rules.insert(AlertRule::SuccessRate, set);
        assert_eq!(of(&settings), AlertThresholds { enabled: true, threshold: 40, minimum: 20 });
        let kept = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<AlertSettings>(&kept).unwrap(), settings);
    }

    #[test]
    fn defaults_are_in_their_ranges() {
        for rule in AlertRule::ALL {
            for setting in [Some(rule.threshold()), rule.minimum()].into_iter().flatten() {
                assert!(setting.range.contains(&setting.default), "{rule} {}", setting.name);
            }
        }
    }
}
