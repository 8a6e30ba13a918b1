"""AnnDataShadow beside AnnData: what it shows, gives, cuts, and is taken for."""

import os
import pickle
import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from conftest import DATA
from same import read, same, same_anndata

import anndata_shadow
from anndata_shadow import AnnDataShadow, settings

SHOWN = """\
AnnData Shadow object with n_obs × n_vars = 700 × 765
  X
  raw:	X, var, varm
  obs:	index, bulk_labels, n_genes, percent_mito, n_counts, S_score, G2M_score, phase, louvain
  var:	index, n_counts, means, dispersions, dispersions_norm, highly_variable
  obsm:	X_pca, X_umap
  varm:	PCs
  obsp:	connectivities, distances
  uns:	bulk_labels_colors, louvain, louvain_colors, neighbors, pca, rank_genes_groups"""


def lines(shadow):
    """What is shown of each slot."""
    return dict(line.strip().split("\t") for line in repr(shadow).split("\n")[1:] if "\t" in line)


# ---- what is shown


def test_opening_shows_what_is_there(pbmc):
    assert repr(AnnDataShadow(pbmc)) == SHOWN


def test_marks_tell_what_is_in_memory_and_what_is_pending(pbmc):
    shadow = AnnDataShadow(pbmc)
    shadow.obsm["X_pca"]
    shadow.obs["louvain"]
    shadow.obs["score"] = 0.5
    shadow.obsm["X_scaled"] = np.zeros((700, 2))
    shadow.obsm["X_umap"] = np.zeros((700, 3))
    del shadow.varm["PCs"]
    found = lines(shadow)
    assert found["obsm:"] == "X_pcaᐁ, X_umap▼, X_scaled▲"
    assert found["obs:"].endswith("phase, louvainᐁ, score▲")
    assert found["varm:"] == "PCs×"
    assert repr(shadow.obsm) == "obsm:\tX_pcaᐁ, X_umap▼, X_scaled▲"
    shadow.X
    assert "\n  Xᐁ\n" in repr(shadow)


def test_large_elements_are_marked_though_the_core_does_not_keep_them(tmp_path):
    path = tmp_path / "large.h5ad"
    ad.AnnData(np.zeros((700, 700))).write_h5ad(path)
    shadow = AnnDataShadow(path)
    assert shadow.X.nbytes > 1 << 20
    assert repr(shadow).split("\n")[1] == "  Xᐁ"


def test_html_holds_what_the_text_does(pbmc):
    html = AnnDataShadow(pbmc)._repr_html_()
    assert html.startswith("<details") and "700 × 765" in html and "X_umap" in html


def test_a_changed_object_that_cannot_be_stored_is_still_shown(pbmc):
    shadow = AnnDataShadow(pbmc)
    shadow.uns["neighbors"]["oops"] = object()
    assert "neighbors" in repr(shadow)
    with pytest.raises(TypeError, match="object"):
        shadow.changes()


# ---- file and modes


def test_file_tells_path_and_mode(store):
    shadow = AnnDataShadow(store)
    assert shadow.file.filename == str(store) == shadow.file.store.path == shadow.filename
    assert (shadow.file.mode, shadow.file.read_only) == ("r", True)
    shadow.reopen("r+")
    assert (shadow.file.mode, shadow.file.read_only, bool(shadow.file)) == ("r+", False, True)
    assert shadow.close() is shadow
    assert (shadow.file.mode, bool(shadow.file)) == (None, False)
    assert repr(shadow).split("\n")[0].endswith("(closed)")


def test_open_files_give_their_path(tmp_path):
    with h5py.File(DATA / "pbmc68k_reduced.h5ad") as file:
        for given in (file, file["/"]):
            with AnnDataShadow(given) as shadow:
                assert shadow.shape == (700, 765)
    group = zarr.open_group(DATA / "pbmc68k_reduced_v3.zarr", mode="r")
    assert AnnDataShadow(group).shape == (700, 765)


def test_paths_are_text_or_path_likes(pbmc):
    class Like:
        def __fspath__(self):
            return str(pbmc)

    for given in (str(pbmc), pbmc, Like()):
        assert AnnDataShadow(given).n_obs == 700


