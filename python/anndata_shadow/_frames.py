"""obs and var of a shadow: as frames of pandas, as lazy ones, or as tables of another library; and their row names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ._frame import sorted_categories
from ._frame_loan import FrameLoan, LentFrame
from ._lent import NOTHING


class Framed:
    """The part of a shadow that is about obs and var."""

    if TYPE_CHECKING:
        # What the classes that have this part bring.
        _core: Any
        _lazy: bool
        _backends: Any
        _lent: Any
        _parent: Any
        _owner: Any

        @property
        def is_view(self) -> bool: ...
        def _settle(self, path: str | None = None) -> None: ...

    @property
    def obs(self) -> pd.DataFrame:
        """The frame of observations: a DataFrame whose columns are read when they are asked for."""
        return self._frame("obs")

    @obs.setter
    def obs(self, frame: Any) -> None:
        self._set_frame("obs", frame)

    @property
    def var(self) -> pd.DataFrame:
        """The frame of variables: a DataFrame whose columns are read when they are asked for."""
        return self._frame("var")

    @var.setter
    def var(self, frame: Any) -> None:
        self._set_frame("var", frame)

    def _frame(self, path):
        """A frame as `lazy` and the table backend have it."""
        if self._lazy:
            return self.handle(path)
        if self._backends.is_pandas:
            return self._eager_frame(path)
        return self._eager_frame(path)._loan.table(lambda: self._backends.table(self._core, path))

    def _eager_frame(self, path):
        """A frame as a DataFrame, the same each time; of a view, after what it was cut from was settled."""
        if self.is_view:
            self._settle(path)
        found = self._lent.get(path)
        if found is NOTHING:
            frame = FrameLoan.frame(
                self._core, path, tracked=not self.is_view, lent=self._lent,
                drop_unused=self.is_view and self._drops_unused and path != "raw/var",
                before_read=self._parent._settle if self.is_view else None,
            )
            found = self._lent.add(path, LentFrame(frame)).obj
        return found

    def _set_frame(self, path, value):
        frame = self._eager_frame(path)
        if value is frame:
            self._settle(path)
        else:
            frame._loan.replace(value)

    @property
    def _drops_unused(self):
        """Whether views leave out categories that no row has: a setting of anndata."""
        anndata = sys.modules.get("anndata")
        return anndata is None or getattr(anndata.settings, "remove_unused_categories", True)

    def strings_to_categoricals(self, df: pd.DataFrame | None = None) -> None:
        """Makes categoricals of the columns of texts in which some are equal, as anndata does.

        Parameters
        ----------
        df : pandas.DataFrame, optional
            Another frame, which is changed in place. By default obs and var of the shadow: the change is pending then.
        """
        if df is not None:
            for name in [name for name in df.columns if pd.api.types.infer_dtype(df[name]) == "string"]:
                found = sorted_categories(df[name])
                if found is not None:
                    df[name] = found
            return
        self._settle()
        for path in ("obs", "var"):
            frame = self._eager_frame(path)
            for name in list(frame.columns):
                info = self._core.info(f"{path}/{name}")
                if info is None or info.kind not in {"array", "nullable"} or info.dtype != "string":
                    continue
                column = frame[name]
                if isinstance(column.dtype, pd.CategoricalDtype) or (found := sorted_categories(column)) is None:
                    continue
                if self.is_view:
                    # It stays the view's own.
                    frame._loan.hold(name, pd.Series(found, index=frame.index, name=name))
                else:
                    frame[name] = found

    _sanitize = strings_to_categoricals

    # ---- names of rows

    @property
    def obs_names(self) -> pd.Index:
        """Names of the observations; can be set."""
        return self._eager_frame("obs").index

    @obs_names.setter
    def obs_names(self, names: Sequence[str] | pd.Index) -> None:
        self._set_names("obs", names)

    @property
    def var_names(self) -> pd.Index:
        """Names of the variables; can be set."""
        return self._eager_frame("var").index

    @var_names.setter
    def var_names(self, names: Sequence[str] | pd.Index) -> None:
        self._set_names("var", names)

    def _set_names(self, frame, names):
        if self.is_view:
            self._core.set_names(frame, [str(name) for name in names])  # raises
        self._settle(frame)
        self._eager_frame(frame).index = names
        self._settle(frame)

    def obs_names_make_unique(self, join: str = "-") -> None:
        """Makes the names of observations differ, by numbers behind those that are there already."""
        self._make_unique("obs", join)

    def var_names_make_unique(self, join: str = "-") -> None:
        """Makes the names of variables differ, by numbers behind those that are there already."""
        self._make_unique("var", join)

    def _make_unique(self, frame, join):
        from anndata.utils import make_index_unique

        names = self._eager_frame(frame).index
        if not names.is_unique:
            self._set_names(frame, make_index_unique(names, join))

    def _keep_names(self) -> None:
        """Before the names of rows may be others, or out of reach: reads those that somebody holds unread."""
        holder = self._owner if self._parent is None else self._parent
        if holder is None:
            self._lent.keep_names()
        else:
            holder._keep_names()
