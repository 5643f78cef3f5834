use super::cursor::Marker;
use super::parameters::Parameters;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemCode};
use crate::service::{ListRequest, Page, Total};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tandem_store::{MAX_COUNTED, Part, SortKey};
use url::form_urlencoded;
use utoipa::IntoParams;
use utoipa::openapi::{HeaderBuilder, ObjectBuilder, OpenApi, RefOr, Type};

/// How much of a list is asked for, as the OpenAPI document shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; AskedList reads them")]
pub(crate) struct PageQuery {
    /// How many to pass over. Large lists are better read on by `cursor`.
    #[param(minimum = 0, maximum = 100_000, default = 0)]
    skip: Option<u32>,
    /// How many to give.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Where to go on, out of the `Link` header: follow its `next` rather than make one.
    #[param(max_length = 1024)]
    cursor: Option<String>,
    /// `exact` counts all rows, of a million at most, into `X-Total-Count`.
    #[param(pattern = "^exact$")]
    count: Option<String>,
}

/// What rows of a list are wanted and how they are sorted: the part of a query that is each list's own.
pub(crate) trait ListQuery: Sized + Send {
    /// What the use case takes.
    type Filter;

    fn read(sent: &mut Parameters) -> Self;

    /// What positions in the list are made of.
    fn key(&self) -> SortKey;

    /// Whether it is asked for from its other end.
    fn is_reversed(&self) -> bool;

    fn into_filter(self) -> Self::Filter;

    /// Why rows cannot be passed over by number, if they cannot.
    fn why_no_skip(&self) -> Option<&'static str> {
        None
    }

    /// Why rows are not counted, if they are not.
    fn why_no_count(&self) -> Option<&'static str> {
        None
    }
}

/// A list as it was asked for.
pub(crate) struct AskedList<Q: ListQuery> {
    pub(crate) request: ListRequest<Q::Filter>,
    path: String,
    /// What is kept from one page to the next.
    kept: Vec<(String, String)>,
    marker: Marker,
    warnings: Vec<String>,
}

/// All of a list, as it was asked for.
pub(crate) struct AskedExport<Q: ListQuery> {
    pub(crate) filter: Q::Filter,
}

impl<S: Sync, Q: ListQuery> FromRequestParts<S> for AskedExport<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut sent = Parameters::of(parts);
        let query = Q::read(&mut sent);
        sent.finish(Self { filter: query.into_filter() })
    }
}

/// A part of a list, with the headers that say where the rest is.
pub(crate) type List<T> = (HeaderMap, Json<Vec<T>>);

impl<S: Sync, Q: ListQuery> FromRequestParts<S> for AskedList<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(parts.uri.path().to_owned(), Parameters::of(parts))
    }
}

