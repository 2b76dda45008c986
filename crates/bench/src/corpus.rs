//! Accounts to be moved, made from a seed message by message: the largest fits in no test's memory.

mod mail;

use clap::ValueEnum;
use mailhaul_testkit::account::Account;
use mailhaul_testkit::corpus::Random;
use mailhaul_testkit::date::InternalDate;
use mailhaul_testkit::image::{Flags, MailboxPath};
use mailhaul_testkit::wire::Outgoing;

use crate::Result;

/// Octets of messages sent by one APPEND while filling.
const BATCH_OCTETS: usize = 4 << 20;
/// Messages sent by one APPEND while filling.
const BATCH_MESSAGES: usize = 500;
/// 2010-01-01T00:00:00Z
const FIRST_DATE: i64 = 1_262_304_000;
/// 15 years.
const DATES_SECONDS: i64 = 15 * 365 * 86_400;
const DAY_SECONDS: u64 = 86_400;
/// Zones dates are written in, in minutes east of UTC.
const ZONES_MINUTES: [i16; 8] = [0, 60, 120, 330, -300, -480, 540, 570];
const KEYWORDS: [&str; 8] =
    ["$Forwarded", "$MDNSent", "NonJunk", "Junk", "$label1", "$label2", "project-x", "todo"];
const SMALL_MAILBOXES: [&str; 10] = [
    "INBOX",
    "Sent",
    "Drafts",
    "Archive",
    "Archive/2015",
    "Archive/2016",
    "Projects",
    "Projects/Alpha",
    "Lists & News",
    "Lists & News/rust-users",
];
const OFFICE_MAILBOXES: [&str; 10] = [
    "INBOX",
    "Gesendet",
    "Bücher & Größen",
    "Архив",
    "日本語",
    "Projets été",
    "Επαφές",
    "📁 Projekte",
    "Kunden",
    "Clients (old)",
];
const OFFICE_BELOW: [&str; 3] = ["/2023", "/2023/Q1 – Łódź", "/письма"];
/// Sizes of office mail as quantiles: so many of 10,000 messages are shorter than so many KiB. Drawn after a lognormal
/// distribution with a median of 70 KiB; between two points it is straight.
const OFFICE_KIB: [(u64, u64); 12] = [
    (0, 5),
    (670, 5),
    (1590, 12),
    (3090, 29),
    (5000, 70),
    (6910, 168),
    (8410, 403),
    (9330, 900),
    (9770, 2150),
    (9938, 4800),
    (9977, 9000),
    (10_000, 10_240),
];

/// The accounts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The first 100 messages of each mailbox of `small`
    Mini,
    /// 10,000 messages of 1-8 KiB in 10 mailboxes
    Small,
    /// 3,000 messages of 5 KiB-10 MiB in 40 mailboxes with names in several scripts, about 900 MB
    Office,
    /// 100,000 messages of 2 KiB in one mailbox
    Huge,
    /// 10 messages of 1-4 KiB in each of 1,000 mailboxes
    Many,
    /// One message of 1 GiB
    Giant,
}

/// One account. The same kind and seed make the same octets, flags and dates on every machine, whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct Corpus {
    /// Which.
    pub kind: Kind,
    /// Everything follows from it.
    pub seed: u64,
    /// Messages in each mailbox, in hundredths of the whole.
    pub percent: u32,
}

/// A message as it is to lie in the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Flags and keywords.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: InternalDate,
    /// The message, with CRLF.
    pub octets: Vec<u8>,
}

impl Kind {
    /// Its name on the command line; also the user's at the source.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mini => "mini",
            Self::Small => "small",
            Self::Office => "office",
            Self::Huge => "huge",
            Self::Many => "many",
            Self::Giant => "giant",
        }
    }

    /// The account whose messages these are: `mini` is a part of `small`.
    fn family(self) -> u64 {
        match self {
            Self::Mini | Self::Small => 1,
            Self::Office => 2,
            Self::Huge => 3,
            Self::Many => 4,
            Self::Giant => 5,
        }
    }

    /// Messages in each mailbox.
    fn messages(self) -> usize {
        match self {
            Self::Mini => 100,
            Self::Small => 1_000,
            Self::Office => 75,
            Self::Huge => 100_000,
            Self::Many => 10,
            Self::Giant => 1,
        }
    }
}

