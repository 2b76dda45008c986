//! Cyrus IMAP 3.6, from packages unpacked beside Dovecot or from installed ones.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::certs::Certificates;
use super::identity::Identity;
use super::process::ServerProcess;
use super::{
    Availability, Folders, PASSWORD, START_TRIES, ServerCertificate, Store, find_program, free_ports,
    loopback, tail, write,
};
use crate::account::Account;
use crate::wire::{Endpoint, Security, client_tls};

/// Names the folder Cyrus was unpacked into.
pub const ROOT_VARIABLE: &str = "MAILHAUL_CYRUS_ROOT";
const DEFAULT_ROOT: &str = "/opt/mailservers/cyrus";

/// How an instance is set up.
#[derive(Clone, Debug)]
pub struct CyrusOptions {
    /// Mailboxes beside INBOX rather than below it.
    pub alt_namespace: bool,
    /// `/` as the hierarchy delimiter rather than `.`.
    pub unix_hierarchy_separator: bool,
    /// The users; each has an account.
    pub users: Vec<String>,
    /// Quota of each user in KiB.
    pub quota_kib: Option<u64>,
    /// Turn octets above 127 in headers into `X`, as Debian's default does.
    pub munge_8bit: bool,
    /// Refuse messages with octets above 127 in headers.
    pub reject_8bit: bool,
    /// LOGIN in clear; else LOGINDISABLED until STARTTLS.
    pub allow_plaintext: bool,
    /// Capabilities to hide, for example `MULTIAPPEND`.
    pub suppress_capabilities: Vec<String>,
    /// Largest message, in octets; none is Cyrus' own 4 GiB.
    pub max_message_octets: Option<u64>,
    /// How many identical messages a mailbox takes; Cyrus' own default is 10.
    pub identical_messages: u32,
    /// The certificate shown.
    pub certificate: ServerCertificate,
    /// Where the mail and its databases lie.
    pub store: Store,
    /// More lines for imapd.conf.
    pub extra: String,
}

impl Default for CyrusOptions {
    fn default() -> Self {
        Self {
            alt_namespace: true,
            unix_hierarchy_separator: true,
            users: ["alice", "bob", "carol"].map(str::to_owned).to_vec(),
            quota_kib: None,
            munge_8bit: false,
            reject_8bit: false,
            allow_plaintext: true,
            suppress_capabilities: Vec::new(),
            max_message_octets: None,
            identical_messages: 100_000,
            certificate: ServerCertificate::default(),
            store: Store::default(),
            extra: String::new(),
        }
    }
}

/// A running instance.
pub struct Cyrus {
    // stops before its folders go
    process: Option<ServerProcess>,
    folders: Folders,
    identity: Identity,
    installation: Installation,
    ports: [u16; 2],
    allow_plaintext: bool,
    ca_pem: String,
}

impl std::fmt::Debug for Cyrus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cyrus at {}", self.imap())
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
struct Installation {
    /// `/`, or the folder the packages were unpacked into.
    root: PathBuf,
    saslpasswd: PathBuf,
}

impl Installation {
    fn find() -> Result<Self, String> {
        let named = std::env::var_os(ROOT_VARIABLE).map(PathBuf::from);
        let roots = [named.unwrap_or_else(|| DEFAULT_ROOT.into()), PathBuf::from("/")];
        let root = roots
            .into_iter()
            .find(|root| root.join("usr/lib/cyrus/bin/master").is_file())
            .ok_or_else(|| {
                format!("Cyrus IMAP is not there (.ci/install unpacks it; {ROOT_VARIABLE} names its folder)")
            })?;
        let saslpasswd = find_program(&["/usr/sbin/saslpasswd2".into(), "/usr/bin/saslpasswd2".into()])
            .ok_or("saslpasswd2 is not installed (sasl2-bin), Cyrus has no users without it")?;
        Ok(Self { root, saslpasswd })
    }

    fn bin(&self) -> PathBuf {
        self.root.join("usr/lib/cyrus/bin")
    }

