"""obs and var: by column as long as that will do, and as pandas does whatever is done to them."""

import copy
import pickle

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from same import read, same

from anndata_shadow import AnnDataShadow
from anndata_shadow._frame import ShadowFrame

N = 700


def add_scalar(obs):
    obs["new"] = 0.5


def add_array(obs):
    obs["new"] = np.arange(N)


def add_aligned(obs):
    obs["new"] = pd.Series(range(N), index=obs.index)[::-1]


def add_partly_aligned(obs):
    obs["new"] = pd.Series([1.0, 2.0], index=obs.index[[5, 3]])


def add_text(obs):
    obs["new"] = [f"cell {i}" for i in range(N)]


def add_categorical(obs):
    obs["new"] = pd.Categorical(["x", None, "y", "x", None] * 140, categories=["y", "x", "z"], ordered=True)


def add_nullable(obs):
    obs["new"] = pd.array([1, None] * 350, dtype="Int32")
    obs["flags"] = pd.array([True, None] * 350, dtype="boolean")


def replace(obs):
    obs["n_genes"] = obs["n_genes"] * 2


def replace_by_another_kind(obs):
    obs["louvain"] = obs["louvain"].astype(str) + "x"


def loc_part(obs):
    obs.loc[obs["louvain"] == "1", "n_genes"] = -1


def loc_new(obs):
    obs.loc[:, "new"] = np.arange(N) % 3 == 0


def iloc_part(obs):
    obs.iloc[:10, list(obs.columns).index("n_counts")] = 0


def at_one(obs):
    obs.at[obs.index[3], "n_genes"] = 12345


def insert(obs):
    obs.insert(2, "new", np.arange(N))


def drop(obs):
    obs.drop(columns=["n_genes", "phase"], inplace=True)


def delete(obs):
    del obs["n_genes"]


def pop(obs):
    obs.pop("louvain")


def rename(obs):
    obs.rename(columns={"louvain": "clusters"}, inplace=True)


def rename_two(obs):
    obs.columns = [name.upper() for name in obs.columns]


def several(obs):
    obs[["a", "b"]] = np.arange(2 * N).reshape(N, 2)


def assign_attribute(obs):
    obs.n_genes = np.zeros(N, dtype="i4")


def sequence(obs):
    obs["new"] = 1
    obs["new"] += obs["n_genes"]
    obs["more"] = obs["new"].astype("f4")
    del obs["new"]
    obs.loc[obs.index[0], "more"] = np.nan


def fill(obs):
    obs.fillna({"n_counts": 0}, inplace=True)
    obs.replace({"n_genes": {1003: 0}}, inplace=True)


def new_index(obs):
    # Of a bare list, pandas forgets the name of the index, and a shadow does not.
    obs.index = pd.Index([f"c{i}" for i in range(N)], name=obs.index.name)


def new_index_and_name(obs):
    obs.index = pd.Index([f"c{i}" for i in range(N)], name="cell")


