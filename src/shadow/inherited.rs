//! [`Inherited`]: what a process has of a file that was open for writing when it was forked. Parent and child share the lock, and
//! each would know only its own changes: two writers would tear the file, and a reader would meet what is half written. So the
//! child neither reads nor writes by that handle.

use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{IoStats, Node, ReadStore};
use crate::value::Array;

/// In place of the store: every look is refused.
pub(super) struct Inherited {
    pub(super) at: Place,
}

/// The refusal.
pub(super) fn refused(at: Place) -> Error {
    let why = "it was opened for writing before this process was forked from the one that did so, which alone uses that handle: \
               reopen(Mode::Read) gives this process one of its own (once the other has closed it, if it is an HDF5 file)";
    Error::Busy { at, why: why.to_owned() }
}

impl Inherited {
    fn refuse<T>(&self) -> Result<T> {
        Err(refused(self.at.clone()))
    }
}

impl ReadStore for Inherited {
    fn location(&self) -> &str {
        &self.at.file
    }

    fn node(&self, _: &ElemPath) -> Result<Option<Node>> {
        self.refuse()
    }

    fn children(&self, _: &ElemPath) -> Result<Vec<String>> {
        self.refuse()
    }

    fn read(&self, _: &ElemPath, _: &[Rows]) -> Result<Array> {
        self.refuse()
    }

    fn read_fields(&self, _: &ElemPath, _: &[&str], _: &[Rows]) -> Result<Vec<Array>> {
        self.refuse()
    }

    fn fingerprint(&self, _: &ElemPath) -> Result<Option<u32>> {
        self.refuse()
    }

    fn stats(&self) -> IoStats {
        IoStats::default()
    }
}
