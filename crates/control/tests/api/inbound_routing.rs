use crate::harness::{ACT, Api, trunk_body};
use axum::http::Method;
use serde_json::{Value, json};
use tandem_control::openapi;
use tandem_model::{Connect, InboundRouting};

async fn stored(api: &Api, id: &str) -> InboundRouting {
    let trunk = api.store.trunk(api.mine.account.id, id.parse().unwrap()).await.unwrap().unwrap();
    trunk.inbound
}

#[tokio::test]
async fn rules_are_kept_as_they_were_sent_and_read_in_the_format_of_the_trunk() {
    let api = Api::start().await;
    let sent = json!({
        "country_code": "44",
        "rules": [
            {"to": "02079460018", "connect": {"type": "number", "number": "+12025550100"}},
            {"to": "+4420*", "from": "+1*", "connect": {"type": "sip", "uri": "sip:bot@127.0.0.9"}},
            {"to": "support", "connect": {"type": "play", "tone": "440"}},
        ],
        "default": {"type": "forward"},
    });
    let id = api.trunk(json!({"inbound_routing": sent})).await;
    assert_eq!(api.get(&format!("/trunks/{id}")).await.expect(200)["inbound_routing"], sent);
    let routing = stored(&api, &id).await;
    assert_eq!(routing.rule_for("+442079460018", "+33"), Some(0));
    assert_eq!(routing.rule_for("+442079460019", "+12025550199"), Some(1));
    assert_eq!(routing.rule_for("support", ""), Some(2));
    assert_eq!(routing.rule_for("+442079460019", "+33"), None);
    assert_eq!(routing.default, Some(Connect::Forward));

    let path = format!("/trunks/{id}");
    api.put(&path, json!({"priority": 2})).await.expect(200);
    assert_eq!(stored(&api, &id).await, routing, "what is not sent stays");
    let cleared = api.put(&path, json!({"inbound_routing": null})).await.expect(200);
    assert_eq!(cleared["inbound_routing"], json!({}));
    assert_eq!(stored(&api, &id).await, InboundRouting::default());
}

#[tokio::test]
async fn what_is_wrong_in_the_rules_is_named() {
    let api = Api::start().await;
    let echo = json!({"type": "echo"});
    let too_many = vec![json!({"connect": echo}); 1_001];
    for (routing, field, part) in [
        (json!({"country_code": "0044"}), "country_code", "1 to 3 digits"),
        (json!({"country_code": 44}), "country_code", "string"),
        (json!({"rules": {"to": "+1"}}), "rules", "list"),
        (json!({"rules": ["+1"]}), "rules", "item 0"),
        (json!({"rules": too_many}), "rules", "1000"),
        (json!({"rules": [{"connect": echo}, {"to": "+1"}]}), "rules", "item 1: connect: is required"),
        (json!({"rules": [{"to": "+1*2", "connect": echo}]}), "rules", "* at the end"),
        (json!({"rules": [{"to": "", "connect": echo}]}), "rules", "1 to 64"),
        (json!({"rules": [{"form": "+1", "connect": echo}]}), "rules", "did you mean from?"),
        (json!({"rules": [{"connect": {"type": "stream"}}]}), "rules", "not built yet"),
        (json!({"rules": [{"connect": {"type": "number"}}]}), "rules", "connect.number: is required"),
        (json!({"default": {"type": "sip", "uri": "mailto:a@b"}}), "default.uri", ""),
        (json!({"default": {"type": "fax"}}), "default.type", "forward"),
        (json!({"default": {}}), "default.type", "is required"),
        (json!({"default": "echo"}), "default", "object"),
    ] {
        let message = api
            .post("/trunks", trunk_body(json!({"inbound_routing": routing})))
            .await
            .expect_wrong_field(&format!("inbound_routing.{field}"));
        assert!(message.contains(part), "{routing}: {message}");
    }
}

#[tokio::test]
async fn a_misspelt_key_beside_the_rules_is_told() {
    let api = Api::start().await;
    let made = api.post("/trunks", trunk_body(json!({"inbound_routing": {"rule": []}}))).await.expect(201);
    assert!(made["warnings"][0].as_str().unwrap().contains("inbound_routing.rule"), "{}", made["warnings"]);
    assert_eq!(made["inbound_routing"], json!({"rule": []}));
}

