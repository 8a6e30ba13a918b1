"""What pandas holds as raw values: frames, columns of any dtype, and indexes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import _values


def pandas_to_raw(value):
    """Of a DataFrame, a Series, an Index, or an array of pandas."""
    if isinstance(value, pd.DataFrame):
        return frame_to_raw(value)
    return column_to_raw(value.array if isinstance(value, (pd.Series, pd.Index)) else value)


def column_to_raw(values):
    """Of the array behind a pandas Series or Index."""
    if isinstance(values, pd.arrays.NumpyExtensionArray):
        return _values.array_to_raw(values.to_numpy())
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical_to_raw(values)
    if isinstance(dtype, pd.StringDtype):
        return _text_to_raw(values)
    if isinstance(values, (pd.arrays.IntegerArray, pd.arrays.BooleanArray)):
        mask = values.isna()
        # `fillna` is another array, whose values are all there.
        filled = values.fillna(False if isinstance(values, pd.arrays.BooleanArray) else 0)
        return ("nullable", filled.to_numpy(dtype=dtype.numpy_dtype), mask, "NA")
    if isinstance(values, pd.arrays.FloatingArray):
        # The format has no other form for missing floats.
        return values.to_numpy(dtype=dtype.numpy_dtype, na_value=np.nan)
    if isinstance(dtype, pd.DatetimeTZDtype):
        raise TypeError(f"{dtype} cannot be stored: take the time zone off first, by `.dt.tz_convert(None)`")
    if isinstance(dtype, (pd.PeriodDtype, pd.IntervalDtype)):
        raise TypeError(f"{dtype} cannot be stored: convert it first, by `.astype(str)`")
    if isinstance(dtype, pd.SparseDtype) or isinstance(dtype, np.dtype):
        return _values.array_to_raw(np.asarray(values))
    # What is left (pyarrow's types) comes by its items.
    return _values.array_to_raw(np.asarray(values.astype(object)))


def _categorical_to_raw(values):
    categories = column_to_raw(values.categories.array)
    if isinstance(categories, tuple) and categories[0] == "nullable":
        # No category is missing.
        categories = categories[1]
    if isinstance(categories, tuple):
        raise TypeError(f"categories of {values.categories.dtype} cannot be stored")
    return ("categorical", np.asarray(values.codes), categories, bool(values.ordered))


def _text_to_raw(values):
    missing = values.isna()
    is_nan = values.dtype.na_value is not pd.NA
    if is_nan and not missing.any():
        return values.to_numpy(dtype=object)
    return ("nullable", values.to_numpy(dtype=object, na_value=""), missing, "NaN" if is_nan else "NA")


def index_to_raw(index):
    """Of the index of a frame: texts, whatever it holds."""
    return np.asarray(text_index(index), dtype=object)


def text_index(index):
    """The index as texts: the names of rows are nothing else in an AnnData."""
    if isinstance(index, pd.MultiIndex):
        raise TypeError("an index of several levels cannot be stored: row names are single texts")
    if isinstance(index.dtype, pd.StringDtype) or pd.api.types.infer_dtype(index) in {"string", "empty"}:
        return index
    return index.astype(str)


def drop_unused(frame):
    """Leaves out categories that no row has, in place."""
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].array.remove_unused_categories()


def frame_to_raw(frame):
    """Of a data frame."""
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()].unique().tolist()
        raise ValueError(f"a frame with two columns of one name cannot be stored: {twice}")
    name = frame.index.name
    if not isinstance(name, (str, type(None))):
        raise TypeError(f"the name of an index is text, not {type(name).__name__}: {name!r}")
    columns = [(_values.name_of(column), _column_of(column, series)) for column, series in frame.items()]
    return ("table", None if name == "_index" else name, index_to_raw(frame.index), columns)


def _column_of(name, series):
    try:
        return column_to_raw(series.array)
    except TypeError as error:
        raise TypeError(f"column {name!r}: {error}") from None
