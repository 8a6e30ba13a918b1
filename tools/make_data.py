"""Writes data/pbmc68k_reduced_v{2,3}.zarr from data/pbmc68k_reduced.h5ad: the same cells as Zarr, by anndata 0.12."""

import shutil
import warnings
from pathlib import Path

import anndata as ad

warnings.simplefilter("ignore")
data = Path(__file__).resolve().parent.parent / "data"
for version in (2, 3):
    out = data / f"pbmc68k_reduced_v{version}.zarr"
    shutil.rmtree(out, ignore_errors=True)
    ad.settings.zarr_write_format = version
    ad.read_h5ad(data / "pbmc68k_reduced.h5ad").write_zarr(out)
