//! Random edits, views, writes, reopenings and kills of one store, against a plain picture of what must be in it: a list of
//! elements by their paths. Each case is made from a seed; what has failed once is kept in [`KEPT`].
//!
//! `ADSHADOW_MODEL_CASES` tries more seeds than usual, `ADSHADOW_MODEL_SEED` one alone, with every step printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod stores;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::{
    AnnDataShadow, Array, Categorical, ChangeKind, Element, Error, Kind, Mode, OpenOptions, Rows, Sparse, SparseFormat,
    WriteOptions,
};
use stores::copy;
use trials::disk::Dice;
use trials::strace::{self, Point};
use trials::witness::Witness;
use trials::{CELLS, Container, folder, in_one_thread, noise};

/// Seeds of cases that went wrong once.
const KEPT: [u64; 0] = [];

const GENES: usize = 40;

/// What an edit may name, by slot; the store has some of them from the beginning.
const NAMES: [(&str, &[&str]); 6] = [
    ("obsm", &["X_pca", "X_umap", "a", "b"]),
    // X counts as one of the layers: an element may be renamed from the one to the other.
    ("layers", &["counts", "scaled", "a", "X"]),
    ("varm", &["a", "b"]),
    ("obs", &["batch", "depth", "note", "a", "b"]),
    ("uns", &["a", "b"]),
    ("uns/params", &["k", "method", "a"]),
];

/// An edit. The number stands for a value.
#[derive(Clone, Debug)]
enum Edit {
    Set(String, u64),
    Remove(String),
    Rename(String, String),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(path, value) => write!(f, "set {path} {value}"),
            Self::Remove(path) => write!(f, "remove {path}"),
            Self::Rename(from, to) => write!(f, "rename {from} {to}"),
        }
    }
}

impl Edit {
    fn parse(text: &str) -> Self {
        match *text.split(' ').collect::<Vec<_>>() {
            ["set", path, value] => Self::Set(path.into(), value.parse().unwrap()),
            ["remove", path] => Self::Remove(path.into()),
            ["rename", from, to] => Self::Rename(from.into(), to.into()),
            _ => panic!("{text}"),
        }
    }

    fn random(dice: &mut Dice) -> Self {
        let (slot, names) = NAMES[dice.throw(NAMES.len())];
        let mut path = || match names[dice.throw(names.len())] {
            "X" => "X".to_owned(),
            name => format!("{slot}/{name}"),
        };
        let (one, other) = (path(), path());
        match dice.throw(5) {
            0 => Self::Remove(one),
            1 if one != other => Self::Rename(one, other),
            _ => Self::Set(one, dice.throw(1000) as u64),
        }
    }

    fn apply(&self, shadow: &AnnDataShadow) -> Result<(), Error> {
        match self {
            Self::Set(path, value) => shadow.member(path)?.set(value_of(path, *value)),
            Self::Remove(path) => shadow.remove(path),
            Self::Rename(from, to) => shadow.rename(from, to),
        }
    }
}

/// The value that a number stands for at a path, of one of the kinds that fit there.
fn value_of(path: &str, number: u64) -> Element {
    let rows = if path.starts_with("var") { GENES } else { CELLS };
    let kind = number % 4;
    let dense = |rows: usize, cols: usize| -> Element {
        let values = noise(cols, number);
        Array::from(values.slice_move(anndata_shadow::ndarray::s![..rows, ..]).into_dyn()).into()
    };
    match path.split('/').next().unwrap() {
        "obsm" | "varm" if kind == 0 => {
            Array::from(Array2::from_shape_fn((rows, 3), |(r, c)| (r * 3 + c) as i32 - number as i32).into_dyn()).into()
        }
        // Of one chunk, or of more.
        "obsm" | "varm" => dense(rows, if kind == 1 { 135 } else { 1 + number as usize % 7 }),
        "layers" | "X" if kind < 2 => {
            let per_row = 1 + number % 5;
            let indices = (0..CELLS as u64).flat_map(|r| (0..per_row).map(move |k| (r + k * 7) % GENES as u64));
            let mut rows: Vec<u64> = indices.collect();
            rows.chunks_mut(per_row as usize).for_each(<[u64]>::sort_unstable);
            let values = Array::from_vec((0..rows.len()).map(|i| 1.0 + i as f32).collect());
            let indptr = (0..=CELLS as u64).map(|r| r * per_row).collect();
            Sparse::new(SparseFormat::Csr, [CELLS, GENES], values, rows, indptr).unwrap().into()
        }
        "layers" | "X" => dense(CELLS, GENES),
        "obs" => match kind {
            0 => Array::from_vec((0..CELLS).map(|i| format!("t{}", i as u64 * number % 31)).collect::<Vec<_>>()).into(),
            1 => {
                let codes = Array::from_vec((0..CELLS).map(|i| (i as u64 * number % 3) as i8).collect());
                let names = Array::from_vec((0..3).map(|i| format!("c{}", number + i)).collect::<Vec<_>>());
                Categorical::new(codes, names, number % 8 == 1).unwrap().into()
            }
            _ => Array::from_vec(noise(1, number).into_iter().collect::<Vec<_>>()).into(),
        },
        _ => match kind {
            0 => (number as i64).into(),
            1 => Element::from(format!("text {number}").as_str()),
            _ => Array::from_vec((0..number as i64).collect()).into(),
        },
    }
}

