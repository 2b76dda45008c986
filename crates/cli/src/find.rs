//! From what was typed to two accounts: named, kept in the journal of an earlier run, or found by their addresses.

use crate::account::{self, Account, Typed};
use crate::args::{CommonArgs, JournalArgs, OutputArgs};
use crate::command::trust;
use crate::env;
use crate::error::Failure;
use crate::output::{note, warn_of_proxy};
use mailhaul_engine::auth::advice;
use mailhaul_engine::config::{Endpoint, Mechanism};
use mailhaul_engine::discovery::{self, Asks, Discoverer, Discovery, Dns};
use mailhaul_engine::end::{Source, SourceSession};
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Journal, JournalError};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::quirks::Pause;
use mailhaul_engine::shell::Shell;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// The setting that keeps in the journal which addresses its accounts were found by.
pub const TYPED_SETTING: &str = "addresses";
/// The heading of the page about logging in for a login in which only the name or the password can be wrong.
const WRONG_NAME_OR_PASSWORD: &str = "a-wrong-password";

/// Both accounts and where their migration is kept.
pub(crate) struct Place {
    pub(crate) from: Account,
    pub(crate) to: Account,
    pub(crate) pair: AccountPair,
    pub(crate) journal: PathBuf,
    /// Where refresh tokens lie: beside the journal of this pair, also when another one is worked with. Its extension is
    /// replaced.
    pub(crate) tokens: PathBuf,
    pub(crate) report: PathBuf,
    /// Nobody asked for the report: its folder goes with the other temporary files.
    pub(crate) report_is_temporary: bool,
    /// What was found out just now, by side.
    pub(crate) found: [Option<Discovery>; 2],
    /// The addresses that the accounts were found by, to be kept.
    pub(crate) typed: Option<String>,
}

impl Place {
    /// The pair of these user names: those that the servers took.
    pub(crate) fn is_for(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        (self.from.user, self.to.user) = (from.to_owned(), to.to_owned());
        let pair = AccountPair { source: self.from.address(), target: self.to.address() };
        if pair.source == pair.target {
            return Err(same_account(self.typed.is_some()));
        }
        // A certificate may be about another pair, and says so.
        if self.typed.is_some() {
            self.pair = pair;
        }
        Ok(())
    }

    /// The options that name what was found just now, for each side that `let_in`: with them nobody is asked, and no other user
    /// name is tried.
    pub(crate) fn named(&self, let_in: [bool; 2]) -> Option<String> {
        let sides = [("from", &self.from), ("to", &self.to)].into_iter().zip(&self.found).zip(let_in);
        let named: Vec<String> = sides
            .filter(|((_, found), let_in)| found.is_some() && *let_in)
            .map(|(((side, account), _), _)| {
                let (url, user) = (server_url(&account.endpoint), Shell::HERE.word(&account.user));
                format!("--{side}-server {url} --{side}-user {user}")
            })
            .collect();
        (!named.is_empty()).then(|| named.join(" "))
    }
}

/// `found`: an address is among them. That of a move to another provider is often the same on both sides, and after the domain's
/// mail has been pointed at the new one nobody names the old one any more.
pub(crate) fn same_account(found: bool) -> Failure {
    let failure = Failure::usage("--from and --to are the same account");
    let hint = "where one address moves to another provider, name at least the old server: --from-server imaps://host";
    if found { failure.hint(hint) } else { failure }
}

/// How the world is reached.
pub(crate) struct Reach {
    pub(crate) dialer: Dialer,
    dns: Dns,
}

