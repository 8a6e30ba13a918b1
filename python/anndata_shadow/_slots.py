"""Slots: the elements of layers, obsm, varm, obsp, varp, uns (and obsmap, varmap of a MuData) by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from copy import deepcopy
from typing import Any, Self

import numpy as np

from . import _show
from ._errors import BadNameError, NotFoundError


class Slot(MutableMapping[str, Any]):
    """The elements of a slot, by name. Nothing is read before it is asked for; what is set is in memory until `write`.

    ``slot["x"]`` reads an element and gives the same object every time: changed in place, it is changed in the shadow.
    ``slot["x"] = value``, ``del slot["x"]``, ``in``, ``len``, iteration over names, and all that dicts have.

    Examples
    --------
    >>> shadow.obsm  # doctest: +SKIP
    obsm:	X_pcaᐁ, X_umap, X_new▲
    """

    __slots__ = ("_name", "_shadow")

    def __init__(self, shadow: Any, name: str) -> None:
        self._shadow = shadow
        self._name = name

    def _path(self, key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(f"names of elements are text, not {type(key).__name__}: {key!r}")
        return f"{self._name}/{key}"

    def _names(self) -> list[str]:
        return self._shadow._core.keys(self._name)

    def _path_of_one(self, key: Any) -> str:
        """The path of an element that there is."""
        path = self._path(key)
        if "/" in key and key not in self._names():
            raise NotFoundError(f"there is no {key!r} in `{self._name}`: elements of elements are reached one by one")
        return path

    def _path_for_one(self, key: Any) -> str:
        """The path of an element that is to be."""
        path = self._path(key)
        if "/" in key:
            raise BadNameError(f"{key!r} cannot be in `{self._name}`: `/` separates groups, set elements one by one")
        return path

    def __getitem__(self, key: str) -> Any:
        return self._shadow._get(self._path_of_one(key))

    def __setitem__(self, key: str, value: Any) -> None:
        self._shadow._set(self._path_for_one(key), value)

    def __delitem__(self, key: str) -> None:
        self._shadow._remove(self._path_of_one(key))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def clear(self) -> None:
        """Removes all elements, without reading them."""
        for name in self._names():
            del self[name]

    def rename(self, old: str, new: str) -> None:
        """Gives an element another name; not a byte of it is read or written.

        Parameters
        ----------
        old, new : str
            Names in this slot.
        """
        self._shadow._rename(self._path_of_one(old), self._path_for_one(new))

    def copy(self) -> dict[str, Any]:
        """All elements in a dict."""
        return dict(self)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self) | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | dict(self) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        self.update(other)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {name: deepcopy(value, memo) for name, value in self.items()}

    # By identity: comparing two slots would read all of both.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return _show.slot(self._shadow, self._name) or f"{self._name}:"

    def _replace(self, mapping: Mapping[Any, Any]) -> None:
        """Makes `mapping` all that is in the slot."""
        if isinstance(mapping, Slot) and mapping._shadow is self._shadow and mapping._name == self._name:
            # `shadow.uns |= …` ends so.
            return
        if not isinstance(mapping, Mapping):
            raise TypeError(f"`{self._name}` is set to a mapping, not to {type(mapping).__name__}")
        new = dict(mapping.items())
        for name in new:
            self._path_for_one(name)
        self._shadow._replace(self._name, new)


class Uns(Slot):
    """What is not aligned to any axis, nested to any depth, in plain dicts; changes in them are noticed, too.

    A view can be given colors of categories, which plots set where there are none: they stay its own.
    """

    __slots__ = ()

    def _is_color(self, key):
        return self._shadow.is_view and isinstance(key, str) and key.endswith("_colors")

    def _names(self) -> list[str]:
        names, own = super()._names(), self._shadow._own_colors
        return names + [name for name in own if name not in names] if own else names

    def __getitem__(self, key: str) -> Any:
        if not self._is_color(key):
            return super().__getitem__(key)
        if key in self._shadow._own_colors:
            return self._shadow._own_colors[key]
        return self._cut_colors(key.removesuffix("_colors"), super().__getitem__(key))

    def __setitem__(self, key: str, value: Any) -> None:
        if self._is_color(key):
            self._shadow._own_colors[self._path_for_one(key).removeprefix("uns/")] = value
        else:
            super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        if self._is_color(key) and key in self._shadow._own_colors:
            del self._shadow._own_colors[key]
        else:
            super().__delitem__(key)

    def _cut_colors(self, column, colors):
        """In a view, the colors of the categories that are left, as anndata does it.

        Only DataFrames leave out the others: lazy columns and tables of other libraries have all of them.
        """
        if self._shadow.is_lazy or not self._shadow._backends.is_pandas or not self._shadow._drops_unused:
            return colors
        for frame in ("obs", "var"):
            info = self._shadow._core.info(f"{frame}/{column}") if column in self._shadow._core.keys(frame) else None
            if info is not None and info.kind == "categorical":
                _, codes, categories, _ = self._shadow._core.read(f"{frame}/{column}")
                if np.ndim(colors) == 1 and len(colors) == len(categories):
                    return np.asarray(colors)[np.unique(codes[codes >= 0])]
        return colors


class Maps(Slot):
    """Per modality of a MuData, which of its rows each global row is, counted from 1; 0 where it has none.

    Where a file has no map of a modality (mudata 0.1 wrote none), it is found by the names of the rows, and is not to
    be changed.
    """

    __slots__ = ()

    def _names(self) -> list[str]:
        stored = self._stored()
        return stored + [name for name in self._shadow._core.modalities if name not in stored]

    def _stored(self) -> list[str]:
        return super()._names()

    def __getitem__(self, key: str) -> Any:
        if key in self._stored() or key not in self._names():
            return super().__getitem__(key)
        self._shadow._settle()
        core = self._shadow._core
        rows = (core.obs_rows if self._name == "obsmap" else core.var_rows)(key)
        found = (rows + 1).astype(np.uint32)
        found.flags.writeable = False
        return found

    def clear(self) -> None:
        """Removes all that are in the file or set."""
        for name in self._stored():
            del self[name]
