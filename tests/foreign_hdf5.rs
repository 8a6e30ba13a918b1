//! HDF5 files of other programs, as h5py and the HDF5 plug-ins write them: types, structured arrays, filters, links,
//! attributes and user blocks; and what h5py and anndata make of the structured arrays and byte strings written here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use anndata_shadow::half::f16;
use anndata_shadow::ndarray::Array2;
use anndata_shadow::num_complex::Complex32;
use anndata_shadow::store::{Attrs, Hdf5Store, ReadStore, Style, WriteStore, array_meta, read_all};
use anndata_shadow::{Array, ByteString, DatetimeS, ElemPath, Error, Records, Rows};
use common::{differences, sha256};
use serde_json::{Value, json};

const PLAIN: Style<'static> = Style { like: None, resizable: false };

/// The files that Python has made, and what it says is in them.
struct Foreign {
    folder: tempfile::TempDir,
    wanted: Value,
}

fn foreign() -> &'static Foreign {
    static MADE: OnceLock<Foreign> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let wanted = common::python("foreign_hdf5.py", &json!({"write": folder.path()}));
        Foreign { folder, wanted }
    })
}

fn path(name: &str) -> ElemPath {
    ElemPath::parse(name).unwrap()
}

/// A selection that takes items out of order, again, and not all, on each axis.
fn some_rows(shape: &[usize]) -> Vec<Rows> {
    let axis = |&n: &usize| if n == 0 { Rows::All(0) } else { Rows::picks([n - 1, 0, n / 2, 0]) };
    shape.iter().map(axis).collect()
}

