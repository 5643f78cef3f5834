use crate::samples::{ACT, account_id, at, with_account};
use tandem_model::{AccountId, Role, UserId};
use tandem_store::{ChangeUserError, InsertUserError, PasswordHash, Store, User, UserChange};
use uuid::Uuid;

pub(crate) fn user(number: u128, account_id: AccountId, role: Role) -> User {
    User {
        id: UserId::from_uuid(Uuid::from_u128(number)),
        account_id,
        name: format!("user {number}"),
        email: format!("user{number}@example.com"),
        role,
        created_at: at(0),
    }
}

pub(crate) async fn users_belong_to_one_account(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let zoe = User { name: "Zoë".into(), email: "zoe@example.com".into(), ..user(1, ours, Role::Operator) };
    store.insert_user(&ACT, &zoe, None).await.unwrap();
    assert_eq!(store.users(ours, 0, 10).await.unwrap(), std::slice::from_ref(&zoe));
    assert_eq!(store.users(theirs, 0, 10).await.unwrap(), []);
    assert_eq!(store.user(ours, zoe.id).await.unwrap(), Some(zoe.clone()));
    assert_eq!(store.user(theirs, zoe.id).await.unwrap(), None);

    let again = User { email: "ZOE@example.com".into(), ..user(2, ours, Role::Viewer) };
    assert!(matches!(store.insert_user(&ACT, &again, None).await, Err(InsertUserError::EmailTaken)));
    let nowhere = user(3, account_id(3), Role::Viewer);
    assert!(matches!(store.insert_user(&ACT, &nowhere, None).await, Err(InsertUserError::UnknownAccount)));

    let change = UserChange { name: Some("mine".into()), ..UserChange::default() };
    assert!(matches!(store.update_user(&ACT, theirs, zoe.id, &change).await, Err(ChangeUserError::NotFound)));
    assert!(matches!(store.delete_user(&ACT, theirs, zoe.id).await, Err(ChangeUserError::NotFound)));
    assert_eq!(store.user(ours, zoe.id).await.unwrap(), Some(zoe));
}

pub(crate) async fn a_user_is_found_by_address_with_the_password(store: &Store) {
    let ours = with_account(store, 1).await;
    let (with, without) = (user(1, ours, Role::Viewer), user(2, ours, Role::Viewer));
    let hash = PasswordHash::new("$argon2id$…");
    store.insert_user(&ACT, &with, Some(&hash)).await.unwrap();
    store.insert_user(&ACT, &without, None).await.unwrap();
    assert_eq!(store.user_by_email("USER1@example.com").await.unwrap(), Some((with.clone(), Some(hash))));
    assert_eq!(store.user_by_email("user2@example.com").await.unwrap(), Some((without, None)));
    assert_eq!(store.user_by_email("user3@example.com").await.unwrap(), None);

    let other = PasswordHash::new("$argon2id$another");
    let change = UserChange { password: Some(other.clone()), ..UserChange::default() };
    store.update_user(&ACT, ours, with.id, &change).await.unwrap();
    assert_eq!(store.user_by_email("user1@example.com").await.unwrap().unwrap().1, Some(other));
}

