//! The positions of a sparse matrix: indptr ascends from 0 to the number of stored values, and indices lie on their axis.

use std::ops::ControlFlow;

use super::Examiner;
use super::blocks::{Blocks, array_bytes};
use super::look::{Look, Task, Tell, each_block};
use crate::codec::Info;
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::shadow::gene_index;
use crate::store::{ReadStore, array_meta};
use crate::value::Array;

/// What the metadata of a matrix say.
pub(super) struct Matrix {
    /// Rows of a CSR, columns of a CSC matrix; and the other way round.
    major: usize,
    minor: usize,
    /// Stored values.
    nnz: usize,
    /// What the major axis is called.
    line: &'static str,
}

impl Examiner {
    /// The parts of a matrix that could be described, so that their lengths fit.
    pub(super) fn sparse(&mut self, store: &dyn ReadStore, at: &ElemPath, info: &Info) {
        let is_csc = info.encoding.as_ref().is_some_and(|(name, _)| name == "csc_matrix");
        let [rows, columns] = info.shape[..] else { return };
        let (major, minor, line) = if is_csc { (columns, rows, "column") } else { (rows, columns, "row") };
        let matrix = Matrix { major, minor, nnz: info.stored.unwrap_or(0), line };
        let parts = ["indptr", "indices", "data"].map(|name| at.child(name));
        let metas = parts.each_ref().map(|part| self.sound(part, array_meta(store, part)));
        let [Some(indptr), Some(indices), Some(data)] = metas else { return };
        for (part, meta) in [(&parts[0], &indptr), (&parts[1], &indices)] {
            if meta.dtype.is_some_and(|dtype| !dtype.is_integer()) {
                return self.damage(part, format!("it holds {}, not positions", meta.stored));
            }
        }
        self.absent_indices(&parts[1], &matrix);
        self.note_absent(&parts[2], false);
        if let Err(error) = ends(store, &parts[0], &matrix) {
            return self.error(&parts[0], error);
        }
        // Where chunks of it are absent, it is full of zeros or does not ascend.
        self.chunks.remove(&parts[0]);
        let weight = array_bytes(&indptr).saturating_mul(2).saturating_add(array_bytes(&indices));
        self.small(Task { at: at.clone(), look: Look::Sparse(matrix), weight });
        if self.deep {
            self.push(Task::decode(&parts[2], &data));
            if let Some(index) = self.sound(at, gene_index::index_of(store, at)).flatten() {
                let weight = array_bytes(&indices).saturating_add(array_bytes(&data)).saturating_mul(2);
                self.push(Task { at: index, look: Look::Twin { of: at.clone() }, weight });
            }
        }
    }

    /// An absent chunk of indices says column 0, over and over. More often than there are rows, that cannot be.
    fn absent_indices(&mut self, at: &ElemPath, matrix: &Matrix) {
        let Some(chunks) = self.chunks.get(at) else { return };
        let (Some([first]), [length]) = (chunks.first_absent.as_deref(), &chunks.lengths[..]) else { return };
        let entries = matrix.nnz.saturating_sub(first.saturating_mul(*length)).min(*length);
        if entries > matrix.major {
            let why = format!("and index 0 cannot stand {entries} times in {} {}s", matrix.major, matrix.line);
            self.absent(at, &why);
        } else {
            self.note_absent(at, false);
        }
    }

    /// Looks at all positions.
    pub(super) fn positions(
        &mut self,
        store: &dyn ReadStore,
        at: &ElemPath,
        matrix: &Matrix,
        tell: Tell<'_>,
    ) -> Result<ControlFlow<()>> {
        let indptr = at.child("indptr");
        let (mut last, mut broken, mut line) = (0, None, 0_usize);
        let flow = each_block(store, &indptr, tell, &mut |_, block| {
            let numbers = positions_in(block);
            for pointer in numbers {
                if broken.is_none() && (pointer < last || pointer > matrix.nnz as i64) {
                    broken = Some(format!(
                        "entry {line} is {pointer} after {last}, with {} values stored: it must ascend to their number",
                        matrix.nnz
                    ));
                }
                last = pointer;
                line += 1;
            }
        })?;
        if flow.is_break() {
            return Ok(flow);
        }
        let is_broken = broken.is_some();
        if let Some(what) = broken {
            self.damage(&indptr, what);
        }
        // Without lines, all there is to know is whether indices lie on their axis.
        let mut lines = if is_broken { None } else { Some(Lines::new(store, &indptr)?) };
        self.indices(store, &at.child("indices"), matrix, &mut lines, tell)
    }

