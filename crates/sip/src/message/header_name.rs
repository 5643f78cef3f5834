//! Header names: the ones we know, and all others.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::token::{InvalidToken, Token};

/// The name of a header, without regard to case or compact form (RFC 3261 §7.3.1, §7.3.3).
#[derive(Debug, Clone)]
pub enum HeaderName {
    /// `Accept`.
    Accept,
    /// `Accept-Encoding`.
    AcceptEncoding,
    /// `Accept-Language`.
    AcceptLanguage,
    /// `Alert-Info`.
    AlertInfo,
    /// `Allow`.
    Allow,
    /// `Allow-Events`, compact `u`.
    AllowEvents,
    /// `Answer-Mode`.
    AnswerMode,
    /// `Authentication-Info`.
    AuthenticationInfo,
    /// `Authorization`.
    Authorization,
    /// `Call-ID`, compact `i`.
    CallId,
    /// `Call-Info`.
    CallInfo,
    /// `Contact`, compact `m`.
    Contact,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Content-Encoding`, compact `e`.
    ContentEncoding,
    /// `Content-Language`.
    ContentLanguage,
    /// `Content-Length`, compact `l`.
    ContentLength,
    /// `Content-Type`, compact `c`.
    ContentType,
    /// `CSeq`.
    CSeq,
    /// `Date`.
    Date,
    /// `Diversion`.
    Diversion,
    /// `Error-Info`.
    ErrorInfo,
    /// `Event`, compact `o`.
    Event,
    /// `Expires`.
    Expires,
    /// `From`, compact `f`.
    From,
    /// `Geolocation`.
    Geolocation,
    /// `History-Info`.
    HistoryInfo,
    /// `Identity`, compact `y`.
    Identity,
    /// `In-Reply-To`.
    InReplyTo,
    /// `Info-Package`.
    InfoPackage,
    /// `Join`.
    Join,
    /// `Max-Forwards`.
    MaxForwards,
    /// `MIME-Version`.
    MimeVersion,
    /// `Min-Expires`.
    MinExpires,
    /// `Min-SE`.
    MinSe,
    /// `Organization`.
    Organization,
    /// `P-Asserted-Identity`.
    PAssertedIdentity,
    /// `P-Charging-Vector`.
    PChargingVector,
    /// `P-Preferred-Identity`.
    PPreferredIdentity,
    /// `Path`.
    Path,
    /// `Priority`.
    Priority,
    /// `Privacy`.
    Privacy,
    /// `Proxy-Authenticate`.
    ProxyAuthenticate,
    /// `Proxy-Authorization`.
    ProxyAuthorization,
    /// `Proxy-Require`.
    ProxyRequire,
    /// `RAck`.
    RAck,
    /// `Reason`.
    Reason,
    /// `Record-Route`.
    RecordRoute,
    /// `Recv-Info`.
    RecvInfo,
    /// `Refer-Sub`.
    ReferSub,
    /// `Refer-To`, compact `r`.
    ReferTo,
    /// `Referred-By`, compact `b`.
    ReferredBy,
    /// `Remote-Party-ID`.
    RemotePartyId,
    /// `Replaces`.
    Replaces,
    /// `Reply-To`.
    ReplyTo,
    /// `Request-Disposition`, compact `d`.
    RequestDisposition,
    /// `Require`.
    Require,
    /// `Retry-After`.
    RetryAfter,
    /// `Route`.
    Route,
    /// `RSeq`.
    RSeq,
    /// `Server`.
    Server,
    /// `Service-Route`.
    ServiceRoute,
    /// `Session-Expires`, compact `x`.
    SessionExpires,
    /// `Session-ID`.
    SessionId,
    /// `SIP-ETag`.
    SipETag,
    /// `SIP-If-Match`.
    SipIfMatch,
    /// `Subject`, compact `s`.
    Subject,
    /// `Subscription-State`.
    SubscriptionState,
    /// `Supported`, compact `k`.
    Supported,
    /// `Timestamp`.
    Timestamp,
    /// `To`, compact `t`.
    To,
    /// `Unsupported`.
    Unsupported,
    /// `User-Agent`.
    UserAgent,
    /// `User-to-User`.
    UserToUser,
    /// `Via`, compact `v`.
    Via,
    /// `Warning`.
    Warning,
    /// `WWW-Authenticate`.
    WwwAuthenticate,
    /// Any other, as it was spelt; never a name or compact form of one above.
    Other(Token),
}

impl HeaderName {
    /// The name of a header, long or compact, in any case.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] when it is not a token.
    pub fn new(name: &str) -> Result<Self, InvalidToken> {
        match Self::known(name.as_bytes()) {
            Some(known) => Ok(known),
            None => Token::new(name).map(Self::Other),
        }
    }

    /// The name as it is on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Accept => "Accept",
            Self::AcceptEncoding => "Accept-Encoding",
            Self::AcceptLanguage => "Accept-Language",
            Self::AlertInfo => "Alert-Info",
            Self::Allow => "Allow",
            Self::AllowEvents => "Allow-Events",
            Self::AnswerMode => "Answer-Mode",
            Self::AuthenticationInfo => "Authentication-Info",
            Self::Authorization => "Authorization",
            Self::CallId => "Call-ID",
            Self::CallInfo => "Call-Info",
            Self::Contact => "Contact",
            Self::ContentDisposition => "Content-Disposition",
            Self::ContentEncoding => "Content-Encoding",
            Self::ContentLanguage => "Content-Language",
            Self::ContentLength => "Content-Length",
            Self::ContentType => "Content-Type",
            Self::CSeq => "CSeq",
            Self::Date => "Date",
            Self::Diversion => "Diversion",
            Self::ErrorInfo => "Error-Info",
            Self::Event => "Event",
            Self::Expires => "Expires",
            Self::From => "From",
            Self::Geolocation => "Geolocation",
            Self::HistoryInfo => "History-Info",
            Self::Identity => "Identity",
            Self::InReplyTo => "In-Reply-To",
            Self::InfoPackage => "Info-Package",
            Self::Join => "Join",
            Self::MaxForwards => "Max-Forwards",
            Self::MimeVersion => "MIME-Version",
            Self::MinExpires => "Min-Expires",
            Self::MinSe => "Min-SE",
            Self::Organization => "Organization",
            Self::PAssertedIdentity => "P-Asserted-Identity",
            Self::PChargingVector => "P-Charging-Vector",
            Self::PPreferredIdentity => "P-Preferred-Identity",
            Self::Path => "Path",
            Self::Priority => "Priority",
            Self::Privacy => "Privacy",
            Self::ProxyAuthenticate => "Proxy-Authenticate",
            Self::ProxyAuthorization => "Proxy-Authorization",
            Self::ProxyRequire => "Proxy-Require",
            Self::RAck => "RAck",
            Self::Reason => "Reason",
            Self::RecordRoute => "Record-Route",
            Self::RecvInfo => "Recv-Info",
            Self::ReferSub => "Refer-Sub",
            Self::ReferTo => "Refer-To",
            Self::ReferredBy => "Referred-By",
            Self::RemotePartyId => "Remote-Party-ID",
            Self::Replaces => "Replaces",
            Self::ReplyTo => "Reply-To",
            Self::RequestDisposition => "Request-Disposition",
            Self::Require => "Require",
            Self::RetryAfter => "Retry-After",
            Self::Route => "Route",
            Self::RSeq => "RSeq",
            Self::Server => "Server",
            Self::ServiceRoute => "Service-Route",
            Self::SessionExpires => "Session-Expires",
            Self::SessionId => "Session-ID",
            Self::SipETag => "SIP-ETag",
            Self::SipIfMatch => "SIP-If-Match",
            Self::Subject => "Subject",
            Self::SubscriptionState => "Subscription-State",
            Self::Supported => "Supported",
            Self::Timestamp => "Timestamp",
            Self::To => "To",
            Self::Unsupported => "Unsupported",
            Self::UserAgent => "User-Agent",
            Self::UserToUser => "User-to-User",
            Self::Via => "Via",
            Self::Warning => "Warning",
            Self::WwwAuthenticate => "WWW-Authenticate",
            Self::Other(name) => name.as_str(),
        }
    }

    /// The name that a parser took because it is a token.
    pub(crate) fn checked(name: &str) -> Self {
        Self::known(name.as_bytes()).unwrap_or_else(|| Self::Other(Token::checked(name)))
    }

    /// Whether a received name, long or compact, is this one.
    #[inline]
    pub(crate) fn is(&self, received: &[u8]) -> bool {
        match received {
            [letter] => self.compact() == Some(letter.to_ascii_lowercase()) || self.as_str().as_bytes() == received,
            _ => self.as_str().as_bytes().eq_ignore_ascii_case(received),
        }
    }

    /// The one-letter form, in lower case.
    fn compact(&self) -> Option<u8> {
        COMPACT_FORMS.iter().find(|(name, _)| *name == self.as_str()).map(|(_, letter)| *letter)
    }

    /// The name if it is one of the known ones.
    fn known(name: &[u8]) -> Option<Self> {
        let mut lower = [0; LONGEST_KNOWN];
        let lower = lower.get_mut(..name.len())?;
        for (to, from) in lower.iter_mut().zip(name) {
            *to = from.to_ascii_lowercase();
        }
        Some(match &*lower {
            b"accept" => Self::Accept,
            b"accept-encoding" => Self::AcceptEncoding,
            b"accept-language" => Self::AcceptLanguage,
            b"alert-info" => Self::AlertInfo,
            b"allow" => Self::Allow,
            b"allow-events" | b"u" => Self::AllowEvents,
            b"answer-mode" => Self::AnswerMode,
            b"authentication-info" => Self::AuthenticationInfo,
            b"authorization" => Self::Authorization,
            b"call-id" | b"i" => Self::CallId,
            b"call-info" => Self::CallInfo,
            b"contact" | b"m" => Self::Contact,
            b"content-disposition" => Self::ContentDisposition,
            b"content-encoding" | b"e" => Self::ContentEncoding,
            b"content-language" => Self::ContentLanguage,
            b"content-length" | b"l" => Self::ContentLength,
            b"content-type" | b"c" => Self::ContentType,
            b"cseq" => Self::CSeq,
            b"date" => Self::Date,
            b"diversion" => Self::Diversion,
            b"error-info" => Self::ErrorInfo,
            b"event" | b"o" => Self::Event,
            b"expires" => Self::Expires,
            b"from" | b"f" => Self::From,
            b"geolocation" => Self::Geolocation,
            b"history-info" => Self::HistoryInfo,
            b"identity" | b"y" => Self::Identity,
            b"in-reply-to" => Self::InReplyTo,
            b"info-package" => Self::InfoPackage,
            b"join" => Self::Join,
            b"max-forwards" => Self::MaxForwards,
            b"mime-version" => Self::MimeVersion,
            b"min-expires" => Self::MinExpires,
            b"min-se" => Self::MinSe,
            b"organization" => Self::Organization,
            b"p-asserted-identity" => Self::PAssertedIdentity,
            b"p-charging-vector" => Self::PChargingVector,
            b"p-preferred-identity" => Self::PPreferredIdentity,
            b"path" => Self::Path,
            b"priority" => Self::Priority,
            b"privacy" => Self::Privacy,
            b"proxy-authenticate" => Self::ProxyAuthenticate,
            b"proxy-authorization" => Self::ProxyAuthorization,
            b"proxy-require" => Self::ProxyRequire,
            b"rack" => Self::RAck,
            b"reason" => Self::Reason,
            b"record-route" => Self::RecordRoute,
            b"recv-info" => Self::RecvInfo,
            b"refer-sub" => Self::ReferSub,
            b"refer-to" | b"r" => Self::ReferTo,
            b"referred-by" | b"b" => Self::ReferredBy,
            b"remote-party-id" => Self::RemotePartyId,
            b"replaces" => Self::Replaces,
            b"reply-to" => Self::ReplyTo,
            b"request-disposition" | b"d" => Self::RequestDisposition,
            b"require" => Self::Require,
            b"retry-after" => Self::RetryAfter,
            b"route" => Self::Route,
            b"rseq" => Self::RSeq,
            b"server" => Self::Server,
            b"service-route" => Self::ServiceRoute,
            b"session-expires" | b"x" => Self::SessionExpires,
            b"session-id" => Self::SessionId,
            b"sip-etag" => Self::SipETag,
            b"sip-if-match" => Self::SipIfMatch,
            b"subject" | b"s" => Self::Subject,
            b"subscription-state" => Self::SubscriptionState,
            b"supported" | b"k" => Self::Supported,
            b"timestamp" => Self::Timestamp,
            b"to" | b"t" => Self::To,
            b"unsupported" => Self::Unsupported,
            b"user-agent" => Self::UserAgent,
            b"user-to-user" => Self::UserToUser,
            b"via" | b"v" => Self::Via,
            b"warning" => Self::Warning,
            b"www-authenticate" => Self::WwwAuthenticate,
            _ => return None,
        })
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }
}

impl Eq for HeaderName {}

impl Hash for HeaderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for octet in self.as_str().bytes() {
            state.write_u8(octet.to_ascii_lowercase());
        }
        state.write_u8(b':'); // never part of a name, so no name is the beginning of another
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Octets of the longest known name.
const LONGEST_KNOWN: usize = 20;

/// Compact forms (RFC 3261 §7.3.3 and the IANA registry).
const COMPACT_FORMS: [(&str, u8); 17] = [
    ("Allow-Events", b'u'),
    ("Call-ID", b'i'),
    ("Contact", b'm'),
    ("Content-Encoding", b'e'),
    ("Content-Length", b'l'),
    ("Content-Type", b'c'),
    ("Event", b'o'),
    ("From", b'f'),
    ("Identity", b'y'),
    ("Refer-To", b'r'),
    ("Referred-By", b'b'),
    ("Request-Disposition", b'd'),
    ("Session-Expires", b'x'),
    ("Subject", b's'),
    ("Supported", b'k'),
    ("To", b't'),
    ("Via", b'v'),
];
