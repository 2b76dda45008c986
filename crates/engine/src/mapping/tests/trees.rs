//! Generated name trees: whatever a source lists, each mailbox is decided once, no two share a place, no server is asked for a
//! name that its rules forbid, and nothing moves in a later run.
//!
//! `MAILHAUL_NAME_TREES` says how many, `MAILHAUL_NAME_TREES_FIRST` from which one on.

use super::*;
use crate::name_rules::NameRules;
use crate::survey::SideSurvey;

/// Trees in a test run; a build without optimisation takes some ten times as long for each.
const TREES: u64 = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
/// Delimiters and prefixes.
const SPACES: [(&str, Option<char>); 7] = [
    ("", Some('/')),
    ("", Some('.')),
    ("INBOX.", Some('.')),
    ("INBOX/", Some('/')),
    ("", Some('\\')),
    ("Mail/", Some('/')),
    ("", None),
];
const PRODUCTS: [&str; 9] =
    ["?", "Dovecot", "Cyrus", "Courier", "Stalwart", "mox", "GImap", "Microsoft Exchange", "Domino"];
/// Components that provoke.
const NASTY: &[&str] = &[
    "INBOX",
    "Inbox",
    "inbox",
    "Sent",
    "sent",
    "SENT",
    "Sent Items",
    "Gesendete Objekte",
    "Trash",
    "Kalender",
    "a/b",
    "a.b",
    "a\\b",
    "a_b",
    "a b",
    " a",
    "a ",
    "a  b",
    "\u{a0}a",
    " ",
    "",
    ".",
    "..",
    "...",
    "~",
    "~x",
    "#news",
    "100%",
    "*",
    "^",
    "\"q\"",
    "it's",
    "{3}",
    "a;b!",
    "<x|y>",
    "Files",
    "files",
    "_mail",
    "_",
    "a~1234",
    "Caf\u{e9}",
    "Cafe\u{301}",
    "CAF\u{c9}",
    "Entwürfe",
    "日本語",
    "\u{1f600}",
    "a\u{200d}b",
    "R&D",
    "&AGEAYg-",
    "ab",
    "&AOQ",
    "a\tb",
    "a\r\nb",
    "\u{7f}",
    "\u{1}",
    "K\u{212a}k",
    "ﬁ",
    "İ",
    "i\u{307}",
    "ß",
    "SS",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn component(&mut self) -> String {
        match self.below(24) {
            0 => self.of(&["x", "ü", "日", "\u{1f600}", "e\u{301}"]).repeat(1 + self.below(300)),
            1 | 2 => format!("{}{}", self.of(NASTY), self.of(NASTY)),
            3 | 4 => self.of(NASTY).to_uppercase(),
            5 | 6 => ["a", "b", "c"][self.below(3)].to_owned(),
            _ => self.of(NASTY).to_owned(),
        }
    }

    /// A path: a new one, a child of an old one, or an old one written otherwise.
    fn path(&mut self, old: &[Vec<String>]) -> Vec<String> {
        let known = |random: &mut Self| old.get(random.below(old.len().max(1))).cloned().unwrap_or_default();
        let mut path = if self.one_in(2) { known(self) } else { Vec::new() };
        match self.below(6) {
            0 if !path.is_empty() => path.iter_mut().for_each(|c| *c = c.to_lowercase()),
            1 if self.one_in(8) => path.extend((0..20).map(|n| n.to_string())),
            _ => {}
        }
        for _ in 0..=self.below(3) {
            path.push(self.component());
        }
        path
    }

    fn side(&mut self, others: &[Vec<String>]) -> (Side, Vec<Vec<String>>) {
        let (prefix, delimiter) = SPACES[self.below(SPACES.len())];
        let mut side = Side::new(prefix, delimiter);
        side.abilities.product = self.of(&PRODUCTS).to_owned();
        side.abilities.creates_roles = self.one_in(2);
        let (all_files, mut paths) = (self.one_in(8), others.to_vec());
        for _ in 0..self.below(12) {
            let path = if !others.is_empty() && self.one_in(2) {
                others[self.below(others.len())].clone()
            } else {
                self.path(&paths)
            };
            let below = if self.one_in(8) { "" } else { prefix };
            let text = format!("{below}{}", path.join(&delimiter.map_or("-".into(), String::from)));
            side = if self.one_in(4) { side.wire(text.into_bytes()) } else { side.mailbox(&text) };
            let kind = self.below(24);
            side = side.with(|info| {
                info.role = Role::ALL.get(kind).copied();
                info.selectable = kind != 9;
                info.may_have_children = kind != 10;
                if kind == 11 {
                    info.space = Space::Shared;
                }
            });
            side = side.holds(self.below(5) as u64, 1);
            paths.push(path);
        }
        if all_files || self.one_in(6) {
            side.listed[0].may_have_children = false;
        }
        if all_files {
            side.listed.iter_mut().for_each(|info| info.may_have_children = false);
        }
        (side, paths)
    }
}

