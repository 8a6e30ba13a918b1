#!/usr/bin/env python3
"""Adds two matrices whose chunks are known to a Zarr store, as zarr-python writes them.

    python chunked.py JOB.json ANSWER.json

Job: `path`, `shape`, `rows` (in a chunk) and `entries` (in each row). `layers/dense` has chunks of so many whole rows, and the values
of the numbers of its items; `layers/csr` has as many values in each row, and chunks of data and indices that hold as many rows.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import zarr

job = json.loads(Path(sys.argv[1]).read_text())
(n, m), entries = job["shape"], job["entries"]
layers = zarr.open_group(job["path"], mode="r+", use_consolidated=False).require_group("layers")


def create(group, name, values, chunks):
    array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)
    array[...] = values
    return array


dense = create(layers, "dense", np.arange(n * m, dtype="f4").reshape(n, m), (job["rows"], m))
dense.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
csr = layers.create_group("csr")
csr.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n, m]})
create(csr, "data", np.arange(n * entries, dtype="f4"), (job["rows"] * entries,))
create(csr, "indices", np.tile(np.arange(entries, dtype="i4"), n), (job["rows"] * entries,))
create(csr, "indptr", np.arange(n + 1, dtype="i4") * entries, (n + 1,))
zarr.consolidate_metadata(job["path"])
Path(sys.argv[2]).write_text("null")
