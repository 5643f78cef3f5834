use crate::service::platform_tokens::{KeysUnavailable, PlatformTokens};
use crate::service::session_tokens::SessionTokens;
use crate::service::{Core, PlatformTokenSettings};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tandem_model::{Account, AccountId, ApiKeyId, Permission, Permissions, SessionId, Timestamp, UserId};
use tandem_store::{Act, DatabaseError, KeyOwner, SessionOwner};

/// Who asks. Having one is the proof that the bearer was good.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose rows are read and written.
    pub(crate) account: Account,
    /// What may be done with them.
    pub(crate) permissions: Permissions,
    /// Who does it.
    pub(crate) actor: Actor,
    /// Whether this is the operator's own account, whose admins may act for others.
    node_admin: bool,
    /// How they ask.
    pub(crate) request: Asked,
}

/// How something is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Where from, if that is known.
    pub(crate) source: Option<IpAddr>,
    /// The id of the request.
    pub(crate) request_id: Option<Arc<str>>,
    /// Whether it is only asked what would happen.
    pub(crate) dry_run: bool,
    /// The version that is to be changed, if the client names one.
    pub(crate) expected_version: Option<u64>,
}

/// Who does something, whichever account it is done in.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    /// What was presented.
    pub(crate) kind: ActorKind,
    /// A name for people: of the key, or the e-mail address of the user.
    pub(crate) name: Arc<str>,
    /// The account that the actor belongs to.
    pub(crate) account: AccountId,
    /// The account that an admin of the node acts for instead.
    pub(crate) on_behalf_of: Option<AccountId>,
}

/// What a caller has presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActorKind {
    /// An API key.
    ApiKey(ApiKeyId),
    /// A person's access token.
    User(UserId, SessionId),
    /// A token of the platform that this node belongs to.
    Platform,
}

/// Somebody who may not do what they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    #[error("this needs the permission {0}, which the caller does not have")]
    Lacks(Permission),
    #[error("nobody gives the permission {0} who does not have it")]
    Gives(Permission),
    #[error("the other has the permission {0}, which the caller does not have")]
    Outranked(Permission),
    #[error("only an admin of the node acts for another account")]
    ActsForOthers,
    #[error("only the operator's own account {0}")]
    OfNode(OfNode),
    #[error("only an admin of the node changes the credit of an account")]
    ChangesCredit,
    #[error("only a person who has signed in has a password")]
    IsNoUser,
}

/// What is of the node, and not of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfNode {
    Metrics,
    AuditLog,
    Retention,
}

impl fmt::Display for OfNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metrics => "reads the metrics, which are of the whole node",
            Self::AuditLog => "reads the node's own audit log; without log=node it is the account's",
            Self::Retention => {
                "says for how long data of the whole node is kept; without of=node it is that of the account alone"
            }
        })
    }
}

