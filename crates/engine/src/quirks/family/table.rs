//! The rows of the quirk table. The order decides: who is more special stands before what it is built on.

use super::{Behaviour, Family, Known, ShowsMax, Sign};
use std::time::Duration;

/// Hosted mail has replicas and front ends that nobody here has measured (integrity.md 6.4, 13).
const REPLICAS: Option<Duration> = Some(Duration::from_secs(60));
/// One megabyte, in octets, as providers count.
const MB: u64 = 1_000_000;

/// A server of which nothing is known.
const UNKNOWN: Behaviour = Behaviour {
    id_before_login: false,
    append_limit_octets: None,
    bad_commands_max: None,
    sizes_are_estimates: false,
    connections_max: None,
    down_per_day: None,
    up_per_day: None,
    settle_min: None,
    deleted_removes: false,
    keeps_one_of_equals: false,
    mailbox_shows_max: None,
};
const HOSTED: Behaviour = Behaviour { settle_min: REPLICAS, ..UNKNOWN };
/// Exchange ends a connection at the tenth BAD, and gives a user 16 connections.
const EXCHANGE: Behaviour =
    Behaviour { bad_commands_max: Some(10), sizes_are_estimates: true, connections_max: Some(16), ..UNKNOWN };

/// What Gmail offers as “limit IMAP folders to contain no more than this many messages”.
const GMAIL_SHOWS: ShowsMax = ShowsMax {
    messages: &[1000, 2000, 5000, 10_000],
    always: false,
    instead: "see in Gmail’s settings, under Forwarding and POP/IMAP, that the number of messages in folders is not limited",
};
/// QUIRK: Yahoo shows the newest 10,000 messages of a mailbox; another host name shows all (thunderbird/autoconfig#71).
const YAHOO_SHOWS: ShowsMax = ShowsMax {
    messages: &[10_000],
    always: true,
    instead: "Yahoo shows all of them, to be read alone, under the server name export.imap.mail.yahoo.com: give that as the old server",
};

const EXCHANGE_CHANGES: &[&str] = &[
    "messages are taken apart and put together again: octets differ",
    "RFC822.SIZE is an estimate, two or three times off",
    "a message that cannot be converted is given as a notice in its place: it is listed, not copied",
    "mailboxes whose names hold \"/\" are not listed",
    "$MDNSent becomes a category; read receipts may be sent again",
];
const EXCHANGE_TESTS: &[&str] = &[
    "throttling_with_a_named_wait_is_waited_for_at_every_command_and_is_no_wrong_password",
    "no_connection_is_used_up_to_the_bad_at_which_its_server_ends_it",
    "a_server_whose_sizes_are_estimates_is_not_read_twice",
    "a_stub_of_exchange_is_told_from_a_message_about_one",
    "the_sample_account_moves_into_each_simulated_family_and_the_accounting_holds",
];

