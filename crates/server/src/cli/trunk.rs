use super::ConfigSource;
use super::api::{Api, ApiArgs, ApiError};
use super::database::block_on;
use super::failure::Failure;
use super::output::{Output, Table};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct TrunkArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: TrunkCommand,
}

#[derive(Subcommand)]
enum TrunkCommand {
    /// List the trunks in the order in which they are tried
    List,
    /// Show everything about a trunk
    Show {
        /// Its name or id
        trunk: String,
    },
    /// Add a trunk
    Add(Box<AddArgs>),
    /// Send an OPTIONS over a trunk and tell what came back; with --call also place a short call and listen
    Test {
        /// Its name or id
        trunk: String,
        /// A number to call for some seconds, best one that answers with an echo
        #[arg(long, value_name = "NUMBER")]
        call: Option<String>,
    },
}

#[derive(Args)]
struct AddArgs {
    /// 1 to 100 characters, unique in the account
    #[arg(required_unless_present = "from")]
    name: Option<String>,
    /// The whole body of POST /trunks as a JSON file, - for standard input; the other options override its fields
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// twilio, telnyx, bandwidth, vonage or custom [default: custom]
    #[arg(long)]
    provider: Option<String>,
    /// The carrier's host
    #[arg(long, required_unless_present = "from")]
    domain: Option<String>,
    /// Its SIP port [default: 5060]
    #[arg(long)]
    port: Option<u16>,
    /// The next hop, when it is not the domain
    #[arg(long)]
    proxy: Option<String>,
    /// Our account at the carrier
    #[arg(long, required_unless_present = "from")]
    username: Option<String>,
    /// A file whose first line is the password, - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    password_file: Option<PathBuf>,
    /// inbound, outbound or bidirectional [default: bidirectional]
    #[arg(long)]
    direction: Option<String>,
    /// Concurrent calls it may carry [default: 10]
    #[arg(long, value_name = "N")]
    max_calls: Option<u32>,
    /// 1 to 100; lower ones are tried first [default: 1]
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// Name or id of the trunk to try when this one fails
    #[arg(long, value_name = "TRUNK")]
    failover: Option<String>,
    /// A prefix of the numbers that it takes; may be repeated [default: all]
    #[arg(long = "prefix", value_name = "PREFIX")]
    prefixes: Vec<String>,
}

impl TrunkArgs {
    pub(super) fn perform(self, source: &ConfigSource, output: &Output) -> Result<(), Failure> {
        let api = self.api.connect(source)?;
        match self.command {
            TrunkCommand::List => list(&api, output),
            TrunkCommand::Show { trunk } => {
                let trunk = block_on(find(&api, &trunk))?;
                Ok(output.answer(&trunk, || members(&trunk).to_string())?)
            }
            TrunkCommand::Add(arguments) => arguments.perform(&api, output),
            TrunkCommand::Test { trunk, call } => test(&api, &trunk, call.as_deref(), output),
        }
    }
}

impl AddArgs {
    fn perform(self, api: &Api, output: &Output) -> Result<(), Failure> {
        let mut body = match &self.from {
            Some(path) => read_object(path)?,
            None => Map::from_iter([("provider".to_owned(), json!("custom"))]),
        };
        let password = self.password_file.as_deref().map(read_password).transpose()?;
        for (field, value) in [
            ("name", self.name.map(Value::from)),
            ("provider", self.provider.map(Value::from)),
            ("sip_domain", self.domain.map(Value::from)),
            ("sip_port", self.port.map(Value::from)),
            ("sip_proxy", self.proxy.map(Value::from)),
            ("sip_username", self.username.map(Value::from)),
            ("sip_password", password.map(Value::from)),
            ("call_direction", self.direction.map(Value::from)),
            ("max_concurrent_calls", self.max_calls.map(Value::from)),
            ("priority", self.priority.map(Value::from)),
        ] {
            if let Some(value) = value {
                body.insert(field.to_owned(), value);
            }
        }
        if !self.prefixes.is_empty() {
            let routing = body.entry("outbound_routing").or_insert_with(|| json!({}));
            if let Some(routing) = routing.as_object_mut() {
                routing.insert("prefixes".to_owned(), json!(self.prefixes));
            }
        }
        let made = block_on(async {
            if let Some(failover) = &self.failover {
                body.insert("failover_trunk_id".to_owned(), json!(text(&find(api, failover).await?, "id")));
            }
            Ok(api.post(&["trunks"], Some(&Value::Object(body))).await?)
        })?;
        output.answer(&made, || table(std::slice::from_ref(&made)).to_string())?;
        if !output.is_json() {
            for warning in
                made.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
            {
                Output::remark(&format!("warning: {warning}"));
            }
        }
        Ok(())
    }
}

