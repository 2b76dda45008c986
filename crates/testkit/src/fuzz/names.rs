//! Mailbox names: what is encoded is decoded to itself, and two codecs written apart agree.

use mailhaul_imap::utf7;

use crate::mutf7;

/// The octets are taken for a name, and for what a server lists.
///
/// # Panics
/// If a name does not come back, its encoding is not one line of ASCII, or the two codecs differ where both
/// understand.
pub fn names(octets: &[u8]) {
    let name = String::from_utf8_lossy(octets);
    let wire = utf7::encode(&name);
    assert!(wire.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{wire:?}");
    assert_eq!(utf7::decode(wire.as_bytes()).as_deref(), Some(name.as_ref()), "{wire}");
    assert_eq!(wire, mutf7::encode(&name));
    assert_eq!(mutf7::decode(&wire).as_deref(), Some(name.as_ref()), "{wire}");

    let listed = utf7::decode(octets);
    assert_eq!(listed.is_some(), octets.is_ascii());
    if let (Some(ours), Ok(Some(theirs))) = (&listed, std::str::from_utf8(octets).map(mutf7::decode)) {
        assert_eq!(*ours, theirs, "{octets:?}");
    }
}
