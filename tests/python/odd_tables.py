#!/usr/bin/env python3
"""Write stores with odd tables, or read them again.

    python odd_tables.py JOB.json ANSWER.json

Job: `folder`; and `read`: names of stores there, or null to write them.
Answer: store -> the AnnData as anndata reads it (schema: make_fixtures.py).
"""
from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import make_fixtures as mf
import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import write_elem

warnings.simplefilter("ignore")


def names():
    """Names that stand twice, and names of no letters."""
    a = ad.AnnData(sp.csc_matrix(np.arange(12, dtype="f4").reshape(4, 3)))
    a.obs_names, a.var_names = ["a", "", "a", "b"], ["", "g", "g"]
    a.obs["n"] = [1, 2, 3, 4]
    a.obsm["frame"] = pd.DataFrame({"s": list("wxyz")}, index=a.obs_names)
    return a


def no_rows(n_obs, n_vars):
    """Axes of length 0 in every slot, and second axes of length 0."""
    def build():
        a = ad.AnnData(sp.csc_matrix((n_obs, n_vars), dtype="f4"))
        a.layers["csr"], a.layers["dense"] = sp.csr_matrix((n_obs, n_vars)), np.zeros((n_obs, n_vars), "i2")
        a.obs["n"], a.var["c"] = np.zeros(n_obs), pd.Categorical([None] * n_vars)
        for slot, names in ((a.obsm, a.obs_names), (a.varm, a.var_names)):
            k = len(names)
            slot["none"], slot["csr"], slot["csc"] = np.zeros((k, 0)), sp.csr_matrix((k, 0)), sp.csc_matrix((k, 0))
            slot["two"], slot["wide"] = np.zeros((k, 2), "f4"), sp.csc_matrix((k, 7))
            slot["bare"] = pd.DataFrame(index=names)
        a.obsp["p"], a.varp["p"] = sp.csr_matrix((n_obs, n_obs)), np.zeros((n_vars, n_vars))
        return a
    return build


def categories():
    """As many categories as make codes wide, of every type, ordered and not, used and not."""
    n = 40000
    a = ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]))
    i = np.arange(n)
    for k in (1, 126, 127, 128, 32766, 32767, 32768):
        a.obs[f"text_{k}"] = pd.Categorical.from_codes(i % (k + 1) - 1, [f"k{j:05}" for j in range(k, 0, -1)], ordered=k % 2 == 0)
    a.obs["int"] = pd.Categorical.from_codes(i % 3, [30, -1, 7], ordered=True)
    a.obs["float"] = pd.Categorical.from_codes(i % 2, [2.5, -0.0])
    a.obs["bool"] = pd.Categorical.from_codes(i % 2, [True, False])
    a.obs["all_missing"] = pd.Categorical.from_codes(i * 0 - 1, ["unused"])
    a.obs["no_categories"] = pd.Categorical([None] * n)
    return a


def index_is_column():
    a = ad.AnnData(np.zeros((2, 1), "f4"), obs=pd.DataFrame({"key": ["r", "s"], "n": [1, 2]}))
    a.obs_names = pd.Index(["r", "s"], name="key")
    return a


def write_wide(path, n_columns):
    """As anndata lays out more than 5000 columns; from 4094 to there it fails itself."""
    ad.AnnData(np.zeros((3, 1), "f4")).write_h5ad(path)
    with h5py.File(path, "r+") as f:
        del f["obs"]
        obs = f.create_group("obs", track_order=True)
        order = [f"column {i}" for i in range(n_columns)]
        write_elem(obs, "_index", np.array(["a", "b", "c"], dtype=object))
        for i, name in enumerate(order):
            obs.create_dataset(name, data=np.array([i, 0, -i], "i4")).attrs.update(
                {"encoding-type": "array", "encoding-version": "0.2.0"})
        obs.attrs["column-order"], obs.attrs["_index"] = order, "_index"
        obs.attrs["encoding-type"], obs.attrs["encoding-version"] = "dataframe", "0.2.0"


STORES = {"names": names, "no_obs": no_rows(0, 3), "no_vars": no_rows(3, 0), "nothing": no_rows(0, 0),
          "categories": categories, "index_is_column": index_is_column}


def read(path: Path):
    return mf.describe_anndata(ad.read_h5ad(path) if path.suffix == ".h5ad" else ad.read_zarr(path))


def main(question, answer):
    job = json.loads(Path(question).read_text())
    folder, found = Path(job["folder"]), job["read"]
    if found is None:
        for name, build in STORES.items():
            build().write_h5ad(folder / f"{name}.h5ad", convert_strings_to_categoricals=False)
            for version in (2, 3):
                mf.write_zarr(build(), folder / f"{name}_v{version}.zarr", version, version == 3,
                              convert_strings_to_categoricals=False)
        write_wide(folder / "wide.h5ad", 4900)
        found = sorted(p.name for p in folder.iterdir())
    Path(answer).write_text(json.dumps({name: read(folder / name) for name in found}, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
