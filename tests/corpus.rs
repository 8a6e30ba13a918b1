//! Every real store there is, from ten years and five languages: opened, every element compared with what Python reads,
//! written to, and read by Python again. `make corpus` prints the table; `CORPUS` names another folder than `data/`.
//!
//! Python is anndata 0.12 with mudata 0.3. The next generation, anndata 0.13 with mudata 0.4, says something else in these
//! cases, in each of which the file is followed:
//!
//! - MuData with axis 1 in Zarr: mudata 0.3 drops the axis (and `raw`) that the file has, 0.4 keeps both. `corpus.py` reads
//!   the elements.
//! - The earliest h5mu, without any attribute at the root: 0.3 reads it, 0.4 gives up. It is read.
//! - Structured arrays of the Zarr data type `struct`: 0.12 gives up on the whole file, 0.13 reads it. The rest of the file is
//!   compared with what 0.12 reads element by element.
//! - The attribute `na-value` of nullable text: 0.12 ignores it, 0.13 heeds it. It is heeded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anndata_shadow::ndarray::Array2;
use anndata_shadow::{
    AnnDataShadow, Array, Categorical, Element, ElementInfo, Kind, Mode, MuDataShadow, OpenOptions, WriteOptions,
};
use common::{Object, differences, is_like};
use serde_json::{Value, json};

/// Where this library and Python part, and why. Each row: store (with the path inside it), element, reason; `*` stands for
/// anything. Elements: "" is opening as a whole, "write" is writing, `written/PATH` what Python reads afterwards. A row
/// of which a store here has no need is a failure, too.
const KNOWN: &[(&str, &str, &str)] = &[
    ("h5ad/pbmc_small_seuratdisk.h5ad", "obs/*", CODES),
    (
        "h5ad/simulated_seuratdisk_*",
        "columns",
        "frames without tags: `_index` says which child has the row names; Python numbers rows",
    ),
    (
        "zarr/merfish.spatialdata.zarr/tables/table",
        "var/_index",
        "var is absent; Python makes one, here the names are numbers",
    ),
    (
        "zarr/10x_pbmc68k_reduced_v2.zarr",
        "*var/index",
        "text without chunks and with fill value 0: the format says \"\", Python \"0\"",
    ),
    (
        "zarr/10x_pbmc68k_reduced_v2.zarr",
        "written/*var/*",
        "var is in the map and not on disk; writing puts the map right",
    ),
];

const CODES: &str = "categories that no column refers to (SeuratDisk): Python shows codes";

/// What is added to every store that can be written to.
const NEW: [&str; 3] = ["obsm/corpus_embedding", "obs/corpus_number", "obs/corpus_label"];

/// One line of the table.
#[derive(Default)]
struct Row {
    name: String,
    opens: bool,
    listed: usize,
    read: usize,
    equal: usize,
    /// Elements that are listed and cannot be read, with the reasons.
    opaque: usize,
    reasons: BTreeSet<String>,
    written: &'static str,
}

#[derive(Default)]
struct Report {
    rows: Vec<Row>,
    known_used: BTreeSet<usize>,
    faults: Vec<String>,
}

impl Report {
    /// The reason why `element` of `store` is not as in Python, if the table of known ones has it.
    fn known(&mut self, store: &str, element: &str) -> Option<&'static str> {
        let row = KNOWN.iter().position(|(s, e, _)| is_like(store, s) && is_like(element, e))?;
        self.known_used.insert(row);
        Some(KNOWN[row].2)
    }

    /// Notes what is wrong with an element, unless it is known.
    fn fault(&mut self, store: &str, element: &str, what: impl std::fmt::Display) {
        if self.known(store, element).is_none() {
            self.faults.push(format!("(\"{store}\", \"{element}\", …): {what}"));
        }
    }
}

