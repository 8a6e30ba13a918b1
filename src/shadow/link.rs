//! [`Mode`] and the link to the file. A mode is a type: code that writes can only be reached with a [`WriteStore`] in
//! hand.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::store::{Locking, ReadStore, Safety, WriteStore};

/// How a file is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `r`: reading only. Many at once, also over a file that may not be written.
    #[default]
    Read,
    /// `r+`: reading and writing.
    ReadWrite,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "r",
            Self::ReadWrite => "r+",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "r" => Ok(Self::Read),
            "r+" => Ok(Self::ReadWrite),
            other => Err(format!("mode `{other}` is neither `r` nor `r+`")),
        }
    }
}

/// How to open a shadow.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub(crate) mode: Mode,
    pub(crate) cache_budget: usize,
    pub(crate) locking: Locking,
    pub(crate) gene_index: bool,
}

impl Default for OpenOptions {
    /// Mode `r`, 256 MiB of cache, locking on, with the gene index.
    fn default() -> Self {
        Self { mode: Mode::Read, cache_budget: 256 << 20, locking: Locking::On, gene_index: true }
    }
}

impl OpenOptions {
    /// The mode.
    #[must_use]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Bytes of clean elements (read, not changed) kept in memory, by the shadow and by each of its views. What
    /// [`Member::read`](super::Member::read) hands out is not kept beyond 1 MiB.
    #[must_use]
    pub const fn cache_budget(mut self, bytes: usize) -> Self {
        self.cache_budget = bytes;
        self
    }

    /// Whether the file is locked against others, now and whenever it is reopened.
    #[must_use]
    pub const fn locking(mut self, locking: Locking) -> Self {
        self.locking = locking;
        self
    }

    /// Whether genes are read from the [gene index](super::AnnDataShadow::add_gene_index), if X has one that fits.
    #[must_use]
    pub const fn gene_index(mut self, yes: bool) -> Self {
        self.gene_index = yes;
        self
    }
}

/// How to write.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    pub(crate) clear_cache: bool,
    pub(crate) safety: Safety,
}

impl WriteOptions {
    /// Whether to drop from memory what was written, and everything else that is clean (but not what views hold).
    #[must_use]
    pub const fn clear_cache(mut self, yes: bool) -> Self {
        self.clear_cache = yes;
        self
    }

    /// What other programs may meet while the write is published.
    #[must_use]
    pub const fn safety(mut self, safety: Safety) -> Self {
        self.safety = safety;
        self
    }
}

/// The handle of the file.
#[derive(Clone)]
pub(crate) enum Link {
    Closed,
    Read(Arc<dyn ReadStore>),
    Write(Arc<dyn WriteStore>),
}

impl Link {
    /// The store to read from; `None` when closed.
    pub(crate) fn reader(&self) -> Option<Arc<dyn ReadStore>> {
        match self {
            Self::Closed => None,
            Self::Read(store) => Some(store.clone()),
            Self::Write(store) => Some(store.clone()),
        }
    }

    /// The store to write to; `None` when it is not open for that.
    pub(crate) fn writer(&self) -> Option<Arc<dyn WriteStore>> {
        if let Self::Write(store) = self { Some(store.clone()) } else { None }
    }

    /// The mode; `None` when closed.
    pub(crate) const fn mode(&self) -> Option<Mode> {
        match self {
            Self::Closed => None,
            Self::Read(_) => Some(Mode::Read),
            Self::Write(_) => Some(Mode::ReadWrite),
        }
    }

    /// Whether somebody else still uses the handle (a read in flight).
    pub(crate) fn in_use(&self) -> bool {
        match self {
            Self::Closed => false,
            Self::Read(store) => Arc::strong_count(store) > 1,
            Self::Write(store) => Arc::strong_count(store) > 1,
        }
    }
}
