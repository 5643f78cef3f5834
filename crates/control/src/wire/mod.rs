//! Parsers of request bodies: JSON objects become model types here, and nowhere else.

mod address;
mod advanced_config;
mod call;
mod dial;
mod fields;
mod headers;
mod money;
mod number;
mod outbound_routing;
mod trunk;

pub(crate) use address::next_hop_address;
pub(crate) use call::{CallChange, NewCall};
pub(crate) use dial::DialRequest;
pub(crate) use fields::{FieldError, Invalid, Parsed};
pub(crate) use money::money_number;
pub(crate) use trunk::{NewTrunk, TrunkChange, capability_warnings};
