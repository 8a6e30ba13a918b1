//! Tests of the Zarr store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing check is a panic")]

mod company;
mod direct;
mod setbacks;
mod transactions;
pub(super) mod trial;

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::sync::Arc;

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use std::fs;
use std::path::{Path, PathBuf};

use super::source::OURS;
use super::*;
use crate::store::{Attrs, Style, WriteStore, open_read, open_write, read_all};
use crate::testing::{Fresh, store_contract};

fn fresh(flavour: Flavour, consolidated: bool) -> Fresh {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("s.zarr");
    let store = ZarrStore::create(&path, flavour).unwrap();
    if consolidated {
        store.consolidate().unwrap();
    }
    let reopen = Box::new(move || Arc::new(ZarrStore::open_read(&path).unwrap()) as Arc<dyn ReadStore>);
    let repeats = flavour != Flavour::V3Sharded;
    Fresh { store: Arc::new(store), reopen, lacks: &[], repeats, keep: Box::new(keep) }
}

#[test]
fn keeps_the_store_contract_in_version_2() {
    store_contract(&|| fresh(Flavour::V2, false));
}

#[test]
fn keeps_the_store_contract_in_version_3() {
    store_contract(&|| fresh(Flavour::V3, false));
}

#[test]
fn keeps_the_store_contract_sharded() {
    store_contract(&|| fresh(Flavour::V3Sharded, false));
}

#[test]
fn keeps_the_store_contract_consolidated() {
    store_contract(&|| fresh(Flavour::V2, true));
    store_contract(&|| fresh(Flavour::V3, true));
}

const PLAIN: Style<'static> = Style { like: None, resizable: false };

fn at(text: &str) -> ElemPath {
    ElemPath::parse(text).unwrap()
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Keys of the consolidated metadata in the directory `dir`, in the order of the file.
fn listed(dir: &Path, flavour: Flavour) -> Vec<String> {
    let map = match flavour {
        Flavour::V2 => json_file(&dir.join(".zmetadata"))["metadata"].clone(),
        _ => json_file(&dir.join("zarr.json"))["consolidated_metadata"]["metadata"].clone(),
    };
    map.as_object().unwrap().keys().cloned().collect()
}

/// All files below `dir` and their content.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(snapshot(&path));
            found.insert(path, None);
        } else {
            found.insert(path.clone(), Some(fs::read(path).unwrap()));
        }
    }
    found
}

