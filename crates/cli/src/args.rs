//! What a person can type. Names are stable (docs/cli.md): added to, not renamed.

mod login;

pub use login::{FromLogin, Login, ToLogin};

use clap::{Args, Parser, Subcommand, ValueEnum};
use mailhaul_engine::config::{Daily, Rate};
use std::path::PathBuf;

/// Moves all the mail of an account from an old IMAP server to a new one, and proves it.
#[derive(Debug, Parser)]
#[command(name = "mailhaul", version, max_term_width = 100)]
#[command(after_help = "Examples:\n  mailhaul check ann@old.example ann@new.example\n  \
    mailhaul migrate --from imaps://ann@old.example --to imaps://ann@new.example\n\n\
    The old account is opened read-only and never changed. Run the same command again to continue.")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Without a verb: those of the five steps.
    #[command(flatten)]
    pub steps: StepsArgs,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask for what is needed, in five steps, and move the mail (as without any verb)
    Guide(StepsArgs),
    /// Ask and show it as a page in the browser, on this computer alone
    Serve(ServeArgs),
    /// Move a sample account between two embedded servers, to see how it works
    Demo(DemoArgs),
    /// Look at both accounts: reached, logged in, what they can do, what will not move
    Check(CheckArgs),
    /// Show what would be done: mailboxes, counts, names
    Plan(CommonArgs),
    /// Move what is new, read every message back, write the report
    Migrate(MigrateArgs),
    /// Read everything at the new server again and compare it with what was fetched
    Verify(VerifyArgs),
    /// Show where this migration stands
    Status(JournalArgs),
    /// Write the report again
    Report(JournalArgs),
    /// Remove from the new server what this migration put there and nobody changed since
    Undo(CommonArgs),
    /// Show the documents that the program carries: the list of them, a page, or the part of one
    Docs(DocsArgs),
    /// Print the completions for a shell (for packages)
    #[command(hide = true)]
    Completions(CompletionsArgs),
    /// Write the manual pages into a folder (for packages)
    #[command(hide = true)]
    Man(ManArgs),
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the demo's journal and report
    #[arg(long, value_name = "FOLDER", default_value = "mailhaul-report/demo")]
    pub report: PathBuf,
}

/// Options of the five steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct StepsArgs {
    /// A CA certificate (PEM) to believe, beside the system's; may be repeated
    #[arg(long, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,
    /// The folder for the report (default: a folder in ./mailhaul-report, named by the two accounts)
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// No bars that are drawn again and again: plain lines, as a screen reader wants them
    #[arg(long)]
    pub plain: bool,
    /// As with `migrate` (for tests)
    #[arg(long, hide = true, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// As with `migrate` (for tests)
    #[arg(long, hide = true, value_name = "SECONDS")]
    pub settle: Option<u64>,
}

/// Options of `serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The port on this computer (default: a free one)
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Only show the link; no browser is opened
    #[arg(long)]
    pub no_browser: bool,
    #[command(flatten)]
    pub steps: StepsArgs,
}

