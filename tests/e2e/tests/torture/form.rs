//! Whether what the node writes is well-formed: its answers here, and what leaves for a far end.

use std::net::SocketAddr;
use tandem_e2e::SipText;
use tandem_sip::message::{HeaderName, Message, NameAddr, Via};

/// What is wrong with the form of an answer to `request`, which came from `source`.
pub(crate) fn faults_of_answer(request: &[u8], answer: &[u8], source: SocketAddr) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(what.to_owned());
    let read = match Message::parse(answer) {
        Ok(read) if !read.is_request() => read,
        Ok(_) => return vec!["it is a request".to_owned()],
        Err(error) => return vec![format!("it cannot be read: {error}")],
    };
    let Some(text) = SipText::parse(answer) else { return vec!["it is no SIP".to_owned()] };
    for name in ["From", "To", "Call-ID", "CSeq", "Content-Length"] {
        if text.all(name).count() != 1 {
            fault(&format!("not one {name}"));
        }
    }
    if text.header("Content-Length").and_then(|length| length.parse().ok()) != Some(text.body.len()) {
        fault("Content-Length is not the length");
    }
    if text.status() != Some(100) && read.to_tag().is_none() {
        fault("no To tag");
    }
    let top = read.top_via();
    if top.received() != Some(source.ip()) {
        fault("received is not where it came from");
    }
    match Message::parse(request) {
        Ok(request) => {
            let unmarked = |vias: Vec<Via>| -> Vec<String> { vias.into_iter().map(without_source).collect() };
            if unmarked(read.vias()) != unmarked(request.vias()) {
                fault("Via is not as it was");
            }
            if request.top_via().wants_rport() && top.rport() != Some(source.port()) {
                fault("rport is not the port it came from");
            }
            if read.from() != request.from() {
                fault("From is not as it was");
            }
            let untagged = |mut to: NameAddr| {
                to.params.remove("tag");
                to
            };
            if untagged(read.to()) != untagged(request.to())
                || request.to_tag().is_some_and(|tag| read.to_tag() != Some(tag))
            {
                fault("To is not as it was");
            }
            if read.call_id() != request.call_id() {
                fault("Call-ID is not as it was");
            }
            if read.cseq() != request.cseq() {
                fault("CSeq is not as it was");
            }
        }
        Err(_) => faults.extend(faults_of_refusal(request, &text)),
    }
    faults
}

/// Of a request that cannot be read as a whole: what stands in it once and plainly must stand in the answer.
fn faults_of_refusal(request: &[u8], answer: &SipText) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(request) = SipText::parse(request) else { return faults };
    let only = |name: &str| {
        let values: Vec<&str> =
            request.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        <[&str; 1]>::try_from(values).ok().map(|[only]| only).filter(|only| !only.is_empty())
    };
    if let Some(call_id) = only("Call-ID")
        && answer.call_id() != call_id
    {
        faults.push(format!("Call-ID is {:?}, not {call_id:?}", answer.call_id()));
    }
    if let Some((number, method)) = only("CSeq").and(request.cseq())
        && number < 1 << 31
        && method.bytes().all(|octet| octet.is_ascii_alphabetic())
        && answer.cseq() != Some((number, method))
    {
        faults.push(format!("CSeq is {:?}, not {number} {method}", answer.cseq()));
    }
    for name in ["From", "To"] {
        let uri = |text: &SipText| text.address(name).map(str::to_owned);
        if only(name).is_some() && uri(answer) != uri(&request) {
            faults.push(format!("{name} is {:?}, not {:?}", uri(answer), uri(&request)));
        }
    }
    let branch = |text: &SipText| {
        let via = text.header("Via")?.split(',').next()?.to_owned();
        via.split(';').find_map(|param| param.trim().strip_prefix("branch=").map(str::to_owned))
    };
    if only("Via").is_some() && branch(&request).is_some() && branch(answer) != branch(&request) {
        faults.push(format!("branch is {:?}, not {:?}", branch(answer), branch(&request)));
    }
    faults
}

/// What is wrong with an INVITE that left for a far end: all of it is ours, nothing of a caller passes but what we know.
pub(crate) fn faults_of_invite(invite: &SipText) -> Vec<String> {
    let mut faults = Vec::new();
    let unknown = invite.headers.iter().filter(|(name, _)| !ONWARD.contains(&name.as_str()));
    faults.extend(unknown.map(|(name, _)| format!("it has {name}")));
    let values = invite.headers.iter().map(|(_, value)| value.as_str()).chain([invite.start.as_str()]);
    faults.extend(
        values.filter(|value| value.contains(char::is_control)).map(|value| format!("control characters in {value:?}")),
    );
    let mut octets = invite.start.clone().into_bytes();
    for (name, value) in &invite.headers {
        octets.extend_from_slice(format!("\r\n{name}: {value}").as_bytes());
    }
    octets.extend_from_slice(b"\r\n\r\n");
    octets.extend_from_slice(&invite.body);
    match Message::parse(&octets) {
        Ok(message) if message.vias().len() == 1 && message.header(&HeaderName::Route).is_none() => {}
        Ok(_) => faults.push("it has a way that is not ours".to_owned()),
        Err(error) => faults.push(format!("it cannot be read: {error}")),
    }
    faults
}

/// received and rport are the server's to set.
fn without_source(mut via: Via) -> String {
    via.params.remove("received");
    via.params.remove("rport");
    via.to_string()
}

/// The headers of an INVITE of ours.
const ONWARD: [&str; 13] = [
    "Via",
    "Max-Forwards",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Allow",
    "Supported",
    "Accept",
    "User-Agent",
    "Content-Type",
    "Content-Length",
];
