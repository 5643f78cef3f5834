use tandem_model::{Event, EventType};

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    /// Of these types; of all when empty. In the order of their declaration, each once.
    pub(crate) types: Vec<EventType>,
    /// About this, or what is below it: `calls/0199…`, or `calls`.
    pub(crate) subject: Option<String>,
}

/// A text that names no types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{unknown:?} is no type of event; the nearest is {nearest}")]
pub(crate) struct ParseEventFilterError {
    unknown: String,
    nearest: &'static str,
}

impl EventFilter {
    /// Adds the types that a text names: one of them, all of a kind as `call.*`, or all as `*`.
    pub(crate) fn add(types: &mut Vec<EventType>, text: &str) -> Result<(), ParseEventFilterError> {
        let is_named = |kind: &&EventType| match text.strip_suffix('*') {
            Some("") => true,
            Some(prefix) => prefix.ends_with('.') && kind.as_str().starts_with(prefix),
            None => kind.as_str() == text,
        };
        let named: Vec<EventType> = EventType::ALL.iter().filter(is_named).copied().collect();
        if named.is_empty() {
            let scored = EventType::ALL.iter().map(|kind| (strsim::jaro_winkler(text, kind.as_str()), kind.as_str()));
            let nearest =
                scored.max_by(|(one, _), (other, _)| one.total_cmp(other)).map_or("*", |(_, nearest)| nearest);
            return Err(ParseEventFilterError { unknown: text.chars().take(MAX_QUOTED).collect(), nearest });
        }
        types.extend(named);
        types.sort_unstable();
        types.dedup();
        Ok(())
    }

    pub(crate) fn matches(&self, event: &Event) -> bool {
        let is_about = |wanted: &String| match event.subject.strip_prefix(wanted.trim_end_matches('/')) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        (self.types.is_empty() || self.types.contains(&event.kind)) && self.subject.as_ref().is_none_or(is_about)
    }
}

/// Characters of a wrong word that are said again.
const MAX_QUOTED: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::{AccountId, EventId, JsonText, Timestamp};

    fn types(text: &str) -> Result<Vec<EventType>, ParseEventFilterError> {
        let mut types = Vec::new();
        EventFilter::add(&mut types, text).map(|()| types)
    }

    #[test]
    fn names_a_type_a_kind_or_all() {
        assert_eq!(types("call.answered"), Ok(vec![EventType::CallAnswered]));
        assert!(types("trunk.*").unwrap().contains(&EventType::TrunkHealthChanged));
        assert!(types("trunk.*").unwrap().iter().all(|kind| kind.as_str().starts_with("trunk.")));
        assert_eq!(types("*"), Ok(EventType::ALL.to_vec()));
        let told = types("call.answerd").unwrap_err().to_string();
        assert_eq!(told, "\"call.answerd\" is no type of event; the nearest is call.answered");
        for wrong in ["", "call", "c*", "call.**", "CALL.ANSWERED", "call.answered "] {
            assert!(types(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_subject_stands_for_what_is_below_it() {
        let event = Event {
            id: EventId::new(Timestamp::from_unix_micros(0), [0; 10]),
            account_id: AccountId::new(Timestamp::from_unix_micros(0), [0; 10]),
            sequence: 1,
            kind: EventType::CallAnswered,
            subject: "calls/0199".to_owned(),
            at: Timestamp::from_unix_micros(0),
            data: JsonText::new(&serde_json::Map::new()),
        };
        let about = |subject: &str| EventFilter { types: Vec::new(), subject: Some(subject.to_owned()) };
        for wanted in ["calls", "calls/", "calls/0199"] {
            assert!(about(wanted).matches(&event), "{wanted}");
        }
        for other in ["call", "trunks", "calls/019", "calls/0199/x"] {
            assert!(!about(other).matches(&event), "{other}");
        }
        assert!(!EventFilter { types: vec![EventType::CallRinging], subject: None }.matches(&event));
    }
}
