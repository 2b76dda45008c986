//! Profiles derived from what servers were measured to do (integrity.md 1.1 and 1.2), and what follows from them.

use super::kept::Kept;
use super::letters::{Letter, MANY_KEYWORDS, Token, Trial, batch, letters, with_keywords};
use super::*;
use crate::message::InternalDate;
use crate::report::tests::people::NOT_FOR_PEOPLE;
use std::time::{Duration, SystemTime};

fn token() -> Token {
    Token::parse("0123456789abcdef0123").unwrap()
}

/// When the probe is at work: 27 November 2026, 21:33:02 UTC.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_815_182)
}

/// What a server does with one message: refuses it, or keeps these octets, flags and this date.
type Server = fn(&Letter) -> Result<(Vec<u8>, Flags, Option<InternalDate>), &'static str>;

fn keeps(letter: &Letter) -> Result<(Vec<u8>, Flags, Option<InternalDate>), &'static str> {
    Ok((letter.octets.to_vec(), letter.flags.clone(), letter.date.clone()))
}

fn crlf(octets: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> =
        octets.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
    lines.join(&b"\r\n"[..])
}

/// A line of the header is no field, or the header has no end.
fn bad_header(octets: &[u8]) -> bool {
    let header = octets.split(|b| *b == b'\n').take_while(|l| *l != b"\r");
    let mut fields = header.filter(|l| !matches!(l.first(), Some(b' ' | b'\t') | None));
    let is_cut = !octets.ends_with(b"\n") && memchr::memmem::find(octets, b"\r\n\r\n").is_none();
    is_cut || fields.any(|line| !line.contains(&b':'))
}

/// Dovecot 2.3 with Maildir, as measured.
fn dovecot(letter: &Letter) -> Result<(Vec<u8>, Flags, Option<InternalDate>), &'static str> {
    let (octets, flags, mut date) = keeps(letter)?;
    if octets.is_empty() {
        return Err("NO Can't save a zero byte message");
    }
    if letter.flags.iter().any(|f| f.len() > 50 || f.contains(&b']')) {
        return Err("NO [CANNOT] Keyword length too long");
    }
    let at = date.as_ref().and_then(InternalDate::instant).unwrap_or(0);
    // From two hours ahead on a date is none.
    if !(0..=1_795_815_182 + 7200).contains(&at) {
        date = Some(InternalDate::from_octets("27-Nov-2026 02:00:00 +0000"));
    }
    let octets = crlf(&octets).into_iter().map(|b| if b == 0 { 0x80 } else { b }).collect();
    Ok((octets, flags, date))
}

/// Cyrus 3.6 with munge8bit, as measured.
fn cyrus(letter: &Letter) -> Result<(Vec<u8>, Flags, Option<InternalDate>), &'static str> {
    let (octets, flags, date) = keeps(letter)?;
    if octets.is_empty() {
        return Err("NO Zero-length message literal");
    }
    if octets.contains(&0) {
        return Err("NO Message contains NUL characters");
    }
    if crlf(&octets).len() != octets.len() && crate::identity::Measured::of(&octets).lone_lf {
        return Err("NO Message contains bare newlines");
    }
    if bad_header(&octets) {
        return Err("NO Message contains invalid header");
    }
    // 101 in a mailbox, where those of other messages are.
    if letter.flags.iter().count() > 95 {
        return Err("NO Too many user flags in mailbox");
    }
    if date.as_ref().and_then(InternalDate::instant).is_some_and(|at| at < 0) {
        return Err("BAD Invalid date-time in Append command");
    }
    let end = memchr::memmem::find(&octets, b"\r\n\r\n").unwrap_or(octets.len());
    let munged = octets.iter().enumerate().map(|(i, b)| if i < end && !b.is_ascii() { b'X' } else { *b });
    Ok((munged.collect(), flags, date))
}

