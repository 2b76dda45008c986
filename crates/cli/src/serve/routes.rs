//! From a request to a page: thin. Every form was shown to be ours before it comes here ([`super::http`]).

mod steps;

use super::app::{App, Course, How};
use super::events;
use super::files;
use super::guard::Session;
use super::http::{ICON, Posted, WAY_IN, guarded};
use super::pages::{self, Frame, help, moving, path, waiting};
use super::texts::{self, Problem};
use crate::docs;
use crate::steps::{Step, words};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use maud::Markup;
use serde::Deserialize;
use std::sync::Arc;
use steps::{choose_page, elsewhere, step_frame};

type Shared = State<Arc<App>>;
type Who = Extension<Arc<Session>>;
type Form = Extension<Posted>;

/// All there is. `place` is that of the session, which [`guarded`] has compared.
pub fn router(app: Arc<App>) -> Router {
    let at = |page: &str| format!("/{{place}}/{page}");
    Router::new()
        .route(&at(""), get(home))
        .route(WAY_IN, get(enter))
        .route(&at("requirements"), get(steps::addresses).post(steps::look_for))
        .route(&at("found"), get(steps::found).post(steps::agree))
        .route(&at("old"), get(steps::old).post(steps::log_in_old))
        .route(&at("new"), get(steps::new).post(steps::log_in_new))
        .route(&at("choose"), get(steps::choose).post(steps::chosen))
        .route(&at("move"), get(move_page).post(act))
        .route(&at(moving::EVENTS), get(events::events))
        .route(&at(waiting::WAIT), get(steps::wait).post(steps::act_on_wait))
        .route(&at(waiting::EVENTS), get(events::waiting))
        .route(&at("anew"), post(anew))
        .route(&at("report/{*file}"), get(files::report))
        .route(&at(help::HELP), get(help_page))
        .route("/assets/{name}", get(asset))
        .route(ICON, get(|| asset(Path("icon.svg".to_owned()))))
        .fallback(nothing)
        .layer(from_fn_with_state(app.clone(), guarded))
        .with_state(app)
}

fn html(page: Markup) -> Html<String> {
    Html(page.into_string())
}

async fn nothing(session: Option<Who>) -> Response {
    match session {
        Some(Extension(session)) => (StatusCode::NOT_FOUND, html(pages::not_found(&session))).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Deserialize)]
struct Invitation {
    #[serde(default)]
    token: String,
}

/// A link from elsewhere led here, perhaps: the cookie comes with a page, and not with a redirect that would be followed without it.
async fn enter(State(app): Shared, Query(invitation): Query<Invitation>) -> Response {
    let mut door = app.door();
    match door.enter(&invitation.token) {
        Ok(session) => {
            ([(header::SET_COOKIE, door.set_cookie(&session))], html(pages::let_in(&session))).into_response()
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

/// The page of the documents that is asked for.
#[derive(Deserialize)]
struct Asked {
    page: Option<String>,
}

async fn help_page(Extension(session): Who, Query(asked): Query<Asked>) -> Response {
    let (title, content) = match asked.page.as_deref() {
        None => (texts::HELP.to_owned(), help::list()),
        Some(name) => match docs::page(name) {
            Some(page) => (page.title(), help::page(page)),
            None => return (StatusCode::NOT_FOUND, html(pages::not_found(&session))).into_response(),
        },
    };
    html(pages::page(&Frame { has_help: true, ..Frame::plain(&title) }, &content)).into_response()
}

// ---- step 5

/// Seconds between two looks at a run, for a browser without script.
const AGAIN_AFTER: u32 = 5;

async fn move_page(State(app): Shared, Extension(session): Who) -> Response {
    show_move(&app, &session, None).await
}

async fn show_move(app: &Arc<App>, session: &Session, problem: Option<&Problem>) -> Response {
    let mut desk = app.desk.lock().await;
    // A run that has to have something decided first leads to where that is done.
    if let Course::Over(over) = app.course()
        && let How::Failed(asks) = &over.how
        && asks.is_question
        && desk.steps.step() == Step::Choose
    {
        if let Some(problem) = problem {
            desk.problem = Some((Step::Choose, problem.clone()));
        }
        return choose_page(app, &mut desk, session);
    }
    let (content, again) = match app.course() {
        Course::Under(under) => {
            (moving::under(session, &under, &under.live.standing()), Some((AGAIN_AFTER, path(Step::Move))))
        }
        Course::Over(over) => (moving::over(session, &over, &words::command_line(&desk.steps)), None),
        Course::Before => match elsewhere(app, &desk, session, Step::Move) {
            Some(response) => return response,
            None => {
                let moving = desk.seen.all().and_then(|checked| checked.moving.as_ref());
                (moving::before(session, moving.map(words::forecast).as_deref()), None)
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
            if other == "pause" {
                app.pause();
            }
            return Redirect::to(path(Step::Move)).into_response();
        }
    };
    match app.begin(more).await {
        Ok(()) => Redirect::to(path(Step::Move)).into_response(),
        Err(problem) => show_move(&app, &session, Some(&problem)).await,
    }
}

async fn anew(State(app): Shared, Extension(session): Who, Extension(posted): Form) -> Response {
    if let Some(name) = posted.some("aside") {
        let mut desk = app.desk.lock().await;
        let done = desk.steps.set_aside(&name);
        desk.problem = done.err().map(|failure| (Step::Requirements, failure.into()));
        return Redirect::to(path(Step::Requirements)).into_response();
    }
    let begun = posted.some("begun");
    match (app.turn_to(begun.as_deref()).await, begun) {
        (Ok(()), _) => Redirect::to("./").into_response(),
        // Another window is at work on it.
        (Err(failure), Some(_)) => {
            app.desk.lock().await.problem = Some((Step::Requirements, failure.into()));
            Redirect::to(path(Step::Requirements)).into_response()
        }
        (Err(failure), None) => show_move(&app, &session, Some(&failure.into())).await,
    }
}
