//! Measures Mailhaul beside the practical limit and its peers.
//!
//! Two Dovecots on loopback, accounts made from a seed, round trips from a delaying relay. Every tool is a process of its
//! own, measured from outside; what it made is compared by testkit's checker, and a run that is wrong has no time.
//! How to run it, and what came out: docs/benchmarks.md.

pub mod bed;
pub mod corpus;
pub mod delay;
pub mod finding;
pub mod machine;
pub mod measure;
pub mod options;
pub mod peers;
pub mod relay;
pub mod round;
pub mod stats;
pub mod table;
pub mod tools;

/// What stops the bench, for the person who reads it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// The result of anything that can fail here.
pub type Result<T> = std::result::Result<T, Failure>;
