//! Steps 1 to 3: both addresses, both servers, both logins.

use super::Way;
use super::talk::{Reply, Talk, tell};
use crate::account::{names_no_server, typed};
use crate::error::Failure;
use crate::find::server_url;
use crate::oauth::Terminal;
use crate::steps::answers::{Answer, SignIn};
use crate::steps::{Looked, NotLetIn, SIDES, Step, Steps, words};
use mailhaul_engine::discovery::Provider;
use mailhaul_engine::error::EndError;
use mailhaul_engine::names::printable;
use mailhaul_engine::pages::Reference;
use mailhaul_engine::plain::Plain;
use mailhaul_engine::report::words::sentence;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where a client id comes from.
const HOW_CLIENT: &str = "How to get one, in another window: mailhaul docs login oauth\n\n";

/// Step 1: both servers are known, and what each needs.
pub async fn requirements(talk: &mut Talk, steps: &mut Steps) -> Result<Way, Failure> {
    tell(
        "You need the addresses of both mailboxes and a way into each. The new one should exist already.\n\n",
    );
    if let Some(why) = steps.unkept() {
        tell(words::unkept(why));
    }
    for side in SIDES {
        if let Some(way) = address(talk, steps, side).await? {
            return Ok(way);
        }
    }
    loop {
        let side = match look_for(talk, steps).await? {
            Looking::Way(way) => return Ok(way),
            Looking::NameServer(side) => side,
        };
        if let Some(way) = server(talk, steps, side).await? {
            return Ok(way);
        }
    }
}

