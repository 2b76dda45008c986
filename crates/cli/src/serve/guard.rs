//! Pure: who may see the page, and whose requests may change anything. A page on loopback can be reached by every program of this
//! machine and, through the person's browser, by every web site. So: a secret that only the terminal shows, exchanged once for
//! a cookie; the name that the browser used for us (DNS rebinding); the site that a request comes from; and a secret in every form.
//!
//! Cookies know no ports: a web server of another user of this machine would get one that is for all paths, when the same browser
//! visits it. So all pages lie below a secret path, the cookie is for that path alone, and a request needs both.

use crate::error::Failure;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Octets of a token: 256 random bits.
const TOKEN_OCTETS: usize = 32;
/// Browsers that are let in at the same time; one more puts out the one that came first.
const SESSIONS_MAX: usize = 16;
/// Where a browser says which site a request comes from (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is answered by nothing but a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is neither GET nor POST.
    Method,
    /// It calls this program by another name: another site's name may lead here.
    Host,
    /// Another site sent it.
    Site,
    /// Its browser was not let in.
    NoSession,
    /// Its link was used before, is not the latest, or never was one.
    Invitation,
    /// It is no form of this page.
    Form,
    /// Its form is larger than any of ours.
    TooLarge,
    /// Its form did not arrive in time.
    TooSlow,
}

/// 256 random bits as hexadecimal digits. Compared in constant time, shown by no `Debug`.
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn fresh() -> Result<Self, Failure> {
        let mut octets = Zeroizing::new([0; TOKEN_OCTETS]);
        let none = |_| Failure::failed("the system gives no random numbers");
        aws_lc_rs::rand::fill(&mut *octets).map_err(none)?;
        Ok(Self(Zeroizing::new(octets.iter().map(|b| format!("{b:02x}")).collect())))
    }

    /// Its digits, for the one who may have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True for the same digits. How long they are is no secret.
    pub fn is(&self, given: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), given.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A browser that was let in.
#[derive(Debug)]
pub struct Session {
    /// The first part of the path of all that it sees. Its cookie goes nowhere else.
    pub place: Token,
    /// What its cookie holds.
    pub cookie: Token,
    /// What its forms hold.
    pub form: Token,
}

impl Session {
    fn fresh() -> Result<Self, Failure> {
        Ok(Self { place: Token::fresh()?, cookie: Token::fresh()?, form: Token::fresh()? })
    }

    /// Where its pages lie: all their paths begin with this.
    pub fn home(&self) -> String {
        format!("/{}/", self.place.reveal())
    }
}

/// The way in.
#[derive(Debug)]
pub struct Door {
    port: u16,
    invitation: Option<Token>,
    sessions: VecDeque<Arc<Session>>,
    /// Links that were used, and by whom.
    spent: VecDeque<(Token, Arc<Session>)>,
}

impl Door {
    /// Of the page at this port. Nobody is invited yet.
    pub fn new(port: u16) -> Self {
        Self { port, invitation: None, sessions: VecDeque::new(), spent: VecDeque::new() }
    }

    /// The link that lets one browser in, once. One that was made before is of no use any more.
    pub fn invite(&mut self) -> Result<String, Failure> {
        let token = Token::fresh()?;
        let link = format!("http://127.0.0.1:{}/enter?token={}", self.port, token.reveal());
        self.invitation = Some(token);
        Ok(link)
    }

    /// Exchanges the link's token for a session. Where it was exchanged before, that session ends: nobody can tell any more who of
    /// the two took the link from the other, since the cookie does not come here.
    pub fn enter(&mut self, token: &str) -> Result<Arc<Session>, Refused> {
        if let Some((_, session)) = self.spent.iter().find(|(spent, _)| spent.is(token)) {
            self.sessions.retain(|one| !Arc::ptr_eq(one, session));
            return Err(Refused::Invitation);
        }
        let invitation = self.invitation.take_if(|invitation| invitation.is(token));
        let invitation = invitation.ok_or(Refused::Invitation)?;
        let session = Arc::new(Session::fresh().map_err(|_| Refused::Invitation)?);
        if self.sessions.len() == SESSIONS_MAX {
            self.sessions.pop_front();
            self.spent.pop_front();
        }
        self.sessions.push_back(session.clone());
        self.spent.push_back((invitation, session.clone()));
        Ok(session)
    }

    /// The session of a request, by its path and its cookie.
    pub fn session(&self, path: &str, headers: &HeaderMap) -> Result<Arc<Session>, Refused> {
        let place = path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(place, _)| place);
        let name = cookie_name(self.port);
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let given: Vec<&str> = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).collect();
        let is_let_in = |session: &&Arc<Session>| {
            place.is_some_and(|place| session.place.is(place))
                && given.iter().any(|value| session.cookie.is(value))
        };
        self.sessions.iter().find(is_let_in).cloned().ok_or(Refused::NoSession)
    }

    /// The header that gives a browser its cookie. It goes when the browser does.
    pub fn set_cookie(&self, session: &Session) -> String {
        let (name, value) = (cookie_name(self.port), session.cookie.reveal());
        format!("{name}={value}; Path={}; HttpOnly; SameSite=Strict", session.home())
    }
}

