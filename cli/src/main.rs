//! `adshadow`: look into, cut and add to AnnData files from the shell, without loading them.

mod add;
mod args;
mod consolidate;
mod failure;
mod files;
mod get;
mod open;
mod preview;
mod select;
mod show;
mod target;
mod text;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Show(args) => show::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Add(args) => add::run(&args),
        Command::Consolidate(args) => consolidate::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough (`| head`): nothing is wrong.
        Err(Failure::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("adshadow: error: {failure}");
            ExitCode::FAILURE
        }
    }
}
