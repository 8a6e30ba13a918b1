"""`shadow.raw`: a matrix over the same observations and variables of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd
import scipy.sparse as sp

from . import _show
from ._columns import frame_to_raw
from ._errors import NotFoundError
from ._references import is_reference, look_up
from ._select import normalize, positions
from ._slots import Slot

if TYPE_CHECKING:
    from anndata import AnnData


class RawShadow:
    """The `raw` of a shadow, or a part of it.

    ``raw[cells, genes]`` is the part of it at these positions or names; only that part of its X is read. By
    ``raw["X"]``, ``raw["var"]`` and ``raw["varm"]`` it is a mapping, too.
    """

    is_view: bool = False

    def __init__(self, shadow: Any, part: tuple[Any, Any] | None = None) -> None:
        self._shadow = shadow
        # Positions on both axes, of a part.
        self._part = part

    @property
    def X(self) -> Any:
        """Its matrix."""
        if self._part is None:
            return self._shadow._get("raw/X")
        return self._shadow._read_part("raw/X", self._part)

    _X = X  # where anndata 0.12 looks for it

    @property
    def var(self) -> pd.DataFrame:
        """The frame of its variables."""
        if self._part is None:
            return self._shadow._frame("raw/var")
        return self._shadow._eager_frame("raw/var").iloc[self._part[1]]

    @property
    def varm(self) -> Mapping[str, Any]:
        """Arrays and frames over its variables."""
        slot = Slot(self._shadow, "raw/varm")
        return slot if self._part is None else {name: _rows(value, self._part[1]) for name, value in slot.items()}

    @property
    def var_names(self) -> pd.Index:
        """Names of its variables."""
        names = self._shadow._eager_frame("raw/var").index
        return names if self._part is None else names[self._part[1]]

    @property
    def obs_names(self) -> pd.Index:
        """Names of its observations, which are those of the shadow."""
        names = self._shadow.obs_names
        return names if self._part is None else names[self._part[0]]

    @property
    def n_obs(self) -> int:
        """Number of observations."""
        return self._shadow.n_obs if self._part is None else len(self.obs_names)

    @property
    def n_vars(self) -> int:
        """Number of its variables."""
        return len(self.var_names)

    @property
    def shape(self) -> tuple[int, int]:
        """Observations, variables."""
        return self.n_obs, self.n_vars

    def __len__(self) -> int:
        return self.n_obs

    def keys(self) -> list[str]:
        """What there is of X, var and varm."""
        return self._shadow._core.keys("raw")

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    @overload
    def __getitem__(self, index: Literal["X", "var", "varm"]) -> Any: ...
    @overload
    def __getitem__(self, index: Any) -> RawShadow: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str) and index in {"X", "var", "varm"}:
            return getattr(self, index)
        if is_reference(index):
            return look_up(self, index)
        if self._part is not None:
            raise NotImplementedError("a part of a part of raw: take both from raw itself")
        obs, var = normalize(index, lambda: self.obs_names, lambda: self.var_names)
        return RawShadow(self._shadow, (positions(obs, self.obs_names), positions(var, self.var_names)))

    def obs_vector(self, key: str) -> np.ndarray:
        """The values of a variable, one for each observation."""
        names = self.var_names
        if key not in names:
            raise NotFoundError(f"{key!r} is none of the variables of raw")
        return dense_line(self[:, key].X)

    def var_vector(self, key: str) -> np.ndarray:
        """The values of a column of `var`, or of an observation, one for each variable."""
        frame = self._shadow._eager_frame("raw/var") if self._part is None else self.var
        return frame[key].to_numpy() if key in frame.columns else dense_line(self[key].X)

    def to_adata(self) -> AnnData:
        """An AnnData in memory, with `X` and `var` of raw, and obs, obsm, obsp, uns of the shadow."""
        from anndata import AnnData

        whole = self._shadow.to_memory()
        slots = {"uns": whole.uns, "obsm": whole.obsm, "obsp": whole.obsp, "varm": whole.raw.varm}
        found = AnnData(whole.raw.X, whole.obs, whole.raw.var, **slots)
        return found if self._part is None else found[self._part].copy()

    def _read(self):
        """All of it as raw values, whatever the shadow hands out."""
        self._shadow._settle("raw")
        core = self._shadow._core
        if self._part is None:
            return {name: core.read(f"raw/{name}") for name in self.keys()}
        rows = self._part[1]
        varm = {name: core.read_part(f"raw/varm/{name}", (rows,)) for name in core.keys("raw/varm")}
        frame = self._shadow._eager_frame("raw/var").iloc[rows]
        return {"X": core.read_part("raw/X", self._part), "var": frame_to_raw(frame), "varm": varm}

    def _get_X(self, layer: str | None = None) -> Any:
        if layer is not None:
            raise ValueError("raw has no layers")
        return self.X

    def __repr__(self) -> str:
        return _show.slot(self._shadow, "raw") or "raw:"


def _rows(value, rows):
    return value.iloc[rows] if hasattr(value, "iloc") else value[rows]


def dense_line(matrix: Any) -> np.ndarray:
    """A matrix of one row or column as a plain array."""
    return np.ravel(matrix.toarray() if sp.issparse(matrix) else matrix)