/// A store with a table in it, as SpatialData has: `tables/table/obs/n`, and a group of an odd name beside.
fn nested(dir: &Path, flavour: Flavour) -> ZarrStore {
    let store = ZarrStore::create(dir, flavour).unwrap();
    for group in ["tables", "tables/table", "tables/table/obs", "tables/table x"] {
        store.create_group(&at(group), &Attrs::new()).unwrap();
    }
    store.create_array(&at("tables/table/obs/n"), &Array::from_vec(vec![1_i32, 2]), PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    store
}

/// Consolidates the inner table as a store of its own.
fn consolidate_inner(dir: &Path) {
    ZarrStore::open_write(&dir.join("tables/table")).unwrap().consolidate().unwrap();
}

const FLAVOURS: [Flavour; 3] = [Flavour::V2, Flavour::V3, Flavour::V3Sharded];

#[test]
fn a_consolidated_store_is_opened_by_reading_one_document() {
    for flavour in FLAVOURS {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("s.zarr");
        nested(&dir, flavour).consolidate().unwrap();
        let store = ZarrStore::open_read(&dir).unwrap();
        assert_eq!(store.children(&at("tables")).unwrap(), ["table", "table x"]);
        assert_eq!(store.children(&at("tables/table/obs")).unwrap(), ["n"]);
        assert!(store.node(&at("tables/table/obs/n")).unwrap().is_some());
        assert_eq!((store.stats().documents, store.stats().chunks), (1, 0));
    }
}

#[test]
fn publishing_renews_the_maps_above_sorted_and_complete() {
    for flavour in FLAVOURS {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("s.zarr");
        nested(&dir, flavour);
        consolidate_inner(&dir);
        let store = ZarrStore::open_write(&dir).unwrap();
        store.consolidate().unwrap();
        store.create_array(&at("tables/table/obs/a"), &Array::from_vec(vec![0.5_f64]), PLAIN, &Attrs::new()).unwrap();
        store.create_group(&at("tables/table/obsm"), &Attrs::new()).unwrap();
        store
            .set_attrs(&at("tables/table/obs"), &json!({"column-order": ["n", "a"]}).as_object().unwrap().clone())
            .unwrap();
        store.publish().unwrap();
        drop(store);
        let names = |base: &str| -> Vec<String> {
            let nodes = [
                "",
                "tables",
                "tables/table",
                "tables/table x",
                "tables/table/obs",
                "tables/table/obs/a",
                "tables/table/obs/n",
                "tables/table/obsm",
            ];
            let below = nodes.iter().filter_map(|n| at(n).strip_prefix(&at(base)));
            let mut keys: Vec<String> = match flavour {
                Flavour::V2 => below
                    .flat_map(|n| {
                        let kind = if ["a", "n"].contains(&n.name()) { ".zarray" } else { ".zgroup" };
                        [kind, ".zattrs"].map(|k| n.child(k).to_string())
                    })
                    .collect(),
                _ => below.filter(|n| !n.is_root()).map(|n| n.to_string()).collect(),
            };
            keys.sort();
            keys
        };
        assert_eq!(listed(&dir, flavour), names(""));
        assert_eq!(listed(&dir.join("tables/table"), flavour), names("tables/table"));
        for (root, inner) in [("", "tables/table/obs"), ("tables/table", "obs")] {
            let store = ZarrStore::open_read(&dir.join(root)).unwrap();
            let node = store.node(&at(inner)).unwrap().unwrap();
            assert_eq!(node.attrs["column-order"], json!(["n", "a"]));
            assert_eq!(store.stats().documents, 1);
        }
        assert!(!snapshot(&dir).keys().any(|p| p.to_string_lossy().contains(OURS)));
    }
}

#[test]
fn a_store_that_is_not_consolidated_stays_so() {
    for flavour in FLAVOURS {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("s.zarr");
        nested(&dir, flavour);
        assert!(!dir.join(".zmetadata").exists());
        assert!(flavour == Flavour::V2 || json_file(&dir.join("zarr.json")).get("consolidated_metadata").is_none());
    }
}

#[test]
fn a_map_that_cannot_be_parsed_is_passed_over_and_removed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    let store = nested(&dir, Flavour::V2);
    fs::write(dir.join(".zmetadata"), "{\"metadata\": NaN}").unwrap();
    assert_eq!(ZarrStore::open_read(&dir).unwrap().children(&ElemPath::root()).unwrap(), ["tables"]);
    store.create_group(&at("new"), &Attrs::new()).unwrap();
    store.publish().unwrap();
    assert!(!dir.join(".zmetadata").exists());
}

#[test]
fn a_failed_publish_is_undone() {
    for flavour in FLAVOURS {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("s.zarr");
        nested(&dir, flavour).consolidate().unwrap();
        let store = ZarrStore::open_write(&dir).unwrap();
        let stage = |names: [&str; 2]| {
            names.iter().for_each(|n| store.create_group(&at(n), &Attrs::new()).unwrap());
            store.set_attrs(&at("tables"), &json!({"a": 1}).as_object().unwrap().clone()).unwrap();
        };
        // Somebody else is faster with the second of two nodes.
        stage(["a", "b"]);
        fs::create_dir(dir.join("b")).unwrap();
        assert!(matches!(store.publish(), Err(Error::Exists { .. })));
        fs::remove_dir(dir.join("b")).unwrap();
        let before = snapshot(&dir);
        store.publish().unwrap();
        assert_eq!(snapshot(&dir), before);
        assert!(!dir.join("a").exists());
        // The attributes of a node can no longer be read, after the new nodes have moved in.
        stage(["c", "d"]);
        let broken = dir.join("tables").join(if flavour == Flavour::V2 { ".zattrs" } else { "zarr.json" });
        let good = fs::read(&broken).unwrap();
        fs::write(&broken, "{").unwrap();
        assert!(matches!(store.publish(), Err(Error::Malformed { .. })));
        fs::write(&broken, good).unwrap();
        assert_eq!(snapshot(&dir), before);
    }
}

