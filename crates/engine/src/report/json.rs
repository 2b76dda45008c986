//! `report.json` (cli.md). Names are stable: add, do not rename.

use super::mailbox::{MailboxEntry, SideEntry};
use super::totals::{Bucket, Tally};
use super::{
    DifferenceEntry, Differences, EndFacts, ExceptionEntry, Excerpt, LabelledMail, LadderCounts, MANIFEST,
    NoteEntry, Report, Times, words,
};
use crate::config::Level;
use crate::error::Error;
use crate::identity::Grade;
use crate::journal::{Decision, Existing, Name};
use base64::Engine as _;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct ReportJson<'a> {
    mailhaul: &'a str,
    migration: &'a str,
    source: EndJson<'a>,
    target: EndJson<'a>,
    #[serde(flatten)]
    times: &'a Times,
    verdict: &'static str,
    exit_code: u8,
    headline: String,
    safe_to_close: &'static str,
    level: Option<&'static str>,
    totals: TotalsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_message_number: Option<LabelledMail>,
    mailboxes: Vec<MailboxJson<'a>>,
    exceptions: &'a [ExceptionEntry],
    exceptions_more: u64,
    doubts: &'a [NoteEntry],
    doubts_more: u64,
    remarks: &'a [NoteEntry],
    remarks_more: u64,
    flag_differences: u64,
    date_differences: u64,
    differences: Differences,
    difference_examples: &'a [DifferenceEntry],
    ladder: LadderCounts,
    danger_options: Option<&'a [String]>,
    #[serde(skip_serializing_if = "is_zero")]
    danger_options_unknown_runs: u64,
    manifest: ManifestJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<SignerJson>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// One end, with the account.
#[derive(Serialize)]
pub(crate) struct EndJson<'a> {
    account: String,
    server: &'a str,
    product: &'a str,
    tls: Option<&'a str>,
}

impl<'a> EndJson<'a> {
    pub(crate) fn new(account: &str, end: &'a EndFacts) -> Self {
        Self {
            account: account.to_owned(),
            server: &end.server,
            product: &end.product,
            tls: end.tls.as_deref(),
        }
    }
}

/// Where the manifest is and what it must hash to.
#[derive(Serialize)]
pub(crate) struct ManifestJson<'a> {
    file: &'static str,
    sha256: &'a str,
    lines: u64,
    octets: u64,
}

impl<'a> ManifestJson<'a> {
    pub(crate) fn new(report: &'a Report) -> Self {
        let manifest = &report.manifest;
        Self { file: MANIFEST, sha256: &manifest.sha256, lines: manifest.lines, octets: manifest.octets }
    }
}

/// Whose signature lies beside the certificate. It stands in the certificate itself, so that it cannot be taken away
/// without a change there.
#[derive(Serialize)]
pub(crate) struct SignerJson {
    algorithm: &'static str,
    key_sha256: String,
}

impl SignerJson {
    pub(crate) fn new(report: &Report) -> Option<Self> {
        let key_sha256 = report.facts.signer.as_ref()?.public().fingerprint().to_string();
        Some(Self { algorithm: crate::certificate::ALGORITHM, key_sha256 })
    }
}

/// The accounting: `listed` is the sum of the others.
#[derive(Serialize)]
pub(crate) struct TallyJson {
    listed: u64,
    verified: VerifiedJson,
    stored: u64,
    already_there: u64,
    merged: u64,
    gone_at_source: u64,
    gone_at_target: u64,
    moved_at_target: u64,
    excluded: BTreeMap<String, u64>,
    exceptions: u64,
    exceptions_by_kind: BTreeMap<String, u64>,
    pending: u64,
    pending_by_state: BTreeMap<String, u64>,
    remainder: u64,
    bytes: u64,
    bytes_there: u64,
}

#[derive(Serialize)]
struct VerifiedJson {
    exact: u64,
    newline: u64,
    semantic: u64,
}

