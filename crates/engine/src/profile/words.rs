//! Pure: a profile in plain words, a line each.

use super::letters::MANY_KEYWORDS;
use super::names::Names;
use super::{Got, Multi, Profile, Treatment, Value};
use crate::names::printable;

impl Profile {
    /// All that is known, a line each. What is kept as it is stands in one line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.no_messages.iter().cloned().collect();
        let kept: Vec<&str> = self
            .treatments()
            .into_iter()
            .filter(|(_, t)| **t == Treatment::Kept)
            .map(|(what, _)| what)
            .collect();
        if !kept.is_empty() {
            lines.push(format!("octet for octet: {}", kept.join("; ")));
        }
        let told = |(what, treatment): (&str, &Treatment)| Some(format!("{what}: {}", treatment.words()?));
        lines.extend(self.treatments().into_iter().filter_map(told));
        lines.extend(listed("adds to every message", &self.adds_headers));
        lines.extend(listed("removes from messages", &self.drops_headers));
        let facts = [
            (self.size_exact, "sizes are told right", "sizes are told wrong (RFC822.SIZE)"),
            (self.header_agrees, "", "headers given alone differ from those of whole messages"),
            (
                self.uids_told_right,
                "",
                "UIDs of appended messages are told wrong or not at all, though UIDPLUS is announced",
            ),
            (self.dedupes.map(|d| !d), "two equal messages stay two", "of two equal messages it keeps one"),
        ];
        lines.extend(
            facts.into_iter().filter_map(|(fact, yes, no)| Some(if fact? { yes } else { no }.to_owned())),
        );
        lines.retain(|line| !line.is_empty());
        lines.extend(self.multiappend.words());
        let ahead = self.ahead.iter().map(|got| Value { sent: "two days ahead".into(), got: got.clone() });
        lines.extend(values("dates", &self.dates.iter().cloned().chain(ahead).collect::<Vec<_>>()));
        lines.extend(values("flags and keywords", &self.flags));
        lines.extend(self.many_keywords.as_ref().and_then(|got| many_keywords(got, self.keywords_max)));
        lines.extend(self.names.lines());
        lines
    }

    /// What it refuses, with its words: kinds of messages.
    pub fn refuses(&self) -> Vec<(&'static str, &str)> {
        let mut refused = Vec::new();
        for (what, treatment) in self.treatments() {
            if let Treatment::Refused { words } = treatment {
                refused.push((what, words.as_str()));
            }
        }
        refused
    }
}

impl Treatment {
    /// What becomes of them; `None` where there is nothing to tell.
    pub fn words(&self) -> Option<String> {
        Some(match self {
            Self::Unknown | Self::Kept => return None,
            Self::Changed { how } => how.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Self::Refused { words } => format!("refused ({})", printable(words)),
            Self::Vanished => "said to be stored, and not there".into(),
            Self::EndsConnection { words } => format!("the connection ends ({})", printable(words)),
        })
    }
}

impl Multi {
    fn words(&self) -> Option<String> {
        Some(match self {
            Self::Unknown => return None,
            Self::Fails { words } => format!("MULTIAPPEND is announced and fails: {}", printable(words)),
            Self::Works { in_order, atomic } => {
                let order = if *in_order { "in their order" } else { "in another order" };
                let all = match atomic {
                    Some(true) => "; with a bad one among them, none",
                    Some(false) => "; with a bad one among them, some",
                    None => "",
                };
                format!("several messages in one step (MULTIAPPEND) are stored {order}{all}")
            }
        })
    }
}

impl Names {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.refuses.is_empty() {
            let words = self.words.as_deref().map(|words| format!(" ({})", printable(words)));
            lines.push(format!(
                "not taken in mailbox names: {}{}",
                spaced(&self.refuses),
                words.unwrap_or_default()
            ));
        } else if self.case_sensitive.is_some() {
            lines.push("mailbox names: every character that was tried is taken".into());
        }
        if !self.refuses_first.is_empty() {
            lines.push(format!("not taken at the start of a name: {}", spaced(&self.refuses_first)));
        }
        let facts = [
            (self.case_sensitive, "“x” and “X” are two mailboxes", "“x” and “X” are one mailbox"),
            (self.odd_spaces, "", "spaces at an end of a name or in a row are not kept"),
            (self.decomposed, "", "accents written as characters of their own are not kept in names"),
            (self.astral, "", "characters beyond U+FFFF (emoji) are not taken in names"),
            (self.below_inbox, "", "no mailboxes below INBOX"),
            (self.below_mail, "", "no mailboxes below one that holds mail"),
        ];
        let told =
            |(fact, yes, no): (Option<bool>, &str, &str)| Some(if fact? { yes } else { no }.to_owned());
        lines.extend(facts.into_iter().filter_map(told).filter(|line| !line.is_empty()));
        lines.extend(
            self.component_octets_max
                .map(|n| format!("a level of a name has {n} octets at most, or a few more")),
        );
        lines
    }
}

fn spaced(characters: &str) -> String {
    characters.chars().map(String::from).collect::<Vec<_>>().join(" ")
}

fn listed(what: &str, fields: &[String]) -> Option<String> {
    let fields: Vec<String> = fields.iter().map(|field| printable(field)).collect();
    (!fields.is_empty()).then(|| format!("{what}: {}", fields.join(", ")))
}

/// Values that are kept in one line, each other one in its own.
fn values(what: &str, values: &[Value]) -> Vec<String> {
    if values.is_empty() {
        return Vec::new();
    }
    let told: Vec<String> = values
        .iter()
        .filter_map(|value| {
            let sent = printable(&value.sent);
            match &value.got {
                Got::Same | Got::Unknown => None,
                Got::Other { read } if read.is_empty() => Some(format!("{what}: {sent} is not kept")),
                Got::Other { read } => Some(format!("{what}: {sent} becomes {}", printable(read))),
                Got::Refused { words } => Some(format!("{what}: {sent} is refused ({})", printable(words))),
            }
        })
        .collect();
    if told.is_empty() { vec![format!("{what}: all that were tried are kept")] } else { told }
}

fn many_keywords(got: &Got, most: Option<usize>) -> Option<String> {
    let most = most.map(|most| format!(", {most} are kept")).unwrap_or_default();
    match got {
        Got::Same | Got::Unknown => None,
        Got::Other { .. } => {
            Some(format!("of {MANY_KEYWORDS} keywords in a mailbox some are not kept{most}"))
        }
        Got::Refused { words } => {
            Some(format!("{MANY_KEYWORDS} keywords in a mailbox are refused ({}){most}", printable(words)))
        }
    }
}
