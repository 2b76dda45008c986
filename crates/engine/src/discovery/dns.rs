//! The name service, over UDP and TCP, without DNSSEC: nothing that it says is proof.

use crate::limits::DISCOVERY_DNS_TIME_MAX;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use std::net::SocketAddr;

/// An MX record (RFC 5321, 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MxRecord {
    /// Lower is preferred.
    pub preference: u16,
    /// The host, with a dot at its end.
    pub exchange: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lower is preferred.
    pub priority: u16,
    /// Among equals, the share of the load.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, with a dot at its end.
    pub target: String,
}

/// Whom to ask for names.
#[derive(Clone, Debug)]
pub struct Dns(Result<TokioResolver, String>);

impl Dns {
    /// The name servers of this machine. That there are none is told when one is asked.
    pub fn system() -> Self {
        let built = Resolver::builder_tokio().and_then(|mut builder| {
            patience(builder.options_mut());
            builder.build()
        });
        Self(built.map_err(|e| e.to_string()))
    }

    /// This name server and no other.
    pub fn at(server: SocketAddr) -> Self {
        let port = |mut connection: ConnectionConfig| {
            connection.port = server.port();
            connection
        };
        let connections = vec![port(ConnectionConfig::udp()), port(ConnectionConfig::tcp())];
        let server = NameServerConfig::new(server.ip(), true, connections);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        patience(builder.options_mut());
        Self(builder.build().map_err(|e| e.to_string()))
    }

    /// MX records of a domain; none is no error.
    ///
    /// # Errors
    /// Why nobody could be asked.
    pub async fn mx(&self, domain: &str) -> Result<Vec<MxRecord>, String> {
        let records = self.ask(domain, RecordType::MX).await?;
        let mx = |data| match data {
            RData::MX(mx) => Some(MxRecord { preference: mx.preference, exchange: mx.exchange.to_ascii() }),
            _ => None,
        };
        Ok(records.into_iter().filter_map(mx).collect())
    }

    /// SRV records of a name; none is no error.
    ///
    /// # Errors
    /// Why nobody could be asked.
    pub async fn srv(&self, name: &str) -> Result<Vec<SrvRecord>, String> {
        let records = self.ask(name, RecordType::SRV).await?;
        let srv = |data| match data {
            RData::SRV(srv) => Some(SrvRecord {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        };
        Ok(records.into_iter().filter_map(srv).collect())
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
        let resolver = self.0.as_ref().map_err(Clone::clone)?;
        // With a dot at its end: search domains of this machine are not for other people's addresses.
        let asking = resolver.lookup(format!("{name}."), kind);
        match tokio::time::timeout(DISCOVERY_DNS_TIME_MAX, asking).await {
            Ok(Ok(found)) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Ok(Err(error)) if is_none(&error) => Ok(Vec::new()),
            Ok(Err(error)) => Err(format!("the name service gives no answer: {error}")),
            Err(_) => {
                Err(format!("the name service gives no answer within {} s", DISCOVERY_DNS_TIME_MAX.as_secs()))
            }
        }
    }
}

fn is_none(error: &NetError) -> bool {
    error.is_no_records_found() || error.is_nx_domain()
}

fn patience(options: &mut hickory_resolver::config::ResolverOpts) {
    options.timeout = DISCOVERY_DNS_TIME_MAX / 2;
    options.attempts = 1;
    // Forgotten with the process: an answer is asked for once.
    options.cache_size = 0;
}
