//! [`Image`]: the bytes of a file as its readers see them, and nobody waits for another's disk: what is on disk is read without
//! a lock, and what has changed since lies over it in memory.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::bytes::read_at;
use super::pages::{Pages, Run};

/// A file, and the changed pages over it; clones are the same image.
///
/// Below the base of the pages, the file itself changes only while nobody reads (whoever publishes waits for all readers first),
/// or under pages that hide it. What is behind the base is read by those alone who wrote it.
#[derive(Debug, Clone)]
pub(super) struct Image(Arc<RwLock<Layers>>);

#[derive(Debug)]
struct Layers {
    file: Arc<File>,
    pages: Pages,
    /// Where it ends for the library.
    end: u64,
}

impl Image {
    /// Of a file of this length, of which nothing has changed.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self(Arc::new(RwLock::new(Layers { file: Arc::new(file), pages: Pages::new(length), end: length })))
    }

    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.0.read().file)
    }

    /// The end of what pages may lie over.
    pub(super) fn base(&self) -> u64 {
        self.0.read().pages.base()
    }

    /// Where it ends for the library.
    pub(super) fn end(&self) -> u64 {
        self.0.read().end
    }

    /// The library says where it ends.
    pub(super) fn set_end(&self, end: u64) {
        self.0.write().end = end;
    }

    /// Fills `out` with what is at `at`; behind the end there are zeros.
    pub(super) fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_by(read_at, at, out)
    }

    fn read_by(
        &self,
        fetch: impl FnOnce(&File, u64, &mut [u8]) -> io::Result<()>,
        at: u64,
        out: &mut [u8],
    ) -> io::Result<()> {
        fetch(&self.file(), at, out)?;
        self.0.read().pages.overlay(at, out);
        Ok(())
    }

    /// Changes the bytes at `at`, all of them below the base, over the file. One thread at a time does that.
    pub(super) fn change(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        // Pages begin as they are on disk.
        let around = Pages::around(at, bytes.len() as u64);
        let mut disk = vec![0; (around.end - around.start) as usize];
        read_at(&self.file(), around.start, &mut disk)?;
        self.0.write().pages.write(at, bytes, |page, out| {
            let from = (page - around.start) as usize;
            out.copy_from_slice(&disk[from..from + out.len()]);
            Ok(())
        })
    }

    /// What differs from the file, which is to end at `length`. Nobody may be reading.
    pub(super) fn runs(&self, length: u64) -> io::Result<Vec<Run>> {
        let Layers { file, pages, .. } = &*self.0.read();
        pages.runs(length, |at, out| read_at(file, at, out))
    }

    /// From now on the file, of this length, is as it is on disk. Nobody may be reading.
    pub(super) fn start(&self, length: u64) {
        let mut layers = self.0.write();
        (layers.pages, layers.end) = (Pages::new(length), length);
    }

    /// Another file has taken the place of this one. Nobody may be reading.
    pub(super) fn replace(&self, file: File) {
        self.0.write().file = Arc::new(file);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing check is a panic")]
    use super::*;

    /// While one read is at its disk, others read, and pages change; it sees what has changed by the time it is done.
    #[test]
    fn nobody_waits_for_the_disk_of_another() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temp.path(), [1; 2000]).unwrap();
        let image = Image::new(File::open(temp.path()).unwrap(), 2000);
        let mut out = [0; 1000];
        let slow = |file: &File, at: u64, out: &mut [u8]| {
            assert!(image.0.try_write().is_some(), "a lock is held while the disk is at work");
            let other = std::thread::spawn({
                let image = image.clone();
                move || {
                    let mut other = [0; 10];
                    image.read(505, &mut other).unwrap();
                    image.change(510, &[7; 5]).unwrap();
                    other
                }
            });
            assert_eq!(other.join().unwrap(), [1; 10]);
            read_at(file, at, out)
        };
        image.read_by(slow, 500, &mut out).unwrap();
        assert_eq!((out[9], &out[10..15], out[15]), (1, &[7; 5][..], 1));
        // The file is what it was.
        assert_eq!(image.runs(2000).unwrap().len(), 1);
        image.start(2000);
        image.read(500, &mut out).unwrap();
        assert_eq!(out, [1; 1000]);
    }
}
