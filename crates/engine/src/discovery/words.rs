//! Pure: what was found out, for people and for programs.

use super::{Answer, Candidate, Discovery, Outcome, Source, Trust};
use crate::names::printable;
use crate::pages::Reference;
use serde::Serialize;
use serde::ser::Serializer;

impl Source {
    /// What a person calls it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Table => "its table of providers",
            Self::Autoconfig => "autoconfig of the domain",
            Self::WellKnown => "autoconfig on the domain's web site",
            Self::Autodiscover => "Autodiscover of the domain",
            Self::Srv => "SRV records",
            Self::Probe => "the usual names",
            Self::Mx => "who takes the domain's mail (MX)",
        }
    }
}

impl Trust {
    /// What a person is told of it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Shipped => "known to this program",
            Self::Domain => "said by the domain itself over https",
            Self::Certificate => "in the domain, proven by its certificate",
            Self::Elsewhere => "said by another host that the domain's server sent us to",
            Self::Dns => "said by the name service, without proof",
        }
    }
}

impl Candidate {
    fn url(&self) -> String {
        format!("{}://{}", self.endpoint.scheme(), self.endpoint.authority())
    }
}

impl Discovery {
    /// One line: what is proposed, whose it is, and who says so.
    pub fn headline(&self) -> Option<String> {
        let proposal = self.proposal.as_ref()?;
        let Candidate { source, trust, provider, .. } = &proposal.candidate;
        let whose = provider.map_or(String::new(), |p| format!(" ({})", p.name));
        let url = proposal.candidate.url();
        Some(format!("{}: {url}{whose}; {}, from {}", self.address, trust.words(), source.words()))
    }

    /// What the provider takes, where it is known to take no account password from programs like this one.
    pub fn takes_instead(&self) -> Option<String> {
        let provider = self.proposal.as_ref()?.candidate.provider?;
        if provider.login.contains(&"password") {
            return None;
        }
        let word = |login: &&str| match *login {
            "oauth" => "OAuth",
            _ => "an app password",
        };
        let ways: Vec<&str> = provider.login.iter().map(word).collect();
        Some(format!("{} takes no account password here, but {}", provider.name, ways.join(" or ")))
    }

    /// Where more stands about a login at this provider.
    pub fn more(&self) -> Option<Reference> {
        self.proposal.as_ref()?.candidate.provider?.more()
    }

    /// What each source said, a line each, and what contradicts the proposal.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.answers.iter().map(line).collect();
        if let Some(proposal) = &self.proposal {
            let others = proposal.instead.iter();
            lines.extend(others.map(|c| format!("  but {} would be {}", c.source.words(), c.url())));
        }
        lines
    }
}

fn line(answer: &Answer) -> String {
    let said = match &answer.outcome {
        Outcome::Found(found) => {
            let each = found.iter().map(|c| format!("{} ({})", c.url(), c.trust.words()));
            each.collect::<Vec<_>>().join(", ")
        }
        Outcome::Nothing(why) => format!("nothing: {}", printable(why)),
        Outcome::Silent(why) => format!("no answer: {}", printable(why)),
    };
    format!("  {}: {said}", answer.source.words())
}

/// For `check --json`.
impl Serialize for Discovery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View {
            address: String,
            proposed: Option<String>,
            users: Vec<String>,
            asks: Option<&'static str>,
            offline: bool,
            answers: Vec<AnswerView>,
        }
        #[derive(Serialize)]
        struct AnswerView {
            source: &'static str,
            asked: String,
            found: Vec<FoundView>,
            why: Option<String>,
        }
        #[derive(Serialize)]
        struct FoundView {
            server: String,
            trust: &'static str,
        }
        let answers = self.answers.iter().map(|answer| AnswerView {
            source: answer.source.words(),
            asked: answer.asked.clone(),
            found: match &answer.outcome {
                Outcome::Found(found) => {
                    found.iter().map(|c| FoundView { server: c.url(), trust: c.trust.words() }).collect()
                }
                _ => Vec::new(),
            },
            why: match &answer.outcome {
                Outcome::Found(_) => None,
                Outcome::Nothing(why) | Outcome::Silent(why) => Some(why.clone()),
            },
        });
        let proposal = self.proposal.as_ref();
        View {
            address: self.address.to_string(),
            proposed: proposal.map(|p| p.candidate.url()),
            users: proposal.map(|p| p.candidate.users.clone()).unwrap_or_default(),
            asks: proposal.and_then(|p| p.asks).map(super::Asks::words),
            offline: self.is_offline(),
            answers: answers.collect(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Address, Certificates, Provider, propose};
    use super::*;

    fn known(address: &str) -> Discovery {
        let address = Address::parse(address).unwrap();
        let provider = Provider::of_domain(address.domain()).unwrap();
        let found = vec![provider.candidate(&address, Source::Table, Trust::Shipped)];
        let answers = vec![super::super::table(Outcome::Found(found))];
        let proposal = propose(&answers, Certificates::Checked);
        Discovery { address, answers, proposal }
    }

    #[test]
    fn a_provider_that_takes_no_password_is_told_before_one_is_asked_for() {
        let gmail = known("ann@gmail.com");
        assert_eq!(
            gmail.takes_instead().unwrap(),
            "Gmail takes no account password here, but OAuth or an app password"
        );
        assert_eq!(gmail.more(), Some(Reference::login("google")));
        assert_eq!(
            gmail.headline().unwrap(),
            "ann@gmail.com: imaps://imap.gmail.com:993 (Gmail); known to this program, from its table of providers"
        );
        assert_eq!(known("ann@orange.fr").takes_instead(), None);
    }

    #[test]
    fn what_servers_say_cannot_play_with_the_terminal() {
        let answers = vec![Answer {
            source: Source::Probe,
            asked: "x".into(),
            outcome: Outcome::Silent("NO \u{1b}[2J".into()),
        }];
        let address = Address::parse("ann@old.example").unwrap();
        let lines = Discovery { address, answers, proposal: None }.lines();
        assert_eq!(lines, ["  the usual names: no answer: NO <U+001B>[2J"]);
    }
}
