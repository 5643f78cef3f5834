use crate::service::probing::HealthCheckError;
use crate::service::{Caller, Core, Forbidden, id_bits};
use crate::wire::TestCall;
use crate::{DialError, Unavailable};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{CallId, CallRecord, Connect, DialOrder, EventKind, LegRecord, LiveCall, Receipt, TrunkId};
use tandem_store::{CallKey, Change, DatabaseError};
use tokio::time::Instant;

/// Short calls that test a trunk: a tone is played, and what comes back is listened to for it.
#[derive(Clone)]
pub(super) struct TestCalls {
    core: Arc<Core>,
}

/// How a test call went.
#[derive(Clone, Debug)]
pub(crate) struct TestedCall {
    pub(crate) record: CallRecord,
    /// Its only leg.
    pub(crate) leg: Option<LegRecord>,
    /// What came back; `None` when it was not answered.
    pub(crate) heard: Option<HeardAudio>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeardAudio {
    pub(crate) audio_ms: u64,
    pub(crate) tone_ms: u64,
    pub(crate) tone_hz: u64,
    pub(crate) level_dbm0: Option<i64>,
}

/// Why a trunk was not checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckTrunkError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the call was refused")]
    Refused(Box<Receipt>),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Check(#[from] HealthCheckError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl HeardAudio {
    /// Whether what was played came back, as from an echo.
    pub(crate) const fn has_tone(&self) -> bool {
        self.tone_ms >= LEAST_TONE_MS
    }

    /// Whether somebody or something was to be heard.
    pub(crate) fn has_sound(&self) -> bool {
        self.level_dbm0.is_some_and(|level| level >= LEAST_LEVEL_DBM0)
    }

    fn read(detail: &Map<String, Value>) -> Option<Self> {
        let number = |name: &str| detail.get(name).and_then(Value::as_u64);
        Some(Self {
            audio_ms: number("audio_ms")?,
            tone_ms: number("tone_ms")?,
            tone_hz: number("tone_hz")?,
            level_dbm0: detail.get("level_dbm0").and_then(Value::as_i64),
        })
    }
}

impl TestCalls {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Calls the number over the trunk, and gives what came of it once the call is over.
    pub(super) async fn place(
        &self,
        caller: &Caller,
        trunk: TrunkId,
        call: TestCall,
    ) -> Result<TestedCall, CheckTrunkError> {
        let now = self.core.now();
        let id = CallId::new(now, id_bits()?);
        let order = DialOrder {
            account_id: caller.account_id(),
            call_id: Some(id),
            asked_at: now,
            to: call.to,
            from: None,
            trunk_id: Some(trunk),
            connect: Connect::Test,
            ring_timeout: RING_TIME,
            max_duration: LISTENING_TIME,
            headers: BTreeMap::new(),
            metadata: Map::from_iter([("trunk_test".to_owned(), true.into())]),
            conversation_id: None,
        };
        match self.core.switchboard.dial(order).await {
            Ok(record) => {
                let change = Change::new(caller.account_id(), "call.dial", &record.id);
                self.core.acts.note(caller.act(now), change.made(json!({"trunk_id": trunk, "trunk_test": true})));
            }
            Err(DialError::Unavailable(error)) => return Err(error.into()),
            Err(DialError::Refused(receipt)) => return Err(CheckTrunkError::Refused(receipt)),
        }
        let give_up_at = Instant::now() + RING_TIME + LISTENING_TIME + CLOSING_TIME;
        loop {
            if let Some(tested) = self.over(caller, id).await? {
                return Ok(tested);
            }
            if Instant::now() >= give_up_at {
                return Err(Unavailable.into());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// How the call went, once it is over for good.
    async fn over(&self, caller: &Caller, id: CallId) -> Result<Option<TestedCall>, CheckTrunkError> {
        let account = caller.account_id();
        if let Some(LiveCall { record, legs, events }) = self.core.switchboard.live_call(account, id).await? {
            let leg = legs.into_iter().next();
            let is_closed = leg.as_ref().is_none_or(|leg| leg.media.is_some() || leg.answered_at.is_none());
            let heard = events.iter().find(|event| event.kind == EventKind::AudioChecked);
            let heard = heard.and_then(|event| HeardAudio::read(&event.detail.read().ok()?));
            let is_over = record.ended_at.is_some() && is_closed;
            return Ok(is_over.then(|| TestedCall {
                heard: heard.filter(|_| record.answered_at.is_some()),
                record,
                leg,
            }));
        }
        // It was stored a moment ago, and is no longer in memory.
        let Some(record) = self.core.store.call(account, &CallKey::Id(id)).await? else { return Ok(None) };
        let leg = self.core.store.call_legs(account, id).await?.into_iter().next();
        let events = self.core.store.call_events(account, id).await?;
        let heard = events.iter().find(|event| event.kind == EventKind::AudioChecked);
        let heard = heard.and_then(|event| HeardAudio::read(&event.detail.read().ok()?));
        Ok(Some(TestedCall { heard: heard.filter(|_| record.answered_at.is_some()), record, leg }))
    }
}

/// Longer than a telephone rings that is made to be tested.
const RING_TIME: Duration = Duration::from_secs(6);
/// Longer than the call path listens before it ends the call by itself. With the ringing it makes ten seconds.
const LISTENING_TIME: Duration = Duration::from_secs(4);
/// Until the ports have told what they heard, and then some.
const CLOSING_TIME: Duration = Duration::from_secs(4);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Half a second of it is no accident.
const LEAST_TONE_MS: u64 = 500;
/// Below it a line is quiet (ITU-T G.106: −65 dBm0p is the noise of a long one).
const LEAST_LEVEL_DBM0: i64 = -60;
