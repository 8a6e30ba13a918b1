#!/usr/bin/env python3
"""Read a store as its other readers do, and say what is in it.

    python peer.py JOB.json ANSWER.json

Job: `path` of the store, `inner` (path of the AnnData in it, "" for the root), `container` ("hdf5", "zarr2", "zarr3"),
`compression` (of h5ad, or null), `sharded`.

Answer:
  object   the AnnData as anndata reads it (schema: make_fixtures.py)
  nodes    everything on disk, by h5py or zarr-python without the map, with `style` beside `storage`: filters, compressors,
           whether sharded
  guess    path -> storage that anndata gives each array when it writes the same object anew
  map      zarr: paths in the consolidated map; null without one
  faults   where readers disagree, or the map and the disk do
"""
from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import make_fixtures as mf  # first: it sets what anndata may write
import anndata as ad
import h5py
import numpy as np
import zarr
from anndata.io import read_elem

# A map key's document, and what a node's folder holds.
V2_DOCUMENTS = (".zgroup", ".zarray", ".zattrs")


def h5_styles(path) -> dict:
    styles = {}

    def visit(name, o):
        if isinstance(o, h5py.Dataset) and o.shape is not None:
            styles["/" + name] = {"compression": o.compression, "options": o.compression_opts, "shuffle": bool(o.shuffle),
                                  "fletcher32": bool(o.fletcher32)}

    with h5py.File(path, "r") as f:
        f.visititems(visit)
    return styles


def zarr_styles(path) -> dict:
    root = zarr.open_group(path, mode="r", use_consolidated=False)
    return {"/" + name: {"compressors": [json.loads(json.dumps(c.get_config() if hasattr(c, "get_config") else c.to_dict()))
                                         for c in a.compressors],
                         "sharded": a.shards is not None, "order": a.order}
            for name, a in root.members(max_depth=None) if isinstance(a, zarr.Array)}


def nodes_of(path, container) -> list[dict]:
    h5 = container == "hdf5"
    nodes, styles = (mf.walk_h5(path), h5_styles(path)) if h5 else (mf.walk_zarr(path), zarr_styles(path))
    for node in nodes:
        node["style"] = styles.get(node["path"])
    return nodes


def writable(x):
    """anndata reads scalars as Python's own, of which it cannot write complex and very large ones."""
    if isinstance(x, dict):
        return {k: writable(v) for k, v in x.items()}
    if isinstance(x, int) and x >= 2**63:
        return np.uint64(x)
    return np.complex128(x) if isinstance(x, complex) else x


def guess(adata, job) -> dict:
    """Storage of every array when anndata writes the object itself."""
    adata.uns = writable(dict(adata.uns))
    with tempfile.TemporaryDirectory() as folder:
        anew = Path(folder) / "anew"
        if job["container"] == "hdf5":
            adata.write_h5ad(anew, compression=job["compression"], convert_strings_to_categoricals=False)
        else:
            mf.write_zarr(adata, anew, int(job["container"][-1]), job["sharded"], convert_strings_to_categoricals=False)
        nodes = nodes_of(str(anew), job["container"])
    return {n["path"]: n["storage"] for n in nodes if n["node"] == "array"}


def document(path: Path):
    return json.loads(path.read_text()) if path.exists() else None


def check_map(path: Path, container: str, nodes: list[dict], faults: list[str]):
    """The map against the documents on disk: sorted, complete, nothing more, each entry equal."""
    paths = [n["path"][1:] for n in nodes]
    if container == "zarr2":
        whole = document(path / ".zmetadata")
        if whole is None:
            return None
        found = whole["metadata"]
        wanted = {f"{p}/{d}".lstrip("/"): document(path / p / d) for p in paths for d in V2_DOCUMENTS if (path / p / d).exists()}
    else:
        whole = document(path / "zarr.json").get("consolidated_metadata")
        if whole is None:
            return None
        found = whole["metadata"]
        wanted = {p: document(path / p / "zarr.json") for p in paths if p}
    if list(found) != sorted(found):
        faults.append("the keys of the map are not sorted")
    plain = lambda d: {k: v for k, v in d.items() if k != "consolidated_metadata"}
    for key in sorted(found.keys() | wanted.keys()):
        if key not in found or key not in wanted:
            faults.append(f"{key} is {'on disk but not in the map' if key in wanted else 'in the map but not on disk'}")
        elif plain(found[key]) != plain(wanted[key]):
            faults.append(f"{key} in the map is not what is on disk")
    return sorted(found)


def read_all_ways(job, nodes, faults: list[str], has_map: bool):
    """The AnnData, read in every way there is; they must agree."""
    path, inner = job["path"], job["inner"]
    if job["container"] == "hdf5":
        adata = ad.read_h5ad(path)
        return adata, mf.describe_anndata(adata)
    ways = {"use_consolidated=False": False, "use_consolidated=None": None}
    if has_map:
        ways["use_consolidated=True"] = True
    seen = {}
    for way, use in ways.items():
        root = zarr.open_group(path, mode="r", use_consolidated=use)
        members = sorted("/" + name for name, _ in root.members(max_depth=None))
        if members != sorted(n["path"] for n in nodes if n["path"] != "/"):
            faults.append(f"with {way} other nodes are listed than are on disk")
        adata = read_elem(root[inner] if inner else root)
        seen[way] = mf.describe_anndata(adata)
    if not inner:
        adata = ad.read_zarr(path)
        seen["read_zarr"] = mf.describe_anndata(adata)
    first = next(iter(seen.values()))
    faults.extend(f"{way} reads another object" for way, o in seen.items() if o != first)
    return adata, first


def main(question, answer):
    job = json.loads(Path(question).read_text())
    path, container, faults = job["path"], job["container"], []
    nodes = nodes_of(path, container)
    listed = None if container == "hdf5" else check_map(Path(path), container, nodes, faults)
    adata, described = read_all_ways(job, nodes, faults, listed is not None)
    out = {"object": described, "nodes": nodes, "guess": guess(adata, job), "map": listed, "faults": faults}
    Path(answer).write_text(json.dumps(out, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
