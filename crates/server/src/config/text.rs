use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tandem_model::{Money, Secret};
use tandem_store::{DatabaseUrl, ParseDatabaseUrlError};

/// Nothing where a path must be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("names no file")]
pub(super) struct PathError;

/// Not a currency.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a currency code of ISO 4217, as USD")]
pub(super) struct CurrencyError(String);

/// Not what a credit is worth.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not what a credit is worth: an amount above 0 and up to {MAX_CREDIT_UNITS}, as 0.01")]
pub(super) struct CreditValueError(String);

/// Not a time to drain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of seconds from 0 to {MAX_DRAIN_SECONDS}")]
pub(super) struct DrainTimeoutError(String);

/// Not a rate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither off nor a number of requests a second from 1 to {MAX_RATE}")]
pub(super) struct RateLimitError(String);

/// Why a text is no API key. The text is not repeated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiKeyError {
    #[error(
        "has fewer than {MIN_KEY_LENGTH} characters and could be guessed; take a long random one, as openssl rand -hex 32 makes"
    )]
    Short,
    #[error("has more than {MAX_KEY_LENGTH} characters")]
    Long,
    #[error("may hold letters, digits and -._~+/= only, so that it fits an Authorization header (RFC 6750 §2.1)")]
    Character,
}

pub(super) fn path(text: &str) -> Result<PathBuf, PathError> {
    if text.is_empty() { Err(PathError) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn database_url(text: &str) -> Result<DatabaseUrl, ParseDatabaseUrlError> {
    DatabaseUrl::from_str(text)
}

pub(super) fn currency(text: &str) -> Result<String, CurrencyError> {
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code { Ok(text.to_owned()) } else { Err(CurrencyError(text.to_owned())) }
}

pub(super) fn credit_value(text: &str) -> Result<Money, CreditValueError> {
    let most = Money::from_micros(MAX_CREDIT_UNITS * 1_000_000);
    match Money::parse_decimal(text) {
        Ok(value) if value > Money::ZERO && value <= most => Ok(value),
        Ok(_) | Err(_) => Err(CreditValueError(text.to_owned())),
    }
}

pub(super) fn drain_timeout(text: &str) -> Result<Duration, DrainTimeoutError> {
    match text.parse::<u64>() {
        Ok(seconds) if seconds <= MAX_DRAIN_SECONDS => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(DrainTimeoutError(text.to_owned())),
    }
}

/// `None` is no limit.
pub(super) fn rate_limit(text: &str) -> Result<Option<NonZeroU32>, RateLimitError> {
    match text.parse::<NonZeroU32>() {
        Ok(rate) if rate.get() <= MAX_RATE => Ok(Some(rate)),
        Err(_) if text == "off" => Ok(None),
        Ok(_) | Err(_) => Err(RateLimitError(text.to_owned())),
    }
}

pub(super) fn api_key(text: &str) -> Result<Secret, ApiKeyError> {
    if text.len() < MIN_KEY_LENGTH {
        Err(ApiKeyError::Short)
    } else if text.len() > MAX_KEY_LENGTH {
        Err(ApiKeyError::Long)
    } else if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)) {
        Ok(Secret::new(text))
    } else {
        Err(ApiKeyError::Character)
    }
}

/// A credit of more would make `credits_used` of most calls 1.
const MAX_CREDIT_UNITS: i64 = 1_000;
/// A day: calls may last four hours, and an operator who waits for longer would rather stop them.
const MAX_DRAIN_SECONDS: u64 = 86_400;
/// More than a node can answer.
const MAX_RATE: u32 = 1_000_000;
/// The store takes keys of these lengths.
const MIN_KEY_LENGTH: usize = 32;
const MAX_KEY_LENGTH: usize = 512;
