use crate::samples::{ACT, account, at, with_account};
use crate::users::user;
use std::net::IpAddr;
use tandem_model::{AccountId, Role, Secret, SessionId, Tier, Timestamp, UserId};
use tandem_store::{
    MAX_SESSIONS, Part, PasswordHash, Refreshed, SESSION_LIFE, SessionOwner, SignInAttempt, Store, User, UserChange,
};

async fn with_user(store: &Store, number: u64) -> User {
    let account = with_account(store, number).await;
    let user = user(number.into(), account, Role::Operator);
    store.insert_user(&ACT, &user, None).await.unwrap();
    user
}

async fn open(store: &Store, user: &User, at: Timestamp) -> (SessionId, Secret) {
    let (session, token) = store.open_session(&ACT, user.account_id, user.id, None, at).await.unwrap();
    (session.id, token)
}

async fn renewed(store: &Store, token: &Secret, at: Timestamp) -> Secret {
    match store.refresh_session(&ACT, token.expose(), at).await.unwrap() {
        Refreshed::Renewed(_, next) => next,
        other @ (Refreshed::Reused(_) | Refreshed::Unknown) => panic!("{other:?}"),
    }
}

pub(crate) async fn a_session_shows_its_user_as_of_now(store: &Store) {
    let user = with_user(store, 1).await;
    let (session, _) =
        store.open_session(&ACT, user.account_id, user.id, Some("192.0.2.1".into()), at(0)).await.unwrap();
    let owner = SessionOwner { session: session.clone(), user: user.clone(), account: account(1), node_admin: false };
    assert_eq!(store.session(session.id, at(1)).await.unwrap(), Some(owner.clone()));
    assert_eq!(session.expires_at, at(0).saturating_add(SESSION_LIFE));
    assert_eq!(store.session(session.id, session.expires_at).await.unwrap(), None);

    let change = UserChange { role: Some(Role::Viewer), ..UserChange::default() };
    store.update_user(&ACT, user.account_id, user.id, &change).await.unwrap();
    let demoted = SessionOwner { user: User { role: Role::Viewer, ..user }, ..owner };
    assert_eq!(store.session(session.id, at(1)).await.unwrap(), Some(demoted));
}

pub(crate) async fn a_refresh_token_is_good_once(store: &Store) {
    let user = with_user(store, 1).await;
    let (id, first) = open(store, &user, at(0)).await;
    let second = renewed(store, &first, at(10)).await;
    let third = renewed(store, &second, at(20)).await;
    let session = store.session(id, at(20)).await.unwrap().unwrap().session;
    assert_eq!((session.created_at, session.refreshed_at), (at(0), at(20)));
    assert_eq!(session.expires_at, at(20).saturating_add(SESSION_LIFE));

    let reused = store.refresh_session(&ACT, second.expose(), at(21)).await.unwrap();
    assert!(matches!(reused, Refreshed::Reused(session) if session == id));
    assert_eq!(store.session(id, at(21)).await.unwrap(), None, "the session is over");
    assert!(matches!(store.refresh_session(&ACT, third.expose(), at(22)).await.unwrap(), Refreshed::Unknown));
}

pub(crate) async fn of_two_who_refresh_at_once_one_is_told_and_the_session_ends(store: &Store) {
    let user = with_user(store, 1).await;
    let (id, token) = open(store, &user, at(0)).await;
    let refresh = || store.refresh_session(&ACT, token.expose(), at(1));
    let (one, other) = tokio::join!(refresh(), refresh());
    let kinds = [one.unwrap(), other.unwrap()];
    assert_eq!(kinds.iter().filter(|kind| matches!(kind, Refreshed::Renewed(..))).count(), 1, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| matches!(kind, Refreshed::Reused(_))).count(), 1, "{kinds:?}");
    assert_eq!(store.session(id, at(2)).await.unwrap(), None);
}

pub(crate) async fn a_guessed_refresh_token_ends_nothing(store: &Store) {
    let user = with_user(store, 1).await;
    let (id, token) = open(store, &user, at(0)).await;
    // The right session, and one digit of what its tokens share is wrong.
    let place = 4 + 32 + 5;
    let digit = if token.expose().as_bytes()[place] == b'0' { "1" } else { "0" };
    let guessed = [&token.expose()[..place], digit, &token.expose()[place + 1..]].concat();
    for wrong in [guessed.as_str(), "", "tdr_00", "x"] {
        assert!(matches!(store.refresh_session(&ACT, wrong, at(1)).await.unwrap(), Refreshed::Unknown));
    }
    assert!(store.session(id, at(1)).await.unwrap().is_some());
    let late = at(0).saturating_add(SESSION_LIFE);
    assert!(matches!(store.refresh_session(&ACT, token.expose(), late).await.unwrap(), Refreshed::Unknown));
}

