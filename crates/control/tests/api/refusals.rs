use crate::harness::{Api, refused_invite};
use serde_json::{Value, json};
use tandem_model::{Record, RefusedInvite, TrunkId};

async fn write(api: &Api, refusals: &[RefusedInvite]) {
    let records: Vec<Record> = refusals.iter().map(|refused| Record::Refusal(Box::new(refused.clone()))).collect();
    assert_eq!(api.store.write_records(&records).await.unwrap().rejected, []);
}

#[tokio::test]
async fn a_refusal_says_who_called_whom_and_why_it_was_refused() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let refused = RefusedInvite { trunk_id: Some(trunk.parse().unwrap()), ..refused_invite(api.mine.account.id, 1) };
    write(&api, std::slice::from_ref(&refused)).await;
    let shown = api.get(&format!("/refusals/{}", refused.id)).await.expect(200);
    let explanation = shown["receipt"]["refusal"]["explanation"].clone();
    assert!(explanation.as_str().unwrap().contains("+1202*"), "{explanation}");
    assert_eq!(
        shown,
        json!({
            "id": refused.id.to_string(),
            "user_id": api.mine.account.id.to_string(),
            "at": "2026-01-31T12:00:01.000000Z",
            "sip_trunk_id": trunk,
            "from_number": "+442079460000",
            "to_number": "+13035550100",
            "sip_call_id": "a84b4c76e66710",
            "sip_status": 404,
            "receipt": {
                "user_id": api.mine.account.id.to_string(),
                "decided_at": "2026-01-31T12:00:01.000000Z",
                "to": "+13035550100",
                "from": "+442079460000",
                "inbound": {
                    "source": "127.0.0.2:5060",
                    "request_uri": "sip:+13035550100@127.0.0.1",
                    "steps": [{"by": "target", "matched": "127.0.0.2:5060", "trunks_left": 1}],
                    "trunk_name": "main",
                    "rule": null,
                    "nearest": "+1202*",
                },
                "routing_revision": 3,
                "considered": [],
                "attempts": [],
                "refusal": {
                    "kind": "no_route",
                    "reason": {"code": "no_inbound_rule", "nearest": "+1202*"},
                    "explanation": explanation,
                },
            },
        })
    );
    assert_eq!(api.get("/refusals").await.expect(200), json!([shown]));
}

#[tokio::test]
async fn refusals_are_listed_newest_first_by_trunk_and_page() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let trunk_id: TrunkId = trunk.parse().unwrap();
    let refusals: Vec<RefusedInvite> = [1, 3, 2]
        .into_iter()
        .map(|second| RefusedInvite {
            trunk_id: (second != 2).then_some(trunk_id),
            ..refused_invite(api.mine.account.id, second)
        })
        .collect();
    write(&api, &refusals).await;
    let listed = async |query: &str| {
        let shown = api.get(&format!("/refusals{query}")).await.expect(200);
        let places = shown.as_array().unwrap().iter().map(|shown| {
            let place = refusals.iter().position(|refused| shown["id"] == refused.id.to_string());
            place.unwrap()
        });
        places.collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, [1, 2, 0]);
    assert_eq!(listed("?skip=1&limit=1").await, [2]);
    assert_eq!(listed(&format!("?trunk_id={trunk}")).await, [1, 0]);
    assert_eq!(listed(&format!("?trunk_id={trunk}&skip=2")).await, [0; 0]);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("skip=-1", "skip"),
        ("trunk_id=main", "trunk_id"),
    ] {
        api.get(&format!("/refusals?{query}")).await.expect_wrong_field(field);
    }
    let same = api.get("/refusals?limit=1000").await.expect(200);
    assert_eq!(same.as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn what_is_no_refusal_of_the_account_is_not_found() {
    let api = Api::start().await;
    let theirs = refused_invite(api.other.account.id, 1);
    write(&api, std::slice::from_ref(&theirs)).await;
    for id in [theirs.id.to_string(), "018f0000-0000-7000-8000-000000000000".to_owned(), "x".to_owned()] {
        api.get(&format!("/refusals/{id}")).await.expect_problem(404, "not_found");
    }
    assert_eq!(api.get("/refusals").await.expect(200), json!([]));
}

#[tokio::test]
async fn a_call_that_goes_out_has_nothing_inbound_on_its_receipt() {
    let api = Api::start().await;
    let dial = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
    let receipt = api.post("/routing/explain", dial).await.expect(200);
    assert_eq!(receipt.get("inbound"), Some(&Value::Null));
}
