use crate::wire::connect::{CalledBy, read_connect};
use crate::wire::fields::{Fields, Invalid, UnknownFields, string_of};
use serde_json::Value;
use tandem_model::{InboundRouting, InboundRule, NumberPattern};

/// Reads the keys of `inbound_routing`. `None` only when an error was noted.
pub(crate) fn read_inbound_routing(fields: &mut Fields) -> Option<InboundRouting> {
    let country_code = fields.read("country_code", country_code_of);
    let rules = fields.list("rules", MAX_RULES, rule_of);
    let default = fields.nested("default", UnknownFields::Warn, |fields| read_connect(fields, CalledBy::Peer));
    Some(InboundRouting::new(country_code.value(), rules.value().unwrap_or_default(), default.value()))
}

fn rule_of(value: &Value) -> Result<InboundRule, String> {
    let object = value.as_object().ok_or("must be an object with to, from and connect")?;
    // Strict, as a misspelt `to` would make a rule that takes every call.
    let mut fields = Fields::new(object.clone(), UnknownFields::Refuse);
    let rule = read_inbound_rule(&mut fields);
    fields.finish(rule).map(|parsed| parsed.value).map_err(|Invalid(errors)| {
        let errors: Vec<String> =
            errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
        errors.join("; ")
    })
}

/// Reads the keys of a rule. `None` only when an error was noted.
pub(super) fn read_inbound_rule(fields: &mut Fields) -> Option<InboundRule> {
    let to = fields.read("to", pattern_of);
    let from = fields.read("from", pattern_of);
    let connect = fields.nested("connect", UnknownFields::Refuse, |fields| read_connect(fields, CalledBy::Peer));
    let connect = fields.require("connect", connect)?;
    Some(InboundRule { to: to.value(), from: from.value(), connect })
}

fn pattern_of(value: &Value) -> Result<NumberPattern, String> {
    string_of(value)?.parse().map_err(|error: tandem_model::ParseNumberPatternError| error.to_string())
}

fn country_code_of(value: &Value) -> Result<String, String> {
    let code = string_of(value)?;
    let code = code.strip_prefix('+').unwrap_or(code);
    let is_code = (1..=MAX_CODE_DIGITS).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_digit())
        && !code.starts_with('0');
    if is_code { Ok(code.to_owned()) } else { Err("a country code is 1 to 3 digits, as 1 or 44".to_owned()) }
}

/// Rules of one trunk: a trunk with more numbers than this forwards by prefix.
const MAX_RULES: usize = 1_000;
/// ITU-T E.164 §6.2.1.
const MAX_CODE_DIGITS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tandem_model::Connect;

    #[expect(clippy::needless_pass_by_value, reason = "JSON literals are written where they are used")]
    fn read(value: Value) -> Result<InboundRouting, String> {
        let mut fields = Fields::new(value.as_object().cloned().unwrap(), UnknownFields::Warn);
        let routing = read_inbound_routing(&mut fields);
        fields.finish(routing).map(|parsed| parsed.value).map_err(|Invalid(errors)| errors[0].message.clone())
    }

    #[test]
    fn reads_rules_in_order_and_numbers_in_the_format_of_the_trunk() {
        let routing = read(json!({
            "country_code": "+1",
            "rules": [
                {"to": "2025550100", "connect": {"type": "echo"}},
                {"to": "+1303*", "from": "+44*", "connect": {"type": "forward"}},
            ],
            "default": {"type": "play", "tone": "440+480"},
        }))
        .unwrap();
        assert_eq!(routing.rule_for("+12025550100", "+4420"), Some(0));
        assert_eq!(routing.rule_for("+13035550100", "+4420"), Some(1));
        assert_eq!(routing.rule_for("+13035550100", "+1202"), None);
        assert_eq!(routing.default, Some(Connect::Play { tone: "440+480".to_owned() }));
    }

    #[test]
    fn says_which_rule_is_wrong() {
        let wrong = |rule: Value| read(json!({"rules": [{"connect": {"type": "echo"}}, rule]})).unwrap_err();
        assert!(wrong(json!({"to": "+1"})).contains("item 1: connect: is required"));
        assert!(wrong(json!({"ot": "+1", "connect": {"type": "echo"}})).contains("to"));
        assert!(wrong(json!({"to": "+1*2", "connect": {"type": "echo"}})).contains("with * at the end"));
        assert!(wrong(json!({"connect": {"type": "fax"}})).contains("forward"));
        assert!(read(json!({"country_code": "0044"})).unwrap_err().contains("1 to 3 digits"));
    }
}
