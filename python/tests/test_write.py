"""What is set, changed in place, removed and renamed in a shadow is, once written, what anndata has after the same."""

import subprocess
import sys

import anndata as ad
import awkward as ak
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from same import read, same, same_anndata

from anndata_shadow import AnnDataShadow


def renamed(slot, old, new):
    """In a slot of either kind."""
    if hasattr(slot, "rename"):
        slot.rename(old, new)
    else:
        slot[new] = slot.pop(old)


def set_dense(a):
    a.X = np.ones(a.shape, "f8")
    a.layers["new"] = np.arange(a.n_obs * a.n_vars, dtype="i4").reshape(a.shape)
    a.obsm["new"] = np.full((a.n_obs, 2), np.nan, "f4")
    a.varm["new"] = np.ones((a.n_vars, 1), bool)
    a.obsp["new"] = np.zeros((a.n_obs, a.n_obs), "f2")
    a.varp["new"] = np.eye(a.n_vars)
    a.uns["new"] = np.arange(6).reshape(2, 3)


def set_sparse(a):
    x = sp.random(a.n_obs, a.n_vars, density=0.3, format="csc", random_state=0)
    a.X = x
    a.layers["csr"] = x.tocsr().astype("f4")
    a.obsm["sparse"] = x.tocsr()[:, :3]
    a.obsp["graph"] = sp.random(a.n_obs, a.n_obs, density=0.3, format="csr", random_state=1)
    a.uns["matrix"] = sp.eye(3, format="csr")


def set_nested(a):
    a.uns["new"] = {
        "text": "ü", "number": 1.5, "whole": 3, "flag": True, "list": [1, 2], "texts": ["a", "b"],
        "frame": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=["r0", "r1"]), "deep": {"er": {"est": np.arange(3)}},
        "cat": pd.Categorical(["a", None, "b"]), "empty": {},
    }


def set_after_giving(a):
    """As scanpy does: a dict is put there first, and filled then."""
    a.uns["method"] = {}
    a.uns["method"]["params"] = {"k": 15}
    found = a.uns["method"]
    found["params"]["metric"] = "euclidean"
    found["scores"] = np.zeros(3)
    found["records"] = np.array([(1, 2.5), (2, 3.5)], dtype=[("a", "i4"), ("b", "f8")])


def set_frame_and_awkward(a):
    a.obsm["table"] = pd.DataFrame({"p": np.arange(a.n_obs), "q": pd.Categorical(["x"] * a.n_obs)}, index=a.obs_names)
    a.obsm["ragged"] = ak.Array([list(range(i)) for i in range(a.n_obs)])


def replace_each(a):
    for slot in (a.obsm, a.varm, a.obsp, a.varp, a.layers):
        for name in list(slot):
            if isinstance(slot[name], np.ndarray):
                slot[name] = slot[name].astype("f8") * 2
    a.obs["f32"] = np.zeros(a.n_obs)
    a.var["symbol"] = "all the same"


def change_in_place(a):
    a.X.data[:] = 7
    a.layers["dense_f64"][0] = -1
    a.layers["csc_f32"].data += 1
    a.obsm["X_pca"][:, 0] = 0
    a.obsm["frame"].loc[a.obs_names[0], "p"] = 99
    a.varm["PCs"] *= 2
    a.obsp["connectivities"][1, 2] = 5
    a.varp["corr"][:] = 3
    a.uns["deep"]["a"]["b"]["new"] = "there"
    a.uns["neighbors"]["params"]["n_neighbors"] = 16
    del a.uns["neighbors"]["params"]["metric"]
    a.uns["cat_colors"][0] = "#000000"
    a.uns["frame"]["w"] = [1.0, 2.0]


def change_nothing(a):
    for slot in (a.layers, a.obsm, a.varm, a.obsp, a.varp, a.uns):
        dict(slot)
    a.X, a.obs.copy(), a.var.copy(), a.raw.X, a.raw.var


