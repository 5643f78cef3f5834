use serde::Serialize;
use serde_json::value::RawValue;
use tandem_model::{Event, EventType, Timestamp};
use uuid::Uuid;

/// An event as it is told: by streams and by webhooks alike.
#[derive(Serialize)]
struct Envelope<'a> {
    id: Uuid,
    r#type: EventType,
    timestamp: Timestamp,
    user_id: Uuid,
    sequence: u64,
    subject: &'a str,
    /// `None` when it is damaged.
    data: Option<&'a RawValue>,
}

/// The JSON text of an event, in one line.
pub(crate) fn envelope(event: &Event) -> String {
    let envelope = Envelope {
        id: event.id.as_uuid(),
        r#type: event.kind,
        timestamp: event.at,
        user_id: event.account_id.as_uuid(),
        sequence: event.sequence,
        subject: &event.subject,
        data: serde_json::from_str(event.data.as_str()).ok(),
    };
    serde_json::to_string(&envelope).expect("an envelope has text keys only")
}
