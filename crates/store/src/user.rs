use crate::audit::ActTransaction;
use crate::error::{from_database, is_foreign_key_violation, is_unique_violation};
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::{Act, Change, DatabaseError, Stale, Store};
use serde_json::{Value, json};
use std::fmt;
use tandem_model::{AccountId, Role, Timestamp, UserId};
use zeroize::Zeroizing;

/// A person who may act for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// For which account.
    pub account_id: AccountId,
    /// A name for people.
    pub name: String,
    /// Unique on the node, in lower case.
    pub email: String,
    /// What the person may do.
    pub role: Role,
    /// When the row was made.
    pub created_at: Timestamp,
}

/// A hashed password, as the PHC string format writes it. Not printed: who has it can guess at leisure.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Zeroizing<String>);

impl PasswordHash {
    /// Takes a hash over.
    #[must_use]
    pub fn new(hash: impl Into<String>) -> Self {
        Self(Zeroizing::new(hash.into()))
    }

    /// The text, to be verified against.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What to change of a user; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// The name for people.
    pub name: Option<String>,
    /// The role.
    pub role: Option<Role>,
    /// The password. Every session of the user ends.
    pub password: Option<PasswordHash>,
}

/// Most users of one account: far more than a team has, and few enough to list.
pub const MAX_USERS: u32 = 1_000;

/// Why a user was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertUserError {
    /// Another user has this address.
    #[error("a user with that e-mail address exists")]
    EmailTaken,
    /// There is no such account.
    #[error("no such account")]
    UnknownAccount,
    /// The account has all its users.
    #[error("the account has its {MAX_USERS} users")]
    TooMany,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a user was not changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeUserError {
    /// The account has no such user.
    #[error("no such user")]
    NotFound,
    /// Nobody could manage the account's users any more.
    #[error("the last admin of an account stays one")]
    LastAdmin,
    /// They have another version than the act names.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertUserError, ChangeUserError);

impl Store {
    /// Adds a user. The e-mail address is kept in lower case. Without a password nobody signs in by one.
    ///
    /// # Errors
    /// [`InsertUserError`].
    pub async fn insert_user(
        &self,
        act: &Act,
        user: &User,
        password: Option<&PasswordHash>,
    ) -> Result<(), InsertUserError> {
        self.add_user(act, user, password, false).await
    }

    /// Adds a user with a password that was made here. Until they sign in or somebody changes them, who asked for it may have missed it:
    /// [`replace_unseen_password`](Self::replace_unseen_password).
    ///
    /// # Errors
    /// [`InsertUserError`].
    pub async fn insert_user_with_unseen_password(
        &self,
        act: &Act,
        user: &User,
        password: &PasswordHash,
    ) -> Result<(), InsertUserError> {
        self.add_user(act, user, Some(password), true).await
    }

    async fn add_user(
        &self,
        act: &Act,
        user: &User,
        password: Option<&PasswordHash>,
        is_unseen: bool,
    ) -> Result<(), InsertUserError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let there: u32 = sqlx::query("SELECT count(*) AS there FROM users WHERE account_id = $1")
                .bind(user.account_id.as_uuid())
                .fetch_one(&mut *transaction)
                .await?
                .number("there")?;
            if there >= MAX_USERS {
                return Err(InsertUserError::TooMany);
            }
            let inserted = sqlx::query(
                "INSERT INTO users (id, account_id, name, email, role, password_hash, created_at, password_unseen)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(user.id.as_uuid())
            .bind(user.account_id.as_uuid())
            .bind(user.name.as_str())
            .bind(user.email.to_lowercase())
            .bind(user.role.as_str())
            .bind(password.map(PasswordHash::as_str))
            .bind(user.created_at.unix_micros())
            .bind(is_unseen)
            .execute(&mut *transaction)
            .await;
            match inserted {
                Err(error) if is_unique_violation(&error) => return Err(InsertUserError::EmailTaken),
                Err(error) if is_foreign_key_violation(&error) => return Err(InsertUserError::UnknownAccount),
                inserted => inserted?,
            };
            let change = Change::new(user.account_id, "user.create", &user.id).made(audited(user));
            transaction.finish(self, act, change).await?;
        });
        Ok(())
    }

    /// Users of an account by e-mail address, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn users(&self, account: AccountId, skip: u32, limit: u32) -> Result<Vec<User>, DatabaseError> {
        Ok(self.list_users(account, None, &Part::page(skip, limit)).await?.rows)
    }

    /// Users of an account by e-mail address, those of one role or of any.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_users(
        &self,
        account: AccountId,
        role: Option<Role>,
        part: &Part,
    ) -> Result<Listed<User>, DatabaseError> {
        self.list(&listing(account, role), part, &ReadUser).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_users(&self, account: AccountId, role: Option<Role>) -> Result<Option<u64>, DatabaseError> {
        self.count(&listing(account, role)).await
    }

    /// One user of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn user(&self, account: AccountId, id: UserId) -> Result<Option<User>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM users WHERE id = $1 AND account_id = $2")
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_user(&row))
            .transpose())
    }

    /// Who has this e-mail address, of whichever account, with the password if there is one.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn user_by_email(&self, email: &str) -> Result<Option<(User, Option<PasswordHash>)>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM users WHERE email = $1")
            .bind(email.to_lowercase())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| Ok((read_user(&row)?, row.text_opt("password_hash")?.map(PasswordHash::new))))
            .transpose())
    }

    /// Changes a user; gives it as it is then.
    ///
    /// # Errors
    /// [`ChangeUserError`].
    pub async fn update_user(
        &self,
        act: &Act,
        account: AccountId,
        id: UserId,
        change: &UserChange,
    ) -> Result<User, ChangeUserError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query(FIND_USER_TO_CHANGE)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?;
            let user = user_to_change(row.as_ref(), change.role.or(Some(Role::Admin)))?;
            act.expects(&user)?;
            let before = audited(&user);
            let user = User {
                name: change.name.clone().unwrap_or(user.name),
                role: change.role.unwrap_or(user.role),
                ..user
            };
            sqlx::query(
                "UPDATE users SET name = $2, role = $3, password_hash = coalesce($4, password_hash), password_unseen = $5
                 WHERE id = $1",
            )
            .bind(id.as_uuid())
            .bind(user.name.as_str())
            .bind(user.role.as_str())
            .bind(change.password.as_ref().map(PasswordHash::as_str))
            // With another role they may do more than who asked for them can give.
            .bind(false)
            .execute(&mut *transaction)
            .await?;
            if change.password.is_some() {
                for statement in [SESSIONS_OF_USER, LINKS_OF_USER] {
                    sqlx::query(statement).bind(id.as_uuid()).execute(&mut *transaction).await?;
                }
            }
            let change = Change::new(account, "user.update", &id)
                .changed(before, audited(&user))
                .replaced("password", change.password.is_some());
            transaction.finish(self, act, change).await?;
            Ok(user)
        })
    }

    /// Gives a user another password in place of one that was made here and that nobody has used. `None` when there is no such user, and
    /// when they have signed in or were changed.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn replace_unseen_password(
        &self,
        act: &Act,
        account: AccountId,
        id: UserId,
        password: &PasswordHash,
    ) -> Result<Option<User>, DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query(
                "UPDATE users SET password_hash = $3 WHERE id = $1 AND account_id = $2 AND password_unseen = $4 RETURNING *",
            )
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .bind(password.as_str())
            .bind(true)
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let user = read_user(&row)?;
            let change = Change::new(account, "user.update", &id).replaced("password", true);
            transaction.finish(self, act, change).await?;
            Ok(Some(user))
        })
    }

    /// Removes a user and ends every session.
    ///
    /// # Errors
    /// [`ChangeUserError`].
    pub async fn delete_user(&self, act: &Act, account: AccountId, id: UserId) -> Result<(), ChangeUserError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query(FIND_USER_TO_CHANGE)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?;
            let user = user_to_change(row.as_ref(), None)?;
            act.expects(&user)?;
            for statement in [SESSIONS_OF_USER, LINKS_OF_USER, "DELETE FROM users WHERE id = $1"] {
                sqlx::query(statement).bind(id.as_uuid()).execute(&mut *transaction).await?;
            }
            transaction.finish(self, act, Change::new(account, "user.delete", &id).gone(audited(&user))).await?;
        });
        Ok(())
    }
}

