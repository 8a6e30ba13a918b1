"""One task of one peer, in a process of its own: `peers.py PEER TASK FACTS STORE`

Prints one JSON line as `benches/tasks.rs` does: what the task took (imports and the start of the interpreter are not in it), and
`check`, numbers that every reader must agree on. A task that a peer has no way to do gives `{"missing": why}`. Several tasks
may be asked for with commas between them: for tests of the checks, not for figures.

Peers: `h5py` and `zarr` are what an expert writes by hand for this one purpose; `read_lazy` and `read` are anndata's; `annbatch`.
`python` is this library itself, by its Python package: what that costs.
With `+zarrs`, zarr-python decodes by the pipeline written in Rust; with `+fsync`, what was written is waited for.
"""

import argparse
import importlib
import json
import os
import resource
import time
import warnings
from functools import cached_property
from pathlib import Path

warnings.simplefilter("ignore")

import numpy as np
import pandas as pd
import scipy.sparse as sp

READ_AT_ONCE = 8 << 20  # items that are decoded at a time, by hand
T14_SECONDS, T14_BATCHES = 12.0, 200
CHECKED_BATCHES = 5


class Missing(Exception):
    """Why this peer cannot do a task."""


class Task:
    """What all peers know of a task: the store, its facts, and the picks."""

    def __init__(self, facts, picks, path, options):
        self.facts, self.path, self.options = facts, path, options
        self.picks = {name: np.array(pick) for name, pick in picks.items()}
        self.hdf5 = path.endswith(".h5ad")

    def __getattr__(self, name):
        raise (Missing if name.startswith("T") else AttributeError)(f"{type(self).__name__} has no {name}")

    def embedding(self):
        """What T10 adds: numbers that no codec makes small, the same in every language."""
        at = np.arange(self.facts["shape"][0] * 50, dtype="u4")
        return (((at * np.uint32(2654435761)) >> 8) / np.float32(1 << 24)).astype("f4").reshape(-1, 50)

    def batches(self, get):
        """Batches of rows drawn at random without replacement, until time or batches are over."""
        size, drawn = int(self.picks["batch"]), self.picks["drawn"]
        return self.timed(get(np.sort(drawn[at : at + size])) for at in range(0, len(drawn) - size + 1, size))

    def timed(self, batches):
        sums, count, start = [], 0, time.monotonic()
        for batch in batches:
            count += 1
            sums += [float(batch.sum(dtype="f8"))] if count <= CHECKED_BATCHES else []
            seconds = time.monotonic() - start
            if count == T14_BATCHES or (seconds > T14_SECONDS and count >= CHECKED_BATCHES):
                break
        return {"batches": count, "seconds": seconds, "sums": sums}


class AnnData(Task):
    """anndata's own ways: `read_lazy`, and `read` of everything."""

    def open(self):
        if "lazy" in self.options:
            return self.modules["anndata.experimental"].read_lazy(self.path)
        anndata = self.modules["anndata"]
        return anndata.read_h5ad(self.path) if self.hdf5 else anndata.read_zarr(self.path)

    def values(self, x):
        return x.compute() if hasattr(x, "compute") else x

    def T1(self):
        a = self.open()
        return str(a), a.shape

    def T2(self):
        column = self.open().obs[self.facts["column"]]
        return column.to_series() if hasattr(column, "to_series") else column

    def T3(self):
        obs = self.open().obs
        return obs.to_memory() if hasattr(obs, "to_memory") else obs

    def T4(self):
        return self.values(self.open()[:100].X)

    def T5(self):
        return self.values(self.open()[self.picks["rows"]].X)

    def T6(self):
        return self.values(self.open()[:, int(self.picks["gene"])].X)

    def T7(self):
        return self.values(self.open()[self.picks["part"], self.picks["genes"]].X)

    def T8(self):
        return np.asarray(self.values(self.open().obsm[self.facts["embedding"]]))

    def T9(self):
        return self.values(self.open().X)

    def T12(self):
        start, stop = self.picks["view"]
        return self.values(self.open()[start:stop][self.picks["view_rows"]].X)

    def T13(self):
        a, totals = self.open(), Totals(self.facts["shape"])
        for start in range(0, a.n_obs, 1000):
            x = self.values(a.X[start : start + 1000])
            squares = x.multiply(x) if sp.issparse(x) else x * x
            totals.add(column_sums(x), column_sums(squares), column_sums(x != 0))
        return totals

    def T14(self):
        a = self.open()
        return self.batches(lambda rows: self.values(a[rows].X))


