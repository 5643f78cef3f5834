//! Calls of an earlier process: their far ends are released and their records closed. None of them is carried on.

use super::leg::{LegEnding, Price, close_record};
use super::log::{CallLog, total};
use crate::credit::CreditBook;
use crate::kept::{Kept, OpenCall};
use crate::resources::Resources;
use serde_json::json;
use tandem_model::{
    CallDirection, EventKind, HangupCause, HungUpBy, LegRecord, LegStatus, LiveCall, Money, Now, Timestamp,
};
use tandem_sip::message::StatusCode;
use tandem_sip::session::ReasonHeader;

/// Ends what is left of a call. `None` when its final record was written before, so that only far ends had to be released.
pub(crate) fn take_up(
    open: OpenCall,
    last_heartbeat: Timestamp,
    resources: &mut Resources,
    now: Now,
) -> Option<LiveCall> {
    let OpenCall { record, legs, events } = open;
    let was_closed = record.status.is_final();
    // Whoever died while its ports told what they had counted had ended the call already.
    let had_ended = record.ended_at.is_some();
    let began = record.answered_at.unwrap_or(record.started_at).max(record.started_at);
    let answered_at = record.answered_at;
    let mut log = CallLog::taken_up(record, events);
    let mut ended_at = last_heartbeat.max(began);
    let mut closed = Vec::with_capacity(legs.len());
    for (mut leg, kept) in legs {
        let is_released = kept.is_some_and(|kept| release(&leg, kept, resources, now));
        if leg.ended_at.is_none() && !was_closed {
            let at = close_leg(&mut leg, is_released, last_heartbeat, resources);
            ended_at = ended_at.max(at);
            resources.record_leg(&leg);
            log.attempt_taken_up(&leg, at);
            let detail = json!({"cause": leg.cause});
            log.event(EventKind::LegEnded, Some(leg.id), detail, resources, Now { utc: at, ..now });
        }
        closed.push(leg);
    }
    if was_closed {
        return None;
    }
    if had_ended {
        log.set_final_status();
    } else {
        let connected = answered_at.map(|answered_at| ended_at.since(answered_at));
        log.set_end(ENDING, connected, total(closed.iter().map(|leg| leg.cost)), resources, ended_at);
        log.tell_end(ENDING, resources, Now { utc: ended_at, ..now });
    }
    // The database has the cost only once it has the record that is written now.
    let (account, began, cost) = (log.record().account_id, log.record().started_at, log.record().cost);
    if resources.credit.applies(account, began) {
        resources.credit.settle(CreditBook::hold(account), cost.unwrap_or(Money::ZERO));
    }
    log.write(resources);
    let (record, events) = log.into_parts();
    Some(LiveCall { record, legs: closed, events })
}

/// Tells the far end that the leg is over. False when there is nothing to tell it with.
fn release(leg: &LegRecord, kept: Kept, resources: &mut Resources, now: Now) -> bool {
    let reason = ReasonHeader::q850(u16::from(ENDING.cause.q850()));
    let session = match kept {
        Kept::Invite { flow, octets } => {
            let session = resources.endpoint.resume_invite(flow, &octets);
            if let Some(session) = session {
                resources.endpoint.cancel(session, Some(&reason), now.instant);
            }
            session
        }
        Kept::WaitingCaller { flow, octets, to_tag } => {
            let Some(session) = resources.endpoint.resume_incoming(flow, &octets, &to_tag, now.instant) else {
                resources.forget(leg.id);
                return false;
            };
            resources.endpoint.reject(session, StatusCode::SERVER_INTERNAL_ERROR, Vec::new(), now.instant);
            resources.forget_refused_caller(leg.id, to_tag, now.instant);
            return true;
        }
        Kept::AnsweredCaller { flow, octets, dialog } => {
            // Who has our answer passes over another one (RFC 6026 §7.2), and who has not knows of no dialog to end.
            let tag = dialog.dialog.local.tag().unwrap_or_default().to_owned();
            if let Some(unanswered) = resources.endpoint.resume_incoming(flow, &octets, &tag, now.instant) {
                resources.endpoint.reject(unanswered, StatusCode::SERVER_INTERNAL_ERROR, Vec::new(), now.instant);
            }
            let session = resources.endpoint.resume_dialog(*dialog);
            resources.endpoint.bye(session, Some(&reason), now.instant);
            Some(session)
        }
        Kept::Dialog(dialog) => {
            let session = resources.endpoint.resume_dialog(*dialog);
            resources.endpoint.bye(session, Some(&reason), now.instant);
            Some(session)
        }
    };
    match session {
        Some(session) => resources.forget_once_released(session, leg),
        None => resources.forget(leg.id),
    }
    session.is_some()
}

/// Closes the record of a leg, and returns the end that it got.
fn close_leg(leg: &mut LegRecord, is_released: bool, last_heartbeat: Timestamp, resources: &Resources) -> Timestamp {
    let began = leg.answered_at.unwrap_or(leg.started_at).max(leg.started_at);
    let ended_at = last_heartbeat.max(began);
    leg.status = match leg.answered_at {
        Some(_) => LegStatus::Completed,
        None if is_released && leg.direction == CallDirection::Outbound => LegStatus::Canceled,
        None => LegStatus::Failed,
    };
    let price = match (leg.answered_at, leg.trunk_id) {
        (None, _) | (Some(_), None) => Price::Free,
        // What a trunk cost that has been deleted since is not known any more.
        (Some(_), Some(id)) => resources.table.trunk(id).map_or(Price::Unknown, |entry| Price::Rated(entry.rate)),
    };
    let connected = leg.answered_at.map(|answered_at| ended_at.since(answered_at)).unwrap_or_default();
    close_record(leg, ENDING, connected, price, ended_at);
    ended_at
}

/// How calls end whose process died.
const ENDING: LegEnding = LegEnding { cause: HangupCause::NodeRestarted, by: HungUpBy::Switch, sip_status: None };