/// Why nobody can tell who asks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthenticateError {
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why nobody acts for the other account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActForError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("no such account")]
    UnknownAccount,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Caller {
    pub(crate) fn account_id(&self) -> AccountId {
        self.account.id
    }

    /// Whether this is an admin of the node, who manages that account; `None` when for this caller there is no such account.
    ///
    /// # Errors
    /// It is the caller's own account, which its own admins do not manage.
    pub(crate) fn may_manage(&self, account: AccountId) -> Result<Option<()>, Forbidden> {
        let acts_for_it = self.actor.on_behalf_of == Some(account);
        if self.node_admin || acts_for_it {
            return Ok(Some(()));
        }
        if self.account.id == account { Err(Forbidden::ChangesCredit) } else { Ok(None) }
    }

    /// Whether this is an admin of the node, in their own account or acting for another.
    pub(crate) fn is_operator(&self) -> bool {
        self.node_admin || self.actor.on_behalf_of.is_some()
    }

    /// The user who has signed in, if it is one, in their own account.
    pub(crate) fn user(&self) -> Option<(UserId, SessionId)> {
        match self.actor.kind {
            ActorKind::User(user, session) if self.actor.on_behalf_of.is_none() => Some((user, session)),
            ActorKind::User(..) | ActorKind::ApiKey(_) | ActorKind::Platform => None,
        }
    }

    /// What they do at this moment.
    pub(crate) fn act(&self, at: Timestamp) -> Act {
        let Actor { kind, name, account, on_behalf_of } = &self.actor;
        let (kind, id) = match kind {
            ActorKind::ApiKey(key) => (tandem_store::ActorKind::ApiKey, Some(key.as_uuid())),
            ActorKind::User(user, _) => (tandem_store::ActorKind::User, Some(user.as_uuid())),
            ActorKind::Platform => (tandem_store::ActorKind::Platform, None),
        };
        let name = name.to_string().into();
        let actor = tandem_store::Actor { kind, id, name, account: Some(*account), on_behalf_of: *on_behalf_of };
        self.request.act(actor, at)
    }

    /// Refuses who lacks a permission.
    pub(crate) fn require(&self, permission: Permission) -> Result<(), Forbidden> {
        self.require_all(Permissions::of(&[permission]))
    }

    /// Refuses who lacks one of these permissions.
    pub(crate) fn require_all(&self, permissions: Permissions) -> Result<(), Forbidden> {
        self.permissions.first_missing(permissions).map_or(Ok(()), |missing| Err(Forbidden::Lacks(missing)))
    }

    /// Refuses who is not of the operator's own account, or acts for another.
    pub(crate) fn require_node(&self, what: OfNode) -> Result<(), Forbidden> {
        if self.node_admin { Ok(()) } else { Err(Forbidden::OfNode(what)) }
    }

    /// Refuses who would change or remove a key or person with more permissions than they have.
    pub(crate) fn may_change(&self, permissions: Permissions) -> Result<(), Forbidden> {
        self.permissions.first_missing(permissions).map_or(Ok(()), |missing| Err(Forbidden::Outranked(missing)))
    }

    /// Refuses who would give more than they have.
    pub(crate) fn may_give(&self, permissions: Permissions) -> Result<(), Forbidden> {
        self.permissions.first_missing(permissions).map_or(Ok(()), |missing| Err(Forbidden::Gives(missing)))
    }
}

impl Asked {
    /// What this actor does by it.
    pub(crate) fn act(&self, actor: tandem_store::Actor, at: Timestamp) -> Act {
        Act {
            source: self.source,
            request_id: self.request_id.as_deref().map(str::to_owned),
            dry_run: self.dry_run,
            expected_version: self.expected_version,
            ..Act::of(actor, at)
        }
    }
}

/// Tells who presents a bearer: an API key, a person's access token or a token of the platform.
///
/// Answers of the store are kept for [`FRESH`], so that a client that asks often costs no query each time; what was revoked stops
/// working within that time. While the database fails, a bearer that was good within [`STALE`] still counts until it expires, because
/// calls must go on; a look-up that does not answer within [`PATIENCE`] fails.
#[derive(Clone)]
pub(crate) struct Access {
    core: Arc<Core>,
    sessions: Arc<SessionTokens>,
    platform: Option<Arc<PlatformTokens>>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Default)]
struct Cache {
    /// By two keyed hashes of the bearer: bearers themselves are not kept in memory. The hashers' secrets are random per process, so
    /// nobody can look for a second one with the same 128 bits.
    known: HashMap<[u64; 2], Known>,
    hashers: [RandomState; 2],
}

#[derive(Clone)]
struct Known {
    caller: Caller,
    expires_at: Option<Timestamp>,
    asked_at: Instant,
}

impl Access {
    pub(super) fn new(core: Arc<Core>, sessions: Arc<SessionTokens>, platform: Option<PlatformTokenSettings>) -> Self {
        let platform = platform.map(|settings| Arc::new(PlatformTokens::new(settings)));
        Self { core, sessions, platform, cache: Arc::default() }
    }

    /// Whose bearer this is; `None` for one that is unknown, revoked, expired or forged.
    pub(crate) async fn authenticate(&self, bearer: &str) -> Result<Option<Caller>, AuthenticateError> {
        if bearer.is_empty() || bearer.len() > MAX_BEARER {
            return Ok(None);
        }
        let now = self.core.now();
        let asked_at = Instant::now();
        if let Some(caller) = self.remembered(bearer, now, asked_at, FRESH) {
            return Ok(Some(caller));
        }
        // Apart, so that the room which a look-up takes is not set aside for each request.
        Box::pin(self.authenticate_anew(bearer, now, asked_at)).await
    }