impl Corpus {
    /// The mailboxes, in the order in which they are made.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<MailboxPath> {
        match self.kind {
            Kind::Mini | Kind::Small => SMALL_MAILBOXES.into_iter().map(MailboxPath::from).collect(),
            Kind::Huge | Kind::Giant => vec![MailboxPath::inbox()],
            Kind::Office => {
                let below = |top: &str| OFFICE_BELOW.map(|name| format!("{top}{name}"));
                OFFICE_MAILBOXES
                    .into_iter()
                    .flat_map(|top| std::iter::once(top.to_owned()).chain(below(top)))
                    .map(|name| MailboxPath::from(name.as_str()))
                    .collect()
            }
            Kind::Many => (0..1_000)
                .map(|n| if n == 0 { MailboxPath::inbox() } else { MailboxPath::new([format!("m{n:03}")]) })
                .collect(),
        }
    }

    /// Messages in each mailbox: at least one.
    #[must_use]
    pub fn messages(&self) -> usize {
        (self.kind.messages() * self.percent as usize / 100).max(1)
    }

    /// One message, by the ordinals of its mailbox and of itself, from 0.
    #[must_use]
    pub fn mail(&self, mailbox: usize, index: usize) -> Mail {
        let mut random = self.random(mailbox, index);
        let full = if self.kind == Kind::Mini { Kind::Small.messages() } else { self.kind.messages() };
        let at = FIRST_DATE + DATES_SECONDS / full as i64 * index as i64 + random.below(DAY_SECONDS) as i64;
        let internal_date = InternalDate { unix_seconds: at, zone_minutes: random.pick(&ZONES_MINUTES) };
        let flags = flags(&mut random);
        let octets = self.size_octets(&mut random);
        let octets =
            mail::letter(&mut random, internal_date, octets, matches!(self.kind, Kind::Office | Kind::Giant));
        Mail { flags, internal_date, octets }
    }

    /// Puts it all into an empty account, subscribed, and says how many messages and octets that were.
    ///
    /// # Errors
    /// If the server refuses anything.
    pub fn fill(&self, account: &Account) -> Result<(usize, u64)> {
        let mut wire = account.login()?;
        let (mut messages, mut octets) = (0, 0);
        for (ordinal, path) in self.mailboxes().iter().enumerate() {
            let name = account.wire_name(path)?;
            if !path.is_inbox() {
                wire.create(&name)?;
                wire.subscribe(&name)?;
            }
            let mut index = 0;
            while index < self.messages() {
                let batch = self.batch(ordinal, index);
                let outgoing: Vec<Outgoing<'_>> = batch.iter().map(Mail::outgoing).collect();
                wire.append(&name, &outgoing)?;
                index += batch.len();
                octets += batch.iter().map(|mail| mail.octets.len() as u64).sum::<u64>();
            }
            messages += index;
        }
        wire.logout()?;
        Ok((messages, octets))
    }

    fn batch(&self, mailbox: usize, from: usize) -> Vec<Mail> {
        let (mut batch, mut octets) = (Vec::new(), 0);
        for index in from..self.messages().min(from + BATCH_MESSAGES) {
            let mail = self.mail(mailbox, index);
            octets += mail.octets.len();
            batch.push(mail);
            if octets >= BATCH_OCTETS {
                break;
            }
        }
        batch
    }

    /// Each message has a generator of its own: so it does not depend on how many others are made.
    fn random(&self, mailbox: usize, index: usize) -> Random {
        let place = (mailbox as u64) << 32 | index as u64;
        let mut of_account = Random::new(self.seed ^ self.kind.family() << 56);
        Random::new(of_account.next_u64() ^ place)
    }

    fn size_octets(&self, random: &mut Random) -> u64 {
        match self.kind {
            Kind::Mini | Kind::Small => random.between(1 << 10, 8 << 10),
            Kind::Huge => 2 << 10,
            Kind::Many => random.between(1 << 10, 4 << 10),
            Kind::Office => quantile_octets(random.below(10_000)),
            Kind::Giant => 1 << 30,
        }
    }
}

