use crate::audit::{ActTransaction, RemacOutcome, remac_head};
use crate::error::from_database;
use crate::master_key::MasterKeyId;
use crate::pool::on_pool;
use crate::row::Columns;
use crate::seal::{Place, SealingKey};
use crate::{Act, Change, DatabaseError, MasterKeyError, NODE, Store};
use serde_json::json;
use std::time::Duration;
use tandem_model::{AccountId, NodeId, Timestamp};
use uuid::Uuid;

/// What one step of a rotation has done. Each leaves everything readable by the keys in the files, so that a rotation may end after
/// any of them, or in the middle of one, and be taken up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// A new key is in this node's file, after the one that seals.
    KeyMade(MasterKeyId),
    /// The nodes are told the key, sealed by the old one.
    Announced(MasterKeyId),
    /// Some of the nodes that run have not seen it yet: wait, and do the step again.
    Waiting(Vec<NodeId>),
    /// Every node has the key, and is told to seal with it.
    Switched,
    /// So many values were sealed anew.
    Resealed(usize),
    /// Everything is sealed by the new key. The old one still opens until then, and goes from the files of the running nodes.
    Done {
        /// The key that is going.
        old: MasterKeyId,
        /// The key that is in force.
        new: MasterKeyId,
        /// When the old one goes.
        retire_at: Timestamp,
    },
}

/// Why a rotation does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The key of the last rotation has not gone yet.
    #[error(
        "the key of the last rotation still opens until {until}; rotate again after that, or have it go sooner with --retire-after"
    )]
    StillRetiring {
        /// When it goes.
        until: Timestamp,
    },
    /// This node does not have a key that it needs.
    #[error("the master key {id} is not in the file of this node; copy the file of a node that has it")]
    KeyMissing {
        /// The key.
        id: MasterKeyId,
    },
    /// The file cannot be changed.
    #[error(transparent)]
    File(#[from] MasterKeyError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(RotateError);

struct Rotation {
    old: MasterKeyId,
    new: MasterKeyId,
    sealed: Option<Vec<u8>>,
    phase: Phase,
    retire_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nodes take the new key, and seal with the old one.
    Announced,
    /// Nodes seal with the new key.
    Switched,
    /// Everything is sealed by it.
    Resealed,
}

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Switched => "switched",
            Self::Resealed => "resealed",
        }
    }
}

impl Store {
    /// Does what is next of a rotation, or begins one. `retire_after` is how long what was signed by the old key still counts once all
    /// is sealed anew; of a rotation that is so far, that is from now on, if it is sooner than was said.
    ///
    /// # Errors
    /// [`RotateError`]; the step may be done again.
    pub async fn rotate_master_key_step(&self, act: &Act, retire_after: Duration) -> Result<RotationStep, RotateError> {
        let ring = self.master_key();
        let found = self.rotation().await?;
        if let Some(rotation) = &found {
            self.follow(rotation, act.at).await?;
        }
        let under_way =
            found.filter(|rotation| rotation.phase != Phase::Resealed || ring.ids().contains(&rotation.old));
        let Some(rotation) = under_way else {
            return self.announce(act).await;
        };
        match rotation.phase {
            Phase::Announced => {
                let behind = self.nodes_behind(act.at, &[knows(rotation.new), seals(rotation.new)]).await?;
                if !behind.is_empty() {
                    return Ok(RotationStep::Waiting(behind));
                }
                self.enter(Phase::Switched).await?;
                Ok(RotationStep::Switched)
            }
            Phase::Switched => {
                let behind = self.nodes_behind(act.at, &[seals(rotation.new)]).await?;
                if !behind.is_empty() {
                    return Ok(RotationStep::Waiting(behind));
                }
                self.reseal(act, &rotation, retire_after).await
            }
            Phase::Resealed => self.retire_sooner(act, &rotation, act.at.saturating_add(retire_after)).await,
        }
    }

