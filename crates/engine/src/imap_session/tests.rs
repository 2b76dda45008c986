use super::*;
use crate::config::{Endpoint, FixedPassword, ImapAccount, LoginOptions, Security, Trust};
use crate::end::{Asked, MailboxInfo, Role, Space};
use crate::net::Dialer;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

fn opener(ours: DuplexStream) -> Opener {
    let ours = Mutex::new(Some(ours));
    Opener {
        account: ImapAccount {
            endpoint: Endpoint { host: "old.example".into(), port: 143, security: Security::Clear },
            user: "ann".into(),
            auth_user: None,
            login: LoginOptions::default(),
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new("")),
        },
        limits: Limits::default(),
        dialer: Dialer::InProcess(Arc::new(move || ours.lock().unwrap().take().unwrap())),
        without: Vec::new(),
        compress: false,
    }
}

/// Answers commands until EXAMINE, and is gone.
async fn leaves_after_examine(stream: DuplexStream) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"* PREAUTH [CAPABILITY IMAP4rev1] hello\r\n").await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap() > 0 {
        let (tag, command) = line.split_once(' ').unwrap();
        let last = command.starts_with("EXAMINE");
        let data = if last { "* 1 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n" } else { "" };
        stream.write_all(format!("{data}{tag} OK done\r\n").as_bytes()).await.unwrap();
        if last {
            return;
        }
        line.clear();
    }
}

