//! An example of every body, of requests and of answers, for people who read the document and for programs that try it out.

use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::{OpenApi, Ref, RefOr, Schema};

/// Writes the examples into the document.
pub(super) fn write_into(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let PathItem { get, put, post, patch, delete, .. } = item;
        for operation in [get, put, post, patch, delete].into_iter().flatten() {
            write_answers(operation);
            let Some(RefOr::T(body)) = &mut operation.request_body else { continue };
            for content in body.content.values_mut() {
                let RefOr::T(content) = content else { continue };
                let Some(RefOr::Ref(schema)) = &content.schema else { continue };
                content.example = example(name(schema));
            }
        }
    }
}

/// Those of what an operation answers when it has done what was asked.
fn write_answers(operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let answers = operation.responses.responses.iter_mut().filter(|(status, _)| status.starts_with('2'));
    for (_, answer) in answers {
        let RefOr::T(answer) = answer else { continue };
        for (kind, content) in &mut answer.content {
            let RefOr::T(content) = content else { continue };
            content.example = match &content.schema {
                Some(RefOr::Ref(schema)) => answer_of(name(schema)),
                Some(RefOr::T(Schema::Array(list))) => match &list.items {
                    ArrayItems::RefOrSchema(item) => match &**item {
                        RefOr::Ref(schema) => answer_of(name(schema)).map(|row| json!([row])),
                        RefOr::T(_) => None,
                    },
                    ArrayItems::False => None,
                },
                Some(RefOr::T(_)) | None => text_of(&id, kind),
            };
        }
    }
}

fn name(schema: &Ref) -> &str {
    schema.ref_location.rsplit('/').next().unwrap_or_default()
}

/// An answer of the schema of this name, as the node gives it.
fn answer_of(schema: &str) -> Option<Value> {
    static ANSWERS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
        serde_json::from_str(include_str!("answers.json")).expect("the file is JSON, as a test of the document shows")
    });
    ANSWERS.get(schema).cloned()
}

/// The beginning of an answer that is text, or that has no schema.
fn text_of(operation: &str, kind: &str) -> Option<Value> {
    Some(match (operation, kind) {
        ("export_calls", "text/csv") => {
            "id,call_id,direction,status,from_number,to_number\r\n0198f2b6-9d10-7b22-8c4d-5e6f70819203,CA-2026-000017,outbound,completed,\
             +12025550190,+442079460000\r\n"
                .into()
        }
        ("read_analytics", "text/csv") => {
            "began_at,trunk_id,trunk_name,prefix,cause,attempts\r\n2026-01-31T00:00:00.000000Z,,,,,1250\r\n".into()
        }
        ("read_metrics", _) => "# TYPE tandem_calls gauge\ntandem_calls 6\n# EOF\n".into(),
        ("read_document", _) => json!({"openapi": "3.1.0", "info": {"title": "Tandem"}, "paths": {}}),
        _ => return None,
    })
}

