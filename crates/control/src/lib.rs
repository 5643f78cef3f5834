//! The REST API and its use cases.
