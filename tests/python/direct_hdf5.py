#!/usr/bin/env python3
"""Write datasets of plain numbers in every layout that is read without the HDF5 library, and in those that are not.

    python direct_hdf5.py JOB.json ANSWER.json

Job: `{"write": FOLDER}`. Answer: file -> path -> dtype, shape, sha256 of what h5py reads; of chunked ones also
  filters        how many
  chunks         the stored ones: [first position on each axis, stored bytes]
`damaged.h5` holds chunks that h5py refuses to read, `sparse.h5ad` a matrix that is not compressed.
"""
import json
import sys
import zlib
from pathlib import Path

import anndata as ad
import h5py
import hdf5plugin
import make_fixtures as mf
import numpy as np
import scipy.sparse as sp
from h5py import h5d, h5p, h5s, h5t


def described(dataset) -> dict:
    found = mf.describe_array(dataset[...])
    out = {"dtype": found["dtype"], "shape": found["shape"], "sha256": found["sha256"]}
    if dataset.chunks:
        infos = [dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks())]
        out["filters"] = dataset.id.get_create_plist().get_nfilters()
        out["chunks"] = [[list(info.chunk_offset), info.size] for info in infos]
    return out


def write(path, **how) -> dict:
    rng = np.random.default_rng(5)
    line = rng.integers(-100, 100, 1000)
    plane = rng.integers(-100, 100, (90, 70))
    with h5py.File(path, "w", **how) as f:
        for dtype in ("i1", "<i4", ">i4", "<u2", ">u8", "<f2", ">f2", "<f4", "<f8", ">f8"):
            numbers, order = line.astype(dtype), "" if dtype[0] in "<i" else " big"
            name = np.dtype(dtype).name + order
            f[f"contiguous {name}"] = numbers
            f.create_dataset(f"chunks {name}", data=numbers, chunks=(300,))
            f.create_dataset(f"gzip shuffle {name}", data=numbers, chunks=(300,), compression="gzip", shuffle=True)
        f["contiguous plane"] = plane.astype("f4")
        f["contiguous cube"] = rng.integers(0, 99, (20, 30, 11)).astype("u2")
        # Longer than a block, and with rows that are not read to their ends for a few items.
        f["contiguous long"] = rng.integers(0, 255, (2501, 2001)).astype("u1")
        f["contiguous wide"] = rng.integers(0, 255, (11, 200_000)).astype("u1")
        f.create_dataset("one chunk", data=plane, chunks=(90, 70))
        f.create_dataset("growing", data=plane, chunks=(40, 30), maxshape=(None, None))
        f.create_dataset("growing line", data=line, chunks=(128,), maxshape=(None,))
        for name, kw in {
            "chunks": {},
            "gzip": {"compression": "gzip"},
            "shuffle": {"shuffle": True},
            "fletcher32": {"fletcher32": True},
            "gzip shuffle fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
            "lzf": {"compression": "lzf"},
            "lzf shuffle": {"compression": "lzf", "shuffle": True},
            "zstd": {**hdf5plugin.Zstd()},
            "zstd shuffle": {"shuffle": True, **hdf5plugin.Zstd()},
            "blosc": {**hdf5plugin.Blosc()},
            "scale-offset": {"scaleoffset": True},
        }.items():
            f.create_dataset(f"{name} plane", data=plane, chunks=(32, 27), **kw)
            rows = f.create_dataset(f"{name} missing", (90, 70), "i2", chunks=(32, 27), fillvalue=-3, **kw)
            rows[40:60, 30:50] = plane[40:60, 30:50]
            rows = f.create_dataset(f"{name} rows missing", (90, 7), "i8", chunks=(16, 7), fillvalue=25, **kw)
            rows[20:50] = plane[20:50, :7]
        # Highly compressible, and not at all.
        f.create_dataset("gzip zeros", data=np.zeros(200_000, "f4"), chunks=(50_000,), compression="gzip")
        f.create_dataset("lzf zeros", data=np.zeros(200_000, "f4"), chunks=(50_000,), compression="lzf")
        f.create_dataset("lzf noise", data=rng.integers(0, 255, 100_000).astype("u1"), chunks=(30_000,), compression="lzf")
        for name, kw in [("unwritten", {}), ("unwritten chunks", {"chunks": (40,), "compression": "gzip"})]:
            f.create_dataset(name, (100,), ">f4", fillvalue=1.5, **kw)
        f.create_dataset("scalar", data=np.float32(3))
        f.create_dataset("empty", (0, 5), "i4", chunks=(4, 5), maxshape=(None, 5), compression="gzip")
        compact = h5p.create(h5p.DATASET_CREATE)
        compact.set_layout(h5d.COMPACT)
        small = np.arange(12, dtype="<i4")
        h5d.create(f.id, b"compact", h5t.STD_I32LE, h5s.create_simple((12,)), compact).write(h5s.ALL, h5s.ALL, small)
        # Numbers that do not use all of their bits are no plain ones.
        twelve = h5t.STD_I16LE.copy()
        twelve.set_precision(12)
        h5d.create(f.id, b"twelve bits", twelve, h5s.create_simple((12,))).write(h5s.ALL, h5s.ALL, small.astype("<i2"))
        # Chunks that have skipped filters.
        masked = f.create_dataset("filter masks", (5000,), "<i4", chunks=(1000,), compression="gzip", shuffle=True)
        numbers = np.arange(5000, dtype="<i4") * 77
        for chunk in range(4):
            stored = numbers[chunk * 1000:][:1000]
            if not chunk & 1:
                stored = stored.view("u1").reshape(-1, 4).T
            stored = stored.tobytes() if chunk & 2 else zlib.compress(stored.tobytes())
            masked.id.write_direct_chunk((chunk * 1000,), stored, filter_mask=chunk)
    with h5py.File(path, "r") as f:
        return {name: described(dataset) for name, dataset in f.items()}


def damage(path):
    zeros = bytes(4000)
    with h5py.File(path, "w") as f:
        def put(name, chunk, **kw):
            f.create_dataset(name, (3000,), "<i4", chunks=(1000,), **kw).id.write_direct_chunk((1000,), chunk)

        put("garbage", b"no chunk", compression="gzip")
        put("cut", zlib.compress(np.arange(1000, dtype="<i4").tobytes())[:-40], compression="gzip")
        put("sum", zeros + b"\x01\x02\x03\x04", fletcher32=True)
        put("short sum", b"ab", fletcher32=True)
        put("lzf", b"\xff\xff\xff" * 9, compression="lzf")
        put("zstd", b"\x28\xb5\x2f\xfd garbage", **hdf5plugin.Zstd())


def write_sparse(path):
    rng = np.random.default_rng(6)
    x = sp.random(1000, 500, 0.1, "csr", dtype="f4", rng=rng)
    ad.AnnData(x).write_h5ad(path)


def main(question, answer):
    folder = Path(json.loads(Path(question).read_text())["write"])
    files = {"early.h5": {}, "user_block.h5": {"userblock_size": 512}, "latest.h5": {"libver": "latest"},
             "latest_user_block.h5": {"libver": "latest", "userblock_size": 1024}}
    out = {name: write(folder / name, **how) for name, how in files.items()}
    damage(folder / "damaged.h5")
    write_sparse(folder / "sparse.h5ad")
    Path(answer).write_text(json.dumps(out, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
