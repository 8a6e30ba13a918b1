"""What was handed out and changed in place: nothing of it is lost, nor pending without a reason."""

import gc
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import made
import numpy as np
import pandas as pd
import pytest
from conftest import copy_of
from same import read, same

from anndata_shadow import AnnDataShadow, MuDataShadow, _core, _frame_loan
from anndata_shadow._fingerprint import fingerprint, is_watched

N = 60
OLD_PANDAS = int(pd.__version__.split(".")[0]) < 3


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lent")
    return made.write(made.adata(N), folder, "h5ad")


@pytest.fixture
def path(written, tmp_path):
    return copy_of(written, tmp_path)


@pytest.fixture
def shadow(path):
    with AnnDataShadow(path, mode="r+") as shadow:
        yield shadow


def pending(shadow):
    return sorted(change.path for change in shadow.changes())


def in_file(shadow):
    """What anndata reads after writing."""
    shadow.write().close()
    return read(Path(shadow.filename))


# ---- what cannot be stored


def write_elsewhere(path):
    code = "import sys; from anndata_shadow import AnnDataShadow as S; s = S(sys.argv[1], mode='r+'); s.uns['other'] = 1; s.write()"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def spoil(shadow):
    shadow.obs.insert(0, "bad", [object()] * N)
    shadow.obs.loc[shadow.obs_names[0], "count"] = 5000
    shadow.uns["nested"]["bad"] = object()
    shadow.uns["nested"]["values"][0, 0] = -5
    shadow.obsm["X_pca"][0, 0] = 123


def test_what_cannot_be_stored_does_not_keep_the_rest_from_it(shadow):
    spoil(shadow)
    with pytest.raises(TypeError, match="bad"):
        shadow.changes()
    assert sorted(change.path for change in shadow._core.changes()) == ["obs/count", "obsm/X_pca", "uns/nested/values"]


def test_what_cannot_be_stored_is_kept_when_others_have_written(path):
    shadow = AnnDataShadow(path)
    spoil(shadow)
    shadow.close()
    write_elsewhere(path)
    shadow.reopen()
    assert shadow.uns["other"] == 1
    assert "bad" in shadow.obs and shadow.obs["count"].iloc[0] == 5000 and shadow.obsm["X_pca"][0, 0] == 123
    assert "bad" in shadow.uns["nested"] and shadow.uns["nested"]["values"][0, 0] == -5
    with pytest.raises(TypeError, match="bad"):
        shadow.changes()
    del shadow.obs["bad"], shadow.uns["nested"]["bad"]
    assert pending(shadow) == ["obs/count", "obsm/X_pca", "uns/nested/values"]
    adata = in_file(shadow.reopen("r+"))
    assert adata.obs["count"].iloc[0] == 5000 and adata.uns["nested"]["values"][0, 0] == -5


def test_what_was_kept_can_become_storable(path):
    shadow = AnnDataShadow(path)
    shadow.obs["depth"], shadow.obs.describe()
    shadow.obs.insert(0, "bad", [object()] * N)
    shadow.close()
    write_elsewhere(path)
    shadow.reopen("r+").obs["bad"] = 1
    assert in_file(shadow).obs["bad"].tolist() == [1] * N


@pytest.mark.parametrize("column", ["bad", "extra"])
def test_discarding_a_column_takes_back_that_column_only(shadow, column):
    shadow.obs.insert(0, "bad", [object()] * N)
    shadow.obs.insert(1, "extra", 1)
    shadow.obs.loc[shadow.obs_names[0], "count"] = 5000
    shadow.discard(f"obs/{column}")
    assert column not in shadow.obs and {"bad", "extra"} - {column} <= set(shadow.obs)
    assert shadow.obs["count"].iloc[0] == 5000
    shadow.obs.describe()
    assert column not in shadow.obs and shadow.obs["count"].iloc[0] == 5000
    shadow.discard("obs")
    assert not pending(shadow)
    expected = in_file(shadow).obs
    same(shadow.reopen().obs, expected)


# ---- frames follow the names of rows


RENAMED = [f"n{i}" for i in range(N)]


def by_names(shadow):
    shadow.obs_names = RENAMED


def by_index(shadow):
    shadow.obs.index = RENAMED


def by_frame(shadow):
    shadow.obs = pd.DataFrame({"a": range(N)}, index=RENAMED)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("rename", [by_names, by_index, by_frame])
def test_frames_in_obsm_keep_their_changes_when_rows_are_renamed(shadow, rename, whole):
    if whole:
        shadow.obs.describe()
    frame = shadow.obsm["scores"]
    frame.iloc[0, 0] = 99.0
    rename(shadow)
    assert "obsm/scores" in pending(shadow)
    assert list(shadow.obsm["scores"].index) == RENAMED
    scores = in_file(shadow).obsm["scores"]
    assert scores.iloc[0, 0] == 99.0 and list(scores.index) == RENAMED


