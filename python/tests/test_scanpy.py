"""Scanpy on a shadow and on the same data in memory: equal results, which are pending changes, then in the file.

Each step of an analysis is taken twice, on the shadow and on what anndata reads; afterwards all of it is compared,
what `changes()` lists with what scanpy has added or changed, and the file, after `write()`, with the file that
anndata writes.
"""

import warnings
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata.tests.helpers import assert_equal
from made import DATA

import anndata_shadow
from anndata_shadow import AnnDataShadow

plt.switch_backend("agg")
pytestmark = pytest.mark.filterwarnings("ignore")


def write(adata, path):
    """Writes it where the suffix says, and gives the path."""
    (adata.write_h5ad if path.suffix == ".h5ad" else adata.write_zarr)(path)
    return path


def read(path):
    return (ad.io.read_h5ad if path.suffix == ".h5ad" else ad.io.read_zarr)(path)


@pytest.fixture(scope="module")
def pbmc():
    """700 blood cells, scaled, with clusters, embeddings and a graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pbmc = ad.io.read_h5ad(DATA / "pbmc68k_reduced.h5ad")
    pbmc.varm["PCs"] = np.nan_to_num(pbmc.varm["PCs"])  # to anndata's `assert_equal` NaN is not equal to NaN
    return pbmc


@pytest.fixture(scope="module")
def counts():
    """Made-up counts in three groups, sparse, as they come from a sequencer."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 200)
    rates = rng.gamma(0.3, 2, (3, 300))[group] * rng.uniform(0.5, 2, (200, 1))
    x = sp.csr_matrix(rng.poisson(rates).astype(np.float32))
    sample = pd.Categorical(np.array(["s1", "s2", "s3"])[group])
    obs = pd.DataFrame({"sample": sample}, index=[f"c{i}" for i in range(200)])
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(300)]))


@pytest.fixture(params=["h5ad", "zarr"])
def both(request, tmp_path):
    """Gives a shadow of an object and the object itself, and compares them at the end."""

    def give(adata):
        path = write(adata, tmp_path / f"file.{request.param}")
        return AnnDataShadow(path), read(path)

    return give


def check(shadow, adata, tmp_path, changed):
    """The two are equal, in memory and as files; and these elements are what was to be written."""
    assert_equal(shadow.to_memory(), adata, exact=True)
    assert {change.path for change in shadow.changes()} >= set(changed)
    path = Path(shadow._address)
    shadow.reopen("r+").write()
    assert not shadow.changes()
    shadow.close()
    assert_equal(read(path), read(write(adata, tmp_path / f"other{path.suffix}")), exact=True)


# ---- steps on the data of the tutorials


def test_rank_genes_groups(both, pbmc, tmp_path):
    shadow, adata = both(pbmc)
    for data in (shadow, adata):
        sc.tl.rank_genes_groups(data, "louvain", method="t-test")
    table = sc.get.rank_genes_groups_df(shadow, group="1")
    pd.testing.assert_frame_equal(table, sc.get.rank_genes_groups_df(adata, group="1"))
    check(shadow, adata, tmp_path, [])
    assert len(table) == 765


@pytest.mark.parametrize("method", ["wilcoxon", "t-test_overestim_var"])
def test_rank_genes_groups_in_part(both, pbmc, tmp_path, method):
    shadow, adata = both(pbmc)
    for data in (shadow, adata):
        sc.tl.rank_genes_groups(data, "louvain", groups=["0", "3"], method=method, key_added="markers")
    check(shadow, adata, tmp_path, ["uns/markers"])


def test_neighbors_leiden_umap(both, pbmc, tmp_path):
    shadow, adata = both(pbmc)
    for data in (shadow, adata):
        sc.pp.neighbors(data, n_neighbors=10, key_added="nn")
        sc.tl.leiden(data, neighbors_key="nn", flavor="igraph", n_iterations=2, random_state=0)
        sc.tl.umap(data, neighbors_key="nn", maxiter=20, key_added="X_umap_new")
    assert shadow.obs["leiden"].nunique() > 2
    check(shadow, adata, tmp_path, ["obs/leiden", "obsm/X_umap_new", "obsp/nn_connectivities", "obsp/nn_distances"])


def test_leiden_replaces_clusters(both, pbmc, tmp_path):
    """What is in the file gives way to what was computed."""
    shadow, adata = both(pbmc)
    for data in (shadow, adata):
        sc.pp.neighbors(data, n_neighbors=15)
        sc.tl.leiden(data, key_added="louvain", flavor="igraph", n_iterations=2, random_state=0)
        sc.tl.dendrogram(data, "louvain")
        sc.tl.paga(data, groups="louvain")
    check(shadow, adata, tmp_path, ["obs/louvain", "obsp/distances", "obsp/connectivities"])


