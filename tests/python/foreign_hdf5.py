#!/usr/bin/env python3
"""Write HDF5 files as other programs do, and read what this library wrote.

    python foreign_hdf5.py JOB.json ANSWER.json

Job `{"write": FOLDER}`: makes the files below and answers file -> path -> what is there:
  dtype, shape, sha256           an array of one dtype
  shape, fields                  a structured array: [name, dtype (null: cannot be read), own shape, sha256] of each
  refused                        an array that cannot be read, and a word that the message must hold
  attrs                          of groups
and, of `filters.h5`, where the chunks of each array lie.
Job `{"read": FILE, "paths": [...]}`: what h5py and anndata find there, by the same description.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

import make_fixtures as mf
import h5py
import hdf5plugin
import numpy as np
from anndata.io import read_elem
from h5py import h5p, h5s, h5t

TEXTS = ["", "a", "größe (µm)", "日本語 🧬", "line\nbreak", "x" * 300]


def described(a: np.ndarray) -> dict:
    found = mf.describe_array(a)
    return {"dtype": found["dtype"], "shape": found["shape"], "sha256": found["sha256"]}


def field(name, a: np.ndarray, own=()) -> list:
    if a is None:
        return [name, None, list(own), None]
    found = described(a)
    return [name, found["dtype"], list(own), found["sha256"]]


def texts(n, salt=0) -> np.ndarray:
    return np.array([TEXTS[(i + salt) % len(TEXTS)] for i in range(n)], dtype=object)


def low_level(f, name, tid, data, space=None, dcpl=None):
    """A dataset of a type that numpy has no name for."""
    data = np.ascontiguousarray(data)
    space = space or h5s.create_simple(data.shape)
    d = h5py.h5d.create(f.id, name.encode(), tid, space, dcpl)
    d.write(h5s.ALL, h5s.ALL, data, tid)


def write_types(path, out):
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as f:
        def put(name, data, wanted=None, **kw):
            f.create_dataset(name, data=data, **kw)
            out[name] = described(data if wanted is None else wanted)

        for dtype in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
            info = np.iinfo(dtype)
            a = np.array([info.min, info.max, 0, 1, 5, info.max - 1], dtype=dtype)
            put(f"le {dtype}", a)
            put(f"be {dtype}", a.astype(">" + dtype), chunks=(4,), compression="gzip")
        for dtype in ("f2", "f4", "f8", "c8", "c16"):
            a = np.array([1.5, np.nan, -0.0, np.inf, -2.25, 6e-8], dtype=dtype)
            put(f"le {dtype}", a)
            put(f"be {dtype}", a.astype(">" + dtype))
        put("bool", np.array([True, False, True]))
        small = h5t.enum_create(h5t.STD_I8LE)
        small.enum_insert(b"true", 1)
        small.enum_insert(b"false", 0)
        low_level(f, "lower case bool", small, np.array([1, 0, 1], "i1"))
        out["lower case bool"] = described(np.array([True, False, True]))
        colours = h5py.enum_dtype({"RED": -5, "GREEN": 7, "BLUE": 300}, basetype=">i2")
        put("enum", np.array([7, -5, 300, 7], ">i2"), np.array([7, -5, 300, 7], "i2"), dtype=colours)
        switch = h5py.enum_dtype({"OFF": 0, "ON": 1}, basetype="u1")
        put("enum like a bool", np.array([0, 1], "u1"), dtype=switch)

        fixed = np.array(["", "a", "größe"], dtype=object)
        put("fixed ascii", np.array([b"", b"a", b"abcde"]), np.array(["", "a", "abcde"], object))
        put("fixed utf8", np.array([t.encode() for t in fixed], h5py.string_dtype("utf-8", 9)), fixed)
        for name, pad, field_bytes in [("space padded", h5t.STR_SPACEPAD, b"a   bc d"), ("nul ended", h5t.STR_NULLTERM, b"a\0xybc\0d"),
                                       ("nul padded", h5t.STR_NULLPAD, b"a\0\0\0bc\0d")]:
            tid = h5t.C_S1.copy()
            tid.set_size(4)
            tid.set_strpad(pad)
            low_level(f, name, tid, np.frombuffer(field_bytes, "S4"))
        out["space padded"] = described(np.array(["a", "bc d"], object))
        out["nul ended"] = described(np.array(["a", "bc"], object))
        out["nul padded"] = described(np.array(["a", "bc\0d"], object))
        put("vlen utf8", texts(7).reshape(7, 1), dtype=h5py.string_dtype())
        put("vlen ascii", np.array(["a", "", "b"], object), dtype=h5py.string_dtype("ascii"))
        put("scalar text", np.array("größe", object), dtype=h5py.string_dtype())
        unwritten = f.create_dataset("partly written", (10,), h5py.string_dtype(), chunks=(4,))
        unwritten[1] = "only"
        out["partly written"] = described(np.array(["", "only"] + [""] * 8, object))
        f.create_dataset("never written", (3,), h5py.string_dtype())
        out["never written"] = described(np.array([""] * 3, object))

        f["named type"] = np.dtype(">f4")
        put("of a named type", np.array([1, 2.5], "f4"), dtype=f["named type"])
        f["named compound"] = np.dtype([("a", ">i4"), ("b", "S3")])
        rec = np.array([(1, b"x"), (-2, b"yz")], dtype=[("a", ">i4"), ("b", "S3")])
        f.create_dataset("of a named compound", data=rec, dtype=f["named compound"])
        out["of a named compound"] = {"shape": [2], "fields": [field("a", rec["a"]), field("b", np.array(["x", "yz"], object))]}

        write_compounds(f, out, rng)
        write_refused(f, out)


def write_compounds(f, out, rng):
    n = 60
    nested = np.dtype([("x", "f4"), ("y", "i2")])
    dtype = np.dtype([
        ("be", ">i4"), ("half", "f2"), ("flag", "?"), ("pair", ">c8"), ("fixed", "S4"), ("text", h5py.string_dtype()),
        ("utf8", h5py.string_dtype("utf-8", 8)), ("three", ">f4", (3,)), ("grid", "u2", (2, 2)), ("two texts", h5py.string_dtype(), (2,)),
        ("colour", h5py.enum_dtype({"A": 1, "B": 2}, "i1")), ("flags", "?", (2,)), ("nested", nested), ("a/b: größe", "u8"),
    ])
    rec = np.zeros(n, dtype)
    rec["be"], rec["half"], rec["flag"] = rng.integers(-9, 9, n), rng.normal(size=n), rng.random(n) < 0.5
    rec["pair"] = rng.normal(size=n) + 1j * rng.normal(size=n)
    rec["fixed"] = [b"%d" % i for i in range(n)]
    rec["text"], rec["two texts"] = texts(n), np.stack([texts(n, 1), texts(n, 2)], axis=1)
    rec["utf8"] = ["ü%d".__mod__(i).encode() for i in range(n)]
    rec["three"], rec["grid"] = rng.normal(size=(n, 3)), rng.integers(0, 99, (n, 2, 2))
    rec["colour"], rec["flags"] = rng.integers(1, 3, n), rng.random((n, 2)) < 0.5
    rec["a/b: größe"] = np.arange(n, dtype="u8") + 2**63

    def decoded(a):
        return np.array([x.decode() for x in a.ravel()], object).reshape(a.shape)

    def wanted(rec):
        rec = np.asarray(rec)
        return {"shape": list(rec.shape), "fields": [
            field("be", rec["be"]), field("half", rec["half"]), field("flag", rec["flag"]), field("pair", rec["pair"]),
            field("fixed", decoded(rec["fixed"])), field("text", rec["text"]), field("utf8", decoded(rec["utf8"])),
            field("three", rec["three"], (3,)), field("grid", rec["grid"], (2, 2)), field("two texts", rec["two texts"], (2,)),
            field("colour", rec["colour"].astype("i1")), field("flags", rec["flags"], (2,)), field("nested", None), field("a/b: größe", rec["a/b: größe"]),
        ]}

    for name, data, kw in [("records", rec, {}), ("chunked records", rec, {"chunks": (7,), "compression": "gzip", "shuffle": True}),
                           ("records in two axes", rec.reshape(12, 5), {"chunks": (5, 2), "compression": "lzf"}),
                           ("one record", rec[3], {}), ("no records", rec[:0], {})]:
        f.create_dataset(name, data=data, dtype=dtype, **kw)
        out[name] = wanted(data)
    ints = np.array([(1, 2), (3, 4)], dtype=[("r", "i4"), ("i", "i4")])
    f.create_dataset("not complex", data=ints)
    out["not complex"] = {"shape": [2], "fields": [field("r", ints["r"]), field("i", ints["i"])]}
    # Members that are not packed, and in the other order.
    odd = np.zeros(3, np.dtype({"names": ["i", "r"], "formats": [">f8", ">f8"], "offsets": [16, 4], "itemsize": 40}))
    odd["r"], odd["i"] = [1, 2, 3], [-1, -2, -3]
    f.create_dataset("loose complex", data=odd)
    out["loose complex"] = described(odd["r"] + 1j * odd["i"])


def write_refused(f, out):
    def refuse(name, word):
        out[name] = {"refused": word}

    f.create_dataset("not utf8", data=np.array([b"a\xff"]))
    refuse("not utf8", "not UTF-8: a\\xff")
    f.create_dataset("long double", data=np.array([1], np.longdouble))
    refuse("long double", "float of 128 bits")
    brain = h5t.IEEE_F32LE.copy()
    brain.set_fields(15, 7, 8, 0, 7)
    brain.set_size(2)
    low_level(f, "bfloat16", brain, np.array([16256], "u2"))
    refuse("bfloat16", "float of 16 bits (8 of exponent, 7 of mantissa)")
    wide = h5t.STD_I64LE.copy()
    wide.set_size(16)
    h5py.h5d.create(f.id, b"int128", wide, h5s.create_simple((2,)))
    refuse("int128", "int128")
    f.create_dataset("opaque", data=np.array([b"abc"], "V3"))
    refuse("opaque", "opaque")
    f.create_dataset("date", data=np.array(["2020-01-01"], "M8[ns]").astype(h5py.opaque_dtype("M8[ns]")))
    refuse("date", "opaque")
    low_level(f, "bits", h5t.STD_B8LE, np.array([1], "u1"))
    refuse("bits", "bitfield")
    h5py.h5d.create(f.id, b"time", h5t.UNIX_D32LE, h5s.create_simple((2,)))
    refuse("time", "time")
    f.create_dataset("lists", data=np.array([np.arange(2), np.arange(3)], object), dtype=h5py.vlen_dtype("i4"))
    refuse("lists", "variable-length sequence")
    f.create_dataset("arrays", (2,), np.dtype(("f4", (3,))))
    refuse("arrays", "array [3] of float32")
    f.create_dataset("references", data=np.array([f.ref], object), dtype=h5py.ref_dtype)
    refuse("references", "object reference")


def write_filters(path, out):
    rng = np.random.default_rng(2)
    floats = (rng.normal(size=(50, 37)) * (rng.random((50, 37)) < 0.4)).astype("f4")
    ints = rng.integers(-1000, 1000, (50, 37)).astype("i2")
    with h5py.File(path, "w") as f:
        def put(name, data=floats, chunks=(7, 13), wanted=None, **kw):
            f.create_dataset(name, data=data, chunks=chunks, **kw)
            out[name] = described(f[name][...] if wanted is None else wanted)

        put("gzip shuffle fletcher32", compression="gzip", shuffle=True, fletcher32=True)
        put("lzf", compression="lzf", shuffle=True)
        put("scale-offset ints", ints, scaleoffset=True)
        put("scale-offset floats", scaleoffset=3)
        dcpl = h5p.create(h5p.DATASET_CREATE)
        dcpl.set_chunk((7, 13))
        dcpl.set_filter(h5py.h5z.FILTER_NBIT, 0)
        twelve = h5t.STD_I16LE.copy()
        twelve.set_precision(12)
        d = h5py.h5d.create(f.id, b"n-bit", twelve, h5s.create_simple(ints.shape), dcpl)
        d.write(h5s.ALL, h5s.ALL, ints)
        out["n-bit"] = described(ints)
        for level in (1, 19):
            put(f"zstd {level}", **hdf5plugin.Zstd(clevel=level))
        put("shuffle zstd fletcher32", shuffle=True, fletcher32=True, **hdf5plugin.Zstd())
        put("bzip2", **hdf5plugin.BZip2())
        for size in (0, 64):
            put(f"lz4 {size}", **hdf5plugin.LZ4(nbytes=size))
        for codec in ("blosclz", "lz4", "lz4hc", "zlib", "zstd"):
            for shuffle in (0, 1, 2):
                put(f"blosc {codec} {shuffle}", **hdf5plugin.Blosc(cname=codec, shuffle=shuffle))
        for codec in ("none", "lz4", "zstd"):
            for items in (0, 16):
                put(f"bitshuffle {codec} {items}", **hdf5plugin.Bitshuffle(cname=codec, nelems=items))
                put(f"bitshuffle {codec} {items} ints", ints, **hdf5plugin.Bitshuffle(cname=codec, nelems=items))
        names = texts(100)
        rec = np.array(list(zip(range(100), names)), dtype=[("n", "i4"), ("text", h5py.string_dtype())])
        # Blosc and bitshuffle crash on texts of variable length when they write.
        for name, plugin in [("zstd", hdf5plugin.Zstd()), ("lz4", hdf5plugin.LZ4())]:
            put(f"{name} texts", names, (30,), names, dtype=h5py.string_dtype(), **plugin)
            f.create_dataset(f"{name} records", data=rec, chunks=(30,), **plugin)
            out[f"{name} records"] = {"shape": [100], "fields": [field("n", rec["n"]), field("text", rec["text"])]}
        big = np.arange(200_000, dtype="f8")
        for name, plugin in [("zstd", hdf5plugin.Zstd()), ("lz4", hdf5plugin.LZ4()), ("blosc", hdf5plugin.Blosc()), ("bzip2", hdf5plugin.BZip2()),
                             ("bitshuffle", hdf5plugin.Bitshuffle())]:
            put(f"{name} big", big, (60_000,), big, **plugin)
        for name, plugin in [("32026 (blosc2)", hdf5plugin.Blosc2()), ("32013 (zfp)", hdf5plugin.Zfp())]:
            f.create_dataset(name, data=floats, chunks=(7, 13), **plugin)
            out[name] = {"refused": f"filter {name}"}


def write_links(folder: Path, out):
    with h5py.File(folder / "source.h5", "w") as f:
        f.create_dataset("x", data=np.arange(5), maxshape=(None,), chunks=(5,))
        f.create_group("g")
    with h5py.File(folder / "links.h5", "w") as f:
        f["g/x"] = np.arange(3, dtype="i4")
        f["soft"] = h5py.SoftLink("/g/x")
        f["g/sibling"] = h5py.SoftLink("x")
        f["g/up"] = h5py.SoftLink("/g")
        f["g/deeper/up"] = f["g"]
        f["dangling"] = h5py.SoftLink("/nothing")
        f["ring"] = h5py.SoftLink("/gnir")
        f["gnir"] = h5py.SoftLink("/ring")
        f["outside"] = h5py.ExternalLink("source.h5", "/x")
        f["outside group"] = h5py.ExternalLink("source.h5", "/g")
        f["through outside"] = h5py.SoftLink("/outside")
        f.create_dataset("elsewhere", (4,), "i4", external=[("source.h5", 0, 16)])
        for name, length in [("virtual", (5,)), ("growing virtual", (h5s.UNLIMITED,))]:
            dcpl = h5p.create(h5p.DATASET_CREATE)
            here, there = h5s.create_simple((5,), length), h5s.create_simple((5,), length)
            if name != "virtual":
                for space in (here, there):
                    space.select_hyperslab((0,), (h5s.UNLIMITED,))
            dcpl.set_virtual(here, b"source.h5", b"x", there)
            h5py.h5d.create(f.id, name.encode(), h5t.NATIVE_INT64, h5s.create_simple((5,), length), dcpl)
    with h5py.File(folder / "source.h5", "r+") as f:
        f["x"].resize((50,))
    for name in ("g/x", "soft", "g/sibling"):
        out[name] = described(np.arange(3, dtype="i4"))
    for name in ("virtual", "growing virtual"):
        out[name] = {"refused": "virtual dataset", "shape": [5]}
    out["elsewhere"] = {"refused": "in other files", "shape": [4]}


def write_attrs(path, out):
    with h5py.File(path, "w") as f:
        g = f.create_group("g", track_order=True)
        f["a/b"], f["a/c"] = np.arange(2), np.arange(3)
        wanted = {}

        def put(name, value, json_value, **kw):
            g.attrs.create(name, value, **kw)
            wanted[name] = json_value

        put("scalar vlen", "größe", "größe")
        put("scalar ascii", np.bytes_(b"abc"), "abc")
        put("scalar utf8", np.array("größe".encode(), h5py.string_dtype("utf-8", 12)), "größe")
        put("list ascii", np.array([b"a", b"bcd"]), ["a", "bcd"])
        put("list utf8", np.array(["ü".encode(), b"b"], h5py.string_dtype("utf-8", 5)), ["ü", "b"])
        put("one ascii", np.array([b"a"]), ["a"])
        put("vlen ascii", np.array(["a", "b"], object), ["a", "b"], dtype=h5py.string_dtype("ascii"))
        h5py.h5a.create(g.id, b"never written", h5t.py_create(h5py.string_dtype(), logical=True), h5s.create_simple((2,)))
        wanted["never written"] = ["", ""]
        put("empty list", np.zeros(0), [])
        put("empty texts", np.zeros(0, object), [], dtype=h5py.string_dtype())
        put("null", h5py.Empty("f"), [])
        put("bool", np.bool_(True), True)
        put("bools", np.array([True, False]), [True, False])
        put("byte", np.int8(1), 1)
        put("shape", np.array([3, 4], "i4"), [3, 4])
        put("one", np.array([5]), [5])
        put("be", np.array([1, 2], ">u2"), [1, 2])
        put("big", np.uint64(2**64 - 1), 2**64 - 1)
        put("half", np.float16(0.5), 0.5)
        put("enum", np.int8(3), 3, dtype=h5py.enum_dtype({"X": 3}, "i1"))
        put("reference", f["a/b"].ref, "a/b", dtype=h5py.ref_dtype)
        put("references", np.array([f["a/b"].ref, f["a/c"].ref], object), ["a/b", "a/c"], dtype=h5py.ref_dtype)
        # Without a form in JSON: left out.
        g.attrs.create("nan", np.nan)
        g.attrs.create("compound", np.array((1, 2.0), [("a", "i4"), ("b", "f4")]))
        g.attrs.create("opaque", np.void(b"abc"))
        h5py.h5a.create(g.id, b"lists", h5t.vlen_create(h5t.STD_I32LE), h5s.create_simple((2,)))
        space_padded = h5t.C_S1.copy()
        space_padded.set_size(5)
        space_padded.set_strpad(h5t.STR_SPACEPAD)
        attr = h5py.h5a.create(g.id, b"space padded", space_padded, h5s.create(h5s.SCALAR))
        attr.write(np.array(b"ab   "), space_padded)
        wanted["space padded"] = "ab"
        out["g"] = {"attrs": wanted}
        # So many, and so large, that they are stored outside of the object's header.
        dense = f.create_group("dense", track_order=True)
        many = {f"attribute {i}": [f"{i}" * 20] * 50 for i in range(200)}
        for name, value in many.items():
            dense.attrs[name] = value
        out["dense"] = {"attrs": many}


def write_user_blocks(folder: Path):
    for size in (512, 4096):
        path = folder / f"block{size}.h5"
        with h5py.File(path, "w", userblock_size=size) as f:
            f["g/x"] = np.arange(10, dtype="i4")
            f["g"].attrs["a"] = "old"
        with open(path, "r+b") as f:
            f.write(b"MuData (format-version=0.1.0)".ljust(size, b"\0" if size == 512 else b"z"))


def write_texts(path, out):
    """Texts in heaps of their own, and neighbours in many heaps, more than are kept in memory, behind a user block."""
    rng = np.random.default_rng(3)
    text = h5py.string_dtype()
    mixed = np.array([f"{i} " * (300 + i % 7) for i in range(4000)], dtype=object)
    long = np.array(["x" * (3 << 19), "", "é" * (3 << 19), "short"], dtype=object)
    with h5py.File(path, "w", userblock_size=1024) as f:
        d = f.create_dataset("mixed", mixed.shape, text, chunks=(1000,))
        for i in rng.permutation(len(mixed)):
            d[i] = mixed[i]
        f.create_dataset("long", data=long, dtype=text)
        f.create_dataset("never_written", (10,), text, chunks=(4,))
    out |= {"mixed": described(mixed), "long": described(long), "never_written": described(np.array([""] * 10, dtype=object))}


def write(folder: Path) -> dict:
    out = {"types.h5": {}, "filters.h5": {}, "links.h5": {}, "attrs.h5": {}, "texts.h5": {}, "chunks": {}}
    write_texts(folder / "texts.h5", out["texts.h5"])
    write_types(folder / "types.h5", out["types.h5"])
    write_filters(folder / "filters.h5", out["filters.h5"])
    with h5py.File(folder / "filters.h5", "r") as f:
        for name, d in f.items():
            infos = [d.id.get_chunk_info(i) for i in range(d.id.get_num_chunks())]
            out["chunks"][name] = [[info.byte_offset, info.size] for info in infos]
    write_links(folder, out["links.h5"])
    write_attrs(folder / "attrs.h5", out["attrs.h5"])
    write_user_blocks(folder)
    return out


def structured(a: np.ndarray) -> dict:
    fields = []
    for name in a.dtype.names:
        item, own = a.dtype[name].subdtype or (a.dtype[name], ())
        values = a[name]
        if item.kind == "S":
            values = np.array([x.decode("latin-1") for x in values.ravel()], object).reshape(values.shape)
        fields.append([name, mf.dtype_name(item), list(own), described(values)["sha256"]])
    return {"shape": list(a.shape), "fields": fields}


def read(path, paths) -> dict:
    """By h5py, and by anndata where it knows the encoding."""
    out = {}
    with h5py.File(path, "r") as f:
        for name in paths:
            d, tagged = f[name], "encoding-type" in f[name].attrs
            ways = [d.asstr()[...] if h5py.check_string_dtype(d.dtype) and d.dtype.kind == "O" else d[...]]
            if tagged:
                ways.append(read_elem(d))
            answers = [structured(np.asarray(a)) if np.asarray(a).dtype.names else described(np.asarray(a)) for a in ways]
            out[name] = {"answers": answers, "type": describe_type(d.id.get_type()), "chunks": d.chunks,
                         "filters": [d.id.get_create_plist().get_filter(i)[0] for i in range(d.id.get_create_plist().get_nfilters())]}
    return out


def describe_type(tid) -> str:
    if isinstance(tid, h5t.TypeCompoundID):
        members = (f"{tid.get_member_name(i).decode()}: {describe_type(tid.get_member_type(i))}" for i in range(tid.get_nmembers()))
        return "{" + ", ".join(members) + "}"
    if isinstance(tid, h5t.TypeArrayID):
        return f"{describe_type(tid.get_super())}{list(tid.get_array_dims())}"
    if isinstance(tid, h5t.TypeStringID):
        charset = "utf8" if tid.get_cset() == h5t.CSET_UTF8 else "ascii"
        pad = {h5t.STR_NULLTERM: "ended", h5t.STR_NULLPAD: "padded", h5t.STR_SPACEPAD: "blanks"}[tid.get_strpad()]
        return f"text {charset} {'vlen' if tid.is_variable_str() else tid.get_size()} {pad}"
    if isinstance(tid, h5t.TypeEnumID):
        return "enum " + " ".join(f"{tid.get_member_name(i).decode()}={tid.get_member_value(i)}" for i in range(tid.get_nmembers()))
    return str(tid.dtype)


def main(question, answer):
    job = json.loads(Path(question).read_text())
    out = write(Path(job["write"])) if "write" in job else read(job["read"], job["paths"])
    Path(answer).write_text(json.dumps(out, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
