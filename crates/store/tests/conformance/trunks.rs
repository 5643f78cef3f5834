use crate::samples::{ACT, account, account_id, assert_same_trunk, at, trunk, trunk_id, with_account, with_trunk};
use std::convert::Infallible;
use std::time::Duration;
use tandem_model::{HealthStatus, Secret, Trunk, TrunkHealth, TrunkStatus};
use tandem_store::{
    AccountChange, ChangeTrunkError, DeleteTrunkError, InsertTrunkError, MAX_PAGE, Store, UpdateTrunkError,
};

pub(crate) async fn a_trunk_comes_back_as_it_was_written(store: &Store) {
    let account = with_account(store, 1).await;
    let full = Trunk { failover_trunk_id: Some(trunk_id(1)), ..trunk(2, account) };
    let bare = Trunk {
        description: None,
        sip_proxy: None,
        auth_username: None,
        auth_password: None,
        outbound: tandem_model::OutboundRouting::default(),
        allowed_ips: Vec::new(),
        encryption_enabled: false,
        health: TrunkHealth::UNKNOWN,
        ..trunk(1, account)
    };
    store.insert_trunk(&ACT, &bare, 10).await.unwrap();
    store.insert_trunk(&ACT, &full, 10).await.unwrap();
    assert_same_trunk(&store.trunk(account, trunk_id(1)).await.unwrap().unwrap(), &bare);
    assert_same_trunk(&store.trunk(account, trunk_id(2)).await.unwrap().unwrap(), &full);
    assert!(store.trunk(account, trunk_id(3)).await.unwrap().is_none());
}

pub(crate) async fn names_are_unique_among_trunks_that_are_there(store: &Store) {
    let ((ours, first), theirs) = (with_trunk(store, 1).await, with_account(store, 2).await);
    let same_name = |number, account| Trunk { name: "trunk 1".into(), ..trunk(number, account) };
    let error = store.insert_trunk(&ACT, &same_name(2, ours), 10).await.unwrap_err();
    assert!(matches!(error, InsertTrunkError::NameTaken));
    store.insert_trunk(&ACT, &same_name(3, theirs), 10).await.unwrap();

    store.insert_trunk(&ACT, &trunk(4, ours), 10).await.unwrap();
    let error = store.update_trunk(&ACT, &same_name(4, ours)).await.unwrap_err();
    assert!(matches!(error, UpdateTrunkError::NameTaken));

    store.delete_trunk(&ACT, ours, first, at(9)).await.unwrap();
    store.insert_trunk(&ACT, &same_name(2, ours), 10).await.unwrap();
}

pub(crate) async fn the_limit_counts_trunks_that_are_there(store: &Store) {
    let (account, first) = with_trunk(store, 1).await;
    let error = store.insert_trunk(&ACT, &trunk(2, account), 1).await.unwrap_err();
    assert!(matches!(error, InsertTrunkError::LimitReached { limit: 1 }));
    store.delete_trunk(&ACT, account, first, at(9)).await.unwrap();
    store.insert_trunk(&ACT, &trunk(2, account), 1).await.unwrap();
}

pub(crate) async fn the_limit_holds_against_requests_at_once(store: &Store) {
    let account = with_account(store, 1).await;
    let requests = (0..20).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.insert_trunk(&ACT, &trunk(number, account), 3).await.is_ok() })
    });
    let mut added = 0;
    for request in requests.collect::<Vec<_>>() {
        added += u32::from(request.await.unwrap());
    }
    assert_eq!(added, 3);
    assert_eq!(store.trunks(account, 0, 100).await.unwrap().len(), 3);
}

pub(crate) async fn a_failover_is_another_trunk_of_the_account(store: &Store) {
    let ((ours, first), (_, foreign)) = (with_trunk(store, 1).await, with_trunk(store, 2).await);
    let naming = |failover| Trunk { failover_trunk_id: Some(failover), ..trunk(3, ours) };
    for wrong in [trunk_id(9), foreign, trunk_id(3)] {
        let error = store.insert_trunk(&ACT, &naming(wrong), 10).await.unwrap_err();
        assert!(matches!(error, InsertTrunkError::FailoverUnknown), "{wrong}");
    }
    store.insert_trunk(&ACT, &naming(first), 10).await.unwrap();
    for wrong in [trunk_id(9), foreign, trunk_id(3)] {
        let error = store.update_trunk(&ACT, &naming(wrong)).await.unwrap_err();
        assert!(matches!(error, UpdateTrunkError::FailoverUnknown), "{wrong}");
    }

    store.delete_trunk(&ACT, ours, first, at(9)).await.unwrap();
    let left = store.trunk(ours, trunk_id(3)).await.unwrap().unwrap();
    assert_eq!(left.failover_trunk_id, None, "it named a trunk that is gone");
    store.update_trunk(&ACT, &left).await.unwrap();
}

