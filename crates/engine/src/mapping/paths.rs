//! Mailboxes that keep their path: each below what became of the one above it, fitted to what the target takes, and never
//! where another one goes.

use super::decide::{Mapper, collision};
use super::target::{Place, TAIL_DIGITS, name_of, tail};
use super::{How, components, key};
use crate::end::Space;
use crate::journal::{Decision, Name};
use crate::names;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// The component for the mail of a mailbox that cannot hold mail and children.
const MAIL: &str = "_mail";

/// True for the name of such a component, with a tail or without.
fn is_mail(component: &str) -> bool {
    let is_tail = |rest: &str| {
        let digits = rest.strip_prefix('~').unwrap_or_default();
        rest.is_empty()
            || TAIL_DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
    };
    component.strip_prefix(MAIL).is_some_and(is_tail)
}

/// A mailbox, or a level above one that is none itself, on its way to a path at the target.
struct Node {
    source: Vec<String>,
    /// Its place in the survey; none for a level that is no mailbox to be decided here.
    mailbox: Option<usize>,
    place: Place,
    id: Vec<u8>,
}

/// A path at the target that others lie below.
struct Level {
    path: Vec<String>,
    /// Why it is not the original one, where no mailbox of its own says so.
    why: Option<String>,
}

impl Mapper<'_> {
    /// Decides about whatever is left, parents before children. Among those of one level, names that stay as they are choose
    /// before names that have to be changed.
    pub(super) fn decide_by_path(&mut self) {
        let paths = self.source_paths();
        let mut placed = self.placed_already(&paths);
        let base = self.rules.into.as_ref().map(|parent| self.target.written(parent)).unwrap_or_default();
        let base = Level { path: base, why: None };
        let above =
            |path: &[String]| (1..path.len()).map(|levels| path[..levels].to_vec()).collect::<Vec<_>>();
        let parents: HashSet<Vec<String>> = paths.iter().flat_map(|(_, path)| above(path)).collect();
        let deepest = paths.iter().map(|(_, path)| path.len()).max().unwrap_or(0);
        for level in 1..=deepest {
            let mut nodes: Vec<Node> = paths
                .iter()
                .filter(|(index, path)| {
                    let own = path.len() == level && self.entries[*index].is_none();
                    own || (path.len() >= level && !placed.contains_key(&path[..level]))
                })
                .map(|(index, path)| {
                    let own = path.len() == level && self.entries[*index].is_none();
                    let Level { path: parent, why } = placed.get(&path[..level - 1]).unwrap_or(&base);
                    let (source, mailbox) = (path[..level].to_vec(), own.then_some(*index));
                    let id = match mailbox {
                        Some(index) => key(&super::decide::source_name(self.info(index))).to_vec(),
                        None => source.join("\0").into_bytes(),
                    };
                    let mut place = self.target.place(parent, &path[level - 1], &id);
                    place.why = place.why.or_else(|| why.clone());
                    Node { source, mailbox, place, id }
                })
                .collect();
            nodes.sort_by_key(|node| (node.mailbox.is_none(), node.place.why.is_some()));
            for node in nodes {
                if let Some(index) = node.mailbox {
                    let path = self.settle(index, &node, parents.contains(&node.source));
                    placed.entry(node.source).or_insert(Level { path, why: None });
                } else if let Entry::Vacant(vacant) = placed.entry(node.source.clone()) {
                    vacant.insert(self.passable(&node));
                }
            }
        }
    }

    /// The paths of all mailboxes that take part, below their namespace. INBOX is written as INBOX.
    fn source_paths(&self) -> Vec<(usize, Vec<String>)> {
        let takes_part = |index: &usize| {
            self.entries[*index].as_ref().is_none_or(|entry| matches!(entry.decision, Decision::Move(_)))
        };
        (0..self.entries.len())
            .filter(takes_part)
            .map(|index| {
                let mut path = components(&self.survey.source, self.info(index));
                if let Some(first) = path.first_mut().filter(|first| names::is_inbox(first.as_bytes())) {
                    names::INBOX.clone_into(first);
                }
                (index, path)
            })
            .collect()
    }

    /// Where mailboxes that are decided lie at the target: their children follow them. `--map` is about one mailbox alone.
    fn placed_already(&self, paths: &[(usize, Vec<String>)]) -> HashMap<Vec<String>, Level> {
        let mut placed = HashMap::new();
        for (index, path) in paths {
            let Some(entry) = &self.entries[*index] else { continue };
            if let Decision::Move(name) = &entry.decision
                && self.by_rule(*index).is_none()
            {
                let mut there = self.target.components(name);
                // A name with INBOX twice has no path of its own below a prefix that is INBOX.
                if key(&self.target.join(&there)) != key(name) {
                    continue;
                }
                if there.len() > 1 && there.last().is_some_and(|last| is_mail(last)) {
                    there.pop();
                }
                placed.entry(path.clone()).or_insert(Level { path: there, why: None });
            }
        }
        placed
    }

    /// Gives a mailbox its name; the result is the path that its children lie below.
    fn settle(&mut self, index: usize, node: &Node, has_children: bool) -> Vec<String> {
        let is_folder = |(_, path): &(Name, Vec<String>)| {
            self.target.would_be_file(path) && (has_children || self.target.lies_above_another(path))
        };
        let free = self.free(&node.place, &node.id, false).filter(is_folder);
        if let Some((name, folder)) = free {
            self.folders.insert(self.target.key(&name));
            let mut place = self.target.place(&folder, MAIL, &node.id);
            let apart = || "a mailbox of the new server holds either mail or other mailboxes".to_owned();
            place.why = node.place.why.clone().or_else(|| Some(apart()));
            self.settle_at(index, place, &node.id, true);
            return folder;
        }
        self.settle_at(index, node.place.clone(), &node.id, false)
    }

    /// Gives a mailbox the name at this place, or one beside it; the result is its path. Nothing lies below a leaf.
    fn settle_at(&mut self, index: usize, mut place: Place, id: &[u8], is_leaf: bool) -> Vec<String> {
        let Some((name, path)) = self.free(&place, id, is_leaf) else {
            let (info, name) = (self.info(index), self.target.join(&place.path));
            let by = self.taken.get(&self.target.key(&name)).cloned().unwrap_or_default();
            self.enter(index, Decision::Refuse(collision(info, &name, &by)), How::Nowhere, None);
            return place.path;
        };
        if path != place.path {
            place.why.get_or_insert(match self.taken.get(&self.target.key(&self.target.join(&place.path))) {
                Some(by) => format!("“{}” has the name already", names::printable(by)),
                None => "there is another mailbox of this name".to_owned(),
            });
        }
        if let Some(why) = &place.why {
            let (from, to) = (names::printable(&self.info(index).text), names::printable(&name.text));
            self.remarks.push(format!("“{from}” becomes “{to}”: {}", names::printable(why)));
        }
        let how = match (&place.why, &self.rules.into) {
            (Some(_), _) => How::Renamed,
            (None, Some(_)) => How::Into,
            (None, None) => How::SamePath,
        };
        self.enter(index, Decision::Move(name), how, None);
        path
    }

    /// The name at this place, or one with a tail that is free.
    fn free(&self, place: &Place, id: &[u8], is_leaf: bool) -> Option<(Name, Vec<String>)> {
        let fits = |path: &[String]| !is_leaf || !self.target.lies_above_another(path);
        if let Some(name) = self.usable(&place.path, place.why.is_some()).filter(|_| fits(&place.path)) {
            return Some((name, place.path.clone()));
        }
        // What is listed with this tail was made from this very name. The top is for what would lie among other people's mail.
        let top = place.path.last().cloned().unwrap_or_default();
        let with_tail = |path: &[String], digits: usize| self.target.with_tail(path, &tail(id, digits));
        [&place.path[..], &[top]].into_iter().find_map(|path| {
            TAIL_DIGITS.into_iter().find_map(|digits| {
                let path = with_tail(path, digits);
                let name = self.usable(&path, false).filter(|_| fits(&path))?;
                Some((name, path))
            })
        })
    }

    /// The name at this path, if nobody has it. A changed name is not given to a mailbox that is there already.
    fn usable(&self, path: &[String], changed: bool) -> Option<Name> {
        let name = self.target.join(path);
        let found = self.target.found(&name);
        let name = match found {
            Some(_) if changed => return None,
            Some(info) => name_of(info),
            None => name,
        };
        let at = self.target.key(&name);
        let is_free = !self.taken.contains_key(&at) && !self.folders.contains(&at);
        (is_free && self.target.is_own(&name)).then_some(name)
    }

    /// The path of a level that holds no mail: several may lie below it, but no mailbox may have its name where mail and
    /// mailboxes are kept apart.
    fn passable(&mut self, node: &Node) -> Level {
        let Place { path, why } = &node.place;
        let name = self.target.join(path);
        let strange = self.target.found(&name).is_some_and(|info| info.space != Space::Personal);
        let kept_apart = self.target.would_be_file(path);
        let level = if strange || (kept_apart && self.taken.contains_key(&self.target.key(&name))) {
            Level {
                path: self.target.with_tail(path, &tail(&node.id, TAIL_DIGITS[0])),
                why: Some("a level above it has another name there".to_owned()),
            }
        } else {
            Level { path: path.clone(), why: why.clone() }
        };
        if kept_apart {
            self.folders.insert(self.target.key(&self.target.join(&level.path)));
        }
        level
    }

    /// A second name for each mailbox that has to be made, for when the server refuses the first one.
    pub(super) fn provide_spares(&mut self) {
        for index in 0..self.entries.len() {
            let Some(entry) = &self.entries[index] else { continue };
            let Decision::Move(name) = &entry.decision else { continue };
            let by_path = matches!(entry.how, How::SamePath | How::Renamed | How::Into);
            if !by_path || self.target.found(name).is_some() {
                continue;
            }
            let plainest = self.target.plainest(&self.target.components(name));
            let id = key(&entry.source);
            let spare = TAIL_DIGITS.iter().find_map(|digits| {
                let path = self.target.with_tail(&plainest, &tail(&id, *digits));
                self.usable(&path, true)
            });
            let Some(spare) = spare else { continue };
            self.taken.insert(self.target.key(&spare), self.info(index).text.clone());
            if let Some(entry) = &mut self.entries[index] {
                entry.spare = Some(spare);
            }
        }
    }
}
