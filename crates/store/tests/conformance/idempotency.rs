use crate::samples::{at, with_account};
use std::time::Duration;
use tandem_store::{ANSWER_LIFE, CLAIM_LIFE, Claim, IdempotencyKey, Store};

const REQUEST: &[&[u8]] = &[b"POST", b"/trunks", b"{}"];

fn granted(since: i64, is_repeat: bool) -> Claim {
    Claim::Granted { since: at(since), is_repeat }
}

pub(crate) async fn a_key_is_granted_once_and_then_answered(store: &Store) {
    let account = with_account(store, 1).await;
    let key = IdempotencyKey::new(account, "key:1", "a");
    let claim = async |key: &IdempotencyKey, request: &[&[u8]], second| {
        store.claim_idempotency_key(key, request, at(second)).await.unwrap()
    };
    assert_eq!(claim(&key, REQUEST, 0).await, granted(0, false));
    assert_eq!(claim(&key, REQUEST, 1).await, Claim::InUse);
    assert_eq!(claim(&key, &[b"POST", b"/trunks", b"[]"], 1).await, Claim::OtherRequest);
    assert_eq!(claim(&IdempotencyKey::new(account, "key:2", "a"), REQUEST, 1).await, granted(1, false));

    store.keep_answer(&key, b"the answer").await.unwrap();
    let Claim::Answered(answer) = claim(&key, REQUEST, 2).await else { panic!("it was answered") };
    assert_eq!(answer.as_slice(), b"the answer");
    assert_eq!(claim(&key, &[b"POST", b"/calls", b"{}"], 2).await, Claim::OtherRequest);
    store.release_idempotency_key(&key, true).await.unwrap();
    assert!(matches!(claim(&key, REQUEST, 3).await, Claim::Answered(_)), "what was answered stays");

    let end = at(0).saturating_add(ANSWER_LIFE);
    assert_eq!(
        store.claim_idempotency_key(&key, REQUEST, end).await.unwrap(),
        Claim::Granted { since: end, is_repeat: false },
        "a day later the key is as new"
    );
}

pub(crate) async fn a_claim_that_was_given_back_or_left_is_granted_again(store: &Store) {
    let account = with_account(store, 1).await;
    let key = IdempotencyKey::new(account, "key:1", "a");
    let claim = async |second| store.claim_idempotency_key(&key, REQUEST, at(second)).await.unwrap();
    assert_eq!(claim(0).await, granted(0, false));
    store.release_idempotency_key(&key, true).await.unwrap();
    assert_eq!(claim(1).await, granted(1, false), "nothing came of it");
    store.release_idempotency_key(&key, false).await.unwrap();
    let other = store.claim_idempotency_key(&key, &[b"other"], at(2)).await.unwrap();
    assert_eq!(other, Claim::OtherRequest, "something may have come of it");
    assert_eq!(claim(2).await, granted(1, true));
    let late = at(2).saturating_add(CLAIM_LIFE);
    let just_before = at(2).saturating_add(CLAIM_LIFE - Duration::from_micros(1));
    assert_eq!(store.claim_idempotency_key(&key, REQUEST, just_before).await.unwrap(), Claim::InUse);
    assert_eq!(store.claim_idempotency_key(&key, REQUEST, late).await.unwrap(), granted(1, true));
}

pub(crate) async fn of_many_who_claim_a_key_at_once_one_is_granted_it(store: &Store) {
    let account = with_account(store, 1).await;
    let key = IdempotencyKey::new(account, "key:1", "a");
    let claim = || store.claim_idempotency_key(&key, REQUEST, at(0));
    let (a, b, c, d) = tokio::join!(claim(), claim(), claim(), claim());
    let claims = [a, b, c, d].map(Result::unwrap);
    assert_eq!(claims.iter().filter(|claim| **claim == granted(0, false)).count(), 1, "{claims:?}");
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::InUse).count(), 3, "{claims:?}");
}

pub(crate) async fn old_keys_are_removed(store: &Store) {
    let account = with_account(store, 1).await;
    let (old, young) = (IdempotencyKey::new(account, "key:1", "a"), IdempotencyKey::new(account, "key:1", "b"));
    store.claim_idempotency_key(&old, REQUEST, at(0)).await.unwrap();
    store.claim_idempotency_key(&young, REQUEST, at(1)).await.unwrap();
    store.keep_answer(&young, b"x").await.unwrap();
    let end = at(0).saturating_add(ANSWER_LIFE);
    assert_eq!(store.remove_old_idempotency_keys(end).await.unwrap(), 1);
    assert_eq!(store.remove_old_idempotency_keys(end).await.unwrap(), 0);
    assert!(matches!(store.claim_idempotency_key(&young, REQUEST, at(2)).await.unwrap(), Claim::Answered(_)));
}
