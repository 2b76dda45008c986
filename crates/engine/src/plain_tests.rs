use super::*;
use crate::auth::Mechanism;
use crate::error::Refusal;
use crate::journal::{EpochId, ItemId, MailboxId, State};
use crate::message::Key;
use crate::oauth::OAuthError;
use std::time::Duration;

/// What no person is told outside of the details (CONTRIBUTING.md, *Texts for people*).
const NOT_FOR_PEOPLE: [&str; 17] = [
    "--",
    "octet",
    "journal",
    "epoch",
    "source",
    "target",
    "UID",
    "spool",
    "protocol",
    "token",
    "APPEND",
    "STATUS",
    "SELECT",
    "LOGIN",
    "NO [",
    "mailhaul ",
    "OAuth",
];

fn refusal(class: RefusalClass) -> Refusal {
    Refusal { class, bad: false, code: Some("SERVERWORDS".into()), text: "in its own words".into() }
}

fn end_errors() -> Vec<EndError> {
    let (server, what) = (|| "mail.old.example:993".to_owned(), || "the words of APPEND".to_owned());
    let hint = || "name it: --from-server imaps://host".to_owned();
    let mut all = vec![
        EndError::Unreachable { server: server(), what: what(), hint: hint() },
        EndError::Untrusted { server: server(), what: what(), hint: hint(), shown: None },
        EndError::Untrusted { server: server(), what: what(), hint: hint(), shown: Some([7; 32]) },
        EndError::NoCredentials { server: server(), what: format!("{}; --from-password-file FILE", what()) },
        EndError::Lost { server: server(), doing: "APPEND", what: what() },
        EndError::TimedOut {
            server: server(),
            doing: "APPEND",
            limit: Duration::from_secs(90),
            told: Vec::new(),
        },
        EndError::Protocol { server: server(), doing: "APPEND", what: what() },
        EndError::Protocol { server: server(), doing: LISTING, what: what() },
        EndError::Unsupported { server: server(), what: what(), hint: hint() },
        EndError::Spool { place: "/tmp".into(), what: what() },
        EndError::Stopped,
    ];
    use RefusalClass as C;
    let classes = [
        C::Quota,
        C::TooBig,
        C::Throttled(None),
        C::SpentToday,
        C::ThrottledOrFull,
        C::Unavailable,
        C::InUse,
        C::ServerBug,
        C::NoMailbox,
        C::NoPermission,
        C::Login,
        C::Syntax,
        C::Unknown,
    ];
    all.extend(classes.map(|class| EndError::Refused {
        server: server(),
        doing: "APPEND",
        refusal: refusal(class),
    }));
    let by = [None, Some(Mechanism::Plain), Some(Mechanism::XOAuth2), Some(Mechanism::ScramSha256)];
    all.extend(by.into_iter().map(|mechanism| EndError::LoginRefused {
        server: server(),
        user: "ann".into(),
        mechanism,
        refusal: Box::new(refusal(C::Login)),
        told: vec!["close the other window".into()],
    }));
    all
}

fn journal_errors() -> Vec<JournalError> {
    let (place, what) = (|| "/home/ann/notes.sqlite".to_owned(), || "the words of APPEND".to_owned());
    let item = ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(1) };
    vec![
        JournalError::NotFound { place: place() },
        JournalError::Damaged { place: place(), what: what() },
        JournalError::Newer { place: place(), found: 9, known: 1 },
        JournalError::Held { holder: "process 7".into() },
        JournalError::Fenced,
        JournalError::DiskFull { place: place() },
        JournalError::Store { place: place(), doing: "APPEND", what: what() },
        JournalError::Illegal { item, from: State::Listed, to: State::Verified },
        JournalError::Elsewhere { item },
        JournalError::ClaimTaken { mailbox: MailboxId(1), uid: Key(1), by: item },
        JournalError::OtherSettings { what: what() },
    ]
}

fn questions() -> Vec<Question> {
    vec![
        Question::TargetHoldsMail { mailboxes: vec![("A".into(), 1)] },
        Question::WillNotMove { what: vec!["mailbox A".into()] },
        Question::NotAsShown,
        Question::DoubtfulUser { user: "ann".into(), side: "old", why: "it holds nothing" },
        Question::ManyMissing { mailbox: "A".into(), missing: 1, claimed: 2 },
    ]
}

fn all() -> Vec<Error> {
    let mut all: Vec<Error> = end_errors().into_iter().map(Error::Source).collect();
    all.extend(end_errors().into_iter().map(Error::Target));
    all.extend(journal_errors().into_iter().map(Error::Journal));
    all.extend(questions().into_iter().map(Error::Question));
    all.push(Error::Settings { what: "nothing moves; --mailbox names nothing".into() });
    all.push(Error::Certificate { path: "c".into(), what: "the words of APPEND".into() });
    all.push(Error::Report { path: "r".into(), what: "the words of APPEND".into() });
    all.push(Error::RefusesAll { refused: 1, refusal: refusal(RefusalClass::Unknown) });
    all.push(Error::Full { refusal: refusal(RefusalClass::Quota) });
    all.push(Error::Interrupted);
    all
}

#[test]
fn whatever_fails_is_said_in_everyday_words_with_something_to_do() {
    for error in all() {
        let Plain { what, next, .. } = error.plainly();
        let said = format!("{what} {}", next.clone().unwrap_or_default());
        for word in NOT_FOR_PEOPLE {
            assert!(!said.contains(word), "{word}: {said}");
        }
        for text in std::iter::once(&what).chain(&next) {
            assert!(text.ends_with(['.', '?']) && !text.contains(". ."), "a sentence: {text}");
        }
        assert!(next.is_some() || matches!(error, Error::Question(_) | Error::Settings { .. }), "{error}");
    }
}

