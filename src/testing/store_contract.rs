//! The one conformance suite for stores, called for each of them.

use std::sync::Arc;

use half::f16;
use ndarray::{Array1, Array2, Array3};
use num_complex::{Complex32, Complex64};
use serde_json::json;

use crate::error::Error;
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{Attrs, ReadStore, Style, WriteStore, array_meta, read_all};
use crate::value::{Array, ByteString, DType, DatetimeMs, DatetimeNs, DatetimeS, DatetimeUs, Item, Records};

/// A new, empty store under test.
pub struct Fresh {
    /// Open for writing, with an empty root group.
    pub store: Arc<dyn WriteStore>,
    /// Opens the same store again, for reading, after `store` has been dropped.
    pub reopen: Box<dyn Fn() -> Arc<dyn ReadStore>>,
    /// Dtypes that the container has no form of its own for.
    pub lacks: &'static [DType],
    /// Whether arrays of one content are stored alike, to the byte. (The chunks of a shard are written side by side, and lie in the
    /// order in which they were done.)
    pub repeats: bool,
    /// What must live as long as the store (a temporary directory).
    pub keep: Box<dyn std::any::Any>,
}

const PLAIN: Style<'static> = Style { like: None, resizable: false };

/// Runs every check on stores made by `fresh`.
///
/// # Panics
/// If a check fails; the message names the check by its function.
pub fn store_contract(fresh: &dyn Fn() -> Fresh) {
    an_empty_store_is_a_group(&fresh());
    staged_changes_are_invisible_until_published(fresh());
    abandoned_changes_leave_no_trace(fresh());
    what_exists_is_not_created_again(&fresh());
    what_is_removed_goes_at_publishing(fresh());
    what_is_renamed_moves_at_publishing(fresh());
    arrays_that_come_in_parts_are_arrays(&fresh());
    every_dtype_and_shape_round_trips(fresh());
    structured_arrays_round_trip(fresh());
    selections_equal_cuts_in_memory(&fresh());
    bad_selections_are_errors(&fresh());
    attributes_round_trip(fresh());
    null_has_no_value(fresh());
    odd_names_work(fresh());
    chunks_are_fetched_once_and_only_if_touched(&fresh());
    fingerprints_tell_what_is_stored(fresh());
    many_threads_read_the_same(&fresh());
}

fn path(text: &str) -> ElemPath {
    ElemPath::parse(text).unwrap()
}

fn attrs(value: serde_json::Value) -> Attrs {
    value.as_object().unwrap().clone()
}

fn an_empty_store_is_a_group(fresh: &Fresh) {
    let store = &fresh.store;
    assert!(store.node(&ElemPath::root()).unwrap().unwrap().is_group());
    assert!(store.children(&ElemPath::root()).unwrap().is_empty());
    assert!(store.node(&path("x")).unwrap().is_none());
    assert!(store.node(&path("x/y")).unwrap().is_none());
    assert!(matches!(store.read(&path("x"), &[]), Err(Error::NotFound { .. })));
    assert!(matches!(store.children(&path("x")), Err(Error::NotFound { .. })));
    assert!(matches!(store.read(&ElemPath::root(), &[]), Err(Error::NotFound { .. })));
}

fn staged_changes_are_invisible_until_published(fresh: Fresh) {
    let data = Array::from_vec(vec![1.5_f32, -2.0]);
    let stage = |store: &dyn WriteStore| {
        store.create_group(&path("g"), &attrs(json!({"a": 1}))).unwrap();
        store.create_group(&path("g/h"), &Attrs::new()).unwrap();
        store.create_array(&path("g/h/x"), &data, PLAIN, &attrs(json!({"encoding-type": "array"}))).unwrap();
        store.set_attrs(&ElemPath::root(), &attrs(json!({"root": "yes"}))).unwrap();
    };
    stage(&*fresh.store);
    assert!(fresh.store.node(&path("g")).unwrap().is_none());
    assert!(fresh.store.node(&path("g/h/x")).unwrap().is_none());
    assert!(fresh.store.children(&ElemPath::root()).unwrap().is_empty());
    assert!(fresh.store.node(&ElemPath::root()).unwrap().unwrap().attrs.is_empty());
    fresh.store.publish().unwrap();
    let check = |store: &dyn ReadStore| {
        assert_eq!(store.children(&ElemPath::root()).unwrap(), ["g"]);
        assert_eq!(store.children(&path("g")).unwrap(), ["h"]);
        assert_eq!(store.node(&path("g")).unwrap().unwrap().attrs, attrs(json!({"a": 1})));
        assert_eq!(store.node(&path("g/h/x")).unwrap().unwrap().text("encoding-type"), Some("array"));
        assert_eq!(store.node(&ElemPath::root()).unwrap().unwrap().text("root"), Some("yes"));
        assert_eq!(read_all(store, &path("g/h/x")).unwrap(), data);
    };
    check(&*fresh.store);
    // A second publish adds to what the first one wrote.
    fresh.store.create_array(&path("g/h/y"), &data, PLAIN, &Attrs::new()).unwrap();
    fresh.store.publish().unwrap();
    fresh.store.publish().unwrap();
    assert_eq!(fresh.store.children(&path("g/h")).unwrap(), ["x", "y"]);
    assert!(fresh.store.stats().bytes_written >= 8);
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    check(&*reopen_last(reopen));
    drop(keep);

    fn reopen_last(reopen: Box<dyn Fn() -> Arc<dyn ReadStore>>) -> Arc<dyn ReadStore> {
        reopen()
    }
}

