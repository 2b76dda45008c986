//! A relay that only delays: what it reads it writes half a round trip later, either way.
//!
//! A connection costs what TCP's handshake costs: the server's greeting comes two round trips after the client began to
//! connect. What is in flight is bounded in octets, far above what two servers on one machine give, so that a long
//! stream keeps its bandwidth. The fault proxy of testkit connects at once, and what it holds of a stream (256 pieces)
//! limits it to half of that at a round trip of 100 ms.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Octets read at once.
const PIECE_OCTETS: usize = 256 << 10;
/// Octets on their way in one direction of a connection, at most: more than 1 GB/s at a round trip of 100 ms.
const IN_FLIGHT_OCTETS: usize = 64 << 20;
/// Octets sent by [`octets_per_second`].
const MEASURED_OCTETS: usize = 256 << 20;

/// A running relay. Its connections end when it is dropped.
pub struct DelayRelay {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl DelayRelay {
    /// Listens on a free loopback port and connects what it accepts to `server`.
    ///
    /// # Errors
    /// If no port can be bound.
    pub fn start(server: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let sockets = Arc::<Mutex<Vec<TcpStream>>>::default();
        let (told, kept) = (Arc::clone(&stop), Arc::clone(&sockets));
        let accepting = thread::spawn(move || {
            for client in listener.incoming().map_while(|client| client.ok()) {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                let kept = Arc::clone(&kept);
                // a connection that fails has no one to tell but its client, whose socket closes
                thread::spawn(move || connection(&client, server, round_trip, &kept));
            }
        });
        Ok(Self { address, stop, sockets, accepting: Some(accepting) })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DelayRelay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // wakes the thread that accepts
        let woken = TcpStream::connect(self.address).is_ok();
        for socket in locked(&self.sockets).drain(..) {
            // it may be closed already
            let _ = socket.shutdown(Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take().filter(|_| woken) {
            let _ = accepting.join();
        }
    }
}

/// Octets a second of one long stream through a relay with this round trip, from its first octet to its last.
///
/// # Errors
/// If a socket fails, or the stream does not arrive whole.
pub fn octets_per_second(round_trip: Duration) -> io::Result<f64> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let relay = DelayRelay::start(server.local_addr()?, round_trip)?;
    let mut client = TcpStream::connect(relay.address())?;
    let (mut sender, _) = server.accept()?;
    let sending = thread::spawn(move || -> io::Result<()> {
        let piece = vec![b'x'; PIECE_OCTETS];
        (0..MEASURED_OCTETS / PIECE_OCTETS).try_for_each(|_| sender.write_all(&piece))
    });
    let mut piece = vec![0; PIECE_OCTETS];
    let mut read = client.read(&mut piece)?;
    let since = Instant::now();
    while read < MEASURED_OCTETS {
        match client.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    let seconds = since.elapsed().as_secs_f64();
    sending.join().map_err(|_| io::Error::other("the sender died"))??;
    Ok(read as f64 / seconds)
}

fn connection(client: &TcpStream, server: SocketAddr, round_trip: Duration, kept: &Mutex<Vec<TcpStream>>) {
    // the handshake: the server would see its last segment one and a half round trips after the client began
    thread::sleep(round_trip * 3 / 2);
    let run = || -> io::Result<()> {
        let server = TcpStream::connect(server)?;
        for socket in [client, &server] {
            socket.set_nodelay(true)?;
            locked(kept).push(socket.try_clone()?);
        }
        let up = one_way(client, &server, round_trip / 2)?;
        let down = one_way(&server, client, round_trip / 2)?;
        let _ = (up.join(), down.join());
        Ok(())
    };
    if run().is_err() {
        // the client sees its connection end
        let _ = client.shutdown(Shutdown::Both);
    }
}

/// Starts the two threads of one direction; the handle is the writer's, which ends last.
fn one_way(from: &TcpStream, to: &TcpStream, delay: Duration) -> io::Result<JoinHandle<()>> {
    let pipe = Arc::new(Pipe::default());
    let (from, to, filled) = (from.try_clone()?, to.try_clone()?, Arc::clone(&pipe));
    thread::spawn(move || read(from, &filled, delay));
    Ok(thread::spawn(move || write(to, &pipe)))
}

/// Octets on their way in one direction.
#[derive(Default)]
struct Pipe {
    flight: Mutex<Flight>,
    changed: Condvar,
}

#[derive(Default)]
struct Flight {
    /// What is due when; an empty piece is the sender's end.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    octets: usize,
    /// The receiver is gone.
    dead: bool,
}

impl Pipe {
    /// Waits for room, and adds. False where the receiver is gone.
    fn put(&self, due: Instant, piece: Vec<u8>) -> bool {
        let mut flight = locked(&self.flight);
        while flight.octets >= IN_FLIGHT_OCTETS && !flight.dead {
            flight = self.changed.wait(flight).unwrap_or_else(PoisonError::into_inner);
        }
        flight.octets += piece.len();
        flight.pieces.push_back((due, piece));
        let alive = !flight.dead;
        drop(flight);
        self.changed.notify_all();
        alive
    }

    /// The next piece, once it is due.
    fn take(&self) -> Vec<u8> {
        let mut flight = locked(&self.flight);
        let (due, piece) = loop {
            match flight.pieces.pop_front() {
                Some(next) => break next,
                None => flight = self.changed.wait(flight).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(flight);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // what waits for its time is in flight
        locked(&self.flight).octets -= piece.len();
        self.changed.notify_all();
        piece
    }

    fn die(&self) {
        locked(&self.flight).dead = true;
        self.changed.notify_all();
    }
}

fn read(mut from: TcpStream, pipe: &Pipe, delay: Duration) {
    let mut piece = vec![0; PIECE_OCTETS];
    loop {
        // a failed socket has ended
        let read = from.read(&mut piece).unwrap_or(0);
        if !pipe.put(Instant::now() + delay, piece[..read].to_vec()) || read == 0 {
            return;
        }
    }
}

fn write(mut to: TcpStream, pipe: &Pipe) {
    loop {
        let piece = pipe.take();
        if piece.is_empty() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if to.write_all(&piece).is_err() {
            pipe.die();
            return;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(40);

    /// Sends back what it reads until the client's end, and then ends.
    fn echo() -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            socket.read_to_end(&mut all).unwrap();
            socket.write_all(&all).unwrap();
        });
        (address, thread)
    }

    #[test]
    fn octets_and_ends_pass_both_ways_and_never_sooner_than_a_connection_and_an_answer_take() {
        let (server, thread) = echo();
        let relay = DelayRelay::start(server, ROUND_TRIP).unwrap();
        let sent = mailhaul_testkit::corpus::Random::new(1).octets(3 * PIECE_OCTETS + 1);
        let since = Instant::now();
        let mut client = TcpStream::connect(relay.address()).unwrap();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        assert!(got == sent, "{} of {} octets came back, or others", got.len(), sent.len());
        assert!(since.elapsed() >= ROUND_TRIP * 5 / 2, "1.5 round trips to connect, and one for the answer");
        thread.join().unwrap();
    }

    #[test]
    fn what_is_in_flight_is_bounded_in_octets_and_not_in_pieces() {
        let pipe = Pipe::default();
        let due = Instant::now();
        for _ in 0..100_000 {
            assert!(pipe.put(due, vec![0; 100]));
        }
        assert_eq!(locked(&pipe.flight).octets, 10_000_000);
        assert_eq!(pipe.take().len(), 100);
        assert_eq!(locked(&pipe.flight).octets, 9_999_900);
        pipe.die();
        assert!(!pipe.put(due, vec![0; IN_FLIGHT_OCTETS]), "nobody takes it");
    }

    #[test]
    fn a_server_that_is_not_there_ends_the_clients_connection() {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let relay = DelayRelay::start(nobody, Duration::ZERO).unwrap();
        let mut client = TcpStream::connect(relay.address()).unwrap();
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
    }
}
