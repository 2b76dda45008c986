//! Where the browser comes back to after a login (RFC 8252, 7.3): a port of this machine, open for one answer.

use crate::limits::{REDIRECT_OCTETS_MAX, REDIRECT_REQUESTS_MAX};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The page at the end. It holds nothing of the request.
const DONE: &str = "<!doctype html><meta charset=utf-8><title>Mailhaul</title><p>Done. You can close this window and go \
                    back to Mailhaul.";
const FAILED: &str = "<!doctype html><meta charset=utf-8><title>Mailhaul</title><p>That did not work. Go back to Mailhaul: \
                      it says why.";

/// The port, before the browser came.
#[derive(Debug)]
pub struct Redirect {
    listener: TcpListener,
    port: u16,
}

/// What the browser brought: the parameters of its request.
pub struct Brought(Vec<(String, String)>);

impl Brought {
    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Redirect {
    /// Opens a free port of 127.0.0.1.
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the browser's answer. Requests that bring neither a code nor an error (a favourite's icon), or are not `ours`
    /// (any program of this machine can reach the port), are told that there is nothing, and the wait goes on.
    pub async fn answer(self, is_ours: impl Fn(&Brought) -> bool) -> std::io::Result<Brought> {
        // Side by side: browsers open connections ahead on which nothing may ever come.
        let mut reading = JoinSet::new();
        let mut accepted = 0;
        loop {
            tokio::select! {
                connection = self.listener.accept(), if accepted < REDIRECT_REQUESTS_MAX => {
                    let (mut stream, _) = connection?;
                    accepted += 1;
                    reading.spawn(async move { (read(&mut stream).await, stream) });
                }
                read = reading.join_next(), if !reading.is_empty() => {
                    let Some(Ok((brought, mut stream))) = read else { continue };
                    let Some(brought) = brought.filter(&is_ours) else {
                        tell(&mut stream, "404 Not Found", "").await;
                        continue;
                    };
                    let is_good = brought.get("code").is_some();
                    let (status, page) = if is_good { ("200 OK", DONE) } else { ("400 Bad Request", FAILED) };
                    tell(&mut stream, status, page).await;
                    return Ok(brought);
                }
                else => return Err(std::io::Error::other("too many requests that are no answer")),
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Brought> {
    let mut octets = Vec::new();
    while !octets.windows(4).any(|w| w == b"\r\n\r\n") {
        if octets.len() > REDIRECT_OCTETS_MAX || stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8(octets).ok()?;
    let target = text.lines().next()?.strip_prefix("GET ")?.split(' ').next()?;
    let query = target.split_once('?')?.1;
    let plain =
        |text: &str| Some(percent_decode_str(&text.replace('+', " ")).decode_utf8().ok()?.into_owned());
    let pairs = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((plain(name)?, plain(value)?))
    });
    let brought = Brought(pairs.collect());
    (brought.get("code").is_some() || brought.get("error").is_some()).then_some(brought)
}

async fn tell(stream: &mut TcpStream, status: &str, page: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nReferrer-Policy: \
         no-referrer\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        page.len()
    );
    // The browser may be gone already; what it brought counts.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(page.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(port: u16, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_request_that_is_not_ours_is_no_answer_and_the_wait_goes_on() {
        let redirect = Redirect::open().await.unwrap();
        let port = redirect.port();
        let asking = async {
            for foreign in
                ["/favicon.ico", "/?state=other&code=1", "/?state=other&error=access_denied", "/?code=2"]
            {
                assert!(ask(port, foreign).await.starts_with("HTTP/1.1 404"), "{foreign}");
            }
            ask(port, "/?state=ours&code=3").await
        };
        let ours = |brought: &Brought| brought.get("state") == Some("ours");
        let (brought, answer) = tokio::join!(redirect.answer(ours), asking);
        assert_eq!(brought.unwrap().get("code"), Some("3"));
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Done."), "{answer}");
    }
}
