//! Accounts given by their addresses alone: what is found, asked, kept, and never sent. All hosts are on loopback, by `--hosts`.

use crate::accounts::{FROM_PASSWORD, Ran, TO_PASSWORD, letter, program, ran};
use crate::secrets::assert_none_in;
use mailhaul_sandbox::{Fault, Planned, Profile, Sandbox, Trigger};
use mailhaul_testkit::web::tunnels;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

pub const OLD: &str = "ann@old.example";
pub const NEW: &str = "bob@new.example";
pub const WELL_KNOWN: &str = "/.well-known/autoconfig/mail/config-v1.1.xml";

/// Two domains, their web sites and their IMAP servers.
pub struct World {
    pub folder: tempfile::TempDir,
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    hosts: Mutex<BTreeMap<String, SocketAddr>>,
    pages: Arc<Mutex<BTreeMap<String, String>>>,
}

/// Whatever the runs of a test left holds no secret.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_none_in(self.folder.path());
        }
    }
}

impl World {
    async fn new() -> Self {
        Self::of(&["old.example", "new.example", "other.example"]).await
    }

    /// With these domains, each with a web site.
    pub async fn of(domains: &[&str]) -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer =
            rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        let hosts = Mutex::new(BTreeMap::from([("name-server".to_owned(), knows_nothing().await)]));
        let world = Self { folder, issuer, hosts, pages: Arc::default() };
        world.web(domains).await;
        world
    }

    pub fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let params = rcgen::CertificateParams::new(names).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// One web server for all names: a page is an XML file, or the address of a redirect.
    async fn web(&self, names: &[&str]) {
        let (acceptor, pages) = (self.acceptor(names), self.pages.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        names.iter().for_each(|name| self.add(&format!("{name}:443"), at));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, pages) = (acceptor.clone(), pages.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8_lossy(&head).to_lowercase();
                    let host = head.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or_default();
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let page = pages.lock().unwrap().get(&format!("{host}{path}")).cloned();
                    let answer = match page {
                        Some(url) if url.starts_with("https://") => {
                            format!("HTTP/1.1 302 x\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n")
                        }
                        Some(xml) => format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n{xml}", xml.len()),
                        None => "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n".to_owned(),
                    };
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
    }

    pub fn add(&self, name: &str, at: SocketAddr) {
        self.hosts.lock().unwrap().insert(name.to_owned(), at);
    }

    /// From now on these hosts do not exist.
    fn forget(&self, part: &str) {
        self.hosts.lock().unwrap().retain(|name, _| !name.contains(part));
    }

    pub fn page(&self, host: &str, path: &str, says: &str) {
        self.pages.lock().unwrap().insert(format!("{host}{path}"), says.to_owned());
    }

    /// An IMAP server behind TLS.
    pub async fn imap(&self, host: &str, user: &str, password: &str) -> Sandbox {
        let server = Sandbox::new(Profile::default());
        server.add_user(user, password);
        let (acceptor, serving) = (self.acceptor(&[host]), server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.add(&format!("{host}:993"), listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        server.serve(stream).await;
                    }
                });
            }
        });
        server
    }

    /// Both domains name their servers on their web sites.
    pub async fn published() -> (Self, Sandbox, Sandbox) {
        let world = Self::new().await;
        let old = world.imap("mail.hoster.example", OLD, FROM_PASSWORD).await;
        let new = world.imap("imap.provider.example", NEW, TO_PASSWORD).await;
        world.page("old.example", WELL_KNOWN, &autoconfig("mail.hoster.example"));
        world.page("new.example", WELL_KNOWN, &autoconfig("imap.provider.example"));
        for n in 0..5 {
            old.deliver(OLD, "INBOX", letter(n), "", "03-Mar-2020 10:11:12 +0100").unwrap();
        }
        (world, old, new)
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.sqlite")
    }

    async fn run(&self, verb: &str, options: &[&str]) -> Ran {
        let mut command = self.command(verb, options);
        ran(&mut command).await
    }

    /// The options by which the program knows this world.
    pub fn options(&self) -> [PathBuf; 4] {
        let hosts: Vec<String> =
            self.hosts.lock().unwrap().iter().map(|(name, at)| format!("{name} {at}")).collect();
        let file = self.folder.path().join("hosts");
        std::fs::write(&file, hosts.join("\n")).unwrap();
        ["--hosts".into(), file, "--ca-file".into(), self.folder.path().join("ca.pem")]
    }

    fn command(&self, verb: &str, options: &[&str]) -> tokio::process::Command {
        let mut command = program(&[verb, OLD, NEW]);
        command.arg("--journal").arg(self.journal()).arg("--report").arg(self.folder.path().join("report"));
        if verb != "status" {
            command.args(self.options());
        }
        command.args(options);
        command.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD);
        command
    }
}

