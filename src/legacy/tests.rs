#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use serde_json::json;

use super::{WriteLens, read, write};
use crate::codec;
use crate::error::Error;
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{Attrs, MemoryStore, ReadStore, Style, WriteStore};
use crate::testing::{Fresh, store_contract};
use crate::value::{Array, ByteString, DType, Element, Records};

const PLAIN: Style<'static> = Style { like: None, resizable: false };

fn path(text: &str) -> ElemPath {
    ElemPath::parse(text).unwrap()
}

fn texts(items: &[&str]) -> Array {
    Array::from_vec(items.iter().map(|&t| t.to_owned()).collect())
}

fn bytes(items: &[&str]) -> Array {
    Array::from_vec(items.iter().map(|t| ByteString(t.as_bytes().to_vec())).collect())
}

/// A store in memory, filled node by node.
struct Old(Arc<MemoryStore>);

impl Old {
    fn new() -> Self {
        Self(Arc::new(MemoryStore::new("old")))
    }

    fn group(self, at: &str, attrs: serde_json::Value) -> Self {
        self.0.create_group(&path(at), attrs.as_object().unwrap()).unwrap();
        self
    }

    fn array(self, at: &str, data: Array, attrs: serde_json::Value) -> Self {
        self.0.create_array(&path(at), &data, PLAIN, attrs.as_object().unwrap()).unwrap();
        self
    }

    fn records(self, at: &str, fields: &[(&str, Array)]) -> Self {
        let shape = vec![fields[0].1.shape()[0]];
        let fields = fields.iter().map(|(name, data)| ((*name).to_owned(), data.clone())).collect();
        self.0.create_records(&path(at), &Records::new(shape, fields).unwrap(), PLAIN, &Attrs::new()).unwrap();
        self
    }

    /// As anndata 0.6 laid it out: `both` is coded on both axes by one list, `one` fits one axis alone, `free` none.
    fn of_anndata_0_6() -> Self {
        Self::new()
            .records(
                "obs",
                &[
                    ("index", bytes(&["a", "b", "ü"])),
                    ("both", Array::from_vec(vec![0_i8, -1, 1])),
                    ("one", Array::from_vec(vec![0_i8, 1, 2])),
                    ("free", Array::from_vec(vec![7_i32, 8, 9])),
                    ("text", bytes(&["x", "", "yy"])),
                    ("deep/er", Array::from_vec(vec![0.5_f32, 1.5, 2.5])),
                ],
            )
            .records(
                "var",
                &[
                    ("name", texts(&["g", "h"])),
                    ("both", Array::from_vec(vec![1_i16, 0])),
                    ("one", Array::from_vec(vec![5_i8, 0])),
                ],
            )
            .records(
                "obsm",
                &[
                    ("X_one", Array::from_vec(vec![1.0_f64, 2.0, 3.0])),
                    ("X_two", Array::from_vec((0..6_i32).collect()).reshape(&[3, 2]).unwrap()),
                ],
            )
            .records("raw.var", &[("index", texts(&["g", "h", "k"])), ("kind", Array::from_vec(vec![0_i8, 1, 0]))])
            .group("raw.cat", json!({}))
            .array("raw.cat/kind_categories", texts(&["p", "q"]), json!({}))
            .array("raw.X", Array::zeros(DType::F32, &[3, 3]), json!({}))
            .group("X", json!({"h5sparse_format": "csc", "h5sparse_shape": [3, 2]}))
            .array("X/data", Array::from_vec(vec![1.5_f32]), json!({}))
            .array("X/indices", Array::from_vec(vec![2_i32]), json!({}))
            .array("X/indptr", Array::from_vec(vec![0_i32, 0, 1]), json!({}))
            .group("uns", json!({}))
            .array("uns/both_categories", texts(&["u", "w"]), json!({}))
            .array("uns/one_categories", bytes(&["r", "s", "t"]), json!({}))
            .array("uns/free_categories", texts(&["too few"]), json!({}))
            .array("uns/gone_categories", texts(&["no such field"]), json!({}))
            .array("uns/lone", Array::from_vec(vec![3_i64]), json!({}))
            .array("uns/words", bytes(&["w"]), json!({}))
            .group("uns/neighbors", json!({}))
            .array("uns/neighbors/distances", Array::zeros(DType::F64, &[3, 3]), json!({}))
            .array("uns/neighbors/connectivities", Array::from_vec(vec![1.0_f64]), json!({}))
    }

