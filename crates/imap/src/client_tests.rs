use super::*;
use crate::command::AppendMessage;
use crate::response::Body;
use proptest::prelude::*;

fn greeted() -> Client {
    let mut client = Client::new(Limits::default());
    client.feed(b"* OK ready\r\n");
    assert!(matches!(client.next_event(), Ok(Some(Event::Greeting(..)))));
    client
}

fn events(client: &mut Client, input: &[u8]) -> Vec<Event> {
    client.feed(input);
    let mut all = Vec::new();
    while let Some(event) = client.next_event().unwrap() {
        all.push(event);
    }
    all
}

/// What one untagged line becomes.
fn untagged(line: &str) -> Untagged {
    untagged_octets(line.as_bytes())
}

fn untagged_octets(line: &[u8]) -> Untagged {
    let input = [b"* ", line, b"\r\n"].concat();
    match events(&mut greeted(), &input).pop() {
        Some(Event::Untagged { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

fn fetched(line: &[u8]) -> Fetch {
    match untagged_octets(line) {
        Untagged::Fetch(fetch) => *fetch,
        other => panic!("{other:?}"),
    }
}

use crate::response::Fetch;

/// Everything a client would write until it has to wait; bodies are `x`s.
fn written(client: &mut Client) -> (String, Output) {
    let mut all = Vec::new();
    let mut output = client.next_output();
    loop {
        match output {
            Output::Write(octets) => {
                all.extend_from_slice(&octets);
                output = client.next_output();
            }
            Output::Pull { remaining } => {
                let piece = remaining.min(3);
                output = client.supply(Bytes::from(vec![b'x'; piece as usize]));
            }
            other => return (String::from_utf8(all).unwrap(), other),
        }
    }
}

fn message(len: u64) -> AppendMessage {
    AppendMessage { flags: "\\Seen".into(), internal_date: Some(" 3-Mar-2020 10:11:12 +0000".into()), len }
}

const DATE: &str = "(\\Seen) \" 3-Mar-2020 10:11:12 +0000\"";

// ---- odd lines of real servers (research: tolerance probe)

#[test]
fn a_status_text_ending_in_braces_announces_no_literal() {
    let mut client = greeted();
    let tag = client.submit(Command::noop());
    written(&mut client);
    let got = events(
        &mut client,
        format!("* OK see message {{5}}\r\n{tag} NO literal too big {{99}}\r\n").as_bytes(),
    );
    assert!(matches!(&got[0], Event::Untagged { data: Untagged::Status(Condition::Ok, _), .. }));
    assert!(matches!(&got[1], Event::Tagged { status: Status::No, .. }), "{got:?}");
}

#[test]
fn a_literal_length_that_overflows_ends_the_connection() {
    let mut client = greeted();
    client.feed(b"* 1 FETCH (BODY[] {99999999999999999999}\r\nA1 OK injected\r\n");
    assert_eq!(client.next_event(), Err(ProtocolError::LiteralLengthOverflow));
}

#[test]
fn a_body_longer_than_32_bits_passes_through() {
    let mut client = greeted();
    let got = events(&mut client, b"* 1 FETCH (UID 7 BODY[] {4294967296}\r\nabc");
    assert!(matches!(&got[0], Event::BodyStart { len: 4_294_967_296, .. }), "{got:?}");
    assert_eq!(got[1], Event::BodyChunk("abc".into()));
}

#[test]
fn a_long_literal_that_is_no_body_is_refused() {
    let mut client = greeted();
    client.feed(b"* LIST () \"/\" {2000000}\r\n");
    assert!(matches!(client.next_event(), Err(ProtocolError::LiteralTooLong { announced: 2_000_000, .. })));
}

#[test]
fn a_body_with_nul_and_eight_bit_passes_and_the_uid_may_come_after_it() {
    let mut client = greeted();
    let got = events(&mut client, b"* 3 FETCH (BODY[] {5}\r\na\0\xff\r\n UID 9 FLAGS (\\Seen f\xfc))\r\n");
    assert_eq!(got[1], Event::BodyChunk(Bytes::from_static(b"a\0\xff\r\n")));
    assert_eq!(got[2], Event::BodyEnd);
    let Event::Untagged { data: Untagged::Fetch(f), .. } = &got[3] else { panic!("{got:?}") };
    assert_eq!((f.uid.unwrap().get(), &f.body), (9, &Body::Literal(5)));
    assert_eq!(f.flags.as_ref().unwrap()[1], &b"f\xfc"[..]);
}

#[test]
fn quoted_nil_and_absent_bodies_are_told_apart() {
    assert_eq!(fetched(b"1 FETCH (BODY[] \"hi\xff\")").body, Body::Quoted(Bytes::from_static(b"hi\xff")));
    assert_eq!(fetched(b"1 FETCH (UID 2 BODY[] NIL)").body, Body::Nil);
    assert_eq!(fetched(b"1 FETCH (UID 2)").body, Body::Absent);
}

#[test]
fn a_literal_of_another_attribute_or_response_is_no_body() {
    let mut client = greeted();
    let got = events(&mut client, b"* 1 FETCH (X-GM-LABELS ({3}\r\na b \\Inbox) BODY[] {2}\r\nhi UID 4)\r\n");
    assert!(matches!(&got[0], Event::BodyStart { len: 2, .. }), "{got:?}");
    let got = events(&mut client, b"* LIST (\\HasNoChildren) \"/\" {3}\r\nf\xfco\r\n");
    let Event::Untagged { data: Untagged::List(entry), .. } = &got[0] else { panic!("{got:?}") };
    assert_eq!(entry.name, &b"f\xfco"[..]);
}

#[test]
fn unknown_items_are_kept_and_do_not_cost_the_known_ones() {
    let f = fetched(
        b"1 FETCH (X-NEW (a (b \"c d\") NIL) UID 5 RFC822.SIZE 4294967296 EMAILID (M1) X-GM-MSGID 12)",
    );
    assert_eq!((f.uid.unwrap().get(), f.size, f.gm_msgid), (5, Some(4_294_967_296), Some(12)));
    assert_eq!(f.email_id.as_deref(), Some(&b"M1"[..]));
    assert_eq!(f.unknown, [(Bytes::from("X-NEW"), Bytes::from("(a (b \"c d\") NIL)"))]);
}

#[test]
fn labels_of_gmail_are_read_in_each_form_that_it_writes_them() {
    let labels = |octets: &[u8]| fetched(octets).gm_labels.unwrap();
    // QUIRK: Gmail writes `[Mailbox]` as an atom, which it is not (MailKit#51), and system labels with and without quotes.
    let read = labels(
        b"1 FETCH (X-GM-LABELS (\\Inbox \"\\\\Sent\" Important \"Muy Importante\" [Mailbox] Entw&APw-rfe \"a\\\"b\" \"\") UID 4)",
    );
    let expected: [&[u8]; 8] =
        [b"\\Inbox", b"\\Sent", b"Important", b"Muy Importante", b"[Mailbox]", b"Entw&APw-rfe", b"a\"b", b""];
    assert_eq!(read, expected);
    assert!(labels(b"1 FETCH (X-GM-LABELS () UID 4)").is_empty());
    let odd = fetched(b"1 FETCH (UID 4 X-GM-LABELS NIL X-GM-MSGID 18446744073709551615)");
    assert_eq!((odd.gm_labels, odd.gm_msgid, odd.uid.unwrap().get()), (None, Some(u64::MAX), 4));
}

#[test]
fn any_labels_come_back_as_they_were_whatever_form_each_is_written_in() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..500 {
        let (mut line, mut labels) = (b"* 1 FETCH (X-GM-LABELS (".to_vec(), Vec::new());
        for at in 0..draw(6) {
            line.extend_from_slice(if at > 0 { b" " } else { b"" });
            let length = draw(9);
            let octet = |n: u64| b"ab \\\"()[]&-{}%*\xfc\t\\"[usize::try_from(n).unwrap()];
            let label: Vec<u8> = (0..length).map(|_| octet(draw(18))).collect();
            let is_atom = !label.is_empty() && label.iter().all(|b| b"ab\\[]&-".contains(b));
            match draw(3) {
                0 => {
                    line.extend_from_slice(format!("{{{}}}\r\n", label.len()).as_bytes());
                    line.extend_from_slice(&label);
                }
                1 if is_atom => line.extend_from_slice(&label),
                _ => {
                    line.push(b'"');
                    for octet in &label {
                        if matches!(octet, b'"' | b'\\') {
                            line.push(b'\\');
                        }
                        line.push(*octet);
                    }
                    line.push(b'"');
                }
            }
            labels.push(Bytes::from(label));
        }
        line.extend_from_slice(b") UID 7)\r\n");
        let got = events(&mut greeted(), &line);
        let [Event::Untagged { data: Untagged::Fetch(fetch), .. }] = &got[..] else { panic!("{got:?}") };
        assert_eq!(fetch.gm_labels.as_deref(), Some(&labels[..]), "{:?}", String::from_utf8_lossy(&line));
        assert_eq!(fetch.uid.map(|uid| uid.get()), Some(7));
    }
}

#[test]
fn odd_dates_are_kept_as_written_and_nil_is_not_a_date() {
    assert_eq!(fetched(b"1 FETCH (INTERNALDATE NIL)").internal_date, Some(None));
    let date =
        fetched(b"1 FETCH (INTERNALDATE \"31-Feb-2020 00:00:60 +0000\")").internal_date.flatten().unwrap();
    assert_eq!(&date.raw()[..], b"31-Feb-2020 00:00:60 +0000");
}

#[test]
fn quoted_names_are_unescaped_and_eight_bit_names_keep_their_octets() {
    let Untagged::List(e) = untagged_octets(b"LIST () \"\\\\\" \"a\\\\b\"") else { panic!() };
    assert_eq!((e.delimiter, &e.name[..]), (Some(b'\\'), &b"a\\b"[..]));
    let Untagged::List(e) =
        untagged_octets(b"LIST (\\Noselect) NIL \"Entw\xfcrfe\" (\"CHILDINFO\" (\"SUBSCRIBED\"))")
    else {
        panic!()
    };
    assert_eq!((e.delimiter, e.is_selectable(), &e.name[..]), (None, false, &b"Entw\xfcrfe"[..]));
}

#[test]
fn tagged_lines_without_text_or_with_eight_bit_text_are_never_lost() {
    for (line, status) in [
        (&b"OK"[..], Status::Ok),
        (b"OK ", Status::Ok),
        (b"NO f\xfcr", Status::No),
        (b"BAD", Status::Bad),
        (b"ok [ALERT]\xc3\xa9", Status::Ok),
        (b"NO [", Status::No),
    ] {
        let mut client = greeted();
        let tag = client.submit(Command::noop());
        written(&mut client);
        let got = events(&mut client, &[tag.to_string().as_bytes(), b" ", line, b"\r\n"].concat());
        assert!(matches!(&got[..], [Event::Tagged { status: s, .. }] if *s == status), "{got:?}");
    }
}

#[test]
fn codes_are_kept_and_their_arguments_read() {
    let Untagged::Status(_, text) = untagged("OK [PERMANENTFLAGS (\\Seen a] \\*)] Flags permitted.") else {
        panic!()
    };
    let Some(ResponseCode::Other { name, argument }) = text.code else { panic!() };
    assert_eq!((name.as_str(), &argument[..]), ("PERMANENTFLAGS", &b"(\\Seen a] \\*)"[..]));
    let Untagged::Status(_, text) = untagged("NO [OVERQUOTA] f\u{fc}ll") else { panic!() };
    assert_eq!(text.code.as_ref().unwrap().name(), "OVERQUOTA");
    assert_eq!(text.display_text(), "füll");
    let Untagged::Status(_, text) = untagged("OK [APPENDUID 0 x] odd") else { panic!() };
    assert_eq!(text.code.as_ref().unwrap().name(), "APPENDUID");
    assert!(matches!(text.code, Some(ResponseCode::Other { .. })));
}

#[test]
fn an_unknown_line_is_an_event_and_an_unknown_tag_is_the_end() {
    assert_eq!(
        untagged("ESEARCH (TAG \"a\") UID ALL 1:5"),
        Untagged::Other("ESEARCH (TAG \"a\") UID ALL 1:5".into())
    );
    assert_eq!(untagged("1 FETCH (UID"), Untagged::Other("1 FETCH (UID".into()));
    let mut client = greeted();
    client.feed(b"zz OK what\r\n");
    assert!(matches!(client.next_event(), Err(ProtocolError::UnknownTag { .. })));
}

#[test]
fn a_lone_lf_ends_a_line() {
    assert_eq!(untagged("3 EXISTS"), Untagged::Exists(3));
    assert_eq!(events(&mut greeted(), b"* 3 EXISTS\n").len(), 1);
}

#[test]
fn rights_are_read_with_the_mailbox_they_are_about() {
    for line in ["MYRIGHTS INBOX lrswipkxtecda", "MYRIGHTS \"INBOX\" \"lrswipkxtecda\""] {
        let Untagged::MyRights { mailbox, rights } = untagged(line) else { panic!("{line}") };
        assert_eq!((&mailbox[..], &rights[..]), (&b"INBOX"[..], &b"lrswipkxtecda"[..]));
    }
    assert!(matches!(untagged("MYRIGHTS INBOX"), Untagged::Other(_)));
}

#[test]
fn namespace_status_quota_and_id_are_read() {
    let Untagged::Namespace(n) =
        untagged("NAMESPACE ((\"INBOX.\" \".\" \"X\" (\"y\"))) NIL ((\"\" NIL)(\"a\" \"/\"))")
    else {
        panic!()
    };
    assert_eq!((n.personal[0].delimiter, n.other_users.len(), n.shared.len()), (Some(b'.'), 0, 2));
    let Untagged::StatusData(s) =
        untagged("STATUS \"a b\" (MESSAGES 4 UIDNEXT 9 SIZE 4294967297 MAILBOXID (F1))")
    else {
        panic!()
    };
    assert_eq!((s.messages, s.uid_next, s.size), (Some(4), Some(9), Some(4_294_967_297)));
    let Untagged::Quota { resources, .. } = untagged("QUOTA \"\" (STORAGE 10 512 MESSAGE 2 20)") else {
        panic!()
    };
    assert_eq!(resources[0], ("STORAGE".into(), 10, 512));
    let Untagged::Id(fields) = untagged("ID (\"name\" \"Cyrus\" \"version\" NIL)") else { panic!() };
    assert_eq!(fields[1], ("version".into(), None));
    assert_eq!(
        untagged("ENABLED CONDSTORE X-THING"),
        Untagged::Enabled(vec!["CONDSTORE".into(), "X-THING".into()])
    );
    assert_eq!(untagged("ENABLED"), Untagged::Enabled(Vec::new()));
}

// ---- selections

#[test]
fn data_of_pipelined_selects_belongs_to_its_own_mailbox() {
    let mut client = greeted();
    let a = client.submit(Command::examine(b"a", false));
    let f = client.submit(Command::uid_fetch("1:*", "(UID)"));
    let b = client.submit(Command::examine(b"b", true));
    let (text, _) = written(&mut client);
    assert_eq!(text, format!("{a} EXAMINE a\r\n{f} UID FETCH 1:* (UID)\r\n{b} EXAMINE b (CONDSTORE)\r\n"));
    let input = format!(
        "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 3] x\r\n{a} OK [READ-ONLY] x\r\n\
         * 1 FETCH (UID 1)\r\n{f} OK x\r\n* 5 EXISTS\r\n* OK [UIDVALIDITY 8] x\r\n{b} OK x\r\n"
    );
    let mut seen = Vec::new();
    for event in events(&mut client, input.as_bytes()) {
        match event {
            Event::Opened(tag, facts) => seen.push((tag, facts.exists, facts.uid_validity.unwrap().get())),
            Event::Untagged { data: Untagged::Fetch(_), selection, front } => {
                assert_eq!((selection, front), (1, Some(f)));
            }
            _ => {}
        }
    }
    assert_eq!(seen, [(a, 2, 7), (b, 5, 8)]);
}

#[test]
fn starttls_and_login_wait_for_everything_before_and_hold_everything_behind() {
    let mut client = greeted();
    let noop = client.submit(Command::noop());
    let tls = client.submit(Command::starttls());
    client.submit(Command::capability());
    assert_eq!(written(&mut client), (format!("{noop} NOOP\r\n"), Output::AwaitServer));
    events(&mut client, format!("{noop} OK x\r\n").as_bytes());
    assert_eq!(written(&mut client).0, format!("{tls} STARTTLS\r\n"));
    let got = events(&mut client, format!("{tls} OK go\r\n* CAPABILITY EVIL\r\n").as_bytes());
    assert!(matches!(&got[..], [Event::Tagged { .. }]), "what was injected is not read: {got:?}");
    assert_eq!(written(&mut client), (String::new(), Output::AwaitServer), "nothing more in clear text");
    assert_eq!(client.starttls_done(), Err(ProtocolError::InjectedBeforeTls { octets: 19 }));
}

#[test]
fn compress_waits_for_everything_before_and_holds_everything_behind() {
    let mut client = greeted();
    let noop = client.submit(Command::noop());
    let compress = client.submit(Command::compress_deflate());
    let behind = client.submit(Command::noop());
    assert_eq!(written(&mut client).0, format!("{noop} NOOP\r\n"));
    events(&mut client, format!("{noop} OK done\r\n").as_bytes());
    assert_eq!(written(&mut client).0, format!("{compress} COMPRESS DEFLATE\r\n"));
    assert_eq!(client.compress_done(), None, "nothing said OK yet");
    events(&mut client, format!("{compress} OK active\r\n").as_bytes());
    assert_eq!(written(&mut client), (String::new(), Output::AwaitServer), "not before it can be compressed");
    assert_eq!(client.compress_done(), Some(Bytes::new()));
    assert_eq!(written(&mut client).0, format!("{behind} NOOP\r\n"));
    assert_eq!(client.compress_done(), None, "not twice");
}

#[test]
fn octets_read_beyond_the_ok_to_compress_are_no_lines_and_are_given_out_once() {
    // A line end and a whole line among them: they mean nothing before they are inflated.
    let compressed = b"\x01\r\n* BYE \xff{9}\r\n\x00";
    for read_at_once in 1..40 {
        let mut client = greeted();
        let tag = client.submit(Command::compress_deflate());
        written(&mut client);
        let input = [format!("* OK still here\r\n{tag} OK active\r\n").as_bytes(), compressed].concat();
        let (mut got, mut beyond) = (Vec::new(), None);
        for piece in input.chunks(read_at_once) {
            match &mut beyond {
                None => {
                    got.extend(events(&mut client, piece));
                    beyond = client.compress_done().map(Vec::from);
                }
                Some(beyond) => beyond.extend_from_slice(piece),
            }
        }
        let beyond = beyond.unwrap();
        assert_eq!(beyond, compressed, "{read_at_once} octets at once");
        assert!(matches!(&got[..], [Event::Untagged { .. }, Event::Tagged { .. }]), "{got:?}");
        assert_eq!(events(&mut client, b"* 1 EXISTS\r\n").len(), 1, "what is inflated is read on");
    }
}

#[test]
fn a_refused_compress_leaves_the_connection_as_it_was() {
    let mut client = greeted();
    let compress = client.submit(Command::compress_deflate());
    let behind = client.submit(Command::noop());
    written(&mut client);
    let no = format!("{compress} NO [COMPRESSIONACTIVE] TLS compresses\r\n* 2 EXISTS\r\n");
    assert_eq!(events(&mut client, no.as_bytes()).len(), 2);
    assert_eq!(client.compress_done(), None);
    assert_eq!(written(&mut client).0, format!("{behind} NOOP\r\n"));
}

#[test]
fn secrets_do_not_show() {
    let command = Command::login(b"ann", b"hunter2");
    assert_eq!(format!("{command:?}"), "Command(LOGIN)");
    let mut client = greeted();
    client.submit(command);
    assert!(!format!("{client:?}").contains("hunter2"));
}

#[test]
fn strings_go_out_in_the_plainest_form_that_holds_them() {
    let mut client = greeted();
    let tag = client.submit(Command::login(b"a b", b"p\"\\w"));
    assert_eq!(written(&mut client).0, format!("{tag} LOGIN \"a b\" \"p\\\"\\\\w\"\r\n"));
    events(&mut client, format!("{tag} NO x\r\n").as_bytes());
    let tag = client.submit(Command::status("Entw\u{fc}".as_bytes(), "MESSAGES"));
    assert_eq!(written(&mut client), (format!("{tag} STATUS {{6}}\r\n"), Output::AwaitServer));
    events(&mut client, b"+ go\r\n");
    assert_eq!(written(&mut client).0, "Entw\u{fc} (MESSAGES)\r\n");
}

// ---- the gate

#[test]
fn one_append_stops_before_its_last_octet() {
    let mut client = greeted();
    client.set_literal_mode(LiteralMode::Plus);
    let tag = client.submit(Command::append(b"INBOX", &[message(7)]));
    let gate = Client::gate_of(tag);
    let (text, output) = written(&mut client);
    assert_eq!((text, output), (format!("{tag} APPEND INBOX {DATE} {{7+}}\r\nxxxxxx"), Output::Gate(gate)));
    assert_eq!(client.next_output(), Output::Gate(gate), "and stays there");
    client.open_gate(gate);
    assert_eq!(written(&mut client), ("x\r\n".into(), Output::Idle));
}

#[test]
fn a_multiappend_stops_before_the_last_octet_of_its_last_message() {
    let mut client = greeted();
    client.set_literal_mode(LiteralMode::Plus);
    let tag = client.submit(Command::append(b"a b", &[message(2), message(1)]));
    let (text, output) = written(&mut client);
    assert_eq!(text, format!("{tag} APPEND \"a b\" {DATE} {{2+}}\r\nxx {DATE} {{1+}}\r\n"));
    assert_eq!(output, Output::Gate(Client::gate_of(tag)));
    client.open_gate(Client::gate_of(tag));
    assert_eq!(written(&mut client).0, "x\r\n");
}

#[test]
fn an_empty_last_message_stops_before_the_end_of_the_line() {
    for mode in [LiteralMode::Plus, LiteralMode::Synchronizing] {
        let mut client = greeted();
        client.set_literal_mode(mode);
        let tag = client.submit(Command::append(b"INBOX", &[message(0)]));
        let (_, mut output) = written(&mut client);
        if mode == LiteralMode::Synchronizing {
            assert_eq!(output, Output::AwaitServer);
            events(&mut client, b"+\r\n");
            output = written(&mut client).1;
        }
        assert_eq!(output, Output::Gate(Client::gate_of(tag)));
        client.open_gate(Client::gate_of(tag));
        assert_eq!(written(&mut client).0, "\r\n");
    }
}

#[test]
fn a_group_stops_before_the_last_octet_of_its_first_message_with_all_after_it() {
    let mut client = greeted();
    client.set_literal_mode(LiteralMode::Plus);
    let tags: Vec<Tag> = Command::append_group(b"INBOX", &[message(3), message(3)])
        .into_iter()
        .map(|c| client.submit(c))
        .collect();
    let (text, output) = written(&mut client);
    assert_eq!(text, format!("{} APPEND INBOX {DATE} {{3+}}\r\nxx", tags[0]));
    assert_eq!(output, Output::Gate(Client::gate_of(tags[0])));
    client.open_gate(Client::gate_of(tags[0]));
    assert_eq!(written(&mut client).0, format!("x\r\n{} APPEND INBOX {DATE} {{3+}}\r\nxxx\r\n", tags[1]));
}

#[test]
fn a_command_behind_a_shut_gate_waits_and_the_next_append_stops_at_its_own() {
    let mut client = greeted();
    client.set_literal_mode(LiteralMode::Plus);
    let first = client.submit(Command::append(b"INBOX", &[message(2)]));
    let second = client.submit(Command::append(b"INBOX", &[message(2)]));
    written(&mut client);
    client.open_gate(Client::gate_of(first));
    let (text, output) = written(&mut client);
    assert!(text.starts_with("x\r\n") && text.ends_with("{2+}\r\nx"), "{text}");
    assert_eq!(output, Output::Gate(Client::gate_of(second)));
}

#[test]
fn literals_go_without_waiting_only_where_the_server_said_so() {
    for (mode, len, plus) in [
        (LiteralMode::Synchronizing, 3, false),
        (LiteralMode::Minus, 4096, true),
        (LiteralMode::Minus, 4097, false),
        (LiteralMode::Plus, 4097, true),
    ] {
        let mut client = greeted();
        client.set_literal_mode(mode);
        client.submit(Command::append(b"INBOX", &[message(len)]));
        let (text, output) = written(&mut client);
        assert_eq!(text.contains(&format!("{{{len}+}}")), plus);
        assert_eq!(output == Output::AwaitServer, !plus);
    }
}

#[test]
fn a_no_instead_of_the_continuation_ends_the_command_and_the_connection_stays_usable() {
    let mut client = greeted();
    let tag = client.submit(Command::append(b"INBOX", &[message(10)]));
    let noop = client.submit(Command::noop());
    written(&mut client);
    let got = events(&mut client, format!("{tag} NO [OVERQUOTA] full\r\n").as_bytes());
    assert!(matches!(&got[..], [Event::Tagged { premature: false, .. }]), "{got:?}");
    assert_eq!(written(&mut client).0, format!("{noop} NOOP\r\n"));
}

#[test]
fn a_no_instead_of_the_continuation_at_the_gate_of_a_group_ends_the_connection() {
    let mut client = greeted();
    let group = Command::append_group(b"INBOX", &[message(10), message(2), message(2)]);
    let tags: Vec<Tag> = group.into_iter().map(|command| client.submit(command)).collect();
    written(&mut client);
    let got = events(&mut client, format!("{} NO [OVERQUOTA] full\r\n", tags[0]).as_bytes());
    assert!(matches!(&got[..], [Event::Tagged { premature: true, .. }]), "{got:?}");
    assert!(!client.has_begun(tags[1]), "what relies on its gate has not gone out");

    // Behind it another batch has a gate of its own.
    let mut client = greeted();
    let first = client.submit(Command::append(b"INBOX", &[message(10)]));
    client.submit(Command::append(b"INBOX", &[message(2)]));
    written(&mut client);
    let got = events(&mut client, format!("{first} NO [OVERQUOTA] full\r\n").as_bytes());
    assert!(matches!(&got[..], [Event::Tagged { premature: false, .. }]), "{got:?}");
}

#[test]
fn a_no_while_octets_go_out_unasked_is_premature() {
    let mut client = greeted();
    client.set_literal_mode(LiteralMode::Plus);
    let tag = client.submit(Command::append(b"INBOX", &[message(10)]));
    written(&mut client);
    let got = events(&mut client, format!("{tag} NO [TOOBIG] no\r\n").as_bytes());
    assert!(matches!(&got[..], [Event::Tagged { premature: true, .. }]), "{got:?}");
}

// ---- any input, any split

const TRANSCRIPT: &[u8] = b"* CAPABILITY IMAP4rev1 LITERAL+\r\n* LIST (\\Sent) \"/\" {4}\r\nS\xe4nt\r\n\
    * 1 FETCH (UID 1 FLAGS (\\Seen) BODY[] {12}\r\n* 9 EXISTS\r\n INTERNALDATE \"x\")\r\n* OK hi {3}\r\n\
    * 2 FETCH (BODY[HEADER.FIELDS (A B)]<0> {2}\r\nhi UID 2)\r\n* STATUS a (MESSAGES 1)\r\n";

/// Events with neighbouring chunks joined.
fn joined(pieces: &[&[u8]]) -> Vec<String> {
    let mut client = greeted();
    let mut all: Vec<String> = Vec::new();
    let mut body = Vec::new();
    for piece in pieces {
        for event in events(&mut client, piece) {
            match event {
                Event::BodyChunk(octets) => body.extend_from_slice(&octets),
                other => {
                    if !body.is_empty() {
                        all.push(format!("{:?}", Bytes::from(std::mem::take(&mut body))));
                    }
                    all.push(format!("{other:?}"));
                }
            }
        }
    }
    all
}

#[test]
fn octet_by_octet_gives_the_same_events() {
    let octets: Vec<&[u8]> = TRANSCRIPT.chunks(1).collect();
    assert_eq!(joined(&octets), joined(&[TRANSCRIPT]));
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(mut cuts in proptest::collection::vec(0usize..TRANSCRIPT.len(), 0..6)) {
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts {
            pieces.push(&TRANSCRIPT[at..cut]);
            at = cut;
        }
        pieces.push(&TRANSCRIPT[at..]);
        prop_assert_eq!(joined(&pieces), joined(&[TRANSCRIPT]));
    }

    #[test]
    fn no_octets_make_it_panic_or_loop(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut client = greeted();
        client.feed(&octets);
        for _ in 0..1000 {
            match client.next_event() {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        prop_assert!(false, "more events than octets");
    }

    #[test]
    fn a_changed_octet_never_makes_it_panic(at in 0usize..TRANSCRIPT.len(), octet in any::<u8>()) {
        let mut octets = TRANSCRIPT.to_vec();
        octets[at] = octet;
        let mut client = greeted();
        client.feed(&octets);
        while let Ok(Some(_)) = client.next_event() {}
    }
}

/// A client that said LOGIN to a server with UIDPLUS before it, and what the server answers.
fn capabilities_after_login(answer: &str) -> Option<bool> {
    let mut client = greeted();
    events(&mut client, b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n");
    client.submit(Command::login(b"ann", b"secret"));
    written(&mut client);
    events(&mut client, answer.as_bytes());
    client.capabilities().map(Capabilities::uidplus)
}

#[test]
fn a_login_ends_what_was_announced_before_it_unless_it_fails() {
    assert_eq!(capabilities_after_login("m1 OK in\r\n"), None);
    assert_eq!(capabilities_after_login("m1 OK [CAPABILITY IMAP4rev1] in\r\n"), Some(false));
    assert_eq!(capabilities_after_login("* CAPABILITY IMAP4rev1\r\nm1 OK in\r\n"), Some(false));
    assert_eq!(capabilities_after_login("m1 NO wrong\r\n"), Some(true));
    assert_eq!(capabilities_after_login("+ \r\n"), Some(true), "it still runs");
}