    async fn authenticate_anew(
        &self,
        bearer: &str,
        now: Timestamp,
        asked_at: Instant,
    ) -> Result<Option<Caller>, AuthenticateError> {
        let stale = self.remembered(bearer, now, asked_at, STALE);
        let asked = self.look_up(bearer, now);
        let answer = match stale {
            // Whoever has nothing to fall back on waits for as long as the store does.
            None => asked.await,
            Some(_) => tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(DatabaseError::Unavailable.into())),
        };
        match answer {
            Ok(Some((caller, expires_at))) => {
                self.remember(bearer, Known { caller: caller.clone(), expires_at, asked_at });
                Ok(Some(caller))
            }
            Ok(None) => {
                self.forget(bearer);
                Ok(None)
            }
            Err(error) => match stale {
                Some(caller) => {
                    tracing::debug!(%error, account = %caller.account.id, "a bearer cannot be looked up; what is remembered counts");
                    Ok(Some(caller))
                }
                None => Err(error),
            },
        }
    }

    /// The same caller in another account, which only admins of the node may enter.
    pub(crate) async fn act_for(&self, caller: Caller, account: AccountId) -> Result<Caller, ActForError> {
        let is_person_or_key = match caller.actor.kind {
            ActorKind::ApiKey(_) | ActorKind::User(..) => true,
            ActorKind::Platform => false,
        };
        if !(caller.node_admin && is_person_or_key && caller.permissions.allow(Permission::Admin)) {
            return Err(Forbidden::ActsForOthers.into());
        }
        let account = self.core.store.account(account).await?.ok_or(ActForError::UnknownAccount)?;
        let actor = Actor { on_behalf_of: Some(account.id), ..caller.actor };
        tracing::info!(actor = %actor.name, kind = ?actor.kind, own = %actor.account, account = %account.id, "an admin of the node acts for an account");
        Ok(Caller { account, actor, permissions: caller.permissions, node_admin: false, request: caller.request })
    }

    /// Whether the bearer of a caller is still good for what was allowed by it, as far as anybody can tell.
    pub(crate) async fn is_still_good(&self, bearer: &str, caller: &Caller, needed: Permissions) -> bool {
        match self.authenticate(bearer).await {
            Ok(Some(now)) => match caller.actor.on_behalf_of {
                None => {
                    now.account_id() == caller.account_id()
                        && now.require_all(needed).is_ok()
                        && (now.node_admin || !caller.node_admin)
                }
                Some(_) => now.node_admin && now.permissions.allow(Permission::Admin),
            },
            Ok(None) => false,
            // What cannot be looked up counts, as it does for requests.
            Err(error) => {
                tracing::debug!(%error, "a bearer cannot be looked at again");
                true
            }
        }
    }

    async fn look_up(
        &self,
        bearer: &str,
        now: Timestamp,
    ) -> Result<Option<(Caller, Option<Timestamp>)>, AuthenticateError> {
        if !is_token(bearer) {
            return Ok(self.look_up_key(bearer, now).await?);
        }
        if let Some(claims) = self.sessions.verify(bearer, now) {
            let owner = self.core.store.session(claims.session, now).await?;
            let owner = owner.filter(|owner| owner.user.id == claims.user);
            return Ok(owner.map(|owner| (Caller::of_session(owner), Some(claims.expires_at))));
        }
        let Some(platform) = &self.platform else {
            return Ok(None);
        };
        let Some(claims) = platform.verify(bearer, now).await? else {
            return Ok(None);
        };
        if self.core.store.is_node_admin(claims.account).await? {
            let account = claims.account;
            tracing::warn!(%account, role = %claims.role, "a token of the platform names the operator's own account and is not taken: it could make keys that act for every account");
            return Ok(None);
        }
        let account = match claims.tier {
            Some(tier) => {
                let platform = tandem_store::Actor::new(tandem_store::ActorKind::Platform, "platform".into());
                let act = Act::of(platform, now);
                self.core.store.account_with_tier(&act, claims.account, tier, claims.issued_at).await?
            }
            None => self.core.store.account(claims.account).await?,
        };
        Ok(account.map(|account| {
            let actor =
                Actor { kind: ActorKind::Platform, name: "platform".into(), account: account.id, on_behalf_of: None };
            let request = Asked::default();
            let caller = Caller { account, permissions: claims.role.permissions(), actor, node_admin: false, request };
            (caller, Some(claims.expires_at))
        }))
    }

    async fn look_up_key(
        &self,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<(Caller, Option<Timestamp>)>, DatabaseError> {
        let Some(owner) = self.core.store.authenticate(key).await? else {
            return Ok(None);
        };
        if owner.expires_at.is_some_and(|end| end <= now) {
            return Ok(None);
        }
        if owner.is_use_due(now) {
            let (store, id) = (self.core.store.clone(), owner.key_id);
            // Nobody waits for it.
            tokio::spawn(async move { store.note_key_use(id, now).await });
        }
        let expires_at = owner.expires_at;
        Ok(Some((Caller::of_key(owner), expires_at)))
    }

    fn remembered(&self, bearer: &str, now: Timestamp, asked_at: Instant, age: Duration) -> Option<Caller> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache.known.get(&cache.fingerprint(bearer))?;
        let is_young = asked_at.saturating_duration_since(known.asked_at) < age;
        let is_alive = known.expires_at.is_none_or(|end| now < end);
        (is_young && is_alive).then(|| known.caller.clone())
    }

    fn remember(&self, bearer: &str, known: Known) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.known.len() >= MAX_REMEMBERED {
            let now = known.asked_at;
            cache.known.retain(|_, known| now.saturating_duration_since(known.asked_at) < FRESH);
        }
        if cache.known.len() < MAX_REMEMBERED {
            let fingerprint = cache.fingerprint(bearer);
            cache.known.insert(fingerprint, known);
        }
    }

    fn forget(&self, bearer: &str) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = cache.fingerprint(bearer);
        cache.known.remove(&fingerprint);
    }
}

