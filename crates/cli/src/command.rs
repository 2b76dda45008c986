//! The verbs: from options to the library and back to words and an exit code.

use crate::account::{self, Account};
use crate::args::{CheckArgs, Command, CommonArgs, JournalArgs, LabelsArg, LevelArg, OutputArgs};
use crate::demo;
use crate::docs;
use crate::env;
use crate::error::Failure;
use crate::find::{self, Place};
use crate::guided;
use crate::manuals;
use crate::oauth;
use crate::output::{Show, note, print, say, warn};
use crate::secrets::{self, Ask};
use crate::serve;
use crate::signals::stop_on_signal;
use crate::signing_key;
use crate::steps::beside::Beside;
use crate::verify;
use mailhaul_engine::config::{ImapAccount, Labels, Level, MappingRules, Selection, Settings, Trust};
use mailhaul_engine::discovery::Discovery;
use mailhaul_engine::error::{EndError, Error};
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{Existing, Journal, RunId};
use mailhaul_engine::net::Dialer;
use mailhaul_engine::report::{self, Bucket, EndFacts, Facts, REFUSED, REPAIR_OPTION, Report, Written};
use mailhaul_engine::run::{Migration, RunEnd, Server, kept};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The migration of the command line.
pub type Real = Migration<ImapSource, ImapTarget, SqliteJournal>;

/// Runs a verb to its exit code.
pub async fn run(command: Command) -> u8 {
    let json = wants_json(&command);
    let done = match command {
        Command::Guide(args) => guided::run(&args).await,
        Command::Serve(args) => serve::run(&args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Check(args) => check(&args).await,
        Command::Plan(args) => plan(&args).await,
        Command::Migrate(args) if args.dry_run => plan(&args.common).await,
        Command::Migrate(args) => migrate(&args.common).await,
        Command::Verify(args) => verify::verify(&args).await,
        Command::Status(args) => status(&args).await,
        Command::Report(args) => rewrite(&args).await,
        Command::Undo(args) => undo(&args).await,
        Command::Docs(args) => docs::show(&args),
        Command::Completions(args) => manuals::completions(&args),
        Command::Man(args) => manuals::man(&args),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            if json {
                print(&failure.json().to_string());
            } else {
                say(&format!("mailhaul: {}", failure.what));
                failure.hint.iter().for_each(|hint| say(&format!("  {hint}")));
            }
            failure.code
        }
    }
}

fn wants_json(command: &Command) -> bool {
    match command {
        Command::Guide(_) | Command::Serve(_) | Command::Demo(_) => false,
        Command::Completions(_) | Command::Man(_) => false,
        Command::Docs(a) => a.json,
        Command::Check(a) => a.common.place.json,
        Command::Plan(a) | Command::Undo(a) => a.place.json,
        Command::Migrate(a) => a.common.place.json,
        Command::Verify(a) => a.common.place.json,
        Command::Status(a) | Command::Report(a) => a.json,
    }
}

/// Settings from options.
fn settings(args: &CommonArgs, spool: PathBuf) -> Result<Settings, Failure> {
    let mut settings = Settings::new(spool);
    settings.level = match args.verify {
        LevelArg::Counts => Level::Counts,
        LevelArg::Facts => Level::Facts,
        LevelArg::Octets => Level::Octets,
    };
    settings
        .danger
        .extend(args.danger_accept_invalid_certs.then(|| "--danger-accept-invalid-certs".to_owned()));
    settings.options = ["from", "to"].map(|side| args.reaches(side));
    settings.connections = usize::from(args.connections);
    (settings.source_rate, settings.target_rate) = (args.max_rate, args.max_rate);
    settings.source_daily = args.from_daily.unwrap_or_default();
    settings.target_daily = args.to_daily.unwrap_or_default();
    let since = args.since.as_deref().map(day).transpose()?;
    let (only, exclude) = (args.mailbox.clone(), args.exclude.clone());
    settings.selection = Selection { only, exclude, since, ..Selection::default() };
    let rule = |text: &String| match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err(Failure::usage(format!("--map {text:?}: SOURCE=TARGET is expected"))),
    };
    let map = args.map.iter().map(rule).collect::<Result<_, _>>()?;
    settings.mapping = MappingRules { map, into: args.into.clone() };
    settings.labels = match args.labels {
        LabelsArg::Copies => Labels::Copies,
        LabelsArg::First => Labels::First,
    };
    settings.existing = match (args.adopt, args.append_anyway) {
        (true, _) => Some(Existing::Adopt),
        (_, true) => Some(Existing::AppendAnyway),
        _ => None,
    };
    settings.retry_exceptions = args.retry || args.repair;
    settings.repair = args.repair;
    settings.consent = (args.repair_always || args.no_repair).then_some(args.repair_always);
    settings.accept_will_not_move = args.yes;
    if let Some(seconds) = args.settle {
        let settle = Duration::from_secs(seconds);
        (settings.limits.settle_min, settings.limits.settle_unmeasured) = (settle, settle);
        settings.limits.back_off_min = Duration::from_millis(100);
    }
    Ok(settings)
}

