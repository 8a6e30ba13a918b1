//! [`Stage`]: new nodes written completely beside the published ones, and their publication: moved into place, changed
//! attributes rewritten, consolidated metadata last. Whatever fails on the way is undone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::Value;

use super::consolidated;
use super::meta::{Document, Version, object};
use super::source::{OURS, Source};
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::store::{Attrs, Op, Planned};

/// What is staged.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// The staging directory, once there is something in it. It mirrors the paths of the store.
    dir: Option<PathBuf>,
    /// The new nodes.
    pub(super) nodes: BTreeMap<ElemPath, Document>,
    /// Published nodes that go.
    pub(super) planned: Planned,
    /// New attributes of published nodes.
    attrs: BTreeMap<ElemPath, Attrs>,
}

impl Stage {
    /// The directory for the new node `at`.
    pub(super) fn node_dir(&mut self, source: &Source, at: &ElemPath) -> io::Result<PathBuf> {
        let base = match &self.dir {
            Some(dir) => dir.clone(),
            None => self.dir.insert(new_dir(&source.root)?).clone(),
        };
        let dir = at.components().fold(base, |dir, name| dir.join(name));
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Writes the documents of a staged node, new or changed, and remembers it.
    pub(super) fn put(&mut self, source: &Source, at: &ElemPath, doc: Document) -> Result<()> {
        let dir = self.node_dir(source, at).map_err(source.io(at))?;
        for (name, value) in doc.files() {
            let bytes = to_bytes(source, at, &value)?;
            write_file(source, &dir.join(name), &bytes).map_err(source.io(at))?;
        }
        self.nodes.insert(at.clone(), doc);
        Ok(())
    }

    /// Remembers that a published node goes; what was to come or to change below it does so no more.
    pub(super) fn remove(&mut self, at: &ElemPath) -> io::Result<()> {
        if let Some(base) = self.dir.as_ref().filter(|_| self.nodes.keys().any(|new| new.starts_with(at))) {
            fs::remove_dir_all(at.components().fold(base.clone(), |dir, name| dir.join(name)))?;
        }
        self.nodes.retain(|new, _| !new.starts_with(at));
        self.attrs.retain(|changed, _| !changed.starts_with(at));
        self.planned.remove(at);
        Ok(())
    }

    /// Remembers new attributes of a published node.
    pub(super) fn set_attrs(&mut self, at: &ElemPath, attrs: &Attrs) {
        self.attrs.entry(at.clone()).or_default().extend(attrs.clone());
    }

    /// Removes the staging directory. The rest is dropped with `self`.
    pub(super) fn clear(self) -> io::Result<()> {
        match self.dir {
            Some(dir) => {
                fs::remove_dir_all(dir).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
            }
            None => Ok(()),
        }
    }

    /// Makes it all visible, or nothing of it. The staging directory stays.
    pub(super) fn publish(&self, source: &Source) -> Result<()> {
        if self.nodes.is_empty() && self.attrs.is_empty() && self.planned.is_empty() {
            return Ok(());
        }
        let mut journal = Journal::new(source);
        let done = self
            .move_out(&mut journal)
            .and_then(|()| self.move_in(&mut journal))
            .and_then(|()| self.write_attrs(&mut journal))
            .and_then(|()| {
                let changed = self.nodes.keys().chain(self.attrs.keys()).chain(self.removed());
                consolidate_above(&mut journal, changed)
            });
        match done {
            Ok(()) => journal.forget_old(),
            Err(_) => journal.undo(),
        }
        done
    }

    /// The staged nodes whose parents are not staged with them.
    fn tops(&self) -> impl Iterator<Item = &ElemPath> {
        self.nodes.keys().filter(|at| at.parent().is_none_or(|p| !self.nodes.contains_key(&p)))
    }

    fn removed(&self) -> impl Iterator<Item = &ElemPath> {
        self.planned.ops().iter().filter_map(|op| if let Op::Remove(at) = op { Some(at) } else { None })
    }

    fn move_out(&self, journal: &mut Journal<'_>) -> Result<()> {
        self.removed().try_for_each(|at| journal.move_out(at))
    }

    fn move_in(&self, journal: &mut Journal<'_>) -> Result<()> {
        let Some(base) = &self.dir else { return Ok(()) };
        for at in self.tops() {
            let from = at.components().fold(base.clone(), |dir, name| dir.join(name));
            sync_below(&from).map_err(journal.source.io(at))?;
            journal.move_in(at, from)?;
        }
        Ok(())
    }

    fn write_attrs(&self, journal: &mut Journal<'_>) -> Result<()> {
        for (at, attrs) in &self.attrs {
            let source = journal.source;
            let (name, old) = match source.document(at, "zarr.json")? {
                Some(bytes) => ("zarr.json", Some(bytes)),
                None => (".zattrs", source.document(at, ".zattrs")?),
            };
            let mut json = match &old {
                Some(bytes) => object(bytes).map_err(|e| source.malformed(at, format!("`{name}`: {e}")))?,
                None => Attrs::new(),
            };
            if name == "zarr.json" {
                match json.entry("attributes").or_insert_with(|| Value::Object(Attrs::new())) {
                    Value::Object(map) => map.extend(attrs.clone()),
                    other => *other = attrs.clone().into(),
                }
            } else {
                json.extend(attrs.clone());
            }
            let bytes = to_bytes(source, at, &json.into())?;
            journal.replace(at, name, old, &bytes)?;
        }
        Ok(())
    }
}

/// Renews the consolidated metadata of every group at or above the changed nodes that has some, the root's last.
fn consolidate_above<'a>(journal: &mut Journal<'_>, changed: impl Iterator<Item = &'a ElemPath>) -> Result<()> {
    let mut groups: Vec<ElemPath> = changed.flat_map(|at| at.ancestors().chain([at.clone()])).collect();
    groups.sort_by_key(|at| (std::cmp::Reverse(at.components().count()), at.clone()));
    groups.dedup();
    for at in groups {
        for name in consolidated::present(journal.source, &at)? {
            journal.renew(&at, name)?;
        }
    }
    Ok(())
}

