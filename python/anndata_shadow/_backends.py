"""What arrays and tables are handed out as: numpy and pandas, or what the user has asked for instead.

`resolve` turns the ``array_backend`` and ``table_backend`` of a shadow into a `Backends`, which makes objects of raw
values (what `_core` gives). A backend that is not installed is an ImportError there and then, not at the first read.

- Arrays of numbers follow the array backend, without a copy where the other library allows it. Texts and dates stay
  numpy's, scalars Python's.
- Sparse matrices stay sparse: scipy's for numpy, CSR or CSC tensors for torch, BCSR for jax.
- Tables follow the table backend. obs and var come as an Arrow stream from `_core`; pandas is not involved.
- A callable is called with what the default backend gives: the numpy array or scipy matrix, the pandas frame.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import _values

__all__ = ["Backends", "resolve"]


@dataclass(frozen=True)
class Backends:
    """The two backends of a shadow.

    Attributes
    ----------
    array_backend, table_backend
        As the user gave them: names, or callables.
    """

    array_backend: str | Callable
    table_backend: str | Callable
    _arrays: Any
    _tables: Any

    @property
    def is_pandas(self) -> bool:
        """Whether tables are pandas'."""
        return type(self._tables) is _Pandas

    def array(self, raw: Any) -> Any:
        """An array or a sparse matrix of numbers by the array backend; anything else as numpy has it."""
        if isinstance(raw, np.ndarray) and raw.ndim and raw.dtype.kind in "biufc":
            return self._arrays.dense(raw)
        if isinstance(raw, tuple) and raw[0] == "sparse":
            return self._arrays.sparse(_values.to_user(raw))
        return _values.to_user(raw)

    def element(self, raw: Any) -> Any:
        """Any element: arrays by the array backend, tables by the table backend, in dicts too."""
        if isinstance(raw, dict):
            return {name: self.element(value) for name, value in raw.items()}
        if isinstance(raw, tuple) and raw[0] == "table":
            return self._tables.of_pandas(_values.to_user(raw))
        return self.array(raw)

    def table(self, core: Any, frame: str, columns: list[str] | None = None) -> Any:
        """obs or var of `core` (``"obs"``, ``"var"``, ``"raw/var"``), or these columns of it, by the table backend."""
        return self._tables.of_core(core, frame, columns)


def resolve(array_backend: str | Callable = "numpy", table_backend: str | Callable = "pandas") -> Backends:
    """Looks up the backends, and imports what they need.

    Raises
    ------
    ImportError
        If the library behind a backend is not installed.
    ValueError
        If nobody knows a backend of that name.
    """
    arrays = _look_up(array_backend, "array_backend", _ARRAYS, _ByCallable)
    tables = _look_up(table_backend, "table_backend", _TABLES, _ByTableCallable)
    return Backends(array_backend, table_backend, arrays, tables)


def _look_up(backend: Any, what: str, known: dict[str, type], by_callable: type) -> Any:
    if isinstance(backend, str):
        if backend not in known:
            names = ", ".join(map(repr, known))
            raise ValueError(f"{what}={backend!r} is not known: it is one of {names}, or a callable")
        return known[backend]()
    if callable(backend):
        return by_callable(backend)
    raise TypeError(f"{what} is a name or a callable, not {type(backend).__name__}")


