//! The server and the handle that tests hold.

use crate::account::{Account, MailboxSnapshot, NewMessage};
use crate::fault::{Deed, Fault, Occasion, Planned, Trigger};
use crate::ledger::{Entry, Who};
use crate::profile::Profile;
use crate::session::{Channel, Session};
use crate::world::{Asked, Counters, Stored, Struck, Taken, World};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};

/// A server. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Sandbox(Arc<Mutex<World>>);

impl Sandbox {
    /// A server without accounts.
    pub fn new(profile: Profile) -> Self {
        Self(Arc::new(Mutex::new(World::new(profile))))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an account with an empty INBOX.
    pub fn add_user(&self, name: &str, password: &str) {
        let mut world = self.world();
        let account = Account::new(password, world.profile.gmail);
        world.accounts.insert(name.into(), account);
    }

    /// Creates a mailbox.
    pub fn create(&self, user: &str, mailbox: &str, role: Option<&str>, subscribed: bool) {
        self.with(user, |a| {
            a.create(mailbox, role.map(str::to_owned));
            if let Some(m) = a.mailbox_mut(mailbox) {
                m.subscribed = subscribed;
            }
        });
    }

    /// Stores a message as another client would.
    pub fn deliver(
        &self,
        user: &str,
        mailbox: &str,
        octets: impl Into<Bytes>,
        flags: &str,
        date: &str,
    ) -> Option<u32> {
        let flags = flags.split(' ').filter(|f| !f.is_empty()).map(str::to_owned).collect();
        let message = NewMessage { octets: octets.into(), flags, internal_date: date.into() };
        self.world().store(user, mailbox, message, Who::Other)
    }

    /// Puts a label on a message, or (`add` false) takes it away, as a person would in the browser. Gmail alone has any.
    pub fn label(&self, user: &str, mailbox: &str, uid: u32, label: &str, add: bool) {
        self.with(user, |a| a.label(mailbox, &[uid], &[label.to_owned()], add));
    }

    /// Removes a message as another client would.
    pub fn expunge(&self, user: &str, mailbox: &str, uid: u32) {
        self.world().remove(user, mailbox, &[uid], Who::Other);
    }

    /// Numbers the messages of a mailbox from 1 on and keeps its UIDVALIDITY, as no server may (RFC 9051, 2.3.1.1).
    pub fn close_up(&self, user: &str, mailbox: &str) {
        self.with(user, |a| {
            let Some(mailbox) = a.mailbox_mut(mailbox) else { return };
            (1..).zip(&mut mailbox.messages).for_each(|(uid, m)| m.uid = uid);
            mailbox.uid_next = mailbox.messages.last().map_or(1, |m| m.uid + 1);
            mailbox.touch(|_| true);
        });
    }

    /// Does what another client would.
    pub fn act(&self, user: &str, deed: &Deed) {
        self.other(Some(user), deed);
    }

    /// Sets the flags of a message as another client would.
    pub fn set_flags(&self, user: &str, name: &str, uid: u32, flags: &str) {
        self.with(user, |a| {
            let Some(mailbox) = a.mailbox_mut(name) else { return };
            let flags: Vec<String> = flags.split(' ').filter(|f| !f.is_empty()).map(str::to_owned).collect();
            mailbox.messages.iter_mut().filter(|m| m.uid == uid).for_each(|m| m.flags.clone_from(&flags));
            a.flagged(name, &[uid]);
        });
    }

    /// Replaces the octets of a message in place, as a failing disk or an administrator would.
    pub fn replace(&self, user: &str, mailbox: &str, uid: u32, octets: Bytes) {
        self.with(user, |a| {
            let messages = a.mailbox_mut(mailbox).map(|m| m.messages.iter_mut()).into_iter().flatten();
            messages.filter(|m| m.uid == uid).for_each(|m| m.octets = octets.clone());
        });
    }

    /// Changes a mailbox as a server may not, or as an administrator would.
    pub fn change(&self, user: &str, mailbox: &str, change: impl FnOnce(&mut MailboxSnapshot)) {
        self.with(user, |a| {
            if let Some(mailbox) = a.mailbox_mut(mailbox) {
                change(mailbox);
            }
        });
    }

    /// Gives a user another password.
    pub fn set_password(&self, user: &str, password: &str) {
        self.with(user, |a| a.password = password.to_owned());
    }

    /// Changes the profile.
    pub fn set(&self, change: impl FnOnce(&mut Profile)) {
        change(&mut self.world().profile);
    }

    /// Adds a fault that strikes at the next occasion.
    pub fn inject(&self, fault: Fault) {
        self.plan(Planned::once(Trigger::Next, fault));
    }

    /// Adds a fault to the plan.
    pub fn plan(&self, planned: Planned) {
        let mut world = self.world();
        if planned.fault == Fault::Held {
            world.holds.send_replace(true);
        }
        world.plan.push(planned);
    }

    /// Holds every command that fits, until the server is released.
    pub fn hold(&self, at: Trigger) {
        self.plan(Planned { at, fault: Fault::Held, times: u32::MAX });
    }

    /// Lets go of what [`Fault::Held`] holds; what is planned of it holds nothing any more.
    pub fn release(&self) {
        let mut world = self.world();
        world.plan.retain(|planned| planned.fault != Fault::Held);
        world.holds.send_replace(false);
    }

    /// At once where nothing is held.
    pub(crate) async fn until_released(&self) {
        let mut holds = self.world().holds.subscribe();
        // The server is here, so that the sender is.
        let _ = holds.wait_for(|holds| !holds).await;
    }

    /// Forgets the faults that did not strike yet, and lets go of what one of them holds.
    pub fn calm(&self) {
        self.release();
        self.world().plan.clear();
    }

    /// The faults that struck, in order.
    pub fn struck(&self) -> Vec<Struck> {
        self.world().struck.clone()
    }

    /// What happened to the mail of all accounts, in order.
    pub fn ledger(&self) -> Vec<Entry> {
        self.world().ledger.clone()
    }

    /// Everything an account holds.
    pub fn snapshot(&self, user: &str) -> Vec<MailboxSnapshot> {
        let seen = |a: &mut Account| a.mailboxes.keys().filter_map(|name| a.view(name)).collect();
        self.with(user, seen).unwrap_or_default()
    }

    /// The connections that a user has now.
    pub fn connected(&self, user: &str) -> usize {
        self.world().connected.get(user).copied().unwrap_or(0)
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.world().counters.clone()
    }

    /// Octets of messages given to clients and taken from them so far, as in [`Counters`].
    pub fn octets_passed(&self) -> (u64, u64) {
        let counters = &self.world().counters;
        (counters.octets_given, counters.octets_taken)
    }

    /// The body of a message left over a connection that has `appended` the message itself, something else, or (`None`) nothing.
    pub(crate) fn gave(&self, octets: u64, appended: Option<bool>) {
        let counters = &mut self.world().counters;
        counters.octets_given += octets;
        counters.given_to_appender += u64::from(appended == Some(true));
        counters.given_to_writer += u64::from(appended == Some(false));
    }

    pub(crate) fn took(&self, octets: u64) {
        self.world().counters.octets_taken += octets;
    }

    /// A connection ends for its BADs.
    pub(crate) fn ended_at_bad(&self) {
        self.world().counters.ended_at_bad += 1;
    }

    /// A user logs in; false when no further connection is allowed.
    pub(crate) fn enter(&self, user: &str) -> bool {
        let mut world = self.world();
        let most = world.profile.connections_max;
        let connected = world.connected.entry(user.to_owned()).or_default();
        let allowed = most.is_none_or(|most| *connected < most);
        *connected += usize::from(allowed);
        world.counters.refused_connections += u64::from(!allowed);
        allowed
    }

    /// A connection of a user ends.
    pub(crate) fn leave(&self, user: &str) {
        self.world().connected.entry(user.to_owned()).and_modify(|n| *n -= 1);
    }

    /// Serves one connection until it ends.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(&self, stream: S) {
        self.serve_over(stream, Channel::default()).await;
    }

