//! Mailboxes that are made ready for mail: CREATE, LIST, EXAMINE and SUBSCRIBE of all of them in one round trip.

use crate::end::{MadeReady, Role, ToMakeReady};
use crate::error::EndError;
use crate::imap_session::Link;
use bytes::Bytes;
use mailhaul_imap::{Command, Untagged};

/// Creates mailboxes, in this order: the name that each is listed under.
pub(super) async fn create_each(
    link: &mut Link,
    wanted: &[(Bytes, Option<Role>)],
) -> Result<Vec<Result<Bytes, EndError>>, EndError> {
    let commands = wanted.iter().flat_map(|(mailbox, role)| creating(mailbox, *role)).collect();
    let mut replies = link.ask_all(commands, "CREATE").await?.into_iter();
    let mut made = Vec::with_capacity(wanted.len());
    for (mailbox, _) in wanted {
        let (Some(created), Some(listed)) = (replies.next(), replies.next()) else { break };
        made.push(created_as(mailbox, created.map(|_| ()), listed.map(|r| r.data)));
    }
    Ok(made)
}

/// Of a mailbox that is refused, or gets another name, nothing more is said, and no subscription to the name asked for stays.
pub(super) async fn make_ready(
    link: &mut Link,
    wanted: &[ToMakeReady],
) -> Result<Vec<Result<MadeReady, EndError>>, EndError> {
    let mut commands = Vec::with_capacity(4 * wanted.len());
    for one in wanted {
        if one.create {
            commands.extend(creating(&one.mailbox, one.role));
        }
        commands.push(link.examining(&one.mailbox));
        commands.extend(one.subscribe.then(|| Command::subscribe(&one.mailbox)));
    }
    let mut replies = link.ask_all(commands, "CREATE").await?.into_iter();
    let (mut made, mut stray) = (Vec::with_capacity(wanted.len()), Vec::new());
    for one in wanted {
        let name = match one.create {
            false => Ok(one.mailbox.clone()),
            true => {
                let (Some(created), Some(listed)) = (replies.next(), replies.next()) else { break };
                created_as(&one.mailbox, created.map(|_| ()), listed.map(|reply| reply.data))
            }
        };
        let Some(opened) = replies.next() else { break };
        let opened = opened.and_then(|reply| link.examined(&one.mailbox, reply));
        let subscribed = if one.subscribe { replies.next().map(|reply| reply.map(|_| ())) } else { None };
        let is_it = name.as_ref().is_ok_and(|name| *name == one.mailbox);
        if !is_it && matches!(subscribed, Some(Ok(()))) {
            stray.push(Command::unsubscribe(&one.mailbox));
        }
        made.push(name.and_then(|name| match opened {
            Err(error) if !one.create || error.is_to_be_asked_later() => Err(error),
            opened => Ok(MadeReady { name, opened: opened.ok(), subscribed: subscribed.filter(|_| is_it) }),
        }));
    }
    if !stray.is_empty() {
        link.ask_all(stray, "UNSUBSCRIBE").await?;
    }
    Ok(made)
}

/// CREATE, and LIST of what it made.
fn creating(mailbox: &Bytes, role: Option<Role>) -> [Command; 2] {
    let attribute = role.map(|r| format!("\\{}", r.capitalised()));
    [Command::create(mailbox, attribute.as_deref()), Command::list("", b"", mailbox, "")]
}

/// The name under which a mailbox is listed after its CREATE. One that is there already is no failure, whatever code the
/// server has for it.
fn created_as(
    mailbox: &Bytes,
    made: Result<(), EndError>,
    listed: Result<Vec<Untagged>, EndError>,
) -> Result<Bytes, EndError> {
    let names: Vec<Bytes> = listed?
        .into_iter()
        .filter_map(|d| if let Untagged::List(e) = d { e.is_selectable().then_some(e.name) } else { None })
        .collect();
    match (names.iter().any(|n| n == mailbox), made) {
        (true, _) => Ok(mailbox.clone()),
        (false, Err(error)) => Err(error),
        (false, Ok(())) => Ok(names.into_iter().next().unwrap_or_default()),
    }
}
