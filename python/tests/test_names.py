"""Row names that are read when they are asked for: what asks for them, and what does not."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pandas as pd
import pytest

from anndata_shadow._names import Names, RowNames

TEXTS = [f"cell{i}" for i in range(6)]


class Store:
    """Names that count how often they are read."""

    def __init__(self):
        self.reads = 0
        dtype = pd.Index(TEXTS).dtype
        self.names = Names(self.read, len(TEXTS), dtype, "barcode")

    def read(self):
        self.reads += 1
        return pd.Index(TEXTS, name="barcode")


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def numbers(store):
    return pd.Series(np.arange(6.0), index=store.names.index(), name="n")


@pytest.fixture
def groups(store):
    return pd.Series(pd.Categorical(list("aabbcc")), index=store.names.index(), name="g")


WITHOUT = {
    "compare": lambda n, g: (n > 2, g == "a"),
    "combine": lambda n, g: ((n > 2) & (n < 5), n + n, -n),
    "reduce": lambda n, g: (n.sum(), n.mean(), n.max(), n.describe(), n.isna().any()),
    "count": lambda n, g: (g.value_counts(), g.unique(), n.nunique()),
    "convert": lambda n, g: (n.to_numpy(), np.asarray(n), n.values, n.astype("f4"), n.tolist(), n.fillna(0)),
    "map": lambda n, g: (n.map({1.0: 2.0}), n.isin([1.0]), n.round(1)),
    "categories": lambda n, g: (g.cat.categories, g.cat.codes, g.cat.rename_categories({"a": "x"})),
    "copy": lambda n, g: (n.copy(), n.copy(deep=False), n.rename("other")),
    "look": lambda n, g: (len(n), n.shape, n.size, n.dtype, n.name, n.index.name, len(n.index), n.index.dtype),
    "frame": lambda n, g: pd.DataFrame({"n": n}, index=n.index).mean(),
}


@pytest.mark.parametrize("work", WITHOUT.values(), ids=WITHOUT)
def test_what_needs_no_names_does_not_read_them(store, numbers, groups, work):
    groups.index = numbers.index
    work(numbers, groups)
    assert store.reads == 0


WITH = {
    "repr": repr,
    "label": lambda n: n["cell2"],
    "loc": lambda n: n.loc[["cell1", "cell3"]],
    "slice": lambda n: n.iloc[1:3],
    "mask": lambda n: n[n > 2],
    "head": lambda n: n.head(2),
    "sort": lambda n: n.sort_index(ascending=False),
    "reindex": lambda n: n.reindex(["cell5", "none"]),
    "align": lambda n: n + pd.Series([1.0], index=["cell0"]),
    "frame": lambda n: n.to_frame(),
    "reset": lambda n: n.reset_index(),
    "groupby": lambda n: n.groupby(n > 2).sum(),
    "concat": lambda n: pd.concat([n, n]),
    "names": lambda n: list(n.index),
    "contains": lambda n: ("cell1" in n, "none" in n.index, "cell1" in n.index),
    "equals": lambda n: (n.index.equals(pd.Index(TEXTS)), (n.index == "cell1").tolist()),
    "set": lambda n: n.index.union(["x"]).tolist(),
    "text": lambda n: n.index.str.upper().tolist(),
    "locate": lambda n: (n.index.get_indexer(["cell3"]).tolist(), n.index.get_loc("cell3"), n.index.is_unique),
    "values": lambda n: (n.index.values.tolist(), n.index.to_numpy().tolist(), np.asarray(n.index).tolist()),
    "pickle": lambda n: pickle.loads(pickle.dumps(n)),
    "deep copy": lambda n: copy.deepcopy(n),
    "index": lambda n: (n.index[1], n.index[1:3], n.index.copy(), n.index.rename("x"), n.index.astype(object)),
}


@pytest.mark.parametrize("work", WITH.values(), ids=WITH)
def test_what_comes_of_names_is_what_pandas_gives(store, numbers, work):
    expected = work(pd.Series(np.arange(6.0), index=pd.Index(TEXTS, name="barcode"), name="n"))
    found = work(numbers)
    _same(found, expected)
    assert store.reads <= 1
    _same(work(numbers), expected)
    assert store.reads <= 1


def _same(found, expected):
    if isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _same(one, other)
    elif isinstance(expected, pd.Series):
        found.index.array  # noqa: B018 (the classes of indexes are compared, too)
        pd.testing.assert_series_equal(found, expected)
    elif isinstance(expected, pd.DataFrame):
        found.index.array  # noqa: B018
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(expected, pd.Index):
        pd.testing.assert_index_equal(found, expected, exact=True)
        assert type(found) is type(expected)
    else:
        assert found == expected


def test_once_read_it_is_an_ordinary_index(store):
    index = store.names.index()
    view = index.view()
    assert type(index) is RowNames and index.is_(view) and isinstance(index, pd.Index)
    assert index[0] == "cell0"
    assert type(index) is pd.Index and index.is_(view)
    assert view[5] == "cell5" and store.names.index()[2] == "cell2"
    assert store.reads == 1


@pytest.mark.skipif(pd.__version__ < "3", reason="without copy-on-write, a series changes the index that it was made of")
def test_a_series_of_the_names_does_not_change_them(store):
    index = store.names.index()
    taken = pd.Series(index, copy=False)
    taken.iloc[0] = "other"
    assert index[0] == "cell0"


def test_what_is_kept_is_read_if_somebody_holds_it(store):
    store.names.keep()
    assert store.reads == 0
    index = store.names.index()
    del index
    store.names.keep()
    assert store.reads == 0
    held = pd.Series(range(6), index=store.names.index())
    store.names.keep()
    assert store.reads == 1 and type(held.index) is pd.Index


def test_nothing_is_held_in_a_circle():
    gc.disable()
    try:
        names = Names(lambda: pd.Index(TEXTS), 6, pd.Index(TEXTS).dtype, None)
        gone = weakref.ref(names)
        series = pd.Series(range(6), index=names.index())
        assert (series > 2).sum() == 3
        del names, series
        assert gone() is None
    finally:
        gc.enable()


def test_a_failed_read_is_tried_again():
    def read():
        raise OSError("gone")

    names = Names(read, 6, pd.Index(TEXTS).dtype, None)
    series = pd.Series(range(6), index=names.index())
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            series.loc["cell1"]
    assert series.sum() == 15
