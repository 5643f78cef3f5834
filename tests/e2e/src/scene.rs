//! What a SIPp does in a call, step by step: written here as what is heard and said, and given to it as the XML that it reads.

use std::time::Duration;

/// The steps of one call at a SIPp. Each step that hears something is a check of SIPp's own: what comes instead fails the call.
#[derive(Clone, Debug)]
pub struct Scene {
    steps: String,
    /// Variables of the XML, which wants each to be named once more.
    variables: Vec<String>,
    side: Side,
    /// Whether a proxy is between it and the node: its messages have two Via.
    is_behind_proxy: bool,
    /// The number of its last request, of its last transaction, and both of its last INVITE.
    cseq: u32,
    transaction: u32,
    invite: (u32, u32),
    /// Whether there is a dialog that its next request is in.
    in_dialog: bool,
    /// Its last request.
    last: String,
    /// What it says of itself: where it is, in Via, and its user in Contact.
    sent_by: String,
    user: String,
    /// What its INVITE is for.
    called: String,
    counts_repeats: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Caller,
    Callee,
}

impl Scene {
    /// It calls: its first step is a request.
    #[must_use]
    pub fn caller() -> Self {
        Self::new(Side::Caller, false)
    }

    /// It is called: its first step was to hear the INVITE.
    #[must_use]
    pub fn callee() -> Self {
        Self::new(Side::Callee, false).hears_invite()
    }

    /// It is called by way of a proxy.
    #[must_use]
    pub fn callee_behind_proxy() -> Self {
        Self::new(Side::Callee, true).hears_invite()
    }

    fn new(side: Side, is_behind_proxy: bool) -> Self {
        Self {
            steps: String::new(),
            variables: Vec::new(),
            side,
            is_behind_proxy,
            cseq: 0,
            transaction: 0,
            invite: (0, 0),
            in_dialog: side == Side::Callee,
            last: String::new(),
            sent_by: HERE.to_owned(),
            user: "sipp".to_owned(),
            called: CALLED.to_owned(),
            counts_repeats: false,
        }
    }

    /// Keeps what its later messages are made of.
    fn hears_invite(mut self) -> Self {
        let mut kept = vec![("From:", 1, "from"), ("To:", 1, "to"), ("CSeq:", 1, "cseq"), ("Via:", 1, "via1")];
        if self.is_behind_proxy {
            kept.extend([("Via:", 2, "via2"), ("Record-Route:", 1, "route")]);
        }
        let keep = |(header, place, variable): &(&str, u8, &str)| {
            format!(
                "<ereg regexp=\".*\" search_in=\"hdr\" header=\"{header}\" occurrence=\"{place}\" check_it=\"true\" \
                 assign_to=\"{variable}\"/>"
            )
        };
        let actions: String = kept.iter().map(keep).collect();
        self.variables.extend(kept.iter().map(|(_, _, variable)| (*variable).to_owned()));
        self.steps.push_str(&format!("<recv request=\"INVITE\" rrs=\"true\"><action>{actions}</action></recv>\n"));
        self
    }

    /// Every message that comes must be a step, one that repeats another as well. Else a repeat of what was answered has the answer said
    /// again, and others are passed over.
    #[must_use]
    pub const fn with_repeats_as_steps(mut self) -> Self {
        self.counts_repeats = true;
        self
    }

    pub(crate) const fn counts_repeats(&self) -> bool {
        self.counts_repeats
    }

    /// Says from here on that it is somewhere else, as who is behind NAT does without knowing better.
    #[must_use]
    pub fn claims_to_be_at(mut self, sent_by: &str) -> Self {
        sent_by.clone_into(&mut self.sent_by);
        self
    }

    /// Calls this, in SIPp's language, and not the number at the node's address.
    #[must_use]
    pub fn calls(mut self, uri: &str) -> Self {
        uri.clone_into(&mut self.called);
        self
    }

    /// Its requests are in the dialog that a provisional response has begun.
    #[must_use]
    pub const fn in_dialog(mut self) -> Self {
        self.in_dialog = true;
        self
    }

    /// Its requests are in no dialog any more.
    #[must_use]
    pub const fn outside_of_dialog(mut self) -> Self {
        self.in_dialog = false;
        self
    }

