//! Amounts of any size keep every ledger exact, and stop nobody but whose they are.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

#[path = "postgres_server/mod.rs"]
mod postgres_server;
#[path = "conformance/samples.rs"]
#[expect(dead_code, reason = "other tests need more of them")]
mod samples;

use crate::samples::{ACT, at, call, call_id, external_call, leg, with_trunk};
use postgres_server::{Database, socket_folder};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::PathBuf;
use std::time::Duration;
use tandem_model::{
    AccountId, BootId, CallRecord, CallStatus, CreditTerms, MAX_CALL_COST, Money, NodeId, Record, Timestamp, TrunkId,
};
use tandem_store::{
    Act, CallKey, ChangeCreditError, DatabaseUrl, InsertCallError, MasterKey, Store, StoreOptions, TrafficQuery,
    UpdateCallError,
};
use uuid::Uuid;

/// A database that statements can be run on past the store.
enum Past {
    Sqlite(PathBuf, #[expect(dead_code, reason = "it is removed with the test")] tempfile::TempDir),
    Postgres(Database),
}

impl Past {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::Sqlite(folder.path().join("tandem.db"), folder)
    }

    async fn postgres() -> Self {
        Self::Postgres(Database::create().await)
    }

    async fn open(&self) -> Store {
        let url = match self {
            Self::Sqlite(path, _) => DatabaseUrl::sqlite(path),
            Self::Postgres(database) => database.url(),
        };
        let options = StoreOptions {
            master_key: MasterKey::from_bytes([7; 32]),
            node_id: NodeId::from_uuid(Uuid::from_u128(0x51)),
            boot_id: BootId::from_uuid(Uuid::from_u128(0x52)),
        };
        Store::open(&url, options).await.unwrap()
    }

