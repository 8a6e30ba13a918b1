//! Writers to whom one system call fails: no space, a broken disk, no permission, at every call by which an edit changes the
//! file system. What must come of it: a typed error, the store as it was, everything still pending; and when the cause is
//! gone, the same shadow writes. Needs strace.
//!
//! Each call fails with one of the three errors, in turn; `ADSHADOW_ERRORS=all` takes all three.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod stores;
mod trials;

use std::fmt::Write as _;
use std::path::Path;

use anndata_shadow::{Error, Mode};
use stores::copy;
use trials::reference::{Reference, child, names};
use trials::strace::{self, Point};
use trials::witness::Witness;
use trials::{Container, Edit, Held, folder, in_one_thread, picture_of, tree};

const ERRORS: [&str; 3] = ["ENOSPC", "EIO", "EACCES"];

/// Whether a call may fail without a word: it cleans up what the next opening would sweep as well, or there is another way.
fn may_fail(point: &Point, points: &[Point]) -> bool {
    match point.call.as_str() {
        "unlink" | "unlinkat" | "rmdir" | "fchown" => true,
        // Else the bytes are copied.
        "link" | "linkat" | "ioctl" => true,
        // That the journal is gone, at the very end: one that comes back is found to be carried out.
        "fsync" => points.iter().rfind(|p| p.call == "fsync").is_some_and(|last| last.nth == point.nth),
        _ => false,
    }
}

/// The child: edits, and tries again what fails, after a look at what the failure has left. Prints what went wrong with that; on
/// its own it checks nothing.
#[test]
fn child_edits() {
    let Ok(job) = std::env::var("ADSHADOW_TEST_EDIT") else { return };
    let [container, edit, path] = *job.split('|').collect::<Vec<_>>() else { panic!("{job}") };
    let (container, edit, path) = (Container::named(container), Edit::named(edit), Path::new(path));
    in_one_thread();
    let held = again("opening", || Held::open(container, path, Mode::ReadWrite));
    again("setting", || edit.apply(&held));
    let pending = format!("{:?}", held.changes());
    if let Err(error) = edit.write(&held, container) {
        failed("writing", &error);
        if format!("{:?}", held.changes()) != pending {
            println!("\nFAULT after the error pending is {:?}, not {pending}", held.changes());
        }
        if let Err(e) = held.picture() {
            println!("\nFAULT after the error reading gives {e}");
        }
        let folder = path.parent().unwrap();
        copy(folder, &folder.with_extension("failed"));
        if let Err(error) = edit.write(&held, container) {
            println!("\nFAULT writing again: {error}");
        }
    }
    if let Err(error) = held.close() {
        println!("\nFAULT closing: {error}");
    }
}

/// Does something that may fail once.
fn again<T>(what: &str, act: impl Fn() -> Result<T, Error>) -> T {
    act().unwrap_or_else(|error| {
        failed(what, &error);
        act().unwrap_or_else(|e| panic!("FAULT {what} again: {e}"))
    })
}

fn failed(what: &str, error: &Error) {
    let kind = match error {
        Error::Io { .. } => "Io",
        Error::Backend { .. } => "Backend",
        Error::Busy { .. } => "Busy",
        Error::Unsupported { .. } => "Unsupported",
        _ => "FAULT another kind",
    };
    println!("\nFAILED {what}: {kind}: {error}");
}

