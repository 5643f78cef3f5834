use crate::wire::call::uuid_of;
use crate::wire::connect::{CalledBy, read_connect};
use crate::wire::fields::{Fields, Invalid, UnknownFields, string_of};
use crate::wire::headers::{HeaderPolicy, headers_of};
use crate::wire::number::{caller_id_of, target_of};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use tandem_model::{AccountId, Connect, DialOrder, DialTarget, Timestamp, TrunkId};
use uuid::Uuid;

/// A call to be placed, as a client asks for it.
#[derive(Clone, Debug)]
pub(crate) struct DialRequest {
    to: DialTarget,
    from: Option<String>,
    trunk_id: Option<TrunkId>,
    connect: Connect,
    ring_timeout: Duration,
    max_duration: Duration,
    headers: BTreeMap<String, String>,
    metadata: Map<String, Value>,
    conversation_id: Option<Uuid>,
}

impl DialRequest {
    /// Reads the body of `POST /calls/dial` and `POST /routing/explain`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Refuse);
        let request = Self::read(&mut fields);
        fields.finish(request).map(|parsed| parsed.value)
    }

    /// The order of an account.
    pub(crate) fn into_order(self, account_id: AccountId, asked_at: Timestamp) -> DialOrder {
        DialOrder {
            account_id,
            call_id: None,
            asked_at,
            to: self.to,
            from: self.from,
            trunk_id: self.trunk_id,
            connect: self.connect,
            ring_timeout: self.ring_timeout,
            max_duration: self.max_duration,
            headers: self.headers,
            metadata: self.metadata,
            conversation_id: self.conversation_id,
        }
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let to = fields.read("to_number", |value| target_of(string_of(value)?));
        let to = fields.require("to_number", to);
        let from = fields.read("from_number", |value| caller_id_of(string_of(value)?)).value();
        let trunk_id = fields.choice("sip_trunk_id").value();
        let connect = fields.nested("connect", UnknownFields::Refuse, |fields| read_connect(fields, CalledBy::Us));
        let connect = fields.require("connect", connect);
        let ring_timeout = fields.integer("ring_timeout_seconds", 1..=MAX_RING_SECONDS).value();
        let max_duration = fields.integer("max_duration_seconds", 1..=MAX_CALL_SECONDS).value();
        let headers = fields.read("headers", |value| headers_of(value, HeaderPolicy::Call)).value();
        let metadata = fields.metadata().value();
        let conversation_id = fields.read("conversation_id", uuid_of).value();
        if fields.boolean("record").value() == Some(true) {
            fields.refuse("record", "recording is not built yet; leave it out");
        }
        Some(Self {
            to: to?,
            from,
            trunk_id,
            connect: connect?,
            ring_timeout: Duration::from_secs(ring_timeout.unwrap_or(DEFAULT_RING_SECONDS)),
            max_duration: Duration::from_secs(max_duration.unwrap_or(DEFAULT_CALL_SECONDS)),
            headers: headers.unwrap_or_default(),
            metadata: metadata.unwrap_or_default(),
            conversation_id,
        })
    }
}

/// Longest ringing: networks give up after 2 to 4 minutes.
const MAX_RING_SECONDS: u64 = 300;
const DEFAULT_RING_SECONDS: u64 = 60;
/// A day: what lasts longer was forgotten.
const MAX_CALL_SECONDS: u64 = 86_400;
const DEFAULT_CALL_SECONDS: u64 = 14_400;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "JSON literals are written where they are used")]
    fn parse(body: Value) -> Result<DialRequest, Invalid> {
        DialRequest::parse(body.as_object().unwrap().clone())
    }

    fn refused(body: Value) -> Vec<String> {
        let Invalid(errors) = parse(body).unwrap_err();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn the_least_order_has_the_defaults() {
        let order = parse(json!({"to_number": "+1 202 555 0100", "connect": {"type": "echo"}})).unwrap();
        assert_eq!(order.to.number(), "+12025550100");
        assert_eq!((order.ring_timeout.as_secs(), order.max_duration.as_secs()), (60, 14_400));
    }

    #[test]
    fn names_each_wrong_field() {
        assert_eq!(refused(json!({})), ["to_number", "connect"]);
        let number = "+12025550100";
        for (connect, field) in [
            (json!({"type": "fax"}), "connect.type"),
            (json!({"type": "stream", "url": "wss://agent"}), "connect.type"),
            (json!({"type": "play"}), "connect.tone"),
            (json!({"type": "play", "tone": "9000"}), "connect.tone"),
            (json!({"type": "sip", "uri": "tel:1"}), "connect.uri"),
            (json!({"type": "number", "number": "911"}), "connect.number"),
            (json!({"type": "echo", "tone": "1000"}), "connect.tone"),
            (json!({}), "connect.type"),
            (json!("echo"), "connect"),
        ] {
            assert_eq!(refused(json!({"to_number": number, "connect": connect})), [field]);
        }
    }

    #[test]
    fn what_is_not_built_yet_is_refused_when_asked_for() {
        let body = |record: bool| json!({"to_number": "+12025550100", "connect": {"type": "echo"}, "record": record});
        assert_eq!(refused(body(true)), ["record"]);
        assert!(parse(body(false)).is_ok());
    }
}
