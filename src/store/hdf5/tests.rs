//! The store contract on files, and what only HDF5 can get wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing check is a panic")]

mod direct;
mod transactions;

use std::path::PathBuf;
use std::sync::Arc;

use hdf5_metno::types::{FixedAscii, FixedUnicode};
use serde_json::json;

use super::ffi::{Items, Space};
use super::*;
use crate::store::{Attrs, Style, WriteStore, array_meta, read_all};
use crate::testing::{Fresh, store_contract};
use crate::value::{DType, Records};

const PLAIN: Style<'static> = Style { like: None, resizable: false };

struct Temp {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

fn temp() -> Temp {
    let dir = tempfile::tempdir().unwrap();
    Temp { path: dir.path().join("x.h5ad"), _dir: dir }
}

fn path(text: &str) -> ElemPath {
    ElemPath::parse(text).unwrap()
}

fn attrs(value: serde_json::Value) -> Attrs {
    value.as_object().unwrap().clone()
}

fn ints(n: i32) -> Array {
    Array::from_vec((0..n).collect::<Vec<_>>())
}

/// Calls `with` with the open HDF5 file.
fn inside<T>(store: &Hdf5Store, with: impl FnOnce(&Id) -> T) -> T {
    with(store.file.read().as_ref().unwrap())
}

#[test]
fn keeps_the_store_contract() {
    store_contract(&|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.h5ad");
        let store = Arc::new(Hdf5Store::create(&path).unwrap());
        let reopen = Box::new(move || Arc::new(Hdf5Store::open_read(&path).unwrap()) as Arc<dyn ReadStore>);
        // Fixed bytes are text to HDF5; for points in time it has nothing that h5py reads.
        let lacks = &[DType::Bytes, DType::DatetimeS, DType::DatetimeMs, DType::DatetimeUs, DType::DatetimeNs];
        Fresh { store, reopen, lacks, repeats: true, keep: Box::new(dir) }
    });
}

#[test]
fn takes_the_filters_of_a_neighbour() {
    let temp = temp();
    let file = hdf5_metno::File::create(&temp.path).unwrap();
    let old = file.new_dataset::<f32>().shape((600, 50)).chunk((10, 10)).shuffle().deflate(7).create("old").unwrap();
    old.write(&ndarray::Array2::<f32>::zeros((600, 50))).unwrap();
    file.new_dataset::<i32>().shape(100).chunk(10).lzf().create("lzf").unwrap();
    drop((old, file));
    let store = Hdf5Store::open_write(&temp.path).unwrap();
    let texts = Array::from_vec((0..500).map(|i| format!("t{i}")).collect::<Vec<_>>());
    let numbers = Array::from_vec((0..30_000_i32).map(|i| i / 1000).collect::<Vec<_>>());
    for like in ["old", "lzf"] {
        let style = Style { like: Some(&path(like)), resizable: false };
        store.create_array(&path(&format!("{like}-ints")), &numbers, style, &Attrs::new()).unwrap();
        store.create_array(&path(&format!("{like}-texts")), &texts, style, &Attrs::new()).unwrap();
        store
            .create_array(&path(&format!("{like}-empty")), &Array::zeros(DType::F64, &[0, 3]), style, &Attrs::new())
            .unwrap();
    }
    store.publish().unwrap();
    for (like, ids) in [("old", &[2, 1][..]), ("lzf", &[32000])] {
        let at = path(&format!("{like}-ints"));
        let filters =
            inside(&store, |file| ffi::layout(&store.find(file, &at, Kind::Dataset).unwrap()).unwrap().filters);
        assert_eq!(filters.iter().map(|f| f.id).collect::<Vec<_>>(), ids);
        let before = store.stats();
        assert_eq!(read_all(&store, &at).unwrap(), numbers);
        assert!((store.stats() - before).bytes_read < 100_000, "compressed bytes are counted");
        assert_eq!(read_all(&store, &path(&format!("{like}-texts"))).unwrap(), texts);
        assert_eq!(array_meta(&store, &path(&format!("{like}-empty"))).unwrap().chunks, None);
    }
}

