//! [`Pages`]: changed pages of a file, kept in memory until they may be written.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// Bytes of a page: what disks write in one piece.
const PAGE: u64 = 512;

/// Changed pages below a `base`, which is the end of what they may change.
#[derive(Debug, Default)]
pub(super) struct Pages {
    base: u64,
    changed: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

/// A contiguous piece of a file that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Where it begins.
    pub at: u64,
    /// What is there.
    pub old: Vec<u8>,
    /// What is to be there; as long as `old`.
    pub new: Vec<u8>,
}

impl Pages {
    pub(super) fn new(base: u64) -> Self {
        Self { base, changed: BTreeMap::new() }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The pages, from the start of the first to the end of the last, that so many bytes from `at` on lie in.
    pub(super) fn around(at: u64, len: u64) -> Range<u64> {
        at / PAGE * PAGE..(at + len).next_multiple_of(PAGE)
    }

    /// Puts what has changed over `bytes`, which were read from the file at `at`.
    pub(super) fn overlay(&self, at: u64, bytes: &mut [u8]) {
        let end = at.saturating_add(bytes.len() as u64).min(self.base);
        if at >= end {
            return;
        }
        for (&number, page) in self.changed.range(at / PAGE..end.div_ceil(PAGE)) {
            let start = number * PAGE;
            let (from, to) = (start.max(at), (start + PAGE).min(end));
            let (source, target) = ((from - start) as usize, (from - at) as usize);
            let len = (to - from) as usize;
            bytes[target..target + len].copy_from_slice(&page[source..source + len]);
        }
    }

    /// Changes the bytes at `at`, all of them below the base; `read` reads the file as it is on disk.
    pub(super) fn write(
        &mut self,
        at: u64,
        bytes: &[u8],
        read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        for number in at / PAGE..end.div_ceil(PAGE) {
            let start = number * PAGE;
            let (from, to) = (start.max(at), (start + PAGE).min(end));
            let page = match self.changed.entry(number) {
                std::collections::btree_map::Entry::Occupied(page) => page.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    let mut page = Box::new([0; PAGE as usize]);
                    read(start, &mut page[..])?;
                    free.insert(page)
                }
            };
            page[(from - start) as usize..(to - start) as usize]
                .copy_from_slice(&bytes[(from - at) as usize..(to - at) as usize]);
        }
        Ok(())
    }

    /// What differs from the file, which is to end at `length`: pages, neighbours joined, in the file's order.
    pub(super) fn runs(&self, length: u64, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> io::Result<Vec<Run>> {
        let (end, mut runs): (u64, Vec<Run>) = (self.base.min(length), Vec::new());
        for (&number, page) in &self.changed {
            let at = number * PAGE;
            let new = &page[..PAGE.min(end.saturating_sub(at)) as usize];
            let mut old = vec![0; new.len()];
            read(at, &mut old)?;
            if old == new {
                continue;
            }
            match runs.last_mut().filter(|last| last.at + last.new.len() as u64 == at) {
                Some(last) => {
                    last.old.extend_from_slice(&old);
                    last.new.extend_from_slice(new);
                }
                None => runs.push(Run { at, old, new: new.to_vec() }),
            }
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing check is a panic")]
    use super::*;

    /// Writes that straddle pages and the base are seen by reads of any place and length, and nothing else is.
    #[test]
    fn reads_see_what_was_written_and_runs_say_where() {
        let file: Vec<u8> = (0..3000_u32).map(|i| (i % 251) as u8).collect();
        let read = |at: u64, out: &mut [u8]| {
            let at = at as usize;
            let there = file.get(at..file.len().min(at + out.len())).unwrap_or_default();
            out[..there.len()].copy_from_slice(there);
            Ok(())
        };
        let mut pages = Pages::new(2700);
        let mut truth = file[..2700].to_vec();
        for (at, len) in [(0, 1), (500, 30), (1023, 2), (2048, 512), (2690, 10)] {
            let bytes: Vec<u8> = (0..len).map(|i| 255 - (i % 4) as u8).collect();
            truth[at..at + len].copy_from_slice(&bytes);
            pages.write(at as u64, &bytes, read).unwrap();
        }
        // Written, but no change.
        pages.write(1600, &truth[1600..1610], read).unwrap();
        for at in (0..2700).step_by(37) {
            for len in [1, 511, 512, 513, 1500, 2700] {
                let mut out = vec![0; len];
                read(at as u64, &mut out).unwrap();
                pages.overlay(at as u64, &mut out);
                let around = Pages::around(at as u64, len as u64);
                assert!(around.start <= at as u64 && (at + len) as u64 <= around.end);
                assert!(
                    (around.start + around.end).is_multiple_of(PAGE)
                        && around.end - around.start < len as u64 + 2 * PAGE
                );
                let below = len.min(2700 - at);
                assert_eq!(out[..below], truth[at..at + below], "{at} {len}");
                let beyond = file.get(at + below..file.len().min(at + len)).unwrap_or_default();
                assert_eq!(&out[below..below + beyond.len()], beyond, "what lies beyond the base is the file's");
            }
        }
        let runs = pages.runs(5000, read).unwrap();
        assert_eq!(runs.iter().map(|run| (run.at, run.new.len())).collect::<Vec<_>>(), [(0, 1536), (2048, 652)]);
        let mut after = file.clone();
        for run in &runs {
            let there = run.at as usize..run.at as usize + run.new.len();
            assert_eq!(after[there.clone()], run.old);
            after[there].copy_from_slice(&run.new);
        }
        assert_eq!((&after[..2700], &after[2700..]), (&truth[..], &file[2700..]));
        let shorter = pages.runs(2050, read).unwrap();
        assert_eq!(shorter.iter().map(|run| (run.at, run.new.len())).collect::<Vec<_>>(), [(0, 1536), (2048, 2)]);
    }
}
