"""Slots: which names they take, and that they are set as a whole or not at all; what they take from other libraries."""


import numpy as np
import pandas as pd
import pytest
from same import same

from anndata_shadow import AnnDataShadow, ShapeError
from anndata_shadow._values import anndata_version

# ---- names


def test_paths_are_no_names(pbmc):
    shadow = AnnDataShadow(pbmc)
    params = shadow.uns["neighbors"]
    params["new"] = 2
    with pytest.raises(ValueError, match="/"):
        shadow.uns["neighbors/more"] = 3
    for name in ("neighbors/params", "neighbors/new", "no/where"):
        with pytest.raises(KeyError, match="one by one"):
            del shadow.uns[name]
        with pytest.raises(KeyError, match="one by one"):
            shadow.uns.rename(name, "up")
    with pytest.raises(ValueError, match="/"):
        shadow.uns.rename("pca", "neighbors/pca")
    with pytest.raises(ValueError, match="/"):
        shadow.obsm["a/b"] = np.zeros((700, 2))
    assert shadow.uns["neighbors"] is params and [change.path for change in shadow.changes()] == ["uns/neighbors/new"]


def test_names_are_text(pbmc):
    shadow = AnnDataShadow(pbmc)
    uns = shadow.uns
    for do in (lambda: uns.__setitem__(1, 2), lambda: uns.__delitem__(1), lambda: uns.rename(1, "x")):
        with pytest.raises(TypeError, match="text"):
            do()
    assert not shadow.changes()


# ---- as a whole


@pytest.mark.parametrize(
    "bad",
    [
        {"x": np.zeros((3, 3))}, {"good": np.zeros((700, 1)), "x": np.zeros(7)}, {"x": object()},
        {"a/b": np.zeros((700, 1))}, {3: np.zeros((700, 1))},
        {"X_pca": np.zeros((700, 1)), "x": pd.DataFrame({"a": np.zeros(700)})},
    ],
    ids=range(6),
)
def test_a_slot_that_cannot_be_set_is_as_it_was(pbmc, bad):
    shadow = AnnDataShadow(pbmc)
    pca = shadow.obsm["X_pca"]
    pca[0] = 5
    with pytest.raises((ValueError, TypeError)):
        shadow.obsm = bad
    assert shadow.obsm["X_pca"] is pca and list(shadow.obsm) == ["X_pca", "X_umap"]
    assert [change.path for change in shadow.changes()] == ["obsm/X_pca"]


def test_what_a_slot_is_set_to_is_handed_out(store):
    shadow = AnnDataShadow(store, mode="r+")
    one, nested = np.zeros((700, 1)), {"a": np.arange(3)}
    shadow.obsm = {"X_umap": one, "new": shadow.obsm["X_pca"]}
    shadow.uns = {"nested": nested}
    assert shadow.obsm["X_umap"] is one and shadow.uns["nested"] is nested
    one[0], nested["a"][1] = 9, -1
    shadow.write(clear_cache=True)
    assert sorted(shadow.obsm) == ["X_umap", "new"] and list(shadow.uns) == ["nested"]
    assert shadow.obsm["X_umap"][0, 0] == 9 and shadow.uns["nested"]["a"].tolist() == [0, -1, 2]


def test_slots_are_joined_as_dicts_are(pbmc):
    shadow = AnnDataShadow(pbmc)
    before = shadow.io_stats()["bytes_read"]
    shadow.uns |= {"new": 1}
    shadow.uns.update(more=2)
    shadow.uns = shadow.uns
    assert {change.path for change in shadow.changes()} == {"uns/new", "uns/more"}
    assert shadow.io_stats()["bytes_read"] == before
    joined = shadow.obsm | {"Y": 1}
    assert type(joined) is dict and list(joined) == ["X_pca", "X_umap", "Y"] and "Y" not in shadow.obsm
    assert list({"Y": 1} | shadow.obsm) == ["Y", "X_pca", "X_umap"]
    with pytest.raises(TypeError):
        shadow.obsm | 3


# ---- raw of whatever it is handed out as


KINDS = [{}, {"lazy": True}, {"table_backend": "polars"}, {"table_backend": "pyarrow"}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_raw_can_be_set_to_that_of_another(pbmc, kind):
    plain, other = AnnDataShadow(pbmc), AnnDataShadow(pbmc, **kind)
    shadow = AnnDataShadow(pbmc)
    del shadow.raw
    shadow.raw = other.raw
    same(shadow.raw.X, plain.raw.X)
    same(shadow.raw.var, plain.raw.var)
    shadow.raw = other.raw[:, [5, 2]]
    same(shadow.raw.X, plain.raw[:, [5, 2]].X)
    same(shadow.raw.var, plain.raw.var.iloc[[5, 2]])
    other.raw = other.raw
    assert other.raw.shape == plain.raw.shape


def test_changes_in_place_in_raw_go_along(pbmc):
    one, two = AnnDataShadow(pbmc), AnnDataShadow(pbmc)
    one.raw.X.data[:] = 7
    two.raw = one.raw
    assert (two.raw.X.data == 7).all()


# ---- tables of other libraries


def test_columns_that_cannot_be_stored_are_named(pbmc):
    import datetime

    import polars as pl
    import pyarrow as pa
    shadow = AnnDataShadow(pbmc)
    spans = [datetime.timedelta(seconds=1)] * 2
    for table in (
        pl.DataFrame({"fine": [1, 2], "odd": spans}), pl.DataFrame({"odd": [[1], [2, 3]]}),
        pa.table({"fine": [1, 2], "odd": spans}), pa.table({"odd": [[1], [2, 3]]}),
    ):
        with pytest.raises(TypeError, match=r"uns/t: .*'odd'"):
            shadow.uns["t"] = table
    assert not shadow.changes()


def test_dates_and_row_names_of_other_libraries(pbmc):
    import datetime

    import polars as pl
    import pyarrow as pa
    shadow = AnnDataShadow(pbmc)
    days = [datetime.date(2020, 1, 2), datetime.date(2021, 3, 4)]
    for make in (pl.DataFrame, pa.table):
        shadow.uns["t"] = make({"_index": ["a", "b"], "day": days})
        frame = shadow.to_memory().uns["t"]
        assert list(frame.index) == ["a", "b"] and frame.index.name is None and list(frame.columns) == ["day"]
        assert frame["day"].tolist() == [pd.Timestamp(day) for day in days]


def test_colors_of_a_view_go_into_its_copies(store):
    view = AnnDataShadow(store)[:50]
    view.uns["phase_colors"] = ["#000000", "#111111", "#222222"]
    assert list(view.copy().uns["phase_colors"]) == ["#000000", "#111111", "#222222"]
    assert "phase_colors" not in AnnDataShadow(store).uns


@pytest.mark.skipif(anndata_version() < (0, 13), reason="X is none of layers")
def test_layers_with_an_x_that_does_not_fit_stay_as_they_were(store):
    shadow = AnnDataShadow(store)
    shadow.layers["old"] = np.zeros(shadow.shape)
    with pytest.raises(ShapeError):
        shadow.layers = {None: np.zeros((3, 3)), "new": np.zeros(shadow.shape)}
    with pytest.raises(TypeError):
        shadow.layers = {None: object(), "new": np.zeros(shadow.shape)}
    assert set(shadow.layers) - {None} == {"old"}
