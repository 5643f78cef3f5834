//! The master key is replaced, and whatever goes wrong meanwhile, every secret opens.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

use std::fs;
use std::path::Path;
use std::time::Duration;
use tandem_model::{Account, AccountId, BootId, NodeId, Tier, Timestamp};
use tandem_store::{Act, DatabaseUrl, MasterKey, OpenError, RotateError, RotationStep, Store, StoreOptions};
use uuid::Uuid;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_760_000_000_000_000 + second * 1_000_000)
}

fn act(second: i64) -> Act {
    Act::system("test", at(second))
}

async fn open_as(folder: &Path, key: &str, node: u128) -> Result<Store, OpenError> {
    let options = StoreOptions {
        master_key: MasterKey::load_or_create(&folder.join(key)).unwrap(),
        node_id: NodeId::from_uuid(Uuid::from_u128(node)),
        boot_id: BootId::from_uuid(Uuid::from_u128(node)),
    };
    Store::open(&DatabaseUrl::sqlite(folder.join("tandem.db")), options).await
}

async fn open(folder: &Path) -> Store {
    open_as(folder, "master.key", 1).await.unwrap()
}

async fn with_account(store: &Store, number: u128) -> AccountId {
    let id = AccountId::from_uuid(Uuid::from_u128(number));
    let account = Account {
        id,
        name: format!("account {number}"),
        tier: Tier::Pro,
        max_trunks: None,
        max_calls: None,
        created_at: at(0),
    };
    store.insert_account(&act(0), &account).await.unwrap();
    id
}

/// Everything that is sealed opens: the data key of each account, and the ends of the logs.
async fn everything_opens(store: &Store, accounts: &[AccountId]) {
    for account in accounts {
        store.trunks(*account, 0, 10).await.unwrap();
    }
    let verified = store.verify_audit_log().await.unwrap();
    assert!(verified.is_whole(), "{verified:?}");
}

async fn finish(store: &Store, second: i64) {
    for _ in 0..100 {
        if let RotationStep::Done { .. } = store.rotate_master_key_step(&act(second), Duration::ZERO).await.unwrap() {
            return;
        }
    }
    panic!("the rotation does not end");
}

#[tokio::test]
async fn a_rotation_may_end_after_every_step_and_be_taken_up() {
    for cut_after in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let mut accounts = vec![with_account(&store, 7).await, with_account(&store, 8).await];
        let old = fs::read_to_string(folder.path().join("master.key")).unwrap();
        let old_id = store.master_key_ids()[0];
        let mut done = false;
        for _ in 0..cut_after {
            if !done {
                let step = store.rotate_master_key_step(&act(1), Duration::ZERO).await.unwrap();
                done = matches!(step, RotationStep::Done { .. });
            }
        }
        store.close().await;
        drop(store);

        // Another process, which knows what is in the files and no more.
        let store = open(folder.path()).await;
        everything_opens(&store, &accounts).await;
        accounts.push(with_account(&store, 9).await);
        if !done {
            finish(&store, 2).await;
        }
        assert_eq!(store.master_key_ids().len(), 1, "cut after {cut_after}");
        assert_ne!(store.master_key_ids()[0], old_id);
        everything_opens(&store, &accounts).await;
        store.close().await;
        let store = open(folder.path()).await;
        everything_opens(&store, &accounts).await;
        store.close().await;

        let new = fs::read_to_string(folder.path().join("master.key")).unwrap();
        assert!(!new.contains(old.trim()) && new.trim().len() == 64, "the old key is gone");
        fs::write(folder.path().join("master.key"), old).unwrap();
        let refused = open_as(folder.path(), "master.key", 1).await.err().unwrap();
        assert!(matches!(refused, OpenError::WrongMasterKey), "{refused}");
    }
}

