//! Zarr arrays in every codec and data type: what this library reads is what zarr-python reads, to the bit, and the other way
//! round.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::path::Path;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::num_complex::Complex64;
use anndata_shadow::store::{Attrs, Flavour, ReadStore, Style, WriteStore, ZarrStore, array_meta, open_read, read_all};
use anndata_shadow::{
    Array, ByteString, DatetimeMs, DatetimeNs, DatetimeS, DatetimeUs, ElemPath, Error, Records, Rows,
};
use common::{describe_array, differences, entries};
use serde_json::{Value, json};

/// Arrays that must be compared, at least.
const FLOOR: usize = 439;

#[test]
fn every_codec_and_data_type_reads_as_in_python() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(common::codecs().join("expected.json")).unwrap()).unwrap();
    let (mut compared, mut faults) = (0, Vec::new());
    for (name, arrays) in entries(&expected) {
        let store = open_read(&common::codecs().join(name)).unwrap().store;
        for (array, wanted) in entries(arrays) {
            compared += 1;
            match found(&*store, &ElemPath::parse(array).unwrap(), wanted) {
                Ok(found) => faults.extend(differences(&format!("{name} {array}"), wanted, &found)),
                Err(e) => faults.push(e.to_string()),
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(compared >= FLOOR, "only {compared} arrays compared");
}

/// An array as make_codecs.py describes it, read whole and in parts.
fn found(store: &dyn ReadStore, at: &ElemPath, wanted: &Value) -> Result<Value, Error> {
    let meta = array_meta(store, at)?;
    let whole: Vec<Rows> = meta.shape.iter().map(|&n| Rows::All(n)).collect();
    let backwards: Vec<Rows> = meta.shape.iter().map(|&n| Rows::Range { start: n - 1, step: -1, len: n }).collect();
    if wanted["fields"].is_null() {
        let array = read_all(store, at)?;
        assert!(same(&store.read(at, &backwards)?, &array.take(&backwards)), "{at} backwards");
        return Ok(described(&array));
    }
    let names: Vec<&str> = meta.fields.iter().map(|f| f.name.as_str()).collect();
    let fields = store.read_fields(at, &names, &whole)?;
    let before = store.stats();
    let turned = store.read_fields(at, &names, &backwards)?;
    // A chunk is fetched once for all of them.
    let chunks = meta.chunks.iter().flatten().zip(&meta.shape).map(|(c, n)| n.div_ceil(*c) as u64).product::<u64>();
    assert!((store.stats() - before).chunks <= chunks, "{at}");
    for (turned, field) in turned.iter().zip(&fields) {
        assert!(same(turned, &field.take(&backwards)), "{at} backwards");
    }
    let fields = names.iter().zip(&fields).map(|(&name, field)| (name.to_owned(), described(field))).collect();
    Ok(json!({"shape": meta.shape, "fields": Value::Object(fields)}))
}

/// Equality that NaN has, too.
fn same(a: &Array, b: &Array) -> bool {
    a.shape() == b.shape() && a.to_le_bytes() == b.to_le_bytes() && a.to_strings() == b.to_strings()
}

fn described(array: &Array) -> Value {
    let mut out = describe_array(array);
    if let Some(map) = out.as_object_mut() {
        map.remove("type");
    }
    out
}

fn path(text: &str) -> ElemPath {
    ElemPath::parse(text).unwrap()
}

fn encoded(kind: &str) -> Attrs {
    json!({"encoding-type": kind, "encoding-version": "0.2.0"}).as_object().unwrap().clone()
}

/// What zarr-python reads of the arrays whose names begin with `like`, against `wanted`.
fn check_in_python(store: &Path, like: &str, wanted: &Value) {
    let found = common::python("arrays.py", &json!({"path": store, "like": like}));
    let faults = differences("", wanted, &found);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

const PLAIN: Style<'static> = Style { like: None, resizable: false };
const TIMES: [i64; 4] = [0, i64::MIN, 1_577_840_523, -305_000_000];

fn samples() -> Vec<(&'static str, Array)> {
    vec![
        ("bytes", Array::from_vec([&b"ab"[..], b"", b"a\0c\xff"].map(ByteString::from).to_vec())),
        ("no bytes", Array::from_vec(vec![ByteString::default(); 2])),
        ("times s", Array::from_vec(TIMES.map(DatetimeS).to_vec())),
        ("times ms", Array::from_vec(TIMES.map(DatetimeMs).to_vec())),
        ("times us", Array::from_vec(TIMES.map(DatetimeUs).to_vec())),
        ("times ns", Array::from_vec(TIMES.map(DatetimeNs).to_vec())),
        ("never", Array::from_vec(vec![DatetimeNs(i64::MIN); 3])),
        ("text", Array::from_vec(["größe", "", "日本語"].map(str::to_owned).to_vec())),
        ("numbers", Array::from(Array2::from_shape_fn((900, 70), |(r, c)| (r * c) as f32))),
    ]
}

#[test]
fn what_is_written_is_read_in_python() {
    for flavour in [Flavour::V2, Flavour::V3, Flavour::V3Sharded] {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("s.zarr");
        let store = ZarrStore::create(&dir, flavour).unwrap();
        let mut wanted = serde_json::Map::new();
        for (name, array) in samples() {
            let kind = if name == "text" { "string-array" } else { "array" };
            store.create_array(&path(name), &array, PLAIN, &encoded(kind)).unwrap();
            wanted.insert(name.into(), described(&array));
        }
        let n = 4000;
        let mut fields = vec![
            ("n / ü".to_owned(), Array::from_vec((0..n as i32).collect())),
            ("flag".into(), Array::from_vec((0..n).map(|i| i % 3 == 0).collect())),
            ("z".into(), Array::from_vec((0..n).map(|i| Complex64::new(i as f64, f64::NAN)).collect())),
            ("text".into(), Array::from_vec((0..n).map(|i| "ü".repeat(i % 7)).collect())),
            ("bytes".into(), Array::from_vec((0..n).map(|i| ByteString(vec![b'x'; i % 5])).collect())),
        ];
        if flavour != Flavour::V2 {
            // zarr-python 3.1 writes such fields in version 3 only, but reads them in both.
            fields.push(("time".into(), Array::from_vec((0..n as i64).map(DatetimeNs).collect())));
        }
        let records = Records::new(vec![n], fields.clone()).unwrap();
        store.create_records(&path("records"), &records, PLAIN, &encoded("rec-array")).unwrap();
        let fields: serde_json::Map<String, Value> = fields.iter().map(|(n, f)| (n.clone(), described(f))).collect();
        wanted.insert("records".into(), json!({"shape": [n], "fields": fields}));
        store.publish().unwrap();
        check_in_python(&dir, "", &wanted.into());
    }
}

/// Version 3 has no fields with axes of their own; what stands for them can be read all the same.
#[test]
fn fields_with_axes_are_read_in_python() {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("s.zarr");
    let store = ZarrStore::create(&dir, Flavour::V3).unwrap();
    let own = Array::from(Array2::from_shape_fn((3, 2), |(r, c)| (r * 10 + c) as f32));
    let records = Records::new(vec![3], vec![("i".into(), Array::from_vec(vec![1_u8; 3])), ("own".into(), own)]);
    store.create_records(&path("wide"), &records.unwrap(), PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    let found = common::python("arrays.py", &json!({"path": dir, "like": ""}));
    assert_eq!(found["wide"]["fields"]["i"]["values"], json!([1, 1, 1]));
    let own = &found["wide"]["fields"]["own"];
    assert_eq!(own["fields"], json!([["0", "float32", []], ["1", "float32", []]]));
    assert_eq!(own["values"], json!([[0.0, 1.0], [10.0, 11.0], [20.0, 21.0]]));
}

/// New arrays take the codecs of their neighbour where they can be written, and readable ones where not.
#[test]
fn new_arrays_beside_every_codec_are_read_in_python() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(common::codecs().join("expected.json")).unwrap()).unwrap();
    for (name, arrays) in entries(&expected) {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join(name);
        stores::copy(&common::codecs().join(name), &dir);
        let store = ZarrStore::open_write(&dir).unwrap();
        let data = [
            Array::from(Array2::from_shape_fn((30, 20), |(r, c)| (r * c) as f64)),
            Array::from_vec((0..40).map(|i| "ü".repeat(i % 7)).collect()),
            Array::from_vec(vec![ByteString(b"ab".to_vec()), ByteString::default()]),
        ];
        let mut wanted = serde_json::Map::new();
        for (i, (like, _)) in entries(arrays).enumerate().step_by(4) {
            let (at, array) = (format!("new {i}"), &data[i % data.len()]);
            let style = Style { like: Some(&path(like)), resizable: false };
            store.create_array(&path(&at), array, style, &Attrs::new()).unwrap();
            wanted.insert(at, described(array));
        }
        store.publish().unwrap();
        for (at, wanted) in &wanted {
            assert_eq!(&described(&read_all(&store, &path(at)).unwrap()), wanted, "{name} {at}");
        }
        check_in_python(&dir, "new", &wanted.into());
    }
}
