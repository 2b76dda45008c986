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

    /// Waits for the browser and tells it whether its request `is_good`. Requests that bring neither a code nor an error (a
    /// favourite's icon) are told that there is nothing, and are not the answer.
    pub async fn answer(self, is_good: impl Fn(&Brought) -> bool) -> std::io::Result<Brought> {
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
                    let Some(brought) = brought else {
                        tell(&mut stream, "404 Not Found", "").await;
                        continue;
                    };
                    let (status, page) =
                        if is_good(&brought) { ("200 OK", DONE) } else { ("400 Bad Request", FAILED) };
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