def test_get(both, pbmc):
    shadow, adata = both(pbmc)
    keys = ["louvain", "n_genes", "CST3", "LYZ"]
    pd.testing.assert_frame_equal(sc.get.obs_df(shadow, keys), sc.get.obs_df(adata, keys))
    pd.testing.assert_frame_equal(sc.get.obs_df(shadow, keys, use_raw=True), sc.get.obs_df(adata, keys, use_raw=True))
    pd.testing.assert_frame_equal(
        sc.get.obs_df(shadow, ["louvain"], obsm_keys=[("X_pca", 0), ("X_umap", 1)]),
        sc.get.obs_df(adata, ["louvain"], obsm_keys=[("X_pca", 0), ("X_umap", 1)]),
    )
    cells = list(adata.obs_names[:3])
    pd.testing.assert_frame_equal(sc.get.var_df(shadow, ["means", *cells]), sc.get.var_df(adata, ["means", *cells]))
    assert_equal(*(sc.get.aggregate(data, "louvain", ["mean", "var"]) for data in (shadow, adata)))
    assert not shadow.changes()


def pictures(draw, data):
    """The pixels of the figures that are drawn."""
    draw(data)
    figures = [plt.figure(number) for number in plt.get_fignums()]
    for figure in figures:
        figure.canvas.draw()
    pixels = [np.asarray(figure.canvas.buffer_rgba()) for figure in figures]
    plt.close("all")
    return pixels


PLOTS = {
    "umap": lambda data: sc.pl.umap(data, color=["louvain", "CST3", "n_genes"], show=False),
    "colours": lambda data: sc.pl.umap(data, color="phase", show=False),
    "pca": lambda data: sc.pl.pca(data, color="bulk_labels", show=False),
    "violin": lambda data: sc.pl.violin(data, ["CST3", "n_genes"], groupby="louvain", show=False, jitter=False),
    "violin-of-all": lambda data: sc.pl.violin(data, "percent_mito", show=False, jitter=False),
    "violin-colours": lambda data: sc.pl.violin(data, "n_genes", groupby="phase", show=False, jitter=False),
    "scatter": lambda data: sc.pl.scatter(data, x="n_counts", y="n_genes", color="louvain", show=False),
    "scatter-colours": lambda data: sc.pl.scatter(data, x="n_counts", y="n_genes", color="phase", show=False),
    "dotplot": lambda data: sc.pl.dotplot(data, ["CST3", "LYZ"], groupby="louvain", show=False),
    "stacked": lambda data: sc.pl.stacked_violin(data, ["CST3", "LYZ"], groupby="louvain", show=False),
    "matrix": lambda data: sc.pl.matrixplot(data, ["CST3", "LYZ"], groupby="louvain", show=False),
    "heatmap": lambda data: sc.pl.heatmap(data, ["CST3", "LYZ"], groupby="louvain", show=False),
    "heatmap-colours": lambda data: sc.pl.heatmap(data, ["CST3", "LYZ"], groupby="phase", show=False),
    "tracks": lambda data: sc.pl.tracksplot(data, ["CST3", "LYZ"], groupby="phase", show=False),
    "ranks": lambda data: sc.pl.rank_genes_groups(data, show=False),
}


def same_pictures(draw, shadow, adata):
    found, wanted = pictures(draw, shadow), pictures(draw, adata)
    assert any(mine.min() < mine.max() for mine in found), "something is drawn"
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_plots(both, pbmc, tmp_path, draw):
    shadow, adata = both(pbmc)
    same_pictures(draw, shadow, adata)
    # Colours of categories that had none are kept, as anndata keeps them.
    check(shadow, adata, tmp_path, [])


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_plots_of_views(pbmc, tmp_path, draw):
    path = write(pbmc, tmp_path / "file.zarr")
    shadow, adata = AnnDataShadow(path), read(path)
    some = shadow[shadow.obs["louvain"].isin(["2", "5"])]
    same_pictures(draw, some, adata[adata.obs["louvain"].isin(["2", "5"])])
    # What a plot has set stays the view's own.
    assert not shadow.changes()
    assert "phase_colors" not in shadow.uns


