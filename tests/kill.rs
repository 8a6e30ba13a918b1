//! Writers that are killed: at every system call by which an edit changes the file system, in every container, from outside
//! the process. After each kill unmodified readers look first, then we do; what they find is the store before the edit or the
//! store after it. Then the edit is done again, and nothing of the first attempt is left.
//!
//! The column `each` counts what readers without recovery find where several elements are edited in one write: each of them old
//! or new as a whole. What may be there without recovery: anything for HDF5, where the calls before which a file is
//! half-applied are listed; for Zarr nothing but old, new and `each`. `ADSHADOW_EDITS` takes these edits alone.
//! Needs strace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod stores;
mod trials;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anndata_shadow::Mode;
use stores::copy;
use trials::reference::{Count, Reference, child, make_edit};
use trials::strace;
use trials::witness::Witness;
use trials::{Container, Edit, Held, Verdict, folder, in_one_thread, tree, visible};

/// The child. On its own it checks nothing.
#[test]
fn child_edits() {
    let Ok(job) = std::env::var("ADSHADOW_TEST_EDIT") else { return };
    let [container, edit, path] = *job.split('|').collect::<Vec<_>>() else { panic!("{job}") };
    let (container, path) = (Container::named(container), Path::new(path));
    in_one_thread();
    match edit {
        RECOVER => Held::open(container, path, Mode::ReadWrite).and_then(|held| held.close()).unwrap(),
        edit => make_edit(container, Edit::named(edit), path).unwrap(),
    }
}

/// What a child is told that only opens the store for writing.
const RECOVER: &str = "recover";

/// Kills one edit in one container everywhere. Adds a row to the table, and to `faults` what must not be.
fn kill_everywhere(
    reference: &Reference,
    folder: &Path,
    witness: &mut Witness,
    table: &mut String,
    faults: &mut Vec<String>,
) {
    let Reference { container, edit, before, points, .. } = reference;
    let (container, edit) = (*container, *edit);
    let started = Instant::now();
    let mut seen = HashMap::new();
    let (mut without, mut ours) = (Count::default(), Count::default());
    // What readers without recovery make of a half-done HDF5 file, and for how many calls in a row.
    let mut window = Vec::new();
    let trial = folder.join("trial");
    for point in points {
        let _ = std::fs::remove_dir_all(&trial);
        copy(before, &trial);
        let store = trial.join(container.file());
        let ended = strace::kill_at(&child(container, edit.name(), &store), point);
        assert!(ended.killed, "{container:?} {edit:?} was not killed at {point}:\n{}", ended.output);
        let mut fault = |what: String| {
            faults.push(format!("{} · {} · killed at {point}\n    {what}", container.name(), edit.name()))
        };

        // The worst that any reader finds; answers for bytes that were asked about before are known.
        let state = visible(&tree(&trial));
        let verdict =
            seen.entry(state).or_insert_with(|| reference.without_recovery(witness.read(container, &store))).clone();
        without.add(&verdict);
        if let Verdict::Else(what) = &verdict {
            if container.is_sound_without_recovery() {
                fault(format!("without recovery: {what}"));
            } else {
                window.push(format!("{} ({what})", point.text));
            }
        }
        ours.add(&reference.after_recovery(&trial, true, &mut fault));
    }
    let _ = std::fs::remove_dir_all(&trial);
    let ms = started.elapsed().as_millis() / points.len().max(1) as u128;
    let Count { old, new, parts, other } = without;
    writeln!(
        table,
        "{:<11} {:<18} {:>6} | {old:>5} {new:>5} {parts:>5} {other:>5} | {:>5} {:>5} {:>5} | {ms:>4} ms",
        container.name(),
        edit.name(),
        points.len(),
        ours.old,
        ours.new,
        ours.parts + ours.other
    )
    .unwrap();
    for call in window {
        writeln!(table, "            half-applied before {call}").unwrap();
    }
}

/// All edits in one container.
fn kill_all(container: Container) {
    let folder = folder();
    let mut witness = Witness::new();
    let mut table = String::new();
    let mut faults = Vec::new();
    for edit in container.edits() {
        let reference = Reference::new(container, edit, folder.path(), &mut witness);
        kill_everywhere(&reference, folder.path(), &mut witness, &mut table, &mut faults);
    }
    println!(
        "{:<11} {:<18} {:>6} | {:>5} {:>5} {:>5} {:>5} | {:>5} {:>5} {:>5} |\n{:<37} | {:<23} | {:<17} |\n{table}",
        "store",
        "edit",
        "trials",
        "old",
        "new",
        "each",
        "else",
        "old",
        "new",
        "else",
        "",
        "without recovery",
        "after our opening"
    );
    let n = faults.len();
    faults.truncate(20);
    assert!(n == 0, "{n} trials went wrong:\n{}", faults.join("\n"));
}

/// Kills the recovery of an edit that was killed, at some of its calls, everywhere.
fn kill_recoveries(container: Container) {
    let folder = folder();
    let mut witness = Witness::new();
    let reference = Reference::new(container, Edit::All, folder.path(), &mut witness);
    let [killed, trial] = ["killed", "trial"].map(|name| folder.path().join(name));
    let fresh = |from: &Path, to: &Path| {
        let _ = std::fs::remove_dir_all(to);
        copy(from, to);
        to.join(container.file())
    };
    let (mut trials, mut count, mut faults) = (0, Count::default(), Vec::new());
    let points = &reference.points;
    for point in points.iter().skip(points.len() / 12).step_by(points.len() / 6) {
        let store = fresh(&reference.before, &killed);
        assert!(strace::kill_at(&child(container, Edit::All.name(), &store), point).killed);
        let store = fresh(&killed, &trial);
        for again in strace::record(&child(container, RECOVER, &store), &trial) {
            let store = fresh(&killed, &trial);
            assert!(strace::kill_at(&child(container, RECOVER, &store), &again).killed, "at {again}");
            let mut fault = |what| faults.push(format!("killed at {point}\n  then at {again}\n    {what}"));
            let verdict = reference.without_recovery(witness.read(container, &store));
            if let Verdict::Else(what) = verdict
                && container.is_sound_without_recovery()
            {
                fault(format!("without recovery: {what}"));
            }
            count.add(&reference.after_recovery(&trial, false, &mut fault));
            trials += 1;
        }
    }
    println!("{}: {trials} kills of recoveries, {} old, {} new", container.name(), count.old, count.new);
    assert!(faults.is_empty() && trials > 20, "{trials} trials, {} went wrong:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_recovery_of_an_h5ad_survives_a_kill_at_every_call() {
    kill_recoveries(Container::H5ad);
}

#[test]
fn the_recovery_of_zarr_survives_a_kill_at_every_call() {
    kill_recoveries(Container::V3);
}

#[test]
fn an_h5ad_that_is_copied_survives_a_kill_at_every_call() {
    kill_all(Container::H5adCopied);
}

#[test]
fn an_h5ad_survives_a_kill_at_every_call() {
    kill_all(Container::H5ad);
}

#[test]
fn an_h5mu_survives_a_kill_at_every_call() {
    kill_all(Container::H5mu);
}

#[test]
fn zarr_of_version_2_survives_a_kill_at_every_call() {
    kill_all(Container::V2);
}

#[test]
fn zarr_of_version_3_survives_a_kill_at_every_call() {
    kill_all(Container::V3);
}

#[test]
fn zarr_without_a_map_survives_a_kill_at_every_call() {
    kill_all(Container::Plain);
}

#[test]
fn sharded_zarr_survives_a_kill_at_every_call() {
    kill_all(Container::Sharded);
}
