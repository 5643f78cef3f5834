use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// A password or key: wiped from memory when dropped, and never printed.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a secret over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The secret itself: for digest and sealing, never for an answer or a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_whoever_holds_it() {
        let held = Some(("alice", Secret::new("hunter2")));
        for shown in [format!("{held:?}"), format!("{held:#?}")] {
            assert!(shown.contains("Secret(…)") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
