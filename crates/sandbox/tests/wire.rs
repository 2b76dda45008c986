//! The embedded server by its octets alone: what it answers, and that each knob does what it says. Nothing of the
//! engine or its client takes part.
#![allow(clippy::unwrap_used, reason = "test code")]

use mailhaul_sandbox::{LoneLf, Profile, Sandbox, Trigger};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const USER: &str = "ann";
const DATE: &str = "03-Mar-2020 10:11:12 +0100";

/// A connection that sends octets and reads lines.
struct Talk {
    stream: DuplexStream,
    heard: Vec<u8>,
    tag: u32,
}

impl Talk {
    /// Connected, not logged in; the greeting is read.
    async fn greeted(server: &Sandbox) -> (Self, String) {
        let (here, there) = tokio::io::duplex(64 * 1024);
        let server = server.clone();
        tokio::spawn(async move { server.serve(there).await });
        let mut talk = Self { stream: here, heard: Vec::new(), tag: 0 };
        let greeting = talk.line().await.unwrap();
        (talk, greeting)
    }

    async fn logged_in(server: &Sandbox) -> Self {
        let (mut talk, _) = Self::greeted(server).await;
        assert!(talk.ask("LOGIN ann secret").await.ends_with("welcome\r\n"));
        talk
    }

    /// The next line with its end; `None` when the connection is over.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.heard.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.heard.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if self.stream.read_buf(&mut self.heard).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// Sends a command and reads to its answer; all that was said.
    async fn ask(&mut self, command: &str) -> String {
        self.ask_octets(command.as_bytes()).await
    }

    async fn ask_octets(&mut self, command: &[u8]) -> String {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.stream.write_all(&[tag.as_bytes(), command, b"\r\n"].concat()).await.unwrap();
        let mut said = String::new();
        while let Some(line) = self.line().await {
            said += &line;
            if line.starts_with(&tag) || line.starts_with('+') {
                break;
            }
        }
        said
    }
}

fn server(profile: Profile) -> Sandbox {
    let server = Sandbox::new(profile);
    server.add_user(USER, "secret");
    server
}

fn append(messages: &[&str]) -> String {
    let literals: Vec<String> =
        messages.iter().map(|m| format!("(\\Seen) \"{DATE}\" {{{}+}}\r\n{m}", m.len())).collect();
    format!("APPEND INBOX {}", literals.join(" "))
}

#[tokio::test]
async fn each_capability_is_announced_while_its_knob_is_on_and_no_longer() {
    type TurnOff = fn(&mut Profile);
    let knobs: [(&str, TurnOff); 11] = [
        ("LITERAL+", |p| p.literal_plus = false),
        ("MULTIAPPEND", |p| p.multiappend = false),
        ("UIDPLUS", |p| p.uidplus = false),
        ("SPECIAL-USE", |p| p.special_use = false),
        ("NAMESPACE", |p| p.namespace = false),
        ("STATUS=SIZE", |p| p.status_size = false),
        ("QUOTA", |p| p.quota = false),
        ("LIST-EXTENDED", |p| p.list_extended = false),
        ("SASL-IR", |p| p.sasl_ir = false),
        ("ID", |p| p.id = false),
        ("COMPRESS=DEFLATE", |p| p.compress = false),
    ];
    let announces = |greeting: &str, name: &str| greeting.replace(']', " ").split(' ').any(|w| w == name);
    for (name, turn_off) in knobs {
        let server = server(Profile::default());
        assert!(announces(&Talk::greeted(&server).await.1, name), "{name}");
        server.set(turn_off);
        assert!(!announces(&Talk::greeted(&server).await.1, name), "{name}");
    }
}

#[tokio::test]
async fn nothing_is_served_before_the_login_and_a_wrong_password_is_counted() {
    let server = server(Profile::default());
    let (mut talk, _) = Talk::greeted(&server).await;
    assert!(talk.ask("SELECT INBOX").await.contains("BAD"));
    assert!(talk.ask("LOGIN ann wrong").await.contains("NO [AUTHENTICATIONFAILED]"));
    // AUTHENTICATE PLAIN with its message in the command: NUL ann NUL secret.
    assert!(talk.ask("AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=").await.contains("OK"));
    let counters = server.counters();
    assert_eq!((counters.logins, counters.refused_logins), (1, 1));
}

