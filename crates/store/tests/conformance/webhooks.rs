use crate::samples::{ACT, account_id, at, call, with_account};
use std::convert::Infallible;
use std::time::Duration;
use tandem_model::{
    AccountId, CallRecord, CallStatus, EventType, Record, Secret, Timestamp, WebhookDeliveryId, WebhookEndpointId,
};
use tandem_store::{
    Act, ClaimedWebhook, Claims, DeliveryEnd, DeliveryFilter, DeliveryReport, DeliveryState, FindWebhookError,
    InsertWebhookError, Part, Replay, Store, WebhookDelivery, WebhookEndpoint,
};
use uuid::Uuid;

const CLAIMS: Claims = Claims {
    of_endpoint: 4,
    of_failing_endpoint: 1,
    of_account: 6,
    hold: Duration::from_secs(60),
    give_up_after: Duration::from_secs(1_000),
};

fn endpoint_id(number: u128) -> WebhookEndpointId {
    WebhookEndpointId::from_uuid(Uuid::from_u128(number))
}

fn endpoint(number: u128, account_id: AccountId) -> WebhookEndpoint {
    WebhookEndpoint {
        id: endpoint_id(number),
        account_id,
        url: "https://example.com/hooks?key=1".to_owned(),
        description: "billing".to_owned(),
        event_types: Vec::new(),
        enabled: true,
        disabled_reason: None,
        failures: 0,
        previous_secret_until: None,
        created_at: at(number.try_into().unwrap()),
        updated_at: at(1),
    }
}

async fn with_endpoint(store: &Store, number: u64) -> (AccountId, WebhookEndpointId) {
    let account = with_account(store, number).await;
    let endpoint = endpoint(number.into(), account);
    store.insert_webhook_endpoint(&ACT, &endpoint, &Secret::new("whsec_first"), 5).await.unwrap();
    (account, endpoint.id)
}

fn state(call: &CallRecord, status: CallStatus) -> Record {
    Record::Call(Box::new(CallRecord { status, answered_at: None, ended_at: None, ..call.clone() }))
}

async fn ring(store: &Store, account: AccountId, number: u64) {
    let call = call(number, account);
    store.write_records(&[state(&call, CallStatus::Initiated), state(&call, CallStatus::Ringing)]).await.unwrap();
}

async fn claim(store: &Store, (account, endpoint): (AccountId, WebhookEndpointId), now: Timestamp) -> ClaimedWebhook {
    store.claim_webhook_deliveries(account, endpoint, CLAIMS, now).await.unwrap().unwrap()
}

fn told(claimed: &ClaimedWebhook) -> Vec<(u64, EventType)> {
    claimed.deliveries.iter().map(|claimed| (claimed.delivery.sequence, claimed.delivery.kind)).collect()
}

async fn finish(store: &Store, delivery: &WebhookDelivery, end: DeliveryEnd, now: Timestamp) -> bool {
    let report = DeliveryReport {
        at: now,
        end,
        status: Some(200),
        error: None,
        duration: Duration::from_millis(7),
        disable: None,
    };
    store.finish_webhook_delivery(delivery, &report).await.unwrap()
}

