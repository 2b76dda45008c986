//! A server's processes: started under a guard, found again by pid, and gone when the test is.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Folders;
use super::identity::Identity;

/// How long killed processes may take to be gone.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How long a server may take to greet.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How often the processes left are looked for while they are killed.
const KILL_ROUNDS: usize = 10;
/// Between two looks at a server that starts or stops.
const POLL: Duration = Duration::from_millis(5);

/// Runs the server in the foreground ($4...) and stops it when standard input ends: then the test let go of it or was
/// killed. If the test (process $1) is gone, removes the folders $2 and $3 in its place.
const GUARD: &str = r#"
test=$1 base=$2 mail=$3; shift 3
exec 3<&0
"$@" 3<&- & server=$!
{ read -r _ <&3; kill -TERM "$server"; } & watch=$!
wait "$server"; status=$?
kill "$watch" 2>/dev/null
[ -d "/proc/$test" ] || rm -rf "$base" "$mail"
exit $status
"#;

/// A process that cannot be mistaken for a later one of the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ProcessId {
    pid: i32,
    started_ticks: u64,
}

/// A row of /proc.
struct ProcessRow {
    id: ProcessId,
    name: String,
    parent: i32,
    group: i32,
}

/// A running server with all processes below it.
pub(super) struct ServerProcess {
    guard: Child,
}

impl ServerProcess {
    /// Starts `program`, which must stay in the foreground; its output goes to `start.log` in the base folder.
    pub(super) fn start(
        program: &[String],
        identity: &Identity,
        folders: &Folders,
        environment: &[(&str, String)],
    ) -> io::Result<Self> {
        let log = fs::File::options().create(true).append(true).open(folders.base("start.log"))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "guard"])
            .arg(std::process::id().to_string())
            .args([folders.base.path(), folders.mail.path()])
            .args(program)
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .current_dir(folders.base.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        identity.run_as(&mut command);
        Ok(Self { guard: command.spawn()? })
    }

    /// Waits for a greeting that holds `marker`. Anything else at that address is another server's.
    pub(super) fn await_greeting(&mut self, address: SocketAddr, marker: &str) -> io::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.guard.try_wait()? {
                return Err(io::Error::other(format!("ended with {status}")));
            }
            match greeting(address) {
                Ok(text) if text.contains(marker) => return Ok(()),
                Ok(text) => return Err(io::Error::other(format!("another server at {address}: {text}"))),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(POLL),
            }
        }
    }

    /// Kills (SIGKILL) every process of this server with this name, and says how many.
    pub(super) fn kill_named(&self, name: &str) -> io::Result<usize> {
        let victims: Vec<ProcessId> =
            self.rows()?.iter().filter(|row| row.name == name).map(|row| row.id).collect();
        victims.iter().for_each(|victim| kill(*victim, Signal::KILL));
        await_gone(&victims, STOP_LIMIT);
        Ok(victims.len())
    }

    /// Kills (SIGKILL) all processes of this server. Nothing a test keeps needs an orderly stop, and Dovecot's takes a
    /// second. The guard is left to reap its child and end: a master that is a zombie would pass for running with
    /// those that look at its old pid file.
    pub(super) fn kill_all(&mut self) -> io::Result<()> {
        let guard = i32::try_from(self.guard.id()).map_err(io::Error::other)?;
        // who was forked while the others were killed is found the next time: it is in the guard's process group
        for _ in 0..KILL_ROUNDS {
            let victims: Vec<ProcessId> =
                self.rows()?.iter().map(|row| row.id).filter(|id| id.pid != guard).collect();
            if victims.is_empty() {
                break;
            }
            victims.iter().for_each(|victim| kill(*victim, Signal::KILL));
            await_gone(&victims, STOP_LIMIT);
        }
        self.guard.wait().map(drop)
    }

    /// The guard, what descends from it, and what is in its process group.
    fn rows(&self) -> io::Result<Vec<ProcessRow>> {
        let root = i32::try_from(self.guard.id()).map_err(io::Error::other)?;
        let all = processes()?;
        let mut ours = BTreeSet::from([root]);
        loop {
            let before = ours.len();
            ours.extend(
                all.iter()
                    .filter(|row| ours.contains(&row.parent) || row.group == root)
                    .map(|row| row.id.pid)
                    .collect::<Vec<_>>(),
            );
            if ours.len() == before {
                break;
            }
        }
        Ok(all.into_iter().filter(|row| ours.contains(&row.id.pid)).collect())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // a drop has nobody to tell; what could not be killed stops with the guard's standard input
        let _ = self.kill_all();
    }
}

fn greeting(address: SocketAddr) -> io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, START_LIMIT)?;
    socket.set_read_timeout(Some(START_LIMIT))?;
    let mut line = Vec::new();
    let mut octet = [0];
    while !line.ends_with(b"\n") {
        socket.read_exact(&mut octet)?;
        line.push(octet[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn kill(victim: ProcessId, signal: Signal) {
    let alive = read_process(victim.pid).is_some_and(|row| row.id == victim);
    if let (true, Some(pid)) = (alive, Pid::from_raw(victim.pid)) {
        // it may have ended since
        let _ = kill_process(pid, signal);
    }
}

fn await_gone(victims: &[ProcessId], limit: Duration) {
    let deadline = Instant::now() + limit;
    while victims.iter().any(|victim| read_process(victim.pid).is_some_and(|row| row.id == *victim))
        && Instant::now() < deadline
    {
        thread::sleep(POLL);
    }
}

fn processes() -> io::Result<Vec<ProcessRow>> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(read_process).collect())
}

/// A living process from /proc/PID/stat; the name, in parentheses, may hold anything. Zombies are gone already.
fn read_process(pid: i32) -> Option<ProcessRow> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    Some(ProcessRow {
        id: ProcessId { pid, started_ticks: fields.get(19)?.parse().ok()? },
        name: name.to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
    })
}