    fn indices(
        &mut self,
        store: &dyn ReadStore,
        at: &ElemPath,
        matrix: &Matrix,
        lines: &mut Option<Lines<'_>>,
        tell: Tell<'_>,
    ) -> Result<ControlFlow<()>> {
        let mut outside = None;
        let (mut n_outside, mut unsorted, mut twice) = (0_usize, 0_usize, 0_usize);
        let (mut entry, mut before, mut told) = (0_u64, None, (false, false));
        let mut failed = None;
        let flow = each_block(store, at, tell, &mut |_, block| {
            for index in positions_in(block) {
                if let Some(lines) = lines {
                    match lines.begins(entry) {
                        Ok(false) => {}
                        Ok(true) => (before, told) = (None, (false, false)),
                        Err(error) => failed = failed.take().or(Some(error)),
                    }
                    if let Some(before) = before {
                        let (is_unsorted, is_twice) = (index < before, index == before);
                        unsorted += usize::from(is_unsorted && !told.0);
                        twice += usize::from(is_twice && !told.1);
                        told = (told.0 || is_unsorted, told.1 || is_twice);
                    }
                    before = Some(index);
                }
                if index < 0 || index >= matrix.minor as i64 {
                    n_outside += 1;
                    outside.get_or_insert((entry, index));
                }
                entry += 1;
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some((entry, index)) = outside {
            let n = matrix.minor;
            let what = format!("index {index} (entry {entry}) is none of an axis of {n} ({n_outside} such indices)");
            self.damage(at, what);
        }
        if twice > 0 {
            self.note(at, format!("in {twice} {}s an index follows itself: readers add up such values", matrix.line));
        }
        if unsorted > 0 {
            self.note(at, format!("in {unsorted} {}s indices are not in ascending order", matrix.line));
        }
        Ok(flow)
    }
}

/// Checks that indptr begins with 0 and ends with the number of stored values.
fn ends(store: &dyn ReadStore, at: &ElemPath, matrix: &Matrix) -> Result<()> {
    let ends = store.read(at, &[Rows::picks(vec![0, matrix.major])])?;
    match ends.to_i64().as_deref() {
        Some(&[0, last]) if last == matrix.nnz as i64 => Ok(()),
        found => Err(Error::Malformed {
            at: Place::new(store.location(), at),
            what: match found {
                Some([first, last]) => {
                    format!("it goes from {first} to {last}, but {} values are stored", matrix.nnz)
                }
                _ => "it holds numbers that are no positions".to_owned(),
            },
        }),
    }
}

/// Positions as they are; one beyond `i64` is beyond every axis.
fn positions_in(array: &Array) -> Vec<i64> {
    match array {
        Array::U64(numbers) => numbers.iter().map(|&x| i64::try_from(x).unwrap_or(i64::MAX)).collect(),
        other => other.to_i64().unwrap_or_default(),
    }
}

/// Where the lines of a matrix begin, read as one goes along its entries.
struct Lines<'a> {
    store: &'a dyn ReadStore,
    at: &'a ElemPath,
    blocks: Blocks,
    held: std::vec::IntoIter<i64>,
    next: Option<u64>,
}

impl<'a> Lines<'a> {
    fn new(store: &'a dyn ReadStore, at: &'a ElemPath) -> Result<Self> {
        let blocks = Blocks::new(&array_meta(store, at)?);
        let mut lines = Self { store, at, blocks, held: Vec::new().into_iter(), next: None };
        lines.step()?;
        Ok(lines)
    }

    fn step(&mut self) -> Result<()> {
        self.next = self.held.next().and_then(|p| u64::try_from(p).ok());
        while self.next.is_none() {
            let Some(rows) = self.blocks.next() else { return Ok(()) };
            self.held = positions_in(&self.store.read(self.at, &rows)?).into_iter();
            self.next = self.held.next().and_then(|p| u64::try_from(p).ok());
        }
        Ok(())
    }

    /// Whether a line begins with this entry; entries are asked for in order.
    fn begins(&mut self, entry: u64) -> Result<bool> {
        let mut begins = false;
        while self.next.is_some_and(|next| next <= entry) {
            begins = true;
            self.step()?;
        }
        Ok(begins)
    }
}
