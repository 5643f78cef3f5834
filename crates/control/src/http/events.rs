//! `GET /events`: server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use crate::Services;
use crate::http::caller::bearer;
use crate::http::event_view::EventView;
use crate::http::problem::{Problem, ProblemCode, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::Parameters;
use crate::service::{Caller, EventFilter, EventsWanted, OpenEventsError, Told, envelope};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::convert::Infallible;
use std::fmt::Write as _;
use tandem_model::Secret;

/// The query of a stream of events, as the OpenAPI document shows it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; they are read by Parameters")]
pub(crate) struct EventsQuery {
    /// Types, with commas between them: `call.answered`, `trunk.*`. Without it all types.
    r#type: Option<String>,
    /// Only what is about this, or about what is below it: `calls`, `calls/0199…`.
    subject: Option<String>,
    /// The `id` of the last event that is known, for clients that cannot send the header `Last-Event-ID`.
    last_event_id: Option<u64>,
    /// `false` ends the stream after what is kept.
    #[param(default = true)]
    follow: Option<bool>,
}

/// The header in which a client says what it knows.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the field is documentation")]
pub(crate) struct LastEventId {
    /// The `id` of the last event that is known; what came after it is told first.
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<u64>,
}

/// What is asked for, and with which bearer.
pub(crate) struct EventsRequest {
    wanted: EventsWanted,
    bearer: Secret,
}

impl<S: Sync> FromRequestParts<S> for EventsRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts);
        let mut types = Vec::new();
        for text in parameters.all("type") {
            for kind in text.split(',').map(str::trim) {
                if let Err(error) = EventFilter::add(&mut types, kind) {
                    parameters.refuse("type", error.to_string());
                }
            }
        }
        let subject = parameters.text("subject");
        let queried = parameters.read("last_event_id", WHOLE_NUMBER);
        let after = match parts.headers.get(LAST_EVENT_ID) {
            None => queried,
            Some(value) => {
                let read = value.to_str().ok().and_then(|text| text.trim().parse().ok());
                if read.is_none() {
                    parameters.refuse("Last-Event-ID", WHOLE_NUMBER);
                }
                read
            }
        };
        let follow = parameters.read("follow", "must be true or false").unwrap_or(true);
        let wanted = EventsWanted { after, filter: EventFilter { types, subject }, follow };
        let bearer = Secret::new(bearer(&parts.headers).unwrap_or_default());
        parameters.finish(Self { wanted, bearer })
    }
}

/// What happens in the account, as it happens.
///
/// A stream of server-sent events: the `event` of each is its type, its `data` the event. Beside events there are `gap` (events
/// between two ids are kept no longer, or were not written because nobody listened) and, at the end, `goodbye` with a reason. A client
/// that was cut off goes on with the header `Last-Event-ID`.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "stream_events",
    tag = "events",
    params(EventsQuery, LastEventId),
    responses(
        (status = 200, description = "The stream. The `data` of an event is as the schema says.", body = EventView,
            content_type = "text/event-stream"),
        Unauthorized,
        InvalidFields,
        (status = 429, description = "Too many streams are open.", body = ProblemDocument,
            content_type = "application/problem+json"),
        NoAnswer,
    )
)]
pub(crate) async fn stream(
    State(services): State<Services>,
    caller: Caller,
    EventsRequest { wanted, bearer }: EventsRequest,
) -> Result<Response, Problem> {
    let told = services.events.open(caller, bearer, wanted).await?;
    let first = Bytes::from_static(FIRST.as_bytes());
    let frames = stream::unfold((Some(first), told), async |(first, mut told)| {
        let frame = match first {
            Some(first) => first,
            None => frame(&told.recv().await?).into(),
        };
        Some((Ok::<_, Infallible>(frame), (None, told)))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would keep events back until its buffer is full.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

/// What is sent for it.
fn frame(told: &Told) -> String {
    let mut frame = String::new();
    // Writing to a string does not fail. JSON has no line ends.
    let _ = match told {
        Told::Event(event) => {
            write!(frame, "id: {}\nevent: {}\ndata: {}\n\n", event.sequence, event.kind, envelope(event))
        }
        Told::Gap { after, until } => {
            write!(frame, "id: {until}\nevent: gap\ndata: {{\"after\":{after},\"until\":{until}}}\n\n")
        }
        // Without data it is no event, but the client notes the id: what was filtered out is not read again.
        Told::Beat(position) => write!(frame, ": heartbeat\nid: {position}\n\n"),
        Told::Goodbye(reason) => write!(frame, "event: goodbye\ndata: {{\"reason\":\"{}\"}}\n\n", reason.as_str()),
    };
    frame
}

impl From<OpenEventsError> for Problem {
    fn from(error: OpenEventsError) -> Self {
        match error {
            OpenEventsError::AccountFull | OpenEventsError::NodeFull => {
                Self::new(ProblemCode::StreamLimit, format!("{error} of events open; close one of them"))
            }
            OpenEventsError::Database(error) => error.into(),
        }
    }
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const WHOLE_NUMBER: &str = "must be the id of an event: a whole number from 0";
/// How long clients wait before they connect again.
const FIRST: &str = "retry: 2000\n\n";