@pytest.mark.parametrize("whole", [False, True])
def test_names_that_are_no_texts_become_texts(shadow, whole):
    if whole:
        shadow.obs.describe()
    shadow.obs_names = range(N)
    assert list(shadow.obs_names) == [str(i) for i in range(N)] == list(shadow.obs.index)
    assert shadow[["3"]].obs_names.tolist() == ["3"]
    shadow.obs.reset_index(drop=True, inplace=True)
    shadow.changes()
    assert list(shadow.obs_names) == [str(i) for i in range(N)]
    with pytest.raises(TypeError, match="levels"):
        shadow.obs.index = pd.MultiIndex.from_product([["a"], range(N)])


# ---- views


def test_views_see_what_was_changed_since_they_were_looked_at(shadow):
    view = shadow[:10]
    assert view.obs["count"].iloc[0] != 5000
    shadow.obs.loc[shadow.obs_names[0], "count"] = 5000
    assert view.obs["count"].iloc[0] == 5000
    assert view.obs_names[0] == "cell-0"
    shadow.obs.index = RENAMED
    assert view.obs_names.tolist() == RENAMED[:10]


def test_a_frame_goes_on_without_its_view_and_its_shadow(path):
    shadow = AnnDataShadow(path)
    of_view, obs = shadow[:10].obs, shadow.obs
    shadow.obs.loc[shadow.obs_names[0], "count"] = 5000
    assert of_view["count"].iloc[0] == 5000
    del shadow
    assert of_view["depth"].shape == (10,) and obs["depth"].shape == (N,) and obs["count"].iloc[0] == 5000
    obs.loc[:, "new"] = 1
    assert obs.describe().shape[1] and (obs["new"] == 1).all()


@pytest.mark.parametrize("look", ["obs_names", "obs", "view", "obsm"])
def test_a_shadow_that_nobody_has_closes_its_file_at_once(path, look):
    gc.collect()
    gc.disable()
    try:
        shadow = AnnDataShadow(path, mode="r+")
        if look == "view":
            shadow[:5].obs["depth"], shadow[:5].obs.describe(), shadow.obs.describe()
        elif look == "obs":
            shadow.obs["depth"], shadow.obs.describe()
            shadow.obs["new"] = 1
        else:
            getattr(shadow, look)
        del shadow
        # (What opens shadows lets the garbage collector run if it must.)
        _core.Shadow.open(str(path), "r+").close()
    finally:
        gc.enable()


# ---- threads


def at_once(*works):
    errors, start = [], threading.Barrier(len(works))

    def run(work):
        start.wait()
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


@pytest.fixture
def impatient():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_columns_are_read_while_another_thread_reads_all(path, impatient):
    expected = read(path).obs
    for _ in range(15):
        with AnnDataShadow(path) as shadow:
            def columns(obs=shadow.obs):
                for name in expected:
                    same(obs[name], expected[name])

            at_once(columns, columns, columns, shadow.obs.describe)
            same(shadow.obs, expected)
            assert not shadow.changes()


@pytest.mark.parametrize("whole", [False, True])
def test_columns_are_set_while_others_settle(path, impatient, whole):
    with AnnDataShadow(path) as shadow:
        if whole:
            shadow.obs.describe()

        def set_columns(i):
            for j in range(8):
                shadow.obs[f"c{i}{j}"] = j
                shadow[:5].obs[f"c{i}{j}"], shadow.changes()

        at_once(*(lambda i=i: set_columns(i) for i in range(4)))
        names = {f"c{i}{j}" for i in range(4) for j in range(8)}
        assert names <= set(shadow.obs) and set(pending(shadow)) == {f"obs/{name}" for name in names}
        assert all((shadow.obs[name] == int(name[-1])).all() for name in names)


# ---- fingerprints


def test_names_of_fields_are_noticed(shadow):
    shadow.uns["records"] = np.array([(1.0, 2), (3.0, 4)], dtype=[("a", "f8"), ("b", "i8")])
    shadow.uns["texts"] = np.array([("x", "y")], dtype=[("a", "O"), ("b", "O")])
    shadow.write()
    for name in ("records", "texts"):
        shadow.uns[name].dtype.names = ("c", "d")
    assert pending(shadow) == ["uns/records", "uns/texts"]
    adata = in_file(shadow)
    assert adata.uns["records"].dtype.names == adata.uns["texts"].dtype.names == ("c", "d")


def test_renamed_categories_reach_the_records_of_uns(store):
    shadow = AnnDataShadow(store, mode="r+")
    new = [f"G{i}" for i in range(len(shadow.obs["bulk_labels"].cat.categories))]
    shadow.rename_categories("bulk_labels", new)
    adata = in_file(shadow)
    assert list(adata.obs["bulk_labels"].cat.categories) == new
    assert list(adata.uns["rank_genes_groups"]["names"].dtype.names) == new