impl TallyJson {
    fn new(tally: &Tally, remainder: u64) -> Self {
        Self {
            listed: tally.sum(),
            verified: VerifiedJson {
                exact: tally.of(&Bucket::Verified(Grade::Exact)),
                newline: tally.of(&Bucket::Verified(Grade::Newline)),
                semantic: tally.of(&Bucket::Verified(Grade::Semantic)),
            },
            stored: tally.of(&Bucket::Stored),
            already_there: tally.of(&Bucket::AlreadyThere),
            merged: tally.of(&Bucket::Merged),
            gone_at_source: tally.of(&Bucket::GoneAtSource),
            gone_at_target: tally.of(&Bucket::GoneAtTarget),
            moved_at_target: tally.of(&Bucket::MovedAtTarget),
            excluded: tally.excluded_by_rule(),
            exceptions: tally.exceptions(),
            exceptions_by_kind: tally.exceptions_by_kind(),
            pending: tally.pending(),
            pending_by_state: tally.pending_by_state(),
            remainder,
            bytes: tally.octets,
            bytes_there: tally.octets_there,
        }
    }
}

/// The accounting with what lies beside it.
#[derive(Serialize)]
pub(crate) struct TotalsJson {
    #[serde(flatten)]
    tally: TallyJson,
    mailboxes_moved: u64,
    mailboxes_excluded: u64,
    mailboxes_refused: u64,
    mailboxes_unlisted: u64,
    deleted_at_source_after_copy: u64,
    missing_at_target: u64,
    foreign_at_target: Option<u64>,
    hidden_at_source: bool,
}

impl TotalsJson {
    pub(crate) fn new(report: &Report) -> Self {
        let count = |of: fn(&MailboxEntry) -> bool| report.mailboxes.iter().filter(|m| of(m)).count() as u64;
        let decided = |m: &MailboxEntry| m.totals.mailbox.decision.clone();
        let moving = report.mailboxes.iter().filter(|m| m.moves());
        Self {
            tally: TallyJson::new(&report.totals.walked, report.totals.remainder()),
            mailboxes_moved: count(MailboxEntry::moves),
            mailboxes_excluded: report
                .mailboxes
                .iter()
                .filter(|m| matches!(decided(m), Decision::Exclude(_)))
                .count() as u64,
            mailboxes_refused: report
                .mailboxes
                .iter()
                .filter(|m| matches!(decided(m), Decision::Refuse(_)))
                .count() as u64,
            mailboxes_unlisted: report.outcome.unlisted_mailboxes,
            deleted_at_source_after_copy: report.mailboxes.iter().map(|m| m.deleted_at_source).sum(),
            missing_at_target: report.outcome.missing_at_target,
            // Unknown in one mailbox is unknown in all.
            foreign_at_target: moving.map(|m| m.foreign_at_target).sum(),
            hidden_at_source: report.outcome.hides_mail,
        }
    }
}

/// One mailbox: names, epochs, accounting, and what the listings say.
#[derive(Serialize)]
pub(crate) struct MailboxJson<'a> {
    source_name: &'a str,
    source_wire: WireJson,
    target_name: Option<&'a str>,
    target_wire: Option<WireJson>,
    role: Option<&'a str>,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<&'a str>,
    source_uidvalidity: Option<u32>,
    target_uidvalidity: Option<u32>,
    #[serde(flatten)]
    tally: TallyJson,
    survey_messages: Option<u64>,
    survey_bytes: Option<u64>,
    source: SideJson,
    target: SideJson,
    target_held: Option<&'static str>,
    flag_differences: u64,
    date_differences: u64,
    differences: Differences,
    deleted_at_source_after_copy: u64,
    unknown_at_source: u64,
    missing_at_target: u64,
    foreign_at_target: Option<u64>,
}

/// A name as the server writes it: as text where it is UTF-8 (modified UTF-7 is ASCII), else base64.
#[derive(Serialize)]
#[serde(untagged)]
enum WireJson {
    Text(String),
    Octets { base64: String },
}

impl WireJson {
    fn new(name: &Name) -> Self {
        match std::str::from_utf8(&name.wire) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Octets { base64: base64::engine::general_purpose::STANDARD.encode(&name.wire) },
        }
    }
}

/// What the latest complete listing of a side said; all `null` without one.
#[derive(Serialize)]
struct SideJson {
    uidnext: Option<i64>,
    exists: Option<u64>,
    highestmodseq: Option<u64>,
    mailboxid: Option<String>,
}

