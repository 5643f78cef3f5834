//! Webhooks.

use crate::harness::Api;
use crate::receiver::{Behaviour, Post};
use axum::http::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const URL: &str = "https://example.com/hooks";

struct Endpoint {
    id: String,
    secret: String,
}

impl Endpoint {
    async fn make(api: &Api, more: Value) -> Self {
        let mut body = json!({"url": URL});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = api.post("/webhook-endpoints", body).await.expect(201);
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        Self { id: text("id"), secret: text("secret") }
    }

    fn path(&self, rest: &str) -> String {
        format!("/webhook-endpoints/{}{rest}", self.id)
    }

    async fn deliveries(&self, api: &Api, query: &str) -> Vec<Value> {
        api.get(&self.path(&format!("/deliveries{query}"))).await.expect(200).as_array().unwrap().clone()
    }
}

/// By the reference library of Standard Webhooks. It checks times by its own clock, so it is asked for the signature instead.
fn is_signed(post: &Post, secret: &str) -> bool {
    let header = |name: &str| post.headers[name].to_str().unwrap();
    let seconds = header("webhook-timestamp").parse().unwrap();
    let signed = Webhook::new(secret).unwrap().sign(header("webhook-id"), seconds, &post.text).unwrap();
    header("webhook-signature").split(' ').any(|signature| signature == signed)
        && header("webhook-id") == post.body["id"].as_str().unwrap()
}

async fn state(api: &Api, call_id: &str, status: &str) {
    api.put(&format!("/calls/{call_id}"), json!({"status": status})).await.expect(200);
}

/// Types of what was taken, in its order, by subject.
fn taken(posts: &[Post]) -> BTreeMap<String, Vec<String>> {
    let mut subjects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for post in posts.iter().filter(|post| post.taken) {
        let text = |field: &str| post.body[field].as_str().unwrap().to_owned();
        subjects.entry(text("subject")).or_default().push(text("type"));
    }
    subjects
}

#[tokio::test]
async fn events_are_sent_signed_and_in_order() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let endpoint = Endpoint::make(&api, json!({"event_types": ["call.*"], "description": "billing"})).await;
    let id = api.call(&trunk, "CA1").await;
    for status in ["ringing", "answered", "completed"] {
        state(&api, "CA1", status).await;
    }
    for _ in 0..4 {
        assert_eq!(api.services.send_due_webhooks().await.unwrap(), 1, "one at a time of a call");
    }
    assert_eq!(api.services.send_due_webhooks().await.unwrap(), 0);
    let posts = api.receiver.take();
    let told = ["call.initiated", "call.ringing", "call.answered", "call.completed"].map(str::to_owned);
    assert_eq!(taken(&posts), BTreeMap::from([(format!("calls/{id}"), told.to_vec())]));
    for post in &posts {
        assert_eq!((post.url.as_str(), &post.headers["content-type"]), (URL, &"application/json".parse().unwrap()));
        assert!(is_signed(post, &endpoint.secret));
    }
    let listed = endpoint.deliveries(&api, "?state=delivered").await;
    assert_eq!(listed.len(), 4);
    assert_eq!((&listed[0]["event_type"], &listed[0]["last_status"]), (&json!("call.completed"), &json!(204)));
    assert_eq!((&listed[0]["attempts"], &listed[0]["event_id"]), (&json!(1), &posts[3].body["id"]));
    assert!(endpoint.deliveries(&api, "?state=pending").await.is_empty());
}

