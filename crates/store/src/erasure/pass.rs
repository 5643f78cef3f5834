//! One pass over all that an account has of past calls, kind by kind, a page at a time.

use super::job::{ClaimedErasure, DEAD_AFTER, QUIET_FOR, end_step};
use super::spellings::{Json, Spellings};
use crate::audit::ActTransaction;
use crate::idempotency::answer_place;
use crate::pool::on_pool;
use crate::row::{Columns, stored};
use crate::trunk::{READ_DATA_KEY, read_data_key};
use crate::{Act, Change, DatabaseError, Store};
use serde::{Deserialize, Serialize};
use tandem_model::Timestamp;
use uuid::Uuid;

/// How far an erasure is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    /// What is looked at; `None` after a pass.
    pub(super) phase: Option<Phase>,
    /// Where in it.
    cursor: Cursor,
    /// Whether the pass has begun.
    begun: bool,
    /// Whether every journal was read, up to when the erasure was asked for, as the pass began.
    pub(super) began_settled: bool,
    /// From where on calls are looked at, by when they began, in microseconds.
    calls_from: i64,
    /// When the first call began that was left because it was up.
    pub(super) open_from: Option<i64>,
}

/// A place in a walk: after it, the walk goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// A time in microseconds, or a number.
    at: i64,
    id: Uuid,
    /// Hexadecimal digits.
    hash: String,
}

/// The kinds of rows, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Calls from the number and to it, by their indexes: what people see goes first.
    Known,
    /// Every call.
    Calls,
    Refusals,
    Events,
    Answers,
    CreditEntries,
    Trunks,
    Alerts,
    Mails,
    AuditLog,
}

impl Phase {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Known => Some(Self::Calls),
            Self::Calls => Some(Self::Refusals),
            Self::Refusals => Some(Self::Events),
            Self::Events => Some(Self::Answers),
            Self::Answers => Some(Self::CreditEntries),
            Self::CreditEntries => Some(Self::Trunks),
            Self::Trunks => Some(Self::Alerts),
            Self::Alerts => Some(Self::Mails),
            Self::Mails => Some(Self::AuditLog),
            Self::AuditLog => None,
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            phase: Some(Phase::Known),
            cursor: Cursor { at: i64::MIN, ..Cursor::default() },
            begun: false,
            began_settled: false,
            calls_from: i64::MIN,
            open_from: None,
        }
    }
}

impl Progress {
    /// Whether the pass has not begun; afterwards it has.
    pub(super) fn is_new(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// The pass after this one. Where journals held nothing any more, only calls that were left have changed, and what tells of them.
    pub(super) fn after(earlier: &Self) -> Self {
        let calls_from = earlier.open_from.filter(|_| earlier.began_settled).unwrap_or(i64::MIN);
        Self { phase: Some(Phase::Known), calls_from, ..Self::default() }
    }

    /// A call that began then is left, because it is up.
    fn leave(&mut self, began: i64) {
        self.open_from = Some(self.open_from.map_or(began, |earlier| earlier.min(began)));
    }

    /// Goes on behind a row, or with the next kind after the last.
    fn advance(&mut self, cursor: Option<Cursor>) {
        match cursor {
            Some(cursor) => self.cursor = cursor,
            None => {
                self.phase = self.phase.and_then(Phase::next);
                let at = if self.phase == Some(Phase::Calls) { self.calls_from } else { i64::MIN };
                self.cursor = Cursor { at, ..Cursor::default() };
            }
        }
    }
}

impl Store {
    /// Looks at a page of one kind, and changes what holds the number; tells whether the erasure is still this process's.
    pub(super) async fn pass_on(
        &self,
        claimed: &mut ClaimedErasure,
        phase: Phase,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        match phase {
            Phase::Known => self.erase_known_calls(claimed, now).await,
            Phase::Calls => self.erase_calls(claimed, now).await,
            Phase::Refusals => self.erase_refusals(claimed, now).await,
            Phase::Events => self.erase_events(claimed, now).await,
            Phase::Answers => self.erase_answers(claimed, now).await,
            Phase::CreditEntries => self.erase_credit_entries(claimed, now).await,
            Phase::Trunks => self.erase_trunks(claimed, now).await,
            Phase::Alerts => self.erase_alerts(claimed, now).await,
            Phase::Mails => self.erase_mails(claimed, now).await,
            Phase::AuditLog => self.erase_audit_log(claimed, now).await,
        }
    }

