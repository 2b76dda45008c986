//! Pure: what mailbox names a server takes, and how a name that it does not take is changed.
//!
//! A server is recognised by what it announces. One that nobody knows gets the strictest rules: a name that is changed
//! without need is shown in the plan and can be mapped by hand; a name that is refused half-way cannot.

use crate::end::{Abilities, MailboxInfo};
use crate::labels::CONTAINERS;
use crate::names;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// What stands for a character that cannot stay.
const REPLACEMENT: char = '_';
/// Octets of a component on the wire that servers known to us take, less room for a prefix on disk (measured: Dovecot with
/// Maildir and Courier refuse 255, Courier from about 250 with its prefix).
const COMPONENT_OCTETS: usize = 240;
/// Octets of a whole name on the wire. Cyrus refuses more than 490 with the name of the account in front (measured: 300 taken,
/// 500 refused).
const PATH_OCTETS: usize = 400;
/// Levels that servers known to us take (measured: Stalwart takes 10 and refuses 25; the others take 60).
const LEVELS: usize = 10;

/// The names that a target takes. Learnt from what it announces ([`NameRules::of`]); whoever has tried its names may put
/// better ones into [`crate::survey::SideSurvey::name_rules`] before the mapping is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRules {
    /// Characters that no component may hold, besides the delimiter and control characters.
    pub forbidden: String,
    /// Characters that no component may begin with.
    pub forbidden_first: String,
    /// Components that the server keeps for itself, without case.
    pub reserved: Vec<String>,
    /// Spaces at the ends of a component, or several in a row, are kept.
    pub takes_odd_spaces: bool,
    /// Characters beyond U+FFFF are taken.
    pub takes_astral: bool,
    /// Only names in normalisation form C are taken.
    pub wants_nfc: bool,
    /// `Foo` and `foo` are two mailboxes.
    pub distinguishes_case: bool,
    /// A mailbox may hold mail and have children.
    pub mail_beside_children: bool,
    /// Octets of a component, as written to the wire.
    pub component_octets_max: usize,
    /// Octets of a whole name with its prefix, as written to the wire.
    pub path_octets_max: usize,
    /// Levels below the prefix.
    pub levels_max: usize,
}

impl Default for NameRules {
    /// The rules for a server that nobody knows.
    fn default() -> Self {
        Self {
            forbidden: "%*^\\\"".to_owned(),
            forbidden_first: "~#".to_owned(),
            reserved: vec![".".to_owned(), "..".to_owned()],
            takes_odd_spaces: false,
            takes_astral: true,
            wants_nfc: true,
            distinguishes_case: false,
            mail_beside_children: true,
            component_octets_max: COMPONENT_OCTETS,
            path_octets_max: PATH_OCTETS,
            levels_max: LEVELS,
        }
    }
}

/// A component as a server takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tamed {
    /// The component; equal to the original if nothing is wrong with it.
    pub component: String,
    /// What was wrong first, in words.
    pub why: Option<String>,
}

