//! Listings that a server cuts (MESSAGELIMIT, RFC 9738): it answers for the highest UIDs asked for and names the lowest of
//! them, so that the rest is asked for below it.

use crate::message::Key;
use mailhaul_imap::{Condition, ResponseCode, StatusText, Untagged};

/// How far down a listing has come.
#[derive(Debug)]
pub(crate) struct Cut {
    from: Key,
    /// The lowest UID done by the commands before.
    done: Option<Key>,
    /// The lowest UID done by this one, where it was cut.
    told: Option<Key>,
}

impl Cut {
    /// A listing of all UIDs from `from` on.
    pub(crate) fn new(from: Key) -> Self {
        Self { from, done: None, told: None }
    }

    /// The limit may be told in an untagged NO, where the tagged OK has another code.
    pub(crate) fn note(&mut self, data: &Untagged) {
        if let Untagged::Status(Condition::No, text) = data {
            self.note_text(text);
        }
    }

    fn note_text(&mut self, text: &StatusText) {
        if let Some(ResponseCode::MessageLimit { lowest: Some(lowest), .. }) = &text.code {
            self.told = Some(Key(lowest.get().into()));
        }
    }

    /// The command is over with a tagged OK and this text: the highest UID to ask for next, or `None` where nothing is left
    /// or the server came no further down than before.
    pub(crate) fn rest(&mut self, text: &StatusText) -> Option<Key> {
        self.note_text(text);
        let lowest = self.told.take()?;
        let came_down = self.done.is_none_or(|done| lowest < done);
        self.done = Some(lowest);
        (came_down && lowest > self.from).then_some(Key(lowest.0 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn text(text: &'static str) -> StatusText {
        StatusText::parse(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_listing_goes_on_below_the_lowest_uid_done_until_nothing_is_left() {
        let mut cut = Cut::new(Key(5));
        assert_eq!(cut.rest(&text("[MESSAGELIMIT 3 20] cut")), Some(Key(19)));
        cut.note(&Untagged::Status(Condition::No, text("[MESSAGELIMIT 3 9] cut")));
        assert_eq!(cut.rest(&text("[HIGHESTMODSEQ 7] done")), Some(Key(8)));
        assert_eq!(cut.rest(&text("done")), None, "the last piece is whole");
        assert_eq!(cut.rest(&text("[MESSAGELIMIT 3 5] cut")), None, "nothing is below");
    }

    #[test]
    fn a_server_that_names_the_same_uid_again_is_not_asked_for_ever() {
        let mut cut = Cut::new(Key(1));
        assert_eq!(cut.rest(&text("[MESSAGELIMIT 3 20] cut")), Some(Key(19)));
        assert_eq!(cut.rest(&text("[MESSAGELIMIT 3 20] cut")), None);
        assert_eq!(cut.rest(&text("[MESSAGELIMIT 3] how far?")), None);
    }
}
