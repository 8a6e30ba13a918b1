"""obs and var as data frames that read a column when it is asked for.

A `ShadowFrame` is a `pandas.DataFrame`: whatever pandas does to it works. As long as only its names, single columns,
or lists of columns are asked for, nothing else is read; the first use of anything else reads the rest, and from then
on it is an ordinary frame. Its `FrameLoan` reads, and knows what of it the core has already.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
from pandas.core.generic import NDFrame

from . import _foreign
from ._columns import text_index
from ._names import ordinary

_COLUMNS = pd.DataFrame.__dict__["columns"]
_INDEX = pd.DataFrame.__dict__["index"]


class ShadowFrame(pd.DataFrame):
    """A DataFrame over a frame in a file, of which columns are read when they are asked for.

    ``frame["x"]``, ``frame[["x", "y"]]``, ``"x" in frame``, ``frame.columns``, ``frame.index``, ``len(frame)``,
    ``frame["x"] = …`` and ``del frame["x"]`` work by column. Anything else reads the rest of the columns first. What
    is set, also in place (``frame.loc[mask, "x"] = …``, ``frame.drop(columns="x", inplace=True)``), is set in the
    shadow, and in the file with the next `write`.

    A column that was taken out is what it is in pandas. With copy-on-write (always, from pandas 3 on) it is a thing of
    its own: ``x = frame["x"]; x[mask] = 0`` changes `x`, and not the frame. Without, it changes both. To change the
    frame in either, use ``frame.loc[mask, "x"] = 0``.
    """

    _internal_names = [*pd.DataFrame._internal_names, "_loan", "_whole"]
    _internal_names_set = set(_internal_names)

    def __init__(self, loan):
        object.__setattr__(self, "_loan", loan)
        NDFrame.__init__(self, None)

    @property
    def _constructor(self):
        return pd.DataFrame

    # All that pandas does goes through its manager of blocks: who asks for it needs all columns.

    @property
    def _mgr(self):
        manager = self._whole
        return self._loan.read_rest() if manager is None else manager

    @_mgr.setter
    def _mgr(self, manager):
        object.__setattr__(self, "_whole", manager)

    def _fill(self, manager):
        """Makes these all of its columns; with None it reads again."""
        object.__setattr__(self, "_whole", manager)
        object.__setattr__(self, "_item_cache", {})

    @property
    def _is_lazy(self):
        return self._whole is None

    # What is known without it.

    @property
    def columns(self):
        return self._loan.columns if self._is_lazy else _COLUMNS.__get__(self, type(self))

    @columns.setter
    def columns(self, names):
        self._mgr  # noqa: B018 (reads it)
        _COLUMNS.__set__(self, names)

    @property
    def index(self):
        return ordinary(self._loan.index) if self._is_lazy else _INDEX.__get__(self, type(self))

    @index.setter
    def index(self, names):
        with self._loan.lock:
            # Names alone leave the index its own name, lest all of the frame must be written for it.
            index = text_index(names if isinstance(names, pd.Index) else pd.Index(names, name=self.index.name))
            if not (self._is_lazy and self._loan.set_names(index)):
                self._mgr  # noqa: B018 (reads it)
                _INDEX.__set__(self, index)
                with contextlib.suppress(TypeError, ValueError):
                    # What else cannot be stored is said when it is to be written.
                    self._loan.settle()

    @property
    def ndim(self):
        return 2

    @property
    def shape(self):
        return len(self), len(self.columns)

    def __len__(self):
        return self._loan.n_rows if self._is_lazy else super().__len__()

    def __getitem__(self, key):
        if self._is_lazy:
            if isinstance(key, str) and self._loan.has(key):
                return self._loan.column(key).copy(deep=False)
            if isinstance(key, (list, pd.Index)) and len(key) and all(isinstance(k, str) for k in key):
                return self._some(list(key)) if all(k in self.columns for k in key) else super().__getitem__(key)
        return super().__getitem__(key)

    def _some(self, names):
        columns = {name: self._loan.column(name).array for name in names}
        return pd.DataFrame(columns, index=self.index)[names]

    def __setitem__(self, key, value):
        # At once in the core and here, whoever settles meanwhile.
        with self._loan.lock:
            if isinstance(key, str):
                series = self._loan.set_column(key, value)
                if self._is_lazy:
                    return
                value = series
            super().__setitem__(key, value)

    def __delitem__(self, key):
        with self._loan.lock:
            if isinstance(key, str) and key in self.columns:
                self._loan.remove_column(key)
                if self._is_lazy:
                    return
            super().__delitem__(key)

    def __reduce__(self):
        return (pd.DataFrame, (pd.DataFrame(self),))


def user_frame(value, names, index_name):
    """The data frame that a table of any library is, with texts as its index.

    Tables of polars and pyarrow have no index: it is their column of the name `index_name`, or else it stays `names`.
    """
    if isinstance(value, ShadowFrame):
        value = value.copy()
    if not isinstance(value, pd.DataFrame):
        frame = _foreign.simpler(value)
        if not isinstance(frame, pd.DataFrame):
            kind = type(value).__name__
            raise TypeError(f"a table is a DataFrame of pandas or polars or a Table of pyarrow, not {kind}")
        if index_name in frame.columns:
            index = pd.Index(frame.pop(index_name), name=None if index_name == "_index" else index_name)
        else:
            index = names
        if len(frame) not in (0, len(index)) or (len(frame) == 0 and len(frame.columns)):
            raise ValueError(f"the table has {len(frame)} rows, not {len(index)}")
        frame.index = index
        value = frame
    index = text_index(value.index)
    if index is not value.index:
        value = value.copy(deep=False)
        value.index = index
    return value


def unordered_categories(value):
    """Columns whose library does not tell in which order their categories stand: polars' categoricals."""
    if type(value).__module__.partition(".")[0] != "polars":
        return []
    return [name for name, dtype in value.schema.items() if str(dtype.base_type()) == "Categorical"]


def sorted_categories(series):
    """The categorical that anndata makes of a column of texts, in natural order; None if all differ."""
    from natsort import natsorted

    found = pd.Categorical(series)
    if len(found.categories) >= len(found):
        return None
    ordered = natsorted(found.categories)
    return found if np.array_equal(found.categories, ordered) else found.reorder_categories(ordered)
