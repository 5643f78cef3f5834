//! Secrets that were given to a node, and the search for them in what it writes and says.

use crate::Answer;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::path::{Path, PathBuf};

/// The password of every trunk that names no other. Each node is searched for it, and for the admin's key, when its test ends.
pub const PLANTED_PASSWORD: &str = "Qv3-planted-password-Zx8Lm5";

/// Looks for secrets, in every spelling in which they might get out.
#[derive(Debug, Clone)]
pub struct SecretSearch {
    /// The secret's name, the spelling's, and what to look for.
    needles: Vec<(&'static str, &'static str, String)>,
    looked_at: usize,
    found: Vec<String>,
}

impl SecretSearch {
    /// For these secrets, each with its name.
    #[must_use]
    pub fn of(secrets: &[(&'static str, &str)]) -> Self {
        let needles = secrets.iter().flat_map(|(name, secret)| {
            spellings(secret).into_iter().map(|(spelling, needle)| (*name, spelling, needle))
        });
        Self { needles: needles.collect(), looked_at: 0, found: Vec::new() }
    }

    /// Looks at what stands in a place.
    pub fn look(&mut self, place: &str, octets: &[u8]) {
        self.looked_at += 1;
        let text = String::from_utf8_lossy(octets);
        for (secret, spelling, needle) in &self.needles {
            if text.contains(needle.as_str()) {
                self.found.push(format!("{secret} as {spelling} in {place}"));
            }
        }
    }

    /// Looks at an answer of the API, headers and body.
    pub fn answer(&mut self, place: &str, answer: &Answer) {
        self.look(place, format!("{:?}{}", answer.headers, answer.text).as_bytes());
    }

    /// How many places were looked at.
    #[must_use]
    pub const fn looked_at(&self) -> usize {
        self.looked_at
    }

    /// What was found, and where.
    #[must_use]
    pub fn found(&self) -> &[String] {
        &self.found
    }
}

/// Every file in a folder and in the folders in it.
///
/// # Panics
/// When the folder cannot be listed.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("and can be listed").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// A secret in the spellings in which it might get out.
fn spellings(secret: &str) -> Vec<(&'static str, String)> {
    let mut found = vec![
        ("plain", secret.to_owned()),
        ("hex", hex::encode(secret)),
        ("upper-case hex", hex::encode_upper(secret)),
        ("URL-encoded", secret.bytes().map(|byte| format!("%{byte:02X}")).collect()),
    ];
    // Where it stands inside of a longer text decides how base64 spells it; what neighbours change is cut off.
    for shift in 0..3 {
        let text = [&b"###"[..shift], secret.as_bytes()].concat();
        let whole = text.len() / 3 * 3;
        for (name, engine) in [("base64", STANDARD), ("URL-safe base64", URL_SAFE)] {
            let encoded = engine.encode(&text[..whole]);
            found.push((name, encoded[if shift == 0 { 0 } else { 4 }..].to_owned()));
        }
    }
    found
}
