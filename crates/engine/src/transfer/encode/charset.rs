//! In what charset the text of a field is said to be, and where in it a character ends.

/// Charsets in which ASCII is ASCII and any other character is octets of its own, by the names that mail gives them.
const SINGLE: [&str; 55] = [
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-3",
    "iso-8859-4",
    "iso-8859-5",
    "iso-8859-6",
    "iso-8859-7",
    "iso-8859-8",
    "iso-8859-8-i",
    "iso-8859-9",
    "iso-8859-10",
    "iso-8859-11",
    "iso-8859-13",
    "iso-8859-14",
    "iso-8859-15",
    "iso-8859-16",
    "iso8859-1",
    "iso8859-2",
    "iso8859-15",
    "iso_8859-1",
    "latin1",
    "latin-1",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "windows-1258",
    "windows-874",
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "cp1258",
    "cp437",
    "cp850",
    "cp852",
    "cp866",
    "ibm437",
    "ibm850",
    "ibm852",
    "ibm866",
    "koi8-r",
    "koi8-u",
    "macintosh",
    "x-mac-cyrillic",
    "x-mac-roman",
    "tis-620",
];
/// Those of more octets.
const MULTI: [(&str, Widths); 22] = [
    ("gb2312", Widths::Gb),
    ("gbk", Widths::Gb),
    ("x-gbk", Widths::Gb),
    ("cp936", Widths::Gb),
    ("gb18030", Widths::Gb),
    ("euc-cn", Widths::Gb),
    ("big5", Widths::Two),
    ("big5-hkscs", Widths::Two),
    ("cp950", Widths::Two),
    ("euc-kr", Widths::Two),
    ("ks_c_5601-1987", Widths::Two),
    ("ks_c_5601", Widths::Two),
    ("cp949", Widths::Two),
    ("windows-949", Widths::Two),
    ("shift_jis", Widths::ShiftJis),
    ("shift-jis", Widths::ShiftJis),
    ("x-sjis", Widths::ShiftJis),
    ("windows-31j", Widths::ShiftJis),
    ("cp932", Widths::ShiftJis),
    ("euc-jp", Widths::EucJp),
    ("x-euc-jp", Widths::EucJp),
    ("euc-tw", Widths::EucTw),
];

/// How many octets a character has, by its first ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Widths {
    Utf8,
    One,
    Two,
    /// Of GB 18030, and of what it contains.
    Gb,
    ShiftJis,
    EucJp,
    EucTw,
}

/// The charset of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charset {
    pub(super) name: &'static str,
    widths: Widths,
}

impl Charset {
    const UTF8: Self = Self { name: "utf-8", widths: Widths::Utf8 };
    /// RFC 1428: what it is is not known.
    pub(super) const UNKNOWN: Self = Self { name: "unknown-8bit", widths: Widths::One };

    /// The one that a message declares; `None` for one in which the octets of a field cannot be (UTF-8, which they are not,
    /// ASCII), or which is not known to contain ASCII, or whose characters are not known.
    pub(super) fn declared(name: &[u8]) -> Option<Self> {
        let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        let single = SINGLE.iter().find(|known| is(known)).map(|name| Self { name, widths: Widths::One });
        let multi = || MULTI.iter().find(|(known, _)| is(known));
        single.or_else(|| multi().map(|(name, widths)| Self { name, widths: *widths }))
    }

    /// That of these octets.
    pub(super) fn of(octets: &[u8], declared: Option<Self>) -> Self {
        match std::str::from_utf8(octets) {
            Ok(_) => Self::UTF8,
            Err(_) => declared.filter(|declared| declared.fits(octets)).unwrap_or(Self::UNKNOWN),
        }
    }

    /// Octets of its characters may look like a backslash.
    pub(super) fn hides_ascii(self) -> bool {
        !matches!(self.widths, Widths::Utf8 | Widths::One)
    }

    /// These are whole characters. None of their octets is like white space or what divides a field, so that each piece
    /// of the field is whole characters, too.
    fn fits(self, octets: &[u8]) -> bool {
        let mut rest = octets;
        while let Some(first) = rest.first() {
            let width = self.width(rest);
            let Some(trail) = rest.get(1..width) else { return false };
            let is_trail = |octet: &u8| *octet >= 0x40 || (width == 4 && octet.is_ascii_digit());
            let is_character = first.is_ascii() || width > 1 || self.stands_alone(*first);
            if !is_character || !trail.iter().all(is_trail) {
                return false;
            }
            rest = &rest[width..];
        }
        true
    }

    /// An octet outside ASCII that is a character.
    fn stands_alone(self, octet: u8) -> bool {
        match self.widths {
            Widths::One => true,
            Widths::ShiftJis => matches!(octet, 0xa1..=0xdf),
            _ => false,
        }
    }

    /// How many octets belong together at the beginning of these: none of a character is torn from the rest.
    pub(super) fn unit(self, octets: &[u8]) -> usize {
        self.width(octets).min(octets.len())
    }

    fn width(self, octets: &[u8]) -> usize {
        let second = octets.get(1);
        match (self.widths, octets.first()) {
            (Widths::Utf8, Some(0xf0..)) => 4,
            (Widths::Utf8, Some(0xe0..)) => 3,
            (Widths::Utf8, Some(0xc0..)) => 2,
            (Widths::Gb, Some(0x81..=0xfe)) if second.is_some_and(u8::is_ascii_digit) => 4,
            (Widths::Gb | Widths::Two, Some(0x81..=0xfe)) => 2,
            (Widths::ShiftJis, Some(0x81..=0x9f | 0xe0..=0xfc)) => 2,
            (Widths::EucTw, Some(0x8e)) => 4,
            (Widths::EucJp, Some(0x8f)) => 3,
            (Widths::EucJp, Some(0x8e)) => 2,
            (Widths::EucJp | Widths::EucTw, Some(0xa1..=0xfe)) => 2,
            _ => 1,
        }
    }
}
