//! COMPRESS=DEFLATE (RFC 4978) over the wire: where the compressed stream begins, what of it is there at the gate, what
//! becomes of one that is damaged, and servers that do not have it.

use crate::late::{DATE, message};
use crate::wire::{self, PIPE_OCTETS, Said, USER, World, held, overheard};
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use mailhaul_engine::end::{self, Outgoing, Target, TargetSession, Upload, Uploaded, Verdict};
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::{Journal, State};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::message::{Flags, InternalDate};
use mailhaul_engine::net::Dialer;
use mailhaul_engine::progress::{Progress, SideName};
use mailhaul_engine::transfer::spool::Intake;
use mailhaul_sandbox::{Fault, Planned, Profile, Sandbox, Trigger};
use mailhaul_testkit::corpus::Random;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

const COMPRESS: &[u8] = b"COMPRESS DEFLATE\r\n";

/// Where the compressed octets of a client begin in what it said.
fn beyond_compress(said: &[u8]) -> usize {
    said.windows(COMPRESS.len()).position(|w| w == COMPRESS).unwrap() + COMPRESS.len()
}

/// All that a server can make of the octets that have arrived.
fn inflated(wire: &[u8]) -> Vec<u8> {
    let mut inflater = Decompress::new(false);
    let mut plain = Vec::with_capacity(8 << 20);
    inflater.decompress_vec(wire, &mut plain, FlushDecompress::Sync).unwrap();
    assert_eq!((inflater.total_in(), plain.len() < 8 << 20), (wire.len() as u64, true));
    plain
}

fn deflated(deflater: &mut Compress, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 1024);
    deflater.compress_vec(plain, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.len() < out.capacity());
    out
}

// ---- the gate

async fn outgoing(octets: Bytes) -> Outgoing {
    Outgoing {
        flags: Flags::from_atoms([&b"\\Seen"[..]]),
        internal_date: Some(InternalDate::from_octets(DATE.as_bytes())),
        body: Intake::new(".", u64::MAX).body(octets).await.unwrap(),
    }
}

/// What of the commands a server can read by now, everything on its way having arrived.
async fn readable(said: &Said) -> Vec<u8> {
    // Simulated time goes on when nobody has anything to do.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let said = said.lock().unwrap();
    inflated(&said[beyond_compress(&said)..])
}

/// Prose, or what does not compress at all; its last octet is nowhere else.
fn body(octets: usize, compressible: bool) -> Bytes {
    let head = b"Subject: x\r\n\r\n".to_vec();
    let text = match compressible {
        true => b"the same line again\r\n".repeat(octets / 21 + 1),
        false => Random::new(octets as u64).octets(octets).into_iter().filter(|o| *o != b'!').collect(),
    };
    [head, text, b"!".to_vec()].concat().into()
}

#[tokio::test(start_paused = true)]
async fn at_the_gate_the_server_can_inflate_every_octet_before_it_and_none_after_it() {
    for without in [&[][..], &["MULTIAPPEND"], &["LITERAL+"], &["LITERAL+", "MULTIAPPEND"]] {
        // More than the pipe, the compressor and a piece of its output hold, and next to nothing.
        for (octets, compressible) in [(1, true), (2_000_000, true), (700, false), (500_000, false)] {
            let case = format!("{octets} octets, compressible: {compressible}, without {without:?}");
            let server = Sandbox::new(Profile::default());
            server.add_user(USER, wire::PASSWORD);
            let (dialer, said) = overheard(&server);
            let without: Vec<String> = without.iter().map(|w| (*w).to_owned()).collect();
            let mut opener = wire::opener(&server, &Limits::default(), &without);
            (opener.dialer, opener.compress) = (dialer, true);
            let mut session = ImapTarget(opener).connect().await.unwrap();
            assert_eq!(session.abilities().compression, end::Compression::Deflate);
            let bodies = [body(octets, compressible), body(octets, compressible)];
            let batch = vec![outgoing(bodies[0].clone()).await, outgoing(bodies[1].clone()).await];
            let mut upload = session.stage(&Bytes::from_static(b"INBOX"), batch);
            assert_eq!(upload.uploaded().await, Uploaded::AtGate, "{case}");
            let gated = if session.abilities().multi { &bodies[1] } else { &bodies[0] };
            let at_gate = readable(&said).await;
            assert!(at_gate.ends_with(&gated[..gated.len() - 1]), "{case}");
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(readable(&said).await.len(), at_gate.len(), "{case}: nothing comes by itself");
            assert_eq!(wire::octets(&server, "INBOX"), Vec::<Bytes>::new(), "{case}");
            let answers = upload.finish().await;
            assert!(
                answers.iter().all(|a| matches!(a.verdict, Verdict::Stored(Some(_)))),
                "{case}: {answers:?}"
            );
            let after = readable(&said).await;
            assert_eq!(&after[at_gate.len()..at_gate.len() + 1], b"!", "{case}");
            assert!(after.ends_with(b"!\r\n"), "{case}");
            assert_eq!(wire::octets(&server, "INBOX"), bodies, "{case}");
        }
    }
}

