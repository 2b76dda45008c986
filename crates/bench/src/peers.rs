//! The other tools: how each is told to move an account in clear over loopback, the way its own documentation has it.

use mailhaul_testkit::servers::PASSWORD;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::finding::Fault;
use crate::measure::Invocation;
use crate::tools::Task;

/// Another tool that moves mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// mbsync (isync).
    Mbsync,
    /// `doveadm backup` with imapc: reads IMAP, but writes the target's files itself.
    Doveadm,
    /// imapsync.
    Imapsync,
    /// OfflineIMAP 3.
    Offlineimap,
    /// Neverest.
    Neverest,
}

impl Peer {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Mbsync, Self::Doveadm, Self::Imapsync, Self::Offlineimap, Self::Neverest];

    /// The name of its program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mbsync => "mbsync",
            Self::Doveadm => "doveadm",
            Self::Imapsync => "imapsync",
            Self::Offlineimap => "offlineimap",
            Self::Neverest => "neverest",
        }
    }

    /// Its program, if it is on PATH.
    #[must_use]
    pub fn program(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(self.name())).find(|file| file.is_file())
    }

    /// What it was seen to do wrong on every run.
    #[must_use]
    pub fn known(self) -> BTreeSet<Fault> {
        let known: &[Fault] = match self {
            Self::Doveadm | Self::Imapsync => &[],
            // leaves an X-TUID header in each message and drops keywords
            Self::Mbsync => &[Fault::OctetsChanged, Fault::Flags, Fault::Order, Fault::Subscriptions],
            Self::Offlineimap => &[Fault::Flags, Fault::Order, Fault::Subscriptions],
            Self::Neverest => &[Fault::Dates, Fault::Order, Fault::Subscriptions],
        };
        known.iter().copied().collect()
    }

    /// The command of one pass; its configuration lies in the task's folder afterwards.
    ///
    /// # Errors
    /// If it is not on PATH, or its configuration cannot be written.
    pub fn invocation(self, task: &Task<'_>) -> Result<Invocation> {
        let program = self.program().ok_or_else(|| format!("{} is not on PATH", self.name()))?;
        let program = Invocation::of(program);
        match self {
            Self::Mbsync => mbsync(program, task),
            Self::Doveadm => Ok(doveadm(program, task)),
            Self::Imapsync => imapsync(program, task),
            Self::Offlineimap => offlineimap(program, task),
            Self::Neverest => neverest(&program.program, task),
        }
    }
}

fn configuration(task: &Task<'_>, name: &str, text: &str) -> Result<PathBuf> {
    let path = task.state.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn mbsync(program: Invocation, task: &Task<'_>) -> Result<Invocation> {
    let side = |name: &str, address: SocketAddr, user: &str| {
        let (host, port) = (address.ip(), address.port());
        format!(
            "IMAPAccount {name}\nHost {host}\nPort {port}\nUser {user}\nPass {PASSWORD}\nSSLType None\n\
            AuthMechs PLAIN\nTimeout 600\n\nIMAPStore {name}\nAccount {name}\n\n"
        )
    };
    let (source, target) = both(task, side);
    let states = task.state.join("states");
    fs::create_dir_all(&states)?;
    let text = format!(
        "{source}{target}Channel all\nFar :source:\nNear :target:\nPatterns *\nSync Pull\nCreate Near\n\
        CopyArrivalDate yes\nSyncState {}/\n",
        states.display()
    );
    let path = configuration(task, "mbsyncrc", &text)?;
    Ok(program.with(["-c".into(), path.into_os_string(), "all".into()]))
}

fn doveadm(program: Invocation, task: &Task<'_>) -> Invocation {
    let settings = [
        format!("imapc_host={}", task.source.ip()),
        format!("imapc_port={}", task.source.port()),
        format!("imapc_user={}", task.source_user),
        format!("imapc_password={PASSWORD}"),
        "imapc_ssl=no".to_owned(),
        "imapc_features=rfc822.size fetch-headers".to_owned(),
        "mail_prefetch_count=50".to_owned(),
        "imapc_sasl_mechanisms=".to_owned(),
    ];
    program
        .with(["-c".as_ref(), task.target_config.as_os_str()])
        .with(settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]))
        .with(["backup", "-R", "-u", task.target_user, "imapc:"])
}

fn imapsync(program: Invocation, task: &Task<'_>) -> Result<Invocation> {
    let password = configuration(task, "password", PASSWORD)?.into_os_string();
    let side = |n: &str, address: SocketAddr, user: &str| {
        [
            (format!("--host{n}"), address.ip().to_string()),
            (format!("--port{n}"), address.port().to_string()),
            (format!("--user{n}"), user.to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name, value])
    };
    let state = task.state.as_os_str();
    Ok(program
        .with(side("1", task.source, task.source_user))
        .with(side("2", task.target, task.target_user))
        .with(["--passfile1".as_ref(), password.as_os_str(), "--passfile2".as_ref(), password.as_os_str()])
        .with(["--nossl1", "--notls1", "--nossl2", "--notls2", "--nolog", "--noreleasecheck"])
        .with(["--no-modulesversion".as_ref(), "--tmpdir".as_ref(), state, "--pidfile".as_ref()])
        .with([task.state.join("pid")]))
}

fn offlineimap(program: Invocation, task: &Task<'_>) -> Result<Invocation> {
    let side = |name: &str, address: SocketAddr, user: &str| {
        let (host, port) = (address.ip(), address.port());
        format!(
            "[Repository {name}]\ntype = IMAP\nremotehost = {host}\nremoteport = {port}\nremoteuser = {user}\n\
            remotepass = {PASSWORD}\nssl = no\nstarttls = no\nauth_mechanisms = LOGIN\nmaxconnections = 2\n"
        )
    };
    let (source, target) = both(task, side);
    let text = format!(
        "[general]\naccounts = all\nmetadata = {}\nmaxsyncaccounts = 1\nui = quiet\nfsync = False\n\n\
        [Account all]\nlocalrepository = target\nremoterepository = source\n\n{target}\n{source}readonly = True\n",
        task.state.join("metadata").display()
    );
    let path = configuration(task, "offlineimaprc", &text)?;
    Ok(program.with(["-c".into(), path.into_os_string(), "-o".into()]))
}

fn neverest(program: &Path, task: &Task<'_>) -> Result<Invocation> {
    let side = |name: &str, address: SocketAddr, user: &str| {
        format!(
            "[accounts.all.{name}s.{name}]\nimap.server = \"imap://{address}\"\n\
            imap.sasl.login.username = \"{user}\"\nimap.sasl.login.password.raw = \"{PASSWORD}\"\n"
        )
    };
    let (source, target) = both(task, side);
    let store = task.state.join("store");
    let text = format!(
        "[accounts.all]\ndefault = true\none-way = true\nretain = false\nstore.root = \"{}\"\n\n{source}{target}",
        store.display()
    );
    let path = configuration(task, "neverest.toml", &text)?;
    // the first pass makes its store
    let script = "[ -e \"$3\" ] || \"$1\" -c \"$2\" -a all init || exit 1\n\
        exec \"$1\" sync -c \"$2\" -a all --accept-mode";
    Ok(Invocation::of("/bin/sh").with(["-c", script, "neverest"]).with([
        program,
        path.as_path(),
        store.as_path(),
    ]))
}

fn both(task: &Task<'_>, side: impl Fn(&str, SocketAddr, &str) -> String) -> (String, String) {
    (side("source", task.source, task.source_user), side("target", task.target, task.target_user))
}
