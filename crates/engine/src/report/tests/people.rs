//! The report page as people read it: what is not behind *Details*.

use super::*;
use crate::report::html::html;

/// What no person is told outside of the details (CONTRIBUTING.md, *Texts for people*).
pub(crate) const NOT_FOR_PEOPLE: [&str; 12] = [
    "octet",
    "journal",
    "epoch",
    "UID",
    "UIDVALIDITY",
    "--",
    "source",
    "target",
    "APPEND",
    "spool",
    "in doubt",
    "claim",
];

/// The text of a page outside of its style, its details and its tags.
fn read_by_people(page: &str) -> String {
    let body = page.split("</style>").nth(1).unwrap();
    let mut text = String::new();
    let mut depth = 0_usize;
    for (at, piece) in body.split('<').enumerate() {
        let (tag, words) = if at == 0 { ("", piece) } else { piece.split_once('>').unwrap_or((piece, "")) };
        match tag.split(' ').next().unwrap_or_default() {
            "details" => depth += 1,
            "/details" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            text.push_str(words);
            text.push(' ');
        }
    }
    text
}

#[tokio::test]
async fn no_word_for_engineers_stands_outside_of_the_details() {
    for plain in [example::complete(), example::exceptions(), example::incomplete(), example::failed()] {
        let page = html(&report(plain).await);
        let text = read_by_people(&page);
        for word in NOT_FOR_PEOPLE {
            let at = text.find(word).map(|at| &text[at.saturating_sub(60)..(at + 60).min(text.len())]);
            assert_eq!(at, None, "{word}");
        }
        assert!(page.contains("sha256sum"), "engineers have theirs");
    }
}

/// A mailbox is what somebody has at a provider; what lies in it is a folder. Either has one name.
#[tokio::test]
async fn a_mailbox_is_never_a_folder_and_never_an_account() {
    for plain in [example::complete(), example::exceptions(), example::incomplete(), example::failed()] {
        let report = report(plain).await;
        let summary = report.summary_lines(None).join(" ");
        for text in [read_by_people(&html(&report)), summary] {
            let text = text.replace("unaccounted", "");
            for word in [
                "account",
                "Mailboxes",
                "mailboxes that",
                "mailboxes could",
                "The mailbox",
                "left out by a rule",
            ] {
                assert!(!text.contains(word), "{word}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn what_needs_a_person_comes_with_its_own_remedy_in_the_report_too() {
    for kind in KINDS {
        let mut plain = example::complete();
        plain.exception(MailboxId(1), 77, kind, "NO the server's <own> words");
        let page = html(&report(plain).await);
        let remedy = words::exception_remedy(kind).replace('\'', "&#39;");
        assert!(page.contains(&remedy), "{kind}");
        let people = read_by_people(&page);
        assert!(!people.contains("NO the server"), "{kind}: {people}");
        assert!(page.contains("UID 77: <bdi>NO the server&#39;s &lt;own&gt; words</bdi>"), "{kind}");
    }
}
