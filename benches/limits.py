"""What a task cannot be faster than on one core: the bytes that it has to decode, by what a core decodes of the codec.

Chunks that hold nothing that is asked for are not counted, and those that hold something are counted whole and once (for
batches: once a batch). Without a codec only the items themselves are counted, at the rate of reading from the page cache.
"""

import time
import zlib
from functools import cached_property
from math import prod

import numpy as np
from numcodecs import Blosc, Zstd, blosc

SAMPLE = 64 << 20  # bytes that a rate is measured on
TASKS = ("T4", "T5", "T6", "T7", "T9", "T12", "T13", "T14")


def inflate(size):
    """libdeflate where there is one: a core can do no better."""
    try:
        from deflate import zlib_decompress
    except ImportError:
        return "zlib", zlib.decompress
    return "libdeflate", lambda chunk: zlib_decompress(chunk, size)


def codec(fmt, size):
    """Name, encoder and decoder of chunks of so many bytes; `None` without a codec."""
    if fmt == "h5ad":
        return None
    if fmt == "h5ad_gzip":
        name, decode = inflate(size)
        return name, lambda chunk: zlib.compress(chunk, 4), decode
    blosc.use_threads = False
    used = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE) if fmt == "zarr2_blosc" else Zstd(level=0)
    buffer = np.empty(size, "u1")
    return used.codec_id, used.encode, lambda chunk: used.decode(chunk, out=buffer)


def best(run):
    """Seconds, of the fastest of three runs."""
    times = []
    for _ in range(3):
        start = time.monotonic()
        run()
        times.append(time.monotonic() - start)
    return min(times)


class Limits:
    """Limits of one store: `root` is its root group, opened with h5py or zarr-python."""

    def __init__(self, facts, picks, path, fmt, root):
        self.facts, self.picks, self.path, self.fmt = facts, picks, path, fmt
        self.layout = facts["formats"][fmt]["layout"]
        self.x = root["X"]

    def array(self, name):
        return self.x[name] if self.facts["sparse"] else self.x

    @cached_property
    def rates(self):
        """Array: name of its decoder, bytes a second."""
        if self.fmt == "h5ad":
            return {name: ("read", self.read_rate()) for name in self.layout}
        return {name: self.decode_rate(name) for name in self.layout}

    def read_rate(self):
        buffer, size = bytearray(4 << 20), 0
        with open(self.path, "rb", buffering=0) as file:
            def run():
                nonlocal size
                file.seek(0)
                size = 0
                while size < 16 * SAMPLE and (got := file.readinto(buffer)):
                    size += got
            seconds = best(run)
        return size / seconds

    def decode_rate(self, name):
        """Of the array's own values, cut into pieces as long as its chunks."""
        layout, array = self.layout[name], self.array(name)
        size = prod(layout["chunks"]) * layout["itemsize"]
        rows = max(1, min(array.shape[0], SAMPLE * array.shape[0] // (prod(array.shape) * layout["itemsize"])))
        values = np.ascontiguousarray(array[:rows]).reshape(-1)
        items = size // layout["itemsize"]
        pieces = [values[i : i + items] for i in range(0, max(1, values.size - items + 1), items)]
        name, encode, decode = codec(self.fmt, max(p.nbytes for p in pieces))
        chunks = [encode(piece) for piece in pieces]
        return name, sum(p.nbytes for p in pieces) / best(lambda: [decode(chunk) for chunk in chunks])

    @cached_property
    def indptr(self):
        return self.x["indptr"][:].astype("i8")

    @cached_property
    def hits(self):
        """Where the entries of the gene lie."""
        indices, step = self.x["indices"], 1 << 23
        found = [np.flatnonzero(indices[at : at + step] == self.picks["gene"]) + at for at in range(0, len(self), step)]
        return np.concatenate(found)

    def __len__(self):
        return self.facts["nnz"]

    def rows(self, task):
        """The rows that a task asks for, as lists: batches are several."""
        if task in ("T6", "T9", "T13"):
            return [np.arange(self.facts["shape"][0])]
        if task == "T14":
            size, drawn = self.picks["batch"], np.array(self.picks["drawn"])
            return [np.sort(drawn[i * size : (i + 1) * size]) for i in range(5)]
        start = self.picks["view"][0]
        rows = {"T4": range(100), "T5": self.picks["rows"], "T7": self.picks["part"]}
        return [np.array(rows.get(task, [start + row for row in self.picks["view_rows"]]))]

    def decoded(self, task):
        """Array: bytes to decode for a task; for batches: for one of them."""
        needed = [self.sparse(task, rows) if self.facts["sparse"] else self.dense(task, rows) for rows in self.rows(task)]
        return {name: sum(n[name] for n in needed) / len(needed) for name in self.layout}

    def sparse(self, task, rows):
        low, high = self.indptr[rows], self.indptr[rows + 1]
        needed = {}
        for name, layout in self.layout.items():
            first, last, unit = low, high, 1
            if task == "T6" and name == "data":
                first, last = self.hits, self.hits + 1
            if self.fmt != "h5ad":
                unit = layout["chunks"][0]
                present = last > first
                first, last = first[present] // unit, (last[present] - 1) // unit + 1
                # Spans ascend; where one begins in the chunk in which the one before it ends, that chunk counts once.
                first = np.maximum(first, np.concatenate([[0], last[:-1]]))
            needed[name] = int((last - first).sum()) * unit * layout["itemsize"]
        return needed

    def dense(self, task, rows):
        layout = self.layout["X"]
        chunks = [1, 1] if self.fmt == "h5ad" else layout["chunks"]
        wanted = {"T6": [self.picks["gene"]], "T7": self.picks["genes"]}.get(task, range(self.facts["shape"][1]))
        touched = [len(np.unique(np.array(axis) // length)) for axis, length in zip((rows, wanted), chunks, strict=True)]
        return {"X": prod(touched) * prod(chunks) * layout["itemsize"]}

    def of(self, task):
        """Megabytes to decode, and seconds of one core; what is read at most, row pointers with it; and of all of
        X, how large it is in memory."""
        decoded = self.decoded(task)
        seconds = sum(size / self.rates[name][1] for name, size in decoded.items())
        decoded_mb, rows_mb = sum(decoded.values()) / 1e6, self.facts["shape"][0] * 8 / 1e6
        found = {"decoded_mb": decoded_mb, "at_most_read_mb": decoded_mb + rows_mb, "seconds": seconds}
        if task == "T9":
            found["result_mb"] = self.facts["nnz"] * 8 / 1e6 + rows_mb if self.facts["sparse"] else self.facts["nnz"] * 4 / 1e6
        return found
