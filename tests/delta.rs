//! Replacing, removing and renaming: what a shadow shows before the write, what it shows after it, and what Python reads then,
//! against a plain picture of what was asked for. Whatever was not asked for stays as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anndata_shadow::ndarray::Array2;
use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::sprs::CsMat;
use anndata_shadow::{
    AnnDataShadow, Array, ChangeKind, Element, Error, Mark, Mode, MuDataShadow, OpenOptions, Receipt, Table,
    WriteOptions,
};
use common::{describe, elements_of, fixtures, is_unsupported};
use serde_json::{Value, json};

const MAIN: [&str; 4] = ["main.h5ad", "main_v2.zarr", "main_v3.zarr", "main_v3_sharded.zarr"];

/// Path → description of every element.
type Picture = BTreeMap<String, Value>;

struct Copy {
    path: PathBuf,
    shadow: AnnDataShadow,
    _keep: tempfile::TempDir,
}

fn copy(name: &str) -> Copy {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join(name);
    stores::copy(&fixtures().join(name), &path);
    let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    Copy { path, shadow, _keep: keep }
}

fn picture(shadow: &AnnDataShadow) -> Picture {
    let read = |path: &str| match shadow.member(path).unwrap().element() {
        Ok(element) => describe(&element),
        Err(e) if is_unsupported(&e) => json!("unsupported"),
        Err(e) => panic!("{e}"),
    };
    shadow.elements().unwrap().into_iter().map(|e| (e.path.clone(), read(&e.path))).collect()
}

/// The picture with everything at and below `from` at `to`.
fn renamed(picture: &mut Picture, from: &str, to: &str) {
    let below = |path: &str| path.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/')).is_some();
    let moved: Vec<String> = picture.keys().filter(|path| below(path)).cloned().collect();
    assert!(!moved.is_empty(), "{from}");
    for path in moved {
        let value = picture.remove(&path).unwrap();
        picture.insert(format!("{to}{}", &path[from.len()..]), value);
    }
}

fn removed(picture: &mut Picture, at: &str) {
    let before = picture.len();
    picture.retain(|path, _| path != at && !path.starts_with(&format!("{at}/")));
    assert!(picture.len() < before, "{at}");
}

fn set(picture: &mut Picture, at: &str, element: &Element) {
    picture.retain(|path, _| !path.starts_with(&format!("{at}/")));
    if let Element::Mapping(entries) = element {
        entries.iter().for_each(|(name, e)| set(picture, &format!("{at}/{name}"), e));
    }
    picture.insert(at.to_owned(), describe(element));
}

fn assert_same(what: &str, found: &Picture, wanted: &Picture) {
    let paths: std::collections::BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let unlike: Vec<String> = paths
        .into_iter()
        .filter(|path| !path.starts_with("uns") || path.matches('/').count() > 0)
        .filter(|path| wanted.get(*path).is_none_or(|w| w["type"] != "dict") || !found.contains_key(*path))
        .filter(|path| found.get(*path) != wanted.get(*path))
        .map(|path| format!("{path}: found {:?}, wanted {:?}", found.get(path), wanted.get(path)))
        .collect();
    assert!(unlike.is_empty(), "{what}: {unlike:#?}");
}

/// What anndata reads, compared with what a new shadow reads.
fn assert_python_agrees(path: &Path) -> Value {
    let answer = common::python("corpus.py", &json!({"stores": [path]}));
    let answer = &answer[path.to_str().unwrap()];
    assert!(answer["refused"].is_null(), "{}: {}", path.display(), answer["refused"]);
    let object = answer["objects"][0]["object"].clone();
    let shadow = AnnDataShadow::open(path).unwrap();
    let (count, mut faults) = common::compare(
        shadow.elements().unwrap(),
        |path| shadow.member(path).unwrap(),
        elements_of(&object),
        |path| path.starts_with("raw"),
    );
    // Python loses the categories of `raw.var` of old.
    faults.retain(|fault| !(path.to_str().unwrap().contains("legacy") && fault.starts_with("raw/var/")));
    assert!(faults.is_empty() && count > 2, "{}: {faults:#?}", path.display());
    for (frame, ours) in [("obs", shadow.obs()), ("var", shadow.var())] {
        let theirs: Vec<&String> = common::entries(&object[frame]["columns"]).map(|(name, _)| name).collect();
        assert_eq!(ours.columns().unwrap().iter().collect::<Vec<_>>(), theirs, "{} {frame}", path.display());
    }
    object
}

