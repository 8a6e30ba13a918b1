"""What is larger than memory: every row once, in any order, equal statistics, and work that can be stopped."""

import multiprocessing
import os
import pickle
import signal
import sys
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from made import CONTAINERS, DATA, adata, write

from anndata_shadow import AnnDataShadow


@pytest.fixture(params=CONTAINERS)
def path(request, tmp_path):
    return write(adata(), tmp_path, request.param)


def dense(value):
    return value.toarray() if sp.issparse(value) else np.asarray(value)


# ---- blocks


@pytest.mark.parametrize("element", ["X", "layers/csr", "layers/csc", "obsm/X_pca", "obs/count"])
@pytest.mark.parametrize("size", [{"rows": 7}, {"nbytes": 300}, {}], ids=str)
def test_row_blocks_are_all_rows_in_order(path, element, size):
    shadow = AnnDataShadow(path)
    handle, end, parts = shadow.handle(element), 0, []
    for start, stop, values in handle.row_blocks(**size):
        assert start == end
        assert values.shape[0] == stop - start
        if "rows" in size:
            assert stop - start == min(7, 60 - start)
        parts.append(dense(values))
        end = stop
    assert end == 60
    # A column is stored in one chunk, which is not cut.
    assert len(parts) > 1 or "nbytes" not in size or element == "obs/count"
    np.testing.assert_array_equal(np.concatenate(parts), dense(handle.read()))


def test_row_blocks_of_a_view_and_by_a_backend(path):
    view = AnnDataShadow(path, array_backend=lambda a: ("mine", a))[10:30, [5, 2]]
    parts = [values for _, _, values in view.handle("X").row_blocks(6)]
    assert all(tag == "mine" for tag, _ in parts)
    np.testing.assert_array_equal(np.concatenate([x for _, x in parts]), adata().X[10:30][:, [5, 2]])


def test_row_blocks_refuse(path):
    handle = AnnDataShadow(path).handle("X")
    with pytest.raises(ValueError, match="not both"):
        handle.row_blocks(3, nbytes=100)


# ---- minibatches


@pytest.mark.parametrize("shuffle", ["rows", "none", 4])
@pytest.mark.parametrize("element", ["X", "layers/csr"])
def test_minibatches_have_each_row_once(path, element, shuffle):
    shadow = AnnDataShadow(path)
    whole = dense(shadow.handle(element).read())
    batches = shadow.handle(element).minibatches(8, seed=3, shuffle=shuffle)
    assert len(batches) == 8
    seen = []
    for rows, values in batches:
        np.testing.assert_array_equal(dense(values), whole[rows])
        seen.append(rows)
    assert [len(rows) for rows in seen] == [8] * 7 + [4]
    order = np.concatenate(seen)
    assert sorted(order) == list(range(60))
    assert (order.tolist() == list(range(60))) == (shuffle == "none")
    # Another pass is the same, another epoch is not, and both can be had again.
    again = np.concatenate([rows for rows, _ in batches])
    np.testing.assert_array_equal(again, order)
    batches.set_epoch(1)
    other = np.concatenate([rows for rows, _ in batches])
    assert sorted(other) == list(range(60))
    assert (other.tolist() == order.tolist()) == (shuffle == "none")
    batches.set_epoch(0)
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in batches]), order)


@pytest.mark.parametrize("yes", [bool, np.bool_])
def test_shuffle_may_be_true_or_false(path, yes):
    handle = AnnDataShadow(path).handle("X")
    for flag, word in [(True, "rows"), (False, "none")]:
        orders = [np.concatenate([rows for rows, _ in handle.minibatches(8, shuffle=s)]) for s in (yes(flag), word)]
        np.testing.assert_array_equal(*orders)
        core = handle._core.minibatches("X", 8, 0, yes(flag))
        np.testing.assert_array_equal(np.concatenate([rows for rows, _ in core]), orders[1])


def test_minibatches_drop_the_last(path):
    batches = AnnDataShadow(path).handle("X").minibatches(8, drop_last=True)
    assert len(batches) == 7
    assert [len(rows) for rows, _ in batches] == [8] * 7