fn observe(server: Server, multi: bool) -> Observations {
    let mut uid = 0;
    let mut send = |letter: Letter| {
        let (told, found) = match server(&letter) {
            Err(words) => (Told::Refused(words.into()), Vec::new()),
            Ok((octets, flags, date)) => {
                uid += 1;
                let found = Found {
                    uid: Key(uid),
                    size: octets.len() as u64,
                    flags,
                    date,
                    header: Some(octets[..octets.len().min(10)].to_vec().into()),
                    octets: octets.into(),
                };
                (Told::Stored(Some(Key(uid))), vec![found])
            }
        };
        Sent { letter, told, found }
    };
    let mut singles: Vec<Sent> = letters(&token(), now()).into_iter().map(&mut send).collect();
    let (mut first, mut fewer_keywords) = (singles.len(), Vec::new());
    let (mut taken, mut refused) = (0, MANY_KEYWORDS);
    while matches!(singles[first - 1].told, Told::Refused(_)) && refused - taken > 1 {
        let keywords = taken.midpoint(refused);
        let sent = send(with_keywords(&token(), first + fewer_keywords.len(), keywords));
        *(if sent.found.is_empty() { &mut refused } else { &mut taken }) = keywords;
        fewer_keywords.push(sent);
    }
    first += fewer_keywords.len();
    let together =
        if multi { batch(&token(), first, None).into_iter().map(&mut send).collect() } else { vec![] };
    // Twins find each other.
    let twins: Vec<Found> =
        singles.iter().filter(|s| s.letter.trial == Trial::Twin).flat_map(|s| s.found.clone()).collect();
    for sent in singles.iter_mut().filter(|s| s.letter.trial == Trial::Twin) {
        sent.found.clone_from(&twins);
    }
    Observations { singles, fewer_keywords, together, tells_places: true, ..Observations::default() }
}

fn profile(seen: &Observations) -> Profile {
    Profile::derive(Identity { product: "Test 1".into(), capabilities: "c".into() }, seen)
}

fn of(server: Server) -> Profile {
    profile(&observe(server, true))
}

/// The word in JSON.
fn is(treatment: &Treatment) -> String {
    serde_json::to_value(treatment).unwrap()["is"].as_str().unwrap().to_owned()
}

#[test]
fn a_server_that_keeps_everything_has_nothing_to_be_told_of() {
    let profile = of(keeps);
    assert!(profile.treatments().iter().all(|(_, t)| **t == Treatment::Kept), "{profile:?}");
    assert_eq!((profile.size_exact, profile.header_agrees), (Some(true), Some(true)));
    assert_eq!((profile.dedupes, profile.uids_told_right), (Some(false), Some(true)));
    assert_eq!(profile.multiappend, Multi::Works { in_order: true, atomic: None });
    assert!(!profile.predicts_by_message() && profile.refuses().is_empty());
    let kept = Kept { at: SystemTime::UNIX_EPOCH, profile, fits: true };
    assert_eq!(kept.forecast(), [""; 0]);
    let lines = kept.profile.lines().join("\n");
    assert!(lines.contains("dates: all that were tried are kept"), "{lines}");
    assert!(lines.contains("octet for octet: ordinary messages; LF alone"), "{lines}");
}

#[test]
fn dovecot_is_derived_as_it_was_measured() {
    let profile = of(dovecot);
    let words = |t: &Treatment| t.words().unwrap_or_default();
    assert_eq!(words(&profile.newline), "come back with other line ends");
    assert_eq!(words(&profile.nul), "NUL replaced by 0x80");
    assert!(words(&profile.empty).contains("zero byte"));
    for kept in [&profile.plain, &profile.hdr8bit, &profile.bad_headers, &profile.storage_fields] {
        assert_eq!(*kept, Treatment::Kept);
    }
    let lost: Vec<&str> =
        profile.dates.iter().filter(|v| v.got != Got::Same).map(|v| &v.sent[7..11]).collect();
    assert_eq!(lost, ["1900", "1969", "2038", "2040", "2100", "2110"]);
    assert!(matches!(profile.ahead, Some(Got::Other { .. })), "{:?}", profile.ahead);
    let predict = |flags: &str, date: &str| predicted(&profile, flags, date, now());
    let good = "03-Mar-2020 10:00:00 +0000";
    assert_eq!(predict("\\Seen Work $Forwarded", good), (false, false));
    assert_eq!(predict("x]y", good), (true, false), "of the kind that was refused");
    assert_eq!(predict(&"k".repeat(51), good), (true, false));
    assert_eq!(predict("", "01-Jan-1950 00:00:00 +0000"), (false, true));
    assert_eq!(predict("", "01-Jan-2050 00:00:00 +0000"), (false, true));
    assert_eq!(predict("", "01-Jan-2030 00:00:00 +0000"), (false, true), "as the one two days ahead");
    assert_eq!(
        predict("", "28-Nov-2026 00:00:00 +0000"),
        (false, false),
        "between two that were tried: not known"
    );
    assert!(profile.predicts_by_message());
    let kept = Kept { at: now(), profile, fits: true };
    let forecast = kept.forecast().join("\n");
    assert!(forecast.contains("01-Jan-2110 00:00:00 +0000, any that lies two days ahead"), "{forecast}");
    let lines = kept.profile.lines().join("\n");
    assert!(lines.contains("dates: two days ahead becomes 27-Nov-2026 02:00:00 +0000"), "{lines}");
}