/// Cookies do not know ports: two of these programs on one machine would take each other's.
fn cookie_name(port: u16) -> String {
    format!("mailhaul-{port}")
}

/// Whether a request may be looked at, before anything is known of who sent it. `is_way_in`: a link from elsewhere may lead there.
pub fn judge(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    port: u16,
    is_way_in: bool,
) -> Result<(), Refused> {
    if *method != Method::GET && *method != Method::POST {
        return Err(Refused::Method);
    }
    let host = host(uri, headers, port)?;
    let site = single(headers, &FETCH_SITE)?;
    if !is_way_in && site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(Refused::Site);
    }
    if *method == Method::POST {
        from_our_own_page(host, single(headers, &header::ORIGIN)?, site)?;
    }
    Ok(())
}

/// The name that the browser used for us: exactly one of two.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap, port: u16) -> Result<&'a str, Refused> {
    let host = single(headers, &header::HOST).map_err(|_| Refused::Host)?.ok_or(Refused::Host)?;
    let is_ours = |name: &str| name == format!("127.0.0.1:{port}") || name == format!("localhost:{port}");
    // A request may name it in its first line as well (RFC 9112, 3.2.2).
    let agrees = uri.authority().is_none_or(|named| named.as_str() == host);
    if is_ours(host) && agrees { Ok(host) } else { Err(Refused::Host) }
}

/// A form may come from a page of ours alone. Browsers name the origin `null` where the page wants no referrer told, as ours do
/// (Fetch, 3.2): then they have to say that it is the same one.
fn from_our_own_page(host: &str, origin: Option<&str>, site: Option<&str>) -> Result<(), Refused> {
    let is_ours = match origin {
        Some("null") | None => site == Some("same-origin"),
        Some(origin) => origin.strip_prefix("http://") == Some(host),
    };
    if is_ours { Ok(()) } else { Err(Refused::Site) }
}