    /// Sees to it that this node has the keys that it must have, and says so to the others. For a running node to do about twice a
    /// second.
    ///
    /// # Errors
    /// [`RotateError`]; it is tried again the next time.
    pub async fn keep_keys(&self, now: Timestamp) -> Result<(), RotateError> {
        let rotation = self.rotation().await?;
        let state = match &rotation {
            None => seals(self.master_key().id()),
            Some(rotation) => {
                self.follow(rotation, now).await?;
                if self.master_key().id() == rotation.new { seals(rotation.new) } else { knows(rotation.new) }
            }
        };
        on_pool!(self, pools => {
            let row = sqlx::query("SELECT * FROM running_nodes WHERE node_id = $1")
                .bind(self.node_id().as_uuid())
                .fetch_optional(&pools.reader)
                .await?;
            let is_known = match row {
                Some(row) => {
                    row.text("key_state")? == state
                        && row.uuid("boot_id")? == self.boot_id().as_uuid()
                        && now.since(row.time("seen_at")?) < SEEN_EVERY
                }
                None => false,
            };
            if !is_known {
                sqlx::query(
                    "INSERT INTO running_nodes (node_id, boot_id, seen_at, key_state) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (node_id) DO UPDATE
                     SET boot_id = excluded.boot_id, seen_at = excluded.seen_at, key_state = excluded.key_state",
                )
                .bind(self.node_id().as_uuid())
                .bind(self.boot_id().as_uuid())
                .bind(now.unix_micros())
                .bind(state)
                .execute(&pools.writer)
                .await?;
            }
        });
        Ok(())
    }

    /// This node stops: nobody waits for it.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn leave(&self) -> Result<(), DatabaseError> {
        on_pool!(self, pools => sqlx::query("DELETE FROM running_nodes WHERE node_id = $1 AND boot_id = $2")
            .bind(self.node_id().as_uuid())
            .bind(self.boot_id().as_uuid())
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }

    /// As [`Self::keep_keys`], for when the store is opened: the file may be older than the rotation.
    pub(crate) async fn catch_up_with_keys(&self, now: Timestamp) -> Result<(), RotateError> {
        match self.rotation().await? {
            Some(rotation) => self.follow(&rotation, now).await,
            None => Ok(()),
        }
    }

