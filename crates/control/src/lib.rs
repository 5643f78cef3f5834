//! The REST API and its use cases.
//!
//! `http` parses requests into model types and renders answers, `wire` holds the parsers, `service` the use cases.
//! The call path is reached only through [`Switchboard`], which the server implements.

mod http;
mod jobs;
mod mailer;
mod outgoing;
mod service;
mod settings;
mod switchboard;
mod wire;

pub use http::{ClientAddress, health_alone, no_place_left, openapi, router, waiting_router};
pub use mailer::{MailError, Mailer, SmtpError, SmtpMailer, SmtpSecurity, SmtpSettings};
pub use outgoing::{Names, Outgoing, OutgoingAnswer, OutgoingClient, OutgoingError, UrlError};
pub use service::{
    KeySet, PASSWORD_LENGTH, PlatformKey, PlatformKeyError, PlatformKeys, PlatformTokenSettings, Services,
    generate_password, hash_password, network_of,
};
pub use settings::{Clock, ControlSettings};
pub use switchboard::{
    DatabaseState, DialError, HangupError, JournalState, LiveNumbers, MediaIo, ProbeError, ProbeResult, QueueDepths,
    Readiness, Switchboard, Unavailable,
};
pub use wire::warm_up;
