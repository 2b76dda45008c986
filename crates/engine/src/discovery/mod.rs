//! Finding the server of a mail address. The sources are asked at the same time, each within a limit; what each says, and how far
//! it is believed, is kept. The best one is proposed; what nobody proves needs a yes before a credential goes there. Deciding is
//! pure; only `dns`, `web` and `probe` ask anybody. docs/discovery.md says it for people.

mod address;
mod autoconfig;
mod autodiscover;
mod dns;
mod mx;
mod probe;
mod proposal;
mod provider;
mod srv;
mod web;
mod words;

pub use address::{Address, AddressError};
pub use dns::{Dns, MxRecord, SrvRecord};
pub use proposal::{Asks, Proposal, propose};
pub use provider::{Provider, providers};

use crate::config::{Endpoint, Trust as Believed};
use crate::limits::{DISCOVERY_SOURCE_TIME_MAX, Limits};
use crate::net::{Dialer, Http, Proxies};
use futures_util::future::BoxFuture;
use std::time::Duration;

/// Who says where the mail of an address lies, in the order in which they are believed where they are believed alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The table that is shipped with the program.
    Table,
    /// `https://autoconfig.DOMAIN/`.
    Autoconfig,
    /// `https://DOMAIN/.well-known/autoconfig/`.
    WellKnown,
    /// `https://autodiscover.DOMAIN/`.
    Autodiscover,
    /// SRV records (RFC 6186).
    Srv,
    /// The usual names, by looking who answers.
    Probe,
    /// MX records, and the table.
    Mx,
}

/// How far a source is believed, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// It came with the program.
    Shipped,
    /// A host of the domain said so over https: its certificate speaks for the domain.
    Domain,
    /// The server lies in the domain: its certificate will speak for it, before anything is sent.
    Certificate,
    /// Another host, to which that of the domain sent us, said so over https.
    Elsewhere,
    /// The name service alone says so.
    Dns,
}

/// Whether the certificates of mail servers are checked in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// They are.
    Checked,
    /// Any is accepted, so that a name proves nothing.
    Unchecked,
}

/// A server that may be the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The server. Never one in clear text.
    pub endpoint: Endpoint,
    /// The user names to try: one, where the source says which; else the address, then what is before its `@`. None where the
    /// provider has names of its own, and nobody but a person knows which: see [`Provider::user`].
    pub users: Vec<String>,
    /// Who says so.
    pub source: Source,
    /// How far that is believed.
    pub trust: Trust,
    /// Whose server it is, where the table knows.
    pub provider: Option<&'static Provider>,
}

/// What a source said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Candidates, the best first.
    Found(Vec<Candidate>),
    /// It was asked, and knows of none: why.
    Nothing(String),
    /// It could not be asked, or gave no answer: why.
    Silent(String),
}

/// A source and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which one.
    pub source: Source,
    /// The hosts or names that were asked.
    pub asked: String,
    /// What it said.
    pub outcome: Outcome,
}

/// All that was found out about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The address.
    pub address: Address,
    /// What each source said, in the order of [`Source`].
    pub answers: Vec<Answer>,
    /// What is proposed, if anything.
    pub proposal: Option<Proposal>,
}

impl Discovery {
    /// Nobody outside this machine answered at all: there is no network, or a proxy is between.
    pub fn is_offline(&self) -> bool {
        self.answers.iter().all(|a| matches!(a.outcome, Outcome::Silent(_)))
    }
}

/// Who is asked, and how they are reached.
#[derive(Clone, Debug)]
pub struct Discoverer {
    /// The name service.
    pub dns: Dns,
    /// How hosts are reached.
    pub dialer: Dialer,
    /// The proxies before web servers.
    pub proxies: Proxies,
    /// Whose certificates are believed. Web servers are judged by the system's roots and the CA files alone.
    pub trust: Believed,
    /// Limits of connections.
    pub limits: Limits,
    /// How long each source may take.
    pub patience: Duration,
}

impl Discoverer {
    /// The name servers of this machine, and TCP.
    pub fn new(trust: Believed, limits: Limits) -> Self {
        let patience = DISCOVERY_SOURCE_TIME_MAX;
        let (dns, proxies) = (Dns::system(), Proxies::default());
        Self { dns, dialer: Dialer::Tcp, proxies, trust, limits, patience }
    }

    /// Asks all sources at the same time. Where the shipped table knows the domain, nobody is asked: it is the surest source, and
    /// nobody else needs to hear of the address.
    pub async fn discover(&self, address: &Address) -> Discovery {
        let answers = match Provider::of_domain(address.domain()) {
            Some(provider) => {
                let found = vec![provider.candidate(address, Source::Table, Trust::Shipped)];
                vec![table(Outcome::Found(found))]
            }
            None => self.ask(address).await,
        };
        let certificates = if self.trust.anything { Certificates::Unchecked } else { Certificates::Checked };
        let proposal = propose(&answers, certificates).map(|mut proposal| {
            let host = &proposal.candidate.endpoint.host;
            proposal.candidate.provider = proposal.candidate.provider.or_else(|| Provider::of_host(host));
            proposal
        });
        Discovery { address: address.clone(), answers, proposal }
    }

    async fn ask(&self, address: &Address) -> Vec<Answer> {
        let web = Believed { ca_files: self.trust.ca_files.clone(), ..Believed::default() };
        let http = &Http::over(self.dialer.clone(), web, self.limits.clone()).through(self.proxies.clone());
        let mut asking: Vec<(Source, BoxFuture<'_, Answer>)> = Vec::new();
        for (source, url) in autoconfig::urls(address) {
            asking.push((source, Box::pin(web::autoconfig(http, address, source, url))));
        }
        asking.push((Source::Autodiscover, Box::pin(web::autodiscover(http, address))));
        asking.push((Source::Srv, Box::pin(self.srv(address))));
        asking.push((Source::Probe, Box::pin(probe::probe(self, address))));
        asking.push((Source::Mx, Box::pin(self.mx(address))));
        let limited = asking.into_iter().map(|(source, answer)| async move {
            if source == Source::Probe {
                // It limits each host itself: what the others answered is not lost over one that does not.
                return answer.await;
            }
            let late = |_| Answer {
                source,
                asked: address.domain().to_owned(),
                outcome: Outcome::Silent(format!("no answer within {:?}", self.patience)),
            };
            tokio::time::timeout(self.patience, answer).await.unwrap_or_else(late)
        });
        futures_util::future::join_all(limited).await
    }

    async fn srv(&self, address: &Address) -> Answer {
        let [(imaps, _), (imap, _)] = srv::questions(address);
        let (first, second) = tokio::join!(self.dns.srv(&imaps), self.dns.srv(&imap));
        srv::judge(address, [first, second])
    }

    async fn mx(&self, address: &Address) -> Answer {
        let outcome = match self.dns.mx(address.domain()).await {
            Ok(records) => mx::read(address, records),
            Err(why) => Outcome::Silent(why),
        };
        Answer { source: Source::Mx, asked: address.domain().to_owned(), outcome }
    }
}

fn table(outcome: Outcome) -> Answer {
    Answer { source: Source::Table, asked: "the table of providers in this program".into(), outcome }
}

/// The user names of an address where nobody says which: two and no more, since each wrong one may count for a lock-out.
fn both_names(address: &Address) -> Vec<String> {
    vec![address.to_string(), address.local().to_owned()]
}
