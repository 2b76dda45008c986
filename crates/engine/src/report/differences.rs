//! Pure: flags and dates, judged at the first read-back only. What somebody changes later is not ours to judge.

use crate::journal::{Item, Ladder, Origin};
use crate::message::InternalDate;

/// What is to be said of the flags and the date of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differs {
    /// The flags read back are not those sent.
    pub flags: bool,
    /// The date read back is another instant than the one sent.
    pub date: bool,
    /// The source has flags that were not sent: ladder step T2, or flags no server takes in an APPEND.
    pub flags_not_sent: bool,
    /// The source has a date that was not sent: ladder step T3.
    pub date_not_sent: bool,
    /// The source's flags changed since they were sent.
    pub flags_changed_at_source: bool,
    /// The message was there before, with other flags than at the source; they were left alone.
    pub adopted_flags: bool,
}

impl Differs {
    /// True for what counts as a difference in the exit code.
    pub fn counts(&self) -> bool {
        self.flags || self.date || self.flags_not_sent || self.date_not_sent
    }
}

/// Compares what the source had, what was sent and what was read back.
pub fn judge(item: &Item) -> Differs {
    let Some(sent) = &item.sent else { return Differs::default() };
    let read = item.read_back.as_ref();
    if matches!(item.origin, Some(Origin::Adopted | Origin::Shared)) {
        let adopted = read.is_some_and(|read| read.flags.without_recent() != sent.flags.without_recent());
        return Differs { adopted_flags: adopted, ..Differs::default() };
    }
    let without_keywords = sent.ladder.has(Ladder::NO_KEYWORDS);
    let sendable = item.flags.sendable();
    let expected = if without_keywords { sendable.without_keywords() } else { sendable.clone() };
    Differs {
        flags: read.is_some_and(|read| read.flags.without_recent() != sent.flags.without_recent()),
        date: match (&sent.internal_date, read) {
            (Some(sent), Some(read)) => !same_instant(sent, read.internal_date.as_ref()),
            _ => false,
        },
        flags_not_sent: sendable != item.flags.without_recent()
            || (without_keywords && sendable.has_keywords()),
        date_not_sent: sent.ladder.has(Ladder::NO_DATE) && item.internal_date.is_some(),
        flags_changed_at_source: expected != sent.flags,
        adopted_flags: false,
    }
}

/// Dates are compared as instants; octets that name none are compared as they are.
fn same_instant(sent: &InternalDate, read: Option<&InternalDate>) -> bool {
    let Some(read) = read else { return false };
    match (sent.instant(), read.instant()) {
        (Some(a), Some(b)) => a == b,
        (None, None) => sent == read,
        _ => false,
    }
}

/// How many messages differ in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Differences {
    /// See [`Differs::flags`].
    pub flags: u64,
    /// See [`Differs::date`].
    pub dates: u64,
    /// See [`Differs::flags_not_sent`].
    pub flags_not_sent: u64,
    /// See [`Differs::date_not_sent`].
    pub dates_not_sent: u64,
    /// See [`Differs::flags_changed_at_source`].
    pub flags_changed_at_source: u64,
    /// See [`Differs::adopted_flags`].
    pub adopted_flags: u64,
}

impl Differences {
    /// Counts one message.
    pub fn add(&mut self, differs: &Differs) {
        self.flags += u64::from(differs.flags);
        self.dates += u64::from(differs.date);
        self.flags_not_sent += u64::from(differs.flags_not_sent);
        self.dates_not_sent += u64::from(differs.date_not_sent);
        self.flags_changed_at_source += u64::from(differs.flags_changed_at_source);
        self.adopted_flags += u64::from(differs.adopted_flags);
    }

    /// Adds those of another mailbox.
    pub fn add_all(&mut self, other: &Self) {
        self.flags += other.flags;
        self.dates += other.dates;
        self.flags_not_sent += other.flags_not_sent;
        self.dates_not_sent += other.dates_not_sent;
        self.flags_changed_at_source += other.flags_changed_at_source;
        self.adopted_flags += other.adopted_flags;
    }

    /// Differences that nobody was told of, given what was announced.
    pub fn unannounced(&self, flags_announced: bool, dates_announced: bool) -> u64 {
        let flags = if flags_announced { 0 } else { self.flags + self.flags_not_sent };
        let dates = if dates_announced { 0 } else { self.dates + self.dates_not_sent };
        flags + dates
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::journal::MailboxId;
    use crate::message::Flags;

    fn item(change: impl FnOnce(&mut Item)) -> Differs {
        let mut plain = example::complete();
        let item = plain.item(MailboxId(1), 1);
        change(item);
        judge(item)
    }

    fn sent(item: &mut Item) -> &mut crate::journal::Sent {
        item.sent.as_mut().unwrap()
    }

    #[test]
    fn keywords_that_were_not_sent_are_a_difference_and_no_change_at_the_source() {
        let differs = item(|item| {
            item.flags = Flags::from_octets("\\Seen $Forwarded");
            sent(item).ladder = Ladder::NO_KEYWORDS;
        });
        assert_eq!(differs, Differs { flags_not_sent: true, ..Differs::default() });
    }

    #[test]
    fn flags_that_no_server_takes_are_said_to_be_left_behind() {
        let differs = item(|item| item.flags = Flags::from_octets("\\Seen \\Recent \\Custom"));
        assert_eq!(differs, Differs { flags_not_sent: true, ..Differs::default() });
    }

    #[test]
    fn a_flag_set_at_the_source_after_the_copy_is_a_remark() {
        let differs = item(|item| item.flags = Flags::from_octets("\\Seen \\Answered"));
        assert_eq!(differs, Differs { flags_changed_at_source: true, ..Differs::default() });
        assert!(!differs.counts());
    }

    #[test]
    fn a_date_that_was_not_sent_is_a_difference_whatever_the_target_made_of_it() {
        let differs = item(|item| {
            sent(item).ladder = Ladder::NO_DATE;
            sent(item).internal_date = None;
        });
        assert_eq!(differs, Differs { date_not_sent: true, ..Differs::default() });
    }

    #[test]
    fn an_adopted_message_keeps_its_own_flags_and_that_is_no_difference() {
        let differs = item(|item| {
            item.origin = Some(Origin::Adopted);
            item.read_back.as_mut().unwrap().flags = Flags::default();
        });
        assert_eq!(differs, Differs { adopted_flags: true, ..Differs::default() });
        assert!(!differs.counts());
    }

    #[test]
    fn what_was_not_read_back_is_not_judged() {
        assert_eq!(item(|item| item.read_back = None), Differs::default());
        assert_eq!(item(|item| item.sent = None), Differs::default());
    }
}
