//! Moves all the mail of an account from one server to another and proves it.
//!
//! **Survey, plan, transfer, verify, certificate**: each stage is a function from *journal + ends* to *journal*.
//! The library never touches the terminal, the environment, the home directory or the process' exit; see
//! `ARCHITECTURE.md` for the map and the laws.

pub mod adopt;
pub mod alerts;
pub mod auth;
pub mod budget;
pub mod certificate;
pub mod check;
pub mod clock;
pub mod config;
pub mod consent;
pub mod context;
pub mod diff;
pub mod discovery;
pub mod end;
pub mod error;
pub mod files;
pub mod identity;
pub mod imap_session;
pub mod imap_source;
pub mod imap_target;
pub mod journal;
pub mod labels;
pub mod limits;
pub mod mapping;
pub mod memory_end;
pub mod message;
pub mod name_rules;
pub mod names;
pub mod net;
pub mod oauth;
pub mod pace;
pub mod pacer;
pub mod pages;
pub mod plain;
pub mod plan;
pub mod probe;
pub mod profile;
pub mod progress;
pub mod quirks;
mod recount;
pub mod report;
mod reread;
pub mod run;
pub mod seats;
pub mod semantic;
pub mod shell;
pub mod survey;
#[cfg(test)]
mod survey_testing;
pub mod transfer;

#[cfg(mailhaul_mutants)]
pub use mailhaul_imap::mutants;
pub mod undo;
pub mod verify;
pub mod waits;
