"""What stands in the brackets of ``shadow[…]``, as the core takes it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ._errors import SelectionError, UnknownNameError


def normalize(index, obs_names, var_names):
    """One selection for each axis: a slice, or an array of positions or a mask, or a list of names.

    Parameters
    ----------
    index
        As AnnData takes it: one selection, for observations, or a pair; an ellipsis stands for all.
    obs_names, var_names : callable
        Give the names of the axes, which are read only if names are asked for.
    """
    obs, var = _pair(index)
    return _axis(obs, obs_names), _axis(var, var_names)


def _pair(index):
    if not isinstance(index, tuple):
        return (slice(None), slice(None)) if index is Ellipsis else (index, slice(None))
    dots = sum(part is Ellipsis for part in index)
    if dots > 1:
        raise SelectionError("an index can only have one ellipsis")
    if len(index) == 3 and dots:
        index = tuple(part for part in index if part is not Ellipsis)
    if not 1 <= len(index) <= 2:
        raise SelectionError(f"a shadow has two axes, and {len(index)} selections were given")
    obs, var = (*index, slice(None))[:2]
    return tuple(slice(None) if part is Ellipsis else part for part in (obs, var))


def _axis(part, names):
    if isinstance(part, slice):
        return _slice(part, names)
    if isinstance(part, (bool, np.bool_)):
        raise SelectionError("a single bool selects nothing: a mask has a value for each row")
    if isinstance(part, (int, np.integer)):
        return int(part)
    if isinstance(part, str):
        return [str(part)]
    if sp.issparse(part):
        part = part.toarray()
    if isinstance(part, (pd.Series, pd.Index)):
        part = part.array
    if isinstance(part, pd.api.extensions.ExtensionArray) and part.isna().any():
        raise SelectionError("a selection with missing values")
    array = np.asarray(part)
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.ndim != 1:
        raise SelectionError(f"{part!r} does not select on an axis")
    return _array(array)


def _array(array):
    kind = array.dtype.kind
    if array.size == 0 and kind != "b":
        return np.zeros(0, dtype=np.int64)
    if kind == "O":
        inferred = pd.api.types.infer_dtype(array, skipna=False)
        kind = {"string": "U", "boolean": "b", "integer": "i"}.get(inferred, "O")
    if kind in "UT":
        return [str(name) for name in array]
    if kind == "b":
        return array.astype(bool, copy=False)
    if kind in "iu":
        return array.astype(np.int64, copy=False)
    if kind == "f" and np.all(array == np.floor(array)):
        return array.astype(np.int64)
    raise SelectionError(f"{array!r}: an axis is selected on by positions, a mask, or names")


def _slice(part, names):
    """A slice of positions; of names it includes the last, as in pandas and AnnData."""
    start, stop = part.start, part.stop
    if isinstance(start, str) or isinstance(stop, str):
        index = names()
        start = _place(index, start) if isinstance(start, str) else start
        stop = _place(index, stop) + 1 if isinstance(stop, str) else stop
    return slice(start, stop, part.step)


def _place(index, name):
    try:
        place = index.get_loc(name)
    except KeyError:
        raise UnknownNameError(f"there is no row of the name {name!r}") from None
    if not isinstance(place, int):
        raise UnknownNameError(f"{name!r} names several rows: a slice needs a single one")
    return place


def positions(part, names):
    """A normalized selection as a slice or an array of positions, which numpy and pandas take.

    Parameters
    ----------
    part
        As `normalize` gives it.
    names : pandas.Index
        Of the axis.
    """
    if isinstance(part, slice):
        return part
    if isinstance(part, int):
        if not -len(names) <= part < len(names):
            raise SelectionError(f"position {part} is outside an axis of {len(names)}")
        part %= len(names)
        return slice(part, part + 1)
    if isinstance(part, list):
        return np.array([_place(names, name) for name in part], dtype=np.int64)
    if part.dtype == bool:
        if len(part) != len(names):
            raise SelectionError(f"a mask of {len(part)} values for an axis of {len(names)}")
        return np.flatnonzero(part)
    return part
