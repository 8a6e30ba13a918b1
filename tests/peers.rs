//! What this library writes, others read equal: anndata, zarr-python and h5py see every new element as it was set, every
//! old one as it was, and the store in its own dialect.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anndata_shadow::half::f16;
use anndata_shadow::ndarray::{Array1, Array2, Array3};
use anndata_shadow::num_complex::Complex64;
use anndata_shadow::polars::prelude::{DataType, FrozenCategories, NamedFrom, Series};
use anndata_shadow::sprs::CsMat;
use anndata_shadow::{
    AnnDataShadow, Array, Awkward, Categorical, Element, Mode, NaValue, Nullable, OpenOptions, Records, Rows, Sparse,
    Table, WriteOptions,
};
use common::{
    describe, differences, elements_of, index_as_pandas_has_it, is_unsupported, node_differences, nodes_below,
};
use serde_json::{Value, json};

/// A kind of store to write to.
struct Kind {
    fixture: &'static str,
    inner: &'static str,
    /// How anndata is to write the same object for comparison.
    compression: Option<&'static str>,
    sharded: bool,
    nullable_strings: bool,
}

const PLAIN: Kind =
    Kind { fixture: "main.h5ad", inner: "", compression: None, sharded: false, nullable_strings: false };
const TABLE: &str = "tables/table";

/// Elements that Python must have compared in each store, at least.
const FLOOR: usize = 70;

#[test]
fn h5ad() {
    check(&PLAIN);
}

#[test]
fn h5ad_gzip() {
    check(&Kind { fixture: "main_gzip.h5ad", compression: Some("gzip"), ..PLAIN });
}

#[test]
fn h5ad_nullable_strings() {
    check(&Kind { fixture: "nullable_string_index.h5ad", nullable_strings: true, ..PLAIN });
}

#[test]
fn zarr_v2() {
    check(&Kind { fixture: "main_v2.zarr", ..PLAIN });
}

#[test]
fn zarr_v3() {
    check(&Kind { fixture: "main_v3.zarr", ..PLAIN });
}

#[test]
fn zarr_v3_sharded() {
    check(&Kind { fixture: "main_v3_sharded.zarr", sharded: true, ..PLAIN });
}

#[test]
fn zarr_v2_not_consolidated() {
    check(&Kind { fixture: "not_consolidated_v2.zarr", ..PLAIN });
}

#[test]
fn zarr_v3_not_consolidated() {
    check(&Kind { fixture: "not_consolidated_v3.zarr", ..PLAIN });
}

#[test]
fn zarr_v2_nullable_strings() {
    check(&Kind { fixture: "nullable_string_index_v2.zarr", nullable_strings: true, ..PLAIN });
}

#[test]
fn zarr_v3_nullable_strings() {
    check(&Kind { fixture: "nullable_string_index_v3.zarr", nullable_strings: true, sharded: true, ..PLAIN });
}

#[test]
fn spatialdata_v2() {
    check(&Kind { fixture: "spatialdata_like_v2.zarr", inner: TABLE, ..PLAIN });
}

#[test]
fn spatialdata_v3() {
    check(&Kind { fixture: "spatialdata_like_v3.zarr", inner: TABLE, sharded: true, ..PLAIN });
}

/// Layouts of anndata 0.5, 0.6 and 0.7: what is written to is brought to today's in the same write, and nothing else is.
#[test]
fn old_layouts() {
    for fixture in ["legacy_05.h5ad", "legacy_06.h5ad", "legacy_07.h5ad", "legacy_07_v2.zarr"] {
        let kind = Kind { fixture, ..PLAIN };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(fixture);
        stores::copy(&common::fixtures().join(fixture), &path);
        let before = read_all(&AnnDataShadow::open(&path).unwrap());
        let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
        let added = additions(&shadow);
        added.iter().for_each(|a| a.set(&shadow));
        shadow.write(WriteOptions::default()).unwrap();
        // What was made by the write can be added to like anything else.
        shadow.obsm().insert("again", dense(shadow.n_obs(), 2)).unwrap();
        shadow.write(WriteOptions::default()).unwrap();
        shadow.close().unwrap();

        let mut leaves: BTreeMap<String, (Value, Option<&Element>)> = added.iter().flat_map(Addition::leaves).collect();
        leaves.insert("obsm/again".into(), (describe(&dense(shadow.n_obs(), 2).into()), None));
        let mut faults = own_reading(&kind, &path, before, &leaves);
        let answer = common::python("corpus.py", &json!({"stores": [path]}));
        let answer = &answer[path.to_str().unwrap()];
        assert!(answer["refused"].is_null(), "{fixture}: {}", answer["refused"]);
        let compared = object_faults(&kind, &common::expected(fixture), &answer["objects"][0], &leaves, &mut faults);
        println!("{fixture}: {compared} elements compared, {} of them new", leaves.len());
        assert!(faults.is_empty(), "{fixture}: {} faults:\n{}", faults.len(), faults.join("\n"));
    }
}

