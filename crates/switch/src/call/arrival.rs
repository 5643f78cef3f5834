//! A call that comes in: its INVITE, how it is refused, and the order that it amounts to.

use super::parties;
use crate::command::{InboundRefusal, Output};
use crate::resources::Resources;
use crate::route::{Invited, RouteTable, RoutedTrunk, accounts_of};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_model::{
    AccountId, Connect, DialOrder, DialTarget, EMERGENCY_NUMBERS, HangupCause, Identified, InboundReceipt, JsonText,
    Now, Reason, Receipt, Record, RefusalId, RefusalKind, RefusedInvite, RefusedPeer, TrunkStatus,
};
use tandem_sip::endpoint::{Flow, InviteSummary, SessionId};
use tandem_sip::message::{Header, HeaderName, HeaderValue, SipUri, StatusCode, Uri};

/// An INVITE that came in and has no final answer yet.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(super) session: SessionId,
    /// When it came.
    pub(super) at: Instant,
    pub(super) flow: Flow,
    pub(super) request_uri: String,
    pub(super) sip_call_id: String,
    pub(super) to_tag: String,
    pub(super) raw: Arc<[u8]>,
    /// How often it may still be passed on.
    pub(super) max_forwards: u8,
    pub(super) sdp: Option<Vec<u8>>,
    pub(crate) invited: Invited,
}

/// The trunk that a call came in by, and what decided so.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(super) trunk: Arc<RoutedTrunk>,
    pub(super) steps: Vec<Identified>,
}

/// Why a call that came in is not taken.
#[derive(Debug)]
pub(super) struct NotTaken {
    pub(super) kind: RefusalKind,
    pub(super) reason: Reason,
    pub(super) status: StatusCode,
}

impl Arrival {
    pub(crate) fn new(session: SessionId, request: InviteSummary, at: Instant) -> Self {
        let (host, user) = host_and_user(&request.request_uri);
        let (_, from_user) = host_and_user(&request.from.uri);
        let request_uri = told(&request.request_uri);
        Self {
            invited: Invited { source: request.flow.remote, host, user, from_user },
            session,
            at,
            flow: request.flow,
            request_uri,
            sip_call_id: request.call_id,
            to_tag: request.to_tag,
            raw: request.raw,
            max_forwards: request.max_forwards,
            sdp: request.sdp,
        }
    }

    /// The order that the trunk's rules make of it, or else the number that its account has, or else the trunk's default; with the name
    /// of the rule.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(super) fn order(
        &self,
        entrance: &Entrance,
        table: &RouteTable,
        now: Now,
    ) -> Result<(DialOrder, String), NotTaken> {
        let trunk = &entrance.trunk.trunk;
        if trunk.status != TrunkStatus::Active {
            return Err(NotTaken::forbidden(Reason::TrunkNotActive { status: trunk.status }));
        }
        if entrance.trunk.codecs.is_empty() {
            return Err(NotTaken::forbidden(Reason::NoUsableCodec));
        }
        let (to, from) = self.numbers(entrance);
        let rules = &trunk.inbound;
        let (connect, rule) = match (rules.rule_for(&to, &from), table.number(trunk, &to)) {
            (Some(place), _) => (rules.rules.get(place).map(|rule| rule.connect.clone()), format!("rules[{place}]")),
            (None, Some(number)) => (Some(number.connect.clone()), format!("numbers[{to}]")),
            (None, None) => (rules.default.clone(), "default".to_owned()),
        };
        let Some(connect) = connect else { return Err(NotTaken::no_rule(rules.nearest(&to))) };
        let to = self.target(to);
        if connect == Connect::Forward && matches!(to, DialTarget::Uri(_)) {
            // Who called a name has not said where it is.
            return Err(NotTaken {
                kind: RefusalKind::NoRoute,
                reason: Reason::NoRoute,
                status: StatusCode::NOT_FOUND,
            });
        }
        let order = DialOrder {
            account_id: trunk.account_id,
            call_id: None,
            asked_at: now.utc,
            to,
            from: Some(from).filter(|from| !from.is_empty()),
            trunk_id: None,
            connect,
            ring_timeout: RING_TIMEOUT,
            max_duration: MAX_DURATION,
            headers: BTreeMap::new(),
            metadata: serde_json::Map::new(),
            conversation_id: None,
        };
        Ok((order, rule))
    }

    /// The called and the calling number, in the format of the trunk.
    fn numbers(&self, entrance: &Entrance) -> (String, String) {
        let rules = &entrance.trunk.trunk.inbound;
        (rules.normalised(&self.invited.user), rules.normalised(&self.invited.from_user))
    }

    fn target(&self, number: String) -> DialTarget {
        if EMERGENCY_NUMBERS.contains(&number.as_str()) {
            return DialTarget::Emergency(number);
        }
        match number.parse() {
            Ok(number) => DialTarget::Number(number),
            Err(_) => DialTarget::Uri(self.request_uri.clone()),
        }
    }

    /// What the receipt says of the way in.
    pub(super) fn receipt(
        &self,
        entrance: Option<&Entrance>,
        steps: &[Identified],
        rule: Option<String>,
    ) -> InboundReceipt {
        InboundReceipt {
            source: self.flow.remote.to_string(),
            request_uri: self.request_uri.clone(),
            steps: steps.to_vec(),
            trunk_name: entrance.map(|entrance| entrance.trunk.trunk.name.clone()),
            rule,
            nearest: None,
        }
    }
}

