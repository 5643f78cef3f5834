//! The pages under `/docs`: plain HTML that is made here once and needs no script, no other host and no internet.

mod errors;
mod html;
mod reference;
mod schema;

use crate::http::pages::html::Html;
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The pages, which are open to everybody: they say nothing of any account. They are no part of the API, and so not in its document.
pub(super) fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/docs", get(reference::read))
        .route("/docs/errors", get(errors::list))
        .route("/docs/errors/{code}", get(errors::page))
        .route("/docs/style.css", get(style))
}

/// A whole page.
struct Page(&'static str);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], GUARDS, self.0).into_response()
    }
}

/// A whole page around its content.
fn whole(title: &str, content: &Html) -> Html {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"stylesheet\" href=\"/docs/style.css\">\n<title>");
    html.text(title).raw("</title>\n</head>\n<body>\n");
    html.raw("<nav><a href=\"/docs\">Tandem API</a> <a href=\"/docs/errors\">Errors</a> <a href=\"/openapi.json\">openapi.json</a></nav>\n<main>\n");
    html.append(content).raw("</main>\n</body>\n</html>\n");
    html
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], GUARDS, include_str!("style.css"))
}

/// What a browser is told of every page: it loads nothing but our style, runs nothing, and is put into no frame.
const GUARDS: [(header::HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // They change with the program only.
    (header::CACHE_CONTROL, "public, max-age=300"),
];