    /// Has another Contact from here on.
    #[must_use]
    pub fn moves_to(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// A request of this method, or a response of this code, comes next.
    #[must_use]
    pub fn hears(self, what: &str) -> Self {
        self.hears_with(what, &[])
    }

    /// The same, and in each of these headers (`Route:`) there is what the POSIX regular expression finds.
    #[must_use]
    pub fn hears_with(mut self, what: &str, headers: &[(&str, &str)]) -> Self {
        let mut checks = String::new();
        for (header, expression) in headers {
            let variable = format!("check{}", self.variables.len());
            let expression = expression.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            checks.push_str(&format!(
                "<ereg regexp=\"{expression}\" search_in=\"hdr\" header=\"{header}\" check_it=\"true\" assign_to=\"{variable}\"/>"
            ));
            self.variables.push(variable);
        }
        let action = if checks.is_empty() { String::new() } else { format!("<action>{checks}</action>") };
        // A route set is learnt from what makes a dialog, and a BYE has none to teach.
        let rrs = if what.starts_with('2') || what == "180" { " rrs=\"true\"" } else { "" };
        self.steps.push_str(&format!("<recv {}=\"{what}\"{rrs}>{action}</recv>\n", kind(what)));
        if what.starts_with('2') {
            self.in_dialog = true;
        }
        self
    }

    /// This may come before what comes next.
    #[must_use]
    pub fn may_hear(mut self, what: &str) -> Self {
        self.steps.push_str(&format!("<recv {}=\"{what}\" optional=\"true\"/>\n", kind(what)));
        self
    }

    /// Lets time pass. What comes meanwhile fails the call, unless it repeats what had come.
    #[must_use]
    pub fn waits(mut self, length: Duration) -> Self {
        self.steps.push_str(&format!("<pause milliseconds=\"{}\"/>\n", length.as_millis()));
        self
    }

    /// Sends an INVITE of its own, the first or a later one, with headers (a line each) and a body.
    #[must_use]
    pub fn invites(mut self, headers: &str, body: &str) -> Self {
        self.cseq += 1;
        self.transaction += 1;
        self.invite = (self.transaction, self.cseq);
        let request = self.request("INVITE", self.invite, headers, body);
        self.says_request(&request)
    }

    /// Sends another request of its own.
    #[must_use]
    pub fn asks(self, method: &str, headers: &str) -> Self {
        let cseq = self.cseq + 1;
        let mut scene = self.asks_as(method, cseq, headers);
        scene.cseq = cseq;
        scene
    }

    /// The same with this number in CSeq, right or not.
    #[must_use]
    pub fn asks_as(mut self, method: &str, cseq: u32, headers: &str) -> Self {
        self.transaction += 1;
        let request = self.request(method, (self.transaction, cseq), headers, "");
        self.says_request(&request)
    }

    /// Cancels its INVITE.
    #[must_use]
    pub fn cancels(self) -> Self {
        let request = self.request("CANCEL", self.invite, "", "");
        self.says_request(&request)
    }

    /// Acknowledges the 2xx to its INVITE, with a body.
    #[must_use]
    pub fn acknowledges(mut self, body: &str) -> Self {
        self.transaction += 1;
        let request = self.request("ACK", (self.transaction, self.invite.1), "", body);
        self.says_request(&request)
    }

    /// Acknowledges a failure: by an ACK of the INVITE's own transaction (RFC 3261 §17.1.1.3).
    #[must_use]
    pub fn acknowledges_failure(self) -> Self {
        let (number, cseq) = self.invite;
        let uri = if self.in_dialog { "[next_url]" } else { &self.called };
        let text = format!(
            "ACK {uri} SIP/2.0\nVia: SIP/2.0/[transport] {};branch={BRANCH}x{number};rport\n[last_From:]\n\
             [last_To:]\n[last_Call-ID:]\nCSeq: {cseq} ACK\nMax-Forwards: 70\nContent-Length: 0\n\n",
            self.sent_by
        );
        self.says(&text)
    }

    /// Sends its last request once more, as if it had heard nothing.
    #[must_use]
    pub fn repeats(self) -> Self {
        let last = self.last.clone();
        self.says(&last)
    }

    /// Responds to the INVITE that has called it and was the last to come, with headers (a line each) and a body.
    #[must_use]
    pub fn responds(self, status: &str, headers: &str, body: &str) -> Self {
        self.responds_as(TAG, status, headers, body)
    }

    /// The same, as another of those that were reached by the one INVITE: with a tag of its own.
    #[must_use]
    pub fn responds_as(self, tag: &str, status: &str, headers: &str, body: &str) -> Self {
        let fields = format!("[last_Via:]\n[last_From:]\n[last_To:];tag={tag}\n[last_CSeq:]\n[last_Record-Route:]");
        let text = self.response(&fields, status, headers, body);
        self.says(&text)
    }

    /// Responds to the INVITE that has called it, after other requests have come.
    #[must_use]
    pub fn responds_late(self, status: &str, body: &str) -> Self {
        let (via, route) = if self.is_behind_proxy { ("Via:[$via2]\n", "\nRecord-Route:[$route]") } else { ("", "") };
        let fields = format!("Via:[$via1]\n{via}From:[$from]\nTo:[$to];tag={TAG}\nCSeq:[$cseq]{route}");
        let text = self.response(&fields, status, "", body);
        self.says(&text)
    }

    /// Answers the request in the dialog, or the CANCEL, that came last.
    #[must_use]
    pub fn answers(self, status: &str, headers: &str, body: &str) -> Self {
        let text = self.response("[last_Via:]\n[last_From:]\n[last_To:]\n[last_CSeq:]", status, headers, body);
        self.says(&text)
    }

    /// Sends this as it is, in SIPp's language.
    #[must_use]
    pub fn says(mut self, text: &str) -> Self {
        self.steps.push_str(&format!("<send><![CDATA[\n{text}\n]]></send>\n"));
        self
    }

    /// The XML.
    #[must_use]
    pub fn xml(&self) -> String {
        let Self { steps, variables, .. } = self;
        let named = match variables.join(",") {
            none if none.is_empty() => none,
            some => format!("<Reference variables=\"{some}\"/>\n"),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<!DOCTYPE scenario SYSTEM \"sipp.dtd\">\n\
             <scenario name=\"scene\">\n{steps}{named}</scenario>\n"
        )
    }

    fn request(&self, method: &str, (transaction, cseq): (u32, u32), headers: &str, body: &str) -> String {
        // What belongs to the INVITE that it is about is addressed like it.
        let in_dialog = self.in_dialog && method != "CANCEL";
        let (uri, routes, tag) =
            if in_dialog { ("[next_url]", "[routes]\n", "[peer_tag_param]") } else { (self.called.as_str(), "", "") };
        let (from, to) = match self.side {
            Side::Caller => (CALLER.to_owned(), format!("To: <{CALLED}>{tag}")),
            Side::Callee => (format!("From:[$to];tag={TAG}"), "To:[$from]".to_owned()),
        };
        let hops = if headers.contains("Max-Forwards:") { "" } else { "Max-Forwards: 70\n" };
        let more = lines(headers);
        let (sent_by, contact) = (&self.sent_by, self.contact());
        format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/[transport] {sent_by};branch={BRANCH}x{transaction};rport\n\
             {routes}{from}\n{to}\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n{contact}\n{hops}{more}{}",
            content(body)
        )
    }

