//! What can be known when a simulation is over, as plain data: what the servers hold and what happened there, and
//! what the engine says of it (its report, the states of its journal).

use mailhaul_engine::config::Level;
use mailhaul_engine::journal::memory::MemoryStore;
use mailhaul_engine::journal::{AccountPair, Item, Journal, Query, Side};
use mailhaul_engine::report::{self, EndFacts, REPORT_JSON};
use mailhaul_sandbox::{Entry, Fault, MailboxSnapshot, Sandbox};
use std::collections::BTreeMap;
use std::path::Path;

use super::record::Recorder;
use super::run::{Ran, USER};
use super::world::{Cut, World};

/// How the runs of a world went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// All of them, in order.
    pub all: Vec<Ran>,
    /// How many of them, the last ones, were calm.
    pub calm: usize,
    /// The last one came to its end, left nothing and sent nothing.
    pub ended: bool,
}

/// One message as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFact {
    /// Its mailbox, by its name on the wire of the source.
    pub mailbox: String,
    /// UIDVALIDITY and UID at the source.
    pub at_source: (u32, u32),
    /// The word for its state.
    pub state: &'static str,
    /// The word for its grade.
    pub grade: Option<&'static str>,
    /// UIDVALIDITY and UID at the target.
    pub at_target: Option<(u32, u32)>,
    /// The mailbox of that, by its name on the wire of the source: another one for a message that was moved.
    pub target_mailbox: String,
    /// How the place became known.
    pub origin: Option<&'static str>,
    /// The word of its reason.
    pub reason: Option<String>,
    /// Steps of the ladder, as bits.
    pub ladder: u8,
}

/// One server.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// What it holds.
    pub holds: Vec<MailboxSnapshot>,
    /// What happened to its mail, from before the first run on.
    pub ledger: Vec<Entry>,
    /// The faults that struck, in order.
    pub struck: Vec<Fault>,
    /// Commands by verb.
    pub commands: BTreeMap<String, u64>,
}

impl ServerFacts {
    fn of(server: &Sandbox) -> Self {
        Self {
            holds: server.snapshot(USER),
            ledger: server.ledger(),
            struck: server.struck().into_iter().map(|s| s.fault).collect(),
            commands: server.counters().commands,
        }
    }
}

/// Everything a checker looks at.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The old server.
    pub source: ServerFacts,
    /// The new server.
    pub target: ServerFacts,
    /// Connections that died on their way.
    pub died: Vec<Cut>,
    /// The runs.
    pub runs: Runs,
    /// The journal's messages.
    pub items: Vec<ItemFact>,
    /// `report.json`.
    pub report: serde_json::Value,
    /// What was wrong with the moves and claims in the journal.
    pub wrong_moves: Vec<String>,
    /// Writes of the journal that were looked at.
    pub writes: u64,
    /// The most octets of messages in one run that the source had given and the target had not taken yet.
    pub in_flight_max: u64,
}

#[expect(clippy::too_many_arguments, reason = "one call, at the end of a run")]
pub(super) async fn gather(
    world: &World,
    source: &Sandbox,
    target: &Sandbox,
    died: Vec<Cut>,
    store: &MemoryStore,
    recorder: &Recorder,
    runs: Runs,
    folder: &Path,
) -> Result<Facts, String> {
    let pair = AccountPair { source: "imap://ann@old".into(), target: "imap://ann@new".into() };
    let journal = store.open(&pair).map_err(|e| e.to_string())?;
    let facts = report::Facts {
        version: "simulated".into(),
        migration: format!("seed-{}", world.seed),
        source: EndFacts::default(),
        target: EndFacts::default(),
        level: Some(Level::Octets),
        danger: Vec::new(),
        run: None,
        settle: None,
        timings: Vec::new(),
        signer: None,
    };
    report::write(&journal, &facts, folder).await.map_err(|e| e.to_string())?;
    let text = std::fs::read(folder.join(REPORT_JSON)).map_err(|e| e.to_string())?;
    let (wrong_moves, writes) = recorder.verdict();
    Ok(Facts {
        source: ServerFacts::of(source),
        target: ServerFacts::of(target),
        died,
        runs,
        items: items(&journal).await.map_err(|e| e.to_string())?,
        report: serde_json::from_slice(&text).map_err(|e| e.to_string())?,
        wrong_moves,
        writes,
        in_flight_max: 0,
    })
}

async fn items<J: Journal>(journal: &J) -> Result<Vec<ItemFact>, mailhaul_engine::journal::JournalError> {
    let mailboxes = journal.mailboxes().await?;
    let mut epochs = BTreeMap::new();
    for mailbox in &mailboxes {
        let name = String::from_utf8_lossy(&mailbox.source.wire).into_owned();
        for side in [Side::Source, Side::Target] {
            for epoch in journal.epochs(mailbox.id, side).await? {
                epochs.insert(epoch.id, (name.clone(), epoch.facts.uid_validity.0));
            }
        }
    }
    let number = |key: i64| u32::try_from(key).unwrap_or(0);
    let query = Query { mailbox: None, states: &[], after: None, limit: usize::MAX };
    let fact = |item: Item| {
        let epoch = |id| epochs.get(&id).cloned().unwrap_or_default();
        let (mailbox, uid_validity) = epoch(item.id.epoch);
        let place = item.place.map(|p| (epoch(p.epoch), number(p.uid.0)));
        ItemFact {
            at_source: (uid_validity, number(item.id.key.0)),
            state: item.state.as_str(),
            grade: item.grade.map(|g| g.as_str()),
            at_target: place.as_ref().map(|((_, uid_validity), uid)| (*uid_validity, *uid)),
            target_mailbox: place.map_or_else(|| mailbox.clone(), |((name, _), _)| name),
            mailbox,
            origin: item.origin.map(|o| o.as_str()),
            reason: item.reason.map(|r| r.kind),
            ladder: item.sent.map_or(0, |s| s.ladder.0),
        }
    };
    Ok(journal.items(query).await?.into_iter().map(fact).collect())
}