/// Options of `docs`.
#[derive(Debug, Args)]
pub struct DocsArgs {
    /// The page; without it all are listed
    #[arg(value_name = "PAGE")]
    pub page: Option<String>,
    /// Only what stands below this heading; its first words are enough
    #[arg(value_name = "HEADING")]
    pub heading: Vec<String>,
    /// One JSON document on stdout, the text as Markdown
    #[arg(long)]
    pub json: bool,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where the pages are written; made if missing
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// Where a migration is kept.
#[derive(Clone, Debug, Args)]
pub struct JournalArgs {
    /// The old account, as with --from
    #[arg(value_name = "OLD", requires = "new", conflicts_with_all = ["from", "to"])]
    pub old: Option<String>,
    /// The new account, as with --to
    #[arg(value_name = "NEW", conflicts_with_all = ["from", "to"])]
    pub new: Option<String>,
    /// The old account: an IMAP URL (imaps://, imap:// with STARTTLS, imap+insecure://) or an address
    #[arg(long, value_name = "ACCOUNT")]
    pub from: Option<String>,
    /// The new account
    #[arg(long, value_name = "ACCOUNT")]
    pub to: Option<String>,
    /// The old server, as a URL without a user
    #[arg(long, value_name = "URL")]
    pub from_server: Option<String>,
    /// The new server, as a URL without a user
    #[arg(long, value_name = "URL")]
    pub to_server: Option<String>,
    /// The user name at the old server
    #[arg(long, value_name = "NAME")]
    pub from_user: Option<String>,
    /// The user name at the new server
    #[arg(long, value_name = "NAME")]
    pub to_user: Option<String>,
    /// The journal of this migration (default: in your state folder, named by the two accounts)
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// The folder for the report (default: a folder in ./mailhaul-report, named by the two accounts)
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// One JSON document on stdout
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How much is said, and how.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Progress as bars, plain lines, or JSON events, on stderr
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: ProgressForm,
    /// Colours
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
    /// Say more (twice: much more)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// A log file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// Forms of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressForm {
    /// Bars on a terminal, lines otherwise
    Auto,
    /// Plain lines
    Plain,
    /// One JSON object a line
    Json,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Both accounts, with their secrets and what is to be moved.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    #[command(flatten)]
    pub place: JournalArgs,
    #[command(flatten)]
    pub from_login: FromLogin,
    #[command(flatten)]
    pub to_login: ToLogin,
    /// A CA certificate (PEM) to believe, beside the system's; may be repeated
    #[arg(long, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,
    /// The SHA-256 of the old server's certificate: exactly this one is believed
    #[arg(long, value_name = "SHA256")]
    pub from_fingerprint: Option<String>,
    /// The SHA-256 of the new server's certificate
    #[arg(long, value_name = "SHA256")]
    pub to_fingerprint: Option<String>,
    /// Believe any certificate: anybody on the way can read and change your mail
    #[arg(long)]
    pub danger_accept_invalid_certs: bool,
    /// Only this mailbox of the old account; may be repeated
    #[arg(long, value_name = "NAME")]
    pub mailbox: Vec<String>,
    /// Leave out mailboxes whose name matches (* and ?); may be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Where a mailbox goes; may be repeated
    #[arg(long, value_name = "SOURCE=TARGET")]
    pub map: Vec<String>,
    /// Everything below this mailbox of the new account
    #[arg(long, value_name = "MAILBOX")]
    pub into: Option<String>,
    /// What becomes of a message under several labels (Gmail)
    #[arg(long, value_enum, default_value = "copies")]
    pub labels: LabelsArg,
    /// Only messages received since this day (YYYY-MM-DD, UTC)
    #[arg(long, value_name = "DATE")]
    pub since: Option<String>,
    /// How deep the proof goes
    #[arg(long, value_enum, default_value = "octets")]
    pub verify: LevelArg,
    /// Connections on each side
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub connections: u8,
    /// Compress what goes over the connections, where a server can (COMPRESS=DEFLATE): pays on slow lines only
    #[arg(long)]
    pub compress: bool,
    /// Bytes of messages per second at most, on each side, all its connections together: 500K, 2M (K, M, G: 1024, …)
    #[arg(long, value_name = "RATE")]
    pub max_rate: Option<Rate>,
    /// Bytes of messages a day at most from the old server: 2G, or none; without it what its provider is known to allow
    #[arg(long, value_name = "AMOUNT")]
    pub from_daily: Option<Daily>,
    /// Bytes of messages a day at most to the new server: 500M, or none; without it what its provider is known to allow
    #[arg(long, value_name = "AMOUNT")]
    pub to_daily: Option<Daily>,
    /// Recognise mail that is at the new server already, by content, and copy the rest
    #[arg(long, conflicts_with = "append_anyway")]
    pub adopt: bool,
    /// Copy everything beside the mail that is at the new server already
    #[arg(long)]
    pub append_anyway: bool,
    /// Try messages again that could not be moved in earlier runs
    #[arg(long)]
    pub retry: bool,
    /// What the new server refuses, or would destroy in its header, goes with its header encoded, or untouched inside a cover
    /// message; also what earlier runs gave up
    #[arg(long)]
    pub repair: bool,
    /// As --repair, in this run and in all later ones with this journal, until --no-repair
    #[arg(long)]
    pub repair_always: bool,
    /// Repair nothing, and take back what --repair-always, or a yes in the five steps, said
    #[arg(long, conflicts_with_all = ["repair", "repair_always"])]
    pub no_repair: bool,
    /// Accept the list of what will not move, and other questions
    #[arg(long)]
    pub yes: bool,
    /// Hosts are reached by this file alone: "imap.old.example:993 127.0.0.1:1993" a line, and "name-server 127.0.0.1:53" (for tests)
    #[arg(long, hide = true, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// Seconds to wait before a message counts as not stored (for tests)
    #[arg(long, hide = true, value_name = "SECONDS")]
    pub settle: Option<u64>,
}

/// Options of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Try at the new account what it keeps, changes and refuses: a scratch mailbox is made there and removed again
    #[arg(long)]
    pub probe: bool,
}

