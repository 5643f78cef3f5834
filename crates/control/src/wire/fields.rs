use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use utoipa::ToSchema;

/// One field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Its path in the body, such as `outbound_routing.weight`, or its name in the query.
    pub(crate) field: String,
    /// What is wrong with it, and what would be right.
    pub(crate) message: String,
}

/// Every field of a request that is wrong. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of the request's fields are wrong", .0.len())]
pub(crate) struct Invalid(pub(crate) Vec<FieldError>);

impl Invalid {
    /// One wrong field.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![FieldError { field: field.into(), message: message.into() }])
    }
}

/// What was read, and what the reader would like to tell about it.
#[derive(Clone, Debug)]
pub(crate) struct Parsed<T> {
    pub(crate) value: T,
    pub(crate) warnings: Vec<String>,
}

/// What becomes of fields that nobody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    /// They are passed over, with a warning: endpoints that older clients speak.
    Warn,
    /// They are errors that name the nearest known one: our own endpoints.
    Refuse,
}

/// A field as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Given<T> {
    /// Not there, or there and wrong (which is noted).
    Absent,
    /// `null`.
    Null,
    /// A value.
    Value(T),
}

impl<T> Given<T> {
    /// The value; `null` counts as absent.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// For a field that `null` clears: `Some(None)` is "clear it".
    pub(crate) fn nullable(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }

    /// For a field whose cleared state is its empty value.
    pub(crate) fn or_empty(self) -> Option<T>
    where
        T: Default,
    {
        self.nullable().map(Option::unwrap_or_default)
    }
}

/// Reads a JSON object field by field, collects everything that is wrong, and knows which fields nobody asked for.
///
/// It has no `Debug`: bodies hold passwords.
pub(crate) struct Fields {
    values: Map<String, Value>,
    /// `outbound_routing.` for a nested object.
    prefix: String,
    unknown: UnknownFields,
    asked: Vec<&'static str>,
    errors: Vec<FieldError>,
    warnings: Vec<String>,
}

impl Fields {
    pub(crate) fn new(values: Map<String, Value>, unknown: UnknownFields) -> Self {
        Self { values, prefix: String::new(), unknown, asked: Vec::new(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// Reads a field with `read`, whose error is a sentence.
    pub(crate) fn read<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, E>,
    ) -> Given<T> {
        self.asked.push(name);
        match self.values.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => match read(&value) {
                Ok(value) => Given::Value(value),
                Err(error) => {
                    self.refuse(name, error.to_string());
                    Given::Absent
                }
            },
        }
    }

    /// As [`Fields::read`], for texts that clients with forms clear by sending an empty string.
    pub(crate) fn read_or_blank<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, E>,
    ) -> Given<T> {
        if let Some(value) = self.values.get_mut(name).filter(|value| value.as_str() == Some("")) {
            *value = Value::Null;
        }
        self.read(name, read)
    }

    /// A field that must be there. `None` only when an error was noted.
    pub(crate) fn require<T>(&mut self, name: &'static str, given: Given<T>) -> Option<T> {
        match given {
            Given::Value(value) => Some(value),
            Given::Null => {
                self.refuse(name, "must not be null");
                None
            }
            Given::Absent => {
                if !self.is_refused(name) {
                    self.refuse(name, "is required");
                }
                None
            }
        }
    }

    /// A field that may be missing but not `null`.
    pub(crate) fn not_null<T>(&mut self, name: &'static str, given: Given<T>) -> Option<T> {
        match given {
            Given::Value(value) => Some(value),
            Given::Absent => None,
            Given::Null => {
                self.refuse(name, "must not be null");
                None
            }
        }
    }

    /// A text of so many characters.
    pub(crate) fn text(&mut self, name: &'static str, length: RangeInclusive<usize>) -> Given<String> {
        self.read(name, |value| text_of(value, &length))
    }