    fn shown(self) -> Arc<dyn WriteStore> {
        self.0.publish().unwrap();
        write(self.0, &ElemPath::root()).unwrap()
    }
}

fn decode(store: &dyn ReadStore, at: &str) -> Element {
    codec::decode(store, &path(at), &[]).unwrap()
}

fn categories(element: &Element) -> (Vec<Option<usize>>, Vec<String>) {
    let Element::Categorical(c) = element else { panic!("{element:?}") };
    (c.positions(), c.categories().to_strings())
}

/// Everything that is shown, group by group.
fn all(store: &dyn ReadStore) -> Vec<(String, Element)> {
    let names = store.children(&ElemPath::root()).unwrap();
    names.into_iter().map(|name| (name.clone(), decode(store, &name))).collect()
}

#[test]
fn keeps_the_store_contract() {
    store_contract(&|| {
        let memory = Arc::new(MemoryStore::new("memory"));
        let (store, again) = (Arc::new(WriteLens::new(memory.clone())), memory);
        let reopen = Box::new(move || {
            again.abandon().unwrap();
            again.clone() as Arc<dyn ReadStore>
        });
        // Byte strings are text here.
        Fresh { store, reopen, lacks: &[DType::Bytes], repeats: true, keep: Box::new(()) }
    });
}

#[test]
fn structured_arrays_are_frames_and_dicts() {
    let store = Old::of_anndata_0_6().shown();
    let frame = codec::frame_meta(&*store, &path("obs")).unwrap();
    assert_eq!((frame.index.as_str(), frame.n_rows), ("index", 3));
    assert_eq!(frame.columns, ["both", "one", "free", "text", "deep/er"]);
    assert_eq!(decode(&*store, "obs/index"), Element::Array(texts(&["a", "b", "ü"])));
    assert_eq!(decode(&*store, "obs/text"), Element::Array(texts(&["x", "", "yy"])));
    assert_eq!(decode(&*store, "obs/deep/er"), Element::Array(Array::from_vec(vec![0.5_f32, 1.5, 2.5])));
    assert_eq!(categories(&decode(&*store, "obs/both")), (vec![Some(0), None, Some(1)], vec!["u".into(), "w".into()]));
    assert_eq!(categories(&decode(&*store, "var/both")).0, [Some(1), Some(0)]);
    assert_eq!(categories(&decode(&*store, "obs/one")).1, ["r", "s", "t"]);
    assert_eq!(decode(&*store, "var/one"), Element::Array(Array::from_vec(vec![5_i8, 0])));
    assert_eq!(decode(&*store, "obs/free"), Element::Array(Array::from_vec(vec![7_i32, 8, 9])));

    assert_eq!(decode(&*store, "obsm/X_one").shape(), [3, 1]);
    let two = store.read(&path("obsm/X_two"), &[Rows::picks([2, 0]), Rows::picks([1])]).unwrap();
    assert_eq!(two, Array::from_vec(vec![5_i32, 1]).reshape(&[2, 1]).unwrap());
    let out = store.read(&path("obsm/X_two"), &[Rows::All(3), Rows::picks([2])]);
    assert!(matches!(out, Err(Error::Selection { .. })));
}

