//! How many round trips a run takes one after the other: over lines that delay everything by half of one, with a paused clock,
//! the time of a run is their number. Work costs no time here, nor do octets.

use crate::late::{DATE, message};
use crate::wire::{PIPE_OCTETS, USER, World, dial};
use bytes::Bytes;
use mailhaul_engine::journal::Journal;
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::run::RunEnd;
use mailhaul_sandbox::{Profile, Sandbox};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Long beside every wait of the engine that is not for a server.
const ROUND_TRIP: Duration = Duration::from_secs(10);

/// A way to a server that every octet takes half a round trip for, in each direction.
fn far(server: &Sandbox) -> Dialer {
    let server = server.clone();
    Dialer::InProcess(Arc::new(move || {
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        let (client, server) = (tokio::io::split(theirs), tokio::io::split(dial(&server)));
        tokio::spawn(carry(client.0, server.1));
        tokio::spawn(carry(server.0, client.1));
        ours
    }))
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin + Send + 'static) {
    let (on_its_way, mut arrives) = mpsc::unbounded_channel::<(Instant, Bytes)>();
    tokio::spawn(async move {
        while let Some((at, octets)) = arrives.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&octets).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut octets = vec![0; PIPE_OCTETS];
    while let Ok(read @ 1..) = from.read(&mut octets).await {
        let _ = on_its_way.send((Instant::now() + ROUND_TRIP / 2, Bytes::copy_from_slice(&octets[..read])));
    }
}

/// An account of so many mailboxes with so many messages each, far from a target that is as far.
fn account(mailboxes: usize, messages: i64, connections: usize) -> World {
    account_of((Profile::default(), Profile::default()), mailboxes, messages, connections)
}

fn account_of(
    (source, target): (Profile, Profile),
    mailboxes: usize,
    messages: i64,
    connections: usize,
) -> World {
    let mut world = World::between(source, target);
    (world.limits, world.connections) = (Limits::default(), connections);
    for mailbox in 0..mailboxes {
        let name = if mailbox == 0 { "INBOX".to_owned() } else { format!("Folder {mailbox}") };
        world.source.create(USER, &name, None, true);
        for n in 0..messages {
            let octets = Bytes::from(message(mailbox as i64 * messages + n));
            world.source.deliver(USER, &name, octets, "\\Seen", DATE);
        }
    }
    world
}

/// One run of `migrate`, and the round trips it took.
async fn migrate(world: &World) -> (RunEnd, u64) {
    let mut migration = world.migration();
    migration.source.0.dialer = far(&world.source);
    migration.target.0.dialer = far(&world.target);
    let began = Instant::now();
    let end = migration.migrate().await.unwrap();
    let took = began.elapsed();
    migration.journal.release().await.unwrap();
    (end, took.as_secs() / ROUND_TRIP.as_secs())
}

/// The first pass: half a one for the greeting, login, ID and NAMESPACE, LIST with the quota; then CREATE and EXAMINE of all mailboxes
/// and SUBSCRIBE, while those who copy beside the first connect, which takes them two and a half; list, and the messages come with
/// the listing; for each mailbox of a writer APPEND, while the next one is listed, and its messages come; reading back, and the last
/// listings. Nobody waits for LOGOUT. How many mailboxes one writer has decides, not how many there are; of two the first writer has
/// taken both before the second one is there.
#[tokio::test(start_paused = true)]
async fn a_move_of_small_mailboxes_takes_a_round_trip_for_each_of_a_writer_and_nine_more() {
    for (mailboxes, connections) in [(2, 3), (10, 3), (10, 5), (40, 5)] {
        let world = account(mailboxes, 20, connections);
        let (end, took) = migrate(&world).await;
        assert_eq!((end.left, end.questions), (Vec::new(), Vec::new()));
        assert_eq!(world.target.counters().appended, mailboxes as u64 * 20);
        let writers = connections - 1;
        let most = 9 + mailboxes.div_ceil(writers).max(2) as u64;
        assert!(took <= most, "{mailboxes} mailboxes, {connections} connections: {took} of {most}");
    }
}

/// The account `mini` of docs/benchmarks.md.
#[tokio::test(start_paused = true)]
async fn a_thousand_messages_in_ten_mailboxes_take_twelve_round_trips_over_five_connections() {
    let world = account(10, 0, 5);
    for (mailbox, n) in (0..10).flat_map(|mailbox| (0..100).map(move |n| (mailbox, n))) {
        let name = if mailbox == 0 { "INBOX".to_owned() } else { format!("Folder {mailbox}") };
        let octets = format!("{}{}\r\n", message(mailbox * 100 + n), "x".repeat(4600));
        world.source.deliver(USER, &name, Bytes::from(octets), "\\Seen", DATE);
    }
    let (end, took) = migrate(&world).await;
    assert_eq!((end.left, end.questions), (Vec::new(), Vec::new()));
    assert_eq!(world.target.counters().appended, 1000);
    assert!(took <= 12, "{took}");
}

/// Where it is not told how long the messages of a mailbox are they are asked for when they are listed: FETCH, then APPEND.
#[tokio::test(start_paused = true)]
async fn where_the_source_tells_no_size_a_move_takes_two_round_trips_for_each_mailbox_of_a_writer() {
    for (mailboxes, connections) in [(2, 3), (10, 3), (10, 5), (40, 5)] {
        let source = Profile { status_size: false, ..Profile::default() };
        let world = account_of((source, Profile::default()), mailboxes, 20, connections);
        let (end, took) = migrate(&world).await;
        assert_eq!((end.left, end.questions), (Vec::new(), Vec::new()));
        assert_eq!(world.target.counters().appended, mailboxes as u64 * 20);
        let writers = connections - 1;
        let most = 9 + 2 * mailboxes.div_ceil(writers) as u64;
        assert!(took <= most, "{mailboxes} mailboxes, {connections} connections: {took} of {most}");
    }
}

/// While a target that takes its time stores the last messages of a mailbox, the next one is listed, and its first messages come: it
/// has the next batch as soon as it has stored the last one.
#[tokio::test(start_paused = true)]
async fn a_target_that_takes_two_round_trips_to_store_never_waits_for_the_next_mailbox() {
    const STORES: u64 = 2;
    let mailboxes = 10;
    let slow = Profile { commit_delay: ROUND_TRIP * STORES as u32, ..Profile::default() };
    let (end, took) = migrate(&account_of((Profile::default(), slow), mailboxes, 20, 2)).await;
    assert_eq!((end.left, end.questions), (Vec::new(), Vec::new()));
    let most = 9 + (1 + STORES) * mailboxes as u64;
    assert!(took <= most, "{took} of {most}");
}

/// With nothing new the number of mailboxes means nothing.
#[tokio::test(start_paused = true)]
async fn a_second_pass_takes_three_round_trips_with_its_login_however_many_mailboxes_there_are() {
    for mailboxes in [1, 10, 60] {
        let world = account(mailboxes, 2, 3);
        migrate(&world).await;
        let (end, took) = migrate(&world).await;
        assert_eq!((end.left, end.questions), (Vec::new(), Vec::new()));
        assert!(took <= 3, "{mailboxes} mailboxes: {took}");
    }
}

/// Where the target tells no HIGHESTMODSEQ every mailbox is listed once more: all of them together.
#[tokio::test(start_paused = true)]
async fn a_second_pass_that_must_list_the_target_lists_all_mailboxes_at_once() {
    let mut world = account(40, 2, 3);
    world.without = vec!["CONDSTORE".into()];
    migrate(&world).await;
    let (end, took) = migrate(&world).await;
    assert_eq!((end.left, end.questions), (Vec::new(), Vec::new()));
    assert!(took <= 5, "{took}");
}