EDITS = [
    add_scalar, add_array, add_aligned, add_partly_aligned, add_text, add_categorical, add_nullable, replace,
    replace_by_another_kind, loc_part, loc_new, iloc_part, at_one, insert, drop, delete, pop, rename, rename_two, several,
    assign_attribute, sequence, fill, new_index, new_index_and_name,
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("read_before", ["nothing", "some", "all"])
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_edits_are_those_of_pandas_and_reach_the_file(store, edit, read_before):
    if read_before != "nothing" and store.name.endswith("v2.zarr"):
        pytest.skip("two containers are enough")
    shadow, adata = AnnDataShadow(store), read(store)
    if read_before == "some":
        shadow.obs["louvain"], shadow.obs["n_genes"]
    elif read_before == "all":
        shadow.obs.copy()
    edit(shadow.obs)
    edit(adata.obs)
    same(shadow.obs, adata.obs, "in memory")
    shadow.reopen("r+").write().close()
    written = read(store)
    same(adata.obs, written.obs, "in the file")
    assert list(written.obsm["X_pca"].shape) == [N, 50]
    same(shadow.reopen().obs, adata.obs, "after writing")


@pytest.mark.parametrize("rows", [slice(None), slice(3), slice(0)], ids=str)
def test_texts_have_the_dtype_of_pandas(main, rows):
    """Out of any container: `str` with pandas 3, object with pandas 2; also of no rows."""
    shadow, own = AnnDataShadow(main)[rows], pd.Index(["text"]).dtype
    for frame in (shadow.obs, shadow.to_memory().obs):
        assert frame["text"].dtype == frame.index.dtype == own


def test_untouched_columns_are_not_written(store):
    shadow = AnnDataShadow(store)
    shadow.obs.loc[shadow.obs.index[:5], "n_genes"] = 0
    assert [change.path for change in shadow.changes()] == ["obs/n_genes"]
    shadow.discard()
    shadow.obs.rename(columns={"louvain": "clusters"}, inplace=True)
    change, = shadow.changes()
    assert (change.kind, change.old_path, change.path, change.bytes) == ("renamed", "obs/louvain", "obs/clusters", 0)
    shadow.discard()
    shadow.obs.copy(), shadow.var.describe(), shadow.obs.groupby("louvain", observed=True)["n_genes"].mean()
    assert not shadow.changes()


def test_discarding_brings_back_what_the_file_has(store):
    shadow, adata = AnnDataShadow(store), read(store)
    obs = shadow.obs
    obs["new"] = 1
    obs.loc[:, "n_genes"] = 0
    del obs["phase"]
    shadow.discard("obs/n_genes")
    same(obs["n_genes"], adata.obs["n_genes"])
    assert "new" in obs and "phase" not in obs
    shadow.discard()
    assert shadow.obs is obs
    same(obs, adata.obs)


def test_lists_of_columns_and_names_read_no_more_than_these(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    obs = shadow.obs
    same(obs[["louvain", "n_genes"]], adata.obs[["louvain", "n_genes"]])
    assert type(obs[["louvain"]]) is pd.DataFrame
    same(obs.louvain, adata.obs.louvain)
    assert list(obs) == list(obs.keys()) == list(adata.obs) and "louvain" in obs and len(obs) == N and obs.shape == (N, 8)
    same(obs.columns, adata.obs.columns)
    same(obs.index, adata.obs.index)
    assert obs.get("nothing") is None and not obs.empty and obs.ndim == 2
    assert obs._is_lazy
    with pytest.raises(KeyError, match="nothing"):
        obs["nothing"]
    same(obs[obs["louvain"] == "1"], adata.obs[adata.obs["louvain"] == "1"])
    assert not obs._is_lazy


def test_everything_else_is_pandas(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    for look in (
        lambda f: f.head(3), lambda f: f.iloc[[5, 2]], lambda f: f.loc[f.index[3:5], ["louvain"]], lambda f: f.describe(),
        lambda f: f.dtypes, lambda f: f.T, lambda f: f.sort_values("n_genes"), lambda f: f.query("n_genes > 600"),
        lambda f: f.groupby("louvain", observed=True)["n_genes"].sum(), lambda f: f.isna(), lambda f: f.copy(),
        lambda f: f.merge(f, left_index=True, right_index=True), lambda f: pd.concat([f, f]), lambda f: f.reset_index(),
        lambda f: f.select_dtypes("number"), lambda f: pd.crosstab(f["louvain"], f["phase"]), lambda f: f.value_counts("phase"),
        copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f)), lambda f: f.rename(columns=str.upper),
    ):
        shadow.clear_cache()
        got, expected = look(shadow.obs), look(adata.obs)
        assert not isinstance(got, ShadowFrame) or got is shadow.obs
        same(got, expected)
    assert repr(shadow.obs) == repr(adata.obs) and shadow.obs._repr_html_() == adata.obs._repr_html_()
    assert not shadow.changes()


def test_an_anndata_takes_the_frames(pbmc):
    shadow = AnnDataShadow(pbmc)
    adata = ad.AnnData(shadow.X, obs=shadow.obs, var=shadow.var)
    assert type(adata.obs) is pd.DataFrame
    same(adata.obs, read(pbmc).obs)


def test_a_frame_can_be_set_as_a_whole(store):
    shadow, adata = AnnDataShadow(store), read(store)
    new = pd.DataFrame({"b": np.arange(N), "a": pd.Categorical(["u", "v"] * 350)}, index=[f"n{i}" for i in range(N)])
    shadow.obs = new
    adata.obs = new
    same(shadow.obs, new)
    assert list(shadow.obs_names[:2]) == ["n0", "n1"]
    shadow.obs["c"] = 1.5
    adata.obs["c"] = 1.5
    shadow.obs = shadow.obs[["c", "a", "b"]]
    adata.obs = adata.obs[["c", "a", "b"]]
    shadow.reopen("r+").write().close()
    same(read(store).obs, adata.obs)


def test_rows_cannot_change_in_number(store):
    shadow = AnnDataShadow(store)
    with pytest.raises(ValueError):
        shadow.obs = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    with pytest.raises(ValueError):
        shadow.obs["new"] = [1, 2, 3]
    with pytest.raises(ValueError, match="Length mismatch"):
        shadow.obs.index = ["x"]
    assert not shadow.changes()


def test_what_cannot_be_stored_is_refused_at_once(store):
    shadow = AnnDataShadow(store)
    for value, words in (
        ([object()] * N, "object"),
        (pd.period_range("2020", periods=N, freq="D"), "astype"),
        ([1, "a"] * 350, "int, str"),
        (pd.date_range("2020", periods=N, tz="UTC"), "time zone"),
    ):
        with pytest.raises(TypeError, match=words):
            shadow.obs["new"] = value
        assert "new" not in shadow.obs
    assert not shadow.changes()


def test_names_of_rows(store):
    shadow, adata = AnnDataShadow(store), read(store)
    for obj in (shadow, adata):
        obs = obj.obs
        obs["louvain"]
        obj.obs_names = [f"o{i}" for i in range(N)]
        obj.var_names = obj.var_names.str.lower()
        assert obs.index[0] == "o0" and obs["louvain"].index[1] == "o1"
    # Of a bare list, AnnData forgets the name of the index, and a shadow does not.
    same(shadow.obs_names.rename(None), adata.obs_names)
    assert shadow["o5"].n_obs == 1
    shadow.reopen("r+").write().close()
    written = read(store)
    assert list(written.obs_names) == list(adata.obs_names) and list(written.var_names) == list(adata.var_names)


def test_frames_in_obsm_follow_the_names(main):
    shadow, adata = AnnDataShadow(main), read(main)
    frame = shadow.obsm["frame"]
    names = [f"o{i}" for i in range(adata.n_obs)]
    shadow.obs_names = names
    assert list(frame.index) == names and list(shadow.obsm["frame"].index) == names
    shadow.reopen("r+").write().close()
    assert list(read(main).obsm["frame"].index) == names


def test_frames_of_polars_keep_the_order_of_categories(store):
    import polars as pl
    shadow, adata = AnnDataShadow(store, table_backend="polars"), read(store)
    shadow.obs = shadow.obs.with_columns(pl.Series("new", range(N)), pl.col("n_genes") * 2)
    shadow.reopen("r+").write().close()
    written = read(store).obs
    same(written["louvain"], adata.obs["louvain"])
    same(written["n_genes"], adata.obs["n_genes"] * 2)
    assert written["new"].tolist() == list(range(N))


def test_columns_of_other_libraries(store):
    import polars as pl
    import pyarrow as pa
    shadow = AnnDataShadow(store)
    shadow.obs["polars"] = pl.Series(["x", "y"] * 350, dtype=pl.Categorical)
    shadow.obs["enum"] = pl.Series(["x", "y"] * 350, dtype=pl.Enum(["y", "x", "z"]))
    shadow.obs["gaps"] = pl.Series([1, None] * 350)
    shadow.obs["arrow"] = pa.array([True, False] * 350)
    shadow.obs["dictionary"] = pa.array(["p", "q"] * 350).dictionary_encode()
    shadow.reopen("r+").write().close()
    obs = read(store).obs
    assert obs["polars"].astype(str).tolist() == ["x", "y"] * 350 and obs["polars"].dtype == "category"
    assert list(obs["enum"].cat.categories) == ["y", "x", "z"]
    assert obs["gaps"].dtype == "Int64" and obs["gaps"].isna().sum() == 350
    assert obs["arrow"].dtype == bool and obs["arrow"].sum() == 350
    assert obs["dictionary"].astype(str).tolist() == ["p", "q"] * 350
