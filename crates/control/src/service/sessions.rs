use crate::service::passwords::{Passwords, PasswordsError};
use crate::service::session_tokens::SessionTokens;
use crate::service::source_limit::{SourceLimit, key_of};
use crate::service::{Asked, Caller, Core, Forbidden, ListRequest, Page, Total};
use crate::wire::Credentials;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{Permission, Secret, SessionId, Timestamp, UserId};
use tandem_store::{
    Actor, ActorKind, Change, DatabaseError, Refreshed, Session, SessionOwner, SignInAttempt, Store, User,
};

/// People who sign in, and stay so.
#[derive(Clone)]
pub(crate) struct Sessions {
    core: Arc<Core>,
    passwords: Passwords,
    tokens: Arc<SessionTokens>,
    sources: Arc<SourceLimit>,
}

/// The tokens of a session, with whom it speaks for.
pub(crate) struct SignedIn {
    pub(crate) access_token: Secret,
    pub(crate) refresh_token: Secret,
    pub(crate) owner: SessionOwner,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// It does not say whether there is such a user.
    #[error("the e-mail address or the password is wrong")]
    WrongPassword,
    #[error("the sign-in link is unknown, was used, or is too old")]
    WrongLink,
    #[error("the refresh token is unknown, was used, or is too old")]
    WrongRefreshToken,
    #[error("too many wrong attempts; the next may be in {0:?}")]
    TooMany(Duration),
    #[error(transparent)]
    Passwords(#[from] PasswordsError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a session is not ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndSessionError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("no such session")]
    NotFound,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Sessions {
    pub(super) fn new(core: Arc<Core>, passwords: Passwords, tokens: Arc<SessionTokens>) -> Self {
        Self { core, passwords, tokens, sources: Arc::default() }
    }

    /// Signs somebody in.
    pub(crate) async fn sign_in(&self, credentials: Credentials, asked: &Asked) -> Result<SignedIn, SignInError> {
        let now = self.core.now();
        let source = asked.source;
        self.sources.take(source, now).map_err(SignInError::TooMany)?;
        let identified = match credentials {
            Credentials::Password { email, password } => self.by_password(&email, password, asked, now).await,
            Credentials::Link(token) => self.by_link(&token, now).await,
        };
        match &identified {
            // What was right, or not looked at, was no guess.
            Ok(_) | Err(SignInError::Passwords(_) | SignInError::Database(_)) => self.sources.give_back(source),
            Err(
                SignInError::WrongPassword
                | SignInError::WrongLink
                | SignInError::WrongRefreshToken
                | SignInError::TooMany(_),
            ) => {}
        }
        let user = identified?;
        let act = asked.act(person(&user), now);
        self.core.store.note_sign_in(&user.email, key_of(source), now).await?;
        let (account, user) = (user.account_id, user.id);
        let address = source.map(|source| source.to_string());
        let (session, refresh_token) = self.core.store.open_session(&act, account, user, address, now).await?;
        tracing::info!(%account, %user, session = %session.id, client = ?source, "a user has signed in");
        self.signed_in(session.id, refresh_token, now).await?.ok_or(SignInError::WrongPassword)
    }

    /// New tokens for a refresh token, which is spent by it.
    pub(crate) async fn refresh(&self, token: &Secret, asked: &Asked) -> Result<SignedIn, SignInError> {
        let now = self.core.now();
        let act = asked.act(Actor::new(ActorKind::Stranger, "holder of a refresh token".into()), now);
        match self.core.store.refresh_session(&act, token.expose(), now).await? {
            Refreshed::Renewed(session, next) => {
                self.signed_in(session, next, now).await?.ok_or(SignInError::WrongRefreshToken)
            }
            Refreshed::Reused(session) => {
                tracing::warn!(%session, "a refresh token was used twice: somebody else has it, and the session is over");
                Err(SignInError::WrongRefreshToken)
            }
            Refreshed::Unknown => Err(SignInError::WrongRefreshToken),
        }
    }

    /// Sessions that have not ended, newest first: the caller's own, or all of the account for its admins.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<()>,
    ) -> Result<Page<Session>, DatabaseError> {
        let (store, account, now) = (&self.core.store, caller.account_id(), self.core.now());
        match scope(caller) {
            Some(user) => {
                let listed = store.sessions(account, user, now, &request.part);
                request.answer(listed, store.count_sessions(account, user, now)).await
            }
            None => Ok(Page { rows: Vec::new(), next: None, total: request.count.then_some(Total::Exact(0)) }),
        }
    }

    /// Ends a session that the caller may see, of somebody who may do no more than the caller; its tokens stop working within 100 ms.
    pub(crate) async fn end(&self, caller: &Caller, id: SessionId) -> Result<(), EndSessionError> {
        let user = scope(caller).ok_or(EndSessionError::NotFound)?;
        let now = self.core.now();
        let owner = self.core.store.session(id, now).await?;
        let may_see = |owner: &SessionOwner| {
            owner.account.id == caller.account_id() && user.is_none_or(|user| owner.user.id == user)
        };
        let owner = owner.filter(may_see);
        caller.may_change(owner.ok_or(EndSessionError::NotFound)?.user.role.permissions())?;
        let act = caller.act(now);
        if !self.core.store.end_session(&act, caller.account_id(), user, id).await? {
            return Err(EndSessionError::NotFound);
        }
        if !caller.request.dry_run {
            tracing::info!(account = %caller.account.id, actor = %caller.actor.name, session = %id, "a session was ended");
        }
        Ok(())
    }

    /// Ends the session by which the caller asks.
    pub(crate) async fn end_current(&self, caller: &Caller) -> Result<(), EndSessionError> {
        let (_, session) = caller.user().ok_or(EndSessionError::NotFound)?;
        self.end(caller, session).await
    }

    /// Passwords that were compared with a hash since the process began, whoever asked.
    pub(crate) fn passwords_compared(&self) -> u64 {
        self.passwords.compared()
    }

    /// New passwords that were hashed since the process began.
    pub(crate) fn passwords_hashed(&self) -> u64 {
        self.passwords.hashed()
    }

    /// Removes what has expired.
    pub(crate) async fn remove_expired(&self) -> Result<(), DatabaseError> {
        self.core.store.remove_expired_access(self.core.now()).await
    }

    async fn by_password(
        &self,
        email: &str,
        password: Secret,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<User, SignInError> {
        let source = key_of(asked.source);
        let (user, is_right) = compare(&self.core.store, &self.passwords, email, password, source, now).await?;
        if !is_right {
            if let Some(user) = user {
                let act = asked.act(Actor::new(ActorKind::Stranger, "somebody with a wrong password".into()), now);
                self.core.acts.note(act, Change::new(user.account_id, "session.refuse", &user.id));
            }
            return Err(SignInError::WrongPassword);
        }
        user.ok_or(SignInError::WrongPassword)
    }

    async fn by_link(&self, token: &Secret, now: Timestamp) -> Result<User, SignInError> {
        let taken = self.core.store.take_sign_in_link(token.expose(), now).await?;
        let (account, user) = taken.ok_or(SignInError::WrongLink)?;
        self.core.store.user(account, user).await?.ok_or(SignInError::WrongLink)
    }

    /// `None` when the user has gone in this moment.
    async fn signed_in(
        &self,
        session: SessionId,
        refresh_token: Secret,
        now: Timestamp,
    ) -> Result<Option<SignedIn>, DatabaseError> {
        let owner = self.core.store.session(session, now).await?;
        Ok(owner.map(|owner| SignedIn {
            access_token: self.tokens.issue(session, owner.user.id, now),
            refresh_token,
            owner,
        }))
    }
}

/// Compares a password with that of the user of an address, and gives whose it is, whether right or wrong.
///
/// An attempt is counted before it is compared, so that attempts at once count, too, and whether there is such a user or not. It has its
/// place by then: what is not compared, as too many others are, is no wrong password.
async fn compare(
    store: &Store,
    passwords: &Passwords,
    email: &str,
    password: Secret,
    source: IpAddr,
    now: Timestamp,
) -> Result<(Option<User>, bool), SignInError> {
    let turn = passwords.turn_to_sign_in().await?;
    let (user, hash) = store.user_by_email(email).await?.unzip();
    if let SignInAttempt::LockedUntil(until) = store.count_sign_in(email, source, now).await? {
        return Err(SignInError::TooMany(until.since(now)));
    }
    let is_right = turn.verify(password, hash.flatten()).await?;
    Ok((user, is_right))
}

/// A user as who does something.
fn person(user: &User) -> Actor {
    Actor {
        id: Some(user.id.as_uuid()),
        account: Some(user.account_id),
        ..Actor::new(ActorKind::User, user.email.clone().into())
    }
}

/// Whose sessions a caller may see: `Some(None)` is all of the account, `None` is nobody's.
fn scope(caller: &Caller) -> Option<Option<UserId>> {
    if caller.permissions.allow(Permission::Admin) {
        return Some(None);
    }
    caller.user().map(|(user, _)| Some(user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::{BootId, NodeId};
    use tandem_store::{DatabaseUrl, MasterKey, StoreOptions};

    const EMAIL: &str = "zoe@example.com";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_micros(1_700_000_000_000_000 + second * 1_000_000)
    }

    #[tokio::test]
    async fn a_password_that_was_not_compared_is_no_wrong_one() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            master_key: MasterKey::from_bytes([7; 32]),
            node_id: NodeId::new(at(0), [1; 10]),
            boot_id: BootId::new(at(0), [2; 10]),
        };
        let store = Store::open(&DatabaseUrl::sqlite(folder.path().join("tandem.db")), options).await.unwrap();
        let passwords = Passwords::new();
        let source = key_of(None);
        let try_one = async || compare(&store, &passwords, EMAIL, Secret::new("a wrong password"), source, at(0)).await;
        let places = [passwords.turn_to_sign_in().await.unwrap(), passwords.turn_to_sign_in().await.unwrap()];
        tokio::time::pause();
        for _ in 0..10 {
            let busy = try_one().await;
            assert!(matches!(busy, Err(SignInError::Passwords(PasswordsError::Busy))), "{busy:?}");
        }
        tokio::time::resume();
        drop(places);
        for attempt in 1..=5 {
            assert!(matches!(try_one().await, Ok((None, false))), "attempt {attempt} is compared");
        }
        assert!(matches!(try_one().await, Err(SignInError::TooMany(_))), "five wrong ones are the bound");
    }
}
