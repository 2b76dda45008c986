//! Whose processes and files a server's are: the test's own user, or `nobody` where that is root.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// A user and its group.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) group: String,
    uid: u32,
    gid: u32,
    /// The test itself is another user, root.
    step_down: bool,
}

impl Identity {
    /// The user a server of this process runs as.
    pub(super) fn of_servers() -> io::Result<Self> {
        let own_uid = fs::metadata("/proc/self")?.uid();
        let step_down = own_uid == 0;
        let users = fs::read_to_string("/etc/passwd")?;
        let user = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| {
                if step_down {
                    fields[0] == "nobody"
                } else {
                    fields.get(2) == Some(&own_uid.to_string().as_str())
                }
            })
            .ok_or_else(|| io::Error::other("no user in /etc/passwd to run a server as"))?;
        let number = |index: usize| user.get(index).and_then(|text| text.parse().ok());
        let (Some(uid), Some(gid)) = (number(2), number(3)) else {
            return Err(io::Error::other("a line of /etc/passwd without numbers"));
        };
        let groups = fs::read_to_string("/etc/group")?;
        let group = groups
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.get(2).and_then(|text| text.parse::<u32>().ok()) == Some(gid))
            .map_or_else(|| gid.to_string(), |fields| fields[0].to_owned());
        Ok(Self { user: user[0].to_owned(), group, uid, gid, step_down })
    }

    pub(super) fn run_as(&self, command: &mut Command) {
        if self.step_down {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives a file or folder made by the test to the server.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        if self.step_down { chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }
}
