//! Python's raw values (`_core.pyi` says what these are) as elements. All is copied, for Python may change its own.

use std::collections::BTreeMap;

use anndata_shadow::{
    Array, Awkward, ByteString, Categorical, DatetimeMs, DatetimeNs, DatetimeS, DatetimeUs, Element, Indices, Item,
    NaValue, Nullable, Records, Sparse, SparseFormat, Table,
};
use half::f16;
use num_complex::{Complex32, Complex64};
use numpy::{PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyString, PyTuple};

type Value<'py> = Bound<'py, PyAny>;
/// Name of the index, index, columns.
type Parts<'py> = (Option<String>, Value<'py>, Vec<(String, Value<'py>)>);

pub(crate) fn element(value: &Bound<'_, PyAny>) -> PyResult<Element> {
    if value.is_none() {
        Ok(Element::Null)
    } else if let Ok(dict) = value.cast::<PyDict>() {
        mapping(dict).map(Element::Mapping)
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        tagged(tuple)
    } else if let Ok(untyped) = value.cast::<PyUntypedArray>() {
        if untyped.dtype().has_fields() { records(value) } else { array(value).map(Element::Array) }
    } else {
        scalar(value).map(Element::Array)
    }
}

/// The value of the element at a path, which errors name.
pub(crate) fn element_at(path: &str, value: &Bound<'_, PyAny>) -> PyResult<Element> {
    element(value).map_err(|error| named(value.py(), path, error))
}

/// The same error with the path before its message, if it is a plain one.
fn named(py: Python<'_>, path: &str, error: PyErr) -> PyErr {
    let class = error.get_type(py);
    if class.is(py.get_type::<PyTypeError>()) || class.is(py.get_type::<PyValueError>()) {
        return PyErr::from_type(class, (format!("`{path}`: {}", error.value(py)),));
    }
    error
}

/// The entries of a dict.
pub(crate) fn mapping(dict: &Bound<'_, PyDict>) -> PyResult<BTreeMap<String, Element>> {
    let entry = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let Ok(name) = name.cast::<PyString>() else {
            let found = name.get_type().name()?;
            return Err(PyTypeError::new_err(format!("names of elements are str, not {found}")));
        };
        Ok((name.to_str()?.to_owned(), element(&value)?))
    };
    dict.iter().map(entry).collect()
}

