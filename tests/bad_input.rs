//! Bad input: typed errors that name file and path, never a panic, and everything else in the file still works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::fs;
use std::path::Path;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::store::{Flavour, Hdf5Store, Style, WriteStore, ZarrStore, open_write};
use anndata_shadow::{AnnDataShadow, Array, ElemPath, Error, Kind, Mode, OpenOptions, Rows, WriteOptions};
use serde_json::{Value, json};
use stores::{CELLS, Copy, data, edit_v3};

fn open_error(path: &Path) -> Error {
    match AnnDataShadow::open(path) {
        Err(error) => {
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(error.to_string().contains(&*name), "the message names the file: {error}");
            error
        }
        Ok(shadow) => panic!("{} opened as {shadow}", path.display()),
    }
}

#[test]
fn what_is_not_anndata_is_refused_by_name() {
    let keep = tempfile::tempdir().unwrap();
    let at = |name: &str| keep.path().join(name);
    assert!(matches!(open_error(&at("absent.h5ad")), Error::Io { .. }));
    fs::write(at("text.h5ad"), "not HDF5 at all").unwrap();
    assert!(matches!(open_error(&at("text.h5ad")), Error::NotAnnData { .. }));
    fs::write(at("empty.h5ad"), "").unwrap();
    assert!(matches!(open_error(&at("empty.h5ad")), Error::NotAnnData { .. }));
    fs::create_dir(at("folder.zarr")).unwrap();
    assert!(matches!(open_error(&at("folder.zarr")), Error::NotAnnData { .. }));
    drop(Hdf5Store::create(&at("bare.h5")).unwrap());
    assert!(matches!(open_error(&at("bare.h5")), Error::NotAnnData { .. }));
    drop(ZarrStore::create(&at("bare.zarr"), Flavour::V3).unwrap());
    assert!(matches!(open_error(&at("bare.zarr")), Error::NotAnnData { .. }));
    let inside = data("pbmc68k_reduced.h5ad").join("obms");
    let error = AnnDataShadow::open(&inside).unwrap_err();
    assert!(error.to_string().contains("obsm"), "{error}");
}

#[test]
fn truncated_files_are_errors_at_every_length() {
    let bytes = fs::read(data("archive_v0.13.h5ad")).unwrap();
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("cut.h5ad");
    for part in 0..24 {
        fs::write(&path, &bytes[..bytes.len() * part / 24]).unwrap();
        assert!(matches!(open_error(&path), Error::NotAnnData { .. } | Error::Malformed { .. }), "{part}");
    }
}

