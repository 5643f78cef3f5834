use crate::samples::{ACT, account_id, at, call, refusal, trunk, trunk_id, with_account};
use serde_json::json;
use std::time::Duration;
use tandem_model::{
    AccountId, CallDirection, CallRecord, CallStatus, Money, Provider, Record, RefusedInvite, Role, Trunk, TrunkStatus,
    UserId,
};
use tandem_store::{
    CALLS_KEY, CallFilter, Listed, MAX_EXAMINED, Part, Position, RefusalFilter, Store, TrunkFilter, TrunkSort,
    USERS_KEY,
};
use uuid::Uuid;

async fn write(store: &Store, calls: impl IntoIterator<Item = CallRecord>) {
    let records: Vec<Record> = calls.into_iter().map(|call| Record::Call(Box::new(call))).collect();
    assert_eq!(store.write_records(&records).await.unwrap().rejected, []);
}

/// Every part of a list, one after another, and how many parts there were.
async fn walk<T>(limit: u32, reversed: bool, read: impl AsyncFn(Part) -> Listed<T>) -> (Vec<T>, usize) {
    let (mut rows, mut parts, mut after) = (Vec::new(), 0, None);
    loop {
        let mut listed = read(Part { after, reversed, ..Part::page(0, limit) }).await;
        assert!(listed.rows.len() <= limit as usize);
        rows.append(&mut listed.rows);
        parts += 1;
        after = listed.next;
        if after.is_none() {
            return (rows, parts);
        }
    }
}

async fn ids(store: &Store, account: AccountId, filter: &CallFilter, reversed: bool) -> Vec<String> {
    let read = async |part| store.calls(account, filter, &part).await.unwrap();
    let (calls, _) = walk(3, reversed, read).await;
    calls.into_iter().map(|call| call.call_id).collect()
}

pub(crate) async fn a_list_goes_on_where_it_was_left(store: &Store) {
    let account = with_account(store, 1).await;
    // Three began in each second, and were written in any order.
    let calls = (0_u64..20).map(|number| CallRecord {
        started_at: at((number * 7 % 20 / 3).cast_signed()),
        created_at: at((number % 2).cast_signed()),
        ..call(number, account)
    });
    write(store, calls).await;
    let all = store.calls(account, &CallFilter::default(), &Part::page(0, 100)).await.unwrap();
    assert_eq!((all.rows.len(), &all.next), (20, &None));
    let mut expected: Vec<String> = all.rows.into_iter().map(|call| call.call_id).collect();
    assert_eq!(ids(store, account, &CallFilter::default(), false).await, expected);
    expected.reverse();
    assert_eq!(ids(store, account, &CallFilter::default(), true).await, expected);

    // What comes in meanwhile moves nothing that comes later.
    let first = store.calls(account, &CallFilter::default(), &Part::page(0, 8)).await.unwrap();
    write(store, (100..110).map(|number| CallRecord { started_at: at(50), ..call(number, account) })).await;
    let next = Part { after: first.next, ..Part::page(0, 100) };
    let rest = store.calls(account, &CallFilter::default(), &next).await.unwrap();
    let ids: Vec<String> = first.rows.into_iter().chain(rest.rows).map(|call| call.call_id).collect();
    expected.reverse();
    assert_eq!(ids, expected);
}