    fn contact(&self) -> String {
        format!("Contact: <sip:{}@{HERE};transport=[transport]>", self.user)
    }

    fn response(&self, fields: &str, status: &str, headers: &str, body: &str) -> String {
        let (contact, more) = (self.contact(), lines(headers));
        format!("SIP/2.0 {status}\n{fields}\n[last_Call-ID:]\n{contact}\n{more}{}", content(body))
    }

    fn says_request(mut self, text: &str) -> Self {
        text.clone_into(&mut self.last);
        self.says(text)
    }
}

/// PCMU from and to it, as the body of a message.
pub const SDP: &str = "v=0\no=sipp 1 1 IN IP[media_ip_type] [media_ip]\ns=-\nc=IN IP[media_ip_type] [media_ip]\nt=0 0\n\
                       m=audio [media_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000\n";

fn content(body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    format!("{kind}Content-Length: [len]\n\n{body}")
}

fn lines(headers: &str) -> String {
    if headers.is_empty() { String::new() } else { format!("{headers}\n") }
}

fn kind(what: &str) -> &'static str {
    if what.starts_with(|first: char| first.is_ascii_digit()) { "response" } else { "request" }
}

const CALLED: &str = "sip:[service]@[remote_ip]:[remote_port]";
const CALLER: &str = "From: <sip:+4930901820@[local_ip]:[local_port]>;tag=[pid]call[call_number]";
const HERE: &str = "[local_ip]:[local_port]";
const TAG: &str = "[pid]sipp[call_number]";
const BRANCH: &str = "z9hG4bK[pid]x[call_number]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_request_is_in_the_dialog_and_a_cancel_is_not() {
        let xml = Scene::caller().invites("", SDP).hears("180").cancels().hears("200").xml();
        assert!(xml.contains("CANCEL sip:[service]@"), "{xml}");
        let xml = Scene::caller().invites("", SDP).hears("200").acknowledges("").asks("BYE", "X-Why: so").xml();
        assert!(xml.contains("BYE [next_url] SIP/2.0") && xml.contains("CSeq: 2 BYE"), "{xml}");
        assert!(xml.contains("[routes]") && xml.contains("X-Why: so\nContent-Length"), "{xml}");
    }
}