#[test]
fn the_rest_is_where_it_is_today() {
    let store = Old::of_anndata_0_6().shown();
    assert_eq!(store.children(&ElemPath::root()).unwrap(), ["X", "obs", "obsm", "obsp", "raw", "uns", "var"]);
    assert_eq!(store.children(&path("raw")).unwrap(), ["X", "var"]);
    assert_eq!(categories(&decode(&*store, "raw/var/kind")).1, ["p", "q"]);
    let Element::Sparse(x) = decode(&*store, "X") else { panic!() };
    assert_eq!((x.shape(), x.format().name(), x.nnz()), ([3, 2], "csc_matrix", 1));
    // Categories that nothing uses stay what they are; a graph moves, what is no matrix does not.
    let uns = store.children(&path("uns")).unwrap();
    assert_eq!(uns, ["free_categories", "gone_categories", "lone", "neighbors", "words"]);
    assert_eq!(store.children(&path("uns/neighbors")).unwrap(), ["connectivities"]);
    assert_eq!(store.children(&path("obsp")).unwrap(), ["distances"]);
    assert_eq!(decode(&*store, "uns/lone").shape(), [1]);
    assert_eq!(decode(&*store, "uns/words"), Element::Array(texts(&["w"])));
}

/// `add` to a store of anndata 0.6: everything reads as before, and what is no longer in an old layout is gone from there.
fn after(add: impl Fn(&dyn WriteStore)) -> (Arc<dyn WriteStore>, Arc<MemoryStore>) {
    let old = Old::of_anndata_0_6();
    let plain = old.0.clone();
    let store = old.shown();
    let before = all(&*store);
    add(&*store);
    assert_eq!(all(&*store), before, "nothing is seen before it is published");
    store.abandon().unwrap();
    store.publish().unwrap();
    assert_eq!(all(&*store), before, "abandoned");
    add(&*store);
    store.publish().unwrap();
    for again in [store.clone() as Arc<dyn ReadStore>, read(plain.clone(), &ElemPath::root()).unwrap()] {
        for (name, element) in &before {
            let mut now = decode(&*again, name);
            for new in ["new", "new_categories"] {
                if let Element::Mapping(entries) = &mut now {
                    entries.remove(new);
                }
            }
            assert_eq!(&now, element, "{name}");
        }
    }
    (store, plain)
}

fn create(store: &dyn WriteStore, at: &str) {
    let tags = json!({"encoding-type": "array", "encoding-version": "0.2.0"});
    let style = Style { like: Some(&path("obsm/X_two")), resizable: false };
    store.create_array(&path(at), &Array::from_vec(vec![1_i64, 2, 3]), style, tags.as_object().unwrap()).unwrap();
}

#[test]
fn what_is_added_to_is_brought_to_todays_layout() {
    let is_old = |store: &MemoryStore, at: &str| !store.node(&path(at)).unwrap().unwrap().is_group();
    let (_, plain) = after(|store| create(store, "obsm/new"));
    assert!(!is_old(&plain, "obsm") && is_old(&plain, "obs"), "that slot alone");

    let (store, plain) = after(|store| create(store, "obsp/new"));
    assert_eq!(store.children(&path("obsp")).unwrap(), ["distances", "new"]);
    assert!(plain.node(&path("uns/neighbors/distances")).unwrap().is_some(), "graphs need not move for that");

    let (_, plain) = after(|store| create(store, "uns/new"));
    assert!(is_old(&plain, "obs"), "a dict is a dict");

    // Anndata looks for categories in `uns` as long as `obs` is one array.
    let (_, plain) = after(|store| create(store, "uns/new_categories"));
    assert!(!is_old(&plain, "obs") && !is_old(&plain, "var"));
    let uns = plain.children(&path("uns")).unwrap();
    assert_eq!(uns, ["free_categories", "gone_categories", "lone", "neighbors", "new_categories", "words"]);

    let (store, plain) = after(|store| {
        store.set_attrs(&path("obs"), json!({"kept": 1}).as_object().unwrap()).unwrap();
        create(store, "raw/new");
    });
    assert!(!is_old(&plain, "obs") && !is_old(&plain, "var"), "both frames at once");
    assert!(store.node(&path("obs")).unwrap().unwrap().attrs.contains_key("kept"));
    let names = plain.children(&ElemPath::root()).unwrap();
    assert!(!names.iter().any(|name| name.starts_with("raw.")), "{names:?}");
}

