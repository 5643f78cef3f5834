use crate::text_enum::text_enum;
use crate::{AccountId, Timestamp};

text_enum! {
    /// What an account has bought; it sets the limits.
    pub enum Tier, error ParseTierError("tier") {
        /// 1 trunk, 2 concurrent calls.
        Free = "free",
        /// 5 trunks, 10 concurrent calls.
        Pro = "pro",
        /// 50 trunks, 50 concurrent calls.
        Enterprise = "enterprise",
    }
}

impl Tier {
    /// The limits of the tier, before an account's own overrides.
    #[must_use]
    pub const fn limits(self) -> AccountLimits {
        match self {
            Self::Free => AccountLimits { max_trunks: 1, max_calls: 2 },
            Self::Pro => AccountLimits { max_trunks: 5, max_calls: 10 },
            Self::Enterprise => AccountLimits { max_trunks: 50, max_calls: 50 },
        }
    }
}

/// How much an account may have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimits {
    /// Trunks that are not deleted.
    pub max_trunks: u32,
    /// Concurrent calls over all trunks.
    pub max_calls: u32,
}

/// An account: the owner of trunks, calls and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id, `user_id` on the wire.
    pub id: AccountId,
    /// A name for people, 1 to 100 characters, unique on the node.
    pub name: String,
    /// What it has bought.
    pub tier: Tier,
    /// Overrides the tier's number of trunks.
    pub max_trunks: Option<u32>,
    /// Overrides the tier's number of concurrent calls.
    pub max_calls: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Account {
    /// The limits in force: the overrides, else the tier's.
    #[must_use]
    pub fn limits(&self) -> AccountLimits {
        let tier = self.tier.limits();
        AccountLimits {
            max_trunks: self.max_trunks.unwrap_or(tier.max_trunks),
            max_calls: self.max_calls.unwrap_or(tier.max_calls),
        }
    }
}
