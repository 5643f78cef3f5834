use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Acked, Branch, Client, ClientMachine};
use super::server::{Server, ServerMachine};
use super::{
    ClientOwner, Fallback, InviteClient, InviteServer, NonInviteClient, NonInviteServer, OnResponse, Received, Reply,
    ServerOwner, StreamFirst,
};
use crate::deadlines::{Deadlines, Scheduled};
use crate::endpoint::{Flow, Output, PeerPolicy, Transmit};
use crate::fingerprint::RandomKeyMap;
use crate::flow_counts::FlowCounts;
use crate::message::{Header, Message, Response, StatusCode};
use crate::names;
use crate::rules::{Rule, Rules};
use crate::slab::{Key, Slab};
use crate::timer::{CANCEL_WAIT, Due};

/// All transactions of an endpoint.
pub(crate) struct Transactions {
    clients: Slab<Client>,
    by_branch: RandomKeyMap<Branch, Key>,
    servers: Slab<Server>,
    by_request: RandomKeyMap<u128, Key>,
    by_merge: RandomKeyMap<u128, Key>,
    deadlines: Deadlines<Id>,
    /// Of clients.
    flows: FlowCounts,
    stream_first: StreamFirst,
    /// User-Agent, for requests that transactions write.
    user_agent: Header,
    /// Server, for responses that they write.
    server_name: Header,
    pub(crate) rules: Rules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Client(Key),
    Server(Key),
}

/// A server transaction to be.
pub(crate) struct NewServer {
    pub(crate) fingerprint: u128,
    pub(crate) merge_fingerprint: Option<u128>,
    pub(crate) is_invite: bool,
    pub(crate) reply_flow: Flow,
    pub(crate) owner: ServerOwner,
    pub(crate) template: Response,
    pub(crate) timestamp: Option<Header>,
}

impl Transactions {
    pub(crate) fn new(user_agent: Header, server_name: Header, stream_first: StreamFirst) -> Self {
        Self {
            clients: Slab::new(),
            by_branch: RandomKeyMap::default(),
            servers: Slab::new(),
            by_request: RandomKeyMap::default(),
            by_merge: RandomKeyMap::default(),
            deadlines: Deadlines::new(),
            flows: FlowCounts::default(),
            stream_first,
            user_agent,
            server_name,
            rules: Rules::default(),
        }
    }

    /// Which requests are too large for a datagram.
    pub(crate) fn stream_first(&self) -> &StreamFirst {
        &self.stream_first
    }

