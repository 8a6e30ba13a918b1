//! Views against anndata's and mudata's own slicing of the same file, element by element.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use anndata_shadow::{AnnDataShadow, MuDataShadow, Select};
use common::dice::Dice;
use common::{differences, elements_of, elements_of_mudata};
use serde_json::{Value, json};

/// Stores of every container and form of X.
const FIXTURES: &[&str] = &[
    "main.h5ad",
    "main_gzip.h5ad",
    "main_v2.zarr",
    "main_v3.zarr",
    "main_v3_sharded.zarr",
    "chunks.h5ad",
    "codecs_v2.zarr",
    "codecs_v3.zarr",
    "x_csc_f64.h5ad",
    "x_csc_f64_v3.zarr",
    "x_csr_int64_indptr.h5ad",
    "x_dense_u8.h5ad",
    "x_dense_u8_v3.zarr",
    "x_dense_f16_v3.zarr",
    "nullable_string_index.h5ad",
    "nullable_string_index_v2.zarr",
    "nullable_string_index_v3.zarr",
    "no_x_v3.zarr",
    "legacy_05.h5ad",
    "legacy_06.h5ad",
    "legacy_07.h5ad",
    "legacy_07_v2.zarr",
];

/// Selections drawn for each store, and elements that must be compared in all, at least.
const CHAINS: usize = 25;
const FLOOR: usize = 5000;

/// A selection, for us and for Python. `kind` counts through the kinds, so that all of them come.
fn draw(dice: &mut Dice, kind: usize, names: &[String]) -> (Select, Value) {
    let n = names.len();
    // A name that stands twice (after a repeat) is refused by both.
    let unique = |name: &&String| names.iter().filter(|other| other == name).count() == 1;
    match kind % 7 {
        0 => (Select::All, json!({"slice": [null, null, null]})),
        1 | 2 => {
            let (start, stop) = (dice.bound(n), dice.bound(n));
            let step = if kind % 7 == 1 { 1 } else { [2, -1, -2, 3, -3][dice.below(5)] };
            (Select::Slice { start, stop, step }, json!({"slice": [start, stop, step]}))
        }
        3 if n > 0 => {
            let list: Vec<i64> = (0..dice.below(2 * n) + 1).map(|_| dice.position(n)).collect();
            (Select::List(list.clone()), json!({"list": list}))
        }
        4 => {
            let mask: Vec<bool> = (0..n).map(|_| dice.below(2) == 0).collect();
            (Select::Mask(mask.clone()), json!({"mask": mask}))
        }
        5 if names.iter().any(|name| unique(&name)) => {
            let known: Vec<&String> = names.iter().filter(unique).collect();
            let mut picked: Vec<String> = Vec::new();
            for _ in 0..dice.below(known.len()) + 1 {
                let name = known[dice.below(known.len())];
                if !picked.contains(name) {
                    picked.push(name.clone());
                }
            }
            (Select::Names(picked.clone()), json!({"names": picked}))
        }
        6 if n > 0 => {
            let i = dice.position(n);
            (Select::One(i), json!({"one": i}))
        }
        _ => (Select::All, json!({"slice": [0, n, 1]})),
    }
}

