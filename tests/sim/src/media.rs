//! Whether audio goes where it should, and nowhere else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_media::engine::Channel;
use tandem_model::{CallDirection, CallId, Connect, LegRecord};

use crate::audio::{self, Tag};
use crate::far_end::{FarCall, FarEnd};
use crate::node::Audio;
use crate::scenario;
use crate::world::World;

impl World {
    /// What is wrong with audio that our side sends: it is for nobody, or somebody of another call speaks in it.
    pub(crate) fn fault_of_audio(&self, audio: &Audio) -> Option<String> {
        let Audio { from, to, channel, packet } = audio;
        if from.is_ipv4() != to.is_ipv4() {
            return Some(format!("{from} sends audio to {to}"));
        }
        let rtp = match channel {
            Channel::Rtp => *to,
            Channel::Rtcp => SocketAddr::new(to.ip(), to.port() - 1),
        };
        // Reports go to the port of the audio where both share it.
        let Some(owner) = self.owners.get(&rtp).or_else(|| self.owners.get(to)) else {
            return Some(format!("audio is sent to {to}, where nobody is"));
        };
        let hears = self.calls_of(&owner.sip_call_id);
        if hears.is_empty() {
            return Some(format!("audio is sent to {}, which is on no record", owner.sip_call_id));
        }
        let speaker = audio::speaker(packet).filter(|_| *channel == Channel::Rtp)?;
        let Some(speaking) = self.tags.get(&speaker) else {
            return Some(format!("audio of nobody: {speaker:?}"));
        };
        if self.calls_of(speaking).is_disjoint(&hears) && !self.is_stale(speaking) && !self.is_stale(&owner.sip_call_id)
        {
            return Some(format!("{} hears {speaking}, which is in another call", owner.sip_call_id));
        }
        None
    }

    /// Whether a far end with one host for all its calls has not heard yet that this one is over. Should its port be taken by another
    /// call of that host it cannot be told from it: media is known by its address.
    fn is_stale(&self, sip_call_id: &str) -> bool {
        let is_it = |leg: &&LegRecord| leg.sip_call_id == sip_call_id;
        let calls = self.calls_of(sip_call_id);
        let mut legs = calls.iter().filter_map(|id| self.node.journal.call(*id)).flat_map(|call| &call.legs);
        let is_over = legs.find(is_it).is_some_and(|leg| leg.ended_at.is_some());
        let has_it = |far_end: &&FarEnd| far_end.calls.values().any(|call| call.sip_call_id == sip_call_id);
        is_over && self.far_ends.iter().find(has_it).is_none_or(FarEnd::shares_its_host)
    }

    fn calls_of(&self, sip_call_id: &str) -> BTreeSet<CallId> {
        self.calls_of.get(sip_call_id).cloned().unwrap_or_default()
    }

    /// Whoever is in a call, and holds nobody, hears what it is connected to.
    pub(crate) fn check_hearing(&mut self) {
        let steady = |since: Instant| self.now.duration_since(since) >= HEARING_TIME;
        if !self.node.is_up() || self.deaths.last().is_some_and(|(_, back)| !steady(*back)) {
            return;
        }
        let mut faults = Vec::new();
        for far_end in self.far_ends.iter().filter(|far_end| far_end.is_reliable()) {
            let talking = |call: &FarCall| call.talking_since.is_some_and(steady);
            for (tag, call) in far_end.calls.iter().filter(|(_, call)| talking(call)) {
                let Some(expected) = self.whom_it_hears(*tag, call, &steady) else { continue };
                if call.heard.get(&expected).is_none_or(|at| steady(*at)) {
                    faults.push(format!(
                        "{:?} of {} has not heard {expected:?} for {} s: {:?}",
                        tag,
                        call.sip_call_id,
                        HEARING_TIME.as_secs(),
                        call.heard
                    ));
                }
            }
        }
        faults.into_iter().for_each(|what| self.fault(what));
    }

    /// Whom a call of a far end must have heard by now, if anybody; nobody of ours is a tone.
    fn whom_it_hears(&self, tag: Tag, call: &FarCall, steady: &impl Fn(Instant) -> bool) -> Option<Option<Tag>> {
        let id = *self.calls_of.get(&call.sip_call_id)?.last()?;
        let written = self.node.journal.call(id)?;
        let is_up = |leg: &&LegRecord| leg.answered_at.is_some() && leg.ended_at.is_none();
        let mut up = written.legs.iter().filter(is_up);
        let (first, second) = (up.next()?, up.next());
        if written.record.ended_at.is_some() {
            return None;
        }
        let Some(second) = second else {
            let inbound = (written.record.direction == CallDirection::Inbound)
                .then(|| scenario::inbound_connect(&written.record.to_number))
                .flatten();
            return match self.connects.get(&id).cloned().or(inbound)? {
                Connect::Echo => Some(Some(tag)),
                Connect::Play { .. } | Connect::Test => Some(None),
                // The other party is not there yet.
                Connect::Sip { .. } | Connect::Number { .. } | Connect::Forward => None,
            };
        };
        let other = if first.sip_call_id == call.sip_call_id { second } else { first };
        let far_ends = self.far_ends.iter().filter(|far_end| far_end.is_reliable());
        let (other_tag, other_call) = far_ends
            .flat_map(|far_end| &far_end.calls)
            .find(|(_, found)| found.sip_call_id == other.sip_call_id && found.is_up)?;
        other_call.talking_since.is_some_and(steady).then_some(Some(*other_tag))
    }
}

/// A far end speaks once a second: so much can hardly get lost in a row.
const HEARING_TIME: Duration = Duration::from_secs(9);
