//! The two ends of a migration: where mail comes from and where it goes.
//!
//! Small traits, static dispatch. An end is a recipe for sessions; a session is one connection, logged in. IMAP
//! and memory implement them; nothing in the brain speaks IMAP.
//!
//! **A [`SourceSession`] has no method that can change anything** (law 1): the IMAP one opens mailboxes with
//! EXAMINE and reads with BODY.PEEK.

mod fetching;
mod read;
mod told;

pub use fetching::{FetchEvent, FetchRange, Fetched, Unlisted, Wanted, Way};
pub use read::{Depth, ReadEvent, Seen, ToRead};
pub use told::{Asked, Compression, Rights, Room, Untold};

use crate::alerts::Alerts;
use crate::error::{EndError, Refusal, RefusalClass};
use crate::journal::EpochFacts;
use crate::message::{Flags, InternalDate, Key, UidValidity};
use crate::net::Certificate;
use crate::quirks::family::Behaviour;
use crate::transfer::spool::{Body, Intake};
use bytes::Bytes;
use std::future::Future;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A special-use role (RFC 6154, RFC 8457).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
    /// `\Important`
    Important,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 8] = [
        Self::All,
        Self::Archive,
        Self::Drafts,
        Self::Flagged,
        Self::Junk,
        Self::Sent,
        Self::Trash,
        Self::Important,
    ];

    /// The attribute without its backslash, lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Archive => "archive",
            Self::Drafts => "drafts",
            Self::Flagged => "flagged",
            Self::Junk => "junk",
            Self::Sent => "sent",
            Self::Trash => "trash",
            Self::Important => "important",
        }
    }

    /// The attribute as the RFC writes it, without its backslash: `Sent`.
    pub fn capitalised(self) -> String {
        let word = self.as_str();
        word[..1].to_ascii_uppercase() + &word[1..]
    }

    /// What lies in such a mailbox, in everyday words.
    pub fn plainly(self) -> &'static str {
        match self {
            Self::All => "all mail",
            Self::Archive => "archived mail",
            Self::Drafts => "drafts",
            Self::Flagged => "starred mail",
            Self::Junk => "junk",
            Self::Sent => "sent mail",
            Self::Trash => "deleted mail",
            Self::Important => "important mail",
        }
    }

    /// Reads what [`Role::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

/// A mailbox as an end lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxInfo {
    /// The name as the server writes it.
    pub wire: Bytes,
    /// The name decoded for display.
    pub text: String,
    /// Its hierarchy delimiter; `None` in a flat name space.
    pub delimiter: Option<char>,
    /// Can be opened (neither `\Noselect` nor `\NonExistent`).
    pub selectable: bool,
    /// May have children (no `\Noinferiors`).
    pub may_have_children: bool,
    /// Its announced role.
    pub role: Option<Role>,
    /// Subscribed.
    pub subscribed: bool,
    /// Which namespace it belongs to (RFC 2342).
    pub space: Space,
    /// Counts, where the listing brought them (LIST-STATUS, STATUS).
    pub counts: Option<MailboxCounts>,
}

/// The three kinds of namespace (RFC 2342).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The account's own.
    Personal,
    /// Another user's.
    OtherUsers,
    /// Shared by many.
    Shared,
}

/// What STATUS says of a mailbox (RFC 9051, 6.3.11). A hint, never proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailboxCounts {
    /// MESSAGES
    pub messages: u64,
    /// SIZE (RFC 8438), in octets
    pub octets: Option<u64>,
    /// UIDNEXT
    pub uid_next: Option<Key>,
    /// UIDVALIDITY
    pub uid_validity: Option<UidValidity>,
    /// HIGHESTMODSEQ
    pub highest_mod_seq: Option<u64>,
}

/// A namespace prefix with its delimiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix, in wire form (`INBOX.`, often empty).
    pub wire: Bytes,
    /// The delimiter of names below it.
    pub delimiter: Option<char>,
}