fn write(shadow: &AnnDataShadow) -> Receipt {
    let receipt = shadow.write(WriteOptions::default()).unwrap();
    assert!(shadow.changes().is_empty());
    receipt
}

fn numbers(n: usize, m: usize) -> Element {
    Element::from(Array::from(Array2::from_shape_fn((n, m), |(i, j)| (i * m + j) as i32)))
}

#[test]
fn every_slot_can_be_replaced_removed_and_renamed_in_one_write() {
    for name in MAIN {
        let Copy { path, shadow, _keep } = copy(name);
        let (n, m) = shadow.shape();
        let mut wanted = picture(&shadow);
        let mut put = |path: &str, element: Element| {
            shadow.member(path).unwrap().set(element.clone()).unwrap();
            set(&mut wanted, path, &element);
        };
        // Other types, other shapes, other kinds.
        put("layers/csc_f32", numbers(n, m));
        put(
            "layers/dense_f64",
            Element::from(CsMat::<f64>::csr_from_dense(Array2::eye(n).view(), 0.0)).take_columns(m),
        );
        put("obsm/X_pca", numbers(n, 4));
        put("obsm/sparse_csc", numbers(n, 1));
        put("varm/PCs", numbers(m, 2));
        put("varp/corr", CsMat::<f32>::eye(m).into());
        put("uns/log1p", Element::from([("base", 2.5_f64)]));
        put("obs/f32", Element::from(Array::from_vec((0..n as i64).collect::<Vec<_>>())));
        put("obs/cat", Element::from(Array::from_vec(vec!["same".to_owned(); n])));
        put("var/new", Element::from(Array::from_vec(vec![true; m])));
        for gone in ["layers/csr_i64", "obs/text", "obs/i8", "var/hv", "obsm/frame", "obsp/distances", "uns/neighbors"]
        {
            shadow.remove(gone).unwrap();
            removed(&mut wanted, gone);
            assert!(!shadow.member(gone).unwrap().exists().unwrap(), "{gone}");
        }
        let renames = [
            ("layers/dense_bool", "layers/mask"),
            ("obs/flag", "obs/banner"),
            ("obsm/tensor", "obsm/cube"),
            ("obsp/connectivities", "obsp/edges"),
            ("uns/frame", "uns/table"),
            ("X", "layers/counts"),
            ("layers/dense_i16", "X"),
        ];
        for (from, to) in renames {
            shadow.rename(from, to).unwrap();
            renamed(&mut wanted, from, to);
        }
        // Something new where something else was.
        let again = numbers(n, 2);
        shadow.obsm().insert("tensor", again.clone()).unwrap();
        set(&mut wanted, "obsm/tensor", &again);

        assert_same(&format!("{name}, pending"), &picture(&shadow), &wanted);
        let columns = shadow.obs().columns().unwrap();
        assert!(columns.contains(&"banner".to_owned()) && !columns.contains(&"flag".to_owned()));
        let view = shadow.select([2, 0], ..).unwrap();
        assert_eq!(view.obsm().read::<Array2<i32>>("X_pca").unwrap().dim(), (2, 4));
        assert!(view.obs().column("text").is_err() && view.layers().contains("mask").unwrap());
        let marks = ["obsm/X_pca", "obs/text", "layers/mask", "obs/flag", "var/new"]
            .map(|path| shadow.member(path).unwrap().mark());
        let expected = [Mark::Replaced, Mark::Removed, Mark::New, Mark::Removed, Mark::New].map(Some);
        assert_eq!(marks, expected, "{name}");
        let shown = shadow.to_string();
        assert!(shown.contains("X_pca▼") && shown.contains("text×") && shown.contains("banner▲"), "{shown}");
        let changes = shadow.changes();
        let kinds = |kind: &str| changes.iter().filter(|c| c.to_string().starts_with(kind)).count();
        assert_eq!([kinds("~"), kinds("-"), kinds(">"), kinds("+")], [9, 7, 7, 2], "{changes:#?}");
        let pca = changes.iter().find(|c| c.path == "obsm/X_pca").unwrap();
        assert_eq!((pca.kind.clone(), pca.old.as_ref().unwrap().shape.len()), (ChangeKind::Replaced, 2));

        let receipt = write(&shadow);
        assert_eq!(receipt.elements, changes);
        assert_eq!(receipt.bytes_freed > 0, name.ends_with("h5ad"), "{name}: {receipt}");
        assert_same(&format!("{name}, written"), &picture(&shadow), &wanted);
        shadow.close().unwrap();
        assert_same(&format!("{name}, reopened"), &picture(&AnnDataShadow::open(&path).unwrap()), &wanted);
        assert_python_agrees(&path);
    }
}