pub(crate) async fn sessions_are_listed_and_ended_within_the_account_and_user(store: &Store) {
    let (ours, theirs) = (with_user(store, 1).await, with_user(store, 2).await);
    let colleague = user(9, ours.account_id, Role::Viewer);
    store.insert_user(&ACT, &colleague, None).await.unwrap();
    let ((first, _), (second, _), (third, _)) =
        (open(store, &ours, at(0)).await, open(store, &ours, at(1)).await, open(store, &colleague, at(2)).await);
    let listed = async |account: AccountId, user: Option<UserId>| -> Vec<SessionId> {
        let sessions = store.sessions(account, user, at(3), &Part::page(0, 10)).await.unwrap().rows;
        sessions.iter().map(|session| session.id).collect()
    };
    assert_eq!(listed(ours.account_id, None).await, [third, second, first]);
    assert_eq!(listed(ours.account_id, Some(ours.id)).await, [second, first]);
    assert_eq!(listed(theirs.account_id, None).await, []);

    assert!(!store.end_session(&ACT, theirs.account_id, None, first).await.unwrap());
    assert!(!store.end_session(&ACT, ours.account_id, Some(colleague.id), first).await.unwrap());
    assert!(store.end_session(&ACT, ours.account_id, Some(ours.id), first).await.unwrap());
    assert!(store.end_session(&ACT, ours.account_id, None, third).await.unwrap());
    assert_eq!(listed(ours.account_id, None).await, [second]);
    assert_eq!(store.session(first, at(3)).await.unwrap(), None);
}

pub(crate) async fn sessions_end_with_the_password_and_with_the_user(store: &Store) {
    let user = with_user(store, 1).await;
    let (id, token) = open(store, &user, at(0)).await;
    let link = store.make_sign_in_link(&ACT, user.account_id, user.id, at(100)).await.unwrap();
    let change = UserChange { password: Some(PasswordHash::new("new")), ..UserChange::default() };
    store.update_user(&ACT, user.account_id, user.id, &change).await.unwrap();
    assert_eq!(store.session(id, at(1)).await.unwrap(), None);
    assert!(matches!(store.refresh_session(&ACT, token.expose(), at(1)).await.unwrap(), Refreshed::Unknown));
    assert_eq!(store.take_sign_in_link(link.expose(), at(1)).await.unwrap(), None);

    let (id, _) = open(store, &user, at(2)).await;
    store.delete_user(&ACT, user.account_id, user.id).await.unwrap();
    assert_eq!(store.session(id, at(3)).await.unwrap(), None);
    assert!(store.open_session(&ACT, user.account_id, user.id, None, at(4)).await.is_err());
}

pub(crate) async fn the_oldest_of_too_many_sessions_ends(store: &Store) {
    let user = with_user(store, 1).await;
    let (oldest, token) = open(store, &user, at(0)).await;
    let (second, _) = open(store, &user, at(1)).await;
    for number in 2..MAX_SESSIONS {
        let _ = open(store, &user, at(number.into())).await;
    }
    let _ = renewed(store, &token, at(500)).await;
    let _ = open(store, &user, at(501)).await;
    assert!(store.session(oldest, at(502)).await.unwrap().is_some(), "it was renewed");
    assert_eq!(store.session(second, at(502)).await.unwrap(), None);
}

pub(crate) async fn a_sign_in_link_is_good_once_and_for_a_while(store: &Store) {
    let (user, stranger) = (with_user(store, 1).await, with_user(store, 2).await);
    let link = store.make_sign_in_link(&ACT, user.account_id, user.id, at(600)).await.unwrap();
    assert_eq!(store.take_sign_in_link("tdl_0000", at(1)).await.unwrap(), None);
    let taken = store.take_sign_in_link(link.expose(), at(1)).await.unwrap();
    assert_eq!(taken, Some((user.account_id, user.id)));
    assert_eq!(store.take_sign_in_link(link.expose(), at(2)).await.unwrap(), None);

    let late = store.make_sign_in_link(&ACT, user.account_id, user.id, at(600)).await.unwrap();
    assert_eq!(store.take_sign_in_link(late.expose(), at(600)).await.unwrap(), None);
    assert!(store.make_sign_in_link(&ACT, stranger.account_id, user.id, at(600)).await.is_err());
}