fn fresh(source: &Side, target: &Side, earlier: &[MailboxRecord]) -> Mapping {
    map(&survey(source, target), &MappingRules::default(), &Selection::default(), earlier)
}

fn moves(mapping: &Mapping) -> impl Iterator<Item = (&Entry, &Name)> {
    mapping.entries.iter().filter_map(|entry| match &entry.decision {
        Decision::Move(name) => Some((entry, name)),
        _ => None,
    })
}

#[test]
fn generated_trees_are_mapped_injectively_lawfully_and_for_good() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = number("MAILHAUL_NAME_TREES_FIRST").unwrap_or(0);
    for seed in first..first + number("MAILHAUL_NAME_TREES").unwrap_or(TREES) {
        let mut random = Random(seed);
        let (source, paths) = random.side(&[]);
        let (target, _) = random.side(&paths);
        let mapping = fresh(&source, &target, &[]);
        decided_once(seed, &source, &mapping);
        no_place_is_shared(seed, &target, &mapping);
        no_forbidden_name(seed, &target, &mapping);
        what_was_made_stays_as_it_is(seed, &target, &mapping);
        later_runs_agree(seed, &mut random, &source, &target, &mapping);
    }
}

fn decided_once(seed: u64, source: &Side, mapping: &Mapping) {
    let wires = |side: &SideSurvey| side.mailboxes.iter().map(|m| m.info.wire.clone()).collect::<Vec<_>>();
    let decided: Vec<Bytes> = mapping.entries.iter().map(|entry| entry.source.wire.clone()).collect();
    assert_eq!(wires(&source.survey()), decided, "tree {seed}");
    let keys = |infos: &[MailboxInfo]| {
        infos.iter().map(|i| names::key(&i.wire, i.delimiter)).collect::<HashSet<_>>()
    };
    assert_eq!(keys(&source.listed), mapping.entries.iter().map(|e| key(&e.source)).collect(), "tree {seed}");
    assert!(mapping.problems.is_empty() && mapping.conflicts.is_empty(), "tree {seed}");
    for entry in &mapping.entries {
        // Only a mailbox without a name has no place.
        let refused = matches!(entry.decision, Decision::Refuse(_));
        assert_eq!(
            refused,
            entry.source.wire.is_empty() && entry.left_out.is_none(),
            "tree {seed}: {entry:?}"
        );
    }
}

fn no_place_is_shared(seed: u64, target: &Side, mapping: &Mapping) {
    let rules = target.survey().name_rules;
    let (mut wires, mut keys) = (HashSet::new(), HashSet::new());
    for name in moves(mapping).flat_map(|(entry, name)| std::iter::once(name).chain(&entry.spare)) {
        assert!(!name.wire.is_empty(), "tree {seed}");
        assert!(wires.insert(key(name)), "tree {seed}: {name:?} twice");
        assert!(keys.insert(rules.key(&name.text, name.delimiter)), "tree {seed}: {name:?} alike");
    }
}

/// The rules, told a second time: by searching, where the engine replaces.
fn objection(
    rules: &NameRules,
    component: &str,
    octets: usize,
    delimiter: Option<char>,
) -> Option<&'static str> {
    let spaces = || {
        component.split(' ').any(str::is_empty) || component.chars().any(|c| c.is_whitespace() && c != ' ')
    };
    let nfc = || unicode_normalization::UnicodeNormalization::nfc(component).eq(component.chars());
    [
        (component.is_empty(), "empty"),
        (component.chars().any(|c| c.is_control() || Some(c) == delimiter), "control or delimiter"),
        (component.chars().any(|c| rules.forbidden.contains(c)), "forbidden"),
        (component.starts_with(|c| rules.forbidden_first.contains(c)), "first"),
        (rules.reserved.iter().any(|word| word.eq_ignore_ascii_case(component)), "reserved"),
        (!rules.takes_odd_spaces && spaces(), "spaces"),
        (!rules.takes_astral && component.chars().any(|c| c > '\u{ffff}'), "astral"),
        (rules.wants_nfc && !nfc(), "form"),
        (octets > rules.component_octets_max, "long"),
    ]
    .into_iter()
    .find_map(|(wrong, what)| wrong.then_some(what))
}

