//! Publishing, interrupted at every change of the file system: by the end of the process, and by a failure. What zarr-python finds
//! then without any recovery, what is found after it, and what is there after an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use super::trial::{self, Fate, NO_EXCHANGE};
use super::{PLAIN, at, snapshot};
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::store::zarr::source::OURS;
use crate::store::zarr::{Flavour, ZarrStore, left_over, recover};
use crate::store::{Attrs, Locking, ReadStore, WriteStore, read_all};
use crate::value::Array;

/// Nodes with their attributes and values, by path.
type State = Map<String, Value>;

pub(super) fn attrs(value: &Value) -> Attrs {
    value.as_object().unwrap().clone()
}

fn numbers(from: i32, len: i32) -> Array {
    Array::from_vec((from..from + len).collect())
}

pub(super) fn put(store: &ZarrStore, path: &str, from: i32, len: i32) -> Result<()> {
    store.create_array(&at(path), &numbers(from, len), PLAIN, &attrs(&json!({"from": from})))
}

fn group(store: &ZarrStore, path: &str, said: &Value) -> Result<()> {
    store.create_group(&at(path), &attrs(said))
}

fn set(store: &ZarrStore, path: &str, said: &Value) -> Result<()> {
    store.set_attrs(&at(path), &attrs(said))
}

/// An object with a frame, layers of both kinds, and a table further down.
pub(super) fn base(dir: &Path, flavour: Flavour, maps: Maps) {
    let store = ZarrStore::create(dir, flavour).unwrap();
    let fill = || -> Result<()> {
        put(&store, "X", 1, 6)?;
        group(&store, "obs", &json!({"_index": "i", "column-order": ["a", "b", "c"]}))?;
        for (number, name) in (10..).step_by(10).zip(["i", "a", "b"]) {
            put(&store, &format!("obs/{name}"), number, 4)?;
        }
        group(&store, "obs/c", &json!({"encoding-type": "categorical"}))?;
        put(&store, "obs/c/codes", 1, 4)?;
        put(&store, "obs/c/categories", 50, 5)?;
        group(&store, "layers", &json!({}))?;
        put(&store, "layers/one", 100, 6)?;
        put(&store, "layers/two", 200, 6)?;
        group(&store, "layers/sparse", &json!({"encoding-type": "csr_matrix"}))?;
        put(&store, "layers/sparse/data", 300, 3)?;
        put(&store, "layers/sparse/indices", 310, 3)?;
        for path in ["tables", "tables/table", "tables/table/layers"] {
            group(&store, path, &json!({}))?;
        }
        group(&store, "tables/table/obs", &json!({"_index": "i", "column-order": ["n"]}))?;
        put(&store, "tables/table/obs/i", 400, 3)?;
        put(&store, "tables/table/obs/n", 410, 3)?;
        put(&store, "tables/table/layers/one", 420, 3)?;
        store.publish()
    };
    fill().unwrap();
    drop(store);
    if maps == Maps::Nested {
        ZarrStore::open_write(&dir.join("tables/table")).unwrap().consolidate().unwrap();
        ZarrStore::open_write(dir).unwrap().consolidate().unwrap();
    }
}

/// Where there are consolidated metadata.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Maps {
    None,
    /// In the root, and in the table.
    Nested,
}

/// What is done in one transaction, and whether it is one change to whoever reads: with maps, and without.
struct Act {
    name: &'static str,
    stage: fn(&ZarrStore) -> Result<()>,
    whole: (bool, bool),
}

