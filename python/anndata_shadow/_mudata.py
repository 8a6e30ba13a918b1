"""`MuDataShadow`: a MuData that stays in its file."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import pandas as pd

from . import _core, _show
from ._base import DataShadow, _slot
from ._errors import NotFoundError
from ._file import InFile, StrPath
from ._memory import anndata_to_raw, to_mudata
from ._references import is_in, is_reference, look_up
from ._shadow import AnnDataShadow
from ._slots import Maps

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


class Modalities(MutableMapping[str, AnnDataShadow]):
    """The modalities of a MuData, by name, each an `AnnDataShadow` over the same open file.

    ``mod["atac"] = adata`` adds one, with masks and maps that fit; ``del mod["atac"]`` removes it; both in memory
    until `write`.
    """

    __slots__ = ("_shadow",)

    def __init__(self, shadow: MuDataShadow) -> None:
        self._shadow = shadow

    def __getitem__(self, name: str) -> AnnDataShadow:
        return self._shadow._modality(name)

    def __setitem__(self, name: str, adata: AnnData | AnnDataShadow) -> None:
        self._shadow._insert(name, adata)

    def __delitem__(self, name: str) -> None:
        self._shadow._delete(name)

    def rename(self, old: str, new: str) -> None:
        """Gives a modality another name, with its masks and maps. None of its data are read or written.

        The modality that you hold goes on; views that were cut from it are to be cut again.
        """
        self._shadow._rename_modality(old, new)

    def __contains__(self, name: object) -> bool:
        return name in self._shadow._core.modalities

    def __iter__(self) -> Iterator[str]:
        return iter(self._shadow._core.modalities)

    def __len__(self) -> int:
        return len(self._shadow._core.modalities)

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "\n".join(_show.modalities(self._shadow, ""))


class MuDataShadow(DataShadow):
    """A MuData object that stays in its file: modalities, each an `AnnDataShadow`, and global frames and slots.

    One open file and one set of pending changes, whatever is reached through it: `write`, `reopen` and `close` act on
    all of it, also when they are called on a modality.

    Parameters
    ----------
    path, array_backend, table_backend, mode, format, lazy, pose, cache_budget, locking, gene_index
        As of `AnnDataShadow`; with `pose`, ``isinstance(shadow, mudata.MuData)`` is true.

    Examples
    --------
    >>> mdata = MuDataShadow("study.h5mu")  # doctest: +SKIP
    >>> mdata["rna"].X
    >>> mdata[:100]["prot"].obs["leiden"]
    """

    _opens = staticmethod(_core.MuShadow.open)
    _poses_as = ("mudata", "MuData")
    _writes_files_by = "write_h5mu"

    obsmap = _slot("obsmap", "Which row of a modality each observation is, counted from 1; 0 where it has none.", Maps)
    varmap = _slot("varmap", "Which row of a modality each variable is, counted from 1; 0 where it has none.", Maps)

    # What tools look for in an AnnData.
    X, raw, layers, mask = (property(lambda self: None, doc="None: a MuData has none of its own.") for _ in range(4))

    def _start(self, *args, **kwargs):
        super()._start(*args, **kwargs)
        # Modalities that were handed out, each with the generation that a view's was cut at.
        self._modalities = {}
        # New names that are not written yet, each with the one before it.
        self._renamed = {}

    # ---- modalities

    @property
    def mod(self) -> Modalities:
        """The modalities, by name."""
        return Modalities(self)

    @property
    def n_mod(self) -> int:
        """Number of modalities."""
        return len(self._core.modalities)

    @property
    def mod_names(self) -> list[str]:
        """Names of the modalities, in their order."""
        return list(self._core.modalities)

    @property
    def axis(self) -> Literal[0, 1, -1]:
        """Which axis the modalities share: 0 observations, 1 variables, -1 both."""
        return self._core.axis

    def _modality(self, name: str) -> AnnDataShadow:
        if not isinstance(name, str) or name not in self._core.modalities:
            there = ", ".join(map(repr, self._core.modalities))
            raise NotFoundError(f"there is no modality {name!r}: there are {there}")
        generation = self._core.generation() if self.is_view else None
        known = self._modalities.get(name)
        if known is None or known[0] != generation:
            known = (generation, self._new_modality(name))
            self._modalities[name] = known
        return known[1]

    def _new_modality(self, name):
        parent = self._whole._modality(name) if self.is_view else None
        core, address = self._core.modality(name), self._address_of(name)
        return AnnDataShadow._over(core, self, address=address, parent=parent, owner=self)

    def _address_of(self, name):
        return f"{self._address.rstrip('/')}/mod/{name}"

    @property
    def _whole(self):
        return self if self._parent is None else self._parent._whole

    def _insert(self, name, adata):
        if name in self._core.modalities:
            raise ValueError(f"there is a modality {name!r} already: remove it, and write, or choose another name")
        raw = anndata_to_raw(adata)
        self._change_modalities(lambda core: core.insert_modality(name, raw))
        self._modalities.pop(name, None)

    def _delete(self, name):
        self._change_modalities(lambda core: core.remove_modality(name))
        self._modalities.pop(name, None)

    def _rename_modality(self, old, new):
        self._change_modalities(lambda core: core.rename_modality(old, new))
        self._move_modality(old, new)
        self._renamed[new] = old

    def _change_modalities(self, change):
        self._settle()
        self._keep_names()
        change(self._core)
        # Rows, masks and maps of the global part may be others now.
        self._forget()

    def _move_modality(self, old, new):
        """Lets a modality that was handed out go on under its new name."""
        known = self._modalities.pop(old, None)
        if known is not None and old != new:
            known[1]._move(self._core.modality(new), self._address_of(new))
            self._modalities[new] = known

    def _handed_out(self, path=None):
        """The modalities that were handed out: all, or where a path leads to or into; with the rest of the path."""
        for name, (_, modality) in list(self._modalities.items()):
            at = f"mod/{name}"
            if path in (None, "mod", at):
                yield modality, None
            elif path.startswith(f"{at}/"):
                yield modality, path.removeprefix(f"{at}/")

    @overload
    def __getitem__(self, index: str) -> AnnDataShadow: ...
    @overload
    def __getitem__(self, index: Any) -> Self: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return self._modality(index)
        return look_up(self, index) if is_reference(index) else self._cut(index)

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str):
            return name in self.mod
        from mudata import MuData

        return is_in(self, name, MuData)

    # ---- vectors

    def obs_vector(self, key: str, layer: None = None) -> Any:
        """The values of a column of the global obs."""
        return self._column("obs", key, layer)

    def var_vector(self, key: str, layer: None = None) -> Any:
        """The values of a column of the global var."""
        return self._column("var", key, layer)

    def _column(self, frame, key, layer):
        if layer is not None:
            raise ValueError("a MuData has no layers: its modalities have")
        if key not in self._eager_frame(frame).columns:
            raise NotFoundError(f"{key!r} is no column of the global {frame}")
        return self._eager_frame(frame)[key].values

    @property
    def n_var(self) -> int:
        """Number of global variables."""
        return self.n_vars

    # ---- all of it

    def strings_to_categoricals(self, df: pd.DataFrame | None = None) -> None:
        """Makes categoricals of columns of texts in which some are equal, globally and in all modalities."""
        super().strings_to_categoricals(df)
        if df is None:
            for modality in self.mod.values():
                modality.strings_to_categoricals()

    _sanitize = strings_to_categoricals

    def clear_cache(self) -> Self:
        super().clear_cache()
        if self.is_view:
            for modality, _ in self._handed_out():
                modality.clear_cache()
        return self

    def discard(self, path: str | None = None) -> Self:
        mod, name, inside = (*(path or "").split("/", 2), "", "")[:3]
        if mod == "mod" and inside and name in self._core.modalities:
            self._modality(name).discard(inside)
            return self
        super().discard(path)
        for modality, _ in self._handed_out(path):
            modality._forget()
        self._rename_back()
        return self

    discard.__doc__ = DataShadow.discard.__doc__

    def _rename_back(self):
        """Modalities that are there no more are again what they were before they got another name."""
        for name in self._modalities.keys() - set(self._core.modalities):
            before = self._renamed.pop(name, None)
            while before in self._renamed and before not in self._core.modalities:
                before = self._renamed.pop(before)
            if before in self._core.modalities:
                self._move_modality(name, before)
            else:
                del self._modalities[name]

    def _settle(self, path: str | None = None) -> None:
        super()._settle(path)
        if self._parent is None:
            for modality, inside in self._handed_out(path):
                modality._lent.settle(inside)

    def _keep_names(self) -> None:
        super()._keep_names()
        if self._parent is None:
            for modality, _ in self._handed_out():
                modality._lent.keep_names()

    def _forget_clean(self) -> None:
        super()._forget_clean()
        for modality, _ in self._handed_out():
            modality._lent.forget_clean()

    def to_memory(self, copy: bool = False) -> MuData:
        """All of it (of a view: its part) as a `mudata.MuData` in memory."""
        self._settle()
        return to_mudata(self._core, {name: modality.to_memory() for name, modality in self.mod.items()})

    @overload
    def copy(self, filename: None = None) -> MuData: ...
    @overload
    def copy(self, filename: StrPath) -> MuDataShadow: ...
    def copy(self, filename: StrPath | None = None) -> MuData | MuDataShadow:
        """A MuData in memory, as `to_memory`; with a `filename`, a shadow of the file that it is written to."""
        if filename is None:
            return self.to_memory()
        self._write_copy(filename)
        return MuDataShadow(filename, self._backends.array_backend, self._backends.table_backend, pose=self._pose)

    def write_h5mu(self, filename: StrPath | InFile | None = None, **options: Any) -> None:
        """`write`; with another `filename`, all of it is written there by mudata."""
        self._write_by("write_h5mu", filename, options)

    def __repr__(self) -> str:
        return _show.mudata(self)
