//! What the suites against Python share: where the fixtures are, elements described as `make_fixtures.py` describes them
//! (see its docstring), and the comparison of two descriptions.

#![allow(dead_code)] // No suite uses all of it.

pub mod dice;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anndata_shadow::ndarray;
use anndata_shadow::{
    AnnDataShadow, Array, ByteString, DType, Element, ElementInfo, Error, Frame, Item, Kind, Member, NaValue, Nested,
    Records, Table,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Arrays of more items are described by their hash alone.
const MAX_VALUES: usize = 64;

const SET_UP: &str = "run `make test`, or tools/setup.sh --fixtures";

fn in_workspace(variable: &str, default: &str) -> PathBuf {
    let path =
        std::env::var_os(variable).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(default), PathBuf::from);
    assert!(path.exists(), "there is no {}: {SET_UP}", path.display());
    path
}

/// The directory of fixtures.
pub fn fixtures() -> PathBuf {
    in_workspace("ADSHADOW_FIXTURES", "target/fixtures")
}

/// The directory of arrays in every codec.
pub fn codecs() -> PathBuf {
    in_workspace("ADSHADOW_CODECS", "target/codecs")
}

/// Names of all fixtures, sorted.
pub fn fixture_names() -> Vec<String> {
    let entries = std::fs::read_dir(fixtures()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|n| !n.ends_with(".json")).collect();
    names.sort();
    assert!(!names.is_empty(), "there are no fixtures: {SET_UP}");
    names
}

/// The `NAME.expected.json` of a fixture.
pub fn expected(name: &str) -> Value {
    let path = fixtures().join(format!("{name}.expected.json"));
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}: {SET_UP}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// Runs `tests/python/SCRIPT` with a job and gives its answer.
pub fn python(script: &str, job: &Value) -> Value {
    let interpreter = in_workspace("ADSHADOW_PYTHON", ".venv/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let folder = tempfile::tempdir().unwrap();
    let (question, answer) = (folder.path().join("job.json"), folder.path().join("answer.json"));
    std::fs::write(&question, job.to_string()).unwrap();
    let run = Command::new(interpreter).arg("-B").arg(&script).arg(&question).arg(&answer).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{} failed on {job}:\n{said}", script.display());
    serde_json::from_slice(&std::fs::read(answer).unwrap()).unwrap()
}

/// One AnnData of a store: where it is, how the reference reader decodes it, and what is on disk there.
pub struct Object {
    /// Path inside the store; empty for the root.
    pub inner: String,
    pub described: Value,
    /// Nodes by their path inside the AnnData, without leading slash; the root is "".
    pub nodes: BTreeMap<String, Value>,
}

/// The AnnData objects of a fixture: itself, its table, or its modalities.
pub fn objects(expected: &Value) -> Vec<Object> {
    let object = &expected["object"];
    let here = |inner: String, described: &Value| Object {
        nodes: nodes_below(&expected["nodes"], &inner),
        described: described.clone(),
        inner,
    };
    match expected["kind"].as_str().unwrap() {
        "anndata" => vec![here(String::new(), object)],
        "spatialdata" => vec![here("tables/table".into(), object)],
        "mudata" => entries(&object["mod"]).map(|(name, o)| here(format!("mod/{name}"), o)).collect(),
        other => panic!("unknown kind {other}"),
    }
}

/// The nodes of a listing at and below `inner`, by their path from there.
pub fn nodes_below(nodes: &Value, inner: &str) -> BTreeMap<String, Value> {
    let below = |path: &str| {
        let rest = path.strip_prefix('/')?.strip_prefix(inner)?;
        if inner.is_empty() || rest.is_empty() {
            Some(rest.to_owned())
        } else {
            rest.strip_prefix('/').map(str::to_owned)
        }
    };
    let list = nodes.as_array().unwrap().iter();
    list.filter_map(|n| Some((below(n["path"].as_str()?)?, n.clone()))).collect()
}

pub fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().unwrap_or_else(|| panic!("no dict: {value}")).iter()
}

