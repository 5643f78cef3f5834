use super::database::{Missing, account, with_store};
use super::failure::{Failure, Findings};
use super::output::{Output, Table};
use crate::config::Config;
use clap::Subcommand;
use serde_json::{Value, json};
use tandem_model::AccountId;
use tandem_store::{AuditEntry, AuditFilter, Finding, MAX_PAGE, NODE, Verified};

/// The audit log.
#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Look at every entry of every log: nothing may be changed, missing or added
    Verify,
    /// Print a log, oldest first, one JSON object a line
    Export {
        /// Of this account, by name or id [default: the only one there is]
        #[arg(long, conflicts_with = "node")]
        account: Option<String>,
        /// Of the node itself
        #[arg(long)]
        node: bool,
    },
}

impl AuditCommand {
    pub(super) fn perform(self, config: &Config, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Verify => verify(config, output),
            Self::Export { account, node } => export(account.as_deref(), node, config, output),
        }
    }
}

fn verify(config: &Config, output: &Output) -> Result<(), Failure> {
    let verified = with_store(config, Missing::Fail, async |store| Ok(store.verify_audit_log().await?))?;
    output.answer(&view(&verified), || text(&verified))?;
    if verified.is_whole() {
        Ok(())
    } else {
        Err(Failure::AuditLogBroken { findings: Findings(verified.findings.len()) })
    }
}

fn export(named: Option<&str>, node: bool, config: &Config, output: &Output) -> Result<(), Failure> {
    with_store(config, Missing::Fail, async |store| {
        let log = if node { NODE } else { account(store, named).await?.id };
        let mut after = 0;
        loop {
            let entries = store.audit_log_after(log, &AuditFilter::default(), after, MAX_PAGE).await?;
            for entry in &entries {
                output.json_line(&entry_view(entry))?;
                after = entry.number;
            }
            if entries.len() < MAX_PAGE as usize {
                return Ok(());
            }
        }
    })
}

fn view(verified: &Verified) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "log": log_name(finding.account),
            "number": finding.number,
            "fault": finding.fault.as_str(),
            "message": finding.fault.to_string(),
        })
    };
    json!({
        "whole": verified.is_whole(),
        "logs": verified.logs,
        "entries": verified.entries,
        "redacted": verified.redacted,
        "node_head": verified.node_head.as_ref().map(|(number, hash)| json!({"number": number, "hash": hash})),
        "findings": verified.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn text(verified: &Verified) -> String {
    let Verified { logs, entries, .. } = verified;
    if verified.is_whole() {
        let head = verified
            .node_head
            .as_ref()
            .map_or_else(String::new, |(number, hash)| format!("the node's log ends with entry {number}, {hash}\n"));
        return format!("{entries} entries of {logs} logs are as they were written\n{head}");
    }
    let mut table = Table::new(&["LOG", "ENTRY", "FAULT"]);
    for finding in &verified.findings {
        let number = finding.number.map_or_else(String::new, |number| number.to_string());
        table.row([log_name(finding.account), number, finding.fault.to_string()]);
    }
    table.to_string()
}

fn log_name(account: AccountId) -> String {
    if account == NODE { "node".to_owned() } else { account.to_string() }
}

fn entry_view(entry: &AuditEntry) -> Value {
    let side = |name: &str| entry.details.as_ref().and_then(|details| details.get(name)).cloned();
    json!({
        "number": entry.number,
        "at": entry.at,
        "actor": {
            "kind": entry.actor_kind,
            "id": entry.actor_id,
            "name": entry.actor_name,
            "user_id": entry.actor_account,
            "on_behalf_of": entry.on_behalf_of,
            "source": entry.source,
        },
        "action": entry.action,
        "resource_type": entry.resource_type,
        "resource_id": entry.resource_id,
        "before": side("before"),
        "after": side("after"),
        "erased": entry.details.is_none(),
        "request_id": entry.request_id,
        "node_id": entry.node_id,
        "hash": entry.hash,
    })
}
