use super::ConfigSource;
use super::api::ApiArgs;
use super::database::block_on;
use super::failure::Failure;
use super::output::{Output, Table, to_the_second};
use super::trunk::text;
use clap::Args;
use serde_json::Value;
use tandem_model::AlertState;

#[derive(Args)]
pub(super) struct AlertsArgs {
    /// Only alerts in this state: raised, acknowledged or resolved; may be given several times
    #[arg(long, value_name = "STATE")]
    state: Vec<AlertState>,
    /// How many of the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    api: ApiArgs,
}

impl AlertsArgs {
    pub(super) fn perform(self, source: &ConfigSource, output: &Output) -> Result<(), Failure> {
        let api = self.api.connect(source)?;
        let limit = self.limit.to_string();
        let states: Vec<&str> = self.state.iter().map(|state| state.as_str()).collect();
        let states = states.join(",");
        let mut query = vec![("limit", limit.as_str())];
        if !states.is_empty() {
            query.push(("state", states.as_str()));
        }
        let alerts = block_on(async { Ok(api.get(&["alerts"], &query).await?) })?;
        Ok(output.answer(&alerts, || table(&alerts).to_string())?)
    }
}

/// Alerts as people read them.
fn table(alerts: &Value) -> Table {
    let mut table = Table::new(&["ID", "SINCE", "SEVERITY", "STATE", "RULE", "ABOUT", "SUMMARY", "BY"]);
    for alert in alerts.as_array().into_iter().flatten() {
        let is_over = alert.get("state").is_some_and(|state| state == "resolved");
        table.row([
            text(alert, "id"),
            to_the_second(&text(alert, "raised_at")),
            text(alert, "severity"),
            text(alert, "state"),
            text(alert, "rule"),
            text(alert, "subject"),
            text(alert, "summary"),
            text(alert, if is_over { "resolved_by" } else { "acknowledged_by" }),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shows_what_is_wrong_since_when_and_who_sees_to_it() {
        let alerts = json!([
            {
                "id": "a-2", "raised_at": "2026-01-31T12:00:01.000250Z", "severity": "warning", "state": "acknowledged",
                "rule": "trunk_utilisation", "subject": "trunks/1", "summary": "It is full.", "acknowledged_by": "zoe@example.com",
            },
            // What a newer server may leave out is no fault.
            {"id": "a-1"},
        ]);
        assert_eq!(
            table(&alerts).to_string(),
            "ID   SINCE                 SEVERITY  STATE         RULE               ABOUT     SUMMARY      BY\n\
             a-2  2026-01-31T12:00:01Z  warning   acknowledged  trunk_utilisation  trunks/1  It is full.  zoe@example.com\n\
             a-1  -                     -         -             -                  -         -            -\n"
        );
    }
}
