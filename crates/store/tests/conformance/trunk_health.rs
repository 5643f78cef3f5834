use crate::samples::{account_id, at, trunk_id, with_trunk};
use std::time::Duration;
use tandem_model::{AccountId, HealthReason, HealthReport, HealthSpan, HealthStatus, TrunkHealth, TrunkId};
use tandem_store::{KnownHealth, Part, Store};

fn span(began: i64, until: i64, status: HealthStatus) -> HealthSpan {
    HealthSpan {
        began_at: at(began),
        until: at(until),
        status,
        reason: HealthReason::Answers,
        latency_us: Some(1_500),
        loss_basis_points: Some(250),
    }
}

fn report(account_id: AccountId, trunk_id: TrunkId, spans: &[HealthSpan]) -> HealthReport {
    let status = spans.last().map_or(HealthStatus::Unknown, |span| span.status);
    let health = TrunkHealth { status, checked_at: Some(at(1)), latency_us: Some(9), loss_basis_points: None };
    HealthReport { trunk_id, account_id, health, spans: spans.to_vec() }
}

async fn history(store: &Store, account: AccountId, trunk: TrunkId, skip: u32, limit: u32) -> Vec<HealthSpan> {
    store.health_history(account, trunk, &Part::page(skip, limit)).await.unwrap().rows
}

pub(crate) async fn spans_come_back_newest_first_and_grow(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let revision = store.revision().await.unwrap();
    let bare = HealthSpan { latency_us: None, loss_basis_points: None, ..span(0, 10, HealthStatus::Healthy) };
    store.record_health(&[report(account, id, &[bare])]).await.unwrap();
    assert_eq!(history(store, account, id, 0, 10).await, [bare]);

    let ended = span(0, 60, HealthStatus::Healthy);
    let next = HealthSpan { reason: HealthReason::NoAnswer, ..span(60, 61, HealthStatus::Unhealthy) };
    store.record_health(&[report(account, id, &[ended, next]), report(account, trunk_id(9), &[ended])]).await.unwrap();
    assert_eq!(history(store, account, id, 0, 10).await, [next, ended]);
    assert_eq!(history(store, account, id, 1, 10).await, [ended]);
    assert_eq!(history(store, account, id, 0, 1).await, [next]);
    assert_eq!(history(store, account, trunk_id(9), 0, 10).await, []);

    let shown = store.trunk(account, id).await.unwrap().unwrap().health;
    assert_eq!((shown.status, shown.latency_us), (HealthStatus::Unhealthy, Some(9)));
    assert_eq!(store.revision().await.unwrap(), revision, "nobody needs to load the routes anew");
}

pub(crate) async fn the_share_of_time_that_a_trunk_was_up_is_of_what_is_known(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    assert_eq!(store.known_health(account, id, at(0), at(999)).await.unwrap(), KnownHealth::default());
    let spans = [
        span(0, 100, HealthStatus::Healthy),
        span(100, 120, HealthStatus::Unhealthy),
        // The node was down from 120 to 200.
        span(200, 230, HealthStatus::Degraded),
        span(230, 240, HealthStatus::Error),
    ];
    store.record_health(&[report(account, id, &spans)]).await.unwrap();
    let known = |known, up| KnownHealth { known: Duration::from_secs(known), up: Duration::from_secs(up) };
    for (from, to, expected) in [
        (0, 999, known(160, 130)),
        (50, 999, known(110, 80)),
        (240, 999, known(0, 0)),
        (50, 210, known(80, 60)),
        (0, 0, known(0, 0)),
    ] {
        assert_eq!(store.known_health(account, id, at(from), at(to)).await.unwrap(), expected, "{from} to {to}");
        let all = store.known_health_of_trunks(account, at(from), at(to)).await.unwrap();
        assert_eq!(all.get(&id).copied().unwrap_or_default(), expected, "{from} to {to}, of all");
    }
    assert!(store.known_health_of_trunks(account_id(9), at(0), at(999)).await.unwrap().is_empty());
}

pub(crate) async fn old_spans_are_removed(store: &Store) {
    let (account, id) = with_trunk(store, 1).await;
    let spans = [span(0, 100, HealthStatus::Healthy), span(100, 200, HealthStatus::Unhealthy)];
    store.record_health(&[report(account, id, &spans)]).await.unwrap();
    assert_eq!(store.remove_health_before(at(150)).await.unwrap(), 1);
    assert_eq!(history(store, account, id, 0, 10).await, [spans[1]]);
}

pub(crate) async fn accounts_do_not_see_each_others_history(store: &Store) {
    let ((ours, id), (theirs, _)) = (with_trunk(store, 1).await, with_trunk(store, 2).await);
    let spans = [span(0, 100, HealthStatus::Healthy)];
    store
        .record_health(&[report(ours, id, &spans), report(theirs, id, &[span(5, 6, HealthStatus::Error)])])
        .await
        .unwrap();
    assert_eq!(history(store, ours, id, 0, 10).await, spans);
    for other in [theirs, account_id(9)] {
        assert_eq!(history(store, other, id, 0, 10).await, []);
        assert_eq!(store.known_health(other, id, at(0), at(999)).await.unwrap(), KnownHealth::default());
    }
}