fn tagged(tuple: &Bound<'_, PyTuple>) -> PyResult<Element> {
    let kind = tuple.get_item(0).and_then(|kind| kind.extract::<String>());
    match (kind.as_deref().unwrap_or_default(), tuple.len()) {
        ("sparse", 6) => {
            let (_, format, shape, data, indices, indptr): (
                Value<'_>,
                String,
                [usize; 2],
                Value<'_>,
                Value<'_>,
                Value<'_>,
            ) = tuple.extract()?;
            sparse(&format, shape, [&data, &indices, &indptr]).map(Element::Sparse)
        }
        ("categorical", 4) => {
            let (_, codes, categories, ordered): (Value<'_>, Value<'_>, Value<'_>, bool) = tuple.extract()?;
            Categorical::new(array(&codes)?, array(&categories)?, ordered).map(Element::Categorical).map_err(unfit)
        }
        ("nullable", 4) => {
            let (_, values, mask, na_value): (Value<'_>, Value<'_>, Value<'_>, String) = tuple.extract()?;
            let Array::Bool(mask) = array(&mask)? else {
                return Err(PyTypeError::new_err("the mask of a nullable array is boolean"));
            };
            let na_value = if na_value == NaValue::Nan.name() { NaValue::Nan } else { NaValue::Na };
            Nullable::new(array(&values)?, mask.into_iter().collect(), na_value).map(Element::Nullable).map_err(unfit)
        }
        ("table", 4) => table(tuple).map(Element::Table),
        ("records", 2) => records(&tuple.get_item(1)?),
        ("awkward", 4) => {
            let (_, form, length, buffers): (Value<'_>, String, usize, Bound<'_, PyDict>) = tuple.extract()?;
            let buffer = |(name, buffer): (Value<'_>, Value<'_>)| Ok((name.extract()?, array(&buffer)?));
            let buffers = buffers.iter().map(buffer).collect::<PyResult<_>>()?;
            Awkward::from_buffers(&form, length, buffers).map(Element::Awkward).map_err(unfit)
        }
        _ => Err(PyTypeError::new_err("a tuple is no value of an element")),
    }
}

pub(crate) fn table(value: &Bound<'_, PyAny>) -> PyResult<Table> {
    let tagged = value.cast::<PyTuple>()?;
    let kind = tagged.get_item(0).and_then(|kind| kind.extract::<String>());
    if kind.as_deref().ok() != Some("table") || tagged.len() != 4 {
        return Err(PyTypeError::new_err("a table was expected"));
    }
    let (name, index, columns): Parts<'_> = tagged.get_slice(1, 4).extract()?;
    let columns = columns.into_iter().map(|(name, column)| Ok((name, element(&column)?)));
    Table::new(name, element(&index)?, columns.collect::<PyResult<_>>()?).map_err(unfit)
}

fn sparse(format: &str, shape: [usize; 2], [data, indices, indptr]: [&Bound<'_, PyAny>; 3]) -> PyResult<Sparse> {
    let format = match format {
        "csr" => SparseFormat::Csr,
        "csc" => SparseFormat::Csc,
        other => return Err(PyValueError::new_err(format!("sparse matrices are csr or csc, not {other}"))),
    };
    let indices = Indices::try_from(array(indices)?).map_err(unfit)?;
    let ends = array(indptr)?.to_i64().ok_or_else(|| unfit("indptr holds integers".into()))?;
    let ends: Option<Vec<u64>> = ends.into_iter().map(|end| end.try_into().ok()).collect();
    let ends = ends.ok_or_else(|| unfit("indptr holds negative numbers".into()))?;
    Sparse::new(format, shape, array(data)?, indices, ends).map_err(unfit)
}

fn records(value: &Bound<'_, PyAny>) -> PyResult<Element> {
    let shape = value.getattr("shape")?.extract()?;
    let names: Vec<String> = value.getattr("dtype")?.getattr("names")?.extract()?;
    let field = |name: String| {
        let field = asarray(&value.get_item(name.as_str())?)?;
        Ok((name, array(&field)?))
    };
    let fields = names.into_iter().map(field).collect::<PyResult<_>>()?;
    Records::new(shape, fields).map(Element::Records).map_err(unfit)
}

fn unfit(what: String) -> PyErr {
    PyValueError::new_err(what)
}

fn scalar(value: &Bound<'_, PyAny>) -> PyResult<Array> {
    Ok(if let Ok(flag) = value.cast::<PyBool>() {
        Array::scalar(flag.is_true())
    } else if value.is_instance_of::<PyInt>() {
        match value.extract::<i64>() {
            Ok(number) => Array::scalar(number),
            Err(_) => Array::scalar(value.extract::<u64>().map_err(|_| unfit("an integer beyond 64 bits".into()))?),
        }
    } else if let Ok(number) = value.cast::<PyFloat>() {
        Array::scalar(number.value())
    } else if let Ok(number) = value.cast::<PyComplex>() {
        Array::scalar(Complex64::new(number.real(), number.imag()))
    } else if let Ok(text) = value.cast::<PyString>() {
        Array::scalar(text.to_str()?.to_owned())
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        Array::scalar(byte_string(bytes.as_bytes())?)
    } else if value.is_instance(&value.py().import("numpy")?.getattr("generic")?)? {
        array(&asarray(value)?)?
    } else {
        return Err(PyTypeError::new_err(format!("a {} is no value of an element", value.get_type().name()?)));
    })
}

fn byte_string(bytes: &[u8]) -> PyResult<ByteString> {
    if bytes.ends_with(&[0]) {
        return Err(unfit("byte strings that end with NUL would lose it in a file".into()));
    }
    Ok(ByteString(bytes.to_vec()))
}

/// `numpy.asarray`.
pub(crate) fn asarray<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    value.py().import("numpy")?.call_method1("asarray", (value,))
}

/// A numpy array of numbers, dates or texts.
pub(crate) fn array(value: &Bound<'_, PyAny>) -> PyResult<Array> {
    let Ok(untyped) = value.cast::<PyUntypedArray>() else {
        return Err(PyTypeError::new_err(format!("a numpy array was expected, not {}", value.get_type().name()?)));
    };
    let dtype = untyped.dtype();
    match (dtype.kind(), dtype.itemsize()) {
        (b'b', 1) => numbers::<bool>(value),
        (b'i', 1) => numbers::<i8>(value),
        (b'i', 2) => numbers::<i16>(value),
        (b'i', 4) => numbers::<i32>(value),
        (b'i', 8) => numbers::<i64>(value),
        (b'u', 1) => numbers::<u8>(value),
        (b'u', 2) => numbers::<u16>(value),
        (b'u', 4) => numbers::<u32>(value),
        (b'u', 8) => numbers::<u64>(value),
        (b'f', 2) => numbers::<f16>(value),
        (b'f', 4) => numbers::<f32>(value),
        (b'f', 8) => numbers::<f64>(value),
        (b'c', 8) => numbers::<Complex32>(value),
        (b'c', 16) => numbers::<Complex64>(value),
        (b'M', 8) => times(value),
        (b'O' | b'U' | b'S' | b'T', _) => objects(value),
        _ => Err(PyTypeError::new_err(format!("arrays of dtype {dtype} have no form in AnnData"))),
    }
}

/// The array in C order and this machine's byte order; as it is, if it is so.
fn plain<'py>(value: &Bound<'py, PyAny>, dtype: impl IntoPyObject<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item("dtype", dtype)?;
    options.set_item("order", "C")?;
    py.import("numpy")?.call_method("asarray", (value,), Some(&options))
}

fn numbers<T: Item + numpy::Element + Copy>(value: &Bound<'_, PyAny>) -> PyResult<Array> {
    let py = value.py();
    let array = plain(value, numpy::dtype::<T>(py))?;
    let array = array.cast::<PyArrayDyn<T>>()?.try_readonly()?;
    let items = array.as_slice()?;
    let items = py.detach(|| items.to_vec());
    shaped(array.shape(), items)
}

fn shaped<T: Item>(shape: &[usize], items: Vec<T>) -> PyResult<Array> {
    Array::from_shape_vec(shape, items)
        .ok_or_else(|| unfit("an array does not have as many items as its shape says".into()))
}

fn times(value: &Bound<'_, PyAny>) -> PyResult<Array> {
    let dtype = value.getattr("dtype")?;
    let (unit, count): (String, usize) =
        value.py().import("numpy")?.call_method1("datetime_data", (&dtype,))?.extract()?;
    let numbers = plain(value, format!("M8[{unit}]"))?.call_method1("view", ("i8",))?;
    let Array::I64(numbers) = self::numbers::<i64>(&numbers)? else { return Err(unfit("dates are 64 bits".into())) };
    match (unit.as_str(), count) {
        ("s", 1) => Ok(numbers.mapv(DatetimeS).into()),
        ("ms", 1) => Ok(numbers.mapv(DatetimeMs).into()),
        ("us", 1) => Ok(numbers.mapv(DatetimeUs).into()),
        ("ns", 1) => Ok(numbers.mapv(DatetimeNs).into()),
        _ => Err(PyTypeError::new_err(format!(
            "dates are stored in s, ms, us or ns, not as {dtype}: convert them first"
        ))),
    }
}

/// Texts, or byte strings, from an array of objects or of numpy's own texts.
fn objects(value: &Bound<'_, PyAny>) -> PyResult<Array> {
    let array = plain(value, "O")?;
    let array = array.cast::<PyArrayDyn<Py<PyAny>>>()?.try_readonly()?;
    let items = || array.as_slice().into_iter().flatten().map(|item| item.bind(value.py()));
    let odd = |wanted: &str| {
        let found = items().find(|item| !(item.is_instance_of::<PyString>() || item.is_instance_of::<PyBytes>()));
        let found = found.map_or_else(|| "both str and bytes".into(), |item| item.get_type().to_string());
        PyTypeError::new_err(format!("an array of objects holds {wanted}, not {found}"))
    };
    if items().next().is_some_and(|item| item.is_instance_of::<PyBytes>()) {
        let bytes = items().map(|item| byte_string(item.cast::<PyBytes>().map_err(|_| odd("bytes"))?.as_bytes()));
        return shaped(array.shape(), bytes.collect::<PyResult<Vec<ByteString>>>()?);
    }
    let texts = items().map(|item| Ok(item.cast::<PyString>().map_err(|_| odd("str"))?.to_str()?.to_owned()));
    shaped(array.shape(), texts.collect::<PyResult<Vec<String>>>()?)
}
