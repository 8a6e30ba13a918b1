//! [`Watch`]: whether a store is still the one that was opened for reading. What has been read before must not be put together
//! with what somebody else has written since.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::path::Path;
use std::time::SystemTime;
#[cfg(unix)]
use std::time::{Duration, UNIX_EPOCH};

use parking_lot::Mutex;

use super::source::Source;
use crate::error::{Error, Result};
use crate::path::ElemPath;

/// What tells one file from another one of the same name, and from itself with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    inode: (u64, u64),
    pub(super) len: u64,
    modified: Option<SystemTime>,
    /// When content, name or rights changed. The time of modification is what programs like to restore (`cp -p`, `rsync -t`); this
    /// is the system's own. Not everywhere there is one.
    changed: Option<SystemTime>,
}

impl FileId {
    pub(super) fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        let (inode, changed) = {
            use std::os::unix::fs::MetadataExt;
            let since_epoch = u64::try_from(found.ctime()).ok().zip(u32::try_from(found.ctime_nsec()).ok());
            let changed = since_epoch.and_then(|(secs, nanos)| UNIX_EPOCH.checked_add(Duration::new(secs, nanos)));
            ((found.dev(), found.ino()), changed)
        };
        #[cfg(not(unix))]
        let (inode, changed) = ((0, 0), None);
        Self { inode, len: found.len(), modified: found.modified().ok(), changed }
    }

    /// `None` if there is nothing.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path).ok().map(|found| Self::of(&found))
    }

    /// Whether it is the same file or directory, whatever has become of it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.inode == other.inode
    }

    /// When it was last modified or changed.
    pub(super) fn latest(&self) -> Option<SystemTime> {
        self.modified.max(self.changed)
    }

    /// Whether it was changed after a moment (of opening). A time in the future is that of another clock and tells nothing.
    pub(super) fn is_newer_than(&self, since: SystemTime) -> bool {
        let now = SystemTime::now();
        [self.modified, self.changed].into_iter().flatten().any(|time| time > since && time <= now)
    }
}

/// The documents of a node; only the first counts where it is there.
type Documents = [Option<FileId>; 4];

/// What a reader's answers rest on.
#[derive(Debug)]
pub(super) struct Watch {
    /// The documents of the root, or the archive.
    root: Documents,
    /// The documents of other nodes, as they were when these were first asked for.
    seen: Mutex<HashMap<ElemPath, Documents>>,
}

impl Watch {
    pub(super) fn new(source: &Source) -> Self {
        Self { root: root_of(source), seen: Mutex::default() }
    }

    /// Whether the root is as it was: publishing begins with a change of it. (A store that was opened in the middle of one is
    /// told by [`is_pending`](super::recover::is_pending).)
    ///
    /// # Errors
    /// [`Error::StoreChanged`].
    pub(super) fn check(&self, source: &Source) -> Result<()> {
        if root_of(source) == self.root { Ok(()) } else { Err(changed(source)) }
    }

    /// As [`check`](Self::check), and whether the documents of the node `at` are as they were. What is `listed` must not have
    /// vanished since the store was opened.
    ///
    /// # Errors
    /// [`Error::StoreChanged`].
    pub(super) fn check_node(&self, source: &Source, at: &ElemPath, listed: bool) -> Result<()> {
        self.check(source)?;
        let Some(since) = source.since.filter(|_| !at.is_root()) else { return Ok(()) };
        let dir = source.dir(at);
        let found = documents(&dir);
        if let Some(first) = self.seen.lock().get(at) {
            return if *first == found { Ok(()) } else { Err(changed(source)) };
        }
        let is_new = |id: &FileId| id.is_newer_than(since);
        let vanished = || dir.ancestors().find_map(FileId::at).is_some_and(|above| is_new(&above));
        if found.iter().flatten().any(is_new) || (listed && found.iter().all(Option::is_none) && vanished()) {
            return Err(changed(source));
        }
        self.seen.lock().insert(at.clone(), found);
        Ok(())
    }
}

fn root_of(source: &Source) -> Documents {
    if source.is_archive() {
        return [FileId::at(&source.root), None, None, None];
    }
    ["zarr.json", ".zgroup", ".zattrs", ".zmetadata"].map(|name| FileId::at(&source.root.join(name)))
}

fn documents(dir: &Path) -> Documents {
    let of = |name: &str| FileId::at(&dir.join(name));
    match of("zarr.json") {
        Some(id) => [Some(id), None, None, None],
        None => [None, of(".zarray"), of(".zgroup"), of(".zattrs")],
    }
}

pub(super) fn changed(source: &Source) -> Error {
    Error::StoreChanged { at: source.place(&ElemPath::root()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_newer_was_modified_or_changed_between_the_opening_and_now() {
        let now = SystemTime::now();
        let [past, opened, since, future] = [-3000, -2000, -1000, 1000].map(|seconds: i64| {
            let by = std::time::Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { now - by } else { now + by }
        });
        let id = |modified, changed| FileId { inode: (0, 0), len: 0, modified, changed };
        for (modified, changed, newer) in [
            (Some(past), Some(past), false),
            (Some(opened), Some(opened), false),
            (Some(since), Some(past), true),
            // `cp -p` and `rsync -t`.
            (Some(past), Some(since), true),
            // Where the system has no time of change.
            (Some(past), None, false),
            (Some(since), None, true),
            (None, None, false),
            // Other clocks: those say nothing, and hide nothing.
            (Some(future), Some(future), false),
            (Some(future), Some(past), false),
            (Some(future), Some(since), true),
            (Some(since), Some(future), true),
        ] {
            let id = id(modified, changed);
            assert_eq!(id.is_newer_than(opened), newer, "{id:?}");
            // Who opens a store counts from the latest of what was there: else a copy (`cp -a`) on a server whose clock is ahead
            // would be newer as soon as that time has come.
            let counted = id.latest().unwrap_or(opened).max(opened);
            assert!(!id.is_newer_than(counted), "{id:?}");
        }
    }
}
