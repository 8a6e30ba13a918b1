//! What the library tells, as Python objects: of elements, of changes, of writes, of a look for damage.

use std::path::PathBuf;

use anndata_shadow::{self as library, ChangeKind, Kind, VerifyOptions};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::run;

/// What is known of an element without reading its data.
#[pyclass(frozen, module = "anndata_shadow._core")]
pub(crate) struct Info {
    #[pyo3(get)]
    kind: &'static str,
    #[pyo3(get)]
    shape: Py<PyTuple>,
    #[pyo3(get)]
    dtype: Option<String>,
    #[pyo3(get)]
    encoding: Option<(String, String)>,
    #[pyo3(get)]
    stored: Option<usize>,
    #[pyo3(get)]
    chunks: Option<Py<PyTuple>>,
    #[pyo3(get)]
    children: Vec<String>,
}

impl Info {
    pub(crate) fn new(py: Python<'_>, info: library::Info) -> PyResult<Self> {
        let lengths = |lengths: Vec<usize>| Ok::<_, PyErr>(PyTuple::new(py, lengths)?.unbind());
        Ok(Self {
            kind: info.kind.name(),
            shape: lengths(info.shape)?,
            dtype: info.dtype,
            encoding: info.encoding,
            stored: info.stored,
            chunks: info.chunks.map(lengths).transpose()?,
            children: info.children,
        })
    }

    /// Of a whole frame (with its number of rows), or of a slot.
    pub(crate) fn of_group(py: Python<'_>, n_rows: Option<usize>, children: Vec<String>) -> PyResult<Self> {
        let kind = if n_rows.is_some() { Kind::Table } else { Kind::Mapping }.name();
        let shape = n_rows.map_or_else(Vec::new, |n| vec![n, children.len()]);
        let shape = PyTuple::new(py, shape)?.unbind();
        Ok(Self { kind, shape, dtype: None, encoding: None, stored: None, chunks: None, children })
    }
}

#[pymethods]
impl Info {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let dtype = self.dtype.as_ref().map(|dtype| format!(" of {dtype}")).unwrap_or_default();
        Ok(format!("<{} {}{dtype}>", self.kind, self.shape.bind(py).repr()?))
    }
}

/// One change that a write makes, or has made.
#[pyclass(frozen, module = "anndata_shadow._core")]
pub(crate) struct Change {
    #[pyo3(get)]
    path: String,
    #[pyo3(get)]
    kind: &'static str,
    #[pyo3(get)]
    old_path: Option<String>,
    #[pyo3(get)]
    what: String,
    #[pyo3(get)]
    shape: Py<PyTuple>,
    #[pyo3(get)]
    bytes: usize,
    text: String,
}

impl Change {
    pub(crate) fn new(py: Python<'_>, change: library::Change) -> PyResult<Self> {
        let text = change.to_string();
        let (kind, old_path) = match change.kind {
            ChangeKind::Added => ("added", None),
            ChangeKind::Replaced => ("replaced", None),
            ChangeKind::Removed => ("removed", None),
            ChangeKind::Renamed { from } => ("renamed", Some(from)),
            _ => ("changed", None),
        };
        let shape = PyTuple::new(py, change.shape)?.unbind();
        Ok(Self { path: change.path, kind, old_path, what: change.what, shape, bytes: change.bytes, text })
    }
}

#[pymethods]
impl Change {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.text)
    }
}

/// What a write has done.
#[pyclass(frozen, module = "anndata_shadow._core")]
pub(crate) struct Receipt {
    #[pyo3(get)]
    elements: Vec<Py<Change>>,
    #[pyo3(get)]
    bytes_written: u64,
    #[pyo3(get)]
    bytes_freed: u64,
    #[pyo3(get)]
    seconds: f64,
    text: String,
}

impl Receipt {
    pub(crate) fn new(py: Python<'_>, receipt: library::Receipt) -> PyResult<Self> {
        let text = receipt.to_string();
        let elements = receipt.elements.into_iter().map(|change| Py::new(py, Change::new(py, change)?));
        Ok(Self {
            elements: elements.collect::<PyResult<_>>()?,
            bytes_written: receipt.bytes_written,
            bytes_freed: receipt.bytes_freed,
            seconds: receipt.duration.as_secs_f64(),
            text,
        })
    }
}

#[pymethods]
impl Receipt {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.text)
    }
}

/// What a look for damage has found.
#[pyclass(frozen, module = "anndata_shadow._core")]
pub(crate) struct Report {
    #[pyo3(get)]
    findings: Vec<(String, String, String)>,
    #[pyo3(get)]
    is_sound: bool,
    #[pyo3(get)]
    complete: bool,
    text: String,
}

#[pymethods]
impl Report {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.text)
    }
}

impl Report {
    fn new(report: &library::Report) -> Self {
        let findings = report.findings.iter();
        let findings = findings.map(|f| (f.severity.to_string(), f.path.clone(), f.what.clone())).collect();
        let mut lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        lines.push(if report.is_sound() { "sound" } else { "not sound" }.to_owned());
        if !report.complete {
            lines.push("not everything was looked at".to_owned());
        }
        Self { findings, is_sound: report.is_sound(), complete: report.complete, text: lines.join("\n") }
    }
}

/// Looks for what is wrong with an AnnData or MuData file, and changes nothing.
///
/// Parameters
/// ----------
/// path
///     The file or Zarr directory; the path may end inside it.
/// deep
///     Whether to read all data, in blocks, and not only metadata and what is small.
/// progress
///     Told how many bytes of how many have been looked at; ends the look with ``False``.
///
/// Returns
/// -------
/// Report
///     What was found.
#[pyfunction]
#[pyo3(signature = (path, deep = false, progress = None))]
pub(crate) fn verify(py: Python<'_>, path: PathBuf, deep: bool, progress: Option<Py<PyAny>>) -> PyResult<Report> {
    let report = run::long(py, progress, move |told| {
        library::verify(path, &VerifyOptions::default().deep(deep).progress(told))
    })?;
    Ok(Report::new(&report))
}
