use crate::http::model_schema;
use crate::http::shown_once::ShownOnce;
use crate::service::{ACCESS_LIFE, SignedIn};
use serde::Serialize;
use tandem_model::{Permission, Role, Secret, SessionId, Timestamp};
use tandem_store::{ApiKey, KeyMaker, SESSION_LIFE, Session, User};
use utoipa::ToSchema;
use uuid::Uuid;

/// An API key, without the key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    name: String,
    /// How the key begins.
    prefix: String,
    /// What it may do.
    #[schema(value_type = Vec<model_schema::Permission>)]
    scopes: Vec<Permission>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Who made it; `null` for keys of which that was not noted yet.
    created_by: Option<ApiKeyMakerView>,
    /// From when on it no longer counts.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// To about a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// Who made an API key, as the audit log names actors.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyMaker)]
pub(crate) struct ApiKeyMakerView {
    /// `api_key`, `user`, `platform`, `cli` or `system`.
    kind: String,
    /// The key or the user.
    id: Option<Uuid>,
}

/// An API key that was made now.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyCreated)]
pub(crate) struct ApiKeyCreatedView {
    #[serde(flatten)]
    key: ApiKeyView,
    /// The key itself. It is not kept and cannot be shown again.
    #[serde(rename = "key")]
    #[schema(value_type = String)]
    secret: ShownOnce,
}

/// A person who acts for the account.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    name: String,
    /// In lower case.
    email: String,
    #[schema(inline, value_type = model_schema::Role)]
    role: Role,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A user who was added now.
#[derive(Serialize, ToSchema)]
#[schema(as = UserCreated)]
pub(crate) struct UserCreatedView {
    #[serde(flatten)]
    user: UserView,
    /// The password, when none was sent. It is not kept and cannot be shown again.
    #[schema(value_type = Option<String>)]
    password: Option<ShownOnce>,
}

/// A person's sign-in on one device.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    /// Who signed in: the id of a user of the account.
    signed_in_user_id: Uuid,
    /// Where from, as far as that is known.
    client_address: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its tokens were last renewed.
    #[schema(value_type = String, format = DateTime)]
    refreshed_at: Timestamp,
    /// When it ends unless its tokens are renewed.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Whether it is the one by which this was asked.
    current: bool,
}

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub(crate) struct SignedInView {
    session_id: Uuid,
    /// Sent with each request: `Authorization: Bearer …`.
    #[schema(value_type = String)]
    access_token: ShownOnce,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds that the access token counts.
    expires_in: u64,
    /// For new tokens, once.
    #[schema(value_type = String)]
    refresh_token: ShownOnce,
    /// Seconds that the refresh token counts.
    refresh_expires_in: u64,
    user: UserView,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.as_uuid(),
            user_id: key.account_id.as_uuid(),
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes.iter().collect(),
            created_at: key.created_at,
            created_by: key.created_by.map(|KeyMaker { kind, id }| ApiKeyMakerView { kind, id }),
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

impl ApiKeyCreatedView {
    pub(crate) fn new(key: ApiKey, secret: &Secret) -> Self {
        Self { key: key.into(), secret: secret.into() }
    }
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.as_uuid(),
            user_id: user.account_id.as_uuid(),
            name: user.name,
            email: user.email,
            role: user.role,
            created_at: user.created_at,
        }
    }
}

impl UserCreatedView {
    pub(crate) fn new(user: User, password: Option<&Secret>) -> Self {
        Self { user: user.into(), password: password.map(ShownOnce::from) }
    }
}

impl SessionView {
    pub(crate) fn new(session: Session, current: Option<SessionId>) -> Self {
        Self {
            id: session.id.as_uuid(),
            user_id: session.account_id.as_uuid(),
            signed_in_user_id: session.user_id.as_uuid(),
            client_address: session.client_address,
            created_at: session.created_at,
            refreshed_at: session.refreshed_at,
            expires_at: session.expires_at,
            current: current == Some(session.id),
        }
    }
}

impl From<SignedIn> for SignedInView {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            session_id: signed_in.owner.session.id.as_uuid(),
            access_token: (&signed_in.access_token).into(),
            token_type: "Bearer",
            expires_in: ACCESS_LIFE.as_secs(),
            refresh_token: (&signed_in.refresh_token).into(),
            refresh_expires_in: SESSION_LIFE.as_secs(),
            user: signed_in.owner.user.into(),
        }
    }
}
