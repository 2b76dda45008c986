//! What the plan says after a probe of the target, as a person would read it, and which losses it could not say.

use crate::peers::Move;
use mailhaul_engine::message::{Flags, InternalDate};
use mailhaul_engine::profile::letters::ahead;
use mailhaul_engine::profile::{Got, Profile};
use mailhaul_testkit::audit::{Comparison, Fate, Foretold, Holding, Loss};
use std::time::SystemTime;

/// What a probe of the target says.
pub struct Said {
    pub told: Foretold,
    /// Dates that were tried, in order, by seconds, and whether they are kept.
    tried: Vec<(i64, bool)>,
}

/// Probes the target, and takes from the plan what it foretells; what is not as it should be.
pub async fn foretell(journey: &mut Move<'_>, source: &Holding) -> (Said, Vec<String>) {
    journey.settings.probe = true;
    let checked = journey.with(async |migration| migration.check([None, None]).await.unwrap()).await;
    journey.settings.probe = false;
    // Seconds after the counting: no date of the account lies that near to what was tried.
    let now = SystemTime::now();
    let mut findings = Vec::new();
    if checked.probed.as_ref().is_none_or(|probed| probed.unknown.is_some() || !probed.left.is_empty()) {
        findings.push(format!("the probe: {:?}", checked.probed));
    }
    let moving = checked.moving.unwrap();
    let profile = moving.survey.target.profile.filter(|kept| kept.fits).unwrap().profile;
    let mut told = Foretold::default();
    // What a person is shown: the list of what cannot go, and the sentence about what is changed.
    told.kinds.extend(moving.plan.cannot_go.iter().map(|one| one.what.clone()));
    let sentence = moving
        .plan
        .remarks
        .iter()
        .find(|remark| remark.contains("the new server changes some kinds of messages"));
    for (kind, _) in profile.treatments() {
        if sentence.is_some_and(|sentence| sentence.contains(&format!(" {kind}: "))) {
            told.kinds.insert(kind.to_owned());
        }
    }
    for (mailbox, held) in &source.mailboxes {
        for (uid, letter) in &held.messages {
            let flags: Vec<&str> = letter.image.flags.iter().collect();
            let date = InternalDate::from_octets(letter.image.internal_date.to_string());
            let lost = profile.predict(&Flags::from_octets(flags.join(" ")), Some(&date), now);
            let place = (mailbox.clone(), *uid);
            told.flags.extend(lost.flags.then(|| place.clone()));
            told.dates.extend(lost.date.then_some(place));
        }
    }
    let counted = (told.flags.len() as u64, told.dates.len() as u64);
    if profile.predicts_by_message() && counted != (moving.sizes.flags_lost, moving.sizes.dates_lost) {
        findings.push(format!("check counts {:?}, of the messages are {counted:?}", moving.sizes));
    }
    (Said { told, tried: tried(&profile, now) }, findings)
}

fn tried(profile: &Profile, now: SystemTime) -> Vec<(i64, bool)> {
    let of = |date: &str| InternalDate::from_octets(date).instant();
    let known = profile.dates.iter().filter(|value| value.got != Got::Unknown);
    let mut tried: Vec<_> = known.filter_map(|v| Some((of(&v.sent)?, v.got == Got::Same))).collect();
    let known = profile.ahead.as_ref().filter(|got| **got != Got::Unknown);
    tried.extend(known.and_then(|got| Some((ahead(now).instant()?, *got == Got::Same))));
    tried.sort_unstable();
    tried
}

impl Said {
    /// Losses that only the report told, and that the probe could have known.
    pub fn unexplained(&self, comparison: &Comparison) -> Vec<String> {
        let unexplained =
            comparison.only_told.iter().filter(|(loss, fate)| self.beyond(*loss, fate).is_none());
        unexplained.map(|(loss, fate)| format!("not foretold: {loss} of {}", described(fate))).collect()
    }

    /// Why a probe cannot know this; `None` where it can.
    fn beyond(&self, loss: Loss, fate: &Fate) -> Option<&'static str> {
        match loss {
            Loss::Octets(_) | Loss::Flags => None,
            Loss::Date => {
                let date = fate.date.unix_seconds;
                let at = self.tried.partition_point(|(tried, _)| *tried < date);
                let before = self.tried.get(at.checked_sub(1)?)?;
                let after = self.tried.get(at)?;
                (after.0 != date && before.1 != after.1)
                    .then_some("between a date that is kept and one that is lost")
            }
        }
    }

    /// Prints what was told afterwards alone, and what was foretold and did not happen.
    pub fn print(&self, comparison: &Comparison) {
        println!(
            "  foretold: {}; told afterwards alone: {}",
            comparison.foretold,
            comparison.only_told.len()
        );
        for (loss, fate) in &comparison.only_told {
            let why = self.beyond(*loss, fate).unwrap_or("not explained");
            println!("    only told: {loss} of {} ({why})", described(fate));
            if *loss == Loss::Date {
                println!("      {}", fate.line.0["date"]);
            }
        }
        for (what, count) in &comparison.came_to_nothing {
            println!("    came to nothing: {what} ({count})");
        }
    }
}

fn described(fate: &Fate) -> String {
    let kinds: Vec<&str> = fate.kinds.iter().copied().collect();
    let flags: String = fate.flags.to_string().chars().take(60).collect();
    format!("{} UID {}, {flags}, {}: {}", fate.mailbox, fate.uid, fate.date, kinds.join(" and "))
}

#[test]
fn a_date_is_beyond_a_probe_only_between_one_that_is_kept_and_one_that_is_lost() {
    let said =
        Said { told: Foretold::default(), tried: vec![(0, false), (10, true), (20, true), (30, false)] };
    let fate = |at: i64| Fate {
        mailbox: "Mail".into(),
        uid: 1,
        kinds: Default::default(),
        flags: mailhaul_testkit::image::Flags::new([""; 0]),
        date: mailhaul_testkit::date::InternalDate::utc(at),
        ended: mailhaul_testkit::audit::Ended::Exact,
        only_carriage_returns: false,
        flags_changed: false,
        date_changed: true,
        line: mailhaul_testkit::audit::Line(serde_json::Value::Null),
    };
    let known: Vec<i64> = [-1, 0, 9, 10, 15, 20, 29, 30, 31]
        .into_iter()
        .filter(|at| said.beyond(Loss::Date, &fate(*at)).is_none())
        .collect();
    assert_eq!(
        known,
        [-1, 0, 10, 15, 20, 30, 31],
        "lost between two that are kept, or beyond what is lost: it could be known"
    );
    let comparison = said.told.compare(&[fate(15), fate(25)]);
    assert_eq!(said.unexplained(&comparison).len(), 1);
}
