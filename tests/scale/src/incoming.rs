use crate::{Filled, Random, now};
use std::time::Duration;
use tandem_model::{
    CallDirection, CallEvent, CallId, CallRecord, CallStatus, CarriedBy, Codec, EventKind, HangupCause, HungUpBy,
    JsonText, LegId, LegKind, LegMedia, LegRecord, LegStatus, Money, Record, Timestamp, Transport,
};
use tandem_store::{JournalPosition, Store};
use tokio::time::{Instant, MissedTickBehavior};

/// Calls that end while something else is measured: each with two legs and eight steps, as the journal gives them to the store.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// How many a second.
    pub calls_per_second: u64,
}

/// What became of them.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// How many were stored.
    pub calls: u64,
    /// In which time.
    pub time: Duration,
    /// The longest that a batch took.
    pub longest: Duration,
}

impl Incoming {
    /// Stores calls until it is told to stop.
    pub async fn run(self, store: Store, filled: Filled, mut stop: tokio::sync::oneshot::Receiver<()>) -> Recorded {
        let mut ticks = tokio::time::interval(BATCH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (began, mut longest, mut calls, mut offset) = (Instant::now(), Duration::ZERO, 0, 0);
        let each = self.calls_per_second * u64::try_from(BATCH.as_millis()).unwrap() / 1_000;
        let mut random = Random::new(0x1ac0_11e5);
        loop {
            tokio::select! {
                _ = &mut stop => break,
                _ = ticks.tick() => {}
            }
            let records: Vec<Record> = (0..each).flat_map(|_| call(&filled, &mut random)).collect();
            offset += 1;
            let at = Instant::now();
            store.write_journal(&records, JournalPosition { shard: 9, segment: 1, offset }).await.unwrap();
            longest = longest.max(at.elapsed());
            calls += each;
        }
        Recorded { calls, time: began.elapsed(), longest }
    }
}

/// A call that has just ended.
fn call(filled: &Filled, random: &mut Random) -> Vec<Record> {
    let end = now();
    let began = Timestamp::from_unix_micros(end.unix_micros() - 30_000_000);
    let bits = |random: &mut Random| {
        let (high, low) = (random.below(u64::MAX).to_be_bytes(), random.below(u64::MAX).to_be_bytes());
        [high[0], high[1], high[2], high[3], high[4], high[5], high[6], high[7], low[0], low[1]]
    };
    let id = CallId::new(began, bits(random));
    let trunk_id = Some(filled.trunk(random));
    let to_number = format!("+{}", filled.number(random));
    let record = CallRecord {
        id,
        account_id: filled.owner.account,
        call_id: id.to_string(),
        trunk_id,
        direction: CallDirection::Outbound,
        carried_by: CarriedBy::Tandem,
        conversation_id: None,
        from_number: "+12025550199".into(),
        to_number: to_number.clone(),
        to_uri: None,
        started_at: began,
        answered_at: Some(began),
        ended_at: Some(end),
        duration_ms: Some(30_000),
        status: CallStatus::Completed,
        hangup_cause: Some("normal_clearing".into()),
        sip_status: Some(200),
        hung_up_by: Some(HungUpBy::Callee),
        quality_score: None,
        codec_used: Some("PCMU".into()),
        sip_call_id: Some(id.to_string()),
        remote_ip: Some("192.0.2.1".into()),
        cost: Some(Money::from_micros(3_000)),
        credits_used: None,
        metadata: serde_json::Map::new(),
        receipt: None,
        created_at: began,
    };
    let legs: Vec<LegRecord> = (1..=2)
        .map(|number| LegRecord {
            id: LegId::new(began, bits(random)),
            call_id: id,
            account_id: record.account_id,
            number,
            kind: LegKind::Sip,
            trunk_id,
            direction: if number == 1 { CallDirection::Inbound } else { CallDirection::Outbound },
            request_uri: format!("sip:{to_number}@sip.example.com"),
            started_at: began,
            ringing_at: Some(began),
            answered_at: Some(began),
            ended_at: Some(end),
            duration_ms: Some(30_000),
            status: LegStatus::Completed,
            cause: Some(HangupCause::NormalClearing),
            sip_status: Some(200),
            hung_up_by: Some(HungUpBy::Callee),
            codec: Some(Codec::Pcmu),
            sip_call_id: id.to_string(),
            transport: Transport::Udp,
            remote_address: Some("192.0.2.1:5060".parse().unwrap()),
            billed_seconds: Some(30),
            cost: Some(Money::from_micros(1_500)),
            media: Some(LegMedia::default()),
        })
        .collect();
    let detail = JsonText::new(serde_json::json!({"target": "192.0.2.1:5060", "sip_status": 180}).as_object().unwrap());
    let events: Vec<Record> = (1..=8)
        .map(|number| {
            Record::Event(CallEvent {
                call_id: id,
                account_id: record.account_id,
                number,
                leg_id: legs.first().map(|leg| leg.id),
                at: began,
                kind: EventKind::LegStarted,
                detail: detail.clone(),
            })
        })
        .collect();
    let legs = legs.into_iter().map(|leg| Record::Leg(Box::new(leg)));
    [Record::Call(Box::new(record))].into_iter().chain(legs).chain(events).collect()
}

/// As the recorder does it under load.
const BATCH: Duration = Duration::from_millis(250);
