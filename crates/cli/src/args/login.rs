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
    pub oauth: Option<String>,
    pub oauth_client: Option<String>,
    pub oauth_flow: Option<String>,
    pub oauth_tenant: Option<String>,
    pub oauth_scope: Option<String>,
    pub oauth_secret_file: Option<PathBuf>,
    pub oauth_key_file: Option<PathBuf>,
    pub oauth_certificate_file: Option<PathBuf>,
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
            #[arg(id = concat!($side, "-oauth"), long = concat!($side, "-oauth"), value_name = "ISSUER",
                  help = concat!("Get OAuth tokens for the ", $account, " from google, microsoft, or the issuer at this URL"))]
            oauth: Option<String>,
            #[arg(id = concat!($side, "-oauth-client"), long = concat!($side, "-oauth-client"), value_name = "ID",
                  requires = concat!($side, "-oauth"), help = "The client id that the issuer knows")]
            oauth_client: Option<String>,
            #[arg(id = concat!($side, "-oauth-flow"), long = concat!($side, "-oauth-flow"), value_name = "WAY",
                  requires = concat!($side, "-oauth"), help = "How to get a token: browser (default), device (a code), application, service-account")]
            oauth_flow: Option<String>,
            #[arg(id = concat!($side, "-oauth-tenant"), long = concat!($side, "-oauth-tenant"), value_name = "TENANT",
                  requires = concat!($side, "-oauth"), help = "Microsoft: the tenant, a domain or an id (default: common)")]
            oauth_tenant: Option<String>,
            #[arg(id = concat!($side, "-oauth-scope"), long = concat!($side, "-oauth-scope"), value_name = "SCOPE",
                  requires = concat!($side, "-oauth"), help = "What the token is for, where the issuer is not Google or Microsoft")]
            oauth_scope: Option<String>,
            #[arg(id = concat!($side, "-oauth-secret-file"), long = concat!($side, "-oauth-secret-file"), value_name = "FILE",
                  requires = concat!($side, "-oauth"), help = "A file that holds the client's secret")]
            oauth_secret_file: Option<PathBuf>,
            #[arg(id = concat!($side, "-oauth-key-file"), long = concat!($side, "-oauth-key-file"), value_name = "FILE",
                  requires = concat!($side, "-oauth"), help = "The key that signs: PEM, or the JSON of a service account of Google")]
            oauth_key_file: Option<PathBuf>,
            #[arg(id = concat!($side, "-oauth-certificate-file"), long = concat!($side, "-oauth-certificate-file"), value_name = "FILE",
                  requires = concat!($side, "-oauth"), help = "The certificate (PEM) by which the issuer knows that key")]
            oauth_certificate_file: Option<PathBuf>,
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
                    oauth: args.oauth,
                    oauth_client: args.oauth_client,
                    oauth_flow: args.oauth_flow,
                    oauth_tenant: args.oauth_tenant,
                    oauth_scope: args.oauth_scope,
                    oauth_secret_file: args.oauth_secret_file,
                    oauth_key_file: args.oauth_key_file,
                    oauth_certificate_file: args.oauth_certificate_file,
                }
            }
        }
    };
}

side!(FromLogin, "from", "old server", "old account");
side!(ToLogin, "to", "new server", "new account");
