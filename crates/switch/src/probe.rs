use crate::command::{Output, ProbeFailure, ProbeResult, Reply, ReplyId, ResolveId, Resolved};
use crate::config::MAX_FORWARDS;
use crate::deadlines::Deadlines;
use crate::health::{Evidence, Pace};
use crate::resources::Resources;
use crate::route::{RouteTable, RoutedTrunk};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_model::{HealthStatus, Now, Reason, TrunkHealth, TrunkId, TrunkStatus};
use tandem_sip::endpoint::{Flow, OutgoingRequest, RequestFailure, RequestId, ResponseSummary};
use tandem_sip::message::{Method, NameAddr, SipUri, StatusCode};

/// Signs of life that trunks are asked for (OPTIONS, RFC 3261 §11): each trunk in service at its interval, and any when somebody asks.
#[derive(Debug)]
pub(crate) struct Probes {
    under_way: BTreeMap<u64, Probe>,
    resolving: BTreeMap<ResolveId, u64>,
    requests: BTreeMap<RequestId, u64>,
    /// Until when each probe under way is waited for.
    timeouts: Deadlines<u64>,
    /// When each trunk is probed by itself.
    schedule: Deadlines<TrunkId>,
    /// Probes under way that nobody waits for.
    scheduled: usize,
}

#[derive(Debug)]
struct Probe {
    trunk: Arc<RoutedTrunk>,
    /// Who waits for it; nobody when its time had come.
    reply: Option<ReplyId>,
    began: Instant,
    patience: Duration,
    sent: Option<Sent>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    request: RequestId,
    target: SocketAddr,
    at: Instant,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            under_way: BTreeMap::new(),
            resolving: BTreeMap::new(),
            requests: BTreeMap::new(),
            timeouts: Deadlines::new(),
            schedule: Deadlines::new(),
            scheduled: 0,
        }
    }
}

impl Probes {
    /// Takes the trunks of new routes: those in service are watched and, unless their configuration says never, probed.
    pub(crate) fn take_routes(&mut self, table: &RouteTable, resources: &mut Resources, now: Now) {
        let is_in_service = |entry: &RoutedTrunk| entry.trunk.status == TrunkStatus::Active;
        let in_service = |id: TrunkId| table.trunk(id).is_some_and(|entry| is_in_service(entry));
        let former: Vec<TrunkId> = self.schedule.keys().filter(|id| !in_service(*id)).collect();
        former.into_iter().for_each(|id| self.schedule.set(id, None));
        resources.health.retain(in_service, &mut resources.capacity);
        for entry in table.trunks().filter(|entry| is_in_service(entry)) {
            let id = entry.trunk.id;
            let is_new = resources.health.watch(entry, &mut resources.capacity, now);
            let Some(interval) = entry.trunk.options_interval() else {
                self.schedule.set(id, None);
                continue;
            };
            let is_late = match self.schedule.get(id) {
                Some(due) => due > now.instant + interval,
                None => self.under_way.values().all(|probe| probe.trunk.trunk.id != id),
            };
            if is_new || is_late {
                let wait = random_part(interval.min(FIRST_WITHIN), resources);
                self.schedule.set(id, Some(now.instant + wait));
            }
        }
    }

    /// Probes a trunk for somebody who waits.
    pub(crate) fn start(&mut self, trunk: Arc<RoutedTrunk>, reply: ReplyId, resources: &mut Resources, now: Now) {
        if self.under_way.len() >= MAX_PROBES {
            let result = ProbeResult::failed(ProbeFailure::Busy, None, now.utc);
            return resources.push(Output::Reply(reply, Reply::Probed(Some(Box::new(result)))));
        }
        self.begin(trunk, Some(reply), PROBE_TIMEOUT, resources, now);
    }

