"""Dask arrays whose blocks are read by the workers: equal to what is stored, aligned to chunks, and small to send."""

import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from made import CONTAINERS, DATA, adata, modalities_of_2020, write

import anndata_shadow
from anndata_shadow import AnnDataShadow, MuDataShadow, StoreChangedError


@pytest.fixture(params=CONTAINERS)
def path(request, tmp_path):
    return write(adata(), tmp_path, request.param)


@pytest.fixture(scope="module")
def cluster():
    """Workers in processes of their own."""
    import dask.distributed as distributed
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
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


@pytest.mark.parametrize("layer", ["csr", "csc"])
def test_sparse_blocks_of_so_many_bytes(path, layer):
    found = AnnDataShadow(path).handle(f"layers/{layer}")
    whole = adata().layers[layer]
    for chunks in ["2kB", {0: "auto"}, (20, 20), ("1kB", -1), -1]:
        array = found.to_dask(chunks)
        assert (array.compute() != whole).nnz == 0
    lines = found.to_dask("2kB").chunks[0 if layer == "csr" else 1]
    assert 1 < len(lines) < 60
    assert lines[0] * whole.nnz / len(whole.indptr[1:]) * 8 <= 2000


@pytest.mark.parametrize("chunks", [0, -2, (0, 5), {0: 0}], ids=str)
def test_blocks_of_nothing_are_refused(path, chunks):
    for element in ("X", "layers/csr"):
        with pytest.raises(ValueError, match="there are no blocks of"):
            AnnDataShadow(path).handle(element).to_dask(chunks)


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


@pytest.mark.parametrize(
    "index",
    [
        ([40, 3, 17, 8], slice(5, 30)),
        (np.arange(60) % 3 == 0, slice(None)),
        (slice(None), ["gene-7", "gene-2"]),
        (["cell-9", "cell-1"], [3, 1]),
        (slice(2, 50, 7), slice(None)),
    ],
    ids=str,
)
def test_views(path, index):
    expected, view = adata()[index], AnnDataShadow(path)[index]
    arrays = view.handle("X").to_dask(3), view.handle("layers/csr").to_dask(3)
    for x, layer in [arrays, elsewhere(arrays)]:
        np.testing.assert_array_equal(x.compute(), expected.X)
        assert (layer.compute() != expected.layers["csr"]).nnz == 0


def test_modalities_of_views():
    view = MuDataShadow(DATA / "h5mu" / "muon_2020_rna_atac_1000x219.h5mu")[[700, 3, 5, 80]]
    for modality in view.mod.values():
        array, expected = modality.handle("X").to_dask(3), modality.X  # which test_objects_mudata.py looks at
        for found in (array.compute(), elsewhere(array).compute()):
            assert found.shape == expected.shape
            difference = found != expected
            assert difference.nnz == 0 if sp.issparse(difference) else not difference.any()


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
    path = DATA / "h5mu" / "muon_2020_rna_atac_1000x219.h5mu"
    modalities, obsm = modalities_of_2020(path)
    shadow = MuDataShadow(path)
    assert list(shadow.mod) == list(modalities)
    for name, (wanted, _) in modalities.items():
        found = cluster.compute(shadow.mod[name].handle("X").to_dask(300)).result()
        assert (found != wanted).nnz == 0 if sp.issparse(wanted) else np.array_equal(found, wanted)
    for key in [key for key in obsm if isinstance(obsm[key], np.ndarray)]:
        found = cluster.compute(shadow.handle(f"obsm/{key}").to_dask(300)).result()
        np.testing.assert_array_equal(found, obsm[key])


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


def test_what_is_set_in_place_is_not_passed_over(path):
    shadow = AnnDataShadow(path)
    array = shadow.handle("X").to_dask(20)
    sums = np.abs(array).sum()
    assert sums.compute() > 0
    shadow.X[:] = 0
    with pytest.raises(ValueError, match="X is set but not in the file yet"):
        sums.compute()
    shadow.discard("X")
    assert sums.compute() > 0
    shadow.X = np.zeros(shadow.shape, np.float32)
    shadow.close()
    with pytest.raises(ValueError, match="X is set but not in the file yet"):
        sums.compute()


# ---- files that are opened for tasks


@pytest.fixture
def opened():
    """What is open for tasks, in place of which each test begins with nothing."""
    from anndata_shadow import _opened

    for key in list(_opened._files):
        _opened.release(key[0])
    return _opened


def elsewhere(array):
    """The array as another process has it, which has no shadow."""
    return pickle.loads(pickle.dumps(array))


def test_closed_shadows_are_opened_again(path, opened):
    shadow = AnnDataShadow(path)
    array = shadow.handle("X").to_dask(20)
    shadow.close()
    np.testing.assert_array_equal(array.compute(scheduler="synchronous"), adata().X)
    assert len(opened._files) == 1
    # What was opened for it does not stand in the way of a writer.
    shadow.reopen("r+")
    assert not opened._files
    shadow.close()
    array.compute()
    with AnnDataShadow(path, mode="r+") as writer:
        assert writer.mode == "r+"