/// A described AnnData as its elements by path, in the form of `AnnDataShadow::elements`: dicts down to their leaves, frames
/// of the object as columns; what is null at X or raw is not there.
pub fn elements_of(object: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut matrix = |path: &str, x: &Value| {
        if x["type"] != "null" {
            found.insert(path.to_owned(), x.clone());
        }
    };
    matrix("X", &object["X"]);
    let raw = &object["raw"];
    if !raw.is_null() {
        matrix("raw/X", &raw["X"]);
        add_columns("raw/var", &raw["var"], &mut found);
        add_items("raw/varm", &raw["varm"], &mut found);
    }
    for frame in ["obs", "var"] {
        add_columns(frame, &object[frame], &mut found);
    }
    for slot in ["layers", "obsm", "varm", "obsp", "varp", "uns"] {
        add_items(slot, &object[slot], &mut found);
    }
    found
}

/// A described MuData likewise, in the form of `MuDataShadow::elements`.
pub fn elements_of_mudata(object: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for frame in ["obs", "var"] {
        add_columns(frame, &object[frame], &mut found);
    }
    for slot in ["obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap"] {
        add_items(slot, &object[slot], &mut found);
    }
    for (name, modality) in entries(&object["mod"]) {
        found.extend(elements_of(modality).into_iter().map(|(path, e)| (format!("mod/{name}/{path}"), e)));
    }
    found
}

/// Compares what is listed with what is wanted. Gives the number of elements compared, and what differs; `excused` says
/// which elements may be unreadable or unknown to Python.
pub fn compare(
    listed: Vec<ElementInfo>,
    member: impl Fn(&str) -> Member,
    mut wanted: BTreeMap<String, Value>,
    excused: impl Fn(&str) -> bool,
) -> (usize, Vec<String>) {
    let (mut compared, mut faults) = (0, Vec::new());
    for listed in listed {
        let Some(wanted) = wanted.remove(&listed.path) else {
            if listed.info.kind != Kind::Null && !excused(&listed.path) {
                faults.push(format!("{} is listed, but Python has no such element", listed.path));
            }
            continue;
        };
        match member(&listed.path).element() {
            Ok(element) => {
                let mut found = describe(&element);
                index_as_pandas_has_it(&wanted, &mut found);
                if wanted["type"] == "nullable-string-array" {
                    // anndata 0.12 ignores the attribute.
                    found["na_value"] = wanted["na_value"].clone();
                }
                one_axis_as_anndata_has_it(&wanted, &mut found);
                faults.extend(differences(&listed.path, &wanted, &found));
                faults.extend(info_differences(&listed, &element));
                compared += 1;
            }
            Err(e) if is_unsupported(&e) && excused(&listed.path) => {}
            Err(e) => faults.push(e.to_string()),
        }
    }
    faults.extend(wanted.keys().map(|path| format!("{path} is not listed")));
    (compared, faults)
}

fn add_columns(path: &str, frame: &Value, found: &mut BTreeMap<String, Value>) {
    let index = frame["index_name"].as_str().unwrap_or("_index");
    found.insert(format!("{path}/{index}"), frame["index"].clone());
    add_items(path, &frame["columns"], found);
}

fn add_items(path: &str, items: &Value, found: &mut BTreeMap<String, Value>) {
    for (name, item) in entries(items) {
        let path = format!("{path}/{name}");
        if item["type"] == "dict" {
            add_items(&path, &item["items"], found);
            found.insert(path, json!({"type": "dict"}));
        } else {
            found.insert(path, item.clone());
        }
    }
}

/// pandas turns an index of `nullable-string-array` into one of plain text (if nothing is missing): brings `found`, as this
/// library read it from disk, into that form where Python has it in `wanted`.
pub fn index_as_pandas_has_it(wanted: &Value, found: &mut Value) {
    if wanted["type"] == "dataframe" && found["type"] == "dataframe" {
        return index_as_pandas_has_it(&wanted["index"], &mut found["index"]);
    }
    let texts: Option<Vec<String>> = found["values"]
        .as_array()
        .filter(|_| wanted["type"] == "string-array" && found["type"] == "nullable-string-array")
        .and_then(|values| values.iter().map(|v| v.as_str().map(str::to_owned)).collect());
    if let Some(texts) = texts {
        *found = describe_array(&Array::from_vec(texts));
    }
}

