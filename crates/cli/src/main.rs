//! The `mailhaul` command: parse, run, exit code. What it does is in the library.

mod account;
mod args;
mod command;
mod demo;
mod docs;
#[cfg(test)]
mod documents;
mod env;
mod error;
mod find;
mod guided;
mod hidden;
mod manuals;
mod oauth;
mod output;
mod secrets;
mod serve;
mod signals;
mod signing_key;
mod steps;
mod token_file;
mod verify;
mod view;

use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// Stack of the threads that everything is polled on. The first one of a process has 1 MiB on Windows, and what a limit leaves
/// elsewhere: a build that is not optimised needs more than 2 MiB.
const STACK_OCTETS: usize = 8 << 20;

fn main() -> ExitCode {
    match std::thread::Builder::new().name("main".to_owned()).stack_size(STACK_OCTETS).spawn(run) {
        // A panic has been told; it ends the process as one of the first thread does.
        Ok(running) => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(error) => {
            output::say(&format!("mailhaul: {error}"));
            ExitCode::from(1)
        }
    }
}

fn run() -> ExitCode {
    let args::Cli { command, steps } = args::Cli::parse();
    let Some(command) = command.or_else(|| guide(steps)) else {
        let _ = args::Cli::command().print_help();
        return ExitCode::from(error::USAGE);
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_OCTETS)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            output::say(&format!("mailhaul: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(command::run(command));
    // Threads that still wait for a disk or a name server do not hold the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Without a verb, whoever sits at the terminal is asked. `None`: nobody does, and nothing was said.
fn guide(steps: args::StepsArgs) -> Option<args::Command> {
    let is_asked = guided::has_somebody() || steps != args::StepsArgs::default();
    is_asked.then_some(args::Command::Guide(steps))
}