/// A way to a server through a narrow pipe that passes nothing on to it while told not to.
fn narrow(server: &Sandbox) -> (Dialer, watch::Sender<bool>) {
    const OCTETS: usize = 64;
    let (server, (passes, told)) = (server.clone(), watch::channel(true));
    let way = move || {
        let (ours, theirs) = tokio::io::duplex(OCTETS);
        let (mut client, mut server) = (tokio::io::split(theirs), tokio::io::split(wire::dial(&server)));
        let mut told = told.clone();
        tokio::spawn(async move { tokio::io::copy(&mut server.0, &mut client.1).await });
        tokio::spawn(async move {
            let mut octets = [0; OCTETS];
            while told.wait_for(|passes| *passes).await.is_ok()
                && let Ok(read @ 1..) = client.0.read(&mut octets).await
                && server.1.write_all(&octets[..read]).await.is_ok()
            {}
        });
        ours
    };
    (Dialer::InProcess(Arc::new(way)), passes)
}

#[tokio::test(start_paused = true)]
async fn the_gate_is_not_reached_while_an_octet_before_it_has_not_left() {
    let server = Sandbox::new(Profile::default());
    server.add_user(USER, wire::PASSWORD);
    let (dialer, passes) = narrow(&server);
    let mut opener = wire::opener(&server, &Limits::default(), &[]);
    (opener.dialer, opener.compress) = (dialer, true);
    let mut session = ImapTarget(opener).connect().await.unwrap();
    passes.send_replace(false);
    // The compressor takes it whole at once; the pipe does not.
    let octets = body(2000, false);
    let mut upload = session.stage(&Bytes::from_static(b"INBOX"), vec![outgoing(octets.clone()).await]);
    let reached = tokio::time::timeout(Duration::from_secs(5), upload.uploaded()).await;
    assert!(reached.is_err(), "{reached:?}");
    passes.send_replace(true);
    assert_eq!(upload.uploaded().await, Uploaded::AtGate);
    let answers = upload.finish().await;
    assert!(matches!(answers[..], [end::Answer { verdict: Verdict::Stored(_), .. }]), "{answers:?}");
    assert_eq!(wire::octets(&server, "INBOX"), [octets]);
}

// ---- where the compressed stream begins, and how it ends

/// A pipe of `octets` whose other end a script serves.
fn scripted<F: Future<Output = ()> + Send + 'static>(
    octets: usize,
    script: impl FnOnce(DuplexStream) -> F,
) -> ImapTarget {
    let (ours, theirs) = tokio::io::duplex(octets);
    tokio::spawn(script(theirs));
    let ours = Mutex::new(Some(ours));
    let mut opener = wire::opener(&Sandbox::new(Profile::default()), &Limits::default(), &[]);
    opener.dialer = Dialer::InProcess(Arc::new(move || ours.lock().unwrap().take().unwrap()));
    opener.compress = true;
    ImapTarget(opener)
}

