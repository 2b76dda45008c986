//! Steps 1 to 4. What asks a server is sent there as a task of its own ([`errand`]); whoever comes meanwhile sees what is waited for.

use super::{Form, Shared, Who, html};
use crate::account;
use crate::serve::app::{App, Course};
use crate::serve::desk::{Desk, Seen, Ticked};
use crate::serve::errand::{self, Errand};
use crate::serve::guard::Session;
use crate::serve::http::Posted;
use crate::serve::pages::{self, Frame, account as account_pages, path, waiting};
use crate::serve::texts::{self, Problem};
use crate::steps::answers::{AlreadyThere, Answer, SignIn};
use crate::steps::{Looked, SIDES, Step, words};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use std::sync::Arc;

/// Why a step is not shown: a server is waited for, a run is under way, or an earlier step is to be done first.
pub fn elsewhere(app: &App, desk: &Desk, session: &Session, step: Step) -> Option<Response> {
    if let Some(errand) = &desk.errand {
        return Some(wait_page(desk, session, errand));
    }
    let open = if matches!(app.course(), Course::Under(_)) { Step::Move } else { desk.steps.step() };
    let is_closed = step > open || (matches!(app.course(), Course::Under(_)) && step != Step::Move);
    is_closed.then(|| Redirect::to(path(open)).into_response())
}

/// A page of a step. One with a problem is no success.
fn step_page(desk: &Desk, step: Step, problem: Option<&Problem>, content: &Markup) -> Response {
    step_frame(desk, step, problem, true, None, content)
}

pub fn step_frame(
    desk: &Desk,
    step: Step,
    problem: Option<&Problem>,
    may_go_back: bool,
    again_after: Option<(u32, &str)>,
    content: &Markup,
) -> Response {
    let answers = desk.steps.answers();
    let accounts = (answers.from.written.as_str(), answers.to.written.as_str());
    let frame = Frame {
        title: step.title(),
        at: Some((step, desk.steps.step())),
        may_go_back,
        accounts: Some(accounts).filter(|(from, _)| !from.is_empty()),
        problem,
        again_after,
        has_help: true,
        leads_to: None,
    };
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    (status, html(pages::page(&frame, content))).into_response()
}

// ---- waiting

fn wait_page(desk: &Desk, session: &Session, errand: &Errand) -> Response {
    let again = (waiting::again_after(errand.lasts()), waiting::WAIT);
    let content = waiting::waiting(session, desk, errand);
    step_frame(desk, errand.about.step(), None, false, Some(again), &content)
}

/// To where somebody was sent for: there one waits, or sees what came of it.
fn to_wait() -> Response {
    Redirect::to(waiting::WAIT).into_response()
}

pub async fn wait(State(app): Shared, Extension(session): Who) -> Response {
    let desk = app.desk.lock().await;
    match &desk.errand {
        Some(errand) => wait_page(&desk, &session, errand),
        None => Redirect::to(desk.led_to).into_response(),
    }
}

pub async fn act_on_wait(State(app): Shared, Extension(posted): Form) -> Response {
    if posted.text("do") != "give-up" {
        return to_wait();
    }
    Redirect::to(app.desk.lock().await.give_up()).into_response()
}

// ---- step 1

pub async fn addresses(State(app): Shared, Extension(session): Who) -> Response {
    let desk = app.desk.lock().await;
    let elsewhere = elsewhere(&app, &desk, &session, Step::Requirements);
    match elsewhere {
        Some(response) => response,
        None => addresses_page(&desk, &session, desk.problem_at(Step::Requirements)).await,
    }
}

async fn addresses_page(desk: &Desk, session: &Session, problem: Option<&Problem>) -> Response {
    let (others, unkept) = (desk.steps.others().await, desk.steps.unkept());
    let content = account_pages::addresses(session, &desk.typed, problem.is_some(), &others, unkept);
    step_page(desk, Step::Requirements, problem, &content)
}

/// What was typed about one side. What was answered about the same before is kept.
fn typed(posted: &Posted, side: &str, before: &Answer) -> Answer {
    let written = posted.text(side).to_owned();
    let server = posted.some(&format!("{side}-server")).map(|name| words::as_url(&name));
    let user = posted.some(&format!("{side}-user"));
    let is_same = (&written, &server, &user) == (&before.written, &before.server, &before.user);
    if is_same { before.clone() } else { Answer { written, server, user, ..Answer::default() } }
}

