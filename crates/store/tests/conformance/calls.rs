use crate::samples::{ACT, account_id, at, call, call_id, external_call, trunk_id, with_account, with_trunk};
use std::convert::Infallible;
use tandem_model::{AccountId, CallRecord, CallStatus, Money, Record, TrunkId};
use tandem_store::{CallFilter, CallKey, InsertCallError, MAX_PAGE, OpenExternalCall, Part, Store, UpdateCallError};

async fn listed(store: &Store, account: AccountId, trunk_id: Option<TrunkId>, part: Part) -> Vec<CallRecord> {
    store.calls(account, &CallFilter { trunk_id, ..CallFilter::default() }, &part).await.unwrap().rows
}

async fn all(store: &Store, account: AccountId) -> Vec<CallRecord> {
    listed(store, account, None, Part::page(0, 100)).await
}

pub(crate) async fn an_external_call_comes_back_as_it_was_written(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    let full = CallRecord {
        answered_at: Some(at(11)),
        quality_score: Some(4.2),
        cost: Some(Money::from_micros(7)),
        credits_used: Some(Money::from_micros(8)),
        ..external_call(1, account, trunk)
    };
    let bare = CallRecord {
        conversation_id: None,
        to_uri: None,
        sip_status: None,
        codec_used: None,
        sip_call_id: None,
        remote_ip: None,
        metadata: serde_json::Map::new(),
        ..external_call(2, account, trunk)
    };
    for call in [full, bare] {
        store.insert_external_call(&ACT, &call).await.unwrap();
        assert_eq!(store.call(account, &CallKey::Id(call.id)).await.unwrap(), Some(call));
    }
}

pub(crate) async fn a_call_id_is_unique_in_the_account(store: &Store) {
    let ((ours, our_trunk), (theirs, their_trunk)) = (with_trunk(store, 1).await, with_trunk(store, 2).await);
    store.insert_external_call(&ACT, &external_call(1, ours, our_trunk)).await.unwrap();
    let again = CallRecord { id: call_id(2), ..external_call(1, ours, our_trunk) };
    assert!(matches!(store.insert_external_call(&ACT, &again).await, Err(InsertCallError::CallIdTaken)));
    assert_eq!(all(store, ours).await.len(), 1);
    let elsewhere = CallRecord { id: call_id(2), ..external_call(1, theirs, their_trunk) };
    store.insert_external_call(&ACT, &elsewhere).await.unwrap();
}

pub(crate) async fn an_external_call_needs_a_trunk_of_the_account(store: &Store) {
    let ((ours, trunk), (_, foreign)) = (with_trunk(store, 1).await, with_trunk(store, 2).await);
    store.delete_trunk(&ACT, ours, trunk, at(9)).await.unwrap();
    for wrong in [Some(trunk), Some(foreign), Some(trunk_id(9)), None] {
        let call = CallRecord { trunk_id: wrong, ..external_call(1, ours, trunk) };
        assert!(matches!(store.insert_external_call(&ACT, &call).await, Err(InsertCallError::UnknownTrunk)));
    }
    assert!(all(store, ours).await.is_empty());
}

pub(crate) async fn a_call_is_found_by_either_id(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    let logged = external_call(1, account, trunk);
    // A client may use a UUID of its own, even that of another call: its own id comes first.
    let confusing = CallRecord { call_id: call_id(1).to_string(), ..external_call(2, account, trunk) };
    store.insert_external_call(&ACT, &logged).await.unwrap();
    let found = async |key: CallKey| store.call(account, &key).await.unwrap().map(|call| call.id);

    assert_eq!(found(CallKey::Id(call_id(1))).await, Some(call_id(1)));
    assert_eq!(found(CallKey::ClientId("client-1".into())).await, Some(call_id(1)));
    assert_eq!(found(CallKey::Any("client-1".into())).await, Some(call_id(1)));
    assert_eq!(found(CallKey::Any(call_id(1).to_string())).await, Some(call_id(1)));
    assert_eq!(found(CallKey::ClientId(call_id(1).to_string())).await, None);
    assert_eq!(found(CallKey::Id(call_id(9))).await, None);
    assert_eq!(found(CallKey::Any("nothing".into())).await, None);
    assert_eq!(found(CallKey::Any("\0".into())).await, None);

    store.insert_external_call(&ACT, &confusing).await.unwrap();
    assert_eq!(found(CallKey::Any(call_id(1).to_string())).await, Some(call_id(2)));
    assert_eq!(found(CallKey::Id(call_id(1))).await, Some(call_id(1)));
}

