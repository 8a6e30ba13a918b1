//! `Shadow`: an AnnData that stays in its file, or a view of one.

use std::path::PathBuf;

use anndata_shadow::{AnnDataShadow, GeneIndexOptions, Locking, Mode, OpenOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::object::Object;
use crate::report::Receipt;
use crate::{run, select};

/// An AnnData that stays in its file, or a view of one.
#[pyclass(frozen, extends = Object, module = "anndata_shadow._core")]
pub(crate) struct Shadow;

impl Shadow {
    pub(crate) fn new(py: Python<'_>, shadow: AnnDataShadow) -> PyResult<Py<Self>> {
        Py::new(py, (Self, Object { shadow, mudata: None }))
    }
}

/// How to open, from Python's arguments.
pub(crate) fn options(
    mode: &str,
    cache_budget: Option<usize>,
    locking: bool,
    gene_index: bool,
) -> PyResult<OpenOptions> {
    let mode = mode.parse::<Mode>().map_err(PyValueError::new_err)?;
    let locking = if locking { Locking::On } else { Locking::Off };
    let options = OpenOptions::default().mode(mode).locking(locking).gene_index(gene_index);
    Ok(match cache_budget {
        Some(bytes) => options.cache_budget(bytes),
        None => options,
    })
}

#[pymethods]
impl Shadow {
    /// Opens a file or a Zarr directory; the path may end inside it.
    #[staticmethod]
    #[pyo3(signature = (path, mode = "r", *, cache_budget = None, locking = true, gene_index = true))]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        mode: &str,
        cache_budget: Option<usize>,
        locking: bool,
        gene_index: bool,
    ) -> PyResult<Py<Self>> {
        let options = options(mode, cache_budget, locking, gene_index)?;
        Self::new(py, run::read(py, move || AnnDataShadow::open_with(path, &options))?)
    }

    /// The view of these observations and variables; ``None`` for all.
    fn select(slf: &Bound<'_, Self>, obs: &Bound<'_, PyAny>, var: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let (py, this) = (slf.py(), slf.as_super().get());
        let (obs, var) = (select::selection(obs)?, select::selection(var)?);
        Self::new(py, run::quick(py, || this.shadow.select(obs, var))?)
    }

    /// Writes X once more by its genes, at once; holds `memory` bytes of it at a time.
    #[pyo3(signature = (memory = None, progress = None))]
    fn add_gene_index(slf: &Bound<'_, Self>, memory: Option<usize>, progress: Option<Py<PyAny>>) -> PyResult<Receipt> {
        let (py, shadow) = (slf.py(), slf.as_super().get().shadow.clone());
        let work = move |told: anndata_shadow::Progress<'_>| {
            let options = GeneIndexOptions::default().progress(told);
            shadow.add_gene_index(&memory.map_or(options, |bytes| options.memory(bytes)))
        };
        Receipt::new(py, run::long_write(py, progress, work)?)
    }
}
