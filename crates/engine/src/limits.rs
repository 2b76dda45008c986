//! Every limit of the engine, named, with its unit. Tests and the command line may set them; nothing else in
//! the engine holds a number of this kind.

use crate::quirks::Pause;
use std::time::Duration;

/// The largest RFC822.SIZE that is believed, in octets (1 TiB). It may lie, and nothing is concluded from it; but sums of
/// sizes have to stay within 63 bits in the journal.
pub const LISTED_OCTETS_MAX: u64 = 1 << 40;

/// Iterations of SCRAM's PBKDF2 below which no password is shown: a forged server would ask for one, to guess the password
/// from our answer (RFC 7677, 4).
pub const SCRAM_ITERATIONS_MIN: u32 = 4_096;
/// Iterations of SCRAM's PBKDF2 above which the work is not done: a second on slow machines.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

/// Octets of one answer of an issuer of tokens.
pub const HTTP_ANSWER_OCTETS_MAX: usize = 256 * 1024;
/// Octets of a proxy's answer to CONNECT.
pub const PROXY_ANSWER_OCTETS_MAX: usize = 8 * 1024;
/// From the start of a connection to an issuer of tokens to the end of its answer.
pub const HTTP_ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Octets of the request with which a browser comes back from a login.
pub const REDIRECT_OCTETS_MAX: usize = 64 * 1024;
/// Requests to the port of a login, most of which are no answer.
pub const REDIRECT_REQUESTS_MAX: usize = 20;
/// How long somebody may take to log in, with a browser or a code.
pub const BROWSER_LOGIN_TIME_MAX: Duration = Duration::from_secs(900);
/// Between two questions whether the code was entered, where the issuer names no time (RFC 8628, 3.2).
pub const DEVICE_POLL_DEFAULT: Duration = Duration::from_secs(5);
/// The same at least, whatever the issuer names.
pub const DEVICE_POLL_MIN: Duration = Duration::from_secs(1);
/// So much later after `slow_down` (RFC 8628, 3.5).
pub const DEVICE_SLOW_DOWN: Duration = Duration::from_secs(5);
/// Questions to an issuer of tokens that cannot be reached.
pub const ISSUER_TRIES_MAX: u32 = 6;
/// Between the first two of them; it doubles.
pub const ISSUER_BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// A token is renewed so long before it dies.
pub const TOKEN_MARGIN: Duration = Duration::from_secs(120);
/// The life of a token of which the issuer says nothing.
pub const TOKEN_LIFE_DEFAULT: Duration = Duration::from_secs(1800);
/// A token is used no longer than this, whatever its issuer says.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(86_400);

/// How long the name service may take for one question about a domain.
pub const DISCOVERY_DNS_TIME_MAX: Duration = Duration::from_secs(6);
/// How long one source may take that is asked where the mail of an address lies.
pub const DISCOVERY_SOURCE_TIME_MAX: Duration = Duration::from_secs(12);
/// How long one port may take of a host where somebody looks whether an IMAP server answers: two ports and a goodbye stay within
/// [`DISCOVERY_SOURCE_TIME_MAX`].
pub const DISCOVERY_PORT_TIME_MAX: Duration = Duration::from_secs(5);
/// To a TCP connection there, one address: where the first address of a name drops packets, the next one still has its turn.
pub const DISCOVERY_CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the answer to the goodbye there is waited for.
pub const DISCOVERY_GOODBYE_TIME_MAX: Duration = Duration::from_secs(2);
/// Redirects that are followed to such an answer.
pub const DISCOVERY_REDIRECTS_MAX: usize = 3;
/// Octets of the XML of such an answer.
pub const DISCOVERY_XML_OCTETS_MAX: usize = 64 * 1024;
/// Nodes of it: elements, texts, attributes.
pub const DISCOVERY_XML_NODES_MAX: u32 = 8_000;
/// Elements within each other.
pub const DISCOVERY_XML_DEPTH_MAX: usize = 32;

/// A certificate that ends within this time is spoken of.
pub const CERTIFICATE_ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);
/// Octets that are taken to pass in a second, where a run's length is guessed: a line of 16 Mbit/s.
pub const FORECAST_OCTETS_PER_SECOND: u64 = 2_000_000;
/// Messages that are taken to pass in a second, where a run's length is guessed.
pub const FORECAST_MESSAGES_PER_SECOND: u64 = 50;

