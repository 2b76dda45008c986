//! AUTHENTICATE. The server's side of each mechanism, written for this server alone: nothing of it is shared with the
//! engine.

use super::scram::{Hash, ServerScram};
use super::{Done, Session, bad, no};
use crate::reader::Word;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use tokio::io::{AsyncRead, AsyncWrite};

/// The challenge of CRAM-MD5: this server has no clock and no random numbers.
const CRAM_CHALLENGE: &str = "<1.1@sandbox.example>";

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn authenticate(&mut self, words: &[Word]) -> Option<Done> {
        let name = words.first().and_then(Word::text).unwrap_or_default().to_ascii_uppercase();
        let profile = self.profile();
        if !profile.mechanisms.contains(&name.as_str()) {
            return Some(no("[CANNOT] Unsupported authentication mechanism"));
        }
        if let Some((_, answer)) = profile.unsupported_mechanism.filter(|(which, _)| *which == name) {
            return Some(Done::Status(answer));
        }
        let initial = match words.get(1).and_then(Word::text) {
            Some(_) if !profile.sasl_ir => return Some(bad("no SASL-IR here")),
            Some(initial) if initial == "=" => Some(Vec::new()),
            Some(initial) => Some(BASE64.decode(initial).unwrap_or_default()),
            None => None,
        };
        match name.as_str() {
            "LOGIN" => self.sasl_login(initial).await,
            "CRAM-MD5" => self.cram_md5().await,
            name => {
                let Some(first) = (match initial {
                    Some(first) => Some(first),
                    None => self.challenge(b"").await?,
                }) else {
                    return Some(bad("cancelled"));
                };
                match name {
                    "PLAIN" => Some(self.sasl_plain(&first)),
                    "EXTERNAL" => Some(self.external(&first)),
                    "OAUTHBEARER" | "XOAUTH2" => self.token(name, &first).await,
                    name => self.scram(name, &first).await,
                }
            }
        }
    }

    /// Asks; the answer, or `Some(None)` if the client cancels.
    pub(super) async fn challenge(&mut self, text: &[u8]) -> Option<Option<Vec<u8>>> {
        self.write(format!("+ {}\r\n", BASE64.encode(text)).as_bytes()).await?;
        let line = self.reader.line(&mut self.stream).await.ok()?;
        Some(if &line[..] == b"*" { None } else { Some(BASE64.decode(&line).unwrap_or_default()) })
    }

    fn sasl_plain(&mut self, message: &[u8]) -> Done {
        let parts: Vec<String> =
            message.split(|b| *b == 0).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        match &parts[..] {
            [user, name, password] => {
                let user = Some(user.as_str()).filter(|u| !u.is_empty());
                self.by_password("PLAIN", user, name, password)
            }
            _ => bad("no PLAIN message"),
        }
    }

    async fn sasl_login(&mut self, initial: Option<Vec<u8>>) -> Option<Done> {
        let mut answers = Vec::new();
        answers.extend(initial);
        for prompt in [&b"User Name\0"[..], b"Password\0"].into_iter().skip(answers.len()) {
            match self.challenge(prompt).await? {
                Some(answer) => answers.push(answer),
                None => return Some(bad("cancelled")),
            }
        }
        let text: Vec<_> = answers.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        Some(self.by_password("LOGIN", None, &text[0], &text[1]))
    }

    async fn cram_md5(&mut self) -> Option<Done> {
        let Some(answer) = self.challenge(CRAM_CHALLENGE.as_bytes()).await? else {
            return Some(bad("cancelled"));
        };
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (name, digest) = answer.rsplit_once(' ').unwrap_or_default();
        let expected = self.sandbox.password(name).and_then(|password| {
            let mut mac = Hmac::<md5::Md5>::new_from_slice(password.as_bytes()).ok()?;
            mac.update(CRAM_CHALLENGE.as_bytes());
            Some(mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>())
        });
        let known = expected.is_some_and(|e| e == digest);
        Some(self.enter("CRAM-MD5", known.then_some(name), name))
    }

    fn external(&mut self, user: &[u8]) -> Done {
        let certified = self.channel.certified.clone();
        let user = String::from_utf8_lossy(user).into_owned();
        let user = if user.is_empty() { certified.clone().unwrap_or_default() } else { user };
        self.enter("EXTERNAL", certified.as_deref(), &user)
    }

    /// OAUTHBEARER (RFC 7628) and XOAUTH2.
    async fn token(&mut self, mechanism: &str, message: &[u8]) -> Option<Done> {
        let text = String::from_utf8_lossy(message).into_owned();
        let mut fields = text.split('\x01');
        let head = fields.next().unwrap_or_default();
        let user = match mechanism {
            "XOAUTH2" => head.strip_prefix("user="),
            _ => head.strip_prefix("n,a=").and_then(|h| h.strip_suffix(',')),
        };
        let token = fields.find_map(|f| f.strip_prefix("auth=Bearer "));
        let (Some(user), Some(token), true) = (user, token, text.ends_with("\x01\x01")) else {
            return Some(bad("no message of this mechanism"));
        };
        let user = user.replace("=2C", ",").replace("=3D", "=");
        let holder = self.sandbox.holder(token);
        if holder.is_none()
            && let Some(error) = self.profile().token_error
        {
            let end = self.challenge(error.as_bytes()).await?;
            let right: &[u8] = if mechanism == "XOAUTH2" { b"" } else { b"\x01" };
            if end.is_none_or(|end| end != right) {
                return Some(bad("an error is ended otherwise"));
            }
        }
        Some(self.enter(mechanism, holder.as_deref(), &user))
    }

    async fn scram(&mut self, name: &str, first: &[u8]) -> Option<Done> {
        let hash = if name.starts_with("SCRAM-SHA-256") { Hash::Sha256 } else { Hash::Sha1 };
        let profile = self.profile();
        let bindings = self.channel.bindings.clone();
        let offers_plus = profile.mechanisms.iter().any(|m| m.ends_with("-PLUS"));
        let begun = ServerScram::begin(hash, name.ends_with("-PLUS"), offers_plus, &bindings, first);
        let mut scram = match begun {
            Ok(scram) => scram,
            Err(error) => {
                self.challenge(format!("e={error}").as_bytes()).await?;
                return Some(no("[CANNOT] the binding does not fit"));
            }
        };
        // Whoever is not known gets the same questions.
        let password = self.sandbox.password(scram.name());
        let asked = scram.server_first(profile.scram_iterations, profile.scram_lie);
        let Some(last) = self.challenge(asked.as_bytes()).await? else { return Some(bad("cancelled")) };
        let known = password.as_deref().unwrap_or("\0nobody");
        let verdict = scram.verify(known, &last, profile.scram_lie);
        let (name_of, user) = (scram.name().to_owned(), scram.user().to_owned());
        match verdict {
            Err(error) => {
                self.challenge(format!("e={error}").as_bytes()).await?;
                Some(self.enter(name, None, &user))
            }
            Ok(None) => Some(self.enter(name, Some(&name_of), &user)),
            Ok(Some(signature)) => match self.challenge(signature.as_bytes()).await? {
                Some(_) => Some(self.enter(name, Some(&name_of), &user)),
                None => Some(bad("cancelled")),
            },
        }
    }
}