pub(crate) async fn trunks_are_listed_by_priority_then_age(store: &Store) {
    let account = with_account(store, 1).await;
    for (number, priority, age) in [(1, 2, 0), (2, 1, 5), (3, 1, 4), (4, 1, 4)] {
        let trunk = Trunk { priority, created_at: at(age), ..trunk(number, account) };
        store.insert_trunk(&ACT, &trunk, 10).await.unwrap();
    }
    let listed = |trunks: Vec<Trunk>| trunks.iter().map(|trunk| trunk.id).collect::<Vec<_>>();
    let all = listed(store.trunks(account, 0, 100).await.unwrap());
    assert_eq!(all, [trunk_id(3), trunk_id(4), trunk_id(2), trunk_id(1)]);
    assert_eq!(listed(store.trunks(account, 1, 2).await.unwrap()), [trunk_id(4), trunk_id(2)]);
    assert!(store.trunks(account, 0, 0).await.unwrap().is_empty());
}

pub(crate) async fn an_update_keeps_health_and_age(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let changed = Trunk {
        name: "renamed".into(),
        status: TrunkStatus::Active,
        sip_password: Secret::new("another"),
        auth_password: None,
        health: TrunkHealth::UNKNOWN,
        created_at: at(100),
        updated_at: at(50),
        ..trunk(1, account)
    };
    store.update_trunk(&ACT, &changed).await.unwrap();
    let before = trunk(1, account);
    let expected = Trunk { health: before.health, created_at: before.created_at, ..changed };
    assert_same_trunk(&store.trunk(account, id).await.unwrap().unwrap(), &expected);
}

pub(crate) async fn an_update_of_a_missing_trunk_is_refused(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let missing = store.update_trunk(&ACT, &trunk(2, account)).await;
    assert!(matches!(missing, Err(UpdateTrunkError::NotFound)));
    store.delete_trunk(&ACT, account, id, at(9)).await.unwrap();
    assert!(store.trunk(account, id).await.unwrap().is_none());
    assert!(store.trunks(account, 0, 10).await.unwrap().is_empty());
    assert!(matches!(store.update_trunk(&ACT, &trunk(1, account)).await, Err(UpdateTrunkError::NotFound)));
    assert!(matches!(store.delete_trunk(&ACT, account, id, at(9)).await, Err(DeleteTrunkError::NotFound)));
    assert!(!store.set_trunk_health(id, TrunkHealth::UNKNOWN).await.unwrap());
}

pub(crate) async fn partial_changes_at_once_both_count(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let one = store.change_trunk(&ACT, account, id, |trunk| {
        trunk.name = "renamed".into();
        Ok::<(), Infallible>(())
    });
    let other = store.change_trunk(&ACT, account, id, |trunk| {
        trunk.priority = 7;
        Ok::<(), Infallible>(())
    });
    let (one, other) = tokio::join!(one, other);
    one.unwrap();
    other.unwrap();
    let changed = store.trunk(account, id).await.unwrap().unwrap();
    // Each change has a time of its own, as it is the version.
    let updated_at = trunk(1, account).updated_at.saturating_add(Duration::from_micros(2));
    let expected = Trunk { name: "renamed".into(), priority: 7, updated_at, ..trunk(1, account) };
    assert_same_trunk(&changed, &expected);
}

pub(crate) async fn a_refused_change_writes_nothing(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let revision = store.revision().await.unwrap();
    let refused = store.change_trunk(&ACT, account, id, |trunk| {
        trunk.name = "renamed".into();
        Err("no")
    });
    assert!(matches!(refused.await, Err(ChangeTrunkError::Refused("no"))));
    assert_same_trunk(&store.trunk(account, id).await.unwrap().unwrap(), &trunk(1, account));
    assert_eq!(store.revision().await.unwrap(), revision);
}