impl Entrance {
    pub(crate) const fn new(trunk: Arc<RoutedTrunk>, steps: Vec<Identified>) -> Self {
        Self { trunk, steps }
    }
}

impl NotTaken {
    const fn forbidden(reason: Reason) -> Self {
        Self { kind: RefusalKind::NoTrunkAvailable, reason, status: StatusCode::FORBIDDEN }
    }

    /// The rule that came nearest, where none named the number.
    fn nearest(&self) -> Option<&str> {
        let Reason::NoInboundRule { nearest } = &self.reason else { return None };
        Some(nearest.as_str()).filter(|nearest| !nearest.is_empty())
    }

    fn no_rule(nearest: Option<&tandem_model::NumberPattern>) -> Self {
        let nearest = nearest.map(ToString::to_string).unwrap_or_default();
        Self { kind: RefusalKind::NoRoute, reason: Reason::NoInboundRule { nearest }, status: StatusCode::NOT_FOUND }
    }

    /// The node takes no calls now: the peer should try another one for a while.
    pub(super) const fn node(reason: Reason) -> Self {
        Self { kind: RefusalKind::NodeUnavailable, reason, status: StatusCode::SERVICE_UNAVAILABLE }
    }

    /// Trunk or account have all the calls they may have.
    pub(super) const fn full(kind: RefusalKind, reason: Reason) -> Self {
        Self { kind, reason, status: StatusCode::SERVICE_UNAVAILABLE }
    }

    /// The account's credit does not pay for it; that another node is asked changes nothing.
    pub(super) const fn unpaid(reason: Reason) -> Self {
        Self { kind: RefusalKind::CreditExhausted, reason, status: StatusCode::FORBIDDEN }
    }

    pub(super) const fn unusable_offer() -> Self {
        Self { kind: RefusalKind::NoRoute, reason: Reason::UnusableOffer, status: StatusCode::NOT_ACCEPTABLE_HERE }
    }

    /// 503 with Retry-After makes the peer leave us alone, all calls of it: right when the node is the matter, wrong for a full trunk.
    const fn retry_after(&self) -> Option<u32> {
        match self.kind {
            RefusalKind::NodeUnavailable => Some(NODE_RETRY_SECONDS),
            RefusalKind::NoRoute
            | RefusalKind::EmergencyNotRouted
            | RefusalKind::TargetNotAllowed
            | RefusalKind::TierLimit
            | RefusalKind::CreditExhausted
            | RefusalKind::CpsLimit
            | RefusalKind::NoTrunkAvailable => None,
        }
    }
}

/// Answers an INVITE that begins a call and comes from where no trunk is known, and keeps nothing of it: strangers knock all day long.
/// False when the octets are something else.
pub(crate) fn turn_stranger_away(flow: &Flow, octets: &[u8], resources: &mut Resources, now: Now) -> bool {
    let id = RefusalId::new(now.utc, resources.random_bytes());
    let status = StatusCode::FORBIDDEN;
    match resources.endpoint.turn_away(flow, octets, status, vec![reference(id)]) {
        Some(sip_call_id) => log(id, *flow, sip_call_id, status, STRANGER, Vec::new(), resources),
        None => return false,
    }
    true
}

/// The same for one that was taken in before that was known, for its octets are unusual.
pub(crate) fn refuse_stranger(arrival: &Arrival, resources: &mut Resources, now: Now) {
    let id = RefusalId::new(now.utc, resources.random_bytes());
    resources.endpoint.refuse(arrival.session, StatusCode::FORBIDDEN, vec![reference(id)], now.instant);
    log(id, arrival.flow, arrival.sip_call_id.clone(), StatusCode::FORBIDDEN, STRANGER, Vec::new(), resources);
}

