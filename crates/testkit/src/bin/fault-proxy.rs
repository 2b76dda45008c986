//! The fault proxy as a program: a loopback port in front of a loopback server, and what happens to its connections.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use mailhaul_testkit::proxy::{Fault, FaultProxy, Plan, Record, seeded_cuts};

const USAGE: &str = "\
usage: fault-proxy --server ADDRESS [--listen PORT] [--connection N] [FAULT...] [--seed N --cuts N --within OCTETS]

Both ends are on this machine: ADDRESS is one of 127.0.0.0/8 or [::1] with its port; PORT is one of 127.0.0.1 (default:
a free one). Prints `listening ADDRESS`, then a line for each connection that ended. FAULTs hold for each connection,
or for the one with the ordinal N (from 0) named before them:

  delay=MILLISECONDS                      octets arrive later, either way
  bandwidth=OCTETS                        octets a second, each way
  slice=OCTETS                            octets at once, each way
  cut=WAY:OCTETS:HOW                      ends when so many octets went this way
  cut-after-literal=WAY:NTH:HOW           ends between the NTH literal and the CRLF of its command
  stall=WAY:OCTETS                        this way falls silent, the other works
  half-open=WAY:OCTETS                    both ways fall silent, nobody is told of an end
  swallow-ok=COMMAND:NTH                  the tagged OK of the NTH such command is lost
  late=COMMAND:NTH:OCTETS:MILLISECONDS[:HOW]  the command's last octets arrive after the client is gone
  tls-end=WAY:OCTETS                      ends at a TLS record without close_notify

WAY is to-server or to-client, HOW is fin or rst. --seed cuts the first --cuts connections at drawn octets below
--within, in a drawn way and manner.";
/// Between two looks at the connections.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Options {
    server: Option<SocketAddr>,
    port: u16,
    /// With the ordinal of the connection they are for, or for all.
    faults: Vec<(Option<usize>, Fault)>,
    seed: Option<u64>,
    cuts: usize,
    within_octets: u64,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| serve(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("fault-proxy: {why}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut connection = None;
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--") else {
            options.faults.push((connection, word.parse().map_err(|error| format!("{error}"))?));
            continue;
        };
        let value = words.next().ok_or_else(|| format!("--{option} wants a value"))?;
        let bad = format!("--{option} {value}: not what is expected");
        match option {
            "server" => options.server = Some(value.parse().map_err(|_| bad)?),
            "listen" => options.port = value.parse().map_err(|_| bad)?,
            "connection" => connection = Some(value.parse().map_err(|_| bad)?),
            "seed" => options.seed = Some(value.parse().map_err(|_| bad)?),
            "cuts" => options.cuts = value.parse().map_err(|_| bad)?,
            "within" => options.within_octets = value.parse().map_err(|_| bad)?,
            _ => return Err(format!("--{option} is unknown")),
        }
    }
    Ok(options)
}

/// All that happens to the connection with this ordinal.
fn plan(ordinal: usize, faults: &[(Option<usize>, Fault)], cuts: &[Plan]) -> Plan {
    let meant = faults.iter().filter(|(only, _)| only.is_none_or(|only| only == ordinal));
    let drawn = cuts.get(ordinal).cloned().unwrap_or_default();
    meant.map(|(_, fault)| fault.clone()).chain(drawn).collect()
}

/// Serves until it is killed.
fn serve(options: &Options) -> Result<(), String> {
    let server = options.server.ok_or("--server is missing")?;
    if !server.ip().is_loopback() {
        return Err(format!("{server} is not on this machine"));
    }
    let cuts = options.seed.map(|seed| seeded_cuts(seed, options.cuts, options.within_octets));
    let (faults, cuts) = (options.faults.clone(), cuts.unwrap_or_default());
    let proxy = FaultProxy::on(options.port, server, move |ordinal| plan(ordinal, &faults, &cuts), None)
        .map_err(|error| error.to_string())?;
    println!("listening {}", proxy.address());
    let mut told = Vec::new();
    loop {
        for (ordinal, record) in proxy.records().iter().enumerate() {
            told.resize(told.len().max(ordinal + 1), false);
            if record.ended.is_some() && !std::mem::replace(&mut told[ordinal], true) {
                println!("{}", line(ordinal, record));
            }
        }
        thread::sleep(POLL);
    }
}

fn line(ordinal: usize, record: &Record) -> String {
    let plan: Vec<String> = record.plan.iter().map(ToString::to_string).collect();
    let ended = record.ended.map(|ended| format!("{ended:?}")).unwrap_or_default();
    let (up, down) = (record.to_server_octets, record.to_client_octets);
    format!(
        "connection {ordinal}: {ended}, {up} octets to the server, {down} to the client; {}",
        plan.join(" ")
    )
}
