//! Pure: what to do about a refusal, from what it means, what was asked for, and how often it was refused before
//! (integrity.md part 9). The one place where that is decided; `docs/errors.md` is written from it.

use crate::error::RefusalClass;
use std::time::Duration;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// LOGIN or AUTHENTICATE, and what comes before.
    Login,
    /// LIST, STATUS, SELECT, EXAMINE, and what else is asked of an account or a mailbox.
    Open,
    /// FETCH of bodies. Beyond waits and new connections it is carried out by `transfer::unreadable`: each message of a
    /// refused range is asked for alone, then in other ways, then looked for in two listings.
    Fetch,
    /// APPEND.
    Append,
}

/// One refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What was asked for.
    pub doing: Doing,
    /// How often the same was refused before, for a reason that may pass.
    pub tries: u32,
    /// It is about one message, not about several at once. Nothing where no message is asked for.
    pub alone: bool,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// As long as the server asked.
    Named(Duration),
    /// As the back-off says.
    BackOff,
    /// This long.
    Step(Duration),
    /// Until what passed in the last day counts no more: asked again every hour.
    Day,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Wait, then ask the same again.
    Wait(Pause),
    /// Connect again, look whether mailbox and epoch are still there, then ask the same again.
    Reconnect,
    /// Ask for half as many at once, down to one.
    Bisect,
    /// Take the next step that may help: of the ladder at the target, another way of reading at the source. Without one, the
    /// message becomes an exception.
    Ladder,
    /// The message becomes an exception, listed with the server's words.
    Skip,
    /// Look whether it is there: nothing is concluded from the refusal (law 7).
    Look,
    /// The mailbox waits for another run; the others go on.
    HoldMailbox,
    /// Nothing more is asked of the account in this run.
    HoldAccount,
}

/// Waits for a mailbox that somebody else has locked.
const IN_USE: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];
/// Waits before passing trouble with the same is no longer believed to pass.
const TROUBLE: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(60), Duration::from_secs(300)];
/// Waits before "throttled or full" is taken for full.
const FULL_TRIES: u32 = 3;
/// New connections before a failure inside the server is taken for one of what was asked.
const BUG_TRIES: u32 = 2;

/// What to do about a refusal.
pub fn remedy(class: RefusalClass, case: Case) -> Remedy {
    use RefusalClass as C;
    let Case { doing, tries, .. } = case;
    if let Some(pause) = patience(class)
        && !(class == C::ThrottledOrFull && doing == Doing::Append && tries >= FULL_TRIES)
    {
        return Remedy::Wait(pause);
    }
    match class {
        // What takes no room cannot want for it: it is traffic that is meant.
        C::Quota if doing != Doing::Append => Remedy::Wait(Pause::Day),
        C::Quota | C::ThrottledOrFull | C::Login => Remedy::HoldAccount,
        C::Unavailable if doing == Doing::Login => Remedy::Wait(Pause::BackOff),
        C::Unavailable if (tries as usize) < TROUBLE.len() => step(&TROUBLE, tries),
        C::InUse if (tries as usize) < IN_USE.len() => step(&IN_USE, tries),
        C::ServerBug if tries < BUG_TRIES => Remedy::Reconnect,
        _ if doing == Doing::Login => Remedy::HoldAccount,
        C::InUse | C::NoPermission => Remedy::HoldMailbox,
        C::NoMailbox | C::Exists | C::Expunged => Remedy::Look,
        _ if doing == Doing::Open => Remedy::HoldMailbox,
        _ if !case.alone => Remedy::Bisect,
        C::TooBig | C::Forbidden | C::Unavailable | C::ServerBug => Remedy::Skip,
        _ => Remedy::Ladder,
    }
}

/// The wait that the server itself asks for, whatever was asked of it; `None` where it does not.
pub fn patience(class: RefusalClass) -> Option<Pause> {
    match class {
        RefusalClass::Throttled(Some(named)) => Some(Pause::Named(named)),
        RefusalClass::Throttled(None) | RefusalClass::ThrottledOrFull => Some(Pause::BackOff),
        RefusalClass::SpentToday => Some(Pause::Day),
        _ => None,
    }
}

/// True where half as many connections are asked for from then on.
pub fn halves(class: RefusalClass) -> bool {
    patience(class).is_some()
}

/// True for what passes by itself: nothing is wrong with account, mailbox or message.
pub fn is_passing(class: RefusalClass) -> bool {
    use RefusalClass as C;
    patience(class).is_some() || matches!(class, C::Unavailable | C::InUse | C::ServerBug)
}

fn step(steps: &[Duration], tries: u32) -> Remedy {
    Remedy::Wait(steps.get(tries as usize).map_or(Pause::BackOff, |wait| Pause::Step(*wait)))
}

#[cfg(test)]
mod tests {
    use super::super::classify;
    use super::*;

    fn at(doing: Doing, tries: u32, alone: bool) -> Case {
        Case { doing, tries, alone }
    }

