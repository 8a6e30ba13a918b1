#!/usr/bin/env python3
"""A witness for the tests that kill writers: it makes a small store, applies an edit in memory as pandas and numpy do, and
says what unmodified readers find in a store, element by element. One job a line on standard input, one answer a line on
standard output, so that the libraries are imported once.

  {"do": "make", "container": C, "path": P, "sparse": B}  writes the store, X as CSR if so
  {"do": "truth", "container": C, "path": P, "edits": [E, …]}
                                                         what is in it after the edits: {element: digest}
  {"do": "read", "container": C, "path": P}               what every reader finds: {reader: {element: digest} or "error: …"}

Containers: h5ad, h5ad_copied, h5mu, v2, v3, v3_sharded, v3_plain. `trials/mod.rs` has the same edits and the same numbers.
"""
from __future__ import annotations

import hashlib
import json
import os
import pathlib
import sys
import warnings

import make_fixtures as mf  # first: it sets what anndata may write
import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import read_elem

CELLS, GENES = 300, 40


def noise(rows: int, cols: int, salt: int) -> np.ndarray:
    """Numbers that no compressor makes smaller, the same on both sides."""
    i = np.arange(rows * cols, dtype=np.uint64) + np.uint64(salt * 7919)
    return ((i * np.uint64(2654435761)) % np.uint64(2**32)).astype("f8").reshape(rows, cols) / 2.0**32


def cells(salt: int = 0, sparse: bool = False) -> ad.AnnData:
    counts = np.floor(noise(CELLS, GENES, salt + 1) * 5)
    obs = pd.DataFrame(
        {"batch": pd.Categorical([f"b{i % 3}" for i in range(CELLS)]), "depth": noise(CELLS, 1, salt + 2)[:, 0],
         "note": [f"n{i}" for i in range(CELLS)]},
        index=[f"cell_{i}" for i in range(CELLS)])
    x = noise(CELLS, GENES, salt + 3).astype("f4")
    a = ad.AnnData(sp.csr_matrix(x) if sparse else x, obs=obs, var=pd.DataFrame(index=[f"g{salt}_{i}" for i in range(GENES)]))
    a.layers["counts"] = sp.csr_matrix(counts.astype("f4"))
    a.layers["scaled"] = noise(CELLS, GENES, salt + 4)
    a.obsm["X_pca"] = noise(CELLS, 130, salt + 5)
    a.obsm["X_umap"] = noise(CELLS, 2, salt + 6).astype("f4")
    a.uns["params"] = {"k": 15, "method": "umap"}
    return a


def make(container: str, path: str, sparse: bool) -> None:
    if container.startswith("h5ad"):
        cells(sparse=sparse).write_h5ad(path, compression="gzip", convert_strings_to_categoricals=False)
    elif container == "h5mu":
        md.MuData({"rna": cells(sparse=sparse), "prot": cells(50)}).write_h5mu(path, compression="gzip")
    else:
        shard = container == "v3_sharded"
        mf.write_zarr(cells(sparse=sparse), path, int(container[1]), shard, convert_strings_to_categoricals=False, chunks=None if shard else (100, 20))
        if container == "v3_plain":
            for document in pathlib.Path(path).rglob("zarr.json"):
                node = json.loads(document.read_text())
                node.pop("consolidated_metadata", None)
                document.write_text(json.dumps(node))


def change(a: ad.AnnData, edit: str) -> None:
    match edit:
        case "add embedding":
            a.obsm["X_new"] = noise(CELLS, 140, 101)
        case "replace embedding":
            a.obsm["X_pca"] = noise(CELLS, 150, 102)
        case "add column":
            a.obs["stamp"] = noise(CELLS, 1, 103)[:, 0]
        case "remove layer":
            del a.layers["counts"]
        case "rename element":
            a.obsm["X_tsne"] = a.obsm["X_umap"]
            del a.obsm["X_umap"]
        case "rename column":
            a.obs = a.obs.rename(columns={"batch": "sample"})
        case "add index":
            a.layers["X_csc"] = sp.csc_matrix(a.X)
        case _:
            raise ValueError(edit)


def digest(described) -> str:
    return hashlib.sha1(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def flat(described: dict, prefix: str = "") -> dict:
    """A description as digests by path: frames column by column, with their order."""
    out = {}
    for key, value in described.items():
        at = prefix + key
        if key == "mod":
            for name, modality in value.items():
                out |= flat(modality, f"mod/{name}/")
        elif key in ("obs", "var"):
            out[at] = digest([value["index"], value["index_name"]])
            out[f"{at}/<order>"] = " ".join(value["column_order"])
            out |= {f"{at}/{name}": digest(column) for name, column in value["columns"].items()}
        elif key in ("layers", "obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap"):
            out |= {f"{at}/{name}": digest(element) for name, element in value.items()}
        else:
            out[at] = digest(value)
    return out


def describe(x) -> dict:
    return flat(mf.describe_mudata(x) if isinstance(x, md.MuData) else mf.describe_anndata(x))


def views(container: str, path: str):
    if container.startswith("h5ad"):
        yield "read_h5ad", lambda: ad.read_h5ad(path)
    elif container == "h5mu":
        yield "read_h5mu", lambda: md.read_h5mu(path)
    else:
        yield "read_zarr", lambda: ad.read_zarr(path)
        yield "without the map", lambda: read_elem(zarr.open_group(path, mode="r", use_consolidated=False))


def attempt(read):
    try:
        return describe(read())
    except BaseException as e:  # anything that a reader may meet
        if isinstance(e, KeyboardInterrupt):
            raise
        return "error: " + " ".join(f"{type(e).__name__}: {e}".split())[:300]


def answer(job: dict):
    container, path = job["container"], job["path"]
    if job["do"] == "make":
        return make(container, path, job["sparse"])
    if job["do"] == "truth":
        _, read = next(views(container, path))
        x = read()
        for edit in job["edits"]:
            change(x["rna"] if container == "h5mu" else x, edit)
        return describe(x)
    return {name: attempt(read) for name, read in views(container, path)}


def main():
    # Libraries print what they like; answers have the old standard output to themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