    async fn erase_calls(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        let closed = Closed::at(now);
        let mut holding = Vec::new();
        let mut cursor = None;
        on_pool!(self, pools => {
            // The three are read as of one moment: what comes in between would be passed over.
            let mut snapshot = pools.snapshot().await?;
            let Cursor { at, id, .. } = claimed.progress.cursor.clone();
            let account = claimed.erasure.account_id.as_uuid();
            let to = claimed.erasure.requested_at.unix_micros();
            macro_rules! page {
                ($statement:expr) => {
                    sqlx::query($statement)
                        .bind(account)
                        .bind(at)
                        .bind(id)
                        .bind(to)
                        .bind(i64::from(CALLS_AT_ONCE))
                        .fetch_all(&mut *snapshot)
                        .await?
                };
            }
            for row in page!(PAGE_OF_LEGS) {
                if holds(&row, &["request_uri", "sip_call_id"], &claimed.spellings)? {
                    holding.push(row.uuid("call_log_id")?);
                }
            }
            for row in page!(PAGE_OF_TIMELINES) {
                if holds(&row, &["events"], &claimed.spellings)? {
                    holding.push(row.uuid("call_log_id")?);
                }
            }
            let calls = page!(PAGE_OF_CALLS);
            for row in &calls {
                let (began, id) = (row.integer("started_at")?, row.uuid("id")?);
                if !closed.is(row)? {
                    claimed.progress.leave(began);
                    holding.retain(|holding| *holding != id);
                } else if holds(row, &CALL_TEXTS, &claimed.spellings)? {
                    holding.push(id);
                }
                if calls.len() == CALLS_AT_ONCE as usize {
                    cursor = Some(Cursor { at: began, id, ..Cursor::default() });
                }
            }
            snapshot.rollback().await?;
        });
        holding.sort_unstable();
        holding.dedup();
        self.erase_in_calls(claimed, &holding, cursor, now).await
    }

