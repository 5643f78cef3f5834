//! A number wherever an account can have it, in every way in which it is written.

use crate::samples::{ACT, at, call, call_id, event, external_call, leg, refusal, trunk, trunk_id};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};
use tandem_model::{
    AccountId, Alert, AlertId, AlertRule, AlertState, CallEvent, CallRecord, JsonText, LegRecord, Money, Receipt,
    Record, RefusedInvite, Timestamp,
};
use tandem_store::{Act, Claim, ComposeMail, ErasureStep, IdempotencyKey, MailText, Store};

/// The number, as it is asked for.
pub(crate) const NUMBER: &str = "+12025550142";
/// Digits of it that no spelling is without.
pub(crate) const DIGITS: &str = "2025550142";
/// Somebody else's.
pub(crate) const OTHER: &str = "+12025550143";

/// This moment.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp::from_unix_micros(0).saturating_add(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

/// Leaves traces of a number in an account that is there and listened to, with a trunk of this number that is left to the account
/// without the number in it, and one that is removed.
pub(crate) async fn leave(store: &Store, account: AccountId, first: u64) {
    store.listen(account).await.unwrap();
    let records: Vec<Record> = calls(account, first)
        .into_iter()
        .flat_map(|call| {
            let leg = LegRecord {
                request_uri: format!("sip:{}@sip.example.com;user=phone", call.to_number),
                sip_call_id: format!("{}@192.0.2.1", call.from_number.trim_start_matches('+')),
                ..leg(1, &call)
            };
            let told = json!({
                "from": format!("\"Zoë\" <sip:{0}@a.example>;tag=1", call.from_number),
                "p_asserted_identity": format!("<tel:{}>", call.to_number.replacen("1202555", "1-202-555-", 1)),
                "identity": format!("{{\"orig\":{{\"tn\":\"{}\"}}}}", call.from_number.trim_start_matches('+')),
            });
            let step = CallEvent { detail: JsonText::new(told.as_object().unwrap()), ..event(1, &call) };
            [Record::Call(Box::new(call)), Record::Leg(Box::new(leg)), Record::Event(step)]
        })
        .collect();
    store.write_records(&records).await.unwrap();
    let refused = |number: u64, from: &str, to: &str| {
        let plain = refusal(number, account);
        let receipt = plain.receipt.read().unwrap();
        let receipt = Receipt { to: to.to_owned(), from: Some(from.to_owned()), ..receipt };
        let sip_call_id = format!("{from}-1@192.0.2.1");
        Record::Refusal(Box::new(RefusedInvite {
            from_number: from.to_owned(),
            to_number: to.to_owned(),
            sip_call_id,
            receipt: JsonText::new(&receipt),
            ..plain
        }))
    };
    let refusals =
        [refused(first + 1, NUMBER, OTHER), refused(first + 2, OTHER, "12025550142"), refused(first + 3, OTHER, "x")];
    store.write_records(&refusals).await.unwrap();

    let gone = tandem_model::Trunk {
        id: trunk_id(first + 50),
        name: format!("to {NUMBER}"),
        outbound: tandem_model::OutboundRouting { caller_id: Some(NUMBER.into()), ..trunk(first, account).outbound },
        inbound_routing: json!({"default": {"type": "number", "number": NUMBER}}),
        ..trunk(first, account)
    };
    store.insert_trunk(&ACT, &gone, 100).await.unwrap();
    store.delete_trunk(&ACT, account, gone.id, at(9)).await.unwrap();
    let logged = CallRecord {
        call_id: format!("client-{NUMBER}"),
        from_number: OTHER.into(),
        to_number: DIGITS.into(),
        ended_at: Some(at(30)),
        metadata: json!({"who": 12_025_550_142_u64}).as_object().unwrap().clone(),
        ..external_call(first + 90, account, trunk_id(first))
    };
    store.insert_external_call(&ACT, &logged).await.unwrap();
    store.grant_credit(&ACT, account, Money::from_micros(5), "for (202) 555-0142").await.unwrap();
    tell(store, account).await;
    let key = IdempotencyKey::new(account, "somebody", "key");
    let now = wall_clock();
    assert!(matches!(store.claim_idempotency_key(&key, &[b"a"], now).await.unwrap(), Claim::Granted { .. }));
    let body = json!({"to_number": NUMBER, "metadata": {"who": 12_025_550_142_u64}}).to_string();
    let answer = json!({"status": 201, "headers": [], "body": body}).to_string();
    store.keep_answer(&key, answer.as_bytes()).await.unwrap();
}

