//! Writes the folder of the report, or leaves it as it is when nothing new is to be said.

use super::{Facts, MANIFEST, Report, Times, collect, files};
use crate::certificate::{self, PUBLIC_KEY_SUFFIX, SIGNATURE_SUFFIX};
use crate::error::Error;
use crate::journal::Journal;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The page for people.
pub const REPORT_HTML: &str = "report.html";
/// The same for programs.
pub const REPORT_JSON: &str = "report.json";
/// The certificate of the latest run; that of run 7 is also kept as `certificate-7.json`. Where it is signed, the
/// signature (`.sig`) and the public key (`.pem`) lie beside either.
pub const CERTIFICATE: &str = "certificate.json";

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// What the files say.
    pub report: Report,
    /// The folder.
    pub folder: PathBuf,
    /// False when nothing new was to be said, or less than before, and the files were left as they are.
    pub changed: bool,
    /// True when the files were left because the certificate there says with which level of proof and danger options the run
    /// was made, and this one could not.
    pub left: bool,
}

impl Written {
    /// The lines for a terminal, with the place of the report.
    pub fn summary_lines(&self) -> Vec<String> {
        self.report.summary_lines(Some(&self.folder.join(REPORT_HTML)))
    }
}

/// Walks the journal and writes `report.html`, `report.json`, `certificate.json`, `certificate-<run>.json` and
/// `manifest.ndjson` into `folder`; with a signer also the signature and the public key beside each certificate.
///
/// When all but the times is as the files there say, octet for octet, none of them is touched; nor where a certificate
/// there knows the level of the run, and `facts` do not.
pub async fn write<J: Journal>(journal: &J, facts: &Facts, folder: &Path) -> Result<Written, Error> {
    let (report, manifest) = collect::walk(journal, facts, Some(folder)).await?;
    let place = folder.to_owned();
    let work = move || {
        let left = knows_less(&report, &place);
        let changed = !left && publish(&report, manifest, &place)?;
        Ok(Written { report, folder: place, changed, left })
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| files::failed(folder, &std::io::Error::other(e)))?
}

/// The files that are renderings of the report, by name.
fn render(report: &Report) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let certificate = certificate::json(report)?;
    let mut files = Vec::new();
    if let Some(signer) = &report.facts.signer {
        let failed =
            |e: certificate::KeyError| Error::Report { path: signature(CERTIFICATE), what: e.to_string() };
        files.push((signature(CERTIFICATE), signer.sign(&certificate).map_err(failed)?));
        files.push((key(CERTIFICATE), signer.public().to_pem().into_bytes()));
    }
    files.push((CERTIFICATE.into(), certificate));
    files.push((REPORT_JSON.into(), super::json::json(report)?));
    files.push((REPORT_HTML.into(), super::html::html(report).into_bytes()));
    Ok(files)
}

fn signature(certificate: &str) -> String {
    format!("{certificate}{SIGNATURE_SUFFIX}")
}

fn key(certificate: &str) -> String {
    format!("{certificate}{PUBLIC_KEY_SUFFIX}")
}

/// The name under which the certificate of this run is kept.
fn kept(report: &Report) -> Option<String> {
    (report.times.run > 0).then(|| format!("certificate-{}.json", report.times.run))
}

/// Whether a certificate that would be replaced says more of the run than this one could.
fn knows_less(report: &Report, folder: &Path) -> bool {
    #[derive(serde::Deserialize)]
    struct Said {
        level: Option<String>,
    }
    let knows = |name: &str| match std::fs::read(folder.join(name)) {
        Ok(held) => serde_json::from_slice::<Said>(&held).map_or(true, |said| said.level.is_some()),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    report.facts.level.is_none() && (knows(CERTIFICATE) || kept(report).is_some_and(|name| knows(&name)))
}

/// `manifest` is the new one, where it differs from the one in the folder. A stop between two files leaves a report that is not as it
/// should be, and the next one replaces it.
fn publish(report: &Report, manifest: Option<NamedTempFile>, folder: &Path) -> Result<bool, Error> {
    if manifest.is_none() && is_unchanged(report, folder)? {
        return Ok(false);
    }
    let at = |path: &Path, e: std::io::Error| files::failed(path, &e);
    let manifest_path = folder.join(MANIFEST);
    match manifest {
        Some(file) => crate::files::publish(file, &manifest_path).map_err(|e| at(&manifest_path, e))?,
        // Somebody may have written another one since it was compared.
        None if files::sha256(&manifest_path).is_none_or(|held| held != report.manifest.sha256) => {
            let changed = std::io::Error::other("another report was written meanwhile: try again");
            return Err(at(&manifest_path, changed));
        }
        None => {}
    }
    let kept = kept(report);
    if report.facts.signer.is_none() {
        // The signature of another certificate makes none of this one.
        for certificate in [Some(CERTIFICATE), kept.as_deref()].into_iter().flatten() {
            for path in [signature(certificate), key(certificate)].map(|name| folder.join(name)) {
                files::remove(&path).map_err(|e| at(&path, e))?;
            }
        }
    }
    for (name, content) in render(report)? {
        let again = kept.as_ref().and_then(|kept| Some(format!("{kept}{}", name.strip_prefix(CERTIFICATE)?)));
        for path in [Some(name), again].into_iter().flatten().map(|name| folder.join(name)) {
            crate::files::replace_private(&path, &content).map_err(|e| at(&path, e))?;
        }
    }
    Ok(true)
}

/// Renders the report with the times of the one in the folder: the same octets mean that nothing new is to be said, where the
/// manifest is the same, too.
fn is_unchanged(report: &Report, folder: &Path) -> Result<bool, Error> {
    let Ok(held) = std::fs::read(folder.join(REPORT_JSON)) else { return Ok(false) };
    let Ok(times) = serde_json::from_slice::<Times>(&held) else { return Ok(false) };
    let as_of_then = Report { times, ..report.clone() };
    Ok(render(&as_of_then)?.iter().all(|(name, content)| files::holds(&folder.join(name), content)))
}
