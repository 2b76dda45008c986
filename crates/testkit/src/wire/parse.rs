//! Makes rows, messages and UIDs of the tokens of responses.

use crate::date::InternalDate;
use crate::image::{Content, Flags};

use super::response::Token;
use super::{AppendUid, Fetched, Listed, Namespace, WireError};

/// `(attributes) delimiter name`
pub(super) fn listed(tokens: &[Token]) -> Option<Listed> {
    let close = tokens.iter().position(|token| *token == Token::Close)?;
    let attributes = tokens[1..close].iter().filter_map(Token::text).collect();
    let delimiter = match tokens.get(close + 1)? {
        Token::Quoted(octets) => octets.first().map(|octet| char::from(*octet)),
        _ => None,
    };
    Some(Listed { name: tokens.get(close + 2)?.text()?, delimiter, attributes })
}

/// Three times NIL or `((prefix delimiter …) …)`; extensions of a row are skipped.
pub(super) fn namespace_lists(tokens: &[Token]) -> Result<[Vec<Namespace>; 3], WireError> {
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    let (mut list, mut depth, mut row) = (0, 0, Vec::new());
    for token in tokens {
        match token {
            Token::Open => {
                depth += 1;
                if depth == 2 {
                    row.clear();
                }
            }
            Token::Close => {
                depth -= 1;
                if depth == 1 && list < 3 {
                    lists[list].push(namespace(&row)?);
                }
                list += usize::from(depth == 0);
            }
            _ if depth == 0 => list += 1,
            other => row.push(other),
        }
    }
    if list == 3 { Ok(lists) } else { Err(WireError::protocol("a NAMESPACE without three lists")) }
}

fn namespace(row: &[&Token]) -> Result<Namespace, WireError> {
    let [prefix, delimiter, ..] = row else { return Err(WireError::protocol("a NAMESPACE row too short")) };
    Ok(Namespace {
        prefix: prefix.text().unwrap_or_default(),
        delimiter: match delimiter {
            Token::Quoted(octets) => octets.first().map(|octet| char::from(*octet)),
            _ => None,
        },
    })
}

/// A FETCH response with everything asked for; others (a flag change told unasked) are not for us.
pub(super) fn fetched(tokens: &[Token]) -> Result<Option<Fetched>, WireError> {
    // Not the words of a farewell: `* BYE FETCH failed`.
    let numbered = tokens.get(1).is_some_and(|token| token.number().is_some());
    if !numbered || !tokens.get(2).is_some_and(|word| word.is("FETCH")) {
        return Ok(None);
    }
    let (mut uid, mut flags, mut date, mut size, mut content) = (None, None, None, None, None);
    let mut rest = tokens.get(4..).unwrap_or_default();
    while let [key, value, ..] = rest {
        let mut used = 2;
        if key.is("UID") {
            uid = value.number();
        } else if key.is("RFC822.SIZE") {
            size = value.number();
        } else if key.is("INTERNALDATE") {
            date = value.text().as_deref().and_then(InternalDate::parse);
        } else if key.is("FLAGS") {
            let close = rest.iter().position(|token| *token == Token::Close);
            let close = close.ok_or_else(|| WireError::protocol("FLAGS without end"))?;
            flags = Some(Flags::new(rest[2..close].iter().filter_map(Token::text)));
            used = close + 1;
        } else if key.is("BODY[]") {
            content = match value {
                Token::Literal(content) => Some(content.clone()),
                Token::Quoted(octets) => Some(Content::of(octets.clone())),
                _ => None,
            };
        }
        rest = &rest[used..];
    }
    match (uid, flags, date, size, content) {
        (Some(uid), Some(flags), Some(internal_date), Some(rfc822_size_octets), Some(content)) => {
            Ok(Some(Fetched { uid: uid as u32, flags, internal_date, rfc822_size_octets, content }))
        }
        (_, Some(_), None, None, None) => Ok(None),
        _ => Err(WireError::protocol(format!("an incomplete FETCH: {tokens:?}"))),
    }
}

/// `… [APPENDUID validity set] …`
pub(super) fn append_uid(status: &str) -> Option<AppendUid> {
    let code = status.split_once("[APPENDUID ")?.1.split_once(']')?.0;
    let (validity, set) = code.split_once(' ')?;
    let mut uids = Vec::new();
    for range in set.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        uids.extend(first.min(last)..=first.max(last));
    }
    Some(AppendUid { uid_validity: validity.parse().ok()?, uids })
}

#[cfg(test)]
mod tests {
    use super::super::response::Response;
    use super::*;

    fn tokens(mut line: &[u8]) -> Vec<Token> {
        Response::read(&mut line, true).unwrap().tokens().unwrap()
    }

    #[test]
    fn a_fetch_is_read_in_any_order_of_its_items() {
        let line = b"* 2 FETCH (BODY[] {4}\r\n\r\n\r\n FLAGS (\\Seen \\Recent x) RFC822.SIZE 4 \
            INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" MODSEQ (7) UID 9)\r\n";
        let fetched = fetched(&tokens(line)).unwrap().unwrap();
        assert_eq!((fetched.uid, fetched.rfc822_size_octets), (9, 4));
        assert_eq!(fetched.flags, Flags::new(["x", "\\Seen"]));
        assert_eq!(fetched.content, Content::of(&b"\r\n\r\n"[..]));
    }

    #[test]
    fn a_flag_change_is_no_message_and_a_fetch_without_its_body_is_an_error() {
        assert!(fetched(&tokens(b"* 2 FETCH (UID 9 FLAGS (\\Seen))\r\n")).unwrap().is_none());
        let nil = b"* 2 FETCH (UID 9 FLAGS () RFC822.SIZE 4 INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" BODY[] NIL)\r\n";
        assert!(fetched(&tokens(nil)).is_err());
    }

    #[test]
    fn words_of_a_server_are_no_fetch() {
        for line in [&b"* BYE FETCH failed: Internal error occurred.\r\n"[..], b"* NO FETCH later\r\n"] {
            assert!(fetched(&tokens(line)).unwrap().is_none());
        }
    }

    #[test]
    fn namespaces_are_read_with_nil_and_extensions() {
        let line =
            b"* NAMESPACE ((\"INBOX.\" \".\" \"X\" (\"a\"))) NIL ((\"shared.\" \".\")(\"p.\" NIL))\r\n";
        let [personal, others, shared] = namespace_lists(&tokens(line)[2..]).unwrap();
        assert_eq!(personal, [Namespace { prefix: "INBOX.".into(), delimiter: Some('.') }]);
        assert!(others.is_empty());
        assert_eq!(shared[1], Namespace { prefix: "p.".into(), delimiter: None });
    }

    #[test]
    fn appenduid_sets_are_spelt_out() {
        let found = append_uid("k1 OK [APPENDUID 38505 3955,3957:3959] done").unwrap();
        assert_eq!(found, AppendUid { uid_validity: 38505, uids: vec![3955, 3957, 3958, 3959] });
        assert_eq!(append_uid("k1 OK done"), None);
    }
}
