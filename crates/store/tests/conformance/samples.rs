//! Rows with every field set, so that none is forgotten.

use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tandem_model::*;
use tandem_store::{Act, Store};
use uuid::Uuid;

/// Who does everything here.
pub(crate) static ACT: Act = Act::system("test", Timestamp::from_unix_micros(0));

/// Seconds after a fixed moment.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_760_000_000_000_123 + seconds * 1_000_000)
}

fn uuid(kind: u8, number: u64) -> Uuid {
    Uuid::from_u128((u128::from(kind) << 120) | u128::from(number))
}

pub(crate) fn account_id(number: u64) -> AccountId {
    AccountId::from_uuid(uuid(1, number))
}

pub(crate) fn trunk_id(number: u64) -> TrunkId {
    TrunkId::from_uuid(uuid(2, number))
}

pub(crate) fn call_id(number: u64) -> CallId {
    CallId::from_uuid(uuid(3, number))
}

pub(crate) fn leg_id(number: u64) -> LegId {
    LegId::from_uuid(uuid(4, number))
}

pub(crate) fn refusal_id(number: u64) -> RefusalId {
    RefusalId::from_uuid(uuid(5, number))
}

pub(crate) fn account(number: u64) -> Account {
    Account {
        id: account_id(number),
        name: format!("account {number}"),
        tier: Tier::Pro,
        max_trunks: Some(7),
        max_calls: None,
        created_at: at(0),
    }
}

/// Adds an account.
pub(crate) async fn with_account(store: &Store, number: u64) -> AccountId {
    store.insert_account(&ACT, &account(number)).await.unwrap();
    account_id(number)
}

/// Adds an account with one trunk, both of this number.
pub(crate) async fn with_trunk(store: &Store, number: u64) -> (AccountId, TrunkId) {
    let account = with_account(store, number).await;
    store.insert_trunk(&ACT, &trunk(number, account), 10).await.unwrap();
    (account, trunk_id(number))
}

pub(crate) fn trunk(number: u64, account_id: AccountId) -> Trunk {
    let headers = |name: &str| BTreeMap::from([(name.to_owned(), "väl\"ue".to_owned())]);
    Trunk {
        id: trunk_id(number),
        account_id,
        name: format!("trunk {number}"),
        description: Some("Line 1\nline 2".into()),
        provider: Provider::Telnyx,
        status: TrunkStatus::Maintenance,
        sip_domain: "sip.example.com".into(),
        sip_port: 65_535,
        sip_proxy: Some("proxy.example.com:5070".into()),
        sip_username: "user".into(),
        sip_password: Secret::new("correct horse battery staple"),
        auth_username: Some("digest".into()),
        auth_password: Some(Secret::new("pässwörd with \u{1f511}")),
        call_direction: CallDirection::Outbound,
        max_concurrent_calls: 1_000,
        inbound_routing: json!({"rules": [{"to": "+1202*", "connect": {"type": "forward"}}], "default": {"type": "echo"}}),
        inbound: InboundRouting::new(
            None,
            vec![InboundRule { to: Some("+1202*".parse().unwrap()), from: None, connect: Connect::Forward }],
            Some(Connect::Echo),
        ),
        outbound_routing: json!({"prefixes": ["+44"], "unknown": 1.5}),
        outbound: OutboundRouting {
            prefixes: vec!["+44".into(), "112".into()],
            strip: 3,
            prepend: "00".into(),
            caller_id: Some("+442079460000".into()),
            headers: headers("X-Out"),
            failover_on: vec![480, 603],
            weight: 5,
            max_cps: Some(9),
            progress_timeout: Duration::from_millis(7_500),
        },
        codec_preferences: vec!["PCMA".into(), "opus".into()],
        dtmf_mode: DtmfMode::Info,
        cost_per_minute: Money::from_micros(4_200),
        monthly_cost: Money::from_micros(9_223_372_036_854_775_807),
        allowed_ips: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::1/128".parse().unwrap()],
        encryption_enabled: true,
        failover_trunk_id: None,
        custom_headers: headers("X-Custom"),
        advanced_config: json!({"comedia": true, "kept": {"deep": [1, 2.5, null]}}).as_object().unwrap().clone(),
        priority: 100,
        health: TrunkHealth {
            status: HealthStatus::Degraded,
            checked_at: Some(at(1)),
            latency_us: Some(12_345),
            loss_basis_points: Some(10_000),
        },
        created_at: at(2),
        updated_at: at(3),
    }
}

/// Trunks hold secrets and so do not compare; their `Debug` and the secrets do.
pub(crate) fn assert_same_trunk(left: &Trunk, right: &Trunk) {
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
    assert_eq!(left.sip_password.expose(), right.sip_password.expose());
    assert_eq!(left.auth_password.as_ref().map(Secret::expose), right.auth_password.as_ref().map(Secret::expose));
}

pub(crate) fn receipt(account_id: AccountId) -> Receipt {
    Receipt {
        account_id,
        decided_at: at(1),
        to: "+442079460000".into(),
        from: Some("\"quoted\" \\ name".into()),
        inbound: None,
        routing_revision: 42,
        considered: vec![Considered {
            trunk_id: trunk_id(1),
            trunk_name: "trunk 1".into(),
            verdict: Verdict::Taken,
            reason: Reason::Ranked { priority: 1, active: 2, limit: 3, weight: 4 },
        }],
        attempts: vec![AttemptReceipt {
            trunk_id: Some(trunk_id(1)),
            trunk_name: None,
            request_uri: "sip:+442079460000@sip.example.com".into(),
            target: Some("192.0.2.1:5060".into()),
            started_at: at(1),
            decided_at: Some(at(2)),
            outcome: Some(Reason::RetryableStatus { status: 503 }),
            sip_status: Some(503),
            cause: Some(HangupCause::TemporaryFailure),
        }],
        refusal: None,
    }
}