fn check(kind: &Kind) {
    let fixture = common::fixtures().join(kind.fixture);
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join(kind.fixture);
    stores::copy(&fixture, &store);
    let path = if kind.inner.is_empty() { store.clone() } else { store.join(kind.inner) };
    let expected = common::expected(kind.fixture);
    let mut faults = Vec::new();

    let before = read_all(&AnnDataShadow::open(&path).unwrap());
    let files = files_below(&store);
    let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    let added = additions(&shadow);
    added.iter().for_each(|a| a.set(&shadow));
    let receipt = shadow.write(WriteOptions::default()).unwrap();
    let written: Vec<&str> = receipt.elements.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(written, added.iter().map(|a| a.path.as_str()).collect::<Vec<_>>(), "the receipt");
    let wanted: Vec<String> = added.iter().map(|a| within(kind.inner, &a.path)).collect();
    assert!(shadow.changes().is_empty() && receipt.bytes_written > 0);
    shadow.close().unwrap();

    let leaves: BTreeMap<String, (Value, Option<&Element>)> = added.iter().flat_map(Addition::leaves).collect();
    faults.extend(own_reading(kind, &path, before, &leaves));
    faults.extend(file_faults(kind, folder.path(), &files, &wanted));
    let answer = common::python(
        "peer.py",
        &json!({"path": store, "inner": kind.inner, "container": expected["container"],
            "compression": kind.compression, "sharded": kind.sharded}),
    );
    faults.extend(answer["faults"].as_array().unwrap().iter().map(|f| format!("python: {f}")));
    let had_map = !expected["extra"]["consolidated_paths"].is_null();
    if had_map == answer["map"].is_null() {
        faults.push(format!("consolidated before: {had_map}, after: {}", !had_map));
    }
    let compared = object_faults(kind, &expected, &answer, &leaves, &mut faults);
    faults.extend(node_faults(kind, &expected, &answer, &added, &leaves));
    println!("{}: {compared} elements compared, {} of them new", kind.fixture, leaves.len());
    assert!(faults.is_empty(), "{}: {} faults:\n{}", kind.fixture, faults.len(), faults.join("\n"));
    assert!(compared >= FLOOR, "only {compared} elements compared");
}

fn within(inner: &str, path: &str) -> String {
    if inner.is_empty() { path.to_owned() } else { format!("{inner}/{path}") }
}

// ---- what is added ----

struct Addition {
    path: String,
    element: Element,
    /// The column as polars has it, if it goes in that way.
    series: Option<Series>,
}

impl Addition {
    fn set(&self, shadow: &AnnDataShadow) {
        let (slot, name) = self.path.split_once('/').unwrap();
        let frame = if slot == "obs" { shadow.obs() } else { shadow.var() };
        let slot = match slot {
            "layers" => shadow.layers(),
            "obsm" => shadow.obsm(),
            "varm" => shadow.varm(),
            "obsp" => shadow.obsp(),
            "varp" => shadow.varp(),
            "uns" => shadow.uns(),
            _ => {
                return match &self.series {
                    Some(series) => frame.insert(series.clone()).unwrap(),
                    None => frame.insert_element(name, self.element.clone()).unwrap(),
                };
            }
        };
        slot.insert(name, self.element.clone()).unwrap();
    }