impl<Q: ListQuery> AskedList<Q> {
    fn read(path: String, mut sent: Parameters) -> Result<Self, Problem> {
        let query = Q::read(&mut sent);
        let filters: Vec<_> = sent.known().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let marker = Marker::new(&path, filters.iter().map(|(name, value)| (name.as_str(), value.as_str())));

        let skip = sent.read("skip", SKIP_MESSAGE).unwrap_or(0);
        if skip > MAX_SKIP {
            sent.refuse("skip", SKIP_MESSAGE);
        }
        let limit = sent.read("limit", LIMIT_MESSAGE).unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            sent.refuse("limit", LIMIT_MESSAGE);
        }
        let after = sent.read_with("cursor", |text| marker.position(text, query.key()));
        let count =
            sent.read_with("count", |text| if text == "exact" { Ok(()) } else { Err("must be exact") }).is_some();
        if skip > 0 {
            let why_not = if after.is_some() { Some("does not go with cursor") } else { query.why_no_skip() };
            if let Some(why_not) = why_not {
                sent.refuse("skip", why_not);
            }
        }
        if let Some(why_not) = query.why_no_count().filter(|_| count) {
            sent.refuse("count", why_not);
        }
        let paging = sent.known().filter(|(name, _)| ["limit", "count"].contains(name));
        let paging: Vec<_> = paging.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let kept = filters.into_iter().chain(paging).collect();
        let part = Part { after, skip, limit, reversed: query.is_reversed() };
        let warnings = sent.warnings()?;
        Ok(Self { request: ListRequest { filter: query.into_filter(), part, count }, path, kept, marker, warnings })
    }

    /// The answer: rows as the client sees them, and where the rest of the list is.
    pub(crate) fn answer<T, V>(&self, page: Page<T>, view: impl FnMut(T) -> V) -> Result<List<V>, Problem> {
        let headers = self.headers(&page)?;
        Ok((headers, Json(page.rows.into_iter().map(view).collect())))
    }

    /// As [`Self::answer`], for lists that are part of an object.
    pub(crate) fn headers<T>(&self, page: &Page<T>) -> Result<HeaderMap, Problem> {
        let mut headers = HeaderMap::new();
        let links = self.links(page);
        if !links.is_empty() {
            headers.insert(header::LINK, header_value(&links.join(", ")));
        }
        match page.total {
            None => {}
            Some(Total::Exact(total)) => drop(headers.insert(TOTAL_COUNT, total.into())),
            Some(Total::TooMany) => {
                let message = format!("there are more than {MAX_COUNTED}; narrow the list down, or do without");
                return Err(Problem::of_field(ProblemCode::InvalidField, "count", message));
            }
        }
        for warning in &self.warnings {
            headers.append(header::WARNING, header_value(&format!("299 - \"{}\"", quotable(warning))));
        }
        Ok(headers)
    }

    fn links<T>(&self, page: &Page<T>) -> Vec<String> {
        let Part { after, skip, limit, .. } = &self.request.part;
        let mut links = Vec::new();
        if let Some(next) = &page.next {
            links.push(self.link("next", Some(("cursor", self.marker.cursor(next)))));
        }
        if *skip > 0 {
            links.push(self.link("prev", Some(("skip", skip.saturating_sub(*limit).to_string()))));
        }
        if *skip > 0 || after.is_some() {
            links.push(self.link("first", None));
        }
        links
    }

    fn link(&self, relation: &str, place: Option<(&str, String)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.kept);
        query.extend_pairs(place);
        let query = query.finish();
        let separator = if query.is_empty() { "" } else { "?" };
        format!("<{}{separator}{query}>; rel=\"{relation}\"", self.path)
    }
}

/// Tells in the document what headers come with every list.
pub(crate) fn describe(document: &mut OpenApi) {
    let text = |description: &str| {
        HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).description(Some(description))
    };
    let link = text(
        "Where the rest is (RFC 8288): `next` unless this is the end, and `first` and `prev` where they are others.",
    );
    let total = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0))))
        .description(Some("How many rows there are, when `count=exact` asks for it."));
    let (link, total) = (link.build(), total.build());
    for item in document.paths.paths.values_mut() {
        let Some(operation) = &mut item.get else { continue };
        let is_list = operation
            .parameters
            .iter()
            .flatten()
            .any(|parameter| matches!(parameter, RefOr::T(known) if known.name == "cursor"));
        if let Some(RefOr::T(found)) = operation.responses.responses.get_mut("200").filter(|_| is_list) {
            found.headers.insert("Link".to_owned(), RefOr::T(link.clone()));
            found.headers.insert("X-Total-Count".to_owned(), RefOr::T(total.clone()));
        }
    }
}

/// Header values are made of what is escaped for a URL, of numbers, and of [`quotable`] text.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// What can stand between quotes in a header.
fn quotable(text: &str) -> String {
    text.chars().map(|c| if (c.is_ascii_graphic() && c != '"' && c != '\\') || c == ' ' { c } else { '?' }).collect()
}

/// Bounds of the wire contract.
const DEFAULT_LIMIT: u32 = 100;
/// Bounds of the wire contract.
const MAX_LIMIT: u32 = 1_000;
const LIMIT_MESSAGE: &str = "must be a whole number from 1 to 1000";
/// What is passed over is read all the same: as much as a part of a list looks at ten times.
const MAX_SKIP: u32 = 100_000;
const SKIP_MESSAGE: &str = "must be a whole number from 0 to 100000; further on, follow the Link header's next";
const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
