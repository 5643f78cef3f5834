use crate::DatabaseError;
use crate::row::Columns;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt::Write as _;
use tandem_model::{AccountId, CallEvent, CallId, EventKind, JsonText, LegId, Timestamp};
use uuid::Uuid;

/// Steps of one call that are stored together.
pub(crate) struct Chunk<'a> {
    pub(crate) call_id: CallId,
    pub(crate) account_id: AccountId,
    /// In the order in which they came; never empty.
    events: Vec<&'a CallEvent>,
}

/// A step in the row of its chunk: its number, its leg, its time in microseconds, its kind and its detail.
#[derive(Deserialize)]
struct Step(u32, Option<Uuid>, i64, EventKind, Box<RawValue>);

impl Chunk<'_> {
    /// What the row is filed under. Chunks that have steps in common are told apart by it.
    pub(crate) fn last_number(&self) -> u32 {
        self.events.iter().map(|event| event.number).max().unwrap_or_default()
    }

    /// Adds the column with the steps to a text: a list of [`Step`]s in JSON.
    pub(crate) fn print_events(&self, text: &mut String) {
        text.push('[');
        for (place, event) in self.events.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            // Writing to a string does not fail. A kind is a word, which needs no escape.
            let _ = write!(text, "[{},", event.number);
            let _ = match event.leg_id {
                Some(leg) => write!(text, "\"{}\"", leg.as_uuid()),
                None => write!(text, "null"),
            };
            let _ = write!(text, ",{},\"{}\",", event.at.unix_micros(), event.kind.as_str());
            // One that is damaged must not take the other steps with it.
            text.push_str(serde_json::from_str::<&RawValue>(event.detail.as_str()).map_or("null", RawValue::get));
            text.push(']');
        }
        text.push(']');
    }
}

/// Gathers the steps of each call.
pub(crate) struct Chunks<'a> {
    chunks: Vec<Chunk<'a>>,
    places: HashMap<CallId, usize>,
}

impl<'a> Chunks<'a> {
    /// With room for so many calls.
    pub(crate) fn with_capacity(calls: usize) -> Self {
        Self { chunks: Vec::with_capacity(calls), places: HashMap::with_capacity(calls) }
    }

    pub(crate) fn add(&mut self, event: &'a CallEvent) {
        let place = *self.places.entry(event.call_id).or_insert(self.chunks.len());
        match self.chunks.get_mut(place) {
            Some(chunk) => chunk.events.push(event),
            None => {
                let CallEvent { call_id, account_id, .. } = *event;
                let mut events = Vec::with_capacity(STEPS_OF_A_CALL);
                events.push(event);
                self.chunks.push(Chunk { call_id, account_id, events });
            }
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Chunk<'a>> {
        self.chunks
    }
}

/// About as many has a call of two legs.
const STEPS_OF_A_CALL: usize = 12;

/// The steps of a call out of its rows, which are in order. A step that is in several was written first in the first.
pub(crate) fn read_timeline<R: Columns>(rows: &[R]) -> Result<Vec<CallEvent>, DatabaseError> {
    let mut events: Vec<CallEvent> = Vec::new();
    for row in rows {
        let call_id = CallId::from_uuid(row.uuid("call_log_id")?);
        let account_id = AccountId::from_uuid(row.uuid("account_id")?);
        for Step(number, leg_id, at, kind, detail) in row.json::<Vec<Step>>("events")? {
            if events.iter().any(|known| known.number == number) {
                continue;
            }
            events.push(CallEvent {
                call_id,
                account_id,
                number,
                leg_id: leg_id.map(LegId::from_uuid),
                at: Timestamp::from_unix_micros(at),
                kind,
                detail: JsonText::from_stored(detail.get()),
            });
        }
    }
    events.sort_by_key(|event| event.number);
    Ok(events)
}
