//! Dovecot 2.3.

use base64::Engine as _;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
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

/// Where the plugin that speaks COMPRESS lies, by Debian or built by hand.
const COMPRESS_PLUGINS: [&str; 2] = [
    "/usr/lib/dovecot/modules/lib30_imap_zlib_plugin.so",
    "/usr/local/lib/dovecot/lib30_imap_zlib_plugin.so",
];

/// Who may log in for anybody, with [`DovecotOptions::all_mechanisms`], as `user*master` or by SASL.
pub const MASTER: &str = "master";
/// The master user's password.
pub const MASTER_PASSWORD: &str = "of-the-master";

/// How Dovecot stores mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MailFormat {
    /// A file a message; no `.` in a mailbox name's level.
    Maildir,
    /// A file a message, with metadata.
    #[default]
    Sdbox,
    /// Many messages a file.
    Mdbox,
    /// A file a mailbox; takes headers such as Status and X-UID out of messages.
    Mbox,
}

/// What Dovecot allows on a connection in clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClearText {
    /// LOGIN and STARTTLS.
    #[default]
    Login,
    /// STARTTLS only: LOGINDISABLED before. Dovecot takes a peer with the server's own address for secure: the rule
    /// shows only to clients that connect to [`Dovecot::second_address`] (Linux).
    StartTlsOnly,
    /// LOGIN only: no TLS, STARTTLS is refused and the TLS port is closed.
    NoTls,
}

/// How an instance is set up.
#[derive(Clone, Debug)]
pub struct DovecotOptions {
    /// Storage format.
    pub format: MailFormat,
    /// Hierarchy separator; none leaves it to the format (`.` for Maildir, else `/`).
    pub separator: Option<char>,
    /// Prefix of the personal namespace, for example `INBOX.`.
    pub prefix: String,
    /// `mail_fsync`: never, optimized or always.
    pub fsync: &'static str,
    /// Quota of each user in KiB.
    pub quota_kib: Option<u64>,
    /// What is allowed in clear.
    pub clear_text: ClearText,
    /// The certificate shown.
    pub certificate: ServerCertificate,
    /// The whole capability list shown after login, in place of Dovecot's own. Commands that are hidden still work.
    pub capabilities: Option<String>,
    /// Mailboxes with a special use, as `("Sent", "\\Sent")`; SPECIAL-USE is offered if there are any.
    pub special_use: Vec<(&'static str, &'static str)>,
    /// Where the mail lies.
    pub store: Store,
    /// COMPRESS=DEFLATE is offered (plugin `imap_zlib`).
    pub compress: bool,
    /// Connections a user may have.
    pub connections_per_user: u32,
    /// Every mechanism that Dovecot 2.3 has for what this takes: passwords, tokens ([`token`](super::token)), certificates
    /// of the authority, and the master user [`MASTER`] with [`MASTER_PASSWORD`].
    pub all_mechanisms: bool,
    /// With these mechanisms: tokens are judged by whoever answers there (RFC 7662), a question each, and not by their signature.
    pub introspection: Option<String>,
    /// With these mechanisms and no introspection: only tokens for this audience are good (`aud`, RFC 7519, 4.1.3).
    pub token_audience: Option<&'static str>,
    /// More settings, at the end of the configuration.
    pub extra: String,
}

impl Default for DovecotOptions {
    fn default() -> Self {
        Self {
            format: MailFormat::default(),
            separator: None,
            prefix: String::new(),
            fsync: "never",
            quota_kib: None,
            clear_text: ClearText::default(),
            certificate: ServerCertificate::default(),
            capabilities: None,
            special_use: Vec::new(),
            store: Store::default(),
            compress: false,
            connections_per_user: 1_000,
            all_mechanisms: false,
            introspection: None,
            token_audience: None,
            extra: String::new(),
        }
    }
}

impl DovecotOptions {
    /// Dovecot 2.3's own capability list after login without these, for [`DovecotOptions::capabilities`].
    #[must_use]
    pub fn capabilities_without(hidden: &[&str]) -> String {
        let all = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS \
            THREAD=ORDEREDSUBJECT MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED \
            I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN CONTEXT=SEARCH LIST-STATUS BINARY MOVE \
            SNIPPET=FUZZY PREVIEW=FUZZY PREVIEW STATUS=SIZE SAVEDATE LITERAL+ NOTIFY";
        let shown: Vec<&str> = all.split_ascii_whitespace().filter(|word| !hidden.contains(word)).collect();
        shown.join(" ")
    }
}