/// What an end says of itself after login.
#[derive(Clone, Debug, Default)]
pub struct Abilities {
    /// Capability names as announced, for the report and for `check`.
    pub announced: Vec<String>,
    /// What the server calls itself (ID, else the greeting).
    pub product: String,
    /// Whose account it is, by the name that the login used; empty for ends that have none.
    pub user: String,
    /// An administrator logged in for that user, whom some servers make an account for if there is none.
    pub on_behalf: bool,
    /// The server greeted as logged in (PREAUTH): it decided whose account it is, and no secret was asked for.
    pub preauthenticated: bool,
    /// Personal namespaces, the first one is where new mailboxes go.
    pub personal: Vec<Prefix>,
    /// Several messages in one all-or-nothing command (MULTIAPPEND).
    pub multi: bool,
    /// Answers to an append name the new UIDs (UIDPLUS).
    pub tells_places: bool,
    /// The next batch may be uploaded behind its gate while the last one commits.
    pub overlap: bool,
    /// A mailbox can be made with a role (CREATE-SPECIAL-USE).
    pub creates_roles: bool,
    /// Largest message the server takes, in octets (APPENDLIMIT, RFC 7889).
    pub append_limit_octets: Option<u64>,
    /// Most messages that one command may name (MESSAGELIMIT, RFC 9738).
    pub command_messages_max: Option<u64>,
    /// Most messages that one command may store (MESSAGELIMIT and SAVELIMIT, RFC 9738).
    pub append_messages_max: Option<u64>,
    /// Removing one's own messages is possible without touching others (UID EXPUNGE).
    pub expunges_by_uid: bool,
    /// Conditional STORE (CONDSTORE).
    pub conditional_store: bool,
    /// Mailbox names are written to the wire as UTF-8 instead of modified UTF-7.
    pub utf8_names: bool,
    /// Gmail (X-GM-EXT-1).
    pub gmail: bool,
    /// What people call the family of the server, where it is recognised (`quirks::family`).
    pub family: Option<&'static str>,
    /// What is known of that family beyond what is announced.
    pub does: Behaviour,
    /// The connection was encrypted: protocol and cipher, for `check`; `None` for clear text.
    pub tls: Option<String>,
    /// The server's certificate, for `check`.
    pub certificate: Option<Certificate>,
    /// Whether it is compressed.
    pub compression: Compression,
    /// What the server wants people to see, now and later.
    pub alerts: Alerts,
}

impl Abilities {
    /// A mailbox is what one label shows, and COPY puts a label on: a message is the same one wherever it is copied to. What
    /// became of each is told (COPYUID).
    pub fn labels_by_copy(&self) -> bool {
        self.gmail && self.tells_places
    }
}

/// An opened mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its epoch.
    pub facts: EpochFacts,
    /// UIDs do not outlive the session (UIDNOTSTICKY, RFC 4315).
    pub uids_not_sticky: bool,
}

/// A mailbox just opened, with its UIDs. Complete only if there are as many as EXISTS says (law 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UidListing {
    /// What was said when it was opened.
    pub opened: Opened,
    /// Ascending.
    pub keys: Vec<Key>,
    /// EXISTS after a NOOP.
    pub exists: u64,
}

impl UidListing {
    /// True when every message is named.
    pub fn is_complete(&self) -> bool {
        self.keys.len() as u64 == self.exists
    }
}

/// One message of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its UID.
    pub key: Key,
    /// RFC822.SIZE, no more than [`LISTED_OCTETS_MAX`](crate::limits::LISTED_OCTETS_MAX).
    pub octets: u64,
    /// Flags without `\Recent`.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: Option<InternalDate>,
    /// MODSEQ.
    pub mod_seq: Option<u64>,
    /// `emailid:…`, `gm-msgid:…` or `x-guid:…`.
    pub lineage: Option<String>,
    /// X-GM-LABELS, as written.
    pub labels: Vec<Bytes>,
}

/// A message above a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Large {
    /// Its UID.
    pub key: Key,
    /// RFC822.SIZE.
    pub octets: u64,
    /// INTERNALDATE.
    pub internal_date: Option<InternalDate>,
}

/// What of a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `BODY[]`.
    Whole,
    /// `BODY[HEADER]`.
    Header,
}

/// A message on its way to the target.
#[derive(Debug)]
pub struct Outgoing {
    /// Flags to set; never `\Recent`.
    pub flags: Flags,
    /// The date, as received; `None` to send none (T3).
    pub internal_date: Option<InternalDate>,
    /// The octets.
    pub body: Body,
}

/// A target mailbox that is to be made ready for mail ([`TargetSession::make_ready`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToMakeReady {
    /// Its name, as on the wire.
    pub mailbox: Bytes,
    /// It is not there and is created.
    pub create: bool,
    /// It is created with this role.
    pub role: Option<Role>,
}

/// A target mailbox that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeReady {
    /// The name the server gave it, as [`TargetSession::create`] says.
    pub name: Bytes,
    /// What the mailbox of the name asked for said when it was opened, if it was.
    pub opened: Option<Opened>,
}