/// What looking for both servers led to.
enum Looking {
    Way(Way),
    /// The person has to name the server of this side.
    NameServer(&'static str),
}

/// What was typed of one side last.
fn typed_of(steps: &Steps, side: &str) -> Answer {
    let [from, to] = steps.typed();
    if side == SIDES[0] { from } else { to }
}

/// It is kept at once: whoever leaves now finds it the next time.
fn keep(steps: &mut Steps, side: &str, answer: Answer) -> Result<(), Failure> {
    let mut typed = steps.typed();
    typed[usize::from(side == SIDES[1])] = answer;
    steps.type_in(typed)
}

/// What is wrong with what was typed, as far as that shows without asking anybody.
fn is_wrong(side: &'static str, answer: &Answer) -> Option<Failure> {
    let (written, server, user) = (&answer.written, answer.server.as_deref(), answer.user.as_deref());
    typed(side, Some(written), server, user).err()
}

/// Asks for an address; and where its server is known or was named, for that, too: it may be another one now.
async fn address(talk: &mut Talk, steps: &mut Steps, side: &'static str) -> Result<Option<Way>, Failure> {
    let which = words::which(side);
    let before = typed_of(steps, side);
    let known = before.written.clone();
    let prompt = match known.as_str() {
        "" => format!("Address of your {which} mailbox: "),
        known => format!("Address of your {which} mailbox (Enter: {known}): "),
    };
    let answer = loop {
        let written = match talk.ask(&prompt).await? {
            Reply::Line(line) if line.is_empty() && known.is_empty() => continue,
            Reply::Line(line) if line.is_empty() => known.clone(),
            Reply::Line(line) => line,
            Reply::Back => return Ok(Some(Way::Back)),
            Reply::Leave => return Ok(Some(Way::Leave)),
        };
        let answer = if written == known { before.clone() } else { Answer { written, ..Answer::default() } };
        let wrong = is_wrong(side, &answer);
        wrong.iter().for_each(|failure| show(&words::plainly(failure)));
        if wrong.is_some() && !names_no_server(&answer.written) {
            continue;
        }
        keep(steps, side, answer.clone())?;
        if wrong.is_some() {
            return server(talk, steps, side).await;
        }
        break answer;
    };
    match of_server(&answer) {
        Some((url, user)) => other_server(talk, steps, side, [url, user]).await,
        None => Ok(None),
    }
}

/// The server of an answer, as a URL, and the user name there.
fn of_server(answer: &Answer) -> Option<(String, String)> {
    if let Some(account) = answer.accounts().into_iter().next() {
        return Some((server_url(&account.endpoint), account.user));
    }
    let user = answer.user.clone().unwrap_or_else(|| answer.written.clone());
    Some((answer.server.clone()?, user))
}

/// Whether the server is still this one, and the user name there this one.
async fn other_server(
    talk: &mut Talk,
    steps: &mut Steps,
    side: &'static str,
    [url, user]: [String; 2],
) -> Result<Option<Way>, Failure> {
    loop {
        let name = match talk.ask(&format!("Its server (Enter: {url}): ")).await? {
            Reply::Line(name) => Some(name).filter(|name| !name.is_empty()),
            Reply::Back => return Ok(Some(Way::Back)),
            Reply::Leave => return Ok(Some(Way::Leave)),
        };
        let named = match talk.ask(&format!("Your user name there (Enter: {user}): ")).await? {
            Reply::Line(name) => Some(name).filter(|name| !name.is_empty()),
            Reply::Back => return Ok(Some(Way::Back)),
            Reply::Leave => return Ok(Some(Way::Leave)),
        };
        if name.is_none() && named.is_none() {
            return Ok(None);
        }
        // What was said of another server, or for another user, holds no more.
        let server = Some(name.map_or(url.clone(), |name| words::as_url(&name)));
        let user = Some(named.unwrap_or_else(|| user.clone()));
        if take(steps, side, server, user)? {
            return Ok(None);
        }
    }
}

/// Takes a server and a user name that were typed; false where they cannot be meant, which is told.
fn take(
    steps: &mut Steps,
    side: &'static str,
    server: Option<String>,
    user: Option<String>,
) -> Result<bool, Failure> {
    let written = typed_of(steps, side).written;
    let answer = Answer { written, server, user, ..Answer::default() };
    match is_wrong(side, &answer) {
        Some(failure) => show(&words::plainly(&failure)),
        None => {
            keep(steps, side, answer)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks for both, and shows what was found.
async fn look_for(talk: &mut Talk, steps: &mut Steps) -> Result<Looking, Failure> {
    tell("Looking for both servers …");
    let typed = steps.typed();
    let Some(found) = talk.meanwhile(steps.look_for(typed.clone())).await else {
        return Ok(Looking::Way(Way::Leave));
    };
    let [from, to] = match found {
        Ok(found) => found,
        Err(failure) => {
            show(&words::plainly(&failure));
            let same = typed[0].written.eq_ignore_ascii_case(&typed[1].written);
            let named = |answer: &Answer| answer.server.is_some() || answer.written.contains("://");
            // An address that moves to another provider: at least one server is to be named.
            return Ok(match typed.iter().position(|answer| !named(answer)).filter(|_| same) {
                Some(at) => Looking::NameServer(SIDES[at]),
                None => Looking::Way(Way::Back),
            });
        }
    };
    match (from, to) {
        (Ok(from), Ok(to)) => agree(talk, steps, [from, to]).await,
        (Err(failure), _) => {
            show(&words::plainly(&failure));
            Ok(Looking::NameServer(SIDES[0]))
        }
        (_, Err(failure)) => {
            show(&words::plainly(&failure));
            Ok(Looking::NameServer(SIDES[1]))
        }
    }
}

/// Asks for the name of a server, and for the user name there. `Some` where the person goes elsewhere.
async fn server(talk: &mut Talk, steps: &mut Steps, side: &'static str) -> Result<Option<Way>, Failure> {
    let which = words::which(side);
    tell(
        "Its provider's help pages name it: incoming server, or IMAP server; often imap. or mail. before the domain.",
    );
    loop {
        let name =
            match talk.ask(&format!("Name of the {which} server (Enter: the addresses again): ")).await? {
                Reply::Line(name) if name.is_empty() => return Ok(Some(Way::Back)),
                Reply::Line(name) => name,
                Reply::Back => return Ok(Some(Way::Back)),
                Reply::Leave => return Ok(Some(Way::Leave)),
            };
        let written = typed_of(steps, side).written;
        let user = match talk.ask(&format!("Your user name there (Enter: {written}): ")).await? {
            Reply::Line(user) => Some(user).filter(|user| !user.is_empty()),
            Reply::Back => return Ok(Some(Way::Back)),
            Reply::Leave => return Ok(Some(Way::Leave)),
        };
        if take(steps, side, Some(words::as_url(&name)), user)? {
            return Ok(None);
        }
    }
}

/// Shows what was found; what nobody proves needs a yes.
async fn agree(talk: &mut Talk, steps: &mut Steps, looked: [Looked; 2]) -> Result<Looking, Failure> {
    for (side, looked) in SIDES.into_iter().zip(&looked) {
        let account = &looked.proposed.account;
        let url = server_url(&account.endpoint);
        tell(&format!("Your {} mailbox: {} at {url}", words::which(side), account.user));
        let Some(found) = &looked.proposed.found else { continue };
        if let Some(instead) = found.takes_instead() {
            tell(&format!("  {instead}."));
            found.more().into_iter().for_each(more);
        }
        let Some(asks) = looked.proposed.asks() else { continue };
        tell(&format!("{}.", sentence(asks.words())));
        details(&found.lines());
        match talk.agrees(&format!("Is {url} the right server?")).await? {
            None => return Ok(Looking::Way(Way::Leave)),
            Some(true) => {}
            Some(false) => return Ok(Looking::NameServer(side)),
        }
    }
    Ok(Looking::Way(match steps.agree(looked) {
        Ok(()) => Way::On,
        // Perhaps somebody else is at work on it.
        Err(failure) => {
            show(&words::plainly(&failure));
            Way::To(Step::Requirements)
        }
    }))
}

/// Steps 2 and 3: one account lets us in.
pub async fn connect(talk: &mut Talk, steps: &mut Steps, side: &'static str) -> Result<Way, Failure> {
    let Some(account) = steps.answers().side(side).accounts().into_iter().next() else {
        return Ok(Way::Back);
    };
    tell(&format!("{} at {}", account.user, account.endpoint.authority()));
    if steps.is_in(side) {
        // Whoever comes back to this step has typed it before.
        match talk.ask("You are in. Enter goes on; p logs in again; b goes back: ").await? {
            Reply::Line(line) if line.eq_ignore_ascii_case("p") => {}
            Reply::Line(_) => return Ok(Way::After(if side == SIDES[0] { Step::Old } else { Step::New })),
            Reply::Back => return Ok(Way::Back),
            Reply::Leave => return Ok(Way::Leave),
        }
    }
    if let Some(way) = way_in(talk, steps, side, Provider::of_host(&account.endpoint.host)).await? {
        return Ok(way);
    }
    let by_password = steps.answers().side(side).sign_in == SignIn::Password;
    let prompt = format!("Password of your {} mailbox (not shown; Enter alone: back): ", words::which(side));
    loop {
        let secret = if by_password {
            match talk.password(&prompt).await? {
                None => return Ok(Way::Leave),
                Some(None) => return Ok(Way::Back),
                Some(secret) => secret,
            }
        } else {
            match talk.ask("Enter opens the browser; b goes back: ").await? {
                Reply::Line(_) => None,
                Reply::Back => return Ok(Way::Back),
                Reply::Leave => return Ok(Way::Leave),
            }
        };
        if let Some(way) = log_in(talk, steps, side, secret).await? {
            return Ok(way);
        }
    }
}

/// One login. `None`: it was refused, and the person was told why.
async fn log_in(
    talk: &mut Talk,
    steps: &mut Steps,
    side: &'static str,
    secret: Option<Zeroizing<String>>,
) -> Result<Option<Way>, Failure> {
    loop {
        tell("Logging in … Some servers answer only after a minute.");
        let letting_in = steps.log_in(side, secret.clone(), Arc::new(Terminal), &|line| tell(line));
        let let_in = talk.meanwhile(letting_in).await;
        talk.shows();
        let Some(let_in) = let_in else { return Ok(Some(Way::Leave)) };
        match let_in {
            Ok(let_in) => {
                steps.let_in(side, let_in)?;
                tell("You are in.");
                return Ok(Some(Way::On));
            }
            Err(NotLetIn::Failure(failure)) => show(&words::plainly(&failure)),
            Err(NotLetIn::End(error)) => {
                let plain = error.plainly();
                if let EndError::Untrusted { shown: Some(fingerprint), .. } = error {
                    show(&plain);
                    if steps.answers().side(side).fingerprint.is_some() {
                        tell(
                            "It is not the one that you vouched for. Either it was renewed, or somebody is between.",
                        );
                    }
                    match knows(talk, &fingerprint).await? {
                        None => return Ok(Some(Way::Leave)),
                        Some(false) => return Ok(Some(Way::Back)),
                        Some(true) => steps.vouch_for(side, &fingerprint)?,
                    }
                    continue;
                }
                show(&plain);
            }
        }
        return Ok(None);
    }
}

/// Whether a person vouches for a certificate.
async fn knows(talk: &mut Talk, fingerprint: &[u8; 32]) -> Result<Option<bool>, Failure> {
    tell(&format!("The SHA-256 of its certificate: {}", words::hex(fingerprint)));
    tell("Whoever runs that server can tell you whether it is theirs.");
    talk.agrees("Do you know this certificate, and trust it?").await
}

/// By password or in the browser, where the provider takes the latter. `Some` where the person goes elsewhere.
async fn way_in(
    talk: &mut Talk,
    steps: &mut Steps,
    side: &str,
    provider: Option<&Provider>,
) -> Result<Option<Way>, Failure> {
    let takes = |word: &str| provider.is_some_and(|p| p.login.contains(&word));
    if !takes("oauth") {
        return Ok(None);
    }
    if let SignIn::Browser { client, .. } = &steps.answers().side(side).sign_in {
        match talk
            .ask(&format!("Enter: in the browser, as {client}; n: another way, or another client id: "))
            .await?
        {
            Reply::Line(line) if line.eq_ignore_ascii_case("n") => {}
            Reply::Line(_) => return Ok(None),
            Reply::Back => return Ok(Some(Way::Back)),
            Reply::Leave => return Ok(Some(Way::Leave)),
        }
        steps.sign_in_by(side, SignIn::Password)?;
    }
    if takes("app-password") || takes("password") {
        tell(
            "Two ways in: an app password, made in the account's security settings, or your browser, with a client id of your own.",
        );
        tell(HOW_CLIENT);
        match talk.ask("Enter: by an app password; w: in the browser: ").await? {
            Reply::Line(line) if line.eq_ignore_ascii_case("w") => {}
            Reply::Line(_) => return Ok(None),
            Reply::Back => return Ok(Some(Way::Back)),
            Reply::Leave => return Ok(Some(Way::Leave)),
        }
    } else {
        tell(
            "It takes no password from programs, only a login in the browser, with a client id of your own.",
        );
        tell(HOW_CLIENT);
    }
    let issuer = if provider.is_some_and(|p| p.docs == Some("google")) { "google" } else { "microsoft" };
    let client = match talk.ask("Client id (Enter alone goes back): ").await? {
        Reply::Line(client) if !client.is_empty() => client,
        Reply::Line(_) | Reply::Back => return Ok(Some(Way::Back)),
        Reply::Leave => return Ok(Some(Way::Leave)),
    };
    let secret_file = match talk.ask("File with the client's secret (Enter: it has none): ").await? {
        Reply::Line(file) => Some(file).filter(|file| !file.is_empty()),
        Reply::Back => return Ok(Some(Way::Back)),
        Reply::Leave => return Ok(Some(Way::Leave)),
    };
    steps.sign_in_by(side, SignIn::Browser { issuer: issuer.into(), client, secret_file })?;
    Ok(None)
}

/// What happened, what to do, and what an engineer needs.
pub fn show(plain: &Plain) {
    tell(&printable(&sentence(&plain.what)));
    below(plain);
}

/// What to do, and what an engineer needs, below what happened.
pub fn below(plain: &Plain) {
    plain.next.iter().for_each(|next| tell(&format!("  {}", printable(&sentence(next)))));
    details(&plain.details);
    plain.more.into_iter().for_each(more);
}

/// Where more about it stands: another window shows it.
fn more(more: Reference) {
    tell(&format!("  More about this, in another window: {more}"));
}

/// What an engineer needs, a line each.
fn details(lines: &[String]) {
    if !lines.is_empty() {
        tell("  Details:");
        lines.iter().for_each(|line| tell(&format!("    {}", printable(line.trim()))));
    }
}
