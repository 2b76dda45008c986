//! The report's files, and nothing else of its folder: a closed list of names.

use super::app::{App, Course};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mailhaul_engine::certificate::{PUBLIC_KEY_SUFFIX, SIGNATURE_SUFFIX};
use mailhaul_engine::report::{CERTIFICATE, MANIFEST, REPORT_HTML, REPORT_JSON, html};
use serde::Deserialize;
use std::path::Component;
use std::sync::Arc;
use tokio_util::io::ReaderStream;

/// What `report.json` says of the originals that were saved.
#[derive(Deserialize)]
struct Named {
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    file: Option<String>,
}

/// The file that a path ends with.
#[derive(Deserialize)]
pub struct Asked {
    file: String,
}

/// A file of the latest report.
pub async fn report(State(app): State<Arc<App>>, Path(Asked { file: name }): Path<Asked>) -> Response {
    let folder = match app.course() {
        Course::Over(over) => over.report.clone(),
        Course::Before | Course::Under(_) => None,
    };
    let Some(folder) = folder else { return StatusCode::NOT_FOUND.into_response() };
    let originals = tokio::fs::read(folder.join(REPORT_JSON)).await.unwrap_or_default();
    let Some((kind, is_download)) = kind(&name, &originals) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(file) = tokio::fs::File::open(folder.join(&name)).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if is_download {
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    let policy = format!("{}; frame-ancestors 'none'", html::policy());
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    (headers, Body::from_stream(ReaderStream::new(file))).into_response()
}

/// The type of a file that may be had, and whether it is saved instead of shown. `report`: the octets of `report.json`.
fn kind(name: &str, report: &[u8]) -> Option<(&'static str, bool)> {
    match name {
        REPORT_HTML => Some(("text/html; charset=utf-8", false)),
        REPORT_JSON | CERTIFICATE => Some(("application/json", false)),
        MANIFEST => Some(("application/x-ndjson", true)),
        name if name
            .strip_prefix(CERTIFICATE)
            .is_some_and(|end| [SIGNATURE_SUFFIX, PUBLIC_KEY_SUFFIX].contains(&end)) =>
        {
            Some(("application/octet-stream", true))
        }
        name => {
            let named: Named = serde_json::from_slice(report).ok()?;
            let is_original = named.exceptions.iter().any(|e| e.file.as_deref() == Some(name));
            let is_plain =
                std::path::Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            (is_original && is_plain).then_some(("message/rfc822", true))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_report_wrote_can_be_had() {
        let report = br#"{"exceptions":[{"file":"exceptions/INBOX_7-m1-e2.eml"},{"file":null},{"file":"../../secret"}]}"#;
        for (name, is_download) in [
            ("report.html", false),
            ("report.json", false),
            ("certificate.json", false),
            ("manifest.ndjson", true),
            ("certificate.json.sig", true),
            ("certificate.json.pem", true),
            ("exceptions/INBOX_7-m1-e2.eml", true),
        ] {
            assert_eq!(kind(name, report).map(|(_, d)| d), Some(is_download), "{name}");
        }
        for name in [
            "",
            "journal.sqlite",
            "exceptions/other.eml",
            "exceptions",
            "../report.html",
            "../../secret",
            "/etc/passwd",
            "./report.html",
            "report.html/",
            "certificate-1.json",
            "certificate.json.sig/..",
            "certificate.json.exe",
        ] {
            assert_eq!(kind(name, report), None, "{name}");
        }
        assert_eq!(kind("exceptions/INBOX_7-m1-e2.eml", b"no JSON"), None);
    }
}
