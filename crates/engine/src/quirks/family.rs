//! The quirk table: families of servers, how they are recognised by what they say, and what that means for the engine.
//!
//! Capabilities go first: what a server announces is used whoever it is, and this table only adds what no capability says.
//! The engine asks [`Behaviour`] for what it means; only people are told the name.

mod table;

pub use table::FAMILIES;

use mailhaul_imap::Capabilities;
use std::time::Duration;

/// What is known of a family beyond what its servers announce. The default is a server of which nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// ID (RFC 2971) is sent before the login, too: without it mailboxes are refused.
    pub id_before_login: bool,
    /// The largest message it takes, in octets, where APPENDLIMIT does not say.
    pub append_limit_octets: Option<u64>,
    /// It ends a connection at this many BADs: one fewer is the last that a connection is used for.
    pub bad_commands_max: Option<u32>,
    /// RFC822.SIZE is an estimate: a message of another length is believed without a second reading.
    pub sizes_are_estimates: bool,
    /// Connections that it gives one user.
    pub connections_max: Option<usize>,
    /// Octets that it gives in a day, over all connections.
    pub down_per_day: Option<u64>,
    /// Octets that it takes in a day, over all connections.
    pub up_per_day: Option<u64>,
    /// Another connection may reach a replica that lags: "not stored" is concluded no sooner than this.
    pub settle_min: Option<Duration>,
    /// `\Deleted` given with a message removes it at once: it is stored without.
    pub deleted_removes: bool,
    /// Of equal messages in a mailbox it keeps one.
    pub keeps_one_of_equals: bool,
    /// What a mailbox shows over IMAP at most, where that may be less than it holds.
    pub mailbox_shows_max: Option<ShowsMax>,
}

/// How a server cuts mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShowsMax {
    /// So many messages, one of these.
    pub messages: &'static [u64],
    /// It cuts whatever a person sets there.
    pub always: bool,
    /// What to do to see all.
    pub instead: &'static str,
}

/// One way to recognise a server; any one suffices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It announces this capability.
    Capability(&'static str),
    /// Its greeting contains this.
    Greeting(&'static str),
    /// Its answer to ID contains this, as name and version.
    Id(&'static str),
}

/// How well a family is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// This project ran these versions, and tests run against them.
    Tested(&'static str),
    /// Only what it says is played by the test server: that proves the engine, not the family.
    Simulated,
    /// Seen in threads and on vendors' pages only.
    Threads,
}

/// Mail that an old server may hold and does not show, in words for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hides {
    /// What is not seen.
    pub what: &'static str,
    /// What a person can do about it before the move.
    pub first: &'static str,
}

/// A family of servers.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its word in data files.
    pub word: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// How it is recognised.
    pub signs: &'static [Sign],
    /// What is known of it.
    pub does: Behaviour,
    /// How well.
    pub known: Known,
    /// What it keeps exactly, as far as that is known.
    pub exact: &'static str,
    /// What it changes.
    pub changes: &'static [&'static str],
    /// What of it keeps mail from being seen at all, where no look at the account can tell.
    pub hides: Option<Hides>,
    /// What of all this the test server does not play, where it plays the family.
    pub not_played: &'static [&'static str],
    /// Its limits.
    pub limits: &'static [&'static str],
    /// What to set there before.
    pub before: &'static [&'static str],
    /// Where all that was seen.
    pub evidence: &'static str,
    /// Tests of what it does, by function.
    pub tests: &'static [&'static str],
}

/// What a server said of itself so far.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The text of its greeting.
    pub greeting: String,
    /// Capabilities, announced before or after the login.
    pub capabilities: Vec<String>,
    /// Name and version, as ID gave them.
    pub id: Option<String>,
}

