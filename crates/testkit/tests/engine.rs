//! The engine whole: over ends in memory, over IMAP and the sandbox, and between real servers. One program, since
//! each program would compile the engine for its ends again. What has a real server in it is for Unix alone, as they are.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

#[path = "engine/ahead.rs"]
mod ahead;
#[path = "engine/alerts.rs"]
mod alerts;
#[path = "engine/asked.rs"]
mod asked;
#[cfg(unix)]
#[path = "engine/client.rs"]
mod client;
#[path = "engine/compress.rs"]
mod compress;
#[path = "engine/discovery.rs"]
mod discovery;
#[path = "engine/encoding.rs"]
mod encoding;
#[path = "engine/epochs.rs"]
mod epochs;
#[path = "engine/families.rs"]
mod families;
#[cfg(unix)]
#[path = "engine/faults.rs"]
mod faults;
#[cfg(unix)]
#[path = "engine/fire.rs"]
mod fire;
#[path = "engine/gmail.rs"]
mod gmail;
#[path = "engine/hands.rs"]
mod hands;
#[path = "engine/interrupt.rs"]
mod interrupt;
#[path = "engine/interrupt_imap.rs"]
mod interrupt_imap;
#[path = "engine/interrupt_verbs.rs"]
mod interrupt_verbs;
#[cfg(unix)]
#[path = "engine/killed.rs"]
mod killed;
#[path = "engine/ladder.rs"]
mod ladder;
#[path = "engine/late.rs"]
mod late;
#[path = "engine/login.rs"]
mod login;
#[cfg(unix)]
#[path = "engine/login_real.rs"]
mod login_real;
#[path = "engine/login_tls.rs"]
mod login_tls;
#[cfg(unix)]
#[path = "engine/login_tokens.rs"]
mod login_tokens;
#[path = "engine/login_wire.rs"]
mod login_wire;
#[cfg(unix)]
#[path = "engine/matrix.rs"]
mod matrix;
#[path = "engine/message_limit.rs"]
mod message_limit;
#[path = "engine/migration.rs"]
mod migration;
#[path = "engine/names.rs"]
mod names;
#[path = "engine/oauth.rs"]
mod oauth;
#[cfg(unix)]
#[path = "engine/on_disk.rs"]
mod on_disk;
#[path = "engine/order.rs"]
mod order;
#[path = "engine/pacing.rs"]
mod pacing;
#[path = "engine/pages.rs"]
mod pages;
#[path = "engine/patience.rs"]
mod patience;
#[cfg(unix)]
#[path = "engine/peers.rs"]
mod peers;
#[path = "engine/poison.rs"]
mod poison;
#[path = "engine/probe.rs"]
mod probe;
#[cfg(unix)]
#[path = "engine/probe_real.rs"]
mod probe_real;
#[path = "engine/profiles.rs"]
mod profiles;
#[path = "engine/readers.rs"]
mod readers;
#[cfg(unix)]
#[path = "engine/real_servers.rs"]
mod real_servers;
#[cfg(unix)]
#[path = "engine/refusals.rs"]
mod refusals;
#[path = "engine/repairs.rs"]
mod repairs;
#[path = "engine/round_trips.rs"]
mod round_trips;
#[path = "engine/scenarios.rs"]
mod scenarios;
#[path = "engine/second_pass.rs"]
mod second_pass;
#[path = "engine/semantic.rs"]
mod semantic;
#[cfg(unix)]
#[path = "engine/stores.rs"]
mod stores;
#[path = "engine/together.rs"]
mod together;
#[path = "engine/will_not_move.rs"]
mod will_not_move;
#[path = "engine/wire.rs"]
mod wire;