pub(crate) async fn events_of_a_subject_are_claimed_one_after_the_other(store: &Store) {
    let ours = with_endpoint(store, 1).await;
    ring(store, ours.0, 1).await;
    ring(store, ours.0, 2).await;
    assert_eq!(store.waiting_webhooks(at(5), 10).await.unwrap(), [ours]);
    let first = claim(store, ours, at(5)).await;
    // A number is left out where nobody listened before.
    let begun = first.deliveries[0].delivery.sequence;
    let kinds = [EventType::CallInitiated, EventType::CallRinging];
    assert_eq!(told(&first), [(begun, kinds[0]), (begun + 2, kinds[0])]);
    let event = first.deliveries[0].event.clone().unwrap();
    assert_eq!((event.id, event.sequence), (first.deliveries[0].delivery.event_id, begun));
    assert_eq!(first.secrets.secret.expose(), "whsec_first");
    assert!(claim(store, ours, at(6)).await.deliveries.is_empty(), "they are somebody's");
    assert_eq!(store.waiting_webhooks(at(6), 10).await.unwrap(), []);

    let delivery = &first.deliveries[0].delivery;
    assert!(finish(store, delivery, DeliveryEnd::Delivered, at(7)).await);
    assert!(!finish(store, delivery, DeliveryEnd::Delivered, at(7)).await, "only once");
    assert_eq!(told(&claim(store, ours, at(8)).await), [(begun + 1, kinds[1])]);

    // Whose process died has a minute, then it is somebody else's.
    assert_eq!(told(&claim(store, ours, at(66)).await), [(begun + 2, kinds[0])]);
    store.release_webhook_claims().await.unwrap();
    assert_eq!(told(&claim(store, ours, at(67)).await), [(begun + 1, kinds[1]), (begun + 2, kinds[0])]);

    let listed = store
        .list_webhook_deliveries(ours.0, ours.1, DeliveryFilter::default(), &Part::page(0, 10))
        .await
        .unwrap()
        .rows;
    assert_eq!(
        listed.iter().map(|delivery| delivery.sequence).collect::<Vec<_>>(),
        [begun + 3, begun + 2, begun + 1, begun]
    );
    let done = &listed[3];
    assert_eq!((done.state, done.attempts, done.last_status), (DeliveryState::Delivered, 1, Some(200)));
    assert_eq!((done.last_duration_ms, done.finished_at), (Some(7), Some(at(7))));
    assert_eq!((listed[0].due_at, listed[0].state), (None, DeliveryState::Pending));
    let backlog = store.webhook_backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.oldest, backlog.dead), (3, Some(at(5)), 0));
}

pub(crate) async fn who_fails_is_asked_one_at_a_time_until_it_answers(store: &Store) {
    let ours = with_endpoint(store, 1).await;
    for number in 1..=3 {
        store.write_records(&[state(&call(number, ours.0), CallStatus::Initiated)]).await.unwrap();
    }
    let first = claim(store, ours, at(5)).await;
    assert_eq!(first.deliveries.len(), 3);
    for claimed in &first.deliveries {
        assert!(finish(store, &claimed.delivery, DeliveryEnd::Again(at(100)), at(6)).await);
    }
    assert_eq!(store.waiting_webhooks(at(99), 10).await.unwrap(), []);
    let again = claim(store, ours, at(100)).await;
    assert_eq!((again.deliveries.len(), again.endpoint.failures), (1, 3));
    assert!(finish(store, &again.deliveries[0].delivery, DeliveryEnd::Again(at(900)), at(101)).await);
    let again = claim(store, ours, at(101)).await;
    assert!(finish(store, &again.deliveries[0].delivery, DeliveryEnd::Delivered, at(102)).await);
    let all = claim(store, ours, at(103)).await;
    assert_eq!((all.deliveries.len(), all.endpoint.failures), (2, 0), "what failed is not kept waiting");
}

pub(crate) async fn an_account_has_its_share_on_all_nodes(store: &Store) {
    let ours = with_endpoint(store, 1).await;
    let second = (ours.0, endpoint_id(7));
    store.insert_webhook_endpoint(&ACT, &endpoint(7, ours.0), &Secret::new("whsec_x"), 5).await.unwrap();
    for number in 1..=9 {
        store.write_records(&[state(&call(number, ours.0), CallStatus::Initiated)]).await.unwrap();
    }
    assert_eq!(claim(store, ours, at(5)).await.deliveries.len(), 4);
    assert_eq!(claim(store, second, at(5)).await.deliveries.len(), 2);
    assert_eq!(claim(store, second, at(5)).await.deliveries.len(), 0);
}

