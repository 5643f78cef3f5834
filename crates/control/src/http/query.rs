use crate::http::problem::Problem;
use crate::service::{AuditQuery, LogPage};
use crate::wire::{FieldError, Invalid};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::str::FromStr;
use tandem_store::AuditFilter;
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

/// The query of the audit log, as the OpenAPI document shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; they are read by Parameters")]
pub(crate) struct AuditFilterQuery {
    /// Whose log: `account`, or `node` for what belongs to no account, which only the operator's own account may read.
    #[param(default = "account")]
    log: Option<String>,
    /// Only what this key or user did.
    actor_id: Option<Uuid>,
    /// Only this action, such as `trunk.update`.
    #[param(max_length = 100)]
    action: Option<String>,
    /// Only what was done to the thing of this id.
    #[param(max_length = 100)]
    resource_id: Option<String>,
    /// Only what was done at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// Only what was done before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for AuditQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts);
        let Page { skip, limit } = parameters.page();
        let of_node = match parameters.read::<String>("log", "").as_deref() {
            None | Some("account") => false,
            Some("node") => true,
            Some(_) => {
                parameters.refuse("log", "must be account or node");
                false
            }
        };
        let moment = "must be a moment in RFC 3339, such as 2026-01-31T12:00:00Z";
        let filter = AuditFilter {
            actor: parameters.read("actor_id", "must be a UUID"),
            action: parameters.text("action"),
            resource: parameters.text("resource_id"),
            from: parameters.read("from", moment),
            until: parameters.read("until", moment),
        };
        parameters.finish(Self { of_node, filter, skip, limit })
    }
}

/// Reads query parameters and collects everything that is wrong. Unknown ones are passed over: caches and proxies add some.
pub(super) struct Parameters {
    values: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Parameters {
    pub(super) fn of(parts: &Parts) -> Self {
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

    /// Every value that a name has.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.values.iter().filter(|(known, _)| known == name).map(|(_, text)| text.clone()).collect()
    }

    pub(super) fn read<T: FromStr>(&mut self, name: &str, message: &str) -> Option<T> {
        let (_, text) = self.values.iter().find(|(known, _)| known == name)?;
        let read = text.parse().ok();
        if read.is_none() {
            self.refuse(name, message);
        }
        read
    }

    /// A text that may be looked for: not too long, and such as a database can hold.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let text: String = self.read(name, "")?;
        if text.chars().count() > MAX_TEXT || text.contains('\0') {
            self.refuse(name, "must be at most 100 characters, none of them NUL");
        }
        Some(text)
    }

    pub(super) fn refuse(&mut self, name: &str, message: &str) {
        self.errors.push(FieldError { field: name.to_owned(), message: message.to_owned() });
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, Problem> {
        if self.errors.is_empty() { Ok(value) } else { Err(Invalid(self.errors).into()) }
    }
}

/// Longer than everything that is looked for.
const MAX_TEXT: usize = 100;
/// Bounds of the wire contract.
const DEFAULT_LIMIT: u32 = 100;
/// Bounds of the wire contract.
const MAX_LIMIT: u32 = 1_000;
const LIMIT_MESSAGE: &str = "must be a whole number from 1 to 1000";
