//! An example of every request body, for people who read the document and for programs that try it out.

use serde_json::{Value, json};
use utoipa::openapi::path::PathItem;
use utoipa::openapi::{OpenApi, RefOr};

/// Writes the examples into the document.
pub(super) fn write_into(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let PathItem { put, post, patch, .. } = item;
        for operation in [put, post, patch].into_iter().flatten() {
            let Some(RefOr::T(body)) = &mut operation.request_body else { continue };
            for content in body.content.values_mut() {
                let RefOr::T(content) = content else { continue };
                let Some(RefOr::Ref(schema)) = &content.schema else { continue };
                content.example = schema.ref_location.rsplit('/').next().and_then(example);
            }
        }
    }
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
}
