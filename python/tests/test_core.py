"""The compiled core by itself: raw values against anndata, both ways; errors; selections."""

import ast
import ctypes
import gc
import inspect
import io
import os
import pickle
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import anndata as ad
import awkward as ak
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import zarr
from anndata.io import read_elem

from anndata_shadow import _core

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(os.environ.get("ADSHADOW_FIXTURES", ROOT / "target" / "fixtures"))
CELLS = ["pbmc68k_reduced.h5ad", "pbmc68k_reduced_v2.zarr", "pbmc68k_reduced_v3.zarr"]

# Files of today, whose elements anndata reads one by one. (Those of old it reads only as a whole.)
TODAY = [
    "main.h5ad",
    "main_lzf.h5ad",
    "main_v2.zarr",
    "main_v3.zarr",
    "main_v3_sharded.zarr",
    "kitchen.h5ad",
    "kitchen_v2.zarr",
    "kitchen_v3.zarr",
    "kitchen_v3_sharded.zarr",
    "chunks.h5ad",
    "codecs_v2.zarr",
    "codecs_v3.zarr",
    "x_csc_f64.h5ad",
    "x_csr_int64_indptr.h5ad",
    "x_dense_f16.h5ad",
    "x_dense_u8_v3.zarr",
    "nullable_string_index_v3.zarr",
    "zero_0x3_csr.h5ad",
    "zero_3x0_dense_v3.zarr",
]


def group_of(path):
    return h5py.File(path, "r") if path.is_file() else zarr.open_group(path, mode="r")


def copy_of(name, folder):
    source, target = ROOT / "data" / name, folder / name
    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    return str(target)


def plain(array):
    """Items as Python has them; NaN as text, for it is not itself."""
    items = np.asarray(array, dtype=object).ravel().tolist()
    return ["nan" if isinstance(item, float) and item != item else item for item in items]


def same(raw, wanted, at=""):
    """Compares a raw value with what anndata reads, value by value, dtype and all."""
    if wanted is None:
        assert raw is None, at
    elif isinstance(wanted, dict):
        assert isinstance(raw, dict) and sorted(raw) == sorted(wanted), at
        for name in wanted:
            same(raw[name], wanted[name], f"{at}/{name}")
    elif isinstance(wanted, pd.DataFrame):
        kind, index_name, index, columns = raw
        assert kind == "table" and index_name == wanted.index.name, at
        same(index, wanted.index.array if len(wanted) else wanted.index.to_numpy(), f"{at} index")
        assert [name for name, _ in columns] == list(wanted.columns), at
        for name, column in columns:
            same(column, wanted[name].array, f"{at}/{name}")
    elif isinstance(wanted, pd.Categorical):
        kind, codes, categories, ordered = raw
        assert kind == "categorical" and ordered == wanted.ordered, at
        assert codes.tolist() == wanted.codes.tolist() and codes.dtype == wanted.codes.dtype, at
        assert plain(categories) == plain(wanted.categories), at
    elif sp.issparse(wanted):
        kind, form, shape, data, indices, indptr = raw
        assert (kind, form, shape) == ("sparse", wanted.format, wanted.shape), at
        assert data.dtype == wanted.dtype and indices.dtype == indptr.dtype, at
        for ours, theirs in [(data, wanted.data), (indices, wanted.indices), (indptr, wanted.indptr)]:
            np.testing.assert_array_equal(ours, theirs, err_msg=at)
        made = (sp.csr_matrix if form == "csr" else sp.csc_matrix)((data, indices, indptr), shape=shape)
        if data.size and made.indices.dtype == indices.dtype:
            assert np.shares_memory(made.data, data) and np.shares_memory(made.indices, indices), at
    elif isinstance(wanted, ak.Array):
        kind, form, length, buffers = raw
        assert kind == "awkward", at
        assert ak.to_list(ak.from_buffers(form, length, buffers)) == ak.to_list(wanted), at
    elif isinstance(raw, tuple) and raw[0] == "nullable":
        _, values, mask, _ = raw
        theirs = pd.Series(wanted)
        assert mask.tolist() == theirs.isna().tolist() and mask.dtype == bool, at
        assert plain(values[~mask]) == plain(theirs[~mask]), at
        if not isinstance(theirs.dtype, pd.StringDtype) and theirs.dtype != object:
            assert values.dtype == theirs.dtype.numpy_dtype, at
    elif isinstance(raw, tuple) and raw[0] == "records":
        assert raw[1].dtype.names == wanted.dtype.names and raw[1].shape == wanted.shape, at
        for name in wanted.dtype.names:
            assert plain(raw[1][name]) == plain(wanted[name]), f"{at}/{name}"
    elif isinstance(wanted, pd.api.extensions.ExtensionArray):
        same(raw, np.asarray(wanted), at)
    elif isinstance(wanted, np.ndarray) and wanted.dtype.kind not in "OUST":
        assert raw.dtype == wanted.dtype.newbyteorder("=") and raw.shape == wanted.shape, (at, raw, wanted)
        assert raw.flags.writeable and raw.flags.c_contiguous, at
        np.testing.assert_array_equal(raw, wanted, err_msg=at)
    elif isinstance(wanted, np.ndarray):
        assert raw.dtype == object and raw.shape == wanted.shape, at
        if wanted.dtype.kind == "S" and "h5" in at.split()[0]:
            # Fixed strings of HDF5 are text.
            wanted = np.char.decode(wanted)
        assert plain(raw) == plain(wanted), at
    else:
        # Of scalars, anndata gives some as Python's own numbers.
        assert isinstance(raw, (np.generic, str, bytes)), at
        assert type(raw) is type(wanted) or isinstance(wanted, (bool, int, float, complex, str)), (at, type(raw), type(wanted))
        assert plain([raw]) == plain([wanted]), at