/// Renews all consolidated metadata of the store, making those of the root if there are none.
pub(super) fn consolidate_all(source: &Source, version: Version) -> Result<()> {
    let mut groups = Vec::new();
    let mut open = vec![ElemPath::root()];
    while let Some(at) = open.pop() {
        // A broken node cannot hold a map that anybody reads.
        if matches!(Document::read(source, &at), Ok(Some(doc)) if !doc.is_array) {
            open.extend(source.children(&at)?.iter().map(|name| at.child(name)));
            groups.push(at);
        }
    }
    let mut journal = Journal::new(source);
    let mut renew = || {
        // Parents come before their children in the list: backwards, the root is last.
        for at in groups.iter().rev() {
            let mut files = consolidated::present(journal.source, at)?;
            let wanted = consolidated::file_name(version);
            if at.is_root() && !files.contains(&wanted) {
                files.push(wanted);
            }
            for name in files {
                journal.consolidate(at, name)?;
            }
        }
        Ok(())
    };
    let done = renew();
    if done.is_err() {
        journal.undo();
    }
    done
}

enum Undo {
    /// A node moved out: where it was, where it is.
    Out(PathBuf, PathBuf),
    /// A new node moved in: where it was, where it is.
    Moved(PathBuf, PathBuf),
    /// A file replaced: its old content, if there was one.
    Replaced(PathBuf, Option<Vec<u8>>),
}

/// Changes to the published store, each with the way back.
struct Journal<'a> {
    source: &'a Source,
    undo: Vec<Undo>,
}

impl<'a> Journal<'a> {
    fn new(source: &'a Source) -> Self {
        Self { source, undo: Vec::new() }
    }

    /// Moves a node into a directory of its own in the store's root. Under a name that nobody sweeps: until all is done it is
    /// the only copy.
    fn move_out(&mut self, at: &ElemPath) -> Result<()> {
        let from = self.source.dir(at);
        let number = COUNT.fetch_add(1, Relaxed);
        let name = at.name().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let to = self.source.root.join(format!("{OURS}old-{}-{number}-{name}", std::process::id()));
        fs::rename(&from, &to).map_err(self.source.io(at))?;
        let parent = from.parent().map(Path::to_owned);
        self.undo.push(Undo::Out(from, to));
        parent.map_or(Ok(()), |dir| sync_dir(&dir)).map_err(self.source.io(at))
    }

