//! Where commands, responses and their literals begin and end (RFC 9051 section 2.2), octet by octet.

use super::Direction;

/// Octets of a first line that are kept: tag and name stand in them.
const HEAD_OCTETS: usize = 256;
/// Octets of a line's end that are kept: `{18446744073709551615+}` and CRLF stand in them.
const TAIL_OCTETS: usize = 32;

/// What an octet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Neither of those below.
    Within,
    /// The last one of a line that announces a literal.
    LiteralAnnounced {
        /// The sender waits for the other side's word before it goes on.
        synchronising: bool,
    },
    /// The last one of a literal.
    LiteralEnd,
    /// The last one of a command or response.
    End,
}

/// Follows one direction of a connection in clear text. Keeps a bounded part of what it sees.
#[derive(Debug)]
pub(super) struct Framing {
    direction: Direction,
    /// The first line of the present command or response, or of the last one between two.
    head: Vec<u8>,
    in_head: bool,
    /// The end of the present line.
    tail: Vec<u8>,
    literal_left: u64,
    between: bool,
}

impl Framing {
    pub(super) fn of(direction: Direction) -> Self {
        Self { direction, head: Vec::new(), in_head: true, tail: Vec::new(), literal_left: 0, between: true }
    }

    /// Takes the next octet.
    pub(super) fn see(&mut self, octet: u8) -> Seen {
        if self.literal_left > 0 {
            self.literal_left -= 1;
            return if self.literal_left == 0 { Seen::LiteralEnd } else { Seen::Within };
        }
        if self.between {
            self.between = false;
            self.in_head = true;
            self.head.clear();
        }
        if self.in_head && self.head.len() < HEAD_OCTETS {
            self.head.push(octet);
        }
        self.tail.push(octet);
        if self.tail.len() > TAIL_OCTETS {
            self.tail.remove(0);
        }
        if octet == b'\n' { self.line_end() } else { Seen::Within }
    }

    /// The next octet begins a command or response.
    pub(super) fn is_between(&self) -> bool {
        self.between
    }

    /// The first word of the present, or last, command or response.
    pub(super) fn tag(&self) -> &[u8] {
        self.words().next().unwrap_or_default()
    }

    /// The name of the present, or last, command in capitals; both words of `UID FETCH`. Of a tagged response: its
    /// status.
    pub(super) fn name(&self) -> String {
        let mut words = self.words().skip(1).map(|word| String::from_utf8_lossy(word).to_ascii_uppercase());
        let name = words.next().unwrap_or_default();
        match words.next() {
            Some(second) if name == "UID" => format!("{name} {second}"),
            _ => name,
        }
    }

    fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.head.split(|octet| matches!(octet, b' ' | b'\r' | b'\n'))
    }

    fn line_end(&mut self) -> Seen {
        let announced = if self.may_hold_literals() { announcement(&self.tail) } else { None };
        self.in_head = false;
        self.tail.clear();
        match announced {
            // nothing is to come: the literal is at its end where it is announced
            Some((0, false)) => Seen::LiteralEnd,
            Some((octets, synchronising)) => {
                self.literal_left = octets;
                Seen::LiteralAnnounced { synchronising }
            }
            None => {
                self.between = true;
                Seen::End
            }
        }
    }

    /// Words for people announce no literal, whatever they end in.
    fn may_hold_literals(&self) -> bool {
        let words_for_people = ["OK", "NO", "BAD", "BYE", "PREAUTH"].contains(&self.name().as_str());
        self.direction == Direction::ToServer || !(words_for_people || self.tag() == b"+")
    }
}

/// The length a line announces at its end, and whether its sender waits.
fn announcement(line: &[u8]) -> Option<(u64, bool)> {
    let line = line.strip_suffix(b"\n")?;
    let inner = line.strip_suffix(b"\r").unwrap_or(line).strip_suffix(b"}")?;
    let open = inner.iter().rposition(|octet| *octet == b'{')?;
    let digits = &inner[open + 1..];
    let (digits, synchronising) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, synchronising))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(direction: Direction, octets: &[u8]) -> Vec<(usize, Seen, String)> {
        let mut framing = Framing::of(direction);
        let mut seen = Vec::new();
        for (at, octet) in octets.iter().enumerate() {
            let what = framing.see(*octet);
            if what != Seen::Within {
                seen.push((at + 1, what, framing.name()));
            }
        }
        seen
    }

    #[test]
    fn commands_end_behind_their_literals() {
        let octets = b"a1 append x {3+}\r\na\r\n (\\Seen) {2}\r\n{}\r\na2 UID fetch 1 X\r\n";
        let append = "APPEND".to_owned();
        assert_eq!(
            marks(Direction::ToServer, octets),
            [
                (18, Seen::LiteralAnnounced { synchronising: false }, append.clone()),
                (21, Seen::LiteralEnd, append.clone()),
                (35, Seen::LiteralAnnounced { synchronising: true }, append.clone()),
                (37, Seen::LiteralEnd, append.clone()),
                (39, Seen::End, append),
                (57, Seen::End, "UID FETCH".to_owned()),
            ]
        );
    }

    #[test]
    fn a_literal_of_a_response_is_data_and_text_for_people_announces_none() {
        let octets = b"* OK hello {5}\r\n+ go {7}\r\n* 1 FETCH (BODY[] {4}\r\na OK)\r\na1 OK done\r\n";
        let ends: Vec<Seen> =
            marks(Direction::ToClient, octets).into_iter().map(|(_, seen, _)| seen).collect();
        let announced = Seen::LiteralAnnounced { synchronising: true };
        assert_eq!(ends, [Seen::End, Seen::End, announced, Seen::LiteralEnd, Seen::End, Seen::End]);
    }

    #[test]
    fn an_empty_literal_ends_where_it_is_announced() {
        let seen = marks(Direction::ToServer, b"a1 APPEND x {0+}\r\n\r\n");
        assert_eq!(
            seen.iter().map(|(at, seen, _)| (*at, *seen)).collect::<Vec<_>>(),
            [(18, Seen::LiteralEnd), (20, Seen::End)]
        );
    }
}