#[test]
fn reads_what_others_write() {
    let temp = temp();
    let file = hdf5_metno::File::create(&temp.path).unwrap();
    let group = file.create_group("g").unwrap();
    let fixed = [FixedAscii::<5>::from_ascii("ab").unwrap(), FixedAscii::from_ascii("").unwrap()];
    group.new_dataset_builder().with_data(&fixed).create("ascii").unwrap();
    let text: FixedUnicode<8> = "größe".parse().unwrap();
    group.new_attr::<FixedUnicode<8>>().create("encoding-type").unwrap().write_scalar(&text).unwrap();
    group.new_attr_builder().with_data(&fixed).create("names").unwrap();
    group.new_attr_builder().with_data(&ndarray::arr2(&[[1_u8, 2], [3, 4]])).create("grid").unwrap();
    group.new_attr::<num_complex::Complex32>().create("complex").unwrap();
    group.new_attr::<f64>().create("nan").unwrap().write_scalar(&f64::NAN).unwrap();
    file.new_dataset::<i32>().shape([1 << 40, 1 << 20]).chunk([1, 4]).create("vast").unwrap();
    file.new_dataset::<hdf5_metno::types::VarLenUnicode>().shape(3).create("unwritten").unwrap();
    file.link_soft("/g/ascii", "soft").unwrap();
    file.link_soft("/g/nothing", "dangling").unwrap();
    file.link_soft("loop", "loop").unwrap();
    let other = temp.path.with_file_name("other.h5ad");
    drop(hdf5_metno::File::create(&other).unwrap());
    file.link_external("other.h5ad", "/", "elsewhere").unwrap();
    file.link_soft("/elsewhere", "roundabout").unwrap();
    assert!(file.group("roundabout").is_ok(), "HDF5 itself follows such links");
    drop((group, file));
    let store = Hdf5Store::open_write(&temp.path).unwrap();
    let ascii = Array::from_vec(vec!["ab".to_owned(), String::new()]);
    assert_eq!(read_all(&store, &path("g/ascii")).unwrap(), ascii);
    assert_eq!(read_all(&store, &path("soft")).unwrap(), ascii);
    assert_eq!(
        store.node(&path("g")).unwrap().unwrap().attrs,
        attrs(json!({"encoding-type": "größe", "names": ["ab", ""], "grid": [[1, 2], [3, 4]]}))
    );
    for absent in ["dangling", "loop", "soft/x", "elsewhere", "roundabout"] {
        assert!(store.node(&path(absent)).unwrap().is_none(), "{absent}");
    }
    assert!(matches!(store.create_group(&path("dangling"), &Attrs::new()), Err(Error::Exists { .. })));
    assert_eq!(store.children(&ElemPath::root()).unwrap(), ["g", "soft", "unwritten", "vast"]);
    assert_eq!(read_all(&store, &path("unwritten")).unwrap().to_strings(), ["", "", ""]);
    assert!(matches!(read_all(&store, &path("vast")), Err(Error::Malformed { .. })));
    let (before, one) = (store.stats(), [Rows::picks([7]), Rows::span(0, 2)]);
    assert_eq!(store.read(&path("vast"), &one).unwrap().to_i64().unwrap(), [0, 0]);
    assert_eq!(store.stats(), before, "a chunk that was never written is not counted");
}

/// Makes a dataset `x` of whatever type behind the store's back.
fn put(store: &Hdf5Store, dtype: &Type, space: &Space, bytes: &[u8]) {
    inside(store, |file| {
        let dataset = ffi::new_dataset(file, dtype, space, &ffi::Layout::default(), false).unwrap();
        ffi::write_fixed(Items::Whole(&dataset), dtype, bytes).unwrap();
        ffi::link(&dataset, file, "x").unwrap();
    });
}

#[test]
fn big_endian_becomes_native() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let (dtype, space) =
        (Type::integer(4, true).and_then(|dtype| dtype.big_endian()).unwrap(), Space::new(&[2], false).unwrap());
    put(&store, &dtype, &space, &[0, 0, 1, 0, 255, 255, 255, 255]);
    assert_eq!(read_all(&store, &path("x")).unwrap(), Array::from_vec(vec![256_i32, -1]));
    assert_eq!(array_meta(&store, &path("x")).unwrap().stored, "big-endian int32");
}

#[test]
fn complex_numbers_of_their_own_class_are_read() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let numbers =
        Array::from_vec([(1.5, -2.0), (0.0, f64::MAX)].map(|(re, im)| num_complex::Complex64::new(re, im)).to_vec());
    let (dtype, space) = (Type::complex(8).unwrap(), Space::new(&[2], false).unwrap());
    put(&store, &dtype, &space, &numbers.to_le_bytes());
    assert_eq!(read_all(&store, &path("x")).unwrap(), numbers);
    assert_eq!(array_meta(&store, &path("x")).unwrap().stored, "complex128");
}

