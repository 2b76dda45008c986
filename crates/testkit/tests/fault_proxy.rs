//! The fault proxy as a program.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fault-proxy"))
}

#[test]
fn the_named_connection_is_cut_as_said_and_the_line_about_it_says_so() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let mut proxy = program()
        .args(["--server", &server, "--connection", "1", "cut=to-client:3:fin"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap().replace("listening ", "");
    for expected in [&b"abcdef"[..], b"abc"] {
        let mut client = TcpStream::connect(&address).unwrap();
        let mut socket = listener.accept().unwrap().0;
        socket.write_all(b"abcdef").unwrap();
        drop(socket);
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        assert_eq!(got, expected);
    }
    let told: Vec<String> = lines.take(2).map(Result::unwrap).collect();
    let second = told.iter().find(|line| line.starts_with("connection 1")).unwrap();
    assert!(
        second.contains("Cut(Fin)") && second.contains("3 to the client; cut=to-client:3:fin"),
        "{second}"
    );
    proxy.kill().unwrap();
    proxy.wait().unwrap();
}

#[test]
fn what_it_cannot_do_is_said_with_exit_code_2() {
    for (words, why) in [
        (&["slice=3"][..], "--server is missing"),
        (&["--server", "192.0.2.1:143"], "not on this machine"),
        (&["--server", "127.0.0.1:143", "rain=3"], "is no fault"),
        (&["--server"], "wants a value"),
        (&["--port", "1"], "unknown"),
    ] {
        let output = program().args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains(why), "{why}");
    }
}
