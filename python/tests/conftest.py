"""Stores for the tests: copies of the data in `data/`, and the fixtures that `make test` has made."""

import json
import os
import shutil
from pathlib import Path

import anndata as ad
import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"
FIXTURES = Path(os.environ.get("ADSHADOW_FIXTURES", ROOT / "target" / "fixtures"))

#: The same 700 cells in three containers.
PBMC = ("pbmc68k_reduced.h5ad", "pbmc68k_reduced_v2.zarr", "pbmc68k_reduced_v3.zarr")


def fixtures(kind):
    """Names of the fixtures of a kind: "anndata", "mudata"."""
    made = json.loads(fixture("manifest.json").read_text())["fixtures"]
    return sorted(name for name, about in made.items() if about["kind"] == kind)


def fixture(name):
    """The path of a fixture. That there are none is a failure: what they test would go untested."""
    path = FIXTURES / name
    assert path.exists(), f"{path} is not there: tools/setup.sh --fixtures makes the fixtures"
    return path


def copy_of(source, folder):
    """A copy that a test may change."""
    target = folder / source.name
    shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return target


@pytest.fixture(params=PBMC)
def pbmc(request):
    """The 700 cells, not to be changed."""
    return DATA / request.param


@pytest.fixture(params=PBMC)
def store(request, tmp_path):
    """A copy of the 700 cells."""
    return copy_of(DATA / request.param, tmp_path)


@pytest.fixture(params=["main.h5ad", "main_v3.zarr"])
def main(request, tmp_path):
    """A copy of a small object with an element of every kind."""
    return copy_of(fixture(request.param), tmp_path)


@pytest.fixture(params=["mu.h5mu", "mu_v3.zarr"])
def mu(request, tmp_path):
    """A copy of a small MuData."""
    return copy_of(fixture(request.param), tmp_path)


@pytest.fixture(autouse=True)
def _nullable_strings():
    """Lets anndata write texts with missing values, which it asks to be told."""
    if hasattr(ad.settings, "allow_write_nullable_strings"):
        ad.settings.allow_write_nullable_strings = True
