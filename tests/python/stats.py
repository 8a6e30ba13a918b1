#!/usr/bin/env python3
"""What numpy makes of every matrix of an AnnData, and of cuts of it.

    python stats.py JOB.json ANSWER.json

Job: `jobs`, each with `path`, `container`, `chains` (as in slices.py; the empty chain is the whole) and `by`: an obs column or
null. Answer: for each job and chain, path -> {rows, columns, groups}, each of the first two a dict of lists by statistic, the last group -> such a dict of the
columns. Numbers are text, for JSON has neither NaN nor infinity. `scale` is the sum of magnitudes, for tolerances.
"""
from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import zarr
from scipy import sparse
from slices import index

warnings.simplefilter("ignore")


def stats(dense, axis):
    with np.errstate(all="ignore"):
        n = dense.shape[axis]
        nan = np.full(dense.shape[1 - axis], np.nan)
        found = {
            "sum": dense.sum(axis),
            "mean": dense.mean(axis),
            "variance": dense.var(axis, ddof=1),
            "min": dense.min(axis) if n else nan,
            "max": dense.max(axis) if n else nan,
            "nonzero": np.count_nonzero(dense, axis=axis),
            "scale": np.abs(dense).sum(axis),
        }
    return {name: [repr(float(x)) for x in values] for name, values in found.items()}


def matrices(part):
    yield "X", part.X
    yield from ((f"layers/{k}", v) for k, v in part.layers.items())
    yield from ((f"obsm/{k}", v) for k, v in part.obsm.items())
    yield from ((f"obsp/{k}", v) for k, v in part.obsp.items())
    if part.raw is not None:
        yield "raw/X", part.raw.X


def described(part, by):
    found = {}
    for path, m in matrices(part):
        # scipy adds repeated entries in the type of the matrix.
        m = m.toarray() if sparse.issparse(m) else m
        if not isinstance(m, np.ndarray) or m.ndim != 2 or m.dtype.kind not in "biuf":
            continue
        m = m.astype(np.float64)
        found[path] = {"rows": stats(m, 1), "columns": stats(m, 0)}
        if by is not None:
            groups = part.obs[by].to_numpy()
            found[path]["groups"] = {str(g): stats(m[groups == g], 0) for g in part.obs[by].dropna().unique()}
    return found


def main(question, answer):
    out = []
    for job in json.loads(Path(question).read_text())["jobs"]:
        if job["container"] == "hdf5":
            whole = ad.read_h5ad(job["path"])
        else:
            whole = ad.read_zarr(zarr.open_group(job["path"], mode="r", use_consolidated=False))
        of_chains = []
        for chain in job["chains"]:
            part = whole
            for obs, var in chain:
                part = part[index(obs, part.obs_names, False), index(var, part.var_names, False)]
            of_chains.append(described(part, job["by"]))
        out.append(of_chains)
    Path(answer).write_text(json.dumps(out, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
