"""`to_memory()` of every fixture equals what anndata and mudata read of it, whole and in parts."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from anndata.io import read_elem
from conftest import DATA, FIXTURES, fixtures
from same import read, read_mudata, same, same_anndata

from anndata_shadow import AnnDataShadow, MuDataShadow


@pytest.mark.parametrize("name", fixtures("anndata"))
def test_anndata(name):
    got, expected = AnnDataShadow(FIXTURES / name).to_memory(), read(FIXTURES / name)
    if name == "legacy_06.h5ad":
        # Of categories in raw, anndata reads the codes.
        assert expected.raw.var["v"].tolist() == got.raw.var["v"].cat.codes.tolist()
        expected.raw.var["v"] = got.raw.var["v"]
    if name == "kitchen.h5ad":
        # Texts of a fixed length in HDF5 are texts here.
        expected.uns["arr_bytes"] = expected.uns["arr_bytes"].astype(str)
    same_anndata(got, expected)


@pytest.mark.parametrize("name", ["main.h5ad", "main_v2.zarr", "main_v3_sharded.zarr", "legacy_07.h5ad", "chunks.h5ad"])
def test_parts_of_anndata(name):
    shadow, adata = AnnDataShadow(FIXTURES / name), read(FIXTURES / name)
    some = np.arange(adata.n_obs) % 2 == 0
    everything = slice(None)
    for part in ((slice(1, 5), everything), (some, [2, 0]), ([3, 3, 1], everything), (-1, 1), (slice(0, 0), slice(2))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same_anndata(shadow[part].to_memory(), adata[part].copy())


@pytest.mark.parametrize("name", fixtures("mudata"))
def test_mudata(name):
    expected = read_mudata(FIXTURES / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = MuDataShadow(FIXTURES / name).to_memory()
    assert list(got.mod) == list(expected.mod)
    for modality in expected.mod:
        # mudata 0.3 loses `raw` of modalities in Zarr, and the axis.
        if expected[modality].raw is None:
            got[modality].raw = None
        same_anndata(got[modality], expected[modality])
    # mudata 0.3 takes no notice of the axis in Zarr, and makes other frames and maps.
    parts = parts_of(FIXTURES / name) if name.endswith(".zarr") else expected
    for frame in ("obs", "var"):
        same(getattr(got, frame), getattr(parts, frame), frame)
    for slot in ("obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap"):
        same(dict(getattr(got, slot)), dict(getattr(parts, slot)), slot)


def parts_of(path):
    """The global part as anndata reads it, element by element."""
    group = zarr.open_group(path, mode="r")
    return SimpleNamespace(**{name: read_elem(group[name]) for name in group if name != "mod"})


OTHERS = ["pbmc_small_py.h5ad", "krumsiek11_v07.h5ad", "10x_pbmc68k_reduced.h5ad", "pbmc3k_no_X.h5ad"]


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_others(name):
    same_anndata(AnnDataShadow(DATA / "h5ad" / name).to_memory(), read(DATA / "h5ad" / name))
