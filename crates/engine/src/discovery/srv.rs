//! Pure: what SRV records say (RFC 6186, RFC 8314).

use super::address::{Address, is_host, plain};
use super::dns::SrvRecord;
use super::{Answer, Candidate, Outcome, Source, Trust};
use crate::config::{Endpoint, Security};

/// The names that are asked for: implicit TLS first (RFC 8314, 5.1).
pub(super) fn questions(address: &Address) -> [(String, Security); 2] {
    let name = |service: &str| format!("{service}._tcp.{}", address.domain());
    [(name("_imaps"), Security::Tls), (name("_imap"), Security::StartTls)]
}

/// What was asked and what came of it. A question that got no answer is said beside the other's records, and is no "no such record".
pub(super) fn judge(address: &Address, answers: [Result<Vec<SrvRecord>, String>; 2]) -> Answer {
    let (mut found, mut silent, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for ((name, security), answer) in questions(address).into_iter().zip(answers) {
        match answer {
            Ok(records) => {
                found.push((security, records));
                asked.push(name);
            }
            Err(why) => {
                asked.push(format!("{name} (no answer)"));
                silent.push(format!("{name}: {why}"));
            }
        }
    }
    let outcome = match read(address, found) {
        Outcome::Nothing(_) if !silent.is_empty() => Outcome::Silent(silent.join("; ")),
        outcome => outcome,
    };
    Answer { source: Source::Srv, asked: asked.join(", "), outcome }
}

/// Candidates in the order of the records: by priority, then by weight (RFC 2782; the heavier first, since one is proposed and
/// no load is spread). A target of `.` says that the service is not offered. A target at home in the domain is proven by its
/// certificate; for any other one there is only the word of the name service (RFC 6186, 6).
fn read(address: &Address, found: Vec<(Security, Vec<SrvRecord>)>) -> Outcome {
    let mut candidates = Vec::new();
    let mut declined = false;
    for (security, mut records) in found {
        records.sort_by_key(|r| (r.priority, std::cmp::Reverse(r.weight), r.target.clone()));
        for record in records {
            let host = plain(&record.target);
            declined |= host.is_empty();
            if !is_host(&host) || record.port == 0 {
                continue;
            }
            let trust = if address.is_at_home(&host) { Trust::Certificate } else { Trust::Dns };
            let endpoint = Endpoint { host, port: record.port, security };
            let users = super::both_names(address);
            candidates.push(Candidate { endpoint, users, source: Source::Srv, trust, provider: None });
        }
    }
    match (candidates.is_empty(), declined) {
        (false, _) => Outcome::Found(candidates),
        (true, true) => Outcome::Nothing("the domain says that it offers no IMAP".into()),
        (true, false) => Outcome::Nothing("there is no such record".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, port: u16, target: &str) -> SrvRecord {
        SrvRecord { priority, weight, port, target: target.into() }
    }

    fn hosts(outcome: &Outcome) -> Vec<(String, u16, Trust)> {
        let Outcome::Found(found) = outcome else { return Vec::new() };
        found.iter().map(|c| (c.endpoint.host.clone(), c.endpoint.port, c.trust)).collect()
    }

    #[test]
    fn implicit_tls_comes_first_then_priority_then_weight() {
        let address = Address::parse("ann@old.example").unwrap();
        let imaps = vec![
            record(20, 0, 993, "late.old.example."),
            record(10, 1, 993, "light.old.example."),
            record(10, 9, 1993, "heavy.old.example."),
        ];
        let imap = vec![record(0, 0, 143, "plain.elsewhere.example.")];
        let outcome = read(&address, vec![(Security::Tls, imaps), (Security::StartTls, imap)]);
        let expected = [
            ("heavy.old.example", 1993, Trust::Certificate),
            ("light.old.example", 993, Trust::Certificate),
            ("late.old.example", 993, Trust::Certificate),
            ("plain.elsewhere.example", 143, Trust::Dns),
        ];
        assert_eq!(hosts(&outcome), expected.map(|(h, p, t)| (h.to_owned(), p, t)));
    }

    #[test]
    fn a_question_without_an_answer_is_said_and_is_not_no_record() {
        let address = Address::parse("ann@old.example").unwrap();
        let late = || Err("no answer within 5 s".to_owned());
        let Outcome::Silent(why) = judge(&address, [late(), Ok(Vec::new())]).outcome else { panic!() };
        assert_eq!(why, "_imaps._tcp.old.example: no answer within 5 s");
        let here = || Ok(vec![record(0, 0, 143, "imap.old.example.")]);
        let answer = judge(&address, [late(), here()]);
        assert_eq!(answer.asked, "_imaps._tcp.old.example (no answer), _imap._tcp.old.example");
        assert_eq!(hosts(&answer.outcome).len(), 1);
        let both = judge(&address, [late(), late()]).outcome;
        assert!(
            matches!(&both, Outcome::Silent(why) if why.contains("_imaps") && why.contains("_imap.")),
            "{both:?}"
        );
        let none = judge(&address, [Ok(Vec::new()), Ok(Vec::new())]).outcome;
        assert!(matches!(none, Outcome::Nothing(_)), "{none:?}");
    }

    #[test]
    fn a_service_that_is_declined_and_odd_targets_are_no_candidates() {
        let address = Address::parse("ann@old.example").unwrap();
        let read = |records| read(&address, vec![(Security::Tls, records)]);
        let Outcome::Nothing(why) = read(vec![record(0, 0, 0, ".")]) else { panic!() };
        assert!(why.contains("offers no IMAP"), "{why}");
        for odd in [record(0, 0, 0, "imap.old.example."), record(0, 0, 993, "imap old.example.")] {
            assert!(hosts(&read(vec![odd])).is_empty());
        }
    }
}
