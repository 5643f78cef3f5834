use super::identity::random_bits;
use super::keys::{ADMIN_ACCOUNT, AdminKey};
use crate::runtime::SystemClock;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;
use tandem_model::{Role, Secret, UserId};
use tandem_store::{Act, DatabaseError, InsertUserError, MakeLinkError, Store, User};

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
    #[error("the demo's user could not be made: {0}")]
    User(#[from] InsertUserError),
    #[error("the demo's sign-in link could not be made: {0}")]
    Link(#[from] MakeLinkError),
    #[error("the database failed: {0}")]
    Database(#[from] DatabaseError),
}

/// A link by which whoever sees it signs in once as the demo's user, who is made without a password if they are not there.
pub(super) async fn sign_in_link(store: &Store, http: SocketAddr) -> Result<String, DemoError> {
    let now = SystemClock::utc();
    let act = Act::system("demo", now);
    let account = store.ensure_admin_account(&act, ADMIN_ACCOUNT).await?;
    let known = store.user_by_email(DEMO_USER).await?.filter(|(user, _)| user.account_id == account.id);
    let id = match known {
        Some((user, _)) => user.id,
        None => {
            let user = User {
                id: UserId::new(now, random_bits()),
                account_id: account.id,
                name: "Demo".to_owned(),
                email: DEMO_USER.to_owned(),
                role: Role::Admin,
                created_at: now,
            };
            store.insert_user(&act, &user, None).await?;
            user.id
        }
    };
    let token = store.make_sign_in_link(&act, account.id, id, now.saturating_add(LINK_LIFE)).await?;
    Ok(format!("http://{http}/#sign-in={}", token.expose()))
}

/// Sets up what the demo has beyond an empty node, by the API as anybody would, and says what to do next.
pub(super) async fn introduce(
    http: SocketAddr,
    key: &AdminKey,
    carrier: [SocketAddr; 2],
    link: &str,
) -> Result<(), DemoError> {
    let key = match key {
        AdminKey::New(key) | AdminKey::Known(key) => key,
        AdminKey::Hidden => return Err(DemoError::NoKey),
    };
    let api = Api {
        base: format!("http://{http}/api/v1/telephony"),
        key,
        client: reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?,
    };
    let [first, second] = carrier;
    let second_id = api.trunk("demo-second", second, 2, None).await?;
    api.trunk("demo-first", first, 1, Some(&second_id)).await?;
    // A closed standard output means that nobody wants to see it.
    let _ = write!(io::stdout(), "{}", welcome(&api.base, key, link));
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

fn welcome(base: &str, key: &Secret, link: &str) -> String {
    let key = key.expose();
    format!(
        "\nTandem is running, with a simulated carrier behind two trunks. Your API key:\n\n  {key}\n\n\
         Place a first call: it rings for a second and answers; you play it a tone, and it echoes.\n\n  \
         curl -sS -X POST {base}/calls/dial -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \
         -d '{{\"to_number\":\"+12025550100\",\"connect\":{{\"type\":\"play\",\"tone\":\"440\"}}}}'\n\n\
         The answer has the call's id: GET {base}/calls/{{id}} shows it, /route why it went where it went,\n\
         POST …/hangup ends it. Other numbers to try: +12025550102 is busy, 0104 fails over, 0106 has early media,\n\
         0110 a bad line; tandem carrier --help lists all.\n\
         To sign in as a person, once and within ten minutes: POST {base}/sessions takes the token behind #sign-in= as link_token.\n\n  \
         {link}\n\n\
         Ctrl-C stops.\n\n"
    )
}

/// Whom the link signs in.
const DEMO_USER: &str = "demo@localhost";
/// Long enough to read the screen.
const LINK_LIFE: Duration = Duration::from_secs(10 * 60);
