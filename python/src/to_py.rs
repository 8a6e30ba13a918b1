//! Elements as Python's raw values (`_core.pyi` says what these are). What is large goes over as it is, without a copy.

use anndata_shadow::{
    Array, Awkward, ByteString, Categorical, Element, Indices, Nullable, Records, Sparse, SparseFormat, Table,
};
use ndarray::{ArrayD, IxDyn};
use numpy::{PyArray1, PyArrayDyn};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

type Raw<'py> = Bound<'py, PyAny>;

pub(crate) fn element(py: Python<'_>, element: Element) -> PyResult<Raw<'_>> {
    match element {
        Element::Array(a) => array(py, a),
        Element::Sparse(s) => sparse(py, s),
        Element::Categorical(c) => categorical(py, c),
        Element::Nullable(n) => nullable(py, n),
        Element::Table(t) => table(py, t),
        Element::Records(r) => records(py, r),
        Element::Awkward(a) => awkward(py, &a),
        Element::Mapping(entries) => {
            let dict = PyDict::new(py);
            for (name, entry) in entries {
                dict.set_item(name, self::element(py, entry)?)?;
            }
            Ok(dict.into_any())
        }
        Element::Null => Ok(py.None().into_bound(py)),
        other => Err(PyValueError::new_err(format!("{} has no form in Python", other.describe()))),
    }
}

pub(crate) fn elements(py: Python<'_>, elements: Vec<Element>) -> PyResult<Vec<Raw<'_>>> {
    elements.into_iter().map(|e| element(py, e)).collect()
}

/// An array; without axes, its one item.
fn array(py: Python<'_>, array: Array) -> PyResult<Raw<'_>> {
    let is_scalar = array.ndim() == 0;
    let array = ndarray(py, array)?;
    if is_scalar { array.get_item(PyTuple::empty(py)) } else { Ok(array) }
}

fn ndarray(py: Python<'_>, array: Array) -> PyResult<Raw<'_>> {
    macro_rules! numbers {
        ($array:ident, $($variant:ident)*, $($times:ident $dtype:literal)*) => {
            match $array {
                $(Array::$variant(a) => Ok(PyArrayDyn::from_owned_array(py, a).into_any()),)*
                $(Array::$times(a) => {
                    // Of the same size: collected in place.
                    let (shape, numbers) = (a.shape().to_vec(), a.into_iter().map(|time| time.0).collect());
                    let numbers = shaped::<i64>(&shape, numbers)?;
                    PyArrayDyn::from_owned_array(py, numbers).call_method1("view", ($dtype,))
                })*
                Array::Str(a) => objects(py, &a, |text| PyString::new(py, text).into_any()),
                Array::Bytes(a) => objects(py, &a, |ByteString(bytes)| PyBytes::new(py, bytes).into_any()),
                other => Err(PyValueError::new_err(format!("arrays of {} have no form in numpy", other.dtype()))),
            }
        };
    }
    numbers!(array, Bool I8 I16 I32 I64 U8 U16 U32 U64 F16 F32 F64 C64 C128,
        DatetimeS "datetime64[s]" DatetimeMs "datetime64[ms]" DatetimeUs "datetime64[us]" DatetimeNs "datetime64[ns]")
}

fn objects<'py, T>(py: Python<'py>, items: &ArrayD<T>, each: impl Fn(&T) -> Raw<'py>) -> PyResult<Raw<'py>> {
    let objects: Vec<Py<PyAny>> = items.iter().map(|item| each(item).unbind()).collect();
    Ok(PyArrayDyn::from_owned_array(py, shaped(items.shape(), objects)?).into_any())
}

fn shaped<T>(shape: &[usize], items: Vec<T>) -> PyResult<ArrayD<T>> {
    ArrayD::from_shape_vec(IxDyn(shape), items).map_err(|e| PyValueError::new_err(e.to_string()))
}

/// An object array of texts.
pub(crate) fn texts(py: Python<'_>, texts: Vec<String>) -> PyResult<Raw<'_>> {
    ndarray(py, Array::from_vec(texts))
}

fn sparse(py: Python<'_>, matrix: Sparse) -> PyResult<Raw<'_>> {
    let (format, shape, data, indices, indptr) = matrix.into_parts();
    let format = if format == SparseFormat::Csr { "csr" } else { "csc" };
    // scipy wants both in one type.
    let (indices, indptr) = match indices {
        Indices::I32(list) if i32::try_from(list.len()).is_ok() => {
            let indptr: Vec<i32> = indptr.into_iter().map(|at| at as i32).collect();
            (PyArray1::from_vec(py, list).into_any(), PyArray1::from_vec(py, indptr).into_any())
        }
        indices => {
            let list: Vec<i64> = match indices {
                Indices::I64(list) => list,
                Indices::I32(list) => list.into_iter().map(i64::from).collect(),
            };
            let indptr: Vec<i64> = indptr.into_iter().map(|at| at as i64).collect();
            (PyArray1::from_vec(py, list).into_any(), PyArray1::from_vec(py, indptr).into_any())
        }
    };
    ("sparse", format, (shape[0], shape[1]), ndarray(py, data)?, indices, indptr).into_bound_py_any(py)
}

fn categorical(py: Python<'_>, categorical: Categorical) -> PyResult<Raw<'_>> {
    let (codes, categories, ordered) = categorical.into_parts();
    ("categorical", ndarray(py, codes)?, ndarray(py, categories)?, ordered).into_bound_py_any(py)
}

fn nullable(py: Python<'_>, nullable: Nullable) -> PyResult<Raw<'_>> {
    let (values, missing, na_value) = nullable.into_parts();
    ("nullable", ndarray(py, values)?, PyArray1::from_vec(py, missing), na_value.name()).into_bound_py_any(py)
}

fn table(py: Python<'_>, table: Table) -> PyResult<Raw<'_>> {
    let (index_name, index, columns) = table.into_parts();
    let columns =
        columns.into_iter().map(|(name, column)| Ok((name, element(py, column)?))).collect::<PyResult<Vec<_>>>()?;
    ("table", index_name, element(py, index)?, columns).into_bound_py_any(py)
}

/// A structured array: the fields have to be copied side by side.
fn records(py: Python<'_>, records: Records) -> PyResult<Raw<'_>> {
    let (shape, fields) = records.into_parts();
    let fields = fields.into_iter().map(|(name, field)| Ok((name, ndarray(py, field)?)));
    let fields = fields.collect::<PyResult<Vec<(String, Raw<'_>)>>>()?;
    let dtypes = fields.iter().map(|(name, field)| {
        let own: Vec<usize> = field.getattr("shape")?.extract::<Vec<usize>>()?.split_off(shape.len());
        let dtype = field.getattr("dtype")?;
        if own.is_empty() {
            (name, dtype).into_bound_py_any(py)
        } else {
            (name, dtype, PyTuple::new(py, own)?).into_bound_py_any(py)
        }
    });
    let dtypes = dtypes.collect::<PyResult<Vec<_>>>()?;
    let array = py.import("numpy")?.call_method1("empty", (PyTuple::new(py, shape)?, dtypes))?;
    for (name, field) in fields {
        array.set_item(name, field)?;
    }
    ("records", array).into_bound_py_any(py)
}

fn awkward<'py>(py: Python<'py>, array: &Awkward) -> PyResult<Raw<'py>> {
    let (form, buffers) = array.to_buffers();
    let dict = PyDict::new(py);
    for (name, buffer) in buffers {
        dict.set_item(name, ndarray(py, buffer)?)?;
    }
    ("awkward", form, array.len(), dict).into_bound_py_any(py)
}
