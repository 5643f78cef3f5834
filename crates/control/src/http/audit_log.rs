use crate::Services;
use crate::http::audit_view::AuditEntryView;
use crate::http::caller::Standing;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{AskedExport, AskedList, AuditFilterQuery, AuditQuery, AuditSortQuery, List, PageQuery};
use crate::service::{Caller, ReadAuditError};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tandem_store::DatabaseError;

/// Who did what, newest first. What was done to live calls may be there a moment later than it was done.
#[utoipa::path(
    get,
    path = "/audit-log",
    operation_id = "list_audit_log",
    tag = "audit",
    params(AuditFilterQuery, AuditSortQuery, PageQuery),
    responses(
        (status = 200, description = "The entries.", body = Vec<AuditEntryView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<AuditQuery>,
) -> Result<List<AuditEntryView>, Problem> {
    let page = services.audit_log.list(&caller, &asked.request).await?;
    asked.answer(page, AuditEntryView::from)
}

/// The whole log, or what the filters leave of it, oldest first: one JSON object a line.
#[utoipa::path(
    get,
    path = "/audit-log/export",
    operation_id = "export_audit_log",
    tag = "audit",
    params(AuditFilterQuery),
    responses(
        (status = 200, description = "The entries, an `AuditEntry` a line. An answer that breaks off is not all of them.",
            body = AuditEntryView, content_type = "application/x-ndjson"),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn export(
    State(services): State<Services>,
    caller: Caller,
    standing: Standing,
    asked: AskedExport<AuditQuery>,
) -> Result<Response, Problem> {
    let mut export = services.audit_log.export(&caller, asked.filter)?;
    // The first page is asked for before there is a status, so that a database that is away is told as such.
    let first = lines(export.next().await?);
    let pages = stream::unfold((Some(first), export), async |(ready, mut export)| {
        let page = match ready {
            Some(page) => page,
            None => match export.next().await {
                Ok(entries) => lines(entries),
                Err(error) => return Some((Err::<Bytes, DatabaseError>(error), (None, export))),
            },
        };
        (!page.is_empty()).then_some((Ok(page), (None, export)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(standing.guard(caller, pages)))
        .into_response())
}

fn lines(entries: Vec<tandem_store::AuditEntry>) -> Bytes {
    let mut lines = Vec::new();
    for entry in entries {
        // Only values with text keys are in it, so that nothing can fail.
        if serde_json::to_writer(&mut lines, &AuditEntryView::from(entry)).is_ok() {
            lines.push(b'\n');
        }
    }
    lines.into()
}

impl From<ReadAuditError> for Problem {
    fn from(error: ReadAuditError) -> Self {
        match error {
            ReadAuditError::Forbidden(forbidden) => Self::new(ProblemCode::Forbidden, forbidden.to_string()),
            ReadAuditError::Database(error) => error.into(),
        }
    }
}
