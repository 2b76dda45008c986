//! A world from a seed: two servers and what they hold, how the migration is set, and what goes wrong.

use bytes::Bytes;
use mailhaul_sandbox::{LoneLf, Planned, Profile};
use std::time::Duration;

use super::mail;
use super::plan;
use crate::corpus::Random;

/// Source mailboxes take their names from here, INBOX always being one.
const NAMES: [&str; 4] = ["INBOX", "Work", "Work/2023", "Lists"];

/// A message as it is put on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its octets.
    pub octets: Bytes,
    /// Its flags, separated by spaces.
    pub flags: String,
    /// Its INTERNALDATE.
    pub date: String,
}

impl Letter {
    /// A message with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let octets = format!("From: a@b.example\r\nSubject: {text}\r\n\r\n{text}\r\n").into();
        Self { octets, flags: "\\Seen".into(), date: "03-Mar-2020 10:11:12 +0000".into() }
    }
}

/// A mailbox and its messages, in UID order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Its name on the wire, at both ends.
    pub name: &'static str,
    /// What it holds at first.
    pub letters: Vec<Letter>,
}

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The old one.
    Source,
    /// The new one.
    Target,
}

/// How a connection dies on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Both sides see it end.
    Ends,
    /// Nothing more arrives, and nobody is told.
    Silence,
}

/// A connection that dies when so many octets have passed in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// To which server.
    pub end: End,
    /// The n-th connection to it, from 1.
    pub connection: u64,
    /// Octets of the client count, else those of the server.
    pub to_server: bool,
    /// After so many octets.
    pub octets: u64,
    /// How.
    pub death: Death,
}

/// The answer to mail found in a target mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Match it by content.
    Adopt,
    /// Copy beside it.
    AppendAnyway,
}

/// How the migration is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Connections to each server.
    pub connections: usize,
    /// Messages in a batch.
    pub batch_messages: usize,
    /// Messages in a group of single APPENDs.
    pub group_messages: usize,
    /// Octets in a batch.
    pub batch_octets: u64,
    /// Messages asked for by one FETCH.
    pub range_messages: usize,
    /// Octets asked for by one FETCH.
    pub range_octets: u64,
    /// Larger messages go to the spool.
    pub in_memory_octets: u64,
    /// Octets of messages that may be in memory.
    pub memory_octets: u64,
    /// Rows in a page of the journal, and messages in a piece of a listing.
    pub page_rows: usize,
    /// The settle time: the least, and that where no commit was measured.
    pub settle: (Duration, Duration),
    /// The answer to mail found at the target.
    pub existing: Existing,
    /// Both servers offer COMPRESS=DEFLATE, and it is used. Never drawn.
    pub compress: bool,
    /// What is refused, or came back damaged, is repaired.
    pub repair: bool,
    /// The new server destroys octets outside ASCII in headers.
    pub munges: bool,
    /// The new server puts a header line of its own, another one each time, before what has a header. Never drawn.
    pub rewrites: bool,
}

/// Everything a seed decides.
#[derive(Clone, Debug)]
pub struct World {
    /// The seed.
    pub seed: u64,
    /// The old account.
    pub source: Vec<Planted>,
    /// What the new account holds before.
    pub target: Vec<Planted>,
    /// How the old server behaves.
    pub source_profile: Profile,
    /// How the new server behaves.
    pub target_profile: Profile,
    /// What goes wrong at the old server.
    pub source_plan: Vec<Planned>,
    /// What goes wrong at the new server.
    pub target_plan: Vec<Planned>,
    /// Connections that die.
    pub cuts: Vec<Cut>,
    /// The client stops dead at this step of its first, second, … run; 0 for not at all.
    pub stops: Vec<u64>,
    /// How long the first durable writes of the journal take.
    pub durable_times: Vec<Duration>,
    /// Settings.
    pub tuning: Tuning,
}

