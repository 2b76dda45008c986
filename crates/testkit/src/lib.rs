//! What the project's tests with peers stand on: real servers, a faulty network, corpora, and independent checkers.
//!
//! Nothing that judges here (image, date, names, wire, account, checker) shares code with the product.

pub mod account;
pub mod checker;
pub mod corpus;
pub mod date;
pub mod image;
pub mod mutf7;
pub mod proxy;
pub mod servers;
pub mod wire;
