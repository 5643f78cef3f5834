//! The journal on a real file system: what it gives back after crashes, damage, full disks and restarts.
#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked as tests for tests")]

mod compatibility;
mod damage;
mod disk;
mod kill;
mod recovery;
mod samples;
mod tailing;
