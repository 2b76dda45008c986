//! Real servers whose stores stumble over messages, or keep them in their own way.

use crate::on_disk::{file_of, victim};
use crate::peers::{Move, cyrus_with, dovecot, filled, image, report, small};
use mailhaul_engine::journal::State;
use mailhaul_engine::report::DAMAGED;
use mailhaul_testkit::account::Account;
use mailhaul_testkit::image::{Content, Flags, MailboxPath};
use mailhaul_testkit::servers::{CyrusOptions, Dovecot, DovecotOptions, MailFormat};
use mailhaul_testkit::wire::Outgoing;
use std::collections::{BTreeMap, BTreeSet};

/// Stores these messages in the INBOX.
fn store(account: &Account, letters: &[&[u8]]) {
    let flags = Flags::default();
    let outgoing = |octets| Outgoing { octets, flags: &flags, internal_date: None };
    let messages: Vec<Outgoing<'_>> = letters.iter().copied().map(outgoing).collect();
    tokio::task::block_in_place(|| account.login().unwrap().append("INBOX", &messages).unwrap());
}

/// Says another size in the name of a message's file (`S=`), as a restored backup may. Dovecot believes it, and ends the
/// connection when the octets do not fit.
fn lie_about_the_size(server: &Dovecot, account: &Account, path: &MailboxPath, uid: u32) {
    let file = file_of(server, account, path, uid);
    let name = file.file_name().unwrap().to_str().unwrap();
    let (before, size) = name.split_once(",S=").unwrap();
    let rest = size.trim_start_matches(|c: char| c.is_ascii_digit());
    std::fs::rename(&file, file.with_file_name(format!("{before},S=17{rest}"))).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_a_wrong_size_in_its_file_name_keeps_no_other_message_from_moving() {
    let maildir = DovecotOptions { format: MailFormat::Maildir, ..Default::default() };
    let (Some(a), Some(b)) = (dovecot(&maildir), dovecot(&DovecotOptions::default())) else { return };
    let (from, to) = (a.account("ann").unwrap(), b.account("ann").unwrap());
    let messages = filled(&from, small(52)).await;
    let (path, message) = victim(&image(&from).await);
    tokio::task::block_in_place(|| lie_about_the_size(&a, &from, &path, message.uid));
    let journey = Move::new((a.imap(), &from), (b.imap(), &to));
    journey.run().await.unwrap();
    assert!(a.log().contains("Cached message size smaller than expected"), "the server stumbled");
    let report = report(journey.folder.path()).await;
    // Under another name it is another message for the server, with a UID of its own.
    let told: Vec<_> =
        report.exceptions.shown.iter().map(|e| (e.kind.as_str(), e.mailbox.as_str())).collect();
    assert_eq!(told.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), ["unreadable"]);
    assert_eq!(MailboxPath::from(told[0].1), path);
    let expected = [(State::Verified, messages - 1), (State::Exception, 1)];
    assert_eq!(journey.states().await, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_mbox_that_takes_status_headers_for_its_own_is_graded_by_what_the_messages_say() {
    let mbox = DovecotOptions { format: MailFormat::Mbox, ..Default::default() };
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), dovecot(&mbox)) else { return };
    let (from, to) = (a.account("ann").unwrap(), b.account("ann").unwrap());
    let status = "From: a@b.example\r\nStatus: RO\r\nX-Status: A\r\nX-UID: 7\r\nSubject: 1\r\n\r\nbody\r\n";
    let from_line = "From: a@b.example\r\nSubject: 2\r\n\r\nFrom here on\r\n>From there\r\n";
    let odd = "From: a@b.example\r\nSubject: 3\r\n\r\none\r\r\ntwo\r\nno newline at the end";
    tokio::task::block_in_place(|| {
        let flags = Flags::default();
        let outgoing =
            |letter: &'static str| Outgoing { octets: letter.as_bytes(), flags: &flags, internal_date: None };
        from.login().unwrap().append("INBOX", &[status, from_line, odd].map(outgoing)).unwrap();
    });
    let journey = Move::new((a.imap(), &from), (b.imap(), &to));
    journey.run().await.unwrap();
    assert_eq!(journey.states().await, BTreeMap::from([(State::Verified, 3)]));
    let report = report(journey.folder.path()).await;
    // It keeps its own Status lines in place of those of the first message.
    assert_eq!((report.outcome.semantic, report.exceptions.total, report.exit_code()), (1, 0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cyrus_that_munges_eight_bit_headers_is_found_out_and_the_header_is_named() {
    let munging = CyrusOptions { munge_8bit: true, ..Default::default() };
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), cyrus_with(&munging)) else { return };
    let (from, to) = (a.account("alice").unwrap(), b.account("alice").unwrap());
    let raw = b"From: a@b.example\r\nSubject: Gr\xfc\xdfe\r\n\r\nbody \xfc\r\n";
    let encoded = b"From: a@b.example\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n\r\nbody\r\n";
    store(&from, &[raw, encoded]);
    let journey = Move::new((a.imap(), &from), (b.imap(), &to));
    journey.run().await.unwrap();
    let report = report(journey.folder.path()).await;
    let told: Vec<_> = report.exceptions.shown.iter().map(|e| (e.kind.as_str(), e.uid)).collect();
    assert_eq!((told, report.exit_code()), (vec![(DAMAGED, 1)], 4));
    assert!(report.exceptions.shown[0].text.contains("in subject 2 octets outside ASCII were replaced"));
    assert_eq!(journey.states().await, BTreeMap::from([(State::Verified, 1), (State::Exception, 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_repair_cyrus_gets_headers_encoded_that_it_would_refuse_or_destroy() {
    let latin1 = b"From: J\xf6rg <j@b.example>\r\nSubject: Gr\xfc\xdfe\r\n\r\nbody \xfc\r\n";
    let utf8 = "From: J\u{f6}rg <j@b.example>\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nbody \u{fc}\r\n";
    let plain = b"From: a@b.example\r\nSubject: x\r\n\r\nbody \xfc\r\n";
    for (munge_8bit, reject_8bit) in [(true, false), (false, true)] {
        let options = CyrusOptions { munge_8bit, reject_8bit, ..Default::default() };
        let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), cyrus_with(&options)) else { return };
        let (from, to) = (a.account("alice").unwrap(), b.account("alice").unwrap());
        store(&from, &[latin1, plain, utf8.as_bytes()]);
        let mut journey = Move::new((a.imap(), &from), (b.imap(), &to));
        if munge_8bit {
            // Nothing is refused there: a probe has to tell.
            journey.settings.probe = true;
            journey.with(async |migration| migration.check([None, None]).await.unwrap()).await;
        } else {
            journey.run().await.unwrap();
            let report = report(journey.folder.path()).await;
            let told: Vec<_> = report.exceptions.shown.iter().map(|e| (e.kind.as_str(), e.uid)).collect();
            assert_eq!(told, [("refused", 1), ("refused", 3)]);
            let words = "Message contains non-ASCII characters in headers";
            assert!(
                report.exceptions.shown.iter().all(|e| e.text.contains(words)),
                "{:?}",
                report.exceptions
            );
        }
        (journey.settings.repair, journey.settings.retry_exceptions) = (true, true);
        for _ in 0..2 {
            journey.run().await.unwrap();
            assert_eq!(journey.states().await, BTreeMap::from([(State::Verified, 3)]));
            let report = report(journey.folder.path()).await;
            let said = (report.exit_code(), report.ladder.encoded, report.outcome.semantic);
            assert_eq!(said, (3, 2, 2), "munge {munge_8bit}");
        }
        let expected = [
            b"From: =?unknown-8bit?Q?J=F6rg?= <j@b.example>\r\nSubject: =?unknown-8bit?Q?Gr=FC=DFe?=\r\n\r\nbody \xfc\r\n"
                .to_vec(),
            plain.to_vec(),
            "From: =?utf-8?Q?J=C3=B6rg?= <j@b.example>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\nbody \u{fc}\r\n"
                .into(),
        ];
        let there = image(&to).await;
        let there: BTreeSet<_> = there.messages().map(|(_, message)| message.content.sha256).collect();
        assert_eq!(there, expected.map(|octets| Content::of(octets).sha256).into());
    }
}