/// Whether flags and date are predicted to be lost.
fn predicted(profile: &Profile, flags: &str, date: &str, now: SystemTime) -> (bool, bool) {
    let lost = profile.predict(&Flags::from_octets(flags), Some(&InternalDate::from_octets(date)), now);
    (lost.flags, lost.date)
}

#[test]
fn a_date_that_has_come_since_the_probe_is_no_longer_in_the_future() {
    let profile = of(dovecot);
    let date = "01-Mar-2027 00:00:00 +0000";
    let day = Duration::from_secs(86_400);
    assert_eq!(predicted(&profile, "", date, now()), (false, true));
    assert_eq!(predicted(&profile, "", date, now() + 91 * day), (false, true), "the last days of February");
    assert_eq!(predicted(&profile, "", date, now() + 93 * day), (false, false));
    assert_eq!(predicted(&profile, "", "01-Jan-2040 00:00:00 +0000", now() + 93 * day), (false, true));
}

#[test]
fn where_a_later_date_is_kept_one_that_lies_ahead_says_nothing_of_the_future() {
    let profile = of(|letter| {
        let (octets, flags, date) = keeps(letter)?;
        let date = if letter.trial == Trial::Ahead { None } else { date };
        Ok((octets, flags, date))
    });
    assert_eq!(predicted(&profile, "", "01-Jan-2050 00:00:00 +0000", now()), (false, false));
}

#[test]
fn a_profile_that_was_kept_before_a_date_ahead_was_tried_is_read_and_says_nothing_of_it() {
    let mut document = serde_json::to_value(of(dovecot)).unwrap();
    for field in ["ahead", "keywords_max"] {
        assert!(document.as_object_mut().unwrap().remove(field).is_some());
    }
    let profile: Profile = serde_json::from_value(document).unwrap();
    assert_eq!(predicted(&profile, "", "01-Jan-2030 00:00:00 +0000", now()), (false, false));
    assert_eq!(predicted(&profile, "", "01-Jan-2040 00:00:00 +0000", now()), (false, true));
}

