"""MuDataShadow beside MuData."""

import pickle

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
from same import read_mudata, same, same_anndata

from anndata_shadow import AnnDataShadow, BusyError, MuDataShadow

pytestmark = pytest.mark.filterwarnings("ignore")


def test_it_shows_all_modalities(mu):
    shadow, mdata = MuDataShadow(mu), read_mudata(mu)
    shown = repr(shadow).split("\n")
    assert shown[0] == f"MuData Shadow object with n_obs × n_vars = {mdata.n_obs} × {mdata.n_vars}"
    assert f"  mod:\t{len(mdata.mod)} modalities" in shown
    for name, modality in mdata.mod.items():
        assert f"    {name}: {modality.n_obs} x {modality.n_vars}" in shown
    shadow["rna"].X
    assert "      Xᐁ" in repr(shadow).split("\n")
    assert repr(shadow.mod).split("\n")[0] == f"mod:\t{len(mdata.mod)} modalities"


def test_everything_is_what_mudata_has(mu):
    shadow, mdata = MuDataShadow(mu), read_mudata(mu)
    assert (shadow.shape, shadow.n_mod, shadow.mod_names, shadow.axis) == (mdata.shape, mdata.n_mod, list(mdata.mod), 0)
    assert list(shadow.mod) == list(mdata.mod) and "rna" in shadow and "nothing" not in shadow
    for frame in ("obs", "var"):
        same(getattr(shadow, frame), getattr(mdata, frame), frame)
    for slot in ("obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap"):
        same(dict(getattr(shadow, slot)), dict(getattr(mdata, slot)), slot)
    for name, modality in mdata.mod.items():
        assert type(shadow[name]) is AnnDataShadow and shadow[name] is shadow.mod[name]
        same(shadow[name].X, modality.X, name)
        same(shadow[name].obs, modality.obs, name)
    assert (shadow.X, shadow.raw, shadow.layers) == (None, None, None)
    with pytest.raises(KeyError, match="'rna'"):
        shadow["nothing"]


def test_it_is_taken_for_a_mudata(mu):
    shadow = MuDataShadow(mu)
    assert isinstance(shadow, mudata.MuData) and isinstance(shadow, MuDataShadow) and type(shadow) is MuDataShadow
    assert isinstance(shadow["rna"], ad.AnnData) and not isinstance(MuDataShadow(mu, pose=False)["rna"], ad.AnnData)


def test_paths_into_the_file(mu):
    mdata = read_mudata(mu)
    for path in (mu / "mod" / "rna", mu / "rna"):
        shadow = AnnDataShadow(path)
        same(shadow.X, mdata["rna"].X)
        assert shadow.filename in {str(mu), str(path)}


@pytest.mark.parametrize("rows", [slice(2, 6), [4, 0], np.array([True, False])], ids=str)
def test_views_are_those_of_mudata(mu, rows):
    shadow, mdata = MuDataShadow(mu), read_mudata(mu)
    rows = np.resize(rows, mdata.n_obs) if isinstance(rows, np.ndarray) else rows
    view, expected = shadow[rows], mdata[rows]
    assert view.is_view and view.shape == expected.shape
    same(view.obs_names, expected.obs_names)
    for name in mdata.mod:
        same(view[name].obs_names, expected[name].obs_names, name)
        assert view[name].is_view
        if view[name].n_obs:
            same(np.asarray(to_dense(view[name].X)), np.asarray(to_dense(expected[name].X)), name)
        same(view.obsmap[name].astype("i8"), np.asarray(expected.obsmap[name]).astype("i8"), name)
    assert repr(view).startswith("View of MuData Shadow object")
    assert view[:1].n_obs == min(1, view.n_obs)


def to_dense(x):
    return x.toarray() if hasattr(x, "toarray") else x