class Shadow(Task):
    """The Python package of this library."""

    def open(self):
        # It stays open, as it does in benches/tasks.rs.
        self.opened = self.modules["anndata_shadow"].AnnDataShadow(self.path)
        return self.opened

    def T1(self):
        shadow = self.open()
        return str(shadow), shadow.shape

    def T2(self):
        return self.open().obs[self.facts["column"]]

    def T4(self):
        return self.open()[:100].X

    def T5(self):
        return self.open()[self.picks["rows"]].X

    def T8(self):
        return self.open().obsm[self.facts["embedding"]]


class ByHand(Task):
    """h5py or zarr-python, for one purpose and with the layout of AnnData known."""

    def root(self, mode="r"):
        if self.hdf5:
            return self.modules["h5py"].File(self.path, mode)
        consolidated = None if mode == "r" else False  # anndata does not edit what a map stands for
        return self.modules["zarr"].open_group(self.path, mode=mode, use_consolidated=consolidated)

    def T1(self):
        lines = []

        def walk(group, indent):
            for name, node in group.items() if self.hdf5 else group.members():
                if hasattr(node, "shape"):
                    lines.append(f"{indent}{name}: {node.shape} {node.dtype}")
                elif node.attrs.get("encoding-type") in ("dict", "anndata"):
                    lines.append(f"{indent}{name}")
                    walk(node, indent + "  ")
                else:
                    lines.append(f"{indent}{name}: {node.attrs.get('encoding-type')} of {', '.join(node.keys())}")

        root = self.root()
        walk(root, "")
        axes = [root[axis][root[axis].attrs["_index"]] for axis in ("obs", "var")]
        return "\n".join(lines), tuple(len(a) if hasattr(a, "__len__") else a.shape[0] for a in axes)

    def column(self, node):
        if hasattr(node, "shape"):
            return node.asstr()[:] if self.hdf5 and node.dtype == object else node[:]
        return pd.Categorical.from_codes(node["codes"][:], self.column(node["categories"]))

    def T2(self):
        return pd.Series(self.column(self.root()["obs"][self.facts["column"]]))

    def T3(self):
        obs = self.root()["obs"]
        columns = {name: self.column(obs[name]) for name in obs.attrs["column-order"]}
        return pd.DataFrame(columns, index=self.column(obs[obs.attrs["_index"]]))

    @cached_property
    def x(self):
        node = self.root()["X"]
        return Csr(node) if self.facts["sparse"] else Dense(node)

    def T4(self):
        return self.x.slab(0, min(100, self.facts["shape"][0]))

    def T5(self):
        return self.x.rows(self.picks["rows"])

    def T6(self):
        return self.x.column(int(self.picks["gene"]))

    def T7(self):
        return self.x.rows(self.picks["part"])[:, self.picks["genes"]]

    def T8(self):
        return self.root()["obsm"][self.facts["embedding"]][:]

    def T9(self):
        return self.x.slab(0, self.facts["shape"][0])

    def T10(self):
        return self.edit("obsm", "X_new", self.embedding())

    def T11(self):
        return self.edit("obs", "new", self.embedding()[:, 0].copy())

    def edit(self, group, name, values):
        """Adds an element, in `obs` to the list of columns too, and brings the consolidated map up to date."""
        root = self.root("r+")
        # Compressed where the store is: what is written in another way is another task.
        compression = root["obsm"][self.facts["embedding"]].compression if self.hdf5 else None
        kwargs = {"compression": compression} if compression else {}
        self.modules["anndata"].io.write_elem(root[group], name, values, dataset_kwargs=kwargs)
        if group == "obs":
            order = [*root["obs"].attrs["column-order"], name]
            root["obs"].attrs["column-order"] = np.array(order, dtype=object) if self.hdf5 else order
        if self.hdf5:
            root.close()
        else:
            self.modules["zarr"].consolidate_metadata(root.store)
        if "fsync" in self.options:
            sync(self.path) if self.hdf5 else sync_zarr(Path(self.path), group, name)

    def T12(self):
        return self.x.rows(self.picks["view"][0] + self.picks["view_rows"])

    def T13(self):
        return self.x.totals()

    def T14(self):
        return self.batches(self.x.rows)


