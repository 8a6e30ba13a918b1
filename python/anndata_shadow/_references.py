"""References of anndata 0.13 (``from anndata.acc import A``): ``shadow[A.obs["louvain"]]``, ``A.X[:, "CST3"] in shadow``.

They reach into whatever looks like an AnnData. Nothing is imported for it: who holds one has loaded `anndata.acc`.
"""

from __future__ import annotations

import sys

from ._errors import SelectionError


def is_reference(index):
    """Whether it is a reference to an array, or to what holds arrays."""
    acc = sys.modules.get("anndata.acc")
    return acc is not None and isinstance(index, (acc.AdRef, acc.RefAcc, acc.MapAcc))


def look_up(data, reference):
    """The array of a shadow, or of its raw, that a reference leads to."""
    acc = sys.modules["anndata.acc"]
    if isinstance(reference, acc.AdRef):
        return reference.acc.get(data, reference.idx)
    if isinstance(reference, acc.RefAcc):
        return reference.get(data)
    raise SelectionError(f"{reference} is not a single array: take one of its elements")


def is_in(data, reference, kind):
    """Whether a shadow has what a reference leads to, as `kind` (AnnData or MuData) finds it."""
    if not hasattr(kind, "__contains__"):
        raise TypeError("`in` takes a reference of anndata.acc, which is there since anndata 0.13")
    return kind.__contains__(data, reference)