/// How long a probe of the target may look, cleaning up not counted.
pub const PROBE_TIME_MAX: Duration = Duration::from_secs(180);
/// How long it may then take to remove what it made, on a connection of its own if need be.
pub const PROBE_CLEANUP_TIME_MAX: Duration = Duration::from_secs(30);
/// Messages of a probe that are on their way together.
pub const PROBE_GROUP_MESSAGES: usize = 8;
/// Connections that a probe may lose before it gives up: some servers end one at each odd message or name.
pub const PROBE_LOSSES_MAX: u32 = 16;
/// Octets of a message of a probe that are read back; a server that makes more of it has changed it.
pub const PROBE_READ_OCTETS_MAX: u64 = 1024 * 1024;

/// The limits of one migration. `Default` is what the product runs with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Octets of message bodies held in memory, all mailboxes in work together; each has at least room for three batches, a range
    /// and one message beside them ([`memory_share`](crate::transfer::memory_share)).
    pub body_memory_octets: u64,
    /// A body longer than this goes to a spool file.
    pub body_in_memory_octets_max: u64,
    /// Messages in one batch.
    pub batch_messages_max: usize,
    /// Octets in one batch; a longer message travels alone.
    pub batch_octets_max: u64,
    /// Messages in a group of pipelined single APPENDs.
    pub group_messages_max: usize,
    /// The time one commit at the target should take: batches shrink above it, where that helps, and grow below.
    pub commit_time_goal: Duration,
    /// How long a batch that is not full waits for messages that are on their way, at most.
    pub burst_wait_max: Duration,
    /// Messages asked for by one FETCH of bodies.
    pub fetch_range_messages_max: usize,
    /// Octets (by RFC822.SIZE) asked for by one FETCH of bodies.
    pub fetch_range_octets_max: u64,
    /// FETCH ranges on their way on one connection.
    pub fetch_ranges_in_flight: usize,
    /// Messages in one piece of a listing.
    pub listing_piece_messages: usize,
    /// Rows in one page of a journal query.
    pub journal_page_rows: usize,

    /// To a TCP connection, one address.
    pub connect: Duration,
    /// To a finished TLS handshake.
    pub tls_handshake: Duration,
    /// To the greeting.
    pub greeting: Duration,
    /// To the answer of LOGIN, AUTHENTICATE, CAPABILITY and other short commands.
    pub command: Duration,
    /// Without a single octet from the server while it works on FETCH, LIST or SELECT.
    pub silence: Duration,
    /// To the answer after the gate: hanging up early creates the doubt that we want to avoid.
    pub append_answer: Duration,
    /// Without the server taking an octet while uploading.
    pub write_stall: Duration,
    /// An idle connection gets a NOOP after this.
    pub keep_alive: Duration,

    /// From the loss of a connection to the start of the scan that may conclude "not stored": the least, where
    /// commits were measured.
    pub settle_min: Duration,
    /// The same where no commit was measured on this server.
    pub settle_unmeasured: Duration,
    /// The settle time is at least this many times the longest commit seen.
    pub settle_commits: u32,
    /// A COMMIT of the journal that takes longer closes the connection instead of opening the gate.
    pub journal_commit_max: Duration,
    /// The gate opens only within this time after COMMIT became durable.
    pub gate_after_commit_max: Duration,
    /// The gate opens only if the lease lasts at least this long.
    pub lease_margin: Duration,

    /// First wait before connecting again.
    pub back_off_min: Duration,
    /// Longest wait before connecting again.
    pub back_off_max: Duration,
    /// Octets of a message up to which it is compared in its meaning, where octets disagree: it is held twice in memory then.
    pub compare_octets_max: u64,
    /// Without trouble for this long, one connection more is asked for, up to the number wanted.
    pub connections_calm: Duration,
    /// The same at most, however often one more was refused: each time it doubles.
    pub connections_calm_max: Duration,
    /// Throttling that several connections are told within this time is one trouble.
    pub connections_one_trouble: Duration,
    /// Without any success for this long, the account is given up for this run.
    pub give_up: Duration,
    /// The same while the server itself asks for patience: what a provider allows in a day comes back within one.
    pub give_up_asked: Duration,
    /// While what may pass in a day is spent, the server is asked again after this.
    pub spent_step: Duration,
    /// Times one message may break its FETCH before it counts as unreadable.
    pub read_attempts_max: u32,
    /// Messages given up one after the other because each breaks its FETCH, with none copied between; beyond, it is not the
    /// messages, and the account is given up for this run.
    pub broken_in_a_row_max: u32,
    /// Times one message may be refused without a known reason before it becomes an exception.
    pub refusals_max: u32,
    /// Messages refused without a known reason, one after the other with none stored between, or so many in all if they are
    /// more than [`Limits::refused_share_max`]; beyond, it is not the messages, and the account is held.
    pub refused_max: u64,
    /// Share of the messages sent in a run, in percent.
    pub refused_share_max: u64,
    /// Claimed messages missing from one target mailbox beyond which the run stops and asks.
    pub missing_messages_guard: u64,
}

