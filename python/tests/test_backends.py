"""Arrays and tables by other libraries than numpy and pandas: the same values, and sparse stays sparse."""

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from made import CONTAINERS, adata, write

from anndata_shadow import AnnDataShadow


@pytest.fixture(params=CONTAINERS)
def path(request, tmp_path):
    return write(adata(), tmp_path, request.param)


# ---- choosing one


def test_unknown_names_list_the_known_ones(path):
    with pytest.raises(ValueError, match=r"array_backend='nunpy' is not known: it is one of 'numpy', 'jax', 'torch'"):
        AnnDataShadow(path, array_backend="nunpy")
    with pytest.raises(ValueError, match=r"table_backend='numpy' is not known: it is one of 'pandas', 'polars'"):
        AnnDataShadow(path, table_backend="numpy")
    with pytest.raises(TypeError, match="array_backend is a name or a callable, not int"):
        AnnDataShadow(path, array_backend=3)


@pytest.mark.parametrize(
    ("backend", "package"),
    [("array_backend", "jax"), ("array_backend", "torch"), ("table_backend", "polars"), ("table_backend", "pyarrow")],
)
def test_what_is_not_installed_is_said_at_construction(path, monkeypatch, backend, package):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not there
    with pytest.raises(ImportError, match=f"needs {package}, .*pip install {package}") as error:
        AnnDataShadow(path, **{backend: package})
    assert error.value.name == package


# ---- arrays


def test_jax(path):
    import jax
    shadow, expected = AnnDataShadow(path, array_backend="jax"), adata()
    assert isinstance(shadow.X, jax.Array)
    np.testing.assert_array_equal(np.asarray(shadow.X), expected.X)
    assert isinstance(shadow.uns["nested"]["values"], jax.Array)
    np.testing.assert_array_equal(shadow.uns["nested"]["values"], expected.uns["nested"]["values"])
    assert shadow.uns["nested"]["text"] == "hello"
    assert type(shadow.uns["nested"]["one"]) is float
    # Rounded to 32 bits, as jax does unless told otherwise.
    assert shadow.obsm["X_pca"].dtype == np.float32
    np.testing.assert_array_equal(np.asarray(shadow.obsm["X_pca"]), expected.obsm["X_pca"].astype(np.float32))
    # Tables are pandas' still.
    assert isinstance(shadow.obs, pd.DataFrame)


def test_jax_with_64_bits(path):
    import jax
    jax.config.update("jax_enable_x64", True)
    try:
        found = AnnDataShadow(path, array_backend="jax").obsm["X_pca"]
        assert found.dtype == np.float64
        np.testing.assert_array_equal(np.asarray(found), adata().obsm["X_pca"])
    finally:
        jax.config.update("jax_enable_x64", False)


def test_jax_does_not_wrap_integers_around(tmp_path):
    made = adata()
    made.obsm["large"] = np.full((made.n_obs, 1), 2**40)
    made.obsm["small"] = np.full((made.n_obs, 1), 2**20)
    shadow = AnnDataShadow(write(made, tmp_path, "h5ad"), array_backend="jax")
    np.testing.assert_array_equal(shadow.obsm["small"], made.obsm["small"])
    with pytest.raises(ValueError, match=r"1099511627776 do not fit into int32.*jax_enable_x64"):
        _ = shadow.obsm["large"]


def test_jax_sparse_stays_sparse(path):
    from jax.experimental.sparse import BCSR

    shadow, expected = AnnDataShadow(path, array_backend="jax"), adata()
    for name in ["csr", "csc"]:
        found = shadow.layers[name]
        assert isinstance(found, BCSR)
        assert found.nse == expected.layers[name].nnz
        np.testing.assert_array_equal(found.todense(), expected.layers[name].toarray())
    view = shadow[5:20, [3, 1]]
    np.testing.assert_array_equal(view.layers["csr"].todense(), expected.layers["csr"][5:20][:, [3, 1]].toarray())