/// The receiver is down for an hour, and the node dies twice while it sends.
#[tokio::test]
async fn each_event_arrives_in_order_through_an_hour_and_two_deaths() {
    const CALLS: usize = 12;
    let mut api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let endpoint = Endpoint::make(&api, json!({"event_types": ["call.*"]})).await;
    api.receiver.behave(Behaviour::Down);
    let names: Vec<String> = (0..CALLS).map(|number| format!("CA{number}")).collect();
    let mut subjects = BTreeSet::new();
    for name in &names {
        subjects.insert(format!("calls/{}", api.call(&trunk, name).await));
    }
    let mut failed = 0;
    for minute in 0..60 {
        match minute {
            5 => {
                for name in &names {
                    state(&api, name, "ringing").await;
                }
            }
            20 => {
                for name in &names {
                    state(&api, name, "answered").await;
                }
            }
            40 => {
                for name in &names {
                    state(&api, name, "completed").await;
                }
            }
            _ => {}
        }
        if [15, 45].contains(&minute) {
            // What was being sent is lost with the process, whether the receiver has it or not.
            api.receiver.behave(Behaviour::Hangs);
            let dying = api.services.clone();
            let sending = tokio::spawn(async move { dying.send_due_webhooks().await });
            while !api.receiver.has_taken() && !sending.is_finished() {
                tokio::task::yield_now().await;
            }
            sending.abort();
            api.receiver.behave(Behaviour::Down);
            api = api.restarted();
        }
        failed += api.services.send_due_webhooks().await.unwrap();
        api.clock.advance(60);
    }
    assert!((20..400).contains(&failed), "it is tried, and not in a flood: {failed}");
    assert_eq!(endpoint.deliveries(&api, "?state=pending").await.len(), CALLS * 4);
    let early: Vec<Post> = api.receiver.take();
    assert!(early.iter().filter(|post| post.taken).count() <= 2);

    api.receiver.behave(Behaviour::Takes);
    for _ in 0..4_000 {
        if endpoint.deliveries(&api, "?state=pending").await.is_empty() {
            break;
        }
        if api.services.send_due_webhooks().await.unwrap() == 0 {
            api.clock.advance(10);
        }
    }
    let late = api.receiver.take();
    let told = ["call.initiated", "call.ringing", "call.answered", "call.completed"].map(str::to_owned);
    let expected: BTreeMap<String, Vec<String>> =
        subjects.iter().map(|subject| (subject.clone(), told.to_vec())).collect();
    assert_eq!(taken(&late), expected, "each once after it is back: none was taken for delivered before");
    assert!(early.iter().chain(&late).all(|post| is_signed(post, &endpoint.secret)));
    let delivered = endpoint.deliveries(&api, "?state=delivered&limit=1000").await;
    assert_eq!(delivered.len(), CALLS * 4);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let endpoint = Endpoint::make(&api, json!({"event_types": ["call.*"]})).await;
    api.receiver.behave(Behaviour::Answers(410));
    api.call(&trunk, "CA1").await;
    assert_eq!(api.services.send_due_webhooks().await.unwrap(), 1);
    let shown = api.get(&endpoint.path("")).await.expect(200);
    assert_eq!((&shown["enabled"], &shown["disabled_reason"]), (&json!(false), &json!("gone")));
    api.receiver.behave(Behaviour::Takes);
    state(&api, "CA1", "ringing").await;
    assert_eq!(api.services.send_due_webhooks().await.unwrap(), 0);

    // Enabled again it gets what happens from then on.
    let change = Method::PATCH;
    let enabled = api.send(change, &endpoint.path(""), Some(json!({"enabled": true})), Some(&api.mine.key)).await;
    assert_eq!(enabled.expect(200)["disabled_reason"], Value::Null);
    state(&api, "CA1", "completed").await;
    api.receiver.take();
    while api.services.send_due_webhooks().await.unwrap() > 0 {}
    let posts = api.receiver.take();
    let told: Vec<_> = posts.iter().map(|post| post.body["type"].as_str().unwrap()).collect();
    assert_eq!(told, ["call.answered", "call.completed"]);
}

#[tokio::test]
async fn what_is_given_up_after_three_days_can_be_sent_again() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let endpoint = Endpoint::make(&api, json!({"event_types": ["call.*"]})).await;
    api.receiver.behave(Behaviour::Answers(500));
    api.call(&trunk, "CA1").await;
    state(&api, "CA1", "ringing").await;
    let mut attempts = 0;
    for _ in 0..3 * 24 * 12 + 12 {
        attempts += api.services.send_due_webhooks().await.unwrap();
        api.clock.advance(300);
    }
    let dead = endpoint.deliveries(&api, "?state=dead").await;
    assert_eq!(dead.len(), 2);
    assert_eq!(
        (&dead[0]["event_type"], &dead[0]["attempts"]),
        (&json!("call.ringing"), &json!(1)),
        "it waited, and had its turn"
    );
    assert!((10..30).contains(&attempts), "{attempts}");
    assert_eq!(dead[1]["last_error"], "the answer was 500");

    api.receiver.behave(Behaviour::Takes);
    api.receiver.take();
    let replay = endpoint.path(&format!("/deliveries/{}/replay", dead[1]["id"].as_str().unwrap()));
    assert_eq!(api.post(&replay, json!({})).await.expect(202)["deliveries"], 1);
    while api.services.send_due_webhooks().await.unwrap() > 0 {}
    let told = |posts: &[Post]| -> Vec<String> {
        posts.iter().map(|post| post.body["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told(&api.receiver.take()), ["call.initiated"]);

    // All since then, once more.
    let since = json!({"since": "2026-01-31T00:00:00Z"});
    assert_eq!(api.post(&endpoint.path("/replay"), since).await.expect(202)["deliveries"], 2);
    while api.services.send_due_webhooks().await.unwrap() > 0 {}
    assert_eq!(told(&api.receiver.take()), ["call.initiated", "call.ringing"]);
}

#[tokio::test]
async fn for_a_day_both_secrets_are_good() {
    let api = Api::start().await;
    let endpoint = Endpoint::make(&api, json!({})).await;
    let rotated = api.post(&endpoint.path("/rotate-secret"), json!({})).await.expect(200);
    let secret = rotated["secret"].as_str().unwrap().to_owned();
    assert_ne!(secret, endpoint.secret);
    let test = async || {
        let tested = api.post(&endpoint.path("/test"), json!({})).await.expect(200);
        assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(204)));
        let posts = api.receiver.take();
        assert_eq!(posts[0].body["type"], "webhook.test");
        (is_signed(&posts[0], &secret), is_signed(&posts[0], &endpoint.secret))
    };
    assert_eq!(test().await, (true, true));
    api.clock.advance(24 * 3_600);
    assert_eq!(test().await, (true, false));

    api.receiver.behave(Behaviour::Down);
    let tested = api.post(&endpoint.path("/test"), json!({})).await.expect(200);
    assert_eq!((&tested["delivered"], &tested["error"]), (&json!(false), &json!("no connection could be made")));
}

