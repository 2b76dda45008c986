//! Peers, faults, checkers, corpora and conformance suites for the tests of Mailhaul. Not published.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "everything here is test code")]

pub mod servers;
pub mod suites;
