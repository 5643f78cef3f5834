use crate::samples::{ACT, account_id, at, trunk, trunk_id, with_account};
use std::convert::Infallible;
use std::time::Duration;
use tandem_model::{Money, Timestamp, Trunk};
use tandem_store::{MonthlyPrice, Store, TrunkPrices};

pub(crate) async fn a_price_is_kept_with_the_time_since_when(store: &Store) {
    let account = with_account(store, 1).await;
    for number in [1, 2] {
        let cheap = Trunk { monthly_cost: Money::from_micros(5), ..trunk(number, account) };
        store.insert_trunk(&ACT, &cheap, 10).await.unwrap();
    }
    let change = async |micros: i64, moment: Timestamp| {
        let changed = store.change_trunk(&ACT, account, trunk_id(1), |trunk| {
            (trunk.monthly_cost, trunk.updated_at) = (Money::from_micros(micros), moment);
            Ok::<(), Infallible>(())
        });
        changed.await.unwrap();
    };
    change(5, at(10)).await;
    change(7, at(20)).await;
    change(8, at(20)).await;
    change(5, at(30)).await;
    store.delete_trunk(&ACT, account, trunk_id(2), at(40)).await.unwrap();

    let price = |seconds, micros| MonthlyPrice { since: at(seconds), price: Money::from_micros(micros) };
    let prices = |number, deleted_at, monthly| TrunkPrices {
        id: trunk_id(number),
        name: format!("trunk {number}"),
        created_at: at(2),
        deleted_at,
        monthly,
    };
    // No two changes of a trunk are of one time.
    let just_after = MonthlyPrice { since: at(20).saturating_add(Duration::from_micros(1)), ..price(20, 8) };
    let changed = prices(1, None, vec![price(2, 5), price(20, 7), just_after, price(30, 5)]);
    let deleted = prices(2, Some(at(40)), vec![price(2, 5)]);
    assert_eq!(store.trunk_prices(account, at(39)).await.unwrap(), [changed.clone(), deleted]);
    assert_eq!(store.trunk_prices(account, at(40)).await.unwrap(), [changed]);
    assert_eq!(store.trunk_prices(account_id(9), at(0)).await.unwrap(), []);
}
