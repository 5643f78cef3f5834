use super::ConfigSource;
use super::api::{Api, ApiArgs};
use super::database::block_on;
use super::failure::Failure;
use super::output::{Output, Table, printable, to_the_second};
use super::trunk::{id_of, text};
use clap::Args;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

#[derive(Args)]
pub(super) struct CallsArgs {
    /// Stay, and show each call when it begins and when its status changes
    #[arg(long)]
    follow: bool,
    /// Only calls over this trunk, by name or id
    #[arg(long)]
    trunk: Option<String>,
    /// How many of the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    api: ApiArgs,
}

impl CallsArgs {
    pub(super) fn perform(self, source: &ConfigSource, output: &Output) -> Result<(), Failure> {
        let api = self.api.connect(source)?;
        block_on(async {
            let trunk_id = match &self.trunk {
                Some(trunk) => Some(id_of(&api, trunk).await?),
                None => None,
            };
            if self.follow {
                return follow(&api, trunk_id.as_deref(), self.limit, output).await;
            }
            let calls = newest(&api, trunk_id.as_deref(), self.limit).await?;
            Ok(output.answer(&calls, || table(&calls).to_string())?)
        })
    }
}

/// Runs until it is interrupted, or nobody reads any more. Of the calls that are there already it shows the newest `limit`.
async fn follow(api: &Api, trunk_id: Option<&str>, limit: u32, output: &Output) -> Result<(), Failure> {
    let mut known: Option<HashMap<String, String>> = None;
    let mut ticks = tokio::time::interval(POLL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // All that one answer holds, so that a burst between two looks is not missed.
        let calls = newest(api, trunk_id, MAX_PAGE).await?;
        let shown = match &known {
            None => calls.iter().take(limit as usize).collect::<Vec<_>>(),
            Some(known) => {
                calls.iter().filter(|call| known.get(&text(call, "id")) != Some(&text(call, "status"))).collect()
            }
        };
        for call in shown.into_iter().rev() {
            if output.is_json() { output.json_line(call)? } else { output.raw(line(call).as_bytes())? }
        }
        // What has left the page is not asked for again, so this stays as small as a page.
        known = Some(calls.iter().map(|call| (text(call, "id"), text(call, "status"))).collect());
    }
}

async fn newest(api: &Api, trunk_id: Option<&str>, limit: u32) -> Result<Vec<Value>, Failure> {
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(trunk_id.map(|id| ("trunk_id", id)));
    match api.get(&["calls"], &query).await? {
        Value::Array(calls) => Ok(calls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Ok(Vec::new()),
    }
}

/// Calls as people read them.
pub(super) fn table(calls: &[Value]) -> Table {
    let mut table = Table::new(&["ID", "STARTED", "DIRECTION", "FROM", "TO", "STATUS", "CAUSE", "SECONDS", "COST"]);
    for call in calls {
        table.row(cells(call));
    }
    table
}

/// A call on a line of its own: columns cannot be as wide as what is yet to come.
fn line(call: &Value) -> String {
    let [id, started, direction, from, to, status, cause, seconds, cost] = cells(call).map(|cell| printable(&cell));
    format!("{started} {id} {direction:8} {from:>16} > {to:16} {status:9} {cause} {seconds} {cost}")
        .trim_end()
        .to_owned()
        + "\n"
}

fn cells(call: &Value) -> [String; 9] {
    let to = match text(call, "to_uri") {
        none if none.is_empty() => text(call, "to_number"),
        uri => uri,
    };
    [
        text(call, "id"),
        to_the_second(&text(call, "started_at")),
        text(call, "direction"),
        text(call, "from_number"),
        to,
        text(call, "status"),
        text(call, "hangup_cause"),
        call.get("duration_ms").and_then(Value::as_u64).map(seconds).unwrap_or_default(),
        text(call, "cost"),
    ]
}

/// To the tenth, rounded down.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{}", milliseconds / 1_000, milliseconds % 1_000 / 100)
}

/// Lists lag by a batch of records anyway.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// The most that the API gives at once.
const MAX_PAGE: u32 = 1_000;