    /// Libraries of the unpacked packages come before the system's.
    fn environment(&self) -> [(&'static str, String); 1] {
        let libraries = self.root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
        [("LD_LIBRARY_PATH", libraries.to_string_lossy().into_owned())]
    }
}

impl Cyrus {
    /// Starts an instance and waits until it greets.
    ///
    /// # Errors
    /// If Cyrus is there and does not start; the error holds the end of its log.
    pub fn start(options: &CyrusOptions) -> io::Result<Availability<Self>> {
        let installation = match Installation::find() {
            Ok(installation) => installation,
            Err(reason) => return Ok(Availability::Missing(reason)),
        };
        let identity = Identity::of_servers()?;
        let certificates = Certificates::issue(options.certificate)?;
        let mut last_error = None;
        for _ in 0..START_TRIES {
            let folders = Folders::create(options.store, &identity)?;
            let mut cyrus = Self {
                process: None,
                folders,
                identity: identity.clone(),
                installation: installation.clone(),
                ports: free_ports()?,
                allow_plaintext: options.allow_plaintext,
                ca_pem: certificates.ca_pem.clone(),
            };
            cyrus.configure(options, &certificates)?;
            match cyrus.launch() {
                Ok(()) => return Ok(Availability::Ready(cyrus)),
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.unwrap_or_else(|| io::Error::other("Cyrus was not tried")))
    }

    fn configure(&self, options: &CyrusOptions, certificates: &Certificates) -> io::Result<()> {
        let base = self.folders.base.path();
        let file = |name: &str, text: &str, secret| write(&base.join(name), text, &self.identity, secret);
        file("cert.pem", &certificates.chain_pem, false)?;
        file("key.pem", &certificates.key_pem, true)?;
        file("ca.pem", &certificates.ca_pem, false)?;
        file("imapd.conf", &imapd_conf(options, &self.folders, &self.identity), false)?;
        file("cyrus.conf", &cyrus_conf(base, &self.installation.bin(), self.ports), false)?;
        let mail = self.folders.mail.path();
        for name in ["spool", "conf", "proc", "lock", "socket", "sieve"] {
            self.make_folder(&mail.join(name))?;
        }
        for name in ["db", "log", "msg", "proc", "ptclient", "socket", "sync", "user", "quota", "mboxlist"] {
            self.make_folder(&mail.join("conf").join(name))?;
        }
        options.users.iter().try_for_each(|user| self.add_user(user))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        self.identity.own(path)
    }

    /// Adds a user to the private user database; also while the server runs.
    ///
    /// # Errors
    /// If saslpasswd2 fails.
    pub fn add_user(&self, user: &str) -> io::Result<()> {
        let mut command = Command::new(&self.installation.saslpasswd);
        command
            .args(["-p", "-c", "-u", &self.realm(), "-f"])
            .arg(self.folders.base("sasldb2"))
            .arg(user)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir(self.folders.base.path());
        self.identity.run_as(&mut command);
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(PASSWORD.as_bytes())?;
        }
        let status = child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("saslpasswd2 for {user}: {status}")))
        }
    }

    fn realm(&self) -> String {
        realm(&self.folders)
    }

    fn launch(&mut self) -> io::Result<()> {
        let words = [
            self.installation.bin().join("master"),
            "-C".into(),
            self.folders.base("imapd.conf"),
            "-M".into(),
            self.folders.base("cyrus.conf"),
            "-p".into(),
            self.folders.base("master.pid"),
            "-D".into(),
        ];
        let program: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let environment = self.installation.environment();
        let mut process = ServerProcess::start(&program, &self.identity, &self.folders, &environment)?;
        process.await_greeting(self.imap(), &self.realm()).map_err(|error| {
            io::Error::other(format!("Cyrus: {error}\n{}", tail(&self.folders.base("start.log"))))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Address for clear text and STARTTLS.
    #[must_use]
    pub fn imap(&self) -> SocketAddr {
        loopback(self.ports[0])
    }

    /// Address for TLS.
    #[must_use]
    pub fn imaps(&self) -> SocketAddr {
        loopback(self.ports[1])
    }

    /// The certificate authority to trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A user's account, reached in clear, or by STARTTLS where nothing else is allowed.
    ///
    /// # Errors
    /// If the certificate authority cannot be read.
    pub fn account(&self, user: &str) -> io::Result<Account> {
        let security = if self.allow_plaintext {
            Security::Clear
        } else {
            Security::StartTls(client_tls(&self.ca_pem)?)
        };
        Ok(self.account_over(Endpoint { address: self.imap(), security }, user))
    }

    /// A user's account, reached by TLS.
    ///
    /// # Errors
    /// If the certificate authority cannot be read.
    pub fn account_tls(&self, user: &str) -> io::Result<Account> {
        let security = Security::Tls(Arc::clone(&client_tls(&self.ca_pem)?));
        Ok(self.account_over(Endpoint { address: self.imaps(), security }, user))
    }

    /// A user's account, reached in clear at `address`: a proxy in front of this server, say.
    #[must_use]
    pub fn account_at(&self, address: SocketAddr, user: &str) -> Account {
        self.account_over(Endpoint::clear(address), user)
    }

    fn account_over(&self, endpoint: Endpoint, user: &str) -> Account {
        Account { endpoint, user: user.to_owned(), password: PASSWORD.to_owned() }
    }

    /// Kills (SIGKILL) the processes that serve sessions, and says how many they were.
    ///
    /// # Errors
    /// If the system does not tell its processes.
    pub fn kill_sessions(&self) -> io::Result<usize> {
        self.process.as_ref().map_or(Ok(0), |process| process.kill_named("imapd"))
    }

    /// Kills (SIGKILL) the whole server and starts it again on the same ports and mail.
    ///
    /// # Errors
    /// If it does not start again.
    pub fn crash_and_restart(&mut self) -> io::Result<()> {
        drop(self.process.take());
        self.launch()
    }
}

/// The server's name: in the greeting, and the realm of its users.
fn realm(folders: &Folders) -> String {
    format!("{}.test", folders.instance()).to_ascii_lowercase()
}

fn imapd_conf(options: &CyrusOptions, folders: &Folders, identity: &Identity) -> String {
    let (base, mail) = (folders.base.path().display(), folders.mail.path().display());
    let realm = realm(folders);
    let yes = |on: bool| if on { "yes" } else { "no" };
    let suppress = if options.suppress_capabilities.is_empty() {
        String::new()
    } else {
        format!("suppress_capabilities: {}\n", options.suppress_capabilities.join(" "))
    };
    format!(
        "\
configdirectory: {mail}/conf
proc_path: {mail}/proc
mboxname_lockpath: {mail}/lock
defaultpartition: default
partition-default: {mail}/spool
sievedir: {mail}/sieve
servername: {realm}
defaultdomain: {realm}
virtdomains: off
cyrus_user: {user}
cyrus_group: {group}
admins: cyrus
altnamespace: {alt}
unixhierarchysep: {unix}
allowplaintext: {plaintext}
failedloginpause: 0
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {base}/sasldb2
sasl_mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256
tls_server_cert: {base}/cert.pem
tls_server_key: {base}/key.pem
tls_client_ca_file: {base}/ca.pem
autocreate_quota: {quota}
autocreate_post: yes
delete_mode: immediate
expunge_mode: immediate
conversations: yes
conversations_db: twoskip
conversations_max_guidinfolder: {identical}
conversations_max_guidexists: {identical}
search_engine: none
reject8bit: {reject}
munge8bit: {munge}
maxmessagesize: {max}
lmtpsocket: {mail}/socket/lmtp
idlesocket: {mail}/socket/idle
notifysocket: {mail}/socket/notify
syslog_prefix: cyrus
{suppress}{extra}
",
        user = identity.user,
        group = identity.group,
        alt = yes(options.alt_namespace),
        unix = yes(options.unix_hierarchy_separator),
        plaintext = yes(options.allow_plaintext),
        // an account is made at the first login where a quota is given, 0 is unlimited
        quota = options.quota_kib.unwrap_or(0),
        identical = options.identical_messages,
        reject = yes(options.reject_8bit),
        munge = yes(options.munge_8bit),
        max = options.max_message_octets.unwrap_or(0),
        extra = options.extra,
    )
}

/// Each process serves one session and none waits in advance: the master no longer starts a service of which some processes
/// were killed while they waited, and [`Cyrus::kill_sessions`] cannot tell those from the others.
fn cyrus_conf(base: &Path, bin: &Path, [imap, imaps]: [u16; 2]) -> String {
    let config = base.join("imapd.conf");
    let (bin, config) = (bin.display(), config.display());
    format!(
        "\
START {{
  recover cmd=\"{bin}/ctl_cyrusdb -C {config} -r\"
}}
SERVICES {{
  imap cmd=\"{bin}/imapd -U 1 -C {config}\" listen=\"127.0.0.1:{imap}\" prefork=0 maxchild=200
  imaps cmd=\"{bin}/imapd -U 1 -C {config} -s\" listen=\"127.0.0.1:{imaps}\" prefork=0 maxchild=200
}}
EVENTS {{
  checkpoint cmd=\"{bin}/ctl_cyrusdb -C {config} -c\" period=30
}}
"
    )
}