pub(crate) async fn calls_are_found_by_what_they_are(store: &Store) {
    let (account, other) = (with_account(store, 1).await, with_account(store, 2).await);
    let conversation = Uuid::from_u128(77);
    let metadata = |value: serde_json::Value| value.as_object().unwrap().clone();
    let calls = [
        CallRecord { status: CallStatus::Busy, to_number: "+12".into(), ..call(1, account) },
        CallRecord { direction: CallDirection::Inbound, from_number: "+1%_!".into(), ..call(2, account) },
        CallRecord { hangup_cause: Some("stale".into()), conversation_id: Some(conversation), ..call(3, account) },
        CallRecord {
            metadata: metadata(json!({"tier": 5, "a%_!\"b": "x\\y", "deep": {"only": "here"}, "on": true})),
            ..call(4, account)
        },
        CallRecord { metadata: metadata(json!({"tier": "5", "more": {"on": true}})), ..call(5, account) },
        CallRecord { trunk_id: Some(trunk_id(1)), status: CallStatus::Failed, ..call(6, account) },
        CallRecord { conversation_id: Some(conversation), to_number: "+12".into(), ..call(7, other) },
    ];
    let seconds = 0..;
    write(store, calls.into_iter().zip(seconds).map(|(call, second)| CallRecord { started_at: at(second), ..call }))
        .await;
    let none = CallFilter::default;
    let member = |key: &str, value: &str| CallFilter { metadata: vec![(key.into(), value.into())], ..none() };
    for (filter, found) in [
        (CallFilter { statuses: vec![CallStatus::Busy, CallStatus::Failed], ..none() }, vec![6, 1]),
        (CallFilter { statuses: vec![CallStatus::Ringing], ..none() }, vec![]),
        (CallFilter { direction: Some(CallDirection::Inbound), ..none() }, vec![2]),
        (CallFilter { to_number: Some("+12".into()), ..none() }, vec![1]),
        (CallFilter { from_number: Some("+1%_!".into()), ..none() }, vec![2]),
        (CallFilter { from_number: Some("%".into()), ..none() }, vec![]),
        (CallFilter { hangup_cause: Some("stale".into()), ..none() }, vec![3]),
        (CallFilter { conversation_id: Some(conversation), ..none() }, vec![3]),
        (CallFilter { trunk_id: Some(trunk_id(1)), ..none() }, vec![6, 1]),
        (CallFilter { trunk_id: Some(trunk_id(1)), statuses: vec![CallStatus::Failed], ..none() }, vec![6]),
        (CallFilter { trunk_id: Some(trunk_id(1)), to_number: Some("+12".into()), ..none() }, vec![1]),
        (CallFilter { started_from: Some(at(2)), started_before: Some(at(4)), ..none() }, vec![4, 3]),
        (CallFilter { started_before: Some(at(0)), ..none() }, vec![]),
        (member("tier", "5"), vec![5, 4]),
        (member("on", "true"), vec![4]),
        (member("only", "here"), vec![]),
        (member("a%_!\"b", "x\\y"), vec![4]),
        (member("tier", "\" OR 1=1 --"), vec![]),
    ] {
        let found: Vec<String> =
            found.into_iter().map(|number: u64| crate::samples::call_id(number).to_string()).collect();
        assert_eq!(ids(store, account, &filter, false).await, found, "{filter:?}");
        if filter.metadata.is_empty() {
            assert_eq!(store.count_calls(account, &filter).await.unwrap(), Some(found.len() as u64), "{filter:?}");
        }
    }
    assert_eq!(ids(store, account_id(9), &none(), false).await, Vec::<String>::new());
}

pub(crate) async fn what_is_rare_is_looked_for_part_by_part(store: &Store) {
    let account = with_account(store, 1).await;
    let many = u64::from(MAX_EXAMINED) + 500;
    let calls = (0..many).map(|number| CallRecord {
        started_at: at(0).saturating_add(Duration::from_micros(number)),
        status: if number == 100 { CallStatus::Busy } else { CallStatus::Completed },
        receipt: None,
        ..call(number, account)
    });
    write(store, calls).await;
    let busy = CallFilter { statuses: vec![CallStatus::Busy], ..CallFilter::default() };
    assert!(!busy.is_narrow());
    let first = store.calls(account, &busy, &Part::page(0, 10)).await.unwrap();
    assert!(first.rows.is_empty() && first.next.is_some(), "the oldest are not looked at yet");
    let rest = store.calls(account, &busy, &Part { after: first.next, ..Part::page(0, 10) }).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));
    // From the other end it is near.
    let (found, parts) = walk(10, true, async |part| store.calls(account, &busy, &part).await.unwrap()).await;
    assert_eq!((found.len(), parts), (1, 2));
    let (all, parts) =
        walk(1_000, false, async |part| store.calls(account, &CallFilter::default(), &part).await.unwrap()).await;
    assert_eq!((all.len() as u64, parts), (many, 11));
}

pub(crate) async fn a_position_is_of_one_sort(store: &Store) {
    let account = with_account(store, 1).await;
    write(store, (0..3).map(|number| call(number, account))).await;
    let listed = store.calls(account, &CallFilter::default(), &Part::page(0, 1)).await.unwrap();
    let position = listed.next.unwrap();
    assert!(CALLS_KEY.has(&position) && !USERS_KEY.has(&position) && !TrunkSort::Name.key().has(&position));
    let text: Position = serde_json::from_value(json!([{"t": "a"}])).unwrap();
    assert!(USERS_KEY.has(&text) && !CALLS_KEY.has(&text));
    let nul: Position = serde_json::from_value(json!([{"t": "a\0"}])).unwrap();
    assert!(!USERS_KEY.has(&nul));
}

