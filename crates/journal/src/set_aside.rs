use crate::Damage;
use crate::directory::{create_private, private_file};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tandem_model::Record;

/// The directory for what could not be read or stored, for a person to look at.
#[derive(Debug)]
pub(crate) struct SetAsideDirectory {
    path: PathBuf,
    shard: u16,
    /// Files that may still be added.
    room: usize,
}

impl SetAsideDirectory {
    /// Counts what is there; the directory is made when something comes into it.
    pub(crate) fn open(path: PathBuf, shard: u16) -> io::Result<Self> {
        let present = match fs::read_dir(&path) {
            Ok(files) => files.count(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { path, shard, room: MAX_FILES.saturating_sub(present) })
    }

    /// Keeps a copy of an unreadable part, and beside it a text that says where it stood and why.
    pub(crate) fn keep_damage(&mut self, damage: &Damage, bytes: &[u8]) -> io::Result<PathBuf> {
        let stem = format!("shard-{}-segment-{:020}-byte-{}", self.shard, damage.at.segment, damage.at.offset);
        let reason = format!("{}, {} bytes: {}\n", damage.at, damage.bytes, damage.reason);
        self.write(&format!("{stem}.txt"), reason.as_bytes())?;
        self.write(&format!("{stem}.damaged"), bytes)
    }

    /// Keeps a record and why it was not stored. A later state of the same call or leg replaces an earlier one.
    pub(crate) fn keep_record(&mut self, record: &Record, reason: &str) -> io::Result<PathBuf> {
        let name = match record {
            Record::Call(call) => format!("call-{}", call.id),
            Record::Leg(leg) => format!("call-{}-leg-{}", leg.call_id, leg.id),
            Record::Event(event) => format!("call-{}-event-{}", event.call_id, event.number),
            Record::Refusal(refusal) => format!("refusal-{}", refusal.id),
        };
        let text = serde_json::json!({ "reason": reason, "record": record });
        self.write(&format!("shard-{}-{name}.json", self.shard), format!("{text:#}\n").as_bytes())
    }

    /// Writes a file, over one of the same name: after a crash the same part is met again.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        let is_new = !fs::exists(&path)?;
        if is_new && self.room == 0 {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        create_private(&self.path)?;
        let written = write_file(&path, bytes);
        if written.is_err() && is_new {
            // Half a copy helps nobody.
            let _ = fs::remove_file(&path);
        }
        written?;
        self.room = self.room.saturating_sub(usize::from(is_new));
        Ok(path)
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    private_file().write(true).create(true).truncate(true).open(path)?.write_all(bytes)
}

/// Files that are kept: enough to understand what happens, too few to fill a disk when it happens to every record.
const MAX_FILES: usize = 10_000;
