//! The queries of statistics.

use crate::http::model_schema;
use crate::http::problem::Problem;
use crate::http::query::{Parameters, direction, time};
use crate::service::{AnalyticsQuery, GroupBy, Period};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use std::str::FromStr;
use tandem_model::{CallDirection, Timestamp};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The time that statistics are about, as the OpenAPI document shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; they are read by Parameters")]
pub(crate) struct PeriodQuery {
    /// What began from here on, taken back to the whole hour: a time or a day of RFC 3339, in UTC where it has no offset. 30 days
    /// before the end unless it is sent.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-01-01T00:00:00Z")]
    start_date: Option<Timestamp>,
    /// And before here, taken on to the whole hour. Now unless it is sent.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-02-01T00:00:00Z")]
    end_date: Option<Timestamp>,
}

/// What analytics are about, as the OpenAPI document shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; they are read by Parameters")]
pub(crate) struct AnalyticsParameters {
    /// What to tell apart: one of `hour`, `day`, `trunk`, `prefix`, `cause`, or two with a comma; not `hour` with `day`, nor `prefix`
    /// with `cause`. Hours and days are of UTC.
    #[param(value_type = Option<String>, default = "day", example = "day,trunk")]
    group_by: Option<String>,
    /// Only this trunk; figures are then of attempts.
    trunk_id: Option<Uuid>,
    /// Only this direction.
    #[param(inline, value_type = Option<CallWay>)]
    direction: Option<CallDirection>,
    /// Only prefixes that begin with these digits.
    #[param(value_type = Option<String>, pattern = "^\\+?[1-9][0-9]{0,4}$", example = "44")]
    prefix: Option<String>,
    /// Only what ended so.
    #[param(value_type = Option<model_schema::HangupCause>)]
    cause: Option<String>,
    /// How to write the answer; without it the `Accept` header says so, and without that JSON.
    #[param(inline)]
    format: Option<Format>,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One document.
    Json,
    /// A head and a line for each part.
    Csv,
    /// A JSON document in a line for each part.
    Ndjson,
}

/// A direction that a call can have.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "documents what is read as a model type")]
pub(crate) enum CallWay {
    Inbound,
    Outbound,
}

/// What to answer, and how.
#[derive(Clone, Debug)]
pub(crate) struct AnalyticsRequest {
    pub(crate) query: AnalyticsQuery,
    pub(crate) format: Format,
}

impl<S: Sync> FromRequestParts<S> for Period {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts);
        let period = period(&mut parameters);
        parameters.finish(period)
    }
}

impl<S: Sync> FromRequestParts<S> for AnalyticsRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts);
        let period = period(&mut parameters);
        let Groups(group_by) = parameters.read("group_by", GROUPS_MESSAGE).unwrap_or(Groups(vec![GroupBy::Day]));
        let trunk = parameters.read("trunk_id", "must be a UUID");
        let direction =
            parameters.read_with("direction", |text| direction(text).map_err(|_| "must be inbound or outbound"));
        let prefix: Option<Digits> = parameters.read("prefix", "must be 1 to 5 digits, the first not 0");
        let cause = parameters.read("cause", "is none of the causes of docs/causes.md");
        let format = parameters.read("format", "must be json, csv or ndjson");
        let query =
            AnalyticsQuery { period, group_by, trunk, direction, prefix: prefix.map(|Digits(digits)| digits), cause };
        parameters.finish(Self { query, format: format.unwrap_or_else(|| accepted(&parts.headers)) })
    }
}

fn period(parameters: &mut Parameters) -> Period {
    Period { from: parameters.read_with("start_date", moment), to: parameters.read_with("end_date", moment) }
}

/// What a client accepts that takes no JSON.
fn accepted(headers: &HeaderMap) -> Format {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kinds: Vec<&str> = accept.split(',').map(|kind| kind.split(';').next().unwrap_or("").trim()).collect();
    if kinds.contains(&"application/json") {
        return Format::Json;
    }
    let first = kinds.iter().find_map(|kind| match *kind {
        "text/csv" => Some(Format::Csv),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Format::Ndjson),
        _ => None,
    });
    first.unwrap_or(Format::Json)
}

fn moment(text: &str) -> Result<Timestamp, &'static str> {
    time(text).map_err(|_| MOMENT_MESSAGE)
}

struct Groups(Vec<GroupBy>);

impl FromStr for Groups {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let group = |word: &str| GroupBy::ALL.into_iter().find(|group| group.as_str() == word.trim()).ok_or(());
        text.split(',').map(group).collect::<Result<_, _>>().map(Self)
    }
}

struct Digits(String);

impl FromStr for Digits {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // An unescaped `+` arrives as a space.
        let digits = text.trim_start().trim_start_matches('+');
        let is_prefix =
            (1..=LONGEST_PREFIX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_prefix && !digits.starts_with('0') { Ok(Self(digits.to_owned())) } else { Err(()) }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "ndjson" => Ok(Self::Ndjson),
            _ => Err(()),
        }
    }
}

const MOMENT_MESSAGE: &str = "must be a time of RFC 3339, as 2026-01-31T12:00:00Z, or a day";
const GROUPS_MESSAGE: &str = "names one of hour, day, trunk, prefix and cause, or two of them with a comma";
/// As long as the longest prefix that is told apart.
const LONGEST_PREFIX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_day_is_its_midnight_and_an_offset_may_lack_its_escape() {
        let moment = |text: &str| moment(text).map(|moment| moment.to_string());
        let midnight = Ok("2026-01-31T00:00:00.000000Z".to_owned());
        assert_eq!(moment("2026-01-31"), midnight);
        assert_eq!(moment("2026-01-31T01:00:00 01:00"), midnight);
        assert_eq!(moment("2026-01-31 00:00:00"), midnight);
        assert_eq!(moment("2026-01-31 05:00:00"), Ok("2026-01-31T05:00:00.000000Z".to_owned()));
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn json_is_written_unless_something_else_is_wanted() {
        let accepted = |accept: &'static str| {
            accepted(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(accepted("*/*"), Format::Json);
        assert_eq!(accepted("text/csv;q=0.9, */*"), Format::Csv);
        assert_eq!(accepted("application/x-ndjson"), Format::Ndjson);
        assert_eq!(accepted("text/csv, application/json"), Format::Json);
    }
}
