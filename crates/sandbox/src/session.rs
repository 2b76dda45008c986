//! One connection: its state and its commands.

use crate::account::{MailboxSnapshot, NewMessage, canonical};
use crate::fetch;
use crate::profile::{Fault, LoneLf, Profile};
use crate::reader::{Reader, Stop, Word};
use crate::server::Sandbox;
use base64::Engine as _;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// The date of messages that come without one: the server has no clock.
const NO_DATE: &str = "01-Jan-2026 00:00:00 +0000";

pub(crate) struct Session<S> {
    sandbox: Sandbox,
    stream: S,
    reader: Reader,
    user: Option<String>,
    selected: Option<Selected>,
}

struct Selected {
    name: String,
    read_only: bool,
    /// Messages that the client knows of.
    told: usize,
}

/// How a command ended; `Leave` ends the connection without an answer.
enum Done {
    Ok(String),
    No(String),
    Bad(String),
    Leave,
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

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(crate) fn new(sandbox: Sandbox, stream: S) -> Self {
        Self { sandbox, stream, reader: Reader::default(), user: None, selected: None }
    }

    /// Serves until the client leaves.
    pub(crate) async fn run(mut self) {
        let greeting = format!("* OK [CAPABILITY {}] Mailhaul sandbox\r\n", self.profile().capabilities());
        if self.write(greeting.as_bytes()).await.is_none() {
            return;
        }
        loop {
            let literal_plus = self.profile().literal_plus;
            let words = match self.reader.command(&mut self.stream, literal_plus).await {
                Ok(words) => words,
                Err(Stop::Closed) => return,
                Err(Stop::Bad(tag)) => {
                    if self.write(format!("{tag} BAD syntax\r\n").as_bytes()).await.is_none() {
                        return;
                    }
                    continue;
                }
            };
            if self.command(words).await.is_none() {
                return;
            }
        }
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
        let done = self.dispatch(&verb, by_uid, &words).await?;
        let line = match done {
            Done::Ok(text) => format!("{tag} OK {text}\r\n"),
            Done::No(text) => format!("{tag} NO {text}\r\n"),
            Done::Bad(text) => format!("{tag} BAD {text}\r\n"),
            Done::Leave => return None,
        };
        self.write(line.as_bytes()).await?;
        if verb == "LOGOUT" { None } else { Some(()) }
    }