#[tokio::test]
async fn a_batch_is_stored_whole_with_its_uids_in_order_or_not_at_all() {
    let server = server(Profile { refuse_bad_header: true, ..Profile::default() });
    let mut talk = Talk::logged_in(&server).await;
    let good = "Subject: x\r\n\r\nbody\r\n";
    let stored = talk.ask(&append(&[good, good, good])).await;
    assert!(stored.contains("OK [APPENDUID") && stored.contains(" 1:3]"), "{stored}");
    let refused = talk.ask(&append(&[good, "no colon\r\n\r\n"])).await;
    assert!(refused.contains("NO Message contains invalid header"), "{refused}");
    assert_eq!(server.snapshot(USER)[0].messages.len(), 3);
    server.set(|p| (p.multiappend, p.uidplus) = (false, false));
    assert!(talk.ask(&append(&[good, good])).await.contains("BAD"));
    let plain = talk.ask(&append(&[good])).await;
    assert!(plain.contains("OK stored") && !plain.contains("APPENDUID"), "{plain}");
}

#[tokio::test]
async fn without_literal_plus_the_server_asks_for_each_literal() {
    let server = server(Profile { literal_plus: false, ..Profile::default() });
    let mut talk = Talk::logged_in(&server).await;
    assert!(talk.ask("APPEND INBOX {12}").await.starts_with('+'));
    talk.stream.write_all(b"Subject: x\r\n\r\n").await.unwrap();
    assert!(talk.line().await.unwrap().contains("OK [APPENDUID"));
    // An octet of mail must never be taken for a command: the connection ends.
    assert_eq!(talk.ask("APPEND INBOX {12+}\r\nSubject: x\r\n").await, "");
}

#[tokio::test]
async fn limits_and_quota_are_announced_and_kept() {
    let server = server(Profile { quota_octets: Some(2048), append_limit: Some(1500), ..Profile::default() });
    let (_, greeting) = Talk::greeted(&server).await;
    assert!(greeting.contains("APPENDLIMIT=1500"), "{greeting}");
    let mut talk = Talk::logged_in(&server).await;
    let message = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(1000));
    assert!(talk.ask(&append(&[&message])).await.contains("OK"));
    assert!(talk.ask("GETQUOTAROOT INBOX").await.contains("* QUOTA \"\" (STORAGE 0 2)"));
    assert!(talk.ask(&append(&[&message, &message])).await.contains("NO [OVERQUOTA]"));
    assert!(talk.ask(&append(&[&message.repeat(2)])).await.contains("NO [TOOBIG]"));
}

#[tokio::test]
async fn line_ends_are_kept_changed_or_refused_as_the_knob_says() {
    let bare = "Subject: x\n\nbody\n";
    for (knob, stored) in [
        (LoneLf::Keep, Some(bare.to_owned())),
        (LoneLf::ToCrlf, Some(bare.replace('\n', "\r\n"))),
        (LoneLf::Refuse, None),
    ] {
        let server = server(Profile { lone_lf: knob, ..Profile::default() });
        let mut talk = Talk::logged_in(&server).await;
        assert_eq!(talk.ask(&append(&[bare])).await.contains("OK"), stored.is_some(), "{knob:?}");
        let held = server.snapshot(USER)[0].messages.first().map(|m| m.octets.clone());
        assert_eq!(held.map(|o| String::from_utf8(o.to_vec()).unwrap()), stored);
    }
}

