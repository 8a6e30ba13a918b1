//! `MuShadow`: a MuData that stays in its file, or a view of one.

use std::path::PathBuf;

use anndata_shadow::{Element, MuDataShadow, SharedAxis};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::object::Object;
use crate::shadow::{Shadow, options};
use crate::{from_py, run, select};

/// A MuData that stays in its file, or a view of one.
#[pyclass(frozen, extends = Object, module = "anndata_shadow._core")]
pub(crate) struct MuShadow {
    mudata: MuDataShadow,
}

impl MuShadow {
    fn new(py: Python<'_>, mudata: MuDataShadow) -> PyResult<Py<Self>> {
        let object = Object { shadow: mudata.global().clone(), mudata: Some(mudata.clone()) };
        Py::new(py, (Self { mudata }, object))
    }
}

/// Positions, -1 where there is none.
fn positions(py: Python<'_>, rows: Vec<Option<usize>>) -> Bound<'_, PyArray1<i64>> {
    PyArray1::from_vec(py, rows.into_iter().map(|row| row.map_or(-1, |row| row as i64)).collect())
}

#[pymethods]
impl MuShadow {
    /// Opens an ``.h5mu`` file or a Zarr MuData.
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
        Self::new(py, run::read(py, move || MuDataShadow::open_with(path, &options))?)
    }

    /// The global part by itself.
    #[getter]
    fn glob(&self, py: Python<'_>) -> PyResult<Py<Shadow>> {
        Shadow::new(py, self.mudata.global().clone())
    }

    /// Which axis the modalities share: 0, 1, or -1 for both.
    #[getter]
    fn axis(&self) -> i32 {
        match self.mudata.axis() {
            SharedAxis::Obs => 0,
            SharedAxis::Var => 1,
            SharedAxis::Both => -1,
        }
    }

    #[getter]
    fn modalities(&self) -> Vec<String> {
        self.mudata.modalities()
    }

    fn modality(&self, py: Python<'_>, name: &str) -> PyResult<Py<Shadow>> {
        Shadow::new(py, run::quick(py, || self.mudata.modality(name))?)
    }

    /// For each global observation its row in a modality, -1 where it is not in it.
    fn obs_rows<'py>(&self, py: Python<'py>, modality: &str) -> PyResult<Bound<'py, PyArray1<i64>>> {
        Ok(positions(py, run::quick(py, || self.mudata.obs_rows(modality))?))
    }

    /// For each global variable its row in a modality, -1 where it is not in it.
    fn var_rows<'py>(&self, py: Python<'py>, modality: &str) -> PyResult<Bound<'py, PyArray1<i64>>> {
        Ok(positions(py, run::quick(py, || self.mudata.var_rows(modality))?))
    }

    /// The view of these global observations and variables; ``None`` for all.
    fn select(&self, py: Python<'_>, obs: &Bound<'_, PyAny>, var: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let (obs, var) = (select::selection(obs)?, select::selection(var)?);
        Self::new(py, run::quick(py, || self.mudata.select(obs, var))?)
    }

    /// Adds an AnnData, given as a dict of its slots, as a modality, in memory.
    fn insert_modality(&self, py: Python<'_>, name: &str, data: &Bound<'_, PyDict>) -> PyResult<()> {
        let data = Element::Mapping(from_py::mapping(data)?);
        run::quick(py, || self.mudata.insert_modality(name, data))
    }

    fn remove_modality(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        run::quick(py, || self.mudata.remove_modality(name))
    }

    fn rename_modality(&self, py: Python<'_>, name: &str, new: &str) -> PyResult<()> {
        run::quick(py, || self.mudata.rename_modality(name, new))
    }
}