const ACTS: &[Act] = &[
    Act { name: "add", stage: |s| put(s, "layers/new", 500, 6), whole: (true, true) },
    Act {
        name: "add a column",
        stage: |s| {
            put(s, "obs/new", 500, 4)?;
            set(s, "obs", &json!({"column-order": ["a", "b", "c", "new"]}))
        },
        whole: (true, true),
    },
    Act {
        name: "add several",
        stage: |s| {
            put(s, "obs/new", 500, 4)?;
            set(s, "obs", &json!({"column-order": ["a", "b", "c", "new"]}))?;
            put(s, "layers/new", 510, 6)?;
            put(s, "tables/table/obs/new", 520, 3)?;
            set(s, "tables/table/obs", &json!({"column-order": ["n", "new"]}))
        },
        whole: (true, false),
    },
    Act {
        name: "replace",
        stage: |s| {
            s.remove(&at("layers/one"))?;
            put(s, "layers/one", 500, 9)
        },
        whole: (true, true),
    },
    Act {
        name: "replace groups and columns",
        stage: |s| {
            s.remove(&at("layers/sparse"))?;
            group(s, "layers/sparse", &json!({"encoding-type": "csc_matrix"}))?;
            put(s, "layers/sparse/data", 500, 4)?;
            put(s, "layers/sparse/indptr", 510, 4)?;
            s.remove(&at("obs/a"))?;
            put(s, "obs/a", 520, 4)?;
            s.remove(&at("tables/table/layers/one"))?;
            put(s, "tables/table/layers/one", 530, 8)
        },
        whole: (false, false),
    },
    Act { name: "remove", stage: |s| s.remove(&at("layers/sparse")), whole: (true, true) },
    Act {
        name: "remove a column",
        stage: |s| {
            s.remove(&at("obs/b"))?;
            set(s, "obs", &json!({"column-order": ["a", "c"]}))
        },
        whole: (true, true),
    },
    Act { name: "rename", stage: |s| s.rename(&at("layers/one"), &at("layers/uno")), whole: (true, true) },
    Act {
        name: "rename a column",
        stage: |s| {
            s.rename(&at("obs/c"), &at("obs/d"))?;
            set(s, "obs/d", &json!({"renamed": true}))?;
            set(s, "obs", &json!({"column-order": ["a", "b", "d"]}))
        },
        whole: (true, false),
    },
    Act {
        name: "exchange names",
        stage: |s| {
            s.rename(&at("layers/one"), &at("layers/t"))?;
            s.rename(&at("layers/two"), &at("layers/one"))?;
            s.rename(&at("layers/t"), &at("layers/two"))
        },
        whole: (true, true),
    },
    Act {
        name: "a chain of names",
        stage: |s| {
            s.remove(&at("layers/sparse"))?;
            s.rename(&at("layers/two"), &at("layers/sparse"))?;
            s.rename(&at("layers/one"), &at("layers/two"))?;
            put(s, "layers/one", 500, 2)
        },
        whole: (false, false),
    },
    Act {
        name: "all at once",
        stage: |s| {
            put(s, "layers/new", 500, 6)?;
            s.remove(&at("X"))?;
            put(s, "X", 510, 8)?;
            s.remove(&at("layers/sparse"))?;
            s.rename(&at("layers/two"), &at("layers/due"))?;
            put(s, "obs/new", 520, 4)?;
            s.remove(&at("obs/b"))?;
            s.rename(&at("obs/a"), &at("obs/z"))?;
            set(s, "obs", &json!({"column-order": ["z", "c", "new"]}))?;
            s.rename(&at("tables"), &at("mod"))?;
            s.remove(&at("mod/table/layers/one"))?;
            put(s, "mod/table/layers/one", 530, 5)?;
            set(s, "mod/table/layers", &json!({"said": "new"}))?;
            set(s, "", &json!({"said": "more"}))
        },
        whole: (false, false),
    },
    Act { name: "consolidate", stage: |s| s.consolidate(), whole: (true, true) },
];

/// A directory in memory, where there is such a thing: nothing here is about disks.
pub(super) fn temp() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { assert!(fs::copy(&path, to).is_ok()) }
    }
}

/// All files that are no left-overs.
pub(super) fn published(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let names = snapshot(dir).into_iter().map(|(path, bytes)| (path.strip_prefix(dir).unwrap().to_owned(), bytes));
    names.filter(|(path, _)| !path.to_string_lossy().contains(OURS)).collect()
}

