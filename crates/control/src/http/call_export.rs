use crate::Services;
use crate::http::call_view::CallView;
use crate::http::caller::Standing;
use crate::http::csv;
use crate::http::problem::Problem;
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{CallExportQuery, CallFilterQuery, CallFormat, CallsToExport};
use crate::service::{CallExport, Caller};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;
use std::io;
use std::sync::Arc;
use tandem_store::DatabaseError;

/// All logged calls, or what the filters leave of them, as CSV or as a JSON object a line.
///
/// It is written as fast as it is taken, however many there are. An answer that breaks off, without its last chunk, is not all of them: the
/// database went away, or the key was revoked.
/// In CSV a text that a spreadsheet would take for a formula has an apostrophe before it; numbers that begin with `+` have none.
#[utoipa::path(
    get,
    path = "/calls/export",
    operation_id = "export_calls",
    tag = "calls",
    params(CallExportQuery, CallFilterQuery),
    responses(
        (status = 200, description = "The calls: a `CallLog` a line, or CSV (RFC 4180) with a head.", content(
            (CallView = "application/x-ndjson"),
            (String = "text/csv"),
        )),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn export(
    State(services): State<Services>,
    caller: Caller,
    standing: Standing,
    asked: CallsToExport,
) -> Result<Response, Problem> {
    let writer = Writer { format: asked.format, currency: Arc::clone(&services.currency) };
    let mut export = services.calls.export(&caller, asked.filter, asked.oldest_first);
    // The first part is asked for before there is a status, so that a database that is away is told as such.
    let first = writer.first(&mut export).await?;
    let parts = stream::unfold((Some(first), export, writer), async |(ready, mut export, writer)| {
        let part = match ready {
            Some(part) => Ok(part),
            None => writer.next(&mut export).await.transpose()?,
        };
        Some((part, (None, export, writer)))
    });
    let kind = match asked.format {
        CallFormat::Csv => csv::CSV,
        CallFormat::Ndjson => "application/x-ndjson",
    };
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(standing.guard(caller, parts))).into_response())
}

/// Writes calls in the format that was asked for.
struct Writer {
    format: CallFormat,
    currency: Arc<str>,
}

/// Why an export breaks off.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("a call could not be written: {0}")]
    Write(#[from] io::Error),
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Database(error) => error.into(),
            ExportError::Write(error) => {
                tracing::error!(%error, "a call could not be exported");
                Self::internal()
            }
        }
    }
}

impl Writer {
    /// The head, if the format has one, and the first calls, if there are any.
    async fn first(&self, export: &mut CallExport) -> Result<Bytes, ExportError> {
        let head = match self.format {
            CallFormat::Csv => csv::lines([COLUMNS])?,
            CallFormat::Ndjson => Vec::new(),
        };
        let calls = self.next(export).await?.unwrap_or_default();
        Ok([head.as_slice(), &calls].concat().into())
    }

    async fn next(&self, export: &mut CallExport) -> Result<Option<Bytes>, ExportError> {
        let Some(calls) = export.next().await? else { return Ok(None) };
        let views = calls.into_iter().map(|call| serde_json::to_value(CallView::new(call, &self.currency)));
        let values = views.collect::<Result<Vec<Value>, _>>().map_err(io::Error::from)?;
        let text = match self.format {
            CallFormat::Csv => csv::lines(values.iter().map(|call| COLUMNS.map(|column| cell(&call[column]))))?,
            CallFormat::Ndjson => {
                let mut lines = Vec::new();
                for call in &values {
                    serde_json::to_writer(&mut lines, call).map_err(io::Error::from)?;
                    lines.push(b'\n');
                }
                lines
            }
        };
        Ok(Some(text.into()))
    }
}

/// A value as a cell shows it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => csv::text(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The columns of CSV, by the names of the call log.
const COLUMNS: [&str; 26] = [
    "id",
    "call_id",
    "direction",
    "status",
    "from_number",
    "to_number",
    "to_uri",
    "started_at",
    "answered_at",
    "ended_at",
    "duration_seconds",
    "duration_ms",
    "hangup_cause",
    "sip_status",
    "hung_up_by",
    "sip_trunk_id",
    "conversation_id",
    "carried_by",
    "quality_score",
    "codec_used",
    "sip_call_id",
    "remote_ip",
    "cost",
    "credits_used",
    "currency",
    "metadata",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_is_no_formula() {
        for (value, shown) in [
            (json!("=HYPERLINK(\"http://x\")"), "'=HYPERLINK(\"http://x\")"),
            (json!("+12025550100"), "+12025550100"),
            (json!(-0.5), "-0.5"),
            (json!(null), ""),
            (json!({"a": "=1"}), "{\"a\":\"=1\"}"),
        ] {
            assert_eq!(cell(&value), shown);
        }
    }
}
