//! Pure: a check for people and for programs.

use super::{Checked, Checks, Moving, Remark, Verdict, Weight, counts};
use crate::budget;
use crate::end::{Abilities, Compression};
use crate::limits::{FORECAST_MESSAGES_PER_SECOND, FORECAST_OCTETS_PER_SECOND};
use crate::names::printable;
use crate::plan::{amount, size};
use crate::profile::kept::Kept;
use crate::progress::SideName;
use crate::survey::SideSurvey;
use crate::waits::spelled;
use serde::Serialize;
use serde::ser::Serializer;
use std::time::Duration;

impl Verdict {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::ReadyWithRemarks => "ready-with-remarks",
            Self::NotReady => "not-ready",
        }
    }
}

impl Checked {
    /// All of it, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = side(SideName::Source, &self.source, self.moving.as_ref());
        lines.extend(side(SideName::Target, &self.target, self.moving.as_ref()));
        if let Some(moving) = &self.moving {
            lines.extend(moving.survey.target.profile.iter().flat_map(profile));
            lines.extend(moving.lines(self.verdict()));
        }
        lines.extend(self.remarks.iter().flat_map(Remark::lines));
        lines.push(
            match self.verdict() {
                Verdict::Ready => "Ready.",
                Verdict::ReadyWithRemarks => "Ready, with remarks: see above.",
                Verdict::NotReady => "Not ready: see above.",
            }
            .into(),
        );
        lines
    }
}

impl Moving {
    /// How much, how long it may take, and what will not move. Where all is not ready, nothing is said to be all right.
    pub fn lines(&self, verdict: Verdict) -> Vec<String> {
        let mut lines = self.forecast_lines();
        if !self.plan.will_not_move.is_empty() {
            lines.push("Will not move:".into());
            lines.extend(self.plan.will_not_move.iter().map(|one| format!("  {}", one.with_options())));
        }
        if !self.plan.cannot_go.is_empty() {
            lines.push("Cannot go as it is:".into());
            let told = |one: &crate::plan::CannotGo| format!("  {}", one.with_option(self.plan.repairs));
            lines.extend(self.plan.cannot_go.iter().map(told));
        }
        let all_moves = self.plan.will_not_move.is_empty() && self.plan.cannot_go.is_empty();
        if all_moves && verdict != Verdict::NotReady && self.sizes.too_large == 0 {
            lines.push("Nothing is known that will not move.".into());
        }
        lines
    }

    fn forecast_lines(&self) -> Vec<String> {
        let totals = self.plan.totals;
        let what = amount(totals.messages, "message", "messages");
        let mut lines = vec![format!("Moving: {what}, {}", size(self.sizes.octets))];
        lines.push(format!(
            "  takes some {}, if {} and {} messages pass in a second: a guess",
            spelled(Duration::from_secs(self.forecast.seconds)),
            size(FORECAST_OCTETS_PER_SECOND),
            FORECAST_MESSAGES_PER_SECOND
        ));
        for day in &self.forecast.days {
            let way = if day.side == SideName::Source { "from the old server" } else { "to the new server" };
            lines.push(format!(
                "  takes at least {}, since {} may pass in a day {way}",
                spelled(Duration::from_secs(day.seconds)),
                budget::amount(day.octets_per_day)
            ));
        }
        lines
    }
}

impl Remark {
    /// How much it weighs.
    pub fn word(&self) -> &'static str {
        match self.weight {
            Weight::Blocks(_) => "In the way",
            Weight::Decide => "To be decided first",
            Weight::Worth => "Remark",
        }
    }

    /// What it is, how much it weighs and whose it is; below it what to do.
    pub fn lines(&self) -> Vec<String> {
        let word = self.word();
        let whose = match self.side {
            // The failures of a server name it already.
            Some(side) if !matches!(self.weight, Weight::Blocks(_)) || !names_server(&self.what) => {
                format!("{}: ", title(side).to_lowercase())
            }
            _ => String::new(),
        };
        let mut lines = vec![format!("{word}: {whose}{}", printable(&self.what))];
        if !self.next.is_empty() {
            lines.push(format!("  {}", self.next));
        }
        lines
    }
}

fn title(side: SideName) -> &'static str {
    match side {
        SideName::Source => "Old account",
        SideName::Target => "New account",
    }
}

