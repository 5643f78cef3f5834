use super::failure::Failure;
use crate::config::Config;
use crate::runtime::SystemClock;
use std::os::unix::fs::MetadataExt;
use tandem_model::{Account, Timestamp};
use tandem_store::{Act, MAX_PAGE, Store};

/// Whether a command may make what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It brings things into being: data directory, master key and database.
    Make,
    /// It asks about or changes what is there; a database that is made by it would be the wrong one.
    Fail,
}

/// Opens the database of the configuration, does the work and closes it again.
pub(super) fn with_store<T>(
    config: &Config,
    missing: Missing,
    work: impl AsyncFnOnce(&Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match missing {
        Missing::Make => crate::serve::make_data_dir(config)?,
        Missing::Fail => require_database(config)?,
    }
    block_on(async {
        let store = crate::serve::open_store(config).await?;
        let done = work(&store).await;
        store.close().await;
        done
    })
}

/// Runs a command that waits for something.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?.block_on(work)
}

/// The account that an option names by name or id; without the option the only one there is.
pub(super) async fn account(store: &Store, named: Option<&str>) -> Result<Account, Failure> {
    let Some(named) = named else {
        return only_account(store).await;
    };
    if let Ok(id) = named.parse()
        && let Some(account) = store.account(id).await?
    {
        return Ok(account);
    }
    store.account_by_name(named).await?.ok_or_else(|| Failure::UnknownAccount { named: named.to_owned() })
}

async fn only_account(store: &Store) -> Result<Account, Failure> {
    let mut accounts = store.accounts(0, MAX_PAGE).await?;
    match accounts.pop() {
        None => Err(Failure::NoAccount),
        Some(account) if accounts.is_empty() => Ok(account),
        Some(_) => Err(Failure::WhichAccount { count: accounts.len() + 1 }),
    }
}

/// Every page of a list.
pub(super) async fn every<T, E>(mut page: impl AsyncFnMut(u32) -> Result<Vec<T>, E>) -> Result<Vec<T>, E> {
    let mut all = Vec::new();
    let mut skip = 0;
    loop {
        let mut rows = page(skip).await?;
        let is_last = rows.len() < MAX_PAGE as usize;
        all.append(&mut rows);
        if is_last {
            return Ok(all);
        }
        skip += MAX_PAGE;
    }
}

/// What a new id is made of.
pub(super) fn id_parts() -> Result<(Timestamp, [u8; 10]), Failure> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(Failure::Randomness)?;
    Ok((SystemClock::utc(), random))
}

/// What the user of the operating system does by a command.
pub(super) fn act() -> Act {
    Act::cli(user_name(), SystemClock::utc())
}

/// The user's name as the system's list of users has it, else the number.
fn user_name() -> String {
    let Ok(process) = std::fs::metadata("/proc/self") else {
        return "unknown".to_owned();
    };
    let uid = process.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {uid}"))
}

fn require_database(config: &Config) -> Result<(), Failure> {
    match config.database.file() {
        Some(path) if !path.exists() => Err(Failure::NoDatabase { path: path.to_owned() }),
        Some(_) | None => Ok(()),
    }
}
