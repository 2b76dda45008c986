//! The `mailhaul` command: parse, run, exit code. What it does is in the library.

mod account;
mod args;
mod command;
mod demo;
#[cfg(test)]
mod documents;
mod env;
mod error;
mod find;
mod manuals;
mod oauth;
mod output;
mod secrets;
mod signing_key;
mod token_file;
mod verify;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::say(&format!("mailhaul: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(command::run(cli.command));
    // Threads that still wait for a disk or a name server do not hold the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}
