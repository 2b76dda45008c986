//! Pure: from what was found to remarks, the heaviest first.

use super::{Checks, Moving, Remark, RightsIn, Weight};
use crate::limits::CERTIFICATE_ENDS_SOON;
use crate::plain::{Plain, without_options};
use crate::plan::{
    IN_IMAP, NO_SIZES, NOT_COMPRESSED, NOT_TOLD, TOO_LARGE, TRIED_AGAIN, amount, limit_remark, short_of_room,
    size,
};
use crate::profile::{CHANGES_MESSAGES, OF_THOSE_TRIED};
use crate::progress::SideName;
use crate::quirks::family::FAMILIES;
use crate::run::Probed;

/// Exit codes (docs/cli.md): failed; the new account is full.
const FAILED: u8 = 1;
const FULL: u8 = 14;
/// Names written out in one remark.
const NAMES_SHOWN_MAX: usize = 5;

/// What there is to say. `now`: seconds since 1970.
pub fn judge(
    source: &Checks,
    target: &Checks,
    moving: Option<&Moving>,
    probed: Option<&Probed>,
    now: i64,
) -> Vec<Remark> {
    let mut remarks: Vec<Remark> = probed.into_iter().flat_map(of_probe).collect();
    for (side, checks) in [(SideName::Source, source), (SideName::Target, target)] {
        remarks.extend(certificate(side, checks, now));
        remarks.extend(connections(side, checks));
        remarks.extend(preauthenticated(side, checks));
    }
    remarks.extend(hides(source));
    if let Some(moving) = moving {
        remarks.extend(room(moving));
        remarks.extend(too_large(moving));
        remarks.extend(will_change(moving));
        remarks.extend(rights(&moving.rights));
        remarks.extend(empty(moving));
        remarks.extend(moving.plan.questions.iter().map(|question| Remark {
            weight: Weight::Decide,
            side: None,
            what: question.to_string(),
            next: String::new(),
            plain: Plain { what: question.plainly(), ..Plain::default() },
        }));
        // What is measured here is said by its own remarks.
        let measured =
            [limit_remark(&moving.survey), short_of_room(&moving.plan.room), Some(NO_SIZES.into())];
        let is_measured = |remark: &&String| measured.iter().flatten().any(|one| one == *remark);
        let others = moving.plan.remarks.iter().filter(|remark| !is_measured(remark));
        remarks.extend(others.map(String::as_str).map(of_plan));
    }
    remarks.sort_by_key(|remark| match remark.weight {
        Weight::Blocks(_) => 0,
        Weight::Decide => 1,
        Weight::Worth => 2,
    });
    remarks
}

/// What the plan says. The words of IMAP and those of a server stand at its end, and behind the details for people.
pub(crate) fn of_plan(remark: &str) -> Remark {
    let said = Remark::new(Weight::Worth, None, remark.to_owned(), "");
    if let Some((words, in_imap)) = remark.rsplit_once(IN_IMAP) {
        return said.for_people(&without_options(words), "", in_imap);
    }
    let before = |mark: &str| {
        let (words, details) = remark.split_once(mark)?;
        Some((format!("{words}{mark}"), details.trim_start_matches(": ")))
    };
    let marks = [TRIED_AGAIN, NOT_COMPRESSED, CHANGES_MESSAGES, OF_THOSE_TRIED];
    if let Some((words, details)) = marks.into_iter().find_map(before) {
        return said.for_people(&words, "", details);
    }
    let not_told = remark.split_once(NOT_TOLD).and_then(|(what, rest)| Some((what, rest.split_once(": ")?)));
    match not_told {
        Some((what, (server, words))) => said.for_people(&format!("{what}{NOT_TOLD}{server}"), "", words),
        None => said,
    }
}

fn worth(side: SideName, what: String, next: &str) -> Remark {
    Remark::new(Weight::Worth, Some(side), what, next)
}