fn abandoned_changes_leave_no_trace(fresh: Fresh) {
    let data = Array::from_vec(vec![1_i32]);
    fresh.store.create_group(&path("g"), &Attrs::new()).unwrap();
    fresh.store.publish().unwrap();
    fresh.store.create_array(&path("g/x"), &data, PLAIN, &Attrs::new()).unwrap();
    fresh.store.set_attrs(&path("g"), &attrs(json!({"a": 1}))).unwrap();
    fresh.store.abandon().unwrap();
    fresh.store.publish().unwrap();
    assert!(fresh.store.node(&path("g/x")).unwrap().is_none());
    fresh.store.create_array(&path("g/x"), &data, PLAIN, &Attrs::new()).unwrap();
    // Dropping the store abandons too.
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    let store = reopen();
    assert_eq!(store.children(&ElemPath::root()).unwrap(), ["g"]);
    assert!(store.children(&path("g")).unwrap().is_empty());
    assert!(store.node(&path("g")).unwrap().unwrap().attrs.is_empty());
    drop(keep);
}

fn what_exists_is_not_created_again(fresh: &Fresh) {
    let (store, data) = (&fresh.store, Array::from_vec(vec![1_i32]));
    store.create_array(&path("x"), &data, PLAIN, &Attrs::new()).unwrap();
    let again = |store: &Arc<dyn WriteStore>| {
        assert!(matches!(store.create_array(&path("x"), &data, PLAIN, &Attrs::new()), Err(Error::Exists { .. })));
        assert!(matches!(store.create_group(&path("x"), &Attrs::new()), Err(Error::Exists { .. })));
        assert!(matches!(store.create_null(&path("x"), &Attrs::new()), Err(Error::Exists { .. })));
    };
    again(store);
    store.publish().unwrap();
    again(store);
    assert_eq!(read_all(&**store, &path("x")).unwrap(), data);
    assert!(matches!(store.create_group(&path("no/g"), &Attrs::new()), Err(Error::NotFound { .. })));
    assert!(matches!(store.create_array(&path("no/x"), &data, PLAIN, &Attrs::new()), Err(Error::NotFound { .. })));
    assert!(matches!(store.create_group(&path("x/g"), &Attrs::new()), Err(Error::NotFound { .. })));
    assert!(matches!(store.set_attrs(&path("no"), &attrs(json!({"a": 1}))), Err(Error::NotFound { .. })));
}

