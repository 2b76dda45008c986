//! Pure: mailbox names that a probe tries, what a server makes of them, and the rules that follow from it.

use crate::name_rules::NameRules;
use serde::{Deserialize, Serialize};

/// Characters that some server is known to refuse somewhere in a name; first all of them in one name, then, where that is not
/// taken, one by one.
const CHARACTERS: &str = "%*^\\\"~#'{};!|<>&?:$,@[]()+=";
/// Characters that some server refuses at the start.
const FIRST: &str = "~#";
/// Characters that separate levels at some servers: tried apart, since a server may split the name at them.
const SEPARATORS: &str = "./";
/// Lengths of components that are tried, in octets.
pub const LENGTHS: [usize; 3] = [100, 200, 240];
/// An accent as a character of its own (NFD), composed (NFC), and a character beyond U+FFFF.
const DECOMPOSED: &str = "e\u{301}";
const COMPOSED: &str = "\u{e9}";
const ASTRAL: &str = "\u{1f600}";

/// What is odd about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Nothing, in lower case.
    Lower,
    /// The same in upper case, beside it.
    Upper,
    /// All of the characters that are tried.
    AllCharacters,
    /// One of them.
    Character(char),
    /// One of them at the start, at the top: Dovecot refuses `~` there alone (measured).
    First(char),
    /// Spaces: at the end, at the start, two in a row.
    SpaceAtEnd,
    /// At the start.
    SpaceAtStart,
    /// In a row.
    DoubleSpace,
    /// NFD.
    Decomposed,
    /// NFC.
    Composed,
    /// Beyond U+FFFF.
    Astral,
    /// So many octets, at the top: where folders are files of one directory (Maildir++), what lies above counts as well.
    Long(usize),
    /// Below INBOX.
    BelowInbox,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Listed as asked for.
    Taken,
    /// Said to be created, and listed otherwise or not at all.
    Changed,
    /// Refused: the server's words. In what is derived from: twice, the second time alone.
    Refused(String),
    /// Refused for a reason that has nothing to do with the name, or once this way and once that: it says nothing.
    Unknown(String),
    /// The connection ended; it says nothing of the name.
    Lost(String),
}

impl Outcome {
    /// It was taken, or not; `None` where nothing is known.
    pub fn is_taken(&self) -> Option<bool> {
        match self {
            Self::Taken => Some(true),
            Self::Changed | Self::Refused(_) => Some(false),
            Self::Unknown(_) | Self::Lost(_) => None,
        }
    }

    /// What two answers to the same name say together, the second one to the name alone: it is not taken only if it was not
    /// taken twice.
    #[must_use]
    pub fn confirmed_by(self, second: Self) -> Self {
        match (self.is_taken(), second.is_taken()) {
            (Some(false), Some(false)) => self,
            (_, Some(false)) => match second {
                Self::Refused(words) => Self::Unknown(words),
                _ => Self::Unknown("it was listed under another name, once".into()),
            },
            _ => second,
        }
    }
}

