use crate::samples::{account, account_id, at, with_account};
use tandem_model::{Account, Tier, UserId};
use tandem_store::{AccountChange, InsertAccountError, InsertUserError, Role, Store, UpdateAccountError, User};
use uuid::Uuid;

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
    assert!(matches!(store.insert_account(&same_name).await, Err(InsertAccountError::NameTaken)));
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
    assert_eq!(store.update_account(account_id(1), change).await.unwrap(), expected);

    let change = AccountChange { tier: Some(Tier::Free), max_trunks: Some(None), max_calls: None };
    let expected = Account { tier: Tier::Free, max_trunks: None, ..expected };
    assert_eq!(store.update_account(account_id(1), change).await.unwrap(), expected);
    assert_eq!(store.account(account_id(1)).await.unwrap(), Some(expected));

    let missing = store.update_account(account_id(2), change).await;
    assert!(matches!(missing, Err(UpdateAccountError::NotFound)));
}

pub(crate) async fn the_admin_account_is_made_once_and_left_alone(store: &Store) {
    let made = store.ensure_admin_account("admin").await.unwrap();
    assert_eq!(made.tier, Tier::Enterprise);
    assert_eq!(store.ensure_admin_account("admin").await.unwrap(), made);

    let change = AccountChange { tier: Some(Tier::Pro), ..AccountChange::default() };
    store.update_account(made.id, change).await.unwrap();
    assert_eq!(store.ensure_admin_account("admin").await.unwrap().tier, Tier::Pro);
}

pub(crate) async fn users_belong_to_one_account(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let user = User {
        id: UserId::from_uuid(Uuid::from_u128(1)),
        account_id: ours,
        name: "Zoë".into(),
        email: "zoe@example.com".into(),
        role: Role::Operator,
        created_at: at(0),
    };
    store.insert_user(&user).await.unwrap();
    assert_eq!(store.users(ours, 0, 10).await.unwrap(), std::slice::from_ref(&user));
    assert_eq!(store.users(theirs, 0, 10).await.unwrap(), []);

    let again = User { id: UserId::from_uuid(Uuid::from_u128(2)), email: "ZOE@example.com".into(), ..user };
    assert!(matches!(store.insert_user(&again).await, Err(InsertUserError::EmailTaken)));
    let nowhere = User { account_id: account_id(3), email: "other@example.com".into(), ..again };
    assert!(matches!(store.insert_user(&nowhere).await, Err(InsertUserError::UnknownAccount)));
}
