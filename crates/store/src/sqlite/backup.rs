//! Copies of the database file, made while others write, and put in its place while nobody does.

use super::{APPLICATION_ID, BUSY_TIMEOUT};
use crate::store::random;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why there is no backup, or why it was not put in the place of the database. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// PostgreSQL has commands of its own for it.
    #[error("the database is PostgreSQL; its own pg_dump and pg_restore make and restore backups")]
    NotAFile,
    /// The file is there, and may be somebody's only backup.
    #[error("{path:?} is there already; name a file that is not")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It is not a database of ours.
    #[error("{path:?} is not a backup of a database of Tandem")]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// It has what a database of ours has not: a statement that runs when another does, say.
    #[error("{path:?} has a {kind} {name:?}, which no database of Tandem has; somebody has changed it")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// `trigger` or `view`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A look at every page found damage.
    #[error("{path:?} is damaged ({finding}); take another backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found first.
        finding: String,
    },
    /// Something of the database would be lost if it was replaced.
    #[error("the write-ahead log of {path:?} is in use; stop whoever has the database open")]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{path:?} cannot be {action}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
}

/// How far a backup is, in pages of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// Copied.
    pub copied: u64,
    /// All of them.
    pub all: u64,
}

/// Copies the database as of this moment into a file that must not be there yet, and looks at every page of the copy. Blocks; writers
/// go on meanwhile. Gives the bytes of the copy.
pub(crate) fn back_up(from: &Path, to: &Path, mut progress: impl FnMut(BackupProgress)) -> Result<u64, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let draft = beside(to, "part")?;
    private(&draft)?;
    let made = copy(from, &draft, &mut progress).and_then(|()| {
        let bytes = sync(&draft)?;
        match fs::hard_link(&draft, to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BackupError::Exists { path: to.to_owned() })
            }
            linked => linked.map(|()| bytes).map_err(|source| written(to, source)),
        }
    });
    // It may be there under its other name, or not at all.
    let _ = fs::remove_file(&draft);
    let bytes = made?;
    sync_folder(to)?;
    Ok(bytes)
}

fn copy(from: &Path, draft: &Path, progress: &mut impl FnMut(BackupProgress)) -> Result<(), BackupError> {
    let source =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    source.busy_timeout(BUSY_TIMEOUT)?;
    // A transaction that reads sees one moment; without it each write of somebody else would begin the copy anew.
    source.execute_batch("BEGIN")?;
    let _: i64 = source.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let mut target = Connection::open(draft)?;
    {
        let backup = Backup::new(&source, &mut target)?;
        loop {
            let step = backup.step(PAGES)?;
            let pages = backup.progress();
            let [all, left] = [pages.pagecount, pages.remaining].map(|pages| u64::try_from(pages).unwrap_or_default());
            progress(BackupProgress { copied: all.saturating_sub(left), all });
            if matches!(step, StepResult::Done) {
                break;
            }
            // Nobody else has the copy, and of the source this only reads: should it have been busy, a moment later it goes on.
            std::thread::yield_now();
        }
    }
    source.execute_batch("ROLLBACK")?;
    // One file, without a log beside it.
    let _: String = target.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    check(&target, draft)?;
    target.close().map_err(|(_, error)| BackupError::Sqlite(error))
}

/// A copy of a backup beside the database, fit to take its place.
pub(crate) fn stage(backup: &Path, database: &Path) -> Result<PathBuf, BackupError> {
    let connection =
        Connection::open_with_flags(backup, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|_| BackupError::File {
                path: backup.to_owned(),
                action: "read",
                source: io::ErrorKind::NotFound.into(),
            })?;
    check(&connection, backup)?;
    drop(connection);
    let staged = beside(database, "restoring")?;
    private(&staged)?;
    let copied = fs::copy(backup, &staged).and_then(|_| match fs::metadata(database) {
        // Who restores as root must not lock the server's user out.
        Ok(kept) => std::os::unix::fs::chown(&staged, Some(kept.uid()), Some(kept.gid())),
        Err(_) => Ok(()),
    });
    if let Err(source) = copied {
        let _ = fs::remove_file(&staged);
        return Err(written(&staged, source));
    }
    // The copy has the mode of the backup, which may be another's.
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&staged, private).map_err(|source| written(&staged, source))?;
    Ok(staged)
}

/// Puts a staged database in the place of the one that is there, which is kept under this name. Nobody may have either open.
pub(crate) fn put_in_place(staged: &Path, database: &Path, replaced: &Path) -> Result<(), BackupError> {
    sync(staged)?;
    if database.exists() {
        // What is in the log belongs to the database that goes; with another it would be taken for that one's.
        let folded = Connection::open(database).and_then(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        });
        if matches!(folded, Ok(busy) if busy != 0) {
            return Err(BackupError::InUse { path: database.to_owned() });
        }
        for end in ["-wal", "-shm"] {
            let (log, kept) = (with_end(database, end), with_end(replaced, end));
            if log.exists() {
                fs::rename(&log, &kept).map_err(|source| written(&kept, source))?;
            }
        }
        fs::hard_link(database, replaced).map_err(|source| written(replaced, source))?;
    }
    fs::rename(staged, database).map_err(|source| written(database, source))?;
    sync_folder(database)
}

fn check(connection: &Connection, path: &Path) -> Result<(), BackupError> {
    let mark: Result<i64, _> = connection.query_row("PRAGMA application_id", [], |row| row.get(0));
    if mark.ok() != Some(APPLICATION_ID) {
        return Err(BackupError::NotABackup { path: path.to_owned() });
    }
    let foreign = connection.query_row(FOREIGN, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((kind, name)) = foreign {
        return Err(BackupError::Foreign { path: path.to_owned(), kind, name });
    }
    let finding: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if finding == "ok" { Ok(()) } else { Err(BackupError::Damaged { path: path.to_owned(), finding }) }
}

/// Takes away a staged copy, with what whoever has opened it may have left beside it.
pub(crate) fn unstage(staged: &Path) {
    for end in ["", "-wal", "-shm"] {
        // It is in place, or not there.
        let _ = fs::remove_file(with_end(staged, end));
    }
}

/// A name beside a file that nobody else uses.
fn beside(path: &Path, what: &str) -> Result<PathBuf, BackupError> {
    let suffix = random::<8>().map_err(BackupError::Randomness)?;
    Ok(with_end(path, &format!(".{what}-{}", hex::encode(suffix))))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// A new, empty file that only this user can read.
fn private(path: &Path) -> Result<(), BackupError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map(drop).map_err(|source| written(path, source))
}

fn sync(path: &Path) -> Result<u64, BackupError> {
    let synced = File::open(path).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
    synced.map(|file| file.len()).map_err(|source| written(path, source))
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| written(folder, source))
}

fn written(path: &Path, source: io::Error) -> BackupError {
    BackupError::File { path: path.to_owned(), action: "written", source }
}

/// What would run or answer in the place of what we write and read. No schema of ours has any.
const FOREIGN: &str = "SELECT type, name FROM sqlite_schema WHERE type IN ('trigger', 'view') LIMIT 1";
/// 8 MB at a time: often enough to show how far it is.
const PAGES: i32 = 2_048;
