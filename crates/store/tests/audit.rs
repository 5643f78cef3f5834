//! Somebody with the database in hands, but without the master key, rewrites what was done.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::path::Path;
use tandem_model::{AccountId, BootId, NodeId, Timestamp};
use tandem_store::{Act, Change, DatabaseUrl, Fault, Finding, MasterKey, NODE, Store, StoreOptions};
use uuid::Uuid;

static ACT: Act = Act::system("test", Timestamp::from_unix_micros(0));

async fn open(path: &Path) -> Store {
    let options = StoreOptions {
        master_key: MasterKey::from_bytes([1; 32]),
        node_id: NodeId::from_uuid(Uuid::from_u128(1)),
        boot_id: BootId::from_uuid(Uuid::from_u128(2)),
    };
    Store::open(&DatabaseUrl::sqlite(path), options).await.unwrap()
}

/// A store with a log of six entries.
async fn filled(path: &Path) -> (Store, AccountId) {
    let store = open(path).await;
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    for number in 1..=4 {
        let change = Change::new(account, "call.dial", &number).made(serde_json::json!({"trunk": number}));
        store.record_acts(&[(ACT.clone(), change)]).await.unwrap();
    }
    let whole = store.verify_audit_log().await.unwrap();
    assert!(whole.is_whole(), "{whole:?}");
    (store, account)
}