/// A running instance; any user name logs in with [`PASSWORD`] and has an account of its own.
pub struct Dovecot {
    // stops before its folders go
    process: Option<ServerProcess>,
    folders: Folders,
    identity: Identity,
    program: PathBuf,
    ports: [u16; 2],
    clear_text: ClearText,
    certificates: Arc<Certificates>,
}

impl std::fmt::Debug for Dovecot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dovecot at {}", self.imap())
    }
}

impl Dovecot {
    /// Starts an instance and waits until it greets.
    ///
    /// # Errors
    /// If Dovecot is installed and does not start; the error holds the end of its log.
    pub fn start(options: &DovecotOptions) -> io::Result<Availability<Self>> {
        let Some(program) = find_program(&["/usr/sbin/dovecot".into(), "/usr/local/sbin/dovecot".into()])
        else {
            return Ok(Availability::Missing("Dovecot is not installed (dovecot-imapd)".into()));
        };
        if options.compress && find_program(&COMPRESS_PLUGINS.map(PathBuf::from)).is_none() {
            return Ok(Availability::Missing("Dovecot is installed without its plugin imap_zlib".into()));
        }
        let identity = Identity::of_servers()?;
        let certificates = Arc::new(Certificates::issue(options.certificate)?);
        let mut last_error = None;
        for _ in 0..START_TRIES {
            let folders = Folders::create(options.store, &identity)?;
            let ports = free_ports()?;
            let config = configuration(options, &folders, &identity, ports)?;
            write(&folders.base("dovecot.conf"), &config, &identity, false)?;
            write(&folders.base("cert.pem"), &certificates.chain_pem, &identity, false)?;
            write(&folders.base("key.pem"), &certificates.key_pem, &identity, true)?;
            write(&folders.base("ca.pem"), &certificates.ca_pem, &identity, false)?;
            let mut dovecot = Self {
                process: None,
                folders,
                identity: identity.clone(),
                program: program.clone(),
                ports,
                clear_text: options.clear_text,
                certificates: Arc::clone(&certificates),
            };
            match dovecot.launch() {
                Ok(()) => return Ok(Availability::Ready(dovecot)),
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.unwrap_or_else(|| io::Error::other("Dovecot was not tried")))
    }

    fn launch(&mut self) -> io::Result<()> {
        let program: Vec<String> =
            [self.program.clone(), "-F".into(), "-c".into(), self.folders.base("dovecot.conf")]
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
        let mut process = ServerProcess::start(&program, &self.identity, &self.folders, &[])?;
        process.await_greeting(self.imap(), &self.folders.instance()).map_err(|error| {
            let log = tail(&self.folders.base("start.log")) + &self.log();
            io::Error::other(format!("Dovecot: {error}\n{log}"))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Address for clear text and STARTTLS.
    #[must_use]
    pub fn imap(&self) -> SocketAddr {
        loopback(self.ports[0])
    }

    /// Address for TLS; closed with [`ClearText::NoTls`].
    #[must_use]
    pub fn imaps(&self) -> SocketAddr {
        loopback(self.ports[1])
    }

    /// As [`Dovecot::imap`] on 127.0.0.2, where [`ClearText::StartTlsOnly`] shows.
    #[must_use]
    pub fn second_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), self.ports[0]))
    }