/// anndata makes (n, 1) of what has one axis in obsm and varm; here it stays as it is stored.
fn one_axis_as_anndata_has_it(wanted: &Value, found: &mut Value) {
    if let Some([n]) = found["shape"].as_array().map(Vec::as_slice)
        && wanted["shape"] == json!([n, 1])
    {
        found["shape"] = wanted["shape"].clone();
    }
}

/// The kind of an element.
pub fn kind_of(element: &Element) -> Kind {
    match element {
        Element::Array(a) if a.ndim() == 0 => Kind::Scalar,
        Element::Array(_) => Kind::Array,
        Element::Sparse(_) => Kind::Sparse,
        Element::Categorical(_) => Kind::Categorical,
        Element::Nullable(_) => Kind::Nullable,
        Element::Table(_) => Kind::Table,
        Element::Records(_) => Kind::Records,
        Element::Awkward(_) => Kind::Awkward,
        Element::Mapping(_) => Kind::Mapping,
        Element::Null => Kind::Null,
        other => panic!("an element of a new kind: {other:?}"),
    }
}

/// numpy's name of the dtype; a byte string is as wide as the longest item, as those of the fixtures are.
fn dtype_name(array: &Array) -> String {
    match array {
        Array::Bytes(items) => format!("bytes{}", width(items)),
        other => other.dtype().name().to_owned(),
    }
}

fn width(items: &ndarray::ArrayD<ByteString>) -> usize {
    items.iter().map(|item| item.0.len()).max().unwrap_or(0).max(1)
}

