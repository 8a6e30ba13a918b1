"""What anndata 0.13 has and 0.12 has not: X among the layers, and references to arrays."""

import numpy as np
import pandas as pd
import pytest
from made import CONTAINERS, adata, write
from same import same

from anndata_shadow import AnnDataShadow


@pytest.fixture(params=CONTAINERS)
def path(request, tmp_path):
    return write(adata(), tmp_path, request.param)


def test_layers_are_those_of_this_anndata(path):
    shadow, whole = AnnDataShadow(path), adata()
    for got, expected in ((shadow, whole), (shadow[3:9], whole[3:9])):
        assert set(got.layers) == set(expected.layers) and len(got.layers) == len(expected.layers)
        assert (None in got.layers) == (None in expected.layers)
    del shadow.X, whole.X
    assert set(shadow.layers) == set(whole.layers)
    assert bool(shadow.layers) == bool(whole.layers)


def test_x_as_a_layer(path):
    shadow, x = AnnDataShadow(path, mode="r+"), adata().X
    if None not in adata().layers:
        with pytest.raises(TypeError):
            shadow.layers[None]
        return
    assert shadow.layers[None] is shadow.X
    shadow.layers[None] = x * 2
    assert [change.path for change in shadow.changes()] == ["X"]
    same(shadow.write(clear_cache=True).X, x * 2)
    del shadow.layers[None]
    assert shadow.X is None and None not in shadow.layers
    with pytest.raises(KeyError):
        shadow.layers[None]
    shadow.layers = {"other": x, None: x}
    same(shadow.X, x)
    shadow.layers.clear()
    assert list(shadow.layers) == [None]


def plain(found):
    """Columns of numbers come wrapped up."""
    return found.to_numpy() if type(found) is pd.arrays.NumpyExtensionArray else found


def test_references(path):
    A = pytest.importorskip("anndata.acc").A
    shadow, whole = AnnDataShadow(path), adata()
    whole.raw = whole
    shadow.raw = shadow
    cell, gene = "cell-7", "gene-3"
    references = [
        A.obs["group"], A.obs["depth"], A.obs.index, A.var["length"], A.X[:, gene], A.X[cell, :], A.layers["csr"][:, gene],
        A.layers["csc"][cell, :], A.obsm["X_pca"][:, 1], A.obsp["near"][:, cell], A.X, A.layers["csr"], A.obsm["X_pca"], A.var,
    ]
    for reference in references:
        for got, expected in ((shadow, whole), (shadow[5:30], whole[5:30])):
            assert reference in got and reference in expected
            same(plain(got[reference]), plain(expected[reference].copy()), str(reference))
    for reference in (A.X[:, gene], A.var["length"]):
        same(np.asarray(shadow.raw[reference]), np.asarray(whole.raw[reference]))
    for reference in (A.obs["nothing"], A.layers["nothing"], A.X[:, "nothing"], A.varm):
        assert reference not in shadow and reference not in whole
    assert A.obsm in shadow
    with pytest.raises(KeyError):
        shadow[A.obs["nothing"]]
    with pytest.raises(IndexError):
        shadow[A.obsm]


def test_in_is_for_references(path):
    with pytest.raises((TypeError, AttributeError)):  # as of an AnnData of 0.13, of 0.12
        "obs" in AnnDataShadow(path)  # noqa: B015
