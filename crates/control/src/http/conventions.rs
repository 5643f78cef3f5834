//! What holds for every operation, written into the OpenAPI document in one place.

use crate::http::API_PATH;
use crate::http::admission::is_exempt;
use crate::http::etag::has_versions;
use crate::http::idempotency::only_asks;
use axum::http::Method;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Schema};

/// Adds the parameters, headers and answers that operations share.
pub(super) fn write_into(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for (name, header) in headers() {
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
    components.parameters.insert("IdempotencyKey".to_owned(), RefOr::T(idempotency_key()));
    components.parameters.insert("IfMatch".to_owned(), RefOr::T(if_match()));
    components.parameters.insert("DryRun".to_owned(), RefOr::T(dry_run()));
    components.responses.insert("RateLimited".to_owned(), RefOr::T(rate_limited()));
    components.responses.insert("UnknownParameter".to_owned(), RefOr::T(problem(UNKNOWN_PARAMETER)));
    let request_timeout = problem("The body did not come in time: `request_timeout`.");
    components.responses.insert("RequestTimeout".to_owned(), RefOr::T(request_timeout));
    for (path, item) in &mut document.paths.paths {
        let is_limited = !is_exempt(path);
        let PathItem { get, put, post, delete, patch, .. } = item;
        if let Some(operation) = post.as_mut().filter(|operation| needs_key(operation) && !only_asks(path)) {
            takes_idempotency_key(operation);
        }
        for operation in [&mut *put, post, delete, patch].into_iter().flatten() {
            if needs_key(operation) {
                can_be_tried(operation);
            }
        }
        for (method, operation) in
            [(Method::PUT, &mut *put), (Method::PATCH, &mut *patch), (Method::DELETE, &mut *delete)]
        {
            if let Some(operation) = operation.as_mut().filter(|_| has_versions(&method, path)) {
                heeds_if_match(operation);
            }
        }
        let shows_version =
            [Method::PUT, Method::PATCH, Method::DELETE].iter().any(|method| has_versions(method, path));
        for operation in [&mut *get, put, patch].into_iter().flatten().filter(|_| shows_version) {
            if let Some(RefOr::T(answer)) = operation.responses.responses.get_mut("200") {
                shows(answer, "ETag", "ETag");
            }
        }
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            may_leave_out_body(operation);
            if operation.request_body.is_some() {
                also(operation, "408", "RequestTimeout", "Or the body did not come in time: `request_timeout`.");
            }
            every_operation(operation, is_limited);
            if path.starts_with(API_PATH) {
                let unknown = || RefOr::Ref(Ref::new("#/components/responses/UnknownParameter"));
                operation.responses.responses.entry("422".to_owned()).or_insert_with(unknown);
            }
        }
    }
}

/// A body that may be left out is not one that may be `null`: clients are generated that would send just that.
fn may_leave_out_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(choice))) = &content.schema
            && let Some(named) = choice.items.iter().find(|item| matches!(item, RefOr::Ref(_)))
        {
            content.schema = Some(named.clone());
            body.required = Some(Required::False);
        }
    }
}

fn every_operation(operation: &mut Operation, is_limited: bool) {
    if is_limited {
        also(operation, "429", "RateLimited", "Or there are too many requests: `rate_limited`, with `Retry-After`.");
    }
    for (status, answer) in &mut operation.responses.responses {
        let RefOr::T(answer) = answer else { continue };
        if status.starts_with('2') {
            shows(answer, "x-request-id", "RequestId");
            if is_limited {
                shows(answer, "RateLimit", "RateLimit");
                shows(answer, "RateLimit-Policy", "RateLimitPolicy");
            }
        }
        if status == "429" || status == "503" {
            shows(answer, "Retry-After", "RetryAfter");
        }
    }
}

fn takes_idempotency_key(operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(RefOr::Ref(Ref::new("#/components/parameters/IdempotencyKey")));
    let in_use = "The same request is being carried out under its `Idempotency-Key`: `idempotency_key_in_use`.";
    describes(operation, "409", in_use);
    let reused = "Or the `Idempotency-Key` was sent with another request: `idempotency_key_reused`.";
    describes(operation, "422", reused);
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer
            && status.starts_with('2')
        {
            shows(answer, "Idempotency-Replayed", "IdempotencyReplayed");
        }
    }
}

fn heeds_if_match(operation: &mut Operation) {
    operation.parameters.get_or_insert_default().push(RefOr::Ref(Ref::new("#/components/parameters/IfMatch")));
    describes(operation, "412", "It has another `ETag` than `If-Match` names: `precondition_failed`.");
    if let Some(RefOr::T(answer)) = operation.responses.responses.get_mut("412") {
        shows(answer, "ETag", "ETag");
    }
}