def test_format_is_checked_against_what_is_found(pbmc):
    own, other = ("h5ad", "zarr") if pbmc.suffix == ".h5ad" else ("zarr", "hdf5")
    assert AnnDataShadow(pbmc, format=own).n_obs == 700
    with pytest.raises(ValueError, match="found by content"):
        AnnDataShadow(pbmc, format=other)
    with pytest.raises(NotImplementedError, match="Parquet"):
        AnnDataShadow(pbmc, format="parquet")
    with pytest.raises(ValueError, match="unknown format"):
        AnnDataShadow(pbmc, format="csv")


def test_modes_that_create_are_refused(pbmc):
    for mode in ("a", "w", "x"):
        with pytest.raises(ValueError, match="opens what exists"):
            AnnDataShadow(pbmc, mode=mode)


def test_errors_are_those_that_python_expects(pbmc, tmp_path):
    with pytest.raises(FileNotFoundError):
        AnnDataShadow(tmp_path / "nothing.h5ad")
    shadow = AnnDataShadow(pbmc)
    with pytest.raises(KeyError, match="nearest: `X_pca`") as caught:
        shadow.obsm["x_pca"]
    assert isinstance(caught.value, anndata_shadow.ShadowError)
    with pytest.raises(KeyError):
        shadow.uns["neighbors/params"]
    with pytest.raises(ValueError, match="needs shape"):
        shadow.obsm["new"] = np.zeros((3, 2))
    with pytest.raises(TypeError, match="builtins.object"):
        shadow.uns["new"] = object()
    with pytest.raises(TypeError, match="names of elements are text"):
        shadow.uns[3] = 1
    with pytest.raises(IndexError):
        shadow[700]
    with pytest.raises(KeyError):
        shadow["no such cell"]
    with pytest.raises(OSError, match=r"read-only.*reopen\('r\+'\)"):
        shadow.obsm["new"] = np.zeros((700, 2))
        shadow.write()
    shadow.close()
    with pytest.raises(ValueError, match="closed"):
        shadow.obsp["distances"]


# ---- elements