fn certificate(side: SideName, checks: &Checks, now: i64) -> Option<Remark> {
    let certificate = checks.abilities.as_ref()?.certificate.as_ref()?;
    let left = certificate.not_after.saturating_sub(now);
    let soon = i64::try_from(CERTIFICATE_ENDS_SOON.as_secs()).unwrap_or(i64::MAX);
    let what = format!("its certificate ends in {} days", left / 86_400);
    let next = "a run after that would not trust it: ask the provider to renew it, or move before";
    (0..soon).contains(&left).then(|| worth(side, what, next))
}

fn connections(side: SideName, checks: &Checks) -> Option<Remark> {
    let found = checks.connections.as_ref()?;
    let refusal = found.refusal.as_ref()?;
    let what = format!("it gives {} of the {} connections asked for: {refusal}", found.given, found.wanted);
    let next = "nothing has to be done: a run goes on with fewer, and is slower; close other mail programs, or name the number \
                with --connections";
    let plain = format!(
        "it allows {} at once, not {}",
        amount(found.given as u64, "connection", "connections"),
        found.wanted
    );
    let do_nothing = "nothing has to be done: the move is only slower; closing other mail programs can help";
    Some(worth(side, what, next).for_people(&plain, do_nothing, refusal))
}

fn room(moving: &Moving) -> Option<Remark> {
    let room = moving.plan.room;
    let needed = if room.needed_messages > 0 { moving.sizes.remaining } else { 0 };
    let what = match (room.free_octets, room.free_messages) {
        (Some(free), _) if free < needed => {
            format!("it has room for {} and at least {} are to be moved", size(free), size(needed))
        }
        (_, Some(free)) if free < room.needed_messages => {
            let needed = amount(room.needed_messages, "is", "are");
            format!("it takes {} more and {needed} to be moved", amount(free, "message", "messages"))
        }
        _ => return None,
    };
    let next =
        "ask the new provider for more room, or empty the trash there; or move a part: --since, --mailbox";
    let remark = Remark::new(Weight::Blocks(FULL), Some(SideName::Target), what.clone(), next);
    let plain = "ask the new provider for more room, or empty the trash there; or leave folders out";
    Some(remark.for_people(&what, plain, ""))
}

/// Where the old server does not search, so that the plan does not know: by its listing.
fn too_large(moving: &Moving) -> Option<Remark> {
    if moving.plan.will_not_move.iter().any(|one| one.what == TOO_LARGE) {
        return None;
    }
    let limit = moving.survey.target.abilities.append_limit_octets?;
    let largest = moving.sizes.largest?;
    let what = format!(
        "{} larger than the {} that it takes; the largest has {}",
        amount(moving.sizes.too_large, "message is", "messages are"),
        size(limit),
        size(largest)
    );
    let next = "ask the new provider for a higher limit; otherwise they stay behind, each listed, with its original in the \
                report's folder";
    (moving.sizes.too_large > 0).then(|| worth(SideName::Target, what, next))
}

/// What a probe leaves to be said: no profile, mailboxes that are still there.
fn of_probe(probed: &Probed) -> Vec<Remark> {
    let unknown = probed.unknown.as_ref().map(|why| {
        let what = format!("it was not probed, so that nothing is known of what it changes: {why}");
        let next = "nothing has to be done: every message is read back whole in any case";
        let plain = "it was not tried out beforehand, so that nothing is known of what it changes";
        worth(SideName::Target, what, next).for_people(plain, next, why)
    });
    let left = probed.left.iter().map(|left| {
        let name = crate::names::printable(&left.name);
        let what = format!("“{name}” of a probe could not be removed: {}", left.why);
        let plain = format!("the folder “{name}”, made to try it out, could not be removed");
        worth(SideName::Target, what, "the next `check --probe` tries again; or delete it by hand")
            .for_people(&plain, "delete that folder by hand", &left.why.to_string())
    });
    unknown.into_iter().chain(left).collect()
}

