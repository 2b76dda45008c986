//! Looking whether an IMAP server answers under the usual names: greeting and TLS, and then goodbye. Nobody logs in.

use super::address::Address;
use super::{Answer, Candidate, Discoverer, Outcome, Source, Trust};
use crate::config::{Endpoint, Security};
use crate::imap_session::look;
use crate::limits::{
    DISCOVERY_CONNECT_TIME_MAX, DISCOVERY_GOODBYE_TIME_MAX, DISCOVERY_PORT_TIME_MAX, Limits,
};

/// The usual names, the likeliest first.
fn hosts(address: &Address) -> [String; 3] {
    let domain = address.domain();
    [format!("imap.{domain}"), format!("mail.{domain}"), domain.to_owned()]
}

/// Port 993 of each name, and where that is no IMAP server, port 143 with STARTTLS. Only who shows a good certificate for the name
/// counts. Each port has its own limit: a host that does not answer is silent for itself alone.
pub(super) async fn probe(discoverer: &Discoverer, address: &Address) -> Answer {
    let names = hosts(address);
    let looking = names.iter().map(|host| one(discoverer, host));
    let looked = futures_util::future::join_all(looking).await;
    let (mut found, mut why) = (Vec::new(), Vec::new());
    for (host, outcome) in names.iter().zip(looked) {
        match outcome {
            Ok(endpoint) => found.push(Candidate {
                endpoint,
                users: super::both_names(address),
                source: Source::Probe,
                trust: Trust::Certificate,
                provider: None,
            }),
            Err(error) => why.push(format!("{host}: {error}")),
        }
    }
    let outcome = if found.is_empty() { Outcome::Silent(why.join("; ")) } else { Outcome::Found(found) };
    Answer { source: Source::Probe, asked: names.join(", "), outcome }
}

async fn one(discoverer: &Discoverer, host: &str) -> Result<Endpoint, String> {
    let Discoverer { dialer, trust, limits, patience, .. } = discoverer;
    let limits = Limits { connect: limits.connect.min(DISCOVERY_CONNECT_TIME_MAX), ..limits.clone() };
    let limit = DISCOVERY_PORT_TIME_MAX.min(*patience / 2);
    let mut why = String::new();
    for (port, security) in [(993, Security::Tls), (143, Security::StartTls)] {
        let endpoint = Endpoint { host: host.to_owned(), port, security };
        match tokio::time::timeout(limit, look(&endpoint, trust, dialer, &limits)).await {
            Ok(Ok(looked)) => {
                looked.goodbye(DISCOVERY_GOODBYE_TIME_MAX).await;
                return Ok(endpoint);
            }
            // The first port is the one that should answer: its reason is kept, unless only the second one was reached.
            Ok(Err(error)) if why.is_empty() || !error.is_connection() => why = error.to_string(),
            Err(_) if why.is_empty() => why = format!("port {port}: no answer within {limit:?}"),
            _ => {}
        }
    }
    Err(why)
}