#[test]
fn text_that_is_not_utf8_is_malformed() {
    let temp = temp();
    let file = hdf5_metno::File::create(&temp.path).unwrap();
    file.new_dataset_builder().with_data(&[FixedAscii::<4>::from_ascii("a~b").unwrap()]).create("x").unwrap();
    drop(file);
    let mut bytes = fs::read(&temp.path).unwrap();
    let at = bytes.windows(3).position(|w| w == b"a~b").unwrap();
    bytes[at + 1] = 0xff;
    fs::write(&temp.path, bytes).unwrap();
    let store = Hdf5Store::open_read(&temp.path).unwrap();
    assert!(matches!(read_all(&store, &path("x")), Err(Error::Malformed { .. })));
}

#[test]
fn spans_of_unchunked_data_are_few_and_small() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let array = Array::from(ndarray::Array2::from_shape_fn((40_000, 100), |(r, c)| (r * 100 + c) as f32));
    store.create_array(&path("x"), &array, PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    let cost = |rows: Rows| {
        let (before, rows) = (store.stats(), [rows, Rows::All(100)]);
        assert_eq!(store.read(&path("x"), &rows).unwrap(), array.take(&rows));
        store.stats() - before
    };
    // Rows of 400 bytes: 40 of them fit a gap.
    let near = cost(Rows::picks([480, 400, 440, 400]));
    assert_eq!((near.chunks, near.bytes_read), (1, 81 * 400));
    let far = cost(Rows::picks([0, 39_999, 20_000]));
    assert_eq!((far.chunks, far.bytes_read), (3, 3 * 400));
    assert_eq!(cost(Rows::All(40_000)).bytes_read, 40_000 * 400);
}

#[test]
fn damaged_files_are_errors() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    store.create_group(&path("g"), &attrs(json!({"a": ["b", "c"]}))).unwrap();
    store.create_array(&path("g/x"), &ints(1000), Style { like: None, resizable: true }, &Attrs::new()).unwrap();
    store.publish().unwrap();
    drop(store);
    let whole = fs::read(&temp.path).unwrap();
    fs::write(&temp.path, &whole[..whole.len() / 2]).unwrap();
    let error = Hdf5Store::open_read(&temp.path).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("the file is truncated"), "{error}");
    // Garbage anywhere must not do worse than fail.
    for at in (8..whole.len()).step_by(61) {
        let mut bytes = whole.clone();
        for byte in bytes.iter_mut().skip(at).take(8) {
            *byte = !*byte;
        }
        fs::write(&temp.path, bytes).unwrap();
        if let Ok(store) = Hdf5Store::open_read(&temp.path) {
            let _ = (store.children(&ElemPath::root()), store.node(&path("g")), read_all(&store, &path("g/x")));
        }
    }
}

#[test]
fn heaps_without_end_are_errors() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let texts = |n| Array::from_vec((0..n).map(|i| format!("text number {i}")).collect::<Vec<_>>());
    store.create_array(&path("few"), &texts(3), PLAIN, &Attrs::new()).unwrap();
    store.create_array(&path("one"), &Array::from_vec(vec!["x".repeat(100_000)]), PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    drop(store);
    let whole = fs::read(&temp.path).unwrap();
    let heaps: Vec<usize> = whole.windows(5).enumerate().filter(|(_, w)| w == b"GCOL\x01").map(|(at, _)| at).collect();
    assert!(heaps.len() > 1, "{heaps:?}");
    for at in heaps {
        // HDF5 would look at the first object of each heap for ever.
        let mut bytes = whole.clone();
        bytes[at + 16..at + 32].fill(0);
        fs::write(&temp.path, bytes).unwrap();
        let store = Hdf5Store::open_read(&temp.path).unwrap();
        let read = ["few", "one"].map(|name| read_all(&store, &path(name)));
        let refused = read.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect::<Vec<_>>();
        assert!(refused.len() == 1 && refused[0].contains("the heap of texts"), "{at}: {refused:?}");
    }
}