    /// The descriptions of the element and of all below it; the dicts on the way to it are dicts.
    fn leaves(&self) -> Vec<(String, (Value, Option<&Element>))> {
        fn below<'a>(path: &str, element: &'a Element, found: &mut Vec<(String, (Value, Option<&'a Element>))>) {
            found.push((path.to_owned(), (describe(element), Some(element))));
            if let Element::Mapping(entries) = element {
                entries.iter().for_each(|(name, e)| below(&format!("{path}/{name}"), e, found));
            }
        }
        let mut found = Vec::new();
        let parts: Vec<&str> = self.path.split('/').collect();
        for depth in 2..parts.len() {
            found.push((parts[..depth].join("/"), (json!({"type": "dict"}), None)));
        }
        below(&self.path, &self.element, &mut found);
        found
    }
}

fn texts(items: &[&str]) -> Array {
    Array::from_vec(items.iter().map(|&t| t.to_owned()).collect())
}

/// Small numbers, a third of them zero.
fn dense(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 7 + j * 5) % 6).saturating_sub(1) as f32 * 0.37)
}

fn csr(rows: usize, columns: usize) -> CsMat<f32> {
    CsMat::csr_from_dense(dense(rows, columns).view(), 0.0)
}

fn additions(shadow: &AnnDataShadow) -> Vec<Addition> {
    let (n, m) = shadow.shape();
    let mut all = Vec::new();
    let mut add = |path: &str, element: Element| all.push(Addition { path: path.into(), element, series: None });
    add("obsm/new_f32", dense(n, 3).into());
    add("obsm/new_f64", dense(n, 2).mapv(|x| f64::from(x) / 3.0).into());
    add("obsm/new_tensor", Array3::from_shape_fn((n, 2, 2), |(i, j, k)| (i * 4 + j * 2 + k) as u16).into());
    add("obsm/new_frame", new_frame(shadow.obs_names().unwrap()).into());
    add("obsm/new_csr", csr(n, 4).into());
    add("layers/new_csr", csr(n, m).into());
    add("layers/new_csc", csr(n, m).to_csc().into());
    add("layers/new_i16", dense(n, m).mapv(|x| (x * 100.0) as i16 - 60).into());
    add("layers/new_zero", Array2::<f64>::zeros((n, m)).into());
    add("layers/new_bool", dense(n, m).mapv(|x| x > 0.5).into());
    add("varm/new_f64", dense(m, 2).mapv(f64::from).into());
    add("varm/new_frame", new_frame(shadow.var_names().unwrap()).into());
    add("obsp/new_csr", csr(n, n).into());
    add("varp/new_dense", dense(m, m).into());
    add(
        "obsm/new_lists",
        Awkward::from_lists((0..n).map(|i| (0..i % 4).map(|k| k as f32 / 3.0).collect::<Vec<_>>())).into(),
    );
    add("varm/new_lists", Awkward::from_lists((0..m).map(|i| vec![format!("ü{i}"); i % 3])).into());
    add("uns/new_records", records(4).into());
    add("uns/new_awkward", read_awkward());
    add("uns/new", new_dict());
    add("uns/new_deep/er/value", 2.5_f64.into());
    add("uns/größe µ", "schlüssel".into());
    all.extend(columns("obs", n));
    all.extend(columns("var", m).into_iter().take(3));
    all
}

fn records(n: usize) -> Records {
    let fields = vec![
        ("i".to_owned(), Array::from_vec((0..n).map(|i| i as i16 - 2).collect())),
        ("f".to_owned(), Array::from_vec((0..n).map(|i| i as f32 / 3.0).collect())),
        ("b".to_owned(), Array::from_vec((0..n).map(|i| i % 2 == 0).collect())),
        ("s".to_owned(), Array::from_vec((0..n).map(|i| format!("ü{i}")).collect())),
    ];
    Records::new(vec![n], fields).unwrap()
}

/// Awkward arrays that Python wrote, whole and cut, to be written again.
fn read_awkward() -> Element {
    let kitchen = AnnDataShadow::open(common::fixtures().join("kitchen_v3.zarr")).unwrap();
    let mut all = BTreeMap::new();
    for name in kitchen.uns().keys().unwrap().into_iter().filter(|n| n.starts_with("awk_")) {
        let whole = kitchen.uns().read::<Awkward>(&name).unwrap();
        all.insert(format!("{name}_whole"), whole.clone().into());
        if let Some(last) = whole.len().checked_sub(1) {
            all.insert(format!("{name}_cut"), whole.take(&Rows::picks([last, 0, last])).into());
        }
        all.insert(format!("{name}_none"), whole.take(&Rows::span(0, 0)).into());
    }
    assert!(all.len() > 20);
    Element::Mapping(all)
}