def test_torch(path):
    torch = pytest.importorskip("torch")
    shadow, expected = AnnDataShadow(path, array_backend="torch"), adata()
    np.testing.assert_array_equal(shadow.X.numpy(), expected.X)
    assert shadow.obsm["X_pca"].dtype == torch.float64
    assert shadow.layers["csr"].layout == torch.sparse_csr
    assert shadow.layers["csc"].layout == torch.sparse_csc
    for name in ["csr", "csc"]:
        np.testing.assert_array_equal(shadow.layers[name].to_dense().numpy(), expected.layers[name].toarray())


def test_a_callable_gets_what_numpy_would_have(path):
    seen = []

    def convert(value):
        seen.append(type(value))
        return ("converted", value)

    shadow, expected = AnnDataShadow(path, array_backend=convert), adata()
    tag, x = shadow.X
    assert tag == "converted"
    np.testing.assert_array_equal(x, expected.X)
    tag, layer = shadow.layers["csr"]
    assert tag == "converted"
    assert sp.issparse(layer)
    assert seen == [np.ndarray, type(layer)]
    assert shadow.uns["nested"]["text"] == "hello"
    assert len(seen) == 3  # what else is in `nested`


def test_numpy_keeps_sparse_matrices(path):
    shadow = AnnDataShadow(path)
    assert isinstance(shadow.layers["csr"], sp.csr_matrix)
    assert isinstance(shadow.layers["csc"], sp.csc_matrix)


# ---- tables


def _check_polars(found, expected: pd.DataFrame):
    import polars as pl

    assert isinstance(found, pl.DataFrame)
    assert found.columns == ["_index", *expected.columns]
    assert found["_index"].to_list() == expected.index.tolist()
    for name in expected.columns:
        values = [None if pd.isna(v) else v for v in expected[name].tolist()]
        assert found[name].to_list() == values, name
    assert isinstance(found.schema["group"], pl.Categorical | pl.Enum)
    assert found.schema["count"] == pl.Int64
    assert found.schema["maybe"] == pl.Int32
    assert found.schema["flag"] == pl.Boolean


def test_polars(path):
    shadow, expected = AnnDataShadow(path, table_backend="polars"), adata()
    _check_polars(shadow.obs, expected.obs)
    _check_polars(shadow[10:30].obs, expected.obs[10:30])
    _check_polars(shadow[[7, 3, -1]].obs, expected.obs.iloc[[7, 3, -1]])
    assert shadow.var["length"].to_list() == expected.var["length"].tolist()
    scores = shadow.obsm["scores"]
    assert scores.columns == ["_index", "s", "t"]
    assert scores["t"].to_list() == expected.obsm["scores"]["t"].tolist()


def test_arrow(path):
    import pyarrow as pa
    for name in ["pyarrow", "arrow"]:
        shadow, expected = AnnDataShadow(path, table_backend=name), adata()
        found = shadow.obs
        assert isinstance(found, pa.Table)
        assert found.column_names == ["_index", *expected.obs.columns]
        assert pa.types.is_dictionary(found.schema.field("group").type)
        for column in expected.obs.columns:
            values = [None if pd.isna(v) else v for v in expected.obs[column].tolist()]
            assert found[column].to_pylist() == values, column
        assert shadow.obsm["scores"]["s"].to_pylist() == expected.obsm["scores"]["s"].tolist()


@pytest.fixture
def gaps(path):
    """With NaN among floats, which is a number, and with what is missing, which is not."""
    import shutil

    shutil.rmtree(path) if path.is_dir() else path.unlink()
    made = adata()
    made.obs["nan"] = np.where(np.arange(60) % 2, np.nan, 1.0)
    made.obsm["gaps"] = made.obs[["nan", "maybe", "gaps", "count", "note"]].copy()
    container = "h5ad" if path.suffix == ".h5ad" else "zarr3"
    return write(made, path.parent, container), made


