//! The API over a real SQLite store and a scripted call path.
#![recursion_limit = "256"]

mod calls;
mod dialling;
mod document;
mod errors;
mod harness;
mod node;
mod tenancy;
mod trunks;