#[test]
fn one_damaged_element_does_not_spoil_the_others() {
    type Damage = (&'static str, fn(&mut Value));
    let damages: [Damage; 7] = [
        ("obsm/X_pca", |d| d["shape"] = json!([700])),
        ("obsm/X_pca", |d| d["shape"] = json!([600, 50])),
        ("obsm/X_pca", |d| d["shape"] = json!([1_u64 << 60, 1_u64 << 40])),
        ("obsm/X_pca", |d| d["data_type"] = json!("float8_nobody_knows")),
        ("obsm/X_pca", |d| d["codecs"] = json!([{"name": "no_such_codec"}])),
        ("obsm/X_pca", |d| d["chunk_grid"]["configuration"]["chunk_shape"] = json!([0, 0])),
        ("obsm/X_pca", |d| d["attributes"]["encoding-type"] = json!("tomorrow")),
    ];
    for (i, (node, damage)) in damages.into_iter().enumerate() {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        edit_v3(&copy.path, node, damage);
        let shadow = copy.open();
        assert!(shadow.to_string().contains("X_pca"), "damage {i}: still listed");
        let listed = shadow.elements().unwrap();
        assert!(listed.iter().any(|e| e.path == node) && listed.iter().any(|e| e.path == "obsm/X_umap"), "damage {i}");
        let error = shadow.member(node).unwrap().element().unwrap_err();
        assert!(error.to_string().contains(node), "damage {i}: {error}");
        assert!(matches!(error, Error::Malformed { .. } | Error::Unsupported { .. }), "damage {i}: {error:?}");
        assert!(shadow.obsm().read::<Array2<f64>>("X_umap").is_ok(), "damage {i}");
        assert!(shadow.obs().column("louvain").is_ok(), "damage {i}");
    }
}

#[test]
fn lengths_beyond_all_memory_are_errors() {
    for huge in [1_u64 << 63, u64::MAX, 1 << 62] {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        edit_v3(&copy.path, "obs/index", |d| {
            d["shape"] = json!([huge]);
            d["chunk_grid"]["configuration"]["chunk_shape"] = json!([1000]);
        });
        match AnnDataShadow::open(&copy.path) {
            Err(error) => assert!(error.to_string().contains("obs"), "{error}"),
            Ok(shadow) => {
                let _ = shadow.to_string();
                assert!(shadow.obs_names().is_err());
                assert!(shadow.select(0..3, ..).unwrap().x().element().is_err());
            }
        }
    }
}

#[test]
fn links_that_lead_in_circles_are_errors() {
    let copy = Copy::of("pbmc68k_reduced.h5ad");
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
    let code = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); \
                f['uns/one'] = h5py.SoftLink('/uns'); f['uns/two'] = f['uns']; f.close()";
    let done = std::process::Command::new(python).args(["-c", code]).arg(&copy.path).status();
    assert!(done.is_ok_and(|s| s.success()), "no Python with h5py: run `make test`, or tools/setup.sh");
    let shadow = copy.open();
    assert!(shadow.to_string().contains("two"));
    assert!(matches!(shadow.uns().element("one"), Err(Error::Malformed { .. })));
    assert!(matches!(shadow.elements(), Err(Error::Malformed { .. })));
    assert!(shadow.uns().element("pca").is_ok() && shadow.obs().column("louvain").is_ok());
}

#[test]
fn broken_frames_say_which_and_why() {
    type Damage = (&'static str, fn(&mut Value));
    let damages: [Damage; 4] = [
        ("obs", |d| d["attributes"]["_index"] = json!("gone")),
        ("obs", |d| d["attributes"]["column-order"] = json!(7)),
        ("obs", |d| d["attributes"]["encoding-version"] = json!("9.9.9")),
        ("var", |d| d["attributes"]["_index"] = json!(null)),
    ];
    for (i, (node, damage)) in damages.into_iter().enumerate() {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        edit_v3(&copy.path, node, damage);
        let error = open_error(&copy.path);
        assert!(error.to_string().contains(node), "damage {i}: {error}");
    }
    // A column that is listed but absent is an error of that column.
    let copy = Copy::of("pbmc68k_reduced_v3.zarr");
    edit_v3(&copy.path, "obs", |d| d["attributes"]["column-order"].as_array_mut().unwrap().push(json!("ghost")));
    let shadow = copy.open();
    assert!(matches!(shadow.obs().column("ghost"), Err(Error::NotFound { .. })));
    assert!(shadow.obs().column("louvain").is_ok());
    assert!(shadow.obs().read().is_err());
}

#[test]
fn sparse_matrices_that_contradict_themselves_are_errors() {
    // (data, indices, indptr) of a 3 × 4 matrix in an otherwise sound file.
    let cases: [(&str, Vec<i32>, Vec<i64>); 5] = [
        ("index out of range", vec![0, 9, 1], vec![0, 1, 2, 3]),
        ("negative index", vec![0, -1, 1], vec![0, 1, 2, 3]),
        ("descending indptr", vec![0, 1, 1], vec![0, 3, 2, 3]),
        ("indptr past the end", vec![0, 1, 1], vec![0, 1, 2, 99]),
        ("short indptr", vec![0, 1, 1], vec![0, 1, 3]),
    ];
    for (why, indices, indptr) in cases {
        let copy = Copy::of("pbmc68k_reduced.h5ad");
        {
            let store = Hdf5Store::open_write(&copy.path).unwrap();
            let at = ElemPath::parse("uns/m").unwrap();
            let attrs = json!({"shape": [3, 4], "encoding-type": "csr_matrix", "encoding-version": "0.1.0"});
            store.create_group(&at, attrs.as_object().unwrap()).unwrap();
            let style = Style { like: None, resizable: true };
            let part = |name: &str, array: Array| {
                store.create_array(&at.join(name).unwrap(), &array, style, &serde_json::Map::new()).unwrap();
            };
            part("data", Array::from_vec(vec![1.0_f32; 3]));
            part("indices", Array::from_vec(indices));
            part("indptr", Array::from_vec(indptr));
            store.publish().unwrap();
        }
        let error = copy.open().uns().element("m").unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("uns/m"), "{why}: {error:?}");
    }
}