pub(crate) async fn only_what_is_wanted_and_new_is_sent(store: &Store) {
    let ours = with_endpoint(store, 1).await;
    let wanted = |types: Vec<EventType>, enabled: bool| {
        move |endpoint: &mut WebhookEndpoint| {
            (endpoint.event_types, endpoint.enabled) = (types, enabled);
            Ok::<(), Infallible>(())
        }
    };
    let (account, id) = ours;
    store.change_webhook_endpoint(&ACT, account, id, wanted(vec![EventType::CallRinging], true)).await.unwrap();
    ring(store, account, 1).await;
    let claimed = claim(store, ours, at(5)).await;
    assert_eq!(
        claimed.deliveries.iter().map(|claimed| claimed.delivery.kind).collect::<Vec<_>>(),
        [EventType::CallRinging]
    );

    store.change_webhook_endpoint(&ACT, account, id, wanted(Vec::new(), false)).await.unwrap();
    assert!(store.claim_webhook_deliveries(account, id, CLAIMS, at(500)).await.unwrap().is_none());
    ring(store, account, 2).await;
    assert_eq!(
        store.latest_events(&[account]).await.unwrap()[0].1,
        claimed.deliveries[0].delivery.sequence,
        "nobody listens"
    );
    let asked = Act { dry_run: true, ..ACT.clone() };
    store.change_webhook_endpoint(&asked, account, id, wanted(Vec::new(), true)).await.unwrap();
    assert!(!store.webhook_endpoint(account, id).await.unwrap().unwrap().enabled);
    store.change_webhook_endpoint(&ACT, account, id, wanted(Vec::new(), true)).await.unwrap();
    ring(store, account, 3).await;
    let sent: Vec<_> =
        claim(store, ours, at(500)).await.deliveries.into_iter().map(|claimed| claimed.delivery.subject).collect();
    let subject = |number| format!("calls/{}", call(number, account).id);
    assert_eq!(sent, [subject(1), subject(3)], "what was in the queue, and what is new");
}

pub(crate) async fn gone_and_dead_endpoints_can_be_asked_again(store: &Store) {
    let ours = with_endpoint(store, 1).await;
    ring(store, ours.0, 1).await;
    let claimed = claim(store, ours, at(5)).await.deliveries.remove(0).delivery;
    let gone = DeliveryReport {
        at: at(6),
        end: DeliveryEnd::Dead,
        status: Some(410),
        error: Some("the answer was 410".to_owned()),
        duration: Duration::ZERO,
        disable: Some("gone"),
    };
    assert!(store.finish_webhook_delivery(&claimed, &gone).await.unwrap());
    let shown = store.webhook_endpoint(ours.0, ours.1).await.unwrap().unwrap();
    assert_eq!((shown.enabled, shown.disabled_reason.as_deref()), (false, Some("gone")));
    let enable = |endpoint: &mut WebhookEndpoint| {
        endpoint.enabled = true;
        Ok::<(), Infallible>(())
    };
    store.change_webhook_endpoint(&ACT, ours.0, ours.1, enable).await.unwrap();
    let act = Act { at: at(10), ..ACT.clone() };
    let replay = async |which| store.replay_webhook_deliveries(&act, ours.0, ours.1, which, at(2_000)).await;
    assert_eq!(replay(Replay::One(claimed.id)).await.unwrap(), 1);
    assert_eq!(replay(Replay::One(claimed.id)).await.unwrap(), 1, "it is pending, and asked for once more");
    let first = claim(store, ours, at(10)).await;
    assert_eq!(first.deliveries.len(), 1, "what comes later waits again");
    assert_eq!(replay(Replay::One(claimed.id)).await.unwrap(), 0, "it is on its way");
    assert_eq!((first.deliveries[0].delivery.id, first.deliveries[0].delivery.attempts), (claimed.id, 0));
    assert!(finish(store, &first.deliveries[0].delivery, DeliveryEnd::Delivered, at(11)).await);
    let second = claim(store, ours, at(12)).await;
    assert!(finish(store, &second.deliveries[0].delivery, DeliveryEnd::Delivered, at(12)).await);
    assert_eq!(replay(Replay::Since(at(-1_000_000))).await.unwrap(), 2);
    assert_eq!(claim(store, ours, at(13)).await.deliveries.len(), 1);
    let unknown = WebhookDeliveryId::from_uuid(Uuid::from_u128(99));
    assert!(matches!(replay(Replay::One(unknown)).await, Err(FindWebhookError::NotFound)));
}