#[tokio::test]
async fn examine_changes_nothing_and_fetch_gives_what_was_asked_for() {
    let server = server(Profile::default());
    server.deliver(USER, "INBOX", "Subject: x\r\n\r\nbody\r\n", "\\Flagged", DATE).unwrap();
    let mut talk = Talk::logged_in(&server).await;
    let opened = talk.ask("EXAMINE INBOX").await;
    assert!(
        opened.contains("* 1 EXISTS") && opened.contains("[UIDNEXT 2]") && opened.contains("[READ-ONLY]")
    );
    let fetched = talk.ask("UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])").await;
    assert!(fetched.contains(&format!(
        "* 1 FETCH (UID 1 FLAGS (\\Flagged) INTERNALDATE \"{DATE}\" RFC822.SIZE 20 BODY[] {{20}}\r\nSubject: x\r\n\r\nbody\r\n)"
    )), "{fetched}");
    talk.ask("UID FETCH 1 (BODY[])").await;
    assert!(talk.ask("UID STORE 1 +FLAGS (\\Deleted)").await.contains("NO [READ-ONLY]"));
    assert_eq!(server.snapshot(USER)[0].messages[0].flags, ["\\Flagged"]);
    talk.ask("SELECT INBOX").await;
    talk.ask("UID STORE 1 +FLAGS (\\Deleted)").await;
    assert!(talk.ask("UID EXPUNGE 2").await.contains("OK"));
    assert_eq!(server.snapshot(USER)[0].messages.len(), 1, "UID EXPUNGE removes what it names alone");
    assert!(talk.ask("UID EXPUNGE 1").await.contains("* 1 EXPUNGE"));
}

#[tokio::test]
async fn mailboxes_are_made_with_roles_listed_with_subscriptions_and_counted() {
    let server = server(Profile { prefix: "INBOX.", delimiter: b'.', ..Profile::default() });
    let mut talk = Talk::logged_in(&server).await;
    assert!(talk.ask("NAMESPACE").await.contains("((\"INBOX.\" \".\")) NIL NIL"));
    assert!(talk.ask("CREATE Sent").await.contains("NO [CANNOT]"), "outside the namespace");
    assert!(talk.ask("CREATE INBOX.Sent (USE (\\Sent))").await.contains("OK"));
    assert!(talk.ask("CREATE INBOX.Sent").await.contains("NO [ALREADYEXISTS]"));
    assert!(talk.ask("SUBSCRIBE INBOX.Sent").await.contains("OK"));
    let listed = talk.ask("LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE)").await;
    assert!(listed.contains("* LIST (\\Sent \\Subscribed) \".\" \"INBOX.Sent\""), "{listed}");
    assert!(talk.ask("LSUB \"\" \"*\"").await.contains("INBOX.Sent"));
    assert!(talk.ask("LIST \"\" \"\"").await.contains("\".\" \"\""));
    let status = talk.ask("STATUS INBOX.Sent (MESSAGES UIDNEXT UIDVALIDITY SIZE)").await;
    assert!(status.contains("(MESSAGES 0 UIDNEXT 1 UIDVALIDITY"), "{status}");
    assert!(talk.ask("STATUS INBOX.None (MESSAGES)").await.contains("NO [NONEXISTENT]"));
    server.set(|p| p.special_use = false);
    assert!(!talk.ask("LIST \"\" \"*\"").await.contains("\\Sent"));
}

#[tokio::test]
async fn after_compress_all_octets_are_deflated_in_both_directions_and_it_is_served_once() {
    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
    let server = server(Profile { literal_plus: false, ..Profile::default() });
    let (mut talk, _) = Talk::greeted(&server).await;
    assert!(talk.ask("COMPRESS DEFLATE").await.contains("NO log in first"));
    assert!(talk.ask("LOGIN ann secret").await.contains("OK"));
    assert!(talk.ask("COMPRESS LZ4").await.contains("BAD only DEFLATE"));
    assert!(talk.ask("COMPRESS DEFLATE").await.starts_with("t4 OK"));
    let (mut deflater, mut inflater) = (Compress::new(Compression::new(1), false), Decompress::new(false));
    for (said, answer) in [
        ("c1 NOOP\r\n", "c1 OK done\r\n"),
        ("c2 COMPRESS DEFLATE\r\n", "c2 NO [COMPRESSIONACTIVE] once is enough\r\n"),
        ("c3 APPEND INBOX {12}\r\n", "+ go ahead\r\n"),
        ("Subject: x\r\n\r\n", "c3 OK [APPENDUID 1001 1] stored\r\n"),
        ("c4 LOGOUT\r\n", "* BYE see you\r\nc4 OK done\r\n"),
    ] {
        let mut wire = Vec::with_capacity(1024);
        deflater.compress_vec(said.as_bytes(), &mut wire, FlushCompress::Sync).unwrap();
        talk.stream.write_all(&wire).await.unwrap();
        let mut heard = Vec::with_capacity(4096);
        let lines = |octets: &[u8]| octets.iter().filter(|o| **o == b'\n').count();
        while lines(&heard) < lines(answer.as_bytes()) {
            let octet = talk.stream.read_u8().await.unwrap();
            inflater.decompress_vec(&[octet], &mut heard, FlushDecompress::Sync).unwrap();
        }
        assert_eq!(String::from_utf8(heard).unwrap(), answer);
    }
    server.set(|p| p.compress = false);
    let mut talk = Talk::logged_in(&server).await;
    assert!(talk.ask("COMPRESS DEFLATE").await.contains("BAD unknown command"));
}

