//! The target's half of a pair: what arrives goes out as MULTIAPPENDs, whose answers another thread reads.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

use super::Message;
use super::connection::Connection;
use crate::Result;

/// Messages of one APPEND, at most.
const BATCH_MESSAGES: usize = 100;
/// Octets of messages in one APPEND, about.
const BATCH_OCTETS: usize = 4 << 20;
/// Octets gathered before they are written.
const WRITE_OCTETS: usize = 256 << 10;
/// A longer message is written from where it lies.
const COPIED_OCTETS: usize = 64 << 10;

/// The record of batches, where that is a duty.
pub(super) struct Journal(File);

impl Journal {
    pub(super) fn create(path: &Path) -> Result<Self> {
        Ok(Self(File::create(path)?))
    }

    fn make_durable(&mut self, batch: &[u8]) -> Result<()> {
        self.0.write_all(batch)?;
        Ok(self.0.sync_data()?)
    }
}

pub(super) struct Appender {
    to: TcpStream,
    answers: JoinHandle<Result<()>>,
    journal: Option<Journal>,
    /// Octets not written yet.
    out: Vec<u8>,
    /// Messages and octets of the open APPEND, its mailbox, and the record of it.
    messages: usize,
    octets: usize,
    mailbox: Arc<[u8]>,
    record: Vec<u8>,
}

impl Appender {
    pub(super) fn new(target: Connection, journal: Option<Journal>) -> Result<Self> {
        let Connection { from, to, .. } = target;
        Ok(Self {
            to,
            answers: thread::spawn(move || read_answers(from)),
            journal,
            out: Vec::with_capacity(WRITE_OCTETS * 2),
            messages: 0,
            octets: 0,
            mailbox: Arc::from([]),
            record: Vec::new(),
        })
    }

    /// Sends all that arrives and waits until the server has answered for all of it; how many messages that were.
    pub(super) fn run(mut self, arriving: Receiver<Message>) -> Result<usize> {
        let mut sent = 0;
        for message in arriving {
            let full = self.messages >= BATCH_MESSAGES || self.octets + message.octets.len() > BATCH_OCTETS;
            if self.messages > 0 && (full || self.mailbox != message.mailbox) {
                self.close()?;
            }
            self.add(message)?;
            sent += 1;
        }
        if self.messages > 0 {
            self.close()?;
        }
        self.out.extend_from_slice(b"Z NOOP\r\n");
        self.flush()?;
        self.answers.join().map_err(|_| "a thread died")??;
        Ok(sent)
    }

    fn add(&mut self, message: Message) -> Result<()> {
        if self.messages == 0 {
            self.out.extend_from_slice(b"A APPEND ");
            self.out.extend_from_slice(&message.mailbox);
            self.mailbox = message.mailbox;
        }
        self.out.extend_from_slice(&message.head);
        self.messages += 1;
        self.octets += message.octets.len();
        self.record.extend(message.digest.into_iter().flatten());
        if message.octets.len() > COPIED_OCTETS {
            self.flush()?;
            self.to.write_all(&message.octets)?;
        } else {
            self.out.extend_from_slice(&message.octets);
            if self.out.len() > WRITE_OCTETS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the APPEND; where there is a journal, once its record is on the disk.
    fn close(&mut self) -> Result<()> {
        if let Some(journal) = &mut self.journal {
            // all but the end goes out before: the server reads while the disk writes
            self.to.write_all(&self.out)?;
            self.out.clear();
            journal.make_durable(&self.record)?;
            self.record.clear();
        }
        self.out.extend_from_slice(b"\r\n");
        (self.messages, self.octets) = (0, 0);
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.to.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

/// Reads to the answer of the last command; an APPEND that is refused is an error.
fn read_answers(mut from: BufReader<TcpStream>) -> Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            return Err("the target hung up".into());
        }
        if line.starts_with(b"A ") && !line.starts_with(b"A OK") {
            return Err(String::from_utf8_lossy(&line).trim().into());
        }
        if line.starts_with(b"Z ") {
            return Ok(());
        }
    }
}
