//! Losses of power: what an edit calls is recorded, and replayed up to every `fsync`, once with everything lost that none has
//! waited for, once with nothing lost, and with parts of it, drawn from a seed (`trials/disk.rs` says what a disk may lose).
//! After each, unmodified readers look first, then we do, as after a kill. What was written by the time that `write()` returned
//! is never lost. Needs strace.
//!
//! A loss between two waits is one of the later ones with the calls after it among what is lost; and where nothing is
//! lost, it is a kill, of which `kill.rs` tries all. `ADSHADOW_LOSSES` draws more parts at each wait.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod stores;
mod trials;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Instant;

use anndata_shadow::Mode;
use stores::copy;
use trials::disk::{self, Loss, Op};
use trials::recording;
use trials::reference::{Count, Reference, child};
use trials::witness::Witness;
use trials::{Container, Edit, Held, Verdict, folder, in_one_thread, visible};

/// The child. On its own it checks nothing.
#[test]
fn child_edits() {
    let Ok(job) = std::env::var("ADSHADOW_TEST_EDIT") else { return };
    let [container, edit, path] = *job.split('|').collect::<Vec<_>>() else { panic!("{job}") };
    in_one_thread();
    let container = Container::named(container);
    let held = Held::open(container, Path::new(path), Mode::ReadWrite).unwrap();
    let edit = Edit::named(edit);
    edit.apply(&held).unwrap();
    edit.write(&held, container).unwrap();
    println!("written");
    held.close().unwrap();
}

/// Lets the power fail all along one edit. Adds a row to the table, and to `faults` what must not be.
fn lose_everywhere(
    reference: &Reference,
    folder: &Path,
    witness: &mut Witness,
    table: &mut String,
    faults: &mut Vec<String>,
) {
    let (container, edit) = (reference.container, reference.edit);
    let started = Instant::now();
    let parts: u64 = std::env::var("ADSHADOW_LOSSES").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let trial = folder.join("trial");
    let _ = std::fs::remove_dir_all(&trial);
    copy(&reference.before, &trial);
    let store = trial.join(container.file());
    let recording = recording::record(&child(container, edit.name(), &store), &trial);
    let (mut known, mut seen) = (HashSet::new(), HashMap::new());
    let hasher = RandomState::new();
    let (mut trials, mut without, mut ours) = (0, Count::default(), Count::default());
    let end = recording.ops.len();
    let waits = (0..end).filter(|i| matches!(recording.ops[*i], Op::Sync(_))).chain([recording.written, end]);
    for calls in waits {
        let done = &recording.ops[..calls];
        let some = (0..parts).map(|k| Loss::Some(calls as u64 * 1000 + k));
        for loss in [Loss::All, Loss::Nothing, Loss::Data, Loss::Names].into_iter().chain(some) {
            trials += 1;
            let tree = recording.before.after_loss(&recording.after, done, loss).tree();
            let is_written = calls >= recording.written;
            if !known.insert((hasher.hash_one(&tree), is_written)) {
                continue;
            }
            disk::lay_out(&tree, &trial);
            let mut fault = |what: String| {
                let last = recording.ops.get(calls).map_or("the end".into(), ToString::to_string);
                faults.push(format!(
                    "{} · {} · {loss:?} lost after {calls} of {} changes, before {last}\n    {what}",
                    container.name(),
                    edit.name(),
                    recording.ops.len()
                ));
            };
            let verdict = seen
                .entry(visible(&tree))
                .or_insert_with(|| reference.without_recovery(witness.read(container, &store)));
            without.add(verdict);
            if let Verdict::Else(what) = verdict
                && container.is_sound_without_recovery()
            {
                fault(format!("without recovery: {what}"));
            }
            let verdict = reference.after_recovery(&trial, false, &mut fault);
            ours.add(&verdict);
            if is_written && verdict != Verdict::New {
                fault(format!("it was written, and now it is {verdict:?}"));
            }
        }
    }
    let ms = started.elapsed().as_millis() / known.len().max(1) as u128;
    let (Count { old, new, parts, other }, states) = (without, known.len());
    writeln!(
        table,
        "{:<11} {:<18} {trials:>6} {states:>6} | {old:>5} {new:>5} {parts:>5} {other:>5} | {:>5} {:>5} {:>5} | {ms:>4} ms",
        container.name(),
        edit.name(),
        ours.old,
        ours.new,
        ours.parts + ours.other
    )
    .unwrap();
}

/// These edits in one container.
fn lose_all(container: Container) {
    let folder = folder();
    let mut witness = Witness::new();
    let mut table = String::new();
    let mut faults = Vec::new();
    let few = [Edit::Add, Edit::ReplaceEmbedding, Edit::AddIndex, Edit::All];
    for edit in container.edits().filter(|edit| few.contains(edit)) {
        let reference = Reference::new(container, edit, folder.path(), &mut witness);
        lose_everywhere(&reference, folder.path(), &mut witness, &mut table, &mut faults);
    }
    println!(
        "{:<11} {:<18} {:>6} {:>6} | {:>5} {:>5} {:>5} {:>5} | {:>5} {:>5} {:>5} |\n{:<44} | {:<23} | {:<17} |\n{table}",
        "store",
        "edit",
        "losses",
        "states",
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

#[test]
fn an_h5ad_survives_a_loss_of_power() {
    lose_all(Container::H5ad);
}

#[test]
fn an_h5ad_that_is_copied_survives_a_loss_of_power() {
    lose_all(Container::H5adCopied);
}

#[test]
fn an_h5mu_survives_a_loss_of_power() {
    lose_all(Container::H5mu);
}

#[test]
fn zarr_of_version_2_survives_a_loss_of_power() {
    lose_all(Container::V2);
}

#[test]
fn zarr_of_version_3_survives_a_loss_of_power() {
    lose_all(Container::V3);
}

#[test]
fn sharded_zarr_survives_a_loss_of_power() {
    lose_all(Container::Sharded);
}
