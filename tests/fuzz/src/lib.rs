//! The bodies of the fuzz targets: each takes any octets and panics when something does not hold that must.
//!
//! `fuzz/` runs them under libFuzzer, `tests/corpus.rs` here replays what that has found. A finding that was mended is
//! a file of the corpus and a named test of the crate that it was in.

#![expect(clippy::unwrap_used, reason = "a body that panics is what a fuzzer looks for")]

mod digest;
mod framing;
mod journal;
mod message;
mod planted;
mod rtp;
mod sdp;
mod switch;
mod uri;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its binary and of its folder in the corpus.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "message", run: message::run },
    Target { name: "uri", run: uri::run },
    Target { name: "sdp", run: sdp::run },
    Target { name: "framing", run: framing::run },
    Target { name: "digest", run: digest::run },
    Target { name: "rtp", run: rtp::run },
    Target { name: "journal", run: journal::run },
    Target { name: "switch", run: switch::run },
];

/// The body of a target.
///
/// # Panics
/// When something does not hold, which is the point, or there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    (target.run)(input);
}
