//! Elements larger than memory, a part at a time: iterators over blocks of rows and over batches.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anndata_shadow::{Batch, BlockSize, Member, Result, RowBlock, Shuffle, fork};
use numpy::PyArray1;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::{run, to_py};

type Parts = Box<dyn Iterator<Item = Result<Part>> + Send>;

enum Part {
    Block(RowBlock),
    Batch(Batch),
}

enum State {
    Ready(Parts),
    /// A thread waits for the next part, or has stopped waiting.
    Away,
    Ended,
}

/// Parts of an element, one after the other; the next is read while one is used.
#[pyclass(frozen, module = "anndata_shadow._core")]
pub(crate) struct Stream {
    state: Mutex<State>,
    /// In which process it was begun: its reading thread is there.
    process: u32,
}

impl Stream {
    fn new(parts: impl Iterator<Item = Result<Part>> + Send + 'static) -> Self {
        Self { state: Mutex::new(State::Ready(Box::new(parts))), process: fork::forks() }
    }

    /// Blocks of so many rows, or of so many bytes.
    pub(crate) fn of_blocks(
        py: Python<'_>,
        member: &Member,
        rows: Option<usize>,
        nbytes: Option<usize>,
    ) -> PyResult<Self> {
        let size = match (rows, nbytes) {
            (None, None) => BlockSize::default(),
            (Some(0), None) | (None, Some(0)) => return Err(PyValueError::new_err("blocks of nothing")),
            (Some(rows), None) => BlockSize::Rows(rows),
            (None, Some(bytes)) => BlockSize::Bytes(bytes),
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err("give the size of blocks in rows or in bytes, not both"));
            }
        };
        let blocks = run::quick(py, || member.row_blocks(size))?;
        Ok(Self::new(blocks.map(|block| block.map(Part::Block))))
    }

    pub(crate) fn of_batches(py: Python<'_>, member: &Member, wanted: Batches) -> PyResult<Self> {
        let Batches { size, seed, shuffle, drop_last, part } = wanted;
        let batches = run::quick(py, || member.minibatches(size, seed, shuffle))?.drop_last(drop_last);
        let batches = match part {
            Some((i, n)) if i < n => batches.part(i, n),
            Some((i, n)) => return Err(PyValueError::new_err(format!("there is no part {i} of {n}"))),
            None => batches,
        };
        Ok(Self::new(batches.map(|batch| batch.map(Part::Batch))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which batches are wanted.
pub(crate) struct Batches {
    pub(crate) size: usize,
    pub(crate) seed: u64,
    pub(crate) shuffle: Shuffle,
    pub(crate) drop_last: bool,
    /// Which part of how many.
    pub(crate) part: Option<(usize, usize)>,
}

/// `"rows"` or true, `"none"` or false, or the number of rows of blocks.
pub(crate) fn shuffle(value: Option<&Bound<'_, PyAny>>) -> PyResult<Shuffle> {
    let Some(value) = value else { return Ok(Shuffle::Rows) };
    // Before numbers, for it is one.
    if let Ok(yes) = value.extract::<bool>() {
        return Ok(if yes { Shuffle::Rows } else { Shuffle::None });
    }
    if let Ok(rows) = value.extract::<usize>() {
        return Ok(Shuffle::Blocks(rows));
    }
    match value.extract::<String>().as_deref() {
        Ok("rows") => Ok(Shuffle::Rows),
        Ok("none") => Ok(Shuffle::None),
        _ => Err(PyValueError::new_err("shuffle is 'rows' (True), 'none' (False), or a number of rows")),
    }
}

#[pymethods]
impl Stream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if fork::forks() != self.process {
            return Err(PyRuntimeError::new_err(
                "it was begun in another process, before a fork: begin anew in this one",
            ));
        }
        let found = std::mem::replace(&mut *self.state(), State::Away);
        let mut parts = match found {
            State::Ready(parts) => parts,
            State::Away => return Err(PyValueError::new_err("another thread waits for the next part already")),
            State::Ended => {
                *self.state() = State::Ended;
                return Ok(None);
            }
        };
        let next = run::read(py, move || {
            let next = parts.next().transpose()?;
            Ok(next.map(|part| (part, parts)))
        });
        match next {
            Ok(Some((part, parts))) => {
                *self.state() = State::Ready(parts);
                part_to_py(py, part).map(Some)
            }
            Ok(None) => {
                *self.state() = State::Ended;
                Ok(None)
            }
            Err(error) => {
                *self.state() = State::Ended;
                Err(error)
            }
        }
    }
}

fn part_to_py(py: Python<'_>, part: Part) -> PyResult<Bound<'_, PyAny>> {
    match part {
        Part::Block(RowBlock { rows, element, .. }) => {
            (rows.start, rows.end, to_py::element(py, element)?).into_bound_py_any(py)
        }
        Part::Batch(Batch { rows, element, .. }) => {
            let rows = rows.into_iter().map(|row| row as i64).collect();
            (PyArray1::from_vec(py, rows), to_py::element(py, element)?).into_bound_py_any(py)
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Ready(parts) = std::mem::replace(state, State::Ended) {
            if fork::forks() == self.process {
                // This waits for the part that is being read; others need not.
                Python::attach(|py| py.detach(|| drop(parts)));
            } else {
                // Its thread is in another process, and would be waited for for ever.
                std::mem::forget(parts);
            }
        }
    }
}