fn day(text: &str) -> Result<i64, Failure> {
    let bad = |_| Failure::usage(format!("--since {text:?}: a day like 2020-01-31 is expected"));
    let date: jiff::civil::Date = text.parse().map_err(bad)?;
    Ok(jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_err(bad)?.as_second())
}

pub(crate) fn trust(args: &CommonArgs, pin: &Option<String>) -> Result<Trust, Failure> {
    Ok(Trust {
        ca_files: args.ca_file.clone(),
        fingerprint: pin.as_deref().map(account::fingerprint).transpose()?,
        anything: args.danger_accept_invalid_certs,
    })
}

/// How one side of these options is reached and logged in to. `tokens`: beside which file refresh tokens lie.
pub(crate) fn opener(
    args: &CommonArgs,
    side: account::Side,
    account: &Account,
    tokens: &Path,
    ask: Ask,
) -> Result<Opener, Failure> {
    let settings = settings(args, PathBuf::new())?;
    let pin = if side == "from" { &args.from_fingerprint } else { &args.to_fingerprint };
    let dialer = find::reach(args)?.dialer;
    let ways = Ways { args, settings: &settings, dialer: &dialer, tokens };
    ways.opener(side, account, trust(args, pin)?, ask)
}

/// How one side is reached and logged in to.
struct Ways<'a> {
    args: &'a CommonArgs,
    settings: &'a Settings,
    dialer: &'a Dialer,
    tokens: &'a Path,
}

impl Ways<'_> {
    fn opener(
        &self,
        side: &'static str,
        account: &Account,
        trust: Trust,
        ask: Ask,
    ) -> Result<Opener, Failure> {
        let login = self.args.login(side);
        let options = account::login_options(side, &login)?;
        let who = format!("{} at {}", account.user, account.endpoint.authority());
        let credentials = match ask {
            Ask::Now | Ask::Of(_) => {
                let person = if let Ask::Of(person) = ask { person } else { Arc::new(oauth::Terminal) };
                let dialer = self.dialer.clone();
                let file = self.tokens.with_extension(format!("{side}.token"));
                let (user, output) = (&account.user, &self.args.place.output);
                let tokens = oauth::For { side, user, trust: &trust, file, dialer, output, person };
                secrets::find(side, &login, &who, tokens)?
            }
            Ask::Given(credentials) => credentials,
            Ask::Never => secrets::none(),
        };
        if account.endpoint.security == mailhaul_engine::config::Security::Clear {
            let text = format!("the connection to {} is not encrypted", account.endpoint.authority());
            warn(&self.args.place.output, &text);
        }
        Ok(Opener {
            account: ImapAccount {
                endpoint: account.endpoint.clone(),
                user: account.user.clone(),
                auth_user: login.auth_user,
                login: options,
                trust,
                credentials,
            },
            limits: self.settings.limits.clone(),
            dialer: self.dialer.clone(),
            without: Vec::new(),
            compress: self.args.compress,
        })
    }
}

/// A migration ready to run, with its journal locked.
pub(crate) struct Ready {
    pub(crate) migration: Real,
    place: Place,
    json: bool,
    output: OutputArgs,
    /// Why a server that was found just now did not let us in: the old one, the new one.
    refused: [Option<EndError>; 2],
    /// Holds the journal of a run that keeps nothing.
    _kept_nowhere: Option<tempfile::TempDir>,
}

async fn ready(args: &CommonArgs) -> Result<Ready, Failure> {
    start_log(&args.place.output)?;
    ready_at(args, find::place(args).await?).await
}

async fn ready_at(args: &CommonArgs, place: Place) -> Result<Ready, Failure> {
    let ready = ready_in(args, place, ASK_BOTH, Keep::Journal).await?;
    match ready.refused() {
        Some(error) => Err(error.into()),
        None => Ok(ready),
    }
}

