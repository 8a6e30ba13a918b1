"""The compiled part of `anndata_shadow`: shadows over the Rust library, and values as they cross the border.

A *raw* value is what an element is in Python before it becomes an object of pandas or scipy, and on the way back:

- an array of numbers, ``bool``, complex numbers or ``datetime64[s|ms|us|ns]``: a `numpy.ndarray`, writable, in C order;
- an array of strings or byte strings: one of dtype ``object`` that holds ``str`` or ``bytes``;
- a scalar: a numpy scalar, ``str`` or ``bytes``; on the way in also ``bool``, ``int``, ``float``, ``complex``;
- the null element: ``None``; named elements: a ``dict``;
- all others are tuples that begin with their kind:
  ``("sparse", "csr" | "csc", (rows, columns), data, indices, indptr)``,
  ``("categorical", codes, categories, ordered)`` with negative codes for what is missing,
  ``("nullable", values, mask, "NA" | "NaN")`` with a mask that is true where a value is missing,
  ``("table", index_name | None, index, [(name, column), ...])``,
  ``("records", structured_array)``,
  ``("awkward", form, length, {name: buffer})``.

A *selection* on an axis is a slice, an integer (the axis stays, with length 1), a sequence or array of integers, a boolean mask,
a name, or a sequence of names.

All calls let other Python threads run while they work. Ctrl-C ends waiting for a read at once; what takes long is cancelled.
"""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._errors import (
    BackendError as BackendError,
)
from ._errors import (
    BadNameError as BadNameError,
)
from ._errors import (
    BusyError as BusyError,
)
from ._errors import (
    CancelledError as CancelledError,
)
from ._errors import (
    ClosedError as ClosedError,
)
from ._errors import (
    DamagedError as DamagedError,
)
from ._errors import (
    ExistsError as ExistsError,
)
from ._errors import (
    NotAnnDataError as NotAnnDataError,
)
from ._errors import (
    NotFoundError as NotFoundError,
)
from ._errors import (
    NotSupportedError as NotSupportedError,
)
from ._errors import (
    ReadOnlyError as ReadOnlyError,
)
from ._errors import (
    SelectionError as SelectionError,
)
from ._errors import (
    ShadowError as ShadowError,
)
from ._errors import (
    ShapeError as ShapeError,
)
from ._errors import (
    StoreChangedError as StoreChangedError,
)
from ._errors import (
    UnknownNameError as UnknownNameError,
)
from ._errors import (
    ViewError as ViewError,
)
from ._errors import (
    WrongTypeError as WrongTypeError,
)

Raw = Any
Selection = slice | int | str | Sequence[int] | Sequence[bool] | Sequence[str] | NDArray[Any] | None
Progress = Callable[[int, int], bool | None]
"""Told what is done and what is to be done in all; ends the work with ``False``. What it raises comes out of the call."""

__version__: str