/// Messages that lose flags or their date, as far as a profile tells.
fn will_change(moving: &Moving) -> Vec<Remark> {
    let of = |count: u64, what: &str, plain: &str| {
        let have = amount(count, "message has", "messages have");
        let what = format!("{have} {what} that the new server does not keep, as it was probed");
        let next = "they move all the same, without them; each is told by the manifest";
        let plain = format!("{have} {plain} that it does not keep");
        let remark = worth(SideName::Target, what, next);
        (count > 0).then(|| {
            remark.for_people(
                &plain,
                "they move all the same, without that; the list beside the report names each",
                "",
            )
        })
    };
    let sizes = moving.sizes;
    let flags = of(sizes.flags_lost, "flags or keywords", "marks (such as a label or a colour)");
    let dates = of(sizes.dates_lost, "a date", "a date");
    flags.into_iter().chain(dates).collect()
}

fn empty(moving: &Moving) -> Option<Remark> {
    let totals = moving.plan.totals;
    let is_empty = totals.messages == 0 && totals.uncounted_mailboxes == 0;
    let next = "check that it is the right account, and the options that choose mailboxes";
    is_empty.then(|| {
        worth(SideName::Source, "no message would move".into(), next).for_people(
            "no message would move",
            "check that it is the right mailbox, and that a folder is chosen",
            "",
        )
    })
}

/// Which letters of RFC 4314 are missing where, and what cannot be done without them.
fn rights(found: &[RightsIn]) -> Vec<Remark> {
    let lack = |side: SideName, right: char, parent: bool| -> Vec<&RightsIn> {
        let lacks = |r: &&RightsIn| r.side == side && r.parent == parent && !r.rights.has(right);
        found.iter().filter(lacks).collect()
    };
    let mut remarks = Vec::new();
    let unread = lack(SideName::Source, 'r', false);
    if !unread.is_empty() {
        let plain = "this login may not read the mail in";
        remarks.push(missing(SideName::Source, "their mail may not be read", plain, 'r', &unread));
    }
    let places = found.iter().filter(|r| r.side == SideName::Target && !r.parent).count();
    let closed = lack(SideName::Target, 'i', false);
    let all = !closed.is_empty() && closed.len() == places;
    match closed.as_slice() {
        [] => {}
        _ if all => remarks.push(read_only()),
        some => {
            let plain = "this login may put no mail into";
            remarks.push(missing(SideName::Target, "no mail may be put into them", plain, 'i', some));
        }
    }
    let barren = lack(SideName::Target, 'k', true);
    if !barren.is_empty() {
        let plain = "this login may make no folder in";
        remarks.push(missing(SideName::Target, "no mailbox may be made there", plain, 'k', &barren));
    }
    let blind = lack(SideName::Target, 'r', false);
    if !blind.is_empty() && !all {
        let (what, plain) =
            ("what is stored there could not be read back", "this login may not read back what is put into");
        remarks.push(missing(SideName::Target, what, plain, 'r', &blind));
    }
    let flagless: Vec<&RightsIn> = found
        .iter()
        .filter(|r| r.side == SideName::Target && !r.parent && r.rights.has('i'))
        .filter(|r| !r.rights.has('s') || !r.rights.has('w'))
        .collect();
    if !flagless.is_empty() {
        let what = format!("flags may not be set in {} (rights s, w)", names(&flagless));
        let next = "messages move all the same; which were read or marked may be lost: ask for these rights";
        let plain = format!("this login may not mark messages as read or answered in {}", names(&flagless));
        let ask =
            "they move all the same, and may look unread; ask the administrator to allow it if that matters";
        remarks.push(worth(SideName::Target, what, next).for_people(&plain, ask, "rights s, w (RFC 4314)"));
    }
    remarks
}

