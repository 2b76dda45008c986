//! What ends a connection, and what a caller can do wrong.

/// The server broke the protocol in a way after which no octet of the connection can be trusted.
///
/// Every variant is fatal: the connection has to be closed. Odd but harmless input is never an error, it becomes
/// [`Untagged::Other`](crate::response::Untagged::Other).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A response without its streamed bodies is longer than the limit.
    #[error("the server sent a response line of more than {limit} octets")]
    LineTooLong {
        /// [`Limits::max_line_octets`](crate::Limits::max_line_octets), in octets.
        limit: u64,
    },
    /// A literal that is not a message body is longer than the limit.
    #[error("the server announced a literal of {announced} octets that is no message body (limit {limit})")]
    LiteralTooLong {
        /// The length the server announced, in octets.
        announced: u64,
        /// [`Limits::max_inline_literal_octets`](crate::Limits::max_inline_literal_octets), in octets.
        limit: u64,
    },
    /// A literal length does not fit 64 bits. Taking the line for text would make mail content into responses.
    #[error("the server announced a literal whose length does not fit 64 bits")]
    LiteralLengthOverflow,
    /// A line that is neither untagged, nor a continuation, nor the answer to an unanswered command: the two
    /// sides disagree about where responses begin.
    #[error("the server sent a line that answers no open command: {line:?}")]
    UnknownTag {
        /// The start of the line, for a person to read.
        line: String,
    },
    /// Octets followed the OK of STARTTLS in clear text (response injection).
    #[error("{octets} octets followed the answer to STARTTLS in clear text")]
    InjectedBeforeTls {
        /// How many octets were waiting.
        octets: usize,
    },
}

/// How much of an offending line an error quotes, in octets.
const EXCERPT_OCTETS: usize = 80;

/// The start of `line` as text for an error.
pub(crate) fn excerpt(line: &[u8]) -> String {
    crate::printable::printable(&String::from_utf8_lossy(line.get(..EXCERPT_OCTETS).unwrap_or(line)))
}