fn staged_dir(store: &Path) -> PathBuf {
    let ours = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(OURS);
    fs::read_dir(store).unwrap().map(|e| e.unwrap().path()).find(ours).unwrap()
}

#[test]
fn what_was_left_staged_by_a_dead_process_is_invisible_and_swept() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    drop(nested(&dir, Flavour::V3));
    let store = ZarrStore::open_write(&dir).unwrap();
    store.create_group(&at("new"), &Attrs::new()).unwrap();
    // As if the process had died: the lock goes, what is staged stays.
    let dir_now = staged_dir(&dir);
    let aside = temp.path().join("aside");
    fs::rename(&dir_now, &aside).unwrap();
    drop(store);
    fs::rename(&aside, &dir_now).unwrap();
    let left = |dir: &Path| {
        fs::read_dir(dir)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(OURS))
            .count()
    };
    assert_eq!(left(&dir), 1);
    let read = ZarrStore::open_read(&dir).unwrap();
    assert_eq!(read.children(&ElemPath::root()).unwrap(), ["tables"]);
    let staged = staged_dir(&dir);
    assert!(read.node(&at(staged.file_name().unwrap().to_str().unwrap())).unwrap().is_none());
    if Path::new("/proc/self").exists() {
        let dead = staged.to_string_lossy().replace(&format!("-{}-", std::process::id()), "-4294967295-");
        fs::rename(&staged, dead).unwrap();
        ZarrStore::open_write(&dir).unwrap();
        assert_eq!(left(&dir), 0);
    }
}

