use crate::samples::{ACT, account, account_id, at, with_account};
use tandem_model::{AccountId, ApiKeyId, Permission, Permissions, Secret, Timestamp};
use tandem_store::{
    Act, Actor, ActorKind, ApiKey, AuditFilter, InsertApiKeyError, KeyMaker, KeyOwner, NewApiKey, RevokeApiKeyError,
    SecretReplacement, Store,
};
use uuid::Uuid;

pub(crate) async fn a_key_opens_its_account_until_it_is_revoked(store: &Store) {
    let account_id = with_account(store, 1).await;
    let (id, key) = store.create_api_key(&ACT, account_id, "laptop").await.unwrap();
    assert!(key.expose().starts_with("tdm_") && key.expose().len() == 4 + 64);
    let owner = KeyOwner {
        key_id: id,
        name: "laptop".to_owned(),
        account: account(1),
        scopes: Permissions::ALL,
        expires_at: None,
        node_admin: false,
        last_used_at: None,
    };
    assert_eq!(store.authenticate(key.expose()).await.unwrap(), Some(owner));

    store.revoke_api_key(&ACT, account_id, id).await.unwrap();
    assert_eq!(store.authenticate(key.expose()).await.unwrap(), None);
    let revoked_at = store.api_keys(account_id, 0, 10).await.unwrap()[0].revoked_at;
    store.revoke_api_key(&ACT, account_id, id).await.unwrap();
    assert_eq!(store.api_keys(account_id, 0, 10).await.unwrap()[0].revoked_at, revoked_at);
}

pub(crate) async fn a_key_from_elsewhere_is_taken_once(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let key = Secret::new("a key that an operator has chosen");
    let id = store.insert_api_key_with(&ACT, ours, "bootstrap", &key).await.unwrap();
    assert_eq!(store.insert_api_key_with(&ACT, ours, "bootstrap", &key).await.unwrap(), id);
    assert_eq!(store.authenticate(key.expose()).await.unwrap().unwrap().account.id, ours);
    let stolen = store.insert_api_key_with(&ACT, theirs, "bootstrap", &key).await;
    assert!(matches!(stolen, Err(InsertApiKeyError::KeyTaken)));

    store.revoke_api_key(&ACT, ours, id).await.unwrap();
    let revived = store.insert_api_key_with(&ACT, ours, "bootstrap", &key).await;
    assert!(matches!(revived, Err(InsertApiKeyError::Revoked)));
}

pub(crate) async fn keys_that_are_no_keys_are_refused(store: &Store) {
    let account_id_1 = with_account(store, 1).await;
    for text in ["", "short", &"x".repeat(31), &"x".repeat(513)] {
        let error = store.insert_api_key_with(&ACT, account_id_1, "weak", &Secret::new(text)).await.unwrap_err();
        assert!(matches!(error, InsertApiKeyError::Length { .. }));
        assert_eq!(store.authenticate(text).await.unwrap(), None);
    }
    let orphan = store.create_api_key(&ACT, account_id(9), "orphan").await;
    assert!(matches!(orphan, Err(InsertApiKeyError::UnknownAccount)));
    let (_, key) = store.create_api_key(&ACT, account_id_1, "real").await.unwrap();
    assert_eq!(store.authenticate(&key.expose().to_uppercase()).await.unwrap(), None);
    assert_eq!(store.authenticate(&key.expose()[..40]).await.unwrap(), None);
}

pub(crate) async fn the_use_of_a_key_is_noted(store: &Store) {
    let account_id = with_account(store, 1).await;
    let (id, key) = store.create_api_key(&ACT, account_id, "laptop").await.unwrap();
    assert!(store.authenticate(key.expose()).await.unwrap().unwrap().is_use_due(at(0)));
    let revision = store.revision().await.unwrap();

    store.note_key_use(id, at(0)).await;
    assert_eq!(store.api_keys(account_id, 0, 10).await.unwrap()[0].last_used_at, Some(at(0)));
    let owner = store.authenticate(key.expose()).await.unwrap().unwrap();
    assert!(!owner.is_use_due(at(59)) && owner.is_use_due(at(60)), "once a minute is enough");
    assert_eq!(store.revision().await.unwrap(), revision, "nobody has to load routes for it");
}