#[test]
fn views_are_anndatas_slices() {
    let (mut compared, mut views) = (0, 0);
    let mut faults = Vec::new();
    for (seed, fixture) in FIXTURES.iter().enumerate() {
        let path = common::fixtures().join(fixture);
        let shadow = AnnDataShadow::open(&path).unwrap();
        let mut dice = Dice(seed as u64);
        let (mut chains, mut cut) = (Vec::new(), Vec::new());
        for k in 0..CHAINS {
            // Every third view is nested two deep, every third three deep.
            let (mut view, mut chain) = (shadow.clone(), Vec::new());
            for depth in 0..=k % 3 {
                let (obs, for_python) = draw(&mut dice, k + depth, &view.obs_names().unwrap());
                let (var, var_for_python) = draw(&mut dice, k / 2 + 3 * depth + 1, &view.var_names().unwrap());
                view = view.select(obs, var).unwrap();
                chain.push(json!([for_python, var_for_python]));
            }
            chains.push(Value::Array(chain));
            cut.push(view);
        }
        let container = &common::expected(fixture)["container"];
        let answer =
            common::python("slices.py", &json!({"path": path, "container": container, "chains": chains.clone()}));
        for ((view, chain), wanted) in cut.iter().zip(&chains).zip(answer.as_array().unwrap()) {
            let (count, found) = compare(view, wanted);
            compared += count;
            views += 1;
            faults.extend(found.into_iter().map(|f| format!("{fixture} {chain}: {f}")));
        }
    }
    println!("{} stores, {views} views, {compared} elements compared", FIXTURES.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(compared >= FLOOR, "only {compared} elements compared");
}

fn compare(view: &AnnDataShadow, wanted: &Value) -> (usize, Vec<String>) {
    let mut faults =
        differences("shape", &json!([wanted["n_obs"], wanted["n_vars"]]), &json!([view.n_obs(), view.n_vars()]));
    let mut wanted = elements_of(wanted);
    wanted.retain(|path, _| !path.starts_with("uns/"));
    let excused = |path: &str| path.starts_with("uns/");
    let (compared, more) =
        common::compare(view.elements().unwrap(), |path| view.member(path).unwrap(), wanted, excused);
    // The categories of `raw.var` in layouts of anndata 0.6, which Python does not look for; fixtures.rs compares them.
    faults.extend(more.into_iter().filter(|f| !f.starts_with("raw/var/v")));
    (compared, faults)
}

/// MuData stores by the file that mudata reads: one per shared axis, one without maps. The Zarr stores hold the same data
/// (mudata 0.3 reads them without `axis` and `raw`).
const MUDATA: &[(&str, &[&str])] = &[
    ("mu.h5mu", &["mu.h5mu", "mu_v2.zarr", "mu_v3.zarr", "mu_v3_sharded.zarr"]),
    ("mu_axis1.h5mu", &["mu_axis1.h5mu", "mu_axis1_v2.zarr", "mu_axis1_v3.zarr"]),
    ("mu_axis_both.h5mu", &["mu_axis_both.h5mu", "mu_axis_both_v2.zarr", "mu_axis_both_v3.zarr"]),
    ("mu_old.h5mu", &["mu_old.h5mu"]),
];
const MUDATA_FLOOR: usize = 6800;

#[test]
fn views_of_mudata_are_mudatas_slices() {
    let (mut compared, mut views) = (0, 0);
    let mut faults = Vec::new();
    for (seed, (oracle, stores)) in MUDATA.iter().enumerate() {
        let path = common::fixtures().join(oracle);
        let shadow = MuDataShadow::open(&path).unwrap();
        let mut dice = Dice(seed as u64);
        let (mut chains, mut drawn) = (Vec::new(), Vec::new());
        for k in 0..CHAINS {
            let (mut view, mut chain, mut selects) = (shadow.clone(), Vec::new(), Vec::new());
            for depth in 0..=k % 3 {
                let (obs, for_python) = draw(&mut dice, k + depth, &view.obs_names().unwrap());
                let (var, var_for_python) = draw(&mut dice, k / 2 + 3 * depth + 1, &view.var_names().unwrap());
                view = view.select(obs.clone(), var.clone()).unwrap();
                chain.push(json!([for_python, var_for_python]));
                selects.push((obs, var));
            }
            chains.push(Value::Array(chain));
            drawn.push(selects);
        }
        let answer =
            common::python("slices.py", &json!({"path": path, "container": "mudata", "chains": chains.clone()}));
        for store in *stores {
            let shadow = MuDataShadow::open(common::fixtures().join(store)).unwrap();
            for ((selects, chain), wanted) in drawn.iter().zip(&chains).zip(answer.as_array().unwrap()) {
                let view =
                    selects.iter().fold(shadow.clone(), |v, (obs, var)| v.select(obs.clone(), var.clone()).unwrap());
                let (count, found) = compare_mudata(&view, wanted);
                compared += count;
                views += 1;
                faults.extend(found.into_iter().map(|f| format!("{store} {chain}: {f}")));
            }
        }
    }
    println!("MuData: {views} views, {compared} elements compared");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(compared >= MUDATA_FLOOR, "only {compared} elements compared");
}

fn compare_mudata(view: &MuDataShadow, wanted: &Value) -> (usize, Vec<String>) {
    let mut faults = differences(
        "shape",
        &json!([wanted["n_obs"], wanted["n_vars"], wanted["mod_order"]]),
        &json!([view.n_obs(), view.n_vars(), view.modalities()]),
    );
    for name in view.modalities() {
        for (map, rows) in [("obsmap", view.obs_rows(&name)), ("varmap", view.var_rows(&name))] {
            let counted: Vec<usize> = rows.unwrap().into_iter().map(|row| row.map_or(0, |row| row + 1)).collect();
            faults.extend(differences(map, &wanted[map][&name]["values"], &json!(counted)));
        }
    }
    let mut elements = elements_of_mudata(wanted);
    elements.retain(|path, _| !path.contains("uns/"));
    // mudata makes the maps anew where a file has none or has others; the rows were compared above.
    let made = |path: &str| path.starts_with("obsmap/") || path.starts_with("varmap/");
    elements.retain(|path, _| !made(path));
    let excused = |path: &str| path.contains("uns/") || made(path);
    let (compared, more) =
        common::compare(view.elements().unwrap(), |path| view.member(path).unwrap(), elements, excused);
    faults.extend(more);
    (compared, faults)
}