#[test]
fn what_a_server_said_stands_behind_details_and_nowhere_else() {
    for error in all() {
        let words = ["[SERVERWORDS] in its own words", "the words of APPEND"];
        let Some(words) = words.into_iter().find(|words| error.to_string().contains(words)) else { continue };
        let Plain { what, next, details, .. } = error.plainly();
        assert!(details.iter().any(|line| line.contains(words)), "{error}: {details:?}");
        assert!(!what.contains(words) && !next.unwrap_or_default().contains(words), "{what}");
    }
}

#[test]
fn the_reason_is_said_where_it_needs_no_engineer() {
    let untrusted = |what: &str| {
        let (server, what, hint) = ("h:993".to_owned(), what.to_owned(), String::new());
        EndError::Untrusted { server, what, hint, shown: None }.plainly().what
    };
    let said = "h:993 did not prove that it is the right server: its certificate has expired.";
    assert_eq!(untrusted("its certificate has expired"), said);
    assert_eq!(
        untrusted("its certificate is not valid: BadEncoding(7)"),
        "h:993 did not prove that it is the right server."
    );
    let (server, what, hint) =
        ("h:993".to_owned(), "no server has this name (os error)".to_owned(), String::new());
    let nobody = EndError::Unreachable { server, what, hint }.plainly();
    assert_eq!(nobody.what, "There is no server with the name h:993.");
    let limit = Duration::from_secs(90);
    let late =
        EndError::TimedOut { server: "h:993".into(), doing: "STATUS", limit, told: Vec::new() }.plainly();
    assert_eq!(late.what, "h:993 did not answer for 1 min 30 s. Nothing is lost by that.");
}

#[test]
fn one_thing_is_one_thing() {
    let will_not = |n: usize| Question::WillNotMove { what: vec![String::new(); n] }.plainly();
    assert_eq!(will_not(1), "1 thing will not move as it is.");
    assert_eq!(will_not(2), "2 things will not move as they are.");
}

#[test]
fn advice_for_people_names_no_option() {
    for (advice, said) in [
        ("log in by OAuth: --from-oauth or --to-oauth", "log in by OAuth"),
        ("make room, then run it again", "make room, then run it again"),
        ("wait to be asked for it; --from-password-file FILE", "wait to be asked for it"),
        ("--from-password-file FILE", ""),
        (
            "if you know this server, pin its certificate: --from-fingerprint ab; a private CA is added with --ca-file",
            "if you know this server, pin its certificate",
        ),
        ("look at it; run `mailhaul check` with the same options", "look at it"),
        ("“old --mail” is a name; “--x”, too; --exclude leaves it out", "“old --mail” is a name; “--x”, too"),
        ("a dash -- like this -- is none, nor is a--b", "a dash -- like this -- is none, nor is a--b"),
    ] {
        assert_eq!(without_options(advice), said);
    }
}

#[test]
fn a_login_that_an_issuer_refuses_is_told_in_everyday_words_and_the_issuers_own_behind_details() {
    let refused = |code: &str, description: &str| OAuthError::Refused {
        code: code.into(),
        description: description.into(),
    };
    let mut all: Vec<OAuthError> = crate::oauth::known_refusals().collect();
    all.extend([
        refused("invalid_grant", "AADSTS700016: x"),
        refused("something_new", "its own words"),
        OAuthError::Unreachable("no route".into()),
        OAuthError::BadAnswer("no JSON".into()),
        OAuthError::TooLate,
        OAuthError::NobodyThere,
        OAuthError::NoSuchWay("https://issuer.example".into(), "by a code"),
        OAuthError::Key("it is not PEM"),
        OAuthError::Machine("no port is free".into()),
    ]);
    for error in all {
        let end = EndError::NoCredentials { server: "imap.old.example:993".into(), what: error.words() };
        let Plain { what, next, details, .. } = end.plainly();
        let next = next.unwrap();
        for word in
            NOT_FOR_PEOPLE.iter().chain(&["issuer", "grant", "tenant", "scope", "flow_", "consent", "`"])
        {
            assert!(!what.contains(word) && !next.contains(word), "{word}: {what} {next}");
        }
        assert!(!what.starts_with("There is no password"), "{error:?}: {what}");
        assert!(what.ends_with('.') && next.ends_with('.'), "{what} {next}");
        assert!(details.iter().any(|line| line.contains(&error.to_string())), "{error}: {details:?}");
        assert!(!details.iter().any(|line| has_option(line) || line.contains('`')), "{details:?}");
    }
}

/// Also not behind “Details”: a question follows, or a form, where no option can be typed.
#[test]
fn the_details_of_a_login_name_no_option() {
    let untrusted = EndError::Untrusted {
        server: "mail.old.example".into(),
        what: "its certificate is not known".into(),
        hint: "if you know this server, pin its certificate: --from-fingerprint ab; a private CA is added with --ca-file".into(),
        shown: None,
    };
    let refused = [Mechanism::Plain, Mechanism::ScramSha256].map(|mechanism| EndError::LoginRefused {
        server: "imap.gmail.com".into(),
        user: "ann".into(),
        mechanism: Some(mechanism),
        refusal: Box::new(refusal(RefusalClass::Login)),
        told: Vec::new(),
    });
    for plain in refused.iter().chain([&untrusted]).map(EndError::plainly) {
        assert!(!plain.details.iter().any(|line| has_option(line)), "{plain:?}");
    }
    let more = refused[0].plainly().more.map(|more| more.to_string());
    assert_eq!(more.as_deref(), Some("mailhaul docs login google"));
}