/// Runs statements past the store.
async fn rewrite(path: &Path, account: AccountId, statements: &str) {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let statements = statements.replace("THE_ACCOUNT", &format!("x'{}'", account.as_uuid().simple()));
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// What is found in a filled store after somebody has run these statements.
async fn after(statements: &str) -> (AccountId, Vec<Finding>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let (store, account) = filled(&path).await;
    store.close().await;
    rewrite(&path, account, statements).await;
    let store = open(&path).await;
    let verified = store.verify_audit_log().await.unwrap();
    store.close().await;
    (account, verified.findings)
}

async fn finds(statements: &str, expected: &[(Option<u64>, Fault)]) {
    let (account, findings) = after(statements).await;
    let found: Vec<_> = findings.iter().map(|finding| (finding.number, finding.fault)).collect();
    assert_eq!(found, expected, "{statements}");
    assert!(findings.iter().all(|finding| finding.account == account), "{findings:?}");
}

const ENTRY: &str = "account_id = THE_ACCOUNT AND number";

#[tokio::test]
async fn an_entry_that_was_changed_is_named() {
    for set in [
        "actor_name = 'nobody'",
        "at = at + 1",
        "action = 'call.hang_up'",
        "resource_id = '9'",
        "source = '192.0.2.1'",
        "request_id = ''",
        "on_behalf_of = account_id",
        "redacts = '[1]'",
    ] {
        let statement = format!("UPDATE audit_log SET {set} WHERE {ENTRY} = 4");
        finds(&statement, &[(Some(4), Fault::Broken)]).await;
    }
    // With a hash to go with it, what follows does not.
    let statement = format!("UPDATE audit_log SET hash = zeroblob(32) WHERE {ENTRY} = 4");
    finds(&statement, &[(Some(4), Fault::Broken), (Some(5), Fault::Broken)]).await;
    let statement = format!("UPDATE audit_log SET hash = zeroblob(32) WHERE {ENTRY} = 6");
    finds(&statement, &[(Some(6), Fault::Broken), (Some(6), Fault::Broken)]).await;
}

#[tokio::test]
async fn details_that_were_changed_or_taken_away_are_named() {
    let statement = format!("UPDATE audit_log SET details = replace(details, '2', '3') WHERE {ENTRY} = 4");
    finds(&statement, &[(Some(4), Fault::DetailsChanged)]).await;
    let statement = format!("UPDATE audit_log SET details = NULL, details_salt = NULL WHERE {ENTRY} = 4");
    finds(&statement, &[(Some(4), Fault::DetailsMissing)]).await;
}

#[tokio::test]
async fn an_entry_that_is_missing_is_named() {
    finds(&format!("DELETE FROM audit_log WHERE {ENTRY} = 4"), &[(Some(4), Fault::Missing)]).await;
    finds(&format!("DELETE FROM audit_log WHERE {ENTRY} = 1"), &[(Some(1), Fault::Missing)]).await;
}

#[tokio::test]
async fn entries_that_changed_places_are_named() {
    let swap = format!(
        "UPDATE audit_log SET number = 99 WHERE {ENTRY} = 3; UPDATE audit_log SET number = 3 WHERE {ENTRY} = 4;
         UPDATE audit_log SET number = 4 WHERE {ENTRY} = 99"
    );
    let broken = |number| (Some(number), Fault::Broken);
    finds(&swap, &[broken(3), broken(4), broken(5)]).await;
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_named() {
    finds(&format!("DELETE FROM audit_log WHERE {ENTRY} = 6"), &[(Some(6), Fault::EndMissing)]).await;
    // With the head moved back to where the chain ends then, only the key tells.
    let cut = format!(
        "DELETE FROM audit_log WHERE {ENTRY} = 6;
         UPDATE audit_heads SET last_number = 5, hash = (SELECT hash FROM audit_log WHERE {ENTRY} = 5)
         WHERE account_id = THE_ACCOUNT"
    );
    finds(&cut, &[(None, Fault::HeadForged)]).await;
}

#[tokio::test]
async fn a_log_that_was_written_anew_is_named() {
    let begun_later = "DELETE FROM audit_log WHERE account_id = THE_ACCOUNT AND number < 3;
         UPDATE audit_heads SET first_number = 3, anchor = (SELECT hash FROM audit_log WHERE number = 3)
         WHERE account_id = THE_ACCOUNT";
    let (_, findings) = after(begun_later).await;
    assert!(findings.iter().any(|finding| finding.fault == Fault::HeadForged), "{findings:?}");
    let other_key = "UPDATE audit_heads SET key_id = '00000000' WHERE account_id = THE_ACCOUNT";
    finds(other_key, &[(None, Fault::HeadOfOtherKey)]).await;
}

#[tokio::test]
async fn a_whole_log_that_is_missing_is_named() {
    let both =
        "DELETE FROM audit_log WHERE account_id = THE_ACCOUNT; DELETE FROM audit_heads WHERE account_id = THE_ACCOUNT";
    finds(both, &[(None, Fault::LogMissing)]).await;
    finds("DELETE FROM audit_heads WHERE account_id = THE_ACCOUNT", &[(None, Fault::LogMissing)]).await;
    let (_, findings) = after("DELETE FROM audit_log WHERE account_id = zeroblob(16); DELETE FROM audit_heads WHERE account_id = zeroblob(16)").await;
    assert!(
        findings.iter().any(|finding| finding.account == NODE && finding.fault == Fault::LogMissing),
        "{findings:?}"
    );
    // All of it: a node that has accounts has a log.
    let (_, findings) = after("DELETE FROM audit_log; DELETE FROM audit_heads").await;
    assert_eq!(findings, [Finding { account: NODE, number: None, fault: Fault::LogMissing }]);
}

#[tokio::test]
async fn an_entry_that_was_added_is_named() {
    let copy = "INSERT INTO audit_log SELECT account_id, 7, at, actor_kind, actor_id, actor_name, actor_account_id, on_behalf_of, source,
        request_id, action, resource_type, resource_id, node_id, redacts, details, details_salt, details_sha256, hash
        FROM audit_log WHERE account_id = THE_ACCOUNT AND number = 6";
    finds(copy, &[(Some(7), Fault::BeyondEnd)]).await;
}

/// As [`after`], with an ordinary act of the account after it; what is found then, whosever log it is in.
async fn after_and_acted_on(statements: &str) -> Vec<(bool, Option<u64>, Fault)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let (store, account) = filled(&path).await;
    store.close().await;
    rewrite(&path, account, statements).await;
    let store = open(&path).await;
    for number in [7, 8] {
        store.record_acts(&[(ACT.clone(), Change::new(account, "call.dial", &number))]).await.unwrap();
    }
    let found = store.verify_audit_log().await.unwrap().findings;
    store.close().await;
    found.iter().map(|finding| (finding.account == NODE, finding.number, finding.fault)).collect()
}

#[tokio::test]
async fn what_was_done_to_the_end_of_a_log_shows_when_the_log_has_gone_on() {
    let cut = format!(
        "DELETE FROM audit_log WHERE {ENTRY} = 6;
         UPDATE audit_heads SET last_number = 5, hash = (SELECT hash FROM audit_log WHERE {ENTRY} = 5)
         WHERE account_id = THE_ACCOUNT"
    );
    assert_eq!(after_and_acted_on(&cut).await, [(false, Some(6), Fault::Break)]);
    let other_key = "UPDATE audit_heads SET key_id = '00000000' WHERE account_id = THE_ACCOUNT";
    assert_eq!(after_and_acted_on(other_key).await, [(false, Some(7), Fault::Break)]);
    let mac = "UPDATE audit_heads SET mac = zeroblob(32) WHERE account_id = THE_ACCOUNT";
    assert_eq!(after_and_acted_on(mac).await, [(false, Some(7), Fault::Break)]);
    let gone =
        "DELETE FROM audit_log WHERE account_id = THE_ACCOUNT; DELETE FROM audit_heads WHERE account_id = THE_ACCOUNT";
    assert_eq!(after_and_acted_on(gone).await, [(true, Some(2), Fault::BegunAgain)]);
    let nodes_gone = "DELETE FROM audit_log WHERE account_id = zeroblob(16); DELETE FROM audit_heads WHERE account_id = zeroblob(16)";
    let found = after_and_acted_on(nodes_gone).await;
    assert!(found.contains(&(true, None, Fault::LogMissing)), "nothing was written into it: {found:?}");
}

#[tokio::test]
async fn a_log_that_was_put_back_by_itself_is_named() {
    for goes_on in [0, 1, 6] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tandem.db");
        let (store, account) = filled(&path).await;
        rewrite(&path, account, "CREATE TABLE kept AS SELECT * FROM audit_heads").await;
        let acts = async |store: &Store, count: usize| {
            for number in 0..count {
                store.record_acts(&[(ACT.clone(), Change::new(account, "call.dial", &number))]).await.unwrap();
            }
        };
        acts(&store, 3).await;
        assert_eq!(store.note_audit_heads(&ACT).await.unwrap(), 1);
        assert_eq!(store.note_audit_heads(&ACT).await.unwrap(), 0, "it has not gone on");
        assert!(store.verify_audit_log().await.unwrap().is_whole());
        store.close().await;
        // Head and all, as it was.
        let back = "DELETE FROM audit_log WHERE account_id = THE_ACCOUNT AND number > 6;
             DELETE FROM audit_heads WHERE account_id = THE_ACCOUNT;
             INSERT INTO audit_heads SELECT * FROM kept WHERE account_id = THE_ACCOUNT; DROP TABLE kept";
        rewrite(&path, account, back).await;
        let store = open(&path).await;
        acts(&store, goes_on).await;
        let _ = store.note_audit_heads(&ACT).await.unwrap();
        let found = store.verify_audit_log().await.unwrap().findings;
        assert!(!found.is_empty() && found.iter().all(|finding| finding.fault == Fault::PutBack), "{found:?}");
        assert!(found.iter().all(|finding| finding.account == account), "{found:?}");
        store.close().await;
    }
}
