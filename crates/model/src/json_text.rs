use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A value as JSON text: written once where it changes, then recorded, stored and handed on without being read. Cheap to copy.
pub struct JsonText<T> {
    text: Arc<str>,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize> JsonText<T> {
    /// The text of a value.
    ///
    /// # Panics
    /// When the value cannot be JSON: a map whose keys are no texts. The types that are kept so have none.
    #[must_use]
    pub fn new(value: &T) -> Self {
        let text = serde_json::to_string(value).expect("only values with text keys are kept as JSON");
        Self::from_stored(text)
    }
}

impl<T: DeserializeOwned> JsonText<T> {
    /// The value.
    ///
    /// # Errors
    /// The text is not what it should be: it was stored by a newer build, or is damaged.
    pub fn read(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.text)
    }
}

impl<T> JsonText<T> {
    /// A text that was stored; whether it can be read shows when it is.
    #[must_use]
    pub fn from_stored(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), of: PhantomData }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<T> Clone for JsonText<T> {
    fn clone(&self) -> Self {
        Self { text: Arc::clone(&self.text), of: PhantomData }
    }
}

impl<T> PartialEq for JsonText<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> fmt::Debug for JsonText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// In JSON the value itself; in other formats its text.
impl<T> Serialize for JsonText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_str(&self.text);
        }
        let value: &RawValue = serde_json::from_str(&self.text).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for JsonText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return String::deserialize(deserializer).map(Self::from_stored);
        }
        let value = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self::from_stored(value.get()))
    }
}

/// For a field with an object of a client: as in [`JsonText`], the object itself in JSON, and its text in other formats.
pub(crate) mod object {
    use super::{Deserialize, Deserializer, Error, JsonText, Map, Serialize, Serializer, Value};

    pub(crate) fn serialize<S: Serializer>(object: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return object.serialize(serializer);
        }
        JsonText::new(object).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
        if deserializer.is_human_readable() {
            return Map::deserialize(deserializer);
        }
        JsonText::deserialize(deserializer)?.read().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_value_in_json_and_the_same_text_again() {
        let text = JsonText::new(&vec![1, 2]);
        assert_eq!(serde_json::to_string(&text).unwrap(), "[1,2]");
        let back: JsonText<Vec<i32>> = serde_json::from_str("[1,2]").unwrap();
        assert_eq!((&back, back.read().unwrap()), (&text, vec![1, 2]));
        assert!(JsonText::<Vec<i32>>::from_stored("{}").read().is_err());
    }
}
