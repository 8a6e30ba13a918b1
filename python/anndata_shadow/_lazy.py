"""Handles on what stays in the file: nothing is read until they are sliced, and then just that.

`LazyArray` is an element that has rows (X, a layer, an embedding, a column), `LazyFrame` is obs or var. A lazy shadow
(``lazy=True``) hands them out in place of arrays and frames; ``shadow.handle(path)`` gives them in any mode. They count
positions within the shadow they come from: those of a view, within the view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import _backends, _stream, _values
from ._errors import NotFoundError, SelectionError

if TYPE_CHECKING:
    from ._stream import Block, Minibatches

__all__ = ["LazyArray", "LazyFrame", "handle"]

FRAMES = ("obs", "var", "raw/var")


def handle(shadow: Any, path: str) -> LazyArray | LazyFrame:
    """A handle on the element at a path of a shadow.

    Raises
    ------
    KeyError
        If there is no such element.
    TypeError
        If it has no rows, such as scalars and dicts.
    """
    if path in FRAMES:
        return LazyFrame(shadow, path)
    array = LazyArray(shadow, path)
    if not array.shape:
        raise TypeError(f"{path} is a {array._info.kind}, without rows to take: read it as it is")
    return array


class LazyArray:
    """An element with rows that stays in its file until it is sliced.

    ``handle[rows]`` and ``handle[rows, columns]`` read just that. A selection is a slice, a position, a list of positions (also
    negative, repeated, in any order), a mask, or names where the axis has names. As in numpy, a position takes its axis
    away; sparse matrices keep both, as scipy has it. Lists on two axes pick a block, and are written so: ``handle[np.ix_(rows, columns)]``.

    Nothing is kept: what is sliced twice is read twice.

    See Also
    --------
    LazyArray.read : all of it.
    LazyArray.row_blocks, LazyArray.minibatches, LazyArray.stats : what is larger than memory.
    LazyArray.to_dask : what is larger than one machine.

    Examples
    --------
    >>> shadow = AnnDataShadow("pbmc.zarr", lazy=True)  # doctest: +SKIP
    >>> shadow.X
    <LazyArray X: 700 × 765, csr float32>
    >>> shadow.X[:100]  # these rows are read, no others
    >>> shadow.obs["louvain"][-5:]
    """

    __slots__ = ("_path", "_shadow")

    def __init__(self, shadow: Any, path: str) -> None:
        self._shadow = shadow
        self._path = path

    # ---- what it is

    @property
    def _info(self) -> Any:
        info = self._core.info(self._path)
        if info is None:
            raise NotFoundError(f"there is no {self._path}")
        return info

    @property
    def _core(self) -> Any:
        """The core, which knows by now what has been changed in place."""
        self._shadow._settle(self._path)
        return self._shadow._core

    @property
    def path(self) -> str:
        """Where it is in the object: ``"X"``, ``"obsm/X_pca"``, ``"obs/louvain"``."""
        return self._path

    @property
    def shape(self) -> tuple[int, ...]:
        """Its lengths; of a view, those of the view."""
        return tuple(self._info.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries; of a sparse matrix, zeros included."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def dtype(self) -> Any:
        """The dtype of what slices give: numpy's, or that of a pandas array. None where values have no common one (awkward
        arrays, tables).
        """
        return getattr(self._no_rows(), "dtype", None)

    @property
    def format(self) -> str:
        """``"csr"`` or ``"csc"`` for sparse matrices, else the kind of element: ``"array"``, ``"categorical"``, …"""
        info = self._info
        if info.kind == "sparse":
            return "csc" if info.encoding and info.encoding[0].startswith("csc") else self._no_rows().format
        return info.kind

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Lengths of a chunk as it is stored; None if it has none, or consists of several arrays."""
        chunks = self._info.chunks
        return None if chunks is None else tuple(chunks)

    def _no_rows(self) -> Any:
        """The element without its rows, which says all about its type and reads next to nothing."""
        return _values.to_user(self._core.read_part(self._path, (slice(0, 0),)))

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        info = self._info
        kind = self.format if info.kind == "sparse" else "" if info.kind == "array" else info.kind
        lengths = " × ".join(map(str, info.shape))
        return f"<LazyArray {self._path}: {lengths}, {' '.join(filter(None, [kind, info.dtype]))}>"

    # ---- reading

    def __getitem__(self, key: Any) -> Any:
        core = self._core
        return take(core, self._path, key, self._shadow._backends.element)

    def read(self) -> Any:
        """All of it, as the backends of the shadow have it."""
        return self._shadow._backends.element(self._core.read(self._path))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._info.kind == "sparse":
            raise TypeError(f"{self._path} is sparse, and is not made dense unasked: use .read().toarray()")
        if copy is False:
            raise ValueError(f"{self._path} is in a file: there is no array of it without a copy")
        return np.asarray(_values.to_user(self._core.read(self._path)), dtype=dtype)

    def __iter__(self) -> Iterator[Any]:
        for block in self.row_blocks():
            for i in range(block.stop - block.start):
                yield block.values[i]

    # ---- what is larger than memory

    def row_blocks(self, rows: int | None = None, *, nbytes: int | None = None) -> Iterator[Block]:
        """The element block by block of rows, in order; of a view, its rows.

        The next block is read and decoded while you work on this one; there are never more than these two in memory.
        Of a CSC matrix each block reads all indices: ask for few large ones.

        Parameters
        ----------
        rows
            Rows of a block.
        nbytes
            About the bytes of a block, instead: 16 MiB if neither is given.

        Yields
        ------
        Block
            ``start``, ``stop``, and ``values``: the rows between them.

        Examples
        --------
        >>> for start, stop, x in shadow.handle("X").row_blocks(rows=1000):  # doctest: +SKIP
        ...     counts[start:stop] = x.sum(axis=1)
        """
        return _stream.row_blocks(self, rows, nbytes)

    def minibatches(
        self, size: int, *, seed: int = 0, shuffle: str | int = "rows", drop_last: bool = False
    ) -> Minibatches:
        """The rows in random order, `size` at a time, each exactly once: see `Minibatches`.

        Parameters
        ----------
        size
            Rows of a batch. The last one may have fewer.
        seed
            Decides the order, which is the same on every machine.
        shuffle
            ``"rows"``: every order is equally likely. ``"none"``: as they are stored. A number n: blocks of n rows in random
            order, 16 at a time with their rows shuffled, which reads nearly as fast as in order, but neighbours in the
            file often share a batch.
        drop_last
            Leave out the last batch if it has fewer rows.

        Examples
        --------
        >>> batches = shadow.handle("X").minibatches(256, seed=42)  # doctest: +SKIP
        >>> for epoch in range(10):
        ...     batches.set_epoch(epoch)
        ...     for rows, x in batches:
        ...         train(x, labels[rows])

        >>> DataLoader(batches, batch_size=None, num_workers=2)  # torch's  # doctest: +SKIP
        """
        return _stream.Minibatches(self, size, seed=seed, shuffle=shuffle, drop_last=drop_last)

    def stats(
        self,
        axis: str | None = "var",
        *,
        by: str | None = None,
        ddof: int = 1,
        progress: Callable[[int, int], bool | None] | None = None,
    ) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
        """Count, sum, mean, variance, least, greatest, and how many are not zero, in one pass that holds two blocks in memory.

        Parameters
        ----------
        axis
            ``"var"``: of each column (gene). ``"obs"``: of each row (cell). None: of both, in the same pass.
        by
            A column of obs: statistics of each column within each group of cells. Cells where it is missing are in no group.
        ddof
            1 for the variance of a sample (as scanpy has it), 0 for that of a population (as numpy has it).
        progress
            Called with what is done and what is to be done; False ends the work.

        Returns
        -------
        DataFrame
            With a row for each gene or cell, or for each group and gene; two frames (obs, var) for ``axis=None``.
        """
        return _stream.stats(self, axis, by, ddof, progress)

    def to_dask(self, chunks: Any = "auto") -> Any:
        """A dask array whose blocks are read from the file by the workers themselves.

        What goes to them is where the element is; each process opens the file once. Sparse matrices become scipy blocks, of
        rows, or of columns for CSC.

        Parameters
        ----------
        chunks
            As dask takes them. ``"auto"`` makes blocks of about dask's ``array.chunk-size`` that end where chunks (or shards)
            of the file end; a number is that many rows.

        Raises
        ------
        ValueError
            If the element is set but not written yet: the workers would not see it.
        TypeError
            If it is no array or matrix.
        ImportError
            If dask is not installed.
        """
        from . import _dask

        return _dask.to_dask(self, chunks)

    # ---- copies

    def __reduce__(self) -> tuple:
        return (LazyArray, (self._shadow, self._path))