#[test]
fn codes_beyond_the_categories_are_errors() {
    let copy = Copy::of("pbmc68k_reduced.h5ad");
    {
        let store = Hdf5Store::open_write(&copy.path).unwrap();
        let at = ElemPath::parse("uns/c").unwrap();
        let attrs = json!({"ordered": false, "encoding-type": "categorical", "encoding-version": "0.2.0"});
        store.create_group(&at, attrs.as_object().unwrap()).unwrap();
        let style = Style { like: None, resizable: false };
        let none = serde_json::Map::new();
        store.create_array(&at.join("codes").unwrap(), &Array::from_vec(vec![0_i8, 1, -1]), style, &none).unwrap();
        let categories = Array::from_vec(vec!["only".to_owned()]);
        store.create_array(&at.join("categories").unwrap(), &categories, style, &none).unwrap();
        store.publish().unwrap();
    }
    let error = copy.open().uns().element("c").unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
}

#[test]
fn garbage_in_zarr_documents_and_chunks_is_an_error_of_that_element() {
    for (file, text) in
        [("obsm/X_pca/zarr.json", "{"), ("obsm/X_pca/zarr.json", "[1, 2]"), ("obsm/X_pca/zarr.json", "null")]
    {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        // Without the map the documents themselves count.
        let root: Value = serde_json::from_slice(&fs::read(copy.path.join("zarr.json")).unwrap()).unwrap();
        let plain = json!({"attributes": root["attributes"], "zarr_format": 3, "node_type": "group"});
        fs::write(copy.path.join("zarr.json"), plain.to_string()).unwrap();
        fs::write(copy.path.join(file), text).unwrap();
        let shadow = copy.open();
        let error = shadow.obsm().element("X_pca").unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("obsm/X_pca"), "{error:?}");
        assert!(shadow.to_string().contains("X_umap"));
        assert!(shadow.obsm().read::<Array2<f64>>("X_umap").is_ok());
    }
    for name in &CELLS[1..] {
        let copy = Copy::of(name);
        let mut cut = 0;
        for (path, bytes) in copy.bytes() {
            let of_chunk = !path.file_name().unwrap().to_string_lossy().contains('z');
            if path.to_string_lossy().contains("obsm/X_pca") && of_chunk {
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
                cut += 1;
            }
        }
        assert!(cut > 0, "{name}");
        let error = copy.open().obsm().element("X_pca").unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. }) && error.to_string().contains("obsm/X_pca"),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn opaque_elements_are_listed_and_refused_alone() {
    let tomorrow = json!({"encoding-type": "tomorrow", "encoding-version": "0.1.0"});
    for name in CELLS {
        let copy = Copy::of(name);
        {
            let store = open_write(&copy.path).unwrap().store;
            let at = ElemPath::parse("uns/opaque").unwrap();
            store.create_group(&at, tomorrow.as_object().unwrap()).unwrap();
            store.publish().unwrap();
        }
        let shadow = copy.open();
        let elements = shadow.elements().unwrap();
        let opaque: Vec<_> = elements.iter().filter(|e| e.info.kind == Kind::Opaque).collect();
        assert!(opaque.iter().any(|e| e.path == "uns/opaque"), "{name}");
        for element in opaque {
            let error = shadow.member(&element.path).unwrap().element().unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(&element.path), "{error}");
        }
        assert!(shadow.uns().element("rank_genes_groups/params").is_ok());
    }
}