/// An alert about a trunk that has the number in its name, of which somebody is told by mail, and notes the number once more.
async fn tell(store: &Store, account: AccountId) {
    let to = "night@example.com".to_owned();
    store.change_alert_settings(&ACT, account, |settings| settings.mail_to.push(to)).await.unwrap();
    let rule = AlertRule::TrunkUtilisation;
    let alert = Alert {
        id: AlertId::from_uuid(uuid::Uuid::from_u128(77)),
        account_id: account,
        rule,
        subject: format!("trunks/{}", trunk_id(77)),
        severity: rule.severity(),
        state: AlertState::Raised,
        summary: format!("The trunk \"to {NUMBER}\" carries 9 of its 10 calls."),
        measured: JsonText::from_stored(format!(r#"{{"trunk":"to {NUMBER}"}}"#)),
        threshold: 80,
        node_id: store.node_id(),
        raised_at: at(20),
        acknowledged_at: None,
        acknowledged_by: None,
        resolved_at: None,
        resolved_by: None,
        note: None,
    };
    let compose: ComposeMail = |alert| MailText { subject: alert.summary.clone(), body: alert.summary.clone() };
    assert!(store.raise_alert(&alert, Some(compose)).await.unwrap());
    let note = format!("{OTHER} called from {NUMBER}");
    store.acknowledge_alert(&ACT, account, alert.id, Some(note)).await.unwrap();
}

/// Calls from the number and to it, one that only speaks of it, and one of others.
pub(crate) fn calls(account: AccountId, first: u64) -> Vec<CallRecord> {
    let of = |number: u64, from: &str, to: &str| {
        let plain = call(first + number, account);
        let mut receipt: Receipt = plain.receipt.as_ref().unwrap().read().unwrap();
        receipt.to = to.to_owned();
        receipt.from = Some(from.to_owned());
        receipt.attempts[0].request_uri = format!("sip:{to}@sip.example.com");
        CallRecord {
            id: call_id(first + number),
            trunk_id: Some(trunk_id(first)),
            from_number: from.to_owned(),
            to_number: to.to_owned(),
            to_uri: Some(format!("sip:{to}@sip.example.com;user=phone")),
            sip_call_id: Some(format!("{from}@192.0.2.1")),
            receipt: Some(JsonText::new(&receipt)),
            ..plain
        }
    };
    let mut spoken_of = of(3, OTHER, "+442079460000");
    spoken_of.metadata =
        json!({"a": {"b": ["call +1 (202) 555-0142 back", 12_025_550_142_u64, 7]}}).as_object().unwrap().clone();
    vec![
        of(1, NUMBER, OTHER),
        of(2, OTHER, NUMBER),
        spoken_of,
        of(4, OTHER, "+442079460000"),
        of(5, "0012025550142", OTHER),
    ]
}

/// Who asks for the erasure, now.
pub(crate) fn act() -> Act {
    Act { at: wall_clock(), ..ACT.clone() }
}

/// Does erasures until each is done or waits; tells what the last step was.
pub(crate) async fn work(store: &Store, now: Timestamp) -> Option<ErasureStep> {
    let mut last = None;
    while let Some(mut claimed) = store.claim_erasure(now).await.unwrap() {
        loop {
            let step = store.advance_erasure(&mut claimed, now).await.unwrap();
            last = Some(step);
            if step != ErasureStep::Advanced {
                break;
            }
        }
    }
    last
}
