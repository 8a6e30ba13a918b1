"""What a shadow knows of a frame that it has handed out: which columns were read, and what of it the core has already.

Columns come by `core.columns`, are set one by one, and go back as `_frame_settle` says. What was read is let go of when
it is in the file, too.
"""

from __future__ import annotations

import weakref

import numpy as np
import pandas as pd

from . import _foreign
from ._columns import frame_to_raw
from ._fingerprint import fingerprint
from ._frame import ShadowFrame, unordered_categories, user_frame
from ._frame_settle import Settled, index_of
from ._lent import Loan
from ._names import Names, ordinary
from ._values import to_column, to_user


class LentFrame:
    """The loan of a frame as `Lent` has it. What there is to know of the frame, the frame itself owns.

    So a frame goes on reading without the shadow that it came from, and a shadow that nobody has any more goes at once,
    and closes its file.
    """

    __slots__ = ("obj",)

    def __init__(self, frame):
        self.obj = frame

    def settle(self, core, path):
        """Sets what was changed in place."""
        self.obj._loan.settle()

    def let_go(self, core, path):
        """The frame goes on, and reads again what the core has."""
        self.obj._loan.let_go()
        return False

    def take_back(self, path, discarded):
        """As `let_go`, after what is at, above or below the frame was taken back."""
        inside = discarded is not None and discarded.startswith(f"{path}/")
        self.obj._loan.take_back(discarded.removeprefix(f"{path}/") if inside else None)
        return False

    def move(self, core):
        """Goes on with another core."""
        self.obj._loan.move(core)

    def keep_names(self):
        """Reads names of rows that somebody holds unread."""
        self.obj._loan.keep_names()


