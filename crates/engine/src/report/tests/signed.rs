//! Certificates that are signed: what is found, and what is said of it.

use super::*;
use crate::certificate::{Certificate, Signer};
use crate::message::Digest;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

/// A small account, so that every octet can be changed once.
fn small() -> Plain {
    let mut plain = Plain::new();
    plain.mailbox("INBOX", "INBOX", 3);
    plain
}

/// A folder with its report, by `signer`.
async fn written(plain: Plain, signer: Option<Signer>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("report");
    write(&plain.journal(), &Facts { signer, ..run_facts() }, &place).await.unwrap();
    let certificate = place.join(CERTIFICATE);
    (folder, certificate)
}

/// Changes one octet of a file in its place: thousands of files written anew would take long.
fn put(path: &Path, at: usize, octet: u8) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[octet]).unwrap();
}

/// Why a certificate is refused, in words.
fn refused(certificate: &Path) -> String {
    Certificate::read(certificate).err().map(|e| e.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn a_certificate_is_signed_over_its_octets_also_the_one_kept_of_its_run() {
    let (_folder, certificate) = written(small(), Some(example::signer())).await;
    for file in [certificate.clone(), certificate.with_file_name("certificate-1.json")] {
        let read = Certificate::read(&file).unwrap();
        assert_eq!(read.signer, Some(example::signer().public()));
        let (octets, signature) = (std::fs::read(&file), std::fs::read(file.with_extension("json.sig")));
        assert!(example::signer().public().signed(&octets.unwrap(), &signature.unwrap()));
        read.must_be_signed_by(example::signer().public().fingerprint()).unwrap();
        let other = read.must_be_signed_by(Digest([7; 32])).unwrap_err();
        assert!(other.to_string().contains("it is signed by the key "), "{other}");
        assert_eq!(exit_code_of(&other), 10);
    }
}

#[tokio::test]
async fn every_octet_of_certificate_manifest_and_signature_that_is_changed_is_found() {
    let (_folder, certificate) = written(small(), Some(example::signer())).await;
    for name in [CERTIFICATE, "certificate.json.sig", MANIFEST] {
        let path = certificate.with_file_name(name);
        let octets = std::fs::read(&path).unwrap();
        assert!(octets.len() >= 64, "{name}");
        for (at, octet) in octets.iter().enumerate() {
            // Each bit has its turn.
            put(&path, at, octet ^ (1 << (at % 8)));
            let error = refused(&certificate);
            let says = if name == MANIFEST { "is not the manifest it certifies" } else { "does not fit" };
            assert!(error.contains(says), "octet {at} of {name}: {error:?}");
            put(&path, at, *octet);
        }
        for cut in [&octets[..octets.len() - 1], &[&octets[..], b"\n"].concat(), b""] {
            std::fs::write(&path, cut).unwrap();
            assert!(!refused(&certificate).is_empty(), "{name} with {} octets", cut.len());
        }
        std::fs::write(&path, &octets).unwrap();
        assert_eq!(refused(&certificate), "");
    }
}

#[tokio::test]
async fn an_octet_of_the_public_key_that_is_changed_is_found_or_changes_nothing_of_the_key() {
    let (_folder, certificate) = written(small(), Some(example::signer())).await;
    let path = certificate.with_file_name("certificate.json.pem");
    let octets = std::fs::read(&path).unwrap();
    let mut found = 0;
    for (at, octet) in octets.iter().enumerate() {
        put(&path, at, octet ^ 1);
        match Certificate::read(&certificate) {
            Ok(read) => assert_eq!(read.signer, Some(example::signer().public()), "octet {at}"),
            Err(_) => found += 1,
        }
        put(&path, at, *octet);
    }
    assert!(found >= 59, "{found} of its 60 octets of base64");
}

#[tokio::test]
async fn a_signature_of_another_key_is_found_by_the_key_that_the_certificate_names() {
    let (_folder, certificate) = written(small(), Some(example::signer())).await;
    let (other, _) = Signer::generate().unwrap();
    let octets = std::fs::read(&certificate).unwrap();
    std::fs::write(certificate.with_file_name("certificate.json.sig"), other.sign(&octets).unwrap()).unwrap();
    assert!(refused(&certificate).contains("does not fit"), "with the first key beside it");
    std::fs::write(certificate.with_file_name("certificate.json.pem"), other.public().to_pem()).unwrap();
    let error = refused(&certificate);
    assert!(error.contains("and names"), "{error}");
    let files = [
        certificate.with_file_name("certificate.json.sig"),
        certificate.with_file_name("certificate.json.pem"),
    ];
    std::fs::remove_file(&files[1]).unwrap();
    assert!(refused(&certificate).contains("certificate.json.pem"));
    std::fs::remove_file(&files[0]).unwrap();
    let error = refused(&certificate);
    assert!(error.contains("it is signed, and its signature"), "a signature that was taken away: {error}");
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_read_and_is_not_taken_for_anybodys() {
    let (_folder, certificate) = written(small(), None).await;
    let read = Certificate::read(&certificate).unwrap();
    assert_eq!(read.signer, None);
    assert!(read.must_be_signed_by(Digest([7; 32])).unwrap_err().to_string().contains("it is not signed"));
    // A signature that it does not speak of is none of its own.
    let octets = std::fs::read(&certificate).unwrap();
    let signer = example::signer();
    std::fs::write(certificate.with_file_name("certificate.json.sig"), signer.sign(&octets).unwrap())
        .unwrap();
    std::fs::write(certificate.with_file_name("certificate.json.pem"), signer.public().to_pem()).unwrap();
    assert!(refused(&certificate).contains("it names no signer"));
}

#[tokio::test]
async fn another_signer_is_news_and_none_leaves_no_signature_behind() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join(CERTIFICATE);
    let write_by = async |signer: Option<Signer>| {
        let facts = Facts { signer, ..run_facts() };
        write(&small().journal(), &facts, folder.path()).await.unwrap().changed
    };
    let (other, _) = Signer::generate().unwrap();
    assert!(write_by(Some(example::signer())).await);
    assert!(!write_by(Some(example::signer())).await);
    assert!(write_by(Some(other.clone())).await);
    assert_eq!(Certificate::read(&certificate).unwrap().signer, Some(other.public()));
    assert!(write_by(None).await);
    assert_eq!(Certificate::read(&certificate).unwrap().signer, None);
    assert_eq!(Certificate::read(&folder.path().join("certificate-1.json")).unwrap().signer, None);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().path()).collect();
    let is_of_a_signature = |path: &PathBuf| path.extension().is_some_and(|e| e == "sig" || e == "pem");
    assert!(!left.iter().any(is_of_a_signature), "{left:?}");
    assert!(!write_by(None).await);
}

#[tokio::test]
async fn page_and_summary_name_the_key_and_say_what_the_signature_proves() {
    let fingerprint = example::signer().public().fingerprint().to_string();
    let signed = report(small()).await;
    let page = super::super::html::html(&signed);
    assert_eq!(page.matches(&fingerprint).count(), 2, "as a fact, and below the command that prints it");
    let lines = signed.signature_lines();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    assert!(lines.iter().any(|line| line.trim() == fingerprint), "{lines:#?}");
    for text in [page, lines.join(" ")] {
        for said in [
            "with one that you got another way",
            "was changed since",
            "whoever has the key file can sign",
            "whoever can write to this folder can replace",
            "report.html, report.json and exceptions/*.eml are not signed",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        assert!(!text.contains("this installation"), "a key does not say whose it is: {text}");
    }
    let facts = Facts { signer: None, ..run_facts() };
    let unsigned = collect(&small().journal(), &facts).await.unwrap();
    let page = super::super::html::html(&unsigned);
    assert!(page.contains("The certificate is not signed") && !page.contains("openssl"));
    assert!(unsigned.signature_lines()[0].starts_with("The certificate is not signed"));
}

#[tokio::test]
async fn the_private_key_is_in_no_file_of_the_report_and_in_nothing_that_is_shown() {
    let (signer, pem) = Signer::generate().unwrap();
    let (_folder, certificate) = written(example::exceptions(), Some(signer.clone())).await;
    let secret = pem.lines().nth(1).unwrap();
    // The last 42 characters are of the key alone, before it stands the algorithm.
    let secret = &secret[secret.len() - 42..];
    for file in std::fs::read_dir(certificate.parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains(secret), "{}", path.display());
    }
    let facts = Facts { signer: Some(signer), ..run_facts() };
    let shown = format!("{:?}", collect(&small().journal(), &facts).await.unwrap());
    assert!(shown.contains("Signer(") && !shown.contains(secret));
}

#[tokio::test]
async fn a_manifest_that_is_changed_after_it_was_checked_is_refused_before_anything_is_verified() {
    use crate::journal::memory::MemoryStore;
    let (_folder, certificate) = written(small(), Some(example::signer())).await;
    let read = Certificate::read(&certificate).unwrap();
    let path = certificate.with_file_name(MANIFEST);
    let text = std::fs::read_to_string(&path).unwrap();
    let import = async || read.import(&MemoryStore::new().open(&read.pair).unwrap()).await;
    import().await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let twice = format!("{}\n{}\n{}\n", lines[0], lines[0], lines[2]);
    let changes = [
        text.replacen("2026", "2025", 1).replacen("\"uid\":3", "\"uid\":9", 1),
        // What the import itself stumbles over is no other error.
        twice,
        text.replacen("\"state\":\"verified\"", "\"state\":\"verifiee\"", 1),
        text.replacen("{", "[", 1),
    ];
    for changed in changes {
        assert_ne!(changed, text);
        assert_eq!(changed.lines().count(), 3);
        std::fs::write(&path, &changed).unwrap();
        let error = import().await.unwrap_err();
        assert!(error.to_string().contains("was changed after it was checked"), "{error}");
        assert_eq!(exit_code_of(&error), 10);
    }
    std::fs::write(&path, &text).unwrap();
    import().await.unwrap();
}
