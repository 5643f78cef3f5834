//! The media engine as its shell sees it: packets and time in, packets and events out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod keys;
mod latching;
mod relay;
mod reports;
mod rig;
mod silence;
mod tones;
