//! A browser of a few lines: one request for each connection, a cookie, forms with their token; nothing is followed by itself.

use crate::secrets::assert_none_said;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where one waits for what is done at a server.
pub const WAIT: &str = "/wait";
/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        let named = |line: &str| {
            line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
        };
        self.head.lines().find_map(named)
    }

    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.body.contains(words), "{words:?} is missing in {}\n{}", self.head, self.body);
        self
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }

    /// True for the page that shows what is waited for.
    pub fn waits(&self) -> bool {
        self.body.contains("value=\"give-up\"")
    }

    /// A redirect, and where to.
    #[track_caller]
    pub fn leads_to(&self, path: &str) -> String {
        self.is(303);
        assert_eq!(self.leads().as_deref(), Some(path));
        path.to_owned()
    }

    /// Where a redirect from a page leads, below the secret path.
    pub fn leads(&self) -> Option<String> {
        let location = self.header("location")?;
        assert!(!location.contains("//") && !location.starts_with('/'), "{location}");
        Some(format!("/{}", location.trim_start_matches("./")))
    }
}

/// Requests as they are written.
pub struct Wire {
    pub port: u16,
}

impl Wire {
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    pub async fn get_from(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{}", lines(headers));
        self.exchange(head, "").await
    }

    /// A body is a form unless a header says otherwise.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}", self.port, lines(headers));
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
            if !headers.iter().any(|(name, _)| *name == "Content-Type") {
                head += "Content-Type: application/x-www-form-urlencoded\r\n";
            }
        }
        self.exchange(head, body).await
    }

    /// Whatever is answered holds no secret of these tests.
    async fn exchange(&self, head: String, body: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let whole = format!("{head}Connection: close\r\n\r\n{body}");
        // A server that has read enough may close before it has all.
        let _ = stream.write_all(whole.as_bytes()).await;
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets).await;
        let text = String::from_utf8_lossy(&octets).into_owned();
        assert_none_said(&text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { unchunked(body) } else { body.to_owned() };
        Answer { status, head: head.to_owned(), body }
    }
}

fn lines(headers: &[(&str, &str)]) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// RFC 9112, 7.1; a last chunk that is missing is none.
fn unchunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 || after.len() < size {
            break;
        }
        whole += &after[..size];
        rest = after[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    whole
}

/// One that was let in.
pub struct Browser {
    wire: Wire,
    /// The secret path, without a slash at its end.
    pub place: String,
    pub cookie: String,
    seen: Mutex<String>,
}

impl Browser {
    pub async fn let_in(port: u16, link: &str) -> Self {
        let wire = Wire { port };
        let path = link.strip_prefix(&format!("http://127.0.0.1:{port}")).unwrap();
        let answer = wire.get(path, &[]).await;
        answer.is(200);
        let set = answer.header("set-cookie").unwrap();
        let cookie = set.split(';').next().unwrap().to_owned();
        let path = set.split("; Path=").nth(1).unwrap().split(';').next().unwrap();
        answer.says(&format!("href=\"{path}\""));
        Self { wire, place: path.trim_end_matches('/').to_owned(), cookie, seen: Mutex::default() }
    }

    /// What a page says when nothing is waited for any more.
    pub async fn get(&self, path: &str) -> Answer {
        loop {
            let answer = self.look(path).await;
            if !answer.waits() {
                return answer;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What a page says now.
    pub async fn look(&self, path: &str) -> Answer {
        let headers = [("Cookie", self.cookie.as_str()), ("Sec-Fetch-Site", "same-origin")];
        if path.ends_with("/events") {
            return self.head_of(path).await;
        }
        let answer = self.wire.get(&self.at(path), &headers).await;
        self.see(&answer);
        answer
    }

    /// The whole path of a page.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.place)
    }

    /// Sends a form, and waits for what comes of it: where that leads, or the page that tells of a problem.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let answer = self.send(path, fields).await;
        if answer.leads().as_deref() != Some(WAIT) {
            return answer;
        }
        let led = self.get(WAIT).await;
        // A problem is shown where it was sent from.
        if led.leads().as_deref() == Some(path) { self.get(path).await } else { led }
    }

    /// A form with its token, as a browser sends one from a page that wants no referrer told.
    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token("/requirements").await;
        let pairs = [("form-token", token.as_str())].into_iter().chain(fields.iter().copied());
        let body: Vec<String> =
            pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let headers =
            [("Cookie", self.cookie.as_str()), ("Origin", "null"), ("Sec-Fetch-Site", "same-origin")];
        let answer = self.wire.send("POST", &self.at(path), &headers, &body.join("&")).await;
        self.see(&answer);
        answer
    }

    /// The token of this browser's forms: any page has it.
    pub async fn form_token(&self, path: &str) -> String {
        let headers = [("Cookie", self.cookie.as_str())];
        let mut page = self.wire.get(&self.at(path), &headers).await;
        if let Some(elsewhere) = page.leads() {
            page = self.wire.get(&self.at(&elsewhere), &headers).await;
        }
        let after = page
            .body
            .split("name=\"form-token\" value=\"")
            .nth(1)
            .unwrap_or_else(|| panic!("no form: {page:?}"));
        after.split('"').next().unwrap().to_owned()
    }

    /// What comes until it is enough; events do not end.
    pub async fn read_until(&self, path: &str, enough: impl Fn(&str) -> bool) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.wire.port)).await.unwrap();
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nCookie: {}\r\n\r\n",
            self.at(path),
            self.wire.port,
            self.cookie
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut octets = Vec::new();
        loop {
            let read = stream.read_buf(&mut octets).await.unwrap();
            let text = String::from_utf8_lossy(&octets);
            if read == 0 || enough(&text) {
                return text.into_owned();
            }
        }
    }

    async fn head_of(&self, path: &str) -> Answer {
        let text = self.read_until(path, |text| text.contains("\r\n\r\n")).await;
        let head = text.split("\r\n\r\n").next().unwrap().to_owned();
        Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body: String::new() }
    }

    fn see(&self, answer: &Answer) {
        *self.seen.lock().unwrap() += &format!("{}\n{}\n", answer.head, answer.body);
    }

    /// All that this browser ever got.
    pub fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }
}

fn encoded(text: &str) -> String {
    let octet =
        |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(octet).collect()
}
