//! SIP messages: reading what a peer sent, and writing what we send.
//!
//! Reading and writing are two types on purpose. [`Message`] borrows the received octets; [`Request`] and [`Response`]
//! are built from typed values only, so that no received line can reach another peer as it came.
//!
//! # Reading
//!
//! [`Message::parse`] takes one whole message (a datagram, or what [`framing::StreamDecoder`] cut out of a stream). It
//! does two things. [`Index::new`] goes over the octets once and finds the headers and what names the transaction and
//! the dialog: enough to know a repeat. [`Message::check`] then reads the grammar of start line, Via, From, To and
//! Content-Type. A message that parses has what RFC 3261 §8.1.1 demands in readable form, so these cannot fail:
//! [`Message::start`], [`Message::top_via`], [`Message::vias`], [`Message::from`], [`Message::to`],
//! [`Message::call_id`], [`Message::cseq`], [`Message::max_forwards`], [`Message::body`]. Everything else is parsed
//! when asked for and may be a [`BadHeader`]: [`Message::contacts`], [`Message::routes`],
//! [`Message::record_routes`], [`Message::seconds`]. [`Message::header`] and [`Message::headers`] give raw values,
//! [`Message::list`] the elements of comma lists, [`Message::tokens`] option tags and methods.
//!
//! [`ParseError`] says what may be done about a message that does not parse: nothing, or answer it; then
//! [`Refusal::to_response`] builds the answer.
//!
//! # Writing
//!
//! [`Request::to_bytes`], [`Response::to_bytes`]; [`Message::to_response`] answers a request per RFC 3261 §8.2.6.
//! [`Header`] carries what has no field of its own. Values are checked when they are made: [`HeaderValue::new`],
//! [`Token::new`], [`SipCallId::new`]; escaping and quoting are the writer's work.
//!
//! # Values
//!
//! [`Uri`] ([`SipUri`], [`TelUri`], [`OtherUri`]), [`Host`], [`NameAddr`], [`Params`], [`Via`], [`CSeq`],
//! [`Method`], [`StatusCode`], [`HeaderName`].

mod address;
mod cseq;
pub(crate) mod decimal;
mod error;
pub mod framing;
mod header;
mod header_name;
mod host;
mod index;
pub mod limits;
mod media_type;
mod method;
mod outgoing;
mod params;
mod parse;
mod salvage;
pub(crate) mod scan;
mod start_line;
mod status;
mod token;
mod uri;
mod via;

pub use address::NameAddr;
pub use cseq::CSeq;
pub use error::{BadHeader, Flaw, ParseError, Refusal};
pub use header::{Header, HeaderValue, InvalidHeaderValue, InvalidSipCallId, SipCallId};
pub use header_name::HeaderName;
pub use host::{Host, InvalidHost};
pub use index::{Index, RawHeader};
pub use method::Method;
pub use outgoing::{Body, Request, Response};
pub use params::{Param, ParamValue, Params};
pub use parse::{Message, Start};
pub use status::{InvalidStatusCode, StatusCode};
pub use token::{InvalidToken, Token};
pub use uri::{Escaped, InvalidUri, OtherUri, SipUri, TelUri, Uri, UriParam};
pub use via::{MAGIC_COOKIE, Via, ViaTransport};
