use super::database::{Missing, act, block_on, with_store};
use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::serve::{JOURNAL_DIR, SHARD, make_data_dir, store_options};
use serde_json::json;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use tandem_journal::Hold;
use tandem_store::{BackedUp, BackupProgress, Restored, Store};

/// Copies the database into a file.
pub(super) fn back_up(file: &Path, config: &Config, output: &Output) -> Result<(), Failure> {
    require_file(config)?;
    let shows_progress = !output.is_json() && io::stderr().is_terminal();
    let mut shown = 0;
    let progress = |BackupProgress { copied, all }: BackupProgress| {
        let percent = (copied * 100).checked_div(all).unwrap_or(100);
        if shows_progress && percent >= shown + PROGRESS_STEP {
            shown = percent;
            Output::remark(&format!("{percent} %"));
        }
    };
    let BackedUp { bytes } = with_store(config, Missing::Fail, async |store| {
        Ok(store.back_up(&act(), &config.database, file, progress).await?)
    })?;
    let answer = json!({"file": file, "bytes": bytes});
    Ok(output.answer(&answer, || {
        format!(
            "{} has {bytes} bytes, and every page of it is sound\nIt opens only with the master key: keep {} too, elsewhere\n",
            file.display(),
            config.master_key_file.display()
        )
    })?)
}

/// Puts a backup in the place of the database.
pub(super) fn restore(file: &Path, config: &Config, output: &Output) -> Result<(), Failure> {
    require_file(config)?;
    make_data_dir(config)?;
    // Held until it is done: a server that starts meanwhile waits for nobody, and says so.
    let hold = Hold::take(&config.data_dir.join(JOURNAL_DIR), SHARD)?;
    let _hold = hold
        .map_err(|pid| Failure::ServerRuns { pid: pid.map_or_else(String::new, |pid| format!(" (process {pid})")) })?;
    let options = store_options(config)?;
    let Restored { replaced, findings } =
        block_on(async { Ok(Store::restore(&act(), &config.database, file, options).await?) })?;
    let answer = json!({"database": config.database.to_string(), "restored": file, "replaced": replaced, "audit_findings": findings.len()});
    Ok(output.answer(&answer, || {
        let kept = replaced.as_ref().map_or_else(String::new, |replaced| {
            format!("The one that was there is {}; remove it when you no longer need it\n", replaced.display())
        });
        let doubt = match findings.len() {
            0 => String::new(),
            _ => "Its audit log is not as it was written: tandem audit verify names the places\n".to_owned(),
        };
        format!("{} is as it was in {}\n{kept}{doubt}", config.database, file.display())
    })?)
}

fn require_file(config: &Config) -> Result<(), Failure> {
    match config.database.file() {
        Some(_) => Ok(()),
        None => Err(Failure::PostgresBackup { database: config.database.to_string() }),
    }
}

/// Percent between two lines of progress.
const PROGRESS_STEP: u64 = 10;
