"""Writes the data sets of the benches: `data.py [DIR] [--scale 1] [--sets sc,dense] [--formats h5ad,zarr3_zstd]`

    sc     cells x 20,000 genes, CSR float32 counts, some 2,000 a cell; 20 obs columns, embeddings, graphs, a layer
    dense  cells x 2,000, dense float32 with 10 bits of mantissa (so that codecs find something to do)
    msi    pixels x 100,000 bins, CSR float32, some 2,955 a pixel: mass spectrometry imaging
    wide   cells x 60,000 genes with 200 obs columns and one count a cell: what opening must not depend on

With `--scale 1` they have 50,000, 30,000, 100,000 and 1,000,000 rows, else that part of them. Everything comes from one
seed, in blocks of rows that lie in scratch files, so that memory stays small. What is there with the same parameters is left
as it is.

Beside the stores of a set lie `SET.json`, its shape, what its values sum up to and how it is chunked, and `SET.picks.json`, the
rows, genes and batches that every reader is asked for.
"""

import argparse
import json
import math
import shutil
import warnings
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import write_elem
from numcodecs import Blosc

warnings.simplefilter("ignore")

SEED = 20261120
BLOCK = 1000
BATCH = 256
ROWS = {"sc": 50_000, "dense": 30_000, "msi": 100_000, "wide": 1_000_000}
COLS = {"sc": 20_000, "dense": 2_000, "msi": 100_000, "wide": 60_000}
# Goes up with every change to what is written, so that older data are written anew.
VERSION = 1

# Name: ending, version of Zarr, what arrays are made with. Chunk shapes are those of h5py and zarr-python.
FORMATS = {
    "h5ad": (".h5ad", None, {}),
    "h5ad_gzip": (".h5ad", None, {"compression": "gzip"}),
    "zarr2_blosc": (".zarr", 2, {"compressor": Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)}),
    "zarr3_zstd": (".zarr", 3, {}),
    "zarr3_sharded": (".zarr", 3, {}),
}
SHARD_BYTES = 1_000_000_000  # as anndata shards


def store_path(folder, name, fmt):
    return Path(folder) / f"{name}.{fmt}{FORMATS[fmt][0]}"


def random(*key):
    return np.random.default_rng([SEED, *key])


# ── values, in blocks of rows ──────────────────────────────────────────────────────────────────────────────────────────


def sc_rows(cols):
    """Counts: whether a gene is found in a cell depends on the gene's rate and the cell's depth."""
    rate = random(1).lognormal(0, 1.5, cols).astype("f4")
    low, high = 0.0, 1.0
    for _ in range(40):  # the scale at which a tenth of all genes is found in a cell
        scale = (low + high) / 2
        low, high = (scale, high) if (1 - np.exp(-scale * rate)).mean() < 0.1 else (low, scale)
    level = 0.35 * np.log(rate)

    def block(number, rows):
        r = random(1, 1 + number)
        depth = r.lognormal(-0.06, 0.35, (rows, 1)).astype("f4")
        found = r.random((rows, cols), dtype="f4") < 1 - np.exp(np.float32(-scale) * depth * rate)
        row, col = np.nonzero(found)
        counts = 1 + np.floor(0.6 * np.exp(0.8 * r.standard_normal(col.size, dtype="f4") + level[col]))
        return counts, col, np.bincount(row, minlength=rows)

    return block


def msi_rows(cols, draws=3000):
    """Intensities at bins drawn with repeats, each kept once."""

    def block(number, rows):
        r = random(2, number)
        bins = np.sort(r.integers(0, cols, (rows, draws), dtype="i4"), axis=1)
        first = np.ones_like(bins, bool)
        first[:, 1:] = bins[:, 1:] != bins[:, :-1]
        return r.random(first.sum(), dtype="f4"), bins[first], first.sum(axis=1)

    return block


def wide_rows(cols):
    def block(number, rows):
        return np.ones(rows), random(3, number).integers(0, cols, rows), np.ones(rows, "i8")

    return block


def dense_rows(cols):
    def block(number, rows):
        values = random(4, number).standard_normal((rows, cols), dtype="f4")
        return (values.view("u4") & np.uint32(0xFFFFE000)).view("f4")

    return block


def blocks(make, rows):
    for number, start in enumerate(range(0, rows, BLOCK)):
        yield make(number, min(BLOCK, rows - start))


