//! The probe against real servers: what it derives is what was measured by hand (integrity.md 1.1 and 1.2), and the account is
//! afterwards as it was before.

use crate::peers::{Move, Side, cyrus_with, dovecot, filled, image, small};
use mailhaul_engine::profile::{Got, Multi, Profile, Treatment};
use mailhaul_testkit::checker::{PathMap, assert_same};
use mailhaul_testkit::servers::{CyrusOptions, DovecotOptions, MailFormat};

/// The profile of an account, which is left as it was.
async fn probed(at: Side<'_>) -> Profile {
    let before = image(at.1).await;
    let mut journey = Move::new(at, at);
    journey.settings.probe = true;
    let began = std::time::Instant::now();
    let checked = journey.with(async |migration| migration.check([None, None]).await.unwrap()).await;
    println!("check --probe took {:?}", began.elapsed());
    let probed = checked.probed.as_ref().unwrap();
    assert!(probed.unknown.is_none() && probed.left.is_empty(), "{probed:?}");
    assert_same(&before, &image(at.1).await, &PathMap::same(), &[]);
    let kept = checked.moving.unwrap().survey.target.profile.unwrap();
    assert!(kept.fits);
    for line in kept.profile.lines() {
        println!("  {line}");
    }
    kept.profile
}

fn words(treatment: &Treatment) -> String {
    treatment.words().unwrap_or_else(|| format!("{treatment:?}"))
}

#[track_caller]
fn says(treatment: &Treatment, part: &str) {
    assert!(words(treatment).contains(part), "{part:?} is not in {:?}", words(treatment));
}

fn of<'a>(profile: &'a Profile, sent: &str) -> &'a Got {
    let mut all = profile.dates.iter().chain(&profile.flags);
    &all.find(|value| value.sent.contains(sent)).unwrap().got
}

/// What all stores of Dovecot but mbox do.
fn is_dovecot(profile: &Profile) {
    says(&profile.newline, "other line ends");
    says(&profile.nul, "NUL replaced by 0x80");
    says(&profile.empty, "refused (NO");
    let kept = [
        &profile.plain,
        &profile.trailing,
        &profile.hdr8bit,
        &profile.body8bit,
        &profile.long_lines,
        &profile.from_lines,
        &profile.bad_headers,
        &profile.no_header,
        &profile.header_only,
        &profile.storage_fields,
        &profile.other_fields,
    ];
    assert!(kept.iter().all(|t| **t == Treatment::Kept), "{profile:#?}");
    common(profile);
    assert_eq!(*of(profile, "1970 00"), Got::Same);
    for lost in ["1969", "1900", "2040"] {
        assert!(matches!(of(profile, lost), Got::Other { .. }), "{lost}");
    }
    let ahead = &profile.ahead;
    assert!(matches!(ahead, Some(Got::Other { .. })), "a date in the future is none: {ahead:?}");
    for refused in ["a]b", "LongKeyword"] {
        let got = of(profile, refused);
        assert!(matches!(got, Got::Refused { .. }), "{refused}: {got:?}");
    }
    assert_eq!((&profile.many_keywords, profile.keywords_max), (&Some(Got::Same), None));
    assert!(profile.names.refuses_first.contains('~'), "{:?}", profile.names);
    assert_eq!(profile.names.component_octets_max, None, "240 octets at the top are taken");
}

fn common(profile: &Profile) {
    assert_eq!(
        (profile.size_exact, profile.dedupes, profile.uids_told_right),
        (Some(true), Some(false), Some(true))
    );
    assert_eq!(profile.multiappend, Multi::Works { in_order: true, atomic: Some(true) });
    assert_eq!(profile.names.case_sensitive, Some(true));
    for same in ["2020", "1999", "Feb-2024", "\\Seen", "\\Deleted", "Work", "$Forwarded"] {
        assert_eq!(*of(profile, same), Got::Same, "{same}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_profile_of_dovecot_is_the_one_that_was_measured() {
    for format in [MailFormat::Maildir, MailFormat::Mdbox] {
        let Some(server) = dovecot(&DovecotOptions { format, ..Default::default() }) else { return };
        let account = server.account("ann").unwrap();
        filled(&account, small(7)).await;
        is_dovecot(&probed((server.imap(), &account)).await);
    }
    let dotted = DovecotOptions { separator: Some('.'), prefix: "INBOX.".into(), ..Default::default() };
    let Some(server) = dovecot(&dotted) else { return };
    let account = server.account("ann").unwrap();
    let profile = probed((server.imap(), &account)).await;
    is_dovecot(&profile);
    assert_eq!(profile.names.below_inbox, None, "all mailboxes lie there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_profile_of_dovecot_with_mbox_is_the_one_that_was_measured() {
    let options = DovecotOptions { format: MailFormat::Mbox, ..Default::default() };
    let Some(server) = dovecot(&options) else { return };
    let account = server.account("ann").unwrap();
    let profile = probed((server.imap(), &account)).await;
    says(&profile.newline, "other line ends");
    says(&profile.trailing, "get a line end at the end");
    says(&profile.storage_fields, "status removed");
    says(&profile.from_lines, "a line that is no header field removed");
    assert_eq!(profile.plain, Treatment::Kept);
    assert_eq!(profile.names.below_mail, Some(false), "a mailbox is a file");
    let dropped: Vec<&str> = profile.drops_headers.iter().map(String::as_str).collect();
    for field in ["status", "x-status", "x-keywords", "x-uid", "content-length"] {
        assert!(dropped.contains(&field), "{dropped:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_profile_of_cyrus_is_the_one_that_was_measured_with_munge8bit_and_without() {
    for munge_8bit in [true, false] {
        let options = CyrusOptions { munge_8bit, unix_hierarchy_separator: munge_8bit, ..Default::default() };
        let Some(server) = cyrus_with(&options) else { return };
        let account = server.account("alice").unwrap();
        filled(&account, small(8)).await;
        let profile = probed((server.imap(), &account)).await;
        match munge_8bit {
            true => says(&profile.hdr8bit, "8-bit octets replaced by X"),
            false => assert_eq!(profile.hdr8bit, Treatment::Kept),
        }
        says(&profile.newline, "bare newlines");
        says(&profile.nul, "NUL characters");
        says(&profile.bad_headers, "invalid header");
        says(&profile.empty, "Zero-length");
        for kept in [&profile.plain, &profile.trailing, &profile.carriage_return, &profile.storage_fields] {
            assert_eq!(*kept, Treatment::Kept, "{profile:#?}");
        }
        common(&profile);
        assert_eq!(profile.ahead, Some(Got::Same));
        assert_eq!((of(&profile, "2040"), of(&profile, "a]b")), (&Got::Same, &Got::Same));
        assert!(matches!(of(&profile, "1970 00"), Got::Other { .. }));
        assert!(matches!(of(&profile, "1969"), Got::Refused { .. }));
        let too_many =
            |got: &Got| matches!(got, Got::Refused { words } if words.contains("Too many user flags"));
        assert!(profile.many_keywords.as_ref().is_some_and(too_many), "{:?}", profile.many_keywords);
        assert_eq!(profile.keywords_max, Some(100));
        assert!(profile.names.refuses.contains('%'), "{:?}", profile.names);
    }
}
