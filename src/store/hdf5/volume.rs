//! [`Volume`]: the bytes of an HDF5 file under the library. What the library appends goes to the file, behind its old end;
//! what it changes below that stays in memory until it is published, through a journal.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::beside;
use super::bytes::write_at;
use super::copy;
use super::held::Identity;
use super::image::Image;
use super::journal::{Changes, Journal};
use crate::fork;
use crate::store::Safety;

/// A volume, as the library and its store share it.
pub(super) type Shared = Arc<Mutex<Volume>>;

/// What becomes of what the library writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The file is open for reading.
    Refuse,
    /// Appended to the file, or kept in memory.
    Keep,
    /// The same, but the library is told of no failure: it is closing its file, and cannot bear one.
    Close,
    /// Nothing.
    Drop,
}

/// The bytes of a file.
#[derive(Debug)]
pub(super) struct Volume {
    /// Under its real name.
    path: PathBuf,
    /// What readers see, who need not hold the volume.
    image: Image,
    mode: Mode,
    /// Present as soon as something is appended, unless the file is all new.
    journal: Option<Journal>,
    fresh: bool,
    /// The first failure to append. From then on what is staged is incomplete, and only good to be dropped.
    failed: Option<io::Error>,
    /// Whether the next thing to be appended is to fail, for nobody wants it any more.
    stopped: bool,
    /// Whether what was appended is to be forgotten, and could not be cut off.
    uncut: bool,
    /// Changes of which some are made, and which are to be taken back.
    stuck: Option<Changes>,
    /// Whether there may be changes in the journal: whoever opens the file next would make them.
    committed: bool,
    written: u64,
    /// In which process, counted by forks, it was opened.
    process: u32,
}