/// What must be there: elements by path, without the dicts on the way.
type Elements = BTreeMap<String, Arc<Element>>;

/// Does to the picture what an edit does to a shadow; false if it must be refused.
fn edit(elements: &mut Elements, edit: &Edit) -> bool {
    match edit {
        Edit::Set(path, number) => {
            elements.insert(path.clone(), Arc::new(value_of(path, *number)));
            true
        }
        Edit::Remove(path) => elements.remove(path).is_some(),
        Edit::Rename(from, to) => {
            let possible = elements.contains_key(from) && !elements.contains_key(to);
            if possible {
                let element = elements.remove(from).unwrap();
                elements.insert(to.clone(), element);
            }
            possible
        }
    }
}

/// What a shadow shows, everything read.
fn elements_of(shadow: &AnnDataShadow) -> Result<Elements, Error> {
    let listed = shadow.elements()?;
    let leaves = listed.into_iter().filter(|e| e.info.kind != Kind::Mapping);
    leaves.map(|e| Ok((e.path.clone(), shadow.member(&e.path)?.element()?))).collect()
}

fn compare(what: &str, found: &Elements, wanted: &Elements) {
    let paths: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    for path in paths {
        let (found, wanted) = (found.get(path), wanted.get(path));
        let show = |e: Option<&Arc<Element>>| e.map_or_else(|| "nothing".to_owned(), |e| e.describe());
        assert!(found == wanted, "{what}: {path} is {}, not {}", show(found), show(wanted));
    }
}

fn open(path: &Path, mode: Mode) -> AnnDataShadow {
    AnnDataShadow::open_with(path, &OpenOptions::default().mode(mode)).unwrap()
}

/// A store, a shadow of it, and what must be in both.
struct Case {
    container: Container,
    path: PathBuf,
    dice: Dice,
    shadow: AnnDataShadow,
    /// In the file.
    stored: Elements,
    /// In the shadow.
    pending: Elements,
    is_told: bool,
}

impl Case {
    fn new(container: Container, base: &Path, folder: &Path, seed: u64) -> Self {
        let path = folder.join(container.file());
        copy(base, &path);
        let shadow = open(&path, Mode::ReadWrite);
        let stored = elements_of(&shadow).unwrap();
        let is_told = std::env::var("ADSHADOW_MODEL_SEED").is_ok();
        Self { container, path, dice: Dice(seed), shadow, pending: stored.clone(), stored, is_told }
    }

    fn tell(&self, what: impl fmt::Display) {
        if self.is_told {
            println!("{}: {what}", self.container.name());
        }
    }

    fn step(&mut self) {
        match self.dice.throw(20) {
            0..=8 => self.edit(),
            9 | 10 => self.look_at_a_view(),
            11 | 12 => self.look_at_one(),
            13..=15 => self.write(),
            16 => self.reopen(),
            17 => self.discard(),
            18 => self.kill(),
            _ => self.shadow.clear_cache(),
        }
    }

