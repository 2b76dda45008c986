//! Messages stand at the target in the order of the source, in whatever order the source answers.

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use bytes::Bytes;
use mailhaul_engine::journal::State;
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;

const MESSAGES: i64 = 40;

fn letters() -> Vec<Bytes> {
    (0..MESSAGES).map(|n| Bytes::from(message(n))).collect()
}

/// An INBOX that is asked for four messages at a time.
fn inbox(source: Profile) -> World {
    let mut world = World::between(source, Profile::default());
    world.limits.fetch_range_messages_max = 4;
    letters().into_iter().for_each(|octets| _ = world.source.deliver(USER, "INBOX", octets, "\\Seen", DATE));
    world
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_a_later_fetch_first_changes_no_order() {
    let world = inbox(Profile { later_fetch_first: true, ..Profile::default() });
    world.migrate().await;
    assert_eq!(world.octets("INBOX"), letters());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_a_fetch_backwards_changes_no_order() {
    let world = inbox(Profile::default());
    world.source.plan(Planned { at: Trigger::Next, fault: Fault::Backwards, times: 10 });
    world.migrate().await;
    assert_eq!(world.octets("INBOX"), letters());
}

/// Those that come too early wait for one that does not come at all; then the rest keeps its order.
#[tokio::test(start_paused = true)]
async fn one_message_left_out_of_an_answer_holds_up_only_itself() {
    let world = inbox(Profile { later_fetch_first: true, ..Profile::default() });
    world.source.plan(Planned::once(Trigger::Body("INBOX".into(), 9), Fault::LeaveOut));
    world.migrate().await;
    let (mut held, mut wanted) = (world.octets("INBOX"), letters());
    // It is asked for again when everything else is there.
    let last = held.pop().unwrap();
    wanted.retain(|octets| *octets != last);
    assert_eq!((held, wanted.len()), (wanted.clone(), MESSAGES as usize - 1));
}

/// Only one message is asked for at a time once it may be the cause: else the connection breaks at one while another is
/// unanswered, and that one would be given up for it.
#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_connections_is_the_only_one_given_up_where_a_later_fetch_is_answered_first() {
    for poison in 1..=8 {
        let world = inbox(Profile { later_fetch_first: true, ..Profile::default() });
        let at = Trigger::Body("INBOX".into(), poison);
        world.source.plan(Planned { at, fault: Fault::CutFetch(0), times: 100 });
        world.migrate().await;
        let wanted = BTreeMap::from([(State::Verified, MESSAGES as usize - 1), (State::Exception, 1)]);
        assert_eq!(world.states().await, wanted, "{poison}");
    }
}