/// By the system's name service, or by the file of `--hosts` alone.
pub(crate) fn reach(args: &CommonArgs) -> Result<Reach, Failure> {
    let Some(file) = &args.hosts else { return Ok(Reach { dialer: Dialer::Tcp, dns: Dns::system() }) };
    let bad = |what: String| Failure::usage(format!("--hosts {}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| bad(e.to_string()))?;
    let mut table = BTreeMap::new();
    for line in text.lines() {
        let (name, address) = line.split_once(' ').ok_or_else(|| bad(line.to_owned()))?;
        let address: SocketAddr = address.parse().map_err(|_| bad(line.to_owned()))?;
        table.insert(name.to_owned(), address);
    }
    let server = table.remove("name-server").ok_or_else(|| bad("no name-server is in it".into()))?;
    Ok(Reach { dialer: Dialer::Known(Arc::new(table)), dns: Dns::at(server) })
}

/// What was typed for both sides, and where the migration of the two is kept.
pub(crate) struct Asked {
    pub(crate) from: Typed,
    pub(crate) to: Typed,
    pub(crate) journal: PathBuf,
    report: PathBuf,
}

impl Asked {
    pub(crate) fn of(args: &JournalArgs) -> Result<Self, Failure> {
        let (from, to) = args.written();
        let from = account::typed("from", from, args.from_server.as_deref(), args.from_user.as_deref())?;
        let to = account::typed("to", to, args.to_server.as_deref(), args.to_user.as_deref())?;
        let names = (from.name(), to.name());
        if names.0 == names.1 {
            return Err(same_account(matches!(from, Typed::Address(..))));
        }
        let journal = args.journal.clone().unwrap_or_else(|| env::journal(&names.0, &names.1));
        let report = args.report.clone().unwrap_or_else(|| env::report(&names.0, &names.1));
        Ok(Self { from, to, journal, report })
    }

    /// The addresses, where there are any.
    fn typed(&self) -> Option<String> {
        let is_address = |typed: &Typed| matches!(typed, Typed::Address(..));
        let any = is_address(&self.from) || is_address(&self.to);
        any.then(|| format!("{} {}", self.from.name(), self.to.name()))
    }

    pub(crate) fn place(
        self,
        from: Account,
        to: Account,
        found: [Option<Discovery>; 2],
    ) -> Result<Place, Failure> {
        let pair = AccountPair { source: from.address(), target: to.address() };
        if pair.source == pair.target {
            return Err(same_account(self.typed().is_some()));
        }
        let (tokens, typed) = (self.journal.clone(), self.typed());
        let (journal, report) = (self.journal, self.report);
        let report_is_temporary = false;
        Ok(Place { from, to, pair, journal, tokens, report, report_is_temporary, found, typed })
    }
}

/// Without asking anybody: what was named, or what the journal keeps.
///
/// # Errors
/// [`JournalError::NotFound`] where a server would have to be found first.
pub(crate) async fn known_place(args: &JournalArgs) -> Result<Place, Failure> {
    let asked = Asked::of(args)?;
    if let (Typed::Whole(from), Typed::Whole(to)) = (&asked.from, &asked.to) {
        let (from, to) = (from.clone(), to.clone());
        return asked.place(from, to, [None, None]);
    }
    let (from, to) = kept(&asked).await?;
    asked.place(from, to, [None, None])
}

/// The journal of what was named, to be read. It must be about these accounts.
pub(crate) async fn to_read(args: &JournalArgs) -> Result<(Place, SqliteJournal), Failure> {
    let place = known_place(args).await?;
    let journal = SqliteJournal::open_read_only(&place.journal)?;
    if journal.pair() != place.pair {
        return Err(about_another(&journal.pair()));
    }
    Ok((place, journal))
}

fn about_another(pair: &AccountPair) -> Failure {
    let what = format!("it is about {} and {}", pair.source, pair.target);
    JournalError::OtherSettings { what }.into()
}

/// What was named, what the journal keeps, or what can be found.
pub(crate) async fn place(args: &CommonArgs) -> Result<Place, Failure> {
    let asked = Asked::of(&args.place)?;
    let has_journal = asked.typed().is_some() && asked.journal.exists();
    if asked.typed().is_none() || has_journal {
        return known_place(&args.place).await;
    }
    let (from, to) = tokio::join!(
        propose("from", &asked.from, args, &args.from_fingerprint),
        propose("to", &asked.to, args, &args.to_fingerprint)
    );
    let (from, to) = (agreed("from", from?, args)?, agreed("to", to?, args)?);
    asked.place(from.account, to.account, [from.found, to.found])
}

/// The accounts that an earlier run found by these addresses.
async fn kept(asked: &Asked) -> Result<(Account, Account), Failure> {
    let journal = SqliteJournal::open_read_only(&asked.journal)?;
    let pair = journal.pair();
    let typed = asked.typed();
    let setting = journal.setting(TYPED_SETTING).await?;
    // A first run that was killed once it had made the journal: whoever works with it next says so again.
    let is_new = setting.is_none() && journal.runs(1).await?.is_empty();
    if setting != typed && !(is_new && fits(&asked.from, &pair.source) && fits(&asked.to, &pair.target)) {
        return Err(about_another(&pair));
    }
    let place = || asked.journal.display().to_string();
    let read = |text: &str| {
        let damaged = || JournalError::Damaged { place: place(), what: "its accounts cannot be read".into() };
        Account::parse(text).ok_or_else(damaged)
    };
    Ok((read(&pair.source)?, read(&pair.target)?))
}

/// True where what was typed may be this account.
fn fits(typed: &Typed, account: &str) -> bool {
    match typed {
        Typed::Whole(whole) => whole.address() == account,
        Typed::Address(address, named) => {
            let user = Account::parse(account).map(|account| account.user);
            user.is_some_and(|user| match named {
                Some(named) => user == *named,
                None => user == address.local() || user == address.to_string(),
            })
        }
    }
}

/// A folder that goes with what holds it, for a journal that nobody needs afterwards.
pub(crate) fn temporary_folder() -> Result<tempfile::TempDir, Failure> {
    tempfile::tempdir().map_err(|e| Failure::failed(format!("no folder for temporary files: {e}")))
}

/// What one side is about to be logged in to.
#[derive(Clone, Debug)]
pub(crate) struct Proposed {
    pub(crate) account: Account,
    /// What was found out about it; none where it was named.
    pub(crate) found: Option<Discovery>,
}

impl Proposed {
    /// Why a person has to agree before a credential goes there.
    pub(crate) fn asks(&self) -> Option<Asks> {
        self.found.as_ref()?.proposal.as_ref()?.asks
    }
}

/// The account that was named, or the one that is found for the address.
pub(crate) async fn propose(
    side: account::Side,
    typed: &Typed,
    args: &CommonArgs,
    pin: &Option<String>,
) -> Result<Proposed, Failure> {
    let (address, user) = match typed {
        Typed::Whole(account) => return Ok(Proposed { account: account.clone(), found: None }),
        Typed::Address(address, user) => (address, user),
    };
    let Reach { dialer, dns } = reach(args)?;
    let (proxies, unusable) = env::proxies();
    let discoverer =
        Discoverer { dialer, dns, proxies, ..Discoverer::new(trust(args, pin)?, Limits::default()) };
    let discovery = discoverer.discover(address).await;
    // Where the table knows the domain nobody was asked, with or without a proxy.
    let asked = discovery.answers.iter().any(|answer| answer.source != discovery::Source::Table);
    if let Some(unusable) = unusable.filter(|_| asked) {
        warn_of_proxy(&args.place.output, &unusable);
    }
    proposed(side, discovery, user.clone())
}

/// What was found out, where it leads to a server and a user name.
fn proposed(
    side: account::Side,
    mut discovery: Discovery,
    user: Option<String>,
) -> Result<Proposed, Failure> {
    let lines = discovery.lines();
    let Some(proposal) = &mut discovery.proposal else {
        let why = if discovery.is_offline() { "nobody could be asked" } else { "nobody knows it" };
        let what = format!("the server of {} was not found: {why}\n{}", discovery.address, lines.join("\n"));
        return Err(Failure::usage(what).hint(format!("name it: --{side}-server imaps://host")));
    };
    if let Some(user) = user {
        proposal.candidate.users = vec![user];
    }
    let endpoint = proposal.candidate.endpoint.clone();
    let Some(user) = proposal.candidate.users.first().cloned() else {
        let url = server_url(&endpoint);
        let what = format!("nobody but its owner knows the user name of {} there", discovery.address);
        return Err(Failure::usage(what).hint(format!("name it: --{side}-server {url} --{side}-user NAME")));
    };
    Ok(Proposed { account: Account { endpoint, user }, found: Some(discovery) })
}

/// Says what was found, and asks where a person has to agree.
fn agreed(side: account::Side, proposed: Proposed, args: &CommonArgs) -> Result<Proposed, Failure> {
    let Some(discovery) = &proposed.found else { return Ok(proposed) };
    let output = &args.place.output;
    let asks = proposed.asks();
    note(output, &format!("Found for {}", discovery.headline().unwrap_or_default()));
    if let Some(instead) = discovery.takes_instead() {
        let more = discovery.more().map_or(String::new(), |more| format!(" (`{more}`)"));
        note(output, &format!("  {instead}{more}"));
    }
    let instead = discovery.proposal.as_ref().is_some_and(|p| !p.instead.is_empty());
    if asks.is_some() || output.verbose > 0 || instead {
        discovery.lines().iter().for_each(|line| note(output, line));
    }
    if let Some(asks) = asks {
        agree(side, &server_url(&proposed.account.endpoint), asks.words())?;
    }
    Ok(proposed)
}

pub(crate) fn server_url(endpoint: &Endpoint) -> String {
    format!("{}://{}", endpoint.scheme(), endpoint.authority())
}

/// No credential goes to a server that nobody proves before a person said yes.
fn agree(side: account::Side, url: &str, why: &str) -> Result<(), Failure> {
    let hint = format!("if it is the right one: --{side}-server {url}");
    if !std::io::stdin().is_terminal() {
        let what = format!("is {url} the right server? {why}; no terminal to ask");
        return Err(Failure::usage(what).hint(hint));
    }
    let _ = write!(std::io::stderr(), "{url}: {why}.\nIs it the right server? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::usage(e.to_string()))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::usage(format!("{url} is not used")).hint(hint)),
    }
}

/// Whether a refusal that may pass is waited out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Waits,
    Tells,
}

/// Logs in to a server that was found just now: only one that lets us in is kept. With patience it is asked again, as the runs after the
/// first one do, and not with a name that it refused.
pub(crate) async fn settle(
    found: Option<&Discovery>,
    opener: &mut Opener,
    output: &OutputArgs,
    patience: Patience,
) -> Result<(), EndError> {
    let Some(proposal) = found.and_then(|d| d.proposal.as_ref()) else { return Ok(()) };
    let (mut users, limits) = (proposal.candidate.users.as_slice(), opener.limits.clone());
    let (began, mut back_off) = (Instant::now(), limits.back_off_min);
    loop {
        let tell = |line: &str| note(output, line);
        let Err(error) = log_in(users, opener, &tell).await else { return Ok(()) };
        let asked = error.asks_for_patience();
        let wait = match asked {
            Some(Pause::Named(time) | Pause::Step(time)) => time,
            _ => back_off,
        };
        let may_pass = patience == Patience::Waits && (asked.is_some() || error.is_passing());
        let most = limits.give_up_after(asked.unwrap_or(Pause::BackOff));
        if !may_pass || began.elapsed() + wait > most {
            return Err(error);
        }
        tell(&format!("{error}. It is asked again in {} s", wait.as_secs().max(1)));
        tokio::time::sleep(wait).await;
        back_off = (back_off * 2).min(limits.back_off_max);
        let last = users.iter().position(|user| *user == opener.account.user).unwrap_or(0);
        users = &users[last..];
    }
}

/// Logs in as one of these users, whose name is then the opener's. Where the user name is not known, the second form is tried
/// after the first was refused, and no third: each may count for a lock-out.
pub(crate) async fn log_in(
    users: &[String],
    opener: &mut Opener,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<(), EndError> {
    for (at, user) in users.iter().enumerate() {
        opener.account.user.clone_from(user);
        match ImapSource(opener.clone()).connect().await {
            Ok(session) => {
                session.close().await;
                return Ok(());
            }
            Err(error) => match users.get(at + 1).filter(|_| may_be_the_name(&error)) {
                Some(next) => {
                    let server = opener.account.endpoint.authority();
                    tell(&format!("{server} refused “{user}”; trying “{next}”, once"));
                }
                None => return Err(error),
            },
        }
    }
    Ok(())
}

/// A refused password whose user name may be written wrongly: not a token, nor a server that says what else is the matter, by its
/// words or by a code (RFC 5530, 3: `EXPIRED` and `CONTACTADMIN` know the user).
fn may_be_the_name(error: &EndError) -> bool {
    let EndError::LoginRefused { server, mechanism, refusal, .. } = error else { return false };
    let by_token = [Mechanism::OAuthBearer, Mechanism::XOAuth2, Mechanism::External];
    !mechanism.is_some_and(|m| by_token.contains(&m))
        && matches!(refusal.code.as_deref(), None | Some("AUTHENTICATIONFAILED"))
        && advice::after(server, *mechanism, refusal).page == WRONG_NAME_OR_PASSWORD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{CheckArgs, Cli, Command};
    use crate::error::USAGE;
    use clap::Parser;
    use mailhaul_engine::discovery::{Address, Candidate, Proposal, Provider, Trust};
    use mailhaul_engine::error::{Refusal, RefusalClass};

    #[test]
    fn a_second_name_is_tried_only_where_the_server_says_nothing_else() {
        let refused = |mechanism, code: Option<&str>| EndError::LoginRefused {
            server: "imap.old.example:993".into(),
            user: "ann@old.example".into(),
            mechanism: Some(mechanism),
            refusal: Box::new(Refusal {
                class: RefusalClass::Login,
                bad: false,
                code: code.map(str::to_owned),
                text: "no".into(),
            }),
            told: Vec::new(),
        };
        for (code, second) in [
            (None, true),
            (Some("AUTHENTICATIONFAILED"), true),
            (Some("EXPIRED"), false),
            (Some("CONTACTADMIN"), false),
            (Some("AUTHORIZATIONFAILED"), false),
            (Some("PRIVACYREQUIRED"), false),
        ] {
            assert_eq!(may_be_the_name(&refused(Mechanism::Plain, code)), second, "{code:?}");
            assert!(!may_be_the_name(&refused(Mechanism::XOAuth2, code)), "{code:?}");
        }
    }

    #[test]
    fn a_user_name_that_only_its_owner_knows_is_asked_for_by_the_options_that_name_it() {
        let cli = Cli::try_parse_from(["mailhaul", "check", "ann@old.example", "bob@new.example"]).unwrap();
        let Some(Command::Check(CheckArgs { common: args, .. })) = cli.command else { panic!() };
        let provider = Provider::of_domain("icloud.com").unwrap();
        let found = |user: Option<&str>| {
            let candidate = Candidate {
                endpoint: provider.endpoint.clone(),
                users: Vec::new(),
                source: discovery::Source::Mx,
                trust: Trust::Dns,
                provider: Some(provider),
            };
            let asks = user.is_none().then_some(Asks::NameService);
            let proposal = Some(Proposal { candidate, instead: Vec::new(), asks });
            let address = Address::parse("ann@old.example").unwrap();
            let discovery = Discovery { address, answers: Vec::new(), proposal };
            let named = proposed("from", discovery, user.map(str::to_owned))?;
            agreed("from", named, &args)
        };
        let failure = found(None).unwrap_err();
        assert_eq!(failure.code, USAGE);
        let hint = failure.hint.unwrap();
        assert_eq!(hint, "name it: --from-server imaps://imap.mail.me.com:993 --from-user NAME");
        assert_eq!(found(Some("anns.apple")).unwrap().account.user, "anns.apple");
    }
}