impl Heard {
    /// The server announced these.
    pub fn announced(&mut self, capabilities: &Capabilities) {
        self.capabilities.extend(capabilities.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
    }

    fn has(&self, sign: Sign) -> bool {
        match sign {
            Sign::Capability(name) => self.capabilities.iter().any(|c| c.eq_ignore_ascii_case(name)),
            Sign::Greeting(words) => self.greeting.contains(words),
            Sign::Id(words) => self.id.as_ref().is_some_and(|id| id.contains(words)),
        }
    }
}

/// The family of a server; `None` for one that is not in the table.
pub fn recognise(heard: &Heard) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.signs.iter().any(|sign| heard.has(*sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(greeting: &str, capabilities: &str, id: Option<&str>) -> Option<&'static str> {
        let heard = Heard {
            greeting: greeting.into(),
            capabilities: capabilities.split(' ').map(str::to_owned).collect(),
            id: id.map(str::to_owned),
        };
        recognise(&heard).map(|f| f.name)
    }

    /// What real servers said, as captured: by this project (Dovecot, Cyrus, Courier), or in public threads and code.
    #[test]
    fn real_servers_are_recognised_by_what_they_say() {
        for (greeting, capabilities, id, name) in [
            (
                "Gimap ready for requests from 1.2.3.4 x1mb",
                "IMAP4rev1 UNSELECT IDLE XLIST X-GM-EXT-1",
                None,
                "Gmail",
            ),
            ("hello", "IMAP4rev1 X-GM-EXT-1", None, "Gmail"),
            (
                "The Microsoft Exchange IMAP4 service is ready. [TABPAE4AUAAxADIA]",
                "IMAP4 IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+",
                None,
                "Microsoft 365",
            ),
            ("The Microsoft Exchange IMAP4 service is ready.", "IMAP4 IMAP4rev1 UIDPLUS", None, "Exchange"),
            ("x", "IMAP4rev1", Some("Microsoft.Exchange.Imap4.Imap4Server 15.1"), "Exchange"),
            (
                "IMAP4rev1 Hello",
                "IMAP4rev1 ID MOVE NAMESPACE XYMHIGHESTMODSEQ UIDPLUS LITERAL+ CHILDREN X-MSG-EXT UNSELECT OBJECTID",
                None,
                "Yahoo",
            ),
            (
                "iCloud ready",
                "XAPPLEPUSHSERVICE IMAP4 IMAP4rev1 SASL-IR AUTH=ATOKEN AUTH=PLAIN",
                None,
                "iCloud",
            ),
            (
                "Coremail System IMap Server Ready(163com[8db726ec93e9d4e3e9a2fd3d31b05251])",
                "IMAP4rev1 XLIST SPECIAL-USE ID LITERAL+ STARTTLS XAPPLEPUSHSERVICE UIDPLUS X-CM-EXT-1",
                None,
                "163 and other Coremail",
            ),
            ("Yandex IMAP4rev1 at imap43j.mail.yandex.net:993 ready to talk", "IMAP4rev1", None, "Yandex"),
            (
                "IMAP server ready H mieue154 15.6 IMAP-1My4Ij-1k2Oa32EiF-00yVN8",
                "IMAP4rev1 CHILDREN ENABLE ID IDLE LIST-EXTENDED LITERAL- MOVE NAMESPACE UIDPLUS",
                None,
                "GMX and WEB.DE",
            ),
            ("zimbra.vm.example.com Zimbra IMAP4rev1 server ready", "IMAP4rev1", None, "Zimbra"),
            (
                "Courier-IMAP ready. Copyright 1998-2022 Double Precision, Inc.",
                "IMAP4rev1 UIDPLUS",
                None,
                "Courier",
            ),
            ("test.local Cyrus IMAP 3.6.1-Debian server ready", "IMAP4rev1 LITERAL+", None, "Cyrus"),
            ("IMAP4 ready", "IMAP4rev1 XCONVERSATIONS DIGEST=SHA1", None, "Cyrus"),
            ("Dovecot (Debian) ready.", "IMAP4rev1 SASL-IR", None, "Dovecot"),
            ("hello", "IMAP4rev1 ID", Some("Dovecot"), "Dovecot"),
            ("Domino IMAP4 Server Release 10.0.1FP3 ready Wed, 30 Oct 2019", "IMAP4rev1", None, "HCL Domino"),
            (
                "IMAPrev1",
                "IMAP4 IMAP4rev1 CHILDREN IDLE QUOTA SORT ACL NAMESPACE RIGHTS=texk",
                None,
                "hMailServer",
            ),
            ("Kerio Connect 8.0.2 IMAP4rev1 server ready", "IMAP4rev1", None, "Kerio Connect"),
            ("company.mail IMAP4rev1 MDaemon 9.6.4 ready", "IMAP4rev1", None, "MDaemon"),
            ("SmarterMail", "IMAP4rev1", None, "SmarterMail"),
            (
                "Proton Mail Bridge 03.08.01 - gluon session ID 3",
                "ID IDLE IMAP4rev1 MOVE UIDPLUS",
                None,
                "Proton Mail Bridge",
            ),
        ] {
            assert_eq!(name_of(greeting, capabilities, id), Some(name), "{greeting}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_known_is_of_no_family_whatever_it_is_called() {
        for greeting in ["imap.gmail.com ready", "IMAP4rev1 server ready", "", "Mailhaul sandbox"] {
            assert_eq!(
                name_of(greeting, "IMAP4rev1 UIDPLUS LITERAL+", Some("somebody 1.0")),
                None,
                "{greeting}"
            );
        }
        assert_eq!(Behaviour::default().append_limit_octets, None, "and nothing is taken for known");
    }

    #[test]
    fn each_family_has_its_own_word_a_sign_and_where_it_was_seen() {
        for (at, family) in FAMILIES.iter().enumerate() {
            assert!(!family.signs.is_empty() && !family.evidence.is_empty(), "{}", family.name);
            let same = |f: &&Family| f.word == family.word || f.name == family.name;
            assert_eq!(FAMILIES.iter().position(|f| same(&f)), Some(at), "{}", family.name);
        }
    }
}