/// QUIRK: the families, with how they are recognised, what is known of them, and from where.
pub const FAMILIES: &[Family] = &[
    Family {
        word: "gmail",
        name: "Gmail",
        signs: &[Sign::Capability("X-GM-EXT-1"), Sign::Greeting("Gimap ready")],
        does: Behaviour {
            append_limit_octets: Some(35_651_584),
            connections_max: Some(15),
            down_per_day: Some(2500 * MB),
            up_per_day: Some(500 * MB),
            deleted_removes: true,
            keeps_one_of_equals: true,
            mailbox_shows_max: Some(GMAIL_SHOWS),
            ..HOSTED
        },
        known: Known::Simulated,
        exact: "octets, as far as threads tell",
        changes: &[
            "equal messages of a mailbox are one: the second is merged with the first and takes its date, or takes its place",
            "a mailbox is a label: a message in three mailboxes is one with three labels; an archive is All Mail",
            "\\Deleted removes a message from its label at once: it is not sent",
        ],
        limits: &[
            "35,651,584 octets a message (APPENDLIMIT)",
            "2500 MB down and 500 MB up a day, over IMAP; beyond, up to 24 hours of refusals",
            "15 connections",
            "names without blanks at the ends or two in a row, without ^, and none below [Gmail]",
        ],
        before: &[
            "switch IMAP on, and make an app password (two-step verification)",
            "in Settings, Labels: show all labels in IMAP, All Mail too",
            "in Settings, Forwarding and POP/IMAP: do not limit the number of messages in folders",
        ],
        evidence: "Google's pages (bandwidth limits, IMAP extensions); imapsync FAQ.Gmail, #61; rgladwell/imap-upload#22; \
                   WildDuck's wiki; dlech/gmailbuttons#10; MailKit#51",
        tests: &[
            "what_may_pass_in_a_day_is_kept_to_and_waited_for_visibly",
            "the_limit_that_a_family_is_known_for_holds_where_none_is_announced",
            "where_deleted_removes_a_message_it_is_stored_without_and_said",
            "every_message_of_gmail_arrives_where_the_person_sees_it_and_archived_mail_in_archive",
            "where_an_equal_message_takes_the_place_of_the_first_the_first_is_merged_and_not_lost",
            "the_sample_account_moves_into_each_simulated_family_and_the_accounting_holds",
        ],
    },
    Family {
        word: "microsoft-365",
        name: "Microsoft 365",
        signs: &[
            Sign::Greeting("The Microsoft Exchange IMAP4 service is ready. ["),
            Sign::Id("Microsoft.Exchange.Imap4.Imap4Server 15.20"),
        ],
        does: Behaviour { settle_min: REPLICAS, ..EXCHANGE },
        known: Known::Simulated,
        exact: "nothing is known to be",
        changes: EXCHANGE_CHANGES,
        limits: &[
            "throttled by work done, told with a time in milliseconds, as NO or as BAD",
            "10 bad commands on a connection, 16 connections",
            "45 MB a message, up to 150 MB where the administrator says so",
        ],
        before: &[
            "allow IMAP for the mailbox, and in the security defaults",
            "ask Microsoft's support to lift throttling for 90 days",
            "a password is not enough any more: OAuth",
        ],
        evidence: "imapsync FAQ.Office365, #272, #198, #285; imap_tools#135; email-oauth2-proxy#191; MailKit#849",
        tests: EXCHANGE_TESTS,
    },
    Family {
        word: "exchange",
        name: "Exchange",
        signs: &[Sign::Greeting("Microsoft Exchange"), Sign::Id("Microsoft.Exchange.Imap4.Imap4Server")],
        does: EXCHANGE,
        known: Known::Simulated,
        exact: "nothing is known to be",
        changes: EXCHANGE_CHANGES,
        limits: &[
            "\"Server Unavailable. 15\": throttled, or full; waited for three times",
            "10 bad commands on a connection, 16 connections",
            "10 MB a message by default (MaxReceiveSize)",
        ],
        before: &["raise MaxReceiveSize and the IMAP connection limits for the time of the move"],
        evidence: "imapsync FAQ.Exchange; lefcha/imapfilter#146; vandelay#12",
        tests: EXCHANGE_TESTS,
    },
    Family {
        word: "yahoo",
        name: "Yahoo",
        signs: &[Sign::Capability("XYMHIGHESTMODSEQ")],
        does: Behaviour { connections_max: Some(5), mailbox_shows_max: Some(YAHOO_SHOWS), ..HOSTED },
        known: Known::Simulated,
        exact: "octets, as far as threads tell",
        changes: &["a mailbox shows its newest 10,000 messages"],
        limits: &["[LIMIT] Rate limit hit, then BYE", "about 5 connections"],
        before: &[
            "make an app password",
            "for mailboxes of more than 10,000 messages take export.imap.mail.yahoo.com, which is read-only",
        ],
        evidence: "postalsys/imapflow#75; thunderbird/autoconfig#71; imapsync#209",
        tests: &[
            "a_rate_limit_with_bye_for_minutes_costs_time_and_no_message",
            "a_message_that_is_always_unavailable_becomes_one_exception_and_the_rest_moves",
            "the_sample_account_moves_into_each_simulated_family_and_the_accounting_holds",
        ],
    },
    Family {
        word: "icloud",
        name: "iCloud",
        signs: &[Sign::Capability("AUTH=ATOKEN")],
        does: HOSTED,
        known: Known::Threads,
        exact: "nothing is known to be",
        changes: &["keywords with a blank are listed and refused"],
        limits: &["NO Service temporarily unavailable passes within minutes"],
        before: &["make an app-specific password"],
        evidence: "imapsync#387 and FAQ; captures of the greeting in public code",
        tests: &["real_servers_are_recognised_by_what_they_say"],
    },
    Family {
        word: "coremail",
        name: "163 and other Coremail",
        signs: &[Sign::Capability("X-CM-EXT-1"), Sign::Greeting("Coremail")],
        does: Behaviour { id_before_login: true, ..HOSTED },
        known: Known::Simulated,
        exact: "nothing is known to be",
        changes: &["some bodies are given as NIL"],
        limits: &["mailboxes are refused (Unsafe Login) to a client that sent no ID"],
        before: &["switch IMAP on in the settings, and take the authorisation code for a password"],
        evidence: "twisted#6307 (greeting); \"Unsafe Login. Please contact kefu@188.com\" in many threads; imapsync#79, #241",
        tests: &["a_server_that_wants_to_know_who_asks_is_told_before_and_after_the_login"],
    },
    Family {
        word: "yandex",
        name: "Yandex",
        signs: &[Sign::Greeting("Yandex IMAP4rev1")],
        does: HOSTED,
        known: Known::Threads,
        exact: "nothing is known to be",
        changes: &["SEARCH fails or finds too much: it is not used"],
        limits: &["[UNAVAILABLE] Backend error for a mailbox, at times"],
        before: &["switch IMAP on, and make an app password"],
        evidence: "imapsync FAQ.Yandex; captures of the greeting in public code",
        tests: &["a_mailbox_that_is_unavailable_is_waited_for_and_at_last_left_alone"],
    },
    Family {
        word: "gmx",
        name: "GMX and WEB.DE",
        signs: &[Sign::Greeting("IMAP server ready H mi"), Sign::Greeting("IMAP server ready H mw")],
        does: HOSTED,
        known: Known::Threads,
        exact: "nothing is known to be",
        changes: &["UIDs are those of the account, with holes: they are never counted up"],
        limits: &["20 to 40 mailboxes of one's own in free accounts"],
        before: &["switch IMAP on in the settings"],
        evidence: "imapsync FAQ.GMX; chatmail/provider-db#56; captures of the greeting in public code",
        tests: &["real_servers_are_recognised_by_what_they_say"],
    },
    Family {
        word: "zimbra",
        name: "Zimbra",
        signs: &[Sign::Greeting("Zimbra IMAP4rev1"), Sign::Id("Zimbra")],
        does: UNKNOWN,
        known: Known::Threads,
        exact: "whole bodies; BODY[HEADER] and BODY[TEXT] differ from them",
        changes: &["some keywords make APPEND fail: tried without"],
        limits: &["a broken share may empty LIST: an empty listing is never taken for no mail"],
        before: &["remove broken shares and mount points"],
        evidence: "imapsync#426; Dovecot's imapc-feature zimbra-workarounds",
        tests: &["real_servers_are_recognised_by_what_they_say"],
    },
    Family {
        word: "courier",
        name: "Courier",
        signs: &[Sign::Greeting("Courier-IMAP")],
        does: UNKNOWN,
        known: Known::Tested("Courier 5.0.13, Debian bookworm: what APPEND and FETCH change"),
        exact: "octets with CRLF line ends",
        changes: &[
            "a final line end is added, CR alone is dropped",
            "messages of 300 parts or more are given cut: noticed by the missing boundary, and said",
            "bad dates become the present time",
        ],
        limits: &[
            "20 connections from one address; the rest is closed without a word",
            "names of 250 octets",
        ],
        before: &["raise MAXPERIP for the time of the move"],
        evidence: "probed by this project; imapsync#10",
        tests: &[
            "real_servers_are_recognised_by_what_they_say",
            "the_sample_account_moves_into_each_simulated_family_and_the_accounting_holds",
        ],
    },
    Family {
        word: "proton",
        name: "Proton Mail Bridge",
        signs: &[
            Sign::Greeting("gluon session ID"),
            Sign::Greeting("Proton Mail Bridge"),
            Sign::Id("Proton"),
        ],
        does: Behaviour { sizes_are_estimates: true, ..UNKNOWN },
        known: Known::Simulated,
        exact: "nothing: MIME is written anew, signatures break",
        changes: &[
            "octets differ always",
            "OK without storing, for mail from oneself into Sent: found by the read-back",
            "RFC822.SIZE may be 0",
        ],
        limits: &["messages without a valid From are refused"],
        before: &["let Bridge finish its first synchronisation", "UIDs may change when Bridge starts anew"],
        evidence: "proton-bridge#2, #18, #26; imapsync#271, #254, #403, #220; captures of the greeting in public code",
        tests: &[
            "a_server_whose_sizes_are_estimates_is_not_read_twice",
            "the_sample_account_moves_into_each_simulated_family_and_the_accounting_holds",
        ],
    },
    Family {
        word: "cyrus",
        name: "Cyrus",
        signs: &[
            Sign::Greeting("Cyrus IMAP"),
            Sign::Capability("XCONVERSATIONS"),
            Sign::Capability("DIGEST=SHA1"),
            Sign::Id("Cyrus"),
        ],
        does: UNKNOWN,
        known: Known::Tested("Cyrus 3.6.1, Debian bookworm"),
        exact: "octets, but for 8-bit header octets where munge8bit is on",
        changes: &[
            "with munge8bit (the default) each 8-bit octet of a header becomes X",
            "dates before 1970 are refused, after 2106 wrap",
        ],
        limits: &[
            "NUL, LF alone and headers without a colon are refused",
            "100 keywords in a mailbox; a MULTIAPPEND that brings one more ends the connection, the message alone is refused",
            "ten equal messages in a mailbox where conversations are on (Fastmail, too)",
        ],
        before: &["set munge8bit: no for the time of the move"],
        evidence: "measured by this project",
        tests: &[
            "dovecot_to_cyrus_is_identical",
            "cyrus_to_dovecot_is_identical",
            "a_message_at_which_the_server_ends_the_connection_keeps_no_other_from_moving",
            "an_odd_account_moves_in_every_direction_and_no_loss_is_silent",
        ],
    },
    Family {
        word: "domino",
        name: "HCL Domino",
        signs: &[Sign::Greeting("Domino IMAP4 Server")],
        does: UNKNOWN,
        known: Known::Simulated,
        exact: "nothing: headers and Message-ID are changed",
        changes: &["dates as 00-Jan-0000", "no mailboxes below INBOX", "replicas may differ"],
        limits: &[],
        before: &["where mailboxes are refused with code 02:46: load convert -e"],
        evidence: "imapsync FAQ.Domino; MailKit's replies of Domino 10.0.1",
        tests: &[
            "real_servers_are_recognised_by_what_they_say",
            "the_sample_account_moves_into_each_simulated_family_and_the_accounting_holds",
        ],
    },
    Family {
        word: "hmailserver",
        name: "hMailServer",
        signs: &[Sign::Greeting("IMAPrev1")],
        does: Behaviour { sizes_are_estimates: true, ..UNKNOWN },
        known: Known::Threads,
        exact: "nothing is known to be",
        changes: &["RFC822.SIZE is wrong at times"],
        limits: &[],
        before: &[],
        evidence: "hmailserver#476; imapsync FAQ; MailKit recognises it by its greeting",
        tests: &["a_server_whose_sizes_are_estimates_is_not_read_twice"],
    },
    Family {
        word: "kerio",
        name: "Kerio Connect",
        signs: &[Sign::Greeting("Kerio Connect"), Sign::Id("Kerio")],
        does: UNKNOWN,
        known: Known::Threads,
        exact: "nothing is known to be",
        changes: &[],
        limits: &["slower and slower in mailboxes of several hundred thousand messages"],
        before: &[],
        evidence: "imapsync#550, #165; nmap's fingerprints of the greeting",
        tests: &["real_servers_are_recognised_by_what_they_say"],
    },
    Family {
        word: "mdaemon",
        name: "MDaemon",
        signs: &[Sign::Greeting("IMAP4rev1 MDaemon")],
        does: UNKNOWN,
        known: Known::Threads,
        exact: "nothing is known to be",
        changes: &["12.0.3 loses what APPEND stores: the read-back finds it"],
        limits: &[],
        before: &["as a target: a version after 12.0.3"],
        evidence: "imapsync FAQ; banners in scanners of vulnerabilities",
        tests: &["real_servers_are_recognised_by_what_they_say"],
    },
    Family {
        word: "smartermail",
        name: "SmarterMail",
        signs: &[Sign::Greeting("SmarterMail")],
        does: UNKNOWN,
        known: Known::Threads,
        exact: "nothing is known to be",
        changes: &[
            "SEARCH cannot be trusted: it is not used",
            "Message-ID and Received are touched at times",
        ],
        limits: &[],
        before: &[],
        evidence: "imapsync FAQ; MailKit recognises it by its greeting",
        tests: &["real_servers_are_recognised_by_what_they_say"],
    },
    Family {
        word: "dovecot",
        name: "Dovecot",
        signs: &[Sign::Greeting("Dovecot"), Sign::Id("Dovecot")],
        does: UNKNOWN,
        known: Known::Tested("Dovecot 2.3.19 (maildir, sdbox, mdbox, mbox), Debian bookworm"),
        exact: "octets with CRLF line ends, but NUL",
        changes: &[
            "LF alone becomes CRLF, a CR before CRLF is dropped",
            "NUL is given as 0x80",
            "mbox: Status, X-Status, X-UID, Content-Length and a first line From are removed",
            "dates after the present and before 1970 become others",
        ],
        limits: &[
            "10 connections of a user from one address (mail_max_userip_connections)",
            "empty messages are refused, keywords of more than 50 octets too",
        ],
        before: &[
            "as a source: a wrong size in the name of a Maildir file breaks the connection; the message is left alone",
        ],
        evidence: "measured by this project",
        tests: &[
            "dovecot_to_dovecot_is_identical",
            "cut_connections_lose_and_double_nothing_on_dovecot",
            "an_odd_account_moves_in_every_direction_and_no_loss_is_silent",
        ],
    },
];
