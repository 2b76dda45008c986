//! Whoever a mail server asks whether an access token is good (RFC 7662), on loopback.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Tokens, and whose they are.
type Users = Arc<Mutex<BTreeMap<String, String>>>;

/// It answers as long as the process lives: who asks is a server that is stopped before.
#[derive(Debug)]
pub struct Introspection {
    address: SocketAddr,
    users: Users,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Introspection {
    /// One that knows no token.
    ///
    /// # Errors
    /// Those of binding a port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let (address, users, asked) = (listener.local_addr()?, Users::default(), Arc::default());
        let (known, log) = (Arc::clone(&users), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A server that went away needs no answer.
                let _ = answer(stream, &known, &log);
            }
        });
        Ok(Self { address, users, asked })
    }

    /// Where it is asked.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/introspect", self.address)
    }

    /// A token is good, and this user's.
    pub fn know(&self, token: &str, user: &str) {
        lock(&self.users).insert(token.to_owned(), user.to_owned());
    }

    /// The time of a token is over.
    pub fn forget(&self, token: &str) {
        lock(&self.users).remove(token);
    }

    /// The tokens that were asked about.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One question: a form with the token, which holds nothing that a form would spell otherwise.
fn answer(stream: TcpStream, users: &Users, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form)?;
    let form = String::from_utf8_lossy(&form).into_owned();
    let token = form.split('&').find_map(|p| p.strip_prefix("token=")).unwrap_or_default().to_owned();
    let body = match lock(users).get(&token) {
        Some(user) => {
            serde_json::json!({ "active": true, "sub": user, "scope": "mail", "token_type": "Bearer" })
        }
        // RFC 7662, 2.2: why not is nobody's business.
        None => serde_json::json!({ "active": false }),
    };
    lock(asked).push(token);
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    reader.into_inner().write_all((head + &body).as_bytes())
}
