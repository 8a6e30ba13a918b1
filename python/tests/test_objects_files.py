"""Which file a shadow is of, wherever the program goes, and that nothing writes over it."""

import copy
import shutil
import warnings

import anndata as ad
import h5py
import numpy as np
import pytest
import zarr
from conftest import DATA, copy_of
from same import read, same_anndata

from anndata_shadow import AnnDataShadow, BusyError, MuDataShadow

# ---- paths


def test_a_relative_path_stays_where_it_was_opened(store, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = copy_of(store, elsewhere)
    monkeypatch.chdir(tmp_path)
    shadow = AnnDataShadow(store.name)
    shadow.uns["k"] = 1
    monkeypatch.chdir(elsewhere)
    assert shadow.filename == str(store)
    shadow.reopen("r+").write().close()
    assert read(store).uns["k"] == 1 and "k" not in read(other).uns


def test_open_files_of_relative_paths_stay_too(tmp_path, monkeypatch):
    h5ad, store = copy_of(DATA / "pbmc68k_reduced.h5ad", tmp_path), copy_of(DATA / "pbmc68k_reduced_v3.zarr", tmp_path)
    monkeypatch.chdir(tmp_path)
    with h5py.File(h5ad.name) as file:
        shadows = [AnnDataShadow(file), AnnDataShadow(zarr.open_group(store.name, mode="r"))]
    monkeypatch.chdir("/")
    for shadow, path in zip(shadows, (h5ad, store), strict=True):
        assert shadow.filename == str(path) and shadow.close().reopen().n_obs == 700


def test_paths_into_files_stay_too(mu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shadow = AnnDataShadow(f"{mu.name}/mod/rna")
    monkeypatch.chdir("/")
    assert shadow.close().reopen().n_obs == MuDataShadow(mu)["rna"].n_obs


def test_dots_go_by_links(store, tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    copy_of(store, tmp_path / "a")
    (tmp_path / "link").symlink_to(deep)
    monkeypatch.chdir(tmp_path)
    assert AnnDataShadow(f"link/../{store.name}").n_obs == 700


# ---- its own file is not written over


def write_zarr(shadow, where):
    shadow.write_zarr(where)


def write_h5ad(shadow, where):
    shadow.write_h5ad(where)


def write(shadow, where):
    shadow.write(where)


def copy_there(shadow, where):
    shadow.copy(where)


@pytest.mark.parametrize("how", [write_zarr, write_h5ad, write, copy_there])
def test_a_view_does_not_write_over_what_it_is_a_view_of(store, how, tmp_path):
    adata = read(store)
    shadow = AnnDataShadow(store, mode="r+")
    (tmp_path / "link").symlink_to(store)
    for where in (store, str(store), tmp_path / "link"):
        with pytest.raises(ValueError):
            how(shadow[:10], where)
    same_anndata(shadow.to_memory(), adata)
    shadow.close()
    same_anndata(read(store), adata)


@pytest.mark.parametrize("how", [write_zarr, write_h5ad, write])
def test_writing_to_its_own_file_writes_what_is_pending(store, how):
    shadow = AnnDataShadow(store, mode="r+")
    shadow.obs["z"] = 1
    how(shadow, store)
    assert not shadow.changes() and [change.path for change in shadow.receipt.elements] == ["obs/z"]
    shadow.close()
    assert (read(store).obs["z"] == 1).all()


def test_an_open_store_is_a_place_too(tmp_path):
    store = copy_of(DATA / "pbmc68k_reduced_v3.zarr", tmp_path)
    shadow, group = AnnDataShadow(store), zarr.open_group(store, mode="r+")
    for where in (group, group.store):
        with pytest.raises(ValueError, match="view"):
            shadow[:10].write_zarr(where)
    assert read(store).n_obs == 700
    zipped = zarr.storage.ZipStore(tmp_path / "other.zarr.zip", mode="w")
    shadow[:10].write_zarr(zipped)
    zipped.close()
    assert AnnDataShadow(zarr.storage.ZipStore(tmp_path / "other.zarr.zip", mode="r")).n_obs == 10


def test_what_is_around_or_inside_its_file_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("pbmc68k_reduced.h5ad", "pbmc68k_reduced_v3.zarr"):
        store = copy_of(DATA / name, folder)
        shadow = AnnDataShadow(store)
        for where in (folder, store / "layers" / "new.zarr"):
            with pytest.raises(ValueError, match="inside the other"):
                shadow.write_zarr(where)
        assert read(store).n_obs == 700


@pytest.mark.parametrize("name", ["write_h5ad", "write_zarr", "write"])
def test_options_are_for_other_files(store, tmp_path, name):
    shadow = AnnDataShadow(store, mode="r+")
    with pytest.raises(TypeError, match="compression"):
        getattr(shadow, name)(store, compression="gzip")
    if name != "write_zarr":
        getattr(shadow, name)(tmp_path / "other.h5ad", compression="gzip")
        with h5py.File(tmp_path / "other.h5ad") as file:
            assert file["obsm/X_pca"].compression == "gzip"


def test_a_copy_goes_to_another_file(store):
    shadow = AnnDataShadow(store)
    with pytest.raises(ValueError, match="another"):
        shadow.copy(store)
    same_anndata(shadow.to_memory(), read(store))


# ---- copies by the module


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_copies_are_objects_in_memory(store, mu, how):
    shadow = AnnDataShadow(store)
    shadow.obsm["X_pca"][:] = 1
    copied = how(shadow)
    assert type(copied) is ad.AnnData and (copied.obsm["X_pca"] == 1).all()
    copied.obsm["X_pca"][:] = 2
    assert (shadow.obsm["X_pca"] == 1).all()
    mdata = MuDataShadow(mu)
    mdata.uns["new"] = {"a": np.ones(2)}
    assert how(mdata).uns["new"]["a"].tolist() == [1, 1]


# ---- row names that are taken back


def test_row_names_are_taken_back_with_all_that_has_them(store):
    adata = read(store)
    shadow = AnnDataShadow(store, mode="r+")
    shadow.obsm["df"] = adata.obs[["n_genes"]].copy()
    shadow.write()
    shadow.obsm["df"]
    shadow.obs_names = [f"c{i}" for i in range(700)]
    shadow.obsm["X_pca"][0, 0] = 77
    assert shadow.obsm["df"].index[0] == "c0"
    shadow.discard("obs")
    assert [change.path for change in shadow.changes()] == ["obsm/X_pca"]
    assert shadow.obsm["df"].index.equals(shadow.obs_names) and shadow.obs_names[0] == adata.obs_names[0]
    shadow.write().close()
    assert read(store).obsm["df"].index.equals(adata.obs_names)


def test_what_was_changed_in_a_frame_stays_when_row_names_are_taken_back(store):
    adata = read(store)
    shadow = AnnDataShadow(store, mode="r+")
    shadow.obsm["df"] = adata.obs[["n_genes"]].copy()
    shadow.write()
    shadow.obs_names = [f"c{i}" for i in range(700)]
    shadow.obsm["df"].iloc[0, 0] = -5
    shadow.discard("obs")
    assert shadow.obsm["df"].iloc[0, 0] == -5 and shadow.obsm["df"].index.equals(shadow.obs_names)
    shadow.write().close()
    assert read(store).obsm["df"].iloc[0, 0] == -5


def test_a_frame_that_is_taken_back_has_the_new_names(store):
    adata = read(store)
    shadow = AnnDataShadow(store, mode="r+")
    shadow.obsm["df"] = adata.obs[["n_genes"]].copy()
    shadow.write()
    shadow.obs_names = names = [f"c{i}" for i in range(700)]
    shadow.obsm["df"].iloc[0, 0] = -5
    shadow.discard("obsm/df")
    assert list(shadow.obsm["df"].index) == names and shadow.obsm["df"].iloc[0, 0] != -5
    shadow.write().close()
    assert list(read(store).obsm["df"].index) == names


@pytest.fixture
def h5ad(tmp_path):
    return copy_of(DATA / "pbmc68k_reduced.h5ad", tmp_path)


def test_nothing_writes_over_a_file_that_is_open(tmp_path, h5ad):
    other = tmp_path / "other.h5ad"
    shutil.copy(h5ad, other)
    before = other.read_bytes()
    with AnnDataShadow(other) as reader, AnnDataShadow(h5ad) as shadow:
        for write in (shadow.write_h5ad, shadow.write, shadow.copy, shadow[:3].write_h5ad):
            with pytest.raises(BusyError, match="other.h5ad is open"):
                write(other)
        assert other.read_bytes() == before and reader.n_obs == 700
    with AnnDataShadow(h5ad) as shadow:
        shadow[:3].write_h5ad(other)
    assert ad.read_h5ad(other).n_obs == 3


def test_a_file_that_others_changed_meanwhile_is_warned_of(h5ad):
    shadow = AnnDataShadow(h5ad)
    shadow.close()
    ad.read_h5ad(h5ad)[::-1].copy().write_h5ad(h5ad)
    shadow.reopen()
    shadow.obs["kept"] = 1.0
    shadow.close()
    ad.read_h5ad(h5ad)[::-1].copy().write_h5ad(h5ad)
    with pytest.warns(UserWarning, match="changed by others: 1 pending change is kept, .* by position"):
        shadow.reopen("r+")
    shadow.discard().close()


def test_what_a_with_block_leaves_pending_is_warned_of(h5ad):
    with pytest.warns(UserWarning, match="closed, and 2 pending changes are not written"):
        with AnnDataShadow(h5ad, mode="r+") as shadow:
            shadow.uns["a"] = 1
            shadow.obsm["X_pca"][0] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with shadow.reopen("r+") as same:
            same.write()
        with pytest.raises(ZeroDivisionError), AnnDataShadow(h5ad) as other:
            other.uns["b"] = 1 / 0 or other.uns
