//! Real servers come up, take mail, give it back, and go.

use std::time::Instant;

use mailhaul_testkit::servers::{Cyrus, CyrusOptions, Dovecot, DovecotOptions};

#[test]
fn dovecot_starts() {
    let t = Instant::now();
    let Some(dovecot) = Dovecot::start(&DovecotOptions::default()).unwrap().or_not_run() else { return };
    println!("{:?}", t.elapsed());
    println!("{:?}", dovecot.account("alice").unwrap().image().unwrap());
    println!("{:?}", dovecot.account_tls("alice").unwrap().image().unwrap());
    let t = Instant::now();
    drop(dovecot);
    println!("{:?}", t.elapsed());
}

#[test]
fn cyrus_starts() {
    let t = Instant::now();
    let Some(cyrus) = Cyrus::start(&CyrusOptions::default()).unwrap().or_not_run() else { return };
    println!("{:?}", t.elapsed());
    println!("{:?}", cyrus.account("alice").unwrap().image().unwrap());
    println!("{:?}", cyrus.account_tls("alice").unwrap().image().unwrap());
    let t = Instant::now();
    drop(cyrus);
    println!("{:?}", t.elapsed());
}
