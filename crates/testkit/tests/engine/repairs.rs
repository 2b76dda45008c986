//! What a repair is about, over the wire: what is said of it before anything is sent, and a consent that stands for
//! later runs.

use crate::late::DATE;
use crate::wire::{USER, World};
use mailhaul_engine::journal::State;
use mailhaul_sandbox::Profile;
use std::collections::BTreeMap;

const NUL: &str = "From: a@b.example\r\nSubject: nul\r\n\r\na\0b\r\n";

fn deliver(world: &World, letter: &str) {
    world.source.deliver(USER, "INBOX", letter.to_owned(), "\\Seen $Work", DATE).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_earlier_runs_gave_up_is_said_with_its_number_before_the_next_one_and_moves_by_a_standing_consent() {
    let mut world = World::new(Profile { refuse_nul: true, ..Profile::default() });
    deliver(&world, NUL);
    assert_eq!(world.plan().await.cannot_go, [], "nothing is known yet");
    world.migrate().await;
    let plan = world.plan().await;
    let said: Vec<String> = plan.cannot_go.iter().map(|one| one.with_option(plan.repairs)).collect();
    assert!(said[0].starts_with("what earlier runs gave up (1 message): "), "{said:?}");
    assert!(said[0].ends_with(": --repair") && plan.questions.is_empty(), "{said:?}");
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Exception, 1)]), "without a consent nothing is");

    world.consent = Some(true);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 1)]));
    world.consent = None;
    deliver(&world, NUL);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2)]), "it stands");
    assert!(world.plan().await.repairs);

    world.consent = Some(false);
    deliver(&world, NUL);
    world.migrate().await;
    world.consent = None;
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2), (State::Exception, 1)]), "taken back");
}
