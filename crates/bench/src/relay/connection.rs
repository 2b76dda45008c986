//! A connection that says and reads what the relay needs, of a server that is known.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::Result;

/// Octets of the read buffer.
const READ_BUFFER_OCTETS: usize = 256 << 10;

/// A login.
#[derive(Clone, Debug)]
pub struct Login {
    /// The server, in clear.
    pub address: SocketAddr,
    /// Its user.
    pub user: String,
    /// The user's password.
    pub password: String,
}

/// A session.
pub(super) struct Connection {
    pub(super) from: BufReader<TcpStream>,
    pub(super) to: TcpStream,
    last_tag: u32,
}

impl Connection {
    pub(super) fn open(login: &Login) -> Result<Self> {
        let to = TcpStream::connect(login.address)?;
        to.set_nodelay(true)?;
        let from = BufReader::with_capacity(READ_BUFFER_OCTETS, to.try_clone()?);
        let mut connection = Self { from, to, last_tag: 0 };
        connection.line()?;
        connection.command(format!("LOGIN \"{}\" \"{}\"", login.user, login.password).as_bytes())?;
        Ok(connection)
    }

    /// The next line, with its end.
    pub(super) fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        if self.from.read_until(b'\n', &mut line)? == 0 {
            return Err("the server hung up".into());
        }
        Ok(line)
    }

    pub(super) fn literal(&mut self, octets: usize) -> Result<Vec<u8>> {
        let mut literal = vec![0; octets];
        self.from.read_exact(&mut literal)?;
        Ok(literal)
    }

    /// Sends commands in one write; their tags.
    pub(super) fn send<'a>(&mut self, commands: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Tag>> {
        let (mut octets, mut tags) = (Vec::new(), Vec::new());
        for command in commands {
            self.last_tag += 1;
            let tag = Tag(format!("r{} ", self.last_tag));
            octets.extend_from_slice(tag.0.as_bytes());
            octets.extend_from_slice(command);
            octets.extend_from_slice(b"\r\n");
            tags.push(tag);
        }
        self.to.write_all(&octets)?;
        Ok(tags)
    }

    /// Sends a command and waits for its OK; the untagged lines before it.
    pub(super) fn command(&mut self, command: &[u8]) -> Result<Vec<Vec<u8>>> {
        let tags = self.send([command])?;
        let mut lines = Vec::new();
        for tag in tags {
            lines.extend(self.await_ok(&tag)?);
        }
        Ok(lines)
    }

    /// Reads up to the OK of a command; the untagged lines before it.
    pub(super) fn await_ok(&mut self, tag: &Tag) -> Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if tag.is_ok(&line)? {
                return Ok(lines);
            }
            lines.push(line);
        }
    }
}

/// A tag with the space behind it.
pub(super) struct Tag(String);

impl Tag {
    /// This line is the command's OK; its NO or BAD is an error.
    pub(super) fn is_ok(&self, line: &[u8]) -> Result<bool> {
        match line.strip_prefix(self.0.as_bytes()) {
            Some(status) if status.starts_with(b"OK") => Ok(true),
            Some(status) => Err(String::from_utf8_lossy(status).trim().into()),
            None => Ok(false),
        }
    }
}
