//! Each fault of the vocabulary once, at a point where it matters, between real servers: nothing lost, nothing
//! doubled, and the fault did happen.

use crate::peers::{Move, counted, dovecot, filled, image, order_may_differ, small};
use mailhaul_engine::journal::State;
use mailhaul_testkit::checker::{PathMap, judge};
use mailhaul_testkit::proxy::Direction::{ToClient, ToServer};
use mailhaul_testkit::proxy::{Ended, Fault, FaultProxy, How, Plan, Record};
use mailhaul_testkit::servers::DovecotOptions;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the client waits for an answer.
const ANSWER: Duration = Duration::from_secs(4);
/// How late the end of a command arrives.
const AFTER: Duration = Duration::from_millis(500);

struct Case {
    fault: Fault,
    /// The connection it happens to: the target's, or the source's.
    at_target: bool,
    tls: bool,
    /// What the proxy saw of it.
    happened: fn(&Record) -> bool,
    /// Messages were in doubt, and looked for.
    doubt: bool,
}

fn cut(record: &Record) -> bool {
    matches!(record.ended, Some(Ended::Cut(_)))
}

fn cases() -> Vec<Case> {
    let (command, nth) = ("APPEND".to_owned(), 1);
    let at_target = |fault, happened: fn(&Record) -> bool, doubt| Case {
        fault,
        at_target: true,
        tls: false,
        happened,
        doubt,
    };
    let literal = |how| Fault::CutAfterLiteral { direction: ToServer, nth: 1, how };
    let late = |hang_up| Fault::Late { command: "APPEND".into(), nth: 1, octets: 3, after: AFTER, hang_up };
    let is_late: fn(&Record) -> bool = |record| record.ended == Some(Ended::Late);
    let stalled: fn(&Record) -> bool = |record| record.stalled;
    let tls = |direction, octets, at_target| Case {
        fault: Fault::TlsEnd { direction, octets },
        at_target,
        tls: true,
        happened: cut,
        doubt: false,
    };
    vec![
        at_target(literal(How::Fin), cut, true),
        at_target(literal(How::Rst), cut, true),
        at_target(Fault::SwallowOk { command, nth }, |_| true, true),
        at_target(late(Some(How::Rst)), is_late, true),
        at_target(late(None), is_late, true),
        at_target(Fault::HalfOpen { direction: ToServer, octets: 50_000 }, stalled, false),
        at_target(Fault::HalfOpen { direction: ToClient, octets: 2_000 }, stalled, false),
        at_target(Fault::Stall { direction: ToClient, octets: 2_000 }, stalled, false),
        Case {
            at_target: false,
            ..at_target(Fault::HalfOpen { direction: ToClient, octets: 50_000 }, stalled, false)
        },
        tls(ToClient, 4_000, true),
        tls(ToServer, 40_000, true),
        tls(ToClient, 40_000, false),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_vocabulary_is_survived_without_loss_or_doubling() {
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), dovecot(&DovecotOptions::default()))
    else {
        return;
    };
    let from = a.account("ann").unwrap();
    let messages = filled(&from, small(61)).await;
    let before = image(&from).await;
    let certificates = tempfile::tempdir().unwrap();
    let ca_files: Vec<_> = ["a", "b"].iter().map(|name| certificates.path().join(name)).collect();
    for (file, pem) in ca_files.iter().zip([a.ca_pem(), b.ca_pem()]) {
        std::fs::write(file, pem).unwrap();
    }
    let one = async |n: usize, case: Case| {
        let to = b.account(&format!("user{n}")).unwrap();
        let proxy = |server, fault: Option<Fault>| {
            let plan = move |ordinal| -> Plan { fault.iter().filter(|_| ordinal == 0).cloned().collect() };
            FaultProxy::start(server, plan).unwrap()
        };
        let ports = if case.tls { (a.imaps(), b.imaps()) } else { (a.imap(), b.imap()) };
        let (at_source, at_target) =
            if case.at_target { (None, Some(case.fault.clone())) } else { (Some(case.fault.clone()), None) };
        // a proxy starts and ends a runtime of its own: not on a thread of this one
        let both = move || (proxy(ports.0, at_source), proxy(ports.1, at_target));
        let (old, new) = tokio::task::spawn_blocking(both).await.unwrap();
        let mut journey = Move::new((old.address(), &from), (new.address(), &to));
        journey.ca_files = if case.tls { ca_files.clone() } else { Vec::new() };
        journey.settings.limits.batch_messages_max = 20;
        // One connection writes: the one that the fault is at.
        journey.settings.connections = 2;
        let limits = &mut journey.settings.limits;
        for limit in [&mut limits.append_answer, &mut limits.silence, &mut limits.command] {
            *limit = ANSWER;
        }
        for attempt in 0.. {
            match journey.run().await {
                Ok(end) if end.left.is_empty() => break,
                other => assert!(attempt < 10, "{}: {other:?}", case.fault),
            }
        }
        let record = (if case.at_target { &new } else { &old }).records().remove(0);
        assert!((case.happened)(&record), "{} did not happen: {record:?}", case.fault);
        let resolved = counted(journey.folder.path(), "batch WHERE state = 'resolved'");
        assert!(resolved > 0 || !case.doubt, "{}: nothing was in doubt", case.fault);
        assert_eq!(journey.states().await, BTreeMap::from([(State::Verified, messages)]), "{}", case.fault);
        tokio::task::spawn_blocking(move || drop((old, new))).await.unwrap();
        let verdict = judge(&before, &image(&to).await, &PathMap::same(), &order_may_differ());
        assert!(verdict.differences.is_empty(), "{}: {verdict}", case.fault);
    };
    futures_util::future::join_all(cases().into_iter().enumerate().map(|(n, case)| one(n, case))).await;
}
