#!/usr/bin/env python3
"""Say what Python reads in any store: h5ad, h5mu, Zarr AnnData and MuData, zipped Zarr, SpatialData and other collections.

    python corpus.py JOB.json ANSWER.json

Job: `stores`, a list of paths.

Answer, by path:
  kind      "anndata", "mudata", or "other" for stores that hold AnnData somewhere inside
  refused   why the library's own way to open the file (read_h5ad, read_zarr, read_h5mu) gives up; null if it does not
  global    MuData: its own slots (schema: make_fixtures.py, without `mod`)
  objects   the AnnData objects: `inner` (path inside the store), `object` (schema: make_fixtures.py), `nodes` (what lies on
            disk at and below, paths from there), `unreadable` (path -> why Python cannot read this element)

Where the whole is refused, the object is put together from the elements that can be read one by one.
"""
from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import make_fixtures as mf  # first: it sets what anndata may write
import anndata as ad
import h5py
import mudata as md
import zarr
from anndata._io.h5ad import read_dataframe
from anndata.io import read_elem

# Matrices of more cells are not made dense for a hash.
MAX_CELLS = 2**31
MAPPINGS = ("layers", "obsm", "varm", "obsp", "varp", "uns")
DOCUMENTS = (".zgroup", ".zarray", "zarr.json")


def describe_huge(x, describe=mf.describe):
    if mf.sp.issparse(x) and x.shape[0] * x.shape[1] >= MAX_CELLS:
        return {"type": f"{x.format}_matrix", "dtype": mf.dtype_name(x.dtype), "shape": list(map(int, x.shape)), "nnz": int(x.data.shape[0])}
    return describe(x)


mf.describe = describe_huge