def test_everything_is_what_anndata_has(main):
    shadow, adata = AnnDataShadow(main), read(main)
    same(shadow.X, adata.X, "X")
    same(shadow.obs, adata.obs, "obs")
    same(shadow.var, adata.var, "var")
    for slot in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        assert set(getattr(shadow, slot)) == set(getattr(adata, slot))
        same(dict(getattr(shadow, slot).items()), dict(getattr(adata, slot)), slot)
    same(shadow.obs_names, adata.obs_names)
    same(shadow.var_names, adata.var_names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same_keys(shadow, adata)


def same_keys(shadow, adata):
    assert shadow.obs_keys() == adata.obs_keys() and shadow.var_keys() == adata.var_keys()
    assert sorted(shadow.obsm_keys()) == sorted(adata.obsm_keys()) and shadow.varm_keys() == adata.varm_keys()
    assert shadow.uns_keys() == adata.uns_keys()
    assert (shadow.shape, len(shadow), shadow.n_obs, shadow.n_vars) == (adata.shape, len(adata), *adata.shape)


def test_each_element_is_one_object(main):
    shadow = AnnDataShadow(main)
    assert shadow.X is shadow.X and shadow.obs is shadow.obs
    for slot in (shadow.layers, shadow.obsm, shadow.uns):
        assert all(slot[name] is slot[name] for name in slot if not isinstance(slot[name], (str, float)))
    settings_of = {"a": 1}
    shadow.uns["new"] = settings_of
    assert shadow.uns["new"] is settings_of


def test_slots_are_mappings(pbmc):
    obsm = AnnDataShadow(pbmc).obsm
    assert list(obsm) == list(obsm.keys()) == ["X_pca", "X_umap"]
    assert "X_pca" in obsm and "nothing" not in obsm and 3 not in obsm
    assert len(obsm) == 2 and obsm.get("nothing") is None
    assert [type(value) for value in obsm.values()] == [np.ndarray] * 2
    assert [name for name, _ in obsm.items()] == ["X_pca", "X_umap"]
    taken = obsm.pop("X_umap")
    obsm.update({"Y": taken})
    assert list(obsm) == ["X_pca", "Y"]
    assert obsm.pop("nothing", None) is None


def test_a_slot_can_be_set_and_emptied_as_a_whole(pbmc):
    shadow = AnnDataShadow(pbmc)
    pca = shadow.obsm["X_pca"]
    shadow.obsm = {"X_pca": pca, "other": np.zeros((700, 1))}
    assert sorted(shadow.obsm) == ["X_pca", "other"]
    del shadow.uns
    assert not shadow.uns
    assert {change.kind for change in shadow.changes() if change.path.startswith("uns/")} == {"removed"}


def test_vectors(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    for key in ("louvain", "n_genes", "HES4"):
        same(shadow.obs_vector(key), adata.obs_vector(key), key)
    for key in ("means", adata.obs_names[3]):
        same(shadow.var_vector(key), adata.var_vector(key), key)
    same(shadow[5:9].obs_vector("HES4"), adata[5:9].obs_vector("HES4"))
    shadow.X[:, 0] = 7
    assert (shadow.obs_vector(adata.var_names[0]) == 7).all()
    same(shadow.to_df(), ad.AnnData(shadow.X, adata.obs, adata.var).to_df())
    with pytest.raises(KeyError, match="neither"):
        shadow.obs_vector("nothing")


def test_raw(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    same(shadow.raw.X, adata.raw.X)
    same(shadow.raw.var, adata.raw.var)
    same(shadow.raw.var_names, adata.raw.var_names)
    assert shadow.raw.shape == adata.raw.shape
    genes = list(adata.raw.var_names[[5, 2]])
    for index in ((slice(None), genes), (slice(3, 9), genes[0]), (np.arange(700) % 2 == 0, slice(2, 5)), 4):
        same(shadow.raw[index].X, adata.raw[index].X, f"raw[{index}].X")
        same(shadow.raw[index].var, adata.raw[index].var)
        assert shadow.raw[index].shape == adata.raw[index].shape
    same(shadow.raw.obs_vector(genes[0]), adata.raw.obs_vector(genes[0]))
    same_anndata(shadow.raw.to_adata(), adata.raw.to_adata())
    assert list(shadow.raw) == shadow.raw.keys() == ["X", "var", "varm"] and shadow.raw["X"] is shadow.raw.X
    del shadow.raw
    assert shadow.raw is None


def test_chunks_of_x(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    for (block, start, stop), (expected, *rows) in zip(shadow.chunked_X(300), adata.chunked_X(300), strict=True):
        assert [start, stop] == rows
        same(block, np.asarray(expected))
    same(shadow.chunk_X([5, 2, 2]), adata.chunk_X([5, 2, 2]))
    assert shadow.chunk_X(10).shape == (10, 765)


# ---- views


SELECTIONS = [
    slice(5, 50),
    slice(None, None, -3),
    7,
    -1,
    [3, 1, 4, 1, 5],
    np.array([True, False] * 350),
    pd.Series([False, True] * 350).to_numpy(),
    (slice(10, 60), slice(-9, None)),
    (np.arange(700) % 7 == 0, ["HES4", "TNFRSF4", "SSU72"]),
    (..., [2, 0]),
    (slice(None), "HES4"),
    ([], slice(3)),
]


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_views_are_those_of_anndata(pbmc, selection):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    view, expected = shadow[selection], adata[selection]
    assert view.is_view and not shadow.is_view and type(view) is AnnDataShadow
    assert view.shape == expected.shape
    same(view.X, np.asarray(expected.X), "X")
    same(view.obs, expected.obs.copy(), "obs")
    same(view.obs["louvain"], expected.obs["louvain"].copy(), "obs/louvain")
    same(view.var_names, expected.var_names)
    same(view.obsm["X_pca"], np.asarray(expected.obsm["X_pca"]))
    same(view.obsp["distances"].toarray(), expected.obsp["distances"].toarray())
    same(view.uns["louvain_colors"], np.asarray(expected.uns["louvain_colors"]), "colors")
    same_anndata(view.to_memory(), expected.copy())


def test_views_of_views(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    by_name = (names_in(adata, 5), slice(None, None, 2))
    steps = [slice(10, 400, 3), np.arange(130) % 2 == 1, by_name, [4, 0, 2], (slice(1, None), [3, 1])]
    for step in steps:
        shadow, adata = shadow[step], adata[step]
        assert shadow.shape == adata.shape
        same(shadow.X, np.asarray(adata.X))
        same(shadow.obs, adata.obs.copy())
        same(shadow.raw.X, adata.raw.X)
    head = repr(shadow).split("\n")[0]
    assert head == "View of AnnData Shadow object with n_obs × n_vars = 2 × 2 (original 700 × 765)"


def names_in(adata, n):
    """Names of a view that was cut as the steps before it do."""
    return list(adata[10:400:3][np.arange(130) % 2 == 1].obs_names[:n])


def test_names_select_and_slice(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    first, last = adata.obs_names[3], adata.obs_names[9]
    same(shadow[first:last].obs_names, adata[first:last].obs_names)
    same(shadow[first].X, np.asarray(adata[first].X))
    same(shadow[shadow.obs["louvain"] == "1"].obs_names, adata[adata.obs["louvain"] == "1"].obs_names)
    same(shadow[:, shadow.var["highly_variable"]].var_names, adata[:, adata.var["highly_variable"]].var_names)


def test_views_see_what_is_pending_and_changed_in_place(pbmc):
    shadow = AnnDataShadow(pbmc)
    view = shadow[10:20]
    before = view.obsm["X_pca"].copy()
    shadow.obsm["X_pca"][:] += 1
    same(view.obsm["X_pca"], before + 1)
    shadow.obs["new"] = np.arange(700)
    assert view.obs["new"].tolist() == list(range(10, 20))
    shadow.obs.loc[shadow.obs_names[12], "new"] = -5
    assert shadow[10:20].obs["new"].tolist()[2] == -5


def test_what_a_view_hands_out_stays_its_own(pbmc):
    shadow = AnnDataShadow(pbmc)
    view = shadow[:5]
    view.obsm["X_pca"][:] = 0
    assert (view.obsm["X_pca"] == 0).all()
    assert not shadow.changes() and not (shadow.obsm["X_pca"][:5] == 0).any()


def test_views_cannot_be_assigned_to(pbmc):
    view = AnnDataShadow(pbmc)[:5]
    for assign in (
        lambda: view.obsm.__setitem__("new", np.zeros((5, 2))),
        lambda: view.obs.__setitem__("new", 1),
        lambda: setattr(view, "X", np.zeros((5, 765))),
        lambda: setattr(view, "obs_names", list("abcde")),
        lambda: view.uns.__delitem__("pca"),
        lambda: setattr(view, "obs", pd.DataFrame(index=list("abcde"))),
        view.write,
    ):
        with pytest.raises(ValueError, match="is a view"):
            assign()


def test_closing_a_view_leaves_the_object_open(pbmc):
    shadow = AnnDataShadow(pbmc)
    view = shadow[:10]
    view.X
    view.close()
    assert shadow[:10, :100].X.shape == (10, 100)


# ---- class identity


def test_it_is_taken_for_an_anndata(pbmc):
    shadow = AnnDataShadow(pbmc)
    assert isinstance(shadow, ad.AnnData) and isinstance(shadow, AnnDataShadow)
    assert type(shadow) is AnnDataShadow
    assert isinstance(shadow[:5], ad.AnnData)
    assert not isinstance(AnnDataShadow(pbmc, pose=False), ad.AnnData)
    settings.pose = False
    try:
        assert not isinstance(shadow, ad.AnnData) and isinstance(shadow, AnnDataShadow)
    finally:
        settings.pose = True
    assert "obsm" in dir(shadow) and "concatenate" not in dir(shadow)


def test_what_cannot_be_done_says_so(pbmc):
    shadow = AnnDataShadow(pbmc)
    for refused in (lambda: shadow.T, lambda: shadow._inplace_subset_obs([0]), lambda: shadow._inplace_subset_var([0])):
        with pytest.raises(NotImplementedError, match="shadow"):
            refused()
    assert shadow.isbacked is False


# ---- pickling, several shadows, context manager


def test_pickling_opens_the_same(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    copies = [pickle.loads(pickle.dumps(each)) for each in (shadow, shadow[5:9, ["HES4"]], shadow[5:9][[2, 0]])]
    assert copies[1].is_view and repr(copies[1]).replace("ᐁ", "") == repr(shadow[5:9, ["HES4"]]).replace("ᐁ", "")
    same(copies[0].obs["louvain"], adata.obs["louvain"])
    same(copies[1].X, np.asarray(adata[5:9, ["HES4"]].X))
    same(copies[2].obs_names, adata[5:9][[2, 0]].obs_names)
    shadow.close()
    assert pickle.loads(pickle.dumps(shadow)).mode is None


def test_what_is_pending_is_not_pickled(pbmc):
    shadow = AnnDataShadow(pbmc)
    shadow.obsm["X_pca"][0] = 0
    with pytest.raises(pickle.PicklingError, match="write"):
        pickle.dumps(shadow)
    assert pickle.loads(pickle.dumps(shadow.discard())).shape == (700, 765)


def test_two_shadows_do_not_know_each_other(pbmc):
    one, two = AnnDataShadow(pbmc), AnnDataShadow(pbmc)
    one.uns["new"] = 1
    assert "new" not in two.uns and one.changes() and not two.changes()


def test_with_closes(pbmc):
    with AnnDataShadow(pbmc) as shadow:
        shadow.uns["new"] = "kept"
        assert shadow.mode == "r"
    assert shadow.mode is None and shadow.uns["new"] == "kept"


# ---- memory


def test_one_column_reads_one_column(pbmc):
    shadow = AnnDataShadow(pbmc)
    shadow.obs_names
    before = shadow.io_stats()["bytes_read"]
    shadow.obs["n_genes"]
    one = shadow.io_stats()["bytes_read"] - before
    assert one <= 700 * 8
    shadow.obs["n_genes"]
    assert shadow.io_stats()["bytes_read"] == before + one
    len(shadow.obs), shadow.obs.columns, shadow.obs.shape, "louvain" in shadow.obs
    assert shadow.io_stats()["bytes_read"] == before + one


def test_clear_cache_lets_go_and_keeps_what_is_pending(pbmc):
    shadow = AnnDataShadow(pbmc)
    pca = shadow.obsm["X_pca"]
    pca[0] = 0
    louvain, new = shadow.obs["louvain"], {"a": 1}
    shadow.uns["new"] = new
    shadow.X
    assert shadow.clear_cache() is shadow
    assert lines(shadow)["obsm:"] == "X_pca▼, X_umap" and "Xᐁ" not in repr(shadow)
    assert (shadow.obsm["X_pca"][0] == 0).all() and shadow.uns["new"] is new
    same(shadow.obs["louvain"], louvain)


def test_lazy_and_eager_chain(pbmc):
    shadow = AnnDataShadow(pbmc, lazy=True)
    assert shadow.is_lazy and shadow.X.shape == (700, 765) and not isinstance(shadow.X, np.ndarray)
    assert isinstance(shadow.eager().X, np.ndarray) and not shadow.is_lazy
    assert not isinstance(shadow.lazy().obsm["X_pca"], np.ndarray)
    assert isinstance(shadow.uns["pca"], dict)


def test_verify(store):
    shadow = AnnDataShadow(store)
    report = shadow.verify(deep=True)
    assert report.is_sound and report.complete
    assert anndata_shadow.verify(str(store)).is_sound


# ---- what scanpy calls on an AnnData


def test_strings_become_categoricals_as_in_anndata(main):
    shadow, adata = AnnDataShadow(main), read(main)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.strings_to_categoricals()
    shadow.strings_to_categoricals()
    same(shadow.obs, adata.obs)
    same(shadow.var, adata.var)
    assert {change.path for change in shadow.changes()} == {"obs/n_str"} | {
        f"var/{name}" for name in adata.var if adata.var[name].dtype == "category" and name != "biotype"
    }


def test_categories_are_renamed_as_in_anndata(pbmc):
    shadow, adata = AnnDataShadow(pbmc), read(pbmc)
    names = [f"group {i}" for i in range(len(adata.obs["louvain"].cat.categories))]
    shadow.rename_categories("louvain", names)
    adata.rename_categories("louvain", names)
    same(shadow.obs["louvain"], adata.obs["louvain"])


def test_names_are_made_unique(tmp_path):
    path = tmp_path / "twice.h5ad"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ad.AnnData(np.zeros((3, 2)), pd.DataFrame(index=["a", "b", "a"])).write_h5ad(path)
        shadow = AnnDataShadow(path)
    shadow.obs_names_make_unique()
    assert list(shadow.obs_names) == ["a", "b", "a-1"]


def test_copies_go_to_memory_or_to_another_file(store, tmp_path):
    shadow, adata = AnnDataShadow(store), read(store)
    same_anndata(shadow.copy(), adata)
    other = shadow.copy(tmp_path / f"other{store.suffix}")
    assert type(other) is AnnDataShadow and os.path.exists(other.filename)
    same_anndata(read(tmp_path / f"other{store.suffix}"), adata)