/// Greets as logged in and answers everything until COMPRESS, whose tag it returns.
async fn until_compress(stream: &mut DuplexStream) -> String {
    stream.write_all(b"* PREAUTH [CAPABILITY IMAP4rev1 UIDPLUS COMPRESS=DEFLATE] hello\r\n").await.unwrap();
    let mut line = Vec::new();
    loop {
        line.push(stream.read_u8().await.unwrap());
        let Some(command) = line.strip_suffix(b"\r\n") else { continue };
        let command = String::from_utf8(command.to_vec()).unwrap();
        let (tag, command) = command.split_once(' ').unwrap();
        if command == "COMPRESS DEFLATE" {
            return tag.to_owned();
        }
        stream.write_all(format!("{tag} OK done\r\n").as_bytes()).await.unwrap();
        line.clear();
    }
}

/// Reads a compressed command and returns its tag.
async fn compressed_command(stream: &mut DuplexStream) -> String {
    let mut wire = Vec::new();
    loop {
        wire.push(stream.read_u8().await.unwrap());
        let plain = inflated(&wire);
        if plain.ends_with(b"\r\n") {
            return String::from_utf8(plain).unwrap().split_once(' ').unwrap().0.to_owned();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_octet_is_lost_or_doubled_where_the_compressed_stream_begins() {
    const FIRST: &[u8] = b"* OK compressed from its first octet on\r\n* STATUS INBOX (MESSAGES 7";
    const REST: &[u8] = b" UIDNEXT 8 UIDVALIDITY 9)\r\n";
    // A pipe of one octet gives one octet at a time; in a wide one the OK and what follows it come in one read.
    for pipe in [1, 2, 7, PIPE_OCTETS] {
        for with_the_ok in [0, 1, 10, usize::MAX] {
            let target = scripted(pipe, move |mut stream| async move {
                let tag = until_compress(&mut stream).await;
                let mut deflater = Compress::new(Compression::new(6), false);
                let first = deflated(&mut deflater, FIRST);
                let (with, after) = first.split_at(first.len().min(with_the_ok));
                stream.write_all(&[format!("{tag} OK active\r\n").as_bytes(), with].concat()).await.unwrap();
                let tag = compressed_command(&mut stream).await;
                let done = format!("{tag} OK done\r\n");
                let rest = deflated(&mut deflater, &[REST, done.as_bytes()].concat());
                stream.write_all(&[after, &rest].concat()).await.unwrap();
                // Nothing more is said; the connection stays until the client goes.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
            let mut session = target.connect().await.unwrap();
            let counts = session.counts(&Bytes::from_static(b"INBOX")).await;
            let counts =
                counts.unwrap_or_else(|e| panic!("pipe {pipe}, {with_the_ok} octets with the OK: {e}"));
            assert_eq!((counts.messages, counts.uid_next.map(|k| k.0)), (7, Some(8)));
        }
    }
}

/// What a client is told whose question is answered with these octets, after which the connection ends.
async fn answered_with(answer: impl FnOnce(&str) -> Vec<u8> + Send + 'static) -> EndError {
    let target = scripted(PIPE_OCTETS, move |mut stream| async move {
        let tag = until_compress(&mut stream).await;
        stream.write_all(format!("{tag} OK active\r\n").as_bytes()).await.unwrap();
        let tag = compressed_command(&mut stream).await;
        stream.write_all(&answer(&tag)).await.unwrap();
    });
    let mut session = target.connect().await.unwrap();
    session.counts(&Bytes::from_static(b"INBOX")).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_damaged_stream_ends_the_connection_with_clear_words() {
    let error = answered_with(|tag| format!("{tag} OK in clear text\r\n").into_bytes()).await;
    assert!(matches!(&error, EndError::Protocol { doing: "STATUS", .. }), "{error:?}");
    assert!(error.is_connection(), "another connection may serve");
    let words = "broke the protocol while STATUS: what it sent cannot be inflated (COMPRESS=DEFLATE): ";
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_end_within_a_deflated_block_is_a_lost_connection() {
    let error = answered_with(|tag| {
        let answer = format!("* STATUS INBOX (MESSAGES 7 UIDNEXT 8 UIDVALIDITY 9)\r\n{tag} OK done\r\n");
        let mut wire = deflated(&mut Compress::new(Compression::new(6), false), answer.as_bytes());
        wire.truncate(wire.len() - 12);
        wire
    })
    .await;
    assert!(matches!(&error, EndError::Lost { doing: "STATUS", .. }), "{error:?}");
}

// ---- whole migrations

fn world(target: Profile) -> World {
    let mut world = World::new(target);
    world.compress = true;
    (0..9).for_each(|n| _ = world.source.deliver(USER, "INBOX", message(n), "\\Seen", DATE));
    world
}

/// For which sides it was said that they are not compressed, and why.
fn uncompressed(told: &[Progress]) -> BTreeMap<&'static str, String> {
    let of = |event: &Progress| match event {
        Progress::Uncompressed { side: SideName::Source, why } => Some(("source", why.clone())),
        Progress::Uncompressed { side: SideName::Target, why } => Some(("target", why.clone())),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

fn asked(server: &Sandbox) -> u64 {
    server.counters().commands.get("COMPRESS").copied().unwrap_or(0)
}

async fn all_moved(world: &World) {
    assert_eq!(world.held(), held(&world.source));
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 9)]));
}

#[tokio::test(start_paused = true)]
async fn compressed_an_account_moves_whole_in_a_fraction_of_the_octets() {
    let mut octets = Vec::new();
    for compress in [false, true] {
        let mut world = world(Profile::default());
        world.compress = compress;
        for n in 0..9 {
            let text = format!("{}{}", message(n), "one more line of this message\r\n".repeat(400));
            world.source.replace(USER, "INBOX", n as u32 + 1, text.into());
        }
        let (dialer, said) = overheard(&world.target);
        world.target_dialer = Some(dialer);
        let told = world.migrate_and_listen().await;
        assert_eq!(uncompressed(&told), BTreeMap::new());
        all_moved(&world).await;
        let connections = world.target.counters().logins;
        assert_eq!(asked(&world.target), if compress { connections } else { 0 }, "once a connection");
        octets.push(said.lock().unwrap().len());
    }
    assert!(octets[1] * 4 < octets[0], "{octets:?}");
}

#[tokio::test(start_paused = true)]
async fn a_half_whose_server_does_not_offer_it_goes_uncompressed_and_is_told_so() {
    let world = world(Profile { compress: false, ..Profile::default() });
    let migration = world.migration();
    let (_, plan) = migration.plan().await.unwrap();
    migration.journal.release().await.unwrap();
    let remark = "connections to the new server are not compressed: it does not offer COMPRESS=DEFLATE";
    assert_eq!(plan.remarks.iter().filter(|r| r.contains("compressed")).collect::<Vec<_>>(), [remark]);
    let told = uncompressed(&world.migrate_and_listen().await);
    assert_eq!(told, BTreeMap::from([("target", "it does not offer COMPRESS=DEFLATE".into())]));
    all_moved(&world).await;
    assert!(asked(&world.source) > 0, "the other half is compressed");
    assert_eq!(asked(&world.target), 0, "it is not asked for what it does not offer");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_what_it_offers_is_used_without() {
    for answer in ["NO [COMPRESSIONACTIVE] TLS compresses already", "BAD what?"] {
        let world = world(Profile::default());
        for n in 1..=20 {
            world.target.plan(Planned::once(Trigger::Verb("COMPRESS", n), Fault::Answer(answer.into())));
        }
        let told = uncompressed(&world.migrate_and_listen().await);
        assert_eq!(told, BTreeMap::from([("target", format!("it refused COMPRESS=DEFLATE: {answer}"))]));
        all_moved(&world).await;
    }
}