fn new_frame(names: Vec<String>) -> Table {
    let n = names.len();
    let codes: Vec<i8> = (0..n).map(|i| (i % 3) as i8 - 1).collect();
    let columns = vec![
        ("z_f32".to_owned(), Array1::from_iter((0..n).map(|i| i as f32 / 3.0)).into()),
        ("a_text".to_owned(), Array::from_vec((0..n).map(|i| format!("ü{i}")).collect()).into()),
        ("cat".to_owned(), Categorical::new(Array::from_vec(codes), texts(&["b", "a"]), false).unwrap().into()),
    ];
    Table::new(None, Array::from_vec(names).into(), columns).unwrap()
}

fn new_dict() -> Element {
    let scalars: Element = [
        ("bool", Element::from(true)),
        ("false", false.into()),
        ("i8", (-8_i8).into()),
        ("i16", (-16_i16).into()),
        ("i32", i32::MIN.into()),
        ("i64", i64::MIN.into()),
        ("u8", u8::MAX.into()),
        ("u16", u16::MAX.into()),
        ("u32", u32::MAX.into()),
        ("u64", u64::MAX.into()),
        ("f16", f16::from_f32(1.5).into()),
        ("f32", 0.1_f32.into()),
        ("f64", (-0.0_f64).into()),
        ("nan", f64::NAN.into()),
        ("c128", Array::scalar(Complex64::new(1.5, -2.0)).into()),
        ("text", "日本 🧬\n".into()),
        ("empty_text", "".into()),
    ]
    .into();
    let indexed = Table::new(
        Some("key".into()),
        texts(&["r0", "r1"]).into(),
        vec![("n".into(), Array::from_vec(vec![1_i64, -2]).into())],
    );
    let codes = Array::from_vec(vec![1_i8, -1, 0]);
    [
        ("scalars", scalars),
        ("array", Array::from_vec(vec![0.0_f64, -0.0, f64::NAN, f64::INFINITY, 1e-308]).into()),
        ("strings", texts(&["a", "", "日本", "e\u{301}"]).into()),
        ("strings_2d", Array2::from_shape_fn((2, 2), |(i, j)| format!("{i}{j}")).into()),
        ("no_items", Array::from_vec(Vec::<f32>::new()).into()),
        ("no_strings", texts(&[]).into()),
        ("sparse", csr(5, 4).into()),
        ("sparse_no_items", Sparse::from(CsMat::<f64>::zero((3, 2))).into()),
        ("categorical", Categorical::new(codes, Array::from_vec(vec![10_i64, 3]), true).unwrap().into()),
        ("frame", indexed.unwrap().into()),
        ("empty_dict", Element::Mapping(BTreeMap::new())),
        ("none", Element::Null),
        ("big", dense(700, 600).into()),
        ("big_vector", Array1::from_iter(0..300_000_i64).into()),
        ("big_sparse", csr(300, 400).into()),
        ("big_strings", Array::from_vec((0..3000).map(|i| format!("name {i}")).collect()).into()),
    ]
    .into()
}