pub(crate) async fn a_key_keeps_its_scopes_and_its_end(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let scopes = Permissions::of(&[Permission::Read, Permission::Calls]);
    let new = NewApiKey { account_id: ours, name: "dialler", scopes, expires_at: Some(at(60)) };
    let (key, secret) = store.create_limited_api_key(&ACT, new).await.unwrap();
    assert_eq!((key.scopes, key.expires_at), (scopes, Some(at(60))));
    assert_eq!(store.api_key(ours, key.id).await.unwrap(), Some(key.clone()));
    assert_eq!(store.api_key(theirs, key.id).await.unwrap(), None);
    assert_eq!(store.api_key(ours, ApiKeyId::from_uuid(Uuid::from_u128(9))).await.unwrap(), None);
    assert_eq!(store.api_keys(ours, 0, 10).await.unwrap(), std::slice::from_ref(&key));
    let owner = store.authenticate(secret.expose()).await.unwrap().unwrap();
    assert_eq!((owner.key_id, owner.scopes, owner.expires_at), (key.id, scopes, Some(at(60))));
}

pub(crate) async fn a_key_that_nobody_has_used_takes_another_secret(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let id = ApiKeyId::from_uuid(Uuid::from_u128(9));
    let scopes = Permissions::of(&[Permission::Read]);
    let new = NewApiKey { account_id: ours, name: "dialler", scopes, expires_at: Some(at(60)) };
    let (key, first) = store.create_api_key_of_id(&ACT, id, new).await.unwrap();
    assert_eq!(key.id, id);
    let nobodys = store.replace_unused_secret(&ACT, theirs, id).await.unwrap();
    assert!(matches!(nobodys, SecretReplacement::NoSuchKey), "{nobodys:?}");
    let revision = store.revision().await.unwrap();
    let replaced = store.replace_unused_secret(&ACT, ours, id).await.unwrap();
    let SecretReplacement::Replaced(after, second) = replaced else { panic!("{replaced:?}") };
    assert_eq!(*after, ApiKey { prefix: second.expose()[..12].to_owned(), ..key });
    assert_eq!(store.api_keys(ours, 0, 10).await.unwrap(), [*after]);
    assert!(store.revision().await.unwrap() > revision, "who has the first secret in memory looks again");
    assert_eq!(store.authenticate(first.expose()).await.unwrap(), None);
    assert_eq!(store.authenticate(second.expose()).await.unwrap().unwrap().key_id, id);

    store.note_key_use(id, at(0)).await;
    let (unused, _) = store.create_api_key(&ACT, ours, "revoked").await.unwrap();
    store.revoke_api_key(&ACT, ours, unused).await.unwrap();
    for id in [id, unused] {
        let refused = store.replace_unused_secret(&ACT, ours, id).await.unwrap();
        assert!(matches!(refused, SecretReplacement::InUse), "{refused:?}");
    }
    assert!(store.authenticate(second.expose()).await.unwrap().is_some());
}

/// What a key of an account does.
fn by(account: AccountId, key: ApiKeyId) -> Act {
    let actor =
        Actor { id: Some(key.as_uuid()), account: Some(account), ..Actor::new(ActorKind::ApiKey, "maker".into()) };
    Act::of(actor, at(5))
}

const fn ending(account_id: AccountId, expires_at: Option<Timestamp>) -> NewApiKey<'static> {
    NewApiKey { account_id, name: "made", scopes: Permissions::ALL, expires_at }
}