fn list(api: &Api, output: &Output) -> Result<(), Failure> {
    let trunks = block_on(async { Ok(every(api).await?) })?;
    Ok(output.answer(&trunks, || table(&trunks).to_string())?)
}

/// Answers what was found, and fails when the trunk cannot take a call, or the call that was asked for did not bring its tone back.
fn test(api: &Api, named: &str, call: Option<&str>, output: &Output) -> Result<(), Failure> {
    let found = block_on(async {
        let id = id_of(api, named).await?;
        let body = call.map(|number| json!({"call": number}));
        Ok(api.post(&["trunks", &id, "health-check"], body.as_ref()).await?)
    })?;
    let tested = found.get("call").filter(|call| !call.is_null()).cloned();
    let details = found.get("details").cloned().unwrap_or_default();
    output.answer(&found, || {
        let mut table = Table::new(&["STATUS", "LATENCY", "SIP", "TARGET", "FAILURE"]);
        let latency = match text(&found, "latency_ms") {
            none if none.is_empty() => none,
            milliseconds => format!("{milliseconds} ms"),
        };
        table.row([
            text(&found, "status"),
            latency,
            text(&details, "sip_status"),
            text(&details, "target"),
            text(&details, "failure"),
        ]);
        match &tested {
            Some(tested) => format!("{table}\n{}", call_table(tested)),
            None => table.to_string(),
        }
    })?;
    match text(&found, "status").as_str() {
        "healthy" | "degraded" => match tested {
            Some(tested) if tested.get("passed") != Some(&Value::Bool(true)) => Err(match text(&tested, "heard") {
                none if none.is_empty() => unanswered(&tested),
                heard => Failure::TestCallUnheard { heard },
            }),
            Some(_) | None => Ok(()),
        },
        status => {
            let reason = match text(&details, "failure") {
                none if none.is_empty() => none,
                failure => format!(": {failure}"),
            };
            Err(Failure::TrunkUnwell { status: status.to_owned(), reason })
        }
    }
}

/// Why nobody was heard.
fn unanswered(tested: &Value) -> Failure {
    let reason = match (text(tested, "hangup_cause"), text(tested, "sip_status")) {
        (cause, none) if none.is_empty() => cause,
        (none, status) if none.is_empty() => status,
        (cause, status) => format!("{cause}, {status}"),
    };
    let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
    Failure::TestCallUnanswered { status: text(tested, "status"), reason }
}

/// How the call went.
fn call_table(tested: &Value) -> Table {
    let with = |member: &str, unit: &str| match text(tested, member) {
        none if none.is_empty() => none,
        number => format!("{number} {unit}"),
    };
    let mut table =
        Table::new(&["CALL", "SIP", "SETUP", "ANSWER", "HEARD", "TONE", "LEVEL", "LOST", "JITTER", "MOS", "ENDED"]);
    table.row([
        text(tested, "status"),
        text(tested, "sip_status"),
        with("setup_ms", "ms"),
        with("answer_ms", "ms"),
        text(tested, "heard"),
        with("tone_ms", "ms"),
        with("level_dbm0", "dBm0"),
        text(tested, "packets_lost"),
        tested
            .get("jitter_us")
            .and_then(Value::as_f64)
            .map_or_else(String::new, |micros| format!("{:.1} ms", micros / 1_000.0)),
        text(tested, "mos"),
        text(tested, "hangup_cause"),
    ]);
    table
}

