use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::time::{Duration, Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A client and a server that met through a proxy with this plan.
pub(super) struct Meeting {
    pub(super) proxy: FaultProxy,
    pub(super) client: StdStream,
    pub(super) server: StdStream,
}

pub(super) fn meet(plan: Plan) -> Meeting {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap(), move |_| plan.clone()).unwrap();
    let client = StdStream::connect(proxy.address()).unwrap();
    let server = listener.accept().unwrap().0;
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    Meeting { proxy, client, server }
}

impl Meeting {
    /// Writer and reader of a direction.
    fn ends(&self, direction: Direction) -> (StdStream, StdStream) {
        let (client, server) = (self.client.try_clone().unwrap(), self.server.try_clone().unwrap());
        match direction {
            Direction::ToServer => (client, server),
            Direction::ToClient => (server, client),
        }
    }

    /// The record, once the connection's end is in it.
    pub(super) fn ended(&self) -> Record {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let record = self.proxy.records().remove(0);
            if record.ended.is_some() || Instant::now() > deadline {
                return record;
            }
            std::thread::yield_now();
        }
    }
}

fn numbers(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}

/// What can be read, and how it ended.
pub(super) fn read_all(mut socket: StdStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut octets = Vec::new();
    let end = socket.read_to_end(&mut octets).err().map(|error| error.kind());
    (octets, end)
}

#[test]
fn without_faults_octets_pass_both_ways_and_are_counted() {
    let meeting = meet(vec![]);
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (mut writer, reader) = meeting.ends(direction);
        let sent = numbers(1_000_000);
        let reading = std::thread::spawn(move || read_all(reader));
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(reading.join().unwrap(), (sent, None));
    }
    let record = meeting.ended();
    assert_eq!((record.to_server_octets, record.to_client_octets), (1_000_000, 1_000_000));
    assert_eq!(record.ended, Some(Ended::ByPeers));
}

#[test]
fn a_cut_lets_exactly_its_octets_arrive_in_either_direction_and_manner() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        for how in [How::Fin, How::Rst] {
            for octets in [0, 1, 4_095, 70_001, 300_000] {
                let meeting = meet(vec![Fault::CutAfter { direction, octets, how }]);
                let (mut writer, reader) = meeting.ends(direction);
                let (_, other_reader) = meeting.ends(match direction {
                    Direction::ToServer => Direction::ToClient,
                    Direction::ToClient => Direction::ToServer,
                });
                let reading = std::thread::spawn(move || read_all(reader));
                // the cut may come while this writes; a reset is told once, to the first who asks
                let writer_end = writer.write_all(&numbers(400_000)).err().map(|error| error.kind());
                let (arrived, end) = reading.join().unwrap();
                let expected_end = (how == How::Rst).then_some(ErrorKind::ConnectionReset);
                let case = format!("{direction:?} {how:?} {octets}");
                assert_eq!((arrived.len() as u64, end), (octets, expected_end), "{case}");
                assert_eq!(arrived, numbers(arrived.len()), "{case}");
                let writers_side = [writer_end, read_all(other_reader).1];
                assert_eq!(
                    writers_side.contains(&Some(ErrorKind::ConnectionReset)),
                    how == How::Rst,
                    "{case}"
                );
                let record = {
                    // an orderly end waits for the peers' own
                    let _ = (
                        meeting.client.shutdown(std::net::Shutdown::Both),
                        meeting.server.shutdown(std::net::Shutdown::Both),
                    );
                    meeting.ended()
                };
                let counted = [record.to_server_octets, record.to_client_octets];
                assert_eq!(counted[(direction == Direction::ToClient) as usize], octets, "{case}");
                assert_eq!(record.ended, Some(Ended::Cut(how)), "{case}");
            }
        }
    }
}

#[test]
fn a_reset_comes_after_its_octets_even_to_a_reader_that_is_late() {
    let octets = 1 << 20;
    let meeting = meet(vec![Fault::CutAfter { direction: Direction::ToServer, octets, how: How::Rst }]);
    let (mut writer, reader) = meeting.ends(Direction::ToServer);
    let writing = std::thread::spawn(move || writer.write_all(&numbers(2 << 20)));
    // the reader's kernel holds a part, the proxy's the rest
    let deadline = Instant::now() + Duration::from_secs(1);
    while meeting.proxy.records()[0].to_server_octets < octets && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let (arrived, end) = read_all(reader);
    assert_eq!((arrived.len() as u64, end), (octets, Some(ErrorKind::ConnectionReset)));
    let _ = writing.join().unwrap();
}