impl Volume {
    /// A file for reading; `changes` are published and not made, and lie over it.
    pub(super) fn reading(path: PathBuf, file: File, changes: Option<&Changes>) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut volume = Self::new(path, file, length, Mode::Refuse);
        if let Some(changes) = changes {
            volume.overlay(changes)?;
        }
        Ok(volume)
    }

    /// A file for reading and writing.
    pub(super) fn writing(path: PathBuf, file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::new(path, file, length, Mode::Keep))
    }

    /// A file in which there is nothing yet, and of which nothing is to be kept.
    pub(super) fn fresh(path: PathBuf, file: File) -> Self {
        let mut volume = Self::new(path, file, 0, Mode::Keep);
        volume.fresh = true;
        volume
    }

    fn new(path: PathBuf, file: File, length: u64, mode: Mode) -> Self {
        Self {
            path,
            image: Image::new(file, length),
            mode,
            journal: None,
            fresh: false,
            failed: None,
            stopped: false,
            uncut: false,
            stuck: None,
            committed: false,
            written: 0,
            process: fork::forks(),
        }
    }

    pub(super) fn shared(self) -> Shared {
        Arc::new(Mutex::new(self))
    }

    /// Where the file ends for the library.
    pub(super) fn end(&self) -> u64 {
        self.image.end()
    }

    pub(super) fn identity(&self) -> io::Result<Identity> {
        self.file().metadata().map(|meta| Identity::of(&meta))
    }

    /// What readers see, now and after any change. It is read without holding the volume, which may be at its disk.
    pub(super) fn image(&self) -> Image {
        self.image.clone()
    }

    /// Takes what the library writes.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let kept = self.image.base().saturating_sub(at).min(bytes.len() as u64);
        let (below, above) = bytes.split_at(kept as usize);
        match self.mode {
            Mode::Refuse => return Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Mode::Drop => return Ok(()),
            Mode::Keep | Mode::Close => {}
        }
        let written = self.change(at, below).and_then(|()| self.append(at + kept, above));
        self.image.set_end(self.end().max(at + bytes.len() as u64));
        match written {
            Err(error) if self.failed.is_none() => {
                let silent = self.mode == Mode::Close;
                self.failed = Some(again(&error));
                if silent { Ok(()) } else { Err(error) }
            }
            // What follows the first failure is lost with it.
            _ => Ok(()),
        }
    }

    fn change(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() { Ok(()) } else { self.image.change(at, bytes) }
    }

    fn append(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() || self.failed.is_some() {
            return Ok(());
        }
        if self.stopped {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.begin()?;
        write_at(&self.file(), at, bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Begins the journal, if it has not begun.
    fn begin(&mut self) -> io::Result<()> {
        if self.uncut {
            self.cut()?;
        }
        if self.journal.is_none() && !self.fresh {
            let journal = Journal::begin(beside::journal_of(&self.path), &self.file(), self.image.base())?;
            self.journal = Some(journal);
            self.written += 64;
        }
        Ok(())
    }

    /// Whether something was appended, or was to be.
    pub(super) fn is_touched(&self) -> bool {
        self.journal.is_some() || self.failed.is_some()
    }

    /// The first failure to append, if there was one.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failed.as_ref().map(again)
    }

    /// The library is about to close the file, all of it to be kept.
    pub(super) fn closing(&mut self) {
        self.mode = Mode::Close;
    }

    /// Nothing of what the library writes from now on is kept.
    pub(super) fn dropping(&mut self) {
        if self.mode != Mode::Refuse {
            self.mode = Mode::Drop;
        }
    }

    /// Bytes that went to disk since this was asked last.
    pub(super) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    /// After the library has closed the file: makes all that it has written part of the file, all or nothing. What is left to
    /// be undone after an error, [`forget`](Self::forget) undoes.
    pub(super) fn publish(&mut self, safety: Safety) -> io::Result<()> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let (base, length) = (self.image.base(), self.end());
        if self.fresh {
            self.file().set_len(length)?;
            self.file().sync_all()?;
            beside::sync_dir(&self.path)?;
            self.fresh = false;
            return self.settle();
        }
        if self.uncut {
            // Else what is in the file would pass for what was there before, also where it is half changed.
            self.cut()?;
        }
        let runs = self.image.runs(length)?;
        if runs.is_empty() && length == base && self.journal.is_none() {
            return self.settle();
        }
        let changes = Changes { base, length, runs };
        match safety {
            Safety::Journal => self.publish_here(changes),
            Safety::Copy => self.publish_copy(&changes),
        }
    }

    fn publish_here(&mut self, changes: Changes) -> io::Result<()> {
        self.begin()?;
        // Everything that may fail for want of room fails here.
        let file = self.file();
        file.set_len(changes.length.max(changes.base))?;
        file.sync_all()?;
        if let Some(journal) = &mut self.journal {
            self.committed = true;
            self.written += journal.commit(changes.length, &changes.runs)?;
        }
        match changes.apply(&file) {
            Ok(written) => self.written += written,
            Err(error) => {
                self.stuck = Some(changes);
                return Err(error);
            }
        }
        self.settle()
    }

    fn publish_copy(&mut self, changes: &Changes) -> io::Result<()> {
        self.begin()?;
        let copy = copy::replace(&self.path, &self.file(), changes)?;
        self.image.replace(copy.file);
        self.written += copy.made;
        self.settle()?;
        copy.durable
    }

    /// All is as it is to stay: the next changes count from here.
    fn settle(&mut self) -> io::Result<()> {
        if let Some(journal) = self.journal.take() {
            // One that stays behind is found to be carried out already.
            let _ = journal.remove();
        }
        self.committed = false;
        self.start(self.file().metadata()?.len());
        Ok(())
    }

    fn start(&mut self, length: u64) {
        self.image.start(length);
        (self.mode, self.failed) = (Mode::Keep, None);
    }

    /// After the library has closed the file: forgets all that it has written since the last publishing.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        if self.mode == Mode::Refuse {
            return Ok(());
        }
        self.start(self.image.base());
        let cut = self.cut();
        for run in self.stuck.iter().flat_map(|changes| &changes.runs) {
            // As long as they are in the file, they are not to be seen.
            self.image.change(run.at, &run.old)?;
        }
        cut
    }

    /// The journal, if there may be changes in it that were to be forgotten: the next opening would make them.
    pub(super) fn committed_journal(&self) -> Option<PathBuf> {
        self.committed.then(|| beside::journal_of(&self.path))
    }

    /// Takes back pages that could not be taken back before, cuts off what was appended, and ends the journal. Until this
    /// succeeds, nothing can be appended.
    fn cut(&mut self) -> io::Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        self.uncut = true;
        if let Some(changes) = &self.stuck {
            changes.take_back(&self.file())?;
            self.stuck = None;
        }
        // As long as there is a tail, it is known whose it is.
        journal.uncommit()?;
        self.committed = false;
        self.file().set_len(self.image.base())?;
        self.file().sync_all()?;
        journal.remove()?;
        (self.journal, self.uncut) = (None, false);
        Ok(())
    }

    /// Puts changes over the file that are not made yet.
    fn overlay(&mut self, changes: &Changes) -> io::Result<()> {
        self.image.set_end(changes.length);
        changes.runs.iter().try_for_each(|run| self.image.change(run.at, &run.new))
    }

    /// Whatever the library is doing is to fail as soon as it appends something, and not to be published.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// From now on, nothing is written; whoever holds the file goes on holding it.
    pub(super) fn freeze(&mut self) {
        self.mode = Mode::Refuse;
    }

    /// Under its real name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for what its owner and permissions are, and for another handle of it.
    pub(super) fn file(&self) -> Arc<File> {
        self.image.file()
    }

    /// Whether the library may write.
    pub(super) fn is_writable(&self) -> bool {
        self.mode != Mode::Refuse
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // In a forked process, it is the other one's to do.
        if self.mode != Mode::Refuse && self.process == fork::forks() {
            // What cannot be cut off now is cut off at the next opening.
            let _ = self.forget();
        }
    }
}

/// The error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