/// Several trunks may be the one that is calling, or none of those that may takes calls. Each account is told of its own trunks only.
pub(crate) fn refuse_unidentified(
    arrival: &Arrival,
    trunks: &[Arc<RoutedTrunk>],
    steps: &[Identified],
    resources: &mut Resources,
    now: Now,
) {
    let id = RefusalId::new(now.utc, resources.random_bytes());
    let status = StatusCode::FORBIDDEN;
    resources.endpoint.refuse(arrival.session, status, vec![reference(id)], now.instant);
    let names =
        trunks.iter().take(MAX_LOGGED).map(|entry| format!("{} ({})", entry.trunk.name, entry.trunk.id)).collect();
    let is_ambiguous = !steps.is_empty();
    let explanation =
        if is_ambiguous { "several trunks may be the one that is calling" } else { "its trunks take no calls" };
    log(id, arrival.flow, arrival.sip_call_id.clone(), status, explanation, names, resources);
    for account_id in accounts_of(trunks).into_iter().take(MAX_ACCOUNTS_TOLD) {
        let own: Vec<_> = trunks.iter().filter(|entry| entry.trunk.account_id == account_id).collect();
        let trunks = u32::try_from(own.len()).unwrap_or(u32::MAX);
        let reason = if is_ambiguous { Reason::CallerAmbiguous { trunks } } else { Reason::OutboundOnly };
        let not_taken = NotTaken { kind: RefusalKind::NoTrunkAvailable, reason, status };
        let only = <[_; 1]>::try_from(own).ok().map(|[only]| Entrance::new(Arc::clone(only), Vec::new()));
        // The same reference for all of them: it is what the peer was told.
        let refused = Refused { id, account_id, entrance: only.as_ref(), steps, rule: None, not_taken: &not_taken };
        refused.record(arrival, resources, now);
    }
}

/// A trunk is calling, but its call is not taken.
pub(super) fn refuse(
    arrival: &Arrival,
    entrance: &Entrance,
    rule: Option<String>,
    not_taken: &NotTaken,
    resources: &mut Resources,
    now: Now,
) {
    let id = RefusalId::new(now.utc, resources.random_bytes());
    let mut headers = vec![reference(id)];
    headers
        .extend(not_taken.retry_after().map(|seconds| Header::new(HeaderName::RetryAfter, HeaderValue::from(seconds))));
    resources.endpoint.reject(arrival.session, not_taken.status, headers, now.instant);
    let trunk = &entrance.trunk.trunk;
    log(
        id,
        arrival.flow,
        arrival.sip_call_id.clone(),
        not_taken.status,
        not_taken.reason.code(),
        vec![format!("{} ({})", trunk.name, trunk.id)],
        resources,
    );
    let account_id = trunk.account_id;
    let refused = Refused { id, account_id, entrance: Some(entrance), steps: &entrance.steps, rule, not_taken };
    refused.record(arrival, resources, now);
}

fn log(
    id: RefusalId,
    flow: Flow,
    sip_call_id: String,
    status: StatusCode,
    explanation: &'static str,
    trunks: Vec<String>,
    resources: &mut Resources,
) {
    let sip_status = status.as_u16();
    resources.traffic.invite_refused(RefusedPeer { is_stranger: trunks.is_empty(), sip_status });
    resources.push(Output::Refused(InboundRefusal { id, flow, sip_call_id, sip_status, explanation, trunks }));
}

const STRANGER: &str = "no trunk names this address";

/// An INVITE that was refused, as one of the accounts concerned is told of it.
struct Refused<'a> {
    id: RefusalId,
    account_id: AccountId,
    /// The trunk, where it is known.
    entrance: Option<&'a Entrance>,
    steps: &'a [Identified],
    /// The rule of the trunk that named the number, if one did.
    rule: Option<String>,
    not_taken: &'a NotTaken,
}

impl Refused<'_> {
    fn record(self, arrival: &Arrival, resources: &mut Resources, now: Now) {
        let Self { id, account_id, entrance, steps, rule, not_taken } = self;
        let (to, from) = match entrance {
            Some(entrance) => arrival.numbers(entrance),
            None => (arrival.invited.user.clone(), arrival.invited.from_user.clone()),
        };
        let nearest = not_taken.nearest().map(str::to_owned);
        let receipt = Receipt {
            account_id,
            decided_at: now.utc,
            to: to.clone(),
            from: Some(from.clone()),
            inbound: Some(InboundReceipt { nearest, ..arrival.receipt(entrance, steps, rule) }),
            routing_revision: resources.table.revision(),
            considered: Vec::new(),
            attempts: Vec::new(),
            refusal: Some(parties::refusal(not_taken.kind, not_taken.reason.clone())),
        };
        resources.record(Record::Refusal(Box::new(RefusedInvite {
            id,
            account_id,
            at: now.utc,
            trunk_id: entrance.map(|entrance| entrance.trunk.trunk.id),
            from_number: from,
            to_number: to,
            sip_call_id: arrival.sip_call_id.clone(),
            sip_status: not_taken.status.as_u16(),
            reason: not_taken.reason.code().to_owned(),
            receipt: JsonText::new(&receipt),
        })));
    }
}

