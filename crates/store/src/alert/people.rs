//! What people see of alerts, and do with them.

use super::{read_alert, told};
use crate::audit::ActTransaction;
use crate::error::from_database;
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::{Act, Change, ComposeMail, DatabaseError, Store};
use serde_json::json;
use tandem_model::{AccountId, Alert, AlertId, AlertRule, AlertSeverity, AlertState, EventType, Timestamp};

/// Which alerts to list. Each field narrows the list down; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only those in one of these states.
    pub states: Vec<AlertState>,
    /// Only those of this rule.
    pub rule: Option<AlertRule>,
    /// Only those as bad as this.
    pub severity: Option<AlertSeverity>,
    /// Only those about this.
    pub subject: Option<String>,
    /// Only those that were raised then or later.
    pub from: Option<Timestamp>,
    /// Only those that were raised earlier.
    pub before: Option<Timestamp>,
}

/// Why an alert was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeAlertError {
    /// The account has no such alert.
    #[error("no such alert")]
    NotFound,
    /// It is over.
    #[error("the alert is resolved")]
    Resolved,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(ChangeAlertError);

impl Store {
    /// Alerts of an account, the newest first. Reversed they are oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn alerts(
        &self,
        account: AccountId,
        filter: &AlertFilter,
        part: &Part,
    ) -> Result<Listed<Alert>, DatabaseError> {
        self.list(&filter.listing(account), part, &ReadAlert).await
    }

    /// How many alerts there are; `None` of more than [`MAX_COUNTED`](crate::MAX_COUNTED).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_alerts(&self, account: AccountId, filter: &AlertFilter) -> Result<Option<u64>, DatabaseError> {
        self.count(&filter.listing(account)).await
    }

    /// An alert of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn alert(&self, account: AccountId, id: AlertId) -> Result<Option<Alert>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(FIND_ALERT)
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_alert(&row))
            .transpose())
    }

    /// Somebody takes an alert on; gives it as it is then. One that somebody has taken on stays theirs.
    ///
    /// # Errors
    /// [`ChangeAlertError`].
    pub async fn acknowledge_alert(
        &self,
        act: &Act,
        account: AccountId,
        id: AlertId,
        note: Option<String>,
    ) -> Result<Alert, ChangeAlertError> {
        let by = act.actor.name.to_string();
        self.change_alert(act, account, id, "alert.acknowledge", EventType::AlertAcknowledged, None, |alert| {
            let taken_on = (alert.acknowledged_at.or(Some(act.at)), alert.acknowledged_by.or(Some(by)));
            Alert {
                state: AlertState::Acknowledged,
                acknowledged_at: taken_on.0,
                acknowledged_by: taken_on.1,
                note: note.or(alert.note),
                ..alert
            }
        })
        .await
    }

    /// Somebody says that an alert is over; gives it as it is then. As long as its condition is not away, nothing like it is raised.
    ///
    /// # Errors
    /// [`ChangeAlertError`].
    pub async fn resolve_alert(
        &self,
        act: &Act,
        account: AccountId,
        id: AlertId,
        note: Option<String>,
        mail: Option<ComposeMail>,
    ) -> Result<Alert, ChangeAlertError> {
        let by = act.actor.name.to_string();
        self.change_alert(act, account, id, "alert.resolve", EventType::AlertResolved, mail, |alert| Alert {
            state: AlertState::Resolved,
            resolved_at: Some(act.at.max(alert.raised_at)),
            resolved_by: Some(by),
            note: note.or(alert.note),
            ..alert
        })
        .await
    }

    #[expect(clippy::too_many_arguments, reason = "what is done, how it is called, and who is told")]
    async fn change_alert(
        &self,
        act: &Act,
        account: AccountId,
        id: AlertId,
        action: &'static str,
        event: EventType,
        mail: Option<ComposeMail>,
        change: impl FnOnce(Alert) -> Alert + Send,
    ) -> Result<Alert, ChangeAlertError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            // Held against the rule, which may find at this moment that it is over.
            let row = sqlx::query("UPDATE alerts SET holds = holds WHERE id = $1 AND account_id = $2 RETURNING *")
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(ChangeAlertError::NotFound)?;
            let before = read_alert(&row)?;
            if before.state == AlertState::Resolved {
                return Err(ChangeAlertError::Resolved);
            }
            let told_before = json!({"state": before.state, "note": before.note});
            let after = change(before);
            sqlx::query(
                "UPDATE alerts SET state = $2, acknowledged_at = $3, acknowledged_by = $4, resolved_at = $5, resolved_by = $6, note = $7
                 WHERE id = $1",
            )
            .bind(id.as_uuid())
            .bind(after.state.as_str())
            .bind(after.acknowledged_at.map(Timestamp::unix_micros))
            .bind(after.acknowledged_by.as_deref())
            .bind(after.resolved_at.map(Timestamp::unix_micros))
            .bind(after.resolved_by.as_deref())
            .bind(after.note.as_deref())
            .execute(&mut *transaction)
            .await?;
            if let Some(compose) = mail {
                pools.append_mails(&mut transaction, &after, compose).await?;
            }
            pools.append_events(&mut transaction, vec![told(&after, event, act.at)?]).await?;
            let told_after = json!({"state": after.state, "note": after.note});
            transaction.finish(self, act, Change::new(account, action, &id).changed(told_before, told_after)).await?;
            Ok(after)
        })
    }
}

impl AlertFilter {
    /// Whether every field is served by an index, so that parts of the list are full and rows can be passed over.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.wide().is_empty()
    }

    fn listing(&self, account: AccountId) -> Listing {
        Listing {
            table: "alerts",
            index: Some("alerts_of_account"),
            columns: "*",
            key: ALERTS_KEY,
            narrow: vec![Condition::Is("account_id", Bound::Uuid(account.as_uuid()))],
            wide: self.wide(),
            from: self.from.map(Timestamp::unix_micros),
            to: self.before.map(|before| before.unix_micros().saturating_sub(1)),
        }
    }

    fn wide(&self) -> Vec<Condition> {
        let text = |column, text: &str| Condition::Is(column, Bound::Text(text.to_owned()));
        let mut wide = Vec::new();
        if !self.states.is_empty() {
            let states = self.states.iter().map(|state| Bound::Text(state.as_str().to_owned())).collect();
            wide.push(Condition::IsOneOf("state", states));
        }
        wide.extend(self.rule.map(|rule| text("rule", rule.as_str())));
        wide.extend(self.severity.map(|severity| text("severity", severity.as_str())));
        wide.extend(self.subject.as_deref().map(|subject| text("subject", subject)));
        wide
    }
}

/// How alerts are listed: the newest first.
pub const ALERTS_KEY: SortKey = SortKey::descending(&[("raised_at", KeyKind::Integer), ("id", KeyKind::Uuid)]);

const FIND_ALERT: &str = "SELECT * FROM alerts WHERE id = $1 AND account_id = $2";

struct ReadAlert;

impl ReadRow for ReadAlert {
    type Row = Alert;

    fn read<R: Columns>(&self, row: &R) -> Result<Alert, DatabaseError> {
        read_alert(row)
    }
}
