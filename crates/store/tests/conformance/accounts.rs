use crate::samples::{ACT, account, account_id, with_account};
use tandem_model::{Account, Tier};
use tandem_store::{AccountChange, InsertAccountError, Store, UpdateAccountError};

pub(crate) async fn an_account_is_found_by_id_and_name(store: &Store) {
    with_account(store, 1).await;
    assert_eq!(store.account(account_id(1)).await.unwrap(), Some(account(1)));
    assert_eq!(store.account_by_name("account 1").await.unwrap(), Some(account(1)));
    assert_eq!(store.account(account_id(2)).await.unwrap(), None);
    assert_eq!(store.account_by_name("Account 1").await.unwrap(), None);
}

pub(crate) async fn a_name_is_given_once(store: &Store) {
    with_account(store, 1).await;
    let same_name = Account { name: "account 1".into(), ..account(2) };
    assert!(matches!(store.insert_account(&ACT, &same_name).await, Err(InsertAccountError::NameTaken)));
    assert_eq!(store.account(account_id(2)).await.unwrap(), None);
}

pub(crate) async fn accounts_are_listed_by_name(store: &Store) {
    for number in [3, 1, 2] {
        with_account(store, number).await;
    }
    assert_eq!(store.accounts(0, 100).await.unwrap(), [account(1), account(2), account(3)]);
    assert_eq!(store.accounts(1, 1).await.unwrap(), [account(2)]);
    assert_eq!(store.accounts(3, 1).await.unwrap(), []);
}

pub(crate) async fn a_change_touches_only_what_it_names(store: &Store) {
    with_account(store, 1).await;
    let change = AccountChange { max_calls: Some(Some(400)), ..AccountChange::default() };
    let expected = Account { max_calls: Some(400), ..account(1) };
    assert_eq!(store.update_account(&ACT, account_id(1), change).await.unwrap(), expected);

    let change = AccountChange { tier: Some(Tier::Free), max_trunks: Some(None), max_calls: None };
    let expected = Account { tier: Tier::Free, max_trunks: None, ..expected };
    assert_eq!(store.update_account(&ACT, account_id(1), change).await.unwrap(), expected);
    assert_eq!(store.account(account_id(1)).await.unwrap(), Some(expected));

    let missing = store.update_account(&ACT, account_id(2), change).await;
    assert!(matches!(missing, Err(UpdateAccountError::NotFound)));
}

pub(crate) async fn the_admin_account_is_made_once_and_left_alone(store: &Store) {
    let made = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    assert_eq!(made.tier, Tier::Enterprise);
    assert_eq!(store.ensure_admin_account(&ACT, "admin").await.unwrap(), made);

    let change = AccountChange { tier: Some(Tier::Pro), ..AccountChange::default() };
    store.update_account(&ACT, made.id, change).await.unwrap();
    assert_eq!(store.ensure_admin_account(&ACT, "admin").await.unwrap().tier, Tier::Pro);
}
