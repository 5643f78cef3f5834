use super::database::{Missing, account, act, every, with_store};
use super::failure::Failure;
use super::output::{Output, Table, to_the_second};
use crate::config::Config;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;
use tandem_model::{Account, CallId, CreditAccount, CreditEntry, Money};
use tandem_store::MAX_PAGE;

#[derive(Args)]
pub(super) struct CreditArgs {
    /// Its name or id
    account: String,
    /// Add so much, as 25.50; goes with --note
    #[arg(long, value_name = "AMOUNT", conflicts_with = "take", requires = "note")]
    add: Option<Amount>,
    /// Take so much away; the balance may fall below zero by it. Goes with --note
    #[arg(long, value_name = "AMOUNT", requires = "note")]
    take: Option<Amount>,
    /// Why: needed with --add and --take, and it stands in the ledger
    #[arg(long, value_name = "TEXT", value_parser = note)]
    note: Option<String>,
    /// Show what has changed it, newest first
    #[arg(long)]
    ledger: bool,
}

/// Whether an account's calls are paid for by its credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CreditControl {
    /// They are, from now on
    On,
    /// They are not
    Off,
}

/// An amount above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amount(Money);

/// Not an amount.
#[derive(Debug, thiserror::Error)]
#[error("an amount is a number above 0, as 25.50, of at most {MAX_AMOUNT_UNITS}")]
struct AmountError;

/// Not a note.
#[derive(Debug, thiserror::Error)]
#[error("a note has 1 to {MAX_NOTE_CHARACTERS} characters, none of them a control character")]
pub(super) struct NoteError;

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let most = Money::from_micros(MAX_AMOUNT_UNITS * 1_000_000);
        let amount = Money::parse_decimal(text).map_err(|_| AmountError)?;
        if amount > Money::ZERO && amount <= most { Ok(Self(amount)) } else { Err(AmountError) }
    }
}

impl fmt::Display for CreditControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

impl CreditArgs {
    pub(super) fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        let amount = match (self.add, self.take) {
            (Some(Amount(amount)), _) => Some(amount),
            (None, Some(Amount(amount))) => Some(Money::from_micros(-amount.micros())),
            (None, None) => None,
        };
        let (account, credit, entries) = with_store(config, Missing::Fail, async |store| {
            let account = account(store, Some(&self.account)).await?;
            if let Some(amount) = amount {
                let note = self.note.as_deref().unwrap_or_default();
                let granted = store.grant_credit(&act(), account.id, amount, note).await;
                granted.map_err(|error| Failure::of_change_credit(error, account.id))?;
            }
            let credit = store.credit_account(account.id).await?;
            let entries = if self.ledger {
                every(async |skip| store.credit_entries(account.id, skip, MAX_PAGE).await).await?
            } else {
                Vec::new()
            };
            Ok((account, credit, entries))
        })?;
        if self.ledger {
            let shown: Vec<Value> = entries.iter().map(entry).collect();
            return Ok(output.answer(&shown, || ledger(&entries).to_string())?);
        }
        Ok(output.answer(&view(&account, credit), || table(&account, credit).to_string())?)
    }
}

pub(super) fn view(account: &Account, credit: CreditAccount) -> Value {
    json!({
        "id": account.id,
        "name": account.name,
        "credit_control": control(credit).to_string(),
        "controlled_since": credit.controlled_since,
        "balance": credit.balance().to_decimal(),
        "granted": credit.granted.to_decimal(),
        "settled": credit.settled.to_decimal(),
    })
}

pub(super) fn table(account: &Account, credit: CreditAccount) -> Table {
    let mut table = Table::new(&["ID", "NAME", "CONTROL", "BALANCE", "GRANTED", "SETTLED"]);
    table.row([
        account.id.to_string(),
        account.name.clone(),
        control(credit).to_string(),
        credit.balance().to_decimal(),
        credit.granted.to_decimal(),
        credit.settled.to_decimal(),
    ]);
    table
}

const fn control(credit: CreditAccount) -> CreditControl {
    match credit.controlled_since {
        Some(_) => CreditControl::On,
        None => CreditControl::Off,
    }
}

/// As the API shows it, but for amounts: these are exact texts.
fn entry(entry: &CreditEntry) -> Value {
    json!({
        "id": entry.id,
        "at": entry.at,
        "kind": entry.kind,
        "amount": entry.amount.to_decimal(),
        "call_id": entry.call_id,
        "note": entry.note,
    })
}

fn ledger(entries: &[CreditEntry]) -> Table {
    let mut table = Table::new(&["AT", "KIND", "AMOUNT", "CALL", "NOTE"]);
    for entry in entries {
        table.row([
            to_the_second(&entry.at.to_string()),
            entry.kind.to_string(),
            entry.amount.to_decimal(),
            entry.call_id.as_ref().map(CallId::to_string).unwrap_or_default(),
            entry.note.clone(),
        ]);
    }
    table
}

fn note(text: &str) -> Result<String, NoteError> {
    let fits = (1..=MAX_NOTE_CHARACTERS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(NoteError) }
}

/// As the API takes them.
const MAX_AMOUNT_UNITS: i64 = 1_000_000;
const MAX_NOTE_CHARACTERS: usize = 200;
