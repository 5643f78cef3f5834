use crate::samples::{ACT, account_id, at, trunk_id, with_account, with_trunk};
use serde_json::json;
use tandem_model::{AccountId, Connect, NumberId, NumberRoute, PhoneNumber};
use tandem_store::{ChangeNumberError, InsertNumberError, NumberChange, Part, Store};
use uuid::Uuid;

fn number(digits: u64, account_id: AccountId) -> PhoneNumber {
    PhoneNumber {
        id: NumberId::from_uuid(Uuid::from_u128(u128::from(digits))),
        account_id,
        number: format!("+{digits}").parse().unwrap(),
        label: Some("Reception".into()),
        connect: Connect::Play { tone: "440+480".into() },
        trunk_id: None,
        metadata: json!({"desk": [1, null]}).as_object().unwrap().clone(),
        created_at: at(1),
        updated_at: at(2),
    }
}

pub(crate) async fn a_number_comes_back_as_it_was_written(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    let full = PhoneNumber { trunk_id: Some(trunk), ..number(12_025_550_100, account) };
    let bare = PhoneNumber { label: None, connect: Connect::Forward, ..number(12_025_550_101, account) };
    for number in [&full, &bare] {
        store.insert_number(&ACT, number).await.unwrap();
        assert_eq!(store.number(account, number.id).await.unwrap().as_ref(), Some(number));
    }
    let all = store.list_numbers(account, None, &Part::page(0, 10)).await.unwrap();
    assert_eq!((all.rows, all.next), (vec![full.clone(), bare], None));
    let of_trunk = store.list_numbers(account, Some(trunk), &Part::page(0, 10)).await.unwrap();
    assert_eq!(of_trunk.rows, [full]);
    assert_eq!(store.count_numbers(account, None).await.unwrap(), Some(2));
}

pub(crate) async fn a_number_is_of_one_account_at_a_time(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let first = number(12_025_550_100, ours);
    store.insert_number(&ACT, &first).await.unwrap();
    for account in [ours, theirs] {
        let again = PhoneNumber { id: NumberId::from_uuid(Uuid::from_u128(9)), ..number(12_025_550_100, account) };
        assert!(matches!(store.insert_number(&ACT, &again).await, Err(InsertNumberError::Taken)));
    }
    for account in [theirs, account_id(9)] {
        assert_eq!(store.number(account, first.id).await.unwrap(), None);
        assert!(store.list_numbers(account, None, &Part::page(0, 10)).await.unwrap().rows.is_empty());
        let changed = store.update_number(&ACT, account, first.id, NumberChange::default()).await;
        assert!(matches!(changed, Err(ChangeNumberError::NotFound)));
        assert!(matches!(store.delete_number(&ACT, account, first.id).await, Err(ChangeNumberError::NotFound)));
    }
    store.delete_number(&ACT, ours, first.id).await.unwrap();
    store.insert_number(&ACT, &number(12_025_550_100, theirs)).await.unwrap();
}

pub(crate) async fn a_number_changes_where_it_is_told_to(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    let (_, foreign) = with_trunk(store, 2).await;
    let first = number(12_025_550_100, account);
    store.insert_number(&ACT, &first).await.unwrap();
    let to_trunk = |trunk| NumberChange { trunk_id: Some(trunk), ..NumberChange::default() };
    let update = async |change| store.update_number(&ACT, account, first.id, change).await;
    let bound = update(to_trunk(Some(trunk))).await.unwrap();
    assert!(bound.updated_at > first.updated_at, "also where the clock went back");
    assert_eq!(bound, PhoneNumber { trunk_id: Some(trunk), updated_at: bound.updated_at, ..first.clone() });
    for wrong in [foreign, trunk_id(9)] {
        assert!(matches!(update(to_trunk(Some(wrong))).await, Err(ChangeNumberError::UnknownTrunk)));
        let new = PhoneNumber { trunk_id: Some(wrong), ..number(12_025_550_199, account) };
        assert!(matches!(store.insert_number(&ACT, &new).await, Err(InsertNumberError::UnknownTrunk)));
    }
    let change = NumberChange {
        label: Some(None),
        connect: Some(Connect::Echo),
        trunk_id: Some(None),
        metadata: Some(serde_json::Map::new()),
    };
    let changed = update(change).await.unwrap();
    assert_eq!(store.number(account, first.id).await.unwrap(), Some(changed.clone()));
    assert_eq!((changed.label, changed.connect, changed.trunk_id), (None, Connect::Echo, None));
    assert!(changed.metadata.is_empty());
}

pub(crate) async fn routing_sees_numbers_and_every_change_of_them(store: &Store) {
    let account = with_account(store, 1).await;
    let first = number(12_025_550_100, account);
    let mut revision = store.revision().await.unwrap();
    let mut counted_up = async || {
        let now = store.revision().await.unwrap();
        assert!(now > std::mem::replace(&mut revision, now));
    };
    store.insert_number(&ACT, &first).await.unwrap();
    counted_up().await;
    let change = NumberChange { connect: Some(Connect::Echo), ..NumberChange::default() };
    store.update_number(&ACT, account, first.id, change).await.unwrap();
    counted_up().await;
    let route = NumberRoute { number: first.number, account_id: account, trunk_id: None, connect: Connect::Echo };
    assert_eq!(store.routing_snapshot().await.unwrap().numbers, [route]);
    store.delete_number(&ACT, account, first.id).await.unwrap();
    counted_up().await;
    assert_eq!(store.routing_snapshot().await.unwrap().numbers, []);
}