def elements_below(shadow):
    """Paths that anndata can be asked for, too: not what is inside frames, and no slots."""
    for path, info, _ in shadow.elements():
        inside = path.startswith(("obs/", "var/", "raw/var/"))
        if not inside and info.kind not in ("opaque", "anndata", "mapping"):
            yield path, info


@pytest.mark.parametrize("name", TODAY)
def test_raw_values_are_anndatas(name):
    path = FIXTURES / name
    shadow, group = _core.Shadow.open(str(path)), group_of(path)
    compared = 0
    for at, info in elements_below(shadow):
        wanted = read_elem(group[at])
        raw = shadow.read(at)
        same(raw, wanted, f"{name} {at}")
        if info.kind in ("array", "sparse", "table", "categorical", "nullable"):
            assert info.shape == wanted.shape, at
        compared += 1
    frames = ["obs", "var"] + (["raw/var"] if shadow.has_raw() else [])
    for frame in frames:
        wanted = read_elem(group[frame])
        same(shadow.read(frame), wanted, f"{name} {frame}")
        assert shadow.keys(frame) == list(wanted.columns)
        assert shadow.names(frame).tolist() == [str(n) for n in wanted.index]
        assert shadow.info(frame).shape == wanted.shape
        compared += len(wanted.columns)
    assert compared >= (20 if name.startswith("main") else 1), name


def test_raw_values_of_whole_slots_are_dicts():
    path = FIXTURES / "main.h5ad"
    shadow = _core.Shadow.open(str(path))
    with group_of(path) as group:
        for slot in ["layers", "obsm", "obsp"]:
            same(shadow.read(slot), {k: v for k, v in read_elem(group[slot]).items() if v is not None}, slot)


@pytest.mark.parametrize("name", CELLS)
def test_parts_and_views_are_numpys(name):
    path = ROOT / "data" / name
    shadow, group = _core.Shadow.open(str(path)), group_of(path)
    x, pca, genes = read_elem(group["X"]), read_elem(group["obsm/X_pca"]), shadow.names("var")
    whole = x.toarray() if sp.issparse(x) else x

    def dense(raw):
        if isinstance(raw, np.ndarray):
            return raw
        _, form, shape, *parts = raw
        data, indices, indptr = parts
        return (sp.csr_matrix if form == "csr" else sp.csc_matrix)((data, indices, indptr), shape=shape).toarray()

    mask = np.arange(700) % 7 == 3
    rows = [
        slice(None),
        slice(10, 20),
        slice(-5, None),
        slice(None, None, -70),
        slice(600, 100, -9),
        [3, 1, -1, 3],
        np.array([699, 0], dtype=np.uint16),
        mask,
        mask.tolist(),
        [],
        np.zeros(700, dtype=bool),
    ]
    for row in rows:
        np.testing.assert_array_equal(dense(shadow.read_part("X", (row,))), whole[row])
        np.testing.assert_array_equal(shadow.read_part("obsm/X_pca", (row, slice(1, 3))), pca[row][:, 1:3])
        view = shadow.select(row, None)
        taken, none = view.rows()
        everything = slice(None) if taken is None else taken
        np.testing.assert_array_equal(np.arange(700)[everything], np.arange(700)[row])
        assert none is None and view.n_obs == len(whole[row])
    np.testing.assert_array_equal(shadow.read_part("obsm/X_pca", (np.int64(-2),)), pca[[-2]])
    some = [genes[5], genes[2]]
    for names in [some, np.array(some), np.array(some, dtype=object), pd.Index(some), tuple(some)]:
        np.testing.assert_array_equal(dense(shadow.read_part("X", (slice(0, 9), names))), whole[:9][:, [5, 2]])
    np.testing.assert_array_equal(dense(shadow.read_part("X", (None, genes[7]))), whole[:, [7]])
    inner = shadow.select(slice(100, 200), some).select([-1, 0], 1)
    np.testing.assert_array_equal(dense(inner.read("X")), whole[[199, 100]][:, [2]])
    assert (inner.n_obs, inner.n_vars, inner.original_shape, inner.is_view) == (2, 1, (700, 765), True)
    same(inner.read("obs"), read_elem(group["obs"]).iloc[[199, 100]])
    same(shadow.read_part("obs", (slice(0, 5),)), read_elem(group["obs"]).iloc[:5])


@pytest.mark.parametrize(
    ("selection", "error"),
    [
        (700, IndexError),
        ([0, -701], IndexError),
        (np.array([1.0]), IndexError),
        ([[1]], IndexError),
        (np.ones(3, dtype=bool), IndexError),
        (np.ones(0, dtype=bool), IndexError),
        (slice(0, 5, 0), IndexError),
        (np.array([2**64 - 1], dtype=np.uint64), IndexError),
        ("nobody", KeyError),
        (["nobody"], KeyError),
        ([1, "a"], TypeError),
        (True, TypeError),
        (1.5, IndexError),
        ({}, (TypeError, IndexError)),
    ],
)
def test_selections_that_do_not_fit(selection, error):
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[0]))
    with pytest.raises(error):
        shadow.select(selection, None)
    with pytest.raises(error):
        shadow.read_part("X", (selection,))


def test_selections_of_nothing():
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[0]))
    for nothing in [[], np.array([], dtype=int), slice(3, 3), np.zeros(700, dtype=bool)]:
        assert shadow.select(nothing, None).n_obs == 0 and shadow.read_part("X", (nothing,)).shape == (0, 765)
    empty = _core.Shadow.open(str(FIXTURES / "zero_0x3_csr.h5ad"))
    assert empty.select(np.zeros(0, dtype=bool), None).n_obs == 0, "a mask as long as the axis"


