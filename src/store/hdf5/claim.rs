//! Who has which file open in this process. HDF5 shares one open file between all handles of a process, whatever mode
//! they asked for, and its locks keep out other processes only; so that handles do not see each other's half-done
//! changes, a file has many readers or one writer here too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Number of readers; `None` for a writer.
static OPEN: Mutex<BTreeMap<PathBuf, Option<usize>>> = Mutex::new(BTreeMap::new());

/// The right to have a file open; given back when dropped.
#[derive(Debug)]
pub(super) struct Claim(PathBuf);

impl Claim {
    /// Claims a file; `None` if another handle of this process excludes it.
    pub(super) fn new(path: &Path, write: bool) -> Option<Self> {
        let key = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut open = OPEN.lock();
        let now = match (open.get(&key), write) {
            (None, true) => None,
            (None, false) => Some(1),
            (Some(Some(readers)), false) => Some(readers + 1),
            _ => return None,
        };
        open.insert(key.clone(), now);
        Some(Self(key))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = OPEN.lock();
        match open.get_mut(&self.0) {
            Some(Some(readers)) if *readers > 1 => *readers -= 1,
            _ => drop(open.remove(&self.0)),
        }
    }
}
