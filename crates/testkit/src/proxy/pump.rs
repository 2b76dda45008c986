//! Moves the octets of one connection, both ways, and applies its plan.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::filter::{End, Filters, LateDelivery};
use super::{Direction, Ended, Fault, How, Plan, Records, Watch};

/// Octets read at once.
const CHUNK_OCTETS: usize = 64 << 10;
/// Chunks under way in one direction: what a delay holds back, and then the sender waits. At least 16 MiB.
const CHUNKS_UNDER_WAY: usize = 256;
/// Writes a second under a [`Fault::Bandwidth`], at least.
const PACED_WRITES_A_SECOND: u64 = 50;
/// How long an orderly cut reads on what the peers still send, so that unread octets do not turn it into a reset.
const LINGER: Duration = Duration::from_secs(5);
/// How long a reset waits for what was written before to leave the kernel.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// How one direction ended.
enum Way {
    /// Its sender closed it, and so the receiver was told.
    Closed,
    /// A socket failed.
    Failed,
    /// Its cut came.
    Cut(How),
    /// Nothing goes either way any more.
    HalfOpen,
    /// Octets are held for later.
    Late(LateDelivery),
}

/// What happens when a number of octets went.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Cut(How),
    Stall,
    HalfOpen,
}

/// One direction's part of a plan.
#[derive(Debug)]
struct Lane {
    direction: Direction,
    delay: Duration,
    octets_per_second: Option<u64>,
    slice_octets: usize,
    stops: Vec<(u64, Stop)>,
    filters: Filters,
}

impl Lane {
    fn of(plan: &Plan, way: Direction, filters: Filters) -> Self {
        let mut lane = Self {
            direction: way,
            delay: Duration::ZERO,
            octets_per_second: None,
            slice_octets: CHUNK_OCTETS,
            stops: Vec::new(),
            filters,
        };
        for fault in plan {
            match *fault {
                Fault::CutAfter { direction, octets, how } if direction == way => {
                    lane.stops.push((octets, Stop::Cut(how)));
                }
                Fault::Stall { direction, octets } if direction == way => {
                    lane.stops.push((octets, Stop::Stall));
                }
                Fault::HalfOpen { direction, octets } if direction == way => {
                    lane.stops.push((octets, Stop::HalfOpen));
                }
                Fault::Delay(delay) => lane.delay = delay,
                Fault::Bandwidth(rate) => lane.octets_per_second = Some(rate.max(1)),
                Fault::Slice(octets) => lane.slice_octets = octets.max(1),
                // of the other way, or a filter's
                _ => {}
            }
        }
        lane
    }

    /// Octets that may be written at once after `sent` octets: 0 where the direction ends or falls silent.
    fn next_write(&self, sent: u64, waiting: usize) -> usize {
        let paced =
            self.octets_per_second.map_or(usize::MAX, |rate| (rate / PACED_WRITES_A_SECOND).max(1) as usize);
        let left = self.stops.iter().map(|(octets, _)| octets.saturating_sub(sent)).min();
        let left = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        waiting.min(self.slice_octets).min(paced).min(left)
    }

    fn stop_now(&self, sent: u64) -> Option<Stop> {
        self.stops.iter().find(|(octets, _)| *octets == sent).map(|(_, stop)| *stop)
    }
}