/// Nothing may be put anywhere.
fn read_only() -> Remark {
    let what = "the account is read-only: no mail may be put into any mailbox (right i)";
    let next =
        "check that it is the right account; ask its provider or administrator for the right to insert";
    Remark::new(Weight::Blocks(FAILED), Some(SideName::Target), what.into(), next).for_people(
        "this login may put no mail into any folder",
        "check that it is the right mailbox, and ask its provider or administrator to allow it",
        "right i (RFC 4314)",
    )
}

/// `plain`: the beginning of a sentence that ends with their names.
fn missing(side: SideName, what: &str, plain: &str, right: char, of: &[&RightsIn]) -> Remark {
    let next = match side {
        SideName::Source => {
            "ask the owner or the administrator for the right, or leave these mailboxes out: --exclude"
        }
        SideName::Target => {
            "ask the owner or the administrator for the right, or send the mail elsewhere: --map, --exclude"
        }
    };
    let (what, plain) = (format!("{what} (right {right}): {}", names(of)), format!("{plain} {}", names(of)));
    Remark::new(Weight::Blocks(FAILED), Some(side), what, next).for_people(
        &plain,
        "ask the owner or the administrator for permission, or leave these folders out",
        &format!("right {right} (RFC 4314)"),
    )
}

fn names(of: &[&RightsIn]) -> String {
    let shown: Vec<String> = of
        .iter()
        .take(NAMES_SHOWN_MAX)
        .map(|r| format!("“{}”", crate::names::printable(&r.mailbox)))
        .collect();
    let more = if of.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
    shown.join(", ") + more
}

/// What the family of the old server is known to keep from being seen, where nothing that was looked at tells.
fn hides(source: &Checks) -> Option<Remark> {
    let name = source.abilities.as_ref()?.family?;
    let hides = FAMILIES.iter().find(|family| family.name == name)?.hides?;
    Some(worth(SideName::Source, format!("it is {name}: {}", hides.what), hides.first))
}

/// Who is in was decided by the server: the name that was given was not even said.
fn preauthenticated(side: SideName, checks: &Checks) -> Option<Remark> {
    let abilities = checks.abilities.as_ref().filter(|abilities| abilities.preauthenticated)?;
    let what = format!(
        "it let us in before we said who we are: whether this is the account of {} is not known",
        crate::names::printable(&abilities.user)
    );
    let next = "look at its folders and numbers in this check: are they those of the account that you mean?";
    Some(worth(side, what, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end::Abilities;
    use crate::report::tests::people::NOT_FOR_PEOPLE;

    /// What is said where the old server is of one family and the new one of another.
    fn said(source: &'static str, target: &'static str) -> Vec<Remark> {
        let checks = |family| Checks {
            account: "a".into(),
            abilities: Some(Abilities { family: Some(family), ..Abilities::default() }),
            connections: None,
            alone: None,
        };
        judge(&checks(source), &checks(target), None, None, 0)
    }

    #[test]
    fn of_a_family_is_said_what_the_old_server_hides_and_nothing_else_in_plain_words() {
        let mut told = Vec::new();
        for family in FAMILIES {
            assert_eq!(said("of nobody", family.name), [], "{}: of the new server nothing", family.name);
            let said = said(family.name, "of nobody");
            for remark in &said {
                assert_eq!((remark.weight, remark.side), (Weight::Worth, Some(SideName::Source)));
                let (what, next) = (&remark.plain.what, remark.plain.next.clone().unwrap_or_default());
                assert!(what.starts_with("Your old mailbox: it is ") && !next.is_empty(), "{remark:?}");
                for word in NOT_FOR_PEOPLE {
                    assert!(!what.contains(word) && !next.contains(word), "{word}: {remark:?}");
                }
            }
            told.extend(said.first().map(|_| family.name));
        }
        // What others hide is seen by the look at the account (Gmail, Yahoo); of Dovecot and the like there is nothing.
        assert_eq!(told, ["Microsoft 365", "Exchange", "Proton Mail Bridge"]);
    }
}
