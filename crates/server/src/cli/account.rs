use super::credit::{CreditArgs, CreditControl};
use super::database::{Missing, account, act, every, id_parts, with_store};
use super::failure::Failure;
use super::output::{Output, Table, to_the_second};
use crate::config::Config;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use std::str::FromStr;
use tandem_model::{Account, AccountId, Tier};
use tandem_store::{AccountChange, MAX_PAGE};

#[derive(Subcommand)]
pub(super) enum AccountCommand {
    /// Add an account
    Add(AddArgs),
    /// List the accounts
    List,
    /// Change tier, limits or credit control of an account; a running server follows at once
    Set(SetArgs),
    /// Show, add or take away what an account may spend on calls; a running server follows at once
    Credit(CreditArgs),
}

#[derive(Args)]
pub(super) struct AddArgs {
    /// 1 to 100 characters, unique on the node
    #[arg(value_parser = name)]
    name: String,
    /// A UUID that a platform knows it by [default: a new one]
    #[arg(long)]
    id: Option<AccountId>,
    /// free, pro or enterprise
    #[arg(long, default_value_t = Tier::Free)]
    tier: Tier,
    /// Trunks it may have, instead of the tier's
    #[arg(long, value_name = "N")]
    max_trunks: Option<Limit>,
    /// Concurrent calls it may have, instead of the tier's
    #[arg(long, value_name = "N")]
    max_calls: Option<Limit>,
}

#[derive(Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(["tier", "max_trunks", "max_calls", "credit_control"])))]
pub(super) struct SetArgs {
    /// Its name or id
    account: String,
    /// free, pro or enterprise
    #[arg(long)]
    tier: Option<Tier>,
    /// Trunks it may have; `tier` goes back to the tier's
    #[arg(long, value_name = "N|tier")]
    max_trunks: Option<Limit>,
    /// Concurrent calls it may have; `tier` goes back to the tier's
    #[arg(long, value_name = "N|tier")]
    max_calls: Option<Limit>,
    /// Whether calls that begin from now on are paid for by its credit, and refused or ended when there is none left
    #[arg(long)]
    credit_control: Option<CreditControl>,
}

/// A limit of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// The tier's.
    OfTier,
    /// This instead.
    Override(u32),
}

/// Not a limit.
#[derive(Debug, thiserror::Error)]
#[error("a limit is a number from 0 to {MAX_LIMIT}, or the word tier")]
struct LimitError;

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        match text {
            "tier" | "none" => Ok(Self::OfTier),
            number => match number.parse() {
                Ok(number) if number <= MAX_LIMIT => Ok(Self::Override(number)),
                Ok(_) | Err(_) => Err(LimitError),
            },
        }
    }
}

impl Limit {
    const fn instead(self) -> Option<u32> {
        match self {
            Self::OfTier => None,
            Self::Override(limit) => Some(limit),
        }
    }
}

impl AccountCommand {
    pub(super) fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Add(arguments) => arguments.perform(config, output),
            Self::List => list(config, output),
            Self::Set(arguments) => arguments.perform(config, output),
            Self::Credit(arguments) => arguments.perform(config, output),
        }
    }
}

impl AddArgs {
    fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        let (created_at, random) = id_parts()?;
        let account = Account {
            id: self.id.unwrap_or_else(|| AccountId::new(created_at, random)),
            name: self.name,
            tier: self.tier,
            max_trunks: self.max_trunks.and_then(Limit::instead),
            max_calls: self.max_calls.and_then(Limit::instead),
            created_at,
        };
        with_store(config, Missing::Make, async |store| {
            store
                .insert_account(&act(), &account)
                .await
                .map_err(|error| Failure::of_insert_account(error, &account.name))
        })?;
        show_one(&account, output)
    }
}

impl SetArgs {
    fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        let change = AccountChange {
            tier: self.tier,
            max_trunks: self.max_trunks.map(Limit::instead),
            max_calls: self.max_calls.map(Limit::instead),
        };
        let changed = with_store(config, Missing::Fail, async |store| {
            let id = account(store, Some(&self.account)).await?.id;
            if let Some(control) = self.credit_control {
                let set = store.set_credit_control(&act(), id, control == CreditControl::On).await;
                set.map_err(|error| Failure::of_change_credit(error, id))?;
            }
            store.update_account(&act(), id, change).await.map_err(|error| Failure::of_update_account(error, id))
        })?;
        show_one(&changed, output)
    }
}

fn list(config: &Config, output: &Output) -> Result<(), Failure> {
    let accounts = with_store(config, Missing::Fail, async |store| {
        Ok(every(async |skip| store.accounts(skip, MAX_PAGE).await).await?)
    })?;
    let views: Vec<Value> = accounts.iter().map(view).collect();
    Ok(output.answer(&views, || table(&accounts))?)
}

fn show_one(account: &Account, output: &Output) -> Result<(), Failure> {
    Ok(output.answer(&view(account), || table(std::slice::from_ref(account)))?)
}

fn view(account: &Account) -> Value {
    let limits = account.limits();
    json!({
        "id": account.id,
        "name": account.name,
        "tier": account.tier,
        "max_trunks": account.max_trunks,
        "max_calls": account.max_calls,
        "limits": {"max_trunks": limits.max_trunks, "max_calls": limits.max_calls},
        "created_at": account.created_at,
    })
}

fn table(accounts: &[Account]) -> String {
    let mut table = Table::new(&["ID", "NAME", "TIER", "TRUNKS", "CALLS", "CREATED"]);
    for account in accounts {
        // Explained below the table.
        let shown = |limit: u32, instead: Option<u32>| format!("{limit}{}", if instead.is_some() { "*" } else { "" });
        let limits = account.limits();
        table.row([
            account.id.to_string(),
            account.name.clone(),
            account.tier.to_string(),
            shown(limits.max_trunks, account.max_trunks),
            shown(limits.max_calls, account.max_calls),
            to_the_second(&account.created_at.to_string()),
        ]);
    }
    let has_override = accounts.iter().any(|account| account.max_trunks.is_some() || account.max_calls.is_some());
    format!("{table}{}", if has_override { OVERRIDE } else { "" })
}

/// What a star in the table says.
const OVERRIDE: &str = "* set for the account, in place of its tier's limit\n";

/// Not a name.
#[derive(Debug, thiserror::Error)]
#[error(
    "a name has 1 to {MAX_NAME_CHARACTERS} characters, none of them a control character, and no space at either end"
)]
pub(super) struct NameError;

/// A name for people.
pub(super) fn name(text: &str) -> Result<String, NameError> {
    let length = text.chars().count();
    let fits = (1..=MAX_NAME_CHARACTERS).contains(&length);
    if fits && text.trim() == text && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(NameError)
    }
}

/// As the API allows for trunks.
const MAX_NAME_CHARACTERS: usize = 100;
/// Far above what a node carries; keeps a slip of the finger from looking like a limit.
const MAX_LIMIT: u32 = 1_000_000;
