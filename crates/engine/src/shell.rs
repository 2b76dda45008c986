//! Pure: words of a command line that a person copies into a shell.

use crate::names::printable;

/// Whose rules a command line follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// That of Unix.
    Posix,
    /// cmd and PowerShell, as far as one line can be meant for both.
    Windows,
}

impl Shell {
    /// That of the system this runs on.
    pub const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Posix };

    /// One word: as it is where no shell sees anything in it, else in quotes. What moves a cursor is written as a number.
    pub fn word(self, text: &str) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
        if printable(text) != text {
            self.in_numbers(text)
        } else if text.chars().all(is_plain) {
            text.to_owned()
        } else {
            self.quoted(text)
        }
    }

    /// One word in quotes, whatever is in it.
    pub fn quoted(self, text: &str) -> String {
        match self {
            Self::Posix => format!("'{}'", text.replace('\'', r"'\''")),
            // Only single quotes keep these from PowerShell, whose older versions hand a double quote on as it is. cmd cannot write
            // them in the same form.
            Self::Windows if text.contains(['$', '`', '"', '“', '”', '„']) => {
                let text = with_quotes(text);
                let double = |c: char| matches!(c, '\'' | '‘' | '’' | '‚' | '‛');
                let twice = text.chars().flat_map(|c| std::iter::repeat_n(c, 1 + usize::from(double(c))));
                format!("'{}'", twice.collect::<String>())
            }
            Self::Windows => {
                // As cmd has it, where a program takes a backslash before the last quote for half of one. PowerShell drops quotes
                // that it does not need, and then both of them are in the word.
                let slashes = text.len() - text.trim_end_matches('\\').len();
                format!("\"{text}{}\"", "\\".repeat(slashes))
            }
        }
    }

    /// One word with control characters, as bash and PowerShell read them.
    fn in_numbers(self, text: &str) -> String {
        let is_shown = |c: char| printable(&c.to_string()).chars().eq([c]);
        let text = if self == Self::Windows { with_quotes(text) } else { text.to_owned() };
        let one = |c: char| match self {
            Self::Posix if matches!(c, '\'' | '\\') => format!("\\{c}"),
            Self::Windows if matches!(c, '`' | '$' | '"' | '“' | '”' | '„') => format!("`{c}"),
            _ if is_shown(c) => c.to_string(),
            Self::Posix => format!("\\U{:08X}", u32::from(c)),
            Self::Windows => format!("$([char]::ConvertFromUtf32(0x{:X}))", u32::from(c)),
        };
        let word: String = text.chars().map(one).collect();
        match self {
            Self::Posix => format!("$'{word}'"),
            Self::Windows => format!("\"{word}\""),
        }
    }

    /// What has to be known of a command line before it is copied; empty where nothing has.
    pub fn on_copying(self) -> &'static str {
        match self {
            Self::Posix => "",
            Self::Windows => {
                "Paste it into a window of cmd or PowerShell, not into a file: there a percent sign means something else."
            }
        }
    }

    /// The command that prints the SHA-256 of a file.
    pub fn sha256(self, file: &str) -> String {
        match self {
            Self::Posix => format!("sha256sum {}", self.word(file)),
            Self::Windows => format!("certutil -hashfile {} SHA256", self.word(file)),
        }
    }
}

/// Double quotes as a program of Windows reads them within a word: each behind a backslash, and backslashes before one twice.
fn with_quotes(text: &str) -> String {
    let (mut written, mut slashes) = (String::new(), 0);
    for c in text.chars() {
        if c == '"' {
            written.push_str(&"\\".repeat(slashes + 1));
        }
        slashes = if c == '\\' { slashes + 1 } else { 0 };
        written.push(c);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_word_of_a_shell_of_unix_whatever_is_in_it() {
        for (value, word) in [
            ("ann@old.example", "ann@old.example"),
            ("-old", "-old"),
            ("Old mail", "'Old mail'"),
            ("o'neill", r"'o'\''neill'"),
            ("$HOME `x` %A% \"q\"", "'$HOME `x` %A% \"q\"'"),
            ("a\u{1b}[2J'\\b", r"$'a\U0000001B[2J\'\\b'"),
        ] {
            assert_eq!(Shell::Posix.word(value), word);
        }
        assert_eq!(Shell::Posix.quoted("ann"), "'ann'");
        assert_eq!(Shell::Posix.sha256("manifest.ndjson"), "sha256sum manifest.ndjson");
    }

    #[test]
    fn a_value_is_one_word_of_cmd_and_powershell_where_both_can_write_it() {
        for (value, word) in [
            ("ann@old.example", "ann@old.example"),
            ("Old mail", "\"Old mail\""),
            ("o'neill", "\"o'neill\""),
            ("imaps://ann@old.example", "\"imaps://ann@old.example\""),
            ("a&b|c<d>e^f(g);h,{i}", "\"a&b|c<d>e^f(g);h,{i}\""),
            // The last backslash would take the quote into the word.
            ("DOMAIN\\admin\\", "\"DOMAIN\\admin\\\\\""),
            // These only PowerShell can write.
            ("$x 'y' `z`", "'$x ''y'' `z`'"),
            ("say \"x\"", "'say \\\"x\\\"'"),
            ("a\\b\\\"x", "'a\\b\\\\\\\"x'"),
            ("a\u{1b}\"", "\"a$([char]::ConvertFromUtf32(0x1B))\\`\"\""),
            ("a\u{1b}$b", "\"a$([char]::ConvertFromUtf32(0x1B))`$b\""),
        ] {
            assert_eq!(Shell::Windows.word(value), word);
        }
        assert_eq!(Shell::Windows.quoted("ann"), "\"ann\"");
        assert_eq!(Shell::Windows.sha256("manifest.ndjson"), "certutil -hashfile manifest.ndjson SHA256");
    }
}
