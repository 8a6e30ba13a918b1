"""How the core is told what was changed in a frame in place: columns, their names and order, the names of its rows.

Columns go one by one: those that were changed are found by their fingerprints.
"""

from __future__ import annotations

from ._columns import column_to_raw, frame_to_raw, text_index
from ._fingerprint import SameIndex, fingerprint
from ._lent import each


class Settled:
    """The part of a `FrameLoan` that compares the frame with what the core has, and sets what differs."""

    def settle(self):
        """Sets what was changed in place: columns, their names and order, and the index."""
        if self._tracked:
            with self.lock:
                self._settle_table()
                self._settle_held() if self.is_lazy else self._settle_frame(self.obj)

    def _settle_table(self):
        loan = self._table[1] if self._table is not None else None
        if loan is not None and not loan.is_settled():
            self.replace(loan.obj)
            loan.seen = fingerprint(loan.obj)
            self._table = (self._core.generation(), loan)

    def _settle_held(self):
        each(self._settle_column, [(name, held, fingerprint(held.array)) for name, held in self._held.items()])
        if self._index is not None and self._index.name != self._seen_index[1]:
            self._settle_whole(self.obj)

    def _settle_frame(self, frame):
        if not frame.columns.is_unique:
            frame_to_raw(frame)  # raises
        now = {name: fingerprint(series.array) for name, series in frame.items()}
        if index_of(frame.index)[0] != self._seen_index[0]:
            self._settle_names(frame)
        self._settle_columns(now)
        each(self._settle_column, [(name, series, now[name]) for name, series in frame.items()])
        if frame.index.name != self._seen_index[1] or self._core.keys(self.path) != list(frame.columns):
            self._settle_whole(frame)

    def _settle_names(self, frame):
        self.keep_names()
        names = text_index(frame.index)
        self._core.set_names(self.path, list(names))
        if names is not frame.index:
            frame.index = names
        self._seen_index = (SameIndex(frame.index), self._seen_index[1])
        self._follow(names)

    def _settle_columns(self, now):
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
        self.keep_names()
        self._core.set_table(self.path, frame_to_raw(frame))
        self._follow(text_index(frame.index))
        self._note(frame)

    def _note(self, frame):
        self._seen = {name: fingerprint(series.array) for name, series in frame.items()}
        self._seen_index = index_of(frame.index)


def index_of(index):
    """What tells whether an index, or its name, was changed."""
    return (SameIndex(index), index.name)
