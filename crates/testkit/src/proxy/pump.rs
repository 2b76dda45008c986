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

use super::{Direction, Ended, Fault, How, Plan, Records};

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
}

/// One direction's part of a plan.
#[derive(Clone, Copy, Debug)]
struct Lane {
    direction: Direction,
    delay: Duration,
    octets_per_second: Option<u64>,
    slice_octets: usize,
    cut: Option<(u64, How)>,
    stall_octets: Option<u64>,
}

impl Lane {
    fn of(plan: &Plan, way: Direction) -> Self {
        let mut lane = Self {
            direction: way,
            delay: Duration::ZERO,
            octets_per_second: None,
            slice_octets: CHUNK_OCTETS,
            cut: None,
            stall_octets: None,
        };
        for fault in plan {
            match *fault {
                Fault::CutAfter { direction, octets, how } if direction == way => {
                    lane.cut = Some((octets, how))
                }
                Fault::Stall { direction, octets } if direction == way => lane.stall_octets = Some(octets),
                Fault::Delay(delay) => lane.delay = delay,
                Fault::Bandwidth(rate) => lane.octets_per_second = Some(rate.max(1)),
                Fault::Slice(octets) => lane.slice_octets = octets.max(1),
                Fault::CutAfter { .. } | Fault::Stall { .. } => {}
            }
        }
        lane
    }

    /// Octets that may be written at once after `sent` octets: 0 where the direction ends or falls silent.
    fn next_write(&self, sent: u64, waiting: usize) -> usize {
        let paced =
            self.octets_per_second.map_or(usize::MAX, |rate| (rate / PACED_WRITES_A_SECOND).max(1) as usize);
        let limits = [self.cut.map(|(octets, _)| octets), self.stall_octets];
        let left = limits.into_iter().flatten().map(|octets| octets.saturating_sub(sent)).min();
        let left = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        waiting.min(self.slice_octets).min(paced).min(left)
    }

    fn cut_now(&self, sent: u64) -> Option<How> {
        self.cut.filter(|(octets, _)| *octets == sent).map(|(_, how)| how)
    }

    fn stalls_now(&self, sent: u64) -> bool {
        self.stall_octets == Some(sent)
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
    records: &Records,
    ordinal: usize,
) -> Ended {
    let plan = records.with(ordinal, |record| record.plan.clone());
    let ended = both_ways(&mut client, &mut server, &plan, records, ordinal).await;
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
        Ended::Broken | Ended::NoServer => {}
    }
    ended
}

async fn both_ways(
    client: &mut TcpStream,
    server: &mut TcpStream,
    plan: &Plan,
    records: &Records,
    ordinal: usize,
) -> Ended {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = Lane::of(plan, Direction::ToServer);
    let down = Lane::of(plan, Direction::ToClient);
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
            Way::Cut(how) => return Ended::Cut(how),
            Way::Failed => return Ended::Broken,
            // the silent direction never ends by itself: its receiver's going ends the connection
            Way::Closed if records.with(ordinal, |record| record.stalled) => return Ended::Broken,
            Way::Closed => {}
        }
    }
    Ended::ByPeers
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
    lane: Lane,
    records: &Records,
    ordinal: usize,
) -> Way {
    let mut sent = 0;
    let mut waiting = Bytes::new();
    loop {
        if let Some(how) = lane.cut_now(sent) {
            return Way::Cut(how);
        }
        if lane.stalls_now(sent) {
            records.with(ordinal, |record| record.stalled = true);
            return pending().await;
        }
        if waiting.is_empty() {
            let Some((due, chunk)) = take.recv().await else {
                return if to.shutdown().await.is_ok() { Way::Closed } else { Way::Failed };
            };
            sleep_until(due).await;
            waiting = chunk;
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
