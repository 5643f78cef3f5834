use crate::samples::{ACT, account, account_id, assert_same_trunk, at, trunk, trunk_id, with_account, with_trunk};
use std::convert::Infallible;
use std::time::Duration;
use tandem_model::{
    AddressRanges, CallDirection, HealthStatus, Secret, SourceClaim, SourceField, Trunk, TrunkHealth, TrunkId,
    TrunkStatus,
};
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

/// A trunk that takes calls from these addresses, and whose target is a name unless it says otherwise.
fn taking(number: u64, account: tandem_model::AccountId, allowed: &[&str]) -> Trunk {
    Trunk {
        call_direction: CallDirection::Bidirectional,
        sip_proxy: None,
        allowed_ips: allowed.iter().map(|range| range.parse().unwrap()).collect(),
        ..trunk(number, account)
    }
}

fn claim(field: SourceField, range: &str) -> SourceClaim {
    SourceClaim { field, range: range.parse().unwrap() }
}

pub(crate) async fn an_address_that_calls_come_from_is_one_account_s(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let insert = |trunk: Trunk| async move {
        match store.insert_trunk(&ACT, &trunk, 10).await {
            Ok(()) => None,
            Err(InsertTrunkError::SourceTaken(claim)) => Some(claim),
            Err(other) => panic!("{other}"),
        }
    };
    let proxy = |text: &str| Some(text.to_owned());
    let first = Trunk { sip_domain: "203.0.113.5".into(), ..taking(1, ours, &["192.0.2.0/24", "2001:db8:1::/48"]) };
    assert_eq!(insert(first).await, None);
    // Within it, around it, the same, and the target, however it is written.
    for range in ["192.0.2.7/32", "192.0.0.0/16", "192.0.2.0/24", "2001:db8:1::9/128", "203.0.113.0/28"] {
        let taken = insert(taking(2, theirs, &["198.51.100.1/32", range])).await;
        assert_eq!(taken, Some(claim(SourceField::AllowedIps, range)));
    }
    let by_domain = Trunk { sip_domain: "192.0.2.7".into(), ..taking(2, theirs, &[]) };
    assert_eq!(insert(by_domain).await, Some(claim(SourceField::SipDomain, "192.0.2.7/32")));
    for text in ["sip:203.0.113.5:5070;lr", "203.0.113.5", "[::ffff:203.0.113.5]:5060"] {
        let by_proxy = Trunk { sip_proxy: proxy(text), ..taking(2, theirs, &[]) };
        assert_eq!(insert(by_proxy).await, Some(claim(SourceField::SipProxy, "203.0.113.5/32")), "{text}");
    }
    // Beside it; behind a proxy, where the domain is no target; one that takes no calls; and more of the same account.
    assert_eq!(insert(taking(2, theirs, &["192.0.3.0/24", "2001:db8:2::/48"])).await, None);
    let behind =
        Trunk { sip_domain: "192.0.2.7".into(), sip_proxy: proxy("edge.example.com"), ..taking(3, theirs, &[]) };
    assert_eq!(insert(behind).await, None);
    let outbound = Trunk { call_direction: CallDirection::Outbound, ..taking(4, theirs, &["192.0.2.0/24"]) };
    assert_eq!(insert(outbound).await, None);
    assert_eq!(insert(taking(5, ours, &["192.0.2.7/32"])).await, None);
    // Neither did what was refused take anything, nor does what is deleted.
    assert_eq!(insert(taking(6, ours, &["198.51.100.1/32"])).await, None);
    for number in [1, 5] {
        store.delete_trunk(&ACT, ours, trunk_id(number), at(9)).await.unwrap();
    }
    assert_eq!(insert(taking(7, theirs, &["192.0.2.0/24"])).await, None);
}