/// Lets each call of one edit fail. Adds a row to the table, and to `faults` what must not be.
fn fail_everywhere(reference: &Reference, folder: &Path, table: &mut String, faults: &mut Vec<String>) {
    let Reference { container, edit, before, after, ours, points, .. } = reference;
    let all = std::env::var("ADSHADOW_ERRORS").is_ok_and(|v| v == "all");
    let [trial, left] = ["trial", "trial.failed"].map(|name| folder.join(name));
    let (mut trials, mut in_writing, mut elsewhere, mut borne) = (0, 0, 0, 0);
    let cases = points.iter().enumerate().flat_map(|(i, point)| {
        ERRORS.iter().enumerate().filter(move |(k, _)| all || i % ERRORS.len() == *k).map(move |(_, e)| (point, *e))
    });
    for (point, error) in cases {
        for old in [&trial, &left] {
            let _ = std::fs::remove_dir_all(old);
        }
        copy(before, &trial);
        let store = trial.join(container.file());
        let ended = strace::fail_at(&child(*container, edit.name(), &store), point, error);
        let mut fault = |what: &str| {
            faults.push(format!("{} · {} · {error} at {point}\n    {what}", container.name(), edit.name()));
        };
        trials += 1;
        if !ended.success {
            fault(&ended.output);
        }
        for line in ended.output.lines().filter(|l| l.contains("FAULT")) {
            fault(line);
        }
        let said: Vec<&str> = ended.output.lines().filter(|l| l.starts_with("FAILED")).collect();
        for line in said.iter().filter(|l| !l.contains(&container.file())) {
            fault(&format!("the error names no file: {line}"));
        }
        match said[..] {
            [] => {
                if !may_fail(point, points) {
                    fault("nobody was told");
                }
                borne += 1;
            }
            [line, ..] if line.starts_with("FAILED writing") => in_writing += 1,
            _ => elsewhere += 1,
        }
        if left.exists() {
            // What a failed clean-up leaves is hidden, and gone in the end.
            let (old, now) = (tree(before), tree(&left));
            let hidden = |path: &Path| path.components().any(trials::is_hidden);
            let differ = now.keys().chain(old.keys()).filter(|p| !hidden(p) && now.get(*p) != old.get(*p));
            let differ: std::collections::BTreeSet<_> = differ.collect();
            if !differ.is_empty() {
                fault(&format!("after the error the store is not as before: {differ:?}"));
            }
        }
        match picture_of(*container, &store) {
            Ok(picture) if picture != ours[1] => fault("what was written in the end is not the new state"),
            Err(e) => fault(&format!("what was written in the end cannot be read: {e}")),
            Ok(_) => {}
        }
        // A clean-up that failed at the very end is made up for by the next opening.
        Held::open(*container, &store, Mode::ReadWrite).and_then(|held| held.close()).unwrap();
        let (now, wanted) = (names(&trial), names(after));
        if now != wanted {
            fault(&format!("in the end there is {:?}", now.iter().filter(|p| !wanted.contains(p)).collect::<Vec<_>>()));
        }
    }
    let (name, edit) = (container.name(), edit.name());
    writeln!(table, "{name:<11} {edit:<18} {trials:>6} | {in_writing:>7} {elsewhere:>9} {borne:>5}").unwrap();
}

/// These edits in one container.
fn fail_all(container: Container) {
    let folder = folder();
    let mut witness = Witness::new();
    let mut table = String::new();
    let mut faults = Vec::new();
    let few = [Edit::AddEmbedding, Edit::AddIndex, Edit::All];
    for edit in container.edits().filter(|edit| few.contains(edit)) {
        let reference = Reference::new(container, edit, folder.path(), &mut witness);
        fail_everywhere(&reference, folder.path(), &mut table, &mut faults);
    }
    println!(
        "{:<11} {:<18} {:>6} | {:>7} {:>9} {:>5}\n{table}",
        "store", "edit", "trials", "writing", "elsewhere", "borne"
    );
    let n = faults.len();
    faults.truncate(20);
    assert!(n == 0, "{n} trials went wrong:\n{}", faults.join("\n"));
}

#[test]
fn an_h5ad_bears_every_failing_call() {
    fail_all(Container::H5ad);
}

#[test]
fn an_h5ad_that_is_copied_bears_every_failing_call() {
    fail_all(Container::H5adCopied);
}

#[test]
fn an_h5mu_bears_every_failing_call() {
    fail_all(Container::H5mu);
}

#[test]
fn zarr_of_version_2_bears_every_failing_call() {
    fail_all(Container::V2);
}

#[test]
fn zarr_of_version_3_bears_every_failing_call() {
    fail_all(Container::V3);
}

#[test]
fn sharded_zarr_bears_every_failing_call() {
    fail_all(Container::Sharded);
}