/// Whether a journal is made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It is: what was found is pinned in it.
    Journal,
    /// It is not.
    Nothing,
}

/// Both secrets, as whoever runs a verb gives them.
const ASK_BOTH: [Ask; 2] = [Ask::Now, Ask::Now];

/// Gets both ends ready, and opens the journal. `asks`: where the secrets of the old and of the new account come from.
pub(crate) async fn ready_in(
    args: &CommonArgs,
    mut place: Place,
    asks: [Ask; 2],
    keep: Keep,
) -> Result<Ready, Failure> {
    let spool = place.journal.parent().map_or_else(|| PathBuf::from("."), |p| p.to_owned());
    let spool = if spool.as_os_str().is_empty() { PathBuf::from(".") } else { spool };
    let settings = settings(args, spool)?;
    // All that can be wrong in what was typed is said before anybody is asked for a password.
    let (from, to) = (trust(args, &args.from_fingerprint)?, trust(args, &args.to_fingerprint)?);
    let dialer = find::reach(args)?.dialer;
    let tokens = place.tokens.clone();
    let ways = Ways { args, settings: &settings, dialer: &dialer, tokens: &tokens };
    let [ask_old, ask_new] = asks;
    // Nobody logs in to an account that is left alone.
    let old_is_left_alone = matches!(ask_old, Ask::Never);
    let mut from = ways.opener("from", &place.from, from, ask_old)?;
    let mut to = ways.opener("to", &place.to, to, ask_new)?;
    let [old, new] = &place.found;
    let old = old.as_ref().filter(|_| !old_is_left_alone);
    // What keeps nothing is a look: it tells what is the matter now.
    let patience = if keep == Keep::Nothing { find::Patience::Tells } else { find::Patience::Waits };
    let refused = [
        find::settle(old, &mut from, &args.place.output, patience).await.err(),
        find::settle(new.as_ref(), &mut to, &args.place.output, patience).await.err(),
    ];
    place.is_for(&from.account.user, &to.account.user)?;
    // A server that did not let anybody in is not kept as the one of this pair.
    let nothing = refused.iter().any(Option::is_some) || (keep == Keep::Nothing && !place.journal.exists());
    let kept_nowhere = nothing.then(find::temporary_folder).transpose()?;
    let path = kept_nowhere.as_ref().map_or(place.journal.clone(), |f| f.path().join("journal.sqlite"));
    let journal = SqliteJournal::open(&path, &place.pair, &env::holder())?;
    if let Some(typed) = &place.typed {
        journal.pin_setting(find::TYPED_SETTING, typed).await?;
    }
    let mut migration = Migration::new(ImapSource(from), ImapTarget(to), journal, settings);
    migration.exceptions = Some(place.report.join(report::EXCEPTIONS_FOLDER));
    let (json, output) = (args.place.json, args.place.output.clone());
    Ok(Ready { migration, place, json, output, refused, _kept_nowhere: kept_nowhere })
}

impl Ready {
    /// The first reason for which nothing can be done.
    pub(crate) fn refused(&self) -> Option<Error> {
        let [from, to] = &self.refused;
        from.clone().map(Error::Source).or(to.clone().map(Error::Target))
    }

