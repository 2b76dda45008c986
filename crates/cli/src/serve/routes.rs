//! From a request to a page: thin. Every form was shown to be ours before it comes here ([`super::http`]).

use super::app::{App, Asked, Course, Desk, How};
use super::events;
use super::files;
use super::guard::Session;
use super::http::{Posted, WAY_IN, guarded};
use super::pages::{self, Frame, account, moving, path};
use super::texts::{self, Problem};
use crate::command::Keep;
use crate::error::Failure;
use crate::steps::answers::{AlreadyThere, Answer, Choice, SignIn, is_part_of};
use crate::steps::{Looked, NotLetIn, SIDES, Step, Steps, words};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use mailhaul_engine::check::Checked;
use mailhaul_engine::error::EndError;
use maud::Markup;
use serde::Deserialize;
use std::sync::Arc;

type Shared = State<Arc<App>>;
type Who = Extension<Arc<Session>>;
type Form = Extension<Posted>;

/// All there is.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(home))
        .route(WAY_IN, get(enter))
        .route("/requirements", get(addresses).post(look_for))
        .route("/found", get(found).post(agree))
        .route("/old", get(old).post(log_in_old))
        .route("/new", get(new).post(log_in_new))
        .route("/choose", get(choose).post(chosen))
        .route("/move", get(move_page).post(act))
        .route(moving::EVENTS, get(events::events))
        .route("/anew", post(anew))
        .route("/report/{*path}", get(files::report))
        .route("/assets/{name}", get(asset))
        // The report names no icon; browsers ask for this one then.
        .route("/favicon.ico", get(|| asset(Path("icon.svg".to_owned()))))
        .fallback(|| async { (StatusCode::NOT_FOUND, html(pages::not_found())) })
        .layer(from_fn_with_state(app.clone(), guarded))
        .with_state(app)
}

fn html(page: Markup) -> Html<String> {
    Html(page.into_string())
}

#[derive(Deserialize)]
struct Invitation {
    #[serde(default)]
    token: String,
}

/// A link from elsewhere led here, perhaps: the cookie comes with a page, and not with a redirect that would be followed without it.
async fn enter(State(app): Shared, headers: HeaderMap, Query(invitation): Query<Invitation>) -> Response {
    let mut door = app.door();
    match door.enter(&invitation.token, &headers) {
        Ok(session) => {
            ([(header::SET_COOKIE, door.set_cookie(&session))], html(pages::let_in())).into_response()
        }
        Err(refused) => (StatusCode::FORBIDDEN, html(pages::refused(refused))).into_response(),
    }
}

async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "report.css" => ("text/css", mailhaul_engine::report::html::STYLE),
        "page.css" => ("text/css", include_str!("assets/page.css")),
        "page.js" => ("text/javascript", include_str!("assets/page.js")),
        "icon.svg" => ("image/svg+xml", include_str!("assets/icon.svg")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, format!("{kind}; charset=utf-8"))], text).into_response()
}

/// To what is to be done next.
async fn home(State(app): Shared) -> Redirect {
    match app.course() {
        Course::Before | Course::Over(_) => Redirect::to(path(app.desk.lock().await.steps.step())),
        Course::Under(_) => Redirect::to(path(Step::Move)),
    }
}

/// Why a step is not shown: a run is under way, or an earlier step is to be done first.
fn elsewhere(app: &App, desk: &Desk, step: Step) -> Option<Response> {
    let open = if matches!(app.course(), Course::Under(_)) { Step::Move } else { desk.steps.step() };
    let is_closed = step > open || (matches!(app.course(), Course::Under(_)) && step != Step::Move);
    is_closed.then(|| Redirect::to(path(open)).into_response())
}

/// A page of a step. One with a problem is no success.
fn step_page(desk: &Desk, step: Step, problem: Option<&Problem>, content: &Markup) -> Response {
    step_frame(desk, step, problem, true, None, content)
}

fn step_frame(
    desk: &Desk,
    step: Step,
    problem: Option<&Problem>,
    may_go_back: bool,
    again_after: Option<u32>,
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
        leads_to: None,
    };
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    (status, html(pages::page(&frame, content))).into_response()
}

// ---- step 1

