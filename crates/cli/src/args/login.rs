//! How to log in to each side: the same options twice, with `--from-` and `--to-` before them.

use clap::Args;
use std::path::PathBuf;

/// The options of one side, whichever it is.
#[derive(Clone, Debug, Default)]
pub struct Login {
    pub auth_user: Option<String>,
    pub auth_form: Option<String>,
    pub mechanism: Option<String>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
    pub password_command: Option<String>,
    pub token_command: Option<String>,
}

macro_rules! side {
    ($name:ident, $side:literal, $server:literal, $account:literal) => {
        /// The options of this side.
        #[derive(Clone, Debug, Args)]
        pub struct $name {
            #[arg(id = concat!($side, "-auth-user"), long = concat!($side, "-auth-user"), value_name = "NAME",
                  help = concat!("Who logs in at the ", $server, " for that user (an administrator)"))]
            auth_user: Option<String>,
            #[arg(id = concat!($side, "-auth-form"), long = concat!($side, "-auth-form"), value_name = "FORM",
                  help = concat!("How the ", $server, " takes the administrator's name: sasl (default), cyrus, zimbra, dovecot, \
                         exchange, mirapoint, or a template such as {user}*{admin}"))]
            auth_form: Option<String>,
            #[arg(id = concat!($side, "-mechanism"), long = concat!($side, "-mechanism"), value_name = "NAME",
                  help = concat!("Log in to the ", $server, " by this mechanism and no other (PLAIN, SCRAM-SHA-256, …)"))]
            mechanism: Option<String>,
            #[arg(id = concat!($side, "-certificate"), long = concat!($side, "-certificate"), value_name = "FILE",
                  requires = concat!($side, "-key"),
                  help = concat!("A certificate (PEM) that opens the ", $account, " instead of a password"))]
            certificate: Option<PathBuf>,
            #[arg(id = concat!($side, "-key"), long = concat!($side, "-key"), value_name = "FILE",
                  requires = concat!($side, "-certificate"), help = "Its private key (PEM, not encrypted)")]
            key: Option<PathBuf>,
            #[arg(id = concat!($side, "-password-file"), long = concat!($side, "-password-file"), value_name = "FILE",
                  help = concat!("A file that holds the ", $account, "'s password"))]
            password_file: Option<PathBuf>,
            #[arg(id = concat!($side, "-password-command"), long = concat!($side, "-password-command"),
                  value_name = "COMMAND", help = concat!("A command that prints the ", $account, "'s password"))]
            password_command: Option<String>,
            #[arg(id = concat!($side, "-token-command"), long = concat!($side, "-token-command"), value_name = "COMMAND",
                  help = concat!("A command that prints an OAuth access token for the ", $account,
                         "; run again at each login"))]
            token_command: Option<String>,
        }

        impl From<&$name> for Login {
            fn from(args: &$name) -> Self {
                let args = args.clone();
                Self {
                    auth_user: args.auth_user,
                    auth_form: args.auth_form,
                    mechanism: args.mechanism,
                    certificate: args.certificate,
                    key: args.key,
                    password_file: args.password_file,
                    password_command: args.password_command,
                    token_command: args.token_command,
                }
            }
        }
    };
}

side!(FromLogin, "from", "old server", "old account");
side!(ToLogin, "to", "new server", "new account");
