"""A user's program, which `test_types.py` lets mypy read. Nobody runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, assert_type

import pandas as pd
from anndata import AnnData
from mudata import MuData

from anndata_shadow import AnnDataShadow, Change, MuDataShadow, Receipt, Report, release, settings, verify

Format = Literal["hdf5", "zarr", "zarr-zip"]

# Opened: its shape, names and frames.
with AnnDataShadow(Path("pbmc.h5ad"), mode="r+", array_backend=lambda array: array, cache_budget=2**20) as shadow:
    assert_type(shadow, AnnDataShadow)
    assert_type((shadow.n_obs, shadow.shape, shadow.is_view), tuple[int, tuple[int, int], bool])
    assert_type((shadow.obs, shadow.obs_names), tuple[pd.DataFrame, pd.Index])
    shadow.var_names = ["gene-1", "gene-2"]
    shadow.obs = pd.DataFrame()

# Views.
view = shadow[:100, ["CST3", "LYZ"]]
assert_type(view, AnnDataShadow)
assert_type((view.X, view.to_memory(), view.to_df()), tuple[Any, AnnData, pd.DataFrame])
assert_type((shadow.copy(), shadow.copy("other.h5ad")), tuple[AnnData, AnnDataShadow])
if shadow.raw is not None:
    assert_type((shadow.raw.shape, shadow.raw.var, shadow.raw.X), tuple[tuple[int, int], pd.DataFrame, Any])
    assert_type(shadow.raw[:5].to_adata(), AnnData)

# Slots are mappings, and are set to mappings.
shadow.obsm["X_new"] = shadow.obsm["X_pca"]
assert_type(list(shadow.obsm), list[str])
shadow.uns = {"of": {"any": "depth"}}
shadow.layers.rename("counts", "raw_counts")
del shadow.varm

# Writing, in a chain.
assert_type(shadow.changes(), list[Change])
assert_type(shadow.reopen("r+").write(clear_cache=True, safety="copy").reopen("r").close(), AnnDataShadow)
assert_type(shadow.receipt, Receipt | None)
if shadow.receipt:
    assert_type(shadow.receipt.bytes_written, int)
assert_type(shadow.mode, Literal["r", "r+"] | None)
assert_type((shadow.file.filename, shadow.file.format), tuple[str, Format])
assert_type((shadow.verify(deep=True), verify("pbmc.h5ad")), tuple[Report, Report])

# Handles, and what is larger than memory.
handle = shadow.lazy().handle("X")
for start, stop, _ in handle.row_blocks(rows=1000):
    assert_type((start, stop), tuple[int, int])
for batch in handle.minibatches(256, seed=42):
    batch.rows.sum()
assert_type(shadow.chunked_X(), Iterator[tuple[Any, int, int]])
assert_type(shadow.handle("obs").columns, pd.Index)

# MuData.
mdata = MuDataShadow("study.h5mu")
assert_type((mdata["rna"], mdata.mod["rna"], mdata.to_memory()), tuple[AnnDataShadow, AnnDataShadow, MuData])
for name, modality in mdata.mod.items():
    assert_type((name, modality), tuple[str, AnnDataShadow])
mdata.mod["more"] = AnnData()
assert_type(mdata.discard("mod/rna"), MuDataShadow)
settings.pose = False
release("study.h5mu")