    async fn dispatch(&mut self, verb: &str, by_uid: bool, words: &[Word]) -> Option<Done> {
        let text = |i: usize| words.get(i).and_then(Word::text).unwrap_or_default();
        Some(match (verb, &self.user) {
            ("CAPABILITY", _) => {
                let line = format!("* CAPABILITY {}\r\n", self.profile().capabilities());
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
            ("ID", _) => {
                self.write(b"* ID (\"name\" \"Mailhaul sandbox\")\r\n").await?;
                ok("done")
            }
            ("STARTTLS", _) => no("not today"),
            ("LOGIN", None) => self.login(&text(0), &text(1)),
            ("AUTHENTICATE", None) => self.authenticate(words).await?,
            (_, None) => bad("log in first"),
            ("NAMESPACE", _) => {
                let (prefix, d) = (self.profile().prefix, char::from(self.profile().delimiter));
                self.write(format!("* NAMESPACE ((\"{prefix}\" \"{d}\")) NIL NIL\r\n").as_bytes()).await?;
                ok("done")
            }
            ("LIST" | "LSUB", Some(user)) => {
                let lines = self.list(&user.clone(), verb == "LSUB", words);
                self.write(&lines).await?;
                ok("done")
            }
            ("CREATE", Some(user)) => self.create(&user.clone(), words),
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
            ("APPEND", Some(user)) => self.append(&user.clone(), words).await,
            ("GETQUOTAROOT", Some(_)) if self.profile().quota_octets.is_none() => {
                self.write(b"* QUOTAROOT INBOX\r\n").await?;
                ok("done")
            }
            ("GETQUOTAROOT", Some(user)) => {
                let used = self.sandbox.with(&user.clone(), |a| a.octets()).unwrap_or(0) / 1024;
                let limit = self.profile().quota_octets.unwrap_or(1 << 40) / 1024;
                let lines = format!("* QUOTAROOT INBOX \"\"\r\n* QUOTA \"\" (STORAGE {used} {limit})\r\n");
                self.write(lines.as_bytes()).await?;
                ok("done")
            }
            ("FETCH", Some(user)) => self.fetch(&user.clone(), by_uid, &text(0), words.get(1)).await?,
            ("STORE", Some(user)) => self.store(&user.clone(), by_uid, words),
            ("EXPUNGE", Some(user)) => self.expunge(&user.clone(), by_uid.then(|| text(0))).await?,
            _ => bad("unknown command"),
        })
    }

    fn login(&mut self, user: &str, password: &str) -> Done {
        if self.profile().login_disabled {
            return no("[PRIVACYREQUIRED] not over this connection");
        }
        if !self.sandbox.check(user, password) {
            return no("[AUTHENTICATIONFAILED] wrong user name or password");
        }
        self.user = Some(user.to_owned());
        Done::Ok(format!("[CAPABILITY {}] welcome", self.profile().capabilities()))
    }

    async fn authenticate(&mut self, words: &[Word]) -> Option<Done> {
        if !words.first().and_then(Word::text).is_some_and(|m| m.eq_ignore_ascii_case("PLAIN")) {
            return Some(no("[CANNOT] only PLAIN"));
        }
        let initial = match words.get(1).and_then(Word::text) {
            Some(initial) => initial,
            None => {
                self.write(b"+ \r\n").await?;
                let line = self.reader.line(&mut self.stream).await.ok()?;
                String::from_utf8_lossy(&line).into_owned()
            }
        };
        let message = base64::engine::general_purpose::STANDARD.decode(initial).unwrap_or_default();
        let parts: Vec<String> =
            message.split(|b| *b == 0).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        Some(match &parts[..] {
            [_, user, password] => self.login(user, password),
            _ => bad("no PLAIN message"),
        })
    }

    fn list(&self, user: &str, subscribed_only: bool, words: &[Word]) -> Vec<u8> {
        let texts: Vec<String> = words.iter().filter_map(Word::text).collect();
        let returns = words.iter().any(|w| matches!(w, Word::List(_)));
        let pattern = texts.get(1).cloned().unwrap_or_default();
        let verb = if subscribed_only { "LSUB" } else { "LIST" };
        let d = char::from(self.profile().delimiter);
        if pattern.is_empty() {
            return format!("* LIST (\\Noselect) \"{d}\" \"\"\r\n").into_bytes();
        }
        let special = self.profile().special_use;
        let lines = self.sandbox.with(user, |account| {
            let listed = account.mailboxes.values().filter(|m| matches(&pattern, &m.name, d));
            let listed = listed.filter(|m| !subscribed_only || m.subscribed);
            let line = |m: &MailboxSnapshot| {
                let mut attributes = Vec::new();
                attributes.extend(m.role.clone().filter(|_| special));
                attributes.extend((returns && m.subscribed).then(|| "\\Subscribed".to_owned()));
                format!("* {verb} ({}) \"{d}\" \"{}\"\r\n", attributes.join(" "), m.name.replace('"', "\\\""))
            };
            listed.map(line).collect::<String>()
        });
        lines.unwrap_or_default().into_bytes()
    }

    fn create(&self, user: &str, words: &[Word]) -> Done {
        let name = words.first().and_then(Word::text).unwrap_or_default();
        let role = match words.get(1) {
            Some(Word::List(list)) => match list.get(1) {
                Some(Word::List(roles)) => roles.first().and_then(Word::text),
                _ => return bad("CREATE takes USE"),
            },
            _ => None,
        };
        let profile = self.profile();
        let d = char::from(profile.delimiter);
        let allowed = name.starts_with(profile.prefix) || canonical(&name) == "INBOX";
        if !allowed || name.is_empty() || name.split(d).any(str::is_empty) {
            return no("[CANNOT] not with this name");
        }
        match self.sandbox.with(user, |a| a.create(&name, role)) {
            Some(true) => ok("done"),
            _ => no("[ALREADYEXISTS] it is there"),
        }
    }

    fn status(&self, user: &str, name: &str, items: Option<&Word>) -> Option<String> {
        let Some(Word::List(items)) = items else { return None };
        self.sandbox.with(user, |account| {
            let m = account.mailbox(name)?;
            let value = |item: &str| match item {
                "MESSAGES" => Some(m.messages.len() as u64),
                "UIDNEXT" => Some(m.uid_next.into()),
                "UIDVALIDITY" => Some(m.uid_validity.into()),
                "SIZE" => Some(m.messages.iter().map(|x| x.octets.len() as u64).sum()),
                "UNSEEN" => {
                    Some(m.messages.iter().filter(|x| !x.flags.iter().any(|f| f == "\\Seen")).count() as u64)
                }
                _ => None,
            };
            let named = items.iter().filter_map(Word::text).map(|i| i.to_ascii_uppercase());
            let values: Vec<String> = named.filter_map(|i| value(&i).map(|v| format!("{i} {v}"))).collect();
            Some(format!("* STATUS \"{}\" ({})\r\n", m.name, values.join(" ")))
        })?
    }

    async fn select(&mut self, user: &str, name: &str, read_only: bool) -> Option<Done> {
        self.selected = None;
        let Some(m) = self.sandbox.with(user, |a| a.mailbox(name).cloned()).flatten() else {
            return Some(no("[NONEXISTENT] no such mailbox"));
        };
        let lines = format!(
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n\
             * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] flags\r\n\
             * {} EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY {}] epoch\r\n* OK [UIDNEXT {}] next\r\n",
            m.messages.len(),
            m.uid_validity,
            m.uid_next
        );
        self.write(lines.as_bytes()).await?;
        self.selected = Some(Selected { name: m.name, read_only, told: m.messages.len() });
        Some(ok(if read_only { "[READ-ONLY] open" } else { "[READ-WRITE] open" }))
    }

    /// Tells of messages that came since.
    async fn news(&mut self) -> Option<()> {
        let (Some(user), Some(selected)) = (&self.user, &self.selected) else { return Some(()) };
        let count = self.sandbox.with(user, |a| a.mailbox(&selected.name).map_or(0, |m| m.messages.len()));
        let count = count.unwrap_or(0);
        if count != selected.told {
            if let Some(selected) = &mut self.selected {
                selected.told = count;
            }
            self.write(format!("* {count} EXISTS\r\n").as_bytes()).await?;
        }
        Some(())
    }

    async fn fetch(&mut self, user: &str, by_uid: bool, set: &str, items: Option<&Word>) -> Option<Done> {
        let Some(selected) = &self.selected else { return Some(bad("no mailbox is open")) };
        let (name, read_only) = (selected.name.clone(), selected.read_only);
        let Some(items) = items.and_then(|w| fetch::items(w, by_uid)) else { return Some(bad("what?")) };
        let Some(m) = self.sandbox.with(user, |a| a.mailbox(&name).cloned()).flatten() else {
            return Some(no("[NONEXISTENT] the mailbox is gone"));
        };
        let Some(positions) = fetch::select(&m, set, by_uid) else { return Some(bad("no set")) };
        let bodies = items.iter().any(|i| fetch::is_body(i));
        let fault = if bodies { self.sandbox.fetch_fault() } else { None };
        if !read_only && items.iter().any(|i| fetch::marks_seen(i)) {
            let uids: Vec<u32> = positions.iter().map(|i| m.messages[*i].uid).collect();
            self.sandbox.add_flag(user, &name, &uids, "\\Seen");
        }
        for position in positions {
            let nil = fault == Some(Fault::NilBody);
            let Some(response) = fetch::response(position + 1, &m.messages[position], &items, nil) else {
                return Some(bad("unknown item"));
            };
            if let Some(Fault::CutFetch(octets)) = fault {
                self.write(&response[..octets.min(response.len())]).await?;
                return None;
            }
            self.write(&response).await?;
        }
        Some(ok("done"))
    }

    fn store(&self, user: &str, by_uid: bool, words: &[Word]) -> Done {
        let Some(selected) = self.selected.as_ref().filter(|s| !s.read_only) else {
            return no("[READ-ONLY] nothing can be changed here");
        };
        let set = words.first().and_then(Word::text).unwrap_or_default();
        let action = words.get(1).and_then(Word::text).unwrap_or_default().to_ascii_uppercase();
        let Some(Word::List(flags)) = words.get(2) else { return bad("flags?") };
        let flags: Vec<String> = flags.iter().filter_map(Word::text).collect();
        let name = selected.name.clone();
        let done = self.sandbox.with(user, |account| {
            let mailbox = account.mailbox_mut(&name)?;
            for position in fetch::select(mailbox, &set, by_uid)? {
                let of = &mut mailbox.messages[position].flags;
                match action.as_bytes().first() {
                    Some(b'+') => {
                        of.extend(flags.iter().filter(|f| !of.contains(f)).cloned().collect::<Vec<_>>())
                    }
                    Some(b'-') => of.retain(|f| !flags.contains(f)),
                    _ => of.clone_from(&flags),
                }
            }
            Some(())
        });
        if done.flatten().is_some() { ok("done") } else { bad("no set") }
    }

    async fn expunge(&mut self, user: &str, uids: Option<String>) -> Option<Done> {
        let Some(selected) = self.selected.as_ref().filter(|s| !s.read_only) else {
            return Some(no("[READ-ONLY] nothing can be changed here"));
        };
        let name = selected.name.clone();
        let gone = self.sandbox.with(user, |account| {
            let mailbox = account.mailbox_mut(&name)?;
            let named = match &uids {
                Some(set) => fetch::select(mailbox, set, true)?,
                None => (0..mailbox.messages.len()).collect(),
            };
            let deleted =
                |i: &usize| mailbox.messages[*i].flags.iter().any(|f| f.eq_ignore_ascii_case("\\Deleted"));
            let doomed: Vec<usize> = named.into_iter().filter(deleted).collect();
            doomed.iter().rev().for_each(|i| drop(mailbox.messages.remove(*i)));
            Some(doomed)
        });
        let Some(gone) = gone.flatten() else { return Some(bad("no set")) };
        // From the last on, so that each number is right when it is told.
        for position in gone.iter().rev() {
            self.write(format!("* {} EXPUNGE\r\n", position + 1).as_bytes()).await?;
        }
        if let Some(selected) = &mut self.selected {
            selected.told -= gone.len();
        }
        Some(ok("done"))
    }

    async fn append(&mut self, user: &str, words: &[Word]) -> Done {
        let profile = self.profile();
        let name = words.first().and_then(Word::text).unwrap_or_default();
        let Some(messages) = messages(&words[1.min(words.len())..]) else { return bad("APPEND what?") };
        if messages.is_empty() || (messages.len() > 1 && !profile.multiappend) {
            return bad("one message");
        }
        let fault = self.sandbox.append_fault();
        match &fault {
            Some(Fault::DropBeforeStore) => return Done::Leave,
            Some(Fault::RefuseAppend(text)) => return Done::No(text.clone()),
            _ => {}
        }
        let used = self.sandbox.with(user, |a| a.octets()).unwrap_or(0);
        let messages: Vec<NewMessage> = messages.into_iter().map(|m| taken(m, &profile)).collect();
        if let Some(objection) = objection(&messages, &profile, used) {
            return Done::No(objection);
        }
        if !profile.commit_delay.is_zero() {
            // The client may be gone by then: it is stored all the same.
            let (sandbox, user, name, delay) =
                (self.sandbox.clone(), user.to_owned(), name.clone(), profile.commit_delay);
            let storing = tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                sandbox.append(&user, &name, messages)
            });
            return match storing.await {
                Ok(stored) => self.appended(stored, &profile, fault.as_ref()),
                Err(_) => Done::Leave,
            };
        }
        let stored = self.sandbox.append(user, &name, messages);
        self.appended(stored, &profile, fault.as_ref())
    }

    fn appended(&self, stored: Option<(u32, u32, u32)>, profile: &Profile, fault: Option<&Fault>) -> Done {
        match stored {
            Some(_) if fault == Some(&Fault::DropAfterStore) => Done::Leave,
            Some((validity, first, last)) if profile.uidplus && first == last => {
                Done::Ok(format!("[APPENDUID {validity} {first}] stored"))
            }
            Some((validity, first, last)) if profile.uidplus => {
                Done::Ok(format!("[APPENDUID {validity} {first}:{last}] stored"))
            }
            Some(_) => ok("stored"),
            None => no("[TRYCREATE] no such mailbox"),
        }
    }
}

