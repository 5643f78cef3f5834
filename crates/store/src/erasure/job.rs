//! Who does an erasure, and how far it is.

use super::pass::Progress;
use super::spellings::Spellings;
use super::{Erasure, ErasureWait, place, read_erasure};
use crate::audit::ActTransaction;
use crate::pool::on_pool;
use crate::row::Columns;
use crate::trunk::{READ_DATA_KEY, read_data_key};
use crate::{Act, Change, DatabaseError, Store};
use serde_json::json;
use std::time::Duration;
use tandem_model::Timestamp;

/// An erasure that is this process's for a while.
#[derive(Clone, Debug)]
pub struct ClaimedErasure {
    /// It, with what was changed so far.
    pub erasure: Erasure,
    pub(super) spellings: Spellings,
    pub(super) progress: Progress,
}

/// What a step of an erasure has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasureStep {
    /// A part of it: there is more to do, after a pause.
    Advanced,
    /// It waits, and was given back.
    Waiting(ErasureWait),
    /// Nothing of the number is left, and nobody knows it any more.
    Finished,
    /// Another process goes on with it.
    Lost,
}

impl Store {
    /// Takes an erasure that nobody works at. What an earlier process of this node was working at is taken over at once.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn claim_erasure(&self, now: Timestamp) -> Result<Option<ClaimedErasure>, DatabaseError> {
        on_pool!(self, pools => {
            // Mostly there is none, and then nothing is written.
            let row = sqlx::query(FREE)
                .bind(now.unix_micros())
                .bind(self.node_id().as_uuid())
                .bind(self.boot_id().as_uuid())
                .fetch_optional(&pools.reader)
                .await?;
            let Some(row) = row else { return Ok(None) };
            let (erasure, sealed) = (read_erasure(&row)?, row.bytes("subject")?);
            let progress: Progress = row.json("progress")?;
            let taken = sqlx::query(
                "UPDATE erasures SET claimed_node = $2, claimed_boot = $3, claimed_until = $4
                 WHERE id = $1 AND claimed_until = $5 AND subject IS NOT NULL",
            )
            .bind(erasure.id.as_uuid())
            .bind(self.node_id().as_uuid())
            .bind(self.boot_id().as_uuid())
            .bind(now.saturating_add(CLAIM_LIFE).unix_micros())
            .bind(row.integer("claimed_until")?)
            .execute(&pools.writer)
            .await?
            .rows_affected();
            if taken == 0 {
                return Ok(None);
            }
            let key = sqlx::query(READ_DATA_KEY).bind(erasure.account_id.as_uuid()).fetch_one(&pools.reader).await?;
            let data_key = read_data_key(&key, self.master_key(), erasure.account_id)?;
            let spellings = Spellings::from_bytes(&data_key.open(&sealed, place(&erasure))?);
            Ok(Some(ClaimedErasure { erasure, spellings, progress }))
        })
    }

    /// Does a part of an erasure, in short transactions that each say how far it is: it may be left after any of them.
    ///
    /// # Errors
    /// [`DatabaseError`]; the part is done again by whoever claims the erasure next.
    pub async fn advance_erasure(
        &self,
        claimed: &mut ClaimedErasure,
        now: Timestamp,
    ) -> Result<ErasureStep, DatabaseError> {
        let Some(phase) = claimed.progress.phase else { return self.settle(claimed, now).await };
        if claimed.progress.is_new() {
            claimed.progress.began_settled = self.journals_hold_nothing_from_before(claimed, now).await?;
        }
        if self.pass_on(claimed, phase, now).await? { Ok(ErasureStep::Advanced) } else { Ok(ErasureStep::Lost) }
    }

    /// Gives an erasure back, as it was last written down.
    ///
    /// # Errors
    /// [`DatabaseError`]; it is free after a while all the same.
    pub async fn release_erasure(&self, claimed: ClaimedErasure) -> Result<(), DatabaseError> {
        on_pool!(self, pools => sqlx::query("UPDATE erasures SET claimed_until = 0 WHERE id = $1 AND claimed_boot = $2")
            .bind(claimed.erasure.id.as_uuid())
            .bind(self.boot_id().as_uuid())
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Whether any erasure goes on, on whichever node.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn has_erasures(&self) -> Result<bool, DatabaseError> {
        Ok(on_pool!(self, pools => sqlx::query("SELECT 1 AS one FROM erasures WHERE subject IS NOT NULL LIMIT 1")
            .fetch_optional(&pools.reader)
            .await?
            .is_some()))
    }

    /// This node has stored all that it recorded before then. To be said while there are erasures, by each node that runs; they wait
    /// for it. Nothing is written when none of them has to know.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tell_recorded_to(&self, recorded_to: Timestamp) -> Result<(), DatabaseError> {
        on_pool!(self, pools => {
            let asked = sqlx::query(
                "SELECT 1 AS one FROM running_nodes WHERE node_id = $1 AND recorded_to < $2
                     AND EXISTS (SELECT 1 FROM erasures WHERE subject IS NOT NULL AND requested_at >= running_nodes.recorded_to)",
            )
            .bind(self.node_id().as_uuid())
            .bind(recorded_to.unix_micros())
            .fetch_optional(&pools.reader)
            .await?;
            if asked.is_some() {
                sqlx::query("UPDATE running_nodes SET recorded_to = $2 WHERE node_id = $1")
                    .bind(self.node_id().as_uuid())
                    .bind(recorded_to.unix_micros())
                    .execute(&pools.writer)
                    .await?;
            }
        });
        Ok(())
    }

    /// After a pass: whether another is due, has to wait, or was the last.
    async fn settle(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<ErasureStep, DatabaseError> {
        if !self.journals_hold_nothing_from_before(claimed, now).await? {
            return self.wait(claimed, ErasureWait::Journals, now).await;
        }
        if self.has_open_calls(claimed, now).await? {
            // Those of its calls that are over by now need not wait for those that are not.
            let over = self.known_calls(claimed, now).await?;
            if !over.is_empty() {
                return self.erase_known(claimed, &over, now).await;
            }
            return self.wait(claimed, ErasureWait::Calls, now).await;
        }
        let progress = &mut claimed.progress;
        if progress.began_settled && progress.open_from.is_none() {
            return self.finish(claimed, now).await;
        }
        // What was written since: all of it unless the journals were empty, else calls from the first that was open.
        *progress = Progress::after(progress);
        if self.save(claimed, now).await? { Ok(ErasureStep::Advanced) } else { Ok(ErasureStep::Lost) }
    }

    async fn wait(
        &self,
        claimed: &ClaimedErasure,
        wait: ErasureWait,
        now: Timestamp,
    ) -> Result<ErasureStep, DatabaseError> {
        let kept = on_pool!(self, pools => sqlx::query(
                "UPDATE erasures SET waits_for = $3, claimed_until = $4 WHERE id = $1 AND claimed_boot = $2 AND subject IS NOT NULL",
            )
            .bind(claimed.erasure.id.as_uuid())
            .bind(self.boot_id().as_uuid())
            .bind(wait.as_str())
            .bind(now.saturating_add(LOOK_AGAIN).unix_micros())
            .execute(&pools.writer)
            .await?
            .rows_affected());
        Ok(if kept > 0 { ErasureStep::Waiting(wait) } else { ErasureStep::Lost })
    }

    /// Writes down how far it is.
    pub(super) async fn save(&self, claimed: &ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        let kept = on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            end_step!(transaction, self, claimed, now)
        });
        Ok(kept)
    }

    /// Forgets the number.
    async fn finish(&self, claimed: &mut ClaimedErasure, now: Timestamp) -> Result<ErasureStep, DatabaseError> {
        let act = Act::system("erasure", now);
        let Erasure { id, account_id, erased, .. } = claimed.erasure;
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            let finished = sqlx::query(
                "UPDATE erasures SET subject = NULL, waits_for = NULL, finished_at = $3
                 WHERE id = $1 AND claimed_boot = $2 AND subject IS NOT NULL",
            )
            .bind(id.as_uuid())
            .bind(self.boot_id().as_uuid())
            .bind(now.unix_micros())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if finished == 0 {
                return Ok(ErasureStep::Lost);
            }
            let change = Change::new(account_id, "erasure.finish", &id).made(json!({"erased": erased}));
            transaction.finish(self, &act, change).await?;
            pools.forget_written().await;
        });
        claimed.erasure.finished_at = Some(now);
        claimed.erasure.waits_for = None;
        Ok(ErasureStep::Finished)
    }

    /// Whether every node that runs has stored what it recorded before the erasure was asked for.
    async fn journals_hold_nothing_from_before(
        &self,
        claimed: &ClaimedErasure,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let behind = on_pool!(self, pools => sqlx::query(
                "SELECT 1 AS one FROM running_nodes WHERE seen_at > $1 AND recorded_to <= $2 LIMIT 1",
            )
            .bind(now.saturating_sub(SEEN_FOR).unix_micros())
            .bind(claimed.erasure.requested_at.unix_micros())
            .fetch_optional(&pools.writer)
            .await?
            .is_some());
        Ok(!behind)
    }

    /// Whether a call is up, or was written a moment ago, that began before the erasure was asked for.
    async fn has_open_calls(&self, claimed: &ClaimedErasure, now: Timestamp) -> Result<bool, DatabaseError> {
        let Some(open_from) = claimed.progress.open_from else { return Ok(false) };
        let erasure = &claimed.erasure;
        let open = on_pool!(self, pools => sqlx::query(
                "SELECT 1 AS one FROM call_logs WHERE account_id = $1 AND started_at >= $2 AND started_at <= $3
                     AND (ended_at IS NULL OR updated_at > $4) AND updated_at > $5 LIMIT 1",
            )
            .bind(erasure.account_id.as_uuid())
            .bind(open_from)
            .bind(erasure.requested_at.unix_micros())
            .bind(now.saturating_sub(QUIET_FOR).unix_micros())
            .bind(now.saturating_sub(DEAD_AFTER).unix_micros())
            .fetch_optional(&pools.writer)
            .await?
            .is_some());
        Ok(open)
    }
}