fn no_forbidden_name(seed: u64, target: &Side, mapping: &Mapping) {
    let side = target.survey();
    let (rules, home, there) = (&side.name_rules, side.home(), side.by_key());
    let made = moves(mapping).filter(|(_, name)| !there.contains_key(&key(name)));
    let names: Vec<&Name> = made
        .flat_map(|(entry, name)| std::iter::once(name).chain(&entry.spare))
        .filter(|n| n.wire != names::INBOX)
        .collect();
    for name in &names {
        let below = if key(name).starts_with(names::INBOX.as_bytes()) && !key(name).starts_with(&home.wire) {
            &name.wire[..]
        } else {
            &name.wire[home.wire.len()..]
        };
        let parts = names::split(below, home.delimiter);
        let levels = levels_above(name);
        // What is there already is there, whatever its name, and so is what lies above it.
        let is_there = |above: &&Bytes| there.keys().any(|key| key.starts_with(above));
        let known = levels.iter().filter(is_there).map(|above| above.len()).max();
        let new = |part: &&&[u8]| {
            let at = part.as_ptr() as usize - name.wire.as_ptr() as usize;
            known.is_none_or(|known| at + part.len() > known)
        };
        for part in parts.iter().filter(new) {
            let wrong = objection(rules, &names::decode(part, false), part.len(), home.delimiter);
            assert_eq!(wrong, None, "tree {seed}: {name:?} on {}", side.abilities.product);
        }
        assert!(parts.len() <= rules.levels_max, "tree {seed}: {name:?}");
        assert!(name.wire.len() <= rules.path_octets_max, "tree {seed}: {name:?}");
        for above in levels.iter().filter_map(|above| there.get(above)) {
            let in_prefix = home.wire.to_ascii_uppercase().starts_with(&above.info.wire.to_ascii_uppercase());
            assert!(above.info.may_have_children || in_prefix, "tree {seed}: {name:?}");
            assert_eq!(above.info.space, Space::Personal, "tree {seed}: {name:?}");
        }
    }
    if !rules.mail_beside_children {
        let mail: HashSet<Bytes> =
            moves(mapping).map(|(_, name)| key(name)).filter(|key| !there.contains_key(key)).collect();
        for (_, name) in moves(mapping) {
            let below_mail = levels_above(name).into_iter().find(|above| mail.contains(above));
            assert_eq!(below_mail, None, "tree {seed}: {name:?}");
        }
    }
}

/// Keys of the levels above a name, outermost first.
fn levels_above(name: &Name) -> Vec<Bytes> {
    let parts = names::split(&name.wire, name.delimiter);
    let delimiter = name.delimiter.map(String::from).unwrap_or_default();
    (1..parts.len()).map(|n| names::key(&parts[..n].join(delimiter.as_bytes()), name.delimiter)).collect()
}

/// Moving what was made to an empty account of the same kind changes no name.
fn what_was_made_stays_as_it_is(seed: u64, target: &Side, mapping: &Mapping) {
    let mut empty = target.clone();
    empty.listed.truncate(1);
    empty.listed[0].may_have_children = true;
    let mut full = empty.clone();
    full.abilities.product = "?".to_owned();
    let there = target.survey();
    let there = there.by_key();
    // What lies below a mailbox that is there has its odd name above it.
    let new = |name: &&Name| {
        let below = |above: &Bytes| *above != names::INBOX && there.keys().any(|key| key.starts_with(above));
        // INBOX twice: below a prefix that is INBOX the first one is the prefix.
        let twice =
            names::split(&name.wire, name.delimiter).iter().filter(|part| names::is_inbox(part)).count() > 1;
        !there.contains_key(&key(name)) && !twice && !levels_above(name).iter().any(below)
    };
    let made = moves(mapping).map(|(_, name)| name).filter(new);
    let made: Vec<Bytes> = made.map(|name| name.wire.clone()).collect();
    for wire in &made {
        full = full.wire(wire.clone());
    }
    let again = fresh(&full, &empty, &[]);
    let kept: HashSet<Bytes> = moves(&again).map(|(_, name)| name.wire.clone()).collect();
    for wire in made {
        assert!(kept.contains(&wire), "tree {seed}: {wire:?} becomes another name: {:#?}", again.remarks);
    }
}

fn later_runs_agree(seed: u64, random: &mut Random, source: &Side, target: &Side, mapping: &Mapping) {
    // The order of the listings does not matter.
    let (mut backwards, mut other) = (source.clone(), target.clone());
    backwards.listed.reverse();
    other.listed.reverse();
    assert_eq!(*mapping, fresh(&backwards, &other, &[]), "tree {seed}");
    // The same account again, its mailboxes being there by now.
    let mut grown = target.clone();
    for (_, name) in moves(mapping) {
        if !grown.listed.iter().any(|info| names::key(&info.wire, info.delimiter) == key(name)) {
            grown = grown.wire(name.wire.clone());
        }
    }
    let second = fresh(source, &grown, &records(mapping));
    let decisions =
        |mapping: &Mapping| mapping.entries.iter().map(|e| e.decision.clone()).collect::<Vec<_>>();
    assert_eq!(decisions(mapping), decisions(&second), "tree {seed}");
    // Some mailboxes came later.
    let mut before = source.clone();
    before.listed.retain(|info| names::is_inbox(&info.wire) || !random.one_in(3));
    let first = fresh(&before, target, &[]);
    let later = fresh(source, target, &records(&first));
    no_place_is_shared(seed, target, &later);
    assert!(later.conflicts.is_empty(), "tree {seed}: {:?}", later.conflicts);
    for (entry, name) in moves(&first) {
        let same = moves(&later).any(|(e, n)| key(&e.source) == key(&entry.source) && n == name);
        assert!(same, "tree {seed}: {:?} went to {name:?}", entry.source);
    }
}