/// A name that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTrial {
    /// Which.
    pub name: Name,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a server makes of names. What is `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// `x` and `X` are two mailboxes.
    pub case_sensitive: Option<bool>,
    /// Characters that were taken.
    pub takes: String,
    /// Characters that were refused or changed.
    pub refuses: String,
    /// Characters that were taken at the start.
    pub takes_first: String,
    /// Characters that were refused or changed at the start.
    pub refuses_first: String,
    /// The first words of a refusal.
    pub words: Option<String>,
    /// Spaces at an end or in a row.
    pub odd_spaces: Option<bool>,
    /// Accents as characters of their own (NFD) stay so.
    pub decomposed: Option<bool>,
    /// Characters beyond U+FFFF.
    pub astral: Option<bool>,
    /// The longest component that was taken, in octets, where a longer one was not.
    pub component_octets_max: Option<usize>,
    /// Mailboxes below INBOX.
    pub below_inbox: Option<bool>,
    /// Mailboxes below one that holds mail.
    pub below_mail: Option<bool>,
}

/// The components that are tried first, where levels are separated by `delimiter`.
pub fn first_names(delimiter: Option<char>, below_scratch: bool) -> Vec<Name> {
    use Name::{
        AllCharacters, Astral, Character, Composed, Decomposed, DoubleSpace, Long, Lower, SpaceAtEnd, Upper,
    };
    let mut names = vec![Lower, Upper, AllCharacters];
    names.extend(SEPARATORS.chars().filter(|c| Some(*c) != delimiter).map(Character));
    names.extend([DoubleSpace, Decomposed, Composed, Astral]);
    names.extend(LENGTHS.map(Long));
    names.extend(FIRST.chars().filter(|c| Some(*c) != delimiter).map(Name::First));
    // Beside the scratch mailbox something stands before it.
    names.extend(below_scratch.then_some(Name::SpaceAtStart));
    // QUIRK: Exchange ends the connection at a space at the end [T]: last.
    names.push(SpaceAtEnd);
    names
}

/// The characters one by one, where all together were not taken.
pub fn single_names(delimiter: Option<char>) -> Vec<Name> {
    CHARACTERS.chars().filter(|c| Some(*c) != delimiter).map(Name::Character).collect()
}

impl Name {
    /// It is tried at the top, not below the scratch mailbox or beside it.
    pub fn is_at_top(self) -> bool {
        matches!(self, Self::First(_) | Self::Long(_))
    }

    /// The component to be created; `own`: a name at the top that belongs to the probe.
    pub fn component(self, own: &str, delimiter: Option<char>) -> String {
        match self {
            Self::Lower | Self::BelowInbox => "x".into(),
            Self::Upper => "X".into(),
            Self::AllCharacters => {
                format!("a{}b", CHARACTERS.chars().filter(|c| Some(*c) != delimiter).collect::<String>())
            }
            // With a blank it travels as a quoted string: in an atom a bracket may be taken for the beginning of a section.
            Self::Character('[') => "a [b".into(),
            Self::Character(c) => format!("a{c}b"),
            Self::First(c) => format!("{c}{own}"),
            Self::SpaceAtEnd => "a ".into(),
            Self::SpaceAtStart => " a".into(),
            Self::DoubleSpace => "a  b".into(),
            Self::Decomposed => format!("a{DECOMPOSED}"),
            Self::Composed => format!("b{COMPOSED}"),
            Self::Astral => format!("a{ASTRAL}"),
            Self::Long(octets) => format!("{own:l<octets$}"),
        }
    }
}

impl Names {
    /// What follows from the names tried. The plain one must have been taken; else nothing does.
    pub fn derive(trials: &[NameTrial]) -> Self {
        let of = |name: Name| trials.iter().find(|t| t.name == name).map(|t| &t.outcome);
        let taken = |name: Name| of(name).and_then(Outcome::is_taken);
        let mut names = Self { below_inbox: taken(Name::BelowInbox), ..Self::default() };
        if taken(Name::Lower) != Some(true) {
            return names;
        }
        names.case_sensitive = taken(Name::Upper);
        if taken(Name::AllCharacters) == Some(true) {
            names.takes = CHARACTERS.into();
        }
        for trial in trials {
            match (trial.name, trial.outcome.is_taken()) {
                (Name::Character(c), Some(true)) if !names.takes.contains(c) => names.takes.push(c),
                (Name::Character(c), Some(false)) => names.refuses.push(c),
                (Name::First(c), Some(true)) => names.takes_first.push(c),
                (Name::First(c), Some(false)) => names.refuses_first.push(c),
                _ => {}
            }
        }
        names.words = trials.iter().find_map(|trial| match (trial.name, &trial.outcome) {
            (Name::Character(_), Outcome::Refused(words)) => Some(words.clone()),
            _ => None,
        });
        let spaces = [Name::SpaceAtEnd, Name::SpaceAtStart, Name::DoubleSpace].map(taken);
        names.odd_spaces = match spaces {
            _ if spaces.contains(&Some(false)) => Some(false),
            [Some(true), _, Some(true)] => Some(true),
            _ => None,
        };
        names.decomposed = taken(Name::Decomposed).filter(|_| taken(Name::Composed) == Some(true));
        names.astral = taken(Name::Astral);
        names.component_octets_max = longest(&taken);
        names
    }

    /// Puts what was tried into the rules: it goes before what the family is known for. Nothing becomes stricter or laxer
    /// that was not tried.
    pub fn refine(&self, rules: &mut NameRules) {
        for (forbidden, takes, refuses) in [
            (&mut rules.forbidden, &self.takes, &self.refuses),
            (&mut rules.forbidden_first, &self.takes_first, &self.refuses_first),
        ] {
            forbidden.retain(|c| !takes.contains(c));
            let missing: Vec<char> = refuses.chars().filter(|c| !forbidden.contains(*c)).collect();
            forbidden.extend(missing);
        }
        rules.distinguishes_case = self.case_sensitive.unwrap_or(rules.distinguishes_case);
        rules.takes_odd_spaces = self.odd_spaces.unwrap_or(rules.takes_odd_spaces);
        rules.wants_nfc = self.decomposed.map_or(rules.wants_nfc, |kept| !kept);
        rules.takes_astral = self.astral.unwrap_or(rules.takes_astral);
        rules.mail_beside_children = self.below_mail.unwrap_or(rules.mail_beside_children);
        if let Some(octets) = self.component_octets_max {
            rules.component_octets_max = rules.component_octets_max.min(octets);
        }
    }
}

/// The longest taken, where the next one was not.
fn longest(taken: &dyn Fn(Name) -> Option<bool>) -> Option<usize> {
    let refused = LENGTHS.into_iter().position(|octets| taken(Name::Long(octets)) == Some(false))?;
    let below = refused.checked_sub(1)?;
    (taken(Name::Long(LENGTHS[below])) == Some(true)).then_some(LENGTHS[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end::Abilities;

    fn trials(refused: &[Name]) -> Vec<NameTrial> {
        let names = first_names(Some('/'), true).into_iter().chain([Name::BelowInbox]);
        let all = names.chain(if refused.contains(&Name::AllCharacters) {
            single_names(Some('/'))
        } else {
            vec![]
        });
        all.map(|name| {
            let outcome = match refused.contains(&name) {
                true => Outcome::Refused("NO [CANNOT] not this".into()),
                false => Outcome::Taken,
            };
            NameTrial { name, outcome }
        })
        .collect()
    }

    fn rules(product: &str) -> NameRules {
        NameRules::of(&Abilities { product: product.into(), ..Abilities::default() }, [])
    }

    #[test]
    fn a_server_that_takes_every_name_gets_no_name_changed() {
        let names = Names::derive(&trials(&[]));
        assert_eq!(
            (names.refuses.as_str(), names.case_sensitive, names.odd_spaces),
            ("", Some(true), Some(true))
        );
        let mut rules = rules("never heard of");
        names.refine(&mut rules);
        for name in ["50%", "~a", "#a", "a  b ", "Cafe\u{301}", "v1.0", "it's \"good\""] {
            assert_eq!(rules.tame(name, Some('/')).component, name);
        }
        assert_ne!(rules.key("Foo", None), rules.key("foo", None));
        assert!(!rules.takes("..", Some('/'), false), "what was not tried stays as it was");
    }

    #[test]
    fn what_was_refused_goes_before_what_the_family_is_known_for() {
        let refused = [
            Name::AllCharacters,
            Name::Character('%'),
            Name::Character('.'),
            Name::First('#'),
            Name::Upper,
            Name::SpaceAtEnd,
            Name::Decomposed,
            Name::Astral,
            Name::Long(240),
        ];
        let names = Names::derive(&trials(&refused));
        assert_eq!((names.refuses.as_str(), names.refuses_first.as_str()), (".%", "#"));
        assert_eq!(names.words.as_deref(), Some("NO [CANNOT] not this"));
        assert_eq!(names.component_octets_max, Some(200));
        let mut rules = rules("Dovecot");
        names.refine(&mut rules);
        for (name, tamed) in [
            ("50%", "50_"),
            ("v1.0", "v1_0"),
            ("#a", "_a"),
            ("~a", "~a"),
            ("a ", "a"),
            ("e\u{301}", "\u{e9}"),
            ("😀", "_"),
        ] {
            assert_eq!(rules.tame(name, Some('/')).component, tamed);
        }
        assert_eq!(rules.key("Foo", None), rules.key("foo", None));
        assert!(!rules.takes(&"l".repeat(201), Some('/'), false));
    }

    #[test]
    fn where_the_plain_name_is_refused_nothing_is_concluded() {
        let names = Names::derive(&trials(&[Name::Lower, Name::Upper, Name::AllCharacters]));
        assert_eq!(names, Names { below_inbox: Some(true), ..Names::default() });
        let (mut refined, known) = (rules("Cyrus"), rules("Cyrus"));
        Names::default().refine(&mut refined);
        assert_eq!(refined, known);
    }

    #[test]
    fn what_was_not_refused_twice_for_its_name_leaves_the_rules_as_they_were() {
        let refused = || Outcome::Refused("NO".into());
        let unknown = || Outcome::Unknown("NO [UNAVAILABLE]".into());
        assert_eq!(refused().confirmed_by(Outcome::Taken), Outcome::Taken);
        assert_eq!(refused().confirmed_by(refused()), refused());
        for (first, second) in [(refused(), unknown()), (unknown(), refused()), (unknown(), unknown())] {
            assert_eq!(first.confirmed_by(second).is_taken(), None);
        }
        for outcome in [unknown(), Outcome::Lost("gone".into())] {
            for name in trials(&[]).into_iter().map(|trial| trial.name).filter(|name| *name != Name::Lower) {
                let mut trials = trials(&[]);
                trials.iter_mut().filter(|t| t.name == name).for_each(|t| t.outcome = outcome.clone());
                let known = rules("never heard of");
                let mut refined = known.clone();
                Names::derive(&trials).refine(&mut refined);
                let mut without = known.clone();
                let others: Vec<NameTrial> = trials.into_iter().filter(|t| t.name != name).collect();
                Names::derive(&others).refine(&mut without);
                assert_eq!(refined, without, "{name:?}: as if it had not been tried");
            }
        }
    }
}