trait Columns {
    fn take_columns(self, m: usize) -> Element;
}

impl Columns for Element {
    fn take_columns(self, m: usize) -> Element {
        self.take(&[
            anndata_shadow::Rows::All(self.shape()[0]),
            anndata_shadow::Rows::Range { start: 0, step: 1, len: m },
        ])
    }
}

#[test]
fn raw_and_x_and_whole_frames() {
    for name in MAIN {
        let Copy { path, shadow, _keep } = copy(name);
        let (n, m) = shadow.shape();
        shadow.remove_raw().unwrap();
        assert!(shadow.raw().unwrap().is_none() && shadow.to_string().contains("raw×"), "{shadow}");
        write(&shadow);
        let genes = Array::from_vec(vec!["g1".to_owned(), "g2".to_owned()]);
        shadow.set_raw(numbers(n, 2), Table::new(None, genes.into(), Vec::new()).unwrap(), BTreeMap::new()).unwrap();
        shadow.x().remove().unwrap();
        assert!(!shadow.x().exists().unwrap() && shadow.to_string().contains("\n  X×"));
        // A frame of other columns and other names; the frame in obsm goes with it.
        let names: Vec<String> = (0..n).map(|i| format!("cell {i}")).collect();
        let columns = vec![("only".to_owned(), Element::from(Array::from_vec(vec![0.5_f64; n])))];
        shadow
            .obs()
            .set(Table::new(Some("id".into()), Array::from_vec(names.clone()).into(), columns).unwrap())
            .unwrap();
        shadow.obs().insert(Series::new("more".into(), vec![1_i32; n])).unwrap();
        assert_eq!(shadow.obs().columns().unwrap(), ["only", "more"]);
        assert!(matches!(
            shadow.obs().set(Table::new(None, Array::from_vec(vec!["a".to_owned()]).into(), vec![]).unwrap()),
            Err(Error::Shape { .. })
        ));
        write(&shadow);
        shadow.close().unwrap();
        let object = assert_python_agrees(&path);
        assert_eq!(object["obs"]["index_name"], "id");
        let again = AnnDataShadow::open(&path).unwrap();
        assert_eq!(again.shape(), (n, m));
        assert_eq!(again.obs_names().unwrap(), names);
        assert_eq!(again.raw().unwrap().unwrap().var_names().unwrap(), ["g1", "g2"]);
        assert!(!again.x().exists().unwrap());
    }
}

#[test]
fn row_names_and_categories() {
    for name in ["main.h5ad", "main_v3.zarr", "nullable_string_index_v3.zarr"] {
        let Copy { path, shadow, _keep } = copy(name);
        let n = shadow.n_obs();
        let names: Vec<String> = (0..n).map(|i| format!("cell {i}")).collect();
        assert!(matches!(shadow.obs().set_names(vec![]), Err(Error::Shape { .. })));
        shadow.obs().set_names(names.clone()).unwrap();
        assert_eq!(shadow.obs_names().unwrap(), names);
        assert_eq!(shadow.select(["cell 1"].as_slice(), ..).unwrap().n_obs(), 1);
        let index = shadow.obs().index_name().unwrap();
        assert!(matches!(shadow.obs().remove(&index), Err(Error::Unsupported { .. })));
        assert!(matches!(shadow.obs().rename(&index, "other"), Err(Error::Unsupported { .. })));
        if name.starts_with("main") {
            let before = shadow.obs().element("cat").unwrap().texts();
            shadow.obs().add_categories("cat", &["brand new"]).unwrap();
            assert!(shadow.obs().add_categories("cat", &["brand new"]).is_err());
            assert!(matches!(shadow.obs().add_categories("i64", &["x"]), Err(Error::WrongType { .. })));
            assert_eq!(shadow.obs().element("cat").unwrap().texts(), before);
        }
        write(&shadow);
        shadow.close().unwrap();
        let object = assert_python_agrees(&path);
        assert_eq!(AnnDataShadow::open(&path).unwrap().obs_names().unwrap(), names);
        if name.starts_with("main") {
            let categories = &object["obs"]["columns"]["cat"]["categories"]["values"];
            assert_eq!(categories.as_array().unwrap().last().unwrap(), "brand new", "{categories}");
        }
    }
}

