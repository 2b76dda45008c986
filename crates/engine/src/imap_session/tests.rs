use super::*;
use crate::config::{Endpoint, FixedPassword, ImapAccount, LoginOptions, Security, Trust};
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

/// Answers each command by the first row whose beginning it has.
async fn answers(stream: DuplexStream, capabilities: &'static str, rows: &'static [(&str, &str)]) {
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("* PREAUTH [CAPABILITY {capabilities}] hello\r\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap() > 0 {
        let (tag, command) = line.split_once(' ').unwrap();
        let row = rows.iter().find(|(beginning, _)| command.starts_with(beginning));
        let data = row.map_or("", |(_, data)| *data);
        stream.write_all(format!("{data}{tag} OK done\r\n").as_bytes()).await.unwrap();
        line.clear();
    }
}

async fn listed_by(capabilities: &'static str, rows: &'static [(&str, &str)]) -> Vec<MailboxInfo> {
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(answers(theirs, capabilities, rows));
    open(&opener(ours)).await.unwrap().list_mailboxes(true).await.unwrap()
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
    assert!(matches!(told, Ok(Some(Item::Lost(_)))), "{told:?}");
}