class Csr:
    """A CSR matrix whose long arrays lie in scratch files."""

    def __init__(self, make, rows, scratch):
        self.sum, counts = 0.0, []
        with open(scratch / "data", "wb") as data, open(scratch / "indices", "wb") as indices:
            for values, columns, per_row in blocks(make, rows):
                data.write(values.astype("f4").tobytes())
                indices.write(columns.astype("i4").tobytes())
                counts.append(per_row)
                self.sum += float(values.sum(dtype="f8"))
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        self.nnz = int(indptr[-1])
        self.arrays = {
            "data": np.memmap(scratch / "data", "f4", "r"),
            "indices": np.memmap(scratch / "indices", "i4", "r"),
            "indptr": indptr.astype("i4" if self.nnz < 2**31 else "i8"),  # as scipy has it
        }

    def write(self, root, key, shape, fmt):
        group = root.require_group(key)
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array(shape) if isinstance(root, h5py.Group) else list(shape)
        made = {name: write_array(group, name, array, fmt, growing=True) for name, array in self.arrays.items()}
        return {name: layout(made[name]) for name in ("data", "indices")}


class Dense:
    """A matrix that lies in a scratch file."""

    def __init__(self, make, rows, cols, scratch):
        self.sum = 0.0
        with open(scratch / "values", "wb") as file:
            for values in blocks(make, rows):
                file.write(values.tobytes())
                self.sum += float(values.sum(dtype="f8"))
        self.values = np.memmap(scratch / "values", "f4", "r", shape=(rows, cols))
        self.nnz = self.values.size

    def write(self, root, key, shape, fmt):
        array = write_array(root, key, self.values, fmt)
        array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        return {"X": layout(array)}


# ── annotations ────────────────────────────────────────────────────────────────────────────────────────────────────────


def labels(r, n, kinds, prefix):
    codes = r.integers(0, kinds, n).astype("i4")
    return pd.Categorical.from_codes(codes, [f"{prefix}_{i}" for i in range(kinds)])


def sc_annotations(n, d):
    r = random(5)
    barcodes = ["".join(b) for b in np.array(list("ACGT"))[r.integers(0, 4, (n, 16))]]
    obs = {"n_counts": r.lognormal(9, 0.5, n).astype("f4"), "n_genes": r.integers(300, 8000, n).astype("i4")}
    obs |= {f"float_{i}": r.normal(size=n).astype("f4" if i % 2 else "f8") for i in range(6)}
    obs |= {f"int_{i}": r.integers(0, 1 << 30, n) for i in range(3)}
    obs |= {"is_doublet": r.random(n) < 0.05, "passed": r.random(n) < 0.95}
    obs |= {k: labels(r, n, v, k) for k, v in {"leiden": 30, "sample": 12, "donor": 80, "cell_type": 45}.items()}
    obs |= {"barcode": barcodes, "library": [f"lib-{x:05}" for x in r.integers(0, 400, n)]}
    obs |= {"note": [f"cell {x:x}" for x in r.integers(0, 1 << 40, n)]}
    var = {"symbol": [f"G{i}" for i in range(d)], "highly_variable": r.random(d) < 0.1, "means": r.random(d)}
    a = ad.AnnData(
        obs=pd.DataFrame(obs, index=[f"{b}-{i}" for i, b in enumerate(barcodes)]),
        var=pd.DataFrame(var, index=[f"ENSG{i:011}" for i in range(d)]),
    )
    a.obsm["X_pca"] = r.normal(size=(n, 50)).astype("f4")
    a.obsm["X_umap"] = r.normal(size=(n, 2)).astype("f4")
    a.varm["PCs"] = r.normal(size=(d, 50)).astype("f4")
    near = (np.arange(n)[:, None] + r.integers(1, 2000, (n, 15))) % n
    graph = sp.csr_matrix((r.random(near.size, dtype="f4"), (np.repeat(np.arange(n), 15), near.ravel())), shape=(n, n))
    a.obsp["distances"], a.obsp["connectivities"] = graph, graph.sqrt()
    a.uns["pca"] = {"variance_ratio": r.random(50), "params": {"zero_center": True}}
    return a


def plain_annotations(n, d):
    r = random(6)
    obs = {"x": r.random(n, dtype="f4"), "y": r.random(n, dtype="f4"), "region": labels(r, n, 8, "r")}
    index = [f"spot_{i}" for i in range(n)]
    var = pd.DataFrame({"mz": np.linspace(100, 2000, d)}, index=[f"f{i}" for i in range(d)])
    a = ad.AnnData(obs=pd.DataFrame(obs, index=index), var=var)
    a.obsm["spatial"] = r.random((n, 2), dtype="f4")
    return a


def wide_annotations(n, d):
    r = random(7)
    obs = {f"label_{i}": labels(r, n, 20, "l") for i in range(150)}
    obs |= {f"score_{i}": r.random(n, dtype="f4") for i in range(50)}
    index = pd.RangeIndex(n).astype(str)
    return ad.AnnData(obs=pd.DataFrame(obs, index=index), var=pd.DataFrame(index=[f"g{i}" for i in range(d)]))


