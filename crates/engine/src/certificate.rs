//! The certificate: which conditions of "nothing was lost" hold (integrity.md part 8), as far as the journal can
//! tell, and what is not covered. A function of the report.

mod import;
mod read;
mod signature;

pub use read::Certificate;
pub(crate) use signature::ALGORITHM;
pub use signature::{KeyError, PUBLIC_KEY_SUFFIX, PublicKey, SIGNATURE_SUFFIX, Signer};

use crate::config::Level;
use crate::error::Error;
use crate::journal::{Decision, State};
use crate::report::{Bucket, Report, json, words};
use serde::Serialize;

/// The format of `certificate.json`.
const FORMAT: u32 = 1;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It holds.
    Met,
    /// It holds but for the doubts that are listed.
    MetWithDoubts,
    /// It does not hold.
    NotMet,
    /// The journal cannot tell.
    NotAssessed,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// `S1` to `S7`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Whether it holds.
    pub status: Status,
    /// The numbers behind it, in words.
    pub detail: String,
}

#[derive(Serialize)]
struct CertificateJson<'a> {
    certificate: u32,
    mailhaul: &'a str,
    migration: &'a str,
    source: json::EndJson<'a>,
    target: json::EndJson<'a>,
    #[serde(flatten)]
    times: &'a crate::report::Times,
    verdict: &'static str,
    safe_to_close: &'static str,
    statement: String,
    level: Option<&'static str>,
    conditions: Vec<Condition>,
    not_covered: [&'static str; 7],
    totals: json::TotalsJson,
    mailboxes: Vec<json::MailboxJson<'a>>,
    doubts: u64,
    ladder: crate::report::LadderCounts,
    danger_options: Option<&'a [String]>,
    #[serde(skip_serializing_if = "json::is_zero")]
    danger_options_unknown_runs: u64,
    manifest: json::ManifestJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<json::SignerJson>,
}

/// `certificate.json`.
pub(crate) fn json(report: &Report) -> Result<Vec<u8>, Error> {
    let certificate = CertificateJson {
        certificate: FORMAT,
        mailhaul: &report.facts.version,
        migration: &report.facts.migration,
        source: json::EndJson::new(&report.pair.source, &report.facts.source),
        target: json::EndJson::new(&report.pair.target, &report.facts.target),
        times: &report.times,
        verdict: report.verdict().as_str(),
        safe_to_close: "not_assessed",
        statement: words::statement(report),
        level: report.facts.level.map(Level::as_str),
        conditions: conditions(report),
        not_covered: words::NOT_COVERED,
        totals: json::TotalsJson::new(report),
        mailboxes: report.mailboxes.iter().map(json::MailboxJson::new).collect(),
        doubts: report.doubts.total,
        ladder: report.ladder,
        danger_options: report.danger_options(),
        danger_options_unknown_runs: report.danger_unknown_runs,
        manifest: json::ManifestJson::new(report),
        signer: json::SignerJson::new(report),
    };
    json::pretty(crate::report::CERTIFICATE, &certificate)
}

/// All conditions, in order.
pub fn conditions(report: &Report) -> Vec<Condition> {
    vec![
        coverage(report),
        account(report),
        evidence(report),
        multiset(report),
        stillness(report),
        Condition {
            id: "S6",
            name: "no more mail arrives at the old server",
            status: Status::NotAssessed,
            detail: "neither the DNS nor the arrival of mail is looked at".into(),
        },
        exceptions(report),
    ]
}

fn met(holds: bool) -> Status {
    if holds { Status::Met } else { Status::NotMet }
}

/// S1: every mailbox moves or is left out by a named rule.
fn coverage(report: &Report) -> Condition {
    let number = |of: fn(&Decision) -> bool| {
        report.mailboxes.iter().filter(|m| of(&m.totals.mailbox.decision)).count() as u64
    };
    let refused = number(|d| matches!(d, Decision::Refuse(_)));
    let excluded = number(|d| matches!(d, Decision::Exclude(_)));
    let moved = number(|d| matches!(d, Decision::Move(_)));
    Condition {
        id: "S1",
        name: "every mailbox moves or is left out by a named rule",
        status: met(refused == 0 && moved > 0),
        detail: format!("{moved} move, {excluded} left out by a rule, {refused} cannot be carried"),
    }
}