#[tokio::test]
async fn what_is_no_command_is_bad_and_the_connection_goes_on() {
    let server = server(Profile::default());
    let mut talk = Talk::logged_in(&server).await;
    assert!(talk.ask("FROBNICATE").await.contains("BAD"));
    assert!(talk.ask("FETCH 1 (FLAGS)").await.contains("BAD no mailbox is open"));
    assert!(talk.ask("SELECT INBOX").await.contains("OK"));
    assert!(talk.ask("UID FETCH 1:x (FLAGS)").await.contains("BAD no set"));
    assert!(talk.ask("NOOP").await.contains("OK"));
    assert!(talk.ask("LOGOUT").await.starts_with("* BYE"));
}

/// Gmail as it is played (docs/gmail.md), by its octets.
fn gmail(change: impl FnOnce(&mut Profile)) -> Sandbox {
    let mut profile = Profile { literal_plus: true, ..Profile::gmail() };
    change(&mut profile);
    let server = server(profile);
    server.create(USER, "Work", None, false);
    server.deliver(USER, "INBOX", "Subject: one\r\n\r\n1\r\n", "\\Seen", DATE);
    server.deliver(USER, "[Gmail]/All Mail", "Subject: two\r\n\r\n2\r\n", "", DATE);
    server
}

/// The number after an item of a FETCH.
fn after<'a>(said: &'a str, item: &str) -> &'a str {
    said.split_once(item).unwrap().1.trim_start().split([' ', ')']).next().unwrap()
}

#[tokio::test]
async fn a_message_of_gmail_is_one_under_each_of_its_labels() {
    let server = gmail(|_| {});
    let mut talk = Talk::logged_in(&server).await;
    let items = "(UID X-GM-MSGID X-GM-THRID X-GM-LABELS FLAGS)";
    talk.ask("SELECT INBOX").await;
    assert!(talk.ask("UID STORE 1 +X-GM-LABELS (Work \\Starred \"Two Words\")").await.contains("OK"));
    let inbox = talk.ask(&format!("UID FETCH 1:* {items}")).await;
    let number = after(&inbox, "X-GM-MSGID").to_owned();
    assert!(number.parse::<u64>().unwrap() > 1 << 53, "{inbox}");
    // The label of the mailbox that is open is left out.
    assert!(inbox.contains("X-GM-LABELS (\"Two Words\" Work \"\\\\Starred\")"), "{inbox}");
    talk.ask("SELECT Work").await;
    let work = talk.ask(&format!("UID FETCH 1:* {items}")).await;
    assert_eq!(after(&work, "X-GM-MSGID"), number);
    assert!(work.contains("\"\\\\Inbox\""), "{work}");
    // A flag is the message's, wherever it is set.
    talk.ask("UID STORE 1 +FLAGS (\\Answered)").await;
    talk.ask("SELECT \"[Gmail]/All Mail\"").await;
    let all = talk.ask(&format!("UID FETCH 1:* {items}")).await;
    assert!(all.contains("* 1 FETCH") && all.contains("* 2 FETCH") && all.contains("\\Answered"), "{all}");
    // An expunge takes the label, and only that.
    talk.ask("SELECT Work").await;
    talk.ask("UID STORE 1 +FLAGS (\\Deleted)").await;
    talk.ask("UID EXPUNGE 1").await;
    assert!(talk.ask("STATUS Work (MESSAGES)").await.contains("MESSAGES 0"));
    assert!(talk.ask("STATUS INBOX (MESSAGES)").await.contains("MESSAGES 1"));
    assert!(talk.ask("STATUS \"[Gmail]/All Mail\" (MESSAGES)").await.contains("MESSAGES 2"));
    talk.ask("SELECT \"[Gmail]/All Mail\"").await;
    talk.ask("UID STORE 1:* +FLAGS (\\Deleted)").await;
    talk.ask("UID EXPUNGE 1:*").await;
    assert!(
        talk.ask("STATUS \"[Gmail]/All Mail\" (MESSAGES)").await.contains("MESSAGES 2"),
        "not from there"
    );
}