pub(crate) async fn calls_are_listed_newest_first(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    store.insert_trunk(&ACT, &crate::samples::trunk(2, account), 10).await.unwrap();
    for (number, over, started, created) in
        [(1, trunk, 5, 5), (2, trunk_id(2), 9, 6), (3, trunk, 7, 8), (4, trunk, 7, 7), (5, trunk, 7, 7)]
    {
        let call =
            CallRecord { started_at: at(started), created_at: at(created), ..external_call(number, account, over) };
        store.insert_external_call(&ACT, &call).await.unwrap();
    }
    let ids = async |trunk, skip, limit| {
        let calls = listed(store, account, trunk, Part::page(skip, limit)).await;
        calls.iter().map(|call| call.call_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 0, 100).await, ["client-2", "client-3", "client-5", "client-4", "client-1"]);
    assert_eq!(ids(None, 1, 2).await, ["client-3", "client-5"]);
    assert_eq!(ids(Some(trunk), 0, 100).await, ["client-3", "client-5", "client-4", "client-1"]);
    assert_eq!(ids(Some(trunk), 3, 100).await, ["client-1"]);
    assert_eq!(ids(Some(trunk_id(9)), 0, 100).await, Vec::<String>::new());
}

pub(crate) async fn lists_are_cut_at_the_page_limit(store: &Store) {
    let account = with_account(store, 1).await;
    let calls = (0..u64::from(MAX_PAGE) + 1).map(|number| Record::Call(Box::new(call(number, account))));
    store.write_records(&calls.collect::<Vec<_>>()).await.unwrap();
    let most = store.calls(account, &CallFilter::default(), &Part::page(0, u32::MAX)).await.unwrap();
    assert_eq!(most.rows.len() as u64, u64::from(MAX_PAGE));
    let rest =
        store.calls(account, &CallFilter::default(), &Part { after: most.next, ..Part::page(0, 1) }).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));
}

pub(crate) async fn only_one_of_many_updates_sees_the_end_appear(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    store.insert_external_call(&ACT, &external_call(1, account, trunk)).await.unwrap();
    let requests = (0..10).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let end = |call: &mut CallRecord| {
                call.ended_at.get_or_insert(at(30));
                call.status = CallStatus::Completed;
                Ok::<(), Infallible>(())
            };
            let update = store.update_call(&ACT, account, &CallKey::Id(call_id(1)), end).await.unwrap();
            update.before.ended_at.is_none() && update.after.ended_at.is_some()
        })
    });
    let mut freed = 0;
    for request in requests.collect::<Vec<_>>() {
        freed += u32::from(request.await.unwrap());
    }
    assert_eq!(freed, 1);
}

