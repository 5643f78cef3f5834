use crate::http::problem::Problem;
use crate::service::LogPage;
use crate::wire::{FieldError, Invalid};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::str::FromStr;
use utoipa::IntoParams;
use uuid::Uuid;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) skip: u32,
    pub(crate) limit: u32,
}

/// The query of a list, as the OpenAPI document shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; PageQuery is read by Parameters")]
pub(crate) struct PageQuery {
    /// How many to pass over.
    #[param(minimum = 0, default = 0)]
    skip: Option<u32>,
    /// How many to give.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// The query of a log, as the OpenAPI document shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the field is documentation; it is read by Parameters")]
pub(crate) struct TrunkFilterQuery {
    /// Only what came or went over this trunk.
    trunk_id: Option<Uuid>,
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts);
        let page = parameters.page();
        parameters.finish(page)
    }
}

impl<S: Sync> FromRequestParts<S> for LogPage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts);
        let Page { skip, limit } = parameters.page();
        let trunk_id = parameters.read("trunk_id", "must be a UUID");
        parameters.finish(Self { trunk_id, skip, limit })
    }
}

/// Reads query parameters and collects everything that is wrong. Unknown ones are passed over: caches and proxies add some.
struct Parameters {
    values: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Parameters {
    fn of(parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or("");
        Self { values: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(), errors: Vec::new() }
    }

    fn page(&mut self) -> Page {
        let skip = self.read("skip", "must be a whole number from 0").unwrap_or(0);
        let limit = self.read("limit", LIMIT_MESSAGE).unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            self.refuse("limit", LIMIT_MESSAGE);
        }
        Page { skip, limit }
    }

    fn read<T: FromStr>(&mut self, name: &str, message: &str) -> Option<T> {
        let (_, text) = self.values.iter().find(|(known, _)| known == name)?;
        let read = text.parse().ok();
        if read.is_none() {
            self.refuse(name, message);
        }
        read
    }

    fn refuse(&mut self, name: &str, message: &str) {
        self.errors.push(FieldError { field: name.to_owned(), message: message.to_owned() });
    }

    fn finish<T>(self, value: T) -> Result<T, Problem> {
        if self.errors.is_empty() { Ok(value) } else { Err(Invalid(self.errors).into()) }
    }
}

/// Bounds of the wire contract.
const DEFAULT_LIMIT: u32 = 100;
/// Bounds of the wire contract.
const MAX_LIMIT: u32 = 1_000;
const LIMIT_MESSAGE: &str = "must be a whole number from 1 to 1000";
