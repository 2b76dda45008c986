//! Real servers come up, take mail, give it back, and go.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use mailhaul_testkit::account::Account;
use mailhaul_testkit::checker::{PathMap, assert_same};
use mailhaul_testkit::corpus::nasty::{Fate, nasty};
use mailhaul_testkit::corpus::{CorpusOptions, generate};
use mailhaul_testkit::image::Flags;
use mailhaul_testkit::servers::{Cyrus, CyrusOptions, Dovecot, DovecotOptions, MailFormat};
use mailhaul_testkit::wire::Outgoing;

fn dovecot(options: &DovecotOptions) -> Option<Dovecot> {
    Dovecot::start(options).unwrap().or_not_run()
}

fn cyrus(options: &CyrusOptions) -> Option<Cyrus> {
    Cyrus::start(options).unwrap().or_not_run()
}

/// What is put in comes out, and a second account of the server stays apart.
fn fills_and_reads_back(account: &Account, other: &Account) {
    let corpus = generate(&CorpusOptions::default());
    account.fill(&corpus).unwrap();
    assert_same(&corpus, &account.image().unwrap(), &PathMap::same(), &[]);
    assert_eq!(other.image().unwrap().message_count(), 0);
}

/// Each nasty message meets the fate the corpus says it meets.
fn nasty_messages_meet(account: &Account, fate_of: impl Fn(&mailhaul_testkit::corpus::nasty::Nasty) -> Fate) {
    let mut wire = account.login().unwrap();
    for nasty in nasty() {
        let mailbox = account.wire_name(&nasty.name.into()).unwrap();
        wire.create(&mailbox).unwrap();
        let message = Outgoing { flags: &Flags::default(), internal_date: None, octets: &nasty.octets };
        let answer = wire.append(&mailbox, &[message]);
        let mut kept = Vec::new();
        wire.fetch_all(&mailbox, true, |fetched| kept.push(fetched.content.octets.unwrap().to_vec()))
            .unwrap();
        let fate = match (answer, kept.as_slice()) {
            (Ok(_), [octets]) if *octets == nasty.octets => Fate::Kept,
            (Ok(_), [octets]) => Fate::Becomes(octets.clone()),
            (Err(error), []) => {
                let text = error.refusal().unwrap_or_else(|| panic!("{}: {error}", nasty.name)).to_owned();
                match fate_of(&nasty) {
                    Fate::Refused(part) if text.contains(part) => Fate::Refused(part),
                    _ => panic!("{}: refused: {text}", nasty.name),
                }
            }
            (answer, kept) => panic!("{}: {answer:?}, then {} messages", nasty.name, kept.len()),
        };
        assert_eq!(fate, fate_of(&nasty), "{}", nasty.name);
    }
}

#[test]
fn dovecot_gives_back_what_it_is_filled_with_in_every_format() {
    for format in [MailFormat::Maildir, MailFormat::Sdbox, MailFormat::Mdbox] {
        let Some(server) = dovecot(&DovecotOptions { format, ..Default::default() }) else { return };
        fills_and_reads_back(&server.account("alice").unwrap(), &server.account("bob").unwrap());
    }
}

#[test]
fn dovecot_with_a_prefix_gives_back_what_it_is_filled_with() {
    let options = DovecotOptions { separator: Some('.'), prefix: "INBOX.".into(), ..Default::default() };
    let Some(server) = dovecot(&options) else { return };
    fills_and_reads_back(&server.account("alice").unwrap(), &server.account("bob").unwrap());
}

#[test]
fn cyrus_gives_back_what_it_is_filled_with() {
    for on in [true, false] {
        let options = CyrusOptions { alt_namespace: on, unix_hierarchy_separator: on, ..Default::default() };
        let Some(server) = cyrus(&options) else { return };
        fills_and_reads_back(&server.account("alice").unwrap(), &server.account("bob").unwrap());
    }
}

#[test]
fn dovecot_does_to_nasty_messages_what_the_corpus_says() {
    for format in [MailFormat::Maildir, MailFormat::Sdbox, MailFormat::Mdbox] {
        let Some(server) = dovecot(&DovecotOptions { format, ..Default::default() }) else { return };
        nasty_messages_meet(&server.account("alice").unwrap(), |nasty| nasty.dovecot.clone());
    }
}

#[test]
fn cyrus_does_to_nasty_messages_what_the_corpus_says() {
    let Some(server) = cyrus(&CyrusOptions::default()) else { return };
    nasty_messages_meet(&server.account("alice").unwrap(), |nasty| nasty.cyrus.clone());
}
