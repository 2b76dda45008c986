//! The practical limit: carries messages from one server to the other, and does nothing else.
//!
//! Bodies are fetched with one FETCH a mailbox and go out as MULTIAPPENDs with non-synchronising literals, which are not
//! waited for, over 1 to n pairs of connections. Flags and dates are kept; nothing is remembered, looked at, subscribed
//! or said twice. What a mailbox needs first (CREATE, EXAMINE) is done one after another, unless asked `ahead`.
//!
//! With `duties` it does what Mailhaul must, as plainly as possible: a listing before the bodies, SHA-256 of each
//! message, and a record of each batch that is on the disk before the batch's last octet goes out.

mod append;
mod connection;
mod shares;

use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use crate::Result;
use append::{Appender, Journal};
pub use connection::Login;
use connection::{Connection, Tag};
use shares::{Mailbox, Range, shares, status};

/// Messages that wait between the two connections of a pair.
const WAITING_MESSAGES: usize = 64;
/// Mailboxes asked for before the first has answered, where the relay asks ahead.
const AHEAD_MAILBOXES: usize = 16;

/// What the relay is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The source.
    pub from: Login,
    /// The target: an empty account.
    pub to: Login,
    /// Pairs of connections.
    pub connections: usize,
    /// Mailhaul's duties, with their records in this folder.
    pub duties: Option<PathBuf>,
    /// Asks for mailboxes before the last one has come, and creates them without waiting.
    pub ahead: bool,
}

/// A message on its way.
struct Message {
    mailbox: Arc<[u8]>,
    /// What stands before it in the APPEND: ` (flags) "date" {n+}` and the line's end.
    head: Vec<u8>,
    octets: Vec<u8>,
    /// SHA-256, if that is a duty.
    digest: Option<[u8; 32]>,
}

/// Copies the account; how many messages that were.
///
/// # Errors
/// If a server refuses anything, hangs up, or gives fewer messages than it told of.
pub fn run(options: &Options) -> Result<usize> {
    let mailboxes = mailboxes(&options.from)?;
    create(options, &mailboxes)?;
    let told: usize = mailboxes.iter().map(|mailbox| mailbox.messages as usize).sum();
    let mut pairs = Vec::new();
    for (ordinal, share) in shares(&mailboxes, options.connections).into_iter().enumerate() {
        let (source, target) = (Connection::open(&options.from)?, Connection::open(&options.to)?);
        let folder = options.duties.as_ref();
        let journal =
            folder.map(|folder| Journal::create(&folder.join(format!("{ordinal}.log")))).transpose()?;
        let ranges: Vec<(Arc<[u8]>, Range)> = share
            .into_iter()
            .map(|range| (Arc::from(mailboxes[range.mailbox].name.as_slice()), range))
            .collect();
        let ahead = if options.ahead { AHEAD_MAILBOXES } else { 1 };
        pairs.push(thread::spawn(move || pair(source, target, &ranges, ahead, journal)));
    }
    let mut moved = 0;
    for pair in pairs {
        moved += pair.join().map_err(|_| "a thread died")??;
    }
    if moved != told { Err(format!("{moved} of {told} messages").into()) } else { Ok(moved) }
}

fn mailboxes(login: &Login) -> Result<Vec<Mailbox>> {
    let lines = Connection::open(login)?.command(b"LIST \"\" \"*\" RETURN (STATUS (MESSAGES SIZE))")?;
    Ok(lines.iter().filter_map(|line| status(line)).collect())
}

fn create(options: &Options, mailboxes: &[Mailbox]) -> Result<()> {
    let mut target = Connection::open(&options.to)?;
    let commands: Vec<Vec<u8>> = mailboxes
        .iter()
        .filter(|mailbox| !mailbox.name.eq_ignore_ascii_case(b"INBOX"))
        .map(|mailbox| [b"CREATE ", mailbox.name.as_slice()].concat())
        .collect();
    let at_once = if options.ahead { AHEAD_MAILBOXES } else { 1 };
    for commands in commands.chunks(at_once) {
        for tag in target.send(commands.iter().map(Vec::as_slice))? {
            target.await_ok(&tag)?;
        }
    }
    Ok(())
}

/// One pair of connections; how many messages it carried.
fn pair(
    source: Connection,
    target: Connection,
    ranges: &[(Arc<[u8]>, Range)],
    ahead: usize,
    journal: Option<Journal>,
) -> Result<usize> {
    let (put, take) = sync_channel::<Message>(WAITING_MESSAGES);
    let duties = journal.is_some();
    thread::scope(|scope| {
        // it takes `put` along: its end is the appender's
        let reading = scope.spawn(move || drain(source, ranges, ahead, duties, &put));
        // where the target fails, what the reader says is only that nobody takes any more
        let appended = Appender::new(target, journal)?.run(take)?;
        reading.join().map_err(|_| "a thread died")??;
        Ok(appended)
    })
}

