use std::borrow::Cow;
use std::net::IpAddr;
use tandem_model::{AccountId, ApiKeyId, Timestamp};
use uuid::Uuid;

/// Who does something, from where, when and how. Whatever changes what people see takes one.
///
/// Its transaction writes the change and the entry of the audit log, and commits both; or neither, when it is only asked what would
/// happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub actor: Actor,
    /// Where from, when it came over the network.
    pub source: Option<IpAddr>,
    /// The id of the request that asked for it.
    pub request_id: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Everything is done and answered as usual, and then taken back. Who asked must leave out what follows a commit.
    pub dry_run: bool,
    /// The version that the row must have, where rows have one; `None` takes any.
    pub expected_version: Option<u64>,
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What it is.
    pub kind: ActorKind,
    /// The id of the key or the user.
    pub id: Option<Uuid>,
    /// A name for people: of the key, the job or the operating system's user, or the e-mail address of the user.
    pub name: Cow<'static, str>,
    /// The account that the actor belongs to, if it belongs to one.
    pub account: Option<AccountId>,
    /// The account that an admin of the node acts for instead.
    pub on_behalf_of: Option<AccountId>,
}

/// What does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// Who presented an API key.
    ApiKey,
    /// A person who has signed in.
    User,
    /// Who presented a token of the platform.
    Platform,
    /// Somebody at the command line of the node.
    Cli,
    /// The node itself: a job.
    System,
    /// Somebody who has not shown who they are.
    Stranger,
}

impl Act {
    /// What the node does by itself, in the job of this name.
    #[must_use]
    pub const fn system(job: &'static str, at: Timestamp) -> Self {
        Self::of(Actor::new(ActorKind::System, Cow::Borrowed(job)), at)
    }

    /// What somebody does at the command line, as this user of the operating system.
    #[must_use]
    pub const fn cli(user: String, at: Timestamp) -> Self {
        Self::of(Actor::new(ActorKind::Cli, Cow::Owned(user)), at)
    }

    /// What somebody does, for real and with whatever version there is.
    #[must_use]
    pub const fn of(actor: Actor, at: Timestamp) -> Self {
        Self { actor, source: None, request_id: None, at, dry_run: false, expected_version: None }
    }
}

impl Actor {
    /// One of no account and without an id.
    #[must_use]
    pub const fn new(kind: ActorKind, name: Cow<'static, str>) -> Self {
        Self { kind, id: None, name, account: None, on_behalf_of: None }
    }

    /// The API key that does it, if one does.
    pub(crate) fn key(&self) -> Option<ApiKeyId> {
        let id = self.id.filter(|_| self.kind == ActorKind::ApiKey);
        id.map(ApiKeyId::from_uuid)
    }
}

impl ActorKind {
    /// The spelling in the database and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::User => "user",
            Self::Platform => "platform",
            Self::Cli => "cli",
            Self::System => "system",
            Self::Stranger => "stranger",
        }
    }
}
