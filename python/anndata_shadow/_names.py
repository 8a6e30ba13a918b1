"""Row names that are read when they are asked for.

A column as a Series has the row names as its index, and of a column of a million rows these are what takes longest to
read; yet ``shadow.obs["x"] == "1"``, ``.value_counts()``, ``shadow[mask]`` do without them. So the index of a column
that is read from a file is a `RowNames` first: pandas may compare it with itself, count it and hand it on, and it is
read, and an ordinary `pandas.Index` from then on, with the first use of anything else.
"""

from __future__ import annotations

import weakref

import pandas as pd

from ._errors import ShadowError
from ._locks import new_lock


class Names:
    """The row names of a frame, read at most once, whoever holds an index of them.

    Parameters
    ----------
    read : callable
        Gives them, as a `pandas.Index`.
    length : int
        How many there are.
    dtype
        That of the index.
    name : str or None
        That of the index.
    """

    def __init__(self, read, length, dtype, name):
        self._read = read
        self._index = None
        self._lock = new_lock()
        # Who holds them and has not read them yet: weak references.
        self._unread = []
        self.length, self.dtype, self.name = length, dtype, name

    def index(self):
        """An index of them, which reads them when they are needed."""
        return RowNames._of(self)

    def read(self):
        """The index itself."""
        with self._lock:
            if self._index is None:
                self._index = self._read()
                self._read = None
            return self._index

    @property
    def is_read(self):
        """Whether they were read."""
        return self._index is not None

    def keep(self):
        """Reads them if somebody holds an index that was not read yet: soon they may be others, or out of reach.

        If they cannot be read any more, whoever asks for them is told why.
        """
        try:
            for held in self._held():
                held._become_index()
        except (ShadowError, OSError) as error:
            self._read = _failing(error)

    def _note(self, index):
        with self._lock:
            self._unread = [weakref.ref(held) for held in (*self._held(), index)]

    def _held(self):
        found = [held() for held in self._unread]
        return [held for held in found if type(held) is RowNames]


def _failing(error):
    def read():
        raise error

    return read


def ordinary(index):
    """An index that was read."""
    if type(index) is RowNames:
        index._become_index()
    return index


class _LikeIndex(type(pd.Index)):
    """`pandas.testing` compares classes before it looks at values."""

    def __eq__(cls, other):
        return cls is other or other is pd.Index

    __hash__ = type.__hash__


class RowNames(pd.Index, metaclass=_LikeIndex):
    """An index that was not read yet. It becomes an ordinary one as soon as it is.

    Its class equals that of an index, since `pandas.testing` compares classes before it looks at values.
    """

    def __new__(cls, *args, **kwargs):
        return pd.Index(*args, **kwargs)

    @classmethod
    def _of(cls, names):
        self = object.__new__(cls)
        self._names = names
        self._name = names.name
        self._cache = {}
        self._reset_identity()
        names._note(self)
        return self

    def _become_index(self):
        names = self._names
        read = names.read()
        with names._lock:
            if type(self) is RowNames:
                self.__dict__ |= {"_data": read._data, "_references": read._references}
                if read._references is not None:
                    read._references.add_index_reference(self)
                self.__class__ = pd.Index

    # All that pandas does with an index goes through its data.

    @property
    def _data(self):
        self._become_index()
        return self._data

    @property
    def _references(self):
        self._become_index()
        return self._references

    # What is known without them.

    def __len__(self):
        return self._names.length

    @property
    def shape(self):
        return (len(self),)

    @property
    def size(self):
        return len(self)

    @property
    def dtype(self):
        return self._names.dtype

    def _view(self):
        # As `pandas.Index._view`: equal by `is_`, with what was cached.
        view = RowNames._of(self._names)
        view._name, view._id, view._cache = self._name, self._id, self._cache
        if self._names.is_read:
            view._become_index()
        return view

    def view(self, cls=None):
        return self._view() if cls is None else super().view(cls)

    def _can_hold_identifiers_and_holds_name(self, name):
        # Python and numpy ask any object for names of this kind.
        return not name.startswith("__") and super()._can_hold_identifiers_and_holds_name(name)

    # What is made of it is an ordinary index.

    @property
    def _constructor(self):
        return pd.Index

    @classmethod
    def _simple_new(cls, values, name=None, refs=None):
        return pd.Index._simple_new(values, name=name, refs=refs)

    def __reduce__(self):
        self._become_index()
        return self.__reduce__()
