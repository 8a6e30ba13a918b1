"""Handles that read on slicing: they give what numpy, scipy and pandas give of the whole, and read no more for it."""

import pickle

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from made import CONTAINERS, DATA, adata, modalities_of_2020, write

from anndata_shadow import AnnDataShadow, MuDataShadow

N, D = 60, 40

ROWS = [
    slice(None),
    slice(5, 9),
    slice(-3, None),
    slice(50, 3, -7),
    slice(40, 40),
    [3, 1, -1, 3],
    np.array([], dtype=int),
    [],
    np.arange(N) % 3 == 0,
    list(np.arange(N) % 3 == 0),
    pd.Series(np.arange(N) % 3 == 0),
    np.array([2, 5], dtype=np.uint8),
    7,
    -1,
    np.int32(4),
]


@pytest.fixture(params=CONTAINERS)
def shadow(request, tmp_path):
    return AnnDataShadow(write(adata(), tmp_path, request.param), lazy=True)


@pytest.fixture
def expected():
    return adata()


def same(found, wanted):
    if sp.issparse(wanted):
        assert sp.issparse(found)
        assert (found.format, found.dtype) == (wanted.format, wanted.dtype)
        found, wanted = found.toarray(), wanted.toarray()
    assert np.shape(found) == np.shape(wanted)
    assert np.asarray(found).dtype == np.asarray(wanted).dtype
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


# ---- arrays and matrices


@pytest.mark.parametrize("rows", ROWS, ids=repr)
def test_rows_of_dense_arrays(shadow, expected, rows):
    key = np.asarray(rows, dtype=int) if isinstance(rows, list) and not rows else rows
    same(shadow.X[rows], expected.X[np.asarray(key) if isinstance(key, pd.Series) else key])
    same(shadow.obsm["X_pca"][rows], expected.obsm["X_pca"][np.asarray(key) if isinstance(key, pd.Series) else key])


@pytest.mark.parametrize("rows", ROWS, ids=repr)
@pytest.mark.parametrize("layer", ["csr", "csc"])
def test_rows_of_sparse_matrices(shadow, expected, layer, rows):
    whole = expected.layers[layer]
    key = np.asarray(rows, dtype=int) if isinstance(rows, list) and not rows else rows
    wanted = whole.toarray()[np.asarray(key) if not isinstance(key, slice | int | np.integer) else key]
    wanted = type(whole)(np.atleast_2d(wanted), dtype=whole.dtype)
    same(shadow.layers[layer][rows], wanted)


@pytest.mark.parametrize(
    "key",
    [
        (slice(2, 30, 3), slice(1, 9)),
        (slice(None), [5, 0, -1]),
        ([5, 0, -1], slice(3, 20)),
        (slice(None), 4),
        (4, slice(None)),
        (4, -2),
        (Ellipsis, slice(2, 4)),
        (slice(2, 4), Ellipsis),
        Ellipsis,
        np.ix_([3, 1], [7, 7, 0]),
        np.ix_(np.arange(N) < 5, [2]),
        (3, [4, 5]),
        (slice(None), np.arange(D) % 2 == 1),
    ],
    ids=repr,
)
def test_both_axes(shadow, expected, key):
    same(shadow.X[key], expected.X[key])


def test_sparse_entries_and_blocks(shadow, expected):
    for name in ["csr", "csc"]:
        whole = expected.layers[name]
        i, j = (int(k[0]) for k in whole.nonzero())
        same(shadow.layers[name][i, j], whole[i, j])
        same(shadow.layers[name][np.ix_([5, 2], [7, 0, 1])], type(whole)(whole[[5, 2]][:, [7, 0, 1]]))
        same(shadow.layers[name][:, 3], whole[:, 3])


def test_names_select_along_named_axes(shadow, expected):
    same(shadow.X[["cell-7", "cell-2"]], expected.X[[7, 2]])
    same(shadow.X[:, ["gene-3"]], expected.X[:, [3]])
    same(shadow.X[:, "gene-3"], expected.X[:, 3])
    with pytest.raises(KeyError, match="gene-x"):
        _ = shadow.X[:, "gene-x"]


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (N, "out of bounds"),
        (-N - 1, "out of bounds"),
        (np.ones(N - 1, dtype=bool), "59"),
        ((0, 0, 0), "too many indices"),
        (([0, 1], [0, 1]), r"np\.ix_"),
        (None, "not by None"),
        (1.5, "not by 1.5"),
        (True, "not by True"),
        (np.ones((N, D), dtype=bool), "not by"),
        ((Ellipsis, Ellipsis), "ellipsis"),
        ((np.array([[1], [2]]), slice(None)), "not by tables of positions"),
        ((np.array([[1], [2]]), 3), "not by tables of positions"),
    ],
    ids=repr,
)
def test_what_cannot_be_taken_is_an_index_error(shadow, key, what):
    with pytest.raises(IndexError, match=what):
        _ = shadow.X[key]