/// A column of every kind, through polars where polars has it.
fn columns(frame: &str, n: usize) -> Vec<Addition> {
    let mut all = Vec::new();
    let at = |name: &str| format!("{frame}/{name}");
    let missing: Vec<bool> = (0..n).map(|i| i % 3 == 1).collect();
    macro_rules! plain {
        ($name:literal, $items:expr) => {{
            let items: Vec<_> = $items.collect();
            let series = Some(Series::new($name.into(), items.clone()));
            all.push(Addition { path: at($name), element: Array::from_vec(items).into(), series });
        }};
    }
    // What stands under the mask is zero.
    macro_rules! nullable {
        ($name:literal, $items:expr) => {{
            let items: Vec<_> = $items.zip(&missing).map(|(x, &m)| (!m).then_some(x)).collect();
            let values = Array::from_vec(items.iter().map(|x| x.clone().unwrap_or_default()).collect());
            let element = Nullable::new(values, missing.clone(), NaValue::Na).unwrap().into();
            all.push(Addition { path: at($name), element, series: Some(Series::new($name.into(), items)) });
        }};
    }
    plain!("z_first", (0..n).map(|i| i as u8));
    plain!("new_bool", (0..n).map(|i| i % 2 == 0));
    plain!("new_text", (0..n).map(|i| format!("text {i} ü")));
    plain!("new_i8", (0..n).map(|i| i as i8 - 2));
    plain!("new_i16", (0..n).map(|i| i as i16 - 300));
    plain!("new_i32", (0..n).map(|i| i as i32 - 70_000));
    plain!("new_i64", (0..n).map(|i| i64::MIN + i as i64));
    plain!("new_u16", (0..n).map(|i| i as u16 + 300));
    plain!("new_u32", (0..n).map(|i| i as u32 + 70_000));
    plain!("new_u64", (0..n).map(|i| u64::MAX - i as u64));
    plain!("new_f32", (0..n).map(|i| if i == 1 { f32::NAN } else { -(i as f32) }));
    plain!("new_f64", (0..n).map(|i| if i == 2 { f64::NAN } else { 0.1 * i as f64 }));
    nullable!("new_n_i32", (0..n).map(|i| i as i32 - 1));
    nullable!("new_n_u8", (0..n).map(|i| i as u8));
    nullable!("new_n_bool", (0..n).map(|i| i % 2 == 0));
    nullable!("new_n_text", (0..n).map(|i| format!("ü{i}")));

    let halves = Array::from_vec((0..n).map(|i| f16::from_f32(i as f32 / 8.0)).collect());
    all.push(Addition { path: at("new_f16"), element: halves.into(), series: None });
    let categories = ["zebra", "unused", "ant"];
    let codes = Array::from_vec((0..n).map(|i| [0_i8, 2, -1][i % 3]).collect());
    let picked: Vec<Option<&str>> = (0..n).map(|i| [Some("zebra"), Some("ant"), None][i % 3]).collect();
    let dtype = DataType::from_frozen_categories(FrozenCategories::new(categories).unwrap());
    let series = Series::new("new_cat".into(), picked).cast(&dtype).unwrap();
    let element = Categorical::new(codes.clone(), texts(&categories), false).unwrap().into();
    all.push(Addition { path: at("new_cat"), element, series: Some(series) });
    let ordered = Categorical::new(codes, texts(&["lo", "mid", "hi"]), true).unwrap().into();
    all.push(Addition { path: at("new_ordered"), element: ordered, series: None });
    let wide = Array::from_vec((0..n).map(|i| i as i16).collect());
    let names = Array::from_vec((0..200).map(|i| format!("k{i:03}")).collect());
    let wide = Categorical::new(wide, names, false).unwrap().into();
    all.push(Addition { path: at("new_wide"), element: wide, series: None });
    all
}

// ---- what comes back ----

/// In stores that keep text as `nullable-string-array`, new columns of text are kept so; not text elsewhere, categories,
/// nor the index of a frame as pandas has it.
fn as_stored(kind: &Kind, path: &str, wanted: Value) -> Value {
    let in_frame =
        path.starts_with("obs/") || path.starts_with("var/") || path.starts_with("obsm/") || path.starts_with("varm/");
    if kind.nullable_strings && in_frame { as_column(wanted) } else { wanted }
}

fn as_column(mut wanted: Value) -> Value {
    if wanted["type"] == "dataframe" {
        let columns = wanted["columns"].as_object_mut().unwrap();
        columns.values_mut().for_each(|c| *c = as_column(c.take()));
    } else if wanted["type"] == "string-array" && wanted["shape"].as_array().unwrap().len() == 1 {
        let texts = wanted["values"].as_array().cloned();
        let shown = texts.map_or_else(|| wanted["values"].clone(), Value::Array);
        wanted = json!({"type": "nullable-string-array", "shape": wanted["shape"], "na_value": "NA", "values": shown});
    }
    wanted
}

/// Big arrays of nullable text have no hash in their description and are listed whole: their nodes are compared instead.
fn without_long_text(wanted: &Value, mut found: Value) -> Value {
    if wanted["type"] == "nullable-string-array" && wanted["values"].is_null() {
        found["values"] = Value::Null;
    }
    found
}

