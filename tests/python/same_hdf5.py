"""Whether two HDF5 files hold the same: `same_hdf5.py job.json answer.json`, the job being {"pairs": [[a, b], …], "anndata": [c, …]}.

Compared are links and their kinds, which names share an object, types, shapes, chunks, filters, stored sizes, values (object
references by the name that they lead to), and attributes with their order. The files in "anndata" are read with anndata (or
mudata) as well. The answer is a list of what is different.
"""

import json
import sys

import h5py
import numpy as np


def value(file, item):
    if isinstance(item, h5py.Reference):
        return ("reference", file[item].name if item else None)
    if isinstance(item, np.ndarray) and item.dtype.kind == "V" and item.dtype.hasobject:
        return [str(item.dtype), repr(item.tolist())]
    if isinstance(item, np.ndarray) and item.dtype.kind == "O":
        return [value(file, i) for i in item.flat]
    if isinstance(item, h5py.Empty):
        return ("empty", str(item.dtype))
    return item


def equal(a, b):
    if isinstance(a, np.ndarray) or isinstance(a, np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b


def compare(a, b, found):
    names = {}

    def walk(x, y, at):
        def differ(what):
            found.append(f"{a.filename} {at}: {what}")

        if type(x) is not type(y):
            return differ("kind")
        known = names.setdefault(h5py.h5o.get_info(x.id).addr, y.name)
        if known != y.name:
            # Another name of an object that was met.
            return None if b[known] == y else differ("no longer shared")
        if sorted(x.attrs) != sorted(y.attrs):
            return differ(f"attributes {list(x.attrs)} {list(y.attrs)}")
        for name in x.attrs:
            old, new = x.attrs.get_id(name), y.attrs.get_id(name)
            if old.dtype != new.dtype or old.shape != new.shape:
                differ(f"type of attribute {name}")
            elif not equal(value(a, x.attrs[name]), value(b, y.attrs[name])):
                differ(f"attribute {name}")
        if isinstance(x, h5py.Group):
            if sorted(x) != sorted(y):
                return differ(f"members {sorted(x)} {sorted(y)}")
            for name in x:
                links = [g.get(name, getlink=True) for g in (x, y)]
                if type(links[0]) is not type(links[1]) or getattr(links[0], "path", 0) != getattr(links[1], "path", 0):
                    differ(f"link {name}")
                elif isinstance(links[0], h5py.HardLink):
                    walk(x[name], y[name], f"{at}/{name}")
        elif isinstance(x, h5py.Dataset):
            for what in ("dtype", "shape", "maxshape", "chunks", "compression", "compression_opts", "shuffle", "fletcher32"):
                if getattr(x, what) != getattr(y, what):
                    differ(what)
            if not x.dtype.hasobject and x.id.get_storage_size() != y.id.get_storage_size():
                differ("stored size")
            if x.shape is not None and not equal(value(a, x[()]), value(b, y[()])):
                differ("values")

    walk(a["/"], b["/"], "")


def main(job, answer):
    job = json.load(open(job))
    found = []
    for old, new in job["pairs"]:
        with h5py.File(old) as a, h5py.File(new) as b:
            if a.userblock_size != b.userblock_size:
                found.append(f"{old}: user block")
            elif open(old, "rb").read(a.userblock_size) != open(new, "rb").read(b.userblock_size):
                found.append(f"{old}: what is in the user block")
            compare(a, b, found)
    for name in job.get("anndata", []):
        import anndata

        anndata.read_h5ad(name)
    json.dump(found, open(answer, "w"))


main(*sys.argv[1:])