fn what_is_removed_goes_at_publishing(fresh: Fresh) {
    let store = &fresh.store;
    let (old, new) = (Array::from_vec(vec![1_i32, 2]), Array::from_vec(vec![0.5_f64]));
    for group in ["g", "g/h", "k"] {
        store.create_group(&path(group), &attrs(json!({"name": group}))).unwrap();
    }
    for array in ["x", "y", "g/x", "g/h/x", "k/x"] {
        store.create_array(&path(array), &old, PLAIN, &Attrs::new()).unwrap();
    }
    store.publish().unwrap();
    let as_before = |store: &dyn ReadStore| {
        assert_eq!(store.children(&ElemPath::root()).unwrap(), ["g", "k", "x", "y"]);
        assert_eq!(store.children(&path("g")).unwrap(), ["h", "x"]);
        assert_eq!(read_all(store, &path("g/h/x")).unwrap(), old);
    };
    for missing in [ElemPath::root(), path("no"), path("g/no")] {
        assert!(matches!(store.remove(&missing), Err(Error::NotFound { .. })), "{missing:?}");
    }
    store.create_group(&path("staged"), &Attrs::new()).unwrap();
    assert!(matches!(store.remove(&path("staged")), Err(Error::NotFound { .. })), "it is not published");
    let stage = || {
        // Gone, with what changed in it; replaced by another kind; replaced inside a group that stays.
        store.set_attrs(&path("g/h"), &attrs(json!({"changed": 1}))).unwrap();
        store.remove(&path("g")).unwrap();
        assert!(matches!(store.remove(&path("g/x")), Err(Error::NotFound { .. })), "it goes already");
        assert!(matches!(store.set_attrs(&path("g/h"), &Attrs::new()), Err(Error::NotFound { .. })));
        assert!(matches!(store.create_group(&path("g/new"), &Attrs::new()), Err(Error::NotFound { .. })));
        store.remove(&path("x")).unwrap();
        store.create_group(&path("x"), &attrs(json!({"now": "a group"}))).unwrap();
        store.create_array(&path("x/inside"), &new, PLAIN, &Attrs::new()).unwrap();
        store.remove(&path("k/x")).unwrap();
        store
            .create_array(&path("k/x"), &new, Style { like: Some(&path("k/x")), resizable: false }, &Attrs::new())
            .unwrap();
        store.set_attrs(&path("k"), &attrs(json!({"kept": true}))).unwrap();
    };
    store.abandon().unwrap();
    // What was to come below it does not come.
    store.create_group(&path("k/new"), &Attrs::new()).unwrap();
    store.remove(&path("k")).unwrap();
    store.create_group(&path("k"), &attrs(json!({"name": "k"}))).unwrap();
    store.create_array(&path("k/x"), &old, PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    assert_eq!(store.children(&path("k")).unwrap(), ["x"]);
    stage();
    as_before(&**store);
    store.abandon().unwrap();
    store.publish().unwrap();
    as_before(&**store);
    stage();
    store.publish().unwrap();
    let check = |store: &dyn ReadStore| {
        assert_eq!(store.children(&ElemPath::root()).unwrap(), ["k", "x", "y"]);
        assert!(store.node(&path("g")).unwrap().is_none() && store.node(&path("g/h/x")).unwrap().is_none());
        assert_eq!(store.node(&path("x")).unwrap().unwrap().attrs, attrs(json!({"now": "a group"})));
        assert_eq!(read_all(store, &path("x/inside")).unwrap(), new);
        assert_eq!(read_all(store, &path("k/x")).unwrap(), new);
        assert_eq!(store.node(&path("k")).unwrap().unwrap().attrs, attrs(json!({"name": "k", "kept": true})));
        assert_eq!(read_all(store, &path("y")).unwrap(), old);
    };
    check(&**store);
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    check(&*reopen());
    drop(keep);
}

fn arrays_that_come_in_parts_are_arrays(fresh: &Fresh) {
    let store = &*fresh.store;
    let line = Array::from(Array1::from_shape_fn(300_000, |i| i as i32));
    let table = Array::from(Array2::from_shape_fn((1000, 7), |(i, j)| (i * 7 + j) as f64));
    store.create_group(&path("g"), &Attrs::new()).unwrap();
    let begin = |at: &str, whole: &Array, resizable: bool| {
        let style = Style { like: None, resizable };
        store.create_array_in_parts(&path(at), whole.dtype(), whole.shape(), style, &attrs(json!({"a": at}))).unwrap()
    };
    let cut = |whole: &Array, from: usize, upto: usize| whole.take(&[Rows::span(from, upto)]);
    // Two at once, in uneven parts, one of them empty.
    let (mut one, mut two) = (begin("g/line", &line, true), begin("table", &table, false));
    for (from, upto) in [(0, 1), (1, 1), (1, 999), (999, 1000)] {
        one.put(&cut(&line, from * 300, upto * 300)).unwrap();
        two.put(&cut(&table, from, upto)).unwrap();
    }
    one.finish().unwrap();
    two.finish().unwrap();
    begin("empty", &cut(&line, 0, 0), true).finish().unwrap();
    // What does not fit is refused, and may be put right.
    let mut odd = begin("odd", &table, false);
    assert!(matches!(odd.put(&cut(&line, 0, 7)), Err(Error::WrongType { .. })));
    odd.put(&cut(&table, 0, 600)).unwrap();
    assert!(matches!(odd.put(&cut(&table, 0, 600)), Err(Error::Shape { .. })));
    assert!(matches!(odd.put(&table.take(&[Rows::span(0, 9), Rows::span(0, 2)])), Err(Error::Shape { .. })));
    assert!(matches!(odd.put(&Array::scalar(1_f64)), Err(Error::Shape { .. })));
    odd.put(&cut(&table, 600, 1000)).unwrap();
    odd.finish().unwrap();
    // What is not finished was never there; what has come meanwhile stays.
    drop(begin("dropped", &line, false));
    assert!(matches!(begin("short", &line, false).finish(), Err(Error::Shape { .. })));
    let late = begin("late", &cut(&line, 0, 0), false);
    store.create_array(&path("late"), &cut(&line, 0, 5), PLAIN, &Attrs::new()).unwrap();
    assert!(matches!(late.finish(), Err(Error::Exists { .. })));
    let refused = |dtype, shape: &[usize]| {
        let begun = store.create_array_in_parts(&path("no"), dtype, shape, PLAIN, &Attrs::new());
        matches!(begun.map(drop), Err(Error::Unsupported { .. }))
    };
    assert!(refused(DType::Str, &[3]) && refused(DType::I32, &[]));
    assert!(store.children(&ElemPath::root()).unwrap().is_empty());
    store.publish().unwrap();
    assert_eq!(store.children(&ElemPath::root()).unwrap(), ["empty", "g", "late", "odd", "table"]);
    for (at, whole) in [("g/line", &line), ("table", &table), ("odd", &table), ("late", &cut(&line, 0, 5))] {
        assert_eq!(read_all(store, &path(at)).unwrap(), *whole, "{at}");
    }
    assert_eq!(array_meta(store, &path("empty")).unwrap().shape, [0]);
    assert_eq!(store.node(&path("g/line")).unwrap().unwrap().text("a"), Some("g/line"));
}

fn what_is_renamed_moves_at_publishing(fresh: Fresh) {
    let store = &fresh.store;
    let (old, new) = (Array::from_vec(vec![1_i32, 2]), Array::from_vec(vec![0.5_f64]));
    for group in ["g", "g/h", "k"] {
        store.create_group(&path(group), &attrs(json!({"name": group}))).unwrap();
    }
    for array in ["x", "y", "z", "g/x", "g/h/x", "k/x"] {
        store.create_array(&path(array), &old, PLAIN, &attrs(json!({"name": array}))).unwrap();
    }
    store.publish().unwrap();
    let root = ElemPath::root();
    for (from, to) in [(&root, &path("new")), (&path("no"), &path("new")), (&path("x"), &path("no/x"))] {
        assert!(matches!(store.rename(from, to), Err(Error::NotFound { .. })), "{from:?} {to:?}");
    }
    assert!(matches!(store.rename(&path("x"), &path("y/x")), Err(Error::NotFound { .. })), "an array holds nothing");
    assert!(matches!(store.rename(&path("x"), &path("k/x")), Err(Error::Exists { .. })));
    assert!(matches!(store.rename(&path("g"), &path("g/h/g")), Err(Error::Unsupported { .. })));
    store.create_array(&path("g/h/new"), &new, PLAIN, &Attrs::new()).unwrap();
    assert!(matches!(store.rename(&path("g"), &path("f")), Err(Error::Unsupported { .. })), "new below it");
    assert!(matches!(store.rename(&path("g/h/new"), &path("new")), Err(Error::NotFound { .. })), "only staged");
    store.abandon().unwrap();
    let stage = || {
        // A group, then changed where it is by then, added to, and something new in its place.
        store.rename(&path("g"), &path("f")).unwrap();
        assert!(matches!(store.remove(&path("g/x")), Err(Error::NotFound { .. })));
        store.set_attrs(&path("f/h"), &attrs(json!({"changed": 1}))).unwrap();
        store.remove(&path("f/x")).unwrap();
        store.create_array(&path("f/x"), &new, PLAIN, &Attrs::new()).unwrap();
        store.create_array(&path("f/h/new"), &new, PLAIN, &Attrs::new()).unwrap();
        store.create_group(&path("g"), &attrs(json!({"now": "new"}))).unwrap();
        // In place of another; out of a group that goes; along a chain; twice.
        store.remove(&path("y")).unwrap();
        store.rename(&path("z"), &path("y")).unwrap();
        store.rename(&path("x"), &path("z")).unwrap();
        store.rename(&path("k/x"), &path("x")).unwrap();
        store.remove(&path("k")).unwrap();
        store.rename(&path("z"), &path("z2")).unwrap();
        store.rename(&path("z2"), &path("z3")).unwrap();
    };
    let as_before = |store: &dyn ReadStore| {
        assert_eq!(store.children(&root).unwrap(), ["g", "k", "x", "y", "z"]);
        assert_eq!(store.children(&path("g")).unwrap(), ["h", "x"]);
        assert_eq!(store.children(&path("g/h")).unwrap(), ["x"]);
        assert_eq!(read_all(store, &path("g/h/x")).unwrap(), old);
    };
    stage();
    as_before(&**store);
    store.abandon().unwrap();
    store.publish().unwrap();
    as_before(&**store);
    stage();
    store.publish().unwrap();
    let check = |store: &dyn ReadStore| {
        let node = |at: &str| store.node(&path(at)).unwrap().unwrap().attrs;
        assert_eq!(store.children(&root).unwrap(), ["f", "g", "x", "y", "z3"]);
        assert_eq!(store.children(&path("f")).unwrap(), ["h", "x"]);
        assert_eq!(store.children(&path("f/h")).unwrap(), ["new", "x"]);
        assert_eq!(node("f/h"), attrs(json!({"name": "g/h", "changed": 1})));
        assert_eq!((node("f"), node("g")), (attrs(json!({"name": "g"})), attrs(json!({"now": "new"}))));
        for (at, was) in [("x", "k/x"), ("y", "z"), ("z3", "x"), ("f/h/x", "g/h/x")] {
            assert_eq!(read_all(store, &path(at)).unwrap(), old);
            assert_eq!(node(at), attrs(json!({"name": was})));
        }
        for at in ["f/x", "f/h/new"] {
            assert_eq!(read_all(store, &path(at)).unwrap(), new);
        }
        assert!(store.node(&path("g/x")).unwrap().is_none() && store.node(&path("k")).unwrap().is_none());
    };
    check(&**store);
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    check(&*reopen());
    drop(keep);
}

/// Points in time that no container may lose: the epoch, `NaT`, before and after.
const TIMES: [i64; 6] = [0, i64::MIN, -1, 1, 1_577_836_800_000_000_001, i64::MAX];

/// Six items of every dtype that the store has.
fn samples(fresh: &Fresh) -> Vec<Array> {
    let mut all = all_samples();
    assert!(DType::ALL.iter().all(|d| all.iter().any(|a| a.dtype() == *d)));
    all.retain(|a| !fresh.lacks.contains(&a.dtype()));
    all
}

/// Arrays of every dtype, with the values that trip codecs.
fn all_samples() -> Vec<Array> {
    let f16s = [1.5, f32::NAN, -0.0, f32::INFINITY, 65504.0, 0.0].map(f16::from_f32).to_vec();
    vec![
        Array::from_vec(vec![true, false, false, true, true, false]),
        Array::from_vec(vec![i8::MIN, i8::MAX, 0, 1, -1, 5]),
        Array::from_vec(vec![i16::MIN, i16::MAX, 0, 1, -1, 5]),
        Array::from_vec(vec![i32::MIN, i32::MAX, 0, 1, -1, 5]),
        Array::from_vec(vec![i64::MIN, i64::MAX, 0, 1, -1, 5]),
        Array::from_vec(vec![u8::MIN, u8::MAX, 0, 1, 2, 5]),
        Array::from_vec(vec![u16::MIN, u16::MAX, 0, 1, 2, 5]),
        Array::from_vec(vec![u32::MIN, u32::MAX, 0, 1, 2, 5]),
        Array::from_vec(vec![u64::MIN, u64::MAX, 0, 1, 2, 5]),
        Array::from_vec(f16s),
        Array::from_vec(vec![1.5_f32, f32::NAN, -0.0, f32::NEG_INFINITY, f32::MIN_POSITIVE, 0.0]),
        Array::from_vec(vec![1.5_f64, f64::NAN, -0.0, f64::NEG_INFINITY, 1e308, 0.0]),
        Array::from_vec(
            [(1.0, -2.0), (0.0, 0.0), (f32::NAN, 1.0), (0.5, 0.5), (0.0, -1.0), (3.0, 0.0)]
                .map(|(re, im)| Complex32::new(re, im))
                .to_vec(),
        ),
        Array::from_vec(
            [(1.0, -2.0), (0.0, 0.0), (f64::NAN, 1.0), (0.5, 0.5), (0.0, -1.0), (3.0, 0.0)]
                .map(|(re, im)| Complex64::new(re, im))
                .to_vec(),
        ),
        Array::from_vec(["", "a", "größe (µm)", "日本語", "e\u{301} 🧬", "line\nbreak"].map(str::to_owned).to_vec()),
        Array::from_vec([&b""[..], b"a", b"\xff\xfe", b"a\0b", b"abcdef", b" "].map(ByteString::from).to_vec()),
        Array::from_vec(TIMES.map(DatetimeS).to_vec()),
        Array::from_vec(TIMES.map(DatetimeMs).to_vec()),
        Array::from_vec(TIMES.map(DatetimeUs).to_vec()),
        Array::from_vec(TIMES.map(DatetimeNs).to_vec()),
    ]
}

/// Equality to the bit: NaN equals NaN, 0.0 does not equal -0.0.
fn same(a: &Array, b: &Array) -> bool {
    let bytes = a.to_le_bytes() == b.to_le_bytes();
    a.dtype() == b.dtype() && a.shape() == b.shape() && bytes && a.to_strings() == b.to_strings()
}

fn every_dtype_and_shape_round_trips(fresh: Fresh) {
    let store = &fresh.store;
    let mut written: Vec<(ElemPath, Array)> = Vec::new();
    for sample in samples(&fresh) {
        let dtype = sample.dtype();
        let shapes: [&[usize]; 5] = [&[6], &[2, 3], &[6, 1], &[1, 2, 3], &[3, 1, 2, 1]];
        let mut arrays: Vec<Array> = shapes.iter().map(|s| sample.clone().reshape(s).unwrap()).collect();
        // One item as a scalar, all zeros (which Zarr does not store at all), and nothing.
        arrays.push(sample.take(&[Rows::span(1, 2)]).reshape(&[]).unwrap());
        arrays.push(Array::zeros(dtype, &[]));
        let empties: [&[usize]; 4] = [&[4, 3], &[0], &[0, 3], &[3, 0]];
        arrays.extend(empties.iter().map(|s| Array::zeros(dtype, s)));
        for (i, array) in arrays.into_iter().enumerate() {
            let at = path(&format!("{dtype}-{i}"));
            store.create_array(&at, &array, PLAIN, &Attrs::new()).unwrap();
            if array.ndim() == 1 {
                let grows = path(&format!("{dtype}-{i}-grows"));
                store.create_array(&grows, &array, Style { like: None, resizable: true }, &Attrs::new()).unwrap();
                written.push((grows, array.clone()));
            }
            written.push((at, array));
        }
    }
    store.publish().unwrap();
    // New arrays in the dialect of each of these.
    for (i, (like, _)) in written.clone().iter().enumerate().step_by(5) {
        let data = Array::from(Array2::from_shape_fn((7, 3), |(r, c)| (r * 3 + c) as i64));
        let text = Array::from_vec(vec!["x".to_owned(), String::new(), "ü".to_owned()]);
        for (kind, array) in [("n", data), ("s", text)] {
            let at = path(&format!("like-{kind}-{i}"));
            store.create_array(&at, &array, Style { like: Some(like), resizable: false }, &Attrs::new()).unwrap();
            written.push((at, array));
        }
    }
    store.publish().unwrap();
    let Fresh { store, reopen, keep, .. } = fresh;
    let check = |store: &dyn ReadStore| {
        for (at, array) in &written {
            let meta = array_meta(store, at).unwrap();
            assert_eq!((meta.dtype, &meta.shape[..], meta.null), (Some(array.dtype()), array.shape(), false), "{at}");
            let got = read_all(store, at).unwrap();
            assert!(same(&got, array), "{at}: {got:?} is not {array:?}");
        }
    };
    check(&*store);
    drop(store);
    check(&*reopen());
    drop(keep);
}

fn structured_arrays_round_trip(fresh: Fresh) {
    let six = |shape: &[usize]| {
        let own = Array::from(Array2::from_shape_fn((6, 2), |(r, c)| (r * 10 + c) as f32));
        let mut fields: Vec<(String, Array)> =
            samples(&fresh).into_iter().map(|a| (format!("{} / ü", a.dtype()), a.reshape(shape).unwrap())).collect();
        fields.push(("of two".into(), own.reshape(&[shape, &[2][..]].concat()).unwrap()));
        Records::new(shape.to_vec(), fields).unwrap()
    };
    let flat = six(&[6]);
    let written = [
        ("flat", flat.clone()),
        ("square", six(&[3, 2])),
        ("one", Records::new(vec![6], vec![("only".into(), flat.fields()[4].1.clone())]).unwrap()),
        ("none", flat.take(&[Rows::span(0, 0)])),
        ("zeros", Records::new(vec![4], vec![("a".into(), Array::zeros(DType::I64, &[4]))]).unwrap()),
    ];
    let tags = attrs(json!({"encoding-type": "rec-array"}));
    for (name, records) in &written {
        fresh.store.create_records(&path(name), records, PLAIN, &tags).unwrap();
    }
    fresh.store.publish().unwrap();
    let check = |store: &dyn ReadStore| {
        for (name, records) in &written {
            let at = path(name);
            let node = store.node(&at).unwrap().unwrap();
            assert_eq!(node.attrs, tags, "{name}");
            let meta = node.array().unwrap();
            assert_eq!((meta.dtype, &meta.shape[..], meta.null), (None, records.shape(), false), "{name}");
            let fields = records.fields().iter().map(|(n, f)| (n.clone(), Some(f.dtype())));
            let found = meta.fields.iter().map(|f| (f.name.clone(), f.dtype));
            assert_eq!(found.collect::<Vec<_>>(), fields.collect::<Vec<_>>(), "{name}");
            let selections =
                if records.shape().contains(&0) { vec![vec![Rows::All(0)]] } else { cuts(records.shape()) };
            for rows in selections {
                // Some of the fields, in another order.
                let wanted: Vec<&str> = records.fields().iter().rev().step_by(2).map(|(n, _)| n.as_str()).collect();
                let got = store.read_fields(&at, &wanted, &rows).unwrap();
                for (name, got) in wanted.iter().zip(got) {
                    assert!(same(&got, &records.field(name).unwrap().take(&rows)), "{at} {name} {rows:?}");
                }
            }
            let all: Vec<Rows> = records.shape().iter().map(|&n| Rows::All(n)).collect();
            assert!(matches!(store.read_fields(&at, &["no"], &all), Err(Error::NotFound { .. })));
            assert!(store.read(&at, &[Rows::All(1)]).is_err(), "{name} has no single dtype");
        }
    };
    check(&*fresh.store);
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    check(&*reopen());
    drop(keep);
}

fn cuts(shape: &[usize]) -> Vec<Vec<Rows>> {
    let axis = |n: usize| {
        vec![
            Rows::All(n),
            Rows::span(0, 0),
            Rows::span(n / 3, n / 2),
            Rows::span(n - 1, n),
            Rows::Range { start: n - 1, step: -1, len: n },
            Rows::Range { start: 1, step: 3, len: (n - 2) / 3 },
            Rows::picks([n - 1, 0, n / 2, 0, (n / 2 + 1).min(n - 1)]),
        ]
    };
    let axes: Vec<Vec<Rows>> = shape.iter().map(|&n| axis(n)).collect();
    let count = axes[0].len();
    // All pairs on the first two axes, and a walk through the rest.
    let others = if shape.len() > 1 { count } else { 1 };
    (0..count * others)
        .map(|k| {
            axes.iter()
                .enumerate()
                .map(|(i, a)| a[if i == 0 { k % count } else { (k / count + i - 1) % count }].clone())
                .collect()
        })
        .collect()
}

fn selections_equal_cuts_in_memory(fresh: &Fresh) {
    let store = &fresh.store;
    let mut arrays = vec![
        Array::from(Array1::from_iter((0..300_000_i64).map(|i| i * 7 - 5))),
        Array::from(Array2::from_shape_fn((1200, 170), |(r, c)| (r * 1000 + c) as f32)),
        Array::from(Array3::from_shape_fn((40, 30, 50), |(a, b, c)| (a * 10_000 + b * 100 + c) as i32)),
        Array::from_vec((0..5_000).map(|i| format!("cell-{i}")).collect::<Vec<_>>()),
    ];
    arrays.extend(samples(fresh).into_iter().map(|a| a.reshape(&[3, 2]).unwrap()));
    for (i, array) in arrays.iter().enumerate() {
        let at = path(&format!("a{i}"));
        store.create_array(&at, array, PLAIN, &Attrs::new()).unwrap();
    }
    store.publish().unwrap();
    for (i, array) in arrays.iter().enumerate() {
        for rows in cuts(array.shape()) {
            let got = store.read(&path(&format!("a{i}")), &rows).unwrap();
            assert!(same(&got, &array.take(&rows)), "a{i} {rows:?}");
        }
    }
}

fn bad_selections_are_errors(fresh: &Fresh) {
    let store = &fresh.store;
    store.create_array(&path("x"), &Array::zeros(DType::F32, &[4, 3]), PLAIN, &Attrs::new()).unwrap();
    store.create_array(&path("s"), &Array::scalar(3_i8), PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    let bad: [&[Rows]; 4] =
        [&[], &[Rows::All(4)], &[Rows::All(4), Rows::span(2, 4)], &[Rows::picks([0, 4]), Rows::All(3)]];
    for rows in bad {
        assert!(matches!(store.read(&path("x"), rows), Err(Error::Selection { .. })), "{rows:?}");
    }
    assert!(matches!(store.read(&path("s"), &[Rows::All(1)]), Err(Error::Selection { .. })));
    assert_eq!(store.read(&path("s"), &[]).unwrap(), Array::scalar(3_i8));
}

fn attributes_round_trip(fresh: Fresh) {
    let store = &fresh.store;
    let many: Vec<String> = (0..4_900).map(|i| format!("a column with a rather long name {i}")).collect();
    let first = attrs(json!({
        "text": "größe", "empty": "", "list": ["a", "", "日本"], "none": [], "flag": true, "off": false,
        "int": -5, "big": 3_088_286_401_i64, "float": 0.25, "shape": [700, 765], "_index": "_index",
        "column-order": ["x"],
    }));
    store.create_group(&path("g"), &first).unwrap();
    store.create_array(&path("g/x"), &Array::from_vec(vec![1_u8]), PLAIN, &first).unwrap();
    store.publish().unwrap();
    for at in ["g", "g/x"] {
        assert_eq!(store.node(&path(at)).unwrap().unwrap().attrs, first, "{at}");
    }
    store.set_attrs(&path("g"), &attrs(json!({"column-order": ["x", "y"], "new": "n"}))).unwrap();
    store.create_group(&path("wide"), &attrs(json!({ "column-order": many }))).unwrap();
    store.publish().unwrap();
    store.set_attrs(&path("wide"), &attrs(json!({ "more": 1 }))).unwrap();
    store.publish().unwrap();
    let mut second = first.clone();
    second.insert("column-order".into(), json!(["x", "y"]));
    second.insert("new".into(), json!("n"));
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    let store = reopen();
    assert_eq!(store.node(&path("g")).unwrap().unwrap().attrs, second);
    assert_eq!(store.node(&path("g/x")).unwrap().unwrap().attrs, first);
    assert_eq!(store.node(&path("wide")).unwrap().unwrap().attrs, attrs(json!({ "column-order": many, "more": 1 })));
    drop(keep);
}

fn null_has_no_value(fresh: Fresh) {
    let null = attrs(json!({"encoding-type": "null", "encoding-version": "0.1.0"}));
    fresh.store.create_null(&path("n"), &null).unwrap();
    fresh.store.publish().unwrap();
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    let node = reopen().node(&path("n")).unwrap().unwrap();
    assert_eq!(node.array().unwrap().shape, [] as [usize; 0]);
    assert_eq!(node.attrs, null);
    drop(keep);
}

fn odd_names_work(fresh: Fresh) {
    let names = ["__categories", "_index", "c", "a b", "größe (µm) .x-1", "0", "x%y", ".hidden", "日本"];
    let data = Array::from_vec(vec![1_i16, 2]);
    for name in names {
        fresh.store.create_group(&path(name), &Attrs::new()).unwrap();
        fresh.store.create_array(&path(&format!("{name}/{name}")), &data, PLAIN, &Attrs::new()).unwrap();
    }
    fresh.store.publish().unwrap();
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    let store = reopen();
    let mut sorted = names.map(str::to_owned);
    sorted.sort();
    assert_eq!(store.children(&ElemPath::root()).unwrap(), sorted);
    for name in names {
        assert_eq!(store.children(&path(name)).unwrap(), [name]);
        assert_eq!(read_all(&*store, &path(&format!("{name}/{name}"))).unwrap(), data);
    }
    drop(keep);
}

fn chunks_are_fetched_once_and_only_if_touched(fresh: &Fresh) {
    let store = &fresh.store;
    let at = path("x");
    let array = Array::from(Array2::from_shape_fn((3000, 700), |(r, c)| (1 + r * 1000 + c) as f32));
    store.create_array(&at, &array, Style { like: None, resizable: true }, &Attrs::new()).unwrap();
    store.publish().unwrap();
    let cost = |rows: &[Rows]| {
        let before = store.stats();
        store.read(&at, rows).unwrap();
        store.stats() - before
    };
    let all = [Rows::All(3000), Rows::All(700)];
    let meta = array_meta(&**store, &at).unwrap();
    if let Some(chunks) = &meta.chunks {
        let grid = |axis: usize| meta.shape[axis].div_ceil(chunks[axis]) as u64;
        assert!(grid(0) > 2, "the check needs several chunks: {chunks:?}");
        assert_eq!(cost(&all).chunks, grid(0) * grid(1));
        // One row, many times over, backwards and forwards: the chunks of that row, once each.
        assert_eq!(cost(&[Rows::picks([5, 5, 4, 5]), Rows::All(700)]).chunks, grid(1));
        assert_eq!(cost(&[Rows::span(5, 6), Rows::picks([0])]).chunks, 1);
        assert_eq!(cost(&[Rows::picks([0, 2999]), Rows::picks([3])]).chunks, 2);
    }
    assert!(cost(&[Rows::span(5, 6), Rows::All(700)]).bytes_read * 3 < cost(&all).bytes_read + 3 * 65_536);
    assert_eq!(cost(&[Rows::span(0, 0), Rows::All(700)]).chunks, 0);
}

fn fingerprints_tell_what_is_stored(fresh: Fresh) {
    let store = &fresh.store;
    let long = Array::from(Array1::from_shape_fn(400_000, |i| (i * 2_654_435_761 % 4093) as i32));
    let mut band = long.clone();
    i32::view_mut(&mut band).unwrap().iter_mut().skip(234_567).take(4000).for_each(|x| *x ^= 1 << 20);
    let short = Array::from(Array1::from_shape_fn(1000, |i| i as f64));
    let mut one = short.clone();
    f64::view_mut(&mut one).unwrap()[700] = 0.5;
    store.create_group(&path("g"), &Attrs::new()).unwrap();
    for (at, resizable) in [("fixed", false), ("grows", true)] {
        let style = Style { like: None, resizable };
        let arrays = [("long", &long), ("again", &long), ("band", &band), ("short", &short), ("one", &one)];
        for (name, array) in arrays {
            store.create_array(&path(&format!("g/{at}_{name}")), array, style, &attrs(json!({"of": name}))).unwrap();
        }
    }
    store.create_array(&path("empty"), &long.take(&[Rows::span(0, 0)]), PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    let of = |store: &dyn ReadStore, name: &str| store.fingerprint(&path(name)).unwrap().unwrap();
    let mut all = Vec::new();
    for at in ["fixed", "grows"] {
        let before = store.stats();
        let found = ["long", "again", "band", "short", "one"].map(|name| of(&**store, &format!("g/{at}_{name}")));
        assert!((store.stats() - before).bytes_read < 250_000, "{at}: of 4,800,000");
        assert!(!fresh.repeats || found[0] == found[1], "{at}: {found:?}");
        assert!(found[0] != found[2] && found[3] != found[4], "{at}: {found:?}");
        all.extend(found);
    }
    all.push(of(&**store, "empty"));
    for none in ["no", "g", "g/no"] {
        assert!(matches!(store.fingerprint(&path(none)), Err(Error::NotFound { .. })), "{none}");
    }
    let Fresh { store, reopen, keep, .. } = fresh;
    drop(store);
    let (store, mut again) = (reopen(), Vec::new());
    for at in ["fixed", "grows"] {
        again.extend(["long", "again", "band", "short", "one"].map(|name| of(&*store, &format!("g/{at}_{name}"))));
    }
    again.push(of(&*store, "empty"));
    assert_eq!(again, all, "another handle");
    drop(keep);
}

fn many_threads_read_the_same(fresh: &Fresh) {
    let store = &fresh.store;
    let at = path("x");
    let array = Array::from(Array2::from_shape_fn((500, 40), |(r, c)| (r * 1000 + c) as f64));
    store.create_array(&at, &array, PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    std::thread::scope(|scope| {
        for t in 0..8 {
            let (store, at, array) = (store, &at, &array);
            scope.spawn(move || {
                for k in 0..20 {
                    let rows = [Rows::span(t * 50, t * 50 + k + 1), Rows::Range { start: 39, step: -1, len: 40 }];
                    assert_eq!(store.read(at, &rows).unwrap(), array.take(&rows));
                }
            });
        }
    });
}