/// All that our own library reads.
fn read_all(shadow: &AnnDataShadow) -> BTreeMap<String, Value> {
    let read = |path: &str| match shadow.member(path).unwrap().element() {
        Ok(element) => describe(&element),
        Err(e) if is_unsupported(&e) => json!("unsupported"),
        Err(e) => panic!("{e}"),
    };
    shadow.elements().unwrap().into_iter().map(|e| (e.path.clone(), read(&e.path))).collect()
}

/// Opened anew: the old elements as before, the new ones as set, and nothing else.
fn own_reading(
    kind: &Kind,
    path: &Path,
    before: BTreeMap<String, Value>,
    leaves: &BTreeMap<String, (Value, Option<&Element>)>,
) -> Vec<String> {
    let mut wanted = before;
    for (path, (description, _)) in leaves {
        wanted.insert(path.clone(), as_stored(kind, path, description.clone()));
    }
    let mut found = read_all(&AnnDataShadow::open(path).unwrap());
    for (path, wanted) in &wanted {
        if let Some(found) = found.get_mut(path) {
            index_as_pandas_has_it(wanted, found);
            // New text without missing values gets the attribute NaN, as pandas 3 does; anndata 0.12 ignores it.
            let is_new = leaves.contains_key(path);
            if is_new {
                forget_na_value(found);
                *found = without_long_text(wanted, found.take());
            }
        }
    }
    differences("own", &json!(wanted), &json!(found))
}

fn forget_na_value(described: &mut Value) {
    if described["type"] == "nullable-string-array" {
        described["na_value"] = json!("NA");
    } else if let Some(columns) = described.get_mut("columns").and_then(Value::as_object_mut) {
        columns.values_mut().for_each(forget_na_value);
    }
}

/// The AnnData as Python reads it. Gives the number of elements compared.
fn object_faults(
    kind: &Kind,
    expected: &Value,
    answer: &Value,
    leaves: &BTreeMap<String, (Value, Option<&Element>)>,
    faults: &mut Vec<String>,
) -> usize {
    let mut wanted = elements_of(&expected["object"]);
    for (path, (description, _)) in leaves {
        let mut description = as_stored(kind, path, description.clone());
        // On load, the frame's index takes the name of the axis.
        let axis = path.strip_suffix("m/new_frame").map(|slot| &expected["object"][slot]);
        if let Some(frame) = axis {
            description["index_name"] = frame["index_name"].clone();
        }
        wanted.insert(path.clone(), description);
    }
    let mut found = elements_of(&answer["object"]);
    for (path, wanted) in &wanted {
        if let Some(found) = found.get_mut(path) {
            *found = without_long_text(wanted, found.take());
        }
    }
    faults.extend(differences("object", &json!(wanted), &json!(found)));
    wanted.len()
}

