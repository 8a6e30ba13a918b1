#!/usr/bin/env python3
"""Write Zarr arrays in every codec and data type that this library undoes, for tests/codecs.rs.

    python make_codecs.py OUTDIR

OUTDIR gets `v2.zarr`, `v3.zarr` (groups of arrays) and `expected.json`: for each store and array what zarr-python reads
there, described as make_fixtures.py describes arrays; of a structured array, each field. What zarr-python 3 cannot write
or open any more (objects with a codec, fields with axes of their own) is laid out by hand with numcodecs.
"""
# ruff: noqa
import base64
import json
import shutil
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import numcodecs as nc
import numpy as np
import zarr
import zarr.codecs.numcodecs as zn
from make_fixtures import describe_array
from zarr.codecs import (BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec)

RNG = np.random.default_rng(7)
SHAPE, CHUNKS = (23, 17), (8, 6)


def matrix(dtype):
    """Numbers with a pattern, so that every compressor has something to do, and a chunk of nothing but zeros."""
    a = (np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 97 + RNG.integers(0, 3, SHAPE)).astype(dtype)
    a[:8, :6] = np.zeros((), dtype)
    return a


WORDS = ["", "a", "größe", "日本語", "e\u0301 🧬", "a long one " * 9]
# Byte strings are as wide as the longest of them: that is all that a reader without widths can tell.
DATA = {
    "f4": matrix("<f4"), "f8_big": matrix(">f8"), "i8": matrix("<i8"), "u1": matrix("|u1"), "c8": matrix("<c8"),
    "b1": matrix("|u1") % 3 == 0, "S3": np.array([b"ab", b"cde", b"", b"a\0b"] * 5), "U": np.array(WORDS * 4),
    "U_big": np.array(WORDS * 4).astype(f">U{max(map(len, WORDS))}"),
    "times_s": np.array(["2020-01-01T01:02:03", "NaT", "1960-05-05"], "<M8[s]"),
    "times_ms": np.array(["2020-01-01T01:02:03.004", "NaT"], "<M8[ms]"),
    "times_us": np.array(["2020-01-01T01:02:03.004005", "NaT"], "<M8[us]"),
    "times_ns": np.array(["2020-01-01T01:02:03.004005006", "NaT"] * 9, "<M8[ns]"),
    "times_big": np.array(["2020-01-01", "NaT"], ">M8[ns]"),
    "text": np.array(WORDS * 9, dtype=np.dtypes.StringDType()),
    "text2d": np.array(WORDS * 3, dtype=np.dtypes.StringDType()).reshape(6, 3),
    "records": np.array([(i, i / 3, WORDS[i % 5], b"x" * (i % 4), i % 2 == 0, i + 2j) for i in range(30)],
                        [("i / ü", "<i4"), ("f", "<f8"), ("s", "<U9"), ("b", "S3"), ("t", "?"), ("c", "<c16")]),
    "scalar": np.array(2.5), "scalar_zero": np.array(0, "<i4"), "scalar_c": np.array(0j), "scalar_text": np.array("ü"),
}
expected = {}


def describe(a):
    a = np.asarray(a)
    if a.dtype.names:
        return {"shape": list(a.shape), "fields": {n: describe_array(a[n]) for n in a.dtype.names}}
    return describe_array(a.astype(a.dtype.newbyteorder("<")) if a.dtype.kind == "M" else a)


