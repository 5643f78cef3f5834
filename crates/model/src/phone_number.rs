use crate::{AccountId, Connect, E164, NumberId, Timestamp, TrunkId};
use serde_json::{Map, Value};

/// A number that an account has, and what becomes of calls to it.
#[derive(Clone, Debug, PartialEq)]
pub struct PhoneNumber {
    /// Its id.
    pub id: NumberId,
    /// Whose it is.
    pub account_id: AccountId,
    /// The number; no two accounts have the same.
    pub number: E164,
    /// A name for people.
    pub label: Option<String>,
    /// Who talks to those who call it.
    pub connect: Connect,
    /// Only calls that come in by this trunk; else by any trunk of the account.
    pub trunk_id: Option<TrunkId>,
    /// The client's own.
    pub metadata: Map<String, Value>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What routing reads of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberRoute {
    /// The number.
    pub number: E164,
    /// Whose it is.
    pub account_id: AccountId,
    /// The only trunk by which calls to it are taken, if there is one.
    pub trunk_id: Option<TrunkId>,
    /// Who talks to those who call it.
    pub connect: Connect,
}