    /// Status, code, words, what was asked for, of one message or of none, and what is done.
    type Row = (&'static str, Option<&'static str>, &'static str, &'static [Doing], bool, Vec<Remedy>);

    const SECOND: Duration = Duration::from_secs(1);

    /// integrity.md, part 9, row by row: what a server says, where, and what is done, time after time; the last goes on.
    #[test]
    fn each_row_of_the_taxonomy_is_done_as_written() {
        use Doing::{Append, Fetch, Login, Open};
        use Pause::{BackOff, Day, Named, Step};
        use Remedy::{Bisect, HoldAccount, HoldMailbox, Ladder, Look, Reconnect, Skip, Wait};
        let wait = |pause| [Wait(pause)].to_vec();
        let full = |then: Remedy| vec![Wait(BackOff), Wait(BackOff), Wait(BackOff), then];
        let trouble = |then: Remedy| {
            let mut waits: Vec<Remedy> = TROUBLE.iter().map(|d| Wait(Step(*d))).collect();
            waits.push(then);
            waits
        };
        let bug = |then: Remedy| vec![Reconnect, Reconnect, then];
        let locked = || {
            let mut waits: Vec<Remedy> = IN_USE.iter().map(|d| Wait(Step(*d))).collect();
            waits.push(HoldMailbox);
            waits
        };
        let throttled = "Request is throttled. Suggested Backoff Time: 298331 milliseconds";
        let named = || wait(Named(Duration::from_millis(298_331)));
        let spent = "Account exceeded command or bandwidth limits. (Failure)";
        let rows: Vec<Row> = vec![
            ("NO", Some("UNAVAILABLE"), "x", &[Login], true, wait(BackOff)),
            ("NO", Some("UNAVAILABLE"), "x", &[Open], true, trouble(HoldMailbox)),
            (
                "NO",
                Some("UNAVAILABLE"),
                "UID FETCH Server error while fetching messages",
                &[Fetch],
                true,
                trouble(Skip),
            ),
            ("NO", Some("UNAVAILABLE"), "x", &[Append, Fetch], false, trouble(Bisect)),
            ("NO", Some("UNAVAILABLE"), "x", &[Append], true, trouble(Skip)),
            ("NO", Some("UNAVAILABLE"), "Server unavailable", &[Append], true, trouble(Skip)),
            ("NO", None, "Server unavailable, try later", &[Append], true, trouble(Skip)),
            (
                "NO",
                Some("UNAVAILABLE"),
                "Maximum number of connections from user+IP exceeded",
                &[Login],
                true,
                wait(BackOff),
            ),
            (
                "NO",
                Some("ALERT"),
                "Too many simultaneous connections. (Failure)",
                &[Login, Open, Fetch],
                true,
                wait(BackOff),
            ),
            ("NO", Some("LIMIT"), "x", &[Login, Open, Fetch, Append], true, wait(BackOff)),
            ("NO", Some("LIMIT"), "UID FETCH Rate limit hit", &[Fetch], true, wait(BackOff)),
            ("NO", Some("LIMIT"), "Too many identical emails", &[Append], true, vec![Skip]),
            ("NO", Some("THROTTLED"), "x", &[Login, Open, Fetch, Append], false, wait(BackOff)),
            ("BAD", None, throttled, &[Login, Open, Fetch, Append], true, named()),
            ("NO", None, throttled, &[Login, Open, Fetch, Append], false, named()),
            ("NO", None, "Server Unavailable. 15", &[Append], true, full(HoldAccount)),
            ("NO", None, "Server Unavailable. 15", &[Login, Open, Fetch], true, wait(BackOff)),
            ("NO", Some("OVERQUOTA"), spent, &[Login, Open, Fetch, Append], true, wait(Day)),
            ("NO", Some("OVERQUOTA"), "x", &[Append], true, vec![HoldAccount]),
            ("NO", Some("OVERQUOTA"), "x", &[Fetch], true, wait(Day)),
            ("NO", None, "Over quota", &[Append], false, vec![HoldAccount]),
            ("NO", None, "Quota limit will be exceeded", &[Append], true, vec![HoldAccount]),
            ("NO", None, "mailbox is full", &[Append], true, vec![HoldAccount]),
            ("NO", None, "storage limit reached", &[Append], true, vec![HoldAccount]),
            ("NO", Some("TOOBIG"), "x", &[Append], false, vec![Bisect]),
            ("NO", Some("TOOBIG"), "x", &[Append], true, vec![Skip]),
            ("NO", None, "Maximum size of appendable message has been exceeded", &[Append], true, vec![Skip]),
            ("NO", None, "maximum message size exceeded", &[Append], true, vec![Skip]),
            ("NO", Some("INUSE"), "x", &[Open, Fetch, Append], true, locked()),
            ("NO", Some("SERVERBUG"), "x", &[Append, Fetch], false, bug(Bisect)),
            ("NO", Some("SERVERBUG"), "x", &[Append, Fetch], true, bug(Skip)),
            ("NO", Some("SERVERBUG"), "x", &[Open], true, bug(HoldMailbox)),
            ("NO", Some("CORRUPTION"), "x", &[Fetch], true, vec![Ladder]),
            ("NO", Some("CANNOT"), "x", &[Open], true, vec![HoldMailbox]),
            ("NO", Some("CANNOT"), "x", &[Append, Fetch], true, vec![Ladder]),
            ("NO", Some("EXPUNGEISSUED"), "x", &[Fetch], true, vec![Look]),
            ("NO", Some("TRYCREATE"), "x", &[Append, Open], true, vec![Look]),
            ("NO", Some("NONEXISTENT"), "x", &[Append, Open], true, vec![Look]),
            ("NO", Some("ALREADYEXISTS"), "x", &[Open], true, vec![Look]),
            ("NO", Some("NOPERM"), "x", &[Open, Append], true, vec![HoldMailbox]),
            ("NO", Some("READ-ONLY"), "x", &[Append], true, vec![HoldMailbox]),
            ("NO", Some("AUTHENTICATIONFAILED"), "x", &[Login], true, vec![HoldAccount]),
            ("NO", Some("AUTHORIZATIONFAILED"), "x", &[Login], true, vec![HoldAccount]),
            ("NO", Some("EXPIRED"), "x", &[Login], true, vec![HoldAccount]),
            ("NO", Some("PRIVACYREQUIRED"), "x", &[Login], true, vec![HoldAccount]),
            ("NO", Some("CONTACTADMIN"), "x", &[Login], true, vec![HoldAccount]),
            ("NO", Some("ALERT"), "Please log in via your web browser", &[Login], true, vec![HoldAccount]),
            ("NO", None, "Application-specific password required", &[Login], true, vec![HoldAccount]),
            ("NO", None, "LOGIN failed", &[Login], true, vec![HoldAccount]),
            (
                "BAD",
                None,
                "User is authenticated but not connected.",
                &[Login, Open],
                true,
                vec![HoldAccount],
            ),
            ("NO", None, "never heard of", &[Login], true, vec![HoldAccount]),
            ("BAD", Some("CLIENTBUG"), "x", &[Append, Fetch], false, vec![Bisect]),
            ("BAD", Some("PARSE"), "x", &[Append], true, vec![Ladder]),
            ("BAD", None, "Command Argument Error. 11", &[Append], false, vec![Bisect]),
            ("BAD", None, "Command Argument Error. 11", &[Append], true, vec![Ladder]),
            ("BAD", None, "Command Error. 10", &[Append], true, vec![Ladder]),
            ("BAD", None, "Invalid Arguments: Unable to parse message", &[Append], true, vec![Ladder]),
            ("NO", None, "Message contains bare newlines", &[Append], true, vec![Ladder]),
            ("NO", None, "Message contains NUL characters", &[Append], false, vec![Bisect]),
            ("NO", None, "Message contains invalid header", &[Append], true, vec![Ladder]),
            ("NO", None, "header limit reached", &[Append], true, vec![Ladder]),
            ("NO", None, "message contains a virus", &[Append], true, vec![Skip]),
            ("NO", None, "Too many user flags in mailbox", &[Append], true, vec![Ladder]),
            ("BAD", None, "Invalid flag", &[Append], true, vec![Ladder]),
            ("NO", Some("UIDREQUIRED"), "x", &[Fetch], false, vec![Bisect]),
            ("NO", None, "never heard of", &[Append, Fetch], false, vec![Bisect]),
            ("NO", None, "never heard of", &[Append, Fetch], true, vec![Ladder]),
            ("NO", None, "never heard of", &[Open], true, vec![HoldMailbox]),
        ];
        for (status, code, text, doings, alone, wanted) in rows {
            let class = classify(status == "BAD", code, text);
            for doing in doings {
                let did: Vec<Remedy> = (0..9).map(|tries| remedy(class, at(*doing, tries, alone))).collect();
                let last = wanted.len() - 1;
                let wanted: Vec<Remedy> = (0..9).map(|tries| wanted[last.min(tries)]).collect();
                assert_eq!(did, wanted, "{status} {code:?} {text} at {doing:?}, alone: {alone}");
            }
        }
    }

    #[test]
    fn who_asks_for_patience_gets_it_at_every_command() {
        for (class, pause) in [
            (RefusalClass::Throttled(Some(7 * SECOND)), Pause::Named(7 * SECOND)),
            (RefusalClass::Throttled(None), Pause::BackOff),
            (RefusalClass::SpentToday, Pause::Day),
        ] {
            assert_eq!(patience(class), Some(pause));
            for doing in [Doing::Login, Doing::Open, Doing::Fetch, Doing::Append] {
                for tries in [0, 3, 100] {
                    assert_eq!(remedy(class, at(doing, tries, false)), Remedy::Wait(pause), "{doing:?}");
                }
            }
        }
    }
}
