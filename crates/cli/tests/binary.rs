//! The contract of docs/cli.md, kept by the program itself: exit codes, words, files. The peers are embedded servers
//! on loopback ports.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

#[path = "binary/accounts.rs"]
mod accounts;
#[cfg(unix)]
#[path = "binary/command_lines.rs"]
mod command_lines;
#[path = "binary/docs.rs"]
mod docs;
#[path = "binary/finding.rs"]
mod finding;
#[path = "binary/gmail.rs"]
mod gmail;
#[path = "binary/guide.rs"]
mod guide;
#[path = "binary/guided.rs"]
mod guided;
#[path = "binary/guided_moves.rs"]
mod guided_moves;
#[path = "binary/guided_stops.rs"]
mod guided_stops;
#[path = "binary/guided_words.rs"]
mod guided_words;
#[path = "binary/http.rs"]
mod http;
#[path = "binary/json.rs"]
mod json;
#[cfg(unix)]
#[path = "binary/lines.rs"]
mod lines;
#[path = "binary/login.rs"]
mod login;
#[path = "binary/memory.rs"]
mod memory;
#[path = "binary/moving.rs"]
mod moving;
#[path = "binary/offline.rs"]
mod offline;
#[path = "binary/packages.rs"]
mod packages;
#[path = "binary/page.rs"]
mod page;
#[path = "binary/page_choices.rs"]
mod page_choices;
#[path = "binary/page_help.rs"]
mod page_help;
#[path = "binary/page_logins.rs"]
mod page_logins;
#[path = "binary/page_stops.rs"]
mod page_stops;
#[path = "binary/page_waits.rs"]
mod page_waits;
#[path = "binary/pty.rs"]
mod pty;
#[path = "binary/refused.rs"]
mod refused;
#[path = "binary/reporting.rs"]
mod reporting;
#[path = "binary/requirements.rs"]
mod requirements;
#[path = "binary/secrets.rs"]
mod secrets;
#[path = "binary/stopped.rs"]
mod stopped;
#[path = "binary/usage.rs"]
mod usage;
#[path = "binary/verifying.rs"]
mod verifying;
#[path = "binary/waiting.rs"]
mod waiting;