pub(crate) async fn what_waits_for_another_attempt_need_not_wait(store: &Store) {
    let ours = with_endpoint(store, 1).await;
    for number in 1..=2 {
        ring(store, ours.0, number).await;
    }
    let failed = claim(store, ours, at(5)).await.deliveries;
    assert_eq!(failed.len(), 2, "the first of each call");
    for claimed in &failed {
        assert!(finish(store, &claimed.delivery, DeliveryEnd::Again(at(40_000)), at(6)).await);
    }
    assert!(claim(store, ours, at(9)).await.deliveries.is_empty());
    let act = Act { at: at(10), ..ACT.clone() };
    let replay = async |act, which| store.replay_webhook_deliveries(act, ours.0, ours.1, which, at(2_000)).await;
    let tried = Act { dry_run: true, ..act.clone() };
    assert_eq!(replay(&tried, Replay::One(failed[0].delivery.id)).await.unwrap(), 1);
    assert!(claim(store, ours, at(10)).await.deliveries.is_empty());

    assert_eq!(replay(&act, Replay::One(failed[0].delivery.id)).await.unwrap(), 1);
    let again = claim(store, ours, at(10)).await.deliveries;
    let seen: Vec<_> = again.iter().map(|claimed| (claimed.delivery.id, claimed.delivery.attempts)).collect();
    assert_eq!(seen, [(failed[0].delivery.id, 0)], "and the other goes on waiting");
    assert!(finish(store, &again[0].delivery, DeliveryEnd::Again(at(40_000)), at(10)).await);

    // Both that failed, and those that wait behind them.
    assert_eq!(replay(&act, Replay::Since(at(-1_000_000))).await.unwrap(), 4);
    let pending = DeliveryFilter { state: Some(DeliveryState::Pending), kind: None };
    let listed = store.list_webhook_deliveries(ours.0, ours.1, pending, &Part::page(0, 9)).await.unwrap().rows;
    let due: Vec<_> = listed.iter().rev().map(|delivery| (delivery.due_at, delivery.attempts)).collect();
    assert_eq!(due, [(Some(at(10)), 0), (None, 0), (Some(at(10)), 0), (None, 0)], "each call in its order");
}

pub(crate) async fn secrets_are_sealed_and_overlap(store: &Store) {
    let (account, id) = with_endpoint(store, 1).await;
    let act = Act { at: at(10), ..ACT.clone() };
    let rotated = store.rotate_webhook_secret(&act, account, id, &Secret::new("whsec_second"), at(100)).await.unwrap();
    assert_eq!(rotated.previous_secret_until, Some(at(100)));
    let secrets = async |now| store.webhook_secrets(account, id, now).await.unwrap().unwrap().1;
    let both = secrets(at(99)).await;
    assert_eq!(
        (both.secret.expose(), both.previous.as_ref().map(Secret::expose)),
        ("whsec_second", Some("whsec_first"))
    );
    assert!(secrets(at(100)).await.previous.is_none());
}

pub(crate) async fn accounts_do_not_see_each_others_webhooks(store: &Store) {
    let ((ours, id), (theirs, _)) = (with_endpoint(store, 1).await, with_endpoint(store, 2).await);
    ring(store, ours, 1).await;
    claim(store, (ours, id), at(5)).await;
    for other in [theirs, account_id(9)] {
        assert!(store.webhook_endpoint(other, id).await.unwrap().is_none());
        assert!(store.webhook_secrets(other, id, at(1)).await.unwrap().is_none());
        assert!(store.claim_webhook_deliveries(other, id, CLAIMS, at(9)).await.unwrap().is_none());
        let listed = store.list_webhook_deliveries(other, id, DeliveryFilter::default(), &Part::page(0, 9)).await;
        assert!(listed.unwrap().rows.is_empty());
        assert!(matches!(store.delete_webhook_endpoint(&ACT, other, id).await, Err(FindWebhookError::NotFound)));
        let replayed = store.replay_webhook_deliveries(&ACT, other, id, Replay::Since(at(0)), at(9)).await;
        assert!(matches!(replayed, Err(FindWebhookError::NotFound)));
        let rotated = store.rotate_webhook_secret(&ACT, other, id, &Secret::new("whsec_x"), at(9)).await;
        assert!(matches!(rotated, Err(FindWebhookError::NotFound)));
    }
    assert_eq!(store.count_webhook_endpoints(theirs, None).await.unwrap().unwrap(), 1);
    store.delete_webhook_endpoint(&ACT, ours, id).await.unwrap();
    assert!(store.list_webhook_endpoints(ours, None, &Part::page(0, 9)).await.unwrap().rows.is_empty());
    assert_eq!(store.webhook_backlog().await.unwrap().pending, 0);
}