def test_minibatches_pickle(path):
    view = AnnDataShadow(path)[5:45]
    batches = view.handle("layers/csr").minibatches(8, seed=5)
    batches.set_epoch(2)
    other = pickle.loads(pickle.dumps(batches))
    assert len(other) == len(batches) == 5
    for mine, theirs in zip(batches, other, strict=True):
        np.testing.assert_array_equal(mine.rows, theirs.rows)
        np.testing.assert_array_equal(dense(mine.values), dense(theirs.values))
        np.testing.assert_array_equal(dense(mine.values), dense(adata().layers["csr"][5:45][mine.rows]))


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"size": 0}, "no batches of 0"),
        ({"size": 4, "shuffle": "all"}, "'all' is not known"),
        ({"size": 4, "shuffle": 0}, "0 rows"),
    ],
    ids=str,
)
def test_minibatches_refuse(path, arguments, what):
    with pytest.raises(ValueError, match=what):
        AnnDataShadow(path).handle("X").minibatches(**arguments)


def test_workers_share_the_batches_out(path, monkeypatch):
    """As torch's DataLoader asks: is it an IterableDataset, and which worker is this?"""

    class IterableDataset:
        pass

    worker = SimpleNamespace(id=0, num_workers=3)
    fake = SimpleNamespace(IterableDataset=IterableDataset, get_worker_info=lambda: worker)
    batches = AnnDataShadow(path).handle("X").minibatches(8, seed=1)
    assert not isinstance(batches, IterableDataset)
    monkeypatch.setitem(sys.modules, "torch.utils.data", fake)
    assert isinstance(batches, IterableDataset)
    seen = []
    for worker.id in range(3):
        seen.extend(np.concatenate([rows for rows, _ in batches] or [[]]).astype(int))
    assert sorted(seen) == list(range(60)), "each row by one of the workers"
    assert len(pickle.loads(pickle.dumps(batches))) == 8


