#!/usr/bin/env python3
"""Read a store with zarr-python, h5py and anndata while somebody else writes to it, for a while.

    python bystander.py PATH SECONDS

`obsm/pair_a` and `obsm/pair_b` are replaced all the time, each holding one number in all items, never 0; `layers/fixed` holds 7
everywhere and is never touched; whatever `obsm/new_…` is listed was added whole, one number in all items. Prints what was
found, as JSON: answers that are whole, errors, and answers that were no one's: `torn`. A reader without any lock that is in the
middle of an array while it is exchanged cannot know: such answers count as `overtaken`, told by the array's document, which is
looked at before and after as a careful reader would. An h5ad is locked while it is written: what opens it gets one state, of
which both of the pair are, or an error (`busy`).
"""
from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter

import h5py
import numpy as np
import zarr
from anndata.io import read_elem


def stamp(path: str):
    s = os.stat(path)
    return s.st_ino, s.st_mtime_ns, s.st_size


def document(path: str, name: str) -> str:
    at = os.path.join(path, name, "zarr.json")
    return at if os.path.exists(at) else os.path.join(path, name, ".zarray")


def look(path: str, name: str, consolidated, counts: Counter) -> None:
    kind = "fixed" if name == "layers/fixed" else "pair" if "pair" in name else "new"
    values = before = after = None
    try:
        before = stamp(document(path, name))
        values = np.asarray(read_elem(zarr.open_group(path, mode="r", use_consolidated=consolidated)[name]))
        after = stamp(document(path, name))
    except Exception as e:  # an element that goes while it is looked for
        counts[f"{kind} error {type(e).__name__}"] += 1
        return
    first = values.flat[0]
    whole = first != 0 and bool((values == first).all()) and (kind != "fixed" or first == 7)
    counts[f"{kind} {'whole' if whole else 'overtaken' if before != after else 'torn'}"] += 1


def look_at_h5ad(path: str, counts: Counter) -> None:
    try:
        with h5py.File(path, "r") as f:
            a, b, fixed = (np.asarray(read_elem(f[name])) for name in ("obsm/pair_a", "obsm/pair_b", "layers/fixed"))
    except BlockingIOError:
        counts["busy"] += 1
        return
    except OSError as e:
        # HDF5 asks for the length of a file before it waits for its lock: the file may grow in between.
        assert "truncated file" in str(e), e
        counts["grown while it was opened"] += 1
        return
    whole = a.flat[0] != 0 and bool((a == a.flat[0]).all()) and np.array_equal(a, b)
    counts[f"pair {'whole' if whole else 'torn'}"] += 1
    counts[f"fixed {'whole' if (fixed == 7).all() else 'torn'}"] += 1
    time.sleep(0.1)  # the writer's turn


def main(path: str, seconds: str) -> None:
    counts: Counter = Counter()
    until = time.monotonic() + float(seconds)
    consolidated = None
    while path.endswith("h5ad") and time.monotonic() < until:
        look_at_h5ad(path, counts)
    while time.monotonic() < until:
        consolidated = False if consolidated is None else None
        for name in ("layers/fixed", "obsm/pair_a", "obsm/pair_b"):
            look(path, name, consolidated, counts)
        try:
            names = [n for n in zarr.open_group(path, mode="r", use_consolidated=consolidated)["obsm"] if n.startswith("new_")]
        except Exception as e:
            counts[f"listing error {type(e).__name__}"] += 1
            names = []
        for name in names[-1:]:
            look(path, f"obsm/{name}", consolidated, counts)
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