def test_colors_of_a_view_are_its_own(both, pbmc):
    shadow, adata = both(pbmc)
    some, others = shadow[:50], shadow[50:99]
    some.uns["phase_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    assert some.uns["phase_colors"] == ["#ff0000", "#00ff00", "#0000ff"]
    assert "phase_colors" in some.uns and set(some.uns) == {*adata.uns, "phase_colors"}
    assert not {"phase_colors"} & {*shadow.uns, *others.uns}
    del some.uns["phase_colors"]
    assert set(some.uns) == set(adata.uns)
    with pytest.raises(KeyError):
        some.uns["phase_colors"]
    with pytest.raises(ValueError, match="view"):
        some.uns["phase"] = ["#ff0000"]


@pytest.mark.parametrize("how", [{}, {"lazy": True}, {"table_backend": "pyarrow"}, {"table_backend": lambda frame: frame}])
def test_as_many_colors_as_categories(pbmc, tmp_path, how):
    """In views: of DataFrames those that are left, of others all."""
    path = write(pbmc, tmp_path / "file.zarr")
    view = AnnDataShadow(path, **how)[np.asarray(pbmc.obs["louvain"].isin(["2", "5"]))]
    column = view.obs["louvain"]
    if how.get("table_backend") == "pyarrow":
        categories = column.combine_chunks().dictionary.to_pylist()
    else:
        categories = list((column[:] if how.get("lazy") else column.array).categories)
    colors = dict(zip(categories, view.uns["louvain_colors"], strict=True))
    all_of_them = dict(zip(pbmc.obs["louvain"].cat.categories, pbmc.uns["louvain_colors"], strict=True))
    assert colors == (all_of_them if how else {"2": all_of_them["2"], "5": all_of_them["5"]})


# ---- an analysis from counts to clusters


def test_from_counts_to_clusters(both, counts, tmp_path):
    shadow, adata = both(counts)
    for data in (shadow, adata):
        sc.pp.calculate_qc_metrics(data, percent_top=[20], inplace=True)
        sc.pp.filter_cells(data, min_genes=1, inplace=False)
        data.layers["counts"] = data.X.copy()
        sc.pp.normalize_total(data, target_sum=1e4)
        sc.pp.log1p(data)
        sc.pp.highly_variable_genes(data, n_top_genes=100)
        sc.pp.pca(data, n_comps=20)
        sc.pp.neighbors(data, n_neighbors=10)
        sc.tl.leiden(data, flavor="igraph", n_iterations=2, random_state=0)
        sc.tl.umap(data, maxiter=20)
        sc.tl.score_genes(data, ["g1", "g2", "g3"], ctrl_size=20)
        sc.tl.rank_genes_groups(data, "leiden", method="wilcoxon")
    added = ["X", "layers/counts", "obsm/X_pca", "obsm/X_umap", "varm/PCs", "obs/leiden", "obs/score"]
    check(shadow, adata, tmp_path, added)


def test_scale_and_regress_out(both, counts, tmp_path):
    shadow, adata = both(counts)
    for data in (shadow, adata):
        sc.pp.log1p(data)
        data.raw = data
        data.obs["depth"] = np.asarray(data.X.sum(axis=1)).ravel()
        sc.pp.regress_out(data, "depth")
        sc.pp.scale(data, max_value=10)
        sc.pp.pca(data, n_comps=10)
    check(shadow, adata, tmp_path, ["X", "obs/depth", "obsm/X_pca"])


def test_views_are_analysed_as_copies(both, pbmc):
    """As of anndata's views: a tool that writes gets a copy."""
    shadow, adata = both(pbmc)
    some = [data[data.obs["louvain"].isin(["0", "1"])].copy() for data in (shadow, adata)]
    for data in some:
        assert type(data) is ad.AnnData
        sc.pp.pca(data, n_comps=5)
    assert_equal(*some)
    assert not shadow.changes()


def test_copies_are_in_memory(both, pbmc):
    shadow, adata = both(pbmc)
    found, wanted = (sc.pp.neighbors(data, n_neighbors=5, copy=True) for data in (shadow, adata))
    assert type(found) is ad.AnnData
    assert_equal(found, wanted)
    assert not shadow.changes()


@pytest.mark.parametrize("put_together", [ad.concat, lambda parts: ad.AnnData(parts[0]), lambda parts: parts[1].copy()])
def test_shadows_among_others(both, pbmc, put_together):
    """What takes a shadow for an AnnData loses nothing of it."""
    shadow, adata = both(pbmc)
    found = put_together([shadow, shadow[5:9], adata])
    wanted = put_together([adata, adata[5:9], adata])
    assert type(found) is ad.AnnData and found.X is not None
    assert_equal(found, wanted)


# ---- what cannot work


@pytest.mark.parametrize(
    "call",
    [sc.pp.neighbors, sc.pp.log1p, sc.pp.normalize_total, sc.pp.scale, sc.pp.pca],
    ids=lambda call: call.__name__,
)
def test_tools_that_write_are_refused_on_views(both, pbmc, call):
    shadow, _ = both(pbmc)
    with pytest.raises(ValueError, match="view"):
        call(shadow[:100])
    assert not shadow.changes()
    call(shadow[:100].copy())


@pytest.mark.parametrize(
    "call",
    [
        lambda data: sc.pp.filter_genes(data, min_cells=10),
        lambda data: sc.pp.filter_cells(data, min_counts=10),
        lambda data: sc.pp.highly_variable_genes(data, n_top_genes=50, flavor="cell_ranger", subset=True),
        lambda data: data.T,
    ],
    ids=["filter_genes", "filter_cells", "subset", "transpose"],
)
def test_what_would_reshape_the_file_is_refused(both, counts, call):
    shadow, _ = both(counts)
    with pytest.raises(NotImplementedError, match=r"to_memory\(\)"):
        call(shadow)
    assert shadow.shape == (200, 300)


def test_the_pose_can_be_ended(both, counts, monkeypatch):
    shadow, _ = both(counts)
    assert isinstance(shadow, ad.AnnData)
    assert not isinstance(AnnDataShadow(shadow._address, pose=False), ad.AnnData)
    monkeypatch.setattr(anndata_shadow.settings, "pose", False)
    assert not isinstance(shadow, ad.AnnData)
    assert isinstance(shadow, AnnDataShadow)
