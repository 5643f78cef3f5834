use crate::service::passwords::{Passwords, PasswordsError, generate_password};
use crate::service::source_limit::key_of;
use crate::service::{Caller, Core, Forbidden, ListRequest, Page, Ticket, id_parts, is_repeat};
use crate::wire::{NewUser, PasswordChange, UserEdit};
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{Role, Secret, UserId};
use tandem_store::{
    Act, ChangeUserError, DatabaseError, InsertUserError, MAX_USERS, PasswordHash, SignInAttempt, Stale, User,
    UserChange, Versioned,
};

/// People who act for the account.
#[derive(Clone)]
pub(crate) struct Users {
    core: Arc<Core>,
    passwords: Passwords,
}

/// Why a user is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateUserError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("another user has the e-mail address")]
    EmailTaken,
    #[error("the account has its {MAX_USERS} users")]
    TooMany,
    #[error(transparent)]
    Passwords(#[from] PasswordsError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a user is not shown, changed or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditUserError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("no such user")]
    NotFound,
    #[error("the last admin of an account stays one")]
    LastAdmin,
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error(transparent)]
    Passwords(#[from] PasswordsError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why somebody's own password is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangePasswordError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the current password is another")]
    WrongPassword,
    #[error("too many wrong passwords; none is looked at for {0:?}")]
    Locked(Duration),
    #[error(transparent)]
    Passwords(#[from] PasswordsError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Users {
    pub(super) const fn new(core: Arc<Core>, passwords: Passwords) -> Self {
        Self { core, passwords }
    }

    /// Users by e-mail address.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<Option<Role>>,
    ) -> Result<Page<User>, DatabaseError> {
        let (store, account, role) = (&self.core.store, caller.account_id(), request.filter);
        request.answer(store.list_users(account, role, &request.part), store.count_users(account, role)).await
    }

    /// One user.
    pub(crate) async fn read(&self, caller: &Caller, id: UserId) -> Result<User, EditUserError> {
        self.core.store.user(caller.account_id(), id).await?.ok_or(EditUserError::NotFound)
    }

    /// Adds a user, who may do no more than who adds them. Gives the password if it was made here; it is shown this once: a repeat of a
    /// request whose answer was lost gives the user that the first has added another one.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: NewUser,
        ticket: Option<&Ticket>,
    ) -> Result<(User, Option<Secret>), CreateUserError> {
        caller.may_give(new.role.permissions())?;
        let now = self.core.now();
        let (since, bits) = id_parts(ticket, now)?;
        let id = UserId::new(since, bits);
        let added = if is_repeat(ticket) { self.core.store.user(caller.account_id(), id).await? } else { None };
        if let (Some(added), Some(_)) = (&added, &new.password) {
            return Ok((added.clone(), None));
        }
        let (password, shown) = match new.password {
            Some(password) => (password, None),
            None => {
                let password = generate_password().map_err(PasswordsError::Randomness)?;
                (password.clone(), Some(password))
            }
        };
        let act = caller.act(now);
        if added.is_some() {
            let hash = self.hash(caller, password).await?;
            let replaced = self.core.store.replace_unseen_password(&act, caller.account_id(), id, &hash).await?;
            let user = replaced.ok_or(CreateUserError::EmailTaken)?;
            tracing::info!(account = %caller.account.id, actor = %caller.actor.name, user = %id, "a user whose password nobody has seen has another");
            return Ok((user, shown));
        }
        let user = User {
            id,
            account_id: caller.account_id(),
            name: new.name.unwrap_or_else(|| new.email.clone()),
            email: new.email,
            role: new.role,
            created_at: now,
        };
        // Whoever is refused, or only tries, costs no hash.
        self.insert(&tried(&act), &user, &Passwords::stand_in(), shown.is_some()).await?;
        if !caller.request.dry_run {
            let hash = self.hash(caller, password).await?;
            self.insert(&act, &user, &hash, shown.is_some()).await?;
            tracing::info!(account = %caller.account.id, actor = %caller.actor.name, user = %user.id, role = %user.role, "a user was added");
        }
        Ok((user, shown))
    }

    async fn insert(
        &self,
        act: &Act,
        user: &User,
        hash: &PasswordHash,
        is_unseen: bool,
    ) -> Result<(), CreateUserError> {
        let inserted = match is_unseen {
            true => self.core.store.insert_user_with_unseen_password(act, user, hash).await,
            false => self.core.store.insert_user(act, user, Some(hash)).await,
        };
        inserted.map_err(|error| match error {
            InsertUserError::EmailTaken => CreateUserError::EmailTaken,
            InsertUserError::TooMany => CreateUserError::TooMany,
            // Somebody has authenticated in it a moment ago.
            InsertUserError::UnknownAccount => DatabaseError::Unavailable.into(),
            InsertUserError::Database(error) => error.into(),
        })
    }

    async fn hash(&self, caller: &Caller, password: Secret) -> Result<PasswordHash, PasswordsError> {
        self.passwords.turn_of(caller.actor.account).await?.hash(password).await
    }

    /// Changes a user. Who changes somebody must have all that the other has: they could take their place by a new password.
    pub(crate) async fn update(&self, caller: &Caller, id: UserId, edit: UserEdit) -> Result<User, EditUserError> {
        let before = self.read(caller, id).await?;
        caller.may_change(before.role.permissions())?;
        if let Some(role) = edit.role {
            caller.may_give(role.permissions())?;
        }
        let mut change = UserChange { name: edit.name, role: edit.role, password: None };
        if let Some(password) = edit.password {
            // As for one that is added.
            change.password = Some(Passwords::stand_in());
            let user = self.store_change(caller, id, &change, true).await?;
            if caller.request.dry_run {
                return Ok(user);
            }
            change.password = Some(self.hash(caller, password).await?);
        }
        let user = self.store_change(caller, id, &change, caller.request.dry_run).await?;
        if !caller.request.dry_run {
            tracing::info!(account = %caller.account.id, actor = %caller.actor.name, user = %id, role = %user.role, password = change.password.is_some(), "a user was changed");
        }
        Ok(user)
    }

    /// Stores a change, or tries it out, as the caller may at that moment.
    async fn store_change(
        &self,
        caller: &Caller,
        id: UserId,
        change: &UserChange,
        dry_run: bool,
    ) -> Result<User, EditUserError> {
        loop {
            let act = Act { dry_run, ..self.act_on(caller, id).await? };
            match self.core.store.update_user(&act, caller.account_id(), id, change).await {
                Err(ChangeUserError::Stale(_)) if caller.request.expected_version.is_none() => {}
                updated => return Ok(updated?),
            }
        }
    }

    /// Removes a user, who may do no more than who removes them; their sessions end within 100 ms.
    pub(crate) async fn delete(&self, caller: &Caller, id: UserId) -> Result<(), EditUserError> {
        loop {
            let act = self.act_on(caller, id).await?;
            match self.core.store.delete_user(&act, caller.account_id(), id).await {
                Err(ChangeUserError::Stale(_)) if caller.request.expected_version.is_none() => {}
                deleted => break deleted?,
            }
        }
        if !caller.request.dry_run {
            tracing::info!(account = %caller.account.id, actor = %caller.actor.name, user = %id, "a user was removed");
        }
        Ok(())
    }

    /// What the caller does to a user whom they may change. It is stale when the user gets another role before it is done: then it is to be
    /// judged again.
    async fn act_on(&self, caller: &Caller, id: UserId) -> Result<Act, EditUserError> {
        let user = self.read(caller, id).await?;
        caller.may_change(user.role.permissions())?;
        let act = caller.act(self.core.now());
        Ok(Act { expected_version: act.expected_version.or(Some(user.version())), ..act })
    }

    /// Changes the caller's own password, who must know the current one. All their sessions end, this one too.
    pub(crate) async fn change_password(
        &self,
        caller: &Caller,
        change: PasswordChange,
    ) -> Result<(), ChangePasswordError> {
        let (id, _) = caller.user().ok_or(Forbidden::IsNoUser)?;
        let email = &caller.actor.name;
        let now = self.core.now();
        let source = key_of(caller.request.source);
        let turn = self.passwords.turn_of(caller.actor.account).await?;
        let stored = self.core.store.user_by_email(email).await?.filter(|(user, _)| user.id == id);
        let hash = stored.and_then(|(_, hash)| hash);
        // As at a sign-in: counted before it is compared, and only what is.
        if let SignInAttempt::LockedUntil(until) = self.core.store.count_sign_in(email, source, now).await? {
            return Err(ChangePasswordError::Locked(until.since(now)));
        }
        if !turn.verify(change.current, hash).await? {
            return Err(ChangePasswordError::WrongPassword);
        }
        self.core.store.note_sign_in(email, source, now).await?;
        let new = match caller.request.dry_run {
            true => Passwords::stand_in(),
            false => self.hash(caller, change.new).await?,
        };
        let change = UserChange { password: Some(new), ..UserChange::default() };
        match self.core.store.update_user(&caller.act(now), caller.account_id(), id, &change).await {
            Ok(_) => {
                if !caller.request.dry_run {
                    tracing::info!(account = %caller.account.id, user = %id, "a user has changed the password");
                }
                Ok(())
            }
            Err(ChangeUserError::Database(error)) => Err(error.into()),
            // Gone in this moment; a role is not changed here.
            Err(ChangeUserError::NotFound | ChangeUserError::LastAdmin | ChangeUserError::Stale(_)) => {
                Err(ChangePasswordError::WrongPassword)
            }
        }
    }
}

/// The same, only tried out.
fn tried(act: &Act) -> Act {
    Act { dry_run: true, ..act.clone() }
}

impl From<ChangeUserError> for EditUserError {
    fn from(error: ChangeUserError) -> Self {
        match error {
            ChangeUserError::NotFound => Self::NotFound,
            ChangeUserError::LastAdmin => Self::LastAdmin,
            ChangeUserError::Stale(error) => error.into(),
            ChangeUserError::Database(error) => Self::Database(error),
        }
    }
}