class LazyFrame:
    """obs or var that stays in its file: columns are handles, and rows are read when they are sliced.

    ``frame["louvain"]`` is a `LazyArray`, ``frame[["louvain", "n_genes"]]`` a frame of these columns, ``frame[:100]`` reads those
    rows of all its columns, `read` all of it. ``frame["x"] = values`` and ``del frame["x"]`` change the shadow, as they do on a
    DataFrame.

    Examples
    --------
    >>> shadow = AnnDataShadow("pbmc.zarr", lazy=True)  # doctest: +SKIP
    >>> shadow.obs
    <LazyFrame obs: 700 rows; bulk_labels, n_genes, percent_mito, n_counts, S_score, G2M_score, phase, louvain>
    >>> shadow.obs["louvain"][:3]
    """

    __slots__ = ("_chosen", "_path", "_shadow")

    def __init__(self, shadow: Any, path: str, columns: list[str] | None = None) -> None:
        self._shadow = shadow
        self._path = path
        self._chosen = columns

    @property
    def _core(self) -> Any:
        self._shadow._settle(self._path)
        return self._shadow._core

    @property
    def path(self) -> str:
        """Which frame: ``"obs"``, ``"var"``, ``"raw/var"``."""
        return self._path

    @property
    def columns(self) -> pd.Index:
        """Names of the columns."""
        return pd.Index(self._core.keys(self._path) if self._chosen is None else self._chosen, dtype=object)

    @property
    def index(self) -> pd.Index:
        """Names of the rows."""
        holder, _, frame = self._path.rpartition("/")
        return getattr(self._shadow.raw if holder else self._shadow, f"{frame}_names")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), len(self.columns)

    def keys(self) -> pd.Index:
        """Names of the columns."""
        return self.columns

    def __len__(self) -> int:
        if self._path == "raw/var":
            return len(self.index)
        return self._shadow.n_obs if self._path == "obs" else self._shadow.n_vars

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __repr__(self) -> str:
        return f"<LazyFrame {self._path}: {len(self)} rows; {', '.join(map(str, self.columns))}>"

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self._rows(key)
        if isinstance(key, str):
            self._check([key])
            return LazyArray(self._shadow, f"{self._path}/{key}")
        if isinstance(key, list | pd.Index) and all(isinstance(name, str) for name in key):
            self._check(key)
            return LazyFrame(self._shadow, self._path, list(key))
        raise TypeError(f"a column's name, a list of names, or a slice of rows, not {key!r}")

    def _check(self, names: Any) -> None:
        there = set(self.columns)
        for name in names:
            if name not in there:
                raise NotFoundError(f"there is no column {name!r} in {self._path}")

    def _rows(self, rows: slice) -> Any:
        core, names = self._core, list(self.columns)
        values = [core.read_part(f"{self._path}/{name}", (rows,)) for name in names]
        index = np.asarray(self.index, dtype=object)[rows]
        table = ("table", _backends.index_name(core, self._path), index, list(zip(names, values, strict=True)))
        return self._shadow._backends.element(table)

    def head(self, n: int = 5) -> Any:
        """The first rows."""
        return self[:n]

    def read(self) -> Any:
        """All rows of its columns, by the table backend."""
        return self._shadow._backends.table(self._core, self._path, self._chosen)

    def __setitem__(self, name: str, values: Any) -> None:
        self._shadow._eager_frame(self._path)[name] = values
        if self._chosen is not None and name not in self._chosen:
            self._chosen.append(name)

    def __delitem__(self, name: str) -> None:
        self._check([name])
        del self._shadow._eager_frame(self._path)[name]
        if self._chosen is not None:
            self._chosen.remove(name)

    def __reduce__(self) -> tuple:
        return (LazyFrame, (self._shadow, self._path, self._chosen))


# ---- slicing


def take(core: Any, path: str, key: Any, convert: Callable[[Any], Any]) -> Any:
    """``element[key]`` of the element at `path`, read as narrowly as can be, and made of its raw value by `convert`."""
    shape = tuple(core.info(path).shape)
    selections, dropped = _selections(key, len(shape), path)
    raw = core.read_part(path, selections)
    kind = raw[0] if isinstance(raw, tuple) else "array"
    if kind == "sparse":
        return _values.to_user(raw)[0, 0] if len(dropped) == 2 else convert(raw)
    value = convert(raw)
    if not dropped or kind == "table":
        return value
    return value[0] if len(shape) == 1 else value[tuple(0 if i in dropped else slice(None) for i in range(len(shape)))]


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
    if lists > 1 and mesh < lists:
        raise SelectionError(f"lists on two axes pick single entries in numpy: take the block by {path}[np.ix_(rows, columns)]")
    return tuple(selections), dropped
