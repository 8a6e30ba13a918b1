"""Raw values of the core as objects of numpy, pandas and scipy (`to_user`), and what users hand in as these (`to_raw`).

The core knows neither pandas nor scipy: what is no array, scalar or dict crosses the border as a tuple whose first
item is its kind. Out of it comes what `anndata.io.read_elem` gives of the same element.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd
import scipy.sparse as sp

from . import _columns, _foreign

DATETIME_UNITS = {"s", "ms", "us", "ns"}


# ---- out ----


def to_user(raw):
    """The numpy, pandas or scipy object of a raw value."""
    if isinstance(raw, tuple):
        return _OUT[raw[0]](*raw[1:])
    if isinstance(raw, dict):
        return {key: to_user(value) for key, value in raw.items()}
    if isinstance(raw, np.generic) and raw.dtype.kind in "biufc":
        # A single number is Python's, as anndata has it.
        return raw.item()
    if isinstance(raw, np.ndarray) and raw.dtype == object and raw.size and isinstance(raw.flat[0], bytes):
        return raw.astype("S")
    return raw


def to_column(raw):
    """As `to_user`, of a column or of names of rows: texts have pandas' own dtype for them, also where there are none."""
    value = to_user(raw)
    if isinstance(value, np.ndarray) and value.dtype == object and not value.size:
        return pd.array([], dtype=pd.Index(["a text"]).dtype)
    return value


def sparse(layout, shape, data, indices, indptr):
    """A scipy matrix over these arrays as they are: nothing is copied, checked or made narrower."""
    sparse_array = _anndata_setting("use_sparse_array_on_read", False)
    kinds = {"csr": (sp.csr_matrix, sp.csr_array), "csc": (sp.csc_matrix, sp.csc_array)}
    matrix = kinds[layout][sparse_array](tuple(shape))
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix


def categorical(codes, categories, ordered):
    """A pandas categorical."""
    dtype = pd.CategoricalDtype(to_user(categories), ordered)
    # The core has looked whether every code has a category.
    return pd.Categorical.from_codes(codes, dtype=dtype, validate=False)


def nullable(values, mask, na_value):
    """The pandas array with missing values for this dtype."""
    if values.dtype == object:
        return _nullable_text(values, mask, na_value)
    kinds = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
    return kinds.get(values.dtype.kind, pd.arrays.IntegerArray)(values, mask)


def _nullable_text(values, mask, na_value):
    # anndata heeds what stands for missing texts since 0.13.
    nan = na_value == "NaN" and anndata_version() >= (0, 13)
    text = pd.array(values, dtype=pd.StringDtype(na_value=np.nan) if nan else pd.StringDtype())
    text[mask] = pd.NA
    return text


def table(index_name, index, columns):
    """A data frame."""
    names = [name for name, _ in columns]
    frame = pd.DataFrame(
        {name: to_column(raw) for name, raw in columns}, index=to_column(index), columns=names if names else None
    )
    if index_name is not None:
        frame.index.name = index_name
    return frame


def awkward(form, length, buffers):
    """An awkward array."""
    try:
        import awkward as ak
    except ImportError:
        raise ImportError("this element is an awkward array, which needs a package: pip install awkward") from None
    return ak.from_buffers(ak.forms.from_json(form), length, buffers)


_OUT = {
    "sparse": sparse,
    "categorical": categorical,
    "nullable": nullable,
    "table": table,
    "records": lambda array: array,
    "awkward": awkward,
}


