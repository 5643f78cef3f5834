use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory of one shard's journal.
#[derive(Clone, Debug)]
pub(crate) struct ShardDirectory {
    root: PathBuf,
    path: PathBuf,
}

impl ShardDirectory {
    pub(crate) fn new(root: &Path, shard: u16) -> Self {
        Self { root: root.to_owned(), path: root.join(format!("shard-{shard}")) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where unreadable parts of all shards are kept.
    pub(crate) fn set_aside(&self) -> PathBuf {
        self.root.join(SET_ASIDE)
    }

    /// Makes it if it is missing, for this user only: signalling names who calls whom.
    pub(crate) fn create(&self) -> io::Result<()> {
        create_private(&self.path)
    }

    pub(crate) fn segment_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}.{SEGMENT_EXTENSION}"))
    }

    /// Where a segment is written until it is whole up to its snapshot.
    pub(crate) fn unfinished_path(&self) -> PathBuf {
        self.path.join(UNFINISHED)
    }

    /// The numbers of its segments, ascending. Other files are left alone.
    pub(crate) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let path = PathBuf::from(file?.file_name());
            let is_segment = path.extension().is_some_and(|extension| extension == SEGMENT_EXTENSION);
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if is_segment && let Some(number) = number {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Brings the names of the segments to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Takes the lock, which ends with the file, so with the process at the latest. `Err(pid)` when another has it.
    pub(crate) fn lock(&self) -> io::Result<Result<File, Option<u32>>> {
        let mut file =
            private_file().read(true).write(true).create(true).truncate(false).open(self.path.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => {
                // Only a hint for the message of the next who comes.
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", std::process::id())?;
                Ok(Ok(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = file.take(MAX_PID_BYTES).read_to_string(&mut pid);
                Ok(Err(read.ok().and_then(|_| pid.trim().parse().ok())))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The journal of a shard, kept from every writer until it is dropped.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

impl Hold {
    /// Takes the journal of a shard, unless a writer has it: then `Err` has its process id, if that is known.
    ///
    /// # Errors
    /// What the system says.
    pub fn take(directory: &Path, shard: u16) -> io::Result<Result<Self, Option<u32>>> {
        let directory = ShardDirectory::new(directory, shard);
        directory.create()?;
        Ok(directory.lock()?.map(|lock| Self { _lock: lock }))
    }
}

/// Options for files that only this user may read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

const SEGMENT_EXTENSION: &str = "journal";
const UNFINISHED: &str = "unfinished";
const LOCK_FILE: &str = "lock";
const SET_ASIDE: &str = "set-aside";
/// A process id has at most 10 digits.
const MAX_PID_BYTES: u64 = 16;