/// A call that Tandem carried to its end.
pub(crate) fn call(number: u64, account_id: AccountId) -> CallRecord {
    CallRecord {
        id: call_id(number),
        account_id,
        call_id: call_id(number).to_string(),
        trunk_id: Some(trunk_id(number)),
        direction: CallDirection::Outbound,
        carried_by: CarriedBy::Tandem,
        conversation_id: Some(uuid(9, number)),
        from_number: "+12025550100".into(),
        to_number: "+442079460000".into(),
        to_uri: Some("sip:+442079460000@sip.example.com;user=phone".into()),
        started_at: at(10),
        answered_at: Some(at(12)),
        ended_at: Some(at(20)),
        duration_ms: Some(8_000),
        status: CallStatus::Completed,
        hangup_cause: Some("normal_clearing".into()),
        sip_status: Some(200),
        hung_up_by: Some(HungUpBy::Callee),
        quality_score: None,
        codec_used: Some("PCMA".into()),
        sip_call_id: Some("3f2a@tandem".into()),
        remote_ip: Some("192.0.2.1".into()),
        cost: Some(Money::from_micros(-1)),
        credits_used: None,
        metadata: json!({"customer": "Zoë", "nested": {"a": [true, 0.1]}}).as_object().unwrap().clone(),
        receipt: Some(JsonText::new(&receipt(account_id))),
        created_at: at(10),
    }
}

/// A call that something else carries, just begun, over the trunk of the account's number.
pub(crate) fn external_call(number: u64, account_id: AccountId, trunk_id: TrunkId) -> CallRecord {
    CallRecord {
        call_id: format!("client-{number}"),
        trunk_id: Some(trunk_id),
        carried_by: CarriedBy::External,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status: CallStatus::Initiated,
        hangup_cause: None,
        hung_up_by: None,
        cost: None,
        receipt: None,
        ..call(number, account_id)
    }
}

pub(crate) fn leg(number: u32, call: &CallRecord) -> LegRecord {
    LegRecord {
        id: leg_id(u64::from(number)),
        call_id: call.id,
        account_id: call.account_id,
        number,
        kind: LegKind::Sip,
        trunk_id: call.trunk_id,
        direction: CallDirection::Outbound,
        request_uri: "sip:+442079460000@sip.example.com".into(),
        started_at: at(10),
        ringing_at: Some(at(11)),
        answered_at: Some(at(12)),
        ended_at: Some(at(20)),
        duration_ms: Some(8_000),
        status: LegStatus::Completed,
        cause: Some(HangupCause::NormalClearing),
        sip_status: Some(200),
        hung_up_by: Some(HungUpBy::Callee),
        codec: Some(Codec::Pcma),
        sip_call_id: "3f2a@tandem".into(),
        transport: Transport::Udp,
        remote_address: Some("[2001:db8::1]:5060".parse().unwrap()),
        billed_seconds: Some(8),
        cost: Some(Money::from_micros(560)),
        media: Some(LegMedia {
            packets_received: 400,
            bytes_received: 64_000,
            packets_sent: 401,
            bytes_sent: 64_160,
            packets_lost: Some(-2),
            jitter_us: Some(1_250),
            round_trip_us: None,
            packets_refused: 3,
            remote_rtp: Some("192.0.2.1:20000".parse().unwrap()),
        }),
    }
}

pub(crate) fn event(number: u32, call: &CallRecord) -> CallEvent {
    CallEvent {
        call_id: call.id,
        account_id: call.account_id,
        number,
        leg_id: Some(leg_id(1)),
        at: at(i64::from(number)),
        kind: EventKind::LegRinging,
        detail: JsonText::new(json!({"sip_status": 180, "text": "Ring\u{0}ing \"now\""}).as_object().unwrap()),
    }
}

/// An INVITE that no rule of the trunk of this number named.
pub(crate) fn refusal(number: u64, account_id: AccountId) -> RefusedInvite {
    let reason = Reason::NoInboundRule { nearest: "+1202*".into() };
    RefusedInvite {
        id: refusal_id(number),
        account_id,
        at: at(1),
        trunk_id: Some(trunk_id(number)),
        from_number: "+442079460000".into(),
        to_number: "+13035550100".into(),
        sip_call_id: "a84b\"4c76\\e66710@192.0.2.1".into(),
        sip_status: 404,
        reason: reason.code().to_owned(),
        receipt: JsonText::new(&Receipt {
            inbound: Some(InboundReceipt {
                source: "192.0.2.1:5060".into(),
                request_uri: "sip:+13035550100@198.51.100.1".into(),
                steps: vec![
                    Identified { by: IdentifiedBy::AllowedIps, matched: "192.0.2.0/24".into(), trunks_left: 2 },
                    Identified { by: IdentifiedBy::RequestUri, matched: "user".into(), trunks_left: 1 },
                ],
                trunk_name: Some("trunk 1".into()),
                rule: None,
                nearest: Some("+1202*".into()),
            }),
            refusal: Some(Refusal { kind: RefusalKind::NoRoute, reason }),
            ..receipt(account_id)
        }),
    }
}
