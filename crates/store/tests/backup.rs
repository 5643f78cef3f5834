//! Backups of a file that is written to, and what comes back of them.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_model::*;
use tandem_store::{
    Act, AuditFilter, BackupError, CallKey, DatabaseUrl, JournalPosition, MasterKey, NODE, OpenError, RestoreError,
    Restored, Store, StoreOptions,
};
use uuid::Uuid;

static ACT: Act = Act::system("test", Timestamp::from_unix_micros(1_760_000_000_000_000));

fn options(key: u8) -> StoreOptions {
    StoreOptions {
        master_key: MasterKey::from_bytes([key; 32]),
        node_id: NodeId::from_uuid(Uuid::from_u128(1)),
        boot_id: BootId::from_uuid(Uuid::from_u128(2)),
    }
}

fn url(path: &Path) -> DatabaseUrl {
    DatabaseUrl::sqlite(path)
}

fn call(account_id: AccountId, number: u64) -> Record {
    let at = Timestamp::from_unix_micros(1_760_000_000_000_000);
    Record::Call(Box::new(CallRecord {
        id: CallId::from_uuid(Uuid::from_u64_pair(7, number)),
        account_id,
        call_id: Uuid::from_u64_pair(7, number).to_string(),
        trunk_id: None,
        direction: CallDirection::Outbound,
        carried_by: CarriedBy::Tandem,
        conversation_id: None,
        from_number: "+12025550100".into(),
        to_number: "+442079460000".into(),
        to_uri: None,
        started_at: at,
        answered_at: Some(at),
        ended_at: Some(at),
        duration_ms: Some(1_000),
        status: CallStatus::Completed,
        hangup_cause: None,
        sip_status: Some(200),
        hung_up_by: None,
        quality_score: None,
        codec_used: None,
        sip_call_id: None,
        remote_ip: None,
        cost: Some(Money::from_micros(42)),
        credits_used: None,
        metadata: serde_json::Map::new(),
        receipt: None,
        created_at: at,
    }))
}

const BATCH: u64 = 50;

/// Each position in the journal is the number of the batches that are stored: what a backup has, it has whole.
async fn holds_what_its_position_says(store: &Store, account: AccountId) -> u64 {
    let batches = store.journal_position(0).await.unwrap().unwrap().offset;
    // A batch is one transaction: its first and its last call stand for it.
    for number in (0..batches).flat_map(|batch| [batch * BATCH, (batch + 1) * BATCH - 1]) {
        let key = CallKey::Id(CallId::from_uuid(Uuid::from_u64_pair(7, number)));
        assert!(store.call(account, &key).await.unwrap().is_some(), "call {number} of {batches} batches");
    }
    let next = CallKey::Id(CallId::from_uuid(Uuid::from_u64_pair(7, batches * BATCH)));
    assert!(store.call(account, &next).await.unwrap().is_none(), "more than its position says");
    batches
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_under_load_is_of_one_moment_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.db");
    let store = Store::open(&url(&path), options(1)).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut batches = 0;
            while !stop.load(Ordering::SeqCst) {
                let records: Vec<Record> = (batches * BATCH..(batches + 1) * BATCH).map(|n| call(account, n)).collect();
                batches += 1;
                let position = JournalPosition { shard: 0, segment: 1, offset: batches };
                store.write_journal(&records, position).await.unwrap();
            }
            batches
        })
    };
    let backup = folder.path().join("backup.db");
    let mut taken = 0;
    // A few, so that they fall into different moments of the writer.
    for round in 0..3 {
        while store.journal_position(0).await.unwrap().is_none_or(|position| position.offset < round * 3 + 1) {
            tokio::task::yield_now().await;
        }
        let to = folder.path().join(format!("backup-{round}.db"));
        let made = tokio::task::block_in_place(|| {
            let mut last = None;
            let made = tokio::runtime::Handle::current()
                .block_on(store.back_up(&ACT, &url(&path), &to, |progress| last = Some(progress)));
            assert!(last.is_some_and(|last| last.copied == last.all && last.all > 0), "{last:?}");
            made.unwrap()
        });
        assert_eq!(fs::metadata(&to).unwrap().len(), made.bytes);
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        fs::copy(&to, &backup).unwrap();
        taken += 1;
    }
    stop.store(true, Ordering::SeqCst);
    let written = writer.await.unwrap();
    assert_eq!((taken, holds_what_its_position_says(&store, account).await), (3, written));
    store.close().await;

    let restored = Store::restore(&ACT, &url(&path), &backup, options(1)).await.unwrap();
    let store = Store::open(&url(&path), options(1)).await.unwrap();
    let batches = holds_what_its_position_says(&store, account).await;
    assert!(0 < batches && batches <= written, "{batches} of {written}");
    // What the journal holds from there on is stored once, and the sums are those of everything.
    for batch in batches..written {
        let records: Vec<Record> = (batch * BATCH..(batch + 1) * BATCH).map(|n| call(account, n)).collect();
        let position = JournalPosition { shard: 0, segment: 1, offset: batch + 1 };
        store.write_journal(&records, position).await.unwrap();
        store.write_journal(&records, position).await.unwrap();
    }
    assert_eq!(holds_what_its_position_says(&store, account).await, written);
    assert!(store.verify_audit_log().await.unwrap().is_whole());
    let log = store.audit_log(NODE, &AuditFilter::default(), 0, 1).await.unwrap();
    assert_eq!(log[0].action, "backup.restore");
    store.close().await;

    // The one that was replaced is whole, too.
    let Restored { replaced: Some(replaced), .. } = restored else { panic!("there was one") };
    let store = Store::open(&url(&replaced), options(1)).await.unwrap();
    assert_eq!(holds_what_its_position_says(&store, account).await, written);
    store.close().await;
}