def sync(path):
    """Waits until a file or the names in a directory are on the disk."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def sync_zarr(store, group, name):
    """Waits for a new node, and for what was written anew above it."""
    for folder, _, files in os.walk(store / group / name):
        for file in [*files, "."]:
            sync(Path(folder) / file)
    documents = {"zarr.json", ".zattrs", ".zmetadata"}
    for folder in (store / group, store):
        for file in sorted(documents & set(os.listdir(folder))) + ["."]:
            sync(folder / file)


class Csr:
    """X by hand, where it is CSR."""

    def __init__(self, node):
        self.data, self.indices = node["data"], node["indices"]
        self.indptr = node["indptr"][:].astype("i8")
        self.shape = tuple(int(n) for n in node.attrs["shape"])
        self.chunk = self.data.chunks[0]

    def matrix(self, data, indices, indptr):
        x = sp.csr_matrix((len(indptr) - 1, self.shape[1]), dtype=data.dtype)
        x.data, x.indices, x.indptr = data, indices, indptr.astype(indices.dtype)  # without checks and copies
        return x

    def slab(self, start, stop):
        low, high = int(self.indptr[start]), int(self.indptr[stop])
        return self.matrix(self.data[low:high], self.indices[low:high], self.indptr[start : stop + 1] - low)

    def rows(self, rows):
        """Rows that ascend. One read spans rows that lie in the same or the next chunk, for no chunk is worth a gap."""
        starts, stops = self.indptr[rows], self.indptr[rows + 1]
        to = np.concatenate([[0], np.cumsum(stops - starts)])
        data, indices = np.empty(to[-1], self.data.dtype), np.empty(to[-1], self.indices.dtype)
        start_of, stop_of = starts.tolist(), stops.tolist()
        first = 0
        while first < len(rows):
            low, last = start_of[first], first + 1
            while (
                last < len(rows)
                and start_of[last] // self.chunk <= stop_of[last - 1] // self.chunk + 1
                and stop_of[last] - low <= 2 * READ_AT_ONCE
            ):
                last += 1
            high, run = stop_of[last - 1], slice(first, last)
            shift = np.repeat(starts[run] - low - (to[run] - to[first]), stops[run] - starts[run])
            take = shift + np.arange(to[last] - to[first])
            data[to[first] : to[last]] = self.data[low:high][take]
            indices[to[first] : to[last]] = self.indices[low:high][take]
            first = last
        return self.matrix(data, indices, to)

    def steps(self, items):
        step = max(1, items // self.chunk) * self.chunk
        return (slice(at, at + step) for at in range(0, self.data.shape[0], step))

    def column(self, gene):
        column = np.zeros(self.shape[0], self.data.dtype)
        for step in self.steps(READ_AT_ONCE):
            found = np.flatnonzero(self.indices[step] == gene)
            if found.size:
                column[np.searchsorted(self.indptr, found + step.start, "right") - 1] = self.data[step][found]
        return column

    def totals(self):
        totals = Totals(self.shape)
        for step in self.steps(READ_AT_ONCE // 2):
            genes, values, n = self.indices[step], self.data[step], self.shape[1]
            present = np.bincount(genes[values != 0] if (values == 0).any() else genes, minlength=n)
            totals.add(np.bincount(genes, values, n), np.bincount(genes, values * values, n), present)
        return totals


class Dense:
    """X by hand, where it is dense."""

    def __init__(self, array):
        self.array = array
        self.chunk = (array.chunks or [1])[0]

    def slab(self, start, stop):
        return self.array[start:stop]

    def rows(self, rows):
        """Rows that ascend, by reads that span neighbouring chunks."""
        apart = np.diff(rows // self.chunk) > 1 if self.chunk > 1 else np.diff(rows) > 1
        runs = np.split(rows, np.flatnonzero(apart) + 1)
        most = max(self.chunk, READ_AT_ONCE // self.array.shape[1])
        runs = [part for run in runs for part in np.split(run, np.flatnonzero(np.diff((run - run[0]) // most)) + 1)]
        return np.concatenate([self.array[int(r[0]) : int(r[-1]) + 1][r - r[0]] for r in runs])

    def column(self, gene):
        return self.array[:, gene]

    def totals(self):
        totals = Totals(self.array.shape)
        step = max(1, 4000 // self.chunk) * self.chunk
        for start in range(0, self.array.shape[0], step):
            x = self.array[start : start + step]
            totals.add(x.sum(0, dtype="f8"), (x * x).sum(0, dtype="f8"), (x != 0).sum(0))
        return totals


class AnnBatch(Task):
    """Shuffled blocks of rows, as annbatch loads them: `drawn` rows are read in whole blocks, several at once."""

    def T14b(self):
        if self.hdf5:
            raise Missing("annbatch reads Zarr only")
        zarr, anndata, annbatch = (self.modules[m] for m in ("zarr", "anndata", "annbatch"))
        node = zarr.open_group(self.path, mode="r")["X"]
        x = anndata.io.sparse_dataset(node) if self.facts["sparse"] else node
        size = int(self.picks["batch"])
        settings = {"batch_size": size, "chunk_size": size, "preload_nchunks": 32, "shuffle": True, "preload_to_gpu": False}
        loader = annbatch.Loader(**settings, rng=np.random.default_rng(7)).add_datasets([x])
        return {**self.timed(batch["X"] for batch in loader), "sums": []}  # its draw is its own


class Totals:
    """Sum, squares and count by gene, and what follows from them."""

    def __init__(self, shape):
        self.n = shape[0]
        self.sums, self.squares, self.present = np.zeros(shape[1]), np.zeros(shape[1]), np.zeros(shape[1], "i8")

    def add(self, sums, squares, present):
        self.sums += sums
        self.squares += squares
        self.present += present.astype("i8")

    def variance(self):
        return (self.squares - self.sums**2 / self.n) / (self.n - 1)


def column_sums(x):
    return np.asarray(x.sum(axis=0, dtype="f8")).ravel()


# ── what all readers must agree on; the same in benches/tasks.rs ──────────────────────────────────────────────────────


def check(task, result):
    if task in ("T10", "T11"):
        return {}  # benches/run.py looks at the store
    if task == "T1":
        return {"rows": result[1][0], "cols": result[1][1]}
    if task == "T2":
        return {"rows": len(result), "bytes": int(result.astype(str).str.len().sum())}
    if task == "T3":
        numbers = result.select_dtypes("number").to_numpy("f8").sum()
        return {"rows": result.shape[0], "cols": result.shape[1], "sum": float(numbers)}
    if task == "T13":
        weights = 1 + np.arange(result.sums.size) % 11
        totals = {"sum": result.sums, "at": result.sums * weights, "var": result.variance(), "nnz": result.present}
        return {name: float(values.sum()) for name, values in totals.items()}
    if task.startswith("T14"):
        return {f"batch {i}": total for i, total in enumerate(result["sums"])}
    x = result.reshape(-1, 1) if task == "T6" else result  # some give a vector
    rows, cols = x.shape
    stored = x.data if sp.issparse(x) else x
    at = (1.0 + np.arange(rows) % 7) @ (x @ (1.0 + np.arange(cols) % 11))
    total = stored.sum(dtype="f8")
    return {"rows": rows, "cols": cols, "nnz": int(np.count_nonzero(stored)), "sum": float(total), "at": float(at)}


# ── measuring ──────────────────────────────────────────────────────────────────────────────────────────────────────────

PEERS = {  # name: what does it, what it imports, options
    "h5py": (ByHand, ["h5py", "anndata.io"], []),
    "zarr": (ByHand, ["zarr", "anndata.io"], []),
    "read_lazy": (AnnData, ["anndata.experimental.backed._io", "dask.array", "xarray", "h5py", "zarr"], ["lazy"]),
    "read": (AnnData, ["anndata", "h5py", "zarr"], []),
    "python": (Shadow, ["anndata_shadow"], []),
    "annbatch": (AnnBatch, ["annbatch", "anndata.io", "zarr"], ["zarrs"]),
}


def prepare(peer, facts, picks, path):
    """Imports, and the task's object. Nothing of the store is touched."""
    name, *extra = peer.split("+")
    kind, imports, options = PEERS[name]
    options = options + extra
    modules = {name: importlib.import_module(name) for name in imports}
    modules = {part: importlib.import_module(part) for name in modules for part in (name, name.split(".")[0])}
    if "lazy" in options:
        modules["anndata.experimental"] = importlib.import_module("anndata.experimental")
    if "zarrs" in options:
        importlib.import_module("zarrs")
        modules["zarr"].config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    made = kind(facts, picks, path, options)
    made.modules = modules
    return made


