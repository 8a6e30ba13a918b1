"""Arrays and tables of torch, jax, polars, pyarrow, awkward, dask, h5py and zarr, as those of numpy, pandas and scipy.

Nothing is imported for it: an object of a library is there only if its library is loaded.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

UNKNOWN = object()
"""Stands for: no library that is known here."""


class Raw(tuple):
    """A raw value already, as the core takes it."""


def simpler(value):
    """`value` as a numpy, pandas or scipy object, or `UNKNOWN`."""
    library = type(value).__module__.partition(".")[0]
    if library in {"builtins", "numpy", "pandas", "scipy"}:
        return UNKNOWN
    convert = _BY_LIBRARY.get(library, _any_array)
    return convert(value)


def _torch(tensor):
    if getattr(tensor, "layout", None) is None:
        return UNKNOWN
    tensor = tensor.detach().cpu()
    layout = str(tensor.layout)
    if layout == "torch.strided":
        return tensor.resolve_conj().resolve_neg().numpy()
    if layout == "torch.sparse_csr":
        parts = (tensor.values(), tensor.col_indices(), tensor.crow_indices())
        return sp.csr_matrix(tuple(part.numpy() for part in parts), shape=tuple(tensor.shape))
    if layout == "torch.sparse_csc":
        parts = (tensor.values(), tensor.row_indices(), tensor.ccol_indices())
        return sp.csc_matrix(tuple(part.numpy() for part in parts), shape=tuple(tensor.shape))
    if layout == "torch.sparse_coo":
        tensor = tensor.coalesce()
        return sp.coo_matrix((tensor.values().numpy(), tuple(tensor.indices().numpy())), shape=tuple(tensor.shape))
    return UNKNOWN


def _jax(array):
    name = type(array).__name__
    if name in {"BCSR", "CSR"}:
        parts = (np.asarray(array.data), np.asarray(array.indices), np.asarray(array.indptr))
        return sp.csr_matrix(parts, shape=tuple(array.shape))
    if name == "BCOO":
        rows, columns = np.asarray(array.indices).T
        return sp.coo_matrix((np.asarray(array.data), (rows, columns)), shape=tuple(array.shape))
    return np.asarray(array) if hasattr(array, "__array__") else UNKNOWN


def _awkward(array):
    from ._values import awkward_to_raw

    return Raw(awkward_to_raw(array)) if type(array).__name__ == "Array" else UNKNOWN


def _frame(columns):
    """A data frame of named columns. A first one `_index` is the index: so the backends hand out one without a name."""
    parts = {}
    for name, column in columns:
        parts[name] = simpler(column)
        if parts[name] is UNKNOWN:
            kind = getattr(column, "dtype", None) or column.type
            raise TypeError(f"the column {name!r} of type {kind} cannot be stored: convert it to text or numbers first")
    frame = pd.DataFrame(parts)
    return frame.set_index("_index").rename_axis(None) if next(iter(parts), None) == "_index" else frame


def _polars(value):
    kind = type(value).__name__
    if kind == "DataFrame":
        return _frame((column.name, column) for column in value.get_columns())
    if kind == "LazyFrame":
        return _polars(value.collect())
    if kind != "Series":
        return UNKNOWN
    dtype = str(value.dtype.base_type())
    if dtype in {"Categorical", "Enum"}:
        texts = value.to_list()
        # An enum has its categories in their order. Of a categorical there are the texts, as they come.
        found = value.dtype.categories if dtype == "Enum" else dict.fromkeys(text for text in texts if text is not None)
        return pd.Categorical(texts, categories=list(found))
    if dtype == "String":
        return np.array(value.to_list(), dtype=object)
    if dtype in {"Boolean"} or value.dtype.is_integer():
        return _with_missing(value.is_null().to_numpy(), value.fill_null(False if dtype == "Boolean" else 0).to_numpy())
    if value.dtype.is_float() or dtype == "Datetime" and value.dtype.time_zone is None:
        return value.to_numpy()
    if dtype == "Date":
        return value.to_numpy().astype("datetime64[s]")
    return UNKNOWN


def _pyarrow(value):
    kind = type(value).__name__
    if kind in {"Table", "RecordBatch"}:
        return _frame((name, value.column(name)) for name in value.schema.names)
    if kind == "ChunkedArray":
        value = value.combine_chunks()
        return _pyarrow(value)
    dtype = getattr(value, "type", None)
    if dtype is None or not hasattr(value, "null_count"):
        return UNKNOWN
    text = str(dtype)
    if text.startswith("dictionary"):
        codes = value.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return pd.Categorical.from_codes(codes, value.dictionary.to_pylist(), ordered=dtype.ordered)
    if text in {"string", "large_string", "string_view", "binary", "large_binary"}:
        return np.array(value.to_pylist(), dtype=object)
    if text == "bool" or text.startswith(("int", "uint")):
        mask = value.is_null().to_numpy(zero_copy_only=False)
        return _with_missing(mask, value.fill_null(False if text == "bool" else 0).to_numpy(zero_copy_only=False))
    if text in {"halffloat", "float", "double"} or text.startswith("timestamp[") and "tz=" not in text:
        return value.to_numpy(zero_copy_only=False)
    if text.startswith("date"):
        return value.to_numpy(zero_copy_only=False).astype("datetime64[s]")
    return UNKNOWN


def _with_missing(mask, values):
    if not mask.any():
        return values
    kind = pd.arrays.BooleanArray if values.dtype == bool else pd.arrays.IntegerArray
    return kind(np.array(values), mask)


def _dask(value):
    return value.compute() if hasattr(value, "compute") else UNKNOWN


def _own(value):
    """A lazy handle."""
    return value.read() if hasattr(value, "read") else UNKNOWN


def _any_array(value):
    """Whatever says that it is an array: datasets of h5py and zarr, arrays of cupy."""
    if hasattr(value, "to_memory"):
        return value.to_memory() if type(value).__module__.startswith("anndata._core.sparse_dataset") else UNKNOWN
    if type(value).__module__.startswith("cupy"):
        return value.get()
    if hasattr(value, "__array__") and hasattr(value, "shape"):
        return np.asarray(value)
    return UNKNOWN


_BY_LIBRARY = {
    "torch": _torch,
    "jax": _jax,
    "jaxlib": _jax,
    "awkward": _awkward,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "dask": _dask,
    "anndata_shadow": _own,
}
