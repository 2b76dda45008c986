//! Moves all the mail of an account from one server to another and proves it.
//!
//! **Survey, plan, transfer, verify, certificate**: each stage is a function from *journal + ends* to *journal*.
//! The library never touches the terminal, the environment, the home directory or the process' exit; see
//! `ARCHITECTURE.md` for the map and the laws.

pub mod config;
pub mod end;
pub mod error;
pub mod identity;
pub mod journal;
pub mod limits;
pub mod mapping;
pub mod message;
pub mod names;
mod names_utf7;
pub mod plan;
pub mod progress;
pub mod survey;
#[cfg(test)]
mod survey_testing;
pub mod transfer;
