use super::database::{Missing, act, with_store};
use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use clap::Subcommand;
use serde_json::json;
use std::time::{Duration, Instant};
use tandem_store::{RotateError, RotationStep};

/// The master key.
#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Replace the master key, with the nodes running or not. If it is cut off, run it again
    Rotate {
        /// How long tokens that were signed with the old key still count: 0 to end them at once
        #[arg(long, value_name = "SECONDS", default_value_t = RETIRE_AFTER_SECONDS)]
        retire_after: u64,
    },
    /// Show which master keys this node has, the one in force first; by their ids, which tell nothing of them
    List,
}

impl KeysCommand {
    pub(super) fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Rotate { retire_after } => rotate(Duration::from_secs(retire_after), config, output),
            Self::List => list(config, output),
        }
    }
}

fn rotate(retire_after: Duration, config: &Config, output: &Output) -> Result<(), Failure> {
    let (old, new, retire_at, resealed) = with_store(config, Missing::Fail, async |store| {
        let deadline = Instant::now() + PATIENCE;
        let mut resealed = 0;
        loop {
            match store.rotate_master_key_step(&act(), retire_after).await? {
                RotationStep::KeyMade(key) => {
                    remark(output, &format!("the new master key {key} is in this node's file"));
                }
                RotationStep::Announced(key) => remark(output, &format!("the nodes are told of {key}")),
                RotationStep::Switched => remark(output, "every node that runs has it and seals with it"),
                RotationStep::Resealed(count) => resealed += count,
                RotationStep::Waiting(nodes) if Instant::now() >= deadline => {
                    let nodes = nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    return Err(Failure::NodesBehind { nodes });
                }
                RotationStep::Waiting(_) => tokio::time::sleep(PAUSE).await,
                RotationStep::Done { old, new, retire_at } => return Ok((old, new, retire_at, resealed)),
            }
        }
    })?;
    let answer = json!({
        "old": old.to_string(), "new": new.to_string(), "resealed": resealed, "retire_at": retire_at,
    });
    Ok(output.answer(&answer, || {
        format!(
            "{new} is the master key; {resealed} values were sealed anew. {old} goes from the files of the nodes at {retire_at}.\n\
             Keep the new file with your backups: {}\n",
            config.master_key_file.display()
        )
    })?)
}

fn list(config: &Config, output: &Output) -> Result<(), Failure> {
    let ids = with_store(config, Missing::Fail, async |store| Ok(store.master_key_ids()))?;
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(output.answer(&json!(ids), || ids.iter().map(|id| format!("{id}\n")).collect())?)
}

fn remark(output: &Output, text: &str) {
    if !output.is_json() {
        Output::remark(text);
    }
}

impl From<RotateError> for Failure {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Database(error) => error.into(),
            other @ (RotateError::StillRetiring { .. } | RotateError::KeyMissing { .. } | RotateError::File(_)) => {
                Self::Rotate(other)
            }
        }
    }
}

/// Longer than an access token counts.
const RETIRE_AFTER_SECONDS: u64 = 20 * 60;
/// How long the nodes may take to see each step: far longer than the half second between their looks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the nodes.
const PAUSE: Duration = Duration::from_millis(100);
