use crate::harness::{Api, Reply, at, call_body, trunk_body};
use axum::body::Body;
use axum::http::{Method, Request, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tandem_model::{CallId, CallRecord, Record};

/// The links of an answer by their relation, as paths below the base.
fn links(reply: &Reply) -> BTreeMap<String, String> {
    let text = reply.headers.get(header::LINK).map_or("", |value| value.to_str().unwrap());
    let link = |text: &str| {
        let (target, relation) = text.trim().split_once("; rel=").unwrap();
        let target = target.trim_matches(['<', '>']);
        let path = target.strip_prefix("/api/v1/telephony").unwrap();
        (relation.trim_matches('"').to_owned(), path.to_owned())
    };
    text.split(", ").filter(|text| !text.is_empty()).map(link).collect()
}

fn names(body: &Value, field: &str) -> String {
    body.as_array().unwrap().iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
}

/// Every row of a list, by the field, as one follows the links.
async fn follow(api: &Api, path: &str, field: &str) -> (String, usize) {
    let (mut found, mut pages, mut next) = (String::new(), 0, Some(path.to_owned()));
    while let Some(path) = next {
        let reply = api.get(&path).await;
        next = links(&reply).remove("next");
        found += &names(&reply.expect(200), field);
        pages += 1;
        assert!(pages < 50, "the list has no end");
    }
    (found, pages)
}

/// Calls a, b, c, … of a second each, the last the newest.
async fn with_calls(api: &Api, changes: &[Value]) -> String {
    let trunk = api.trunk(json!({})).await;
    for ((name, second), changes) in ('a'..).zip(0..).zip(changes) {
        let started_at = format!("2026-01-31T11:59:0{second}Z");
        let mut body = json!({"call_id": name.to_string(), "started_at": started_at});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        api.post("/calls", call_body(&trunk, body)).await.expect(201);
    }
    trunk
}

#[tokio::test]
async fn a_list_is_read_on_by_its_links() {
    let api = Api::start().await;
    let trunk = with_calls(&api, &vec![json!({}); 5]).await;
    for (path, found, pages) in [
        ("/calls".to_owned(), "edcba", 1),
        ("/calls?limit=2".to_owned(), "edcba", 3),
        ("/calls?limit=5".to_owned(), "edcba", 1),
        ("/calls?limit=2&sort=started_at".to_owned(), "abcde", 3),
        ("/calls?limit=2&skip=1".to_owned(), "dcba", 2),
        (format!("/calls?trunk_id={trunk}&limit=1"), "edcba", 5),
        ("/calls?limit=1&from=%2B15550001&status=initiated".to_owned(), "", 1),
    ] {
        assert_eq!(follow(&api, &path, "call_id").await, (found.to_owned(), pages), "{path}");
    }

    let first = api.get("/calls?limit=2").await;
    assert_eq!(links(&first).keys().collect::<Vec<_>>(), ["next"]);
    let second = api.get(&links(&first)["next"]).await;
    assert_eq!(links(&second)["first"], "/calls?limit=2");
    let paged = api.get("/calls?skip=3&limit=2").await;
    assert_eq!(links(&paged)["prev"], "/calls?limit=2&skip=1");
    assert!(!links(&paged).contains_key("next"));

    // A call that is logged meanwhile moves nothing that comes after it.
    api.post("/calls", call_body(&trunk, json!({"call_id": "x", "started_at": "2026-01-31T11:59:30Z"})))
        .await
        .expect(201);
    assert_eq!(names(&api.get(&links(&first)["next"]).await.expect(200), "call_id"), "cb");
}

#[tokio::test]
async fn a_cursor_is_of_one_list() {
    let api = Api::start().await;
    with_calls(&api, &vec![json!({}); 3]).await;
    let next = links(&api.get("/calls?limit=1&status=initiated").await)["next"].clone();
    let cursor = next.split("cursor=").nth(1).unwrap().to_owned();
    api.get(&format!("/calls?limit=3&status=initiated&cursor={cursor}")).await.expect(200);
    for other in [
        "/calls?",
        "/calls?status=busy&",
        "/calls?status=initiated&sort=started_at&",
        "/refusals?",
        "/trunks?",
        "/users?",
    ] {
        let message = api.get(&format!("{other}cursor={cursor}")).await.expect_wrong_field("cursor");
        assert!(message.contains("another list"), "{message}");
    }
    for wrong in ["", "x", "null", "AAAAAAAAAAAAAAAAAAAA", &cursor[1..]] {
        api.get(&format!("/calls?status=initiated&cursor={wrong}")).await.expect_wrong_field("cursor");
    }
    let both = api.get(&format!("/calls?status=initiated&cursor={cursor}&skip=1")).await.expect_wrong_field("skip");
    assert!(both.contains("cursor"), "{both}");
}

#[tokio::test]
async fn a_list_is_counted_when_that_is_asked_for() {
    let api = Api::start().await;
    with_calls(&api, &[json!({"status": "completed"}), json!({"status": "busy"}), json!({"status": "busy"})]).await;
    let total = |reply: Reply| reply.headers.get("x-total-count").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(total(api.get("/calls?limit=1").await), None);
    for (path, count) in [
        ("/calls?limit=1&count=exact", "3"),
        ("/calls?status=busy&count=exact", "2"),
        ("/trunks?count=exact", "1"),
        ("/refusals?count=exact", "0"),
        ("/users?count=exact", "0"),
        ("/api-keys?count=exact", "1"),
        ("/sessions?count=exact", "0"),
    ] {
        assert_eq!(total(api.get(path).await).as_deref(), Some(count), "{path}");
    }
    let next = links(&api.get("/calls?limit=1&count=exact").await)["next"].clone();
    assert_eq!(total(api.get(&next).await).as_deref(), Some("3"), "of all rows, on each page");
    api.get("/calls?count=yes").await.expect_wrong_field("count");
    api.get("/calls?count=exact&metadata.a=b").await.expect_wrong_field("count");
}

#[tokio::test]
async fn calls_are_filtered() {
    let api = Api::start().await;
    let conversation = "0198f000-0000-7000-8000-00000000000a";
    let changes = [
        json!({"status": "no-answer", "from_number": "+15550001"}),
        json!({"status": "busy", "direction": "inbound", "to_number": "+15550002"}),
        json!({"conversation_id": conversation, "metadata": {"customer": "Zoë & Co", "vip": true, "level": 3}}),
        json!({"metadata": {"customer": {"vip": true}}}),
    ];
    let trunk = with_calls(&api, &changes).await;
    api.put("/calls/b", json!({"hangup_cause": "user_busy"})).await.expect(200);
    for (query, found) in [
        ("status=busy".to_owned(), "b"),
        ("status=busy,no_answer".to_owned(), "ba"),
        ("status=busy&status=no-answer".to_owned(), "ba"),
        ("direction=inbound".to_owned(), "b"),
        ("from=%2B15550001".to_owned(), "a"),
        ("from=+15550001".to_owned(), "a"),
        ("to=%2B15550002".to_owned(), "b"),
        (format!("to=%2B15550002&trunk_id={trunk}&status=busy"), "b"),
        (format!("conversation_id={conversation}"), "c"),
        ("hangup_cause=user_busy".to_owned(), "b"),
        ("started_after=2026-01-31T11:59:01Z&started_before=2026-01-31T11:59:03Z".to_owned(), "cb"),
        ("started_after=2026-01-31T12:59:02+01:00".to_owned(), "dc"),
        ("metadata.customer=Zo%C3%AB+%26+Co".to_owned(), "c"),
        ("metadata.vip=true&metadata.level=3".to_owned(), "c"),
        ("metadata.vip=false".to_owned(), ""),
        ("metadata.customer='%20OR%201=1%20--".to_owned(), ""),
    ] {
        let path = format!("/calls?{query}");
        assert_eq!(names(&api.get(&path).await.expect(200), "call_id"), found, "{path}");
    }
    for (query, field) in [
        ("status=bad", "status"),
        ("status=", "status"),
        ("direction=bidirectional", "direction"),
        ("from=", "from"),
        ("to=%00", "to"),
        ("conversation_id=1", "conversation_id"),
        ("started_after=yesterday", "started_after"),
        ("sort=cost", "sort"),
        ("sort=started_at;DROP TABLE call_logs", "sort"),
        ("metadata.=x", "metadata"),
        ("metadata.a=1&metadata.b=1&metadata.c=1&metadata.d=1&metadata.e=1&metadata.f=1", "metadata"),
        ("skip=1&status=busy", "skip"),
        ("skip=1000000000", "skip"),
        ("limit=99999999999999", "limit"),
    ] {
        api.get(&format!("/calls?{}", query.replace(' ', "%20"))).await.expect_wrong_field(field);
    }
}

#[tokio::test]
async fn unknown_parameters_are_warned_of_where_clients_are_old_and_refused_where_they_are_ours() {
    let api = Api::start().await;
    with_calls(&api, &[json!({})]).await;
    let reply = api.get("/calls?stauts=busy&%22%0d%0ax=1").await;
    let warnings: Vec<_> = reply.headers.get_all(header::WARNING).iter().map(|text| text.to_str().unwrap()).collect();
    assert!(warnings[0].contains("stauts") && warnings[0].contains("did you mean status?"), "{warnings:?}");
    assert_eq!(warnings.len(), 2);
    assert_eq!(names(&reply.expect(200), "call_id"), "a");
    for (path, nearest) in [
        ("/refusals?trunkid=1", "trunk_id"),
        ("/users?rol=admin", "role"),
        ("/api-keys?revokd=true", "revoked"),
        ("/sessions?cursr=1", "cursor"),
    ] {
        let (_, parameter) = path.split_once('?').unwrap();
        let message = api.get(path).await.expect_wrong_field(parameter.split('=').next().unwrap());
        assert!(message.contains(&format!("did you mean {nearest}?")), "{message}");
    }
}

#[tokio::test]
async fn trunks_are_filtered_and_sorted() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for (name, changes) in [
        ("b", json!({"priority": 3, "provider": "telnyx"})),
        ("a", json!({"priority": 2, "provider": "custom"})),
        ("c", json!({"priority": 1, "provider": "custom"})),
    ] {
        let mut body = changes;
        body["name"] = name.into();
        ids.push(api.post("/trunks", trunk_body(body)).await.expect(201)["id"].as_str().unwrap().to_owned());
    }
    api.put(&format!("/trunks/{}", ids[0]), json!({"status": "inactive"})).await.expect(200);
    // Each was probed when it was made, in the background.
    while names(&api.get("/trunks?health=healthy").await.expect(200), "name") != "cab" {
        tokio::task::yield_now().await;
    }
    for (path, found) in [
        ("/trunks?limit=1", "cab"),
        ("/trunks?limit=2&sort=name", "abc"),
        ("/trunks?limit=1&sort=-name", "cba"),
        ("/trunks?sort=-priority", "bac"),
        ("/trunks?status=active", "ca"),
        ("/trunks?limit=1&provider=custom&status=active", "ca"),
        ("/trunks?provider=twilio", ""),
        ("/trunks?health=healthy&limit=1", "cab"),
        ("/trunks?health=unknown", ""),
        ("/trunks?health=degraded&limit=1", ""),
    ] {
        assert_eq!(follow(&api, path, "name").await.0, found, "{path}");
    }
    for (query, field) in [
        ("status=x", "status"),
        ("health=x", "health"),
        ("sort=sip_password", "sort"),
        ("skip=1&health=healthy", "skip"),
    ] {
        api.get(&format!("/trunks?{query}")).await.expect_wrong_field(field);
    }
}

