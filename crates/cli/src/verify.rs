//! `mailhaul verify`: from the journal, or from a certificate alone.

use crate::args::VerifyArgs;
use crate::command::{Keep, Ready, ready_in, start_log};
use crate::error::Failure;
use crate::find;
use crate::output::warn;
use crate::secrets::Ask;
use mailhaul_engine::certificate::Certificate;
use mailhaul_engine::run::SourceLook;
use std::path::Path;

/// Runs the verb to its exit code.
pub async fn verify(args: &VerifyArgs) -> Result<u8, Failure> {
    start_log(&args.common.place.output)?;
    match &args.certificate {
        Some(file) => from_certificate(args, file).await,
        None => {
            // Without a journal there is nothing to verify, and nobody is asked where.
            let place = find::known_place(&args.common.place).await?;
            run(args, &ready(args, place).await?).await
        }
    }
}

async fn ready(args: &VerifyArgs, place: find::Place) -> Result<Ready, Failure> {
    let ready = ready_in(&args.common, place, [ask(args), Ask::Now], Keep::Journal).await?;
    ready.refused().map_or(Ok(ready), |error| Err(error.into()))
}

/// Whether the old account is logged in to.
fn ask(args: &VerifyArgs) -> Ask {
    if args.target_only { Ask::Never } else { Ask::Now }
}

async fn run(args: &VerifyArgs, ready: &Ready) -> Result<u8, Failure> {
    let look = match (args.target_only, args.reread_source) {
        (true, _) => SourceLook::Nothing,
        (false, true) => SourceLook::Octets,
        (false, false) => SourceLook::Listing,
    };
    let level = ready.migration.settings.level;
    let end = ready.with_progress(ready.migration.verify(level, look)).await?;
    ready.report(&end).await
}

/// Nothing is used but the certificate, its manifest and the two servers: the journal is a new one, made of them, and
/// removed at the end. The report goes where `--report` says, else nowhere.
async fn from_certificate(args: &VerifyArgs, file: &Path) -> Result<u8, Failure> {
    let certificate = Certificate::read(file)?;
    let folder = find::temporary_folder()?;
    let mut place = find::place(&args.common).await?;
    if place.pair != certificate.pair {
        let (said, typed) = (&certificate.pair, &place.pair);
        let text = format!(
            "the certificate is about {} -> {}; looked at are {} -> {}",
            said.source, said.target, typed.source, typed.target
        );
        warn(&args.common.place.output, &text);
    }
    (place.pair, place.typed) = (certificate.pair.clone(), None);
    place.journal = folder.path().join("journal.sqlite");
    if args.common.place.report.is_none() {
        (place.report, place.report_is_temporary) = (folder.path().join("report"), true);
    }
    let ready = ready(args, place).await?;
    certificate.import(&ready.migration.journal).await?;
    run(args, &ready).await
}
