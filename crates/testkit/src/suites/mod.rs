//! Conformance suites: one set of promises, run against every implementation.

pub mod journal;