    pub(crate) fn client_count(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn server_count(&self) -> usize {
        self.servers.len()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Does what is due, up to the first client transaction that gave up: its owner must hear of it. Call until `None`.
    pub(crate) fn handle_timeout(&mut self, outbox: &mut VecDeque<Output>, now: Instant) -> Option<(Key, ClientOwner)> {
        while let Some((at, id)) = self.deadlines.pop(now) {
            match id {
                Id::Client(key) => {
                    let Some(client) = self.clients.get_mut(key) else { continue };
                    if !client.scheduled.take(at) {
                        continue;
                    }
                    if client.fallback.as_ref().is_some_and(|fallback| fallback.due() <= now) {
                        self.fall_back(outbox, key, now);
                        continue;
                    }
                    let owner = client.owner;
                    match client.machine.handle_timeout(now) {
                        Due::Resend => send(outbox, client.flow, Arc::clone(&client.request)),
                        Due::GaveUp => {
                            self.settle_client(key);
                            return Some((key, owner));
                        }
                        Due::Nothing | Due::Trying | Due::Over => {}
                    }
                    self.settle_client(key);
                }
                Id::Server(key) => {
                    let Some(server) = self.servers.get_mut(key) else { continue };
                    if !server.scheduled.take(at) {
                        continue;
                    }
                    match server.machine.handle_timeout(now) {
                        Due::Resend => {
                            if let Some(last) = &server.last {
                                send(outbox, server.reply_flow, Arc::clone(last));
                            }
                        }
                        Due::Trying => {
                            if let Some(trying) = server.write_trying(&self.server_name) {
                                server.last = Some(Arc::clone(&trying));
                                send(outbox, server.reply_flow, trying);
                            }
                        }
                        Due::Nothing | Due::GaveUp | Due::Over => {}
                    }
                    self.settle_server(key);
                }
            }
        }
        None
    }

    // Clients

    /// Sends a request and waits for its response. `number` is that of the branch.
    pub(crate) fn start_client(
        &mut self,
        outbox: &mut VecDeque<Output>,
        (number, is_invite): (u64, bool),
        transmit: Transmit,
        fallback: Option<Box<Fallback>>,
        owner: ClientOwner,
        now: Instant,
    ) -> Key {
        let Transmit { flow, payload: request } = transmit;
        let reliable = flow.transport.is_reliable();
        let machine = if is_invite {
            ClientMachine::Invite(InviteClient::new(reliable, now))
        } else {
            ClientMachine::NonInvite(NonInviteClient::new(reliable, now))
        };
        send(outbox, flow, Arc::clone(&request));
        let key = self.add_client(Branch { number, is_cancel: false }, machine, request, flow, owner);
        if let Some(client) = self.clients.get_mut(key) {
            client.fallback = fallback;
        }
        self.settle_client(key);
        key
    }

    /// Sends a request as a datagram that came to nothing over a stream. False when that cannot be done.
    fn fall_back(&mut self, outbox: &mut VecDeque<Output>, key: Key, now: Instant) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        let Some(fallback) = client.fallback.take() else { return false };
        let Transmit { flow, payload } = fallback.into_transmit();
        self.stream_first.note_failure(client.flow.remote, now);
        self.flows.remove(&client.flow);
        self.flows.add(&flow);
        (client.flow, client.request) = (flow, payload);
        client.machine.restart_unreliable(now);
        send(outbox, client.flow, Arc::clone(&client.request));
        self.settle_client(key);
        true
    }

    /// Takes up an INVITE that was sent, and answered with a provisional response, by an earlier process.
    pub(crate) fn resume_invite(&mut self, number: u64, request: Arc<[u8]>, flow: Flow, owner: ClientOwner) -> Key {
        let machine = ClientMachine::Invite(InviteClient::proceeding(flow.transport.is_reliable()));
        self.add_client(Branch { number, is_cancel: false }, machine, request, flow, owner)
    }

    fn add_client(
        &mut self,
        branch: Branch,
        machine: ClientMachine,
        request: Arc<[u8]>,
        flow: Flow,
        owner: ClientOwner,
    ) -> Key {
        let scheduled = Scheduled::default();
        self.flows.add(&flow);
        let key = self.clients.insert(Client {
            branch,
            machine,
            request,
            flow,
            owner,
            fallback: None,
            acks: Vec::new(),
            scheduled,
        });
        self.by_branch.insert(branch, key);
        self.settle_client(key);
        key
    }

    /// The request of a client transaction, as sent.
    pub(crate) fn request(&self, key: Key) -> Option<(Flow, Arc<[u8]>)> {
        self.clients.get(key).map(|client| (client.flow, Arc::clone(&client.request)))
    }

    /// Finds the transaction of a response and steps it. The ACK of a failure is queued before this returns.
    pub(crate) fn handle_response(
        &mut self,
        outbox: &mut VecDeque<Output>,
        response: &Message<'_>,
        status: StatusCode,
        source: &Flow,
        peers: &dyn PeerPolicy,
        now: Instant,
    ) -> Received {
        let Some(key) = self.find_client(response) else { return Received::Stray };
        let Some(client) = self.clients.get_mut(key) else { return Received::Stray };
        if client.flow.remote != source.remote && !peers.is_same_peer(&client.flow, source.remote) {
            return Received::Foreign;
        }
        client.fallback = None;
        let on_response = client.machine.handle_response(status, now);
        let received = match on_response {
            OnResponse::Ignore => Received::Absorbed,
            OnResponse::Ack => {
                if let Some(acked) = client.acks.first() {
                    outbox.push_back(Output::Transmit(acked.transmit.clone()));
                }
                Received::Absorbed
            }
            OnResponse::DeliverAndAck => {
                if let Some(payload) = client.ack_of_failure(response, &self.user_agent) {
                    let transmit = Transmit { flow: client.flow, payload };
                    outbox.push_back(Output::Transmit(transmit.clone()));
                    client.acks.push(Acked { tag: response.to_tag().map(Box::from), transmit });
                }
                Received::For { transaction: key, owner: client.owner }
            }
            OnResponse::Deliver => {
                let acked = client.acks.iter().find(|acked| acked.tag.as_deref() == response.to_tag());
                match acked {
                    Some(acked) => {
                        if self.rules.hold(Rule::AcknowledgesEachAnswer) {
                            outbox.push_back(Output::Transmit(acked.transmit.clone()));
                        }
                        Received::Absorbed
                    }
                    None => Received::For { transaction: key, owner: client.owner },
                }
            }
        };
        self.settle_client(key);
        received
    }

    fn find_client(&self, response: &Message<'_>) -> Option<Key> {
        let number = names::number_of(response.branch()?.strip_prefix(crate::message::MAGIC_COOKIE)?)?;
        let is_cancel = response.method() == crate::message::Method::Cancel;
        self.by_branch.get(&Branch { number, is_cancel }).copied()
    }

    /// Sends the ACK of a 2xx with that tag, and remembers it for as long as the 2xx may come again.
    pub(crate) fn acknowledge(
        &mut self,
        outbox: &mut VecDeque<Output>,
        key: Key,
        tag: Option<&str>,
        transmit: Transmit,
    ) {
        outbox.push_back(Output::Transmit(transmit.clone()));
        if let Some(client) = self.clients.get_mut(key) {
            client.acks.push(Acked { tag: tag.map(Box::from), transmit });
        }
    }

    /// Whether one more fork of an INVITE may be dealt with.
    pub(crate) fn takes_fork(&self, key: Key) -> bool {
        self.clients.get(key).is_some_and(|client| client.acks.len() < MAX_FORKS)
    }

    /// Cancels an INVITE, if a provisional response has come; else stops resending it. Whether the CANCEL is out.
    pub(crate) fn cancel(
        &mut self,
        outbox: &mut VecDeque<Output>,
        key: Key,
        reason: Option<&Header>,
        now: Instant,
    ) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return true };
        let ClientMachine::Invite(machine) = &mut client.machine else { return true };
        let waits = self.rules.hold(Rule::CancelsOnlyWhatIsHeardOf);
        if machine.is_calling() && waits {
            machine.stop_resending();
            client.fallback = None;
            return false;
        }
        if !machine.is_proceeding() && waits {
            return true;
        }
        machine.limit_patience(CANCEL_WAIT, now);
        let (flow, number) = (client.flow, client.branch.number);
        if let Some(cancel) = client.cancel(reason, &self.user_agent) {
            let machine = ClientMachine::NonInvite(NonInviteClient::new(flow.transport.is_reliable(), now));
            send(outbox, flow, Arc::clone(&cancel));
            self.add_client(Branch { number, is_cancel: true }, machine, cancel, flow, ClientOwner::Nobody);
        }
        self.settle_client(key);
        true
    }

    /// Limits how long an INVITE waits for its final response.
    pub(crate) fn limit_patience(&mut self, key: Key, patience: Duration, now: Instant) {
        if let Some(client) = self.clients.get_mut(key)
            && let ClientMachine::Invite(machine) = &mut client.machine
        {
            machine.limit_patience(patience, now);
        }
        self.settle_client(key);
    }

    /// Ends all clients that wait for a response over a broken flow, but for those that can go as datagrams; the owners
    /// must hear of it.
    pub(crate) fn fail_flow(
        &mut self,
        outbox: &mut VecDeque<Output>,
        flow: &Flow,
        now: Instant,
    ) -> Vec<(Key, ClientOwner)> {
        let mut failed: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| client.flow == *flow && client.is_waiting())
            .map(|(key, client)| (key, client.owner))
            .collect();
        failed.retain(|(key, _)| !self.fall_back(outbox, *key, now));
        for (key, _) in &failed {
            self.remove_client(*key);
        }
        failed
    }

    /// Whether a client goes by that stream.
    pub(crate) fn uses_stream(&self, flow: &Flow) -> bool {
        self.flows.contains(flow)
    }

    fn settle_client(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.machine.is_terminated() {
            self.remove_client(key);
            return;
        }
        let due = client.poll_timeout();
        self.deadlines.schedule(Id::Client(key), &mut client.scheduled, due);
    }

    fn remove_client(&mut self, key: Key) {
        if let Some(client) = self.clients.remove(key) {
            self.by_branch.remove(&client.branch);
            self.flows.remove(&client.flow);
        }
    }

    // Servers

    /// The transaction that a request belongs to.
    pub(crate) fn find_server(&self, fingerprint: u128) -> Option<Key> {
        self.by_request.get(&fingerprint).copied()
    }

    /// Whether a transaction goes on that this request is a second copy of, over another path.
    pub(crate) fn is_merged(&self, merge_fingerprint: u128) -> bool {
        self.by_merge.contains_key(&merge_fingerprint)
    }

    /// Whether an ACK with the branch of this INVITE is for it: not once it was accepted, for the ACK of a 2xx is the
    /// dialog's even when an RFC 2543 peer gives it no branch of its own.
    pub(crate) fn takes_ack(&self, key: Key) -> bool {
        self.servers.get(key).is_some_and(|server| match &server.machine {
            ServerMachine::Invite(machine) => !machine.is_accepted(),
            ServerMachine::NonInvite(_) => true,
        })
    }

    /// Whose INVITE or other request a transaction is, and whether the final response is still owed.
    pub(crate) fn server(&self, key: Key) -> Option<(ServerOwner, bool)> {
        self.servers.get(key).map(|server| (server.owner, server.template.is_some()))
    }

    pub(crate) fn start_server(&mut self, new: NewServer, now: Instant) -> Key {
        let reliable = new.reply_flow.transport.is_reliable();
        let machine = if new.is_invite {
            ServerMachine::Invite(InviteServer::new(reliable, now))
        } else {
            ServerMachine::NonInvite(NonInviteServer::new(reliable, now))
        };
        let key = self.servers.insert(Server {
            fingerprint: new.fingerprint,
            merge_fingerprint: new.merge_fingerprint,
            machine,
            reply_flow: new.reply_flow,
            owner: new.owner,
            template: Some(Box::new(new.template)),
            timestamp: new.timestamp.map(Box::new),
            last: None,
            scheduled: Scheduled::default(),
        });
        self.by_request.insert(new.fingerprint, key);
        if let Some(merge_fingerprint) = new.merge_fingerprint {
            self.by_merge.insert(merge_fingerprint, key);
        }
        self.settle_server(key);
        key
    }

    /// The request came again.
    pub(crate) fn handle_retransmission(&mut self, outbox: &mut VecDeque<Output>, key: Key) {
        if let Some(server) = self.servers.get(key)
            && server.machine.handle_retransmission()
            && let Some(last) = &server.last
        {
            send(outbox, server.reply_flow, Arc::clone(last));
        }
    }

    /// An ACK with the branch of the INVITE: for a failure. False if there is no INVITE like that.
    pub(crate) fn handle_ack(&mut self, key: Key, now: Instant) {
        if let Some(server) = self.servers.get_mut(key)
            && let ServerMachine::Invite(machine) = &mut server.machine
        {
            machine.handle_ack(now);
        }
        self.settle_server(key);
    }

    /// Sends a response. `None` when the transaction is gone or has had its final one.
    pub(crate) fn respond(
        &mut self,
        outbox: &mut VecDeque<Output>,
        key: Key,
        reply: Reply,
        now: Instant,
    ) -> Option<Transmit> {
        let server = self.servers.get_mut(key)?;
        let status = reply.status;
        if !server.machine.respond(status, now) {
            return None;
        }
        let payload = if status == StatusCode::TRYING {
            server.write_trying(&self.server_name)?
        } else if status.is_provisional() {
            reply.write(server.template.as_mut()?, &self.server_name)
        } else {
            reply.write(&mut *server.template.take()?, &self.server_name)
        };
        // A 2xx to an INVITE is resent by the session, not by the transaction.
        let keeps = !(status.is_success() && matches!(server.machine, ServerMachine::Invite(_)));
        server.last = keeps.then(|| Arc::clone(&payload));
        let transmit = Transmit { flow: server.reply_flow, payload };
        outbox.push_back(Output::Transmit(transmit.clone()));
        self.settle_server(key);
        Some(transmit)
    }

    /// Forgets a transaction, so that repeats of its request are new requests.
    pub(crate) fn forget_server(&mut self, key: Key) {
        if let Some(server) = self.servers.remove(key) {
            self.by_request.remove(&server.fingerprint);
            if let Some(merge_fingerprint) = server.merge_fingerprint {
                self.by_merge.remove(&merge_fingerprint);
            }
        }
    }

    fn settle_server(&mut self, key: Key) {
        let Some(server) = self.servers.get_mut(key) else { return };
        if server.machine.is_terminated() {
            self.forget_server(key);
            return;
        }
        self.deadlines.schedule(Id::Server(key), &mut server.scheduled, server.machine.poll_timeout());
    }
}

fn send(outbox: &mut VecDeque<Output>, flow: Flow, payload: Arc<[u8]>) {
    outbox.push_back(Output::Transmit(Transmit { flow, payload }));
}

/// The most final responses from forks of one INVITE that are acknowledged. A carrier rings a handful of devices.
const MAX_FORKS: usize = 8;
