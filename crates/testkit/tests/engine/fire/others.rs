//! The other session: what it delivers, and where that is in the end.

use super::ANSWER;
use mailhaul_testkit::account::Account;
use mailhaul_testkit::corpus::{Random, letter};
use mailhaul_testkit::date::InternalDate;
use mailhaul_testkit::image::{AccountImage, Content, Flags, MailboxPath, Sha};
use mailhaul_testkit::wire::{Outgoing, Wire, WireError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Mail of the other session: mailbox and digest, and whether the server said that it has it.
pub type Delivered = BTreeMap<(MailboxPath, Sha), bool>;

/// Delivers distinct mail to the mailboxes of an account until told to stop.
pub fn deliver(account: &Account, mailboxes: &[MailboxPath], seed: u64, stop: &AtomicBool) -> Delivered {
    let mut random = Random::new(!seed);
    let names: Vec<String> = mailboxes.iter().map(|path| account.wire_name(path).unwrap()).collect();
    let (mut delivered, mut wire) = (Delivered::new(), None);
    let date = InternalDate { unix_seconds: 1_700_000_000, zone_minutes: 0 };
    for ordinal in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let at = random.below(names.len() as u64) as usize;
        let size = random.below(4_000) as usize;
        let octets = letter(&mut random, 1_000_000 + seed, ordinal, date, size);
        let open = match wire.take() {
            Some(open) => Ok(open),
            None => Wire::login_within(ANSWER, &account.endpoint, &account.user, &account.password),
        };
        // a server whose processes are being killed answers no login
        let Ok(mut open) = open else { continue };
        let message = Outgoing { flags: &Flags::default(), internal_date: None, octets: &octets };
        let answer = open.append(&names[at], &[message]);
        let place = (mailboxes[at].clone(), Content::of(octets).sha256);
        match answer {
            Ok(_) => {
                delivered.insert(place, true);
                wire = Some(open);
            }
            // the mailbox is not there yet
            Err(WireError::No(_)) => wire = Some(open),
            Err(_) => {
                delivered.insert(place, false);
            }
        }
        thread::sleep(Duration::from_millis(random.below(30)));
    }
    delivered
}

/// What became of the other session's mail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// Messages that the server said it has, and that are not there.
    pub gone: usize,
    /// Messages that are there more than once.
    pub twice: usize,
}

/// Takes the other session's mail out of an image.
pub fn take_out(image: &mut AccountImage, delivered: &Delivered) -> Fate {
    let mut found: BTreeMap<(MailboxPath, Sha), usize> = BTreeMap::new();
    for mailbox in &mut image.mailboxes {
        mailbox.messages.retain(|message| {
            let place = (mailbox.path.clone(), message.content.sha256);
            let theirs = delivered.contains_key(&place);
            if theirs {
                *found.entry(place).or_default() += 1;
            }
            !theirs
        });
    }
    Fate {
        gone: delivered.iter().filter(|(place, told)| **told && !found.contains_key(place)).count(),
        twice: found.values().filter(|times| **times > 1).count(),
    }
}
