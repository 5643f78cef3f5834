//! In place of the crate of this name, which holds the public authorities of the web.
//!
//! sqlx trusts what stands here beside the file that `sslrootcert` names. To a database that is wrong: with `sslmode=verify-ca` the server
//! of anybody with a certificate for any host would do. PostgreSQL's own clients trust that file alone (libpq, §34.19.1), and so do we.
//! Everything else that speaks TLS here goes by the system's trust store.

use rustls_pki_types::TrustAnchor;

/// None.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[];
