//! The Reason header: why a call ended (RFC 3326).

use crate::message::{Header, HeaderName, HeaderValue, Message};

/// Whose causes a [`ReasonHeader`] speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReasonProtocol {
    /// `Q.850`: an ISDN cause, 0 to 127.
    Q850,
    /// `SIP`: a status code.
    Sip,
    /// Any other, as written.
    Other(String),
}

/// One value of a Reason header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonHeader {
    /// Whose cause it is.
    pub protocol: ReasonProtocol,
    /// The cause.
    pub cause: Option<u16>,
    /// A text for people.
    pub text: Option<String>,
}

impl ReasonHeader {
    /// A Q.850 cause without text.
    pub fn q850(cause: u16) -> Self {
        Self { protocol: ReasonProtocol::Q850, cause: Some(cause), text: None }
    }

    /// A SIP status code without text.
    pub fn sip(status: u16) -> Self {
        Self { protocol: ReasonProtocol::Sip, cause: Some(status), text: None }
    }

    /// The first value in a message, a Q.850 one before others.
    pub(crate) fn of(message: &Message<'_>) -> Option<Self> {
        let mut first = None;
        for value in message.list(&HeaderName::Reason).take(MAX_VALUES) {
            let Some(reason) = Self::parse(&String::from_utf8_lossy(&value)) else { continue };
            if reason.protocol == ReasonProtocol::Q850 {
                return Some(reason);
            }
            first.get_or_insert(reason);
        }
        first
    }

    fn parse(value: &str) -> Option<Self> {
        let (protocol, mut rest) = value.split_once(';').unwrap_or((value, ""));
        let protocol = protocol.trim();
        let protocol = match protocol {
            "" => return None,
            _ if protocol.eq_ignore_ascii_case("Q.850") => ReasonProtocol::Q850,
            _ if protocol.eq_ignore_ascii_case("SIP") => ReasonProtocol::Sip,
            other => ReasonProtocol::Other(other.to_owned()),
        };
        let mut reason = Self { protocol, cause: None, text: None };
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim().trim_start_matches(';').trim();
            let after = after.trim_start();
            let text;
            (text, rest) = match after.strip_prefix('"') {
                Some(quoted) => unquote(quoted),
                None => {
                    let (text, rest) = after.split_once(';').unwrap_or((after, ""));
                    (text.trim().to_owned(), rest)
                }
            };
            if name.eq_ignore_ascii_case("cause") {
                reason.cause = text.parse().ok();
            } else if name.eq_ignore_ascii_case("text") {
                reason.text = Some(text);
            }
        }
        Some(reason)
    }

    /// The header to send.
    pub(crate) fn to_header(&self) -> Header {
        let mut value = match &self.protocol {
            ReasonProtocol::Q850 => "Q.850".to_owned(),
            ReasonProtocol::Sip => "SIP".to_owned(),
            ReasonProtocol::Other(name) => name.clone(),
        };
        if let Some(cause) = self.cause {
            value.push_str(";cause=");
            value.push_str(&cause.to_string());
        }
        if let Some(text) = &self.text {
            value.push_str(";text=\"");
            for character in text.chars() {
                if matches!(character, '"' | '\\') {
                    value.push('\\');
                }
                value.push(character);
            }
            value.push('"');
        }
        Header::new(HeaderName::Reason, HeaderValue::cleaned(&value))
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (text, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            other => text.push(other),
        }
    }
    (text, "")
}

/// The most values that are looked at.
const MAX_VALUES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cause_and_text_in_any_order() {
        let reason = ReasonHeader::parse("Q.850 ;text=\"busy; \\\"now\\\"\" ; cause=17").unwrap();
        assert_eq!(reason.protocol, ReasonProtocol::Q850);
        assert_eq!(reason.cause, Some(17));
        assert_eq!(reason.text.as_deref(), Some("busy; \"now\""));
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for reason in [
            ReasonHeader::q850(16),
            ReasonHeader::sip(486),
            ReasonHeader {
                protocol: ReasonProtocol::Other("X.1".into()),
                cause: None,
                text: Some("a \\ \"b\"".into()),
            },
        ] {
            assert_eq!(ReasonHeader::parse(reason.to_header().value.as_str()), Some(reason));
        }
    }

    #[test]
    fn nonsense_is_no_reason() {
        assert_eq!(ReasonHeader::parse(" ;cause=1"), None);
        assert_eq!(ReasonHeader::parse("SIP;cause=70000").unwrap().cause, None);
        assert_eq!(ReasonHeader::parse("SIP;text=\"open").unwrap().text.as_deref(), Some("open"));
    }
}
