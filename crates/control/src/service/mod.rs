//! The use cases. They know the store and the switchboard, and neither HTTP nor SQL.

mod access;
mod acts;
mod alerts;
mod api_keys;
mod audit_log;
mod calls;
mod credits;
mod dialling;
mod erasures;
mod events;
mod external_calls;
mod health;
mod idempotency;
mod list;
mod mails;
mod node;
mod numbers;
mod passwords;
mod platform_tokens;
mod probing;
mod rate_limit;
mod refusals;
mod retention;
mod session_tokens;
mod sessions;
mod shares;
mod source_limit;
mod stale_sweep;
mod statistics;
mod test_calls;
mod trunks;
mod users;
mod webhooks;
mod write_turns;

use crate::service::acts::Acts;
use crate::service::passwords::Passwords;
use crate::service::session_tokens::SessionTokens;
use crate::{Clock, ControlSettings, Switchboard};
use ipnet::IpNet;
use std::ops::Deref;
use std::sync::Arc;
use tandem_model::{AddressPolicy, Timestamp};
use tandem_store::{DatabaseError, Store};

pub(crate) use access::{Access, ActForError, Asked, AuthenticateError, Caller, Forbidden, OfNode};
pub(crate) use alerts::{Alerts, FindAlertError, advice};
pub(crate) use api_keys::{ApiKeys, CreateKeyError, FindKeyError};
pub(crate) use audit_log::{AuditLog, AuditSearch, ReadAuditError};
pub(crate) use calls::{CallExport, Calls, CreateCallError, FindCallError, UpdateCallError, was_answered};
pub(crate) use credits::{Credits, EditCreditError, ShownCredit};
pub(crate) use dialling::{DialCallError, Dialling, ExplainError, HangUpError};
pub(crate) use erasures::{Erasures, FindErasureError};
pub(crate) use events::{EventFilter, Events, EventsWanted, OpenEventsError, Told, envelope};
pub(crate) use external_calls::MAX_OPEN_CALLS;
pub(crate) use health::{Health, ShownHealth};
pub(crate) use idempotency::{BeginError, Begun, Idempotency, KeptAnswer, Outcome, Ticket};
pub(crate) use list::{ListRequest, Page, Total};
pub(crate) use mails::Mails;
pub(crate) use node::Node;
pub(crate) use numbers::{FindNumberError, Numbers};
pub(crate) use passwords::PasswordsError;
pub use passwords::{PASSWORD_LENGTH, generate_password, hash_password};
pub use platform_tokens::{KeySet, PlatformKey, PlatformKeyError, PlatformKeys, PlatformTokenSettings};
pub(crate) use probing::HealthCheckError;
pub(crate) use rate_limit::{Quota, Rate, RateLimits, Who};
pub(crate) use refusals::{FindRefusalError, Refusals};
pub(crate) use retention::{Keeping, RetentionError, ShownRetention};
pub(crate) use session_tokens::ACCESS_LIFE;
pub(crate) use sessions::{EndSessionError, Sessions, SignInError, SignedIn};
pub use source_limit::network_of;
pub(crate) use statistics::{
    Analytics, AnalyticsQuery, Bucket, Dashboard, Figures, GroupBy, Period, ReadStatisticsError, Statistics,
    TrunkStatistics,
};
pub(crate) use test_calls::{CheckTrunkError, TestedCall};
pub(crate) use trunks::{
    CreateTrunkError, DeleteTrunkError, PricesAreTheOperators, ReadTrunkError, ShownTrunk, TrunkSearch, Trunks,
    UpdateTrunkError,
};
pub(crate) use users::{ChangePasswordError, CreateUserError, EditUserError, Users};
pub(crate) use webhooks::{CreateWebhookError, EditWebhookError, MAX_ENDPOINTS, Tested, Webhooks};
pub(crate) use write_turns::{TooManyWrites, WriteTurns};

/// Everything the handlers call. Cheap to clone: each request has its own.
#[derive(Clone)]
pub struct Services(Arc<UseCases>);

/// The use cases, each with what it stands on.
pub struct UseCases {
    pub(crate) access: Access,
    pub(crate) rate_limits: RateLimits,
    pub(crate) write_turns: WriteTurns,
    pub(crate) idempotency: Idempotency,
    pub(crate) api_keys: ApiKeys,
    pub(crate) audit_log: AuditLog,
    pub(crate) keeping: Keeping,
    pub(crate) erasures: Erasures,
    pub(crate) users: Users,
    pub(crate) sessions: Sessions,
    pub(crate) trunks: Trunks,
    pub(crate) numbers: Numbers,
    pub(crate) health: Health,
    pub(crate) calls: Calls,
    pub(crate) refusals: Refusals,
    pub(crate) alerts: Alerts,
    pub(crate) mails: Mails,
    pub(crate) credits: Credits,
    pub(crate) dialling: Dialling,
    pub(crate) statistics: Statistics,
    pub(crate) events: Events,
    pub(crate) webhooks: Webhooks,
    pub(crate) node: Node,
    acts: Acts,
    /// The currency of every amount.
    pub(crate) currency: Arc<str>,
    /// Networks of proxies that are believed about whom they pass on.
    pub(crate) trusted_proxies: Arc<[IpNet]>,
}