#[test]
fn a_stall_silences_one_direction_and_leaves_the_other() {
    let mut meeting = meet(vec![Fault::Stall { direction: Direction::ToClient, octets: 3 }]);
    meeting.server.write_all(b"abcdef").unwrap();
    let mut got = [0; 3];
    meeting.client.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"abc");
    for _ in 0..3 {
        meeting.client.write_all(b"x").unwrap();
        meeting.server.read_exact(&mut got[..1]).unwrap();
    }
    meeting.client.set_nonblocking(true).unwrap();
    assert_eq!(meeting.client.read(&mut got).unwrap_err().kind(), ErrorKind::WouldBlock);
    let record = meeting.proxy.records().remove(0);
    assert!(record.stalled);
    assert_eq!((record.to_server_octets, record.to_client_octets, record.ended), (3, 3, None));
    meeting.client.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(meeting.ended().ended, Some(Ended::Broken));
}

#[test]
fn slices_arrive_one_after_another_and_whole() {
    let meeting = meet(vec![Fault::Slice(7)]);
    let (mut writer, reader) = meeting.ends(Direction::ToServer);
    writer.write_all(&numbers(1_000)).unwrap();
    writer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(reader), (numbers(1_000), None));
}

#[test]
fn a_delay_counts_once_each_way() {
    let mut meeting = meet(vec![Fault::Delay(Duration::from_millis(30))]);
    let begun = Instant::now();
    let mut got = [0; 1];
    meeting.client.write_all(b"a").unwrap();
    meeting.server.read_exact(&mut got).unwrap();
    meeting.server.write_all(b"b").unwrap();
    meeting.client.read_exact(&mut got).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(60));
}

#[test]
fn bandwidth_bounds_the_octets_a_second() {
    let meeting = meet(vec![Fault::Bandwidth(1_000_000)]);
    let (mut writer, reader) = meeting.ends(Direction::ToClient);
    let begun = Instant::now();
    let reading = std::thread::spawn(move || read_all(reader));
    writer.write_all(&numbers(100_000)).unwrap();
    writer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(reading.join().unwrap().0.len(), 100_000);
    // the last piece arrives before its own pause
    assert!(begun.elapsed() >= Duration::from_millis(75));
}

#[test]
fn each_connection_has_its_own_plan() {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let cut = |octets| vec![Fault::CutAfter { direction: Direction::ToClient, octets, how: How::Fin }];
    let proxy =
        FaultProxy::start(listener.local_addr().unwrap(), move |ordinal| cut(ordinal as u64 + 1)).unwrap();
    for ordinal in 0..3 {
        let client = StdStream::connect(proxy.address()).unwrap();
        let mut server = listener.accept().unwrap().0;
        server.write_all(b"abcdef").unwrap();
        assert_eq!(read_all(client).0.len(), ordinal + 1);
    }
    assert_eq!(proxy.records().len(), 3);
}

#[test]
fn a_server_that_is_not_there_is_recorded() {
    let nobody = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let proxy = FaultProxy::start(nobody, |_| vec![]).unwrap();
    let client = StdStream::connect(proxy.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(read_all(client).0.is_empty());
    let deadline = Instant::now() + PATIENCE;
    while proxy.records()[0].ended.is_none() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(proxy.records()[0].ended, Some(Ended::NoServer));
}

#[test]
fn dropping_the_proxy_resets_its_connections() {
    let Meeting { proxy, client, server } = meet(vec![]);
    drop(proxy);
    assert_eq!(read_all(client).1, Some(ErrorKind::ConnectionReset));
    assert_eq!(read_all(server).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn seeded_cuts_repeat_and_stay_within_bounds() {
    let plans = seeded_cuts(7, 100, 50);
    assert_eq!(plans, seeded_cuts(7, 100, 50));
    assert_ne!(plans, seeded_cuts(8, 100, 50));
    let mut ways = std::collections::HashSet::new();
    for plan in &plans {
        let [Fault::CutAfter { direction, octets, .. }] = plan.as_slice() else { panic!("{plan:?}") };
        assert!(*octets <= 50);
        ways.insert(*direction);
    }
    assert_eq!(ways.len(), 2);
}
