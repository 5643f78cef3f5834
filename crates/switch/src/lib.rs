//! The B2BUA without IO: calls, legs, routing, trunk capacity, records and rating.
