use crate::samples::{
    ACT, account_id, at, call, call_id, receipt, refusal, refusal_id, trunk, trunk_id, with_account, with_trunk,
};
use tandem_model::{AccountId, JsonText, Receipt, Record, RefusedInvite, TrunkId};
use tandem_store::{CallKey, MAX_PAGE, Part, RefusalFilter, Rejected, RejectedReason, Store};

fn record(refusal: &RefusedInvite) -> Record {
    Record::Refusal(Box::new(refusal.clone()))
}

async fn write(store: &Store, refusals: &[RefusedInvite]) {
    let records: Vec<Record> = refusals.iter().map(record).collect();
    assert_eq!(store.write_records(&records).await.unwrap().rejected, []);
}

async fn listed(store: &Store, account: AccountId, trunk_id: Option<TrunkId>, part: Part) -> Vec<RefusedInvite> {
    let filter = RefusalFilter { trunk_id, ..RefusalFilter::default() };
    store.refusals(account, &filter, &part).await.unwrap().rows
}

async fn all(store: &Store, account: AccountId) -> Vec<RefusedInvite> {
    listed(store, account, None, Part::page(0, 100)).await
}

pub(crate) async fn a_refusal_comes_back_as_it_was_written(store: &Store) {
    let account = with_account(store, 1).await;
    let full = refusal(1, account);
    let bare = RefusedInvite {
        id: refusal_id(2),
        trunk_id: None,
        from_number: String::new(),
        receipt: JsonText::new(&Receipt { inbound: None, refusal: None, ..full.receipt.read().unwrap() }),
        ..full.clone()
    };
    write(store, &[full.clone(), bare.clone()]).await;
    for written in [full, bare] {
        assert_eq!(store.refusal(account, written.id).await.unwrap(), Some(written));
    }
    assert_eq!(store.refusal(account, refusal_id(9)).await.unwrap(), None);

    // A number with NUL, which PostgreSQL cannot hold, holds up nothing.
    let odd = RefusedInvite { id: refusal_id(3), from_number: "\0".into(), ..refusal(1, account) };
    write(store, &[odd, refusal(4, account)]).await;
    assert_eq!(all(store, account).await.len(), 4);
}

pub(crate) async fn a_refusal_is_stored_once(store: &Store) {
    let account = with_account(store, 1).await;
    let first = refusal(1, account);
    let again = RefusedInvite { to_number: "another".into(), ..first.clone() };
    write(store, &[first.clone(), first.clone()]).await;
    write(store, std::slice::from_ref(&first)).await;
    write(store, &[again]).await;
    assert_eq!(all(store, account).await, [first]);
}

pub(crate) async fn refusals_are_listed_newest_first(store: &Store) {
    let (account, first) = with_trunk(store, 1).await;
    store.insert_trunk(&ACT, &trunk(2, account), 10).await.unwrap();
    let ambiguous = RefusedInvite { trunk_id: None, at: at(6), ..refusal(6, account) };
    let mut refusals: Vec<RefusedInvite> =
        [(1, first, 5), (2, trunk_id(2), 9), (3, first, 7), (4, first, 8), (5, first, 7)]
            .into_iter()
            .map(|(number, trunk, second)| RefusedInvite {
                trunk_id: Some(trunk),
                at: at(second),
                ..refusal(number, account)
            })
            .collect();
    refusals.push(ambiguous);
    write(store, &refusals).await;
    let ids = async |trunk, skip, limit| {
        let refusals = listed(store, account, trunk, Part::page(skip, limit)).await;
        refusals.iter().map(|refusal| refusal.id).collect::<Vec<_>>()
    };

    assert_eq!(ids(None, 0, 100).await, [2, 4, 5, 3, 6, 1].map(refusal_id));
    assert_eq!(ids(None, 1, 2).await, [4, 5].map(refusal_id));
    assert_eq!(ids(Some(first), 0, 100).await, [4, 5, 3, 1].map(refusal_id));
    assert_eq!(ids(Some(first), 3, 100).await, [1].map(refusal_id));
    assert_eq!(ids(Some(trunk_id(9)), 0, 100).await, []);

    // What happened stays, though its trunk goes.
    store.delete_trunk(&ACT, account, first, at(20)).await.unwrap();
    assert_eq!(ids(Some(first), 0, 100).await.len(), 4);
}

pub(crate) async fn refusals_are_cut_at_the_page_limit(store: &Store) {
    let account = with_account(store, 1).await;
    let refusals: Vec<RefusedInvite> = (0..u64::from(MAX_PAGE) + 1).map(|number| refusal(number, account)).collect();
    write(store, &refusals).await;
    assert_eq!(listed(store, account, None, Part::page(0, u32::MAX)).await.len() as u64, u64::from(MAX_PAGE));
    assert_eq!(listed(store, account, None, Part::page(MAX_PAGE, 100)).await.len(), 1);
}

pub(crate) async fn accounts_do_not_see_each_others_refusals(store: &Store) {
    let ((ours, our_trunk), theirs) = (with_trunk(store, 1).await, with_account(store, 2).await);
    let refused = refusal(1, ours);
    write(store, std::slice::from_ref(&refused)).await;
    assert_eq!(store.refusal(theirs, refused.id).await.unwrap(), None);
    assert_eq!(all(store, theirs).await, []);
    assert_eq!(listed(store, theirs, Some(our_trunk), Part::page(0, 100)).await, []);

    // One INVITE that may have been for either is on record for both, under one id.
    let for_them = RefusedInvite {
        account_id: theirs,
        trunk_id: None,
        receipt: JsonText::new(&receipt(theirs)),
        ..refused.clone()
    };
    write(store, std::slice::from_ref(&for_them)).await;
    assert_eq!(store.refusal(ours, refused.id).await.unwrap(), Some(refused));
    assert_eq!(store.refusal(theirs, for_them.id).await.unwrap().as_ref(), Some(&for_them));
    assert_eq!(all(store, theirs).await, [for_them]);
}

pub(crate) async fn a_refusal_of_an_unknown_account_does_not_hold_up_the_rest(store: &Store) {
    let account = with_account(store, 1).await;
    let known = refusal(2, account);
    let records = [record(&refusal(1, account_id(9))), record(&known), Record::Call(Box::new(call(1, account)))];
    let written = store.write_records(&records).await.unwrap();
    let rejected = Rejected { index: 0, reason: RejectedReason::UnknownAccount(account_id(9)) };
    assert_eq!(written.rejected, [rejected]);
    assert_eq!(all(store, account).await, [known]);
    assert!(store.call(account, &CallKey::Id(call_id(1))).await.unwrap().is_some());
    assert_eq!(all(store, account_id(9)).await, []);
}