    fn edit(&mut self) {
        let edit = Edit::random(&mut self.dice);
        self.tell(&edit);
        let possible = self::edit(&mut self.pending, &edit);
        let done = edit.apply(&self.shadow);
        match (&done, &edit) {
            (Ok(()), _) if possible => {}
            (Err(Error::NotFound { .. }), Edit::Remove(_) | Edit::Rename(..)) if !possible => {}
            (Err(Error::Exists { .. }), Edit::Rename(..)) if !possible => {}
            _ => panic!("{edit} gives {done:?}, and it is {}possible", if possible { "" } else { "im" }),
        }
        if self.shadow.changes().is_empty() {
            compare("without changes", &self.pending, &self.stored);
        }
    }

    /// An element of what is there.
    fn choose(&mut self, slots: &[&str]) -> Option<(String, Arc<Element>)> {
        let some: Vec<_> = self.pending.iter().filter(|(path, _)| slots.iter().any(|s| path.starts_with(s))).collect();
        let (path, element) = some.get(self.dice.throw(some.len()))?;
        Some(((*path).clone(), (*element).clone()))
    }

    fn look_at_a_view(&mut self) {
        let Some((path, element)) = self.choose(&["obsm/", "layers/", "X"]) else { return };
        let (first, n) = (self.dice.throw(CELLS - 20), 1 + self.dice.throw(19));
        self.tell(format!("rows {first} to {} of {path}", first + n));
        let view = self.shadow.select(first..first + n, ..).unwrap();
        let found = view.member(&path).unwrap().element().unwrap();
        assert!(*found == element.take(&[Rows::span(first, first + n)]), "rows {first}+{n} of {path}");
    }

    fn look_at_one(&mut self) {
        let Some((path, element)) = self.choose(&[""]) else { return };
        self.tell(format!("read {path}"));
        assert!(self.shadow.member(&path).unwrap().element().unwrap() == element, "{path}");
    }

    fn write(&mut self) {
        if self.shadow.mode() != Some(Mode::ReadWrite) {
            self.shadow.reopen(Mode::ReadWrite).unwrap();
        }
        let (columns, clear) = (self.shadow.obs().columns().unwrap(), self.dice.throw(2) == 0);
        self.tell(format!("write {} changes", self.shadow.changes().len()));
        compare("before a write", &elements_of(&self.shadow).unwrap(), &self.pending);
        self.shadow.write(WriteOptions::default().clear_cache(clear)).unwrap();
        assert!(self.shadow.changes().is_empty());
        self.stored = self.pending.clone();
        self.shadow.clear_cache();
        compare("after a write", &elements_of(&self.shadow).unwrap(), &self.stored);
        assert_eq!(self.shadow.obs().columns().unwrap(), columns);
        if self.dice.throw(3) == 0 {
            self.shadow.close().unwrap();
            let anew = open(&self.path, Mode::Read);
            compare("opened anew", &elements_of(&anew).unwrap(), &self.stored);
            assert_eq!(anew.obs().columns().unwrap(), columns);
            drop(anew);
            self.shadow.reopen(Mode::Read).unwrap();
        }
    }

    fn reopen(&mut self) {
        let mode = if self.dice.throw(2) == 0 { Mode::Read } else { Mode::ReadWrite };
        self.tell(format!("reopen {mode}"));
        self.shadow.close().unwrap();
        self.shadow.reopen(mode).unwrap();
        compare("reopened", &elements_of(&self.shadow).unwrap(), &self.pending);
    }

    fn discard(&mut self) {
        let (slot, names) = NAMES[self.dice.throw(NAMES.len())];
        let path = format!("{slot}/{}", names[self.dice.throw(names.len())]);
        // What was renamed is taken back by either path.
        let is_renamed = self.shadow.changes().iter().any(|c| matches!(c.kind, ChangeKind::Renamed { .. }));
        if self.dice.throw(2) == 0 && !is_renamed && path != "layers/X" {
            self.tell(format!("discard {path}"));
            let done = self.shadow.discard_at(&path);
            assert!(matches!(done, Ok(()) | Err(Error::NotFound { .. })), "{done:?}");
            match self.stored.get(&path) {
                Some(element) => self.pending.insert(path, element.clone()),
                None => self.pending.remove(&path),
            };
            compare("partly discarded", &elements_of(&self.shadow).unwrap(), &self.pending);
            return;
        }
        self.tell("discard");
        self.shadow.discard().unwrap();
        self.pending = self.stored.clone();
        assert!(self.shadow.changes().is_empty());
        compare("discarded", &elements_of(&self.shadow).unwrap(), &self.stored);
    }

