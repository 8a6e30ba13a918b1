"""Elements larger than memory: blocks of rows in order, minibatches in random order, statistics, the gene index.

All of it is the library's; here it gets Python's shape: iterators of named tuples, a data set for torch's DataLoader,
and DataFrames. Nothing here is imported from torch.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from ._core import Receipt
    from ._lazy_array import LazyArray

__all__ = ["Batch", "Block", "Minibatches", "add_gene_index", "row_blocks", "stats"]


class Block(NamedTuple):
    """Consecutive rows of an element."""

    start: int
    stop: int
    values: Any


class Batch(NamedTuple):
    """Some rows of an element: their positions, and the element there."""

    rows: np.ndarray
    values: Any


def row_blocks(handle: LazyArray, rows: int | None, nbytes: int | None) -> Iterator[Block]:
    """See `LazyArray.row_blocks`."""
    if rows is not None and nbytes is not None:
        raise ValueError("blocks are of so many rows or of so many bytes, not both")
    convert = handle._shadow._backends.element
    blocks = handle._core.row_blocks(handle.path, rows=rows, nbytes=nbytes)
    return (Block(start, stop, convert(raw)) for start, stop, raw in blocks)


class Minibatches:
    """The rows of an element in random order, batch by batch; `LazyArray.minibatches` makes it.

    Each pass over it gives every row exactly once, as `Batch`: ``rows`` (positions) and ``values``. Passes are equal
    until `set_epoch` says otherwise. About 32 MiB of batches are read together, on another thread while you work on
    the ones before.

    It is a data set for torch: ``DataLoader(batches, batch_size=None)``. With ``num_workers`` the workers share the
    batches out among themselves, and read only their own. It pickles as the path of the file and the view, so that
    workers may be spawned or forked.

    Attributes
    ----------
    size, seed, shuffle, drop_last, epoch
        What it was made with; see `LazyArray.minibatches`.
    """

    def __init__(
        self, handle: LazyArray, size: int, *, seed: int = 0, shuffle: str | int = "rows", drop_last: bool = False
    ) -> None:
        if isinstance(shuffle, bool | np.bool_):  # as torch has it; else it would pass for a number
            shuffle = "rows" if shuffle else "none"
        if isinstance(shuffle, str):
            if shuffle not in ("rows", "none"):
                raise ValueError(f"shuffle={shuffle!r} is not known: it is 'rows', 'none', or the rows of a block")
        elif operator.index(shuffle) < 1:
            raise ValueError(f"blocks of {shuffle} rows cannot be shuffled")
        if operator.index(size) < 1:
            raise ValueError(f"there are no batches of {size} rows")
        self.handle = handle
        self.size = operator.index(size)
        self.seed = operator.index(seed)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Takes another order: that of the seed ``seed + epoch``."""
        self.epoch = operator.index(epoch)

    def __len__(self) -> int:
        """Number of batches of a pass."""
        full, rest = divmod(len(self.handle), self.size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        convert = self.handle._shadow._backends.element
        seed = (self.seed + self.epoch) % 2**64
        core, path = self.handle._core, self.handle.path
        batches = core.minibatches(path, self.size, seed, self.shuffle, self.drop_last, _part_of_worker())
        return (Batch(rows, convert(raw)) for rows, raw in batches)

    def __repr__(self) -> str:
        return f"<Minibatches of {self.size} rows of {self.handle!r}: {len(self)}>"

    @property  # type: ignore[misc]  # that of `object` can be set, too
    def __class__(self) -> type[Any]:
        # Torch asks of which class a data set is, and torch need not be there.
        data = sys.modules.get("torch.utils.data")
        return Minibatches if data is None else data.IterableDataset

    def __reduce__(self) -> tuple:
        return (_minibatches, (self.handle, self.size, self.seed, self.shuffle, self.drop_last, self.epoch))


def _minibatches(handle: Any, size: int, seed: int, shuffle: str | int, drop_last: bool, epoch: int) -> Minibatches:
    batches = Minibatches(handle, size, seed=seed, shuffle=shuffle, drop_last=drop_last)
    batches.set_epoch(epoch)
    return batches


def _part_of_worker() -> tuple[int, int] | None:
    """Number and count of the workers of torch's DataLoader, if this process is one."""
    data = sys.modules.get("torch.utils.data")
    worker = None if data is None else data.get_worker_info()
    return None if worker is None else (worker.id, worker.num_workers)


def stats(
    handle: LazyArray, axis: str | None, by: str | None, ddof: int, progress: Callable[[int, int], bool | None] | None
) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    """See `LazyArray.stats`."""
    if axis not in ("obs", "var", None):
        raise ValueError(f"axis={axis!r} is not known: it is 'var', 'obs', or None for both")
    core, path = handle._core, handle.path
    if by is not None:
        if axis != "var":
            raise ValueError("groups are of cells, and their statistics are of the genes: axis='var'")
        names = _names(handle, 1)
        groups = core.stats_by(path, by, ddof, progress)
        frames = [_frame(found, names) for _, found in groups]
        if not frames:
            return _frame(dict.fromkeys(_COLUMNS, np.empty(0)), names[:0])
        keys = _groups([text for text, _ in groups], handle._shadow.handle(f"obs/{by}").dtype).rename(by)
        return pd.concat(frames, keys=keys, names=[by, names.name])
    found = core.stats(path, axis, ddof, progress)
    if axis is None:
        return _frame(found[0], _names(handle, 0)), _frame(found[1], _names(handle, 1))
    return _frame(found, _names(handle, 0 if axis == "obs" else 1))


def _groups(texts: list[str], dtype: Any) -> pd.Index:
    """What groups have in common, as the column of obs has it: they come as text."""
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    kind = getattr(dtype, "kind", "O")
    if kind == "b":
        return pd.Index([text == "True" for text in texts])
    if kind in "iuf":
        return pd.Index(np.array(texts, dtype=object).astype(getattr(dtype, "numpy_dtype", dtype)))
    return pd.Index(texts, dtype=object)


_COLUMNS = ("count", "sum", "mean", "variance", "min", "max", "nonzero")
_AXES = {"X": ("obs", "var"), "layers": ("obs", "var"), "obsm": ("obs", None), "varm": ("var", None)}
_AXES |= {"obsp": ("obs", "obs"), "varp": ("var", "var"), "obs": ("obs", None), "var": ("var", None)}


def _names(handle: LazyArray, axis: int) -> pd.Index:
    """Names along an axis of a matrix; positions where there are none."""
    head, _, rest = handle.path.partition("/")
    shadow = handle._shadow
    if head == "raw":
        along = ("obs", "raw/var")[axis] if rest == "X" else ("raw/var", None)[axis]
    else:
        along = _AXES.get(head, (None, None))[axis]
    if along is None:
        return pd.RangeIndex(handle.shape[axis])
    return shadow.raw.var_names if along == "raw/var" else getattr(shadow, f"{along}_names")


def _frame(found: dict[str, Any], names: pd.Index) -> pd.DataFrame:
    return pd.DataFrame({name: found[name] for name in _COLUMNS}, index=names)


def add_gene_index(
    shadow: Any, memory: int | None = None, progress: Callable[[int, int], bool | None] | None = None
) -> Receipt:
    """Writes X once more by its genes, as the layer ``X_csc``, which views of a few genes are read from, then.

    It is written at once, beside what is pending; the shadow must be open for writing.

    Parameters
    ----------
    memory
        Bytes of the index that are put together at a time (1 GiB): X is read once for each such part.
    progress
        Called with what is done and what is to be done; False ends the work, and nothing is written.

    Returns
    -------
    Receipt
        What was written.
    """
    shadow._settle()
    return shadow._core.add_gene_index(memory, progress)