    /// One of the spellings of an enum.
    pub(crate) fn choice<T>(&mut self, name: &'static str) -> Given<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.read(name, |value| string_of(value)?.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// A whole number. `10.0` is one, as JSON knows only numbers.
    pub(crate) fn integer(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Given<u64> {
        self.read(name, |value| integer_of(value, &range))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Given<bool> {
        self.read(name, |value| value.as_bool().ok_or("must be true or false"))
    }

    /// An object that is kept as it is.
    pub(crate) fn object(&mut self, name: &'static str) -> Given<Map<String, Value>> {
        self.read(name, |value| value.as_object().cloned().ok_or("must be an object"))
    }

    /// The client's own object, of at most [`MAX_METADATA`] bytes.
    pub(crate) fn metadata(&mut self) -> Given<Map<String, Value>> {
        self.read("metadata", |value| {
            let object = value.as_object().ok_or_else(|| "must be an object".to_owned())?;
            if value.to_string().len() > MAX_METADATA {
                return Err(format!("must have at most {MAX_METADATA} bytes as JSON"));
            }
            Ok::<_, String>(object.clone())
        })
    }

    /// A list of at most `most` items, each read with `item`; a wrong item is named by its place.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        most: usize,
        item: impl Fn(&Value) -> Result<T, String>,
    ) -> Given<Vec<T>> {
        self.read(name, |value| {
            let items = value.as_array().ok_or_else(|| "must be a list".to_owned())?;
            if items.len() > most {
                return Err(format!("must have at most {most} items"));
            }
            let numbered = items.iter().enumerate();
            numbered.map(|(place, value)| item(value).map_err(|error| format!("item {place}: {error}"))).collect()
        })
    }

    /// Reads a nested object with a reader of its own, whose errors and warnings become ours.
    pub(crate) fn nested<T>(
        &mut self,
        name: &'static str,
        unknown: UnknownFields,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Given<T> {
        let values = match self.object(name) {
            Given::Absent => return Given::Absent,
            Given::Null => return Given::Null,
            Given::Value(values) => values,
        };
        let mut inner = Self { prefix: format!("{}{name}.", self.prefix), ..Self::new(values, unknown) };
        let value = read(&mut inner);
        inner.note_unknown();
        self.errors.append(&mut inner.errors);
        self.warnings.append(&mut inner.warnings);
        value.map_or(Given::Absent, Given::Value)
    }

    /// Notes that a field is wrong.
    pub(crate) fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: format!("{}{name}", self.prefix), message: message.into() });
    }

    /// A field as it was sent, before it is read.
    pub(crate) fn peek(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// What is left of a nested object, for readers that keep unknown keys.
    pub(crate) fn remaining(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Takes what is left, so that it does not count as unknown.
    pub(crate) fn take_remaining(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.values)
    }

    /// The errors, or the warnings with what was read. `value` is `None` only when an error was noted.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<Parsed<T>, Invalid> {
        self.note_unknown();
        match value {
            Some(value) if self.errors.is_empty() => Ok(Parsed { value, warnings: self.warnings }),
            Some(_) | None => Err(Invalid(self.errors)),
        }
    }

    /// The fields that a reader knows, in order of their names.
    #[cfg(test)]
    pub(crate) fn known<T>(read: impl FnOnce(&mut Self) -> T) -> Vec<&'static str> {
        let mut fields = Self::new(Map::new(), UnknownFields::Warn);
        read(&mut fields);
        fields.asked.sort_unstable();
        fields.asked
    }

    fn is_refused(&self, name: &str) -> bool {
        let path = format!("{}{name}", self.prefix);
        self.errors.iter().any(|error| error.field == path || error.field.starts_with(&format!("{path}.")))
    }

    fn note_unknown(&mut self) {
        for name in std::mem::take(&mut self.values).keys() {
            let path = format!("{}{}", self.prefix, shortened(name));
            match self.unknown {
                UnknownFields::Warn => self.warnings.push(format!("{path} is no known field and was passed over")),
                UnknownFields::Refuse => {
                    let message = match nearest(name, &self.asked) {
                        Some(known) => format!("is no known field; did you mean {known}?"),
                        None => format!("is no known field; known: {}", self.asked.join(", ")),
                    };
                    self.errors.push(FieldError { field: path, message });
                }
            }
        }
    }
}

/// A string value.
pub(crate) fn string_of(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "must be a string".to_owned())
}

