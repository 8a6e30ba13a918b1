#!/usr/bin/env python3
"""Slice an AnnData with anndata itself, or a MuData with mudata, and describe what comes out.

    python slices.py JOB.json ANSWER.json

Job: `path`, `container`, and `chains`: lists of [obs, var] selections, each applied to the result of the one before. A
selection is {"slice": [start, stop, step]}, {"one": i}, {"list": [i, ...]}, {"mask": [bool, ...]} or {"names": [...]}.
`container` is `mudata` for these. Answer: for each chain the object (schema: make_fixtures.py).
"""
from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import make_fixtures as mf
import anndata as ad
import mudata as md
import numpy as np
import zarr

warnings.simplefilter("ignore")
# A view keeps all categories: they are part of the column, not of the selection.
ad.settings.remove_unused_categories = False


def index(selection: dict, names, flat: bool):
    n = len(names)
    (kind, value), = selection.items()
    match kind:
        case "slice":
            # scipy 1.17 fails on some slices that are empty or have a step, and on what anndata makes of nested ones.
            # And awkward 2.14 fails on positions that do not lie one after the other in memory.
            taken = np.arange(n)[slice(*value)].copy()
            return slice(*value) if flat and len(taken) and value[2] in (None, 1) else taken
        case "one":
            return value if flat else np.array([value])
        case "list":
            return np.array(value, dtype=int)
        case "mask":
            return np.array(value, dtype=bool)
        case "names":
            # pandas looks no name up where another stands twice.
            return value if names.is_unique else np.array([names.get_loc(name) for name in value])
    raise ValueError(kind)


def main(question, answer):
    job = json.loads(Path(question).read_text())
    describe = mf.describe_anndata
    if job["container"] == "mudata":
        read = md.read_h5mu if job["path"].endswith(".h5mu") else md.read_zarr
        whole, describe = read(job["path"]), mf.describe_mudata
    elif job["container"] == "hdf5":
        whole = ad.read_h5ad(job["path"])
    else:
        whole = ad.read_zarr(zarr.open_group(job["path"], mode="r", use_consolidated=False))
    out = []
    for chain in job["chains"]:
        part = whole
        for obs, var in chain:
            part = part[index(obs, part.obs_names, len(chain) == 1), index(var, part.var_names, len(chain) == 1)]
        out.append(describe(part))
    Path(answer).write_text(json.dumps(out, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
