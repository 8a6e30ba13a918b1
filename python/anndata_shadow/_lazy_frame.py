"""`LazyFrame`: obs or var, whose columns are handles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from . import _backends
from ._errors import NotFoundError
from ._lazy_array import LazyArray, not_compared


class LazyFrame:
    """obs or var that stays in its file: columns are handles, and rows are read when they are sliced.

    ``frame["louvain"]`` is a `LazyArray`, ``frame[["louvain", "n_genes"]]`` a frame of these columns, ``frame[:100]``
    reads those rows of all its columns, `read` all of it. ``frame["x"] = values`` and ``del frame["x"]`` change the
    shadow, as they do on a DataFrame.

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
        names = self._core.keys(self._path)
        if self._chosen is not None:
            names = [name for name in self._chosen if name in names]  # some may have gone since
        return pd.Index(names, dtype=object)

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
        if self._path == "raw/var":  # no view cuts it
            values = [core.read_part(f"{self._path}/{name}", (rows,)) for name in names]
            index = core.names(self._path)[rows]
            table = ("table", _backends.index_name(core, self._path), index, list(zip(names, values, strict=True)))
            return self._shadow._backends.element(table)
        part = core.select(rows, None) if self._path == "obs" else core.select(None, rows)
        return self._shadow._backends.table(part, self._path, names)

    def head(self, n: int = 5) -> Any:
        """The first rows."""
        return self[:n]

    def read(self) -> Any:
        """All rows of its columns, by the table backend."""
        names = None if self._chosen is None else list(self.columns)
        return self._shadow._backends.table(self._core, self._path, names)

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

    __eq__ = __ne__ = not_compared
    __hash__ = object.__hash__
