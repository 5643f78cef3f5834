use crate::command::{Output, ProbeFailure, ProbeResult, Reply, ReplyId, ResolveId, Resolved};
use crate::config::MAX_FORWARDS;
use crate::resources::Resources;
use crate::route::RoutedTrunk;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_model::{HealthStatus, Now, Reason, TrunkHealth};
use tandem_sip::endpoint::{Flow, OutgoingRequest, RequestFailure, RequestId, ResponseSummary};
use tandem_sip::message::{Method, NameAddr, SipUri, StatusCode};

/// Signs of life that trunks were asked for (OPTIONS, RFC 3261 §11).
#[derive(Debug, Default)]
pub(crate) struct Probes {
    under_way: BTreeMap<u64, Probe>,
    resolving: BTreeMap<ResolveId, u64>,
    requests: BTreeMap<RequestId, u64>,
}

#[derive(Debug)]
struct Probe {
    trunk: Arc<RoutedTrunk>,
    reply: ReplyId,
    started: Instant,
    sent: Option<Sent>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    request: RequestId,
    target: SocketAddr,
    at: Instant,
}

impl Probes {
    pub(crate) fn start(&mut self, trunk: Arc<RoutedTrunk>, reply: ReplyId, resources: &mut Resources, now: Now) {
        let mut refuse = |failure| answer(reply, ProbeResult::failed(failure, None, now.utc), resources);
        if self.under_way.len() >= MAX_PROBES {
            return refuse(ProbeFailure::Busy);
        }
        let transport = trunk.next_hop.transport;
        if !transport.is_supported() {
            return refuse(ProbeFailure::Unroutable(Reason::TransportUnsupported { transport }));
        }
        let host = trunk.next_hop.host.clone();
        let number = resources.next_number();
        self.under_way.insert(number, Probe { trunk, reply, started: now.instant, sent: None });
        match host.ip() {
            Some(address) => self.send(number, address, resources, now),
            None => {
                let id = resources.next_resolve();
                self.resolving.insert(id, number);
                resources.push(Output::Resolve { id, host: host.to_string() });
            }
        }
    }

    /// Goes on with the probe that waits for this address, if one does.
    pub(crate) fn handle_resolved(&mut self, id: ResolveId, resolved: &Resolved, resources: &mut Resources, now: Now) {
        let Some(number) = self.resolving.remove(&id) else { return };
        let transport = self.under_way.get(&number).map(|probe| probe.trunk.next_hop.transport);
        let reachable = |address: &&IpAddr| {
            transport.is_some_and(|transport| resources.config.path_to(transport, **address).is_some())
        };
        let addresses = resolved.as_deref().unwrap_or_default();
        match addresses.iter().find(reachable).or(addresses.first()) {
            Some(address) => self.send(number, *address, resources, now),
            None => {
                if let Some(probe) = self.under_way.remove(&number) {
                    let host = probe.trunk.next_hop.host.to_string();
                    let result = ProbeResult::failed(ProbeFailure::Unresolvable { host }, None, now.utc);
                    answer(probe.reply, result, resources);
                }
            }
        }
    }

    fn send(&mut self, number: u64, address: IpAddr, resources: &mut Resources, now: Now) {
        let Some(probe) = self.under_way.get_mut(&number) else { return };
        let address = address.to_canonical();
        let target = SocketAddr::new(address, probe.trunk.next_hop.port);
        let transport = probe.trunk.next_hop.transport;
        let path = if resources.config.address_policy.permits(address) {
            let path = resources.config.path_to(transport, address);
            path.ok_or(ProbeFailure::Unroutable(Reason::NoLocalAddress { transport, address }))
        } else {
            Err(ProbeFailure::Unroutable(Reason::PeerNotAllowed { address }))
        };
        let path = match path {
            Ok(path) => path,
            Err(failure) => {
                let reply = probe.reply;
                self.under_way.remove(&number);
                return answer(reply, ProbeResult::failed(failure, Some(target), now.utc), resources);
            }
        };
        let domain = SipUri::new(probe.trunk.domain.clone());
        let uri = probe.trunk.uri();
        let request = OutgoingRequest {
            flow: Flow { transport, local: path.local, remote: target },
            method: Method::Options,
            request_uri: uri.clone().into(),
            routes: Vec::new(),
            from: NameAddr::new(domain.with_user(&probe.trunk.trunk.sip_username)),
            to: NameAddr::new(uri),
            headers: Vec::new(),
            // Any answer is a sign of life, a challenge too: the password stays at home.
            credentials: None,
            body: None,
            max_forwards: MAX_FORWARDS,
        };
        let request = resources.endpoint.request(request, now.instant);
        probe.sent = Some(Sent { request, target, at: now.instant });
        self.requests.insert(request, number);
    }

    pub(crate) fn handle_response(
        &mut self,
        request: RequestId,
        outcome: Result<ResponseSummary, RequestFailure>,
        resources: &mut Resources,
        now: Now,
    ) {
        let Some(number) = self.requests.remove(&request) else { return };
        let Some(probe) = self.under_way.remove(&number) else { return };
        let target = probe.sent.map(|sent| sent.target);
        let result = match outcome {
            Ok(response) => alive(&response, probe.sent, now),
            Err(RequestFailure::Timeout) => ProbeResult::failed(no_response(), target, now.utc),
            Err(RequestFailure::Transport) => ProbeResult::failed(ProbeFailure::TransportError, target, now.utc),
        };
        answer(probe.reply, result, resources);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        // Probes are numbered as they start, and all wait equally long: the first is due first.
        self.under_way.first_key_value().map(|(_, probe)| probe.started + PROBE_TIMEOUT)
    }

    pub(crate) fn handle_timeout(&mut self, resources: &mut Resources, now: Now) {
        while self.poll_timeout().is_some_and(|due| due <= now.instant) {
            let Some((number, probe)) = self.under_way.pop_first() else { return };
            match probe.sent {
                Some(sent) => drop(self.requests.remove(&sent.request)),
                None => self.resolving.retain(|_, waiting| *waiting != number),
            }
            let target = probe.sent.map(|sent| sent.target);
            answer(probe.reply, ProbeResult::failed(no_response(), target, now.utc), resources);
        }
    }
}

fn alive(response: &ResponseSummary, sent: Option<Sent>, now: Now) -> ProbeResult {
    // Any answer shows that somebody is there; 503 says that it takes no calls.
    let status = if response.status == StatusCode::SERVICE_UNAVAILABLE {
        HealthStatus::Unhealthy
    } else {
        HealthStatus::Healthy
    };
    let round_trip = sent.map(|sent| now.instant.saturating_duration_since(sent.at));
    let latency_us = round_trip.and_then(|span| u64::try_from(span.as_micros()).ok());
    ProbeResult {
        // One probe cannot tell how many of a hundred are lost.
        health: TrunkHealth { status, checked_at: Some(now.utc), latency_us, loss_basis_points: None },
        sip_status: Some(response.status.as_u16()),
        target: sent.map(|sent| sent.target),
        failure: None,
    }
}

fn answer(reply: ReplyId, result: ProbeResult, resources: &mut Resources) {
    resources.push(Output::Reply(reply, Reply::Probed(Some(Box::new(result)))));
}

fn no_response() -> ProbeFailure {
    ProbeFailure::NoResponse { after_ms: u64::try_from(PROBE_TIMEOUT.as_millis()).unwrap_or(u64::MAX) }
}

/// Who asks waits for it, so less than the 32 s of timer F; four resends fit.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// Probes at once; an account has at most 50 trunks unless its limit was raised.
const MAX_PROBES: usize = 1_024;