    /// Deletes what was moved out. Left-overs are invisible.
    fn forget_old(self) {
        for step in self.undo {
            if let Undo::Out(_, old) = step {
                let _ = fs::remove_dir_all(old);
            }
        }
    }

    fn move_in(&mut self, at: &ElemPath, from: PathBuf) -> Result<()> {
        let to = self.source.dir(at);
        // Somebody else may have written here since: a rename would silently replace an empty directory.
        if fs::symlink_metadata(&to).is_ok() {
            return Err(Error::Exists { at: self.source.place(at) });
        }
        fs::rename(&from, &to).map_err(self.source.io(at))?;
        let parent = to.parent().map(Path::to_owned);
        self.undo.push(Undo::Moved(from, to));
        parent.map_or(Ok(()), |dir| sync_dir(&dir)).map_err(self.source.io(at))
    }

    fn replace(&mut self, at: &ElemPath, name: &str, old: Option<Vec<u8>>, bytes: &[u8]) -> Result<()> {
        let path = self.source.dir(at).join(name);
        self.undo.push(Undo::Replaced(path.clone(), old));
        replace_file(self.source, &path, bytes).map_err(self.source.io(at))
    }

    fn consolidate(&mut self, at: &ElemPath, name: &str) -> Result<()> {
        let old = self.source.document(at, name)?;
        let bytes = consolidated::rebuild(self.source, at, name)?;
        self.replace(at, name, old, &bytes)
    }

    /// As [`consolidate`](Self::consolidate), but a map that cannot be parsed is removed: what it lists, and other tools may
    /// be able to read, could be lost in a new one. No map at all is always right.
    fn renew(&mut self, at: &ElemPath, name: &str) -> Result<()> {
        match self.source.document(at, name)? {
            Some(old) if object(&old).is_err() => {
                let path = self.source.dir(at).join(name);
                self.undo.push(Undo::Replaced(path.clone(), Some(old)));
                fs::remove_file(&path).map_err(self.source.io(at))
            }
            _ => self.consolidate(at, name),
        }
    }

    /// Takes everything back, last change first. What cannot be taken back is left: the error that led here is reported.
    fn undo(self) {
        for step in self.undo.into_iter().rev() {
            let _ = match step {
                Undo::Out(from, to) => fs::rename(&to, &from),
                Undo::Moved(from, to) => fs::rename(&to, &from).or_else(|_| fs::remove_dir_all(&to)),
                Undo::Replaced(path, Some(old)) => replace_file(self.source, &path, &old),
                Undo::Replaced(path, None) => fs::remove_file(&path),
            };
        }
    }
}

fn to_bytes(source: &Source, at: &ElemPath, value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Backend { at: source.place(at), what: e.to_string() })
}

/// Writes a new file to the disk itself.
pub(super) fn write_file(source: &Source, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    source.meter.wrote(bytes.len() as u64);
    Ok(())
}

/// Puts new content in place of a file in one step: readers see the old or the new, never a part.
fn replace_file(source: &Source, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(dir) = path.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let temp = dir.join(format!("{OURS}{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed)));
    let written = write_file(source, &temp, bytes).and_then(|()| fs::rename(&temp, path));
    if written.is_err() {
        // Never there if it could not be created.
        let _ = fs::remove_file(&temp);
    }
    written.and_then(|()| sync_dir(dir))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    // Only where directories can be opened as files does an entry need syncing.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

fn sync_below(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_below(&entry.path())?;
        }
    }
    sync_dir(dir)
}

static COUNT: AtomicU64 = AtomicU64::new(0);

/// What staging directories of this computer begin with: the process number follows, and means something only here.
fn stage_prefix() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{OURS}stage-{host}-")
}

fn new_dir(root: &Path) -> io::Result<PathBuf> {
    let dir = root.join(format!("{}{}-{}", stage_prefix(), std::process::id(), COUNT.fetch_add(1, Relaxed)));
    fs::create_dir(&dir)?;
    Ok(dir)
}

/// Removes the staging directories of processes of this computer that are gone, where the system tells.
pub(super) fn sweep(root: &Path) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let prefix = stage_prefix();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(&prefix)?.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Left-overs are invisible; who may not remove them leaves them.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
