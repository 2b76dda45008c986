//! HTTP on loopback: every request passes the guard, every answer carries the same closed policy, and nobody keeps a connection,
//! a head or a form open for long.

use super::app::App;
use super::guard::{self, Refused, Session};
use super::pages;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Form, FromRequest, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Connections at the same time; a further one waits.
const CONNECTIONS_MAX: usize = 64;
/// A request's head, from the first octet to the empty line.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A request's form.
const FORM_TIME: Duration = Duration::from_secs(10);
/// Octets of a form: the choice among some ten thousand mailboxes.
const FORM_OCTETS_MAX: usize = 2 * 1024 * 1024;
/// Octets of a head.
const HEAD_OCTETS_MAX: usize = 32 * 1024;
/// Where a browser is let in.
pub const WAY_IN: &str = "/enter";
/// Style and script, which say nothing of anybody's mail.
const ASSETS: &str = "/assets/";
/// The report names no icon; browsers ask for this one then.
pub const ICON: &str = "/favicon.ico";
/// The field of every form that shows that it is ours.
pub const FORM_TOKEN: &str = "form-token";

/// What a page may load, and who may show it: nothing that is not of this program.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What stands on every answer beside its policy.
const CLOSED: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The fields of a form that has shown that it is ours, in their order.
#[derive(Clone, Default)]
pub struct Posted(Arc<Vec<(String, Zeroizing<String>)>>);

impl Posted {
    /// The first value of a field, without blanks at its ends; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).unwrap_or_default().trim()
    }

    /// The same, if it is not empty.
    pub fn some(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field, as they were sent.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The secret in a field, if there is one.
    pub fn secret(&self, name: &str) -> Option<Zeroizing<String>> {
        self.value(name).filter(|value| !value.is_empty()).map(|value| Zeroizing::new(value.to_owned()))
    }
}

/// Serves until it is enough.
pub async fn serve(listener: TcpListener, router: Router, enough: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let place = room.clone().acquire_owned().await;
                (listener.accept().await, place)
            } => accepted,
            () = enough.cancelled() => return,
        };
        let (Ok((stream, _)), Ok(place)) = accepted else { continue };
        let (router, enough) = (router.clone(), enough.clone());
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_OCTETS_MAX);
            // One answer each: what strangers may have fits into the system's buffers, so that nobody holds a place by not reading.
            builder.keep_alive(false);
            let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            tokio::select! {
                // What is wrong with a connection is its browser's business.
                _ = serving => {}
                () = enough.cancelled() => {}
            }
            drop(place);
        });
    }
}

/// Lets a request through to the pages, or refuses it; and closes every answer.
pub async fn guarded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let answer = match admit(&app, request).await {
        Ok(request) => next.run(request).await,
        Err(refused) => (status(refused), Html(pages::refused(refused).into_string())).into_response(),
    };
    closed(answer)
}

/// Who may see what: the way in and the assets are for all who name us rightly, everything else for whom was let in.
async fn admit(app: &App, mut request: Request) -> Result<Request, Refused> {
    let is_way_in = request.uri().path() == WAY_IN && *request.method() == Method::GET;
    guard::judge(request.method(), request.uri(), request.headers(), app.port, is_way_in)?;
    let is_asset = (request.uri().path().starts_with(ASSETS) || request.uri().path() == ICON)
        && *request.method() == Method::GET;
    if is_way_in || is_asset {
        return Ok(request);
    }
    let session = app.door().session(request.uri().path(), request.headers())?;
    if *request.method() == Method::POST {
        let (head, body) = request.into_parts();
        let octets = tokio::time::timeout(FORM_TIME, to_bytes(body, FORM_OCTETS_MAX)).await;
        let octets = octets.map_err(|_| Refused::TooSlow)?.map_err(|_| Refused::TooLarge)?;
        let mut form = Request::new(Body::from(octets));
        (*form.method_mut(), *form.headers_mut()) = (head.method.clone(), head.headers.clone());
        let posted = posted(form, &session).await?;
        request = Request::from_parts(head, Body::empty());
        request.extensions_mut().insert(posted);
    }
    request.extensions_mut().insert(session);
    Ok(request)
}

async fn posted(form: Request, session: &Session) -> Result<Posted, Refused> {
    let form = Form::<Vec<(String, String)>>::from_request(form, &()).await;
    let Form(fields) = form.map_err(|_| Refused::Form)?;
    let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect();
    let posted = Posted(Arc::new(fields));
    let is_ours = posted.value(FORM_TOKEN).is_some_and(|token| session.form.is(token));
    if is_ours { Ok(posted) } else { Err(Refused::Form) }
}

fn status(refused: Refused) -> StatusCode {
    match refused {
        Refused::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refused::Host => StatusCode::MISDIRECTED_REQUEST,
        Refused::Site | Refused::NoSession | Refused::Invitation | Refused::Form => StatusCode::FORBIDDEN,
        Refused::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refused::TooSlow => StatusCode::REQUEST_TIMEOUT,
    }
}

fn closed(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in CLOSED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_lets_nothing_in_from_elsewhere() {
        let parts: Vec<&str> = POLICY.split("; ").collect();
        assert_eq!(parts[0], "default-src 'none'");
        for part in parts {
            let mut words = part.split_whitespace();
            let name = words.next().unwrap();
            let sources: Vec<_> = words.collect();
            assert!(sources == ["'none'"] || sources == ["'self'"], "{name}: {sources:?}");
        }
        for name in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "connect-src 'self'"]
        {
            assert!(POLICY.contains(name), "{name}");
        }
    }
}