    fn begin(
        &mut self,
        trunk: Arc<RoutedTrunk>,
        reply: Option<ReplyId>,
        patience: Duration,
        resources: &mut Resources,
        now: Now,
    ) {
        let (transport, host) = (trunk.next_hop.transport, trunk.next_hop.host.clone());
        let number = resources.next_number();
        self.scheduled += usize::from(reply.is_none());
        self.under_way.insert(number, Probe { trunk, reply, began: now.instant, patience, sent: None });
        self.timeouts.set(number, Some(now.instant + patience));
        if !transport.is_supported() {
            let failure = ProbeFailure::Unroutable(Reason::TransportUnsupported { transport });
            return self.failed(number, failure, None, resources, now);
        }
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
        let Some(next_hop) = self.under_way.get(&number).map(|probe| &probe.trunk.next_hop) else { return };
        let reachable = |address: &&IpAddr| resources.config.path_to(next_hop.transport, **address).is_some();
        let addresses = resolved.as_deref().unwrap_or_default();
        match addresses.iter().find(reachable).or(addresses.first()) {
            Some(address) => self.send(number, *address, resources, now),
            None => {
                let host = next_hop.host.to_string();
                self.failed(number, ProbeFailure::Unresolvable { host }, None, resources, now);
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
            Err(failure) => return self.failed(number, failure, Some(target), resources, now),
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
        let Some(probe) = self.under_way.get(&number) else { return };
        let target = probe.sent.map(|sent| sent.target);
        match outcome {
            Ok(response) => {
                let result = answered(&response, probe.sent, now);
                self.end(number, result, resources, now);
            }
            Err(RequestFailure::Timeout) => {
                let failure = no_response(probe.patience);
                self.failed(number, failure, target, resources, now);
            }
            Err(RequestFailure::Transport) => {
                self.failed(number, ProbeFailure::TransportError, target, resources, now);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        // With as many as there may be under way, the end of one goes on.
        let due = self.schedule.earliest().filter(|_| self.scheduled < MAX_SCHEDULED);
        [self.timeouts.earliest(), due].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, resources: &mut Resources, now: Now) {
        while let Some(number) = self.timeouts.pop_due(now.instant) {
            let Some(probe) = self.under_way.get(&number) else { continue };
            match probe.sent {
                Some(sent) => drop(self.requests.remove(&sent.request)),
                None => self.resolving.retain(|_, waiting| *waiting != number),
            }
            let (target, failure) = (probe.sent.map(|sent| sent.target), no_response(probe.patience));
            self.failed(number, failure, target, resources, now);
        }
        while self.scheduled < MAX_SCHEDULED {
            let Some(id) = self.schedule.pop_due(now.instant) else { break };
            let Some(trunk) = resources.table.trunk(id).map(Arc::clone) else { continue };
            if let Some(patience) = resources.health.patience(id) {
                self.begin(trunk, None, patience, resources, now);
            }
        }
    }

    fn failed(
        &mut self,
        number: u64,
        failure: ProbeFailure,
        target: Option<SocketAddr>,
        resources: &mut Resources,
        now: Now,
    ) {
        self.end(number, ProbeResult::failed(failure, target, now.utc), resources, now);
    }

    /// A probe has come to its end: the trunk's health takes it in, its next probe is set, and who waits is told.
    fn end(&mut self, number: u64, mut result: ProbeResult, resources: &mut Resources, now: Now) {
        let Some(probe) = self.under_way.remove(&number) else { return };
        self.timeouts.set(number, None);
        self.scheduled -= usize::from(probe.reply.is_none());
        let id = probe.trunk.trunk.id;
        let capacity = &mut resources.capacity;
        if let Some(evidence) = evidence(&result)
            && let Some(report) = resources.health.probed(&probe.trunk, probe.began, evidence, capacity, now)
        {
            resources.push(Output::Health(Box::new(report)));
        }
        result.trunk = resources.health.measured(id, &resources.capacity, now).map(Box::new);
        if resources.health.watches(&probe.trunk) {
            let wait = match resources.health.pace(id, now.instant) {
                Some(Pace::Usual(span)) => Some(span - random_part(span / JITTER, resources)),
                Some(Pace::InDoubt(span)) => Some(span),
                None => None,
            };
            self.schedule.set(id, wait.map(|wait| now.instant + wait));
        }
        if let Some(reply) = probe.reply {
            resources.push(Output::Reply(reply, Reply::Probed(Some(Box::new(result)))));
        }
    }
}

/// What a probe says of its trunk; `None` when there was no probe.
fn evidence(result: &ProbeResult) -> Option<Evidence> {
    let latency_us = result.health.latency_us.unwrap_or_default();
    match &result.failure {
        Some(ProbeFailure::NoResponse { .. }) => Some(Evidence::Silent),
        Some(ProbeFailure::TransportError) => Some(Evidence::NotSent),
        Some(ProbeFailure::Unresolvable { .. }) => Some(Evidence::Unresolvable),
        Some(ProbeFailure::Unroutable(_)) => Some(Evidence::Unroutable),
        Some(ProbeFailure::Busy) => None,
        None if result.sip_status == Some(StatusCode::REQUEST_TIMEOUT.as_u16()) => Some(Evidence::Silent),
        None if result.health.status == HealthStatus::Healthy => Some(Evidence::Alive { latency_us }),
        None => Some(Evidence::TakesNoCalls { latency_us }),
    }
}

fn answered(response: &ResponseSummary, sent: Option<Sent>, now: Now) -> ProbeResult {
    // Any answer shows that somebody is there; 503 says that it takes no calls, and 408 that who is behind it is silent.
    let is_well = response.status != StatusCode::SERVICE_UNAVAILABLE && response.status != StatusCode::REQUEST_TIMEOUT;
    let status = if is_well { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
    let round_trip = sent.map(|sent| now.instant.saturating_duration_since(sent.at));
    let latency_us = round_trip.and_then(|span| u64::try_from(span.as_micros()).ok());
    ProbeResult {
        // One probe cannot tell how many of a hundred are lost.
        health: TrunkHealth { status, checked_at: Some(now.utc), latency_us, loss_basis_points: None },
        trunk: None,
        sip_status: Some(response.status.as_u16()),
        target: sent.map(|sent| sent.target),
        failure: None,
    }
}

fn no_response(after: Duration) -> ProbeFailure {
    ProbeFailure::NoResponse { after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
}

/// A random part of a span, in whole milliseconds.
fn random_part(span: Duration, resources: &mut Resources) -> Duration {
    let bound = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    Duration::from_millis(u64::from_be_bytes(resources.random_bytes()) % bound)
}

/// Who asks waits for it, so less than the 32 s of timer F; four resends fit.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// Probes at once; an account has at most 50 trunks unless its limit was raised.
const MAX_PROBES: usize = 1_024;
/// Probes at once that nobody waits for: with all of them silent for 4 s, 64 a second still begin.
const MAX_SCHEDULED: usize = 256;
/// A trunk that is new is probed within this time, or its interval: a process that starts does not ask all at once.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// Up to so many parts of the interval the next probe comes sooner, so that those of many trunks spread.
const JITTER: u32 = 10;
