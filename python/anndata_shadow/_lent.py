"""What a shadow has handed out, and how it notices that it was changed in place.

`shadow.obsm["X_pca"]` gives the same writable object every time, as AnnData does, and `shadow.obsm["X_pca"][0] = 0`
changes the shadow. The core has its own copy of what is pending, and knows nothing of it: so a fingerprint is taken
of all that is handed out, and `settle` sets what has another one by then. It runs before everything that looks at
what is pending.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_

import numpy as np
import pandas as pd
import scipy.sparse as sp

from . import _core
from ._errors import ShadowError
from ._values import to_raw

NOTHING = object()
"""Stands for: not lent. `None` is a value."""


class Loan:
    """An object that was handed out, and its fingerprint as the core last had it."""

    __slots__ = ("obj", "seen")

    def __init__(self, obj, tracked):
        self.obj = obj
        self.seen = fingerprint(obj) if tracked else None

    def settle(self, core, path):
        """Sets what was changed in place."""
        self.seen = _settle(core, path, self.obj, self.seen)

    def reset(self):
        """Lets go of what can be read again while the object itself stays; false if it cannot."""
        return False


class Lent:
    """All that a shadow, or a view, has handed out, by path.

    Parameters
    ----------
    core
        The core's shadow.
    tracked
        Whether changes in place are the shadow's. In what a view hands out they are not: they stay where they were
        made, and go with the next change of the shadow that the view was cut from.
    """

    def __init__(self, core, tracked):
        self._core = core
        self._tracked = tracked
        self._loans = {}
        self._generation = core.generation()

    def get(self, path):
        """What was handed out at `path`, or `NOTHING`."""
        if not self._tracked and self._generation != (now := self._core.generation()):
            self._loans, self._generation = {}, now
        loan = self._loans.get(path)
        return NOTHING if loan is None else loan.obj

    def loan(self, path):
        """The loan at `path`, or None."""
        return None if self.get(path) is NOTHING else self._loans.get(path)

    def lend(self, path, obj):
        """Notes that `obj` is handed out at `path`. Of two threads that read the same, one is first."""
        return self._loans.setdefault(path, Loan(obj, self._tracked)).obj

    def take(self, path, obj):
        """Notes that `obj` was set at `path`: it is what will be handed out."""
        self.forget(path)
        self._loans[path] = Loan(obj, self._tracked)

    def add(self, path, loan):
        """Notes a loan that has ways of its own."""
        return self._loans.setdefault(path, loan)

    def __contains__(self, path):
        return self.get(path) is not NOTHING

    def settle(self, path=None):
        """Sets what was changed in place: of all, or of what is at, above or below `path`."""
        if self._tracked:
            for at, loan in list(self._loans.items()):
                if path is None or _on_one_way(at, path):
                    loan.settle(self._core, at)

    def forget(self, path=None):
        """Forgets all, or what is at, above or below `path`."""
        for at, loan in list(self._loans.items()):
            if (path is None or _on_one_way(at, path)) and not loan.reset():
                del self._loans[at]

    def forget_clean(self):
        """Forgets what is in the file as it is here. (What is pending is the user's object until it is written.)"""
        for at, loan in list(self._loans.items()):
            if not loan.reset() and self._core.mark(at) in {"", "ᐁ"}:
                del self._loans[at]

    def rename(self, old, new):
        """Keeps a loan under the new path of its element."""
        loan = self._loans.pop(old, None)
        if loan is not None:
            self._loans[new] = loan

    def set_rows(self, slot, index):
        """Gives the frames of a slot this index, as the core has."""
        for at, loan in self._loans.items():
            if at.startswith(f"{slot}/") and isinstance(loan.obj, pd.DataFrame):
                loan.obj.index = index
                loan.seen = fingerprint(loan.obj)


def _on_one_way(one, other):
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _settle(core, path, obj, seen):
    now = fingerprint(obj)
    if now == seen:
        return now
    if not (isinstance(obj, Mapping) and isinstance(seen, dict)):
        put(core, path, obj)
        return now
    # Of a dict only the entries that differ.
    for key in seen.keys() - now.keys():
        if core.exists(f"{path}/{key}") or key in core.keys(path):
            core.remove(f"{path}/{key}")
    for key, item in obj.items():
        if key not in seen:
            put(core, f"{path}/{key}", item)
        elif now[key] != seen[key]:
            _settle(core, f"{path}/{key}", item, seen[key])
    return now


def put(core, path, obj):
    """Sets an element.

    Raises
    ------
    TypeError
        If it cannot be stored; the message names the path.
    """
    try:
        core.set(path, to_raw(obj))
    except ShadowError:
        raise
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from None


# ---- fingerprints


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
    if isinstance(obj, (bool, int, float, complex, np.generic)):
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
    # Torch counts what is done in place; awkward arrays get another layout; the others cannot be changed.
    return (Same(obj), getattr(obj, "_version", None), Same(getattr(obj, "layout", None)))


def _of_array(array):
    if isinstance(array, np.ma.MaskedArray):
        return (_of_array(array.data), _of_array(np.ma.getmaskarray(array)))
    array = np.asarray(array)
    if array.dtype.names is not None and array.dtype.hasobject:
        return (array.shape, array.dtype, [_of_array(array[name]) for name in array.dtype.names])
    if array.dtype.hasobject or array.dtype.kind == "T":
        return (array.shape, Items(array.ravel(order="K")))
    return (array.shape, array.dtype, _core.digest(array) if array.nbytes else 0)


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
    return (array.dtype, Items(np.asarray(array, dtype=object)))
