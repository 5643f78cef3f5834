use crate::Services;
use crate::http::idempotency;
use axum::Extension;
use tandem_model::{Permission, Permissions};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::UtoipaMethodRouter;

/// What an endpoint asks of its caller: all of it. Without one nobody is let in: see [`Caller`](crate::service::Caller)'s extractor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs(pub(super) Permissions);

/// Registers endpoints that ask for a permission, and writes that into the document.
pub(super) fn needs(permission: Permission, endpoints: UtoipaMethodRouter<Services>) -> UtoipaMethodRouter<Services> {
    needs_all(&[permission], endpoints)
}

/// The same for endpoints that ask for several permissions.
pub(super) fn needs_all(
    permissions: &[Permission],
    (schemas, mut paths, methods): UtoipaMethodRouter<Services>,
) -> UtoipaMethodRouter<Services> {
    let names: Vec<&str> = permissions.iter().map(|permission| permission.as_str()).collect();
    let lacks = match names.as_slice() {
        [name] => format!("the permission `{name}`"),
        names => format!("one of the permissions `{}`", names.join("` and `")),
    };
    let mut has_post = false;
    for item in paths.paths.values_mut() {
        has_post |= item.post.is_some();
        for operation in operations(item) {
            operation.security = Some(vec![SecurityRequirement::new("bearer", names.clone())]);
            let description = format!("The caller lacks {lacks}, or may not act for the account.");
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let forbidden = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build();
            operation.responses.responses.entry("403".to_owned()).or_insert(RefOr::T(forbidden));
        }
    }
    let methods = if has_post { methods.layer(axum::middleware::from_fn(idempotency::once)) } else { methods };
    (schemas, paths, methods.layer(Extension(Needs(Permissions::of(permissions)))))
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

const PROBLEM_JSON: &str = "application/problem+json";