/// What the peer is told: nothing but a reference, by which an operator finds the reason (RFC 3261 §20.43, code 399).
fn reference(id: RefusalId) -> Header {
    Header::new(HeaderName::Warning, HeaderValue::cleaned(&format!("399 tandem \"refused, reference {id}\"")))
}

/// What a caller who waits is told of the end of the call, by its cause (RFC 3398 §7.2.4.1), where the far end has said nothing that
/// is worth passing on.
pub(super) fn status_for_caller(cause: HangupCause, far_status: Option<u16>) -> StatusCode {
    // Its own words, unless they were about us: our credentials, our time-outs, our transport.
    let is_of_callee = |status: &u16| matches!(status, 404 | 410 | 480 | 484 | 486 | 488 | 600 | 603 | 604 | 606);
    if let Some(status) = far_status.filter(is_of_callee).and_then(|status| StatusCode::new(status).ok()) {
        return status;
    }
    // That a carrier does not take our password is not the caller's fault.
    if cause == HangupCause::AuthenticationFailed {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let code = match cause.q850() {
        1..=3 => 404,
        17 => 486,
        21 => 403,
        22 => 410,
        27 | 34 | 38 | 41 | 42 | 44 | 47 => 503,
        28 => 484,
        58 | 65 | 79 | 88 => 488,
        102 => 504,
        111 | 127 => 500,
        _ => 480,
    };
    StatusCode::new(code).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR)
}

/// The host and the user of a URI, as text; a `tel:` URI is all user.
fn host_and_user(uri: &Uri) -> (String, String) {
    match uri {
        Uri::Sip(uri) => {
            let user = uri.user().unwrap_or_default();
            (uri.host.to_string().to_ascii_lowercase(), plain(&user))
        }
        Uri::Tel(tel) => (String::new(), plain(&tel.digits())),
        Uri::Other(_) => (String::new(), String::new()),
    }
}

/// A called or calling number or name as it is looked at and kept: an escape may have hidden a NUL or a line break, which records, logs
/// and databases do not take. What replaces it is no blank, so that nothing with it passes for a number.
fn plain(user: &str) -> String {
    let visible = |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
    user.chars().take(MAX_USER).map(visible).collect()
}

/// A Request-URI as it is kept: without the password that it may have.
fn told(uri: &Uri) -> String {
    let text = match uri {
        Uri::Sip(uri) => SipUri { password: None, ..uri.clone() }.to_string(),
        Uri::Tel(_) | Uri::Other(_) => uri.to_string(),
    };
    text.chars().take(MAX_REQUEST_URI).collect()
}

/// How long those who are called for a caller may ring: as for calls that are ordered.
const RING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a call that came in may last: as for calls that are ordered.
const MAX_DURATION: Duration = Duration::from_secs(4 * 3_600);
/// Characters of a called or calling number or name that are looked at and kept.
const MAX_USER: usize = 255;
/// Characters of a Request-URI that are kept.
const MAX_REQUEST_URI: usize = 1_024;
/// Retry-After when the node takes no calls.
const NODE_RETRY_SECONDS: u32 = 10;
/// Trunks named in one line of the log.
const MAX_LOGGED: usize = 8;
/// Accounts that get a record of one ambiguous INVITE.
const MAX_ACCOUNTS_TOLD: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn escaped_control_characters_are_no_part_of_a_name_or_number() {
        let (host, user) = host_and_user(&uri("sip:nul%00line%0D%0Abreak%1B@Sw.Example.com"));
        assert_eq!((host.as_str(), user.as_str()), ("sw.example.com", "nul\u{fffd}line\u{fffd}\u{fffd}break\u{fffd}"));
        let (_, user) = host_and_user(&uri("sip:+1202%00555%C2%850100@sw.example.com"));
        assert_eq!(user, "+1202\u{fffd}555\u{fffd}0100");
    }

    #[test]
    fn a_password_of_the_request_uri_is_not_kept() {
        assert_eq!(told(&uri("sip:user:secret@sw.example.com;x=1")), "sip:user@sw.example.com;x=1");
        assert_eq!(told(&uri("tel:+1-202-555-0100")), "tel:+1-202-555-0100");
    }
}
