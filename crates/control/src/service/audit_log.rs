use crate::service::{Caller, Core, Forbidden, ListRequest, OfNode, Page};
use std::sync::Arc;
use tandem_model::AccountId;
use tandem_store::{Act, AuditEntry, AuditFilter, DatabaseError, MAX_PAGE, NODE};

/// Who did what in the account, or on the node.
#[derive(Clone)]
pub(crate) struct AuditLog {
    core: Arc<Core>,
}

/// What of which log is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditSearch {
    /// The node's own log, not the account's.
    pub(crate) of_node: bool,
    pub(crate) filter: AuditFilter,
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
    /// Notes in the node's log where the logs of accounts end; gives how many.
    pub(crate) async fn note_heads(&self) -> Result<usize, DatabaseError> {
        let act = Act::system("audit", self.core.now());
        let mut noted = 0;
        loop {
            match self.core.store.note_audit_heads(&act).await? {
                0 => return Ok(noted),
                more => noted += more,
            }
        }
    }

    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Entries, newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<AuditSearch>,
    ) -> Result<Page<AuditEntry>, ReadAuditError> {
        let log = whose(caller, &request.filter)?;
        let (store, filter) = (&self.core.store, &request.filter.filter);
        let listed = store.list_audit_log(log, filter, &request.part);
        Ok(request.answer(listed, store.count_audit_log(log, filter)).await?)
    }

    /// All entries, oldest first.
    pub(crate) fn export(&self, caller: &Caller, search: AuditSearch) -> Result<AuditExport, ReadAuditError> {
        let account = whose(caller, &search)?;
        Ok(AuditExport { core: Arc::clone(&self.core), account, filter: search.filter, after: Some(0) })
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

fn whose(caller: &Caller, search: &AuditSearch) -> Result<AccountId, Forbidden> {
    if !search.of_node {
        return Ok(caller.account_id());
    }
    caller.require_node(OfNode::AuditLog)?;
    Ok(NODE)
}
