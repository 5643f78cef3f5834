use crate::wire::fields::{Fields, Invalid, UnknownFields, string_of};
use crate::wire::number::target_of;
use serde_json::{Map, Value};
use tandem_model::DialTarget;

/// A check of a trunk as a client asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    /// Beside the probe, a short call.
    pub(crate) call: Option<TestCall>,
}

/// A short call over a trunk, to see whether it carries audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestCall {
    /// A number; never one for help.
    pub(crate) to: DialTarget,
}

impl HealthCheck {
    /// Reads the body of `POST /trunks/{id}/health-check`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Refuse);
        let check = Self::read(&mut fields);
        fields.finish(Some(check)).map(|parsed| parsed.value)
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        let call = fields.read("call", |value| match target_of(string_of(value)?)? {
            to @ DialTarget::Number(_) => Ok(TestCall { to }),
            DialTarget::Emergency(_) => Err("must not be an emergency number".to_owned()),
            DialTarget::Uri(_) => Err("must be a telephone number".to_owned()),
        });
        Self { call: call.value() }
    }
}
