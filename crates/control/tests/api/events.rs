//! `GET /events`.

use crate::harness::{ACT, Api, full};
use axum::body::{Body, BodyDataStream};
use axum::http::{Method, Request, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;
use tandem_model::{Money, Reason, RefusalKind};
use tokio::time::timeout;

/// A stream as a client reads it.
struct Client {
    body: BodyDataStream,
    read: String,
    last_id: Option<u64>,
}

#[derive(Debug, PartialEq)]
struct Heard {
    id: Option<u64>,
    event: String,
    data: Value,
}

impl Client {
    async fn open(api: &Api, query: &str, last_id: Option<u64>) -> Self {
        let mut request = Request::builder()
            .uri(full(&format!("/events{query}")))
            .header(header::AUTHORIZATION, format!("Bearer {}", api.mine.key));
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id.to_string());
        }
        let response = api.stream(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), read: String::new(), last_id }
    }

    /// The next block that is an event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Heard> {
        loop {
            while let Some((block, rest)) = self.read.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let id = field("id: ").map(|id| id.parse().unwrap());
                let (event, data) = (field("event: "), field("data: "));
                self.last_id = id.or(self.last_id);
                self.read = rest.to_owned();
                if let (Some(event), Some(data)) = (event, data) {
                    return Some(Heard { id, event, data: serde_json::from_str(&data).unwrap() });
                }
            }
            let more = timeout(Duration::from_secs(20), self.body.next()).await.unwrap()?;
            self.read.push_str(std::str::from_utf8(&more.unwrap()).unwrap());
        }
    }

    async fn next_kind(&mut self) -> String {
        self.next().await.map_or_else(|| "the end".to_owned(), |heard| heard.event)
    }
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let mut client = Client::open(&api, "?type=call.*", None).await;
    let id = api.call(&trunk, "CA1").await;
    let heard = client.next().await.unwrap();
    assert_eq!((heard.event.as_str(), heard.id), ("call.initiated", heard.data["sequence"].as_u64()));
    assert_eq!(heard.data["type"], "call.initiated");
    assert_eq!(heard.data["subject"], format!("calls/{id}"));
    assert_eq!(heard.data["user_id"], api.mine.account.id.to_string());
    assert_eq!(heard.data["timestamp"], "2026-01-31T12:00:00.000000Z");
    assert_eq!(heard.data["data"]["call_id"], "CA1");
    assert_eq!(heard.data["data"]["sip_trunk_id"], trunk);

    api.put("/calls/CA1", json!({"status": "completed", "ended_at": "2026-01-31T12:00:05Z"})).await.expect(200);
    assert_eq!(client.next_kind().await, "call.answered");
    assert_eq!(client.next_kind().await, "call.completed");
}

#[tokio::test]
async fn who_was_cut_off_goes_on_where_it_was() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let mut first = Client::open(&api, "?type=call.*", None).await;
    let calls = ["CA1", "CA2", "CA3"];
    for call_id in calls {
        api.call(&trunk, call_id).await;
    }
    let known = first.next().await.unwrap().id;
    drop(first);
    for (query, header) in [
        ("?type=call.*&follow=false", known),
        (&*format!("?type=call.*&follow=false&last_event_id={}", known.unwrap()), None),
    ] {
        let mut again = Client::open(&api, query, header).await;
        for call_id in &calls[1..] {
            assert_eq!(again.next().await.unwrap().data["data"]["call_id"], *call_id);
        }
        let last = again.next().await.unwrap();
        assert_eq!((last.event.as_str(), last.data), ("goodbye", json!({"reason": "complete"})));
        assert_eq!(again.next().await, None);
    }
    let mut filtered = Client::open(&api, "?follow=false&last_event_id=0&type=call.refused", None).await;
    assert_eq!(filtered.next_kind().await, "goodbye");
}

