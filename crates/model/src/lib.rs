//! The vocabulary that every crate shares: numbers, ids, money, causes, trunks and call records.
//!
//! A value of these types is valid because it exists: wire strings are parsed into them once, at the edge.

mod access;
mod account;
mod address_policy;
mod address_ranges;
mod alert;
mod call;
mod cause;
mod codec;
mod credit;
mod dial;
mod e164;
mod event;
mod health;
mod id;
mod inbound;
mod json_text;
mod listening_quality;
mod money;
mod phone_number;
mod receipt;
mod secret;
mod source_claim;
mod text_enum;
mod time;
mod traffic;
mod transport;
mod trunk;

pub use access::{ParsePermissionError, ParseRoleError, Permission, Permissions, Role};
pub use account::{Account, AccountLimits, ParseTierError, Tier};
pub use address_policy::AddressPolicy;
pub use address_ranges::AddressRanges;
pub use alert::{
    Alert, AlertRule, AlertRuleSettings, AlertSetting, AlertSettings, AlertSeverity, AlertState, AlertThresholds,
    ParseAlertRuleError, ParseAlertSeverityError, ParseAlertStateError,
};
pub use call::{
    CallEvent, CallRecord, CallStatus, CarriedBy, EventKind, HungUpBy, LegKind, LegMedia, LegRecord, LegStatus,
    LiveCall, ParseCallStatusError, Record,
};
pub use cause::{HangupCause, ParseHangupCauseError};
pub use codec::{Codec, ParseCodecError};
pub use credit::{
    CreditAccount, CreditCommitment, CreditEntry, CreditEntryKind, CreditTerms, LiveCredit, ParseCreditEntryKindError,
};
pub use dial::{Connect, DialOrder, DialTarget, EMERGENCY_NUMBERS, ParseConnectError};
pub use e164::{E164, ParseE164Error};
pub use event::{Event, EventType, ParseEventTypeError};
pub use health::{
    BreakerState, HealthReason, HealthReport, HealthSpan, HealthStatus, MeasuredHealth, ParseBreakerStateError,
    ParseHealthReasonError, ParseHealthStatusError, TrunkHealth,
};
pub use id::{
    AccountId, AlertId, ApiKeyId, BootId, CallId, CreditEntryId, ErasureId, EventId, LegId, MailId, NodeId, NumberId,
    ParseIdError, RefusalId, SessionId, TrunkId, UserId, WebhookDeliveryId, WebhookEndpointId,
};
pub use inbound::{Closeness, InboundRouting, InboundRule, NumberPattern, ParseNumberPatternError};
pub use json_text::JsonText;
pub use money::{LONGEST_CALL, MAX_CALL_COST, Money, MoneyError, Rate};
pub use phone_number::{NumberRoute, PhoneNumber};
pub use receipt::{
    AttemptReceipt, Considered, Identified, IdentifiedBy, InboundReceipt, Reason, Receipt, Refusal, RefusalKind,
    RefusedInvite, Verdict,
};
pub use secret::Secret;
pub use source_claim::{ParseSourceFieldError, SourceClaim, SourceField, source_claims};
pub use time::{Now, ParseTimestampError, Timestamp};
pub use traffic::{
    AccountLoad, Histogram, LegTraffic, MediaTraffic, RefusedPeer, Traffic, TrunkLoad, TrunkPlace, TrunkTraffic,
};
pub use transport::{ParseTransportError, SrtpPolicy, Transport};
pub use trunk::{
    CallDirection, DEFAULT_OPTIONS_INTERVAL, DEFAULT_PROGRESS_TIMEOUT, DEFAULT_RTP_TIMEOUT, DtmfMode,
    MAX_BILLING_INCREMENT, MAX_OPTIONS_INTERVAL_SECONDS, MAX_RTP_TIMEOUT_SECONDS, OutboundRouting, Provider,
    SHORTEST_V4_PREFIX, SHORTEST_V6_PREFIX, Trunk, TrunkState, TrunkStatus, can_identify,
};