/// The answer to one command of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How many messages the command carried: all of them for MULTIAPPEND, one in a group.
    pub messages: usize,
    /// What became of them.
    pub verdict: Verdict,
}

/// What became of the messages of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A tagged OK.
    Stored(Option<NewUids>),
    /// A tagged NO or BAD: none of them was stored.
    Refused(Refusal),
    /// The connection ended before the answer.
    Lost(String),
    /// The connection ended before the first octet of the command had left this process: certainly not stored.
    Unsent(String),
}

/// APPENDUID (RFC 4315): the epoch and the UIDs in message order, as the server named them. Not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUids {
    /// The target's epoch.
    pub uid_validity: UidValidity,
    /// One UID for each message, if the server counts right.
    pub uids: Vec<Key>,
}

/// A place where mail comes from.
pub trait Source: Clone + Send + Sync + 'static {
    /// One connection.
    type Session: SourceSession;
    /// Connects and logs in.
    fn connect(&self) -> impl Future<Output = Result<Self::Session, EndError>> + Send;
}

/// One connection to the source, logged in. It cannot write.
pub trait SourceSession: Send + 'static {
    /// What the server says of itself.
    fn abilities(&self) -> &Abilities;
    /// All mailboxes that can be seen, with counts where they cost nothing extra per mailbox.
    fn mailboxes(&mut self) -> impl Future<Output = Result<Vec<MailboxInfo>, EndError>> + Send;
    /// What the last listing of mailboxes asked for and was refused.
    fn untold(&mut self) -> Vec<Untold> {
        Vec::new()
    }
    /// Opens a mailbox read-only. Later calls are about it.
    fn open(&mut self, mailbox: &Bytes) -> impl Future<Output = Result<Opened, EndError>> + Send;
    /// Opens a mailbox and lists its messages, in pieces, ascending by key within a piece; together where the end can.
    /// What was said on opening goes to `opened` before the first piece. Returns how many were sent: the listing is
    /// complete if that number equals EXISTS.
    fn list(
        &mut self,
        mailbox: &Bytes,
        opened: oneshot::Sender<Opened>,
        out: mpsc::Sender<Vec<Listed>>,
    ) -> impl Future<Output = Result<u64, EndError>> + Send;
    /// As [`SourceSession::list`]; where the end can, messages come in the same round trip. Which of them count is the caller's to
    /// judge by the listing. The inner result is how the fetching of messages ended: what ends the connection after the listing takes
    /// nothing from it.
    fn list_with_bodies(
        &mut self,
        mailbox: &Bytes,
        opened: oneshot::Sender<Opened>,
        out: mpsc::Sender<Vec<Listed>>,
        bodies: Unlisted,
    ) -> impl Future<Output = Result<(u64, Result<(), EndError>), EndError>> + Send {
        drop(bodies);
        async move { self.list(mailbox, opened, out).await.map(|count| (count, Ok(()))) }
    }
    /// The epoch of a mailbox that is open since it was last opened or listed, if the session knows it: it stays the
    /// same as long as the mailbox is open (RFC 9051, 2.3.1.1).
    fn open_epoch(&self, mailbox: &Bytes) -> Option<UidValidity>;
    /// The complete UID set of the opened mailbox after a NOOP, ascending, with the EXISTS it must agree with.
    fn keys(&mut self) -> impl Future<Output = Result<(Vec<Key>, u64), EndError>> + Send;
    /// Opens a mailbox and lists it, as [`SourceSession::open`] and [`SourceSession::keys`] would; together where the
    /// end can, so that a mailbox costs one round trip.
    fn open_and_list(
        &mut self,
        mailbox: &Bytes,
    ) -> impl Future<Output = Result<UidListing, EndError>> + Send {
        async move {
            let opened = self.open(mailbox).await?;
            let (keys, exists) = self.keys().await?;
            Ok(UidListing { opened, keys, exists })
        }
    }
    /// The messages of each mailbox that have more octets than this, by the sizes that the end tells, ascending; `None` where
    /// that cannot be known without a listing. Mailboxes that were open are open no more.
    fn larger(
        &mut self,
        mailboxes: &[Bytes],
        octets: u64,
    ) -> impl Future<Output = Result<Vec<Option<Vec<Large>>>, EndError>> + Send {
        let (none, _) = (vec![None; mailboxes.len()], octets);
        async { Ok(none) }
    }
    /// Fetches ranges as they arrive, pipelined, until `ranges` closes and all are answered. Bodies are built in
    /// `intake`.
    fn fetch(
        &mut self,
        ranges: mpsc::Receiver<FetchRange>,
        intake: &Intake,
        out: mpsc::Sender<FetchEvent>,
    ) -> impl Future<Output = Result<(), EndError>> + Send;
    /// Room on the account, where announced.
    fn room(&mut self) -> impl Future<Output = Result<Option<Room>, EndError>> + Send;
    /// What the user may do with each of these mailboxes; `None` where the end does not say.
    fn rights(
        &mut self,
        mailboxes: &[Bytes],
    ) -> impl Future<Output = Result<Vec<Option<Rights>>, EndError>> + Send {
        let none = vec![None; mailboxes.len()];
        async { Ok(none) }
    }
    /// Keeps the connection alive (NOOP).
    fn keep_alive(&mut self) -> impl Future<Output = Result<(), EndError>> + Send;
    /// Says goodbye.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A place where mail goes.
