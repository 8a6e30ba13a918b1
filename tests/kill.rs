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

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anndata_shadow::Mode;
use stores::copy;
use trials::reference::{Reference, child, make_edit, names};
use trials::strace;
use trials::witness::Witness;
use trials::{Container, Edit, Held, Picture, Verdict, folder, in_one_thread, picture_of, tree, visible};

/// The child. On its own it checks nothing.
#[test]
fn child_edits() {
    let Ok(job) = std::env::var("ADSHADOW_TEST_EDIT") else { return };
    let [container, edit, path] = *job.split('|').collect::<Vec<_>>() else { panic!("{job}") };
    in_one_thread();
    make_edit(Container::named(container), Edit::named(edit), Path::new(path)).unwrap();
}

/// How often what was found.
#[derive(Default)]
struct Count {
    old: usize,
    new: usize,
    parts: usize,
    other: usize,
}

impl Count {
    fn add(&mut self, verdict: &Verdict) {
        *match verdict {
            Verdict::Old => &mut self.old,
            Verdict::New => &mut self.new,
            Verdict::Parts => &mut self.parts,
            Verdict::Else(_) => &mut self.other,
        } += 1;
    }
}

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
        let ended = strace::kill_at(&child(container, edit, &store), point);
        assert!(ended.killed, "{container:?} {edit:?} was not killed at {point}:\n{}", ended.output);
        let mut fault = |what: String| {
            faults.push(format!("{} · {} · killed at {point}\n    {what}", container.name(), edit.name()))
        };

        // The worst that any reader finds; answers for bytes that were asked about before are known.
        let state = visible(&tree(&trial));
        let verdict = seen.entry(state).or_insert_with(|| worst(reference, witness.read(container, &store))).clone();
        without.add(&verdict);
        if let Verdict::Else(what) = &verdict {
            if container.is_zarr() {
                fault(format!("without recovery: {what}"));
            } else {
                window.push(format!("{} ({what})", point.text));
            }
        }
        ours.add(&look_and_go_on(reference, &trial, &mut fault));
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

/// The worst that readers without recovery find. Where things are only added, the map hides them all to the last.
fn worst(reference: &Reference, views: BTreeMap<String, Result<Picture, String>>) -> Verdict {
    let judge = |(reader, view): (String, Result<Picture, String>)| match view {
        Err(error) => Verdict::Else(format!("{reader}: {error}")),
        Ok(picture) => match reference.judge(&picture, &reference.python) {
            Verdict::Parts if reference.edit == Edit::Add && reader == "read_zarr" => {
                Verdict::Else(format!("{reader}: one of two additions"))
            }
            Verdict::Else(what) => Verdict::Else(format!("{reader}: {what}")),
            other => other,
        },
    };
    let verdicts: Vec<Verdict> = views.into_iter().map(judge).collect();
    let find = |is: fn(&Verdict) -> bool| verdicts.iter().find(|v| is(v));
    find(|v| matches!(v, Verdict::Else(_))).or_else(|| find(|v| *v == Verdict::Parts)).unwrap_or(&verdicts[0]).clone()
}

/// What we find after a kill: by opening for reading, then for writing; then the edit is done again if it was not done.
fn look_and_go_on(reference: &Reference, trial: &Path, fault: &mut dyn FnMut(String)) -> Verdict {
    let Reference { container, edit, before, after, ours, .. } = reference;
    let (container, edit) = (*container, *edit);
    let store = trial.join(container.file());
    let look = |mode| {
        let found = Held::open(container, &store, mode).and_then(|held| {
            let picture = held.picture()?;
            held.close().map(|()| picture)
        });
        found.map_or_else(|e| Verdict::Else(e.to_string()), |p| reference.judge(&p, ours))
    };
    let (read, verdict) = (look(Mode::Read), look(Mode::ReadWrite));
    if !matches!((&read, &verdict), (Verdict::Old, Verdict::Old) | (Verdict::New, Verdict::New)) {
        fault(format!("opened for reading: {read:?}; then for writing: {verdict:?}"));
        return Verdict::Else(String::new());
    }
    let now = tree(trial);
    if verdict == Verdict::New {
        let left: Vec<&PathBuf> = now.keys().filter(|p| !after.join(p).exists()).collect();
        if !left.is_empty() || now.len() != names(after).len() {
            fault(format!("new, but not like it: {left:?} is left"));
        }
        return verdict;
    }
    let old = tree(before);
    if now != old {
        let differ = now.keys().chain(old.keys()).filter(|p| now.get(*p) != old.get(*p));
        fault(format!("old, but not byte for byte: {:?}", differ.collect::<Vec<_>>()));
    }
    let again = make_edit(container, edit, &store).and_then(|()| picture_of(container, &store));
    match again {
        Ok(again) if again == ours[1] && names(trial) == names(after) => return verdict,
        Ok(_) => fault("doing it again does not give the new state".into()),
        Err(e) => fault(format!("doing it again: {e}")),
    }
    Verdict::Else(String::new())
}

/// All edits in one container.
fn kill_all(container: Container) {
    let folder = folder();
    let mut witness = Witness::new();
    let mut table = String::new();
    let mut faults = Vec::new();
    let wanted = std::env::var("ADSHADOW_EDITS").unwrap_or_default();
    for edit in Edit::EVERY.into_iter().filter(|e| wanted.is_empty() || wanted.contains(e.name())) {
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
fn sharded_zarr_survives_a_kill_at_every_call() {
    kill_all(Container::Sharded);
}