#[test]
fn maps_of_foreign_writers_are_read() {
    let temp = tempfile::tempdir().unwrap();
    let array = json!({"zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "int32", "fill_value": 7,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]});
    let root = json!({"zarr_format": 3, "node_type": "group",
        "consolidated_metadata": {"metadata": {"/obs/flag": array, "broken": 5}}});
    fs::write(temp.path().join("zarr.json"), root.to_string()).unwrap();
    let store = ZarrStore::open_read(temp.path()).unwrap();
    assert_eq!(store.children(&ElemPath::root()).unwrap(), ["broken", "obs"]);
    assert!(matches!(store.node(&at("broken")), Err(Error::Malformed { .. })));
    assert_eq!(read_all(&store, &at("obs/flag")).unwrap(), Array::from_vec(vec![7_i32, 7]));
    assert_eq!((store.stats().documents, store.stats().chunks), (1, 0));
}

/// Version 2 metadata with some keys replaced.
fn v2_array(change: Value) -> Value {
    let mut doc = json!({"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "<i4", "fill_value": 0, "order": "C",
        "filters": null, "compressor": null});
    doc.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    doc
}

/// Name, what is changed, a chunk, whether the node can be described, whether the failure is one of support.
type Case = (&'static str, Value, Option<&'static [u8]>, bool, bool);

#[test]
fn hostile_metadata_are_errors_and_spoil_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    drop(nested(&dir, Flavour::V2));
    let put = |name: &str, doc: &str, chunk: Option<&[u8]>| {
        fs::create_dir(dir.join(name)).unwrap();
        fs::write(dir.join(name).join(".zarray"), doc).unwrap();
        if let Some(bytes) = chunk {
            fs::write(dir.join(name).join("0"), bytes).unwrap();
        }
    };
    let big = 1_u64 << 60;
    let vlen = json!([{"id": "vlen-utf8"}]);
    let cases: Vec<Case> = vec![
        ("zero-chunk", json!({"chunks": [0]}), None, false, false),
        ("huge-chunk", json!({"chunks": [big]}), None, false, false),
        ("axes", json!({"chunks": [2, 2]}), None, false, false),
        ("negative", json!({"shape": [-1]}), None, false, false),
        ("text-shape", json!({"shape": "x"}), None, false, false),
        ("huge", json!({"shape": [big]}), None, true, false),
        ("overflow", json!({"shape": [big, big], "chunks": [1, 1]}), None, true, false),
        ("short-chunk", json!({}), Some(b"123"), true, false),
        ("long-chunk", json!({}), Some(&[0; 17]), true, false),
        ("bad-gzip", json!({"compressor": {"id": "gzip", "level": 1}}), Some(b"not gzip"), true, false),
        ("bad-blosc", json!({"compressor": {"id": "blosc"}}), Some(b"not blosc"), true, false),
        ("bad-count", json!({"dtype": "|O", "filters": vlen}), Some(&[9, 0, 0, 0]), true, false),
        (
            "bad-length",
            json!({"dtype": "|O", "filters": vlen}),
            Some(b"\x04\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0"),
            true,
            false,
        ),
        (
            "not-utf8",
            json!({"dtype": "|O", "filters": vlen, "shape": [1], "chunks": [1]}),
            Some(b"\x01\0\0\0\x01\0\0\0\xff"),
            true,
            false,
        ),
        ("codec", json!({"compressor": {"id": "nonesuch"}}), None, true, true),
        ("filter", json!({"filters": [{"id": "delta", "dtype": "<c8"}]}), None, true, true),
        ("pickle", json!({"dtype": "|O", "filters": [{"id": "pickle"}]}), None, true, true),
        ("structured", json!({"dtype": [["a", "<i4"]]}), None, true, true),
        ("objects", json!({"dtype": [["a", "|O"]]}), None, true, true),
        ("days", json!({"dtype": "<M8[D]"}), None, true, true),
    ];
    for (name, change, chunk, _, _) in &cases {
        put(name, &v2_array(change.clone()).to_string(), *chunk);
    }
    put("not-json", "{\"shape\": ", None);
    put("nan", &v2_array(json!({})).to_string().replace("\"fill_value\":0", "\"fill_value\":NaN"), None);
    let store = ZarrStore::open_read(&dir).unwrap();
    let names = store.children(&ElemPath::root()).unwrap();
    for (name, .., described, support) in &cases {
        assert!(names.contains(&(*name).to_owned()));
        assert_eq!(store.node(&at(name)).is_ok(), *described, "{name}");
        let Ok(Some(node)) = store.node(&at(name)) else { continue };
        let rows: Vec<Rows> = node.array().unwrap().shape.iter().map(|&n| Rows::All(n)).collect();
        match store.read(&at(name), &rows) {
            Err(Error::Unsupported { .. }) => assert!(support, "{name}"),
            Err(Error::Malformed { .. }) => assert!(!support, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    for name in ["not-json", "nan"] {
        assert!(matches!(store.node(&at(name)), Err(Error::Malformed { .. })), "{name}");
    }
    assert_eq!(read_all(&store, &at("tables/table/obs/n")).unwrap(), Array::from_vec(vec![1_i32, 2]));
    // Consolidating carries what it does not understand and leaves out what is no JSON.
    ZarrStore::open_write(&dir).unwrap().consolidate().unwrap();
    let keys = listed(&dir, Flavour::V2);
    assert!(keys.contains(&"structured/.zarray".to_owned()) && !keys.contains(&"not-json/.zarray".to_owned()));
}

#[test]
fn damaged_shards_are_errors() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    let store = ZarrStore::create(&dir, Flavour::V3Sharded).unwrap();
    let data = Array::from(ndarray::Array2::from_shape_fn((1000, 600), |(r, c)| (r + c) as f64));
    store.create_array(&at("x"), &data, PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    let shard = dir.join("x/c/0/0");
    let good = fs::read(&shard).unwrap();
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    for bad in [&good[..10], &good[1..], &flipped[..]] {
        fs::write(&shard, bad).unwrap();
        let store = ZarrStore::open_read(&dir).unwrap();
        assert!(matches!(read_all(&store, &at("x")), Err(Error::Malformed { .. })));
    }
}

/// What decodes to too little, too much, or not at all, in every filter.
#[test]
fn hostile_chunks_are_errors() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    drop(nested(&dir, Flavour::V2));
    let filters = [
        json!({"id": "gzip"}),
        json!({"id": "zlib"}),
        json!({"id": "bz2"}),
        json!({"id": "zstd"}),
        json!({"id": "lzma", "format": 1}),
        json!({"id": "lz4"}),
        json!({"id": "blosc"}),
        json!({"id": "base64"}),
        json!({"id": "shuffle", "elementsize": 4}),
        json!({"id": "crc32"}),
        json!({"id": "crc32c"}),
        json!({"id": "adler32"}),
        json!({"id": "fletcher32"}),
        json!({"id": "delta", "dtype": "<i4"}),
        json!({"id": "fixedscaleoffset", "dtype": "<i4", "astype": "<f8", "scale": 0, "offset": 1}),
        json!({"id": "astype", "encode_dtype": "<f8", "decode_dtype": "<i4"}),
        json!({"id": "packbits"}),
        json!({"id": "categorize", "labels": ["a"], "dtype": "<i4", "astype": "<u4"}),
    ];
    // Nothing, noise, huge sizes where lz4 and blosc have them, and an honest gzip of far too much.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 10_000_000]).unwrap();
    let chunks = [
        vec![],
        vec![7; 3],
        vec![7; 15],
        b"\xff\xff\xff\x7f\xff\xff\xff\x7f\xff\xff\xff\x7f\xff\xff\xff\x7f!".to_vec(),
        bomb.finish().unwrap(),
    ];
    for (i, filter) in filters.iter().enumerate() {
        for (k, chunk) in chunks.iter().enumerate() {
            let name = format!("{i}-{k}");
            fs::create_dir(dir.join(&name)).unwrap();
            fs::write(dir.join(&name).join(".zarray"), v2_array(json!({"filters": [filter]})).to_string()).unwrap();
            fs::write(dir.join(&name).join("0"), chunk).unwrap();
            let store = ZarrStore::open_read(&dir).unwrap();
            let read = read_all(&store, &at(&name));
            assert!(matches!(read, Err(Error::Malformed { .. })), "{filter} chunk {k}: {read:?}");
        }
    }
}

#[test]
fn links_to_chunks_are_refused() {
    #[cfg(unix)]
    for (link, kept) in [("near/0/0", "near/0/kept"), ("near/0", "near/kept"), ("near", "kept")] {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("s.zarr");
        let store = ZarrStore::create(&dir, Flavour::V2).unwrap();
        fs::create_dir_all(dir.join("near/0")).unwrap();
        let doc = v2_array(json!({"shape": [1, 4], "chunks": [1, 4], "dimension_separator": "/"}));
        fs::write(dir.join("near/.zarray"), doc.to_string()).unwrap();
        fs::write(dir.join("near/0/0"), [1; 16]).unwrap();
        store.consolidate().unwrap();
        drop(store);
        assert!(read_all(&ZarrStore::open_read(&dir).unwrap(), &at("near")).is_ok());
        fs::rename(dir.join(link), dir.join(kept)).unwrap();
        std::os::unix::fs::symlink(dir.join(kept), dir.join(link)).unwrap();
        let read = read_all(&ZarrStore::open_read(&dir).unwrap(), &at("near"));
        assert!(matches!(read, Err(Error::Unsupported { .. })), "{link}: {read:?}");
    }
}

#[test]
fn a_map_without_its_dot_is_not_believed_but_kept_in_step() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    let store = nested(&dir, Flavour::V2);
    fs::write(dir.join("zmetadata"), json!({"metadata": {".zgroup": {"zarr_format": 2}}}).to_string()).unwrap();
    assert_eq!(ZarrStore::open_read(&dir).unwrap().children(&ElemPath::root()).unwrap(), ["tables"]);
    store.create_group(&at("new"), &Attrs::new()).unwrap();
    store.publish().unwrap();
    assert!(json_file(&dir.join("zmetadata"))["metadata"].get("new/.zgroup").is_some());
    assert!(!dir.join(".zmetadata").exists());
}

/// The files below `dir` as a zip archive, each name behind `prefix`.
fn zipped(dir: &Path, prefix: &str, method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in snapshot(dir) {
        let name = path.strip_prefix(dir).unwrap().to_str().unwrap().replace('\\', "/");
        let options = SimpleFileOptions::default().compression_method(method);
        match content {
            Some(bytes) => {
                zip.start_file(format!("{prefix}{name}"), options).unwrap();
                zip.write_all(&bytes).unwrap();
            }
            None => zip.add_directory(format!("{prefix}{name}"), options).unwrap(),
        }
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn zip_archives_are_read_where_they_lie() {
    let data = Array::from(ndarray::Array2::from_shape_fn((3000, 300), |(r, c)| (r * c) as f64));
    for flavour in FLAVOURS {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("s.zarr");
        let store = nested(&dir, flavour);
        store.create_array(&at("x"), &data, PLAIN, &Attrs::new()).unwrap();
        store.publish().unwrap();
        for consolidated in [false, true] {
            if consolidated {
                store.consolidate().unwrap();
            }
            for (prefix, method) in [
                ("", CompressionMethod::Stored),
                ("", CompressionMethod::Deflated),
                ("s.zarr/", CompressionMethod::Stored),
                ("s.zarr/", CompressionMethod::Deflated),
            ] {
                let path = temp.path().join("s.zarr.zip");
                fs::write(&path, zipped(&dir, prefix, method)).unwrap();
                let opened = open_read(&path.join("tables/table")).unwrap();
                assert_eq!((opened.inner, opened.root), (at("tables/table"), path.clone()));
                assert_eq!(opened.format, crate::store::Format::ZarrZip);
                let store = opened.store;
                assert_eq!(store.children(&ElemPath::root()).unwrap(), ["tables", "x"]);
                assert_eq!(store.children(&at("tables")).unwrap(), ["table", "table x"]);
                assert_eq!(read_all(&*store, &at("tables/table/obs/n")).unwrap(), Array::from_vec(vec![1_i32, 2]));
                assert!(store.node(&at("tables/no")).unwrap().is_none());
                let before = store.stats();
                let rows = [Rows::picks([2999, 5]), Rows::span(0, 300)];
                // In this order: chunks that were wanted whole are not remembered.
                assert_eq!(read_all(&*store, &at("x")).unwrap(), data);
                let whole = store.stats() - before;
                assert_eq!(store.read(&at("x"), &rows).unwrap(), data.take(&rows));
                let part = store.stats() - before - whole;
                assert!(part.bytes_read * 2 < whole.bytes_read && part.chunks < whole.chunks, "{part:?} {whole:?}");
                assert_eq!(consolidated, (store.stats().documents == 1));
                let refused = open_write(&path).err().unwrap();
                assert!(matches!(&refused, Error::Unsupported { what, .. } if what.contains("unpack")), "{refused}");
            }
        }
    }
}

#[test]
fn hostile_archives_are_errors() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, path) = (temp.path().join("s.zarr"), temp.path().join("s.zarr.zip"));
    drop(nested(&dir, Flavour::V3));
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        ZarrStore::open_zip(&path)
    };
    let good = zipped(&dir, "", CompressionMethod::Stored);
    assert!(open(&good).is_ok());
    // Names that lead out: written under harmless ones of the same length.
    for (name, evil) in [
        ("aa/zarr.json", "../zarr.json"),
        ("a/zarr.json", "/azarr.json"),
        ("a-zarr.json", "c:zarr.json"),
        ("a-zarr.json", "a\\zarr.json"),
        ("a/b/c.json", "a/./c.json"),
    ] {
        let mut zip = ZipWriter::new_append(Cursor::new(good.clone())).unwrap();
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        let failed = open(&replaced(&bytes, name, evil)).unwrap_err();
        assert!(
            matches!(&failed, Error::Malformed { what, .. } if what.contains("no path inside")),
            "{evil}: {failed}"
        );
    }
    // Cut off anywhere, the directory at the end is gone.
    for len in [4, 30, good.len() / 2, good.len() - 30, good.len() - 1] {
        assert!(matches!(open(&good[..len]), Err(Error::Malformed { .. })), "{len}");
    }
    // No store, and two.
    for prefixes in [vec!["a/b/"], vec!["a/", "b/"]] {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for prefix in prefixes {
            zip.start_file(format!("{prefix}zarr.json"), SimpleFileOptions::default()).unwrap();
        }
        let failed = open(&zip.finish().unwrap().into_inner()).unwrap_err();
        assert!(matches!(&failed, Error::NotAnnData { why, .. } if why.contains("a/")), "{failed}");
    }
    // An entry that is there twice counts as it was written last.
    let mut zip = ZipWriter::new_append(Cursor::new(good.clone())).unwrap();
    zip.start_file("zarr.jsoN", SimpleFileOptions::default()).unwrap();
    zip.write_all(json!({"zarr_format": 3, "node_type": "group", "attributes": {"new": 1}}).to_string().as_bytes())
        .unwrap();
    let twice = replaced(&zip.finish().unwrap().into_inner(), "zarr.jsoN", "zarr.json");
    assert_eq!(open(&twice).unwrap().node(&ElemPath::root()).unwrap().unwrap().attrs["new"], 1);
}

#[test]
fn zip_bombs_are_errors() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, path) = (temp.path().join("s.zarr"), temp.path().join("s.zarr.zip"));
    drop(nested(&dir, Flavour::V2));
    fs::create_dir(dir.join("bomb")).unwrap();
    fs::write(dir.join("bomb/.zarray"), v2_array(json!({})).to_string()).unwrap();
    fs::write(dir.join("bomb/0"), vec![0; 50_000_000]).unwrap();
    let bytes = zipped(&dir, "", CompressionMethod::Deflated);
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read_all(&ZarrStore::open_zip(&path).unwrap(), &at("bomb"))
    };
    assert!(matches!(read(&bytes), Err(Error::Malformed { .. })));
    // One that says it is small, and is not.
    let lies = replaced_bytes(&bytes, &50_000_000_u32.to_le_bytes(), &16_u32.to_le_bytes());
    assert!(matches!(read(&lies), Err(Error::Malformed { .. })));
    // One that holds other bytes than it was given.
    fs::write(dir.join("bomb/0"), [9; 16]).unwrap();
    let damaged = replaced_bytes(&zipped(&dir, "", CompressionMethod::Stored), &[9; 16], &[8; 16]);
    assert!(matches!(read(&damaged), Err(Error::Malformed { .. })));
}

fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    replaced_bytes(bytes, old.as_bytes(), new.as_bytes())
}

fn replaced_bytes(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut out = bytes.to_vec();
    for i in 0..=out.len() - old.len() {
        if out[i..].starts_with(old) {
            out[i..i + old.len()].copy_from_slice(new);
        }
    }
    assert_ne!(out, bytes);
    out
}

#[test]
fn links_inside_a_store_are_not_followed() {
    #[cfg(unix)]
    {
        let temp = tempfile::tempdir().unwrap();
        let (dir, other) = (temp.path().join("s.zarr"), temp.path().join("other.zarr"));
        drop(nested(&dir, Flavour::V3));
        drop(nested(&other, Flavour::V3));
        std::os::unix::fs::symlink(&other, dir.join("link")).unwrap();
        std::os::unix::fs::symlink(&dir, temp.path().join("alias.zarr")).unwrap();
        let store = ZarrStore::open_read(&temp.path().join("alias.zarr")).unwrap();
        assert_eq!(store.children(&ElemPath::root()).unwrap(), ["tables"]);
        assert!(store.node(&at("link")).unwrap().is_none());
        assert!(store.node(&at("link/tables")).unwrap().is_none());
    }
}

#[test]
fn new_arrays_take_the_dialect_of_their_neighbour() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    let store = ZarrStore::create(&dir, Flavour::V2).unwrap();
    fs::create_dir(dir.join("near")).unwrap();
    let near = v2_array(json!({"dtype": ">f8", "order": "F", "dimension_separator": "/",
        "filters": [{"id": "delta", "dtype": "<f8"}], "compressor": {"id": "zlib", "level": 3}}));
    fs::write(dir.join("near/.zarray"), near.to_string()).unwrap();
    fs::create_dir(dir.join("far")).unwrap();
    fs::write(dir.join("far/.zarray"), v2_array(json!({"compressor": {"id": "nonesuch"}})).to_string()).unwrap();
    let data = Array::from(ndarray::array![[1_i64, 2], [3, 4]]);
    for like in ["near", "far"] {
        let style = Style { like: Some(&at(like)), resizable: false };
        store.create_array(&at(&format!("like-{like}")), &data, style, &Attrs::new()).unwrap();
    }
    store.publish().unwrap();
    let doc = json_file(&dir.join("like-near/.zarray"));
    assert_eq!(doc["compressor"], json!({"id": "zlib", "level": 3}));
    assert_eq!((&doc["order"], &doc["filters"], &doc["dtype"]), (&json!("C"), &Value::Null, &json!("<i8")));
    assert!(dir.join("like-near/0/0").is_file());
    assert_eq!(json_file(&dir.join("like-far/.zarray"))["compressor"]["id"], "blosc");
    for like in ["near", "far"] {
        assert_eq!(read_all(&store, &at(&format!("like-{like}"))).unwrap(), data);
    }
}
