//! Connections to a sandbox inside the process, some of which die on their way.

use mailhaul_engine::net::Dialer;
use mailhaul_sandbox::Sandbox;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use super::world::{Cut, Death};

/// Octets a pipe holds.
const PIPE_OCTETS: usize = 64 * 1024;

/// The way to one server: all its connections are counted, whichever run they belong to.
#[derive(Clone, Debug)]
pub(super) struct Way {
    server: Sandbox,
    cuts: Arc<Vec<Cut>>,
    dialled: Arc<AtomicU64>,
    calm: Arc<AtomicBool>,
    died: Arc<Mutex<Vec<Cut>>>,
}

impl Way {
    pub(super) fn new(server: Sandbox, cuts: Vec<Cut>) -> Self {
        Self {
            server,
            cuts: Arc::new(cuts),
            dialled: Arc::default(),
            calm: Arc::default(),
            died: Arc::default(),
        }
    }

    /// From now on no connection dies any more.
    pub(super) fn calm(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// The cuts that happened.
    pub(super) fn died(&self) -> Vec<Cut> {
        self.died.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn dialer(&self) -> Dialer {
        let way = self.clone();
        Dialer::InProcess(Arc::new(move || way.dial()))
    }

    fn dial(&self) -> DuplexStream {
        let number = self.dialled.fetch_add(1, Ordering::SeqCst) + 1;
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        let server = self.server.clone();
        let cut = self.cuts.iter().find(|c| c.connection == number).copied();
        match cut.filter(|_| !self.calm.load(Ordering::SeqCst)) {
            None => drop(tokio::spawn(async move { server.serve(theirs).await })),
            Some(cut) => {
                let (near, far) = tokio::io::duplex(PIPE_OCTETS);
                tokio::spawn(async move { server.serve(far).await });
                let died = self.died.clone();
                tokio::spawn(async move {
                    if carry(theirs, near, cut).await {
                        died.lock().unwrap_or_else(PoisonError::into_inner).push(cut);
                    }
                });
            }
        }
        ours
    }
}

/// Carries octets both ways until one side ends, or the cut comes; true for the cut.
async fn carry(client: DuplexStream, server: DuplexStream, cut: Cut) -> bool {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let (up, down) = if cut.to_server { (Some(cut), None) } else { (None, Some(cut)) };
    tokio::select! {
        biased;
        died = lane(from_client, to_server, up) => died,
        died = lane(from_server, to_client, down) => died,
    }
}

async fn lane(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, cut: Option<Cut>) -> bool {
    let mut left = cut.map_or(u64::MAX, |c| c.octets);
    let mut buffer = vec![0; 4096];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return false };
        let pass = read.min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= pass as u64;
        if to.write_all(&buffer[..pass]).await.is_err() || to.flush().await.is_err() {
            return false;
        }
        if pass < read || left == 0 {
            if cut.is_some_and(|c| c.death == Death::Silence) {
                // Nothing passes any more; that the sender leaves is not told either, but ends the simulation of it.
                while let Ok(1..) = from.read(&mut buffer).await {}
            }
            return true;
        }
    }
}