pub(crate) async fn health_touches_nothing_else(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let revision = store.revision().await.unwrap();
    let health = TrunkHealth {
        status: HealthStatus::Healthy,
        checked_at: Some(at(60)),
        latency_us: Some(1),
        loss_basis_points: None,
    };
    assert!(store.set_trunk_health(id, health).await.unwrap());
    let expected = Trunk { health, ..trunk(1, account) };
    assert_same_trunk(&store.trunk(account, id).await.unwrap().unwrap(), &expected);
    assert_eq!(store.revision().await.unwrap(), revision);
}

pub(crate) async fn accounts_do_not_see_each_others_trunks(store: &Store) {
    let ((ours, id), (theirs, _)) = (with_trunk(store, 1).await, with_trunk(store, 2).await);
    assert!(store.trunk(theirs, id).await.unwrap().is_none());
    assert_eq!(store.trunks(theirs, 0, 10).await.unwrap().len(), 1);
    let taken_over = Trunk { account_id: theirs, ..trunk(1, ours) };
    assert!(matches!(store.update_trunk(&ACT, &taken_over).await, Err(UpdateTrunkError::NotFound)));
    assert!(matches!(store.delete_trunk(&ACT, theirs, id, at(9)).await, Err(DeleteTrunkError::NotFound)));
    assert!(store.trunks(account_id(9), 0, 10).await.unwrap().is_empty());
    assert_same_trunk(&store.trunk(ours, id).await.unwrap().unwrap(), &trunk(1, ours));
}

pub(crate) async fn every_change_of_routing_counts_up(store: &Store) {
    let mut last = store.revision().await.unwrap();
    let mut counted_up = async |what: &str| {
        let now = store.revision().await.unwrap();
        assert!(now > last, "{what}");
        last = now;
    };
    let account = with_account(store, 1).await;
    counted_up("account added").await;
    let change = AccountChange { max_calls: Some(Some(1)), ..AccountChange::default() };
    store.update_account(&ACT, account, change).await.unwrap();
    counted_up("account changed").await;
    let (key, _) = store.create_api_key(&ACT, account, "key").await.unwrap();
    counted_up("key made").await;
    store.revoke_api_key(&ACT, account, key).await.unwrap();
    counted_up("key revoked").await;
    store.insert_trunk(&ACT, &trunk(1, account), 10).await.unwrap();
    counted_up("trunk added").await;
    store.update_trunk(&ACT, &trunk(1, account)).await.unwrap();
    counted_up("trunk changed").await;
    store.delete_trunk(&ACT, account, trunk_id(1), at(9)).await.unwrap();
    counted_up("trunk deleted").await;
}

pub(crate) async fn the_snapshot_shows_everything_of_one_moment(store: &Store) {
    let ((ours, first), (theirs, _)) = (with_trunk(store, 1).await, with_trunk(store, 2).await);
    store.insert_trunk(&ACT, &Trunk { priority: 1, ..trunk(3, ours) }, 10).await.unwrap();
    let snapshot = store.routing_snapshot().await.unwrap();
    assert_eq!(snapshot.revision, store.revision().await.unwrap());
    assert_eq!(snapshot.accounts, [account(1), account(2)]);
    let ids: Vec<_> = snapshot.trunks.iter().map(|trunk| (trunk.account_id, trunk.id)).collect();
    assert_eq!(ids, [(ours, trunk_id(3)), (ours, first), (theirs, trunk_id(2))]);
    assert_same_trunk(&snapshot.trunks[1], &trunk(1, ours));
    assert!(snapshot.unreadable.is_empty());

    store.delete_trunk(&ACT, ours, first, at(9)).await.unwrap();
    assert_eq!(store.routing_snapshot().await.unwrap().trunks.len(), 2);
}

pub(crate) async fn the_snapshot_reads_past_one_page(store: &Store) {
    let account = with_account(store, 1).await;
    let count = u64::from(MAX_PAGE) + 3;
    for number in 0..count {
        store.insert_trunk(&ACT, &trunk(number, account), u32::MAX).await.unwrap();
    }
    let snapshot = store.routing_snapshot().await.unwrap();
    assert_eq!(snapshot.trunks.len() as u64, count);
    assert_eq!(store.trunks(account, 0, u32::MAX).await.unwrap().len() as u64, u64::from(MAX_PAGE));
}