def chunks_of(a):
    return CHUNKS if a.shape == SHAPE else tuple(max(1, n // 2 + 1) for n in a.shape)


class Store:
    def __init__(self, out, version):
        self.dir, self.version = out / f"v{version}.zarr", version
        zarr.open_group(str(self.dir), mode="w", zarr_format=version)
        self.seen = expected[self.dir.name] = {}

    def put(self, name, a, **how):
        """As zarr-python writes and reads it."""
        how = {"chunks": chunks_of(a), "compressors": None, **how} if "shards" not in how else how
        z = zarr.create_array(str(self.dir / name), shape=a.shape, dtype=a.dtype, zarr_format=self.version, **how)
        z[...] = a
        self.seen[name] = describe(zarr.open_array(str(self.dir / name), mode="r")[...])

    def lay(self, name, chunk_bytes, a, **doc):
        """By hand, as one chunk."""
        folder = self.dir / name
        folder.mkdir()
        doc = {"zarr_format": 2, "shape": a.shape, "chunks": [max(1, n) for n in a.shape], "fill_value": 0, "order": "C",
               "filters": None, "compressor": None, **doc}
        (folder / ".zarray").write_text(json.dumps(doc))
        if chunk_bytes is not None:
            (folder / ".".join("0" * a.ndim)).write_bytes(chunk_bytes)
        self.seen[name] = describe(a)


def version_2(out):
    s = Store(out, 2)
    for name, a in DATA.items():
        s.put(f"plain {name}", a)
        s.put(f"F {name}", a, order="F")
        s.put(f"slash {name}", a, chunk_key_encoding={"name": "v2", "separator": "/"}, compressors=nc.Blosc())
    compressors = {
        "blosc": nc.Blosc(), "blosc bits": nc.Blosc("zstd", 5, nc.Blosc.BITSHUFFLE), "blosc auto": nc.Blosc("lz4hc", 5, nc.Blosc.AUTOSHUFFLE),
        "blosc none": nc.Blosc("zlib", 5, nc.Blosc.NOSHUFFLE), "blosclz": nc.Blosc("blosclz", 5), "zlib": nc.Zlib(3), "gzip": nc.GZip(3),
        "zstd": nc.Zstd(3), "zstd sum": nc.Zstd(3, checksum=True), "lz4": nc.LZ4(), "bz2": nc.BZ2(), "lzma": nc.LZMA(),
        "lzma alone": nc.LZMA(format=2),
    }
    for key, codec in compressors.items():
        for name in ["f4", "f8_big", "b1", "S3", "text", "records", "scalar"]:
            s.put(f"{key} {name}", DATA[name], compressors=codec)
    filters = {
        "shuffle": (nc.Shuffle(4), ["f4", "i8", "u1"]), "crc32": (nc.CRC32(), ["f4", "u1", "S3"]),
        "crc32 end": (nc.CRC32(location="end"), ["f4"]), "crc32c": (nc.checksum32.CRC32C(), ["f4", "b1"]),
        "adler32": (nc.Adler32(), ["f4", "S3"]), "fletcher32": (nc.Fletcher32(), ["f4", "u1", "b1"]), "base64": (nc.Base64(), ["f4"]),
        "bitround": (nc.BitRound(5), ["f4"]),
        "packbits": (nc.PackBits(), ["b1"]), "delta i8": (nc.Delta("<i8"), ["i8"]), "delta i8 i2": (nc.Delta("<i8", "<i2"), ["i8"]),
        "delta f4": (nc.Delta("<f4"), ["f4"]), "delta u1": (nc.Delta("|u1"), ["u1"]), "delta big": (nc.Delta(">f8"), ["f8_big"]),
        "scale": (nc.FixedScaleOffset(offset=3, scale=7, dtype="<f4", astype="<i2"), ["f4"]),
        "scale i8": (nc.FixedScaleOffset(offset=1.5, scale=10, dtype="<i8", astype="|u1"), ["i8"]),
        "scale f4": (nc.FixedScaleOffset(offset=0.1, scale=3, dtype="<f4", astype="<f4"), ["f4"]),
        "scale big": (nc.FixedScaleOffset(offset=3, scale=7, dtype=">f8", astype=">f4"), ["f8_big"]),
        "astype": (nc.AsType("<f4", "<i8"), ["i8"]), "astype down": (nc.AsType("|i1", "<f4"), ["f4"]),
        "quantize": (nc.Quantize(1, "<f4", "<f2"), ["f4"]), "categorize": (nc.Categorize(WORDS, "<U99"), ["U99"]),
    }
    DATA["U99"] = DATA["U"].astype("<U99")
    for key, (codec, names) in filters.items():
        for name in names:
            s.put(f"filter {key} {name}", DATA[name], filters=[codec])
            s.put(f"filter {key} {name} F zlib", DATA[name], filters=[codec], compressors=nc.Zlib(), order="F")
    s.put("filters", DATA["i8"], filters=[nc.Delta("<i8", "<i4"), nc.Shuffle(4), nc.CRC32()], compressors=nc.LZ4())
    objects = np.array(WORDS, object)
    for key, codec in {"json2": nc.JSON(), "json2 ascii": nc.JSON(ensure_ascii=False), "vlen": nc.VLenUTF8(), "categorize": nc.Categorize(WORDS, "O")}.items():
        for zipped in (None, nc.Blosc()):
            chunk = codec.encode(objects)
            chunk = zipped.encode(chunk) if zipped else np.asarray(memoryview(chunk)).tobytes() if not isinstance(chunk, bytes) else chunk
            s.lay(f"objects {key} {zipped is not None}", bytes(chunk), objects, dtype="|O", filters=[codec.get_config()],
                  compressor=zipped and zipped.get_config())
    square = np.array(WORDS, object).reshape(2, 3)
    s.lay("objects json2 square", nc.JSON().encode(square), square, dtype="|O", filters=[nc.JSON().get_config()])
    s.lay("objects absent", None, np.array([""] * 4, object), dtype="|O", filters=[{"id": "vlen-utf8"}], fill_value=0)
    blobs = np.array([b"", b"\xff\0x", b"abc"], object)
    s.lay("objects bytes", nc.VLenBytes().encode(blobs), blobs.astype("S3"), dtype="|O", filters=[{"id": "vlen-bytes"}])
    wide = np.array([(i, [i, i + 1], [[i] * 2] * 3) for i in range(5)], [("i", ">i2"), ("pca", "<f4", (2,)), ("m", "|u1", (3, 2))])
    s.lay("fields with axes", wide.tobytes(), wide, dtype=[["i", ">i2"], ["pca", "<f4", [2]], ["m", "|u1", [3, 2]]], fill_value=None)
    s.lay("fields absent", None, np.zeros(3, wide.dtype), dtype=[["i", ">i2"], ["pca", "<f4", 2], ["m", "|u1", [3, 2]]], fill_value=None)
    filled = np.array([(7, b"xy", "ab")] * 3, [("i", ">i4"), ("b", "S2"), ("s", "<U2")])
    s.lay("fields filled", None, filled, dtype=[["i", ">i4"], ["b", "|S2"], ["s", "<U2"]],
          fill_value=base64.b64encode(filled[0].tobytes()).decode())
    fills = {"<f8": ["NaN", "-Infinity", 1.5, None], "<c16": [[1.5, "NaN"], None], ">i4": [7], "|b1": [True], "<U3": ["ab", 0], "|S3": ["YWJj"], "|S1": [""],
             "<M8[ns]": [None, 5], "<u8": [2**64 - 1], "<f2": ["Infinity"]}
    for dtype, values in fills.items():
        for i, value in enumerate(values):
            x = value
            if value is None:
                x = "NaT" if "M8" in dtype else 0
            elif isinstance(value, list):
                x = complex(1.5, float("nan"))
            elif "S" in dtype:
                x = base64.b64decode(value)
            elif value == 0 and "U" in dtype:
                x = ""
            s.lay(f"fill {dtype} {i}", None, np.full(3, x, dtype), dtype=dtype, fill_value=value)


def version_3(out):
    s = Store(out, 3)
    little = {n: a for n, a in DATA.items() if "big" not in n}
    for name, a in little.items():
        s.put(f"plain {name}", a)
        s.put(f"v2 keys {name}", a, chunk_key_encoding={"name": "v2", "separator": "."})
        if name not in ("records", "S3", "b1", "u1") and not name.startswith("text"):
            s.put(f"big {name}", a, serializer=BytesCodec(endian="big"))
        if a.ndim and name != "records":
            inner = chunks_of(a)
            s.put(f"shards {name}", a, chunks=inner, shards=tuple(2 * n for n in inner), compressors=ZstdCodec())
    both = {
        "gzip": GzipCodec(level=3), "zstd": ZstdCodec(level=3), "zstd sum": ZstdCodec(level=3, checksum=True), "crc32c": Crc32cCodec(),
        "blosc": BloscCodec(typesize=4, cname="lz4", clevel=5, shuffle="bitshuffle"), "numcodecs lz4": zn.LZ4(),
        "numcodecs lzma": zn.LZMA(), "numcodecs bz2": zn.BZ2(), "numcodecs zlib": zn.Zlib(), "numcodecs gzip": zn.GZip(),
        "numcodecs zstd": zn.Zstd(), "numcodecs blosc": zn.Blosc(), "numcodecs crc32": zn.CRC32(), "numcodecs adler32": zn.Adler32(), "numcodecs fletcher32": zn.Fletcher32(),
        "numcodecs crc32c": zn.CRC32C(),
    }
    for key, codec in both.items():
        for name in ["f4", "b1", "S3", "text", "records"]:
            s.put(f"{key} {name}", DATA[name], compressors=[codec])
        s.put(f"{key} in shards", DATA["f4"], chunks=CHUNKS, shards=(16, 12), compressors=[codec])
    for name in ["f4", "b1", "records"]:
        s.put(f"numcodecs shuffle {name}", DATA[name], compressors=[zn.Shuffle(elementsize=4), zn.LZ4()])
    filters = {
        "delta": (zn.Delta(dtype="<i8"), "i8"), "delta f4": (zn.Delta(dtype="<f4"), "f4"),
        "scale": (zn.FixedScaleOffset(offset=3, scale=7, dtype="<f4", astype="<i2"), "f4"),
        "astype": (zn.AsType(encode_dtype="<f4", decode_dtype="<i8"), "i8"), "quantize": (zn.Quantize(digits=1, dtype="<f4"), "f4"),
        "bitround": (zn.BitRound(keepbits=5), "f4"), "packbits": (zn.PackBits(), "b1"),
    }
    for key, (codec, name) in filters.items():
        s.put(f"filter {key}", DATA[name], filters=[codec])
        s.put(f"filter {key} zstd", DATA[name], filters=[codec], compressors=[ZstdCodec()])
    turn = TransposeCodec(order=(1, 0))
    for name in ["f4", "text2d", "u1"]:
        s.put(f"turned {name}", DATA[name], filters=[turn])
        s.put(f"turned in shards {name}", DATA[name], chunks=(4, 3), shards=(8, 6), filters=[turn], compressors=[GzipCodec()])
    cube = np.arange(4 * 5 * 6, dtype="<i4").reshape(4, 5, 6)
    s.put("turned cube", cube, filters=[TransposeCodec(order=(2, 0, 1))], compressors=[Crc32cCodec()])
    s.put("index first", DATA["f4"], chunks=(16, 12), serializer=ShardingCodec(
        chunk_shape=(8, 6), index_location="start", codecs=[BytesCodec(endian="big"), GzipCodec()]))
    s.put("shards zipped", DATA["f4"], chunks=(16, 12), serializer=ShardingCodec(chunk_shape=(8, 6)), compressors=[ZstdCodec()])
    s.put("shards of shards", DATA["f4"], chunks=(16, 12), serializer=ShardingCodec(
        chunk_shape=(8, 12), codecs=[ShardingCodec(chunk_shape=(4, 6), codecs=[BytesCodec(), ZstdCodec()])]))
    for i, fill in enumerate([1.5, "NaN", "-Infinity", "0x7fc00000"]):
        doc = {"zarr_format": 3, "node_type": "array", "shape": [3], "data_type": "float32", "fill_value": fill,
               "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
               "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}
        (s.dir / f"fill {i}").mkdir()
        (s.dir / f"fill {i}" / "zarr.json").write_text(json.dumps(doc))
        s.seen[f"fill {i}"] = describe(zarr.open_array(str(s.dir / f"fill {i}"), mode="r")[...])
    # As zarr-python 3.4 spells structured types.
    records = DATA["records"]
    newer = json.loads((s.dir / "plain records" / "zarr.json").read_text())
    newer["data_type"] = {"name": "struct", "configuration": {"fields": [
        {"name": n, "data_type": t} for n, t in newer["data_type"]["configuration"]["fields"]]}}
    newer["fill_value"] = {"i / ü": 0, "f": 0.0, "s": "", "b": "", "t": False, "c": [0.0, 0.0]}
    newer["codecs"] = [{"name": "bytes", "configuration": {"endian": "little"}}]
    shutil.copytree(s.dir / "plain records", s.dir / "struct records")
    (s.dir / "struct records" / "zarr.json").write_text(json.dumps(newer))
    s.seen["struct records"] = describe(records)
    newer["fill_value"].update({"i / ü": 5, "s": "ab", "c": ["NaN", 1.0], "b": "eHl6"})
    newer["codecs"][0]["configuration"]["endian"] = "big"
    (s.dir / "struct filled").mkdir()
    (s.dir / "struct filled" / "zarr.json").write_text(json.dumps(newer))
    s.seen["struct filled"] = describe(np.array([(5, 0, "ab", b"xyz", False, complex(float("nan"), 1))] * len(records), records.dtype))


def main():
    out = Path(sys.argv[1])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    version_2(out)
    version_3(out)
    (out / "expected.json").write_text(json.dumps(expected))
    print(sum(map(len, expected.values())), "arrays in", out)


if __name__ == "__main__":
    main()