/// One mebibyte, in octets.
const MIB: u64 = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_memory_octets: 48 * MIB,
            body_in_memory_octets_max: 4 * MIB,
            batch_messages_max: 400,
            batch_octets_max: 4 * MIB,
            group_messages_max: 32,
            commit_time_goal: Duration::from_secs(1),
            burst_wait_max: Duration::from_millis(20),
            fetch_range_messages_max: 100,
            fetch_range_octets_max: 4 * MIB,
            fetch_ranges_in_flight: 4,
            listing_piece_messages: 1000,
            journal_page_rows: 1000,
            connect: Duration::from_secs(20),
            tls_handshake: Duration::from_secs(20),
            greeting: Duration::from_secs(30),
            command: Duration::from_secs(120),
            silence: Duration::from_secs(300),
            append_answer: Duration::from_secs(900),
            write_stall: Duration::from_secs(300),
            keep_alive: Duration::from_secs(60),
            settle_min: Duration::from_secs(10),
            settle_unmeasured: Duration::from_secs(60),
            settle_commits: 5,
            journal_commit_max: Duration::from_secs(30),
            gate_after_commit_max: Duration::from_secs(60),
            lease_margin: Duration::from_secs(30),
            back_off_min: Duration::from_secs(1),
            back_off_max: Duration::from_secs(300),
            compare_octets_max: 32 * MIB,
            connections_calm: Duration::from_secs(60),
            connections_calm_max: Duration::from_secs(3600),
            connections_one_trouble: Duration::from_secs(10),
            give_up: Duration::from_secs(1800),
            give_up_asked: Duration::from_secs(26 * 3600),
            spent_step: Duration::from_secs(3600),
            read_attempts_max: 3,
            broken_in_a_row_max: 50,
            refusals_max: 3,
            refused_max: 50,
            refused_share_max: 5,
            missing_messages_guard: 20,
        }
    }
}

impl Limits {
    /// These limits where one batch or range may hold no more than so many messages and octets.
    #[must_use]
    pub fn narrowed(&self, messages_max: Option<u64>, octets_max: Option<u64>) -> Self {
        let messages = messages_max.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX).max(1));
        let octets = octets_max.unwrap_or(u64::MAX);
        Self {
            batch_messages_max: self.batch_messages_max.min(messages),
            batch_octets_max: self.batch_octets_max.min(octets),
            fetch_range_messages_max: self.fetch_range_messages_max.min(messages),
            fetch_range_octets_max: self.fetch_range_octets_max.min(octets),
            ..self.clone()
        }
    }

    /// How long nothing may work while it is waited like this.
    pub fn give_up_after(&self, pause: Pause) -> Duration {
        match pause {
            Pause::Named(_) | Pause::Day => self.give_up_asked,
            Pause::BackOff | Pause::Step(_) => self.give_up,
        }
    }

    /// The settle time after a lost connection (law 4), given the longest commit measured on the target.
    pub fn settle(&self, longest_commit: Option<Duration>) -> Duration {
        #[cfg(mailhaul_mutants)]
        if crate::mutants::Mutant::NoSettle.is_on() {
            return Duration::ZERO;
        }
        match longest_commit {
            Some(seen) => self.settle_min.max(seen * self.settle_commits),
            None => self.settle_unmeasured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settle_time_outlasts_the_longest_commit_seen() {
        let limits = Limits::default();
        assert_eq!(limits.settle(None), Duration::from_secs(60));
        assert_eq!(limits.settle(Some(Duration::from_millis(3))), Duration::from_secs(10));
        assert_eq!(limits.settle(Some(Duration::from_secs(4))), Duration::from_secs(20));
    }
}