async fn addresses(State(app): Shared, Extension(session): Who) -> Response {
    let desk = app.desk.lock().await;
    elsewhere(&app, &desk, Step::Requirements).unwrap_or_else(|| addresses_page(&desk, &session, None))
}

fn addresses_page(desk: &Desk, session: &Session, problem: Option<&Problem>) -> Response {
    let content = account::addresses(session, &desk.typed, problem.is_some());
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

async fn look_for(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    let mut desk = app.desk.lock().await;
    if let Some(response) = elsewhere(&app, &desk, Step::Requirements) {
        return response;
    }
    let answers = desk.steps.answers();
    desk.typed = [typed(&posted, "from", &answers.from), typed(&posted, "to", &answers.to)];
    desk.looked = None;
    if desk.typed.iter().any(|answer| answer.written.is_empty()) {
        let problem = Problem::new(texts::ADDRESS_MISSING, texts::ADDRESS_MISSING_NEXT);
        return addresses_page(&desk, &session, Some(&problem));
    }
    let looked = desk.steps.look_for(desk.typed.clone()).await;
    let both = looked.and_then(|[from, to]| Ok([from?, to?]));
    match both {
        Ok(looked) => {
            desk.looked = Some(looked);
            Redirect::to("/found").into_response()
        }
        Err(failure) => addresses_page(&desk, &session, Some(&failure.into())),
    }
}

async fn found(State(app): Shared, Extension(session): Who) -> Response {
    let desk = app.desk.lock().await;
    let elsewhere = elsewhere(&app, &desk, Step::Requirements);
    elsewhere.unwrap_or_else(|| match &desk.looked {
        Some(looked) => found_page(&desk, &session, looked, None),
        None => Redirect::to(path(Step::Requirements)).into_response(),
    })
}

fn found_page(desk: &Desk, session: &Session, looked: &[Looked; 2], problem: Option<&Problem>) -> Response {
    step_page(desk, Step::Requirements, problem, &account::found(session, looked))
}

async fn agree(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    let mut desk = app.desk.lock().await;
    if let Some(response) = elsewhere(&app, &desk, Step::Requirements) {
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
    (desk.shown, desk.checked) = ([None, None], None);
    match desk.steps.agree(looked) {
        Ok(()) => {
            let next = desk.steps.step();
            if next < Step::Choose {
                app.leave_outcome();
            }
            Redirect::to(path(next)).into_response()
        }
        Err(failure) => addresses_page(&desk, &session, Some(&failure.into())),
    }
}

// ---- steps 2 and 3

async fn old(State(app): Shared, Extension(session): Who) -> Response {
    let desk = app.desk.lock().await;
    elsewhere(&app, &desk, Step::Old).unwrap_or_else(|| login_page(&desk, &session, "from", None))
}

async fn new(State(app): Shared, Extension(session): Who) -> Response {
    let desk = app.desk.lock().await;
    elsewhere(&app, &desk, Step::New).unwrap_or_else(|| login_page(&desk, &session, "to", None))
}

async fn log_in_old(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    log_in(&app, &session, &posted, "from").await
}

async fn log_in_new(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    log_in(&app, &session, &posted, "to").await
}

fn step_of(side: &str) -> (Step, &'static str) {
    if side == SIDES[0] { (Step::Old, "/requirements") } else { (Step::New, "/old") }
}

fn login_page(desk: &Desk, session: &Session, side: &'static str, problem: Option<&Problem>) -> Response {
    let (step, back) = step_of(side);
    step_page(desk, step, problem, &account::login(session, desk, side, step, back))
}

/// One login: by the password, at the issuer in the browser, or after a person vouched for the certificate.
async fn log_in(app: &App, session: &Session, posted: &Posted, side: &'static str) -> Response {
    let mut desk = app.desk.lock().await;
    if let Some(response) = elsewhere(app, &desk, step_of(side).0) {
        return response;
    }
    match try_to_log_in(&mut desk, posted, side).await {
        Ok(true) => {
            desk.checked = None;
            Redirect::to(path(desk.steps.step())).into_response()
        }
        Ok(false) => login_page(&desk, session, side, None),
        Err(problem) => login_page(&desk, session, side, Some(&problem)),
    }
}

/// False where only the way was prepared.
async fn try_to_log_in(desk: &mut Desk, posted: &Posted, side: &'static str) -> Result<bool, Problem> {
    let at = usize::from(side == SIDES[1]);
    if let Some(certificate) = posted.some("certificate") {
        let shown = desk.shown[at].filter(|shown| words::hex(shown) == certificate);
        let shown = shown.ok_or_else(|| Problem::new(texts::TRUST_OTHER, texts::TRUST_OTHER_NEXT))?;
        desk.steps.vouch_for(side, &shown)?;
        desk.shown[at] = None;
        return Ok(false);
    }
    let secret = posted.secret("password");
    if let Some(issuer) = posted.some("issuer") {
        let Some(client) = posted.some("client") else {
            return Err(Problem::new(texts::CLIENT_MISSING, texts::BY_BROWSER_WHY));
        };
        let secret_file = posted.some("secret-file");
        desk.steps.sign_in_by(side, SignIn::Browser { issuer, client, secret_file })?;
    } else if secret.is_none() {
        return Err(Problem::new(texts::PASSWORD_MISSING, texts::PASSWORD_MISSING_NEXT));
    } else {
        desk.steps.sign_in_by(side, SignIn::Password)?;
    }
    desk.shown[at] = None;
    let tell = |line: &str| tracing::info!("{line}");
    match desk.steps.log_in(side, secret, &tell).await {
        Ok(()) => Ok(true),
        Err(NotLetIn::Failure(failure)) => Err(failure.into()),
        Err(NotLetIn::End(error)) => {
            if let EndError::Untrusted { shown, .. } = &error {
                desk.shown[at] = *shown;
            }
            Err(words::explained(&error).into())
        }
    }
}

// ---- step 4

async fn look(steps: &Steps) -> Result<Checked, Failure> {
    let ready = steps.ready(Keep::Nothing).await?;
    let checked = ready.migration.check([None, None]).await;
    ready.give_back().await?;
    Ok(checked?)
}

async fn choose(State(app): Shared, Extension(session): Who) -> Response {
    let mut desk = app.desk.lock().await;
    match elsewhere(&app, &desk, Step::Choose) {
        Some(response) => response,
        None => choose_page(&mut desk, &session, None).await,
    }
}

/// Looks at both accounts where that was not done yet.
async fn choose_page(desk: &mut Desk, session: &Session, problem: Option<Problem>) -> Response {
    let mut problem = problem;
    if desk.checked.is_none() {
        match look(&desk.steps).await {
            Ok(checked) => desk.checked = Some(checked),
            Err(failure) => problem = Some(failure.into()),
        }
    }
    let content = match &desk.checked {
        Some(checked) => pages::choose::choose(session, checked, &desk.steps.answers().choice),
        None => pages::choose::not_looked(session),
    };
    step_page(desk, Step::Choose, problem.as_ref(), &content)
}

async fn chosen(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    let mut desk = app.desk.lock().await;
    if let Some(response) = elsewhere(&app, &desk, Step::Choose) {
        return response;
    }
    if posted.some("again").is_some() {
        desk.checked = None;
        return Redirect::to(path(Step::Choose)).into_response();
    }
    match take_choice(&mut desk, &posted).await {
        Ok(()) => Redirect::to(path(Step::Move)).into_response(),
        Err(problem) => choose_page(&mut desk, &session, Some(problem)).await,
    }
}

/// Writes down what was chosen; it is made only if nothing about it is left open, and of what the page showed alone.
async fn take_choice(desk: &mut Desk, posted: &Posted) -> Result<(), Problem> {
    let before = desk.steps.answers().choice.clone();
    let checked = desk.checked.take();
    let shown = checked.as_ref().and_then(|checked| checked.moving.as_ref()).map(|moving| &moving.plan);
    let Some(shown) = shown.filter(|plan| pages::choose::shown(plan, &before) == posted.text("plan")) else {
        return Err(Problem::changed());
    };
    let boxes = pages::choose::boxes(shown, &before);
    let ticked: Vec<usize> = posted.all("move").filter_map(|at| at.parse().ok()).collect();
    let left = boxes.iter().enumerate().filter(|(at, _)| !ticked.contains(at));
    let leave_out: Vec<String> = left.map(|(_, name)| (*name).to_owned()).collect();
    if leave_out.len() == boxes.len() {
        desk.checked = checked;
        return Err(Problem::new(texts::NOTHING_MOVES, texts::NOTHING_MOVES_NEXT));
    }
    let already_there = match posted.text("already") {
        "recognise" => Some(AlreadyThere::Recognise),
        "copy" => Some(AlreadyThere::CopyAnyway),
        _ => before.already_there,
    };
    let agreed = !posted.text("accept").is_empty();
    let accepted = if agreed { words::will_not_move(shown) } else { Vec::new() };
    let (into, made) = (posted.some("into"), false);
    let choice = Choice { made, leave_out, into, already_there, accepted, ..before.clone() };
    desk.steps.choose(choice.clone())?;
    let moves_otherwise = (&choice.leave_out, &choice.into) != (&before.leave_out, &before.into);
    let now = if moves_otherwise { Some(look(&desk.steps).await?) } else { None };
    let is_part = now.as_ref().and_then(|now| now.moving.as_ref());
    let is_part = is_part.is_none_or(|now| is_part_of(&now.plan, shown));
    desk.checked = now.or(checked);
    if !is_part {
        return Err(Problem::moves_otherwise());
    }
    let Some(checked) = &desk.checked else { return Ok(()) };
    let Some(moving) = checked.moving.as_ref().filter(|_| !pages::choose::is_blocked(checked)) else {
        return Err(Problem::new(texts::IN_THE_WAY, texts::LOOK_AGAIN));
    };
    let lines = words::will_not_move(&moving.plan);
    if !lines.iter().all(|line| choice.accepted.contains(line)) {
        return Err(Problem::new(texts::WILL_NOT_MOVE_MISSING, texts::WILL_NOT_MOVE_MISSING_NEXT));
    }
    if pages::choose::holds_mail(&moving.plan) && choice.already_there.is_none() {
        return Err(Problem::new(texts::THERE_ALREADY_MISSING, texts::THERE_ALREADY_MISSING_NEXT));
    }
    Ok(desk.steps.choose(choice.made_of(&moving.plan))?)
}

// ---- step 5

/// Seconds between two looks at a run, for a browser without script.
const AGAIN_AFTER: u32 = 5;

async fn move_page(State(app): Shared, Extension(session): Who) -> Response {
    show_move(&app, &session, None).await
}

async fn show_move(app: &App, session: &Session, problem: Option<&Problem>) -> Response {
    let mut desk = app.desk.lock().await;
    // A run that has to have something decided first leads to where that is done.
    if let Course::Over(over) = app.course()
        && let How::Failed(asks) = &over.how
        && asks.is_question
        && desk.steps.step() == Step::Choose
    {
        return choose_page(&mut desk, session, Some(problem.unwrap_or(asks).clone())).await;
    }
    let (content, again) = match app.course() {
        Course::Under(under) => (moving::under(session, &under, &under.live.standing()), Some(AGAIN_AFTER)),
        Course::Over(over) => (moving::over(session, &over, &words::command_line(&desk.steps)), None),
        Course::Before => match elsewhere(app, &desk, Step::Move) {
            Some(response) => return response,
            None => {
                let moving = desk.checked.as_ref().and_then(|checked| checked.moving.as_ref());
                (moving::before(session, moving.map(pages::choose::forecast).as_deref()), None)
            }
        },
    };
    step_frame(&desk, Step::Move, problem, again.is_none(), again, &content)
}

async fn act(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    let more: &[&str] = match posted.text("do") {
        "begin" => &[],
        "retry" => &["--retry"],
        "repair" => &["--repair"],
        other => {
            match other {
                "pause" => app.stop(Asked::Pause),
                "stop" => app.stop(Asked::Stop),
                _ => {}
            }
            return Redirect::to(path(Step::Move)).into_response();
        }
    };
    match app.begin(more).await {
        Ok(()) => Redirect::to(path(Step::Move)).into_response(),
        Err(problem) => show_move(&app, &session, Some(&problem)).await,
    }
}

async fn anew(State(app): Shared, Extension(session): Who) -> Response {
    match app.begin_anew().await {
        Ok(()) => Redirect::to("/").into_response(),
        Err(failure) => show_move(&app, &session, Some(&failure.into())).await,
    }
}
