use crate::samples::{ACT, account_id, at, trunk, trunk_id, with_account, with_trunk};
use crate::users::user;
use serde_json::json;
use std::borrow::Cow;
use std::convert::Infallible;
use tandem_model::{Role, Secret, TrunkStatus};
use tandem_store::{Act, Actor, ActorKind, AuditFilter, Change, NODE, NewApiKey, Store, UserChange};
use uuid::Uuid;

fn somebody() -> Act {
    let actor = Actor {
        id: Some(Uuid::from_u128(9)),
        account: Some(account_id(7)),
        on_behalf_of: Some(account_id(1)),
        ..Actor::new(ActorKind::ApiKey, Cow::Borrowed("laptop"))
    };
    Act {
        source: Some("2001:db8::1".parse().unwrap()),
        request_id: Some("request-1".to_owned()),
        ..Act::of(actor, at(5))
    }
}

pub(crate) async fn what_is_done_is_written_down_with_what_changed(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let edit = |trunk: &mut tandem_model::Trunk| {
        trunk.status = TrunkStatus::Active;
        trunk.sip_password = Secret::new("another very secret word");
        Ok::<(), Infallible>(())
    };
    store.change_trunk(&somebody(), account, id, edit).await.unwrap();
    let log = store.audit_log(account, &AuditFilter::default(), 0, 10).await.unwrap();
    assert_eq!(log.len(), 3, "the account, the trunk, and what was changed: {log:?}");
    let entry = &log[0];
    assert_eq!((entry.number, entry.at, entry.account_id), (3, at(5), account));
    assert_eq!((entry.action.as_str(), entry.resource_type.as_str()), ("trunk.update", "trunk"));
    assert_eq!(entry.resource_id, id.to_string());
    assert_eq!((entry.actor_kind.as_str(), entry.actor_name.as_str()), ("api_key", "laptop"));
    assert_eq!((entry.actor_id, entry.actor_account), (Some(Uuid::from_u128(9)), Some(account_id(7))));
    assert_eq!(entry.on_behalf_of, Some(account_id(1)));
    assert_eq!((entry.source.as_deref(), entry.request_id.as_deref()), (Some("2001:db8::1"), Some("request-1")));
    let details = json!({
        "before": {"status": "maintenance"},
        "after": {"status": "active", "sip_password": "replaced"},
    });
    assert_eq!(entry.details, Some(details));
    let all = format!("{log:?}");
    for secret in ["another very secret word", "correct horse battery staple", "pässwörd"] {
        assert!(!all.contains(secret), "{secret}");
    }
    let verified = store.verify_audit_log().await.unwrap();
    assert!(verified.is_whole(), "{verified:?}");
    assert_eq!((verified.logs, verified.entries), (2, 4), "{verified:?}");
}

pub(crate) async fn what_is_only_asked_about_changes_nothing_and_is_not_written_down(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let (first, second) = (user(1, account, Role::Admin), user(2, account, Role::Admin));
    store.insert_user(&ACT, &first, None).await.unwrap();
    store.insert_user(&ACT, &second, None).await.unwrap();
    let before =
        (store.revision().await.unwrap(), store.audit_log(account, &AuditFilter::default(), 0, 100).await.unwrap());
    let ask = Act { dry_run: true, ..somebody() };
    store.insert_trunk(&ask, &trunk(2, account), 10).await.unwrap();
    let renamed = store.change_trunk(&ask, account, id, |trunk| {
        trunk.name = "asked".to_owned();
        Ok::<(), Infallible>(())
    });
    assert_eq!(renamed.await.unwrap().name, "asked");
    store.delete_trunk(&ask, account, id, at(9)).await.unwrap();
    store.delete_user(&ask, account, first.id).await.unwrap();
    let demote = UserChange { role: Some(Role::Viewer), ..UserChange::default() };
    assert_eq!(store.update_user(&ask, account, second.id, &demote).await.unwrap().role, Role::Viewer);
    let new = NewApiKey { account_id: account, name: "asked", scopes: Role::Admin.permissions(), expires_at: None };
    // The key that asks is none that could make another.
    let operator = Act { dry_run: true, ..ACT.clone() };
    store.create_limited_api_key(&operator, new).await.unwrap();
    store.record_acts(&[(ask, Change::new(account, "call.dial", "1"))]).await.unwrap();

    let after =
        (store.revision().await.unwrap(), store.audit_log(account, &AuditFilter::default(), 0, 100).await.unwrap());
    assert_eq!(before, after);
    assert_eq!(
        store.trunks(account, 0, 10).await.unwrap().iter().map(|trunk| trunk.id).collect::<Vec<_>>(),
        [trunk_id(1)]
    );
    assert_eq!(store.users(account, 0, 10).await.unwrap(), [first, second]);
    assert_eq!(store.api_keys(account, 0, 10).await.unwrap(), []);
}