pub(crate) async fn an_update_writes_only_what_clients_may_change(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    let logged = external_call(1, account, trunk);
    store.insert_external_call(&ACT, &logged).await.unwrap();
    let update = store
        .update_call(&ACT, account, &CallKey::ClientId("client-1".into()), |call| {
            call.answered_at = Some(at(11));
            call.ended_at = Some(at(21));
            call.duration_ms = Some(10_000);
            call.status = CallStatus::Completed;
            call.hangup_cause = Some("done".into());
            call.quality_score = Some(3.5);
            call.codec_used = Some("G722".into());
            call.cost = Some(Money::from_micros(70));
            call.credits_used = Some(Money::from_micros(80));
            call.metadata.insert("more".into(), true.into());
            call.to_number = "changed".into();
            call.call_id = "changed".into();
            Ok::<(), Infallible>(())
        })
        .await
        .unwrap();
    assert_eq!(update.before, logged);
    assert_eq!(update.after.duration_ms, Some(10_000));
    assert_eq!((update.after.to_number.as_str(), update.after.call_id.as_str()), ("+442079460000", "client-1"));
    assert_eq!(store.call(account, &CallKey::Id(logged.id)).await.unwrap(), Some(update.after));
}

pub(crate) async fn a_refused_update_writes_nothing(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    let logged = external_call(1, account, trunk);
    store.insert_external_call(&ACT, &logged).await.unwrap();
    let key = CallKey::Id(logged.id);
    let refused = store.update_call(&ACT, account, &key, |call| {
        call.status = CallStatus::Failed;
        Err("no")
    });
    assert!(matches!(refused.await, Err(UpdateCallError::Refused("no"))));
    let missing = store.update_call(&ACT, account, &CallKey::Id(call_id(9)), |_| Ok::<(), Infallible>(())).await;
    assert!(matches!(missing, Err(UpdateCallError::NotFound)));
    assert_eq!(store.call(account, &key).await.unwrap(), Some(logged));
}

pub(crate) async fn open_external_calls_are_those_that_hold_slots(store: &Store) {
    let ((ours, our_trunk), (theirs, their_trunk)) = (with_trunk(store, 1).await, with_trunk(store, 2).await);
    let ended = CallRecord { ended_at: Some(at(20)), ..external_call(1, ours, our_trunk) };
    for call in [ended, external_call(2, ours, our_trunk), external_call(3, theirs, their_trunk)] {
        store.insert_external_call(&ACT, &call).await.unwrap();
    }
    let live = CallRecord { ended_at: None, ..call(4, ours) };
    store.write_records(&[Record::Call(Box::new(live))]).await.unwrap();

    let open = |account_id, trunk_id, number| OpenExternalCall { account_id, trunk_id, call_id: call_id(number) };
    let expected = [open(ours, our_trunk, 2), open(theirs, their_trunk, 3)];
    assert_eq!(store.open_external_calls().await.unwrap(), expected);

    let in_a_year = at(100 * 365 * 24 * 3_600);
    assert_eq!(store.stale_external_calls(in_a_year).await.unwrap(), expected);
    assert_eq!(store.stale_external_calls(at(0)).await.unwrap(), []);
    store.update_call(&ACT, ours, &CallKey::Id(call_id(2)), |_| Ok::<(), Infallible>(())).await.unwrap();
    let longest_untouched = store.stale_external_calls(in_a_year).await.unwrap();
    assert_eq!(longest_untouched, [expected[1], expected[0]]);
}

pub(crate) async fn accounts_do_not_see_each_others_calls(store: &Store) {
    let ((ours, trunk), theirs) = (with_trunk(store, 1).await, with_account(store, 2).await);
    let logged = external_call(1, ours, trunk);
    store.insert_external_call(&ACT, &logged).await.unwrap();
    for account in [theirs, account_id(9)] {
        for key in [
            CallKey::Id(call_id(1)),
            CallKey::ClientId("client-1".into()),
            CallKey::Any("client-1".into()),
            CallKey::Any(call_id(1).to_string()),
        ] {
            assert_eq!(store.call(account, &key).await.unwrap(), None, "{key:?}");
            let update = store.update_call(&ACT, account, &key, |_| Ok::<(), Infallible>(())).await;
            assert!(matches!(update, Err(UpdateCallError::NotFound)), "{key:?}");
        }
        assert!(all(store, account).await.is_empty());
        assert!(listed(store, account, Some(trunk), Part::page(0, 100)).await.is_empty());
    }
}