class FrameLoan(Settled):
    """What there is to know of a `ShadowFrame` that was handed out.

    Parameters
    ----------
    core, path
        Whose frame.
    tracked
        Whether changes in place are the shadow's: not in what a view hands out.
    lent
        What else the shadow has handed out: frames in obsm follow the names of obs.
    drop_unused
        Whether categories that no row has are left out, as anndata does in its views.
    before_read
        Called with a path before it is read.
    """

    def __init__(self, core, path, *, tracked, lent, drop_unused=False, before_read=None):
        self._core = core
        self.path = path
        self._tracked = tracked
        self.lock = lent.lock
        self._lent = weakref.ref(lent)
        self._drop_unused = drop_unused
        self._before_read = before_read or (lambda path: None)
        self._frame = None
        self._start()

    @classmethod
    def frame(cls, *args, **options):
        """A frame that owns its loan."""
        loan = cls(*args, **options)
        frame = ShadowFrame(loan)
        loan._frame = weakref.ref(frame)
        return frame

    @property
    def obj(self):
        """The frame. (Whoever calls has it.)"""
        return self._frame()

    def _start(self):
        self._columns = None
        # Names of the rows, and what reads them when they are needed.
        self._index = None
        self._names = None
        # Columns read so far, while not all are.
        self._held = {}
        # Fingerprints of the columns that were handed out, as the core has them.
        self._seen = {}
        self._seen_index = None
        # What another library's table was made of it: of which generation, and its loan.
        self._table = None

    @property
    def is_lazy(self):
        """Whether some columns may not have been read yet."""
        return self.obj._is_lazy

    def holds(self, name):
        """Whether a column is in memory."""
        return name in self._held if self.is_lazy else name in self.obj.columns

    def move(self, core):
        """Goes on with another core, that of the same frame at another place."""
        with self.lock:
            self._core = core

    # ---- while it is lazy

    @property
    def n_rows(self):
        """Number of rows."""
        if self._index is not None or self.path == "raw/var":
            return len(self.index)
        return self._core.n_obs if self.path == "obs" else self._core.n_vars

    @property
    def columns(self):
        """Names of the columns."""
        with self.lock:
            if self._columns is None:
                self._before_read(self.path)
                names = self._core.keys(self.path)
                names += [name for name in self._held if name not in names]
                # As anndata has them: texts, also where there are none.
                self._columns = pd.Index(names) if names else pd.RangeIndex(0).astype(str)
            return self._columns

    def has(self, name):
        """Whether there is a column of this name. (Making an index of all of them would take longer than reading one.)"""
        with self.lock:
            if self._columns is not None:
                return name in self._columns
            self._before_read(self.path)
            return name in self._held or name in self._core.keys(self.path)

    @property
    def index(self):
        """Names of the rows."""
        with self.lock:
            if self._index is None:
                self._before_read(self.path)
                self._set_index(self._find_index())
            return self._index

    def _find_index(self):
        core, path, name = self._core, self.path, self._core.index_name(self.path)
        if not self._tracked or path == "raw/var" or self.n_rows == 0:
            return _read_names(core, path, name)
        # It holds the core, and not the loan: a frame that nobody has goes at once.
        self._names = Names(
            lambda: _read_names(core, path, name), self.n_rows, _dtype_of_names(core, path, name), _label(name)
        )
        return self._names.index()

    def keep_names(self):
        """Reads the names of rows if somebody holds them unread: soon they may be others, or out of reach."""
        with self.lock:
            if self._names is not None:
                self._names.keep()

    def __del__(self):
        # Of a column that is still somewhere, lest it keeps the file open.
        if self._names is not None:
            self._held, self._index = {}, None
            self._names.keep()

    def _set_index(self, index):
        self._index = index
        self._seen_index = index_of(index)

    def column(self, name):
        """A column, read if it was not yet."""
        with self.lock:
            if not self.is_lazy:
                return pd.DataFrame.__getitem__(self.obj, name)
            if name not in self._held:
                self._read([name])
            return self._held[name]

    def _read(self, names):
        self._before_read(self.path)
        for name, raw in zip(names, self._core.columns(self.path, names), strict=True):
            value = to_column(raw)
            if self._drop_unused and isinstance(value, pd.Categorical):
                value = value.remove_unused_categories()
            self.hold(name, pd.Series(value, index=self.index, name=name, copy=False))

    def hold(self, name, series):
        """Takes a column as it is, without a word to the core."""
        with self.lock:
            if self.is_lazy:
                self._held[name] = series
                if self._columns is not None and name not in self._columns:
                    self._columns = self._columns.append(pd.Index([name]))
            else:
                pd.DataFrame.__setitem__(self.obj, name, series)
            self._notice(name, series)

    def _notice(self, name, series):
        if self._tracked:
            self._seen[name] = fingerprint(series.array)

    def read_rest(self):
        """Reads what was not read yet, and gives what pandas manages: the frame is an ordinary one from now on."""
        with self.lock:
            if self.is_lazy:
                columns, index = self.columns, ordinary(self.index)
                out = [name for name in columns if name in self._held]
                rest = columns[~columns.isin(out)]
                self._read(list(rest))
                whole = pd.DataFrame({name: self._held[name].array for name in rest}, index=index, columns=rest)
                for name in out:
                    # As it is: where pandas does not copy on write, what is changed in it is changed in the frame.
                    series = self._held[name]
                    whole._mgr.insert(columns.get_loc(name), name, series._values, series._references)
                whole.columns = columns
                self.obj._fill(whole._mgr)
                self._held = {}
            return self.obj._whole

    # ---- changes

    def set_column(self, name, value):
        """Sets a column in the core, and gives it as pandas would have it: aligned to the index, and as long."""
        simple = _foreign.simpler(value) if not isinstance(value, (str, bytes, pd.Series, pd.DataFrame)) else value
        with_it = pd.DataFrame(index=self.index if self.is_lazy else self.obj.index)
        with_it[name] = value if simple is _foreign.UNKNOWN or isinstance(simple, _foreign.Raw) else simple
        series = with_it[name]
        with self.lock:
            self._core.set(f"{self.path}/{name}", self._raw(name, series))
            if self.is_lazy:
                self.hold(name, series)
            else:
                self._notice(name, series)
        return series

    def remove_column(self, name):
        """Removes a column from the core, and from what is held."""
        with self.lock:
            # What pandas has put in, and what could not be set, is not in the core.
            if not self._tracked or name in self._core.keys(self.path):
                self._core.remove(f"{self.path}/{name}")
            self._seen.pop(name, None)
            if self.is_lazy:
                self._held.pop(name, None)
                self._columns = self.columns.drop(name)

    def set_names(self, index):
        """Gives the rows other names; false if that takes the whole frame, since the index gets another name, too."""
        with self.lock:
            if index.name != self.obj.index.name:
                return False
            if len(index) != self.n_rows:
                raise ValueError(f"Length mismatch: {self.path} has {self.n_rows} rows, the new names are {len(index)}")
            self.keep_names()
            self._core.set_names(self.path, list(index))
            self._set_index(index)
            for series in self._held.values():
                series.index = index
            self._follow(index)
            return True

    def _follow(self, index):
        slot, lent = {"obs": "obsm", "var": "varm"}.get(self.path), self._lent()
        if slot and lent is not None:
            lent.set_rows(slot, index)

    # ---- all of it at once

    def replace(self, value):
        """Makes a table of any library all of the frame."""
        with self.lock:
            frame = user_frame(value, self.obj.index, self._core.index_name(self.path))
            for name in unordered_categories(value):
                self._keep_categories(frame, name)
            self.keep_names()
            self._core.set_table(self.path, frame_to_raw(frame))
            # Another object over the same columns, as in AnnData.
            self._start()
            self.obj._fill(frame.copy(deep=False)._mgr)
            self._note(frame)
            self._follow(frame.index)

    def _keep_categories(self, frame, name):
        """Gives a categorical the categories that the column has, unless it has others: colors go by them."""
        path = f"{self.path}/{name}"
        info = self._core.info(path) if name in self._core.keys(self.path) else None
        if info is not None and info.kind == "categorical":
            now = to_user(self._core.read(path))
            if frame[name].cat.categories.isin(now.categories).all():
                frame[name] = frame[name].cat.set_categories(now.categories, ordered=now.ordered)

    def table(self, make):
        """The frame as another library has it, by `make`: the same table as long as nothing changes."""
        with self.lock:
            self.settle()
            generation = self._core.generation()
            if self._table is None or self._table[0] != generation:
                self._table = (generation, Loan(make(), self._tracked))
            return self._table[1].obj

    # ---- letting go

    def let_go(self):
        """Lets go of what the core has: the frame goes on, and reads it again. What could not be set is kept."""
        with self.lock:
            kept, table = self._unsettled(), self._table
            index = self._index if self.is_lazy else self.obj.index
            told = self._seen_index is None or index is None or index_of(index) == self._seen_index
            if told and (self.is_lazy or self.obj.columns.is_unique):
                self._keep_only(kept)
                if table is not None and not table[1].is_settled():
                    self._table = table

    def take_back(self, name=None):
        """As `let_go`, of all, or after a column was taken back."""
        with self.lock:
            kept = {} if name is None else self._unsettled()
            kept.pop(name, None)
            self._keep_only(kept)

    def _unsettled(self):
        """Columns that the core does not have as they are here."""
        if not self._tracked:
            return {}
        columns = self._held.items() if self.is_lazy else self.obj.items()
        return {
            name: series for name, series in columns
            if name not in self._seen or self._seen[name] != fingerprint(series.array)
        }

    def _keep_only(self, columns):
        seen = {name: self._seen[name] for name in columns if name in self._seen}
        names = self._names
        self.obj._fill(None)
        self._start()
        self._held, self._seen = columns, seen
        if names is not None:
            names.keep()


def _read_names(core, path, name):
    # Which of pandas' two dtypes of texts it is, the file says.
    raw = core.read(f"{path}/{name}") if _is_nullable(core, path, name) else core.names(path)
    return pd.Index(to_column(raw), name=_label(name))


def _dtype_of_names(core, path, name):
    if _is_nullable(core, path, name):
        return pd.Index(to_column(core.read_part(f"{path}/{name}", (slice(0, 0),)))).dtype
    return pd.Index(np.array(["a text"], dtype=object)).dtype


def _is_nullable(core, path, name):
    info = core.info(f"{path}/{name}")
    return info is not None and info.kind == "nullable"


def _label(name):
    return None if name == "_index" else name