/// So many keywords, as flags.
fn keywords(count: usize) -> String {
    (0..count).map(|n| format!("Of{n}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_message_with_more_keywords_than_the_probe_found_a_mailbox_to_keep_is_foretold() {
    let profile = of(cyrus);
    // 95 together, and the six of other messages.
    assert_eq!(profile.keywords_max, Some(101));
    let good = "03-Mar-2020 10:00:00 +0000";
    assert_eq!(predicted(&profile, &keywords(101), good, now()), (false, false));
    assert_eq!(predicted(&profile, &format!("\\Seen {}", keywords(101)), good, now()), (false, false));
    assert_eq!(predicted(&profile, &keywords(102), good, now()), (true, false));
    let kept = Kept { at: now(), profile, fits: true };
    let forecast = kept.forecast().join("\n");
    assert!(forecast.contains("keeps 101 different keywords in a mailbox"), "{forecast}");
}

#[test]
fn where_keywords_beyond_a_number_are_dropped_without_a_word_the_number_is_known() {
    fn few_of(letter: &Letter, most: usize) -> Result<(Vec<u8>, Flags, Option<InternalDate>), &'static str> {
        let (octets, flags, date) = keeps(letter)?;
        let some: Vec<&[u8]> = flags.iter().take(most).collect();
        Ok((octets, Flags::from_atoms(some), date))
    }
    // 50 together, and the six of other messages.
    assert_eq!(profile(&observe(|letter| few_of(letter, 50), false)).keywords_max, Some(56));
    assert_eq!(profile(&observe(|letter| few_of(letter, 0), false)).keywords_max, None, "it keeps none");
    let own = |letter: &Letter| {
        let (octets, _, date) = keeps(letter)?;
        Ok((octets, Flags::from_octets("$ItsOwn"), date))
    };
    assert_eq!(profile(&observe(own, false)).keywords_max, None, "none of those that were sent");
}

#[test]
fn a_search_for_the_number_of_keywords_that_was_cut_short_finds_none() {
    let mut seen = observe(cyrus, false);
    assert!(profile(&seen).keywords_max.is_some() && seen.fewer_keywords.len() > 4);
    seen.fewer_keywords.truncate(3);
    assert_eq!(profile(&seen).keywords_max, None);
    assert_eq!(of(keeps).keywords_max, None, "120 are kept");
}

#[test]
fn cyrus_is_derived_as_it_was_measured() {
    let profile = of(cyrus);
    assert_eq!(profile.hdr8bit.words().unwrap(), "8-bit octets replaced by X");
    let refused = [&profile.newline, &profile.nul, &profile.empty, &profile.bad_headers, &profile.no_header];
    assert!(refused.iter().all(|t| is(t) == "refused"), "{profile:?}");
    assert_eq!(profile.body8bit, Treatment::Kept);
    assert!(matches!(&profile.many_keywords, Some(Got::Refused { words }) if words.contains("Too many")));
    let kept = Kept { at: SystemTime::UNIX_EPOCH, profile, fits: true };
    let forecast = kept.forecast().join("\n");
    assert!(forecast.contains("8-bit octets in a header: 8-bit octets replaced by X"), "{forecast}");
    assert!(kept.profile.refuses().contains(&("NUL", "NO Message contains NUL characters")), "{kept:?}");
    assert!(forecast.contains("as probed on 1970-01-01"), "{forecast}");
    for remark in kept.forecast() {
        let plain = crate::check::of_plan(&remark).plain;
        for word in NOT_FOR_PEOPLE.iter().chain(&["8-bit", "header", "\\"]) {
            assert!(!plain.what.contains(word), "{word}: {plain:?}");
        }
        // The number of keywords is said whole.
        assert_eq!(plain.details.is_empty(), remark.contains("different keywords"), "{plain:?}");
    }
    let said = |mark: &str| {
        let remark = kept.forecast().into_iter().find(|remark| remark.contains(mark)).unwrap();
        let plain = crate::check::of_plan(&remark).plain;
        (plain.what, plain.details.join("\n"))
    };
    let (what, details) = said("changes");
    assert_eq!(
        what,
        "As probed on 1970-01-01, the new server changes some kinds of messages; how many shows when they are read back."
    );
    assert!(details.starts_with("8-bit octets in a header: "), "{details}");
}

#[test]
fn of_flags_that_were_tried_together_those_are_named_that_are_lost() {
    let profile = of(|letter| {
        let (octets, flags, date) = keeps(letter)?;
        let some: Vec<&[u8]> = flags.iter().filter(|flag| *flag != b"\\Draft").collect();
        Ok((octets, Flags::from_atoms(some), date))
    });
    let kept = Kept { at: SystemTime::UNIX_EPOCH, profile, fits: true };
    let said =
        "as probed on 1970-01-01, the new server does not keep some of the flags that were tried: \\Draft";
    assert_eq!(kept.forecast(), [said]);
    let plain = crate::check::of_plan(said).plain;
    assert_eq!(
        (plain.what.as_str(), &plain.details[..]),
        (
            "As probed on 1970-01-01, the new server does not keep some of the flags that were tried.",
            &["\\Draft".to_owned()][..]
        )
    );
}

#[test]
fn headers_added_and_removed_wrong_sizes_and_merged_twins_are_seen() {
    let mut seen = observe(
        |letter| {
            let (octets, flags, date) = keeps(letter)?;
            let octets: Vec<u8> = octets
                .split_inclusive(|b| *b == b'\n')
                .filter(|line| !line.starts_with(b"Status:") && !line.starts_with(b"Bcc:"))
                .flatten()
                .copied()
                .collect();
            Ok(([&b"X-Added: 1\r\n"[..], &octets].concat(), flags, date))
        },
        false,
    );
    for sent in &mut seen.singles {
        sent.found.iter_mut().for_each(|found| found.size += 7);
        sent.found.truncate(1);
    }
    let profile = profile(&seen);
    assert_eq!(
        (profile.adds_headers, profile.drops_headers),
        (vec!["x-added".into()], vec!["bcc".into(), "status".into()])
    );
    assert_eq!((profile.size_exact, profile.dedupes), (Some(false), Some(true)));
    assert_eq!(profile.multiappend, Multi::Unknown);
}

#[test]
fn two_equal_messages_that_are_both_gone_were_not_merged() {
    let mut seen = observe(keeps, false);
    for sent in seen.singles.iter_mut().filter(|sent| sent.letter.trial == Trial::Twin) {
        sent.found.clear();
    }
    assert_eq!(profile(&seen).dedupes, None);
}

#[test]
fn multiappend_is_what_it_did() {
    let told = |told: Told, mut seen: Observations| {
        seen.together.iter_mut().for_each(|s| s.told = told.clone());
        profile(&seen).multiappend
    };
    let seen = || observe(keeps, true);
    assert!(matches!(told(Told::Refused("NO".into()), seen()), Multi::Fails { .. }));
    let mut some = seen();
    some.together[1].found.clear();
    assert!(matches!(profile(&some).multiappend, Multi::Fails { .. }));
    let mut bad = seen();
    bad.with_bad = bad.together.clone();
    bad.with_bad.iter_mut().for_each(|s| s.told = Told::Refused("NO".into()));
    assert_eq!(profile(&bad).multiappend, Multi::Works { in_order: true, atomic: Some(false) });
    bad.with_bad.iter_mut().for_each(|s| s.found.clear());
    assert_eq!(profile(&bad).multiappend, Multi::Works { in_order: true, atomic: Some(true) });
    bad.together.swap(0, 2);
    assert_eq!(profile(&bad).multiappend, Multi::Works { in_order: false, atomic: Some(true) });
}

#[test]
fn uids_that_are_wrong_or_missing_are_seen() {
    let mut seen = observe(keeps, true);
    seen.singles[3].told = Told::Stored(Some(Key(999)));
    assert_eq!(profile(&seen).uids_told_right, Some(false));
    seen.singles[3].told = Told::Stored(None);
    assert_eq!(profile(&seen).uids_told_right, Some(false));
    seen.tells_places = false;
    assert_eq!(profile(&seen).uids_told_right, None, "nothing was promised");
}

#[test]
fn what_was_not_seen_is_not_known() {
    let profile = profile(&Observations::default());
    assert!(profile.treatments().iter().all(|(_, t)| **t == Treatment::Unknown));
    assert!(profile.dates.is_empty() && profile.flags.is_empty() && profile.size_exact.is_none());
    assert_eq!(profile.lines(), [""; 0]);
    // A server that takes no message at all says nothing of dates by refusing them.
    let closed = of(|_| Err("NO [OVERQUOTA] full"));
    assert!(closed.dates.is_empty() && closed.flags.is_empty() && !closed.predicts_by_message());
    assert!(closed.objection().is_some_and(|why| why.contains("OVERQUOTA")));
    assert_eq!(of(cyrus).objection(), None);
    // Said to be stored and not there; lost with the connection.
    let mut seen = observe(keeps, true);
    seen.singles[0].found.clear();
    seen.singles[1].found.clear();
    seen.singles[1].told = Told::Lost("gone".into());
    let profile = super::tests::profile(&seen);
    assert_eq!((is(&profile.plain), is(&profile.trailing)), ("vanished".into(), "ends_connection".into()));
}

#[test]
fn a_profile_comes_back_from_its_text_and_is_of_one_version_of_a_server() {
    for server in [keeps as Server, dovecot, cyrus] {
        let profile = of(server);
        let text = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile);
    }
    let abilities = |product: &str, announced: &[&str]| Abilities {
        product: product.into(),
        announced: announced.iter().map(|a| (*a).to_owned()).collect(),
        ..Abilities::default()
    };
    let known = Identity::of(&abilities("S 1", &["IMAP4rev1", "UIDPLUS", "AUTH=PLAIN", "COMPRESS=DEFLATE"]));
    assert_eq!(known, Identity::of(&abilities("S 1", &["uidplus", "IMAP4rev1", "STARTTLS"])));
    assert_ne!(known, Identity::of(&abilities("S 2", &["IMAP4rev1", "UIDPLUS"])));
    assert_ne!(known, Identity::of(&abilities("S 1", &["IMAP4rev1"])));
    let old = Kept { at: SystemTime::UNIX_EPOCH, profile: of(cyrus), fits: false };
    let forecast = old.forecast();
    assert!(forecast.len() == 1 && forecast[0].contains("is not used"), "{forecast:?}");
}
