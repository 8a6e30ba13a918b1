//! [`Undo`]: the file as it was before it was opened for writing, for when nothing is published after all. What is staged
//! lies behind the old end of the file; on closing, HDF5 would record a new end all the same, which a disk that was full
//! may not even have.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The superblock lies within these bytes, behind a user block of up to 1 KiB too.
const HEAD: u64 = 2048;

/// Puts the head and the length of the file back when dropped, if something was staged and nothing published. Dropped after
/// the file was closed.
#[derive(Debug)]
pub(super) struct Undo {
    path: PathBuf,
    head: Vec<u8>,
    length: u64,
    staged: bool,
    published: bool,
}

impl Undo {
    /// Remembers the file as it is; it is not open yet.
    pub(super) fn remember(path: &Path) -> io::Result<Self> {
        let mut head = Vec::new();
        File::open(path)?.take(HEAD).read_to_end(&mut head)?;
        Ok(Self { path: path.to_owned(), head, length: fs::metadata(path)?.len(), staged: false, published: false })
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
        let mut head = Vec::new();
        (&mut file).take(HEAD).read_to_end(&mut head)?;
        if head == self.head && file.metadata()?.len() == self.length {
            return Ok(());
        }
        // Whoever has opened it since, has it as it is.
        if file.try_lock().is_ok() {
            file.seek(SeekFrom::Start(0))?;
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