/// What zarr-python finds in each, with and without consolidated metadata.
fn peer(dirs: &[PathBuf]) -> Vec<[State; 2]> {
    let python = std::env::var_os("ADSHADOW_PYTHON")
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python").into());
    let mut run = Command::new(python)
        .args(["-c", include_str!("read_states.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked: String = dirs.iter().map(|dir| format!("{}\n", dir.display())).collect();
    run.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let told = run.wait_with_output().unwrap();
    assert!(told.status.success());
    serde_json::from_slice(&told.stdout).unwrap()
}

/// What this crate finds, told as the peer does.
pub(super) fn ours(dir: &Path) -> State {
    let store = ZarrStore::open_read(dir).unwrap();
    let mut found = State::new();
    let mut open = vec![ElemPath::root()];
    while let Some(here) = open.pop() {
        let node = store.node(&here).unwrap().unwrap();
        let mut told = json!({"attrs": node.attrs});
        if node.is_group() {
            let names = store.children(&here).unwrap();
            let frame = node.attrs.get("column-order").and_then(Value::as_array);
            let listed = |name: &String| {
                frame.is_none_or(|order| order.contains(&json!(name)) || node.attrs["_index"] == json!(name))
            };
            open.extend(names.iter().filter(|name| listed(name)).map(|name| here.child(name)));
        } else {
            told["values"] = json!(read_all(&store, &here).unwrap().view::<i32>().unwrap().as_slice().unwrap());
        }
        found.insert(here.to_string(), told);
    }
    found
}

/// The nodes of each element. A group that is renamed counts as the same one, for what changes in it changes under either name.
fn elements(state: &State) -> BTreeMap<String, BTreeMap<String, &Value>> {
    let mut found: BTreeMap<String, BTreeMap<String, &Value>> = BTreeMap::new();
    for (path, node) in state {
        let path = path.strip_prefix("mod").map_or(path.clone(), |rest| format!("tables{rest}"));
        let whole = ["layers/sparse", "obs/c", "obs/d"].into_iter().find(|e| path.starts_with(e));
        found.entry(whole.unwrap_or(&path).to_owned()).or_default().insert(path, node);
    }
    found
}

/// Whether each element of a state is that of one of the two others.
fn mixes(state: &State, old: &State, new: &State) -> Result<(), String> {
    let (state, old, new) = (elements(state), elements(old), elements(new));
    let names: BTreeSet<&String> = [&state, &old, &new].into_iter().flat_map(BTreeMap::keys).collect();
    for name in names {
        let found = state.get(name);
        if found != old.get(name) && found != new.get(name) {
            return Err(format!("`{name}` is {found:?}, neither {:?} nor {:?}", old.get(name), new.get(name)));
        }
    }
    Ok(())
}

/// One transaction, and what comes of it.
struct Case<'a> {
    act: &'a Act,
    origin: &'a Path,
    temp: &'a Path,
    what: String,
    /// Changes of the file system.
    count: usize,
    before: BTreeMap<PathBuf, Option<Vec<u8>>>,
    after: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl<'a> Case<'a> {
    /// Does it once, in the directory `done`.
    fn new(act: &'a Act, origin: &'a Path, temp: &'a Path, done: &Path, what: String) -> Self {
        copy(origin, done);
        let store = ZarrStore::open_write(done).unwrap();
        let (run, count) = trial::with(Fate::Fine, || (act.stage)(&store).and_then(|()| store.publish()));
        run.unwrap_or_else(|e| panic!("{what}: {e}"));
        drop(store);
        Self { act, origin, temp, what, count, before: published(origin), after: published(done) }
    }

    /// Ends the process at every change. Gives a copy of every different state that is left for others; the old and the new one,
    /// which others are asked about anyway, only where they are the first of the trial.
    fn killed(&self, name: &str) -> Vec<PathBuf> {
        let (mut seen, mut left) = (BTreeSet::new(), BTreeSet::new());
        let mut copies = Vec::new();
        for last in 0..self.count {
            let dir = self.temp.join(format!("{name}-{last}.zarr"));
            copy(self.origin, &dir);
            let store = ZarrStore::open_write(&dir).unwrap();
            let _ = trial::with(Fate::Killed(last), || (self.act.stage)(&store).and_then(|()| store.publish()));
            trial::with(Fate::Killed(0), || drop(store));
            let now = published(&dir);
            let records = left_over(&dir).unwrap();
            let committed = records.iter().any(|left| left.fate == crate::store::Fate::CarryOut);
            let is_known = name != "0" && (now == self.before || now == self.after);
            if !is_known && seen.insert(now.clone()) {
                copies.push(self.temp.join(format!("{name}-{last}-as-left.zarr")));
                copy(&dir, copies.last().unwrap());
            }
            // Whoever opens it next, at another place too, finds it old or new.
            if left.insert((now, records_of(&dir))) {
                let what = format!("{} killed at {last} of {}", self.what, self.count);
                let moved = self.temp.join("moved.zarr");
                copy(&dir, &moved);
                let finished = committed || published(&dir) == self.after;
                let expected = if finished { &self.after } else { &self.before };
                assert_eq!(recover(&moved, Locking::On).unwrap().is_empty(), records.is_empty(), "{what}");
                assert_eq!(&published(&moved), expected, "{what}");
                ZarrStore::open_read(&dir).unwrap();
                assert_eq!(&published(&dir), expected, "{what}");
                fs::remove_dir_all(&moved).unwrap();
            }
            fs::remove_dir_all(&dir).unwrap();
        }
        copies
    }

    /// Lets every change fail, one at a time.
    fn failing(&self) {
        for at in 0..self.count {
            let dir = self.temp.join("failing.zarr");
            copy(self.origin, &dir);
            let store = ZarrStore::open_write(&dir).unwrap();
            let run = || (self.act.stage)(&store).and_then(|()| store.publish());
            let what = format!("{} failing at {at} of {}", self.what, self.count);
            let (done, _) = trial::with(Fate::Fails(at), run);
            if let Err(failed) = done {
                assert!(matches!(failed, Error::Io { .. }), "{what}: {failed}");
                store.abandon().unwrap();
                assert_eq!(published(&dir), self.before, "{what}");
                assert_eq!(snapshot(&dir).len(), self.before.len(), "{what}: something is left");
                // And again, once the cause is gone.
                if at % 4 == 0 {
                    run().unwrap();
                    assert_eq!(published(&dir), self.after, "{what}");
                }
            } else {
                assert_eq!(published(&dir), self.after, "{what}");
            }
            drop(store);
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}

/// The names of the records in staging directories.
fn records_of(dir: &Path) -> Vec<String> {
    let names = snapshot(dir).into_keys().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    names.filter(|name| name.starts_with("intent") || name.starts_with("done") || name.starts_with(OURS)).collect()
}

/// Interrupts everything everywhere.
fn trials(flavour: Flavour, maps: Maps) {
    let temp = temp();
    let origin = temp.path().join("base.zarr");
    base(&origin, flavour, maps);
    let (mut asked, mut cases) = (vec![origin.clone()], Vec::new());
    for (number, act) in ACTS.iter().enumerate() {
        let new = temp.path().join(format!("{number}-new.zarr"));
        let case = Case::new(act, &origin, temp.path(), &new, format!("{flavour:?} {maps:?} {}", act.name));
        // Each in one kind of store.
        let kind = 2 * usize::from(flavour == Flavour::V3) + usize::from(maps == Maps::Nested);
        if number % 4 == kind || act.name == "all at once" {
            case.failing();
        }
        let states = case.killed(&number.to_string());
        cases.push((act, asked.len(), asked.len() + 1..asked.len() + 1 + states.len()));
        asked.push(new);
        asked.extend(states);
    }
    let told = peer(&asked);
    assert_eq!(told[0], [ours(&asked[0]), ours(&asked[0])]);
    let mut count = 0;
    for (act, new, states) in cases {
        assert_eq!(told[new], [ours(&asked[new]), ours(&asked[new])], "{}", act.name);
        for index in states {
            for (consolidated, whole) in
                [(0, if maps == Maps::None { act.whole.1 } else { act.whole.0 }), (1, act.whole.1)]
            {
                let (found, old, new) = (&told[index][consolidated], &told[0][consolidated], &told[new][consolidated]);
                let what = format!("{flavour:?} {maps:?} {}, way {consolidated}: {:?}", act.name, asked[index]);
                mixes(found, old, new).unwrap_or_else(|why| panic!("{what}: {why}"));
                assert!(!whole || found == old || found == new, "{what}: {found:?}");
                count += 1;
            }
        }
    }
    assert!(count > 30, "{count} states looked at");
}

#[test]
fn version_2_is_old_or_new_at_every_instant() {
    trials(Flavour::V2, Maps::None);
    trials(Flavour::V2, Maps::Nested);
}

#[test]
fn version_3_is_old_or_new_at_every_instant() {
    trials(Flavour::V3, Maps::None);
    trials(Flavour::V3, Maps::Nested);
}

#[test]
fn where_nothing_can_be_exchanged_it_is_old_or_new_when_opened() {
    let temp = temp();
    let origin = temp.path().join("base.zarr");
    base(&origin, Flavour::V3, Maps::Nested);
    NO_EXCHANGE.set(true);
    for (number, act) in ACTS.iter().enumerate() {
        let case =
            Case::new(act, &origin, temp.path(), &temp.path().join(format!("{number}-new.zarr")), act.name.into());
        if number % 3 == 0 || act.name == "all at once" {
            case.failing();
        }
        case.killed(&number.to_string());
    }
}
