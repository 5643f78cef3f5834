//! Parsers of request bodies: JSON objects become model types here, and nowhere else.

mod access;
mod address;
mod advanced_config;
mod call;
mod connect;
mod credit;
mod dial;
mod fields;
mod headers;
mod inbound_routing;
mod money;
mod number;
mod outbound_routing;
mod retention;
mod test_call;
mod trunk;
mod webhook;

pub(crate) use access::{Credentials, NewKey, NewUser, PasswordChange, Refresh, UserEdit};
pub(crate) use address::next_hop_address;
pub(crate) use call::{CallChange, NewCall};
pub(crate) use credit::{CreditGrant, CreditSetting};
pub(crate) use dial::DialRequest;
pub(crate) use fields::{FieldError, Invalid, Parsed, nearest};
pub(crate) use money::money_number;
pub use number::warm_up;
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
        ("ApiKeyCreate", Fields::known(NewKey::read)),
        ("UserCreate", Fields::known(NewUser::read)),
        ("UserUpdate", Fields::known(UserEdit::read)),
        ("PasswordChange", Fields::known(PasswordChange::read)),
        ("CreditGrant", Fields::known(CreditGrant::read)),
        ("CreditSetting", Fields::known(CreditSetting::read)),
        ("HealthCheckRequest", Fields::known(|fields| Some(HealthCheck::read(fields)))),
        ("RetentionUpdate", Fields::known(RetentionEdit::read)),
        ("SignIn", Fields::known(Credentials::read)),
        ("SessionRefresh", Fields::known(Refresh::read)),
        ("WebhookEndpointCreate", Fields::known(NewWebhookEndpoint::read)),
        ("WebhookEndpointUpdate", Fields::known(WebhookEndpointEdit::read)),
        ("WebhookReplay", Fields::known(WebhookReplay::read)),
    ]
}
