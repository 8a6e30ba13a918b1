"""Whether two objects are the same, value by value, dtype and all; and what the reference libraries read."""

import warnings
from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

SLOTS = ("layers", "obsm", "varm", "obsp", "varp", "uns")


def same(got, expected, where="it"):
    """Fails, and says where, unless they are the same."""
    if type(expected) is pd.arrays.NumpyExtensionArray:
        # What anndata 0.13 has of an array that is a column.
        expected = expected.to_numpy()
    if isinstance(expected, np.ndarray):
        return same_arrays(got, np.asarray(expected), where)
    if sp.issparse(expected):
        assert type(got) is type(expected), f"{where}: {type(got)} for {type(expected)}"
        assert got.shape == expected.shape, where
        same_arrays(got.data, expected.data, f"{where}.data")
        # Of two integer types in a file, scipy wants the wider one for both.
        both = np.promote_types(expected.indices.dtype, expected.indptr.dtype)
        for part in ("indices", "indptr"):
            same_arrays(getattr(got, part), getattr(expected, part).astype(both), f"{where}.{part}")
        return None
    if isinstance(expected, pd.DataFrame):
        assert isinstance(got, pd.DataFrame), f"{where}: {type(got)}"
        return pd.testing.assert_frame_equal(
            texts(got), texts(expected), check_exact=True, check_frame_type=False, check_column_type=False, obj=where
        )
    if isinstance(expected, pd.Series):
        return pd.testing.assert_series_equal(texts(got), texts(expected), check_exact=True, obj=where)
    if isinstance(expected, pd.Index):
        return pd.testing.assert_index_equal(texts(got), texts(expected), exact=True, obj=where)
    if isinstance(expected, pd.api.extensions.ExtensionArray):
        assert got.dtype == expected.dtype, f"{where}: {got.dtype} for {expected.dtype}"
        return pd.testing.assert_series_equal(pd.Series(got), pd.Series(expected), check_exact=True, obj=where)
    if isinstance(expected, Mapping):
        assert isinstance(got, Mapping), f"{where}: {type(got)}"
        assert sorted(map(str, got)) == sorted(map(str, expected)), where
        for key in expected:
            same(got[key], expected[key], f"{where}/{key}")
        return None
    if type(expected).__module__.startswith("awkward"):
        import awkward as ak

        assert str(got.type) == str(expected.type), where
        assert ak.to_list(got) == ak.to_list(expected), where
        return None
    # In old files, anndata has single values as numpy's, and in those of today as Python's.
    expected = expected.item() if isinstance(expected, np.generic) else expected
    assert type(got) is type(expected), f"{where}: {type(got)} for {type(expected)}"
    assert got == expected or got != got and expected != expected, f"{where}: {got!r} for {expected!r}"
    return None


def texts(value):
    """A frame, series or index, with texts in pandas' own dtype for them, if it has one.

    Out of Zarr, and where there are no rows, anndata 0.13 has them as objects: pandas 3 does not know the texts of numpy.
    Else it has pandas' own, as a shadow always has: `test_texts_have_the_dtype_of_pandas`.
    """
    own = pd.Index(["text"]).dtype
    if isinstance(value, pd.DataFrame):
        columns = {name: own for name, column in value.items() if _are_texts(column)}
        return value.astype(columns).set_axis(texts(value.index))
    return value.astype(own) if _are_texts(value) else value


def _are_texts(values):
    return values.dtype == object and pd.api.types.infer_dtype(values) in {"string", "empty"}


def same_arrays(got, expected, where):
    assert isinstance(got, np.ndarray), f"{where}: {type(got)}"
    assert got.shape == expected.shape, f"{where}: {got.shape} for {expected.shape}"
    if expected.dtype.names is not None:
        assert got.dtype.names == expected.dtype.names, where
        for name in expected.dtype.names:
            same_arrays(np.asarray(got[name]), np.asarray(expected[name]), f"{where}.{name}")
    elif expected.dtype.hasobject or expected.dtype.kind in "UT":
        # Of numpy's own dtypes for texts, shadows make objects.
        assert got.dtype in (object, expected.dtype), f"{where}: {got.dtype} for {expected.dtype}"
        for one, other in zip(got.astype(object).ravel(), expected.astype(object).ravel(), strict=True):
            assert type(one) is type(other), f"{where}: {one!r} for {other!r}"
            assert one == other or one != one and other != other, f"{where}: {one!r} for {other!r}"
    else:
        assert got.dtype == expected.dtype.newbyteorder("="), f"{where}: {got.dtype} for {expected.dtype}"
        # Bit by bit: NaN is NaN, and 0.0 is not -0.0.
        assert np.ascontiguousarray(got).tobytes() == expected.astype(got.dtype).tobytes(), where


def same_anndata(got, expected):
    """The same of two AnnData."""
    assert type(got) is ad.AnnData
    assert got.shape == expected.shape
    same(got.obs, expected.obs, "obs")
    same(got.var, expected.var, "var")
    same_or_none(got.X, expected.X, "X")
    for slot in SLOTS:
        same(dict(getattr(got, slot)), dict(getattr(expected, slot)), slot)
    assert (got.raw is None) == (expected.raw is None), "raw"
    if expected.raw is not None:
        same(got.raw.X, expected.raw.X, "raw/X")
        same(got.raw.var, expected.raw.var, "raw/var")
        same(dict(got.raw.varm), dict(expected.raw.varm), "raw/varm")


def same_or_none(got, expected, where):
    assert (got is None) == (expected is None), where
    if expected is not None:
        same(got, expected, where)


def read(path):
    """What anndata reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ad.io.read_h5ad(path) if path.suffix == ".h5ad" else ad.io.read_zarr(path)


def read_mudata(path):
    """What mudata reads: global frames as the file has them, without columns of the modalities."""
    import mudata

    if hasattr(mudata, "set_options"):
        # Since mudata 0.4 it is so of itself.
        mudata.set_options(pull_on_update=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.read_h5mu(path) if path.suffix == ".h5mu" else mudata.read_zarr(path)
