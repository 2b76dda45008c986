//! Faults that know what the octets mean, and those that outlive a peer.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream as StdStream};
use std::time::{Duration, Instant};

use super::tests::{Meeting, meet, read_all};
use super::*;
#[cfg(unix)]
use crate::servers::{Dovecot, DovecotOptions};
#[cfg(unix)]
use crate::wire::{Endpoint, Security, Wire, WireError, client_tls};

/// How late "late" is here.
const AFTER: Duration = Duration::from_millis(100);
const APPEND: &[u8] = b"a APPEND x {4+}\r\nmail\r\n";

fn read_exactly(socket: &mut StdStream, count: usize) -> Vec<u8> {
    let mut octets = vec![0; count];
    socket.read_exact(&mut octets).unwrap();
    octets
}

#[test]
fn half_open_passes_nothing_more_and_tells_neither_side_of_the_others_end() {
    let Meeting { proxy, mut client, mut server } =
        meet(vec![Fault::HalfOpen { direction: Direction::ToServer, octets: 3 }]);
    client.write_all(b"abcdef").unwrap();
    assert_eq!(read_exactly(&mut server, 3), b"abc");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !proxy.records()[0].stalled && Instant::now() < deadline {
        std::thread::yield_now();
    }
    server.write_all(b"answer").unwrap();
    client.shutdown(Shutdown::Both).unwrap();
    let record = proxy.records().remove(0);
    assert!(record.stalled);
    assert_eq!((record.to_server_octets, record.to_client_octets, record.ended), (3, 0, None));
    // what would have passed would be read before the reset that the proxy's end brings
    drop(proxy);
    assert_eq!(read_all(server), (vec![], Some(ErrorKind::ConnectionReset)));
}

#[test]
fn the_ok_of_the_chosen_command_never_arrives() {
    let mut meeting = meet(vec![Fault::SwallowOk { command: "APPEND".into(), nth: 1 }]);
    meeting.client.write_all(b"1 NOOP\r\n").unwrap();
    assert_eq!(read_exactly(&mut meeting.server, 8), b"1 NOOP\r\n");
    meeting.client.write_all(APPEND).unwrap();
    assert_eq!(read_exactly(&mut meeting.server, APPEND.len()), APPEND);
    meeting.server.write_all(b"1 OK\r\n* 1 EXISTS\r\na OK [APPENDUID 1 1] stored\r\n* 2 EXISTS\r\n").unwrap();
    let seen = b"1 OK\r\n* 1 EXISTS\r\n* 2 EXISTS\r\n";
    assert_eq!(read_exactly(&mut meeting.client, seen.len()), seen);
}

#[test]
fn a_cut_between_literal_and_crlf_leaves_the_command_one_line_end_short() {
    for how in [How::Fin, How::Rst] {
        let fault = Fault::CutAfterLiteral { direction: Direction::ToServer, nth: 1, how };
        let mut meeting = meet(vec![fault]);
        meeting.client.write_all(APPEND).unwrap();
        let end = (how == How::Rst).then_some(ErrorKind::ConnectionReset);
        let server = meeting.server.try_clone().unwrap();
        assert_eq!(read_all(server), (APPEND[..APPEND.len() - 2].to_vec(), end));
        let _ = (meeting.client.shutdown(Shutdown::Both), meeting.server.shutdown(Shutdown::Both));
        assert_eq!(meeting.ended().ended, Some(Ended::Cut(how)));
    }
}