    /// The certificate authority to trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.certificates.ca_pem
    }

    /// A certificate by that authority which names a user, and its key, as PEM.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn client_certificate(&self, user: &str) -> io::Result<(String, String)> {
        self.certificates.of_client(user)
    }

    /// A user's account, reached in clear, or by STARTTLS where nothing else is allowed.
    ///
    /// # Errors
    /// If the certificate authority cannot be read.
    pub fn account(&self, user: &str) -> io::Result<Account> {
        let security = match self.clear_text {
            ClearText::StartTlsOnly => Security::StartTls(client_tls(self.ca_pem())?),
            ClearText::Login | ClearText::NoTls => Security::Clear,
        };
        Ok(self.account_over(Endpoint { address: self.imap(), security }, user))
    }

    /// A user's account, reached by TLS.
    ///
    /// # Errors
    /// If the certificate authority cannot be read.
    pub fn account_tls(&self, user: &str) -> io::Result<Account> {
        let security = Security::Tls(Arc::clone(&client_tls(self.ca_pem())?));
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
        self.process.as_ref().map_or(Ok(0), |process| process.kill_named("imap"))
    }

    /// Kills (SIGKILL) the whole server and starts it again on the same ports and mail.
    ///
    /// # Errors
    /// If it does not start again.
    pub fn crash_and_restart(&mut self) -> io::Result<()> {
        drop(self.process.take());
        self.launch()
    }

    /// Kills (SIGKILL) the whole server and starts it again with other options, on the same ports and mail. Format,
    /// names and certificate stay what they are.
    ///
    /// # Errors
    /// If it does not start again.
    pub fn restart_with(&mut self, options: &DovecotOptions) -> io::Result<()> {
        drop(self.process.take());
        let config = configuration(options, &self.folders, &self.identity, self.ports)?;
        write(&self.folders.base("dovecot.conf"), &config, &self.identity, false)?;
        self.launch()
    }

    /// The file of a message, by its X-GUID: Dovecot's own item of FETCH, which in a maildir is the file's name up to its
    /// flags.
    ///
    /// # Errors
    /// If a folder cannot be read, or no file or more than one has the name.
    pub fn maildir_file(&self, guid: &str) -> io::Result<PathBuf> {
        let mut files = Vec::new();
        files_named(self.folders.mail.path(), guid, &mut files)?;
        match files.as_slice() {
            [file] => Ok(file.clone()),
            files => Err(io::Error::other(format!("{guid}: {} files", files.len()))),
        }
    }

    /// Locks the INBOX of an account in mbox format, as another session that writes there would, until the returned
    /// lock is dropped. Dovecot must lock with a file before it writes (`mbox_write_locks = dotlock fcntl`).
    ///
    /// # Errors
    /// If the lock cannot be made: it is held, or the account has no folder yet.
    pub fn lock_mbox_inbox(&self, user: &str) -> io::Result<MboxLock> {
        let path = self.folders.mail.path().join(user).join("inbox.lock");
        fs::File::create_new(&path)?;
        Ok(MboxLock { path })
    }

    /// The file of its configuration, for Dovecot's own tools.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folders.base("dovecot.conf")
    }

    /// The server's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folders.base("dovecot.log")).unwrap_or_default()
    }
}

fn files_named(folder: &Path, guid: &str, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_named(&entry.path(), guid, into)?;
        } else if entry.file_name().to_string_lossy().split(':').next() == Some(guid) {
            into.push(entry.path());
        }
    }
    Ok(())
}

