use super::admission::Admission;
use super::journal::TurnJournal;
use super::resolver::Lookup;
use super::signalling::{Machine, WireOutput};
use super::trunk_states::ShardEpoch;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;
use tandem_media::engine;
use tandem_model::{HealthReport, Now, Timestamp};
use tandem_sip::endpoint::Flow;
use tandem_switch::{
    Command, InboundRefusal, OpenCall, Output, Reply, ReplyId, ResolveError, ResolveId, Resolved, Switch,
};
use tokio::sync::{mpsc, oneshot};

/// What other threads ask of the switch.
pub(crate) enum ShardCommand {
    /// A command that nobody waits for.
    Tell(Command),
    /// A command whose reply somebody waits for; it is made once the reply has its number.
    Ask { make: Box<dyn FnOnce(ReplyId) -> Command + Send>, answer: oneshot::Sender<Reply> },
    /// Calls that an earlier process left open, and when it was last alive.
    TakeUp { open: Vec<OpenCall>, last_heartbeat: Timestamp },
    /// The addresses of a host.
    Resolved { id: ResolveId, resolved: Resolved },
    /// Tells when no call is left.
    WhenIdle(oneshot::Sender<()>),
}

/// The switch with everything that its outputs go to.
pub(crate) struct SwitchMachine {
    switch: Switch,
    replies: HashMap<ReplyId, oneshot::Sender<Reply>>,
    next_reply: u64,
    journal: TurnJournal,
    /// Replies of this turn: nobody hears of a call before it is written down.
    answers: Vec<(oneshot::Sender<Reply>, Reply)>,
    lookups: mpsc::Sender<Lookup>,
    health: mpsc::Sender<HealthReport>,
    admission: Arc<Admission>,
    when_idle: Vec<oneshot::Sender<()>>,
    epoch: ShardEpoch,
    /// Whether this turn may have changed the state of a trunk.
    has_acted: bool,
}

impl SwitchMachine {
    pub(crate) fn new(
        switch: Switch,
        journal: TurnJournal,
        lookups: mpsc::Sender<Lookup>,
        health: mpsc::Sender<HealthReport>,
        admission: Arc<Admission>,
        epoch: ShardEpoch,
    ) -> Self {
        Self {
            switch,
            replies: HashMap::new(),
            next_reply: 0,
            journal,
            answers: Vec::new(),
            lookups,
            health,
            admission,
            when_idle: Vec::new(),
            epoch,
            has_acted: false,
        }
    }
}

/// Whether a command leaves everything as it is.
const fn only_asks(command: &Command) -> bool {
    match command {
        Command::Explain { .. }
        | Command::Inspect { .. }
        | Command::TrunkStates { .. }
        | Command::Count { .. }
        | Command::AccountLoads { .. }
        | Command::Credit { .. }
        | Command::CreditCommitments { .. }
        | Command::Traffic { .. } => true,
        Command::Dial { .. }
        | Command::Hangup { .. }
        | Command::Probe { .. }
        | Command::ExternalStarted { .. }
        | Command::ExternalEnded { .. }
        | Command::Stored { .. }
        | Command::Routes(_)
        | Command::CreditTerms(_)
        | Command::EndAll { .. } => false,
    }
}

impl Machine for SwitchMachine {
    type Command = ShardCommand;
    type LineCommand = Infallible;

    fn handle_datagram(&mut self, flow: Flow, octets: &[u8], now: Now) {
        self.has_acted = true;
        self.switch.handle_datagram(flow, octets, now);
    }

    fn handle_transport_error(&mut self, flow: &Flow, now: Now) {
        self.has_acted = true;
        self.switch.handle_transport_error(flow, now);
    }

    fn uses_stream(&self, flow: &Flow) -> bool {
        self.switch.uses_stream(flow)
    }

    fn handle_media_event(&mut self, event: engine::Event, now: Now) {
        self.has_acted = true;
        self.switch.handle_media_event(event, now);
    }

    fn handle_command(&mut self, command: ShardCommand, now: Now) {
        match command {
            ShardCommand::Tell(command) => {
                self.has_acted |= !only_asks(&command);
                self.switch.handle_command(command, now);
            }
            ShardCommand::Ask { make, answer } => {
                self.next_reply += 1;
                let id = ReplyId(self.next_reply);
                self.replies.insert(id, answer);
                let command = make(id);
                self.has_acted |= !only_asks(&command);
                self.switch.handle_command(command, now);
            }
            ShardCommand::TakeUp { open, last_heartbeat } => {
                self.has_acted = true;
                for call in open {
                    self.switch.take_up(call, last_heartbeat, now);
                }
                self.journal.taken_up(now.instant);
            }
            ShardCommand::Resolved { id, resolved } => {
                self.has_acted = true;
                self.switch.handle_resolved(id, &resolved, now);
            }
            ShardCommand::WhenIdle(tell) => self.when_idle.push(tell),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.has_acted |= self.switch.poll_timeout().is_some_and(|deadline| deadline <= now.instant);
        self.switch.handle_timeout(now);
        self.journal.handle_timeout(now);
        if self.switch.is_idle() {
            for tell in self.when_idle.drain(..) {
                // Whoever asked may have given up.
                let _ = tell.send(());
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.switch.poll_timeout(), self.journal.poll_timeout()].into_iter().flatten().min()
    }

    fn poll_output(&mut self, now: Now) -> Option<WireOutput<Infallible>> {
        loop {
            match self.switch.poll_output()? {
                Output::Transmit(transmit) => return Some(WireOutput::Transmit(transmit)),
                Output::Media(command) => return Some(WireOutput::Media(command)),
                Output::Record(record) => self.journal.record(record),
                Output::Keep { call_id, leg_id, kept } => self.journal.keep(call_id, leg_id, kept),
                Output::Forget { leg_id } => self.journal.forget(leg_id),
                Output::Reply(id, reply) => {
                    if let Some(answer) = self.replies.remove(&id) {
                        self.answers.push((answer, reply));
                    }
                }
                Output::Ask(question) => self.switch.handle_answer(question.id, self.admission.answer(), now),
                Output::Resolve { id, host } => {
                    if self.lookups.try_send(Lookup { id, host }).is_err() {
                        self.switch.handle_resolved(id, &Err(ResolveError::Unavailable), now);
                    }
                }
                Output::Health(report) => {
                    // The next one comes within minutes.
                    let _ = self.health.try_send(*report);
                }
                Output::Refused(refusal) => {
                    log_refusal(&refusal);
                }
            }
        }
    }

    fn commit(&mut self) {
        self.journal.commit();
        if std::mem::take(&mut self.has_acted) {
            self.epoch.advance();
        }
        for (answer, reply) in self.answers.drain(..) {
            // Whoever asked may have given up.
            let _ = answer.send(reply);
        }
    }
}

/// Strangers knock all day long; what is refused to a peer that trunks know is for an operator to see.
fn log_refusal(refusal: &InboundRefusal) {
    let InboundRefusal { id, flow, sip_call_id, sip_status, explanation, trunks } = refusal;
    let remote = flow.remote;
    if trunks.is_empty() {
        tracing::debug!(refusal = %id, %remote, sip_call_id, sip_status, explanation, "refused an INVITE");
    } else {
        tracing::info!(refusal = %id, %remote, sip_call_id, sip_status, explanation, ?trunks, "refused an INVITE");
    }
}