#[test]
fn frames_of_0_7_have_their_categories_by_either_reference() {
    let frame = |at: &str| json!({"_index": "_index", "column-order": ["c", "n"], "encoding-type": "dataframe", "encoding-version": at});
    for reference in ["uns/f/__categories/c", "__categories/c"] {
        let store = Old::new()
            .group("obs", frame("0.1.0"))
            .array("obs/_index", texts(&["a"]), json!({}))
            .group("uns", json!({}))
            .group("uns/f", frame("0.1.0"))
            .array("uns/f/_index", texts(&["a", "b"]), json!({}))
            .array("uns/f/c", Array::from_vec(vec![-1_i8, 0]), json!({"categories": reference}))
            .array("uns/f/n", Array::from_vec(vec![0_i32, 1]), json!({}))
            .group("uns/f/__categories", json!({}))
            .array("uns/f/__categories/c", Array::from_vec(vec![4_i64, 5]), json!({"ordered": 1}))
            .shown();
        let Element::Table(table) = decode(&*store, "uns/f") else { panic!() };
        let Some(Element::Categorical(c)) = table.column("c") else { panic!("{table:?}") };
        assert_eq!((c.positions(), c.ordered(), c.categories().dtype()), (vec![None, Some(0)], true, DType::I64));
        assert_eq!(table.column("n"), Some(&Element::Array(Array::from_vec(vec![0_i32, 1]))));
    }
}

#[test]
fn codes_without_their_categories_are_an_error_of_that_column() {
    let frame =
        json!({"_index": "_index", "column-order": ["c"], "encoding-type": "dataframe", "encoding-version": "0.1.0"});
    let store = Old::new()
        .group("obs", frame)
        .array("obs/_index", texts(&["a"]), json!({}))
        .array("obs/c", Array::from_vec(vec![0_i8]), json!({"categories": "__categories/c"}))
        .shown();
    assert_eq!(codec::frame_meta(&*store, &path("obs")).unwrap().columns, ["c"]);
    assert!(matches!(codec::decode(&*store, &path("obs/c"), &[]), Err(Error::Malformed { .. })));
}

#[test]
fn categories_that_no_column_refers_to_are_used_where_all_codes_fit() {
    let store = Old::new()
        .group("obs", json!({"_index": "_index", "column-order": ["fit", "not"], "encoding-type": "dataframe", "encoding-version": "0.1.0"}))
        .array("obs/_index", texts(&["a", "b"]), json!({}))
        .array("obs/fit", Array::from_vec(vec![1_i32, 0]), json!({}))
        .array("obs/not", Array::from_vec(vec![1_i32, 2]), json!({}))
        .group("obs/__categories", json!({}))
        .array("obs/__categories/fit", texts(&["x", "y"]), json!({}))
        .array("obs/__categories/not", texts(&["x", "y"]), json!({}))
        // No tags, but a name for the index.
        .group("var", json!({"_index": "names"}))
        .array("var/names", texts(&["g"]), json!({}))
        .array("var/score", Array::from_vec(vec![0.5_f64]), json!({}))
        .shown();
    assert_eq!(categories(&decode(&*store, "obs/fit")).1, ["x", "y"]);
    assert_eq!(decode(&*store, "obs/not"), Element::Array(Array::from_vec(vec![1_i32, 2])));
    let var = codec::frame_meta(&*store, &path("var")).unwrap();
    assert_eq!((var.index.as_str(), &var.columns[..]), ("names", &["score".to_owned()][..]));
}

#[test]
fn a_store_of_today_is_left_alone() {
    let frame =
        json!({"_index": "_index", "column-order": [], "encoding-type": "dataframe", "encoding-version": "0.2.0"});
    let old = Old::new().group("obs", frame.clone()).group("var", frame);
    old.0.set_attrs(&ElemPath::root(), json!({"encoding-type": "anndata"}).as_object().unwrap()).unwrap();
    old.0.publish().unwrap();
    let plain: Arc<dyn ReadStore> = old.0;
    let shown = read(plain.clone(), &ElemPath::root()).unwrap();
    assert!(Arc::ptr_eq(&plain, &shown));
}