def test_what_is_idle_is_closed(path, opened, monkeypatch):
    monkeypatch.setattr(opened, "IDLE", 0.1)
    array = elsewhere(AnnDataShadow(path).handle("X").to_dask(20))
    array.compute()
    with opened.reading(str(path), {}, False) as core:
        time.sleep(0.3)
        assert core.mode == "r"
    for _ in range(200):
        if not opened._files:
            break
        time.sleep(0.05)
    assert not opened._files
    assert core.mode is None
    # And opened again, as often as it takes.
    np.testing.assert_array_equal(array.compute(), adata().X)


def test_release_waits_for_who_reads(path, opened):
    order = []
    with opened.reading(str(path), {}, False) as core:
        held = threading.Thread(target=lambda: (opened.release(path), order.append("released")))
        held.start()
        while opened._files:
            time.sleep(0.01)
        # Nobody else gets it, but it stays open until it has been read.
        assert core.read("X").shape == (60, 40)
        order.append("read")
    held.join(10)
    assert order == ["read", "released"]
    assert core.mode is None


def test_workers_let_go(tmp_path, cluster):
    path = write(adata(), tmp_path, "h5ad")
    shadow = AnnDataShadow(path)
    cluster.compute(shadow.handle("X").to_dask(10)).result()
    cluster.run(anndata_shadow.release, path)
    shadow.reopen("r+").close()


# ---- one array, one state of the file


def write_over(path, matrix):
    """Sets X, as another process does."""
    code = "import sys, pickle; from anndata_shadow import AnnDataShadow as A; p, x = pickle.load(sys.stdin.buffer)\n"
    code += "with A(p, mode='r+') as s: s.X = x; s.write()"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps((path, matrix)), check=True)


def test_a_file_that_was_written_to_is_another(path, opened):
    made, shadow = adata(), AnnDataShadow(path)
    here = shadow.handle("X").to_dask(20)
    there = elsewhere(here)
    np.testing.assert_array_equal(there.compute(), made.X)
    shadow.close()
    opened.release(path)
    write_over(path, made.X + 1)
    shadow.reopen("r")
    for array in (here, there):
        with pytest.raises(StoreChangedError, match="since to_dask was called: call it again"):
            array.compute()
    for again in (shadow.handle("X").to_dask(20), elsewhere(shadow.handle("X").to_dask(20))):
        np.testing.assert_array_equal(again.compute(), made.X + 1)


def test_what_was_written_beside_it(tmp_path, opened):
    """In a Zarr store, an element that others are written beside stays what it was."""
    shadow = AnnDataShadow(write(adata(), tmp_path, "zarr3"))
    array = shadow.handle("layers/csr").to_dask(20)
    there = elsewhere(array)
    there.compute()
    shadow.obsm["new"] = np.ones((60, 2))
    shadow.reopen("r+").write().reopen("r")
    assert (array.compute() != adata().layers["csr"]).nnz == 0
    assert (there.compute() != adata().layers["csr"]).nnz == 0


@pytest.mark.parametrize("is_away", [False, True])
def test_no_array_is_of_two_states(tmp_path, opened, is_away):
    path = write(adata(), tmp_path, "zarr3")
    array = AnnDataShadow(path).handle("X").to_dask((10, 40))
    array = elsewhere(array) if is_away else array
    taken = []

    def look(block):
        taken.append(block)
        if len(taken) == 3:
            write_over(path, adata().X + 1)
        return block

    looked_at = array.map_blocks(look, dtype=array.dtype, meta=np.empty((0, 0), array.dtype))
    with pytest.raises(StoreChangedError):
        looked_at.compute(scheduler="synchronous")
    assert len(taken) == 3


def test_many_threads_find_the_file_written_to(tmp_path, opened, monkeypatch):
    """All of them go on with one new handle, which none closes under another."""
    monkeypatch.setattr(opened, "IDLE", 1e6)
    path, matrix = tmp_path / "many.zarr", np.zeros((800, 20), np.float32)
    ad.AnnData(matrix).write_zarr(path, chunks=(50, 20))
    for turn in range(5):
        old = elsewhere(_source(AnnDataShadow(path)))
        assert old[:1].sum() == turn * 20
        write_over(path, matrix + turn + 1)
        (stale,) = opened._files.values()
        new = elsewhere(_source(AnnDataShadow(path)))
        together = threading.Barrier(8)

        def rows(i, source=new, together=together):
            together.wait()
            return source[i * 100 : (i + 1) * 100].mean()

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(rows, range(8))) == [turn + 1] * 8
        (fresh,) = opened._files.values()
        assert fresh is not stale
        assert stale.core.mode is None


def _source(shadow):
    from anndata_shadow import _dask

    return _dask._Source(shadow.handle("X"))