#[tokio::test]
async fn a_backup_whose_audit_log_was_changed_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("tandem.db"), folder.path().join("backup.db"));
    let store = Store::open(&url(&path), options(1)).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    store.back_up(&ACT, &url(&path), &backup, |_| {}).await.unwrap();
    store.close().await;
    let changed = rusqlite::Connection::open(&backup).unwrap();
    changed.execute("UPDATE audit_log SET actor_name = 'nobody' WHERE account_id <> zeroblob(16)", []).unwrap();
    changed.close().unwrap();
    let restored = Store::restore(&ACT, &url(&path), &backup, options(1)).await.unwrap();
    assert_eq!(restored.findings[0].account, account, "{restored:?}");
}

#[tokio::test]
async fn a_key_that_is_missing_is_not_replaced_by_one_that_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("tandem.db"), folder.path().join("master.key"));
    let with_key = || StoreOptions { master_key: MasterKey::load_or_create(&key).unwrap(), ..options(1) };
    Store::open(&url(&path), with_key()).await.unwrap().close().await;
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let error = Store::open(&url(&path), with_key()).await.err().expect("nothing opens it");
    assert!(matches!(&error, OpenError::MasterKeyMissing { path } if *path == key), "{error}");
    assert!(!key.exists(), "and none is left that could be taken for it");
    let mode = fs::Permissions::from_mode(0o600);
    fs::write(&key, "11".repeat(32)).unwrap();
    fs::set_permissions(&key, mode.clone()).unwrap();
    let error = Store::open(&url(&path), with_key()).await.err().expect("another key does not");
    assert!(matches!(error, OpenError::WrongMasterKey) && key.exists(), "{error}");
    fs::write(&key, kept).unwrap();
    fs::set_permissions(&key, mode).unwrap();
    Store::open(&url(&path), with_key()).await.unwrap().close().await;
}

#[tokio::test]
async fn what_cannot_be_the_database_does_not_take_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("tandem.db"), folder.path().join("backup.db"));
    let store = Store::open(&url(&path), options(1)).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    store.back_up(&ACT, &url(&path), &backup, |_| {}).await.unwrap();
    let twice = store.back_up(&ACT, &url(&path), &backup, |_| {}).await.unwrap_err();
    assert!(matches!(twice, RestoreError::Backup(BackupError::Exists { .. })), "{twice}");
    store.close().await;
    let bytes = fs::read(&backup).unwrap();

    let refused = async |key: u8| {
        let error = Store::restore(&ACT, &url(&path), &backup, options(key)).await.unwrap_err();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "nothing is left behind: {names:?}");
        error
    };
    assert!(matches!(refused(2).await, RestoreError::Open(OpenError::WrongMasterKey)));
    for (cut, name) in [(0, "empty"), (100, "a header"), (bytes.len() / 2, "half")] {
        fs::write(&backup, &bytes[..cut]).unwrap();
        let error = refused(1).await;
        assert!(matches!(error, RestoreError::Backup(_)), "{name}: {error}");
    }
    let mut damaged = bytes.clone();
    for byte in &mut damaged[8_192..12_288] {
        *byte ^= 0x55;
    }
    fs::write(&backup, &damaged).unwrap();
    assert!(matches!(refused(1).await, RestoreError::Backup(_)));
    fs::write(&backup, &bytes).unwrap();
    let changed = rusqlite::Connection::open(&backup).unwrap();
    changed
        .execute_batch(
            "CREATE TRIGGER more AFTER INSERT ON api_keys BEGIN DELETE FROM trunks; END; PRAGMA journal_mode = DELETE",
        )
        .unwrap();
    changed.close().unwrap();
    let error = refused(1).await;
    assert!(matches!(error, RestoreError::Backup(BackupError::Foreign { .. })), "{error}");
    fs::write(&backup, "a text that somebody named so").unwrap();
    assert!(matches!(refused(1).await, RestoreError::Backup(BackupError::NotABackup { .. } | BackupError::Sqlite(_))));

    let store = Store::open(&url(&path), options(1)).await.unwrap();
    assert_eq!(store.account_by_name("admin").await.unwrap().unwrap().id, account, "the database is as it was");
    store.close().await;
    fs::write(&backup, bytes).unwrap();
    let elsewhere = folder.path().join("new").join("tandem.db");
    fs::create_dir(folder.path().join("new")).unwrap();
    let restored = Store::restore(&ACT, &url(&elsewhere), &backup, options(1)).await.unwrap();
    assert_eq!(restored, Restored { replaced: None, findings: Vec::new() });
    let store = Store::open(&url(&elsewhere), options(1)).await.unwrap();
    assert_eq!(store.account_by_name("admin").await.unwrap().unwrap().id, account);
    store.close().await;
}