    async fn erase_refusals(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(
                "SELECT * FROM refusals WHERE account_id = $1 AND at >= $2 AND (at > $2 OR id > $3) AND at <= $4
                 ORDER BY at, id LIMIT $5",
            )
            .bind(claimed.erasure.account_id.as_uuid())
            .bind(claimed.progress.cursor.at)
            .bind(claimed.progress.cursor.id)
            .bind(claimed.erasure.requested_at.unix_micros())
            .bind(i64::from(ROWS_AT_ONCE))
            .fetch_all(&pools.reader)
            .await?;
            let mut transaction = pools.begin_calls().await?;
            for row in &rows {
                let texts = ["from_number", "to_number", "sip_call_id"];
                let Some(changed) = erased(row, &texts, &["receipt"], claimed)? else { continue };
                sqlx::query(
                    "UPDATE refusals SET from_number = $3, to_number = $4, sip_call_id = $5, receipt = $6
                     WHERE account_id = $1 AND id = $2",
                )
                .bind(claimed.erasure.account_id.as_uuid())
                .bind(row.uuid("id")?)
                .bind(changed.of("from_number"))
                .bind(changed.of("to_number"))
                .bind(changed.of("sip_call_id"))
                .bind(changed.of("receipt"))
                .execute(&mut *transaction)
                .await?;
                claimed.erasure.erased.refusals += 1;
            }
            claimed.progress.advance(behind(&rows, |row| {
                Ok(Cursor { at: row.integer("at")?, id: row.uuid("id")?, ..Cursor::default() })
            })?);
            Ok(end_step!(transaction, self, claimed, now))
        })
    }

    async fn erase_events(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(
                "SELECT sequence, at, data FROM events WHERE account_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
            )
            .bind(claimed.erasure.account_id.as_uuid())
            .bind(claimed.progress.cursor.at)
            .bind(i64::from(ROWS_AT_ONCE))
            .fetch_all(&pools.reader)
            .await?;
            let mut transaction = pools.begin_calls().await?;
            for row in &rows {
                let data = row.text("data")?;
                if began_at(&data).unwrap_or(row.time("at")?) > claimed.erasure.requested_at {
                    continue;
                }
                let pseudonym = &claimed.erasure.pseudonym;
                let Some(data) = claimed.spellings.erase_in_json(&data, pseudonym, Json::Ours) else { continue };
                sqlx::query("UPDATE events SET data = $3 WHERE account_id = $1 AND sequence = $2")
                    .bind(claimed.erasure.account_id.as_uuid())
                    .bind(row.integer("sequence")?)
                    .bind(data)
                    .execute(&mut *transaction)
                    .await?;
                claimed.erasure.erased.events += 1;
            }
            let cursor = behind(&rows, |row| Ok(Cursor { at: row.integer("sequence")?, ..Cursor::default() }))?;
            claimed.progress.advance(cursor);
            Ok(end_step!(transaction, self, claimed, now))
        })
    }

    async fn erase_answers(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        let account = claimed.erasure.account_id;
        on_pool!(self, pools => {
            let after = hex::decode(&claimed.progress.cursor.hash).unwrap_or_default();
            let rows = sqlx::query(
                "SELECT key_sha256, created_at, answer FROM idempotency_keys
                 WHERE account_id = $1 AND created_at >= $2 AND (created_at > $2 OR key_sha256 > $3) AND created_at <= $4
                 ORDER BY created_at, key_sha256 LIMIT $5",
            )
            .bind(account.as_uuid())
            .bind(claimed.progress.cursor.at)
            .bind(after)
            .bind(claimed.erasure.requested_at.unix_micros())
            .bind(i64::from(ROWS_AT_ONCE))
            .fetch_all(&pools.reader)
            .await?;
            let key = sqlx::query(READ_DATA_KEY).bind(account.as_uuid()).fetch_one(&pools.reader).await?;
            let data_key = read_data_key(&key, self.master_key(), account)?;
            let mut transaction = pools.begin_calls().await?;
            for row in &rows {
                let hash = row.bytes("key_sha256")?;
                let (Some(sealed), Some(place)) = (row.bytes_opt("answer")?, answer_place(&hash, account)) else { continue };
                let answer = data_key.open(&sealed, place)?;
                let Ok(answer) = str::from_utf8(&answer) else { continue };
                let pseudonym = &claimed.erasure.pseudonym;
                let Some(answer) = claimed.spellings.erase_in_json(answer, pseudonym, Json::Ours) else { continue };
                sqlx::query("UPDATE idempotency_keys SET answer = $2 WHERE key_sha256 = $1")
                    .bind(hash)
                    .bind(data_key.seal(answer.as_bytes(), place)?)
                    .execute(&mut *transaction)
                    .await?;
                claimed.erasure.erased.answers += 1;
            }
            claimed.progress.advance(behind(&rows, |row| {
                let hash = hex::encode(row.bytes("key_sha256")?);
                Ok(Cursor { at: row.integer("created_at")?, hash, ..Cursor::default() })
            })?);
            Ok(end_step!(transaction, self, claimed, now))
        })
    }

    async fn erase_credit_entries(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(
                "SELECT id, note FROM credit_entries WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3",
            )
            .bind(claimed.erasure.account_id.as_uuid())
            .bind(claimed.progress.cursor.id)
            .bind(i64::from(ROWS_AT_ONCE))
            .fetch_all(&pools.reader)
            .await?;
            let mut transaction = pools.begin_calls().await?;
            for row in &rows {
                let note = claimed.spellings.erase(&row.text("note")?, &claimed.erasure.pseudonym);
                let Some(note) = note else { continue };
                sqlx::query("UPDATE credit_entries SET note = $3 WHERE account_id = $1 AND id = $2")
                    .bind(claimed.erasure.account_id.as_uuid())
                    .bind(row.uuid("id")?)
                    .bind(note)
                    .execute(&mut *transaction)
                    .await?;
                claimed.erasure.erased.credit_entries += 1;
            }
            let cursor = behind(&rows, |row| Ok(Cursor { id: row.uuid("id")?, ..Cursor::default() }))?;
            claimed.progress.advance(cursor);
            Ok(end_step!(transaction, self, claimed, now))
        })
    }

    /// Trunks that were removed: of those that are there none names the number, or it would not be erased.
    async fn erase_trunks(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(
                "SELECT * FROM trunks WHERE account_id = $1 AND deleted_at IS NOT NULL AND id > $2 ORDER BY id LIMIT $3",
            )
            .bind(claimed.erasure.account_id.as_uuid())
            .bind(claimed.progress.cursor.id)
            .bind(i64::from(ROWS_AT_ONCE))
            .fetch_all(&pools.reader)
            .await?;
            let mut transaction = pools.begin_calls().await?;
            for row in &rows {
                let texts = ["name", "description", "sip_domain", "sip_username", "auth_username"];
                let json = ["inbound_routing", "outbound_routing", "outbound", "custom_headers", "advanced_config"];
                let Some(changed) = erased(row, &texts, &json, claimed)? else { continue };
                // What its rules meant is read of trunks that are there only, and a pseudonym is no number that a rule may have.
                sqlx::query(
                    "UPDATE trunks SET name = $3, description = $4, sip_domain = $5, sip_username = $6, auth_username = $7,
                         inbound_routing = $8, outbound_routing = $9, outbound = $10, custom_headers = $11, advanced_config = $12,
                         inbound = '{}'
                     WHERE account_id = $1 AND id = $2 AND deleted_at IS NOT NULL",
                )
                .bind(claimed.erasure.account_id.as_uuid())
                .bind(row.uuid("id")?)
                .bind(changed.of("name"))
                .bind(changed.of("description"))
                .bind(changed.of("sip_domain"))
                .bind(changed.of("sip_username"))
                .bind(changed.of("auth_username"))
                .bind(changed.of("inbound_routing"))
                .bind(changed.of("outbound_routing"))
                .bind(changed.of("outbound"))
                .bind(changed.of("custom_headers"))
                .bind(changed.of("advanced_config"))
                .execute(&mut *transaction)
                .await?;
                claimed.erasure.erased.trunks += 1;
            }
            let cursor = behind(&rows, |row| Ok(Cursor { id: row.uuid("id")?, ..Cursor::default() }))?;
            claimed.progress.advance(cursor);
            Ok(end_step!(transaction, self, claimed, now))
        })
    }

    /// What alerts say, and what people have noted with them.
    async fn erase_alerts(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(
                "SELECT id, raised_at, summary, note, measured FROM alerts
                 WHERE account_id = $1 AND raised_at >= $2 AND (raised_at > $2 OR id > $3) AND raised_at <= $4
                 ORDER BY raised_at, id LIMIT $5",
            )
            .bind(claimed.erasure.account_id.as_uuid())
            .bind(claimed.progress.cursor.at)
            .bind(claimed.progress.cursor.id)
            .bind(claimed.erasure.requested_at.unix_micros())
            .bind(i64::from(ROWS_AT_ONCE))
            .fetch_all(&pools.reader)
            .await?;
            let mut transaction = pools.begin_calls().await?;
            for row in &rows {
                let Some(changed) = erased(row, &["summary", "note"], &["measured"], claimed)? else { continue };
                sqlx::query("UPDATE alerts SET summary = $3, note = $4, measured = $5 WHERE account_id = $1 AND id = $2")
                    .bind(claimed.erasure.account_id.as_uuid())
                    .bind(row.uuid("id")?)
                    .bind(changed.of("summary"))
                    .bind(changed.of("note"))
                    .bind(changed.of("measured"))
                    .execute(&mut *transaction)
                    .await?;
                claimed.erasure.erased.alerts += 1;
            }
            claimed.progress.advance(behind(&rows, |row| {
                Ok(Cursor { at: row.integer("raised_at")?, id: row.uuid("id")?, ..Cursor::default() })
            })?);
            Ok(end_step!(transaction, self, claimed, now))
        })
    }

    /// What was written to people about alerts. There are few: of a week, and twenty an hour at most of an account.
    async fn erase_mails(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(
                "SELECT id, subject, body FROM mails WHERE account_id = $1 AND id > $2 AND created_at <= $3 ORDER BY id LIMIT $4",
            )
            .bind(claimed.erasure.account_id.as_uuid())
            .bind(claimed.progress.cursor.id)
            .bind(claimed.erasure.requested_at.unix_micros())
            .bind(i64::from(ROWS_AT_ONCE))
            .fetch_all(&pools.reader)
            .await?;
            let mut transaction = pools.begin_calls().await?;
            for row in &rows {
                let Some(changed) = erased(row, &["subject", "body"], &[], claimed)? else { continue };
                sqlx::query("UPDATE mails SET subject = $3, body = $4 WHERE account_id = $1 AND id = $2")
                    .bind(claimed.erasure.account_id.as_uuid())
                    .bind(row.uuid("id")?)
                    .bind(changed.of("subject"))
                    .bind(changed.of("body"))
                    .execute(&mut *transaction)
                    .await?;
                claimed.erasure.erased.mails += 1;
            }
            let cursor = behind(&rows, |row| Ok(Cursor { id: row.uuid("id")?, ..Cursor::default() }))?;
            claimed.progress.advance(cursor);
            Ok(end_step!(transaction, self, claimed, now))
        })
    }

    /// Takes the details of entries away whose fields named the number; an entry of its own says so, and the chain holds.
    async fn erase_audit_log(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        let account = claimed.erasure.account_id;
        on_pool!(self, pools => {
            let rows = sqlx::query(
                "SELECT number, details FROM audit_log WHERE account_id = $1 AND number > $2 AND at <= $3 AND details IS NOT NULL
                 ORDER BY number LIMIT $4",
            )
            .bind(account.as_uuid())
            .bind(claimed.progress.cursor.at)
            .bind(claimed.erasure.requested_at.unix_micros())
            .bind(i64::from(ROWS_AT_ONCE))
            .fetch_all(&pools.reader)
            .await?;
            let mut redacted: Vec<u64> = Vec::new();
            for row in &rows {
                if claimed.spellings.are_in(&row.text("details")?) {
                    redacted.push(row.number("number")?);
                }
            }
            let cursor = behind(&rows, |row| Ok(Cursor { at: row.integer("number")?, ..Cursor::default() }))?;
            let mut transaction = pools.begin_calls().await?;
            if !redacted.is_empty() {
                let act = Act::system("erasure", now);
                let mut change = Change::new(account, "erasure.apply", &claimed.erasure.id);
                change.redacts.clone_from(&redacted);
                transaction.append(self, &[(&act, &change)]).await?;
                for number in redacted {
                    sqlx::query("UPDATE audit_log SET details = NULL, details_salt = NULL WHERE account_id = $1 AND number = $2")
                        .bind(account.as_uuid())
                        .bind(stored(number))
                        .execute(&mut *transaction)
                        .await?;
                    claimed.erasure.erased.audit_entries += 1;
                }
            }
            claimed.progress.advance(cursor);
            Ok(end_step!(transaction, self, claimed, now))
        })
    }

    /// Changes these calls, with their legs and timelines, and goes on behind the row.
    pub(super) async fn erase_in_calls(
        &self,
        claimed: &mut ClaimedErasure,
        calls: &[Uuid],
        cursor: Option<Cursor>,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let mut parts = calls.chunks(CALLS_A_TRANSACTION);
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            if !self.erase_in_some_calls(claimed, part, None, now).await? {
                return Ok(false);
            }
        }
        self.erase_in_some_calls(claimed, last, Some(cursor), now).await
    }

    /// As [`Self::erase_in_calls`], in one transaction; `advance` says whether this is the last of a page.
    pub(super) async fn erase_in_some_calls(
        &self,
        claimed: &mut ClaimedErasure,
        calls: &[Uuid],
        advance: Option<Option<Cursor>>,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let account = claimed.erasure.account_id;
        let closed = Closed::at(now);
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            for id in calls {
                pools.hold_call(&mut transaction, account, None, Some(*id)).await?;
                let row = sqlx::query("SELECT * FROM call_logs WHERE account_id = $1 AND id = $2")
                    .bind(account.as_uuid())
                    .bind(id)
                    .fetch_optional(&mut *transaction)
                    .await?;
                let Some(row) = row else { continue };
                if !closed.is(&row)? {
                    claimed.progress.leave(row.integer("started_at")?);
                    continue;
                }
                if let Some(mut changed) = erased(&row, &CALL_PLAIN_TEXTS, &["receipt"], claimed)? {
                    let before = row.text("call_id")?;
                    let mut call_id = changed.of("call_id").unwrap_or_default().to_owned();
                    if call_id != before {
                        let taken = sqlx::query("SELECT 1 AS one FROM call_ids WHERE account_id = $1 AND call_id = $2")
                            .bind(account.as_uuid())
                            .bind(call_id.as_str())
                            .fetch_optional(&mut *transaction)
                            .await?;
                        if taken.is_some() {
                            call_id = format!("{call_id}-{}", id.simple());
                        }
                        sqlx::query("UPDATE call_ids SET call_id = $3 WHERE account_id = $1 AND call_id = $2")
                            .bind(account.as_uuid())
                            .bind(before)
                            .bind(call_id.as_str())
                            .execute(&mut *transaction)
                            .await?;
                        changed.set("call_id", call_id);
                    }
                    sqlx::query(
                        "UPDATE call_logs SET call_id = $3, from_number = $4, to_number = $5, to_uri = $6, sip_call_id = $7,
                             hangup_cause = $8, remote_ip = $9, metadata = $10, receipt = $11
                         WHERE account_id = $1 AND id = $2",
                    )
                    .bind(account.as_uuid())
                    .bind(id)
                    .bind(changed.of("call_id"))
                    .bind(changed.of("from_number"))
                    .bind(changed.of("to_number"))
                    .bind(changed.of("to_uri"))
                    .bind(changed.of("sip_call_id"))
                    .bind(changed.of("hangup_cause"))
                    .bind(changed.of("remote_ip"))
                    .bind(changed.of("metadata"))
                    .bind(changed.of("receipt"))
                    .execute(&mut *transaction)
                    .await?;
                    claimed.erasure.erased.calls += 1;
                }
                let legs = sqlx::query(
                        "SELECT id, request_uri, sip_call_id FROM call_legs WHERE call_log_id = $1 AND account_id = $2",
                    )
                    .bind(id)
                    .bind(account.as_uuid())
                    .fetch_all(&mut *transaction)
                    .await?;
                for leg in legs {
                    let Some(changed) = erased(&leg, &["request_uri", "sip_call_id"], &[], claimed)? else { continue };
                    sqlx::query("UPDATE call_legs SET request_uri = $3, sip_call_id = $4 WHERE call_log_id = $1 AND id = $2")
                        .bind(id)
                        .bind(leg.uuid("id")?)
                        .bind(changed.of("request_uri"))
                        .bind(changed.of("sip_call_id"))
                        .execute(&mut *transaction)
                        .await?;
                    claimed.erasure.erased.legs += 1;
                }
                let timelines = sqlx::query(
                        "SELECT last_number, events FROM call_timelines WHERE call_log_id = $1 AND account_id = $2",
                    )
                    .bind(id)
                    .bind(account.as_uuid())
                    .fetch_all(&mut *transaction)
                    .await?;
                for part in timelines {
                    let Some(changed) = erased(&part, &[], &["events"], claimed)? else { continue };
                    sqlx::query("UPDATE call_timelines SET events = $3 WHERE call_log_id = $1 AND last_number = $2")
                        .bind(id)
                        .bind(part.integer("last_number")?)
                        .bind(changed.of("events"))
                        .execute(&mut *transaction)
                        .await?;
                    claimed.erasure.erased.timelines += 1;
                }
            }
            if let Some(cursor) = advance {
                claimed.progress.advance(cursor);
            }
            Ok(end_step!(transaction, self, claimed, now))
        })
    }
}

