"""`to_memory()` of every fixture equals what anndata and mudata read of it, whole and in parts."""

import warnings

import numpy as np
import pytest
from conftest import DATA, FIXTURES, fixtures
from same import read, read_mudata, same, same_anndata

from anndata_shadow import AnnDataShadow, MuDataShadow

#: Fixtures that a reference library does not read as they are; the Rust tests compare their values with `expected.json`.
NOT_READ = {}


@pytest.mark.parametrize("name", fixtures("anndata"))
def test_anndata(name):
    expected = expected_of(name)
    same_anndata(AnnDataShadow(FIXTURES / name).to_memory(), expected)


def expected_of(name):
    try:
        return read(FIXTURES / name)
    except Exception as error:
        if name in NOT_READ:
            pytest.skip(f"{NOT_READ[name]}: {error}")
        raise


@pytest.mark.parametrize("name", ["main.h5ad", "main_v2.zarr", "main_v3_sharded.zarr", "legacy_07.h5ad", "chunks.h5ad"])
def test_parts_of_anndata(name):
    shadow, adata = AnnDataShadow(FIXTURES / name), read(FIXTURES / name)
    some = np.arange(adata.n_obs) % 2 == 0
    for part in ((slice(1, 5), slice(None)), (some, [2, 0]), ([3, 3, 1], slice(None, None, -1)), (-1, 1), (slice(0, 0), slice(2))):
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
    for frame in ("obs", "var"):
        same(getattr(got, frame), getattr(expected, frame), frame)
    for slot in ("obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap"):
        same(dict(getattr(got, slot)), dict(getattr(expected, slot)), slot)


@pytest.mark.parametrize("name", ["pbmc_small_py.h5ad", "krumsiek11_v07.h5ad", "10x_pbmc68k_reduced.h5ad", "pbmc3k_no_X.h5ad"])
def test_files_of_others(name):
    same_anndata(AnnDataShadow(DATA / "h5ad" / name).to_memory(), read(DATA / "h5ad" / name))
