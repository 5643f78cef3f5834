//! What is asked of the node from outside: by its API, its configuration, and those who call.

use std::time::{Duration, Instant};

use tandem_lab::setup::{account_id, order, trunk_id};
use tandem_model::{CallId, Connect, DialOrder, DialTarget, HangupCause, Money, Trunk, TrunkStatus};
use tandem_switch::{Command, Reply, ReplyId};

use crate::audio::Tag;
use crate::far_end::Calls;
use crate::habits::{Act, pick};
use crate::node::Input;
use crate::scenario::{BUSY, CALLED_BY_US, INBOUND_NUMBERS, RINGS_FOR_EVER};
use crate::world::World;

/// Something that happens at a time that was drawn before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Dial,
    CallIn,
    HangUp,
    ChangeTrunk,
    DeleteTrunk,
    BringTrunkBack,
    ChangeAccount,
    Probe,
    Explain,
    Inspect,
    ExternalBegins,
    ExternalEnds,
    /// The node takes no calls from now on.
    Drain,
    /// It ends those that are up, and then stops.
    Stop,
    CheckHearing,
}

/// What a reply must answer.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Dial(Box<DialOrder>),
    HangUp,
    Probe,
    Explain,
    Inspect(CallId),
    Credit,
}

impl World {
    pub(crate) fn act(&mut self, action: &Action) {
        self.placed += usize::from(action.is_call());
        match action {
            Action::CallIn => self.call_in(),
            Action::CheckHearing => self.check_hearing(),
            Action::Stop => self.stop(),
            Action::Drain => self.is_draining = true,
            // Nobody is there to be asked.
            _ if !self.node.is_up() => {}
            Action::Dial => {
                let order = self.random_order();
                let asked = Asked::Dial(Box::new(order.clone()));
                self.ask(asked, |reply| Command::Dial { order: Box::new(order), reply });
            }
            Action::HangUp => {
                if let Some((account_id, call_id)) = self.random_call() {
                    self.ask(Asked::HangUp, |reply| Command::Hangup { account_id, call_id, reply });
                }
            }
            Action::Inspect => {
                if let Some((account_id, call_id)) = self.random_call() {
                    self.ask(Asked::Inspect(call_id), |reply| Command::Inspect { account_id, call_id, reply });
                }
            }
            Action::Explain => {
                let order = Box::new(self.random_order());
                self.ask(Asked::Explain, |reply| Command::Explain { order, reply });
            }
            Action::Probe => {
                if let Some(trunk) = self.random_trunk() {
                    let trunk_id = trunk.id;
                    self.ask(Asked::Probe, |reply| Command::Probe { trunk_id, reply });
                }
            }
            Action::ChangeTrunk => self.change_trunk(),
            Action::DeleteTrunk => {
                if self.configuration.trunks.len() > 1 {
                    let which = pick(&mut self.random, self.configuration.trunks.len());
                    let trunk = self.configuration.trunks.remove(which);
                    self.configuration.deleted.push(trunk);
                    self.tell_routes();
                }
            }
            Action::BringTrunkBack => {
                if let Some(trunk) = self.configuration.deleted.pop() {
                    self.configuration.trunks.push(trunk);
                    self.tell_routes();
                }
            }
            Action::ChangeAccount => {
                let which = pick(&mut self.random, self.configuration.accounts.len());
                let max_calls = 2 + u32::try_from(self.random.below(40)).unwrap();
                self.configuration.accounts[which].max_calls = Some(max_calls);
                self.tell_routes();
            }
            Action::ExternalBegins => {
                if let Some((account_id, trunk_id)) = self.random_trunk().map(|trunk| (trunk.account_id, trunk.id)) {
                    let call_id = CallId::new(self.now().utc, [u8::try_from(self.random.below(256)).unwrap(); 10]);
                    self.occupancy.external_began(call_id, account_id, trunk_id);
                    self.inputs.push(Input::Command(Command::ExternalStarted { account_id, trunk_id, call_id }));
                }
            }
            Action::ExternalEnds => {
                let oldest = self.occupancy.external().next();
                if let Some((call_id, ..)) = oldest {
                    self.occupancy.external_ended(call_id);
                    // Twice does no harm.
                    for _ in 0..2 {
                        self.inputs.push(Input::Command(Command::ExternalEnded { call_id }));
                    }
                }
            }
        }
    }