/// Ends the transaction of a step: writes down how far an erasure is and that it is still this process's, and tells whether it is. When
/// it is not, the step is undone.
macro_rules! end_step {
    ($transaction:ident, $store:expr, $claimed:expr, $now:expr) => {{
        let kept = sqlx::query(
            "UPDATE erasures SET progress = $3, erased = $4, waits_for = NULL, claimed_until = $5
             WHERE id = $1 AND claimed_boot = $2 AND subject IS NOT NULL",
        )
        .bind($claimed.erasure.id.as_uuid())
        .bind($store.boot_id().as_uuid())
        .bind(crate::row::to_json(&$claimed.progress))
        .bind(crate::row::to_json(&$claimed.erasure.erased))
        .bind($now.saturating_add(crate::erasure::job::CLAIM_LIFE).unix_micros())
        .execute(&mut *$transaction)
        .await?
        .rows_affected()
            > 0;
        if kept {
            $transaction.commit().await?
        } else {
            $transaction.rollback().await?
        }
        kept
    }};
}

pub(super) use end_step;

/// `$1` is now, `$2` this node, `$3` this start of it.
const FREE: &str = "SELECT * FROM erasures WHERE subject IS NOT NULL
    AND (claimed_until <= $1 OR (claimed_node = $2 AND claimed_boot <> $3)) ORDER BY claimed_until LIMIT 1";

/// How long an erasure is a process's without a word from it; a step takes a fraction of a second.
pub(super) const CLAIM_LIFE: Duration = Duration::from_secs(60);
/// How often something that is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A call that is over may have a last record on its way for as long.
pub(super) const QUIET_FOR: Duration = Duration::from_secs(3);
/// A call of which nothing was heard for so long has lost its node, and is not waited for: longer than any call may last.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(48 * 60 * 60);
/// As the rotation of keys takes a node that was not seen for so long as gone.
const SEEN_FOR: Duration = crate::key_rotation::SEEN_FOR;
