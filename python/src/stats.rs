//! Statistics of matrices as dicts of arrays.

use anndata_shadow::{Member, Stats, StatsOptions};
use numpy::PyArray1;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::run;

/// By variable, by observation, or both in one pass.
pub(crate) fn stats<'py>(
    py: Python<'py>,
    member: Member,
    axis: Option<&str>,
    ddof: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match axis {
        None => {
            let both = run::long(py, progress, move |told| member.stats(&options(ddof).progress(told)))?;
            (dict(py, both.rows)?, dict(py, both.columns)?).into_bound_py_any(py)
        }
        Some("var") => {
            let found = run::long(py, progress, move |told| member.column_stats(&options(ddof).progress(told)))?;
            Ok(dict(py, found)?.into_any())
        }
        Some("obs") => {
            let found = run::long(py, progress, move |told| member.row_stats(&options(ddof).progress(told)))?;
            Ok(dict(py, found)?.into_any())
        }
        Some(other) => Err(PyValueError::new_err(format!("the axis is 'var' or 'obs', not {other:?}"))),
    }
}

/// By variable, within groups of observations.
pub(crate) fn stats_by<'py>(
    py: Python<'py>,
    member: Member,
    by: String,
    ddof: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<(String, Bound<'py, PyDict>)>> {
    let found = run::long(py, progress, move |told| member.stats_by(&by, &options(ddof).progress(told)))?;
    found.groups.into_iter().zip(found.stats).map(|(group, stats)| Ok((group, dict(py, stats)?))).collect()
}

fn options<'a>(ddof: u64) -> StatsOptions<'a> {
    StatsOptions::default().ddof(ddof)
}

fn dict(py: Python<'_>, stats: Stats) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("count", stats.count)?;
    let floats = [
        ("sum", stats.sum),
        ("mean", stats.mean),
        ("variance", stats.variance),
        ("min", stats.min),
        ("max", stats.max),
    ];
    for (name, values) in floats {
        dict.set_item(name, PyArray1::from_vec(py, values))?;
    }
    dict.set_item("nonzero", PyArray1::from_vec(py, stats.nonzero))?;
    Ok(dict)
}