    /// Another process writes some edits and is killed on the way, or not.
    fn kill(&mut self) {
        self.shadow.discard().unwrap();
        self.shadow.close().unwrap();
        let mut new = self.stored.clone();
        let mut edits = Vec::new();
        for _ in 0..=self.dice.throw(5) {
            let edit = Edit::random(&mut self.dice);
            if self::edit(&mut new, &edit) {
                edits.push(edit.to_string());
            }
        }
        let calls = ["rename", "renameat2", "fsync", "mkdir", "unlinkat", "unlink", "write", "pwrite64", "ftruncate"];
        let call = calls[self.dice.throw(calls.len())].to_owned();
        let nth = 1 + self.dice.throw(12) + if call == "write" { 64 } else { 0 };
        self.tell(format!("killed at {call} {nth} when writing {edits:?}"));
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["child_edits", "--exact", "--nocapture", "--test-threads=1"]);
        child.env("ADSHADOW_TEST_MODEL", format!("{}|{}", self.path.display(), edits.join("|")));
        let ended = strace::kill_at(&child, &Point { call, nth, text: String::new() });
        assert!(ended.killed || ended.success, "{}", ended.output);
        self.shadow = open(&self.path, if self.dice.throw(2) == 0 { Mode::Read } else { Mode::ReadWrite });
        let found = elements_of(&self.shadow).unwrap();
        self.tell(if ended.killed { "killed" } else { "not killed" });
        if ended.killed && found == self.stored {
            self.tell("old");
        } else {
            compare("after a kill", &found, &new);
            self.stored = new;
        }
        self.pending = self.stored.clone();
    }

    /// Python reads all of it without complaint, and finds the same elements.
    fn ask(&self, witness: &mut Witness) {
        for (reader, view) in witness.read(self.container, &self.path) {
            let view = view.unwrap_or_else(|e| panic!("{reader}: {e}"));
            let slots = ["obsm/", "layers/", "varm/", "obs/"];
            let of_slots = |path: &&str| slots.iter().any(|s| path.starts_with(s)) && !path.ends_with("_index");
            let theirs: BTreeSet<&str> =
                view.keys().map(String::as_str).filter(|p| of_slots(p) && !p.ends_with('>')).collect();
            let ours: BTreeSet<&str> = self.stored.keys().map(String::as_str).filter(of_slots).collect();
            assert_eq!(theirs, ours, "{reader}");
        }
    }
}

/// The child that is killed. On its own it does nothing.
#[test]
fn child_edits() {
    let Ok(job) = std::env::var("ADSHADOW_TEST_MODEL") else { return };
    in_one_thread();
    let mut parts = job.split('|');
    let shadow = open(Path::new(parts.next().unwrap()), Mode::ReadWrite);
    parts.filter(|p| !p.is_empty()).for_each(|p| Edit::parse(p).apply(&shadow).unwrap());
    shadow.write(WriteOptions::default()).unwrap();
    shadow.close().unwrap();
}

fn run(container: Container) {
    let only = std::env::var("ADSHADOW_MODEL_SEED").ok().and_then(|s| s.parse().ok());
    let cases: u64 = std::env::var("ADSHADOW_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let mut witness = Witness::new();
    let base = folder();
    let base = base.path().join(container.file());
    witness.make(container, &base);
    let seeds: Vec<u64> = only.map_or_else(|| KEPT.into_iter().chain(1..=cases).collect(), |seed| vec![seed]);
    for seed in &seeds {
        let folder = folder();
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut case = Case::new(container, &base, folder.path(), *seed);
            (0..60).for_each(|_| case.step());
            case.write();
            case.shadow.close().unwrap();
            case.ask(&mut witness);
        }));
        if let Err(panic) = run {
            println!("{} with ADSHADOW_MODEL_SEED={seed}", container.name());
            std::panic::resume_unwind(panic);
        }
    }
    println!("{}: {} cases of 60 steps", container.name(), seeds.len());
}

#[test]
fn an_h5ad_is_what_was_asked_for() {
    run(Container::H5ad);
}

#[test]
fn zarr_of_version_2_is_what_was_asked_for() {
    run(Container::V2);
}

#[test]
fn zarr_of_version_3_is_what_was_asked_for() {
    run(Container::V3);
}

#[test]
fn sharded_zarr_is_what_was_asked_for() {
    run(Container::Sharded);
}
