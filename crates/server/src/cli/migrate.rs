use super::database::block_on;
use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::serve::make_data_dir;
use serde_json::json;
use tandem_store::{Migrated, Store};

/// Brings the schema up to date; needs no master key.
pub(super) fn migrate(config: &Config, output: &Output) -> Result<(), Failure> {
    make_data_dir(config)?;
    let Migrated { from, to } = block_on(async { Ok(Store::migrate(&config.database).await?) })?;
    let answer = json!({"database": config.database.to_string(), "from": from, "to": to});
    Ok(output.answer(&answer, || {
        if from == to {
            format!("{} has schema {to} already\n", config.database)
        } else {
            format!("{}: schema {from} to {to}\n", config.database)
        }
    })?)
}