    pub(crate) fn take_reply(&mut self, asked: Asked, reply: Reply) {
        match (asked, reply) {
            (Asked::Dial(order), Reply::Dialled(Ok(record))) => {
                if self.node.journal.call(record.id).is_none() {
                    self.fault(format!("{} was confirmed before it was written down", record.id));
                }
                self.ordered.push((record.account_id, record.id));
                self.connects.insert(record.id, order.connect);
            }
            (Asked::Dial(_), Reply::Dialled(Err(receipt))) => match &receipt.refusal {
                Some(refusal) => {
                    self.reached.insert(format!("refused: {}", refusal.reason.code()));
                }
                None => self.fault(format!("a call was refused without a reason: {receipt:?}")),
            },
            (Asked::Inspect(call_id), Reply::Inspected(Some(call))) => {
                // What is shown is what is known, so at least what was written; by an earlier process, if it is of one, in the store.
                let is_ours = self.deaths.last().is_none_or(|(_, back)| {
                    self.now().utc.since(call.record.started_at) < self.now.duration_since(*back)
                });
                let written = self.node.journal.call(call_id).filter(|_| is_ours).map_or(0, |call| call.events.len());
                if call.record.id != call_id
                    || call.events.last().map_or(0, |event| event.number) < u32::try_from(written).unwrap()
                {
                    self.fault(format!("{call_id} is shown as {call:?}, with {written} events on record"));
                }
            }
            (Asked::Credit, Reply::Credit(live)) => self.check_credit(live),
            (Asked::HangUp, Reply::HungUp(_))
            | (Asked::Probe, Reply::Probed(_))
            | (Asked::Explain, Reply::Explained(_))
            | (Asked::Inspect(_), Reply::Inspected(None)) => {}
            (asked, reply) => self.fault(format!("{asked:?} was answered with {reply:?}")),
        }
    }

    pub(crate) fn ask(&mut self, asked: Asked, make: impl FnOnce(ReplyId) -> Command) {
        self.replies += 1;
        let id = ReplyId(self.replies);
        self.asked.insert(id, asked);
        self.inputs.push(Input::Command(make(id)));
    }

    pub(crate) fn tell_routes(&mut self) {
        self.configuration.changed(self.now);
        if self.node.is_up() {
            self.inputs.push(Input::Command(self.configuration.routes()));
            self.tell_credit(false);
        }
    }

    /// The node ends its calls, and once there is none its process; then another begins.
    fn stop(&mut self) {
        if !self.node.is_up() {
            return;
        }
        if !self.node.is_idle() {
            self.inputs.push(Input::Command(Command::EndAll { cause: HangupCause::NormalClearing }));
            self.actions.push_front((self.now + STOP_POLL, Action::Stop));
            self.actions.make_contiguous().sort_by_key(|(at, _)| *at);
            return;
        }
        self.die();
    }

    fn random_call(&mut self) -> Option<(tandem_model::AccountId, CallId)> {
        // Those of late: the others are over.
        let recent = self.ordered.len().saturating_sub(12);
        let calls = self.ordered.get(recent..).filter(|calls| !calls.is_empty())?;
        Some(calls[pick(&mut self.random, calls.len())])
    }

    fn random_trunk(&mut self) -> Option<&Trunk> {
        let trunks = self.configuration.trunks.len();
        if trunks == 0 {
            return None;
        }
        let which = pick(&mut self.random, trunks);
        self.configuration.trunks.get(which)
    }

