//! Dovecot 2.3. Any user name exists, with the password `pass`.

use super::{certificates, free_port, is_root, kill, tree, wait_for};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const BINARY: &str = "/usr/sbin/dovecot";

/// How a Dovecot is set up.
#[derive(Clone, Debug)]
pub struct DovecotOptions {
    /// maildir, sdbox, mdbox.
    pub format: &'static str,
    /// The hierarchy separator.
    pub separator: char,
    /// The prefix of the personal namespace.
    pub prefix: &'static str,
    /// mail_fsync.
    pub fsync: &'static str,
    /// Storage in KiB, for everybody.
    pub quota_kib: Option<u64>,
    /// Further lines of configuration.
    pub extra: String,
}

impl Default for DovecotOptions {
    fn default() -> Self {
        Self {
            format: "maildir",
            separator: '/',
            prefix: "",
            fsync: "never",
            quota_kib: None,
            extra: String::new(),
        }
    }
}

/// A running Dovecot.
#[derive(Debug)]
pub struct Dovecot {
    folder: tempfile::TempDir,
    /// IMAP, with STARTTLS offered.
    pub port: u16,
    /// IMAP over TLS.
    pub tls_port: u16,
    /// The CA that signed its certificate.
    pub ca: PathBuf,
}

impl Dovecot {
    /// Starts one, or says why there is none.
    pub fn start(options: &DovecotOptions) -> Result<Self, String> {
        if !Path::new(BINARY).exists() {
            return Err("Dovecot is not installed".into());
        }
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let ca = certificates(folder.path());
        let (port, tls_port) = (free_port(), free_port());
        let dovecot = Self { folder, port, tls_port, ca };
        dovecot.configure(options);
        let root = dovecot.folder.path();
        let log = std::fs::File::create(root.join("start.log")).map_err(|e| e.to_string())?;
        let status = Command::new(BINARY)
            .arg("-c")
            .arg(root.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|e| e.to_string())?)
            .stderr(log)
            .status();
        if !status.is_ok_and(|s| s.success()) || !wait_for(port, Duration::from_secs(20)) {
            let log = std::fs::read_to_string(root.join("start.log")).unwrap_or_default();
            return Err(format!("Dovecot did not start: {log}"));
        }
        Ok(dovecot)
    }

    fn configure(&self, options: &DovecotOptions) {
        let root = self.folder.path();
        for folder in ["run", "state", "mail"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let (mut user, mut group) = (whoami("-un"), whoami("-gn"));
        let (mut login, mut internal, mut internal_group) = (user.clone(), user.clone(), group.clone());
        if is_root() {
            (user, group) = ("nobody".into(), "nogroup".into());
            (login, internal, internal_group) = ("dovenull".into(), "dovecot".into(), "dovecot".into());
            let chown = Command::new("chown").arg("-R").arg(format!("{user}:{group}")).arg(root.join("mail")).status();
            assert!(chown.is_ok_and(|s| s.success()));
            let chmod = Command::new("chmod").args(["755"]).arg(root).status();
            assert!(chmod.is_ok_and(|s| s.success()));
        }
        let quota = options.quota_kib.map_or(String::new(), |kib| {
            format!(
                "mail_plugins = quota\nprotocol imap {{\n mail_plugins = quota imap_quota\n}}\n\
                 plugin {{\n quota = count:User quota\n quota_rule = *:storage={kib}K\n quota_vsizes = yes\n}}\n"
            )
        });
        let DovecotOptions { format, separator, prefix, fsync, extra, .. } = options;
        let root = root.display();
        let (port, tls_port) = (self.port, self.tls_port);
        let text = format!(
            "base_dir = {root}/run\nstate_dir = {root}/state\nlog_path = {root}/log\nprotocols = imap\n\
             listen = 127.0.0.1\ndefault_login_user = {login}\ndefault_internal_user = {internal}\n\
             default_internal_group = {internal_group}\nmail_uid = {user}\nmail_gid = {group}\nfirst_valid_uid = 1\n\
             first_valid_gid = 1\nssl = yes\nssl_cert = <{root}/cert.pem\nssl_key = <{root}/key.pem\n\
             disable_plaintext_auth = no\nauth_mechanisms = plain login\nauth_failure_delay = 0\n\
             mail_max_userip_connections = 100\nmail_fsync = {fsync}\nmail_location = {format}:{root}/mail/%u\n\
             imap_max_line_length = 64k\n\
             passdb {{\n driver = static\n args = password=pass\n}}\n\
             userdb {{\n driver = static\n args = home={root}/mail/%u\n}}\n\
             namespace inbox {{\n inbox = yes\n separator = {separator}\n prefix = {prefix}\n\
             mailbox Sent {{\n special_use = \\Sent\n }}\n mailbox Trash {{\n special_use = \\Trash\n }}\n}}\n\
             service imap-login {{\n chroot =\n inet_listener imap {{\n port = {port}\n }}\n\
             inet_listener imaps {{\n port = {tls_port}\n ssl = yes\n }}\n}}\n\
             service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n\
             service imap {{\n process_limit = 256\n}}\n{quota}{extra}\n"
        );
        std::fs::write(self.folder.path().join("dovecot.conf"), text).unwrap();
    }

    fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.folder.path().join("run/master.pid")).ok()?.trim().parse().ok()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let all = tree(pid);
            kill(&[pid], "-TERM");
            std::thread::sleep(Duration::from_millis(100));
            kill(&all, "-KILL");
        }
    }
}

fn whoami(what: &str) -> String {
    let output = Command::new("id").arg(what).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}
