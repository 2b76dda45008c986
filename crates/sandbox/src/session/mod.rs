//! One connection: its state and its commands.

mod append;
mod copy;
mod login;
mod mailboxes;
mod messages;
mod sasl;
mod scram;

use crate::fault::{Fault, Occasion};
use crate::profile::Profile;
use crate::reader::{Reader, Stop, Word};
use crate::server::Sandbox;
use crate::wire::Wire;
use crate::world::Asked;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// The date of messages that come without one: the server has no clock.
const NO_DATE: &str = "01-Jan-2026 00:00:00 +0000";

/// What is known of the connection below: whoever does the TLS says it.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    /// What logins can be bound to: the name of the binding, its data.
    pub bindings: Vec<(String, Vec<u8>)>,
    /// Whom the client's certificate names.
    pub certified: Option<String>,
}

pub(crate) struct Session<S> {
    sandbox: Sandbox,
    channel: Channel,
    stream: Wire<S>,
    reader: Reader,
    user: Option<String>,
    selected: Option<Selected>,
    /// The client said who it is.
    identified: bool,
    /// Mailbox, UIDVALIDITY and UID of what was stored over this connection.
    appended: BTreeSet<(String, u32, u32)>,
    bads: u32,
}

struct Selected {
    name: String,
    read_only: bool,
    /// Its UIDVALIDITY when it was opened.
    epoch: u32,
    /// The UIDs of the messages that the client knows of, in order.
    told: Vec<u32>,
}

/// How a command ended. Without one the connection ends and nothing is answered.
enum Done {
    Ok(String),
    No(String),
    Bad(String),
    /// A status and its text.
    Status(String),
    /// Untagged lines, and OK with a text.
    After(String, String),
    /// OK, and everything after it is compressed in both directions.
    Compressed,
}

fn ok(text: &str) -> Done {
    Done::Ok(text.to_owned())
}

fn bad(text: &str) -> Done {
    Done::Bad(text.to_owned())
}

fn no(text: &str) -> Done {
    Done::No(text.to_owned())
}

/// A quoted string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The hierarchy delimiter as a quoted string.
fn delimiter(profile: &Profile) -> String {
    quoted(&char::from(profile.delimiter).to_string())
}

