"""What a shadow has handed out, and how it notices that it was changed in place.

`shadow.obsm["X_pca"]` gives the same writable object every time, as AnnData does, and `shadow.obsm["X_pca"][0] = 0`
changes the shadow. The core has its own copy of what is pending, and knows nothing of it: so a fingerprint is taken
of all that is handed out, and `settle` sets what has another one by then. It runs before everything that looks at
what is pending. What cannot be stored is an error, but no reason to leave the rest; it is kept until it can be.
"""

from __future__ import annotations

import pandas as pd

from ._errors import BadNameError, ShadowError
from ._fingerprint import fingerprint
from ._frame import user_frame
from ._locks import new_lock
from ._values import name_of, to_raw

NOTHING = object()
"""Stands for: not lent. `None` is a value."""


class Loan:
    """An object that was handed out, and its fingerprint as the core last had it (None where that does not matter)."""

    __slots__ = ("obj", "seen")

    def __init__(self, obj, tracked):
        self.obj = obj
        self.seen = fingerprint(obj) if tracked else None

    def settle(self, core, path):
        """Sets what was changed in place."""
        if self.seen is not None:
            self.seen = _settle(core, path, self.obj, self.seen, fingerprint(self.obj))

    def is_settled(self):
        """Whether the core has it as it is here."""
        return self.seen is None or fingerprint(self.obj) == self.seen

    def let_go(self, core, path):
        """Whether it can be forgotten, since it is in the file, too."""
        return self.is_settled() and core.mark(path) in {"", "ᐁ"}

    def take_back(self, path, discarded):
        """What is at, above or below `path` was taken back: true if it is to be forgotten for that."""
        return True

    def move(self, core):
        """Goes on with another core."""

    def keep_names(self):
        """Reads names of rows that somebody holds unread: of a frame."""


class Lent:
    """All that a shadow, or a view, has handed out, by path.

    Parameters
    ----------
    core
        The core's shadow.
    tracked
        Whether changes in place are the shadow's. In what a view hands out they are not: they stay where they were
        made, and go with the next change of the shadow that the view was cut from.
    """

    def __init__(self, core, tracked):
        #: Held by whoever reads, sets or settles what was handed out. (A view's is taken before that of its shadow.)
        self.lock = new_lock()
        self._core = core
        self._tracked = tracked
        self._loans = {}
        self._generation = core.generation()

    def get(self, path):
        """What was handed out at `path`, or `NOTHING`."""
        with self.lock:
            if not self._tracked and self._generation != (now := self._core.generation()):
                self._loans, self._generation = {}, now
            loan = self._loans.get(path)
            return NOTHING if loan is None else loan.obj

    def lend(self, path, obj):
        """Notes that `obj` is handed out at `path`. Of two threads that read the same, one is first."""
        return self.add(path, Loan(obj, self._tracked)).obj

    def take(self, path, obj):
        """Notes that `obj` was set at `path`: it is what will be handed out."""
        with self.lock:
            self.forget(path)
            self._loans[path] = Loan(obj, self._tracked)

    def add(self, path, loan):
        """Notes a loan."""
        with self.lock:
            return self._loans.setdefault(path, loan)

    def __contains__(self, path):
        return self.get(path) is not NOTHING

    def settle(self, path=None):
        """Sets what was changed in place: of all, or of what is at, above or below `path`."""
        if self._tracked:
            with self.lock:
                some = [(at, loan) for at, loan in self._loans.items() if path is None or on_one_way(at, path)]
                each(lambda at, loan: loan.settle(self._core, at), some)

    def forget(self, path=None):
        """Forgets all, or what is at, above or below `path`."""
        with self.lock:
            for at, loan in list(self._loans.items()):
                if (path is None or on_one_way(at, path)) and loan.take_back(at, path):
                    del self._loans[at]

    def forget_clean(self):
        """Forgets what is in the file as it is here. (What is pending is the user's object until it is written.)"""
        with self.lock:
            for at, loan in list(self._loans.items()):
                if loan.let_go(self._core, at):
                    del self._loans[at]

    def rename(self, old, new):
        """Keeps a loan under the new path of its element."""
        with self.lock:
            loan = self._loans.pop(old, None)
            if loan is not None:
                self._loans[new] = loan

    def move(self, core):
        """Goes on with another core, that of the same elements at another place."""
        with self.lock:
            self._core = core
            for loan in self._loans.values():
                loan.move(core)

    def keep_names(self):
        """Reads names of rows that somebody holds unread: soon they may be others, or out of reach."""
        with self.lock:
            for loan in self._loans.values():
                loan.keep_names()

    def set_rows(self, slot, index):
        """Gives the frames of a slot this index, as the core has."""
        with self.lock:
            for at, loan in self._loans.items():
                if at.startswith(f"{slot}/") and isinstance(loan.obj, pd.DataFrame):
                    # If other things were changed in it, these are to be settled yet.
                    clean = loan.is_settled()
                    loan.obj.index = index
                    if clean:
                        loan.seen = fingerprint(loan.obj)


def on_one_way(one, other):
    """Whether one path is, leads to, or lies below the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def each(do, items):
    """Does it with each of the items, also after an error, and raises the first at the end."""
    first = None
    for item in items:
        try:
            do(*item)
        except Exception as error:
            first = first or error
    if first is not None:
        raise first


def _settle(core, path, obj, seen, now):
    """Sets what has another fingerprint than the core has seen, and gives what it has seen then."""
    if now == seen:
        return seen
    if not (isinstance(now, dict) and isinstance(seen, dict)):
        put(core, path, obj)
        return now
    # Of a dict only the entries that differ.
    for key in seen.keys() - now.keys():
        if core.exists(f"{path}/{key}") or key in core.keys(path):
            core.remove(f"{path}/{key}")
        del seen[key]

    def settle_entry(key, item):
        at = _entry(path, key)
        if key in seen:
            seen[key] = _settle(core, at, item, seen[key], now[key])
        else:
            put(core, at, item)
            seen[key] = now[key]

    each(settle_entry, list(obj.items()))
    return seen


def _entry(path, key):
    try:
        name = name_of(key)
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from None
    if "/" in name:
        raise BadNameError(f"{path}: `{name}` cannot name an element: `/` separates groups")
    return f"{path}/{name}"


def put(core, path, obj):
    """Sets an element."""
    core.set(path, _raw(core, path, obj))


def replace(core, slot, elements):
    """Makes these all that is in a slot, or changes nothing."""
    core.replace(slot, {name: _raw(core, f"{slot}/{name}", obj) for name, obj in elements.items()})


def _raw(core, path, obj):
    """The raw value of what is set at `path`.

    Raises
    ------
    TypeError
        If it cannot be stored; the message names the path.
    """
    try:
        return to_raw(_with_names(core, path, obj))
    except ShadowError:
        raise
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from None


def _with_names(core, path, obj):
    """Tables of other libraries have row names in a column, if at all; in obsm and varm they are those of obs and var."""
    frame = {"obsm": "obs", "varm": "var"}.get(path.partition("/")[0])
    if frame is None or type(obj).__module__.partition(".")[0] not in {"polars", "pyarrow"} or not hasattr(obj, "schema"):
        return obj
    return user_frame(obj, core.names(frame), core.index_name(frame))
