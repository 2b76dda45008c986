//! Pure: messages that the new server refuses or destroys as they are, for all that is known before anything is sent, and what a
//! repair makes of them (T4, T8: integrity.md 3.3).

use super::Known;
use super::display::amount;
use crate::names::printable;
use crate::profile::kept::Kept;
use std::fmt;

/// What the new server makes of octets outside ASCII in header fields, in the words of the probe.
const EIGHT_BIT: &str = "8-bit octets in a header";

/// Messages that cannot go as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotGo {
    /// Which.
    pub what: String,
    /// How many, as earlier runs met them; `None` where nothing but their octets tells.
    pub count: Option<u64>,
    /// Why, and who says so.
    pub reason: String,
    /// What a repair makes of them.
    pub repair: Repair,
}

/// What a repair makes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// T4, where such a form is allowed.
    Encodes,
    /// T8.
    Covers,
    /// T4 where it applies, else T8.
    EncodesOrCovers,
}

impl Repair {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encodes => "encodes",
            Self::Covers => "covers",
            Self::EncodesOrCovers => "encodes-or-covers",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Encodes => "a repair encodes these octets where the form of the field allows it",
            Self::Covers => "a repair attaches each, untouched, to a cover message",
            Self::EncodesOrCovers => {
                "a repair encodes octets outside ASCII in the header, else attaches the message, untouched, to a cover message"
            }
        }
    }
}

/// The line for a person who types no options.
impl fmt::Display for CannotGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count.map(|count| amount(count, "message", "messages"));
        let count = count.unwrap_or_else(|| "how many, nothing but their octets tells".to_owned());
        write!(f, "{} ({count}): {}; {}", self.what, self.reason, self.repair.words())
    }
}

impl CannotGo {
    /// The line, with the option that repairs where this run does not.
    pub fn with_option(&self, repairs: bool) -> String {
        format!("{self}: {}", if repairs { "this run does" } else { "--repair" })
    }
}

/// What is known of such messages: by a probe that is of this server, by what was read back, and by what earlier runs met.
pub(super) fn cannot_go(profile: Option<&Kept>, known: &Known) -> Vec<CannotGo> {
    let probe = profile.filter(|kept| kept.fits);
    let refuses = probe.into_iter().flat_map(|kept| {
        kept.profile.refuses().into_iter().map(|(what, words)| CannotGo {
            what: what.to_owned(),
            count: None,
            reason: format!("refused ({}), as probed on {}", printable(words), kept.day()),
            repair: if what == EIGHT_BIT { Repair::EncodesOrCovers } else { Repair::Covers },
        })
    });
    let destroys = known.munges.then(|| CannotGo {
        what: EIGHT_BIT.to_owned(),
        count: None,
        reason: match probe.filter(|kept| kept.profile.munges_headers() == Some(true)) {
            Some(kept) => format!("destroyed, as probed on {}", kept.day()),
            None => "destroyed, as an earlier run read it back".to_owned(),
        },
        repair: Repair::Encodes,
    });
    let met = |count: u64, what: &str, reason: &str| {
        let (what, reason) = (what.to_owned(), reason.to_owned());
        (count > 0).then_some(CannotGo { what, count: Some(count), reason, repair: Repair::EncodesOrCovers })
    };
    let refused = met(known.refused, "what earlier runs gave up", "refused by the new server as it is");
    let damaged = met(known.damaged, "what came back damaged", "an earlier run read back other octets");
    refuses.chain(destroys).chain(refused).chain(damaged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Profile, Treatment};
    use std::time::SystemTime;

    fn probed(profile: Profile) -> Kept {
        Kept { at: SystemTime::UNIX_EPOCH, profile, fits: true }
    }

    fn refused() -> Treatment {
        Treatment::Refused { words: "NO not\u{7}this".into() }
    }

    fn lines(profile: Option<&Kept>, known: &Known) -> Vec<String> {
        cannot_go(profile, known).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_probe_saw_refused_is_named_and_only_octets_tell_how_many_there_are() {
        let kept = probed(Profile { nul: refused(), hdr8bit: refused(), ..Profile::default() });
        let said = lines(Some(&kept), &Known::default());
        assert_eq!(
            said[0],
            "NUL (how many, nothing but their octets tells): refused (NO not<U+0007>this), as probed on 1970-01-01; a repair \
             attaches each, untouched, to a cover message"
        );
        assert!(said[1].contains("encodes octets outside ASCII in the header, else attaches"), "{said:?}");
        let of_another = Kept { fits: false, ..kept };
        assert!(lines(Some(&of_another), &Known::default()).is_empty(), "a probe of another server");
    }

    #[test]
    fn what_earlier_runs_met_is_counted() {
        let known = Known { refused: 3, damaged: 1, munges: true, ..Known::default() };
        let said = lines(None, &known);
        assert!(said[0].contains("destroyed, as an earlier run read it back"), "{said:?}");
        assert!(said[1].starts_with("what earlier runs gave up (3 messages): refused"), "{said:?}");
        assert!(said[2].starts_with("what came back damaged (1 message): "), "{said:?}");
        assert!(lines(None, &Known::default()).is_empty());
    }
}