#[tokio::test]
async fn every_node_that_runs_has_the_key_before_anything_is_sealed_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path()).await;
    fs::copy(folder.path().join("master.key"), folder.path().join("other.key")).unwrap();
    let other = open_as(folder.path(), "other.key", 2).await.unwrap();
    let gone = open_as(folder.path(), "other.key", 3).await.unwrap();
    let account = with_account(&one, 7).await;
    // One that has not been seen for a while is not waited for.
    gone.keep_keys(at(0)).await.unwrap();
    one.keep_keys(at(100)).await.unwrap();
    other.keep_keys(at(100)).await.unwrap();

    let step = async || one.rotate_master_key_step(&act(101), Duration::from_secs(60)).await.unwrap();
    assert!(matches!(step().await, RotationStep::KeyMade(_)));
    assert!(matches!(step().await, RotationStep::Announced(_)));
    one.keep_keys(at(102)).await.unwrap();
    assert_eq!(step().await, RotationStep::Waiting(vec![other.node_id()]));
    other.keep_keys(at(102)).await.unwrap();
    assert_eq!(other.master_key_ids().len(), 2);
    assert_eq!(step().await, RotationStep::Switched);
    one.keep_keys(at(103)).await.unwrap();
    assert_eq!(step().await, RotationStep::Waiting(vec![other.node_id()]), "it still seals by the old one");
    let late = with_account(&other, 8).await;
    other.keep_keys(at(103)).await.unwrap();
    let token_key = other.derived_keys("tokens")[1].clone();
    assert_eq!(step().await, RotationStep::Resealed(5), "two accounts, and three logs");
    assert!(matches!(step().await, RotationStep::Done { .. }));

    // What the old key has signed counts a while longer, then both nodes forget it.
    everything_opens(&other, &[account, late]).await;
    other.keep_keys(at(150)).await.unwrap();
    assert!(other.derived_keys("tokens").contains(&token_key));
    let early = one.rotate_master_key_step(&act(150), Duration::from_secs(60)).await;
    assert!(matches!(early, Err(RotateError::StillRetiring { .. })), "{early:?}");
    for store in [&one, &other] {
        store.keep_keys(at(161)).await.unwrap();
        assert_eq!(store.master_key_ids().len(), 1);
        assert!(!store.derived_keys("tokens").contains(&token_key));
        everything_opens(store, &[account, late]).await;
    }
    let kept = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(kept("master.key"), kept("other.key"));
    // And again, from the other node.
    other.keep_keys(at(162)).await.unwrap();
    one.leave().await.unwrap();
    other.leave().await.unwrap();
    finish(&other, 163).await;
    one.keep_keys(at(164)).await.unwrap_err();
    drop(gone);
}

#[tokio::test]
async fn a_forged_log_is_still_one_after_a_rotation() {
    use sqlx::{ConnectOptions, Connection};
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let account = with_account(&store, 7).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("tandem.db"));
    let mut connection = options.connect().await.unwrap();
    let forge = "UPDATE audit_heads SET mac = zeroblob(32) WHERE account_id <> zeroblob(16)";
    sqlx::raw_sql(forge).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    finish(&store, 1).await;
    let findings = store.verify_audit_log().await.unwrap().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].account, account);
}

#[tokio::test]
async fn a_key_that_is_going_goes_sooner_when_it_is_in_the_wrong_hands() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let account = with_account(&store, 7).await;
    let hour = Duration::from_secs(3_600);
    while !matches!(store.rotate_master_key_step(&act(1), hour).await.unwrap(), RotationStep::Done { .. }) {}
    assert_eq!(store.master_key_ids().len(), 2);
    let sooner = store.rotate_master_key_step(&act(2), Duration::ZERO).await.unwrap();
    assert!(matches!(sooner, RotationStep::Done { retire_at, .. } if retire_at == at(2)), "{sooner:?}");
    assert_eq!(store.master_key_ids().len(), 1);
    everything_opens(&store, &[account]).await;
    store.close().await;
}
