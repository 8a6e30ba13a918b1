"""Dask arrays over elements of a file: the blocks are read by the workers, each from the file itself.

What travels to a worker is a `_Source`: where the file is, which rows and columns the view takes, which element, and
of which state of the file. In the process of the shadow it reads through the shadow; anywhere else through the file
that the process has opened for all of its tasks (`_opened`). All blocks of an array are of one state: what is set or
written over meanwhile is an error.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from . import _core, _values
from ._errors import StoreChangedError
from ._file import container
from ._opened import reading, release
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
        self._check_written(core)
        if info.kind not in ("array", "sparse"):
            raise TypeError(f"{self.path} is a {info.kind}: dask has arrays of one dtype, and scipy's sparse matrices")
        self.address = shadow._address
        self.options = dict(shadow._options)
        self.is_mudata = isinstance(core, _core.MuShadow)
        self.rows = core.rows() if core.is_view else (None, None)
        self.shape = handle.shape
        self.ndim = len(self.shape)
        no_rows = handle._no_rows()
        self.dtype = no_rows.dtype
        self.is_sparse = scipy.sparse.issparse(no_rows)
        # Dask asks for them when it is to cut. Those of a sparse matrix are of the one axis that its values lie on.
        self.chunks = None if self.is_sparse else handle.chunks
        nothing = (0,) * self.ndim
        self.meta = type(no_rows)(nothing, dtype=self.dtype) if self.is_sparse else np.empty(nothing, self.dtype)
        self.nbytes_of_line = self._nbytes_of_line(info, no_rows)
        self.state = self._state_now()
        self._shadow = shadow
        self._view = None

    # ---- blocks

    def _nbytes_of_line(self, info: Any, no_rows: Any) -> float:
        """Bytes of a row of a sparse matrix (of a column, if CSC) in memory, on average."""
        if not self.is_sparse or info.stored is None:
            return 0.0
        lines = self.shape[1 if no_rows.format == "csc" else 0]
        return info.stored * (self.dtype.itemsize + no_rows.indices.dtype.itemsize) / max(lines, 1)

    def cut(self, chunks: Any) -> Any:
        """`chunks` as dask takes them for this element."""
        if self.is_sparse and isinstance(chunks, str):
            return self._lines(chunks)
        if isinstance(chunks, str) and chunks == "auto" and self.dtype == object:
            stored = self.chunks[0] if self.chunks else 1
            return (max(1, ROWS_OF_TEXT // stored) * stored, *self.shape[1:])
        if isinstance(chunks, int | np.integer):
            if chunks < 1 and chunks != -1:
                raise ValueError(f"there are no blocks of {chunks} rows")
            return -1 if chunks == -1 else (int(chunks), *self.shape[1:])
        lengths = tuple(chunks.values()) if isinstance(chunks, dict) else chunks
        if isinstance(lengths, tuple | list) and 0 in lengths and 0 not in self.shape:
            raise ValueError(f"there are no blocks of these lengths: {chunks}")
        return chunks

    def _lines(self, nbytes: str) -> tuple[int, int]:
        """Blocks of a sparse matrix, of rows (of columns, if CSC) that take so many bytes in memory."""
        import dask
        from dask.utils import parse_bytes

        limit = parse_bytes(dask.config.get("array.chunk-size") if nbytes == "auto" else nbytes)
        # Of a view it is not known how much it holds: no more than a dense one.
        across = self.shape[0 if self.meta.format == "csc" else 1]
        lines = max(1, int(limit // max(1, self.nbytes_of_line or across * self.dtype.itemsize)))
        return (self.shape[0], lines) if self.meta.format == "csc" else (lines, self.shape[1])

    # ---- reading

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._take(key)
        finally:
            # Whatever came of it, this is what is to be said then.
            if self._state_now() != self.state:
                raise StoreChangedError(
                    f"{self.path} in {self.address} may have been written over since to_dask was called: call it again"
                )

    def _take(self, key: Any) -> Any:
        shadow = self._shadow
        if shadow is not None:
            shadow._settle(self.path)
            self._check_written(shadow._core)
            if shadow._core.mode is not None:
                return take(shadow._core, self.path, key, _values.to_user)
        try:
            return self._read(key)
        except StoreChangedError:
            if self._state_now() != self.state:
                raise
            return self._read(key)  # this process had opened it before it was written to, and has let go of that

    def _read(self, key: Any) -> Any:
        with reading(self.address, self.options, self.is_mudata) as core:
            if any(rows is not None for rows in self.rows):
                view = self._view
                if view is None or view[0] is not core:
                    view = self._view = core, core.select(*self.rows)
                core = view[1]
            return take(core, self.path, key, _values.to_user)

    def _check_written(self, core: Any) -> None:
        if core.mark(self.path) in ("▲", "▼"):
            raise ValueError(f"{self.path} is set but not in the file yet, where workers read it: write() first")

    # ---- the state of the file

    def _state_now(self) -> tuple:
        """Sizes and times that differ once the element is written over: of the file, in Zarr of its documents.

        Whoever sets the values of a stored Zarr array one by one renews none; handles look at the chunks, too.
        """
        file = container(self.address)
        if os.path.isfile(file):
            return _sizes_and_times([file])
        folder = Path(self.address, self.path)
        while not folder.exists():  # a part of what is stored as one: layouts of old
            folder = folder.parent
        folders = [folder, *(folder / part for part in ("data", "indices", "indptr"))] if self.is_sparse else [folder]
        return _sizes_and_times(place / name for place in folders for name in ("", *DOCUMENTS))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_shadow": None, "_view": None}


DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


def _sizes_and_times(paths: Any) -> tuple:
    found = []
    for path in paths:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        found.append((os.fspath(path), status.st_size, status.st_mtime_ns))
    return tuple(found)
