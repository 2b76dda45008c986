//! What a run tells while it works: a closed set of events on one bus, the same for terminal, JSON and web.
//! Nothing is decided by it, and a listener that falls behind loses events, never slows mail.

use crate::journal::{MailboxId, Side};
use serde::{Serialize, Serializer};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// Events kept for a slow listener.
const EVENTS_KEPT: usize = 4096;

/// The stages of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Connecting and logging in.
    Connect,
    /// Reading what is there.
    Survey,
    /// Deciding what goes where.
    Plan,
    /// Recognising what was there before.
    Adopt,
    /// Copying, and reading back beside it.
    Transfer,
    /// Reading back what is left, and the complete listings.
    Verify,
    /// Writing report and certificate.
    Report,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "fields are named by the words of the report")]
pub enum Progress {
    /// A stage began.
    StageStarted { stage: Stage },
    /// A session is logged in.
    Connected { side: SideName, server: String },
    /// The plan is made: totals of what takes part.
    Planned { mailboxes: u64, messages: u64, octets: u64 },
    /// Work on a mailbox began.
    MailboxStarted { mailbox: i64, source: String, target: String, messages: u64, octets: u64 },
    /// The source listing of a mailbox is complete; `new` of its messages are to be copied, `left_out` are left out by a rule.
    MailboxListed { mailbox: i64, messages: u64, new: u64, left_out: u64, octets: u64 },
    /// Messages were stored at the target.
    Stored { mailbox: i64, messages: u64, octets: u64 },
    /// Messages were read back and compared.
    Verified { mailbox: i64, messages: u64, octets: u64 },
    /// A message became an exception.
    Exception { mailbox: i64, key: i64, kind: String, text: String },
    /// A mailbox is done for this run.
    MailboxDone { mailbox: i64 },
    /// The run waits: for whom, why, how long, and until when by the wall clock.
    Waiting {
        side: SideName,
        server: String,
        reason: WaitReason,
        why: String,
        seconds: u64,
        #[serde(serialize_with = "rfc3339")]
        until: SystemTime,
    },
    /// With what may pass in a day, what is planned takes so long at least; or about, where how much it is, is an estimate.
    Forecast { side: SideName, server: String, octets_per_day: u64, seconds: u64, estimated: bool },
    /// A connection was lost and is made again.
    Reconnecting { side: SideName, why: String },
    /// The server gives no further connection: the run goes on with those it has.
    FewerConnections { side: SideName, why: String },
    /// Compression was asked for and this connection goes without.
    Uncompressed { side: SideName, why: String },
    /// The server wants people to read this.
    Alert { side: SideName, server: String, text: String },
    /// Batches whose fate is unknown are looked for at the target.
    Resolving { mailbox: i64, messages: u64 },
    /// The run ended.
    Ended { outcome: String },
}

/// Why a run waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The server asked for it.
    Asked,
    /// The server, or something on it, is in passing trouble.
    Trouble,
    /// What may pass in a day has passed.
    Day,
}

/// RFC 3339, UTC, to the second.
fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let at = jiff::Timestamp::try_from(*time).unwrap_or_default();
    let to_the_second = jiff::Timestamp::from_second(at.as_second()).unwrap_or_default();
    serializer.collect_str(&to_the_second)
}

/// A side, as its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SideName {
    /// The old server.
    Source,
    /// The new server.
    Target,
}

impl From<Side> for SideName {
    fn from(side: Side) -> Self {
        match side {
            Side::Source => Self::Source,
            Side::Target => Self::Target,
        }
    }
}

impl Progress {
    /// Messages stored in `mailbox`.
    pub fn stored(mailbox: MailboxId, messages: u64, octets: u64) -> Self {
        Self::Stored { mailbox: mailbox.0, messages, octets }
    }
}

/// The bus. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus(broadcast::Sender<Progress>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::channel(EVENTS_KEPT).0)
    }
}

impl Bus {
    /// Tells whoever listens.
    pub fn tell(&self, event: Progress) {
        // No listener is no error.
        let _ = self.0.send(event);
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Progress> {
        self.0.subscribe()
    }
}
