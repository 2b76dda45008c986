//! What the project's tests with peers stand on: real servers, a faulty network, corpora, independent checkers, and
//! conformance suites. Not published.
//!
//! Nothing that judges here (image, date, names, wire, account, checker, audit) shares code with the product.

pub mod account;
pub mod audit;
pub mod checker;
pub mod corpus;
pub mod date;
pub mod fuzz;
pub mod image;
pub mod issuer;
pub mod mutf7;
pub mod name_server;
pub mod odd;
pub mod proxy;
#[cfg(unix)]
pub mod servers;
pub mod sim;
pub mod stopper;
#[allow(clippy::unwrap_used, missing_docs, reason = "a suite is test code")]
pub mod suites;
pub mod web;
pub mod wire;
