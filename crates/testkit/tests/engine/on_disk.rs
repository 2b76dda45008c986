//! What happens to the target's disk after the migration.

use crate::peers::{Move, dovecot, filled, image, report, small};
use mailhaul_engine::config::Level;
use mailhaul_engine::journal::State;
use mailhaul_engine::report::DAMAGED;
use mailhaul_engine::run::SourceLook;
use mailhaul_testkit::account::Account;
use mailhaul_testkit::image::{AccountImage, MailboxPath, MessageImage};
use mailhaul_testkit::servers::{Dovecot, DovecotOptions, MailFormat};
use std::path::PathBuf;

/// The file of a stored message.
pub fn file_of(server: &Dovecot, account: &Account, path: &MailboxPath, uid: u32) -> PathBuf {
    let name = account.wire_name(path).unwrap();
    let mut wire = account.login().unwrap();
    wire.examine(&name).unwrap();
    let answer = wire.raw(&format!("UID FETCH {uid} (X-GUID)")).unwrap().concat();
    let guid = answer.split("X-GUID ").nth(1).unwrap().trim_end_matches(')').split(' ').next().unwrap();
    server.maildir_file(guid).unwrap()
}

/// Changes one octet of a stored message into another one, in its file: the size stays.
fn flip_one_octet(server: &Dovecot, account: &Account, path: &MailboxPath, uid: u32) {
    let file = file_of(server, account, path, uid);
    let mut octets = std::fs::read(&file).unwrap();
    let at = octets.iter().rposition(u8::is_ascii_alphanumeric).unwrap();
    octets[at] ^= 1;
    std::fs::write(&file, octets).unwrap();
}

/// A message in the middle of a mailbox beside INBOX that has no twin in it.
pub fn victim(image: &AccountImage) -> (MailboxPath, MessageImage) {
    let mailbox = image.mailboxes.iter().find(|m| !m.path.is_inbox() && m.messages.len() > 10).unwrap();
    let alone = |message: &&MessageImage| {
        mailbox.messages.iter().filter(|other| other.content == message.content).count() == 1
    };
    (mailbox.path.clone(), mailbox.messages.iter().skip(5).find(alone).unwrap().clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_octet_flipped_on_the_targets_disk_is_found_and_named() {
    let maildir = DovecotOptions { format: MailFormat::Maildir, ..Default::default() };
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), dovecot(&maildir)) else { return };
    let (from, to) = (a.account("ann").unwrap(), b.account("ann").unwrap());
    let messages = filled(&from, small(51)).await;
    let journey = Move::new((a.imap(), &from), (b.imap(), &to));
    journey.run().await.unwrap();
    assert_eq!(report(journey.folder.path()).await.exit_code(), 0);

    let (path, message) = victim(&image(&to).await);
    tokio::task::block_in_place(|| flip_one_octet(&b, &to, &path, message.uid));
    let there = image(&to).await;
    let flipped = there.mailbox(&path).unwrap().messages.iter().find(|m| m.uid == message.uid).unwrap();
    assert_eq!(flipped.content.size_octets, message.content.size_octets);
    assert_ne!(flipped.content, message.content, "the server shows what is on its disk");

    // Size, flags and date are what they were: only octets tell.
    journey.with(async |m| m.verify(Level::Facts, SourceLook::Nothing).await.unwrap()).await;
    assert_eq!(report(journey.folder.path()).await.exit_code(), 0);
    let before = image(&from).await;
    let at_source = &before.mailbox(&path).unwrap().messages;
    let source_uid = at_source.iter().find(|m| m.content == message.content).unwrap().uid;
    // A later look finds it as well as the first.
    for _ in 0..2 {
        journey.with(async |m| m.verify(Level::Octets, SourceLook::Nothing).await.unwrap()).await;
        let report = report(journey.folder.path()).await;
        assert_eq!((report.exit_code(), report.exceptions.total), (4, 1));
        let told = &report.exceptions.shown[0];
        assert_eq!((told.kind.as_str(), told.uid), (DAMAGED, i64::from(source_uid)));
        assert_eq!(MailboxPath::from(told.mailbox.as_str()), path);
        let states = journey.states().await;
        assert_eq!(states.get(&State::Verified), Some(&(messages - 1)));
        assert_eq!(states.values().sum::<u64>(), messages);
    }
}