#[tokio::test]
async fn all_calls_are_exported_as_csv_or_line_by_line() {
    let api = Api::start().await;
    let changes = [
        json!({"from_number": "+15550001", "metadata": {"note": "a, \"b\""}}),
        json!({"from_number": "=1+1", "status": "busy"}),
        json!({"from_number": "-2", "to_number": "@x"}),
    ];
    with_calls(&api, &changes).await;
    let exported = async |query: &str| {
        let reply = api.get(&format!("/calls/export{query}")).await;
        let kind = reply.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (kind, reply.expect(200).as_str().unwrap_or("").to_owned())
    };
    let (kind, csv) = exported("?format=csv&sort=started_at").await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert!(lines[0].starts_with("id,call_id,direction,status,from_number,to_number,"), "{}", lines[0]);
    assert_eq!(lines.len(), 4);
    assert!(lines[1].contains(",+15550001,") && lines[1].ends_with(r#""{""note"":""a, \""b\""""}""#), "{}", lines[1]);
    assert!(lines[2].contains(",'=1+1,"), "{}", lines[2]);
    assert!(lines[3].contains(",'-2,'@x,"), "{}", lines[3]);

    let (kind, lines) = exported("").await;
    assert_eq!(kind, "application/x-ndjson");
    let calls: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(Value::from(calls), api.get("/calls").await.expect(200));
    assert_eq!(exported("?status=busy").await.1.lines().count(), 1);
    assert_eq!(exported("?status=failed").await.1, "");
    assert_eq!(exported("?status=failed&format=csv").await.1.lines().count(), 1, "the head");
    for (query, field) in
        [("format=xml", "format"), ("stauts=busy", "stauts"), ("limit=1", "limit"), ("status=x", "status")]
    {
        api.get(&format!("/calls/export?{query}")).await.expect_wrong_field(field);
    }
}

/// 2,500 of them: three pages of an export.
async fn with_many_calls(api: &Api) {
    let placed = api.post("/calls/dial", json!({"to_number": "+12025550100", "connect": {"type": "echo"}})).await;
    placed.expect(201);
    let order = api.switchboard.script(|script| script.orders.last().unwrap().clone());
    let records = (1..=2_500_i64).map(|second| {
        let record = crate::harness::live_call(&order).record;
        let id = CallId::new(at(second), [7; 10]);
        Record::Call(Box::new(CallRecord { id, started_at: at(second), receipt: None, ..record }))
    });
    api.store.write_records(&records.collect::<Vec<_>>()).await.unwrap();
}

#[tokio::test]
async fn an_export_goes_on_to_its_end_or_breaks_off() {
    let api = Api::start().await;
    with_many_calls(&api).await;
    let all = api.get("/calls/export").await.expect(200);
    assert_eq!(all.as_str().unwrap().lines().count(), 2_500);

    let request = Request::get("/api/v1/telephony/calls/export?format=csv");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {}", api.mine.key));
    let mut body = api.stream(request.body(Body::empty()).unwrap()).await.into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&first).lines().count(), 1_001);
    api.store.close().await;
    body.next().await.unwrap().unwrap_err();
}