pub trait Target: Clone + Send + Sync + 'static {
    /// One connection.
    type Session: TargetSession;
    /// Connects and logs in.
    fn connect(&self) -> impl Future<Output = Result<Self::Session, EndError>> + Send;
}

/// One connection to the target, logged in.
pub trait TargetSession: Send + 'static {
    /// A batch on its way.
    type Upload: Upload;
    /// What the server says of itself.
    fn abilities(&self) -> &Abilities;
    /// All mailboxes that can be seen.
    fn mailboxes(&mut self) -> impl Future<Output = Result<Vec<MailboxInfo>, EndError>> + Send;
    /// What the last listing of mailboxes asked for and was refused.
    fn untold(&mut self) -> Vec<Untold> {
        Vec::new()
    }
    /// Creates a mailbox, with its role where the server can; one that exists already is no error. The name is
    /// listed back: the answer is the name the server really gave it.
    fn create(
        &mut self,
        mailbox: &Bytes,
        role: Option<Role>,
    ) -> impl Future<Output = Result<Bytes, EndError>> + Send;
    /// Deletes mailboxes, each with what is in it, and says of each whether it was. Only for those that this program made and
    /// proved to hold nothing but its own (law 8). An end that cannot do it says [`EndError::Unsupported`].
    fn delete_each(
        &mut self,
        mailboxes: &[Bytes],
    ) -> impl Future<Output = Result<Vec<Result<(), EndError>>, EndError>> + Send;
    /// Subscribes.
    fn subscribe(&mut self, mailbox: &Bytes) -> impl Future<Output = Result<(), EndError>> + Send;
    /// Creates mailboxes in this order, each as [`TargetSession::create`] would; together where the end can.
    fn create_each(
        &mut self,
        wanted: &[(Bytes, Option<Role>)],
    ) -> impl Future<Output = Result<Vec<Result<Bytes, EndError>>, EndError>> + Send {
        async move {
            let mut made = Vec::with_capacity(wanted.len());
            for (mailbox, role) in wanted {
                made.push(apart(self.create(mailbox, *role).await)?);
            }
            Ok(made)
        }
    }
    /// Creates mailboxes as [`TargetSession::create_each`] does; where the end can do it together it opens each, and those that
    /// are there. `Err` inside: it was not created, or the one that is there not opened.
    fn make_ready(
        &mut self,
        wanted: &[ToMakeReady],
    ) -> impl Future<Output = Result<Vec<Result<MadeReady, EndError>>, EndError>> + Send {
        async move {
            let missing: Vec<_> =
                wanted.iter().filter(|w| w.create).map(|w| (w.mailbox.clone(), w.role)).collect();
            let mut made = self.create_each(&missing).await?.into_iter();
            let mut ready = Vec::with_capacity(wanted.len());
            for one in wanted {
                let name = if one.create { made.next() } else { Some(Ok(one.mailbox.clone())) };
                let Some(name) = name else { break };
                ready.push(name.map(|name| MadeReady { name, opened: None }));
            }
            Ok(ready)
        }
    }
    /// Subscribes to mailboxes, each as [`TargetSession::subscribe`] would; together where the end can.
    fn subscribe_each(
        &mut self,
        mailboxes: &[Bytes],
    ) -> impl Future<Output = Result<Vec<Result<(), EndError>>, EndError>> + Send {
        async move {
            let mut done = Vec::with_capacity(mailboxes.len());
            for mailbox in mailboxes {
                done.push(apart(self.subscribe(mailbox).await)?);
            }
            Ok(done)
        }
    }
    /// Opens mailboxes one after the other, each as [`TargetSession::open`] would; together where the end can.
    fn open_each(
        &mut self,
        mailboxes: &[Bytes],
    ) -> impl Future<Output = Result<Vec<Result<Opened, EndError>>, EndError>> + Send {
        async move {
            let mut opened = Vec::with_capacity(mailboxes.len());
            for mailbox in mailboxes {
                opened.push(apart(self.open(mailbox).await)?);
            }
            Ok(opened)
        }
    }
    /// Opens a mailbox for reading (EXAMINE). Later reads are about it. Appending needs no opened mailbox.
    fn open(&mut self, mailbox: &Bytes) -> impl Future<Output = Result<Opened, EndError>> + Send;
    /// UIDNEXT and UIDVALIDITY of a mailbox without opening it (STATUS).
    fn counts(&mut self, mailbox: &Bytes) -> impl Future<Output = Result<MailboxCounts, EndError>> + Send;
    /// Hands a batch to the connection: its octets go out up to the point of no return, and no further. Several
    /// messages go as one command where [`Abilities::multi`] holds, else as a group of pipelined single ones.
    fn stage(&mut self, mailbox: &Bytes, batch: Vec<Outgoing>) -> Self::Upload;
    /// As [`TargetSession::stage`], but each message as a command of its own, which is answered for itself.
    fn stage_apart(&mut self, mailbox: &Bytes, batch: Vec<Outgoing>) -> Self::Upload {
        self.stage(mailbox, batch)
    }
    /// Copies messages of the opened mailbox into another one of the account, with their flags and INTERNALDATE (RFC 9051,
    /// 6.4.7): each by a command of its own, all of which go out at once. One verdict for each, in order, and the longest
    /// time in which no answer came while one was due. An OK that names no UID is also what a server says of a message that is
    /// not there any more (6.4.9).
    /// An end that cannot do it refuses each.
    fn copy(&mut self, uids: &[Key], to: &Bytes) -> impl Future<Output = (Vec<Verdict>, Duration)> + Send {
        let (text, _) = ("this end does not copy".to_owned(), to);
        let refusal = Refusal { class: RefusalClass::Cannot, bad: false, code: None, text };
        let refused = vec![Verdict::Refused(refusal); uids.len()];
        async { (refused, Duration::ZERO) }
    }
    /// The complete UID set of the opened mailbox after a NOOP, ascending, with the EXISTS it must agree with.
    fn keys(&mut self) -> impl Future<Output = Result<(Vec<Key>, u64), EndError>> + Send;
    /// Opens a mailbox and lists it, as [`TargetSession::open`] and [`TargetSession::keys`] would; together where the
    /// end can, so that a mailbox costs one round trip.
    fn open_and_list(
        &mut self,
        mailbox: &Bytes,
    ) -> impl Future<Output = Result<UidListing, EndError>> + Send {
        async move {
            let opened = self.open(mailbox).await?;
            let (keys, exists) = self.keys().await?;
            Ok(UidListing { opened, keys, exists })
        }
    }
    /// Opens and lists mailboxes one after the other, each as [`TargetSession::open_and_list`] would; together where the end
    /// can. A listing may then be cut by a limit of the server, and shows it by its EXISTS. All listings are held in memory.
    fn open_and_list_each(
        &mut self,
        mailboxes: &[Bytes],
    ) -> impl Future<Output = Result<Vec<Result<UidListing, EndError>>, EndError>> + Send {
        async move {
            let mut listings = Vec::with_capacity(mailboxes.len());
            for mailbox in mailboxes {
                listings.push(apart(self.open_and_list(mailbox).await)?);
            }
            Ok(listings)
        }
    }
    /// Reads messages of the opened mailbox by UID, pipelined. What is asked for and not answered is not in
    /// `out`: the caller's difference is a worklist (law 7). `uids` ascending.
    fn read(
        &mut self,
        uids: &[Key],
        depth: Depth,
        out: mpsc::Sender<Seen>,
    ) -> impl Future<Output = Result<(), EndError>> + Send;
    /// Opens mailboxes as they come, one after the other, and reads messages of each, as [`TargetSession::open`] and
    /// [`TargetSession::read`] would, until none can come any more; together where the end can: what comes while others are
    /// answered is asked for at once. Nothing is given of a mailbox that shows another epoch.
    fn read_each(
        &mut self,
        mut wanted: mpsc::UnboundedReceiver<ToRead>,
        out: mpsc::Sender<ReadEvent>,
    ) -> impl Future<Output = Result<(), EndError>> + Send {
        async move {
            let mut at = 0;
            while let Some(ToRead { mailbox, epoch, uids, depth }) = wanted.recv().await {
                let opened = apart(self.open(&mailbox).await)?;
                let read = match opened.map(|opened| opened.facts.uid_validity == epoch) {
                    Ok(true) => {
                        let (tx, mut rx) = mpsc::channel(SEEN_QUEUED);
                        let (answered, ()) = tokio::join!(self.read(&uids, depth, tx), async {
                            while let Some(seen) = rx.recv().await {
                                // A caller that is gone wants nothing more.
                                let _ = out.send(ReadEvent::Seen(at, seen)).await;
                            }
                        });
                        apart(answered)?.map(|()| true)
                    }
                    not_opened => not_opened,
                };
                let _ = out.send(ReadEvent::Done(at, read)).await;
                at += 1;
            }
            Ok(())
        }
    }
    /// The octets of one message of the open mailbox; `None` where it is not there or longer than `octets_max`.
    fn octets(
        &mut self,
        uid: Key,
        octets_max: u64,
    ) -> impl Future<Output = Result<Option<Bytes>, EndError>> + Send;
    /// The octets of messages of the open mailbox, or of their headers alone, as far as they are there and no longer than
    /// `octets_max` each; together where the end can.
    fn octets_of(
        &mut self,
        uids: &[Key],
        section: Section,
        octets_max: u64,
    ) -> impl Future<Output = Result<Vec<(Key, Bytes)>, EndError>> + Send {
        async move {
            let mut all = Vec::new();
            for uid in uids.iter().filter(|_| section == Section::Whole) {
                all.extend(self.octets(*uid, octets_max).await?.map(|octets| (*uid, octets)));
            }
            Ok(all)
        }
    }
    /// Removes messages of a mailbox that this migration appended: sets `\Deleted` on each (only where its MODSEQ is still
    /// the one given, if the server can do that), then expunges exactly those by UID. Returns the UIDs that are gone; `None`
    /// where the mailbox has another UIDVALIDITY than `epoch`, and nothing was done. Refused with [`EndError::Unsupported`] where UID EXPUNGE is missing.
    fn remove(
        &mut self,
        mailbox: &Bytes,
        epoch: UidValidity,
        uids: &[(Key, Option<u64>)],
    ) -> impl Future<Output = Result<Option<Vec<Key>>, EndError>> + Send;
    /// Room on the account, where announced.
    fn room(&mut self) -> impl Future<Output = Result<Option<Room>, EndError>> + Send;
    /// What the user may do with each of these mailboxes; `None` where the end does not say.
    fn rights(
        &mut self,
        mailboxes: &[Bytes],
    ) -> impl Future<Output = Result<Vec<Option<Rights>>, EndError>> + Send {
        let none = vec![None; mailboxes.len()];
        async { Ok(none) }
    }
    /// Keeps the connection alive (NOOP).
    fn keep_alive(&mut self) -> impl Future<Output = Result<(), EndError>> + Send;
    /// Says goodbye.
    fn close(self) -> impl Future<Output = ()> + Send;
    /// Cuts the connection so that nothing more of it reaches the server (TCP reset, law 4).
    fn abort(self);
}

/// A batch that was handed to a connection.
///
/// Dropping it before [`Upload::finish`] aborts the connection: the batch is certainly not stored.
pub trait Upload: Send + 'static {
    /// Resolves when everything before the point of no return has left, or when the server refused the batch
    /// early (then nothing of it is stored and the connection stays usable), or when the connection ended
    /// (nothing is stored either).
    fn uploaded(&mut self) -> impl Future<Output = Uploaded> + Send;
    /// Passes the point of no return on the first poll, then waits for the answers. One answer for each command.
    fn finish(self) -> impl Future<Output = Vec<Answer>> + Send;
}

/// How an upload came to the point of no return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// Everything before the gate has left; the gate may open.
    AtGate,
    /// The server refused before. Nothing of the batch is stored; the connection can be used.
    Refused(Refusal),
    /// The connection ended. Nothing of the batch is stored.
    Lost(String),
}

/// Answers on their way from one mailbox.
const SEEN_QUEUED: usize = 64;

/// A failure that ends the connection is everybody's; any other belongs to its own question.
fn apart<V>(outcome: Result<V, EndError>) -> Result<Result<V, EndError>, EndError> {
    match outcome {
        Err(error) if error.is_connection() => Err(error),
        other => Ok(other),
    }
}
