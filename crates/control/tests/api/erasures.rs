use crate::harness::{Api, call_body, refused_invite};
use serde_json::json;
use tandem_control::Clock;
use tandem_model::{Record, RefusedInvite};

const NUMBER: &str = "+12025550142";

/// As late as it is: what is stored is dated by the wall.
fn catch_up(api: &Api) {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    api.clock.advance(i64::try_from(wall.as_secs()).unwrap() - api.clock.now().unix_micros() / 1_000_000 + 60);
}

#[tokio::test]
async fn a_number_is_erased_and_told_by_no_answer() {
    let api = Api::start().await;
    catch_up(&api);
    let trunk = api.trunk(json!({})).await;
    let body = json!({
        "call_id": "c", "from_number": NUMBER, "status": "completed", "ended_at": "2026-01-31T12:00:09Z",
        "metadata": {"customer": "+1 (202) 555-0142"},
    });
    let call = api.post("/calls", call_body(&trunk, body)).await.expect(201);
    let refused = RefusedInvite { from_number: NUMBER.into(), ..refused_invite(api.mine.account.id, 1) };
    api.store.write_records(&[Record::Refusal(Box::new(refused))]).await.unwrap();

    let asked = api.post("/erasures", json!({"number": "+1 202 555 0142", "also": ["202 555 0142"]})).await.expect(202);
    assert_eq!((&asked["state"], &asked["finished_at"]), (&json!("running"), &json!(null)));
    assert_eq!(api.get(&format!("/calls?from={}", NUMBER.replace('+', "%2B"))).await.expect(200)[0]["id"], call["id"]);
    api.clock.advance(60);
    assert!(api.services.go_on_with_erasures().await.unwrap());
    assert!(!api.services.go_on_with_erasures().await.unwrap());

    let path = format!("/erasures/{}", asked["id"].as_str().unwrap());
    let done = api.get(&path).await.expect(200);
    assert_eq!((&done["state"], &done["pseudonym"]), (&json!("finished"), &asked["pseudonym"]));
    assert_eq!((&done["erased"]["calls"], &done["erased"]["refusals"]), (&json!(1), &json!(1)));
    assert_eq!(api.get("/erasures").await.expect(200), json!([done]));
    let shown = api.get("/calls/c").await.expect(200);
    let pseudonym = asked["pseudonym"].as_str().unwrap();
    assert_eq!(shown["metadata"], json!({"customer": pseudonym}));
    let letters = pseudonym.trim_start_matches("erased-");
    assert_eq!(shown["from_number"], format!("erased-1202-{letters}"));
    let log = api.get("/audit-log").await.expect(200).to_string();
    assert!(log.contains("erasure.create") && log.contains("erasure.finish"), "{log}");
    for text in [
        shown.to_string(),
        asked.to_string(),
        done.to_string(),
        log,
        api.get("/refusals").await.expect(200).to_string(),
    ] {
        assert!(!text.contains("2025550142") && !text.contains("555-0142"), "{text}");
    }
    let text = crate::metrics::read(&api).await;
    assert!(text.contains("tandem_erased_rows_total{kind=\"calls\"} 1"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_erased_is_refused_with_the_reason() {
    let api = Api::start().await;
    let number = json!({"number": NUMBER, "connect": {"type": "echo"}});
    let own = api.post("/numbers", number).await.expect(201);
    let refused = api.post("/erasures", json!({"number": NUMBER})).await.expect_problem(422, "number_in_use");
    assert_eq!(refused["errors"][0]["field"], "number");
    assert!(!refused.to_string().contains("5550142"), "{refused}");
    api.delete(&format!("/numbers/{}", own["id"].as_str().unwrap())).await.expect(204);
    let trunk = api.trunk(json!({"outbound_routing": {"caller_id": NUMBER}})).await;
    let refused = api.post("/erasures", json!({"number": NUMBER})).await.expect_problem(422, "number_in_use");
    assert!(refused["detail"].as_str().unwrap().contains(&format!("trunks/{trunk}")), "{refused}");
    for body in [json!({"number": "alice"}), json!({"number": "+1202555"}), json!({})] {
        api.post("/erasures", body).await.expect_wrong_field("number");
    }
    api.post("/erasures", json!({"number": NUMBER, "also": ["alice"]})).await.expect_wrong_field("also");
    api.get("/erasures/x").await.expect_problem(404, "not_found");
}