@pytest.mark.parametrize("name", CELLS)
def test_views_of_whole_frames_in_memory(name, tmp_path):
    shadow = _core.Shadow.open(copy_of(name, tmp_path), "r+")
    names, index = {f: shadow.names(f) for f in ("obs", "var")}, {f: shadow.index_name(f) for f in ("obs", "var")}
    values = {"obs": shadow.columns("obs", ["n_genes"])[0], "var": shadow.columns("var", ["means"])[0]}

    def check():
        for rows in [slice(None, None, -1), [5, 1], slice(3, 8), np.arange(765) % 7 == 0, []]:
            both = [rows[:700] if isinstance(rows, np.ndarray) else rows, rows]
            view = shadow.select(*both)
            for frame, cut in zip(("obs", "var"), both):
                wanted, column = names[frame][cut].tolist(), ("n_genes" if frame == "obs" else "means")
                assert view.names(frame).tolist() == wanted
                found = view.columns(frame, [index[frame], column])
                assert found[0].tolist() == wanted and found[1].tolist() == values[frame][cut].tolist()
                assert view.read(frame)[2].tolist() == wanted
                assert shadow.read_part(frame, (cut,))[2].tolist() == wanted
                table = pa.table(_Stream(view.arrow(frame)))
                assert table.column(0).to_pylist() == wanted and table.num_rows == len(wanted)

    for frame in ("obs", "var"):
        _, name_of_index, labels, columns = shadow.read(frame)
        shadow.set_table(frame, ("table", name_of_index, labels, [*columns, ("new", labels)]))
    check()
    shadow.write()
    assert shadow.mark("obs") == "ᐁ", "kept since it was written"
    check()
    shadow.clear_cache()
    check()