pub(crate) async fn only_endpoints_that_take_events_count(store: &Store) {
    assert!(!store.has_webhook_endpoints().await.unwrap());
    let (account, id) = with_endpoint(store, 1).await;
    assert!(store.has_webhook_endpoints().await.unwrap());
    let enable = async |enabled: bool| {
        let change = |endpoint: &mut WebhookEndpoint| {
            endpoint.enabled = enabled;
            Ok::<(), Infallible>(())
        };
        store.change_webhook_endpoint(&ACT, account, id, change).await.unwrap();
        store.has_webhook_endpoints().await.unwrap()
    };
    assert!(!enable(false).await);
    assert!(enable(true).await);
}

pub(crate) async fn webhooks_have_bounds_and_end(store: &Store) {
    let ours = with_endpoint(store, 1).await;
    let refused = store.insert_webhook_endpoint(&ACT, &endpoint(2, ours.0), &Secret::new("whsec_x"), 1).await;
    assert!(matches!(refused, Err(InsertWebhookError::LimitReached { limit: 1 })));
    ring(store, ours.0, 1).await;
    let claimed = claim(store, ours, at(5)).await;
    assert!(finish(store, &claimed.deliveries[0].delivery, DeliveryEnd::Delivered, at(6)).await);
    assert_eq!(store.remove_webhook_deliveries_before(at(6)).await.unwrap(), 0);
    assert_eq!(store.remove_webhook_deliveries_before(at(7)).await.unwrap(), 1);
    let pending = DeliveryFilter { state: Some(DeliveryState::Pending), kind: None };
    let listed = store.list_webhook_deliveries(ours.0, ours.1, pending, &Part::page(0, 9)).await.unwrap().rows;
    assert_eq!(listed.len(), 1);
}

pub(crate) async fn deliveries_are_listed_by_state_and_type_in_parts(store: &Store) {
    let ours = with_endpoint(store, 1).await;
    for number in 1..=3 {
        ring(store, ours.0, number).await;
    }
    let claimed = claim(store, ours, at(5)).await;
    assert!(finish(store, &claimed.deliveries[0].delivery, DeliveryEnd::Delivered, at(6)).await);
    let (all, of) = (DeliveryFilter::default(), |state| DeliveryFilter { state: Some(state), kind: None });
    let ringing = DeliveryFilter { kind: Some(EventType::CallRinging), ..all };
    for (filter, count) in [(all, 6), (of(DeliveryState::Pending), 5), (of(DeliveryState::Delivered), 1), (ringing, 3)]
    {
        let (mut sequences, mut after) = (Vec::new(), None);
        loop {
            let part = Part { after, ..Part::page(0, 2) };
            let listed = store.list_webhook_deliveries(ours.0, ours.1, filter, &part).await.unwrap();
            sequences.extend(listed.rows.iter().map(|delivery| delivery.sequence));
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(sequences.len(), count, "{filter:?}");
        assert!(sequences.is_sorted_by(|one, next| one > next), "{sequences:?}");
        let counted = store.count_webhook_deliveries(ours.0, ours.1, filter).await.unwrap();
        assert_eq!(counted, Some(count as u64), "{filter:?}");
    }
    let enabled = async |enabled| store.count_webhook_endpoints(ours.0, enabled).await.unwrap();
    assert_eq!(
        [enabled(None).await, enabled(Some(true)).await, enabled(Some(false)).await],
        [Some(1), Some(1), Some(0)]
    );
}
