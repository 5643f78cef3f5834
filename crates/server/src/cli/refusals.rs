use super::ConfigSource;
use super::api::ApiArgs;
use super::database::block_on;
use super::failure::Failure;
use super::output::{Output, Table, to_the_second};
use super::trunk::{id_of, text};
use clap::Args;
use serde_json::Value;

#[derive(Args)]
pub(super) struct RefusalsArgs {
    /// Only what came in by this trunk, by name or id
    #[arg(long)]
    trunk: Option<String>,
    /// How many of the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    api: ApiArgs,
}

impl RefusalsArgs {
    pub(super) fn perform(self, source: &ConfigSource, output: &Output) -> Result<(), Failure> {
        let api = self.api.connect(source)?;
        let refusals = block_on(async {
            let trunk_id = match &self.trunk {
                Some(trunk) => Some(id_of(&api, trunk).await?),
                None => None,
            };
            let limit = self.limit.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(trunk_id.as_deref().map(|id| ("trunk_id", id)));
            Ok(api.get(&["refusals"], &query).await?)
        })?;
        Ok(output.answer(&refusals, || table(&refusals).to_string())?)
    }
}

/// Refusals as people read them.
fn table(refusals: &Value) -> Table {
    let mut table = Table::new(&["ID", "AT", "SOURCE", "TRUNK", "FROM", "TO", "SIP", "REASON", "EXPLANATION"]);
    for refused in refusals.as_array().into_iter().flatten() {
        let of_receipt = |path: &str| {
            let found = refused.pointer(path).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        table.row([
            text(refused, "id"),
            to_the_second(&text(refused, "at")),
            of_receipt("/receipt/inbound/source"),
            of_receipt("/receipt/inbound/trunk_name"),
            text(refused, "from_number"),
            text(refused, "to_number"),
            text(refused, "sip_status"),
            of_receipt("/receipt/refusal/reason/code"),
            of_receipt("/receipt/refusal/explanation"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shows_who_called_whom_and_why_it_was_refused() {
        let refusals = json!([
            {
                "id": "r-2", "at": "2026-01-31T12:00:01.000250Z", "from_number": "+4420", "to_number": "+1303", "sip_status": 404,
                "receipt": {
                    "inbound": {"source": "192.0.2.1:5060", "trunk_name": "main"},
                    "refusal": {"reason": {"code": "no_inbound_rule"}, "explanation": "none of its rules"},
                },
            },
            // What a newer server may leave out is no fault.
            {"id": "r-1"},
        ]);
        assert_eq!(
            table(&refusals).to_string(),
            "ID   AT                    SOURCE          TRUNK  FROM   TO     SIP  REASON           EXPLANATION\n\
             r-2  2026-01-31T12:00:01Z  192.0.2.1:5060  main   +4420  +1303  404  no_inbound_rule  none of its rules\n\
             r-1  -                     -               -      -      -      -    -                -\n"
        );
    }
}