impl NameRules {
    /// The rules of a server, by what it says of itself and by the mailboxes it lists.
    pub fn of<'a>(abilities: &Abilities, listed: impl IntoIterator<Item = &'a MailboxInfo>) -> Self {
        Self { mail_beside_children: holds_both(listed), ..Self::of_product(abilities) }
    }

    /// QUIRK: what each server family does to names; [M] measured, [T] from threads and vendor pages. Another delimiter
    /// inside a component (`.` where `/` separates) is not here: whether it is taken depends on how mail is stored, which
    /// nobody announces, so the server is asked.
    fn of_product(abilities: &Abilities) -> Self {
        let exact = Self {
            forbidden: String::new(),
            forbidden_first: String::new(),
            takes_odd_spaces: true,
            wants_nfc: false,
            distinguishes_case: true,
            levels_max: 60,
            ..Self::default()
        };
        let product = abilities.product.to_ascii_lowercase();
        let is = |name: &str| product.contains(name);
        if abilities.gmail || is("gimap") {
            // `[CANNOT] Folder contains excess whitespace`; `^ ' " \` refused [T].
            let forbidden = "^'\"\\*%".to_owned();
            let reserved = [".", ".."].into_iter().chain(CONTAINERS).map(str::to_owned).collect();
            return Self { forbidden, reserved, levels_max: 60, ..Self::default() };
        }
        if is_exchange(abilities) {
            // `NO Folder name is reserved`; a space at the end closes the connection [T].
            let reserved = [".", "..", "Files"].map(str::to_owned).to_vec();
            return Self { reserved, ..Self::default() };
        }
        if is("dovecot") {
            // [M] 2.3
            return Self { forbidden_first: "~".to_owned(), ..exact };
        }
        if is("cyrus") {
            // [M] 3.6, both separators
            return Self { forbidden: "%\"\\{};!^|<>".to_owned(), ..exact };
        }
        if is("courier") {
            // [M] 5.0: its Maildir++ folders hold no `/` and no `.`, and its names nothing beyond U+FFFF.
            let (forbidden, octets) = ("/.".to_owned(), 230);
            return Self {
                forbidden,
                takes_astral: false,
                component_octets_max: octets,
                path_octets_max: octets,
                ..exact
            };
        }
        if is("stalwart") {
            // [M]: spaces at the ends are trimmed without a word.
            return Self { takes_odd_spaces: false, levels_max: LEVELS, ..exact };
        }
        if is("mox") {
            // [M]: NFD and emoji with a joiner refused.
            let forbidden = "\\\u{200d}".to_owned();
            return Self { forbidden, forbidden_first: "#".to_owned(), wants_nfc: true, ..exact };
        }
        Self::default()
    }

    /// `component` as this server takes it, but for its length. Taming it again changes nothing.
    pub fn tame(&self, component: &str, delimiter: Option<char>) -> Tamed {
        let mut why = None;
        let mut note = |reason: String| {
            why.get_or_insert(reason);
        };
        let replacement = replacement(delimiter);
        let mut composed = std::borrow::Cow::Borrowed(component);
        if self.wants_nfc && !is_nfc(component) {
            note("its accents are written as characters of their own".to_owned());
            composed = component.nfc().collect();
        }
        let mut out = String::with_capacity(component.len());
        for c in composed.chars() {
            if let Some(reason) = self.against(c, delimiter) {
                note(reason);
                out.push(replacement);
            } else {
                out.push(c);
            }
        }
        if !self.takes_odd_spaces && has_odd_spaces(&out) {
            note("it has spaces at an end or in a row".to_owned());
            out = out.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        if let Some(first) = out.chars().next().filter(|c| self.forbidden_first.contains(*c)) {
            note(format!("it begins with “{first}”"));
            out.replace_range(..first.len_utf8(), replacement.encode_utf8(&mut [0; 4]));
        }
        if out.is_empty() {
            note("one level of its name is empty".to_owned());
            out.push(replacement);
        }
        if self.reserves(&out) {
            note(format!("“{out}” is reserved"));
            out.push(replacement);
        }
        Tamed { component: out, why }
    }

    /// True if the server takes this component, its length included. `utf8`: names travel as UTF-8.
    pub fn takes(&self, component: &str, delimiter: Option<char>, utf8: bool) -> bool {
        self.tame(component, delimiter).why.is_none()
            && names::encode(component, utf8).len() <= self.component_octets_max
    }

    /// Two names are one mailbox for this server, or might be, exactly when their keys are equal.
    pub fn key(&self, text: &str, delimiter: Option<char>) -> String {
        let head = delimiter.and_then(|d| text.split(d).next()).unwrap_or(text);
        let text = if names::is_inbox(head.as_bytes()) {
            [names::INBOX, &text[head.len()..]].concat()
        } else {
            text.to_owned()
        };
        match (self.wants_nfc, self.distinguishes_case) {
            (false, true) => text,
            (true, true) => text.nfc().collect(),
            (_, false) => folded(&text),
        }
    }

    fn reserves(&self, component: &str) -> bool {
        let same = |word: &String| folded(word) == folded(component);
        self.reserved.iter().any(same)
    }

    /// Why this character cannot stay.
    fn against(&self, c: char, delimiter: Option<char>) -> Option<String> {
        if Some(c) == delimiter {
            return Some(format!("it contains “{c}”, which separates levels on the new server"));
        }
        if c.is_control() {
            return Some(format!("it contains the control character U+{:04X}", u32::from(c)));
        }
        let unfit = self.forbidden.contains(c) || (!self.takes_astral && u32::from(c) > 0xffff);
        unfit.then(|| format!("it contains “{c}”, which the new server does not take"))
    }
}

/// What stands for a character that cannot stay, on a server with this delimiter.
pub fn replacement(delimiter: Option<char>) -> char {
    if delimiter == Some(REPLACEMENT) { '-' } else { REPLACEMENT }
}

/// QUIRK: Microsoft's servers by ID or greeting ("The Microsoft Exchange IMAP4 service is ready").
pub fn is_exchange(abilities: &Abilities) -> bool {
    let product = abilities.product.to_ascii_lowercase();
    product.contains("microsoft") || product.contains("exchange")
}

