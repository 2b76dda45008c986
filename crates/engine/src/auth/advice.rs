//! Pure: what to do after a refused login, told from the server's own words.
//!
//! A table, one row for each thing that goes wrong at a provider, with where it was seen. The first row that fits is
//! taken; the last one fits every login. Each row points to a heading of the page about logging in.

use super::Mechanism;
use crate::error::Refusal;
use crate::pages::Reference;

/// What happened, as far as it can be told, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// What to do next, for anybody; no option of the command line is named.
    pub next: &'static str,
    /// What whoever types options, or looks after the accounts, can do beside that; may be empty.
    pub further: &'static str,
    /// The heading in `docs/login.md`.
    pub page: &'static str,
}

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { meaning, next, further, page } = self;
        let (semicolon, further) = if further.is_empty() { ("", "") } else { ("; ", *further) };
        write!(
            f,
            "{meaning}; {next}{semicolon}{further} (`{}`). It is not tried again by itself, so that the account is not locked",
            Reference::login(page)
        )
    }
}

/// When a row fits: all of what it names.
struct Row {
    /// The server's name ends with one of these; empty for any server.
    hosts: &'static [&'static str],
    /// The response code is this.
    code: Option<&'static str>,
    /// The text holds this, in lower case; empty for any.
    words: &'static str,
    /// Only for these; empty for any.
    by: &'static [Mechanism],
    advice: Advice,
}

const fn advice(meaning: &'static str, next: &'static str, page: &'static str) -> Advice {
    Advice { meaning, next, further: "", page }
}

impl Advice {
    const fn further(self, further: &'static str) -> Self {
        Self { further, ..self }
    }
}

const fn said(words: &'static str, advice: Advice) -> Row {
    Row { hosts: &[], code: None, words, by: &[], advice }
}

const fn coded(code: &'static str, advice: Advice) -> Row {
    Row { hosts: &[], code: Some(code), words: "", by: &[], advice }
}

const fn of(hosts: &'static [&'static str], by: &'static [Mechanism], advice: Advice) -> Row {
    Row { hosts, code: None, words: "", by, advice }
}

const GOOGLE: &[&str] = &["imap.gmail.com", "imap.googlemail.com"];
const MICROSOFT: &[&str] = &["outlook.office365.com", "outlook.office.com", "outlook.com", "hotmail.com"];
const YAHOO: &[&str] = &["mail.yahoo.com", "imap.aol.com", "mail.yahoo.co.jp"];
const ICLOUD: &[&str] = &["mail.me.com"];
const FASTMAIL: &[&str] = &["fastmail.com", "messagingengine.com"];
const GERMANY: &[&str] = &["imap.gmx.net", "imap.gmx.com", "imap.web.de"];
const TOKENS: &[Mechanism] = &[Mechanism::OAuthBearer, Mechanism::XOAuth2];
const SCRAM: &[Mechanism] = &[
    Mechanism::ScramSha256Plus,
    Mechanism::ScramSha1Plus,
    Mechanism::ScramSha256,
    Mechanism::ScramSha1,
    Mechanism::CramMd5,
];

/// Between an administrator and a user, behind the words of a refusal.
pub(crate) const FOR_ANOTHER: &str = " logs in for ";
const APP_PASSWORD: &str = "create an app password in the account's security settings and give that one";
const USE_OAUTH: &str = "log in at the provider in your browser instead of by a password";
const OAUTH_OPTIONS: &str = "by OAuth: --from-oauth or --to-oauth";

