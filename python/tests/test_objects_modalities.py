"""Modalities of a MuDataShadow that are held: discarded in part, renamed; maps of files without; writing elsewhere."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import DATA, fixture
from same import read_mudata, same

from anndata_shadow import MuDataShadow

pytestmark = pytest.mark.filterwarnings("ignore")


# ---- discard


def paths(shadow):
    return {change.path for change in shadow.changes()}


def test_discarding_at_a_path_leaves_all_else(mu):
    shadow = MuDataShadow(mu)
    shadow["rna"].obs.loc[:, "flag"] = True
    shadow["rna"].var["n"] = 1
    shadow["adt"].obs["other"] = 1
    shadow.uns["g"] = 1
    for path, left in (
        ("uns/g", {"mod/rna/obs/flag", "mod/rna/var/n", "mod/adt/obs/other"}),
        ("mod/rna/obs/flag", {"mod/rna/var/n", "mod/adt/obs/other"}),
        ("mod/rna", {"mod/adt/obs/other"}),
    ):
        assert shadow.discard(path) is shadow and paths(shadow) == left
    assert "n" not in shadow["rna"].var and "flag" not in shadow["rna"].obs and "other" in shadow["adt"].obs
    assert not shadow.discard().changes() and "other" not in shadow["adt"].obs


def test_what_was_changed_in_place_in_modalities_outlives_a_discard(mu):
    shadow = MuDataShadow(mu, mode="r+")
    x = shadow["rna"].X
    values = x if isinstance(x, np.ndarray) else x.data
    values[:] = 7
    shadow.uns["g"] = 1
    shadow.discard("uns/g")
    assert shadow["rna"].X is x
    shadow.write().close()
    written = read_mudata(mu)["rna"].X
    assert (written if isinstance(written, np.ndarray) else written.data == 7).all()
    shadow.reopen()
    values[:] = 8
    shadow.discard("mod/rna/X")
    now = shadow["rna"].X
    assert ((now if isinstance(now, np.ndarray) else now.data) == 7).all() and not shadow.changes()


def test_row_names_of_a_modality_are_taken_back_with_its_frames(mu):
    shadow = MuDataShadow(mu, mode="r+")
    rna = shadow["rna"]
    old = list(rna.obs_names)
    rna.obsm["df"] = pd.DataFrame({"a": range(rna.n_obs)}, index=old)
    shadow.write()
    rna.obs_names = [f"c{i}" for i in range(rna.n_obs)]
    shadow.discard("mod/rna/obs")
    assert list(rna.obsm["df"].index) == list(rna.obs_names) == old and not shadow.changes()


# ---- rename


def test_a_modality_that_is_held_goes_on_under_its_new_name(mu):
    shadow = MuDataShadow(mu, mode="r+")
    rna = shadow["rna"]
    obs = rna.obs
    rna.obsm["before"] = np.zeros((rna.n_obs, 1))
    shadow.write()
    shadow.mod.rename("rna", "RNA")
    assert shadow["RNA"] is rna and "rna" not in shadow
    rna.obs["x"] = 1
    obs["y"] = 2
    rna.obsm["before"][:] = 3
    assert {"mod/RNA/obs/x", "mod/RNA/obs/y", "mod/RNA/obsm/before"} <= paths(shadow)
    shadow.write().close()
    written = read_mudata(mu)["RNA"]
    assert (written.obs["x"] == 1).all() and (written.obs["y"] == 2).all() and (written.obsm["before"] == 3).all()


def test_a_modality_that_is_held_goes_back_with_its_name(mu):
    shadow = MuDataShadow(mu)
    rna, x = shadow["rna"], read_mudata(mu)["rna"].X
    shadow.mod.rename("rna", "RNA")
    shadow.discard()
    assert shadow["rna"] is rna and "RNA" not in shadow
    same(rna.X, x)
    rna.obs["x"] = 1
    assert paths(shadow) == {"mod/rna/obs/x"}


# ---- maps


OLD = [DATA / "h5mu" / "muon_2020_rna_atac_1000x219.h5mu", "mu_old.h5mu"]


@pytest.mark.parametrize("source", OLD, ids=str)
def test_maps_that_are_not_stored_are_those_of_mudata(source, tmp_path):
    path = tmp_path / "old.h5mu"
    shutil.copy(fixture(source) if isinstance(source, str) else source, path)
    try:
        mdata = read_mudata(path)
    except TypeError as error:
        pytest.skip(f"this mudata does not read it: {error}")
    shadow = MuDataShadow(path, mode="r+")
    assert not shadow._core.keys("varmap")
    for slot in ("obsmap", "varmap"):
        maps, expected = getattr(shadow, slot), getattr(mdata, slot)
        assert set(maps) == set(expected) == set(mdata.mod) and len(maps) == len(mdata.mod)
        for name in maps:
            # Of those that are stored, mudata changes the type.
            got = maps[name].astype("u4") if name in shadow._core.keys(slot) else maps[name]
            same(got, np.asarray(expected[name]), f"{slot}/{name}")
            assert name in maps and maps.get(name) is not None
        assert slot + ":" in repr(shadow)
    name = list(mdata.mod)[0]
    rows = shadow[[2, 0]].obsmap[name]
    assert sorted(rows[rows > 0]) == list(range(1, (rows > 0).sum() + 1))
    with pytest.raises(ValueError, match="read-only"):
        shadow.varmap[name][0] = 5
    with pytest.raises(KeyError):
        shadow.varmap["nothing"]
    with pytest.raises(KeyError):
        del shadow.varmap[name]
    shadow.varmap.clear()
    assert not shadow.changes() and shadow.write().receipt is not None
    shadow.varmap[name] = np.asarray(mdata.varmap[name])
    assert paths(shadow) == {f"varmap/{name}"} and set(shadow.varmap) == set(mdata.mod)


# ---- writing elsewhere, and what a MuData has not


@pytest.mark.parametrize("name", ["write_h5mu", "write_zarr", "write"])
def test_all_of_it_is_written_to_another_file(mu, tmp_path, name):
    shadow, mdata = MuDataShadow(mu), read_mudata(mu)
    other = tmp_path / ("other.zarr" if name == "write_zarr" else "other.h5mu")
    shadow.uns["new"] = "there"
    getattr(shadow, name)(other)
    written = read_mudata(other)
    assert written.uns["new"] == "there" and "new" not in read_mudata(mu).uns
    same(written["rna"].X, mdata["rna"].X)
    with pytest.raises(ValueError, match="view"):
        getattr(shadow[:2], name)(mu)
    with pytest.raises(TypeError, match="compression"):
        getattr(shadow, name)(mu, compression="gzip")
    assert read_mudata(mu).n_obs == mdata.n_obs


def test_a_mudata_has_no_matrix_to_set(mu):
    shadow = MuDataShadow(mu)
    for name in ("X", "raw", "layers"):
        assert getattr(shadow, name) is None
        with pytest.raises(AttributeError, match=name):
            setattr(shadow, name, 5)
    assert not shadow.changes()


def test_a_name_that_was_written_is_where_taking_back_ends(mu):
    shadow = MuDataShadow(mu, mode="r+")
    shadow.mod.rename("rna", "RNA")
    shadow.write()
    held = shadow["RNA"]
    shadow.mod.rename("RNA", "other")
    shadow.discard()
    assert shadow["RNA"] is held and held.shape == read_mudata(mu)["RNA"].shape