/// A name as people compare it: composed, without case, without spaces at its ends.
pub fn folded(text: &str) -> String {
    text.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

/// QUIRK: where a mailbox is a file (mbox), all mailboxes are `\Noinferiors`, and what has children holds no mail [M: Dovecot mbox].
/// INBOX alone says nothing.
fn holds_both<'a>(listed: impl IntoIterator<Item = &'a MailboxInfo>) -> bool {
    let mut others =
        listed.into_iter().filter(|info| info.selectable && !names::is_inbox(&info.wire)).peekable();
    others.peek().is_none() || others.any(|info| info.may_have_children)
}

fn has_odd_spaces(text: &str) -> bool {
    let mut before = true;
    for c in text.chars() {
        let space = c.is_whitespace();
        if space && (before || c != ' ') {
            return true;
        }
        before = space;
    }
    before && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(product: &str) -> NameRules {
        let abilities = Abilities { product: product.to_owned(), ..Abilities::default() };
        NameRules::of(&abilities, [])
    }

    #[test]
    fn a_server_is_recognised_by_what_it_calls_itself() {
        let gmail = Abilities { gmail: true, ..Abilities::default() };
        for (rules, name, tamed) in [
            (NameRules::of(&gmail, []), " a  b ", "a b"),
            (of("GImap"), "it's", "it_s"),
            (of("The Microsoft Exchange IMAP4 service is ready."), "files", "files_"),
            (of("Dovecot"), "~x", "_x"),
            (of("Dovecot"), " 100%* ", " 100%* "),
            (of("mail Cyrus IMAP 3.6.1 server ready"), "100%", "100_"),
            (of("Courier-IMAP ready"), "v1.0 \u{1f600}", "v1_0 _"),
            (of("Stalwart IMAP"), "trail ", "trail"),
            (of("mox"), "Cafe\u{301}", "Caf\u{e9}"),
            (of("never heard of"), "#100%", "_100_"),
        ] {
            assert_eq!(rules.tame(name, Some('/')).component, tamed, "{name}");
        }
    }

    #[test]
    fn what_was_wrong_is_said() {
        let rules = of("never heard of");
        for (name, part) in [
            ("a/b", "“/”, which separates levels"),
            ("a\u{7}", "U+0007"),
            ("", "empty"),
            ("..", "“..” is reserved"),
            ("~x", "begins with “~”"),
            ("a  b", "spaces"),
            ("50%", "“%”, which the new server does not take"),
        ] {
            let why = rules.tame(name, Some('/')).why.unwrap_or_default();
            assert!(why.contains(part), "{name}: {why}");
        }
        assert_eq!(rules.tame("Entwürfe 日本", Some('/')).why, None);
    }

    #[test]
    fn case_and_accents_count_only_where_the_server_tells_them_apart() {
        let (strict, dovecot) = (of("?"), of("Dovecot"));
        assert_eq!(strict.key("Caf\u{e9}", None), strict.key("CAFE\u{301}", None));
        assert_ne!(dovecot.key("Foo", None), dovecot.key("foo", None));
        assert_ne!(dovecot.key("Caf\u{e9}", None), dovecot.key("Cafe\u{301}", None));
        assert_eq!(dovecot.key("inbox/Sub", Some('/')), dovecot.key("INBOX/Sub", Some('/')));
    }

    #[test]
    fn a_server_of_files_and_folders_is_known_by_its_listing() {
        let side =
            crate::survey_testing::Side::new("", Some('/')).with(|info| info.may_have_children = false);
        let rules = |side: &crate::survey_testing::Side| NameRules::of(&side.abilities, &side.listed);
        assert!(rules(&side).mail_beside_children, "INBOX says nothing");
        let file = side.mailbox("Sent").with(|info| info.may_have_children = false);
        assert!(!rules(&file).mail_beside_children);
        assert!(rules(&file.mailbox("x")).mail_beside_children);
    }

    proptest! {
        #[test]
        fn a_tamed_name_is_taken_and_stays(
            name in prop_oneof![any::<String>(), "[ ~#%./a\u{301}e]{0,6}"],
            product in prop_oneof![Just("?"), Just("Dovecot"), Just("Cyrus"), Just("Courier"), Just("Exchange"), Just("mox"), Just("GImap")],
            delimiter in prop_oneof![Just(Some('/')), Just(Some('.')), Just(None), Just(Some('_'))],
        ) {
            let rules = of(product);
            let tamed = rules.tame(&name, delimiter);
            prop_assert_eq!(tamed.why.is_none(), tamed.component == name);
            let again = rules.tame(&tamed.component, delimiter);
            prop_assert_eq!(again.why, None, "{}", tamed.component);
        }
    }
}