impl<S> Drop for Session<S> {
    fn drop(&mut self) {
        if let Some(user) = &self.user {
            self.sandbox.leave(user);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(crate) fn new(sandbox: Sandbox, stream: S, channel: Channel) -> Self {
        let (stream, reader) = (Wire::new(stream), Reader::default());
        let (user, selected, appended) = (None, None, BTreeSet::new());
        Self { sandbox, channel, stream, reader, user, selected, identified: false, appended, bads: 0 }
    }

    /// Serves until the client leaves.
    pub(crate) async fn run(mut self) {
        let profile = self.profile();
        let user = profile.preauthenticated.filter(|user| self.sandbox.enter(user));
        self.user = user.map(str::to_owned);
        let condition = if user.is_some() { "PREAUTH" } else { "OK" };
        let capabilities = profile.capabilities_for(user.is_some());
        let greeting = format!("* {condition} [CAPABILITY {capabilities}] {}\r\n", profile.greeting);
        if self.write(greeting.as_bytes()).await.is_none() {
            return;
        }
        while let Some(words) = self.next().await {
            let Some(words) = words else { continue };
            let later = if self.may_wait(&words).await { self.next().await } else { None };
            for words in later.flatten().into_iter().chain([words]) {
                if self.command(words).await.is_none() {
                    return;
                }
            }
        }
    }

    /// The next command. Outer `None`: the connection ended; inner: it was answered, and was none.
    async fn next(&mut self) -> Option<Option<Vec<Word>>> {
        let at_once = self.profile().non_synchronising_octets_max();
        let sandbox = self.sandbox.clone();
        let instead = || sandbox.strike(Occasion::Continuation, &Asked::default());
        let answer = match self.reader.command(&mut self.stream, at_once, instead).await {
            Ok(words) => return Some(Some(words)),
            Err(Stop::Closed) => return None,
            Err(Stop::Bad(tag)) => format!("{tag} BAD syntax\r\n"),
            Err(Stop::Refused(tag, text)) => format!("{tag} {text}\r\n"),
        };
        self.write(answer.as_bytes()).await.map(|()| None)
    }

    /// Whether another command has come that is answered before this one: after a FETCH nothing but a FETCH comes.
    async fn may_wait(&mut self, words: &[Word]) -> bool {
        let is_fetch =
            words.get(2).and_then(Word::text).is_some_and(|verb| verb.eq_ignore_ascii_case("FETCH"));
        let within = Duration::from_millis(1);
        is_fetch && self.profile().later_fetch_first && self.reader.has_line(&mut self.stream, within).await
    }

    fn profile(&self) -> Profile {
        self.sandbox.profile()
    }

    async fn write(&mut self, octets: &[u8]) -> Option<()> {
        self.stream.write_all(octets).await.ok()?;
        self.stream.flush().await.ok()
    }

    async fn command(&mut self, mut words: Vec<Word>) -> Option<()> {
        let tag = words.remove(0).text()?;
        let mut verb = words.remove(0).text()?.to_ascii_uppercase();
        let by_uid = verb == "UID" && !words.is_empty();
        if by_uid {
            verb = words.remove(0).text()?.to_ascii_uppercase();
        }
        self.sandbox.count(&verb);
        let done = match self.trouble().await? {
            Some(done) => done,
            None => self.dispatch(&verb, by_uid, &words).await?,
        };
        let compress = matches!(done, Done::Compressed);
        let line = match done {
            Done::After(untagged, text) => format!("{untagged}{tag} OK {text}\r\n"),
            Done::Compressed => format!("{tag} OK compressed from here on\r\n"),
            Done::Ok(text) => format!("{tag} OK {text}\r\n"),
            Done::No(text) => format!("{tag} NO {text}\r\n"),
            Done::Bad(text) => format!("{tag} BAD {text}\r\n"),
            Done::Status(text) => format!("{tag} {text}\r\n"),
        };
        self.write(line.as_bytes()).await?;
        self.bads += u32::from(line.strip_prefix(&tag).is_some_and(|line| line.starts_with(" BAD")));
        if self.profile().ends_at_bad.is_some_and(|most| self.bads >= most) {
            self.sandbox.ended_at_bad();
            self.write(b"* BYE Connection closed. 14\r\n").await?;
            return None;
        }
        if compress {
            let already = self.reader.take_rest();
            self.stream.compress(already);
        }
        if verb == "LOGOUT" { None } else { Some(()) }
    }

    /// Lets the faults of any command strike. `Some`: this is the answer.
    async fn trouble(&mut self) -> Option<Option<Done>> {
        while let Some(fault) = self.sandbox.strike(Occasion::Command, &Asked::default()) {
            match fault {
                Fault::Bye(text) => {
                    self.write(format!("* BYE {text}\r\n").as_bytes()).await?;
                    return None;
                }
                Fault::Answer(text) => return Some(Some(Done::Status(text))),
                Fault::Untagged(line) => self.write(format!("{line}\r\n").as_bytes()).await?,
                Fault::Silence => {
                    self.reader.until_closed(&mut self.stream).await;
                    return None;
                }
                Fault::Working(each, times) => {
                    for _ in 0..times {
                        tokio::time::sleep(each).await;
                        self.write(b"* OK [INPROGRESS] still at it\r\n").await?;
                    }
                }
                Fault::Held => self.sandbox.until_released().await,
                Fault::Other(deed) => self.sandbox.other(self.user.as_deref(), &deed),
                _ => {}
            }
        }
        Some(None)
    }

    async fn dispatch(&mut self, verb: &str, by_uid: bool, words: &[Word]) -> Option<Done> {
        let text = |i: usize| words.get(i).and_then(Word::text).unwrap_or_default();
        let disconnected = self.profile().disconnected.filter(|_| self.user.is_some() && verb != "LOGOUT");
        if let Some(words) = disconnected {
            return Some(Done::Status(words));
        }
        Some(match (verb, &self.user) {
            ("CAPABILITY", _) => {
                let line =
                    format!("* CAPABILITY {}\r\n", self.profile().capabilities_for(self.user.is_some()));
                self.write(line.as_bytes()).await?;
                ok("done")
            }
            ("NOOP" | "CHECK", _) => {
                self.news().await?;
                ok("done")
            }
            ("LOGOUT", _) => {
                self.write(b"* BYE see you\r\n").await?;
                ok("done")
            }
            ("SELECT" | "EXAMINE", _) if self.profile().wants_id && !self.identified => {
                no("Unsafe Login. Please contact kefu@188.com for help")
            }
            ("ID", _) => {
                self.identified = true;
                self.write(b"* ID (\"name\" \"Mailhaul sandbox\")\r\n").await?;
                ok("done")
            }
            ("STARTTLS", _) => no("not today"),
            ("LOGIN", None) => self.login_command(&text(0), &text(1)),
            ("AUTHENTICATE", None) => self.authenticate(words).await?,
            ("COMPRESS", None) => no("log in first"),
            (_, None) => bad("log in first"),
            ("COMPRESS", _) if self.profile().compress => match text(0).to_ascii_uppercase().as_str() {
                _ if self.stream.is_compressed() => no("[COMPRESSIONACTIVE] once is enough"),
                "DEFLATE" => Done::Compressed,
                _ => bad("only DEFLATE"),
            },
            ("ENABLE", _) if self.profile().rev2 => {
                let condstore = if self.profile().condstore { " CONDSTORE" } else { "" };
                self.write(format!("* ENABLED{condstore}\r\n").as_bytes()).await?;
                ok("done")
            }
            ("NAMESPACE", _) => {
                let (prefix, d) = (quoted(self.profile().prefix), delimiter(&self.profile()));
                let foreign = self.profile().foreign_namespaces;
                self.write(format!("* NAMESPACE (({prefix} {d})) {foreign}\r\n").as_bytes()).await?;
                ok("done")
            }
            ("MYRIGHTS", _) => match self.profile().rights_in(&text(0)) {
                Some(letters) => {
                    self.write(format!("* MYRIGHTS \"{}\" {letters}\r\n", text(0)).as_bytes()).await?;
                    ok("done")
                }
                None => bad("no ACL here"),
            },
            ("LIST" | "LSUB", _) if self.profile().lists_nothing => ok("done"),
            ("SELECT" | "EXAMINE" | "STATUS", _) if self.lacks(&text(0), 'r') => no("[NOPERM] not for you"),
            ("COPY", _) if self.lacks(&text(1), 'i') => no("[NOPERM] not for you"),
            ("APPEND", _) if self.lacks(&text(0), 'i') => no("[NOPERM] not for you"),
            ("CREATE", _) if self.lacks("INBOX", 'k') => no("[NOPERM] not for you"),
            ("LIST" | "LSUB", Some(user)) => {
                let lines = self.list(&user.clone(), verb == "LSUB", words);
                self.write(&lines).await?;
                ok("done")
            }
            ("CREATE", Some(user)) => self.create(&user.clone(), words),
            ("DELETE", Some(user)) => self.delete(&user.clone(), &text(0)),
            ("SUBSCRIBE", Some(user)) => {
                let (user, name) = (user.clone(), text(0));
                let done = self.sandbox.with(&user, |a| a.mailbox_mut(&name).map(|m| m.subscribed = true));
                if done.flatten().is_some() { ok("done") } else { no("[NONEXISTENT] no such mailbox") }
            }
            ("STATUS", Some(user)) => match self.status(&user.clone(), &text(0), words.get(1)) {
                Some(line) => {
                    self.write(line.as_bytes()).await?;
                    ok("done")
                }
                None => no("[NONEXISTENT] no such mailbox"),
            },
            ("SELECT" | "EXAMINE", Some(user)) => {
                self.select(&user.clone(), &text(0), verb == "EXAMINE").await?
            }
            ("CLOSE" | "UNSELECT", _) => {
                self.selected = None;
                ok("done")
            }
            ("APPEND", Some(user)) => self.append(&user.clone(), words).await?,
            ("COPY", Some(user)) => self.copy(&user.clone(), by_uid, &text(0), &text(1)).await?,
            ("GETQUOTAROOT", Some(_)) if self.profile().quota_octets.is_none() => {
                self.write(b"* QUOTAROOT INBOX\r\n").await?;
                ok("done")
            }
            ("GETQUOTAROOT", Some(user)) => {
                let mail = self.sandbox.with(&user.clone(), |a| a.octets()).unwrap_or(0);
                let used = (mail + self.profile().quota_used_beside) / 1024;
                let limit = self.profile().quota_octets.unwrap_or(1 << 40) / 1024;
                let lines = format!("* QUOTAROOT INBOX \"\"\r\n* QUOTA \"\" (STORAGE {used} {limit})\r\n");
                self.write(lines.as_bytes()).await?;
                ok("done")
            }
            ("FETCH", Some(user)) => self.fetch(&user.clone(), by_uid, &text(0), words.get(1)).await?,
            ("SEARCH", Some(user)) if by_uid => self.search_larger(&user.clone(), words).await?,
            ("STORE", Some(user)) => self.store(&user.clone(), by_uid, words),
            ("EXPUNGE", Some(user)) => self.expunge(&user.clone(), by_uid.then(|| text(0))).await?,
            _ => bad("unknown command"),
        })
    }

    /// The rights in this mailbox are told, and this one is not among them.
    fn lacks(&self, mailbox: &str, right: char) -> bool {
        self.profile().rights_in(mailbox).is_some_and(|letters| !letters.contains(right))
    }

    /// Tells of messages that came and went since.
    async fn news(&mut self) -> Option<()> {
        let (Some(user), Some(selected)) = (&self.user, &mut self.selected) else { return Some(()) };
        let uids =
            |a: &mut crate::account::Account| a.mailbox(&selected.name).map(|m| (m.uids(), m.uid_validity));
        let (now, epoch) = self.sandbox.with(user, uids).flatten().unwrap_or_default();
        if epoch != selected.epoch {
            // Another mailbox in the place of the one that was opened: the session is worth nothing any more.
            return None;
        }
        let mut lines = String::new();
        // UIDs ascend. From the last on, so that each number is right when it is told.
        let gone = |uid: &u32| now.binary_search(uid).is_err();
        for (i, _) in selected.told.iter().enumerate().rev().filter(|(_, uid)| gone(uid)) {
            lines += &format!("* {} EXPUNGE\r\n", i + 1);
        }
        if now.len() > selected.told.iter().filter(|uid| !gone(uid)).count() {
            lines += &format!("* {} EXISTS\r\n", now.len());
        }
        selected.told = now;
        self.write(lines.as_bytes()).await
    }
}