class Object:
    """What `Shadow` and `MuShadow` share; of a `MuShadow`, it concerns the global part."""

    @property
    def path(self) -> str:
        """As it was opened; of a modality, that of its MuData."""
    @property
    def format(self) -> Literal["hdf5", "zarr", "zarr-zip"]: ...
    @property
    def mode(self) -> Literal["r", "r+"] | None:
        """``None`` when closed."""
    @property
    def n_obs(self) -> int: ...
    @property
    def n_vars(self) -> int: ...
    @property
    def original_shape(self) -> tuple[int, int]:
        """Of a view: the shape of what it was cut from."""
    @property
    def is_view(self) -> bool: ...
    def rows(self) -> tuple[slice | NDArray[np.int64] | None, slice | NDArray[np.int64] | None]:
        """Which observations and variables of the whole object a view takes; ``None`` for all of an axis."""
    def generation(self) -> int:
        """Grows whenever what was read before may have become stale: by changes, and by what others did before a reopening."""

    # What there is, without reading data.
    def keys(self, slot: str) -> list[str]:
        """Names in a slot, what is pending included. Of ``obs``, ``var``, ``raw/var``: the columns, without the index."""
    def index_name(self, frame: str) -> str:
        """Name of the index as it is stored; ``_index`` if it has none."""
    def names(self, frame: str) -> NDArray[np.object_]:
        """The row names of ``obs``, ``var`` or ``raw/var``."""
    def has_raw(self) -> bool: ...
    def exists(self, path: str) -> bool: ...
    def info(self, path: str) -> Info | None: ...
    def mark(self, path: str) -> Literal["", "ᐁ", "▲", "▼", "×"]:
        """As `str` shows it: in memory because it was read, new, in place of another, to be removed."""
    def removed(self, slot: str) -> list[str]:
        """Names of what the file has in a slot and loses with the next write."""
    def elements(self) -> list[tuple[str, Info, str]]:
        """Every element with its path, what is known of it, and its mark."""

    # Reading. Of a view: the part that it takes.
    def read(self, path: str) -> Raw:
        """An element; a whole frame as a table; all of a slot as a dict."""
    def read_part(self, path: str, selection: tuple[Selection, ...]) -> Raw:
        """The part of an element at these positions: one selection for each leading axis. Nothing else is read."""
    def columns(self, frame: str, names: list[str]) -> list[Raw]:
        """These columns only (or the index, by its name), read side by side."""
    def arrow(self, frame: str, columns: list[str] | None = None) -> Any:
        """A capsule ``arrow_array_stream``: the index as text, unless it is one of the columns, then these columns."""

    # What is pending.
    def set(self, path: str, value: Raw) -> None:
        """Sets an element, in memory. ``raw`` takes a dict of ``X``, ``var`` and, perhaps, ``varm``."""
    def replace(self, slot: str, elements: dict[str, Raw]) -> None:
        """Makes these all that is in a slot; if one of them does not fit, nothing changes."""
    def set_table(self, frame: str, table: Raw) -> None:
        """Sets ``obs`` or ``var`` as a whole."""
    def set_names(self, frame: str, names: Sequence[str]) -> None:
        """Gives the rows of ``obs`` or ``var`` other names."""
    def remove(self, path: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...
    def changes(self) -> list[Change]:
        """What `write` would do."""
    def discard(self, path: str | None = None) -> None:
        """Takes back what is pending: all of it, or at a path and below."""
    def write(self, clear_cache: bool = False, safety: Literal["journal", "copy"] = "journal") -> Receipt: ...

    # The open file and the memory.
    def reopen(self, mode: str) -> None: ...
    def close(self) -> None: ...
    def clear_cache(self) -> None: ...
    def set_cache_budget(self, n: int) -> None: ...
    def cache_bytes(self) -> int: ...
    def io_stats(self) -> dict[str, int]:
        """``documents``, ``chunks``, ``bytes_read``, ``bytes_written``, ``bytes_freed`` since it was opened."""

    # What is larger than memory.
    def row_blocks(self, path: str, *, rows: int | None = None, nbytes: int | None = None) -> Iterator[tuple[int, int, Raw]]:
        """Blocks of consecutive rows, as ``(start, stop, part)``; the next is read while one is used."""
    def minibatches(
        self,
        path: str,
        size: int,
        seed: int,
        shuffle: Literal["rows", "none"] | bool | int | None = None,
        drop_last: bool = False,
        part: tuple[int, int] | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], Raw]]:
        """Each row once, in an order that depends on the seed alone, as ``(positions, rows)``.

        Shuffled are all rows (None, ``"rows"``, True), none (``"none"``, False), or blocks of so many rows. `part` is
        ``(i, n)``: of what is read at once, only every n-th from the i-th on; n such parts are all of it.
        """
    def stats(
        self, path: str, axis: Literal["var", "obs"] | None = None, ddof: int = 1, progress: Progress | None = None
    ) -> Any:
        """Statistics of a matrix in one pass.

        Of each column for ``"var"``, of each row for ``"obs"``: a dict of ``count`` (values in each line), and arrays ``sum``,
        ``mean``, ``variance``, ``min``, ``max``, ``nonzero``. Without an axis: the pair of those by ``obs`` and by ``var``.
        """
    def stats_by(
        self, path: str, by: str, ddof: int = 1, progress: Progress | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        """As ``stats(path, "var")``, within the groups that a column of obs makes."""

class Shadow(Object):
    """An AnnData that stays in its file, or a view of one."""

    @staticmethod
    def open(
        path: str | PathLike[str],
        mode: str = "r",
        *,
        cache_budget: int | None = None,
        locking: bool = True,
        gene_index: bool = True,
    ) -> Shadow: ...
    def select(self, obs: Selection, var: Selection) -> Shadow:
        """The view of these observations and variables; ``None`` for all."""
    def add_gene_index(self, memory: int | None = None, progress: Progress | None = None) -> Receipt:
        """Writes X once more by its genes, at once; holds `memory` bytes of it at a time."""

class MuShadow(Object):
    """A MuData that stays in its file, or a view of one."""

    @staticmethod
    def open(
        path: str | PathLike[str],
        mode: str = "r",
        *,
        cache_budget: int | None = None,
        locking: bool = True,
        gene_index: bool = True,
    ) -> MuShadow: ...
    @property
    def glob(self) -> Shadow:
        """The global part by itself."""
    @property
    def axis(self) -> Literal[0, 1, -1]:
        """Which axis the modalities share; -1: both."""
    @property
    def modalities(self) -> list[str]: ...
    def modality(self, name: str) -> Shadow: ...
    def obs_rows(self, modality: str) -> NDArray[np.int64]:
        """For each global observation its row in a modality, -1 where it is not in it."""
    def var_rows(self, modality: str) -> NDArray[np.int64]: ...
    def select(self, obs: Selection, var: Selection) -> MuShadow: ...
    def insert_modality(self, name: str, data: dict[str, Raw]) -> None:
        """Adds an AnnData, given as a dict of its slots."""
    def remove_modality(self, name: str) -> None: ...
    def rename_modality(self, name: str, new: str) -> None: ...

class Stream:
    """What `row_blocks` and `minibatches` give; in a forked child it is no more."""

    def __iter__(self) -> Stream: ...
    def __next__(self) -> Any: ...

class Info:
    """What is known of an element without reading its data."""

    @property
    def kind(self) -> Literal[
        "array", "scalar", "sparse", "categorical", "nullable", "table", "records", "awkward", "mapping", "anndata", "null", "opaque"
    ]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str | None:
        """Numpy's name; ``string`` and ``bytes`` for texts; of opaque elements, why they cannot be read."""
    @property
    def encoding(self) -> tuple[str, str] | None: ...
    @property
    def stored(self) -> int | None:
        """How many values a sparse matrix stores; unknown of views."""
    @property
    def chunks(self) -> tuple[int, ...] | None: ...
    @property
    def children(self) -> list[str]: ...

class Change:
    """One pending change; `str` tells it in a line."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> Literal["added", "replaced", "removed", "renamed"]: ...
    @property
    def old_path(self) -> str | None:
        """Of what is renamed: its path so far."""
    @property
    def what(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def bytes(self) -> int: ...

class Receipt:
    """What a write has done; `str` tells it."""

    @property
    def elements(self) -> list[Change]: ...
    @property
    def bytes_written(self) -> int: ...
    @property
    def bytes_freed(self) -> int: ...
    @property
    def seconds(self) -> float: ...

class Report:
    """What `verify` has found; `str` tells it."""

    @property
    def findings(self) -> list[tuple[Literal["damage", "stale", "note"], str, str]]:
        """How serious, at which path, what."""
    @property
    def is_sound(self) -> bool:
        """Whether nothing was found but notes."""
    @property
    def complete(self) -> bool: ...

def verify(path: str | PathLike[str], deep: bool = False, progress: Progress | None = None) -> Report:
    """Looks for what is wrong with a file, and changes nothing; `deep` reads all data."""

def digest(array: NDArray[Any]) -> int:
    """A hash of the bytes of an array of plain items, by which a change in place is noticed. Not for safekeeping."""