pub async fn look_for(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    let mut desk = app.desk.lock().await;
    if let Some(response) = elsewhere(&app, &desk, &session, Step::Requirements) {
        return response;
    }
    let [from, to] = desk.steps.typed();
    desk.typed = [typed(&posted, "from", &from), typed(&posted, "to", &to)];
    (desk.looked, desk.problem) = (None, None);
    if desk.typed.iter().any(|answer| answer.written.is_empty()) {
        let field = if desk.typed[0].written.is_empty() { "from" } else { "to" };
        let problem = Problem::new(texts::ADDRESS_MISSING, texts::ADDRESS_MISSING_NEXT).at(field);
        return addresses_page(&desk, &session, Some(&problem)).await;
    }
    if let Err(problem) = keep_typed(&mut desk) {
        return addresses_page(&desk, &session, Some(&problem)).await;
    }
    errand::find(&app, &mut desk);
    to_wait()
}

/// The field to go to where an answer is wrong: its server is to be named, or the address is to be typed anew.
fn field_of(side: &str, written: &str) -> &'static str {
    match (side == SIDES[0], account::names_no_server(written)) {
        (true, false) => "from",
        (true, true) => "from-server",
        (false, false) => "to",
        (false, true) => "to-server",
    }
}

/// What can be meant is kept; something else may have been typed into the wrong field, and is not written down.
fn keep_typed(desk: &mut Desk) -> Result<(), Problem> {
    for (side, answer) in SIDES.into_iter().zip(&desk.typed) {
        let (server, user) = (answer.server.as_deref(), answer.user.as_deref());
        let typed = account::typed(side, Some(&answer.written), server, user);
        typed.map_err(|failure| Problem::from(failure).at(field_of(side, &answer.written)))?;
    }
    Ok(desk.steps.type_in(desk.typed.clone())?)
}

pub async fn found(State(app): Shared, Extension(session): Who) -> Response {
    let desk = app.desk.lock().await;
    let elsewhere = elsewhere(&app, &desk, &session, Step::Requirements);
    elsewhere.unwrap_or_else(|| match &desk.looked {
        Some(looked) => found_page(&desk, &session, looked, None),
        None => Redirect::to(path(Step::Requirements)).into_response(),
    })
}

fn found_page(desk: &Desk, session: &Session, looked: &[Looked; 2], problem: Option<&Problem>) -> Response {
    step_page(desk, Step::Requirements, problem, &account_pages::found(session, looked))
}

pub async fn agree(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    let mut desk = app.desk.lock().await;
    if let Some(response) = elsewhere(&app, &desk, &session, Step::Requirements) {
        return response;
    }
    let Some(looked) = desk.looked.take() else {
        return Redirect::to(path(Step::Requirements)).into_response();
    };
    let agreed = |side: &str| !posted.text(&format!("{side}-agreed")).is_empty();
    let unproven =
        SIDES.into_iter().zip(&looked).any(|(side, one)| one.proposed.asks().is_some() && !agreed(side));
    if unproven {
        let problem = Problem::new(texts::UNPROVEN_MISSING, texts::UNPROVEN_MISSING_NEXT);
        let response = found_page(&desk, &session, &looked, Some(&problem));
        desk.looked = Some(looked);
        return response;
    }
    (desk.shown, desk.seen, desk.problem) = ([None, None], Seen::NotYet, None);
    match desk.steps.agree(looked) {
        Ok(()) => {
            let next = desk.steps.step();
            if next < Step::Choose {
                app.leave_outcome();
            }
            Redirect::to(path(next)).into_response()
        }
        Err(failure) => addresses_page(&desk, &session, Some(&failure.into())).await,
    }
}

// ---- steps 2 and 3

pub async fn old(State(app): Shared, Extension(session): Who) -> Response {
    connect(&app, &session, SIDES[0]).await
}

pub async fn new(State(app): Shared, Extension(session): Who) -> Response {
    connect(&app, &session, SIDES[1]).await
}

pub async fn log_in_old(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    log_in(&app, &session, &posted, SIDES[0]).await
}

pub async fn log_in_new(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    log_in(&app, &session, &posted, SIDES[1]).await
}

fn step_of(side: &str) -> (Step, &'static str) {
    if side == SIDES[0] { (Step::Old, "requirements") } else { (Step::New, "old") }
}

async fn connect(app: &App, session: &Session, side: &'static str) -> Response {
    let (desk, step) = (app.desk.lock().await, step_of(side).0);
    let elsewhere = elsewhere(app, &desk, session, step);
    elsewhere.unwrap_or_else(|| login_page(&desk, session, side, desk.problem_at(step)))
}

fn login_page(desk: &Desk, session: &Session, side: &'static str, problem: Option<&Problem>) -> Response {
    let (step, back) = step_of(side);
    step_page(desk, step, problem, &account_pages::login(session, desk, side, step, back))
}

