//! MuData: one open file under all modalities, one write for all of them, and what mudata reads afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use anndata_shadow::ndarray::{Array1, Array2};
use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::{
    AnnDataShadow, Element, Error, Mark, Mode, MuDataShadow, OpenOptions, Select, SharedAxis, WriteOptions,
};
use common::{elements_of_mudata, expected, fixture_names, fixtures};
use serde_json::json;

fn mudata_fixtures() -> Vec<String> {
    let names: Vec<String> = fixture_names().into_iter().filter(|n| expected(n)["kind"] == "mudata").collect();
    assert!(names.len() >= 10, "{names:?}");
    names
}

struct Copy {
    mdata: MuDataShadow,
    dir: tempfile::TempDir,
    name: String,
}

/// A copy of a fixture, open for writing.
fn copy(name: &str) -> Copy {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    stores::copy(&fixtures().join(name), &path);
    let mdata = MuDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    Copy { mdata, dir, name: name.to_owned() }
}

#[test]
fn global_slots_and_modalities_read_as_in_python() {
    let mut compared = 0;
    for name in mudata_fixtures() {
        let object = &expected(&name)["object"];
        let mdata = MuDataShadow::open(fixtures().join(&name)).unwrap();
        let axis = match object["axis"].as_i64().unwrap() {
            0 => SharedAxis::Obs,
            1 => SharedAxis::Var,
            _ => SharedAxis::Both,
        };
        assert_eq!(mdata.axis(), axis, "{name}");
        assert_eq!(json!(mdata.modalities()), object["mod_order"], "{name}");
        let mut wanted = elements_of_mudata(object);
        // This one has no varmap, and an obsmap of another type than mudata makes of it.
        let made = |path: &str| name == "mu_old.h5mu" && (path.starts_with("obsmap/") || path.starts_with("varmap/"));
        wanted.retain(|path, _| !made(path));
        let (count, faults) =
            common::compare(mdata.elements().unwrap(), |path| mdata.member(path).unwrap(), wanted, made);
        assert!(faults.is_empty(), "{name}: {faults:#?}");
        compared += count;
    }
    println!("MuData: {compared} elements equal");
    assert!(compared >= 340, "only {compared} elements compared");
}

#[test]
fn it_is_shown_nested_with_marks() {
    let Copy { mdata, dir: _dir, .. } = copy("mu.h5mu");
    mdata.modality("adt").unwrap().obsm().insert("X_new", Array2::<f32>::zeros((3, 2))).unwrap();
    mdata.obsm().read::<Array2<f64>>("X_joint").unwrap();
    let shown = mdata.to_string();
    let wanted = "\
MuData Shadow object with n_obs × n_vars = 5 × 6
  obs:\t_index, batch
  var:\t_index, rank
  obsm:\tX_jointᐁ, adt, meta, rna
  varm:\tadt, meta, rna
  obsp:\tg
  uns:\tnote
  obsmap:\tadt, meta, rna
  varmap:\tadt, meta, rna
  mod:\t3 modalities
    rna: 4 x 3
      X
      raw:\tX, var, varm
      obs:\t_index, q, ct
      var:\t_index, w
      uns:\tk
    adt: 3 x 2
      X
      obs:\t_index, q
      var:\t_index, w
      obsm:\tX_u, X_new▲
    meta: 2 x 1
      obs:\t_index, q
      var:\t_index, w";
    assert_eq!(shown, wanted);
    let view = mdata.select([0, 1], ..).unwrap();
    assert!(view.to_string().starts_with("View of MuData Shadow object with n_obs × n_vars = 2 × 6 (original 5 × 6)"));
}

