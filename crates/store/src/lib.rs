//! PostgreSQL and SQLite behind one [`Store`], with secrets sealed at rest.
//!
//! One file per aggregate, each with its SQL in plain sight. Every row belongs to an account; whatever takes an
//! [`AccountId`](tandem_model::AccountId) answers about that account only. Every list is bounded by [`MAX_PAGE`].

mod account;
mod act;
mod alert;
mod api_key;
mod audit;
mod backup;
mod call;
mod credit;
mod database_url;
mod erasure;
mod error;
mod event;
mod idempotency;
mod journal;
mod key_rotation;
mod list;
mod mail;
mod master_key;
mod migrations;
mod number;
mod pool;
mod postgres;
mod pulse;
mod records;
mod refusal;
mod retention;
mod routing;
mod row;
mod seal;
mod session;
mod settlement;
mod sign_in;
mod sqlite;
mod store;
mod timeline;
mod traffic;
mod trunk;
mod trunk_health;
mod trunk_price;
mod trunk_source;
mod user;
mod version;
mod webhook;
mod wide_sum;

pub use account::{AccountChange, InsertAccountError, UpdateAccountError};
pub use act::{Act, Actor, ActorKind};
pub use alert::{
    ALERTS_KEY, AlertFilter, ChangeAlertError, ChangeAlertSettingsError, HourlyCost, OpenAlert, RecentTraffic,
};
pub use api_key::{
    API_KEYS_KEY, ApiKey, InsertApiKeyError, KeyMaker, KeyOwner, MAX_LIVE_KEYS, NewApiKey, RevokeApiKeyError,
    SecretReplacement,
};
pub use audit::{AUDIT_LOG_KEY, AuditEntry, AuditFilter, Change, Fault, Finding, MAX_FINDINGS, NODE, Verified};
pub use backup::{BackedUp, RestoreError, Restored};
pub use call::{CALLS_KEY, CallFilter, CallKey, CallUpdate, InsertCallError, OpenExternalCall, UpdateCallError};
pub use credit::{CREDIT_ENTRIES_KEY, ChangeCreditError};
pub use database_url::{DatabaseUrl, ParseDatabaseUrlError};
pub use erasure::{
    ClaimedErasure, ERASURES_KEY, ErasedRows, Erasure, ErasureStep, ErasureWait, InsertErasureError,
    MAX_OTHER_SPELLINGS, MAX_RUNNING_ERASURES, SPELLING_DIGITS,
};
pub use error::DatabaseError;
pub use event::{EventPage, LISTENED_FOR, REMOVED_AT_ONCE};
pub use idempotency::{ANSWER_LIFE, CLAIM_LIFE, Claim, IdempotencyKey, MAX_KEYS};
pub use journal::JournalPosition;
pub use key_rotation::{RotateError, RotationStep};
pub use list::{Listed, MAX_COUNTED, MAX_EXAMINED, Part, Position, SortKey};
pub use mail::{ClaimedMail, ComposeMail, MailBacklog, MailEnd, MailText};
pub use master_key::{MasterKey, MasterKeyError, MasterKeyId};
pub use number::{ChangeNumberError, InsertNumberError, MAX_NUMBERS, NUMBERS_KEY, NumberChange};
pub use records::{Rejected, RejectedReason, WriteError, Written};
pub use refusal::{REFUSALS_KEY, RefusalFilter};
pub use retention::{ChangeRetentionError, Retention};
pub use routing::RoutingSnapshot;
pub use row::read_receipt;
pub use seal::SealError;
pub use session::{MAX_SESSIONS, Refreshed, SESSION_LIFE, SESSIONS_KEY, Session, SessionOwner};
pub use settlement::LedgerFull;
pub use sign_in::{MakeLinkError, SignInAttempt};
pub use sqlite::backup::{BackupError, BackupProgress};
pub use store::{MAX_PAGE, Migrated, OpenError, Store, StoreOptions};
pub use traffic::{DestinationPrefix, Sums, TimeStep, TrafficDetail, TrafficQuery, TrafficRow};
pub use trunk::{ChangeTrunkError, DeleteTrunkError, InsertTrunkError, TrunkFilter, TrunkSort, UpdateTrunkError};
pub use trunk_health::{HEALTH_HISTORY_KEY, KnownHealth};
pub use trunk_price::{MonthlyPrice, TrunkPrices};
pub use user::{ChangeUserError, InsertUserError, MAX_USERS, PasswordHash, USERS_KEY, User, UserChange};
pub use version::{Stale, Versioned};
pub use webhook::{
    ChangeWebhookError, ClaimedDelivery, ClaimedWebhook, Claims, DeliveryEnd, DeliveryFilter, DeliveryReport,
    DeliveryState, FindWebhookError, InsertWebhookError, REPLAYED_AT_ONCE, Replay, WEBHOOK_DELIVERIES_KEY,
    WEBHOOK_ENDPOINTS_KEY, WebhookBacklog, WebhookDelivery, WebhookEndpoint, WebhookSecrets,
};