@functools.cache
def anndata_version():
    """Its first two numbers, as it is installed; it need not be loaded."""
    try:
        return tuple(int(part) for part in version("anndata").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return (0, 0)


def _anndata_setting(name, default):
    """A setting of anndata, if that is loaded."""
    import sys

    anndata = sys.modules.get("anndata")
    return default if anndata is None else getattr(anndata.settings, name, default)


# ---- in ----


def to_raw(value):
    """The raw value of whatever can be stored.

    Raises
    ------
    TypeError
        For what AnnData files have no form for; the message names the type.
    """
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return _plain_scalar(value)
    if isinstance(value, np.ndarray):
        return array_to_raw(value)
    if isinstance(value, np.generic):
        return _numpy_scalar(value)
    if isinstance(value, (pd.DataFrame, pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        return _columns.pandas_to_raw(value)
    if sp.issparse(value):
        return sparse_to_raw(value)
    if isinstance(value, Mapping):
        return {name_of(key): to_raw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return _list_to_raw(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return _date_scalar(value)
    return _foreign_to_raw(value)


def _plain_scalar(value):
    # Subclasses too: numpy's float64 is a float, and IntEnum an int.
    return _numpy_scalar(value) if isinstance(value, np.generic) else value


def _numpy_scalar(value):
    if isinstance(value, np.void):
        raise TypeError("a single record cannot be stored: put it into an array of one")
    if isinstance(value, np.timedelta64):
        raise TypeError("a span of time cannot be stored: store it as a number of a unit that you name")
    return str(value) if isinstance(value, np.str_) else bytes(value) if isinstance(value, np.bytes_) else value


def _date_scalar(value):
    if getattr(value, "tzinfo", None) is not None:
        raise TypeError("a date with a time zone cannot be stored: convert it to UTC and take the zone off")
    return pd.Timestamp(value).to_datetime64()


def name_of(key):
    """A name of an element, which is text."""
    if not isinstance(key, str):
        raise TypeError(f"names of elements are text, not {type(key).__name__}: {key!r}")
    return key


def array_to_raw(array):
    """Of a numpy array: one that the core takes as it is, records, or values with a mask."""
    if isinstance(array, np.ma.MaskedArray):
        return _masked_to_raw(array)
    array = np.asarray(array)
    if array.ndim == 0:
        return to_raw(array[()])
    kind = array.dtype.kind
    if array.dtype.names is not None:
        return ("records", _records(array))
    if kind in "UST":
        return array.astype(object)
    if kind == "O":
        return objects_to_raw(array)
    if kind == "M":
        return _dates(array)
    if kind not in "biufc" or array.dtype.itemsize > 16 or array.dtype.name in {"float128", "longdouble"}:
        raise TypeError(f"an array of {array.dtype} cannot be stored{_advice(kind)}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _advice(kind):
    return ": store it as numbers of a unit that you name" if kind == "m" else ""


def _dates(array):
    unit = np.datetime_data(array.dtype)[0]
    if unit in DATETIME_UNITS:
        return array
    if unit in {"Y", "M", "W", "D", "h", "m"}:
        return array.astype("datetime64[s]")
    raise TypeError(f"an array of {array.dtype} cannot be stored: its unit is none of s, ms, us, ns")


def _records(array):
    """A structured array whose text fields are objects, as anndata reads them."""
    text = {name for name in array.dtype.names if array.dtype[name].base.kind in "UT"}
    if not text:
        return np.asarray(array)
    fields = [
        (name, object, array.dtype[name].shape) if name in text else (name, array.dtype[name])
        for name in array.dtype.names
    ]
    out = np.empty(array.shape, fields)
    for name in array.dtype.names:
        out[name] = array[name].astype(object) if name in text else array[name]
    return out


def _masked_to_raw(array):
    mask = np.ma.getmaskarray(array)
    if not mask.any():
        return array_to_raw(array.data)
    if array.dtype.kind == "f":
        return array.filled(np.nan)
    if array.dtype.kind in "biu":
        return ("nullable", np.ascontiguousarray(array.filled(0)), mask, "NA")
    raise TypeError(f"a masked array of {array.dtype} cannot be stored")


def objects_to_raw(array):
    """Of an array of Python objects: the texts, numbers or bools that they are."""
    kind = pd.api.types.infer_dtype(array.ravel(), skipna=True)
    missing = pd.isna(array)
    none = not missing.any()
    if kind == "string" or (kind == "empty" and array.ndim == 1):
        return array if none else ("nullable", np.where(missing, "", array), missing, "NaN")
    if kind == "bytes" and none:
        return array
    if kind in {"boolean", "integer"}:
        numbers = np.where(missing, 0, array).astype(bool if kind == "boolean" else _integer_type(array))
        return numbers if none else ("nullable", numbers, missing, "NA")
    if kind in {"floating", "mixed-integer-float"}:
        return np.where(missing, np.nan, array).astype(np.float64)
    if kind == "complex":
        return np.where(missing, np.nan, array).astype(np.complex128)
    if kind in {"datetime64", "datetime", "date"}:
        return pd.to_datetime(array.ravel()).to_numpy().reshape(array.shape)
    types = sorted({type(item).__name__ for item in array.ravel()})
    raise TypeError(
        f"an array of objects of the types {', '.join(types)} cannot be stored: convert it to text or numbers first"
    )


def _integer_type(array):
    """int64, or uint64 where that is needed."""
    largest = max((int(item) for item in array.ravel() if not pd.isna(item)), default=0)
    return np.uint64 if largest > np.iinfo(np.int64).max else np.int64


def sparse_to_raw(matrix):
    """Of a scipy matrix: CSR and CSC as they are, others as CSR."""
    if matrix.ndim != 2:
        raise TypeError(f"a sparse array of {matrix.ndim} axes cannot be stored: AnnData has sparse matrices")
    if matrix.format not in {"csr", "csc"}:
        matrix = matrix.tocsr()
    both = np.int64 if np.int64 in (matrix.indices.dtype, matrix.indptr.dtype) else np.int32
    indices, indptr = matrix.indices.astype(both, copy=False), matrix.indptr.astype(both, copy=False)
    return ("sparse", matrix.format, tuple(map(int, matrix.shape)), matrix.data, indices, indptr)


def _list_to_raw(items):
    try:
        array = np.array(items)
    except ValueError:
        raise TypeError("a list of lists of different lengths cannot be stored: take an awkward array") from None
    mixed = array.dtype.kind in "US" and not all(isinstance(item, (str, bytes)) for item in _leaves(items))
    if mixed or array.dtype.kind == "O":
        array = np.empty(len(items), dtype=object)
        array[:] = items
    return array_to_raw(array)


def _leaves(items):
    for item in items:
        if isinstance(item, (list, tuple, np.ndarray)):
            yield from _leaves(item)
        else:
            yield item


def _foreign_to_raw(value):
    """Of an object of another library."""
    found = _foreign.simpler(value)
    if found is _foreign.UNKNOWN:
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        raise TypeError(f"a value of type {name} cannot be stored in an AnnData file")
    return tuple(found) if isinstance(found, _foreign.Raw) else to_raw(found)


def awkward_to_raw(array):
    """Of an awkward array."""
    import awkward as ak

    form, length, buffers = ak.to_buffers(ak.to_packed(array))
    return ("awkward", form.to_json() if hasattr(form, "to_json") else json.dumps(form), int(length), dict(buffers))
