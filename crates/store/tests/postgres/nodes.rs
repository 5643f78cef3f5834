//! Several processes on one database.

use crate::postgres_server::Database;
use crate::{ACT, call, open, options, state, trunk};
use std::convert::Infallible;
use std::time::Duration;
use tandem_model::{CallRecord, CallStatus, CreditCommitment, Money, NodeId, Timestamp};
use tandem_store::{CallFilter, CallKey, Part, RotationStep, Store, StoreOptions};
use uuid::Uuid;

#[tokio::test]
async fn two_processes_may_migrate_at_once() {
    let database = Database::create().await;
    let url = database.url();
    let (one, other) = tokio::join!(Store::migrate(&url), Store::migrate(&url));
    assert_eq!(one.unwrap().to, other.unwrap().to);
}

#[tokio::test]
async fn two_processes_share_a_database() {
    let database = Database::create().await;
    let (server, cli) = (open(&database).await.unwrap(), open(&database).await.unwrap());
    let account = cli.ensure_admin_account(&ACT, "admin").await.unwrap();
    let before = server.revision().await.unwrap();
    let (_, key) = cli.create_api_key(&ACT, account.id, "key").await.unwrap();
    assert!(server.revision().await.unwrap() > before);
    assert_eq!(server.authenticate(key.expose()).await.unwrap().unwrap().account, account);

    // Together they may not pass the limit either.
    let writes = (1..=20).map(|number| {
        let store = if number % 2 == 0 { server.clone() } else { cli.clone() };
        let trunk = trunk(account.id, number);
        tokio::spawn(async move { store.insert_trunk(&ACT, &trunk, 15).await.is_ok() })
    });
    let mut written = 0;
    for write in writes.collect::<Vec<_>>() {
        written += usize::from(write.await.unwrap());
    }
    assert_eq!((written, server.trunks(account.id, 0, 100).await.unwrap().len()), (15, 15));
    server.close().await;
    cli.close().await;
}

#[tokio::test]
async fn batches_of_several_nodes_are_all_written() {
    let database = Database::create().await;
    let nodes = [open(&database).await.unwrap(), open(&database).await.unwrap(), open(&database).await.unwrap()];
    let account = nodes[0].ensure_admin_account(&ACT, "admin").await.unwrap().id;
    let writes = (0..30_u64).map(|batch| {
        let node = nodes[usize::try_from(batch).unwrap() % nodes.len()].clone();
        let records: Vec<_> = (0..10).map(|number| state(call(account, batch * 10 + number))).collect();
        tokio::spawn(async move { node.write_records(&records).await })
    });
    for write in writes.collect::<Vec<_>>() {
        assert_eq!(write.await.unwrap().unwrap().rejected, []);
    }
    let all = CallFilter::default();
    assert_eq!(nodes[1].calls(account, &all, &Part::page(0, 1_000)).await.unwrap().rows.len(), 300);
    for node in nodes {
        node.close().await;
    }
}

#[tokio::test]
async fn what_a_node_has_committed_counts_on_others_until_it_is_settled_or_forgotten() {
    let database = Database::create().await;
    let one = open(&database).await.unwrap();
    let options = StoreOptions { node_id: NodeId::from_uuid(Uuid::from_u128(2)), ..options(1) };
    let other = Store::open(&database.url(), options).await.unwrap();
    let account = one.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    one.set_credit_control(&ACT, account, true).await.unwrap();
    let elsewhere = async |store: &Store| store.credit_terms().await.unwrap()[0].committed_elsewhere.micros();
    let commit = async |micros: i64, until: Timestamp| {
        let commitment = CreditCommitment { account_id: account, amount: Money::from_micros(micros) };
        one.commit_credit(&[commitment], until).await.unwrap();
    };
    let long = Timestamp::from_unix_micros(i64::MAX);
    commit(700, long).await;
    assert_eq!((elsewhere(&other).await, elsewhere(&one).await), (700, 0));
    // Part of it is what a call that is stored has cost.
    let over = CallRecord { cost: Some(Money::from_micros(300)), ended_at: Some(ACT.at), ..call(account, 1) };
    one.write_records(&[state(CallRecord { status: CallStatus::Completed, ..over })]).await.unwrap();
    assert_eq!(elsewhere(&other).await, 700);
    commit(200, long).await;
    assert_eq!(elsewhere(&other).await, 300, "what is settled is committed, whatever was told before");
    commit(700, ACT.at).await;
    assert_eq!(elsewhere(&other).await, 300, "nobody has told again");
    one.close().await;
    other.close().await;
}