#[tokio::test]
async fn secrets_are_shown_once_and_what_is_wrong_is_told() {
    let api = Api::start().await;
    let endpoint = Endpoint::make(&api, json!({"event_types": ["trunk.*", "call.answered"]})).await;
    assert!(endpoint.secret.starts_with("whsec_"));
    let shown = api.get(&endpoint.path("")).await.expect(200);
    assert_eq!(shown["event_types"][0], "call.answered");
    assert!(!shown.to_string().contains("whsec_"));
    assert_eq!(api.get("/webhook-endpoints").await.expect(200), json!([shown]));
    let logged = api.get("/audit-log").await.expect(200).to_string();
    assert!(logged.contains("webhook_endpoint.create") && !logged.contains("whsec_") && !logged.contains("/hooks"));

    let wrong = |body: Value| api.post("/webhook-endpoints", body);
    wrong(json!({"url": "http://example.com/"})).await.expect_wrong_field("url");
    let told = wrong(json!({"url": URL, "event_types": ["call.ansered"]})).await.expect_wrong_field("event_types");
    assert!(told.contains("call.answered"), "{told}");
    wrong(json!({"url": URL, "secret": "mine"})).await.expect_wrong_field("secret");
    api.get(&endpoint.path("/deliveries?state=lost")).await.expect_wrong_field("state");
    for _ in 1..20 {
        Endpoint::make(&api, json!({})).await;
    }
    wrong(json!({"url": URL})).await.expect_problem(409, "webhook_limit_reached");
    api.delete(&endpoint.path("")).await.expect(204);
    api.get(&endpoint.path("")).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn endpoints_and_deliveries_are_lists_as_all_others() {
    let api = Api::start().await;
    let first = Endpoint::make(&api, json!({"url": "https://example.com/a", "event_types": ["call.*"]})).await;
    api.clock.advance(1);
    Endpoint::make(&api, json!({"url": "https://example.com/b", "enabled": false})).await;
    let urls = async |query: &str| {
        let reply = api.get(&format!("/webhook-endpoints{query}")).await;
        let link = reply.headers.get("link").map_or("", |link| link.to_str().unwrap()).to_owned();
        let total = reply.headers.get("x-total-count").map(|total| total.to_str().unwrap().to_owned());
        let list = reply.expect(200);
        let ends = list.as_array().unwrap().iter().map(|row| row["url"].as_str().unwrap().rsplit('/').next().unwrap());
        (ends.collect::<String>(), link.contains("rel=\"next\""), total)
    };
    assert_eq!(urls("").await, ("ab".to_owned(), false, None));
    assert_eq!(urls("?limit=1&count=exact").await, ("a".to_owned(), true, Some("2".to_owned())));
    assert_eq!(urls("?skip=1&limit=1").await, ("b".to_owned(), false, None));
    assert_eq!(urls("?sort=-created_at").await, ("ba".to_owned(), false, None));
    assert_eq!(urls("?enabled=false").await, ("b".to_owned(), false, None));
    api.get("/webhook-endpoints?enable=true").await.expect_wrong_field("enable");

    let trunk = api.trunk(json!({})).await;
    api.call(&trunk, "CA1").await;
    let deliveries = async |query: &str| first.deliveries(&api, query).await.len();
    state(&api, "CA1", "ringing").await;
    api.receiver.behave(Behaviour::Down);
    api.services.send_due_webhooks().await.unwrap();
    assert_eq!(deliveries("").await, 2);
    assert_eq!(deliveries("?state=pending&skip=1").await, 1);
    assert_eq!(deliveries("?state=dead").await, 0);
    assert_eq!(deliveries("?event_type=call.initiated").await, 1);
    for wrong in ["state=gone", "event_type=call.sung", "sort=at", "event_type=call.initiated&skip=1", "nothing=1"] {
        api.get(&first.path(&format!("/deliveries?{wrong}"))).await.expect_problem(422, "invalid_field");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_node_is_woken_by_an_endpoint() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let services = api.services.clone();
    let worker = tokio::spawn(async move { services.run_webhooks().await });
    // It has looked by then, and looks again only after half a minute.
    for number in 0..20 {
        api.call(&trunk, &format!("CA-unheard-{number}")).await;
    }
    let taken = async || {
        let waiting = async {
            while !api.receiver.has_taken() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), waiting).await.expect("the worker was woken");
        taken(&api.receiver.take())
    };
    let endpoint = Endpoint::make(&api, json!({"enabled": false})).await;
    let edit = json!({"enabled": true});
    api.send(Method::PATCH, &endpoint.path(""), Some(edit), Some(&api.mine.key)).await.expect(200);
    api.call(&trunk, "CA1").await;
    assert_eq!(taken().await.into_values().collect::<Vec<_>>(), [["call.initiated"]]);
    worker.abort();
}