/// The id of a trunk that is named by name or id.
pub(super) async fn id_of(api: &Api, named: &str) -> Result<String, Failure> {
    Ok(text(&find(api, named).await?, "id"))
}

/// An id wins over a name that looks like it.
async fn find(api: &Api, named: &str) -> Result<Value, Failure> {
    let trunks = every(api).await?;
    let by = |member: &str| trunks.iter().find(|trunk| text(trunk, member) == named);
    by("id").or_else(|| by("name")).cloned().ok_or_else(|| Failure::UnknownTrunk { named: named.to_owned() })
}

async fn every(api: &Api) -> Result<Vec<Value>, ApiError> {
    let mut trunks = Vec::new();
    loop {
        let skip = trunks.len().to_string();
        let page = api.get(&["trunks"], &[("skip", &skip), ("limit", &PAGE.to_string())]).await?;
        let Value::Array(mut page) = page else { return Ok(trunks) };
        let is_last = page.len() < PAGE;
        trunks.append(&mut page);
        if is_last {
            return Ok(trunks);
        }
    }
}

fn table(trunks: &[Value]) -> Table {
    let mut table =
        Table::new(&["ID", "NAME", "PROVIDER", "TARGET", "STATUS", "HEALTH", "CALLS", "PRIORITY", "UNROUTABLE"]);
    for trunk in trunks {
        table.row([
            text(trunk, "id"),
            text(trunk, "name"),
            text(trunk, "provider"),
            format!("{}:{}", text(trunk, "sip_domain"), text(trunk, "sip_port")),
            text(trunk, "status"),
            text(trunk, "health_status"),
            format!("{}/{}", text(trunk, "current_active_calls"), text(trunk, "max_concurrent_calls")),
            text(trunk, "priority"),
            text(trunk, "unroutable_reason"),
        ]);
    }
    table
}

/// Every member of an object, one to a row.
fn members(object: &Value) -> Table {
    let mut table = Table::new(&["FIELD", "VALUE"]);
    for (field, _) in object.as_object().into_iter().flatten() {
        table.row([field.clone(), text(object, field)]);
    }
    table
}

/// A member as text; nothing for one that is missing or null.
pub(super) fn text(object: &Value, member: &str) -> String {
    match object.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => other.to_string(),
    }
}

fn read_object(path: &Path) -> Result<Map<String, Value>, Failure> {
    let (text, source_name) = read(path)?;
    serde_json::from_str(&text).map_err(|error| Failure::NoJsonObject { source_name, reason: error.to_string() })
}

/// The first line, so that a file made by an editor works.
pub(super) fn read_password(path: &Path) -> Result<String, Failure> {
    if is_stdin(path) && io::stdin().is_terminal() {
        return Err(Failure::PasswordFromTerminal);
    }
    let (text, source_name) = read(path)?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        Some(_) | None => Err(Failure::NoPassword { source_name }),
    }
}

fn read(path: &Path) -> Result<(String, String), Failure> {
    let source_name = if is_stdin(path) { "standard input".to_owned() } else { format!("{path:?}") };
    let mut text = String::new();
    let read = if is_stdin(path) {
        io::stdin().lock().take(MAX_INPUT_BYTES).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MAX_INPUT_BYTES).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok((text, source_name)),
        Err(source) => Err(Failure::Read { source_name, source }),
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// The most that the API gives at once.
const PAGE: usize = 1_000;
/// The API takes no larger body.
const MAX_INPUT_BYTES: u64 = 1024 * 1024;
