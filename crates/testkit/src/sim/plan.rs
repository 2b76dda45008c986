//! What goes wrong, from a seed.

use mailhaul_sandbox::{Alteration, Deed, Fault, Planned, Trigger, UidLie};
use std::time::Duration;

use super::mail;
use super::world::{Cut, Death, End, World};
use crate::corpus::Random;

/// Fills in the trouble of a world. One in ten has none.
pub(super) fn trouble(random: &mut Random, world: &mut World) {
    if random.chance(10) {
        return;
    }
    type Kind = fn(&mut Random, &mut World);
    let kinds: [(u64, Kind); 9] = [
        (35, slow_commits),
        (40, cuts),
        (45, stops),
        (45, at_append),
        (30, at_fetch),
        (25, at_any_command),
        (35, others_at_target),
        (20, others_at_source),
        (15, at_literal),
    ];
    for (percent, kind) in kinds {
        if random.chance(percent) {
            kind(random, world);
        }
    }
}

/// Copies that come back damaged, where that is repaired: as many again beside what else goes wrong.
pub(super) fn damage(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 3) {
        let at = Trigger::Verb("APPEND", random.between(1, 10));
        let fault = match random.below(3) {
            0 => Fault::Truncate(random.below(200) as usize),
            _ => Fault::Alter(Alteration::SameSize),
        };
        world.target_plan.push(Planned::once(at, fault));
    }
}

fn cuts(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 4) {
        // As often within the first hundreds of octets as within the last ten thousands.
        let magnitude = random.between(6, 15);
        let octets = random.below(1 << magnitude);
        world.cuts.push(Cut {
            end: if random.chance(65) { End::Target } else { End::Source },
            connection: random.between(1, 6),
            to_server: random.chance(60),
            octets,
            death: if random.chance(85) { Death::Ends } else { Death::Silence },
        });
    }
}

/// COMMITs that take their time, one in twenty of them more than the engine waits for.
fn slow_commits(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 8) {
        let time = match random.below(20) {
            0 => random.between(29_000, 45_000),
            1..=9 => random.between(1, 400),
            _ => 0,
        };
        world.durable_times.push(Duration::from_millis(time));
    }
}

fn stops(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 3) {
        let magnitude = random.between(4, 8);
        world.stops.push(random.below(1 << magnitude) + 1);
    }
}

fn at_append(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 3) {
        let at = Trigger::Verb("APPEND", random.between(1, 8));
        let fault = append_fault(random, world);
        if random.chance(25) {
            world.target_plan.push(Planned::once(at.clone(), Fault::Twin));
        }
        world.target_plan.push(Planned::once(at, fault));
    }
}

/// A literal that waits for `+` is refused unread, for a reason that may pass.
fn at_literal(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 3) {
        let at = Trigger::Verb("APPEND", random.between(1, 6));
        let text = random.pick(&["NO [UNAVAILABLE] not just now", "NO [INUSE] another one writes"]);
        world.target_plan.push(Planned::once(at, Fault::RefuseLiteral(text.into())));
    }
}

fn append_fault(random: &mut Random, world: &World) -> Fault {
    let settle = world.tuning.settle.0;
    match random.below(20) {
        0..=3 => Fault::DropBeforeStore,
        4..=7 => Fault::DropAfterStore,
        8..=10 => Fault::LateStore(late(random, settle)),
        11 => Fault::RefuseAppend("later, perhaps".into()),
        12 => Fault::RefuseAppend("[OVERQUOTA] Quota exceeded".into()),
        13 => Fault::RefuseAppend("[UNAVAILABLE] not now".into()),
        14 => Fault::AppendUid(random.pick(&[UidLie::Missing, UidLie::OneMore])),
        15 => Fault::AppendUid(random.pick(&[UidLie::OtherEpoch, UidLie::Oldest])),
        16 => Fault::Alter(Alteration::AddHeader),
        17 => Fault::Alter(Alteration::SameSize),
        18 => Fault::Truncate(random.below(400) as usize),
        _ => Fault::OkWithoutStoring,
    }
}