    /// Runs `work` with progress shown and the first Ctrl-C stopping at a commit point.
    pub(crate) async fn with_progress<R>(
        &self,
        work: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Failure> {
        self.shown(work).await.map_err(Failure::from)
    }

    /// The same, for whoever makes more of an error than words.
    pub(crate) async fn shown<R>(&self, work: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
        let show = Show::start(&self.migration.bus, self.output.progress, self.json);
        let watch = stop_on_signal(self.migration.cancel.clone());
        let done = work.await;
        watch.abort();
        show.finish().await;
        if done.is_err() {
            // The journal is given back also when the run failed.
            let _ = self.migration.journal.release().await;
        }
        done
    }

    /// Gives the journal back.
    pub(crate) async fn give_back(&self) -> Result<(), Failure> {
        Ok(self.migration.journal.release().await?)
    }

    /// `end`: none where the run was interrupted.
    fn facts(&self, end: Option<&RunEnd>) -> Result<Facts, Failure> {
        // Nothing is left behind by a report that nobody asked for, a key neither.
        let signer = match self.place.report_is_temporary {
            true => None,
            false => signing_key::signer(|text| warn(&self.output, text))?,
        };
        let mut servers = end.map(|end| end.servers.clone()).unwrap_or_default();
        [servers.0.options, servers.1.options] = self.migration.settings.options.clone();
        Ok(Facts {
            version: env!("CARGO_PKG_VERSION").into(),
            migration: env::pair_name(&self.place.pair.source, &self.place.pair.target),
            source: side(&self.place.from, &servers.0),
            target: side(&self.place.to, &servers.1),
            level: Some(self.migration.settings.level),
            danger: self.migration.settings.danger.clone(),
            run: end.map(|end| end.run),
            settle: end.map(|end| end.settle),
            timings: Vec::new(),
            signer,
        })
    }

    /// The folder of the report.
    pub(crate) fn report_folder(&self) -> &Path {
        &self.place.report
    }

    /// Writes the report and gives the journal back, also where it could not be written. `end`: none where the run was interrupted.
    pub(crate) async fn written(&self, end: Option<&RunEnd>) -> Result<Written, Failure> {
        let written = match self.facts(end) {
            Ok(facts) => {
                let written = report::write(&self.migration.journal, &facts, &self.place.report).await;
                written.map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        self.migration.journal.release().await?;
        written
    }

    /// Writes the report, tells it, and waits for the goodbyes of the run.
    pub(crate) async fn report(&self, end: &RunEnd) -> Result<Told, Failure> {
        let told = self.report_in_words(end).await;
        self.migration.goodbyes.answered().await;
        told
    }

    async fn report_in_words(&self, end: &RunEnd) -> Result<Told, Failure> {
        let written = self.written(Some(end)).await?;
        if self.place.report_is_temporary && !self.json {
            written.report.summary_lines(None).iter().for_each(|line| print(line));
        } else {
            tell(&written, self.json)?;
        }
        let asked = end.questions.first();
        if let Some(question) = asked {
            say(&format!("{question}"));
        }
        Ok(Told::of(&written.report, end))
    }

    /// The same for somebody who types no options: the exit code, and how many messages could go over inside a cover message.
    pub(crate) async fn report_plainly(&self, end: &RunEnd) -> Result<Told, Failure> {
        let written = self.written(Some(end)).await?;
        // The whole path: where the terminal stands, a person need not know.
        let page = written.folder.join(report::REPORT_HTML);
        let page = std::path::absolute(&page).unwrap_or(page);
        let lines = written.report.summary_lines(Some(&page));
        lines.iter().map(|line| line.strip_suffix(REPAIR_OPTION).unwrap_or(line)).for_each(print);
        end.questions.iter().for_each(|question| say(&question.plainly()));
        Ok(Told::of(&written.report, end))
    }

    /// What was moved is moved, also where the list of moves cannot say so.
    fn noted(&self, noted: Option<Result<(), Failure>>) {
        if let Some(Err(failure)) = noted {
            warn(&self.output, &failure.what);
        }
    }
}

/// What a run told.
pub(crate) struct Told {
    pub(crate) code: u8,
    /// Messages that the new server refused.
    pub(crate) refused: u64,
    /// The run, if nothing is left to be moved.
    pub(crate) at_its_end: Option<RunId>,
}

impl Told {
    fn of(report: &Report, end: &RunEnd) -> Self {
        let refused = report.totals.walked.of(&Bucket::Exception(REFUSED.to_owned()));
        let code = exit_code(report, end);
        let at_its_end = is_at_its_end(code, report.outcome.hides_mail).then_some(end.run);
        Self { code, refused, at_its_end }
    }
}

/// True where nothing is left to be moved: all is there, or a person has to look at some of it. Mail that the old server hides is left.
pub(crate) fn is_at_its_end(code: u8, hides_mail: bool) -> bool {
    matches!(code, 0 | EXCEPTIONS) && !hides_mail
}

/// Some messages could not be moved (docs/cli.md).
const EXCEPTIONS: u8 = 3;

/// The exit code of a run with this report: what a person has to decide about is no success.
pub(crate) fn exit_code(report: &Report, end: &RunEnd) -> u8 {
    match report.exit_code() {
        0 if !end.questions.is_empty() => DIFFERENT,
        code => code,
    }
}

/// Octets at the target differ or are absent, or too much is missing at once (docs/cli.md).
const DIFFERENT: u8 = 4;
/// Interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

fn side(account: &Account, server: &Server) -> EndFacts {
    EndFacts {
        server: account.endpoint.authority(),
        product: server.product.clone(),
        tls: server.tls.clone(),
        options: server.options.clone(),
    }
}

fn tell(written: &Written, json: bool) -> Result<(), Failure> {
    if json && written.left {
        print(String::from_utf8_lossy(&written.report.to_json()?).trim_end());
    } else if json {
        let path = written.folder.join(report::REPORT_JSON);
        let text = std::fs::read_to_string(&path);
        print(&text.map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?);
    } else {
        written.summary_lines().iter().for_each(|line| print(line));
    }
    Ok(())
}

async fn migrate(args: &CommonArgs) -> Result<u8, Failure> {
    signing_key::check()?;
    let ready = ready(args).await?;
    // The five steps list this move, too, if it was begun in them.
    let mut beside = Beside::of(ready.migration.journal.path());
    ready.noted(beside.as_mut().map(Beside::run_begins));
    let end = ready.with_progress(ready.migration.migrate()).await?;
    // Before the report, which gives the journal back.
    let mailboxes = match beside {
        Some(_) => Some(ready.migration.journal.mailboxes().await),
        None => None,
    };
    let told = ready.report(&end).await?;
    if let (Some(beside), Some(mailboxes), Some(run)) = (beside, mailboxes, told.at_its_end) {
        let folder = ready.report_folder();
        let noted = mailboxes.map_err(Failure::from).and_then(|m| beside.run_ended(run, args, &m, folder));
        ready.noted(Some(noted));
    }
    Ok(told.code)
}

async fn plan(args: &CommonArgs) -> Result<u8, Failure> {
    let ready = ready(args).await?;
    let (_, plan) = ready.with_progress(ready.migration.plan()).await?;
    ready.migration.journal.release().await?;
    if ready.json {
        print(&serde_json::to_string_pretty(&plan).unwrap_or_default());
    } else {
        print(plan.to_string().trim_end());
        for question in &plan.questions {
            print(&format!("\nTo be decided first: {question}"));
        }
    }
    Ok(0)
}

async fn check(args: &CheckArgs) -> Result<u8, Failure> {
    let CheckArgs { common: args, probe } = args;
    start_log(&args.place.output)?;
    let place = find::place(args).await?;
    let discovery: Vec<Discovery> = place.found.iter().flatten().cloned().collect();
    // What a probe makes is in the journal before it is made, and so is what it learns.
    let keep = if *probe { Keep::Journal } else { Keep::Nothing };
    let mut ready = ready_in(args, place, ASK_BOTH, keep).await?;
    ready.migration.settings.probe = *probe;
    let checked = ready.with_progress(ready.migration.check(ready.refused.clone())).await?;
    ready.migration.journal.release().await?;
    if ready.json {
        let mut document = serde_json::to_value(&checked).unwrap_or_default();
        document["discovery"] = serde_json::to_value(&discovery).unwrap_or_default();
        print(&serde_json::to_string_pretty(&document).unwrap_or_default());
    } else {
        checked.lines().iter().for_each(|line| print(line));
    }
    let let_in = ready.refused.each_ref().map(Option::is_none);
    if let Some(named) = ready.place.named(let_in).filter(|_| !probe) {
        let text =
            format!("`check` keeps nothing of what was found; so that it is not looked for again: {named}");
        note(&ready.output, &text);
    }
    Ok(checked.exit_code())
}

async fn undo(args: &CommonArgs) -> Result<u8, Failure> {
    start_log(&args.place.output)?;
    // Without a journal there is nothing to undo, and nobody is asked where.
    let ready = ready_at(args, find::known_place(&args.place).await?).await?;
    let preview = ready.migration.undo_preview().await?;
    let total: u64 = preview.iter().map(|(_, n)| n).sum();
    for (record, count) in &preview {
        say(&format!("{count:>8}  {}", record.source.text));
    }
    let question = format!("Remove {total} messages from the new account that this migration put there?");
    if !args.yes && !confirm(&question)? {
        ready.migration.journal.release().await?;
        return Ok(0);
    }
    ready.noted(Beside::of(ready.migration.journal.path()).map(|mut beside| beside.run_begins()));
    let end = ready.with_progress(ready.migration.undo()).await?;
    ready.migration.journal.release().await?;
    let sum = |f: fn(&mailhaul_engine::undo::Undone) -> u64| end.iter().map(|(_, u)| f(u)).sum::<u64>();
    let (removed, touched) = (sum(|u| u.removed), sum(|u| u.touched));
    let (gone, others) = (sum(|u| u.gone), sum(|u| u.not_ours));
    if ready.json {
        print(&serde_json::json!({ "removed": removed, "kept_changed": touched, "already_gone": gone, "kept_uncertain": others }).to_string());
    } else {
        print(&format!(
            "{removed} removed; kept: {touched} changed since, {others} not certainly ours; {gone} were gone"
        ));
    }
    Ok(0)
}

fn confirm(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} No terminal to ask")).hint("--yes answers yes"));
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::usage(e.to_string()))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn status(args: &JournalArgs) -> Result<u8, Failure> {
    let (place, journal) = find::to_read(args).await?;
    let (runs, mailboxes, counts) =
        (journal.runs(10).await?, journal.mailboxes().await?, journal.counts().await?);
    if args.json {
        let states: Vec<_> = counts
            .iter()
            .map(|c| serde_json::json!({ "mailbox": c.mailbox.0, "state": c.state.as_str(), "kind": c.kind, "messages": c.items, "octets": c.octets }))
            .collect();
        let runs: Vec<_> = runs
            .iter()
            .map(|r| serde_json::json!({ "run": r.id.0, "verb": r.verb, "outcome": r.outcome }))
            .collect();
        print(&serde_json::json!({ "source": place.pair.source, "target": place.pair.target, "runs": runs, "states": states }).to_string());
        return Ok(0);
    }
    print(&format!("{} -> {}", place.pair.source, place.pair.target));
    for run in &runs {
        let at = jiff::Timestamp::try_from(run.started).map(|t| t.strftime("%Y-%m-%d %H:%M").to_string());
        let (at, outcome) = (at.unwrap_or_default(), run.outcome.as_deref().unwrap_or("running, or cut off"));
        print(&format!("  run {:>3}  {at}  {:<8} {outcome}", run.id.0, run.verb));
    }
    for mailbox in mailboxes {
        let of = counts.iter().filter(|c| c.mailbox == mailbox.id);
        let states: Vec<String> = of.map(|c| format!("{} {}", c.items, c.state.as_str())).collect();
        print(&format!("  {:<30} {}", mailbox.source.text, states.join(", ")));
    }
    Ok(0)
}

async fn rewrite(args: &JournalArgs) -> Result<u8, Failure> {
    let (place, journal) = find::to_read(args).await?;
    let kept = kept(&journal).await?;
    let (level, danger) = kept.as_ref().map(|run| (run.level, run.danger.clone())).unzip();
    let servers = kept.map(|run| (run.source, run.target)).unwrap_or_default();
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION").into(),
        migration: env::pair_name(&place.pair.source, &place.pair.target),
        source: side(&place.from, &servers.0),
        target: side(&place.to, &servers.1),
        level,
        danger: danger.unwrap_or_default(),
        run: None,
        settle: None,
        timings: Vec::new(),
        signer: signing_key::signer(|text| warn(&args.output, text))?,
    };
    let written = report::write(&journal, &facts, &place.report).await?;
    tell(&written, args.json)?;
    if written.left {
        let folder = written.folder.display();
        warn(
            &args.output,
            &format!(
                "the report in {folder} is left as it is: its certificate says with which level of proof and danger \
                 options the run was made, this journal does not. `verify` makes a new one; --report names another folder"
            ),
        );
    } else if !args.json {
        print("");
        written.report.signature_lines().iter().for_each(|line| print(line));
    }
    Ok(written.report.exit_code())
}

/// Logs go to a file, or with `-v` to stderr. Nothing secret is ever given to a log.
pub(crate) fn start_log(args: &OutputArgs) -> Result<(), Failure> {
    use tracing_subscriber::filter::LevelFilter;
    let level = match args.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    if let Some(path) = &args.log {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file =
            options.open(path).map_err(|e| Failure::usage(format!("--log {}: {e}", path.display())))?;
        let log =
            tracing_subscriber::fmt().json().with_max_level(level).with_writer(std::sync::Mutex::new(file));
        let _ = log.try_init();
    } else if args.verbose > 0 {
        let color = args.color == crate::args::Color::Always;
        let log =
            tracing_subscriber::fmt().with_ansi(color).with_max_level(level).with_writer(std::io::stderr);
        let _ = log.try_init();
    }
    Ok(())
}