fn side(which: SideName, checks: &Checks, moving: Option<&Moving>) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", title(which), printable(&checks.account))];
    let Some(abilities) = &checks.abilities else {
        lines.push("  not logged in".into());
        return lines;
    };
    let compressed = if abilities.compression == Compression::Deflate { "; compressed" } else { "" };
    let tls = abilities.tls.as_deref().unwrap_or("NOT encrypted");
    lines.push(format!("  logged in; {tls}{compressed}"));
    if let Some(certificate) = &abilities.certificate {
        let name = if certificate.subject.is_empty() { "its hosts" } else { &certificate.subject };
        lines.push(format!(
            "  certificate for {name}, by {}, good until {}",
            certificate.issuer,
            day(certificate.not_after)
        ));
    }
    lines.push(format!("  {}", printable(&abilities.product)));
    if let Some(survey) = survey_of(which, checks, moving) {
        let largest = moving.filter(|_| which == SideName::Source).and_then(|moving| moving.sizes.largest);
        lines.extend(holds(which, survey, largest));
    }
    lines.extend(can(which, abilities).into_iter().map(|ability| format!("  {ability}")));
    if let Some(found) = &checks.connections {
        lines.push(format!("  gives {} of {} connections", found.given, found.wanted));
    }
    lines
}

/// What a probe learnt, a line each.
fn profile(kept: &Kept) -> Vec<String> {
    if !kept.fits {
        return Vec::new();
    }
    let title = format!("What the new account does with mail, as probed on {}:", kept.day());
    let lines = kept.profile.lines().into_iter().map(|line| format!("  {line}"));
    std::iter::once(title).chain(lines).collect()
}

fn survey_of<'a>(which: SideName, checks: &'a Checks, moving: Option<&'a Moving>) -> Option<&'a SideSurvey> {
    match (which, moving) {
        (SideName::Source, Some(moving)) => Some(&moving.survey.source),
        (SideName::Target, Some(moving)) => Some(&moving.survey.target),
        (_, None) => checks.alone.as_ref(),
    }
}

fn holds(which: SideName, survey: &SideSurvey, largest: Option<u64>) -> Vec<String> {
    let (mailboxes, messages) = counts(survey);
    let mut line = format!(
        "  {}, {}",
        amount(mailboxes, "mailbox", "mailboxes"),
        amount(messages, "message", "messages")
    );
    if let Some(largest) = largest {
        line += &format!("; the largest has {}", size(largest));
    }
    let mut lines = vec![line];
    if which == SideName::Target {
        let limit = survey.abilities.append_limit_octets;
        lines.push(limit.map_or("  does not say how large a message may be".into(), |limit| {
            format!("  takes messages up to {}", size(limit))
        }));
        lines.push(match survey.free() {
            (Some(free), _) => format!("  room for {} more", size(free)),
            (None, Some(free)) => format!("  room for {} more", amount(free, "message", "messages")),
            (None, None) => "  does not say how much room there is".into(),
        });
    }
    lines
}

/// What the server can do, as far as it changes what a person sees of a run.
fn can(which: SideName, abilities: &Abilities) -> Vec<&'static str> {
    let mut can = vec![match abilities.conditional_store {
        true => "tells what changed: a later run looks only there (CONDSTORE)",
        false => "does not tell what changed: each run lists all mailboxes again",
    }];
    if which == SideName::Target {
        can.push(match abilities.multi {
            true => "takes many messages in one step (MULTIAPPEND)",
            false => "takes one message after the other",
        });
        can.push(match abilities.tells_places {
            true => "tells where it puts a message, and what was moved can be undone (UIDPLUS)",
            false => "does not tell where it puts a message: it is found by reading back, and nothing can be undone",
        });
        if !abilities.creates_roles {
            can.push("makes no mailboxes with a role: a new Sent or Trash is one by its name alone");
        }
    }
    can
}

fn names_server(what: &str) -> bool {
    what.starts_with("the old server") || what.starts_with("the new server")
}

fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or("?".into(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// For `check --json`. Names are added to, not renamed.
impl Serialize for Checked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            verdict: &'static str,
            exit: u8,
            remarks: Vec<RemarkView<'a>>,
            source: SideView<'a>,
            target: SideView<'a>,
            profile: Option<ProfileView<'a>>,
            sizes: Option<SizesView>,
            forecast: Option<ForecastView>,
            survey: Option<&'a crate::survey::Survey>,
            plan: Option<&'a crate::plan::Plan>,
        }
        let moving = self.moving.as_ref();
        View {
            verdict: self.verdict().as_str(),
            exit: self.exit_code(),
            remarks: self.remarks.iter().map(RemarkView::of).collect(),
            source: SideView::of(&self.source, survey_of(SideName::Source, &self.source, moving)),
            target: SideView::of(&self.target, survey_of(SideName::Target, &self.target, moving)),
            profile: moving.and_then(|m| m.survey.target.profile.as_ref()).map(ProfileView::of),
            sizes: moving.map(SizesView::of),
            forecast: moving.map(ForecastView::of),
            survey: moving.map(|m| &m.survey),
            plan: moving.map(|m| &m.plan),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct RemarkView<'a> {
    weight: &'static str,
    side: Option<SideName>,
    what: &'a str,
    next: &'a str,
}

impl<'a> RemarkView<'a> {
    fn of(remark: &'a Remark) -> Self {
        let weight = match remark.weight {
            Weight::Blocks(_) => "blocks",
            Weight::Decide => "decide",
            Weight::Worth => "worth",
        };
        Self { weight, side: remark.side, what: &remark.what, next: &remark.next }
    }
}

#[derive(Serialize)]
struct SideView<'a> {
    account: &'a str,
    logged_in: bool,
    tls: Option<&'a str>,
    certificate: Option<&'a crate::net::Certificate>,
    product: Option<&'a str>,
    mailboxes: Option<u64>,
    messages: Option<u64>,
    connections_given: Option<usize>,
    connections_wanted: Option<usize>,
}

impl<'a> SideView<'a> {
    fn of(checks: &'a Checks, survey: Option<&SideSurvey>) -> Self {
        let abilities = checks.abilities.as_ref();
        let (mailboxes, messages) = survey.map(counts).unzip();
        Self {
            account: &checks.account,
            logged_in: abilities.is_some(),
            tls: abilities.and_then(|a| a.tls.as_deref()),
            certificate: abilities.and_then(|a| a.certificate.as_ref()),
            product: abilities.map(|a| a.product.as_str()),
            mailboxes,
            messages,
            connections_given: checks.connections.as_ref().map(|c| c.given),
            connections_wanted: checks.connections.as_ref().map(|c| c.wanted),
        }
    }
}

/// What a probe learnt of the new account.
#[derive(Serialize)]
struct ProfileView<'a> {
    probed: String,
    used: bool,
    #[serde(flatten)]
    profile: &'a crate::profile::Profile,
}

impl<'a> ProfileView<'a> {
    fn of(kept: &'a Kept) -> Self {
        Self { probed: kept.day(), used: kept.fits, profile: &kept.profile }
    }
}

#[derive(Serialize)]
struct SizesView {
    octets: u64,
    listed_messages: u64,
    largest_octets: Option<u64>,
    too_large_messages: u64,
    lossy_flags_messages: u64,
    lossy_date_messages: u64,
}

impl SizesView {
    fn of(moving: &Moving) -> Self {
        let sizes = moving.sizes;
        Self {
            octets: sizes.octets,
            listed_messages: sizes.listed,
            largest_octets: sizes.largest,
            too_large_messages: sizes.too_large,
            lossy_flags_messages: sizes.flags_lost,
            lossy_date_messages: sizes.dates_lost,
        }
    }
}

#[derive(Serialize)]
struct ForecastView {
    guess_seconds: u64,
    days: Vec<DayView>,
}

#[derive(Serialize)]
struct DayView {
    side: SideName,
    octets_per_day: u64,
    seconds_at_least: u64,
}

impl ForecastView {
    fn of(moving: &Moving) -> Self {
        let day = |day: &super::DayForecast| DayView {
            side: day.side,
            octets_per_day: day.octets_per_day,
            seconds_at_least: day.seconds,
        };
        let forecast = &moving.forecast;
        Self { guess_seconds: forecast.seconds, days: forecast.days.iter().map(day).collect() }
    }
}
