use crate::harness::{ACT, Api, Reply, at, trunk_body};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tandem_model::{LiveCredit, Money, Reason, RefusalKind};
use tandem_store::Act;

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

/// Sends as an admin of the node who acts for the account.
async fn acting(api: &Api, key: &str, method: Method, path: &str, body: &Value) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/telephony{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header("x-act-as", api.mine.account.id.to_string());
    api.send_request(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn where_credit_pays_prices_are_the_operators() {
    let api = Api::start().await;
    let key = operator(&api).await;
    let priced = json!({"cost_per_minute": 0.5, "monthly_cost": 2, "advanced_config": {"billing_increment": 30}});
    let trunk = api.trunk(priced.clone()).await;
    let path = format!("/trunks/{trunk}");
    let set = async |control: &str| {
        api.send(Method::PATCH, &mine(&api), Some(json!({"credit_control": control})), Some(&key)).await.expect(200)
    };
    set("on").await;

    for (change, field) in [
        (json!({"cost_per_minute": 0}), "cost_per_minute"),
        (json!({"cost_per_minute": 0.6, "name": "other"}), "cost_per_minute"),
        (json!({"monthly_cost": 0}), "monthly_cost"),
        (json!({"advanced_config": {"billing_increment": 1}}), "advanced_config.billing_increment"),
        (json!({"advanced_config": null}), "advanced_config.billing_increment"),
        (json!({"advanced_config": {"rtp_timeout": 5}}), "advanced_config.billing_increment"),
    ] {
        let problem = api.put(&path, change.clone()).await.expect_problem(403, "prices_are_the_operators");
        assert_eq!(problem["errors"][0]["field"], field, "{change}");
        let tried = api.put(&format!("{path}?dry_run=true"), change).await;
        tried.expect_problem(403, "prices_are_the_operators");
    }
    let trunk_now = api.get(&path).await.expect(200);
    assert_eq!((&trunk_now["cost_per_minute"], &trunk_now["monthly_cost"]), (&json!(0.5), &json!(2)));
    for new in [json!({"name": "b"}), json!({"name": "b", "cost_per_minute": 0.5})] {
        let problem = api.post("/trunks", trunk_body(new)).await.expect_problem(403, "prices_are_the_operators");
        assert_eq!(problem["errors"][0]["field"], "cost_per_minute");
    }

    // What is no price is the account's own, with the prices as they are or without.
    let sent = json!({"cost_per_minute": 0.5, "monthly_cost": 2, "advanced_config": {"billing_increment": 30, "rtp_timeout": 5}, "name": "renamed"});
    assert_eq!(api.put(&path, sent).await.expect(200)["name"], "renamed");
    assert_eq!(api.put(&path, json!({"priority": 7})).await.expect(200)["priority"], 7);

    let cheaper = json!({"cost_per_minute": 0.1, "advanced_config": {"billing_increment": 1}});
    let changed = acting(&api, &key, Method::PUT, &path, &cheaper).await.expect(200);
    assert_eq!(changed["cost_per_minute"], 0.1);
    acting(&api, &key, Method::POST, "/trunks", &trunk_body(json!({"name": "c"}))).await.expect(201);

    // Where credit does not pay, whoever changes trunks changes prices.
    set("off").await;
    api.put(&path, json!({"cost_per_minute": 0})).await.expect(200);
    api.post("/trunks", trunk_body(json!({"name": "d"}))).await.expect(201);
    let other = api.send(Method::POST, "/trunks", Some(trunk_body(json!({}))), Some(&api.other.key)).await;
    other.expect(201);
}

#[tokio::test]
async fn a_call_that_the_ledger_cannot_hold_is_not_logged() {
    let api = Api::start().await;
    let account = api.mine.account.id;
    let trunk = api.trunk(json!({})).await;
    let long_ago = Act { at: at(-1_000_000), ..ACT.clone() };
    api.store.set_credit_control(&long_ago, account, true).await.unwrap();
    let call = api.call(&trunk, "CA1").await;
    // More than any API takes: as much as an account's calls may have cost, but for a little.
    let key = tandem_store::CallKey::Id(call.parse().unwrap());
    let cost = Money::from_micros(4_000_000_000_000_000_000 - 2_000_000);
    let dear = |call: &mut tandem_model::CallRecord| {
        call.cost = Some(cost);
        Ok::<(), std::convert::Infallible>(())
    };
    api.store.update_call(&ACT, account, &key, dear).await.unwrap();
    let other = api.call(&trunk, "CA2").await;
    let path = format!("/calls/{other}");
    let end = json!({"status": "completed", "duration_seconds": 60, "cost": 3});
    api.put(&path, end).await.expect_problem(409, "ledger_full");
    assert_eq!(api.get(&path).await.expect(200)["status"], "initiated", "nothing was changed");
    assert_eq!(api.put(&path, json!({"status": "completed", "cost": 2})).await.expect(200)["cost"], 2);
    let credit = api.get("/credits").await.expect(200);
    assert_eq!(credit["balance"], json!(-4_000_000_000_000_i64));
    // A mistake is mended.
    api.put("/calls/CA1", json!({"cost": 1})).await.expect(200);
    assert_eq!(api.get("/credits").await.expect(200)["balance"], -3);
}
