//! Certificates for one server: a good one of an own authority, and bad ones that a client must refuse.

use std::io;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Which certificate a server shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerCertificate {
    /// For localhost, 127.0.0.1 and 127.0.0.2, by the authority whose PEM the server gives out.
    #[default]
    Good,
    /// As the good one, expired in 2020.
    Expired,
    /// By the authority, but for another host.
    OtherHost,
    /// For localhost, but signed by itself.
    SelfSigned,
}

/// A certificate chain with its key, and the authority to trust, all as PEM.
pub(super) struct Certificates {
    pub(super) ca_pem: String,
    pub(super) chain_pem: String,
    pub(super) key_pem: String,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    pub(super) fn issue(kind: ServerCertificate) -> io::Result<Self> {
        issue(kind).map_err(io::Error::other)
    }

    /// A certificate of the authority that names a user, and its key, as PEM.
    pub(super) fn of_client(&self, user: &str) -> io::Result<(String, String)> {
        let made = || {
            let mut params = CertificateParams::new(Vec::new())?;
            params.distinguished_name.push(DnType::CommonName, user);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &self.authority)?.pem(), key.serialize_pem()))
        };
        made().map_err(|error: rcgen::Error| io::Error::other(error))
    }
}

fn issue(kind: ServerCertificate) -> Result<Certificates, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, "Mailhaul test authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let hosts = if kind == ServerCertificate::OtherHost {
        vec!["mail.example.org".to_owned()]
    } else {
        ["localhost", "127.0.0.1", "127.0.0.2"].map(str::to_owned).to_vec()
    };
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    if kind == ServerCertificate::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate()?;
    let certificate = match kind {
        ServerCertificate::SelfSigned => params.self_signed(&key)?,
        _ => params.signed_by(&key, &authority)?,
    };
    let (ca_pem, chain_pem, key_pem) = (authority.pem(), certificate.pem(), key.serialize_pem());
    Ok(Certificates { ca_pem, chain_pem, key_pem, authority })
}
