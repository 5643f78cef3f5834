//! The simulated carrier without IO: personas and faults.