#[tokio::test]
async fn forward_is_for_calls_that_come_in_alone() {
    let api = Api::start().await;
    let message = api
        .post("/calls/dial", json!({"to_number": "+12025550100", "connect": {"type": "forward"}}))
        .await
        .expect_wrong_field("connect.type");
    assert!(message.contains("came in"), "{message}");

    let document = serde_json::to_value(openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    let names_forward = |schema: &str| schemas[schema].to_string().contains("orward");
    assert!(names_forward("InboundConnect") && !names_forward("Connect") && !names_forward("Dial"));
    for (schema, property) in [("InboundRule", "connect"), ("InboundRouting", "default")] {
        let shown = schemas[schema]["properties"][property].to_string();
        assert!(shown.contains("#/components/schemas/InboundConnect"), "{schema}: {shown}");
    }
    for schema in ["TrunkCreate", "TrunkUpdate"] {
        let shown = schemas[schema]["properties"]["inbound_routing"].to_string();
        assert!(shown.contains("#/components/schemas/InboundRouting"), "{schema}: {shown}");
    }
}

#[tokio::test]
async fn a_trunk_for_calls_that_come_in_warns_while_nobody_would_talk_to_them() {
    let api = Api::start().await;
    let made = api.post("/trunks", trunk_body(json!({"call_direction": "inbound"}))).await.expect(201);
    assert!(made["warnings"].to_string().contains("inbound_routing"), "{}", made["warnings"]);
    let path = format!("/trunks/{}", made["id"].as_str().unwrap());
    let changed = api.put(&path, json!({"inbound_routing": {"default": {"type": "echo"}}})).await.expect(200);
    assert_eq!(changed["warnings"], json!([]));
}

#[tokio::test]
async fn a_caller_is_known_by_ranges_that_can_tell_and_not_by_a_password_yet() {
    let api = Api::start().await;
    for wide in ["8.0.0.0/7", "2600::/15"] {
        let message = api
            .post("/trunks", trunk_body(json!({"allowed_ips": ["192.0.2.1", wide]})))
            .await
            .expect_wrong_field("allowed_ips");
        assert!(message.contains("item 1") && message.contains(wide) && message.contains("too wide"), "{message}");
    }
    let message = api
        .post("/trunks", trunk_body(json!({"advanced_config": {"inbound_auth": "digest"}})))
        .await
        .expect_wrong_field("advanced_config.inbound_auth");
    assert!(message.contains("not built yet") && message.contains("allowed_ips"), "{message}");

    // Addresses of IPv4 within IPv6 are the IPv4 addresses that they stand for.
    let ranges: Value = json!(["::ffff:192.0.2.1", "::ffff:198.51.100.0/120", "2001:db8:1::/48"]);
    let made = api.post("/trunks", trunk_body(json!({"allowed_ips": ranges}))).await.expect(201);
    assert_eq!(made["allowed_ips"], json!(["192.0.2.1", "198.51.100.0/24", "2001:db8:1::/48"]));
}

#[tokio::test]
async fn a_range_that_an_earlier_build_took_is_told_of() {
    let api = Api::start().await;
    let id = api.trunk(json!({})).await;
    let widen = |trunk: &mut tandem_model::Trunk| {
        trunk.allowed_ips = vec!["0.0.0.0/0".parse().unwrap(), "192.0.2.0/24".parse().unwrap()];
        Ok::<(), std::convert::Infallible>(())
    };
    api.store.change_trunk(&ACT, api.mine.account.id, id.parse().unwrap(), widen).await.unwrap();
    let shown = api.get(&format!("/trunks/{id}")).await.expect(200);
    assert_eq!(shown["warnings"].as_array().map(Vec::len), Some(1), "{}", shown["warnings"]);
    assert!(shown["warnings"][0].as_str().unwrap().contains("0.0.0.0/0"), "{}", shown["warnings"]);
}

#[tokio::test]
async fn a_trunk_that_would_take_calls_of_another_account_is_refused_without_a_word_about_whose_they_are() {
    let api = Api::start().await;
    let taken = api.trunk(json!({"name": "secret", "allowed_ips": ["198.51.100.0/24"]})).await;
    let as_other =
        async |method: Method, path: &str, body: Value| api.send(method, path, Some(body), Some(&api.other.key)).await;
    let attempts = [
        (json!({"allowed_ips": ["203.0.113.1", "198.51.100.7"]}), "allowed_ips", "198.51.100.7"),
        (json!({"allowed_ips": ["198.51.0.0/16"]}), "allowed_ips", "198.51.0.0/16"),
        (json!({"allowed_ips": ["::ffff:198.51.100.0/120"]}), "allowed_ips", "198.51.100.0/24"),
    ];
    for (changes, field, named) in attempts {
        for path in ["/trunks?dry_run=true", "/trunks"] {
            let problem = as_other(Method::POST, path, trunk_body(changes.clone())).await;
            let problem = problem.expect_problem(422, "source_taken");
            assert_eq!(problem["errors"][0]["field"], field, "{problem:#}");
            let message = problem["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains(named) && message.contains("TANDEM_SHARED_CARRIERS"), "{message}");
            let told = problem.to_string();
            assert!(!told.contains("secret") && !told.contains(&taken) && !told.contains("mine"), "{told}");
        }
    }
    // Shared, outbound, and what nobody has.
    let shared = as_other(Method::POST, "/trunks", trunk_body(json!({}))).await.expect(201);
    let path = format!("/trunks/{}", shared["id"].as_str().unwrap());
    let claimed = json!({"allowed_ips": ["198.51.100.0/24", "127.0.0.3"]});
    api.put(&format!("/trunks/{taken}"), claimed).await.expect(200);
    as_other(Method::PUT, &path, json!({"sip_port": 5070})).await.expect(200);
    let by_domain = as_other(Method::PUT, &path, json!({"sip_domain": "127.0.0.3"})).await;
    assert_eq!(by_domain.expect_problem(422, "source_taken")["errors"][0]["field"], "sip_domain");
    let by_proxy = as_other(Method::PUT, &path, json!({"sip_proxy": "sip:127.0.0.3:5070;lr"})).await;
    assert_eq!(by_proxy.expect_problem(422, "source_taken")["errors"][0]["field"], "sip_proxy");
    let outbound = json!({"call_direction": "outbound", "allowed_ips": ["198.51.100.7"]});
    as_other(Method::PUT, &path, outbound).await.expect(200);
    let inbound = as_other(Method::PUT, &path, json!({"call_direction": "bidirectional"})).await;
    inbound.expect_problem(422, "source_taken");
}
