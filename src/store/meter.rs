//! Counting what a store reads and writes, so that tests and receipts can speak of bytes, not of time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a handle has read and written since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoStats {
    /// Metadata documents read (Zarr).
    pub documents: u64,
    /// Chunks (or, for unchunked HDF5 datasets, contiguous spans) fetched; absent Zarr chunks, and those that are
    /// remembered decoded, are not counted.
    pub chunks: u64,
    /// Bytes read: exact for Zarr; for HDF5 those of chunks and spans, without HDF5's own metadata.
    pub bytes_read: u64,
    /// Bytes written to disk, journals included.
    pub bytes_written: u64,
    /// Bytes that removed and replaced elements have left as holes inside the file, until it is compacted (HDF5).
    pub bytes_freed: u64,
}

impl std::ops::Sub for IoStats {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            documents: self.documents - earlier.documents,
            chunks: self.chunks - earlier.chunks,
            bytes_read: self.bytes_read - earlier.bytes_read,
            bytes_written: self.bytes_written - earlier.bytes_written,
            bytes_freed: self.bytes_freed - earlier.bytes_freed,
        }
    }
}

impl std::ops::Add for IoStats {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            documents: self.documents + more.documents,
            chunks: self.chunks + more.chunks,
            bytes_read: self.bytes_read + more.bytes_read,
            bytes_written: self.bytes_written + more.bytes_written,
            bytes_freed: self.bytes_freed + more.bytes_freed,
        }
    }
}

/// The running counts behind [`IoStats`].
#[derive(Debug, Default)]
pub(crate) struct Meter {
    documents: AtomicU64,
    chunks: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    bytes_freed: AtomicU64,
}

impl Meter {
    pub(crate) fn document(&self, bytes: u64) {
        self.documents.fetch_add(1, Relaxed);
        self.bytes_read.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn chunk(&self) {
        self.chunks.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.bytes_written.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn freed(&self, bytes: u64) {
        self.bytes_freed.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn stats(&self) -> IoStats {
        IoStats {
            documents: self.documents.load(Relaxed),
            chunks: self.chunks.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            bytes_freed: self.bytes_freed.load(Relaxed),
        }
    }
}
