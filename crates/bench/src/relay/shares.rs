//! Who carries what: contiguous shares of an account of about the same weight.

/// What a message costs besides its octets, in octets.
const MESSAGE_OCTETS: u64 = 8 << 10;

/// A mailbox of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mailbox {
    /// As on the wire, quoted where it must be.
    pub(super) name: Vec<u8>,
    pub(super) messages: u32,
    pub(super) octets: u64,
}

/// Messages of one mailbox, by sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) mailbox: usize,
    pub(super) first: u32,
    pub(super) last: u32,
}

/// Reads `* STATUS name (MESSAGES n SIZE n)` (RFC 8438).
pub(super) fn status(line: &[u8]) -> Option<Mailbox> {
    let rest = line.strip_prefix(b"* STATUS ")?;
    let open = rest.windows(2).rposition(|two| two == b" (")?;
    let items = String::from_utf8_lossy(&rest[open..]).into_owned();
    let number = |name: &str| -> Option<u64> {
        let rest = items.split_once(name)?.1.trim_start();
        rest.split([' ', ')']).next()?.parse().ok()
    };
    let messages = u32::try_from(number("MESSAGES")?).ok()?;
    Some(Mailbox { name: rest[..open].to_vec(), messages, octets: number("SIZE")? })
}

/// Cuts the account into `count` shares, in its order; a mailbox is cut where a share ends.
pub(super) fn shares(mailboxes: &[Mailbox], count: usize) -> Vec<Vec<Range>> {
    let each = |mailbox: &Mailbox| mailbox.octets / u64::from(mailbox.messages.max(1)) + MESSAGE_OCTETS;
    let whole: u64 = mailboxes.iter().map(|mailbox| each(mailbox) * u64::from(mailbox.messages)).sum();
    let of_one = whole / count as u64 + 1;
    let mut shares = vec![Vec::new(); count];
    let mut before = 0;
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let each = each(mailbox);
        let mut first = 1;
        while first <= mailbox.messages {
            let share = ((before / of_one) as usize).min(count - 1);
            let room = (of_one * (share as u64 + 1) - before).div_ceil(each).max(1);
            let left = u64::from(mailbox.messages - first + 1);
            let taken = if share + 1 == count { left } else { room.min(left) };
            // no more than a u32 of messages is left
            let last = first + (taken as u32 - 1);
            shares[share].push(Range { mailbox: index, first, last });
            before += taken * each;
            first = last + 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(messages: u32) -> Mailbox {
        Mailbox { name: b"a".to_vec(), messages, octets: u64::from(messages) * 1_000 }
    }

    #[test]
    fn a_status_gives_name_and_sums_whatever_stands_in_the_name() {
        let line = b"* STATUS \"Clients (old)\" (MESSAGES 75 SIZE 24000000)\r\n";
        let expected = Mailbox { name: b"\"Clients (old)\"".to_vec(), messages: 75, octets: 24_000_000 };
        assert_eq!(status(line), Some(expected));
        assert_eq!(status(b"* LIST () \"/\" a\r\n"), None);
    }

    #[test]
    fn every_message_is_in_exactly_one_share_and_the_shares_are_about_equal() {
        for count in [1, 2, 4, 7] {
            for mailboxes in [vec![mailbox(1_000)], vec![mailbox(3), mailbox(0), mailbox(700), mailbox(297)]]
            {
                let shares = shares(&mailboxes, count);
                let mut next: Vec<u32> = vec![1; mailboxes.len()];
                for range in shares.iter().flatten() {
                    assert_eq!(range.first, next[range.mailbox], "ranges follow each other");
                    next[range.mailbox] = range.last + 1;
                }
                assert!(mailboxes.iter().zip(next).all(|(mailbox, next)| mailbox.messages + 1 == next));
                for share in &shares {
                    let messages: u32 = share.iter().map(|range| range.last - range.first + 1).sum();
                    assert!(messages.abs_diff(1_000 / count as u32) <= 3, "{messages} of {count} shares");
                }
            }
        }
    }
}
