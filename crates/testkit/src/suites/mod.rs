//! Conformance suites: one set of promises, run against every implementation.
#![allow(clippy::unwrap_used, missing_docs, reason = "a suite is test code")]

pub mod journal;
