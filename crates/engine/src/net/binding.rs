//! What a login can be bound to: octets that only the two ends of this very TLS connection know (RFC 9266), or the
//! certificate that the server showed (RFC 5929).

use super::der::{OBJECT_IDENTIFIER, SEQUENCE, value};
use crate::auth::Binding;
use aws_lc_rs::digest;
use rustls::ProtocolVersion;
use rustls::client::ClientConnection;

/// The label and the length of RFC 9266, 2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
const EXPORTER_OCTETS: usize = 32;

/// With TLS 1.3 the exporter; before, where the exporter needs more than every server does, the certificate.
pub(super) fn of(session: &ClientConnection) -> Option<Binding> {
    if session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
        let data = session.export_keying_material([0; EXPORTER_OCTETS], EXPORTER_LABEL, None).ok()?;
        return Some(Binding { name: "tls-exporter", data: data.to_vec() });
    }
    let certificate = session.peer_certificates()?.first()?;
    Some(Binding { name: "tls-server-end-point", data: end_point(certificate)? })
}

/// The certificate under the digest of its signature, SHA-256 in the place of weaker ones (RFC 5929, 4.1). `None` where
/// the signature has none of its own (Ed25519) or several (RSA-PSS).
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match signature_algorithm(certificate)? {
        MD5_RSA | SHA1_RSA | SHA1_ECDSA | SHA256_RSA | SHA256_ECDSA => &digest::SHA256,
        SHA384_RSA | SHA384_ECDSA => &digest::SHA384,
        SHA512_RSA | SHA512_ECDSA => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

// Object identifiers of signatures (RFC 8017, appendix C; RFC 5758, 3.2), as DER writes them.
const MD5_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4];
const SHA1_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const SHA384_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const SHA512_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const SHA1_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const SHA256_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const SHA384_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const SHA512_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, … }, … }` (RFC 5280, 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (inside, _) = value(certificate, SEQUENCE)?;
    let (_, after_tbs) = value(inside, SEQUENCE)?;
    let (algorithm, _) = value(after_tbs, SEQUENCE)?;
    Some(value(algorithm, OBJECT_IDENTIFIER)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate in outline: to be signed (200 octets of it), algorithm, signature.
    fn certificate(oid: &[u8]) -> Vec<u8> {
        let mut algorithm = vec![OBJECT_IDENTIFIER, oid.len() as u8];
        algorithm.extend(oid);
        let mut inside = vec![SEQUENCE, 0x81, 200];
        inside.extend([7; 200]);
        inside.extend([SEQUENCE, algorithm.len() as u8]);
        inside.extend(algorithm);
        inside.extend([3, 2, 0, 1]);
        let mut der = vec![SEQUENCE, 0x82, (inside.len() >> 8) as u8, inside.len() as u8];
        der.extend(inside);
        der
    }

    #[test]
    fn the_digest_is_that_of_the_signature_and_never_a_weak_one() {
        for (oid, octets) in [(SHA1_RSA, 32), (SHA256_ECDSA, 32), (SHA384_RSA, 48), (SHA512_ECDSA, 64)] {
            assert_eq!(end_point(&certificate(oid)).unwrap().len(), octets);
        }
        assert_eq!(end_point(&certificate(&[0x2b, 0x65, 0x70])), None, "Ed25519");
    }

    #[test]
    fn what_is_no_certificate_binds_nothing() {
        let whole = certificate(SHA256_RSA);
        for end in 0..whole.len() - 4 {
            assert_eq!(end_point(&whole[..end]), None, "{end}");
        }
        assert_eq!(end_point(&[SEQUENCE, 0xff, 1, 2, 3]), None);
    }
}