/// Tells calls that nobody writes any more.
#[derive(Clone, Copy)]
pub(super) struct Closed {
    /// In microseconds.
    pub(super) quiet_since: i64,
    pub(super) dead_since: i64,
}

impl Closed {
    pub(super) fn at(now: Timestamp) -> Self {
        Self {
            quiet_since: now.saturating_sub(QUIET_FOR).unix_micros(),
            dead_since: now.saturating_sub(DEAD_AFTER).unix_micros(),
        }
    }

    fn is<R: Columns>(self, row: &R) -> Result<bool, DatabaseError> {
        let written = row.integer("updated_at")?;
        let is_over = row.integer_opt("ended_at")?.is_some();
        Ok(written <= self.dead_since || (is_over && written <= self.quiet_since))
    }
}

/// The texts of a row after erasing.
struct Texts(Vec<(&'static str, Option<String>)>);

impl Texts {
    fn of(&self, column: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == column).and_then(|(_, text)| text.as_deref())
    }

    fn set(&mut self, column: &str, text: String) {
        if let Some((_, place)) = self.0.iter_mut().find(|(name, _)| *name == column) {
            *place = Some(text);
        }
    }
}

/// Where a page ends; `None` of the last one of its kind, which is not full.
fn behind<R>(
    rows: &[R],
    place: impl FnOnce(&R) -> Result<Cursor, DatabaseError>,
) -> Result<Option<Cursor>, DatabaseError> {
    rows.last().filter(|_| rows.len() == ROWS_AT_ONCE as usize).map(place).transpose()
}

/// Reads columns, some of which are JSON, without the number; `None` when none has it.
fn erased<R: Columns>(
    row: &R,
    plain: &[&'static str],
    json: &[&'static str],
    claimed: &ClaimedErasure,
) -> Result<Option<Texts>, DatabaseError> {
    let (spellings, pseudonym) = (&claimed.spellings, &claimed.erasure.pseudonym);
    let mut texts = Vec::with_capacity(plain.len() + json.len());
    let mut has_changed = false;
    for column in plain.iter().chain(json) {
        let before = row.text_opt(column)?;
        let after = before.as_deref().and_then(|text| {
            if *column == "metadata" {
                spellings.erase_in_json(text, pseudonym, Json::Clients)
            } else if json.contains(column) {
                spellings.erase_in_json(text, pseudonym, Json::Ours)
            } else {
                spellings.erase(text, pseudonym)
            }
        });
        has_changed |= after.is_some();
        texts.push((*column, after.or(before)));
    }
    Ok(has_changed.then_some(Texts(texts)))
}

fn holds<R: Columns>(row: &R, columns: &[&'static str], spellings: &Spellings) -> Result<bool, DatabaseError> {
    for column in columns {
        if row.text_opt(column)?.is_some_and(|text| spellings.are_in(&text)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// When what an event tells of began: the call or the refused INVITE, and not what became of it later.
fn began_at(data: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Began {
        started_at: Option<Timestamp>,
        at: Option<Timestamp>,
    }
    let began: Began = serde_json::from_str(data).ok()?;
    began.started_at.or(began.at)
}

/// Texts of a call that may name a number.
const CALL_TEXTS: [&str; 9] = [
    "call_id",
    "from_number",
    "to_number",
    "to_uri",
    "sip_call_id",
    "hangup_cause",
    "remote_ip",
    "metadata",
    "receipt",
];
/// All of them but the receipt, which is JSON of ours.
const CALL_PLAIN_TEXTS: [&str; 8] =
    ["call_id", "from_number", "to_number", "to_uri", "sip_call_id", "hangup_cause", "remote_ip", "metadata"];

/// `$1` is the account, `$2` and `$3` the call before it, `$4` up to when, `$5` how many.
const PAGE_OF_CALLS: &str =
    "SELECT id, started_at, ended_at, updated_at, call_id, from_number, to_number, to_uri, sip_call_id,
        hangup_cause, remote_ip, metadata, receipt
    FROM call_logs WHERE account_id = $1 AND started_at >= $2 AND (started_at > $2 OR id > $3) AND started_at <= $4
    ORDER BY started_at, id LIMIT $5";
const PAGE_OF_LEGS: &str = "SELECT call_log_id, request_uri, sip_call_id FROM call_legs WHERE call_log_id IN
    (SELECT id FROM call_logs WHERE account_id = $1 AND started_at >= $2 AND (started_at > $2 OR id > $3) AND started_at <= $4
     ORDER BY started_at, id LIMIT $5)";
const PAGE_OF_TIMELINES: &str = "SELECT call_log_id, events FROM call_timelines WHERE call_log_id IN
    (SELECT id FROM call_logs WHERE account_id = $1 AND started_at >= $2 AND (started_at > $2 OR id > $3) AND started_at <= $4
     ORDER BY started_at, id LIMIT $5)";

/// Looked at without writing: some megabytes, and tens of milliseconds.
const CALLS_AT_ONCE: u32 = 500;
/// A transaction of some milliseconds.
pub(super) const CALLS_A_TRANSACTION: usize = 20;
/// A transaction of some milliseconds.
const ROWS_AT_ONCE: u32 = 500;