def remove(a):
    del a.layers["dense_f64"], a.obsm["ragged"], a.varm["PCs"], a.obsp["distances"], a.varp["corr"]
    del a.uns["deep"], a.obs["text"], a.var["hv"]
    del a.uns["neighbors"]["params"]
    del a.raw
    a.obsm.pop("tensor")


def rename(a):
    renamed(a.layers, "dense_f64", "counts")
    renamed(a.obsm, "X_pca", "X_old")
    renamed(a.varm, "PCs", "loadings")
    renamed(a.obsp, "distances", "far")
    renamed(a.uns, "neighbors", "around")
    a.obs.rename(columns={"cat": "clusters"}, inplace=True)


def set_rename_and_change(a):
    a.obsm["first"] = np.zeros((a.n_obs, 2))
    renamed(a.obsm, "first", "second")
    a.obsm["second"][:] = 1


def set_raw(a):
    a.raw = a.to_memory() if isinstance(a, AnnDataShadow) else a.copy()


def remove_x(a):
    a.X = None


EDITS = [
    set_dense, set_sparse, set_nested, set_after_giving, set_frame_and_awkward, replace_each, change_in_place, change_nothing,
    remove, rename, set_rename_and_change, set_raw, remove_x,
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_edits_reach_the_file_as_with_anndata(main, tmp_path, edit):
    shadow, adata = AnnDataShadow(main), read(main)
    edit(shadow)
    edit(adata)
    expected = after_writing(adata, tmp_path / f"expected{main.suffix}")
    same_shadow(shadow, expected)
    assert bool(shadow.changes()) == (edit is not change_nothing)
    assert shadow.reopen("r+").write().reopen("r") is shadow
    assert not shadow.changes()
    same_anndata(read(main), expected)
    same_anndata(shadow.to_memory(), expected)
    shadow.clear_cache()
    same_anndata(shadow.to_memory(), expected)


def after_writing(adata, path):
    """What anndata reads of it after it has written it."""
    write = adata.write_h5ad if path.suffix == ".h5ad" else adata.write_zarr
    write(path, convert_strings_to_categoricals=False)
    return read(path)


def same_shadow(shadow, expected):
    """Before anything is written, the shadow is as if it were."""
    same_anndata(shadow.to_memory(), expected)
    assert shadow.obs_keys() == list(expected.obs.columns)
    for slot in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        assert set(getattr(shadow, slot)) == set(getattr(expected, slot))


# ---- modes, and what is kept


def test_writing_needs_a_file_open_for_it(store):
    shadow = AnnDataShadow(store)
    shadow.obsm["X_pca_copy"] = shadow.obsm["X_pca"].copy()
    with pytest.raises(OSError, match=r"read-only.*reopen\('r\+'\)"):
        shadow.write()
    shadow.reopen(mode="r+")
    assert repr(shadow.obsm) == "obsm:\tX_pcaᐁ, X_umap, X_pca_copy▲"
    assert shadow.write(clear_cache=True).reopen(mode="r") is shadow
    assert repr(shadow.obsm) == "obsm:\tX_pca, X_pca_copy, X_umap"
    same(read(store).obsm["X_pca_copy"], read(store).obsm["X_pca"])


def test_the_receipt_tells_what_was_written(store):
    shadow = AnnDataShadow(store, mode="r+")
    shadow.uns["note"] = "written"
    assert [change.path for change in shadow.changes()] == ["uns/note"]
    shadow.write()
    assert [change.path for change in shadow.receipt.elements] == ["uns/note"]
    assert shadow.receipt.bytes_written > 0 and "uns/note" in str(shadow.receipt)


def test_writing_in_one_go(store):
    shadow = AnnDataShadow(store)
    shadow.uns["note"] = "written"
    assert shadow.reopen_and_write() is shadow and shadow.mode == "r"
    assert read(store).uns["note"] == "written"
    shadow.obsm["X_pca"][:] = 0
    shadow.uns["bad"] = [1, 2]
    shadow.uns["bad"].append(object())
    with pytest.raises(TypeError):
        shadow.reopen_and_write()
    assert shadow.mode == "r"


def test_what_is_pending_outlives_reopening_and_closing(store):
    shadow = AnnDataShadow(store)
    pca = shadow.obsm["X_pca"]
    pca[:] = 1
    shadow.obs["new"] = 1
    shadow.close().reopen("r+").reopen("r").close()
    shadow.reopen("r+")
    assert shadow.obsm["X_pca"] is pca
    pca[:] = 2
    shadow.write().close()
    written = read(store)
    assert (written.obsm["X_pca"] == 2).all() and (written.obs["new"] == 1).all()


def test_discarding_forgets_what_was_changed_in_place(store):
    shadow, adata = AnnDataShadow(store), read(store)
    shadow.obsm["X_pca"][:] = 1
    shadow.uns["pca"]["variance"][0] = -1
    shadow.uns["pca"]["new"] = 1
    assert {change.path for change in shadow.changes()} == {"obsm/X_pca", "uns/pca/variance", "uns/pca/new"}
    assert shadow.discard("uns/pca/new") is shadow
    assert "new" not in shadow.uns["pca"] and shadow.uns["pca"]["variance"][0] == -1
    shadow.discard()
    same(shadow.obsm["X_pca"], adata.obsm["X_pca"])
    same(shadow.uns["pca"], adata.uns["pca"])
    assert not shadow.changes()


def test_what_cannot_be_stored_blocks_writing_only(store):
    shadow, adata = AnnDataShadow(store), read(store)
    shadow.uns["pca"]["bad"] = object()
    assert "uns:" in repr(shadow)
    with pytest.raises(TypeError, match="uns/pca/bad"):
        shadow.changes()
    shadow.reopen("r+").close().reopen("r+")
    with pytest.raises(TypeError, match="uns/pca/bad"):
        shadow.write()
    shadow.discard("uns/pca")
    same(shadow.uns["pca"], adata.uns["pca"])
    assert not shadow.changes()


def test_another_file_is_written_by_anndata(store, tmp_path):
    shadow = AnnDataShadow(store)
    shadow.uns["note"] = "only there"
    shadow.write(tmp_path / "other.h5ad")
    shadow[:10, :5].write_h5ad(tmp_path / "part.h5ad")
    assert read(tmp_path / "other.h5ad").uns["note"] == "only there" and "note" not in read(store).uns
    assert read(tmp_path / "part.h5ad").shape == (10, 5)


def test_what_another_program_has_written_is_seen_after_reopening(store):
    shadow = AnnDataShadow(store)
    shadow.obsm["X_pca"], shadow.obs["louvain"], shadow.uns["pca"]
    shadow.uns["mine"] = 1
    code = (
        "import sys; from anndata_shadow import AnnDataShadow as S; s = S(sys.argv[1], mode='r+');"
        "s.obsm['X_pca'][:] = 5; s.obs['louvain'] = 'all'; s.write()"
    )
    shadow.close()
    subprocess.run([sys.executable, "-c", code, str(store)], check=True)
    shadow.reopen()
    assert (shadow.obsm["X_pca"] == 5).all() and set(shadow.obs["louvain"]) == {"all"} and shadow.uns["mine"] == 1


# ---- values of many kinds


VALUES = {
    "list": ([1, 2, 3], np.array([1, 2, 3])),
    "texts": (["a", "ü"], np.array(["a", "ü"], dtype=object)),
    "tuple": ((1.5, 2.5), np.array([1.5, 2.5])),
    "nested list": ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
    "fixed texts": (np.array(["a", "bcd"]), np.array(["a", "bcd"], dtype=object)),
    "objects": (np.array(["a", "b"], dtype=object), np.array(["a", "b"], dtype=object)),
    "object numbers": (np.array([1, 2], dtype=object), np.array([1, 2])),
    "object bools": (np.array([True, False], dtype=object), np.array([True, False])),
    "big endian": (np.array([1, 2], ">i4"), np.array([1, 2], "i4")),
    "fortran": (np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(6.0).reshape(2, 3)),
    "strided": (np.arange(10)[::3], np.arange(10)[::3]),
    "matrix": (np.matrix([[1, 2]]), np.array([[1, 2]])),
    "masked": (np.ma.masked_array([1.0, 2.0], [False, True]), np.array([1.0, np.nan])),
    "coo": (sp.coo_matrix(np.eye(3)), sp.csr_matrix(np.eye(3))),
    "csr array": (sp.csr_array(np.eye(3)), sp.csr_matrix(np.eye(3))),
    "series": (pd.Series([1, 2]), np.array([1, 2])),
    "index": (pd.Index(["a", "b"]), np.array(["a", "b"], dtype=object)),
    "numpy scalar": (np.float32(1.5), 1.5),
    "numpy text": (np.str_("x"), "x"),
    "complex": (1 + 2j, 1 + 2j),
    "none": (None, None),
    "bool": (True, True),
    "int array": (pd.array([1, None], dtype="Int64"), pd.array([1, None], dtype="Int64")),
    "float array": (pd.array([1.5, None], dtype="Float64"), np.array([1.5, np.nan])),
    "int categories": (pd.Categorical([3, 1, 3]), pd.Categorical([3, 1, 3])),
    "missing texts": (pd.array(["a", None], dtype="string"), pd.array(["a", None], dtype="string")),
    "dates": (np.array(["2020-01-01"], "M8[D]"), np.array(["2020-01-01"], "M8[s]")),
}


def test_values_of_many_kinds(store):
    shadow = AnnDataShadow(store)
    for name, (value, _) in VALUES.items():
        shadow.uns[name] = value
    if store.suffix == ".h5ad":
        with pytest.raises(NotImplementedError, match="HDF5 has no form for datetime64"):
            shadow.reopen("r+").write()
        del shadow.uns["dates"]
    shadow.reopen("r+").write(clear_cache=True)
    for name in shadow.uns.keys() & VALUES.keys():
        same(shadow.uns[name], VALUES[name][1], name)


@pytest.mark.parametrize(
    "value",
    [
        object(), {1, 2}, [1, "a"], [[1], [2, 3]], {"a": {3: 1}}, np.array([1, "a"], dtype=object), lambda: 1,
        np.timedelta64(1, "s"), pd.Timestamp("2020", tz="UTC"), pd.NA, pd.interval_range(0, 2),
    ],
    # Without addresses: workers collect tests apart.
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_what_has_no_form_is_refused(store, value):
    shadow = AnnDataShadow(store)
    with pytest.raises(TypeError):
        shadow.uns["new"] = value
    assert "new" not in shadow.uns and not shadow.changes()


def test_tensors_and_tables_of_other_libraries(store):
    import polars as pl
    import pyarrow as pa
    shadow = AnnDataShadow(store)
    shadow.uns["polars"] = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    shadow.uns["arrow"] = pa.table({"a": [1.5, None], "b": ["x", "y"]})
    try:
        import jax.numpy as jnp
    except ImportError:
        pass
    else:
        shadow.obsm["jax"] = jnp.ones((700, 2))
    shadow.reopen("r+").write(clear_cache=True)
    assert shadow.uns["polars"]["a"].tolist() == [1, 2] and shadow.uns["polars"]["b"].isna().tolist() == [False, True]
    assert shadow.uns["arrow"]["b"].tolist() == ["x", "y"]
    if "jax" in shadow.obsm:
        same(shadow.obsm["jax"], np.ones((700, 2), "f4"))


def test_an_open_dataset_is_read_and_not_kept(store, tmp_path):
    import h5py

    shadow = AnnDataShadow(store)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.ones((700, 2))
        shadow.obsm["new"] = file["x"]
    same(shadow.obsm["new"], np.ones((700, 2)))
    assert isinstance(shadow.obsm["new"], np.ndarray)


def test_an_object_written_by_a_shadow_is_read_by_anndata_backed(store):
    if store.suffix != ".h5ad":
        pytest.skip("anndata backs h5ad only")
    shadow = AnnDataShadow(store, mode="r+")
    shadow.layers["double"] = shadow.X * 2
    shadow.write().close()
    backed = ad.io.read_h5ad(store, backed="r")
    same(backed.layers["double"], np.asarray(backed.to_memory().X) * 2)
