//! [`Stage`]: what is to be changed when the store publishes. New nodes are written completely into a directory of their own in
//! the store's root; the rest is kept in memory until then.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::Value;

use super::files;
use super::meta::Document;
use super::source::{OURS, Source};
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::store::{Attrs, Planned};

/// The staging directory. What lies in it is named by numbers.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The directory, once there is something in it.
    dir: Option<PathBuf>,
    count: usize,
}

impl Shelf {
    pub(super) fn dir(&mut self, source: &Source) -> io::Result<PathBuf> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => Ok(self.dir.insert(new_dir(&source.root)?).clone()),
        }
    }

    /// A number that nothing has.
    pub(super) fn next(&mut self) -> usize {
        self.count += 1;
        self.count
    }

    pub(super) fn path(&mut self, source: &Source, number: usize) -> io::Result<PathBuf> {
        Ok(self.dir(source)?.join(number.to_string()))
    }

    /// Stages a file, for those who may read the file `model`; gives its number.
    pub(super) fn put(&mut self, source: &Source, bytes: &[u8], model: &Path) -> io::Result<usize> {
        let number = self.next();
        let model = fs::symlink_metadata(model).ok().filter(Metadata::is_file);
        files::write_file_like(source, &self.path(source, number)?, bytes, model.as_ref())?;
        Ok(number)
    }

    /// Removes the directory with all in it.
    pub(super) fn clear(self) -> io::Result<()> {
        self.dir.map_or(Ok(()), |dir| files::remove_dir(&dir))
    }
}

/// What is staged.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) shelf: Shelf,
    /// The numbers of new nodes in published groups; all other new nodes lie in these.
    tops: BTreeMap<ElemPath, usize>,
    /// The new nodes.
    pub(super) nodes: BTreeMap<ElemPath, Document>,
    /// Published nodes that go or get another place.
    pub(super) planned: Planned,
    /// New attributes of published nodes, by the places where these will be.
    pub(super) attrs: BTreeMap<ElemPath, Attrs>,
}

impl Stage {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.attrs.is_empty() && self.planned.is_empty()
    }

    /// The empty directory of a node that is to be staged.
    pub(super) fn fresh_dir(&mut self, source: &Source, at: &ElemPath) -> io::Result<PathBuf> {
        let dir = self.dir_of(source, at)?;
        // Left by an attempt that failed.
        files::remove_dir(&dir)?;
        files::create_dir(&dir)?;
        Ok(dir)
    }

    /// An empty directory for what is not staged yet.
    pub(super) fn scratch_dir(&mut self, source: &Source) -> io::Result<PathBuf> {
        let number = self.shelf.next();
        let dir = self.shelf.path(source, number)?;
        files::create_dir(&dir)?;
        Ok(dir)
    }

    fn dir_of(&mut self, source: &Source, at: &ElemPath) -> io::Result<PathBuf> {
        let top = at.ancestors().filter(|above| self.nodes.contains_key(above)).last().unwrap_or_else(|| at.clone());
        let number = *self.tops.entry(top.clone()).or_insert_with(|| self.shelf.next());
        let base = self.shelf.path(source, number)?;
        Ok(at.strip_prefix(&top).unwrap_or_default().components().fold(base, |dir, name| dir.join(name)))
    }

    /// Writes the documents of a staged node, new or changed, and remembers it.
    pub(super) fn put(&mut self, source: &Source, at: &ElemPath, doc: Document) -> Result<()> {
        let dir = self.dir_of(source, at).map_err(source.io(at))?;
        fs::create_dir_all(&dir).map_err(source.io(at))?;
        for (name, value) in doc.files() {
            let bytes = to_bytes(source, at, &value)?;
            files::write_file(source, &dir.join(name), &bytes).map_err(source.io(at))?;
        }
        self.nodes.insert(at.clone(), doc);
        Ok(())
    }

    /// Remembers that a published node goes; what was to come or to change below it does so no more.
    pub(super) fn remove(&mut self, source: &Source, at: &ElemPath) -> io::Result<()> {
        for number in self.tops.iter().filter(|(top, _)| top.starts_with(at)).map(|(_, number)| *number) {
            files::remove_dir(&self.shelf.path(source, number)?)?;
        }
        self.tops.retain(|top, _| !top.starts_with(at));
        self.nodes.retain(|new, _| !new.starts_with(at));
        self.attrs.retain(|changed, _| !changed.starts_with(at));
        self.planned.remove(at);
        Ok(())
    }

    /// Remembers that a published node gets another place, and with it what is to change in it.
    pub(super) fn rename(&mut self, from: &ElemPath, to: &ElemPath) {
        let place = |at: ElemPath| at.strip_prefix(from).map(|rest| to.append(&rest)).unwrap_or(at);
        self.attrs = std::mem::take(&mut self.attrs).into_iter().map(|(at, attrs)| (place(at), attrs)).collect();
        self.planned.rename(from, to);
    }

    /// Remembers new attributes of a published node.
    pub(super) fn set_attrs(&mut self, at: &ElemPath, attrs: &Attrs) {
        self.attrs.entry(at.clone()).or_default().extend(attrs.clone());
    }

    /// The new nodes in published groups and the numbers that they have in the staging directory.
    pub(super) fn tops(&self) -> BTreeMap<ElemPath, usize> {
        let there = self.tops.iter().filter(|(at, _)| self.nodes.contains_key(at));
        there.map(|(at, &number)| (at.clone(), number)).collect()
    }
}

pub(super) fn to_bytes(source: &Source, at: &ElemPath, value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Backend { at: source.place(at), what: e.to_string() })
}

/// What staging directories begin with: the name of the computer follows, then the process number, which means something only
/// there, and a number.
pub(super) const STAGE: &str = "stage-";

/// The name of this computer, as far as file names go.
pub(super) fn host() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

static COUNT: AtomicU64 = AtomicU64::new(0);

fn new_dir(root: &Path) -> io::Result<PathBuf> {
    let number = COUNT.fetch_add(1, Relaxed);
    let dir = root.join(format!("{OURS}{STAGE}{}-{}-{number}", host(), std::process::id()));
    files::create_dir(&dir)?;
    Ok(dir)
}