pub(crate) async fn a_password_that_nobody_has_seen_is_replaced_until_somebody_has(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let hash = |text: &str| PasswordHash::new(text);
    let password = async |user: &User| store.user_by_email(&user.email).await.unwrap().unwrap().1;
    let (untouched, changed, signed_in, given) = (
        user(1, ours, Role::Viewer),
        user(2, ours, Role::Viewer),
        user(3, ours, Role::Viewer),
        user(4, ours, Role::Viewer),
    );
    for user in [&untouched, &changed, &signed_in] {
        store.insert_user_with_unseen_password(&ACT, user, &hash("first")).await.unwrap();
    }
    store.insert_user(&ACT, &given, Some(&hash("first"))).await.unwrap();
    assert_eq!(store.replace_unseen_password(&ACT, theirs, untouched.id, &hash("x")).await.unwrap(), None);
    for text in ["second", "third"] {
        let replaced = store.replace_unseen_password(&ACT, ours, untouched.id, &hash(text)).await.unwrap();
        assert_eq!((replaced.as_ref(), password(&untouched).await), (Some(&untouched), Some(hash(text))));
    }
    let raised = UserChange { role: Some(Role::Operator), ..UserChange::default() };
    store.update_user(&ACT, ours, changed.id, &raised).await.unwrap();
    store.open_session(&ACT, ours, signed_in.id, None, at(0)).await.unwrap();
    for user in [&changed, &signed_in, &given] {
        assert_eq!(store.replace_unseen_password(&ACT, ours, user.id, &hash("x")).await.unwrap(), None);
        assert_eq!(password(user).await, Some(hash("first")), "{}", user.name);
    }
}

pub(crate) async fn the_last_admin_stays_one(store: &Store) {
    let ours = with_account(store, 1).await;
    let (first, second, viewer) = (user(1, ours, Role::Admin), user(2, ours, Role::Admin), user(3, ours, Role::Viewer));
    for user in [&first, &second, &viewer] {
        store.insert_user(&ACT, user, None).await.unwrap();
    }
    let demote = UserChange { role: Some(Role::Viewer), ..UserChange::default() };
    assert_eq!(store.update_user(&ACT, ours, second.id, &demote).await.unwrap().role, Role::Viewer);
    assert!(matches!(store.update_user(&ACT, ours, first.id, &demote).await, Err(ChangeUserError::LastAdmin)));
    assert!(matches!(store.delete_user(&ACT, ours, first.id).await, Err(ChangeUserError::LastAdmin)));
    let rename = UserChange { name: Some("chief".into()), role: Some(Role::Admin), password: None };
    assert_eq!(
        store.update_user(&ACT, ours, first.id, &rename).await.unwrap(),
        User { name: "chief".into(), ..first.clone() }
    );

    let promote = UserChange { role: Some(Role::Admin), ..UserChange::default() };
    store.update_user(&ACT, ours, viewer.id, &promote).await.unwrap();
    store.delete_user(&ACT, ours, first.id).await.unwrap();
    assert_eq!(store.user(ours, first.id).await.unwrap(), None);
    assert!(matches!(store.delete_user(&ACT, ours, first.id).await, Err(ChangeUserError::NotFound)));
}

/// Two admins who remove or demote each other at once: one of them stays, whoever comes first.
pub(crate) async fn admins_who_remove_each_other_leave_one(store: &Store) {
    let ours = with_account(store, 1).await;
    let demote = UserChange { role: Some(Role::Viewer), ..UserChange::default() };
    for round in 0..20 {
        let (first, second) = (user(2 * round, ours, Role::Admin), user(2 * round + 1, ours, Role::Admin));
        store.insert_user(&ACT, &first, None).await.unwrap();
        store.insert_user(&ACT, &second, None).await.unwrap();
        for before in store.users(ours, 0, 10).await.unwrap() {
            if before.id != first.id && before.id != second.id {
                store.delete_user(&ACT, ours, before.id).await.unwrap();
            }
        }
        let delete = async |of: &User| store.delete_user(&ACT, ours, of.id).await.is_ok();
        let weaken = async |of: &User| store.update_user(&ACT, ours, of.id, &demote).await.is_ok();
        let (one, other) = match round % 3 {
            0 => tokio::join!(delete(&first), delete(&second)),
            1 => tokio::join!(weaken(&first), weaken(&second)),
            _ => tokio::join!(weaken(&first), delete(&second)),
        };
        assert!(one != other, "one of the two is refused, round {round}");
        let users = store.users(ours, 0, 10).await.unwrap();
        assert_eq!(users.iter().filter(|user| user.role == Role::Admin).count(), 1, "round {round}");
    }
}