/// What the audit log tells of a user.
fn audited(user: &User) -> Value {
    json!({"name": user.name, "email": user.email, "role": user.role})
}

/// How users are listed.
pub const USERS_KEY: SortKey = SortKey::ascending(&[("email", KeyKind::Text)]);

/// An account has so few users that their roles may be looked at one by one.
fn listing(account: AccountId, role: Option<Role>) -> Listing {
    let mut narrow = vec![Condition::Is("account_id", Bound::Uuid(account.as_uuid()))];
    narrow.extend(role.map(|role| Condition::Is("role", Bound::Text(role.as_str().to_owned()))));
    Listing {
        table: "users",
        index: None,
        columns: "*",
        key: USERS_KEY,
        narrow,
        wide: Vec::new(),
        from: None,
        to: None,
    }
}

struct ReadUser;

impl ReadRow for ReadUser {
    type Row = User;

    fn read<R: Columns>(&self, row: &R) -> Result<User, DatabaseError> {
        read_user(row)
    }
}

pub(crate) fn read_user<R: Columns>(row: &R) -> Result<User, DatabaseError> {
    Ok(User {
        id: UserId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        name: row.text("name")?,
        email: row.text("email")?,
        role: row.parsed("role")?,
        created_at: row.time("created_at")?,
    })
}

/// The user as it is before a change after which it has the role `next`, or is gone. An account keeps an admin: what others do meanwhile
/// comes before or after this transaction ([`Pool`](crate::pool::Pool)'s `begin`), so that nobody removes the other one unseen.
fn user_to_change<R: Columns>(row: Option<&R>, next: Option<Role>) -> Result<User, ChangeUserError> {
    let row = row.ok_or(ChangeUserError::NotFound)?;
    let user = read_user(row)?;
    if user.role == Role::Admin && next != Some(Role::Admin) && row.integer("other_admins")? == 0 {
        return Err(ChangeUserError::LastAdmin);
    }
    Ok(user)
}

const FIND_USER_TO_CHANGE: &str = "SELECT users.*, (SELECT count(*) FROM users AS others
        WHERE others.account_id = users.account_id AND others.id <> users.id AND others.role = 'admin') AS other_admins
    FROM users WHERE id = $1 AND account_id = $2";
const SESSIONS_OF_USER: &str = "DELETE FROM sessions WHERE user_id = $1";
const LINKS_OF_USER: &str = "DELETE FROM sign_in_links WHERE user_id = $1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_a_password_is_not_shown() {
        let change = UserChange { password: Some(PasswordHash::new("$argon2id$hunter2")), ..UserChange::default() };
        let shown = format!("{change:?}");
        assert!(shown.contains("PasswordHash") && !shown.contains("hunter2"), "{shown}");
    }
}