class _Stream:
    """A capsule as what pyarrow takes."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __arrow_c_stream__(self, requested_schema=None):
        return self.capsule


def test_only_what_is_asked_for_is_read():
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[1]))

    def cost(act):
        before = shadow.io_stats()["chunks"]
        act()
        return shadow.io_stats()["chunks"] - before

    assert cost(lambda: shadow.columns("obs", ["n_genes"])) == 1
    assert cost(lambda: shadow.keys("obs")) == 0
    assert cost(lambda: shadow.info("X")) == 0


FORM, LENGTH, BUFFERS = ak.to_buffers(ak.Array([[1, 2], [], [3]]))

VALUES = {
    "f2": np.arange(6, dtype=np.float16).reshape(2, 3),
    "f4": np.array([1.5, np.nan, -np.inf], dtype=np.float32),
    "c8": np.array([1 + 2j], dtype=np.complex64),
    "c16": np.array([1 + 2j]),
    "u8": np.array([[2**64 - 1]], dtype=np.uint64),
    "i1": np.array([], dtype=np.int8),
    "bool": np.array([True, False]),
    "dates": np.array(["2020-01-01", "NaT"], dtype="datetime64[ms]"),
    "big": np.array([1, 2], dtype=">i4"),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "strided": np.arange(20)[::3],
    "texts": np.array([["a", ""], ["ü", "漢字"]], dtype=object),
    "fixed": np.array(["abc", "d"]),
    "bytes": np.array([b"a\xff", b""], dtype=object),
    "scalar": 5,
    "float": 2.5,
    "flag": True,
    "large": 2**63,
    "complex": 1j,
    "text": "a text",
    "some bytes": b"a\xff",
    "np": np.float32(1.5),
    "zero-d": np.array(3, dtype=np.int16),
    "nothing": None,
    "dict": {"a": {"b": np.arange(3)}, "c": None},
    "csr": ("sparse", "csr", (2, 3), np.array([1.0, 2.0]), np.array([2, 0], dtype=np.int32), np.array([0, 1, 2], dtype=np.int32)),
    "csc": ("sparse", "csc", (2, 1), np.array([1], dtype=np.int8), np.array([1], dtype=np.int32), np.array([0, 1], dtype=np.int32)),
    "cat": ("categorical", np.array([1, -1, 0], dtype=np.int8), np.array(["x", "y"], dtype=object), True),
    "cat of numbers": ("categorical", np.array([1, 0], dtype=np.int8), np.array([2.5, 1.5]), False),
    "nullable": ("nullable", np.array([1, 0], dtype=np.int32), np.array([False, True]), "NA"),
    "nullable text": ("nullable", np.array(["a", ""], dtype=object), np.array([False, True]), "NaN"),
    "table": ("table", "name", np.array(["a", "b"], dtype=object), [("n", np.arange(2)), ("é", np.array([0.5, np.nan]))]),
    "records": ("records", np.array([(1, "a"), (2, "b")], dtype=[("n", "i4"), ("t", "O")])),
    "awkward": ("awkward", FORM.to_json(), LENGTH, BUFFERS),
}


def assert_equal_raw(found, given, at):
    if isinstance(given, tuple) and given[0] == "awkward":
        assert ak.to_list(ak.from_buffers(*found[1:])) == ak.to_list(ak.from_buffers(*given[1:])), at
    elif isinstance(given, (tuple, list)):
        assert len(found) == len(given), at
        for a, b in zip(found, given, strict=True):
            assert_equal_raw(a, b, at)
    elif isinstance(given, dict):
        assert sorted(found) == sorted(given), at
        for name in given:
            assert_equal_raw(found[name], given[name], at)
    elif isinstance(given, np.ndarray) and given.ndim and given.dtype.kind not in "OUSV":
        assert found.dtype == given.dtype.newbyteorder("="), at
        np.testing.assert_array_equal(found, given)
    elif isinstance(given, np.ndarray) and given.dtype.names:
        assert found.dtype.names == given.dtype.names and found.tolist() == given.tolist(), at
    elif isinstance(given, np.ndarray) and given.ndim:
        assert found.dtype == object and found.tolist() == given.tolist(), at
    else:
        assert found == given, at


@pytest.mark.parametrize("name", CELLS)
def test_values_of_every_kind_go_in_and_come_out(name, tmp_path):
    path = copy_of(name, tmp_path)
    shadow = _core.Shadow.open(path, "r+")
    # HDF5 has no form for dates, and its byte strings are read as text.
    values = {k: v for k, v in VALUES.items() if k not in ("dates", "bytes", "some bytes") or path.endswith("zarr")}
    for key, value in values.items():
        shadow.set(f"uns/made/{key}", value)
        assert_equal_raw(shadow.read(f"uns/made/{key}"), value, f"{key}, pending")
    assert shadow.mark("uns/made") == "▲"
    receipt = shadow.write(clear_cache=True)
    assert receipt.bytes_written > 0 and receipt.elements[0].kind == "added" and "written" in str(receipt)
    for key, value in values.items():
        assert_equal_raw(shadow.read(f"uns/made/{key}"), value, f"{key}, written")
    shadow.close()
    read = ad.read_h5ad(path) if path.endswith("h5ad") else ad.read_zarr(path)
    made = read.uns["made"]
    assert sorted(made) == sorted(values)
    for key in ["f2", "f4", "c8", "u8", "bool", "strided", "big"]:
        np.testing.assert_array_equal(made[key], VALUES[key])
    assert made["texts"].tolist() == VALUES["texts"].tolist() and made["text"] == "a text" and made["scalar"] == 5
    assert list(made["cat"]) == ["y", np.nan, "x"] or pd.isna(made["cat"][1])
    assert made["table"].index.name == "name" and made["table"]["n"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (object(), TypeError),
        ([1, 2], TypeError),
        ((1, 2), TypeError),
        ({1: 2}, TypeError),
        (np.array([1], dtype="m8[s]"), TypeError),
        (np.array(["2020"], dtype="M8[D]"), TypeError),
        (np.array([1.0, "a"], dtype=object), TypeError),
        (np.array([b"a", "a"], dtype=object), TypeError),
        (np.array([None], dtype=object), TypeError),
        (np.array([b"a\0"], dtype=object), ValueError),
        (2**64, ValueError),
        (("sparse", "coo", (1, 1), np.ones(1), np.zeros(1, dtype=int), np.array([0, 1])), ValueError),
        (("sparse", "csr", (1, 1), np.ones(1), np.ones(1, dtype=int), np.array([0, 1])), ValueError),
        (("sparse", "csr", (1, 1), np.ones(1), np.zeros(1, dtype=int), np.array([0, -1])), ValueError),
        (("categorical", np.array([2]), np.array(["a"], dtype=object), False), ValueError),
        (("nullable", np.ones(2), np.zeros(2, dtype=bool), "NA"), ValueError),
        (("table", None, np.array(["a"], dtype=object), [("x", np.ones(2))]), ValueError),
        (("awkward", "{}", 1, {}), ValueError),
    ],
)
def test_values_that_no_element_can_have(value, error):
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[0]))
    with pytest.raises(error, match="`uns/x`: "):
        shadow.set("uns/x", value)
    assert shadow.changes() == []


@contextmanager
def raises(*kinds, match=None):
    """Of all these kinds at once."""
    with pytest.raises(kinds[0], match=match) as caught:
        yield caught
    assert all(isinstance(caught.value, kind) for kind in kinds), type(caught.value).__mro__


def test_errors_are_those_that_python_expects(tmp_path):
    path = copy_of(CELLS[0], tmp_path)
    shadow = _core.Shadow.open(path)
    with raises(KeyError, _core.NotFoundError, _core.ShadowError, match="does not exist; nearest: `X_pca`") as caught:
        shadow.read("obsm/X_pcb")
    assert not str(caught.value).startswith(("'", '"')), "a sentence, not its repr"
    with raises(KeyError, _core.NotFoundError, match="nearest: `louvain`"):
        shadow.columns("obs", ["lovain"])
    with raises(KeyError, _core.UnknownNameError):
        shadow.select("nobody", None)
    with raises(KeyError, _core.UnknownNameError):
        shadow.read_part("X", (None, "no gene"))
    with raises(IndexError, _core.SelectionError, match="no names"):
        shadow.read_part("uns/louvain_colors", ("red",))
    with raises(IndexError, _core.SelectionError):
        shadow.select(700, None)
    with raises(ValueError, _core.ShapeError, match=r"needs shape \[700, …\]"):
        shadow.set("obsm/x", np.ones((3, 2)))
    with raises(ValueError, _core.BadNameError):
        shadow.set("obsm/a\\b", np.ones((700, 2)))
    with raises(TypeError, _core.WrongTypeError):
        shadow.set("X", None)
    with raises(ValueError, _core.ExistsError):
        shadow.rename("obsm/X_pca", "obsm/X_umap")
    with raises(ValueError, _core.ViewError):
        shadow.select([0], None).set("uns/x", 1)
    with raises(NotImplementedError, _core.NotSupportedError):
        shadow.rename("obsm/X_pca", "uns/pca2")
    with raises(NotImplementedError, _core.NotSupportedError):
        shadow.minibatches("X", 0, 1)
    with raises(ValueError, match="neither `r` nor"):
        shadow.reopen("a")
    shadow.set("uns/x", 1)
    with raises(OSError, ValueError, io.UnsupportedOperation, _core.ReadOnlyError, match=r"read-only mode.*reopen\('r\+'\)"):
        shadow.write()
    with _busy(path), raises(BlockingIOError, OSError, _core.BusyError):
        shadow.reopen("r+")
    shadow.close()
    with raises(ValueError, _core.ClosedError, match=r"reopen\('r'\)"):
        shadow.read("X")
    with raises(FileNotFoundError) as caught:
        _core.Shadow.open(str(tmp_path / "absent.h5ad"))
    assert caught.value.errno == 2 and caught.value.filename.endswith("absent.h5ad")
    with raises(ValueError, _core.NotAnnDataError):
        _core.MuShadow.open(path)
    broken = tmp_path / "broken.h5ad"
    broken.write_bytes(Path(path).read_bytes()[:5000])
    with raises(OSError, _core.ShadowError):
        _core.Shadow.open(str(broken))
    for name in _core.__dict__:
        if name.endswith("Error"):
            error = getattr(_core, name)
            assert pickle.loads(pickle.dumps(error("what"))).args == ("what",) and str(error("what")) == "what"


class _busy:
    """Another process that reads the file, and keeps writers out."""

    def __init__(self, path):
        code = "import h5py, sys; f = h5py.File(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
        self.reader = subprocess.Popen([sys.executable, "-c", code, path], stdin=-1, stdout=-1)

    def __enter__(self):
        assert self.reader.stdout.readline()

    def __exit__(self, *_):
        self.reader.communicate()


def test_a_changed_store_says_so(tmp_path):
    path = copy_of(CELLS[2], tmp_path)
    shadow, other = _core.Shadow.open(path), _core.Shadow.open(path)
    other.reopen("r+")
    before = shadow.generation()
    other.set("obsm/X_pca", np.zeros((700, 2)))
    other.write()
    other.close()
    with pytest.raises(_core.StoreChangedError, match=r"reopen\('r'\)"):
        shadow.read("X")
    shadow.reopen("r")
    assert shadow.generation() > before
    assert shadow.read("obsm/X_pca").shape == (700, 2)


def test_changes_are_listed_taken_back_and_written(tmp_path):
    path = copy_of(CELLS[1], tmp_path)
    shadow = _core.Shadow.open(path)
    shadow.set("obsm/X_new", np.ones((700, 2), dtype=np.float32))
    shadow.set("obs/louvain", np.arange(700))
    shadow.rename("obsm/X_umap", "obsm/X_tsne")
    shadow.remove("obs/n_genes")
    shadow.set_names("var", [f"g{i}" for i in range(765)])
    kinds = [(c.path, c.kind, c.old_path) for c in shadow.changes()]
    assert kinds[:4] == [
        ("obsm/X_new", "added", None),
        ("obs/louvain", "replaced", None),
        ("obsm/X_tsne", "renamed", "obsm/X_umap"),
        ("obs/n_genes", "removed", None),
    ]
    assert str(shadow.changes()[0]) == "+ obsm/X_new: a 2-d float32 array (700 × 2), 5600 bytes"
    assert shadow.removed("obsm") == ["X_umap"] and shadow.removed("obs") == ["n_genes"]
    assert [shadow.mark(p) for p in ["obsm/X_new", "obs/louvain", "obs/n_genes", "obsm/X_pca"]] == ["▲", "▼", "×", ""]
    assert "X_new▲" in str(shadow) and "n_genes×" in str(shadow)
    shadow.discard("obs/n_genes")
    assert "n_genes" in shadow.keys("obs")
    shadow.reopen("r+")
    shadow.write()
    assert shadow.changes() == []
    shadow.close()
    read = ad.read_zarr(path)
    assert sorted(read.obsm) == ["X_new", "X_pca", "X_tsne"] and read.obs["louvain"].tolist() == list(range(700))
    assert read.var_names[3] == "g3" and "n_genes" in read.obs


def test_whole_frames_and_raw_can_be_set(tmp_path):
    path = copy_of(CELLS[0], tmp_path)
    shadow = _core.Shadow.open(path, "r+")
    names = np.array([f"c{i}" for i in range(700)], dtype=object)
    shadow.set_table("obs", ("table", None, names, [("n", np.arange(700)), ("t", names)]))
    with pytest.raises(ValueError):
        shadow.set_table("obs", ("table", None, names[:3], []))
    x = ("sparse", "csr", (700, 2), np.ones(1), np.array([1]), np.array([0] * 7 + [1] * 694))
    genes = ("table", None, np.array(["a", "b"], dtype=object), [])
    shadow.set("raw", {"X": x, "var": genes, "varm": {"PCs": np.ones((2, 3))}})
    assert shadow.keys("raw") == ["X", "var", "varm"] and shadow.names("raw/var").tolist() == ["a", "b"]
    shadow.write()
    shadow.close()
    read = ad.read_h5ad(path)
    assert read.obs_names[3] == "c3" and read.obs["n"].tolist() == list(range(700))
    assert read.raw.shape == (700, 2) and read.raw.X[6, 1] == 1 and read.raw.varm["PCs"].shape == (2, 3)
    shadow.reopen("r+")
    shadow.remove("raw")
    assert not shadow.has_raw() and shadow.mark("raw") == "×" and not shadow.exists("raw")


def test_raw_is_set_as_a_whole_or_not_at_all(tmp_path):
    shadow = _core.Shadow.open(copy_of(CELLS[0], tmp_path))
    labels = np.array(["a", "b"], dtype=object)
    x, var = np.ones((700, 2)), ("table", None, labels, [])
    for odd, error in [
        ({"varm": {"bad": np.ones((5, 2))}}, _core.ShapeError),
        ({"varm": {"bad": ("table", None, labels[::-1], [])}}, _core.ShapeError),
        ({"varm": {"a/b": np.ones((2, 2))}}, _core.BadNameError),
        ({"varm": np.ones((2, 2))}, _core.WrongTypeError),
        ({"layers": {}}, _core.BadNameError),
        ({"X": np.ones((700, 3))}, _core.ShapeError),
        ({"var": np.ones(2)}, _core.WrongTypeError),
    ]:
        with pytest.raises(error):
            shadow.set("raw", {"X": x, "var": var} | odd)
        assert shadow.changes() == [] and shadow.names("raw/var").size == 765, odd
    with pytest.raises(_core.WrongTypeError, match="raw/X"):
        shadow.set("raw", {"var": var})
    shadow.set("raw", {"X": x, "var": var, "varm": {"m": np.ones((2, 3)), "f": var}})
    assert shadow.keys("raw/varm") == ["f", "m"] and [change.path for change in shadow.changes()] == ["raw"]


def test_what_is_damaged_in_the_file_is_no_fault_of_the_value(tmp_path):
    path = copy_of(CELLS[0], tmp_path)
    with h5py.File(path, "r+") as file:
        # Row names of two axes.
        index = file["raw/var"].attrs["_index"]
        labels = file["raw/var"][index][()]
        del file["raw/var"][index]
        file["raw/var"].create_dataset(index, data=np.stack([labels, labels], axis=1), dtype=h5py.string_dtype())
        file["raw/var"][index].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
        file["var"].create_dataset("twice", data=np.ones((765, 2)))
        file["var"].attrs["column-order"] = [*file["var"].attrs["column-order"], "twice"]
    shadow = _core.Shadow.open(path)
    with pytest.raises(_core.DamagedError, match="`raw/var` in") as caught:
        shadow.set("raw/varm/m", np.ones((765, 2)))
    assert not isinstance(caught.value, ValueError) and path in str(caught.value)
    with pytest.raises(_core.DamagedError, match="`var` in") as caught:
        shadow.read("var")
    assert path in str(caught.value)


@pytest.mark.parametrize("name", [*CELLS, "mu.h5mu"])
def test_names_of_files_are_bytes(name, tmp_path):
    source = FIXTURES / name if name == "mu.h5mu" else ROOT / "data" / name
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9") + source.suffix
    (shutil.copytree if source.is_dir() else shutil.copy)(source, path)
    kind = _core.MuShadow if name == "mu.h5mu" else _core.Shadow
    for given in [path, Path(path)]:
        shadow = kind.open(given)
        assert shadow.path == path and _core.verify(given).is_sound
        shadow.set("uns/x", 1)
        shadow.reopen("r+")
        shadow.write()
        shadow.close()
        assert kind.open(path).read("uns/x") == 1
    with pytest.raises(FileNotFoundError):
        kind.open(path + "no")


def test_what_there_is():
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[0]))
    assert (shadow.format, shadow.mode, shadow.n_obs, shadow.n_vars) == ("hdf5", "r", 700, 765)
    exists = {
        "X": True,
        "obsm/X_pca": True,
        "obsm/no": False,
        "obsm": True,
        "raw": True,
        "raw/X": True,
        "uns/neighbors/params": True,
        "uns/neighbors/no": False,
        "what/is/this": False,
        "uns/a//b": False,
        "": False,
    }
    assert {path: shadow.exists(path) for path in exists} == exists
    x = shadow.info("X")
    assert (x.kind, x.shape, x.dtype) == ("array", (700, 765), "float32")
    assert shadow.info("obsm/no") is None and shadow.info("uns").kind == "mapping"
    assert shadow.info("uns/neighbors").children == shadow.keys("uns/neighbors")
    assert shadow.info("obs/louvain").kind == "categorical"
    marks = {path: mark for path, _, mark in shadow.elements()}
    assert marks["X"] == "" and "uns/neighbors/params/method" in marks
    shadow.read("obsm/X_pca")
    assert shadow.mark("obsm/X_pca") == "ᐁ" and shadow.cache_bytes() > 0
    shadow.clear_cache()
    assert shadow.mark("obsm/X_pca") == "" and shadow.cache_bytes() == 0


@pytest.mark.parametrize("name", ["mu.h5mu", "mu_v3.zarr", "mu_axis1.h5mu"])
def test_mudata(name, tmp_path):
    import mudata
    path = FIXTURES / name
    shadow = _core.MuShadow.open(str(path))
    wanted = mudata.read_h5mu(path) if name.endswith("h5mu") else mudata.read_zarr(path)
    assert shadow.modalities == list(wanted.mod) and shadow.axis == wanted.axis
    assert (shadow.n_obs, shadow.n_vars) == wanted.shape and not shadow.has_raw()
    for modality, data in wanted.mod.items():
        assert shadow.modality(modality).names("obs").tolist() == data.obs_names.tolist()
        for axis, rows in [("obs", shadow.obs_rows(modality)), ("var", shadow.var_rows(modality))]:
            positions = np.asarray(getattr(wanted, f"{axis}map")[modality]).astype(int) - 1
            np.testing.assert_array_equal(rows, positions)
            same(shadow.read(f"{axis}map/{modality}"), np.asarray(getattr(wanted, f"{axis}map")[modality]))
        assert modality in shadow.keys("obsmap")
    view = shadow.select([2, 0], None)
    assert view.glob.is_view and view.names("obs").tolist() == wanted.obs_names[[2, 0]].tolist()
    with pytest.raises(KeyError):
        shadow.modality("nothing")
    target = tmp_path / name
    (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
    shadow = _core.MuShadow.open(str(target), "r+")
    first, *others = shadow.modalities
    shadow.rename_modality(first, "renamed")
    names = shadow.modality(others[0]).names("obs")
    genes = np.array(["new1", "new2"], dtype=object)
    data = {"X": np.ones((len(names), 2)), "obs": ("table", None, names, []), "var": ("table", None, genes, [])}
    shadow.insert_modality("more", data)
    shadow.remove_modality(others[0])
    assert sorted(shadow.modalities) == sorted(["renamed", "more", *others[1:]])
    assert shadow.removed("mod") == sorted([first, others[0]])
    shadow.write()
    shadow.close()
    read = mudata.read_h5mu(target) if name.endswith("h5mu") else mudata.read_zarr(target)
    assert sorted(read.mod) == sorted(shadow.modalities) and read["more"].shape == (len(names), 2)


def test_columns_go_to_arrow():
    path = FIXTURES / "main.h5ad"
    shadow = _core.Shadow.open(str(path))
    wanted = ad.read_h5ad(path).obs

    class Frame:
        def __init__(self, columns):
            self.columns = columns

        def __arrow_c_stream__(self, requested_schema=None):
            return shadow.arrow("obs", self.columns)

    found = 0
    for name in shadow.keys("obs"):
        if np.issubdtype(getattr(wanted[name].dtype, "type", object), np.complexfloating):
            with pytest.raises(TypeError, match="no form in Arrow"):
                shadow.arrow("obs", [name])
            continue
        table = pa.table(Frame([name]))
        assert table.num_rows == len(wanted) and table.column_names[-1] == name
        column = table.column(name).combine_chunks()
        values = [None if pd.isna(v) else v for v in wanted[name]]
        ours = [None if v is None or v != v else v for v in column.to_pylist()]
        assert ours == values, name
        if isinstance(wanted[name].dtype, pd.CategoricalDtype):
            assert pa.types.is_dictionary(column.type) and column.type.ordered == wanted[name].cat.ordered
            assert column.dictionary.to_pylist() == wanted[name].cat.categories.tolist()
        found += 1
    assert found > 15
    assert pa.table(Frame([])).column(0).to_pylist() == list(wanted.index)
    # A capsule that nobody takes is freed by itself.
    shadow.arrow("obs", [])
    gc.collect()
    frame = pl.DataFrame(Frame([n for n in shadow.keys("obs") if "cat" in n][:1]))
    assert frame.height == len(wanted)


def test_streams():
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[0]))
    x = shadow.read("X")
    blocks = list(shadow.row_blocks("X", rows=300))
    assert [(start, stop) for start, stop, _ in blocks] == [(0, 300), (300, 600), (600, 700)]
    np.testing.assert_array_equal(np.vstack([block for _, _, block in blocks]), x)
    assert len(list(shadow.row_blocks("X", nbytes=100_000))) > 5 and len(list(shadow.row_blocks("X"))) == 1
    for shuffle in ["rows", "none", 10]:
        batches = list(shadow.minibatches("obsm/X_pca", 64, 3, shuffle))
        rows = np.concatenate([rows for rows, _ in batches])
        assert sorted(rows.tolist()) == list(range(700)) and rows.dtype == np.int64
        assert (rows.tolist() == list(range(700))) == (shuffle == "none")
        np.testing.assert_array_equal(np.vstack([b for _, b in batches]), shadow.read("obsm/X_pca")[rows])
    assert len(list(shadow.minibatches("X", 64, 3, drop_last=True))) == 10
    parts = [rows for i in range(2) for rows, _ in shadow.minibatches("X", 40, 3, 10, part=(i, 2))]
    assert sorted(np.concatenate(parts).tolist()) == list(range(700))
    with pytest.raises(ValueError):
        shadow.minibatches("X", 40, 3, part=(2, 2))
    with pytest.raises(ValueError):
        shadow.row_blocks("X", rows=3, nbytes=3)
    first = shadow.row_blocks("X", rows=10)
    assert iter(first) is first and next(first)[0] == 0
    del first
    with pytest.raises(KeyError):
        shadow.row_blocks("layers/none")


def test_statistics_are_numpys():
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[1]))
    x = shadow.read("X").astype(float)
    told = []
    genes = shadow.stats("X", "var", progress=lambda done, all: told.append((done, all)))
    assert told[0][0] == 0 and told[-1] == (700, 700)
    cells, both = shadow.stats("X", "obs", ddof=0), shadow.stats("X")
    for found, axis, ddof in [(genes, 0, 1), (cells, 1, 0), (both[0], 1, 1), (both[1], 0, 1)]:
        assert found["count"] == x.shape[axis]
        np.testing.assert_allclose(found["mean"], x.mean(axis))
        np.testing.assert_allclose(found["variance"], x.var(axis, ddof=ddof))
        np.testing.assert_array_equal(found["min"], x.min(axis))
        np.testing.assert_array_equal(found["max"], x.max(axis))
        np.testing.assert_array_equal(found["nonzero"], (x != 0).sum(axis))
    labels = pd.Categorical.from_codes(*shadow.read("obs/louvain")[1:3])
    groups = shadow.stats_by("X", "louvain")
    assert [name for name, _ in groups] == list(labels.categories)
    for name, found in groups:
        np.testing.assert_allclose(found["mean"], x[labels == name].mean(0), err_msg=name)


def test_progress_ends_the_work_and_what_it_raises_comes_out(tmp_path):
    path = copy_of(CELLS[0], tmp_path)
    shadow = _core.Shadow.open(path)
    with pytest.raises(_core.CancelledError):
        shadow.stats("X", progress=lambda done, all: False)
    for goes_on in [None, True]:
        shadow.stats("X", progress=lambda done, all, answer=goes_on: answer)

    def breaks(done, all):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        shadow.stats("X", progress=breaks)
    report = _core.verify(path, deep=True)
    assert report.is_sound and report.complete and "sound" in str(report)
    with pytest.raises(ZeroDivisionError):
        _core.verify(path, deep=True, progress=breaks)


def test_gene_index(tmp_path):
    path = tmp_path / "x.h5ad"
    x = sp.random(300, 50, 0.2, "csr", random_state=1, dtype=np.float32)
    ad.AnnData(x).write_h5ad(path)
    shadow = _core.Shadow.open(str(path), "r+")
    told = []
    receipt = shadow.add_gene_index(progress=lambda done, all: told.append(done))
    assert told and receipt.elements[0].path == "layers/X_csc"
    np.testing.assert_array_equal(_dense(shadow.read("layers/X_csc")), x.toarray())
    plain = _core.Shadow.open(str(FIXTURES / "minimal.h5ad"))
    with pytest.raises(_core.ShadowError):
        plain.add_gene_index()


def _dense(raw):
    _, form, shape, data, indices, indptr = raw
    return (sp.csr_matrix if form == "csr" else sp.csc_matrix)((data, indices, indptr), shape=shape).toarray()


def test_digests_tell_changes_in_place():
    rng = np.random.default_rng(0)
    large = rng.random((1000, 2000))  # 16 MB: hashed in parts
    for array in [np.arange(5), np.array(3.5), np.array([], dtype=int), np.array(["2020"], dtype="M8[s]"), large, large.T]:
        before = _core.digest(array)
        assert before == _core.digest(array.copy(order="K"))
        if array.size:
            flat = array.reshape(-1).copy() if array.ndim == 0 else array.copy(order="K")
            flat[(-1,) * flat.ndim] = flat.flat[0] + 1 if flat.dtype.kind != "M" else np.datetime64("1999", "s")
            assert _core.digest(flat) != before
    with pytest.raises(TypeError):
        _core.digest(np.array([None]))


def test_handed_out_arrays_outlive_the_shadow_and_are_their_owners():
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[0]))
    x, pca = shadow.read("X"), shadow.read("obsm/X_pca")
    x[:] = -1
    pca[:] = -1
    assert shadow.read("obsm/X_pca").min() != -1 or shadow.read("obsm/X_pca").max() != -1
    names = shadow.names("obs")
    names[0] = "changed"
    assert shadow.names("obs")[0] != "changed"
    shadow.close()
    del shadow
    gc.collect()
    assert x.sum() == -x.size and names[0] == "changed"


def test_threads_read_side_by_side():
    shadow = _core.Shadow.open(str(ROOT / "data" / CELLS[2]))
    wanted, found = shadow.read("X"), []
    threads = [threading.Thread(target=lambda: found.append(shadow.read("X"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(np.array_equal(x, wanted) for x in found)


def _arguments(function):
    """Name, kind and default of each argument of a function in the stub, but ``self``."""
    args = function.args
    firsts, defaults = args.posonlyargs + args.args, [ast.literal_eval(value) for value in args.defaults]
    found = [(arg.arg, "POSITIONAL_OR_KEYWORD") for arg in firsts] + [(arg.arg, "KEYWORD_ONLY") for arg in args.kwonlyargs]
    none = inspect.Parameter.empty
    defaults = [none] * (len(firsts) - len(defaults)) + defaults
    defaults += [none if value is None else ast.literal_eval(value) for value in args.kw_defaults]
    return [(*arg, default) for arg, default in zip(found, defaults, strict=True) if arg[0] != "self"]


def _arguments_there(function):
    found = inspect.signature(function).parameters.values()
    return [(arg.name, arg.kind.name, arg.default) for arg in found if arg.name != "self"]


def _in_stub(body):
    """What a module or class in the stub defines: the arguments of functions, and None for properties."""
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    decorators = {node.name: [decorator.id for decorator in node.decorator_list] for node in functions}
    return {node.name: None if "property" in decorators[node.name] else _arguments(node) for node in functions}


def test_the_stub_is_what_there_is():
    stub = ast.parse(Path(_core.__file__).with_name("_core.pyi").read_text())
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    kinds = {name: kind for name, kind in vars(_core).items() if isinstance(kind, type) and not issubclass(kind, Exception)}
    assert classes.keys() == kinds.keys()
    for name, kind in kinds.items():
        assert kind.__doc__, name
        assert [base.id for base in classes[name].bases] == [base.__name__ for base in kind.__bases__ if base is not object]
        told, there = _in_stub(classes[name].body), {}
        for member, value in vars(kind).items():
            if not member.startswith("_"):
                there[member] = _arguments_there(getattr(kind, member)) if callable(getattr(kind, member)) else None
            elif member in ("__iter__", "__next__"):
                there[member] = []
        assert told == there, name
    functions = {name: value for name, value in vars(_core).items() if inspect.isbuiltin(value)}
    assert _in_stub(stub.body) == {name: _arguments_there(value) for name, value in functions.items()}
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom) and node.module == "_errors"]
    errors = {name for name, value in vars(_core).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert {alias.asname for node in imported for alias in node.names} == errors


def test_libpython_is_not_linked():
    assert ctypes.CDLL(_core.__file__)
    needed = subprocess.run(["readelf", "-d", _core.__file__], capture_output=True, text=True, check=False).stdout
    assert "libpython" not in needed
