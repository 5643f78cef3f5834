use super::account::name;
use super::database::{Missing, account, every, id_parts, with_store};
use super::failure::Failure;
use super::output::{Output, Table, to_the_second};
use crate::config::Config;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tandem_model::{Role, UserId};
use tandem_store::{MAX_PAGE, User};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Add a user to an account
    Add(AddArgs),
    /// List the users of an account
    List {
        /// Name or id of the account; may be left out when there is only one
        #[arg(long)]
        account: Option<String>,
    },
}

#[derive(Args)]
pub(super) struct AddArgs {
    /// Unique on the node
    #[arg(value_parser = email)]
    email: String,
    /// Name or id of the account; may be left out when there is only one
    #[arg(long)]
    account: Option<String>,
    /// A name for people [default: the e-mail address]
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// admin, operator or viewer
    #[arg(long, default_value_t = Role::Viewer)]
    role: Role,
}

impl UserCommand {
    pub(super) fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Add(arguments) => arguments.perform(config, output),
            Self::List { account } => list(account.as_deref(), config, output),
        }
    }
}

impl AddArgs {
    fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        let (created_at, random) = id_parts()?;
        let email = self.email.to_lowercase();
        let user = with_store(config, Missing::Fail, async |store| {
            let account_id = account(store, self.account.as_deref()).await?.id;
            let user = User {
                id: UserId::new(created_at, random),
                account_id,
                name: self.name.unwrap_or_else(|| email.clone()),
                email,
                role: self.role,
                created_at,
            };
            match store.insert_user(&user, None).await {
                Ok(()) => Ok(user),
                Err(error) => Err(Failure::of_insert_user(error, &user.email, account_id)),
            }
        })?;
        Ok(output.answer(&view(&user), || table(std::slice::from_ref(&user)).to_string())?)
    }
}

fn list(named: Option<&str>, config: &Config, output: &Output) -> Result<(), Failure> {
    let users = with_store(config, Missing::Fail, async |store| {
        let account = account(store, named).await?;
        Ok(every(async |skip| store.users(account.id, skip, MAX_PAGE).await).await?)
    })?;
    let views: Vec<Value> = users.iter().map(view).collect();
    Ok(output.answer(&views, || table(&users).to_string())?)
}

fn view(user: &User) -> Value {
    json!({
        "id": user.id,
        "user_id": user.account_id,
        "name": user.name,
        "email": user.email,
        "role": user.role.as_str(),
        "created_at": user.created_at,
    })
}

fn table(users: &[User]) -> Table {
    let mut table = Table::new(&["ID", "EMAIL", "NAME", "ROLE", "CREATED"]);
    for user in users {
        table.row([
            user.id.to_string(),
            user.email.clone(),
            user.name.clone(),
            user.role.to_string(),
            to_the_second(&user.created_at.to_string()),
        ]);
    }
    table
}

/// Not an e-mail address.
#[derive(Debug, thiserror::Error)]
#[error(
    "an e-mail address has one @ with something on both sides, no spaces, and at most {MAX_EMAIL_BYTES} characters"
)]
struct EmailError;

/// What cannot be an address is refused; whether mail arrives there, only mail can tell.
fn email(text: &str) -> Result<String, EmailError> {
    let is_plain = !text.chars().any(|character| character.is_whitespace() || character.is_control());
    match text.split_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && is_plain
                && text.len() <= MAX_EMAIL_BYTES =>
        {
            Ok(text.to_owned())
        }
        Some(_) | None => Err(EmailError),
    }
}

/// RFC 5321 §4.5.3.1.3 allows a path of 256 with its angle brackets.
const MAX_EMAIL_BYTES: usize = 254;
