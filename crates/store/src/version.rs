use crate::{Act, ApiKey, Retention, User, WebhookEndpoint};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tandem_model::{AlertSettings, CallRecord, CarriedBy, PhoneNumber, Timestamp, Trunk};

/// What has a version: another whenever somebody has changed what clients can change of it. None is ever 0.
pub trait Versioned {
    /// The version as it is now.
    fn version(&self) -> u64;
}

/// The row has another version than the one that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the version is {current:x} by now")]
pub struct Stale {
    /// The version that it has.
    pub current: u64,
}

impl Act {
    /// Whether the act may change what it has read in its transaction.
    ///
    /// # Errors
    /// [`Stale`] when it names another version.
    pub fn expects(&self, row: &impl Versioned) -> Result<(), Stale> {
        match self.expected_version {
            None => Ok(()),
            Some(expected) if expected == row.version() => Ok(()),
            Some(_) => Err(Stale { current: row.version() }),
        }
    }
}

impl Versioned for Trunk {
    /// When its configuration was last changed: each change moves that on, however the clock goes.
    fn version(&self) -> u64 {
        by_time(self.updated_at)
    }
}

impl Versioned for PhoneNumber {
    /// When it was last changed, as of a trunk.
    fn version(&self) -> u64 {
        by_time(self.updated_at)
    }
}

impl Versioned for WebhookEndpoint {
    /// When somebody last changed it, and whether it is enabled, for the node may disable it too. How its attempts fare does not count.
    fn version(&self) -> u64 {
        hashed(&json!([self.updated_at.unix_micros(), self.enabled]))
    }
}

impl Versioned for ApiKey {
    /// All that can be done to a key is to revoke it.
    fn version(&self) -> u64 {
        hashed(&json!([self.id, self.revoked_at.map(|at| at.unix_micros())]))
    }
}

impl Versioned for User {
    fn version(&self) -> u64 {
        hashed(&json!([self.name, self.email, self.role]))
    }
}

impl Versioned for CallRecord {
    /// Of a call that this switch carries clients can change little, and what the switch writes meanwhile does not matter to them.
    fn version(&self) -> u64 {
        let of_clients = json!([self.metadata, self.quality_score, self.credits_used.map(|credits| credits.micros())]);
        match self.carried_by {
            CarriedBy::Tandem => hashed(&of_clients),
            CarriedBy::External => hashed(&json!([
                of_clients,
                self.status.as_str(),
                self.answered_at.map(|at| at.unix_micros()),
                self.ended_at.map(|at| at.unix_micros()),
                self.duration_ms,
                self.hangup_cause,
                self.codec_used,
                self.cost.map(|cost| cost.micros()),
            ])),
        }
    }
}

impl Versioned for AlertSettings {
    /// Of what is set, not of what a rule has where nothing is.
    fn version(&self) -> u64 {
        hashed(&json!(self))
    }
}

impl Versioned for Retention {
    /// Of what is set, not of what is in force where nothing is.
    fn version(&self) -> u64 {
        hashed(&crate::retention::audited(*self))
    }
}

/// When a row is changed whose time of change is its version: a clock that stands still or goes back must not bring one back.
pub(crate) fn moved_on(before: Timestamp, now: Timestamp) -> Timestamp {
    now.max(before.saturating_add(Duration::from_micros(1)))
}

fn by_time(changed_at: Timestamp) -> u64 {
    u64::try_from(changed_at.unix_micros()).unwrap_or_default().max(1)
}

/// Nothing that is hashed is a secret.
fn hashed(told: &serde_json::Value) -> u64 {
    let hash = Sha256::digest(told.to_string());
    let first = hash.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
    first.max(1)
}
