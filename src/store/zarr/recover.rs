//! What interrupted writes have left in a store: found, told, and brought to an end. A write whose record is there is carried out,
//! one without is forgotten.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files;
use super::intent::{Intent, Spot};
use super::run::{DONE, Run};
use super::source::{OURS, Source};
use super::stage::{STAGE, host};
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::store::{Fate, LeftOver};

/// A record of a million steps is not a record of ours.
const MAX_RECORD: u64 = 1 << 28;

/// Something of this crate's own in the root of a store.
struct Found {
    path: PathBuf,
    state: State,
    owner: Owner,
}

enum State {
    /// Staged, and not complete.
    Staged,
    /// Complete: the record, and how much of it is carried out.
    Unfinished(PathBuf, usize),
    /// Carried out; only to be removed.
    Finished,
    /// A node that an earlier version of this crate was replacing: the only copy, under its last name.
    Old,
}

/// Who has written it.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Alive,
    Dead,
    /// On another computer, or the system does not tell.
    Unknown,
}

impl Owner {
    /// From the name of a staging directory behind [`STAGE`].
    fn of(name: &str) -> Self {
        let mut parts = name.split('-');
        let (on, pid) = (parts.next(), parts.next().and_then(|pid| pid.parse::<u32>().ok()));
        match pid {
            Some(pid) if on == Some(&*host()) && Path::new("/proc/self").exists() => {
                if Path::new(&format!("/proc/{pid}")).exists() { Self::Alive } else { Self::Dead }
            }
            _ => Self::Unknown,
        }
    }
}

fn find(root: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(ours) = name.to_str().and_then(|name| name.strip_prefix(OURS)) else { continue };
        // A link is nothing of ours, wherever it leads.
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        if let Some(stage) = ours.strip_prefix(STAGE) {
            // Removed in this moment: nothing is left of it.
            let Ok(state) = state_of(&path) else { continue };
            found.push(Found { state, owner: Owner::of(stage), path });
        } else if ours.starts_with("old-") {
            found.push(Found { path, state: State::Old, owner: Owner::Unknown });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn state_of(stage: &Path) -> io::Result<State> {
    let mut state = State::Staged;
    for entry in fs::read_dir(stage)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name == DONE {
            return Ok(State::Finished);
        }
        let done = name.strip_prefix("intent-").and_then(|rest| rest.strip_suffix(".json")?.parse().ok());
        if let Some(done) = done {
            state = State::Unfinished(entry.path(), done);
        }
    }
    Ok(state)
}

/// Whether there is a write that is to be carried out.
pub(super) fn is_pending(source: &Source) -> Result<bool> {
    let found = find(&source.root).map_err(source.io(&ElemPath::root()))?;
    Ok(found.iter().any(|found| matches!(found.state, State::Unfinished(..))))
}

/// What is left, without changing anything. `in_use` says that somebody has the lock: what is of a process that is alive is not left.
pub(super) fn list(source: &Source, in_use: bool) -> Result<Vec<LeftOver>> {
    let found = find(&source.root).map_err(source.io(&ElemPath::root()))?;
    let told = found.into_iter().filter_map(|Found { path, state, owner }| {
        let (what, fate) = match (state, owner) {
            (_, Owner::Alive) if in_use => return None,
            (State::Unfinished(..), _) => ("a write that is complete and was interrupted while it was carried out", Fate::CarryOut),
            (State::Staged, Owner::Alive) => return None,
            (State::Staged, Owner::Dead) => ("a write that was interrupted before it was complete", Fate::Forget),
            (State::Staged, Owner::Unknown) => {
                ("a write that is not complete, of another computer; if it is not at it any more, remove this", Fate::LeaveAlone)
            }
            (State::Finished, _) => ("what is to be removed after a write that was carried out", Fate::Forget),
            (State::Old, _) => (
                "the old form of an element (its name is the end of this one) that an earlier version was replacing when it was \
                 interrupted; move it back to where it was if it is missing there, else remove it",
                Fate::LeaveAlone,
            ),
        };
        Some(LeftOver { path, what: what.to_owned(), fate })
    });
    Ok(told.collect())
}

/// Carries out what is complete and removes what is not needed any more; a sentence for each. `locked` says that the lock is held.
///
/// # Errors
/// [`Error::Busy`] if a process that is alive may be at it, [`Error::Malformed`] if a record does not fit the store, [`Error::Io`].
pub(super) fn settle(source: &Source, locked: bool) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for Found { path, state, owner } in find(&source.root).map_err(source.io(&ElemPath::root()))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match state {
            State::Unfinished(record, done) => {
                finish(source, &path, &record, done, owner, locked)?;
                told.push(format!("`{name}`: a complete write that had been interrupted was carried out"));
            }
            // Left-overs are invisible; who may not remove them leaves them.
            State::Finished if (locked || owner == Owner::Dead) && files::remove_dir(&path).is_ok() => {
                told.push(format!("`{name}`: what a finished write had left was removed"));
            }
            State::Staged if owner == Owner::Dead && files::remove_dir(&path).is_ok() => {
                told.push(format!("`{name}`: a write that was interrupted before it was complete was forgotten"));
            }
            // Perhaps the only copy of an element: whether it is needed, only somebody who looks can tell.
            State::Old | State::Finished | State::Staged => {}
        }
    }
    Ok(told)
}

fn finish(source: &Source, dir: &Path, record: &Path, done: usize, owner: Owner, locked: bool) -> Result<()> {
    let root = ElemPath::root();
    let bad = |why: String| source.malformed(&root, format!("`{}`: {why}", record.display()));
    let io = source.io(&root);
    let found = fs::symlink_metadata(record).map_err(&io)?;
    if !found.is_file() || found.len() > MAX_RECORD {
        return Err(bad("not a record".into()));
    }
    let intent = Intent::parse(&fs::read(record).map_err(&io)?).map_err(bad)?;
    // A writer with the lock would still have it. A process with its number is then another one.
    if owner == Owner::Alive && !(intent.locked && locked) {
        let why = "a process that is running is writing to it, without a lock; try again when it is done".into();
        return Err(Error::Busy { at: source.place(&root), why });
    }
    for spot in intent.steps.iter().flat_map(|step| step.spots()) {
        if let Some(link) = link_on_the_way(source, dir, &spot) {
            return Err(bad(format!("`{}` is a symbolic link, which is not followed", link.display())));
        }
    }
    Run::new(source, dir, intent, done).forward()?;
    // Invisible, and swept later.
    let _ = files::remove_dir(dir);
    Ok(())
}

fn link_on_the_way(source: &Source, dir: &Path, spot: &Spot) -> Option<PathBuf> {
    let (mut path, names) = match spot {
        Spot::Staged(number) => (dir.to_owned(), vec![number.to_string()]),
        Spot::Stored(at) => (source.root.clone(), at.components().map(str::to_owned).collect()),
    };
    names.iter().find_map(|name| {
        path.push(name);
        fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()).then(|| path.clone())
    })
}
