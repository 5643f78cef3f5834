use super::account::name;
use super::database::{Missing, account, act, every, id_parts, with_store};
use super::failure::Failure;
use super::output::{Output, Table, to_the_second};
use super::trunk::read_password;
use crate::config::Config;
use crate::runtime::SystemClock;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tandem_control::{PASSWORD_LENGTH, generate_password, hash_password};
use tandem_model::{Role, Secret, UserId};
use tandem_store::{MAX_PAGE, MakeLinkError, User};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Add a user to an account
    Add(AddArgs),
    /// Make a link by which a user signs in once, without a password
    Link(LinkArgs),
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
    /// A file whose first line is the password, - for standard input [default: one is made and printed, this once]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct LinkArgs {
    /// Of the user
    #[arg(value_parser = email)]
    email: String,
}

impl UserCommand {
    pub(super) fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Add(arguments) => arguments.perform(config, output),
            Self::Link(arguments) => arguments.perform(config, output),
            Self::List { account } => list(account.as_deref(), config, output),
        }
    }
}

impl AddArgs {
    fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        let (password, shown) = match self.password_file.as_deref() {
            Some(path) => (Secret::new(read_password(path)?), None),
            None => {
                let password = generate_password().map_err(Failure::Randomness)?;
                (password.clone(), Some(password))
            }
        };
        if !PASSWORD_LENGTH.contains(&password.expose().chars().count()) {
            return Err(Failure::PasswordLength { least: *PASSWORD_LENGTH.start(), most: *PASSWORD_LENGTH.end() });
        }
        let hash = hash_password(&password).map_err(Failure::Randomness)?;
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
            match store.insert_user(&act(), &user, Some(&hash)).await {
                Ok(()) => Ok(user),
                Err(error) => Err(Failure::of_insert_user(error, &user.email, account_id)),
            }
        })?;
        let mut answer = view(&user);
        if let (Some(answer), Some(password)) = (answer.as_object_mut(), &shown) {
            answer.insert("password".to_owned(), password.expose().into());
        }
        let text = || match &shown {
            // The password stands alone on its line, and nothing else goes to standard output, so that scripts can take it.
            Some(password) => format!("{}\n", password.expose()),
            None => table(std::slice::from_ref(&user)).to_string(),
        };
        output.answer(&answer, text)?;
        if shown.is_some() && !output.is_json() {
            Output::remark(&format!("password of {}, {}; it is not shown again", user.email, user.role));
        }
        Ok(())
    }
}

impl LinkArgs {
    fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        let expires_at = SystemClock::utc().saturating_add(LINK_LIFE);
        let token = with_store(config, Missing::Fail, async |store| {
            let unknown = || Failure::UnknownUser { email: self.email.clone() };
            let (user, _) = store.user_by_email(&self.email).await?.ok_or_else(unknown)?;
            store.make_sign_in_link(&act(), user.account_id, user.id, expires_at).await.map_err(|error| match error {
                MakeLinkError::UnknownUser => unknown(),
                MakeLinkError::Database(error) => error.into(),
            })
        })?;
        let link = format!("http://{}/#sign-in={}", config.http_listen, token.expose());
        let answer = json!({"link": link, "link_token": token.expose(), "expires_at": expires_at});
        output.answer(&answer, || format!("{link}\n"))?;
        if !output.is_json() {
            Output::remark("it works once, within ten minutes; POST /sessions takes its token as link_token");
        }
        Ok(())
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

/// Long enough to be handed over.
const LINK_LIFE: Duration = Duration::from_secs(10 * 60);
/// RFC 5321 §4.5.3.1.3 allows a path of 256 with its angle brackets.
const MAX_EMAIL_BYTES: usize = 254;