def test_what_a_handle_knows(shadow, expected):
    wholes = {"X": expected.X, "layers/csr": expected.layers["csr"], "obsm/X_pca": expected.obsm["X_pca"]}
    for path, whole in wholes.items():
        handle = shadow.handle(path)
        assert (handle.shape, handle.ndim, handle.dtype) == (whole.shape, whole.ndim, whole.dtype)
        assert (len(handle), handle.size) == (N, N * whole.shape[1])
        assert handle.path == path
    assert [shadow.handle(p).format for p in ["X", "layers/csr", "layers/csc"]] == ["array", "csr", "csc"]
    assert repr(shadow.layers["csc"]) == "<LazyArray layers/csc: 60 × 40, csc float32>"
    assert repr(shadow.X) == "<LazyArray X: 60 × 40, float32>"


def test_read_and_array(shadow, expected):
    same(shadow.X.read(), expected.X)
    same(np.asarray(shadow.X), expected.X)
    same(np.asarray(shadow.X, dtype=np.float64), expected.X.astype(np.float64))
    same(shadow.layers["csr"].read(), expected.layers["csr"])
    with pytest.raises(TypeError, match="sparse, and is not made dense unasked"):
        np.asarray(shadow.layers["csr"])
    same(np.array(list(shadow.obsm["X_pca"])), expected.obsm["X_pca"])


def test_parts_are_read_as_parts(tmp_path):
    """Only the chunks that a selection touches: the store is compressed in chunks of 16 × 16."""
    shadow = AnnDataShadow(write(adata(), tmp_path, "zarr3"), lazy=True)
    handle = shadow.X
    assert handle.chunks == (16, 16)

    def chunks_of(key):
        before = shadow._core.io_stats()["chunks"]
        _ = handle[key]
        return shadow._core.io_stats()["chunks"] - before

    assert chunks_of((slice(48, 60), slice(32, 40))) == 1
    assert chunks_of((slice(32, 48), slice(None))) == 3
    before = shadow._core.io_stats()["chunks"]
    _ = (handle.shape, repr(handle), len(handle), repr(shadow.obs), shadow.obs.columns)
    assert shadow._core.io_stats()["chunks"] == before


# ---- frames and columns


def test_columns(shadow, expected):
    obs = shadow.obs
    assert list(obs) == list(obs.columns) == list(expected.obs.columns)
    assert obs.index.tolist() == expected.obs_names.tolist()
    assert (obs.shape, len(obs)) == (expected.obs.shape, N)
    assert "depth" in obs
    assert "nothing" not in obs
    for name in ["depth", "count", "flag"]:
        for rows in ROWS:
            key = np.asarray(rows, dtype=int) if isinstance(rows, list) and not rows else rows
            key = key if isinstance(key, slice | int | np.integer) else np.asarray(key)
            same(obs[name][rows], expected.obs[name].to_numpy()[key])
    assert obs["depth"].dtype == np.float64
    found = obs["group"][5:15]
    assert list(found) == expected.obs["group"].iloc[5:15].tolist()
    assert list(found.categories) == ["c", "a", "b", "none"]
    assert found.ordered
    assert obs["group"][3] == expected.obs["group"].iloc[3]
    assert obs["group"].dtype == expected.obs["group"].dtype
    pd.testing.assert_extension_array_equal(obs["maybe"][:9], expected.obs["maybe"].array[:9])
    assert list(obs["note"][[2, 0]]) == ["note 2", "note 0"]


def test_frames(shadow, expected):
    read = ad.io.read_h5ad if str(shadow._address).endswith("h5ad") else ad.io.read_zarr
    whole = read(shadow._address)
    pd.testing.assert_frame_equal(shadow.obs.read(), whole.obs)
    pd.testing.assert_frame_equal(shadow.obs[10:20], whole.obs[10:20])
    pd.testing.assert_frame_equal(shadow.obs.head(), whole.obs.head())
    some = shadow.obs[["note", "group"]]
    assert list(some.columns) == ["note", "group"]
    pd.testing.assert_frame_equal(some.read(), whole.obs[["note", "group"]])
    pd.testing.assert_frame_equal(some[-2:], whole.obs[["note", "group"]][-2:])
    pd.testing.assert_frame_equal(shadow.var.read(), whole.var)
    with pytest.raises(KeyError, match="there is no column 'nothing' in obs"):
        _ = shadow.obs["nothing"]
    pd.testing.assert_frame_equal(shadow.obsm["scores"][3:6], whole.obsm["scores"][3:6])


