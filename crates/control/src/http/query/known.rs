use super::filters::METADATA;
use super::parameters::{MAX_ECHOED_NAME, proposal};
use crate::http::API_PATH;
use crate::http::problem::Problem;
use crate::wire::{FieldError, Invalid};
use axum::http::Method;
use std::collections::HashMap;
use url::form_urlencoded;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

/// The query parameters that each operation takes, as the document says.
///
/// What it does not say is refused before the operation begins: a `dry_run` or a filter that is misspelt must not be passed over, and the
/// trunk be deleted, or everything be shown.
pub(in crate::http) struct KnownParameters {
    /// By the path as the router matches it.
    paths: HashMap<String, Vec<Known>>,
}

struct Known {
    method: Method,
    names: Vec<String>,
    /// What names of a whole family begin with, which OpenAPI has no words for.
    family: Option<&'static str>,
}

impl KnownParameters {
    pub(in crate::http) fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter().map(|(path, item)| {
            let operations = operations(item).into_iter().filter(|(method, _)| !passes_strange_ones_over(method, path));
            let known = operations.map(|(method, operation)| Known {
                method,
                names: names(document, operation),
                family: is_below(path, "/calls/export").then_some(METADATA),
            });
            (path.clone(), known.collect())
        });
        Self { paths: paths.collect() }
    }

    /// Looks at a query of an operation, which is told by its method and its path as the router matched it. What is no operation is
    /// refused as that.
    ///
    /// # Errors
    /// A problem that names each parameter that the operation does not take, and the known one that comes nearest.
    pub(in crate::http) fn check(&self, method: &Method, path: &str, query: &str) -> Result<(), Problem> {
        // Whatever answers GET answers HEAD.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let operations = self.paths.get(path).map_or(&[][..], Vec::as_slice);
        let Some(known) = operations.iter().find(|known| known.method == *method) else { return Ok(()) };
        let mut errors: Vec<FieldError> = Vec::new();
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            let is_known = known.names.iter().any(|known| *known == name)
                || known.family.is_some_and(|family| name.starts_with(family));
            if !is_known {
                let message = format!("is no known parameter; {}", proposal(&name, &known.names));
                errors.push(FieldError { field: name.chars().take(MAX_ECHOED_NAME).collect(), message });
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Invalid(errors).into()) }
    }
}

/// Whether an operation passes over what it does not know: lists whose clients may be older than the rule, with a `Warning`; and what is
/// not of the API but for probes, scrapers and browsers, which add what they like.
fn passes_strange_ones_over(method: &Method, path: &str) -> bool {
    let is_api = path.starts_with(API_PATH);
    !is_api || *method == Method::GET && (is_below(path, "/calls") || is_below(path, "/trunks"))
}

fn is_below(path: &str, end: &str) -> bool {
    path.strip_prefix(API_PATH) == Some(end)
}

fn operations(item: &PathItem) -> Vec<(Method, &Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?))).collect()
}

fn names(document: &OpenApi, operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten().filter_map(|parameter| shown(document, parameter));
    parameters
        .filter(|parameter| parameter.parameter_in == ParameterIn::Query)
        .map(|known| known.name.clone())
        .collect()
}

fn shown<'a>(document: &'a OpenApi, parameter: &'a RefOr<Parameter>) -> Option<&'a Parameter> {
    match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(shared) => {
            let name = shared.ref_location.rsplit('/').next()?;
            match document.components.as_ref()?.parameters.get(name)? {
                RefOr::T(parameter) => Some(parameter),
                RefOr::Ref(_) => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openapi;

    #[test]
    fn what_an_operation_takes_passes_and_the_rest_is_named() {
        let known = KnownParameters::of(&openapi());
        let told = |method: Method, path: &str, query: &str| match known.check(&method, path, query) {
            Ok(()) => String::new(),
            Err(problem) => serde_json::to_value(problem.document("r")).unwrap()["detail"].as_str().unwrap().to_owned(),
        };
        let api = |path: &str| format!("{API_PATH}{path}");
        for (method, path, query) in [
            (Method::DELETE, "/trunks/{id}", "dry_run=true"),
            (Method::DELETE, "/trunks/{id}", ""),
            (Method::PUT, "/retention", "of=node&dry_run=true"),
            (Method::GET, "/calls/export", "metadata.customer=Zo%C3%AB&format=csv"),
            (Method::GET, "/calls", "bogus=1"),
            (Method::GET, "/trunks", "bogus=1"),
            (Method::HEAD, "/trunks", "bogus=1"),
            (Method::PATCH, "/trunks", "bogus=1"),
            (Method::GET, "/nothing", "bogus=1"),
        ] {
            assert_eq!(told(method.clone(), &api(path), query), "", "{method} {path}?{query}");
        }
        for (method, path, query, expected) in [
            (Method::DELETE, "/trunks/{id}", "dryrun=true", "dryrun: is no known parameter; did you mean dry_run?"),
            (Method::GET, "/trunks/{id}", "x=1", "x: is no known parameter; the operation takes none"),
            (Method::HEAD, "/trunks/{id}", "x=1", "x: is no known parameter; the operation takes none"),
            (Method::PUT, "/retention", "off=node", "off: is no known parameter; did you mean of?"),
            (Method::GET, "/alerts", "metadata.a=b", "metadata.a: is no known parameter; known: "),
            (Method::POST, "/trunks", "a=1&b=2", "a: is no known parameter; known: dry_run; b: is no known parameter"),
        ] {
            let told = told(method.clone(), &api(path), query);
            assert!(told.starts_with(expected), "{method} {path}?{query}: {told}");
        }
    }
}
