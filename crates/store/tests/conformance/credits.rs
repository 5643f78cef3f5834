use crate::samples::{ACT, account_id, at, call, call_id, external_call, with_account, with_trunk};
use crate::traces::wall_clock;
use std::convert::Infallible;
use std::time::Duration;
use tandem_model::{
    AccountId, CallRecord, CallStatus, CreditAccount, CreditCommitment, CreditEntryKind, CreditTerms, Money, Record,
    Timestamp,
};
use tandem_store::{Act, CallKey, ChangeCreditError, Store};

fn act_at(at: Timestamp) -> Act {
    Act { at, ..ACT.clone() }
}

fn act(second: i64) -> Act {
    act_at(at(second))
}

const fn money(micros: i64) -> Money {
    Money::from_micros(micros)
}

/// A call that is over and has cost so much.
fn over(number: u64, account: AccountId, cost: i64) -> CallRecord {
    CallRecord { cost: Some(money(cost)), ..call(number, account) }
}

async fn write(store: &Store, calls: &[CallRecord]) {
    let records: Vec<_> = calls.iter().map(|call| Record::Call(Box::new(call.clone()))).collect();
    assert_eq!(store.write_records(&records).await.unwrap().rejected, []);
}

/// An account whose calls are paid for by so much credit, from the beginning of time on.
async fn paying(store: &Store, number: u64, granted: i64) -> AccountId {
    let account = with_account(store, number).await;
    store.set_credit_control(&act_at(at(-1_000_000)), account, true).await.unwrap();
    if granted != 0 {
        store.grant_credit(&act(1), account, money(granted), "").await.unwrap();
    }
    account
}

/// What there is; the ledger must sum to it.
async fn balance(store: &Store, account: AccountId) -> i64 {
    let balance = store.credit_account(account).await.unwrap().balance().micros();
    let entries = store.credit_entries(account, 0, 1_000).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.amount.micros()).sum::<i64>(), balance, "{entries:?}");
    balance
}

async fn kinds(store: &Store, account: AccountId) -> Vec<(CreditEntryKind, i64)> {
    let entries = store.credit_entries(account, 0, 1_000).await.unwrap();
    let mut kinds: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.amount.micros())).collect();
    // Those of one millisecond are in no order.
    kinds.sort();
    kinds
}

pub(crate) async fn credit_is_added_and_taken_and_written_down(store: &Store) {
    let account = with_account(store, 1).await;
    assert_eq!(store.credit_account(account).await.unwrap(), CreditAccount::default());
    let before = store.revision().await.unwrap();
    let (added, _) = store.grant_credit(&act(1), account, money(500), "invoice 7").await.unwrap();
    let (taken, then) = store.grant_credit(&act(2), account, money(-700), "a mistake").await.unwrap();
    assert_eq!(then, CreditAccount { controlled_since: None, granted: money(-200), settled: Money::ZERO });
    assert_eq!((added.kind, taken.kind), (CreditEntryKind::TopUp, CreditEntryKind::Adjustment));
    assert_eq!((added.note.as_str(), added.call_id, added.at), ("invoice 7", None, at(1)));
    assert_eq!(store.credit_entries(account, 0, 10).await.unwrap(), [taken, added.clone()]);
    assert_eq!(store.credit_entries(account, 1, 10).await.unwrap(), [added]);
    assert_eq!(balance(store, account).await, -200);
    assert_eq!(store.revision().await.unwrap(), before, "no call goes by it");

    let too_much = store.grant_credit(&act(3), account, money(i64::MIN), "").await;
    assert!(matches!(too_much, Err(ChangeCreditError::Overflow)), "{too_much:?}");
    let nobody = store.grant_credit(&act(3), account_id(9), money(1), "").await;
    assert!(matches!(nobody, Err(ChangeCreditError::UnknownAccount)), "{nobody:?}");
    assert_eq!(balance(store, account).await, -200);
}

