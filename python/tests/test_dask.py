"""Dask arrays whose blocks are read by the workers: equal to what is stored, aligned to chunks, and small to send."""

import os
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from made import CONTAINERS, DATA, adata, write

from anndata_shadow import AnnDataShadow, MuDataShadow

da = pytest.importorskip("dask.array")


@pytest.fixture(params=CONTAINERS)
def path(request, tmp_path):
    return write(adata(), tmp_path, request.param)


@pytest.fixture(scope="module")
def cluster():
    """Workers in processes of their own."""
    distributed = pytest.importorskip("dask.distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def blocks_are_sparse(array, kind):
    return all(isinstance(block, kind) for block in [b.compute() for b in array.blocks.ravel()])


@pytest.mark.parametrize("chunks", ["auto", 7, (13, 11), ((20, 40), (40,)), -1], ids=str)
def test_dense(path, chunks):
    shadow, expected = AnnDataShadow(path, lazy=True), adata()
    found = shadow.X.to_dask(chunks)
    assert (found.shape, found.dtype) == (expected.X.shape, expected.X.dtype)
    np.testing.assert_array_equal(found.compute(), expected.X)
    np.testing.assert_array_equal(found[5:9, [3, 1]].compute(), expected.X[5:9][:, [3, 1]])
    np.testing.assert_array_equal(found[4].compute(), expected.X[4])
    np.testing.assert_allclose(found.mean(axis=0).compute(), expected.X.mean(axis=0), rtol=1e-5)
    if not isinstance(chunks, tuple):
        np.testing.assert_array_equal(shadow.obsm["X_pca"].to_dask(chunks).compute(), expected.obsm["X_pca"])


@pytest.mark.parametrize("layer", ["csr", "csc"])
@pytest.mark.parametrize("chunks", ["auto", 7])
def test_sparse(path, layer, chunks):
    shadow, expected = AnnDataShadow(path, lazy=True), adata().layers[layer]
    found = shadow.layers[layer].to_dask(chunks)
    assert isinstance(found._meta, type(expected))
    assert found.dtype == expected.dtype
    assert blocks_are_sparse(found, type(expected))
    whole = found.compute()
    assert sp.issparse(whole)
    assert (whole != expected).nnz == 0
    assert (found[10:20].compute() != expected[10:20]).nnz == 0
    if chunks == 7:
        assert found.chunks[0] == (7,) * 8 + (4,)


def test_columns(path):
    shadow, expected = AnnDataShadow(path, lazy=True), adata()
    assert shadow.obs["count"].to_dask(7).sum().compute() == expected.obs["count"].sum()
    assert shadow.obs["depth"].to_dask().max().compute() == expected.obs["depth"].max()
    with pytest.raises(TypeError, match="obs/group is a categorical"):
        shadow.obs["group"].to_dask()


def test_blocks_end_where_chunks_end(tmp_path):
    import dask

    shadow = AnnDataShadow(write(adata(600, 100), tmp_path, "zarr3"))
    handle = shadow.handle("X")
    assert handle.chunks == (16, 16)
    with dask.config.set({"array.chunk-size": "20kB"}):
        found = handle.to_dask()
        sparse = shadow.handle("layers/csr").to_dask()
    assert found.npartitions > 4
    for lengths in found.chunks:
        assert all(end % 16 == 0 for end in np.cumsum(lengths)[:-1])
    # Of sparse matrices blocks hold about as many bytes as asked for: 600 × 100 at 0.2, 8 bytes each, are 96 kB.
    assert 4 <= sparse.npartitions <= 6


def test_views(path):
    expected = adata()[[40, 3, 17, 8], 5:30]
    view = AnnDataShadow(path)[[40, 3, 17, 8], 5:30]
    np.testing.assert_array_equal(view.handle("X").to_dask(3).compute(), expected.X)
    assert (view.handle("layers/csr").to_dask(3).compute() != expected.layers["csr"]).nnz == 0


def test_in_other_processes(path, cluster):
    expected = adata()
    with AnnDataShadow(path) as shadow:
        view = shadow[::2, 3:]
        cut = expected[::2, 3:]
        before = shadow._core.io_stats()["bytes_read"]
        x = shadow.handle("X").to_dask(10)
        layer = view.handle("layers/csr").to_dask(10)
        column = shadow.handle("obs/count").to_dask(20)
        before = shadow._core.io_stats()["bytes_read"]
        np.testing.assert_array_equal(cluster.compute(x).result(), expected.X)
        assert (cluster.compute(layer).result() != cut.layers["csr"]).nnz == 0
        assert cluster.compute(column.sum()).result() == expected.obs["count"].sum()
        assert shadow._core.io_stats()["bytes_read"] == before, "read here, not by the workers"
        pids = set(cluster.run(os.getpid).values())
        assert len(pids) == 2
        assert os.getpid() not in pids


def test_modalities_in_other_processes(cluster):
    mudata = pytest.importorskip("mudata")
    path = DATA / "h5mu" / "muon_2020_rna_atac_1000x219.h5mu"
    whole = mudata.read_h5mu(path)
    shadow = MuDataShadow(path)
    for name, adata in whole.mod.items():
        found = cluster.compute(shadow.mod[name].handle("X").to_dask(300)).result()
        wanted = adata.X
        assert (found != wanted).nnz == 0 if sp.issparse(wanted) else np.array_equal(found, wanted)
    slots = [f"obsm/{k}" for k in whole.obsm if isinstance(whole.obsm[k], np.ndarray)]
    for slot in slots:
        found = cluster.compute(shadow.handle(slot).to_dask(300)).result()
        wanted = whole.obsm[slot[5:]]  # masks over the cells of a modality: mudata shows them as one column
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


def test_what_travels_is_small(tmp_path):
    made = adata(5000, 40)
    shadow = AnnDataShadow(write(made, tmp_path, "zarr3"))
    array = shadow.handle("X").to_dask(100)
    assert made.X.nbytes > 500_000
    assert len(pickle.dumps(array)) < 50_000


def test_pending_elements_are_refused(path):
    shadow = AnnDataShadow(path)
    shadow.obsm["new"] = np.ones((60, 2))
    shadow.X[0, 0] = 5  # in place
    for slot in ["obsm/new", "X"]:
        with pytest.raises(ValueError, match=r"is set but not in the file yet.*write\(\) first"):
            shadow.handle(slot).to_dask()
    shadow.reopen("r+").write().reopen("r")
    assert shadow.handle("X").to_dask()[0, 0].compute() == 5
    # Set since the array was made: no other values here than in other processes.
    array = shadow.handle("obsm/new").to_dask()
    shadow.obsm["new"] = np.zeros((60, 2))
    with pytest.raises(ValueError, match="is set but not in the file yet"):
        array.compute(scheduler="synchronous")


def test_closed_shadows_are_opened_again(path):
    from anndata_shadow import _dask

    shadow = AnnDataShadow(path)
    array = shadow.handle("X").to_dask(20)
    shadow.close()
    np.testing.assert_array_equal(array.compute(scheduler="synchronous"), adata().X)
    assert len(_dask._opened) == 1
    # What was opened for it does not stand in the way of a writer.
    shadow.reopen("r+")
    assert not _dask._opened
    shadow.close()


def test_a_file_that_was_written_to_is_read_anew(path):
    made = adata()
    source = pickle.loads(pickle.dumps(_source(AnnDataShadow(path))))
    np.testing.assert_array_equal(source[:5], made.X[:5])
    from anndata_shadow import _dask

    _dask.release(path)
    with AnnDataShadow(path, mode="r+") as writer:
        writer.X = made.X + 1
        writer.write()
    np.testing.assert_array_equal(source[:5], made.X[:5] + 1)
    _dask.release(path)


def _source(shadow):
    from anndata_shadow import _dask

    return _dask._Source(shadow.handle("X"))
