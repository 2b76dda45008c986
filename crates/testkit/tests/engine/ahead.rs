//! The first messages of the next mailbox come while the target stores the last ones of the one before.

use crate::late::{DATE, message};
use crate::wire::{USER, World, octets};
use bytes::Bytes;
use mailhaul_engine::journal::State;
use mailhaul_engine::limits::Limits;
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;
use std::time::Duration;

/// An INBOX with so many messages, which goes first, and a mailbox with the same UIDs and fewer, other ones; one connection on each
/// side, to a target that takes its time.
fn two_mailboxes(first: i64, second: i64) -> World {
    let mut world = World::new(Profile { commit_delay: Duration::from_secs(1), ..Profile::default() });
    (world.limits, world.connections) = (Limits::default(), 1);
    world.source.create(USER, "Folder", None, true);
    for (mailbox, numbers) in [("INBOX", 0..first), ("Folder", 10_000..10_000 + second)] {
        for n in numbers {
            world.source.deliver(USER, mailbox, Bytes::from(message(n)), "\\Seen", DATE);
        }
    }
    world
}

/// The mailbox is passed over once more, with the octets of the other one's messages there, under the same UIDs.
#[tokio::test(start_paused = true)]
async fn what_came_ahead_of_the_next_mailbox_is_never_sent_for_a_message_of_this_one() {
    for lost in 1..=4 {
        let world = two_mailboxes(400, 200);
        world.target.plan(Planned::once(Trigger::Verb("APPEND", lost), Fault::DropBeforeStore));
        world.migrate().await;
        assert_eq!(world.target.struck().len(), 1, "{lost}");
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 600)]), "{lost}");
        for mailbox in ["INBOX", "Folder"] {
            let [mut came, mut went] = [world.octets(mailbox), octets(&world.source, mailbox)];
            // What was lost comes last.
            came.sort_unstable();
            went.sort_unstable();
            assert!(came == went, "{mailbox}, {lost}: {} of {}", came.len(), went.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_the_connection_ahead_of_its_turn_is_the_only_one_suspected() {
    for uid in [2, 50, 100, 101, 199] {
        let world = two_mailboxes(400, 230);
        let at = Trigger::Body("Folder".into(), uid);
        world.source.plan(Planned { at, fault: Fault::CutMessage(uid), times: u32::MAX });
        world.migrate().await;
        let moved = BTreeMap::from([(State::Verified, 629), (State::Exception, 1)]);
        assert_eq!(world.states().await, moved, "{uid}");
        let counters = world.source.counters();
        let (logins, fetches) = (counters.logins, counters.commands["FETCH"]);
        assert!(logins <= 9, "{uid}: {logins} logins");
        assert!(fetches <= 25, "{uid}: {fetches} commands");
    }
}