#[test]
fn heaps_without_end_are_errors_in_structured_arrays() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let fields = vec![
        ("n".to_owned(), ints(3)),
        ("text".to_owned(), Array::from_vec(["a", "b", "c"].map(str::to_owned).to_vec())),
    ];
    let records = Records::new(vec![3], fields).unwrap();
    store.create_records(&path("records"), &records, PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    drop(store);
    let mut bytes = fs::read(&temp.path).unwrap();
    let heap = bytes.windows(5).position(|w| w == b"GCOL\x01").unwrap();
    bytes[heap + 16..heap + 32].fill(0);
    fs::write(&temp.path, bytes).unwrap();
    let store = Hdf5Store::open_read(&temp.path).unwrap();
    assert_eq!(store.read_fields(&path("records"), &["n"], &[Rows::All(3)]).unwrap(), [ints(3)]);
    let error = store.read_fields(&path("records"), &["text", "n"], &[Rows::All(3)]).unwrap_err().to_string();
    assert!(error.contains("the heap of texts") && error.contains("records"), "{error}");
}

#[test]
fn the_system_says_why_a_file_cannot_be_opened() {
    let temp = temp();
    let kind = |error: Error| match error {
        Error::Io { source, .. } => source.kind(),
        other => panic!("{other}"),
    };
    assert_eq!(kind(Hdf5Store::open_read(&temp.path).unwrap_err()), io::ErrorKind::NotFound);
    assert_eq!(kind(Hdf5Store::open_read(temp.path.parent().unwrap()).unwrap_err()), io::ErrorKind::IsADirectory);
    drop(Hdf5Store::create(&temp.path).unwrap());
    assert_eq!(kind(Hdf5Store::create(&temp.path).unwrap_err()), io::ErrorKind::AlreadyExists);
    let mut permissions = fs::metadata(&temp.path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&temp.path, permissions).unwrap();
    // An administrator may write all the same.
    if OpenOptions::new().write(true).open(&temp.path).is_err() {
        assert_eq!(kind(Hdf5Store::open_write(&temp.path).unwrap_err()), io::ErrorKind::PermissionDenied);
    }
    let store = Hdf5Store::open_read(&temp.path).unwrap();
    assert!(matches!(store.create_group(&path("g"), &Attrs::new()), Err(Error::ReadOnly { .. })));
}

#[test]
fn many_readers_or_one_writer() {
    let temp = temp();
    let busy = |opened: Result<Hdf5Store>| matches!(opened, Err(Error::Busy { .. }));
    let writer = Hdf5Store::create(&temp.path).unwrap();
    assert!(busy(Hdf5Store::open_read(&temp.path)) && busy(Hdf5Store::open_write(&temp.path)));
    drop(writer);
    let readers = [(); 2].map(|()| Hdf5Store::open_read(&temp.path).unwrap());
    let error = Hdf5Store::open_write(&temp.path).unwrap_err();
    assert!(error.to_string().contains("this process has it open; close it"), "{error}");
    drop(readers);
    let other = hdf5_metno::File::open_rw(&temp.path).unwrap();
    assert!(busy(Hdf5Store::open_read(&temp.path)));
    drop(other);
    drop(Hdf5Store::open_write(&temp.path).unwrap());
}

#[test]
#[cfg(unix)]
fn a_lock_of_another_process_is_respected() {
    let temp = temp();
    drop(Hdf5Store::create(&temp.path).unwrap());
    // Locks belong to the open file, so that another handle of this process stands for another process.
    let other = OpenOptions::new().read(true).write(true).open(&temp.path).unwrap();
    other.lock().unwrap();
    let error = Hdf5Store::open_read(&temp.path).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.to_string().contains("close it there first"), "{error}");
    // As that of a child would be, it goes under the name of this process.
    assert!(!cfg!(target_os = "linux") || error.to_string().contains("or one forked from it"), "{error}");
    other.unlock().unwrap();
    other.lock_shared().unwrap();
    assert!(matches!(Hdf5Store::open_write(&temp.path), Err(Error::Busy { .. })));
    assert!(Hdf5Store::open_read(&temp.path).is_ok());
}

