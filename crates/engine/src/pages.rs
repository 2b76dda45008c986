//! The page of the documents that a text points to: that about logging in. Whoever embeds the engine carries it; the command line
//! shows it by `mailhaul docs`, its page in the browser by a link.

use std::fmt;

/// A heading of that page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// As links write it.
    pub heading: &'static str,
}

impl Reference {
    /// The page, as `mailhaul docs` calls it.
    pub const PAGE: &'static str = "login";

    /// This heading.
    pub const fn login(heading: &'static str) -> Self {
        Self { heading }
    }
}

/// The command that shows it.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mailhaul docs {} {}", Self::PAGE, self.heading)
    }
}
