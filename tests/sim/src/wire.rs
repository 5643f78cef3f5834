//! SIP on the wire, read without the code that is under test.

/// A message that the watchers look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sip<'a> {
    head: &'a str,
    body: &'a str,
}

impl<'a> Sip<'a> {
    /// `None` for what is no message, a keep-alive for one.
    pub(crate) fn read(octets: &'a [u8]) -> Option<Self> {
        let (head, body) = std::str::from_utf8(octets).ok()?.split_once("\r\n\r\n")?;
        Some(Self { head, body })
    }

    pub(crate) fn first_line(self) -> &'a str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The code of a response.
    pub(crate) fn status(self) -> Option<u16> {
        self.head.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Of the request, or of that which is answered.
    pub(crate) fn method(self) -> &'a str {
        self.header("CSeq").split_once(' ').map_or("", |(_, method)| method)
    }

    pub(crate) fn cseq(self) -> u32 {
        self.header("CSeq").split_once(' ').and_then(|(number, _)| number.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn call_id(self) -> &'a str {
        self.header("Call-ID")
    }

    /// That of the topmost Via.
    pub(crate) fn branch(self) -> &'a str {
        parameter(self.header("Via"), "branch")
    }

    pub(crate) fn to_tag(self) -> &'a str {
        parameter(self.header("To"), "tag")
    }

    /// The first of that name.
    pub(crate) fn header(self, name: &str) -> &'a str {
        let mut lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub(crate) const fn body(self) -> &'a str {
        self.body
    }
}

fn parameter<'a>(value: &'a str, name: &str) -> &'a str {
    let mut parameters = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(found, _)| *found == name).map_or("", |(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_watchers_need() {
        let text = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport=5060\r\nTo: <sip:b@c;x=y>;tag=t\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\nv=0";
        let sip = Sip::read(text).unwrap();
        assert_eq!((sip.status(), sip.method(), sip.cseq(), sip.call_id()), (Some(200), "INVITE", 7, "c"));
        assert_eq!((sip.branch(), sip.to_tag(), sip.body()), ("z9hG4bKa", "t", "v=0"));
    }
}