#[test]
fn the_last_octets_arrive_late_after_the_client_closed() {
    for hang_up in [None, Some(How::Rst), Some(How::Fin)] {
        let fault = Fault::Late { command: "APPEND".into(), nth: 1, octets: 3, after: AFTER, hang_up };
        let mut meeting = meet(vec![fault]);
        let begun = Instant::now();
        meeting.client.write_all(APPEND).unwrap();
        assert_eq!(read_exactly(&mut meeting.server, APPEND.len() - 3), APPEND[..APPEND.len() - 3]);
        let heard = match hang_up {
            None => meeting.client.write_all(b"b NOOP\r\n").err().map(|error| error.kind()),
            Some(_) => read_all(meeting.client.try_clone().unwrap()).1,
        };
        assert_eq!(heard, (hang_up == Some(How::Rst)).then_some(ErrorKind::ConnectionReset), "{hang_up:?}");
        let _ = meeting.client.shutdown(Shutdown::Both);
        assert_eq!(read_exactly(&mut meeting.server, 3), b"l\r\n");
        assert!(begun.elapsed() >= AFTER, "{hang_up:?}");
        assert_eq!(read_all(meeting.server.try_clone().unwrap()), (vec![], None), "{hang_up:?}");
        meeting.server.shutdown(Shutdown::Both).unwrap();
        let record = meeting.ended();
        assert_eq!((record.ended, record.to_server_octets), (Some(Ended::Late), APPEND.len() as u64));
    }
}

#[test]
fn a_sender_that_closes_in_the_middle_loses_nothing_to_a_fault_that_waits() {
    let late = Fault::Late { command: "APPEND".into(), nth: 1, octets: 9, after: AFTER, hang_up: None };
    let meeting = meet(vec![late, Fault::SwallowOk { command: "NOOP".into(), nth: 1 }]);
    let (mut client, mut server) = (&meeting.client, &meeting.server);
    client.write_all(&APPEND[..20]).unwrap();
    server.write_all(b"a OK with").unwrap();
    for socket in [client, server] {
        socket.shutdown(Shutdown::Write).unwrap();
    }
    assert_eq!(read_all(meeting.server.try_clone().unwrap()), (APPEND[..20].to_vec(), None));
    assert_eq!(read_all(meeting.client.try_clone().unwrap()), (b"a OK with".to_vec(), None));
    assert_eq!(meeting.ended().ended, Some(Ended::ByPeers));
}

/// The peers of a TLS connection take the end for a cut: nothing that was sent before is in doubt, nor believed whole.
#[cfg(unix)]
#[test]
fn a_tls_connection_ends_without_the_alert() {
    let Some(dovecot) = Dovecot::start(&DovecotOptions::default()).unwrap().or_not_run() else { return };
    let plan = |ordinal| match ordinal {
        0 => vec![Fault::TlsEnd { direction: Direction::ToClient, octets: 4_000 }],
        _ => vec![],
    };
    let proxy = FaultProxy::start(dovecot.imaps(), plan).unwrap();
    let security = Security::Tls(client_tls(dovecot.ca_pem()).unwrap());
    let endpoint = Endpoint { address: proxy.address(), security };
    let cut_off = |mut wire: Wire| loop {
        if let Err(error) = wire.raw("CAPABILITY") {
            return error;
        }
    };
    let cut = Wire::login(&endpoint, "ann", crate::servers::PASSWORD).map_or_else(|error| error, cut_off);
    let WireError::Io(error) = &cut else { panic!("{cut:?}") };
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    // an end with the alert is another thing to the same client
    let mut wire = Wire::login(&endpoint, "ann", crate::servers::PASSWORD).unwrap();
    wire.raw("LOGOUT").unwrap();
    assert!(matches!(wire.raw("NOOP"), Err(WireError::HungUp)));
}

#[test]
fn a_watch_hears_of_each_command_on_its_way() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    let watch = Watch { command: "APPEND".into(), told };
    let proxy = FaultProxy::on(0, listener.local_addr().unwrap(), |_| vec![], Some(watch)).unwrap();
    let mut client = StdStream::connect(proxy.address()).unwrap();
    let mut server = listener.accept().unwrap().0;
    client.write_all(&APPEND[..APPEND.len() - 1]).unwrap();
    read_exactly(&mut server, APPEND.len() - 1);
    assert!(tells.try_recv().is_err(), "it is not complete");
    client.write_all(b"\n").unwrap();
    assert_eq!(tells.recv_timeout(Duration::from_secs(20)), Ok(0));
}