/// Compares every dataset of a file with its description. Gives how many there were.
fn check(file: &str) -> usize {
    let store = Hdf5Store::open_read(&foreign().folder.path().join(file)).unwrap();
    let mut faults = Vec::new();
    let wanted = foreign().wanted[file].as_object().unwrap();
    for (name, wanted) in wanted {
        let found = match wanted.get("refused") {
            Some(word) => refusal(&store, name, word.as_str().unwrap()),
            None if wanted.get("fields").is_some() => structured(&store, name),
            None if wanted.get("attrs").is_some() => {
                let mut attrs = wanted["attrs"].clone();
                let found = Value::Object(store.node(&path(name)).unwrap().unwrap().attrs);
                attrs.sort_all_objects();
                let faults = differences(name, &attrs, &found);
                assert!(faults.is_empty(), "{faults:?}");
                continue;
            }
            None => plain(&store, name),
        };
        match found {
            Ok(found) => faults.extend(differences(&format!("{file} {name}"), wanted, &found)),
            Err(e) => faults.push(format!("{file} {name}: {e}")),
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    wanted.len()
}

fn plain(store: &Hdf5Store, name: &str) -> Result<Value, Error> {
    let at = path(name);
    let (meta, all) = (array_meta(store, &at)?, read_all(store, &at)?);
    assert!(meta.fields.is_empty(), "{name}");
    let rows = some_rows(&meta.shape);
    assert!(same(&store.read(&at, &rows)?, &all.take(&rows)), "{name}: a part is not part of the whole");
    Ok(json!({"dtype": meta.dtype.map(|d| d.name()), "shape": meta.shape, "sha256": sha256(&all)}))
}

fn structured(store: &Hdf5Store, name: &str) -> Result<Value, Error> {
    let at = path(name);
    let meta = array_meta(store, &at)?;
    assert_eq!(meta.dtype, None, "{name}");
    let (all, rows): (Vec<Rows>, _) = (meta.shape.iter().map(|&n| Rows::All(n)).collect(), some_rows(&meta.shape));
    let known: Vec<&str> = meta.fields.iter().filter(|f| f.dtype.is_some()).map(|f| &f.name[..]).collect();
    let before = store.stats();
    let whole: BTreeMap<&str, Array> = known.iter().copied().zip(store.read_fields(&at, &known, &all)?).collect();
    if let Some(chunks) = &meta.chunks {
        let count: usize = meta.shape.iter().zip(chunks).map(|(&n, &k)| n.div_ceil(k)).product();
        assert_eq!((store.stats() - before).chunks, count as u64, "{name}: each chunk once, for all fields");
    }
    // In another order, one of them twice, of some rows.
    let wanted: Vec<&str> = known.iter().rev().copied().chain(known.first().copied()).collect();
    for (name, part) in wanted.iter().zip(store.read_fields(&at, &wanted, &rows)?) {
        assert!(same(&part, &whole[name].take(&rows)), "{at} {name}: a part is not part of the whole");
    }
    let fields = meta.fields.iter().map(|f| {
        let items = whole.get(&f.name[..]);
        if let Some(items) = items {
            assert_eq!((items.shape(), Some(items.dtype())), (&[&meta.shape[..], &f.shape].concat()[..], f.dtype));
        } else {
            let refused = store.read_fields(&at, &[&f.name], &all);
            assert!(matches!(refused, Err(Error::Unsupported { .. })), "{at} {}: {refused:?}", f.name);
        }
        json!([f.name, f.dtype.map(|d| d.name()), f.shape, items.map(sha256)])
    });
    let fields: Vec<Value> = fields.collect();
    assert!(store.read(&at, &all).is_err(), "{name} has no single dtype");
    Ok(json!({"shape": meta.shape, "fields": fields}))
}

/// What cannot be read is listed all the same, and the refusal says why.
fn refusal(store: &Hdf5Store, name: &str, word: &str) -> Result<Value, Error> {
    let at = path(name);
    let meta = array_meta(store, &at)?;
    let refused = store.read(&at, &meta.shape.iter().map(|&n| Rows::All(n)).collect::<Vec<_>>());
    let typed = matches!(refused, Err(Error::Unsupported { .. } | Error::Malformed { .. }));
    let text = refused.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(typed && text.contains(&format!("`{name}`")) && text.contains(word), "{name}: {text}");
    let mut found = json!({ "refused": word });
    if word.contains("dataset") || word.contains("files") {
        found["shape"] = json!(meta.shape);
    }
    Ok(found)
}

fn same(a: &Array, b: &Array) -> bool {
    (a.dtype(), a.shape(), sha256(a)) == (b.dtype(), b.shape(), sha256(b))
}

#[test]
fn types_and_structured_arrays() {
    assert_eq!(check("types.h5"), 60);
}

#[test]
fn filters() {
    assert_eq!(check("filters.h5"), 49);
}

#[test]
fn attributes() {
    assert_eq!(check("attrs.h5"), 2);
}

#[test]
fn links_stay_inside_the_file() {
    assert_eq!(check("links.h5"), 6);
    let store = Hdf5Store::open_read(&foreign().folder.path().join("links.h5")).unwrap();
    let children = |at: &str| store.children(&path(at)).unwrap();
    assert_eq!(children(""), ["elsewhere", "g", "growing virtual", "soft", "virtual"]);
    // Links back to a group on the way are followed, as often as a path says; whoever walks must end.
    assert_eq!(children("g"), ["deeper", "sibling", "up", "x"]);
    assert_eq!(children("g/up/deeper/up"), children("g"));
    for absent in ["ring", "gnir", "dangling", "outside", "outside group", "through outside", "outside group/x"] {
        assert!(store.node(&path(absent)).unwrap().is_none(), "{absent}");
        assert!(matches!(read_all(&store, &path(absent)), Err(Error::NotFound { .. })), "{absent}");
    }
}

#[test]
fn new_arrays_beside_filters_that_only_read_are_gzipped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("filters.h5");
    fs::copy(foreign().folder.path().join("filters.h5"), &file).unwrap();
    let likes = [
        "zstd 1",
        "blosc lz4 1",
        "lz4 0",
        "bitshuffle lz4 0",
        "bzip2",
        "shuffle zstd fletcher32",
        "scale-offset ints",
        "n-bit",
    ];
    let data = Array::from(Array2::from_shape_fn((90, 40), |(r, c)| (r * c) as f64));
    let store = Hdf5Store::open_write(&file).unwrap();
    for like in likes {
        let style = Style { like: Some(&path(like)), resizable: false };
        store.create_array(&path(&format!("like {like}")), &data, style, &Attrs::new()).unwrap();
    }
    let style = Style { like: Some(&path("zstd 1")), resizable: false };
    store.create_records(&path("records like"), &records(), style, &Attrs::new()).unwrap();
    store.publish().unwrap();
    drop(store);
    let mut names: Vec<String> = likes.iter().map(|like| format!("like {like}")).collect();
    names.push("records like".into());
    let answer = common::python("foreign_hdf5.py", &json!({"read": file, "paths": names}));
    let found = &answer["records like"];
    assert_eq!(
        (&found["filters"], &found["answers"][0]["fields"][0][3]),
        (&json!([1]), &json!(sha256(&records().fields()[0].1)))
    );
    for (name, like) in names.iter().zip(likes) {
        let filters = if like.starts_with("shuffle") { json!([2, 1, 3]) } else { json!([1]) };
        assert_eq!(answer[name]["filters"], filters, "{name}");
        assert_eq!(answer[name]["answers"][0]["sha256"], json!(sha256(&data)), "{name}");
    }
}

#[test]
fn damaged_chunks_are_errors() {
    let whole = fs::read(foreign().folder.path().join("filters.h5")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.h5");
    let damages: [fn(&mut [u8]); 5] = [
        |chunk| chunk.fill(0),
        |chunk| chunk.fill(0xff),
        |chunk| chunk.iter_mut().skip(16).step_by(11).for_each(|byte| *byte ^= 0x55),
        |chunk| chunk.iter_mut().take(12).for_each(|byte| *byte = byte.wrapping_mul(3)),
        |chunk| chunk.rotate_left(1),
    ];
    let (mut read, mut refused, mut said) = (0, 0, String::new());
    for (name, chunks) in foreign().wanted["chunks"].as_object().unwrap() {
        for damage in damages {
            let mut bytes = whole.clone();
            for chunk in chunks.as_array().unwrap() {
                let [at, length] = [0, 1].map(|i| chunk[i].as_u64().unwrap() as usize);
                damage(&mut bytes[at..at + length]);
            }
            fs::write(&file, bytes).unwrap();
            let store = Hdf5Store::open_read(&file).unwrap();
            let error = match array_meta(&store, &path(name)).unwrap() {
                meta if meta.fields.is_empty() => read_all(&store, &path(name)).err(),
                meta => store.read_fields(&path(name), &["n"], &[Rows::All(meta.shape[0])]).err(),
            };
            match error {
                Some(error) => {
                    refused += 1;
                    said += &error.to_string();
                }
                None => read += 1,
            }
        }
    }
    assert!(refused > 150, "{read} read, {refused} refused");
    for filter in ["zstd", "blosc", "lz4", "bitshuffle", "bzip2"] {
        assert!(said.contains(&format!("not a chunk of the {filter} filter")), "{filter}");
    }
}

#[test]
fn texts_in_heaps_of_any_length_and_order() {
    assert_eq!(check("texts.h5"), 3);
    // Who has the file open for writing gets them from the library.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("texts.h5");
    fs::copy(foreign().folder.path().join("texts.h5"), &file).unwrap();
    let names = ["mixed", "long", "never_written"];
    let read = |store: &Hdf5Store| names.map(|name| read_all(store, &path(name)).unwrap());
    let ours = read(&Hdf5Store::open_read(&file).unwrap());
    assert!(ours == read(&Hdf5Store::open_write(&file).unwrap()));
}

#[test]
fn user_blocks_are_kept() {
    for (name, size) in [("block512.h5", 512), ("block4096.h5", 4096)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::copy(foreign().folder.path().join(name), &file).unwrap();
        let before = fs::read(&file).unwrap();
        let numbers = Array::from_vec((0..100_000_i64).collect::<Vec<_>>());
        let stage = |store: &Hdf5Store| {
            store.create_array(&path("g/new"), &numbers, PLAIN, &Attrs::new()).unwrap();
            store.set_attrs(&path("g"), json!({"a": "new"}).as_object().unwrap()).unwrap();
        };
        let store = Hdf5Store::open_write(&file).unwrap();
        stage(&store);
        drop(store);
        assert!(fs::read(&file).unwrap() == before, "{name}: nothing was published");
        let store = Hdf5Store::open_write(&file).unwrap();
        stage(&store);
        store.publish().unwrap();
        assert_eq!(read_all(&store, &path("g/new")).unwrap(), numbers);
        drop(store);
        let after = fs::read(&file).unwrap();
        assert!(after[..size] == before[..size], "{name}: the user block");
        let store = Hdf5Store::open_read(&file).unwrap();
        assert_eq!(store.node(&path("g")).unwrap().unwrap().text("a"), Some("new"));
        assert_eq!(read_all(&store, &path("g/x")).unwrap(), Array::from_vec((0..10).collect::<Vec<i32>>()));
        drop(store);
        let answer = common::python("foreign_hdf5.py", &json!({"read": file, "paths": ["g/new", "g/x"]}));
        assert_eq!(answer["g/new"]["answers"][0]["sha256"], json!(sha256(&numbers)), "{name}");
    }
}

fn texts(items: &[&str]) -> Array {
    Array::from_vec(items.iter().map(|&t| t.to_owned()).collect())
}

fn bytes(items: &[&[u8]]) -> Array {
    Array::from_vec(items.iter().map(|&b| ByteString::from(b)).collect())
}

fn records() -> Records {
    let pairs = [(1.0, -2.0), (0.0, f32::NAN), (0.5, 0.5)].map(|(re, im)| Complex32::new(re, im));
    let own = Array2::from_shape_fn((3, 2), |(r, c)| (r * 10 + c) as f64);
    let fields = vec![
        ("b", Array::from_vec(vec![true, false, true])),
        ("i", Array::from_vec(vec![i8::MIN, 0, 5])),
        ("u", Array::from_vec(vec![u64::MAX, 0, 5])),
        ("h", Array::from_vec([1.5, -0.0, 65504.0].map(f16::from_f32).to_vec())),
        ("c", Array::from_vec(pairs.to_vec())),
        ("größe / µm", texts(&["", "日本語", "x"])),
        ("s", bytes(&[b"", b"abc", b"x"])),
        ("f", Array::from_vec(vec![0.1_f64, f64::NAN, -0.0])),
        ("own axes", Array::from(own)),
        ("texts", Array::from(Array2::from_shape_fn((3, 2), |(r, c)| format!("{r}{c}")))),
    ];
    Records::new(vec![3], fields.into_iter().map(|(name, data)| (name.to_owned(), data)).collect()).unwrap()
}

#[test]
fn structured_arrays_and_byte_strings_are_read_by_h5py_and_anndata() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("main.h5ad");
    stores::copy(&common::fixtures().join("main.h5ad"), &file);
    let tagged = |kind: &str| json!({"encoding-type": kind, "encoding-version": "0.2.0"}).as_object().unwrap().clone();
    let (rec, array) = (tagged("rec-array"), tagged("array"));
    let store = Hdf5Store::open_write(&file).unwrap();
    let strings = bytes(&[b"", b"abcdef", b"x\xff", b"a\0b"]);
    let many =
        Records::new(vec![5000], vec![("n".into(), Array::from_vec((0..5000_i32).collect::<Vec<_>>()))]).unwrap();
    store.create_records(&path("uns/rec"), &records(), PLAIN, &rec).unwrap();
    store.create_records(&path("uns/chunked"), &many, Style { like: None, resizable: true }, &rec).unwrap();
    store.create_records(&path("uns/none"), &records().take(&[Rows::span(0, 0)]), PLAIN, &rec).unwrap();
    store.create_array(&path("uns/bytes"), &strings, PLAIN, &array).unwrap();
    store.create_array(&path("uns/no bytes"), &bytes(&[b"", b""]), PLAIN, &array).unwrap();
    store.publish().unwrap();
    drop(store);

    let names = ["uns/rec", "uns/chunked", "uns/none", "uns/bytes", "uns/no bytes"];
    let answer = common::python("foreign_hdf5.py", &json!({"read": file, "paths": names}));
    let described = |records: &Records, bytes: &str| {
        let fields = records.fields().iter().map(|(name, field)| {
            let (dtype, sha) = match field {
                Array::Bytes(_) => {
                    (bytes, sha256(&texts(&field.to_strings().iter().map(|t| &t[..]).collect::<Vec<_>>())))
                }
                other => (other.dtype().name(), sha256(other)),
            };
            json!([name, dtype, field.shape()[records.shape().len()..], sha])
        });
        json!({"shape": records.shape(), "fields": fields.collect::<Vec<_>>()})
    };
    let mut faults = Vec::new();
    for (name, records) in [("uns/rec", &records()), ("uns/chunked", &many)] {
        // anndata takes byte strings for text, as this library does.
        for (found, bytes) in answer[name]["answers"].as_array().unwrap().iter().zip(["bytes3", "string"]) {
            faults.extend(differences(name, &described(records, bytes), found));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(
        answer["uns/rec"]["type"],
        "{b: enum FALSE=0 TRUE=1, i: int8, u: uint64, h: float16, c: {r: float32, i: float32}, größe / µm: text utf8 vlen ended, \
         s: text ascii 3 padded, f: float64, own axes: float64[2], texts: text utf8 vlen ended[2]}"
    );
    assert!(answer["uns/chunked"]["chunks"][0].as_u64().is_some_and(|n| n < 5000));
    assert_eq!(answer["uns/bytes"]["type"], "text ascii 6 padded");
    assert_eq!(answer["uns/no bytes"]["type"], "text ascii 1 padded");
    for found in answer["uns/bytes"]["answers"].as_array().unwrap() {
        assert_eq!((&found["dtype"], &found["shape"]), (&json!("bytes6"), &json!([4])));
    }
}

#[test]
fn what_a_compound_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Hdf5Store::create(&folder.path().join("x.h5")).unwrap();
    let one = |name: &str, field: Array| Records::new(vec![1], vec![(name.to_owned(), field)]).unwrap();
    let number = || Array::from_vec(vec![1]);
    let no_items = Array::from_vec(Vec::<f32>::new()).reshape(&[1, 0]).unwrap();
    let bad = [
        one("", number()),
        one("a\0b", number()),
        one("x", texts(&["a\0b"])),
        one("x", no_items),
        one("x", Array::from_vec(vec![DatetimeS(0)])),
    ];
    for records in bad {
        let refused = store.create_records(&path("x"), &records, PLAIN, &Attrs::new());
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    }
    let times = store.create_array(&path("x"), &Array::from_vec(vec![DatetimeS(0)]), PLAIN, &Attrs::new());
    assert!(
        matches!(&times, Err(Error::Unsupported { .. })) && times.unwrap_err().to_string().contains("datetime64[s]")
    );
    store.publish().unwrap();
    assert!(store.children(&ElemPath::root()).unwrap().is_empty());
    assert!(Path::new(store.location()).exists());
}
