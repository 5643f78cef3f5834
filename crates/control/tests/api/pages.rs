use crate::harness::{Api, Reply};
use axum::http::{Method, header};

async fn page(api: &Api, path: &str) -> Reply {
    api.send(Method::GET, &format!("/{path}"), None, None).await
}

#[track_caller]
fn is_guarded(reply: &Reply) {
    let policy = reply.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(reply.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let text = reply.body.as_str().unwrap();
    // An example may show a URL; no attribute has one.
    assert!(
        ["<script", "style=", "onclick", "=\"http", "=\"//", "@import"].iter().all(|part| !text.contains(part)),
        "{text}"
    );
}

#[tokio::test]
async fn the_type_of_a_problem_is_a_page_that_explains_it() {
    let api = Api::start().await;
    for (reply, status, code) in [
        (api.get("/trunks/nothing").await, 404, "not_found"),
        (api.post("/trunks", serde_json::json!({})).await, 422, "invalid_field"),
        (api.send(Method::GET, "/trunks", None, None).await, 401, "unauthorized"),
    ] {
        let problem = reply.expect_problem(status, code);
        assert_eq!(problem["type"], format!("/docs/errors/{code}"));
        let reply = page(&api, problem["type"].as_str().unwrap()).await;
        is_guarded(&reply);
        let text = reply.expect(200);
        let text = text.as_str().unwrap();
        for part in [problem["title"].as_str().unwrap(), code, "What it means", "What to do"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains(&format!("&quot;status&quot;: {status}")), "an example: {text}");
    }
}

#[tokio::test]
async fn every_code_is_listed_and_has_its_page() {
    let api = Api::start().await;
    let list = page(&api, "/docs/errors").await;
    is_guarded(&list);
    let list = list.expect(200);
    let document = serde_json::to_value(tandem_control::openapi()).unwrap();
    let codes = document["components"]["schemas"]["ProblemCode"]["enum"].as_array().unwrap();
    assert!(codes.len() >= 40, "{codes:?}");
    for code in codes {
        let path = format!("/docs/errors/{}", code.as_str().unwrap());
        assert!(list.as_str().unwrap().contains(&format!("href=\"{path}\"")), "{path} is not in the list");
        is_guarded(&page(&api, &path).await);
    }
    page(&api, "/docs/errors/no_such_code").await.expect_problem(404, "unknown_path");
    let style = page(&api, "/docs/style.css").await;
    assert_eq!(style.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
    style.expect(200);
}

#[tokio::test]
async fn the_reference_shows_every_operation_and_schema_and_its_links_lead_somewhere() {
    let api = Api::start().await;
    let reply = page(&api, "/docs").await;
    is_guarded(&reply);
    let text = reply.expect(200);
    let text = text.as_str().unwrap();
    let document = serde_json::to_value(tandem_control::openapi()).unwrap();
    for (path, method, operation) in crate::document::operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(
            text.contains(&format!("<h3 id=\"{id}\"><code class=\"method\">{method}</code> <code>{path}</code>")),
            "{id}"
        );
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("id=\"schema-{name}\"")), "{name}");
    }
    let shown = text.matches("<summary>An example of the answer").count();
    assert!(
        shown >= 60 && text.contains("&quot;sip_domain&quot;: &quot;sip.carrier.example&quot;"),
        "{shown} examples"
    );
    for link in text.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(text.contains(&format!("id=\"{link}\"")), "#{link} leads nowhere");
    }
}
