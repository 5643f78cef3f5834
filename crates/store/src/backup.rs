use crate::database_url::Location;
use crate::pool::Pool;
use crate::sqlite::backup;
use crate::{
    Act, BackupError, BackupProgress, Change, DatabaseError, DatabaseUrl, Finding, NODE, OpenError, Store, StoreOptions,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// Its size.
    pub bytes: u64,
}

/// A backup that was put in the place of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the database that was replaced is kept, if there was one.
    pub replaced: Option<PathBuf>,
    /// What does not hold in the audit log of the backup, as it came; at most [`MAX_FINDINGS`](crate::MAX_FINDINGS).
    pub findings: Vec<Finding>,
}

/// Why a backup was not put in the place of the database, which is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is none, or the files cannot be written.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The backup is one, but cannot be opened as the database.
    #[error("the backup cannot be used: {0}")]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Store {
    /// Copies the database, as of this moment, into a file that must not be there yet, while it is used. Blocks this thread.
    ///
    /// # Errors
    /// [`BackupError`]; no file is left then.
    pub async fn back_up(
        &self,
        act: &Act,
        database: &DatabaseUrl,
        to: &Path,
        progress: impl FnMut(BackupProgress),
    ) -> Result<BackedUp, RestoreError> {
        let (Location::Sqlite(from), Pool::Sqlite(_)) = (database.location(), self.pool()) else {
            return Err(BackupError::NotAFile.into());
        };
        let bytes = backup::back_up(from, to, progress)?;
        let fields = json!({"file": to.to_string_lossy(), "bytes": bytes});
        self.record_acts(&[(act.clone(), Change::new(NODE, "backup.create", &self.node_id()).made(fields))]).await?;
        Ok(BackedUp { bytes })
    }

    /// Puts a backup in the place of the database, which is kept beside it. Nobody may have the database open.
    ///
    /// Before anything is replaced a copy of the backup is looked at page by page, brought up to date, and opened with the master key.
    /// The position in the journal is that of the backup: what the journal still holds from there on is stored at the next start.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub async fn restore(
        act: &Act,
        database: &DatabaseUrl,
        backup: &Path,
        options: StoreOptions,
    ) -> Result<Restored, RestoreError> {
        let Location::Sqlite(path) = database.location() else {
            return Err(BackupError::NotAFile.into());
        };
        let staged = backup::stage(backup, path)?;
        let restored = put_in_place(act, path, backup, &staged, options).await;
        if restored.is_err() {
            backup::unstage(&staged);
        }
        restored
    }
}

async fn put_in_place(
    act: &Act,
    path: &Path,
    backup: &Path,
    staged: &Path,
    options: StoreOptions,
) -> Result<Restored, RestoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".replaced-{}", act.at.unix_millis()));
    let replaced = PathBuf::from(name);
    let store = Store::open(&DatabaseUrl::sqlite(staged), options).await?;
    // Somebody may need the backup all the same.
    let findings = match store.verify_audit_log().await {
        Ok(verified) => verified.findings,
        Err(error) => {
            store.close().await;
            return Err(error.into());
        }
    };
    let fields = json!({"file": backup.to_string_lossy(), "replaced": replaced.to_string_lossy()});
    let change = Change::new(NODE, "backup.restore", &store.node_id()).made(fields);
    let recorded = store.record_acts(&[(act.clone(), change)]).await;
    store.close().await;
    recorded?;
    let existed = path.exists();
    backup::put_in_place(staged, path, &replaced)?;
    Ok(Restored { replaced: existed.then_some(replaced), findings })
}
