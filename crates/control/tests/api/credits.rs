use crate::harness::{ACT, Api, Reply, at};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tandem_model::{LiveCredit, Money, Reason, RefusalKind};

/// A key of the operator's own account.
async fn operator(api: &Api) -> String {
    let node = api.store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let (_, key) = api.store.create_api_key(&ACT, node.id, "operator's").await.unwrap();
    key.expose().to_owned()
}

fn mine(api: &Api) -> String {
    format!("/accounts/{}/credits", api.mine.account.id)
}

async fn grant(api: &Api, key: &str, body: Value) -> Reply {
    api.send(Method::POST, &mine(api), Some(body), Some(key)).await
}

#[tokio::test]
async fn an_operator_adds_credit_and_the_account_sees_it() {
    let api = Api::start().await;
    let key = operator(&api).await;
    let added = grant(&api, &key, json!({"amount": 25.5, "note": "invoice 7"})).await.expect(201);
    assert_eq!(
        (&added["kind"], &added["amount"], &added["note"]),
        (&json!("top_up"), &json!(25.5), &json!("invoice 7"))
    );
    assert_eq!((&added["user_id"], &added["call_id"]), (&json!(api.mine.account.id), &Value::Null));
    api.clock.advance(1);
    let taken = grant(&api, &key, json!({"amount": "-30.000001", "note": "a mistake"})).await.expect(201);
    assert_eq!((&taken["kind"], &taken["amount"]), (&json!("adjustment"), &json!(-30.000_001)));

    let credit = api.get("/credits").await.expect(200);
    let expected = json!({
        "user_id": api.mine.account.id, "credit_control": "off", "controlled_since": null, "balance": -4.500_001,
        "granted": -4.500_001, "settled": 0, "reserved": null, "available": null, "credit_value": 0.01,
    });
    assert_eq!(credit, expected);
    assert_eq!(api.get("/credits/ledger").await.expect(200), json!([taken, added]));
    assert_eq!(api.get("/credits/ledger?sort=at&limit=1").await.expect(200), json!([added]));
    let other = api.send(Method::GET, "/credits/ledger", None, Some(&api.other.key)).await.expect(200);
    assert_eq!(other, json!([]));
}

#[tokio::test]
async fn control_is_switched_on_and_the_call_path_is_told() {
    let api = Api::start().await;
    let key = operator(&api).await;
    let set = async |control: &str| {
        api.send(Method::PATCH, &mine(&api), Some(json!({"credit_control": control})), Some(&key)).await.expect(200)
    };
    let live = LiveCredit { reserved: Money::from_micros(600_000), available: Money::from_micros(-100_000) };
    api.switchboard.script(|script| script.credit.insert(api.mine.account.id, live));
    let on = set("on").await;
    assert_eq!((&on["credit_control"], &on["controlled_since"]), (&json!("on"), &json!(at(0))));
    assert_eq!((&on["reserved"], &on["available"]), (&json!(0.6), &json!(-0.1)));
    assert_eq!(api.switchboard.script(|script| script.routing_changes), 1);
    grant(&api, &key, json!({"amount": 1, "note": "x"})).await.expect(201);
    assert_eq!(api.switchboard.script(|script| script.routing_changes), 2);
    assert_eq!(api.get("/credits").await.expect(200)["reserved"], 0.6);
    // What the database has is told in any case.
    api.switchboard.script(|script| script.silent = true);
    let credit = api.get("/credits").await.expect(200);
    assert_eq!((&credit["balance"], &credit["reserved"]), (&json!(1), &Value::Null));
    assert_eq!(set("off").await["credit_control"], "off");
}

#[tokio::test]
async fn only_an_admin_of_the_node_changes_credit() {
    let api = Api::start().await;
    let body = json!({"amount": 1, "note": "mine"});
    let problem = grant(&api, &api.mine.key, body.clone()).await.expect_problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("admin of the node"), "{problem}");
    let control = json!({"credit_control": "off"});
    api.send(Method::PATCH, &mine(&api), Some(control), Some(&api.mine.key)).await.expect_problem(403, "forbidden");
    grant(&api, &api.other.key, body.clone()).await.expect_problem(404, "account_not_found");

    let key = operator(&api).await;
    for unknown in ["018f0000-0000-7000-8000-000000000000", "x"] {
        let path = format!("/accounts/{unknown}/credits");
        api.send(Method::POST, &path, Some(body.clone()), Some(&key)).await.expect_problem(404, "account_not_found");
    }
    // Who acts for the account is still an admin of the node.
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/api/v1/telephony{}", mine(&api)))
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header("x-act-as", api.mine.account.id.to_string());
    api.send_request(request.body(Body::from(body.to_string())).unwrap()).await.expect(201);
    assert_eq!(api.get("/credits").await.expect(200)["balance"], 1);
}

#[tokio::test]
async fn bodies_are_strict() {
    let api = Api::start().await;
    let key = operator(&api).await;
    for (body, field) in [
        (json!({"amount": 0, "note": "x"}), "amount"),
        (json!({"amount": "much", "note": "x"}), "amount"),
        (json!({"amount": 1_000_001, "note": "x"}), "amount"),
        (json!({"amount": -1_000_001, "note": "x"}), "amount"),
        (json!({"note": "x"}), "amount"),
        (json!({"amount": 1}), "note"),
        (json!({"amount": 1, "note": ""}), "note"),
        (json!({"amount": 1, "note": "x", "kind": "top_up"}), "kind"),
    ] {
        grant(&api, &key, body).await.expect_wrong_field(field);
    }
    for body in [json!({"credit_control": true}), json!({"credit_control": "maybe"}), json!({})] {
        let reply = api.send(Method::PATCH, &mine(&api), Some(body), Some(&key)).await;
        reply.expect_wrong_field("credit_control");
    }
}

#[tokio::test]
async fn a_call_that_is_not_paid_for_is_refused_with_402() {
    let api = Api::start().await;
    let reason = Reason::CreditExhausted { needed_micros: 600_000, available_micros: 250_000 };
    api.switchboard.script(|script| script.refusal = Some((RefusalKind::CreditExhausted, reason)));
    let body = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
    let problem = api.post("/calls/dial", body).await.expect_problem(402, "credit_exhausted");
    assert_eq!(problem["receipt"]["refusal"]["reason"]["needed_micros"], 600_000);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("0.6 would be reserved for the call, 0.25 is available"), "{detail}");
}