    /// The same over a connection that something is known of: the embedded server has no TLS of its own.
    pub async fn serve_over<S: AsyncRead + AsyncWrite + Unpin + Send>(&self, stream: S, channel: Channel) {
        Session::new(self.clone(), stream, channel).run().await;
    }

    /// Serves connections on a free port of the loopback interface until the result is dropped.
    ///
    /// # Errors
    /// Those of binding a port.
    pub async fn listen_loopback(&self) -> std::io::Result<Listening> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let sandbox = self.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let sandbox = sandbox.clone();
                // Small answers leave at once.
                let _ = stream.set_nodelay(true);
                connections.spawn(async move { sandbox.serve(stream).await });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Listening { address, task })
    }

    pub(crate) fn profile(&self) -> Profile {
        self.world().profile.clone()
    }

    pub(crate) fn with<R>(&self, user: &str, work: impl FnOnce(&mut Account) -> R) -> Option<R> {
        self.world().accounts.get_mut(user).map(work)
    }

    /// Lets an administrator log in, with a password of its own, in any user's name.
    pub fn add_admin(&self, name: &str, password: &str) {
        self.world().admins.insert(name.into(), password.into());
    }

    /// Makes an access token good for a user, or (`None`) no longer good.
    pub fn set_token(&self, token: &str, user: Option<&str>) {
        let tokens = &mut self.world().tokens;
        match user {
            Some(user) => tokens.insert(token.into(), user.into()),
            None => tokens.remove(token),
        };
    }

    /// Whose token this is.
    pub(crate) fn holder(&self, token: &str) -> Option<String> {
        self.world().tokens.get(token).cloned()
    }

    /// The password of a user or an administrator.
    pub(crate) fn password(&self, name: &str) -> Option<String> {
        let world = self.world();
        world.admins.get(name).or(world.accounts.get(name).map(|a| &a.password)).cloned()
    }

    /// Whether whoever has proved to be `authenticated` may log in as `user`, who gets an account where the profile makes
    /// one.
    pub(crate) fn may_act(&self, authenticated: &str, user: &str) -> bool {
        let mut world = self.world();
        let is_admin = world.admins.contains_key(authenticated);
        if is_admin && world.profile.creates_accounts && !world.accounts.contains_key(user) {
            let account = Account::new("", world.profile.gmail);
            world.accounts.insert(user.into(), account);
        }
        (is_admin || authenticated == user) && world.accounts.contains_key(user)
    }

    /// Counts a login by a mechanism.
    pub(crate) fn logged_in(&self, mechanism: &str) {
        let mut world = self.world();
        world.counters.logins += 1;
        *world.counters.mechanisms.entry(mechanism.to_owned()).or_default() += 1;
    }

    /// The first of so many messages that a command does, if it names more than the profile allows.
    pub(crate) fn first_within_limit(&self, what: &'static str, named: usize) -> Option<(usize, usize)> {
        let mut world = self.world();
        let limit = world.profile.message_limit.filter(|limit| (1..named).contains(limit))?;
        *world.counters.over_limit.entry(what).or_default() += 1;
        Some((named - limit, limit))
    }

    pub(crate) fn refused_login(&self) {
        self.world().counters.refused_logins += 1;
    }

    pub(crate) fn count(&self, verb: &str) {
        self.world().count(verb);
    }

    /// The next fault of the plan that strikes here.
    pub(crate) fn strike(&self, occasion: Occasion, asked: &Asked<'_>) -> Option<Fault> {
        self.world().strike(occasion, asked)
    }

    /// Another client does something to the mail of `user`, or of the first account.
    pub(crate) fn other(&self, user: Option<&str>, deed: &Deed) {
        self.world().other(user, deed);
    }

    /// Stores a batch as the profile and the faults have it, all or nothing: UIDVALIDITY and UIDs.
    pub(crate) fn append(
        &self,
        user: &str,
        name: &str,
        messages: &[Taken],
        faults: &[Fault],
    ) -> Option<Stored> {
        self.world().append(user, name, messages, faults)
    }

    /// Copies messages: the UIDVALIDITY of the mailbox, and the UIDs there and here; `None` where there is no such mailbox.
    pub(crate) fn copy(
        &self,
        user: &str,
        from: &str,
        to: &str,
        uids: &[u32],
    ) -> Option<(u32, Vec<(u32, u32)>)> {
        self.world().copy(user, from, to, uids)
    }

    pub(crate) fn spoil(&self, user: &str, mailbox: &str, uids: impl Iterator<Item = u32>) {
        self.world().spoil(user, mailbox, uids);
    }

    pub(crate) fn remove(&self, user: &str, mailbox: &str, uids: &[u32]) {
        self.world().remove(user, mailbox, uids, Who::Client);
    }

    pub(crate) fn flagged(&self, user: &str, mailbox: &str, uids: &[u32]) {
        self.world().flagged(user, mailbox, uids);
    }

    pub(crate) fn delete_mailbox(&self, user: &str, mailbox: &str) {
        self.world().delete_mailbox(user, mailbox, Who::Client);
    }

    pub(crate) fn add_flag(&self, user: &str, mailbox: &str, uids: &[u32], flag: &str) {
        self.with(user, |a| {
            let messages = a.mailbox_mut(mailbox).map(|m| m.messages.iter_mut()).into_iter().flatten();
            for message in messages.filter(|m| uids.contains(&m.uid)) {
                if !message.flags.iter().any(|f| f == flag) {
                    message.flags.push(flag.to_owned());
                }
            }
        });
        self.flagged(user, mailbox, uids);
    }
}

/// A server that listens. Dropping it ends the server and its connections.
#[derive(Debug)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
