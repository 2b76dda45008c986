//! A TCP proxy that fails as told: faults are data, chosen for each connection before its first octet.
//!
//! It runs on a thread and runtime of its own, so that blocking and async tests use it alike and a paused tokio
//! clock does not reach it. Octets are counted where they leave for the receiver: a cut after n octets lets the
//! receiver read exactly n. `fault-proxy` is the same as a program of its own.

mod fault;
mod filter;
mod framing;
mod pump;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::corpus::Random;

pub use fault::{Direction, Fault, How, NoFault, Plan};
pub use filter::Watch;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Client and server each closed their direction.
    ByPeers,
    /// One of them went away without; the other was sent a reset.
    Broken,
    /// The plan cut it.
    Cut(How),
    /// The client was gone, and then the octets of [`Fault::Late`] reached the server.
    Late,
    /// The server could not be reached.
    NoServer,
}

/// What became of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was planned for it.
    pub plan: Plan,
    /// Octets handed to the server.
    pub to_server_octets: u64,
    /// Octets handed to the client.
    pub to_client_octets: u64,
    /// A [`Fault::Stall`] or [`Fault::HalfOpen`] holds octets back.
    pub stalled: bool,
    /// Its end, if it came.
    pub ended: Option<Ended>,
}

/// A running proxy; connections end with a reset when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    records: Records,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The records of all connections, in the order they were accepted.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Record>>>);

impl Records {
    fn open(&self, plan: &dyn Fn(usize) -> Plan) -> usize {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ordinal = records.len();
        let (to_server_octets, to_client_octets) = (0, 0);
        records.push(Record {
            plan: plan(ordinal),
            to_server_octets,
            to_client_octets,
            stalled: false,
            ended: None,
        });
        ordinal
    }

    fn with<T>(&self, ordinal: usize, act: impl FnOnce(&mut Record) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[ordinal])
    }
}

impl FaultProxy {
    /// Listens on a free loopback port and connects what it accepts to `server`; `plan` is asked with the ordinal of
    /// each connection, from 0.
    ///
    /// # Errors
    /// If no port can be bound or no thread started.
    pub fn start(server: SocketAddr, plan: impl Fn(usize) -> Plan + Send + 'static) -> io::Result<Self> {
        Self::on(0, server, plan, None)
    }

    /// As [`FaultProxy::start`], on this port (0: a free one) and with somebody who is told of commands.
    ///
    /// # Errors
    /// As [`FaultProxy::start`].
    pub fn on(
        port: u16,
        server: SocketAddr,
        plan: impl Fn(usize) -> Plan + Send + 'static,
        watch: Option<Watch>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)))?;
        let address = listener.local_addr()?;
        let records = Records::default();
        let (stop, stopped) = oneshot::channel();
        let serving = serve(listener, server, plan, watch, records.clone());
        let thread = std::thread::Builder::new().name("fault-proxy".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, records, stop: Some(stop), thread: Some(thread) })
    }

    /// A proxy that cuts as [`seeded_cuts`] says.
    ///
    /// # Errors
    /// As [`FaultProxy::start`].
    pub fn with_seeded_cuts(
        server: SocketAddr,
        seed: u64,
        cuts: usize,
        within_octets: u64,
    ) -> io::Result<Self> {
        let plans = seeded_cuts(seed, cuts, within_octets);
        Self::start(server, move |ordinal| plans.get(ordinal).cloned().unwrap_or_default())
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What became of all connections so far, in the order they were accepted.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.records.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // a panic there showed in the test's output; here it must not become a second one
            let _ = thread.join();
        }
    }
}

/// Plans for the first `cuts` connections: each is cut once, at a point drawn evenly from 0 up to and with
/// `within_octets` of a drawn direction, half of them by reset. Later connections live.
#[must_use]
pub fn seeded_cuts(seed: u64, cuts: usize, within_octets: u64) -> Vec<Plan> {
    let mut random = Random::new(seed);
    let mut cut = || {
        let direction = if random.chance(50) { Direction::ToServer } else { Direction::ToClient };
        let how = if random.chance(50) { How::Fin } else { How::Rst };
        vec![Fault::CutAfter { direction, octets: random.between(0, within_octets), how }]
    };
    (0..cuts).map(|_| cut()).collect()
}

async fn serve(
    listener: TcpListener,
    server: SocketAddr,
    plan: impl Fn(usize) -> Plan,
    watch: Option<Watch>,
    records: Records,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                let (records, ordinal, watch) = (records.clone(), records.open(&plan), watch.clone());
                connections.spawn(async move {
                    connection(client, server, watch.as_ref(), &records, ordinal).await;
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(
    client: TcpStream,
    server: SocketAddr,
    watch: Option<&Watch>,
    records: &Records,
    ordinal: usize,
) {
    let ended = match pump::connect(server, &client).await {
        Ok(server) => pump::run(client, server, watch, records, ordinal).await,
        Err(_) => Ended::NoServer,
    };
    records.with(ordinal, |record| record.ended = Some(ended));
}

#[cfg(test)]
mod protocol_tests;
#[cfg(test)]
mod tests;