impl SideJson {
    fn new(side: &SideEntry) -> Self {
        let facts = side.listing.as_ref().map(|l| &l.facts);
        Self {
            uidnext: facts.and_then(|f| f.uid_next).map(|k| k.0),
            exists: facts.map(|f| f.exists),
            highestmodseq: facts.and_then(|f| f.highest_mod_seq),
            mailboxid: facts.and_then(|f| f.mailbox_id.clone()),
        }
    }
}

impl<'a> MailboxJson<'a> {
    pub(crate) fn new(entry: &'a MailboxEntry) -> Self {
        let record = &entry.totals.mailbox;
        let (decision, target, rule, reason) = match &record.decision {
            Decision::Move(name) => ("move", Some(name), None, None),
            Decision::Exclude(rule) => ("exclude", None, Some(rule.as_str()), None),
            Decision::Refuse(reason) => ("refuse", None, None, Some(reason.as_str())),
        };
        Self {
            source_name: &record.source.text,
            source_wire: WireJson::new(&record.source),
            target_name: target.map(|name| name.text.as_str()),
            target_wire: target.map(WireJson::new),
            role: record.role.as_deref(),
            decision,
            rule,
            reason,
            left: entry.left.as_deref(),
            source_uidvalidity: entry.source.last.as_ref().map(|f| f.uid_validity.0),
            target_uidvalidity: entry.target.last.as_ref().map(|f| f.uid_validity.0),
            tally: TallyJson::new(&entry.totals.walked, entry.totals.remainder()),
            survey_messages: record.messages,
            survey_bytes: record.octets,
            source: SideJson::new(&entry.source),
            target: SideJson::new(&entry.target),
            target_held: entry.baseline.map(|b| Existing::as_str(b.existing)),
            flag_differences: entry.differences.flags,
            date_differences: entry.differences.dates,
            differences: entry.differences,
            deleted_at_source_after_copy: entry.deleted_at_source,
            unknown_at_source: entry.unknown_at_source,
            missing_at_target: entry.missing_at_target,
            foreign_at_target: entry.foreign_at_target,
        }
    }
}

/// Pretty-printed, ending in a newline.
pub(crate) fn pretty<T: Serialize>(file: &str, value: &T) -> Result<Vec<u8>, Error> {
    let mut octets = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::Report { path: file.to_owned(), what: e.to_string() })?;
    octets.push(b'\n');
    Ok(octets)
}

fn shown<T>(listing: &Excerpt<T>) -> (&[T], u64) {
    (&listing.shown, listing.more())
}

/// The document.
pub(super) fn json(report: &Report) -> Result<Vec<u8>, Error> {
    let (exceptions, exceptions_more) = shown(&report.exceptions);
    let (doubts, doubts_more) = shown(&report.doubts);
    let (remarks, remarks_more) = shown(&report.remarks);
    let document = ReportJson {
        mailhaul: &report.facts.version,
        migration: &report.facts.migration,
        source: EndJson::new(&report.pair.source, &report.facts.source),
        target: EndJson::new(&report.pair.target, &report.facts.target),
        times: &report.times,
        verdict: report.verdict().as_str(),
        exit_code: report.exit_code(),
        headline: words::headline(report),
        safe_to_close: "not_assessed",
        level: report.facts.level.map(Level::as_str),
        totals: TotalsJson::new(report),
        by_message_number: report.labelled,
        mailboxes: report.mailboxes.iter().map(MailboxJson::new).collect(),
        exceptions,
        exceptions_more,
        doubts,
        doubts_more,
        remarks,
        remarks_more,
        flag_differences: report.differences.flags + report.differences.flags_not_sent,
        date_differences: report.differences.dates + report.differences.dates_not_sent,
        differences: report.differences,
        difference_examples: &report.difference_examples.shown,
        ladder: report.ladder,
        danger_options: report.danger_options(),
        danger_options_unknown_runs: report.danger_unknown_runs,
        manifest: ManifestJson::new(report),
        signer: SignerJson::new(report),
    };
    pretty(super::REPORT_JSON, &document)
}