pub(crate) async fn refusals_are_found_by_what_they_are(store: &Store) {
    let account = with_account(store, 1).await;
    let refusals = [
        RefusedInvite { from_number: "+12".into(), at: at(1), ..refusal(1, account) },
        RefusedInvite { to_number: "+13".into(), at: at(2), ..refusal(2, account) },
        RefusedInvite { reason: "trunk_full".into(), at: at(3), ..refusal(3, account) },
    ];
    let records: Vec<Record> = refusals.into_iter().map(|refusal| Record::Refusal(Box::new(refusal))).collect();
    store.write_records(&records).await.unwrap();
    let none = RefusalFilter::default;
    for (filter, found) in [
        (none(), vec![3, 2, 1]),
        (RefusalFilter { from_number: Some("+12".into()), ..none() }, vec![1]),
        (RefusalFilter { to_number: Some("+13".into()), ..none() }, vec![2]),
        (RefusalFilter { reason: Some("trunk_full".into()), ..none() }, vec![3]),
        (RefusalFilter { trunk_id: Some(trunk_id(2)), ..none() }, vec![2]),
        (RefusalFilter { from: Some(at(2)), before: Some(at(3)), ..none() }, vec![2]),
    ] {
        let (rows, _) = walk(2, false, async |part| store.refusals(account, &filter, &part).await.unwrap()).await;
        let expected: Vec<_> = found.into_iter().map(crate::samples::refusal_id).collect();
        assert_eq!(rows.iter().map(|refusal| refusal.id).collect::<Vec<_>>(), expected, "{filter:?}");
        assert_eq!(store.count_refusals(account, &filter).await.unwrap(), Some(expected.len() as u64));
    }
}

pub(crate) async fn short_lists_go_on_too(store: &Store) {
    let account = with_account(store, 1).await;
    for (number, name, status, provider) in [
        (1_u64, "c", TrunkStatus::Active, Provider::Twilio),
        (2, "a", TrunkStatus::Inactive, Provider::Custom),
        (3, "b", TrunkStatus::Active, Provider::Custom),
    ] {
        let (name, created_at) = (name.to_owned(), at(number.cast_signed()));
        let cost_per_minute = Money::from_micros(1_000 - number.cast_signed());
        let trunk = Trunk { status, provider, name, created_at, cost_per_minute, ..trunk(number, account) };
        store.insert_trunk(&ACT, &trunk, 10).await.unwrap();
    }
    let none = TrunkFilter::default();
    for (filter, found) in [
        (none, vec![1, 2, 3]),
        (TrunkFilter { sort: TrunkSort::Name, ..none }, vec![2, 3, 1]),
        (TrunkFilter { sort: TrunkSort::Age, ..none }, vec![1, 2, 3]),
        (TrunkFilter { sort: TrunkSort::Cost, ..none }, vec![3, 2, 1]),
        (TrunkFilter { status: Some(TrunkStatus::Active), ..none }, vec![1, 3]),
        (TrunkFilter { provider: Some(Provider::Custom), sort: TrunkSort::Name, ..none }, vec![2, 3]),
    ] {
        let read = async |part| store.list_trunks(account, &filter, &part).await.unwrap();
        let (rows, _) = walk(1, false, read).await;
        let found: Vec<_> = found.into_iter().map(trunk_id).collect();
        assert_eq!(rows.iter().map(|trunk| trunk.id).collect::<Vec<_>>(), found, "{filter:?}");
        assert_eq!(store.count_trunks(account, &filter).await.unwrap(), Some(found.len() as u64));
    }

    for (number, role) in [(1, Role::Admin), (2, Role::Viewer), (3, Role::Viewer)] {
        let user = tandem_store::User {
            id: UserId::from_uuid(Uuid::from_u128(number)),
            account_id: account,
            name: "x".into(),
            email: format!("{number}@example.com"),
            role,
            created_at: at(0),
        };
        store.insert_user(&ACT, &user, None).await.unwrap();
    }
    let (viewers, parts) =
        walk(1, false, async |part| store.list_users(account, Some(Role::Viewer), &part).await.unwrap()).await;
    assert_eq!((viewers.len(), parts), (2, 2));
    assert_eq!(viewers[0].email, "2@example.com");
    assert_eq!(store.count_users(account, None).await.unwrap(), Some(3));

    let mut keys = Vec::new();
    for name in ["a", "b", "c"] {
        keys.push(store.create_api_key(&ACT, account, name).await.unwrap().0);
    }
    store.revoke_api_key(&ACT, account, keys[1]).await.unwrap();
    for (revoked, count) in [(None, 3), (Some(true), 1), (Some(false), 2)] {
        let read = async |part| store.list_api_keys(account, revoked, &part).await.unwrap();
        assert_eq!(walk(1, true, read).await.0.len(), count, "{revoked:?}");
        assert_eq!(store.count_api_keys(account, revoked).await.unwrap(), Some(count as u64));
    }
}