def status(key):
    """A line of /proc/self/status, in MB; `None` where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(key))
    except (OSError, StopIteration):
        return None


def bytes_read():
    try:
        return int(Path("/proc/self/io").read_text().split()[1])
    except OSError:
        return 0


def measure(made, task):
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak of imports is not the task's
    except OSError:
        pass
    rss, read, cpu = status("VmRSS"), bytes_read(), resource.getrusage(resource.RUSAGE_SELF)
    start = time.monotonic()
    result = getattr(made, task)()
    wall = time.monotonic() - start
    peak, read, after = status("VmHWM"), bytes_read() - read, resource.getrusage(resource.RUSAGE_SELF)
    record = {"wall_s": wall, "rss_start_mb": rss, "peak_rss_mb": peak, "read_mb": read / 1e6}
    record["cpu_s"] = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
    if task.startswith("T14"):
        record |= {"batches": result["batches"], "wall_s": result["seconds"] / result["batches"]}
    return record | {"check": check(task, result)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("tasks")
    parser.add_argument("facts", type=Path)
    parser.add_argument("store")
    args = parser.parse_args()
    facts = json.loads(args.facts.read_text())
    picks = json.loads(args.facts.with_suffix(".picks.json").read_text())
    for task in args.tasks.split(","):
        record = {"task": task, "peer": args.peer}
        try:
            made = prepare(args.peer, facts, picks, args.store)
            record |= measure(made, task)
        except (Missing, ImportError) as why:
            record["missing"] = str(why)
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
