//! `adshadow`: look into, cut and add to AnnData files from the shell, without loading them.

mod add;
mod args;
mod ask;
mod consolidate;
mod failure;
mod files;
mod get;
mod open;
mod preview;
mod progress;
mod select;
mod show;
mod target;
mod text;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let command = Args::parse().command;
    // To whoever asks what is wrong, 1 means that something is.
    let failed = if matches!(command, Command::Verify(_)) { ExitCode::from(2) } else { ExitCode::FAILURE };
    let done = |()| ExitCode::SUCCESS;
    let outcome = match command {
        Command::Show(args) => show::run(&args).map(done),
        Command::Get(args) => get::run(&args).map(done),
        Command::Add(args) => add::run(&args).map(done),
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => verify::repair(&args),
        Command::Consolidate(args) => consolidate::run(&args).map(done),
    };
    match outcome {
        Ok(code) => code,
        // The reader has seen enough (`| head`): nothing is wrong.
        Err(Failure::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("adshadow: error: {failure}");
            failed
        }
    }
}