#[test]
fn nested_uns() {
    for name in MAIN {
        let Copy { path, shadow, _keep } = copy(name);
        let mut wanted = picture(&shadow);
        let uns = shadow.uns();
        // Into what goes, out of what goes, inside of what moves.
        uns.insert("deep/new/x", 1_i64).unwrap();
        set(&mut wanted, "uns/deep/new", &Element::from([("x", 1_i64)]));
        uns.rename("neighbors", "graph").unwrap();
        renamed(&mut wanted, "uns/neighbors", "uns/graph");
        uns.insert("graph/note", "moved").unwrap();
        set(&mut wanted, "uns/graph/note", &Element::from("moved"));
        uns.rename("graph/params", "graph/settings").unwrap();
        renamed(&mut wanted, "uns/graph/params", "uns/graph/settings");
        uns.remove("log1p").unwrap();
        removed(&mut wanted, "uns/log1p");
        uns.insert("log1p/base", 10_i64).unwrap();
        set(&mut wanted, "uns/log1p", &Element::from([("base", 10_i64)]));
        assert_same(&format!("{name}, pending"), &picture(&shadow), &wanted);
        let whole = uns.element("graph").unwrap();
        assert!(
            whole.below(["note"]).is_some() && whole.below(["settings"]).is_some() && whole.below(["params"]).is_none()
        );
        write(&shadow);
        assert_same(&format!("{name}, written"), &picture(&shadow), &wanted);
        shadow.close().unwrap();
        assert_python_agrees(&path);
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    for name in MAIN {
        let Copy { path, shadow, _keep } = copy(name);
        let n = shadow.n_obs();
        shadow.obsm().insert("pending", numbers(n, 2)).unwrap();
        let not_found = |result: Result<(), Error>| matches!(result, Err(Error::NotFound { .. }));
        let exists = |result: Result<(), Error>| matches!(result, Err(Error::Exists { .. }));
        let unsupported = |result: Result<(), Error>| matches!(result, Err(Error::Unsupported { .. }));
        assert!(not_found(shadow.obsm().remove("no")) && not_found(shadow.obsm().rename("no", "yes")));
        assert!(exists(shadow.obsm().rename("X_pca", "tensor")) && exists(shadow.obsm().rename("X_pca", "pending")));
        assert!(unsupported(shadow.rename("obsm/X_pca", "layers/x")) && unsupported(shadow.rename("obs/i8", "var/i8")));
        assert!(unsupported(shadow.rename("uns/deep", "uns/deep/er")));
        assert!(matches!(shadow.obsm().rename("X_pca", "a\\b"), Err(Error::BadName { .. })));
        // Nothing is taken out of what is one element.
        for part in ["layers/csr_i64/indptr", "obs/cat/codes", "obsm/frame/a"] {
            assert!(unsupported(shadow.remove(part)) && shadow.rename(part, "layers/part").is_err(), "{part}");
        }
        shadow.uns().insert("whole", Element::from([("part", 1_i64)])).unwrap();
        assert!(unsupported(shadow.discard_at("uns/whole/part")));
        shadow.discard_at("uns/whole").unwrap();
        let view = shadow.select(0..2, ..).unwrap();
        for refused in
            [view.remove("obsm/X_pca"), view.rename("obsm/X_pca", "obsm/y"), view.discard(), view.remove_raw()]
        {
            assert!(matches!(refused, Err(Error::View { .. })));
        }
        shadow.close().unwrap();
        assert!(matches!(shadow.obsm().remove("X_pca"), Err(Error::Closed { .. })));
        assert_eq!(shadow.changes().len(), 1);
        shadow.reopen(Mode::Read).unwrap();
        // Exchanging two names needs a third one and two writes.
        shadow.obsm().rename("X_pca", "third").unwrap();
        shadow.obsm().rename("tensor", "X_pca").unwrap();
        shadow.obsm().rename("third", "tensor").unwrap();
        let wanted = picture(&shadow);
        shadow.reopen(Mode::ReadWrite).unwrap();
        let error = shadow.write(WriteOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("two steps"), "{error}");
        assert_same("still pending", &picture(&shadow), &wanted);
        assert_eq!(shadow.changes().len(), 3);
        shadow.discard_at("obsm/tensor").unwrap();
        shadow.discard().unwrap();
        assert!(shadow.changes().is_empty() && !shadow.obsm().contains("pending").unwrap());
        shadow.close().unwrap();
        let before = stores::files(&fixtures().join(name));
        assert!(stores::files(&path) == before, "{name} was touched");
    }
}

#[test]
fn changes_can_be_taken_back() {
    let Copy { shadow, _keep, .. } = copy("main_v3.zarr");
    let before = picture(&shadow);
    let n = shadow.n_obs();
    let edit = || {
        shadow.obsm().insert("X_pca", numbers(n, 1)).unwrap();
        shadow.obsm().insert("new", numbers(n, 1)).unwrap();
        shadow.layers().remove("csc_f32").unwrap();
        shadow.obs().rename("flag", "banner").unwrap();
        shadow.uns().insert("deep/new", 1_i64).unwrap();
    };
    edit();
    for path in ["obsm", "layers/csc_f32", "obs/flag", "uns"] {
        shadow.discard_at(path).unwrap();
    }
    assert!(shadow.changes().is_empty());
    assert_same("taken back one by one", &picture(&shadow), &before);
    assert!(matches!(shadow.discard_at("obsm/X_pca"), Err(Error::NotFound { .. })));
    edit();
    assert!(shadow.obs().columns().unwrap().contains(&"banner".to_owned()));
    shadow.discard().unwrap();
    assert_same("taken back at once", &picture(&shadow), &before);
}

#[test]
fn what_is_set_while_closed_replaces_what_is_there() {
    for name in ["main.h5ad", "main_v3.zarr"] {
        let Copy { path, shadow, _keep } = copy(name);
        let n = shadow.n_obs();
        shadow.close().unwrap();
        shadow.obsm().insert("X_pca", numbers(n, 1)).unwrap();
        shadow.obsm().insert("new", numbers(n, 1)).unwrap();
        shadow.reopen(Mode::ReadWrite).unwrap();
        write(&shadow);
        shadow.close().unwrap();
        let again = AnnDataShadow::open(&path).unwrap();
        assert_eq!(again.obsm().read::<Array2<i32>>("X_pca").unwrap().dim(), (n, 1));
        assert!(again.obsm().contains("new").unwrap());
    }
}

#[test]
fn old_layouts_are_changed_too() {
    for name in ["legacy_07.h5ad", "legacy_06.h5ad", "legacy_07_v2.zarr"] {
        let Copy { path, shadow, _keep } = copy(name);
        let mut wanted = picture(&shadow);
        let n = shadow.n_obs();
        shadow.obsm().insert("X_pca", numbers(n, 2)).unwrap();
        set(&mut wanted, "obsm/X_pca", &numbers(n, 2));
        // The first columns are categoricals.
        let columns = shadow.obs().columns().unwrap();
        shadow.obs().remove(&columns[1]).unwrap();
        removed(&mut wanted, &format!("obs/{}", columns[1]));
        let column = Element::from(Array::from_vec(vec![2_i64; n]));
        shadow.obs().insert_element(&columns[0], column.clone()).unwrap();
        set(&mut wanted, &format!("obs/{}", columns[0]), &column);
        if name != "legacy_07_v2.zarr" {
            // A part of one structured array, or of several arrays, has no name of its own yet.
            shadow.obs().rename(&columns[2], "renamed").unwrap();
            let error = shadow.write(WriteOptions::default()).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            shadow.discard_at(&format!("obs/{}", columns[2])).unwrap();
        }
        write(&shadow);
        assert_same(name, &picture(&shadow), &wanted);
        shadow.close().unwrap();
        assert_python_agrees(&path);
    }
}

/// Up to anndata 0.6, the graphs of `obsp` lie in `uns/neighbors`.
#[test]
fn graphs_of_old_stay_when_what_they_lie_in_goes() {
    let fresh = || stores::Copy::of("h5ad/10x_pbmc68k_reduced.h5ad");
    let distances = fresh().open().obsp().element("distances").unwrap();
    for removed in [true, false] {
        let copy = fresh();
        let shadow = copy.open_to_write();
        if removed {
            shadow.remove("uns/neighbors").unwrap();
        } else {
            shadow.rename("uns/neighbors", "uns/nb").unwrap();
        }
        write(&shadow);
        assert_eq!(shadow.obsp().element("distances").unwrap(), distances);
        shadow.close().unwrap();
        let again = copy.open();
        assert_eq!(again.obsp().keys().unwrap(), ["connectivities", "distances"]);
        assert_eq!(again.uns().contains("nb").unwrap(), !removed);
        assert_eq!(again.obsp().element("distances").unwrap(), distances);
        assert_python_agrees(&copy.path);
    }
    let copy = fresh();
    let shadow = copy.open_to_write();
    assert!(matches!(shadow.rename("X", "layers/counts"), Err(Error::Unsupported { .. })), "it has no layers");
    shadow.obsp().remove("distances").unwrap();
    shadow.obsp().insert("connectivities", CsMat::<f32>::eye(700)).unwrap();
    write(&shadow);
    shadow.close().unwrap();
    assert_eq!(copy.open().obsp().keys().unwrap(), ["connectivities"]);
    let object = assert_python_agrees(&copy.path);
    assert_eq!(object["obsp"].as_object().unwrap().len(), 1);
}

#[test]
fn stores_behind_links_and_stores_with_damage_are_written_to() {
    let keep = tempfile::tempdir().unwrap();
    let (path, link) = (keep.path().join("store.zarr"), keep.path().join("link.zarr"));
    stores::copy(&fixtures().join("main_v3.zarr"), &path);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    // The consolidated map is the only one to know of what has lost its document.
    std::fs::write(path.join("var/zarr.json"), "{").unwrap();
    std::fs::remove_file(path.join("obsm/X_pca/zarr.json")).unwrap();
    let known = |of: &str| {
        let root: Value = serde_json::from_slice(&std::fs::read(path.join("zarr.json")).unwrap()).unwrap();
        let map = root["consolidated_metadata"]["metadata"].as_object().unwrap().clone();
        map.into_iter().filter(|(key, _)| key.starts_with(of)).collect::<BTreeMap<String, Value>>()
    };
    let before = [known("var"), known("obsm/X_pca")];
    anndata_shadow::store::open_write(&link).unwrap().store.consolidate().unwrap();
    assert_eq!([known("var"), known("obsm/X_pca")], before);
    assert!(before[0].len() > 3 && before[1].len() == 1);
}

#[test]
fn modalities_are_removed_and_renamed() {
    for name in ["mu.h5mu", "mu_v2.zarr", "mu_v3.zarr", "mu_axis1.h5mu", "mu_axis_both.h5mu"] {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join(name);
        stores::copy(&fixtures().join(name), &path);
        let mdata = MuDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
        let before = mdata.modalities();
        let (first, last) = (before[0].clone(), before.last().unwrap().clone());
        let rna = picture(&mdata.modality(&first).unwrap());
        let rows = mdata.obs_rows(&first).unwrap();
        // Taken back.
        mdata.rename_modality(&first, "renamed").unwrap();
        mdata.remove_modality(&last).unwrap();
        assert!(mdata.to_string().contains(&format!("{last}×")), "{mdata}");
        mdata.discard().unwrap();
        assert_eq!(mdata.modalities(), before);
        assert!(mdata.changes().is_empty());
        // Renamed, alone.
        mdata.rename_modality(&first, "renamed").unwrap();
        assert_eq!(mdata.modalities()[0], "renamed");
        assert!(mdata.modality(&first).is_err());
        assert!(matches!(mdata.rename_modality(&last, "renamed"), Err(Error::Exists { .. })));
        assert!(matches!(mdata.remove_modality("renamed"), Err(Error::Unsupported { .. })));
        assert_same(&format!("{name}, pending"), &picture(&mdata.modality("renamed").unwrap()), &rna);
        assert_eq!(mdata.obs_rows("renamed").unwrap(), rows);
        let receipt = mdata.write(WriteOptions::default()).unwrap();
        assert!(receipt.elements.iter().all(|c| matches!(c.kind, ChangeKind::Renamed { .. })), "{receipt}");
        assert_same(&format!("{name}, written"), &picture(&mdata.modality("renamed").unwrap()), &rna);
        assert_eq!(mdata.modalities()[0], "renamed");
        assert_eq!(mdata.modalities().len(), before.len());
        // Removed; what somebody still holds of it is of no use.
        let held = mdata.modality(&last).unwrap();
        mdata.remove_modality(&last).unwrap();
        assert!(matches!(held.uns().insert("late", 1_i64), Err(Error::NotFound { .. })));
        let shape = mdata.shape();
        assert_eq!(mdata.obs().read().unwrap().height(), shape.0);
        mdata.write(WriteOptions::default()).unwrap();
        assert_eq!(mdata.modalities().len(), before.len() - 1);
        mdata.close().unwrap();
        let again = MuDataShadow::open(&path).unwrap();
        assert_eq!((again.shape(), again.modalities()[0].as_str()), (shape, "renamed"));
        assert!(!again.obsm().contains(&last).unwrap() && !again.obsmap().contains(&last).unwrap());
        let object =
            common::python("slices.py", &json!({"path": path, "container": "mudata", "chains": [[]]}))[0].clone();
        assert_eq!(json!(again.modalities()), object["mod_order"], "{name}");
        assert_eq!(json!([shape.0, shape.1]), json!([object["n_obs"], object["n_vars"]]), "{name}");
        let unlike = |path: &str| path.contains("map/") || path.contains("/raw/");
        let mut wanted = common::elements_of_mudata(&object);
        wanted.retain(|path, _| !unlike(path));
        let (count, faults) =
            common::compare(again.elements().unwrap(), |path| again.member(path).unwrap(), wanted, unlike);
        assert!(faults.is_empty() && count > 10, "{name}: {faults:#?}");
    }
}

#[test]
fn a_modality_that_was_written_can_be_changed_as_any_other() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("mu.h5mu");
    stores::copy(&fixtures().join("mu.h5mu"), &path);
    let mdata = MuDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    let first = mdata.modalities()[0].clone();
    mdata.insert_modality("more", mdata.modality(&first).unwrap().to_memory().unwrap()).unwrap();
    assert!(matches!(mdata.rename_modality("more", "else"), Err(Error::Unsupported { .. })), "it is pending");
    mdata.write(WriteOptions::default()).unwrap();
    let written = picture(&mdata.modality("more").unwrap());
    mdata.rename_modality("more", "else").unwrap();
    mdata.write(WriteOptions::default()).unwrap();
    assert_same("renamed", &picture(&mdata.modality("else").unwrap()), &written);
    mdata.remove_modality("else").unwrap();
    mdata.write(WriteOptions::default()).unwrap();
    assert!(!mdata.modalities().contains(&"else".to_owned()));
}

