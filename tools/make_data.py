"""Writes data/pbmc68k_reduced_v3.zarr from data/pbmc68k_reduced.h5ad: the same cells as Zarr v3, by anndata 0.12."""

import shutil
from pathlib import Path

import anndata as ad

data = Path(__file__).resolve().parent.parent / "data"
out = data / "pbmc68k_reduced_v3.zarr"
shutil.rmtree(out, ignore_errors=True)
ad.settings.zarr_write_format = 3
ad.read_h5ad(data / "pbmc68k_reduced.h5ad").write_zarr(out)