/// A delay that the settle time outlasts twice in three.
fn late(random: &mut Random, settle: Duration) -> Duration {
    let most = if random.chance(67) { settle * 9 / 10 } else { settle * 3 };
    Duration::from_millis(random.between(1, most.as_millis() as u64))
}

fn at_fetch(random: &mut Random, world: &mut World) {
    let at = Trigger::Verb("FETCH", random.between(1, 12));
    let fault = match random.below(5) {
        0 => Fault::CutFetch(random.below(600) as usize),
        1 => Fault::NilBody,
        2 => Fault::LeaveOut,
        3 => Fault::Backwards,
        _ => Fault::Foreign,
    };
    match random.below(3) {
        0 => world.target_plan.push(Planned::once(at, fault)),
        1 => world.source_plan.push(Planned::once(at, fault)),
        _ => {
            // One message whose octets do not come the first times, or never.
            let mailbox = &world.source[random.below(world.source.len() as u64) as usize];
            let uid = random.between(1, mailbox.letters.len().max(1) as u64) as u32;
            let at = Trigger::Body(mailbox.name.into(), uid);
            let fault = if random.chance(50) { Fault::LeaveOut } else { Fault::CutFetch(30) };
            world.source_plan.push(Planned { at, fault, times: random.between(1, 40) as u32 });
        }
    }
}

fn at_any_command(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 2) {
        let at = Trigger::Command(random.between(3, 60));
        let fault = match random.below(9) {
            0 | 1 => Fault::Bye("going down".into()),
            2 => Fault::Answer("NO [UNAVAILABLE] try again".into()),
            3 => Fault::Answer("BAD Request is throttled. Suggested Backoff Time: 30000 milliseconds".into()),
            4 => Fault::Answer("NO [THROTTLED] slower".into()),
            5 => Fault::Untagged("* OK [ALERT] be kind to your server".into()),
            6 => Fault::Silence,
            7 => Fault::UidNextLess(random.between(1, 30) as u32),
            _ => Fault::NoContinuation,
        };
        let plan = if random.chance(65) { &mut world.target_plan } else { &mut world.source_plan };
        plan.push(Planned::once(at, fault));
    }
}

fn others_at_target(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 4) {
        let deed = match random.below(10) {
            0..=2 => deliver(random, world),
            3..=5 => copy_of_a_source_message(random, world),
            6 | 7 => Deed::Delete { mailbox: name(random, world), nth: random.below(40) as usize },
            8 => Deed::Move {
                from: name(random, world),
                to: name(random, world),
                nth: random.below(40) as usize,
            },
            _ => Deed::NewEpoch { mailbox: name(random, world) },
        };
        let at = match random.below(3) {
            0 => Trigger::Verb("APPEND", random.between(1, 8)),
            _ => Trigger::Command(random.between(4, 80)),
        };
        world.target_plan.push(Planned::once(at, Fault::Other(deed)));
    }
}

fn others_at_source(random: &mut Random, world: &mut World) {
    for _ in 0..random.between(1, 3) {
        let deed = match random.below(5) {
            0 | 1 => deliver(random, world),
            2 | 3 => Deed::Delete { mailbox: name(random, world), nth: random.below(40) as usize },
            _ => Deed::NewEpoch { mailbox: name(random, world) },
        };
        let at = Trigger::Command(random.between(4, 60));
        world.source_plan.push(Planned::once(at, Fault::Other(deed)));
    }
}

fn name(random: &mut Random, world: &World) -> String {
    world.source[random.below(world.source.len() as u64) as usize].name.to_owned()
}

fn deliver(random: &mut Random, world: &World) -> Deed {
    let ordinal = 2000 + random.below(1000);
    Deed::Deliver { mailbox: name(random, world), octets: mail::letter(random, ordinal).octets }
}

fn copy_of_a_source_message(random: &mut Random, world: &World) -> Deed {
    let mailbox = &world.source[random.below(world.source.len() as u64) as usize];
    let octets = match mailbox.letters.get(random.below(mailbox.letters.len().max(1) as u64) as usize) {
        Some(letter) => letter.octets.clone(),
        None => mail::letter(random, 3000).octets,
    };
    Deed::Deliver { mailbox: mailbox.name.to_owned(), octets }
}
