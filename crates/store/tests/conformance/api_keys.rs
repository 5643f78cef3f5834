use crate::samples::{account, account_id, with_account};
use tandem_model::Secret;
use tandem_store::{InsertApiKeyError, KeyOwner, RevokeApiKeyError, Store};

pub(crate) async fn a_key_opens_its_account_until_it_is_revoked(store: &Store) {
    let account_id = with_account(store, 1).await;
    let (id, key) = store.create_api_key(account_id, "laptop").await.unwrap();
    assert!(key.expose().starts_with("tdm_") && key.expose().len() == 4 + 64);
    let owner = KeyOwner { key_id: id, account: account(1) };
    assert_eq!(store.authenticate(key.expose()).await.unwrap(), Some(owner));

    store.revoke_api_key(account_id, id).await.unwrap();
    assert_eq!(store.authenticate(key.expose()).await.unwrap(), None);
    let revoked_at = store.api_keys(account_id, 0, 10).await.unwrap()[0].revoked_at;
    store.revoke_api_key(account_id, id).await.unwrap();
    assert_eq!(store.api_keys(account_id, 0, 10).await.unwrap()[0].revoked_at, revoked_at);
}

pub(crate) async fn a_key_from_elsewhere_is_taken_once(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let key = Secret::new("a key that an operator chose");
    let id = store.insert_api_key_with(ours, "bootstrap", &key).await.unwrap();
    assert_eq!(store.insert_api_key_with(ours, "bootstrap", &key).await.unwrap(), id);
    assert_eq!(store.authenticate(key.expose()).await.unwrap().unwrap().account.id, ours);
    let stolen = store.insert_api_key_with(theirs, "bootstrap", &key).await;
    assert!(matches!(stolen, Err(InsertApiKeyError::KeyTaken)));

    store.revoke_api_key(ours, id).await.unwrap();
    let revived = store.insert_api_key_with(ours, "bootstrap", &key).await;
    assert!(matches!(revived, Err(InsertApiKeyError::Revoked)));
}

pub(crate) async fn keys_that_are_no_keys_are_refused(store: &Store) {
    let account_id_1 = with_account(store, 1).await;
    for text in ["", "short", &"x".repeat(513)] {
        let error = store.insert_api_key_with(account_id_1, "weak", &Secret::new(text)).await.unwrap_err();
        assert!(matches!(error, InsertApiKeyError::Length { .. }));
        assert_eq!(store.authenticate(text).await.unwrap(), None);
    }
    let orphan = store.create_api_key(account_id(9), "orphan").await;
    assert!(matches!(orphan, Err(InsertApiKeyError::UnknownAccount)));
    let (_, key) = store.create_api_key(account_id_1, "real").await.unwrap();
    assert_eq!(store.authenticate(&key.expose().to_uppercase()).await.unwrap(), None);
    assert_eq!(store.authenticate(&key.expose()[..40]).await.unwrap(), None);
}

pub(crate) async fn the_use_of_a_key_is_noted(store: &Store) {
    let account_id = with_account(store, 1).await;
    let (_, key) = store.create_api_key(account_id, "laptop").await.unwrap();
    assert_eq!(store.api_keys(account_id, 0, 10).await.unwrap()[0].last_used_at, None);
    let revision = store.revision().await.unwrap();

    store.authenticate(key.expose()).await.unwrap().unwrap();
    let noted = store.api_keys(account_id, 0, 10).await.unwrap()[0].last_used_at;
    assert!(noted.is_some());
    store.authenticate(key.expose()).await.unwrap().unwrap();
    assert_eq!(store.api_keys(account_id, 0, 10).await.unwrap()[0].last_used_at, noted, "once a minute is enough");
    assert_eq!(store.revision().await.unwrap(), revision, "nobody has to load routes for it");
}

pub(crate) async fn keys_are_listed_and_revoked_within_the_account_only(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let (first, key) = store.create_api_key(ours, "first").await.unwrap();
    let (second, _) = store.create_api_key(ours, "second").await.unwrap();

    let listed = store.api_keys(ours, 0, 10).await.unwrap();
    assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!((listed[1].name.as_str(), listed[1].prefix.as_str()), ("first", &key.expose()[..12]));
    assert_eq!(store.api_keys(theirs, 0, 10).await.unwrap(), []);

    assert!(matches!(store.revoke_api_key(theirs, first).await, Err(RevokeApiKeyError::NotFound)));
    assert!(store.authenticate(key.expose()).await.unwrap().is_some());
}