def test_nan_is_a_number_everywhere(gaps):
    path, made = gaps
    expected = made.obsm["gaps"]
    for backend in ["polars", "pyarrow"]:
        shadow = AnnDataShadow(path, table_backend=backend)
        lazy = AnnDataShadow(path, table_backend=backend, lazy=True)
        some = lazy.obs[list(expected.columns)]
        tables = [shadow.obs, shadow.obsm["gaps"], some.read(), some[:], lazy.obsm["gaps"].read(), lazy.obsm["gaps"][:]]
        for table in tables:
            assert table.shape[0] == 60
            for name in expected.columns:
                found = table[name].to_list() if backend == "polars" else table[name].to_pylist()
                missing = expected[name].isna() if name in ("maybe", "gaps") else np.zeros(60, bool)
                assert [value is None for value in found] == missing.tolist(), name
                known = [value for value in found if value is not None]
                np.testing.assert_array_equal(known, expected[name][~missing].tolist())


@pytest.mark.parametrize("backend", ["polars", "pyarrow"])
@pytest.mark.parametrize("index_name", [None, "cell"])
def test_frames_that_were_handed_out_can_be_set(tmp_path, backend, index_name):
    made = adata()
    made.obs.index.name = made.obsm["scores"].index.name = index_name
    made.uns["frame"] = pd.DataFrame({"a": [1.5, np.nan]}, index=["p", "q"])
    path = write(made, tmp_path, "h5ad")
    shadow = AnnDataShadow(path, table_backend=backend)
    shadow.obsm["again"] = shadow.obsm["scores"]
    shadow.obs = shadow.obs
    shadow.uns["again"] = shadow.uns["frame"]
    shadow.reopen("r+").write().close()
    read = ad.io.read_h5ad(path)
    for again, first in [
        (read.obsm["again"], read.obsm["scores"]),
        (read.uns["again"], read.uns["frame"]),
        (read.obs[["depth"]], made.obs[["depth"]]),
    ]:
        assert again.index.tolist() == first.index.tolist()
        assert again.index.name == first.index.name
        assert again.columns.tolist() == first.columns.tolist()
        assert again.equals(first.astype(again.dtypes.to_dict()))


def test_rows_of_a_lazy_frame(path):
    """They are of the same types as all rows, and of a view those of the view."""
    import polars as pl
    shadow, expected = AnnDataShadow(path, table_backend="polars", lazy=True), adata()
    for rows in [slice(3, 9), slice(-4, None), slice(50, 3, -7), slice(0)]:
        _check_rows(shadow.obs[rows], shadow.obs.read(), expected.obs_names[rows])
        _check_rows(shadow[20:50].obs[rows], shadow.obs.read(), expected.obs_names[20:50][rows])
        _check_rows(shadow.var[rows], shadow.var.read(), expected.var_names[rows])
    assert isinstance(shadow.obs[:3], pl.DataFrame)


def _check_rows(found, whole, names):
    assert found["_index"].to_list() == names.tolist()
    assert found.schema == whole.schema
    at = [whole["_index"].to_list().index(name) for name in names]
    assert found.rows() == whole[at].rows()


def test_a_callable_gets_the_frame_of_pandas(path):
    shadow, expected = AnnDataShadow(path, table_backend=lambda frame: ("converted", frame)), adata()
    tag, frame = shadow.obs
    assert tag == "converted"
    read = ad.io.read_h5ad if path.suffix == ".h5ad" else ad.io.read_zarr
    pd.testing.assert_frame_equal(frame, read(path).obs)
    assert frame.columns.tolist() == expected.obs.columns.tolist()


def test_what_a_backend_made_can_be_set(path):
    import jax.numpy as jnp
    import polars as pl
    shadow, expected = AnnDataShadow(path, array_backend="jax", table_backend="polars"), adata()
    shadow.obsm["twice"] = jnp.asarray(shadow.obsm["X_pca"]) * 2
    shadow.obs = shadow.obs.with_columns(double=pl.col("count") * 2)
    shadow.reopen("r+").write().close()
    read = ad.io.read_h5ad(path) if path.suffix == ".h5ad" else ad.io.read_zarr(path)
    np.testing.assert_array_equal(read.obsm["twice"], expected.obsm["X_pca"].astype(np.float32) * 2)
    assert read.obs["double"].tolist() == (expected.obs["count"] * 2).tolist()
    assert read.obs_names.tolist() == expected.obs_names.tolist()
