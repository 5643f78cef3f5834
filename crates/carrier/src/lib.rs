//! The simulated carrier without IO: personas and faults.
//!
//! It answers on two addresses. What a call meets depends on the number called, and with some numbers on the address
//! that was asked: see [`PERSONAS`]. It has the shape of the switch: bytes and time come in through `handle_*`, what is
//! to be done comes out of [`Carrier::poll_output`], and one shell drives both. What its media ports send goes through
//! [`Lines`], which lose and delay it where the number called has a bad line.

mod call;
mod carrier;
mod exchange;
mod line;
mod persona;
mod port;
mod random;
mod report;
mod silence;
mod voice;

pub use carrier::{Carrier, CarrierConfig, Counts, Limits, MAX_CALLS, MAX_SILENT_INVITES, Output};
pub use line::{Datagram, Impairment, LineCommand, Lines, MAX_ON_THEIR_WAY};
pub use persona::{Address, PERSONAS, Persona};
pub use port::MediaPort;
pub use report::{CallNumber, Ending, Happening, Heard, MediaRefusal, Report};
