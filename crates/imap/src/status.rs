//! Status responses and their codes (RFC 9051, 7.1; RFC 5530).

use crate::capability::Capabilities;
use crate::cursor::parse_number;
use crate::message::{Uid, UidValidity};
use crate::printable::printable;
use crate::uid_set::{UidSequence, UidSet};
use bytes::Bytes;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It succeeded.
    Ok,
    /// It failed.
    No,
    /// It was not understood.
    Bad,
}

/// What an untagged status response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Information.
    Ok,
    /// A warning.
    No,
    /// An error without a command.
    Bad,
    /// The server closes the connection.
    Bye,
    /// A greeting: already logged in.
    PreAuth,
}

/// A response code. A code that is unknown, or whose argument makes no sense, is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseCode {
    /// RFC 4315: the UIDs of appended messages, in order.
    AppendUid {
        /// Of the mailbox.
        uid_validity: UidValidity,
        /// One for each message.
        uids: UidSequence,
    },
    /// RFC 4315: the UIDs of copied messages, in order.
    CopyUid {
        /// Of the mailbox that they were copied into.
        uid_validity: UidValidity,
        /// Where they were copied from.
        from: UidSequence,
        /// One for each of these.
        to: UidSequence,
    },
    /// The capability list.
    Capability(Capabilities),
    /// RFC 7162.
    HighestModSeq(u64),
    /// UIDNEXT.
    UidNext(u32),
    /// UIDVALIDITY.
    UidValidity(UidValidity),
    /// RFC 7162: messages a conditional STORE left alone.
    Modified(UidSet),
    /// RFC 8474.
    MailboxId(Bytes),
    /// RFC 9738: the command names more messages than one may.
    MessageLimit {
        /// How many may be named.
        limit: u32,
        /// The lowest UID that was done, where some were.
        lowest: Option<Uid>,
    },
    /// Any other: its name in upper case, and what follows it.
    Other {
        /// `OVERQUOTA`, `READ-ONLY`, ….
        name: String,
        /// Its argument, unparsed.
        argument: Bytes,
    },
}

impl ResponseCode {
    /// The name, upper case.
    pub fn name(&self) -> &str {
        match self {
            Self::AppendUid { .. } => "APPENDUID",
            Self::CopyUid { .. } => "COPYUID",
            Self::Capability(_) => "CAPABILITY",
            Self::HighestModSeq(_) => "HIGHESTMODSEQ",
            Self::UidNext(_) => "UIDNEXT",
            Self::UidValidity(_) => "UIDVALIDITY",
            Self::Modified(_) => "MODIFIED",
            Self::MailboxId(_) => "MAILBOXID",
            Self::MessageLimit { .. } => "MESSAGELIMIT",
            Self::Other { name, .. } => name,
        }
    }

    fn parse(code: &Bytes) -> Self {
        let end = code.iter().position(|b| *b == b' ').unwrap_or(code.len());
        let name = printable(&String::from_utf8_lossy(code.get(..end).unwrap_or_default()));
        let name = name.to_ascii_uppercase();
        let argument = code.slice((end + 1).min(code.len())..);
        Self::known(&name, &argument).unwrap_or(Self::Other { name, argument })
    }

    fn known(name: &str, argument: &Bytes) -> Option<Self> {
        let number = || u32::try_from(parse_number(argument)?).ok();
        let inner = || Some(argument.slice_ref(argument.strip_prefix(b"(")?.strip_suffix(b")")?));
        Some(match name {
            "APPENDUID" => {
                let mut parts = argument.split(|b| *b == b' ');
                let validity = u32::try_from(parse_number(parts.next()?)?).ok()?;
                let (uid_validity, uids) = (UidValidity::new(validity)?, UidSequence::parse(parts.next()?)?);
                Self::AppendUid { uid_validity, uids }
            }
            "COPYUID" => {
                let mut parts = argument.split(|b| *b == b' ');
                let uid_validity = UidValidity::new(u32::try_from(parse_number(parts.next()?)?).ok()?)?;
                let mut uids = || UidSequence::parse(parts.next()?);
                Self::CopyUid { uid_validity, from: uids()?, to: uids()? }
            }
            "CAPABILITY" => Self::Capability(Capabilities::parse(argument)),
            "HIGHESTMODSEQ" => Self::HighestModSeq(parse_number(argument)?),
            "UIDNEXT" => Self::UidNext(number()?),
            "UIDVALIDITY" => Self::UidValidity(UidValidity::new(number()?)?),
            "MODIFIED" => Self::Modified(UidSet::parse(argument)?),
            "MAILBOXID" => Self::MailboxId(inner()?),
            "MESSAGELIMIT" => {
                let mut numbers =
                    argument.split(|b| *b == b' ').map(|n| u32::try_from(parse_number(n)?).ok());
                let limit = numbers.next()??;
                let lowest = match numbers.next() {
                    Some(uid) => Some(Uid::new(uid?)?),
                    None => None,
                };
                Self::MessageLimit { limit, lowest }
            }
            _ => return None,
        })
    }
}