#[test]
fn what_is_set_while_others_read_is_old_or_new() {
    for name in ["main.h5ad", "main_v3.zarr"] {
        let Copy { shadow, _keep, .. } = copy(name);
        let n = shadow.n_obs();
        let matrix = |round: i32| CsMat::csr_from_dense(Array2::from_elem((n, n), round).view(), 0);
        shadow.obsp().insert("stamp", matrix(1)).unwrap();
        shadow.obsm().insert("stamp", Array2::from_elem((n, 2), 1_i32)).unwrap();
        write(&shadow);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let (mut last, mut reads) = (1, 0);
                    while !done.load(std::sync::atomic::Ordering::Relaxed) || reads < 3 {
                        shadow.clear_cache();
                        let seen = shadow.obsp().read::<CsMat<i32>>("stamp").unwrap();
                        let values: std::collections::BTreeSet<i32> = seen.data().iter().copied().collect();
                        assert_eq!((values.len(), seen.nnz()), (1, n * n), "{values:?}");
                        let now = *values.first().unwrap();
                        assert!(now >= last, "{now} after {last}");
                        last = now;
                        reads += 1;
                    }
                });
            }
            for round in 2..12 {
                shadow.obsp().insert("stamp", matrix(round)).unwrap();
                write(&shadow);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(shadow.obsm().read::<Array2<i32>>("stamp").unwrap()[[0, 0]], 1);
    }
}