/// S2: each mailbox was listed completely, the listing is what the journal holds, and the sum closes.
fn account(report: &Report) -> Condition {
    let outcome = &report.outcome;
    let short = report
        .mailboxes
        .iter()
        .filter(|m| m.moves())
        .filter(|m| m.source.listing.as_ref().is_none_or(|l| l.messages != Some(l.facts.exists)));
    let short = short.count() as u64;
    let unknown: u64 = report.mailboxes.iter().map(|m| m.unknown_at_source).sum();
    let open = outcome.unlisted_mailboxes + outcome.remainder + unknown + short + outcome.unbrought;
    let holds = outcome.mailboxes > 0 && open == 0;
    // Where the old account has labels: every message, in however many mailboxes it was listed.
    let numbers = report.labelled.map(|mail| {
        let (all, none) = (words::messages(mail.messages), words::count(mail.unbrought));
        format!("; {all} by their own numbers, {none} of them left by each label to another")
    });
    Condition {
        id: "S2",
        name: "each source mailbox was listed completely and the sum closes",
        status: met(holds),
        detail: format!(
            "{} not listed in this run, {short} without a complete listing, {unknown} listed messages unknown to the \
             journal, remainder {}{}",
            words::amount(outcome.unlisted_mailboxes, "mailbox", "mailboxes"),
            outcome.remainder,
            numbers.unwrap_or_default()
                + if outcome.hides_mail { "; the old server hides mail from IMAP" } else { "" }
        ),
    }
}

/// S3: what is verified was read to the level asked for, and its UID was listed after the last write. Of a level that is
/// not known only the failure can be seen.
fn evidence(report: &Report) -> Condition {
    let (outcome, tally) = (&report.outcome, &report.totals.walked);
    let unread = if outcome.level == Level::Octets { tally.of(&Bucket::Stored) } else { 0 };
    let holds =
        outcome.missing_at_target + outcome.unlisted_targets + outcome.damaged_or_absent + unread == 0;
    let (status, level) = match report.facts.level {
        None if holds => (Status::NotAssessed, "; the level that was asked for is not known"),
        _ => (met(holds), ""),
    };
    Condition {
        id: "S3",
        name: "what is verified was read back, and listed after the last write",
        status,
        detail: format!(
            "{} read back, {} not; {} with mail of this migration not listed in this run, {} missing from the latest \
             listing, {} damaged or absent{level}",
            words::count(tally.verified()),
            words::count(tally.of(&Bucket::Stored)),
            words::amount(outcome.unlisted_targets, "target mailbox", "target mailboxes"),
            words::count(outcome.missing_at_target),
            words::count(outcome.damaged_or_absent)
        ),
    }
}

/// S4: n equal messages stay n: each claim has one owner, and no batch is open.
fn multiset(report: &Report) -> Condition {
    let tally = &report.totals.walked;
    let open = tally.of(&Bucket::Pending(State::Committed)) + tally.of(&Bucket::Pending(State::InDoubt));
    let status = match (open + report.outcome.double_claims, report.doubts.total) {
        (0, 0) => Status::Met,
        (0, _) => Status::MetWithDoubts,
        _ => Status::NotMet,
    };
    Condition {
        id: "S4",
        name: "each message at the target answers to one source message, and nothing is open",
        status,
        detail: format!(
            "{} in open batches, {} claimed twice, {}, {} merged by the new server",
            words::messages(open),
            words::count(report.outcome.double_claims),
            words::amount(report.doubts.total, "doubt", "doubts"),
            words::count(tally.of(&Bucket::Merged))
        ),
    }
}

/// S5: a second look at the source after the work. The journal keeps one listing for each run, so that only its
/// failure can be seen.
fn stillness(report: &Report) -> Condition {
    let moved_on = report.mailboxes.iter().filter(|m| m.moves()).filter(|m| {
        let listed = m.source.listing.as_ref().map(|l| &l.facts);
        match (listed, &m.source.last) {
            (Some(listed), Some(last)) => {
                (listed.uid_validity, listed.uid_next, listed.exists)
                    != (last.uid_validity, last.uid_next, last.exists)
            }
            _ => false,
        }
    });
    let moved_on = moved_on.count() as u64;
    let (status, detail) = match moved_on {
        0 => (Status::NotAssessed, "the source was not looked at a second time after its listing".into()),
        n => (
            Status::NotMet,
            format!("{} changed after the listing", words::amount(n, "mailbox", "mailboxes")),
        ),
    };
    Condition { id: "S5", name: "the old account stood still", status, detail }
}

/// S7: nothing needs a person.
fn exceptions(report: &Report) -> Condition {
    let outcome = &report.outcome;
    let saved = report.exceptions.shown.iter().filter(|e| e.file.is_some()).count() as u64;
    Condition {
        id: "S7",
        name: "no exception is open",
        status: met(!outcome.needs_a_person()),
        detail: format!(
            "{} ({} saved as .eml), {} with mail cannot be carried, {} of flags or dates not announced, {} that the new server wrote otherwise",
            words::amount(outcome.exceptions, "exception", "exceptions"),
            words::count(saved),
            words::amount(outcome.refused_mailboxes, "mailbox", "mailboxes"),
            words::amount(outcome.unannounced_differences, "difference", "differences"),
            words::amount(outcome.semantic, "message", "messages")
        ),
    }
}