#[tokio::test]
async fn an_export_breaks_off_when_its_key_is_revoked() {
    let api = Api::start().await;
    with_many_calls(&api).await;
    let acts: Vec<_> = (0..2_500)
        .map(|number| {
            (crate::harness::ACT.clone(), tandem_store::Change::new(api.mine.account.id, "call.dial", &number))
        })
        .collect();
    api.store.record_acts(&acts).await.unwrap();
    for (path, first_lines) in
        [("/calls/export", 1_000), ("/calls/export?format=csv", 1_001), ("/audit-log/export", 1_000)]
    {
        let made = api.post("/api-keys", json!({"name": "leaked", "scopes": ["read", "admin"]})).await.expect(201);
        let key = made["key"].as_str().unwrap();
        let request = Request::get(format!("/api/v1/telephony{path}"));
        let request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        let mut body = api.stream(request.body(Body::empty()).unwrap()).await.into_body().into_data_stream();
        let first = body.next().await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&first).lines().count(), first_lines, "{path}");
        api.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap())).await.expect(204);
        // What is known of a key is 80 ms old at most.
        while api.send(Method::GET, "/trunks", None, Some(key)).await.status != 401 {}
        let broken = body.next().await.unwrap().unwrap_err();
        assert!(broken.to_string().contains("may have no more"), "{path}: {broken}");
    }
}
