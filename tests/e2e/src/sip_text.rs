//! SIP messages as plain lines, read without the code under test: what it writes is judged by other eyes.

/// A message: its first line, its headers in order with long names, its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipText {
    /// The first line.
    pub start: String,
    /// Names as they came, compact ones made long; values trimmed.
    pub headers: Vec<(String, String)>,
    /// What follows the headers.
    pub body: Vec<u8>,
}

impl SipText {
    /// Reads a datagram. `None` when it is no SIP.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        if !start.starts_with("SIP/2.0 ") && !start.ends_with(" SIP/2.0") {
            return None;
        }
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((long_name(name.trim()).to_owned(), value.trim().to_owned()))
        };
        let headers = lines.map(header).collect::<Option<_>>()?;
        Some(Self { start, headers, body: bytes.get(end + 4..)?.to_vec() })
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        if self.start.starts_with("SIP/2.0 ") { None } else { self.start.split(' ').next() }
    }

    /// The code of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The Request-URI.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        self.method().and_then(|_| self.start.split(' ').nth(1))
    }

    /// The user part of the Request-URI.
    #[must_use]
    pub fn called_user(&self) -> Option<&str> {
        let (_, rest) = self.uri()?.split_once(':')?;
        rest.split_once('@').map(|(user, _)| user)
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Each line of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Call-ID, or nothing.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or_default()
    }

    /// Number and method of CSeq.
    #[must_use]
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The URI of a name-addr header, without its parameters outside of the brackets.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<&str> {
        let value = self.header(name)?;
        match value.split_once('<') {
            Some((_, rest)) => rest.split_once('>').map(|(uri, _)| uri),
            None => value.split(';').next(),
        }
    }

    /// The lines of an SDP body that begin with this letter, without it.
    pub fn sdp(&self, letter: char) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let prefix = format!("{letter}=");
        text.lines().filter_map(|line| line.strip_prefix(&prefix)).map(|value| value.trim().to_owned()).collect()
    }

    /// What it is: `INVITE` of a request, `200 BYE` of a response.
    #[must_use]
    pub fn what(&self) -> String {
        match (self.method(), self.status(), self.cseq()) {
            (Some(method), ..) => method.to_owned(),
            (None, Some(status), Some((_, method))) => format!("{status} {method}"),
            (None, _, _) => String::new(),
        }
    }

    /// What is shown when a test fails: method or code, with CSeq.
    #[must_use]
    pub fn summary(&self) -> String {
        match self.status() {
            Some(status) => format!("{status} ({})", self.header("CSeq").unwrap_or_default()),
            None => self.start.clone(),
        }
    }
}

/// The long name of a compact one (RFC 3261 §20 and the IANA registry).
fn long_name(name: &str) -> &str {
    match name.to_ascii_lowercase().as_str() {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        "l" => "Content-Length",
        "c" => "Content-Type",
        "k" => "Supported",
        "s" => "Subject",
        "e" => "Content-Encoding",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_request() {
        let text = SipText::parse(
            b"INVITE sip:s486@127.0.0.2 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nCSeq: 2 INVITE\r\n\
            Contact: <sip:a@127.0.0.1:5060>;x\r\n\r\nv=0\r\nm=audio 4 RTP/AVP 0\r\n",
        )
        .unwrap();
        assert_eq!((text.method(), text.status(), text.called_user()), (Some("INVITE"), None, Some("s486")));
        assert_eq!((text.cseq(), text.address("contact")), (Some((2, "INVITE")), Some("sip:a@127.0.0.1:5060")));
        assert!(text.header("Via").unwrap().contains("branch"));
        assert_eq!(text.sdp('m'), ["audio 4 RTP/AVP 0"]);
    }

    #[test]
    fn reads_a_response() {
        let text = SipText::parse(b"SIP/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\n\r\n").unwrap();
        assert_eq!((text.method(), text.status()), (None, Some(486)));
        assert!(SipText::parse(b"\r\n\r\n").is_none());
    }
}