/// A change reads the call, and a state of the call path may be written before it writes the call: then one of them would be lost.
#[tokio::test]
async fn a_change_of_a_call_and_its_states_do_not_undo_each_other() {
    let database = Database::create().await;
    let (api, tailer) = (open(&database).await.unwrap(), open(&database).await.unwrap());
    let account = api.ensure_admin_account(&ACT, "admin").await.unwrap().id;
    tailer.write_records(&[state(call(account, 1))]).await.unwrap();
    let key = CallKey::Id(call(account, 1).id);
    for round in 0..20_u32 {
        let ringing = CallRecord { status: CallStatus::Ringing, ..call(account, 1) };
        let answered = CallRecord {
            status: CallStatus::Answered,
            answered_at: Some(Timestamp::from_unix_micros(round.into())),
            ..call(account, 1)
        };
        tailer.write_records(&[state(ringing)]).await.unwrap();
        let (update, batch) = ([state(answered.clone())], api.clone());
        let (changed, written) = tokio::join!(
            batch.update_call(&ACT, account, &key, |call| {
                call.metadata.insert(round.to_string(), true.into());
                Ok::<(), Infallible>(())
            }),
            tailer.write_records(&update),
        );
        changed.unwrap();
        written.unwrap();
        let call = api.call(account, &key).await.unwrap().unwrap();
        assert_eq!((call.status, call.answered_at), (CallStatus::Answered, answered.answered_at));
        assert_eq!(call.metadata.len(), round as usize + 1);
    }
    api.close().await;
    tailer.close().await;
}

/// Each account that is added counts the revision up by one: so a snapshot shows whether its parts are of one moment.
#[tokio::test]
async fn a_snapshot_is_of_one_moment_while_others_write() {
    let database = Database::create().await;
    let (writing, reading) = (open(&database).await.unwrap(), open(&database).await.unwrap());
    let empty = reading.revision().await.unwrap();
    let writer = tokio::spawn(async move {
        for number in 0..60 {
            writing.ensure_admin_account(&ACT, &format!("account {number}")).await.unwrap();
        }
        writing.close().await;
    });
    while !writer.is_finished() {
        let snapshot = reading.routing_snapshot().await.unwrap();
        assert_eq!(snapshot.revision - empty, snapshot.accounts.len() as u64);
    }
    writer.await.unwrap();
    reading.close().await;
}

#[tokio::test]
async fn the_master_key_is_replaced() {
    let database = Database::create().await;
    let store = open(&database).await.unwrap();
    let account = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    store.insert_trunk(&ACT, &trunk(account.id, 1), 10).await.unwrap();
    store.keep_keys(ACT.at).await.unwrap();
    let old = store.master_key_ids();
    let mut steps = 0;
    while !matches!(store.rotate_master_key_step(&ACT, Duration::ZERO).await.unwrap(), RotationStep::Done { .. }) {
        store.keep_keys(ACT.at).await.unwrap();
        steps += 1;
        assert!(steps < 20, "the rotation does not end");
    }
    assert_ne!(store.master_key_ids(), old);
    assert_eq!(store.master_key_ids().len(), 1);
    assert_eq!(store.trunks(account.id, 0, 10).await.unwrap().len(), 1);
    assert!(store.verify_audit_log().await.unwrap().is_whole());
    store.leave().await.unwrap();
}
