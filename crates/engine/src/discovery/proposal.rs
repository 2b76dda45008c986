//! Pure: from what the sources say to one proposal, and whether a person has to agree first.

use super::{Answer, Candidate, Certificates, Outcome, Source, Trust};

/// What is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The server, and the user names to try.
    pub candidate: Candidate,
    /// What other sources say instead: the first of each.
    pub instead: Vec<Candidate>,
    /// Why no credential goes there before a person agreed; `None` where none has to.
    pub asks: Option<Asks>,
}

/// Why a person has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// It is the word of the name service, which anybody on the way can forge.
    NameService,
    /// The domain's own name is all that speaks for it, and certificates are not checked.
    NoCertificate,
    /// The domain's server sent us to another host, which said it.
    Elsewhere,
    /// Another source names another server, and may be right: it is believed as much, or it is the domain's MX.
    Contradiction,
}

impl Asks {
    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::NameService => {
                "only the name service says so, without proof: whoever forges its answers would get the password"
            }
            Self::NoCertificate => {
                "only its name and its certificate speak for it, and certificates are not checked in this run"
            }
            Self::Elsewhere => "the domain's server sent us to another host, and that one says so",
            Self::Contradiction => "another source, which may be right, names another server",
        }
    }
}

/// The best candidate: by trust, then by source.
///
/// MX speaks of a server only where it leads to a provider of the table. Then it is asked, however well the best candidate is
/// proven: mail that went to Google for years is not in the mailbox that the domain's web host still has.
pub fn propose(answers: &[Answer], certificates: Certificates) -> Option<Proposal> {
    // Each source has put its own in order: SRV by preference (RFC 2782), which no certificate changes.
    let firsts = answers.iter().filter_map(|answer| match &answer.outcome {
        Outcome::Found(found) => found.first(),
        _ => None,
    });
    let mut firsts: Vec<&Candidate> = firsts.collect();
    firsts.sort_by_key(|c| (c.trust, c.source));
    let (best, others) = firsts.split_first()?;
    let instead: Vec<Candidate> =
        others.iter().filter(|c| c.endpoint.host != best.endpoint.host).map(|c| (*c).clone()).collect();
    let asks = match (best.trust, certificates) {
        (Trust::Dns, _) => Some(Asks::NameService),
        (Trust::Certificate, Certificates::Unchecked) => Some(Asks::NoCertificate),
        (Trust::Elsewhere, _) => Some(Asks::Elsewhere),
        (Trust::Shipped, _) => None,
        _ if instead.iter().any(|c| c.trust == best.trust || c.source == Source::Mx) => {
            Some(Asks::Contradiction)
        }
        _ => None,
    };
    Some(Proposal { candidate: (*best).clone(), instead, asks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint, Security};

    fn says(source: Source, trust: Trust, host: &str) -> Answer {
        let endpoint = Endpoint { host: host.into(), port: 993, security: Security::Tls };
        let users = vec!["ann".into()];
        let candidate = Candidate { endpoint, users, source, trust, provider: None };
        Answer { source, asked: "x".into(), outcome: Outcome::Found(vec![candidate]) }
    }

    fn best(answers: &[Answer], certificates: Certificates) -> (String, Option<Asks>, usize) {
        let proposal = propose(answers, certificates).unwrap();
        (proposal.candidate.endpoint.host, proposal.asks, proposal.instead.len())
    }

    #[test]
    fn the_more_trusted_source_is_proposed_and_the_others_are_kept() {
        use Certificates::{Checked, Unchecked};
        let dns = says(Source::Mx, Trust::Dns, "imap.gmail.com");
        let weak = says(Source::Srv, Trust::Dns, "imap.elsewhere.example");
        let srv = says(Source::Srv, Trust::Certificate, "imap.old.example");
        let probe = says(Source::Probe, Trust::Certificate, "mail.old.example");
        let same = says(Source::Probe, Trust::Certificate, "imap.old.example");
        let known = says(Source::WellKnown, Trust::Domain, "mail.hoster.example");
        let moved = says(Source::Autoconfig, Trust::Elsewhere, "imap.other.example");
        for (answers, certificates, expected) in [
            (vec![&dns], Checked, ("imap.gmail.com", Some(Asks::NameService), 0)),
            (vec![&weak, &srv], Checked, ("imap.old.example", None, 1)),
            (vec![&srv, &same], Checked, ("imap.old.example", None, 0)),
            (vec![&srv], Unchecked, ("imap.old.example", Some(Asks::NoCertificate), 0)),
            (vec![&srv, &probe], Checked, ("imap.old.example", Some(Asks::Contradiction), 1)),
            (vec![&srv, &known, &weak], Checked, ("mail.hoster.example", None, 2)),
            (vec![&known], Unchecked, ("mail.hoster.example", None, 0)),
            (vec![&moved], Checked, ("imap.other.example", Some(Asks::Elsewhere), 0)),
            (vec![&moved, &srv], Checked, ("imap.old.example", None, 1)),
        ] {
            let answers: Vec<Answer> = answers.into_iter().cloned().collect();
            let (host, asks, instead) = best(&answers, certificates);
            assert_eq!((host.as_str(), asks, instead), expected, "{answers:?}");
        }
        assert_eq!(propose(&[], Checked), None);
        let nothing =
            Answer { source: Source::Mx, asked: "x".into(), outcome: Outcome::Nothing("none".into()) };
        assert_eq!(propose(&[nothing], Checked), None);
    }
    #[test]
    fn a_provider_that_takes_the_mail_is_asked_about_where_another_server_would_get_the_password() {
        let mx = says(Source::Mx, Trust::Dns, "imap.gmail.com");
        for (says, expected) in [
            (says(Source::Probe, Trust::Certificate, "mail.old.example"), Some(Asks::Contradiction)),
            (says(Source::Autoconfig, Trust::Domain, "mail.hoster.example"), Some(Asks::Contradiction)),
            (says(Source::Autoconfig, Trust::Domain, "imap.gmail.com"), None),
            (says(Source::Table, Trust::Shipped, "imap.table.example"), None),
        ] {
            let host = says.clone();
            let (_, asks, _) = best(&[says, mx.clone()], Certificates::Checked);
            assert_eq!(asks, expected, "{host:?}");
        }
    }
    #[test]
    fn of_two_servers_of_one_source_the_preferred_one_is_proposed_also_where_the_other_one_is_better_proven()
    {
        let Outcome::Found(first) = says(Source::Srv, Trust::Dns, "imap.elsewhere.example").outcome else {
            panic!()
        };
        let mut answer = says(Source::Srv, Trust::Certificate, "backup.old.example");
        if let Outcome::Found(found) = &mut answer.outcome {
            found.splice(..0, first);
        }
        let expected = ("imap.elsewhere.example".to_owned(), Some(Asks::NameService), 0);
        assert_eq!(best(&[answer], Certificates::Checked), expected);
    }
}