/// A string of so many characters, without NUL, which PostgreSQL cannot store.
pub(crate) fn text_of(value: &Value, length: &RangeInclusive<usize>) -> Result<String, String> {
    let text = string_of(value)?;
    if !length.contains(&text.chars().count()) {
        return Err(match *length.start() {
            0 => format!("must have at most {} characters", length.end()),
            least => format!("must have {least} to {} characters", length.end()),
        });
    }
    if text.contains('\0') {
        return Err("must not contain NUL".to_owned());
    }
    Ok(text.to_owned())
}

/// A whole number in a range.
pub(crate) fn integer_of(value: &Value, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let wrong = || format!("must be a whole number from {} to {}", range.start(), range.end());
    let number = value.as_u64().or_else(|| whole(value.as_f64()?)).ok_or_else(wrong)?;
    if range.contains(&number) { Ok(number) } else { Err(wrong()) }
}

fn whole(number: f64) -> Option<u64> {
    // Below 2^53 every whole number has exactly one float, so its text is its value.
    let exact = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
    if exact { format!("{number:.0}").parse().ok() } else { None }
}

/// The known name that was probably meant.
pub(crate) fn nearest<'a, S: AsRef<str>>(name: &str, known: &'a [S]) -> Option<&'a str> {
    let scored = known.iter().map(AsRef::as_ref).map(|known| (strsim::jaro_winkler(name, known), known));
    scored.filter(|(score, _)| *score >= LIKENESS).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}

fn shortened(name: &str) -> String {
    name.chars().take(MAX_ECHOED_NAME).collect()
}

/// Jaro-Winkler likeness from which a name is worth proposing; below it proposals confuse more than they help.
const LIKENESS: f64 = 0.8;
/// Most bytes of a call's metadata, written as JSON without spaces: it is kept in memory while the call lives, and it is part of each
/// of its records that waits for the database.
const MAX_METADATA: usize = 16 * 1024;
/// Longest part of an unknown field's name that is repeated to the client.
const MAX_ECHOED_NAME: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "JSON literals are written where they are used")]
    fn fields(value: Value, unknown: UnknownFields) -> Fields {
        Fields::new(value.as_object().unwrap().clone(), unknown)
    }

    #[test]
    fn collects_every_wrong_field() {
        let mut fields = fields(json!({"name": "", "port": 0, "on": "yes"}), UnknownFields::Warn);
        let name = fields.text("name", 1..=5);
        let name = fields.require("name", name);
        fields.integer("port", 1..=65_535);
        fields.boolean("on");
        let missing = fields.text("missing", 1..=5);
        fields.require("missing", missing);
        let Invalid(errors) = fields.finish(name).unwrap_err();
        let named: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(named, ["name", "port", "on", "missing"]);
    }

    #[test]
    fn passes_unknown_fields_over_or_names_the_nearest() {
        let body = json!({"ring_timeout_secs": 5});
        let mut liberal = fields(body.clone(), UnknownFields::Warn);
        liberal.integer("ring_timeout_seconds", 1..=300);
        assert_eq!(liberal.finish(Some(())).unwrap().warnings.len(), 1);
        let mut strict = fields(body, UnknownFields::Refuse);
        strict.integer("ring_timeout_seconds", 1..=300);
        let Invalid(errors) = strict.finish(Some(())).unwrap_err();
        assert!(errors[0].message.contains("ring_timeout_seconds"), "{errors:?}");
    }

    #[test]
    fn takes_whole_numbers_however_they_are_written() {
        let range = 0..=u64::MAX;
        assert_eq!(integer_of(&json!(10), &range), Ok(10));
        assert_eq!(integer_of(&json!(10.0), &range), Ok(10));
        for wrong in [json!(10.5), json!(-1), json!("10"), json!(1e300), json!(true)] {
            assert!(integer_of(&wrong, &range).is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_of_nested_objects_name_their_path() {
        let mut fields = fields(json!({"outer": {"inner": 5}}), UnknownFields::Warn);
        fields.nested("outer", UnknownFields::Warn, |inner| inner.boolean("inner").value());
        let Invalid(errors) = fields.finish(Some(())).unwrap_err();
        assert_eq!(errors[0].field, "outer.inner");
    }
}
