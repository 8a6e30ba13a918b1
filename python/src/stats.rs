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
            let work = move |told| member.stats(&StatsOptions::default().ddof(ddof).progress(told));
            let both = run::long(py, progress, work)?;
            (dict(py, both.rows)?, dict(py, both.columns)?).into_bound_py_any(py)
        }
        Some("var") => {
            let work = move |told| member.column_stats(&StatsOptions::default().ddof(ddof).progress(told));
            Ok(dict(py, run::long(py, progress, work)?)?.into_any())
        }
        Some("obs") => {
            let work = move |told| member.row_stats(&StatsOptions::default().ddof(ddof).progress(told));
            Ok(dict(py, run::long(py, progress, work)?)?.into_any())
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
    let work = move |told| member.stats_by(&by, &StatsOptions::default().ddof(ddof).progress(told));
    let found = run::long(py, progress, work)?;
    found.groups.into_iter().zip(found.stats).map(|(group, stats)| Ok((group, dict(py, stats)?))).collect()
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
