use crate::service::{Caller, Core, Forbidden, ListRequest, Page, Ticket, id_parts, is_repeat};
use crate::wire::{Invalid, NewKey};
use std::sync::Arc;
use tandem_model::{ApiKeyId, Permissions, Secret};
use tandem_store::{
    ApiKey, DatabaseError, InsertApiKeyError, MAX_LIVE_KEYS, NewApiKey, RevokeApiKeyError, SecretReplacement, Stale,
};

/// API keys of the account.
#[derive(Clone)]
pub(crate) struct ApiKeys {
    core: Arc<Core>,
}

/// Why a key is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateKeyError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("the account has its {MAX_LIVE_KEYS} keys")]
    TooMany,
    #[error("the key that makes it was revoked")]
    MakerRevoked,
    /// An earlier try of the same request has made it.
    #[error("the key was made, and used or revoked since")]
    InUse,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a key is not shown or revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindKeyError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("no such key")]
    NotFound,
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl ApiKeys {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Keys, newest first, revoked ones too.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<Option<bool>>,
    ) -> Result<Page<ApiKey>, DatabaseError> {
        let (store, account, revoked) = (&self.core.store, caller.account_id(), request.filter);
        request
            .answer(store.list_api_keys(account, revoked, &request.part), store.count_api_keys(account, revoked))
            .await
    }

    /// One key.
    pub(crate) async fn read(&self, caller: &Caller, id: ApiKeyId) -> Result<ApiKey, FindKeyError> {
        self.core.store.api_key(caller.account_id(), id).await?.ok_or(FindKeyError::NotFound)
    }

    /// Makes a key, which may do no more than who makes it and, when that is a key, does not outlive it. Its secret is shown this once: a
    /// repeat of a request whose answer was lost gives the key that the first has made another one.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: NewKey,
        ticket: Option<&Ticket>,
    ) -> Result<(ApiKey, Secret), CreateKeyError> {
        let scopes: Permissions = new.scopes;
        caller.may_give(scopes)?;
        let now = self.core.now();
        let (since, bits) = id_parts(ticket, now)?;
        let id = ApiKeyId::new(since, bits);
        if is_repeat(ticket) {
            match self.core.store.replace_unused_secret(&caller.act(now), caller.account_id(), id).await? {
                SecretReplacement::Replaced(key, secret) => {
                    tracing::info!(account = %caller.account.id, actor = %caller.actor.name, key_id = %id, "an API key whose secret nobody has seen has another");
                    return Ok((*key, secret));
                }
                SecretReplacement::InUse => return Err(CreateKeyError::InUse),
                SecretReplacement::NoSuchKey => {}
            }
        }
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(Invalid::field("expires_at", "must be in the future").into());
        }
        let new = NewApiKey { account_id: caller.account_id(), name: &new.name, scopes, expires_at: new.expires_at };
        let made =
            self.core.store.create_api_key_of_id(&caller.act(now), id, new).await.map_err(|error| match error {
                InsertApiKeyError::TooMany => CreateKeyError::TooMany,
                InsertApiKeyError::MakerRevoked => CreateKeyError::MakerRevoked,
                InsertApiKeyError::EndsAfterMaker { end } => {
                    Invalid::field("expires_at", format!("must not be after {end}, when the key that makes it ends"))
                        .into()
                }
                InsertApiKeyError::Database(error) => error.into(),
                // The account is there, as somebody has authenticated in it, and what is random is long and new.
                InsertApiKeyError::UnknownAccount
                | InsertApiKeyError::KeyTaken
                | InsertApiKeyError::Revoked
                | InsertApiKeyError::Length { .. } => DatabaseError::Unavailable.into(),
            })?;
        if !caller.request.dry_run {
            tracing::info!(account = %caller.account.id, actor = %caller.actor.name, key_id = %made.0.id, %scopes, "an API key was made");
        }
        Ok(made)
    }

    /// Revokes a key, which may do no more than who revokes it, with all that it has made; they stop working within 100 ms.
    pub(crate) async fn revoke(&self, caller: &Caller, id: ApiKeyId) -> Result<(), FindKeyError> {
        caller.may_change(self.read(caller, id).await?.scopes)?;
        let revoked = self.core.store.revoke_api_key(&caller.act(self.core.now()), caller.account_id(), id).await;
        let with_it = revoked.map_err(|error| match error {
            RevokeApiKeyError::NotFound => FindKeyError::NotFound,
            RevokeApiKeyError::Stale(error) => error.into(),
            RevokeApiKeyError::Database(error) => error.into(),
        })?;
        if !caller.request.dry_run {
            tracing::info!(account = %caller.account.id, actor = %caller.actor.name, key_id = %id, with_it, "an API key was revoked, and those that it has made");
        }
        Ok(())
    }
}
