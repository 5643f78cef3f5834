use crate::harness::{ACT, Api, at, call_body, refused_invite};
use axum::http::Method;
use serde_json::{Value, json};
use tandem_control::Clock;
use tandem_model::{CallEvent, CallId, EventKind, JsonText, Record};

const DAY: i64 = 24 * 60 * 60;

/// All the kinds, those that are not named without days.
fn kept(named: Value) -> Value {
    let mut all = json!({
        "calls_days": null, "timelines_days": null, "refusals_days": null, "events_days": null, "trunk_health_days": null,
        "audit_log_days": null,
    });
    all.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
    all
}

async fn ids(api: &Api, path: &str, id: &str) -> Vec<String> {
    let listed = api.get(path).await.expect(200);
    let text = |row: &Value| row[id].as_str().map_or_else(|| row[id].to_string(), str::to_owned);
    let mut ids: Vec<String> = listed.as_array().unwrap().iter().map(text).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn what_is_no_longer_kept_is_gone_on_the_day_and_not_before() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    // START is 2026-01-31T12:00:00Z. One that ended, one that did not, one of the day after.
    for (name, day, status) in [("old", 31, "completed"), ("open", 31, "initiated"), ("young", 1, "completed")] {
        let month = if day == 31 { 1 } else { 2 };
        let moment = format!("2026-{month:02}-{day:02}T12:00:00Z");
        api.clock.advance(if name == "young" { DAY } else { 0 });
        let ended = if status == "completed" { json!(moment) } else { Value::Null };
        let body = json!({"call_id": name, "started_at": moment, "status": status, "ended_at": ended});
        api.post("/calls", call_body(&trunk, body)).await.expect(201);
    }
    api.clock.advance(-DAY);
    let refused = refused_invite(api.mine.account.id, 1);
    api.store.write_records(&[Record::Refusal(Box::new(refused))]).await.unwrap();

    let shown = api.put("/retention", json!({"calls_days": 30, "refusals_days": 7})).await.expect(200);
    assert_eq!(shown["set"], kept(json!({"calls_days": 30, "refusals_days": 7})));
    // A second short of 30 days.
    api.clock.advance(30 * DAY);
    let before = ids(&api, "/calls", "call_id").await;
    assert_eq!(before, ["old", "open", "young"]);
    api.services.remove_old_data().await.unwrap();
    assert_eq!(ids(&api, "/calls", "call_id").await, before, "not before the day is over");
    assert_eq!(ids(&api, "/refusals", "id").await, Vec::<String>::new());
    api.clock.advance(1);
    assert_eq!(api.services.remove_old_data().await.unwrap(), 1);
    assert_eq!(ids(&api, "/calls", "call_id").await, ["open", "young"], "what has not ended stays");
    api.get("/calls/old").await.expect_problem(404, "not_found");
    assert_eq!(api.services.remove_old_data().await.unwrap(), 0);
    // Its name is free again.
    api.post("/calls", call_body(&trunk, json!({"call_id": "old"}))).await.expect(201);

    let log = api.get("/audit-log?action=retention.apply").await.expect(200);
    assert_eq!(
        log[0]["after"]["removed"],
        json!({
            "calls": 1, "timelines": 0, "refusals": 0, "events": 0, "trunk_health": 0, "audit_log": 0,
        })
    );
    assert_eq!(
        log[0]["actor"],
        json!({
            "kind": "system", "id": null, "name": "retention", "user_id": null, "on_behalf_of": null, "source": null,
        })
    );
}

#[tokio::test]
async fn the_oldest_entries_of_the_audit_log_go_and_the_rest_stays_a_chain() {
    let api = Api::start().await;
    for number in 0..2_500_u64 {
        let act = tandem_store::Act { at: at(i64::try_from(number).unwrap()), ..ACT.clone() };
        let change = tandem_store::Change::new(api.mine.account.id, "call.dial", &number);
        api.store.record_acts(&[(act, change)]).await.unwrap();
    }
    api.put("/retention", json!({"audit_log_days": 10})).await.expect(200);
    api.clock.advance(10 * DAY + 2_000);
    // Two of the account and its key, and all that are older than ten days.
    assert_eq!(api.services.remove_old_data().await.unwrap(), 2 + 2_000);
    let log =
        api.store.audit_log_after(api.mine.account.id, &tandem_store::AuditFilter::default(), 0, 2).await.unwrap();
    assert_eq!((log[0].number, log[0].resource_id.as_str()), (2_003, "2000"));
    let verified = api.store.verify_audit_log().await.unwrap();
    assert!(verified.is_whole(), "{verified:?}");
    // The other account's is as it was, and the last entry of a log always stays.
    api.clock.advance(400 * DAY);
    api.services.remove_old_data().await.unwrap();
    assert!(!api.get("/audit-log").await.expect(200).as_array().unwrap().is_empty());
    let theirs = api.send(Method::GET, "/audit-log", None, Some(&api.other.key)).await.expect(200);
    assert_eq!(theirs.as_array().unwrap().len(), 2);
    assert!(api.store.verify_audit_log().await.unwrap().is_whole());
}