/// One login: by the password, at the issuer in the browser, or after a person vouched for the certificate.
async fn log_in(app: &Arc<App>, session: &Session, posted: &Posted, side: &'static str) -> Response {
    let mut desk = app.desk.lock().await;
    if let Some(response) = elsewhere(app, &desk, session, step_of(side).0) {
        return response;
    }
    desk.problem = None;
    match prepare_login(&mut desk, posted, side) {
        Ok(true) => {
            errand::log_in(app, &mut desk, side, posted.secret("password"));
            to_wait()
        }
        Ok(false) => login_page(&desk, session, side, None),
        Err(problem) => login_page(&desk, session, side, Some(&problem)),
    }
}

/// False where a person vouched for a certificate, and nobody is logged in yet.
fn prepare_login(desk: &mut Desk, posted: &Posted, side: &'static str) -> Result<bool, Problem> {
    let at = usize::from(side == SIDES[1]);
    if let Some(certificate) = posted.some("certificate") {
        let shown = desk.shown[at].filter(|shown| words::hex(shown) == certificate);
        let shown = shown.ok_or_else(|| Problem::new(texts::TRUST_OTHER, texts::TRUST_OTHER_NEXT))?;
        desk.steps.vouch_for(side, &shown)?;
        desk.shown[at] = None;
        return Ok(false);
    }
    if let Some(issuer) = posted.some("issuer") {
        let Some(client) = posted.some("client") else {
            return Err(Problem::new(texts::CLIENT_MISSING, texts::CLIENT_MISSING_NEXT).at("client"));
        };
        let secret_file = posted.some("secret-file");
        desk.steps.sign_in_by(side, SignIn::Browser { issuer, client, secret_file })?;
    } else if posted.secret("password").is_none() {
        return Err(Problem::new(texts::PASSWORD_MISSING, texts::PASSWORD_MISSING_NEXT).at("password"));
    } else {
        desk.steps.sign_in_by(side, SignIn::Password)?;
    }
    desk.shown[at] = None;
    Ok(true)
}

// ---- step 4

pub async fn choose(State(app): Shared, Extension(session): Who) -> Response {
    let mut desk = app.desk.lock().await;
    match elsewhere(&app, &desk, &session, Step::Choose) {
        Some(response) => response,
        None => choose_page(&app, &mut desk, &session),
    }
}

/// What was seen of both accounts. Where they were not looked at yet, somebody is sent there, and waited for.
pub fn choose_page(app: &Arc<App>, desk: &mut Desk, session: &Session) -> Response {
    if matches!(desk.seen, Seen::NotYet) {
        errand::look(app, desk, None);
    }
    if let Some(errand) = &desk.errand {
        return wait_page(desk, session, errand);
    }
    let content = match desk.seen.all() {
        Some(checked) => pages::choose::choose(session, checked, &desk.steps.answers().choice),
        None => pages::choose::not_looked(session),
    };
    step_page(desk, Step::Choose, desk.problem_at(Step::Choose), &content)
}

pub async fn chosen(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    let mut desk = app.desk.lock().await;
    if let Some(response) = elsewhere(&app, &desk, &session, Step::Choose) {
        return response;
    }
    desk.problem = None;
    if posted.some("again").is_some() {
        // Where something is in the way of all of it, a part may be chosen.
        let chosen = posted.some("plan").map(|_| desk.choose(ticked(&posted)));
        if let Some(Err(problem)) = chosen {
            return not_chosen(&app, &mut desk, &session, problem);
        }
        desk.seen = Seen::NotYet;
        return Redirect::to(path(Step::Choose)).into_response();
    }
    let settled = match desk.choose(ticked(&posted)) {
        Ok(chosen) if chosen.moves_otherwise => {
            errand::look(&app, &mut desk, Some(chosen));
            return to_wait();
        }
        Ok(chosen) => desk.settle(&chosen),
        Err(problem) => Err(problem),
    };
    match settled {
        Ok(()) => Redirect::to(path(Step::Move)).into_response(),
        Err(problem) => not_chosen(&app, &mut desk, &session, problem),
    }
}

/// The page of step 4 with what is wrong; where it is to be looked at again for that, there one waits.
fn not_chosen(app: &Arc<App>, desk: &mut Desk, session: &Session, problem: Problem) -> Response {
    desk.problem = Some((Step::Choose, problem));
    let page = choose_page(app, desk, session);
    if desk.errand.is_some() { to_wait() } else { page }
}

fn ticked(posted: &Posted) -> Ticked {
    Ticked {
        plan: posted.text("plan").to_owned(),
        moves: posted.all("move").filter_map(|at| at.parse().ok()).collect(),
        already_there: match posted.text("already") {
            "recognise" => Some(AlreadyThere::Recognise),
            "copy" => Some(AlreadyThere::CopyAnyway),
            _ => None,
        },
        is_agreed: !posted.text("accept").is_empty(),
        repair: !posted.text("repair").is_empty(),
        into: posted.some("into"),
    }
}