def test_what_was_not_changed_is_not_pending(shadow):
    shadow.obs["sparse"] = pd.arrays.SparseArray(np.arange(N) % 3)
    shadow.uns["texts"] = np.array(["a", "a longer text, beyond what is stored in place"], dtype=np.dtypes.StringDType())
    shadow.uns["number"] = float("nan")
    shadow.write()
    assert not pending(shadow)
    shadow.uns["texts"][0] = "b"
    assert pending(shadow) == ["uns/texts"]


class Wrapped:
    """An array of a library that nobody knows."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_arrays_of_unknown_libraries_are_what_was_set(shadow):
    array = Wrapped(np.zeros((N, 2)))
    shadow.obsm["q"] = array
    array.array[0] = 5
    assert not is_watched(array) and shadow.obsm["q"][0, 0] == shadow.to_memory().obsm["q"][0, 0] == 0
    shadow.uns["d"] = {"q": array}
    array.array[1] = 7
    assert in_file(shadow).uns["d"]["q"][1, 0] == 7


class Tensor:
    """A stand-in for torch's, which is not among what the tests need."""

    layout = "torch.strided"

    def __init__(self, array):
        self.array = array
        self.device = type("device", (), {"type": "cpu"})

    @property
    def _version(self):
        raise RuntimeError("Inference tensors do not track version counter.")

    def numpy(self):
        return self.array

    def detach(self):
        return self

    cpu = resolve_conj = resolve_neg = detach


Tensor.__module__ = "torch"


def test_tensors_are_watched_in_their_memory(shadow):
    tensor = Tensor(np.zeros((N, 2)))
    shadow.obsm["t"] = tensor
    shadow.write()
    assert not pending(shadow) and shadow.obsm["t"] is tensor
    tensor.numpy()[0] = 5
    assert pending(shadow) == ["obsm/t"]
    tensor.device.type = "cuda"
    assert fingerprint(tensor) == fingerprint(tensor)


def test_tables_of_polars_are_watched(path):
    import polars as pl
    with AnnDataShadow(path, table_backend="polars", mode="r+") as shadow:
        obs = shadow.obs
        assert shadow.obs is obs and not shadow.changes()
        obs[0, "count"] = 5000
        assert shadow.obs is obs and any(each.startswith("obs") for each in pending(shadow))
        assert shadow[:3].obs[0, "count"] == 5000
        table = pl.DataFrame({"a": [1, 2]})
        shadow.uns["t"] = table
        table[0, "a"] = 99
        shadow.obsm["p"] = frame = pl.DataFrame({"a": np.zeros(N)})
        frame[0, "a"] = 1.5
        adata = in_file(shadow)
    assert adata.obs["count"].iloc[0] == 5000 and adata.uns["t"]["a"].tolist() == [99, 2]
    assert adata.obsm["p"]["a"].iloc[0] == 1.5 and adata.obsm["p"].index.equals(adata.obs_names)
    expected = made.adata(N).obs
    expected["count"] = adata.obs["count"]
    same(adata.obs.astype({"note": str}), expected.astype({"note": str}))


def test_tables_that_were_replaced_are_no_longer_watched(path):
    import polars as pl
    with AnnDataShadow(path, table_backend="polars") as shadow:
        old = shadow.obs
        shadow.obs = old.with_columns(pl.Series("new", range(N)))
        old[0, "count"] = 5000
        assert "new" in shadow.obs.columns and shadow.obs[0, "count"] != 5000
        shadow.obs[0, "count"] = 7
        shadow.discard()
        assert shadow.obs[0, "count"] not in (7, 5000) and not shadow.changes()


# ---- names


def test_names_that_are_none_are_refused_and_take_nothing_with_them(shadow):
    shadow.uns["d"] = {"1": 10}
    d = shadow.uns["d"]
    d["b"], d[1], d["x/y"] = 2, 5, 7
    with pytest.raises((TypeError, ValueError), match="uns/d"):
        shadow.changes()
    del d[1]
    with pytest.raises(ValueError, match="x/y"):
        shadow.write()
    del d["x/y"]
    assert in_file(shadow).uns["d"] == {"1": 10, "b": 2}


# ---- columns that were taken out


@pytest.mark.parametrize("whole", ["before", "between", "never"])
def test_columns_that_were_taken_out_are_those_of_pandas(shadow, whole):
    adata = made.adata(N)
    for obs in (shadow.obs, adata.obs):
        if whole == "before":
            obs.describe()
        column = obs["count"]
        if whole == "between":
            obs.describe()
        with warnings.catch_warnings(action="ignore"):
            column[:] = 0
        assert (column == 0).all()
    same(shadow.obs["count"], adata.obs["count"])
    assert (pending(shadow) == ["obs/count"]) is OLD_PANDAS
    shadow.obs.iloc[1, shadow.obs.columns.get_loc("count")] = 12
    assert shadow.obs["count"].iloc[1] == 12


