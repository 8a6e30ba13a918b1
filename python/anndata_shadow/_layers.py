"""layers, in which anndata 0.13 and later have X, too, by the name of None."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ._slots import Slot
from ._values import anndata_version, to_raw


class Layers(Slot):
    """The elements of layers, by name; with anndata 0.13 and later, ``layers[None]`` is X, and listed, as there."""

    __slots__ = ()

    @staticmethod
    def _is_x(key: object) -> bool:
        return key is None and anndata_version() >= (0, 13)

    def _has_x(self) -> bool:
        return anndata_version() >= (0, 13) and self._shadow._has_X()

    def __getitem__(self, key: Any) -> Any:
        if not self._is_x(key):
            return super().__getitem__(key)
        if not self._has_x():
            raise KeyError(key)
        return self._shadow.X

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._is_x(key):
            self._shadow.X = value
        else:
            super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        if self._is_x(key):
            del self._shadow.X
        else:
            super().__delitem__(key)

    def __contains__(self, key: object) -> bool:
        return self._has_x() if self._is_x(key) else super().__contains__(key)

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        if self._has_x():
            yield None

    def __len__(self) -> int:
        return super().__len__() + self._has_x()

    def _replace(self, mapping: Mapping[Any, Any]) -> None:
        is_own = isinstance(mapping, Slot) and mapping._shadow is self._shadow
        if is_own or not (isinstance(mapping, Mapping) and self._is_x(None) and None in mapping):
            return super()._replace(mapping)
        x = mapping[None]
        to_raw(x)  # raises before anything is set
        if np.shape(x) == self._shadow.shape:
            super()._replace({name: value for name, value in mapping.items() if name is not None})
        self[None] = x

    def __bool__(self) -> bool:
        return bool(self._names())