/// The one value of a header that may stand there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Refused::Site),
        (Some(_), Some(_)) => Err(Refused::Site),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const PORT: u16 = 8025;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn judged(method: Method, pairs: &[(&'static str, &str)]) -> Result<(), Refused> {
        judge(&method, &Uri::from_static("/"), &headers(pairs), PORT, false)
    }

    #[test]
    fn only_the_two_names_of_this_machine_with_this_port_are_ours() {
        for host in ["127.0.0.1:8025", "localhost:8025"] {
            assert_eq!(judged(Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "127.0.0.1",
            "localhost",
            "127.0.0.1:80",
            "127.0.0.1:80250",
            "evil.example:8025",
            "127.0.0.1.evil.example:8025",
            "localhost.:8025",
            "LOCALHOST:8025",
            "[::1]:8025",
            "0.0.0.0:8025",
            "user@127.0.0.1:8025",
            "",
        ] {
            assert_eq!(judged(Method::GET, &[("host", host)]), Err(Refused::Host), "{host}");
        }
        assert_eq!(judged(Method::GET, &[]), Err(Refused::Host));
        let two = [("host", "127.0.0.1:8025"), ("host", "evil.example")];
        assert_eq!(judged(Method::GET, &two), Err(Refused::Host), "two of them");
        let named = Uri::from_static("http://evil.example/");
        let one = headers(&[("host", "127.0.0.1:8025")]);
        assert_eq!(judge(&Method::GET, &named, &one, PORT, false), Err(Refused::Host));
    }

    #[test]
    fn a_form_comes_from_our_own_page_or_not_at_all() {
        let host = ("host", "127.0.0.1:8025");
        let post = |pairs: &[(&'static str, &str)]| {
            let all: Vec<_> = [host].into_iter().chain(pairs.iter().copied()).collect();
            judged(Method::POST, &all)
        };
        let ours = ("origin", "http://127.0.0.1:8025");
        assert_eq!(post(&[ours]), Ok(()));
        assert_eq!(post(&[ours, ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(post(&[("origin", "null"), ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(post(&[("sec-fetch-site", "same-origin")]), Ok(()));
        for refused in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://evil.example")],
            &[("origin", "http://127.0.0.1:8026")],
            &[("origin", "https://127.0.0.1:8025")],
            &[("origin", "http://localhost:8025")],
            &[("origin", "http://127.0.0.1:8025.evil.example")],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[ours, ("sec-fetch-site", "cross-site")],
            &[ours, ("sec-fetch-site", "same-site")],
            &[ours, ours],
        ] {
            assert_eq!(post(refused), Err(Refused::Site), "{refused:?}");
        }
    }

    #[test]
    fn what_another_site_asks_for_is_refused_but_the_way_in() {
        let host = ("host", "localhost:8025");
        for (site, ok) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            let pairs = [host, ("sec-fetch-site", site)];
            assert_eq!(judged(Method::GET, &pairs).is_ok(), ok, "{site}");
            let way_in = judge(&Method::GET, &Uri::from_static("/"), &headers(&pairs), PORT, true);
            assert_eq!(way_in, Ok(()), "{site}");
        }
    }

    #[test]
    fn other_methods_are_closed() {
        for method in
            [Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE, Method::PATCH]
        {
            assert_eq!(judged(method, &[("host", "localhost:8025")]), Err(Refused::Method));
        }
    }

    fn token_of(link: &str) -> &str {
        link.strip_prefix("http://127.0.0.1:8025/enter?token=").unwrap()
    }

    #[test]
    fn a_link_lets_one_browser_in_once_and_a_new_one_ends_the_old_one() {
        let mut door = Door::new(PORT);
        assert_eq!(door.enter("").unwrap_err(), Refused::Invitation, "nobody is invited");
        let first = door.invite().unwrap();
        assert_eq!(token_of(&first).len(), 64);
        let second = door.invite().unwrap();
        assert_ne!(first, second);
        assert_eq!(door.enter(token_of(&first)).unwrap_err(), Refused::Invitation);
        assert!(door.enter(token_of(&second)).is_ok());
        assert_eq!(door.enter(token_of(&second)).unwrap_err(), Refused::Invitation, "it was used");
    }

    #[test]
    fn a_session_is_known_by_its_cookie_alone() {
        let mut door = Door::new(PORT);
        let link = door.invite().unwrap();
        let session = door.enter(token_of(&link)).unwrap();
        let set = door.set_cookie(&session);
        let place = session.place.reveal();
        assert_eq!(place.len(), 64, "256 bits");
        assert!(set.ends_with(&format!("; Path=/{place}/; HttpOnly; SameSite=Strict")), "{set}");
        let cookie = set.split(';').next().unwrap().to_owned();
        let home = session.home();
        let of = |value: &str| door.session(&home, &headers(&[("cookie", value)]));
        assert!(of(&cookie).is_ok());
        assert!(of(&format!("a=b; {cookie}; c=d")).is_ok());
        let other = format!("mailhaul-8025={}", session.form.reveal());
        for wrong in ["", "mailhaul-8025=", &cookie[..cookie.len() - 1], &format!("{cookie}0"), &other] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(of(&cookie.replace("8025", "8026")).is_err(), "that of another port");
        assert!(door.session(&home, &HeaderMap::new()).is_err());
        assert!(!format!("{door:?}").contains(session.cookie.reveal()));
    }

    #[test]
    fn a_cookie_alone_opens_nothing_without_the_secret_path_that_it_is_for() {
        let mut door = Door::new(PORT);
        let mut enter = || {
            let link = door.invite().unwrap();
            assert!(!link.contains(door.enter(token_of(&link)).unwrap().place.reveal()), "{link}");
            door.sessions.back().unwrap().clone()
        };
        let (one, other) = (enter(), enter());
        assert_ne!(one.place.reveal(), other.place.reveal());
        let cookie = door.set_cookie(&one);
        let cookie = headers(&[("cookie", cookie.split(';').next().unwrap())]);
        let place = one.place.reveal();
        for path in [format!("/{place}/"), format!("/{place}/old"), format!("/{place}/report/a/b")] {
            assert!(door.session(&path, &cookie).is_ok(), "{path}");
        }
        for path in [
            "/".to_owned(),
            "/old".to_owned(),
            String::new(),
            format!("/{place}"),
            format!("{place}/old"),
            format!("//{place}/old"),
            format!("/x/{place}/old"),
            format!("/{}/old", place.to_uppercase()),
            format!("/{}0/old", place),
            other.home(),
        ] {
            assert_eq!(door.session(&path, &cookie).unwrap_err(), Refused::NoSession, "{path}");
        }
    }

    #[test]
    fn a_seventeenth_browser_puts_out_the_first() {
        let mut door = Door::new(PORT);
        let mut cookies = Vec::new();
        for _ in 0..=SESSIONS_MAX {
            let link = door.invite().unwrap();
            let session = door.enter(token_of(&link)).unwrap();
            cookies.push((session.home(), format!("mailhaul-8025={}", session.cookie.reveal())));
        }
        let is_in =
            |(home, cookie): &(String, String)| door.session(home, &headers(&[("cookie", cookie)])).is_ok();
        assert!(!is_in(&cookies[0]) && cookies[1..].iter().all(is_in));
    }
}
