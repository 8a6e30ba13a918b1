"""Slicing as in numpy: what of an element is read for ``element[key]``, and what of its axes is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import _values
from ._errors import SelectionError


def take(core: Any, path: str, key: Any, convert: Callable[[Any], Any]) -> Any:
    """``element[key]`` of the element at `path`, read as narrowly as can be, and made of its raw value by `convert`."""
    shape = tuple(core.info(path).shape)
    selections, dropped = _selections(key, len(shape), path)
    raw = core.read_part(path, selections)
    kind = raw[0] if isinstance(raw, tuple) else "array"
    if kind == "sparse":
        return _values.to_user(raw)[0, 0] if len(dropped) == 2 else convert(raw)
    if not dropped or kind == "table":
        return convert(raw)
    # Axes go before the backend has a say: who knows whether what it makes can be indexed.
    values = raw if kind == "array" else _values.to_user(raw)
    place = tuple(0 if axis in dropped else slice(None) for axis in range(len(shape)))
    left = values[0] if len(shape) == 1 else values[place]
    return convert(left) if isinstance(left, np.ndarray) and kind == "array" else left


def _selections(key: Any, ndim: int, path: str) -> tuple[tuple, set[int]]:
    """One selection for each of the leading axes, and the axes that go, since one position was asked for."""
    keys = key if isinstance(key, tuple) else (key,)
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if dots:
        if len(dots) > 1:
            raise SelectionError("an index can only have one ellipsis")
        missing = (slice(None),) * (ndim - len(keys) + 1)
        keys = keys[: dots[0]] + missing + keys[dots[0] + 1 :]
    if len(keys) > ndim:
        raise SelectionError(f"too many indices: {path} has {ndim} axes, but {len(keys)} were indexed")
    selections, dropped, lists, mesh = [], set(), 0, 0
    for axis, k in enumerate(keys):
        if isinstance(k, slice):
            selections.append(k)
            continue
        array = np.asarray(k)
        if array.dtype == object:
            array = np.array(array.tolist())
        if array.ndim > 1 and array.ndim == len(keys) and array.size == array.shape[axis]:
            mesh += 1  # as np.ix_ makes them
            array = array.ravel()
        position = array.ndim == 0 and array.dtype.kind in "iuU"
        several = array.ndim == 1 and (array.dtype.kind in "biuU" or not array.size)
        if not (position or several):
            raise SelectionError(f"{path} is indexed by slices, positions, masks and names, not by {k!r}")
        if position:
            dropped.add(axis)
            selections.append(str(array) if array.dtype.kind == "U" else int(array))
            continue
        lists += 1
        if array.dtype.kind == "U":
            selections.append(array.tolist())
        else:
            selections.append(array.astype(bool if array.dtype.kind == "b" else np.int64))
    if mesh and mesh < len(keys):
        raise SelectionError(f"{path} is indexed by lists of one axis, not by tables of positions")
    if lists > 1 and not mesh:
        what = f"lists on two axes pick single entries in numpy: take the block by {path}[np.ix_(rows, columns)]"
        raise SelectionError(what)
    return tuple(selections), dropped