pub(crate) async fn control_is_switched_on_and_off_and_the_balance_kept(store: &Store) {
    let account = with_account(store, 1).await;
    store.grant_credit(&act(1), account, money(500), "").await.unwrap();
    let mut revision = store.revision().await.unwrap();
    for (is_on, at_second, since, changes) in
        [(false, 2, None, 0), (true, 3, Some(3), 1), (true, 4, Some(3), 0), (false, 5, None, 1), (true, 6, Some(6), 1)]
    {
        let then = store.set_credit_control(&act_at(at(at_second)), account, is_on).await.unwrap();
        assert_eq!(then.controlled_since, since.map(at));
        assert_eq!(store.credit_account(account).await.unwrap(), then);
        revision += changes;
        assert_eq!(store.revision().await.unwrap(), revision);
    }
    store.grant_credit(&act(7), account, money(1), "").await.unwrap();
    assert_eq!(store.revision().await.unwrap(), revision + 1, "calls go by it");
    assert_eq!(balance(store, account).await, 501);
    let nobody = store.set_credit_control(&act_at(at(3)), account_id(9), true).await;
    assert!(matches!(nobody, Err(ChangeCreditError::UnknownAccount)), "{nobody:?}");
}

pub(crate) async fn a_call_is_settled_once_however_often_it_is_written(store: &Store) {
    let account = paying(store, 1, 1_000).await;
    let live = CallRecord { status: CallStatus::Answered, ended_at: None, cost: None, ..over(1, account, 0) };
    write(store, std::slice::from_ref(&live)).await;
    // The state of a call whose ports have still to tell their counters: it is over, and not closed.
    write(store, &[CallRecord { status: CallStatus::Answered, ..over(1, account, 300) }]).await;
    assert_eq!(balance(store, account).await, 1_000);
    for _ in 0..3 {
        write(store, &[live.clone(), over(1, account, 300)]).await;
    }
    assert_eq!(balance(store, account).await, 700);
    let entry = &store.credit_entries(account, 0, 1).await.unwrap()[0];
    assert_eq!((entry.kind, entry.amount, entry.call_id), (CreditEntryKind::Call, money(-300), Some(call_id(1))));
    write(store, &[over(2, account, 0)]).await;
    assert_eq!(kinds(store, account).await.len(), 2, "what costs nothing changes nothing");
}

pub(crate) async fn a_call_that_is_written_with_another_cost_is_corrected(store: &Store) {
    let account = paying(store, 1, 1_000).await;
    write(store, &[over(1, account, 300), over(1, account, 250)]).await;
    write(store, &[over(1, account, 280)]).await;
    write(store, &[over(1, account, 30)]).await;
    assert_eq!(balance(store, account).await, 970);
    use CreditEntryKind::{Call, Correction, TopUp};
    assert_eq!(kinds(store, account).await, [(TopUp, 1_000), (Call, -250), (Correction, -30), (Correction, 250)]);
}

pub(crate) async fn only_calls_that_credit_pays_for_are_settled(store: &Store) {
    let (free, account) = (with_account(store, 1).await, with_account(store, 2).await);
    store.grant_credit(&act(1), free, money(100), "").await.unwrap();
    let began = over(1, account, 300).started_at;
    let later = Timestamp::from_unix_micros(began.unix_micros() + 1);
    store.set_credit_control(&act_at(later), account, true).await.unwrap();
    let from_then_on = CallRecord { started_at: later, ..over(3, account, 50) };
    let unknown_cost = CallRecord { started_at: later, cost: None, ..over(4, account, 50) };
    write(store, &[over(1, account, 300), over(2, free, 300), from_then_on, unknown_cost]).await;
    assert_eq!((balance(store, free).await, balance(store, account).await), (100, -50));
    store.set_credit_control(&act_at(at(9)), account, false).await.unwrap();
    write(store, &[CallRecord { started_at: later, ..over(5, account, 70) }]).await;
    assert_eq!(balance(store, account).await, -50);
}

