//! Tables at the edges of the format, as anndata writes them: read as anndata reads them, and added to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;

use anndata_shadow::{AnnDataShadow, Array, Element, Mode, OpenOptions, WriteOptions};
use common::{describe, differences, elements_of, index_as_pandas_has_it};
use serde_json::{Value, json};

/// Elements that must be compared, at least.
const FLOOR: usize = 700;

fn odd_tables(folder: &Path, read: &Value) -> Value {
    common::python("odd_tables.py", &json!({"folder": folder, "read": read}))
}

/// Every element of the store against Python's description of it.
fn compare(path: &Path, wanted: &Value, faults: &mut Vec<String>) -> usize {
    let store = path.file_name().unwrap().to_string_lossy().into_owned();
    let shadow = AnnDataShadow::open(path).unwrap();
    let mut found = differences("shape", &json!([wanted["n_obs"], wanted["n_vars"]]), &json!(shadow.shape()));
    let mut compared = 0;
    let mut wanted = elements_of(wanted);
    let all = shadow.elements().unwrap();
    // Of thousands of columns, some.
    let step = 1 + all.len() / 200;
    for (i, listed) in all.into_iter().enumerate() {
        let Some(wanted) = wanted.remove(&listed.path) else {
            found.push(format!("{} is not there in Python", listed.path));
            continue;
        };
        if i % step > 0 {
            continue;
        }
        match shadow.member(&listed.path).unwrap().element() {
            Ok(element) => {
                let mut ours = describe(&element);
                index_as_pandas_has_it(&wanted, &mut ours);
                found.extend(differences(&listed.path, &wanted, &ours));
                assert_eq!(element.shape(), listed.info.shape, "{store} {}", listed.path);
            }
            Err(e) => found.push(e.to_string()),
        }
        compared += 1;
    }
    found.extend(wanted.keys().map(|path| format!("{path} is not listed")));
    let frame = shadow.obs().read().unwrap();
    let width = shadow.obs().columns().unwrap().len() + usize::from(!store.starts_with("index_is_column"));
    assert_eq!(frame.shape(), (shadow.n_obs(), width), "{store}");
    faults.extend(found.into_iter().map(|f| format!("{store}: {f}")));
    compared
}

#[test]
fn odd_tables_are_read_and_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let before = odd_tables(folder.path(), &Value::Null);
    let (mut faults, mut compared) = (Vec::new(), 0);
    for (store, wanted) in common::entries(&before) {
        let path = folder.path().join(store);
        compared += compare(&path, wanted, &mut faults);
        let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
        let n = shadow.n_obs();
        let column: Element = Array::from_vec((0..n as i64).collect::<Vec<_>>()).into();
        shadow.obs().insert_element("added", column).unwrap();
        shadow.obsm().insert("added", Array::zeros(anndata_shadow::DType::F32, &[n, 0])).unwrap();
        shadow.write(WriteOptions::default()).unwrap();
    }
    let names: Vec<&String> = common::entries(&before).map(|(name, _)| name).collect();
    let after = odd_tables(folder.path(), &json!(names));
    for (store, was) in common::entries(&before) {
        let mut wanted = was.clone();
        let n = was["n_obs"].as_u64().unwrap();
        let column = Array::from_vec((0..n as i64).collect::<Vec<_>>()).into();
        wanted["obs"]["columns"]["added"] = describe(&column);
        wanted["obs"]["column_order"].as_array_mut().unwrap().push(json!("added"));
        wanted["obs"]["shape"][1] = json!(was["obs"]["shape"][1].as_u64().unwrap() + 1);
        wanted["obsm"]["added"] = describe(&Array::zeros(anndata_shadow::DType::F32, &[n as usize, 0]).into());
        faults.extend(differences(&format!("{store} afterwards"), &wanted, &after[store]));
        compared += compare(&folder.path().join(store), &wanted, &mut faults);
    }
    println!("{} stores, {compared} elements compared", names.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(compared >= FLOOR, "only {compared} elements compared");
}