    async fn rotation(&self) -> Result<Option<Rotation>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM master_key_rotation WHERE id = 1")
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_rotation(&row))
            .transpose())
    }

    /// Brings the keys of this node to where the rotation is.
    async fn follow(&self, rotation: &Rotation, now: Timestamp) -> Result<(), RotateError> {
        let ring = self.master_key();
        if ring.key(rotation.new).is_none() {
            let missing = || RotateError::KeyMissing { id: rotation.new };
            let sealed = rotation.sealed.as_deref().ok_or_else(missing)?;
            let key = ring.open(sealed, NEW_KEY).map_err(DatabaseError::from)?;
            ring.add(&SealingKey::from_slice(&key).ok_or_else(missing)?)?;
        }
        if rotation.phase != Phase::Announced && ring.id() != rotation.new {
            ring.promote(rotation.new)?;
            tracing::info!(key = %rotation.new, "secrets are sealed with a new master key");
        }
        let is_over = rotation.phase == Phase::Resealed && rotation.retire_at.is_some_and(|at| at <= now);
        if is_over && ring.key(rotation.old).is_some() {
            // What a transaction that was under way has sealed by the old key at the last moment.
            while self.reseal_some(rotation).await? > 0 {}
            ring.remove(rotation.old)?;
            tracing::info!(key = %rotation.old, "a master key is retired");
        }
        Ok(())
    }

    /// Makes the new key, or tells of the one that an earlier attempt has made.
    async fn announce(&self, act: &Act) -> Result<RotationStep, RotateError> {
        let ring = self.master_key();
        let ids = ring.ids();
        let &[old, ref others @ ..] = ids.as_slice() else {
            return Err(RotateError::KeyMissing { id: ring.id() });
        };
        let Some(&new) = others.last() else {
            let key = SealingKey::generate()?;
            ring.add(&key)?;
            return Ok(RotationStep::KeyMade(MasterKeyId::of(&key)));
        };
        let key = ring.key(new).ok_or(RotateError::KeyMissing { id: new })?;
        let sealed = ring.seal(key.bytes(), NEW_KEY)?;
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            sqlx::query(
                "INSERT INTO master_key_rotation (id, old_key, new_key, sealed_key, phase, began_at, retire_at)
                 VALUES (1, $1, $2, $3, 'announced', $4, NULL)
                 ON CONFLICT (id) DO UPDATE SET old_key = excluded.old_key, new_key = excluded.new_key,
                     sealed_key = excluded.sealed_key, phase = excluded.phase, began_at = excluded.began_at, retire_at = NULL",
            )
            .bind(old.to_string())
            .bind(new.to_string())
            .bind(sealed)
            .bind(act.at.unix_micros())
            .execute(&mut *transaction)
            .await?;
            let fields = json!({"old": old.to_string(), "new": new.to_string()});
            transaction.finish(self, act, Change::new(NODE, "master_key.rotate", &new).made(fields)).await?;
        });
        Ok(RotationStep::Announced(new))
    }

    /// Nodes that have been seen lately and are in none of these states.
    async fn nodes_behind(&self, now: Timestamp, states: &[String]) -> Result<Vec<NodeId>, DatabaseError> {
        let mut behind = Vec::new();
        on_pool!(self, pools => {
            for row in &sqlx::query("SELECT * FROM running_nodes").fetch_all(&pools.reader).await? {
                let runs = now.since(row.time("seen_at")?) < SEEN_FOR;
                if runs && !states.contains(&row.text("key_state")?) {
                    behind.push(NodeId::from_uuid(row.uuid("node_id")?));
                }
            }
        });
        Ok(behind)
    }

    async fn enter(&self, phase: Phase) -> Result<(), DatabaseError> {
        on_pool!(self, pools => sqlx::query("UPDATE master_key_rotation SET phase = $1 WHERE id = 1")
            .bind(phase.as_str())
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Seals a batch anew; when nothing is left, the check of the master key last.
    async fn reseal(
        &self,
        act: &Act,
        rotation: &Rotation,
        retire_after: Duration,
    ) -> Result<RotationStep, RotateError> {
        let resealed = self.reseal_some(rotation).await?;
        if resealed > 0 {
            return Ok(RotationStep::Resealed(resealed));
        }
        let retire_at = act.at.saturating_add(retire_after);
        let check = self.sealed_check()?;
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            // Once more, now that nobody else changes accounts.
            let left = sqlx::query("SELECT 1 AS one FROM accounts WHERE substr(data_key, 1, $2) <> $1 LIMIT 1")
                .bind(rotation.new.prefix().as_slice())
                .bind(PREFIX_BYTES)
                .fetch_optional(&mut *transaction)
                .await?;
            if left.is_some() {
                return Ok(RotationStep::Resealed(0));
            }
            sqlx::query("UPDATE master_key_checks SET sealed = $1 WHERE id = 1")
                .bind(check)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("UPDATE master_key_rotation SET phase = 'resealed', sealed_key = NULL, retire_at = $1 WHERE id = 1")
                .bind(retire_at.unix_micros())
                .execute(&mut *transaction)
                .await?;
            let fields = json!({"old": rotation.old.to_string(), "retire_at": retire_at});
            transaction.finish(self, act, Change::new(NODE, "master_key.retire", &rotation.old).made(fields)).await?;
        });
        if let Some(rotation) = self.rotation().await? {
            self.follow(&rotation, act.at).await?;
        }
        Ok(RotationStep::Done { old: rotation.old, new: rotation.new, retire_at })
    }

    /// Has the old key go at a time that is before the one that was said.
    async fn retire_sooner(
        &self,
        act: &Act,
        rotation: &Rotation,
        retire_at: Timestamp,
    ) -> Result<RotationStep, RotateError> {
        let until = rotation.retire_at.unwrap_or(act.at);
        if retire_at >= until {
            return Err(RotateError::StillRetiring { until });
        }
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            sqlx::query("UPDATE master_key_rotation SET retire_at = $1 WHERE id = 1 AND retire_at > $1")
                .bind(retire_at.unix_micros())
                .execute(&mut *transaction)
                .await?;
            let change = Change::new(NODE, "master_key.retire", &rotation.old);
            transaction.finish(self, act, change.changed(json!({"retire_at": until}), json!({"retire_at": retire_at}))).await?;
        });
        if let Some(rotation) = self.rotation().await? {
            self.follow(&rotation, act.at).await?;
        }
        Ok(RotationStep::Done { old: rotation.old, new: rotation.new, retire_at })
    }

    /// Seals data keys and heads of logs anew, at most [`BATCH`] of each in one transaction.
    async fn reseal_some(&self, rotation: &Rotation) -> Result<usize, DatabaseError> {
        let ring = self.master_key();
        let mut resealed = 0;
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let rows = sqlx::query("SELECT id, data_key FROM accounts WHERE substr(data_key, 1, $2) <> $1 ORDER BY id LIMIT $3")
                .bind(rotation.new.prefix().as_slice())
                .bind(PREFIX_BYTES)
                .bind(BATCH)
                .fetch_all(&mut *transaction)
                .await?;
            for row in &rows {
                let account = AccountId::from_uuid(row.uuid("id")?);
                let key = ring.open_key(&row.bytes("data_key")?, account)?;
                sqlx::query("UPDATE accounts SET data_key = $2 WHERE id = $1")
                    .bind(account.as_uuid())
                    .bind(ring.seal_key(&key, account)?)
                    .execute(&mut *transaction)
                    .await?;
                resealed += 1;
            }
            // Locked one by one as whoever adds to a log does it.
            let heads = sqlx::query("SELECT account_id FROM audit_heads WHERE key_id = $1 ORDER BY account_id LIMIT $2")
                .bind(rotation.old.to_string())
                .bind(BATCH)
                .fetch_all(&mut *transaction)
                .await?;
            for row in &heads {
                let account = AccountId::from_uuid(row.uuid("account_id")?);
                let row = sqlx::query("UPDATE audit_heads SET key_id = key_id WHERE account_id = $1 RETURNING *")
                    .bind(account.as_uuid())
                    .fetch_one(&mut *transaction)
                    .await?;
                let (key_id, mac) = match remac_head(ring, &row)? {
                    RemacOutcome::Moved { key_id, mac } => (key_id, mac),
                    RemacOutcome::Forged => {
                        tracing::error!(%account, "the end of an audit log was not set by this node; tandem audit verify shows it");
                        (FORGED.to_owned(), row.bytes("mac")?)
                    }
                };
                sqlx::query("UPDATE audit_heads SET key_id = $2, mac = $3 WHERE account_id = $1")
                    .bind(account.as_uuid())
                    .bind(key_id)
                    .bind(mac)
                    .execute(&mut *transaction)
                    .await?;
                resealed += 1;
            }
            transaction.commit().await?;
        });
        Ok(resealed)
    }
}