def message(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class Store:
    """A store as groups, whatever the container, and whatever single nodes Python does not understand."""

    def __init__(self, path: Path, container: str):
        self.path, self.container = path, container
        if container == "hdf5":
            self.root = h5py.File(path, "r")
            return
        try:  # as anndata does: by the map, if there is one
            self.root = zarr.open_group(str(path), mode="r")
        except Exception:
            self.root = zarr.open_group(str(path), mode="r", use_consolidated=False)

    def get(self, at: str):
        return self.root[at] if at else self.root

    def names(self, at: str) -> list[str]:
        if self.container == "hdf5":
            node = self.get(at)
            return sorted(node) if isinstance(node, h5py.Group) else []
        group, folder = self.get(at), self.path / at
        if group.metadata.consolidated_metadata is not None:
            return sorted(group.keys())
        return sorted(p.name for p in folder.iterdir() if any((p / d).exists() for d in DOCUMENTS))

    def is_group(self, at: str) -> bool:
        return isinstance(self.get(at), (h5py.Group, zarr.Group))

    def nodes(self, inner: str) -> list[dict]:
        """What can be read of the nodes at and below `inner`."""
        found = []

        def visit(at: str):
            path = at[len(inner):].strip("/")
            try:
                node = self.get(at)
                described = mf.h5_node(node) if self.container == "hdf5" else mf.z_node(node, path)
                found.append(described | {"path": "/" + path})
                below = self.is_group(at)
            except Exception:
                return
            for name in self.names(at) if below else ():
                visit(f"{at}/{name}".lstrip("/"))

        visit(inner)
        return found


@contextmanager
def unpacked(path: Path):
    """The store itself; of a zip, its root in a temporary folder, wherever in the zip it is."""
    if path.suffix != ".zip":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as z:
            z.extractall(folder)
        roots = sorted((p.parent for d in DOCUMENTS for p in Path(folder).rglob(d)), key=lambda p: len(p.parts))
        yield roots[0]


def container_of(path: Path) -> str:
    if path.is_file():
        return "hdf5"
    return "zarr3" if (path / "zarr.json").exists() else "zarr2"


def parts(store: Store, inner: str, unreadable: dict) -> dict:
    """An AnnData from the elements that can be read."""
    at = lambda path: f"{inner}/{path}".lstrip("/")

    def element(path: str):
        try:
            node = store.get(at(path))
            if store.is_group(at(path)) and node.attrs.get("encoding-type") in (None, "dict", b"dict"):
                return mapping(path)
            return mf.describe(read_elem(node))
        except Exception as e:
            unreadable[path] = message(e)
            return None

    def mapping(path: str) -> dict:
        found = {name: element(f"{path}/{name}") for name in store.names(at(path))}
        return {"type": "dict", "items": {k: v for k, v in found.items() if v is not None}}

    here = store.names(inner)
    out = {"type": "anndata", "X": element("X") if "X" in here else {"type": "null"}, "raw": None}
    empty = lambda: mf.describe(mf.pd.DataFrame(index=[]))
    out |= {frame: mf.describe(read_elem(store.get(at(frame)))) if frame in here else empty() for frame in ("obs", "var")}
    out |= {k: mapping(k)["items"] if k in here else {} for k in MAPPINGS}
    if "raw" in here and store.is_group(at("raw")):
        out["raw"] = {"X": element("raw/X"), "var": mf.describe(read_elem(store.get(at("raw/var")))),
                      "varm": mapping("raw/varm")["items"] if "varm" in store.names(at("raw")) else {}}
    out["n_obs"], out["n_vars"] = out["obs"]["shape"][0], out["var"]["shape"][0]
    return out


def anndata_at(store: Store, inner: str, described: dict | None = None):
    """An AnnData of a store, and why Python refuses to read it whole, if it does."""
    unreadable, refused = {}, None
    if described is None:
        try:
            if inner:
                adata = read_elem(store.get(inner))
            else:
                adata = ad.read_h5ad(store.path) if store.container == "hdf5" else ad.read_zarr(store.root)
            described = mf.describe_anndata(adata)
        except Exception as e:
            refused = message(e)
            described = parts(store, inner, unreadable)
    return {"inner": inner, "object": described, "nodes": store.nodes(inner), "unreadable": unreadable}, refused


def mudata_from_zarr(store: Store) -> dict:
    """From the elements: mudata 0.3.10's own read_zarr drops `raw` and `axis` (fixed in mudata 0.4)."""
    g, names = store.root, store.names("")
    obs, var = read_elem(g["obs"]), read_elem(g["var"])
    order = [m for m in g["mod"].attrs.get("mod-order", []) if m in store.names("mod")]
    order += [m for m in store.names("mod") if m not in order]
    out = {"type": "mudata", "n_obs": len(obs), "n_vars": len(var), "axis": int(g.attrs.get("axis", 0)), "mod_order": order,
           "obs": mf.describe(obs), "var": mf.describe(var)}
    for k in ("obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap"):
        items = read_elem(g[k]).items() if k in names else ()
        out[k] = {n: mf.describe(v) for n, v in sorted(items)}
    out["mod"] = {k: mf.describe_anndata(read_elem(g["mod"][k])) for k in order}
    return out


def with_maps(whole: dict, store: Store) -> dict:
    """The maps of the file, every row; those that a file lacks stay as mudata makes them."""
    for k in ("obsmap", "varmap"):
        for name in store.names(k) if k in store.names("") else ():
            whole[k][name]["values"] = [int(i) for i in store.get(f"{k}/{name}")[()].ravel()]
    return whole


def inner_objects(store: Store, at: str = "", depth: int = 3) -> list[str]:
    """Where the AnnData objects are in a store that is neither AnnData nor MuData."""
    if depth == 0:
        return []
    below = [f"{at}/{n}".lstrip("/") for n in store.names(at) if store.is_group(f"{at}/{n}".lstrip("/"))]
    found = [g for g in below if "obs" in store.names(g)]
    return found + [deep for g in below if g not in found for deep in inner_objects(store, g, depth - 1)]


def describe(path: Path) -> dict:
    out = {"kind": None, "refused": None, "global": None, "objects": []}
    with unpacked(path) as real:
        try:
            store = Store(real, container_of(real))
            if path.suffix == ".zip" and not any(d in zipfile.ZipFile(path).namelist() for d in DOCUMENTS):
                out["refused"] = "the zip has no Zarr group at its root"
            names = set(store.names(""))
            if "mod" in names:
                out["kind"] = "mudata"
                try:
                    whole = mf.describe_mudata(md.read_h5mu(str(real))) if store.container == "hdf5" else mudata_from_zarr(store)
                except Exception as e:
                    out["refused"], whole = message(e), {"mod": dict.fromkeys(store.names("mod"))}
                mods = whole.pop("mod")
                out["global"] = with_maps(whole, store) if "obs" in whole else None
                if out["global"] and store.container == "hdf5":
                    # mudata converts columns and reorders rows on loading: here is what anndata reads of the file.
                    for frame in ("obs", "var"):
                        whole[frame] = mf.describe(read_dataframe(store.root[frame]))
                found = [anndata_at(store, f"mod/{m}", described) for m, described in mods.items()]
            elif "obs" in names:
                out["kind"] = "anndata"
                found = [anndata_at(store, "")]
            else:
                out["kind"] = "other"
                found = [anndata_at(store, inner) for inner in inner_objects(store)]
            out["objects"] = [o for o, _ in found]
            out["refused"] = out["refused"] or next((why for _, why in found if why), None)
        except Exception as e:
            out["refused"] = message(e)
    return out


def main(question, answer):
    job = json.loads(Path(question).read_text())
    Path(answer).write_text(json.dumps({path: describe(Path(path)) for path in job["stores"]}, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