pub(crate) async fn external_calls_are_settled_at_what_the_client_says(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    store.set_credit_control(&act_at(at(-1_000_000)), account, true).await.unwrap();
    let logged = CallRecord { cost: Some(money(40)), ..external_call(1, account, trunk) };
    store.insert_external_call(&ACT, &logged).await.unwrap();
    assert_eq!(balance(store, account).await, -40);
    for (cost, then) in [(Some(40), -40), (Some(100), -100), (Some(90), -90), (None, -90)] {
        let change = |call: &mut CallRecord| {
            call.cost = cost.map(money);
            Ok::<(), Infallible>(())
        };
        store.update_call(&ACT, account, &CallKey::Id(logged.id), change).await.unwrap();
        assert_eq!(balance(store, account).await, then);
    }
    let without = CallRecord { cost: None, ..external_call(2, account, trunk) };
    store.insert_external_call(&ACT, &without).await.unwrap();
    assert_eq!(balance(store, account).await, -90);
    let terms = store.credit_terms().await.unwrap();
    assert_eq!((terms[0].settled_here, terms[0].committed_elsewhere), (Money::ZERO, money(90)));
}

pub(crate) async fn changes_at_once_all_count(store: &Store) {
    let (account, trunk) = with_trunk(store, 1).await;
    store.set_credit_control(&act_at(at(-1_000_000)), account, true).await.unwrap();
    let tasks = (0..24_u64).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            match number % 3 {
                0 => drop(store.grant_credit(&act(1), account, money(1_000), "").await.unwrap()),
                1 => write(&store, &[over(number, account, 10), over(number + 100, account, 1)]).await,
                _ => {
                    let logged = CallRecord { cost: Some(money(5)), ..external_call(number, account, trunk) };
                    store.insert_external_call(&ACT, &logged).await.unwrap();
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(balance(store, account).await, 8 * (1_000 - 11 - 5));
}

pub(crate) async fn the_call_path_is_told_whose_calls_have_cost_what(store: &Store) {
    let (one, other) = (paying(store, 1, 1_000).await, with_account(store, 2).await);
    store.grant_credit(&act(1), other, money(5), "").await.unwrap();
    write(store, &[over(1, one, 300), over(2, one, 1)]).await;
    let terms = CreditTerms {
        account_id: one,
        since: at(-1_000_000),
        granted: money(1_000),
        committed_elsewhere: Money::ZERO,
        settled_here: money(301),
    };
    assert_eq!(store.credit_terms().await.unwrap(), [terms], "and nothing of accounts without control");

    // What it commits itself it knows better.
    let commitment = CreditCommitment { account_id: one, amount: money(900) };
    store.commit_credit(&[commitment], wall_clock().saturating_add(Duration::from_secs(60))).await.unwrap();
    assert_eq!(store.credit_terms().await.unwrap(), [terms]);
    write(store, &[over(3, one, 9)]).await;
    assert_eq!(store.credit_terms().await.unwrap(), [CreditTerms { settled_here: money(310), ..terms }]);
    assert_eq!(balance(store, one).await, 690, "what may be spent is not spent");
}

pub(crate) async fn accounts_do_not_see_each_others_credit(store: &Store) {
    let (ours, theirs) = (paying(store, 1, 1_000).await, paying(store, 2, 0).await);
    write(store, &[over(1, ours, 300)]).await;
    // A call of ours that is said to be theirs.
    write(store, &[over(1, theirs, 400)]).await;
    assert_eq!((balance(store, ours).await, balance(store, theirs).await), (700, 0));
    assert_eq!(store.credit_entries(theirs, 0, 10).await.unwrap(), []);
}

pub(crate) async fn a_whole_batch_is_settled(store: &Store) {
    let (one, other) = (paying(store, 1, 0).await, paying(store, 2, 0).await);
    let calls: Vec<_> = (0..2_500).map(|number| over(number, if number % 2 == 0 { one } else { other }, 7)).collect();
    for _ in 0..2 {
        write(store, &calls).await;
    }
    for account in [one, other] {
        assert_eq!(store.credit_account(account).await.unwrap().settled, money(1_250 * 7));
    }
}