/// The nodes on disk: old ones as they were, new ones where they belong, in the dialect of the store and in the chunks that
/// anndata itself would choose.
fn node_faults(
    kind: &Kind,
    expected: &Value,
    answer: &Value,
    added: &[Addition],
    leaves: &BTreeMap<String, (Value, Option<&Element>)>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let (old, new) = (nodes_below(&expected["nodes"], ""), nodes_below(&answer["nodes"], ""));
    for (path, node) in &old {
        let Some(mut now) = new.get(path).cloned() else {
            faults.push(format!("node {path} is gone"));
            continue;
        };
        now.as_object_mut().unwrap().remove("style");
        let mut wanted = node.clone();
        for frame in ["obs", "var"].iter().filter(|f| within(kind.inner, f) == *path) {
            let names = added.iter().filter_map(|a| a.path.strip_prefix(&format!("{frame}/")));
            let order = wanted["attrs"]["column-order"].as_array_mut().unwrap();
            order.extend(names.map(|n| json!(n)));
        }
        faults.extend(differences(&format!("old node {path}"), &wanted, &now));
    }

    let below = nodes_below(&answer["nodes"], kind.inner);
    let style = ["X/data", "X"].iter().find_map(|at| below.get(*at)).unwrap()["style"].clone();
    let mut arrays = 0;
    for (path, node) in new.iter().filter(|(path, _)| !old.contains_key(*path)) {
        let is_ours = added.iter().any(|a| {
            let at = within(kind.inner, &a.path);
            *path == at || path.starts_with(&format!("{at}/")) || at.starts_with(&format!("{path}/"))
        });
        if !is_ours {
            faults.push(format!("node {path} is new and was not set"));
        }
        if node["node"] != "array" {
            continue;
        }
        arrays += 1;
        let mut inside = path.strip_prefix(kind.inner).unwrap().trim_start_matches('/').to_owned();
        if let Some(slot) = inside.split_once("m/new_frame/_index").map(|(slot, _)| slot) {
            // On load, the frame's index takes the name of the axis; so does what anndata writes.
            let name = answer["object"][slot]["index_name"].as_str().unwrap_or("_index");
            inside = inside.replacen("_index", name, 1);
        }
        let shape = node["shape"].as_array();
        let is_empty = shape.is_some_and(|s| s.contains(&json!(0)));
        // An array without items is one block here; h5py chunks it if the file is compressed, to no effect.
        if !(is_empty && kind.compression.is_some()) {
            let guess = &answer["guess"][format!("/{inside}")];
            faults.extend(differences(&format!("storage of {path}"), guess, &node["storage"]));
        }
        if shape.is_some_and(|s| !s.is_empty()) && !is_empty {
            let mut style = style.clone();
            if node["dtype"] == "struct" && !style["sharded"].is_null() {
                // Nobody shards structured arrays.
                style["sharded"] = json!(false);
            }
            faults.extend(differences(&format!("style of {path}"), &style, &node["style"]));
        }
    }
    assert!(arrays >= FLOOR, "only {arrays} new arrays");

    for (path, (_, element)) in leaves {
        faults.extend(element.iter().flat_map(|e| node_differences(path, &below, e)));
    }
    let known = ["", "X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns", "raw"];
    let unknown = below.keys().filter(|p| !p.contains('/') && !known.contains(&p.as_str()));
    faults.extend(unknown.map(|p| format!("`{p}` cannot stand in the root")));
    faults
}

/// Every file below a directory (or the file), by path, with its content.
fn files_below(path: &Path) -> BTreeMap<String, Vec<u8>> {
    fn visit(at: &Path, root: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        if at.is_file() {
            let name = at.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, std::fs::read(at).unwrap());
            return;
        }
        std::fs::read_dir(at).unwrap().for_each(|entry| visit(&entry.unwrap().path(), root, found));
    }
    let mut found = BTreeMap::new();
    visit(path, path, &mut found);
    found
}

/// Of a Zarr store: files of what was there keep their bytes (but for the metadata that must change), and what is new is
/// below what was added. Of any store: nothing is left beside it.
fn file_faults(kind: &Kind, folder: &Path, before: &BTreeMap<String, Vec<u8>>, added: &[String]) -> Vec<String> {
    let beside: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(beside, [kind.fixture], "left beside the store");
    let after = files_below(&folder.join(kind.fixture));
    if before.contains_key("") {
        return Vec::new();
    }
    let documents = ["zarr.json", ".zattrs"];
    let frames = ["obs", "var"].iter().flat_map(|f| documents.map(|d| format!("{}/{d}", within(kind.inner, f))));
    let mut may_change: BTreeSet<String> = frames.collect();
    let is_consolidated = before.contains_key(".zmetadata")
        || before.get("zarr.json").is_some_and(|b| String::from_utf8_lossy(b).contains("consolidated_metadata"));
    if is_consolidated {
        may_change.extend([".zmetadata", "zarr.json"].map(str::to_owned));
    }
    let mut faults = Vec::new();
    for (name, bytes) in before {
        match after.get(name) {
            None => faults.push(format!("file {name} is gone")),
            Some(now) if now != bytes && !may_change.contains(name) => {
                faults.push(format!("file {name} was rewritten"))
            }
            Some(_) => {}
        }
    }
    for name in after.keys().filter(|n| !before.contains_key(*n)) {
        let is_ours = added.iter().any(|a| {
            let (group, file) = name.rsplit_once('/').unwrap_or(("", name));
            let is_document = ["zarr.json", ".zgroup", ".zattrs"].contains(&file);
            name.starts_with(&format!("{a}/")) || (is_document && a.starts_with(&format!("{group}/")))
        });
        let is_hidden = name.split('/').any(|p| p.starts_with('.') && ![".zarray", ".zgroup", ".zattrs"].contains(&p));
        if !is_ours || is_hidden {
            faults.push(format!("file {name} was left"));
        }
    }
    faults
}
