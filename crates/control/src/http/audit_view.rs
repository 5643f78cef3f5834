use serde::Serialize;
use serde_json::Value;
use tandem_model::{AccountId, Timestamp};
use tandem_store::AuditEntry;
use utoipa::ToSchema;
use uuid::Uuid;

/// What somebody did.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditEntryView {
    /// Its place in the log, from 1 on. None is left out, but the oldest may be gone.
    #[schema(minimum = 1)]
    number: u64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    actor: AuditActorView,
    /// What was done: the kind of thing and a verb, as in `trunk.update`.
    action: String,
    /// The kind of thing it was done to.
    resource_type: String,
    /// The id of the thing it was done to.
    resource_id: String,
    /// The fields that changed or went away, as they were. Secrets are never among them.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// The fields that changed or came, as they are then. Of a secret it says that it was `replaced`.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
    /// Whether `before` and `after` were erased: somebody asked for it.
    erased: bool,
    /// The request that asked for it, as in its `x-request-id`.
    request_id: Option<String>,
    /// The node that did it.
    node_id: Uuid,
    /// SHA-256 of this entry and, by the one before it, of all before it.
    hash: String,
}

/// Who did it.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditActor)]
pub(crate) struct AuditActorView {
    /// `api_key`, `user`, `platform`, `cli`, `system`, or `stranger` for somebody who had not signed in.
    kind: String,
    /// The key or the user.
    id: Option<Uuid>,
    /// A name for people: of the key, the job or the user of the operating system, or the user's e-mail address.
    name: String,
    /// The account of the actor.
    user_id: Option<Uuid>,
    /// The account that an admin of the node acted for, by `X-Act-As`.
    on_behalf_of: Option<Uuid>,
    /// The address that it came from.
    source: Option<String>,
}

impl From<AuditEntry> for AuditEntryView {
    fn from(entry: AuditEntry) -> Self {
        let erased = entry.details.is_none();
        let mut details = entry.details.unwrap_or_default();
        let mut side = |name: &str| details.get_mut(name).map(Value::take);
        Self {
            number: entry.number,
            at: entry.at,
            actor: AuditActorView {
                kind: entry.actor_kind,
                id: entry.actor_id,
                name: entry.actor_name,
                user_id: entry.actor_account.map(AccountId::as_uuid),
                on_behalf_of: entry.on_behalf_of.map(AccountId::as_uuid),
                source: entry.source,
            },
            action: entry.action,
            resource_type: entry.resource_type,
            resource_id: entry.resource_id,
            before: side("before"),
            after: side("after"),
            erased,
            request_id: entry.request_id,
            node_id: entry.node_id.as_uuid(),
            hash: entry.hash,
        }
    }
}