fn drain(
    mut source: Connection,
    ranges: &[(Arc<[u8]>, Range)],
    ahead: usize,
    duties: bool,
    put: &SyncSender<Message>,
) -> Result<()> {
    let mut asked = VecDeque::new();
    let mut next = ranges.iter();
    for (mailbox, _) in ranges {
        while asked.len() < ahead
            && let Some((name, range)) = next.next()
        {
            asked.push_back(Asked::start(&mut source, commands(name, range, duties), ahead > 1)?);
        }
        let Some(first) = asked.pop_front() else { break };
        let bodies = first.up_to_the_last(&mut source)?;
        loop {
            let line = source.line()?;
            if bodies.is_ok(&line)? {
                break;
            }
            let Some(octets) = announced(&line) else { continue };
            let (head, octets) = (append_head(&line, octets)?, source.literal(octets)?);
            let digest = duties.then(|| Sha256::digest(&octets).into());
            put.send(Message { mailbox: Arc::clone(mailbox), head, octets, digest })?;
        }
    }
    Ok(())
}

/// What is asked of a range; the bodies last.
fn commands(mailbox: &[u8], range: &Range, duties: bool) -> VecDeque<Vec<u8>> {
    let fetch = |items: &str| format!("FETCH {}:{} ({items})", range.first, range.last).into_bytes();
    let mut commands = VecDeque::from([[b"EXAMINE ", mailbox].concat()]);
    if duties {
        commands.push_back(fetch("UID FLAGS INTERNALDATE RFC822.SIZE"));
    }
    commands.push_back(fetch("UID FLAGS INTERNALDATE BODY.PEEK[]"));
    commands
}

/// The commands of a range, as far as they are sent.
struct Asked {
    /// Of the last command sent.
    last: Tag,
    /// Of those before it.
    before: Vec<Tag>,
    unsent: VecDeque<Vec<u8>>,
}

impl Asked {
    /// Sends the first command, or all of them.
    fn start(source: &mut Connection, mut commands: VecDeque<Vec<u8>>, all: bool) -> Result<Self> {
        let unsent = if all { VecDeque::new() } else { commands.split_off(1) };
        let mut before = source.send(commands.iter().map(Vec::as_slice))?;
        let last = before.pop().ok_or("nothing to ask")?;
        Ok(Self { last, before, unsent })
    }

    /// Waits for every answer but that to the last command, which is on its way then.
    fn up_to_the_last(mut self, source: &mut Connection) -> Result<Tag> {
        for tag in &self.before {
            source.await_ok(tag)?;
        }
        for command in &self.unsent {
            source.await_ok(&self.last)?;
            self.last = source.send([command.as_slice()])?.pop().ok_or("nothing to ask")?;
        }
        Ok(self.last)
    }
}

/// The literal that a line announces at its end.
fn announced(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}\r\n")?;
    let open = inner.iter().rposition(|octet| *octet == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

/// What an APPEND says of the message that a FETCH response tells of. `\Recent` cannot be set (RFC 3501 section 2.3.2).
fn append_head(line: &[u8], octets: usize) -> Result<Vec<u8>> {
    let flags = between(line, b"FLAGS (", b')').ok_or("a FETCH response without FLAGS")?;
    let date = between(line, b"INTERNALDATE \"", b'"').ok_or("a FETCH response without INTERNALDATE")?;
    let kept: Vec<&[u8]> =
        flags.split(|octet| *octet == b' ').filter(|flag| !flag.eq_ignore_ascii_case(b"\\Recent")).collect();
    let size = format!("\" {{{octets}+}}\r\n");
    Ok([b" (", kept.join(&b' ').as_slice(), b") \"", date, size.as_bytes()].concat())
}

fn between<'a>(line: &'a [u8], before: &[u8], end: u8) -> Option<&'a [u8]> {
    let start = line.windows(before.len()).position(|window| window == before)? + before.len();
    let rest = &line[start..];
    Some(&rest[..rest.iter().position(|octet| *octet == end)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_says_what_the_fetch_told_without_recent() {
        let line =
            b"* 3 FETCH (UID 9 FLAGS (\\Seen \\Recent todo) INTERNALDATE \" 3-Mar-2020 10:11:12 +0000\" \
            BODY[] {42}\r\n";
        assert_eq!(announced(line), Some(42));
        let head = append_head(line, 42).unwrap();
        assert_eq!(
            String::from_utf8(head).unwrap(),
            " (\\Seen todo) \" 3-Mar-2020 10:11:12 +0000\" {42+}\r\n"
        );
    }

    #[test]
    fn a_line_without_a_literal_announces_none_and_one_without_flags_is_refused() {
        assert_eq!(announced(b"* 3 FETCH (FLAGS ())\r\n"), None);
        assert_eq!(announced(b"* OK {x}\r\n"), None);
        assert!(append_head(b"* 3 FETCH (UID 9 BODY[] {42}\r\n", 42).is_err());
    }
}