    fn random_order(&mut self) -> DialOrder {
        let random = &mut self.random;
        // Where messages get lost we may never hear that it rings, and cancel nothing that is not heard of; then it rings for ever.
        let is_lossy = self.network.loses();
        let number = |random: &mut _| match CALLED_BY_US[pick(random, CALLED_BY_US.len())] {
            RINGS_FOR_EVER if is_lossy => BUSY,
            number => number,
        };
        let far_end = self.far_ends[pick(random, self.far_ends.len())].address;
        let host = if random.below(8) == 0 { "phones.example.com".to_owned() } else { far_end.to_string() };
        let connect = match random.below(5) {
            0 => Connect::Echo,
            1 => Connect::Play { tone: "440+480".into() },
            2 => Connect::Sip { uri: format!("sip:phone@{host}") },
            _ => Connect::Number { number: number(random).parse().unwrap() },
        };
        let direct = self.far_ends[pick(random, self.far_ends.len())].address;
        let is_direct = random.below(5) == 0;
        let to = if is_direct { format!("sip:phone@{direct}") } else { number(random).to_owned() };
        let trunk = (random.below(4) == 0).then(|| 1 + u8::try_from(random.below(8)).unwrap());
        let order = order(&to);
        DialOrder {
            account_id: account_id(1 + u8::from(random.below(4) == 0)),
            to: if is_direct { DialTarget::Uri(to) } else { order.to },
            connect,
            ring_timeout: Duration::from_secs(1 + random.below(20)),
            max_duration: Duration::from_secs(1 + random.below(40)),
            trunk_id: trunk.map(trunk_id),
            ..order
        }
    }

    fn call_in(&mut self) {
        let which = pick(&mut self.random, self.far_ends.len());
        let random = &mut self.random;
        let mut acts = Vec::new();
        if random.below(3) == 0 {
            // Often at a full second, at which others answer or give up too.
            let at = random.below(9_000);
            acts.push((if random.below(2) == 0 { at } else { at.next_multiple_of(1_000) }, Act::Cancel));
        }
        // Nobody waits for ever.
        acts.push((70_000 + random.below(20_000), Act::Cancel));
        let to = INBOUND_NUMBERS[pick(random, INBOUND_NUMBERS.len())].0;
        let (offers, answers) = (random.below(5) > 0, random.below(6) > 0);
        let far_end = &mut self.far_ends[which];
        let there = self.node.address_for(far_end.address);
        self.next_tag += 1;
        far_end.call(Tag(self.next_tag), Calls { to: to.into(), there, offers, answers, acts }, self.now);
    }

    fn change_trunk(&mut self) {
        let which = pick(&mut self.random, self.configuration.trunks.len());
        let random = &mut self.random;
        let Some(trunk) = self.configuration.trunks.get_mut(which) else { return };
        match random.below(6) {
            0 => {
                trunk.status =
                    if trunk.status == TrunkStatus::Active { TrunkStatus::Inactive } else { TrunkStatus::Active }
            }
            1 | 2 => trunk.status = TrunkStatus::Active,
            3 => {
                let limit = 1 + u32::try_from(random.below(12)).unwrap();
                self.configuration.set_limit(which, limit, self.now);
            }
            4 => {
                trunk.cost_per_minute = Money::from_micros(i64::try_from(random.below(100_000)).unwrap());
                trunk.advanced_config.insert("billing_increment".into(), (1 + random.below(60)).into());
            }
            _ => trunk.priority = 1 + u8::try_from(random.below(3)).unwrap(),
        }
        self.tell_routes();
    }
}

impl Action {
    /// One of those that need no other.
    pub(crate) fn draw(random: &mut tandem_lab::setup::Seeded) -> Self {
        match random.below(100) {
            0..44 => Self::Dial,
            44..76 => Self::CallIn,
            76..86 => Self::HangUp,
            86..89 => Self::ChangeTrunk,
            89 => Self::DeleteTrunk,
            90 | 91 => Self::BringTrunkBack,
            92 => Self::ChangeAccount,
            93 | 94 => Self::Probe,
            95 => Self::Explain,
            96 | 97 => Self::Inspect,
            98 => Self::ExternalBegins,
            _ => Self::ExternalEnds,
        }
    }

    pub(crate) const fn is_call(self) -> bool {
        matches!(self, Self::Dial | Self::CallIn)
    }
}

/// For the list of things to come.
pub(crate) type Due = (Instant, Action);

/// How often it is seen whether a node that stops has calls left.
const STOP_POLL: Duration = Duration::from_millis(100);