/// A name server for which no name exists.
async fn knows_nothing() -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 1500];
        while let Ok((_, from)) = socket.recv_from(&mut octets).await {
            // The question again, without anything after it: an answer, NXDOMAIN.
            let end = 12 + octets[12..].iter().position(|b| *b == 0).unwrap() + 5;
            (octets[2], octets[3]) = (0x81, 0x83);
            octets[6..12].fill(0);
            let _ = socket.send_to(&octets[..end], from).await;
        }
    });
    address
}

pub fn autoconfig(host: &str) -> String {
    format!(
        "<clientConfig><emailProvider><incomingServer type=\"imap\"><hostname>{host}</hostname><port>993</port>\
         <socketType>SSL</socketType><username>%EMAILADDRESS%</username></incomingServer></emailProvider></clientConfig>"
    )
}

/// Logins that were tried, good or not.
pub fn tries(server: &Sandbox) -> u64 {
    let commands = server.counters().commands;
    ["LOGIN", "AUTHENTICATE"].iter().filter_map(|verb| commands.get(*verb)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_addresses_are_enough_and_what_was_found_is_kept() {
    let (world, _, new) = World::published().await;
    let said = world.run("plan", &[]).await.expect(0);
    said.says(
        "Found for ann@old.example: imaps://mail.hoster.example:993; said by the domain itself over https",
    );
    // The domain moves to the new provider, as it does in the end: whoever is asked now names the new server for both.
    world.page("old.example", WELL_KNOWN, &autoconfig("imap.provider.example"));
    let ran = world.run("migrate", &[]).await.expect(0);
    assert!(!ran.said().contains("Found for"), "nobody is asked again: {ran:#?}");
    assert_eq!(new.counters().appended, 5);
    world.forget(":443");
    world.run("migrate", &[]).await.expect(0);
    world.run("status", &[]).await.expect(0).says("imaps://ann@old.example@mail.hoster.example:993");
    world.run("verify", &[]).await.expect(0);
    assert_eq!(new.counters().appended, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_other_addresses_is_not_taken_for_theirs() {
    let (world, ..) = World::published().await;
    world.run("migrate", &[]).await.expect(0);
    let mut command = program(&["status", "eve@old.example", NEW, "--journal"]);
    ran(command.arg(world.journal())).await.expect(2).says("it is about imaps://ann@old.example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_a_server_that_nobody_proves_gets_no_password() {
    let (world, old, new) = World::published().await;
    world.page("old.example", WELL_KNOWN, "https://other.example/x");
    world.page("other.example", "/x", &autoconfig("mail.hoster.example"));
    for options in [&[][..], &["--yes"]] {
        world
            .run("check", options)
            .await
            .expect(2)
            .says("--from-server imaps://mail.hoster.example:993")
            .says("sent us to another host");
    }
    assert_eq!((tries(&old), tries(&new)), (0, 0));
    let by_name = ["--from-server", "imaps://mail.hoster.example:993"];
    world.run("check", &by_name).await.expect(0);
}

/// On a terminal of its own, by `script` of util-linux; with `typed` on it. `None` where there is no such program.
#[cfg(target_os = "linux")]
async fn on_a_terminal(command: &tokio::process::Command, typed: &str) -> Option<Ran> {
    let plain = command.as_std();
    let words: Vec<String> = std::iter::once(plain.get_program())
        .chain(plain.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = tokio::process::Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).stdin(std::process::Stdio::piped());
    script.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    script.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = script.spawn().ok()?;
    let mut input = child.stdin.take().unwrap();
    input.write_all(typed.as_bytes()).await.unwrap();
    // Its end would end the terminal: it stays until the program is done.
    let output = child.wait_with_output().await.unwrap();
    drop(input);
    let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
    Some(Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_terminal_a_person_is_asked_and_only_a_yes_is_one() {
    for (typed, exit) in [("n\n", 2), ("\n", 2), ("y\n", 0)] {
        let (world, old, new) = World::published().await;
        world.page("old.example", WELL_KNOWN, "https://other.example/x");
        world.page("other.example", "/x", &autoconfig("mail.hoster.example"));
        let Some(ran) = on_a_terminal(&world.command("plan", &["--progress", "plain"]), typed).await else {
            eprintln!("not run: there is no `script` here");
            return;
        };
        let ran = ran.expect(exit).says("Is it the right server? [y/N]");
        let logins = if exit == 0 { 2 } else { 0 };
        assert_eq!((tries(&old), tries(&new)), (logins, logins), "{typed:?}: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_that_need_a_journal_ask_nobody_where_there_is_none() {
    let (world, old, new) = World::published().await;
    for verb in ["verify", "undo", "status"] {
        let ran = world.run(verb, &[]).await.expect(10);
        assert!(!ran.said().contains("Found for"), "{ran:#?}");
    }
    assert_eq!((tries(&old), tries(&new)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_under_a_usual_name_is_tried_with_two_user_names_and_no_third() {
    let world = World::new().await;
    let old = world.imap("imap.old.example", "ann", FROM_PASSWORD).await;
    let new = world.imap("mail.new.example", NEW, TO_PASSWORD).await;
    let said = "imap.old.example:993 refused “ann@old.example”; trying “ann”, once";
    world.run("plan", &[]).await.expect(0).says(said);
    assert_eq!((old.counters().refused_logins, new.counters().refused_logins), (1, 0));
    let ran = world.run("plan", &[]).await.expect(0);
    assert!(!ran.said().contains("refused"), "the name is kept: {ran:#?}");
    assert_eq!(old.counters().refused_logins, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_costs_two_tries_at_most_and_leaves_no_journal() {
    for (options, refused) in [(&[][..], 2), (&["--from-user", "ann"], 1)] {
        let world = World::new().await;
        let old = world.imap("imap.old.example", "ann", "another").await;
        world.imap("mail.new.example", NEW, TO_PASSWORD).await;
        world.run("plan", options).await.expect(12).says("a-wrong-password");
        assert_eq!(old.counters().refused_logins, refused);
        assert!(!world.journal().exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_nobody_knows_is_exit_2_with_the_option_and_what_was_asked() {
    let (world, old, _) = World::published().await;
    world.forget("old.example");
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.add("name-server", closed);
    world
        .run("migrate", &[])
        .await
        .expect(2)
        .says("the server of ann@old.example was not found: nobody could be asked")
        .says("SRV records: no answer")
        .says("--from-server imaps://host");
    assert_eq!(tries(&old), 0);
    world.run("status", &[]).await.expect(10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_keeps_nothing_and_ends_with_the_options_that_ask_nobody_again() {
    let world = World::new().await;
    let old = world.imap("imap.old.example", "ann", FROM_PASSWORD).await;
    world.imap("mail.new.example", NEW, TO_PASSWORD).await;
    let named = [
        "--from-server imaps://imap.old.example:993 --from-user ann",
        "--to-server imaps://mail.new.example:993 --to-user bob@new.example",
    ]
    .join(" ");
    for tries in [1, 2] {
        world.run("check", &[]).await.expect(0).says(&named);
        assert_eq!(old.counters().refused_logins, tries, "it was not kept which name is the right one");
    }
    assert!(!world.journal().exists());
    let options: Vec<&str> = named.split(' ').collect();
    let ran = world.run("check", &options).await.expect(0);
    assert!(!ran.said().contains("Found for") && !ran.said().contains("--from-user"), "{ran:#?}");
    assert_eq!(old.counters().refused_logins, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_did_not_let_us_in_is_not_among_the_options_of_check() {
    let world = World::new().await;
    world.imap("imap.old.example", "ann", "another").await;
    world.imap("mail.new.example", NEW, TO_PASSWORD).await;
    let ran = world.run("check", &["--from-user", "ann"]).await;
    assert_ne!(ran.code, Some(0));
    let ran = ran.says("again: --to-server imaps://mail.new.example:993 --to-user bob@new.example");
    assert!(!ran.said().contains("--from-server"), "{ran:#?}");
}

#[tokio::test]
async fn one_address_at_two_providers_is_told_which_server_to_name() {
    let mut command = program(&["migrate", OLD, OLD]);
    ran(&mut command)
        .await
        .expect(2)
        .says("--from and --to are the same account")
        .says("name at least the old server: --from-server imaps://host");
    let url = "imaps://ann@mail.hoster.example";
    let ran = ran(&mut program(&["migrate", url, url])).await.expect(2);
    assert!(!ran.said().contains("--from-server"), "the servers are named: {ran:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_of_the_environment_stands_before_the_web_servers_that_are_asked() {
    let (world, old, _) = World::published().await;
    let is_web = |name: &str| name.ends_with(":443");
    let way = world.hosts.lock().unwrap().clone().into_iter().filter(|(name, _)| is_web(name)).collect();
    let proxy = tunnels(way, None).await.unwrap();
    // Without it no web server can be reached.
    world.hosts.lock().unwrap().retain(|name, _| !is_web(name));
    world.run("check", &[]).await.expect(2).says("was not found");
    world.add("proxy.example:3128", proxy.address);
    let mut command = world.command("check", &[]);
    command.env("https_proxy", "http://proxy.example:3128").env("HTTPS_PROXY", "http://other.example:1");
    ran(&mut command).await.expect(0).says("mail.hoster.example:993");
    assert!(!proxy.asked().is_empty() && tries(&old) > 0);
    let mut excepted = world.command("check", &[]);
    excepted.env("ALL_PROXY", "http://proxy.example:3128").env("NO_PROXY", "old.example,new.example");
    ran(&mut excepted).await.expect(2).says("was not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_cannot_be_used_is_told_by_its_variable_and_done_without() {
    let (world, ..) = World::published().await;
    let mut command = world.command("check", &[]);
    let said = ran(command.env("ALL_PROXY", "socks5://127.0.0.1:1080")).await.expect(0);
    said.says("ALL_PROXY: socks5://127.0.0.1:1080 is not supported").says("asked without a proxy");
    // Nobody is asked about a domain of the table, and nothing is said of proxies.
    let mut command = program(&["check", "ann@gmail.com", "ann@outlook.com"]);
    let said = ran(command.args(world.options()).env("ALL_PROXY", "socks5://127.0.0.1:1080")).await.expect(2);
    assert!(said.says("imap.gmail.com").stderr.find("PROXY").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_run_by_address_waits_out_a_refusal_that_may_pass_and_check_tells_it() {
    for words in ["NO [UNAVAILABLE] later", "NO [INUSE] another session is being closed"] {
        let (world, old, new) = World::published().await;
        let once = |server: &Sandbox| {
            let next = server.counters().commands.get("AUTHENTICATE").copied().unwrap_or(0) + 1;
            server.plan(Planned::once(Trigger::Verb("AUTHENTICATE", next), Fault::Answer(words.into())));
        };
        once(&old);
        let told = world.run("check", &[]).await;
        assert!(told.code != Some(0) && told.said().contains(&words[3..]), "{told:#?}");
        once(&old);
        once(&new);
        let moved = world.run("migrate", &[]).await.expect(0);
        assert_eq!(moved.said().matches("It is asked again in 1 s").count(), 2, "{moved:#?}");
        assert_eq!(new.snapshot(NEW).iter().map(|m| m.messages.len()).sum::<usize>(), 5);
    }
}
