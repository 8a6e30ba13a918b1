"""How it is noticed that an object was changed in place: `fingerprint` equals what it was before, or it does not."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_

import numpy as np
import pandas as pd
import scipy.sparse as sp

from . import _core, _foreign

#: What reads from somewhere else, and parts of other objects.
_ELSEWHERE = {"anndata", "anndata_shadow", "dask", "h5py", "zarr"}
#: Libraries of whose objects it is known how they change, if they do.
_WATCHED = {"awkward", "builtins", "datetime", "jax", "jaxlib", "numpy", "pandas", "polars", "pyarrow", "scipy", "torch"}
_PLAIN = (bool, int, float, complex, np.generic)
_WATCHED_TYPES = (str, bytes, *_PLAIN, np.ndarray, pd.DataFrame, pd.Series, pd.Index, Mapping)


def _library(obj):
    return type(obj).__module__.partition(".")[0]


def is_watched(obj):
    """Whether changes in place will be noticed. What else is set is not kept: what is read of it afterwards is."""
    library = _library(obj)
    return library in _WATCHED or library not in _ELSEWHERE and (isinstance(obj, _WATCHED_TYPES) or sp.issparse(obj))


class Same:
    """Equal if it is the very same object: for what cannot be changed in place."""

    __slots__ = ("obj",)

    def __init__(self, obj):
        self.obj = obj

    def __eq__(self, other):
        return isinstance(other, Same) and self.obj is other.obj

    __hash__ = None


class SameIndex(Same):
    """As `Same`, of a pandas index: what `frame.index` gives twice may be two objects over the same."""

    __slots__ = ()

    def __eq__(self, other):
        if not isinstance(other, SameIndex):
            return False
        return self.obj is other.obj or self.obj.is_(other.obj) or self.obj.identical(other.obj)

    __hash__ = None


class Copy:
    """Equal if what it was made of equals: for what is copied at no cost, and for what is rare."""

    __slots__ = ("obj",)

    def __init__(self, copy):
        self.obj = copy

    def __eq__(self, other):
        return isinstance(other, Copy) and type(self.obj) is type(other.obj) and self.obj.equals(other.obj)

    __hash__ = None


class Items:
    """Equal if all items are the same objects: for arrays of Python objects. Keeps them, lest ids get used again."""

    __slots__ = ("items",)

    def __init__(self, items):
        self.items = list(items)

    def __eq__(self, other):
        if not isinstance(other, Items) or len(self.items) != len(other.items):
            return False
        return all(map(is_, self.items, other.items))

    __hash__ = None


def fingerprint(obj):
    """Something that compares equal as long as nothing in `obj` was changed."""
    if isinstance(obj, (str, bytes, type(None))):
        return obj
    if isinstance(obj, np.ndarray):
        return _of_array(obj)
    if isinstance(obj, _PLAIN):
        return (type(obj), repr(obj))
    if isinstance(obj, pd.DataFrame):
        columns = [fingerprint(column.array) for _, column in obj.items()]
        return (SameIndex(obj.index), obj.index.name, tuple(obj.columns), columns)
    if isinstance(obj, pd.Series):
        return (SameIndex(obj.index), fingerprint(obj.array))
    if isinstance(obj, pd.Index):
        return SameIndex(obj)
    if isinstance(obj, pd.api.extensions.ExtensionArray):
        return _of_extension(obj)
    if sp.issparse(obj):
        return _of_sparse(obj)
    if isinstance(obj, Mapping):
        return {key: fingerprint(item) for key, item in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [fingerprint(item) for item in obj]
    return _of_foreign(obj)


def _of_array(array):
    if isinstance(array, np.ma.MaskedArray):
        return (_of_array(array.data), _of_array(np.ma.getmaskarray(array)))
    array = np.asarray(array)
    # As text, for the names of fields can be changed in a dtype itself.
    dtype = str(array.dtype)
    if array.dtype.kind == "T":
        return (array.shape, dtype, array.ravel(order="K").tolist())
    if array.dtype.names is not None and array.dtype.hasobject:
        return (array.shape, dtype, [_of_array(array[name]) for name in array.dtype.names])
    if array.dtype.hasobject:
        return (array.shape, Items(array.ravel(order="K")))
    return (array.shape, dtype, _core.digest(array) if array.nbytes else 0)


def _of_sparse(matrix):
    if matrix.format in {"csr", "csc", "bsr"}:
        parts = (matrix.data, matrix.indices, matrix.indptr)
    elif matrix.format == "coo":
        parts = (matrix.data, matrix.row, matrix.col)
    else:
        matrix = matrix.tocsr()
        parts = (matrix.data, matrix.indices, matrix.indptr)
    return (matrix.format, matrix.shape, *map(_of_array, parts))


def _of_extension(array):
    if isinstance(array, pd.Categorical):
        return (SameIndex(array.categories), array.ordered, _of_array(np.asarray(array.codes)))
    if isinstance(array, pd.arrays.NumpyExtensionArray):
        return _of_array(array.to_numpy())
    if isinstance(array, (pd.arrays.IntegerArray, pd.arrays.BooleanArray, pd.arrays.FloatingArray)):
        values = array.to_numpy(dtype=array.dtype.numpy_dtype, na_value=array.dtype.numpy_dtype.type(0))
        return (array.dtype, _of_array(values), _of_array(array.isna()))
    if isinstance(array, pd.arrays.DatetimeArray):
        return (array.dtype, _of_array(array.asi8))
    if hasattr(array, "_pa_array"):
        # Arrow's buffers cannot be changed: pandas puts others in their place.
        return Same(array._pa_array)
    if isinstance(array.dtype, pd.StringDtype):
        return (array.dtype, Items(np.asarray(array, dtype=object)))
    return (array.dtype, Copy(array.copy()))


def _of_foreign(obj):
    """Of an object of another library."""
    library = _library(obj)
    if library == "polars" and hasattr(obj, "clone") and hasattr(obj, "equals"):
        # A clone shares its buffers; what is changed in place gets others.
        dtypes = obj.dtypes if hasattr(obj, "columns") else [obj.dtype]
        return (getattr(obj, "columns", None), dtypes, Copy(obj.clone()))
    if library == "torch":
        return _of_torch(obj)
    if library not in _WATCHED | _ELSEWHERE:
        simple = _foreign.simpler(obj)
        if simple is not _foreign.UNKNOWN:
            return fingerprint(simple)
    # Awkward arrays get another layout; the others cannot be changed.
    return (Same(obj), Same(getattr(obj, "layout", None)))


def _of_torch(tensor):
    try:
        if tensor.device.type == "cpu":
            # Over the same memory, which may be changed by other ways than torch's.
            return fingerprint(_foreign.simpler(tensor))
        return (Same(tensor), tensor._version)
    except (AttributeError, RuntimeError, TypeError):
        # No tensor, one of inference on another device, or of a dtype that numpy does not have.
        return Same(tensor)