# ── stores ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_array(group, key, values, fmt, growing=False):
    """Copies by whole chunks or shards, so that none is encoded twice."""
    settings = FORMATS[fmt][2]
    if isinstance(group, h5py.Group):
        shape = {"maxshape": (None,)} if growing else {}  # as anndata makes the arrays of a sparse matrix
        array = group.create_dataset(key, values.shape, values.dtype, **settings, **shape)
        unit = (array.chunks or [1])[0]
    else:
        settings = {"compressors": c for c in settings.values()}
        if fmt == "zarr3_sharded":
            settings["shards"] = "auto"
        with zarr.config.set({"array.target_shard_size_bytes": SHARD_BYTES}):
            array = group.create_array(key, shape=values.shape, dtype=values.dtype, **settings)
        unit = (array.shards or array.chunks)[0]
    step = max(1, (64 << 20) // (values[:1].nbytes * unit)) * unit
    for start in range(0, len(values), step):
        array[start : start + step] = values[start : start + step]
    return array


def layout(array):
    """Lengths of an array, its chunks and its shards; `None` where it has no such."""
    shards = getattr(array, "shards", None)
    return {"shape": array.shape, "itemsize": array.dtype.itemsize, "chunks": array.chunks, "shards": shards}


def write_store(path, fmt, a, x, layers):
    """Writes `a`, and `x` as X and as `layers`, and tells what became of it."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    version = FORMATS[fmt][1]
    ad.settings.auto_shard_zarr_v3 = fmt == "zarr3_sharded"
    root = h5py.File(path, "w") if version is None else zarr.open_group(path, mode="w", zarr_format=version)
    with zarr.config.set({"array.target_shard_size_bytes": SHARD_BYTES}):
        write_elem(root, "/", a, dataset_kwargs=FORMATS[fmt][2])
    for absent in ("X", "raw"):  # write_elem writes as null what write_h5ad and write_zarr leave out
        if absent in root:
            del root[absent]
    layouts = [x.write(root, key, a.shape, fmt) for key in ("X", *layers)]
    if version is None:
        root.close()
    else:
        zarr.consolidate_metadata(root.store)
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return {"bytes": sum(f.stat().st_size for f in files), "files": len(files), "layout": layouts[0]}


def picks(n, d):
    """What readers are asked for. All ascend, but for the order in which rows are drawn for batches."""
    r = random(8)
    half = n // 2
    return {
        "rows": np.sort(r.choice(n, min(1000, n // 5), replace=False)).tolist(),
        "part": np.flatnonzero(r.random(n) < 0.05).tolist(),
        "genes": np.sort(r.choice(d, min(200, d // 2), replace=False)).tolist(),
        "gene": int(0.37 * d),
        "view": [n // 4, n // 4 + half],
        "view_rows": np.sort(r.choice(half, min(500, n // 10), replace=False)).tolist(),
        "batch": min(BATCH, n // 10),
        "drawn": r.permutation(n)[: 200 * BATCH].tolist(),
    }


def make(folder, name, formats, scale):
    rows, cols = max(100, math.ceil(ROWS[name] * scale)), COLS[name]
    facts_path, scratch = folder / f"{name}.json", folder / f"{name}.scratch"
    parameters = {"rows": rows, "cols": cols, "seed": SEED, "version": VERSION, "anndata": ad.__version__}
    facts = json.loads(facts_path.read_text()) if facts_path.exists() else {}
    if facts.get("parameters") != parameters:
        facts = {"parameters": parameters, "formats": {}}
    missing = [f for f in formats if f not in facts["formats"] or not store_path(folder, name, f).exists()]
    if not missing:
        return
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    print(f"{name}: {rows:,} x {cols:,}", flush=True)
    if name == "dense":
        x = Dense(dense_rows(cols), rows, cols, scratch)
    else:
        x = Csr({"sc": sc_rows, "msi": msi_rows, "wide": wide_rows}[name](cols), rows, scratch)
    a = {"sc": sc_annotations, "wide": wide_annotations}.get(name, plain_annotations)(rows, cols)
    facts |= {"shape": [rows, cols], "sparse": name != "dense", "nnz": x.nnz, "sum": x.sum}
    facts["column"] = {"sc": "leiden", "wide": "label_7"}.get(name, "region")
    facts["embedding"] = "X_pca" if name == "sc" else "spatial"
    facts_path.with_suffix(".picks.json").write_text(json.dumps(picks(rows, cols)))
    for fmt in missing:
        layers = ["layers/counts"] if name == "sc" else []
        facts["formats"][fmt] = write_store(store_path(folder, name, fmt), fmt, a, x, layers)
        print(f"  {fmt}: {facts['formats'][fmt]['bytes']:,} bytes", flush=True)
        facts_path.write_text(json.dumps(facts))  # after each store: what is written here is whole
    shutil.rmtree(scratch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="target/bench/data", type=Path)
    parser.add_argument("--scale", default=1.0, type=float)
    parser.add_argument("--sets", default=",".join(ROWS))
    parser.add_argument("--formats", default=",".join(FORMATS))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.sets.split(","):
        make(args.folder, name, args.formats.split(","), args.scale)


if __name__ == "__main__":
    main()
