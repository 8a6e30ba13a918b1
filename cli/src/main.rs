//! `adshadow`: look into, cut and change AnnData files from the shell, without loading them.

mod args;
mod ask;
mod changes;
mod compact;
mod consolidate;
mod delta;
mod failure;
mod files;
mod get;
mod index;
mod open;
mod preview;
mod progress;
mod select;
mod show;
mod stats;
mod target;
mod text;
mod values;
mod verify;

use std::process::ExitCode;

use anndata_shadow::Error;
use clap::Parser;

use args::{Args, Command, Safely, WriteArgs};
use delta::Edit;
use failure::Failure;
use progress::INTERRUPTED;

fn main() -> ExitCode {
    let command = Args::parse().command;
    // To whoever asks what is wrong, 1 means that something is.
    let failed = if matches!(command, Command::Verify(_)) { ExitCode::from(2) } else { ExitCode::FAILURE };
    let done = |()| ExitCode::SUCCESS;
    let outcome = match command {
        Command::Show(args) => show::run(&args).map(done),
        Command::Get(args) => get::run(&args).map(done),
        Command::Stats(args) => stats::run(&args).map(done),
        Command::Add(args) => {
            delta::run(&args.path, &[Edit::Add { path: args.element, from: args.from }], &args.how).map(done)
        }
        Command::Set(args) => {
            delta::run(&args.path, &[Edit::Set { path: args.element, from: args.from }], &args.how).map(done)
        }
        Command::Rm(args) => {
            let edits: Vec<Edit> = args.elements.into_iter().map(|path| Edit::Remove { path }).collect();
            delta::run(&args.path, &edits, &args.how).map(done)
        }
        Command::Mv(args) => {
            delta::run(&args.path, &[Edit::Move { old: args.old, new: args.new }], &args.how).map(done)
        }
        Command::Apply(args) => {
            changes::read(&args.changes).and_then(|edits| delta::run(&args.path, &edits, &args.how)).map(done)
        }
        Command::Diff(args) => {
            let how = WriteArgs { dry_run: true, safety: Safely::Journal, lock: args.lock };
            changes::read(&args.changes).and_then(|edits| delta::run(&args.path, &edits, &how)).map(done)
        }
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => verify::repair(&args),
        Command::Compact(args) => compact::run(&args).map(done),
        Command::Recover(args) => verify::recover(&args).map(done),
        Command::Index(args) => index::run(&args).map(done),
        Command::Consolidate(args) => consolidate::run(&args).map(done),
    };
    match outcome {
        Ok(code) => code,
        // The reader has seen enough (`| head`): nothing is wrong.
        Err(Failure::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("adshadow: error: {failure}");
            if matches!(failure, Failure::Library(Error::Cancelled { .. })) { INTERRUPTED.into() } else { failed }
        }
    }
}
