//! The whole switch in virtual time.