/// The messages of an APPEND: flags and date before each literal.
fn messages(words: &[Word]) -> Option<Vec<NewMessage>> {
    let mut all = Vec::new();
    let mut rest = words.iter().peekable();
    while rest.peek().is_some() {
        let mut flags = Vec::new();
        if let Some(Word::List(list)) = rest.peek() {
            flags = list.iter().filter_map(Word::text).collect();
            rest.next();
        }
        let mut internal_date = NO_DATE.to_owned();
        if let Some(Word::Quoted(date)) = rest.peek() {
            internal_date = String::from_utf8_lossy(date).into_owned();
            rest.next();
        }
        let Some(Word::Literal(octets)) = rest.next() else { return None };
        let octets = octets.clone();
        all.push(NewMessage { octets, flags, internal_date });
    }
    Some(all)
}

/// What the profile makes of a message.
fn taken(mut message: NewMessage, profile: &Profile) -> NewMessage {
    if profile.lone_lf == LoneLf::ToCrlf {
        let mut out = Vec::with_capacity(message.octets.len());
        for (i, octet) in message.octets.iter().enumerate() {
            if *octet == b'\n' && (i == 0 || message.octets[i - 1] != b'\r') {
                out.push(b'\r');
            }
            out.push(*octet);
        }
        message.octets = out.into();
    }
    message
}