def positions(batches):
    """What a worker is given: all rows of a pass, and their sum."""
    return [(rows.tolist(), float(np.sum(values))) for rows, values in batches]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_minibatches_in_other_processes(path, start):
    batches = AnnDataShadow(path).handle("X").minibatches(8, seed=1)
    with multiprocessing.get_context(start).Pool(1) as pool:
        assert pool.apply_async(positions, (batches,)).get(120) == positions(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_torch_data_loader(path, workers):
    torch = pytest.importorskip("torch")
    whole = adata().X
    batches = AnnDataShadow(path).handle("X").minibatches(8, seed=1)
    seen = []
    for rows, values in torch.utils.data.DataLoader(batches, batch_size=None, num_workers=workers):
        assert isinstance(values, torch.Tensor)
        np.testing.assert_array_equal(values.numpy(), whole[rows.numpy()])
        seen.extend(rows.tolist())
    assert sorted(seen) == list(range(60))


# ---- statistics


def expected_stats(x: np.ndarray, axis: int, ddof: int) -> pd.DataFrame:
    x = x.astype(np.float64)
    return pd.DataFrame(
        {
            "count": x.shape[axis],
            "sum": x.sum(axis),
            "mean": x.mean(axis),
            "variance": x.var(axis, ddof=ddof),
            "min": x.min(axis),
            "max": x.max(axis),
            "nonzero": (x != 0).sum(axis),
        }
    )


@pytest.mark.parametrize("element", ["X", "layers/csr", "layers/csc"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_stats(path, element, ddof):
    shadow = AnnDataShadow(path)
    handle = shadow.handle(element)
    x = dense(handle.read())
    genes = expected_stats(x, 0, ddof).set_axis(shadow.var_names)
    cells = expected_stats(x, 1, ddof).set_axis(shadow.obs_names)
    options = {"check_dtype": False, "rtol": 1e-9, "atol": 1e-12}
    pd.testing.assert_frame_equal(handle.stats(ddof=ddof), genes, **options)
    pd.testing.assert_frame_equal(handle.stats("obs", ddof=ddof), cells, **options)
    both = handle.stats(None, ddof=ddof)
    pd.testing.assert_frame_equal(both[0], cells, **options)
    pd.testing.assert_frame_equal(both[1], genes, **options)


def test_stats_of_a_view_and_of_an_embedding(path):
    shadow, made = AnnDataShadow(path), adata()
    view = shadow[5:25, ["gene-7", "gene-3"]]
    found = view.handle("layers/csr").stats()
    assert found.index.tolist() == ["gene-7", "gene-3"]
    np.testing.assert_allclose(found["sum"], made[5:25, ["gene-7", "gene-3"]].layers["csr"].toarray().sum(0))
    found = shadow.handle("obsm/X_pca").stats()
    assert found.index.tolist() == list(range(5))
    np.testing.assert_allclose(found["mean"], made.obsm["X_pca"].mean(0))


def test_stats_of_raw():
    path = DATA / "pbmc68k_reduced.h5ad"
    shadow, whole = AnnDataShadow(path), ad.io.read_h5ad(path)
    found = shadow.handle("raw/X").stats()
    assert found.index.tolist() == whole.raw.var_names.tolist()
    np.testing.assert_allclose(found["mean"], whole.raw.X.toarray().astype(np.float64).mean(0))


def test_stats_by_group(path):
    shadow, made = AnnDataShadow(path), adata()
    found = shadow.handle("layers/csr").stats(by="group")
    assert found.index.names[0] == "group"
    assert found.index.levels[0].tolist() == ["c", "a", "b"], "in the order of the categories, those with cells"
    x = made.layers["csr"].toarray()
    for group in ["c", "a", "b"]:
        wanted = expected_stats(x[made.obs["group"] == group], 0, 1).set_axis(shadow.var_names)
        options = {"check_dtype": False, "check_names": False, "rtol": 1e-9, "atol": 1e-12}
        pd.testing.assert_frame_equal(found.loc[group], wanted, **options)
    gaps = shadow.handle("layers/csr").stats(by="gaps")
    assert set(gaps.index.get_level_values(0)) == {"x", "y"}
    with pytest.raises(KeyError, match="nothing"):
        shadow.handle("X").stats(by="nothing")
    with pytest.raises(ValueError, match="axis='var'"):
        shadow.handle("X").stats("obs", by="group")
    with pytest.raises(ValueError, match="axis='rows' is not known"):
        shadow.handle("X").stats("rows")


@pytest.mark.parametrize(
    ("by", "dtype"), [("flag", "bool"), ("few", "int64"), ("maybe", "int32"), ("tens", "int64"), ("group", "object")]
)
def test_groups_are_of_the_type_of_the_column(tmp_path, by, dtype):
    made = adata()
    made.obs["few"] = np.arange(60) % 3 - 1
    made.obs["tens"] = pd.Categorical(np.arange(60) % 2 * 10)
    found = AnnDataShadow(write(made, tmp_path, "h5ad")).handle("X").stats(by=by)
    assert found.index.levels[0].dtype == dtype
    groups = made.obs[by].dropna().unique()
    assert set(found.index.get_level_values(by)) == set(groups)
    for group in groups:
        rows = (made.obs[by] == group).fillna(False).to_numpy(bool)
        np.testing.assert_allclose(found.loc[group]["sum"], made.X[rows].sum(0, dtype=np.float64), atol=1e-12)


def test_progress_is_told_and_can_stop(path):
    handle = AnnDataShadow(path).handle("X")
    told = []
    handle.stats(progress=lambda done, all: told.append((done, all)))
    assert told[0] == (0, 60)
    assert told[-1] == (60, 60)
    from anndata_shadow import ShadowError

    with pytest.raises(ShadowError):
        handle.stats(progress=lambda done, all: False)

    def fails(done, all):
        raise RuntimeError("by the progress bar")

    with pytest.raises(RuntimeError, match="by the progress bar"):
        handle.stats(progress=fails)


def test_ctrl_c_ends_the_work(path):
    handle = AnnDataShadow(path).handle("X")
    with pytest.raises(KeyboardInterrupt):
        handle.stats(progress=lambda done, all: os.kill(os.getpid(), signal.SIGINT))
    assert handle.stats()["count"].iloc[0] == 60


# ---- the gene index


def test_gene_index(tmp_path):
    made = adata(500, 60)
    made.X = made.layers["csr"].copy()
    del made.layers["csc"]
    path = write(made, tmp_path, "h5ad")
    shadow = AnnDataShadow(path, mode="r+")
    told = []
    receipt = shadow.add_gene_index(progress=lambda done, all: told.append((done, all)))
    assert told[-1][0] == told[-1][1] > 0
    assert receipt.bytes_written > 0
    shadow.reopen("r")
    assert "X_csc" in shadow.layers
    genes = shadow[:, ["gene-7", "gene-3"]]
    assert (genes.X != made[:, ["gene-7", "gene-3"]].X).nnz == 0
    shadow.close()
    read = ad.io.read_h5ad(path)
    assert isinstance(read.layers["X_csc"], sp.csc_matrix)
    assert (read.layers["X_csc"] != made.X).nnz == 0


def test_gene_index_wants_a_writer(path):
    with pytest.raises(OSError, match="read-only"):
        AnnDataShadow(path).add_gene_index()