/// Options of `migrate`.
#[derive(Clone, Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Only show what would be done (as `plan`)
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Read every octet of the old account again, too
    #[arg(long, conflicts_with = "target_only")]
    pub reread_source: bool,
    /// Leave the old account alone (it may be closed already): only the new one is read
    #[arg(long)]
    pub target_only: bool,
    /// Start from this certificate and the manifest beside it instead of the journal: for anybody who has nothing else
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// The certificate must be signed by the key with this SHA-256
    #[arg(long, value_name = "SHA256", requires = "certificate")]
    pub certificate_key: Option<String>,
}

/// What becomes of a message under several labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabelsArg {
    /// It is stored in the mailbox of each label
    Copies,
    /// It is stored once: in Inbox, Sent, Drafts, or its first label by name
    First,
}

/// Depth of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LevelArg {
    /// A complete listing of each mailbox
    Counts,
    /// And size, flags and date of each message
    Facts,
    /// And every octet
    Octets,
}

impl StepsArgs {
    /// The options of `migrate` that say the same.
    pub fn options(&self) -> Vec<String> {
        let file = |name: &str, path: &PathBuf| format!("--{name}={}", path.display());
        let mut options: Vec<String> = self.ca_file.iter().map(|path| file("ca-file", path)).collect();
        options.extend(self.report.iter().map(|path| file("report", path)));
        options.extend(self.plain.then(|| "--progress=plain".to_owned()));
        options.extend(self.hosts.iter().map(|path| file("hosts", path)));
        options.extend(self.settle.map(|seconds| format!("--settle={seconds}")));
        options
    }
}

impl JournalArgs {
    /// The old and the new account as they were written.
    pub fn written(&self) -> (Option<&str>, Option<&str>) {
        (self.old.as_deref().or(self.from.as_deref()), self.new.as_deref().or(self.to.as_deref()))
    }
}

impl CommonArgs {
    /// How to log in to one side (`from` or `to`).
    pub fn login(&self, side: &str) -> Login {
        if side == "from" { (&self.from_login).into() } else { (&self.to_login).into() }
    }

    /// The options without which this side is not reached again, for a report. No secret is among them, and no file of this machine.
    pub fn reaches(&self, side: &str) -> Vec<String> {
        let login = self.login(side);
        let pin = if side == "from" { &self.from_fingerprint } else { &self.to_fingerprint };
        let options = [
            ("fingerprint", pin),
            ("auth-user", &login.auth_user),
            ("auth-form", &login.auth_form),
            ("mechanism", &login.mechanism),
            ("oauth", &login.oauth),
            ("oauth-client", &login.oauth_client),
            ("oauth-flow", &login.oauth_flow),
            ("oauth-tenant", &login.oauth_tenant),
            ("oauth-scope", &login.oauth_scope),
        ];
        let said = options.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        said.map(|(name, value)| format!("--{side}-{name}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(options: &[String]) -> CommonArgs {
        let accounts = ["--from=imaps://a@old.example", "--to=imaps://a@new.example"].map(str::to_owned);
        let words = ["mailhaul", "verify"].map(str::to_owned).into_iter().chain(accounts);
        match Cli::try_parse_from(words.chain(options.iter().cloned())).unwrap().command {
            Some(Command::Verify(verify)) => verify.common,
            _ => panic!("verify"),
        }
    }

    #[test]
    fn what_it_takes_to_reach_a_side_again_is_told_without_secrets_and_is_what_the_program_takes() {
        for side in ["from", "to"] {
            let said = [
                "fingerprint=ab",
                "auth-user=DOMAIN\\admin",
                "auth-form={user}*{admin}",
                "mechanism=XOAUTH2",
                "oauth=https://issuer.example",
                "oauth-client=id 7",
                "oauth-flow=device",
                "oauth-tenant=x.example",
                "oauth-scope=https://mail.example/ imap",
            ];
            let said = said.map(|option| format!("--{side}-{option}"));
            let secret = [
                "oauth-secret-file",
                "oauth-key-file",
                "oauth-certificate-file",
                "password-file",
                "token-command",
            ];
            let secret = secret.map(|option| format!("--{side}-{option}=/home/ann/secret"));
            let all: Vec<String> = said.iter().chain(&secret).cloned().collect();
            let told = taken(&all).reaches(side);
            assert_eq!(told, said, "all of them, and no file of this machine");
            assert_eq!(taken(&told).reaches(side), told);
            let other = if side == "from" { "to" } else { "from" };
            assert!(taken(&all).reaches(other).is_empty());
        }
    }
}