pub(crate) async fn writers_at_once_keep_each_log_one_chain(store: &Store) {
    let (one, other) = (with_account(store, 1).await, with_account(store, 2).await);
    let acts = (0..40_u64).map(|number| async move {
        let account = if number % 2 == 0 { one } else { other };
        if number % 3 == 0 {
            let acts = [
                (ACT.clone(), Change::new(other, "call.dial", &number)),
                (ACT.clone(), Change::new(one, "call.dial", &number)),
            ];
            store.record_acts(&acts).await.unwrap();
        } else {
            store.insert_trunk(&ACT, &trunk(number, account), 100).await.unwrap();
        }
    });
    let tasks: Vec<_> = acts.collect();
    futures_util::future::join_all(tasks).await;
    let verified = store.verify_audit_log().await.unwrap();
    assert!(verified.is_whole(), "{verified:?}");
    // Two of the node's, one of each account; 14 times two, and 26 trunks.
    assert_eq!((verified.logs, verified.entries), (3, 2 + 2 + 28 + 26));
    let log = store.audit_log_after(one, &AuditFilter::default(), 0, 100).await.unwrap();
    assert!(log.iter().map(|entry| entry.number).eq(1..=log.len() as u64));
}

pub(crate) async fn acts_without_a_row_go_into_the_logs_they_belong_to(store: &Store) {
    // Neither account is there: their logs begin with this.
    let acts = [
        (ACT.clone(), Change::new(NODE, "backup.create", "a")),
        (ACT.clone(), Change::new(account_id(2), "call.dial", "b")),
        (ACT.clone(), Change::new(account_id(1), "call.dial", "c")),
        (somebody(), Change::new(account_id(2), "call.hang_up", "b")),
    ];
    store.record_acts(&acts).await.unwrap();
    let read = async |account| {
        let log = store.audit_log_after(account, &AuditFilter::default(), 0, 100).await.unwrap();
        log.into_iter().map(|entry| (entry.action, entry.resource_id)).collect::<Vec<_>>()
    };
    let pairs = |pairs: &[(&str, String)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), b.clone())).collect::<Vec<_>>();
    assert_eq!(read(account_id(2)).await, pairs(&[("call.dial", "b".into()), ("call.hang_up", "b".into())]));
    assert_eq!(read(account_id(1)).await, pairs(&[("call.dial", "c".into())]));
    let begun = |number| ("audit_log.begin", account_id(number).to_string());
    assert_eq!(read(NODE).await, pairs(&[begun(1), begun(2), ("backup.create", "a".into())]));
    assert!(store.verify_audit_log().await.unwrap().is_whole());
}

pub(crate) async fn a_log_is_read_by_actor_action_thing_and_time(store: &Store) {
    let account = with_account(store, 1).await;
    for number in 1..=6_u64 {
        let act =
            Act { at: at(i64::try_from(number).unwrap()), ..if number % 2 == 0 { somebody() } else { ACT.clone() } };
        let action = if number < 4 { "call.dial" } else { "call.hang_up" };
        store.record_acts(&[(act, Change::new(account, action, &(number % 3)))]).await.unwrap();
    }
    let numbers = async |filter: AuditFilter| {
        let log = store.audit_log(account, &filter, 0, 100).await.unwrap();
        let after = store.audit_log_after(account, &filter, 0, 100).await.unwrap();
        assert!(log.iter().rev().eq(after.iter()), "{filter:?}");
        log.iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    assert_eq!(numbers(all()).await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(numbers(AuditFilter { actor: Some(Uuid::from_u128(9)), ..all() }).await, [7, 5, 3]);
    assert_eq!(numbers(AuditFilter { action: Some("call.dial".into()), ..all() }).await, [4, 3, 2]);
    assert_eq!(numbers(AuditFilter { resource: Some("0".into()), ..all() }).await, [7, 4]);
    assert_eq!(numbers(AuditFilter { from: Some(at(3)), until: Some(at(5)), ..all() }).await, [5, 4]);
    let both = AuditFilter { action: Some("call.dial".into()), resource: Some("0".into()), ..all() };
    assert_eq!(numbers(both).await, [4]);
    assert_eq!(store.audit_log(account, &all(), 2, 2).await.unwrap()[0].number, 5);
    assert_eq!(store.audit_log_after(account, &all(), 5, 1).await.unwrap()[0].number, 6);
    assert_eq!(store.audit_log(account_id(2), &all(), 0, 10).await.unwrap(), [], "accounts do not see each other's");
}
