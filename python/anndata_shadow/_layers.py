"""layers, in which anndata 0.13 and later have X, too, by the name of None."""

from __future__ import annotations

from ._slots import Slot
from ._values import anndata_version


class Layers(Slot):
    """The elements of layers, by name; with anndata 0.13 and later, ``layers[None]`` is X, and listed, as there."""

    __slots__ = ()

    @staticmethod
    def _is_x(key):
        return key is None and anndata_version() >= (0, 13)

    def _has_x(self):
        return anndata_version() >= (0, 13) and self._shadow._has_X()

    def __getitem__(self, key):
        if not self._is_x(key):
            return super().__getitem__(key)
        if not self._has_x():
            raise KeyError(key)
        return self._shadow.X

    def __setitem__(self, key, value):
        if self._is_x(key):
            self._shadow.X = value
        else:
            super().__setitem__(key, value)

    def __delitem__(self, key):
        if self._is_x(key):
            del self._shadow.X
        else:
            super().__delitem__(key)

    def __contains__(self, key):
        return self._has_x() if self._is_x(key) else super().__contains__(key)

    def __iter__(self):
        yield from super().__iter__()
        if self._has_x():
            yield None

    def __len__(self):
        return super().__len__() + self._has_x()

    def __bool__(self):
        return bool(self._names())