impl Services {
    /// Joins the use cases to the store and to the call path.
    #[must_use]
    pub fn new(store: Store, switchboard: Arc<dyn Switchboard>, settings: ControlSettings) -> Self {
        let peers = AddressPolicy::new(settings.peer_allow);
        let currency: Arc<str> = settings.currency.into();
        let acts = Acts::new(store.clone());
        let core = Arc::new(Core { store, switchboard, peers, clock: settings.clock, acts: acts.clone() });
        let tokens = Arc::new(SessionTokens::new(&core.store));
        let passwords = Passwords::new();
        let access = Access::new(Arc::clone(&core), Arc::clone(&tokens), settings.platform_tokens);
        Self(Arc::new(UseCases {
            webhooks: Webhooks::new(Arc::clone(&core), settings.outgoing),
            events: Events::new(Arc::clone(&core), access.clone()),
            access,
            rate_limits: RateLimits::new(settings.rate_limit),
            write_turns: WriteTurns::default(),
            idempotency: Idempotency::new(Arc::clone(&core)),
            api_keys: ApiKeys::new(Arc::clone(&core)),
            audit_log: AuditLog::new(Arc::clone(&core)),
            keeping: Keeping::new(Arc::clone(&core)),
            erasures: Erasures::new(Arc::clone(&core)),
            users: Users::new(Arc::clone(&core), passwords.clone()),
            sessions: Sessions::new(Arc::clone(&core), passwords, tokens),
            trunks: Trunks::new(Arc::clone(&core)),
            numbers: Numbers::new(Arc::clone(&core)),
            health: Health::new(Arc::clone(&core)),
            calls: Calls::new(Arc::clone(&core)),
            refusals: Refusals::new(Arc::clone(&core)),
            alerts: Alerts::new(Arc::clone(&core), Arc::clone(&currency), settings.mailer.is_some()),
            mails: Mails::new(Arc::clone(&core), settings.mailer),
            credits: Credits::new(Arc::clone(&core), settings.credit_value),
            dialling: Dialling::new(Arc::clone(&core)),
            statistics: Statistics::new(Arc::clone(&core)),
            node: Node::new(core),
            acts,
            currency,
            trusted_proxies: settings.trusted_proxies.into(),
        }))
    }

    /// Waits until the audit log has what was done so far, or until the database does not take it. For when the node stops.
    pub async fn write_down_acts(&self) {
        self.acts.written().await;
    }

    /// Sends webhooks. Never ends; drop it to stop: what is under way is sent again.
    pub async fn run_webhooks(&self) {
        self.webhooks.run().await;
    }

    /// Sends mails. Never ends; drop it to stop: what is under way is sent again.
    pub async fn run_mails(&self) {
        self.mails.run().await;
    }

    /// Sends the mails that are due now, one after the other; gives how many were tried.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn send_due_mails(&self) -> Result<usize, DatabaseError> {
        self.mails.send_due().await
    }

    /// Sends the webhooks that are due now, one after the other, and waits for each; gives how many attempts there were.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn send_due_webhooks(&self) -> Result<usize, DatabaseError> {
        self.webhooks.send_due().await
    }

    /// Ends the streams of events with a word to their clients, who would keep the node from stopping.
    pub fn end_streams(&self) {
        self.events.end();
    }
}

impl Deref for Services {
    type Target = UseCases;

    fn deref(&self) -> &UseCases {
        &self.0
    }
}

/// What every use case stands on.
struct Core {
    store: Store,
    switchboard: Arc<dyn Switchboard>,
    peers: AddressPolicy,
    clock: Arc<dyn Clock>,
    acts: Acts,
}

impl Core {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Random bits of a new id.
/// What the id of a new thing consists of. With a ticket it is the same for each repeat of the request, so that what was made is found.
fn id_parts(ticket: Option<&Ticket>, now: Timestamp) -> Result<(Timestamp, [u8; 10]), DatabaseError> {
    ticket.map_or_else(|| Ok((now, id_bits()?)), |ticket| Ok(ticket.id_parts()))
}

/// Whether what a request makes may be there already.
fn is_repeat(ticket: Option<&Ticket>) -> bool {
    ticket.is_some_and(|ticket| ticket.is_repeat)
}

fn id_bits() -> Result<[u8; 10], DatabaseError> {
    let mut bits = [0; 10];
    getrandom::fill(&mut bits).map_err(DatabaseError::Randomness)?;
    Ok(bits)
}
