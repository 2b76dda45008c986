//! What a seed draws.

use super::ANSWER;
use mailhaul_testkit::corpus::Random;
use mailhaul_testkit::proxy::{Direction, Fault, How, Plan, seeded_cuts};
use mailhaul_testkit::servers::MailFormat;
use std::time::Duration;

/// How late the end of a command arrives after its sender is gone, at most.
const LATE: Duration = Duration::from_secs(1);
/// Octets of a connection within which it is cut: about a third of the account.
const CUT_WITHIN_OCTETS: u64 = 400_000;
/// How long a client waits for the answer of an APPEND while server processes are killed. QUIRK: Dovecot (maildir) leaves
/// `dovecot-uidlist.lock` behind then; the next session waits up to 120 s for it (MAILDIR_UIDLIST_LOCK_STALE_TIMEOUT; its
/// log says "APPEND … 79.177 in locks") and stores what it was sent, whether or not its client still waits.
const APPEND_ANSWER: Duration = Duration::from_secs(600);
/// The longest wait before a server process is killed, from the last octet of a batch.
const KILL_WITHIN: Duration = Duration::from_millis(400);

/// Formats and `mail_fsync` of Dovecot; `None` is Cyrus.
pub const STORES: [Option<(MailFormat, &str)>; 10] = [
    Some((MailFormat::Maildir, "always")),
    Some((MailFormat::Sdbox, "optimized")),
    Some((MailFormat::Mdbox, "never")),
    None,
    Some((MailFormat::Maildir, "optimized")),
    Some((MailFormat::Sdbox, "never")),
    Some((MailFormat::Mdbox, "always")),
    Some((MailFormat::Sdbox, "always")),
    Some((MailFormat::Maildir, "never")),
    Some((MailFormat::Mdbox, "optimized")),
];

/// All that a seed draws.
pub struct Case {
    pub seed: u64,
    pub store: Option<(MailFormat, &'static str)>,
    pub multiappend: bool,
    pub batch_messages: usize,
    /// What happens to the first connections of either side.
    pub to_source: Vec<Plan>,
    pub to_target: Vec<Plan>,
    /// How long the first runs of the client live.
    pub lives: Vec<Duration>,
    /// After how many batches, from one kill to the next, the server's processes die, and how long after the last
    /// octet.
    pub server_kills: Vec<(u64, Duration)>,
}

impl Case {
    /// Every fourth round of all stores kills server processes; the others cut connections and kill the client.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let store = STORES[(seed % STORES.len() as u64) as usize];
        let multiappend = random.chance(50);
        let mut case = Self {
            seed,
            store,
            multiappend,
            batch_messages: [5, 20, 200][random.below(3) as usize],
            to_source: Vec::new(),
            to_target: Vec::new(),
            lives: Vec::new(),
            server_kills: Vec::new(),
        };
        if (seed + seed / STORES.len() as u64) % 4 == 3 {
            let kill = |random: &mut Random| {
                (random.below(3), Duration::from_millis(random.below(KILL_WITHIN.as_millis() as u64 + 1)))
            };
            case.server_kills = (0..random.between(2, 6)).map(|_| kill(&mut random)).collect();
            return case;
        }
        case.to_source = seeded_cuts(random.next_u64(), random.below(4) as usize, CUT_WITHIN_OCTETS);
        case.to_target = (0..random.between(3, 10)).map(|_| fault(&mut random)).collect();
        let life = |random: &mut Random| {
            let most = random.pick(&[300_000, 3_000_000]);
            Duration::from_micros(50_000 + random.below(most))
        };
        case.lives = (0..random.below(4)).map(|_| life(&mut random)).collect();
        case
    }

    /// How long the client waits for the answer of an APPEND.
    pub fn append_answer(&self) -> Duration {
        if self.server_kills.is_empty() { ANSWER } else { APPEND_ANSWER }
    }

    pub fn name(&self) -> String {
        let store =
            self.store.map_or("Cyrus".to_owned(), |(format, fsync)| format!("{format:?} fsync {fsync}"));
        let multi = if self.multiappend { "MULTIAPPEND" } else { "single APPENDs" };
        format!("{store}, {multi}, batches of {}", self.batch_messages)
    }
}

/// Mostly a cut anywhere; else one at a point where it matters.
fn fault(random: &mut Random) -> Plan {
    let how = random.pick(&[How::Fin, How::Rst]);
    let nth = random.between(1, 6);
    let command = "APPEND".to_owned();
    match random.below(10) {
        0 => vec![Fault::CutAfterLiteral { direction: Direction::ToServer, nth, how }],
        1 => vec![Fault::SwallowOk { command, nth }],
        2 | 3 => {
            let after = Duration::from_millis(random.below(LATE.as_millis() as u64));
            let octets = random.between(1, 3) as usize;
            vec![Fault::Late { command, nth, octets, after, hang_up: Some(how) }]
        }
        _ => seeded_cuts(random.next_u64(), 1, CUT_WITHIN_OCTETS).remove(0),
    }
}
