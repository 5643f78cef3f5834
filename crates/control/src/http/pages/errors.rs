use crate::http::pages::html::Html;
use crate::http::pages::{Page, whole};
use crate::http::problem::{Problem, ProblemCode};
use axum::extract::Path;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What can go wrong, all on one page.
pub(super) async fn list() -> Page {
    static LIST: LazyLock<String> = LazyLock::new(list_page);
    Page(&LIST)
}

/// What one code means: the `type` of its documents leads here.
pub(super) async fn page(Path(code): Path<String>) -> Result<Page, Problem> {
    static PAGES: LazyLock<HashMap<&'static str, String>> =
        LazyLock::new(|| ProblemCode::ALL.iter().map(|code| (code.as_str(), code_page(*code))).collect());
    let no_such = || Problem::new(ProblemCode::UnknownPath, "no error has this code; /docs/errors lists them");
    PAGES.get(code.as_str()).map(|page| Page(page)).ok_or_else(no_such)
}

fn list_page() -> String {
    let mut html = Html::default();
    html.raw("<h1>Errors</h1>\n<p>Every error is a problem document (RFC 9457): <code>application/problem+json</code> with a stable <code>code</code>, ");
    html.raw("whose page is the document's <code>type</code>. Its <code>request_id</code> is also in the header ");
    html.raw("<code>x-request-id</code> and in the node's log.</p>\n");
    html.raw("<table>\n<tr><th>status</th><th>code</th><th>what it means</th></tr>\n");
    for code in ProblemCode::ALL {
        html.raw("<tr><td>").text(code.status().as_str()).raw("</td><td><a href=\"").text(code.page()).raw("\"><code>");
        html.text(code.as_str()).raw("</code></a></td><td>").text(code.title()).raw("</td></tr>\n");
    }
    html.raw("</table>\n");
    whole("Errors", &html).into_string()
}

fn code_page(code: ProblemCode) -> String {
    let mut html = Html::default();
    html.raw("<h1>").text(code.title()).raw("</h1>\n<p><code>").text(code.as_str()).raw("</code>, status ");
    html.text(&code.status().to_string()).raw("</p>\n<h2>What it means</h2>\n<p>").prose(code.meaning());
    html.raw("</p>\n<h2>What to do</h2>\n<p>").prose(code.advice());
    html.raw("</p>\n<h2>An example</h2>\n<pre>");
    let document = Problem::example(code).document(EXAMPLE_REQUEST);
    html.text(&serde_json::to_string_pretty(&document).unwrap_or_default()).raw("</pre>\n");
    whole(code.title(), &html).into_string()
}

const EXAMPLE_REQUEST: &str = "6f1c0f9e-2f0b-4c52-9d2f-5a3f6d1c7e11";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// The same for readers without a node.
    fn markdown() -> String {
        let mut text = "# Errors\n\nMade from the catalogue of the API by a test of `tandem-control`; `UPDATE_DOCS=1` writes it anew. \
                        A node shows the same at `/docs/errors`.\nEvery error is a problem document (RFC 9457) whose `type` is the page \
                        of its `code`; codes do not change.\n"
            .to_owned();
        let mut status = None;
        for code in ProblemCode::ALL {
            if status != Some(code.status()) {
                status = Some(code.status());
                let _ = write!(
                    text,
                    "\n## {}\n\n| code | what it means | what to do |\n| --- | --- | --- |\n",
                    code.status()
                );
            }
            let cell = |text: &str| text.replace('|', "\\|");
            let _ = writeln!(text, "| `{}` | {} | {} |", code.as_str(), cell(code.meaning()), cell(code.advice()));
        }
        text
    }

    #[test]
    fn the_document_of_errors_is_the_one_that_is_checked_in() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(markdown() == checked_in, "docs/errors.md is not up to date: run this test with UPDATE_DOCS=1");
    }

    #[test]
    fn codes_are_listed_by_status_and_once() {
        assert!(ProblemCode::ALL.is_sorted_by_key(|code| code.status()));
        for (place, code) in ProblemCode::ALL.iter().enumerate() {
            assert!(ProblemCode::ALL[..place].iter().all(|other| other.as_str() != code.as_str()), "{code:?}");
            let texts = [code.title(), code.meaning(), code.advice(), code.example()];
            assert!(texts.iter().all(|text| !text.trim().is_empty()), "{code:?}");
            assert!(code.meaning().ends_with('.') && code.advice().ends_with('.'), "{code:?}");
            assert_eq!(code.meaning().matches('`').count() % 2 + code.advice().matches('`').count() % 2, 0, "{code:?}");
        }
    }
}