/// Connects to the server. From here on a socket that is merely dropped is reset, also when the whole proxy is; an
/// orderly end takes that back.
pub(super) async fn connect(address: SocketAddr, client: &TcpStream) -> io::Result<TcpStream> {
    abort_when_closed(client, true)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    abort_when_closed(&socket, true)?;
    let server = socket.connect(address).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Runs a connection to its end.
pub(super) async fn run(
    mut client: TcpStream,
    mut server: TcpStream,
    watch: Option<&Watch>,
    records: &Records,
    ordinal: usize,
) -> Ended {
    let plan = records.with(ordinal, |record| record.plan.clone());
    let (up, down) = Filters::of(&plan, watch, ordinal);
    let lanes = (Lane::of(&plan, Direction::ToServer, up), Lane::of(&plan, Direction::ToClient, down));
    let ended = match both_ways(&mut client, &mut server, lanes, records, ordinal).await {
        Closed::Ended(ended) => ended,
        Closed::Late(late) => return deliver_late(client, server, late, records, ordinal).await,
    };
    match ended {
        Ended::Cut(How::Rst) => {
            await_sent(&client).await;
            await_sent(&server).await;
        }
        Ended::Cut(How::Fin) => {
            tokio::join!(close_in_order(client), close_in_order(server));
        }
        Ended::ByPeers => {
            // what the kernel still holds is to arrive
            for socket in [&client, &server] {
                let _ = abort_when_closed(socket, false);
            }
        }
        Ended::Broken | Ended::NoServer | Ended::Late => {}
    }
    ended
}

/// How the common part of a connection ended.
enum Closed {
    Ended(Ended),
    Late(LateDelivery),
}

async fn both_ways(
    client: &mut TcpStream,
    server: &mut TcpStream,
    (up, down): (Lane, Lane),
    records: &Records,
    ordinal: usize,
) -> Closed {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = one_way(from_client, to_server, up, records, ordinal);
    let down = one_way(from_server, to_client, down, records, ordinal);
    tokio::pin!(up, down);
    let (mut up_open, mut down_open) = (true, true);
    while up_open || down_open {
        let way = tokio::select! {
            way = &mut up, if up_open => { up_open = false; way }
            way = &mut down, if down_open => { down_open = false; way }
        };
        match way {
            Way::Cut(how) => return Closed::Ended(Ended::Cut(how)),
            Way::Failed => return Closed::Ended(Ended::Broken),
            Way::Late(late) => return Closed::Late(late),
            Way::HalfOpen => {
                records.with(ordinal, |record| record.stalled = true);
                return pending().await;
            }
            // the silent direction never ends by itself: its receiver's going ends the connection
            Way::Closed if records.with(ordinal, |record| record.stalled) => {
                return Closed::Ended(Ended::Broken);
            }
            Way::Closed => {}
        }
    }
    Closed::Ended(Ended::ByPeers)
}

/// Waits until the client is gone, or sends it away, and hands the server what was held.
async fn deliver_late(
    mut client: TcpStream,
    mut server: TcpStream,
    late: LateDelivery,
    records: &Records,
    ordinal: usize,
) -> Ended {
    match late.hang_up {
        Some(How::Rst) => drop(client),
        Some(How::Fin) => close_in_order(client).await,
        None => {
            let mut ignored = tokio::io::sink();
            // a reset is an end, too
            let _ = tokio::io::copy(&mut client, &mut ignored).await;
        }
    }
    sleep(late.after).await;
    if server.write_all(&late.octets).await.is_err() {
        return Ended::Broken;
    }
    records.with(ordinal, |record| record.to_server_octets += late.octets.len() as u64);
    close_in_order(server).await;
    Ended::Late
}

async fn one_way(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    lane: Lane,
    records: &Records,
    ordinal: usize,
) -> Way {
    let (put, take) = mpsc::channel(CHUNKS_UNDER_WAY);
    let reading = read(from, put, lane.delay);
    let writing = write(to, take, lane, records, ordinal);
    tokio::pin!(reading, writing);
    tokio::select! {
        way = &mut writing => way,
        result = &mut reading => match result {
            // what was read is still to be written
            Ok(()) => writing.await,
            Err(_) => Way::Failed,
        },
    }
}

/// Reads until the sender closes; each chunk is due `delay` later.
async fn read(from: ReadHalf<'_>, put: mpsc::Sender<(Instant, Bytes)>, delay: Duration) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_OCTETS];
    loop {
        from.readable().await?;
        let read = match from.try_read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        if put.send((Instant::now() + delay, Bytes::copy_from_slice(&chunk[..read]))).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut take: mpsc::Receiver<(Instant, Bytes)>,
    mut lane: Lane,
    records: &Records,
    ordinal: usize,
) -> Way {
    let mut sent = 0;
    let mut waiting = Bytes::new();
    let mut end = None;
    let mut open = true;
    loop {
        match lane.stop_now(sent) {
            Some(Stop::Cut(how)) => return Way::Cut(how),
            Some(Stop::HalfOpen) => return Way::HalfOpen,
            Some(Stop::Stall) => {
                records.with(ordinal, |record| record.stalled = true);
                return pending().await;
            }
            None => {}
        }
        if waiting.is_empty() {
            match end.take() {
                Some(End::Cut(how)) => return Way::Cut(how),
                Some(End::Late(late)) => return Way::Late(late),
                None if !open => {
                    return if to.shutdown().await.is_ok() { Way::Closed } else { Way::Failed };
                }
                None => {}
            }
            if let Some((due, chunk)) = take.recv().await {
                sleep_until(due).await;
                (waiting, end) = lane.filters.pass(chunk);
            } else {
                open = false;
                waiting = lane.filters.rest();
            }
            continue;
        }
        let piece = &waiting[..lane.next_write(sent, waiting.len())];
        let Ok(written) = write_some(&to, piece, &lane, records, ordinal).await else { return Way::Failed };
        waiting.advance(written);
        sent += written as u64;
        if let Some(rate) = lane.octets_per_second {
            sleep(Duration::from_secs_f64(written as f64 / rate as f64)).await;
        }
    }
}

/// Writes and counts as one step: who has seen an octet arrive finds it in the record.
async fn write_some(
    to: &WriteHalf<'_>,
    piece: &[u8],
    lane: &Lane,
    records: &Records,
    ordinal: usize,
) -> io::Result<usize> {
    loop {
        to.writable().await?;
        let result = records.with(ordinal, |record| {
            let written = to.try_write(piece)?;
            match lane.direction {
                Direction::ToServer => record.to_server_octets += written as u64,
                Direction::ToClient => record.to_client_octets += written as u64,
            }
            Ok(written)
        });
        match result {
            Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

fn abort_when_closed<'a, S>(socket: &'a S, abort: bool) -> io::Result<()>
where
    SockRef<'a>: From<&'a S>,
{
    SockRef::from(socket).set_linger(abort.then_some(Duration::ZERO))
}

/// Tells the peer the end and reads on until it closes too.
async fn close_in_order(mut socket: TcpStream) {
    let told = abort_when_closed(&socket, false).is_ok() && socket.shutdown().await.is_ok();
    if told {
        let mut ignored = tokio::io::sink();
        // a peer that does not close is left to itself
        let _ = timeout(LINGER, tokio::io::copy(&mut socket, &mut ignored)).await;
    }
}

/// Waits until the peer's kernel has all that was written: a reset throws away what was not sent yet.
async fn await_sent(socket: &TcpStream) {
    let (Ok(local), Ok(peer)) = (socket.local_addr(), socket.peer_addr()) else { return };
    let deadline = Instant::now() + DRAIN_LIMIT;
    while unsent_octets(local, peer).is_some_and(|octets| octets > 0) && Instant::now() < deadline {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Octets the kernel holds for the peer, from Linux' table of connections (proc(5), /proc/net/tcp).
fn unsent_octets(local: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let (local, peer) = (proc_address(local)?, proc_address(peer)?);
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ours = fields.next()? == local && fields.next()? == peer;
        let queues = fields.nth(1)?;
        if ours { u64::from_str_radix(queues.split(':').next()?, 16).ok() } else { None }
    })
}

/// `0100007F:1F90`: the address in the machine's order, the port in the network's.
fn proc_address(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
}