fn source(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

pub(crate) async fn wrong_passwords_lock_a_source_for_longer_and_longer(store: &Store) {
    let address = "Somebody@example.com";
    let count = async |email: &str, second| store.count_sign_in(email, source(1), at(second)).await.unwrap();
    for second in 0..5 {
        assert_eq!(count(address, second).await, SignInAttempt::Counted);
    }
    let locked = |until| SignInAttempt::LockedUntil(at(until));
    assert_eq!(count("somebody@EXAMPLE.com", 5).await, locked(34));
    assert_eq!(count("other@example.com", 5).await, SignInAttempt::Counted);
    assert_eq!(count(address, 34).await, SignInAttempt::Counted);
    assert_eq!(count(address, 35).await, locked(94), "the next lock is twice as long");

    store.note_sign_in(address, source(1), at(35)).await.unwrap();
    for second in 36..41 {
        assert_eq!(count(address, second).await, SignInAttempt::Counted, "they are counted anew");
    }
    assert_eq!(count(address, 41).await, locked(70));
}

pub(crate) async fn a_stranger_locks_nobody_else_out(store: &Store) {
    let count = async |source, second| store.count_sign_in("a@example.com", source, at(second)).await.unwrap();
    for second in 0..5 {
        assert_eq!(count(source(1), second).await, SignInAttempt::Counted);
    }
    assert_eq!(count(source(1), 5).await, SignInAttempt::LockedUntil(at(34)));
    assert_eq!(count(source(2), 5).await, SignInAttempt::Counted);
    store.note_sign_in("a@example.com", source(2), at(5)).await.unwrap();
    assert_eq!(count(source(1), 6).await, SignInAttempt::LockedUntil(at(34)), "the stranger goes on waiting");
}

pub(crate) async fn guesses_from_everywhere_have_a_bound_by_which_who_is_known_is_not_held(store: &Store) {
    let count = async |source, second| store.count_sign_in("a@example.com", source, at(second)).await.unwrap();
    let known = source(200);
    assert_eq!(count(known, 0).await, SignInAttempt::Counted);
    store.note_sign_in("a@example.com", known, at(0)).await.unwrap();
    // What was right does not count.
    for number in 0..50 {
        assert_eq!(count(source(number), 1).await, SignInAttempt::Counted, "{number}");
    }
    assert_eq!(count(source(100), 2).await, SignInAttempt::LockedUntil(at(3_600)), "within an hour of the first");
    assert_eq!(store.count_sign_in("b@example.com", source(100), at(2)).await.unwrap(), SignInAttempt::Counted);
    assert_eq!(count(known, 3).await, SignInAttempt::Counted);
    assert_eq!(count(source(100), 3_600).await, SignInAttempt::Counted, "the hour is over");

    // What is known is kept for a month, and no longer.
    let month = 30 * 24 * 60 * 60;
    store.remove_expired_access(at(month - 1)).await.unwrap();
    for number in 0..50 {
        assert_eq!(count(source(number), month - 1).await, SignInAttempt::Counted, "{number}");
    }
    assert_eq!(count(known, month - 1).await, SignInAttempt::Counted);
    let held = SignInAttempt::LockedUntil(at(month - 1 + 3_600));
    assert_eq!(count(known, month).await, held, "a month is over");
}

pub(crate) async fn attempts_at_once_are_counted_one_by_one(store: &Store) {
    let attempt = || store.count_sign_in("a@example.com", source(1), at(0));
    let mut counted = 0;
    for _ in 0..4 {
        let (a, b, c) = tokio::join!(attempt(), attempt(), attempt());
        let counts = [a, b, c].into_iter().filter(|attempt| *attempt.as_ref().unwrap() == SignInAttempt::Counted);
        counted += counts.count();
    }
    assert_eq!(counted, 5);
}

pub(crate) async fn what_has_expired_is_removed(store: &Store) {
    let user = with_user(store, 1).await;
    let (session, _) = open(store, &user, at(0)).await;
    let end = at(0).saturating_add(SESSION_LIFE);
    let (kept, _) = open(store, &user, at(10)).await;
    let _ = store.make_sign_in_link(&ACT, user.account_id, user.id, at(100)).await.unwrap();
    let _ = store.count_sign_in("a@example.com", source(1), at(0)).await.unwrap();
    store.remove_expired_access(end).await.unwrap();
    // As of a time when both were alive.
    assert_eq!(store.session(session, at(1)).await.unwrap(), None);
    assert!(store.session(kept, at(1)).await.unwrap().is_some());
}

pub(crate) async fn the_newest_claim_sets_the_tier(store: &Store) {
    let id = with_account(store, 1).await;
    let before = store.revision().await.unwrap();
    let tier = async |tier, second| store.account_with_tier(&ACT, id, tier, at(second)).await.unwrap().unwrap().tier;
    assert_eq!(tier(account(1).tier, 0).await, account(1).tier);
    assert_eq!(store.revision().await.unwrap(), before, "nothing has changed");
    assert_eq!(tier(Tier::Free, 10).await, Tier::Free);
    assert_eq!(store.revision().await.unwrap(), before + 1, "routing reads the tier");
    assert_eq!(tier(Tier::Enterprise, 5).await, Tier::Free, "an older token");
    assert_eq!(tier(Tier::Enterprise, 11).await, Tier::Enterprise);
    assert_eq!(store.account(id).await.unwrap().unwrap().tier, Tier::Enterprise);
    let unknown = crate::samples::account_id(5);
    assert_eq!(store.account_with_tier(&ACT, unknown, Tier::Free, at(0)).await.unwrap(), None);
}

pub(crate) async fn admins_of_the_admin_account_may_act_for_others(store: &Store) {
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let (_, key) = store.create_api_key(&ACT, account.id, "first").await.unwrap();
    assert!(store.authenticate(key.expose()).await.unwrap().unwrap().node_admin);
    let user = user(1, account.id, Role::Admin);
    store.insert_user(&ACT, &user, None).await.unwrap();
    let (id, _) = open(store, &user, at(0)).await;
    assert!(store.session(id, at(0)).await.unwrap().unwrap().node_admin);
}