#[tokio::test]
async fn events_that_are_gone_are_told_of() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    drop(Client::open(&api, "", None).await);
    let kept = |client: &Heard| (client.event.clone(), client.id, client.data.clone());
    api.call(&trunk, "CA1").await;
    api.call(&trunk, "CA2").await;
    let latest = api.store.latest_events(&[api.mine.account.id]).await.unwrap()[0].1;
    let mut client = Client::open(&api, "?follow=false", Some(latest + 7)).await;
    let gap = client.next().await.unwrap();
    let told = json!({"after": latest + 7, "until": latest});
    assert_eq!(kept(&gap), ("gap".to_owned(), Some(latest), told));

    let tomorrow = tandem_model::Timestamp::from_unix_micros(i64::MAX / 2);
    assert!(api.store.remove_events_before(tomorrow).await.unwrap() >= 2);
    api.call(&trunk, "CA3").await;
    let mut client = Client::open(&api, "?follow=false", Some(latest - 2)).await;
    assert_eq!(client.next().await.unwrap().data, json!({"after": latest - 2, "until": latest}));
    assert_eq!(client.next().await.unwrap().id, Some(latest + 1));
}

#[tokio::test]
async fn a_stream_ends_with_its_key_and_with_the_node() {
    let api = Api::start().await;
    let made = api.post("/api-keys", json!({"name": "console", "scopes": ["read"]})).await.expect(201);
    let request = Request::builder()
        .uri(full("/events"))
        .header(header::AUTHORIZATION, format!("Bearer {}", made["key"].as_str().unwrap()));
    let response = api.stream(request.body(Body::empty()).unwrap()).await;
    let mut revoked = Client { body: response.into_body().into_data_stream(), read: String::new(), last_id: None };
    let mut other = Client::open(&api, "", None).await;
    api.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap())).await.expect(204);
    let last = revoked.next().await.unwrap();
    assert_eq!((last.event.as_str(), last.data), ("goodbye", json!({"reason": "unauthorized"})));
    assert_eq!(revoked.next().await, None);

    api.services.end_streams();
    let last = other.next().await.unwrap();
    assert_eq!((last.event.as_str(), last.data), ("goodbye", json!({"reason": "node_stops"})));
}

#[tokio::test]
async fn an_account_has_so_many_streams_at_once() {
    let api = Api::start().await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Client::open(&api, "", None).await);
    }
    api.get("/events").await.expect_problem(429, "stream_limit");
    let shown = api.get("//metrics").await;
    assert!(shown.body.as_str().is_none_or(|text| text.contains("tandem_event_streams 16")));
    drop(open);
    // A stream that was closed has its place for as long as it takes to notice.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    drop(Client::open(&api, "", None).await);
}

#[tokio::test]
async fn one_account_does_not_hear_of_another() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    drop(Client::open(&api, "", None).await);
    api.call(&trunk, "CA1").await;
    let theirs = api.send(Method::GET, "/events?follow=false&last_event_id=0", None, Some(&api.other.key)).await;
    let told = theirs.expect(200);
    assert!(!told.as_str().unwrap().contains("call."), "{told}");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_told() {
    let api = Api::start().await;
    let told = api.get("/events?type=call.answerd").await.expect_wrong_field("type");
    assert!(told.contains("call.answered"), "{told}");
    api.get("/events?follow=maybe").await.expect_wrong_field("follow");
    api.get("/events?last_event_id=-1").await.expect_wrong_field("last_event_id");
}

#[tokio::test]
async fn credit_that_does_not_pay_for_a_dial_is_told_once() {
    let api = Api::start().await;
    let account = api.mine.account.id;
    api.store.set_credit_control(&ACT, account, true).await.unwrap();
    let mut client = Client::open(&api, "?type=credit.*", None).await;
    let reason = Reason::CreditExhausted { needed_micros: 5, available_micros: 0 };
    api.switchboard.script(|script| script.refusal = Some((RefusalKind::CreditExhausted, reason)));
    let dial = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
    for _ in 0..2 {
        api.post("/calls/dial", dial.clone()).await.expect_problem(402, "credit_exhausted");
    }
    api.store.grant_credit(&ACT, account, Money::from_micros(25_000_000), "invoice 7").await.unwrap();
    api.post("/calls/dial", dial).await.expect_problem(402, "credit_exhausted");
    for (event, by, amount) in [
        ("credit.exhausted", Some(Value::Null), None),
        ("credit.topped_up", None, Some(json!(25))),
        ("credit.exhausted", Some(Value::Null), None),
    ] {
        let heard = client.next().await.unwrap();
        assert_eq!((heard.event.as_str(), &heard.data["subject"]), (event, &json!("credits")));
        let told = &heard.data["data"];
        assert_eq!((told.get("by"), told.get("amount")), (by.as_ref(), amount.as_ref()), "{told}");
    }
}
