//! What rules do with alerts.

use super::{read_alert, told};
use crate::event::REMOVED_AT_ONCE;
use crate::pool::on_pool;
use crate::row::Columns;
use crate::{ComposeMail, DatabaseError, Store};
use tandem_model::{AccountId, Alert, AlertId, AlertRule, AlertState, EventType, NodeId, Timestamp};

/// An alert whose condition has not been away since it was raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAlert {
    /// Its id.
    pub id: AlertId,
    /// Whose.
    pub account_id: AccountId,
    /// Which rule raised it.
    pub rule: AlertRule,
    /// What it is about.
    pub subject: String,
    /// Where it is; a person may have resolved it.
    pub state: AlertState,
    /// The node that raised it.
    pub node_id: NodeId,
}

impl Store {
    /// Every alert whose condition has not been away since it was raised, of all accounts. There is at most one of an account, a rule and
    /// a subject.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn open_alerts(&self) -> Result<Vec<OpenAlert>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM alerts WHERE holds ORDER BY account_id, rule, subject")
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(|row| {
                Ok(OpenAlert {
                    id: AlertId::from_uuid(row.uuid("id")?),
                    account_id: AccountId::from_uuid(row.uuid("account_id")?),
                    rule: row.parsed("rule")?,
                    subject: row.text("subject")?,
                    state: row.parsed("state")?,
                    node_id: NodeId::from_uuid(row.uuid("node_id")?),
                })
            })
            .collect())
    }

    /// The nodes that run, as far as they have said so lately; this one is among them.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn running_nodes(&self, now: Timestamp) -> Result<Vec<NodeId>, DatabaseError> {
        let mut nodes = vec![self.node_id()];
        on_pool!(self, pools => {
            for row in &sqlx::query("SELECT node_id, seen_at FROM running_nodes").fetch_all(&pools.reader).await? {
                if now.since(row.time("seen_at")?) < crate::key_rotation::SEEN_FOR {
                    nodes.push(NodeId::from_uuid(row.uuid("node_id")?));
                }
            }
        });
        Ok(nodes)
    }

    /// The account of the operator, who is told of the node itself; `None` of a node that has none yet.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn operators_account(&self) -> Result<Option<AccountId>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT id FROM accounts WHERE node_admin ORDER BY created_at, id LIMIT 1")
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| row.uuid("id").map(AccountId::from_uuid))
            .transpose())
    }

    /// Writes an alert that was raised, with its event and its mails. `false` when one like it is there: then nothing is written.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn raise_alert(&self, alert: &Alert, mail: Option<ComposeMail>) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            let inserted = sqlx::query(
                "INSERT INTO alerts (id, account_id, rule, subject, severity, state, summary, measured, threshold, node_id, raised_at,
                     holds)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
            )
            .bind(alert.id.as_uuid())
            .bind(alert.account_id.as_uuid())
            .bind(alert.rule.as_str())
            .bind(alert.subject.as_str())
            .bind(alert.severity.as_str())
            .bind(AlertState::Raised.as_str())
            .bind(alert.summary.as_str())
            .bind(alert.measured.as_str())
            .bind(i64::from(alert.threshold))
            .bind(alert.node_id.as_uuid())
            .bind(alert.raised_at.unix_micros())
            .bind(true)
            .execute(&mut *transaction)
            .await?;
            if inserted.rows_affected() == 0 {
                return Ok(false);
            }
            if let Some(compose) = mail {
                pools.append_mails(&mut transaction, alert, compose).await?;
            }
            pools.append_events(&mut transaction, vec![told(alert, EventType::AlertRaised, alert.raised_at)?]).await?;
            transaction.commit().await?;
        });
        Ok(true)
    }

    /// The condition of an alert is away: it is over, unless a person has said so before, and the next time it is raised anew. `false`
    /// when somebody was faster.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn clear_alert(
        &self,
        id: AlertId,
        at: Timestamp,
        mail: Option<ComposeMail>,
    ) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            let row = sqlx::query("UPDATE alerts SET holds = $2 WHERE id = $1 AND holds RETURNING *")
                .bind(id.as_uuid())
                .bind(false)
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(row) = row else { return Ok(false) };
            let before = read_alert(&row)?;
            if before.state != AlertState::Resolved {
                let alert = Alert {
                    state: AlertState::Resolved,
                    resolved_at: Some(at.max(before.raised_at)),
                    resolved_by: Some(BY_RULE.to_owned()),
                    ..before
                };
                sqlx::query("UPDATE alerts SET state = $2, resolved_at = $3, resolved_by = $4 WHERE id = $1")
                    .bind(id.as_uuid())
                    .bind(alert.state.as_str())
                    .bind(alert.resolved_at.map(Timestamp::unix_micros))
                    .bind(alert.resolved_by.as_deref())
                    .execute(&mut *transaction)
                    .await?;
                if let Some(compose) = mail {
                    pools.append_mails(&mut transaction, &alert, compose).await?;
                }
                pools.append_events(&mut transaction, vec![told(&alert, EventType::AlertResolved, at)?]).await?;
            }
            transaction.commit().await?;
        });
        Ok(true)
    }

    /// Removes alerts that were over before then, at most [`REMOVED_AT_ONCE`](crate::REMOVED_AT_ONCE); gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_alerts_before(&self, before: Timestamp) -> Result<u64, DatabaseError> {
        Ok(on_pool!(self, pools => sqlx::query(
                "DELETE FROM alerts WHERE id IN
                     (SELECT id FROM alerts WHERE resolved_at < $1 AND NOT holds ORDER BY resolved_at LIMIT $2)",
            )
            .bind(before.unix_micros())
            .bind(i64::from(REMOVED_AT_ONCE))
            .execute(&pools.writer)
            .await?
            .rows_affected()))
    }
}

/// Who has resolved what no person has.
const BY_RULE: &str = "rule";
