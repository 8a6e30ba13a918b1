"""`LazyArray`: an element that is read when it is sliced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import _stream, _values
from ._errors import NotFoundError
from ._take import take

if TYPE_CHECKING:
    from ._stream import Block, Minibatches


def not_compared(self: Any, other: object) -> bool:
    """``==`` and ``!=`` of handles: arrays are compared item by item, and two objects by what they are."""
    raise TypeError(f"{self.path} is not read yet, and is compared with nothing: slice or .read() it first")


class LazyArray:
    """An element with rows that stays in its file until it is sliced.

    ``handle[rows]`` and ``handle[rows, columns]`` read just that. A selection is a slice, a position, a list of
    positions (also negative, repeated, in any order), a mask, or names where the axis has names. As in numpy, a
    position takes its axis away; sparse matrices keep both, as scipy has it. Lists on two axes pick a block, and are
    written so: ``handle[np.ix_(rows, columns)]``.

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
        """The dtype of what slices give: numpy's, or that of a pandas array.

        None where values have no common one (awkward arrays, tables).
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
            ``"rows"`` or True: every order is equally likely. ``"none"`` or False: as they are stored. A number n:
            blocks of n rows in random order, 16 at a time with their rows shuffled, which reads nearly as fast as in
            order, but neighbours in the file often share a batch.
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
        """Count, sum, mean, variance, least, greatest, and how many are not zero, in one pass over the file.

        Two blocks of it are in memory at a time.

        Parameters
        ----------
        axis
            ``"var"``: of each column (gene). ``"obs"``: of each row (cell). None: of both, in the same pass.
        by
            A column of obs: statistics of each column within each group of cells. Cells where it is missing are in no
            group.
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

        What goes to them is where the element is; each process opens the file once. Sparse matrices become scipy
        blocks, of rows, or of columns for CSC.

        Parameters
        ----------
        chunks
            As dask takes them; a number is that many rows. ``"auto"`` makes blocks of about dask's
            ``array.chunk-size`` that end where chunks of the file end (of a sharded array, its inner chunks), and of a
            sparse matrix as many whole rows (CSC: columns) as are about so large in memory. So does a size:
            ``"64 MiB"``.

        Raises
        ------
        ValueError
            If the element is set but not written yet: the workers would not see it. Blocks that are computed in the
            shadow's own process raise it, too.
        StoreChangedError
            From `compute`, if the file has been written to since: call `to_dask` again. (In a Zarr store, if the
            element has been.)
        TypeError
            If it is no array or matrix.
        ImportError
            If dask is not installed.
        """
        from . import _dask

        return _dask.to_dask(self, chunks)

    # ---- copies, and comparing

    def __reduce__(self) -> tuple:
        return (LazyArray, (self._shadow, self._path))

    __eq__ = __ne__ = not_compared
    __hash__ = object.__hash__
