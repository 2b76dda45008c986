//! The fault vocabulary: what can happen to a connection, as data, and as text for the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Which way octets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// In order: both sides read an end of file.
    Fin,
    /// Abruptly: both sides get a reset.
    Rst,
}

/// Something that happens to a connection. Octets count from the connection's first one; commands and literals are
/// counted from 1, and can be seen only in clear text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ends the connection, both ways, when this many octets went this way.
    CutAfter {
        /// The way that counts.
        direction: Direction,
        /// Octets that still arrive.
        octets: u64,
        /// How both sides see it end.
        how: How,
    },
    /// Ends the connection between a literal and the CRLF that ends its command. A literal with more of its command
    /// behind it does not count. Towards the client, where `)` follows, right after the literal; each one counts.
    CutAfterLiteral {
        /// The way the literal goes.
        direction: Direction,
        /// Which one.
        nth: u64,
        /// How both sides see it end.
        how: How,
    },
    /// Octets arrive this much later, either way.
    Delay(Duration),
    /// Octets a second, at most, in each direction.
    Bandwidth(u64),
    /// Octets handed over at once, at most, in each direction.
    Slice(usize),
    /// Nothing more goes this way after this many octets; the connection stays open and the other way works.
    Stall {
        /// The way that falls silent.
        direction: Direction,
        /// Octets that still arrive.
        octets: u64,
    },
    /// After this many octets this way nothing goes either way any more, and neither side is told that the other
    /// closed: what a firewall does that forgot the connection. Both are reset when the proxy ends.
    HalfOpen {
        /// The way that counts.
        direction: Direction,
        /// Octets that still arrive.
        octets: u64,
    },
    /// The tagged OK of a command never arrives. A NO or BAD does.
    SwallowOk {
        /// The command's name in capitals: `APPEND`, `UID FETCH`.
        command: String,
        /// Which one of that name.
        nth: u64,
    },
    /// The last octets of a command stay here until the client is gone, and reach the server later: what a kernel
    /// on the way does with what it had queued. The client hears nothing more; what it sends behind is lost.
    Late {
        /// The command's name in capitals.
        command: String,
        /// Which one of that name.
        nth: u64,
        /// How many octets stay here.
        octets: usize,
        /// How long after the client is gone they reach the server, which then reads an end of file.
        after: Duration,
        /// Closes the client's side as soon as the octets are here; `None` waits for the client to close it.
        hang_up: Option<How>,
    },
    /// Ends the connection in order at the first end of a TLS record this way where this many octets went, without the
    /// alert close_notify (RFC 8446 section 6.1) that tells an end from a cut. TLS must begin with the first octet.
    TlsEnd {
        /// The way that counts.
        direction: Direction,
        /// Octets that arrive at least.
        octets: u64,
    },
}

/// All that happens to one connection; empty: nothing.
pub type Plan = Vec<Fault>;

/// A text that is no fault, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no fault: {why}")]
pub struct NoFault {
    text: String,
    why: &'static str,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToServer => "to-server",
            Self::ToClient => "to-client",
        })
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
        })
    }
}

/// `cut=to-server:1500:rst`: what [`Fault::from_str`] reads.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutAfter { direction, octets, how } => write!(f, "cut={direction}:{octets}:{how}"),
            Self::CutAfterLiteral { direction, nth, how } => {
                write!(f, "cut-after-literal={direction}:{nth}:{how}")
            }
            Self::Delay(delay) => write!(f, "delay={}", delay.as_millis()),
            Self::Bandwidth(rate) => write!(f, "bandwidth={rate}"),
            Self::Slice(octets) => write!(f, "slice={octets}"),
            Self::Stall { direction, octets } => write!(f, "stall={direction}:{octets}"),
            Self::HalfOpen { direction, octets } => write!(f, "half-open={direction}:{octets}"),
            Self::SwallowOk { command, nth } => write!(f, "swallow-ok={command}:{nth}"),
            Self::Late { command, nth, octets, after, hang_up } => {
                write!(f, "late={command}:{nth}:{octets}:{}", after.as_millis())?;
                hang_up.map_or(Ok(()), |how| write!(f, ":{how}"))
            }
            Self::TlsEnd { direction, octets } => write!(f, "tls-end={direction}:{octets}"),
        }
    }
}

/// Times are milliseconds, rates octets a second.
impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let no = |why| NoFault { text: text.to_owned(), why };
        let (name, values) = text.split_once('=').ok_or_else(|| no("NAME=VALUE is expected"))?;
        let values: Vec<&str> = values.split(':').collect();
        let way = |at: usize| direction(values[at]).ok_or_else(|| no("to-server or to-client is expected"));
        let number = |at: usize| values[at].parse::<u64>().map_err(|_| no("a number is expected"));
        let how = |at: usize| how(values[at]).ok_or_else(|| no("fin or rst is expected"));
        let size = |at: usize| {
            number(at).and_then(|number| usize::try_from(number).map_err(|_| no("the number is too large")))
        };
        let command = |at: usize| values[at].to_ascii_uppercase();
        let time = |at: usize| number(at).map(Duration::from_millis);
        Ok(match (name, values.len()) {
            ("cut", 3) => Self::CutAfter { direction: way(0)?, octets: number(1)?, how: how(2)? },
            ("cut-after-literal", 3) => {
                Self::CutAfterLiteral { direction: way(0)?, nth: number(1)?, how: how(2)? }
            }
            ("delay", 1) => Self::Delay(time(0)?),
            ("bandwidth", 1) => Self::Bandwidth(number(0)?),
            ("slice", 1) => Self::Slice(size(0)?),
            ("stall", 2) => Self::Stall { direction: way(0)?, octets: number(1)? },
            ("half-open", 2) => Self::HalfOpen { direction: way(0)?, octets: number(1)? },
            ("swallow-ok", 2) => Self::SwallowOk { command: command(0), nth: number(1)? },
            ("late", 4 | 5) => Self::Late {
                command: command(0),
                nth: number(1)?,
                octets: size(2)?,
                after: time(3)?,
                hang_up: if values.len() == 5 { Some(how(4)?) } else { None },
            },
            ("tls-end", 2) => Self::TlsEnd { direction: way(0)?, octets: number(1)? },
            _ => return Err(no("the name is unknown, or has another number of values")),
        })
    }
}

fn direction(word: &str) -> Option<Direction> {
    [Direction::ToServer, Direction::ToClient].into_iter().find(|way| way.to_string() == word)
}

fn how(word: &str) -> Option<How> {
    [How::Fin, How::Rst].into_iter().find(|how| how.to_string() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_back_from_its_text() {
        let texts = [
            "cut=to-server:1500:rst",
            "cut-after-literal=to-client:2:fin",
            "delay=50",
            "bandwidth=100000",
            "slice=7",
            "stall=to-client:0",
            "half-open=to-server:300",
            "swallow-ok=UID FETCH:2",
            "late=APPEND:1:3:5000",
            "late=APPEND:1:3:5000:rst",
            "tls-end=to-client:4000",
        ];
        for text in texts {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("delay=50".parse(), Ok(Fault::Delay(Duration::from_millis(50))));
    }

    #[test]
    fn what_is_no_fault_is_said() {
        for (text, why) in [
            ("cut", "NAME=VALUE"),
            ("cut=to-server:1500", "number of values"),
            ("cut=up:1:fin", "to-server or to-client"),
            ("cut=to-server:many:fin", "a number"),
            ("cut=to-server:1:bang", "fin or rst"),
            ("rain=1", "unknown"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
    }
}
