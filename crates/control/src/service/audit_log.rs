use crate::service::{Caller, Core, Forbidden};
use std::sync::Arc;
use tandem_model::AccountId;
use tandem_store::{AuditEntry, AuditFilter, DatabaseError, MAX_PAGE, NODE};

/// Who did what in the account, or on the node.
#[derive(Clone)]
pub(crate) struct AuditLog {
    core: Arc<Core>,
}

/// Which part of which log is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditQuery {
    /// The node's own log, not the account's.
    pub(crate) of_node: bool,
    pub(crate) filter: AuditFilter,
    pub(crate) skip: u32,
    pub(crate) limit: u32,
}

/// Why a log is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadAuditError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// All of a log that is asked for, page by page, oldest first.
pub(crate) struct AuditExport {
    core: Arc<Core>,
    account: AccountId,
    filter: AuditFilter,
    /// The last entry that was given; `None` once there are no more.
    after: Option<u64>,
}

impl AuditLog {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Entries, newest first.
    pub(crate) async fn list(&self, caller: &Caller, query: AuditQuery) -> Result<Vec<AuditEntry>, ReadAuditError> {
        let log = whose(caller, &query)?;
        Ok(self.core.store.audit_log(log, &query.filter, query.skip, query.limit).await?)
    }

    /// All entries, oldest first.
    pub(crate) fn export(&self, caller: &Caller, query: AuditQuery) -> Result<AuditExport, ReadAuditError> {
        let account = whose(caller, &query)?;
        Ok(AuditExport { core: Arc::clone(&self.core), account, filter: query.filter, after: Some(0) })
    }
}

impl AuditExport {
    /// The next page; empty at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<AuditEntry>, DatabaseError> {
        let Some(after) = self.after else { return Ok(Vec::new()) };
        let entries = self.core.store.audit_log_after(self.account, &self.filter, after, MAX_PAGE).await?;
        self.after = entries.last().filter(|_| entries.len() == MAX_PAGE as usize).map(|entry| entry.number);
        Ok(entries)
    }
}

fn whose(caller: &Caller, query: &AuditQuery) -> Result<AccountId, Forbidden> {
    if !query.of_node {
        return Ok(caller.account_id());
    }
    caller.require_node()?;
    Ok(NODE)
}
