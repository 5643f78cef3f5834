use crate::service::EventFilter;
use crate::wire::access::strictly;
use crate::wire::fields::{Fields, Given, Invalid, string_of};
use serde_json::{Map, Value};
use tandem_model::{EventType, Timestamp};

/// A webhook endpoint to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewWebhookEndpoint {
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) event_types: Vec<EventType>,
    pub(crate) enabled: bool,
}

/// A change of a webhook endpoint; `None` leaves a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebhookEndpointEdit {
    pub(crate) url: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) event_types: Option<Vec<EventType>>,
    pub(crate) enabled: Option<bool>,
}

/// Since when events are to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WebhookReplay {
    pub(crate) since: Timestamp,
}

impl NewWebhookEndpoint {
    /// Reads the body of `POST /webhook-endpoints`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, Self::read)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let url = fields.text("url", 1..=MAX_URL_CHARACTERS);
        let url = fields.require("url", url);
        let description = fields.text("description", 0..=MAX_DESCRIPTION_CHARACTERS);
        let event_types = event_types(fields);
        let enabled = fields.boolean("enabled");
        let enabled = fields.not_null("enabled", enabled);
        Some(Self {
            url: url?,
            description: description.value().unwrap_or_default(),
            event_types: event_types.value().unwrap_or_default(),
            enabled: enabled.unwrap_or(true),
        })
    }
}

impl WebhookEndpointEdit {
    /// Reads the body of `PATCH /webhook-endpoints/{id}`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, |fields| Some(Self::read(fields)))
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        let url = fields.text("url", 1..=MAX_URL_CHARACTERS);
        let description = fields.text("description", 0..=MAX_DESCRIPTION_CHARACTERS);
        let event_types = event_types(fields);
        let enabled = fields.boolean("enabled");
        Self {
            url: fields.not_null("url", url),
            description: description.or_empty(),
            event_types: event_types.or_empty(),
            enabled: fields.not_null("enabled", enabled),
        }
    }
}

impl WebhookReplay {
    /// Reads the body of `POST /webhook-endpoints/{id}/replay`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, Self::read)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let since = fields.choice("since");
        fields.require("since", since).map(|since| Self { since })
    }
}

/// Types by their names, or all of a kind as `call.*`; none for all.
fn event_types(fields: &mut Fields) -> Given<Vec<EventType>> {
    let lists = fields.list("event_types", EventType::ALL.len(), |value| {
        let mut types = Vec::new();
        EventFilter::add(&mut types, string_of(value)?).map_err(|error| error.to_string())?;
        Ok(types)
    });
    match lists {
        Given::Absent => Given::Absent,
        Given::Null => Given::Null,
        Given::Value(lists) => {
            let mut types: Vec<EventType> = lists.into_iter().flatten().collect();
            types.sort_unstable();
            types.dedup();
            Given::Value(types)
        }
    }
}

/// As of the client that asks them.
const MAX_URL_CHARACTERS: usize = 2_048;
/// A few lines.
const MAX_DESCRIPTION_CHARACTERS: usize = 500;
