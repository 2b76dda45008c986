//! `mailhaul serve`: the five steps and the run as a page in the browser, on this machine alone.

mod app;
mod desk;
mod errand;
mod events;
mod files;
mod guard;
mod http;
mod live;
mod pages;
mod routes;
mod speed;
mod texts;

use crate::args::ServeArgs;
use crate::command::INTERRUPTED;
use crate::error::Failure;
use crate::oauth::open_browser;
use crate::output::{print, say};
use crate::signals::stop_on_signal;
use crate::steps::Steps;
use app::{App, Course};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Serves until Ctrl-C. The exit code is that of the last run, 130 where one was interrupted.
pub async fn run(args: &ServeArgs) -> Result<u8, Failure> {
    let mut steps = Steps::open(&args.steps)?;
    // With the latest that no other window is at work on.
    steps.others().await.all().any(|begun| steps.go_on(&begun.name).is_ok());
    let port = args.port.unwrap_or(0);
    let taken = |e| {
        Failure::usage(format!("no page can be served at 127.0.0.1:{port}: {e}"))
            .hint("another --port, or none")
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(taken)?;
    let port = listener.local_addr().map_err(taken)?.port();
    let app = Arc::new(App::new(port, steps));
    tokio::spawn(http::serve(listener, routes::router(app.clone()), app.enough.clone()));
    // Whoever reads the link may press Ctrl-C at once.
    let stopping = CancellationToken::new();
    let watch = stop_on_signal(stopping.clone());
    let link = app.door().invite()?;
    print(&format!("Mailhaul is here, for one browser on this computer:\n  {link}"));
    print("Enter makes a new link; Ctrl-C ends Mailhaul, and a move that runs stops at a safe point.");
    if !args.no_browser {
        open_browser(&link);
    }
    links_on_enter(&app, &stopping).await;
    app.end().await;
    watch.abort();
    Ok(exit_code(&app.course()))
}

fn exit_code(course: &Course) -> u8 {
    match course {
        Course::Over(over) => over.code,
        Course::Under(_) => INTERRUPTED,
        Course::Before => 0,
    }
}

/// A new link for every line of the terminal, until it is to end.
async fn links_on_enter(app: &App, stopping: &CancellationToken) {
    let (line, mut lines) = mpsc::channel(1);
    // Nothing can wake a thread that reads a terminal; it ends with the process.
    std::thread::spawn(move || {
        for read in std::io::stdin().lines() {
            if read.is_err() || line.blocking_send(()).is_err() {
                return;
            }
        }
    });
    loop {
        tokio::select! {
            Some(()) = lines.recv() => match app.door().invite() {
                Ok(link) => print(&format!("  {link}")),
                Err(failure) => say(&failure.what),
            },
            () = stopping.cancelled() => return,
        }
    }
}