def test_a_column_that_was_taken_out_is_not_changed_by_the_frame(shadow):
    if OLD_PANDAS:
        pytest.skip("without copy-on-write it is")
    column = shadow.obs["count"]
    before = column.tolist()
    shadow.obs.describe()
    shadow.obs.iloc[:, shadow.obs.columns.get_loc("count")] = 0
    assert column.tolist() == before and (shadow.obs["count"] == 0).all()


# ---- the names of rows of a column


@pytest.fixture
def names_read(monkeypatch):
    """Paths of which names were read."""
    read, found = _frame_loan._read_names, []

    def count(core, path, name):
        found.append(path)
        return read(core, path, name)

    monkeypatch.setattr(_frame_loan, "_read_names", count)
    return found


def test_a_column_does_not_read_the_names_of_rows(shadow, names_read):
    group = shadow.obs["group"]
    assert group.value_counts().sum() == (group == group).sum() == N
    assert shadow[shadow.obs["group"] == "a"].n_obs == (group == "a").sum()
    shadow.obs["twice"] = shadow.obs["depth"] * 2
    assert pending(shadow) == ["obs/twice"] and len(shadow.obs) == N
    assert not names_read
    assert type(shadow.obs.index) is pd.Index and group.index[3] == shadow.obs_names[3] == "cell-3"
    assert names_read == ["obs"]
    same(group, made.adata(N).obs["group"].cat.set_categories(group.cat.categories))


def discard(shadow):
    shadow.obs_names = RENAMED
    shadow.clear_cache().obs["group"]
    shadow.discard("obs")


@pytest.mark.parametrize(
    "change", [by_names, by_index, by_frame, AnnDataShadow.close, AnnDataShadow.reopen, AnnDataShadow.clear_cache, discard]
)
def test_a_column_keeps_the_names_that_it_had(shadow, change):
    expected = made.adata(N).obs["depth"]
    column = shadow.obs["depth"]
    change(shadow)
    same(column, expected)


def test_a_column_that_is_left_does_not_keep_the_file_open(path):
    shadow = AnnDataShadow(path, mode="r+")
    column = shadow.obs["depth"]
    del shadow
    _core.Shadow.open(str(path), "r+").close()
    same(column, made.adata(N).obs["depth"])


def test_names_that_others_have_changed_are_never_mixed_up(tmp_path):
    path = made.write(made.adata(N), tmp_path, "zarr3")
    shadow = AnnDataShadow(path)
    column = shadow.obs["depth"]
    write_elsewhere(path)
    shadow.reopen()
    with pytest.raises(OSError, match="changed"):
        column.loc["cell-3"]
    same(shadow.obs["depth"], made.adata(N).obs["depth"])


def test_columns_of_modalities_keep_their_names(mu):
    with MuDataShadow(mu) as shadow:
        modality = shadow["rna"]
        column, names = modality.obs[modality.obs.columns[0]], list(shadow["rna"]._core.names("obs"))
        shadow.close()
        assert list(column.index) == names


# ---- what the mends had left


def test_new_names_of_a_frame_that_was_read_whole_are_known_at_once(path):
    shadow = AnnDataShadow(path)
    shadow.obs.describe()
    shadow.obs.index = [f"new-{i}" for i in range(N)]
    frames = [name for name in shadow.obsm if isinstance(shadow.obsm[name], pd.DataFrame)]
    assert frames and all(shadow.obsm[name].index[0] == "new-0" for name in frames)
    shadow.obsm["more"] = pd.DataFrame({"a": range(N)}, index=shadow.obs_names)
    assert shadow[:2].obsm["more"].index.tolist() == ["new-0", "new-1"]


def test_a_column_that_only_pandas_has_can_be_deleted(path):
    shadow = AnnDataShadow(path)
    for value in (1, [object()] * N):
        shadow.obs.insert(0, "odd", value)
        del shadow.obs["odd"]
        assert "odd" not in shadow.obs and shadow.changes() == []


def test_a_view_that_reopens_forgets_what_its_shadow_has_handed_out(path):
    shadow = AnnDataShadow(path)
    before, view = shadow.obsm["X_pca"].copy(), shadow[:5]
    shadow.close()
    with AnnDataShadow(path, mode="r+") as other:
        other.obsm["X_pca"] = before * 0 + 7
        other.write()
    view.reopen("r+")
    shadow.obsm["X_pca"][0, 0] = 1
    shadow.write().close()
    found = read(path).obsm["X_pca"]
    assert found[0, 0] == 1 and (found.ravel()[1:] == 7).all()