def test_frames_of_columns_that_are_gone(shadow, expected):
    some = shadow.obs[["count", "depth"]]
    del shadow.obs["depth"]
    assert list(some.columns) == ["count"]
    assert repr(some) == "<LazyFrame obs: 60 rows; count>"
    assert "depth" not in some
    assert some.read()["count"].tolist() == some[:]["count"].tolist() == expected.obs["count"].tolist()
    with pytest.raises(KeyError, match="there is no column 'depth'"):
        _ = some["depth"]
    shadow.discard()
    assert list(some.columns) == ["count", "depth"]


def test_handles_are_not_compared(shadow, expected):
    for handle in (shadow.X, shadow.obs["group"], shadow.obs):
        for other in ("a", 0, None, handle):
            with pytest.raises(TypeError, match=r"is compared with nothing: slice or \.read\(\) it first"):
                _ = handle == other
            with pytest.raises(TypeError, match=r"slice or \.read\(\) it first"):
                _ = handle != other
        assert {handle: 1}[handle] == 1
    assert ((shadow.obs["group"][:] == "a") == (expected.obs["group"] == "a")).all()


def test_columns_are_set_through_a_lazy_frame(shadow, expected):
    shadow.obs["twice"] = expected.obs["depth"] * 2
    shadow.obs["one"] = 1
    del shadow.obs["note"]
    assert {str(change.path) for change in shadow.changes()} == {"obs/twice", "obs/one", "obs/note"}
    same(shadow.obs["twice"][:5], (expected.obs["depth"] * 2).to_numpy()[:5])
    assert "note" not in shadow.obs
    shadow.reopen("r+").write()
    assert shadow.obs["one"][:3].tolist() == [1, 1, 1]


# ---- views, modes, copies


def test_views_count_within_the_view(shadow, expected):
    view = shadow[10:40, ["gene-5", "gene-2"]]
    cut = expected[10:40, ["gene-5", "gene-2"]]
    assert view.X.shape == (30, 2)
    same(view.X[:3], cut.X[:3])
    same(view.layers["csr"][[-1, 0]], cut.layers["csr"][[-1, 0]])
    assert view.obs["count"][:4].tolist() == cut.obs["count"].tolist()[:4]
    same(view.obsp["near"][:5, :5], cut.obsp["near"][:5][:, :5])


def test_lazy_and_eager(shadow, expected):
    assert shadow.is_lazy
    assert isinstance(shadow.handle("X"), type(shadow.X))
    shadow.eager()
    assert not shadow.is_lazy
    assert isinstance(shadow.X, np.ndarray)
    assert isinstance(shadow.obs, pd.DataFrame)
    same(shadow.handle("X")[:3], expected.X[:3])
    shadow.X[0, 0] = 99
    assert shadow.handle("X")[0, 0] == 99
    shadow.lazy()
    assert not isinstance(shadow.X, np.ndarray)
    with pytest.raises(KeyError):
        shadow.handle("obsm/nothing")
    with pytest.raises(TypeError, match="without rows"):
        shadow.handle("uns/nested")


def test_backends_apply(shadow, expected):
    seen = AnnDataShadow(shadow._address, lazy=True, array_backend=lambda a: ("mine", a))
    for key in [slice(3), 3, (slice(None), 3), (slice(2, 9), [4])]:
        tag, rows = seen.X[key]
        assert tag == "mine"
        same(rows, expected.X[key])
    # Of one entry there is nothing that a backend could make.
    assert seen.X[3, 4] == expected.X[3, 4]
    assert seen.obs["count"][3] == expected.obs["count"].iloc[3]
    assert seen.obs["group"][3] == expected.obs["group"].iloc[3]


def test_handles_pickle(shadow, expected):
    view = shadow[5:25]
    handle, frame = pickle.loads(pickle.dumps((view.layers["csr"], view.obs)))
    same(handle[:4], expected.layers["csr"][5:9])
    assert frame["count"][:2].tolist() == expected.obs["count"].tolist()[5:7]


def test_raw():
    path = DATA / "pbmc68k_reduced.h5ad"
    whole, shadow = ad.io.read_h5ad(path), AnnDataShadow(path, lazy=True)
    same(shadow.raw.X[5:9], whole.raw.X[5:9])
    same(shadow.handle("raw/X")[:, -3:], whole.raw.X[:, -3:])
    assert shadow.handle("raw/var").index.tolist() == whole.raw.var_names.tolist()


def test_mudata():
    path = DATA / "h5mu" / "muon_2020_rna_atac_1000x219.h5mu"
    (modalities, obsm), shadow = modalities_of_2020(path), MuDataShadow(path, lazy=True)
    assert list(shadow.mod) == list(modalities)
    for name, (x, var) in modalities.items():
        same(shadow.mod[name].X[:7], x[:7])
        frame = shadow.mod[name].var
        column = frame["gene_ids"] if "gene_ids" in frame else frame["feature_types"]
        assert list(column[5:9]) == list(var[column.path[4:]][5:9])
    np.testing.assert_array_equal(shadow.obsm["rna"][5:99], obsm["rna"][5:99])
