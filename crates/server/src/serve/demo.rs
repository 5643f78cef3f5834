use super::keys::AdminKey;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::SocketAddr;
use tandem_model::Secret;

/// Why the demo is not set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("the demo's trunks could not be made: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the demo's trunks could not be made: the API answered {status}: {answer}")]
    Refused { status: u16, answer: String },
    #[error(
        "the data directory belongs to a node whose API key is not kept; set TANDEM_DATA_DIR to a folder of its own"
    )]
    NoKey,
}

/// Sets up what the demo has beyond an empty node, by the API as anybody would, and says what to do next.
pub(super) async fn introduce(http: SocketAddr, key: &AdminKey, carrier: [SocketAddr; 2]) -> Result<(), DemoError> {
    let key = match key {
        AdminKey::New(key) | AdminKey::Known(key) => key,
        AdminKey::Hidden => return Err(DemoError::NoKey),
    };
    let api = Api {
        base: format!("http://{http}/api/v1/telephony"),
        key,
        client: reqwest::Client::builder().no_proxy().build()?,
    };
    let [first, second] = carrier;
    let second_id = api.trunk("demo-second", second, 2, None).await?;
    api.trunk("demo-first", first, 1, Some(&second_id)).await?;
    // A closed standard output means that nobody wants to see it.
    let _ = write!(io::stdout(), "{}", welcome(&api.base, key));
    let _ = io::stdout().flush();
    Ok(())
}

struct Api<'a> {
    base: String,
    key: &'a Secret,
    client: reqwest::Client,
}

impl Api<'_> {
    /// The id of the trunk of this name, made if it is not there.
    async fn trunk(
        &self,
        name: &str,
        carrier: SocketAddr,
        priority: u8,
        failover: Option<&str>,
    ) -> Result<String, DemoError> {
        let url = format!("{}/trunks", self.base);
        let listed = self.answer(self.client.get(&url)).await?;
        let known =
            listed.as_array().into_iter().flatten().find(|trunk| trunk.get("name").is_some_and(|known| known == name));
        if let Some(id) = known.and_then(id_of) {
            return Ok(id);
        }
        let body = json!({
            "name": name,
            "description": "The simulated carrier that comes with Tandem.",
            "provider": "custom",
            "sip_domain": carrier.ip().to_string(),
            "sip_port": carrier.port(),
            "sip_username": "demo",
            "sip_password": "demo",
            "priority": priority,
            "cost_per_minute": 0.0042,
            "failover_trunk_id": failover,
        });
        let made = self.answer(self.client.post(&url).json(&body)).await?;
        id_of(&made).ok_or_else(|| DemoError::Refused { status: 201, answer: made.to_string() })
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, DemoError> {
        let answer = request.bearer_auth(self.key.expose()).send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.json().await?);
        }
        Err(DemoError::Refused { status: status.as_u16(), answer: answer.text().await? })
    }
}

fn id_of(trunk: &Value) -> Option<String> {
    trunk.get("id")?.as_str().map(str::to_owned)
}

fn welcome(base: &str, key: &Secret) -> String {
    let key = key.expose();
    format!(
        "\nTandem is running, with a simulated carrier behind two trunks. Your API key:\n\n  {key}\n\n\
         Place a first call: it rings for a second and answers; you play it a tone, and it echoes.\n\n  \
         curl -sS -X POST {base}/calls/dial -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \
         -d '{{\"to_number\":\"+12025550100\",\"connect\":{{\"type\":\"play\",\"tone\":\"440\"}}}}'\n\n\
         The answer has the call's id: GET {base}/calls/{{id}} shows it, /route why it went where it went,\n\
         POST …/hangup ends it. Other numbers to try: +12025550102 is busy, 0104 fails over, 0106 has early media.\n\
         Ctrl-C stops.\n\n"
    )
}
