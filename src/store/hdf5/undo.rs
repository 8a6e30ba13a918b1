//! [`Undo`]: the file as it was before it was opened for writing, for when nothing is published after all. What is staged
//! lies behind the old end of the file; on closing, HDF5 would record a new end all the same, which a disk that was full
//! may not even have.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What a superblock begins with. It lies at the start of the file, or behind a user block whose length is 512 bytes or a
/// power of two times as much.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// No superblock is longer.
const HEAD: u64 = 2048;

/// Puts the head and the length of the file back when dropped, if something was staged and nothing published. Dropped after
/// the file was closed.
#[derive(Debug)]
pub(super) struct Undo {
    path: PathBuf,
    /// Where the superblock begins.
    base: u64,
    head: Vec<u8>,
    length: u64,
    staged: bool,
    published: bool,
}

impl Undo {
    /// Remembers the file as it is; it is not open yet.
    pub(super) fn remember(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let bases = std::iter::once(0).chain((9..63).map(|power| 1 << power)).take_while(|&base| base < length);
        let mut undo =
            Self { path: path.to_owned(), base: 0, head: Vec::new(), length, staged: false, published: false };
        for base in bases {
            undo.base = base;
            undo.head = undo.read_head(&mut file)?;
            if undo.head.starts_with(&SIGNATURE) {
                return Ok(undo);
            }
        }
        // No HDF5 file: it will not be opened.
        Ok(undo)
    }

    fn read_head(&self, file: &mut File) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        file.seek(SeekFrom::Start(self.base))?;
        file.take(HEAD).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Something is about to be staged: the file may grow.
    pub(super) fn staging(&mut self) {
        self.staged = true;
    }

    /// Something is about to be published: the file will not be what it was.
    pub(super) fn publishing(&mut self) {
        self.published = true;
    }

    fn restore(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        if self.read_head(&mut file)? == self.head && file.metadata()?.len() == self.length {
            return Ok(());
        }
        // Whoever has opened it since, has it as it is.
        if file.try_lock().is_ok() {
            file.seek(SeekFrom::Start(self.base))?;
            file.write_all(&self.head)?;
            file.set_len(self.length)?;
        }
        Ok(())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if self.staged && !self.published {
            // Best effort: the file is readable without it where the disk has room for its recorded end.
            let _ = self.restore();
        }
    }
}
