//! Servers that nobody here has run, simulated from what is public of them. A profile shows what the engine does with a server
//! that behaves so, not how the server behaves. What is written of each is from the threads and pages that docs/servers.md and
//! docs/quirks.md name.

use crate::profile::{Childless, LoneLf, Profile};

fn names(capabilities: &[&str]) -> Vec<String> {
    capabilities.iter().map(|name| (*name).to_owned()).collect()
}

/// A line of header before all others: what servers do that take messages apart and put them together again.
fn with_line(line: &str, octets: &[u8]) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", octets].concat()
}

impl Profile {
    /// IMAP4rev1 with LOGIN alone: no extension, no UIDPLUS, no mechanism of SASL.
    pub fn login_alone() -> Self {
        Self { mechanisms: Vec::new(), ..Self::bare() }
    }

    /// IMAP4rev2 (RFC 9051) alone: what it absorbed is not announced, names are UTF-8, there is no `\Recent`.
    pub fn revision_2() -> Self {
        Self {
            rev2: true,
            literal_plus: false,
            multiappend: false,
            compress: false,
            quota: false,
            ..Self::default()
        }
    }

    /// Exchange: no MULTIAPPEND, no CONDSTORE, no SPECIAL-USE; sizes that are estimates (vandelay#12); messages put together
    /// anew; the connection ends with the tenth BAD (imapsync FAQ.Exchange).
    pub fn exchange() -> Self {
        Self {
            greeting: "The Microsoft Exchange IMAP4 service is ready.".into(),
            multiappend: false,
            special_use: false,
            status_size: false,
            quota: false,
            list_extended: false,
            list_status: false,
            condstore: false,
            compress: false,
            extra_capabilities: names(&["IMAP4", "UNSELECT", "CHILDREN", "IDLE"]),
            ends_at_bad: Some(10),
            size_adds: 1_200,
            rewrites: Some(|_, octets| with_line("X-MS-Exchange-Organization-AuthAs: Internal", octets)),
            ..Self::default()
        }
    }

    /// Microsoft 365: Exchange with tokens, and with the front end's name in its greeting.
    pub fn microsoft_365() -> Self {
        Self {
            greeting: "The Microsoft Exchange IMAP4 service is ready. [TABPAE4AUAAxADIA]".into(),
            mechanisms: vec!["PLAIN", "XOAUTH2"],
            ..Self::exchange()
        }
    }

    /// Yahoo: about five connections (blogs), MODSEQ under a name of its own (postalsys/imapflow#75). Its OBJECTID is left out: the
    /// sandbox has none.
    pub fn yahoo() -> Self {
        Self {
            greeting: "IMAP4rev1 Hello".into(),
            multiappend: false,
            status_size: false,
            quota: false,
            list_extended: false,
            list_status: false,
            condstore: false,
            compress: false,
            extra_capabilities: names(&["MOVE", "XYMHIGHESTMODSEQ", "CHILDREN", "X-MSG-EXT", "UNSELECT"]),
            connections_max: Some(5),
            ..Self::default()
        }
    }

    /// Courier: `INBOX.` and `.`, literals wait, a final line end is added, CR alone is dropped (probed by this project).
    pub fn courier() -> Self {
        Self {
            greeting: "Courier-IMAP ready. Copyright 1998-2022 Double Precision, Inc.".into(),
            literal_plus: false,
            multiappend: false,
            special_use: false,
            status_size: false,
            list_extended: false,
            list_status: false,
            condstore: false,
            sasl_ir: false,
            id: false,
            compress: false,
            delimiter: b'.',
            prefix: "INBOX.",
            extra_capabilities: names(&["CHILDREN", "THREAD=REFERENCES", "SORT", "IDLE"]),
            lone_lf: LoneLf::ToCrlf,
            rewrites: Some(|_, octets| {
                let mut kept: Vec<u8> = Vec::with_capacity(octets.len() + 2);
                for (at, octet) in octets.iter().enumerate() {
                    if *octet != b'\r' || octets.get(at + 1) == Some(&b'\n') {
                        kept.push(*octet);
                    }
                }
                if !kept.ends_with(b"\r\n") {
                    kept.extend_from_slice(b"\r\n");
                }
                kept
            }),
            ..Self::default()
        }
    }

    /// Domino: `\` between levels, no mailboxes below INBOX, headers changed (imapsync FAQ.Domino).
    pub fn domino() -> Self {
        Self {
            greeting: "Domino IMAP4 Server Release 10.0.1FP3 ready Wed, 30 Oct 2019 12:00:00 +0100".into(),
            literal_plus: true,
            delimiter: b'\\',
            childless: Childless::Inbox,
            quota: true,
            rewrites: Some(|_, octets| {
                with_line("X-MIMETrack: Itemize by IMAP Server on mail01/Example", octets)
            }),
            ..Self::bare()
        }
    }

    /// Proton Mail Bridge: MIME is written anew (proton-bridge#18, #26), RFC822.SIZE is wrong (imapsync#271, #254).
    pub fn proton() -> Self {
        Self {
            greeting: "Proton Mail Bridge 03.08.01 - gluon session ID 3".into(),
            uidplus: true,
            id: true,
            extra_capabilities: names(&["IDLE", "MOVE", "UNSELECT"]),
            size_adds: 340,
            rewrites: Some(|_, octets| {
                with_line("X-Pm-Gluon-Id: 8a3f2d10-0000-4000-8000-5b1d3c6e7f90", octets)
            }),
            ..Self::bare()
        }
    }
}
