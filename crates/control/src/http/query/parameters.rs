use crate::http::problem::Problem;
use crate::wire::{FieldError, Invalid, nearest};
use axum::http::request::Parts;
use std::fmt::Display;
use std::str::FromStr;

/// Reads query parameters, collects everything that is wrong, and knows which of them nobody asked for.
pub(crate) struct Parameters {
    values: Vec<(String, String)>,
    asked: Vec<&'static str>,
    /// What names of whole families of parameters begin with, as `metadata.`.
    families: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Parameters {
    pub(in crate::http) fn of(parts: &Parts) -> Self {
        Self::new(parts.uri.query().unwrap_or(""))
    }

    pub(in crate::http) fn new(query: &str) -> Self {
        let values = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { values, asked: Vec::new(), families: Vec::new(), errors: Vec::new() }
    }

    /// Reads the first value of a parameter with `read`, whose error is a sentence.
    pub(in crate::http) fn read_with<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.asked.push(name);
        let (_, text) = self.values.iter().find(|(known, _)| known == name)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    /// A value of a type that reads itself.
    pub(in crate::http) fn parse<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.read_with(name, str::parse)
    }

    /// A text that may be looked for: not too long, and such as a database can hold.
    pub(in crate::http) fn text(&mut self, name: &'static str) -> Option<String> {
        self.read_with(name, |text| match text.chars().count() <= MAX_TEXT && !text.contains('\0') {
            true => Ok(text.to_owned()),
            false => Err("must be at most 100 characters, none of them NUL"),
        })
    }

    /// Every value that a name has.
    pub(in crate::http) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.asked.push(name);
        self.values.iter().filter(|(known, _)| known == name).map(|(_, text)| text.clone()).collect()
    }

    /// A value whose type's own error says nothing of use.
    pub(in crate::http) fn read<T: FromStr>(&mut self, name: &'static str, message: &str) -> Option<T> {
        self.read_with(name, |text| text.parse().map_err(|_| message.to_owned()))
    }

    /// Several values: the parameter several times, or with commas between them.
    pub(in crate::http) fn several<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        self.asked.push(name);
        let given = self.values.iter().filter(|(known, _)| known == name);
        let mut values = Vec::new();
        let mut wrong = None;
        for text in given.flat_map(|(_, text)| text.split(',')) {
            match read(text) {
                Ok(value) => values.push(value),
                Err(error) => wrong = Some(error.to_string()),
            }
        }
        if let Some(message) = wrong {
            self.refuse(name, message);
        }
        values
    }

    /// Every parameter whose name begins so, by the rest of its name. The prefix ends in a dot.
    pub(in crate::http) fn family(&mut self, prefix: &'static str) -> Vec<(String, String)> {
        self.families.push(prefix);
        let members = self.values.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        members.map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    pub(in crate::http) fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: name.to_owned(), message: message.into() });
    }

    /// The parameters that are known, as they were sent.
    pub(in crate::http) fn known(&self) -> impl Iterator<Item = (&str, &str)> {
        let known = self.values.iter().filter(|(name, _)| self.is_known(name));
        known.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names that were asked for.
    #[cfg(test)]
    pub(in crate::http) fn names(&self) -> Vec<&'static str> {
        self.asked.iter().chain(&self.families).copied().collect()
    }

    /// The errors, or what was read.
    pub(in crate::http) fn finish<T>(self, value: T) -> Result<T, Problem> {
        if self.errors.is_empty() { Ok(value) } else { Err(Invalid(self.errors).into()) }
    }

    /// The errors, or what is worth a warning: parameters that nobody asked for. Where an operation does not take them they do not come
    /// this far.
    pub(in crate::http) fn warnings(self) -> Result<Vec<String>, Problem> {
        let strange = self.values.iter().map(|(name, _)| name).filter(|name| !self.is_known(name));
        let warnings = strange.map(|name| {
            let proposal = proposal(name, &self.asked);
            let name: String = name.chars().take(MAX_ECHOED_NAME).collect();
            format!("{name} is no known parameter and was passed over; {proposal}")
        });
        let warnings = warnings.collect();
        self.finish(warnings)
    }

    fn is_known(&self, name: &str) -> bool {
        self.asked.contains(&name) || self.families.iter().any(|family| name.starts_with(family))
    }
}

/// What is said of a parameter that is not known.
pub(super) fn proposal<S: AsRef<str>>(name: &str, known: &[S]) -> String {
    match nearest(name, known) {
        Some(known) => format!("did you mean {known}?"),
        None if known.is_empty() => "the operation takes none".to_owned(),
        None => format!("known: {}", known.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")),
    }
}

/// Longest part of an unknown parameter's name that is repeated to the client.
pub(super) const MAX_ECHOED_NAME: usize = 60;
/// Longer than everything that is looked for.
const MAX_TEXT: usize = 100;
