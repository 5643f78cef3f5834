use super::ConfigSource;
use super::api::{Api, ApiArgs, ApiError};
use super::calls;
use super::database::block_on;
use super::failure::Failure;
use super::output::Output;
use super::receipt;
use super::trunk::{id_of, text};
use clap::Args;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Args)]
pub(super) struct CallArgs {
    /// A number, as +12025550100, or a sip: URI
    to: String,
    /// The caller id [default: the trunk's]
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// Name or id of the trunk [default: routing chooses]
    #[arg(long)]
    trunk: Option<String>,
    /// Once it is answered, send back what is heard; this is the default
    #[arg(long, conflicts_with = "sip")]
    echo: bool,
    /// Once it is answered, connect it with this SIP URI
    #[arg(long, value_name = "URI")]
    sip: Option<String>,
    /// Stay until the call is over; Ctrl-C hangs up. The exit status is 0 only if it was answered
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl CallArgs {
    pub(super) fn perform(self, source: &ConfigSource, output: &Output) -> Result<(), Failure> {
        let api = self.api.connect(source)?;
        block_on(async {
            let order = self.order(&api).await?;
            let call = api.post(&["calls", "dial"], Some(&order)).await?;
            if !self.wait {
                return Ok(output.answer(&call, || calls::table(std::slice::from_ref(&call)).to_string())?);
            }
            let call = wait(&api, call, output).await?;
            show_end(&api, &call, output).await
        })
    }

    async fn order(&self, api: &Api) -> Result<Value, Failure> {
        let connect = match &self.sip {
            Some(uri) => json!({"type": "sip", "uri": uri}),
            None => json!({"type": "echo"}),
        };
        let mut order = Map::from_iter([("to_number".to_owned(), json!(self.to)), ("connect".to_owned(), connect)]);
        if let Some(from) = &self.from {
            order.insert("from_number".to_owned(), json!(from));
        }
        if let Some(trunk) = &self.trunk {
            order.insert("sip_trunk_id".to_owned(), json!(id_of(api, trunk).await?));
        }
        Ok(Value::Object(order))
    }
}

/// Tells each status on standard error until the call is over.
async fn wait(api: &Api, mut call: Value, output: &Output) -> Result<Value, Failure> {
    let id = text(&call, "id");
    let mut told = String::new();
    let mut ticks = tokio::time::interval(POLL_EVERY);
    // Listens from here on, so that an interrupt during a request is not lost.
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    loop {
        let status = text(&call, "status");
        if status != told && !output.is_json() {
            Output::remark(&format!("{id} {status}"));
        }
        if !text(&call, "ended_at").is_empty() {
            return Ok(call);
        }
        told = status;
        tokio::select! {
            _ = ticks.tick() => call = api.get(&["calls", &id], &[]).await?,
            _ = interrupts.recv() => match api.post(&["calls", &id, "hangup"], None).await {
                Ok(ending) => call = ending,
                // It was over already; the next look shows how it ended.
                Err(ApiError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            },
        }
    }
}

async fn show_end(api: &Api, call: &Value, output: &Output) -> Result<(), Failure> {
    output.answer(call, || calls::table(std::slice::from_ref(call)).to_string())?;
    if text(call, "status") == "completed" {
        return Ok(());
    }
    if !output.is_json() {
        let route = api.get(&["calls", &text(call, "id"), "route"], &[]).await?;
        output.raw(receipt::table(&route).as_bytes())?;
    }
    let reason = match text(call, "hangup_cause") {
        none if none.is_empty() => none,
        cause => format!(" ({cause})"),
    };
    Err(Failure::CallUnsuccessful { status: text(call, "status"), reason })
}

/// Quick enough to look immediate, rare enough not to load the server.
const POLL_EVERY: Duration = Duration::from_millis(250);