impl World {
    /// The world of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let source = planted(&mut random);
        let target = before(&mut random, &source);
        let target_profile = target_profile(&mut random);
        let source_profile = Profile {
            size_adds: if random.chance(8) { random.between(1, 900) } else { 0 },
            literal_plus: random.chance(80),
            condstore: random.chance(80),
            list_status: random.chance(50),
            ..Profile::default()
        };
        let tuning = tuning(&mut random);
        let mut world = Self {
            seed,
            source,
            target,
            source_profile,
            target_profile,
            source_plan: Vec::new(),
            target_plan: Vec::new(),
            cuts: Vec::new(),
            stops: Vec::new(),
            durable_times: Vec::new(),
            tuning,
        };
        plan::trouble(&mut random, &mut world);
        // Last, so that the worlds of known seeds stay as they were.
        world.source_profile.later_fetch_first = random.chance(20);
        world.tuning.repair = random.chance(35);
        if world.tuning.repair {
            plan::damage(&mut random, &mut world);
            world.tuning.munges = random.chance(50);
        }
        world
    }

    /// A world without trouble: modern servers, this mail in INBOX, one connection, batches of two.
    #[must_use]
    pub fn calm(letters: &[&Letter]) -> Self {
        let letters = letters.iter().map(|l| (*l).clone()).collect();
        Self {
            seed: 0,
            source: vec![Planted { name: "INBOX", letters }],
            target: Vec::new(),
            source_profile: Profile::default(),
            target_profile: Profile::default(),
            source_plan: Vec::new(),
            target_plan: Vec::new(),
            cuts: Vec::new(),
            stops: Vec::new(),
            durable_times: Vec::new(),
            tuning: Tuning {
                connections: 1,
                batch_messages: 2,
                group_messages: 2,
                batch_octets: 60_000,
                range_messages: 10,
                range_octets: 60_000,
                in_memory_octets: 60_000,
                memory_octets: 500_000,
                page_rows: 10,
                settle: (Duration::from_secs(5), Duration::from_secs(5)),
                existing: Existing::Adopt,
                compress: false,
                repair: false,
                munges: false,
                rewrites: false,
            },
        }
    }
}

fn planted(random: &mut Random) -> Vec<Planted> {
    let count = random.between(1, NAMES.len() as u64) as usize;
    let messages = if random.chance(10) { random.between(20, 60) } else { random.between(5, 20) };
    let mut all: Vec<Planted> =
        NAMES[..count].iter().map(|name| Planted { name, letters: Vec::new() }).collect();
    for ordinal in 0..messages {
        let at = random.below(count as u64) as usize;
        let letter = match all[at].letters.len() as u64 {
            have if have > 0 && random.chance(15) => all[at].letters[random.below(have) as usize].clone(),
            _ => mail::letter(random, ordinal),
        };
        all[at].letters.push(letter);
    }
    all
}

/// Mail at the target before: some of it equal to mail of the source.
fn before(random: &mut Random, source: &[Planted]) -> Vec<Planted> {
    if !random.chance(12) {
        return Vec::new();
    }
    let mut letters = vec![mail::letter(random, 1000)];
    let inbox = source.iter().find(|m| m.name == "INBOX").map(|m| m.letters.as_slice()).unwrap_or_default();
    letters.extend(inbox.iter().filter(|l| !l.octets.is_empty() && random.chance(40)).cloned());
    vec![Planted { name: "INBOX", letters }]
}

fn target_profile(random: &mut Random) -> Profile {
    let mut profile = if random.chance(8) { Profile::bare() } else { Profile::default() };
    for knob in [&mut profile.multiappend, &mut profile.uidplus, &mut profile.literal_plus] {
        *knob &= !random.chance(30);
    }
    profile.condstore &= random.chance(80);
    profile.list_status &= random.chance(50);
    profile.refuse_empty = random.chance(70);
    profile.refuse_nul = random.chance(20);
    profile.refuse_bad_header = random.chance(15);
    profile.lone_lf = random.pick(&[LoneLf::Keep, LoneLf::Keep, LoneLf::ToCrlf, LoneLf::Refuse]);
    profile.merges = random.chance(5);
    if random.chance(8) {
        profile.append_limit = Some(random.between(800, 4000));
    }
    if random.chance(8) {
        profile.size_adds = random.between(1, 900);
    }
    if random.chance(40) {
        profile.commit_delay = Duration::from_millis(random.between(1, 1500));
    }
    profile
}

fn tuning(random: &mut Random) -> Tuning {
    let least = Duration::from_secs(random.between(5, 12));
    Tuning {
        connections: random.between(1, 3) as usize,
        batch_messages: random.between(1, 8) as usize,
        group_messages: random.between(1, 6) as usize,
        batch_octets: random.between(2_000, 60_000),
        range_messages: random.between(1, 10) as usize,
        page_rows: random.between(2, 40) as usize,
        settle: (least, least + Duration::from_secs(random.between(0, 20))),
        existing: if random.chance(50) { Existing::Adopt } else { Existing::AppendAnyway },
        compress: false,
        repair: false,
        munges: false,
        rewrites: false,
        range_octets: random.between(1_000, 60_000),
        // No drawn world spools: the thread that writes the file keeps its own time, and a seed would not always run the same.
        in_memory_octets: 1 << 20,
        memory_octets: random.between(20_000, 500_000),
    }
}