def _need(module: str, package: str) -> Any:
    """A module that a backend is made of."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        what = f"the {package} backend needs {package}, which cannot be imported ({error}): pip install {package}"
        raise ImportError(what, name=module) from error


# ---- arrays: `dense` is given a numpy array of numbers that nobody else holds, `sparse` a scipy matrix


class _Numpy:
    def dense(self, array: np.ndarray) -> Any:
        return array

    def sparse(self, matrix: Any) -> Any:
        return matrix


class _ByCallable:
    def __init__(self, convert: Callable) -> None:
        self.dense = self.sparse = convert


class _Torch:
    def __init__(self) -> None:
        self.torch = _need("torch", "torch")

    def dense(self, array: np.ndarray) -> Any:
        return self.torch.from_numpy(array)

    def sparse(self, matrix: Any) -> Any:
        # Torch wants the indices of a row in order, each once.
        matrix.sum_duplicates()
        make = self.torch.sparse_csc_tensor if matrix.format == "csc" else self.torch.sparse_csr_tensor
        indptr, indices, data = map(self.dense, (matrix.indptr, matrix.indices, matrix.data))
        with warnings.catch_warnings():
            # That this kind of tensor is in beta is no news to who has asked for it.
            warnings.filterwarnings("ignore", message="Sparse CS[RC] tensor support is in beta")
            return make(indptr, indices, data, size=matrix.shape)


class _Jax:
    """Without ``jax_enable_x64`` jax has no 64-bit numbers.

    Floats are rounded to 32 bits then, as jax does with any numpy array; integers that do not fit are an error, where
    jax would wrap them around. The array is copied: jax wants its memory aligned otherwise than numpy's.
    """

    def __init__(self) -> None:
        self.jax = _need("jax", "jax")
        self.experimental = _need("jax.experimental.sparse", "jax")

    def dense(self, array: np.ndarray) -> Any:
        dtype = self.jax.dtypes.canonicalize_dtype(array.dtype)
        if dtype != array.dtype:
            if array.dtype.kind in "iu" and array.size:
                held = np.iinfo(dtype)
                least, most = array.min(), array.max()
                if least < held.min or most > held.max:
                    raise ValueError(
                        f"numbers from {least} to {most} do not fit into {dtype}, the widest that jax has now: "
                        'call jax.config.update("jax_enable_x64", True) first'
                    )
            array = array.astype(dtype)
        return self.jax.numpy.asarray(array)

    def sparse(self, matrix: Any) -> Any:
        matrix = matrix.tocsr()  # there is no CSC in jax
        parts = tuple(map(self.dense, (matrix.data, matrix.indices, matrix.indptr)))
        return self.experimental.BCSR(parts, shape=matrix.shape)


# ---- tables: `of_core` makes obs or var, `of_pandas` what stands elsewhere (obsm, uns)


class _Pandas:
    def of_core(self, core: Any, frame: str, columns: list[str] | None) -> Any:
        return _values.to_user(raw_table(core, frame, columns))

    def of_pandas(self, frame: pd.DataFrame) -> Any:
        return frame


class _ByTableCallable(_Pandas):
    def __init__(self, convert: Callable) -> None:
        self.of_pandas = convert

    def of_core(self, core: Any, frame: str, columns: list[str] | None) -> Any:
        return self.of_pandas(super().of_core(core, frame, columns))


class _Stream:
    """An Arrow stream, as libraries that take one want it."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._capsule


class _Polars:
    def __init__(self) -> None:
        self.polars = _need("polars", "polars")

    def of_core(self, core: Any, frame: str, columns: list[str] | None) -> Any:
        return self.polars.DataFrame(_Stream(core.arrow(frame, columns)))

    def of_pandas(self, frame: pd.DataFrame) -> Any:
        make = self.polars.from_pandas
        return self.polars.DataFrame([make(column, nan_to_null=not _is_float(column)) for column in _columns(frame)])


class _Arrow:
    def __init__(self) -> None:
        self.pyarrow = _need("pyarrow", "pyarrow")

    def of_core(self, core: Any, frame: str, columns: list[str] | None) -> Any:
        return self.pyarrow.table(_Stream(core.arrow(frame, columns)))

    def of_pandas(self, frame: pd.DataFrame) -> Any:
        make = self.pyarrow.array
        return self.pyarrow.table(
            {column.name: make(column.array, from_pandas=not _is_float(column)) for column in _columns(frame)}
        )


def raw_table(core: Any, frame: str, columns: list[str] | None) -> tuple:
    """obs or var as a raw value; of all columns, or of these."""
    if columns is None:
        return core.read(frame)
    values = core.columns(frame, columns)
    return ("table", index_name(core, frame), core.names(frame), list(zip(columns, values, strict=True)))


def index_name(core: Any, frame: str) -> str | None:
    """The name that anndata gives to the index of a frame."""
    name = core.index_name(frame)
    return None if name == "_index" else name


def _columns(frame: pd.DataFrame) -> Iterator[pd.Series]:
    """The columns, the index as the first, for libraries that have no index."""
    for name, column in frame.reset_index(names=frame.index.name or "_index").items():
        yield column.rename(str(name))


def _is_float(column: pd.Series) -> bool:
    """Whether NaN is a number in it, and not what pandas marks as missing."""
    return isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"


_ARRAYS: dict[str, type] = {"numpy": _Numpy, "jax": _Jax, "torch": _Torch, "pytorch": _Torch}
_TABLES: dict[str, type] = {"pandas": _Pandas, "polars": _Polars, "pyarrow": _Arrow, "arrow": _Arrow}