impl Mail {
    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing { flags: &self.flags, internal_date: Some(self.internal_date), octets: &self.octets }
    }
}

fn quantile_octets(rank: u64) -> u64 {
    let upper = OFFICE_KIB.iter().position(|(at, _)| *at > rank).unwrap_or(OFFICE_KIB.len() - 1);
    let ((low, low_kib), (high, high_kib)) = (OFFICE_KIB[upper - 1], OFFICE_KIB[upper]);
    ((low_kib << 10) * (high - rank) + (high_kib << 10) * (rank - low)) / (high - low)
}

fn flags(random: &mut Random) -> Flags {
    let mut flags = Flags::default();
    for (flag, percent) in [("\\Seen", 80), ("\\Answered", 15), ("\\Flagged", 6), ("\\Draft", 1)] {
        if random.chance(percent) {
            flags.insert(flag);
        }
    }
    if random.chance(25) {
        flags.insert(random.pick(&KEYWORDS));
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 5] = [Kind::Mini, Kind::Small, Kind::Office, Kind::Huge, Kind::Many];

    fn corpus(kind: Kind, seed: u64) -> Corpus {
        Corpus { kind, seed, percent: 100 }
    }

    #[test]
    fn a_seed_makes_the_same_account_every_time_and_another_seed_another_one() {
        for kind in KINDS {
            assert_eq!(corpus(kind, 7).mail(0, 3), corpus(kind, 7).mail(0, 3));
            assert_ne!(corpus(kind, 7).mail(0, 3), corpus(kind, 8).mail(0, 3));
            assert_ne!(corpus(kind, 7).mail(0, 3).octets, corpus(kind, 7).mail(0, 4).octets);
        }
        assert_ne!(corpus(Kind::Small, 7).mail(0, 3).octets, corpus(Kind::Small, 7).mail(1, 3).octets);
    }

    #[test]
    fn mini_is_the_beginning_of_small_and_a_smaller_account_the_beginning_of_a_larger_one() {
        let part = Corpus { percent: 10, ..corpus(Kind::Small, 1) };
        assert_eq!(part.messages(), 100);
        assert_eq!(corpus(Kind::Mini, 1).mail(4, 99), part.mail(4, 99));
        assert_eq!(Corpus { percent: 1, ..corpus(Kind::Many, 1) }.messages(), 1);
    }

    #[test]
    fn the_accounts_have_the_sizes_they_are_named_for() {
        let whole = |kind| corpus(kind, 1).mailboxes().len() * corpus(kind, 1).messages();
        assert_eq!(KINDS.map(whole), [1_000, 10_000, 3_000, 100_000, 10_000]);
        let small: u64 = (0..500).map(|n| corpus(Kind::Small, 1).mail(0, n).octets.len() as u64).sum();
        assert!((1_900_000..2_700_000).contains(&small), "46 MB in 10,000: {small} in 500");
        let mean = (0..10_000).map(quantile_octets).sum::<u64>() / 10_000;
        assert!((310_000..330_000).contains(&mean), "{mean} octets each, as drawn");
        assert_eq!((quantile_octets(0), quantile_octets(5_000)), (5 << 10, 70 << 10));
    }

    #[test]
    fn a_large_office_message_is_as_long_as_drawn_and_has_its_closing_boundary() {
        let date = InternalDate::utc(FIRST_DATE);
        for octets in [5_000, 70_000, 1_000_000] {
            let letter = mail::letter(&mut Random::new(1), date, octets, true);
            assert!(letter.len().abs_diff(octets as usize) < 600, "{octets}: {}", letter.len());
            assert!(letter.len() < 12_000 || letter.ends_with(b"--\r\n"));
            let lone = letter.windows(2).filter(|two| two[1] == b'\n' && two[0] != b'\r').count();
            assert_eq!(lone, 0, "lines end in CRLF");
            assert!(letter.split(|octet| *octet == b'\n').all(|line| line.len() <= 998));
        }
    }
}
