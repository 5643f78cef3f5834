use crate::wire::access::{email_of, strictly};
use crate::wire::fields::{Fields, Given, Invalid, UnknownFields};
use serde_json::{Map, Value};
use tandem_model::{AlertRule, AlertRuleSettings, AlertSetting, AlertSettings};

/// What somebody who sees to an alert writes about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertNote {
    pub(crate) note: Option<String>,
}

/// A change of what an account wants to be told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertSettingsEdit {
    rules: Vec<(AlertRule, Option<RuleEdit>)>,
    mail_to: Option<Vec<String>>,
}

/// A change of a rule: `None` leaves a field, `Some(None)` has it as it is unless anybody says something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RuleEdit {
    enabled: Option<Option<bool>>,
    threshold: Option<Option<u32>>,
    minimum: Option<Option<u32>>,
}

impl AlertNote {
    /// Reads the body of `POST /alerts/{id}/acknowledge` and `/resolve`, which may be left out.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, |fields| Some(Self::read(fields)))
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        Self { note: fields.text("note", 1..=MAX_NOTE_CHARACTERS).value() }
    }
}

impl AlertSettingsEdit {
    /// Reads the body of `PUT /alert-settings`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, |fields| Some(Self::read(fields)))
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        let mut rules = Vec::new();
        for rule in AlertRule::ALL {
            let edit = fields.nested(rule.as_str(), UnknownFields::Refuse, |fields| Some(read_rule(*rule, fields)));
            rules.extend(edit.nullable().map(|edit| (*rule, edit)));
        }
        let mail_to = fields.list("mail_to", MAX_RECIPIENTS, mail_address_of).or_empty();
        Self { rules, mail_to }
    }

    pub(crate) fn apply(self, settings: &mut AlertSettings) {
        for (rule, edit) in self.rules {
            let set = settings.rules.entry(rule).or_default();
            match edit {
                None => *set = AlertRuleSettings::default(),
                Some(RuleEdit { enabled, threshold, minimum }) => {
                    set.enabled = enabled.unwrap_or(set.enabled);
                    set.threshold = threshold.unwrap_or(set.threshold);
                    set.minimum = minimum.unwrap_or(set.minimum);
                }
            }
        }
        settings.rules.retain(|_, set| *set != AlertRuleSettings::default());
        if let Some(mut mail_to) = self.mail_to {
            mail_to.sort_unstable();
            mail_to.dedup();
            settings.mail_to = mail_to;
        }
    }
}

/// What may be said about a rule, each under its own name.
fn read_rule(rule: AlertRule, fields: &mut Fields) -> RuleEdit {
    let mut number = |AlertSetting { name, range, .. }: AlertSetting| {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        let given = fields.integer(name, range).nullable();
        given.map(|number| number.and_then(|number| u32::try_from(number).ok()))
    };
    let threshold = number(rule.threshold());
    let minimum = rule.minimum().and_then(number);
    let enabled = match fields.boolean("enabled") {
        Given::Absent => None,
        Given::Null => Some(None),
        Given::Value(enabled) => Some(Some(enabled)),
    };
    RuleEdit { enabled, threshold, minimum }
}

/// An address that mail can be sent to, and that no line of a header can be made of.
fn mail_address_of(value: &Value) -> Result<String, String> {
    let address = email_of(value)?;
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>()[]\\,;:\"".contains(&byte));
    let has_domain = address.rsplit_once('@').is_some_and(|(_, domain)| {
        let labels = domain.split('.');
        labels.clone().count() > 1 && labels.into_iter().all(|label| !label.is_empty() && !label.starts_with('-'))
    });
    if is_plain && has_domain { Ok(address) } else { Err("must be an e-mail address in plain ASCII".to_owned()) }
}

/// A few lines.
const MAX_NOTE_CHARACTERS: usize = 1_000;
/// Who is told by mail; more of them share a mailing list.
const MAX_RECIPIENTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "JSON literals are written where they are used")]
    fn edit(body: Value) -> Result<AlertSettingsEdit, Invalid> {
        AlertSettingsEdit::parse(body.as_object().unwrap().clone())
    }

    fn wrong(body: Value) -> Vec<String> {
        edit(body).unwrap_err().0.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn what_is_set_can_be_taken_back() {
        let mut settings = AlertSettings::default();
        let set = json!({"success_rate": {"threshold_percent": 40, "enabled": false}, "mail_to": ["B@example.com", "a@example.com"]});
        edit(set).unwrap().apply(&mut settings);
        let of = settings.of(AlertRule::SuccessRate);
        assert_eq!((of.enabled, of.threshold, of.minimum), (false, 40, 20));
        assert_eq!(settings.mail_to, ["a@example.com", "b@example.com"]);
        edit(json!({"success_rate": {"enabled": null}})).unwrap().apply(&mut settings);
        assert_eq!(
            (settings.of(AlertRule::SuccessRate).enabled, settings.of(AlertRule::SuccessRate).threshold),
            (true, 40)
        );
        edit(json!({"success_rate": null, "mail_to": null})).unwrap().apply(&mut settings);
        assert_eq!(settings, AlertSettings::default());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(wrong(json!({"cost_spike": {"threshold_factor": 1}})), ["cost_spike.threshold_factor"]);
        assert_eq!(wrong(json!({"cost_spike": {"threshold_percent": 50}})), ["cost_spike.threshold_percent"]);
        assert_eq!(wrong(json!({"probes": {}})), ["probes"]);
        for address in
            ["x", "a@b", "a@example.com\r\nBcc: b@example.com", "a b@example.com", "<a@example.com>", "a@-x.com"]
        {
            assert_eq!(wrong(json!({"mail_to": [address]})), ["mail_to"], "{address:?}");
        }
    }
}
