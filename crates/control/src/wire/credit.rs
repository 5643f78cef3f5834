use crate::wire::fields::{Fields, Invalid, UnknownFields};
use crate::wire::money::signed_money_of;
use serde_json::{Map, Value};
use tandem_model::Money;

/// Credit to be added, or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreditGrant {
    /// Not zero.
    pub(crate) amount: Money,
    pub(crate) note: String,
}

/// Whether calls are to be paid for by credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreditSetting {
    pub(crate) is_on: bool,
}

impl CreditGrant {
    /// Reads the body of `POST /accounts/{id}/credits`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Refuse);
        let value = Self::read(&mut fields);
        fields.finish(value).map(|parsed| parsed.value)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let amount = fields.read("amount", |value| match signed_money_of(value) {
            Ok(Money::ZERO) => Err("must not be zero".to_owned()),
            amount => amount,
        });
        let amount = fields.require("amount", amount);
        let note = fields.text("note", 1..=MAX_NOTE_CHARACTERS);
        let note = fields.require("note", note);
        Some(Self { amount: amount?, note: note? })
    }
}

impl CreditSetting {
    /// Reads the body of `PATCH /accounts/{id}/credits`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Refuse);
        let value = Self::read(&mut fields);
        fields.finish(value).map(|parsed| parsed.value)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let is_on = fields.read("credit_control", |value| match value.as_str() {
            Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(_) | None => Err("must be \"on\" or \"off\""),
        });
        Some(Self { is_on: fields.require("credit_control", is_on)? })
    }
}

/// As long as a line of an invoice, with room for its number.
pub(crate) const MAX_NOTE_CHARACTERS: usize = 200;
