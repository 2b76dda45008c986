//! Accounts made up from a seed, with what real ones hold and both Dovecot and Cyrus keep as it is.

mod letters;
pub mod nasty;
mod random;

use std::collections::BTreeSet;

use crate::date::InternalDate;
use crate::image::{AccountImage, Flags, MailboxImage, MailboxPath, MessageImage};

pub use letters::letter;
pub use random::Random;

/// Keywords of real clients and of people.
const KEYWORDS: [&str; 8] =
    ["$Forwarded", "$MDNSent", "NonJunk", "Junk", "$label1", "$label2", "project-x", "todo"];
/// Zones dates are written in, in minutes east of UTC.
const ZONES_MINUTES: [i16; 8] = [0, 60, 120, 330, -300, -480, 540, 570];
/// Names of levels: no `.`, which Maildir++ and Cyrus take for a delimiter, and none of `% " \ { ; ! ^ | < >`, which
/// Cyrus refuses.
const LEVELS: [&str; 20] = [
    "Sent",
    "Archive",
    "Bücher & Größen",
    "Архив",
    "日本語",
    "Projets été",
    "Επαφές",
    "📁 Projekte",
    "Clients (old)",
    "R&D",
    "Lists",
    "Q1 – Łódź",
    "письма",
    "Entwürfe",
    "e\u{301} decomposed",
    "with  two spaces",
    "x@example",
    "#hash",
    "(paren) *star",
    "'quoted'",
];
/// 2010-01-01T00:00:00Z: no server of the tests clamps dates from here to [`DATES_SECONDS`] later.
const FIRST_DATE: i64 = 1_262_304_000;
/// 15 years.
const DATES_SECONDS: u64 = 15 * 365 * 86_400;
/// Levels a generated mailbox may have.
const MAX_LEVELS: usize = 4;

/// The size and shape of a generated account.
#[derive(Clone, Debug)]
pub struct CorpusOptions {
    /// Everything follows from it.
    pub seed: u64,
    /// Mailboxes, INBOX among them, at least 1.
    pub mailboxes: usize,
    /// How many of them hold no message; INBOX always may.
    pub empty_mailboxes: usize,
    /// Messages in all.
    pub messages: usize,
    /// How many of them are exact copies of another one in the same mailbox; fewer than `messages`.
    pub copies: usize,
    /// Octets of a message's body, at most.
    pub body_octets: u64,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self { seed: 1, mailboxes: 8, empty_mailboxes: 2, messages: 100, copies: 10, body_octets: 8 << 10 }
    }
}

/// Makes an account. The same options make the same octets, flags, dates and names on every machine.
///
/// # Panics
/// If the options leave no mailbox or no message to copy.
#[must_use]
pub fn generate(options: &CorpusOptions) -> AccountImage {
    assert!(options.mailboxes > options.empty_mailboxes, "a mailbox holds the messages");
    assert!(options.copies == 0 || options.copies < options.messages, "a message is there to be copied");
    let mut random = Random::new(options.seed);
    let paths = paths(&mut random, options.mailboxes);
    let filled = options.mailboxes - options.empty_mailboxes;
    let mut image = AccountImage {
        mailboxes: paths.iter().cloned().map(MailboxImage::empty).collect(),
        subscriptions: paths.iter().filter(|path| path.is_inbox() || random.chance(75)).cloned().collect(),
    };
    let originals = options.messages - options.copies;
    for ordinal in 0..originals {
        // the first messages reach every mailbox that is to have some
        let index = if ordinal < filled { ordinal } else { random.below(filled as u64) as usize };
        let message = message(&mut random, options, ordinal);
        image.mailboxes[index].messages.push(message);
    }
    for _ in 0..options.copies {
        let index = random.below(filled.min(originals) as u64) as usize;
        let messages = &mut image.mailboxes[index].messages;
        let copy = messages[random.below(messages.len() as u64) as usize].clone();
        // a copy is an exact one: flags and date too, so that counting alone tells them apart
        messages.insert(random.below(messages.len() as u64 + 1) as usize, copy);
    }
    for mailbox in &mut image.mailboxes {
        for (uid, message) in (1..).zip(&mut mailbox.messages) {
            message.uid = uid;
        }
    }
    image.mailboxes.sort_by(|a, b| a.path.cmp(&b.path));
    image
}