/// Answers each command by the first row whose beginning it has; a row of `NO` refuses.
async fn answers(stream: DuplexStream, capabilities: &'static str, rows: &'static [(&str, &str)]) {
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("* PREAUTH [CAPABILITY {capabilities}] hello\r\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap() > 0 {
        let (tag, command) = line.split_once(' ').unwrap();
        let row = rows.iter().find(|(beginning, _)| command.starts_with(beginning));
        let data = row.map_or("", |(_, data)| *data);
        let answer = match data.starts_with("NO") {
            true => format!("{tag} {data}\r\n"),
            false => format!("{data}{tag} OK done\r\n"),
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        line.clear();
    }
}

async fn listed_by(capabilities: &'static str, rows: &'static [(&str, &str)]) -> Vec<MailboxInfo> {
    told_by(capabilities, rows).await.0
}

/// The mailboxes, and what was refused beside them.
async fn told_by(
    capabilities: &'static str,
    rows: &'static [(&str, &str)],
) -> (Vec<MailboxInfo>, Vec<(Asked, String)>) {
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(answers(theirs, capabilities, rows));
    let mut link = open(&opener(ours)).await.unwrap();
    let mailboxes = link.list_mailboxes(true).await.unwrap();
    let words = |one: Untold| match one.error {
        EndError::Refused { refusal, .. } => (one.asked, refusal.text),
        other => panic!("{other}"),
    };
    (mailboxes, link.untold().into_iter().map(words).collect())
}

/// A second namespace of one's own, and one of other people, which `*` does not show.
const TWO_OF_ONES_OWN: (&str, &str) =
    ("NAMESPACE", "* NAMESPACE ((\"\" \"/\")(\"Old/\" \"/\")) ((\"~\" \"/\")) NIL\r\n");

#[tokio::test]
async fn each_namespace_of_ones_own_is_listed_and_each_mailbox_once() {
    let (mailboxes, untold) = told_by(
        "IMAP4rev1 UIDPLUS NAMESPACE",
        &[
            TWO_OF_ONES_OWN,
            ("LIST \"\" \"*\"", "* LIST () \"/\" INBOX\r\n* LIST (\\Noselect) \"/\" Old/b\r\n"),
            ("LIST \"\" \"Old/*\"", "* LIST () \"/\" Old/a\r\n* LIST () \"/\" Old/b\r\n"),
            ("LSUB \"\" \"Old/*\"", "* LSUB () \"/\" Old/a\r\n"),
        ],
    )
    .await;
    let own: Vec<_> =
        mailboxes.iter().map(|m| (m.text.as_str(), m.space, m.subscribed, m.selectable)).collect();
    let of = Space::Personal;
    assert_eq!(own, [("INBOX", of, false, true), ("Old/a", of, true, true), ("Old/b", of, false, true)]);
    assert_eq!(untold, []);
}

#[tokio::test]
async fn what_a_listing_is_refused_beside_the_names_ends_nothing_and_is_told() {
    let (mailboxes, untold) = told_by(
        "IMAP4rev1 UIDPLUS NAMESPACE XLIST",
        &[
            TWO_OF_ONES_OWN,
            ("LIST \"\" \"*\"", "* LIST () \"/\" INBOX\r\n"),
            ("LIST \"\" \"Old/*\"", "NO not now"),
            ("LIST \"\" \"~*\"", "NO not yours"),
            ("LSUB", "NO no list of these"),
            ("XLIST", "NO what"),
            ("STATUS", "NO closed"),
        ],
    )
    .await;
    assert_eq!(mailboxes.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["INBOX"]);
    let told = [
        (Asked::Own("Old/".into()), "not now"),
        (Asked::Others("~".into()), "not yours"),
        (Asked::Subscriptions, "no list of these"),
        (Asked::Subscriptions, "no list of these"),
        (Asked::Roles, "what"),
        (Asked::Counts(Bytes::from_static(b"INBOX")), "closed"),
    ];
    assert_eq!(untold, told.map(|(asked, words)| (asked, words.to_owned())));
    let unknown = told_by(
        "IMAP4rev1 UIDPLUS NAMESPACE",
        &[("NAMESPACE", "NO never heard"), ("LIST", "* LIST () \"/\" INBOX\r\n")],
    );
    assert_eq!(unknown.await.1, [(Asked::Namespaces, "never heard".to_owned())]);
}

#[tokio::test]
async fn roles_come_from_xlist_where_there_is_no_special_use_and_its_names_are_not_believed() {
    let mailboxes = listed_by(
        "IMAP4rev1 UIDPLUS XLIST",
        &[
            ("LIST \"\" \"*\"", "* LIST () \"/\" INBOX\r\n* LIST () \"/\" Gesendet\r\n* LIST () \"/\" Werbung\r\n"),
            (
                "XLIST",
                "* XLIST (\\Inbox) \"/\" Posteingang\r\n* XLIST (\\Sent) \"/\" Gesendet\r\n* XLIST (\\Spam) \"/\" Werbung\r\n",
            ),
        ],
    )
    .await;
    let roles: Vec<_> = mailboxes.iter().map(|m| (m.text.as_str(), m.role)).collect();
    assert_eq!(roles, [("INBOX", None), ("Gesendet", Some(Role::Sent)), ("Werbung", Some(Role::Junk))]);
}

#[tokio::test]
async fn of_classic_cyrus_what_lies_below_no_prefix_is_shared_and_inbox_is_not() {
    let mailboxes = listed_by(
        "IMAP4rev1 UIDPLUS NAMESPACE",
        &[
            (
                "NAMESPACE",
                "* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))\r\n",
            ),
            (
                "LIST \"\" \"*\"",
                "* LIST () \".\" INBOX\r\n* LIST () \".\" INBOX.a\r\n* LIST () \".\" user.bob\r\n* LIST () \".\" info\r\n",
            ),
        ],
    )
    .await;
    let spaces: Vec<_> = mailboxes.iter().map(|m| (m.text.as_str(), m.space)).collect();
    let (own, others, shared) = (Space::Personal, Space::OtherUsers, Space::Shared);
    assert_eq!(spaces, [("INBOX", own), ("INBOX.a", own), ("info", shared), ("user.bob", others)]);
}

#[tokio::test]
async fn a_subscription_to_a_mailbox_that_is_gone_is_seen_and_is_no_mailbox() {
    const LISTED: &str = "* LIST (\\Subscribed) \"/\" INBOX\r\n* LIST () \"/\" A\r\n";
    let facts = |mailboxes: Vec<MailboxInfo>| {
        mailboxes.into_iter().map(|m| (m.text, m.subscribed, m.selectable)).collect::<Vec<_>>()
    };
    let expected = [("INBOX", true, true), ("A", false, true), ("Gone", true, false)]
        .map(|(n, s, o)| (n.to_owned(), s, o));
    let extended = listed_by(
        "IMAP4rev1 UIDPLUS LIST-EXTENDED",
        &[
            (
                "LIST (SUBSCRIBED)",
                "* LIST (\\Subscribed) \"/\" INBOX\r\n* LIST (\\Subscribed \\NonExistent) \"/\" Gone\r\n",
            ),
            ("LIST", LISTED),
        ],
    );
    assert_eq!(facts(extended.await), expected);
    let plain = listed_by(
        "IMAP4rev1 UIDPLUS",
        &[
            ("LSUB", "* LSUB () \"/\" INBOX\r\n* LSUB () \"/\" Gone\r\n"),
            ("LIST \"\" \"*\"", "* LIST () \"/\" INBOX\r\n* LIST () \"/\" A\r\n"),
        ],
    );
    assert_eq!(facts(plain.await), expected);
    // The option is not known: everything is listed, as if nothing had been asked.
    let deaf = listed_by("IMAP4rev1 UIDPLUS LIST-EXTENDED", &[("LIST", LISTED)]);
    assert_eq!(facts(deaf.await), expected[..2]);
}

#[tokio::test(start_paused = true)]
async fn a_command_on_a_connection_that_has_just_ended_is_told_so() {
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(leaves_after_examine(theirs));
    let mut link = open(&opener(ours)).await.unwrap();
    link.examine(&Bytes::from_static(b"INBOX")).await.unwrap();
    link.requests.closed().await;
    // The caller goes on asking, and keeps a sender for what it asks next.
    let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
    link.send(Command::noop(), "NOOP", Duration::from_secs(1), sink.clone());
    let told = tokio::time::timeout(Duration::from_secs(3600), items.recv()).await;
    assert!(matches!(told, Ok(Some(Item::Unsent { .. }))), "{told:?}");
}

/// Waits for all commands of three listings before it answers any: the second mailbox cannot be opened, and the third is cut
/// by a limit of the server, once.
async fn lists_when_all_are_asked_for(stream: DuplexStream) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"* PREAUTH [CAPABILITY IMAP4rev1] hello\r\n").await.unwrap();
    let (mut line, mut asked, mut is_open) = (String::new(), Vec::new(), false);
    while stream.read_line(&mut line).await.unwrap() > 0 {
        asked.push(std::mem::take(&mut line));
        let last = asked[asked.len() - 1].clone();
        if asked.len() < 9 && asked.iter().any(|said| said.contains("EXAMINE")) {
            continue;
        }
        for said in std::mem::take(&mut asked) {
            let (tag, command) = said.trim_end().split_once(' ').unwrap();
            let answer = match command {
                "EXAMINE B" => {
                    is_open = false;
                    format!("{tag} NO [INUSE] locked\r\n")
                }
                name if name.starts_with("EXAMINE") => {
                    is_open = true;
                    let exists = if name.ends_with('A') { 2 } else { 3 };
                    // What is left to say of the mailbox that was open comes first: it is in no listing of this one.
                    let left = "* 1 FETCH (UID 77 FLAGS (\\Seen))\r\n";
                    format!("{left}* {exists} EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n{tag} OK opened\r\n")
                }
                "UID FETCH 1:* (UID)" if !is_open => format!("{tag} BAD nothing is open\r\n"),
                "UID FETCH 1:* (UID)" if said == last => {
                    format!("* 3 FETCH (UID 9)\r\n* 2 FETCH (UID 5)\r\n{tag} OK [MESSAGELIMIT 2 5] cut\r\n")
                }
                "UID FETCH 1:* (UID)" => {
                    format!("* 1 FETCH (UID 3)\r\n* 2 FETCH (UID 4)\r\n{tag} OK listed\r\n")
                }
                "UID FETCH 1:4 (UID)" => format!("* 1 FETCH (UID 2)\r\n{tag} OK listed\r\n"),
                _ => format!("{tag} OK done\r\n"),
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn mailboxes_are_listed_in_one_round_trip_and_one_that_is_refused_keeps_the_others_from_nothing() {
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(lists_when_all_are_asked_for(theirs));
    let mut link = open(&opener(ours)).await.unwrap();
    let mailboxes = ["A", "B", "C"].map(|name| Bytes::from_static(name.as_bytes()));
    let listings = link.open_and_list_each(&mailboxes).await.unwrap();
    let keys = |at: usize| listings[at].as_ref().map(|l| (l.keys.clone(), l.exists));
    assert_eq!(keys(0).unwrap(), (vec![Key(3), Key(4)], 2));
    let refused = keys(1).unwrap_err();
    assert!(matches!(&refused, EndError::Refused { refusal, .. } if refusal.text == "locked"), "{refused}");
    assert_eq!(keys(2).unwrap(), (vec![Key(2), Key(5), Key(9)], 3), "the last one is gone on with");
    assert_eq!(link.open_epoch(&mailboxes[2]), Some(UidValidity(7)));
    assert_eq!(link.open_epoch(&mailboxes[0]), None);
}

#[tokio::test(start_paused = true)]
async fn after_a_refused_examine_no_mailbox_is_open_also_not_the_one_before_it() {
    const ROWS: &[(&str, &str)] =
        &[("EXAMINE A", "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"), ("EXAMINE B", "NO [NONEXISTENT] gone")];
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(answers(theirs, "IMAP4rev1", ROWS));
    let mut link = open(&opener(ours)).await.unwrap();
    let mailboxes = ["A", "B"].map(|name| Bytes::from_static(name.as_bytes()));
    let opened = link.examine_each(&mailboxes).await.unwrap();
    assert!(opened[0].is_ok() && opened[1].is_err());
    assert_eq!(link.open_epoch(&mailboxes[0]), None);
}

/// Tells the quota in the middle of its listing, as a server may that has no room to write.
async fn answers_the_later_command_first(stream: DuplexStream) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"* PREAUTH [CAPABILITY IMAP4rev1 QUOTA LIST-EXTENDED] hello\r\n").await.unwrap();
    let (mut line, mut listing) = (String::new(), None);
    while stream.read_line(&mut line).await.unwrap() > 0 {
        let (tag, command) = line.trim_end().split_once(' ').unwrap();
        let answer = if command.starts_with("LIST") && command.contains('*') {
            listing = Some(tag.to_owned());
            "* LIST () \"/\" A\r\n".to_owned()
        } else if command.starts_with("GETQUOTAROOT") {
            let quota = "* QUOTAROOT INBOX \"\"\r\n* QUOTA \"\" (STORAGE 1 9)\r\n";
            let rest = listing.take().map(|list| format!("* LIST () \"/\" B\r\n{list} OK listed\r\n"));
            format!("{quota}{tag} OK told\r\n{}", rest.unwrap_or_default())
        } else {
            format!("{tag} OK done\r\n")
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        line.clear();
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_complete_where_a_later_command_is_answered_in_its_middle() {
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(answers_the_later_command_first(theirs));
    let mut link = open(&opener(ours)).await.unwrap();
    let names: Vec<String> = link.list_mailboxes(false).await.unwrap().into_iter().map(|m| m.text).collect();
    assert_eq!(names, ["A", "B"]);
    assert_eq!(link.room().await.unwrap().and_then(|room| room.limit_octets), Some(9 * 1024));
}