/// Why a batch is refused: all of it, or nothing.
fn objection(messages: &[NewMessage], profile: &Profile, used: u64) -> Option<String> {
    let more: u64 = messages.iter().map(|m| m.octets.len() as u64).sum();
    for m in messages {
        if m.octets.is_empty() && profile.refuse_empty {
            return Some("Zero-length message literal".into());
        }
        if profile.append_limit.is_some_and(|limit| m.octets.len() as u64 > limit) {
            return Some("[TOOBIG] too big".into());
        }
        let lone = |(i, b): (usize, &u8)| *b == b'\n' && (i == 0 || m.octets[i - 1] != b'\r');
        if profile.lone_lf == LoneLf::Refuse && m.octets.iter().enumerate().any(lone) {
            return Some("Message contains bare newlines".into());
        }
        if profile.refuse_bad_header && has_bad_header(&m.octets) {
            return Some("Message contains invalid header".into());
        }
        if profile.refuse.as_ref().is_some_and(|r| memchr::memmem::find(&m.octets, r).is_some()) {
            return Some("Message is not welcome".into());
        }
    }
    (profile.quota_octets.is_some_and(|quota| used + more > quota))
        .then(|| "[OVERQUOTA] Quota exceeded".into())
}

/// A header line without a colon, as Cyrus looks for it.
fn has_bad_header(octets: &Bytes) -> bool {
    let end = memchr::memmem::find(octets, b"\r\n\r\n").unwrap_or(octets.len());
    let lines = octets[..end].split(|b| *b == b'\n');
    lines.into_iter().any(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        !line.is_empty() && !line.starts_with(b" ") && !line.starts_with(b"\t") && !line.contains(&b':')
    })
}

/// LIST patterns: `*` any run, `%` any run within a level.
fn matches(pattern: &str, name: &str, delimiter: char) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => name.is_empty(),
        Some(w @ ('*' | '%')) => {
            let rest = chars.as_str();
            let ends = name.char_indices().map(|(i, _)| i).chain([name.len()]);
            ends.take_while(|i| w == '*' || !name[..*i].contains(delimiter))
                .any(|i| matches(rest, &name[i..], delimiter))
        }
        Some(c) => {
            let rest = chars.as_str();
            let same =
                |n: char| n == c || (c.eq_ignore_ascii_case(&n) && pattern.eq_ignore_ascii_case("INBOX"));
            name.chars().next().is_some_and(|n| same(n) && matches(rest, &name[n.len_utf8()..], delimiter))
        }
    }
}
