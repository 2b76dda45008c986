//! Whole migrations between real servers, checked by a program that shares no code with ours.

use mailhaul_engine::config::{Endpoint, FixedPassword, ImapAccount, Security, Settings, Trust};
use mailhaul_engine::end::{Source, SourceSession};
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Journal, State};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::run::Migration;
use mailhaul_testkit::servers::{Dovecot, DovecotOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

fn opener(port: u16, security: Security, ca: &std::path::Path, user: &str) -> Opener {
    Opener {
        account: ImapAccount {
            endpoint: Endpoint { host: "127.0.0.1".into(), port, security },
            user: user.into(),
            auth_user: None,
            trust: Trust { ca_files: vec![ca.to_owned()], ..Trust::default() },
            credentials: Arc::new(FixedPassword::new("pass")),
        },
        limits: Limits::default(),
        dialer: Dialer::Tcp,
        without: Vec::new(),
    }
}

#[tokio::test]
async fn dovecot_to_dovecot() {
    let options = DovecotOptions { separator: '.', prefix: "INBOX.", ..DovecotOptions::default() };
    let (source, target) = match (Dovecot::start(&options), Dovecot::start(&DovecotOptions::default())) {
        (Ok(source), Ok(target)) => (source, target),
        (Err(why), _) | (_, Err(why)) => {
            eprintln!("not run: {why}");
            return;
        }
    };
    let python = r#"
import imaplib, sys
c = imaplib.IMAP4("127.0.0.1", int(sys.argv[1])); c.login("ann", "pass")
for box in ["INBOX", "INBOX.Work", "INBOX.Work.2020", "INBOX.Entw&APw-rfe", "INBOX.Empty"]:
    if box != "INBOX": print(c.create(box), c.subscribe(box))
    if box == "INBOX.Empty": continue
    for n in range(40):
        body = ("From: a@b.example\r\nSubject: %d in %s\r\n\r\n" % (n, box)) + ("line %d\r\n" % n) * (n * 20)
        r = c.append(box, "(\\Seen $Work)" if n % 2 else "()", '"%02d-Mar-20%02d 10:11:12 +0200"' % (n % 28 + 1, n % 15 + 5), body.encode())
        assert r[0] == "OK", r
"#;
    let filled = std::process::Command::new("python3").arg("-c").arg(python).arg(source.port.to_string()).output().unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    let folder = tempfile::tempdir().unwrap();
    let pair = AccountPair { source: "a".into(), target: "b".into() };
    let journal = SqliteJournal::open(folder.path().join("j.sqlite"), &pair, "test").unwrap();
    let from = ImapSource(opener(source.tls_port, Security::Tls, &source.ca, "ann"));
    let to = ImapTarget(opener(target.port, Security::StartTls, &target.ca, "ann"));
    let mut session = from.connect().await.unwrap();
    println!("{:?}", session.mailboxes().await.unwrap());
    let migration = Migration::new(from, to, journal.clone(), Settings::new(folder.path()));
    let began = std::time::Instant::now();
    let end = migration.migrate().await.unwrap();
    println!("{:?} {end:?}", began.elapsed());
    let mut states = BTreeMap::new();
    for count in journal.counts().await.unwrap() {
        *states.entry(count.state).or_insert(0) += count.items;
    }
    assert_eq!(states, BTreeMap::from([(State::Verified, 160)]));
}