#[test]
fn a_failed_publishing_leaves_everything_as_it_was() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let old = attrs(json!({"text": "old", "list": ["a", "b"], "n": 1}));
    for name in ["g", "z"] {
        store.create_group(&path(name), &old).unwrap();
    }
    store.create_array(&path("old"), &ints(7), PLAIN, &old).unwrap();
    store.publish().unwrap();
    let stage = || {
        store.create_array(&path("a"), &ints(10), PLAIN, &Attrs::new()).unwrap();
        store.create_array(&path("x"), &ints(10), PLAIN, &Attrs::new()).unwrap();
        store.set_attrs(&path("g"), &attrs(json!({"text": "new", "list": [], "more": true}))).unwrap();
        store.remove(&path("old")).unwrap();
        store.create_group(&path("old"), &Attrs::new()).unwrap();
        store.set_attrs(&path("z"), &attrs(json!({"text": "new"}))).unwrap();
    };
    let check = |children: &[&str]| {
        assert_eq!(store.children(&ElemPath::root()).unwrap(), children);
        for at in children.iter().filter(|c| ["g", "z"].contains(c)) {
            assert_eq!(store.node(&path(at)).unwrap().unwrap().attrs, old, "{at}");
        }
        assert_eq!(read_all(&store, &path("old")).unwrap(), ints(7));
        assert!(store.staged.lock().is_empty());
    };
    let whole = fs::read(&temp.path).unwrap();
    // The last thing to be changed has disappeared behind the store's back; a name has been taken.
    let thefts: [&dyn Fn(&Id); 2] = [&|file| ffi::delete_link(file, "z").unwrap(), &|file| {
        ffi::link(&ffi::new_group(file, false).unwrap(), file, "x").unwrap();
    }];
    for theft in thefts {
        stage();
        inside(&store, theft);
        assert!(matches!(store.publish(), Err(Error::Backend { .. })));
        check(&["g", "old", "z"]);
        assert!(fs::read(&temp.path).unwrap() == whole, "nothing but what was published is in the file");
    }
    stage();
    store.publish().unwrap();
    assert_eq!(store.children(&ElemPath::root()).unwrap(), ["a", "g", "old", "x", "z"]);
}

#[test]
fn what_hdf5_cannot_hold_is_unsupported() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let nul = Array::from_vec(vec!["a\0b".to_owned()]);
    let unsupported = |done: Result<()>| assert!(matches!(done, Err(Error::Unsupported { .. })), "{done:?}");
    unsupported(store.create_array(&path("x"), &nul, PLAIN, &Attrs::new()));
    for bad in [json!({"a": "x\0"}), json!({"a": null}), json!({"a": {}}), json!({"a": [1, "x"]}), json!({"": 1})] {
        unsupported(store.create_group(&path("x"), &attrs(bad)));
    }
    unsupported(store.consolidate());
    // A header of the old kind does not grow; one made for many attributes, even if they come late, does.
    let many: Vec<String> = (0..4900).map(|i| format!("column number {i}")).collect();
    let wide = attrs(json!({ "column-order": many }));
    unsupported(store.set_attrs(&ElemPath::root(), &wide));
    for name in ["narrow", "late"] {
        store.create_group(&path(name), &Attrs::new()).unwrap();
    }
    store.set_attrs(&path("late"), &wide).unwrap();
    store.publish().unwrap();
    unsupported(store.set_attrs(&path("narrow"), &wide));
    store.publish().unwrap();
    assert_eq!(store.node(&path("late")).unwrap().unwrap().attrs, wide);
    assert!(store.node(&path("narrow")).unwrap().unwrap().attrs.is_empty());
}

#[test]
fn abandoned_space_is_given_back() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    store.create_array(&path("x"), &ints(1000), PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    drop(store);
    let before = fs::metadata(&temp.path).unwrap().len();
    let store = Hdf5Store::open_write(&temp.path).unwrap();
    store.create_group(&path("g"), &attrs(json!({"a": 1}))).unwrap();
    store.create_array(&path("g/y"), &ints(1_000_000), PLAIN, &Attrs::new()).unwrap();
    store.set_attrs(&path("x"), &attrs(json!({"a": 1}))).unwrap();
    drop(store);
    let after = fs::metadata(&temp.path).unwrap().len();
    assert!(after <= before + 4096, "{before} bytes became {after}");
}

#[test]
fn a_file_to_which_nothing_was_published_is_what_it_was() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    store.create_array(&path("x"), &ints(1000), PLAIN, &attrs(json!({}))).unwrap();
    store.publish().unwrap();
    drop(store);
    let whole = fs::read(&temp.path).unwrap();
    for (user_block, abandon) in [(0, true), (0, false), (512, false), (8192, true)] {
        let before = [&vec![b'z'; user_block][..], &whole].concat();
        fs::write(&temp.path, &before).unwrap();
        let store = Hdf5Store::open_write(&temp.path).unwrap();
        store.create_array(&path("big"), &ints(500_000), PLAIN, &attrs(json!({"a": "b"}))).unwrap();
        store.set_attrs(&path("x"), &attrs(json!({"c": 1}))).unwrap();
        if abandon {
            store.abandon().unwrap();
        }
        drop(store);
        assert!(fs::read(&temp.path).unwrap() == before, "abandon: {abandon}, user block: {user_block}");
    }
}