/// The text of a status response, with its code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusText {
    /// The code in brackets.
    pub code: Option<ResponseCode>,
    /// What follows, for a person.
    pub text: Bytes,
}

impl StatusText {
    /// Reads what follows OK, NO, BAD, BYE or PREAUTH. Never fails.
    pub fn parse(text: &Bytes) -> Self {
        let text = text.slice(text.iter().position(|b| *b != b' ').unwrap_or(text.len())..);
        let Some(inner) = text.strip_prefix(b"[") else { return Self { code: None, text } };
        let Some(end) = code_end(inner) else { return Self { code: None, text } };
        let code = ResponseCode::parse(&text.slice(1..=end));
        let rest = text.slice((end + 2).min(text.len())..);
        let rest = if rest.starts_with(b" ") { rest.slice(1..) } else { rest };
        Self { code: Some(code), text: rest }
    }

    /// The text for display: UTF-8, else Latin-1; [`printable`].
    pub fn display_text(&self) -> String {
        match std::str::from_utf8(&self.text) {
            Ok(text) => printable(text),
            Err(_) => printable(&self.text.iter().map(|b| char::from(*b)).collect::<String>()),
        }
    }
}

/// Where the closing bracket is: flags between parentheses may hold brackets of their own.
fn code_end(inner: &[u8]) -> Option<usize> {
    let mut depth = 0i32;
    inner.iter().position(|b| {
        match b {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b']' => return depth <= 0,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_limit_names_the_lowest_uid_done_where_some_were() {
        let code = |text: &'static str| StatusText::parse(&Bytes::from_static(text.as_bytes())).code;
        let limit = |limit, lowest| Some(ResponseCode::MessageLimit { limit, lowest });
        assert_eq!(code("[MESSAGELIMIT 1000 23221] done in part"), limit(1000, Uid::new(23221)));
        assert_eq!(code("[messagelimit 3] too many"), limit(3, None));
        for odd in
            ["[MESSAGELIMIT] x", "[MESSAGELIMIT many 3] x", "[MESSAGELIMIT 3 0] x", "[MESSAGELIMIT 3 x] x"]
        {
            assert!(matches!(code(odd), Some(ResponseCode::Other { .. })), "{odd}");
        }
    }

    #[test]
    fn copyuid_names_the_uids_on_both_sides() {
        let code = |text: &'static str| StatusText::parse(&Bytes::from_static(text.as_bytes())).code;
        let uids = |text: &str| UidSequence::parse(text.as_bytes()).unwrap();
        let uid_validity = UidValidity::new(38505).unwrap();
        let copied = ResponseCode::CopyUid { uid_validity, from: uids("304,319:320"), to: uids("3956:3958") };
        assert_eq!(code("[COPYUID 38505 304,319:320 3956:3958] Done"), Some(copied));
        for odd in ["[COPYUID 1 2] x", "[COPYUID 0 2 3] x", "[COPYUID 1 2 *] x", "[COPYUID] x"] {
            assert!(matches!(code(odd), Some(ResponseCode::Other { .. })), "{odd}");
        }
    }

    #[test]
    fn what_a_server_says_moves_no_cursor_and_begins_no_line() {
        let text = StatusText::parse(&Bytes::from_static(b"[NO\x1bPE x] \x1b[2Jgone\r\nall well"));
        assert_eq!(text.display_text(), "<U+001B>[2Jgone<U+000D><U+000A>all well");
        assert_eq!(text.code.unwrap().name(), "NO<U+001B>PE");
        let latin = StatusText::parse(&Bytes::from_static(b"gr\xfc\xdfe \x9b2J"));
        assert_eq!(latin.display_text(), "gr\u{fc}\u{df}e <U+009B>2J");
    }
}
