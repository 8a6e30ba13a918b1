"""A small AnnData with one of everything, for tests that want to know what is in it."""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import read_elem

DATA = Path(__file__).parents[2] / "data"

#: Containers that the tests below are run on.
CONTAINERS = ("h5ad", "zarr2", "zarr3")


def adata(n_obs: int = 60, n_vars: int = 40) -> ad.AnnData:
    """Dense X; CSR and CSC layers; columns of every kind; an embedding, a graph, a frame in obsm, nested uns."""
    rng = np.random.default_rng(0)
    counts = sp.random(n_obs, n_vars, density=0.2, format="csr", dtype=np.float32, random_state=1)
    obs = pd.DataFrame(
        {
            "group": pd.Categorical(rng.choice(list("bac"), n_obs), ["c", "a", "b", "none"], ordered=True),
            "depth": rng.random(n_obs),
            "count": rng.integers(0, 1000, n_obs),
            "flag": rng.random(n_obs) < 0.5,
            "note": [f"note {i % 7}" for i in range(n_obs)],
            "maybe": pd.array([None if i % 5 == 0 else i for i in range(n_obs)], dtype="Int32"),
            "gaps": pd.Categorical([None if i % 3 == 0 else "xy"[i % 2] for i in range(n_obs)]),
        },
        index=[f"cell-{i}" for i in range(n_obs)],
    )
    var = pd.DataFrame({"length": rng.integers(1, 99, n_vars)}, index=[f"gene-{i}" for i in range(n_vars)])
    made = ad.AnnData(rng.normal(size=(n_obs, n_vars)).astype(np.float32), obs=obs, var=var)
    made.layers["csr"] = counts
    made.layers["csc"] = counts.tocsc()
    made.obsm["X_pca"] = rng.normal(size=(n_obs, 5))
    made.obsm["scores"] = pd.DataFrame({"s": rng.random(n_obs), "t": list("ab") * (n_obs // 2)}, index=obs.index)
    made.obsp["near"] = sp.random(n_obs, n_obs, density=0.1, format="csr", random_state=2)
    made.uns["nested"] = {"values": np.arange(6).reshape(2, 3), "text": "hello", "one": 1.5}
    return made


def modalities_of_2020(path: Path) -> tuple[dict, dict]:
    """X and var of each modality, and obsm, of a MuData that says not what its groups are: mudata 0.4 does not read it."""
    with h5py.File(path) as file:
        parts = {name: (read_elem(group["X"]), read_elem(group["var"])) for name, group in file["mod"].items()}
        return parts, read_elem(file["obsm"])


def write(adata: ad.AnnData, folder: Path, container: str) -> Path:
    """Writes it as anndata does, in small chunks, so that parts of it are parts of the file."""
    if container == "h5ad":
        path = folder / "made.h5ad"
        adata.write_h5ad(path, compression="gzip")
        return path
    path = folder / "made.zarr"
    before = ad.settings.zarr_write_format
    ad.settings.zarr_write_format = int(container[-1])
    try:
        adata.write_zarr(path, chunks=(16, 16))
    finally:
        ad.settings.zarr_write_format = before
    return path
