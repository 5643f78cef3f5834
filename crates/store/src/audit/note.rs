use super::{Change, NODE};
use crate::pool::on_pool;
use crate::row::{Columns, stored};
use crate::{Act, DatabaseError, Store};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use tandem_model::AccountId;

impl Store {
    /// Notes in the node's log where other logs end that have gone on since that was noted, at most 500 of them; gives how
    /// many. After it none of these can be put back to an earlier state by itself: the node's log would know better.
    ///
    /// # Errors
    /// [`DatabaseError`]; what is not noted is noted the next time.
    pub async fn note_audit_heads(&self, act: &Act) -> Result<usize, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(GONE_ON)
                .bind(NODE.as_uuid())
                .bind(LOGS_AT_ONCE)
                .fetch_all(&pools.reader)
                .await?;
            let mut heads = Map::new();
            let mut last = Vec::new();
            for row in &rows {
                let (account, number) = (row.uuid("account_id")?, row.number::<u64>("last_number")?);
                heads.insert(account.to_string(), json!([number, hex::encode(row.bytes("hash")?)]));
                last.push((account, number));
            }
            if last.is_empty() {
                return Ok(0);
            }
            let change = Change::new(NODE, NOTE, &self.node_id()).made(json!({ "heads": heads }));
            self.record_acts(&[(act.clone(), change)]).await?;
            // Each by itself, and after it: who adds to one of these logs waits for nobody else.
            for (account, number) in &last {
                sqlx::query("UPDATE audit_heads SET noted_number = $2 WHERE account_id = $1")
                    .bind(account)
                    .bind(stored(*number))
                    .execute(&pools.writer)
                    .await?;
            }
            Ok(last.len())
        })
    }
}

/// What the node's log has noted of others: which entry was the last, and its hash.
#[derive(Debug, Default)]
pub(super) struct Notes {
    of: BTreeMap<AccountId, VecDeque<(u64, Vec<u8>)>>,
}

impl Notes {
    /// Takes what an entry of the node's log has noted. Tells of which logs it says that they end before an earlier note says so.
    pub(super) fn take(&mut self, details: &Value) -> Vec<AccountId> {
        let mut shorter = Vec::new();
        let heads = details.pointer("/after/heads").and_then(Value::as_object);
        for (account, head) in heads.into_iter().flatten() {
            let number = head.get(0).and_then(Value::as_u64);
            let hash = head.get(1).and_then(Value::as_str).and_then(|hash| hex::decode(hash).ok());
            let (Ok(account), Some(number), Some(hash)) = (account.parse(), number, hash) else { continue };
            let known = self.of.entry(account).or_default();
            if known.back().is_some_and(|(before, _)| *before > number) {
                shorter.push(account);
            }
            known.push_back((number, hash));
            if known.len() > NOTES_OF_A_LOG {
                known.pop_front();
            }
        }
        shorter
    }

    /// The notes of a log, in order.
    pub(super) fn take_of(&mut self, account: AccountId) -> VecDeque<(u64, Vec<u8>)> {
        self.of.remove(&account).unwrap_or_default()
    }
}

/// What the node's log says of where others end.
pub(super) const NOTE: &str = "audit_log.note";

/// Logs that one entry tells of: about 60 kB of details.
const LOGS_AT_ONCE: i64 = 500;
/// Notes of one log that are compared, the latest: those of four months in which it went on all the time.
const NOTES_OF_A_LOG: usize = 20_000;
const GONE_ON: &str = "SELECT account_id, last_number, hash FROM audit_heads
    WHERE account_id <> $1 AND last_number > noted_number ORDER BY account_id LIMIT $2";