/// The stores below a folder, by their path from there: files, zips, and directories that are a Zarr root.
fn stores_below(root: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_store = if path.is_dir() {
                path.join(".zgroup").exists() || path.join("zarr.json").exists()
            } else {
                path.extension().is_some_and(|e| e == "h5ad" || e == "h5mu" || e == "zip")
            };
            if is_store {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"), path);
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

fn ask_python(stores: impl Iterator<Item = PathBuf>) -> Value {
    common::python("corpus.py", &json!({"stores": stores.collect::<Vec<_>>()}))
}

#[test]
fn every_store_reads_as_in_python_and_can_be_written_to() {
    let root = std::env::var_os("CORPUS").map_or_else(|| stores::data(""), PathBuf::from);
    let root = root.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let found = stores_below(&root);
    assert!(!found.is_empty(), "no stores below {}", root.display());
    let answers = ask_python(found.values().cloned());
    let copies = tempfile::tempdir().unwrap();
    let mut report = Report::default();
    let mut written = BTreeMap::new();
    for (name, path) in &found {
        let answer = &answers[path.to_str().unwrap()];
        check_store(&mut report, name, path, answer);
        let copy = copies.path().join(name);
        if write_to_store(&mut report, name, path, &copy, answer) {
            written.insert(name, copy);
        }
    }
    let after = ask_python(written.values().cloned());
    for (name, copy) in written {
        let before = &answers[found[name].to_str().unwrap()];
        check_written(&mut report, name, before, &after[copy.to_str().unwrap()]);
    }
    print_table(&report);
    for (row, (store, element, reason)) in KNOWN.iter().enumerate() {
        let names = || report.rows.iter().map(|r| &r.name);
        if !report.known_used.contains(&row) && names().any(|n| is_like(n, store)) {
            report.faults.push(format!("(\"{store}\", \"{element}\", \"{reason}\") is not needed any more"));
        }
    }
    assert!(report.faults.is_empty(), "{} faults:\n{}", report.faults.len(), report.faults.join("\n"));
}

/// The AnnData objects of a store as Python describes them, each with its name in the table.
fn objects<'a>(name: &'a str, answer: &'a Value) -> impl Iterator<Item = (String, Object, &'a Value)> {
    answer["objects"].as_array().unwrap().iter().map(move |o| {
        let inner = o["inner"].as_str().unwrap().to_owned();
        let full = if inner.is_empty() { name.to_owned() } else { format!("{name}/{inner}") };
        let nodes = common::nodes_below(&o["nodes"], "");
        (full, Object { inner, described: o["object"].clone(), nodes }, &o["unreadable"])
    })
}

fn inside(store: &Path, inner: &str) -> PathBuf {
    if inner.is_empty() { store.to_owned() } else { store.join(inner) }
}

fn check_store(report: &mut Report, name: &str, path: &Path, answer: &Value) {
    if answer["kind"].is_null() {
        // Python cannot make sense of it at all, and neither do we: by a typed error, never more.
        let mut row = Row { name: name.to_owned(), written: "refused", ..Row::default() };
        match AnnDataShadow::open(path) {
            Ok(_) => row.opens = true,
            Err(e) => drop(row.reasons.insert(e.to_string().replace(path.to_str().unwrap(), name))),
        }
        report.rows.push(row);
        return;
    }
    if answer["global"].is_object() {
        check_global(report, name, path, &answer["global"]);
    }
    for (full, object, unreadable) in objects(name, answer) {
        let mut row = Row { name: full.clone(), ..Row::default() };
        match AnnDataShadow::open(inside(path, &object.inner)) {
            Ok(shadow) => {
                row.opens = true;
                check_object(report, &mut row, &shadow, &object, unreadable);
            }
            Err(e) => {
                report.fault(&full, "", e);
                row.reasons.extend(report.known(&full, "").map(str::to_owned));
            }
        }
        report.rows.push(row);
    }
}

/// The global part of a MuData.
fn check_global(report: &mut Report, name: &str, path: &Path, described: &Value) {
    let full = format!("{name}/(global)");
    let mut row = Row { name: full.clone(), written: "-", ..Row::default() };
    match MuDataShadow::open(path) {
        Ok(mdata) => {
            row.opens = true;
            let shape = json!([described["n_obs"], described["n_vars"]]);
            if shape != json!([mdata.n_obs(), mdata.n_vars()]) {
                report.fault(&full, "shape", format!("{shape} wanted, {:?} found", mdata.shape()));
            }
            // mudata makes the maps anew where a file has none, or has others: the rows are compared.
            let is_map = |path: &str| path.starts_with("obsmap/") || path.starts_with("varmap/");
            for modality in mdata.modalities() {
                for (map, rows) in [("obsmap", mdata.obs_rows(&modality)), ("varmap", mdata.var_rows(&modality))] {
                    let at = format!("{map}/{modality}");
                    match rows {
                        Ok(rows) => {
                            let counted: Vec<usize> = rows.iter().map(|row| row.map_or(0, |row| row + 1)).collect();
                            let wanted = &described[map][&modality]["values"];
                            let faults = if wanted.is_null() {
                                named_alike(&mdata, &modality, map, &rows)
                            } else {
                                differences(map, wanted, &json!(counted))
                            };
                            faults.into_iter().for_each(|f| report.fault(&full, &at, f));
                        }
                        Err(e) => report.fault(&full, &at, e),
                    }
                }
            }
            let mut whole = described.clone();
            whole["mod"] = json!({});
            let mut wanted = common::elements_of_mudata(&whole);
            wanted.retain(|path, _| !is_map(path));
            let mut listed = mdata.elements().unwrap();
            listed.retain(|e| !e.path.starts_with("mod/") && !is_map(&e.path));
            row.listed = listed.len();
            let (count, faults) = common::compare(listed, |path| mdata.member(path).unwrap(), wanted, is_map);
            (row.read, row.equal) = (count, count.saturating_sub(faults.len()));
            for fault in faults {
                let element = fault.split(':').next().and_then(|at| at.rsplit_once('.')).map_or("", |(path, _)| path);
                report.fault(&full, element, &fault);
            }
        }
        Err(e) => report.fault(&full, "", e),
    }
    report.rows.push(row);
}

/// Where the file has no map: rows that belong together have the same name, and every row of the modality is found.
fn named_alike(mdata: &MuDataShadow, modality: &str, map: &str, rows: &[Option<usize>]) -> Vec<String> {
    let part = mdata.modality(modality).unwrap();
    let (global, own) = match map {
        "obsmap" => (mdata.obs_names().unwrap(), part.obs_names().unwrap()),
        _ => (mdata.var_names().unwrap(), part.var_names().unwrap()),
    };
    let unlike = rows.iter().zip(&global).filter(|(row, name)| row.is_some_and(|row| own[row] != **name)).count();
    let found: BTreeSet<usize> = rows.iter().flatten().copied().collect();
    if unlike == 0 && found.len() == own.len() {
        Vec::new()
    } else {
        vec![format!("{map}: {unlike} rows named unlike")]
    }
}

fn check_object(report: &mut Report, row: &mut Row, shadow: &AnnDataShadow, object: &Object, unreadable: &Value) {
    let (name, described) = (row.name.clone(), &object.described);
    let shape = json!([described["n_obs"], described["n_vars"]]);
    if shape != json!([shadow.n_obs(), shadow.n_vars()]) {
        report.fault(&name, "shape", format!("{shape} wanted, {:?} found", shadow.shape()));
    }
    for fault in common::frame_differences(shadow, described) {
        report.fault(&name, "columns", fault);
    }
    let mut wanted = common::elements_of(described);
    let listed = match shadow.elements() {
        Ok(listed) => listed,
        Err(e) => return report.fault(&name, "", format!("listing: {e}")),
    };
    row.listed = listed.len();
    for info in listed {
        let wanted = wanted.remove(&info.path);
        if info.info.kind == Kind::Mapping && wanted == Some(json!({"type": "dict"})) {
            // What is in it is listed beside it.
            row.read += 1;
            row.equal += 1;
            continue;
        }
        let Some(element) = read(report, row, shadow, &info) else { continue };
        row.read += 1;
        let faults = match wanted {
            Some(wanted) => common::element_differences(&info.path, &object.nodes, &wanted, &element),
            // Python hides a null X; here it is listed as what it is, and does not exist.
            None if info.path == "X" && info.info.kind == Kind::Null => Vec::new(),
            None if unreadable.get(&info.path).is_some() => {
                row.reasons.insert(format!("Python cannot read {}", info.path));
                common::node_differences(&info.path, &object.nodes, &element)
            }
            None => vec!["listed, but Python has no such element".to_owned()],
        };
        // Old layouts keep elements in other places, or several in one node.
        let faults = faults.into_iter().filter(|f| !f.ends_with("no such node on disk"));
        let faults: Vec<String> = faults.chain(common::info_differences(&info, &element)).collect();
        if faults.is_empty() {
            row.equal += 1;
        } else {
            report.fault(&name, &info.path, faults.join("; "));
            row.reasons.extend(report.known(&name, &info.path).map(str::to_owned));
        }
    }
    for path in wanted.keys() {
        report.fault(&name, path, "not listed");
    }
}

fn read(report: &mut Report, row: &mut Row, shadow: &AnnDataShadow, info: &ElementInfo) -> Option<Element> {
    match shadow.member(&info.path).and_then(|m| m.element()) {
        Ok(element) => Some((*element).clone()),
        Err(e) => {
            row.opaque += usize::from(common::is_unsupported(&e));
            let name = row.name.clone();
            report.fault(&name, &info.path, e);
            row.reasons.extend(report.known(&name, &info.path).map(str::to_owned));
            None
        }
    }
}

/// Adds an embedding and two columns to a copy of every AnnData of a store. Whether Python is to look at the copy.
fn write_to_store(report: &mut Report, name: &str, path: &Path, copy: &Path, answer: &Value) -> bool {
    let mut any = false;
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    stores::copy(path, copy);
    for (full, object, _) in objects(name, answer) {
        let at = inside(copy, &object.inner);
        let done = if Path::new(name).extension().is_some_and(|e| e == "zip") {
            // Zips are for reading.
            assert!(open_to_write(&at).is_err(), "{full} opened for writing");
            "zip"
        } else if report.known(&full, "").is_some() {
            "no"
        } else {
            match add(&at) {
                Ok(()) => "yes",
                Err(e) => {
                    report.fault(&full, "write", e);
                    "no"
                }
            }
        };
        any |= done == "yes";
        report.rows.iter_mut().filter(|r| r.name == full).for_each(|r| r.written = done);
    }
    any
}

fn open_to_write(path: &Path) -> anndata_shadow::Result<AnnDataShadow> {
    AnnDataShadow::open_with(path, &OpenOptions::default().mode(Mode::ReadWrite))
}

/// The new elements, for this many observations.
fn new_elements(n: usize) -> [Element; 3] {
    let embedding = Array2::from_shape_fn((n, 2), |(row, column)| row as f32 / 7.0 - column as f32);
    let number = Array::from_vec((0..n).map(|row| row as f64 / 3.0).collect());
    let codes = Array::from_vec((0..n).map(|row| (row % 3) as i8 - 1).collect());
    let label = Categorical::new(codes, Array::from_vec(vec!["left".to_owned(), "rïght".to_owned()]), true).unwrap();
    [Array::from(embedding).into(), number.into(), label.into()]
}

fn add(path: &Path) -> anndata_shadow::Result<()> {
    let shadow = open_to_write(path)?;
    for (at, element) in NEW.into_iter().zip(new_elements(shadow.n_obs())) {
        let (slot, name) = at.split_once('/').unwrap();
        if slot == "obs" { shadow.obs().insert_element(name, element)? } else { shadow.obsm().insert(name, element)? }
    }
    shadow.write(WriteOptions::default()).map(drop)
}

/// Python must read what it read before, and what is new.
fn check_written(report: &mut Report, name: &str, before: &Value, after: &Value) {
    for fault in differences("global", &before["global"], &after["global"]) {
        report.fault(name, "written/global", fault);
    }
    for ((full, old, _), (_, new, _)) in objects(name, before).zip(objects(name, after)) {
        if report.rows.iter().any(|r| r.name == full && r.written != "yes") {
            continue;
        }
        let (wanted, mut found) = (common::elements_of(&old.described), common::elements_of(&new.described));
        let n = usize::try_from(old.described["n_obs"].as_u64().unwrap()).unwrap();
        let mut faults = Vec::new();
        for (path, element) in NEW.into_iter().zip(new_elements(n)) {
            let there = found.remove(path).unwrap_or_default();
            faults.extend(
                differences(path, &common::describe(&element), &there).into_iter().map(|f| (path.to_owned(), f)),
            );
        }
        let paths: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
        for path in paths {
            let of = |all: &BTreeMap<String, Value>| all.get(path).cloned().unwrap_or_default();
            faults.extend(differences(path, &of(&wanted), &of(&found)).into_iter().map(|f| (path.clone(), f)));
        }
        let is_right = faults.is_empty();
        for (path, fault) in faults {
            report.fault(&full, &format!("written/{path}"), fault);
        }
        if !is_right {
            report.rows.iter_mut().filter(|r| r.name == full).for_each(|r| r.written = "differs");
        }
    }
}

fn print_table(report: &Report) {
    let width = report.rows.iter().map(|r| r.name.chars().count()).max().unwrap_or_default();
    println!("{:width$}  opens  elements   read  equal  opaque  written  remarks", "store");
    for r in &report.rows {
        let opens = if r.opens { "yes" } else { "no" };
        let remarks = r.reasons.iter().map(String::as_str).collect::<Vec<_>>().join("; ");
        let (listed, read, equal, opaque) = (r.listed, r.read, r.equal, r.opaque);
        println!(
            "{:width$}  {opens:5}  {listed:8}  {read:5}  {equal:5}  {opaque:6}  {:7}  {remarks}",
            r.name, r.written
        );
    }
    let sum = |of: fn(&Row) -> usize| report.rows.iter().map(of).sum::<usize>();
    println!(
        "{} AnnData objects, {} open, {} written to; {} elements, {} read, {} equal to Python, {} opaque",
        report.rows.len(),
        sum(|r| usize::from(r.opens)),
        sum(|r| usize::from(r.written == "yes")),
        sum(|r| r.listed),
        sum(|r| r.read),
        sum(|r| r.equal),
        sum(|r| r.opaque),
    );
}