fn if_match() -> Parameter {
    ParameterBuilder::new()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The `ETag` of what was read: only that is changed, and nothing that somebody has changed meanwhile.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String))))
        .build()
}

fn can_be_tried(operation: &mut Operation) {
    operation.parameters.get_or_insert_default().push(RefOr::Ref(Ref::new("#/components/parameters/DryRun")));
    describes(operation, "422", "Or `dry_run` is neither `true` nor `false`: `invalid_field`.");
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer
            && status.starts_with('2')
        {
            shows(answer, "Dry-Run", "DryRun");
        }
    }
}

fn dry_run() -> Parameter {
    ParameterBuilder::new()
        .name("dry_run")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(
            "With `true` everything is checked and answered as usual, with the header `Dry-Run: true`, and nothing is changed, placed, probed \
             or written into the audit log.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::Boolean))))
        .build()
}

/// Whether callers say who they are: a key is of somebody.
fn needs_key(operation: &Operation) -> bool {
    let security = serde_json::to_value(&operation.security).unwrap_or_default();
    security.pointer("/0/bearer").is_some()
}

/// Adds an answer that is the same for all, or to the description of one that the operation has already.
fn also(operation: &mut Operation, status: &str, shared: &str, addition: &str) {
    match operation.responses.responses.get_mut(status) {
        Some(RefOr::T(answer)) => append(answer, addition),
        Some(RefOr::Ref(_)) => {}
        None => {
            let shared = RefOr::Ref(Ref::new(format!("#/components/responses/{shared}")));
            operation.responses.responses.insert(status.to_owned(), shared);
        }
    }
}

/// Adds a problem, or to the description of the answer that the operation has already.
fn describes(operation: &mut Operation, status: &str, description: &str) {
    match operation.responses.responses.get_mut(status) {
        Some(RefOr::T(answer)) => append(answer, description),
        Some(RefOr::Ref(_)) => {}
        None => {
            let answer = problem(description.trim_start_matches("Or "));
            operation.responses.responses.insert(status.to_owned(), RefOr::T(answer));
        }
    }
}

fn append(answer: &mut Response, addition: &str) {
    if !answer.description.is_empty() {
        answer.description.push(' ');
    }
    answer.description.push_str(addition);
}

fn shows(answer: &mut Response, name: &str, shared: &str) {
    let shared = Ref::new(format!("#/components/headers/{shared}"));
    answer.headers.insert(name.to_owned(), RefOr::Ref(shared));
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

/// Where nothing else is a 422: elsewhere it is among the parameters that are wrong.
const UNKNOWN_PARAMETER: &str = "The operation does not take a query parameter that was sent: `invalid_field`.";

fn rate_limited() -> Response {
    let mut answer = problem(
        "There are too many requests: `rate_limited`; or, if this is a change, too many at once: `too_many_writes`.",
    );
    shows(&mut answer, "Retry-After", "RetryAfter");
    shows(&mut answer, "RateLimit", "RateLimit");
    shows(&mut answer, "RateLimit-Policy", "RateLimitPolicy");
    answer
}

fn idempotency_key() -> Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Names this request, for 24 hours: a repeat with the same key is not carried out again and is answered as the first was. \
             A random UUID does.",
        ))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::String))
                .min_length(Some(1))
                .max_length(Some(255))
                .pattern(Some("^[!-~]+$")),
        ))
        .build()
}

fn headers() -> [(&'static str, Header); 7] {
    [
        ("RequestId", text_header("The request, as in the log: yours, when it was sent and fits.")),
        (
            "RateLimit",
            text_header(
                "What is left (`r`), and in how many seconds all of it will be there again (`t`): draft-ietf-httpapi-ratelimit-headers-10.",
            ),
        ),
        ("RateLimitPolicy", text_header("How many requests (`q`) may be sent in how many seconds (`w`).")),
        ("DryRun", text_header("`true` when nothing was changed, as `dry_run=true` has asked.")),
        (
            "ETag",
            text_header("The version of what can be changed, for `If-Match`. What the switch measures does not count."),
        ),
        ("RetryAfter", text_header("After how many seconds to try again.")),
        (
            "IdempotencyReplayed",
            text_header("`true` when this is the answer to an earlier request with the same `Idempotency-Key`."),
        ),
    ]
}

fn text_header(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String))))
        .description(Some(description))
        .build()
}
