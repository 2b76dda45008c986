//! `mailhaul verify`: from the journal, or from a certificate alone.

use crate::account;
use crate::args::VerifyArgs;
use crate::command::{Keep, Ready, ready_in, start_log};
use crate::error::Failure;
use crate::find;
use crate::output::{note, warn};
use crate::secrets::Ask;
use crate::signing_key;
use mailhaul_engine::certificate::Certificate;
use mailhaul_engine::message::Digest;
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
    if !place.report_is_temporary {
        signing_key::check()?;
    }
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
    Ok(ready.report(&end).await?.code)
}

/// Nothing is used but the certificate, its manifest and the two servers: the journal is a new one, made of them, and
/// removed at the end. The report goes where `--report` says, else nowhere.
async fn from_certificate(args: &VerifyArgs, file: &Path) -> Result<u8, Failure> {
    let key = args.certificate_key.as_deref().map(account::fingerprint).transpose()?;
    let certificate = Certificate::read(file)?;
    if let Some(key) = key {
        certificate.must_be_signed_by(Digest(key))?;
    }
    say_who_signed(args, &certificate);
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
    let mut ready = ready(args, place).await?;
    // What the new report says rests on what the certified runs read, too.
    match certificate.danger.clone() {
        Some(danger) => ready.migration.settings.danger.extend(danger),
        None => warn(
            &args.common.place.output,
            "the certificate does not say with which danger options its runs were made",
        ),
    }
    certificate.import(&ready.migration.journal).await?;
    run(args, &ready).await
}

/// The signature fits, if there is one. Whose key it is, the certificate cannot say itself; whether it is the one that
/// signs here, a look at that says.
fn say_who_signed(args: &VerifyArgs, certificate: &Certificate) {
    let output = &args.common.place.output;
    let Some(signer) = certificate.signer else {
        let text = "the certificate is not signed: it does not tell who wrote it, or whether it was changed since. It is \
                    compared with the two servers all the same";
        return warn(output, text);
    };
    let mut text = match args.certificate_key {
        Some(_) => "The certificate is signed by the key that was asked for, and unchanged since.".to_owned(),
        None => format!(
            "The certificate is signed, and unchanged since, by the key with the SHA-256 {}.",
            signer.fingerprint()
        ),
    };
    let own = signing_key::own().map(|key| key == signer);
    text += match own {
        Some(true) => " It is this installation's own key.",
        Some(false) => " It is another key than this installation's.",
        None => "",
    };
    if args.certificate_key.is_none() && own != Some(true) {
        text += " Whose it is, the one who gave it to you can say; --certificate-key asks for it.";
    }
    note(output, &text);
}