#[test]
fn one_write_for_all_modalities_and_the_global_slots() {
    for name in ["mu.h5mu", "mu_v2.zarr", "mu_v3_sharded.zarr", "mu_axis1.h5mu"] {
        let Copy { mdata, dir, name } = copy(name);
        let (n_obs, n_vars) = mdata.shape();
        let first = mdata.modalities()[0].clone();
        let rna = mdata.modality(&first).unwrap();
        let joint = Array2::from_shape_fn((n_obs, 2), |(i, j)| i as f32 - j as f32);
        mdata.obsm().insert("X_wnn", joint.clone()).unwrap();
        mdata.obs().insert(Series::new("leiden".into(), vec!["a"; n_obs])).unwrap();
        mdata.var().insert(Series::new("score".into(), vec![0.5_f64; n_vars])).unwrap();
        mdata.uns().insert("new", 7_i64).unwrap();
        rna.layers().insert("twice", Array2::<f32>::ones(rna.shape())).unwrap();
        rna.obs().insert(Series::new("cluster".into(), vec![3_i32; rna.n_obs()])).unwrap();
        let changes: Vec<String> = mdata.changes().into_iter().map(|c| c.path).collect();
        let inside = |path: &str| format!("mod/{first}/{path}");
        let mut all = ["obsm/X_wnn", "obs/leiden", "var/score", "uns/new"].map(str::to_owned).to_vec();
        all.extend([inside("layers/twice"), inside("obs/cluster")]);
        assert_eq!(changes, all, "{name}");
        let of_rna: Vec<String> = rna.changes().into_iter().map(|c| c.path).collect();
        assert_eq!(of_rna, ["layers/twice", "obs/cluster"], "a modality tells its own");
        let receipt = mdata.write(WriteOptions::default()).unwrap();
        assert_eq!(receipt.elements.iter().map(|c| c.path.clone()).collect::<Vec<_>>(), all);
        assert!(mdata.changes().is_empty() && rna.changes().is_empty());
        assert_eq!(rna.layers().member("twice").unwrap().mark(), Some(Mark::Cached));
        mdata.close().unwrap();

        // mudata 0.3 reads Zarr stores, too, if not all of them.
        let path = dir.path().join(&name);
        let answer = common::python("slices.py", &json!({"path": path, "container": "mudata", "chains": [[]]}));
        let object = &answer[0];
        let mut wanted = elements_of_mudata(object);
        assert_eq!(wanted["obs/leiden"]["values"][0], "a", "{name}");
        assert_eq!(wanted[&inside("obs/cluster")]["values"][0], 3, "{name}");
        assert_eq!(wanted["obsm/X_wnn"]["shape"], json!([n_obs, 2]), "{name}");
        if name.ends_with(".zarr") {
            wanted.retain(|path, _| !path.contains("/raw/"));
        }
        let again = MuDataShadow::open(&path).unwrap();
        let excused = |path: &str| name.ends_with(".zarr") && path.contains("/raw/");
        let (count, faults) =
            common::compare(again.elements().unwrap(), |path| again.member(path).unwrap(), wanted, excused);
        assert!(faults.is_empty() && count > 30, "{name}: {count} {faults:#?}");
        assert_eq!(again.obsm().read::<Array2<f32>>("X_wnn").unwrap(), joint);
        // What was there before is as it was.
        let mut old = elements_of_mudata(&expected(&name)["object"]);
        old.retain(|path, _| !path.starts_with("obsmap") && !path.starts_with("varmap"));
        let (_, faults) = common::compare(again.elements().unwrap(), |path| again.member(path).unwrap(), old, |_| true);
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

#[test]
fn the_user_block_survives_a_write() {
    let Copy { mdata, dir, name } = copy("mu.h5mu");
    let path = dir.path().join(name);
    let before = std::fs::read(&path).unwrap()[..512].to_vec();
    assert!(before.starts_with(b"MuData"));
    mdata.obsm().insert("x", Array2::<f32>::zeros((5, 2))).unwrap();
    mdata.write(WriteOptions::default()).unwrap();
    mdata.close().unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[..512], before);
}

#[test]
fn one_open_file_under_all_modalities_and_views() {
    let Copy { mdata, dir: _dir, .. } = copy("mu.h5mu");
    let view = mdata.select([3, 0, 0], ..).unwrap();
    let (rna, cut) = (mdata.modality("rna").unwrap(), view.modality("rna").unwrap());
    rna.obs().insert(Series::new("new".into(), vec![1_i32, 2, 3, 4])).unwrap();
    assert_eq!(cut.obs().element("new").unwrap().texts().unwrap(), ["4", "1", "1"].map(|t| Some(t.to_owned())));
    // Any of them acts on the whole.
    rna.reopen(Mode::Read).unwrap();
    assert_eq!((mdata.mode(), cut.mode()), (Some(Mode::Read), Some(Mode::Read)));
    assert_eq!(mdata.changes().len(), 1);
    mdata.close().unwrap();
    assert_eq!((rna.mode(), view.mode()), (None, None));
    mdata.reopen(Mode::ReadWrite).unwrap();
    assert_eq!(rna.write(WriteOptions::default()).unwrap().elements[0].path, "mod/rna/obs/new");
    assert!(matches!(view.write(WriteOptions::default()), Err(Error::View { .. })));
    let maps: Array1<u32> = view.obsmap().read("rna").unwrap();
    assert_eq!(maps.to_vec(), [1, 2, 3]);
    assert_eq!(view.obs_rows("rna").unwrap(), [Some(0), Some(1), Some(2)]);
    assert_eq!(mdata.obs_rows("rna").unwrap(), [Some(0), Some(1), Some(2), Some(3), None]);
}

#[test]
fn what_is_no_mudata_says_what_it_is() {
    let not = |name: &str| MuDataShadow::open(fixtures().join(name)).unwrap_err().to_string();
    assert!(not("main.h5ad").contains("open it with AnnDataShadow"), "{}", not("main.h5ad"));
    let error = AnnDataShadow::open(fixtures().join("mu.h5mu")).unwrap_err().to_string();
    assert!(error.contains("MuDataShadow") && error.contains("mu.h5mu/mod/rna"), "{error}");
    let mdata = MuDataShadow::open(fixtures().join("mu.h5mu")).unwrap();
    match mdata.modality("rmA") {
        Err(Error::NotFound { nearest, .. }) => assert_eq!(nearest, ["rna"]),
        other => panic!("{other:?}"),
    }
    assert!(matches!(mdata.member("X"), Err(Error::NotFound { .. })));
}

#[test]
fn a_map_that_does_not_fit_is_an_error_where_it_is_used() {
    let Copy { mdata, dir, name } = copy("mu_v3.zarr");
    drop(mdata);
    let path = dir.path().join(name);
    // Nothing stored: all rows are absent; a length of its own: damage.
    let document = path.join("obsmap/rna/zarr.json");
    let text = std::fs::read_to_string(&document).unwrap();
    let mut meta: serde_json::Value = serde_json::from_str(&text).unwrap();
    meta["shape"] = json!([4]);
    std::fs::write(&document, meta.to_string()).unwrap();
    let mdata = MuDataShadow::open(&path).unwrap();
    let view = mdata.select(0..2, ..).unwrap();
    assert!(matches!(view.modality("rna"), Err(Error::Malformed { .. })));
    assert_eq!(view.modality("adt").unwrap().n_vars(), 2);
    assert_eq!(mdata.modality("rna").unwrap().n_obs(), 4);
    // A position beyond the modality.
    meta["shape"] = json!([5]);
    meta["fill_value"] = json!(9);
    std::fs::write(&document, meta.to_string()).unwrap();
    std::fs::remove_dir_all(path.join("obsmap/rna/c")).unwrap();
    let view = MuDataShadow::open(&path).unwrap().select(0..2, ..).unwrap();
    let error = view.modality("rna").unwrap_err().to_string();
    assert!(error.contains("obsmap/rna") && error.contains("position 9"), "{error}");
    assert_eq!(view.obsm().element("X_joint").unwrap().shape()[0], 2);
}

/// What mudata reads of a store.
fn as_mudata_reads(path: &std::path::Path) -> serde_json::Value {
    common::python("slices.py", &json!({"path": path, "container": "mudata", "chains": [[]]}))[0].clone()
}

#[test]
fn a_modality_is_added_from_another_shadow_and_mudata_reads_it() {
    for name in ["mu.h5mu", "mu_v2.zarr", "mu_v3.zarr", "mu_axis1.h5mu", "mu_axis_both.h5mu", "mu_old.h5mu"] {
        let Copy { mdata, dir, name } = copy(name);
        let old_shape = mdata.shape();
        let before = elements_of_mudata(&expected(&name)["object"]);
        let source = AnnDataShadow::open(fixtures().join("main.h5ad")).unwrap();
        // Awkward arrays and the like come with it.
        let part = source.select([3, 0, 1], ..).unwrap();
        let view = mdata.select(.., ..).unwrap();
        mdata.insert_modality("atac", part.to_memory().unwrap()).unwrap();
        assert_eq!(mdata.modalities().last().unwrap(), "atac");
        assert_eq!(mdata.modality("atac").unwrap().shape(), part.shape());
        let atac = mdata.modality("atac").unwrap();
        assert_eq!(atac.obs_names().unwrap(), part.obs_names().unwrap());
        assert_eq!(view.shape(), old_shape, "a view keeps its rows");
        assert!(mdata.to_string().contains("atac: 3 x"), "{mdata}");
        let (n_obs, n_vars) = mdata.shape();
        assert!(n_obs + n_vars > old_shape.0 + old_shape.1);
        // Pending as it is, it is cut through its map.
        let last = mdata.select([n_obs as i64 - 1], ..).unwrap();
        assert_eq!(last.modality("atac").unwrap().n_obs(), 1, "{name}");
        // And it can be added to.
        atac.obsm().insert("X_more", Array2::<f32>::zeros((3, 2))).unwrap();
        mdata.reopen(Mode::Read).unwrap();
        mdata.reopen(Mode::ReadWrite).unwrap();
        mdata.write(WriteOptions::default()).unwrap();
        assert!(mdata.changes().is_empty());
        mdata.close().unwrap();

        let path = dir.path().join(&name);
        let object = as_mudata_reads(&path);
        assert_eq!(json!([n_obs, n_vars]), json!([object["n_obs"], object["n_vars"]]), "{name}");
        let again = MuDataShadow::open(&path).unwrap();
        assert_eq!(json!(again.modalities()), object["mod_order"], "{name}");
        for modality in again.modalities() {
            for (map, rows) in [("obsmap", again.obs_rows(&modality)), ("varmap", again.var_rows(&modality))] {
                let counted: Vec<usize> = rows.unwrap().into_iter().map(|row| row.map_or(0, |row| row + 1)).collect();
                let faults = common::differences(map, &object[map][&modality]["values"], &json!(counted));
                assert!(faults.is_empty(), "{name} {modality}: {faults:#?}");
            }
        }
        let mut wanted = elements_of_mudata(&object);
        let unlike = |path: &str| {
            path.starts_with("obsmap/")
                || path.starts_with("varmap/")
                || (name.ends_with(".zarr") && path.contains("/raw/"))
        };
        wanted.retain(|path, _| !unlike(path));
        let (count, faults) =
            common::compare(again.elements().unwrap(), |path| again.member(path).unwrap(), wanted, unlike);
        assert!(faults.is_empty(), "{name}: {faults:#?}");
        assert!(count > 60, "{name}: {count}");
        // The other modalities are as they were.
        let old: std::collections::BTreeMap<_, _> = before.into_iter().filter(|(p, _)| p.starts_with("mod/")).collect();
        let (_, faults) = common::compare(again.elements().unwrap(), |path| again.member(path).unwrap(), old, |_| true);
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

#[test]
fn views_of_a_new_modality_have_the_names_of_their_rows() {
    let Copy { mdata, dir: _dir, .. } = copy("mu.h5mu");
    let data = AnnDataShadow::open(fixtures().join("main.h5ad")).unwrap().select([3, 0, 1], ..).unwrap();
    mdata.insert_modality("new", data.to_memory().unwrap()).unwrap();
    let turned = |mut names: Vec<String>| {
        names.reverse();
        names
    };
    let back = || Select::parse_slice("::-1").unwrap();
    for state in ["pending", "written"] {
        let views = [
            mdata.select(back(), back()).unwrap().modality("new").unwrap(),
            mdata.modality("new").unwrap().select(back(), back()).unwrap(),
        ];
        for view in views {
            assert_eq!(view.obs().names().unwrap(), turned(data.obs_names().unwrap()), "{state}");
            assert_eq!(view.var().names().unwrap(), turned(data.var_names().unwrap()), "{state}");
            let part = view.select([2], 0..2).unwrap();
            assert_eq!(part.obs().names().unwrap(), data.obs_names().unwrap()[..1], "{state}");
            let memory = data.select([0], ..).unwrap().select(.., back()).unwrap().select(.., 0..2).unwrap();
            assert_eq!(part.var().table().unwrap().index(), memory.var().table().unwrap().index(), "{state}");
        }
        mdata.write(WriteOptions::default()).unwrap();
    }
}

#[test]
fn a_view_of_rows_that_were_taken_back_is_an_error() {
    let Copy { mdata, dir: _dir, .. } = copy("mu.h5mu");
    let data = AnnDataShadow::open(fixtures().join("main.h5ad")).unwrap().select([3, 0, 1], ..).unwrap();
    let before = mdata.n_obs();
    mdata.insert_modality("new", data.to_memory().unwrap()).unwrap();
    let view = mdata.select([-1], ..).unwrap();
    assert_eq!(view.obs().names().unwrap(), mdata.obs().names().unwrap()[mdata.n_obs() - 1..]);
    mdata.discard().unwrap();
    assert_eq!(mdata.n_obs(), before);
    let column = mdata.obs().columns().unwrap().swap_remove(0);
    let refused = |what: &str| {
        let bounds = |error: Error| assert!(matches!(error, Error::Selection { .. }), "{what}: {error}");
        bounds(view.obs().names().unwrap_err());
        bounds(view.obs().element(&column).unwrap_err());
    };
    refused("stored");
    mdata.obs().element(&column).unwrap();
    refused("cached");
    mdata.obs().set(mdata.obs().table().unwrap()).unwrap();
    refused("pending");
}

#[test]
fn what_hangs_together_is_not_changed_alone() {
    let Copy { mdata, dir: _dir, .. } = copy("mu.h5mu");
    mdata.var().insert(Series::new("pending".into(), vec![1_i32; 6])).unwrap();
    let new =
        AnnDataShadow::open(fixtures().join("main.h5ad")).unwrap().select(0..2, 0..2).unwrap().to_memory().unwrap();
    let error = mdata.insert_modality("new", new.clone()).unwrap_err().to_string();
    assert!(error.contains("write() first"), "{error}");
    assert_eq!((mdata.shape(), mdata.modalities().len()), ((5, 6), 3), "a refusal changes nothing");
    mdata.var().remove("pending").unwrap();

    mdata.insert_modality("new", new.clone()).unwrap();
    assert!(matches!(mdata.insert_modality("new", new), Err(Error::Exists { .. })));
    let n = mdata.n_obs();
    for refused in [
        mdata.obsm().remove("new"),
        mdata.obsmap().remove("rna"),
        mdata.obsm().insert("new", Array2::<f32>::zeros((n, 1))),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("write() first") || error.contains("already exists"), "{error}");
    }
    // What fits is added as ever, with all rows that there are now; a column becomes a part of the new frame.
    mdata.obs().insert(Series::new("early".into(), vec![1_i32; n])).unwrap();
    mdata.obsm().insert("X_late", Array2::<f32>::zeros((n, 2))).unwrap();
    mdata.close().unwrap();
    assert!(mdata.obsm().insert("new", Array2::<f32>::zeros((n, 1))).is_err(), "nor when closed");
    mdata.reopen(Mode::ReadWrite).unwrap();
    mdata.write(WriteOptions::default()).unwrap();
    assert_eq!(mdata.obs().column("early").unwrap().len(), n);
    mdata.obs().insert(Series::new("late".into(), vec![1_i32; n])).unwrap();
    mdata.write(WriteOptions::default()).unwrap();
    assert_eq!(mdata.obsm().read::<Array2<f32>>("X_late").unwrap().dim(), (n, 2));
}

#[test]
fn what_is_no_anndata_is_not_added() {
    let Copy { mdata, dir: _dir, .. } = copy("mu_v3.zarr");
    let good = mdata.modality("adt").unwrap().to_memory().unwrap();
    let Element::Mapping(parts) = &good else { panic!("{good:?}") };
    let with = |name: &str, element: Element| {
        let mut parts = parts.clone();
        parts.insert(name.to_owned(), element);
        Element::Mapping(parts)
    };
    let matrix = Element::from(anndata_shadow::Array::from(Array2::<f32>::zeros((2, 2))));
    let mut without = parts.clone();
    without.remove("obs");
    let raw =
        |name: &str, element: Element| with("raw", Element::from([("var", parts["var"].clone()), (name, element)]));
    let long = Element::from(anndata_shadow::Array::from(Array2::<f32>::zeros((99, 2))));
    for bad in [
        matrix.clone(),
        Element::Mapping(without),
        with("X", matrix.clone()),
        with("obsm", matrix.clone()),
        with("raw", matrix.clone()),
        raw("X", long.clone()),
        raw("varm", long.clone()),
        raw("varm", Element::from([("m", long.clone())])),
        raw("layers", Element::Mapping(Default::default())),
        with("more", matrix.clone()),
        with("obsm", Element::from([("frame", parts["var"].clone())])),
    ] {
        assert!(mdata.insert_modality("bad", bad).is_err());
    }
    assert!(mdata.insert_modality("a/b", good.clone()).is_err());
    assert!(mdata.changes().is_empty());
    mdata.insert_modality("good", good).unwrap();
}

#[test]
fn the_first_mudata_files_are_added_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.h5mu");
    stores::copy(&stores::data("archives/mudata/v0.1.2/mdata_axis0.h5mu"), &path);
    let mdata = MuDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    let new = mdata.modality("mod2").unwrap().select([1, 0], 0..5).unwrap().to_memory().unwrap();
    mdata.insert_modality("new", new).unwrap();
    mdata.uns().insert("note", "there was no uns").unwrap();
    mdata.write(WriteOptions::default()).unwrap();
    let (shape, shown) = (mdata.shape(), mdata.modalities());
    drop(mdata);
    let object = as_mudata_reads(&path);
    assert_eq!(json!([shape.0, shape.1]), json!([object["n_obs"], object["n_vars"]]));
    assert_eq!(object["mod_order"].as_array().unwrap().len(), shown.len());
    assert_eq!(object["uns"]["note"]["value"], "there was no uns");
}