/// Evidence behind each row: an issue in which the words were shown, a standard, or a vendor's page.
const ROWS: &[Row] = &[
    // ---- words that say it all, whoever says them
    // MailKit#1494, imapflow#314, email-oauth2-proxy#74 and #275, imapsync#411: after an OK, at the first command.
    said(
        "authenticated but not connected",
        advice(
            "Exchange knows who logged in, but not that this one may open this mailbox",
            "check that you logged in as the owner of this mailbox, and that mail programs are allowed for it; the administrator \
             can give another login the right to it",
            "authenticated-but-not-connected",
        )
        .further(
            "the token or password has to be of the same user as --from-user or --to-user, IMAP has to be switched on for this \
             mailbox, and an application needs FullAccess to it",
        ),
    ),
    // uxc#445 (raw session with outlook.office365.com).
    said(
        "basic authentication is disabled",
        advice("Microsoft takes no passwords any more", USE_OAUTH, "microsoft").further(OAUTH_OPTIONS),
    ),
    // The word in the logs of Exchange Online's failed POP and IMAP logins.
    said(
        "basicauthblocked",
        advice("Microsoft takes no passwords any more for this account", USE_OAUTH, "microsoft")
            .further(OAUTH_OPTIONS),
    ),
    // Gmail's own words; its help page 185833.
    said(
        "application-specific password required",
        advice("this Google account has two-step verification", APP_PASSWORD, "google"),
    ),
    // robotframework-imaplibrary#23.
    said(
        "log in via your web browser",
        advice(
            "Google stopped this login as unusual",
            "log in once in a browser from this network, then use an app password",
            "google",
        ),
    ),
    // Gmail's WEBALERT form of the same.
    said(
        "web login required",
        advice(
            "Google wants a login in the browser first",
            "log in once in a browser from this network, then use an app password",
            "google",
        ),
    ),
    // Gmail's own words.
    said(
        "account is not enabled for imap",
        advice(
            "IMAP is switched off for this account",
            "switch it on in the settings of the mailbox",
            "imap-is-switched-off",
        ),
    ),
    // Google Workspace's own words.
    said(
        "imap access is disabled for your domain",
        advice(
            "the administrator of this domain has switched IMAP off",
            "ask the administrator to allow IMAP (Google: Admin console, Apps, Gmail, End user access)",
            "imap-is-switched-off",
        ),
    ),
    // Mailspring#2111, Mailspring#904 (Yandex).
    said(
        "or imap is disabled",
        advice(
            "Yandex does not say which: the password is wrong, or IMAP is switched off",
            "switch IMAP on in the mailbox's settings under mail clients, and create an app password for mail",
            "imap-is-switched-off",
        ),
    ),
    // Zoho's own words.
    said(
        "yet to enable imap",
        advice(
            "IMAP is switched off for this account",
            "switch it on in Zoho's settings under mail accounts",
            "imap-is-switched-off",
        ),
    ),
    // nylas-mail#2306 (IMail).
    said(
        "imap support is not enabled",
        advice(
            "IMAP is switched off for this account",
            "ask the provider to switch it on",
            "imap-is-switched-off",
        ),
    ),
    // mail.ru's own words.
    said(
        "application password is required",
        advice("mail.ru takes only app passwords", APP_PASSWORD, "app-passwords"),
    ),
    // QQ's own words.
    said(
        "using authorized code to login",
        advice(
            "QQ wants its authorization code",
            "create one in the mailbox's settings and give it as the password",
            "app-passwords",
        ),
    ),
    // imapsync's FAQ: 163, 126, 188.
    said(
        "unsafe login",
        advice(
            "NetEase wants to know the program and an authorization code",
            "switch IMAP on in the mailbox's settings and give the authorization code as the password",
            "app-passwords",
        ),
    ),
    // RFC 5802, 7: the server sees another TLS connection than we do.
    said(
        "channel-bindings-dont-match",
        advice(
            "somebody between this computer and the server decrypts the connection: a firewall that inspects it, or worse",
            "log in from another network, where nobody does that; if it is the same there, ask the provider",
            "somebody-is-between",
        )
        .further(
            "if the provider's own front end does it, try --from-mechanism SCRAM-SHA-256 or --to-mechanism SCRAM-SHA-256",
        ),
    ),
    // ---- tokens, by the words of RFC 7628 that the error held
    Row {
        hosts: MICROSOFT,
        code: None,
        words: "",
        by: TOKENS,
        // office-developer-exchange-docs#87: `NO AUTHENTICATE failed.`, whatever was wrong with the token.
        advice: advice(
            "Microsoft did not accept this login",
            "log in again, as the owner of this mailbox, and allow access to its mail; if it is refused again, ask your administrator \
             to allow this program",
            "microsoft",
        )
        .further(
            "the token has to be of this user and for outlook.office.com (scope IMAP.AccessAsUser.All, or for an application \
             https://outlook.office365.com/.default with IMAP.AccessAsApp, admin consent and the service principal)",
        ),
    },
    of(
        GOOGLE,
        TOKENS,
        advice(
            "Google did not accept this login",
            "log in again, as the owner of this mailbox, and allow access to its mail",
            "google",
        )
        .further(
            "the token has to be of this user, with the scope https://mail.google.com/; a service account needs domain-wide \
             delegation for https://www.googleapis.com/auth/gmail.imap_admin",
        ),
    ),
    of(
        &[],
        TOKENS,
        advice(
            "the server did not accept this login",
            "log in again, as the owner of this mailbox, and allow access to its mail",
            "a-refused-token",
        )
        .further("the token has to be a new one, of this user and for mail"),
    ),
    // ---- providers that take no account passwords, whatever words they use
    // elementary/mail#739, go-imap#436, offlineimap#688: `[AUTHENTICATIONFAILED] LOGIN Invalid credentials`.
    of(
        YAHOO,
        &[],
        advice("Yahoo and AOL take only app passwords from mail programs", APP_PASSWORD, "app-passwords"),
    ),
    // ImapNotes3#49.
    of(GOOGLE, &[], advice("Google takes no account passwords from mail programs", APP_PASSWORD, "google")),
    // imapsync#317, MailKit#1072, paperless-ngx#1647, imapclient#602: `NO LOGIN failed.`
    of(
        MICROSOFT,
        &[],
        advice("Microsoft takes no passwords any more", USE_OAUTH, "microsoft").further(OAUTH_OPTIONS),
    ),
    // Apple's page 102654.
    of(
        ICLOUD,
        &[],
        advice("Apple takes only app-specific passwords from mail programs", APP_PASSWORD, "app-passwords"),
    ),
    // Fastmail's page on app passwords.
    of(
        FASTMAIL,
        &[],
        advice("Fastmail takes only app passwords from mail programs", APP_PASSWORD, "app-passwords"),
    ),
    // GMX's and web.de's help pages on POP3 and IMAP.
    of(
        GERMANY,
        &[],
        advice(
            "GMX and web.de refuse every login while IMAP is switched off",
            "switch POP3 and IMAP on in the mailbox's settings; with two-step login create an app password",
            "imap-is-switched-off",
        ),
    ),
    // ---- codes (RFC 5530, 3)
    coded(
        "AUTHORIZATIONFAILED",
        advice(
            "who logged in is known, but may not act for this user",
            "check the administrator's rights, and the name of the user",
            "for-another-user",
        ),
    ),
    // Cyrus and others: `NO authentication failure` for a wrong password and for one who is no administrator.
    said(
        FOR_ANOTHER,
        advice(
            "the administrator's name or password is wrong, or this one may not act for this user",
            "check both, the administrator's rights, and the name of the user",
            "for-another-user",
        ),
    ),
    coded(
        "EXPIRED",
        advice("the password has expired", "set a new one where the provider lets you", "a-wrong-password"),
    ),
    coded(
        "CONTACTADMIN",
        advice(
            "the provider wants to be asked",
            "write to its support, with the server's words",
            "a-wrong-password",
        ),
    ),
    // ---- anything else
    // Courier and Dovecot: announced for all, possible only for accounts whose password is stored in that form.
    of(
        &[],
        SCRAM,
        advice(
            "the user name or the password is wrong, or this server wants the password sent another way",
            "check both; if they are right, ask whoever runs that server",
            "a-wrong-password",
        )
        .further(
            "if the server does not keep this password in the form that this mechanism needs, --from-mechanism PLAIN or \
             --to-mechanism PLAIN over TLS gets in",
        ),
    ),
    of(
        &[],
        &[],
        advice(
            "the user name or the password is wrong, or the provider wants an app password or a login in the browser here",
            "check the user name (some servers want the whole address, some only what is before the @) and the password",
            "a-wrong-password",
        ),
    ),
];