impl Caller {
    /// Somebody who may do everything in the account.
    #[cfg(test)]
    pub(crate) fn for_tests(account: Account) -> Self {
        let actor = Actor { kind: ActorKind::Platform, name: "test".into(), account: account.id, on_behalf_of: None };
        Self { account, permissions: Permissions::ALL, actor, node_admin: false, request: Asked::default() }
    }

    fn of_key(owner: KeyOwner) -> Self {
        let actor = Actor {
            kind: ActorKind::ApiKey(owner.key_id),
            name: owner.name.into(),
            account: owner.account.id,
            on_behalf_of: None,
        };
        Self {
            account: owner.account,
            permissions: owner.scopes,
            actor,
            node_admin: owner.node_admin,
            request: Asked::default(),
        }
    }

    fn of_session(owner: SessionOwner) -> Self {
        let actor = Actor {
            kind: ActorKind::User(owner.user.id, owner.session.id),
            name: owner.user.email.into(),
            account: owner.account.id,
            on_behalf_of: None,
        };
        Self {
            account: owner.account,
            permissions: owner.user.role.permissions(),
            actor,
            node_admin: owner.node_admin,
            request: Asked::default(),
        }
    }
}

impl Cache {
    fn fingerprint(&self, bearer: &str) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(bearer))
    }
}

/// A signed token has three parts (RFC 7515 §7.1); a key has none of these dots between what begins as JSON does in base64.
fn is_token(bearer: &str) -> bool {
    bearer.starts_with("eyJ") && bearer.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// How long an answer of the store counts: what a revoked bearer may still do is bounded by it. The contract is 100 ms.
const FRESH: Duration = Duration::from_millis(80);
/// How long a bearer counts while the database fails.
const STALE: Duration = Duration::from_secs(60 * 60);
/// How long a request with a bearer that is remembered waits for the store: hundreds of times what a look-up takes.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bearers remembered at once; beyond it they are looked up each time.
const MAX_REMEMBERED: usize = 4_096;
/// Longest bearer that is looked at: some platforms write long tokens.
const MAX_BEARER: usize = 8_192;
