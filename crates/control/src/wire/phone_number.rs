use crate::wire::connect::{CalledBy, read_connect};
use crate::wire::fields::{Fields, Invalid, UnknownFields, string_of, text_of};
use crate::wire::number::number_of;
use serde_json::{Map, Value};
use tandem_model::{Connect, E164, TrunkId};
use tandem_store::NumberChange;

/// A number to be added.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewNumber {
    pub(crate) number: E164,
    pub(crate) label: Option<String>,
    pub(crate) connect: Connect,
    pub(crate) trunk_id: Option<TrunkId>,
    pub(crate) metadata: Map<String, Value>,
}

/// A change of a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NumberEdit(pub(crate) NumberChange);

impl NewNumber {
    /// Reads the body of `POST /numbers`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Refuse);
        let new = Self::read(&mut fields);
        fields.finish(new).map(|parsed| parsed.value)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let number = fields.read("number", |value| number_of(string_of(value)?));
        let number = fields.require("number", number);
        let connect = fields.nested("connect", UnknownFields::Refuse, |fields| read_connect(fields, CalledBy::Peer));
        let connect = fields.require("connect", connect);
        let label = fields.read_or_blank("label", label_of).value();
        let trunk_id = fields.choice("sip_trunk_id").value();
        let metadata = fields.metadata().value().unwrap_or_default();
        Some(Self { number: number?, label, connect: connect?, trunk_id, metadata })
    }
}

impl NumberEdit {
    /// Reads the body of `PATCH /numbers/{id}`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Refuse);
        let edit = Self::read(&mut fields);
        fields.finish(Some(edit)).map(|parsed| parsed.value)
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        let connect = fields.nested("connect", UnknownFields::Refuse, |fields| read_connect(fields, CalledBy::Peer));
        Self(NumberChange {
            label: fields.read_or_blank("label", label_of).nullable(),
            connect: fields.not_null("connect", connect),
            trunk_id: fields.choice("sip_trunk_id").nullable(),
            metadata: fields.metadata().or_empty(),
        })
    }
}

fn label_of(value: &Value) -> Result<String, String> {
    let label = text_of(value, &(1..=MAX_LABEL))?;
    if label.chars().any(char::is_control) {
        return Err("must have no control characters".to_owned());
    }
    Ok(label)
}

/// As names are elsewhere.
const MAX_LABEL: usize = 100;