    async fn run(&self, statements: &str) {
        match self {
            Self::Sqlite(path, _) => rusqlite::Connection::open(path).unwrap().execute_batch(statements).unwrap(),
            Self::Postgres(database) => {
                let (url, folder) = (database.url().to_string(), socket_folder().display());
                let name = url.rsplit('/').next().unwrap();
                let address = format!("postgresql:///{name}?host={folder}&user=postgres");
                let mut connection = PgConnection::connect(&address).await.unwrap();
                let statements = format!("SET search_path TO tandem, public; {statements}");
                sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// A UUID as a literal.
    fn id(&self, id: Uuid) -> String {
        match self {
            Self::Sqlite(..) => format!("x'{}'", id.simple()),
            Self::Postgres(_) => format!("'{id}'"),
        }
    }
}

const fn money(micros: i64) -> Money {
    Money::from_micros(micros)
}

fn act(second: i64) -> Act {
    Act { at: at(second), ..ACT.clone() }
}

/// An account whose calls are paid for by so much credit, from the beginning of time on.
async fn paying(store: &Store, number: u64, granted: i64) -> (AccountId, TrunkId) {
    let (account, trunk) = with_trunk(store, number).await;
    store.set_credit_control(&act(-1_000_000), account, true).await.unwrap();
    store.grant_credit(&act(1), account, money(granted), "").await.unwrap();
    (account, trunk)
}

fn over(number: u64, account: AccountId, cost: i64) -> CallRecord {
    CallRecord { cost: Some(money(cost)), status: CallStatus::Completed, ..call(number, account) }
}

async fn write(store: &Store, calls: &[CallRecord]) {
    let records: Vec<_> = calls
        .iter()
        .flat_map(|call| {
            let leg = leg(1, call);
            [
                Record::Call(Box::new(call.clone())),
                Record::Leg(Box::new(tandem_model::LegRecord { cost: call.cost, ..leg })),
            ]
        })
        .collect();
    assert_eq!(store.write_records(&records).await.unwrap().rejected, []);
}

async fn terms_of(store: &Store, account: AccountId) -> CreditTerms {
    let all = store.credit_terms().await.unwrap();
    *all.iter().find(|terms| terms.account_id == account).unwrap()
}

/// The entries of an account sum to its balance, and no part of that is cut off.
async fn assert_exact(store: &Store, account: AccountId, what: &str) {
    let credit = store.credit_account(account).await.unwrap();
    let entries = store.credit_entries(account, 0, 1_000).await.unwrap();
    let sum: i128 = entries.iter().map(|entry| i128::from(entry.amount.micros())).sum();
    let (granted, settled) = (credit.granted.micros(), credit.settled.micros());
    assert_eq!(sum, i128::from(granted) - i128::from(settled), "{what}: {entries:?}");
    assert_eq!(sum, i128::from(credit.balance().micros()), "{what}");
}

/// What a count of bits may go wrong at.
const EXTREMES: [i64; 18] = [
    i64::MIN,
    i64::MIN + 1,
    -4_000_000_000_000_000_001,
    -4_000_000_000_000_000_000,
    -1_000_000_000_000_000_000,
    -MAX_CALL_COST.micros(),
    -4_294_967_296,
    -1,
    0,
    1,
    4_294_967_295,
    MAX_CALL_COST.micros(),
    MAX_CALL_COST.micros() + 1,
    1_000_000_000_000_000_001,
    3_999_999_999_999_999_999,
    4_000_000_000_000_000_000,
    i64::MAX - 1,
    i64::MAX,
];

/// A small generator, so that a seed is one run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn extreme(&mut self) -> i64 {
        EXTREMES[self.below(EXTREMES.len())]
    }
}

/// Does at random what costs or grants extreme amounts.
async fn amounts_of_any_size(past: Past, seed: u64) {
    let store = past.open().await;
    let (account, trunk) = paying(&store, 1, 5).await;
    let (other, _) = paying(&store, 2, 1_000).await;
    write(&store, &[over(900, other, 300)]).await;
    let others = terms_of(&store, other).await;
    let mut random = Random(seed);
    let (mut refused, mut done) = (0, 0);
    for step in 0..80_u64 {
        let (amount, number) = (random.extreme(), u64::try_from(random.below(6)).unwrap());
        let what = format!("seed {seed}, step {step}, amount {amount}");
        let is_refused = match random.below(4) {
            0 => match store.grant_credit(&act(2), account, money(amount), "").await {
                Ok(_) => false,
                Err(ChangeCreditError::Overflow) => true,
                Err(error) => panic!("{what}: {error}"),
            },
            1 => {
                write(&store, &[over(number, account, amount), over(number + 10, account, random.extreme())]).await;
                false
            }
            2 => {
                let logged = CallRecord { cost: Some(money(amount)), ..external_call(100 + step, account, trunk) };
                match store.insert_external_call(&ACT, &logged).await {
                    Ok(()) => false,
                    Err(InsertCallError::LedgerFull(_)) => true,
                    Err(error) => panic!("{what}: {error}"),
                }
            }
            _ => {
                let change = |call: &mut CallRecord| {
                    call.cost = Some(money(amount));
                    Ok::<(), std::convert::Infallible>(())
                };
                let key = CallKey::Id(call_id(100 + step.saturating_sub(number)));
                match store.update_call(&ACT, account, &key, change).await {
                    Ok(_) | Err(UpdateCallError::NotFound) => false,
                    Err(UpdateCallError::LedgerFull(_)) => true,
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        };
        if is_refused {
            refused += 1;
        } else {
            done += 1;
        }
        assert_exact(&store, account, &what).await;
        assert_eq!(terms_of(&store, other).await, others, "{what}");
    }
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
    let settled = store.credit_account(account).await.unwrap().settled;
    assert!(settled != Money::ZERO, "some was settled");
    store.close().await;
}

#[tokio::test]
async fn amounts_of_any_size_keep_the_ledger_exact_on_sqlite() {
    for seed in [1, 2] {
        amounts_of_any_size(Past::sqlite(), seed).await;
    }
}

#[tokio::test]
async fn amounts_of_any_size_keep_the_ledger_exact_on_postgresql() {
    for seed in [3, 4] {
        amounts_of_any_size(Past::postgres().await, seed).await;
    }
}

/// Rows of one account that no store has written.
async fn rows_of_any_size(past: Past) {
    let store = past.open().await;
    let (bad, trunk) = paying(&store, 1, 5).await;
    let (good, _) = paying(&store, 2, 1_000).await;
    write(&store, &[over(1, bad, 3), over(2, good, 300)]).await;
    let logged = CallRecord { cost: Some(money(7)), ..external_call(3, bad, trunk) };
    store.insert_external_call(&ACT, &logged).await.unwrap();
    let goods = terms_of(&store, good).await;
    assert_eq!((goods.granted, goods.settled_here), (money(1_000), money(300)));

    for (round, extreme) in [i64::MAX, i64::MIN, i64::MAX - 7, -4_000_000_000_000_000_000].into_iter().enumerate() {
        let id = past.id(bad.as_uuid());
        // -9223372036854775808 is no literal: it is the negative of what does not fit.
        let value = match extreme {
            i64::MIN => "(-9223372036854775807 - 1)".to_owned(),
            amount => amount.to_string(),
        };
        let node = |number: u128| past.id(Uuid::from_u128(number + 10 * u128::try_from(round).unwrap()));
        past.run(&format!(
            "INSERT INTO credit_settlements (account_id, node_id, settled_micros, committed_micros, committed_until)
                VALUES ({id}, {}, {value}, {value}, 9223372036854775807), ({id}, {}, {value}, 0, 0);
            UPDATE credit_settlements SET settled_micros = {value} WHERE account_id = {id};
            UPDATE credits SET granted_micros = {value} WHERE account_id = {id};
            UPDATE credit_entries SET amount_micros = {value} WHERE account_id = {id};
            UPDATE call_logs SET cost_micros = {value}, duration_ms = 9223372036854775807 WHERE account_id = {id};
            UPDATE trunks SET cost_per_minute_micros = {value}, monthly_cost_micros = {value} WHERE account_id = {id};
            UPDATE trunk_monthly_prices SET monthly_cost_micros = {value} WHERE account_id = {id};
            UPDATE accounts SET max_trunks = {value}, max_calls = {value} WHERE id = {id};
            UPDATE traffic SET calls = {value}, calls_ms = {value}, calls_cost_micros = {value}, attempts_ms = {value},
                attempts_answered = {value}, attempts_cost_micros = {value} WHERE account_id = {id};",
            node(0x61),
            node(0x62),
        ))
        .await;
        let what = format!("with {extreme}");

        // What a start reads, and what is read twice a second.
        assert_eq!(terms_of(&store, good).await, goods, "{what}");
        terms_of(&store, bad).await;
        let snapshot = store.routing_snapshot().await.unwrap();
        assert!(snapshot.accounts.iter().any(|account| account.id == good), "{what}");
        assert!(snapshot.trunks.iter().any(|trunk| trunk.account_id == good), "{what}");
        let long_ago = Timestamp::from_unix_micros(0);
        store.recent_traffic(long_ago, long_ago).await.unwrap();
        store.hourly_costs(bad, long_ago, at(10_000)).await.unwrap();
        store.traffic(&TrafficQuery::new(bad, long_ago, at(10_000))).await.unwrap();
        store.credit_account(bad).await.unwrap();

        // What nodes write for all accounts together.
        let number = 10 + u64::try_from(round).unwrap();
        let mixed = [over(1, bad, 4), over(number, good, 0), over(number + 100, bad, i64::MAX)];
        write(&store, &mixed).await;
        write(&store, &[over(1, bad, i64::MIN), over(number, good, 0)]).await;
        assert_eq!(terms_of(&store, good).await, goods, "{what}");
        let change = |call: &mut CallRecord| {
            call.cost = Some(money(9));
            Ok::<(), std::convert::Infallible>(())
        };
        let changed = store.update_call(&ACT, bad, &CallKey::Id(logged.id), change).await;
        assert!(matches!(changed, Ok(_) | Err(UpdateCallError::LedgerFull(_))), "{what}: {changed:?}");
    }
    write(&store, &[over(500, good, 50)]).await;
    assert_eq!(terms_of(&store, good).await.settled_here, money(350));
    assert_exact(&store, good, "of the other").await;
    store.close().await;

    // And again from the start.
    let store = past.open().await;
    assert_eq!(terms_of(&store, good).await.settled_here, money(350));
    store.routing_snapshot().await.unwrap();
    store.open_external_calls().await.unwrap();
    store.commit_credit(&[], at(0).saturating_add(Duration::from_secs(1))).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn rows_of_any_size_stop_no_other_account_on_sqlite() {
    rows_of_any_size(Past::sqlite()).await;
}

#[tokio::test]
async fn rows_of_any_size_stop_no_other_account_on_postgresql() {
    rows_of_any_size(Past::postgres().await).await;
}

/// A call that this switch carries is stored at no more than a call may cost.
async fn a_price_beyond_reason(past: Past) {
    let store = past.open().await;
    let (account, _) = paying(&store, 1, 5).await;
    write(&store, &[over(1, account, i64::MAX)]).await;
    let stored = store.call(account, &CallKey::Id(call_id(1))).await.unwrap().unwrap();
    assert_eq!(stored.cost, Some(MAX_CALL_COST));
    assert_eq!(store.credit_account(account).await.unwrap().settled, MAX_CALL_COST);
    assert_exact(&store, account, "dear").await;
    store.close().await;
}

#[tokio::test]
async fn a_call_is_stored_at_no_more_than_a_call_may_cost() {
    a_price_beyond_reason(Past::sqlite()).await;
    a_price_beyond_reason(Past::postgres().await).await;
}
