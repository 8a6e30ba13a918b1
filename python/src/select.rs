//! Selections as Python writes them, as the library's.

use anndata_shadow::{Array, Rows, Select};
use numpy::{PyArray1, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PySlice, PyString};

use crate::from_py;

/// A slice, an integer, a list or array of integers, booleans or names, a name, or `None` for all.
pub(crate) fn selection(value: &Bound<'_, PyAny>) -> PyResult<Select> {
    if value.is_none() {
        return Ok(Select::All);
    }
    if let Ok(slice) = value.cast::<PySlice>() {
        return of_slice(slice);
    }
    if let Ok(name) = value.cast::<PyString>() {
        return Ok(Select::Names(vec![name.to_str()?.to_owned()]));
    }
    if value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err("a single boolean selects nothing: give a mask as long as the axis"));
    }
    if let Ok(position) = value.extract::<i64>() {
        return Ok(Select::One(position));
    }
    let array = if value.cast::<PyUntypedArray>().is_ok() { value.clone() } else { from_py::asarray(value)? };
    if array.getattr("ndim")?.extract::<usize>()? != 1 {
        return Err(PyIndexError::new_err("a selection on an axis has one axis itself"));
    }
    // An empty list is one of floats; a mask of no entries fits no axis but an empty one.
    if array.len()? == 0 && array.cast::<PyUntypedArray>()?.dtype().kind() != b'b' {
        return Ok(Select::List(Vec::new()));
    }
    match from_py::array(&array)? {
        Array::Bool(mask) => Ok(Select::Mask(mask.into_iter().collect())),
        // Of a list with other things among the names, numpy makes names of these, too.
        Array::Str(_) if !array.is(value) && value.try_iter()?.any(|item| !item.is_ok_and(|i| is_text(&i))) => {
            Err(PyTypeError::new_err("a selection by names holds names only"))
        }
        Array::Str(names) => Ok(Select::Names(names.into_iter().collect())),
        other => match other.to_i64() {
            Some(positions) => Ok(Select::List(positions)),
            None => {
                let what = other.dtype();
                Err(PyIndexError::new_err(format!(
                    "an axis is selected from by integers, booleans or names, not {what}"
                )))
            }
        },
    }
}

fn is_text(item: &Bound<'_, PyAny>) -> bool {
    item.is_instance_of::<PyString>()
}

fn of_slice(slice: &Bound<'_, PySlice>) -> PyResult<Select> {
    let bound = |name: &str| -> PyResult<Option<i64>> {
        let bound = slice.getattr(name)?;
        if bound.is_none() { Ok(None) } else { bound.extract().map(Some) }
    };
    Ok(match (bound("start")?, bound("stop")?, bound("step")?.unwrap_or(1)) {
        (None, None, 1) => Select::All,
        (start, stop, step) => Select::Slice { start, stop, step },
    })
}

/// What is taken of an axis, as Python selects it: nothing for all, a slice where it is one, else positions.
pub(crate) fn of_rows<'py>(py: Python<'py>, rows: &Rows) -> PyResult<Bound<'py, PyAny>> {
    match rows {
        Rows::All(_) => Ok(py.None().into_bound(py)),
        Rows::Range { start, step, len } => {
            let (start, step) = (*start as isize, *step);
            let stop = start + step * (*len as isize);
            // A slice that runs down to the first has no number to stop at.
            let stop = if stop < 0 { None } else { Some(stop) };
            py.get_type::<PySlice>().call1((start, stop, step))
        }
        picks => Ok(PyArray1::from_vec(py, picks.iter().map(|i| i as i64).collect()).into_any()),
    }
}
