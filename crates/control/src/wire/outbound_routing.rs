use crate::wire::fields::{Fields, Given, integer_of, string_of};
use crate::wire::headers::{HeaderPolicy, headers_of};
use crate::wire::number::caller_id_of;
use serde_json::Value;
use std::time::Duration;
use tandem_model::OutboundRouting;

/// Reads the keys of `outbound_routing`. `None` only when an error was noted.
pub(crate) fn read_outbound_routing(fields: &mut Fields) -> Option<OutboundRouting> {
    let default = OutboundRouting::default();
    let prefixes = fields.list("prefixes", MAX_PREFIXES, prefix_of);
    let strip = fields.integer("strip", 0..=MAX_STRIP);
    let prepend = fields.read("prepend", prepend_of);
    let caller_id = fields.read("caller_id", |value| caller_id_of(string_of(value)?));
    let headers = fields.read("headers", |value| headers_of(value, HeaderPolicy::Trunk));
    let failover_on = fields.list("failover_on", MAX_FAILOVER_CODES, final_code_of);
    let weight = fields.integer("weight", 1..=MAX_WEIGHT);
    let max_cps = fields.integer("max_cps", 1..=MAX_CPS);
    let progress_timeout = fields.read("progress_timeout", progress_timeout_of);

    Some(OutboundRouting {
        prefixes: prefixes.value().unwrap_or_default(),
        strip: small(strip)?.unwrap_or(default.strip),
        prepend: prepend.value().unwrap_or_default(),
        caller_id: caller_id.value(),
        headers: headers.value().unwrap_or_default(),
        failover_on: failover_on.value().unwrap_or_default(),
        weight: small(weight)?.unwrap_or(default.weight),
        max_cps: small(max_cps)?,
        progress_timeout: progress_timeout.value().unwrap_or(default.progress_timeout),
    })
}

/// A number that was checked to be small, in the type that holds it.
fn small<T: TryFrom<u64>>(given: Given<u64>) -> Option<Option<T>> {
    given.value().map(T::try_from).transpose().ok()
}

fn prefix_of(value: &Value) -> Result<String, String> {
    let text = string_of(value)?;
    let digits = text.strip_prefix('+').unwrap_or(text);
    if (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err(format!("a prefix is 1 to {MAX_DIGITS} digits, with or without +, as +1202"))
    }
}

fn prepend_of(value: &Value) -> Result<String, String> {
    let text = string_of(value)?;
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.len() <= MAX_PREPEND && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*' || byte == b'#') {
        Ok(text.to_owned())
    } else {
        Err(format!("must be at most {MAX_PREPEND} digits, * and #, with or without +"))
    }
}

fn final_code_of(value: &Value) -> Result<u16, String> {
    let code = integer_of(value, &(300..=699))?;
    u16::try_from(code).map_err(|error| error.to_string())
}

fn progress_timeout_of(value: &Value) -> Result<Duration, String> {
    let wrong = || format!("must be a number of seconds from 1 to {MAX_PROGRESS_SECONDS}");
    let seconds = value.as_f64().filter(|seconds| (1.0..=MAX_PROGRESS_SECONDS).contains(seconds)).ok_or_else(wrong)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Prefixes of one trunk: more than any carrier's list of countries.
const MAX_PREFIXES: usize = 1_000;
/// Digits of a number (ITU-T E.164 §6.1).
const MAX_DIGITS: usize = 15;
/// [`OutboundRouting::strip`].
const MAX_STRIP: u64 = 20;
/// Longest known carrier access codes have 8 digits; with tech prefixes 20 is ample.
const MAX_PREPEND: usize = 20;
/// The final codes of 300 to 699 that RFCs define are fewer.
const MAX_FAILOVER_CODES: usize = 100;
/// [`OutboundRouting::weight`].
const MAX_WEIGHT: u64 = 1_000;
/// [`OutboundRouting::max_cps`].
const MAX_CPS: u64 = 1_000;
/// A proxy's timer C is at least 3 minutes (RFC 3261 §16.6): nobody waits longer.
const MAX_PROGRESS_SECONDS: f64 = 180.0;
