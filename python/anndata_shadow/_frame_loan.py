"""What a shadow knows of a frame that it has handed out: which columns were read, and what of it the core has already.

Columns come by `core.columns`, and go back one by one: those that were changed in place are found by their
fingerprints.
"""

from __future__ import annotations

import pandas as pd

from . import _foreign
from ._columns import column_to_raw, frame_to_raw, text_index
from ._frame import ShadowFrame
from ._lent import SameIndex, fingerprint
from ._values import to_user


class FrameLoan:
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
        self._lent = lent
        self._drop_unused = drop_unused
        self._before_read = before_read or (lambda path: None)
        self.obj = ShadowFrame(self)
        self._start()

    def take(self, frame):
        """Makes the frame what was set as a whole: another object over the same columns, as in AnnData."""
        self._start()
        self.obj._fill(frame.copy(deep=False)._mgr)
        self._note(frame)

    def _start(self):
        self._columns = None
        self._index = None
        # Columns read so far, while not all are.
        self._held = {}
        # Fingerprints of the columns that were handed out, as the core has them.
        self._seen = {}
        self._seen_index = None

    def reset(self):
        """Lets go of all that was read: the frame goes on, and reads again."""
        self.obj._fill(None)
        self._start()
        return True

    @property
    def is_lazy(self):
        """Whether some columns may not have been read yet."""
        return self.obj._is_lazy

    def holds(self, name):
        """Whether a column is in memory."""
        return name in self._held if self.is_lazy else name in self.obj.columns

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
        if self._columns is None:
            self._before_read(self.path)
            names = self._core.keys(self.path)
            # As anndata has them: texts, also where there are none.
            self._columns = pd.Index(names) if names else pd.RangeIndex(0).astype(str)
        return self._columns

    @property
    def index(self):
        """Names of the rows."""
        if self._index is None:
            self._before_read(self.path)
            name = self._core.index_name(self.path)
            self._set_index(self._named(self._core.names(self.path), name))
        return self._index

    def _named(self, names, name):
        info = self._core.info(f"{self.path}/{name}")
        if info is not None and info.kind == "nullable":
            # Which of pandas' two dtypes of texts it is, the file says.
            names = to_user(self._core.read(f"{self.path}/{name}"))
        elif not len(names):
            # No rows tell no dtype: in a view it is that of the whole.
            names = pd.Index(["of the whole"])[:0] if self._core.is_view else pd.Index([], dtype=object)
        return pd.Index(names, name=None if name == "_index" else name)

    def _set_index(self, index):
        self._index = index
        self._seen_index = (SameIndex(index), index.name)

    def column(self, name):
        """A column, read if it was not yet."""
        if name not in self._held:
            self._read([name])
        return self._held[name]

    def _read(self, names):
        self._before_read(self.path)
        for name, raw in zip(names, self._core.columns(self.path, names), strict=True):
            value = to_user(raw)
            if self._drop_unused and isinstance(value, pd.Categorical):
                value = value.remove_unused_categories()
            self.hold(name, pd.Series(value, index=self.index, name=name, copy=False))

    def hold(self, name, series):
        """Takes a column as it is, without a word to the core."""
        if self.is_lazy:
            self._held[name] = series
            if name not in self.columns:
                self._columns = self.columns.append(pd.Index([name]))
        else:
            pd.DataFrame.__setitem__(self.obj, name, series)
        self._notice(name, series)

    def _notice(self, name, series):
        if self._tracked:
            self._seen[name] = fingerprint(series.array)

    def read_rest(self):
        """Reads what was not read yet: the frame is an ordinary one from now on."""
        columns, index = self.columns, self.index
        rest = [name for name in columns if name not in self._held]
        if rest:
            self._read(rest)
        whole = pd.DataFrame({name: self._held[name].array for name in columns}, index=index, columns=columns)
        self.obj._fill(whole._mgr)
        self._held = {}

    # ---- changes

    def set_column(self, name, value):
        """Sets a column in the core, and gives it as pandas would have it: aligned to the index, and as long."""
        simple = _foreign.simpler(value) if not isinstance(value, (str, bytes, pd.Series, pd.DataFrame)) else value
        with_it = pd.DataFrame(index=self.obj.index)
        with_it[name] = value if simple is _foreign.UNKNOWN or isinstance(simple, _foreign.Raw) else simple
        series = with_it[name]
        self._core.set(f"{self.path}/{name}", self._raw(name, series))
        if self.is_lazy:
            self.hold(name, series)
        else:
            self._notice(name, series)
        return series

    def remove_column(self, name):
        """Removes a column from the core, and from what is held."""
        self._core.remove(f"{self.path}/{name}")
        self._seen.pop(name, None)
        if self.is_lazy:
            self._held.pop(name, None)
            self._columns = self.columns.drop(name)

    def set_names(self, index):
        """Gives the rows other names; false if that takes the whole frame, since the index gets another name, too."""
        if index.name != self.obj.index.name:
            return False
        if len(index) != self.n_rows:
            raise ValueError(f"Length mismatch: {self.path} has {self.n_rows} rows, the new names are {len(index)}")
        index = text_index(index)
        self._core.set_names(self.path, list(index))
        self._set_index(index)
        for series in self._held.values():
            series.index = index
        self._follow(index)
        return True

    def _follow(self, index):
        slot = {"obs": "obsm", "var": "varm"}.get(self.path)
        if slot:
            self._lent.set_rows(slot, index)

    def settle(self, core=None, path=None):
        """Sets what was changed in place: columns, their names and order, and the index."""
        if not self._tracked:
            return
        if self.is_lazy:
            for name, series in self._held.items():
                self._settle_column(name, series, fingerprint(series.array))
            if self._index is not None and self._index.name != self._seen_index[1]:
                self._settle_whole(self.obj)
            return
        frame = self.obj
        if not frame.columns.is_unique:
            frame_to_raw(frame)  # raises
        now = {name: fingerprint(series.array) for name, series in frame.items()}
        index = (SameIndex(frame.index), frame.index.name)
        if index[1] != self._seen_index[1]:
            return self._settle_whole(frame)
        if index != self._seen_index:
            names = text_index(frame.index)
            self._core.set_names(self.path, list(names))
            self._follow(names)
            self._seen_index = index
        self._settle_names(now)
        for name, series in frame.items():
            self._settle_column(name, series, now[name])
        if self._core.keys(self.path) != list(frame.columns):
            self._settle_whole(frame)

    def _settle_names(self, now):
        """Renames and removes columns: another name over the same values, at the same place, is a new name."""
        names = self._new_names(now)
        kept = [names.get(name, name) for name in self._core.keys(self.path) if name in now or name in names]
        if kept + [name for name in now if name not in kept] != list(now):
            names = {}
        for old in [name for name in self._seen if name not in now]:
            seen = self._seen.pop(old)
            if old in names:
                self._core.rename(f"{self.path}/{old}", f"{self.path}/{names[old]}")
                self._seen[names[old]] = seen
            else:
                self._core.remove(f"{self.path}/{old}")

    def _new_names(self, now):
        """For columns that are gone, a new one of the same values."""
        new, found = [name for name in now if name not in self._seen and isinstance(name, str)], {}
        for old in self._seen:
            same = next((name for name in new if now[name] == self._seen[old]), None) if old not in now else None
            if same is not None:
                found[old] = same
                new.remove(same)
        return found

    def _settle_column(self, name, series, now):
        if name not in self._seen or self._seen[name] != now:
            if not isinstance(name, str):
                raise TypeError(f"names of columns are text, not {type(name).__name__}: {name!r} in {self.path}")
            self._core.set(f"{self.path}/{name}", self._raw(name, series))
            self._seen[name] = now

    def _raw(self, name, series):
        try:
            return column_to_raw(series.array)
        except TypeError as error:
            raise TypeError(f"{self.path}[{name!r}]: {error}") from None

    def _settle_whole(self, frame):
        self._core.set_table(self.path, frame_to_raw(frame))
        self._follow(text_index(frame.index))
        self._note(frame)

    def _note(self, frame):
        self._seen = {name: fingerprint(series.array) for name, series in frame.items()}
        self._seen_index = (SameIndex(frame.index), frame.index.name)