/// A body of the schema of this name, as one would send it.
fn example(schema: &str) -> Option<Value> {
    let trunk = "0198f2b4-5c00-7a3e-9d2b-3f1c5e8a7b10";
    Some(match schema {
        "TrunkCreate" => json!({
            "name": "carrier east",
            "provider": "custom",
            "sip_domain": "sip.carrier.example",
            "sip_username": "account-7",
            "sip_password": "not a real password",
            "max_concurrent_calls": 30,
            "cost_per_minute": 0.0085,
            "allowed_ips": ["192.0.2.0/28"],
            "inbound_routing": {
                "rules": [{"to": "+12025550100", "connect": {"type": "sip", "uri": "sip:desk@192.0.2.7"}}],
                "default": {"type": "forward"},
            },
            "outbound_routing": {"prefixes": ["+1", "+44"], "caller_id": "+12025550100"},
        }),
        "HealthCheckRequest" => json!({"call": "+12025550100"}),
        "TrunkUpdate" => json!({"status": "maintenance", "priority": 2, "description": null}),
        "CallCreate" => json!({
            "call_id": "CA-2026-000017",
            "sip_trunk_id": trunk,
            "direction": "inbound",
            "from_number": "+442079460000",
            "to_number": "+12025550100",
            "started_at": "2026-01-31T12:00:00Z",
            "status": "ringing",
            "metadata": {"customer": "17"},
        }),
        "CallUpdate" => json!({
            "status": "completed",
            "answered_at": "2026-01-31T12:00:04Z",
            "ended_at": "2026-01-31T12:01:34Z",
            "hangup_cause": "normal_clearing",
            "quality_score": 4.2,
        }),
        "Dial" => json!({
            "to_number": "+12025550100",
            "from_number": "+12025550190",
            "connect": {"type": "sip", "uri": "sip:desk@192.0.2.7"},
            "ring_timeout_seconds": 30,
            "metadata": {"campaign": "spring"},
        }),
        "NumberCreate" => json!({
            "number": "+12025550100",
            "label": "Reception",
            "connect": {"type": "sip", "uri": "sip:desk@192.0.2.7"},
        }),
        "NumberUpdate" => json!({"label": "Night desk", "connect": {"type": "forward"}, "sip_trunk_id": null}),
        "ApiKeyCreate" => json!({"name": "dialler", "scopes": ["read", "calls"]}),
        "UserCreate" => json!({"email": "zoe@example.com", "name": "Zoë", "role": "operator"}),
        "UserUpdate" => json!({"role": "viewer"}),
        "PasswordChange" => {
            json!({"current_password": "not a real password", "new_password": "another that is not real"})
        }
        "SignIn" => json!({"email": "zoe@example.com", "password": "not a real password"}),
        "SessionRefresh" => json!({"refresh_token": "not a real token"}),
        "CreditGrant" => json!({"amount": 25, "note": "invoice 2026-017"}),
        "CreditSetting" => json!({"credit_control": "on"}),
        "WebhookEndpointCreate" => json!({"url": "https://example.com/hooks", "event_types": ["call.*"]}),
        "WebhookEndpointUpdate" => json!({"enabled": false}),
        "RetentionUpdate" => json!({"calls_days": 365, "refusals_days": 30, "audit_log_days": null}),
        "ErasureCreate" => json!({"number": "+12025550142", "also": ["2025550142"]}),
        "AlertNote" => json!({"note": "the carrier knows, ticket 4711"}),
        "AlertSettingsUpdate" => json!({
            "trunk_utilisation": {"threshold_percent": 90},
            "cost_spike": {"threshold_factor": 5, "minimum_amount": 50},
            "probes_failing": {"enabled": false},
            "success_rate": null,
            "mail_to": ["noc@example.com"],
        }),
        "WebhookReplay" => json!({"since": "2026-01-31T12:00:00Z"}),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::http::openapi;
    use crate::wire;
    use serde_json::{Value, json};

    #[test]
    fn every_body_has_an_example_that_its_own_parser_takes() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut parsed = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(content) = operation.pointer("/requestBody/content/application~1json") else { continue };
                let schema = content["schema"]["$ref"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{method} {path} has a body without a name"));
                let schema = schema.rsplit('/').next().unwrap();
                let example = content["example"].as_object();
                let example = example.unwrap_or_else(|| panic!("{method} {path} has no example of {schema}"));
                let outcome = wire::parses(schema, example.clone());
                assert_eq!(outcome.unwrap_or_else(|| panic!("no parser of {schema} is known")), Ok(()), "{schema}");
                parsed += 1;
            }
        }
        assert!(parsed >= 14, "{parsed}");
    }

    #[test]
    fn every_answer_has_an_example_of_its_own_schema() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut checked = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for (status, answer) in operation["responses"].as_object().unwrap() {
                    if !status.starts_with('2') {
                        continue;
                    }
                    for (kind, content) in answer["content"].as_object().into_iter().flatten() {
                        let place = format!("{method} {path} {status} as {kind}");
                        let example = &content["example"];
                        assert!(!example.is_null(), "{place} has no example");
                        let schema = json!({
                            "$schema": "https://json-schema.org/draft/2020-12/schema",
                            "allOf": [content["schema"]],
                            "components": document["components"],
                        });
                        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
                        let faults: Vec<String> = validator
                            .iter_errors(example)
                            .map(|fault| format!("{}: {fault}", fault.instance_path()))
                            .collect();
                        assert!(faults.is_empty(), "{place}: {faults:#?}");
                        let mut unknown = Vec::new();
                        strangers(&document, &content["schema"], example, &mut unknown);
                        assert!(unknown.is_empty(), "{place} has members that its schema does not know: {unknown:?}");
                        checked += 1;
                    }
                }
            }
        }
        assert!(checked >= 60, "{checked}");
    }

    /// Members of an example that its schema does not know.
    fn strangers(document: &Value, schema: &Value, example: &Value, found: &mut Vec<String>) {
        let mut known = serde_json::Map::new();
        properties(document, schema, &mut known);
        for row in example.as_array().into_iter().flatten() {
            strangers(document, &schema["items"], row, found);
        }
        // What has no properties is open to all, and a reason has members per code.
        if known.is_empty() || is_open(document, schema) {
            return;
        }
        for (name, value) in example.as_object().into_iter().flatten() {
            match known.get(name) {
                Some(schema) => strangers(document, schema, value, found),
                None => found.push(name.clone()),
            }
        }
    }

    /// The properties of an object, also where it is put together of several, or may be `null`.
    fn properties(document: &Value, schema: &Value, known: &mut serde_json::Map<String, Value>) {
        let schema = resolved(document, schema);
        known.extend(schema["properties"].as_object().cloned().unwrap_or_default());
        for parts in ["allOf", "oneOf", "anyOf"] {
            schema[parts].as_array().into_iter().flatten().for_each(|part| properties(document, part, known));
        }
    }

    fn is_open(document: &Value, schema: &Value) -> bool {
        let described = resolved(document, schema)["description"].as_str().unwrap_or_default();
        described.contains("members per code")
    }

    fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
        target.and_then(|target| document.pointer(target)).unwrap_or(schema)
    }
}