pub(crate) async fn a_change_takes_no_address_of_another_account(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    store.insert_trunk(&ACT, &taking(1, ours, &["192.0.2.0/24"]), 10).await.unwrap();
    let outbound = Trunk { call_direction: CallDirection::Outbound, ..taking(2, theirs, &["192.0.2.7/32"]) };
    store.insert_trunk(&ACT, &outbound, 10).await.unwrap();
    let change = |id: TrunkId, account, edit: fn(&mut Trunk)| async move {
        let edited = store.change_trunk(&ACT, account, id, |trunk| {
            edit(trunk);
            Ok::<(), Infallible>(())
        });
        match edited.await {
            Ok(_) => None,
            Err(ChangeTrunkError::SourceTaken(claim)) => Some(claim),
            Err(other) => panic!("{other}"),
        }
    };
    let theirs_is = trunk_id(2);
    let now_takes = change(theirs_is, theirs, |trunk| trunk.call_direction = CallDirection::Inbound).await;
    assert_eq!(now_takes, Some(claim(SourceField::AllowedIps, "192.0.2.7/32")));
    let elsewhere = |trunk: &mut Trunk| {
        trunk.call_direction = CallDirection::Inbound;
        trunk.allowed_ips = vec!["198.51.100.0/24".parse().unwrap()];
    };
    assert_eq!(change(theirs_is, theirs, elsewhere).await, None);
    let target = change(theirs_is, theirs, |trunk| trunk.sip_proxy = Some("192.0.2.9:5060".into())).await;
    assert_eq!(target, Some(claim(SourceField::SipProxy, "192.0.2.9/32")));
    let kept = store.trunk(theirs, theirs_is).await.unwrap().unwrap();
    assert_eq!((kept.sip_proxy, kept.allowed_ips[0].to_string().as_str()), (None, "198.51.100.0/24"));
    // The other way round, and only asked.
    let ours_is = trunk_id(1);
    let asked = tandem_store::Act { dry_run: true, ..ACT.clone() };
    let widened = store.change_trunk(&asked, ours, ours_is, |trunk| {
        trunk.allowed_ips.push("198.51.0.0/16".parse().unwrap());
        Ok::<(), Infallible>(())
    });
    assert!(matches!(widened.await, Err(ChangeTrunkError::SourceTaken(_))));
}

pub(crate) async fn shared_addresses_are_no_account_s_and_what_overlaps_from_before_can_be_changed(store: &Store) {
    let (ours, theirs) = (with_account(store, 1).await, with_account(store, 2).await);
    let shared = AddressRanges::new(&["192.0.2.0/24", "203.0.113.5/32"].map(|range| range.parse().unwrap()));
    let sharing = store.clone().with_shared_carriers(shared);
    sharing.insert_trunk(&ACT, &taking(1, ours, &["192.0.2.0/24", "203.0.113.0/28"]), 10).await.unwrap();
    sharing.insert_trunk(&ACT, &taking(2, theirs, &["192.0.2.0/25"]), 10).await.unwrap();
    let wider = sharing.insert_trunk(&ACT, &taking(3, theirs, &["203.0.113.4/31"]), 10).await;
    assert!(matches!(wider, Err(InsertTrunkError::SourceTaken(_))), "half of it is not shared");
    sharing.insert_trunk(&ACT, &taking(3, theirs, &["203.0.113.5/32"]), 10).await.unwrap();

    // Shared no more: nothing new, but what is there can be changed, and narrowed.
    let new = store.insert_trunk(&ACT, &taking(4, theirs, &["192.0.2.0/25"]), 10).await;
    assert!(matches!(new, Err(InsertTrunkError::SourceTaken(_))));
    let renamed = Trunk {
        name: "renamed".into(),
        allowed_ips: taking(2, theirs, &["192.0.2.9/32"]).allowed_ips,
        ..taking(2, theirs, &[])
    };
    store.update_trunk(&ACT, &renamed).await.unwrap();
    assert!(matches!(
        store.update_trunk(&ACT, &taking(2, theirs, &["192.0.2.0/25"])).await,
        Err(UpdateTrunkError::SourceTaken(SourceClaim { field: SourceField::AllowedIps, .. }))
    ));
}

pub(crate) async fn of_two_accounts_that_name_an_address_at_once_one_gets_it(store: &Store) {
    let mut requests = Vec::new();
    for number in 1..=8 {
        let (store, account) = (store.clone(), with_account(store, number).await);
        requests.push(tokio::spawn(async move {
            store.insert_trunk(&ACT, &taking(number, account, &["192.0.2.0/24"]), 10).await.is_ok()
        }));
    }
    let mut made = 0;
    for request in requests {
        made += u32::from(request.await.unwrap());
    }
    assert_eq!(made, 1);
}