#[tokio::test]
async fn an_account_keeps_as_the_node_does_unless_it_says_otherwise() {
    let api = Api::start().await;
    let node = api.store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let (_, operator) = api.store.create_api_key(&ACT, node.id, "operator's").await.unwrap();
    let of_node = Some(json!({"calls_days": 400, "refusals_days": 30}));
    api.send(Method::PUT, "/retention?of=node", of_node, Some(operator.expose())).await.expect(200);
    api.put("/retention", json!({"refusals_days": 5})).await.expect(200);
    let shown = api.get("/retention").await.expect(200);
    assert_eq!(shown["in_force"], kept(json!({"calls_days": 400, "refusals_days": 5})));
    let shown = api.put("/retention", json!({"refusals_days": null})).await.expect(200);
    assert_eq!(shown["in_force"]["refusals_days"], 30);
    api.put("/retention?of=node", json!({"calls_days": 1})).await.expect_problem(403, "forbidden");
    let problem = api.get("/retention?of=node").await.expect_problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("of=node"), "{problem}");
    api.get("/retention?of=all").await.expect_wrong_field("of");
    for (body, field) in [
        (json!({"calls_days": 0}), "calls_days"),
        (json!({"refusals_days": 36_501}), "refusals_days"),
        (json!({"events_days": 2}), "events_days"),
        (json!({"events_days": 8}), "events_days"),
        (json!({"trunk_health_days": 33}), "trunk_health_days"),
        (json!({"calls_day": 1}), "calls_day"),
    ] {
        api.put("/retention", body).await.expect_wrong_field(field);
    }
}

#[tokio::test]
async fn timelines_and_events_go_before_their_calls() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let account = api.mine.account.id;
    // What is written is dated by the wall, and what is old is judged by the clock of the test.
    api.store.listen(account).await.unwrap();
    let mut calls: Vec<CallId> = Vec::new();
    for day in 1..=3 {
        let moment = format!("2026-02-0{day}T12:00:00Z");
        api.clock.advance(DAY);
        let ended =
            json!({"call_id": day.to_string(), "started_at": moment, "status": "completed", "ended_at": moment});
        let call = api.post("/calls", call_body(&trunk, ended)).await.expect(201);
        let call_id = call["id"].as_str().unwrap().parse().unwrap();
        let step = CallEvent {
            call_id,
            account_id: account,
            number: 1,
            leg_id: None,
            at: at(0),
            kind: EventKind::Initiated,
            detail: JsonText::new(&serde_json::Map::new()),
        };
        api.store.write_records(&[Record::Event(step)]).await.unwrap();
        calls.push(call_id);
    }
    let steps = async || {
        let mut steps = Vec::new();
        for call in &calls {
            steps.push(api.store.call_events(account, *call).await.unwrap().len());
        }
        steps
    };
    assert_eq!(steps().await, [1, 1, 1]);
    assert!(!api.store.events_after(account, 0, 10).await.unwrap().events.is_empty());
    api.put("/retention", json!({"timelines_days": 10, "events_days": 3})).await.expect(200);
    // Ten days and a second after the second of them.
    api.clock.advance(9 * DAY + 1);
    let removed = api.services.remove_old_data().await.unwrap();
    assert_eq!((steps().await, removed), (vec![0, 0, 1], 2));
    assert_eq!(api.services.remove_old_data().await.unwrap(), 0);
    // By the wall they were written later than the clock of the test says.
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    api.clock
        .advance(i64::try_from(wall.as_secs()).unwrap() - api.clock.now().unix_micros() / 1_000_000 + 3 * DAY + 60);
    api.services.remove_old_data().await.unwrap();
    assert!(api.store.events_after(account, 0, 10).await.unwrap().events.is_empty());
    assert_eq!(steps().await, [0, 0, 0]);
    assert_eq!(ids(&api, "/calls", "call_id").await.len(), 3, "the calls stay");
    let text = crate::metrics::read(&api).await;
    for line in [
        "tandem_retention_removed_rows_total{kind=\"timelines\"} 3",
        "tandem_retention_removed_rows_total{kind=\"calls\"} 0",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains("tandem_retention_removed_rows_total{kind=\"events\"} 0"));
}
