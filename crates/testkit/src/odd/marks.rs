//! Flags and dates that servers were seen to change or refuse.

/// Sets of flags as they stand between the parentheses of an APPEND.
#[must_use]
pub fn flag_sets() -> Vec<String> {
    let keywords = |count: usize| (0..count).map(|n| format!("kw{n:03}")).collect::<Vec<_>>().join(" ");
    let mut sets: Vec<String> = FLAG_SETS.iter().map(|set| (*set).to_owned()).collect();
    sets.extend([50, 200, 1000].map(|length| "k".repeat(length)));
    // 26 is what the letters of a Maildir file name hold, 100 what a mailbox of Cyrus does.
    sets.extend([30, 110].map(keywords));
    sets
}

const FLAG_SETS: [&str; 39] = [
    "",
    "\\Seen",
    "\\Answered \\Flagged \\Deleted \\Seen \\Draft",
    "$Forwarded",
    "$forwarded",
    "$FORWARDED",
    "NonJunk",
    "$MDNSent $Junk $NotJunk",
    "$Label1 $Label2",
    "\\Recent",
    "\\Foo",
    "\\*",
    "a.b",
    "a+b",
    "a:b/c",
    "[x]",
    "x]",
    "a&b",
    "a,b",
    "a=b;c",
    "a'b|c~",
    "a`b^c",
    "NIL",
    "123",
    "-",
    "_",
    "a{b",
    "a%b",
    "a*b",
    "a\"b",
    "a\\b",
    "schön",
    "&AOQ-",
    "\\Seen \\Seen $Forwarded $Forwarded",
    "Foo foo FOO",
    "unread",
    "Junk",
    "\\Important",
    "\\seen \\SEEN",
];

/// What stands between the quotes of an INTERNALDATE; `None` sends none.
pub const DATES: &[Option<&str>] = &[
    None,
    Some(" 3-Mar-2020 10:11:12 +0000"),
    Some("03-Mar-2020 10:11:12 +0000"),
    Some("3-Mar-2020 10:11:12 +0000"),
    Some("03-Mar-2020 10:11:12 +0530"),
    Some("03-Mar-2020 10:11:12 -0800"),
    Some("03-Mar-2020 10:11:12 -0000"),
    Some("03-Mar-2020 10:11:12 +1400"),
    Some("03-Mar-2020 10:11:12 +2359"),
    Some("03-MAR-2020 10:11:12 +0000"),
    Some("31-Dec-2016 23:59:60 +0000"),
    Some("01-Jan-1970 00:00:00 +0000"),
    Some("01-Jan-1970 00:00:01 +0000"),
    Some("01-Jan-1970 00:00:00 +0100"),
    Some("31-Dec-1969 23:59:59 +0000"),
    Some("01-Jan-1960 12:00:00 +0000"),
    Some("14-Dec-1901 00:00:00 +0000"),
    Some("01-Jan-1900 00:00:00 +0000"),
    Some("01-Jan-1601 00:00:00 +0000"),
    Some("01-Jan-0001 00:00:00 +0000"),
    Some("31-Dec-2037 23:59:59 +0000"),
    Some("01-Jan-2038 00:00:00 +0000"),
    Some("18-Jan-2038 03:14:07 +0000"),
    Some("19-Jan-2038 03:14:07 +0000"),
    Some("20-Jan-2038 00:00:00 +0000"),
    Some("07-Feb-2106 06:28:16 +0000"),
    Some("01-Jan-2107 00:00:00 +0000"),
    Some("01-Jan-2200 00:00:00 +0000"),
    Some("31-Dec-9999 23:59:59 +0000"),
    Some("30-Feb-2020 10:00:00 +0000"),
    Some("29-Feb-2019 10:00:00 +0000"),
    Some("00-Jan-2020 00:00:00 +0000"),
    Some("01-Jan-20 00:00:00 +0000"),
    Some(""),
    Some("x"),
];