def test_one_write_for_all_of_it(mu):
    shadow = MuDataShadow(mu)
    shadow["rna"].obsm["X_new"] = np.ones((shadow["rna"].n_obs, 2))
    shadow["rna"].obs["score"] = np.arange(shadow["rna"].n_obs, dtype="f4")
    shadow.obs["all"] = "x"
    shadow.uns["note"] = {"a": [1, 2]}
    paths = {change.path for change in shadow.changes()}
    assert paths == {"mod/rna/obsm/X_new", "mod/rna/obs/score", "obs/all", "uns/note"}
    with pytest.raises(OSError, match="read-only"):
        shadow.write()
    assert shadow.reopen("r+").write().reopen("r") is shadow and not shadow.changes()
    mdata = read_mudata(mu)
    same(mdata["rna"].obsm["X_new"], np.ones((mdata["rna"].n_obs, 2)))
    same(mdata["rna"].obs["score"].to_numpy(), np.arange(mdata["rna"].n_obs, dtype="f4"))
    assert set(mdata.obs["all"]) == {"x"} and mdata.uns["note"]["a"].tolist() == [1, 2]


def test_changes_in_place_in_a_modality(mu):
    shadow = MuDataShadow(mu)
    shadow["rna"].obs.loc[:, "flag"] = True
    shadow["rna"].X[:] = 0 if isinstance(shadow["rna"].X, np.ndarray) else shadow["rna"].X[:]
    assert "mod/rna/obs/flag" in {change.path for change in shadow.changes()}
    assert "obs/flag" in {change.path for change in shadow["rna"].changes()}
    shadow["rna"].reopen("r+").write()
    assert read_mudata(mu)["rna"].obs["flag"].all()


def test_modalities_come_and_go(mu):
    shadow, mdata = MuDataShadow(mu), read_mudata(mu)
    new = ad.AnnData(np.ones((2, 3)), pd.DataFrame(index=list(mdata.obs_names[:2])), pd.DataFrame(index=["n1", "n2", "n3"]))
    before = shadow.obs
    shadow.mod["new"] = new
    assert list(shadow.mod) == [*mdata.mod, "new"] and shadow["new"].shape == (2, 3)
    assert shadow.n_vars == mdata.n_vars + 3 and len(shadow.var) == shadow.n_vars and shadow.obs is before
    with pytest.raises(ValueError, match="already"):
        shadow.mod["new"] = new
    shadow.reopen("r+").write()
    shadow.mod.rename("new", "renamed")
    first = list(mdata.mod)[0]
    shadow.write().close()
    written = read_mudata(mu)
    assert list(written.mod) == [*mdata.mod, "renamed"]
    same_anndata(written["renamed"], new)
    shadow.reopen("r+")
    del shadow.mod[first]
    assert first not in shadow and first + "×" in repr(shadow)
    shadow.write().close()
    assert first not in read_mudata(mu).mod


def test_a_shadow_becomes_a_modality(mu, main):
    shadow, other = MuDataShadow(mu), AnnDataShadow(main)
    shadow.mod["copy"] = other
    same(shadow["copy"].X, other.X)
    shadow.mod["part"] = other[:3]
    assert shadow["part"].n_obs == 3
    assert shadow.discard().mod_names == list(read_mudata(mu).mod)


def test_pickling(mu):
    shadow = MuDataShadow(mu)
    for each in (shadow, shadow[2:5], shadow["rna"], shadow["rna"][:2], shadow[2:5]["rna"]):
        again = pickle.loads(pickle.dumps(each))
        assert repr(again).replace("ᐁ", "") == repr(each).replace("ᐁ", "")
        same(again.obs_names, each.obs_names)


def test_closing_and_coming_back(mu):
    with MuDataShadow(mu) as shadow:
        rna = shadow["rna"]
        rna.uns["new"] = 1
    assert shadow.mode is None and rna.mode is None and rna.uns["new"] == 1
    shadow.reopen()
    assert rna.mode == "r" and [change.path for change in shadow.changes()] == ["mod/rna/uns/new"]


def test_strings_become_categoricals_everywhere(mu):
    shadow = MuDataShadow(mu)
    shadow["rna"].obs["text"] = "same"
    shadow.strings_to_categoricals()
    assert shadow["rna"].obs["text"].dtype == "category"


def test_what_nobody_has_any_longer_is_in_nobodys_way(mu):
    shadow = MuDataShadow(mu, mode="r+")
    shadow["rna"].obs_names  # noqa: B018 (a modality and its MuData hold each other)
    if mu.suffix == ".h5mu":
        with pytest.raises(BusyError, match="this process has it open.* an older shadow"):
            MuDataShadow(mu, mode="r+")
    del shadow
    MuDataShadow(mu, mode="r+").close()
