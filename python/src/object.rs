//! [`Object`]: what both kinds of shadows share. Everything is named by its path inside the object, as in the library.

use std::ffi::OsString;

use anndata_shadow::{AnnDataShadow, Format, Mode, MuDataShadow, Safety, WriteOptions};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyTuple};

use crate::arrow::Columns;
use crate::inside::FRAMES;
use crate::report::{Change, Info, Receipt};
use crate::stream::{Batches, Stream, shuffle};
use crate::{errors, from_py, run, select, stats, to_py};

/// What `Shadow` and `MuShadow` share; of a `MuShadow`, it concerns the global part.
#[pyclass(frozen, subclass, module = "anndata_shadow._core")]
pub(crate) struct Object {
    /// The object, or the global part of a MuData.
    pub(crate) shadow: AnnDataShadow,
    pub(crate) mudata: Option<MuDataShadow>,
}

#[pymethods]
impl Object {
    #[getter]
    fn path(&self) -> OsString {
        self.shadow.path().as_os_str().to_owned()
    }

    #[getter]
    fn format(&self) -> &'static str {
        match self.shadow.format() {
            Format::Hdf5 => "hdf5",
            Format::Zarr => "zarr",
            Format::ZarrZip => "zarr-zip",
            _ => "unknown",
        }
    }

    #[getter]
    fn mode(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        // Waits while another thread reopens.
        let mode = run::quick(py, || Ok(self.shadow.mode()))?;
        Ok(mode.map(|mode| if mode == Mode::Read { "r" } else { "r+" }))
    }

    #[getter]
    fn n_obs(&self) -> usize {
        self.shadow.n_obs()
    }

    #[getter]
    fn n_vars(&self) -> usize {
        self.shadow.n_vars()
    }

    #[getter]
    fn original_shape(&self) -> (usize, usize) {
        self.shadow.original_shape()
    }

    #[getter]
    fn is_view(&self) -> bool {
        self.shadow.is_view()
    }

    /// Which observations and variables of the whole object a view takes; ``None`` for all of an axis.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        match self.shadow.rows() {
            Some([obs, var]) => Ok((select::of_rows(py, obs)?, select::of_rows(py, var)?)),
            None => Ok((py.None().into_bound(py), py.None().into_bound(py))),
        }
    }

    /// Grows whenever what was read before may have become stale.
    fn generation(&self) -> u64 {
        self.shadow.generation()
    }

    /// Names in a slot, what is pending included. Of ``obs``, ``var``, ``raw/var``: the columns, without the index.
    fn keys(&self, py: Python<'_>, slot: &str) -> PyResult<Vec<String>> {
        run::quick(py, || self.names_in(slot))
    }

    /// Name of the index as it is stored; ``_index`` if it has none.
    fn index_name(&self, py: Python<'_>, frame: &str) -> PyResult<String> {
        run::quick(py, || self.frame(frame)?.index_name())
    }

    /// The row names of ``obs``, ``var`` or ``raw/var``, as an object array.
    fn names<'py>(&self, py: Python<'py>, frame: String) -> PyResult<Bound<'py, PyAny>> {
        let this = self.handle();
        to_py::texts(py, run::read(py, move || this.frame(&frame)?.names())?)
    }

    fn has_raw(&self, py: Python<'_>) -> PyResult<bool> {
        run::quick(py, || self.is_there("raw"))
    }

    fn exists(&self, py: Python<'_>, path: &str) -> PyResult<bool> {
        run::quick(py, || self.is_there(path))
    }

    /// What is known of an element without reading its data; ``None`` if there is no such element.
    fn info(&self, py: Python<'_>, path: &str) -> PyResult<Option<Info>> {
        if FRAMES.contains(&path) {
            let known = run::quick(py, || {
                let frame = self.frame(path)?;
                Ok((frame.n_rows()?, frame.columns()?))
            })?;
            return Info::of_group(py, Some(known.0), known.1).map(Some);
        }
        let slot = run::quick(py, || match path {
            "raw" if !self.is_there(path)? => Ok(None),
            "raw" => self.names_in(path).map(Some),
            _ => self.slot(path)?.map(|slot| slot.keys()).transpose(),
        })?;
        match slot {
            Some(names) => Info::of_group(py, None, names).map(Some),
            None if path == "raw" => Ok(None),
            None => run::quick(py, || self.member(path)?.info())?.map(|info| Info::new(py, info)).transpose(),
        }
    }

    /// The mark of an element as `str` shows it; empty if it has none.
    fn mark(&self, py: Python<'_>, path: &str) -> PyResult<String> {
        let mark = self.shadow.mark_at(path).map_err(|error| errors::raise(py, error))?;
        Ok(mark.map(|mark| mark.to_string()).unwrap_or_default())
    }

    /// Names of what the file has in a slot and loses with the next write.
    fn removed(&self, py: Python<'_>, slot: &str) -> PyResult<Vec<String>> {
        self.shadow.removed_at(slot).map_err(|error| errors::raise(py, error))
    }

    /// Every element with its path, what is known of it, and its mark.
    fn elements(&self, py: Python<'_>) -> PyResult<Vec<(String, Info, String)>> {
        let this = self.handle();
        let elements = run::read(py, move || match &this.mudata {
            Some(mudata) => mudata.elements(),
            None => this.shadow.elements(),
        })?;
        let listed = elements.into_iter().map(|element| {
            let mark = element.mark.map(|mark| mark.to_string()).unwrap_or_default();
            Ok((element.path, Info::new(py, element.info)?, mark))
        });
        listed.collect()
    }

    /// An element; a whole frame as a table; all of a slot as a dict. Of a view: the part that it takes.
    fn read<'py>(&self, py: Python<'py>, path: String) -> PyResult<Bound<'py, PyAny>> {
        let this = self.handle();
        to_py::element(py, run::read(py, move || this.element(&path))?)
    }

    /// The part of an element at these positions: one selection for each leading axis. Nothing else is read.
    fn read_part<'py>(
        &self,
        py: Python<'py>,
        path: String,
        selection: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let this = self.handle();
        let at = selection.iter().map(|axis| select::selection(&axis)).collect::<PyResult<Vec<_>>>()?;
        to_py::element(py, run::read(py, move || this.part(&path, &at))?)
    }

    /// These columns only (or the index, by its name), read side by side.
    fn columns<'py>(&self, py: Python<'py>, frame: String, names: Vec<String>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let this = self.handle();
        to_py::elements(py, run::read(py, move || this.frame(&frame)?.elements(&names))?)
    }

    /// A capsule ``arrow_array_stream``: the index as text, unless it is one of the columns, then these columns.
    #[pyo3(signature = (frame, columns = None))]
    fn arrow<'py>(
        &self,
        py: Python<'py>,
        frame: String,
        columns: Option<Vec<String>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let this = self.handle();
        let columns = run::read(py, move || Columns::read(&this.frame(&frame)?, columns))?;
        let stream = py.detach(|| columns.stream()).map_err(PyTypeError::new_err)?;
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// Sets an element, in memory. ``raw`` takes a dict of ``X``, ``var`` and, perhaps, ``varm``.
    fn set(&self, py: Python<'_>, path: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = from_py::element_at(path, value)?;
        run::quick(py, || self.set_element(path, value))
    }

    /// Makes these all that is in a slot; if one of them does not fit, nothing changes.
    fn replace(&self, py: Python<'_>, slot: &str, elements: &Bound<'_, PyDict>) -> PyResult<()> {
        let named = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            let name: String = name.extract()?;
            let value = from_py::element_at(&format!("{slot}/{name}"), &value)?;
            Ok((name, value))
        };
        let elements = elements.iter().map(named).collect::<PyResult<Vec<_>>>()?;
        run::quick(py, || self.replace_slot(slot, elements))
    }

    /// Sets ``obs`` or ``var`` as a whole.
    fn set_table(&self, py: Python<'_>, frame: &str, table: &Bound<'_, PyAny>) -> PyResult<()> {
        let table = from_py::table(table)?;
        run::quick(py, || self.frame(frame)?.set(table))
    }

    /// Gives the rows of ``obs`` or ``var`` other names.
    fn set_names(&self, py: Python<'_>, frame: &str, names: Vec<String>) -> PyResult<()> {
        run::quick(py, || self.frame(frame)?.set_names(names))
    }

    fn remove(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        run::quick(py, || self.shadow.remove(path))
    }

    fn rename(&self, py: Python<'_>, old: &str, new: &str) -> PyResult<()> {
        run::quick(py, || self.shadow.rename(old, new))
    }

    /// What `write` would do.
    fn changes(&self, py: Python<'_>) -> PyResult<Vec<Change>> {
        self.shadow.changes().into_iter().map(|change| Change::new(py, change)).collect()
    }

    /// Takes back what is pending: all of it, or at a path and below.
    #[pyo3(signature = (path = None))]
    fn discard(&self, py: Python<'_>, path: Option<&str>) -> PyResult<()> {
        run::quick(py, || path.map_or_else(|| self.shadow.discard(), |path| self.shadow.discard_at(path)))
    }

    /// Writes what is pending, all or nothing.
    #[pyo3(signature = (clear_cache = false, safety = "journal"))]
    fn write(&self, py: Python<'_>, clear_cache: bool, safety: &str) -> PyResult<Receipt> {
        let safety = match safety {
            "journal" => Safety::Journal,
            "copy" => Safety::Copy,
            other => return Err(PyValueError::new_err(format!("safety is 'journal' or 'copy', not {other:?}"))),
        };
        let options = WriteOptions::default().clear_cache(clear_cache).safety(safety);
        Receipt::new(py, run::quick(py, || self.shadow.write(options))?)
    }

    /// Swaps the open file for one in another mode; what is pending is kept.
    fn reopen(&self, py: Python<'_>, mode: &str) -> PyResult<()> {
        let mode = mode.parse::<Mode>().map_err(PyValueError::new_err)?;
        run::quick(py, || match &self.mudata {
            Some(mudata) => mudata.reopen(mode).map(drop),
            None => self.shadow.reopen(mode).map(drop),
        })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        run::quick(py, || self.shadow.close())
    }

    /// Frees what was read and not changed.
    fn clear_cache(&self, py: Python<'_>) -> PyResult<()> {
        run::quick(py, || {
            match &self.mudata {
                Some(mudata) => mudata.clear_cache(),
                None => self.shadow.clear_cache(),
            }
            Ok(())
        })
    }

    fn set_cache_budget(&self, n: usize) {
        self.shadow.set_cache_budget(n);
    }

    fn cache_bytes(&self) -> usize {
        self.shadow.cache_bytes()
    }

    /// What was read and written since it was opened.
    fn io_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.shadow.io_stats();
        let dict = PyDict::new(py);
        dict.set_item("documents", stats.documents)?;
        dict.set_item("chunks", stats.chunks)?;
        dict.set_item("bytes_read", stats.bytes_read)?;
        dict.set_item("bytes_written", stats.bytes_written)?;
        dict.set_item("bytes_freed", stats.bytes_freed)?;
        Ok(dict)
    }

    /// Blocks of consecutive rows, as ``(start, stop, part)``; the next is read while one is used.
    #[pyo3(signature = (path, *, rows = None, nbytes = None))]
    fn row_blocks(&self, py: Python<'_>, path: &str, rows: Option<usize>, nbytes: Option<usize>) -> PyResult<Stream> {
        let member = self.member(path).map_err(|error| errors::raise(py, error))?;
        Stream::of_blocks(py, &member, rows, nbytes)
    }

    /// Each row once, in an order that depends on the seed alone, as ``(positions, rows)``.
    #[pyo3(signature = (path, size, seed, shuffle = None, drop_last = false, part = None))]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python")]
    fn minibatches(
        &self,
        py: Python<'_>,
        path: &str,
        size: usize,
        seed: u64,
        shuffle: Option<&Bound<'_, PyAny>>,
        drop_last: bool,
        part: Option<(usize, usize)>,
    ) -> PyResult<Stream> {
        let member = self.member(path).map_err(|error| errors::raise(py, error))?;
        let shuffle = self::shuffle(shuffle)?;
        Stream::of_batches(py, &member, Batches { size, seed, shuffle, drop_last, part })
    }

    /// Statistics of a matrix in one pass: by ``"var"``, by ``"obs"``, or the pair of both.
    #[pyo3(signature = (path, axis = None, ddof = 1, progress = None))]
    fn stats<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        axis: Option<&str>,
        ddof: u64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let member = self.member(path).map_err(|error| errors::raise(py, error))?;
        stats::stats(py, member, axis, ddof, progress)
    }

    /// As ``stats(path, "var")``, within the groups that a column of obs makes.
    #[pyo3(signature = (path, by, ddof = 1, progress = None))]
    fn stats_by<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        by: String,
        ddof: u64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let member = self.member(path).map_err(|error| errors::raise(py, error))?;
        stats::stats_by(py, member, by, ddof, progress)?.into_bound_py_any(py)
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        run::quick(py, || {
            Ok(match &self.mudata {
                Some(mudata) => mudata.to_string(),
                None => self.shadow.to_string(),
            })
        })
    }
}
