use crate::harness::{Api, trunk_body};
use axum::http::Method;
use serde_json::{Value, json};

fn body(changes: Value) -> Value {
    let mut body = json!({"number": "+1 (202) 555-0100", "connect": {"type": "echo"}});
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_number_is_added_changed_and_removed() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let made = api.post("/numbers", body(json!({"label": "Reception", "metadata": {"desk": 1}}))).await.expect(201);
    assert_eq!((&made["number"], &made["label"]), (&json!("+12025550100"), &json!("Reception")));
    assert_eq!((&made["connect"], &made["sip_trunk_id"]), (&json!({"type": "echo"}), &Value::Null));
    let path = format!("/numbers/{}", made["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.expect(200), made);
    assert_eq!(api.get("/numbers").await.expect(200), json!([made]));

    let patch = async |change: Value| api.send(Method::PATCH, &path, Some(change), Some(&api.mine.key)).await;
    let changed =
        patch(json!({"connect": {"type": "forward"}, "sip_trunk_id": trunk, "label": null})).await.expect(200);
    assert_eq!((&changed["connect"], &changed["label"]), (&json!({"type": "forward"}), &Value::Null));
    assert_eq!((&changed["sip_trunk_id"], &changed["metadata"]), (&json!(trunk), &json!({"desk": 1})));
    assert_eq!(api.get(&format!("/numbers?trunk_id={trunk}")).await.expect(200), json!([changed]));
    assert_eq!(patch(json!({"sip_trunk_id": null})).await.expect(200)["sip_trunk_id"], Value::Null);
    assert_eq!(api.get(&format!("/numbers?trunk_id={trunk}&count=exact")).await.headers["x-total-count"], "0");

    api.delete(&path).await.expect(204);
    api.get(&path).await.expect_problem(404, "not_found");
    api.delete(&path).await.expect_problem(404, "not_found");
    api.post("/numbers", body(json!({}))).await.expect(201);
}

#[tokio::test]
async fn a_taken_number_does_not_tell_whose_it_is() {
    let api = Api::start().await;
    api.post("/numbers", body(json!({}))).await.expect(201);
    let taken = async |key: &str| {
        let reply = api.send(Method::POST, "/numbers", Some(body(json!({"label": "x"}))), Some(key)).await;
        let mut problem = reply.expect_problem(422, "number_taken");
        problem.as_object_mut().unwrap().remove("request_id");
        problem
    };
    assert_eq!(taken(&api.mine.key).await, taken(&api.other.key).await);
    assert_eq!(api.send(Method::GET, "/numbers", None, Some(&api.other.key)).await.expect(200), json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_number_is_told() {
    let api = Api::start().await;
    let foreign =
        api.send(Method::POST, "/trunks", Some(trunk_body(json!({}))), Some(&api.other.key)).await.expect(201);
    for (changes, field) in [
        (json!({"number": "12"}), "number"),
        (json!({"number": "+120"}), "number"),
        (json!({"number": null}), "number"),
        (json!({"connect": {"type": "fax"}}), "connect.type"),
        (json!({"connect": null}), "connect"),
        (json!({"label": "a\u{7}"}), "label"),
        (json!({"sip_trunk_id": "x"}), "sip_trunk_id"),
        (json!({"sip_trunk_id": foreign["id"]}), "sip_trunk_id"),
        (json!({"metadata": []}), "metadata"),
        (json!({"trunk_id": "x"}), "trunk_id"),
    ] {
        api.post("/numbers", body(changes)).await.expect_wrong_field(field);
    }
    let dry = api.post("/numbers?dry_run=true", body(json!({}))).await;
    assert!(dry.status.is_success(), "{}", dry.body);
    assert_eq!(api.get("/numbers").await.expect(200), json!([]));
}