/// The configuration, for a server that runs as an ordinary user: no chroot, all internal users the same.
fn configuration(
    options: &DovecotOptions,
    folders: &Folders,
    identity: &Identity,
    ports: [u16; 2],
) -> io::Result<String> {
    let base = folders.base.path().display();
    let mail = folders.mail.path().display();
    let (user, group) = (&identity.user, &identity.group);
    let [imap, imaps] = ports;
    let instance = folders.instance();
    let location = match options.format {
        MailFormat::Maildir => "maildir:~/mail",
        MailFormat::Sdbox => "sdbox:~/mail",
        MailFormat::Mdbox => "mdbox:~/mail",
        MailFormat::Mbox => "mbox:~/boxes:INBOX=~/inbox",
    };
    let (ssl, plaintext, listen) = match options.clear_text {
        ClearText::Login => ("yes", "no", "127.0.0.1"),
        ClearText::StartTlsOnly => ("required", "yes", "127.0.0.1, 127.0.0.2"),
        ClearText::NoTls => ("no", "no", "127.0.0.1"),
    };
    let imaps = if options.clear_text == ClearText::NoTls { 0 } else { imaps };
    let separator = options.separator.map(|separator| format!("separator = {separator}")).unwrap_or_default();
    let quota_plugin = if options.quota_kib.is_some() { "quota" } else { "" };
    let imap_zlib_plugin = if options.compress { "imap_zlib" } else { "" };
    let imap_quota_plugin = if options.quota_kib.is_some() { "imap_quota" } else { "" };
    let mut config = format!(
        "\
base_dir = {base}/run
state_dir = {base}/state
instance_name = {instance}
log_path = {base}/dovecot.log
login_greeting = {instance}
protocols = imap
listen = {listen}
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
default_vsz_limit = 2G
default_client_limit = 4000
default_process_limit = 1000
mail_uid = {user}
mail_gid = {group}
mail_access_groups = {group}
first_valid_uid = 1
first_valid_gid = 1
ssl = {ssl}
ssl_cert = <{base}/cert.pem
ssl_key = <{base}/key.pem
disable_plaintext_auth = {plaintext}
auth_mechanisms = plain login
auth_failure_delay = 0
mail_home = {mail}/%u
mail_location = {location}
mail_fsync = {fsync}
mail_max_userip_connections = {connections}
mail_plugins = {quota_plugin}
namespace inbox {{
  inbox = yes
  prefix = {prefix}
  {separator}
{special_use}}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={mail}/%u
}}
protocol imap {{
  mail_plugins = $mail_plugins {imap_quota_plugin} {imap_zlib_plugin}
}}
{services}",
        fsync = options.fsync,
        connections = options.connections_per_user,
        prefix = options.prefix,
        special_use = special_use(&options.special_use),
        services = services(imap, imaps),
    );
    config.push_str(&options.quota_kib.map(quota).unwrap_or_default());
    if let Some(capabilities) = &options.capabilities {
        writeln!(config, "imap_capability = {capabilities}").map_err(io::Error::other)?;
    }
    if options.all_mechanisms {
        config.push_str(&all_mechanisms(options, folders, identity)?);
    }
    config.push_str(&options.extra);
    config.push('\n');
    Ok(config)
}

/// A mailbox in mbox format that nobody else may write to.
#[derive(Debug)]
pub struct MboxLock {
    path: PathBuf,
}

impl Drop for MboxLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Passwords come from the static database above, tokens are judged by their signature alone or by introspection. Refused
/// logins make later ones wait (auth-penalty): not here.
fn all_mechanisms(options: &DovecotOptions, folders: &Folders, identity: &Identity) -> io::Result<String> {
    let keys = folders.base("keys/default/HS256");
    fs::create_dir_all(&keys)?;
    let key = base64::engine::general_purpose::STANDARD.encode(super::token::KEY);
    write(&keys.join("default"), &key, identity, false)?;
    let base = folders.base.path().display();
    let judged = match &options.introspection {
        None => {
            format!("introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={base}/keys/\n")
        }
        Some(url) => format!(
            "introspection_mode = post\nintrospection_url = {url}\nforce_introspection = yes\nactive_attribute = active\n\
             active_value = true\n"
        ),
    };
    let audience =
        options.token_audience.map(|audience| format!("client_id = {audience}\n")).unwrap_or_default();
    let oauth = format!("{judged}{audience}username_attribute = sub\n");
    write(&folders.base("oauth2.conf"), &oauth, identity, false)?;
    Ok(format!(
        "\
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 oauthbearer xoauth2 external
auth_master_user_separator = *
auth_ssl_username_from_cert = yes
ssl_ca = <{base}/ca.pem
ssl_verify_client_cert = yes
ssl_require_crl = no
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {base}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = external
  args = nopassword
}}
passdb {{
  driver = static
  master = yes
  args = user={MASTER} password={MASTER_PASSWORD}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"
    ))
}

fn special_use(mailboxes: &[(&str, &str)]) -> String {
    let one = |(name, attribute): &(&str, &str)| {
        format!("  mailbox \"{name}\" {{\n    special_use = {attribute}\n  }}\n")
    };
    mailboxes.iter().map(one).collect()
}

/// `imaps` 0 closes that port.
fn services(imap: u16, imaps: u16) -> String {
    format!(
        "\
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"
    )
}

fn quota(kib: u64) -> String {
    format!(
        "\
plugin {{
  quota = count:User quota
  quota_rule = *:storage={kib}K
  quota_vsizes = yes
  quota_grace = 0
}}
"
    )
}