/// The hash of the elements in C order.
pub fn sha256(array: &Array) -> String {
    let mut hash = Sha256::new();
    match array {
        Array::Str(texts) => {
            for text in texts {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
        }
        Array::Bytes(items) => {
            let field = vec![0; width(items)];
            for item in items {
                hash.update(&item.0);
                hash.update(&field[item.0.len()..]);
            }
        }
        numbers => hash.update(numbers.to_le_bytes()),
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The items in C order as JSON.
fn values(array: &Array) -> Vec<Value> {
    let complex = |re: f64, im: f64| json!([number(re), number(im)]);
    match array {
        Array::Bool(a) => a.iter().map(|&x| json!(x)).collect(),
        Array::U64(a) => a.iter().map(|&x| json!(x)).collect(),
        Array::Str(a) => a.iter().map(|x| json!(x)).collect(),
        Array::Bytes(a) => a.iter().map(|x| json!(x.0.iter().copied().map(char::from).collect::<String>())).collect(),
        Array::C64(a) => a.iter().map(|x| complex(f64::from(x.re), f64::from(x.im))).collect(),
        Array::C128(a) => a.iter().map(|x| complex(x.re, x.im)).collect(),
        Array::DatetimeS(a) => a.iter().map(|x| json!(x.0)).collect(),
        Array::DatetimeMs(a) => a.iter().map(|x| json!(x.0)).collect(),
        Array::DatetimeUs(a) => a.iter().map(|x| json!(x.0)).collect(),
        Array::DatetimeNs(a) => a.iter().map(|x| json!(x.0)).collect(),
        a if a.dtype().is_integer() => a.to_i64().unwrap().into_iter().map(|x| json!(x)).collect(),
        a => a.to_f64().unwrap().into_iter().map(number).collect(),
    }
}

fn number(x: f64) -> Value {
    match x {
        _ if x.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(x),
    }
}

/// An element as `describe` of make_fixtures.py gives it; of a dict, only that it is one.
pub fn describe(element: &Element) -> Value {
    match element {
        Element::Array(a) if a.ndim() == 0 => {
            let is_text = a.dtype() == DType::Str;
            json!({"type": if is_text { "string" } else { "numeric-scalar" }, "value": values(a)[0]})
        }
        Element::Array(a) => describe_array(a),
        Element::Sparse(s) => {
            let mut out = json!({"type": s.format().name(), "dtype": s.data().dtype().name(), "shape": s.shape(), "nnz": s.nnz()});
            // Python says no more of what does not fit into memory (corpus.py), and the nodes on disk are compared all the same.
            if s.shape().iter().product::<usize>() < 1 << 31 {
                let dense = describe_array(&s.to_dense().unwrap());
                out["dense_sha256"] = dense["sha256"].clone();
                if let Some(list) = dense.get("values") {
                    out["dense_values"] = list.clone();
                }
            }
            out
        }
        Element::Categorical(c) => {
            let codes: Vec<i64> = c.positions().into_iter().map(|p| p.map_or(-1, |p| p as i64)).collect();
            json!({"type": "categorical", "shape": [c.len()], "ordered": c.ordered(), "codes": codes,
                "categories": describe_array(c.categories())})
        }
        Element::Nullable(n) => {
            let shown: Vec<Value> = values(n.values())
                .into_iter()
                .zip(n.missing())
                .map(|(x, &m)| if m { Value::Null } else { x })
                .collect();
            let mut out = json!({"shape": [n.len()], "values": shown});
            match n.values().dtype() {
                DType::Bool => out["type"] = json!("nullable-boolean"),
                DType::Str => {
                    out["type"] = json!("nullable-string-array");
                    out["na_value"] = json!(if n.na_value() == NaValue::Na { "NA" } else { "NaN" });
                }
                dtype => {
                    out["type"] = json!("nullable-integer");
                    out["dtype"] = json!(dtype.name());
                }
            }
            out
        }
        Element::Table(t) => describe_table(t),
        Element::Records(r) => describe_records(r),
        Element::Awkward(a) => {
            json!({"type": "awkward-array", "length": a.len(), "values": a.iter().map(nested).collect::<Vec<_>>()})
        }
        Element::Mapping(_) => json!({"type": "dict"}),
        Element::Null => json!({"type": "null"}),
        other => panic!("an element of a new kind: {other:?}"),
    }
}

pub fn describe_array(a: &Array) -> Value {
    let kind = if a.dtype() == DType::Str { "string-array" } else { "array" };
    let mut out = json!({"type": kind, "dtype": dtype_name(a), "shape": a.shape(), "sha256": sha256(a)});
    if a.len() <= MAX_VALUES {
        out["values"] = Value::Array(values(a));
    }
    out
}

/// Fields of byte strings are not compared by their width, which a reader need not keep.
fn describe_records(r: &Records) -> Value {
    let own = |field: &Array| field.shape()[r.shape().len()..].to_vec();
    let fields: Vec<Value> = r.fields().iter().map(|(n, f)| json!([n, f.dtype().name(), own(f)])).collect();
    let mut out = json!({"type": "rec-array", "dtype": "struct", "shape": r.shape(), "fields": fields});
    let items: usize = r.shape().iter().product();
    if items <= MAX_VALUES {
        let columns: Vec<Vec<Value>> = r.fields().iter().map(|(_, f)| values(f)).collect();
        let cell = |i: usize, column: &Vec<Value>, axes: &[usize]| match axes {
            [] => column[i].clone(),
            axes => {
                let width: usize = axes.iter().product();
                json!(column[i * width..(i + 1) * width])
            }
        };
        let row = |i| json!(columns.iter().zip(r.fields()).map(|(c, (_, f))| cell(i, c, &own(f))).collect::<Vec<_>>());
        out["values"] = (0..items).map(row).collect();
    }
    out
}

fn nested(value: Nested) -> Value {
    let all = |items: Vec<Nested>| items.into_iter().map(nested).collect::<Vec<_>>();
    match value {
        Nested::Null => Value::Null,
        Nested::Bool(x) => json!(x),
        Nested::Int(x) => json!(x),
        Nested::Uint(x) => json!(x),
        Nested::Float(x) => number(x),
        Nested::Complex(x) => json!([number(x.re), number(x.im)]),
        Nested::Str(x) => json!(x),
        Nested::Bytes(x) => json!({"bytes_latin1": x.into_iter().map(char::from).collect::<String>()}),
        Nested::List(items) => json!(all(items)),
        Nested::Tuple(items) => json!({"tuple": all(items)}),
        Nested::Record(fields) => fields.into_iter().map(|(name, x)| (name, nested(x))).collect(),
        other => panic!("a value of a new kind: {other:?}"),
    }
}

fn describe_table(t: &Table) -> Value {
    let names: Vec<&String> = t.columns().iter().map(|(name, _)| name).collect();
    let columns: Map<String, Value> = t.columns().iter().map(|(name, c)| (name.clone(), describe(c))).collect();
    json!({"type": "dataframe", "shape": [t.n_rows(), names.len()], "index_name": t.index_name(),
        "index": describe(t.index()), "column_order": names, "columns": columns})
}

/// Where two descriptions differ. Floats in `values` may differ in the last place, by which serde_json may misread a number;
/// the hashes beside them are exact.
pub fn differences(at: &str, wanted: &Value, found: &Value) -> Vec<String> {
    match (wanted, found) {
        (Value::Object(w), Value::Object(f)) => {
            let keys: std::collections::BTreeSet<&String> = w.keys().chain(f.keys()).collect();
            let value = |m: &Map<String, Value>, k: &str| m.get(k).cloned().unwrap_or_else(|| json!("<absent>"));
            keys.into_iter().flat_map(|k| differences(&format!("{at}.{k}"), &value(w, k), &value(f, k))).collect()
        }
        (Value::Array(w), Value::Array(f)) if w.len() == f.len() => {
            w.iter().zip(f).enumerate().flat_map(|(i, (w, f))| differences(&format!("{at}[{i}]"), w, f)).collect()
        }
        (Value::Number(w), Value::Number(f)) if w.is_f64() && f.is_f64() => {
            let bits = |x: &serde_json::Number| x.as_f64().unwrap_or_default().to_bits();
            if bits(w).abs_diff(bits(f)) <= 1 { Vec::new() } else { vec![format!("{at}: {w} wanted, {f} found")] }
        }
        _ if wanted == found => Vec::new(),
        _ => {
            let short = |v: &Value| v.to_string().chars().take(300).collect::<String>();
            vec![format!("{at}: {} wanted, {} found", short(wanted), short(found))]
        }
    }
}

/// Where an element differs from the nodes on disk at and below `path`: dtypes that the object does not show, and every bit.
pub fn node_differences(path: &str, nodes: &BTreeMap<String, Value>, element: &Element) -> Vec<String> {
    let check = |part: &str, array: &Array| -> Vec<String> {
        let at = if part.is_empty() { path.to_owned() } else { format!("{path}/{part}") };
        let Some(node) = nodes.get(&at) else {
            // What older layouts keep elsewhere, or as one field of many, is not where it is shown.
            let is_old = nodes.get("").is_some_and(|root| root["attrs"]["encoding-type"].is_null());
            return if is_old { Vec::new() } else { vec![format!("{at}: no such node on disk")] };
        };
        let is_text = array.dtype() == DType::Str;
        if is_text && node["dtype"].as_str().is_some_and(|d| d.starts_with("bytes")) {
            // Fixed text of HDF5, of which h5py shows the bytes; in the listing, one character each.
            let latin_1 = |text: &str| -> String { text.bytes().map(char::from).collect() };
            let found: Vec<String> = array.to_strings().iter().map(|t| latin_1(t)).collect();
            return differences(&format!("node {at}"), &node["values"], &json!(found));
        }
        if is_text && node["node"] == "group" {
            // Text that this store keeps as `nullable-string-array`.
            let wanted = json!([nodes[&format!("{at}/values")]["sha256"]]);
            return differences(&format!("node {at}"), &wanted, &json!([sha256(array)]));
        }
        let wanted = json!([node["dtype"], node["shape"], node["sha256"]]);
        differences(&format!("node {at}"), &wanted, &json!([dtype_name(array), array.shape(), sha256(array)]))
    };
    match element {
        Element::Array(a) => check("", a),
        Element::Sparse(s) => {
            let indices = |part: &str, list: &[u64]| -> Vec<String> {
                let dtype = nodes.get(&format!("{path}/{part}")).map(|n| n["dtype"].clone()).unwrap_or_default();
                check(part, &integers(dtype.as_str().unwrap_or("int32"), list))
            };
            let minor: Vec<u64> = s.indices().iter().map(|i| i as u64).collect();
            [check("data", s.data()), indices("indices", &minor), indices("indptr", s.indptr())].concat()
        }
        Element::Categorical(c) => [check("codes", c.codes()), check("categories", c.categories())].concat(),
        Element::Nullable(n) => check("mask", &Array::from_vec(n.missing().to_vec())),
        Element::Table(t) => {
            let below = |name: &str, e: &Element| node_differences(&format!("{path}/{name}"), nodes, e);
            let columns = t.columns().iter().flat_map(|(name, column)| below(name, column));
            columns.chain(below(t.index_name().unwrap_or("_index"), t.index())).collect()
        }
        _ => Vec::new(),
    }
}

/// Where an element differs from what Python reads and from what is on disk.
pub fn element_differences(
    path: &str,
    nodes: &BTreeMap<String, Value>,
    wanted: &Value,
    element: &Element,
) -> Vec<String> {
    let mut wanted = wanted.clone();
    // anndata 0.12 ignores the attribute `na-value`, later ones heed it: the disk is right, not the object.
    if wanted["type"] == "nullable-string-array"
        && let Some(na) = nodes.get(path).and_then(|n| n["attrs"].get("na-value"))
    {
        wanted["na_value"] = na.clone();
    }
    let mut found = describe(element);
    index_as_pandas_has_it(&wanted, &mut found);
    one_axis_as_anndata_has_it(&wanted, &mut found);
    [differences(path, &wanted, &found), node_differences(path, nodes, element)].concat()
}

/// Where what is listed without reading differs from what is read.
pub fn info_differences(listed: &ElementInfo, element: &Element) -> Vec<String> {
    let dtype = match element {
        Element::Array(a) => Some(a.dtype()),
        Element::Sparse(s) => Some(s.data().dtype()),
        Element::Categorical(c) => Some(c.categories().dtype()),
        Element::Nullable(n) => Some(n.values().dtype()),
        _ => None,
    };
    let dtype = match element {
        Element::Awkward(a) => Some(a.type_text()),
        _ => dtype.map(|d| d.to_string()),
    };
    let found = (listed.info.kind, listed.info.shape.clone(), listed.info.dtype.clone());
    let right = (kind_of(element), element.shape(), dtype);
    if found == right { Vec::new() } else { vec![format!("{}: listed as {found:?}, is {right:?}", listed.path)] }
}

/// Where the frames differ in the order of columns and the name of the index, which the elements do not show.
pub fn frame_differences(shadow: &AnnDataShadow, described: &Value) -> Vec<String> {
    let raw_var = match shadow.raw() {
        Ok(raw) => raw.map(|r| (r.var(), &described["raw"]["var"])),
        Err(e) => return vec![e.to_string()],
    };
    let frames = [(shadow.obs(), &described["obs"]), (shadow.var(), &described["var"])].into_iter().chain(raw_var);
    let differ = |(frame, wanted): (Frame, &Value)| match (frame.index_name(), frame.columns()) {
        (Ok(index), Ok(columns)) => {
            let wanted = json!([wanted["index_name"].as_str().unwrap_or("_index"), wanted["column_order"]]);
            differences(frame.name(), &wanted, &json!([index, columns]))
        }
        (Err(e), _) | (_, Err(e)) => vec![e.to_string()],
    };
    frames.flat_map(differ).collect()
}

fn integers(dtype: &str, list: &[u64]) -> Array {
    fn cast<T: Item + TryFrom<u64>>(list: &[u64]) -> Array {
        Array::from_vec(list.iter().map(|&x| T::try_from(x).ok().unwrap()).collect())
    }
    match dtype {
        "int8" => cast::<i8>(list),
        "uint8" => cast::<u8>(list),
        "int16" => cast::<i16>(list),
        "uint16" => cast::<u16>(list),
        "int32" => cast::<i32>(list),
        "int64" => cast::<i64>(list),
        "uint32" => cast::<u32>(list),
        "uint64" => cast::<u64>(list),
        other => panic!("indices of {other}"),
    }
}

/// Whether `text` is like `pattern`, in which each `*` stands for anything.
pub fn is_like(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((head, rest)) => text
            .strip_prefix(head)
            .is_some_and(|tail| (0..=tail.len()).any(|i| tail.get(i..).is_some_and(|tail| is_like(tail, rest)))),
    }
}

pub const fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::Unsupported { .. })
}
