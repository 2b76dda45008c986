//! Mailboxes that are made ready for mail: CREATE, LIST and EXAMINE of all of them in one round trip.

use crate::end::{MadeReady, Role, ToMakeReady};
use crate::error::EndError;
use crate::imap_session::{Link, Reply};
use bytes::Bytes;
use mailhaul_imap::{Command, Untagged};
use std::collections::HashSet;

/// With more than so many that are created all mailboxes are listed once, and not each by its name. QUIRK: Dovecot walks all
/// mailboxes for each name (2.3.19, Maildir: 11 ms of 1,000, as long as for the listing of all).
const LISTED_ONE_BY_ONE_MAX: usize = 3;

/// Creates mailboxes, in this order: the name that each is listed under.
pub(super) async fn create_each(
    link: &mut Link,
    wanted: &[(Bytes, Option<Role>)],
) -> Result<Vec<Result<Bytes, EndError>>, EndError> {
    let commands = wanted.iter().flat_map(|(mailbox, role)| creating(mailbox, *role)).collect();
    let mut replies = link.ask_all(commands, "CREATE").await?.into_iter();
    let mut made = Vec::with_capacity(wanted.len());
    for (mailbox, _) in wanted {
        let Some(creation) = Creation::next(&mut replies, true) else { break };
        made.push(creation.name(mailbox));
    }
    Ok(made)
}

/// What was said of one mailbox.
struct Said {
    /// Where it was to be created.
    creation: Option<Creation>,
    opened: Result<Reply, EndError>,
}

/// What was said of a CREATE.
struct Creation {
    created: Result<(), EndError>,
    /// What LIST of its name showed, where that was asked.
    listed: Option<Result<Vec<Untagged>, EndError>>,
}

impl Creation {
    /// The next replies, with one to LIST where that was asked; `None` where they are not there.
    fn next(replies: &mut impl Iterator<Item = Result<Reply, EndError>>, is_listed: bool) -> Option<Self> {
        let created = replies.next()?.map(|_| ());
        let listed = if is_listed { Some(replies.next()?.map(|reply| reply.data)) } else { None };
        Some(Self { created, listed })
    }

    /// The name under which it is listed: its own where it need not be looked for.
    fn name(self, mailbox: &Bytes) -> Result<Bytes, EndError> {
        match self.listed {
            Some(listed) => created_as(mailbox, self.created, listed),
            None => Ok(mailbox.clone()),
        }
    }
}

/// Of a mailbox that is refused, or gets another name, nothing more is said.
pub(super) async fn make_ready(
    link: &mut Link,
    wanted: &[ToMakeReady],
) -> Result<Vec<Result<MadeReady, EndError>>, EndError> {
    let at_once = wanted.iter().filter(|one| one.create).count() > LISTED_ONE_BY_ONE_MAX;
    let commands = commands(link, wanted, at_once);
    let mut replies = link.ask_all(commands, "CREATE").await?.into_iter();
    let mut said: Vec<Said> = wanted.iter().map_while(|one| said_of(one, at_once, &mut replies)).collect();
    if at_once {
        let there = names_in(replies.next().and_then(Result::ok));
        list_others(link, wanted, &mut said, &there).await?;
    }
    let mut made = Vec::with_capacity(wanted.len());
    for (one, said) in wanted.iter().zip(said) {
        let name = said.creation.map_or(Ok(one.mailbox.clone()), |creation| creation.name(&one.mailbox));
        let opened = link.examined(&one.mailbox, said.opened);
        made.push(name.and_then(|name| match opened {
            Err(error) if !one.create || error.is_to_be_asked_later() => Err(error),
            opened => Ok(MadeReady { name, opened: opened.ok() }),
        }));
    }
    Ok(made)
}

fn commands(link: &mut Link, wanted: &[ToMakeReady], at_once: bool) -> Vec<Command> {
    let mut commands = Vec::with_capacity(3 * wanted.len() + 1);
    for one in wanted {
        if one.create {
            let [create, list] = creating(&one.mailbox, one.role);
            commands.push(create);
            commands.extend((!at_once).then_some(list));
        }
        commands.push(link.examining(&one.mailbox));
    }
    commands.extend(at_once.then(|| Command::list("", b"", b"*", "")));
    commands
}

/// The replies to what was asked of one mailbox; `None` where they are not there.
fn said_of(
    one: &ToMakeReady,
    at_once: bool,
    replies: &mut impl Iterator<Item = Result<Reply, EndError>>,
) -> Option<Said> {
    let creation = if one.create { Some(Creation::next(replies, !at_once)?) } else { None };
    Some(Said { creation, opened: replies.next()? })
}

fn names_in(listing: Option<Reply>) -> HashSet<Bytes> {
    listing.into_iter().flat_map(|reply| selectable(reply.data)).collect()
}

/// What was created and is not in the listing of all is asked for by its name, which the server may have changed.
async fn list_others(
    link: &mut Link,
    wanted: &[ToMakeReady],
    said: &mut [Said],
    there: &HashSet<Bytes>,
) -> Result<(), EndError> {
    let created = wanted.iter().zip(said).filter_map(|(one, said)| Some((one, said.creation.as_mut()?)));
    let missing: Vec<_> = created.filter(|(one, _)| !there.contains(&one.mailbox)).collect();
    let commands = missing.iter().map(|(one, _)| listing(&one.mailbox)).collect();
    let replies = link.ask_all(commands, "LIST").await?;
    for ((_, creation), reply) in missing.into_iter().zip(replies) {
        creation.listed = Some(reply.map(|reply| reply.data));
    }
    Ok(())
}

/// CREATE, and LIST of what it made.
fn creating(mailbox: &Bytes, role: Option<Role>) -> [Command; 2] {
    let attribute = role.map(|r| format!("\\{}", r.capitalised()));
    [Command::create(mailbox, attribute.as_deref()), listing(mailbox)]
}

fn listing(mailbox: &Bytes) -> Command {
    Command::list("", b"", mailbox, "")
}

fn selectable(data: Vec<Untagged>) -> impl Iterator<Item = Bytes> {
    data.into_iter()
        .filter_map(|d| if let Untagged::List(e) = d { e.is_selectable().then_some(e.name) } else { None })
}

/// The name under which a mailbox is listed after its CREATE. One that is there already is no failure, whatever code the
/// server has for it.
fn created_as(
    mailbox: &Bytes,
    made: Result<(), EndError>,
    listed: Result<Vec<Untagged>, EndError>,
) -> Result<Bytes, EndError> {
    let names: Vec<Bytes> = selectable(listed?).collect();
    match (names.iter().any(|n| n == mailbox), made) {
        (true, _) => Ok(mailbox.clone()),
        (false, Err(error)) => Err(error),
        (false, Ok(())) => Ok(names.into_iter().next().unwrap_or_default()),
    }
}
