"""From a shadow to an AnnData or MuData in memory, and from these to raw values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import _columns
from ._columns import frame_to_raw
from ._raw import RawShadow
from ._values import to_raw, to_user

ALIGNED = ("layers", "obsm", "varm", "obsp", "varp")


def to_anndata(core, drop_unused):
    """An AnnData of all that a shadow (of a view: the part that it takes) has in its file and in memory.

    Parameters
    ----------
    core
        The core's shadow, with everything settled.
    drop_unused : bool
        Whether categories that no row has are left out of obs and var, with their colors, as anndata does in copies
        of views.
    """
    from anndata import AnnData

    parts = {name: to_user(core.read(name)) for name in ("obs", "var", *ALIGNED, "uns")}
    if core.exists("X"):
        parts["X"] = to_user(core.read("X"))
    if core.has_raw():
        parts["raw"] = {name: to_user(core.read(f"raw/{name}")) for name in core.keys("raw")}
    if drop_unused:
        for frame in (parts["obs"], parts["var"]):
            _cut_colors(frame, parts["uns"])
        for frame in (parts["obs"], parts["var"], *parts["obsm"].values(), *parts["varm"].values()):
            if isinstance(frame, pd.DataFrame):
                _columns.drop_unused(frame)
    return AnnData(**parts)


def _cut_colors(frame, uns):
    for name in frame.columns:
        colors = uns.get(f"{name}_colors") if isinstance(frame[name].dtype, pd.CategoricalDtype) else None
        if np.ndim(colors) == 1 and len(colors) == len(frame[name].cat.categories):
            uns[f"{name}_colors"] = np.asarray(colors)[frame[name].cat.categories.isin(frame[name])]


def to_mudata(core, modalities):
    """A MuData of all that a shadow of one has.

    Parameters
    ----------
    core
        The core's shadow, with everything settled.
    modalities : dict
        The modalities in memory, in their order.
    """
    from mudata import MuData

    names = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap")
    return MuData(modalities, **{name: to_user(core.read(name)) for name in names}, axis=core.axis)


def anndata_to_raw(adata):
    """Of an AnnData, in memory or a shadow, all slots as a dict of raw values: what the core takes as a modality."""
    core = getattr(adata, "_core", None)
    if core is not None:
        adata._settle()
        return core_to_raw(core)
    parts = {"obs": frame_to_raw(adata.obs), "var": frame_to_raw(adata.var)}
    if adata.X is not None:
        parts["X"] = to_raw(adata.X)
    # To anndata 0.13, X is the layer None.
    slots = {name: dict(getattr(adata, name)) for name in (*ALIGNED, "uns")}
    slots["layers"].pop(None, None)
    parts |= {name: to_raw(slot) for name, slot in slots.items()}
    if adata.raw is not None:
        parts["raw"] = raw_to_raw(adata.raw)
    return parts


def core_to_raw(core):
    """Of a core's shadow, all slots as a dict of raw values."""
    parts = {name: core.read(name) for name in ("obs", "var", *ALIGNED, "uns")}
    if core.exists("X"):
        parts["X"] = core.read("X")
    if core.has_raw():
        parts["raw"] = {name: core.read(f"raw/{name}") for name in core.keys("raw")}
    return parts


def raw_to_raw(raw):
    """Of what is set as `raw`: an AnnData, a shadow, or the `raw` of one."""
    core = getattr(raw, "_core", None)
    if core is not None:
        raw._settle()
        return {name: core.read(name) for name in ("X", "var", "varm")}
    if isinstance(raw, RawShadow):
        return raw._read()
    if raw.X is None:
        raise ValueError("what becomes `raw` needs a matrix X")
    varm = {} if raw.varm is None else dict(raw.varm)
    return {"X": to_raw(raw.X), "var": frame_to_raw(raw.var), "varm": to_raw(varm)}