pub(crate) async fn a_key_does_not_outlive_the_key_that_made_it(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let (maker, _) = store.create_limited_api_key(&ACT, ending(ours, Some(at(60)))).await.unwrap();
    assert_eq!(maker.created_by, Some(KeyMaker { kind: "system".to_owned(), id: None }));
    // Also where it acts for another account.
    for account in [ours, theirs] {
        for (asked, end) in [(None, at(60)), (Some(at(60)), at(60)), (Some(at(30)), at(30))] {
            let made = store.create_limited_api_key(&by(ours, maker.id), ending(account, asked)).await.unwrap().0;
            assert_eq!(made.expires_at, Some(end));
            let maker = KeyMaker { kind: "api_key".to_owned(), id: Some(maker.id.as_uuid()) };
            assert_eq!(made.created_by, Some(maker));
            assert_eq!(store.api_key(account, made.id).await.unwrap(), Some(made));
        }
        let late = store.create_limited_api_key(&by(ours, maker.id), ending(account, Some(at(61)))).await;
        assert!(matches!(late, Err(InsertApiKeyError::EndsAfterMaker { end }) if end == at(60)), "{late:?}");
    }
    let (endless, _) = store.create_api_key(&ACT, ours, "endless").await.unwrap();
    let made = store.create_limited_api_key(&by(ours, endless), ending(ours, None)).await.unwrap().0;
    assert_eq!(made.expires_at, None);
}

pub(crate) async fn a_revoked_key_takes_along_what_it_has_made(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let make = async |maker: Option<ApiKeyId>, account| {
        let act = maker.map_or(ACT.clone(), |maker| by(ours, maker));
        store.create_limited_api_key(&act, ending(account, None)).await.unwrap()
    };
    let (root, _) = make(None, ours).await;
    let (child, _) = make(Some(root.id), ours).await;
    let (grandchild, secret) = make(Some(child.id), theirs).await;
    let (other, _) = make(None, ours).await;
    let (others_child, _) = make(Some(other.id), ours).await;

    let dry = Act { dry_run: true, ..ACT.clone() };
    assert_eq!(store.revoke_api_key(&dry, ours, root.id).await.unwrap(), 2);
    assert!(store.authenticate(secret.expose()).await.unwrap().is_some(), "it was only asked");
    assert_eq!(store.revoke_api_key(&ACT, ours, root.id).await.unwrap(), 2);
    assert_eq!(store.authenticate(secret.expose()).await.unwrap(), None);
    let revoked = async |account, id| store.api_key(account, id).await.unwrap().unwrap().revoked_at.is_some();
    assert!(revoked(ours, child.id).await && revoked(theirs, grandchild.id).await);
    assert!(!revoked(ours, other.id).await && !revoked(ours, others_child.id).await);
    for (account, key, with) in
        [(ours, root.id, None), (ours, child.id, Some(root.id)), (theirs, grandchild.id, Some(root.id))]
    {
        let filter = AuditFilter { resource: Some(key.to_string()), ..AuditFilter::default() };
        let log = store.audit_log(account, &filter, 0, 10).await.unwrap();
        assert_eq!(log[0].action, "api_key.revoke");
        let told = log[0].details.as_ref().and_then(|details| details["after"]["revoked_with"].as_str());
        assert_eq!(told.map(str::to_owned), with.map(|with: ApiKeyId| with.to_string()));
    }
    assert!(store.verify_audit_log().await.unwrap().is_whole());

    // Whoever was let in a moment ago makes none that would be left over.
    let late = store.create_limited_api_key(&by(ours, child.id), ending(ours, None)).await;
    assert!(matches!(late, Err(InsertApiKeyError::MakerRevoked)), "{late:?}");
    assert_eq!(store.revoke_api_key(&ACT, ours, root.id).await.unwrap(), 0, "once is enough");
}

pub(crate) async fn keys_are_listed_and_revoked_within_the_account_only(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let (first, key) = store.create_api_key(&ACT, ours, "first").await.unwrap();
    let (second, _) = store.create_api_key(&ACT, ours, "second").await.unwrap();

    let listed = store.api_keys(ours, 0, 10).await.unwrap();
    assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!((listed[1].name.as_str(), listed[1].prefix.as_str()), ("first", &key.expose()[..12]));
    assert_eq!(store.api_keys(theirs, 0, 10).await.unwrap(), []);

    assert!(matches!(store.revoke_api_key(&ACT, theirs, first).await, Err(RevokeApiKeyError::NotFound)));
    assert!(store.authenticate(key.expose()).await.unwrap().is_some());
}
