use super::account::name;
use super::database::{Missing, account, act, every, with_store};
use super::failure::Failure;
use super::output::{Output, Table, to_the_second};
use crate::config::Config;
use crate::runtime::SystemClock;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::str::FromStr;
use std::time::Duration;
use tandem_model::{Account, ApiKeyId, Permission, Permissions, Timestamp};
use tandem_store::{ApiKey, MAX_PAGE, NewApiKey, RevokeApiKeyError, Store};

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key and print it, this once
    Create(CreateArgs),
    /// Revoke a key; a running server follows at once
    Revoke {
        /// Its id, as tandem key list shows it
        id: ApiKeyId,
    },
    /// List the keys of an account, newest first
    List {
        /// Name or id of the account; may be left out when there is only one
        #[arg(long)]
        account: Option<String>,
    },
}

#[derive(Args)]
pub(super) struct CreateArgs {
    /// Name or id of the account; may be left out when there is only one
    #[arg(long)]
    account: Option<String>,
    /// What it is for
    #[arg(long, value_parser = name, default_value = "command line")]
    name: String,
    /// What it may do: read, calls, write, admin; several by commas or by several options [default: all]
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<Permission>,
    /// When it ends: a time as 2027-01-31T12:00:00Z, or from now on as 90d, 12h or 30m [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
}

/// When a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    At(Timestamp),
    After(Duration),
}

/// Not an end of a key.
#[derive(Debug, thiserror::Error)]
#[error("a key ends at a time as 2027-01-31T12:00:00Z, or after a while as 90d, 12h or 30m")]
struct ExpiryError;

impl FromStr for Expiry {
    type Err = ExpiryError;

    fn from_str(text: &str) -> Result<Self, ExpiryError> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let units = [('d', 86_400), ('h', 3_600), ('m', 60)];
        let unit = |(letter, seconds): (char, u64)| Some((text.strip_suffix(letter)?, seconds));
        let (count, seconds) = units.into_iter().find_map(unit).ok_or(ExpiryError)?;
        let count: u32 = count.parse().map_err(|_| ExpiryError)?;
        if count == 0 { Err(ExpiryError) } else { Ok(Self::After(Duration::from_secs(seconds * u64::from(count)))) }
    }
}

impl Expiry {
    fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(span) => now.saturating_add(span),
        }
    }
}

impl KeyCommand {
    pub(super) fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => arguments.perform(config, output),
            Self::Revoke { id } => revoke(id, config, output),
            Self::List { account } => list(account.as_deref(), config, output),
        }
    }
}

impl CreateArgs {
    fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        let now = SystemClock::utc();
        let expires_at = self.expires.map(|end| end.from(now));
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Failure::KeyEndsBeforeItBegins);
        }
        let scopes = if self.scopes.is_empty() { Permissions::ALL } else { self.scopes.iter().copied().collect() };
        let (owner, key, secret) = with_store(config, Missing::Fail, async |store| {
            let owner = account(store, self.account.as_deref()).await?;
            let new = NewApiKey { account_id: owner.id, name: &self.name, scopes, expires_at };
            let made = store.create_limited_api_key(&act(), new).await;
            let (key, secret) = made.map_err(|error| Failure::of_insert_key(error, owner.id))?;
            Ok((owner, key, secret))
        })?;
        let mut answer = view(&key);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("key".to_owned(), secret.expose().into());
        }
        // The key stands alone on its line, and nothing else goes to standard output, so that scripts can take it.
        output.answer(&answer, || format!("{}\n", secret.expose()))?;
        if !output.is_json() {
            Output::remark(&format!(
                "key {} of account {:?}, which may {}; it is not shown again",
                key.id, owner.name, key.scopes
            ));
        }
        Ok(())
    }
}

fn revoke(id: ApiKeyId, config: &Config, output: &Output) -> Result<(), Failure> {
    let (owner, with_it) = with_store(config, Missing::Fail, async |store| revoke_wherever_it_is(store, id).await)?;
    let answer = json!({"id": id, "user_id": owner.id, "revoked": true, "revoked_with_it": with_it});
    Ok(output.answer(&answer, || {
        let descendants = match with_it {
            0 => "is revoked".to_owned(),
            1 => "is revoked, and one that it has made".to_owned(),
            more => format!("is revoked, and {more} that it or those have made"),
        };
        format!("key {id} of account {:?} {descendants}\n", owner.name)
    })?)
}

/// The operator of the node may revoke every key: whose it is need not be said.
async fn revoke_wherever_it_is(store: &Store, id: ApiKeyId) -> Result<(Account, usize), Failure> {
    for owner in every(async |skip| store.accounts(skip, MAX_PAGE).await).await? {
        match store.revoke_api_key(&act(), owner.id, id).await {
            Ok(with_it) => return Ok((owner, with_it)),
            // No version is named here.
            Err(RevokeApiKeyError::NotFound | RevokeApiKeyError::Stale(_)) => {}
            Err(RevokeApiKeyError::Database(error)) => return Err(error.into()),
        }
    }
    Err(Failure::UnknownKey { id })
}

fn list(named: Option<&str>, config: &Config, output: &Output) -> Result<(), Failure> {
    let keys = with_store(config, Missing::Fail, async |store| {
        let owner = account(store, named).await?;
        Ok(every(async |skip| store.api_keys(owner.id, skip, MAX_PAGE).await).await?)
    })?;
    let views: Vec<Value> = keys.iter().map(view).collect();
    Ok(output.answer(&views, || table(&keys).to_string())?)
}

fn view(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "user_id": key.account_id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes.iter().collect::<Vec<_>>(),
        "created_at": key.created_at,
        "created_by": key.created_by.as_ref().map(|maker| json!({"kind": maker.kind, "id": maker.id})),
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    })
}

fn table(keys: &[ApiKey]) -> Table {
    let moment = |at: Option<Timestamp>| at.map(|at| to_the_second(&at.to_string())).unwrap_or_default();
    let mut table = Table::new(&["ID", "NAME", "BEGINS", "MAY", "CREATED", "EXPIRES", "LAST USED", "REVOKED"]);
    for key in keys {
        table.row([
            key.id.to_string(),
            key.name.clone(),
            format!("{}…", key.prefix),
            key.scopes.to_string(),
            moment(Some(key.created_at)),
            moment(key.expires_at),
            moment(key.last_used_at),
            moment(key.revoked_at),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_at_a_time_or_after_a_while() {
        let noon: Timestamp = "2027-01-31T12:00:00Z".parse().unwrap();
        assert_eq!("2027-01-31T12:00:00Z".parse::<Expiry>().unwrap(), Expiry::At(noon));
        assert_eq!("90d".parse::<Expiry>().unwrap(), Expiry::After(Duration::from_secs(90 * 86_400)));
        assert_eq!("12h".parse::<Expiry>().unwrap().from(noon), "2027-02-01T00:00:00Z".parse().unwrap());
        for wrong in ["", "d", "0d", "-1d", "5", "5s", "soon", "99999999999d", "1.5h"] {
            assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
        }
    }
}
