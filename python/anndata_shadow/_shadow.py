"""`AnnDataShadow`: an AnnData that stays in its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, overload

import numpy as np
import pandas as pd
import scipy.sparse as sp

from . import _core, _show
from ._base import DataShadow, _slot
from ._core import Receipt
from ._errors import NotFoundError, ViewError
from ._file import InFile, StrPath
from ._layers import Layers
from ._memory import raw_to_raw, to_anndata
from ._raw import RawShadow, dense_line
from ._references import is_in, is_reference, look_up
from ._select import normalize, positions
from ._values import to_user

if TYPE_CHECKING:
    from anndata import AnnData


class AnnDataShadow(DataShadow):
    """An AnnData object that stays in its file.

    Opening reads metadata only. Whatever is asked for is read then, and no more; what is set stays in memory until
    `write`, which makes exactly these changes in the file, all or none. A view (``shadow[cells, genes]``) reads its
    part only.

    Parameters
    ----------
    path : path, h5py.File, h5py.Group or zarr.Group
        A file, or the directory of a Zarr store; the path may end inside (``"x.h5mu/mod/rna"``). Of an open file, its
        path.
    array_backend : {"numpy", "jax", "torch"} or callable
        What arrays are handed out as. Sparse matrices stay sparse.
    table_backend : {"pandas", "polars", "pyarrow"} or callable
        What frames are handed out as.
    mode : {"r", "r+"}
        To read, or to write, too. `reopen` changes it.
    format : {"hdf5", "zarr", None}
        Refuses files of another format. It is found by content.
    lazy : bool
        Whether elements come as handles that read when they are sliced.
    pose : bool
        Whether ``isinstance(shadow, anndata.AnnData)`` is true, which tools like scanpy ask.
    cache_budget : int, optional
        How many bytes of elements that were read the core keeps.
    locking : bool
        False for file systems without locks.
    gene_index : bool
        Whether genes are read from the index of X by its genes (`add_gene_index`), if there is one that is up to date.

    Examples
    --------
    >>> shadow = AnnDataShadow("pbmc.h5ad")  # doctest: +SKIP
    >>> shadow[:100, ["CST3", "LYZ"]].X
    >>> shadow.obs["score"] = 0.5
    >>> shadow.reopen("r+").write().reopen("r")
    """

    _opens = staticmethod(_core.Shadow.open)
    _poses_as = ("anndata", "AnnData")
    _writes_files_by = "write_h5ad"

    layers = _slot("layers", "Matrices of the shape of X.", Layers)

    # ---- X and raw

    @property
    def X(self) -> Any:
        """The matrix, observations × variables; None if there is none. Can be set, and deleted."""
        return self._get("X") if self._has_X() else None

    @X.setter
    def X(self, matrix: Any) -> None:
        if matrix is None:
            del self.X
        else:
            self._set("X", matrix)

    @X.deleter
    def X(self) -> None:
        if self._has_X():
            self._remove("X")

    def _has_X(self) -> bool:
        return self._core.exists("X")

    # Where `anndata.AnnData(shadow)` looks for it, up to anndata 0.12.
    _X = X

    @property
    def raw(self) -> RawShadow | None:
        """The raw data: `X` over the same observations and variables of its own; None if there are none."""
        return RawShadow(self) if self._core.has_raw() else None

    @raw.setter
    def raw(self, value: Any) -> None:
        if value is None:
            del self.raw
        else:
            self._core.set("raw", raw_to_raw(value))
            self._lent.forget("raw")

    @raw.deleter
    def raw(self) -> None:
        if self._core.has_raw():
            self._remove("raw")

    # ---- vectors and matrices

    def obs_vector(self, key: str, layer: str | None = None) -> Any:
        """A value for each observation: a column of obs, or the values of a variable in X or in a layer.

        Parameters
        ----------
        key : str
            Name of a column of obs, or of a variable.
        layer : str, optional
            Which layer; X by default.
        """
        return self._vector("obs", "var", key, layer)

    def var_vector(self, key: str, layer: str | None = None) -> Any:
        """A value for each variable: a column of var, or the values of an observation in X or in a layer.

        Parameters
        ----------
        key : str
            Name of a column of var, or of an observation.
        layer : str, optional
            Which layer; X by default.
        """
        return self._vector("var", "obs", key, layer)

    def _vector(self, along, across, key, layer):
        frame, names = self._eager_frame(along), self._eager_frame(across).index
        in_columns, in_names = key in frame.columns, key in names
        if in_columns and in_names:
            raise ValueError(f"{key!r} is a column of {along} and one of {across}_names: which is meant?")
        if not (in_columns or in_names):
            raise NotFoundError(f"{key!r} is neither a column of {along} nor one of {across}_names")
        if in_columns:
            return frame[key].values
        return self._line("X" if layer is None else f"layers/{layer}", positions([key], names), across)

    def _line(self, path, place, across):
        """A row or column of a matrix, from memory if the matrix is there."""
        part = (slice(None), place) if across == "var" else (place, slice(None))
        held = self._in_memory(path)
        if held is None:
            self._settle(path)
            return dense_line(to_user(self._core.read_part(path, part)))
        return dense_line(held[part])

    def _in_memory(self, path):
        """A matrix that was handed out as numpy's or scipy's; None if it was not."""
        held = self._lent.get(path)
        return held if isinstance(held, np.ndarray) or sp.issparse(held) else None

    def _get_X(self, use_raw: bool = False, layer: str | None = None) -> Any:
        if use_raw and layer is not None:
            raise ValueError("values come either from a layer or from raw")
        if layer is not None:
            return self.layers[layer]
        if use_raw:
            if self.raw is None:
                raise ValueError("there is no raw")
            return self.raw.X
        return self.X

    def to_df(self, layer: str | None = None) -> pd.DataFrame:
        """X, or a layer, as a DataFrame with the names of observations and variables. Sparse matrices become dense."""
        if layer is None and not self._has_X():
            raise ValueError("there is no X")
        path = "X" if layer is None else f"layers/{layer}"
        matrix = self._in_memory(path)
        if matrix is None:
            self._settle(path)
            matrix = to_user(self._core.read(path))
        dense = matrix.toarray() if sp.issparse(matrix) else matrix
        return pd.DataFrame(dense, index=self.obs_names, columns=self.var_names)

    def chunked_X(self, chunk_size: int | None = 6000) -> Iterator[tuple[Any, int, int]]:
        """Blocks of rows of X, as ``(block, start, stop)``; the next is read while one is used.

        Parameters
        ----------
        chunk_size : int
            Rows of a block.
        """
        self._settle("X")
        for start, stop, raw in self._core.row_blocks("X", rows=6000 if chunk_size is None else chunk_size):
            yield self._backends.element(raw), start, stop

    def chunk_X(self, select: int | Sequence[int] | np.ndarray = 1000, replace: bool = True) -> Any:
        """Some rows of X, dense.

        Parameters
        ----------
        select : int or sequence of int
            How many, drawn at random; or which.
        replace : bool
            Whether a row may be drawn twice.
        """
        if isinstance(select, (int, np.integer)):
            select = np.random.choice(self.n_obs, min(int(select), self.n_obs), replace)
        rows = self._read_part("X", (np.asarray(select, dtype=np.int64),))
        return rows.toarray() if sp.issparse(rows) else rows

    def add_gene_index(
        self, memory: int | None = None, progress: Callable[[int, int], bool | None] | None = None
    ) -> Receipt:
        """Writes X once more by its genes, as the layer ``X_csc``, at once. Genes are read from there from then on.

        Parameters
        ----------
        memory : int, optional
            How many bytes of it are in memory at a time.
        progress : callable, optional
            Told how much is done and how much there is; ends the work by returning False.

        Returns
        -------
        A `Receipt`.
        """
        from . import _stream

        self._settle()
        return _stream.add_gene_index(self, memory=memory, progress=progress)

    # ---- views, and copies in memory

    def __getitem__(self, index: Any) -> Self:
        return look_up(self, index) if is_reference(index) else self._cut(index)

    def __contains__(self, reference: object) -> bool:
        from anndata import AnnData

        return is_in(self, reference, AnnData)

    def _normalize_indices(self, index):
        obs, var = normalize(index, lambda: self.obs_names, lambda: self.var_names)
        return positions(obs, self.obs_names), positions(var, self.var_names)

    def to_memory(self, copy: bool = False) -> AnnData:
        """All of it (of a view: its part) as an `anndata.AnnData` in memory."""
        self._settle()
        adata = to_anndata(self._core, drop_unused=self.is_view and self._drops_unused)
        adata.uns.update(self._own_colors)
        return adata

    @overload
    def copy(self, filename: None = None) -> AnnData: ...
    @overload
    def copy(self, filename: StrPath) -> AnnDataShadow: ...
    def copy(self, filename: StrPath | None = None) -> AnnData | AnnDataShadow:
        """An AnnData in memory, as `to_memory`; with a `filename`, a shadow of the file that it is written to."""
        if filename is None:
            return self.to_memory()
        self._write_copy(filename)
        return AnnDataShadow(filename, self._backends.array_backend, self._backends.table_backend, pose=self._pose)

    def _mutated_copy(self, **others: Any) -> AnnData:
        return self.to_memory()._mutated_copy(**others)

    def write_h5ad(self, filename: StrPath | InFile | None = None, **options: Any) -> None:
        """`write`; with another `filename`, all of it is written there by anndata."""
        self._write_by("write_h5ad", filename, options)

    # ---- categories

    def rename_categories(self, key: str, categories: Sequence[Any]) -> None:
        """Gives the categories of a column of obs or var other names, also where results in uns are named by them.

        Parameters
        ----------
        key : str
            Name of the column.
        categories : list
            As many as there are.
        """
        if isinstance(categories, Mapping):
            raise ValueError("categories are a list of new names, not a mapping")
        frames = self._eager_frame("obs"), self._eager_frame("var")
        frame = next((frame for frame in frames if key in frame.columns), None)
        if frame is None:
            raise ValueError(f"{key!r} is a column neither of obs nor of var")
        old = list(frame[key].cat.categories)
        frame[key] = frame[key].cat.rename_categories(categories)
        for name in self.uns:
            if self._core.exists(f"uns/{name}/params/groupby") and self._core.read(f"uns/{name}/params/groupby") == key:
                for item in self.uns[name].values():
                    if isinstance(item, np.ndarray) and list(item.dtype.names or ()) == old:
                        item.dtype.names = tuple(categories)

    def _move(self, core, address):
        """Goes on as another core's shadow: the same modality under another name."""
        self._core = core
        self._address = address
        self._lent.move(core)

    # ---- what an object in a file cannot be

    @property
    def T(self) -> Any:
        """Not there: nothing in a file can be turned over without writing it anew."""
        return self.transpose()

    def transpose(self) -> NoReturn:
        """Not there: ``shadow.to_memory().T`` is."""
        raise NotImplementedError("a file cannot be transposed in place: take shadow.to_memory().T")

    def _inplace_subset_obs(self, index):
        raise NotImplementedError(_SUBSET)

    def _inplace_subset_var(self, index):
        raise NotImplementedError(_SUBSET)

    def _init_as_actual(self, *args, **kwargs):
        if self.is_view:
            raise ViewError("a view has nothing of its own to write to: take view.copy(), which is in memory")
        raise NotImplementedError(_SUBSET)

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise NotImplementedError("set X as a whole, or change shadow.X in place")

    def __repr__(self) -> str:
        return _show.anndata(self)


_SUBSET = (
    "a shadow cannot drop rows of its file in place: take the view shadow[rows, columns], which reads only these, or "
    "shadow[rows, columns].to_memory()"
)