#[test]
fn arrays_of_unknown_types_are_opaque_alone() {
    let v2 = json!({"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "|V7", "fill_value": null, "order": "C",
        "filters": null, "compressor": null});
    let v3 = json!({"zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "nonesuch", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}]});
    for (name, file, document) in
        [(CELLS[1], ".zarray", &v2), (CELLS[2], "zarr.json", &v3), (CELLS[3], "zarr.json", &v3)]
    {
        let copy = Copy::of(name);
        fs::create_dir(copy.path.join("uns/odd")).unwrap();
        fs::write(copy.path.join("uns/odd").join(file), document.to_string()).unwrap();
        // The map does not list it; whoever writes looks at what is there.
        let shadow = copy.open_to_write();
        let elements = shadow.elements().unwrap();
        let opaque: Vec<_> = elements.iter().filter(|e| e.info.kind == Kind::Opaque).map(|e| &e.path).collect();
        assert_eq!(opaque, ["uns/odd"], "{name}");
        let error = shadow.member("uns/odd").unwrap().element().unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("uns/odd"), "{error}");
        assert!(shadow.uns().element("rank_genes_groups/params").is_ok());
    }
}

#[test]
fn selections_past_the_end_are_errors_and_the_shadow_goes_on() {
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    for bad in [765_i64, -766, i64::MAX, i64::MIN] {
        assert!(matches!(shadow.select(bad, ..), Err(Error::Selection { .. })), "{bad}");
        assert!(matches!(shadow.select(.., [0, bad]), Err(Error::Selection { .. })), "{bad}");
    }
    let view = shadow.select(0..10, ..).unwrap();
    assert!(matches!(view.select(10, ..), Err(Error::Selection { .. })), "counted within the view");
    assert_eq!(view.select(.., Rows::picks([764])).unwrap().shape(), (10, 1));
    // A name that a view holds twice cannot be asked for.
    let name = shadow.obs_names().unwrap()[3].clone();
    let twice = shadow.select([3, 3], ..).unwrap();
    let error = twice.select(name.as_str(), ..).unwrap_err();
    assert!(error.to_string().contains("2 times"), "{error}");
}

#[test]
fn a_field_that_cannot_be_carried_over_keeps_its_frame_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.h5ad");
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
    let code = "import h5py, numpy as np, sys; f = h5py.File(sys.argv[1], 'w'); \
                f['X'] = np.ones((2, 1), 'f4'); f['var'] = np.array([(b'g',)], [('index', 'S1')]); \
                f['obs'] = np.array([(b'a', b'1234', 5), (b'b', b'5678', 6)], [('index', 'S1'), ('odd', 'V4'), ('n', 'i4')]); \
                f['obsm'] = np.array([([0, 1],), ([2, 3],)], [('X_pca', 'f4', 2)]); f.close()";
    let done = std::process::Command::new(python).args(["-c", code]).arg(&path).status();
    assert!(done.is_ok_and(|s| s.success()), "no Python with h5py: run `make test`, or tools/setup.sh");
    let before = fs::read(&path).unwrap();

    let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    assert!(shadow.obs().columns().unwrap().contains(&"odd".to_owned()));
    assert!(shadow.obs().column("n").is_ok());
    assert!(matches!(shadow.obs().element("odd"), Err(Error::Unsupported { .. })));
    shadow.obs().insert_element("new", Array::from_vec(vec![1_i64, 2])).unwrap();
    let error = shadow.write(WriteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("obs/odd"), "{error}");
    shadow.close().unwrap();
    assert!(fs::read(&path).unwrap() == before, "nothing is changed");

    // The other slots can be written to.
    shadow.reopen(Mode::ReadWrite).unwrap();
    shadow.obs().remove("new").unwrap();
    shadow.obsm().insert("X_new", Array2::<f32>::zeros((2, 3))).unwrap();
    shadow.write(WriteOptions::default()).unwrap();
    shadow.close().unwrap();
    let again = AnnDataShadow::open(&path).unwrap();
    assert_eq!(
        again.obsm().read::<Array2<f32>>("X_pca").unwrap(),
        Array2::from_shape_vec((2, 2), vec![0.0, 1.0, 2.0, 3.0]).unwrap()
    );
    assert_eq!(again.obsm().read::<Array2<f32>>("X_new").unwrap().dim(), (2, 3));
}
