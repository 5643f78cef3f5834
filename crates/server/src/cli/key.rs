use super::account::name;
use super::database::{Missing, account, every, with_store};
use super::failure::Failure;
use super::output::{Output, Table, to_the_second};
use crate::config::Config;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tandem_model::{Account, ApiKeyId, Timestamp};
use tandem_store::{ApiKey, MAX_PAGE, RevokeApiKeyError, Store};

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
        let (owner, id, key) = with_store(config, Missing::Fail, async |store| {
            let owner = account(store, self.account.as_deref()).await?;
            let made = store.create_api_key(owner.id, &self.name).await;
            let (id, key) = made.map_err(|error| Failure::of_insert_key(error, owner.id))?;
            Ok((owner, id, key))
        })?;
        let answer = json!({"id": id, "user_id": owner.id, "name": self.name, "key": key.expose()});
        // The key stands alone on its line, and nothing else goes to standard output, so that scripts can take it.
        output.answer(&answer, || format!("{}\n", key.expose()))?;
        if !output.is_json() {
            Output::remark(&format!("key {id} of account {:?}; it is not shown again", owner.name));
        }
        Ok(())
    }
}

fn revoke(id: ApiKeyId, config: &Config, output: &Output) -> Result<(), Failure> {
    let owner = with_store(config, Missing::Fail, async |store| revoke_wherever_it_is(store, id).await)?;
    let answer = json!({"id": id, "user_id": owner.id, "revoked": true});
    Ok(output.answer(&answer, || format!("key {id} of account {:?} is revoked\n", owner.name))?)
}

/// The operator of the node may revoke every key: whose it is need not be said.
async fn revoke_wherever_it_is(store: &Store, id: ApiKeyId) -> Result<Account, Failure> {
    for owner in every(async |skip| store.accounts(skip, MAX_PAGE).await).await? {
        match store.revoke_api_key(owner.id, id).await {
            Ok(()) => return Ok(owner),
            Err(RevokeApiKeyError::NotFound) => {}
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
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    })
}

fn table(keys: &[ApiKey]) -> Table {
    let moment = |at: Option<Timestamp>| at.map(|at| to_the_second(&at.to_string())).unwrap_or_default();
    let mut table = Table::new(&["ID", "NAME", "BEGINS", "CREATED", "LAST USED", "REVOKED"]);
    for key in keys {
        table.row([
            key.id.to_string(),
            key.name.clone(),
            format!("{}…", key.prefix),
            moment(Some(key.created_at)),
            moment(key.last_used_at),
            moment(key.revoked_at),
        ]);
    }
    table
}
