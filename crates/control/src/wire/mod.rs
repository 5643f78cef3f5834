//! Parsers of request bodies: JSON objects become model types here, and nowhere else.

mod access;
mod address;
mod advanced_config;
mod alert;
mod call;
mod connect;
mod credit;
mod dial;
mod erasure;
mod fields;
mod headers;
mod inbound_routing;
mod money;
mod number;
mod outbound_routing;
mod phone_number;
mod retention;
mod test_call;
mod trunk;
mod webhook;

pub(crate) use access::{Credentials, NewKey, NewUser, PasswordChange, Refresh, UserEdit};
pub(crate) use alert::{AlertNote, AlertSettingsEdit};
pub(crate) use call::{CallChange, NewCall};
pub(crate) use credit::{CreditGrant, CreditSetting};
pub(crate) use dial::DialRequest;
pub(crate) use erasure::NewErasure;
pub(crate) use fields::{FieldError, Invalid, Parsed, nearest};
pub(crate) use money::money_number;
pub use number::warm_up;
pub(crate) use phone_number::{NewNumber, NumberEdit};
pub(crate) use retention::RetentionEdit;
pub(crate) use test_call::{HealthCheck, TestCall};
pub(crate) use trunk::{NewTrunk, TrunkChange, capability_warnings};
pub(crate) use webhook::{NewWebhookEndpoint, WebhookEndpointEdit, WebhookReplay};

/// The fields that each body knows, by the name of its schema.
#[cfg(test)]
pub(crate) fn known_fields() -> Vec<(&'static str, Vec<&'static str>)> {
    use fields::Fields;
    vec![
        ("TrunkCreate", Fields::known(NewTrunk::read)),
        ("TrunkUpdate", Fields::known(TrunkChange::read)),
        ("InboundRouting", Fields::known(inbound_routing::read_inbound_routing)),
        ("InboundRule", Fields::known(inbound_routing::read_inbound_rule)),
        ("OutboundRouting", Fields::known(outbound_routing::read_outbound_routing)),
        ("AdvancedConfig", Fields::known(advanced_config::read_advanced_config)),
        ("CallCreate", Fields::known(NewCall::read)),
        ("CallUpdate", Fields::known(CallChange::read)),
        ("Dial", Fields::known(DialRequest::read)),
        ("NumberCreate", Fields::known(NewNumber::read)),
        ("NumberUpdate", Fields::known(NumberEdit::read)),
        ("ApiKeyCreate", Fields::known(NewKey::read)),
        ("UserCreate", Fields::known(NewUser::read)),
        ("UserUpdate", Fields::known(UserEdit::read)),
        ("PasswordChange", Fields::known(PasswordChange::read)),
        ("CreditGrant", Fields::known(CreditGrant::read)),
        ("CreditSetting", Fields::known(CreditSetting::read)),
        ("HealthCheckRequest", Fields::known(|fields| Some(HealthCheck::read(fields)))),
        ("ErasureCreate", Fields::known(NewErasure::read)),
        ("RetentionUpdate", Fields::known(RetentionEdit::read)),
        ("AlertNote", Fields::known(AlertNote::read)),
        ("AlertSettingsUpdate", Fields::known(AlertSettingsEdit::read)),
        ("SignIn", Fields::known(Credentials::read)),
        ("SessionRefresh", Fields::known(Refresh::read)),
        ("WebhookEndpointCreate", Fields::known(NewWebhookEndpoint::read)),
        ("WebhookEndpointUpdate", Fields::known(WebhookEndpointEdit::read)),
        ("WebhookReplay", Fields::known(WebhookReplay::read)),
    ]
}

/// Reads a body by the name of its schema; `None` when nothing reads such a one.
#[cfg(test)]
pub(crate) fn parses(schema: &str, body: serde_json::Map<String, serde_json::Value>) -> Option<Result<(), Invalid>> {
    Some(match schema {
        "TrunkCreate" => NewTrunk::parse(body).map(drop),
        "TrunkUpdate" => TrunkChange::parse(body).map(drop),
        "HealthCheckRequest" => HealthCheck::parse(body).map(drop),
        "CallCreate" => NewCall::parse(body).map(drop),
        "CallUpdate" => CallChange::parse(body).map(drop),
        "Dial" => DialRequest::parse(body).map(drop),
        "NumberCreate" => NewNumber::parse(body).map(drop),
        "NumberUpdate" => NumberEdit::parse(body).map(drop),
        "ApiKeyCreate" => NewKey::parse(body).map(drop),
        "UserCreate" => NewUser::parse(body).map(drop),
        "UserUpdate" => UserEdit::parse(body).map(drop),
        "PasswordChange" => PasswordChange::parse(body).map(drop),
        "CreditGrant" => CreditGrant::parse(body).map(drop),
        "CreditSetting" => CreditSetting::parse(body).map(drop),
        "SignIn" => Credentials::parse(body).map(drop),
        "SessionRefresh" => Refresh::parse(body).map(drop),
        "WebhookEndpointCreate" => NewWebhookEndpoint::parse(body).map(drop),
        "WebhookEndpointUpdate" => WebhookEndpointEdit::parse(body).map(drop),
        "WebhookReplay" => WebhookReplay::parse(body).map(drop),
        "ErasureCreate" => NewErasure::parse(body).map(drop),
        "AlertNote" => AlertNote::parse(body).map(drop),
        "AlertSettingsUpdate" => AlertSettingsEdit::parse(body).map(drop),
        "RetentionUpdate" => RetentionEdit::parse(body).map(drop),
        _ => return None,
    })
}