/// What to do after `refusal` of a login at `server` (`host:port`) by `mechanism`.
pub fn after(server: &str, mechanism: Option<Mechanism>, refusal: &Refusal) -> Advice {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host).to_ascii_lowercase();
    let words = refusal.text.to_ascii_lowercase();
    let is_of = |name: &str| host == name || host.ends_with(&format!(".{name}"));
    let fits = |row: &&Row| {
        (row.hosts.is_empty() || row.hosts.iter().any(|h| is_of(h)))
            && row.code.is_none_or(|code| refusal.code.as_deref() == Some(code))
            && words.contains(row.words)
            && (row.by.is_empty() || mechanism.is_some_and(|m| row.by.contains(&m)))
    };
    let last = || ROWS.last().map(|row| row.advice.clone());
    let found = ROWS.iter().find(fits).map(|row| row.advice.clone()).or_else(last);
    found.unwrap_or_else(|| {
        advice("the login was refused", "check user name and password", "a-wrong-password")
    })
}

/// The headings of `docs/login.md` that are pointed to.
pub fn pages() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.advice.page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quirks;
    use Mechanism as M;

    #[test]
    fn each_provider_and_each_word_has_its_advice() {
        for (server, mechanism, code, text, page, next) in [
            (
                "outlook.office365.com:993",
                M::XOAuth2,
                None,
                "User is authenticated but not connected.",
                "authenticated-but-not-connected",
                "FullAccess",
            ),
            (
                "outlook.office365.com:993",
                M::Plain,
                None,
                "Basic authentication is disabled.",
                "microsoft",
                "OAuth",
            ),
            ("outlook.office365.com:993", M::LoginCommand, None, "LOGIN failed.", "microsoft", "OAuth"),
            (
                "outlook.office365.com:993",
                M::XOAuth2,
                None,
                "AUTHENTICATE failed.",
                "microsoft",
                "admin consent",
            ),
            (
                "imap.gmail.com:993",
                M::Plain,
                Some("ALERT"),
                "Application-specific password required: https://x (Failure)",
                "google",
                "app password",
            ),
            (
                "imap.gmail.com:993",
                M::Plain,
                Some("ALERT"),
                "Invalid credentials (Failure)",
                "google",
                "app password",
            ),
            (
                "imap.gmail.com:993",
                M::Plain,
                Some("ALERT"),
                "Please log in via your web browser: https://x (Failure)",
                "google",
                "browser",
            ),
            (
                "imap.gmail.com:993",
                M::Plain,
                Some("ALERT"),
                "Your account is not enabled for IMAP use. (Failure)",
                "imap-is-switched-off",
                "switch it on",
            ),
            (
                "imap.gmail.com:993",
                M::XOAuth2,
                None,
                "Invalid credentials (Failure) (status 400)",
                "google",
                "scope",
            ),
            (
                "export.imap.mail.yahoo.com:993",
                M::Plain,
                Some("AUTHENTICATIONFAILED"),
                "LOGIN Invalid credentials",
                "app-passwords",
                "app password",
            ),
            (
                "imap.yandex.com:993",
                M::Plain,
                Some("AUTHENTICATIONFAILED"),
                "LOGIN invalid credentials or IMAP is disabled sc=1",
                "imap-is-switched-off",
                "app password",
            ),
            (
                "imap.mail.me.com:993",
                M::Plain,
                Some("AUTHENTICATIONFAILED"),
                "Authentication Failed",
                "app-passwords",
                "app password",
            ),
            ("imap.web.de:993", M::Plain, None, "Authentication failed", "imap-is-switched-off", "IMAP"),
            (
                "mail.old.example:993",
                M::Plain,
                Some("AUTHORIZATIONFAILED"),
                "no",
                "for-another-user",
                "rights",
            ),
            ("mail.old.example:993", M::Plain, Some("EXPIRED"), "old", "a-wrong-password", "new one"),
            (
                "mail.old.example:993",
                M::ScramSha256,
                Some("AUTHENTICATIONFAILED"),
                "Authentication failed.",
                "a-wrong-password",
                "PLAIN",
            ),
            (
                "mail.old.example:993",
                M::Plain,
                Some("AUTHENTICATIONFAILED"),
                "Authentication failed.",
                "a-wrong-password",
                "whole address",
            ),
            (
                "mail.old.example:993",
                M::OAuthBearer,
                None,
                "failed (status invalid_token)",
                "a-refused-token",
                "new one",
            ),
            // A name that only looks like a provider's.
            ("notimap.gmail.com.example:993", M::Plain, None, "failed", "a-wrong-password", "whole address"),
        ] {
            let class = quirks::classify(false, code, text);
            let refusal = Refusal { class, bad: false, code: code.map(str::to_owned), text: text.into() };
            let advice = after(server, Some(mechanism), &refusal);
            assert_eq!(advice.page, page, "{server} {text}: {advice}");
            assert!(advice.to_string().contains(next), "{server} {text}: {advice}");
        }
    }

    #[test]
    fn whoever_types_no_options_has_something_to_do_after_every_refusal() {
        for Row { advice, .. } in ROWS {
            assert!(!advice.next.is_empty() && !advice.meaning.is_empty(), "{advice}");
            for word in ["--", "token", "scope", "mechanism", "OAuth", "TLS"] {
                assert!(!format!("{} {}", advice.meaning, advice.next).contains(word), "{word}: {advice}");
            }
        }
    }

    #[test]
    fn every_row_can_be_reached() {
        // Each row before the last two needs something that those do not; a row hidden by one before it says nothing.
        for (at, row) in ROWS.iter().enumerate() {
            let host = row.hosts.first().copied().unwrap_or("mail.old.example");
            let text = if row.words.is_empty() { "no" } else { row.words };
            let refusal = Refusal {
                class: quirks::classify(false, row.code, text),
                bad: false,
                code: row.code.map(str::to_owned),
                text: text.into(),
            };
            let found = after(&format!("{host}:993"), row.by.first().copied(), &refusal);
            assert_eq!(found, row.advice, "row {at} is hidden");
        }
    }
}
