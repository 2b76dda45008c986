//! Pure: from who takes a domain's mail to a provider of the table.

use super::address::{Address, plain};
use super::dns::MxRecord;
use super::provider::Provider;
use super::{Outcome, Source, Trust};

/// The provider that the most preferred exchanger belongs to. That the domain's mail lies there is the word of the name service
/// alone: a yes is needed before a credential goes there, however well the provider itself is known.
pub(super) fn read(address: &Address, mut records: Vec<MxRecord>) -> Outcome {
    records.sort_by_key(|r| (r.preference, r.exchange.clone()));
    let Some(first) = records.first().map(|r| plain(&r.exchange)) else {
        return Outcome::Nothing("there is no such record".into());
    };
    if first.is_empty() {
        // RFC 7505.
        return Outcome::Nothing("the domain says that it takes no mail".into());
    }
    match Provider::of_mx(&first) {
        Some(provider) => Outcome::Found(vec![provider.candidate(address, Source::Mx, Trust::Dns)]),
        None => Outcome::Nothing(format!("{first} takes its mail: no provider that is known here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(preference: u16, exchange: &str) -> MxRecord {
        MxRecord { preference, exchange: exchange.into() }
    }

    #[test]
    fn the_most_preferred_exchanger_names_the_provider_and_needs_a_yes() {
        let address = Address::parse("ann@old.example").unwrap();
        let records = vec![record(50, "backup.other.example."), record(1, "ASPMX.L.GOOGLE.COM.")];
        let Outcome::Found(found) = read(&address, records) else { panic!() };
        assert_eq!(found[0].endpoint.host, "imap.gmail.com");
        assert_eq!(found[0].users, ["ann@old.example"]);
        assert_eq!(found[0].trust, Trust::Dns);
    }

    #[test]
    fn an_unknown_exchanger_is_named_and_a_null_one_is_understood() {
        let address = Address::parse("ann@old.example").unwrap();
        let said = |records| match read(&address, records) {
            Outcome::Nothing(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(said(vec![record(10, "mx.hoster.example.")]).contains("mx.hoster.example"));
        assert!(said(vec![record(0, ".")]).contains("takes no mail"));
        assert!(said(Vec::new()).contains("no such record"));
    }
}
