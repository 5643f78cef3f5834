use crate::config::Config;
use crate::runtime::SystemClock;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tandem_model::Secret;
use tandem_store::{Act, DatabaseError, InsertApiKeyError, Store};

/// Why the bootstrap admin has no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the database failed: {0}")]
    Database(#[from] DatabaseError),
    #[error("TANDEM_ADMIN_API_KEY cannot be used: {0}")]
    Insert(#[from] InsertApiKeyError),
    #[error("{path:?} cannot be read or written: {source}; let this user write the data directory")]
    File { path: PathBuf, source: io::Error },
}

/// The key of the bootstrap admin, as far as this start knows it.
pub(super) enum AdminKey {
    /// Made now: shown once.
    New(Secret),
    /// Known from the configuration or the demo's file.
    Known(Secret),
    /// Made earlier; only its hash is kept.
    Hidden,
}

/// Sees to it that the bootstrap admin exists and has a key.
pub(super) async fn admin_key(store: &Store, config: &Config, demo: bool) -> Result<AdminKey, KeyError> {
    let act = Act::system("start", SystemClock::utc());
    let account = store.ensure_admin_account(&act, ADMIN_ACCOUNT).await?;
    if let Some(key) = &config.admin_api_key {
        if store.authenticate(key.expose()).await?.is_none() {
            store.insert_api_key_with(&act, account.id, "TANDEM_ADMIN_API_KEY", key).await?;
        }
        return Ok(AdminKey::Known(key.clone()));
    }
    if demo {
        return demo_key(store, &act, account.id, &config.data_dir.join(DEMO_KEY_FILE)).await;
    }
    if !store.api_keys(account.id, 0, 1).await?.is_empty() {
        return Ok(AdminKey::Hidden);
    }
    let (_, key) = store.create_api_key(&act, account.id, "first start").await?;
    Ok(AdminKey::New(key))
}

/// The demo's key is kept in a file that only this user can read.
async fn demo_key(
    store: &Store,
    act: &Act,
    account: tandem_model::AccountId,
    path: &Path,
) -> Result<AdminKey, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => {
            let key = Secret::new(text.trim());
            if store.authenticate(key.expose()).await?.is_some() {
                return Ok(AdminKey::Known(key));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(failed(source)),
    }
    let (_, key) = store.create_api_key(act, account, "demo").await?;
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    // The mode above counts for a new file only.
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
    writeln!(file, "{}", key.expose()).map_err(failed)?;
    Ok(AdminKey::Known(key))
}

/// Shows a key that was made now. It is never shown again.
pub(super) fn announce(key: &AdminKey) {
    if let AdminKey::New(key) = key {
        // Standard output, so that it is not in the log. A closed one means that nobody wants to see it.
        let _ = writeln!(io::stdout(), "API key of the account {ADMIN_ACCOUNT:?} (shown once): {}", key.expose());
    }
}

/// The account that a new node has.
pub(super) const ADMIN_ACCOUNT: &str = "admin";
/// Also where the CLI looks for a key.
const DEMO_KEY_FILE: &str = "demo.key";