/// INBOX and others, each below INBOX, the root, or one chosen before.
fn paths(random: &mut Random, count: usize) -> Vec<MailboxPath> {
    let mut paths = vec![MailboxPath::inbox()];
    let mut seen: BTreeSet<MailboxPath> = paths.iter().cloned().collect();
    while paths.len() < count {
        let mut levels: Vec<String> = match paths.len() {
            1 => Vec::new(),
            _ if random.chance(50) => Vec::new(),
            // not below INBOX: a personal prefix "INBOX." would make it ambiguous
            _ => paths[1..][random.below(paths.len() as u64 - 1) as usize].levels().to_vec(),
        };
        let level = random.pick(&LEVELS);
        levels.push(if paths.len() > LEVELS.len() {
            format!("{level} {}", paths.len())
        } else {
            level.to_owned()
        });
        let path = MailboxPath::new(levels);
        if path.levels().len() <= MAX_LEVELS && seen.insert(path.clone()) {
            paths.push(path);
        }
    }
    paths
}

fn message(random: &mut Random, options: &CorpusOptions, ordinal: usize) -> MessageImage {
    let date = InternalDate {
        unix_seconds: FIRST_DATE + random.below(DATES_SECONDS) as i64,
        zone_minutes: random.pick(&ZONES_MINUTES),
    };
    let body_octets = random.below(options.body_octets + 1) as usize;
    let octets = letter(random, options.seed, ordinal, date, body_octets);
    MessageImage {
        uid: 0,
        flags: flags(random),
        internal_date: date,
        content: crate::image::Content::of(octets),
    }
}

fn flags(random: &mut Random) -> Flags {
    let mut flags = Flags::default();
    for (flag, percent) in
        [("\\Seen", 80), ("\\Answered", 15), ("\\Flagged", 6), ("\\Draft", 2), ("\\Deleted", 1)]
    {
        if random.chance(percent) {
            flags.insert(flag);
        }
    }
    while random.chance(25) {
        flags.insert(random.pick(&KEYWORDS));
    }
    flags
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::checker::{PathMap, assert_same};

    #[test]
    fn a_seed_makes_the_same_account_and_another_seed_another() {
        let options = CorpusOptions::default();
        let account = generate(&options);
        assert_eq!(account, generate(&options));
        assert_same(&account, &generate(&options), &PathMap::same(), &[]);
        assert_ne!(account, generate(&CorpusOptions { seed: 2, ..options }));
    }

    #[test]
    fn counts_are_as_asked() {
        let options = CorpusOptions {
            mailboxes: 40,
            empty_mailboxes: 5,
            messages: 600,
            copies: 50,
            ..Default::default()
        };
        let account = generate(&options);
        assert_eq!(account.mailboxes.len(), 40);
        assert_eq!(account.message_count(), 600);
        assert_eq!(account.mailboxes.iter().filter(|mailbox| mailbox.messages.is_empty()).count(), 5);
        let mut copies: HashMap<_, usize> = HashMap::new();
        for (path, message) in account.messages() {
            *copies.entry((path, message.content.sha256)).or_default() += 1;
        }
        assert_eq!(copies.len(), 550);
        assert!(account.subscriptions.len() > 20 && account.subscriptions.len() < 40);
    }

    #[test]
    fn one_mailbox_and_no_message_is_an_account_too() {
        let account = generate(&CorpusOptions {
            mailboxes: 1,
            empty_mailboxes: 0,
            messages: 0,
            copies: 0,
            ..Default::default()
        });
        assert_eq!((account.mailboxes.len(), account.message_count()), (1, 0));
    }

    #[test]
    fn a_small_account_has_a_bit_of_everything() {
        let account = generate(&CorpusOptions { messages: 300, ..Default::default() });
        let any = |test: &dyn Fn(&MessageImage) -> bool| account.messages().any(|(_, message)| test(message));
        let octets = |message: &MessageImage| message.content.octets.clone().unwrap_or_default();
        assert!(any(&|message| octets(message).iter().any(|octet| *octet > 127)));
        assert!(any(&|message| !octets(message).ends_with(b"\r\n")));
        assert!(any(&|message| octets(message).split(|octet| *octet == b'\n').any(|line| line.len() > 998)));
        assert!(any(&|message| String::from_utf8_lossy(&octets(message)).contains("multipart/mixed")));
        assert!(any(&|message| message.flags.contains("todo")));
        assert!(any(&|message| message.internal_date.zone_minutes < 0));
    }

    #[test]
    fn no_message_holds_what_a_server_changes() {
        for (_, message) in generate(&CorpusOptions { messages: 300, ..Default::default() }).messages() {
            let octets = message.content.octets.clone().unwrap_or_default();
            assert!(!octets.contains(&0));
            let crs = octets.iter().filter(|octet| **octet == b'\r').count();
            let lfs = octets.iter().filter(|octet| **octet == b'\n').count();
            let pairs = octets.windows(2).filter(|pair| *pair == b"\r\n").count();
            assert_eq!((crs, lfs), (pairs, pairs));
        }
    }
}
