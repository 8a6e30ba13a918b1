"""Dask arrays over elements of a file: the blocks are read by the workers, each from the file itself.

What travels to a worker is a `_Source`: where the file is, which rows and columns the view takes, which element. In
the process of the shadow it reads through the shadow's own handle; anywhere else the file is opened once in each
process, for reading.
"""

from __future__ import annotations

import os
import threading
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from . import _core, _values
from ._errors import StoreChangedError
from ._take import take

if TYPE_CHECKING:
    from ._lazy_array import LazyArray

__all__ = ["release", "to_dask"]

#: Rows of a block where nothing tells how large items are (texts).
ROWS_OF_TEXT = 100_000


def to_dask(handle: LazyArray, chunks: Any = "auto") -> Any:
    """See `LazyArray.to_dask`."""
    try:
        import dask.array as da
    except ImportError as error:
        what = f'to_dask needs dask, which cannot be imported ({error}): pip install "dask[array]"'
        raise ImportError(what, name="dask") from error
    source = _Source(handle)
    return da.from_array(
        source,
        chunks=source.cut(chunks),
        name=f"{source.path.replace('/', '-')}-{uuid.uuid4().hex}",  # the same path may hold something else tomorrow
        asarray=False,
        meta=source.meta,
    )


class _Source:
    """An element as dask slices it."""

    def __init__(self, handle: LazyArray) -> None:
        shadow, core, info = handle._shadow, handle._core, handle._info
        self.path = handle.path
        self._check(core)
        if info.kind not in ("array", "sparse"):
            raise TypeError(f"{self.path} is a {info.kind}: dask has arrays of one dtype, and scipy's sparse matrices")
        self.address = os.path.abspath(shadow._address)
        self.options = dict(shadow._options)
        self.is_mudata = isinstance(core, _core.MuShadow)
        self.rows = core.rows() if core.is_view else (None, None)
        self.shape = handle.shape
        self.ndim = len(self.shape)
        self.chunks = handle.chunks
        no_rows = handle._no_rows()
        self.dtype = no_rows.dtype
        self.is_sparse = scipy.sparse.issparse(no_rows)
        nothing = (0,) * self.ndim
        self.meta = type(no_rows)(nothing, dtype=self.dtype) if self.is_sparse else np.empty(nothing, self.dtype)
        self.nbytes_of_line = self._nbytes_of_line(info, no_rows)
        self._own = core
        self._view = None

    def _nbytes_of_line(self, info: Any, no_rows: Any) -> float:
        """Bytes of a row of a sparse matrix (of a column, if CSC) in memory, on average."""
        if not self.is_sparse or info.stored is None:
            return 0.0
        lines = self.shape[1 if no_rows.format == "csc" else 0]
        return info.stored * (self.dtype.itemsize + no_rows.indices.dtype.itemsize) / max(lines, 1)

    def cut(self, chunks: Any) -> Any:
        """`chunks` as dask takes them for this element."""
        if isinstance(chunks, int | np.integer) and chunks > 0:
            return (int(chunks), *self.shape[1:])
        if not (isinstance(chunks, str) and chunks == "auto"):
            return chunks
        if self.dtype == object:
            stored = self.chunks[0] if self.chunks else 1
            return (max(1, ROWS_OF_TEXT // stored) * stored, *self.shape[1:])
        if self.is_sparse:
            import dask
            from dask.utils import parse_bytes

            limit = parse_bytes(dask.config.get("array.chunk-size"))
            # Of a view it is not known how much it holds: no more than a dense one.
            across = self.shape[0 if self.meta.format == "csc" else 1]
            lines = max(1, int(limit // max(1, self.nbytes_of_line or across * self.dtype.itemsize)))
            return (self.shape[0], lines) if self.meta.format == "csc" else (lines, self.shape[1])
        return "auto"  # dask asks `self.chunks`

    def __getitem__(self, key: Any) -> Any:
        own = self._own
        if own is not None and own.mode is not None:
            self._check(own)
            return take(own, self.path, key, _values.to_user)
        try:
            return self._take(key)
        except StoreChangedError:
            release(self.address)  # it was written to since this process has opened it
            return self._take(key)

    def _take(self, key: Any) -> Any:
        core = _open(self.address, self.options, self.is_mudata)
        if self.rows != (None, None):
            if self._view is None or self._view[0] is not core:
                self._view = core, core.select(*self.rows)
            core = self._view[1]
        shape = tuple(core.info(self.path).shape)
        if shape != self.shape:
            raise ValueError(f"{self.path} had the shape {self.shape} when to_dask was called, and has {shape} now")
        return take(core, self.path, key, _values.to_user)

    def _check(self, core: Any) -> None:
        if core.mark(self.path) in ("▲", "▼"):
            raise ValueError(f"{self.path} is set but not in the file yet, where workers read it: write() first")

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_own": None, "_view": None}


_opened: dict[tuple, Any] = {}
_opening = threading.Lock()


def _open(address: str, options: dict[str, Any], is_mudata: bool) -> Any:
    """This process' handle on a file that it was told of."""
    key = (address, is_mudata, tuple(sorted(options.items())))
    with _opening:
        if key not in _opened:
            kind = _core.MuShadow if is_mudata else _core.Shadow
            _opened[key] = kind.open(address, "r", **options)
        return _opened[key]


def release(path: str | os.PathLike) -> None:
    """Closes what tasks in this process have opened of a file; they open it again when they need it.

    A file that is open for reading cannot be opened for writing in the same process. Addresses may lie inside a file,
    so that one above and one below the path may both mean it.
    """
    path = os.path.join(os.path.abspath(path), "")
    with _opening:
        for key in list(_opened):
            address = os.path.join(key[0], "")
            if address.startswith(path) or path.startswith(address):
                _opened.pop(key).close()


def _in_child() -> None:
    # What the parent has opened is its own: left alone, and not closed here, which would let go of its locks.
    global _opened, _opening
    _of_the_parent.append(_opened)
    _opened, _opening = {}, threading.Lock()


_of_the_parent: list[dict] = []
os.register_at_fork(after_in_child=_in_child)