#[tokio::test]
async fn gmail_keeps_an_equal_message_once_and_takes_it_out_of_the_trash() {
    let server = gmail(|p| p.multiappend = false);
    let mut talk = Talk::logged_in(&server).await;
    let appended = |mailbox: &str| {
        let octets = "Subject: two\r\n\r\n2\r\n";
        format!("APPEND {mailbox} (\\Seen) \"01-Jan-2001 00:00:00 +0000\" {{{}+}}\r\n{octets}", octets.len())
    };
    for (mailbox, all) in [("Work", 2), ("\"[Gmail]/Trash\"", 1), ("Work", 2), ("Work", 2)] {
        assert!(talk.ask(&appended(mailbox)).await.contains("APPENDUID"), "{mailbox}");
        let status = talk.ask("STATUS \"[Gmail]/All Mail\" (MESSAGES)").await;
        assert!(status.contains(&format!("MESSAGES {all}")), "{mailbox}: {status}");
    }
    assert!(talk.ask("STATUS \"[Gmail]/Trash\" (MESSAGES)").await.contains("MESSAGES 0"));
    talk.ask("EXAMINE Work").await;
    let kept = talk.ask("FETCH 1:* (FLAGS INTERNALDATE)").await;
    assert!(
        kept.contains(DATE) && !kept.contains("Seen") && !kept.contains("* 2"),
        "the first one's: {kept}"
    );
}

#[tokio::test]
async fn gmail_hides_what_is_not_shown_and_keeps_its_own_names_to_itself() {
    let server = gmail(|p| p.hidden.push("Work".into()));
    let mut talk = Talk::logged_in(&server).await;
    let list = talk.ask("LIST \"\" \"*\"").await;
    assert!(
        list.contains("(\\HasChildren \\Noselect) \"/\" \"[Gmail]\"") && list.contains("\\All"),
        "{list}"
    );
    assert!(!list.contains("Work"), "{list}");
    for command in ["EXAMINE Work", "STATUS Work (MESSAGES)"] {
        assert!(talk.ask(command).await.contains("NO [NONEXISTENT]"), "{command}");
    }
    for name in ["\"[Gmail]/Mine\"", "\"[Google Mail]\"", "\"a  b\"", "\"a/ b\"", "\"x^y\""] {
        assert!(talk.ask(&format!("CREATE {name}")).await.contains("NO [CANNOT]"), "{name}");
    }
    let plain = self::server(Profile::default());
    plain.deliver(USER, "INBOX", "x\r\n", "", DATE);
    let mut talk = Talk::logged_in(&plain).await;
    talk.ask("EXAMINE INBOX").await;
    assert!(talk.ask("FETCH 1 (X-GM-MSGID)").await.contains("BAD"), "no other server has numbers");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_let_go_of_also_where_the_faults_are_forgotten() {
    for let_go in [Sandbox::release as fn(&Sandbox), Sandbox::calm] {
        let server = server(Profile::default());
        let mut talk = Talk::logged_in(&server).await;
        server.hold(Trigger::Verb("NOOP", 1));
        let held = async {
            let mut said = std::pin::pin!(talk.ask("NOOP"));
            while server.struck().is_empty() {
                tokio::select! {
                    biased;
                    said = &mut said => return said,
                    () = tokio::task::yield_now() => {}
                }
            }
            let_go(&server);
            said.await
        };
        let said = tokio::time::timeout(Duration::from_secs(1), held).await.expect("it is answered");
        assert!(said.ends_with("OK done\r\n"), "{said}");
    }
}