fn read_rotation<R: Columns>(row: &R) -> Result<Rotation, DatabaseError> {
    let phase = match row.text("phase")?.as_str() {
        "announced" => Phase::Announced,
        "switched" => Phase::Switched,
        "resealed" => Phase::Resealed,
        _ => {
            return Err(DatabaseError::Unreadable {
                column: "phase",
                reason: "it is none that this build knows".into(),
            });
        }
    };
    Ok(Rotation {
        old: row.parsed("old_key")?,
        new: row.parsed("new_key")?,
        sealed: row.bytes_opt("sealed_key")?,
        phase,
        retire_at: row.time_opt("retire_at")?,
    })
}

fn knows(key: MasterKeyId) -> String {
    format!("knows {key}")
}

fn seals(key: MasterKeyId) -> String {
    format!("seals {key}")
}

/// Where the new key stands, sealed by the old one.
const NEW_KEY: Place = Place {
    table: "master_key_rotation",
    column: "sealed_key",
    row: Uuid::nil(),
    account: AccountId::from_uuid(Uuid::nil()),
};
/// Values that are sealed anew in one transaction, so that those who wait for it wait for milliseconds.
const BATCH: i64 = 500;
/// Of [`MasterKeyId::prefix`].
const PREFIX_BYTES: i32 = 5;
/// Instead of a key: a head that was forged stays one that no key opens.
const FORGED: &str = "forged";
/// How often a node that runs says so.
const SEEN_EVERY: Duration = Duration::from_secs(10);
/// How long after it last said so a node counts as running.
pub(crate) const SEEN_FOR: Duration = Duration::from_secs(35);
